// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Keys
import Storage
import Synchronization
import Testing

/// The room on a folder of its own, with a clock that is turned by hand.
final class KeyRoom: Sendable {
    static let account = "111122223333"

    let folder: String
    let catalog: Catalog
    let keys: KeyService
    let time: ManualClock
    let events: EventList

    /// - Parameter room: takes over the folder, the clock and the events, as a new process would.
    init(after room: KeyRoom? = nil) async throws {
        time = room?.time ?? ManualClock()
        events = room?.events ?? EventList()
        if let room {
            folder = room.folder
            catalog = room.catalog
        } else {
            folder = FileManager.default.temporaryDirectory.path + "/cairn-keys-\(UInt64.random(in: 0 ... .max))"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            catalog = try Catalog(path: folder + "/catalog.sqlite")
        }
        let random: @Sendable (Int) -> [UInt8] = { count in (0..<count).map { _ in UInt8.random(in: 0...255) } }
        let secret = try RootSecret.open(directory: folder + "/keys", mayCreate: room == nil, randomBytes: random)
        let time = time
        let events = events
        keys = try await KeyService.open(
            catalog: catalog, vault: RootSecretVault(secret), clock: { time.now }, randomBytes: random,
            decide: KeyService.decideByKeyAlone, record: { event throws(AWSError) in events.append(event) })
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func call(region: String = "us-east-1", caller: Caller = .root(of: account, accessKeyID: nil)) -> Call {
        Call(
            caller: caller, accountID: caller.accountID ?? Self.account, region: region, time: time.now, requestID: "r",
            eventID: "e", sourceAddress: "192.0.2.1", userAgent: nil, isSecureTransport: true)
    }

    static func request(_ operation: String, _ parameters: WireStructure) throws -> OperationRequest {
        OperationRequest(
            operation: operation, parameters: parameters,
            http: try WireRequest(method: "POST", target: "/", headers: []))
    }

    /// Performs an operation by its declaration, as the gate does.
    @discardableResult
    func send(
        _ operation: String, _ parameters: WireStructure = [:], region: String = "us-east-1",
        caller: Caller = .root(of: account, accessKeyID: nil)
    ) async throws -> WireStructure {
        let bound = try #require(keys.service.operations[operation])
        let answer = try await bound.perform(
            try Self.request(operation, parameters), call(region: region, caller: caller))
        guard case .members(let members) = answer.body else { return WireStructure() }
        return members
    }

    /// - Returns: the code of the error that must come.
    func code(
        _ operation: String, _ parameters: WireStructure = [:], region: String = "us-east-1",
        caller: Caller = .root(of: account, accessKeyID: nil)
    ) async throws -> String {
        do {
            let answer = try await send(operation, parameters, region: region, caller: caller)
            return "no error: \(answer)"
        } catch let error as AWSError {
            return error.code
        }
    }

    /// A new key's ARN.
    func makeKey(_ parameters: WireStructure = [:]) async throws -> String {
        try #require(try await send("CreateKey", parameters)["KeyMetadata"]?.asStructure?["Arn"]?.asString)
    }

    func metadata(_ key: String) async throws -> WireStructure {
        try #require(try await send("DescribeKey", ["KeyId": .string(key)])["KeyMetadata"]?.asStructure)
    }

    func encrypt(_ text: String, _ key: String, _ context: WireStructure? = nil) async throws -> String {
        var parameters: WireStructure = [
            "KeyId": .string(key), "Plaintext": .string(Base64.encode(Array(text.utf8))),
        ]
        parameters.append("EncryptionContext", ifPresent: context.map { .structure($0) })
        return try #require(try await send("Encrypt", parameters)["CiphertextBlob"]?.asString)
    }

    func decrypt(_ blob: String, _ context: WireStructure? = nil) async throws -> String {
        var parameters: WireStructure = ["CiphertextBlob": .string(blob)]
        parameters.append("EncryptionContext", ifPresent: context.map { .structure($0) })
        let text = try #require(try await send("Decrypt", parameters)["Plaintext"]?.asString)
        return String(decoding: try #require(Base64.decode(text)), as: UTF8.self)
    }
}

final class ManualClock: Sendable {
    private let milliseconds = Mutex<Int64>(1_795_552_635_500)

    var now: Timestamp { Timestamp(milliseconds: milliseconds.withLock { $0 }) }

    func advance(days: Int64, seconds: Int64 = 0) {
        milliseconds.withLock { $0 += days * 86_400_000 + seconds * 1000 }
    }
}

final class EventList: Sendable {
    private let list = Mutex<[KeyEvent]>([])

    var all: [KeyEvent] { list.withLock { $0 } }
    func append(_ event: KeyEvent) { list.withLock { $0.append(event) } }
}
