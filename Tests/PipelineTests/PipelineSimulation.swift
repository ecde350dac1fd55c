// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventJournal
import EventRecord
import Foundation
import Synchronization
import Testing

/// Journal, history, delivery and digests under one seed: one thing happens after another, some of it goes wrong, and after each
/// step what must hold is checked.
///
/// The journal's disk is simulated: it forgets what was not flushed, tears writes, fails and fills up. The history's files fail
/// on demand. Time is a number that jumps. Delivery and digests are the real ones, see TrailPath.swift.
final class PipelineSimulation {
    private struct Known {
        var id: String
        var name: String
        var user: String
        var seconds: Int64
        var isShown: Bool
        var region = TrailPath.regions[0]
        var isReadOnly = false
    }

    private static let owner = "111122223333"
    private var random: SeededRandom
    private let disk: SimulatedDisk
    private let folder: String
    private let historyFault = HistoryFault()
    private var journal: Journal
    private var history: History
    /// All events that were acknowledged, or found after a crash; the index is the number.
    private var known: [Known] = []
    private var tried: [String: Known] = [:]
    private let trail: TrailPath
    private var serial = 0
    private var seconds: Int64 = 1_700_000_000
    private var trimmed: UInt64 = 0
    private let clock = SimulatedClock()
    /// What was done, in words.
    private(set) var trace: [String] = []

    /// Fails the n-th call on the history's files.
    private final class HistoryFault: Sendable {
        private let left = Mutex<Int?>(nil)

        func fail(after calls: Int?) { left.withLock { $0 = calls } }

        private func fails() -> Bool {
            left.withLock { left in
                guard let count = left else { return false }
                left = count - 1
                return count == 0
            }
        }

        var device: HistoryDevice {
            let posix = HistoryDevice.posix
            return HistoryDevice(
                write: { descriptor, bytes in
                    if self.fails() { return (-1, EIO) }
                    // A write may be short.
                    return posix.write(descriptor, UnsafeRawBufferPointer(rebasing: bytes[..<((bytes.count + 1) / 2)]))
                },
                sync: { _ in self.fails() ? EIO : 0 },
                remove: { self.fails() ? EIO : posix.remove($0) })
        }
    }

    private final class SimulatedClock: Sendable {
        private let milliseconds = Atomic<Int64>(1_700_000_000_000)
        var now: Int64 { milliseconds.load(ordering: .relaxed) }
        func jump(_ by: Int64) { milliseconds.wrappingAdd(by, ordering: .relaxed) }
    }

    init(seed: UInt64) async throws {
        random = SeededRandom(seed)
        disk = SimulatedDisk(seed: random.next())
        folder = FileManager.default.temporaryDirectory.path + "/cairn-simulation-\(UUID().uuidString)"
        for name in ["history", "trail"] {
            try FileManager.default.createDirectory(
                atPath: folder + "/" + name, withIntermediateDirectories: true)
        }
        (journal, history) = try Self.open(disk, folder + "/history", historyFault.device, clock)
        trail = try await TrailPath(folder: folder + "/trail", journal: journal)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private static func open(
        _ disk: SimulatedDisk, _ folder: String, _ device: HistoryDevice, _ clock: SimulatedClock
    ) throws -> (Journal, History) {
        let journal = try Journal.open(
            directory: TestJournal.folder, device: disk, limits: TestJournal.limits, clock: { clock.now })
        var limits = HistoryLimits()
        // Sealed only when a step says so.
        limits.segmentEventsMax = 1 << 12
        limits.segmentAgeMax = .max
        limits.mergeSegmentsMin = 5
        let history = try History.open(
            directory: folder, journal: journal, limits: limits, device: device, clock: { clock.now })
        return (journal, history)
    }

    func run(steps: Int) async throws {
        do {
            for _ in 0..<steps {
                try await step()
                try await check()
            }
        } catch {
            print("the steps were: \(trace.joined(separator: "; "))")
            throw error
        }
        try await search(.all)
        try await trail.settle(untold)
        try await trail.close()
        await history.close()
        await journal.close()
    }

    private func step() async throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<38: try await append()
        case 38..<41: try await changeTrail()
        case 41..<50:
            note("seal")
            try await history.seal()
        case 50..<54:
            let calls = Int.random(in: 0..<12, using: &random)
            note("seal with a fault at \(calls)")
            historyFault.fail(after: calls)
            try? await history.seal()
            historyFault.fail(after: nil)
        case 54..<63: note(await trail.turn(using: &random))
        case 63..<68:
            note(await trail.turnAndDie(using: &random))
            try await restart(losingPower: Bool.random(using: &random))
        case 68..<73: note(trail.turnClock(using: &random))
        case 73..<77: try await search(Bool.random(using: &random) ? .all : .compare(.eventName, .equals, "E1"))
        case 77..<80:
            let kept = min(history.status.sealedThrough, trail.positionKept)
            note("trim before \(kept)")
            try journal.trim(before: kept)
            trimmed = max(trimmed, kept)
        case 80..<84:
            let jump = Int64.random(in: -40_000_000...40_000_000, using: &random)
            note("the clock jumps by \(jump)")
            seconds += jump
            clock.jump(jump * 1000)
        case 84..<87:
            note("the disk is full")
            disk.state.withLock { $0.free = 0 }
            try await append()
            disk.state.withLock { $0.free = 1 << 40 }
        case 87..<91:
            let calls = Int.random(in: 1...4, using: &random)
            note("the disk fails at call \(calls)")
            disk.fail(calls, of: ["write", "sync"])
            try await append()
            try await restart(losingPower: Bool.random(using: &random))
        case 91..<96:
            let calls = Int.random(in: 1...6, using: &random)
            note("power goes at call \(calls)")
            disk.fail(calls, losingPower: true)
            try await append()
            try await restart(losingPower: true)
        default: try await restart(losingPower: Bool.random(using: &random))
        }
    }

    private func note(_ what: String) { trace.append(what) }

    /// What the trail has not heard of yet.
    private var untold: [TrailPath.Taken] {
        known[trail.count...].map {
            .init(id: $0.id, region: $0.region, isReadOnly: $0.isReadOnly, isShown: $0.isShown)
        }
    }

    /// Appends a few events; only what is acknowledged is remembered as known.
    private func append() async throws {
        var batch: [[UInt8]] = []
        var made: [Known] = []
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            let isShown = Int.random(in: 0..<6, using: &random) > 0
            let event = Known(
                id: "id-\(serial)", name: "E\(Int.random(in: 0..<4, using: &random))",
                user: "u\(Int.random(in: 0..<3, using: &random))", seconds: seconds + Int64(serial / 3),
                isShown: isShown, region: TrailPath.regions.randomElement(using: &random) ?? TrailPath.regions[0],
                isReadOnly: Bool.random(using: &random))
            serial += 1
            made.append(event)
            batch.append(entry(event))
        }
        let numbers = try? await journal.append(batch)
        if trace.last?.hasPrefix("the disk") != true, trace.last?.hasPrefix("power") != true {
            note("append \(batch.count)")
        }
        guard let numbers else { return }
        try #require(numbers == UInt64(known.count)..<UInt64(known.count + made.count), "numbers have no gap")
        known += made
    }

    private func entry(_ event: Known) -> [UInt8] {
        tried[event.id] = event
        let padding = String(repeating: "p", count: Int.random(in: 0..<300, using: &random))
        let record = """
            {"eventVersion":"1.11","userIdentity":{"type":"IAMUser","userName":"\(event.user)"},\
            "eventTime":"\(EventTime.text(event.seconds))","eventSource":"s","eventName":"\(event.name)",\
            "awsRegion":"\(event.region)","eventID":"\(event.id)","readOnly":\(event.isReadOnly),\
            "requestParameters":{"p":"\(padding)"}}
            """
        return EventEnvelope(
            kind: event.isShown ? .event : .intent, ownerAccount: Self.owner, record: Array(record.utf8)
        ).encoded()
    }

    /// Somebody changes the trail; the call's own event follows the change.
    private func changeTrail() async throws {
        let id = "id-\(serial)"
        serial += 1
        let (name, what) = try await trail.change(number: known.count, id: id, using: &random)
        note(what)
        let event = Known(id: id, name: name, user: "u0", seconds: seconds + Int64(serial / 3), isShown: true)
        let numbers = try await journal.append([entry(event)])
        try #require(numbers == UInt64(known.count)..<UInt64(known.count + 1))
        known.append(event)
    }

    /// The process goes, and power with it or not; all is opened anew.
    private func restart(losingPower: Bool) async throws {
        if trace.last?.hasPrefix("the disk") != true, trace.last?.hasPrefix("power") != true {
            note("restart\(losingPower ? " after a power cut" : "")")
        }
        // Nothing more reaches the disk, whatever closing tries.
        disk.fail(1, losingPower: true)
        await history.close()
        await journal.close()
        if losingPower { disk.cutPower() } else { disk.kill() }
        (journal, history) = try Self.open(disk, folder + "/history", historyFault.device, clock)
        trail.restart(journal)
        // What was written and not acknowledged may be there, whole batches in order; from now on it counts.
        let first = journal.firstNumber
        try #require(journal.durableNumber >= UInt64(known.count), "acknowledged events are lost")
        for (index, entry) in try TestJournal.entries(journal).enumerated() {
            let envelope = try #require(EventEnvelope.parse(entry[...]))
            let id = try Event(envelope.record).eventID
            let number = Int(first) + index
            if number < known.count {
                try #require(known[number].id == id, "event \(number) is another")
            } else {
                known.append(try #require(tried[id]))
            }
        }
        try #require(Set(known.map(\.id)).count == known.count, "an event is there twice")
    }

    private func check() async throws {
        try #require(journal.durableNumber == UInt64(known.count))
        try #require(journal.firstNumber <= trimmed)
        try #require(history.status.sealedThrough <= journal.durableNumber)
        try #require(journal.firstNumber <= history.status.sealedThrough)
        try await trail.check(untold)
    }

    /// Both orders, by pages, and the count: each known event once.
    private func search(_ filter: EventFilter) async throws {
        note("search")
        let expected = known.enumerated().filter { $0.element.isShown && (filter == .all || $0.element.name == "E1") }
            .sorted { a, b in
                a.element.seconds != b.element.seconds ? a.element.seconds < b.element.seconds : a.offset < b.offset
            }.map(\.element.id)
        for order in [HistoryQuery.Order.newestFirst, .oldestFirst] {
            var query = HistoryQuery(
                ownerAccount: Self.owner, filter: filter, order: order, limit: Int.random(in: 1...40, using: &random))
            var found: [String] = []
            repeat {
                let page = try await history.search(query)
                found += page.events.map(\.event.eventID)
                query.token = page.nextToken
            } while query.token != nil
            try #require(found == (order == .oldestFirst ? expected : expected.reversed()))
        }
        let tally = try await history.tally(
            HistoryQuery(ownerAccount: Self.owner, filter: filter, limit: 1), .init(paths: [EventPath(["user"])]))
        try #require(tally.total == UInt64(expected.count))
    }
}
