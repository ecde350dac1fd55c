// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Objects
import Testing

struct ObjectBlocksTests {
    private func room(_ body: String) async throws -> (ObjectRoom, String) {
        let room = try await ObjectRoom()
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/aaa/k", [:], body)
        let name = try #require(
            FileManager.default.subpathsOfDirectory(atPath: room.folder + "/objects").first {
                ($0 as NSString).lastPathComponent.count == 32
            })
        return (room, room.folder + "/objects/" + name)
    }

    @Test func `a bit that flips on the disk is an error, wherever it flips, and other ranges are still read`()
        async throws
    {
        let text = String(repeating: "0123456789abcdef", count: 20_000)
        let (room, path) = try await room(text)
        defer { room.remove() }
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(whole.count == text.utf8.count + 16 * 5 + 61 + 2)
        for place in [0, 65_535, 65_551, 131_200, text.utf8.count + 79] {
            var damaged = whole
            damaged[place] ^= 0x10
            try damaged.write(to: URL(fileURLWithPath: path))
            await #expect(throws: (any Error).self) { try await room.text("/aaa/k") }
            let other = place < 65_552 ? 200_000 : 10
            let range = ["range": "bytes=\(other)-\(other + 15)"]
            #expect(try await room.bytes("/aaa/k", range).count == 16)
        }
        try whole.write(to: URL(fileURLWithPath: path))
        #expect(try await room.text("/aaa/k") == text)
    }

    @Test func `blocks that changed places are an error`() async throws {
        let (room, path) = try await room(String(repeating: "x", count: 131_072))
        defer { room.remove() }
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        try (whole[65_552..<131_104] + whole[..<65_552] + whole[131_104...]).write(to: URL(fileURLWithPath: path))
        #expect(await room.refusal("GET", "/aaa/k") == "InternalError 500")
    }

    @Test func `any range comes back byte for byte`() async throws {
        var random = SplitMix(11)
        let body = (0..<200_000).map { _ in UInt8.random(in: 0x20...0x7E, using: &random) }
        let (room, _) = try await room(String(decoding: body, as: UTF8.self))
        defer { room.remove() }
        for _ in 0..<60 {
            let first = Int.random(in: 0..<body.count, using: &random)
            let last = Int.random(in: first..<body.count, using: &random)
            let got = try await room.bytes("/aaa/k", ["range": "bytes=\(first)-\(last)"])
            #expect(got == Array(body[first...last]))
        }
    }
}
