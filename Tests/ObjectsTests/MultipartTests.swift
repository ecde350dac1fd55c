// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Objects
import Testing

struct MultipartTests {
    /// 5 MiB, the least that a part may have unless it is the last.
    private static let large = String(repeating: "0123456789abcdef", count: 5 << 16)

    private func room() async throws -> ObjectRoom {
        let room = try await ObjectRoom()
        try await room.send("PUT", "/aaa")
        return room
    }

    private func begin(_ room: ObjectRoom, _ headers: [String: String] = [:], key: String = "k") async throws -> String
    {
        try #require(try await room.send("POST", "/aaa/\(key)?uploads", headers).document.text("UploadId"))
    }

    private func upload(_ room: ObjectRoom, _ id: String, _ number: Int, _ body: String) async throws -> String {
        let answer = try await room.send("PUT", "/aaa/k?partNumber=\(number)&uploadId=\(id)", [:], body)
        return try #require(answer.header("etag"))
    }

    private func list(_ parts: [(Int, String)]) -> String {
        let items = parts.map { "<Part><PartNumber>\($0.0)</PartNumber><ETag>\($0.1)</ETag></Part>" }
        return "<CompleteMultipartUpload>\(items.joined())</CompleteMultipartUpload>"
    }

    @Test func `parts become one object, in their order, with their tag and the checksum of the whole`() async throws {
        let room = try await room()
        defer { room.remove() }
        let id = try await begin(room, ["x-amz-meta-color": "blue", "content-type": "text/plain"])
        let last = try await upload(room, id, 7, "the end")
        _ = try await upload(room, id, 2, "replaced")
        let first = try await upload(room, id, 2, Self.large)
        _ = try await upload(room, id, 3, "not used")
        #expect(await room.refusal("GET", "/aaa/k") == "NoSuchKey 404")
        let done = try await room.send("POST", "/aaa/k?uploadId=\(id)", [:], list([(2, first), (7, last)]))
        #expect(done.document.text("ETag")?.hasSuffix("-2\"") == true)
        #expect(done.document.text("ChecksumType") == "FULL_OBJECT")
        var whole = ObjectChecksum(.crc64nvme)
        whole.update(Array((Self.large + "the end").utf8))
        #expect(done.document.text("ChecksumCRC64NVME") == whole.text)
        #expect(try await room.text("/aaa/k") == Self.large + "the end")
        let head = try await room.send("HEAD", "/aaa/k")
        #expect(head.header("x-amz-meta-color") == "blue")
        #expect(head.header("content-type") == "text/plain")
        let end = Self.large.utf8.count
        #expect(try await room.text("/aaa/k", ["range": "bytes=\(end - 2)-\(end + 2)"]) == "efthe")
        let part = try await room.send("GET", "/aaa/k?partNumber=2")
        #expect(part.header("x-amz-mp-parts-count") == "2")
        #expect(String(decoding: try await part.bytes, as: UTF8.self) == "the end")
        #expect(await room.refusal("GET", "/aaa/k?partNumber=3") == "InvalidPartNumber 416")
        #expect(await room.refusal("POST", "/aaa/k?uploadId=\(id)", [:], list([(2, first)])) == "NoSuchUpload 404")
        #expect(try room.fileCount() == 2)
        let restarted = try await ObjectRoom(after: room)
        #expect(try await restarted.service.sweep() == 0)
        #expect(try await restarted.text("/aaa/k") == Self.large + "the end")
        try await room.send("PUT", "/aaa/l", ["x-amz-copy-source": "aaa/k"])
        #expect(try await room.text("/aaa/l") == Self.large + "the end")
        try await room.send("DELETE", "/aaa/k")
        // Files that a reader of this test has pinned go when it ends; the next start would remove them.
        try await ObjectRoom(after: room).service.sweep()
        #expect(try room.fileCount() == 1)
    }

    @Test func `a reader of an object in parts gets its bytes though the object is replaced meanwhile`() async throws {
        let room = try await room()
        defer { room.remove() }
        let id = try await begin(room)
        let first = try await upload(room, id, 1, Self.large)
        let last = try await upload(room, id, 2, "the end")
        try await room.send("POST", "/aaa/k?uploadId=\(id)", [:], list([(1, first), (2, last)]))
        let reading = try await room.send("GET", "/aaa/k")
        try await room.send("PUT", "/aaa/k", [:], "new")
        #expect(String(decoding: try await reading.bytes, as: UTF8.self) == Self.large + "the end")
        #expect(try await room.text("/aaa/k") == "new")
    }

    @Test func `a composite checksum is that of the parts' checksums`() async throws {
        let room = try await room()
        defer { room.remove() }
        let id = try await begin(room, ["x-amz-checksum-algorithm": "SHA256"])
        let etag = try await upload(room, id, 1, "hello")
        let target = "/aaa/k?uploadId=\(id)"
        #expect(await room.refusal("POST", target, [:], list([(1, etag)])) == "InvalidRequest 400")
        let checksum = "<ChecksumSHA256>LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=</ChecksumSHA256></Part>"
        let listed = list([(1, etag)]).replacingOccurrences(of: "</Part>", with: checksum)
        let done = try await room.send("POST", target, [:], listed)
        // SHA-256 of the SHA-256 of `hello`, computed with Python's hashlib.
        #expect(done.document.text("ChecksumSHA256") == "lZXJ35AHUUjrBoYDZd8zWEt1v/eCpRDGzUiDpBmDPVA=-1")
        #expect(done.document.text("ChecksumType") == "COMPOSITE")
        let read = try await room.send(
            "GET", "/aaa/k?attributes", ["x-amz-object-attributes": "ETag,Checksum,ObjectParts,ObjectSize"])
        let text = String(decoding: try await read.bytes, as: UTF8.self)
        #expect(text.contains("<PartsCount>1</PartsCount>"))
        #expect(text.contains("<ObjectSize>5</ObjectSize>"))
        #expect(text.contains("<ChecksumSHA256>LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=</ChecksumSHA256>"))
    }

    @Test func `an upload that cannot be completed stays as it was`() async throws {
        let room = try await room()
        defer { room.remove() }
        let id = try await begin(room)
        let small = try await upload(room, id, 1, "small")
        let other = try await upload(room, id, 2, "other")
        let target = "/aaa/k?uploadId=\(id)"
        #expect(await room.refusal("POST", target, [:], list([(1, small), (2, other)])) == "EntityTooSmall 400")
        #expect(await room.refusal("POST", target, [:], list([(2, other), (1, small)])) == "InvalidPartOrder 400")
        #expect(await room.refusal("POST", target, [:], list([(1, other)])) == "InvalidPart 400")
        #expect(await room.refusal("POST", target, [:], list([(3, small)])) == "InvalidPart 400")
        #expect(await room.refusal("POST", target, [:], list([])) == "MalformedXML 400")
        #expect(await room.refusal("POST", target, [:], "<Other/>") == "MalformedXML 400")
        #expect(
            await room.refusal("POST", target, ["x-amz-mp-object-size": "9"], list([(1, small)]))
                == "InvalidRequest 400")
        #expect(
            await room.refusal("POST", target, ["x-amz-checksum-crc64nvme": "AAAAAAAAAAA="], list([(1, small)]))
                == "BadDigest 400")
        #expect(await room.refusal("PUT", "/aaa/k?partNumber=0&uploadId=\(id)", [:], "x") == "InvalidArgument 400")
        #expect(await room.refusal("PUT", "/aaa/k?partNumber=1&uploadId=none", [:], "x") == "NoSuchUpload 404")
        #expect(
            await room.refusal(
                "PUT", "/aaa/k?partNumber=1&uploadId=\(id)", ["content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="], "x")
                == "BadDigest 400")
        let parts = try await room.send("GET", "/aaa/k?uploadId=\(id)").document.all("Part")
        #expect(parts.compactMap { $0.text("ETag") } == [small, other])
        #expect(await room.refusal("POST", target, ["if-none-match": "*"], list([(1, small)])) == "none")
        #expect(try await room.text("/aaa/k") == "small")
        #expect(try room.fileCount() == 1)
    }

    @Test func `an aborted upload leaves no file, and neither does a bucket that is deleted`() async throws {
        let room = try await room()
        defer { room.remove() }
        let id = try await begin(room)
        _ = try await upload(room, id, 1, "one")
        #expect(try room.fileCount() == 1)
        try await room.send("DELETE", "/aaa/k?uploadId=\(id)")
        #expect(try room.fileCount() == 0)
        #expect(await room.refusal("DELETE", "/aaa/k?uploadId=\(id)") == "NoSuchUpload 404")
        #expect(await room.refusal("GET", "/aaa/k?uploadId=\(id)") == "NoSuchUpload 404")
        let again = try await begin(room)
        _ = try await upload(room, again, 1, "one")
        try await room.send("DELETE", "/aaa")
        #expect(try room.fileCount() == 0)
    }

    @Test func `uploads are listed by key and age, in pages, with common prefixes`() async throws {
        let room = try await room()
        defer { room.remove() }
        var ids: [String] = []
        for key in ["a", "a", "dir/x", "dir/y", "z"] {
            ids.append(try await begin(room, key: key))
            room.clock.advance(seconds: 1)
        }
        for size in [1, 2, 5] {
            var seen: [String] = []
            var marker = ""
            while true {
                let page = try await room.send("GET", "/aaa?uploads&max-uploads=\(size)" + marker).document
                seen += page.all("Upload").compactMap { $0.text("UploadId") }
                guard page["IsTruncated"] == true else { break }
                marker =
                    "&key-marker=\(page.text("NextKeyMarker") ?? "")&upload-id-marker=\(page.text("NextUploadIdMarker") ?? "")"
            }
            #expect(seen == ids)
        }
        let grouped = try await room.send("GET", "/aaa?uploads&delimiter=/").document
        #expect(grouped.all("Upload").compactMap { $0.text("Key") } == ["a", "a", "z"])
        #expect(grouped.all("CommonPrefixes").compactMap { $0.text("Prefix") } == ["dir/"])
    }

    @Test func `a part is copied from an object, or from a range of it`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/source", [:], "0123456789")
        let id = try await begin(room)
        let target = "/aaa/k?partNumber=1&uploadId=\(id)"
        let range = ["x-amz-copy-source": "aaa/source", "x-amz-copy-source-range": "bytes=2-5"]
        let copied = try await room.send("PUT", target, range)
        let etag = try #require(copied.document.text("ETag"))
        for wrong in ["bytes=2-10", "bytes=5-2", "2-5", "bytes=-3"] {
            let headers = ["x-amz-copy-source": "aaa/source", "x-amz-copy-source-range": wrong]
            #expect(await room.refusal("PUT", target, headers) == "InvalidArgument 400")
        }
        try await room.send("POST", "/aaa/k?uploadId=\(id)", [:], list([(1, etag)]))
        #expect(try await room.text("/aaa/k") == "2345")
    }
}
