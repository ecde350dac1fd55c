// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventJournal
import EventRecord
import Foundation
import Testing

struct HistoryTests {
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func `searches give what a plain list gives, through seals, restarts and pages`(_ seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let bench = try Bench()
        var model: [ModelEvent] = []
        for step in 0..<40 {
            var entries: [(event: ModelEvent, kind: EventEnvelope.Kind)] = []
            var next = bench.journal.durableNumber
            for _ in 0..<Int.random(in: 0..<25, using: &random) {
                var event = ModelEvent(&random, serial: model.count)
                let kind: EventEnvelope.Kind =
                    [.event, .importedEvent, .closingEvent].randomElement(using: &random) ?? .event
                if Int.random(in: 0..<6, using: &random) == 0 {
                    entries.append((event, .intent))
                    next += 1
                }
                event.number = next
                next += 1
                entries.append((event, kind))
                model.append(event)
            }
            try await bench.append(entries)
            switch Int.random(in: 0..<8, using: &random) {
            case 0: try await bench.history.seal()
            case 1: try await bench.reopen()
            case 2: try await bench.history.catchUp()
            default: break
            }
            for _ in 0..<4 {
                let (query, isWanted) = Self.query(&random, model)
                let wanted = model.filter(isWanted).sorted {
                    $0.seconds != $1.seconds ? $0.seconds > $1.seconds : $0.number > $1.number
                }
                let found = try await bench.all(query)
                #expect(found.map(\.number) == wanted.map(\.number), "step \(step), \(query)")
                #expect(found.map { Array($0.event.record) } == wanted.map(\.record))
                #expect(found.allSatisfy { $0.ownerAccount == query.ownerAccount })
            }
        }
        #expect(bench.history.status.segments > 1)
        #expect(bench.history.status.malformedEntries == 0)
        let ids = model.map(\.id)
        let known = try await bench.history.known(eventIDs: ids + ["absent", "id-"], ownerAccount: nil)
        #expect(known == Set(ids))
    }

    private static func query(
        _ random: inout SeededRandom, _ model: [ModelEvent]
    ) -> (HistoryQuery, (ModelEvent) -> Bool) {
        let some = model.randomElement(using: &random) ?? ModelEvent(&random, serial: 0)
        var query = HistoryQuery(ownerAccount: some.owner, limit: Int.random(in: 1...20, using: &random))
        var tests: [(ModelEvent) -> Bool] = [{ $0.owner == some.owner }]
        switch Int.random(in: 0..<13, using: &random) {
        case 0:
            query.filter = .lookup(.init(.eventID, some.id))
            tests.append { $0.id == some.id }
        case 1:
            query.filter = .lookup(.init(.eventName, some.name))
            tests.append { $0.name == some.name }
        case 2:
            query.filter = .lookup(.init(.eventSource, some.source))
            tests.append { $0.source == some.source }
        case 3:
            query.filter = .lookup(.init(.username, some.user))
            tests.append { $0.user == some.user }
        case 4:
            query.filter = .lookup(.init(.resourceName, some.bucket))
            tests.append { $0.bucket == some.bucket }
        case 5:
            query.filter = .lookup(.init(.resourceName, "arn:aws:s3:::" + some.bucket))
            tests.append { $0.bucket == some.bucket }
        case 6:
            query.filter = .lookup(.init(.readOnly, some.isReadOnly ? "true" : "false"))
            tests.append { $0.isReadOnly == some.isReadOnly }
        case 7:
            query.filter = .lookup(.init(.resourceType, "AWS::S3::Bucket"))
        case 8:
            query.filter = .and([
                .lookup(.init(.eventName, some.name)), .compare(.identityUserName, .equals, some.user),
            ])
            tests.append { $0.name == some.name && $0.user == some.user }
        case 9:
            query.filter = .or([.lookup(.init(.eventName, some.name)), .lookup(.init(.eventName, "CreateTrail"))])
            tests.append { $0.name == some.name || $0.name == "CreateTrail" }
        case 10:
            query.filter = .or([.lookup(.init(.username, some.user)), .compare(.eventName, .prefix, "Rare")])
            tests.append { $0.user == some.user || $0.name.hasPrefix("Rare") }
        case 11:
            query.filter = .not(.lookup(.init(.eventName, some.name)))
            tests.append { $0.name != some.name }
        default: break
        }
        if Bool.random(using: &random) {
            query.region = some.region
            tests.append { $0.region == some.region }
        }
        if Bool.random(using: &random) {
            query.category = some.isData ? .data : .management
            tests.append { $0.isData == some.isData }
        }
        if Bool.random(using: &random) {
            let start = some.seconds - Int64.random(in: 0..<20, using: &random)
            query.startSeconds = start
            tests.append { $0.seconds >= start }
        }
        if Bool.random(using: &random) {
            let end = some.seconds + Int64.random(in: 0..<20, using: &random)
            query.endSeconds = end
            tests.append { $0.seconds <= end }
        }
        return (query, { event in tests.allSatisfy { $0(event) } })
    }

    @Test func `pages go on where they were, whatever arrives between them`() async throws {
        var random = SeededRandom(seed: 9)
        let bench = try Bench()
        let owner = "111122223333"
        let before = try await bench.append(0..<100, owner: owner, &random)
        var query = HistoryQuery(ownerAccount: owner, limit: 7)
        var seen: [HistoryEvent] = []
        var late = 1000
        while true {
            let page = try await bench.history.search(query)
            seen += page.events
            guard let token = page.nextToken else { break }
            query.token = token
            query.limit = Int.random(in: 1...9, using: &random)
            let event = ModelEvent(&random, serial: late)
            late += 1
            try await bench.append(event.record, owner: owner)
            if late % 3 == 0 { try await bench.history.seal() }
            if late % 5 == 0 { try await bench.reopen() }
        }
        let numbers = seen.map(\.number)
        #expect(Set(numbers).count == numbers.count)
        let places = seen.map { ($0.event.eventSeconds ?? 0, $0.number) }
        for (a, b) in zip(places, places.dropFirst()) { #expect(a > b) }
        let wanted = Set(before.map(\.number))
        #expect(wanted.isSubset(of: Set(numbers)))
    }

    @Test func `a token that is damaged, forged or of another query is refused`() async throws {
        var random = SeededRandom(seed: 3)
        let bench = try Bench()
        try await bench.append(0..<20, owner: "111122223333", &random)
        let query = HistoryQuery(ownerAccount: "111122223333", limit: 5)
        let token = try #require(try await bench.history.search(query).nextToken)
        var others: [HistoryQuery] = []
        for index in token.utf8.indices {
            var bytes = Array(token.utf8)
            let at = token.utf8.distance(from: token.utf8.startIndex, to: index)
            bytes[at] = bytes[at] == 0x41 ? 0x42 : 0x41
            var other = query
            other.token = String(decoding: bytes, as: UTF8.self)
            others.append(other)
        }
        for text in ["", "x", token + "A", String(token.dropLast()), String(repeating: "\u{e9}", count: 22)] {
            var other = query
            other.token = text
            others.append(other)
        }
        var changed = query
        changed.token = token
        changed.region = "us-east-1"
        others.append(changed)
        changed.region = nil
        changed.filter = .lookup(.init(.eventName, "GetObject"))
        others.append(changed)
        changed.filter = .all
        changed.ownerAccount = "444455556666"
        others.append(changed)
        for other in others {
            let error = await #expect(throws: HistoryError.self) { try await bench.history.search(other) }
            #expect(error?.code == .invalidToken)
        }
        changed.ownerAccount = query.ownerAccount
        changed.limit = 3
        #expect(try await bench.history.search(changed).events.count == 3)
    }

    @Test func `an intent is not shown, and the event that closes it is`() async throws {
        var random = SeededRandom(seed: 5)
        let bench = try Bench()
        let event = ModelEvent(&random, serial: 1)
        try await bench.append(event.record, owner: event.owner, kind: .intent)
        #expect(try await bench.all(HistoryQuery(ownerAccount: event.owner, limit: 10)).isEmpty)
        #expect(try await !bench.history.contains(eventID: event.id, ownerAccount: nil))
        try await bench.append(event.record, owner: event.owner, kind: .closingEvent)
        let found = try await bench.all(HistoryQuery(ownerAccount: event.owner, limit: 10))
        #expect(found.map(\.number) == [1] && found.map(\.kind) == [.closingEvent])
    }

    @Test func `an id is known only in the account that was asked for`() async throws {
        var random = SeededRandom(seed: 6)
        let bench = try Bench()
        let event = ModelEvent(&random, serial: 1)
        try await bench.append(event.record, owner: "111122223333")
        for _ in 0..<2 {
            #expect(try await bench.history.contains(eventID: event.id, ownerAccount: "111122223333"))
            #expect(try await !bench.history.contains(eventID: event.id, ownerAccount: "444455556666"))
            try await bench.history.seal()
        }
    }

    @Test func `a record that is no JSON is kept and shown as it is`() async throws {
        let bench = try Bench()
        let record = Array("{\"eventName\":\"A\",\"eventTime\":\"2023-07-10T12:00:05Z\",oops".utf8)
        try await bench.append(record, owner: "111122223333")
        for _ in 0..<2 {
            let found = try await bench.all(HistoryQuery(ownerAccount: "111122223333", limit: 10))
            #expect(found.map { Array($0.event.record) } == [record])
            try await bench.history.seal()
        }
        #expect(bench.history.status.malformedEntries == 1)
    }

    @Test func `segments are sealed by themselves and what is sealed is not asked of the journal again`() async throws {
        var random = SeededRandom(seed: 8)
        let bench = try Bench()
        try await bench.append(0..<200, owner: "111122223333", &random)
        try await bench.history.catchUp()
        await bench.history.close()
        let status = bench.history.status
        #expect(status.sealedThrough >= 128 && status.next == 200)
        #expect(status.sealedEvents == status.sealedThrough)
        try await bench.reopen()
        #expect(bench.history.status.next == status.sealedThrough)
        #expect(try await bench.all(HistoryQuery(ownerAccount: "111122223333", limit: 50)).count == 200)
    }

    @Test func `the follower's batches and a search's catching up index each entry once`() async throws {
        var random = SeededRandom(seed: 10)
        let bench = try Bench()
        try await bench.append(0..<30, owner: "111122223333", &random)
        let batch = try bench.journal.read(from: 0, bytesMax: 1)
        try await bench.history.catchUp()
        try await bench.history.follow(batch)
        #expect(try await bench.history.resume() == 30)
        #expect(try await bench.all(HistoryQuery(ownerAccount: "111122223333", limit: 7)).count == 30)
    }
}
