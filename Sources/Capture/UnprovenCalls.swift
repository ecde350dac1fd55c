// SPDX-License-Identifier: Apache-2.0

package import AWSWire

/// Decides which calls of unproven callers become an event each, and sums up the rest.
///
/// Nobody outside may fill the journal: in each window the first `singlesMax` calls are recorded one by one; all later ones
/// are counted by (service, operation, error code) and come out as one event each when the window ends. The number of such
/// groups is bounded as well; what does not fit is counted in the last one. A pure machine: time comes in with each call.
package struct UnprovenCalls: Sendable {
    package struct Limits: Sendable {
        /// Length of a window.
        package var windowMilliseconds: Int64 = 10_000
        /// Calls of a window that become an event of their own.
        package var singlesMax = 20
        /// Groups of a window that are summed up apart.
        package var groupsMax = 16
        /// Source addresses that a summary names.
        package var addressesMax = 16

        package init() {}
    }

    /// Calls of one kind that were counted and not recorded one by one.
    package struct Summary: Sendable {
        /// The first of them, which lends the event its form.
        package var record: CallRecord
        package var outcome: CallOutcome
        package var count: Int
        package var first: Timestamp
        package var last: Timestamp
        package var addresses: [String]
    }

    private struct Group: Hashable {
        var source: String
        var name: String
        var code: String
        var account: String
    }

    private let limits: Limits
    private var windowEnd: Timestamp?
    private var singles = 0
    private var groups: [Group: Summary] = [:]
    private var lastGroup: Group?

    package init(limits: Limits = Limits()) { self.limits = limits }

    /// When the present window ends; nil when nothing is counted.
    package var due: Timestamp? { groups.isEmpty ? nil : windowEnd }

    /// Takes one call.
    ///
    /// - Returns: whether it is to be recorded by itself, and the summaries of a window that ended before it.
    package mutating func take(
        _ record: CallRecord, _ outcome: CallOutcome
    ) -> (isRecorded: Bool, ended: [Summary]) {
        let now = record.call.time
        let ended = end(now: now)
        if windowEnd == nil { windowEnd = now.adding(milliseconds: limits.windowMilliseconds) }
        if singles < limits.singlesMax {
            singles += 1
            return (true, ended)
        }
        var group = Group(
            source: record.eventSource, name: record.eventName, code: outcome.error?.code ?? "",
            account: record.call.accountID)
        if groups[group] == nil, groups.count >= limits.groupsMax, let last = lastGroup { group = last }
        if var summary = groups[group] {
            summary.count += 1
            summary.last = now
            if summary.addresses.count < limits.addressesMax, !summary.addresses.contains(record.call.sourceAddress) {
                summary.addresses.append(record.call.sourceAddress)
            }
            groups[group] = summary
        } else {
            groups[group] = Summary(
                record: record, outcome: outcome, count: 1, first: now, last: now,
                addresses: [record.call.sourceAddress])
            lastGroup = group
        }
        return (false, ended)
    }

    /// Ends the window when its time has come, or at once with `isForced`.
    package mutating func end(now: Timestamp, isForced: Bool = false) -> [Summary] {
        guard let end = windowEnd, isForced || now >= end || now < end.adding(milliseconds: -limits.windowMilliseconds)
        else { return [] }
        let summaries = groups.values.sorted { $0.first < $1.first }
        windowEnd = nil
        singles = 0
        groups = [:]
        lastGroup = nil
        return summaries
    }
}
