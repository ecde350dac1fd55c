// SPDX-License-Identifier: Apache-2.0
//
// Inputs and outputs of SNS (botocore's model sns/2010-03-31). Maps are lists of entries in the Query protocol.

internal import AWSWire

/// Checked access to the members of an SNS request, with SNS's own errors.
struct TopicFields {
    let members: WireStructure

    init(_ request: OperationRequest, known: [String]) throws(AWSError) {
        members = request.parameters
        for member in members.members where !known.contains(member.name) {
            throw .invalidTopicParameter("unknown parameter \(member.name)")
        }
    }

    func text(_ name: String) throws(AWSError) -> String? {
        guard let value = members[name], !value.isNull else { return nil }
        guard let text = value.asString else { throw .invalidTopicParameter(name) }
        return text
    }

    func required(_ name: String) throws(AWSError) -> String {
        guard let text = try text(name), !text.isEmpty else {
            throw .invalidTopicParameter("\(name) Reason: no value for required parameter")
        }
        return text
    }

    func topic(_ name: String = "TopicArn") throws(AWSError) -> MessagingName {
        guard let place = MessagingName(.topic, arn: try required(name)) else {
            throw .invalidTopicParameter(
                "\(name) Reason: An ARN must have at least 6 elements, not \(Self.parts(try required(name)))")
        }
        return place
    }

    private static func parts(_ text: String) -> Int {
        text.split(separator: ":", omittingEmptySubsequences: false).count
    }

    /// - Returns: topic and id.
    func subscription() throws(AWSError) -> (topic: MessagingName, id: String) {
        let text = try required("SubscriptionArn")
        guard let colon = text.lastIndex(of: ":"), let topic = MessagingName(.topic, arn: String(text[..<colon])) else {
            throw .invalidTopicParameter(
                "SubscriptionArn Reason: An ARN must have at least 7 elements, not \(Self.parts(text))")
        }
        return (topic, String(text[text.index(after: colon)...]))
    }

    func list(_ name: String) throws(AWSError) -> [WireValue] {
        switch members[name] {
        case nil, .null?, .string("")?: return []
        case .list(let items)?: return items
        default: throw .invalidTopicParameter(name)
        }
    }

    func map(_ name: String) throws(AWSError) -> [(String, String)] {
        var pairs: [(String, String)] = []
        for item in try list(name) {
            guard let fields = item.asStructure, let key = fields["key"]?.asString else {
                throw .invalidTopicParameter(name)
            }
            pairs.append((key, fields["value"]?.asString ?? ""))
        }
        return pairs
    }

    func texts(_ name: String) throws(AWSError) -> [String] {
        var texts: [String] = []
        for item in try list(name) {
            guard let text = item.asString else { throw .invalidTopicParameter(name) }
            texts.append(text)
        }
        return texts
    }

    func tags() throws(AWSError) -> [TopicRecord.Tag] {
        var tags: [TopicRecord.Tag] = []
        for item in try list("Tags") {
            guard let fields = item.asStructure, let key = fields["Key"]?.asString,
                (1...128).contains(key.unicodeScalars.count),
                let value = fields["Value"]?.asString, value.unicodeScalars.count <= 256,
                !key.lowercased().hasPrefix("aws:")
            else {
                throw .invalidTopicParameter(
                    "Tags Reason: keys have 1 to 128 characters and do not begin with aws:, values at most 256")
            }
            guard !tags.contains(where: { $0.key == key }) else {
                throw .invalidTopicParameter("Tags Reason: Duplicate keys are not allowed.")
            }
            tags.append(TopicRecord.Tag(key: key, value: value))
        }
        return tags
    }

    static func map(_ pairs: [(String, String)]) -> WireValue {
        .structure(
            WireStructure(
                pairs.map { .init("entry", .structure(["key": .string($0.0), "value": .string($0.1)])) }))
    }
}

struct CreateTopicInput: OperationInput {
    let name: String
    let attributes: [(String, String)]
    let tags: [TopicRecord.Tag]
    let givesTags: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try TopicFields(request, known: ["Name", "Attributes", "Tags", "DataProtectionPolicy"])
        name = try fields.required("Name")
        attributes = try fields.map("Attributes")
        tags = try fields.tags()
        givesTags = !tags.isEmpty
        if try fields.text("DataProtectionPolicy") != nil {
            throw .invalidTopicParameter("DataProtectionPolicy Reason: data protection policies are not offered here")
        }
        if name.hasSuffix(".fifo") {
            throw .invalidTopicParameter("Topic Name Reason: FIFO topics are not offered here")
        }
        guard MessagingName.isPlain(name, most: 256) else { throw .invalidTopicParameter("Topic Name") }
    }
}

/// Inputs that are one topic: DeleteTopic, GetTopicAttributes.
struct TopicInput: OperationInput {
    let topic: MessagingName

    init(_ request: OperationRequest) throws(AWSError) {
        topic = try TopicFields(request, known: ["TopicArn"]).topic()
    }
}

struct TopicARNOutput: OperationOutput {
    let arn: String
    func answer() -> OperationAnswer { OperationAnswer(body: .members(["TopicArn": .string(arn)])) }
}

struct SubscriptionARNOutput: OperationOutput {
    let arn: String
    func answer() -> OperationAnswer { OperationAnswer(body: .members(["SubscriptionArn": .string(arn)])) }
}

struct TopicMapOutput: OperationOutput {
    let pairs: [(String, String)]
    func answer() -> OperationAnswer { OperationAnswer(body: .members(["Attributes": TopicFields.map(pairs)])) }
}

/// SetTopicAttributes and SetSubscriptionAttributes.
struct SetAttributeInput: OperationInput {
    let topic: MessagingName
    /// Empty for a topic's.
    let subscription: String
    let name: String
    let value: String

    init(_ request: OperationRequest) throws(AWSError) {
        let isTopic = request.operation == "SetTopicAttributes"
        let fields = try TopicFields(
            request, known: [isTopic ? "TopicArn" : "SubscriptionArn", "AttributeName", "AttributeValue"])
        (topic, subscription) = isTopic ? (try fields.topic(), "") : try fields.subscription()
        name = try fields.required("AttributeName")
        value = try fields.text("AttributeValue") ?? ""
    }
}

/// The lists, a page of a hundred each. `after` is the last name of the page before.
struct TopicPageInput: OperationInput {
    static let size = 100

    /// Of ListSubscriptionsByTopic.
    let topic: MessagingName?
    let after: String?

    init(_ request: OperationRequest) throws(AWSError) {
        let isOfTopic = request.operation == "ListSubscriptionsByTopic"
        let fields = try TopicFields(request, known: isOfTopic ? ["TopicArn", "NextToken"] : ["NextToken"])
        topic = isOfTopic ? try fields.topic() : nil
        guard let token = try fields.text("NextToken"), !token.isEmpty else {
            after = nil
            return
        }
        guard let name = Base64.decode(token).flatMap({ String(validating: $0, as: UTF8.self) }) else {
            throw .invalidTopicParameter("NextToken")
        }
        after = name
    }
}

struct TopicPageOutput: OperationOutput {
    let member: String
    let items: [WireValue]
    let next: String?

    func answer() -> OperationAnswer {
        var members: WireStructure = [member: .list(items)]
        members.append("NextToken", ifPresent: WireValue(next.map { Base64.encode(Array($0.utf8)) }))
        return OperationAnswer(body: .members(members))
    }
}

struct SubscribeInput: OperationInput {
    let topic: MessagingName
    let delivery: SubscriptionRecord.Delivery
    let endpoint: String
    let attributes: [(String, String)]
    let returnsARN: Bool
    let base: String

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try TopicFields(
            request, known: ["TopicArn", "Protocol", "Endpoint", "Attributes", "ReturnSubscriptionArn"])
        topic = try fields.topic()
        let word = try fields.required("Protocol")
        guard let delivery = SubscriptionRecord.Delivery(rawValue: word) else {
            let known = ["email", "email-json", "sms", "application", "lambda", "firehose"].contains(word)
            throw .invalidTopicParameter(
                known
                    ? "Protocol Reason: \(word) is not offered here; sqs, http and https are"
                    : "Does not support this protocol string: \(word)")
        }
        self.delivery = delivery
        endpoint = try fields.required("Endpoint")
        attributes = try fields.map("Attributes")
        returnsARN = try fields.text("ReturnSubscriptionArn") == "true"
        base = QueueFields.base(request)
        switch delivery {
        case .sqs:
            guard let queue = MessagingName(.queue, arn: endpoint) else {
                throw .invalidTopicParameter("SQS endpoint ARN")
            }
            guard !queue.name.hasSuffix(".fifo") else {
                throw .invalidTopicParameter(
                    "Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")
            }
        case .http, .https:
            let start = delivery.rawValue + "://"
            guard endpoint.hasPrefix(start), endpoint.utf8.count <= 2048, endpoint.utf8.count > start.utf8.count,
                endpoint.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
            else {
                throw .invalidTopicParameter(
                    "Endpoint Reason: Endpoint must match the specified protocol")
            }
        }
    }
}

struct ConfirmSubscriptionInput: OperationInput {
    let topic: MessagingName
    let token: String
    let needsSignatureToEnd: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try TopicFields(request, known: ["TopicArn", "Token", "AuthenticateOnUnsubscribe"])
        topic = try fields.topic()
        token = try fields.required("Token")
        needsSignatureToEnd = try fields.text("AuthenticateOnUnsubscribe") == "true"
    }
}

/// Inputs that are one subscription: Unsubscribe, GetSubscriptionAttributes.
struct SubscriptionInput: OperationInput {
    let id: String
    let topic: MessagingName

    init(_ request: OperationRequest) throws(AWSError) {
        (topic, id) = try TopicFields(request, known: ["SubscriptionArn"]).subscription()
    }
}

struct AddTopicPermissionInput: OperationInput {
    let topic: MessagingName
    let label: String
    let accounts: [String]
    let actions: [String]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try TopicFields(request, known: ["TopicArn", "Label", "AWSAccountId", "ActionName"])
        topic = try fields.topic()
        label = try fields.required("Label")
        accounts = try fields.texts("AWSAccountId")
        actions = try fields.texts("ActionName")
        guard !accounts.isEmpty, accounts.allSatisfy(MessagingName.isAccount) else {
            throw .invalidTopicParameter("AWSAccountId")
        }
        let known: Set<String> = [
            "Publish", "Subscribe", "GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission",
            "DeleteTopic", "ListSubscriptionsByTopic", "ListTagsForResource",
        ]
        guard !actions.isEmpty, actions.allSatisfy(known.contains) else {
            throw .invalidTopicParameter("Policy statement action out of service scope!")
        }
    }
}

struct RemoveTopicPermissionInput: OperationInput {
    let topic: MessagingName
    let label: String

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try TopicFields(request, known: ["TopicArn", "Label"])
        topic = try fields.topic()
        label = try fields.required("Label")
    }
}

/// TagResource, UntagResource, ListTagsForResource.
struct TopicTagsInput: OperationInput {
    let topic: MessagingName
    let tags: [TopicRecord.Tag]
    let keys: [String]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try TopicFields(request, known: ["ResourceArn", "Tags", "TagKeys"])
        topic = try fields.topic("ResourceArn")
        tags = try fields.tags()
        keys = try fields.texts("TagKeys")
    }
}

struct TopicTagsOutput: OperationOutput {
    let tags: [TopicRecord.Tag]

    func answer() -> OperationAnswer {
        let list = tags.map { WireValue.structure(["Key": .string($0.key), "Value": .string($0.value)]) }
        return OperationAnswer(body: .members(["Tags": .list(list)]))
    }
}

/// TagResource and UntagResource answer an empty result.
struct EmptyTopicOutput: OperationOutput {
    func answer() -> OperationAnswer { OperationAnswer(body: .members([:])) }
}
