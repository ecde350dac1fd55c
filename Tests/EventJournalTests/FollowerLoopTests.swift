// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import EventJournal

struct FollowerLoopTests {
    private struct Refusal: Error {}

    /// Takes entries and its position together, and fails when told.
    private final class Collector: Follower {
        struct State {
            var position: UInt64 = 0
            var entries: [[UInt8]] = []
            var failures = 0
            var resumes = 0
        }

        let name = "collector"
        let state: Mutex<State>

        init(position: UInt64 = 0, failures: Int = 0) {
            state = Mutex(State(position: position, failures: failures))
        }

        func resume() async throws -> UInt64 {
            state.withLock {
                $0.resumes += 1
                return $0.position
            }
        }

        func follow(_ batch: JournalBatch) async throws {
            try state.withLock {
                if $0.failures > 0 {
                    $0.failures -= 1
                    throw Refusal()
                }
                #expect(batch.first == $0.position)
                $0.entries += batch.entries.map { Array($0) }
                $0.position = batch.next
            }
        }
    }

    private func loop(
        _ follower: Collector, _ journal: Journal, pauses: @escaping @Sendable (Duration) throws -> Void = { _ in },
        reports: @escaping @Sendable (any Error) -> Void = { _ in }
    ) -> FollowerLoop {
        var limits = FollowerLoop.Limits()
        limits.readBytesMax = 100
        return FollowerLoop(
            follower, journal: journal, limits: limits, sleep: { try pauses($0) }, report: reports)
    }

    @Test func `a follower gets every entry once and in order, and all of it before the journal's end`() async throws {
        let journal = try TestJournal.open(SimulatedDisk())
        let follower = Collector()
        let loop = loop(follower, journal)
        async let run: Void = loop.run()
        for number in 0..<50 { _ = try await journal.append(TestJournal.entry(number)) }
        await journal.close()
        await run
        #expect(follower.state.withLock { $0.entries } == (0..<50).map { TestJournal.entry($0) })
    }

    @Test func `a follower resumes at its saved position`() async throws {
        let journal = try TestJournal.open(SimulatedDisk())
        for number in 0..<10 { _ = try await journal.append(TestJournal.entry(number)) }
        await journal.close()
        let follower = Collector(position: 7)
        await loop(follower, journal).run()
        #expect(follower.state.withLock { $0.entries } == (7..<10).map { TestJournal.entry($0) })
    }

    @Test func `a failure is reported, waited out, and skips nothing`() async throws {
        let journal = try TestJournal.open(SimulatedDisk())
        for number in 0..<5 { _ = try await journal.append(TestJournal.entry(number)) }
        await journal.close()
        let follower = Collector(failures: 3)
        let pauses = Mutex<[Duration]>([])
        let reports = Mutex(0)
        await loop(
            follower, journal, pauses: { pause in pauses.withLock { $0.append(pause) } },
            reports: { error in
                #expect(error is Refusal)
                reports.withLock { $0 += 1 }
            }
        ).run()
        #expect(follower.state.withLock { $0.entries.count } == 5)
        #expect(follower.state.withLock { $0.resumes } == 4)
        #expect(reports.withLock { $0 } == 3)
        #expect(pauses.withLock { $0 } == [.milliseconds(100), .milliseconds(200), .milliseconds(400)])
    }

    @Test func `a position past the journal's end is reported and not followed`() async throws {
        let journal = try TestJournal.open(SimulatedDisk())
        _ = try await journal.append([1])
        let follower = Collector(position: 9)
        let reports = Mutex<[JournalError]>([])
        await loop(
            follower, journal, pauses: { _ in throw CancellationError() },
            reports: { error in if let error = error as? JournalError { reports.withLock { $0.append(error) } } }
        ).run()
        #expect(reports.withLock { $0.map(\.code) } == [.missing])
        await journal.close()
    }

    @Test func `a cancelled loop ends`() async throws {
        let journal = try TestJournal.open(SimulatedDisk())
        let loop = loop(Collector(), journal)
        let task = Task.immediate { await loop.run() }
        task.cancel()
        await task.value
        await journal.close()
    }
}
