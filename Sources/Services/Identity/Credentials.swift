// SPDX-License-Identifier: Apache-2.0
//
// A credential's document, `credential/<access key id>` in the catalog, JSON:
//   { "Version": 1, "AccountId": "12 digits", "Kind": "root", "Status": "Active"|"Inactive", "CreateDate": ISO 8601,
//     "SealedSecret": base 64 of RootSecret.seal(secret, context: the document's key) }

package import AWSWire
package import Storage
internal import Synchronization

/// An access key that exists: its secret, and who stands behind it.
package struct Credential: Sendable {
    package let accessKeyID: String
    package let secret: SecretKey
    package let caller: Caller
    /// The session's token; nil for long-term keys.
    package let sessionToken: String?

    /// Checks that the session token which came with a signature is the one of this key.
    ///
    /// - Throws: `SignatureError.unknownToken` for a token that this key does not have, or for the lack of one.
    package func checkToken(of presented: PresentedSignature) throws(SignatureError) {
        switch (sessionToken, presented.sessionToken) {
        case (nil, nil): return
        case (let own?, let shown?) where ConstantTime.areEqual(Array(own.utf8), Array(shown.utf8)): return
        case (_, let shown): throw .unknownToken(shown ?? "")
        }
    }
}

/// Access key id to secret and caller, from the catalog, kept in memory.
package final class Credentials: Sendable {
    /// Most credentials that are kept in memory; beyond it the cache starts anew.
    package static let cachedMax = 10_000

    private let catalog: Catalog
    private let rootSecret: RootSecret
    private let store: IdentityStore
    private let cache = Mutex(Cache())
    /// Opened secrets of users' keys, by the sealed ones.
    private let opened = Mutex<[[UInt8]: SecretKey]>([:])

    private struct Cache {
        var credentials: [String: Credential] = [:]
        /// Grows whenever a key is forgotten, so that nobody puts back what was read before.
        var generation = 0
    }

    package init(catalog: Catalog, rootSecret: RootSecret, store: IdentityStore) {
        self.catalog = catalog
        self.rootSecret = rootSecret
        self.store = store
    }

    /// The active credential of that id, nil when there is none.
    ///
    /// - Throws: `InternalFailure` when its document is damaged or does not open.
    package func find(_ accessKeyID: String) async throws(AWSError) -> Credential? {
        let found = try await lookUp(accessKeyID)
        return found?.isActive == true ? found?.credential : nil
    }

    /// The credential of that id, nil when there is none; one that was switched off still says whose it is.
    ///
    /// - Throws: `InternalFailure` when its document is damaged or does not open.
    func lookUp(_ accessKeyID: String) async throws(AWSError) -> (credential: Credential, isActive: Bool)? {
        let (known, generation) = cache.withLock { ($0.credentials[accessKeyID], $0.generation) }
        if let known { return (known, true) }
        // What cannot be an id is not worth a look into the catalog.
        guard Self.isWellFormed(accessKeyID) else { return nil }
        // A user's key is looked up anew at each call: a key that was switched off must not work once more.
        if let user = store.user(ofAccessKey: accessKeyID) { return try credential(accessKeyID, of: user) }
        let found = try await catalog.read { snapshot throws(AWSError) in
            try snapshot.get(CredentialRecord.key(accessKeyID))
        }
        guard let found else { return nil }
        let record = try CredentialRecord(found)
        let credential = try record.credential(accessKeyID, rootSecret)
        guard record.isActive else { return (credential, false) }
        cache.withLock { cache in
            guard cache.generation == generation else { return }
            if cache.credentials.count >= Self.cachedMax { cache.credentials.removeAll(keepingCapacity: true) }
            cache.credentials[accessKeyID] = credential
        }
        return (credential, true)
    }

    /// Looks a key up anew at its next use, because it was changed.
    func forget(_ accessKeyID: String) {
        cache.withLock { cache in
            cache.credentials[accessKeyID] = nil
            cache.generation += 1
        }
    }

    /// Notes that a user's key, or a role by one of its sessions, was used.
    package func noteUse(by caller: Caller, service: String, region: String, time: Timestamp) {
        switch caller.kind {
        case .user:
            guard let id = caller.accessKeyID else { return }
            store.noteUse(of: id, service: service, region: region, time: time)
        case .assumedRole:
            guard let id = caller.session?.issuerID else { return }
            store.noteUse(of: id, service: service, region: region, time: time)
        case .root, .federatedUser, .webIdentity, .service, .unknown: return
        }
    }

    private func credential(
        _ id: String, of user: IdentityEntity
    ) throws(AWSError) -> (credential: Credential, isActive: Bool)? {
        guard let key = user.accessKeys.first(where: { $0.id == id }) else { return nil }
        let secret: SecretKey
        if let known = opened.withLock({ $0[key.sealedSecret] }) {
            secret = known
        } else {
            do {
                let bytes = try rootSecret.open(key.sealedSecret, context: CredentialRecord.context(id))
                secret = SecretKey(String(decoding: bytes, as: UTF8.self))
            } catch {
                throw .internalFailure(cause: error.description)
            }
            opened.withLock { opened in
                if opened.count >= Self.cachedMax { opened.removeAll(keepingCapacity: true) }
                opened[key.sealedSecret] = secret
            }
        }
        let credential = Credential(
            accessKeyID: id, secret: secret,
            caller: .user(user.name, arn: user.arn, id: user.id, account: user.accountID, accessKeyID: id),
            sessionToken: nil)
        return (credential, key.isActive)
    }

    /// IAM's own grammar for access key ids.
    private static func isWellFormed(_ id: String) -> Bool {
        (16...128).contains(id.utf8.count)
            && id.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || byte == UInt8(ascii: "_")
            }
    }
}

/// A credential as the catalog has it.
struct CredentialRecord: Sendable {
    static let keyPrefix = CatalogKey.prefix("credential")

    static func key(_ accessKeyID: String) -> CatalogKey { CatalogKey("credential", accessKeyID) }

    private static let version: Int64 = 1

    let accountID: String
    var isActive: Bool
    let createDate: String
    let sealedSecret: [UInt8]

    /// Seals the secret of a new key.
    init(
        accountID: String, accessKeyID: String, secret: SecretKey, createdAt time: Timestamp, _ rootSecret: RootSecret
    ) throws(RootSecretError) {
        self.accountID = accountID
        isActive = true
        createDate = time.iso8601
        sealedSecret = try rootSecret.seal(Array(secret.revealed.utf8), context: Self.context(accessKeyID))
    }

    init(_ document: CatalogDocument) throws(AWSError) {
        let members = try? WireValue(json: document.value).asStructure
        guard let members, members["Version"] == .integer(Self.version), members["Kind"] == "root",
            let accountID = members["AccountId"]?.asString, let status = members["Status"]?.asString,
            let createDate = members["CreateDate"]?.asString,
            let sealedSecret = members["SealedSecret"]?.asString.flatMap({ Base64.decode($0) })
        else { throw .damagedDocument(document.key) }
        self.accountID = accountID
        isActive = status == "Active"
        self.createDate = createDate
        self.sealedSecret = sealedSecret
    }

    var document: [UInt8] {
        WireValue.structure([
            "Version": .integer(Self.version), "AccountId": .string(accountID), "Kind": "root",
            "Status": .string(isActive ? "Active" : "Inactive"), "CreateDate": .string(createDate),
            "SealedSecret": .string(Base64.encode(sealedSecret)),
        ]).json
    }

    func credential(_ accessKeyID: String, _ rootSecret: RootSecret) throws(AWSError) -> Credential {
        do {
            let secret = try rootSecret.open(sealedSecret, context: Self.context(accessKeyID))
            return Credential(
                accessKeyID: accessKeyID, secret: SecretKey(String(decoding: secret, as: UTF8.self)),
                caller: .root(of: accountID, accessKeyID: accessKeyID), sessionToken: nil)
        } catch {
            throw .internalFailure(cause: error.description)
        }
    }

    static func context(_ accessKeyID: String) -> String { "credential/\(accessKeyID)" }
}

extension AWSError {
    static func damagedDocument(_ key: CatalogKey) -> AWSError {
        .internalFailure(
            cause: "the catalog's document `\(key.components.joined(separator: "/"))` is damaged; restore the catalog "
                + "from a backup")
    }
}
