// SPDX-License-Identifier: Apache-2.0
//
// Counting over all events that match. Segments are taken by several threads. Where columns decide the filter and hold what is
// grouped by, no record is touched (HistoryScan+Columns.swift). Otherwise columns tell which events may match, and their blocks
// are decompressed once, in the order of the file, past the cache; the rest of the filter is asked of their tokens
// (TokenFilter.swift), and where these do not tell, of the record. Where columns hold what is grouped by, the events that match
// are then counted by columns.

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
        /// By the segment's place in the list of scans: arrival indexes of events that match.
        var matching: [Int: [[UInt32]]] = [:]
    }

    private static let threadsMax = 8
    /// Blocks of a segment that a thread takes at once; they are of one group.
    private static let blocksAtOnce = 128

    /// A segment whose blocks are read.
    private struct SegmentScan: Sendable {
        var segment: HistorySegment
        /// Events that may match, in the order of arrival; nil for all.
        var arrivals: [UInt32]?
        var question: BlockScan.Question
    }

    /// What a thread works on.
    private struct Portion: Sendable {
        var scan: Int
        var blocks: Range<Int>
        /// Places in the scan's arrivals.
        var arrivals: Range<Int>
    }

    /// Blocks on files and on its own threads.
    func tally() throws(HistoryError) -> EventTally {
        let empty = EventTally(grouping)
        guard let times = query.times else { return empty }
        let segments = snapshot.segments.filter { $0.timeMax >= times.lowerBound && $0.timeMin <= times.upperBound }
        let views = snapshot.groups.filter { $0.timeMax >= times.lowerBound && $0.timeMin <= times.upperBound }
        let total = segments.reduce(0) { $0 + UInt64($1.events) } + views.reduce(0) { $0 + UInt64($1.count) }
        var whole = empty
        let planned = try plan(segments, times, total: total)
        whole.merge(planned.tally)
        for view in views {
            try checkCancelled()
            let source = GroupSource(view: view)
            let test = try query.test(source, times, cutoffs)
            if try !countByColumns(source, test, into: &whole) { try count(view, test.necessary, into: &whole) }
        }
        if !planned.scans.isEmpty { try count(planned.scans, total: total, done: planned.done, into: &whole) }
        progress(HistoryProgress(eventsDone: total, eventsTotal: total))
        return whole
    }

    private struct Planned {
        var tally: EventTally
        var done: UInt64 = 0
        var scans: [SegmentScan] = []
        var failure: HistoryError?
    }

    /// Counts the segments whose columns suffice, on several threads, and plans how the others are read.
    private func plan(
        _ segments: [HistorySegment], _ times: ClosedRange<Int64>, total: UInt64
    ) throws(HistoryError) -> Planned {
        let empty = EventTally(grouping)
        let planned = Mutex(Planned(tally: empty))
        let next = Atomic<Int>(0)
        let work: @Sendable (Int) -> Void = { _ in
            var own = empty
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < segments.count, planned.withLock({ $0.failure == nil }) else { break }
                do throws(HistoryError) {
                    try checkCancelled()
                    let source = SegmentSource(segment: segments[index], cache: cache)
                    let test = try query.test(source, times, cutoffs)
                    var found: SegmentScan?
                    if try !countByColumns(source, test, into: &own) { found = try scan(source, test.necessary) }
                    let scan = found
                    let done = planned.withLock { state in
                        if let scan { state.scans.append(scan) } else { state.done += UInt64(segments[index].events) }
                        return state.done
                    }
                    progress(HistoryProgress(eventsDone: done, eventsTotal: total))
                } catch {
                    planned.withLock { $0.failure = error }
                    return
                }
            }
            let counted = own
            planned.withLock { $0.tally.merge(counted) }
        }
        if segments.count < 2 {
            work(0)
        } else {
            DispatchQueue.concurrentPerform(iterations: min(segments.count, Self.threadsMax), execute: work)
        }
        var result = planned.withLock { $0 }
        if let failure = result.failure { throw failure }
        // The oldest first, whichever thread was faster.
        result.scans.sort { $0.segment.first < $1.segment.first }
        return result
    }

    func checkCancelled() throws(HistoryError) {
        if cancellation.isCancelled { throw HistoryError(.cancelled, "the count was cancelled") }
    }

    // MARK: On the records

    /// Whether columns hold all that is grouped by.
    private var isGroupedByColumns: Bool {
        grouping.paths.count <= Self.columnsMax && grouping.paths.allSatisfy { $0.dictionaryColumn != nil }
    }

    /// How a segment's blocks are to be read; nil when no event of it can match.
    private func scan(_ source: SegmentSource, _ test: RowTest) throws(HistoryError) -> SegmentScan? {
        let segment = source.segment
        if case .never = test { return nil }
        let left = try FilterCompiler(source: source).undecided(query.filter)
        let question = BlockScan.Question(
            tokens: TokenQuestion(left), isDecided: left == .all, needsEntry: !isGroupedByColumns)
        if case .always = test { return SegmentScan(segment: segment, arrivals: nil, question: question) }
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
        return found.isEmpty ? nil : SegmentScan(segment: segment, arrivals: found, question: question)
    }

    /// Cuts what is to be read into portions; blocks without an event that may match are left out.
    private func portions(_ scans: [SegmentScan]) -> [Portion] {
        var portions: [Portion] = []
        for (index, scan) in scans.enumerated() {
            let blocks = scan.segment.blocks
            var at = 0
            var open: Portion?
            for block in blocks.indices {
                var end = at
                if let arrivals = scan.arrivals {
                    let last = scan.segment.arrivals(ofBlock: block).upperBound
                    while end < arrivals.count, Int(arrivals[end]) < last { end += 1 }
                }
                defer { at = end }
                if let portion = open, portion.blocks.count < Self.blocksAtOnce,
                    blocks[portion.blocks.lowerBound].group == blocks[block].group
                {
                    open?.blocks = portion.blocks.lowerBound..<block + 1
                    open?.arrivals = portion.arrivals.lowerBound..<end
                    continue
                }
                if let open { portions.append(open) }
                open = Portion(scan: index, blocks: block..<block + 1, arrivals: at..<end)
            }
            if let open { portions.append(open) }
        }
        return portions.filter { scans[$0.scan].arrivals == nil || !$0.arrivals.isEmpty }
    }

    private func count(
        _ scans: [SegmentScan], total: UInt64, done: UInt64, into whole: inout EventTally
    ) throws(HistoryError) {
        let empty = EventTally(grouping)
        let portions = portions(scans)
        let counted = Mutex(Counted(tally: empty, done: done))
        let nextPortion = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: min(portions.count, Self.threadsMax)) { _ in
            var own = empty
            let blocks = BlockScan()
            while true {
                let index = nextPortion.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < portions.count, counted.withLock({ $0.failure == nil }) else { break }
                let portion = portions[index]
                var matching: [UInt32] = []
                do throws(HistoryError) {
                    try read(portion, of: scans[portion.scan], blocks, into: &own, &matching)
                } catch {
                    counted.withLock { $0.failure = error }
                    return
                }
                let segment = scans[portion.scan].segment
                let events = portion.blocks.reduce(0) { $0 + segment.arrivals(ofBlock: $1).count }
                let found = matching
                let done = counted.withLock { state in
                    state.done += UInt64(events)
                    if !found.isEmpty { state.matching[portion.scan, default: []].append(found) }
                    return state.done
                }
                progress(HistoryProgress(eventsDone: min(done, total), eventsTotal: total))
            }
            counted.withLock { $0.tally.merge(own) }
        }
        let result = counted.withLock { $0 }
        if let failure = result.failure { throw failure }
        whole.merge(result.tally)
        for (index, matching) in result.matching {
            let source = SegmentSource(segment: scans[index].segment, cache: cache)
            try countByColumns(source, rows: rows(source, ofArrivals: matching), into: &whole)
        }
    }

    /// Reads a portion's blocks: counts events that match, or notes them where columns hold what is grouped by.
    private func read(
        _ portion: Portion, of scan: SegmentScan, _ blocks: BlockScan, into tally: inout EventTally,
        _ matching: inout [UInt32]
    ) throws(HistoryError) {
        var at = portion.arrivals.lowerBound
        for block in portion.blocks {
            try checkCancelled()
            var here: ArraySlice<UInt32>?
            if let arrivals = scan.arrivals {
                var end = at
                let last = scan.segment.arrivals(ofBlock: block).upperBound
                while end < portion.arrivals.upperBound, Int(arrivals[end]) < last { end += 1 }
                if end == at { continue }
                here = arrivals[at..<end]
                at = end
            }
            try blocks.scan(scan.segment, block: block, here, scan.question, cache) { (found) throws(HistoryError) in
                if scan.question.needsEntry {
                    try add(found.entry, isDecided: !found.isUndecided, to: &tally)
                } else {
                    if found.isUndecided { guard try takes(found.entry) else { return } }
                    matching.append(UInt32(truncatingIfNeeded: found.arrival))
                }
            }
        }
    }

    /// The rows of events, ascending.
    private func rows(_ source: SegmentSource, ofArrivals parts: [[UInt32]]) throws(HistoryError) -> [UInt32] {
        let events = source.events
        var wanted = [UInt64](repeating: 0, count: events / 64 + 1)
        for part in parts { for arrival in part { wanted[Int(arrival) >> 6] |= 1 << UInt64(arrival & 63) } }
        var rows: [UInt32] = []
        for piece in 0..<(events + pieceRows - 1) / pieceRows {
            let order = try source.segment.words(.order, piece, source.cache)
            order.withUnsafeBytes { order in
                for row in 0..<order.count / 4 {
                    let arrival = Int(order.u32(row * 4))
                    guard arrival < events, wanted[arrival >> 6] & 1 << UInt64(arrival & 63) != 0 else { continue }
                    rows.append(UInt32(truncatingIfNeeded: piece * pieceRows + row))
                }
            }
        }
        return rows
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
                try scratch.withBytes { (entry) throws(HistoryError) in try add(entry, isDecided: false, to: &tally) }
            }
        }
    }

    /// Counts an entry if the query takes its record.
    private func add(
        _ entry: UnsafeRawBufferPointer, isDecided: Bool, to tally: inout EventTally
    ) throws(HistoryError) {
        var fields = EventFields()
        if !isDecided { guard try takes(entry, &fields) else { return } }
        let record = UnsafeRawBufferPointer(rebasing: entry[min(EventEnvelope.headerBytes, entry.count)...])
        if isDecided { _ = try? EventReader.scan(record, into: &fields) }
        tally.add(fields, in: record)
    }

    private func takes(_ entry: UnsafeRawBufferPointer) throws(HistoryError) -> Bool {
        var fields = EventFields()
        return try takes(entry, &fields)
    }

    /// Whether the query takes an entry's record, whose fields are then known.
    private func takes(_ entry: UnsafeRawBufferPointer, _ fields: inout EventFields) throws(HistoryError) -> Bool {
        guard EventHeader.parse(entry) != nil else {
            throw HistoryError(.damaged, "an entry of the history has no envelope")
        }
        guard UnsafeRawBufferPointer(rebasing: entry[1..<13]).isSame(query.ownerAccount) else { return false }
        let record = UnsafeRawBufferPointer(rebasing: entry[EventEnvelope.headerBytes...])
        _ = try? EventReader.scan(record, into: &fields)
        if query.startSeconds != nil || query.endSeconds != nil {
            guard let times = query.times, times.contains(fields.eventSeconds ?? 0) else { return false }
        }
        return query.takes(fields, in: record)
    }
}

extension [UInt8] {
    /// Gives the bytes to the body; what this throws is thrown on.
    func withBytes(_ body: (UnsafeRawBufferPointer) throws(HistoryError) -> Void) throws(HistoryError) {
        let outcome = withUnsafeBytes { bytes -> Result<Void, HistoryError> in
            do throws(HistoryError) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        try outcome.get()
    }
}
