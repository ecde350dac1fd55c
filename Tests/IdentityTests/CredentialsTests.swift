// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Identity
import Storage
import Synchronization
import Testing

/// Each test has a folder of its own, removed with the suite's value.
final class CredentialsTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "cairn-\(UUID().uuidString)").path
    private let now = Timestamp(iso8601: "2026-11-24T20:17:53Z") ?? Timestamp(seconds: 0)

    init() throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func openCatalog() throws -> Catalog { try Catalog(path: "\(directory)/catalog.sqlite") }

    /// A linear congruential generator (Knuth, MMIX): reproducible, and spread over all byte values.
    private static func random(seed: UInt64) -> @Sendable (Int) -> [UInt8] {
        let state = Sequence(seed: seed)
        return { state.bytes($0) }
    }

    private final class Sequence: Sendable {
        private let state: Mutex<UInt64>

        init(seed: UInt64) { state = Mutex(seed) }

        func bytes(_ count: Int) -> [UInt8] {
            state.withLock { state in
                (0..<count).map { _ in
                    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    return UInt8(truncatingIfNeeded: state >> 33)
                }
            }
        }
    }

    private func openSecret(seed: UInt64 = 1) throws -> RootSecret {
        try RootSecret.open(directory: "\(directory)/keys", mayCreate: true, randomBytes: Self.random(seed: seed))
    }

    @Test func `the first account has AWS's forms`() async throws {
        for seed in UInt64(1)...50 {
            let catalog = try Catalog(path: "\(directory)/catalog-\(seed).sqlite")
            let account = try await FirstAccount.open(
                catalog, openSecret(), randomBytes: Self.random(seed: seed), now: now)
            #expect(account.accountID.wholeMatch(of: /[1-9][0-9]{11}/) != nil)
            #expect(account.accessKeyID?.wholeMatch(of: /AKIA[A-Z2-7]{16}/) != nil)
            #expect(account.secret?.revealed.wholeMatch(of: /[A-Za-z0-9+\/]{40}/) != nil)
            try catalog.close()
        }
    }

    @Test func `the first account is made once and found again`() async throws {
        let catalog = try openCatalog()
        #expect(try await !FirstAccount.exists(in: catalog))
        let made = try await FirstAccount.open(catalog, openSecret(), randomBytes: Self.random(seed: 1), now: now)
        #expect(try await FirstAccount.exists(in: catalog))
        try catalog.close()
        let reopened = try openCatalog()
        let found = try await FirstAccount.open(reopened, openSecret(), randomBytes: Self.random(seed: 2), now: now)
        #expect(found.accountID == made.accountID)
        #expect(found.accessKeyID == made.accessKeyID)
        #expect(found.secret == made.secret)
    }

    @Test func `an access key leads to its secret and its root`() async throws {
        let catalog = try openCatalog()
        let secret = try openSecret()
        let account = try await FirstAccount.open(catalog, secret, randomBytes: Self.random(seed: 1), now: now)
        let credentials = try await Credentials(
            catalog: catalog, rootSecret: secret, store: IdentityStore.open(catalog))
        let id = try #require(account.accessKeyID)
        for _ in 0..<2 {
            let credential = try #require(try await credentials.find(id))
            #expect(credential.secret == account.secret)
            #expect(credential.caller == .root(of: account.accountID, accessKeyID: account.accessKeyID))
            #expect(credential.sessionToken == nil)
        }
    }

    @Test(arguments: ["AKIAIOSFODNN7EXAMPLE", "", "x", "first", "AKIA/../../etc/passwd", "AKIA\u{0}IOSFODNN7EXAM"])
    func `nobody stands behind another access key`(_ id: String) async throws {
        let catalog = try openCatalog()
        let secret = try openSecret()
        _ = try await FirstAccount.open(catalog, secret, randomBytes: Self.random(seed: 1), now: now)
        #expect(
            try await Credentials(
                catalog: catalog, rootSecret: secret, store: IdentityStore.open(catalog)
            ).find(id) == nil)
    }

    @Test func `the catalog does not hold the secret in the clear`() async throws {
        let catalog = try openCatalog()
        let account = try await FirstAccount.open(catalog, openSecret(), randomBytes: Self.random(seed: 1), now: now)
        let shown = try #require(account.secret).revealed
        try catalog.close()
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasPrefix("catalog") {
            let bytes = try Data(contentsOf: URL(filePath: "\(directory)/\(name)"))
            #expect(bytes.firstRange(of: Data(shown.utf8)) == nil)
        }
        #expect(!"\(account)".contains(shown))
    }

    @Test func `another root secret does not open the account`() async throws {
        let catalog = try openCatalog()
        _ = try await FirstAccount.open(catalog, openSecret(), randomBytes: Self.random(seed: 1), now: now)
        try FileManager.default.removeItem(atPath: "\(directory)/keys/root.secret")
        let other = try openSecret(seed: 9)
        let error = await #expect(throws: AWSError.self) {
            try await FirstAccount.open(catalog, other, randomBytes: Self.random(seed: 1), now: now)
        }
        #expect(error?.code == "InternalFailure")
        #expect(error?.cause?.contains("root secret") == true)
        #expect(error?.message.contains("secret") == false)
    }

    @Test func `a damaged document is named, not skipped`() async throws {
        let catalog = try openCatalog()
        let secret = try openSecret()
        let account = try await FirstAccount.open(catalog, secret, randomBytes: Self.random(seed: 1), now: now)
        let id = try #require(account.accessKeyID)
        let key = CatalogKey("credential", id)
        for damaged in ["", "{}", "nonsense", "{\"Version\":2}"] {
            try await catalog.write { transaction throws(AWSError) in try transaction.put(key, Array(damaged.utf8)) }
            let error = await #expect(throws: AWSError.self) {
                try await Credentials(
                    catalog: catalog, rootSecret: secret, store: IdentityStore.open(catalog)
                ).find(id)
            }
            #expect(error?.cause?.contains("credential/\(id)") == true)
        }
    }

    @Test func `an inactive key is nobody's`() async throws {
        let catalog = try openCatalog()
        let secret = try openSecret()
        let account = try await FirstAccount.open(catalog, secret, randomBytes: Self.random(seed: 1), now: now)
        let id = try #require(account.accessKeyID)
        let key = CatalogKey("credential", id)
        try await catalog.write { transaction throws(AWSError) in
            let text = String(decoding: try transaction.get(key)?.value ?? [], as: UTF8.self)
            try transaction.put(key, Array(text.replacing("\"Active\"", with: "\"Inactive\"").utf8))
        }
        #expect(
            try await Credentials(
                catalog: catalog, rootSecret: secret, store: IdentityStore.open(catalog)
            ).find(id) == nil)
    }

    @Test func `a session token with a long-term key is refused`() async throws {
        let catalog = try openCatalog()
        let secret = try openSecret()
        let account = try await FirstAccount.open(catalog, secret, randomBytes: Self.random(seed: 1), now: now)
        let id = try #require(account.accessKeyID)
        let credential = try #require(
            try await Credentials(
                catalog: catalog, rootSecret: secret, store: IdentityStore.open(catalog)
            ).find(id))
        for (token, expected) in [(nil, nil), ("token", SignatureError.unknownToken("token"))] {
            var request = try WireRequest(method: "GET", target: "/", headers: [WireHeader("host", "h")])
            let signer = RequestSigner(
                accessKeyID: id, secret: try #require(account.secret), sessionToken: token, region: "us-east-1",
                service: "sts", family: .query)
            request.headers += signer.headers(signing: request, payload: .hash(of: []), at: now)
            let presented = try #require(try PresentedSignature.parse(request))
            var refusal: SignatureError?
            do { try credential.checkToken(of: presented) } catch { refusal = error }
            #expect(refusal == expected)
        }
    }

    @Test func `a key of root that is switched off or deleted works no more, at once`() async throws {
        let catalog = try openCatalog()
        let secret = try openSecret()
        let account = try await FirstAccount.open(catalog, secret, randomBytes: Self.random(seed: 1), now: now)
        let id = try #require(account.accessKeyID)
        let store = try await IdentityStore.open(catalog)
        let credentials = Credentials(catalog: catalog, rootSecret: secret, store: store)
        let iam = IAMService(
            store: store, rootSecret: secret,
            rootKeys: RootKeys(catalog: catalog, rootSecret: secret, credentials: credentials),
            randomBytes: Self.random(seed: 4), passwordRounds: 1
        ).service
        func ask(_ name: String, _ parameters: WireStructure) async throws {
            let operation = try #require(iam.operations[name])
            _ = try await operation.perform(
                OperationRequest(
                    operation: name, parameters: parameters,
                    http: try WireRequest(method: "POST", target: "/", headers: [])),
                Call(
                    caller: .root(of: account.accountID, accessKeyID: id), accountID: account.accountID,
                    region: "us-east-1", time: now, requestID: "r", eventID: "e", sourceAddress: "127.0.0.1",
                    userAgent: nil, isSecureTransport: false))
        }
        #expect(try await credentials.find(id) != nil)
        try await ask("UpdateAccessKey", ["AccessKeyId": .string(id), "Status": "Inactive"])
        #expect(try await credentials.find(id) == nil)
        #expect(
            try await FirstAccount.open(catalog, secret, randomBytes: Self.random(seed: 1), now: now).accessKeyID == nil
        )
        try await ask("UpdateAccessKey", ["AccessKeyId": .string(id), "Status": "Active"])
        #expect(try await credentials.find(id) != nil)
        try await ask("CreateAccessKey", [:])
        await #expect(throws: AWSError.self) { try await ask("CreateAccessKey", [:]) }
        try await ask("DeleteAccessKey", ["AccessKeyId": .string(id)])
        #expect(try await credentials.find(id) == nil)
        let left = try await FirstAccount.open(catalog, secret, randomBytes: Self.random(seed: 1), now: now)
        #expect(left.accountID == account.accountID && left.accessKeyID != nil && left.accessKeyID != id)
    }

    @Test func `the owner of the data folder can always give root a new key, which ends all others`() async throws {
        let catalog = try openCatalog()
        let secret = try openSecret()
        let account = try await FirstAccount.open(catalog, secret, randomBytes: Self.random(seed: 1), now: now)
        let credentials = try await Credentials(
            catalog: catalog, rootSecret: secret, store: IdentityStore.open(catalog))
        let keys = RootKeys(catalog: catalog, rootSecret: secret, credentials: credentials)
        let new = try await keys.renew(randomBytes: Self.random(seed: 8), now: now)
        #expect(new.account == account.accountID)
        #expect(try await credentials.find(new.accessKeyID)?.caller.kind == .root)
        let old = try #require(account.accessKeyID)
        #expect(try await credentials.find(old) == nil)
        let found = try await FirstAccount.open(catalog, secret, randomBytes: Self.random(seed: 1), now: now)
        #expect(found.accessKeyID == new.accessKeyID)
    }
}
