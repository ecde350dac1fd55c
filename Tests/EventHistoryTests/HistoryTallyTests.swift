// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventRecord
import Foundation
import Testing

struct HistoryTallyTests {
    private static let owner = "111122223333"

    /// A bench with sealed segments, open chunks and a rest, and the events in it.
    private func filled(_ seed: UInt64, mixed: Bool) async throws -> (Bench, [ModelEvent]) {
        let bench = try Bench()
        var random = SeededRandom(seed: seed)
        var events: [ModelEvent] = []
        for part in 0..<7 {
            let owner = mixed && part % 2 == 1 ? "444455556666" : Self.owner
            events += try await bench.append(part * 50..<part * 50 + 50, owner: owner, &random)
            if part == 4 { try await bench.history.seal() }
        }
        return (bench, events)
    }

    private func model(
        _ events: [ModelEvent], _ takes: (ModelEvent) -> Bool, _ key: (ModelEvent) -> String
    ) -> [String: UInt64] {
        Dictionary(events.filter { $0.owner == Self.owner && takes($0) }.map { (key($0), 1) }, uniquingKeysWith: +)
    }

    private func counted(
        _ bench: Bench, _ filter: String, by paths: [String], every: Int64? = nil, start: Int64? = nil
    ) async throws -> [String: UInt64] {
        let query = HistoryQuery(
            ownerAccount: Self.owner, filter: try FilterLanguage.parse(filter, now: 0), startSeconds: start, limit: 1)
        let tally = try await bench.history.tally(
            query, .init(paths: try paths.map { try FilterLanguage.path($0) }, intervalSeconds: every))
        #expect(tally.total == tally.rows.reduce(0) { $0 + $1.count })
        return Dictionary(
            uniqueKeysWithValues: tally.rows.map { row in
                (
                    ((row.startSeconds.map { ["\($0)"] } ?? []) + row.values.map { $0 ?? "-" }).joined(separator: "|"),
                    row.count
                )
            })
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `counts are those of the events, by columns and by records`(_ seed: UInt64) async throws {
        for mixed in [false, true] {
            let (bench, events) = try await filled(seed, mixed: mixed)
            // What the columns know.
            #expect(try await counted(bench, "", by: ["eventName"]) == model(events, { _ in true }, \.name))
            #expect(try await counted(bench, "", by: ["user"]) == model(events, { _ in true }, \.user))
            #expect(try await counted(bench, "", by: ["region"]) == model(events, { _ in true }, \.region))
            #expect(
                try await counted(bench, "", by: []).values.reduce(0, +)
                    == events.filter { $0.owner == Self.owner }.count)
            let start: Int64 = 1_700_000_020
            #expect(
                try await counted(bench, "", by: [], every: 60, start: start)
                    == model(events, { $0.seconds >= start }, { "\($0.seconds - $0.seconds % 60)" }))
            #expect(
                try await counted(bench, "time >= \(start)", by: [], every: 7)
                    == model(events, { $0.seconds >= start }, { "\($0.seconds - $0.seconds % 7)" }))
            // What only the records know.
            #expect(
                try await counted(bench, "", by: ["requestParameters.bucketName", "readOnly"])
                    == model(events, { _ in true }, { "\($0.bucket)|\($0.isReadOnly)" }))
            #expect(
                try await counted(bench, "user = anna or user = ben", by: ["eventName"], every: 3600)
                    == model(
                        events, { $0.user == "anna" || $0.user == "ben" },
                        { "\($0.seconds - $0.seconds % 3600)|\($0.name)" }))
            #expect(
                try await counted(bench, "requestParameters.bucketName ~ *-3 category = Data", by: ["source"])
                    == model(events, { $0.bucket == "bucket-3" && $0.isData }, \.source))
            #expect(
                try await counted(bench, "\"bucket-4\"", by: ["name"], start: start)
                    == model(events, { $0.bucket == "bucket-4" && $0.seconds >= start }, \.name))
            await bench.history.close()
        }
    }

    @Test func `oldest first is newest first backwards, on pages of any size`() async throws {
        let (bench, events) = try await filled(9, mixed: true)
        for filter in ["", "user = anna", "region = us-east-1 name = GetObject", "time >= 1700000010"] {
            var query = HistoryQuery(
                ownerAccount: Self.owner, filter: try FilterLanguage.parse(filter, now: 0), limit: 7)
            let newest = try await bench.all(query).map(\.number)
            query.order = .oldestFirst
            #expect(try await bench.all(query).map(\.number) == newest.reversed())
            query.limit = 1000
            #expect(try await bench.all(query).map(\.number) == newest.reversed())
            #expect(!newest.isEmpty)
        }
        #expect(events.count == 350)
    }

    @Test func `a page token is bound to its order`() async throws {
        let (bench, _) = try await filled(10, mixed: false)
        var query = HistoryQuery(ownerAccount: Self.owner, limit: 5)
        query.token = try await bench.history.search(query).nextToken
        #expect(query.token != nil)
        query.order = .oldestFirst
        await #expect(throws: HistoryError.self) { try await bench.history.search(query) }
    }

    @Test func `new arrivals and seals do not disturb pages of the oldest first`() async throws {
        let (bench, _) = try await filled(11, mixed: false)
        var query = HistoryQuery(ownerAccount: Self.owner, order: .oldestFirst, limit: 40)
        var seen: [UInt64] = []
        var random = SeededRandom(seed: 12)
        var serial = 1000
        while true {
            let page = try await bench.history.search(query)
            seen += page.events.map(\.number)
            guard let token = page.nextToken, seen.count < 300 else { break }
            query.token = token
            try await bench.append(serial..<serial + 5, owner: Self.owner, &random)
            serial += 5
            try await bench.history.seal()
        }
        #expect(Set(seen).count == seen.count)
    }

    @Test func `a damaged block makes the count fail, with its file`() async throws {
        let (bench, _) = try await filled(13, mixed: false)
        let path = try #require(try bench.folder.segments().first)
        var bytes = try #require(FileManager.default.contents(atPath: path))
        bytes[100] ^= 0xFF
        try bytes.write(to: URL(fileURLWithPath: path))
        let error = await #expect(throws: HistoryError.self) {
            _ = try await counted(bench, "\"bucket\"", by: ["name"])
        }
        #expect(error?.code == .damaged)
        #expect(error?.path == path)
    }
}
