// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Objects
import Testing

struct CopyAndDeleteTests {
    private func room() async throws -> ObjectRoom {
        let room = try await ObjectRoom()
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/bbb")
        return room
    }

    // MARK: CopyObject

    @Test func `a copy has the bytes, and the metadata of its source or its own`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send(
            "PUT", "/aaa/a%20b%2Bc", ["content-type": "text/plain", "x-amz-meta-color": "blue"], "hello")
        room.clock.advance(seconds: 100)
        let copied = try await room.send("PUT", "/bbb/k", ["x-amz-copy-source": "/aaa/a%20b%2Bc?versionId=null"])
        #expect(copied.document.text("ETag") == "\"5d41402abc4b2a76b9719d911017c592\"")
        #expect(copied.document["LastModified"] == .timestamp(ObjectRoom.start.adding(seconds: 100)))
        let same = try await room.send("HEAD", "/bbb/k")
        #expect(same.header("content-type") == "text/plain")
        #expect(same.header("x-amz-meta-color") == "blue")
        #expect(try await room.text("/bbb/k") == "hello")
        try await room.send(
            "PUT", "/bbb/k",
            [
                "x-amz-copy-source": "bbb/k", "x-amz-metadata-directive": "REPLACE", "x-amz-meta-size": "big",
                "x-amz-checksum-algorithm": "SHA256",
            ])
        let replaced = try await room.send("HEAD", "/bbb/k", ["x-amz-checksum-mode": "ENABLED"])
        #expect(replaced.header("content-type") == "binary/octet-stream")
        #expect(replaced.header("x-amz-meta-color") == nil)
        #expect(replaced.header("x-amz-meta-size") == "big")
        #expect(replaced.header("x-amz-checksum-sha256") == "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")
        #expect(try await room.text("/bbb/k") == "hello")
        #expect(try room.fileCount() == 2)
    }

    @Test(arguments: [
        (["x-amz-copy-source": "bbb/none"], "NoSuchKey 404"), (["x-amz-copy-source": "none/k"], "NoSuchBucket 404"),
        (["x-amz-copy-source": "bbb"], "InvalidArgument 400"), (["x-amz-copy-source": ""], "InvalidArgument 400"),
        (["x-amz-copy-source": "bbb/%FF"], "InvalidArgument 400"),
        (["x-amz-copy-source": "arn:aws:s3:us-west-2:1:accesspoint/x/object/k"], "NotImplemented 501"),
        (["x-amz-copy-source": "bbb/k?versionId=xyz"], "InvalidArgument 400"),
        (["x-amz-copy-source": "aaa/k"], "InvalidRequest 400"),
        (["x-amz-copy-source": "bbb/k", "x-amz-metadata-directive": "KEEP"], "InvalidArgument 400"),
        (["x-amz-copy-source": "bbb/k", "x-amz-tagging-directive": "OTHER"], "InvalidArgument 400"),
        (["x-amz-copy-source": "bbb/k", "x-amz-copy-source-if-match": "x"], "PreconditionFailed 412"),
        (["x-amz-copy-source": "bbb/k", "x-amz-copy-source-if-none-match": "*"], "PreconditionFailed 412"),
        (["x-amz-copy-source": "bbb/k", "x-amz-copy-source-if-match": "*"], "none"),
        (["x-amz-copy-source": "bbb/k", "if-none-match": "*"], "PreconditionFailed 412"),
        (["x-amz-copy-source": "bbb/k", "x-amz-source-expected-bucket-owner": "444455556666"], "AccessDenied 403"),
        (["x-amz-copy-source": "bbb/k", "x-amz-checksum-algorithm": "XXHASH3"], "NotImplemented 501"),
        (["x-amz-copy-source": "bbb/k", "x-amz-server-side-encryption": "aws:kms:dsse"], "NotImplemented 501"),
    ])
    func `a copy that cannot be made changes nothing`(_ headers: [String: String], _ outcome: String) async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "old")
        try await room.send("PUT", "/bbb/k", [:], "new")
        #expect(await room.refusal("PUT", "/aaa/k", headers) == outcome)
        #expect(try await room.text("/aaa/k") == (outcome == "none" ? "new" : "old"))
        #expect(try room.fileCount() == 2)
    }

    // MARK: DeleteObjects

    private func delete(_ room: ObjectRoom, _ inner: String) async throws(AWSError) -> WireStructure {
        let body = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\(inner)</Delete>"
        var checksum = ObjectChecksum(.crc32)
        checksum.update(Array(body.utf8))
        return try await room.send("POST", "/aaa?delete", ["x-amz-checksum-crc32": checksum.text], body).document
    }

    @Test func `keys are deleted together, and each is answered for`() async throws {
        let room = try await room()
        defer { room.remove() }
        for key in ["a", "b", "c%20d"] { try await room.send("PUT", "/aaa/\(key)", [:], "hello") }
        let long = String(repeating: "x", count: 1025)
        let answer = try await delete(
            room,
            "<Object><Key>a</Key></Object><Object><Key>c d</Key><VersionId>null</VersionId></Object>"
                + "<Object><Key>never</Key></Object><Object><Key>b</Key><ETag>\"x\"</ETag></Object>"
                + "<Object><Key>b</Key><VersionId>v1</VersionId></Object><Object><Key>b</Key><Size>5</Size></Object>"
                + "<Object><Key>\(long)</Key></Object>")
        #expect(answer.all("Deleted").compactMap { $0.text("Key") } == ["a", "c d", "never"])
        #expect(
            answer.all("Error").compactMap { $0.text("Code") }
                == ["PreconditionFailed", "InvalidArgument", "NotImplemented", "KeyTooLongError"])
        #expect(try await room.send("GET", "/aaa").document.all("Contents").compactMap { $0.text("Key") } == ["b"])
        #expect(try room.fileCount() == 1)
        let quiet = try await delete(room, "<Quiet>true</Quiet><Object><Key>b</Key></Object>")
        #expect(quiet.isEmpty)
        #expect(try room.fileCount() == 0)
    }

    @Test(arguments: [
        "", "<Object/>", "<Object><Key></Key></Object>", "<What/>", "<Object><Key>a</Key><What>1</What></Object>",
        "<Quiet>maybe</Quiet><Object><Key>a</Key></Object>",
        String(repeating: "<Object><Key>a</Key></Object>", count: 1001),
    ])
    func `a document outside of the schema deletes nothing`(_ inner: String) async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/a", [:], "x")
        await #expect { try await delete(room, inner) } throws: { ($0 as? AWSError)?.code == "MalformedXML" }
        #expect(try await room.text("/aaa/a") == "x")
    }

    @Test func `a deletion needs a checksum, and the right one`() async throws {
        let room = try await room()
        defer { room.remove() }
        let body = "<Delete><Object><Key>a</Key></Object></Delete>"
        #expect(await room.refusal("POST", "/aaa?delete", [:], body) == "InvalidRequest 400")
        #expect(
            await room.refusal("POST", "/aaa?delete", ["content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="], body)
                == "BadDigest 400")
        #expect(await room.refusal("POST", "/aaa?delete", [:], "<Delete>") == "MalformedXML 400")
    }
}
