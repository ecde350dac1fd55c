// SPDX-License-Identifier: Apache-2.0
//
// Newest first (or oldest first, which is its mirror image) over many segments and chunks whose times overlap. Each of them is
// a source that can give its candidates from the newest down. A source is only looked into once its latest time could be the next to give; so a search for the newest few
// touches a segment or two, however many there are. Candidates come from hashes and are checked on the record itself.

internal import EventRecord
internal import Synchronization

/// What readers see: nothing in it changes.
struct HistorySnapshot: Sendable {
    var segments: [HistorySegment] = []
    /// Chunks in no segment yet, the one being filled last.
    var chunks: [OpenChunk] = []
    /// One past the last journal number that is indexed.
    var next: UInt64 = 0
    var sealedThrough: UInt64 = 0
}

/// Set when whoever asked has gone.
final class HistoryCancellation: Sendable {
    private let flag = Atomic<Bool>(false)
    var isCancelled: Bool { flag.load(ordering: .relaxed) }
    func cancel() { flag.store(true, ordering: .relaxed) }
}

struct HistorySearch {
    let snapshot: HistorySnapshot
    let query: HistoryQuery
    let cache: HistoryCache
    let cancellation: HistoryCancellation

    /// Finds a page, blocking on files.
    func page() throws(HistoryError) -> HistoryPage {
        let fingerprint = query.fingerprint
        let last: HistoryPosition? =
            if let token = query.token { try HistoryToken(token, for: fingerprint).position } else { nil }
        let isOldestFirst = query.order == .oldestFirst
        guard let times = query.times, query.limit > 0 else { return HistoryPage(events: [], nextToken: nil) }
        let low = isOldestFirst ? max(times.lowerBound, last?.seconds ?? .min) : times.lowerBound
        let high = isOldestFirst ? times.upperBound : min(times.upperBound, last?.seconds ?? .max)
        guard low <= high else { return HistoryPage(events: [], nextToken: nil) }
        let probes = query.probes
        let bounds = HistoryBounds(
            times: low...high, before: isOldestFirst ? nil : last, after: isOldestFirst ? last : nil)

        var sources = snapshot.segments.map { HistorySource(.segment($0), timeMin: $0.timeMin, timeMax: $0.timeMax) }
        sources += snapshot.chunks.map { HistorySource(.chunk($0), timeMin: $0.timeMin, timeMax: $0.timeMax) }
        sources.removeAll { $0.timeMax < low || $0.timeMin > high }
        for index in sources.indices { sources[index].bound(by: low...high, isOldestFirst: isOldestFirst) }

        var events: [HistoryEvent] = []
        while let index = isOldestFirst
            ? sources.indices.min(by: { sources[$0].head < sources[$1].head })
            : sources.indices.max(by: { sources[$0].head < sources[$1].head })
        {
            if cancellation.isCancelled { throw HistoryError(.cancelled, "the search was cancelled") }
            if !sources[index].isOpen {
                try sources[index].open(probes, bounds, cache)
            } else {
                let place = sources[index].head
                if let event = try check(sources[index].entry(cache), at: place) {
                    if events.count == query.limit, let last = events.last {
                        let position = HistoryPosition(seconds: last.event.eventSeconds ?? 0, number: last.number)
                        return HistoryPage(
                            events: events, nextToken: HistoryToken(position: position, fingerprint: fingerprint).text)
                    }
                    events.append(event)
                }
                try sources[index].advance(cache)
            }
            if sources[index].isExhausted { sources.remove(at: index) }
        }
        return HistoryPage(events: events, nextToken: nil)
    }

    /// The event if the query takes it: hashes only said that it may.
    private func check(_ entry: ArraySlice<UInt8>, at place: HistoryPosition) throws(HistoryError) -> HistoryEvent? {
        guard let envelope = EventEnvelope.parse(entry) else {
            throw HistoryError(.damaged, "entry \(place.number) of the history has no envelope")
        }
        guard envelope.ownerAccount == query.ownerAccount else { return nil }
        var fields = EventFields()
        _ = try? EventReader.scan(envelope.record, into: &fields)
        let matches = envelope.record.withUnsafeBytes { query.takes(fields, in: $0) }
        guard matches else { return nil }
        return HistoryEvent(
            number: place.number, kind: envelope.kind, ownerAccount: envelope.ownerAccount,
            event: Event(record: envelope.record, fields: fields))
    }
}

/// The places among which is searched.
struct HistoryBounds {
    /// Both ends inclusive.
    var times: ClosedRange<Int64>
    /// Only places below.
    var before: HistoryPosition?
    /// Only places above.
    var after: HistoryPosition?

    func contain(_ place: HistoryPosition) -> Bool {
        if !times.contains(place.seconds) { return false }
        if let before, place >= before { return false }
        if let after, place <= after { return false }
        return true
    }
}

/// One segment or chunk while it is searched.
struct HistorySource {
    enum Place {
        case segment(HistorySegment)
        case chunk(OpenChunk)
    }

    private let place: Place
    let timeMin: Int64
    let timeMax: Int64
    private var isOldestFirst = false
    /// Candidate rows, the next at the end. Meaningful when open.
    private var rows: [UInt32] = []
    /// Candidates when all rows of a range are: taken after `rows`, from the end, or from the begin when the oldest is first.
    private var range: Range<Int> = 0..<0
    /// The next candidate, or while not open the first that it could be.
    private(set) var head: HistoryPosition
    private(set) var isOpen = false
    private(set) var isExhausted = false

    init(_ place: Place, timeMin: Int64, timeMax: Int64) {
        self.place = place
        self.timeMin = timeMin
        self.timeMax = timeMax
        head = HistoryPosition(seconds: timeMax, number: .max)
    }

    mutating func bound(by times: ClosedRange<Int64>, isOldestFirst: Bool) {
        self.isOldestFirst = isOldestFirst
        head =
            isOldestFirst
            ? HistoryPosition(seconds: max(timeMin, times.lowerBound), number: 0)
            : HistoryPosition(seconds: min(timeMax, times.upperBound), number: .max)
    }

    mutating func open(
        _ probes: [EventProbe], _ bounds: HistoryBounds, _ cache: HistoryCache
    ) throws(HistoryError) {
        isOpen = true
        switch place {
        case .chunk(let chunk): rows = chunk.columns.rows(probes, bounds)
        case .segment(let segment):
            (rows, range) = try SegmentCandidates(segment: segment, cache: cache).rows(probes, bounds)
        }
        if isOldestFirst { rows.reverse() }
        try settle(cache)
    }

    mutating func advance(_ cache: HistoryCache) throws(HistoryError) {
        if !rows.isEmpty {
            rows.removeLast()
        } else if !range.isEmpty {
            range = isOldestFirst ? range.dropFirst() : range.dropLast()
        }
        try settle(cache)
    }

    private var row: Int? { rows.last.map { Int($0) } ?? (isOldestFirst ? range.first : range.last) }

    private mutating func settle(_ cache: HistoryCache) throws(HistoryError) {
        guard let row else {
            isExhausted = true
            return
        }
        switch place {
        case .chunk(let chunk):
            head = HistoryPosition(seconds: chunk.columns.seconds[row], number: chunk.columns.numbers[row])
        case .segment(let segment):
            head = try SegmentCandidates(segment: segment, cache: cache).position(row)
        }
    }

    /// The entry of the next candidate.
    func entry(_ cache: HistoryCache) throws(HistoryError) -> ArraySlice<UInt8> {
        guard let row else { return [] }
        switch place {
        case .chunk(let chunk): return try chunk.entry(row, cache)
        case .segment(let segment):
            return try segment.entry(SegmentCandidates(segment: segment, cache: cache).arrival(row), cache)
        }
    }
}

/// Finds rows of a segment through its columns.
struct SegmentCandidates {
    let segment: HistorySegment
    let cache: HistoryCache

    /// Lists no longer than this are not narrowed further: reading the records is cheaper.
    private static let shortList = 64

    /// Rows that may match, oldest first: either listed, or all of a range.
    func rows(
        _ probes: [EventProbe], _ bounds: HistoryBounds
    ) throws(HistoryError) -> ([UInt32], Range<Int>) {
        var lists: [(column: [UInt8], lists: [HashColumn.List], count: Int)] = []
        for probe in probes {
            let column = try segment.column(probe.column.rawValue, cache)
            let found = column.withUnsafeBytes { bytes in probe.hashes.compactMap { HashColumn.list($0, in: bytes) } }
            if found.isEmpty { return ([], 0..<0) }
            if found.contains(where: { $0.count == segment.events }) { continue }
            guard found.allSatisfy({ $0.count <= segment.events }) else {
                throw .damaged(
                    "a column is malformed", segment.path, at: segment.columns[probe.column.rawValue]?.offset ?? 0)
            }
            lists.append((column, found, found.reduce(0) { $0 + $1.count }))
        }
        let range = try rowRange(bounds)
        lists.sort { $0.count < $1.count }
        guard let first = lists.first else { return ([], range) }
        var rows = decode(first.column, first.lists).filter { range.contains(Int($0)) }
        for list in lists.dropFirst() where rows.count > Self.shortList {
            rows = intersect(rows, decode(list.column, list.lists))
        }
        return (rows, 0..<0)
    }

    private func decode(_ column: [UInt8], _ lists: [HashColumn.List]) -> [UInt32] {
        column.withUnsafeBytes { bytes in
            if lists.count == 1 { return HashColumn.rows(lists[0], in: bytes, events: segment.events) }
            var rows = lists.flatMap { HashColumn.rows($0, in: bytes, events: segment.events) }
            rows.sort()
            var kept: [UInt32] = []
            for row in rows where kept.last != row { kept.append(row) }
            return kept
        }
    }

    private func intersect(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
        var both: [UInt32] = []
        var i = 0
        var j = 0
        while i < a.count, j < b.count {
            if a[i] == b[j] {
                both.append(a[i])
                i += 1
                j += 1
            } else if a[i] < b[j] {
                i += 1
            } else {
                j += 1
            }
        }
        return both
    }

    /// The rows whose place lies in the bounds; rows are sorted by place.
    private func rowRange(_ bounds: HistoryBounds) throws(HistoryError) -> Range<Int> {
        let low = try firstRow { place in
            if let after = bounds.after, place <= after { return false }
            return place.seconds >= bounds.times.lowerBound
        }
        let high = try firstRow { place in
            if place.seconds > bounds.times.upperBound { return true }
            if let before = bounds.before { return place >= before }
            return false
        }
        return low..<max(low, high)
    }

    private func firstRow(_ isBeyond: (HistoryPosition) -> Bool) throws(HistoryError) -> Int {
        var low = 0
        var high = segment.events
        while low < high {
            let middle = (low + high) / 2
            if isBeyond(try position(middle)) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    func position(_ row: Int) throws(HistoryError) -> HistoryPosition {
        let id = HistorySegment.Column.time
        let column = try segment.column(id, cache)
        let seconds = column.withUnsafeBytes { bytes -> Int64? in
            guard bytes.count >= 16 else { return nil }
            let width = Int(bytes.u32(0))
            guard width == 4 || width == 8, bytes.count == 16 + width * segment.events, row < segment.events else {
                return nil
            }
            let base = Int64(bitPattern: bytes.u64(8))
            return width == 4
                ? base + Int64(bytes.u32(16 + row * 4)) : base &+ Int64(bitPattern: bytes.u64(16 + row * 8))
        }
        guard let seconds else {
            throw .damaged("a column is malformed", segment.path, at: segment.columns[id]?.offset ?? 0)
        }
        let delta = try word(HistorySegment.Column.number, try arrival(row))
        return HistoryPosition(seconds: seconds, number: segment.first + UInt64(delta))
    }

    func arrival(_ row: Int) throws(HistoryError) -> Int { Int(try word(HistorySegment.Column.arrival, row)) }

    private func word(_ id: UInt16, _ index: Int) throws(HistoryError) -> UInt32 {
        let column = try segment.column(id, cache)
        guard column.count == segment.events * 4, index < segment.events else {
            throw .damaged("a column is malformed", segment.path, at: segment.columns[id]?.offset ?? 0)
        }
        return column.withUnsafeBytes { $0.u32(index * 4) }
    }
}
