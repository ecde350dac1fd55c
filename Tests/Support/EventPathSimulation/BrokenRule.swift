// SPDX-License-Identifier: Apache-2.0

/// What must hold, and did not.
package struct BrokenRule: Error, CustomStringConvertible {
    package var what: String
    package var description: String { what }
}

/// - Throws: `BrokenRule` when the condition does not hold.
func hold(_ condition: Bool, _ rule: @autoclosure () -> String) throws(BrokenRule) {
    guard !condition else { return }
    throw BrokenRule(what: rule())
}

/// - Throws: `BrokenRule` when there is no value.
func held<Value>(_ value: Value?, _ rule: String) throws(BrokenRule) -> Value {
    guard let value else { throw BrokenRule(what: rule) }
    return value
}

/// A mistake that is built in on purpose, to show that the simulation finds it.
package enum Defect: String, CaseIterable, Sendable {
    /// The trail's position is saved before the log file is in the bucket: a death between loses the file.
    case positionBeforePut
    /// The journal says that it has flushed, and has not.
    case journalFlushForgotten
    /// History says that it has flushed its files, and has not.
    case historyFlushForgotten
    /// Delivery gives a file that it tries again a new name though the first try may have succeeded.
    case putUnderAnotherName
}

/// What happened in a simulation, or in many.
package struct SimulationCounts: Sendable {
    package var steps = 0
    package var events = 0
    package var milliseconds: Int64 = 0
    /// Deaths in the midst of an operation on a disk, a put or a commit.
    package var deaths = 0
    package var powerCuts = 0
    package var restarts = 0
    /// Calls that failed, and from which all went on.
    package var faults = 0
    package var jumps = 0
    package var seals = 0
    package var merges = 0
    package var drops = 0
    package var logFiles = 0
    package var digests = 0

    package init() {}

    package static func += (a: inout SimulationCounts, b: SimulationCounts) {
        a.steps += b.steps
        a.events += b.events
        a.milliseconds += b.milliseconds
        a.deaths += b.deaths
        a.powerCuts += b.powerCuts
        a.restarts += b.restarts
        a.faults += b.faults
        a.jumps += b.jumps
        a.seals += b.seals
        a.merges += b.merges
        a.drops += b.drops
        a.logFiles += b.logFiles
        a.digests += b.digests
    }
}
