// SPDX-License-Identifier: Apache-2.0
//
// gzip (RFC 1952) through libdeflate. Written files have exactly one member, because newer AWS CLIs inflate only the
// first and then call the file invalid. The header carries no time and no name, so equal input gives equal bytes.

internal import CDeflate

/// A file that cannot be read as gzip, or does not fit.
package struct LogFileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of fault it is; further ones may come.
    package struct Code: Sendable, Hashable {
        package let name: String

        /// The bytes are not gzip, or are cut short, or their checksum is wrong.
        package static let damaged = Code(name: "damaged")
        /// The content is larger than the limit.
        package static let tooLarge = Code(name: "tooLarge")
        /// The content is not a log file's JSON.
        package static let malformed = Code(name: "malformed")
        /// The system refused to give the file's bytes.
        package static let unreadable = Code(name: "unreadable")
        /// No memory for the work.
        package static let memory = Code(name: "memory")
        /// A key, signature or fingerprint cannot be used.
        package static let key = Code(name: "key")
    }

    package let code: Code
    /// One sentence without content of the file.
    package let reason: String
    /// Byte offset in the compressed input or, for `malformed`, in the inflated content.
    package let offset: Int

    package init(_ code: Code, _ reason: String, offset: Int = 0) {
        self.code = code
        self.reason = reason
        self.offset = offset
    }

    package var description: String { "\(reason) (at byte \(offset))" }
}

enum Gzip {
    /// Compresses into one gzip member.
    static func compress(_ bytes: [UInt8], level: Int32) throws(LogFileError) -> [UInt8] {
        guard let compressor = libdeflate_alloc_compressor(level) else {
            throw LogFileError(.memory, "no memory for a compressor")
        }
        defer { libdeflate_free_compressor(compressor) }
        let capacity = libdeflate_gzip_compress_bound(compressor, bytes.count)
        let packed = [UInt8](unsafeUninitializedCapacity: capacity) { output, count in
            count = bytes.withUnsafeBytes { input in
                libdeflate_gzip_compress(compressor, input.baseAddress, input.count, output.baseAddress, capacity)
            }
        }
        guard !packed.isEmpty else { throw LogFileError(.memory, "the compressor refused its own bound") }
        return packed
    }

    static func isGzip(_ bytes: some Collection<UInt8>) -> Bool { bytes.starts(with: [0x1F, 0x8B]) }
}
