// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import NIOCore
import Objects
import Synchronization
import Testing

/// Objects of more than one piece, on their way out and in.
struct ObjectFlowTests {
    private static let pieceBytes = 256 * 1024

    private func body(_ count: Int) -> String {
        var random = SplitMix(5)
        return String(decoding: (0..<count).map { _ in UInt8.random(in: 0x20...0x7E, using: &random) }, as: UTF8.self)
    }

    private func stream(_ answer: OperationAnswer) throws -> AnswerStream {
        guard case .stream(let stream) = answer.body else { throw AWSError("NoStream", "") }
        return stream
    }

    /// A room with one object, `/aaa/k`.
    private func roomWithObject(_ count: Int) async throws -> (ObjectRoom, text: String) {
        let room = try await ObjectRoom()
        let text = body(count)
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/aaa/k", [:], text)
        return (room, text)
    }

    /// In the only object file.
    private func flipByte(at offset: Int, in room: ObjectRoom) throws {
        let name = try #require(
            FileManager.default.subpathsOfDirectory(atPath: room.folder + "/objects").first {
                ($0 as NSString).lastPathComponent.count == 32
            })
        let place = URL(fileURLWithPath: room.folder + "/objects/" + name)
        var bytes = try Data(contentsOf: place)
        bytes[offset] ^= 1
        try bytes.write(to: place)
    }

    @Test func `an object is read at most two pieces ahead of its reader`() async throws {
        let reads = Mutex(0)
        let room = try await ObjectRoom { step in
            if step == .readFile { reads.withLock { $0 += 1 } }
            return nil
        }
        defer { room.remove() }
        let text = body(5 * Self.pieceBytes + 77)
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/aaa/k", [:], text)
        let answer = try await room.send("GET", "/aaa/k")
        let got = Mutex<(pieces: Int, bytes: [UInt8], ahead: Int)>((0, [], 0))
        try await stream(answer).write { piece in
            got.withLock { got in
                got.pieces += 1
                got.bytes.append(contentsOf: piece.readableBytesView)
                got.ahead = max(got.ahead, reads.withLock { $0 } - got.pieces)
            }
        }
        #expect(got.withLock { $0.bytes } == Array(text.utf8))
        #expect(got.withLock { $0.pieces } == 6)
        #expect(got.withLock { $0.ahead } <= 2)
    }

    @Test func `a piece that is kept by its reader does not change under it`() async throws {
        let (room, text) = try await roomWithObject(9 * Self.pieceBytes)
        defer { room.remove() }
        for _ in 0..<2 {
            let kept = Mutex<[[UInt8]]>([])
            let pieces = Mutex<[ByteBuffer]>([])
            try await stream(try await room.send("GET", "/aaa/k")).write { piece in
                pieces.withLock { $0.append(piece) }
                kept.withLock { $0.append(Array(piece.readableBytesView)) }
            }
            #expect(pieces.withLock { $0.map { Array($0.readableBytesView) } } == kept.withLock { $0 })
            #expect(kept.withLock { $0.flatMap { $0 } } == Array(text.utf8))
        }
    }

    @Test func `damage behind the first piece ends the answer after the last whole one`() async throws {
        let (room, text) = try await roomWithObject(3 * Self.pieceBytes)
        defer { room.remove() }
        try flipByte(at: 2 * Self.pieceBytes + 70_000, in: room)
        let answer = try await room.send("GET", "/aaa/k")
        let got = Mutex<[UInt8]>([])
        await #expect(throws: (any Error).self) {
            try await stream(answer).write { piece in got.withLock { $0.append(contentsOf: piece.readableBytesView) } }
        }
        #expect(got.withLock { $0 } == Array(text.utf8.prefix(2 * Self.pieceBytes)))
    }

    /// More readers than processors, all in the middle of the object at once: then pieces are read where they are sent.
    private func readTogether(
        _ room: ObjectRoom, readers: Int
    ) async throws -> [(bytes: [UInt8], kept: [ByteBuffer], failed: Bool)] {
        let begun = Count()
        return try await withThrowingTaskGroup { group in
            for _ in 0..<readers {
                let stream = try stream(try await room.send("GET", "/aaa/k"))
                group.addTask {
                    let got = Mutex<(bytes: [UInt8], kept: [ByteBuffer])>(([], []))
                    do {
                        try await stream.write { piece in
                            let isFirst = got.withLock { got in
                                got.bytes.append(contentsOf: piece.readableBytesView)
                                got.kept.append(piece)
                                return got.kept.count == 1
                            }
                            guard isFirst else { return }
                            begun.value.withLock { $0 += 1 }
                            while begun.value.withLock({ $0 }) < readers { await Task.yield() }
                        }
                    } catch {
                        return got.withLock { ($0.bytes, $0.kept, true) }
                    }
                    return got.withLock { ($0.bytes, $0.kept, false) }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    @Test func `many readers at once each get every byte, and what they keep does not change`() async throws {
        let (room, text) = try await roomWithObject(6 * Self.pieceBytes + 77)
        defer { room.remove() }
        for reader in try await readTogether(room, readers: System.coreCount + 2) {
            #expect(!reader.failed)
            #expect(reader.bytes == Array(text.utf8))
            #expect(reader.kept.flatMap { Array($0.readableBytesView) } == Array(text.utf8))
        }
    }

    @Test func `damage ends the answers of many readers at once after the last whole piece`() async throws {
        let (room, text) = try await roomWithObject(3 * Self.pieceBytes)
        defer { room.remove() }
        try flipByte(at: 2 * Self.pieceBytes + 70_000, in: room)
        for reader in try await readTogether(room, readers: System.coreCount + 2) {
            #expect(reader.failed)
            #expect(reader.bytes == Array(text.utf8.prefix(2 * Self.pieceBytes)))
        }
    }

    @Test(arguments: [1, 2, 3])
    func `a piece that cannot be written refuses the object, and nothing of it stays`(_ number: Int) async throws {
        let writes = Mutex(0)
        let room = try await ObjectRoom { step in
            guard step == .writeFile else { return nil }
            return writes.withLock { writes in
                writes += 1
                return writes == number ? ENOSPC : nil
            }
        }
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        await #expect(throws: AWSError.self) {
            try await room.send("PUT", "/aaa/k", [:], body(2 * Self.pieceBytes + 9))
        }
        #expect(try room.fileCount() == 0)
        #expect(await room.refusal("GET", "/aaa/k") == "NoSuchKey 404")
    }
}

private final class Count: Sendable {
    let value = Mutex(0)
}
