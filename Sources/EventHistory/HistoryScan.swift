// SPDX-License-Identifier: Apache-2.0
//
// Counting over all events that match. Segments are taken by several threads; in each the candidates are found as in a search,
// and their blocks decompressed once, in the order of the file, past the cache. What the columns know by themselves is counted
// without touching a record: all events, events by time, events by an indexed field.

internal import Dispatch
internal import EventRecord
internal import Synchronization

/// How far a long count has come.
package struct HistoryProgress: Sendable {
    package var eventsDone: UInt64
    package var eventsTotal: UInt64
}

struct HistoryScan {
    let snapshot: HistorySnapshot
    let query: HistoryQuery
    let grouping: EventTally.Grouping
    let cache: HistoryCache
    let cancellation: HistoryCancellation
    let progress: @Sendable (HistoryProgress) -> Void

    private struct Counted {
        var tally: EventTally
        var done: UInt64 = 0
        var failure: HistoryError?
    }

    /// Blocks on files and on its own threads.
    func tally() throws(HistoryError) -> EventTally {
        let empty = EventTally(grouping)
        guard let times = query.times else { return empty }
        let segments = snapshot.segments.filter { $0.timeMax >= times.lowerBound && $0.timeMin <= times.upperBound }
        let chunks = snapshot.chunks.filter { $0.timeMax >= times.lowerBound && $0.timeMin <= times.upperBound }
        let total = segments.reduce(0) { $0 + UInt64($1.events) } + chunks.reduce(0) { $0 + UInt64($1.columns.count) }
        let counted = Mutex(Counted(tally: empty))
        let nextSegment = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: min(segments.count, Self.threadsMax)) { _ in
            var own = empty
            while true {
                let index = nextSegment.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < segments.count, counted.withLock({ $0.failure == nil }) else { break }
                do throws(HistoryError) {
                    try count(segments[index], times, into: &own)
                } catch {
                    counted.withLock { $0.failure = error }
                    return
                }
                let done = counted.withLock { state in
                    state.done += UInt64(segments[index].events)
                    return state.done
                }
                progress(HistoryProgress(eventsDone: done, eventsTotal: total))
            }
            counted.withLock { $0.tally.merge(own) }
        }
        var result = counted.withLock { $0 }
        if let failure = result.failure { throw failure }
        for chunk in chunks {
            try checkCancelled()
            for row in chunk.columns.rows(query.probes, HistoryBounds(times: times)) {
                try add(try chunk.entry(Int(row), cache), to: &result.tally)
            }
        }
        progress(HistoryProgress(eventsDone: total, eventsTotal: total))
        return result.tally
    }

    private static let threadsMax = 8

    private func checkCancelled() throws(HistoryError) {
        if cancellation.isCancelled { throw HistoryError(.cancelled, "the count was cancelled") }
    }

    private func count(
        _ segment: HistorySegment, _ times: ClosedRange<Int64>, into tally: inout EventTally
    ) throws(HistoryError) {
        try checkCancelled()
        if try countByColumns(segment, times, into: &tally) { return }
        let candidates = SegmentCandidates(segment: segment, cache: cache)
        let (listed, range) = try candidates.rows(query.probes, HistoryBounds(times: times))
        guard !listed.isEmpty || !range.isEmpty else { return }
        var arrivals: [Int] = []
        if listed.isEmpty, range.count == segment.events {
            arrivals = Array(0..<segment.events)
        } else {
            arrivals.reserveCapacity(listed.count + range.count)
            for row in listed { arrivals.append(try candidates.arrival(Int(row))) }
            for row in range { arrivals.append(try candidates.arrival(row)) }
            arrivals.sort()
        }
        var at = 0
        for (index, block) in segment.blocks.enumerated() where at < arrivals.count {
            let first = Int(block.firstEvent)
            let end = first + Int(block.events)
            guard arrivals[at] < end else { continue }
            try checkCancelled()
            let raw = try segment.block(index)
            let isWhole = try HistoryBlockReader.forEach(of: raw) { (entry, bytes) throws(HistoryError) in
                guard at < arrivals.count, arrivals[at] == first + entry else { return }
                at += 1
                try add(bytes, to: &tally)
            }
            guard isWhole else { throw .damaged("a block is malformed", segment.path, at: block.offset) }
            while at < arrivals.count, arrivals[at] < end { at += 1 }
        }
    }

    private func add(_ entry: ArraySlice<UInt8>, to tally: inout EventTally) throws(HistoryError) {
        let failure = entry.withUnsafeBytes { bytes -> HistoryError? in
            do throws(HistoryError) {
                try add(bytes, to: &tally)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    private func add(_ entry: UnsafeRawBufferPointer, to tally: inout EventTally) throws(HistoryError) {
        guard EventHeader.parse(entry) != nil else {
            throw HistoryError(.damaged, "an entry of the history has no envelope")
        }
        guard UnsafeRawBufferPointer(rebasing: entry[1..<13]).elementsEqual(query.ownerAccount.utf8) else { return }
        let record = UnsafeRawBufferPointer(rebasing: entry[EventEnvelope.headerBytes...])
        var fields = EventFields()
        _ = try? EventReader.scan(record, into: &fields)
        if query.startSeconds != nil || query.endSeconds != nil {
            guard let times = query.times, times.contains(fields.eventSeconds ?? 0) else { return }
        }
        if query.takes(fields, in: record) { tally.add(fields, in: record) }
    }

    // MARK: By the columns alone

    /// Counts without the records where the columns suffice; false where they do not.
    private func countByColumns(
        _ segment: HistorySegment, _ times: ClosedRange<Int64>, into tally: inout EventTally
    ) throws(HistoryError) -> Bool {
        guard query.filter.isTimeOnly, query.region == nil, query.category == nil, grouping.paths.count <= 1,
            grouping.paths.isEmpty || grouping.intervalSeconds == nil,
            // An event without a time stands at 0 in the column, and matches no filter on time.
            query.filter == .all || segment.timeMin > 0, try isOfOwner(segment)
        else { return false }
        let candidates = SegmentCandidates(segment: segment, cache: cache)
        if grouping.paths.isEmpty {
            let (_, rows) = try candidates.rows([], HistoryBounds(times: times))
            guard grouping.intervalSeconds != nil else {
                tally.add(seconds: 0, count: UInt64(rows.count))
                return true
            }
            // Rows are in the order of time: each run of an interval is counted at once.
            var row = rows.lowerBound
            while row < rows.upperBound {
                let seconds = try candidates.position(row).seconds
                let end = min(try candidates.end(ofInterval: seconds, grouping.intervalSeconds ?? 1), rows.upperBound)
                tally.add(seconds: seconds, count: UInt64(end - row))
                row = end
            }
            return true
        }
        guard let path = grouping.paths.first, let column = path.column, segment.timeMin >= times.lowerBound,
            segment.timeMax <= times.upperBound
        else { return false }
        let bytes = try segment.column(column.rawValue, cache)
        let lists = bytes.withUnsafeBytes { HashColumn.lists(in: $0) }
        guard lists.count <= Self.listsMax, lists.allSatisfy({ $0.list.count <= segment.events }) else { return false }
        // The text of each hash comes from one record that has it.
        var groups: [(value: [UInt8], count: UInt64)] = []
        var left = segment.events
        for (hash, list) in lists {
            guard let row = bytes.withUnsafeBytes({ HashColumn.firstRow(list, in: $0, events: segment.events) }) else {
                return false
            }
            let entry = try segment.entry(try candidates.arrival(row), cache)
            guard let envelope = EventEnvelope.parse(entry) else { return false }
            var fields = EventFields()
            _ = try? EventReader.scan(envelope.record, into: &fields)
            let value = envelope.record.withUnsafeBytes { record in
                path.withFirst(fields, in: record) { $0.map { Array($0) } }
            }
            guard let value, value.withUnsafeBytes({ column.hash($0) }) == hash else { return false }
            left -= list.count
            groups.append((value, UInt64(list.count)))
        }
        guard left >= 0 else { return false }
        for group in groups { group.value.withUnsafeBytes { tally.add(value: $0, count: group.count) } }
        if left > 0 { tally.add(value: nil, count: UInt64(left)) }
        return true
    }

    /// More hashes than this in a column, and reading the records is as good.
    private static let listsMax = 4096

    /// Whether each event of the segment is in the owner's history.
    private func isOfOwner(_ segment: HistorySegment) throws(HistoryError) -> Bool {
        let column = try segment.column(EventColumn.ownerAccount.rawValue, cache)
        let hash = EventColumn.ownerAccount.hash(query.ownerAccount)
        return column.withUnsafeBytes { HashColumn.list(hash, in: $0)?.count } == segment.events
    }
}

extension EventFilter {
    /// Whether the filter says no more than its time bounds.
    fileprivate var isTimeOnly: Bool {
        switch self {
        case .all, .time: true
        case .and(let parts): parts.allSatisfy(\.isTimeOnly)
        default: false
        }
    }
}

extension EventPath {
    /// The column that holds exactly this path's first value.
    fileprivate var column: EventColumn? {
        switch (derived, wholeField) {
        case (.user, _): .username
        case (nil, .eventName): .eventName
        case (nil, .eventSource): .eventSource
        case (nil, .awsRegion): .region
        case (nil, .identityAccessKeyID): .accessKeyID
        default: nil
        }
    }
}

extension SegmentCandidates {
    /// The first row behind the interval that holds a time.
    fileprivate func end(ofInterval seconds: Int64, _ length: Int64) throws(HistoryError) -> Int {
        let rest = seconds % length
        let next = seconds - (rest < 0 ? rest + length : rest) + length
        var low = 0
        var high = segment.events
        while low < high {
            let middle = (low + high) / 2
            if try position(middle).seconds >= next { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
