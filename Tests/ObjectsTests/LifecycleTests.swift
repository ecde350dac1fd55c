// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Objects
import Storage
import Testing

struct LifecycleTests {
    private func room(_ rules: String, versions: Bool = false) async throws -> ObjectRoom {
        let room = try await ObjectRoom()
        try await room.send("PUT", "/aaa")
        if versions {
            try await room.send(
                "PUT", "/aaa?versioning", [:],
                "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        }
        try await room.send("PUT", "/aaa?lifecycle", [:], "<LifecycleConfiguration>\(rules)</LifecycleConfiguration>")
        return room
    }

    private func rule(_ actions: String, filter: String = "", id: String = "a") -> String {
        "<Rule><ID>\(id)</ID><Status>Enabled</Status><Filter>\(filter)</Filter>\(actions)</Rule>"
    }

    /// What one turn does.
    private func done(_ room: ObjectRoom) async throws -> [String] {
        let summary = try await room.service.applyLifecycle()
        let counts = [
            ("expired", summary.expired), ("removed", summary.removed), ("transitioned", summary.transitioned),
            ("aborted", summary.uploadsAborted),
        ]
        return counts.filter { $0.1 > 0 }.map { "\($0.0) \($0.1)" }
    }

    /// Puts current objects without bytes into the catalog.
    private func fill(_ room: ObjectRoom, _ count: Int) async throws {
        let time = ObjectRoom.start.milliseconds
        try await room.catalog.write { (transaction) throws(AWSError) in
            for number in 0..<count {
                let digits = String(number)
                let key = String(repeating: "0", count: 6 - digits.count) + digits
                let document =
                    #"{"format":2,"file":"\#(key)","layout":3,"size":1,"etag":"e","modified":\#(time),"headers":{},"metadata":{}}"#
                try transaction.put(CatalogKey("object", "aaa", key), Array(document.utf8))
            }
        }
    }

    private func advance(_ room: ObjectRoom, days: Int64) { room.clock.advance(seconds: days * 86_400) }

    @Test func `an object expires at the midnight after its days, and only under the rule's filter`() async throws {
        let tag = "<And><Prefix>logs/</Prefix><Tag><Key>t</Key><Value>1</Value></Tag></And>"
        let room = try await room(rule("<Expiration><Days>3</Days></Expiration>", filter: tag))
        defer { room.remove() }
        try await room.send("PUT", "/aaa/logs/a", ["x-amz-tagging": "t=1"], "x")
        try await room.send("PUT", "/aaa/logs/b", [:], "x")
        try await room.send("PUT", "/aaa/other", ["x-amz-tagging": "t=1"], "x")
        // 2027-01-15T08:00:00Z: three days later it is not midnight yet.
        advance(room, days: 3)
        #expect(try await done(room) == [])
        room.clock.advance(seconds: 16 * 3600)
        #expect(try await done(room) == ["expired 1"])
        #expect(await room.refusal("GET", "/aaa/logs/a") == "NoSuchKey 404")
        #expect(await room.refusal("GET", "/aaa/logs/b") == "none")
        #expect(await room.refusal("GET", "/aaa/other") == "none")
        #expect(try room.fileCount() == 2)
    }

    @Test func `with versions a marker hides the expired one, old versions go, and then the lone marker`() async throws
    {
        let rules =
            rule("<Expiration><Days>1</Days></Expiration>")
            + rule(
                "<NoncurrentVersionExpiration><NoncurrentDays>5</NoncurrentDays></NoncurrentVersionExpiration>", id: "b"
            )
        let room = try await room(rules, versions: true)
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "x")
        advance(room, days: 2)
        #expect(try await room.service.applyLifecycle().expired == 1)
        #expect(try room.fileCount() == 1)
        advance(room, days: 2)
        #expect(try await done(room) == [])
        advance(room, days: 4)
        #expect(try await done(room) == ["removed 2"])
        #expect(try room.fileCount() == 0)
        try await room.send("DELETE", "/aaa")
    }

    @Test func `a large object goes to colder storage and must be restored to be read`() async throws {
        let rules = rule(
            "<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"
                + "<Transition><Days>90</Days><StorageClass>GLACIER</StorageClass></Transition>")
        let room = try await room(rules)
        defer { room.remove() }
        try await room.send("PUT", "/aaa/large", [:], String(repeating: "x", count: 128 * 1024))
        try await room.send("PUT", "/aaa/small", [:], "x")
        advance(room, days: 31)
        #expect(try await room.service.applyLifecycle().transitioned == 1)
        #expect(try await room.send("GET", "/aaa/large").header("x-amz-storage-class") == "STANDARD_IA")
        advance(room, days: 60)
        #expect(try await room.service.applyLifecycle().transitioned == 1)
        #expect(await room.refusal("GET", "/aaa/large") == "InvalidObjectState 403")
        try await room.send("POST", "/aaa/large?restore", [:], "<RestoreRequest><Days>1</Days></RestoreRequest>")
        #expect(await room.refusal("GET", "/aaa/large") == "none")
        advance(room, days: 3)
        #expect(await room.refusal("GET", "/aaa/large") == "InvalidObjectState 403")
        #expect(try await room.send("GET", "/aaa/small").header("x-amz-storage-class") == nil)
    }

    @Test func `an upload that is never completed is aborted, and its parts are removed`() async throws {
        let room = try await room(
            rule(
                "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>"
                    + "</AbortIncompleteMultipartUpload>"))
        defer { room.remove() }
        let id = try #require(try await room.send("POST", "/aaa/k?uploads").document.text("UploadId"))
        try await room.send("PUT", "/aaa/k?partNumber=1&uploadId=\(id)", [:], "x")
        #expect(try await room.service.applyLifecycle().uploadsAborted == 0)
        advance(room, days: 3)
        #expect(try await room.service.applyLifecycle().uploadsAborted == 1)
        #expect(try room.fileCount() == 0)
    }

    @Test func `a large bucket is walked in turns, which go on where they were after a restart`() async throws {
        let room = try await room(rule("<Expiration><Days>1</Days></Expiration>"))
        defer { room.remove() }
        try await fill(room, 4100)
        advance(room, days: 2)
        let first = try await room.service.applyLifecycle()
        #expect(first.seen == 2000 && first.expired == 2000)
        let again = try await ObjectRoom(after: room)
        let second = try await again.service.applyLifecycle()
        #expect(second.seen == 2000 && second.expired == 2000)
        let third = try await again.service.applyLifecycle()
        #expect(third.expired == 100 && third.seen == 100)
        #expect(try await again.send("GET", "/aaa").document.all("Contents").isEmpty)
        #expect(try await again.service.applyLifecycle() == LifecycleSummary())
    }

    @Test func `a bucket is walked once a day, and again when its rules change`() async throws {
        let room = try await room(rule("<Expiration><Days>5</Days></Expiration>"))
        defer { room.remove() }
        try await fill(room, 3)
        advance(room, days: 2)
        #expect(try await room.service.applyLifecycle().seen == 3)
        #expect(try await room.service.applyLifecycle().seen == 0)
        let again = try await ObjectRoom(after: room)
        #expect(try await again.service.applyLifecycle().seen == 0)
        let rules =
            "<LifecycleConfiguration>\(rule("<Expiration><Days>1</Days></Expiration>"))</LifecycleConfiguration>"
        try await again.send("PUT", "/aaa?lifecycle", [:], rules)
        #expect(try await again.service.applyLifecycle().expired == 3)
        #expect(try await again.service.applyLifecycle().seen == 0)
        advance(room, days: 1)
        try await again.send("PUT", "/aaa/k", [:], "x")
        #expect(try await again.service.applyLifecycle().seen == 1)
    }

    @Test func `tags that come later count at the next walk, and kept versions are kept`() async throws {
        let rules =
            rule("<Expiration><Days>1</Days></Expiration>", filter: "<Tag><Key>t</Key><Value>1</Value></Tag>")
            + rule(
                "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>2"
                    + "</NewerNoncurrentVersions></NoncurrentVersionExpiration>", filter: "<Prefix>v</Prefix>", id: "b")
        let room = try await room(rules, versions: true)
        defer { room.remove() }
        try await room.send("PUT", "/aaa/k", [:], "x")
        for text in ["1", "2", "3", "4"] { try await room.send("PUT", "/aaa/v", [:], text) }
        advance(room, days: 3)
        #expect(try await done(room) == ["removed 1"])
        try await room.send(
            "PUT", "/aaa/k?tagging", [:],
            "<Tagging><TagSet><Tag><Key>t</Key><Value>1</Value></Tag></TagSet></Tagging>")
        try await room.send("PUT", "/aaa/v", [:], "5")
        #expect(try await done(room) == [])
        advance(room, days: 2)
        #expect(try await done(room) == ["expired 1", "removed 1"])
        #expect(try await room.text("/aaa/v") == "5")
        #expect(try await room.send("GET", "/aaa?versions&prefix=v").document.all("Version").count == 3)
    }

    @Test(arguments: [
        ("<Expiration><Days>0</Days></Expiration>", "InvalidArgument 400"),
        ("<Expiration><Days>9</Days><Date>2030-01-01T00:00:00Z</Date></Expiration>", "MalformedXML 400"),
        ("<Expiration><Date>2030-01-01T10:00:00Z</Date></Expiration>", "InvalidArgument 400"),
        ("<Transition><Days>1</Days><StorageClass>STANDARD_IA</StorageClass></Transition>", "InvalidArgument 400"),
        (
            "<Expiration><Days>9</Days></Expiration><Transition><Days>9</Days><StorageClass>GLACIER</StorageClass>"
                + "</Transition>", "InvalidArgument 400"
        ),
        (
            "<Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration><Transition><Days>9</Days><StorageClass>GLACIER"
                + "</StorageClass></Transition>", "InvalidRequest 400"
        ), ("<Transition><Days>1</Days><StorageClass>WARM</StorageClass></Transition>", "MalformedXML 400"),
        ("", "InvalidRequest 400"), ("<What/>", "MalformedXML 400"),
    ])
    func `rules that contradict themselves are refused, and nothing is stored`(
        _ actions: String, _ outcome: String
    ) async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        let document = "<LifecycleConfiguration>\(rule(actions))</LifecycleConfiguration>"
        #expect(await room.refusal("PUT", "/aaa?lifecycle", [:], document) == outcome)
        #expect(await room.refusal("GET", "/aaa?lifecycle") == "NoSuchLifecycleConfiguration 404")
    }
}
