// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Policies
package import Storage
internal import Synchronization

/// Users, groups, roles and policies of all accounts: documents in the catalog, and in memory with their policies compiled.
///
/// Every call asks it who somebody is and what binds him, so that reads never wait: they see the state after the last
/// change as one value. Changes go through `change`, one after the other, in one transaction of the catalog each.
package final class IdentityStore: Sendable {
    private struct State {
        var accounts: [String: AccountIdentities] = [:]
        /// Access key id to its user.
        var keys: [String: (account: String, user: String)] = [:]
        /// Unique id to its user or role.
        var ids: [String: (account: String, kind: IdentityEntity.Kind, name: String)] = [:]

        /// Takes up an account's new state and forgets what of the old one is gone.
        mutating func put(_ new: AccountIdentities, changed keysOfDocuments: some Sequence<CatalogKey>) {
            let old = accounts[new.accountID] ?? AccountIdentities(accountID: new.accountID)
            for document in keysOfDocuments {
                let place = document.components
                guard place.count == 4, let kind = IdentityEntity.Kind(rawValue: place[2]) else { continue }
                if let gone = old.any(kind, named: place[3]) {
                    ids[gone.id] = nil
                    for key in gone.accessKeys { keys[key.id] = nil }
                }
                if let entity = new.any(kind, named: place[3]) {
                    ids[entity.id] = (new.accountID, kind, entity.name)
                    for key in entity.accessKeys { keys[key.id] = (new.accountID, entity.name) }
                }
            }
            accounts[new.accountID] = new
        }
    }

    private struct Uses {
        var all: [String: LastUse] = [:]
        /// What is not in the catalog yet.
        var unsaved: Set<String> = []
    }

    private let catalog: Catalog
    private let state: Mutex<State>
    private let uses = Mutex(Uses())

    /// Reads everything from the catalog.
    ///
    /// - Throws: `InternalFailure` whose cause names a damaged document.
    package static func open(_ catalog: Catalog) async throws(AWSError) -> IdentityStore {
        let documents = try await catalog.read { snapshot throws(AWSError) in
            try snapshot.scan(prefix: .prefix("iam"))
        }
        let uses = try await catalog.read { snapshot throws(AWSError) in try snapshot.scan(prefix: LastUse.keyPrefix) }
        let store = IdentityStore(catalog)
        try store.take(documents)
        store.uses.withLock { state in
            for document in uses { state.all[document.key.components.last ?? ""] = LastUse(document) }
        }
        return store
    }

    private init(_ catalog: Catalog) {
        self.catalog = catalog
        state = Mutex(State())
    }

    private func take(_ documents: [CatalogDocument]) throws(AWSError) {
        var accounts: [String: AccountIdentities] = [:]
        for document in documents {
            guard let account = document.key.components.dropFirst().first else { continue }
            try accounts[account, default: AccountIdentities(accountID: account)].load(document)
        }
        var fresh = State()
        for var account in accounts.values {
            let keys = account.takePending().keys
            fresh.put(account, changed: keys)
        }
        let loaded = fresh
        state.withLock { $0 = loaded }
    }

    // MARK: Reading

    /// All that an account has, as it is now; an account that nobody wrote to has nothing.
    package func account(_ id: String) -> AccountIdentities {
        state.withLock { $0.accounts[id] } ?? AccountIdentities(accountID: id)
    }

    package func user(named name: String, in account: String) -> IdentityEntity? {
        self.account(account).entity(.user, named: name)
    }

    package func role(named name: String, in account: String) -> IdentityEntity? {
        self.account(account).entity(.role, named: name)
    }

    /// The user, group or role of a unique id (AIDA..., AGPA..., AROA...).
    package func entity(id: String) -> IdentityEntity? {
        state.withLock { state in
            guard let place = state.ids[id] else { return nil }
            return state.accounts[place.account]?.entity(place.kind, named: place.name)
        }
    }

    /// The users and roles of all accounts, as the policies of resources name them.
    package var principals: PrincipalDirectory {
        PrincipalDirectory(
            place: { arn in
                guard let place = IAMService.entityPlace(arn) else { return .elsewhere }
                let entity = self.account(place.account).entity(place.kind, named: place.name)
                return entity?.arn == arn ? .entity(entity?.id ?? "") : .nobody
            }, arn: { self.entity(id: $0)?.arn })
    }

    /// The user that has an access key.
    package func user(ofAccessKey id: String) -> IdentityEntity? {
        state.withLock { state in
            guard let place = state.keys[id] else { return nil }
            return state.accounts[place.account]?.entity(.user, named: place.user)
        }
    }

    /// The account that has an alias.
    func account(ofAlias alias: String) -> String? {
        state.withLock { $0.accounts.values.first { $0.settings.alias == alias }?.accountID }
    }

    /// Whether there is anything in an account.
    func has(account: String) -> Bool { state.withLock { $0.accounts[account] != nil } }

    /// Whether an account has any user, so that somebody could sign in to it.
    func hasUsers(_ account: String) -> Bool {
        state.withLock { $0.accounts[account].map { !$0.users.isEmpty } ?? false }
    }

    /// What binds a user or role: its own policies, its groups', and its boundary.
    ///
    /// A managed policy that is gone or damaged, or a boundary that is, stands in `damaged`: nothing is allowed then.
    package func policiesInForce(for entity: IdentityEntity) -> PoliciesInForce {
        let account = account(entity.accountID)
        var policies = entity.inline.map(\.policy)
        var attached = entity.attached
        for name in entity.groups {
            guard let group = account.entity(.group, named: name) else { continue }
            policies += group.inline.map(\.policy)
            attached += group.attached
        }
        var damaged: [String] = []
        for arn in attached {
            if let policy = account.policy(arn: arn)?.inForce { policies.append(policy) } else { damaged.append(arn) }
        }
        let (compiled, unreadable) = policies.sorted
        damaged += unreadable
        var boundary: PolicyDocument?
        if let arn = entity.boundary {
            boundary = account.policy(arn: arn)?.inForce?.compiled
            if boundary == nil { damaged.append(arn) }
        }
        return PoliciesInForce(identity: compiled, boundary: boundary, damaged: damaged)
    }

    // MARK: Last uses

    /// When the key or role of that id was last used.
    package func lastUse(of id: String) -> LastUse? { uses.withLock { $0.all[id] } }

    /// Notes a use in memory; `saveUses` makes it durable.
    package func noteUse(of id: String, service: String, region: String, time: Timestamp) {
        let use = LastUse(time: time, service: service, region: region)
        uses.withLock { uses in
            uses.all[id] = use
            uses.unsaved.insert(id)
        }
    }

    /// Writes the uses noted since the last time. A crash loses at most those.
    package func saveUses() async throws(AWSError) {
        let unsaved = uses.withLock { uses in
            defer { uses.unsaved = [] }
            return uses.unsaved.compactMap { id in uses.all[id].map { (id, $0.document) } }
        }
        guard !unsaved.isEmpty else { return }
        try await catalog.write { transaction throws(AWSError) in
            for (id, document) in unsaved { try transaction.put(CatalogKey("iam-use", id), document) }
        }
    }

    // MARK: Changing

    /// Changes an account: `body` works on a copy, which is durable and seen by all when this returns.
    ///
    /// - Throws: what `body` throws, or `ServiceUnavailable`; nothing was changed then.
    package func change<Result: Sendable>(
        _ account: String, _ body: @escaping @Sendable (inout AccountIdentities) throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        do throws(AWSError) {
            return try await catalog.write { transaction throws(AWSError) in
                // The catalog runs writes one after the other, so nobody changes the account meanwhile.
                var copy = self.account(account)
                let result = try body(&copy)
                let pending = copy.takePending()
                for (key, value) in pending {
                    if let value { try transaction.put(key, value) } else { try transaction.delete(key) }
                }
                let changed = copy
                self.state.withLock { $0.put(changed, changed: pending.keys) }
                return result
            }
        } catch {
            // A commit that failed after the body ran has left memory ahead of the disk.
            if error.isServerFault { try await reload() }
            throw error
        }
    }

    private func reload() async throws(AWSError) {
        let documents = try await catalog.read { snapshot throws(AWSError) in
            try snapshot.scan(prefix: .prefix("iam"))
        }
        try take(documents)
    }
}
