// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Testing

struct EventTallyTests {
    private func tally(_ paths: [String], every: Int64? = nil, _ records: [String]) throws -> EventTally {
        let paths = try paths.map { try FilterLanguage.path($0) }
        var tally = EventTally(.init(paths: paths, intervalSeconds: every))
        for record in records {
            let event = try Event(Array(record.utf8))
            event.record.withUnsafeBytes { tally.add(event.fields, in: $0) }
        }
        return tally
    }

    private static let records = [
        #"{"eventName":"A","eventTime":"2026-01-01T00:10:00Z","requestParameters":{"n":1,"l":["x","y"]}}"#,
        #"{"eventName":"A","eventTime":"2026-01-01T00:50:00Z","requestParameters":{"n":2}}"#,
        #"{"eventName":"B","eventTime":"2026-01-01T02:00:00Z","requestParameters":{"n":1,"o":{"p":1}}}"#,
        #"{"eventName":"A","eventTime":"1969-12-31T23:59:59Z","errorCode":"E"}"#,
    ]

    @Test func `events are counted by values, the largest group first, absent ones apart`() throws {
        let names = try tally(["eventName"], Self.records)
        #expect(names.total == 4)
        #expect(names.rows.map(\.values) == [["A"], ["B"]])
        #expect(names.rows.map(\.count) == [3, 1])
        let pairs = try tally(["requestParameters.n", "error"], Self.records)
        #expect(pairs.rows.map(\.values) == [["1", nil], [nil, "E"], ["2", nil]])
        #expect(try tally(["requestParameters.l"], Self.records).rows.map(\.values) == [[nil], ["x"]])
        #expect(try tally(["requestParameters.o"], Self.records).rows.last?.values == [#"{"p":1}"#])
        #expect(try tally([], Self.records).rows.map(\.count) == [4])
    }

    @Test func `intervals begin at their multiples, also before 1970`() throws {
        let hours = try tally([], every: 3600, Self.records)
        #expect(hours.rows.map(\.startSeconds) == [-3600, 1_767_225_600, 1_767_232_800])
        #expect(hours.rows.map(\.count) == [1, 2, 1])
    }

    @Test func `tallies that are merged count as one`() throws {
        var first = try tally(["eventName"], every: 3600, Array(Self.records[..<2]))
        first.merge(try tally(["eventName"], every: 3600, Array(Self.records[2...])))
        let whole = try tally(["eventName"], every: 3600, Self.records)
        #expect(first.rows == whole.rows)
        #expect(first.total == 4)
    }
}
