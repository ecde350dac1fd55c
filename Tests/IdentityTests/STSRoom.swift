// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Identity
import Storage
import Synchronization
import Testing

/// STS in a folder of its own: an account with the user alice, who has a key, and whatever roles a test writes down.
final class STSRoom: Sendable {
    static let account = "123456789012"
    static let other = "210987654321"
    static let now = Timestamp(seconds: 1_795_000_000)
    static let aliceKey = "AKIAIOSFODNN7EXAMPLE"
    static let aliceID = "AIDAALICEALICEALICE00"

    let directory = FileManager.default.temporaryDirectory.appending(path: "cairn-\(UUID().uuidString)").path
    let catalog: Catalog
    let rootSecret: RootSecret
    let store: IdentityStore
    let sessions: Sessions
    let sts: STSService

    /// - Parameters:
    ///   - roles: documents of roles by account and name, without what all have.
    ///   - users: further inline policies of alice.
    init(
        roles: [(account: String, name: String, trust: String, more: WireStructure)] = [], alicePolicy: String? = nil,
        providers: [String: [String]] = [:], fetch: @escaping WebIdentities.Fetch = { _ in [] },
        factor: @escaping STSService.FactorCheck = { _, _, _, _ in nil }
    ) async throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let state = Mutex<UInt64>(7)
        let random: @Sendable (Int) -> [UInt8] = { count in
            state.withLock { state in
                (0..<count).map { _ in
                    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    return UInt8(truncatingIfNeeded: state >> 33)
                }
            }
        }
        catalog = try Catalog(path: "\(directory)/catalog.sqlite")
        let secret = try RootSecret.open(directory: "\(directory)/keys", mayCreate: true, randomBytes: random)
        rootSecret = secret
        let sealed = try secret.seal(
            Array("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".utf8), context: "credential/\(Self.aliceKey)")
        let created = WireValue.string(Self.now.iso8601Milliseconds)
        let alice: WireStructure = [
            "Version": 1, "Name": "alice", "Path": "/team/", "Id": .string(Self.aliceID), "CreateDate": created,
            "Attached": [],
            "Inline": .list(alicePolicy.map { [.list(["p", .string($0)])] } ?? []), "Groups": [], "Devices": [],
            "AccessKeys": [
                .structure([
                    "Id": .string(Self.aliceKey), "Status": "Active", "CreateDate": created,
                    "SealedSecret": .string(Base64.encode(sealed)),
                ])
            ],
        ]
        try await catalog.write { transaction throws(AWSError) in
            try transaction.put(
                CatalogKey("iam", Self.account, "user", "alice"), WireValue.structure(alice).json)
            for (index, role) in roles.enumerated() {
                var document: WireStructure = [
                    "Version": 1, "Name": .string(role.name), "Path": "/",
                    "Id": .string("AROAROLEROLEROLEROLE\(index)"), "CreateDate": created, "Attached": [],
                    "Inline": [], "Trust": .string(role.trust), "MaxSessionDuration": 7200,
                ]
                for member in role.more.members { document[member.name] = member.value }
                try transaction.put(
                    CatalogKey("iam", role.account, "role", role.name.lowercased()),
                    WireValue.structure(document).json)
            }
            for (place, clients) in providers {
                try transaction.put(
                    CatalogKey("iam", Self.account, "provider", place),
                    WireValue.structure([
                        "Version": 1, "CreateDate": created, "ClientIds": .list(clients.map { .string($0) }),
                        "Thumbprints": [], "Tags": [],
                    ]).json)
            }
        }
        store = try await IdentityStore.open(catalog)
        let credentials = Credentials(catalog: catalog, rootSecret: secret, store: store)
        sessions = Sessions(rootSecret: secret, store: store, credentials: credentials, randomBytes: random)
        sts = STSService(
            store: store, credentials: credentials, sessions: sessions, authorizer: Authorizer(store: store),
            rootSecret: secret, webIdentities: WebIdentities(fetch: fetch), isFactorRight: factor)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    static var alice: Caller {
        .user(
            "alice", arn: "arn:aws:iam::\(account):user/team/alice", id: aliceID, account: account,
            accessKeyID: aliceKey)
    }

    static var root: Caller { .root(of: account, accessKeyID: nil) }

    static func trust(_ principal: String, actions: String = #""sts:AssumeRole""#, condition: String = "{}") -> String {
        #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":\#(principal),"Action":[\#(actions)],"#
            + #""Condition":\#(condition)}]}"#
    }

    static var toAlice: String { trust(#"{"AWS":"\#(aliceID)"}"#) }

    func call(
        _ operation: String, _ parameters: WireStructure, by caller: Caller, at time: Timestamp = STSRoom.now
    ) async throws -> OperationAnswer {
        let bound = try #require(sts.service.operations[operation])
        let call = Call(
            caller: caller, accountID: caller.accountID ?? Self.account, region: "us-east-1", time: time,
            requestID: "00000000-0000-0000-0000-000000000001", eventID: "00000000-0000-0000-0000-000000000002",
            sourceAddress: "127.0.0.1", userAgent: nil, isSecureTransport: false)
        return try await bound.perform(
            OperationRequest(
                operation: operation, parameters: parameters,
                http: try WireRequest(method: "POST", target: "/", headers: [])), call)
    }

    func members(
        _ operation: String, _ parameters: WireStructure, by caller: Caller, at time: Timestamp = STSRoom.now
    ) async throws -> WireStructure {
        guard case .members(let members) = try await call(operation, parameters, by: caller, at: time).body else {
            Issue.record("no members")
            return [:]
        }
        return members
    }

    func refusal(
        _ operation: String, _ parameters: WireStructure, by caller: Caller, at time: Timestamp = STSRoom.now
    ) async -> AWSError? {
        do {
            _ = try await call(operation, parameters, by: caller, at: time)
            return nil
        } catch { return error as? AWSError }
    }

    /// What the server makes of credentials that come back with a request.
    func find(
        _ credentials: WireValue?, token changed: String? = nil, at time: Timestamp = STSRoom.now
    ) async throws -> Sessions.Found {
        let given = try #require(credentials?.asStructure)
        let id = try #require(given["AccessKeyId"]?.asString)
        let secret = try #require(given["SecretAccessKey"]?.asString)
        let token = try #require(given["SessionToken"]?.asString)
        var request = try WireRequest(method: "GET", target: "/", headers: [WireHeader("host", "h")])
        let signer = RequestSigner(
            accessKeyID: id, secret: SecretKey(secret), sessionToken: changed ?? token, region: "us-east-1",
            service: "sts", family: .query)
        request.headers += signer.headers(signing: request, payload: .hash(of: []), at: time)
        let presented = try PresentedSignature.parse(request)
        return try await sessions.find(#require(presented), now: time)
    }

    /// The caller of credentials that are good.
    func caller(_ credentials: WireValue?, at time: Timestamp = STSRoom.now) async throws -> Caller {
        let found = try await find(credentials, at: time)
        #expect(found.problem == nil)
        return try #require(found.credential).caller
    }

    func delete(_ kind: String, _ name: String) async throws -> STSRoom {
        let key = CatalogKey("iam", Self.account, kind, name)
        try await catalog.write { transaction throws(AWSError) in _ = try transaction.delete(key) }
        return try await STSRoom(reopening: self)
    }

    func rewrite(_ kind: String, _ name: String, _ change: (inout WireStructure) -> Void) async throws -> STSRoom {
        let key = CatalogKey("iam", Self.account, kind, name)
        let document = try await catalog.read { snapshot throws(AWSError) in try snapshot.get(key) }
        let bytesBefore = try #require(document).value
        let before = try WireValue(json: bytesBefore).asStructure
        var members = try #require(before)
        change(&members)
        let bytes = WireValue.structure(members).json
        try await catalog.write { transaction throws(AWSError) in try transaction.put(key, bytes) }
        return try await STSRoom(reopening: self)
    }

    /// The same folder after a restart.
    private init(reopening old: STSRoom) async throws {
        catalog = old.catalog
        rootSecret = old.rootSecret
        store = try await IdentityStore.open(catalog)
        let credentials = Credentials(catalog: catalog, rootSecret: rootSecret, store: store)
        sessions = Sessions(
            rootSecret: rootSecret, store: store, credentials: credentials,
            randomBytes: { Array(repeating: 1, count: $0) })
        sts = STSService(
            store: store, credentials: credentials, sessions: sessions, authorizer: Authorizer(store: store),
            rootSecret: rootSecret, webIdentities: WebIdentities(fetch: { _ in [] }),
            isFactorRight: { _, _, _, _ in nil })
    }
}
