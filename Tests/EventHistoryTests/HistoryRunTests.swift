// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventJournal
import EventRecord
import Foundation
import Synchronization
import Testing

struct HistoryRunTests {
    @Test func `running indexes what arrives and ends when it is cancelled`() async throws {
        var random = SeededRandom(seed: 21)
        let bench = try Bench()
        let history = bench.history
        let (turns, turn) = AsyncStream.makeStream(of: Void.self)
        let task = Task {
            try await history.run(pause: { turn.yield() }, report: { Issue.record("\($0)") })
        }
        try await bench.append(0..<30, owner: "111122223333", &random)
        // The first pause comes when entries are there; a second append then makes a second turn.
        var waiting = turns.makeAsyncIterator()
        await waiting.next()
        try await bench.append(30..<60, owner: "111122223333", &random)
        while history.status.next < 60 {
            await Task.yield()
        }
        task.cancel()
        _ = await task.result
        #expect(history.status.openEvents + Int(history.status.sealedEvents) == 60)
    }

    @Test func `running goes on after an error, which is reported`() async throws {
        var random = SeededRandom(seed: 22)
        var limits = HistoryLimits.small
        limits.sealRetryAfter = 0
        let isBroken = Mutex(true)
        let device = HistoryDevice(
            write: { isBroken.withLock { $0 } ? (-1, 28) : HistoryDevice.posix.write($0, $1) },
            sync: HistoryDevice.posix.sync, remove: HistoryDevice.posix.remove)
        let bench = try Bench(limits: limits, device: device)
        for start in stride(from: 0, to: 600, by: 40) {
            try await bench.append(start..<start + 40, owner: "111122223333", &random)
        }
        let history = bench.history
        let reports = Mutex(0)
        let task = Task {
            try await history.run(
                pause: {},
                report: { error in
                    #expect(error.code == .behind)
                    reports.withLock { $0 += 1 }
                    isBroken.withLock { $0 = false }
                })
        }
        while history.status.next < 600 { await Task.yield() }
        task.cancel()
        _ = await task.result
        #expect(reports.withLock { $0 } >= 1)
    }

    @Test func `old events are sealed though they are few`() async throws {
        var random = SeededRandom(seed: 23)
        let folder = try ScratchFolder()
        let journal = try openJournal(folder.path + "/journal")
        let now = Mutex<Int64>(1000)
        var limits = HistoryLimits.small
        limits.segmentAgeMax = 500
        let history = try History.open(
            directory: folder.history, journal: journal, limits: limits, device: .posix, clock: { now.withLock { $0 } })
        func add(_ serial: Int) async throws {
            let event = ModelEvent(&random, serial: serial)
            _ = try await journal.append(
                EventEnvelope(kind: .event, ownerAccount: "111122223333", record: event.record).encoded())
            try await history.catchUp()
        }
        try await add(0)
        now.withLock { $0 = 1499 }
        try await add(1)
        #expect(try folder.segments().isEmpty)
        now.withLock { $0 = 1500 }
        try await add(2)
        await history.close()
        #expect(history.status.sealedThrough == 3)
        #expect(try folder.segments().count == 1)
    }

    @Test func `a closed history refuses`() async throws {
        let bench = try Bench()
        await bench.history.close()
        let error = await #expect(throws: HistoryError.self) {
            try await bench.history.search(HistoryQuery(ownerAccount: "111122223333", limit: 1))
        }
        #expect(error?.code == .closed)
    }

    @Test(.enabled(if: RealHistoryRecords.folder != nil, RealHistoryRecords.absent))
    func `every real record is found by each of its attributes, once`() async throws {
        let bench = try Bench(limits: HistoryLimits())
        let records = try RealHistoryRecords.all()
        let owner = "111122223333"
        for start in stride(from: 0, to: records.count, by: 200) {
            let part = records[start..<min(start + 200, records.count)]
            _ = try await bench.journal.append(
                part.map { EventEnvelope(kind: .importedEvent, ownerAccount: owner, record: $0).encoded() })
        }
        try await bench.history.seal()
        let events = try records.map { try Event($0) }
        for (attribute, value) in [
            ("EventName", "StopLogging"), ("EventName", "Decrypt"), ("EventSource", "s3.amazonaws.com"),
            ("ReadOnly", "false"),
        ] {
            let key = try #require(LookupAttribute.Key(rawValue: attribute))
            let wanted = events.filter { event in
                switch key {
                case .eventName: event.eventName == value
                case .eventSource: event.eventSource == value
                default: event.readOnly == false
                }
            }
            let found = try await bench.all(
                HistoryQuery(ownerAccount: owner, filter: LookupAttribute(key, value).filter, limit: 50))
            #expect(found.count == wanted.count && !found.isEmpty)
            #expect(Set(found.map { Array($0.event.record) }) == Set(wanted.map { Array($0.record) }))
        }
        let ids = Set(events.map(\.eventID))
        #expect(try await bench.history.known(eventIDs: Array(ids) + ["absent"], ownerAccount: owner) == ids)
    }
}
