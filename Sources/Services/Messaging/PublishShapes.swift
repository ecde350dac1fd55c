// SPDX-License-Identifier: Apache-2.0
//
// Inputs and outputs of SNS's Publish and PublishBatch (botocore's model sns/2010-03-31).

internal import AWSWire

/// A message as it is published, by itself or in a batch.
struct OutgoingNotice: Sendable {
    static let known = [
        "Message", "Subject", "MessageStructure", "MessageAttributes", "MessageDeduplicationId", "MessageGroupId",
    ]
    static let bytesMax = 256 << 10

    var text: String
    var subject: String?
    /// Texts for single protocols, where the message was JSON of such.
    var texts: [String: String] = [:]
    var attributes: [String: MessageAttribute] = [:]

    init(text: String, subject: String?) {
        self.text = text
        self.subject = subject
    }

    var byteCount: Int { text.utf8.count + attributes.byteCount }

    func text(for delivery: SubscriptionRecord.Delivery) -> String { texts[delivery.rawValue] ?? text }

    init(_ members: WireStructure) throws(AWSError) {
        guard let message = members["Message"]?.asString, !message.isEmpty else {
            throw .invalidTopicParameter("Empty message")
        }
        text = message
        subject = members["Subject"]?.asString
        if let subject {
            guard (1...100).contains(subject.unicodeScalars.count),
                subject.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }),
                subject.utf8.first != 0x20
            else { throw .invalidTopicParameter("Subject") }
        }
        for name in ["MessageDeduplicationId", "MessageGroupId"] where members[name]?.asString != nil {
            throw .invalidTopicParameter(
                "\(name) Reason: The request includes \(name) parameter that is not valid for this topic type")
        }
        for item in members["MessageAttributes"]?.asList ?? [] {
            guard let fields = item.asStructure, let name = fields["Name"]?.asString, MessageAttribute.isName(name),
                let attribute = fields["Value"].flatMap({ MessageAttribute($0) })
            else {
                throw .invalidTopicValue("The message attributes must have names, data types and values.")
            }
            if let problem = attribute.problem(name) { throw .invalidTopicValue(problem) }
            attributes[name] = attribute
        }
        guard byteCount <= Self.bytesMax else { throw .invalidTopicParameter("Message too long") }
        if let structure = members["MessageStructure"]?.asString {
            guard structure == "json" else {
                throw .invalidTopicParameter("Message Structure - Unsupported message structure")
            }
            guard let fields = (try? WireValue(json: Array(message.utf8)))?.asStructure else {
                throw .invalidTopicParameter("Message Structure - JSON message body failed to parse")
            }
            for member in fields.members { if let text = member.value.asString { texts[member.name] = text } }
            guard let common = texts["default"] else {
                throw .invalidTopicParameter("Message Structure - No default entry in JSON message body")
            }
            text = common
        }
    }
}

struct PublishInput: OperationInput {
    let topic: MessagingName
    let notice: OutgoingNotice

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try TopicFields(request, known: OutgoingNotice.known + ["TopicArn", "TargetArn", "PhoneNumber"])
        if try fields.text("PhoneNumber") != nil {
            throw .invalidTopicParameter("PhoneNumber Reason: text messages are not offered here")
        }
        let isTarget = fields.members["TopicArn"] == nil && fields.members["TargetArn"] != nil
        topic = try fields.topic(isTarget ? "TargetArn" : "TopicArn")
        notice = try OutgoingNotice(fields.members)
    }
}

struct PublishOutput: OperationOutput {
    let id: String
    func answer() -> OperationAnswer { OperationAnswer(body: .members(["MessageId": .string(id)])) }
}

struct PublishBatchInput: OperationInput {
    let topic: MessagingName
    let entries: [(id: String, members: WireStructure)]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try TopicFields(request, known: ["TopicArn", "PublishBatchRequestEntries"])
        topic = try fields.topic()
        let items = try fields.list("PublishBatchRequestEntries")
        guard !items.isEmpty else { throw .emptyPublishBatch }
        guard items.count <= 10 else { throw .tooManyPublishEntries }
        var entries: [(id: String, members: WireStructure)] = []
        var bytes = 0
        for item in items {
            guard let members = item.asStructure, let id = members["Id"]?.asString, MessagingName.isPlain(id, most: 80)
            else { throw .invalidPublishEntryID }
            guard !entries.contains(where: { $0.id == id }) else { throw .repeatedPublishEntry }
            bytes += members["Message"]?.asString?.utf8.count ?? 0
            entries.append((id, members))
        }
        guard bytes <= OutgoingNotice.bytesMax else { throw .publishBatchTooLong }
        self.entries = entries
    }
}

struct PublishBatchOutput: OperationOutput {
    var successful: [WireValue] = []
    var failed: [WireValue] = []

    mutating func succeed(_ id: String, messageID: String) {
        successful.append(.structure(["Id": .string(id), "MessageId": .string(messageID)]))
    }

    mutating func fail(_ id: String, _ error: AWSError) {
        failed.append(
            .structure([
                "Id": .string(id), "Code": .string(error.code), "Message": .string(error.message),
                "SenderFault": .bool(!error.isServerFault),
            ]))
    }

    func answer() -> OperationAnswer {
        OperationAnswer(body: .members(["Successful": .list(successful), "Failed": .list(failed)]))
    }
}
