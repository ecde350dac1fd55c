// SPDX-License-Identifier: Apache-2.0

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
}
