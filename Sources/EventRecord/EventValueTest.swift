// SPDX-License-Identifier: Apache-2.0

/// What is asked of a value at an `EventPath`.
package enum EventValueTest: Sendable, Hashable {
    package enum Order: UInt8, Sendable, Hashable {
        case less = 1
        case atMost = 2
        case greater = 3
        case atLeast = 4
    }

    /// There is something, and it is not null.
    case exists
    case equals(String)
    case prefix(String)
    case suffix(String)
    case contains(String)
    /// `*` stands for any bytes, `?` for one character; both are themselves behind a backslash.
    case wildcard(String)
    /// The value, a number or a text that is one, against a number.
    case number(Order, Double)
    /// The value's UTF-8 against a text's, byte by byte.
    case text(Order, String)
    /// The value is an IP address in the range.
    case address(AddressRange)

    /// Whether a value's text passes.
    package func holds(_ text: UnsafeRawBufferPointer) -> Bool {
        switch self {
        case .exists: return true
        case .equals(let value): return text.isEqual(to: value)
        case .prefix(let value): return value.withUnsafeUTF8 { text.hasPrefix($0) }
        case .suffix(let value): return value.withUnsafeUTF8 { text.hasSuffix($0) }
        case .contains(let value): return value.withUnsafeUTF8 { text.contains($0) }
        case .wildcard(let pattern): return pattern.withUnsafeUTF8 { Self.wildcard(text, $0) }
        case .number(let order, let bound):
            guard text.count <= 64, let first = text.first, first == 0x2D || (0x30...0x39).contains(first),
                let number = Double(String(decoding: text, as: UTF8.self))
            else { return false }
            switch order {
            case .less: return number < bound
            case .atMost: return number <= bound
            case .greater: return number > bound
            case .atLeast: return number >= bound
            }
        case .text(let order, let bound):
            return bound.withUnsafeUTF8 { bound in
                switch order {
                case .less: text.lexicographicallyPrecedes(bound)
                case .atMost: !bound.lexicographicallyPrecedes(text)
                case .greater: bound.lexicographicallyPrecedes(text)
                case .atLeast: !text.lexicographicallyPrecedes(bound)
                }
            }
        case .address(let range): return range.contains(text)
        }
    }

    /// Matches by going back to the last star only: linear in practice, at worst text times pattern.
    private static func wildcard(_ text: UnsafeRawBufferPointer, _ pattern: UnsafeRawBufferPointer) -> Bool {
        var t = 0
        var p = 0
        var starPattern = -1
        var starText = 0
        while t < text.count {
            if p < pattern.count, pattern[p] == 0x2A {
                starPattern = p
                starText = t
                p += 1
                continue
            }
            if p < pattern.count {
                if pattern[p] == 0x3F {
                    t += 1
                    while t < text.count, text[t] & 0xC0 == 0x80 { t += 1 }
                    p += 1
                    continue
                }
                let isEscaped = pattern[p] == 0x5C && p + 1 < pattern.count
                if pattern[isEscaped ? p + 1 : p] == text[t] {
                    t += 1
                    p += isEscaped ? 2 : 1
                    continue
                }
            }
            guard starPattern >= 0 else { return false }
            starText += 1
            t = starText
            p = starPattern + 1
        }
        while p < pattern.count, pattern[p] == 0x2A { p += 1 }
        return p == pattern.count
    }

    /// Bytes that say exactly this test.
    func encode(into bytes: inout [UInt8]) {
        func add(_ tag: UInt8, _ text: String) {
            bytes.append(tag)
            withUnsafeBytes(of: UInt32(truncatingIfNeeded: text.utf8.count).littleEndian) {
                bytes.append(contentsOf: $0)
            }
            bytes.append(contentsOf: text.utf8)
        }
        switch self {
        case .exists: add(1, "")
        case .equals(let value): add(2, value)
        case .prefix(let value): add(3, value)
        case .suffix(let value): add(4, value)
        case .contains(let value): add(5, value)
        case .wildcard(let value): add(6, value)
        case .number(let order, let bound): add(16 + order.rawValue, "\(bound)")
        case .text(let order, let bound): add(32 + order.rawValue, bound)
        case .address(let range): add(48, range.text)
        }
    }
}

/// IP addresses that share their first bits: CIDR notation (RFC 4632, RFC 4291 section 2.3). IPv4 addresses written as IPv6
/// (`::ffff:192.0.2.1`) count as IPv4.
package struct AddressRange: Sendable, Hashable {
    private let isV4: Bool
    private let high: UInt64
    private let low: UInt64
    private let bits: Int

    /// Reads `10.0.0.0/8`, `2001:db8::/32` or a lone address; nil for anything else. Bits behind the prefix are ignored.
    package init?(_ text: String) {
        let utf8 = Array(text.utf8)
        let slash = utf8.firstIndex(of: 0x2F) ?? utf8.count
        guard let address = utf8[..<slash].withUnsafeBytes(Self.parse) else { return nil }
        let width = address.isV4 ? 32 : 128
        var bits = width
        if slash < utf8.count {
            let digits = utf8[(slash + 1)...]
            guard (1...3).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
                let count = Int(String(decoding: digits, as: UTF8.self)), count <= width
            else { return nil }
            bits = count
        }
        isV4 = address.isV4
        self.bits = bits
        (high, low) = Self.masked(address.high, address.low, address.isV4 ? bits + 96 : bits)
    }

    package var text: String { "\(isV4 ? 4 : 6) \(high) \(low) \(bits)" }

    package func contains(_ text: UnsafeRawBufferPointer) -> Bool {
        guard let address = Self.parse(text), address.isV4 == isV4 else { return false }
        return Self.masked(address.high, address.low, isV4 ? bits + 96 : bits) == (high, low)
    }

    private static func masked(_ high: UInt64, _ low: UInt64, _ bits: Int) -> (UInt64, UInt64) {
        (high & mask(min(bits, 64)), low & mask(max(0, bits - 64)))
    }

    private static func mask(_ bits: Int) -> UInt64 { bits == 0 ? 0 : ~0 << UInt64(64 - bits) }

    private static func parse(_ text: UnsafeRawBufferPointer) -> (isV4: Bool, high: UInt64, low: UInt64)? {
        guard (2...45).contains(text.count) else { return nil }
        if !text.contains(0x3A) { return four(text, 0).map { (true, 0, UInt64($0)) } }
        var groups: [UInt16] = []
        var gap: Int?
        var index = 0
        if text[0] == 0x3A {
            guard text[1] == 0x3A else { return nil }
            gap = 0
            index = 2
        }
        while index < text.count {
            guard groups.count < 8 else { return nil }
            var value: UInt32 = 0
            let start = index
            while index < text.count, let digit = JSONText.hex(text[index]) {
                value = value << 4 | UInt32(digit)
                index += 1
                if index - start > 4 { return nil }
            }
            if index < text.count, text[index] == 0x2E {
                guard groups.count <= 6, let address = four(text, start) else { return nil }
                groups.append(UInt16(truncatingIfNeeded: address >> 16))
                groups.append(UInt16(truncatingIfNeeded: address))
                index = text.count
                break
            }
            guard index > start else { return nil }
            groups.append(UInt16(truncatingIfNeeded: value))
            guard index < text.count else { break }
            guard text[index] == 0x3A, index + 1 < text.count else { return nil }
            index += 1
            if text[index] == 0x3A {
                guard gap == nil else { return nil }
                gap = groups.count
                index += 1
            }
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: [UInt16](repeating: 0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        let high = groups[..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        let low = groups[4...].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        if high == 0, low >> 32 == 0xFFFF { return (true, 0, low & 0xFFFF_FFFF) }
        return (false, high, low)
    }

    private static func four(_ text: UnsafeRawBufferPointer, _ start: Int) -> UInt32? {
        var address: UInt32 = 0
        var index = start
        for part in 0..<4 {
            if part > 0 {
                guard index < text.count, text[index] == 0x2E else { return nil }
                index += 1
            }
            var value: UInt32 = 0
            let first = index
            while index < text.count, index - first < 3, (0x30...0x39).contains(text[index]) {
                value = value * 10 + UInt32(text[index] - 0x30)
                index += 1
            }
            guard index > first, value < 256 else { return nil }
            address = address << 8 | value
        }
        return index == text.count ? address : nil
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes of another buffer stand somewhere in a row. Looks for the last byte first: texts that differ late, as
    /// names with a common beginning do, are told apart early.
    package func contains(_ other: UnsafeRawBufferPointer) -> Bool {
        guard other.count <= count else { return false }
        guard other.count > 0, let base = baseAddress else { return true }
        let last = other[other.count - 1]
        let first = other[0]
        let spread = UInt64(last) &* 0x0101_0101_0101_0101
        var index = other.count - 1
        while index < count {
            // Eight at a time, as long as none of them is the last byte.
            while index + 8 <= count {
                let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self)) ^ spread
                let found = (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
                if found != 0 {
                    index += found.trailingZeroBitCount &>> 3
                    break
                }
                index += 8
            }
            guard index < count else { return false }
            let start = index - other.count + 1
            if self[index] == last, self[start] == first {
                var at = 1
                while at < other.count - 1, self[start + at] == other[at] { at += 1 }
                if at >= other.count - 1 { return true }
            }
            index += 1
        }
        return false
    }
}
