// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Identity
import Policies
import Storage
import Synchronization
import Testing

/// Each test has a folder of its own, removed with the suite's value.
final class IAMServiceTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "cairn-\(UUID().uuidString)").path
    private let account = "123456789012"
    private let counter = Mutex<UInt8>(0)

    init() throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    /// What a server has of Identity.
    private struct Room {
        let catalog: Catalog
        let store: IdentityStore
        let credentials: Credentials
        let authorizer: Authorizer
        let service: Service
        let secret: RootSecret
    }

    private func open() async throws -> Room {
        let seed = counter.withLock { counter in
            counter += 1
            return counter
        }
        let state = Mutex<UInt64>(UInt64(seed))
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
        return Room(
            catalog: catalog, store: store, credentials: credentials,
            authorizer: Authorizer(store: store),
            service: IAMService(
                store: store, rootSecret: secret,
                rootKeys: RootKeys(catalog: catalog, rootSecret: secret, credentials: credentials), randomBytes: random,
                passwordRounds: 1
            ).service,
            secret: secret)
    }

    private func call(_ caller: Caller? = nil, at seconds: Int64 = 1_800_000_000) -> Call {
        Call(
            caller: caller ?? .root(of: account, accessKeyID: nil), accountID: account, region: "us-east-1",
            time: Timestamp(seconds: seconds), requestID: "r", eventID: "e", sourceAddress: "203.0.113.9",
            userAgent: nil, isSecureTransport: true)
    }

    private func perform(
        _ room: Room, _ name: String, _ parameters: WireStructure = [:], by caller: Caller? = nil
    ) async throws -> OperationAnswer {
        let operation = try #require(room.service.operations[name])
        let http = try WireRequest(method: "POST", target: "/", headers: [WireHeader("host", "localhost")])
        let request = OperationRequest(operation: name, parameters: parameters, http: http)
        return try await operation.perform(request, call(caller))
    }

    private func code(_ body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch let error as AWSError {
            return error.code
        } catch {
            return "\(error)"
        }
    }

    private func members(_ answer: OperationAnswer) -> WireStructure {
        if case .members(let members) = answer.body { members } else { [:] }
    }

    private func policy(_ action: String) -> WireValue {
        .string(
            #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"\#(action)","Resource":"*"}]}"#)
    }

    /// A user with a key; the caller that the key proves.
    private func user(_ room: Room, _ name: String) async throws -> Caller {
        _ = try await perform(room, "CreateUser", ["UserName": .string(name)])
        let key = members(try await perform(room, "CreateAccessKey", ["UserName": .string(name)]))["AccessKey"]
        let id = try #require(key?.asStructure?["AccessKeyId"]?.asString)
        return try #require(try await room.credentials.find(id)).caller
    }

    private func isAllowed(_ room: Room, _ caller: Caller, _ action: String) async throws -> Bool {
        try await room.authorizer.refusal(call(caller), action: action, resources: [], family: .json) == nil
    }

    @Test func `a user may do what its own and its groups' policies allow`() async throws {
        let room = try await open()
        let alice = try await user(room, "alice")
        #expect(try await !isAllowed(room, alice, "cloudtrail:ListTrails"))
        _ = try await perform(
            room, "PutUserPolicy",
            ["UserName": "alice", "PolicyName": "p", "PolicyDocument": policy("cloudtrail:List*")])
        #expect(try await isAllowed(room, alice, "cloudtrail:ListTrails"))
        #expect(try await !isAllowed(room, alice, "cloudtrail:DeleteTrail"))
        _ = try await perform(room, "CreateGroup", ["GroupName": "g"])
        _ = try await perform(
            room, "AttachGroupPolicy",
            ["GroupName": "g", "PolicyArn": "arn:aws:iam::aws:policy/AWSCloudTrail_FullAccess"])
        _ = try await perform(room, "AddUserToGroup", ["GroupName": "g", "UserName": "alice"])
        #expect(try await isAllowed(room, alice, "cloudtrail:DeleteTrail"))
        _ = try await perform(room, "RemoveUserFromGroup", ["GroupName": "g", "UserName": "alice"])
        #expect(try await !isAllowed(room, alice, "cloudtrail:DeleteTrail"))
    }

    @Test func `everything is there again after a restart`() async throws {
        let first = try await open()
        let alice = try await user(first, "alice")
        _ = try await perform(
            first, "PutUserPolicy", ["UserName": "alice", "PolicyName": "p", "PolicyDocument": policy("sns:Publish")])
        first.store.noteUse(of: "AKIAEXAMPLE", service: "s3", region: "us-east-1", time: Timestamp(seconds: 5))
        try await first.store.saveUses()
        try first.catalog.close()
        let second = try await open()
        let id = try #require(alice.accessKeyID)
        #expect(try await second.credentials.find(id)?.caller == alice)
        #expect(try await isAllowed(second, alice, "sns:Publish"))
        #expect(second.store.lastUse(of: "AKIAEXAMPLE")?.time == Timestamp(seconds: 5))
    }

    @Test func `a key that is off or gone proves nobody`() async throws {
        let room = try await open()
        let alice = try await user(room, "alice")
        let id = try #require(alice.accessKeyID)
        _ = try await perform(
            room, "UpdateAccessKey", ["UserName": "alice", "AccessKeyId": .string(id), "Status": "Inactive"])
        #expect(try await room.credentials.find(id) == nil)
        _ = try await perform(
            room, "UpdateAccessKey", ["UserName": "alice", "AccessKeyId": .string(id), "Status": "Active"])
        #expect(try await room.credentials.find(id) != nil)
        _ = try await perform(room, "DeleteAccessKey", ["UserName": "alice", "AccessKeyId": .string(id)])
        #expect(try await room.credentials.find(id) == nil)
    }

    @Test func `a user of the same name inherits nothing`() async throws {
        let room = try await open()
        let alice = try await user(room, "alice")
        _ = try await perform(
            room, "DeleteAccessKey", ["UserName": "alice", "AccessKeyId": WireValue(alice.accessKeyID)])
        _ = try await perform(room, "DeleteUser", ["UserName": "alice"])
        let again = try await user(room, "alice")
        #expect(again.principalID != alice.principalID)
        _ = try await perform(
            room, "PutUserPolicy", ["UserName": "alice", "PolicyName": "p", "PolicyDocument": policy("sns:Publish")])
        #expect(try await isAllowed(room, again, "sns:Publish"))
        #expect(try await !isAllowed(room, alice, "sns:Publish"))
    }

    @Test func `a stored policy that cannot be read allows nothing`() async throws {
        let room = try await open()
        let alice = try await user(room, "alice")
        _ = try await perform(
            room, "AttachUserPolicy",
            ["UserName": "alice", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"])
        #expect(try await isAllowed(room, alice, "sns:Publish"))
        _ = try await perform(
            room, "PutUserPolicy", ["UserName": "alice", "PolicyName": "p", "PolicyDocument": policy("sns:Publish")])
        let key = CatalogKey("iam", account, "user", "alice")
        let text = try #require(
            try await room.catalog.read { (snapshot) throws(AWSError) in try snapshot.get(key)?.value })
        let damaged = String(decoding: text, as: UTF8.self).replacing("Statement", with: "Statemend")
        let bytes = Array(damaged.utf8)
        try await room.catalog.write { (transaction) throws(AWSError) in try transaction.put(key, bytes) }
        try room.catalog.close()
        let reopened = try await open()
        #expect(try await !isAllowed(reopened, alice, "sns:Publish"))
        #expect(try await !isAllowed(reopened, alice, "sqs:SendMessage"))
    }

    @Test func `a refused change leaves nothing behind`() async throws {
        let room = try await open()
        _ = try await perform(room, "CreateUser", ["UserName": "alice"])
        #expect(
            await code { _ = try await perform(room, "CreateUser", ["UserName": "ALICE"]) } == "EntityAlreadyExists")
        struct Failure: Error {}
        let failed = await code {
            try await room.store.change(account) { (_) throws(AWSError) in
                throw AWSError("Test", "the body fails")
            }
        }
        #expect(failed == "Test")
        #expect(room.store.account(account).all(.user).map(\.name) == ["alice"])
    }

    @Test func `secrets stand in the answer and not in the event`() async throws {
        let room = try await open()
        _ = try await perform(room, "CreateUser", ["UserName": "alice"])
        let answer = try await perform(room, "CreateAccessKey", ["UserName": "alice"])
        let secret = try #require(members(answer)["AccessKey"]?.asStructure?["SecretAccessKey"]?.asString)
        #expect(secret.utf8.count == 40)
        let recorded = WireValue.structure(try #require(answer.recorded)).json
        #expect(!String(decoding: recorded, as: UTF8.self).contains(secret))
        for name in ["CreateLoginProfile", "UpdateLoginProfile"] {
            #expect(room.service.operations[name]?.traits.redacted == ["Password"])
        }
        #expect(room.service.operations["ChangePassword"]?.traits.redacted == ["OldPassword", "NewPassword"])
    }

    @Test func `changing a password asks for the old one`() async throws {
        let room = try await open()
        let alice = try await user(room, "alice")
        _ = try await perform(room, "CreateLoginProfile", ["UserName": "alice", "Password": "Old-pass-1"])
        let wrong = await code {
            _ = try await perform(
                room, "ChangePassword", ["OldPassword": "old-pass-1", "NewPassword": "New-pass-1"], by: alice)
        }
        #expect(wrong == "InvalidInput")
        _ = try await perform(
            room, "ChangePassword", ["OldPassword": "Old-pass-1", "NewPassword": "New-pass-1"], by: alice)
        let repeated = await code {
            _ = try await perform(
                room, "ChangePassword", ["OldPassword": "Old-pass-1", "NewPassword": "New-pass-2"], by: alice)
        }
        #expect(repeated == "InvalidInput")
    }

    @Test func `a session has what its role has and its session policy allows`() async throws {
        let room = try await open()
        let trust: WireValue = .string(
            #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"#
                + #""Action":"sts:AssumeRole"}]}"#)
        _ = try await perform(room, "CreateRole", ["RoleName": "r", "AssumeRolePolicyDocument": trust])
        _ = try await perform(
            room, "PutRolePolicy", ["RoleName": "r", "PolicyName": "p", "PolicyDocument": policy("sns:*")])
        let role = try #require(room.store.role(named: "r", in: account))
        func session(_ policies: [String]?) -> Caller {
            Caller(
                kind: .assumedRole, accountID: account, principalID: "\(role.id):s",
                arn: "arn:aws:sts::\(account):assumed-role/r/s", accessKeyID: "ASIAEXAMPLE",
                session: CallerSession(
                    issuerID: role.id, issuerARN: role.arn, issuerName: "r", name: "s", issued: Timestamp(seconds: 0),
                    expires: Timestamp(seconds: 3600), policies: policies))
        }
        #expect(try await isAllowed(room, session(nil), "sns:Publish"))
        #expect(try await !isAllowed(room, session([]), "sns:Publish"))
        let narrow = try #require(policy("sns:Publish").asString)
        #expect(try await isAllowed(room, session([narrow]), "sns:Publish"))
        #expect(try await !isAllowed(room, session([narrow]), "sns:Subscribe"))
        #expect(try await !isAllowed(room, session([try #require(policy("sqs:*").asString)]), "sqs:SendMessage"))
        #expect(try await !isAllowed(room, session(["damaged"]), "sns:Publish"))
    }

    @Test func `a device's code works once`() async throws {
        let room = try await open()
        _ = try await perform(room, "CreateUser", ["UserName": "alice"])
        let made = members(try await perform(room, "CreateVirtualMFADevice", ["VirtualMFADeviceName": "d"]))
        let device = try #require(made["VirtualMFADevice"]?.asStructure)
        let serial = try #require(device["SerialNumber"]?.asString)
        let encoded = try #require(device["Base32StringSeed"]?.asString.flatMap { Base64.decode($0) })
        let seed = OneTimeCode.bytes(base32: String(decoding: encoded, as: UTF8.self))
        let step = call().time.seconds / OneTimeCode.stepSeconds
        _ = try await perform(
            room, "EnableMFADevice",
            [
                "UserName": "alice", "SerialNumber": .string(serial),
                "AuthenticationCode1": .string(OneTimeCode.code(seed, step: step - 2)),
                "AuthenticationCode2": .string(OneTimeCode.code(seed, step: step - 1)),
            ])
        let alice = try #require(room.store.user(named: "alice", in: account))
        func take(_ step: Int64) async throws -> Bool {
            try await room.store.takeCode(
                OneTimeCode.code(seed, step: step), serial: serial, of: alice, room.secret, now: call().time)
        }
        #expect(try await !take(step - 1))
        #expect(try await take(step))
        #expect(try await !take(step))
        #expect(try await !take(step + 5))
    }

    @Test func `texts have the characters that IAM's model gives them`() async throws {
        let room = try await open()
        _ = try await perform(room, "CreateUser", ["UserName": "alice"])
        let trust: WireValue = .string(
            #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#
        )
        func tags(_ key: String, _ value: String) -> WireStructure {
            ["UserName": "alice", "Tags": .list([.structure(["Key": .string(key), "Value": .string(value)])])]
        }
        func role(_ description: String) -> WireStructure {
            ["RoleName": "r", "AssumeRolePolicyDocument": trust, "Description": .string(description)]
        }
        func managed(_ description: String) -> WireStructure {
            ["PolicyName": "p", "PolicyDocument": policy("s3:*"), "Description": .string(description)]
        }
        func login(_ password: String) -> WireStructure { ["UserName": "alice", "Password": .string(password)] }
        for (name, parameters) in [
            ("CreateRole", role("a\u{1}")), ("CreateRole", role("\u{7F}")), ("CreateRole", role("\u{20AC}")),
            ("CreatePolicy", managed("\u{1}")), ("CreatePolicy", managed("\u{FFFF}")),
            ("TagUser", tags("k!", "v")), ("TagUser", tags("k", "a\u{1}b")), ("TagUser", tags("k", "a\u{A}b")),
            ("UntagUser", ["UserName": "alice", "TagKeys": .list([.string(String(repeating: "x", count: 129))])]),
            ("UntagUser", ["UserName": "alice", "TagKeys": .list([""])]), ("UntagUser", ["UserName": "alice"]),
            ("CreateLoginProfile", login("\u{20AC}Abcdef123!")), ("CreateLoginProfile", login("\u{1}Abcdef123!")),
        ] {
            #expect(
                await code { _ = try await perform(room, name, parameters) } == "ValidationError",
                "\(name) \(parameters)")
        }
        _ = try await perform(room, "CreateRole", role("caf\u{E9}\t\r\n"))
        _ = try await perform(room, "CreatePolicy", managed("\u{20AC}\t"))
        _ = try await perform(room, "TagUser", tags("Stra\u{DF}e 1_.:/=+-@", ""))
        _ = try await perform(room, "CreateLoginProfile", login("\u{E9}Abcdef123!"))
    }

    /// All rows of a list, asked for one by one.
    private func pages(
        _ room: Room, _ name: String, _ parameters: WireStructure, _ list: String
    ) async throws -> [WireStructure] {
        var rows: [WireStructure] = []
        var marker: WireValue?
        repeat {
            var asked = parameters
            asked.append("MaxItems", "1")
            asked.append("Marker", ifPresent: marker)
            let page = members(try await perform(room, name, asked))
            rows += (page[list]?.asList ?? []).compactMap(\.asStructure)
            marker = page["Marker"]
        } while marker != nil && rows.count < 100
        return rows
    }

    @Test func `pages show every row, also those whose names differ in case alone`() async throws {
        let room = try await open()
        let arn: WireValue = .string("arn:aws:iam::\(account):policy/p")
        _ = try await perform(room, "CreatePolicy", ["PolicyName": "p", "PolicyDocument": policy("s3:*")])
        for _ in 0..<4 {
            _ = try await perform(room, "CreatePolicyVersion", ["PolicyArn": arn, "PolicyDocument": policy("s3:*")])
        }
        let versions = try await pages(room, "ListPolicyVersions", ["PolicyArn": arn], "Versions")
        #expect(versions.compactMap { $0["VersionId"]?.asString } == ["v5", "v4", "v3", "v2", "v1"])
        let keys = ["env", "ENV", "Env", "b", "B"]
        _ = try await perform(
            room, "TagPolicy",
            [
                "PolicyArn": arn,
                "Tags": .list(keys.map { .structure(["Key": .string($0), "Value": "v"]) }),
            ])
        let shown = try await pages(room, "ListPolicyTags", ["PolicyArn": arn], "Tags")
        #expect(shown.compactMap { $0["Key"]?.asString } == ["B", "b", "ENV", "Env", "env"])
        for name in ["a", "B", "b"] {
            _ = try await perform(room, "CreateVirtualMFADevice", ["VirtualMFADeviceName": .string(name)])
        }
        #expect(try await pages(room, "ListVirtualMFADevices", [:], "VirtualMFADevices").count == 3)
        for (name, parameters) in [
            ("ListPolicyVersions", ["PolicyArn": arn]), ("ListAccountAliases", [:]),
        ] as [(String, WireStructure)] {
            for (member, value) in [("MaxItems", "0"), ("MaxItems", "1001"), ("Marker", "!")] {
                var asked = parameters
                asked.append(member, .string(value))
                #expect(await code { _ = try await perform(room, name, asked) } == "ValidationError")
            }
        }
    }

    @Test func `what is malformed is told from what is not there`() async throws {
        let room = try await open()
        _ = try await perform(room, "CreateUser", ["UserName": "alice"])
        let none: WireValue = .string("arn:aws:iam::\(account):policy/none")
        let managed: WireValue = "arn:aws:iam::aws:policy/ReadOnlyAccess"
        let malformed: WireValue = "arn:aws:iam::bad:nonsense-----"
        for (expected, name, parameters) in [
            ("InvalidInput", "AttachUserPolicy", ["UserName": "alice", "PolicyArn": malformed]),
            ("NoSuchEntity", "AttachUserPolicy", ["UserName": "alice", "PolicyArn": none]),
            ("InvalidInput", "GetOpenIDConnectProvider", ["OpenIDConnectProviderArn": malformed]),
            ("InvalidInput", "SimulatePrincipalPolicy", ["PolicySourceArn": .string("arn:aws:iam::\(account):root")]),
            ("AccessDenied", "DeletePolicy", ["PolicyArn": managed]),
            ("NoSuchEntity", "DeletePolicy", ["PolicyArn": none]),
            ("ValidationError", "DeletePolicyVersion", ["PolicyArn": none, "VersionId": "x1"]),
            ("NoSuchEntity", "DeletePolicyVersion", ["PolicyArn": none, "VersionId": "v10"]),
            ("ValidationError", "ListUsers", ["PathPrefix": "a/"]),
            ("ValidationError", "ListPolicies", ["PathPrefix": "a/"]),
            ("ValidationError", "UpdateAccountPasswordPolicy", ["MaxPasswordAge": "0"]),
            ("ValidationError", "UpdateAccountPasswordPolicy", ["PasswordReusePrevention": "0"]),
            ("ValidationError", "GetContextKeysForCustomPolicy", [:]),
            (
                "ValidationError", "SimulateCustomPolicy",
                [
                    "PolicyInputList": .list([policy("s3:*")]), "ActionNames": .list(["s3:GetObject"]),
                    "ContextEntries": .list([
                        .structure([
                            "ContextKeyName": "aws:x", "ContextKeyType": "text", "ContextKeyValues": .list(["1"]),
                        ])
                    ]),
                ]
            ),
        ] as [(String, String, WireStructure)] {
            #expect(await code { _ = try await perform(room, name, parameters) } == expected, "\(name) \(parameters)")
        }
    }

    @Test func `a device's QR code is a picture, whatever the length of its name`() async throws {
        let room = try await open()
        for count in [1, 226] {
            let name = String(repeating: "n", count: count)
            let made = members(
                try await perform(room, "CreateVirtualMFADevice", ["VirtualMFADeviceName": .string(name)]))
            let code = try #require(made["VirtualMFADevice"]?.asStructure?["QRCodePNG"]?.asString)
            let picture = try #require(Base64.decode(code))
            #expect(picture.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]))
            // The width in pixels: versions 6 and 15, four modules of border on each side, four pixels to a module.
            #expect(Int(picture[18]) << 8 | Int(picture[19]) == (count == 1 ? 49 : 85) * 4)
        }
    }

    @Test func `every AWS managed policy can be read`() async throws {
        let room = try await open()
        let pages = try await perform(room, "ListPolicies", ["Scope": "AWS", "MaxItems": "1000"])
        let rows = members(pages)["Policies"]?.asList ?? []
        #expect(rows.count >= 20)
        for row in rows {
            let arn = try #require(row.asStructure?["Arn"]?.asString)
            let policy = try #require(room.store.account(account).policy(arn: arn))
            #expect(policy.inForce?.compiled != nil, "\(arn)")
        }
    }
}
