// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Keys
import Objects
import Storage
import Synchronization
import Testing

struct SmallObjectTests {
    private static let small = ObjectStorage(smallBytesMax: 1000)

    private func room(fault: @escaping FileFault = { _ in nil }) async throws -> ObjectRoom {
        let room = try await ObjectRoom(fault: fault, storage: Self.small)
        try await room.send("PUT", "/aaa")
        return room
    }

    private func text(_ count: Int) -> String {
        String(repeating: "0123456789", count: count / 10 + 1).prefix(count).description
    }

    private func scrub(_ room: ObjectRoom) async throws -> (ScrubSummary, [ScrubFinding]) {
        let findings = Mutex<[ScrubFinding]>([])
        let summary = try await ObjectScrub(
            catalog: room.catalog, directory: room.folder + "/objects", keys: room.keys
        ).run { finding in findings.withLock { $0.append(finding) } }
        return (summary, findings.withLock { $0 })
    }

    /// The document with an object's bytes.
    private func content(_ room: ObjectRoom) async throws -> CatalogDocument {
        let found = try await room.catalog.read { (snapshot) throws(AWSError) in
            try snapshot.scan(prefix: ObjectService.contentKeys)
        }
        return try #require(found.first)
    }

    @Test func `a small object lies in the catalog and costs no file, a larger one is a file`() async throws {
        let room = try await room()
        defer { room.remove() }
        for (key, count) in [("empty", 0), ("small", 1000), ("large", 1001)] {
            try await room.send("PUT", "/aaa/\(key)", [:], text(count))
        }
        #expect(try room.fileCount() == 1)
        let again = try await ObjectRoom(after: room, storage: Self.small)
        for (key, count) in [("empty", 0), ("small", 1000), ("large", 1001)] {
            #expect(try await again.text("/aaa/\(key)") == text(count))
        }
        #expect(try await again.text("/aaa/small", ["range": "bytes=10-19"]) == "0123456789")
        let (summary, findings) = try await scrub(again)
        #expect(summary.objects == 3 && summary.bytes == 2001 && findings.isEmpty)
        #expect(try await again.service.sweep() == 0)
    }

    @Test func `what a server kept in one way is read by one that keeps it in the other`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/a", [:], "in the catalog")
        let files = try await ObjectRoom(after: room)
        #expect(try await files.text("/aaa/a") == "in the catalog")
        try await files.send("PUT", "/aaa/a", [:], "in a file")
        #expect(try files.fileCount() == 1)
        let again = try await ObjectRoom(after: room, storage: Self.small)
        #expect(try await again.text("/aaa/a") == "in a file")
        try await again.send("PUT", "/aaa/a", [:], "in the catalog again")
        #expect(try again.fileCount() == 0)
        #expect(try await again.text("/aaa/a") == "in the catalog again")
    }

    @Test func `nothing of a small object lies in the catalog in the clear`() async throws {
        let room = try await room()
        defer { room.remove() }
        let secret = "a word that must not be found"
        try await room.send("PUT", "/aaa/a", [:], secret)
        let value = try await content(room).value
        #expect(value.count > secret.utf8.count)
        #expect(Data(value).range(of: Data(secret.utf8)) == nil)
        let files = try ["", "-wal"].map { try Data(contentsOf: URL(filePath: room.catalog.path + $0)) }
        #expect(files.allSatisfy { $0.range(of: Data(secret.utf8)) == nil })
    }

    @Test func `copies, versions and deletions of small objects leave nothing behind`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/a", [:], "hello")
        try await room.send("PUT", "/aaa/b", ["x-amz-copy-source": "/aaa/a"])
        #expect(try await room.text("/aaa/b") == "hello")
        try await room.send(
            "PUT", "/aaa?versioning", [:],
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        let version = try await room.send("PUT", "/aaa/a", [:], "second").header("x-amz-version-id") ?? ""
        #expect(try await room.text("/aaa/a?versionId=null") == "hello")
        try await room.send("DELETE", "/aaa/a?versionId=null")
        #expect(try await room.text("/aaa/a") == "second")
        try await room.send("DELETE", "/aaa/a?versionId=\(version)")
        try await room.send("DELETE", "/aaa/b?versionId=null")
        let left = try await room.catalog.read { (snapshot) throws(AWSError) in
            try snapshot.scan(prefix: ObjectService.contentKeys).count
        }
        #expect(left == 0)
    }

    @Test func `parts of an upload are files, however small`() async throws {
        let room = try await room()
        defer { room.remove() }
        let id = try #require(try await room.send("POST", "/aaa/k?uploads").document.text("UploadId"))
        let tag = try await room.send("PUT", "/aaa/k?partNumber=1&uploadId=\(id)", [:], "x").header("etag") ?? ""
        try await room.send(
            "POST", "/aaa/k?uploadId=\(id)", [:],
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\(tag)</ETag></Part>"
                + "</CompleteMultipartUpload>")
        #expect(try room.fileCount() == 1)
        #expect(try await room.text("/aaa/k") == "x")
    }

    @Test func `bytes that rotted in the catalog are an error of that object alone`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send("PUT", "/aaa/a", [:], "hello")
        let document = try await content(room)
        for index in document.value.indices where index % 7 == 0 || index < 21 {
            var value = document.value
            value[index] ^= 1
            let damaged = value
            try await room.catalog.write { (transaction) throws(AWSError) in
                try transaction.put(document.key, damaged)
            }
            #expect(await room.refusal("GET", "/aaa/a") == "InternalError 500")
            #expect(try await scrub(room).1.count == 1)
        }
        try await room.send("PUT", "/aaa/b", [:], "neighbour")
        #expect(try await room.text("/aaa/b") == "neighbour")
        try await room.send("DELETE", "/aaa/a")
        #expect(try await scrub(room).1.isEmpty)
    }

    @Test func `a fault of the disk does not touch a small object`() async throws {
        let room = try await room { [.createFile, .writeFile, .flushFile].contains($0) ? 28 : nil }
        defer { room.remove() }
        try await room.send("PUT", "/aaa/a", [:], "hello")
        #expect(try await room.text("/aaa/a") == "hello")
        #expect(await room.refusal("PUT", "/aaa/b", [:], text(5000)) == "ServiceUnavailable 503")
    }
}
