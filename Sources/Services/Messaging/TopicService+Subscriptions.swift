// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage

/// Subscribing, confirming and ending.
extension TopicService {
    /// Subscribes an endpoint, or answers the subscription that is there. A queue of the caller's own account is confirmed by
    /// that; every other endpoint is sent a token first.
    func subscribe(_ input: SubscribeInput, _ call: Call) async throws(AWSError) -> SubscriptionARNOutput {
        let topic = try topic(input.topic, call)
        let isOwnQueue =
            MessagingName(.queue, arn: input.endpoint).map { $0.account == call.accountID } ?? false
        var wanted = SubscriptionRecord(
            id: uuid(randomBytes(16)), topicAccount: topic.account, topicRegion: topic.region, topicName: topic.name,
            delivery: input.delivery, endpoint: input.endpoint, owner: call.accountID,
            token: hexadecimal(randomBytes(96)), tokenSent: now, isConfirmed: isOwnQueue,
            wasConfirmationSigned: isOwnQueue, base: input.base)
        // The scope decides how the policy is read.
        for (name, value) in input.attributes where name == "FilterPolicyScope" { try wanted.set(name, value) }
        for (name, value) in input.attributes where name != "FilterPolicyScope" { try wanted.set(name, value) }
        let new = wanted
        let record = try await table.change {
            content throws(AWSError) -> (changes: [TopicTable.Change], result: SubscriptionRecord) in
            guard content.topics[new.topic] != nil else { throw .noSuchTopic }
            let all = content.subscriptions(of: new.topic)
            if var found = all.first(where: { $0.delivery == new.delivery && $0.endpoint == new.endpoint }) {
                let has = Dictionary(found.shown, uniquingKeysWith: { first, _ in first })
                let asks = Dictionary(new.shown, uniquingKeysWith: { first, _ in first })
                for (name, _) in input.attributes where has[name] != asks[name] {
                    throw .invalidTopicParameter(
                        "Attributes Reason: Subscription already exists with different attributes")
                }
                if found.isConfirmed { return ([], found) }
                found.token = new.token
                found.tokenSent = new.tokenSent
                found.base = new.base
                return ([.subscription(found)], found)
            }
            guard all.count < Limits.subscriptions else {
                throw AWSError("SubscriptionLimitExceeded", status: 403, "Subscription limit exceeded")
            }
            return ([.subscription(new)], new)
        }
        if !record.isConfirmed { try await sendToken(record, signedAs: topic.signatureVersion ?? "1") }
        return SubscriptionARNOutput(
            arn: record.isConfirmed || input.returnsARN ? record.arn : "pending confirmation")
    }

    func confirmSubscription(
        _ input: ConfirmSubscriptionInput, _ call: Call
    ) async throws(AWSError) -> SubscriptionARNOutput {
        let isSigned = call.caller.kind != .unknown
        if isSigned, let refusal = try await call.further(Self.reference(input.topic, "sns:ConfirmSubscription")) {
            throw refusal
        }
        let now = now
        let record = try await table.change {
            content throws(AWSError) -> (changes: [TopicTable.Change], result: SubscriptionRecord) in
            guard content.topics[input.topic] != nil else { throw .noSuchTopic }
            guard var record = content.subscriptions(of: input.topic).first(where: { $0.token == input.token }),
                record.isConfirmed || now - record.tokenSent <= Limits.tokenMilliseconds
            else { throw .invalidTopicParameter("Token") }
            if record.isConfirmed { return ([], record) }
            record.isConfirmed = true
            record.wasConfirmationSigned = isSigned
            record.needsSignatureToEnd = input.needsSignatureToEnd
            return ([.subscription(record)], record)
        }
        return SubscriptionARNOutput(arn: record.arn)
    }

    func unsubscribe(_ input: SubscriptionInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let found = table.read { $0.subscriptions[input.id] }
        if call.caller.kind != .unknown {
            // The owner of the subscription and the owner of the topic can end it, each by policies of its own account.
            guard found == nil || [found?.owner, input.topic.account].contains(call.accountID) else {
                throw .topicAccessDenied("Not the owner of the subscription or of the topic")
            }
            let reference = ResourceReference(
                type: "AWS::SNS::Subscription", arn: "\(input.topic.arn):\(input.id)", accountID: call.accountID,
                action: "sns:Unsubscribe")
            if let refusal = try await call.further(reference) { throw refusal }
        } else if found?.needsSignatureToEnd ?? true {
            throw .topicAccessDenied("This subscription can be ended by a signed call only")
        }
        try await table.change { content throws(AWSError) -> (changes: [TopicTable.Change], result: Void) in
            guard let record = content.subscriptions[input.id], record.topic == input.topic else { return ([], ()) }
            var changes: [TopicTable.Change] = [.noSubscription(record.id)]
            if var topic = content.topics[record.topic] {
                topic.deleted += 1
                changes.append(.topic(topic))
            }
            return (changes, ())
        }
        return EmptyOutput()
    }

    private static func reference(_ topic: MessagingName, _ action: String) -> ResourceReference {
        var reference = topic.reference
        reference.action = action
        return reference
    }

    // MARK: Finding

    func listSubscriptions(_ input: TopicPageInput, _ call: Call) async throws(AWSError) -> TopicPageOutput {
        page(
            table.read { content in
                content.subscriptions.values.filter { $0.owner == call.accountID && $0.topicRegion == call.region }
            }, after: input.after)
    }

    func listSubscriptionsByTopic(_ input: TopicPageInput, _ call: Call) async throws(AWSError) -> TopicPageOutput {
        guard let place = input.topic else { throw .noSuchTopic }
        let topic = try topic(place, call)
        return page(table.read { $0.subscriptions(of: topic.place) }, after: input.after)
    }

    private func page(_ records: [SubscriptionRecord], after: String?) -> TopicPageOutput {
        let rest = records.sorted { $0.arn < $1.arn }.filter { record in after.map { record.arn > $0 } ?? true }
        let shown = rest.prefix(TopicPageInput.size)
        let items = shown.map { record in
            WireValue.structure([
                "SubscriptionArn": .string(record.isConfirmed ? record.arn : "PendingConfirmation"),
                "Owner": .string(record.owner), "Protocol": .string(record.delivery.rawValue),
                "Endpoint": .string(record.endpoint), "TopicArn": .string(record.topic.arn),
            ])
        }
        return TopicPageOutput(
            member: "Subscriptions", items: items, next: shown.count < rest.count ? shown.last?.arn : nil)
    }

    func getSubscriptionAttributes(_ input: SubscriptionInput, _ call: Call) async throws(AWSError) -> TopicMapOutput {
        TopicMapOutput(
            pairs: try seen(input.id, of: input.topic, table.read { $0.subscriptions[input.id] }, call).shown)
    }

    func setSubscriptionAttributes(_ input: SetAttributeInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await table.change { [self] content throws(AWSError) -> (changes: [TopicTable.Change], result: Void) in
            var record = try seen(
                input.subscription, of: input.topic, content.subscriptions[input.subscription], call)
            try record.set(input.name, input.value)
            return ([.subscription(record)], ())
        }
        return EmptyOutput()
    }

    /// The subscription, as its owner and the topic's see it.
    private func seen(
        _ id: String, of topic: MessagingName, _ record: SubscriptionRecord?, _ call: Call
    ) throws(AWSError) -> SubscriptionRecord {
        guard let record, record.topic == topic, [record.owner, topic.account].contains(call.accountID) else {
            throw .noSuchSubscription
        }
        return record
    }
}
