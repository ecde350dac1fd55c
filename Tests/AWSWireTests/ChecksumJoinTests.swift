// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Testing

struct ChecksumJoinTests {
    private func value(_ algorithm: ObjectChecksum.Algorithm, _ bytes: [UInt8]) -> [UInt8] {
        var checksum = ObjectChecksum(algorithm)
        checksum.update(bytes)
        return checksum.value
    }

    @Test(arguments: [ObjectChecksum.Algorithm.crc32, .crc32c, .crc64nvme])
    func `the joined CRC of two texts is the CRC of both, one after the other`(
        _ algorithm: ObjectChecksum.Algorithm
    ) {
        let text = Array("The quick brown fox jumps over the lazy dog, again and again.".utf8)
        for cut in 0...text.count {
            let joined = ObjectChecksum.joined(
                algorithm, value(algorithm, Array(text[..<cut])), value(algorithm, Array(text[cut...])),
                length: Int64(text.count - cut))
            #expect(joined == value(algorithm, text))
        }
    }

    @Test func `digests cannot be joined, nor values of a wrong size`() {
        let digest = value(.sha256, [1])
        #expect(ObjectChecksum.joined(.sha256, digest, digest, length: 1) == nil)
        #expect(ObjectChecksum.joined(.crc32, [1, 2], [1, 2, 3, 4], length: 1) == nil)
    }
}
