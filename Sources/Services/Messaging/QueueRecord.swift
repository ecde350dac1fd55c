// SPDX-License-Identifier: Apache-2.0
//
// A queue as it lies in the catalog, and its attributes as clients set and read them.
// Source: Amazon SQS API Reference, CreateQueue, SetQueueAttributes and GetQueueAttributes.
//
//     ("queue", ACCOUNT, REGION, NAME)     the record, JSON

internal import AWSWire
internal import Policies
internal import Storage

struct QueueRecord: Sendable, Equatable, Codable {
    /// Tells queues apart that had the same name one after the other.
    var id: String
    var account: String
    var region: String
    var name: String
    /// Milliseconds since 1970.
    var created: Int64
    var modified: Int64
    var settings = QueueSettings()
    var tags: [String: String] = [:]
    /// Milliseconds since 1970 of the last PurgeQueue.
    var purged: Int64?

    var place: MessagingName { MessagingName(.queue, region: region, account: account, name: name) }
    var arn: String { place.arn }

    static let allKeys = CatalogKey.prefix("queue")
    static func key(_ place: MessagingName) -> CatalogKey {
        CatalogKey("queue", place.account, place.region, place.name)
    }
}

/// What a client can set of a queue. Times are seconds.
struct QueueSettings: Sendable, Equatable, Codable {
    /// Where messages go that were received too often.
    struct Redrive: Sendable, Equatable, Codable {
        var target: String
        var receivesMax: Int
        /// As it was given.
        var text: String
    }

    /// Which queues may name this one as their dead-letter queue.
    struct RedriveAllow: Sendable, Equatable, Codable {
        var permission: String
        var sources: [String]
        var text: String

        func allows(_ source: String) -> Bool {
            permission == "allowAll" || permission == "byQueue" && sources.contains(source)
        }
    }

    static let policyBytesMax = 20 * 1024

    var visibilityTimeout = 30
    var retention = 345_600
    var delay = 0
    var wait = 0
    var messageBytesMax = 1 << 20
    /// Whether messages lie encrypted under the server's own key.
    var isSealed = true
    var policy: String?
    var redrive: Redrive?
    var redriveAllow: RedriveAllow?

    /// - Throws: `InvalidAttributeName`, `InvalidAttributeValue`; `UnsupportedOperation` for what this server has not, so
    ///   that nobody believes that it is in force.
    mutating func set(_ name: String, _ value: String, of place: MessagingName) throws(AWSError) {
        switch name {
        case "VisibilityTimeout": visibilityTimeout = try Self.number(name, value, 0...43_200)
        case "MessageRetentionPeriod": retention = try Self.number(name, value, 60...1_209_600)
        case "DelaySeconds": delay = try Self.number(name, value, 0...900)
        case "ReceiveMessageWaitTimeSeconds": wait = try Self.number(name, value, 0...20)
        case "MaximumMessageSize": messageBytesMax = try Self.number(name, value, 1024...(1 << 20))
        case "SqsManagedSseEnabled":
            guard ["true", "false"].contains(value) else { throw .invalidQueueAttribute(name) }
            isSealed = value == "true"
        case "Policy":
            policy = value.isEmpty ? nil : value
            if let policy { _ = try Self.checked(policy: policy, of: place) }
        case "RedrivePolicy": redrive = value.isEmpty ? nil : try Self.redrive(value, of: place)
        case "RedriveAllowPolicy": redriveAllow = value.isEmpty ? nil : try Self.redriveAllow(value)
        case "KmsMasterKeyId":
            guard value.isEmpty else {
                throw .queueUnsupported(
                    "Queues under a key of KMS are not offered here; SqsManagedSseEnabled encrypts messages under the "
                        + "server's own key.")
            }
        case "KmsDataKeyReusePeriodSeconds": _ = try Self.number(name, value, 60...86_400)
        case "FifoQueue" where value == "true": throw .queueUnsupported("FIFO queues are not offered here.")
        default: throw .noSuchQueueAttribute(name)
        }
    }

    /// What GetQueueAttributes shows, in its names.
    var shown: [(String, String)] {
        var shown = [
            ("VisibilityTimeout", String(visibilityTimeout)), ("MaximumMessageSize", String(messageBytesMax)),
            ("MessageRetentionPeriod", String(retention)), ("DelaySeconds", String(delay)),
            ("ReceiveMessageWaitTimeSeconds", String(wait)), ("SqsManagedSseEnabled", isSealed ? "true" : "false"),
        ]
        if let policy { shown.append(("Policy", policy)) }
        if let redrive { shown.append(("RedrivePolicy", redrive.text)) }
        if let redriveAllow { shown.append(("RedriveAllowPolicy", redriveAllow.text)) }
        return shown
    }

    /// - Throws: `InvalidAttributeValue` in SQS's words.
    static func checked(policy text: String, of place: MessagingName) throws(AWSError) -> PolicyDocument {
        guard text.utf8.count <= policyBytesMax else { throw .invalidQueueAttribute("Policy", "Policy is too long.") }
        do throws(PolicyError) {
            return try PolicyDocument.parse(Array(text.utf8), as: .resource(.sqs), name: place.arn)
        } catch {
            throw .invalidQueueAttribute("Policy", error.detail)
        }
    }

    private static func number(_ name: String, _ text: String, _ range: ClosedRange<Int>) throws(AWSError) -> Int {
        guard let number = Int(text), range.contains(number) else { throw .invalidQueueAttribute(name) }
        return number
    }

    private static func redrive(_ text: String, of place: MessagingName) throws(AWSError) -> Redrive {
        let name = "RedrivePolicy"
        guard let fields = (try? WireValue(json: Array(text.utf8)))?.asStructure else {
            throw .invalidQueueAttribute(name, "Redrive policy is not a valid JSON map.")
        }
        for member in fields.members where !["deadLetterTargetArn", "maxReceiveCount"].contains(member.name) {
            throw .invalidQueueAttribute(name, "Unknown member \(member.name) in the redrive policy.")
        }
        guard let arn = fields["deadLetterTargetArn"]?.asString, let target = MessagingName(.queue, arn: arn) else {
            throw .invalidQueueAttribute(name, "Redrive policy needs deadLetterTargetArn, the ARN of a queue.")
        }
        guard target.account == place.account, target.region == place.region else {
            throw .invalidQueueAttribute(
                name, "Dead-letter target must be owned by the same account and lie in the same region.")
        }
        guard target != place else {
            throw .invalidQueueAttribute(name, "A queue cannot be its own dead-letter target.")
        }
        let count: Int? =
            switch fields["maxReceiveCount"] {
            case .integer(let number)?: Int(exactly: number)
            case .string(let text)?: Int(text)
            case nil: 10
            default: nil
            }
        guard let count, (1...1000).contains(count) else {
            throw .invalidQueueAttribute(name, "maxReceiveCount must be from 1 to 1000.")
        }
        return Redrive(target: arn, receivesMax: count, text: text)
    }

    private static func redriveAllow(_ text: String) throws(AWSError) -> RedriveAllow {
        let name = "RedriveAllowPolicy"
        guard let fields = (try? WireValue(json: Array(text.utf8)))?.asStructure,
            let permission = fields["redrivePermission"]?.asString,
            ["allowAll", "denyAll", "byQueue"].contains(permission)
        else { throw .invalidQueueAttribute(name, "redrivePermission must be allowAll, denyAll or byQueue.") }
        let sources = fields["sourceQueueArns"]?.asList?.compactMap(\.asString) ?? []
        guard (permission == "byQueue") == !sources.isEmpty, sources.count <= 10,
            sources.allSatisfy({ MessagingName(.queue, arn: $0) != nil })
        else {
            throw .invalidQueueAttribute(name, "byQueue goes with one to ten sourceQueueArns, and nothing else does.")
        }
        return RedriveAllow(permission: permission, sources: sources, text: text)
    }
}
