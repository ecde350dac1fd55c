// SPDX-License-Identifier: Apache-2.0

import AWSWire
import EventJournal
import EventRecord
import Foundation
import LogFiles
import Logging
import Storage
import Synchronization
import Testing
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

    private let bucket = SimulatedBucket()
    private let death = Death()
    private let time = SimulatedTime()
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
    init(folder: String, journal: Journal) async throws {
        let ready = try await ReadyCatalog.shared.value
        try Data(ready.bytes).write(to: URL(fileURLWithPath: folder + "/catalog.sqlite"))
        catalog = try Catalog(path: folder + "/catalog.sqlite")
        let time = time
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
        return try await #require(trails.service.operations[operation]).perform(request, call)
    }

    // MARK: Steps

    /// Journal entries at or above it are needed.
    var positionKept: UInt64 { delivery.positionKept }

    /// Time goes on, or the clock is set back a little.
    func turnClock(using random: inout SeededRandom) -> String {
        let seconds = Int64.random(in: -600...9_000, using: &random)
        time.advance(milliseconds: seconds * 1000 + Int64.random(in: 0..<1000, using: &random))
        return "the trail's clock goes on by \(seconds)"
    }

    /// A turn of delivery, of digests or of both, in which a put may be refused, fail, or fail after it was done.
    func turn(using random: inout SeededRandom) async -> String {
        time.advance(milliseconds: 5)
        let fault = SimulatedBucket.Fault.allCases.randomElement(using: &random) ?? .none
        bucket.fail(fault, at: Int.random(in: 1...3, using: &random))
        let (deliver, prove) =
            [(true, false), (false, true), (true, true)].randomElement(using: &random) ?? (true, true)
        if deliver { await delivery.turn() }
        if prove { await digests.turn() }
        bucket.fail(.none, at: 0)
        return "turn\(deliver ? " of delivery" : "")\(prove ? " of digests" : "") with \(fault)"
    }

    /// A turn in which the process dies at its n-th moment. Whoever calls opens everything anew.
    func turnAndDie(using random: inout SeededRandom) async -> String {
        time.advance(milliseconds: 5)
        let moments = Int.random(in: 1...6, using: &random)
        let isDelivery = Bool.random(using: &random)
        let (delivery, digests, death) = (delivery, digests, death)
        death.arm(moments)
        abandoned.append(
            Task {
                if isDelivery { await delivery.turn() } else { await digests.turn() }
                death.turnEnded()
            })
        await death.awaitEnd()
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
        try #require(bucket.problem == nil)
        let position = try await savedPosition()
        try #require(position <= journal.durableNumber, "delivery is beyond what is durable")
        try #require(journal.firstNumber <= position, "the journal has lost what delivery still needs")
        for region in Self.regions {
            let delivered = bucket.delivered(region, from: due[region]?.checked ?? 0)
            let wanted = due[region, default: Due()]
            let next = wanted.ids[wanted.checked...].prefix(delivered.count)
            try #require(delivered.elementsEqual(next), "delivered out of order, or twice, or what is not the trail's")
            due[region, default: Due()].checked += delivered.count
            let end = wanted.checked + delivered.count
            if end < wanted.numbers.count {
                try #require(wanted.numbers[end] >= Int(position), "the position is beyond what is delivered")
            }
        }
    }

    private func savedPosition() async throws -> UInt64 {
        let documents = try await catalog.read { (snapshot) throws(AWSError) in
            try snapshot.scan(prefix: .prefix("trail-progress")).map(\.value)
        }
        let document = try #require(documents.first)
        let object = try JSONSerialization.jsonObject(with: Data(document)) as? [String: Any]
        return try #require(object?["position"] as? UInt64)
    }

    /// All faults end and time goes on: everything is delivered, and everything delivered is proven.
    func settle(_ events: some Sequence<Taken>) async throws {
        learn(events)
        for _ in 0..<3 {
            time.advance(milliseconds: 5)
            await delivery.turn()
        }
        try await check([])
        for region in Self.regions {
            try #require(due[region]?.checked ?? 0 == due[region]?.ids.count ?? 0, "not everything was delivered")
        }
        // Past every jump back, then past the boundary.
        for _ in 0..<3 {
            time.advance(milliseconds: 12 * 3_600_000)
            await digests.turn()
        }
        try #require(bucket.problem == nil)
        try #require(bucket.unproven.isEmpty, "log files in no digest")
    }
}

// MARK: - The process's end

/// Ends a turn at its n-th moment: there it stands still, as a process does that is gone.
private final class Death: Sendable {
    private struct State {
        /// Moments until death; 0 when none is to come.
        var left = 0
        var hasEnded = false
        var waiter: CheckedContinuation<Void, Never>?
        var dead: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func arm(_ moments: Int) {
        state.withLock {
            $0.left = moments
            $0.hasEnded = false
        }
    }

    /// A moment comes. Returns at once, or for the dead when the simulation is over.
    ///
    /// - Returns: whether the process is dead.
    func pass() async -> Bool {
        let isDead = state.withLock { state in
            guard state.left > 0 else { return false }
            state.left -= 1
            return state.left == 0
        }
        guard isDead else { return false }
        await withCheckedContinuation { continuation in
            state.withLock { $0.dead.append(continuation) }
            turnEnded()
        }
        return true
    }

    /// The turn came to its own end, or to death.
    func turnEnded() {
        let waiter = state.withLock { state in
            state.hasEnded = true
            state.left = 0
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    func awaitEnd() async {
        await withCheckedContinuation { continuation in
            let hasEnded = state.withLock { state in
                if !state.hasEnded { state.waiter = continuation }
                return state.hasEnded
            }
            if hasEnded { continuation.resume() }
        }
    }

    func release() {
        let dead = state.withLock { state in
            defer { state.dead = [] }
            return state.dead
        }
        for continuation in dead { continuation.resume() }
    }
}

private final class SimulatedTime: Sendable {
    private let milliseconds = Atomic<Int64>(ReadyCatalog.start)
    var now: Timestamp { Timestamp(milliseconds: milliseconds.load(ordering: .relaxed)) }
    func advance(milliseconds delta: Int64) { milliseconds.wrappingAdd(delta, ordering: .relaxed) }
}

// MARK: - The bucket

/// A bucket in memory that checks what is put into it: keys grow, an object never changes, digests link and prove.
private final class SimulatedBucket: Sendable {
    enum Fault: String, CaseIterable, Sendable {
        case none, alsoNone, refused, failed, failedAfterwards
    }

    private struct State {
        var objects: [String: [UInt8]] = [:]
        var lastKey: [String: String] = [:]
        var delivered: [String: [String]] = [:]
        var hashes: [String: String] = [:]
        var proven: Set<String> = []
        /// By region: key, hash, signature and end of the last digest.
        var chain: [String: (key: String, hash: String, signature: String, end: String)] = [:]
        var fault = Fault.none
        var left = 0
        var problem: String?
    }

    private let state = Mutex(State())

    var problem: String? { state.withLock { $0.problem } }
    var unproven: [String] { state.withLock { state in state.hashes.keys.filter { !state.proven.contains($0) } } }

    /// Ids of the delivered events of a region, in the order of delivery, from so many on.
    func delivered(_ region: String, from start: Int) -> [String] {
        state.withLock { Array(($0.delivered[region] ?? []).dropFirst(start)) }
    }

    func fail(_ fault: Fault, at put: Int) {
        state.withLock {
            $0.fault = fault
            $0.left = put
        }
    }

    func door(_ death: Death) -> TrailBucket {
        TrailBucket(
            exists: { _ throws(AWSError) in true }, allows: { _ throws(AWSError) in true },
            put: { (put) throws(AWSError) in
                let gone = AWSError("InternalError", status: 500, "the process is gone")
                if await death.pass() { throw gone }
                if let error = self.state.withLock({ Self.take(put, &$0) }) { throw error }
                if await death.pass() { throw gone }
            })
    }

    private static func take(_ put: TrailBucket.Put, _ state: inout State) -> AWSError? {
        var fault = Fault.none
        if state.left > 0 {
            state.left -= 1
            if state.left == 0 { fault = state.fault }
        }
        switch fault {
        case .refused: return AWSError("AccessDenied", status: 403, "no")
        case .failed: return AWSError("InternalError", status: 500, "broken")
        default: break
        }
        do {
            try store(put, &state)
        } catch {
            state.problem = state.problem ?? "\(put.key): \(error)"
        }
        return fault == .failedAfterwards ? AWSError("InternalError", status: 500, "broken") : nil
    }

    private struct Wrong: Error { var what: String }

    private static func store(_ put: TrailBucket.Put, _ state: inout State) throws {
        if let there = state.objects[put.key] {
            guard there == put.body else { throw Wrong(what: "an object has changed") }
            return
        }
        let parts = put.key.split(separator: "/")
        guard parts.count == 8 else { throw Wrong(what: "a key of another form") }
        let folder = parts[..<4].joined(separator: "/")
        if let last = state.lastKey[folder], put.key <= last { throw Wrong(what: "a key does not grow") }
        state.lastKey[folder] = put.key
        state.objects[put.key] = put.body
        let content = try LogFile.content(of: put.body)
        let region = String(parts[3])
        if parts[2] == "CloudTrail" {
            state.hashes[put.key] = Digest.hash(of: content)
            for range in LogFile.records(in: content).records {
                state.delivered[region, default: []].append(try Event(content[range]).eventID)
            }
        } else {
            try prove(put, content, region, &state)
        }
    }

    private static func prove(
        _ put: TrailBucket.Put, _ content: [UInt8], _ region: String, _ state: inout State
    ) throws {
        guard let digest = try JSONSerialization.jsonObject(with: Data(content)) as? [String: Any],
            let start = digest["digestStartTime"] as? String, let end = digest["digestEndTime"] as? String,
            let files = digest["logFiles"] as? [[String: Any]],
            let signature = put.metadata.first(where: { $0.name == "signature" })?.value
        else { throw Wrong(what: "no digest") }
        if let previous = digest["previousDigestS3Object"] as? String {
            guard let last = state.chain[region], last.key == previous,
                digest["previousDigestHashValue"] as? String == last.hash,
                digest["previousDigestSignature"] as? String == last.signature, start == last.end
            else { throw Wrong(what: "a digest does not link") }
        }
        guard start < end else { throw Wrong(what: "a digest ends before it begins") }
        for file in files {
            guard let key = file["s3Object"] as? String, file["hashValue"] as? String == state.hashes[key] else {
                throw Wrong(what: "a digest lists a file that is not there, or another one")
            }
            guard state.proven.insert(key).inserted else { throw Wrong(what: "a file in two digests") }
        }
        state.chain[region] = (put.key, Digest.hash(of: content), signature, end)
    }
}

// MARK: - What each simulation begins with

/// A catalog with a signing key, made once: a key takes longer to make than a whole simulation.
private enum ReadyCatalog {
    static let start: Int64 = 1_795_552_635_500
    static let trail: WireStructure = [
        "Name": "trail", "S3BucketName": "logs", "IsMultiRegionTrail": true, "EnableLogFileValidation": true,
    ]

    static let shared = Task<(bytes: [UInt8], secret: RootSecret), any Error> {
        let folder = FileManager.default.temporaryDirectory.path + "/cairn-ready-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let catalog = try Catalog(path: folder + "/catalog.sqlite")
        let secret = try RootSecret.open(
            directory: folder + "/keys", mayCreate: true,
            randomBytes: { count in (0..<count).map { _ in UInt8.random(in: 0...255) } })
        let logger = Logger(label: "simulation", factory: { _ in SwiftLogNoOpLogHandler() })
        try await SigningKeys(
            catalog: catalog, secret: secret, clock: { Timestamp(milliseconds: start) }, logger: logger
        ).turn()
        try catalog.close()
        let bytes = try Data(contentsOf: URL(fileURLWithPath: folder + "/catalog.sqlite"))
        return (Array(bytes), secret)
    }
}
