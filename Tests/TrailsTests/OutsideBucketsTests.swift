// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSWire
import EventJournal
import Foundation
import LogFiles
import ScriptedS3
import Synchronization
import Testing
import Trails

/// A harness whose buckets `logs` and `other` a scripted server holds, with a clock that is turned by hand.
private struct Outside {
    let server: ScriptedS3
    let house: TrailsHarness

    static func buckets(
        _ server: ScriptedS3, _ time: ManualTime, encryption: S3Endpoint.Encryption = .s3
    ) throws -> OutsideBuckets {
        let endpoint = try #require(
            S3Endpoint(
                name: "scripted", url: server.url, region: "us-east-1", addressing: .path, encryption: encryption,
                acl: "bucket-owner-full-control", trustedAuthorities: nil))
        let client = try S3Client(
            endpoint, credentials: .given(S3Credentials(accessKeyID: "AKID", secret: SecretKey("secret"))),
            limits: S3Client.Limits(),
            surroundings: S3Client.Surroundings(
                clock: { time.now }, pause: { _ in }, patience: { _ in try await server.waitForSilence() },
                chance: { 0 }))
        return OutsideBuckets([(client: client, buckets: ["logs", "oth*"].map { OutsideBuckets.Pattern($0) })])
    }

    init(limits: Delivery.Limits = .forTests, encryption: S3Endpoint.Encryption = .s3) async throws {
        let server = try await ScriptedS3()
        server.addBucket("other")
        self.server = server
        house = try TrailsHarness(limits: limits) { try Self.buckets(server, $0, encryption: encryption) }
    }

    private init(_ server: ScriptedS3, _ house: TrailsHarness) {
        self.server = server
        self.house = house
    }

    /// The same as a new process would have it.
    func restarted(limits: Delivery.Limits) throws -> Outside {
        let server = server
        return Outside(
            server,
            try TrailsHarness(restarting: house, limits: limits) { try Self.buckets(server, $0) })
    }

    /// Log files as they lie in the bucket, in the order of their keys.
    var logFiles: [(key: String, request: ScriptedS3.Request)] {
        server.objects.filter { $0.key.contains("/CloudTrail/") && !$0.key.hasSuffix("/") }
            .sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    var digests: [(key: String, request: ScriptedS3.Request)] {
        server.objects.filter { $0.key.contains("/CloudTrail-Digest/") && !$0.key.hasSuffix("/") }
            .sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    func ids() throws -> [String] { try logFiles.flatMap { try TrailsHarness.ids(in: $0.request.body) } }

    func makeTrail(_ more: WireStructure = [:]) async throws {
        var parameters: WireStructure = ["Name": "trail", "S3BucketName": "logs"]
        for member in more.members { parameters[member.name] = member.value }
        try await house.call("CreateTrail", parameters)
        try await house.call("StartLogging", ["Name": "trail"], isJournaled: false)
    }

    func status() async throws -> WireStructure { try await house.call("GetTrailStatus", ["Name": "trail"]) }
}

@Suite(.timeLimit(.minutes(2))) struct OutsideBucketsTests {
    @Test(arguments: [
        ("logs", "logs", true), ("logs", "logs2", false), ("logs-*", "logs-a", true), ("logs-*", "logs", false),
        ("*", "anything", true), ("*-logs", "a-logs", true), ("*-logs", "a-logs-b", false), ("a*b*c", "a-b-c", true),
        ("a*b*c", "a-c-b", false), ("a*a", "a", false), ("a*b*b", "ab", false), ("a**b", "ab", true),
    ])
    func `an asterisk stands for any text`(_ pattern: String, _ bucket: String, _ matches: Bool) {
        #expect(OutsideBuckets.Pattern(pattern).matches(bucket) == matches)
    }

    @Test func `a log file is put with its headers, and a bucket of another name stays here`() async throws {
        let outside = try await Outside()
        try await outside.makeTrail()
        let id = try await outside.house.journalEvent()
        await outside.house.delivery.turn()
        #expect(try outside.ids() == [id])
        let file = try #require(outside.logFiles.first?.request)
        #expect(file.header("content-type") == "application/json" && file.header("content-encoding") == "gzip")
        #expect(file.header("x-amz-acl") == "bucket-owner-full-control")
        #expect(file.header("x-amz-server-side-encryption") == "AES256")
        #expect(outside.house.store.objects.isEmpty)
        outside.house.store.state.withLock { _ = $0.buckets.insert("here") }
        try await outside.house.call(
            "UpdateTrail", ["Name": "trail", "S3BucketName": "here"], isJournaled: false)
        let next = try await outside.house.journalEvent()
        await outside.house.delivery.turn()
        #expect(try outside.house.deliveredIDs == [next])
        await outside.server.stop()
    }

    @Test func `a bucket outside is probed by a write of the trail's folders`() async throws {
        let outside = try await Outside()
        try await outside.makeTrail(["S3KeyPrefix": "a/b", "EnableLogFileValidation": true])
        let folder = "logs/a/b/AWSLogs/\(TrailsHarness.account)/CloudTrail"
        #expect(outside.server.requests.map(\.uri) == ["/\(folder)/", "/\(folder)-Digest/"])
        #expect(outside.house.store.state.withLock { $0.questions.isEmpty })
        await outside.server.stop()
    }

    @Test(arguments: [
        (404, "NoSuchBucket", "S3BucketDoesNotExistException"),
        (403, "AccessDenied", "InsufficientS3BucketPolicyException"),
        (403, "SignatureDoesNotMatch", "InsufficientS3BucketPolicyException"),
        (501, "NotImplemented", "InsufficientS3BucketPolicyException"),
        (400, "KMS.NotFoundException", "InsufficientEncryptionPolicyException"),
        (503, "SlowDown", "ServiceUnavailable"), (500, "InternalError", "ServiceUnavailable"),
    ])
    func `what the probe is answered becomes CloudTrail's own error, and no trail is made`(
        _ status: Int, _ code: String, _ expected: String
    ) async throws {
        let outside = try await Outside()
        outside.server.standing(.fail(status: status, code: code))
        await #expect {
            try await outside.makeTrail()
        } throws: { error in
            guard let error = error as? AWSError else { return false }
            return error.code == expected && error.message.contains("logs")
        }
        #expect(try await outside.house.call("ListTrails", [:])["Trails"] == .list([]))
        await outside.server.stop()
    }

    @Test func `a trail's key is passed on to an endpoint that takes keys, and tried there`() async throws {
        let key = "arn:aws:kms:eu-west-1:999999999999:key/outside"
        let outside = try await Outside(encryption: .kms(keyID: "standing"))
        outside.server.play(.answer, .fail(status: 400, code: "KMS.NotFoundException"))
        await #expect {
            try await outside.makeTrail(["KmsKeyId": .string(key)])
        } throws: { ($0 as? AWSError)?.code == "InsufficientEncryptionPolicyException" }
        await #expect {
            try await outside.makeTrail(["KmsKeyId": "alias/logs"])
        } throws: { ($0 as? AWSError)?.code == "InvalidKmsKeyIdException" }
        try await outside.makeTrail(["KmsKeyId": .string(key)])
        try await outside.house.journalEvent()
        await outside.house.delivery.turn()
        let name = "x-amz-server-side-encryption-aws-kms-key-id"
        #expect(try #require(outside.logFiles.first).request.header(name) == key)
        #expect(outside.server.requests.first?.header(name) == "standing")
        await outside.server.stop()
    }

    @Test func `a trail's key is refused where the endpoint is not set up for keys`() async throws {
        let outside = try await Outside()
        await #expect {
            try await outside.makeTrail(["KmsKeyId": "arn:aws:kms:eu-west-1:999999999999:key/outside"])
        } throws: { ($0 as? AWSError)?.code == "KmsException" }
        await outside.server.stop()
    }

    @Test func `an update is probed as well, and changes nothing when it is refused`() async throws {
        let outside = try await Outside()
        try await outside.makeTrail()
        outside.server.standing(.fail(status: 403, code: "AccessDenied"))
        await #expect(throws: AWSError.self) {
            try await outside.house.call("UpdateTrail", ["Name": "trail", "S3BucketName": "other"])
        }
        let trail = try await outside.house.call("GetTrail", ["Name": "trail"])
        #expect("\(trail)".contains("\"logs\"") && !"\(trail)".contains("\"other\""))
        await outside.server.stop()
    }
}

@Suite(.timeLimit(.minutes(2))) struct OutsideBucketsFaultTests {
    /// Every n-th request fails in each way; then a new process may take over, and everything is there once.
    @Test(
        arguments: [
            ScriptedS3.Act.fail(status: 503, code: "SlowDown"), .fail(status: 403, code: "AccessDenied"),
            .cut(afterBytes: 100), .storeThenCut, .silence(stores: true), .silence(stores: false),
        ], [false, true])
    func `a failed request leaves nothing out and nothing twice`(
        _ act: ScriptedS3.Act, _ isRestarted: Bool
    ) async throws {
        for failing in 0..<4 {
            var limits = Delivery.Limits.forTests
            limits.fileBytesMax = 1_500
            limits.planBytesMax = 4_000
            let outside = try await Outside(limits: limits)
            try await outside.makeTrail(["IsMultiRegionTrail": true])
            var ids: [String] = []
            for index in 0..<16 {
                let region = index.isMultiple(of: 3) ? "eu-west-1" : "us-east-1"
                ids.append(try await outside.house.journalEvent(region: region))
            }
            for _ in 0..<failing { outside.server.play(.answer) }
            // Three times, so that trying again at once does not help.
            outside.server.play(act, act, act)
            await outside.house.delivery.turn()
            outside.house.time.advance(seconds: 61)
            let next = isRestarted ? try outside.restarted(limits: limits) : outside
            for _ in 0..<8 {
                await next.house.delivery.turn()
                next.house.time.advance(seconds: 61)
            }
            #expect(try next.ids().sorted() == ids.sorted())
            #expect(try await next.status()["LatestDeliveryError"] == nil)
            await outside.server.stop()
        }
    }

    @Test func `an hour of outage loses nothing, doubles nothing, and is told`() async throws {
        var limits = Delivery.Limits.forTests
        limits.retryFirst = 1_000
        limits.retryMost = 300_000
        let outside = try await Outside(limits: limits)
        let house = outside.house
        try await outside.makeTrail(["EnableLogFileValidation": true])
        await house.digests.turn()
        var ids: [String] = []
        func pass(minutes: Int) async throws {
            for _ in 0..<minutes {
                ids.append(try await house.journalEvent())
                house.time.advance(seconds: 60)
                await house.delivery.turn()
                await house.digests.turn()
            }
        }
        try await pass(minutes: 10)
        // The last answer before the outage is lost on its way.
        outside.server.play(.storeThenCut, .storeThenCut, .storeThenCut)
        try await pass(minutes: 1)
        outside.server.isDown = true
        try await pass(minutes: 60)
        let error = try await outside.status()["LatestDeliveryError"]
        #expect(error == "ServiceUnavailable")
        #expect(house.delivery.positionKept < house.journal.durableNumber)
        outside.server.isDown = false
        try await pass(minutes: 66)
        await house.delivery.turn()
        #expect(try outside.ids() == ids)
        #expect(try await outside.status()["LatestDeliveryError"] == nil)
        #expect(try await outside.status()["LatestDigestDeliveryError"] == nil)
        // Each digest begins where the one before ended, and each log file is in exactly one or still waits.
        var ends: [String] = []
        var listed: [String] = []
        for digest in outside.digests {
            let content = try LogFile.content(of: digest.request.body)
            let document = try #require(try JSONSerialization.jsonObject(with: Data(content)) as? [String: Any])
            if let last = ends.last { #expect(document["digestStartTime"] as? String == last) }
            ends.append(try #require(document["digestEndTime"] as? String))
            for file in try #require(document["logFiles"] as? [[String: Any]]) {
                listed.append("logs/" + (try #require(file["s3Object"] as? String)))
            }
        }
        #expect(ends.count >= 2)
        #expect(Set(listed).count == listed.count)
        #expect(Set(listed).isSubset(of: outside.logFiles.map(\.key)))
        #expect(listed.count >= 15)
        await outside.server.stop()
    }

    @Test func `a file that was written before a refusal counts as delivered`() async throws {
        let outside = try await Outside()
        try await outside.makeTrail()
        let id = try await outside.house.journalEvent()
        outside.server.play(.storeThenCut, .storeThenCut, .storeThenCut)
        await outside.house.delivery.turn()
        // Since then the bucket lets nobody write over what is there.
        outside.server.play(.fail(status: 403, code: "AccessDenied"))
        outside.house.time.advance(seconds: 61)
        await outside.house.delivery.turn()
        #expect(try outside.ids() == [id])
        #expect(outside.house.delivery.positionKept == outside.house.journal.durableNumber)
        await outside.server.stop()
    }

    @Test func `a trail that leaves a dead endpoint delivers elsewhere`() async throws {
        let outside = try await Outside()
        try await outside.makeTrail()
        let id = try await outside.house.journalEvent()
        outside.server.isDown = true
        await outside.house.delivery.turn()
        outside.house.store.state.withLock { _ = $0.buckets.insert("here") }
        try await outside.house.call("UpdateTrail", ["Name": "trail", "S3BucketName": "here"], isJournaled: false)
        for _ in 0..<2 {
            outside.house.time.advance(seconds: 61)
            await outside.house.delivery.turn()
        }
        #expect(try outside.house.deliveredIDs == [id])
        await outside.server.stop()
    }

    @Test func `a file in doubt that is refused moves with the trail's prefix`() async throws {
        let outside = try await Outside()
        try await outside.makeTrail()
        let id = try await outside.house.journalEvent()
        outside.server.play(.cut(afterBytes: 0), .cut(afterBytes: 0), .cut(afterBytes: 0))
        await outside.house.delivery.turn()
        // The probe of the new prefix, the old name and the question whether it is there.
        outside.server.play(.answer, .fail(status: 403, code: "AccessDenied"), .fail(status: 403, code: "AccessDenied"))
        try await outside.house.call("UpdateTrail", ["Name": "trail", "S3KeyPrefix": "new"], isJournaled: false)
        for _ in 0..<2 {
            outside.house.time.advance(seconds: 61)
            await outside.house.delivery.turn()
        }
        #expect(try outside.ids() == [id])
        #expect(outside.logFiles.first?.key.hasPrefix("logs/new/AWSLogs/") == true)
        await outside.server.stop()
    }

    @Test func `an endpoint that is down holds up no other trail`() async throws {
        let outside = try await Outside()
        try await outside.makeTrail()
        outside.house.store.state.withLock { _ = $0.buckets.insert("here") }
        try await outside.house.call("CreateTrail", ["Name": "second", "S3BucketName": "here"], isJournaled: false)
        try await outside.house.call("StartLogging", ["Name": "second"], isJournaled: false)
        outside.server.standing(.silence(stores: false))
        let id = try await outside.house.journalEvent()
        await outside.house.delivery.turn()
        #expect(try outside.house.deliveredIDs == [id])
        #expect(try await outside.status()["LatestDeliveryError"] == "RequestTimeout")
        await outside.server.stop()
    }
}
