// SPDX-License-Identifier: Apache-2.0
//
// The message about a change of an object, and how it waits for its destination.
// Source: S3 User Guide, "Event message structure" (versions 2.1 and 2.3) and "Walkthrough" (the test message).
//
// In the catalog, put by the transaction that makes the change, so that no change goes untold:
//
//     ("notification", NUMBER)         {"format":1,"to":"ARN","from":"BUCKET","made":MILLISECONDS,"message":"JSON"}
//     ("notification-number")          the last number, as 18 hexadecimal digits
//
// NUMBER has 18 hexadecimal digits and is the message's sequencer too, which orders the changes of a key. What was
// published is deleted; a crash in between publishes it again, as S3 may too.

package import AWSWire
internal import Storage

/// What is published to a topic or a queue.
package struct NotificationMessage: Sendable, Equatable {
    /// The ARN of the topic or queue.
    package let destination: String
    /// The bucket's ARN, which the destination's policy sees as `aws:SourceArn`.
    package let bucketARN: String
    /// The bucket owner's account, which it sees as `aws:SourceAccount`.
    package let account: String
    /// JSON.
    package let text: String
}

/// Takes what buckets tell. One for each service that has destinations: `sns`, `sqs`.
package protocol NotificationDestination: Sendable {
    /// Publishes a message in the name of `s3.amazonaws.com`.
    ///
    /// - Throws: the destination's refusal; a fault of the server (5xx) when it may go well later.
    func publish(_ message: NotificationMessage) async throws(AWSError)
}

/// Who or what changed an object.
struct NotificationCause: Sendable {
    var principal: String
    var sourceAddress: String
    var requestID: String
    var hostID: String

    init(_ call: Call) {
        principal = call.caller.principalID.map { "AWS:\($0)" } ?? call.caller.accountID ?? "Anonymous"
        if case .service(let name) = call.caller.kind { principal = name }
        sourceAddress = call.sourceAddress
        requestID = call.requestID
        hostID = call.eventID
    }

    /// A service acts in its own name: the lifecycle of objects, CloudTrail's deliveries.
    init(service: String) {
        principal = service
        sourceAddress = service
        requestID = ""
        hostID = ""
    }

    static let lifecycle = NotificationCause(service: "s3.amazonaws.com")
}

/// A message that waits.
struct WaitingNotice: Sendable {
    let key: CatalogKey
    let destination: String
    let bucket: String
    let made: Timestamp
    let text: String

    static let allKeys = CatalogKey.prefix("notification")
    static let numberKey = CatalogKey("notification-number")

    static func key(_ number: String) -> CatalogKey { CatalogKey("notification", number) }

    init(_ document: CatalogDocument) throws(AWSError) {
        guard let fields = (try? WireValue(json: document.value))?.asStructure, fields["format"] == 1,
            let destination = fields["to"]?.asString, let bucket = fields["from"]?.asString,
            let made = fields.time("made"), let text = fields["message"]?.asString
        else { throw .objectFault("the catalog's document of a notification is damaged") }
        key = document.key
        self.destination = destination
        self.bucket = bucket
        self.made = made
        self.text = text
    }

    static func document(to destination: String, from bucket: String, made: Timestamp, _ text: [UInt8]) -> [UInt8] {
        WireValue.structure([
            "format": 1, "to": .string(destination), "from": .string(bucket), "made": .integer(made.milliseconds),
            "message": .string(String(decoding: text, as: UTF8.self)),
        ]).json
    }
}

/// The text of messages.
enum NotificationText {
    /// What S3 sends when a destination is configured.
    static func test(bucket: String, _ call: Call) -> String {
        let fields: WireStructure = [
            "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": .string(call.time.iso8601Milliseconds),
            "Bucket": .string(bucket), "RequestId": .string(call.requestID), "HostId": .string(call.eventID),
        ]
        return String(decoding: WireValue.structure(fields).json, as: UTF8.self)
    }

    /// A record about one change.
    ///
    /// - Parameter sequencer: hexadecimal; greater for what is later.
    static func record(
        _ event: ObjectEvent, _ record: ObjectRecord, key: String, in bucket: BucketRecord, rule: String,
        _ cause: NotificationCause, at time: Timestamp, sequencer: String
    ) -> [UInt8] {
        var object: WireStructure = ["key": .string(ListingEncoding.url.encode(key))]
        let isRemoval = [.removed, .hidden, .expired, .expiredByMarker].contains(event)
        if !isRemoval {
            object.append("size", .integer(record.size))
            object.append("eTag", .string(record.etag))
        }
        if bucket.settings.versioning != nil { object.append("versionId", .string(record.versionText)) }
        object.append("sequencer", .string(sequencer.uppercased()))
        let owner: WireStructure = ["principalId": .string(ObjectService.canonicalID(of: bucket.ownerAccount))]
        var fields: WireStructure = [
            "eventVersion": isLater(event) ? "2.3" : "2.1", "eventSource": "aws:s3",
            "awsRegion": .string(bucket.region), "eventTime": .string(time.iso8601Milliseconds),
            "eventName": .string(event.rawValue),
            "userIdentity": .structure(["principalId": .string(cause.principal)]),
            "requestParameters": .structure(["sourceIPAddress": .string(cause.sourceAddress)]),
            "responseElements": .structure([
                "x-amz-request-id": .string(cause.requestID), "x-amz-id-2": .string(cause.hostID),
            ]),
            "s3": .structure([
                "s3SchemaVersion": "1.0", "configurationId": .string(rule),
                "bucket": .structure([
                    "name": .string(bucket.name), "ownerIdentity": .structure(owner), "arn": .string(bucket.arn),
                ]),
                "object": .structure(object),
            ]),
        ]
        if event == .restored, let until = record.restoredUntil {
            fields.append(
                "glacierEventData",
                .structure([
                    "restoreEventData": .structure([
                        "lifecycleRestorationExpiryTime": .string(until.iso8601Milliseconds),
                        "lifecycleRestoreStorageClass": .string(record.storageClass.rawValue),
                    ])
                ]))
        }
        if event == .transitioned {
            fields.append(
                "lifecycleEventData",
                .structure([
                    "transitionEventData": .structure([
                        "destinationStorageClass": .string(record.storageClass.rawValue)
                    ])
                ]))
        }
        return WireValue.structure(["Records": .list([.structure(fields)])]).json
    }

    /// Events that came after version 2.1 of the message.
    private static func isLater(_ event: ObjectEvent) -> Bool {
        switch event {
        case .transitioned, .expired, .expiredByMarker, .tiered, .aclPut, .tagged, .untagged, .restoreEnded: true
        default: false
        }
    }
}

extension CatalogTransaction {
    /// Puts a message for each destination of the bucket that is told of such a change.
    ///
    /// - Parameter bucket: as this transaction has it.
    func note(
        _ event: ObjectEvent, _ record: ObjectRecord, key: String, in bucket: BucketRecord, _ cause: NotificationCause,
        at time: Timestamp
    ) throws(AWSError) {
        guard let rules = bucket.settings.notifications?.rules else { return }
        for rule in rules where rule.matches(event, key) {
            let last = try get(WaitingNotice.numberKey).map { String(decoding: $0.value, as: UTF8.self) }
            let next = String((last.flatMap { Int64($0, radix: 16) } ?? 0) + 1, radix: 16)
            let number = String(repeating: "0", count: max(0, 18 - next.count)) + next
            let text = NotificationText.record(
                event, record, key: key, in: bucket, rule: rule.id, cause, at: time, sequencer: number)
            try put(WaitingNotice.numberKey, Array(number.utf8))
            try put(
                WaitingNotice.key(number),
                WaitingNotice.document(to: rule.destination, from: bucket.name, made: time, text))
        }
    }
}
