// SPDX-License-Identifier: Apache-2.0

/// Why a record cannot be taken, and where in its bytes the fault lies.
///
/// Shown to whoever sent the record (import names file and record around it); never carries the record's content.
package struct EventError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Reason: String, Sendable, Hashable {
        case empty = "the record is empty"
        case notAnObject = "a record must be one JSON object"
        case unexpectedEnd = "the JSON ends too early"
        case unexpectedByte = "a byte that JSON does not allow here"
        case invalidLiteral = "a word other than true, false or null"
        case invalidNumber = "a number that JSON does not allow"
        case invalidEscape = "an escape that JSON does not have"
        case controlCharacter = "a control character inside a text"
        case invalidUTF8 = "bytes that are not UTF-8"
        case tooDeep = "values nested too deeply"
        case tooLarge = "the record is too large"
        case tooManyMembers = "too many members at the top"
        case duplicateMember = "the same member twice"
        case trailingBytes = "something follows the record's closing brace"
        case missingMember = "a required member is missing"
        case wrongType = "a member has the wrong type"
        case emptyMember = "a required member is empty"
        case invalidTime = "eventTime is not a time like 2026-01-31T23:59:59Z"
        case unsupportedVersion = "eventVersion is not 1.x"
    }

    package var reason: Reason
    /// Byte offset in the record at which the fault was noticed.
    package var offset: Int
    /// The member concerned, for faults that are about one.
    package var member: String?

    package init(_ reason: Reason, at offset: Int, member: String? = nil) {
        self.reason = reason
        self.offset = offset
        self.member = member
    }

    package var description: String {
        let subject = member.map { " (`\($0)`)" } ?? ""
        return "\(reason.rawValue)\(subject), at byte \(offset)"
    }
}
