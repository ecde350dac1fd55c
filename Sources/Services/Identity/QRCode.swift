// SPDX-License-Identifier: Apache-2.0
//
// QR codes (ISO/IEC 18004) of bytes, as PNG pictures (ISO/IEC 15948).
//
// Two of the forty sizes are enough: version 6, which phones read most easily, and version 15 for the longest names.
// Both are in error correction level L and under mask 0, so that their format bits are known beforehand.

internal import AWSWire

/// A square of dark and light modules.
struct QRCode {
    private struct Form {
        let version: Int
        /// Data codewords of each block.
        let blocks: [Int]
        /// Error correction codewords of each block.
        let corrections: Int
        /// Rows and columns of the alignment patterns' centres.
        let centres: [Int]
        /// The version's own bits with their check bits; none below version 7.
        let versionBits: Int?

        var size: Int { 17 + 4 * version }
        var countBits: Int { version < 10 ? 8 : 16 }
        var capacity: Int { blocks.reduce(0, +) }
    }

    private static let forms = [
        Form(version: 6, blocks: [68, 68], corrections: 18, centres: [6, 34], versionBits: nil),
        Form(
            version: 15, blocks: [87, 87, 87, 87, 87, 88], corrections: 22, centres: [6, 26, 48, 70],
            versionBits: 0x0F928),
    ]

    /// Level L and mask 0 with their check bits.
    private static let formatBits = 0x77C4

    let size: Int
    private var dark: [Bool]
    /// Modules that belong to patterns and not to the data.
    private var isPattern: [Bool]

    /// Nil for more than 520 bytes.
    init?(_ bytes: [UInt8]) {
        guard let form = Self.forms.first(where: { bytes.count * 8 + 4 + $0.countBits <= $0.capacity * 8 }) else {
            return nil
        }
        size = form.size
        dark = Array(repeating: false, count: size * size)
        isPattern = dark
        drawPatterns(form)
        place(Self.codewords(bytes, form))
    }

    func isDark(_ x: Int, _ y: Int) -> Bool { dark[y * size + x] }

    // MARK: Codewords

    /// The data in byte mode, filled up, cut into blocks with their corrections, and interleaved.
    private static func codewords(_ bytes: [UInt8], _ form: Form) -> [UInt8] {
        var bits: [Bool] = []
        func append(_ value: Int, _ count: Int) {
            for bit in stride(from: count - 1, through: 0, by: -1) { bits.append(value >> bit & 1 == 1) }
        }
        append(0b0100, 4)
        append(bytes.count, form.countBits)
        for byte in bytes { append(Int(byte), 8) }
        append(0, min(4, form.capacity * 8 - bits.count))
        append(0, (8 - bits.count % 8) % 8)
        var data = stride(from: 0, to: bits.count, by: 8).map { start in
            bits[start..<start + 8].reduce(UInt8(0)) { $0 << 1 | ($1 ? 1 : 0) }
        }
        var filler: UInt8 = 0xEC
        while data.count < form.capacity {
            data.append(filler)
            filler ^= 0xEC ^ 0x11
        }
        var rest = data[...]
        let blocks = form.blocks.map { count in
            let block = Array(rest.prefix(count))
            rest = rest.dropFirst(count)
            return block
        }
        let corrections = blocks.map { Self.corrections($0, form.corrections) }
        var out: [UInt8] = []
        for index in 0..<(form.blocks.max() ?? 0) {
            for block in blocks where index < block.count { out.append(block[index]) }
        }
        for index in 0..<form.corrections { out += corrections.map { $0[index] } }
        return out
    }

    /// In the field of 256 elements, by x^8 + x^4 + x^3 + x^2 + 1.
    private static func product(_ a: UInt8, _ b: UInt8) -> UInt8 {
        var result: UInt8 = 0
        for bit in stride(from: 7, through: 0, by: -1) {
            result = result << 1 ^ (result >> 7) &* 0x1D
            if b >> UInt8(bit) & 1 == 1 { result ^= a }
        }
        return result
    }

    /// Reed-Solomon: the remainder by the product of (x - 2^i).
    private static func corrections(_ block: [UInt8], _ count: Int) -> [UInt8] {
        var divisor = [UInt8](repeating: 0, count: count - 1) + [1]
        var root: UInt8 = 1
        for _ in 0..<count {
            for index in 0..<count {
                divisor[index] = product(divisor[index], root)
                if index + 1 < count { divisor[index] ^= divisor[index + 1] }
            }
            root = product(root, 2)
        }
        var remainder = [UInt8](repeating: 0, count: count)
        for byte in block {
            let factor = byte ^ remainder.removeFirst()
            remainder.append(0)
            for index in 0..<count { remainder[index] ^= product(divisor[index], factor) }
        }
        return remainder
    }

    // MARK: Modules

    private mutating func set(_ x: Int, _ y: Int, _ isDark: Bool) {
        guard (0..<size).contains(x), (0..<size).contains(y) else { return }
        dark[y * size + x] = isDark
        isPattern[y * size + x] = true
    }

    private mutating func drawPatterns(_ form: Form) {
        for index in 0..<size {
            set(6, index, index % 2 == 0)
            set(index, 6, index % 2 == 0)
        }
        for (x, y) in [(3, 3), (size - 4, 3), (3, size - 4)] { drawRings(x, y, reach: 4) }
        let last = form.centres.count - 1
        for (row, y) in form.centres.enumerated() {
            for (column, x) in form.centres.enumerated()
            where ![[0, 0], [0, last], [last, 0]].contains([row, column]) {
                drawRings(x, y, reach: 2)
            }
        }
        for bit in 0..<15 {
            let isDark = Self.formatBits >> bit & 1 == 1
            switch bit {
            case 0...5: set(8, bit, isDark)
            case 6, 7: set(8, bit + 1, isDark)
            case 8: set(7, 8, isDark)
            default: set(14 - bit, 8, isDark)
            }
            if bit < 8 { set(size - 1 - bit, 8, isDark) } else { set(8, size - 15 + bit, isDark) }
        }
        set(8, size - 8, true)
        guard let versionBits = form.versionBits else { return }
        for bit in 0..<18 {
            let (far, near) = (size - 11 + bit % 3, bit / 3)
            set(far, near, versionBits >> bit & 1 == 1)
            set(near, far, versionBits >> bit & 1 == 1)
        }
    }

    /// Rings about a centre: dark within one module, then light and dark in turns; a finder's fourth is light.
    private mutating func drawRings(_ x: Int, _ y: Int, reach: Int) {
        for dy in -reach...reach {
            for dx in -reach...reach {
                let distance = max(abs(dx), abs(dy))
                let isDark = reach == 4 ? distance != 2 && distance != 4 : distance != 1
                set(x + dx, y + dy, isDark)
            }
        }
    }

    /// In pairs of columns from the right, upwards and downwards in turns.
    private mutating func place(_ codewords: [UInt8]) {
        var index = 0
        for pair in stride(from: size - 1, through: 1, by: -2) {
            // The column of the timing pattern is left out.
            let right = pair <= 6 ? pair - 1 : pair
            for step in 0..<size {
                let y = (right + 1) & 2 == 0 ? size - 1 - step : step
                for x in [right, right - 1] where !isPattern[y * size + x] {
                    let bit = index / 8 < codewords.count && codewords[index / 8] >> UInt8(7 - index % 8) & 1 == 1
                    dark[y * size + x] = bit != ((x + y) % 2 == 0)
                    index += 1
                }
            }
        }
    }
}

// MARK: - The picture

extension QRCode {
    /// Black on white, with the light border that readers want.
    var png: [UInt8] {
        let (scale, border) = (4, 4)
        let width = (size + 2 * border) * scale
        var rows: [UInt8] = []
        for y in 0..<width {
            rows.append(0)
            var byte: UInt8 = 0
            for x in 0..<(width + 7) / 8 * 8 {
                let (column, row) = (x / scale - border, y / scale - border)
                let isInside = (0..<size).contains(column) && (0..<size).contains(row)
                byte = byte << 1 | (isInside && isDark(column, row) ? 0 : 1)
                if x % 8 == 7 { rows.append(byte) }
            }
        }
        return [0x89] + Array("PNG\r\n\u{1A}\n".utf8)
            + Self.chunk("IHDR", Self.bigEndian(width) + Self.bigEndian(width) + [1, 0, 0, 0, 0])
            + Self.chunk("IDAT", Self.stored(rows)) + Self.chunk("IEND", [])
    }

    private static func bigEndian(_ value: Int) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
    }

    private static func chunk(_ name: String, _ content: [UInt8]) -> [UInt8] {
        let body = Array(name.utf8) + content
        var checksum = ObjectChecksum(.crc32)
        checksum.update(body)
        return bigEndian(content.count) + body + checksum.value
    }

    /// As zlib has it (RFC 1950), stored as it is (RFC 1951, section 3.2.4).
    private static func stored(_ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = [0x78, 0x01]
        for start in stride(from: 0, to: bytes.count, by: 65535) {
            let block = bytes[start..<min(start + 65535, bytes.count)]
            out.append(block.endIndex == bytes.count ? 1 : 0)
            for length in [block.count, ~block.count] {
                out += [UInt8(truncatingIfNeeded: length), UInt8(truncatingIfNeeded: length >> 8)]
            }
            out += block
        }
        var (a, b) = (1, 0)
        for byte in bytes {
            a = (a + Int(byte)) % 65521
            b = (b + a) % 65521
        }
        return out + bigEndian(b << 16 | a)
    }
}
