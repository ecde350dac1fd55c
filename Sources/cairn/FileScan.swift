// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventHistory
import EventRecord
import Foundation
import LogFiles
import Server
import Synchronization

/// Reads through log files as they are, some at a time. An event that several files hold is seen as often.
struct FileScan: Sendable {
    let files: [LogFolder.File]
    let question: EventQuestion

    /// Which file comes next, and how far all have come.
    private final class Turn: Sendable {
        let next = Atomic<Int>(0)
        let bytesDone = Atomic<Int>(0)
    }

    /// Counts the events that match.
    func tally(_ grouping: EventTally.Grouping) async throws -> EventTally {
        let whole = Mutex(EventTally(grouping))
        try await scan { batch in
            var own = EventTally(grouping)
            batch { event in event.record.withUnsafeBytes { own.add(event.fields, in: $0) } }
            whole.withLock { $0.merge(own) }
        }
        return whole.withLock { $0 }
    }

    /// The first events that match, in an order; events of one second in the order of their files.
    func first(_ limit: Int, _ order: HistoryQuery.Order) async throws -> [Event] {
        let kept = Mutex<[Event]>([])
        let cut: @Sendable (inout [Event], Int) -> Void = { events, count in
            guard events.count > count else { return }
            let sorted = events.enumerated().sorted { a, b in
                let (x, y) = (a.element.eventSeconds ?? 0, b.element.eventSeconds ?? 0)
                if x != y { return order == .newestFirst ? x > y : x < y }
                return order == .newestFirst ? a.offset > b.offset : a.offset < b.offset
            }
            events = sorted.prefix(limit).map(\.element)
        }
        try await scan { batch in
            var own: [Event] = []
            batch { event in
                // A copy of its own, so that the file's bytes can go.
                own.append(Event(record: Array(event.record)[...], fields: event.fields))
                cut(&own, limit * 2 + 1000)
            }
            kept.withLock { events in
                events.append(contentsOf: own)
                cut(&events, limit * 2 + 1000)
            }
        }
        return kept.withLock { events in
            cut(&events, 0)
            return events
        }
    }

    /// Gives each file's matching events to the body, from several tasks. What cannot be read is told and passed over.
    private func scan(
        _ body: @escaping @Sendable (_ each: ((Event) -> Void) -> Void) -> Void
    ) async throws {
        let turn = Turn()
        let meter = ProgressMeter()
        let bytesTotal = files.reduce(0) { $0 + $1.bytes }
        let workers = max(1, min(files.count, ProcessInfo.processInfo.activeProcessorCount))
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<workers {
                group.addTask {
                    while true {
                        let taken = turn.next.wrappingAdd(1, ordering: .relaxed).oldValue
                        guard taken < files.count else { return }
                        read(files[taken], body)
                        let done = turn.bytesDone.wrappingAdd(files[taken].bytes, ordering: .relaxed).newValue
                        meter.show(done: UInt64(done), total: UInt64(bytesTotal), unit: "bytes")
                    }
                }
            }
        }
        meter.clear()
    }

    private func read(_ file: LogFolder.File, _ body: (_ each: ((Event) -> Void) -> Void) -> Void) {
        guard let bytes = FileManager.default.contents(atPath: file.path) else {
            tell(file, "it cannot be read")
            return
        }
        let content: [UInt8]
        do {
            content = try LogFile.content(of: Array(bytes))
        } catch {
            tell(file, "at byte \(error.offset): \(error.reason)")
            return
        }
        let found = LogFile.records(in: content)
        for problem in found.problems { tell(file, "at byte \(problem.offset): \(problem.reason)") }
        body { each in
            var fields = EventFields()
            for range in found.records {
                let record = content[range]
                do throws(EventError) {
                    try EventReader.scan(record, into: &fields)
                } catch {
                    tell(file, "at byte \(range.lowerBound + error.offset): \(error.reason.rawValue)")
                    continue
                }
                let event = Event(record: record, fields: fields)
                if question.takes(event) { each(event) }
            }
        }
    }

    private func tell(_ file: LogFolder.File, _ text: String) {
        FileHandle.standardError.write(Data("\(file.path): \(text)\n".utf8))
    }
}
