// SPDX-License-Identifier: Apache-2.0
//
// How an object's bytes lie in a file of layout 2: blocks of 65,536 bytes (the last one may be shorter, an empty object
// has none), each followed by four bytes, the CRC-32C (RFC 3720), big-endian, of
//
//     the file's name (32 bytes of ASCII) | the block's number (8 bytes, big-endian) | the block's bytes
//
// so that a block that rotted, was cut, or stands in a wrong place is found before one of its bytes is believed. Layout 1
// is the bare bytes. Neither is written any more, but layout 2 where the price of encryption is measured.
//
// Layout 3 is encrypted (docs/ciphertext-format.md): blocks of the same length, each followed by a tag of 16 bytes in place
// of the checksum (ObjectCipher of the room Keys), and after the last block the file's data key, sealed under the store's
// key, and the number of its bytes (u16, big-endian). So each file brings along what opens it, whether it is an object or a
// part of one.
//
// Layout 4 is encrypted likewise, but the data key is kept in the document of the object (ObjectEncryption.swift), under a key
// of KMS or the customer's own. After the last block come four bytes, the CRC-32C, big-endian, of all that stands before
// them in the file, so that a check of the disk needs no key.

internal import AWSWire

enum ObjectBlocks {
    /// What is written today: encrypted, and the file has the sealed data key.
    static let layout = 3
    /// Encrypted under a data key that the object's document has.
    static let keyedLayout = 4
    static let checkedLayout = 2
    static let bareLayout = 1
    /// The most bytes that a sealed data key may have.
    static let sealedKeyBytesMax = 4096
    /// Bytes of a block without its checksum.
    static let blockBytes: Int64 = 64 * 1024
    static let checksumBytes: Int64 = 4

    /// What follows the last block of an encrypted file.
    static func trailer(_ sealedKey: [UInt8]) -> [UInt8] {
        sealedKey + [UInt8(truncatingIfNeeded: sealedKey.count >> 8), UInt8(truncatingIfNeeded: sealedKey.count)]
    }

    /// The sealed data key in a trailer; nil where it is none.
    static func sealedKey(in trailer: [UInt8]) -> [UInt8]? {
        guard trailer.count > 2, trailer.count - 2 <= sealedKeyBytesMax else { return nil }
        let count = Int(trailer[trailer.count - 2]) << 8 | Int(trailer[trailer.count - 1])
        return count == trailer.count - 2 ? Array(trailer.dropLast(2)) : nil
    }

    /// The four bytes after a block.
    static func checksum(_ block: UnsafeRawBufferPointer, number: Int64, file: String) -> [UInt8] {
        var checksum = ObjectChecksum(.crc32c)
        checksum.update(Array(file.utf8))
        checksum.update(withUnsafeBytes(of: number.bigEndian) { Array($0) })
        checksum.update(block)
        return checksum.value
    }
}
