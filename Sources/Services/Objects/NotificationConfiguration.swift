// SPDX-License-Identifier: Apache-2.0
//
// Which changes of a bucket's objects are told to whom. Source: S3 User Guide, "Amazon S3 Event Notifications" and
// "Configuring event notifications using object key name filtering"; Amazon S3 API Reference,
// PutBucketNotificationConfiguration.
//
// A bucket keeps the document as it was put, in the form of LifecycleConfiguration.swift.

internal import AWSWire

/// What a notification tells, without the prefix `s3:` that configurations have and messages have not.
package enum ObjectEvent: String, Sendable, CaseIterable {
    case createdByPut = "ObjectCreated:Put"
    case createdByPost = "ObjectCreated:Post"
    case createdByCopy = "ObjectCreated:Copy"
    case createdByUpload = "ObjectCreated:CompleteMultipartUpload"
    case removed = "ObjectRemoved:Delete"
    case hidden = "ObjectRemoved:DeleteMarkerCreated"
    case restoreBegun = "ObjectRestore:Post"
    case restored = "ObjectRestore:Completed"
    case restoreEnded = "ObjectRestore:Delete"
    case lost = "ReducedRedundancyLostObject"
    case replicationFailed = "Replication:OperationFailedReplication"
    case replicationMissed = "Replication:OperationMissedThreshold"
    case replicationLate = "Replication:OperationReplicatedAfterThreshold"
    case replicationUntracked = "Replication:OperationNotTracked"
    case transitioned = "LifecycleTransition"
    case tiered = "IntelligentTiering"
    case aclPut = "ObjectAcl:Put"
    case expired = "LifecycleExpiration:Delete"
    case expiredByMarker = "LifecycleExpiration:DeleteMarkerCreated"
    case tagged = "ObjectTagging:Put"
    case untagged = "ObjectTagging:Delete"

    /// The events that a configuration's word stands for: `s3:ObjectCreated:*` for all of its kind.
    static func named(_ word: String) -> [ObjectEvent] {
        guard word.hasPrefix("s3:") else { return [] }
        let name = word.dropFirst(3)
        guard name.hasSuffix(":*") else { return ObjectEvent(rawValue: String(name)).map { [$0] } ?? [] }
        return allCases.filter { $0.rawValue.hasPrefix(name.dropLast()) }
    }
}

/// One destination and what it is told.
struct NotificationRule: Sendable, Equatable {
    var id: String
    /// `arn:aws:sns:...` or `arn:aws:sqs:...`.
    var destination: String
    var events: Set<ObjectEvent>
    var prefix = ""
    var suffix = ""

    func matches(_ event: ObjectEvent, _ key: String) -> Bool {
        events.contains(event) && key.utf8.starts(with: prefix.utf8)
            && key.utf8.reversed().starts(with: suffix.utf8.reversed())
    }

    /// Whether one key and event could match both.
    func overlaps(_ other: NotificationRule) -> Bool {
        func meet(_ a: String, _ b: String) -> Bool { a.utf8.starts(with: b.utf8) || b.utf8.starts(with: a.utf8) }
        func turned(_ text: String) -> String { String(decoding: Array(text.utf8.reversed()), as: UTF8.self) }
        return !events.isDisjoint(with: other.events) && meet(prefix, other.prefix)
            && meet(turned(suffix), turned(other.suffix))
    }
}

/// A bucket's notification configuration.
struct NotificationConfiguration: Sendable, Equatable {
    static let rulesMax = 100
    static let filterBytes = 1024

    /// As it is answered.
    let document: WireStructure
    let rules: [NotificationRule]

    /// - Parameter makeID: names a configuration that the client left without a name.
    /// - Throws: `MalformedXML`, `InvalidArgument` (400); `NotImplemented` (501) for EventBridge, which is not here.
    init(_ fields: DocumentFields, makeID: () -> String) throws(AWSError) {
        var shown = WireStructure()
        var rules: [NotificationRule] = []
        for member in fields.structure.members where member.name != "xmlns" {
            guard let target = Self.targets[member.name] else { throw .malformedDocument() }
            guard let target else { throw .notImplemented(member: member.name) }
            let known = ["Id", target.element, "Event", "Filter"]
            let rule = try Self.rule(try DocumentFields(member.value, known: known), target, makeID)
            rules.append(rule)
            var structure = member.value.asStructure ?? WireStructure()
            structure["Id"] = .string(rule.id)
            shown.append(member.name, .structure(structure))
        }
        guard rules.count <= Self.rulesMax else {
            throw .invalidArgument(
                "The number of notification configurations exceeds the limit of \(Self.rulesMax)",
                name: "NotificationConfiguration", value: String(rules.count))
        }
        guard Set(rules.map(\.id)).count == rules.count else {
            throw .invalidArgument(
                "Configuration ids have to be unique.", name: "Id", value: Self.repeated(rules.map(\.id)))
        }
        for (index, rule) in rules.enumerated() {
            if rules[..<index].contains(where: { $0.overlaps(rule) }) {
                throw .invalidArgument(
                    "Configurations overlap. Configurations on the same bucket cannot share a common event type.",
                    name: "NotificationConfiguration", value: rule.id)
            }
        }
        document = shown
        self.rules = rules
    }

    var isEmpty: Bool { rules.isEmpty }

    private struct Target {
        /// The element with the ARN.
        let element: String
        /// As it stands in the ARN.
        let service: String
    }

    /// Known children of the document; nil: known, and not built.
    private static let targets: [String: Target?] = [
        "TopicConfiguration": Target(element: "Topic", service: "sns"),
        "QueueConfiguration": Target(element: "Queue", service: "sqs"),
        "CloudFunctionConfiguration": Target(element: "CloudFunction", service: "lambda"),
        "EventBridgeConfiguration": Target?.none,
    ]

    private static func rule(
        _ fields: DocumentFields, _ target: Target, _ makeID: () -> String
    ) throws(AWSError) -> NotificationRule {
        let arn = try fields.requiredText(target.element)
        let parts = arn.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count >= 6, parts[0] == "arn", parts[2] == target.service, !parts[3].isEmpty, !parts[5].isEmpty
        else { throw .invalidArgument("The ARN is not well formed", name: target.element, value: arn) }
        guard target.service != "sqs" || !arn.hasSuffix(".fifo") else {
            throw .invalidArgument(
                "Unable to validate the following destination configurations", name: arn,
                value: "FIFO SQS queues are not supported")
        }
        var events: Set<ObjectEvent> = []
        for member in fields.structure.members where member.name == "Event" {
            let word = member.value.asString ?? ""
            let named = ObjectEvent.named(word)
            guard !named.isEmpty else {
                throw .invalidArgument(
                    "The event '\(word)' is not supported for notifications", name: "Event", value: word)
            }
            guard events.isDisjoint(with: named) else {
                throw .invalidArgument(
                    "Event is repeated or included by another of the same configuration", name: "Event", value: word)
            }
            events.formUnion(named)
        }
        guard !events.isEmpty else { throw .malformedDocument() }
        let id = try fields.text("Id").flatMap { $0.isEmpty ? nil : $0 } ?? makeID()
        guard id.utf8.count <= 255 else {
            throw .invalidArgument("ID length should not exceed allowed limit of 255", name: "Id", value: id)
        }
        var rule = NotificationRule(id: id, destination: arn, events: events)
        let filter = try fields.fields("Filter", known: ["S3Key"])
        let rows = try filter?.fields("S3Key", known: ["FilterRule"])?.all("FilterRule", known: ["Name", "Value"])
        var seen: Set<String> = []
        for row in rows ?? [] {
            let name = try row.requiredText("Name").lowercased()
            let value = try row.text("Value") ?? ""
            guard ["prefix", "suffix"].contains(name) else {
                throw .invalidArgument(
                    "filter rule name must be either prefix or suffix", name: "FilterRule.Name", value: name)
            }
            guard seen.insert(name).inserted else {
                throw .invalidArgument(
                    "Cannot specify more than one \(name) rule in a filter.", name: "FilterRule.Name", value: name)
            }
            guard value.utf8.count <= filterBytes else {
                throw .invalidArgument(
                    "Size of filter rule value cannot exceed \(filterBytes) bytes in UTF-8 representation",
                    name: "FilterRule.Value", value: value)
            }
            if name == "prefix" { rule.prefix = value } else { rule.suffix = value }
        }
        return rule
    }

    private static func repeated(_ names: [String]) -> String {
        var seen: Set<String> = []
        return names.first { !seen.insert($0).inserted } ?? ""
    }

    // MARK: In the catalog

    var stored: WireValue { LifecycleConfiguration.pairs(document) }

    init?(stored: WireValue) {
        guard let structure = LifecycleConfiguration.structure(stored),
            let fields = try? DocumentFields(.structure(structure), known: Array(Self.targets.keys)),
            let read = try? Self(fields, makeID: { "" })
        else { return nil }
        self = read
    }
}
