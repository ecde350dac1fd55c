// SPDX-License-Identifier: Apache-2.0

package import AWSWire

/// Decides which attempts to sign in are looked at: a pure machine, time comes in with each attempt.
///
/// Attempts count by name and address together, by name, and by address, in windows; an attempt that succeeds takes its own
/// count back. Names that do not exist count like those that do, so that nobody learns the difference.
package struct SignInThrottle: Sendable {
    package struct Limits: Sendable {
        package var windowSeconds: Int64 = 300
        /// Failed attempts in a window for one name from one address.
        package var perNameAndAddress = 5
        /// Failed attempts in a window for one name from all addresses: nobody is locked out by one address alone.
        package var perName = 50
        /// Failed attempts in a window from one address.
        package var perAddress = 100
        /// Attempts under way at once: each costs much computing.
        package var runningMax = 4
        /// Counts that are kept.
        package var countsMax = 20_000

        package init() {}
    }

    private struct Count {
        var attempts: Int
        var end: Timestamp
    }

    private enum Key: Hashable {
        case both(String, String)
        case name(String)
        case address(String)
    }

    private let limits: Limits
    private var counts: [Key: Count] = [:]
    private var running = 0

    package init(limits: Limits = Limits()) { self.limits = limits }

    /// Takes up an attempt, which `end` must be told of; or refuses it, and nothing follows.
    package mutating func begin(name: String, address: String, now: Timestamp) -> Bool {
        guard running < limits.runningMax else { return false }
        if counts.count >= limits.countsMax {
            counts = counts.filter { $0.value.end > now }
            if counts.count >= limits.countsMax { counts = [:] }
        }
        let keys = keys(name, address)
        for (key, most) in keys where count(key, now) >= most { return false }
        for (key, _) in keys {
            let end = now.adding(seconds: limits.windowSeconds)
            if let known = counts[key], known.end > now {
                counts[key] = Count(attempts: known.attempts + 1, end: known.end)
            } else {
                counts[key] = Count(attempts: 1, end: end)
            }
        }
        running += 1
        return true
    }

    package enum Ending: Sendable {
        case failed
        /// The password was right, and more is wanted: neither a guess nor a proof.
        case unfinished
        case succeeded
    }

    /// Ends an attempt that was taken up.
    package mutating func end(name: String, address: String, _ ending: Ending) {
        running -= 1
        guard ending != .failed else { return }
        for (key, _) in keys(name, address) { counts[key]?.attempts -= 1 }
        if ending == .succeeded { counts[.both(name, address)] = nil }
    }

    private func keys(_ name: String, _ address: String) -> [(Key, Int)] {
        [
            (.both(name, address), limits.perNameAndAddress), (.name(name), limits.perName),
            (.address(address), limits.perAddress),
        ]
    }

    private func count(_ key: Key, _ now: Timestamp) -> Int {
        guard let count = counts[key], count.end > now else { return 0 }
        return count.attempts
    }
}
