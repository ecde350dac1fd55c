// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import EventJournal

/// Callers in a closed loop against a disk and one processor, in simulated time.
struct FlushPaceTests {
    private struct Outcome {
        var callers = 0
        var flushes = 0
        /// Of the last flush.
        var target = 0
        var perFlush: Int { callers / max(flushes, 1) }
    }

    /// - Parameters:
    ///   - work: microseconds of the processor that each caller needs between two appends; one caller at a time.
    ///   - flush: microseconds that each flush takes.
    private func run(callers: Int, work: Int64, flush: Int64, until end: Int64 = 1_000_000) -> Outcome {
        var pace = FlushPace(waitersMax: 512)
        var outcome = Outcome()
        // When each caller that is not waiting appends next, in order.
        var coming = (0..<callers).map { Int64($0 + 1) * work }
        var now: Int64 = 0
        var ended: Int64 = 0
        var waiting = 0
        var last = FlushPace.Flush(carried: 0, arrived: 0, gathering: 0, flushing: 0)
        func arrive() {
            while let first = coming.first, first <= now {
                coming.removeFirst()
                waiting += 1
            }
        }
        while now < end {
            var isComplete = true
            if last.carried >= 2 {
                let deadline = now + flush * 8
                arrive()
                while waiting < pace.target {
                    guard let next = coming.first, next <= deadline else {
                        now = deadline
                        isComplete = false
                        break
                    }
                    now = max(now, next)
                    arrive()
                }
            }
            arrive()
            if waiting == 0, let next = coming.first {
                now = next
                arrive()
            }
            let carried = waiting
            let begun = now
            waiting = 0
            now += flush
            arrive()
            last = FlushPace.Flush(carried: carried, arrived: waiting, gathering: begun - ended, flushing: flush)
            if carried >= 2 { pace.note(last, isComplete: isComplete) }
            ended = now
            var free = max(coming.last ?? now, now)
            for _ in 0..<carried {
                free += work
                coming.append(free)
            }
            outcome.callers += carried
            outcome.flushes += 1
        }
        outcome.target = pace.target
        return outcome
    }

    @Test func `a caller alone has a flush to itself`() {
        #expect(run(callers: 1, work: 50, flush: 400).perFlush == 1)
    }

    @Test(arguments: [8, 16, 64])
    func `where the disk is the bound, a flush carries everybody`(callers: Int) {
        let outcome = run(callers: callers, work: 2, flush: 400)
        #expect(outcome.target == callers)
        #expect(outcome.perFlush >= callers - 1)
    }

    @Test func `where the processor is the bound, it is kept busy while the disk works, with few flushes`() {
        let outcome = run(callers: 64, work: 55, flush: 400)
        // The processor alone could do 1,000,000 / 55 in the time.
        #expect(outcome.callers > 1_000_000 / 55 * 9 / 10)
        #expect(outcome.perFlush >= 32)
    }

    @Test func `callers that stay away are not waited for twice`() {
        var pace = FlushPace(waitersMax: 512)
        for _ in 0..<50 {
            pace.note(.init(carried: 20, arrived: 4, gathering: 100, flushing: 400), isComplete: true)
        }
        #expect(pace.target > 20)
        pace.note(.init(carried: 3, arrived: 0, gathering: 3000, flushing: 400), isComplete: false)
        #expect(pace.target == 3)
    }

    @Test func `the target stays within its bounds`() {
        var pace = FlushPace(waitersMax: 10)
        for _ in 0..<50 {
            pace.note(.init(carried: 20, arrived: 20, gathering: 0, flushing: 400), isComplete: true)
        }
        #expect(pace.target == 10)
        for _ in 0..<500 {
            pace.note(.init(carried: 1, arrived: 0, gathering: 5000, flushing: 400), isComplete: true)
        }
        #expect(pace.target == 1)
    }
}
