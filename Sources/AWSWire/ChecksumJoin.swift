// SPDX-License-Identifier: Apache-2.0
//
// The CRC of two texts one after the other, from the CRC of each and the length of the second: the first is multiplied by
// x^(8 * length) modulo the polynomial, and the second added (Mark Adler's method for combining CRCs, as zlib documents it
// in crc32_combine; polynomials in reflected form). SHA digests cannot be joined so.

extension ObjectChecksum {
    /// Joins two values of one algorithm.
    ///
    /// - Parameters:
    ///   - first: the value of the first text, big-endian.
    ///   - second: the value of the second text, big-endian.
    ///   - length: bytes of the second text.
    /// - Returns: nil for an algorithm whose values cannot be joined, or values of a wrong size.
    package static func joined(
        _ algorithm: Algorithm, _ first: [UInt8], _ second: [UInt8], length: Int64
    ) -> [UInt8]? {
        guard first.count == algorithm.valueBytes, second.count == first.count, length >= 0 else { return nil }
        switch algorithm {
        case .crc32: return join(UInt32(0xEDB8_8320), first, second, length)
        case .crc32c: return join(UInt32(0x82F6_3B78), first, second, length)
        case .crc64nvme: return join(UInt64(0x9A6C_9329_AC4B_C9B5), first, second, length)
        case .sha1, .sha256: return nil
        }
    }

    private static func join<Word: FixedWidthInteger & UnsignedInteger>(
        _ polynomial: Word, _ first: [UInt8], _ second: [UInt8], _ length: Int64
    ) -> [UInt8] {
        let a = first.reduce(Word(0)) { $0 << 8 | Word($1) }
        let b = second.reduce(Word(0)) { $0 << 8 | Word($1) }
        // x^0 stands in the highest bit; `power` runs through x^8, x^16, x^32, ...
        let one = Word(1) << (Word.bitWidth - 1)
        var shift = one
        var power = one >> 8
        var left = length
        while left > 0 {
            if left & 1 == 1 { shift = multiply(shift, power, polynomial) }
            power = multiply(power, power, polynomial)
            left >>= 1
        }
        let joined = multiply(shift, a, polynomial) ^ b
        return withUnsafeBytes(of: joined.bigEndian) { Array($0) }
    }

    /// The product of two polynomials, modulo a third.
    private static func multiply<Word: FixedWidthInteger & UnsignedInteger>(
        _ a: Word, _ b: Word, _ polynomial: Word
    ) -> Word {
        var product: Word = 0
        var b = b
        for bit in stride(from: Word.bitWidth - 1, through: 0, by: -1) {
            if a >> bit & 1 == 1 { product ^= b }
            b = b & 1 == 1 ? (b >> 1) ^ polynomial : b >> 1
        }
        return product
    }
}
