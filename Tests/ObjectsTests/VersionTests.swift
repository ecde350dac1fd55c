// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Objects
import Testing

struct VersionTests {
    private static let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    private static let suspended = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"

    private func room(_ versioning: String? = enabled) async throws -> ObjectRoom {
        let room = try await ObjectRoom()
        try await room.send("PUT", "/aaa")
        if let versioning { try await room.send("PUT", "/aaa?versioning", [:], versioning) }
        return room
    }

    /// Every version as `KEY VERSION`, with `*` where it is the latest and `-` where it is a delete marker.
    private func versions(_ room: ObjectRoom, _ query: String = "") async throws -> [String] {
        let document = try await room.send("GET", "/aaa?versions" + query).document
        return document.members.compactMap { member in
            guard member.name == "Version" || member.name == "DeleteMarker", let item = member.value.asStructure else {
                return nil
            }
            return (item.text("Key") ?? "") + (member.name == "DeleteMarker" ? "-" : "")
                + (item["IsLatest"] == true ? "*" : "")
        }
    }

    @Test func `each put of a bucket with versions keeps the one before it`() async throws {
        let room = try await room()
        defer { room.remove() }
        let first = try #require(try await room.send("PUT", "/aaa/k", [:], "one").header("x-amz-version-id"))
        let second = try #require(try await room.send("PUT", "/aaa/k", [:], "two").header("x-amz-version-id"))
        #expect(first != second)
        #expect(try await room.text("/aaa/k") == "two")
        #expect(try await room.text("/aaa/k?versionId=\(first)") == "one")
        #expect(try await room.send("HEAD", "/aaa/k").header("x-amz-version-id") == second)
        #expect(try await versions(room) == ["k*", "k"])
        #expect(try room.fileCount() == 2)
        let restarted = try await ObjectRoom(after: room)
        #expect(try await restarted.text("/aaa/k?versionId=\(first)") == "one")
        #expect(try await restarted.service.sweep() == 0)
        #expect(await room.refusal("DELETE", "/aaa") == "BucketNotEmpty 409")
    }

    @Test func `a delete makes a marker, and deleting the marker brings the object back`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "one")
        let deleted = try await room.send("DELETE", "/aaa/k")
        #expect(deleted.header("x-amz-delete-marker") == "true")
        let marker = try #require(deleted.header("x-amz-version-id"))
        #expect(await room.refusal("GET", "/aaa/k") == "NoSuchKey 404")
        #expect(await room.refusal("GET", "/aaa/k?versionId=\(marker)") == "MethodNotAllowed 405")
        #expect(try await versions(room) == ["k-*", "k"])
        #expect(try await room.send("GET", "/aaa").document.all("Contents").isEmpty)
        #expect(await room.refusal("DELETE", "/aaa") == "BucketNotEmpty 409")
        let gone = try await room.send("DELETE", "/aaa/k?versionId=\(marker)")
        #expect(gone.header("x-amz-delete-marker") == "true")
        #expect(try await room.text("/aaa/k") == "one")
    }

    @Test func `deleting a version is final, and the one before it becomes current`() async throws {
        let room = try await room()
        defer { room.remove() }
        let first = try #require(try await room.send("PUT", "/aaa/k", [:], "one").header("x-amz-version-id"))
        let second = try #require(try await room.send("PUT", "/aaa/k", [:], "two").header("x-amz-version-id"))
        try await room.send("DELETE", "/aaa/k?versionId=\(second)")
        #expect(try await room.text("/aaa/k") == "one")
        #expect(await room.refusal("GET", "/aaa/k?versionId=\(second)") == "NoSuchVersion 404")
        #expect(try room.fileCount() == 1)
        try await room.send("DELETE", "/aaa/k?versionId=\(first)")
        #expect(try room.fileCount() == 0)
        #expect(try await versions(room) == [])
        try await room.send("DELETE", "/aaa")
    }

    @Test func `objects from before and writes while suspended are the version null, of which there is one`()
        async throws
    {
        let room = try await room(nil)
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "before")
        try await room.send("PUT", "/aaa?versioning", [:], Self.enabled)
        let named = try #require(try await room.send("PUT", "/aaa/k", [:], "named").header("x-amz-version-id"))
        #expect(try await room.text("/aaa/k?versionId=null") == "before")
        try await room.send("PUT", "/aaa?versioning", [:], Self.suspended)
        #expect(try await room.send("PUT", "/aaa/k", [:], "after").header("x-amz-version-id") == nil)
        #expect(try await room.text("/aaa/k?versionId=null") == "after")
        #expect(try await room.text("/aaa/k?versionId=\(named)") == "named")
        #expect(try await versions(room) == ["k*", "k"])
        #expect(try room.fileCount() == 2)
        #expect(try await room.send("DELETE", "/aaa/k").header("x-amz-version-id") == "null")
        #expect(try await versions(room) == ["k-*", "k"])
        #expect(try room.fileCount() == 1)
        try await room.send("DELETE", "/aaa/k?versionId=null")
        #expect(try await room.text("/aaa/k") == "named")
    }

    @Test func `versions are listed in pages, by key and newest first, with common prefixes`() async throws {
        let room = try await room()
        defer { room.remove() }
        for number in 0..<3 {
            for key in ["a", "a%00", "ab", "dir/x", "dir/y"] {
                try await room.send("PUT", "/aaa/\(key)", [:], "\(number)")
            }
        }
        try await room.send("DELETE", "/aaa/ab")
        let all = try await versions(room)
        #expect(
            all == [
                "a*", "a", "a", "a\0*", "a\0", "a\0", "ab-*", "ab", "ab", "ab", "dir/x*", "dir/x", "dir/x", "dir/y*",
                "dir/y", "dir/y",
            ])
        for size in [1, 2, 5] {
            var seen: [String] = []
            var marker = ""
            while true {
                let document = try await room.send("GET", "/aaa?versions&max-keys=\(size)" + marker).document
                seen += try await versions(room, "&max-keys=\(size)" + marker)
                guard document["IsTruncated"] == true else { break }
                let key = PercentCoding.encode(document.text("NextKeyMarker") ?? "")
                marker = "&key-marker=\(key)&version-id-marker=\(document.text("NextVersionIdMarker") ?? "")"
            }
            #expect(seen == all)
        }
        let grouped = try await room.send("GET", "/aaa?versions&delimiter=/").document
        #expect(grouped.all("CommonPrefixes").compactMap { $0.text("Prefix") } == ["dir/"])
        #expect(grouped.all("Version").count == 9)
        #expect(try await versions(room, "&key-marker=ab") == Array(all.suffix(6)))
        #expect(try await versions(room, "&prefix=ab") == ["ab-*", "ab", "ab", "ab"])
    }

    @Test func `an old version is copied, tagged and named by its id`() async throws {
        let room = try await room()
        defer { room.remove() }
        let first = try #require(
            try await room.send("PUT", "/aaa/k", ["x-amz-tagging": "a=1"], "one").header("x-amz-version-id"))
        try await room.send("PUT", "/aaa/k", [:], "two")
        let copy = try await room.send("PUT", "/aaa/k", ["x-amz-copy-source": "aaa/k?versionId=\(first)"])
        #expect(copy.header("x-amz-copy-source-version-id") == first)
        #expect(try await room.text("/aaa/k") == "one")
        #expect(try await room.send("GET", "/aaa/k").header("x-amz-tagging-count") == "1")
        let tags = "<Tagging><TagSet><Tag><Key>b</Key><Value>2</Value></Tag></TagSet></Tagging>"
        try await room.send("PUT", "/aaa/k?tagging&versionId=\(first)", [:], tags)
        let read = try await room.send("GET", "/aaa/k?tagging&versionId=\(first)")
        #expect(String(decoding: try await read.bytes, as: UTF8.self).contains("<Key>b</Key>"))
        let current = try await room.send("GET", "/aaa/k?tagging")
        #expect(String(decoding: try await current.bytes, as: UTF8.self).contains("<Key>a</Key>"))
        #expect(await room.refusal("GET", "/aaa/k?versionId=zzz") == "InvalidArgument 400")
    }
}

struct ObjectLockTests {
    private func room() async throws -> ObjectRoom {
        let room = try await ObjectRoom()
        try await room.send("PUT", "/aaa", ["x-amz-bucket-object-lock-enabled": "true"])
        return room
    }

    private func retention(_ mode: String, _ room: ObjectRoom, days: Int64) -> [String: String] {
        [
            "x-amz-object-lock-mode": mode,
            "x-amz-object-lock-retain-until-date": room.clock.now.adding(seconds: days * 86_400).iso8601,
            "content-md5": "XUFAKrxLKna5cZ2REBfFkg==",
        ]
    }

    private let bypass = ["x-amz-bypass-governance-retention": "true"]

    @Test func `a version in governance mode is deleted only by those who bypass it`() async throws {
        let room = try await room()
        defer { room.remove() }
        let put = try await room.send("PUT", "/aaa/k", retention("GOVERNANCE", room, days: 1), "hello")
        let version = try #require(put.header("x-amz-version-id"))
        #expect(await room.refusal("DELETE", "/aaa/k?versionId=\(version)") == "AccessDenied 403")
        #expect(await room.refusal("DELETE", "/aaa/k") == "none")
        #expect(await room.refusal("DELETE", "/aaa/k?versionId=\(version)", bypass) == "none")
    }

    @Test func `a version in compliance mode is kept until its time has passed`() async throws {
        let room = try await room()
        defer { room.remove() }
        let put = try await room.send("PUT", "/aaa/k", retention("COMPLIANCE", room, days: 2), "hello")
        let version = try #require(put.header("x-amz-version-id"))
        #expect(await room.refusal("DELETE", "/aaa/k?versionId=\(version)", bypass) == "AccessDenied 403")
        let sooner = room.clock.now.adding(seconds: 86_400).iso8601
        let shorter = "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>\(sooner)</RetainUntilDate></Retention>"
        #expect(await room.refusal("PUT", "/aaa/k?retention", bypass, shorter) == "AccessDenied 403")
        room.clock.advance(seconds: 3 * 86_400)
        #expect(await room.refusal("DELETE", "/aaa/k?versionId=\(version)") == "none")
    }

    @Test func `a legal hold keeps a version, and versions cannot be suspended under a lock`() async throws {
        let room = try await room()
        defer { room.remove() }
        let put = try await room.send("PUT", "/aaa/k", [:], "hello")
        let version = try #require(put.header("x-amz-version-id"))
        try await room.send("PUT", "/aaa/k?legal-hold", [:], "<LegalHold><Status>ON</Status></LegalHold>")
        #expect(await room.refusal("DELETE", "/aaa/k?versionId=\(version)", bypass) == "AccessDenied 403")
        try await room.send("PUT", "/aaa/k?legal-hold", [:], "<LegalHold><Status>OFF</Status></LegalHold>")
        #expect(await room.refusal("DELETE", "/aaa/k?versionId=\(version)") == "none")
        let suspended = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
        #expect(await room.refusal("PUT", "/aaa?versioning", [:], suspended) == "InvalidBucketState 409")
    }

    @Test func `the bucket's default retention is given to what has none`() async throws {
        let room = try await room()
        defer { room.remove() }
        let rule =
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
            + "<Mode>COMPLIANCE</Mode><Days>7</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
        try await room.send("PUT", "/aaa?object-lock", [:], rule)
        try await room.send("PUT", "/aaa/k", [:], "hello")
        let head = try await room.send("HEAD", "/aaa/k")
        #expect(head.header("x-amz-object-lock-mode") == "COMPLIANCE")
        let until = ObjectRoom.start.adding(seconds: 7 * 86_400).iso8601Milliseconds
        #expect(head.header("x-amz-object-lock-retain-until-date") == until)
        #expect(await room.refusal("PUT", "/bbb") == "none")
        #expect(await room.refusal("PUT", "/bbb?object-lock", [:], rule) == "InvalidBucketState 409")
        #expect(await room.refusal("GET", "/bbb?object-lock") == "ObjectLockConfigurationNotFoundError 404")
        #expect(
            await room.refusal("PUT", "/bbb/k", retention("GOVERNANCE", room, days: 1), "hello") == "InvalidRequest 400"
        )
    }
}
