// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Lets receivers wait for a message without asking again and again.
///
/// A receiver notes the number of arrivals, looks into the queue, and then waits for a later number: what came between is
/// not missed.
final class Arrivals: Sendable {
    private struct State {
        var counts: [String: UInt64] = [:]
        var waiters: [String: [UInt64: CheckedContinuation<Void, Never>]] = [:]
        var tickets: UInt64 = 0
    }

    private let state = Mutex(State())

    func count(_ queue: String) -> UInt64 { state.withLock { $0.counts[queue] ?? 0 } }

    /// Tells those who wait for the queue that there is something to look at.
    func note(_ queue: String) {
        let waiters = state.withLock { state in
            state.counts[queue, default: 0] += 1
            return state.waiters.removeValue(forKey: queue)
        }
        for waiter in (waiters ?? [:]).values { waiter.resume() }
    }

    /// Forgets a queue that is no more.
    func forget(_ queue: String) {
        note(queue)
        state.withLock { _ = $0.counts.removeValue(forKey: queue) }
    }

    /// Returns when something was noted after `count`, or when the task is cancelled.
    func wait(_ queue: String, after count: UInt64) async {
        let ticket = state.withLock { state in
            state.tickets += 1
            return state.tickets
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDue = state.withLock { state in
                    if Task.isCancelled || (state.counts[queue] ?? 0) != count { return true }
                    state.waiters[queue, default: [:]][ticket] = continuation
                    return false
                }
                if isDue { continuation.resume() }
            }
        } onCancel: {
            state.withLock { state in
                let waiter = state.waiters[queue]?.removeValue(forKey: ticket)
                if state.waiters[queue]?.isEmpty == true { state.waiters[queue] = nil }
                return waiter
            }?.resume()
        }
    }
}
