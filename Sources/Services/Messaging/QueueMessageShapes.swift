// SPDX-License-Identifier: Apache-2.0
//
// Inputs and outputs of SQS's operations on messages (botocore's model sqs/2012-11-05).

internal import AWSWire

/// A message as a client sends it, by itself or in a batch.
struct OutgoingMessage: Sendable {
    static let known = [
        "MessageBody", "DelaySeconds", "MessageAttributes", "MessageSystemAttributes", "MessageDeduplicationId",
        "MessageGroupId",
    ]

    let body: String
    let delay: Int?
    let attributes: [String: MessageAttribute]
    let system: [String: MessageAttribute]

    var byteCount: Int { body.utf8.count + attributes.byteCount }

    init(_ fields: WireFields) throws(AWSError) {
        guard let body = try fields.string("MessageBody") else { throw .missingQueueParameter("MessageBody") }
        guard !body.isEmpty else { throw .missingQueueParameter("MessageBody") }
        for scalar in body.unicodeScalars where !Self.isAllowed(scalar) {
            throw .invalidMessageContents(
                "Invalid binary character '#x\(String(scalar.value, radix: 16, uppercase: true))' was found in the message "
                    + "body, the set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | "
                    + "#x10000 to #x10FFFF")
        }
        self.body = body
        if let seconds = try fields.integer("DelaySeconds") {
            guard (0...900).contains(seconds) else {
                throw .invalidQueueValue(
                    "Value \(seconds) for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
                )
            }
            delay = Int(seconds)
        } else {
            delay = nil
        }
        if try fields.string("MessageDeduplicationId") != nil {
            throw .invalidQueueValue(
                "The request includes a parameter that is not valid for this queue type: MessageDeduplicationId.")
        }
        // Standard queues take a group's name for fair queues; without them it has no effect, so it is not taken.
        if try fields.string("MessageGroupId") != nil {
            throw .invalidQueueValue(
                "The request includes a parameter that is not valid for this queue type: MessageGroupId.")
        }
        attributes = try Self.attributes(fields, "MessageAttributes")
        system = try Self.attributes(fields, "MessageSystemAttributes")
        guard attributes.count <= QueueService.Limits.attributesPerMessage else {
            throw .invalidQueueValue(
                "Number of message attributes [\(attributes.count)] exceeds the allowed maximum "
                    + "[\(QueueService.Limits.attributesPerMessage)].")
        }
        for name in attributes.keys where !MessageAttribute.isName(name) {
            throw .invalidQueueValue(
                "Message (user) attribute name can only contain upper and lower score characters, digits, periods, hyphens and "
                    + "underscores: \(name).")
        }
        for name in system.keys where name != "AWSTraceHeader" {
            throw .invalidQueueValue("Message system attribute name '\(name)' is invalid.")
        }
    }

    private static func attributes(
        _ fields: WireFields, _ name: String
    ) throws(AWSError) -> [String: MessageAttribute] {
        var attributes: [String: MessageAttribute] = [:]
        for member in fields.structure[name]?.asStructure?.members ?? [] {
            guard let attribute = MessageAttribute(member.value) else {
                throw .invalidQueueValue(
                    "The message attribute '\(member.name)' must contain a DataType and a value of that type.")
            }
            if let problem = attribute.problem(member.name) { throw .invalidQueueValue(problem) }
            attributes[member.name] = attribute
        }
        return attributes
    }

    private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x9, 0xA, 0xD, 0x20...0xD7FF, 0xE000...0xFFFD, 0x10000...0x10FFFF: true
        default: false
        }
    }
}

struct SendMessageInput: OperationInput {
    let url: String
    let message: OutgoingMessage

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(request, known: ["QueueUrl"] + OutgoingMessage.known)
        url = try fields.required("QueueUrl")
        message = try OutgoingMessage(fields.fields)
    }
}

/// What SendMessage answers of one message.
struct SentMessage: OperationOutput {
    let id: String
    let bodyDigest: String
    let attributesDigest: String?
    let systemDigest: String?

    init(_ message: QueueMessage) {
        id = message.id
        bodyDigest = message.bodyDigest
        attributesDigest = message.attributes.digest
        systemDigest = message.system.digest
    }

    var members: WireStructure {
        var members: WireStructure = ["MD5OfMessageBody": .string(bodyDigest)]
        members.append("MD5OfMessageAttributes", ifPresent: WireValue(attributesDigest))
        members.append("MD5OfMessageSystemAttributes", ifPresent: WireValue(systemDigest))
        members.append("MessageId", .string(id))
        return members
    }

    func answer() -> OperationAnswer { OperationAnswer(body: .members(members)) }
}

/// The entries of a batch: each is read by itself, so that one that is wrong fails alone.
struct QueueBatchInput: OperationInput {
    let url: String
    let entries: [(id: String, fields: WireFields)]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(request, known: ["QueueUrl", "Entries"])
        url = try fields.required("QueueUrl")
        let known =
            switch request.operation {
            case "SendMessageBatch": OutgoingMessage.known
            case "DeleteMessageBatch": ["ReceiptHandle"]
            default: ["ReceiptHandle", "VisibilityTimeout"]
            }
        let items = try fields.fields.structures("Entries", known: known + ["Id"]) ?? []
        guard !items.isEmpty else { throw .emptyBatch }
        guard items.count <= QueueService.Limits.batchEntries else { throw .tooManyEntries(items.count) }
        var entries: [(id: String, fields: WireFields)] = []
        for item in items {
            guard let id = try item.string("Id") else { throw .missingQueueParameter("Id") }
            guard MessagingName.isPlain(id, most: 80) else { throw .invalidEntryID }
            guard !entries.contains(where: { $0.id == id }) else { throw .repeatedEntry(id) }
            entries.append((id, item))
        }
        self.entries = entries
    }
}

struct QueueBatchOutput: OperationOutput {
    var successful: [WireValue] = []
    var failed: [WireValue] = []

    mutating func succeed(_ id: String, _ more: WireStructure = WireStructure()) {
        successful.append(.structure(WireStructure([.init("Id", .string(id))] + more.members)))
    }

    mutating func fail(_ id: String, _ error: AWSError) {
        let code = error.headers.first { $0.name == "x-amzn-query-error" }?.value.split(separator: ";").first
        failed.append(
            .structure([
                "Id": .string(id), "SenderFault": .bool(!error.isServerFault),
                "Code": .string(code.map(String.init) ?? error.code), "Message": .string(error.message),
            ]))
    }

    func answer() -> OperationAnswer {
        var members: WireStructure = ["Successful": .list(successful)]
        if !failed.isEmpty { members.append("Failed", .list(failed)) }
        return OperationAnswer(body: .members(members))
    }
}

struct ReceiveMessageInput: OperationInput {
    let url: String
    let most: Int
    let visibility: Int?
    let wait: Int?
    let systemNames: Set<String>
    let attributeNames: [String]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(
            request,
            known: [
                "QueueUrl", "AttributeNames", "MessageSystemAttributeNames", "MessageAttributeNames",
                "MaxNumberOfMessages", "VisibilityTimeout", "WaitTimeSeconds", "ReceiveRequestAttemptId",
            ])
        url = try fields.required("QueueUrl")
        most = try fields.number("MaxNumberOfMessages", 1...QueueService.Limits.messagesPerReceive) ?? 1
        visibility = try fields.number("VisibilityTimeout", 0...QueueService.Limits.visibilitySeconds)
        wait = try fields.number("WaitTimeSeconds", 0...20)
        systemNames = Set(
            (try fields.fields.strings("AttributeNames") ?? [])
                + (try fields.fields.strings("MessageSystemAttributeNames") ?? []))
        attributeNames = try fields.fields.strings("MessageAttributeNames") ?? []
        if try fields.fields.string("ReceiveRequestAttemptId") != nil {
            throw .invalidQueueValue(
                "The request includes a parameter that is not valid for this queue type: ReceiveRequestAttemptId.")
        }
    }

    /// Whether the caller wants that attribute of messages: by name, by `prefix.*`, or all.
    func wants(_ name: String) -> Bool {
        attributeNames.contains { asked in
            asked == "All" || asked == ".*" || asked == name
                || asked.hasSuffix(".*") && name.hasPrefix(asked.dropLast(2))
        }
    }
}

struct ReceiveMessageOutput: OperationOutput {
    let messages: [WireValue]

    func answer() -> OperationAnswer {
        OperationAnswer(body: .members(messages.isEmpty ? [:] : ["Messages": .list(messages)]))
    }
}

/// DeleteMessage and ChangeMessageVisibility.
struct ReceiptInput: OperationInput {
    let url: String
    let receipt: String
    /// Nil for DeleteMessage.
    let visibility: Int?

    init(_ request: OperationRequest) throws(AWSError) {
        let isChange = request.operation == "ChangeMessageVisibility"
        let fields = try QueueFields(
            request, known: ["QueueUrl", "ReceiptHandle"] + (isChange ? ["VisibilityTimeout"] : []))
        url = try fields.required("QueueUrl")
        receipt = try fields.required("ReceiptHandle")
        visibility = isChange ? try Self.visibility(fields.fields) : nil
    }

    static func visibility(_ fields: WireFields) throws(AWSError) -> Int {
        guard let seconds = try fields.integer("VisibilityTimeout") else {
            throw .missingQueueParameter("VisibilityTimeout")
        }
        guard (0...Int64(QueueService.Limits.visibilitySeconds)).contains(seconds) else {
            throw .invalidQueueValue(
                "Value \(seconds) for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer "
                    + "between 0 and 43200.")
        }
        return Int(seconds)
    }
}

/// What a receipt handle holds: base64 of `QUEUEID NUMBER RECEIPT`.
struct ReceiptHandle: Sendable, Equatable {
    let queue: String
    let number: UInt64
    let receipt: String

    init(queue: String, number: UInt64, receipt: String) {
        self.queue = queue
        self.number = number
        self.receipt = receipt
    }

    init?(_ text: String) {
        guard let plain = Base64.decode(text).flatMap({ String(validating: $0, as: UTF8.self) }) else { return nil }
        let parts = plain.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, let number = UInt64(parts[1], radix: 16) else { return nil }
        self.init(queue: parts[0], number: number, receipt: parts[2])
    }

    var text: String { Base64.encode(Array("\(queue) \(keyDigits(number)) \(receipt)".utf8)) }
}
