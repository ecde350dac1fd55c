// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Synchronization
import Testing
import Trails

@Suite(.timeLimit(.minutes(15))) struct DeliveryLoopTests {
    /// Sleeps until it is cancelled: the interval never ends by itself.
    private static let endless: @Sendable (Int64) async throws -> Void = { _ in
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        for await _ in stream {}
        _ = continuation
        try Task.checkCancellation()
    }

    /// Runs the loop while the body runs.
    private func whileRunning(
        _ house: TrailsHarness, _ body: (AsyncStream<String>) async throws -> Void
    ) async throws {
        let (puts, continuation) = AsyncStream<String>.makeStream()
        house.store.state.withLock { $0.watcher = { key in continuation.yield(key) } }
        let loop = Task { await house.delivery.run(interval: 1_000, sleep: Self.endless) }
        try await body(puts)
        loop.cancel()
        await loop.value
    }

    @Test func `a nudge brings a turn before the interval ends`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        try await whileRunning(house) { puts in
            for _ in 0..<3 {
                let id = try await house.journalEvent()
                house.delivery.nudge()
                for await _ in puts { break }
                await house.delivery.flush()
                #expect(try house.deliveredIDs.contains(id))
            }
        }
    }

    @Test func `many waiting events bring a turn before the interval ends`() async throws {
        var limits = Delivery.Limits.forTests
        limits.waitingEventsMax = 5
        let house = try TrailsHarness(limits: limits)
        try await house.makeTrail()
        try await whileRunning(house) { puts in
            for _ in 0..<20 { try await house.journalEvent() }
            var key: String?
            for await put in puts {
                key = put
                break
            }
            #expect(key != nil)
        }
    }

    @Test func `a cancelled loop ends`() async throws {
        let house = try TrailsHarness()
        try await whileRunning(house) { _ in }
    }
}

struct BackoffTests {
    @Test func `a trail that failed is left alone for a while, and a nudge ends that`() async throws {
        var limits = Delivery.Limits.forTests
        limits.retryFirst = 10_000
        limits.retryMost = 30_000
        let house = try TrailsHarness(limits: limits)
        try await house.makeTrail()
        try await house.journalEvent()
        house.store.state.withLock { $0.standing = BucketDouble.fault }
        func tries() async -> Int {
            let before = house.store.state.withLock(\.puts)
            await house.delivery.turn()
            return house.store.state.withLock(\.puts) - before
        }
        #expect(await tries() == 1)
        #expect(await tries() == 0)
        house.time.advance(seconds: 10)
        #expect(await tries() == 1)
        house.time.advance(seconds: 10)
        #expect(await tries() == 0, "the second wait is twice the first")
        house.time.advance(seconds: 10)
        #expect(await tries() == 1)
        for _ in 0..<5 {
            house.time.advance(seconds: 30)
            #expect(await tries() == 1, "no wait is longer than the bound")
        }
        house.delivery.nudge()
        #expect(await tries() == 1)
    }
}
