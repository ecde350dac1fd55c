// SPDX-License-Identifier: Apache-2.0
//
// Questions to plain log files. A file is inflated into memory that is kept; the reader of records then walks over it once,
// finding records and their fields in the same pass, and nothing is allocated for a record that is only counted.

import ArgumentParser
import EventHistory
import EventRecord
import Foundation
import LogFiles
import Server
import Synchronization

/// Reads through log files as they are, some at a time. An event that several files hold is seen as often, unless asked for once.
struct FileScan: Sendable {
    let files: [LogFolder.File]
    let question: EventQuestion
    /// Whether an event counts once, by its id, however many files hold it.
    let isUnique: Bool

    /// Which file comes next, and how far all have come.
    private final class Turn: Sendable {
        let next = Atomic<Int>(0)
        let bytesDone = Atomic<Int>(0)
    }

    /// One event, in the memory of its file.
    struct Found {
        let fields: EventFields
        let record: UnsafeRawBufferPointer
    }

    /// Counts the events that match.
    func tally(_ grouping: EventTally.Grouping) async throws -> EventTally {
        let whole = Mutex(EventTally(grouping))
        let seen = isUnique ? SeenEvents() : nil
        try await scan { file in
            var own = EventTally(grouping)
            try file.forEach { found in
                if let seen, try !seen.isNew(found) { return }
                own.add(found.fields, in: found.record)
            }
            let counted = own
            whole.withLock { $0.merge(counted) }
        }
        return whole.withLock { $0 }
    }

    /// The first events that match, in an order; events of one second in the order of their files.
    func first(_ limit: Int, _ order: HistoryQuery.Order) async throws -> [Event] {
        let kept = Mutex<[Placed]>([])
        let isUnique = isUnique
        try await scan { file in
            var own: [Placed] = []
            var index = 0
            try file.forEach { found in
                // A copy of its own, as the file's bytes go.
                let event = Event(record: Array(found.record)[...], fields: found.fields)
                own.append(Placed(file: file.number, index: index, event: event))
                index += 1
                Self.cut(&own, to: limit, order, isUnique: isUnique, over: limit * 2 + 1000)
            }
            let ours = own
            kept.withLock { events in
                events.append(contentsOf: ours)
                Self.cut(&events, to: limit, order, isUnique: isUnique, over: limit * 2 + 1000)
            }
        }
        return kept.withLock { events in
            Self.cut(&events, to: limit, order, isUnique: isUnique, over: 0)
            return events.map(\.event)
        }
    }

    // MARK: Reading

    /// An event that was kept, and where it stood.
    private struct Placed: Sendable {
        var file: Int
        var index: Int
        var event: Event
    }

    /// Keeps the first so many when there are more than a bound; each id once, when asked so.
    private static func cut(
        _ events: inout [Placed], to limit: Int, _ order: HistoryQuery.Order, isUnique: Bool, over bound: Int
    ) {
        guard events.count > bound else { return }
        events.sort { a, b in
            let (x, y) = (a.event.eventSeconds ?? 0, b.event.eventSeconds ?? 0)
            if x != y { return order == .newestFirst ? x > y : x < y }
            return order == .newestFirst ? (a.file, a.index) > (b.file, b.index) : (a.file, a.index) < (b.file, b.index)
        }
        if isUnique {
            var ids = EventIDSet()
            events.removeAll { placed in
                placed.event.record.withUnsafeBytes { !ids.insert(.init(of: placed.event.fields, in: $0)) }
            }
        }
        events.removeLast(max(0, events.count - limit))
    }

    /// One file, whose matching events are to be read.
    private struct OpenFile {
        let scan: FileScan
        let reader: LogFileReader
        /// Its place among the files.
        let number: Int
        var file: LogFolder.File { scan.files[number] }

        /// Gives each matching event to the body. What cannot be read is told and passed over.
        func forEach(_ body: (Found) throws -> Void) throws {
            let content: UnsafeRawBufferPointer
            do {
                content = try reader.content(ofFile: file.path)
            } catch {
                tell("at byte \(error.offset): \(error.reason)")
                return
            }
            var fields = EventFields()
            var failure: (any Error)?
            func take(_ range: Range<Int>) {
                let record = UnsafeRawBufferPointer(rebasing: content[range])
                guard failure == nil, scan.question.takes(fields, in: record) else { return }
                do { try body(Found(fields: fields, record: record)) } catch { failure = error }
            }
            let left = LogFile.records(in: content) { start in
                let rest = UnsafeRawBufferPointer(rebasing: content[start...])
                guard let length = EventReader.scan(prefixOf: rest, into: &fields) else { return nil }
                take(start..<start + length)
                return start + length
            }
            for problem in left.problems { tell("at byte \(problem.offset): \(problem.reason)") }
            for range in left.records {
                do throws(EventError) {
                    try EventReader.scan(UnsafeRawBufferPointer(rebasing: content[range]), into: &fields)
                } catch {
                    tell("at byte \(range.lowerBound + error.offset): \(error.reason.rawValue)")
                    continue
                }
                take(range)
            }
            if let failure { throw failure }
        }

        private func tell(_ text: String) {
            FileHandle.standardError.write(Data("\(file.path): \(text)\n".utf8))
        }
    }

    /// Gives each file to the body, on as many threads as there are processors.
    private func scan(_ body: @escaping @Sendable (OpenFile) throws -> Void) async throws {
        let turn = Turn()
        let meter = ProgressMeter()
        let bytesTotal = files.reduce(0) { $0 + $1.bytes }
        let workers = max(1, min(files.count, ProcessInfo.processInfo.activeProcessorCount))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<workers {
                group.addTask {
                    let reader = try LogFileReader()
                    while !Task.isCancelled {
                        let taken = turn.next.wrappingAdd(1, ordering: .relaxed).oldValue
                        guard taken < files.count else { return }
                        try body(OpenFile(scan: self, reader: reader, number: taken))
                        let done = turn.bytesDone.wrappingAdd(files[taken].bytes, ordering: .relaxed).newValue
                        meter.show(done: UInt64(done), total: UInt64(bytesTotal), unit: "bytes")
                    }
                }
            }
            try await group.waitForAll()
        }
        meter.clear()
    }
}

/// Which events were counted, by id, for all threads.
private final class SeenEvents: Sendable {
    /// Ids that are kept: half a gigabyte of memory at most.
    private static let countMax = 1 << 24
    private static let shards = 16

    private let ids: [Shard]
    private let count = Atomic<Int>(0)

    private final class Shard: Sendable {
        let ids = Mutex(EventIDSet())
    }

    init() { ids = (0..<Self.shards).map { _ in Shard() } }

    /// Whether the event comes for the first time.
    func isNew(_ found: FileScan.Found) throws -> Bool {
        let key = EventIDSet.Key(of: found.fields, in: found.record)
        let isNew = ids[Int(truncatingIfNeeded: key.high >> 32) % Self.shards].ids.withLock { $0.insert(key) }
        if isNew, count.wrappingAdd(1, ordering: .relaxed).newValue > Self.countMax {
            throw ValidationError(
                "--unique can tell \(Self.countMax) events apart, and there are more; ask with --start and --end, or import the files"
            )
        }
        return isNew
    }
}
