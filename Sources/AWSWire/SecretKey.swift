// SPDX-License-Identifier: Apache-2.0

internal import Crypto

/// A secret access key. Its description is a fixed word, so that it cannot leak by interpolation, dumping or logging.
package struct SecretKey: Sendable {
    private let bytes: [UInt8]

    package init(_ text: String) { bytes = Array(text.utf8) }

    /// The secret itself. The only callers are the key derivation, the sealing of stored secrets and `cairn env`.
    package var revealed: String { String(decoding: bytes, as: UTF8.self) }

    fileprivate var prefixed: [UInt8] { Array("AWS4".utf8) + bytes }
}

extension SecretKey: Equatable {
    /// In constant time for secrets of the same length.
    package static func == (a: SecretKey, b: SecretKey) -> Bool { ConstantTime.areEqual(a.bytes, b.bytes) }
}

extension SecretKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// The key that signs for one day, region and service: HMAC chain `AWS4`+secret, date, region, service, `aws4_request`.
///
/// Source: AWS General Reference, "Create a signed AWS API request", step 4.
package struct SigningKey: Sendable, CustomStringConvertible, CustomReflectable {
    private let key: SymmetricKey

    package init(secret: SecretKey, scope: CredentialScope) {
        var key = Self.sign(scope.date, SymmetricKey(data: secret.prefixed))
        key = Self.sign(scope.region, key)
        key = Self.sign(scope.service, key)
        self.key = Self.sign(scope.terminator, key)
    }

    package var description: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }

    /// The signature of a string to sign: 64 lower-case hexadecimal digits.
    package func signature(of stringToSign: [UInt8]) -> [UInt8] {
        let code = HMAC<SHA256>.authenticationCode(for: stringToSign, using: key)
        var hex: [UInt8] = []
        hex.reserveCapacity(64)
        code.withUnsafeBytes { Hex.append($0, to: &hex) }
        return hex
    }

    private static func sign(_ text: String, _ key: SymmetricKey) -> SymmetricKey {
        SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key))
    }
}

/// Comparison whose time depends on the lengths alone.
package enum ConstantTime {
    package static func areEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        var difference: UInt8 = 0
        for index in a.indices { difference |= a[index] ^ b[index] }
        return difference == 0
    }
}

/// Lower-case hexadecimal, as signatures and payload hashes are written.
package enum Hex {
    private static let digits: StaticString = "0123456789abcdef"

    package static func append(_ bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        digits.withUTF8Buffer { digits in
            for byte in bytes {
                output.append(digits[Int(byte >> 4)])
                output.append(digits[Int(byte & 15)])
            }
        }
    }

    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        let array = Array(bytes)
        var output: [UInt8] = []
        output.reserveCapacity(array.count * 2)
        array.withUnsafeBytes { append($0, to: &output) }
        return String(decoding: output, as: UTF8.self)
    }

    /// The lower-case hexadecimal SHA-256 of the bytes, 64 characters.
    package static func sha256(of bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        output.reserveCapacity(64)
        appendSHA256(of: bytes, to: &output)
        return String(decoding: output, as: UTF8.self)
    }

    static func appendSHA256(of bytes: [UInt8], to output: inout [UInt8]) {
        var hash = SHA256()
        bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
        hash.finalize().withUnsafeBytes { append($0, to: &output) }
    }

    /// Whether the text is 64 hexadecimal digits.
    static func isSHA256(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { PercentCoding.hexValue($0) != nil }
    }
}
