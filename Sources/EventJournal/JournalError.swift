// SPDX-License-Identifier: Apache-2.0

/// What went wrong with the journal, for the operator: what, where, and what can be done. Never holds bytes of an entry.
package struct JournalError: Error, Sendable, CustomStringConvertible {
    package struct Code: RawRepresentable, Sendable, Hashable {
        package var rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        /// Less than `JournalLimits.reserveBytes` is free on the disk. Nothing was appended; works again when there is room.
        package static let full = Code(rawValue: "full")
        /// A write or a flush failed. Nothing is appended until the journal is opened anew; reads still work.
        package static let unavailable = Code(rawValue: "unavailable")
        /// More than `JournalLimits.pendingBytesMax` waits for the disk. Nothing was appended; the caller may try again.
        package static let overloaded = Code(rawValue: "overloaded")
        /// An entry or a batch is longer than its limit. Nothing was appended.
        package static let tooLarge = Code(rawValue: "tooLarge")
        /// The journal was closed.
        package static let closed = Code(rawValue: "closed")
        /// The entry that was asked for has been trimmed away.
        package static let trimmed = Code(rawValue: "trimmed")
        /// The bytes of a file are not those that were written.
        package static let damaged = Code(rawValue: "damaged")
        /// A file, or the end of one, that the journal once had is not there.
        package static let missing = Code(rawValue: "missing")
        /// A file was written by a later version of the format.
        package static let unknownVersion = Code(rawValue: "unknownVersion")
        /// The operating system refused a read or an open.
        package static let inputOutput = Code(rawValue: "inputOutput")
    }

    package var code: Code
    /// One sentence with the remedy.
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
        let place = path.map { " (file `\($0)`\(offset.map { ", byte \($0)" } ?? ""))" } ?? ""
        return "journal \(code.rawValue): \(message)\(place)"
    }
}

extension JournalError {
    static func damaged(_ what: String, _ path: String, at offset: UInt64) -> JournalError {
        JournalError(
            .damaged,
            "\(what); entries that were acknowledged are affected, so nothing is skipped: restore this file from a backup "
                + "of the journal folder, or move the whole folder away to start with an empty journal",
            path: path, offset: offset)
    }

    static func missing(_ what: String, _ path: String, at offset: UInt64? = nil) -> JournalError {
        JournalError(
            .missing,
            "\(what); restore it from a backup of the journal folder, or move the whole folder away to start with an "
                + "empty journal",
            path: path, offset: offset)
    }

    static func device(_ code: Code, _ error: JournalDeviceError) -> JournalError {
        let remedy =
            switch code {
            case .full: "free space on this disk"
            case .unavailable: "check the disk, then restart; until then nothing can be appended"
            default: "check the disk and the permissions of the journal folder"
            }
        return JournalError(code, "\(error); \(remedy)", path: error.path)
    }

    static let closed = JournalError(.closed, "the journal is closed")
}
