// SPDX-License-Identifier: Apache-2.0

/// What went wrong with event history, for the operator: what, where, and what can be done.
package struct HistoryError: Error, Sendable, CustomStringConvertible {
    package struct Code: RawRepresentable, Sendable, Hashable {
        package var rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        /// A file's bytes are not what was written.
        package static let damaged = Code(rawValue: "damaged")
        /// A range of the journal is in no segment, and not in the journal either.
        package static let missing = Code(rawValue: "missing")
        /// The journal cannot give what was asked of it.
        package static let journal = Code(rawValue: "journal")
        package static let inputOutput = Code(rawValue: "inputOutput")
        /// Segments cannot be written and too many events wait for it.
        package static let behind = Code(rawValue: "behind")
        /// A page token that this history did not give, or not for this query.
        package static let invalidToken = Code(rawValue: "invalidToken")
        package static let closed = Code(rawValue: "closed")
        package static let cancelled = Code(rawValue: "cancelled")
    }

    package var code: Code
    /// One sentence with the remedy; no content of events.
    package var message: String
    package var path: String?
    /// Byte offset in the file.
    package var offset: UInt64?

    init(_ code: Code, _ message: String, path: String? = nil, offset: UInt64? = nil) {
        self.code = code
        self.message = message
        self.path = path
        self.offset = offset
    }

    package var description: String {
        let place = path.map { " in `\($0)`" } ?? ""
        let at = offset.map { " at byte \($0)" } ?? ""
        return "event history: \(message)\(place)\(at)"
    }

    static func damaged(_ what: String, _ path: String, at offset: UInt64) -> HistoryError {
        HistoryError(
            .damaged,
            "\(what); restore the file from a backup, or move it away and import its events anew from delivered log files,",
            path: path, offset: offset)
    }
}
