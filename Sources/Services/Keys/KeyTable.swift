// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies
internal import Storage
internal import Synchronization

/// All keys, aliases and grants: in memory for reading, in the catalog for good.
///
/// One change at a time decides on what is in memory, writes its documents in one transaction, and only then shows them. So
/// nobody is ever answered from a change that a crash could take back, such as a new material that has encrypted already.
final class KeyTable: Sendable {
    struct Content: Sendable {
        /// By id.
        fileprivate(set) var keys: [String: KeyRecord] = [:]
        /// By ARN.
        fileprivate(set) var aliases: [String: AliasRecord] = [:]
        /// By the key's id, then the grant's.
        fileprivate(set) var grants: [String: [String: GrantRecord]] = [:]
        /// The compiled policies by the key's id; a policy that cannot be read is not here, and allows nothing.
        fileprivate(set) var policies: [String: PolicyDocument] = [:]

        fileprivate mutating func apply(_ change: KeyChange) {
            switch change {
            case .key(let key):
                if keys[key.id]?.policy != key.policy {
                    policies[key.id] = try? PolicyDocument.parse(
                        stored: Array(key.policy.utf8), as: .resource(.kms), name: key.arn)
                }
                keys[key.id] = key
            case .noKey(let id):
                keys[id] = nil
                policies[id] = nil
            case .alias(let alias): aliases[alias.arn] = alias
            case .noAlias(let arn): aliases[arn] = nil
            case .grant(let grant): grants[grant.keyID, default: [:]][grant.id] = grant
            case .noGrant(let keyID, let id): grants[keyID]?[id] = nil
            }
        }
    }

    private let catalog: Catalog
    private let turn = ChangeTurn()
    private let content: Mutex<Content>

    private init(_ catalog: Catalog, _ content: Content) {
        self.catalog = catalog
        self.content = Mutex(content)
    }

    static func open(_ catalog: Catalog) async throws(AWSError) -> KeyTable {
        let content = try await catalog.read { snapshot throws(AWSError) in
            var content = Content()
            for document in try snapshot.scan(prefix: KeyDocuments.keys) {
                content.apply(.key(try KeyDocuments.decode(document)))
            }
            for document in try snapshot.scan(prefix: KeyDocuments.aliases) {
                content.apply(.alias(try KeyDocuments.decode(document)))
            }
            for document in try snapshot.scan(prefix: KeyDocuments.grants) {
                content.apply(.grant(try KeyDocuments.decode(document)))
            }
            return content
        }
        return KeyTable(catalog, content)
    }

    func read<Result: Sendable, Failure: Error>(
        _ body: (Content) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try content.withLock { content throws(Failure) in try body(content) }
    }

    /// Decides on a change, makes it durable and shows it.
    ///
    /// - Throws: what `decide` throws, or what keeps the catalog from writing; nothing has changed then.
    @discardableResult
    func change<Result: Sendable>(
        _ decide: @escaping @Sendable (Content) throws(AWSError) -> (changes: [KeyChange], result: Result)
    ) async throws(AWSError) -> Result {
        try await turn.run { [self] () async throws(AWSError) -> Result in
            let decided = try read(decide)
            if decided.changes.isEmpty { return decided.result }
            try await catalog.write { transaction throws(AWSError) in
                for change in decided.changes { try transaction.carryOut(change) }
            }
            content.withLock { content in
                for change in decided.changes { content.apply(change) }
            }
            return decided.result
        }
    }
}

extension CatalogTransaction {
    fileprivate func carryOut(_ change: KeyChange) throws(AWSError) {
        switch change {
        case .key(let key): try put(KeyDocuments.key(key.id), try KeyDocuments.encode(key))
        case .noKey(let id): try delete(KeyDocuments.key(id))
        case .alias(let alias): try put(KeyDocuments.alias(alias.arn), try KeyDocuments.encode(alias))
        case .noAlias(let arn): try delete(KeyDocuments.alias(arn))
        case .grant(let grant): try put(KeyDocuments.grant(grant.keyID, grant.id), try KeyDocuments.encode(grant))
        case .noGrant(let keyID, let id): try delete(KeyDocuments.grant(keyID, id))
        }
    }
}

/// Lets one change at a time run, in the order of arrival.
private actor ChangeTurn {
    private var isBusy = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func run<Result: Sendable>(
        _ body: @Sendable () async throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        if isBusy { await withCheckedContinuation { waiting.append($0) } }
        isBusy = true
        defer {
            if waiting.isEmpty { isBusy = false } else { waiting.removeFirst().resume() }
        }
        return try await body()
    }
}
