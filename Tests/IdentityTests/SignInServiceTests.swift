// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Identity
import Storage
import Synchronization
import Testing

/// Passwords, codes and their ageing, in a folder of the test's own; alice has the password "Correct-Horse-7".
final class SignInServiceTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "cairn-\(UUID().uuidString)").path
    private let account = "123456789012"
    private let password = "Correct-Horse-7"
    private static let start: Int64 = 1_800_000_000

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private struct Room {
        let iam: Service
        let signIn: Service
        let sessions: Sessions
        let authorizer: Authorizer
    }

    private func open(reset: Bool = false, limits: SignInThrottle.Limits = .init()) async throws -> Room {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let state = Mutex<UInt64>(3)
        let random: @Sendable (Int) -> [UInt8] = { count in
            state.withLock { state in
                (0..<count).map { _ in
                    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    return UInt8(truncatingIfNeeded: state >> 33)
                }
            }
        }
        let catalog = try Catalog(path: "\(directory)/catalog.sqlite")
        let secret = try RootSecret.open(directory: "\(directory)/keys", mayCreate: true, randomBytes: random)
        let store = try await IdentityStore.open(catalog)
        let credentials = Credentials(catalog: catalog, rootSecret: secret, store: store)
        let sessions = Sessions(rootSecret: secret, store: store, credentials: credentials, randomBytes: random)
        let room = Room(
            iam: IAMService(
                store: store, rootSecret: secret,
                rootKeys: RootKeys(catalog: catalog, rootSecret: secret, credentials: credentials), randomBytes: random,
                passwordRounds: 1
            ).service,
            signIn: SignInService(
                store: store, sessions: sessions, rootSecret: secret, randomBytes: random, passwordRounds: 1,
                limits: limits
            ).service, sessions: sessions, authorizer: Authorizer(store: store))
        try await iam(room, "CreateUser", ["UserName": "alice"])
        try await iam(
            room, "CreateLoginProfile",
            ["UserName": "alice", "Password": .string(password), "PasswordResetRequired": reset ? "true" : "false"])
        return room
    }

    private func call(_ caller: Caller? = nil, days: Int64 = 0) -> Call {
        Call(
            caller: caller ?? .root(of: account, accessKeyID: nil), accountID: account, region: "us-east-1",
            time: Timestamp(seconds: Self.start + days * 86_400), requestID: "r", eventID: "e",
            sourceAddress: "203.0.113.9", userAgent: nil, isSecureTransport: true)
    }

    @discardableResult
    private func iam(
        _ room: Room, _ name: String, _ parameters: WireStructure, by caller: Caller? = nil, days: Int64 = 0
    ) async throws -> OperationAnswer {
        let operation = try #require(room.iam.operations[name])
        let http = try WireRequest(method: "POST", target: "/", headers: [])
        return try await operation.perform(
            OperationRequest(operation: name, parameters: parameters, http: http), call(caller, days: days))
    }

    private func signIn(
        _ room: Room, _ password: String, name: String = "alice", account: String? = nil, days: Int64 = 0
    ) async throws -> OperationAnswer {
        let operation = try #require(room.signIn.operations["ConsoleLogin"])
        let body: WireStructure = [
            "account": .string(account ?? self.account), "userName": .string(name), "password": .string(password),
        ]
        let http = try WireRequest(method: "POST", target: "/signin", headers: [WireHeader("host", "cairn.example")])
        return try await operation.perform(
            OperationRequest(
                operation: "ConsoleLogin", parameters: [:], http: http, bytes: WireValue.structure(body).json),
            call(.unknown, days: days))
    }

    private func members(_ answer: OperationAnswer) -> WireStructure {
        if case .members(let members) = answer.body { members } else { [:] }
    }

    /// The caller behind the credentials of an answer.
    private func caller(_ room: Room, _ answer: OperationAnswer, days: Int64 = 0) async throws -> Caller {
        let given = members(answer)
        let signer = RequestSigner(
            accessKeyID: try #require(given["AccessKeyId"]?.asString),
            secret: SecretKey(try #require(given["SecretAccessKey"]?.asString)),
            sessionToken: given["SessionToken"]?.asString, region: "us-east-1", service: "iam", family: .query)
        let now = Timestamp(seconds: Self.start + days * 86_400)
        var request = try WireRequest(method: "POST", target: "/", headers: [WireHeader("host", "h")])
        request.headers += signer.headers(signing: request, payload: .hash(of: []), at: now)
        let found = try await room.sessions.find(try #require(try PresentedSignature.parse(request)), now: now)
        #expect(found.problem == nil)
        return try #require(found.credential).caller
    }

    private func code(_ body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch { return (error as? AWSError)?.code }
    }

    @Test func `a right password opens a session of the user, and the event says so`() async throws {
        let room = try await open()
        let answer = try await signIn(room, password)
        #expect(answer.status == 200 && members(answer)["PasswordResetRequired"] == false)
        #expect(answer.event?.responseElements == .structure(["ConsoleLogin": "Success"]))
        #expect(answer.event?.errorMessage == nil && answer.caller?.userName == "alice")
        #expect(answer.additionalEventData["MFAUsed"] == "No")
        #expect(answer.additionalEventData["LoginTo"] == "https://cairn.example/")
        let caller = try await caller(room, answer)
        #expect(caller.kind == .user && caller.session?.console == .full)
        #expect(SessionRules.refusal(caller, service: "iam", operation: "ListUsers") == nil)
    }

    @Test func `whatever is wrong is answered alike, and names that nobody has are hidden`() async throws {
        let room = try await open()
        try await iam(room, "CreateUser", ["UserName": "no-password"])
        let wrong = try await signIn(room, "x")
        let others = [
            try await signIn(room, password, name: "nobody"), try await signIn(room, password, account: "999999999999"),
            try await signIn(room, password, account: "no-such-alias"),
            try await signIn(room, password, name: "no-password"),
        ]
        for other in others {
            #expect(other.status == wrong.status && other.headers == wrong.headers)
            #expect(members(other) == members(wrong))
            #expect(other.event?.errorMessage == "Failed authentication")
        }
        #expect(wrong.caller?.userName == "alice" && wrong.caller?.arn == nil && wrong.caller?.accessKeyID == nil)
        #expect(others[0].caller?.userName == "HIDDEN_DUE_TO_SECURITY_REASONS")
        #expect(others[0].caller?.accountID == account && others[1].caller?.accountID == nil)
    }

    @Test func `after too many guesses the right password is not looked at either`() async throws {
        var limits = SignInThrottle.Limits()
        limits.perNameAndAddress = 2
        let room = try await open(limits: limits)
        for name in ["alice", "nobody"] {
            _ = try await signIn(room, "x", name: name)
            _ = try await signIn(room, "y", name: name)
            let refused = try await signIn(room, password, name: name)
            #expect(refused.status == 429 && refused.event?.errorMessage == "Failed authentication")
        }
    }

    @Test func `a password that must be reset opens a session for that alone`() async throws {
        let room = try await open(reset: true)
        let answer = try await signIn(room, password)
        #expect(members(answer)["PasswordResetRequired"] == true)
        let alice = try await caller(room, answer)
        #expect(SessionRules.refusal(alice, service: "iam", operation: "ListUsers")?.code == "AccessDenied")
        #expect(SessionRules.refusal(alice, service: "s3", operation: "ListBuckets")?.code == "AccessDenied")
        #expect(SessionRules.refusal(alice, service: "iam", operation: "ChangePassword") == nil)
        try await iam(
            room, "ChangePassword", ["OldPassword": .string(password), "NewPassword": "Another-Horse-8"], by: alice)
        let later = try await signIn(room, "Another-Horse-8")
        #expect(members(later)["PasswordResetRequired"] == false)
        #expect(try await signIn(room, password).status == 401)
    }

    @Test func `the password policy lets users change their passwords, in a console's session alone`() async throws {
        let room = try await open()
        func mayChange(_ caller: Caller) async throws -> Bool {
            try await room.authorizer.refusal(
                call(caller), action: "iam:ChangePassword", resources: [], family: .query) == nil
        }
        let alice = try await caller(room, try await signIn(room, password))
        #expect(try await !mayChange(alice))
        try await iam(room, "UpdateAccountPasswordPolicy", ["AllowUsersToChangePassword": "true"])
        #expect(try await mayChange(alice))
        var byKey = alice
        byKey.session = nil
        #expect(try await !mayChange(byKey))
    }

    @Test func `passwords age, and what they become depends on the policy`() async throws {
        let room = try await open()
        try await iam(room, "UpdateAccountPasswordPolicy", ["MaxPasswordAge": "90"])
        #expect(members(try await signIn(room, password, days: 89))["PasswordResetRequired"] == false)
        #expect(members(try await signIn(room, password, days: 90))["PasswordResetRequired"] == true)
        try await iam(room, "UpdateAccountPasswordPolicy", ["MaxPasswordAge": "90", "HardExpiry": "true"])
        let over = try await signIn(room, password, days: 90)
        #expect(over.status == 401 && over.headers.contains(WireHeader("x-amzn-errortype", "PasswordExpired")))
        #expect(
            try await signIn(room, "x", days: 90).headers.contains(
                WireHeader("x-amzn-errortype", "AuthenticationFailed")))
        try await iam(
            room, "UpdateLoginProfile", ["UserName": "alice", "Password": "Fresh-Horse-9"], days: 90)
        #expect(try await signIn(room, "Fresh-Horse-9", days: 179).status == 200)
    }

    @Test func `passwords that the policy remembers are not taken again`() async throws {
        let room = try await open()
        try await iam(room, "UpdateAccountPasswordPolicy", ["PasswordReusePrevention": "2"])
        let alice = try await caller(room, try await signIn(room, password))
        func change(_ old: String, _ new: String) async -> String? {
            await code {
                try await iam(
                    room, "ChangePassword", ["OldPassword": .string(old), "NewPassword": .string(new)], by: alice)
            }
        }
        #expect(await change(password, password) == "PasswordPolicyViolation")
        #expect(await change(password, "Second-Horse-2") == nil)
        #expect(await change("Second-Horse-2", password) == "PasswordPolicyViolation")
        #expect(await change("Second-Horse-2", "Third-Horse-3") == nil)
        #expect(await change("Third-Horse-3", password) == nil)
    }
}
