// SPDX-License-Identifier: Apache-2.0
//
// A log file's content is one JSON object on one line, `{"Records":[RECORD,RECORD,...]}`, compressed as one gzip member
// (CloudTrail User Guide, "CloudTrail log file examples"). Its hash in a digest is the SHA-256 of the uncompressed bytes.

internal import Crypto

/// A delivered log file: its content, its compressed form and its hash.
package struct LogFile: Sendable {
    /// Bounds; what goes beyond one is refused as `tooLarge`.
    package enum Limits {
        /// Most bytes of a file that is read, as it lies on disk.
        package static let fileBytesMax = 256 << 20
        /// Most bytes after inflating.
        package static let contentBytesMax = 1 << 30
        /// libdeflate's level for delivered files: 6 costs about a third of level 9 for two percent more bytes.
        static let compressionLevel: Int32 = 6
    }

    /// Headers of the delivered object; without the type some collectors read it as text.
    package static let contentType = "application/json"
    package static let contentEncoding = "gzip"

    /// The uncompressed bytes.
    package let content: [UInt8]

    /// Puts records into the envelope, each as it is; they must be JSON objects without line breaks around them.
    package init(records: some Collection<some Collection<UInt8>>) {
        var content: [UInt8] = []
        content.reserveCapacity(records.reduce(Self.head.count + Self.tail.count) { $0 + $1.count + 1 })
        content.append(contentsOf: Self.head)
        var isFirst = true
        for record in records {
            if !isFirst { content.append(UInt8(ascii: ",")) }
            isFirst = false
            content.append(contentsOf: record)
        }
        content.append(contentsOf: Self.tail)
        self.content = content
    }

    private static let head = Array("{\"Records\":[".utf8)
    private static let tail = Array("]}".utf8)

    /// The file as it lies in the bucket: exactly one gzip member, the same bytes for the same content.
    package func compressed() throws(LogFileError) -> [UInt8] {
        try Gzip.compress(content, level: Limits.compressionLevel)
    }

    /// SHA-256 of the uncompressed bytes, lower-case hex.
    package var hash: String { SHA256.hash(data: content).hex }

    /// The content of a file that somebody else wrote: gzip (several members are taken) or plain.
    ///
    /// - Throws: `damaged`, `tooLarge`.
    package static func content(
        of file: [UInt8], bytesMax: Int = Limits.contentBytesMax
    ) throws(LogFileError) -> [UInt8] {
        let reader = try LogFileReader(contentBytesMax: bytesMax)
        let content = file.withUnsafeBytes { file -> Result<[UInt8], LogFileError> in
            do throws(LogFileError) { return .success(Array(try reader.content(of: file))) } catch {
                return .failure(error)
            }
        }
        return try content.get()
    }

    /// Compresses any content as delivered files are; digests use it too.
    package static func compress(_ content: [UInt8]) throws(LogFileError) -> [UInt8] {
        try Gzip.compress(content, level: Limits.compressionLevel)
    }
}

extension Sequence<UInt8> {
    /// Lower-case hex.
    var hex: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
