// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Keys
import Testing

struct ObjectCipherTests {
    static let block = ObjectCipher.blockBytes
    static let sizes = [0, 1, block - 1, block, block + 1, 3 * block, 3 * block + 17]

    private func cipher(_ file: String = "f", key: UInt8 = 1) throws -> ObjectCipher {
        try #require(ObjectCipher(dataKey: [UInt8](repeating: key, count: 32), file: file))
    }

    private func object(_ size: Int) -> [UInt8] { (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9) } }

    @Test(arguments: sizes)
    func `what was sealed in pieces opens to the same bytes`(size: Int) throws {
        let cipher = try cipher()
        let bytes = object(size)
        var sealed: [UInt8] = []
        for (number, start) in stride(from: 0, to: size, by: Self.block).enumerated() {
            let piece = Array(bytes[start..<min(size, start + Self.block)])
            sealed += try #require(cipher.seal(piece, first: Int64(number)))
        }
        #expect(sealed == cipher.seal(bytes, first: 0))
        #expect(Int64(sealed.count) == ObjectCipher.sealedBytes(Int64(size)))
        var opened: [UInt8] = []
        #expect(cipher.open(sealed, first: 0) { opened += $0 } == nil)
        #expect(opened == bytes)
    }

    @Test func `nothing of the object is in its file in the clear`() throws {
        let line = Array("a line that must not be seen\n".utf8)
        let bytes = (0..<5000).flatMap { _ in line }
        let sealed = try #require(try cipher().seal(bytes, first: 0))
        #expect(!Files.contains(sealed, line))
    }

    @Test func `rot, a swap of blocks, another file's block and another key are found`() throws {
        let cipher = try cipher()
        let sealed = try #require(cipher.seal(object(2 * Self.block + 5), first: 0))
        let step = Self.block + ObjectCipher.tagBytes
        for place in [0, step - 1, step, 2 * step + 3, sealed.count - 1] {
            var damaged = sealed
            damaged[place] ^= 4
            #expect(cipher.open(damaged, first: 0) { _ in } == Int64(place / step))
        }
        let swapped = Array(sealed[step..<2 * step] + sealed[..<step] + sealed[(2 * step)...])
        #expect(cipher.open(swapped, first: 0) { _ in } == 0)
        #expect(cipher.open(Array(sealed.dropLast()), first: 0) { _ in } == 2)
        #expect(try self.cipher("g").open(sealed, first: 0) { _ in } == 0)
        #expect(try self.cipher(key: 2).open(sealed, first: 0) { _ in } == 0)
        #expect(cipher.open(sealed, first: 1) { _ in } == 1)
    }

    @Test func `a block's bytes are handed over only when they are proven`() throws {
        let cipher = try cipher()
        var sealed = try #require(cipher.seal(object(3 * Self.block), first: 0))
        sealed[Self.block + 100] ^= 1
        var handed = 0
        #expect(cipher.open(sealed, first: 0) { _ in handed += 1 } == 1)
        #expect(handed == 1)
    }

    @Test func `a data key under the store's key opens for its own file only, and without an event`() async throws {
        let room = try await KeyRoom()
        let (cipher, sealed) = try await room.keys.makeStoreKey(file: "a")
        let bytes = try #require(cipher.seal([1, 2, 3], first: 0))
        let again = try await KeyRoom(after: room)
        let opened = try await again.keys.openStoreKey(sealed, file: "a")
        var plain: [UInt8] = []
        #expect(opened.open(bytes, first: 0) { plain += $0 } == nil)
        #expect(plain == [1, 2, 3])
        await #expect(throws: AWSError.self) {
            _ = try await again.keys.openStoreKey(sealed, file: "b")
        }
        #expect(room.events.all.isEmpty)
    }

    @Test func `a data key under KMS needs the key and S3's context, and each use is an event`() async throws {
        let room = try await KeyRoom()
        let key = try await room.makeKey()
        let use = KeyUse(call: room.call(), viaService: "s3.us-east-1.amazonaws.com")
        let context = EncryptionContext.object(bucket: "b", key: "k/1", more: ["aws:s3:arn": "forged", "team": "x"])
        #expect(context.pairs == ["aws:s3:arn": "arn:aws:s3:::b/k/1", "team": "x"])
        #expect(EncryptionContext.object(bucket: "b", key: nil).pairs == ["aws:s3:arn": "arn:aws:s3:::b"])
        let made = try await room.keys.makeDataKey(under: key, context, use)
        #expect(made.keyARN == key)
        #expect(try await room.keys.openDataKey(made.blob, context, use) == made.plaintext)
        let other = EncryptionContext.object(bucket: "b", key: "k/2", more: ["team": "x"])
        await #expect(throws: AWSError.self) {
            _ = try await room.keys.openDataKey(made.blob, other, use)
        }
        try await room.send("DisableKey", ["KeyId": .string(key)])
        await #expect(throws: AWSError.self) {
            _ = try await room.keys.openDataKey(made.blob, context, use)
        }
        #expect(room.events.all.map(\.name) == ["GenerateDataKey", "Decrypt", "Decrypt", "Decrypt"])
        #expect(
            room.events.all.map { $0.error?.code } == [
                nil, nil, "InvalidCiphertextException", "DisabledException",
            ])
    }
}
