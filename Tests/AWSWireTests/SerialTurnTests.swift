// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Synchronization
import Testing

struct SerialTurnTests {
    /// How many are inside, and were at most.
    private final class Room: Sendable {
        private let state = Mutex((now: 0, most: 0, runs: 0))

        func enter() {
            state.withLock {
                $0.now += 1
                $0.most = max($0.most, $0.now)
            }
        }

        func leave() {
            state.withLock {
                $0.now -= 1
                $0.runs += 1
            }
        }

        var most: Int { state.withLock { $0.most } }
        var runs: Int { state.withLock { $0.runs } }
    }

    @Test func `one after another, whatever is awaited in between`() async {
        let turn = SerialTurn()
        let room = Room()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    await turn.run {
                        room.enter()
                        for _ in 0..<5 { await Task.yield() }
                        room.leave()
                    }
                }
            }
        }
        #expect(room.most == 1)
        #expect(room.runs == 20)
    }

    @Test func `a body that throws lets the next one in`() async {
        let turn = SerialTurn()
        await #expect(throws: AWSError.self) {
            try await turn.run { () async throws(AWSError) in throw AWSError("Broken", "no") }
        }
        #expect(await turn.run { 7 } == 7)
    }
}
