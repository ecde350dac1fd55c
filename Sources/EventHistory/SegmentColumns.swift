// SPDX-License-Identifier: Apache-2.0
//
// The columns of a segment, encoded and read; docs/history-format.md has each byte. Rows are a segment's events in the order of
// time, then number. All little endian.

internal import EventRecord

/// Rows that are stored together.
let pieceRows = 1 << 16
/// Rows that the inverted index tells apart: for each text it lists the zones in which it occurs.
let zoneRows = 1 << 12

/// Texts in a row: count u32, for each its end u32, the bytes. The numbers begin somewhere in the buffer.
struct TextList {
    let bytes: UnsafeRawBufferPointer
    let count: Int
    private let start: Int
    private let from: Int

    init?(_ bytes: UnsafeRawBufferPointer, at: Int = 0) {
        guard bytes.count >= at + 4 else { return nil }
        count = Int(bytes.u32(at))
        from = at + 4
        start = from + count * 4
        guard start <= bytes.count else { return nil }
        self.bytes = bytes
    }

    @inline(__always)
    func text(_ index: Int) -> UnsafeRawBufferPointer? {
        guard index < count else { return nil }
        let begin = index == 0 ? 0 : Int(bytes.u32(from + index * 4 - 4))
        let end = Int(bytes.u32(from + index * 4))
        guard begin <= end, start + end <= bytes.count else { return nil }
        return UnsafeRawBufferPointer(rebasing: bytes[start + begin..<start + end])
    }

    /// The place of a text in an ascending list.
    func find(_ wanted: UnsafeRawBufferPointer) -> Int? {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            guard let text = text(middle) else { return nil }
            if text.lexicographicallyPrecedes(wanted) { low = middle + 1 } else { high = middle }
        }
        guard let text = text(low), TextHash.isEqual(text, wanted) else { return nil }
        return low
    }

    static func encode(_ count: Int, into bytes: inout [UInt8], _ text: (Int) -> UnsafeRawBufferPointer) {
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: count))
        var end = 0
        for index in 0..<count {
            end += text(index).count
            bytes.append(littleEndian: UInt32(truncatingIfNeeded: end))
        }
        bytes.reserveCapacity(bytes.count + end)
        for index in 0..<count { bytes.append(contentsOf: text(index)) }
    }
}

/// How often each text of a column occurs, and in which zones: texts u32, for each its events u32, for each the end of its zones
/// u32, the zones u16, ascending.
struct ZoneIndex {
    let bytes: UnsafeRawBufferPointer
    let count: Int

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 4 else { return nil }
        count = Int(bytes.u32(0))
        guard bytes.count >= 4 + count * 8 else { return nil }
        self.bytes = bytes
    }

    @inline(__always)
    func events(_ text: Int) -> Int { Int(bytes.u32(4 + text * 4)) }

    func forEachZone(_ text: Int, _ body: (Int) -> Void) {
        let ends = 4 + count * 4
        let begin = text == 0 ? 0 : Int(bytes.u32(ends + text * 4 - 4))
        let end = Int(bytes.u32(ends + text * 4))
        let from = 4 + count * 8
        guard begin <= end, from + end * 2 <= bytes.count else { return }
        for index in begin..<end { body(Int(bytes.u16(from + index * 2))) }
    }

    /// - Parameter codes: for each row 0, or 1 more than its text's place.
    static func encode(_ codes: [UInt32], texts: Int) -> [UInt8] {
        var events = [UInt32](repeating: 0, count: texts + 1)
        var zones = [UInt32](repeating: 0, count: texts + 1)
        var last = [Int32](repeating: -1, count: texts + 1)
        for (row, code) in codes.enumerated() {
            let code = Int(code)
            events[code] += 1
            let zone = Int32(truncatingIfNeeded: row / zoneRows)
            if last[code] != zone {
                last[code] = zone
                zones[code] += 1
            }
        }
        var bytes: [UInt8] = []
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: texts))
        var ends: [Int] = [0]
        for code in 1..<max(1, texts + 1) { bytes.append(littleEndian: events[code]) }
        for code in 1..<max(1, texts + 1) {
            ends.append((ends.last ?? 0) + Int(zones[code]))
            bytes.append(littleEndian: UInt32(truncatingIfNeeded: ends[code]))
        }
        var places = [UInt16](repeating: 0, count: ends.last ?? 0)
        for code in last.indices { last[code] = -1 }
        for (row, code) in codes.enumerated() where code > 0 {
            let code = Int(code)
            let zone = Int32(truncatingIfNeeded: row / zoneRows)
            if last[code] != zone {
                last[code] = zone
                places[ends[code - 1]] = UInt16(truncatingIfNeeded: zone)
                ends[code - 1] += 1
            }
        }
        for place in places { bytes.append(littleEndian: place) }
        return bytes
    }
}

/// Codes of a piece's rows, one, two or four bytes each.
enum CodePiece {
    static func width(texts: Int) -> Int { texts < 1 << 8 ? 1 : texts < 1 << 16 ? 2 : 4 }

    /// Whether there is a code for each row, and none above the number of texts.
    static func isValid(_ bytes: UnsafeRawBufferPointer, rows: Int, texts: Int) -> Bool {
        guard rows > 0 else { return bytes.isEmpty }
        let width = bytes.count / rows
        guard bytes.count == rows * width, width == 1 || width == 2 || width == 4 else { return false }
        var most = 0
        switch width {
        case 1:
            var byte: UInt8 = 0
            for code in bytes { byte = max(byte, code) }
            most = Int(byte)
        default: for row in 0..<rows { most = max(most, code(bytes, row, width: width)) }
        }
        return most <= texts
    }

    static func encode(_ codes: ArraySlice<UInt32>, width: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(codes.count * width)
        switch width {
        case 1: for code in codes { bytes.append(UInt8(truncatingIfNeeded: code)) }
        case 2: for code in codes { bytes.append(littleEndian: UInt16(truncatingIfNeeded: code)) }
        default: for code in codes { bytes.append(littleEndian: code) }
        }
        return bytes
    }

    @inline(__always)
    static func code(_ bytes: UnsafeRawBufferPointer, _ row: Int, width: Int) -> Int {
        switch width {
        case 1: Int(bytes[row])
        case 2: Int(bytes.u16(row * 2))
        default: Int(bytes.u32(row * 4))
        }
    }
}

/// An index from 32-bit hashes to rows: rows u32, bucket bits B u32, for each of 2^B buckets and the end its offset from the
/// first bucket u32, the buckets. A bucket holds the hashes whose upper B bits are its number, ascending: the rest of the hash
/// (as many whole bytes as it needs), then for one row varint 2 x row, for more varint 2 x count + 1, varint bytes of what
/// follows, the rows ascending as differences.
enum HashIndex {
    static func encode(_ rows: inout [HashedRow]) -> [UInt8] {
        sort(&rows)
        var bits = 0
        while bits < 24, rows.count >> bits > 16 { bits += 1 }
        let suffixBytes = (32 - bits + 7) / 8
        var offsets: [UInt32] = []
        offsets.reserveCapacity(1 << bits + 1)
        var lists: [UInt8] = []
        lists.reserveCapacity(rows.count * (suffixBytes + 4))
        var list: [UInt8] = []
        var index = 0
        while index < rows.count {
            let hash = rows[index].hash
            var end = index + 1
            while end < rows.count, rows[end].hash == hash { end += 1 }
            let bucket = bits == 0 ? 0 : Int(hash >> UInt32(32 - bits))
            while offsets.count <= bucket { offsets.append(UInt32(truncatingIfNeeded: lists.count)) }
            for byte in 0..<suffixBytes { lists.append(UInt8(truncatingIfNeeded: hash >> UInt32(byte * 8))) }
            if end == index + 1 {
                lists.append(varint: UInt64(rows[index].row) << 1)
            } else {
                list.removeAll(keepingCapacity: true)
                var before: UInt32 = 0
                var count = 0
                for at in index..<end where at == index || rows[at].row != before {
                    list.append(varint: UInt64(rows[at].row - before))
                    before = rows[at].row
                    count += 1
                }
                lists.append(varint: UInt64(count) << 1 | 1)
                lists.append(varint: UInt64(list.count))
                lists.append(contentsOf: list)
            }
            index = end
        }
        while offsets.count <= 1 << bits { offsets.append(UInt32(truncatingIfNeeded: lists.count)) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 + offsets.count * 4 + lists.count)
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: rows.count))
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: bits))
        for offset in offsets { bytes.append(littleEndian: offset) }
        bytes.append(contentsOf: lists)
        return bytes
    }

    /// By hash, then row, eleven bits of the hash at a time; rows with equal hashes keep their order.
    private static func sort(_ rows: inout [HashedRow]) {
        var other = [HashedRow](repeating: HashedRow(row: 0, hash: 0), count: rows.count)
        for shift in [UInt32(0), 11, 22] {
            var starts = [Int](repeating: 0, count: 2049)
            for row in rows { starts[Int(row.hash >> shift & 2047) + 1] += 1 }
            for bucket in 1...2048 { starts[bucket] += starts[bucket - 1] }
            rows.withUnsafeBufferPointer { rows in
                other.withUnsafeMutableBufferPointer { other in
                    for row in rows {
                        let bucket = Int(row.hash >> shift & 2047)
                        other[starts[bucket]] = row
                        starts[bucket] += 1
                    }
                }
            }
            swap(&rows, &other)
        }
    }

    /// The rows of a hash, ascending; none when no event has it. nil when the index is malformed.
    static func rows(_ hash: UInt32, in bytes: UnsafeRawBufferPointer) -> [UInt32]? {
        var found: [UInt32] = []
        guard let shape = Shape(bytes) else { return nil }
        let bucket = shape.bits == 0 ? 0 : Int(hash >> UInt32(32 - shape.bits))
        let isWhole = shape.forEach(inBucket: bucket) { other, rows in
            if other == hash { rows.forEach { found.append($0) } }
        }
        return isWhole ? found : nil
    }

    /// Gives every pair; false when the index is malformed.
    static func forEach(in bytes: UnsafeRawBufferPointer, _ body: (HashedRow) -> Void) -> Bool {
        guard let shape = Shape(bytes) else { return false }
        for bucket in 0..<1 << shape.bits {
            let isWhole = shape.forEach(inBucket: bucket) { hash, rows in
                rows.forEach { body(HashedRow(row: $0, hash: hash)) }
            }
            if !isWhole { return false }
        }
        return true
    }

    /// The rows of one hash, not yet decoded.
    struct Rows {
        let bytes: UnsafeRawBufferPointer
        let single: UInt32?
        let from: Int
        let count: Int

        func forEach(_ body: (UInt32) -> Void) {
            if let single { return body(single) }
            var at = from
            var row: UInt32 = 0
            for _ in 0..<count {
                guard let delta = HashIndex.varint(bytes, &at) else { return }
                row = row &+ UInt32(truncatingIfNeeded: delta)
                body(row)
            }
        }
    }

    private struct Shape {
        let bytes: UnsafeRawBufferPointer
        let bits: Int
        let suffixBytes: Int
        let start: Int

        init?(_ bytes: UnsafeRawBufferPointer) {
            guard bytes.count >= 16 else { return nil }
            bits = Int(bytes.u32(4))
            guard bits <= 24 else { return nil }
            suffixBytes = (32 - bits + 7) / 8
            start = 8 + (1 << bits + 1) * 4
            guard start <= bytes.count else { return nil }
            self.bytes = bytes
        }

        func forEach(inBucket bucket: Int, _ body: (UInt32, Rows) -> Void) -> Bool {
            var at = start + Int(bytes.u32(8 + bucket * 4))
            let end = start + Int(bytes.u32(12 + bucket * 4))
            guard end <= bytes.count else { return false }
            let upper = bits == 0 ? 0 : UInt32(bucket) << UInt32(32 - bits)
            let mask = bits == 0 ? UInt32.max : UInt32.max >> UInt32(bits)
            while at < end {
                guard at + suffixBytes < end else { return false }
                var suffix: UInt32 = 0
                for byte in 0..<suffixBytes { suffix |= UInt32(bytes[at + byte]) << UInt32(byte * 8) }
                at += suffixBytes
                let hash = upper | suffix & mask
                guard let head = HashIndex.varint(bytes, &at) else { return false }
                if head & 1 == 0 {
                    body(hash, Rows(bytes: bytes, single: UInt32(truncatingIfNeeded: head >> 1), from: at, count: 1))
                } else {
                    guard let length = HashIndex.varint(bytes, &at), length <= UInt64(max(0, end - at)),
                        head >> 1 <= length
                    else { return false }
                    body(hash, Rows(bytes: bytes, single: nil, from: at, count: Int(head >> 1)))
                    at += Int(length)
                }
            }
            return true
        }
    }

    @inline(__always)
    private static func varint(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while at < bytes.count, shift < 64 {
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7F) &<< shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }
}

/// Pieces of the columns that are numbers. Stored as differences, kept in memory as what they stand for.
enum NumberPiece {
    /// Times: width u32 (4 or 8), 0 u32, the first i64, for each row the difference from the one before, in that width.
    static func encode(times: ArraySlice<Int64>) -> [UInt8] {
        let first = times.first ?? 0
        var isNarrow = true
        var before = first
        for time in times {
            if time &- before > Int64(UInt32.max) || time &- before < 0 { isNarrow = false }
            before = time
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16 + times.count * (isNarrow ? 4 : 8))
        bytes.append(littleEndian: UInt32(isNarrow ? 4 : 8))
        bytes.append(littleEndian: UInt32(0))
        bytes.append(littleEndian: first)
        before = first
        for time in times {
            if isNarrow {
                bytes.append(littleEndian: UInt32(truncatingIfNeeded: time - before))
            } else {
                bytes.append(littleEndian: time &- before)
            }
            before = time
        }
        return bytes
    }

    /// The times, i64 each.
    static func times(_ raw: UnsafeRawBufferPointer, rows: Int) -> [UInt8]? {
        guard raw.count >= 16 else { return nil }
        let width = Int(raw.u32(0))
        guard width == 4 || width == 8, raw.count == 16 + rows * width else { return nil }
        var time = raw.i64(8)
        return [UInt8](unsafeUninitializedCapacity: rows * 8) { buffer, count in
            let out = UnsafeMutableRawBufferPointer(buffer)
            for row in 0..<rows {
                time &+= width == 4 ? Int64(raw.u32(16 + row * 4)) : raw.i64(16 + row * 8)
                out.storeBytes(of: time.littleEndian, toByteOffset: row * 8, as: Int64.self)
            }
            count = rows * 8
        }
    }

    /// Words, u32 each: for each the zigzag of its difference from what is expected: 1 more than the one before, of the first
    /// the row itself.
    static func encode(words: ArraySlice<UInt32>, expected: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(words.count * 4)
        var expected = expected
        for word in words {
            let difference = Int32(truncatingIfNeeded: Int64(word) - Int64(expected))
            bytes.append(littleEndian: UInt32(bitPattern: difference &<< 1 ^ difference &>> 31))
            expected = word &+ 1
        }
        return bytes
    }

    static func words(_ raw: UnsafeRawBufferPointer, rows: Int, expected: UInt32) -> [UInt8]? {
        guard raw.count == rows * 4 else { return nil }
        var expected = expected
        return [UInt8](unsafeUninitializedCapacity: rows * 4) { buffer, count in
            let out = UnsafeMutableRawBufferPointer(buffer)
            for row in 0..<rows {
                let zigzag = raw.u32(row * 4)
                let word = expected &+ (zigzag >> 1 ^ (0 &- (zigzag & 1)))
                out.storeBytes(of: word.littleEndian, toByteOffset: row * 4, as: UInt32.self)
                expected = word &+ 1
            }
            count = rows * 4
        }
    }
}
