// SPDX-License-Identifier: Apache-2.0

import enum Crypto.Insecure
import struct Crypto.SHA256
import Foundation
import LogFiles
import Testing

struct DigestTests {
    private func digest(previous: Digest.Previous?, files: [Digest.File]) -> Digest {
        Digest(
            account: "111122223333", startTime: "2026-11-24T19:37:15Z", endTime: "2026-11-24T20:37:15Z", bucket: "b",
            key: "AWSLogs/k.json.gz", fingerprint: "f", previous: previous, files: files)
    }

    private let file = Digest.File(
        bucket: "b", key: "l\"1", hash: "aa", newestEventTime: "2026-11-24T20:00:00Z",
        oldestEventTime: "2026-11-24T19:59:00Z")

    @Test func `an empty digest at the begin of a chain has seven nulls and an empty list`() {
        let text = String(decoding: digest(previous: nil, files: []).content, as: UTF8.self)
        #expect(
            text == #"{"awsAccountId":"111122223333","digestStartTime":"2026-11-24T19:37:15Z","#
                + #""digestEndTime":"2026-11-24T20:37:15Z","digestS3Bucket":"b","digestS3Object":"AWSLogs/k.json.gz","#
                + #""digestPublicKeyFingerprint":"f","digestSignatureAlgorithm":"SHA256withRSA","newestEventTime":null,"#
                + #""oldestEventTime":null,"previousDigestS3Bucket":null,"previousDigestS3Object":null,"#
                + #""previousDigestHashValue":null,"previousDigestHashAlgorithm":null,"previousDigestSignature":null,"#
                + #""logFiles":[]}"#)
    }

    @Test func `times are those of all files and texts are escaped`() throws {
        var older = file
        older.key = "l2"
        older.oldestEventTime = "2026-11-24T18:00:00Z"
        let value = try JSONSerialization.jsonObject(
            with: Data(
                digest(
                    previous: .init(bucket: "p", key: "pk", hash: "ph", signature: "ps"), files: [file, older]
                ).content))
        let document = try #require(value as? [String: Any])
        #expect(document["newestEventTime"] as? String == "2026-11-24T20:00:00Z")
        #expect(document["oldestEventTime"] as? String == "2026-11-24T18:00:00Z")
        #expect(document["previousDigestHashAlgorithm"] as? String == "SHA-256")
        #expect(document["previousDigestSignature"] as? String == "ps")
        let files = try #require(document["logFiles"] as? [[String: String]])
        #expect(files.map { $0["s3Object"] } == ["l\"1", "l2"])
        #expect(files[0]["hashAlgorithm"] == "SHA-256")
    }

    @Test func `signed are end time, place, hash of the content and the previous signature`() {
        let first = digest(previous: nil, files: [])
        let hash = SHA256.hash(data: first.content).map { String(format: "%02x", $0) }.joined()
        #expect(
            first.stringToSign(content: first.content)
                == "2026-11-24T20:37:15Z\nb/AWSLogs/k.json.gz\n\(hash)\nnull")
        let next = digest(previous: .init(bucket: "p", key: "pk", hash: "ph", signature: "beef"), files: [])
        #expect(next.stringToSign(content: next.content).hasSuffix("\nbeef"))
    }
}

struct DigestKeyTests {
    @Test func `a signature is deterministic, is verified by the public key and by no other text`() throws {
        let key = try DigestSigningKey.generate()
        let signature = try key.sign("text")
        #expect(signature.utf8.count == 512)
        #expect(try key.sign("text") == signature)
        let listed = try DigestPublicKey(der: key.publicKey.der)
        #expect(listed.isValid(signature: signature, for: "text"))
        #expect(!listed.isValid(signature: signature, for: "texT"))
        #expect(!listed.isValid(signature: "zz", for: "text"))
        #expect(!listed.isValid(signature: "", for: "text"))
    }

    @Test func `a stored key is the same key, and a damaged one is refused`() throws {
        let key = try DigestSigningKey.generate()
        let again = try DigestSigningKey(der: key.der)
        #expect(again.publicKey.fingerprint == key.publicKey.fingerprint)
        #expect(try again.sign("x") == key.sign("x"))
        #expect(throws: LogFileError.self) { try DigestSigningKey(der: Array(key.der.dropLast(3))) }
    }

    @Test func `the public key is PKCS#1 and its fingerprint the MD5 of it`() throws {
        let key = try DigestSigningKey.generate().publicKey
        // RSAPublicKey: SEQUENCE { INTEGER modulus (257 bytes with the sign's), INTEGER 65537 }, no algorithm identifier.
        #expect(key.der.count == 270)
        #expect(key.der.prefix(8) == [0x30, 0x82, 0x01, 0x0A, 0x02, 0x82, 0x01, 0x01])
        #expect(key.der.suffix(5) == [0x02, 0x03, 0x01, 0x00, 0x01])
        #expect(key.fingerprint == Insecure.MD5.hash(data: key.der).map { String(format: "%02x", $0) }.joined())
    }

    @Test func `a signing key tells nothing of itself`() throws {
        let key = try DigestSigningKey.generate()
        #expect("\(key)" == "DigestSigningKey(hidden)")
    }
}
