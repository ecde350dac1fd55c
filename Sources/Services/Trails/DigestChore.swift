// SPDX-License-Identifier: Apache-2.0
//
// Digests, for every trail with log file validation, in its home region and in each region that a log file was ever
// delivered for. A chain begins with logging (or with validation, if that is switched on later) at its anchor; its
// digests end at the anchor plus whole intervals, so the phase is constant. A digest covers [start, end) of delivery times
// and lists the log files that were committed before its end; an empty one is written too. After an outage one digest
// covers the gap: it begins where the last one ended and ends at the last boundary that has passed. Stopping the logging
// or deleting the trail writes a last digest, and the next start begins a new chain.
//
// As with log files: one transaction stores the plan, the object is put, one transaction moves the chain. Signatures are
// deterministic, so a plan that is carried out again gives the same object.

package import AWSWire
internal import LogFiles
package import Logging
package import Storage
internal import Synchronization

/// Writes digests when they are due.
package final class DigestChore: Sendable {
    /// Paces; tests lower them.
    package struct Limits: Sendable {
        /// Wait after the first failure, then doubled up to the bound; milliseconds.
        package var retryFirst: Int64 = 1_000
        package var retryMost: Int64 = 300_000
        /// How long a deleted trail's last digest is tried, in milliseconds.
        package var leavingPatience: Int64 = 24 * 3_600_000

        package init() {}
    }

    /// A chain in one region: document `digest-chain` TRAILID REGION.
    struct Chain: Sendable, Equatable, Codable {
        /// The trail's number for it.
        var number: Int
        /// Seconds since 1970; where the next digest begins.
        var start: Int64
        var previous: Link?
    }

    struct Link: Sendable, Equatable, Codable {
        var bucket: String
        var key: String
        var hash: String
        var signature: String
    }

    /// A digest about to be put: document `digest-plan` TRAILID REGION.
    struct Plan: Sendable, Equatable, Codable {
        var region: String
        var chain: Int
        /// Seconds since 1970, half-open.
        var start: Int64
        var end: Int64
        var bucket: String
        var key: String
        /// The trail's key of KMS.
        var keyARN: String?
        var fingerprint: String
        var previous: Link?
        var files: [DeliveredFile]
        /// Whether the chain ends with it.
        var isLast: Bool
    }

    private let catalog: Catalog
    private let bucket: TrailBucket
    private let signingKeys: SigningKeys
    private let clock: Clock
    /// Whole seconds.
    private let interval: Int64
    private let limits: Limits
    private let logger: Logger
    /// One turn at a time: the loop's, one asked for at shutdown, a test's.
    private let turns = SerialTurn()
    private let nudged = Nudge()
    private let backoff: Mutex<Backoff>

    /// - Parameter interval: milliseconds; taken in whole seconds, at least one.
    package init(
        catalog: Catalog, bucket: TrailBucket, signingKeys: SigningKeys, clock: @escaping Clock, interval: Int64,
        limits: Limits, logger: Logger
    ) {
        self.catalog = catalog
        self.bucket = bucket
        self.signingKeys = signingKeys
        self.clock = clock
        self.interval = max(interval / 1000, 1)
        self.limits = limits
        self.logger = logger
        backoff = Mutex(Backoff(first: limits.retryFirst, most: limits.retryMost))
    }

    /// Looks for due digests until cancelled; boundaries are met within a tenth of the interval, at most 15 seconds.
    ///
    /// - Parameter sleep: sleeps so many milliseconds, throws when cancelled.
    package func run(sleep: @escaping @Sendable (Int64) async throws -> Void) async {
        let pace = min(max(interval * 100, 200), 15_000)
        while !Task.isCancelled {
            await turn()
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await sleep(pace) }
                group.addTask { await self.nudged.wait() }
                await group.next()
                group.cancelAll()
            }
        }
    }

    /// Forgets earlier failures and looks now: a trail's configuration has changed.
    package func nudge() {
        backoff.withLock { $0.clear() }
        nudged.give()
    }

    /// Writes every digest that is due; failures are noted in the trail's status and logged.
    package func turn() async {
        await turns.run { await self.turnAlone() }
    }

    private func turnAlone() async {
        do throws(AWSError) {
            let trails = try await catalog.read { snapshot throws(AWSError) in try snapshot.deliverableTrails() }
            await inLanes(trails, by: { self.bucket.endpoint($0.bucket) }) { await self.turn(of: $0) }
        } catch {
            logger.error("digests could not read the catalog", metadata: ["cause": "\(error.cause ?? error.message)"])
        }
    }

    /// - Returns: whether the trails that deliver to the same place are to have their turn as well.
    private func turn(of trail: Trail) async -> Bool {
        do throws(AWSError) {
            for region in try await regions(of: trail) {
                if Task.isCancelled { return false }
                // A place outside that gives no answer may take long not to; the rest waits for the next turn.
                if !(await attempt(trail, region)), bucket.endpoint(trail.bucket) != nil { return false }
            }
            try await purgeIfFinished(trail)
        } catch {
            logger.error("digests could not read the catalog", metadata: ["cause": "\(error.cause ?? error.message)"])
        }
        return true
    }

    /// - Returns: false when the bucket could not be reached.
    private func attempt(_ trail: Trail, _ region: String) async -> Bool {
        let now = clock().milliseconds
        let name = "\(trail.id) \(region)"
        guard backoff.withLock({ $0.isDue(name, now: now) }) else { return true }
        do throws(AWSError) {
            // One step may make the next one due: the last digest of a chain, then the first of the new one.
            var steps = 0
            while steps < 4, try await step(trail, region) { steps += 1 }
            backoff.withLock { $0.succeeded(name) }
            return true
        } catch {
            if Task.isCancelled { return false }  // What was begun is finished at the next start.
            backoff.withLock { $0.failed(name, now: now) }
            logger.warning(
                "a digest could not be written and will be tried again",
                metadata: [
                    "trail": "\(trail.arn.text)", "region": "\(region)", "code": "\(error.code)",
                    "cause": "\(error.cause ?? error.message)",
                ])
            return !error.isServerFault
        }
    }

    /// The regions that have a chain, a plan or files, and the home region.
    private func regions(of trail: Trail) async throws(AWSError) -> [String] {
        try await catalog.read { snapshot throws(AWSError) -> [String] in
            var regions = Set<String>()
            if trail.digestChain != nil { regions.insert(trail.homeRegion) }
            for prefix in [TrailKeys.chains(trail.id), TrailKeys.digestPlans(trail.id), TrailKeys.files(trail.id)] {
                for document in try snapshot.scan(prefix: prefix) {
                    let components = document.key.components
                    if components.count > 2 { regions.insert(components[2]) }
                }
            }
            return regions.sorted()
        }
    }

    // MARK: One region of a trail

    /// - Returns: whether anything was done.
    private func step(_ listed: Trail, _ region: String) async throws(AWSError) -> Bool {
        let planKey = TrailKeys.digestPlan(listed.id, region: region)
        if let plan: Plan = try await catalog.read({ snapshot throws(AWSError) -> Plan? in
            try snapshot.document(planKey)
        }) {
            try await carryOut(plan, for: listed, isNew: false)
            return true
        }
        let review = reviewer(listed, region)
        if case nil = try await catalog.read({ snapshot throws(AWSError) in try review(snapshot) }) { return false }
        let fingerprint = try await signingKeys.signingKey().publicKey.fingerprint
        let plan = try await catalog.write { transaction throws(AWSError) -> Plan? in
            guard let due = try review(transaction) else { return nil }
            let trail = due.review.trail
            let chainKey = TrailKeys.chain(trail.id, region: region)
            switch due.verdict {
            case .nothing: return nil
            case .drop:
                try transaction.delete(chainKey)
                return nil
            case .begin(let chain):
                try transaction.store(chainKey, chain)
                return nil
            case .write(let chain, let end, let isLast):
                let folder = LogFolder(prefix: trail.prefix, account: trail.account, region: region)
                let plan = Plan(
                    region: region, chain: chain.number, start: chain.start, end: end, bucket: trail.bucket,
                    key: folder.digestKey(
                        trail: trail.name, homeRegion: trail.homeRegion,
                        compactTime: Timestamp(seconds: end).iso8601Basic),
                    keyARN: trail.kmsKeyARN, fingerprint: fingerprint, previous: chain.previous,
                    files: due.review.files.filter { $0.delivered < end * 1000 }, isLast: isLast)
                try transaction.store(planKey, plan)
                return plan
            }
        }
        if let plan { try await carryOut(plan, for: listed, isNew: true) }
        return true
    }

    private struct Due: Sendable {
        var review: DigestReview
        var verdict: DigestReview.Verdict
    }

    /// What is due in a region as the catalog stands; nil for nothing.
    private func reviewer(
        _ listed: Trail, _ region: String
    ) -> @Sendable (CatalogSnapshot) throws(AWSError) -> Due? {
        let clock = clock
        let interval = interval
        return { snapshot throws(AWSError) -> Due? in
            guard let (trail, isLeaving) = try snapshot.current(listed) else { return nil }
            let hasPlan = try snapshot.get(TrailKeys.plan(trail.id)) != nil
            let progress: TrailProgress? = try snapshot.document(TrailKeys.progress(trail.id))
            let review = DigestReview(
                trail: trail, region: region, interval: interval, now: clock(),
                isSettled: trail.isSettled && !hasPlan, isLeaving: isLeaving,
                files: try snapshot.documents(TrailKeys.files(trail.id, region: region)),
                lastEnd: progress?.lastDigestEnd?[region] ?? .min)
            let verdict = review.verdict(on: try snapshot.document(TrailKeys.chain(trail.id, region: region)))
            return verdict == .nothing ? nil : Due(review: review, verdict: verdict)
        }
    }

    /// - Parameter isNew: whether it was not tried in an earlier turn.
    private func carryOut(_ plan: Plan, for trail: Trail, isNew: Bool) async throws(AWSError) {
        guard let key = try await signingKeys.signingKey(fingerprint: plan.fingerprint) else {
            // The key has been retired since; nothing may have been written with it that a new digest would not replace.
            try await forget(plan, of: trail)
            return
        }
        let digest = Digest(
            account: trail.account, startTime: Timestamp(seconds: plan.start).iso8601,
            endTime: Timestamp(seconds: plan.end).iso8601, bucket: plan.bucket, key: plan.key,
            fingerprint: plan.fingerprint,
            previous: plan.previous.map {
                Digest.Previous(bucket: $0.bucket, key: $0.key, hash: $0.hash, signature: $0.signature)
            },
            files: plan.files.map { file in
                Digest.File(
                    bucket: file.bucket, key: file.key, hash: file.hash,
                    newestEventTime: Timestamp(seconds: file.newest).iso8601,
                    oldestEventTime: Timestamp(seconds: file.oldest).iso8601)
            })
        let content = digest.content
        let signature: String
        let body: [UInt8]
        do {
            signature = try key.sign(digest.stringToSign(content: content))
            body = try LogFile.compress(content)
        } catch {
            throw .internalFailure(cause: "a digest could not be made: \(error)")
        }
        let put = TrailBucket.Put(
            bucket: plan.bucket, key: plan.key, body: body,
            metadata: [
                WireHeader(Digest.signatureMetadata, signature),
                WireHeader(Digest.signatureAlgorithmMetadata, Digest.signatureAlgorithm),
            ], sourceARN: trail.arn.text, sourceAccount: trail.account, keyARN: plan.keyARN)
        do throws(AWSError) {
            try await bucket.put(put)
        } catch {
            let remains = await bucket.remains(of: put, after: error, mayBeThere: !isNew)
            if remains != .all {
                try await note(error, plan, isAbsent: remains == .nothing, of: trail)
                throw error
            }
        }
        let link = Link(bucket: plan.bucket, key: plan.key, hash: Digest.hash(of: content), signature: signature)
        try await commit(plan, link, of: trail)
    }

    private func commit(_ plan: Plan, _ link: Link, of trail: Trail) async throws(AWSError) {
        let clock = clock
        try await catalog.write { transaction throws(AWSError) in
            let chainKey = TrailKeys.chain(trail.id, region: plan.region)
            if plan.isLast {
                try transaction.delete(chainKey)
            } else {
                try transaction.store(chainKey, Chain(number: plan.chain, start: plan.end, previous: link))
            }
            for file in plan.files {
                try transaction.delete(TrailKeys.file(trail.id, region: plan.region, key: file.key))
            }
            try transaction.delete(TrailKeys.digestPlan(trail.id, region: plan.region))
            let key = TrailKeys.progress(trail.id)
            guard var progress: TrailProgress = try transaction.document(key) else { return }
            progress.latestDigest[plan.region] = clock().milliseconds
            progress.lastDigestEnd = (progress.lastDigestEnd ?? [:]).merging([plan.region: plan.end]) { max($0, $1) }
            progress.digestError = nil
            try transaction.store(key, progress)
        }
    }

    /// A refused digest is planned anew, for the bucket that the trail has by then; a fault leaves the plan as it is,
    /// unless the trail has another bucket or prefix.
    private func note(_ error: AWSError, _ plan: Plan, isAbsent: Bool, of trail: Trail) async throws(AWSError) {
        let now = clock().milliseconds
        let patience = limits.leavingPatience
        let isGivenUp = try await catalog.write { transaction throws(AWSError) -> Bool in
            let current = try transaction.current(trail)?.trail ?? trail
            if isAbsent || !current.isHome(of: plan.key, in: plan.bucket) {
                try transaction.delete(TrailKeys.digestPlan(trail.id, region: plan.region))
            } else if current.kmsKeyARN != plan.keyARN {
                var changed = plan
                changed.keyARN = current.kmsKeyARN
                try transaction.store(TrailKeys.digestPlan(trail.id, region: plan.region), changed)
            }
            let key = TrailKeys.progress(trail.id)
            guard var progress: TrailProgress = try transaction.document(key),
                let (_, isLeaving) = try transaction.current(trail)
            else { return false }
            progress.digestError = error.code
            if isLeaving { progress.failingSince = progress.failingSince ?? now }
            try transaction.store(key, progress)
            guard isLeaving, error.code == "NoSuchBucket" || now - (progress.failingSince ?? now) > patience else {
                return false
            }
            try transaction.delete(TrailKeys.digestPlan(trail.id, region: plan.region))
            try transaction.delete(TrailKeys.chain(trail.id, region: plan.region))
            try transaction.deleteAll(TrailKeys.files(trail.id, region: plan.region))
            return true
        }
        if isGivenUp {
            logger.warning(
                "gave up the last digest of a deleted trail, whose bucket does not take it",
                metadata: ["trail": "\(trail.arn.text)", "bucket": "\(plan.bucket)", "code": "\(error.code)"])
        }
    }

    private func forget(_ plan: Plan, of trail: Trail) async throws(AWSError) {
        try await catalog.write { transaction throws(AWSError) -> Void in
            try transaction.delete(TrailKeys.digestPlan(trail.id, region: plan.region))
        }
    }

    /// Removes a deleted trail's documents once nothing is left to write.
    private func purgeIfFinished(_ trail: Trail) async throws(AWSError) {
        try await catalog.write { transaction throws(AWSError) -> Void in
            guard let (current, isLeaving) = try transaction.current(trail), isLeaving, current.isSettled,
                try transaction.get(TrailKeys.plan(trail.id)) == nil,
                try transaction.scan(prefix: TrailKeys.chains(trail.id), limit: 1).isEmpty,
                try transaction.scan(prefix: TrailKeys.digestPlans(trail.id), limit: 1).isEmpty,
                try transaction.scan(prefix: TrailKeys.files(trail.id), limit: 1).isEmpty,
                try transaction.scan(prefix: TrailKeys.notices(trail.id), limit: 1).isEmpty
            else { return }
            try transaction.delete(TrailKeys.progress(trail.id))
            try transaction.delete(TrailKeys.leaving(trail.id))
        }
    }
}
