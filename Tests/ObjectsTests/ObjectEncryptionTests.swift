// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Keys
import Objects
import Testing

struct ObjectEncryptionTests {
    private static let line = "a line that nobody may read from the disk\n"
    private static let text = String(repeating: line, count: 5000)
    private static let sse = "x-amz-server-side-encryption"
    /// 32 bytes in base 64, and their MD5.
    private static let customer = [
        "\(sse)-customer-algorithm": "AES256",
        "\(sse)-customer-key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "\(sse)-customer-key-md5": "hRasmdxgYDKV3nvbahU1MA==",
    ]
    private static let otherCustomer = [
        "\(sse)-customer-algorithm": "AES256",
        "\(sse)-customer-key": "MTEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "\(sse)-customer-key-md5": "TnNSxk2MILJgV1wzrenPSw==",
    ]

    private func room() async throws -> ObjectRoom {
        let room = try await ObjectRoom()
        try await room.send("PUT", "/bucket")
        return room
    }

    private func under(_ key: String, _ more: [String: String] = [:]) -> [String: String] {
        [Self.sse: "aws:kms", "\(Self.sse)-aws-kms-key-id": key].merging(more) { _, new in new }
    }

    private func hasPlaintext(_ room: ObjectRoom) throws -> Bool {
        Data(try room.rawBytes()).range(of: Data("nobody may read".utf8)) != nil
    }

    @Test func `an object under a key of KMS opens after a restart, in any range, and lies sealed on the disk`()
        async throws
    {
        let room = try await room()
        defer { room.remove() }
        let key = try await room.makeKey()
        let put = try await room.send("PUT", "/bucket/k", under(key), Self.text)
        #expect(put.header(Self.sse) == "aws:kms")
        #expect(put.header("\(Self.sse)-aws-kms-key-id") == key)
        #expect(try !hasPlaintext(room))
        let again = try await ObjectRoom(after: room)
        let got = try await again.send("GET", "/bucket/k")
        #expect(try await got.bytes == Array(Self.text.utf8))
        #expect(got.header("\(Self.sse)-aws-kms-key-id") == key)
        let part = try await again.bytes("/bucket/k", ["range": "bytes=65530-131080"])
        #expect(part.elementsEqual(Array(Self.text.utf8)[65530...131080]))
        #expect(room.keyEvents.names == ["GenerateDataKey"])
        #expect(again.keyEvents.names == ["Decrypt", "Decrypt"])
        #expect(again.keyEvents.all.allSatisfy { $0.invokedBy == "s3.amazonaws.com" })
    }

    @Test func `the entity tag of an object under another key than the store's is not its MD5`() async throws {
        let room = try await room()
        defer { room.remove() }
        let plain = try await room.send("PUT", "/bucket/a", [:], "x").header("etag")
        let sealed = try await room.send("PUT", "/bucket/b", under(try await room.makeKey()), "x").header("etag")
        let custom = try await room.send("PUT", "/bucket/c", Self.customer, "x").header("etag")
        #expect(Set([plain, sealed, custom]).count == 3)
    }

    @Test func `the object and the caller's pairs are bound to the data key and shown in the events`() async throws {
        let room = try await room()
        defer { room.remove() }
        let key = try await room.makeKey()
        let context = Base64.encode(Array(#"{"team":"audit"}"#.utf8))
        let put = try await room.send("PUT", "/bucket/d/k", under(key, ["\(Self.sse)-context": context]), "x")
        #expect(put.header("\(Self.sse)-context") == context)
        #expect(
            room.keyEvents.all.last?.requestParameters
                == .structure([
                    "keyId": .string(key), "keySpec": "AES_256",
                    "encryptionContext": .structure(["aws:s3:arn": "arn:aws:s3:::bucket/d/k", "team": "audit"]),
                ]))
        #expect(try await room.text("/bucket/d/k") == "x")
        for wrong in ["{", Base64.encode(Array("[]".utf8)), Base64.encode(Array(#"{"a":1}"#.utf8))] {
            let headers = under(key, ["\(Self.sse)-context": wrong])
            #expect(await room.refusal("PUT", "/bucket/k", headers, "x") == "InvalidArgument 400")
        }
        let forged = Base64.encode(Array(#"{"aws:s3:arn":"arn:aws:s3:::other/k"}"#.utf8))
        #expect(
            await room.refusal("PUT", "/bucket/k", under(key, ["\(Self.sse)-context": forged]), "x")
                == "InvalidArgument 400")
    }

    @Test func `a key that cannot be used is told in KMS's words, and nothing is stored`() async throws {
        let room = try await room()
        defer { room.remove() }
        let key = try await room.makeKey()
        try await room.send("PUT", "/bucket/k", under(key), "x")
        let unknown = "00000000-0000-4000-8000-000000000000"
        #expect(await room.refusal("PUT", "/bucket/n", under(unknown), "x") == "KMS.NotFoundException 400")
        #expect(
            await room.refusal("PUT", "/bucket/n", under("arn:aws:kms:eu-west-1:111122223333:key/\(unknown)"), "x")
                == "KMS.NotFoundException 400")
        try await room.kms("DisableKey", ["KeyId": .string(key)])
        #expect(await room.refusal("PUT", "/bucket/n", under(key), "x") == "KMS.DisabledException 400")
        #expect(await room.refusal("GET", "/bucket/k") == "KMS.DisabledException 400")
        try await room.kms("ScheduleKeyDeletion", ["KeyId": .string(key), "PendingWindowInDays": 7])
        #expect(await room.refusal("PUT", "/bucket/n", under(key), "x") == "KMS.KMSInvalidStateException 400")
        #expect(await room.refusal("GET", "/bucket/n") == "NoSuchKey 404")
        #expect(try room.fileCount() == 1)
    }

    @Test(arguments: [
        ([sse: "aws:kms:dsse"], "NotImplemented 501"), ([sse: "rot13"], "InvalidArgument 400"),
        (["\(sse)-aws-kms-key-id": "k"], "InvalidArgument 400"),
        ([sse: "AES256", "\(sse)-aws-kms-key-id": "k"], "InvalidArgument 400"),
        ([sse: "aws:kms", "\(sse)-bucket-key-enabled": "maybe"], "InvalidArgument 400"),
        (["\(sse)-customer-algorithm": "AES128"], "InvalidEncryptionAlgorithmError 400"),
        (["\(sse)-customer-algorithm": "AES256"], "InvalidArgument 400"),
        (["\(sse)-customer-key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="], "InvalidArgument 400"),
        (customer.merging(["\(sse)-customer-key-md5": "rJqovPkFGiUgtwm7O36fyQ=="]) { $1 }, "InvalidArgument 400"),
        (customer.merging(["\(sse)-customer-key": "c2hvcnQ="]) { $1 }, "InvalidArgument 400"),
        (customer.merging([sse: "AES256"]) { $1 }, "InvalidArgument 400"),
    ])
    func `what cannot be is refused`(headers: [String: String], refusal: String) async throws {
        let room = try await room()
        defer { room.remove() }
        #expect(await room.refusal("PUT", "/bucket/k", headers, "x") == refusal)
        #expect(try room.fileCount() == 0)
    }

    @Test func `a customer's key is needed for each read, and is kept in no form`() async throws {
        let room = try await room()
        defer { room.remove() }
        let put = try await room.send("PUT", "/bucket/k", Self.customer, Self.text)
        #expect(put.header("\(Self.sse)-customer-algorithm") == "AES256")
        #expect(put.header("\(Self.sse)-customer-key-md5") == Self.customer["\(Self.sse)-customer-key-md5"])
        #expect(put.header(Self.sse) == nil)
        for method in ["GET", "HEAD"] {
            #expect(await room.refusal(method, "/bucket/k") == "InvalidRequest 400")
            #expect(await room.refusal(method, "/bucket/k", Self.otherCustomer) == "AccessDenied 403")
        }
        let again = try await ObjectRoom(after: room)
        #expect(try await again.text("/bucket/k", Self.customer) == Self.text)
        #expect(try !hasPlaintext(room))
        let key = Data("0123456789abcdef0123456789abcdef".utf8)
        let stored = try Data(contentsOf: URL(fileURLWithPath: room.folder + "/catalog.sqlite"))
        let log = (try? Data(contentsOf: URL(fileURLWithPath: room.folder + "/catalog.sqlite-wal"))) ?? Data()
        #expect((stored + log).range(of: key) == nil)
        #expect((stored + log).range(of: Data("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3".utf8)) == nil)
        try await room.send("PUT", "/bucket/plain", [:], "x")
        #expect(await room.refusal("GET", "/bucket/plain", Self.customer) == "InvalidRequest 400")
    }

    @Test func `copies decrypt their source and are encrypted as they ask, or as the bucket says`() async throws {
        let room = try await room()
        defer { room.remove() }
        let key = try await room.makeKey()
        try await room.send("PUT", "/bucket/k", Self.customer, Self.text)
        var source = ["x-amz-copy-source": "/bucket/k"]
        #expect(await room.refusal("PUT", "/bucket/c", source) == "InvalidRequest 400")
        for (name, value) in Self.customer {
            source[name.replacingOccurrences(of: "x-amz-", with: "x-amz-copy-source-")] = value
        }
        let copied = try await room.send("PUT", "/bucket/c", source.merging(under(key)) { $1 })
        #expect(copied.header("\(Self.sse)-aws-kms-key-id") == key)
        #expect(try await room.text("/bucket/c") == Self.text)
        let plain = try await room.send("PUT", "/bucket/p", ["x-amz-copy-source": "/bucket/c"])
        #expect(plain.header(Self.sse) == "AES256")
        #expect(try await room.text("/bucket/p") == Self.text)
    }

    @Test func `parts share the upload's data key and each has a file of its own`() async throws {
        let room = try await room()
        defer { room.remove() }
        let key = try await room.makeKey()
        for headers in [under(key), Self.customer] {
            let begun = try await room.send("POST", "/bucket/big?uploads", headers)
            let id = try #require(begun.document.text("UploadId"))
            let reads = headers[Self.sse] == nil ? headers : [:]
            let first = String(repeating: Self.line, count: 130_000)
            var list = ""
            for (number, body) in [first, Self.text].enumerated() {
                let target = "/bucket/big?partNumber=\(number + 1)&uploadId=\(id)"
                let part = try await room.send("PUT", target, reads, body)
                let etag = try #require(part.header("etag"))
                list += "<Part><PartNumber>\(number + 1)</PartNumber><ETag>\(etag)</ETag></Part>"
            }
            if headers[Self.sse] == nil {
                let target = "/bucket/big?partNumber=3&uploadId=\(id)"
                #expect(await room.refusal("PUT", target, [:], "x") == "InvalidRequest 400")
                #expect(await room.refusal("PUT", target, Self.otherCustomer, "x") == "InvalidRequest 400")
            }
            try await room.send(
                "POST", "/bucket/big?uploadId=\(id)", [:],
                "<CompleteMultipartUpload>\(list)</CompleteMultipartUpload>")
            let whole = Array((first + Self.text).utf8)
            #expect(try await room.bytes("/bucket/big", reads) == whole)
            let edge = first.utf8.count
            let range = reads.merging(["range": "bytes=\(edge - 5)-\(edge + 5)"]) { $1 }
            #expect(try await room.bytes("/bucket/big", range).elementsEqual(whole[(edge - 5)...(edge + 5)]))
            #expect(try !hasPlaintext(room))
        }
    }

    @Test func `a bucket's default counts where a put says nothing, and is kept`() async throws {
        let room = try await room()
        defer { room.remove() }
        let key = try await room.makeKey()
        func rule(_ inner: String) -> String {
            "<ServerSideEncryptionConfiguration><Rule>\(inner)</Rule></ServerSideEncryptionConfiguration>"
        }
        let byKey =
            "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>\(key)"
            + "</KMSMasterKeyID></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled>"
        try await room.send("PUT", "/bucket?encryption", [:], rule(byKey))
        let again = try await ObjectRoom(after: room)
        let put = try await again.send("PUT", "/bucket/k", [:], "x")
        #expect(put.header("\(Self.sse)-aws-kms-key-id") == key)
        #expect(put.header("\(Self.sse)-bucket-key-enabled") == "true")
        #expect(try await again.send("PUT", "/bucket/s", [Self.sse: "AES256"], "x").header(Self.sse) == "AES256")
        for (body, code) in [
            (rule(byKey.replacingOccurrences(of: "aws:kms<", with: "AES256<")), "InvalidArgument 400"),
            (rule(byKey.replacingOccurrences(of: "aws:kms<", with: "aws:kms:dsse<")), "NotImplemented 501"),
            (rule(byKey.replacingOccurrences(of: "aws:kms<", with: "none<")), "MalformedXML 400"),
            ("<ServerSideEncryptionConfiguration/>", "MalformedXML 400"),
        ] {
            #expect(await again.refusal("PUT", "/bucket?encryption", [:], body) == code)
        }
        let blocked = rule("<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>")
        try await again.send("PUT", "/bucket?encryption", [:], blocked)
        #expect(await again.refusal("PUT", "/bucket/c", Self.customer, "x") == "AccessDenied 403")
        try await again.send("DELETE", "/bucket?encryption")
        let rules = try await again.send("GET", "/bucket?encryption").document.all("Rule")
        #expect(rules.first?["ApplyServerSideEncryptionByDefault"]?.asStructure?.text("SSEAlgorithm") == "AES256")
        #expect(try await again.send("PUT", "/bucket/n", [:], "x").header(Self.sse) == "AES256")
    }

    @Test func `a bucket key serves for five minutes, but a refusal of the key bites at once`() async throws {
        let room = try await room()
        defer { room.remove() }
        let key = try await room.makeKey()
        let headers = under(key, ["\(Self.sse)-bucket-key-enabled": "true"])
        for number in 1...3 { try await room.send("PUT", "/bucket/\(number)", headers, "x\(number)") }
        #expect(room.keyEvents.names == ["GenerateDataKey"])
        #expect(
            room.keyEvents.all.first?.requestParameters.asStructure?["encryptionContext"]
                == .structure(["aws:s3:arn": "arn:aws:s3:::bucket"]))
        #expect(try await room.text("/bucket/1") == "x1")
        #expect(try await room.text("/bucket/3") == "x3")
        #expect(room.keyEvents.names == ["GenerateDataKey", "Decrypt"])
        room.clock.advance(seconds: 301)
        try await room.send("PUT", "/bucket/4", headers, "x4")
        #expect(try await room.text("/bucket/1") == "x1")
        #expect(room.keyEvents.names == ["GenerateDataKey", "Decrypt", "GenerateDataKey", "Decrypt"])
        try await room.kms("DisableKey", ["KeyId": .string(key)])
        #expect(await room.refusal("GET", "/bucket/1") == "KMS.DisabledException 400")
        #expect(await room.refusal("PUT", "/bucket/5", headers, "x") == "KMS.DisabledException 400")
    }

    @Test func `the account's own key for S3 is made at its first use and is used through S3 alone`() async throws {
        let room = try await room()
        defer { room.remove() }
        let first = try await room.send("PUT", "/bucket/a", [Self.sse: "aws:kms"], "x")
        let second = try await room.send("PUT", "/bucket/b", under("alias/aws/s3"), "x")
        let key = try #require(first.header("\(Self.sse)-aws-kms-key-id"))
        #expect(second.header("\(Self.sse)-aws-kms-key-id") == key)
        #expect(try await room.text("/bucket/a") == "x")
        let described = try await room.kms("DescribeKey", ["KeyId": "alias/aws/s3"])["KeyMetadata"]?.asStructure
        #expect(described?["KeyManager"] == "AWS")
        await #expect(throws: AWSError.self) {
            try await room.kms("Encrypt", ["KeyId": .string(key), "Plaintext": "eA=="])
        }
        await #expect(throws: AWSError.self) {
            try await room.kms("ScheduleKeyDeletion", ["KeyId": .string(key), "PendingWindowInDays": 7])
        }
    }

    @Test func `events tell how an object was encrypted, and whether the bucket decided`() async throws {
        let room = try await room()
        defer { room.remove() }
        let key = try await room.makeKey()
        for (headers, applied) in [
            ([:], "Default_SSE_S3"), ([Self.sse: "AES256"], "SSE_S3"), (under(key), "SSE_KMS"),
            (Self.customer, "SSE_C"),
        ] as [([String: String], String)] {
            let put = try await room.send("PUT", "/bucket/k", headers, "x")
            #expect(put.additionalEventData.text("SSEApplied") == applied)
        }
    }

    @Test func `a scrub finds rot in a file whose key it does not have`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/bucket/k", Self.customer, Self.text)
        try await room.send("PUT", "/bucket/empty", Self.customer, "")
        let scrub = ObjectScrub(catalog: room.catalog, directory: room.folder + "/objects", keys: room.keys)
        #expect(try await scrub.run { _ in }.damaged == 0)
        for path in try FileManager.default.subpathsOfDirectory(atPath: room.folder + "/objects") {
            let file = room.folder + "/objects/" + path
            guard var bytes = FileManager.default.contents(atPath: file), bytes.count > 1000 else { continue }
            bytes[777] ^= 1
            try bytes.write(to: URL(fileURLWithPath: file))
        }
        #expect(try await scrub.run { _ in }.damaged == 1)
        #expect(await room.refusal("GET", "/bucket/k", Self.customer) == "InternalError 500")
    }
}
