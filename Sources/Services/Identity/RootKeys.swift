// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Storage

/// The access keys of an account's root: `credential/<id>` in the catalog, two at most.
///
/// Root can disable and delete all of its keys. The way back in is then the owner's of the data folder alone: `renew`.
package struct RootKeys: Sendable {
    struct Key: Sendable, Equatable {
        var id: String
        var isActive: Bool
        var created: Timestamp
    }

    /// IAM User Guide, "IAM and AWS STS quotas": access keys of the root.
    static let keysMax = 2

    private let catalog: Catalog
    private let rootSecret: RootSecret
    private let credentials: Credentials

    package init(catalog: Catalog, rootSecret: RootSecret, credentials: Credentials) {
        self.catalog = catalog
        self.rootSecret = rootSecret
        self.credentials = credentials
    }

    /// In the order of their ids.
    func all(of account: String) async throws(AWSError) -> [Key] {
        try await catalog.read { snapshot throws(AWSError) in try Self.all(of: account, snapshot) }
    }

    private static func all(of account: String, _ snapshot: CatalogSnapshot) throws(AWSError) -> [Key] {
        var keys: [Key] = []
        for document in try snapshot.scan(prefix: CredentialRecord.keyPrefix) {
            let record = try CredentialRecord(document)
            guard record.accountID == account, let id = document.key.components.last else { continue }
            keys.append(
                Key(
                    id: id, isActive: record.isActive,
                    created: Timestamp(iso8601: record.createDate) ?? .init(seconds: 0)))
        }
        return keys.sorted { $0.id < $1.id }
    }

    /// - Throws: `LimitExceeded` for a third key.
    func create(_ id: String, _ secret: SecretKey, in account: String, now: Timestamp) async throws(AWSError) {
        let record = try sealed(id, secret, account, now)
        try await catalog.write { transaction throws(AWSError) in
            guard try Self.all(of: account, transaction).count < Self.keysMax else {
                throw .limitExceeded("AccessKeysPerUser", Self.keysMax)
            }
            try transaction.put(CredentialRecord.key(id), record.document)
        }
    }

    /// Switches a key on or off, or (nil) deletes it. It works no more when this returns.
    ///
    /// - Returns: false where the account's root has no such key.
    func change(_ id: String, in account: String, isActive: Bool?) async throws(AWSError) -> Bool {
        let isFound = try await catalog.write { transaction throws(AWSError) in
            let key = CredentialRecord.key(id)
            guard let document = try transaction.get(key) else { return false }
            var record = try CredentialRecord(document)
            guard record.accountID == account else { return false }
            if let isActive {
                record.isActive = isActive
                try transaction.put(key, record.document)
            } else {
                _ = try transaction.delete(key)
            }
            return true
        }
        credentials.forget(id)
        return isFound
    }

    /// Gives the first account's root a new active key, for the owner of the data folder; all others of it are deleted.
    ///
    /// - Parameter randomBytes: a source fit for keys.
    /// - Returns: the account and the new key's id.
    package func renew(
        randomBytes: @Sendable (Int) -> [UInt8], now: Timestamp
    ) async throws(AWSError) -> (account: String, accessKeyID: String) {
        let id = FreshID.accessKey("AKIA", randomBytes)
        let secret = FreshID.secret(randomBytes)
        let account = try await FirstAccount.id(in: catalog)
        let record = try sealed(id, secret, account, now)
        try await catalog.write { transaction throws(AWSError) in
            for old in try Self.all(of: account, transaction) {
                _ = try transaction.delete(CredentialRecord.key(old.id))
            }
            try transaction.put(CredentialRecord.key(id), record.document)
        }
        return (account, id)
    }

    private func sealed(
        _ id: String, _ secret: SecretKey, _ account: String, _ now: Timestamp
    ) throws(AWSError) -> CredentialRecord {
        do {
            return try CredentialRecord(accountID: account, accessKeyID: id, secret: secret, createdAt: now, rootSecret)
        } catch {
            throw .internalFailure(cause: error.description)
        }
    }
}
