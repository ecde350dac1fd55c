// SPDX-License-Identifier: Apache-2.0
//
// Inputs and outputs of the operations on trails (botocore's model cloudtrail/2013-11-01). Absent members do not appear.

internal import AWSWire

struct CreateTrailInput: OperationInput {
    var name: String
    var settings: TrailSettings
    var tags: [TrailTag]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: TrailSettings.known + ["Name", "TagsList"])
        name = try fields.requiredString("Name")
        _ = try fields.requiredString("S3BucketName")
        settings = try TrailSettings(fields)
        tags = try TrailTag.list(fields, "TagsList") ?? []
    }
}

struct UpdateTrailInput: OperationInput {
    var name: TrailReference
    var settings: TrailSettings

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: TrailSettings.known + ["Name"])
        name = try TrailReference(try fields.requiredString("Name"))
        settings = try TrailSettings(fields)
    }
}

/// The members that CreateTrail and UpdateTrail share; nil is "not given".
struct TrailSettings: Sendable {
    static let known = [
        "S3BucketName", "S3KeyPrefix", "SnsTopicName", "IncludeGlobalServiceEvents", "IsMultiRegionTrail",
        "EnableLogFileValidation", "CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn", "KmsKeyId",
        "IsOrganizationTrail",
    ]

    var bucket: String?
    /// Empty to remove it.
    var prefix: String?
    var includesGlobalServiceEvents: Bool?
    var isMultiRegion: Bool?
    var hasLogFileValidation: Bool?
    /// As it was given, later its ARN; empty to remove it.
    var kmsKey: String?
    /// As it was given; empty to remove it.
    var topic: String?
    /// The ARN of the topic, once it is known.
    var topicARN: String?

    /// - Throws: `UnsupportedOperationException` for what this server does not have, so that nobody believes that such
    ///   a thing is in use; empty texts, which remove such a thing, are fine.
    init(_ fields: WireFields) throws(AWSError) {
        bucket = try fields.string("S3BucketName")
        prefix = try fields.string("S3KeyPrefix")
        includesGlobalServiceEvents = try fields.bool("IncludeGlobalServiceEvents")
        isMultiRegion = try fields.bool("IsMultiRegionTrail")
        hasLogFileValidation = try fields.bool("EnableLogFileValidation")
        kmsKey = try fields.string("KmsKeyId")
        topic = try fields.string("SnsTopicName")
        for (member, what) in [
            ("CloudWatchLogsLogGroupArn", "delivery to a log group"),
            ("CloudWatchLogsRoleArn", "delivery to a log group"),
        ] {
            if let text = try fields.string(member), !text.isEmpty { throw .unsupported(member, what) }
        }
        if try fields.bool("IsOrganizationTrail") == true { throw .noOrganization }
        if let bucket { try TrailDestination.checkBucketName(bucket) }
        if let prefix { try TrailDestination.checkPrefix(prefix) }
    }
}

/// Inputs that are one trail: GetTrail, GetTrailStatus, DeleteTrail, StartLogging, StopLogging.
struct TrailNameInput: OperationInput {
    var name: TrailReference

    init(_ request: OperationRequest) throws(AWSError) {
        name = try TrailReference(try WireFields(request, known: ["Name"]).requiredString("Name"))
    }
}

struct DescribeTrailsInput: OperationInput {
    /// Empty for all.
    var names: [TrailReference] = []
    var includesShadows: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["trailNameList", "includeShadowTrails"])
        for text in try fields.strings("trailNameList") ?? [] { names.append(try TrailReference(text)) }
        includesShadows = try fields.bool("includeShadowTrails") ?? true
    }
}

/// A trail as answers show it.
struct TrailDescription {
    static func members(_ trail: Trail, isFull: Bool) -> WireStructure {
        var members: WireStructure = ["Name": .string(trail.name), "S3BucketName": .string(trail.bucket)]
        members.append("S3KeyPrefix", ifPresent: WireValue(trail.prefix))
        members.append("SnsTopicName", ifPresent: WireValue(trail.topicName))
        members.append("SnsTopicARN", ifPresent: WireValue(trail.topicARN))
        members.append("IncludeGlobalServiceEvents", .bool(trail.includesGlobalServiceEvents))
        members.append("IsMultiRegionTrail", .bool(trail.isMultiRegion))
        if isFull { members.append("HomeRegion", .string(trail.homeRegion)) }
        members.append("TrailARN", .string(trail.arn.text))
        members.append("LogFileValidationEnabled", .bool(trail.hasLogFileValidation))
        members.append("KmsKeyId", ifPresent: WireValue(trail.kmsKeyARN))
        if isFull {
            members.append("HasCustomEventSelectors", .bool(trail.selectors != nil))
            members.append("HasInsightSelectors", false)
        }
        members.append("IsOrganizationTrail", false)
        return members
    }
}

/// CreateTrail's and UpdateTrail's answer: the seven members that are always there, others when set.
struct TrailSettingsOutput: OperationOutput {
    let trail: Trail
    func answer() -> OperationAnswer {
        OperationAnswer(body: .members(TrailDescription.members(trail, isFull: false)))
    }
}

struct GetTrailOutput: OperationOutput {
    let trail: Trail
    func answer() -> OperationAnswer {
        OperationAnswer(body: .members(["Trail": .structure(TrailDescription.members(trail, isFull: true))]))
    }
}

struct DescribeTrailsOutput: OperationOutput {
    let trails: [Trail]
    func answer() -> OperationAnswer {
        let list = trails.map { WireValue.structure(TrailDescription.members($0, isFull: true)) }
        return OperationAnswer(body: .members(["trailList": .list(list)]))
    }
}

struct ListTrailsInput: OperationInput {
    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["NextToken"])
        // All trails fit in one answer, so no token was ever given out.
        if try fields.string("NextToken") != nil {
            throw .validation("NextToken is not one that this server gave out; ask without it.")
        }
    }
}

struct ListTrailsOutput: OperationOutput {
    let trails: [Trail]
    func answer() -> OperationAnswer {
        let list = trails.map { trail in
            WireValue.structure([
                "TrailARN": .string(trail.arn.text), "Name": .string(trail.name),
                "HomeRegion": .string(trail.homeRegion),
            ])
        }
        return OperationAnswer(body: .members(["Trails": .list(list)]))
    }
}

/// An answer without members.
struct EmptyOutput: OperationOutput {
    func answer() -> OperationAnswer { OperationAnswer(body: .members([:])) }
}

/// GetTrailStatus: times that never were are absent, but the older members, which are texts, are then empty.
struct GetTrailStatusOutput: OperationOutput {
    let trail: Trail
    let progress: TrailProgress
    /// The region that asks; deliveries are told for it alone.
    let region: String

    func answer() -> OperationAnswer {
        var members: WireStructure = ["IsLogging": .bool(trail.isLogging)]
        members.append("LatestDeliveryError", ifPresent: WireValue(progress.deliveryError))
        members.append("LatestDeliveryTime", ifPresent: number(progress.latestDelivery[region]))
        if trail.topicARN != nil {
            members.append("LatestNotificationError", ifPresent: WireValue(progress.notificationError))
            members.append("LatestNotificationTime", ifPresent: number(progress.latestNotification?[region]))
        }
        members.append("StartLoggingTime", ifPresent: number(trail.loggingStarted))
        members.append("StopLoggingTime", ifPresent: number(trail.loggingStopped))
        if trail.hasLogFileValidation {
            members.append("LatestDigestDeliveryTime", ifPresent: number(progress.latestDigest[region]))
            members.append("LatestDigestDeliveryError", ifPresent: WireValue(progress.digestError))
        }
        members.append("LatestDeliveryAttemptTime", text(progress.latestAttempt))
        let hasTopic = trail.topicARN != nil
        members.append("LatestNotificationAttemptTime", text(hasTopic ? progress.latestNotificationAttempt : nil))
        members.append("LatestNotificationAttemptSucceeded", text(hasTopic ? progress.latestNotificationSuccess : nil))
        members.append("LatestDeliveryAttemptSucceeded", text(progress.latestSuccess))
        members.append("TimeLoggingStarted", text(trail.loggingStarted))
        members.append("TimeLoggingStopped", text(trail.loggingStopped))
        return OperationAnswer(body: .members(members))
    }

    private func number(_ milliseconds: Int64?) -> WireValue? {
        milliseconds.map { .timestamp(Timestamp(milliseconds: $0)) }
    }

    private func text(_ milliseconds: Int64?) -> WireValue {
        .string(milliseconds.map { Timestamp(milliseconds: $0).iso8601 } ?? "")
    }
}
