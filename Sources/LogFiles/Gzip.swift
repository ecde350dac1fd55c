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

    static func isGzip(_ bytes: [UInt8]) -> Bool { bytes.count >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B }

    /// Inflates every member in turn.
    ///
    /// - Throws: `damaged` at the member's offset, `tooLarge` beyond `bytesMax`.
    static func inflate(_ bytes: [UInt8], bytesMax: Int) throws(LogFileError) -> [UInt8] {
        guard let decompressor = libdeflate_alloc_decompressor() else {
            throw LogFileError(.memory, "no memory for a decompressor")
        }
        defer { libdeflate_free_decompressor(decompressor) }
        var content: [UInt8] = []
        var offset = 0
        repeat {
            let member = try inflateMember(bytes, at: &offset, with: decompressor, bytesMax: bytesMax - content.count)
            if content.isEmpty { content = member } else { content.append(contentsOf: member) }
        } while offset < bytes.count
        return content
    }

    private static func inflateMember(
        _ bytes: [UInt8], at offset: inout Int, with decompressor: OpaquePointer, bytesMax: Int
    ) throws(LogFileError) -> [UInt8] {
        // The last four bytes tell the size when there is one member; anything they say is only a first guess.
        let stated = bytes.suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        let start = offset
        var capacity = min(max(stated, 1024), bytesMax, max(1 << 20, (bytes.count - start) * 64))
        while true {
            var verdict = LIBDEFLATE_BAD_DATA
            var bytesRead = 0
            let content = [UInt8](unsafeUninitializedCapacity: capacity) { output, count in
                var bytesWritten = 0
                verdict = bytes.withUnsafeBytes { input in
                    let rest = UnsafeRawBufferPointer(rebasing: input[start...])
                    return libdeflate_gzip_decompress_ex(
                        decompressor, rest.baseAddress, rest.count, output.baseAddress, capacity, &bytesRead,
                        &bytesWritten)
                }
                count = verdict == LIBDEFLATE_SUCCESS ? bytesWritten : 0
            }
            switch verdict {
            case LIBDEFLATE_SUCCESS:
                offset = start + bytesRead
                return content
            case LIBDEFLATE_INSUFFICIENT_SPACE where capacity < bytesMax:
                capacity = min(max(capacity * 2, 1024), bytesMax)
            case LIBDEFLATE_INSUFFICIENT_SPACE:
                throw LogFileError(.tooLarge, "the inflated content exceeds the limit", offset: start)
            default:
                throw LogFileError(.damaged, "the gzip data is damaged or cut short", offset: start)
            }
        }
    }
}
