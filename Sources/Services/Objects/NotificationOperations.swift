// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import Storage

extension ObjectService {
    private static let notification = OperationTraits(
        iamAction: "PutBucketNotification", recordsAnswer: false, recordsResources: true)
    private static let notificationRead = OperationTraits(
        iamAction: "GetBucketNotification", recordsAnswer: false, recordsResources: true)

    static let notificationOperations: [Operation<ObjectService>] = [
        Operation(
            "GetBucketNotificationConfiguration", .read, notificationRead, on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.getBucketNotification),
        Operation(
            "PutBucketNotificationConfiguration", .write, notification, on: bucketResource,
            recorded: ObjectRecording.parameters(document: "NotificationConfiguration"),
            perform: ObjectService.putBucketNotification),
    ]

    func getBucketNotification(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let settings = try bucket(input.place, call).settings
        return ObjectAnswer(
            body: .xml(root: "NotificationConfiguration", settings.notifications?.document ?? WireStructure()))
    }

    /// Replaces the whole configuration, once each destination has taken a test message.
    ///
    /// - Throws: `InvalidArgument` (400) where a destination cannot be reached or refuses; nothing is changed then.
    func putBucketNotification(_ input: NotificationInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        var number = 0
        let names = randomBytes(8 * NotificationConfiguration.rulesMax)
        let configuration = try NotificationConfiguration(input.fields) {
            defer { number += 1 }
            return hexadecimal(names[min(number, NotificationConfiguration.rulesMax - 1) * 8..<names.count].prefix(8))
        }
        for rule in configuration.rules {
            let parts = rule.destination.split(separator: ":", omittingEmptySubsequences: false)
            guard parts[3] == bucket.region else {
                throw .unreachable(
                    rule.destination,
                    "The notification destination service region is not valid for the bucket location constraint")
            }
            guard let destination = destinations[String(parts[2])] else { throw .unreachable(rule.destination) }
            guard !input.isUnchecked else { continue }
            do throws(AWSError) {
                try await destination.publish(
                    NotificationMessage(
                        destination: rule.destination, bucketARN: bucket.arn, account: bucket.ownerAccount,
                        text: NotificationText.test(bucket: bucket.name, call)))
            } catch {
                if error.status >= 500 { throw error }
                throw .unreachable(rule.destination, error.message)
            }
        }
        try await change(input.place, call) { (settings) throws(AWSError) in
            settings.notifications = configuration.isEmpty ? nil : configuration
        }
        return ObjectAnswer()
    }

    // MARK: The chore

    /// Messages published in one turn at most; the rest waits for the next.
    private static let noticesInTurn = 1000
    /// Seconds after which a message that its destination does not take is given up.
    private static let noticeSecondsMax: Int64 = 24 * 3600

    /// Publishes the messages that wait, oldest first. May be repeated and cut off at any time: a message may then be
    /// published twice, as S3 says of its own.
    ///
    /// A destination with a fault keeps its messages, and their order, for later turns; one that refuses loses them.
    ///
    /// - Returns: how many were published.
    /// - Throws: `AWSError` where the catalog cannot be read or written.
    @discardableResult
    package func publishNotifications() async throws(AWSError) -> Int {
        guard !destinations.isEmpty else { return 0 }
        let waiting = try await catalog.read { (snapshot) throws(AWSError) in
            var waiting: [WaitingNotice] = []
            for document in try snapshot.scan(prefix: WaitingNotice.allKeys, limit: Self.noticesInTurn) {
                waiting.append(try WaitingNotice(document))
            }
            return waiting
        }
        var done: [CatalogKey] = []
        var published = 0
        var resting: Set<String> = []
        for notice in waiting where !resting.contains(notice.destination) {
            let service = notice.destination.split(separator: ":", omittingEmptySubsequences: false)
            let account = buckets[notice.bucket]?.ownerAccount ?? ""
            let message = NotificationMessage(
                destination: notice.destination, bucketARN: "arn:aws:s3:::\(notice.bucket)", account: account,
                text: notice.text)
            let isOld = notice.made.adding(seconds: Self.noticeSecondsMax) < now
            if service.count > 2, let destination = destinations[String(service[2])] {
                do throws(AWSError) {
                    try await destination.publish(message)
                    published += 1
                } catch {
                    if error.status >= 500, !isOld {
                        resting.insert(notice.destination)
                        continue
                    }
                }
            } else if !isOld {
                continue
            }
            done.append(notice.key)
        }
        guard !done.isEmpty else { return published }
        let gone = done
        try await catalog.write { (transaction) throws(AWSError) in
            for key in gone { try transaction.delete(key) }
        }
        return published
    }
}

extension AWSError {
    /// A destination that S3 cannot publish to.
    fileprivate static func unreachable(
        _ arn: String, _ reason: String = "The destination ARN does not exist"
    ) -> AWSError {
        .invalidArgument("Unable to validate the following destination configurations", name: arn, value: reason)
    }
}

struct NotificationInput: OperationInput {
    let place: BucketPlace
    let fields: DocumentFields
    /// Whether destinations are taken without a test message.
    let isUnchecked: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        place = try BucketPlace(request)
        let known = [
            "TopicConfiguration", "QueueConfiguration", "CloudFunctionConfiguration", "EventBridgeConfiguration",
        ]
        fields = try DocumentFields(request, root: "NotificationConfiguration", known: known)
        let skip = RequestHeaders(request.http).nonEmpty("x-amz-skip-destination-validation")
        isUnchecked = skip?.lowercased() == "true"
    }
}
