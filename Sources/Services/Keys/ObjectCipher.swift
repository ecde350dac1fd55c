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

internal import CBlockCipher
internal import Crypto

/// Encrypts and decrypts the blocks of one object's file.
package struct ObjectCipher: Sendable, CustomStringConvertible, CustomReflectable {
    /// Bytes of a block in the clear.
    package static let blockBytes = 64 * 1024
    package static let tagBytes = 16
    package static let dataKeyBytes = 32

    private let cipher: BlockCipher
    private let file: [UInt8]

    /// - Parameters:
    ///   - dataKey: 32 random bytes; anything else gives nil.
    ///   - file: the file's name; never used for two files.
    package init?(dataKey: [UInt8], file: String) {
        guard dataKey.count == Self.dataKeyBytes else { return nil }
        let name = Array(file.utf8)
        let key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: dataKey), salt: name, info: Array("cairn object 1".utf8),
            outputByteCount: 32)
        guard let cipher = BlockCipher(key) else { return nil }
        self.cipher = cipher
        self.file = name
    }

    package var description: String { "(cipher)" }
    package var customMirror: Mirror { Mirror(self, children: []) }

    /// Bytes in the file of an object of that size.
    package static func sealedBytes(_ size: Int64) -> Int64 {
        size + (size + Int64(blockBytes) - 1) / Int64(blockBytes) * Int64(tagBytes)
    }

    /// Encrypts a block in place.
    ///
    /// - Parameters:
    ///   - block: at most `blockBytes`.
    ///   - number: of the block in its file; never used for two blocks.
    ///   - tag: room for `tagBytes`.
    /// - Returns: false if the cipher refuses, which valid numbers do not bring about.
    package func seal(
        _ block: UnsafeMutableRawBufferPointer, number: Int64, tag: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard number >= 0, tag.count == Self.tagBytes, block.count <= Self.blockBytes else { return false }
        return withUnsafeTemporaryAllocation(byteCount: 12, alignment: 8) { nonce in
            Self.write(number, into: nonce)
            return cblockcipher_seal(
                cipher.context, block.baseAddress, block.count, tag.baseAddress, nonce.baseAddress, file, file.count)
                == 1
        }
    }

    /// Decrypts a block in place.
    ///
    /// - Returns: whether it is that block of that file, unchanged; otherwise its bytes are not to be used.
    package func open(_ block: UnsafeMutableRawBufferPointer, number: Int64, tag: UnsafeRawBufferPointer) -> Bool {
        guard number >= 0, tag.count == Self.tagBytes, block.count <= Self.blockBytes else { return false }
        return withUnsafeTemporaryAllocation(byteCount: 12, alignment: 8) { nonce in
            Self.write(number, into: nonce)
            return cblockcipher_open(
                cipher.context, block.baseAddress, block.count, tag.baseAddress, nonce.baseAddress, file, file.count)
                == 1
        }
    }

    private static func write(_ number: Int64, into nonce: UnsafeMutableRawBufferPointer) {
        nonce.storeBytes(of: 0, toByteOffset: 0, as: UInt32.self)
        nonce.storeBytes(of: number.bigEndian, toByteOffset: 4, as: Int64.self)
    }
}

/// The cipher under one key, wiped with its last reference.
private final class BlockCipher: @unchecked Sendable {  // the context never changes once it is made
    let context: UnsafeMutableRawPointer

    init?(_ key: SymmetricKey) {
        let made = key.withUnsafeBytes { cblockcipher_new($0.baseAddress) }
        guard let made else { return nil }
        context = made
    }

    deinit { cblockcipher_free(context) }
}
