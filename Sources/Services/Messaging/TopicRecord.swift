// SPDX-License-Identifier: Apache-2.0
//
// Topics and subscriptions as they lie in the catalog, and their attributes as clients set and read them.
// Source: Amazon SNS API Reference, SetTopicAttributes, GetTopicAttributes, SetSubscriptionAttributes.
//
//     ("topic", ACCOUNT, REGION, NAME)     the topic's record, JSON
//     ("subscription", ID)                 the subscription's record, JSON

internal import AWSWire
internal import Policies
internal import Storage

struct TopicRecord: Sendable, Equatable, Codable {
    struct Tag: Sendable, Equatable, Codable {
        var key: String
        var value: String
    }

    static let policyBytesMax = 30 * 1024

    var account: String
    var region: String
    var name: String
    var displayName = ""
    var policy: String
    /// `2` for SHA-256 signatures; nil for the default, SHA-1.
    var signatureVersion: String?
    var tags: [Tag] = []
    /// Subscriptions that have been deleted.
    var deleted = 0

    init(_ place: MessagingName) {
        account = place.account
        region = place.region
        name = place.name
        policy = Self.defaultPolicy(place)
    }

    var place: MessagingName { MessagingName(.topic, region: region, account: account, name: name) }
    var arn: String { place.arn }

    static let allKeys = CatalogKey.prefix("topic")
    static func key(_ place: MessagingName) -> CatalogKey {
        CatalogKey("topic", place.account, place.region, place.name)
    }

    /// - Throws: `InvalidParameter`, also for what this server has not, so that nobody believes that it is in force.
    mutating func set(_ name: String, _ value: String) throws(AWSError) {
        switch name {
        case "DisplayName":
            guard value.unicodeScalars.count <= 100 else {
                throw .invalidTopicParameter("DisplayName Reason: must be at most 100 characters long")
            }
            displayName = value
        case "Policy":
            policy = value.isEmpty ? Self.defaultPolicy(place) : value
            if !value.isEmpty { _ = try Self.checked(policy: value, of: place) }
        case "SignatureVersion":
            guard ["1", "2"].contains(value) else {
                throw .invalidTopicParameter("SignatureVersion Reason: must be 1 or 2")
            }
            signatureVersion = value
        case "TracingConfig":
            guard value.isEmpty || value == "PassThrough" else {
                throw .invalidTopicParameter("TracingConfig Reason: active tracing is not offered here")
            }
        case "KmsMasterKeyId":
            guard value.isEmpty else {
                throw .invalidTopicParameter("KmsMasterKeyId Reason: topics under a key of KMS are not offered here")
            }
        case "FifoTopic":
            guard value == "false" else {
                throw .invalidTopicParameter("FifoTopic Reason: FIFO topics are not offered here")
            }
        case "DeliveryPolicy":
            guard value.isEmpty else {
                throw .invalidTopicParameter(
                    "DeliveryPolicy Reason: only the default retry policy is offered here; see EffectiveDeliveryPolicy")
            }
        case _ where name.hasSuffix("SuccessFeedbackSampleRate") || name.hasSuffix("FeedbackRoleArn"):
            // The status of deliveries goes to CloudWatch Logs at AWS; nothing of it is what there is here.
            guard value.isEmpty || value == "0" else {
                throw .invalidTopicParameter("\(name) Reason: delivery status logging is not offered here")
            }
        default: throw .invalidTopicParameter("AttributeName")
        }
    }

    /// What GetTopicAttributes shows of what can be set.
    var shown: [(String, String)] {
        var shown = [("Policy", policy), ("DisplayName", displayName)]
        if let signatureVersion { shown.append(("SignatureVersion", signatureVersion)) }
        return shown
    }

    /// - Throws: `InvalidParameter` in SNS's words.
    static func checked(policy text: String, of place: MessagingName) throws(AWSError) -> PolicyDocument {
        guard text.utf8.count <= policyBytesMax else {
            throw .invalidTopicParameter("Policy Error: the policy is longer than \(policyBytesMax) bytes")
        }
        do throws(PolicyError) {
            return try PolicyDocument.parse(Array(text.utf8), as: .resource(.sns), name: place.arn)
        } catch {
            throw .invalidTopicParameter("Policy Error: \(error.detail)")
        }
    }

    /// The policy of a topic to which none was given, word for word as SNS has it. The condition is true of nobody who signs
    /// a call, so that the account's own identity policies decide.
    private static func defaultPolicy(_ place: MessagingName) -> String {
        let actions = [
            "GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission", "DeleteTopic", "Subscribe",
            "ListSubscriptionsByTopic", "Publish",
        ]
        return String(
            decoding: WireValue.structure([
                "Version": "2008-10-17", "Id": "__default_policy_ID",
                "Statement": .list([
                    .structure([
                        "Sid": "__default_statement_ID", "Effect": "Allow", "Principal": .structure(["AWS": "*"]),
                        "Action": .list(actions.map { .string("SNS:\($0)") }), "Resource": .string(place.arn),
                        "Condition": .structure([
                            "StringEquals": .structure(["AWS:SourceOwner": .string(place.account)])
                        ]),
                    ])
                ]),
            ]).json, as: UTF8.self)
    }

    /// How often and when a delivery over HTTP is tried, as GetTopicAttributes shows it.
    static let deliveryPolicy =
        #"{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"#
        + #""numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"#
        + #""disableSubscriptionOverrides":false}}"#
}

struct SubscriptionRecord: Sendable, Equatable, Codable {
    enum Delivery: String, Sendable, Codable { case sqs, http, https }

    var id: String
    var topicAccount: String
    var topicRegion: String
    var topicName: String
    var delivery: Delivery
    var endpoint: String
    /// The account that subscribed.
    var owner: String
    /// What confirms it; kept afterwards, so that a second confirmation is answered like the first.
    var token: String
    /// Milliseconds since 1970: when the token was sent.
    var tokenSent: Int64
    var isConfirmed: Bool
    var wasConfirmationSigned = false
    /// Whether only signed calls can end it.
    var needsSignatureToEnd = false
    var isRaw = false
    /// As it was given.
    var filterPolicy: String?
    var filtersBody = false
    /// The ARN of the queue for messages that cannot be delivered, and the policy as it was given.
    var deadLetterQueue: String?
    var redrivePolicy: String?
    /// The address by which the subscriber reached this server: links in messages begin with it.
    var base: String

    var topic: MessagingName {
        MessagingName(.topic, region: topicRegion, account: topicAccount, name: topicName)
    }
    var arn: String { "\(topic.arn):\(id)" }

    static let allKeys = CatalogKey.prefix("subscription")
    static func key(_ id: String) -> CatalogKey { CatalogKey("subscription", id) }

    /// - Throws: `InvalidParameter`, also for what this server has not.
    mutating func set(_ name: String, _ value: String) throws(AWSError) {
        switch name {
        case "RawMessageDelivery":
            guard ["true", "false"].contains(value) else {
                throw .invalidTopicParameter(
                    "Attributes Reason: RawMessageDelivery: Invalid value [\(value)]. Must be true or false.")
            }
            isRaw = value == "true"
        case "FilterPolicy":
            filterPolicy = value.isEmpty || value == "{}" ? nil : value
        case "FilterPolicyScope":
            guard ["MessageAttributes", "MessageBody"].contains(value) else {
                throw .invalidTopicParameter(
                    "Attributes Reason: FilterPolicyScope: Invalid value [\(value)]. Please use either MessageBody or "
                        + "MessageAttributes")
            }
            filtersBody = value == "MessageBody"
        case "RedrivePolicy":
            guard !value.isEmpty else {
                (deadLetterQueue, redrivePolicy) = (nil, nil)
                return
            }
            let fields = (try? WireValue(json: Array(value.utf8)))?.asStructure
            guard let arn = fields?["deadLetterTargetArn"]?.asString,
                let queue = MessagingName(.queue, arn: arn), queue.account == owner, queue.region == topicRegion
            else {
                throw .invalidTopicParameter(
                    "RedrivePolicy: deadLetterTargetArn must be the ARN of a queue of the subscription's account and "
                        + "region")
            }
            (deadLetterQueue, redrivePolicy) = (arn, value)
        case "DeliveryPolicy":
            guard value.isEmpty else {
                throw .invalidTopicParameter("DeliveryPolicy Reason: only the default retry policy is offered here")
            }
        default: throw .invalidTopicParameter("AttributeName")
        }
        try check()
    }

    /// Whether the filter policy can be read under its scope.
    func check() throws(AWSError) {
        if let filterPolicy { _ = try FilterPolicy(filterPolicy, isOfBody: filtersBody) }
    }

    /// What GetSubscriptionAttributes shows.
    var shown: [(String, String)] {
        var shown = [
            ("SubscriptionArn", arn), ("TopicArn", topic.arn), ("Protocol", delivery.rawValue), ("Endpoint", endpoint),
            ("Owner", owner), ("PendingConfirmation", isConfirmed ? "false" : "true"),
            ("ConfirmationWasAuthenticated", wasConfirmationSigned ? "true" : "false"),
            ("RawMessageDelivery", isRaw ? "true" : "false"),
            ("SubscriptionPrincipal", "arn:aws:iam::\(owner):root"),
        ]
        if let filterPolicy {
            shown.append(("FilterPolicy", filterPolicy))
            shown.append(("FilterPolicyScope", filtersBody ? "MessageBody" : "MessageAttributes"))
        }
        if let redrivePolicy { shown.append(("RedrivePolicy", redrivePolicy)) }
        if delivery != .sqs { shown.append(("EffectiveDeliveryPolicy", Self.deliveryPolicy)) }
        return shown
    }

    private static let deliveryPolicy =
        #"{"healthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"#
        + #""numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"}}"#
}
