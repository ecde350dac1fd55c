// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Objects
import Storage
import Testing

/// What the first format wrote must open for ever.
struct OldFormatTests {
    @Test func `a bucket and an object of format 1 are read, listed, versioned and verified`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        let file = "5d" + String(repeating: "0", count: 30)
        try Data("hello".utf8).write(to: URL(fileURLWithPath: room.folder + "/objects/5d/" + file))
        let bucket = #"{"format":1,"owner":"111122223333","region":"us-east-1","created":1800000000000}"#
        let object =
            #"{"format":1,"file":"\#(file)","size":5,"etag":"5d41402abc4b2a76b9719d911017c592","#
            + #""modified":1800000000000,"headers":{"content-type":"text/plain"},"metadata":{"color":"blue"},"#
            + #""checksum":{"algorithm":"CRC32","value":"NhCmhg=="}}"#
        try await room.catalog.write { (transaction) throws(AWSError) in
            try transaction.put(CatalogKey("bucket", "old"), Array(bucket.utf8))
            try transaction.put(CatalogKey("object", "old", "k"), Array(object.utf8))
            try transaction.put(CatalogKey("object-file", file), [])
        }
        let opened = try await ObjectRoom(after: room)
        #expect(try await opened.text("/old/k") == "hello")
        #expect(try await opened.text("/old/k", ["range": "bytes=1-2"]) == "el")
        let head = try await opened.send("HEAD", "/old/k", ["x-amz-checksum-mode": "ENABLED"])
        #expect(head.header("x-amz-meta-color") == "blue")
        #expect(head.header("x-amz-checksum-crc32") == "NhCmhg==")
        #expect(await opened.refusal("GET", "/old?publicAccessBlock") == "none")
        #expect(try await opened.service.sweep() == 0)
        let scrub = ObjectScrub(catalog: room.catalog, directory: room.folder + "/objects", keys: opened.keys)
        #expect(try await scrub.run { _ in }.damaged == 0)
        try await opened.send(
            "PUT", "/old?versioning", [:],
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        try await opened.send("PUT", "/old/k", [:], "new")
        #expect(try await opened.text("/old/k?versionId=null") == "hello")
        try Data("hallo".utf8).write(to: URL(fileURLWithPath: room.folder + "/objects/5d/" + file))
        #expect(try await scrub.run { _ in }.damaged == 1)
    }
}
