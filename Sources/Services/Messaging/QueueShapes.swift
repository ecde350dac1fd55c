// SPDX-License-Identifier: Apache-2.0
//
// Inputs and outputs of SQS (botocore's model sqs/2012-11-05).

internal import AWSWire

/// Checked access to the members of an SQS request, with SQS's own errors.
struct QueueFields {
    let fields: WireFields
    /// The address by which the client reached this server, which is the beginning of queues' URLs.
    let base: String

    init(_ request: OperationRequest, known: [String]) throws(AWSError) {
        fields = try WireFields(request, known: known)
        base = Self.base(request)
    }

    static func base(_ request: OperationRequest) -> String {
        let isSecure = request.http.header("x-forwarded-proto")?.lowercased() == "https"
        return (isSecure ? "https://" : "http://") + (request.http.header("host") ?? "localhost")
    }

    func required(_ name: String) throws(AWSError) -> String {
        guard let text = try fields.string(name) else { throw .missingQueueParameter(name) }
        return text
    }

    func number(_ name: String, _ range: ClosedRange<Int>) throws(AWSError) -> Int? {
        guard let number = try fields.integer(name) else { return nil }
        guard let number = Int(exactly: number), range.contains(number) else {
            throw .invalidQueueValue(
                "Value \(number) for parameter \(name) is invalid. Reason: Must be between \(range.lowerBound) and "
                    + "\(range.upperBound), if provided.")
        }
        return number
    }

    /// A map of texts, in the order given.
    func map(_ name: String) throws(AWSError) -> [(String, String)] {
        guard let value = fields.structure[name], !value.isNull else { return [] }
        guard let structure = value.asStructure else { throw .serialization("member '\(name)' must be a structure") }
        var pairs: [(String, String)] = []
        for member in structure.members {
            guard let text = member.value.asString else {
                throw .serialization("member '\(name)' must hold strings")
            }
            pairs.append((member.name, text))
        }
        return pairs
    }
}

/// CreateQueue.
struct CreateQueueInput: OperationInput {
    let name: String
    let attributes: [(String, String)]
    let tags: [(String, String)]
    let base: String

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(request, known: ["QueueName", "Attributes", "tags"])
        name = try fields.required("QueueName")
        attributes = try fields.map("Attributes")
        tags = try fields.map("tags")
        base = fields.base
        if name.hasSuffix(".fifo") { throw .queueUnsupported("FIFO queues are not offered here.") }
        guard MessagingName.isPlain(name, most: 80) else {
            throw .invalidQueueValue(
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
        }
    }
}

/// Inputs that are one queue: DeleteQueue, PurgeQueue, ListQueueTags.
struct QueueInput: OperationInput {
    let url: String

    init(_ request: OperationRequest) throws(AWSError) {
        url = try QueueFields(request, known: ["QueueUrl"]).required("QueueUrl")
    }
}

struct GetQueueURLInput: OperationInput {
    let name: String
    let owner: String?
    let base: String

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(request, known: ["QueueName", "QueueOwnerAWSAccountId"])
        name = try fields.required("QueueName")
        owner = try fields.fields.string("QueueOwnerAWSAccountId")
        base = fields.base
    }
}

struct ListQueuesInput: OperationInput {
    /// Nil for ListQueues.
    let url: String?
    let prefix: String
    let after: String?
    let most: Int?
    let base: String

    init(_ request: OperationRequest) throws(AWSError) {
        let isOfQueue = request.operation == "ListDeadLetterSourceQueues"
        let fields = try QueueFields(
            request, known: [isOfQueue ? "QueueUrl" : "QueueNamePrefix", "NextToken", "MaxResults"])
        url = isOfQueue ? try fields.required("QueueUrl") : nil
        prefix = isOfQueue ? "" : try fields.fields.string("QueueNamePrefix") ?? ""
        most = try fields.number("MaxResults", 1...QueueService.Limits.pageQueues)
        base = fields.base
        guard let token = try fields.fields.string("NextToken"), !token.isEmpty else {
            after = nil
            return
        }
        guard let name = Base64.decode(token).flatMap({ String(validating: $0, as: UTF8.self) }) else {
            throw .invalidQueueValue("Invalid or expired next token.")
        }
        after = name
    }
}

struct ListQueuesOutput: OperationOutput {
    /// ListDeadLetterSourceQueues has it with a small letter.
    let member: String
    let urls: [String]
    let next: String?

    func answer() -> OperationAnswer {
        var members = WireStructure()
        if !urls.isEmpty || member == "queueUrls" { members.append(member, .list(urls.map { .string($0) })) }
        members.append("NextToken", ifPresent: WireValue(next.map { Base64.encode(Array($0.utf8)) }))
        return OperationAnswer(body: .members(members))
    }
}

struct QueueURLOutput: OperationOutput {
    let url: String
    func answer() -> OperationAnswer { OperationAnswer(body: .members(["QueueUrl": .string(url)])) }
}

struct GetQueueAttributesInput: OperationInput {
    let url: String
    let names: [String]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(request, known: ["QueueUrl", "AttributeNames"])
        url = try fields.required("QueueUrl")
        names = try fields.fields.strings("AttributeNames") ?? []
    }
}

/// A map under one name: the attributes, or the tags, of a queue.
struct QueueMapOutput: OperationOutput {
    let name: String
    let pairs: [(String, String)]

    func answer() -> OperationAnswer {
        guard !pairs.isEmpty else { return OperationAnswer(body: .members([:])) }
        let map = WireStructure(pairs.map { WireStructure.Member($0.0, .string($0.1)) })
        return OperationAnswer(body: .members([name: .structure(map)]))
    }
}

struct SetQueueAttributesInput: OperationInput {
    let url: String
    let attributes: [(String, String)]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(request, known: ["QueueUrl", "Attributes"])
        url = try fields.required("QueueUrl")
        attributes = try fields.map("Attributes")
    }
}

struct TagQueueInput: OperationInput {
    let url: String
    let tags: [(String, String)]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(request, known: ["QueueUrl", "Tags"])
        url = try fields.required("QueueUrl")
        tags = try fields.map("Tags")
    }
}

struct UntagQueueInput: OperationInput {
    let url: String
    let keys: [String]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(request, known: ["QueueUrl", "TagKeys"])
        url = try fields.required("QueueUrl")
        keys = try fields.fields.strings("TagKeys") ?? []
    }
}

struct AddQueuePermissionInput: OperationInput {
    let url: String
    let label: String
    let accounts: [String]
    let actions: [String]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(request, known: ["QueueUrl", "Label", "AWSAccountIds", "Actions"])
        url = try fields.required("QueueUrl")
        label = try fields.required("Label")
        accounts = try fields.fields.strings("AWSAccountIds") ?? []
        actions = try fields.fields.strings("Actions") ?? []
        guard MessagingName.isPlain(label, most: 80) else {
            throw .invalidQueueValue("Value \(label) for parameter Label is invalid.")
        }
        guard !accounts.isEmpty else { throw .missingQueueParameter("AWSAccountIds") }
        for account in accounts where !MessagingName.isAccount(account) {
            throw .invalidQueueValue(
                "Value \(account) for parameter PrincipalId is invalid. Reason: Unable to verify.")
        }
        guard !actions.isEmpty else { throw .missingQueueParameter("Actions") }
        for action in actions where !Self.shared.contains(action) {
            throw .invalidQueueValue(
                "Value SQS:\(action) for parameter ActionName is invalid. Reason: Only the queue owner is allowed to "
                    + "invoke this action.")
        }
        guard actions.count <= 7 else {
            throw AWSError(
                "OverLimit", "\(actions.count) Actions were found, maximum allowed is 7.",
                headers: [WireHeader("x-amzn-query-error", "OverLimit;Sender")])
        }
    }

    /// What a queue's owner can let others do.
    private static let shared: Set<String> = [
        "*", "SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes",
        "GetQueueUrl", "ListDeadLetterSourceQueues", "PurgeQueue",
    ]
}

struct RemoveQueuePermissionInput: OperationInput {
    let url: String
    let label: String

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try QueueFields(request, known: ["QueueUrl", "Label"])
        url = try fields.required("QueueUrl")
        label = try fields.required("Label")
    }
}

/// An answer without members.
struct EmptyOutput: OperationOutput {
    func answer() -> OperationAnswer { OperationAnswer(body: .none) }
}
