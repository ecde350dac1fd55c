// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventJournal
import EventRecord
import Foundation
import Synchronization

/// Journal, history, delivery and digests under one seed: one thing happens after another, some of it goes wrong, and after each
/// step what must hold is checked.
///
/// The disks are simulated: they forget what was not flushed, tear writes, fail and fill up (SimulatedDisk, HistoryDisk). The
/// process dies, with or without its power, at any write, flush, rename and removal of journal and history, and at any put and
/// any commit of delivery and digests. Time is a number that jumps. Delivery and digests are the real ones (TrailPath).
package final class PipelineSimulation {
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
    private static let retentionDays: Int64 = 300
    private var random: SeededRandom
    private let disk: SimulatedDisk
    private let folder: String
    private let historyDisk: HistoryDisk
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
    package private(set) var trace: [String] = []
    package private(set) var counts = SimulationCounts()
    /// Events older than this may have been dropped: the clock was that far.
    private var droppedBefore: Int64 = .min

    private final class SimulatedClock: Sendable {
        private let milliseconds = Atomic<Int64>(1_700_000_000_000)
        var now: Int64 { milliseconds.load(ordering: .relaxed) }
        func jump(_ by: Int64) { milliseconds.wrappingAdd(by, ordering: .relaxed) }
    }

    /// - Parameter defect: a mistake to be found; nil for none.
    package init(seed: UInt64, defect: Defect? = nil) async throws {
        random = SeededRandom(seed)
        disk = SimulatedDisk(seed: random.next())
        folder = SimulationFolder.path + "/cairn-simulation-\(UUID().uuidString)"
        for name in ["history", "graves", "trail"] {
            try FileManager.default.createDirectory(
                atPath: folder + "/" + name, withIntermediateDirectories: true)
        }
        historyDisk = HistoryDisk(
            seed: random.next(), graves: folder + "/graves", forgetsFlushes: defect == .historyFlushForgotten)
        if defect == .journalFlushForgotten { disk.state.withLock { $0.forgetsFlushes = true } }
        journal = try Self.open(disk, clock)
        history = try Self.open(journal, folder + "/history", historyDisk.device, clock)
        trail = try await TrailPath(folder: folder + "/trail", journal: journal, defect: defect)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private static func open(_ disk: SimulatedDisk, _ clock: SimulatedClock) throws -> Journal {
        var limits = JournalLimits()
        limits.segmentBytes = 8192
        limits.markDelayMilliseconds = 0
        limits.reserveBytes = 1 << 20
        return try Journal.open(directory: "journal", device: disk, limits: limits, clock: { clock.now })
    }

    private static func open(
        _ journal: Journal, _ folder: String, _ device: HistoryDevice, _ clock: SimulatedClock
    ) throws -> History {
        var limits = HistoryLimits()
        // Sealed only when a step says so.
        limits.segmentEventsMax = 1 << 12
        limits.segmentAgeMax = .max
        limits.mergeSegmentsMin = 4
        limits.retention = HistoryRetention([.init(days: retentionDays)])
        return try History.open(
            directory: folder, journal: journal, limits: limits, device: device, clock: { clock.now })
    }

    /// - Throws: `BrokenRule`, with the steps in `trace`.
    package func run(steps: Int) async throws {
        for _ in 0..<steps {
            counts.steps += 1
            try await step()
            try await check()
        }
        try await search(.all)
        try await trail.settle(untold)
        counts.events = known.count
        counts.milliseconds = trail.milliseconds
        counts.faults += trail.bucketFaults
        (counts.logFiles, counts.digests) = trail.fileCounts
        try await trail.close()
        await history.close()
        await journal.close()
    }

    private func step() async throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<30: try await append()
        case 30..<33: try await changeTrail()
        case 33..<40:
            note("seal")
            try await history.seal()
            counts.seals += 1
        case 40..<43:
            try await fill()
            try await tidy(mayFail: false)
        case 43..<54: try await sealOrTidy()
        case 54..<62: note(await trail.turn(using: &random))
        case 62..<67:
            note(await trail.turnAndDie(using: &random))
            counts.deaths += 1
            try await restart(losingPower: Bool.random(using: &random))
        case 67..<72:
            note(trail.turnClock(using: &random))
            counts.jumps += 1
        case 72..<73:
            note("the bucket is out for an hour")
            trail.breakDown()
        case 73..<77: try await search(Bool.random(using: &random) ? .all : .compare(.eventName, .equals, "E1"))
        case 77..<80: try trim()
        case 80..<84:
            let jump = Int64.random(in: -40_000_000...40_000_000, using: &random)
            note("the clock jumps by \(jump)")
            counts.jumps += 1
            seconds += jump
            clock.jump(jump * 1000)
        case 84..<87:
            note("the disk is full")
            counts.faults += 1
            disk.state.withLock { $0.free = 0 }
            try await append()
            disk.state.withLock { $0.free = 1 << 40 }
        case 87..<90:
            let calls = Int.random(in: 1...4, using: &random)
            note("the disk fails at call \(calls)")
            counts.faults += 1
            disk.fail(calls, of: ["write", "sync"])
            try await append()
            try await restart(losingPower: Bool.random(using: &random))
        case 90..<97: try await die()
        default: try await restart(losingPower: Bool.random(using: &random))
        }
    }

    /// Makes small segments, so many that they are to be merged.
    private func fill() async throws {
        for _ in 0..<Int.random(in: 1...9, using: &random) {
            try await append()
            note("seal")
            try await history.seal()
            counts.seals += 1
        }
    }

    /// Merges and drops, as often as there is something to; a disk that fails puts it off.
    private func tidy(mayFail: Bool) async throws {
        note("merge and drop")
        droppedBefore = max(droppedBefore, oldest)
        let before = history.status
        if mayFail { try? await history.maintain() } else { try await history.maintain() }
        let after = history.status
        if after.sealedEvents < before.sealedEvents {
            counts.drops += 1
        } else if after.segments < before.segments {
            counts.merges += 1
        }
    }

    /// Calls on history's files fail, or the process dies at one of them, or both one after the other.
    private func sealOrTidy() async throws {
        if Bool.random(using: &random) { try await fill() }
        let calls = Int.random(in: 0..<16, using: &random)
        let dies = Bool.random(using: &random)
        if dies { historyDisk.die(after: calls + 1) } else { historyDisk.fail(after: calls) }
        note("history's disk \(dies ? "dies" : "fails") at call \(calls)")
        if Bool.random(using: &random) {
            note("seal")
            try? await history.seal()
        }
        try await tidy(mayFail: true)
        counts.faults += historyDisk.endFaults()
        if historyDisk.isDead {
            counts.deaths += 1
            try await restart(losingPower: Bool.random(using: &random))
        } else {
            _ = historyDisk.revive()
            // A failed seal is not waited out.
            if Int.random(in: 0..<3, using: &random) == 0 {
                try await restart(losingPower: Bool.random(using: &random))
            }
        }
    }

    /// The process dies in the midst of an operation on the journal's disk: appending, opening, trimming.
    private func die() async throws {
        let calls = Int.random(in: 1...12, using: &random)
        note("dies at call \(calls) of the journal's disk")
        disk.fail(calls, losingPower: true)
        try await append()
        if !disk.hasFailed, Bool.random(using: &random) { try? trim() }
        let hasDied = disk.hasFailed
        if hasDied { counts.deaths += 1 }
        try await restart(losingPower: Bool.random(using: &random), dyingAgain: !hasDied || Bool.random(using: &random))
    }

    private func trim() throws {
        let kept = min(history.status.sealedThrough, trail.positionKept)
        note("trim before \(kept)")
        trimmed = max(trimmed, kept)
        try journal.trim(before: kept)
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
        note("append \(batch.count)\(numbers == nil ? ", refused" : "")")
        guard let numbers else { return }
        try hold(numbers == UInt64(known.count)..<UInt64(known.count + made.count), "numbers have no gap")
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
        try hold(numbers == UInt64(known.count)..<UInt64(known.count + 1), "numbers have no gap")
        known.append(event)
    }

    /// The process goes, and power with it or not; all is opened anew. The opening may be cut off, and is done again.
    private func restart(losingPower: Bool, dyingAgain: Bool = false) async throws {
        note("restart\(losingPower ? " after a power cut" : "")")
        counts.restarts += 1
        // Nothing more reaches a disk, whatever closing tries.
        historyDisk.kill()
        disk.fail(1, losingPower: true)
        await history.close()
        await journal.close()
        try revive(losingPower: losingPower)
        if dyingAgain {
            let calls = Int.random(in: 1...10, using: &random)
            note("the start is cut off at call \(calls)")
            disk.fail(calls, losingPower: true)
            historyDisk.die(after: Int.random(in: 1...3, using: &random))
            if let journal = try? Self.open(disk, clock) {
                let history = try? Self.open(journal, folder + "/history", historyDisk.device, clock)
                historyDisk.kill()
                disk.fail(1, losingPower: true)
                await history?.close()
                await journal.close()
            }
            counts.deaths += 1
            try revive(losingPower: Bool.random(using: &random))
        }
        journal = try Self.open(disk, clock)
        history = try Self.open(journal, folder + "/history", historyDisk.device, clock)
        trail.restart(journal)
        try learn()
    }

    private func revive(losingPower: Bool) throws {
        if losingPower {
            counts.powerCuts += 1
            disk.cutPower()
            try historyDisk.cutPower()
        } else {
            disk.kill()
        }
        _ = historyDisk.revive()
    }

    /// Takes in what the journal has after a start.
    private func learn() throws {
        try hold(journal.durableNumber >= UInt64(known.count), "acknowledged events are lost")
        // What was written and not acknowledged may be there, whole batches in order; from now on it counts.
        var position = journal.firstNumber
        while position < journal.durableNumber {
            let batch = try journal.read(from: position, bytesMax: 1000)
            try hold(batch.next > position, "reading goes on")
            for (index, entry) in batch.entries.enumerated() {
                let envelope = try held(EventEnvelope.parse(entry), "an entry has its envelope")
                let id = try Event(envelope.record).eventID
                let number = Int(batch.first) + index
                if number < known.count {
                    try hold(known[number].id == id, "event \(number) is another")
                } else {
                    known.append(try held(tried[id], "an event that nobody sent"))
                }
            }
            position = batch.next
        }
        try hold(Set(known.map(\.id)).count == known.count, "an event is there twice")
    }

    private func check() async throws {
        try hold(journal.durableNumber == UInt64(known.count), "what is durable is what was acknowledged")
        try hold(journal.firstNumber <= trimmed, "the journal keeps what it was not told to remove")
        try hold(history.status.sealedThrough <= journal.durableNumber, "history is beyond what is durable")
        try hold(journal.firstNumber <= history.status.sealedThrough, "the journal has lost what history still needs")
        try await trail.check(untold)
    }

    /// The first second that history keeps, by the clock as it stands.
    private var oldest: Int64 { clock.now / 1000 - Self.retentionDays * 86400 }

    /// Both orders, by pages, and the count: each known event once. What the clock once took for expired may be there or not.
    private func search(_ filter: EventFilter) async throws {
        note("search")
        let shown = known.enumerated().filter {
            $0.element.isShown && (filter == .all || $0.element.name == "E1") && $0.element.seconds >= oldest
        }.sorted { a, b in
            a.element.seconds != b.element.seconds ? a.element.seconds < b.element.seconds : a.offset < b.offset
        }
        let doubtful = Set(shown.filter { $0.element.seconds < droppedBefore }.map(\.element.id))
        for order in [HistoryQuery.Order.newestFirst, .oldestFirst] {
            var query = HistoryQuery(
                ownerAccount: Self.owner, filter: filter, order: order, limit: Int.random(in: 1...40, using: &random))
            var found: [String] = []
            repeat {
                let page = try await history.search(query)
                found += page.events.map(\.event.eventID)
                query.token = page.nextToken
            } while query.token != nil
            let there = Set(found)
            let expected = shown.map(\.element.id).filter { there.contains($0) || !doubtful.contains($0) }
            try hold(
                found == (order == .oldestFirst ? expected : expected.reversed()),
                "history shows each event once, in order: \(expected.count) expected, \(found.count) found")
        }
        let tally = try await history.tally(
            HistoryQuery(ownerAccount: Self.owner, filter: filter, limit: 1), .init(paths: [EventPath(["user"])]))
        try hold(
            UInt64(shown.count - doubtful.count)...UInt64(shown.count) ~= tally.total, "history counts each event once")
    }
}
