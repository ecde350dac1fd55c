// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// Fresh ids in AWS's forms (IAM User Guide, "IAM identifiers").
enum FreshID {
    /// A unique id of an entity: the prefix and 17 of A-Z, 0-9.
    static func entity(_ prefix: String, _ randomBytes: (Int) -> [UInt8]) -> String {
        prefix + text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 17, randomBytes)
    }

    /// An access key id: `AKIA`, or `ASIA` for temporary keys, and 16 of A-Z, 2-7.
    static func accessKey(_ prefix: String, _ randomBytes: (Int) -> [UInt8]) -> String {
        prefix + text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16, randomBytes)
    }

    static func secret(_ randomBytes: (Int) -> [UInt8]) -> SecretKey {
        SecretKey(text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 40, randomBytes))
    }

    /// Twelve digits, the first not zero.
    static func account(_ randomBytes: (Int) -> [UInt8]) -> String {
        text("123456789", 1, randomBytes) + text("0123456789", 11, randomBytes)
    }

    /// Each character of the alphabet is equally likely: bytes beyond the last whole multiple are thrown away.
    static func text(_ alphabet: String, _ count: Int, _ randomBytes: (Int) -> [UInt8]) -> String {
        let alphabet = Array(alphabet.utf8)
        let bound = 256 - 256 % alphabet.count
        var text: [UInt8] = []
        while text.count < count {
            for byte in randomBytes(count) where Int(byte) < bound && text.count < count {
                text.append(alphabet[Int(byte) % alphabet.count])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
