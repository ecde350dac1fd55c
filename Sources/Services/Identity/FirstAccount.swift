// SPDX-License-Identifier: Apache-2.0
//
// The first account's document, `account/first` in the catalog, JSON:
//   { "Version": 1, "AccountId": "12 digits", "AccessKeyId": "AKIA...", "CreateDate": ISO 8601 }

package import AWSWire
package import Storage

/// The account that a data folder begins with, and its root access key.
///
/// Calls that no known key stands behind are recorded under it.
package struct FirstAccount: Sendable {
    package let accountID: String
    package let accessKeyID: String
    package let secret: SecretKey

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
        let fresh = FirstAccount(randomBytes)
        let record: CredentialRecord
        do {
            record = try CredentialRecord(
                accountID: fresh.accountID, accessKeyID: fresh.accessKeyID, secret: fresh.secret, createdAt: now,
                rootSecret)
        } catch {
            throw .internalFailure(cause: error.description)
        }
        return try await catalog.write { transaction throws(AWSError) in
            if let document = try transaction.get(key) {
                return try FirstAccount(document, in: transaction, rootSecret)
            }
            try transaction.put(key, fresh.document(now))
            try transaction.put(CredentialRecord.key(fresh.accessKeyID), record.document)
            return fresh
        }
    }

    private init(
        _ document: CatalogDocument, in snapshot: CatalogSnapshot, _ rootSecret: RootSecret
    ) throws(AWSError) {
        let members = try? WireValue(json: document.value).asStructure
        guard let members, members["Version"] == .integer(Self.version),
            let accountID = members["AccountId"]?.asString, let accessKeyID = members["AccessKeyId"]?.asString
        else { throw .damagedDocument(document.key) }
        guard let stored = try snapshot.get(CredentialRecord.key(accessKeyID)) else {
            throw .damagedDocument(CredentialRecord.key(accessKeyID))
        }
        self.accountID = accountID
        self.accessKeyID = accessKeyID
        secret = try CredentialRecord(stored).credential(accessKeyID, rootSecret).secret
    }

    /// A new account with a new key: nothing but chance.
    private init(_ randomBytes: (Int) -> [UInt8]) {
        accountID = FreshID.account(randomBytes)
        accessKeyID = FreshID.accessKey("AKIA", randomBytes)
        secret = FreshID.secret(randomBytes)
    }

    private func document(_ now: Timestamp) -> [UInt8] {
        WireValue.structure([
            "Version": .integer(Self.version), "AccountId": .string(accountID), "AccessKeyId": .string(accessKeyID),
            "CreateDate": .string(now.iso8601),
        ]).json
    }
}
