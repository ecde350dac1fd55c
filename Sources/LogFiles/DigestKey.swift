// SPDX-License-Identifier: Apache-2.0
//
// RSA-2048 keys for digests: PKCS#1 v1.5 signatures with SHA-256 (RFC 8017, section 8.2), deterministic, so that a
// digest written again after a crash has the same signature. Public keys are handed out as the DER form of PKCS#1's
// RSAPublicKey (RFC 8017, appendix A.1.1), which is what the AWS CLI loads; their fingerprint is the MD5 of it.

internal import Crypto
internal import _CryptoExtras

/// A private key that signs digests. Its description tells nothing.
package struct DigestSigningKey: Sendable, CustomStringConvertible {
    private let key: _RSA.Signing.PrivateKey

    /// Makes a new key from the system's randomness; takes tens to hundreds of milliseconds.
    package static func generate() throws(LogFileError) -> DigestSigningKey {
        do {
            return DigestSigningKey(key: try _RSA.Signing.PrivateKey(keySize: .bits2048))
        } catch {
            throw LogFileError(.key, "no RSA key could be made")
        }
    }

    private init(key: _RSA.Signing.PrivateKey) { self.key = key }

    /// Reads a key that `der` gave.
    package init(der: [UInt8]) throws(LogFileError) {
        do {
            key = try _RSA.Signing.PrivateKey(derRepresentation: der)
        } catch {
            throw LogFileError(.key, "the private key is damaged")
        }
    }

    /// The private key; to be sealed before it is stored.
    package var der: [UInt8] { Array(key.derRepresentation) }

    /// What may be handed to everybody.
    package var publicKey: DigestPublicKey { DigestPublicKey(key: key.publicKey) }

    /// The signature over the text's UTF-8 bytes, lower-case hex.
    package func sign(_ text: String) throws(LogFileError) -> String {
        do {
            let signature = try key.signature(for: SHA256.hash(data: Array(text.utf8)), padding: .insecurePKCS1v1_5)
            return signature.rawRepresentation.hex
        } catch {
            throw LogFileError(.key, "the digest could not be signed")
        }
    }

    package var description: String { "DigestSigningKey(hidden)" }
}

/// The public half, as ListPublicKeys hands it out.
package struct DigestPublicKey: Sendable {
    private let key: _RSA.Signing.PublicKey

    fileprivate init(key: _RSA.Signing.PublicKey) { self.key = key }

    /// Reads the DER form of PKCS#1.
    package init(der: [UInt8]) throws(LogFileError) {
        do {
            key = try _RSA.Signing.PublicKey(derRepresentation: der)
        } catch {
            throw LogFileError(.key, "the public key is damaged")
        }
    }

    /// RSAPublicKey of PKCS#1.
    package var der: [UInt8] { Array(key.pkcs1DERRepresentation) }

    /// MD5 of `der`, 32 characters of lower-case hex: a name, not a proof.
    package var fingerprint: String { Insecure.MD5.hash(data: der).hex }

    /// Whether `signature` (hex) is this key's over the text.
    package func isValid(signature: String, for text: String) -> Bool {
        guard let bytes = Self.unhex(signature) else { return false }
        return key.isValidSignature(
            _RSA.Signing.RSASignature(rawRepresentation: bytes), for: SHA256.hash(data: Array(text.utf8)),
            padding: .insecurePKCS1v1_5)
    }

    private static func unhex(_ text: String) -> [UInt8]? {
        let characters = Array(text.utf8)
        guard characters.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: characters.count, by: 2) {
            guard let byte = UInt8(String(decoding: characters[index..<index + 2], as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }
}
