// SPDX-License-Identifier: Apache-2.0
//
// PBKDF2 with HMAC-SHA256 (RFC 8018, section 5.2), 16 random bytes of salt, 32 bytes of hash.
// As members of a document: "Hash" and "Salt" in base 64, "Rounds" a number.

internal import AWSWire
internal import Crypto
internal import _CryptoExtras

/// A password as it is kept: nobody can read it back.
package struct PasswordHash: Sendable, Equatable {
    /// OWASP's recommendation for PBKDF2-HMAC-SHA256 (Password Storage Cheat Sheet, 2023).
    package static let roundsDefault = 600_000
    static let saltBytes = 16

    private let hash: [UInt8]
    private let salt: [UInt8]
    private let rounds: Int

    /// - Parameter salt: random bytes, fresh for each password.
    package init(_ password: String, salt: [UInt8], rounds: Int) {
        self.salt = salt
        self.rounds = rounds
        hash = Self.derive(Array(password.utf8), salt, rounds)
    }

    init?(_ members: WireStructure) {
        guard let hash = members["Hash"]?.asString.flatMap({ Base64.decode($0) }),
            let salt = members["Salt"]?.asString.flatMap({ Base64.decode($0) }),
            case .integer(let rounds) = members["Rounds"], rounds > 0, rounds < 100_000_000
        else { return nil }
        self.hash = hash
        self.salt = salt
        self.rounds = Int(rounds)
    }

    var members: WireStructure {
        [
            "Hash": .string(Base64.encode(hash)), "Salt": .string(Base64.encode(salt)),
            "Rounds": .integer(Int64(rounds)),
        ]
    }

    /// Whether this is the password.
    ///
    /// - Complexity: `rounds` hashes, whatever the answer.
    package func matches(_ password: String) -> Bool {
        !hash.isEmpty && ConstantTime.areEqual(Self.derive(Array(password.utf8), salt, rounds), hash)
    }

    /// An empty password, or a cipher that refuses, matches nothing.
    private static func derive(_ password: [UInt8], _ salt: [UInt8], _ rounds: Int) -> [UInt8] {
        let key = try? KDF.Insecure.PBKDF2.deriveKey(
            from: password, salt: salt, using: .sha256, outputByteCount: 32, unsafeUncheckedRounds: rounds)
        return key?.withUnsafeBytes { Array($0) } ?? []
    }
}
