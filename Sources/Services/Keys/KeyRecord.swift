// SPDX-License-Identifier: Apache-2.0
//
// Documents in the catalog, JSON with sorted names; times in milliseconds since 1970:
//   `kms-key` ID            a key with its materials, each sealed by the vault
//   `kms-alias` ARN         a name for a key
//   `kms-grant` KEY ID      a grant on a key

internal import AWSWire
internal import Storage

/// A key.
struct KeyRecord: Codable, Sendable, Equatable {
    enum State: String, Codable, Sendable {
        case enabled = "Enabled"
        case disabled = "Disabled"
        case pendingDeletion = "PendingDeletion"
    }

    /// What the key encrypts with. Rotation adds one; the old ones stay for decrypting until the key is deleted.
    struct Material: Codable, Sendable, Equatable {
        /// Counts from 1.
        var number: UInt32
        /// 64 hexadecimal digits, as AWS shows it.
        var id: String
        /// Base 64 of what the vault gave.
        var sealed: String
        var made: Int64
        /// `AUTOMATIC` or `ON_DEMAND`; nil for the first.
        var rotation: String?
    }

    struct Tag: Codable, Sendable, Equatable {
        var key: String
        var value: String
    }

    var id: String
    var account: String
    var region: String
    var made: Int64
    var state: State
    /// `CUSTOMER`, or `AWS` for a key that a service made for the account.
    var manager: String
    var description: String
    var policy: String
    var tags: [Tag]
    var materials: [Material]
    /// When the key is deleted; only while that is pending.
    var deletion: Int64?
    var deletionDays: Int64?
    /// Nil while rotation is off.
    var rotationDays: Int64?
    var nextRotation: Int64?

    var arn: String { "arn:aws:kms:\(region):\(account):key/\(id)" }
    var current: Material? { materials.last }
    var onDemandRotations: Int { materials.count { $0.rotation == "ON_DEMAND" } }

    func vaultContext(_ number: UInt32) -> String { "kms-key/\(id)/\(number)" }

    /// Whether the key can encrypt and decrypt now.
    ///
    /// - Throws: `DisabledException`, or `KMSInvalidStateException` when its deletion is pending.
    func checkUsable() throws(AWSError) {
        switch state {
        case .enabled: return
        case .disabled: throw .keyDisabled(arn)
        case .pendingDeletion: throw .keyPendingDeletion(arn)
        }
    }

    func checkNotPendingDeletion() throws(AWSError) {
        if state == .pendingDeletion { throw .keyPendingDeletion(arn) }
    }
}

/// A name for a key.
struct AliasRecord: Codable, Sendable, Equatable {
    /// With `alias/`.
    var name: String
    var account: String
    var region: String
    var target: String
    var made: Int64
    var changed: Int64

    var arn: String { "arn:aws:kms:\(region):\(account):\(name)" }
}

/// A grant: lets a principal use a key.
struct GrantRecord: Codable, Sendable, Equatable {
    var id: String
    var keyID: String
    var name: String?
    var grantee: String
    var retiring: String?
    var issuer: String
    /// The account in which the grant was made, which may retire it.
    var account: String
    var operations: [String]
    var contextEquals: [String: String]?
    var contextSubset: [String: String]?
    var made: Int64

    /// Opaque for clients; names the grant and nothing else, since here a grant counts as soon as it is made.
    var token: String { Base64.encode(Array("1:\(keyID):\(id)".utf8)) }

    /// The key's and the grant's id in a token; nil for anything that is none.
    static func parse(token: String) -> (keyID: String, grantID: String)? {
        guard let bytes = Base64.decode(token) else { return nil }
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "1" else { return nil }
        return (String(parts[1]), String(parts[2]))
    }
}

/// One document that a change writes or removes.
enum KeyChange: Sendable {
    case key(KeyRecord)
    case noKey(String)
    case alias(AliasRecord)
    case noAlias(String)
    case grant(GrantRecord)
    case noGrant(keyID: String, id: String)
}

enum KeyDocuments {
    static let keys = CatalogKey.prefix("kms-key")
    static let aliases = CatalogKey.prefix("kms-alias")
    static let grants = CatalogKey.prefix("kms-grant")
    static func key(_ id: String) -> CatalogKey { .init("kms-key", id) }
    static func alias(_ arn: String) -> CatalogKey { .init("kms-alias", arn) }
    static func grant(_ keyID: String, _ id: String) -> CatalogKey { .init("kms-grant", keyID, id) }

    static func encode(_ value: some Encodable) throws(AWSError) -> [UInt8] {
        try CatalogJSON.encode(value) { .keyServiceFailure(cause: $0) }
    }

    static func decode<Value: Decodable>(_ document: CatalogDocument) throws(AWSError) -> Value {
        try CatalogJSON.decode(document) { .keyServiceFailure(cause: $0) }
    }
}
