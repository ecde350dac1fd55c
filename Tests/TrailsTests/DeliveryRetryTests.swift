// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Synchronization
import Testing
import Trails

/// What a try leaves behind for the next one.
struct DeliveryRetryTests {
    @Test func `a file whose put may have succeeded keeps its name when the next try is refused`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        let id = try await house.journalEvent()
        house.store.state.withLock {
            $0.failure = (put: $0.puts + 1, error: BucketDouble.fault, isWritten: true)
        }
        await house.delivery.turn()
        #expect(house.store.logFiles.count == 1)
        house.time.advance(seconds: 1)
        house.store.state.withLock { $0.standing = BucketDouble.refusal }
        await house.delivery.turn()
        house.time.advance(seconds: 1)
        house.store.state.withLock { $0.standing = nil }
        await house.delivery.turn()
        #expect(house.store.logFiles.count == 1)
        #expect(try house.deliveredIDs == [id])
    }

    @Test func `such a file gets a new name when the trail has another bucket by then`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        let id = try await house.journalEvent()
        house.store.state.withLock {
            $0.failure = (put: $0.puts + 1, error: BucketDouble.fault, isWritten: false)
        }
        await house.delivery.turn()
        house.store.state.withLock { $0.buckets = ["other"] }
        try await house.call("UpdateTrail", ["Name": "trail", "S3BucketName": "other"])
        for _ in 0..<3 {
            house.time.advance(seconds: 1)
            await house.delivery.turn()
        }
        #expect(try house.deliveredIDs.contains(id))
        #expect(house.store.logFiles.allSatisfy { $0.bucket == "other" })
    }

    @Test func `a clock that is set back does not put off the next try`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        let id = try await house.journalEvent()
        house.store.state.withLock {
            $0.failure = (put: $0.puts + 1, error: BucketDouble.fault, isWritten: false)
        }
        await house.delivery.turn()
        #expect(house.store.logFiles.isEmpty)
        house.time.advance(seconds: -3600)
        await house.delivery.turn()
        #expect(try house.deliveredIDs == [id])
    }
}
