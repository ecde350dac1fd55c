// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Dispatch
internal import Synchronization

/// Runs blocking or long work (the journal's disk, compression, key generation) away from the cooperative pool, whose few
/// threads answer calls.
func away<Result: Sendable>(
    on queue: DispatchQueue, _ body: @escaping @Sendable () throws(AWSError) -> Result
) async throws(AWSError) -> Result {
    let outcome = await withCheckedContinuation { continuation in
        queue.async {
            do throws(AWSError) {
                continuation.resume(returning: Swift.Result<Result, AWSError>.success(try body()))
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
    }
    return try outcome.get()
}

/// Takes items one after the other within a lane, and the lanes side by side.
///
/// - Parameter body: answers whether the rest of its lane is to be taken as well.
func inLanes<Item: Sendable>(
    _ items: [Item], by lane: (Item) -> String?, _ body: @escaping @Sendable (Item) async -> Bool
) async {
    await withTaskGroup(of: Void.self) { group in
        for (_, items) in Dictionary(grouping: items, by: lane) {
            group.addTask {
                for item in items {
                    guard await body(item) else { return }
                }
            }
        }
    }
}

/// Wakes a loop early; a nudge given while nobody waits is kept for the next wait.
final class Nudge: Sendable {
    private struct State {
        var isGiven = false
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var made: UInt64 = 0
    }

    private let state = Mutex(State())

    func give() {
        let waiters = state.withLock { state in
            let waiters = state.waiters
            state.waiters = [:]
            if waiters.isEmpty { state.isGiven = true }
            return waiters.values
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Returns when a nudge is given, or when the task is cancelled.
    func wait() async {
        let number = state.withLock { state in
            state.made += 1
            return state.made
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDue = state.withLock { state in
                    if state.isGiven || Task.isCancelled {
                        state.isGiven = false
                        return true
                    }
                    state.waiters[number] = continuation
                    return false
                }
                if isDue { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
        }
    }
}

/// When something that failed may be tried again: each failure doubles the wait, up to a bound.
struct Backoff: Sendable {
    private struct Entry {
        var failures: Int
        var failed: Int64
        var notBefore: Int64
    }

    /// Milliseconds.
    let first: Int64
    let most: Int64
    private var entries: [String: Entry] = [:]

    init(first: Int64, most: Int64) {
        self.first = first
        self.most = most
    }

    /// A clock that was set back since the failure puts nothing off.
    func isDue(_ name: String, now: Int64) -> Bool {
        entries[name].map { now >= $0.notBefore || now < $0.failed } ?? true
    }

    mutating func failed(_ name: String, now: Int64) {
        let failures = (entries[name]?.failures ?? 0) + 1
        let wait = min(first << Int64(min(failures - 1, 20)), most)
        entries[name] = Entry(failures: failures, failed: now, notBefore: now + wait)
    }

    mutating func succeeded(_ name: String) { entries[name] = nil }

    mutating func clear() { entries = [:] }
}
