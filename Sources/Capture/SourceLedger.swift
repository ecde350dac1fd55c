// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import EventRecord

/// Where each source that numbers its events stands: what comes next, what is missing, what came twice.
///
/// A pure machine. It grows by what `record` decides and, after a restart, by what is found in the journal (`replay`): both
/// lead to the same state.
package struct SourceLedger: Sendable, Equatable {
    /// Bounds; beyond `sourcesMax` a new source is refused, beyond `missingRangesMax` the oldest gap is only counted.
    package enum Limits {
        package static let sourcesMax = 1000
        package static let missingRangesMax = 100
        /// The highest number; leaves room above for what is expected next.
        package static let numberMax: UInt64 = 1 << 62
    }

    /// One source of one account.
    package struct Source: Sendable, Equatable {
        package var next: UInt64
        /// Numbers that were left out and have not come since, in order.
        package var missing: [Range<UInt64>] = []
        /// What lies below is no longer told apart.
        package var trackedFrom: UInt64 = 0
        package var received: UInt64 = 0
        package var gaps: UInt64 = 0
        package var repeats: UInt64 = 0
        package var late: UInt64 = 0
        /// Milliseconds since 1970.
        package var latest: Int64 = 0
    }

    package struct Name: Sendable, Hashable, Comparable {
        package var account: String
        package var source: String

        package init(account: String, source: String) {
            self.account = account
            self.source = source
        }

        package static func < (a: Name, b: Name) -> Bool { (a.account, a.source) < (b.account, b.source) }
    }

    package private(set) var sources: [Name: Source] = [:]

    package init() {}

    /// Whether a source may send: it is known, or there is room for one more.
    package func hasRoom(for name: Name) -> Bool { sources[name] != nil || sources.count < Limits.sourcesMax }

    /// Takes the next number of a source and says how it stands to those before. The first number of a source may be any.
    package mutating func record(_ number: UInt64, of name: Name, at time: Int64) -> SourceSequence {
        var source = sources[name] ?? Source(next: number)
        var sequence = SourceSequence(source: name.source, number: number)
        if number != source.next {
            sequence.expected = source.next
            sequence.finding = source.finding(number)
        }
        source.take(number, sequence.finding)
        source.received += 1
        source.latest = max(source.latest, time)
        sources[name] = source
        return sequence
    }

    /// Notes a number whose event is there already under the same id: nothing is missing, nothing is recorded.
    ///
    /// - Returns: whether that changed what is expected or missing.
    package mutating func noteKnown(_ number: UInt64, of name: Name) -> Bool {
        guard var source = sources[name] else {
            sources[name] = Source(next: number + 1)
            return true
        }
        let before = source
        if number >= source.next {
            source.take(number, number == source.next ? nil : .gap)
        } else if source.isMissing(number) {
            source.remove(number)
        }
        sources[name] = source
        return source != before
    }

    /// Applies what an event in the journal says.
    package mutating func replay(_ sequence: SourceSequence, account: String, at time: Int64) {
        let name = Name(account: account, source: sequence.source)
        guard hasRoom(for: name), sequence.number <= Limits.numberMax else { return }
        _ = record(sequence.number, of: name, at: time)
    }
}

extension SourceLedger.Source {
    func isMissing(_ number: UInt64) -> Bool { missing.contains { $0.contains(number) } }

    fileprivate func finding(_ number: UInt64) -> SourceSequence.Finding {
        if number > next { return .gap }
        if isMissing(number) { return .late }
        return number < trackedFrom ? .old : .repeated
    }

    fileprivate mutating func take(_ number: UInt64, _ finding: SourceSequence.Finding?) {
        switch finding {
        case nil: next = number + 1
        case .gap:
            missing.append(next..<number)
            gaps += 1
            next = number + 1
            while missing.count > SourceLedger.Limits.missingRangesMax {
                trackedFrom = missing.removeFirst().upperBound
            }
        case .late:
            late += 1
            remove(number)
        case .repeated, .old: repeats += 1
        }
    }

    fileprivate mutating func remove(_ number: UInt64) {
        guard let index = missing.firstIndex(where: { $0.contains(number) }) else { return }
        let range = missing[index]
        let parts = [range.lowerBound..<number, number + 1..<range.upperBound].filter { !$0.isEmpty }
        missing.replaceSubrange(index...index, with: parts)
        while missing.count > SourceLedger.Limits.missingRangesMax { trackedFrom = missing.removeFirst().upperBound }
    }
}

// MARK: - As a document

extension SourceLedger {
    /// The ledger as it is kept: `{"position":N,"sources":[{...}]}`; `position` is the journal number up to which it holds.
    package func document(position: UInt64) -> [UInt8] {
        let list = sources.sorted { $0.key < $1.key }.map { entry -> WireValue in
            var members: WireStructure = ["account": .string(entry.key.account), "source": .string(entry.key.source)]
            members.members += entry.value.members(missingMax: .max)
            members.append("trackedFrom", .integer(Int64(clamping: entry.value.trackedFrom)))
            return .structure(members)
        }
        return WireValue.structure(["position": .integer(Int64(clamping: position)), "sources": .list(list)]).json
    }

    /// Reads a document.
    ///
    /// - Throws: `internalFailure` when it is none of ours.
    package static func read(_ document: [UInt8]) throws(AWSError) -> (ledger: SourceLedger, position: UInt64) {
        let damaged = AWSError.internalFailure(
            cause: "the catalog's document of numbered sources is damaged; restore the catalog from a backup")
        guard let top = try WireValue(json: document).asStructure, let position = number(top["position"]),
            let list = top["sources"]?.asList
        else { throw damaged }
        var ledger = SourceLedger()
        for item in list {
            guard let members = item.asStructure, let account = members["account"]?.asString,
                let name = members["source"]?.asString, let next = number(members["next"]),
                let missing = members["missing"]?.asList
            else { throw damaged }
            var source = Source(next: next)
            for range in missing {
                guard let bounds = range.asStructure, let from = number(bounds["from"]), let to = number(bounds["to"]),
                    from <= to
                else { throw damaged }
                source.missing.append(from..<to + 1)
            }
            source.trackedFrom = number(members["trackedFrom"]) ?? 0
            source.received = number(members["received"]) ?? 0
            source.gaps = number(members["gaps"]) ?? 0
            source.repeats = number(members["repeats"]) ?? 0
            source.late = number(members["late"]) ?? 0
            if case .integer(let time)? = members["latest"] { source.latest = time }
            ledger.sources[Name(account: account, source: name)] = source
        }
        return (ledger, position)
    }

    private static func number(_ value: WireValue?) -> UInt64? {
        guard case .integer(let number)? = value, number >= 0 else { return nil }
        return UInt64(number)
    }
}

extension SourceLedger.Source {
    /// How callers and documents see it; ranges of missing numbers are inclusive.
    package func members(missingMax: Int) -> [WireStructure.Member] {
        let ranges = missing.suffix(missingMax).map { range in
            WireValue.structure([
                "from": .integer(Int64(clamping: range.lowerBound)),
                "to": .integer(Int64(clamping: range.upperBound - 1)),
            ])
        }
        return WireStructure([
            .init("next", .integer(Int64(clamping: next))), .init("received", .integer(Int64(clamping: received))),
            .init("gaps", .integer(Int64(clamping: gaps))), .init("repeats", .integer(Int64(clamping: repeats))),
            .init("late", .integer(Int64(clamping: late))), .init("missing", .list(ranges)),
            .init("latest", .integer(latest)),
        ]).members
    }
}
