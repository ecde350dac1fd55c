// SPDX-License-Identifier: Apache-2.0

import AWSWire
import EventJournal
import EventRecord
import Foundation
import LogFiles
import Logging
import Storage
import Synchronization
import Trails

/// The real delivery and the real digest chore on a simulated journal, with a bucket in memory, a clock that is turned by hand,
/// and a process that may die right before and right after any put.
///
/// The catalog is a real one, in a folder of its own, so that its transactions are what they are.
final class TrailPath {
    static let account = "111122223333"
    static let regions = ["us-east-1", "eu-west-1"]

    /// An event as the journal has it.
    struct Taken: Sendable {
        var id: String
        var region: String
        var isReadOnly: Bool
        var isShown: Bool
    }

    /// A configuration and the first journal number for which it holds.
    private struct Epoch {
        var from: Int
        var takesReads: Bool
        var takesWrites: Bool
        /// It begins after the event of the change that made it, which is taken by the old or the new one.
        var isAfterEvent = true
    }

    private let bucket: SimulatedBucket
    private let death = Death()
    private let time = SimulatedTime()
    /// How far the clock was turned on, all in all.
    private(set) var milliseconds: Int64 = 0
    private let catalog: Catalog
    /// One for all processes of a simulation: opening a key takes longer than all else, and none of it depends on the process.
    private let keys: SigningKeys
    private var journal: Journal
    private var delivery: Delivery
    private var digests: DigestChore
    private var trails: TrailService
    /// What the trail is expected to have taken, oldest first.
    private var epochs: [Epoch] = []
    private var isLogging = true
    /// Turns of processes that are dead: they stand still for ever.
    private var abandoned: [Task<Void, Never>] = []

    /// - Parameter folder: empty, and the simulation's own.
    init(folder: String, journal: Journal, defect: Defect?) async throws {
        let ready = try await ReadyCatalog.shared.value
        try Data(ready.bytes).write(to: URL(fileURLWithPath: folder + "/catalog.sqlite"))
        let (death, time) = (death, time)
        catalog = try Catalog(
            path: folder + "/catalog.sqlite",
            step: { (_) throws(AWSError) in
                if await death.pass() { throw AWSError("InternalError", status: 500, "the process is gone") }
            })
        bucket = SimulatedBucket(defect: defect, now: { time.now.milliseconds })
        keys = SigningKeys(
            catalog: catalog, secret: ready.secret, clock: { time.now },
            logger: Logger(label: "simulation", factory: { _ in SwiftLogNoOpLogHandler() }))
        self.journal = journal
        (delivery, digests, trails) = Self.open(catalog, keys, journal, bucket, death, time)
        _ = try await call("CreateTrail", ReadyCatalog.trail, id: "create")
        _ = try await call("StartLogging", ["Name": "trail"], id: "start")
        epochs = [Epoch(from: 0, takesReads: true, takesWrites: true)]
    }

    fileprivate static func open(
        _ catalog: Catalog, _ keys: SigningKeys, _ journal: Journal, _ bucket: SimulatedBucket, _ death: Death,
        _ time: SimulatedTime
    ) -> (Delivery, DigestChore, TrailService) {
        let logger = Logger(label: "simulation", factory: { _ in SwiftLogNoOpLogHandler() })
        let clock: Clock = { time.now }
        var limits = Delivery.Limits()
        limits.readBytesMax = 2000
        limits.fileBytesMax = 3000
        limits.planBytesMax = 8000
        limits.retryFirst = 1
        limits.retryMost = 1
        var digestLimits = DigestChore.Limits()
        digestLimits.retryFirst = 1
        digestLimits.retryMost = 1
        let door = bucket.door(death)
        let topic = TrailTopic { _ throws(AWSError) in throw AWSError("NotFound", status: 404, "none") }
        let delivery = Delivery(
            catalog: catalog, journal: journal, bucket: door, topic: topic, clock: clock, limits: limits,
            logger: logger)
        let digests = DigestChore(
            catalog: catalog, bucket: door, signingKeys: keys, clock: clock, interval: 3_600_000,
            limits: digestLimits, logger: logger)
        let trails = TrailService(
            catalog: catalog, journal: journal, bucket: door,
            kms: TrailKMS(
                find: { _, _, _ throws(AWSError) in throw AWSError("KmsKeyNotFoundException", "none") },
                allows: { _ throws(AWSError) in false }), topic: topic, search: { _ in throw CancellationError() },
            signingKeys: keys, delivery: delivery, digests: digests, clock: { time.now },
            randomBytes: { count in
                [UInt8](repeating: 7, count: count)
            })
        return (delivery, digests, trails)
    }

    /// A new process on the same disk.
    func restart(_ journal: Journal) {
        self.journal = journal
        (delivery, digests, trails) = Self.open(catalog, keys, journal, bucket, death, time)
    }

    /// Ends what died on the way, without any effect on what was checked, and closes the catalog.
    func close() async throws {
        death.release()
        for task in abandoned { await task.value }
        try catalog.close()
    }

    private func call(_ operation: String, _ parameters: WireStructure, id: String) async throws -> OperationAnswer {
        let call = Call(
            caller: .root(of: Self.account, accessKeyID: nil), accountID: Self.account, region: "us-east-1",
            time: time.now, requestID: "r", eventID: id, sourceAddress: "127.0.0.1", userAgent: nil,
            isSecureTransport: false)
        let request = OperationRequest(
            operation: operation, parameters: parameters,
            http: try WireRequest(method: "POST", target: "/", headers: []))
        return try await held(trails.service.operations[operation], operation).perform(request, call)
    }

    // MARK: Steps

    /// Journal entries at or above it are needed.
    var positionKept: UInt64 { delivery.positionKept }

    /// Time goes on; or the clock is set back, or forward by days.
    func turnClock(using random: inout SeededRandom) -> String {
        let isJump = Int.random(in: 0..<8, using: &random) == 0
        let range: ClosedRange<Int64> = isJump ? -200_000...200_000 : -600...9_000
        let seconds = Int64.random(in: range, using: &random)
        pass(milliseconds: seconds * 1000 + Int64.random(in: 0..<1000, using: &random))
        return "the trail's clock goes on by \(seconds)"
    }

    /// The latest that the clock has shown.
    private var latest = Int64.min

    private func pass(milliseconds: Int64) {
        latest = max(latest, time.now.milliseconds)
        time.advance(milliseconds: milliseconds)
        self.milliseconds += max(0, milliseconds)
    }

    /// For an hour the bucket answers nothing.
    func breakDown() { bucket.breakDown(for: 3_600_000) }

    var bucketFaults: Int { bucket.faults }
    var fileCounts: (logs: Int, digests: Int) { bucket.fileCounts }

    /// A turn of delivery, of digests or of both, in which a put may be refused, fail, or fail after it was done.
    func turn(using random: inout SeededRandom) async -> String {
        pass(milliseconds: 5)
        let fault = SimulatedBucket.Fault.allCases.randomElement(using: &random) ?? .none
        bucket.fail(fault, at: Int.random(in: 1...3, using: &random))
        let (deliver, prove) =
            [(true, false), (false, true), (true, true)].randomElement(using: &random) ?? (true, true)
        if deliver { await delivery.turn() }
        if prove { await digests.turn() }
        bucket.fail(.none, at: 0)
        bucket.turnEnded(isAlive: true)
        return "turn\(deliver ? " of delivery" : "")\(prove ? " of digests" : "") with \(fault)"
    }

    /// A turn in which the process dies at its n-th moment. Whoever calls opens everything anew.
    func turnAndDie(using random: inout SeededRandom) async -> String {
        pass(milliseconds: 5)
        let moments = Int.random(in: 1...12, using: &random)
        let isDelivery = Bool.random(using: &random)
        let (delivery, digests, death) = (delivery, digests, death)
        death.arm(moments)
        abandoned.append(
            Task {
                if isDelivery { await delivery.turn() } else { await digests.turn() }
                death.turnEnded()
            })
        await death.awaitEnd()
        bucket.turnEnded(isAlive: false)
        return "\(isDelivery ? "delivery" : "digests") die at moment \(moments)"
    }

    /// Stops or starts the logging, or changes what is taken, as a caller does: the change, then its event.
    ///
    /// - Returns: what the event is that must be journaled next, with the number it gets.
    func change(number: Int, id: String, using random: inout SeededRandom) async throws -> (name: String, note: String)
    {
        let current = epochs[epochs.count - 1]
        if !isLogging {
            isLogging = true
            _ = try await call("StartLogging", ["Name": "trail"], id: id)
            // It begins with the number at the time of the call, so with its own event.
            epochs.append(
                Epoch(
                    from: number, takesReads: selected.takesReads, takesWrites: selected.takesWrites,
                    isAfterEvent: false))
            return ("StartLogging", "start logging")
        }
        if Int.random(in: 0..<2, using: &random) == 0 {
            isLogging = false
            selected = current
            _ = try await call("StopLogging", ["Name": "trail"], id: id)
            epochs.append(Epoch(from: number + 1, takesReads: false, takesWrites: false))
            return ("StopLogging", "stop logging")
        }
        let kind = ["All", "ReadOnly", "WriteOnly"].randomElement(using: &random) ?? "All"
        _ = try await call(
            "PutEventSelectors",
            [
                "TrailName": "trail",
                "EventSelectors": [
                    .structure(["ReadWriteType": .string(kind), "IncludeManagementEvents": true])
                ],
            ], id: id)
        epochs.append(Epoch(from: number + 1, takesReads: kind != "WriteOnly", takesWrites: kind != "ReadOnly"))
        return ("PutEventSelectors", "select \(kind)")
    }

    private var selected = Epoch(from: 0, takesReads: true, takesWrites: true)

    // MARK: What must hold

    private func takes(_ event: Taken, at number: Int) -> Bool {
        guard event.isShown else { return false }
        func takes(_ epoch: Epoch) -> Bool { event.isReadOnly ? epoch.takesReads : epoch.takesWrites }
        guard let index = epochs.lastIndex(where: { $0.from <= number }) else { return false }
        if takes(epochs[index]) { return true }
        // Whoever changes a trail is seen doing so, when the old or the new configuration takes it.
        return epochs.contains { $0.isAfterEvent && $0.from == number + 1 && takes($0) }
    }

    /// What the trail must deliver of one region, and how much of it was found delivered.
    private struct Due {
        var ids: [String] = []
        /// Journal numbers of the ids.
        var numbers: [Int] = []
        var checked = 0
    }

    private var due: [String: Due] = [:]
    /// Journal entries that are known.
    private(set) var count = 0

    /// Takes in what has been journaled since.
    private func learn(_ events: some Sequence<Taken>) {
        for event in events {
            if takes(event, at: count) {
                due[event.region, default: Due()].ids.append(event.id)
                due[event.region]?.numbers.append(count)
            }
            count += 1
        }
    }

    /// Checks everything, after any step.
    ///
    /// - Parameter events: those that were journaled since the last check (`count`).
    func check(_ events: some Sequence<Taken>) async throws {
        learn(events)
        try hold(bucket.problem == nil, "the bucket: \(bucket.problem ?? "")")
        let position = try await savedPosition()
        try hold(position <= journal.durableNumber, "delivery is beyond what is durable")
        try hold(journal.firstNumber <= position, "the journal has lost what delivery still needs")
        for region in Self.regions {
            let delivered = bucket.delivered(region, from: due[region]?.checked ?? 0)
            let wanted = due[region, default: Due()]
            let next = wanted.ids[wanted.checked...].prefix(delivered.count)
            try hold(delivered.elementsEqual(next), "delivered out of order, or twice, or what is not the trail's")
            due[region, default: Due()].checked += delivered.count
            let end = wanted.checked + delivered.count
            if end < wanted.numbers.count {
                try hold(wanted.numbers[end] >= Int(position), "the position is beyond what is delivered")
            }
        }
    }

    private func savedPosition() async throws -> UInt64 {
        let documents = try await catalog.read { (snapshot) throws(AWSError) in
            try snapshot.scan(prefix: .prefix("trail-progress")).map(\.value)
        }
        let document = try held(documents.first, "the trail has a position")
        let object = try JSONSerialization.jsonObject(with: Data(document)) as? [String: Any]
        return try held(object?["position"] as? UInt64, "the trail has a position")
    }

    /// All faults end and time goes on: everything is delivered, and everything delivered is proven.
    func settle(_ events: some Sequence<Taken>) async throws {
        learn(events)
        bucket.recover()
        for _ in 0..<3 {
            pass(milliseconds: 5)
            await delivery.turn()
            bucket.turnEnded(isAlive: true)
        }
        try await check([])
        for region in Self.regions {
            try hold(due[region]?.checked ?? 0 == due[region]?.ids.count ?? 0, "not everything was delivered")
        }
        // Past every jump back, then past the boundary.
        pass(milliseconds: max(0, latest - time.now.milliseconds))
        for _ in 0..<3 {
            pass(milliseconds: 12 * 3_600_000)
            await digests.turn()
        }
        try hold(bucket.problem == nil, "the bucket: \(bucket.problem ?? "")")
        try hold(bucket.unproven.isEmpty, "log files in no digest")
    }
}
