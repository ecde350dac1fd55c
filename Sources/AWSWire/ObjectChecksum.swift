// SPDX-License-Identifier: Apache-2.0
//
// The checksums of S3 objects (Amazon S3 User Guide, "Checking object integrity"), as base 64 of the big-endian value:
//
//   crc32      4 bytes, polynomial 0x04C11DB7 (ISO 3309), reflected, initial and final value all ones
//   crc32c     4 bytes, polynomial 0x1EDC6F41 (RFC 3720), likewise
//   crc64nvme  8 bytes, polynomial 0xAD93D23594C93659 (NVM Express), likewise
//   sha1       20 bytes, sha256 32 bytes
//
// The CRCs are the processor's work where it can: CRC-32C by its own instruction, the others by folding (cfoldedcrc.h). What is
// left goes eight bytes at a time through eight tables ("slicing by 8", Kounavis and Berry, 2005).

internal import CCRC32C
internal import Crypto

/// An object's checksum, computed as its bytes flow.
package struct ObjectChecksum: Sendable {
    package enum Algorithm: String, Sendable, CaseIterable {
        case crc32 = "CRC32"
        case crc32c = "CRC32C"
        case crc64nvme = "CRC64NVME"
        case sha1 = "SHA1"
        case sha256 = "SHA256"

        /// `x-amz-checksum-crc32` and so on.
        package var headerName: String { "x-amz-checksum-" + rawValue.lowercased() }

        /// The algorithm whose value the header carries; nil for any other name.
        package init?(headerName: String) {
            guard let algorithm = Self.allCases.first(where: { $0.headerName == headerName }) else { return nil }
            self = algorithm
        }

        /// Bytes of the value, before base 64.
        package var valueBytes: Int {
            switch self {
            case .crc32, .crc32c: 4
            case .crc64nvme: 8
            case .sha1: 20
            case .sha256: 32
            }
        }

        /// Whether the text is base 64 of as many bytes as a value has.
        package func isWellFormed(_ text: String) -> Bool { Base64.decode(text)?.count == valueBytes }
    }

    private enum State: Sendable {
        case crc32(UInt32)
        /// Final, of the bytes so far; the other CRCs lack their final XOR.
        case crc32c(UInt32)
        case crc64nvme(UInt64)
        case sha1(Insecure.SHA1)
        case sha256(SHA256)
    }

    package let algorithm: Algorithm
    private var state: State

    package init(_ algorithm: Algorithm) {
        self.algorithm = algorithm
        state =
            switch algorithm {
            case .crc32: .crc32(.max)
            case .crc32c: .crc32c(0)
            case .crc64nvme: .crc64nvme(.max)
            case .sha1: .sha1(Insecure.SHA1())
            case .sha256: .sha256(SHA256())
            }
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        switch state {
        case .crc32(let value): state = .crc32(CRCTables.crc32.update(value, bytes))
        case .crc32c(let value): state = .crc32c(ccrc32c(value, bytes.baseAddress, bytes.count))
        case .crc64nvme(let value): state = .crc64nvme(CRCTables.crc64nvme.update(value, bytes))
        case .sha1(var hash):
            hash.update(bufferPointer: bytes)
            state = .sha1(hash)
        case .sha256(var hash):
            hash.update(bufferPointer: bytes)
            state = .sha256(hash)
        }
    }

    package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// The value so far, big-endian.
    package var value: [UInt8] {
        switch state {
        case .crc32(let value): withUnsafeBytes(of: (~value).bigEndian) { Array($0) }
        case .crc32c(let value): withUnsafeBytes(of: value.bigEndian) { Array($0) }
        case .crc64nvme(let value): withUnsafeBytes(of: (~value).bigEndian) { Array($0) }
        case .sha1(let hash): Array(hash.finalize())
        case .sha256(let hash): Array(hash.finalize())
        }
    }

    /// As headers and XML carry it.
    package var text: String { Base64.encode(value) }
}

/// The eight tables of one reflected polynomial: `entry[k * 256 + b]` is the effect of byte `b`, `k` bytes before the end.
private struct CRCTables<Word: FixedWidthInteger & UnsignedInteger & Sendable>: Sendable {
    private let entries: [Word]
    /// For folding; nil where the processor cannot.
    private let powers: cfoldedcrc?
    private static var foldedBytesMin: Int { 256 }

    /// - Parameter reflected: the polynomial with its lowest power in the highest bit.
    init(reflected: Word) {
        var entries = [Word](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var value = Word(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? (value >> 1) ^ reflected : value >> 1 }
            entries[byte] = value
        }
        for table in 1..<8 {
            for byte in 0..<256 {
                let before = entries[(table - 1) * 256 + byte]
                entries[table * 256 + byte] = (before >> 8) ^ entries[Int(before & 0xFF)]
            }
        }
        self.entries = entries
        powers =
            cfoldedcrc_is_hardware() == 1
            ? cfoldedcrc_make(UInt64(truncatingIfNeeded: reflected), Int32(Word.bitWidth)) : nil
    }

    func update(_ start: Word, _ bytes: UnsafeRawBufferPointer) -> Word {
        guard var powers, bytes.count >= Self.foldedBytesMin else { return updateByTables(start, bytes) }
        let count = bytes.count - bytes.count % 64
        return withUnsafeTemporaryAllocation(byteCount: 16, alignment: 16) { rest in
            cfoldedcrc_fold(
                &powers, UInt64(truncatingIfNeeded: start), bytes.baseAddress, count,
                rest.assumingMemoryBound(to: UInt8.self).baseAddress)
            let folded = updateByTables(0, UnsafeRawBufferPointer(rest))
            return updateByTables(folded, UnsafeRawBufferPointer(rebasing: bytes[count...]))
        }
    }

    private func updateByTables(_ start: Word, _ bytes: UnsafeRawBufferPointer) -> Word {
        entries.withUnsafeBufferPointer { entries in
            var value = start
            var index = 0
            while bytes.count - index >= 8 {
                let word =
                    UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                    ^ UInt64(truncatingIfNeeded: value)
                value = entries[7 * 256 + Int(word & 0xFF)]
                value ^= entries[6 * 256 + Int(word >> 8 & 0xFF)]
                value ^= entries[5 * 256 + Int(word >> 16 & 0xFF)]
                value ^= entries[4 * 256 + Int(word >> 24 & 0xFF)]
                value ^= entries[3 * 256 + Int(word >> 32 & 0xFF)]
                value ^= entries[2 * 256 + Int(word >> 40 & 0xFF)]
                value ^= entries[1 * 256 + Int(word >> 48 & 0xFF)]
                value ^= entries[Int(word >> 56)]
                index += 8
            }
            while index < bytes.count {
                value = (value >> 8) ^ entries[Int(value & 0xFF) ^ Int(bytes[index])]
                index += 1
            }
            return value
        }
    }
}

extension CRCTables where Word == UInt32 {
    static let crc32 = CRCTables(reflected: 0xEDB8_8320)
}

extension CRCTables where Word == UInt64 {
    static let crc64nvme = CRCTables(reflected: 0x9A6C_9329_AC4B_C9B5)
}
