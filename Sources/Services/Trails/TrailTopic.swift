// SPDX-License-Identifier: Apache-2.0
//
// The topic that is told of each delivered log file, as the service `cloudtrail.amazonaws.com` sees it.
// Source: CloudTrail User Guide, "Configuring Amazon SNS notifications for CloudTrail", "Amazon SNS topic policy for
// CloudTrail"; CloudTrail API Reference, CreateTrail.
//
// A notice is put by the transaction that notes the delivery, and taken away once it is published, so that a crash in between
// repeats it and never loses it:
//
//     ("trail-notice", TRAILID, KEY)     {"bucket":...,"key":...,"region":...,"topic":ARN}

package import AWSWire
internal import Storage

/// The topics of SNS as trails need them: one thing that is asked of the room of messaging.
package struct TrailTopic: Sendable {
    /// Why a topic does not take a message; a status below 500 says that it is not there, or refuses.
    package typealias Refusal = AWSError

    /// What is published, and in whose cause.
    package struct Message: Sendable, Equatable {
        /// The topic's ARN.
        package var topic: String
        package var text: String
        /// The trail's ARN, for `aws:SourceArn`.
        package var sourceARN: String
        /// The trail's account, for `aws:SourceAccount`.
        package var sourceAccount: String
    }

    /// Publishes in the name of CloudTrail, if the topic's policy lets it.
    package var publish: @Sendable (Message) async throws(Refusal) -> Void

    package init(publish: @escaping @Sendable (Message) async throws(Refusal) -> Void) { self.publish = publish }

    /// What is published when a trail is given a topic.
    static let validation = "CloudTrail validation message."
    private static let nameBytesMax = 256

    /// The ARN of the topic that a trail is told to use, once it has taken a message from CloudTrail.
    ///
    /// - Parameter name: a name, which means a topic of the trail's region and account, or an ARN.
    /// - Throws: `InvalidSnsTopicNameException`, `InsufficientSnsTopicPolicyException`.
    func check(_ name: String, for trail: Trail) async throws(AWSError) -> String {
        let topic = try Self.arn(name, for: trail)
        do throws(AWSError) {
            try await publish(
                Message(
                    topic: topic, text: Self.validation, sourceARN: trail.arn.text, sourceAccount: trail.account))
        } catch {
            throw error.isServerFault ? error : .insufficientTopicPolicy(cause: "\(error.code): \(error.message)")
        }
        return topic
    }

    private static func arn(_ name: String, for trail: Trail) throws(AWSError) -> String {
        guard name.utf8.count <= nameBytesMax else { throw .invalidTopicName("it is longer than 256 characters") }
        guard name.hasPrefix("arn:") else {
            guard isName(name) else { throw .invalidTopicName("it has characters that no topic's name has") }
            return "arn:aws:sns:\(trail.homeRegion):\(trail.account):\(name)"
        }
        let parts = name.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[1] == "aws", parts[2] == "sns", !parts[3].isEmpty, parts[4].utf8.count == 12,
            isName(parts[5])
        else { throw .invalidTopicName("it is no ARN of a topic") }
        return name
    }

    private static func isName(_ text: some StringProtocol) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
    }
}

/// A notice of one delivered file that waits to be published.
struct TrailNotice: Sendable, Equatable, Codable {
    var bucket: String
    var key: String
    var region: String
    var topic: String

    var text: String {
        let fields: WireStructure = ["s3Bucket": .string(bucket), "s3ObjectKey": .list([.string(key)])]
        return String(decoding: WireValue.structure(fields).json, as: UTF8.self)
    }
}

extension Delivery {
    /// Publishes the notices that wait for a trail's topic, oldest first. One that the topic refuses is given up, and shown
    /// in the trail's status; after a fault the rest waits for the next turn.
    func announce(_ trail: Trail) async throws(AWSError) {
        let waiting = try await catalog.read { snapshot throws(AWSError) -> [TrailNotice] in
            try snapshot.documents(TrailKeys.notices(trail.id))
        }
        for notice in waiting {
            var problem: AWSError?
            do throws(AWSError) {
                try await topic.publish(
                    TrailTopic.Message(
                        topic: notice.topic, text: notice.text, sourceARN: trail.arn.text,
                        sourceAccount: trail.account))
            } catch {
                problem = error
            }
            let now = clock().milliseconds
            let outcome = problem
            try await catalog.write { transaction throws(AWSError) in
                if outcome?.isServerFault != true {
                    try transaction.delete(TrailKeys.notice(trail.id, key: notice.key))
                }
                let key = TrailKeys.progress(trail.id)
                guard var progress: TrailProgress = try transaction.document(key) else { return }
                progress.latestNotificationAttempt = now
                progress.notificationError = outcome?.code
                if outcome == nil {
                    progress.latestNotificationSuccess = now
                    progress.latestNotification = progress.latestNotification ?? [:]
                    progress.latestNotification?[notice.region] = now
                }
                try transaction.store(key, progress)
            }
            if let problem, problem.isServerFault { throw problem }
        }
    }
}

extension AWSError {
    static func invalidTopicName(_ reason: String) -> AWSError {
        AWSError("InvalidSnsTopicNameException", "SNS Topic name is not valid: \(reason).")
    }

    static func insufficientTopicPolicy(cause: String) -> AWSError {
        AWSError(
            "InsufficientSnsTopicPolicyException", "SNS Topic does not exist or the topic policy is incorrect!",
            cause: cause)
    }
}
