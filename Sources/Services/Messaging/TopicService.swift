// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Logging
package import Policies
package import Storage

/// SNS: standard topics that hand what is published on to queues and HTTP endpoints.
///
/// FIFO topics, topics under keys of KMS, mail, text messages and mobile push are refused with SNS's own errors.
package final class TopicService: Sendable {
    package enum Limits {
        package static let topics = 100_000
        package static let tagsPerTopic = 50
        /// Of one topic; SNS has 12,500,000.
        package static let subscriptions = 100_000
        /// Milliseconds for which a token confirms.
        package static let tokenMilliseconds: Int64 = 2 * 86_400_000
    }

    /// What clients can call.
    package static let operations: [Operation<TopicService>] = [
        Operation(
            "CreateTopic", .write, on: named, recorded: TopicRecording.parameters, perform: TopicService.createTopic),
        Operation(
            "DeleteTopic", .write, silent, on: topic, recorded: TopicRecording.parameters,
            perform: TopicService.deleteTopic),
        Operation("ListTopics", .read, recorded: TopicRecording.parameters, perform: TopicService.listTopics),
        Operation(
            "GetTopicAttributes", .read, on: topic, recorded: TopicRecording.parameters,
            perform: TopicService.getTopicAttributes),
        Operation(
            "SetTopicAttributes", .write, silent, on: topic, recorded: TopicRecording.parameters,
            perform: TopicService.setTopicAttributes),
        Operation(
            "AddPermission", .write, silent, on: topic, recorded: TopicRecording.parameters,
            perform: TopicService.addPermission),
        Operation(
            "RemovePermission", .write, silent, on: topic, recorded: TopicRecording.parameters,
            perform: TopicService.removePermission),
        Operation(
            "TagResource", .write, silent, on: tagged, recorded: TopicRecording.parameters,
            perform: TopicService.tagResource),
        Operation(
            "UntagResource", .write, silent, on: tagged, recorded: TopicRecording.parameters,
            perform: TopicService.untagResource),
        Operation(
            "ListTagsForResource", .read, on: tagged, recorded: TopicRecording.parameters,
            perform: TopicService.listTagsForResource),
        Operation(
            "Subscribe", .write, on: topic, recorded: TopicRecording.parameters,
            perform: TopicService.subscribe),
        // Whoever has the token can confirm; whoever has the link in a message can end the subscription.
        Operation(
            "ConfirmSubscription", .write, OperationTraits(authorization: .unsigned), on: topic,
            recorded: TopicRecording.parameters, perform: TopicService.confirmSubscription),
        Operation(
            "Unsubscribe", .write, OperationTraits(recordsAnswer: false, authorization: .unsigned),
            recorded: TopicRecording.parameters, perform: TopicService.unsubscribe),
        Operation(
            "ListSubscriptions", .read, recorded: TopicRecording.parameters, perform: TopicService.listSubscriptions),
        Operation(
            "ListSubscriptionsByTopic", .read, on: topic, recorded: TopicRecording.parameters,
            perform: TopicService.listSubscriptionsByTopic),
        Operation(
            "GetSubscriptionAttributes", .read, on: subscription, recorded: TopicRecording.parameters,
            perform: TopicService.getSubscriptionAttributes),
        Operation(
            "SetSubscriptionAttributes", .write, silent, on: subscription, recorded: TopicRecording.parameters,
            perform: TopicService.setSubscriptionAttributes),
        Operation(
            "Publish", .write, data(), on: target, recorded: TopicRecording.parameters, perform: TopicService.publish),
        Operation(
            "PublishBatch", .write, data("Publish"), on: target, recorded: TopicRecording.parameters,
            perform: TopicService.publishBatch),
    ].map { declared in
        var operation = declared
        operation.conditions = conditions
        return operation
    }

    private static let silent = OperationTraits(recordsAnswer: false)
    private static func data(_ action: String? = nil) -> OperationTraits {
        OperationTraits(category: .data, iamAction: action, recordsResources: true)
    }

    let table: TopicTable
    let queues: QueueService
    let secret: RootSecret
    let clock: Clock
    let randomBytes: @Sendable (Int) -> [UInt8]
    let send: EndpointSender
    let logger: Logger
    let deliveries = TopicDeliveries()
    /// Wakes the loop that delivers.
    let news = Arrivals()
    let signerTurn = SerialTurn()
    let signer = KnownSigner()

    private init(
        _ table: TopicTable, queues: QueueService, secret: RootSecret, clock: @escaping Clock,
        randomBytes: @escaping @Sendable (Int) -> [UInt8], send: @escaping EndpointSender, logger: Logger
    ) {
        self.table = table
        self.queues = queues
        self.secret = secret
        self.clock = clock
        self.randomBytes = randomBytes
        self.send = send
        self.logger = logger
    }

    /// Opens the room with all topics, subscriptions and waiting deliveries that the catalog has.
    ///
    /// - Parameters:
    ///   - secret: seals the key that signs messages.
    ///   - randomBytes: cryptographic randomness, for ids and tokens.
    ///   - send: sends requests to endpoints outside, with limits of its own.
    package static func open(
        catalog: Catalog, queues: QueueService, secret: RootSecret, clock: @escaping Clock,
        randomBytes: @escaping @Sendable (Int) -> [UInt8], send: @escaping EndpointSender, logger: Logger
    ) async throws(AWSError) -> TopicService {
        let service = TopicService(
            try await TopicTable.open(catalog), queues: queues, secret: secret, clock: clock, randomBytes: randomBytes,
            send: send, logger: logger)
        try await service.deliveries.load(catalog)
        service.signer.value = try await MessageSigner.load(catalog, secret: secret)
        return service
    }

    /// The service with its operations bound to this object.
    package var service: Service {
        Service(
            "sns", .query(version: "2010-03-31", namespace: "http://sns.amazonaws.com/doc/2010-03-31/"), owner: self,
            operations: Self.operations, recorded: TopicRecording.parameters, denial: AWSError.deniedByTopic)
    }

    /// The policy of the topic that a resource is; nil where there is none.
    package func policy(of resource: ResourceReference) -> StoredPolicy? {
        // Most resources are none of ours.
        guard resource.arn.hasPrefix("arn:aws:sns:"), let place = MessagingName(.topic, arn: resource.arn) else {
            return nil
        }
        return table.read { $0.policies[place] }
    }

    var now: Int64 { clock().milliseconds }

    // MARK: Which topic a request is about

    private static func topic(_ member: String) -> Operation<TopicService>.Resources {
        { _, request, _ in
            request.parameters[member]?.asString.flatMap { MessagingName(.topic, arn: $0) }.map { [$0.reference] } ?? []
        }
    }

    private static let topic = topic("TopicArn")
    private static let tagged = topic("ResourceArn")
    private static let target: Operation<TopicService>.Resources = { service, request, call in
        topic(request.parameters["TopicArn"] == nil ? "TargetArn" : "TopicArn")(service, request, call)
    }

    private static let named: Operation<TopicService>.Resources = { _, request, call in
        request.parameters["Name"]?.asString.map {
            [MessagingName(.topic, region: call.region, account: call.accountID, name: $0).reference]
        } ?? []
    }

    /// The subscription; it belongs to whoever subscribed.
    private static let subscription: Operation<TopicService>.Resources = { service, request, _ in
        guard let arn = request.parameters["SubscriptionArn"]?.asString, let id = arn.split(separator: ":").last else {
            return []
        }
        let owner = service.table.read { $0.subscriptions[String(id)]?.owner }
        return [ResourceReference(type: "AWS::SNS::Subscription", arn: arn, accountID: owner)]
    }

    /// Where a subscription goes, the tags that a request brings, and those that its topic has, as policies see them.
    private static let conditions: Operation<TopicService>.Conditions = { service, request, call in
        var keys: [ConditionKey] = []
        if let word = request.parameters["Protocol"]?.asString { keys.append(ConditionKey("sns:Protocol", word)) }
        if let text = request.parameters["Endpoint"]?.asString { keys.append(ConditionKey("sns:Endpoint", text)) }
        var names = (request.parameters["TagKeys"]?.asList ?? []).compactMap(\.asString)
        for tag in request.parameters["Tags"]?.asList ?? [] {
            guard let key = tag.asStructure?["Key"]?.asString else { continue }
            names.append(key)
            keys.append(ConditionKey("aws:RequestTag/\(key)", tag.asStructure?["Value"]?.asString ?? ""))
        }
        if !names.isEmpty { keys.append(ConditionKey("aws:TagKeys", set: names)) }
        let arn = ["TopicArn", "TargetArn", "ResourceArn"].lazy.compactMap { request.parameters[$0]?.asString }.first
        if let place = arn.flatMap({ MessagingName(.topic, arn: $0) }) {
            for tag in service.table.read({ $0.topics[place]?.tags }) ?? [] {
                keys.append(ConditionKey("aws:ResourceTag/\(tag.key)", tag.value))
            }
        }
        return keys
    }

    /// - Throws: `InvalidParameter` for a topic of another region, `NotFound`.
    func topic(_ place: MessagingName, _ call: Call) throws(AWSError) -> TopicRecord {
        guard place.region == call.region else { throw .invalidTopicParameter("TopicArn") }
        guard let topic = table.read({ $0.topics[place] }) else { throw .noSuchTopic }
        return topic
    }

    // MARK: Topics

    /// Makes the topic, or answers the one that is there where its attributes are as asked.
    func createTopic(_ input: CreateTopicInput, _ call: Call) async throws(AWSError) -> TopicARNOutput {
        let place = MessagingName(.topic, region: call.region, account: call.accountID, name: input.name)
        guard input.tags.count <= Limits.tagsPerTopic else { throw .tooManyTopicTags }
        var wanted = TopicRecord(place)
        for (name, value) in input.attributes {
            do throws(AWSError) {
                try wanted.set(name, value)
            } catch {
                guard error.message == "Invalid parameter: AttributeName" else { throw error }
                throw .invalidTopicParameter("Attributes Reason: Unknown attribute \(name)")
            }
        }
        wanted.tags = input.tags
        let topic = wanted
        try await table.change { content throws(AWSError) -> (changes: [TopicTable.Change], result: Void) in
            guard let found = content.topics[place] else {
                let count = content.topics.keys.count { $0.account == place.account && $0.region == place.region }
                guard count < Limits.topics else {
                    throw AWSError("TopicLimitExceeded", status: 403, "Topic limit exceeded")
                }
                return ([.topic(topic)], ())
            }
            let has = Dictionary(found.shown, uniquingKeysWith: { first, _ in first })
            let asks = Dictionary(topic.shown, uniquingKeysWith: { first, _ in first })
            for (name, _) in input.attributes where has[name] != asks[name] {
                throw .invalidTopicParameter("Attributes Reason: Topic already exists with different attributes")
            }
            if input.givesTags,
                Set(found.tags.map { "\($0.key)=\($0.value)" }) != Set(topic.tags.map { "\($0.key)=\($0.value)" })
            {
                throw .invalidTopicParameter("Tags Reason: Topic already exists with different tags")
            }
            return ([], ())
        }
        return TopicARNOutput(arn: place.arn)
    }

    /// Deletes the topic and its subscriptions; deleting what is not there is no error.
    func deleteTopic(_ input: TopicInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        guard input.topic.region == call.region else { throw .invalidTopicParameter("TopicArn") }
        try await table.change { content throws(AWSError) -> (changes: [TopicTable.Change], result: Void) in
            guard content.topics[input.topic] != nil else { return ([], ()) }
            let gone = content.subscriptions(of: input.topic).map { TopicTable.Change.noSubscription($0.id) }
            return ([.noTopic(input.topic)] + gone, ())
        }
        return EmptyOutput()
    }

    func listTopics(_ input: TopicPageInput, _ call: Call) async throws(AWSError) -> TopicPageOutput {
        let names = table.read { content in
            content.topics.keys.filter { $0.account == call.accountID && $0.region == call.region }.map(\.arn)
        }.sorted().filter { name in input.after.map { name > $0 } ?? true }
        let shown = names.prefix(TopicPageInput.size)
        return TopicPageOutput(
            member: "Topics", items: shown.map { .structure(["TopicArn": .string($0)]) },
            next: shown.count < names.count ? shown.last : nil)
    }

    func getTopicAttributes(_ input: TopicInput, _ call: Call) async throws(AWSError) -> TopicMapOutput {
        let topic = try topic(input.topic, call)
        let subscriptions = table.read { $0.subscriptions(of: topic.place) }
        var pairs = topic.shown
        pairs += [
            ("Owner", topic.account), ("TopicArn", topic.arn),
            ("SubscriptionsConfirmed", String(subscriptions.count { $0.isConfirmed })),
            ("SubscriptionsPending", String(subscriptions.count { !$0.isConfirmed })),
            ("SubscriptionsDeleted", String(topic.deleted)), ("EffectiveDeliveryPolicy", TopicRecord.deliveryPolicy),
        ]
        return TopicMapOutput(pairs: pairs)
    }

    func setTopicAttributes(_ input: SetAttributeInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(input.topic, call) { topic throws(AWSError) in try topic.set(input.name, input.value) }
        return EmptyOutput()
    }

    func addPermission(_ input: AddTopicPermissionInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(input.topic, call) { topic throws(AWSError) in
            var statements = try AccessStatements(topic.policy, id: "__default_policy_ID")
            guard !statements.has(input.label) else { throw .invalidTopicParameter("Statement already exists") }
            statements.add(
                input.label, accounts: input.accounts, actions: input.actions.map { "SNS:\($0)" }, resource: topic.arn)
            try topic.set("Policy", statements.text)
        }
        return EmptyOutput()
    }

    /// Takes a statement out of the policy; one that is not there is no error.
    func removePermission(_ input: RemoveTopicPermissionInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(input.topic, call) { topic throws(AWSError) in
            var statements = try AccessStatements(topic.policy, id: "")
            if statements.remove(input.label) { try topic.set("Policy", statements.isEmpty ? "" : statements.text) }
        }
        return EmptyOutput()
    }

    private func change(
        _ place: MessagingName, _ call: Call,
        _ body: @escaping @Sendable (inout TopicRecord) throws(AWSError) -> Void
    ) async throws(AWSError) {
        _ = try topic(place, call)
        try await table.change { content throws(AWSError) -> (changes: [TopicTable.Change], result: Void) in
            guard var topic = content.topics[place] else { throw .noSuchTopic }
            try body(&topic)
            return ([.topic(topic)], ())
        }
    }

    // MARK: Tags

    func tagResource(_ input: TopicTagsInput, _ call: Call) async throws(AWSError) -> EmptyTopicOutput {
        try await changeTags(input, call) { tags throws(AWSError) in
            for tag in input.tags {
                tags.removeAll { $0.key == tag.key }
                tags.append(tag)
            }
            guard tags.count <= Limits.tagsPerTopic else { throw .tooManyTopicTags }
        }
    }

    func untagResource(_ input: TopicTagsInput, _ call: Call) async throws(AWSError) -> EmptyTopicOutput {
        try await changeTags(input, call) { tags throws(AWSError) in
            tags.removeAll { input.keys.contains($0.key) }
        }
    }

    private func changeTags(
        _ input: TopicTagsInput, _ call: Call,
        _ body: @escaping @Sendable (inout [TopicRecord.Tag]) throws(AWSError) -> Void
    ) async throws(AWSError) -> EmptyTopicOutput {
        try await table.change { content throws(AWSError) -> (changes: [TopicTable.Change], result: Void) in
            guard var topic = content.topics[input.topic] else { throw .noSuchTopicResource }
            try body(&topic.tags)
            return ([.topic(topic)], ())
        }
        return EmptyTopicOutput()
    }

    func listTagsForResource(_ input: TopicTagsInput, _ call: Call) async throws(AWSError) -> TopicTagsOutput {
        guard let topic = table.read({ $0.topics[input.topic] }) else { throw .noSuchTopicResource }
        return TopicTagsOutput(tags: topic.tags)
    }
}
