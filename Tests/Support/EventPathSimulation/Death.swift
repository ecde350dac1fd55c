// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Synchronization

/// Ends a turn at its n-th moment: there it stands still, as a process does that is gone.
final class Death: Sendable {
    private struct State {
        /// Moments until death; 0 when none is to come.
        var left = 0
        var hasEnded = false
        var waiter: CheckedContinuation<Void, Never>?
        var dead: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func arm(_ moments: Int) {
        state.withLock {
            $0.left = moments
            $0.hasEnded = false
        }
    }

    /// A moment comes. Returns at once, or for the dead when the simulation is over.
    ///
    /// - Returns: whether the process is dead.
    func pass() async -> Bool {
        let isDead = state.withLock { state in
            guard state.left > 0 else { return false }
            state.left -= 1
            return state.left == 0
        }
        guard isDead else { return false }
        await withCheckedContinuation { continuation in
            state.withLock { $0.dead.append(continuation) }
            turnEnded()
        }
        return true
    }

    /// The turn came to its own end, or to death.
    func turnEnded() {
        let waiter = state.withLock { state in
            state.hasEnded = true
            state.left = 0
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    func awaitEnd() async {
        await withCheckedContinuation { continuation in
            let hasEnded = state.withLock { state in
                if !state.hasEnded { state.waiter = continuation }
                return state.hasEnded
            }
            if hasEnded { continuation.resume() }
        }
    }

    func release() {
        let dead = state.withLock { state in
            defer { state.dead = [] }
            return state.dead
        }
        for continuation in dead { continuation.resume() }
    }
}

final class SimulatedTime: Sendable {
    private let milliseconds = Atomic<Int64>(ReadyCatalog.start)
    var now: Timestamp { Timestamp(milliseconds: milliseconds.load(ordering: .relaxed)) }
    func advance(milliseconds delta: Int64) { milliseconds.wrappingAdd(delta, ordering: .relaxed) }
}
