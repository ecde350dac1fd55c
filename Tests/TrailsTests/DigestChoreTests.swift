// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import LogFiles
import Storage
import Synchronization
import Testing
import Trails

struct DigestChoreTests {
    @Test func `each interval has one digest, empty ones too, at a constant phase, linked and signed`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("trail", ["EnableLogFileValidation": true])
        try await house.passHour()
        try await house.journalEvent()
        await house.delivery.turn()
        let file = try #require(house.store.logFiles.first)
        for _ in 0..<2 { try await house.passHour() }
        let chain = try house.chain()
        try #require(chain.map(\.end) == ["2026-11-24T21:37:16Z", "2026-11-24T22:37:16Z", "2026-11-24T23:37:16Z"])
        #expect(chain.map(\.start) == ["2026-11-24T20:37:16Z", "2026-11-24T21:37:16Z", "2026-11-24T22:37:16Z"])
        // The first lists StartLogging's own file, which makeTrail took out of the bucket.
        #expect(chain.map(\.files.count) == [1, 1, 0])
        #expect(chain[1].files.first?["s3Object"] == file.key)
        #expect(chain[1].files.first?["hashValue"] == Digest.hash(of: try LogFile.content(of: file.body)))
        try await house.checkLinks(chain)
        #expect(
            chain[0].key == "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/11/24/"
                + "111122223333_CloudTrail-Digest_us-east-1_trail_us-east-1_20261124T213716Z.json.gz")
    }

    @Test func `no digest is written before its end, and none twice`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("trail", ["EnableLogFileValidation": true])
        house.time.advance(seconds: 3_600)
        await house.digests.turn()
        #expect(house.store.digests.isEmpty)
        house.time.advance(seconds: 1)
        for _ in 0..<3 { await house.digests.turn() }
        #expect(house.store.digests.count == 1)
    }

    @Test func `after an outage one digest covers the gap and ends at a boundary`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("trail", ["EnableLogFileValidation": true])
        try await house.passHour()
        house.time.advance(seconds: 10 * 3_600 + 100)
        let next = try TrailsHarness(restarting: house)
        await next.digests.turn()
        let chain = try next.chain()
        try #require(chain.map(\.end) == ["2026-11-24T21:37:16Z", "2026-11-25T07:37:16Z"])
        #expect(chain[1].start == chain[0].end)
        try await next.checkLinks(chain)
    }

    @Test func `stopping writes a last digest with the stop's own file, and starting begins a new chain`() async throws
    {
        let house = try TrailsHarness()
        try await house.makeTrail("trail", ["EnableLogFileValidation": true])
        try await house.passHour()
        house.time.advance(seconds: 100)
        try await house.call("StopLogging", ["Name": "trail"])
        await house.digests.turn()
        #expect(house.store.digests.count == 1, "the stop's own event is not delivered yet")
        await house.delivery.turn()
        await house.digests.turn()
        var chain = try house.chain()
        try #require(chain.count == 2)
        #expect(chain[1].files.count == 1)
        try await house.passHour()
        #expect(house.store.digests.count == 2, "no digest while nothing is logged")
        try await house.call("StartLogging", ["Name": "trail"])
        await house.delivery.turn()
        house.time.advance(seconds: 1)
        try await house.passHour()
        chain = try house.chain()
        try #require(chain.count == 3)
        #expect(chain[2].previousSignature == nil)
        #expect(chain[2].files.count == 1)
    }

    @Test func `a stop and start between two looks ends the old chain where the new one begins`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("trail", ["EnableLogFileValidation": true])
        try await house.passHour()
        house.time.advance(seconds: 100)
        try await house.call("StopLogging", ["Name": "trail"])
        house.time.advance(seconds: 10)
        try await house.call("StartLogging", ["Name": "trail"])
        await house.delivery.turn()
        house.time.advance(seconds: 1)
        try await house.passHour()
        let chain = try house.chain()
        try #require(chain.map { $0.previousSignature == nil } == [true, false, true])
        #expect(chain[1].end == chain[2].start)
    }

    @Test func `no two digests have one name, though logging stops and starts within a second or the clock goes back`()
        async throws
    {
        for seconds in [0, -5000] as [Int64] {
            let house = try TrailsHarness()
            try await house.makeTrail("trail", ["EnableLogFileValidation": true])
            try await house.passHour()
            for _ in 0..<3 {
                try await house.call("StopLogging", ["Name": "trail"])
                await house.delivery.turn()
                await house.digests.turn()
                house.time.advance(seconds: seconds)
                try await house.call("StartLogging", ["Name": "trail"])
                await house.delivery.turn()
                await house.digests.turn()
            }
            for _ in 0..<6 { try await house.passHour() }
            let chain = try house.chain()
            #expect(zip(chain, chain.dropFirst()).allSatisfy { $0.end < $1.end })
            // An object that was written over would have taken its files along.
            let proven = chain.flatMap(\.files).compactMap { $0["s3Object"] }
            #expect(Set(proven).count == proven.count)
            #expect(house.store.logFiles.allSatisfy { proven.contains($0.key) })
            #expect(house.store.logFiles.count >= 6)
        }
    }

    @Test func `each region with a log file has a chain of its own`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("trail", ["EnableLogFileValidation": true, "IsMultiRegionTrail": true])
        try await house.passHour()
        try await house.journalEvent(region: "eu-west-1")
        await house.delivery.turn()
        try await house.passHour()
        try await house.passHour()
        let there = try house.chain(region: "eu-west-1")
        try #require(there.map(\.start) == ["2026-11-24T21:37:16Z", "2026-11-24T22:37:16Z"])
        #expect(there.map(\.files.count) == [1, 0])
        try await house.checkLinks(there)
        #expect(try house.chain(region: "us-east-1").count == 3)
        #expect(there[0].key.hasSuffix("_CloudTrail-Digest_eu-west-1_trail_us-east-1_20261124T223716Z.json.gz"))
    }

    @Test func `deleting a trail delivers the call, writes a last digest and leaves nothing behind`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("trail", ["EnableLogFileValidation": true])
        try await house.passHour()
        house.time.advance(seconds: 5)
        try await house.call("DeleteTrail", ["Name": "trail"])
        await #expect(throws: AWSError.self) { try await house.call("GetTrail", ["Name": "trail"]) }
        await house.delivery.turn()
        await house.digests.turn()
        let chain = try house.chain()
        #expect(chain.map(\.files.count) == [1, 1])
        await house.digests.turn()
        await house.delivery.turn()
        #expect(house.delivery.positionKept == .max)
        let left = try await house.catalog.read { snapshot throws(AWSError) in
            try snapshot.scan(prefix: .init(bytes: [])).map(\.key.components)
        }
        #expect(Set(left.compactMap(\.first)).isSubset(of: ["delivery-sequence", "signing-key"]))
    }

    @Test func `a trail without validation has no digests, and switching it on begins a chain`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        try await house.passHour()
        #expect(house.store.digests.isEmpty)
        try await house.call("UpdateTrail", ["Name": "trail", "EnableLogFileValidation": true])
        await house.delivery.turn()
        house.time.advance(seconds: 1)
        try await house.passHour()
        #expect(try house.chain().map(\.files.count) == [1])
    }

    @Test func `a failed digest is written later and the chain stays whole`() async throws {
        for failure in [(BucketDouble.refusal, false), (BucketDouble.fault, false), (BucketDouble.fault, true)] {
            let house = try TrailsHarness()
            try await house.makeTrail("trail", ["EnableLogFileValidation": true])
            try await house.passHour()
            house.store.state.withLock {
                $0.failure = (put: $0.puts + 1, error: failure.0, isWritten: failure.1)
            }
            try await house.passHour()
            let status = try await house.call("GetTrailStatus", ["Name": "trail"])
            #expect(status["LatestDigestDeliveryError"] == .string(failure.0.code))
            house.time.advance(seconds: 600)
            let next = try TrailsHarness(restarting: house)
            await next.digests.turn()
            try await next.passHour()
            let chain = try next.chain()
            #expect(chain.count == 3)
            try await next.checkLinks(chain)
            let later = try await next.call("GetTrailStatus", ["Name": "trail"])
            #expect(later["LatestDigestDeliveryError"] == nil)
            #expect(later["LatestDigestDeliveryTime"] == .timestamp(next.time.now))
        }
    }

    @Test func `the chain goes on over a change of bucket and over a change of key`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("trail", ["EnableLogFileValidation": true])
        try await house.passHour()
        try await house.call("UpdateTrail", ["Name": "trail", "S3BucketName": "other"])
        try await house.passHour()
        for _ in 0..<31 {
            house.time.advance(seconds: 86_400 - 3_600)
            try await house.passHour()
        }
        let chain = try house.chain()
        #expect(Set(chain.map(\.bucket)) == ["logs", "other"])
        #expect(Set(chain.map(\.fingerprint)).count == 2)
        try await house.checkLinks(chain)
    }
}

/// A digest as a validator reads it.
struct ReadDigest {
    let bucket: String
    let key: String
    let content: [UInt8]
    let signature: String
    let start: String
    let end: String
    let fingerprint: String
    let previousKey: String?
    let previousHash: String?
    let previousSignature: String?
    let files: [[String: String]]
}

extension TrailsHarness {
    func passHour() async throws {
        time.advance(seconds: 3_600)
        if time.now.seconds % 3_600 == 2_235 { time.advance(seconds: 1) }
        await delivery.turn()
        await digests.turn()
    }

    /// The digests of a region, in the order of their keys.
    func chain(region: String = "us-east-1") throws -> [ReadDigest] {
        try store.digests.filter { $0.key.contains("/CloudTrail-Digest/\(region)/") }.map { object in
            let content = try LogFile.content(of: object.body)
            let value = try JSONSerialization.jsonObject(with: Data(content))
            let document = try #require(value as? [String: Any])
            #expect(document["digestS3Object"] as? String == object.key)
            #expect(document["digestS3Bucket"] as? String == object.bucket)
            #expect(object.metadata.last == WireHeader("signature-algorithm", "SHA256withRSA"))
            return ReadDigest(
                bucket: object.bucket, key: object.key, content: content,
                signature: try #require(object.metadata.first { $0.name == "signature" }?.value),
                start: try #require(document["digestStartTime"] as? String),
                end: try #require(document["digestEndTime"] as? String),
                fingerprint: try #require(document["digestPublicKeyFingerprint"] as? String),
                previousKey: document["previousDigestS3Object"] as? String,
                previousHash: document["previousDigestHashValue"] as? String,
                previousSignature: document["previousDigestSignature"] as? String,
                files: try #require(document["logFiles"] as? [[String: String]]))
        }.sorted { $0.end < $1.end }
    }

    /// Checks one whole chain: every link, and every signature by the keys that ListPublicKeys gives.
    func checkLinks(_ chain: [ReadDigest]) async throws {
        #expect(chain.first?.previousSignature == nil)
        for (older, newer) in zip(chain, chain.dropFirst()) {
            #expect(newer.previousKey == older.key)
            #expect(newer.previousHash == Digest.hash(of: older.content))
            #expect(newer.previousSignature == older.signature)
            #expect(newer.start == older.end)
        }
        let start = try #require(chain.first?.start)
        let end = try #require(chain.last?.end)
        let answer = try await call(
            "ListPublicKeys", ["StartTime": .string(start), "EndTime": .string(end)])
        var keys: [String: DigestPublicKey] = [:]
        for entry in answer["PublicKeyList"]?.asList ?? [] {
            let members = try #require(entry.asStructure)
            let value = try #require(members["Value"]?.asString)
            let der = try #require(Base64.decode(value))
            let fingerprint = try #require(members["Fingerprint"]?.asString)
            keys[fingerprint] = try DigestPublicKey(der: der)
        }
        for digest in chain {
            let text =
                "\(digest.end)\n\(digest.bucket)/\(digest.key)\n\(Digest.hash(of: digest.content))\n"
                + (digest.previousSignature ?? "null")
            #expect(keys[digest.fingerprint]?.isValid(signature: digest.signature, for: text) == true)
        }
    }
}
