// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C (Castagnoli): polynomial 0x1EDC6F41, reflected 0x82F63B78, initial value and final XOR 0xFFFFFFFF, as in
// RFC 3720 (iSCSI), appendix B.4. "Slicing by 8" (Kounavis and Berry, "A Systematic Approach to Building High Performance
// Software-Based CRC Generators", 2005), with 16 tables.

/// Checksums of the journal's blocks.
enum CRC32C {
    /// The checksum of bytes, or of more bytes behind those that gave `previous`.
    static func checksum(_ bytes: UnsafeRawBufferPointer, continuing previous: UInt32 = 0) -> UInt32 {
        var crc = ~previous
        guard let base = bytes.baseAddress else { return ~crc }
        let t = tables
        var position = base
        var left = bytes.count
        while left >= 16 {
            let a = UInt64(littleEndian: position.loadUnaligned(as: UInt64.self)) ^ UInt64(crc)
            let b = UInt64(littleEndian: position.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            let high =
                t[15 &* 256 &+ index(a, 0)] ^ t[14 &* 256 &+ index(a, 8)] ^ t[13 &* 256 &+ index(a, 16)]
                ^ t[12 &* 256 &+ index(a, 24)]
            let middle =
                t[11 &* 256 &+ index(a, 32)] ^ t[10 &* 256 &+ index(a, 40)] ^ t[9 &* 256 &+ index(a, 48)]
                ^ t[8 &* 256 &+ index(a, 56)]
            let low =
                t[7 &* 256 &+ index(b, 0)] ^ t[6 &* 256 &+ index(b, 8)] ^ t[5 &* 256 &+ index(b, 16)]
                ^ t[4 &* 256 &+ index(b, 24)]
            let last =
                t[3 &* 256 &+ index(b, 32)] ^ t[2 &* 256 &+ index(b, 40)] ^ t[256 &+ index(b, 48)] ^ t[index(b, 56)]
            crc = high ^ middle ^ low ^ last
            position += 16
            left &-= 16
        }
        while left > 0 {
            crc = (crc >> 8) ^ t[Int(UInt8(truncatingIfNeeded: crc) ^ position.load(as: UInt8.self))]
            position += 1
            left &-= 1
        }
        return ~crc
    }

    private static func index(_ word: UInt64, _ shift: UInt64) -> Int { Int((word &>> shift) & 0xFF) }

    /// Sixteen tables of 256 entries in a row; made once and kept for the life of the process.
    private static var tables: UnsafePointer<UInt32> { storage.pointer }
    private static let storage = Storage()

    /// @unchecked: written in its initializer only, and never released.
    private struct Storage: @unchecked Sendable {
        let pointer: UnsafePointer<UInt32>

        init() {
            let table = UnsafeMutablePointer<UInt32>.allocate(capacity: 16 * 256)
            for value in 0..<256 {
                var crc = UInt32(value)
                for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ 0x82F6_3B78 : crc >> 1 }
                table[value] = crc
            }
            for row in 1..<16 {
                for value in 0..<256 {
                    let before = table[(row - 1) * 256 + value]
                    table[row * 256 + value] = (before >> 8) ^ table[Int(before & 0xFF)]
                }
            }
            pointer = UnsafePointer(table)
        }
    }
}
