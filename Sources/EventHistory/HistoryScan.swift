// SPDX-License-Identifier: Apache-2.0
//
// Counting over all events that match. Segments are taken by several threads. Where columns decide the filter and hold what is
// grouped by, no record is touched (HistoryScan+Columns.swift). Otherwise columns tell which events may match, and their blocks
// are decompressed once, in the order of the file, past the cache.

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
    let cutoffs: [HistoryRetention.Cutoff]
    let grouping: EventTally.Grouping
    let cache: HistoryCache
    let cancellation: HistoryCancellation
    let progress: @Sendable (HistoryProgress) -> Void

    private struct Counted {
        var tally: EventTally
        var done: UInt64 = 0
        var failure: HistoryError?
    }

    private static let threadsMax = 8
    /// Blocks of a segment that a thread takes at once.
    private static let blocksAtOnce = 64

    /// What a thread works on: some blocks of a segment, or all of its columns.
    private struct Portion: Sendable {
        var segment: HistorySegment
        var blocks: Range<Int>
        var arrivals: [UInt32]?
        var test: RowTest
    }

    /// Blocks on files and on its own threads.
    func tally() throws(HistoryError) -> EventTally {
        let empty = EventTally(grouping)
        guard let times = query.times else { return empty }
        let segments = snapshot.segments.filter { $0.timeMax >= times.lowerBound && $0.timeMin <= times.upperBound }
        let views = snapshot.groups.filter { $0.timeMax >= times.lowerBound && $0.timeMin <= times.upperBound }
        let total = segments.reduce(0) { $0 + UInt64($1.events) } + views.reduce(0) { $0 + UInt64($1.count) }
        var whole = empty
        var done: UInt64 = 0
        var portions: [Portion] = []
        for segment in segments {
            try checkCancelled()
            let source = SegmentSource(segment: segment, cache: cache)
            let test = try query.test(source, times, cutoffs)
            if try countByColumns(source, test, into: &whole) {
                done += UInt64(segment.events)
                progress(HistoryProgress(eventsDone: done, eventsTotal: total))
            } else {
                try cut(segment, test.necessary, into: &portions)
            }
        }
        for view in views {
            try checkCancelled()
            let source = GroupSource(view: view)
            let test = try query.test(source, times, cutoffs)
            if try !countByColumns(source, test, into: &whole) { try count(view, test.necessary, into: &whole) }
        }
        if !portions.isEmpty { try count(portions, total: total, done: done, into: &whole) }
        progress(HistoryProgress(eventsDone: total, eventsTotal: total))
        return whole
    }

    func checkCancelled() throws(HistoryError) {
        if cancellation.isCancelled { throw HistoryError(.cancelled, "the count was cancelled") }
    }

    // MARK: On the records

    private func cut(
        _ segment: HistorySegment, _ test: RowTest, into portions: inout [Portion]
    ) throws(HistoryError) {
        var arrivals: [UInt32]?
        if case .never = test { return }
        if case .always = test {
        } else {
            let source = SegmentSource(segment: segment, cache: cache)
            var found: [UInt32] = []
            let zones = try test.zones(source)
            for zone in 0..<(segment.events + zoneRows - 1) / zoneRows
            where zones[zone >> 6] & 1 << UInt64(zone & 63) != 0 {
                try checkCancelled()
                let order = try segment.words(.order, zone * zoneRows / pieceRows, cache)
                let from = zone * zoneRows % pieceRows
                try test.evaluate(source, zone: zone).forEach { row in
                    found.append(order.withUnsafeBytes { $0.u32((from + row) * 4) })
                }
            }
            found.sort()
            guard !found.isEmpty else { return }
            arrivals = found
        }
        for start in stride(from: 0, to: segment.blocks.count, by: Self.blocksAtOnce) {
            portions.append(
                Portion(
                    segment: segment, blocks: start..<min(start + Self.blocksAtOnce, segment.blocks.count),
                    arrivals: arrivals, test: test))
        }
    }

    private func count(
        _ portions: [Portion], total: UInt64, done: UInt64, into whole: inout EventTally
    ) throws(HistoryError) {
        let empty = EventTally(grouping)
        let counted = Mutex(Counted(tally: empty, done: done))
        let nextPortion = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: min(portions.count, Self.threadsMax)) { _ in
            var own = empty
            var scratch: [UInt8] = []
            while true {
                let index = nextPortion.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < portions.count, counted.withLock({ $0.failure == nil }) else { break }
                do throws(HistoryError) {
                    try count(portions[index], &scratch, into: &own)
                } catch {
                    counted.withLock { $0.failure = error }
                    return
                }
                let events = events(of: portions[index])
                let done = counted.withLock { state in
                    state.done += UInt64(events.count)
                    return state.done
                }
                progress(HistoryProgress(eventsDone: done, eventsTotal: total))
            }
            counted.withLock { $0.tally.merge(own) }
        }
        let result = counted.withLock { $0 }
        if let failure = result.failure { throw failure }
        whole.merge(result.tally)
    }

    /// The arrival indexes that a portion covers.
    private func events(of portion: Portion) -> Range<Int> {
        let blocks = portion.segment.blocks
        let end =
            portion.blocks.upperBound < blocks.count
            ? blocks[portion.blocks.upperBound].first : portion.segment.events
        return blocks[portion.blocks.lowerBound].first..<end
    }

    private func count(
        _ portion: Portion, _ scratch: inout [UInt8], into tally: inout EventTally
    ) throws(HistoryError) {
        let segment = portion.segment
        let covered = events(of: portion)
        var at = 0
        if let arrivals = portion.arrivals {
            at = arrivals.firstIndex { Int($0) >= covered.lowerBound } ?? arrivals.count
        }
        for index in portion.blocks {
            let first = segment.blocks[index].first
            let end = index + 1 < segment.blocks.count ? segment.blocks[index + 1].first : segment.events
            if let arrivals = portion.arrivals {
                guard at < arrivals.count else { return }
                guard Int(arrivals[at]) < end else { continue }
            }
            try checkCancelled()
            let group = try segment.group(segment.blocks[index].group, cache)
            let bytes = try segment.block(index, group)
            let malformed = segment.malformed(PartName(kind: .block, index: UInt32(truncatingIfNeeded: index)))
            for arrival in first..<end {
                if let arrivals = portion.arrivals {
                    guard at < arrivals.count, Int(arrivals[at]) < end else { break }
                    guard Int(arrivals[at]) == arrival else { continue }
                    at += 1
                }
                scratch.removeAll(keepingCapacity: true)
                let number = try segment.number(arrival, cache)
                let isWhole = bytes.withUnsafeBytes { bytes in
                    guard let block = HistoryBlock.Opened(bytes), var reader = block.reader(arrival - first) else {
                        return false
                    }
                    return reader.entry(group, number: number, to: &scratch)
                }
                guard isWhole else { throw malformed }
                try add(scratch, to: &tally)
            }
        }
    }

    private func count(_ view: GroupView, _ test: RowTest, into tally: inout EventTally) throws(HistoryError) {
        let source = GroupSource(view: view)
        var scratch: [UInt8] = []
        for zone in 0..<(view.count + zoneRows - 1) / zoneRows {
            try checkCancelled()
            var rows: [Int] = []
            try test.evaluate(source, zone: zone).forEach { rows.append(zone * zoneRows + $0) }
            for row in rows {
                scratch.removeAll(keepingCapacity: true)
                guard view.append(row, to: &scratch) else {
                    throw HistoryError(.damaged, "an unsealed event cannot be read; restart the server")
                }
                try add(scratch, to: &tally)
            }
        }
    }

    /// Counts an entry if the query takes its record.
    private func add(_ entry: [UInt8], to tally: inout EventTally) throws(HistoryError) {
        let isWhole = entry.withUnsafeBytes { entry in
            guard EventHeader.parse(entry) != nil else { return false }
            guard UnsafeRawBufferPointer(rebasing: entry[1..<13]).isSame(query.ownerAccount) else { return true }
            let record = UnsafeRawBufferPointer(rebasing: entry[EventEnvelope.headerBytes...])
            var fields = EventFields()
            _ = try? EventReader.scan(record, into: &fields)
            if query.startSeconds != nil || query.endSeconds != nil {
                guard let times = query.times, times.contains(fields.eventSeconds ?? 0) else { return true }
            }
            if query.takes(fields, in: record) { tally.add(fields, in: record) }
            return true
        }
        guard isWhole else { throw HistoryError(.damaged, "an entry of the history has no envelope") }
    }
}
