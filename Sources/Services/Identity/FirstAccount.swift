// SPDX-License-Identifier: Apache-2.0
//
// The first account's document, `account/first` in the catalog, JSON:
//   { "Version": 1, "AccountId": "12 digits", "AccessKeyId": "AKIA...", "CreateDate": ISO 8601 }
// The access key is the one that the account was made with; it may be switched off or gone.

package import AWSWire
package import Storage

/// The account that a data folder begins with, and an active access key of its root, if there is one.
///
/// Calls that no known key stands behind are recorded under it.
package struct FirstAccount: Sendable {
    package let accountID: String
    /// Nil where root has switched off or deleted all of its keys.
    package let accessKeyID: String?
    package let secret: SecretKey?

    private static let key = CatalogKey("account", "first")
    private static let version: Int64 = 1

    /// Whether the catalog has its first account, and so needs the root secret that it was made with.
    package static func exists(in catalog: Catalog) async throws(AWSError) -> Bool {
        try await catalog.read { snapshot throws(AWSError) in
            if try snapshot.get(key) != nil { return true }
            return try !snapshot.scan(prefix: CredentialRecord.keyPrefix, limit: 1).isEmpty
        }
    }

    /// Opens the first account, or creates it with its root access key, in one transaction.
    ///
    /// - Parameter randomBytes: a source fit for keys.
    /// - Throws: `InternalFailure`, whose cause names the damaged document.
    package static func open(
        _ catalog: Catalog, _ rootSecret: RootSecret, randomBytes: @Sendable (Int) -> [UInt8], now: Timestamp
    ) async throws(AWSError) -> FirstAccount {
        let (keyID, secret) = (FreshID.accessKey("AKIA", randomBytes), FreshID.secret(randomBytes))
        let fresh = FirstAccount(accountID: FreshID.account(randomBytes), accessKeyID: keyID, secret: secret)
        let record: CredentialRecord
        do {
            record = try CredentialRecord(
                accountID: fresh.accountID, accessKeyID: keyID, secret: secret, createdAt: now, rootSecret)
        } catch {
            throw .internalFailure(cause: error.description)
        }
        return try await catalog.write { transaction throws(AWSError) in
            if let document = try transaction.get(key) {
                return try FirstAccount(document, in: transaction, rootSecret)
            }
            try transaction.put(key, fresh.document(now))
            try transaction.put(CredentialRecord.key(keyID), record.document)
            return fresh
        }
    }

    /// The id of the first account.
    ///
    /// - Throws: `InternalFailure`, whose cause names the document where it is missing or damaged.
    static func id(in catalog: Catalog) async throws(AWSError) -> String {
        try await catalog.read { snapshot throws(AWSError) in
            guard let document = try snapshot.get(key) else { throw .damagedDocument(key) }
            return try members(of: document).account
        }
    }

    private static func members(
        of document: CatalogDocument
    ) throws(AWSError) -> (account: String, accessKeyID: String) {
        let members = try? WireValue(json: document.value).asStructure
        guard let members, members["Version"] == .integer(version), let account = members["AccountId"]?.asString,
            let accessKeyID = members["AccessKeyId"]?.asString
        else { throw .damagedDocument(document.key) }
        return (account, accessKeyID)
    }

    private init(
        _ document: CatalogDocument, in snapshot: CatalogSnapshot, _ rootSecret: RootSecret
    ) throws(AWSError) {
        let (account, first) = try Self.members(of: document)
        var found: (id: String, secret: SecretKey)?
        for stored in try snapshot.scan(prefix: CredentialRecord.keyPrefix) {
            let record = try CredentialRecord(stored)
            guard record.accountID == account, let id = stored.key.components.last else { continue }
            // Every key is opened, so that a root secret of another folder is noticed.
            let secret = try record.credential(id, rootSecret).secret
            if record.isActive, found == nil || id == first { found = (id, secret) }
        }
        self.init(accountID: account, accessKeyID: found?.id, secret: found?.secret)
    }

    private init(accountID: String, accessKeyID: String?, secret: SecretKey?) {
        self.accountID = accountID
        self.accessKeyID = accessKeyID
        self.secret = secret
    }

    private func document(_ now: Timestamp) -> [UInt8] {
        WireValue.structure([
            "Version": .integer(Self.version), "AccountId": .string(accountID),
            "AccessKeyId": .string(accessKeyID ?? ""),
            "CreateDate": .string(now.iso8601),
        ]).json
    }
}
