// SPDX-License-Identifier: Apache-2.0
//
// An entry (envelope and record) as a group of events keeps it: what the entry shares with others is said by numbers. A group has
// texts, numbered, and shapes (see EventShapes), numbered from 1; shape 0 is a record of one slot with nothing around it. An
// entry is then three runs of bytes:
//
//     codes   shape; the envelope's kind and owner, as a slot; related: 0, or 1 more than the zigzag of number minus related;
//             then for each slot: 0 and a length (the bytes are in `texts`); 1 (a GUID in small letters: 16 bytes of `fixed`);
//             2 and the zigzag of seconds minus the group's base (a time as EventTime writes it); 3 more than a text's number
//     texts   what no number stands for, end to end
//     fixed   GUIDs, 16 bytes each
//
// Numbers in codes are unsigned LEB128.

internal import EventRecord

/// What stands in codes instead of a text's number.
enum SlotCode {
    static let literal: UInt64 = 0
    static let guid: UInt64 = 1
    static let time: UInt64 = 2
    static let textsFrom: UInt64 = 3
}

/// Texts and shapes of a group, wherever they lie.
protocol GroupTexts {
    /// Added to the times in codes.
    var secondsBase: Int64 { get }
    func text(_ number: Int) -> UnsafeRawBufferPointer?
    /// A shape, as `ShapeBytes` reads it.
    func shape(_ number: Int) -> UnsafeRawBufferPointer?
}

/// A shape in bytes: slots u32, for each piece its end in the literal u32 (slots + 1 of them), the literal.
struct ShapeBytes {
    let bytes: UnsafeRawBufferPointer
    let slots: Int
    private let start: Int

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 8 else { return nil }
        slots = Int(bytes.u32(0))
        start = 8 + slots * 4
        guard slots <= EventShapes.slotsMax, start <= bytes.count,
            start + Int(bytes.u32(start - 4)) == bytes.count
        else { return nil }
        self.bytes = bytes
    }

    /// The piece before a slot, or the last one.
    @inline(__always)
    func piece(_ index: Int) -> UnsafeRawBufferPointer? {
        let from = index == 0 ? 0 : Int(bytes.u32(index * 4))
        let to = Int(bytes.u32(4 + index * 4))
        guard from <= to, start + to <= bytes.count else { return nil }
        return UnsafeRawBufferPointer(rebasing: bytes[start + from..<start + to])
    }

    static func encode(_ shape: EventShape) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: shape.slots.count))
        for end in shape.pieceEnds { bytes.append(littleEndian: UInt32(truncatingIfNeeded: end)) }
        bytes.append(contentsOf: shape.literal)
        return bytes
    }
}

/// Reads entries from their tokens, one after the other.
struct EntryReader {
    let codes: UnsafeRawBufferPointer
    let texts: UnsafeRawBufferPointer
    let fixed: UnsafeRawBufferPointer
    private(set) var codeAt = 0
    private(set) var textAt = 0
    private(set) var fixedAt = 0

    init(codes: UnsafeRawBufferPointer, texts: UnsafeRawBufferPointer, fixed: UnsafeRawBufferPointer) {
        self.codes = codes
        self.texts = texts
        self.fixed = fixed
    }

    mutating func move(code: Int, text: Int, fixed: Int) {
        codeAt = code
        textAt = text
        fixedAt = fixed
    }

    /// What a slot holds.
    enum Value {
        case text(Int)
        case literal(UnsafeRawBufferPointer)
        case guid(UnsafeRawBufferPointer)
        case time(Int64)
    }

    /// The entry's shape; nil at the end, or when the bytes are not what they should be.
    @inline(__always)
    mutating func shape() -> Int? { varint().map { Int(truncatingIfNeeded: $0 & 0xFFFF_FFFF) } }

    /// What is behind the envelope's slot.
    @inline(__always)
    mutating func related(_ number: UInt64) -> UInt64? {
        guard let value = varint() else { return nil }
        return value == 0 ? 0 : UInt64(bitPattern: Int64(bitPattern: number) &- Self.unzigzag(value - 1))
    }

    @inline(__always)
    mutating func value<T: GroupTexts>(_ group: T) -> Value? {
        guard let code = varint() else { return nil }
        switch code {
        case SlotCode.literal:
            guard let length = varint(), length <= UInt64(texts.count - textAt) else { return nil }
            let end = textAt + Int(length)
            defer { textAt = end }
            return .literal(UnsafeRawBufferPointer(rebasing: texts[textAt..<end]))
        case SlotCode.guid:
            guard fixedAt + 16 <= fixed.count else { return nil }
            defer { fixedAt += 16 }
            return .guid(UnsafeRawBufferPointer(rebasing: fixed[fixedAt..<fixedAt + 16]))
        case SlotCode.time:
            guard let delta = varint() else { return nil }
            return .time(group.secondsBase &+ Self.unzigzag(delta))
        default: return .text(Int(truncatingIfNeeded: (code - SlotCode.textsFrom) & 0xFFFF_FFFF))
        }
    }

    /// Reads the next value into a place that is there; false when the bytes are not what they should be.
    @inline(__always)
    mutating func value<T: GroupTexts>(_ group: T, _ value: inout Value) -> Bool {
        guard let next = self.value(group) else { return false }
        value = next
        return true
    }

    /// Passes so many values; false when the bytes are not what they should be.
    @inline(__always)
    mutating func pass(slots: Int) -> Bool {
        for _ in 0..<slots {
            guard let code = varint() else { return false }
            guard code < SlotCode.textsFrom else { continue }
            switch code {
            case SlotCode.literal:
                guard let length = varint(), length <= UInt64(texts.count - textAt) else { return false }
                textAt += Int(length)
            case SlotCode.guid:
                guard fixedAt + 16 <= fixed.count else { return false }
                fixedAt += 16
            default:
                guard varint() != nil else { return false }
            }
        }
        return true
    }

    /// Appends the next entry; false when the bytes are not what they should be.
    mutating func entry<T: GroupTexts>(_ group: T, number: UInt64, to out: inout [UInt8]) -> Bool {
        guard let shapeNumber = shape(), let envelope = value(group), append(envelope, group, &out),
            let related = related(number)
        else { return false }
        out.append(littleEndian: related)
        if shapeNumber == 0 {
            guard let record = value(group) else { return false }
            return append(record, group, &out)
        }
        guard let bytes = group.shape(shapeNumber), let shape = ShapeBytes(bytes) else { return false }
        for slot in 0..<shape.slots {
            guard let piece = shape.piece(slot) else { return false }
            out.append(contentsOf: piece)
            guard let value = value(group), append(value, group, &out) else { return false }
        }
        guard let last = shape.piece(shape.slots) else { return false }
        out.append(contentsOf: last)
        return true
    }

    /// Passes the next entry; false when the bytes are not what they should be.
    mutating func pass<T: GroupTexts>(_ group: T) -> Bool {
        guard let shapeNumber = shape(), value(group) != nil, varint() != nil else { return false }
        var slots = 1
        if shapeNumber > 0 {
            guard let bytes = group.shape(shapeNumber), let shape = ShapeBytes(bytes) else { return false }
            slots = shape.slots
        }
        for _ in 0..<slots where value(group) == nil { return false }
        return true
    }

    private func append<T: GroupTexts>(_ value: Value, _ group: T, _ out: inout [UInt8]) -> Bool {
        switch value {
        case .text(let number):
            guard let text = group.text(number) else { return false }
            out.append(contentsOf: text)
        case .literal(let text): out.append(contentsOf: text)
        case .guid(let bytes):
            withUnsafeTemporaryAllocation(byteCount: 36, alignment: 1) { text in
                GUIDText.write(bytes, to: text)
                out.append(contentsOf: text)
            }
        case .time(let seconds):
            withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { text in
                if let base = text.baseAddress { EventTime.write(seconds, to: base) }
                out.append(contentsOf: text)
            }
        }
        return true
    }

    @inline(__always)
    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while codeAt < codes.count, shift < 64 {
            let byte = codes[codeAt]
            codeAt += 1
            value |= UInt64(byte & 0x7F) &<< shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }

    @inline(__always)
    static func unzigzag(_ value: UInt64) -> Int64 {
        Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    @inline(__always)
    static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value &<< 1 ^ value &>> 63) }
}

/// GUIDs in small letters, `8-4-4-4-12`, and their 16 bytes.
enum GUIDText {
    /// Reads 36 letters; false for anything that `write` would not give back.
    static func read(_ text: UnsafeRawBufferPointer, to out: UnsafeMutablePointer<UInt8>) -> Bool {
        guard text.count == 36, text[8] == 0x2D, text[13] == 0x2D, text[18] == 0x2D, text[23] == 0x2D else {
            return false
        }
        var at = 0
        var faults: UInt8 = 0
        for index in 0..<16 {
            let (high, low) = (nibble(text[at]), nibble(text[at + 1]))
            faults |= high | low
            out[index] = high << 4 | low & 15
            at += 2
            if at == 8 || at == 13 || at == 18 || at == 23 { at += 1 }
        }
        return faults & 0xF0 == 0
    }

    static func write(_ bytes: UnsafeRawBufferPointer, to out: UnsafeMutableRawBufferPointer) {
        var at = 0
        for byte in bytes {
            out[at] = letter(byte >> 4)
            out[at + 1] = letter(byte & 15)
            at += 2
            if at == 8 || at == 13 || at == 18 || at == 23 {
                out[at] = 0x2D
                at += 1
            }
        }
    }

    @inline(__always)
    private static func nibble(_ letter: UInt8) -> UInt8 {
        if letter &- 0x30 < 10 { return letter &- 0x30 }
        return letter &- 0x61 < 6 ? letter &- 0x61 + 10 : 0xFF
    }

    @inline(__always)
    private static func letter(_ nibble: UInt8) -> UInt8 { nibble < 10 ? 0x30 + nibble : 0x57 + nibble }
}
