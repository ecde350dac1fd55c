// SPDX-License-Identifier: Apache-2.0

import Keys
import Testing

struct CiphertextBlobTests {
    static let id = "12345678-90ab-4def-8123-4567890abcde"
    let key = [UInt8](repeating: 7, count: 32)
    let nonce = [UInt8](0..<28)
    let context = EncryptionContext(["b": "2", "a": "1"])

    private func sealed(_ plaintext: [UInt8] = Array("hello".utf8)) throws -> CiphertextBlob {
        try #require(
            CiphertextBlob.seal(plaintext, keyID: Self.id, material: 258, key: key, nonce: nonce, context: context))
    }

    @Test func `a blob names its key and its material and opens to what was sealed`() throws {
        let blob = try #require(CiphertextBlob(try sealed().bytes))
        #expect(blob.keyID == Self.id)
        #expect(blob.material == 258)
        #expect(blob.open(key: key, context: context) == Array("hello".utf8))
    }

    @Test func `the layout is the one that the format page describes`() throws {
        let bytes = try sealed().bytes
        #expect(bytes.count == 1 + 16 + 4 + 28 + 5 + 16)
        #expect(bytes[0] == 1)
        #expect(Array(bytes[1..<5]) == [0x12, 0x34, 0x56, 0x78])
        #expect(Array(bytes[17..<21]) == [0, 0, 1, 2])
        #expect(Array(bytes[21..<49]) == nonce)
    }

    @Test func `another context does not open a blob, and the order of its pairs does not matter`() throws {
        let blob = try sealed()
        #expect(blob.open(key: key, context: EncryptionContext(["a": "1", "b": "2"])) != nil)
        for pairs in [[:], ["a": "1"], ["a": "1", "b": "3"], ["A": "1", "b": "2"], ["a": "1b", "": "2"]] {
            #expect(blob.open(key: key, context: EncryptionContext(pairs)) == nil)
        }
    }

    @Test func `pairs cannot be shifted between names and values`() {
        #expect(EncryptionContext(["ab": "c"]).bytes != EncryptionContext(["a": "bc"]).bytes)
        #expect(EncryptionContext(["a": "1", "b": "2"]).bytes == EncryptionContext(["b": "2", "a": "1"]).bytes)
    }

    @Test func `a change of any byte keeps a blob from opening`() throws {
        let bytes = try sealed().bytes
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 1
            #expect(CiphertextBlob(damaged)?.open(key: key, context: context) == nil, "byte \(index)")
        }
    }

    @Test func `what is too short or too long or of another version is no blob`() throws {
        let bytes = try sealed([1]).bytes
        #expect(CiphertextBlob([]) == nil)
        #expect(CiphertextBlob(Array(bytes.dropLast())) == nil)
        #expect(CiphertextBlob([2] + bytes.dropFirst()) == nil)
        #expect(CiphertextBlob([UInt8](repeating: 1, count: 6145)) == nil)
    }

    @Test func `the largest plaintext stays within the largest ciphertext`() throws {
        let blob = try sealed([UInt8](repeating: 9, count: 4096))
        #expect(blob.bytes.count <= 6144)
    }
}
