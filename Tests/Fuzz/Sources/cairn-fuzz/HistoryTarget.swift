// SPDX-License-Identifier: Apache-2.0

import EventJournal
import EventRecord
import Glibc

@testable import EventHistory

extension FuzzTarget {
    /// A history segment that somebody forged: the input says, six bytes each time, what is changed in the parts of a good one; all
    /// checksums are then made right, so that the code behind them is reached. It is opened, searched, counted, asked for ids,
    /// merged and rewritten: that may fail, and must not crash or go on without end.
    static let history = FuzzTarget(name: "history") { input in
        guard let base = ForgedSegment.base, let path = base.forged(by: input) else { return }
        guard let segment = try? HistorySegment(path, key: 7) else { return }
        let cache = HistoryCache(bytesMax: 1 << 20)
        let snapshot = HistorySnapshot(
            segments: [segment], groups: [], next: segment.next, sealedThrough: segment.next)
        let cancellation = HistoryCancellation()
        let cutoffs = HistoryRetention([.init(days: 400)]).cutoffs(ForgedSegment.owner, now: 1_800_000_000)
        // What is done with it, by a sum over the input: all of it each time would take too long.
        let choice = input.reduce(0) { $0 &+ Int($1) }
        if choice % 8 == 0 { return change(segment, cache) }
        for (index, filter) in ForgedSegment.filters.enumerated()
        where index == choice / 8 % ForgedSegment.filters.count {
            let query = HistoryQuery(
                ownerAccount: ForgedSegment.owner, filter: filter, order: index % 2 == 0 ? .newestFirst : .oldestFirst,
                limit: 20)
            let search = HistorySearch(
                snapshot: snapshot, query: query, cutoffs: index == 0 ? cutoffs : [], cache: cache,
                cancellation: cancellation)
            if let page = try? search.page() {
                require(page.events.count <= 20, "a page has no more than was asked for")
                if let token = page.nextToken {
                    var next = query
                    next.token = token
                    _ = try? HistorySearch(
                        snapshot: snapshot, query: next, cutoffs: [], cache: cache, cancellation: cancellation
                    ).page()
                }
            }
        }
        if choice % 2 == 0 {
            let grouping = ForgedSegment.groupings[choice / 8 % ForgedSegment.groupings.count]
            let scan = HistoryScan(
                snapshot: snapshot, query: HistoryQuery(ownerAccount: ForgedSegment.owner, filter: .all, limit: 1),
                cutoffs: [], grouping: grouping, cache: cache, cancellation: cancellation, progress: { _ in })
            _ = try? scan.tally()
        }
        if choice % 8 == 1 {
            _ = try? HistoryKnown(snapshot: snapshot, cache: cache, ownerAccount: nil).among(["id-3", "none"])
            _ = try? segment.verify()
        }
    }

    /// What maintenance does.
    private static func change(_ segment: HistorySegment, _ cache: HistoryCache) {
        var limits = HistoryLimits()
        limits.segmentEventsMax = 64
        limits.retention = HistoryRetention([.init(days: 400)])
        let maintenance = HistoryMaintenance(segments: [segment], limits: limits, now: 1_830_000_000, cache: cache)
        _ = try? maintenance.next()
        guard segment.events <= 1000 else { return }
        _ = try? maintenance.kept(of: segment, keys: { 9 })
        try? SegmentMerge([segment, segment]).write(to: ForgedSegment.scratch, ForgedSegment.device, level: 1)
    }
}

/// A good segment in parts, and files made of it.
struct ForgedSegment {
    static let owner = "111111111111"
    static let folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
    static let path = "\(folder)/cairn-fuzz-\(getpid()).segment"
    static let scratch = "\(folder)/cairn-fuzz-\(getpid()).merged"
    static let device = HistoryDevice(
        write: HistoryDevice.posix.write, sync: { _ in 0 }, remove: { unlink($0) == 0 ? 0 : errno })

    static let filters: [EventFilter] =
        [
            .all, .compare(.eventName, .equals, "E1"),
        ]
        + [
            #"eventID = "id-3""#, #"userIdentity.userName = "u2" AND NOT errorCode EXISTS"#,
            #"resources.ARN = "arn:aws:s3:::b/1" OR requestParameters.n > 3"#, #"eventName = "E*""#,
        ].compactMap { try? FilterLanguage.parse($0, now: 1_800_000_000) }

    static let groupings: [EventTally.Grouping] = [
        .init(paths: [EventPath(.eventName)]), .init(paths: [EventPath(["requestParameters", "n"])]),
        .init(paths: [EventPath(.eventSource)], intervalSeconds: 3600),
    ]

    private struct Part {
        var name: PartName
        var raw: [UInt8]
        var stored: [UInt8]
    }

    private var parts: [Part] = []
    private var first: UInt64 = 0
    private var next: UInt64 = 0
    private var events = 0
    private var times: ClosedRange<Int64> = 0...0

    static let base: ForgedSegment? = {
        atexit {
            unlink(ForgedSegment.path)
            unlink(ForgedSegment.scratch)
        }
        return try? ForgedSegment()
    }()

    /// Seventy events of a few shapes and times, some out of order.
    private init() throws {
        var builder = GroupBuilder(key: 1, capacity: 128)
        for number in 0..<70 {
            let record = """
                {"eventVersion":"1.11","userIdentity":{"type":"IAMUser","userName":"u\(number % 5)","accountId":"\(Self.owner)"},\
                "eventTime":"\(EventTime.text(1_790_000_000 + Int64(number * 37 % 64)))","eventSource":"s\(number % 3).amazonaws.com",\
                "eventName":"E\(number % 7)","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.\(number)",\
                \(number % 9 == 0 ? "\"errorCode\":\"AccessDenied\"," : "")\
                "requestParameters":{"n":\(number),"text":"\(String(repeating: "x", count: number))"},"readOnly":\(number % 2 == 0),\
                "resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::b/\(number % 4)"}],"eventID":"id-\(number)"}
                """
            let entry = EventEnvelope(kind: .event, ownerAccount: Self.owner, record: Array(record.utf8)).encoded()
            _ = entry.withUnsafeBytes { builder.append($0, related: 0, number: UInt64(number * 2)) }
        }
        try SegmentWriter.write(
            builder.group.view(next: 150), first: 0, next: 150, to: Self.path, Self.device, level: 1)
        let segment = try HistorySegment(Self.path, key: 1)
        (first, next, events, times) = (segment.first, segment.next, segment.events, segment.timeMin...segment.timeMax)
        for name in segment.parts.keys.sorted(by: {
            ($0.kind.rawValue, $0.id, $0.index) < ($1.kind.rawValue, $1.id, $1.index)
        }) {
            parts.append(Part(name: name, raw: try segment.raw(name), stored: try segment.stored(name)))
        }
    }

    /// Writes a segment with the changes; nil when it cannot be written.
    func forged(by input: UnsafeRawBufferPointer) -> String? {
        var forged = self
        var touched: Set<Int> = []
        var at = 0
        while at + 6 <= input.count, at < 6 * 16 {
            let index = Int(input[at]) % parts.count
            let place = Int(input[at + 2]) | Int(input[at + 3]) << 8
            let value = UInt32(input[at + 4]) | UInt32(input[at + 5]) << 8
            if forged.change(index, operation: input[at + 1], place: place, value: value) { touched.insert(index) }
            at += 6
        }
        do {
            let compressor = try Compressor(level: 1)
            var sink = try SegmentSink(path: Self.path, Self.device, compressor)
            for index in forged.parts.indices {
                let part = forged.parts[index]
                if touched.contains(index) {
                    try sink.write(part.name, part.raw)
                } else {
                    try sink.write(
                        part.name, stored: part.stored, rawBytes: part.raw.count,
                        checksum: StableHash.xxh64(part.stored))
                }
            }
            try sink.finish(
                first: forged.first, next: forged.next, events: forged.events, timeMin: forged.times.lowerBound,
                timeMax: forged.times.upperBound)
            return Self.path
        } catch {
            return nil
        }
    }

    /// - Returns: whether a part's bytes are others.
    private mutating func change(_ index: Int, operation: UInt8, place: Int, value: UInt32) -> Bool {
        let count = parts[index].raw.count
        let spot = count == 0 ? 0 : place % count
        switch operation % 16 {
        case 0...4:
            guard count > 0 else { return false }
            parts[index].raw[spot] = UInt8(truncatingIfNeeded: value)
        case 5, 6:
            // A whole word, small, large or below nothing.
            let word = operation & 16 == 0 ? value : operation & 32 == 0 ? ~value : value << 16
            for byte in 0..<4 where spot + byte < count {
                parts[index].raw[spot + byte] = UInt8(truncatingIfNeeded: word >> UInt32(byte * 8))
            }
        case 7: parts[index].raw.removeLast(count - spot)
        case 8: parts[index].raw += [UInt8](repeating: UInt8(truncatingIfNeeded: value), count: Int(value >> 8))
        case 9:
            guard count > 0 else { return false }
            parts[index].raw.remove(at: spot)
        case 10: parts[index].raw.insert(UInt8(truncatingIfNeeded: value), at: spot)
        case 11: parts[index].raw = parts[Int(value) % parts.count].raw
        case 12: parts[index].name = PartName(kind: parts[index].name.kind, id: UInt16(value >> 8), index: value & 255)
        case 13: events = [0, 1, events - 1, events + 1, 128, 1 << 16, Int(UInt32.max)][Int(value) % 7]
        case 14:
            if value & 1 == 0 { first = UInt64(value) << 40 } else { next = UInt64(value) << 40 }
        default:
            let low = Int64(value) - 100
            times = value & 1 == 0 ? Int64.min...low : low...Int64.max
        }
        return operation % 16 <= 11
    }
}
