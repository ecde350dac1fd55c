// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Identity
import Storage
import Testing

struct STSServiceTests {
    private func role(
        _ name: String, _ trust: String, in account: String = STSRoom.account, _ more: WireStructure = [:]
    ) -> (account: String, name: String, trust: String, more: WireStructure) { (account, name, trust, more) }

    private func ask(_ name: String, _ more: WireStructure = [:], in account: String = STSRoom.account) -> WireStructure
    {
        var parameters: WireStructure = [
            "RoleArn": .string("arn:aws:iam::\(account):role/\(name)"), "RoleSessionName": "s1",
        ]
        for member in more.members { parameters[member.name] = member.value }
        return parameters
    }

    // MARK: Who is calling

    @Test func `GetCallerIdentity names the root`() async throws {
        let members = try await STSRoom().members("GetCallerIdentity", [:], by: STSRoom.root)
        #expect(members["UserId"] == "123456789012")
        #expect(members["Account"] == "123456789012")
        #expect(members["Arn"] == "arn:aws:iam::123456789012:root")
    }

    @Test func `GetCallerIdentity refuses a caller nobody knows, and unknown members`() async throws {
        let room = try await STSRoom()
        #expect(await room.refusal("GetCallerIdentity", [:], by: .unknown)?.code == "AccessDenied")
        #expect(await room.refusal("GetCallerIdentity", ["Name": "x"], by: STSRoom.root)?.code == "ValidationError")
    }

    @Test func `STS speaks Query of its version`() async throws {
        let service = try await STSRoom().sts.service
        #expect(service.name == "sts")
        #expect(service.eventSource == "sts.amazonaws.com")
        #expect(
            service.wireProtocol
                == .query(version: "2011-06-15", namespace: "https://sts.amazonaws.com/doc/2011-06-15/"))
        #expect(service.operations["GetCallerIdentity"]?.traits.access == .read)
    }

    // MARK: Sessions

    @Test func `a session of GetSessionToken is the user with a session`() async throws {
        let room = try await STSRoom()
        let members = try await room.members("GetSessionToken", ["DurationSeconds": "900"], by: STSRoom.alice)
        let caller = try await room.caller(members["Credentials"])
        #expect(caller.kind == .user)
        #expect(caller.arn == STSRoom.alice.arn)
        #expect(caller.principalID == STSRoom.aliceID)
        #expect(caller.accessKeyID?.hasPrefix("ASIA") == true)
        #expect(caller.session?.mfaTime == nil)
        #expect(caller.session?.expires == STSRoom.now.adding(seconds: 900))
    }

    @Test func `a session is over on time and still says whose it was`() async throws {
        let room = try await STSRoom()
        let members = try await room.members("GetSessionToken", ["DurationSeconds": "900"], by: STSRoom.alice)
        #expect(try await room.find(members["Credentials"], at: STSRoom.now.adding(seconds: 899)).problem == nil)
        let found = try await room.find(members["Credentials"], at: STSRoom.now.adding(seconds: 900))
        guard case .expiredToken = found.problem else {
            Issue.record("not expired: \(String(describing: found.problem))")
            return
        }
        #expect(found.credential?.caller.accountID == STSRoom.account)
    }

    @Test func `a token that was changed, and one of another key, is nobody's`() async throws {
        let room = try await STSRoom()
        let one = try await room.members("GetSessionToken", [:], by: STSRoom.alice)["Credentials"]
        let two = try await room.members("GetSessionToken", [:], by: STSRoom.alice)["Credentials"]
        let token = try #require(one?.asStructure?["SessionToken"]?.asString)
        var bytes = try #require(Base64.decode(token))
        for index in [0, 20, bytes.count - 1] {
            bytes[index] ^= 1
            let changed = Base64.encode(bytes)
            #expect(try await room.find(one, token: changed).problem == .unknownToken(changed))
            bytes[index] ^= 1
        }
        #expect(try await room.find(two, token: token).problem == .unknownToken(token))
        #expect(try await room.find(two, token: "nonsense").credential == nil)
    }

    @Test func `a session dies with its user, and with the key that asked for it`() async throws {
        var room = try await STSRoom()
        let members = try await room.members("GetSessionToken", [:], by: STSRoom.alice)
        room = try await room.rewrite("user", "alice") { user in
            var key = user["AccessKeys"]?.asList?.first?.asStructure ?? [:]
            key["Status"] = "Inactive"
            user["AccessKeys"] = [.structure(key)]
        }
        let id = try #require(members["Credentials"]?.asStructure?["AccessKeyId"]?.asString)
        #expect(try await room.find(members["Credentials"]).problem == .unknownAccessKey(id))
        room = try await room.delete("user", "alice")
        let found = try await room.find(members["Credentials"])
        #expect(found.problem == .unknownAccessKey(id))
        #expect(found.credential?.caller.accountID == STSRoom.account)
    }

    @Test func `the root's sessions last an hour at most`() async throws {
        let room = try await STSRoom()
        let members = try await room.members("GetSessionToken", ["DurationSeconds": "43200"], by: STSRoom.root)
        #expect(
            members["Credentials"]?.asStructure?["Expiration"] == .timestamp(STSRoom.now.adding(seconds: 3600)))
    }

    @Test(arguments: [("899", "greater than or equal to 900"), ("129601", "less than or equal to 129600")])
    func `durations outside the limits are refused`(_ seconds: String, _ words: String) async throws {
        let refusal = try await STSRoom().refusal(
            "GetSessionToken", ["DurationSeconds": .string(seconds)], by: STSRoom.alice)
        #expect(refusal?.code == "ValidationError")
        #expect(refusal?.message.contains(words) == true)
    }

    @Test func `a second factor is proven or the session is refused`() async throws {
        let room = try await STSRoom(factor: { serial, code, _, _ in serial.hasSuffix("alice") ? code == "123456" : nil
        })
        let serial = WireValue.string("arn:aws:iam::123456789012:mfa/alice")
        let members = try await room.members(
            "GetSessionToken", ["SerialNumber": serial, "TokenCode": "123456"], by: STSRoom.alice)
        #expect(try await room.caller(members["Credentials"]).session?.mfaTime == STSRoom.now)
        for (parameters, words) in [
            (["SerialNumber": serial, "TokenCode": "654321"], "invalid MFA one time pass code"),
            (["SerialNumber": "arn:aws:iam::1:mfa/bob", "TokenCode": "123456"], "unable to validate MFA code"),
            (["SerialNumber": serial], "must provide both"),
        ] as [(WireStructure, String)] {
            let refusal = await room.refusal("GetSessionToken", parameters, by: STSRoom.alice)
            #expect(refusal?.code == "AccessDenied")
            #expect(refusal?.message.contains(words) == true)
        }
    }

    @Test func `a federated user is named after its account`() async throws {
        let room = try await STSRoom()
        let members = try await room.members("GetFederationToken", ["Name": "bob"], by: STSRoom.alice)
        let caller = try await room.caller(members["Credentials"])
        #expect(caller.kind == .federatedUser)
        #expect(caller.arn == "arn:aws:sts::123456789012:federated-user/bob")
        #expect(caller.principalID == "123456789012:bob")
        #expect(caller.session?.issuerName == "alice")
        let refusal = SessionRules.refusal(caller, service: "sts", operation: "AssumeRole")
        #expect(refusal?.code == "AccessDenied")
        #expect(SessionRules.refusal(caller, service: "iam", operation: "GetUser")?.code == "InvalidClientTokenId")
        #expect(SessionRules.refusal(caller, service: "sts", operation: "GetCallerIdentity") == nil)
        #expect(SessionRules.refusal(caller, service: "s3", operation: "GetObject") == nil)
    }

    @Test func `sessions make no sessions of users`() async throws {
        let room = try await STSRoom()
        let members = try await room.members("GetSessionToken", [:], by: STSRoom.alice)
        let caller = try await room.caller(members["Credentials"])
        for operation in ["GetSessionToken", "GetFederationToken"] {
            let refusal = SessionRules.refusal(caller, service: "sts", operation: operation)
            #expect(refusal?.message == "Cannot call \(operation) with session credentials")
        }
        #expect(SessionRules.refusal(caller, service: "sts", operation: "AssumeRole") == nil)
        #expect(SessionRules.refusal(caller, service: "iam", operation: "ListUsers")?.code == "InvalidClientTokenId")
    }

    @Test func `a temporary key's id tells its account`() async throws {
        let room = try await STSRoom()
        let members = try await room.members("GetSessionToken", [:], by: STSRoom.alice)
        let id = try #require(members["Credentials"]?.asStructure?["AccessKeyId"])
        for key in [id, .string(STSRoom.aliceKey)] {
            #expect(
                try await room.members("GetAccessKeyInfo", ["AccessKeyId": key], by: STSRoom.root)["Account"]
                    == .string(STSRoom.account))
        }
        let refusal = await room.refusal("GetAccessKeyInfo", ["AccessKeyId": "AKIAAAAAAAAAAAAAAAAA"], by: STSRoom.root)
        #expect(refusal?.code == "ValidationError")
    }

    @Test func `authorization messages open for callers of their account alone`() async throws {
        let room = try await STSRoom()
        let message = try room.sts.encodeAuthorizationMessage(#"{"allowed":false}"#, account: STSRoom.account)
        let opened = try await room.members(
            "DecodeAuthorizationMessage", ["EncodedMessage": .string(message)], by: STSRoom.alice)
        #expect(opened["DecodedMessage"] == #"{"allowed":false}"#)
        let stranger = Caller.root(of: STSRoom.other, accessKeyID: nil)
        for (text, caller) in [(message, stranger), ("AAAA", STSRoom.alice)] {
            let refusal = await room.refusal(
                "DecodeAuthorizationMessage", ["EncodedMessage": .string(text)], by: caller)
            #expect(refusal?.code == "InvalidAuthorizationMessageException")
        }
    }

    // MARK: Roles

    @Test func `a role is assumed by whom its trust policy names`() async throws {
        let room = try await STSRoom(roles: [role("r", STSRoom.toAlice)])
        let answer = try await room.call("AssumeRole", ask("r"), by: STSRoom.alice)
        guard case .members(let members) = answer.body else { return }
        let caller = try await room.caller(members["Credentials"])
        #expect(caller.kind == .assumedRole)
        #expect(caller.arn == "arn:aws:sts::123456789012:assumed-role/r/s1")
        #expect(caller.principalID == "AROAROLEROLEROLEROLE0:s1")
        #expect(caller.session?.issuerARN == "arn:aws:iam::123456789012:role/r")
        // The event has neither secret nor token.
        let text = String(decoding: WireValue.structure(try #require(answer.recorded)).json, as: UTF8.self)
        let given = try #require(members["Credentials"]?.asStructure)
        for name in ["SecretAccessKey", "SessionToken"] {
            #expect(!text.contains(try #require(given[name]?.asString)))
        }
        #expect(text.contains(#""expiration":"Nov 18, 2026, "#))
    }

    @Test func `a role that is not there is refused in the same words as one that does not trust`() async throws {
        let room = try await STSRoom(roles: [role("r", STSRoom.trust(#"{"AWS":"AIDAOTHEROTHEROTHER00"}"#))])
        for name in ["r", "nobody", "path/r"] {
            let refusal = await room.refusal("AssumeRole", ask(name), by: STSRoom.alice)
            #expect(refusal?.code == "AccessDenied")
            #expect(
                refusal?.message
                    == "User: arn:aws:iam::123456789012:user/team/alice is not authorized to perform: sts:AssumeRole on "
                    + "resource: arn:aws:iam::123456789012:role/\(name)")
        }
    }

    @Test func `root assumes no roles`() async throws {
        let room = try await STSRoom(roles: [role("r", STSRoom.trust(#"{"AWS":"*"}"#))])
        let refusal = await room.refusal("AssumeRole", ask("r"), by: STSRoom.root)
        #expect(refusal?.message == "Roles may not be assumed by root accounts.")
    }

    @Test func `another account's role needs both sides`() async throws {
        let foreign = role("r", STSRoom.trust(#"{"AWS":"123456789012"}"#), in: STSRoom.other)
        let alone = try await STSRoom(roles: [foreign])
        #expect(
            await alone.refusal("AssumeRole", ask("r", in: STSRoom.other), by: STSRoom.alice)?.code == "AccessDenied")
        let policy =
            #"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}"#
        let both = try await STSRoom(roles: [foreign], alicePolicy: policy)
        #expect(await both.refusal("AssumeRole", ask("r", in: STSRoom.other), by: STSRoom.alice) == nil)
    }

    @Test func `an external id must be the one that the trust policy wants`() async throws {
        let trust = STSRoom.trust(
            #"{"AWS":"\#(STSRoom.aliceID)"}"#, condition: #"{"StringEquals":{"sts:ExternalId":"e-1"}}"#)
        let room = try await STSRoom(roles: [role("r", trust)])
        #expect(await room.refusal("AssumeRole", ask("r"), by: STSRoom.alice)?.code == "AccessDenied")
        #expect(
            await room.refusal("AssumeRole", ask("r", ["ExternalId": "E-1"]), by: STSRoom.alice)?.code
                == "AccessDenied")
        #expect(await room.refusal("AssumeRole", ask("r", ["ExternalId": "e-1"]), by: STSRoom.alice) == nil)
    }

    @Test func `a trust policy may want a second factor`() async throws {
        let trust = STSRoom.trust(
            #"{"AWS":"\#(STSRoom.aliceID)"}"#, condition: #"{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#)
        let room = try await STSRoom(roles: [role("r", trust)], factor: { _, code, _, _ in code == "123456" })
        #expect(await room.refusal("AssumeRole", ask("r"), by: STSRoom.alice)?.code == "AccessDenied")
        let members = try await room.members(
            "AssumeRole", ask("r", ["SerialNumber": "arn:aws:iam::1:mfa/a", "TokenCode": "123456"]), by: STSRoom.alice)
        // The session itself carries none.
        #expect(try await room.caller(members["Credentials"]).session?.mfaTime == nil)
    }

    @Test func `durations are bounded by the role, and by an hour in a chain`() async throws {
        let any = STSRoom.trust(#"{"AWS":["\#(STSRoom.aliceID)","AROAROLEROLEROLEROLE0"]}"#)
        let room = try await STSRoom(roles: [role("r", any)])
        let over = await room.refusal("AssumeRole", ask("r", ["DurationSeconds": "7201"]), by: STSRoom.alice)
        #expect(over?.message == "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
        let first = try await room.members("AssumeRole", ask("r", ["DurationSeconds": "7200"]), by: STSRoom.alice)
        let caller = try await room.caller(first["Credentials"])
        let chained = await room.refusal("AssumeRole", ask("r", ["DurationSeconds": "3601"]), by: caller)
        #expect(
            chained?.message
                == "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
        #expect(await room.refusal("AssumeRole", ask("r", ["DurationSeconds": "3600"]), by: caller) == nil)
    }

    @Test func `tags and a source identity need rights of their own, and stay along a chain`() async throws {
        let any = #"{"AWS":["\#(STSRoom.aliceID)","AROAROLEROLEROLEROLE1"]}"#
        let room = try await STSRoom(roles: [
            role("plain", STSRoom.trust(any)),
            role(
                "rich", STSRoom.trust(any, actions: #""sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity""#)),
        ])
        let more: WireStructure = [
            "Tags": [.structure(["Key": "team", "Value": "a"]), .structure(["Key": "day", "Value": "x"])],
            "TransitiveTagKeys": ["team"], "SourceIdentity": "alice-1",
        ]
        let refusal = await room.refusal("AssumeRole", ask("plain", more), by: STSRoom.alice)
        #expect(refusal?.message.contains("not authorized to perform: sts:TagSession on resource") == true)
        let members = try await room.members("AssumeRole", ask("rich", more), by: STSRoom.alice)
        #expect(members["SourceIdentity"] == "alice-1")
        #expect(members["PackedPolicySize"] == 1)
        let caller = try await room.caller(members["Credentials"])
        #expect(caller.session?.sourceIdentity == "alice-1")
        // Carried into a role that does not allow it: refused.
        #expect(await room.refusal("AssumeRole", ask("plain"), by: caller)?.code == "AccessDenied")
        let next = try await room.members("AssumeRole", ask("rich"), by: caller)
        let session = try #require(try await room.caller(next["Credentials"]).session)
        #expect(session.tags == [.init(key: "team", value: "a")])
        #expect(session.transitiveTagKeys == ["team"])
        #expect(session.sourceIdentity == "alice-1")
        let clash = await room.refusal(
            "AssumeRole", ask("rich", ["Tags": [.structure(["Key": "Team", "Value": "b"])]]), by: caller)
        #expect(clash?.code == "InvalidParameterValue")
        let other = await room.refusal("AssumeRole", ask("rich", ["SourceIdentity": "mallory"]), by: caller)
        #expect(other?.code == "AccessDenied")
    }

    @Test func `session policies are checked when they are passed`() async throws {
        let room = try await STSRoom(roles: [role("r", STSRoom.toAlice)])
        for (parameters, code) in [
            (["Policy": "{"], "MalformedPolicyDocument"),
            (["PolicyArns": [.structure(["arn": "arn:aws:iam::aws:policy/NoSuchPolicy"])]], "ValidationError"),
            (["RoleSessionName": "a"], "ValidationError"), (["RoleSessionName": "a b"], "ValidationError"),
            (["RoleArn": "arn:aws:iam::12:role/abcdefgh"], "ValidationError"),
            (["TransitiveTagKeys": ["x"]], "InvalidParameterValue"),
            (["Tags": [.structure(["Key": "aws:x", "Value": "b"])]], "InvalidParameterValue"),
            (["Tags": [.structure(["Key": "k!", "Value": "b"])]], "ValidationError"),
            (["Tags": [.structure(["Key": "k", "Value": "a\u{1}"])]], "ValidationError"),
            (
                [
                    "Tags": .list(
                        (0..<50).map {
                            .structure(["Key": .string("k\($0)"), "Value": .string(String(repeating: "v", count: 256))])
                        })
                ], "PackedPolicyTooLarge"
            ),
        ] as [(WireStructure, String)] {
            let trusting = try await STSRoom(roles: [
                role(
                    "r",
                    STSRoom.trust(#"{"AWS":"\#(STSRoom.aliceID)"}"#, actions: #""sts:AssumeRole","sts:TagSession""#))
            ])
            #expect(await trusting.refusal("AssumeRole", ask("r", parameters), by: STSRoom.alice)?.code == code)
        }
        let members = try await room.members(
            "AssumeRole",
            ask("r", ["PolicyArns": [.structure(["arn": "arn:aws:iam::aws:policy/AWSCloudTrail_ReadOnlyAccess"])]]),
            by: STSRoom.alice)
        let policies = try #require(try await room.caller(members["Credentials"]).session?.policies)
        #expect(policies.count == 1 && policies[0].contains("cloudtrail:LookupEvents"))
    }

    @Test func `a session dies with its role`() async throws {
        var room = try await STSRoom(roles: [role("r", STSRoom.toAlice)])
        let members = try await room.members("AssumeRole", ask("r"), by: STSRoom.alice)
        room = try await room.delete("role", "r")
        let found = try await room.find(members["Credentials"])
        guard case .unknownAccessKey = found.problem else {
            Issue.record("alive: \(String(describing: found.problem))")
            return
        }
        #expect(found.credential?.caller.arn == "arn:aws:sts::123456789012:assumed-role/r/s1")
    }
}
