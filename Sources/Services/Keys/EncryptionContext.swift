// SPDX-License-Identifier: Apache-2.0
//
// The encryption context: pairs of text that are not secret, and without which a ciphertext does not open.
// Bound as additional data in one canonical form: pairs in the order of their names' UTF-8 bytes, each name and each
// value as a length (u32, big endian) and its UTF-8 bytes. Source: KMS Developer Guide, "Encryption context".

internal import AWSWire

/// The encryption context of one use of a key.
package struct EncryptionContext: Sendable, Equatable {
    /// Bytes of all names and values together.
    package static let bytesMax = 8192

    package var pairs: [String: String]

    package init(_ pairs: [String: String] = [:]) { self.pairs = pairs }

    /// Reads and checks the member of an input; absent and empty are the same.
    init(_ fields: WireFields, _ name: String) throws(AWSError) {
        pairs = [:]
        guard let value = fields.structure[name], !value.isNull else { return }
        guard case .structure(let members) = value else {
            throw .serialization("member '\(name)' must be a map of strings, but is a \(value.typeName)")
        }
        var bytes = 0
        for member in members.members {
            guard case .string(let text) = member.value else {
                throw .serialization(
                    "the values of '\(name)' must be strings, but '\(member.name)' is a \(member.value.typeName)")
            }
            guard !member.name.isEmpty else { throw .validation("The names in '\(name)' must not be empty.") }
            bytes += member.name.utf8.count + text.utf8.count
            pairs[member.name] = text
        }
        guard bytes <= Self.bytesMax else {
            throw .validation("The encryption context can have at most \(Self.bytesMax) bytes, but has \(bytes).")
        }
    }

    /// The canonical form.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        for (name, value) in pairs.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            for text in [name, value] {
                bytes.append(bigEndian: UInt32(text.utf8.count))
                bytes.append(contentsOf: text.utf8)
            }
        }
        return bytes
    }
}

extension [UInt8] {
    mutating func append(bigEndian value: UInt32) {
        for shift in [24, 16, 8, 0] as [UInt32] { append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
}
