// SPDX-License-Identifier: Apache-2.0
//
// How an object's bytes lie in a file of layout 2: blocks of 65,536 bytes (the last one may be shorter, an empty object
// has none), each followed by four bytes, the CRC-32C (RFC 3720), big-endian, of
//
//     the file's name (32 bytes of ASCII) | the block's number (8 bytes, big-endian) | the block's bytes
//
// so that a block that rotted, was cut, or stands in a wrong place is found before one of its bytes is believed. Layout 1
// is the bare bytes. All object bytes pass through `seal` on their way to the disk and through `open` on their way back;
// an encryption belongs here.

internal import AWSWire

enum ObjectBlocks {
    /// What is written today.
    static let layout = 2
    /// Bytes of a block without its checksum.
    static let blockBytes: Int64 = 64 * 1024
    static let checksumBytes: Int64 = 4

    /// Where the block that holds `offset` begins in the file.
    static func position(ofBlock number: Int64) -> Int64 { number * (blockBytes + checksumBytes) }

    /// The bytes on the disk of blocks that begin with number `first`; only the last block may be short.
    static func seal(_ bytes: [UInt8], first: Int64, file: String) -> [UInt8] {
        var sealed: [UInt8] = []
        let blocks = (Int64(bytes.count) + blockBytes - 1) / blockBytes
        sealed.reserveCapacity(bytes.count + Int(blocks * checksumBytes))
        var number = first
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + Int(blockBytes))
            bytes.withUnsafeBytes { all in
                let block = UnsafeRawBufferPointer(rebasing: all[start..<end])
                sealed.append(contentsOf: block)
                sealed.append(contentsOf: checksum(block, number: number, file: file))
            }
            number += 1
            start = end
        }
        return sealed
    }

    /// The four bytes after a block.
    static func checksum(_ block: UnsafeRawBufferPointer, number: Int64, file: String) -> [UInt8] {
        var checksum = ObjectChecksum(.crc32c)
        checksum.update(Array(file.utf8))
        checksum.update(withUnsafeBytes(of: number.bigEndian) { Array($0) })
        checksum.update(block)
        return checksum.value
    }

    /// Checks whole blocks as they lie on the disk.
    ///
    /// - Parameters:
    ///   - sealed: blocks from number `first`, each with its checksum.
    ///   - handler: gets the bytes of each block in order.
    /// - Returns: the number of the first block that is damaged, nil when all are whole.
    static func open(
        _ sealed: UnsafeRawBufferPointer, first: Int64, file: String, _ handler: (UnsafeRawBufferPointer) -> Void
    ) -> Int64? {
        var number = first
        var start = 0
        while start < sealed.count {
            let end = min(sealed.count, start + Int(blockBytes + checksumBytes))
            let cut = end - Int(checksumBytes)
            guard cut > start else { return number }
            let block = UnsafeRawBufferPointer(rebasing: sealed[start..<cut])
            guard checksum(block, number: number, file: file).elementsEqual(sealed[cut..<end]) else { return number }
            handler(block)
            number += 1
            start = end
        }
        return nil
    }
}
