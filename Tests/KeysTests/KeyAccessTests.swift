// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Keys
import Policies
import Testing

struct KeyAccessTests {
    static let trail = "arn:aws:cloudtrail:us-east-1:111122223333:trail/t"
    static let trailPolicy = """
        {"Version":"2012-10-17","Statement":[
          {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},
          {"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"kms:GenerateDataKey*",
           "Resource":"*","Condition":{
             "StringEquals":{"aws:SourceArn":"\(trail)"},
             "StringLike":{"kms:EncryptionContext:aws:cloudtrail:arn":"arn:aws:cloudtrail:*:111122223333:trail/*"}}}]}
        """

    private func use(_ room: KeyRoom, source: String? = trail) -> KeyUse {
        KeyUse(
            call: room.call(caller: .service("cloudtrail.amazonaws.com")), sourceARN: source,
            sourceAccount: KeyRoom.account)
    }

    private func refusal(_ body: () async throws(AWSError) -> some Any) async -> String {
        do throws(AWSError) {
            _ = try await body()
            return "no error"
        } catch {
            return error.code
        }
    }

    @Test func `a service gets a data key when the policy lets it, and each use is an event`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey(["Policy": .string(Self.trailPolicy)])
        let context = EncryptionContext(["aws:cloudtrail:arn": Self.trail])
        let made = try await room.keys.makeDataKey(under: key, context, use(room))
        #expect(made.plaintext.count == 32)
        #expect(made.keyARN == key)
        let event = try #require(room.events.all.last)
        #expect(event.name == "GenerateDataKey")
        #expect(event.isReadOnly)
        #expect(event.resources.map(\.arn) == [key])
        #expect(
            event.requestParameters == [
                "keyId": .string(key), "keySpec": "AES_256",
                "encryptionContext": ["aws:cloudtrail:arn": .string(Self.trail)],
            ])
        #expect(event.call.caller.kind == .service("cloudtrail.amazonaws.com"))
    }

    @Test func `a service is refused for another context, another source, another action, and that is recorded`()
        async throws
    {
        let room = try await KeyRoom()
        let key = try await room.makeKey(["Policy": .string(Self.trailPolicy)])
        let right = EncryptionContext(["aws:cloudtrail:arn": Self.trail])
        let wrong = EncryptionContext(["aws:cloudtrail:arn": "arn:aws:cloudtrail:us-east-1:999999999999:trail/t"])
        let use = use(room)
        let foreign = self.use(room, source: "arn:aws:cloudtrail:us-east-1:111122223333:trail/other")
        #expect(
            await refusal { () throws(AWSError) in try await room.keys.makeDataKey(under: key, wrong, use) }
                == "AccessDeniedException")
        #expect(
            await refusal { () throws(AWSError) in try await room.keys.makeDataKey(under: key, right, foreign) }
                == "AccessDeniedException")
        let blob = try await room.keys.makeDataKey(under: key, right, use).blob
        #expect(
            await refusal { () throws(AWSError) in try await room.keys.openDataKey(blob, right, use) }
                == "AccessDeniedException")
        #expect(
            room.events.all.map { $0.error?.code ?? "-" } == [
                "AccessDeniedException", "AccessDeniedException", "-", "AccessDeniedException",
            ])
    }

    @Test func `a service acts for a caller under the caller's rights and says so`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let via = KeyUse(call: room.call(), viaService: "s3.us-east-1.amazonaws.com")
        let context = EncryptionContext(["aws:s3:arn": "arn:aws:s3:::b/k"])
        let made = try await room.keys.makeDataKey(under: key, context, via)
        #expect(try await room.keys.openDataKey(made.blob, context, via) == made.plaintext)
        #expect(room.events.all.map(\.name) == ["GenerateDataKey", "Decrypt"])
        #expect(room.events.all.allSatisfy { $0.invokedBy == "s3.amazonaws.com" && $0.error == nil })
    }

    @Test func `a policy that leaves the account out keeps its root out`() async throws {
        let room = try await KeyRoom()
        let policy =
            #"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"x.amazonaws.com"},"#
            + #""Action":"kms:*","Resource":"*"}}"#
        #expect(try await room.code("CreateKey", ["Policy": .string(policy)]) == "MalformedPolicyDocumentException")
        let key = try await room.makeKey(["Policy": .string(policy), "BypassPolicyLockoutSafetyCheck": true])
        #expect(try await room.code("DescribeKey", ["KeyId": .string(key)]) == "AccessDeniedException")
        #expect(
            try await room.code("Encrypt", ["KeyId": .string(key), "Plaintext": "eA=="]) == "AccessDeniedException")
    }

    @Test func `a new policy counts from its answer on and is given back as it was written`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let deny =
            #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","#
            + #""Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*"}]}"#
        try await room.send("PutKeyPolicy", ["KeyId": .string(key), "Policy": .string(deny)])
        #expect(try await room.send("GetKeyPolicy", ["KeyId": .string(key)])["Policy"]?.asString == deny)
        #expect(try await room.send("ListKeyPolicies", ["KeyId": .string(key)])["PolicyNames"] == ["default"])
        let code = try await room.code("Encrypt", ["KeyId": .string(key), "Plaintext": "eA=="])
        #expect(code == "AccessDeniedException")
        for (text, name) in [
            ("{", "default"), ("[]", "default"),
            (#"{"Version":"2012-10-17","Statement":[{"Effect":"Maybe"}]}"#, "default"),
        ] {
            #expect(
                try await room.code(
                    "PutKeyPolicy", ["KeyId": .string(key), "Policy": .string(text), "PolicyName": .string(name)])
                    == "MalformedPolicyDocumentException", "\(text)")
        }
        let long = deny + String(repeating: " ", count: 32768)
        #expect(
            try await room.code("PutKeyPolicy", ["KeyId": .string(key), "Policy": .string(long)])
                == "LimitExceededException")
        #expect(
            try await room.code("GetKeyPolicy", ["KeyId": .string(key), "PolicyName": "other"]) == "NotFoundException")
    }

    @Test func `a grant lets a principal do what it names, under its constraints`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let role = "arn:aws:iam::111122223333:role/app"
        let answer = try await room.send(
            "CreateGrant",
            [
                "KeyId": .string(key), "GranteePrincipal": .string(role), "Operations": ["Decrypt"],
                "Constraints": ["EncryptionContextSubset": ["a": "1"]], "Name": "n",
            ])
        let again = try await room.send(
            "CreateGrant",
            [
                "KeyId": .string(key), "GranteePrincipal": .string(role), "Operations": ["Decrypt"],
                "Constraints": ["EncryptionContextSubset": ["a": "1"]], "Name": "n",
            ])
        #expect(answer["GrantId"] == again["GrantId"])
        let policy = room.keys.keyPolicy(for: key)
        let grants = room.keys.grants(for: key)
        let principal = Principal.roleSession(
            account: KeyRoom.account, roleARN: role, roleID: "AROA",
            sessionARN: "arn:aws:sts::111122223333:assumed-role/app/s",
            sessionName: "s")
        func decide(_ action: String, _ context: [String: String]) -> Decision {
            PolicyEvaluation.decide(
                AuthorizationRequest(
                    principal: principal, action: action, resource: key, resourceAccount: KeyRoom.account, context: [:]),
                PoliciesInForce(resource: policy), rule: .key(grants: grants, encryptionContext: context))
        }
        #expect(decide("kms:Decrypt", ["a": "1", "b": "2"]).isAllowed)
        #expect(!decide("kms:Decrypt", ["a": "2"]).isAllowed)
        #expect(!decide("kms:Encrypt", ["a": "1"]).isAllowed)
    }

    @Test func `grants are listed, retired by their token and revoked by their id`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let root = "arn:aws:iam::111122223333:root"
        func make() async throws -> WireStructure {
            try await room.send(
                "CreateGrant",
                [
                    "KeyId": .string(key), "GranteePrincipal": .string(root), "RetiringPrincipal": .string(root),
                    "Operations": ["Encrypt", "RetireGrant"],
                ])
        }
        let first = try await make()
        let second = try await make()
        #expect(try await room.send("ListGrants", ["KeyId": .string(key)])["Grants"]?.asList?.count == 2)
        #expect(
            try await room.send("ListRetirableGrants", ["RetiringPrincipal": .string(root)])["Grants"]?.asList?.count
                == 2)
        try await room.send("RetireGrant", ["GrantToken": try #require(first["GrantToken"])])
        #expect(
            try await room.code("RetireGrant", ["GrantToken": try #require(first["GrantToken"])]) == "NotFoundException"
        )
        let revoke: WireStructure = ["KeyId": .string(key), "GrantId": try #require(second["GrantId"])]
        try await room.send("RevokeGrant", revoke)
        #expect(try await room.code("RevokeGrant", revoke) == "NotFoundException")
        let again = try await KeyRoom(after: room)
        #expect(try await again.send("ListGrants", ["KeyId": .string(key)])["Grants"]?.asList?.isEmpty == true)
    }

    @Test(
        arguments: [
            ["GranteePrincipal": "s3.amazonaws.com", "Operations": ["Decrypt"]],
            ["GranteePrincipal": "arn:aws:iam::111122223333:group/g", "Operations": ["Decrypt"]],
            ["GranteePrincipal": "arn:aws:iam::111122223333:role/r", "Operations": ["Fly"]],
            ["GranteePrincipal": "arn:aws:iam::111122223333:role/r", "Operations": ["Sign"]],
            ["GranteePrincipal": "arn:aws:iam::111122223333:role/r", "Operations": []],
        ] as [WireStructure])
    func `a grant that cannot be is refused`(parameters: WireStructure) async throws {
        let room = try await KeyRoom()
        var parameters = parameters
        parameters.append("KeyId", .string(try await room.makeKey()))
        let code = try await room.code("CreateGrant", parameters)
        #expect(["InvalidArnException", "ValidationException"].contains(code), "\(code)")
        #expect(room.keys.grants(for: try #require(parameters["KeyId"]?.asString)).isEmpty)
    }

    @Test func `a dry run that would succeed says so and changes nothing`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        #expect(
            try await room.code("GenerateDataKey", ["KeyId": .string(key), "KeySpec": "AES_256", "DryRun": true])
                == "DryRunOperationException")
    }
}
