// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Testing

struct ObjectChecksumTests {
    /// The check values of the catalogue of parametrised CRC algorithms (CRC-32/ISO-HDLC, CRC-32/ISCSI, CRC-64/NVME) and of
    /// FIPS 180-4, all of the text `123456789`.
    @Test(arguments: [
        (ObjectChecksum.Algorithm.crc32, "cbf43926"), (.crc32c, "e3069283"), (.crc64nvme, "ae8b14860a799888"),
        (.sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        (.sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    ])
    func `the check value comes out`(_ algorithm: ObjectChecksum.Algorithm, _ expected: String) {
        var checksum = ObjectChecksum(algorithm)
        checksum.update(Array("123456789".utf8))
        #expect(Hex.encode(checksum.value) == expected)
        #expect(checksum.value.count == algorithm.valueBytes)
        #expect(algorithm.isWellFormed(checksum.text))
    }

    @Test(arguments: ObjectChecksum.Algorithm.allCases)
    func `pieces of any length give the value of the whole`(_ algorithm: ObjectChecksum.Algorithm) {
        // Long pieces go another way than short ones.
        let bytes = (0..<1499).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ 11 &+ $0 >> 8) }
        var whole = ObjectChecksum(algorithm)
        whole.update(bytes)
        for size in Array(1...40) + [255, 256, 300, 449, 1024] {
            var pieces = ObjectChecksum(algorithm)
            for start in stride(from: 0, to: bytes.count, by: size) {
                pieces.update(Array(bytes[start..<min(start + size, bytes.count)]))
            }
            #expect(pieces.value == whole.value)
        }
    }

    @Test func `an algorithm is known by its header's name`() {
        for algorithm in ObjectChecksum.Algorithm.allCases {
            #expect(ObjectChecksum.Algorithm(headerName: algorithm.headerName) == algorithm)
        }
        #expect(ObjectChecksum.Algorithm(headerName: "x-amz-checksum-md5") == nil)
        #expect(ObjectChecksum.Algorithm(headerName: "x-amz-checksum-type") == nil)
    }
}

struct Base64Tests {
    /// RFC 4648, section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func `the RFC's examples come out both ways`(_ plain: String, _ text: String) {
        #expect(Base64.encode(Array(plain.utf8)) == text)
        #expect(Base64.decode(text) == Array(plain.utf8))
    }

    @Test(arguments: ["Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "====", "Zm9v ", "Zm-v", "Zm9vY", "=Zg="])
    func `anything but the one text of some bytes is refused`(_ text: String) {
        #expect(Base64.decode(text) == nil)
    }

    @Test func `all bytes survive`() throws {
        for count in 0..<258 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
        }
    }
}
