// SPDX-License-Identifier: Apache-2.0

internal import AWSClient
internal import AWSWire
internal import Capture
internal import EventHistory
internal import EventJournal
internal import Glibc
internal import Identity
internal import Keys
internal import Logging
internal import Messaging
internal import NIOCore
internal import NIOPosix
package import Objects
internal import Policies
internal import ServiceLifecycle
internal import Storage
internal import Trails
internal import UnixSignals

/// The process: opens the rooms in arrow order, serves, and closes them in reverse.
package enum CairnServer {
    /// Runs until SIGTERM or SIGINT, then finishes the requests in flight, flushes and returns.
    ///
    /// - Parameters:
    ///   - isRecording: off only in the benchmark that measures what recording costs.
    ///   - storage: another than the usual one only in the benchmark that measures what encryption costs.
    ///   - announce: prints a line for the person who started it; never a secret.
    /// - Throws: whatever keeps it from starting, with a text that names the file and says what can be done.
    package static func run(
        _ configuration: ServerConfiguration, isRecording: Bool = true, storage: ObjectStorage = ObjectStorage(),
        announce: @escaping @Sendable (String) -> Void
    ) async throws {
        let folder = try DataFolder.open(configuration.dataFolder)
        defer { folder.close() }
        let house = try await House.open(configuration, folder, isRecording: isRecording, storage: storage)
        do {
            try await house.serve(announce: announce)
        } catch {
            await house.close()
            throw error
        }
        await house.close()
    }
}

/// All rooms, wired; this file is the wiring diagram.
private struct House: Sendable {
    let configuration: ServerConfiguration
    let folder: DataFolder
    let logger: Logger
    let catalog: Catalog
    let journal: Journal
    let history: History
    let recorder: Recorder
    let intake: RecordIntake
    let keys: KeyService
    let objects: ObjectService
    let queues: QueueService
    let topics: TopicService
    let endpoints: EndpointPosts
    let trails: TrailService
    let delivery: Delivery
    let digests: DigestChore
    let signingKeys: SigningKeys
    let gate: Gate
    let account: FirstAccount
    let identities: IdentityStore
    let decisions: DecisionLog

    private static let settledKey = CatalogKey("recorder", "settled")
    private static let sourcesKey = CatalogKey("intake", "sources")

    static func open(
        _ configuration: ServerConfiguration, _ folder: DataFolder, isRecording: Bool, storage: ObjectStorage
    ) async throws -> House {
        let clock = SystemTime.shifted(by: configuration.clockOffset.milliseconds)
        let random = SystemRandom.bytes
        let crash = configuration.crashPoints
        var logger = Logger(label: "cairn") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = configuration.logLevel
        if configuration.clockOffset != .zero {
            logger.warning(
                "the clock is not the system's: events, signatures and retention go by a time of rehearsal",
                metadata: ["offset": "\(configuration.clockOffset)"])
        }

        // The journal is made before the account, so an account without a journal has lost it; entries without a catalog
        // have lost that. A first start that was cut short leaves neither, and goes on.
        let (hadCatalog, hadJournal, hadHistory) = (folder.hasCatalog, folder.hasJournal, folder.hasHistory)
        let openedCatalog =
            hadCatalog ? try openCatalog(folder, crash) : nil
        if let openedCatalog, !hadJournal, try await FirstAccount.exists(in: openedCatalog) {
            throw DataFolder.lost("the journal", folder.journal)
        }
        let journal = try Journal.open(
            directory: folder.journal, device: crash?.journalDevice ?? POSIXJournalDevice(),
            limits: crash?.journalLimits ?? JournalLimits(), clock: { clock().milliseconds },
            answering: LoopWakes.gathered)
        if !hadCatalog, hadHistory || journal.durableNumber > 0 {
            throw DataFolder.lost("the catalogue", folder.catalog)
        }
        let catalog = try openedCatalog ?? openCatalog(folder, crash)
        let isFirstStart = try await !FirstAccount.exists(in: catalog)
        let secret = try RootSecret.open(directory: folder.keys, mayCreate: isFirstStart, randomBytes: random)
        let account: FirstAccount
        do throws(AWSError) {
            account = try await FirstAccount.open(catalog, secret, randomBytes: random, now: clock())
        } catch {
            throw DataFolder.unopened(folder.keys + "/" + RootSecret.fileName, cause: error.cause ?? error.message)
        }

        let settled = try await settle(journal, catalog, folder)
        if settled > 0 {
            logger.warning(
                "calls were under way when the server stopped; recorded as unknown", metadata: ["count": "\(settled)"])
        }
        let history = try openHistory(folder, journal, configuration.historyRetention, clock, crash)

        let identities = try await IdentityStore.open(catalog)
        let identifiers = Identifiers(randomBytes: random)
        let recorder = Recorder(
            journal: journal, identifier: { identifiers.uuid() }, clock: clock, logger: logger,
            isRecording: isRecording)
        let organizations = try await OrganizationStore.open(catalog)
        let decisions = DecisionLog(
            directory: DataFolder.decisions(in: folder.path), limits: DecisionLog.Limits(), clock: clock,
            logger: logger)
        let credentials = Credentials(catalog: catalog, rootSecret: secret, store: identities)
        // A key brings its own policy along, so that this one asks for no resource's.
        let keyAuthorizer = Authorizer(
            store: identities, controls: { organizations.controls(over: $0) }, note: { decisions.note($0) })
        let keys = try await KeyService.open(
            catalog: catalog, vault: RootSecretVault(secret), clock: clock, randomBytes: random,
            decide: { question throws(AWSError) in
                keyAuthorizer.decide(
                    question.call, action: question.action,
                    key: ResourceReference(
                        type: "AWS::KMS::Key", arn: question.facts.arn, accountID: question.facts.account),
                    policy: question.facts.policy, isDamaged: question.isDamaged, rule: question.facts.rule,
                    facts: question.facts.context)
            },
            record: { event throws(AWSError) in
                try await recorder.close(
                    CallRecord(event, id: identifiers.uuid(), requestID: identifiers.uuid()),
                    CallOutcome(error: event.error), nil)
            }, principals: identities.principals)
        let queues = try await QueueService.open(
            catalog: catalog, secret: secret, clock: clock, sleep: Self.sleepUntilShutdown, randomBytes: random)
        let endpoints = try EndpointPosts(trustedAuthorities: configuration.trustedAuthorities)
        let topics = try await TopicService.open(
            catalog: catalog, queues: queues, secret: secret, clock: clock, randomBytes: random,
            send: { try await endpoints.send($0) }, logger: logger)
        let noFault: FileFault = { _ in nil }
        let objects = try await ObjectService.open(
            catalog: catalog, directory: folder.objects, keys: keys, baseHosts: configuration.s3Hosts, clock: clock,
            randomBytes: random, fault: crash?.fileFault ?? noFault,
            destinations: ["sns": BucketTopics(topics: topics), "sqs": BucketQueues(queues: queues)], storage: storage,
            controls: { account in
                let controls = organizations.controls(over: account)
                return PoliciesInForce(resourceControl: controls.resource, damaged: controls.damaged)
            }, principals: identities.principals)
        let outside = try S3EndpointConfiguration.buckets(
            configuration.s3Endpoints,
            surroundings: S3Client.Surroundings(
                clock: clock, pause: Self.sleep, patience: Self.sleep, chance: { Double.random(in: 0..<1) }))
        let realBucket = TrailBucket(objects: objects).with(outside)
        let bucket = crash?.bucket(realBucket) ?? realBucket
        let signingKeys = SigningKeys(catalog: catalog, secret: secret, clock: clock, logger: logger)
        let topic = TrailTopic(topics: topics)
        let delivery = Delivery(
            catalog: catalog, journal: journal, bucket: bucket, topic: topic, clock: clock, limits: Delivery.Limits(),
            logger: logger)
        let digests = DigestChore(
            catalog: catalog, bucket: bucket, signingKeys: signingKeys, clock: clock,
            interval: configuration.digestInterval.milliseconds, limits: DigestChore.Limits(), logger: logger)
        let trails = TrailService(
            catalog: catalog, journal: journal, bucket: bucket,
            kms: TrailKMS(keys: keys, objects: objects).with(outside), topic: topic,
            search: { try await history.search($0) },
            signingKeys: signingKeys,
            delivery: delivery, digests: digests, clock: clock, randomBytes: random,
            principals: identities.principals)
        var intakeLimits = IntakeLimits()
        intakeLimits.backlogEventsMax = configuration.intakeBacklog
        intakeLimits.spoolBytesMax = configuration.intakeSpool
        intakeLimits.bodiesMax = configuration.intakeBodies
        let intake = try await RecordIntake.open(
            journal: journal, store: ledgerStore(catalog), limits: intakeLimits, clock: clock,
            known: { (ids, account) throws(AWSError) in try await known(ids, account, history) },
            backlog: {
                let end = journal.durableNumber
                let taken = max(min(history.status.next, delivery.positionKept), journal.firstNumber)
                return end - min(taken, end)
            },
            pause: Self.sleep)

        let queries = EventQueries(history: history, journal: journal, clock: clock)

        let authorizer = Authorizer(
            store: identities,
            resourcePolicy: { (resource, action) throws(AWSError) in
                if action.hasPrefix("cloudtrail-data:") { return try await trails.policy(of: resource, action: action) }
                if let policy = queues.policy(of: resource) ?? topics.policy(of: resource) { return policy }
                return objects.policy(of: resource)
            },
            isRestricted: { objects.isRestricted($0) },
            controls: { organizations.controls(over: $0) },
            objectTags: { (object, conditions) throws(AWSError) in
                try await objects.existingTags(of: object, conditions)
            }, canonicalID: { ObjectService.canonicalID(of: $0) }, note: { decisions.note($0) })
        let sessions = Sessions(
            rootSecret: secret, store: identities, credentials: credentials, randomBytes: random,
            isClosed: { organizations.isClosed(account: $0) })
        let documents = try ProviderDocuments(trustedAuthorities: configuration.trustedAuthorities)
        let sts = STSService(
            store: identities, credentials: credentials, sessions: sessions, authorizer: authorizer,
            rootSecret: secret, webIdentities: WebIdentities(fetch: { try await documents.get($0) }),
            isFactorRight: { (serial, code, caller, now) throws(AWSError) in
                guard caller.kind == .user, let user = caller.principalID.flatMap({ identities.entity(id: $0) }),
                    user.devices.contains(serial)
                else { return nil }
                return try await identities.takeCode(code, serial: serial, of: user, secret, now: now)
            })

        let gate = Gate(
            directory: ServiceDirectory([
                trails.service, objects.service, keys.service, sts.service, topics.service, queues.service,
                EventIntake(intake: intake, directory: folder.intake).service.joined(with: queries.service),
                AuditEventService(
                    trails: trails,
                    take: { (records, account, source) throws(AWSError) in
                        try intake.checkRoom()
                        _ = try await intake.take(records, account: account, source: source)
                    }
                ).service,
                IAMService(
                    store: identities, rootSecret: secret,
                    rootKeys: RootKeys(catalog: catalog, rootSecret: secret, credentials: credentials),
                    randomBytes: random, controls: { organizations.controls(over: $0) }
                ).service,
                SignInService(store: identities, sessions: sessions, rootSecret: secret, randomBytes: random).service,
                OrganizationService(store: organizations, identities: identities, randomBytes: random).service,
            ]),
            sessions: sessions, authorizer: authorizer,
            recorder: recorder, identifiers: identifiers, firstAccount: account.accountID,
            homeRegion: configuration.region, trustedProxies: configuration.trustedProxies,
            isReady: { journal.isWritable }, document: { topics.document($0) }, clock: clock, logger: logger)
        return House(
            configuration: configuration, folder: folder, logger: logger, catalog: catalog, journal: journal,
            history: history, recorder: recorder, intake: intake, keys: keys, objects: objects,
            queues: queues, topics: topics, endpoints: endpoints, trails: trails,
            delivery: delivery,
            digests: digests, signingKeys: signingKeys, gate: gate, account: account, identities: identities,
            decisions: decisions)
    }

    private static func ledgerStore(_ catalog: Catalog) -> RecordIntake.LedgerStore {
        RecordIntake.LedgerStore(
            load: { () throws(AWSError) in
                try await catalog.read { (snapshot) throws(AWSError) in try snapshot.get(sourcesKey)?.value }
            },
            save: { (document) throws(AWSError) in
                try await catalog.write { (transaction) throws(AWSError) in try transaction.put(sourcesKey, document) }
            })
    }

    private static func known(
        _ ids: [String], _ account: String, _ history: History
    ) async throws(AWSError) -> Set<String> {
        do throws(HistoryError) {
            return try await history.known(eventIDs: ids, ownerAccount: account)
        } catch  where error.code == .behind || error.code == .closed {
            throw .serviceUnavailable(
                "Event history cannot take more events now, so none are taken in. Try again later.",
                cause: "\(error)")
        } catch {
            throw .internalFailure(cause: "import: \(error)")
        }
    }

    private static func openCatalog(_ folder: DataFolder, _ crash: CrashPoints?) throws -> Catalog {
        try Catalog(path: folder.catalog, checkedOnUse: ObjectService.contentKeys, step: crash?.catalogStep)
    }

    private static func openHistory(
        _ folder: DataFolder, _ journal: Journal, _ retention: HistoryRetention, _ clock: @escaping Clock,
        _ crash: CrashPoints?
    ) throws -> History {
        do {
            var limits = crash?.historyLimits ?? HistoryLimits()
            limits.retention = retention
            return try History.open(
                directory: folder.history, journal: journal, limits: limits, device: crash?.historyDevice ?? .posix,
                clock: { clock().milliseconds })
        } catch {
            guard error.code == .journal else { throw error }
            throw DataFolder.shortened(folder.journal, cause: "\(error)")
        }
    }

    /// Closes the intents of calls that a crash cut off.
    private static func settle(
        _ journal: Journal, _ catalog: Catalog, _ folder: DataFolder
    ) async throws -> Int {
        let saved = try await catalog.read { (snapshot) throws(AWSError) in try snapshot.get(settledKey)?.value }
        let from = saved.flatMap { UInt64(String(decoding: $0, as: UTF8.self)) } ?? 0
        guard from <= journal.durableNumber else {
            throw DataFolder.shortened(
                folder.journal, cause: "it ends at entry \(journal.durableNumber), but entry \(from) was acknowledged")
        }
        return try await Recorder.settle(journal, from: from)
    }

    private func saveUses() async {
        do throws(AWSError) {
            try await identities.saveUses()
        } catch {
            logger.error("the last uses of keys could not be saved", metadata: ["cause": "\(error.cause ?? "")"])
        }
    }

    /// The ledger of numbered sources, and what came last through each channel.
    private func saveIntake() async {
        do throws(AWSError) {
            try await intake.saveLedger()
            try await trails.saveChannelStatuses()
        } catch {
            logger.error("the numbered sources could not be saved", metadata: ["cause": "\(error.cause ?? "")"])
        }
    }

    private func noteSettled() async {
        let number = Array(String(recorder.settledNumber).utf8)
        do throws(AWSError) {
            try await catalog.write { (transaction) throws(AWSError) in try transaction.put(Self.settledKey, number) }
        } catch {
            logger.error("the recorder's position could not be saved", metadata: ["cause": "\(error.cause ?? "")"])
        }
    }

    func serve(announce: @escaping @Sendable (String) -> Void) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
        defer { group.shutdownGracefully { _ in } }
        let host = configuration.listenHost
        let door = Background { [self] in
            try await HTTPDoor.serve(
                host: host, port: configuration.listenPort, limits: DoorLimits(), logger: logger, group: group,
                responder: gate
            ) { port in
                let endpoint = "http://\(host.contains(":") ? "[\(host)]" : host):\(port)"
                do {
                    try folder.note(.endpoint, endpoint)
                    try folder.note(.region, configuration.region)
                } catch {
                    logger.error("\(error)")
                }
                announce("cairn is ready at \(endpoint)")
                announce("account \(account.accountID), region \(configuration.region), data in \(folder.path)")
                announce("to use it: eval \"$(cairn env --data \(folder.path))\"; aws sts get-caller-identity")
            }
        }
        // Graceful shutdown goes from the last to the first: the door stops before what it feeds.
        let services: [any ServiceLifecycle.Service] = [
            Background { await untilShutdown { await housekeeping() } },
            Background {
                await untilShutdown {
                    try? await history.run(pause: { try await Self.sleep(200) }) { problem in
                        logger.error("event history fell behind", metadata: ["cause": "\(problem)"])
                    }
                }
            },
            Background { await untilShutdown { await topics.run(sleep: Self.sleep) } },
            Background { await untilShutdown { await signingKeys.run(sleep: Self.sleep) } },
            Background { await untilShutdown { await digests.run(sleep: Self.sleep) } },
            Background {
                await untilShutdown {
                    await keys.run(sleep: Self.sleep) { problem in
                        logger.error(
                            "rotation and deletion of keys fell behind",
                            metadata: ["cause": "\(problem.cause ?? problem.message)"])
                    }
                }
            },
            Background {
                await untilShutdown {
                    await delivery.run(interval: configuration.deliveryInterval.milliseconds, sleep: Self.sleep)
                }
            },
            door,
        ]
        var group2 = ServiceGroupConfiguration(
            services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet)
        group2.maximumGracefulShutdownDuration = .seconds(60)
        try await ServiceGroup(configuration: group2).run()
    }

    /// The life-cycle library tells much that only its authors want to know.
    private var quiet: Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .error)
        return quiet
    }

    /// Summaries of unproven calls each second; positions, journal and stray files each minute.
    private func housekeeping() async {
        do { try await objects.sweep() } catch { logger.error("sweep failed", metadata: ["cause": "\(error)"]) }
        var seconds = 0
        while !Task.isCancelled {
            do { try await Self.sleep(1000) } catch { return }
            await recorder.flushUnproven(isForced: false)
            decisions.flush()
            do { try await objects.publishNotifications() } catch {
                logger.error(
                    "notifications could not be published", metadata: ["cause": "\(error.cause ?? "\(error)")"])
            }
            do { _ = try await objects.applyLifecycle() } catch {
                logger.error(
                    "lifecycle rules could not be applied", metadata: ["cause": "\(error.cause ?? "\(error)")"])
            }
            seconds += 1
            guard seconds % (configuration.crashPoints?.tidySeconds ?? 60) == 0 else { continue }
            await noteSettled()
            await saveUses()
            await saveIntake()
            do { try await queues.expire() } catch {
                logger.error("messages could not be expired", metadata: ["cause": "\(error.cause ?? "\(error)")"])
            }
            do { try await history.maintain() } catch {
                logger.error("event history could not be tidied up", metadata: ["cause": "\(error)"])
            }
            trimJournal()
        }
    }

    /// Removes journal segments that history has sealed, delivery has passed, and recorder and intake have settled.
    private func trimJournal() {
        let kept = min(
            history.status.sealedThrough, delivery.positionKept, recorder.settledNumber, intake.positionKept)
        do {
            try journal.trim(before: kept)
        } catch {
            logger.error("the journal could not be trimmed", metadata: ["cause": "\(error)"])
        }
    }

    func close() async {
        await recorder.flushUnproven(isForced: true)
        decisions.flush()
        await delivery.flush()
        await noteSettled()
        await saveUses()
        await saveIntake()
        await endpoints.close()
        await history.close()
        await journal.close()
        do { try catalog.close() } catch { logger.error("the catalog did not close", metadata: ["cause": "\(error)"]) }
    }

    /// Long polls end when the server does.
    private static let sleepUntilShutdown: @Sendable (Int64) async throws -> Void = { milliseconds in
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await Task.sleep(for: .milliseconds(milliseconds)) }
            group.addTask {
                try await gracefulShutdown()
                throw CancellationError()
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private static let sleep: @Sendable (Int64) async throws -> Void = { milliseconds in
        try await Task.sleep(for: .milliseconds(milliseconds))
    }
}

/// Runs the body, and cancels it when the server shuts down.
private func untilShutdown(_ body: @escaping @Sendable () async -> Void) async {
    await withTaskGroup(of: Void.self) { group in
        group.addTask { await body() }
        group.addTask { try? await gracefulShutdown() }
        await group.next()
        group.cancelAll()
    }
}

private struct Background: ServiceLifecycle.Service {
    let body: @Sendable () async throws -> Void

    init(_ body: @escaping @Sendable () async throws -> Void) { self.body = body }

    func run() async throws { try await body() }
}

extension CallRecord {
    /// What the keys' room tells of uses that no client's own call stands behind.
    ///
    /// - Parameter requestID: of a use that a service makes without being asked.
    fileprivate init(_ event: KeyEvent, id: String, requestID: String) {
        var call = event.call
        call.eventID = id
        if call.requestID.isEmpty, event.serviceEventDetails == nil { call.requestID = requestID }
        if case .service(let name) = call.caller.kind {
            call.sourceAddress = name
            call.userAgent = name
        } else if let service = event.invokedBy {
            call.sourceAddress = service
            call.userAgent = service
        }
        self.init(
            call: call, eventSource: "kms.amazonaws.com", eventName: event.name, isReadOnly: event.isReadOnly,
            category: .management, apiVersion: nil, requestParameters: event.requestParameters,
            resources: event.resources, host: nil, presentedAccessKeyID: nil)
        invokedBy = event.invokedBy
        serviceEventDetails = event.serviceEventDetails
    }
}
