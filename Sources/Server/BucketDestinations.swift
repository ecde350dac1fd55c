// SPDX-License-Identifier: Apache-2.0
//
// Where buckets' notifications go: the room of objects and the room of messaging do not know each other.
// Source: S3 User Guide, "Granting permissions to publish event notification messages to a destination".

internal import AWSWire
internal import Messaging
internal import Objects

private let principal = "s3.amazonaws.com"

/// The topics of this server.
struct BucketTopics: NotificationDestination {
    let topics: TopicService

    func publish(_ message: NotificationMessage) async throws(AWSError) {
        do throws(AWSError) {
            try await topics.publish(
                message.text, subject: "Amazon S3 Notification", to: message.destination, asService: principal,
                sourceARN: message.bucketARN, sourceAccount: message.account)
        } catch {
            throw worded(error, "topic")
        }
    }
}

/// The queues of this server.
struct BucketQueues: NotificationDestination {
    let queues: QueueService

    func publish(_ message: NotificationMessage) async throws(AWSError) {
        do throws(AWSError) {
            try await queues.send(
                message.text, to: message.destination, asService: principal, sourceARN: message.bucketARN,
                sourceAccount: message.account)
        } catch {
            throw worded(error, "queue")
        }
    }
}

/// The refusal as S3 words it to whoever configures a bucket.
private func worded(_ error: AWSError, _ kind: String) -> AWSError {
    guard !error.isServerFault else { return error }
    var worded = error
    worded.message =
        ["AuthorizationError", "AccessDeniedException"].contains(error.code)
        ? "Permissions on the destination \(kind) do not allow S3 to publish notifications from this bucket"
        : "The destination \(kind) does not exist"
    return worded
}
