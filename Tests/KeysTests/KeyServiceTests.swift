// SPDX-License-Identifier: Apache-2.0

package import AWSWire
import Keys
import Testing

struct KeyServiceTests {
    @Test func `what one key encrypts it decrypts after a restart`() async throws {
        let room = try await KeyRoom()
        let blob = try await room.encrypt("secret", try await room.makeKey(), ["purpose": "test"])
        let again = try await KeyRoom(after: room)
        #expect(try await again.decrypt(blob, ["purpose": "test"]) == "secret")
    }

    @Test func `neither material nor plaintext lies in the catalog in the clear`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        _ = try await room.encrypt("attack at dawn", key)
        let files = try Files.contents(in: room.folder)
        #expect(!files.isEmpty)
        #expect(!files.contains { Files.contains($0, Array("attack at dawn".utf8)) })
    }

    @Test func `another context and a damaged blob are refused alike`() async throws {
        let room = try await KeyRoom()
        let blob = try await room.encrypt("x", try await room.makeKey(), ["a": "1"])
        let code = try await room.code(
            "Decrypt", ["CiphertextBlob": .string(blob), "EncryptionContext": .structure(["a": "2"])])
        #expect(code == "InvalidCiphertextException")
        var bytes = try #require(Base64.decode(blob))
        bytes[bytes.count - 1] ^= 1
        #expect(
            try await room.code(
                "Decrypt",
                ["CiphertextBlob": .string(Base64.encode(bytes)), "EncryptionContext": .structure(["a": "1"])])
                == "InvalidCiphertextException")
    }

    @Test func `a named key that is not the blob's is incorrect`() async throws {
        let room = try await KeyRoom()
        let blob = try await room.encrypt("x", try await room.makeKey())
        let other = try await room.makeKey()
        let code = try await room.code("Decrypt", ["CiphertextBlob": .string(blob), "KeyId": .string(other)])
        #expect(code == "IncorrectKeyException")
    }

    @Test func `a blob of another region is out of reach`() async throws {
        let room = try await KeyRoom()
        let blob = try await room.encrypt("x", try await room.makeKey())
        let code = try await room.code("Decrypt", ["CiphertextBlob": .string(blob)], region: "eu-west-1")
        #expect(code == "AccessDeniedException")
    }

    @Test(arguments: [0, 4097])
    func `a plaintext has one to 4096 bytes`(count: Int) async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let plaintext = Base64.encode([UInt8](repeating: 1, count: count))
        #expect(
            try await room.code("Encrypt", ["KeyId": .string(key), "Plaintext": .string(plaintext)])
                == "ValidationException")
    }

    @Test func `data keys have the size that was asked for and open again`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        for (asked, count) in [
            (["KeySpec": "AES_256"] as WireStructure, 32), (["KeySpec": "AES_128"], 16), (["NumberOfBytes": 100], 100),
        ] {
            var parameters = asked
            parameters.append("KeyId", .string(key))
            let answer = try await room.send("GenerateDataKey", parameters)
            let plaintext = try #require(answer["Plaintext"]?.asString)
            #expect(Base64.decode(plaintext)?.count == count)
            let opened = try await room.send("Decrypt", ["CiphertextBlob": try #require(answer["CiphertextBlob"])])
            #expect(opened["Plaintext"]?.asString == plaintext)
            let blind = try await room.send("GenerateDataKeyWithoutPlaintext", parameters)
            #expect(blind["Plaintext"] == nil)
            #expect(blind["CiphertextBlob"] != nil)
        }
        for wrong in [
            [:], ["KeySpec": "AES_256", "NumberOfBytes": 32], ["NumberOfBytes": 1025], ["KeySpec": "AES_512"],
        ] as [WireStructure] {
            var parameters = wrong
            parameters.append("KeyId", .string(key))
            #expect(try await room.code("GenerateDataKey", parameters) == "ValidationException")
        }
    }

    @Test func `re-encryption moves a ciphertext to another key and another context`() async throws {
        let room = try await KeyRoom()
        let blob = try await room.encrypt("x", try await room.makeKey(), ["a": "1"])
        let other = try await room.makeKey()
        let answer = try await room.send(
            "ReEncrypt",
            [
                "CiphertextBlob": .string(blob), "SourceEncryptionContext": .structure(["a": "1"]),
                "DestinationKeyId": .string(other), "DestinationEncryptionContext": .structure(["b": "2"]),
            ])
        #expect(answer["KeyId"]?.asString == other)
        #expect(try await room.decrypt(try #require(answer["CiphertextBlob"]?.asString), ["b": "2"]) == "x")
    }

    @Test func `a key is found by its id, ARN, alias and alias's ARN, and only aliases in use`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let id = try #require(key.split(separator: "/").last.map(String.init))
        try await room.send("CreateAlias", ["AliasName": "alias/app", "TargetKeyId": .string(id)])
        for name in [key, id, "alias/app", "arn:aws:kms:us-east-1:111122223333:alias/app"] {
            #expect(try await room.metadata(name)["Arn"]?.asString == key)
        }
        #expect(try await room.code("EnableKey", ["KeyId": "alias/app"]) == "NotFoundException")
        #expect(try await room.code("DescribeKey", ["KeyId": "alias/none"]) == "NotFoundException")
        #expect(try await room.code("DescribeKey", ["KeyId": .string(key)], region: "eu-west-1") == "NotFoundException")
        #expect(try await room.code("DescribeKey", ["KeyId": "arn:aws:s3:::x"]) == "InvalidArnException")
        #expect(try await room.code("DescribeKey", ["KeyId": "nonsense"]) == "NotFoundException")
    }

    @Test func `an alias is unique, moves, and goes away`() async throws {
        let room = try await KeyRoom()
        let first = try await room.makeKey()
        let second = try await room.makeKey()
        try await room.send("CreateAlias", ["AliasName": "alias/app", "TargetKeyId": .string(first)])
        #expect(
            try await room.code("CreateAlias", ["AliasName": "alias/app", "TargetKeyId": .string(second)])
                == "AlreadyExistsException")
        try await room.send("UpdateAlias", ["AliasName": "alias/app", "TargetKeyId": .string(second)])
        #expect(try await room.metadata("alias/app")["Arn"]?.asString == second)
        let listed = try await room.send("ListAliases", ["KeyId": .string(second)])
        #expect(listed["Aliases"]?.asList?.count == 1)
        try await room.send("DeleteAlias", ["AliasName": "alias/app"])
        #expect(try await room.code("DeleteAlias", ["AliasName": "alias/app"]) == "NotFoundException")
        #expect(
            try await room.code("CreateAlias", ["AliasName": "alias/aws/s3", "TargetKeyId": .string(first)])
                == "NotAuthorizedException")
        for name in ["app", "alias/", "alias/a b", "alias/a:b"] {
            let code = try await room.code("CreateAlias", ["AliasName": .string(name), "TargetKeyId": .string(first)])
            #expect(["ValidationException", "InvalidAliasNameException"].contains(code), "\(name): \(code)")
        }
    }

    @Test func `a disabled key does nothing until it is enabled`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let blob = try await room.encrypt("x", key)
        try await room.send("DisableKey", ["KeyId": .string(key)])
        #expect(try await room.metadata(key)["KeyState"] == "Disabled")
        #expect(try await room.code("Decrypt", ["CiphertextBlob": .string(blob)]) == "DisabledException")
        #expect(try await room.code("RotateKeyOnDemand", ["KeyId": .string(key)]) == "DisabledException")
        try await room.send("EnableKey", ["KeyId": .string(key)])
        #expect(try await room.decrypt(blob) == "x")
    }

    @Test func `a key is deleted when its window has passed, and not before`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let blob = try await room.encrypt("x", key)
        try await room.send("CreateAlias", ["AliasName": "alias/app", "TargetKeyId": .string(key)])
        for days in [6, 31] as [Int64] {
            #expect(
                try await room.code(
                    "ScheduleKeyDeletion", ["KeyId": .string(key), "PendingWindowInDays": .integer(days)])
                    == "ValidationException")
        }
        let answer = try await room.send("ScheduleKeyDeletion", ["KeyId": .string(key), "PendingWindowInDays": 7])
        #expect(answer["DeletionDate"] == .timestamp(room.time.now.adding(seconds: 7 * 86400)))
        #expect(try await room.code("Decrypt", ["CiphertextBlob": .string(blob)]) == "KMSInvalidStateException")
        #expect(try await room.code("EnableKey", ["KeyId": .string(key)]) == "KMSInvalidStateException")
        #expect(try await room.code("ScheduleKeyDeletion", ["KeyId": .string(key)]) == "KMSInvalidStateException")
        room.time.advance(days: 6, seconds: 86399)
        try await room.keys.turn()
        #expect(try await room.metadata(key)["KeyState"] == "PendingDeletion")
        room.time.advance(days: 0, seconds: 1)
        try await room.keys.turn()
        #expect(try await room.code("DescribeKey", ["KeyId": .string(key)]) == "NotFoundException")
        #expect(try await room.code("Decrypt", ["CiphertextBlob": .string(blob)]) == "AccessDeniedException")
        #expect(try await room.send("ListAliases")["Aliases"]?.asList?.isEmpty == true)
        #expect(room.events.all.map(\.name) == ["DeleteKey"])
        let again = try await KeyRoom(after: room)
        #expect(try await again.code("DescribeKey", ["KeyId": .string(key)]) == "NotFoundException")
    }

    @Test func `a cancelled deletion leaves the key disabled`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        #expect(try await room.code("CancelKeyDeletion", ["KeyId": .string(key)]) == "KMSInvalidStateException")
        try await room.send("ScheduleKeyDeletion", ["KeyId": .string(key)])
        #expect(try await room.send("CancelKeyDeletion", ["KeyId": .string(key)])["KeyId"]?.asString == key)
        #expect(try await room.metadata(key)["KeyState"] == "Disabled")
        room.time.advance(days: 40)
        try await room.keys.turn()
        #expect(try await room.metadata(key)["KeyState"] == "Disabled")
    }

    @Test func `after a rotation old ciphertexts open and new ones have the new material`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let old = try await room.encrypt("old", key)
        try await room.send("RotateKeyOnDemand", ["KeyId": .string(key)])
        let new = try await room.encrypt("new", key)
        let materials = [old, new].map { Base64.decode($0).flatMap { CiphertextBlob($0) }?.material }
        #expect(materials == [1, 2])
        #expect(try await room.decrypt(old) == "old")
        #expect(try await room.decrypt(new) == "new")
        let rotations = try await room.send("ListKeyRotations", ["KeyId": .string(key)])["Rotations"]?.asList
        #expect(rotations?.count == 1)
        #expect(rotations?.first?.asStructure?["RotationType"] == "ON_DEMAND")
        let all = try await room.send(
            "ListKeyRotations", ["KeyId": .string(key), "IncludeKeyMaterial": "ALL_KEY_MATERIAL"])
        #expect(all["Rotations"]?.asList?.count == 2)
    }

    @Test func `a key rotates when its period has passed, and again after the next`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let blob = try await room.encrypt("x", key)
        #expect(
            try await room.code("EnableKeyRotation", ["KeyId": .string(key), "RotationPeriodInDays": 89])
                == "ValidationException")
        try await room.send("EnableKeyRotation", ["KeyId": .string(key), "RotationPeriodInDays": 90])
        let status = try await room.send("GetKeyRotationStatus", ["KeyId": .string(key)])
        #expect(status["KeyRotationEnabled"] == true)
        #expect(status["NextRotationDate"] == .timestamp(room.time.now.adding(seconds: 90 * 86400)))
        for expected in [1, 2] {
            room.time.advance(days: 89, seconds: 86399)
            try await room.keys.turn()
            #expect(room.events.all.count == expected - 1)
            #expect(try await room.code("RotateKeyOnDemand", ["KeyId": .string(key)]) == "ConflictException")
            room.time.advance(days: 0, seconds: 1)
            try await room.keys.turn()
            try await room.keys.turn()
            #expect(room.events.all.map(\.name) == Array(repeating: "RotateKey", count: expected))
        }
        #expect(try await room.decrypt(blob) == "x")
    }

    @Test func `a rotation that fell due while the key was disabled comes when it is enabled`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        try await room.send("EnableKeyRotation", ["KeyId": .string(key)])
        try await room.send("DisableKey", ["KeyId": .string(key)])
        room.time.advance(days: 400)
        try await room.keys.turn()
        #expect(room.events.all.isEmpty)
        try await room.send("EnableKey", ["KeyId": .string(key)])
        try await room.keys.turn()
        #expect(room.events.all.map(\.name) == ["RotateKey"])
    }

    @Test func `a key is rotated on demand at most 25 times`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        for _ in 0..<25 { try await room.send("RotateKeyOnDemand", ["KeyId": .string(key)]) }
        #expect(try await room.code("RotateKeyOnDemand", ["KeyId": .string(key)]) == "LimitExceededException")
    }

    @Test func `tags are set, replaced, removed and listed page by page`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey(["Tags": [["TagKey": "a", "TagValue": "1"]]])
        try await room.send(
            "TagResource",
            ["KeyId": .string(key), "Tags": [["TagKey": "a", "TagValue": "2"], ["TagKey": "b", "TagValue": "3"]]])
        let first = try await room.send("ListResourceTags", ["KeyId": .string(key), "Limit": 1])
        #expect(first["Tags"] == [["TagKey": "a", "TagValue": "2"]])
        #expect(first["Truncated"] == true)
        let second = try await room.send(
            "ListResourceTags", ["KeyId": .string(key), "Limit": 1, "Marker": try #require(first["NextMarker"])])
        #expect(second["Tags"] == [["TagKey": "b", "TagValue": "3"]])
        #expect(second["Truncated"] == false)
        #expect(
            try await room.code("ListResourceTags", ["KeyId": .string(key), "Marker": "!"]) == "InvalidMarkerException")
        try await room.send("UntagResource", ["KeyId": .string(key), "TagKeys": ["a"]])
        #expect(try await room.send("ListResourceTags", ["KeyId": .string(key)])["Tags"]?.asList?.count == 1)
        #expect(
            try await room.code(
                "TagResource", ["KeyId": .string(key), "Tags": [["TagKey": "aws:x", "TagValue": ""]]]) == "TagException"
        )
    }

    @Test(
        arguments: [
            ["KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"], ["MultiRegion": true], ["Origin": "EXTERNAL"],
        ] as [WireStructure])
    func `keys of kinds that are not built are refused`(parameters: WireStructure) async throws {
        let room = try await KeyRoom()
        #expect(try await room.code("CreateKey", parameters) == "UnsupportedOperationException")
        #expect(try await room.send("ListKeys")["Keys"]?.asList?.isEmpty == true)
    }

    @Test func `no event shows a plaintext, a ciphertext or a token`() throws {
        let secrets: WireStructure = [
            "Plaintext": "SECRET", "CiphertextBlob": "SECRET", "GrantTokens": ["SECRET"], "GrantToken": "SECRET",
            "KeyId": "alias/app", "EncryptionContext": ["Purpose": "test"],
            "Recipient": ["AttestationDocument": "SECRET"],
        ]
        for operation in KeyService.operations {
            let request = try KeyRoom.request(operation.name, secrets)
            let recorded = try #require(operation.recorded, "\(operation.name) must say what it shows")
            #expect(!"\(recorded(request))".contains("SECRET"), "\(operation.name)")
        }
        let encrypt = try #require(KeyService.operations.first { $0.name == "Encrypt" }?.recorded)
        #expect(
            encrypt(try KeyRoom.request("Encrypt", secrets))
                == [
                    "keyId": "alias/app", "encryptionContext": ["Purpose": "test"],
                    "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
                ])
    }

    @Test func `what uses a key is recorded as reading, what changes one is not`() {
        let using = [
            "Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateRandom",
        ]
        for operation in KeyService.operations {
            let isRead =
                using.contains(operation.name) || operation.name.hasPrefix("List") || operation.name.hasPrefix("Get")
                || operation.name.hasPrefix("Describe")
            #expect((operation.traits.isReadOnly ?? (operation.traits.access == .read)) == isRead, "\(operation.name)")
        }
    }
}

extension WireValue: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, WireValue)...) {
        self = .structure(WireStructure(elements.map { .init($0.0, $0.1) }))
    }
}
