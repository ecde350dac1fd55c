// SPDX-License-Identifier: Apache-2.0
//
// What is sent. Source: Amazon SNS Developer Guide, "HTTP/HTTPS notification JSON format", "HTTP/HTTPS subscription
// confirmation JSON format", "Amazon SNS raw message delivery", "Amazon SNS dead-letter queues".
//
// A publish and all that follows from it are one transaction: messages lie in their queues, and what goes to HTTP endpoints
// waits in the catalog, before the publisher is answered.

package import AWSWire
internal import Logging
internal import Policies
internal import Storage
internal import Synchronization

/// The signer, once it is known.
final class KnownSigner: Sendable {
    private let known = Mutex<MessageSigner?>(nil)

    var value: MessageSigner? {
        get { known.withLock { $0 } }
        set { known.withLock { $0 = newValue } }
    }
}

extension TopicService {
    // MARK: Publishing

    func publish(_ input: PublishInput, _ call: Call) async throws(AWSError) -> PublishOutput {
        PublishOutput(id: try await publish(input.notice, to: try topic(input.topic, call)))
    }

    func publishBatch(_ input: PublishBatchInput, _ call: Call) async throws(AWSError) -> PublishBatchOutput {
        let topic = try topic(input.topic, call)
        var output = PublishBatchOutput()
        for entry in input.entries {
            do throws(AWSError) {
                let known = OutgoingNotice.known + ["Id"]
                for member in entry.members.members where !known.contains(member.name) {
                    throw .invalidTopicParameter("unknown parameter \(member.name)")
                }
                let notice = try OutgoingNotice(entry.members)
                output.succeed(entry.id, messageID: try await publish(notice, to: topic))
            } catch {
                if error.isServerFault, output.successful.isEmpty { throw error }
                output.fail(entry.id, error)
            }
        }
        return output
    }

    /// Whether the topic's policy lets a service publish in its own name.
    ///
    /// - Parameter sourceARN: the resource for which it acts, which the policy sees as `aws:SourceArn`.
    /// - Throws: `InvalidParameter` for what is no topic's ARN, `NotFound`.
    package func allowsPublish(
        to arn: String, asService service: String, sourceARN: String, sourceAccount: String
    ) throws(AWSError) -> Bool {
        guard let place = MessagingName(.topic, arn: arn) else { throw .invalidTopicParameter("TopicArn") }
        guard let topic = table.read({ $0.topics[place] }) else { throw .noSuchTopic }
        let time = clock()
        let access = ServiceAccess(
            service: service, action: "sns:Publish", resource: topic.arn, resourceAccount: topic.account,
            sourceARN: sourceARN, sourceAccount: sourceAccount,
            context: [
                "aws:CurrentTime": ContextValue(time.iso8601), "aws:EpochTime": ContextValue(String(time.seconds)),
            ])
        return PolicyEvaluation.decide(access, resourcePolicy: table.read { $0.policies[place]?.compiled }).isAllowed
    }

    /// Publishes in a service's own name, if the topic's policy lets it; what follows is durable on return.
    ///
    /// - Throws: `NotFound`, `AuthorizationError`, or what keeps the catalog from writing.
    package func publish(
        _ text: String, subject: String?, to arn: String, asService service: String, sourceARN: String,
        sourceAccount: String
    ) async throws(AWSError) {
        guard
            try allowsPublish(to: arn, asService: service, sourceARN: sourceARN, sourceAccount: sourceAccount),
            let topic = MessagingName(.topic, arn: arn).flatMap({ place in table.read { $0.topics[place] } })
        else {
            throw .topicAccessDenied("User: \(service) is not authorized to perform: SNS:Publish on resource: \(arn)")
        }
        _ = try await publish(OutgoingNotice(text: text, subject: subject), to: topic)
    }

    /// - Returns: the message's id.
    private func publish(_ notice: OutgoingNotice, to topic: TopicRecord) async throws(AWSError) -> String {
        let id = uuid(randomBytes(16))
        let takers = table.read { content in
            content.subscriptions(of: topic.place).filter { subscription in
                guard subscription.isConfirmed else { return false }
                guard subscription.filterPolicy != nil else { return true }
                return content.filters[subscription.id]?.takes(
                    notice.text(for: subscription.delivery), notice.attributes)
                    ?? false
            }
        }
        guard !takers.isEmpty else { return id }
        let time = clock()
        var signatures: [String: String] = [:]
        var placed: [QueueService.Placed] = []
        var posts: [TopicDelivery] = []
        for taker in takers {
            let text = notice.text(for: taker.delivery)
            var body = text
            if !taker.isRaw {
                let signer = try await openSigner()
                if signatures[text] == nil {
                    var signed = [
                        "Message": text, "MessageId": id, "Timestamp": time.iso8601Milliseconds,
                        "TopicArn": topic.arn, "Type": "Notification",
                    ]
                    signed["Subject"] = notice.subject
                    signatures[text] = try signer.sign(signed, version: topic.signatureVersion ?? "1")
                }
                body = envelope(
                    notice, text, id: id, topic, time, signature: signatures[text] ?? "", path: signer.path, taker)
            }
            if taker.delivery == .sqs {
                let attributes = taker.isRaw ? notice.attributes : [:]
                if let one = try place(body, attributes, for: taker) { placed.append(one) }
            } else {
                posts.append(
                    TopicDelivery(
                        number: deliveries.number(), to: taker, type: "Notification", messageID: id, isRaw: taker.isRaw,
                        due: time.milliseconds, body: body))
            }
        }
        try await keep(placed, posts)
        return id
    }

    /// Makes messages and deliveries durable, and sets them going. A queue that went meanwhile gets nothing.
    func keep(_ placed: [QueueService.Placed], _ posts: [TopicDelivery]) async throws(AWSError) {
        guard !placed.isEmpty || !posts.isEmpty else { return }
        let put = try await table.catalog.write { transaction throws(AWSError) in
            var put: [QueueService.Placed] = []
            for one in placed where try one.put(in: transaction) { put.append(one) }
            for post in posts { try transaction.put(post.key, post.document) }
            return put
        }
        queues.show(put)
        for post in posts { deliveries.show(post) }
        if !posts.isEmpty { news.note("deliveries") }
    }

    /// The message in the subscription's queue, or in its dead-letter queue where that queue does not take it; nil where neither
    /// does, which is the message's end.
    private func place(
        _ body: String, _ attributes: [String: MessageAttribute], for taker: SubscriptionRecord
    ) throws(AWSError) -> QueueService.Placed? {
        var problem: AWSError?
        if attributes.count <= QueueService.Limits.attributesPerMessage {
            do throws(AWSError) {
                let queue = try queues.queue(
                    arn: taker.endpoint, forService: Self.principal, sourceARN: taker.topic.arn,
                    sourceAccount: taker.topicAccount)
                return try queues.place(
                    queues.message(body, attributes, sender: Self.principal, delay: queue.settings.delay), in: queue)
            } catch {
                problem = error
            }
        }
        logger.info(
            "a queue does not take what its topic sends",
            metadata: [
                "subscription": "\(taker.arn)", "code": "\(problem?.code ?? "TooManyMessageAttributes")",
            ])
        return try letter(body, attributes, of: taker)
    }

    /// The message in the subscription's dead-letter queue; nil where it has none, or none that takes it.
    func letter(
        _ body: String, _ attributes: [String: MessageAttribute], of taker: SubscriptionRecord
    ) throws(AWSError) -> QueueService.Placed? {
        guard let arn = taker.deadLetterQueue,
            let queue = try? queues.queue(
                arn: arn, forService: Self.principal, sourceARN: taker.topic.arn, sourceAccount: taker.topicAccount)
        else { return nil }
        return try queues.place(
            queues.message(body, attributes, sender: Self.principal, delay: queue.settings.delay), in: queue)
    }

    private static let principal = "sns.amazonaws.com"

    // MARK: What messages say

    private func envelope(
        _ notice: OutgoingNotice, _ text: String, id: String, _ topic: TopicRecord, _ time: Timestamp,
        signature: String,
        path: String, _ taker: SubscriptionRecord
    ) -> String {
        var fields: WireStructure = [
            "Type": "Notification", "MessageId": .string(id), "TopicArn": .string(topic.arn),
        ]
        fields.append("Subject", ifPresent: WireValue(notice.subject))
        fields.append("Message", .string(text))
        fields.append("Timestamp", .string(time.iso8601Milliseconds))
        fields.append("SignatureVersion", .string(topic.signatureVersion ?? "1"))
        fields.append("Signature", .string(signature))
        fields.append("SigningCertURL", .string(taker.base + path))
        fields.append(
            "UnsubscribeURL",
            .string("\(taker.base)/?Action=Unsubscribe&Version=2010-03-31&SubscriptionArn=\(taker.arn)"))
        if !notice.attributes.isEmpty {
            let attributes = notice.attributes.sorted { $0.key < $1.key }.map { name, attribute in
                let value: String =
                    switch attribute.value {
                    case .text(let text): text
                    case .binary(let bytes): Base64.encode(bytes)
                    }
                return WireStructure.Member(
                    name, .structure(["Type": .string(attribute.type), "Value": .string(value)]))
            }
            fields.append("MessageAttributes", .structure(WireStructure(attributes)))
        }
        return String(decoding: WireValue.structure(fields).json, as: UTF8.self)
    }

    /// Sends a subscription its token.
    func sendToken(_ record: SubscriptionRecord, signedAs version: String) async throws(AWSError) {
        let signer = try await openSigner()
        let time = clock()
        let id = uuid(randomBytes(16))
        let url =
            "\(record.base)/?Action=ConfirmSubscription&Version=2010-03-31&TopicArn=\(record.topic.arn)&Token=\(record.token)"
        let signed = [
            "Message":
                "You have chosen to subscribe to the topic \(record.topic.arn).\nTo confirm the subscription, visit the "
                + "SubscribeURL included in this message.",
            "MessageId": id, "SubscribeURL": url, "Timestamp": time.iso8601Milliseconds, "Token": record.token,
            "TopicArn": record.topic.arn, "Type": "SubscriptionConfirmation",
        ]
        var fields = WireStructure()
        for name in ["Type", "MessageId", "Token", "TopicArn", "Message", "SubscribeURL", "Timestamp"] {
            fields.append(name, ifPresent: WireValue(signed[name]))
        }
        fields.append("SignatureVersion", .string(version))
        fields.append("Signature", .string(try signer.sign(signed, version: version)))
        fields.append("SigningCertURL", .string(record.base + signer.path))
        let body = String(decoding: WireValue.structure(fields).json, as: UTF8.self)
        if record.delivery == .sqs {
            try await keep(try place(body, [:], for: record).map { [$0] } ?? [], [])
        } else {
            try await keep(
                [],
                [
                    TopicDelivery(
                        number: deliveries.number(), to: record, type: "SubscriptionConfirmation", messageID: id,
                        isRaw: false, due: time.milliseconds, body: body)
                ])
        }
    }

    private func openSigner() async throws(AWSError) -> MessageSigner {
        if let known = signer.value { return known }
        return try await signerTurn.run { () async throws(AWSError) -> MessageSigner in
            if let known = signer.value { return known }
            let opened = try await MessageSigner.open(
                table.catalog, secret: secret, now: clock(), randomBytes: randomBytes)
            signer.value = opened
            return opened
        }
    }

    /// The certificate by which messages are checked, for its own path; nil for every other.
    package func document(_ path: String) -> String? {
        guard path.hasPrefix("/SimpleNotificationService-"), let signer = signer.value, signer.path == path else {
            return nil
        }
        return signer.pem
    }
}
