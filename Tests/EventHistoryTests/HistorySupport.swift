// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventJournal
import EventRecord
import Foundation

/// A folder for one test, gone afterwards.
final class ScratchFolder: Sendable {
    let path: String

    init() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cairn-history-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        path = folder.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var history: String { path + "/history" }

    /// The segments' paths, oldest first.
    func segments() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: history).filter { $0.hasSuffix(".segment") }.sorted()
            .map { history + "/" + $0 }
    }
}

extension HistoryLimits {
    /// So small that a few dozen events fill chunks, blocks and segments.
    static var small: HistoryLimits {
        var limits = HistoryLimits()
        limits.segmentEventsMax = 64
        limits.mergeSegmentsMin = 4
        limits.mergedEventsMax = 1024
        limits.cacheBytes = 1 << 16
        limits.journalReadBytes = 4096
        return limits
    }
}

/// What a test knows of an event without asking the code under test.
struct ModelEvent {
    var number: UInt64
    var owner: String
    var id: String
    var name: String
    var source: String
    var user: String
    var region: String
    var bucket: String
    var seconds: Int64
    var isReadOnly: Bool
    var isData: Bool
    var record: [UInt8]

    init(_ random: inout SeededRandom, serial: Int) {
        number = 0
        owner = ["111122223333", "444455556666"].randomElement(using: &random) ?? ""
        id = "id-\(serial)"
        name =
            ["GetObject", "PutObject", "CreateTrail", "ListBuckets", "Rare\(serial % 50)"].randomElement(using: &random)
            ?? ""
        source = ["s3.amazonaws.com", "cloudtrail.amazonaws.com"].randomElement(using: &random) ?? ""
        user = ["anna", "ben", "r\u{00e9}n\u{00e9}e \"q\"", "user\(serial % 30)"].randomElement(using: &random) ?? ""
        region = Bool.random(using: &random) ? "us-east-1" : "eu-west-1"
        bucket = "bucket-\(Int.random(in: 0..<10, using: &random))"
        // Mostly in order with many equal seconds, now and then years back or ahead.
        seconds = 1_700_000_000 + Int64(serial / 5)
        if Int.random(in: 0..<10, using: &random) == 0 { seconds -= Int64.random(in: 0..<300_000_000, using: &random) }
        if Int.random(in: 0..<40, using: &random) == 0 { seconds += 9_000_000_000 }
        isReadOnly = Bool.random(using: &random)
        isData = Int.random(in: 0..<3, using: &random) == 0
        let quoted = user.replacingOccurrences(of: "\"", with: "\\\"")
        let padding = String(repeating: "p", count: Int.random(in: 0..<400, using: &random))
        record = Array(
            """
            {"eventVersion":"1.11","userIdentity":{"type":"IAMUser","userName":"\(quoted)","accessKeyId":"AKIA\(user.count)"},\
            "eventTime":"\(EventTime.text(seconds))","eventSource":"\(source)","eventName":"\(name)","awsRegion":"\(region)",\
            "requestParameters":{"bucketName":"\(bucket)","padding":"\(padding)"},"eventID":"\(id)","readOnly":\(isReadOnly),\
            "resources":[{"type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::\(bucket)"}],"managementEvent":\(!isData),\
            "eventCategory":"\(isData ? "Data" : "Management")"}
            """.utf8)
    }
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators"): the same numbers for a seed everywhere.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// A journal and a history in a folder, opened again at will.
final class Bench {
    let folder: ScratchFolder
    /// Taken at the next opening.
    var limits: HistoryLimits
    /// Milliseconds of the clock, from the next opening on.
    var now: Int64 = 0
    private(set) var journal: Journal
    private(set) var history: History
    let device: HistoryDevice

    init(limits: HistoryLimits = .small, device: HistoryDevice = .posix) throws {
        folder = try ScratchFolder()
        self.limits = limits
        self.device = device
        journal = try openJournal(folder.path + "/journal")
        history = try History.open(
            directory: folder.history, journal: journal, limits: limits, device: device, clock: { 0 })
    }

    func reopen() async throws {
        await history.close()
        let now = now
        history = try History.open(
            directory: folder.history, journal: journal, limits: limits, device: device, clock: { now })
    }

    @discardableResult
    func append(_ record: [UInt8], owner: String, kind: EventEnvelope.Kind = .event) async throws -> UInt64 {
        try await journal.append(EventEnvelope(kind: kind, ownerAccount: owner, record: record).encoded())
    }

    /// Appends events in one batch; returns their numbers.
    @discardableResult
    func append(_ events: [(event: ModelEvent, kind: EventEnvelope.Kind)]) async throws -> Range<UInt64> {
        try await journal.append(
            events.map { EventEnvelope(kind: $0.kind, ownerAccount: $0.event.owner, record: $0.event.record).encoded() }
        )
    }

    /// Appends so many made-up events of one owner in one batch.
    @discardableResult
    func append(
        _ serials: Range<Int>, owner: String, _ random: inout SeededRandom
    ) async throws -> [ModelEvent] {
        var events = serials.map { serial in
            var event = ModelEvent(&random, serial: serial)
            event.owner = owner
            return event
        }
        let numbers = try await append(events.map { ($0, .event) })
        for (index, number) in numbers.enumerated() { events[index].number = number }
        return events
    }

    /// All pages of a query.
    func all(_ query: HistoryQuery) async throws -> [HistoryEvent] {
        var query = query
        var events: [HistoryEvent] = []
        while true {
            let page = try await history.search(query)
            events += page.events
            guard let token = page.nextToken else { return events }
            query.token = token
        }
    }
}
