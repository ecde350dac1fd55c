// SPDX-License-Identifier: Apache-2.0

import AWSWire
import EventHistory
import EventJournal
import EventRecord
import Foundation
import LogFiles
import Logging
import Storage
import Synchronization
import Testing
import Trails

/// A server's rooms as far as trails need them, in a temporary folder, with a clock that is turned by hand.
final class TrailsHarness: Sendable {
    static let account = "111122223333"

    let folder: TemporaryFolder
    let time: ManualTime
    let store = BucketDouble()
    let catalog: Catalog
    let journal: Journal
    let history: History
    let signingKeys: SigningKeys
    let delivery: Delivery
    let digests: DigestChore
    let trails: TrailService

    /// - Parameters:
    ///   - restarting: takes over folder, clock and bucket of a harness, as a new process would.
    ///   - outside: buckets that another server holds.
    init(
        restarting old: TrailsHarness? = nil, limits: Delivery.Limits = .forTests,
        outside: (ManualTime) throws -> OutsideBuckets = { _ in OutsideBuckets([]) }
    ) throws {
        folder = try old?.folder ?? TemporaryFolder()
        time = old?.time ?? ManualTime()
        if let old { store.take(over: old.store) }
        let time = time
        let clock: AWSWire.Clock = { time.now }
        catalog = try Catalog(path: folder.path + "/catalog.sqlite")
        journal = try old?.journal ?? Self.openJournal(folder.path + "/journal", clock: clock)
        history = try History.open(
            directory: folder.path + "/history", journal: journal, limits: HistoryLimits(), device: .posix,
            clock: { time.now.milliseconds })
        let secret = try RootSecret.open(
            directory: folder.path + "/keys", mayCreate: old == nil, randomBytes: { Self.random($0) })
        let logger = Logger(label: "trails", factory: { _ in SwiftLogNoOpLogHandler() })
        signingKeys = SigningKeys(catalog: catalog, secret: secret, clock: clock, logger: logger)
        let outside = try outside(time)
        let bucket = store.door.with(outside)
        delivery = Delivery(
            catalog: catalog, journal: journal, bucket: bucket, topic: store.topic, clock: clock, limits: limits,
            logger: logger)
        digests = DigestChore(
            catalog: catalog, bucket: bucket, signingKeys: signingKeys, clock: clock, interval: 3_600_000,
            limits: DigestChore.Limits(), logger: logger)
        trails = TrailService(
            catalog: catalog, journal: journal, bucket: bucket, kms: store.kms.with(outside), topic: store.topic,
            search: { [history] query in try await history.search(query) }, signingKeys: signingKeys,
            delivery: delivery,
            digests: digests, clock: clock, randomBytes: { Self.random($0) })
    }

    private static func openJournal(_ path: String, clock: @escaping AWSWire.Clock) throws -> Journal {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return try Journal.open(
            directory: path, device: POSIXJournalDevice(), limits: JournalLimits(), clock: { clock().milliseconds })
    }

    static func random(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255) } }

    /// Performs an operation by its declaration, as the gate does; its own event is journaled afterwards.
    @discardableResult
    func call(
        _ operation: String, _ parameters: WireStructure, region: String = "us-east-1", isJournaled: Bool = true
    ) async throws -> WireStructure {
        let id = UUID().uuidString.lowercased()
        let call = Call(
            caller: .root(of: Self.account, accessKeyID: nil), accountID: Self.account, region: region, time: time.now,
            requestID: "r", eventID: id, sourceAddress: "127.0.0.1", userAgent: nil, isSecureTransport: false)
        let request = OperationRequest(
            operation: operation, parameters: parameters,
            http: try WireRequest(method: "POST", target: "/", headers: []))
        let bound = try #require(trails.service.operations[operation])
        let answer = try await bound.perform(request, call)
        if isJournaled, bound.traits.access == .write {
            try await journalEvent(id: id, name: operation, region: region, kind: .closingEvent)
        }
        guard case .members(let members) = answer.body else { return WireStructure() }
        return members
    }

    /// Journals an event of the account.
    @discardableResult
    func journalEvent(
        id: String = UUID().uuidString.lowercased(), name: String = "GetCallerIdentity",
        source: String = "cloudtrail.amazonaws.com", region: String = "us-east-1", account: String = account,
        isReadOnly: Bool = false, category: String = "Management", resources: String? = nil,
        kind: EventEnvelope.Kind = .event
    ) async throws -> String {
        let resources = resources.map { ",\"resources\":\($0)" } ?? ""
        let record =
            "{\"eventVersion\":\"1.11\",\"eventTime\":\"\(time.now.iso8601)\",\"eventSource\":\"\(source)\","
            + "\"eventName\":\"\(name)\",\"awsRegion\":\"\(region)\",\"eventID\":\"\(id)\",\"readOnly\":\(isReadOnly)"
            + "\(resources),\"managementEvent\":\(category == "Management"),\"recipientAccountId\":\"\(account)\","
            + "\"eventCategory\":\"\(category)\"}"
        let envelope = EventEnvelope(kind: kind, ownerAccount: account, record: Array(record.utf8))
        _ = try await journal.append(envelope.encoded())
        return id
    }

    /// A trail that logs, with its calls journaled and delivered.
    func makeTrail(_ name: String = "trail", _ more: WireStructure = [:]) async throws {
        var parameters: WireStructure = ["Name": .string(name), "S3BucketName": "logs"]
        for member in more.members { parameters[member.name] = member.value }
        try await call("CreateTrail", parameters)
        try await call("StartLogging", ["Name": .string(name)])
        await delivery.turn()
        store.clear()
    }

    /// Ids of the events in all log files, in the order of the keys.
    var deliveredIDs: [String] {
        get throws { try store.logFiles.flatMap { try Self.ids(in: $0.body) } }
    }

    static func ids(in body: [UInt8]) throws -> [String] {
        let content = try LogFile.content(of: body)
        return try LogFile.records(in: content).records.map { try Event(content[$0]).eventID }
    }
}

extension Delivery.Limits {
    static var forTests: Delivery.Limits {
        var limits = Delivery.Limits()
        limits.retryFirst = 1
        limits.retryMost = 1
        return limits
    }
}

/// A clock that stands until it is turned.
final class ManualTime: Sendable {
    private let milliseconds = Mutex<Int64>(1_795_552_635_500)  // 2026-11-24T20:37:15.500Z

    var now: Timestamp { Timestamp(milliseconds: milliseconds.withLock { $0 }) }

    func advance(seconds: Int64) { milliseconds.withLock { $0 += seconds * 1000 } }
}

/// The bucket `logs`, in memory, that fails when it is told to.
final class BucketDouble: Sendable {
    struct Object: Sendable {
        var bucket: String
        var key: String
        var body: [UInt8]
        var metadata: [WireHeader]
        var keyARN: String?
    }

    struct State: Sendable {
        var objects: [String: Object] = [:]
        var puts = 0
        /// Fails the n-th put from now, counted from 1.
        var failure: (put: Int, error: AWSError, isWritten: Bool)?
        /// Fails each put.
        var standing: AWSError?
        var buckets: Set<String> = ["logs", "other"]
        var deniedActions: Set<String> = []
        var questions: [TrailBucket.Question] = []
        /// The key that there is, and whether its policy allows CloudTrail to use it.
        var isKeyAllowed = true
        /// What the topic took, and its answer.
        var messages: [TrailTopic.Message] = []
        var topicError: AWSError?
        /// Told of each object that was written.
        var watcher: (@Sendable (String) -> Void)?
    }

    let state = Mutex(State())

    var door: TrailBucket {
        TrailBucket(
            exists: { name throws(AWSError) -> Bool in self.state.withLock { $0.buckets.contains(name) } },
            allows: { question throws(AWSError) -> Bool in
                self.state.withLock { state in
                    state.questions.append(question)
                    return !state.deniedActions.contains(question.action)
                }
            },
            put: { put throws(AWSError) in
                let error = self.state.withLock { state -> AWSError? in
                    state.puts += 1
                    let object = Object(
                        bucket: put.bucket, key: put.key, body: put.body, metadata: put.metadata, keyARN: put.keyARN)
                    if let standing = state.standing { return standing }
                    if let failure = state.failure, failure.put == state.puts {
                        if failure.isWritten { state.objects[put.bucket + "/" + put.key] = object }
                        return failure.error
                    }
                    guard state.buckets.contains(put.bucket) else {
                        return AWSError("NoSuchBucket", status: 404, "none")
                    }
                    state.objects[put.bucket + "/" + put.key] = object
                    state.watcher?(put.key)
                    return nil
                }
                if let error { throw error }
            })
    }

    static let key = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-4000-8000-000000000001"

    /// One key, which has an alias.
    var kms: TrailKMS {
        TrailKMS(
            find: { name, _, _ throws(AWSError) -> String in
                guard name == Self.key || name == "alias/logs" else {
                    throw AWSError("KmsKeyNotFoundException", "none")
                }
                return Self.key
            },
            allows: { question throws(AWSError) -> Bool in
                self.state.withLock { $0.isKeyAllowed && question.key == Self.key }
            })
    }

    /// Takes everything, unless it is told to fail.
    var topic: TrailTopic {
        TrailTopic { message throws(AWSError) in
            let error = self.state.withLock { state in
                if state.topicError == nil { state.messages.append(message) }
                return state.topicError
            }
            if let error { throw error }
        }
    }

    func take(over old: BucketDouble) {
        let kept = old.state.withLock { $0 }
        state.withLock {
            $0.objects = kept.objects
            $0.buckets = kept.buckets
        }
    }

    func clear() { state.withLock { $0.objects = [:] } }

    var objects: [Object] { state.withLock { $0.objects.values.sorted { $0.key < $1.key } } }
    var logFiles: [Object] { objects.filter { $0.key.contains("/CloudTrail/") } }
    var digests: [Object] { objects.filter { $0.key.contains("/CloudTrail-Digest/") } }

    static let refusal = AWSError("AccessDenied", status: 403, "no")
    static let fault = AWSError("InternalError", status: 500, "broken")
}

/// A folder that is gone when nobody holds it any more.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("trails-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
