// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies
internal import Storage
internal import Synchronization

/// All topics and subscriptions: in memory for reading, in the catalog for good.
///
/// One change at a time decides on what is in memory, writes its documents in one transaction, and only then shows them.
final class TopicTable: Sendable {
    enum Change: Sendable {
        case topic(TopicRecord)
        case noTopic(MessagingName)
        case subscription(SubscriptionRecord)
        case noSubscription(String)
    }

    struct Content: Sendable {
        fileprivate(set) var topics: [MessagingName: TopicRecord] = [:]
        fileprivate(set) var policies: [MessagingName: StoredPolicy] = [:]
        /// By id.
        fileprivate(set) var subscriptions: [String: SubscriptionRecord] = [:]
        fileprivate(set) var filters: [String: FilterPolicy] = [:]
        fileprivate var ofTopic: [MessagingName: Set<String>] = [:]

        /// A topic's subscriptions, in the order of their ids.
        func subscriptions(of topic: MessagingName) -> [SubscriptionRecord] {
            (ofTopic[topic] ?? []).sorted().compactMap { subscriptions[$0] }
        }

        fileprivate mutating func apply(_ change: Change) {
            switch change {
            case .topic(let topic):
                if topics[topic.place]?.policy != topic.policy {
                    policies[topic.place] = StoredPolicy(
                        stored: topic.policy, as: .resource(.sns), name: topic.arn)
                }
                topics[topic.place] = topic
            case .noTopic(let place):
                topics[place] = nil
                policies[place] = nil
            case .subscription(let record):
                subscriptions[record.id] = record
                ofTopic[record.topic, default: []].insert(record.id)
                filters[record.id] = record.filterPolicy.flatMap {
                    try? FilterPolicy($0, isOfBody: record.filtersBody)
                }
            case .noSubscription(let id):
                guard let old = subscriptions.removeValue(forKey: id) else { return }
                filters[id] = nil
                ofTopic[old.topic]?.remove(id)
                if ofTopic[old.topic]?.isEmpty == true { ofTopic[old.topic] = nil }
            }
        }
    }

    let catalog: Catalog
    private let turn = SerialTurn()
    private let content: Mutex<Content>

    private init(_ catalog: Catalog, _ content: Content) {
        self.catalog = catalog
        self.content = Mutex(content)
    }

    static func open(_ catalog: Catalog) async throws(AWSError) -> TopicTable {
        let content = try await catalog.read { snapshot throws(AWSError) in
            var content = Content()
            for document in try snapshot.scan(prefix: TopicRecord.allKeys) {
                content.apply(.topic(try CatalogJSON.decode(document) { .topicFault($0) }))
            }
            for document in try snapshot.scan(prefix: SubscriptionRecord.allKeys) {
                content.apply(.subscription(try CatalogJSON.decode(document) { .topicFault($0) }))
            }
            return content
        }
        return TopicTable(catalog, content)
    }

    func read<Result: Sendable, Failure: Error>(
        _ body: (Content) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try content.withLock { content throws(Failure) in try body(content) }
    }

    /// Decides on a change, makes it durable and shows it.
    ///
    /// - Parameter more: written in the same transaction.
    /// - Throws: what `decide` throws, or what keeps the catalog from writing; nothing has changed then.
    @discardableResult
    func change<Result: Sendable>(
        with more: @escaping @Sendable (CatalogTransaction) throws(AWSError) -> Void = { _ in },
        _ decide: @escaping @Sendable (Content) throws(AWSError) -> (changes: [Change], result: Result)
    ) async throws(AWSError) -> Result {
        try await turn.run { [self] () async throws(AWSError) -> Result in
            let decided = try read(decide)
            if decided.changes.isEmpty { return decided.result }
            try await catalog.write { transaction throws(AWSError) in
                for change in decided.changes { try transaction.carryOut(change) }
                try more(transaction)
            }
            content.withLock { content in
                for change in decided.changes { content.apply(change) }
            }
            return decided.result
        }
    }
}

extension CatalogTransaction {
    fileprivate func carryOut(_ change: TopicTable.Change) throws(AWSError) {
        switch change {
        case .topic(let topic): try put(TopicRecord.key(topic.place), try CatalogJSON.encode(topic) { .topicFault($0) })
        case .noTopic(let place): try delete(TopicRecord.key(place))
        case .subscription(let record):
            try put(SubscriptionRecord.key(record.id), try CatalogJSON.encode(record) { .topicFault($0) })
        case .noSubscription(let id): try delete(SubscriptionRecord.key(id))
        }
    }
}
