// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Keys
import NIOCore
import Objects
import Storage
import Synchronization

/// The room on a folder of its own, driven by requests as the gate would hand them over.
final class ObjectRoom: Sendable {
    static let account = "111122223333"
    static let start = Timestamp(seconds: 1_800_000_000)

    let folder: String
    let catalog: Catalog
    let keys: KeyService
    let service: ObjectService
    let clock: ManualClock
    /// What KMS recorded of uses through S3.
    let keyEvents = KeyEventList()

    /// A room on a new folder, or on that of another room as after a restart.
    init(
        after room: ObjectRoom? = nil, fault: @escaping FileFault = { _ in nil },
        destinations: [String: any NotificationDestination] = [:],
        storage: ObjectStorage = ObjectStorage(smallBytesMax: -1)
    ) async throws {
        clock = room?.clock ?? ManualClock(Self.start)
        if let room {
            folder = room.folder
            catalog = room.catalog
        } else {
            folder = FileManager.default.temporaryDirectory.path + "/cairn-objects-\(UInt64.random(in: 0 ... .max))"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            catalog = try Catalog(path: folder + "/catalog.sqlite")
        }
        let clock = clock
        let generator = SeededBytes(room == nil ? 1 : UInt64.random(in: 2 ... .max))
        let secret = try RootSecret.open(
            directory: folder + "/keys", mayCreate: room == nil, randomBytes: { generator.next($0) })
        keys = try await KeyService.open(
            catalog: catalog, vault: RootSecretVault(secret), clock: { clock.now },
            randomBytes: { generator.next($0) }, decide: KeyService.decideByKeyAlone,
            record: { [keyEvents] event throws(AWSError) in keyEvents.append(event) })
        service = try await ObjectService.open(
            catalog: catalog, directory: folder + "/objects", keys: keys, baseHosts: ["cairn.example"],
            clock: { clock.now },
            randomBytes: { generator.next($0) }, fault: fault, destinations: destinations, storage: storage)
    }

    /// Performs an operation of KMS.
    @discardableResult
    func kms(_ operation: String, _ parameters: WireStructure = [:]) async throws -> WireStructure {
        let request = OperationRequest(
            operation: operation, parameters: parameters,
            http: try WireRequest(method: "POST", target: "/", headers: []))
        guard let bound = keys.service.operations[operation] else { throw AWSError("NoSuchOperation", operation) }
        guard case .members(let members) = try await bound.perform(request, call()).body else { return [:] }
        return members
    }

    /// A new key's ARN.
    func makeKey() async throws -> String {
        try await kms("CreateKey")["KeyMetadata"]?.asStructure?["Arn"]?.asString ?? ""
    }

    /// All bytes of all object files.
    func rawBytes() throws -> [UInt8] {
        var bytes: [UInt8] = []
        for path in try FileManager.default.subpathsOfDirectory(atPath: folder + "/objects") {
            if let data = FileManager.default.contents(atPath: folder + "/objects/" + path) { bytes += data }
        }
        return bytes
    }

    func remove() {
        try? catalog.close()
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Object files on the disk, in their places or still incoming.
    func fileCount() throws -> Int {
        try FileManager.default.subpathsOfDirectory(atPath: folder + "/objects")
            .filter { ($0 as NSString).lastPathComponent.count == 32 }.count
    }

    func call(region: String = "us-east-1", account: String = ObjectRoom.account) -> Call {
        Call(
            caller: .root(of: account, accessKeyID: "AKIAEXAMPLE"), accountID: account, region: region, time: clock.now,
            requestID: "R", eventID: "E", sourceAddress: "127.0.0.1", userAgent: nil, isSecureTransport: false)
    }

    /// Routes and performs a request whose body is in memory.
    @discardableResult
    func send(
        _ method: String, _ target: String, _ headers: [String: String] = [:], _ body: String = "",
        region: String = "us-east-1", account: String = ObjectRoom.account
    ) async throws(AWSError) -> OperationAnswer {
        let bytes = Array(body.utf8)
        return try await send(
            method, target, headers, RequestBody(length: Int64(bytes.count), pieces: [bytes]), region: region,
            account: account)
    }

    @discardableResult
    func send(
        _ method: String, _ target: String, _ headers: [String: String] = [:], _ body: RequestBody,
        region: String = "us-east-1", account: String = ObjectRoom.account
    ) async throws(AWSError) -> OperationAnswer {
        let (operation, request) = try await request(method, target, headers, body)
        return try await operation.perform(request, call(region: region, account: account))
    }

    /// The bound operation of a request, and the request as it reaches the operation.
    func request(
        _ method: String, _ target: String, _ headers: [String: String] = [:], _ body: RequestBody
    ) async throws(AWSError) -> (BoundOperation, OperationRequest) {
        var fields = [WireHeader("host", "cairn.example")]
        for (name, value) in headers {
            fields.removeAll { $0.name == name }
            fields.append(WireHeader(name, value))
        }
        let http = try WireRequest(method: method, target: target, headers: fields)
        let service = service.service
        guard let route = service.route else { throw .validation("no route") }
        let routed = try route(http)
        guard let operation = service.operations[routed.operation] else { throw service.notBuilt(routed.operation) }
        var request = OperationRequest(operation: routed.operation, parameters: routed.parameters, http: http)
        if operation.traits.streamsBody {
            request.body = body
        } else {
            var bytes: [UInt8] = []
            try await body.consume { (piece) throws(AWSError) in bytes.append(contentsOf: piece.readableBytesView) }
            request.bytes = bytes
            if bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "<") || routed.operation == "DeleteObjects" {
                let document = try XMLDocument.parse(bytes)
                request.parameters.append(document.root, document.content)
            }
        }
        return (operation, request)
    }

    /// The error that a request ends in, as `CODE STATUS`; `none` where it succeeds.
    func refusal(
        _ method: String, _ target: String, _ headers: [String: String] = [:], _ body: String = "",
        region: String = "us-east-1", account: String = ObjectRoom.account
    ) async -> String {
        do {
            try await send(method, target, headers, body, region: region, account: account)
            return "none"
        } catch {
            return "\(error.code) \(error.status)"
        }
    }

    /// The bytes of an object.
    func bytes(_ target: String, _ headers: [String: String] = [:]) async throws -> [UInt8] {
        try await send("GET", target, headers).bytes
    }

    func text(_ target: String, _ headers: [String: String] = [:]) async throws -> String {
        String(decoding: try await bytes(target, headers), as: UTF8.self)
    }
}

extension OperationAnswer {
    /// The whole body, whatever its form.
    var bytes: [UInt8] {
        get async throws {
            switch body {
            case .none: return []
            case .members(let members): return WireValue.structure(members).json
            case .xml(let root, let content): return XMLDocument.write(root: root, namespace: nil, content)
            case .bytes(let bytes, _): return bytes
            case .stream(let stream):
                let collected = Mutex<[UInt8]>([])
                try await stream.write { piece in collected.withLock { $0.append(contentsOf: piece.readableBytesView) }
                }
                return collected.withLock { $0 }
            }
        }
    }

    func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    /// The members of an XML answer.
    var document: WireStructure {
        if case .xml(_, let content) = body { content } else { WireStructure() }
    }
}

extension WireStructure {
    /// All members of that name.
    func all(_ name: String) -> [WireStructure] {
        members.filter { $0.name == name }.compactMap(\.value.asStructure)
    }

    func text(_ name: String) -> String? { self[name]?.asString }
}

extension RequestBody {
    /// A body that comes in these pieces, then ends or fails.
    init(length: Int64?, pieces: [[UInt8]], failure: AWSError? = nil) {
        self.init(length: length) { (consumer) throws(AWSError) in
            for piece in pieces { try await consumer(ByteBuffer(bytes: piece)) }
            if let failure { throw failure }
        }
    }
}

final class ManualClock: Sendable {
    private let time: Mutex<Timestamp>

    init(_ start: Timestamp) { time = Mutex(start) }

    var now: Timestamp { time.withLock { $0 } }

    func advance(seconds: Int64) { time.withLock { $0 = $0.adding(seconds: seconds) } }
}

final class KeyEventList: Sendable {
    private let list = Mutex<[KeyEvent]>([])

    var all: [KeyEvent] { list.withLock { $0 } }
    var names: [String] { all.map(\.name) }
    func append(_ event: KeyEvent) { list.withLock { $0.append(event) } }
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

final class SeededBytes: Sendable {
    private let generator: Mutex<SplitMix>

    init(_ seed: UInt64) { generator = Mutex(SplitMix(seed)) }

    func next(_ count: Int) -> [UInt8] {
        generator.withLock { generator in (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) } }
    }
}
