// SPDX-License-Identifier: Apache-2.0
//
// JSON (RFC 8259), read in place. Texts are passed eight bytes at a time: a word without a quote, a backslash, a control
// character or a byte above 0x7F is skipped whole. UTF-8 is checked as RFC 3629 gives it (no overlong forms, no surrogates,
// nothing above U+10FFFF). Containers are walked with a bit for each level, not by recursion.

/// Where a JSON value lies in the record, and whether it is a text with escapes. 8 bytes; length 0 means absent.
package struct JSONSpan: Sendable, Hashable {
    package var offset: UInt32
    private var lengthAndFlag: UInt32

    package static let absent = JSONSpan(offset: 0, length: 0, hasEscapes: false)

    package init(offset: Int, length: Int, hasEscapes: Bool) {
        self.offset = UInt32(truncatingIfNeeded: offset)
        lengthAndFlag = UInt32(truncatingIfNeeded: length) | (hasEscapes ? 0x8000_0000 : 0)
    }

    package var length: Int { Int(lengthAndFlag & 0x7FFF_FFFF) }
    package var hasEscapes: Bool { lengthAndFlag & 0x8000_0000 != 0 }
    package var isPresent: Bool { lengthAndFlag != 0 }
    /// The value's bytes, a text's quotes included.
    package var range: Range<Int> { Int(offset)..<Int(offset) + length }
}

/// Walks over JSON, checking every byte that it passes.
struct JSONCursor {
    /// Levels of arrays and objects inside one another.
    static let depthMax = 64

    let base: UnsafeRawPointer
    let count: Int
    var position: Int

    init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0, end: Int? = nil) {
        // An empty buffer may have no address; nothing is ever loaded from the stand-in, as count is 0.
        let nothing: StaticString = ""
        base = bytes.baseAddress ?? UnsafeRawPointer(nothing.utf8Start)
        count = bytes.baseAddress == nil ? 0 : min(end ?? bytes.count, bytes.count)
        self.position = position
    }

    @inline(__always) func byte(_ index: Int) -> UInt8 { base.load(fromByteOffset: index, as: UInt8.self) }

    /// The byte at the position after white space, without taking it.
    @inline(__always)
    mutating func next() throws(EventError) -> UInt8 {
        while position < count {
            let byte = byte(position)
            if byte > 0x20 { return byte }
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else {
                throw EventError(.unexpectedByte, at: position)
            }
            position += 1
        }
        throw EventError(.unexpectedEnd, at: count)
    }

    /// Takes the byte if it is the next after white space.
    @inline(__always)
    mutating func take(_ expected: UInt8) throws(EventError) {
        guard try next() == expected else { throw EventError(.unexpectedByte, at: position) }
        position += 1
    }

    /// Passes a text; the position is at its opening quote.
    @inline(__always)
    mutating func text() throws(EventError) -> JSONSpan {
        let start = position
        var index = position + 1
        var hasEscapes = false
        while true {
            while index + 8 <= count {
                let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                let quote = word ^ 0x2222_2222_2222_2222
                let slash = word ^ 0x5C5C_5C5C_5C5C_5C5C
                let found =
                    ((quote &- 0x0101_0101_0101_0101) & ~quote | (slash &- 0x0101_0101_0101_0101) & ~slash
                        | (word &- 0x2020_2020_2020_2020) | word) & 0x8080_8080_8080_8080
                if found == 0 {
                    index += 8
                } else {
                    index += found.trailingZeroBitCount &>> 3
                    break
                }
            }
            guard index < count else { throw EventError(.unexpectedEnd, at: count) }
            let byte = byte(index)
            if byte == 0x22 {
                position = index + 1
                return JSONSpan(offset: start, length: position - start, hasEscapes: hasEscapes)
            }
            if byte == 0x5C {
                hasEscapes = true
                index = try escape(index)
            } else if byte >= 0x80 {
                index = try unicode(index)
            } else if byte < 0x20 {
                throw EventError(.controlCharacter, at: index)
            } else {
                index += 1
            }
        }
    }

    /// Passes any value after white space.
    @inline(__always)
    mutating func value() throws(EventError) -> JSONSpan {
        let first = try next()
        if first == 0x22 { return try text() }
        let start = position
        try scalarOrContainer(first)
        return JSONSpan(offset: start, length: position - start, hasEscapes: false)
    }

    /// Passes a value that is not a text.
    mutating func scalarOrContainer(_ first: UInt8) throws(EventError) {
        guard first == 0x7B || first == 0x5B else { return try scalar(first) }
        var isObject: UInt64 = 0  // one bit a level, the innermost lowest
        var level = 0
        while true {
            // A value begins here.
            let byte = try next()
            switch byte {
            case 0x22: _ = try text()
            case 0x7B, 0x5B:
                guard level < Self.depthMax else { throw EventError(.tooDeep, at: position) }
                position += 1
                level += 1
                isObject = isObject &<< 1 | (byte == 0x7B ? 1 : 0)
                let following = try next()
                if following == byte + 2 {
                    position += 1
                    level -= 1
                    isObject &>>= 1
                } else {
                    if byte == 0x7B { try key() }
                    continue
                }
            default: try scalar(byte)
            }
            // A value has ended.
            while true {
                if level == 0 { return }
                let inObject = isObject & 1 == 1
                let byte = try next()
                if byte == 0x2C {
                    position += 1
                    if inObject { try key() }
                    break
                }
                guard byte == (inObject ? 0x7D : 0x5D) else { throw EventError(.unexpectedByte, at: position) }
                position += 1
                level -= 1
                isObject &>>= 1
            }
        }
    }

    /// Passes a member's name and its colon.
    @inline(__always)
    @discardableResult
    mutating func key() throws(EventError) -> JSONSpan {
        guard try next() == 0x22 else { throw EventError(.unexpectedByte, at: position) }
        let name = try text()
        try take(0x3A)
        return name
    }

    private mutating func scalar(_ first: UInt8) throws(EventError) {
        switch first {
        case 0x74: try literal(0x6575_7274, 4)  // true
        case 0x6E: try literal(0x6C6C_756E, 4)  // null
        case 0x66:
            position += 1
            try literal(0x6573_6C61, 4)  // (f)alse
        case 0x2D, 0x30...0x39: try number()
        default: throw EventError(.unexpectedByte, at: position)
        }
    }

    private mutating func literal(_ word: UInt32, _ length: Int) throws(EventError) {
        guard position + length <= count else { throw EventError(.unexpectedEnd, at: count) }
        guard UInt32(littleEndian: base.loadUnaligned(fromByteOffset: position, as: UInt32.self)) == word else {
            throw EventError(.invalidLiteral, at: position)
        }
        position += length
    }

    private mutating func number() throws(EventError) {
        let start = position
        if byte(position) == 0x2D { position += 1 }
        guard position < count else { throw EventError(.unexpectedEnd, at: count) }
        if byte(position) == 0x30 {
            position += 1
        } else {
            try digits(start)
        }
        if position < count, byte(position) == 0x2E {
            position += 1
            try digits(start)
        }
        if position < count, byte(position) | 0x20 == 0x65 {
            position += 1
            if position < count, byte(position) == 0x2B || byte(position) == 0x2D { position += 1 }
            try digits(start)
        }
        if position < count, (0x30...0x39).contains(byte(position)) { throw EventError(.invalidNumber, at: start) }
    }

    private mutating func digits(_ start: Int) throws(EventError) {
        let first = position
        while position < count, byte(position) &- 0x30 < 10 { position += 1 }
        if position == first { throw EventError(.invalidNumber, at: start) }
    }

    private func escape(_ index: Int) throws(EventError) -> Int {
        guard index + 1 < count else { throw EventError(.unexpectedEnd, at: count) }
        switch byte(index + 1) {
        case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: return index + 2
        case 0x75:
            guard index + 6 <= count else { throw EventError(.unexpectedEnd, at: count) }
            for digit in index + 2..<index + 6 where JSONText.hex(byte(digit)) == nil {
                throw EventError(.invalidEscape, at: index)
            }
            return index + 6
        default: throw EventError(.invalidEscape, at: index)
        }
    }

    private func unicode(_ index: Int) throws(EventError) -> Int {
        let first = byte(index)
        let length: Int
        var low: UInt8 = 0x80
        var high: UInt8 = 0xBF
        switch first {
        case 0xC2...0xDF: length = 2
        case 0xE0: (length, low) = (3, 0xA0)
        case 0xED: (length, high) = (3, 0x9F)
        case 0xE1...0xEF: length = 3
        case 0xF0: (length, low) = (4, 0x90)
        case 0xF4: (length, high) = (4, 0x8F)
        case 0xF1...0xF3: length = 4
        default: throw EventError(.invalidUTF8, at: index)
        }
        guard index + length <= count else { throw EventError(.invalidUTF8, at: index) }
        guard (low...high).contains(byte(index + 1)) else { throw EventError(.invalidUTF8, at: index) }
        for follower in 2..<max(2, length) where byte(index + follower) & 0xC0 != 0x80 {
            throw EventError(.invalidUTF8, at: index)
        }
        return index + length
    }
}

/// The text of JSON texts.
package enum JSONText {
    static func hex(_ byte: UInt8) -> UInt16? {
        switch byte {
        case 0x30...0x39: UInt16(byte - 0x30)
        case 0x41...0x46: UInt16(byte - 0x41 + 10)
        case 0x61...0x66: UInt16(byte - 0x61 + 10)
        default: nil
        }
    }

    /// The UTF-8 that a text with escapes stands for; a surrogate without its other half becomes U+FFFD.
    ///
    /// The bytes are what stands between the quotes, already checked.
    static func decoded(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            guard byte == 0x5C, index + 1 < bytes.count else {
                out.append(byte)
                index += 1
                continue
            }
            switch bytes[index + 1] {
            case 0x62: out.append(0x08)
            case 0x66: out.append(0x0C)
            case 0x6E: out.append(0x0A)
            case 0x72: out.append(0x0D)
            case 0x74: out.append(0x09)
            case 0x75:
                guard let unit = unit(bytes, index) else { return out }
                index += 6
                var scalar = UInt32(unit)
                if (0xD800..<0xDC00).contains(unit), let low = self.unit(bytes, index), (0xDC00..<0xE000).contains(low)
                {
                    scalar = 0x10000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) - 0xDC00)
                    index += 6
                }
                let character = Unicode.Scalar(scalar) ?? "\u{FFFD}"
                out.append(contentsOf: UTF8.encode(character) ?? UTF8.encodedReplacementCharacter)
                continue
            case let other: out.append(other)
            }
            index += 2
        }
        return out
    }

    private static func unit(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> UInt16? {
        guard index + 6 <= bytes.count, bytes[index] == 0x5C, bytes[index + 1] == 0x75 else { return nil }
        var value: UInt16 = 0
        for digit in index + 2..<index + 6 {
            guard let nibble = hex(bytes[digit]) else { return nil }
            value = value << 4 | nibble
        }
        return value
    }
}
