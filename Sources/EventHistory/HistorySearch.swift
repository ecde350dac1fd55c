// SPDX-License-Identifier: Apache-2.0
//
// Newest first (or oldest first, which is its mirror image) over segments and open groups whose times overlap. Each of them is a
// source that can give its candidates from the newest down, a zone at a time. A source is only looked into once its latest time
// could be the next to give; so a search for the newest few touches a segment or two, however many there are. Candidates come
// from columns and are checked on the record itself.

internal import EventRecord
internal import Synchronization

/// What readers see: nothing in it changes.
struct HistorySnapshot: Sendable {
    var segments: [HistorySegment] = []
    /// Groups in no segment yet, the one being filled last.
    var groups: [GroupView] = []
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
    let cutoffs: [HistoryRetention.Cutoff]
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
        let bounds = HistoryBounds(
            times: low...high, before: isOldestFirst ? nil : last, after: isOldestFirst ? last : nil)

        var sources = snapshot.segments.map { HistorySource(.segment($0), timeMin: $0.timeMin, timeMax: $0.timeMax) }
        sources += snapshot.groups.map { HistorySource(.group($0), timeMin: $0.timeMin, timeMax: $0.timeMax) }
        sources.removeAll { $0.timeMax < low || $0.timeMin > high }
        for index in sources.indices { sources[index].bound(by: low...high, isOldestFirst: isOldestFirst) }

        var events: [HistoryEvent] = []
        while let index = isOldestFirst
            ? sources.indices.min(by: { sources[$0].head < sources[$1].head })
            : sources.indices.max(by: { sources[$0].head < sources[$1].head })
        {
            if cancellation.isCancelled { throw HistoryError(.cancelled, "the search was cancelled") }
            if !sources[index].isOpen {
                try sources[index].open(query, bounds, cutoffs, cache)
            } else {
                let place = sources[index].head
                if let entry = try sources[index].entry(cache), let event = try check(entry, at: place) {
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

    /// The event if the query takes it: columns only said that it may.
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

/// One segment or group while it is searched.
struct HistorySource {
    enum Place {
        case segment(HistorySegment)
        case group(GroupView)
    }

    private let place: Place
    let timeMin: Int64
    let timeMax: Int64
    private var isOldestFirst = false
    private var test = RowTest.never
    /// What columns do not decide, and tokens may.
    private var question: TokenQuestion?
    private var filters: [UInt32: TokenFilter<SegmentGroup>] = [:]
    /// Zones that are still to look into, a bit each.
    private var zones: [UInt64] = []
    /// Candidate rows of the zone (or group) at hand, the next at the end.
    private var rows: [UInt32] = []
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
        _ query: HistoryQuery, _ bounds: HistoryBounds, _ cutoffs: [HistoryRetention.Cutoff], _ cache: HistoryCache
    ) throws(HistoryError) {
        isOpen = true
        switch place {
        case .group(let view):
            let source = GroupSource(view: view)
            let test = try query.test(source, bounds.times, cutoffs).necessary
            for zone in 0..<(view.count + zoneRows - 1) / zoneRows {
                try test.evaluate(source, zone: zone).forEach { row in
                    let row = zone * zoneRows + row
                    if bounds.contain(view.position(row)) { rows.append(UInt32(truncatingIfNeeded: row)) }
                }
            }
            var isSorted = true
            for index in 1..<max(1, rows.count)
            where view.group.seconds[Int(rows[index])] < view.group.seconds[Int(rows[index - 1])] {
                isSorted = false
                break
            }
            if !isSorted { rows.sort { view.position(Int($0)) < view.position(Int($1)) } }
            if isOldestFirst { rows.reverse() }
        case .segment(let segment):
            let source = SegmentSource(segment: segment, cache: cache)
            let range = try Self.rows(segment, bounds, cache)
            var tests = [try query.test(source, bounds.times, cutoffs).necessary]
            if range.count < segment.events { tests.append(range.isEmpty ? .never : .range(range)) }
            test = .all(tests)
            zones = try test.zones(source)
            let left = try FilterCompiler(source: source).undecided(query.filter)
            question = left == .all ? nil : TokenQuestion(left)
        }
        try settle(cache)
    }

    mutating func advance(_ cache: HistoryCache) throws(HistoryError) {
        rows.removeLast()
        try settle(cache)
    }

    private mutating func settle(_ cache: HistoryCache) throws(HistoryError) {
        while rows.isEmpty {
            guard case .segment(let segment) = place, let zone = nextZone(), zone * zoneRows < segment.events else {
                isExhausted = true
                return
            }
            let bits = try test.evaluate(SegmentSource(segment: segment, cache: cache), zone: zone)
            bits.forEach { rows.append(UInt32(truncatingIfNeeded: zone * zoneRows + $0)) }
            if isOldestFirst { rows.reverse() }
        }
        guard let row = rows.last.map({ Int($0) }) else { return }
        switch place {
        case .group(let view): head = view.position(row)
        case .segment(let segment): head = try segment.position(row, cache)
        }
    }

    /// Takes the next zone in the order of the search.
    private mutating func nextZone() -> Int? {
        let found = isOldestFirst ? zones.firstIndex { $0 != 0 } : zones.lastIndex { $0 != 0 }
        guard let word = found else { return nil }
        let bit = isOldestFirst ? zones[word].trailingZeroBitCount : 63 - zones[word].leadingZeroBitCount
        zones[word] &= ~(1 << UInt64(bit))
        let zone = word * 64 + bit
        if case .segment(let segment) = place, zone * zoneRows >= segment.events { return nextZone() }
        return zone
    }

    /// The rows of a segment whose place lies in the bounds; rows are sorted by place.
    private static func rows(
        _ segment: HistorySegment, _ bounds: HistoryBounds, _ cache: HistoryCache
    ) throws(HistoryError) -> Range<Int> {
        var low = 0
        if let after = bounds.after, after.seconds >= bounds.times.lowerBound {
            low = try firstRow(segment, after, isAfter: true, cache)
        } else if bounds.times.lowerBound > segment.timeMin {
            low = try segment.firstRow(atOrAfter: bounds.times.lowerBound, cache)
        }
        var high = segment.events
        if let before = bounds.before, before.seconds <= bounds.times.upperBound {
            high = try firstRow(segment, before, isAfter: false, cache)
        } else if bounds.times.upperBound < segment.timeMax {
            high = try segment.firstRow(atOrAfter: bounds.times.upperBound + 1, cache)
        }
        return low..<max(low, high)
    }

    /// The first row at or behind a place.
    private static func firstRow(
        _ segment: HistorySegment, _ place: HistoryPosition, isAfter: Bool, _ cache: HistoryCache
    ) throws(HistoryError) -> Int {
        var low = try segment.firstRow(atOrAfter: place.seconds, cache)
        var high = place.seconds == .max ? segment.events : try segment.firstRow(atOrAfter: place.seconds + 1, cache)
        while low < high {
            let middle = (low + high) / 2
            let number = try segment.number(segment.arrival(middle, cache), cache)
            if number < place.number || isAfter && number == place.number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The entry of the next candidate; nil when its tokens tell that it is none.
    mutating func entry(_ cache: HistoryCache) throws(HistoryError) -> ArraySlice<UInt8>? {
        guard let row = rows.last.map({ Int($0) }) else { return nil }
        switch place {
        case .group(let view): return try view.entry(row)
        case .segment(let segment):
            let arrival = try segment.arrival(row, cache)
            guard let question else { return try segment.entry(arrival, cache) }
            // Each holds on to its group.
            var filters = filters.count > 8 ? [:] : filters
            self.filters = [:]
            let entry = try segment.entry(arrival, cache) { number, group, reader in
                let filter =
                    filters[number] ?? TokenFilter(group, question, textCount: group.textCount)
                filters[number] = filter
                switch filter.verdict(&reader) {
                case .leaves: return false
                case .takes, .unknown, .malformed: return true
                }
            }
            self.filters = filters
            return entry
        }
    }
}
