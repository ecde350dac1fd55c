// SPDX-License-Identifier: Apache-2.0
//
// Delivery turns the journal into log files, for every trail. Each trail has its own position; a turn takes it from there
// to the journal's end in steps of three:
//
//     1. One transaction stores a plan: the range, the files with their keys, the epochs as they were.
//     2. The objects are put. The same plan gives the same keys and bytes, so doing this twice changes nothing.
//     3. One transaction moves the position, notes each file for its digest and its notice, updates the status, removes
//        the plan. The notices are published after it (TrailTopic.swift).
//
// Killed anywhere, the next turn finds the plan and goes on with 2. Events are thus delivered once, and the position
// moves only with the delivered file. A refusal by the store (status below 500) proves that nothing was written by that
// put: then the file gets a new name when it is tried again, in the bucket that the trail has by then. An earlier put
// of the same name, whose answer was lost, may have written it; then the store is asked, and only where it cannot
// tell does the file keep its name. Nor does it once the trail has another bucket or prefix: the old may be gone for good.

package import AWSWire
internal import Dispatch
package import EventJournal
internal import EventRecord
internal import LogFiles
package import Logging
package import Storage
internal import Synchronization

/// Delivers the events that trails select.
package final class Delivery: Sendable {
    /// Bounds and paces; tests lower them.
    package struct Limits: Sendable {
        /// Bytes of the journal that are read at a time.
        package var readBytesMax = 4 << 20
        /// Bytes of records in one file, uncompressed; a larger range is split. CloudTrail's bound is 50 MB compressed.
        package var fileBytesMax = 24 << 20
        /// Bytes of records that one plan takes, which is also what a turn holds in memory.
        package var planBytesMax = 64 << 20
        /// Events that may wait before a turn begins without waiting for the interval.
        package var waitingEventsMax: UInt64 = 50_000
        /// Wait after the first failure, then doubled up to the bound; milliseconds.
        package var retryFirst: Int64 = 1_000
        package var retryMost: Int64 = 300_000
        /// How long a deleted trail's last events are tried, in milliseconds; then they are given up with a warning.
        package var leavingPatience: Int64 = 24 * 3_600_000

        package init() {}
    }

    private struct State {
        var backoff: Backoff
        /// The lowest position of any trail, as last known; 0 before the first turn.
        var kept: UInt64 = 0
    }

    let catalog: Catalog
    private let journal: Journal
    private let bucket: TrailBucket
    let topic: TrailTopic
    let clock: Clock
    private let limits: Limits
    private let logger: Logger
    private let queue = DispatchQueue(label: "cairn.delivery", qos: .utility)
    /// One turn at a time: the loop's, one asked for at shutdown, a test's.
    private let turns = SerialTurn()
    private let nudged = Nudge()
    private let state: Mutex<State>

    /// - Parameters:
    ///   - bucket: where objects are put, with the bucket's policy deciding each time.
    ///   - topic: who is told of them.
    package init(
        catalog: Catalog, journal: Journal, bucket: TrailBucket, topic: TrailTopic, clock: @escaping Clock,
        limits: Limits, logger: Logger
    ) {
        self.topic = topic
        self.catalog = catalog
        self.journal = journal
        self.bucket = bucket
        self.clock = clock
        self.limits = limits
        self.logger = logger
        state = Mutex(State(backoff: Backoff(first: limits.retryFirst, most: limits.retryMost)))
    }

    /// Journal entries at or above this number are still needed; `UInt64.max` when there is no trail.
    package var positionKept: UInt64 { state.withLock(\.kept) }

    /// Takes a turn every `interval` milliseconds, earlier when many events wait or on a nudge, until cancelled.
    ///
    /// - Parameter sleep: sleeps so many milliseconds, throws when cancelled.
    package func run(interval: Int64, sleep: @escaping @Sendable (Int64) async throws -> Void) async {
        while !Task.isCancelled {
            await turn()
            let threshold = journal.durableNumber + limits.waitingEventsMax
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await sleep(interval) }
                group.addTask { await self.nudged.wait() }
                group.addTask {
                    // A closed journal ends the wait with an error; the interval then sets the pace.
                    do { _ = try await self.journal.waitForEntries(from: threshold) } catch {
                        try? await sleep(interval)
                    }
                }
                await group.next()
                group.cancelAll()
            }
        }
    }

    /// Asks for a turn now and forgets earlier failures: a trail's configuration has changed.
    package func nudge() {
        state.withLock { $0.backoff.clear() }
        nudged.give()
    }

    /// Delivers what is in the journal, for the shutdown; what fails stays for the next start.
    package func flush() async {
        state.withLock { $0.backoff.clear() }
        await turn()
    }

    /// A trail begins at that position, so the journal must be kept from there.
    func trailBegins(at position: UInt64) {
        state.withLock { $0.kept = min($0.kept, position) }
    }

    /// Delivers for every trail up to the journal's present end; failures are noted in the trail's status and logged.
    package func turn() async {
        await turns.run { await self.turnAlone() }
    }

    private func turnAlone() async {
        // The end is read before the trails are: a change that ends a trail's logging is stored before its event is
        // journaled, so every event below this end finds the epochs that it needs.
        let end = journal.durableNumber
        do throws(AWSError) {
            let trails = try await catalog.read { snapshot throws(AWSError) in try snapshot.deliverableTrails() }
            // An endpoint outside that hangs holds up the trails that deliver to it, and no others.
            await inLanes(trails, by: { self.bucket.endpoint($0.bucket) }) { trail in
                await self.attempt(trail, to: end)
                return true
            }
            if Task.isCancelled { return }
            try await refreshKept()
        } catch {
            logger.error("delivery could not read the catalog", metadata: ["cause": "\(error.cause ?? error.message)"])
        }
    }

    private func attempt(_ trail: Trail, to end: UInt64) async {
        let now = clock().milliseconds
        guard !Task.isCancelled, state.withLock({ $0.backoff.isDue(trail.id, now: now) }) else { return }
        do throws(AWSError) {
            try await deliver(trail, to: end)
            try await announce(trail)
            state.withLock { $0.backoff.succeeded(trail.id) }
        } catch {
            if Task.isCancelled { return }  // What was begun is finished by `flush` or the next start.
            state.withLock { $0.backoff.failed(trail.id, now: now) }
            logger.warning(
                "delivery failed and will be tried again",
                metadata: [
                    "trail": "\(trail.arn.text)", "bucket": "\(trail.bucket)", "code": "\(error.code)",
                    "cause": "\(error.cause ?? error.message)",
                ])
        }
    }

    private func refreshKept() async throws(AWSError) {
        // Read and set with no trail beginning between: `trailBegins` only lowers, and it is called after its commit.
        let before = state.withLock(\.kept)
        let lowest = try await catalog.read { snapshot throws(AWSError) -> UInt64 in
            var lowest = UInt64.max
            for trail in try snapshot.deliverableTrails() {
                let progress: TrailProgress? = try snapshot.document(TrailKeys.progress(trail.id))
                lowest = min(lowest, progress?.position ?? 0)
            }
            return lowest
        }
        state.withLock { if $0.kept == before { $0.kept = lowest } }
    }

    // MARK: One trail

    private func deliver(_ trail: Trail, to end: UInt64) async throws(AWSError) {
        let planKey = TrailKeys.plan(trail.id)
        if let plan = try await catalog.read({ snapshot throws(AWSError) -> DeliveryPlan? in
            try snapshot.document(planKey)
        }) {
            try await carryOut(plan, for: trail, contents: nil)
        }
        while true {
            let found = try await catalog.read { snapshot throws(AWSError) -> (Trail, UInt64)? in
                guard let (current, _) = try snapshot.current(trail) else { return nil }
                let progress: TrailProgress? = try snapshot.document(TrailKeys.progress(trail.id))
                return (current, progress?.position ?? 0)
            }
            guard let (current, position) = found, position < end else { return }
            if current.isSettled, !current.epochs[0].isLogging {
                try await pass(current, to: end, met: [])
                return
            }
            let (plan, contents) = try await away(on: queue) { () throws(AWSError) in
                try self.prepare(current, from: position, end: end)
            }
            if plan.files.isEmpty {
                try await pass(current, to: plan.to, met: plan.met)
            } else {
                try await carryOut(plan, for: current, contents: contents)
            }
        }
    }

    /// Reads the range and cuts it into files.
    private func prepare(
        _ trail: Trail, from: UInt64, end: UInt64
    ) throws(AWSError) -> (DeliveryPlan, [LogFile]) {
        struct Pile {
            var records: [ArraySlice<UInt8>] = []
            var bytes = 0
            var from: UInt64
            var to: UInt64
            var oldest = Int64.max
            var newest = Int64.min
        }
        var scan = TrailScan(account: trail.account, homeRegion: trail.homeRegion, epochs: trail.epochs)
        var piles: [String: Pile] = [:]
        var files: [DeliveryPlan.File] = []
        var contents: [LogFile] = []
        func close(_ region: String, _ pile: Pile) {
            let content = LogFile(records: pile.records)
            files.append(
                DeliveryPlan.File(
                    region: region, from: pile.from, to: pile.to, hash: content.hash, oldest: pile.oldest,
                    newest: pile.newest))
            contents.append(content)
        }
        var bytes = 0
        let to = try eachEntry(from: from, to: end) { entry, number in
            guard let taken = scan.take(entry, number: number) else { return true }
            var pile = piles.removeValue(forKey: taken.region) ?? Pile(from: number, to: number)
            if !pile.records.isEmpty, pile.bytes + taken.record.count > limits.fileBytesMax {
                close(taken.region, pile)
                pile = Pile(from: number, to: number)
            }
            pile.records.append(taken.record)
            pile.bytes += taken.record.count + 1
            pile.to = number + 1
            pile.oldest = min(pile.oldest, taken.seconds)
            pile.newest = max(pile.newest, taken.seconds)
            piles[taken.region] = pile
            bytes += taken.record.count
            return bytes < limits.planBytesMax
        }
        for (region, pile) in piles.sorted(by: { $0.key < $1.key }) { close(region, pile) }
        // The epochs as they were before the scan: a plan that is carried out again meets the same events again.
        return (DeliveryPlan(from: from, to: to, epochs: trail.epochs, met: scan.met, files: files), contents)
    }

    /// Gives each entry of a range, until the body answers false.
    ///
    /// - Returns: one past the last entry given.
    private func eachEntry(
        from: UInt64, to: UInt64, _ body: (ArraySlice<UInt8>, UInt64) -> Bool
    ) throws(AWSError) -> UInt64 {
        var number = from
        while number < to {
            let batch: JournalBatch
            do {
                batch = try journal.read(from: number, bytesMax: limits.readBytesMax)
            } catch {
                throw .internalFailure(cause: "delivery could not read the journal at \(number): \(error)")
            }
            guard batch.first == number, batch.next > number else {
                throw .internalFailure(cause: "the journal has no entry \(number), which delivery still needs")
            }
            for entry in batch.entries {
                guard number < to else { break }
                number += 1
                if !body(entry, number - 1) { return number }
            }
        }
        return number
    }

    /// Moves the position over a range that has nothing to deliver.
    private func pass(_ trail: Trail, to position: UInt64, met: [DeliveryPlan.Met]) async throws(AWSError) {
        try await catalog.write { transaction throws(AWSError) in
            guard let (found, isLeaving) = try transaction.current(trail) else { return }
            var current = found
            let key = TrailKeys.progress(trail.id)
            var progress: TrailProgress = try transaction.document(key) ?? TrailProgress(position: position)
            progress.position = position
            try transaction.store(key, progress)
            current.settle(met, position: position)
            if current != found { try transaction.store(current, isLeaving: isLeaving) }
        }
    }

    // MARK: Carrying out a plan

    private func carryOut(_ stored: DeliveryPlan, for trail: Trail, contents: [LogFile]?) async throws(AWSError) {
        var plan = try await named(stored, for: trail)
        let files: [LogFile]
        if let contents {
            files = contents
        } else {
            let found = plan
            files = try await away(on: queue) { () throws(AWSError) in try self.rebuilt(found, for: trail) }
        }
        for index in plan.files.indices where !plan.files[index].isPut {
            let file = plan.files[index]
            guard let key = file.key else { continue }
            let content = files[index]
            let body = try await away(on: queue) { () throws(AWSError) -> [UInt8] in
                do {
                    return try content.compressed()
                } catch {
                    throw .internalFailure(cause: "a log file could not be compressed: \(error)")
                }
            }
            let put = TrailBucket.Put(
                bucket: file.bucket, key: key, body: body, metadata: [], sourceARN: trail.arn.text,
                sourceAccount: trail.account, keyARN: file.keyARN)
            do throws(AWSError) {
                try await bucket.put(put)
            } catch {
                // A name from an earlier turn may have been put then, with the answer lost.
                let isNew = stored.files.map { $0.key == nil }
                let remains = await bucket.remains(of: put, after: error, mayBeThere: !isNew[index])
                if remains != .all {
                    // What comes after it has not been tried in this turn, and gets a name that sorts after this one's.
                    for later in plan.files.indices.dropFirst(index + 1) where isNew[later] {
                        plan.files[later].key = nil
                    }
                    if remains == .nothing { plan.files[index].key = nil }
                    try await note(error, in: plan, for: trail)
                    throw error
                }
            }
            plan.files[index].isPut = true
        }
        try await commit(plan, for: trail)
    }

    /// Gives a key to each file that has none, in the bucket that the trail has now, and stores the plan.
    private func named(_ stored: DeliveryPlan, for trail: Trail) async throws(AWSError) -> DeliveryPlan {
        guard stored.files.contains(where: { $0.key == nil }) else { return stored }
        let clock = clock
        return try await catalog.write { transaction throws(AWSError) -> DeliveryPlan in
            let current = try transaction.current(trail)?.trail ?? trail
            var sequence: DeliverySequence = try transaction.document(TrailKeys.sequence) ?? DeliverySequence()
            var plan = stored
            for index in plan.files.indices where plan.files[index].key == nil {
                let stamp = sequence.next(now: clock())
                let folder = LogFolder(
                    prefix: current.prefix, account: current.account, region: plan.files[index].region)
                plan.files[index].bucket = current.bucket
                plan.files[index].keyARN = current.kmsKeyARN
                plan.files[index].key = folder.logFileKey(
                    stamp, compactTime: Timestamp(seconds: stamp.minute * 60).compactMinute)
            }
            try transaction.store(TrailKeys.sequence, sequence)
            try transaction.store(TrailKeys.plan(trail.id), plan)
            return plan
        }
    }

    /// Makes the files of a plan that was found from the journal, and checks them against it.
    private func rebuilt(_ plan: DeliveryPlan, for trail: Trail) throws(AWSError) -> [LogFile] {
        var scan = TrailScan(account: trail.account, homeRegion: trail.homeRegion, epochs: plan.epochs)
        var records = [[ArraySlice<UInt8>]](repeating: [], count: plan.files.count)
        _ = try eachEntry(from: plan.from, to: plan.to) { entry, number in
            guard let taken = scan.take(entry, number: number) else { return true }
            let index = plan.files.firstIndex { file in
                file.region == taken.region && file.from <= number && number < file.to
            }
            if let index { records[index].append(taken.record) }
            return true
        }
        let contents = records.map { LogFile(records: $0) }
        for (content, file) in zip(contents, plan.files) where content.hash != file.hash {
            throw .internalFailure(
                cause: "the journal's entries \(file.from)..<\(file.to) no longer give the log file that was planned "
                    + "(\(file.key ?? "no key yet")); the journal or the catalog was replaced")
        }
        return contents
    }

    /// Keeps what was put, forgets the names where the trail no longer is, and shows the error in the status.
    private func note(
        _ error: AWSError, in plan: DeliveryPlan, for trail: Trail
    ) async throws(AWSError) {
        let now = clock().milliseconds
        let patience = limits.leavingPatience
        let isGivenUp = try await catalog.write { transaction throws(AWSError) -> Bool in
            guard let (found, isLeaving) = try transaction.current(trail) else { return false }
            var current = found
            let key = TrailKeys.progress(trail.id)
            var progress: TrailProgress = try transaction.document(key) ?? TrailProgress(position: plan.from)
            progress.latestAttempt = now
            progress.deliveryError = error.code
            progress.failingSince = progress.failingSince ?? now
            let isHopeless = error.code == "NoSuchBucket" || now - (progress.failingSince ?? now) > patience
            if isLeaving, isHopeless {
                // Nobody can put this right any more: the trail is gone and so is its bucket.
                var last = current.epochs[current.epochs.count - 1]
                last.from = 0
                last.afterEventID = nil
                last.isLogging = false
                current.epochs = [last]
                try transaction.delete(TrailKeys.plan(trail.id))
                try transaction.store(current, isLeaving: true)
                try transaction.store(key, progress)
                return true
            }
            var changed = plan
            for index in changed.files.indices where !changed.files[index].isPut {
                if let key = changed.files[index].key, !current.isHome(of: key, in: changed.files[index].bucket) {
                    changed.files[index].key = nil
                }
                changed.files[index].keyARN = current.kmsKeyARN
            }
            try transaction.store(TrailKeys.plan(trail.id), changed)
            try transaction.store(key, progress)
            return false
        }
        if isGivenUp {
            logger.warning(
                "gave up the last events of a deleted trail, whose bucket does not take them",
                metadata: ["trail": "\(trail.arn.text)", "bucket": "\(trail.bucket)", "code": "\(error.code)"])
        }
    }

    private func commit(_ plan: DeliveryPlan, for trail: Trail) async throws(AWSError) {
        let clock = clock
        try await catalog.write { transaction throws(AWSError) in
            // Taken inside the transaction, so that no digest that ends before this moment is written after it.
            let now = clock().milliseconds
            try transaction.delete(TrailKeys.plan(trail.id))
            guard let (found, isLeaving) = try transaction.current(trail) else { return }
            var current = found
            let key = TrailKeys.progress(trail.id)
            var progress: TrailProgress = try transaction.document(key) ?? TrailProgress(position: plan.to)
            progress.position = plan.to
            progress.latestAttempt = now
            progress.latestSuccess = now
            progress.deliveryError = nil
            progress.failingSince = nil
            for file in plan.files {
                guard let name = file.key else { continue }
                progress.latestDelivery[file.region] = now
                if let topic = current.topicARN {
                    try transaction.store(
                        TrailKeys.notice(trail.id, key: name),
                        TrailNotice(bucket: file.bucket, key: name, region: file.region, topic: topic))
                }
                guard current.hasLogFileValidation else { continue }
                try transaction.store(
                    TrailKeys.file(trail.id, region: file.region, key: name),
                    DeliveredFile(
                        bucket: file.bucket, key: name, hash: file.hash, oldest: file.oldest, newest: file.newest,
                        delivered: now))
            }
            try transaction.store(key, progress)
            current.settle(plan.met, position: plan.to)
            if current != found { try transaction.store(current, isLeaving: isLeaving) }
        }
    }
}

extension Timestamp {
    /// `20261124T2037Z`.
    var compactMinute: String { String(iso8601Basic.dropLast(3)) + "Z" }
}
