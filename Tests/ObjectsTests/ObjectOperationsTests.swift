// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Objects
import Testing

struct ObjectOperationsTests {
    /// A room with the bucket `aaa`.
    private func room() async throws -> ObjectRoom {
        let room = try await ObjectRoom()
        try await room.send("PUT", "/aaa")
        return room
    }

    // The digest values are RFC 1321's and the published check values of each CRC over other texts do not serve here:
    // these were computed with Python's hashlib and zlib over `hello`.
    private static let helloMD5 = "5d41402abc4b2a76b9719d911017c592"
    private static let helloCRC32 = "NhCmhg=="
    private static let helloSHA256 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="

    @Test func `an object comes back as it was put, with its headers and metadata`() async throws {
        let room = try await room()
        defer { room.remove() }
        let put = try await room.send(
            "PUT", "/aaa/dir/k%20%C3%A9",
            [
                "content-type": "text/plain", "content-encoding": "aws-chunked,gzip", "cache-control": "no-cache",
                "content-disposition": "attachment", "content-language": "de",
                "expires": "Thu, 01 Dec 2033 16:00:00 GMT",
                "x-amz-meta-color": "blue", "x-amz-storage-class": "STANDARD", "x-amz-acl": "bucket-owner-full-control",
            ], "hello")
        #expect(put.header("etag") == "\"\(Self.helloMD5)\"")
        for method in ["GET", "HEAD"] {
            let answer = try await room.send(method, "/aaa/dir/k%20%C3%A9")
            #expect(answer.status == 200)
            #expect(answer.header("etag") == "\"\(Self.helloMD5)\"")
            #expect(answer.header("content-type") == "text/plain")
            #expect(answer.header("content-encoding") == "gzip")
            #expect(answer.header("cache-control") == "no-cache")
            #expect(answer.header("content-disposition") == "attachment")
            #expect(answer.header("content-language") == "de")
            #expect(answer.header("expires") == "Thu, 01 Dec 2033 16:00:00 GMT")
            #expect(answer.header("x-amz-meta-color") == "blue")
            #expect(answer.header("last-modified") == ObjectRoom.start.httpDate)
            #expect(answer.header("x-amz-server-side-encryption") == "AES256")
        }
        #expect(try await room.send("HEAD", "/aaa/dir/k%20%C3%A9").header("content-length") == "5")
        #expect(try await room.text("/aaa/dir/k%20%C3%A9") == "hello")
        #expect(try await ObjectRoom(after: room).text("/aaa/dir/k%20%C3%A9") == "hello")
    }

    @Test func `a large body goes through in pieces and comes back byte for byte`() async throws {
        let room = try await room()
        defer { room.remove() }
        var random = SplitMix(7)
        let body = (0..<1_000_003).map { _ in UInt8.random(in: 0...255, using: &random) }
        var pieces: [[UInt8]] = []
        var rest = body[...]
        while !rest.isEmpty {
            let count = min(rest.count, Int.random(in: 1...70_000, using: &random))
            pieces.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        try await room.send("PUT", "/aaa/big", [:], RequestBody(length: Int64(body.count), pieces: pieces))
        #expect(try await room.bytes("/aaa/big") == body)
        #expect(try await room.bytes("/aaa/big", ["range": "bytes=130000-400000"]) == Array(body[130_000...400_000]))
    }

    @Test func `an empty object is an object`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/empty", [:], "")
        #expect(try await room.bytes("/aaa/empty") == [])
        #expect(
            try await room.send("HEAD", "/aaa/empty").header("etag") == "\"d41d8cd98f00b204e9800998ecf8427e\"")
    }

    @Test func `a body that is short, long, failed or without length leaves nothing`() async throws {
        let room = try await room()
        defer { room.remove() }
        let cut = AWSError("IncompleteBody", "cut")
        let bodies: [(RequestBody, String)] = [
            (RequestBody(length: 5, pieces: [Array("hell".utf8)]), "IncompleteBody"),
            (RequestBody(length: 5, pieces: [Array("hello!".utf8)]), "IncompleteBody"),
            (
                RequestBody(length: 900_000, pieces: [[UInt8](repeating: 1, count: 400_000)], failure: cut),
                "IncompleteBody"
            ),
            (RequestBody(length: nil, pieces: [Array("hello".utf8)]), "MissingContentLength"),
            (RequestBody(length: 5 << 30 + 1, pieces: []), "EntityTooLarge"),
        ]
        for (body, code) in bodies {
            do {
                try await room.send("PUT", "/aaa/k", [:], body)
                Issue.record("the put must fail with \(code)")
            } catch {
                #expect(error.code == code)
            }
        }
        #expect(await room.refusal("GET", "/aaa/k") == "NoSuchKey 404")
        #expect(try room.fileCount() == 0)
    }

    @Test func `a replaced or deleted object's file is removed, and a reader of it reads on`() async throws {
        let room = try await room()
        defer { room.remove() }
        let old = [UInt8](repeating: 65, count: 500_000)
        try await room.send("PUT", "/aaa/k", [:], RequestBody(length: 500_000, pieces: [old]))
        let reading = try await room.send("GET", "/aaa/k")
        try await room.send("PUT", "/aaa/k", [:], "new")
        #expect(try room.fileCount() == 1)
        #expect(try await reading.bytes == old)
        let reading2 = try await room.send("GET", "/aaa/k")
        #expect(try await room.send("DELETE", "/aaa/k").status == 204)
        #expect(try room.fileCount() == 0)
        #expect(String(decoding: try await reading2.bytes, as: UTF8.self) == "new")
        #expect(try await room.send("DELETE", "/aaa/k").status == 204)
    }

    @Test func `puts of one key at once leave one of them whole and one file`() async throws {
        let room = try await room()
        defer { room.remove() }
        let bodies = (0..<16).map { number in String(repeating: "\(number),", count: 20_000) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for body in bodies { group.addTask { try await room.send("PUT", "/aaa/k", [:], body) } }
            for _ in 0..<16 {
                group.addTask {
                    do {
                        let seen = try await room.text("/aaa/k")
                        #expect(bodies.contains(seen))
                    } catch let error as AWSError {
                        #expect(error.code == "NoSuchKey")
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(bodies.contains(try await room.text("/aaa/k")))
        #expect(try room.fileCount() == 1)
    }

    // MARK: Digests

    @Test(arguments: [
        (["content-md5": "XUFAKrxLKna5cZ2REBfFkg=="], "none"),
        (["content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="], "BadDigest 400"),
        (["content-md5": "zzz"], "InvalidDigest 400"), (["content-md5": "AAAA"], "InvalidDigest 400"),
        (["x-amz-checksum-crc32": helloCRC32], "none"), (["x-amz-checksum-crc32": "AAAAAA=="], "BadDigest 400"),
        (["x-amz-checksum-crc32": "AAAA"], "InvalidRequest 400"), (["x-amz-checksum-sha256": helloSHA256], "none"),
        (["x-amz-checksum-sha256": helloSHA256, "x-amz-checksum-crc32": helloCRC32], "InvalidRequest 400"),
        (["x-amz-sdk-checksum-algorithm": "CRC32"], "InvalidRequest 400"),
        (["x-amz-sdk-checksum-algorithm": "CRC32", "x-amz-checksum-crc32": helloCRC32], "none"),
        (["x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": helloCRC32], "InvalidRequest 400"),
        (["x-amz-checksum-sha512": "x"], "NotImplemented 501"),
    ])
    func `a digest that the client sends is checked`(_ headers: [String: String], _ outcome: String) async throws {
        let room = try await room()
        defer { room.remove() }
        #expect(await room.refusal("PUT", "/aaa/k", headers, "hello") == outcome)
        #expect(try room.fileCount() == (outcome == "none" ? 1 : 0))
    }

    @Test func `the checksum is shown to those who ask, for whole objects`() async throws {
        let room = try await room()
        defer { room.remove() }
        let put = try await room.send("PUT", "/aaa/k", ["x-amz-checksum-sha256": Self.helloSHA256], "hello")
        #expect(put.header("x-amz-checksum-sha256") == Self.helloSHA256)
        let mode = ["x-amz-checksum-mode": "ENABLED"]
        #expect(try await room.send("GET", "/aaa/k", mode).header("x-amz-checksum-sha256") == Self.helloSHA256)
        #expect(try await room.send("HEAD", "/aaa/k", mode).header("x-amz-checksum-type") == "FULL_OBJECT")
        #expect(try await room.send("GET", "/aaa/k").header("x-amz-checksum-sha256") == nil)
        let part = try await room.send("GET", "/aaa/k", ["x-amz-checksum-mode": "ENABLED", "range": "bytes=0-1"])
        #expect(part.header("x-amz-checksum-sha256") == nil)
        // A trailing checksum is checked where the body is decoded; its algorithm is what is stored.
        try await room.send("PUT", "/aaa/t", ["x-amz-trailer": "x-amz-checksum-crc32"], "hello")
        #expect(try await room.send("GET", "/aaa/t", mode).header("x-amz-checksum-crc32") == Self.helloCRC32)
        try await room.send("PUT", "/aaa/n", [:], "hello")
        #expect(try await room.send("HEAD", "/aaa/n", mode).header("x-amz-checksum-crc64nvme") != nil)
    }

    // MARK: Ranges and conditions

    @Test(arguments: [
        ("bytes=0-0", "0", "bytes 0-0/10"), ("bytes=2-4", "234", "bytes 2-4/10"), ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"), ("bytes=-99", "0123456789", "bytes 0-9/10"),
        ("bytes=5-999999999999999999999999", "56789", "bytes 5-9/10"), ("bytes=0-3,5-6", "0123456789", nil),
        ("bytes=4-2", "0123456789", nil), ("bytes=x-2", "0123456789", nil), ("lines=0-1", "0123456789", nil),
        ("bytes=", "0123456789", nil), ("bytes=-", "0123456789", nil),
    ])
    func `a range gives its bytes, and what is no single range gives all`(
        _ range: String, _ bytes: String, _ content: String?
    ) async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "0123456789")
        let answer = try await room.send("GET", "/aaa/k", ["range": range])
        #expect(String(decoding: try await answer.bytes, as: UTF8.self) == bytes)
        #expect(answer.header("content-range") == content)
        #expect(answer.status == (content == nil ? 200 : 206))
        let head = try await room.send("HEAD", "/aaa/k", ["range": range])
        #expect(head.header("content-length") == String(bytes.utf8.count))
    }

    @Test(arguments: ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999-"])
    func `a range outside of the object is refused`(_ range: String) async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "0123456789")
        #expect(await room.refusal("GET", "/aaa/k", ["range": range]) == "InvalidRange 416")
        try await room.send("PUT", "/aaa/empty", [:], "")
        #expect(await room.refusal("GET", "/aaa/empty", ["range": "bytes=0-"]) == "InvalidRange 416")
    }

    @Test func `a range counts only as long as its object is the one that the client knows`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "hello")
        let known = ["\"\(Self.helloMD5)\"", ObjectRoom.start.httpDate]
        for validator in known {
            #expect(try await room.text("/aaa/k", ["range": "bytes=1-2", "if-range": validator]) == "el")
        }
        for validator in ["\"other\"", ObjectRoom.start.adding(seconds: -1).httpDate] {
            #expect(try await room.text("/aaa/k", ["range": "bytes=1-2", "if-range": validator]) == "hello")
        }
    }

    @Test func `part 1 is the whole object and there is no other`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "hello")
        #expect(try await room.text("/aaa/k?partNumber=1") == "hello")
        #expect(await room.refusal("GET", "/aaa/k?partNumber=2") == "InvalidPartNumber 416")
        #expect(await room.refusal("GET", "/aaa/k?partNumber=0") == "InvalidArgument 400")
    }

    // Source: RFC 9110, section 13.2.2, and the tables of GetObject in the Amazon S3 API Reference.
    @Test(arguments: [
        (["if-match": "\"\(helloMD5)\""], 200), (["if-match": helloMD5], 200), (["if-match": "*"], 200),
        (["if-match": "\"a\", \"\(helloMD5)\""], 200), (["if-match": "\"a\""], 412),
        (["if-none-match": "\"\(helloMD5)\""], 304), (["if-none-match": "*"], 304), (["if-none-match": "\"a\""], 200),
        (["if-modified-since": "before"], 200), (["if-modified-since": "same"], 304),
        (["if-modified-since": "after"], 304), (["if-unmodified-since": "before"], 412),
        (["if-unmodified-since": "same"], 200), (["if-match": helloMD5, "if-unmodified-since": "before"], 200),
        (["if-none-match": "\"a\"", "if-modified-since": "after"], 200),
        (["if-modified-since": "damaged"], 200),
    ])
    func `conditions of a read are tested in the order of the RFC`(
        _ conditions: [String: String], _ status: Int
    ) async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "hello")
        var headers = conditions
        let times = ["before": -60, "same": 0, "after": 60]
        for (name, value) in conditions {
            if let shift = times[value] { headers[name] = ObjectRoom.start.adding(seconds: Int64(shift)).httpDate }
        }
        for method in ["GET", "HEAD"] {
            let answer: OperationAnswer
            do throws(AWSError) {
                answer = try await room.send(method, "/aaa/k", headers)
            } catch {
                #expect(error.status == status)
                #expect(error.code == "PreconditionFailed")
                continue
            }
            #expect(answer.status == status)
            if status == 304 { #expect(try await answer.bytes == []) }
        }
    }

    @Test func `a conditional write holds against what is there`() async throws {
        let room = try await room()
        defer { room.remove() }
        #expect(await room.refusal("PUT", "/aaa/k", ["if-match": Self.helloMD5], "x") == "NoSuchKey 404")
        #expect(await room.refusal("PUT", "/aaa/k", ["if-none-match": "*"], "hello") == "none")
        #expect(await room.refusal("PUT", "/aaa/k", ["if-none-match": "*"], "x") == "PreconditionFailed 412")
        #expect(await room.refusal("PUT", "/aaa/k", ["if-none-match": "\"a\""], "x") == "NotImplemented 501")
        #expect(await room.refusal("PUT", "/aaa/k", ["if-match": "\"a\""], "x") == "PreconditionFailed 412")
        #expect(await room.refusal("DELETE", "/aaa/k", ["if-match": "\"a\""]) == "PreconditionFailed 412")
        #expect(try await room.text("/aaa/k") == "hello")
        #expect(try room.fileCount() == 1)
        #expect(await room.refusal("PUT", "/aaa/k", ["if-match": Self.helloMD5], "y") == "none")
        #expect(await room.refusal("DELETE", "/aaa/k", ["if-match": "*"]) == "none")
        #expect(await room.refusal("DELETE", "/aaa/k", ["if-match": "*"]) == "NoSuchKey 404")
    }

    @Test func `of many writers that want to be the first one succeeds`() async throws {
        let room = try await room()
        defer { room.remove() }
        let outcomes = await withTaskGroup(of: String.self, returning: [String].self) { group in
            for number in 0..<20 {
                group.addTask { await room.refusal("PUT", "/aaa/k", ["if-none-match": "*"], "\(number)") }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(outcomes.count { $0 == "none" } == 1)
        #expect(outcomes.count { $0 == "PreconditionFailed 412" } == 19)
    }

    @Test func `a read may ask for other headers, but not for more of them`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", ["content-type": "text/plain"], "hello")
        let answer = try await room.send(
            "GET", "/aaa/k?response-content-type=a%2Fb&response-content-disposition=inline&response-expires=never")
        #expect(answer.headers.filter { $0.name == "content-type" }.map(\.value) == ["a/b"])
        #expect(answer.header("content-disposition") == "inline")
        #expect(answer.header("expires") == "never")
        #expect(
            await room.refusal("GET", "/aaa/k?response-content-type=a%0D%0Ax:y") == "InvalidArgument 400")
        #expect(await room.refusal("PUT", "/aaa/k?x-amz-meta-a=b%0D%0Ax:y", [:], "z") == "InvalidArgument 400")
        #expect(await room.refusal("PUT", "/aaa/k?x-amz-meta-a%0D%0Ax=b", [:], "z") == "InvalidArgument 400")
    }

    // MARK: Limits and what is not built

    @Test func `keys of 1024 bytes pass and longer ones do not`() async throws {
        let room = try await room()
        defer { room.remove() }
        let longest = String(repeating: "%C3%A9", count: 512)
        #expect(await room.refusal("PUT", "/aaa/\(longest)", [:], "x") == "none")
        #expect(await room.refusal("PUT", "/aaa/\(longest)a", [:], "x") == "KeyTooLongError 400")
        #expect(await room.refusal("GET", "/aaa/\(longest)a") == "KeyTooLongError 400")
        for key in ["%00", "a%00b", "..", "a/../b", "%2F", "%01", "%F0%9F%98%80"] {
            #expect(await room.refusal("PUT", "/aaa/\(key)", [:], key) == "none")
            #expect(try await room.text("/aaa/\(key)") == key)
        }
    }

    @Test func `user metadata of 2048 bytes passes and more does not`() async throws {
        let room = try await room()
        defer { room.remove() }
        let value = String(repeating: "v", count: 2044)
        #expect(await room.refusal("PUT", "/aaa/k", ["x-amz-meta-name": value], "x") == "none")
        #expect(await room.refusal("PUT", "/aaa/k", ["x-amz-meta-name": value + "v"], "x") == "MetadataTooLarge 400")
    }

    @Test(arguments: [
        ("x-amz-server-side-encryption", "aws:kms:dsse", "NotImplemented 501"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256", "InvalidArgument 400"),
        ("x-amz-tagging", "a=b&a=c", "InvalidTag 400"), ("x-amz-object-lock-mode", "GOVERNANCE", "InvalidArgument 400"),
        ("x-amz-website-redirect-location", "/x", "NotImplemented 501"),
        ("x-amz-storage-class", "SNOW", "NotImplemented 501"),
        ("x-amz-storage-class", "WRONG", "InvalidStorageClass 400"),
        ("x-amz-write-offset-bytes", "5", "NotImplemented 501"),
        ("x-amz-acl", "public-read", "AccessControlListNotSupported 400"),
        ("x-amz-acl", "private", "AccessControlListNotSupported 400"),
        ("x-amz-acl", "bucket-owner-full-control", "none"),
        ("x-amz-acl", "wrong", "InvalidArgument 400"),
        ("x-amz-grant-full-control", "id=1", "AccessControlListNotSupported 400"),
    ])
    func `what is not built or not allowed is refused, in headers and in signed links`(
        _ name: String, _ value: String, _ outcome: String
    ) async throws {
        let room = try await room()
        defer { room.remove() }
        #expect(await room.refusal("PUT", "/aaa/k", [name: value], "x") == outcome)
        #expect(await room.refusal("PUT", "/aaa/l?\(name)=\(PercentCoding.encode(value))", [:], "x") == outcome)
    }

    @Test func `reads refuse encryption and versions that no object has`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "hello")
        #expect(
            await room.refusal("GET", "/aaa/k", ["x-amz-server-side-encryption": "AES256"]) == "InvalidArgument 400")
        #expect(
            await room.refusal("GET", "/aaa/k", ["x-amz-server-side-encryption-customer-key": "x"])
                == "InvalidArgument 400")
        #expect(await room.refusal("GET", "/aaa/k?versionId=abc") == "InvalidArgument 400")
        #expect(await room.refusal("DELETE", "/aaa/k?versionId=abc") == "InvalidArgument 400")
        #expect(try await room.send("GET", "/aaa/k?versionId=null").header("x-amz-version-id") == "null")
        #expect(await room.refusal("GET", "/aaa/none") == "NoSuchKey 404")
        #expect(await room.refusal("PUT", "/aaa/k?tagging", [:], "x") == "MalformedXML 400")
        #expect(await room.refusal("POST", "/aaa/k?select&select-type=2") == "NotImplemented 501")
    }
}
