// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Synchronization
import Testing
import Trails

struct TrailKMSTests {
    private let key = BucketDouble.key

    private func refusal(_ body: () async throws -> some Any) async -> String {
        do {
            _ = try await body()
            return "none"
        } catch {
            return (error as? AWSError)?.code ?? "\(error)"
        }
    }

    @Test func `log files and digests are put under the trail's key, which answers show by its ARN`() async throws {
        let harness = try TrailsHarness()
        try await harness.makeTrail("trail", ["KmsKeyId": "alias/logs", "EnableLogFileValidation": true])
        let shown = try await harness.call("GetTrail", ["Name": "trail"])["Trail"]?.asStructure
        #expect(shown?["KmsKeyId"]?.asString == key)
        try await harness.journalEvent()
        await harness.delivery.turn()
        harness.time.advance(seconds: 3601)
        await harness.digests.turn()
        #expect(harness.store.logFiles.map(\.keyARN) == [key])
        #expect(harness.store.digests.map(\.keyARN) == [key])
    }

    @Test func `a key is taken away by an empty name, and files are then put under the store's`() async throws {
        let harness = try TrailsHarness()
        try await harness.makeTrail("trail", ["KmsKeyId": .string(key)])
        let changed = try await harness.call("UpdateTrail", ["Name": "trail", "KmsKeyId": ""])
        #expect(changed["KmsKeyId"] == nil)
        await harness.delivery.turn()
        #expect(harness.store.logFiles.last?.keyARN == .some(nil))
    }

    @Test func `a key whose policy does not let CloudTrail encrypt is refused, and nothing is changed`() async throws {
        let harness = try TrailsHarness()
        try await harness.makeTrail("trail")
        harness.store.state.withLock { $0.isKeyAllowed = false }
        for operation in ["CreateTrail", "UpdateTrail"] {
            let name = operation == "CreateTrail" ? "other" : "trail"
            #expect(
                await refusal {
                    try await harness.call(
                        operation, ["Name": .string(name), "S3BucketName": "logs", "KmsKeyId": "alias/logs"])
                } == "InsufficientEncryptionPolicyException")
        }
        let shown = try await harness.call("DescribeTrails", [:])["trailList"]?.asList
        #expect(shown?.count == 1)
        #expect(shown?.first?.asStructure?["KmsKeyId"] == nil)
    }

    @Test func `a key that stays is asked again for a new bucket`() async throws {
        let harness = try TrailsHarness()
        try await harness.makeTrail("trail", ["KmsKeyId": "alias/logs"])
        harness.store.state.withLock { $0.isKeyAllowed = false }
        #expect(
            await refusal { try await harness.call("UpdateTrail", ["Name": "trail", "S3BucketName": "other"]) }
                == "InsufficientEncryptionPolicyException")
    }

    @Test func `what the key refuses is told by the status and delivered once it does not`() async throws {
        let harness = try TrailsHarness()
        try await harness.makeTrail("trail", ["KmsKeyId": "alias/logs"])
        harness.store.state.withLock { $0.standing = AWSError("KMS.DisabledException", "disabled") }
        let id = try await harness.journalEvent()
        await harness.delivery.turn()
        let status = try await harness.call("GetTrailStatus", ["Name": "trail"])
        #expect(status["LatestDeliveryError"]?.asString == "KMS.DisabledException")
        harness.store.state.withLock { $0.standing = nil }
        harness.time.advance(seconds: 5)
        await harness.delivery.turn()
        #expect(try harness.deliveredIDs == [id])
        #expect(try await harness.call("GetTrailStatus", ["Name": "trail"])["LatestDeliveryError"] == nil)
    }
}
