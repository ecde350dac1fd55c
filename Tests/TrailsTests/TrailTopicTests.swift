// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Synchronization
import Testing
import Trails

struct TrailTopicTests {
    private static let topic = "arn:aws:sns:us-east-1:111122223333:files"
    private static let refusal = AWSError("AuthorizationError", status: 403, "no")
    private static let fault = AWSError("InternalError", status: 500, "broken")

    private func messages(_ harness: TrailsHarness) -> [TrailTopic.Message] {
        harness.store.state.withLock { state in
            defer { state.messages = [] }
            return state.messages
        }
    }

    private func fail(_ harness: TrailsHarness, _ error: AWSError?) {
        harness.store.state.withLock { $0.topicError = error }
    }

    private func text(_ object: BucketDouble.Object) -> String {
        #"{"s3Bucket":"logs","s3ObjectKey":["\#(object.key)"]}"#
    }

    @Test func `a trail that is given a topic tries it with a message first`() async throws {
        let harness = try TrailsHarness()
        let ask: WireStructure = ["Name": "trail", "S3BucketName": "logs", "SnsTopicName": "files"]
        fail(harness, Self.refusal)
        await #expect { try await harness.call("CreateTrail", ask) } throws: { error in
            (error as? AWSError)?.code == "InsufficientSnsTopicPolicyException"
        }
        fail(harness, nil)
        let made = try await harness.call("CreateTrail", ask)
        #expect(made["SnsTopicARN"] == .string(Self.topic) && made["SnsTopicName"] == "files")
        let tried = messages(harness)
        #expect(tried.map(\.text) == ["CloudTrail validation message."])
        #expect(tried.map(\.topic) == [Self.topic])
        #expect(tried.map(\.sourceARN) == ["arn:aws:cloudtrail:us-east-1:111122223333:trail/trail"])
    }

    @Test(arguments: ["a b", "a.fifo", "arn:aws:sqs:us-east-1:111122223333:files", "arn:aws:sns:us-east-1:1:files"])
    func `what is no topic's name is refused`(name: String) async throws {
        let harness = try TrailsHarness()
        let ask: WireStructure = ["Name": "trail", "S3BucketName": "logs", "SnsTopicName": .string(name)]
        await #expect { try await harness.call("CreateTrail", ask) } throws: { error in
            (error as? AWSError)?.code == "InvalidSnsTopicNameException"
        }
    }

    @Test func `each log file is told once`() async throws {
        let harness = try TrailsHarness()
        try await harness.makeTrail("trail", ["SnsTopicName": .string(Self.topic)])
        _ = messages(harness)
        try await harness.journalEvent()
        await harness.delivery.turn()
        #expect(messages(harness).map(\.text) == harness.store.logFiles.map(text))
        #expect(harness.store.logFiles.count == 1)
        await harness.delivery.turn()
        #expect(messages(harness).isEmpty)
        let status = try await harness.call("GetTrailStatus", ["Name": "trail"])
        #expect(status["LatestNotificationTime"] == .timestamp(harness.time.now))
        #expect(status["LatestNotificationError"] == nil)
        #expect(status["LatestNotificationAttemptSucceeded"] == .string(harness.time.now.iso8601))
    }

    @Test func `a refused notice is shown and given up, and the log file stays delivered`() async throws {
        let harness = try TrailsHarness()
        try await harness.makeTrail("trail", ["SnsTopicName": "files"])
        _ = messages(harness)
        fail(harness, Self.refusal)
        try await harness.journalEvent()
        await harness.delivery.turn()
        #expect(harness.store.logFiles.count == 1)
        let status = try await harness.call("GetTrailStatus", ["Name": "trail"])
        #expect(status["LatestNotificationError"] == "AuthorizationError" && status["LatestDeliveryError"] == nil)
        fail(harness, nil)
        await harness.delivery.turn()
        #expect(messages(harness).isEmpty)
    }

    @Test func `a notice that a fault held up is sent by the next process`() async throws {
        let harness = try TrailsHarness()
        try await harness.makeTrail("trail", ["SnsTopicName": "files"])
        _ = messages(harness)
        fail(harness, Self.fault)
        try await harness.journalEvent()
        await harness.delivery.turn()
        let after = try TrailsHarness(restarting: harness)
        await after.delivery.turn()
        #expect(messages(after).map(\.text) == harness.store.logFiles.map(text))
        await after.delivery.turn()
        #expect(messages(after).isEmpty)
    }

    @Test func `an empty name takes the topic away`() async throws {
        let harness = try TrailsHarness()
        try await harness.makeTrail("trail", ["SnsTopicName": "files"])
        try await harness.call("UpdateTrail", ["Name": "trail", "SnsTopicName": ""])
        _ = messages(harness)
        let shown = try await harness.call("GetTrail", ["Name": "trail"])["Trail"]?.asStructure
        #expect(shown?["SnsTopicARN"] == nil && shown?["SnsTopicName"] == nil)
        await harness.delivery.turn()
        #expect(messages(harness).isEmpty)
    }
}
