// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Synchronization

/// Every bound of the intake; what is over one is refused with 429 and Retry-After, and nothing of it is taken.
package struct IntakeLimits: Sendable {
    /// Events that may wait in the journal for what follows it (event history, delivery). Beyond, nothing more is taken in.
    package var backlogEventsMax: UInt64 = 2_000_000
    /// Bytes of all bodies together that are put aside on the disk. One body alone that is larger is refused for good (413).
    package var spoolBytesMax = 4 << 30
    /// Bodies taken in at the same time; each holds a piece of its content and a batch of records in memory.
    package var bodiesMax = 16
    /// How often, and for how many milliseconds, a body that is half taken waits for the backlog to shrink before it is refused.
    package var waitsMax = 150
    package var waitMilliseconds: Int64 = 200

    package init() {}
}

/// What of the limits is in use by bodies on their way in.
final class IntakeBudget: Sendable {
    private struct State {
        var bodies = 0
        var bytes = 0
    }

    private let limits: IntakeLimits
    private let state = Mutex(State())

    init(_ limits: IntakeLimits) { self.limits = limits }

    func openBody() throws(AWSError) {
        let isOpen = state.withLock { state in
            guard state.bodies < limits.bodiesMax else { return false }
            state.bodies += 1
            return true
        }
        guard isOpen else {
            throw .intakeBusy("\(limits.bodiesMax) bodies are being taken in already", retryAfter: 1)
        }
    }

    /// - Parameter held: bytes that this body has already.
    func take(_ bytes: Int, held: Int) throws(AWSError) {
        guard held + bytes <= limits.spoolBytesMax else {
            throw AWSError(
                "EntityTooLarge", status: 413,
                "A body can have at most \(limits.spoolBytesMax) bytes here; send it in parts.")
        }
        let isTaken = state.withLock { state in
            guard state.bytes + bytes <= limits.spoolBytesMax else { return false }
            state.bytes += bytes
            return true
        }
        guard isTaken else { throw .intakeBusy("the space for bodies under way is used up", retryAfter: 5) }
    }

    func closeBody(_ bytes: Int) {
        state.withLock { state in
            state.bodies -= 1
            state.bytes -= bytes
        }
    }
}

extension AWSError {
    /// The intake takes no more for the moment. Nothing is lost that was acknowledged; the client sends again.
    static func intakeBusy(_ reason: String, retryAfter seconds: Int) -> AWSError {
        AWSError(
            "ThrottlingException", status: 429, "Rate exceeded: \(reason). Send it again later.",
            headers: [WireHeader("retry-after", String(seconds))])
    }
}
