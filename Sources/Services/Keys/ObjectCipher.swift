// SPDX-License-Identifier: Apache-2.0
//
// How the bytes of an encrypted object lie in its file: blocks of 65,536 bytes (the last one may be shorter, an empty object
// has none), each as ciphertext of the same length followed by its tag of 16 bytes.
//
//   block key       = HKDF-SHA256(data key, salt = the file's name, info "cairn object 1", 32 bytes)
//   ciphertext, tag = AES-256-GCM(block key, nonce, block)
//   nonce           = four zero bytes | the block's number (8 bytes, big-endian)
//   additional data = the file's name
//
// A block key encrypts one file and each block of it once, so that no nonce comes twice under one key, even where the files
// of several parts have one data key. A block that rotted,
// stands in a wrong place or belongs to another file does not open. What is cut at a block's end is found by whoever knows
// the object's size, which the cipher does not.

internal import Crypto
internal import Foundation

/// Encrypts and decrypts the blocks of one object's file.
package struct ObjectCipher: Sendable, CustomStringConvertible, CustomReflectable {
    /// Bytes of a block in the clear.
    package static let blockBytes = 64 * 1024
    package static let tagBytes = 16
    package static let dataKeyBytes = 32

    private let key: SymmetricKey
    private let file: [UInt8]

    /// - Parameters:
    ///   - dataKey: 32 random bytes; anything else gives nil.
    ///   - file: the file's name; never used for two files.
    package init?(dataKey: [UInt8], file: String) {
        guard dataKey.count == Self.dataKeyBytes else { return nil }
        key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: dataKey), salt: Array(file.utf8), info: Array("cairn object 1".utf8),
            outputByteCount: 32)
        self.file = Array(file.utf8)
    }

    package var description: String { "(cipher)" }
    package var customMirror: Mirror { Mirror(self, children: []) }

    /// Bytes in the file of an object of that size.
    package static func sealedBytes(_ size: Int64) -> Int64 {
        size + (size + Int64(blockBytes) - 1) / Int64(blockBytes) * Int64(tagBytes)
    }

    /// Where a block begins in the file.
    package static func position(ofBlock number: Int64) -> Int64 { number * Int64(blockBytes + tagBytes) }

    /// The number of the block that has the byte at `offset`.
    package static func block(of offset: Int64) -> Int64 { offset / Int64(blockBytes) }

    /// The part of the file to read for a range of the object's bytes: whole blocks, the last one as short as it is.
    package static func sealedRange(_ range: Range<Int64>, size: Int64) -> Range<Int64> {
        let range = range.clamped(to: 0..<max(size, 0))
        guard !range.isEmpty else { return 0..<0 }
        let end = position(ofBlock: block(of: range.upperBound - 1) + 1)
        return position(ofBlock: block(of: range.lowerBound))..<min(end, sealedBytes(size))
    }

    /// The bytes on the disk of blocks that begin with number `first`; only the last block may be short.
    ///
    /// - Returns: nil if the cipher refuses, which valid keys and nonces do not bring about.
    package func seal(_ bytes: [UInt8], first: Int64) -> [UInt8]? {
        var sealed: [UInt8] = []
        sealed.reserveCapacity(Int(Self.sealedBytes(Int64(bytes.count))))
        var number = first
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + Self.blockBytes)
            guard let nonce = nonce(number),
                let box = try? AES.GCM.seal(bytes[start..<end], using: key, nonce: nonce, authenticating: file)
            else { return nil }
            sealed.append(contentsOf: box.ciphertext)
            sealed.append(contentsOf: box.tag)
            number += 1
            start = end
        }
        return sealed
    }

    /// Decrypts whole blocks as they lie on the disk.
    ///
    /// - Parameters:
    ///   - sealed: blocks from number `first`, each with its tag.
    ///   - handler: gets the bytes of each block in order, only after they are proven.
    /// - Returns: the number of the first block that does not open, nil when all did.
    package func open(_ sealed: [UInt8], first: Int64, _ handler: ([UInt8]) -> Void) -> Int64? {
        var number = first
        var start = 0
        while start < sealed.count {
            let end = min(sealed.count, start + Self.blockBytes + Self.tagBytes)
            let cut = end - Self.tagBytes
            guard cut > start, let nonce = nonce(number),
                let box = try? AES.GCM.SealedBox(
                    nonce: nonce, ciphertext: sealed[start..<cut], tag: sealed[cut..<end]),
                let block = try? AES.GCM.open(box, using: key, authenticating: file)
            else { return number }
            handler(Array(block))
            number += 1
            start = end
        }
        return nil
    }

    private func nonce(_ number: Int64) -> AES.GCM.Nonce? {
        guard number >= 0 else { return nil }
        return try? AES.GCM.Nonce(data: [0, 0, 0, 0] + withUnsafeBytes(of: number.bigEndian) { Array($0) })
    }
}
