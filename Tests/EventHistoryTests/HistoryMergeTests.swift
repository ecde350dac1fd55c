// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventJournal
import EventRecord
import Foundation
import Synchronization
import Testing

struct HistoryMergeTests {
    private static let owner = "111122223333"
    private static let filters = [
        "", "user = anna", "name = GetObject region = us-east-1", "resource = bucket-3", "id = id-17", "key = AKIA4",
        "category = Data", "not user = ben", "time >= 1700000010", "requestParameters.padding = p",
        "resourceType = AWS::S3::Bucket", "readOnly = true or name = CreateTrail",
    ]

    /// Everything that can be asked, in words.
    private func answers(_ bench: Bench) async throws -> [String] {
        var answers: [String] = []
        for text in Self.filters {
            for order in [HistoryQuery.Order.newestFirst, .oldestFirst] {
                let query = HistoryQuery(
                    ownerAccount: Self.owner, filter: try FilterLanguage.parse(text, now: 0), order: order, limit: 9)
                let found = try await bench.all(query)
                answers.append("\(text) \(order): \(found.map(\.number))")
                answers.append(found.map { String(decoding: $0.event.record, as: UTF8.self) }.joined())
            }
            for (paths, every) in [
                (["name"], nil), (["user", "region"], 60), ([], 3600), (["requestParameters.bucketName"], nil),
            ]
                as [([String], Int64?)]
            {
                let tally = try await bench.history.tally(
                    HistoryQuery(ownerAccount: Self.owner, filter: try FilterLanguage.parse(text, now: 0), limit: 1),
                    .init(paths: try paths.map { try FilterLanguage.path($0) }, intervalSeconds: every))
                answers.append("\(text) \(paths): \(tally.total) \(tally.rows)")
            }
        }
        return answers
    }

    private func filled(_ seed: UInt64, device: HistoryDevice = .posix) async throws -> Bench {
        var limits = HistoryLimits.small
        // Merged only when a test says so.
        limits.mergeSegmentsMin = 1000
        let bench = try Bench(limits: limits, device: device)
        var random = SeededRandom(seed: seed)
        for part in 0..<9 {
            try await bench.append(
                part * 40..<part * 40 + 40, owner: part % 3 == 1 ? "444455556666" : Self.owner, &random)
            try await bench.history.seal()
        }
        return bench
    }

    @Test(arguments: [1, 2] as [UInt64])
    func `a merge changes no answer, and leaves one file in place of several`(_ seed: UInt64) async throws {
        let bench = try await filled(seed)
        let before = try await answers(bench)
        #expect(try bench.folder.segments().count == 9)
        bench.limits.mergeSegmentsMin = 4
        try await bench.reopen()
        try await bench.history.maintain()
        #expect(bench.history.status.segments == 1)
        #expect(try bench.folder.segments().count == 1)
        #expect(try await answers(bench) == before)
        try await bench.reopen()
        try await bench.history.verify()
        #expect(try await answers(bench) == before)
    }

    @Test func `page tokens go on where they were though segments are merged between`() async throws {
        let bench = try await filled(3)
        var query = HistoryQuery(ownerAccount: Self.owner, limit: 11)
        let whole = try await bench.all(query).map(\.number)
        bench.limits.mergeSegmentsMin = 4
        var seen: [UInt64] = []
        while true {
            let page = try await bench.history.search(query)
            seen += page.events.map(\.number)
            guard let token = page.nextToken else { break }
            query.token = token
            if seen.count == 33 {
                try await bench.reopen()
                try await bench.history.maintain()
                #expect(bench.history.status.segments == 1)
            }
        }
        #expect(seen == whole)
    }

    @Test func `segments are merged over the gaps that dropped ones left`() async throws {
        let (kept, dropped) = (Self.owner, "444455556666")
        var limits = HistoryLimits.small
        limits.mergeSegmentsMin = 1000
        let bench = try Bench(limits: limits)
        var random = SeededRandom(seed: 8)
        var wanted: [UInt64] = []
        for part in 0..<11 {
            let events = try await bench.append(
                part * 20..<part * 20 + 20, owner: part % 2 == 0 ? kept : dropped, &random)
            if part % 2 == 0 { wanted += events.map(\.number) }
            try await bench.history.seal()
        }
        bench.limits.retention = try HistoryRetention(text: "\(dropped)=1")
        bench.now = 20_000_000_000_000
        try await bench.reopen()
        try await bench.history.maintain()
        #expect(bench.history.status.segments == 6)
        let before = try await answers(bench)
        bench.limits.mergeSegmentsMin = 4
        try await bench.reopen()
        try await bench.history.maintain()
        #expect(bench.history.status.segments == 1)
        #expect(try bench.folder.segments().count == 1)
        for _ in 0..<2 {
            #expect(try await answers(bench) == before)
            let found = try await bench.all(HistoryQuery(ownerAccount: kept, limit: 50)).map(\.number)
            #expect(found.sorted() == wanted)
            try await bench.reopen()
            try await bench.history.verify()
        }
        #expect(bench.history.status.sealedThrough == 220)
    }

    @Test func `merges go on by themselves as segments are sealed, and each level is larger`() async throws {
        let bench = try Bench()
        var random = SeededRandom(seed: 5)
        for part in 0..<40 {
            try await bench.append(part * 10..<part * 10 + 10, owner: Self.owner, &random)
            try await bench.history.seal()
            try await bench.history.maintain()
        }
        #expect(bench.history.status.segments < 12)
        #expect(bench.history.status.sealedEvents == 400)
        #expect(try await bench.all(HistoryQuery(ownerAccount: Self.owner, limit: 70)).count == 400)
    }

    @Test func `a search that began before a merge ends on the files it began with`() async throws {
        let bench = try await filled(6)
        let query = HistoryQuery(ownerAccount: Self.owner, limit: 500)
        let history = bench.history
        async let found = history.search(query)
        try await history.maintain()
        #expect(try await found.events.count == 240)
    }
}

struct HistoryKillTests {
    private static let owner = "111122223333"

    /// A device that stops at its n-th call: that call and all that follow do nothing, as when the process is killed. A write in
    /// the moment of the kill may be torn.
    private final class Killer: Sendable {
        private struct State {
            var left = Int.max
            var calls = 0
        }
        private let state = Mutex(State())

        var calls: Int { state.withLock { $0.calls } }
        func kill(at call: Int) { state.withLock { $0 = State(left: call, calls: 0) } }

        private func isDead() -> (dead: Bool, last: Bool) {
            state.withLock { state in
                state.calls += 1
                state.left -= 1
                return (state.left <= 0, state.left == 0)
            }
        }

        var device: HistoryDevice {
            HistoryDevice(
                write: { descriptor, bytes in
                    let (dead, last) = self.isDead()
                    if last {
                        _ = HistoryDevice.posix.write(
                            descriptor, UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)]))
                    }
                    return dead ? (-1, 5) : HistoryDevice.posix.write(descriptor, bytes)
                },
                sync: { self.isDead().dead ? 5 : HistoryDevice.posix.sync($0) },
                remove: { self.isDead().dead ? 5 : HistoryDevice.posix.remove($0) })
        }
    }

    @Test func `killed between any two steps of seal and merge, every event is there once at the next start`()
        async throws
    {
        var call = 1
        var random = SeededRandom(seed: 31)
        while true {
            let killer = Killer()
            var limits = HistoryLimits.small
            limits.mergeSegmentsMin = 4
            let bench = try Bench(limits: limits, device: killer.device)
            for part in 0..<3 {
                try await bench.append(part * 20..<part * 20 + 20, owner: Self.owner, &random)
                try await bench.history.seal()
            }
            try await bench.append(60..<80, owner: Self.owner, &random)
            killer.kill(at: call)
            try? await bench.history.seal()
            try? await bench.history.maintain()
            let calls = killer.calls
            // What the killed process still holds in memory goes with it.
            await bench.history.close()
            killer.kill(at: .max)
            try await bench.reopen()
            let found = try await bench.all(HistoryQuery(ownerAccount: Self.owner, limit: 100)).map(\.number)
            #expect(found.sorted() == Array(0..<80), "killed at call \(call)")
            try await bench.history.verify()
            // And the work can be done from there.
            try await bench.history.seal()
            try await bench.history.maintain()
            #expect(bench.history.status.segments == 1, "killed at call \(call)")
            #expect(bench.history.status.sealedEvents == 80)
            let names = try FileManager.default.contentsOfDirectory(atPath: bench.folder.history)
            #expect(names.count == 2, "\(names)")
            if call > calls { break }
            call += 1
        }
        #expect(call > 15)
    }

    @Test func `killed between any two steps of a drop, what is kept is there once`() async throws {
        var call = 1
        var random = SeededRandom(seed: 32)
        while true {
            let killer = Killer()
            let bench = try Bench(device: killer.device)
            var wanted: [UInt64] = []
            for part in 0..<3 {
                let events = try await bench.append(part * 20..<part * 20 + 20, owner: Self.owner, &random)
                wanted += events.filter { !$0.isData }.map(\.number)
                try await bench.history.seal()
            }
            bench.limits.retention = HistoryRetention([.init(category: .data, days: 1)])
            bench.now = 20_000_000_000_000
            await bench.history.close()
            try await bench.reopen()
            killer.kill(at: call)
            try? await bench.history.maintain()
            let calls = killer.calls
            await bench.history.close()
            killer.kill(at: .max)
            try await bench.reopen()
            for _ in 0..<2 {
                let found = try await bench.all(HistoryQuery(ownerAccount: Self.owner, limit: 100)).map(\.number)
                #expect(found.sorted() == wanted, "killed at call \(call)")
                try await bench.history.maintain()
            }
            // Less than a quarter of each segment may wait to be written anew.
            #expect(bench.history.status.sealedEvents < UInt64(wanted.count + 15))
            if call > calls { break }
            call += 1
        }
        #expect(call > 8)
    }
}

struct HistoryRetentionTests {
    private static let day: Int64 = 86400

    @Test func `what says most decides, and days are counted back from now`() throws {
        let retention = try HistoryRetention(text: "90, Data=30, 111122223333=365, 111122223333/Data=7")
        #expect(
            retention.rules == [
                .init(days: 90), .init(category: .data, days: 30), .init(ownerAccount: "111122223333", days: 365),
                .init(ownerAccount: "111122223333", category: .data, days: 7),
            ])
        for text in ["x", "Data", "Data=", "Data=0", "Data=1=2", "Other=5", "11112222333=5", "Data=-1", "a/b=3"] {
            #expect(throws: HistoryRetentionError.self, "\(text)") { try HistoryRetention(text: text) }
        }
    }

    @Test func `expired events are not shown, not counted, and in the end not on the disk`() async throws {
        let bench = try Bench()
        var random = SeededRandom(seed: 41)
        let (one, other) = ("111122223333", "444455556666")
        var events: [ModelEvent] = []
        for part in 0..<6 {
            events += try await bench.append(part * 30..<part * 30 + 30, owner: part % 2 == 0 ? one : other, &random)
            if part < 4 { try await bench.history.seal() }
        }
        // Times of the model lie around 1,700,000,000: in ten days, management events of one account alone are left.
        let now = 1_700_000_000 + 10 * Self.day
        bench.now = now * 1000
        bench.limits.retention = try HistoryRetention(text: "\(one)=5,\(one)/Data=2000,\(other)/Data=9")
        try await bench.reopen()
        func isKept(_ event: ModelEvent) -> Bool {
            let days: Int64? = event.owner == one ? (event.isData ? 2000 : 5) : (event.isData ? 9 : nil)
            return days.map { event.seconds >= now - $0 * Self.day } ?? true
        }
        for round in 0..<3 {
            for owner in [one, other] {
                let wanted = events.filter { $0.owner == owner && isKept($0) }
                let found = try await bench.all(HistoryQuery(ownerAccount: owner, limit: 25))
                #expect(found.map(\.number).sorted() == wanted.map(\.number), "round \(round)")
                let tally = try await bench.history.tally(
                    HistoryQuery(ownerAccount: owner, limit: 1), .init(paths: [EventPath(["eventName"])]))
                #expect(tally.total == UInt64(wanted.count))
            }
            if round == 0 {
                try await bench.history.seal()
                try await bench.history.maintain()
                // At most a quarter of a segment may still wait to be written anew.
                #expect(bench.history.status.sealedEvents < UInt64(events.count))
            } else {
                try await bench.reopen()
                try await bench.history.verify()
            }
        }
    }

    @Test func `when all is expired no segment is left, and numbers go on`() async throws {
        let bench = try Bench()
        var random = SeededRandom(seed: 42)
        try await bench.append(0..<100, owner: "111122223333", &random)
        try await bench.history.seal()
        bench.limits.retention = HistoryRetention([.init(days: 1)])
        bench.now = 20_000_000_000_000
        try await bench.reopen()
        try await bench.history.maintain()
        #expect(try bench.folder.segments().isEmpty)
        #expect(bench.history.status.sealedThrough == 100)
        try await bench.append(100..<120, owner: "111122223333", &random)
        try await bench.history.seal()
        try await bench.history.maintain()
        try await bench.reopen()
        #expect(bench.history.status.sealedThrough == 120)
        #expect(try bench.folder.segments().isEmpty)
    }
}
