// SPDX-License-Identifier: Apache-2.0
//
// A source may number its own events. The number is kept with the event as one more member at the record's end; all bytes
// before it stay as they came:
//
//     "sourceSequence":{"source":"fw-1","number":42}
//     "sourceSequence":{"source":"fw-1","number":45,"finding":"gap","expected":43}

/// A record on its way in, with the number that its source gave it.
package struct SourcedRecord: Sendable {
    /// Taken once in each account.
    package var eventID: String
    package var record: [UInt8]
    /// Nil where the source does not number its events.
    package var number: UInt64?

    package init(eventID: String, record: [UInt8], number: UInt64? = nil) {
        self.eventID = eventID
        self.record = record
        self.number = number
    }
}

/// What the member `sourceSequence` says of one event.
package struct SourceSequence: Sendable, Hashable {
    /// How an event's number stands to those that came before.
    package enum Finding: String, Sendable, Hashable, CaseIterable {
        /// Numbers were left out before this one.
        case gap
        /// The number came before, with another event.
        case repeated = "repeat"
        /// The number was missing until now.
        case late
        /// The number lies below all that is still remembered of the source's gaps: late or a repeat.
        case old
    }

    package static let member = "sourceSequence"
    /// Letters, digits and `._:/@-`, so that the name needs no escapes; a channel's ARN is one.
    package static let sourceLengthMax = 256

    package var source: String
    package var number: UInt64
    /// Nil for the number that was expected.
    package var finding: Finding?
    /// The number that was expected, where another came.
    package var expected: UInt64?

    package init(source: String, number: UInt64, finding: Finding? = nil, expected: UInt64? = nil) {
        self.source = source
        self.number = number
        self.finding = finding
        self.expected = expected
    }

    /// Whether a text can name a source.
    package static func isSource(_ text: String) -> Bool {
        (1...sourceLengthMax).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                default: "._:/@-".utf8.contains(byte)
                }
            }
    }

    /// The record with this member at its end.
    ///
    /// - Parameter record: one JSON object with at least one member.
    package func appended(to record: [UInt8]) -> [UInt8] {
        var end = record.count
        while end > 0, record[end - 1] != UInt8(ascii: "}") { end -= 1 }
        var bytes = Array(record[..<max(0, end - 1)])
        var text = ",\"\(Self.member)\":{\"source\":\"\(source)\",\"number\":\(number)"
        if let finding { text += ",\"finding\":\"\(finding.rawValue)\"" }
        if let expected { text += ",\"expected\":\(expected)" }
        bytes.append(contentsOf: text.utf8)
        bytes.append(contentsOf: "}}".utf8)
        return bytes
    }

    /// What a record says of its number; nil when it has none that was written by `appended`.
    package static func read(_ record: ArraySlice<UInt8>) -> SourceSequence? {
        guard let fields = try? EventReader.scan(record) else { return nil }
        return record.withUnsafeBytes { bytes -> SourceSequence? in
            func text(_ name: String) -> String? {
                EventPath([member, name]).withFirst(fields, in: bytes) { value in
                    value.map { String(decoding: $0, as: UTF8.self) }
                }
            }
            guard let source = text("source"), isSource(source), let number = text("number").flatMap({ UInt64($0) })
            else { return nil }
            return SourceSequence(
                source: source, number: number, finding: text("finding").flatMap { Finding(rawValue: $0) },
                expected: text("expected").flatMap { UInt64($0) })
        }
    }
}
