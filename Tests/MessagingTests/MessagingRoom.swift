// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Logging
import Messaging
import Storage
import Synchronization
import Testing

/// Both services on a folder of their own, with a clock that is turned by hand and endpoints that answer as they are told.
final class MessagingRoom: Sendable {
    static let account = "111122223333"
    static let other = "444455556666"

    struct State: Sendable {
        /// 2026-11-24T20:37:15.500Z
        var now: Int64 = 1_795_552_635_500
        var posts: [EndpointPost] = []
        /// The statuses of the posts to come, then 200; nil for no answer.
        var statuses: [Int?] = []
    }

    /// Whose folder it is.
    private let before: MessagingRoom?
    let folder: String
    let catalog: Catalog
    let queues: QueueService
    let topics: TopicService
    let state = Mutex(State())

    /// - Parameter room: takes over the folder and the clock, as a new process would.
    init(after room: MessagingRoom? = nil) async throws {
        before = room
        if let room {
            folder = room.folder
            catalog = room.catalog
            let time = room.now
            state.withLock { $0.now = time }
        } else {
            folder = FileManager.default.temporaryDirectory.path + "/cairn-messages-\(UInt64.random(in: 0 ... .max))"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            catalog = try Catalog(path: folder + "/catalog.sqlite")
        }
        let random: @Sendable (Int) -> [UInt8] = { count in (0..<count).map { _ in UInt8.random(in: 0...255) } }
        let secret = try RootSecret.open(directory: folder + "/keys", mayCreate: room == nil, randomBytes: random)
        let world = World()
        queues = try await QueueService.open(
            catalog: catalog, secret: secret, clock: { world.time }, sleep: { world.pass($0) }, randomBytes: random)
        topics = try await TopicService.open(
            catalog: catalog, queues: queues, secret: secret, clock: { world.time }, randomBytes: random,
            send: { try world.answer($0) }, logger: Logger(label: "t", factory: { _ in SwiftLogNoOpLogHandler() }))
        world.room = self
    }

    /// What the services see of the room, which is made after them.
    private final class World: Sendable {
        private let held = Mutex<Weak>(Weak())

        private struct Weak {
            weak var room: MessagingRoom?
        }

        var room: MessagingRoom? {
            get { held.withLock { $0.room } }
            set { held.withLock { $0.room = newValue } }
        }

        var time: Timestamp { Timestamp(milliseconds: room?.now ?? 0) }

        func pass(_ milliseconds: Int64) { room?.advance(milliseconds) }

        func answer(_ post: EndpointPost) throws -> Int {
            let status = room?.state.withLock { state -> Int? in
                state.posts.append(post)
                return state.statuses.isEmpty ? 200 : state.statuses.removeFirst()
            }
            guard let status else { throw CancellationError() }
            return status
        }
    }

    var now: Int64 { state.withLock { $0.now } }
    var posts: [EndpointPost] { state.withLock { $0.posts } }

    func advance(_ milliseconds: Int64) { state.withLock { $0.now += milliseconds } }
    func answer(_ statuses: Int?...) { state.withLock { $0.statuses += statuses } }

    func call(_ account: String = account, region: String = "us-east-1") -> Call {
        Call(
            caller: .root(of: account, accessKeyID: nil), accountID: account, region: region,
            time: Timestamp(milliseconds: now), requestID: "r", eventID: "e", sourceAddress: "192.0.2.1",
            userAgent: nil,
            isSecureTransport: true)
    }

    /// Performs an operation by its declaration, as the gate does.
    @discardableResult
    func send(
        _ operation: String, _ parameters: WireStructure = [:], account: String = account, isTopic: Bool = false,
        caller: Caller? = nil
    ) async throws -> WireStructure {
        let service = isTopic ? topics.service : queues.service
        let bound = try #require(service.operations[operation])
        let request = OperationRequest(
            operation: operation, parameters: parameters,
            http: try WireRequest(method: "POST", target: "/", headers: [WireHeader("host", "127.0.0.1:4747")]))
        var call = call(account)
        if let caller { call.caller = caller }
        let answer = try await bound.perform(request, call)
        guard case .members(let members) = answer.body else { return WireStructure() }
        return members
    }

    /// - Returns: the code of the error that must come.
    func code(
        _ operation: String, _ parameters: WireStructure = [:], account: String = account, isTopic: Bool = false
    ) async throws -> String {
        do {
            return "no error: \(try await send(operation, parameters, account: account, isTopic: isTopic))"
        } catch let error as AWSError {
            return error.code
        }
    }

    // MARK: Queues

    func makeQueue(_ name: String = "q", _ attributes: WireStructure = [:]) async throws -> String {
        let made = try await send("CreateQueue", ["QueueName": .string(name), "Attributes": .structure(attributes)])
        return try #require(made["QueueUrl"]?.asString)
    }

    func put(_ body: String, in url: String, _ more: WireStructure = [:]) async throws {
        try await send(
            "SendMessage",
            WireStructure([.init("QueueUrl", .string(url)), .init("MessageBody", .string(body))] + more.members))
    }

    func receive(_ url: String, _ more: WireStructure = [:]) async throws -> [WireStructure] {
        let all: [WireStructure.Member] = [
            .init("QueueUrl", .string(url)), .init("MaxNumberOfMessages", 10),
            .init("MessageSystemAttributeNames", ["All"]),
        ]
        var ask = WireStructure(all)
        for member in more.members { ask[member.name] = member.value }
        return try await send("ReceiveMessage", ask)["Messages"]?.asList?
            .compactMap(\.asStructure) ?? []
    }

    func bodies(_ url: String, _ more: WireStructure = [:]) async throws -> [String] {
        try await receive(url, more).compactMap { $0["Body"]?.asString }
    }

    func counts(_ url: String) async throws -> [String] {
        let shown = try await send("GetQueueAttributes", ["QueueUrl": .string(url), "AttributeNames": ["All"]])
        let map = try #require(shown["Attributes"]?.asStructure)
        return ["", "NotVisible", "Delayed"].map { map["ApproximateNumberOfMessages\($0)"]?.asString ?? "" }
    }

    static func arn(_ name: String, account: String = account) -> String {
        "arn:aws:sqs:us-east-1:\(account):\(name)"
    }

    /// A queue's policy that lets a service in.
    static func policy(_ name: String, _ service: String = "sns.amazonaws.com") -> WireValue {
        .string(
            #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"\#(service)"},"#
                + #""Action":"sqs:SendMessage","Resource":"\#(arn(name))"}]}"#)
    }

    // MARK: Topics

    static let topic = "arn:aws:sns:us-east-1:\(account):t"

    func subscribe(_ endpoint: String, _ delivery: String, _ attributes: WireStructure = [:]) async throws -> String {
        let entries = attributes.members.map {
            WireValue.structure(["key": .string($0.name), "value": $0.value])
        }
        let answer = try await send(
            "Subscribe",
            [
                "TopicArn": .string(Self.topic), "Protocol": .string(delivery), "Endpoint": .string(endpoint),
                "ReturnSubscriptionArn": "true", "Attributes": .list(entries),
            ], isTopic: true)
        return try #require(answer["SubscriptionArn"]?.asString)
    }

    func publish(_ text: String) async throws {
        try await send("Publish", ["TopicArn": .string(Self.topic), "Message": .string(text)], isTopic: true)
    }

    deinit {
        if before == nil { try? FileManager.default.removeItem(atPath: folder) }
    }
}
