// SPDX-License-Identifier: Apache-2.0
//
// What Encrypt answers, and Decrypt takes (docs/ciphertext-format.md):
//
//   version u8 (1) | key id 16 bytes (the UUID) | material number u32 BE | nonce 28 bytes | ciphertext | tag 16 bytes
//
//   message key     = HKDF-SHA256(material, salt = first 16 bytes of the nonce, info "cairn kms message 1", 32 bytes)
//   ciphertext, tag = AES-256-GCM(message key, last 12 bytes of the nonce, plaintext)
//   additional data = version | key id | material number | canonical encryption context
//
// A key of its own for each message keeps the number of messages under one AES key far from the bound that random nonces
// of 96 bits have (NIST SP 800-38D, section 8.3), however long a key is in use.

internal import AWSWire
internal import Crypto
internal import Foundation

/// A ciphertext in its parts; nothing of it is proven until it opens.
package struct CiphertextBlob: Sendable, Equatable {
    package static let version: UInt8 = 1
    static let headBytes = 1 + 16 + 4
    static let nonceBytes = 28
    static let tagBytes = 16
    static let bytesMax = 6144

    /// The key's UUID as text.
    package let keyID: String
    /// Counts the key's materials from 1.
    package let material: UInt32
    package let bytes: [UInt8]

    /// - Returns: nil for bytes that no version of this format can have.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count > Self.headBytes + Self.nonceBytes + Self.tagBytes, bytes.count <= Self.bytesMax,
            bytes[0] == Self.version
        else { return nil }
        keyID = KeyUUID.text(bytes[1..<17])
        material = bytes[17..<21].reduce(0) { $0 << 8 | UInt32($1) }
        self.bytes = bytes
    }

    /// Encrypts.
    ///
    /// - Parameters:
    ///   - nonce: 28 bytes, random, never used before.
    ///   - key: 32 bytes.
    /// - Returns: nil when key id, key or nonce are none.
    package static func seal(
        _ plaintext: [UInt8], keyID: String, material: UInt32, key: [UInt8], nonce: [UInt8],
        context: EncryptionContext
    ) -> CiphertextBlob? {
        guard let id = KeyUUID.bytes(keyID), nonce.count == nonceBytes, key.count == 32 else { return nil }
        var head = [version] + id
        head.append(bigEndian: material)
        guard let gcmNonce = try? AES.GCM.Nonce(data: nonce.suffix(12)),
            let box = try? AES.GCM.seal(
                plaintext, using: messageKey(key, nonce), nonce: gcmNonce, authenticating: head + context.bytes)
        else { return nil }
        return CiphertextBlob(head + nonce + Array(box.ciphertext) + Array(box.tag))
    }

    /// Decrypts.
    ///
    /// - Returns: nil for another key, another context or damage; which of them is not told.
    package func open(key: [UInt8], context: EncryptionContext) -> [UInt8]? {
        let head = Array(bytes[..<Self.headBytes])
        let nonce = Array(bytes[Self.headBytes..<Self.headBytes + Self.nonceBytes])
        let rest = bytes[(Self.headBytes + Self.nonceBytes)...]
        guard let gcmNonce = try? AES.GCM.Nonce(data: nonce.suffix(12)),
            let box = try? AES.GCM.SealedBox(
                nonce: gcmNonce, ciphertext: rest.dropLast(Self.tagBytes), tag: rest.suffix(Self.tagBytes)),
            let plaintext = try? AES.GCM.open(
                box, using: Self.messageKey(key, nonce), authenticating: head + context.bytes)
        else { return nil }
        return Array(plaintext)
    }

    private static func messageKey(_ key: [UInt8], _ nonce: [UInt8]) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: key), salt: nonce.prefix(16), info: Array("cairn kms message 1".utf8),
            outputByteCount: 32)
    }
}

/// UUIDs between text and bytes (RFC 9562).
enum KeyUUID {
    private static let digits = Array("0123456789abcdef".utf8)

    /// Version 4, from 16 random bytes.
    static func random(_ bytes: [UInt8]) -> String {
        var bytes = bytes
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        return text(bytes[...])
    }

    static func text(_ bytes: ArraySlice<UInt8>) -> String {
        var text: [UInt8] = []
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append(UInt8(ascii: "-")) }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// - Returns: nil for anything but 36 characters of the usual form, in lower case.
    static func bytes(_ text: String) -> [UInt8]? {
        guard text.utf8.count == 36 else { return nil }
        var values: [UInt8] = []
        for (index, character) in text.utf8.enumerated() {
            if [8, 13, 18, 23].contains(index) {
                guard character == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard let value = digits.firstIndex(of: character) else { return nil }
            values.append(UInt8(value))
        }
        return stride(from: 0, to: 32, by: 2).map { values[$0] << 4 | values[$0 + 1] }
    }

    static func hex(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
