// SPDX-License-Identifier: Apache-2.0

package import EventRecord

/// How long events are kept, by account and category: by their event time. Without a rule that fits, for ever.
package struct HistoryRetention: Sendable, Hashable {
    package struct Rule: Sendable, Hashable {
        /// nil for all accounts.
        package var ownerAccount: String?
        /// nil for all categories.
        package var category: EventCategory?
        /// At least 1.
        package var days: Int64

        package init(ownerAccount: String? = nil, category: EventCategory? = nil, days: Int64) {
            self.ownerAccount = ownerAccount
            self.category = category
            self.days = max(1, days)
        }

        /// The more is said, the more it counts; the account counts more than the category.
        fileprivate var weight: Int { (ownerAccount == nil ? 0 : 2) + (category == nil ? 0 : 1) }
    }

    /// Of several rules that fit, the one that says most decides; of equals the last.
    package var rules: [Rule]

    package init(_ rules: [Rule] = []) { self.rules = rules }

    /// Reads rules such as `90`, `Data=30`, `111122223333=365` and `111122223333/Data=7`, with commas between; the numbers are
    /// days.
    ///
    /// - Throws: what is wrong, in words.
    package init(text: String) throws(HistoryRetentionError) {
        rules = []
        for part in text.split(separator: ",") {
            let piece = part.split(separator: " ").joined()
            let sides = piece.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
            guard let days = sides.last.flatMap({ Int64($0) }), (1...100_000).contains(days), sides.count <= 2 else {
                throw HistoryRetentionError(part: piece, reason: "a rule ends in a number of days from 1 to 100000")
            }
            var rule = Rule(days: days)
            if sides.count == 2 {
                for name in sides[0].split(separator: "/", omittingEmptySubsequences: false).map(String.init) {
                    if EventEnvelope.isAccount(name) {
                        rule.ownerAccount = name
                    } else if let category = EventCategory(rawValue: name) {
                        rule.category = category
                    } else {
                        throw HistoryRetentionError(
                            part: piece, reason: "`\(name)` is neither an account's twelve digits nor an event category"
                        )
                    }
                }
            }
            rules.append(rule)
        }
    }

    /// The first second that is kept of a category.
    struct Cutoff: Sendable, Hashable {
        var category: EventCategory
        var seconds: Int64
    }

    /// What is kept of an account's events at a time, in seconds.
    func cutoffs(_ ownerAccount: String, now: Int64) -> [Cutoff] {
        EventCategory.allCases.compactMap { category in
            var found: Rule?
            for rule in rules
            where (rule.ownerAccount ?? ownerAccount) == ownerAccount && (rule.category ?? category) == category
                && rule.weight >= found?.weight ?? 0
            {
                found = rule
            }
            return found.map { Cutoff(category: category, seconds: now - $0.days * 86400) }
        }
    }
}

/// A retention that cannot be understood.
package struct HistoryRetentionError: Error, Sendable, CustomStringConvertible {
    package var part: String
    package var reason: String

    package var description: String { "`\(part)`: \(reason)" }
}
