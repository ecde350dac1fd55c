// SPDX-License-Identifier: Apache-2.0

import AWSWire
import EventJournal
import EventRecord
import Foundation
import LogFiles
import Synchronization
import Testing
import Trails

struct DeliveryTests {
    @Test func `each event that a trail takes is delivered once, in the order of the journal`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        var ids: [String] = []
        for round in 0..<3 {
            for _ in 0...round { ids.append(try await house.journalEvent()) }
            await house.delivery.turn()
            await house.delivery.turn()
            #expect(house.store.logFiles.count == round + 1)
            house.time.advance(seconds: 40)
        }
        #expect(try house.deliveredIDs == ids)
    }

    @Test func `nothing is written when there is nothing to deliver, but the journal need not be kept`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        await house.delivery.turn()
        #expect(house.store.objects.isEmpty)
        try await house.journalEvent(account: "999999999999")
        await house.delivery.turn()
        #expect(house.store.objects.isEmpty)
        #expect(house.delivery.positionKept == house.journal.durableNumber)
    }

    @Test func `a file lies under its account, region and day, with the delivery minute and a growing tail`()
        async throws
    {
        let house = try TrailsHarness()
        try await house.makeTrail("trail", ["S3KeyPrefix": "a/b"])
        try await house.journalEvent()
        await house.delivery.turn()
        let key = try #require(house.store.logFiles.first?.key)
        let pattern =
            "^a/b/AWSLogs/111122223333/CloudTrail/us-east-1/2026/11/24/"
            + "111122223333_CloudTrail_us-east-1_20261124T2037Z_[0-9A-Za-z]{16}\\.json\\.gz$"
        #expect(key.range(of: pattern, options: .regularExpression) != nil)
    }

    @Test func `keys under one prefix only grow, also when the clock goes back`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        var keys: [String] = []
        for step: Int64 in [0, 50, -86_400, 0, 120, 30] {
            house.time.advance(seconds: step)
            try await house.journalEvent()
            await house.delivery.turn()
            let known = Set(keys)
            keys += house.store.logFiles.map(\.key).filter { !known.contains($0) }
        }
        #expect(keys.count == 6)
        #expect(keys == keys.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) })
    }

    @Test func `a trail takes its own region, and all regions when it is told to`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("one")
        let here = try await house.journalEvent()
        let there = try await house.journalEvent(region: "eu-west-1")
        await house.delivery.turn()
        #expect(try house.deliveredIDs == [here])
        house.store.clear()
        try await house.call("UpdateTrail", ["Name": "one", "IsMultiRegionTrail": true])
        await house.delivery.turn()
        house.store.clear()
        let later = try await house.journalEvent(region: "eu-west-1")
        await house.delivery.turn()
        #expect(try house.deliveredIDs == [later])
        #expect(house.store.logFiles.first?.key.contains("/CloudTrail/eu-west-1/") == true)
        #expect(later != there)
    }

    @Test func `global events go to us-east-1 unless they are left out`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("with")
        let first = try await house.journalEvent(source: "iam.amazonaws.com")
        await house.delivery.turn()
        #expect(try house.deliveredIDs == [first])
        try await house.call("UpdateTrail", ["Name": "with", "IncludeGlobalServiceEvents": false])
        await house.delivery.turn()
        house.store.clear()
        try await house.journalEvent(source: "iam.amazonaws.com")
        let other = try await house.journalEvent()
        await house.delivery.turn()
        #expect(try house.deliveredIDs == [other])
    }

    @Test func `imported events and intents are never delivered`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        try await house.journalEvent(kind: .importedEvent)
        try await house.journalEvent(kind: .intent)
        let id = try await house.journalEvent(kind: .closingEvent)
        await house.delivery.turn()
        #expect(try house.deliveredIDs == [id])
    }

    @Test func `a large range is split into files of bounded size`() async throws {
        var limits = Delivery.Limits.forTests
        limits.fileBytesMax = 2_000
        limits.planBytesMax = 5_000
        let house = try TrailsHarness(limits: limits)
        try await house.makeTrail()
        var ids: [String] = []
        for _ in 0..<40 { ids.append(try await house.journalEvent()) }
        await house.delivery.turn()
        #expect(house.store.logFiles.count > 4)
        for file in house.store.logFiles { #expect(try LogFile.content(of: file.body).count <= 2_100) }
        #expect(try house.deliveredIDs == ids)
    }

    @Test func `the calls that start, stop, blind and delete a trail are delivered by it`() async throws {
        let house = try TrailsHarness()
        try await house.call("CreateTrail", ["Name": "trail", "S3BucketName": "logs"])
        try await house.journalEvent(name: "Before")
        try await house.call("StartLogging", ["Name": "trail"])
        try await house.journalEvent(name: "During")
        try await house.call(
            "PutEventSelectors",
            [
                "TrailName": "trail",
                "EventSelectors": [.structure(["IncludeManagementEvents": false])],
            ])
        try await house.journalEvent(name: "Blind")
        try await house.call(
            "PutEventSelectors",
            ["TrailName": "trail", "EventSelectors": [.structure(["IncludeManagementEvents": true])]])
        try await house.call("StopLogging", ["Name": "trail"])
        try await house.journalEvent(name: "Stopped")
        try await house.call("StartLogging", ["Name": "trail"])
        try await house.call("DeleteTrail", ["Name": "trail"])
        try await house.journalEvent(name: "After")
        await house.delivery.turn()
        let names = try house.store.logFiles.flatMap { file -> [String] in
            let content = try LogFile.content(of: file.body)
            return try LogFile.records(in: content).records.map { try Event(content[$0]).eventName }
        }
        #expect(
            names == [
                "StartLogging", "During", "PutEventSelectors", "PutEventSelectors", "StopLogging", "StartLogging",
                "DeleteTrail",
            ])
    }

    @Test func `an event that was journaled between a stop and its own event is still delivered`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        try await house.call("StopLogging", ["Name": "trail"], isJournaled: false)
        let id = try await house.journalEvent()
        await house.delivery.turn()
        #expect(try house.deliveredIDs == [id])
    }

    @Test func `the status tells of deliveries in the asking region, of failures, and of their end`() async throws {
        let house = try TrailsHarness()
        try await house.call("CreateTrail", ["Name": "trail", "S3BucketName": "logs"])
        let fresh = try await house.call("GetTrailStatus", ["Name": "trail"])
        #expect(
            fresh == [
                "IsLogging": false, "LatestDeliveryAttemptTime": "", "LatestNotificationAttemptTime": "",
                "LatestNotificationAttemptSucceeded": "", "LatestDeliveryAttemptSucceeded": "",
                "TimeLoggingStarted": "", "TimeLoggingStopped": "",
            ])
        let begin = house.time.now
        try await house.call("StartLogging", ["Name": "trail"])
        house.time.advance(seconds: 60)
        house.store.state.withLock { $0.standing = BucketDouble.refusal }
        await house.delivery.turn()
        var status = try await house.call("GetTrailStatus", ["Name": "trail"])
        #expect(status["LatestDeliveryError"] == "AccessDenied")
        #expect(status["LatestDeliveryTime"] == nil)
        #expect(status["LatestDeliveryAttemptTime"] == .string(house.time.now.iso8601))
        #expect(status["LatestDeliveryAttemptSucceeded"] == "")
        #expect(status["StartLoggingTime"] == .timestamp(begin))
        #expect(status["TimeLoggingStarted"] == .string(begin.iso8601))
        house.store.state.withLock { $0.standing = nil }
        house.time.advance(seconds: 60)
        await house.delivery.turn()
        status = try await house.call("GetTrailStatus", ["Name": "trail"])
        #expect(status["LatestDeliveryError"] == nil)
        #expect(status["LatestDeliveryTime"] == .timestamp(house.time.now))
        #expect(status["LatestDeliveryAttemptSucceeded"] == .string(house.time.now.iso8601))
    }

    @Test func `the journal is kept for a trail that cannot deliver`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        let needed = house.journal.durableNumber
        try await house.journalEvent()
        house.store.state.withLock { $0.standing = BucketDouble.fault }
        await house.delivery.turn()
        #expect(house.delivery.positionKept == needed)
        #expect(house.journal.durableNumber > needed)
    }
}

struct DeliveryFaultTests {
    /// Every n-th put fails, in each of three ways; then a new process takes over and everything is there once.
    @Test(arguments: [0, 1, 2], [false, true])
    func `a failed put leaves nothing out and nothing twice`(kind: Int, isRestarted: Bool) async throws {
        for failing in 1...6 {
            var limits = Delivery.Limits.forTests
            limits.fileBytesMax = 1_500
            limits.planBytesMax = 4_000
            let house = try TrailsHarness(limits: limits)
            try await house.makeTrail("trail", ["IsMultiRegionTrail": true])
            var ids: [String] = []
            for index in 0..<24 {
                ids.append(try await house.journalEvent(region: index.isMultiple(of: 3) ? "eu-west-1" : "us-east-1"))
            }
            house.store.state.withLock { state in
                state.failure = (
                    put: state.puts + failing, error: kind == 0 ? BucketDouble.refusal : BucketDouble.fault,
                    isWritten: kind == 2
                )
            }
            await house.delivery.turn()
            house.time.advance(seconds: 61)
            let next = isRestarted ? try TrailsHarness(restarting: house, limits: limits) : house
            await next.delivery.turn()
            #expect(try next.deliveredIDs.sorted() == ids.sorted())
            #expect(next.store.state.withLock { $0.puts } > 0)
        }
    }

    @Test func `a refused file gets a new name in the bucket that the trail has by then`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        let id = try await house.journalEvent()
        house.store.state.withLock { _ = $0.buckets.remove("logs") }
        await house.delivery.turn()
        #expect(house.store.objects.isEmpty)
        try await house.call(
            "UpdateTrail", ["Name": "trail", "S3BucketName": "other", "S3KeyPrefix": "p"], isJournaled: false)
        await house.delivery.turn()
        #expect(try house.deliveredIDs == [id])
        let file = try #require(house.store.logFiles.first)
        #expect(file.bucket == "other")
        #expect(file.key.hasPrefix("p/AWSLogs/"))
    }

    @Test func `a file whose put may have succeeded is written again under the same key`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        try await house.journalEvent()
        house.store.state.withLock { $0.failure = (put: $0.puts + 1, error: BucketDouble.fault, isWritten: true) }
        await house.delivery.turn()
        let before = house.store.logFiles
        house.time.advance(seconds: 600)
        await house.delivery.turn()
        #expect(house.store.logFiles.map(\.key) == before.map(\.key))
        #expect(house.store.logFiles.map(\.body) == before.map(\.body))
        #expect(before.count == 1)
    }

    @Test func `one trail that cannot deliver does not hold up another`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("bad", ["S3BucketName": "other"])
        try await house.makeTrail("good")
        house.store.state.withLock { _ = $0.buckets.remove("other") }
        let id = try await house.journalEvent()
        await house.delivery.turn()
        #expect(try house.deliveredIDs.contains(id))
    }

    @Test func `the last events of a deleted trail whose bucket is gone are given up`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail("trail", ["EnableLogFileValidation": true])
        await house.digests.turn()
        house.store.state.withLock { _ = $0.buckets.remove("logs") }
        try await house.call("DeleteTrail", ["Name": "trail"])
        for _ in 0..<3 {
            house.time.advance(seconds: 600)
            await house.delivery.turn()
            await house.digests.turn()
        }
        #expect(house.delivery.positionKept == house.journal.durableNumber || house.delivery.positionKept == .max)
        await house.delivery.turn()
        #expect(house.delivery.positionKept == .max)
    }
}
