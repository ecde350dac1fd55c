// SPDX-License-Identifier: Apache-2.0

import CCRC32C
import Testing

@testable import EventJournal

struct CRC32CTests {
    /// RFC 3720, appendix B.4, and the check value of the CRC catalogue for "123456789".
    @Test func `the vectors of RFC 3720 hold`() {
        let cases: [([UInt8], UInt32)] = [
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA), ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
            (Array(0..<32), 0x46DD_794E), (Array((0..<32).reversed()), 0x113F_DB5C),
            (Array("123456789".utf8), 0xE306_9283), ([], 0),
        ]
        for (bytes, checksum) in cases { #expect(bytes.withUnsafeBytes { CRC32C.checksum($0) } == checksum) }
    }

    @Test func `a checksum in two parts is that of the whole, wherever it is cut`() {
        var random = SeededRandom(3)
        let bytes = (0..<100).map { _ in UInt8.random(in: 0...255, using: &random) }
        let whole = bytes.withUnsafeBytes { CRC32C.checksum($0) }
        for cut in 0...100 {
            let first = Array(bytes[..<cut]).withUnsafeBytes { CRC32C.checksum($0) }
            #expect(Array(bytes[cut...]).withUnsafeBytes { CRC32C.checksum($0, continuing: first) } == whole)
        }
    }

    @Test func `the processor's instruction and the tables agree, at every length and alignment`() {
        var random = SeededRandom(4)
        let bytes = (0..<20_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        let lengths = Array(0..<80) + [1023, 1024, 3071, 3072, 3073, 6144, 6151, 9300, 19_990]
        bytes.withUnsafeBytes { raw in
            for length in lengths {
                for start in 0..<9 where start + length <= raw.count {
                    let part = UnsafeRawBufferPointer(rebasing: raw[start..<(start + length)])
                    let previous = UInt32.random(in: .min ... .max, using: &random)
                    let tables = ccrc32c_by_tables(previous, part.baseAddress, part.count)
                    #expect(ccrc32c(previous, part.baseAddress, part.count) == tables)
                }
            }
        }
    }
}
