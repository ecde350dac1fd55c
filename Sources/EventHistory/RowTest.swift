// SPDX-License-Identifier: Apache-2.0
//
// A query as columns can decide it. A filter becomes a test over codes: each comparison is made once for each text of a column's
// dictionary, not for each event. What columns do not know is `maybe`; a test without it is exact, and whoever counts then never
// looks at a record. Tests are evaluated for a zone of rows at once, sixty-four rows a word.

internal import EventRecord

/// What has columns: a segment, or a view of events that are in none yet.
protocol ColumnSource {
    var events: Int { get }
    /// Gives each text of a column with its code (1 more than its number) to the body.
    func forEachText(
        _ column: EventColumn, _ body: (Int, UnsafeRawBufferPointer) -> Void
    ) throws(HistoryError)
    /// The code of a text in a column.
    func code(_ column: EventColumn, of text: UnsafeRawBufferPointer) throws(HistoryError) -> Int?
    func textCount(_ column: EventColumn) throws(HistoryError) -> Int
    /// How many events have a code; nil when that is not known without counting.
    func count(_ column: EventColumn, code: Int) throws(HistoryError) -> Int?
    /// Marks the zones in which a code occurs.
    func addZones(_ column: EventColumn, code: Int, to zones: inout [UInt64]) throws(HistoryError)
    /// Rows that may have one of the hashes, ascending.
    func rows(_ column: EventColumn, hashes: [UInt32]) throws(HistoryError) -> [UInt32]
    /// Rows in a time, both ends inclusive; what has no time stands at 0.
    func rows(in times: ClosedRange<Int64>) throws(HistoryError) -> RowTest
    /// Whether an event may stand at 0 because it has no time.
    var mayLackTimes: Bool { get }
    /// The times of rows that lie in one piece.
    func seconds(_ rows: Range<Int>) throws(HistoryError) -> [Int64]
    /// Gives the codes of the rows to the body, which lie in one piece.
    func withCodes<R>(_ column: EventColumn, _ rows: Range<Int>, _ body: (CodeRows) -> R) throws(HistoryError) -> R
}

/// Codes of some rows in a column.
struct CodeRows {
    let bytes: UnsafeRawBufferPointer
    /// Place of the first row.
    let from: Int
    let width: Int

    @inline(__always)
    func code(_ index: Int) -> Int { CodePiece.code(bytes, from + index, width: width) }
}

/// A set of codes of one column.
struct CodeSet: Sendable {
    private(set) var bits: [UInt64]
    private(set) var count = 0
    /// The only one, when there is one.
    private(set) var only = 0

    /// Codes that there are, from 1 on.
    let textCount: Int

    init(textCount: Int) {
        self.textCount = textCount
        bits = [UInt64](repeating: 0, count: textCount / 64 + 1)
    }

    mutating func insert(_ code: Int) {
        bits[code >> 6] |= 1 << UInt64(code & 63)
        count += 1
        only = code
    }

    @inline(__always)
    func contains(_ code: Int) -> Bool { bits[code >> 6] & 1 << UInt64(code & 63) != 0 }

    func forEach(_ body: (Int) throws(HistoryError) -> Void) throws(HistoryError) {
        for (index, word) in bits.enumerated() {
            var word = word
            while word != 0 {
                try body(index * 64 + word.trailingZeroBitCount)
                word &= word - 1
            }
        }
    }
}

indirect enum RowTest: Sendable {
    case always
    case never
    /// Only the record knows.
    case maybe
    case codes(EventColumn, CodeSet)
    /// Rows in ascending order; all that pass, or all that may.
    case rows([UInt32], isExact: Bool)
    /// Rows of a range.
    case range(Range<Int>)
    case and([RowTest])
    case or([RowTest])
    case not(RowTest)

    /// Whether the test alone decides.
    var isExact: Bool {
        switch self {
        case .always, .never, .codes, .range: true
        case .maybe: false
        case .rows(_, let isExact): isExact
        case .and(let parts), .or(let parts): parts.allSatisfy(\.isExact)
        case .not(let part): part.isExact
        }
    }

    /// The same as a necessary condition: what is not known counts as true.
    var necessary: RowTest {
        switch self {
        case .maybe: .always
        case .and(let parts): Self.all(parts.map(\.necessary))
        case .or(let parts): Self.any(parts.map(\.necessary))
        case .not(let part): part.isExact ? self : .always
        default: self
        }
    }

    static func all(_ parts: [RowTest]) -> RowTest {
        var kept: [RowTest] = []
        for part in parts {
            switch part {
            case .always: continue
            case .never: return .never
            case .and(let inner): kept += inner
            default: kept.append(part)
            }
        }
        return kept.isEmpty ? .always : kept.count == 1 ? kept[0] : .and(kept)
    }

    static func any(_ parts: [RowTest]) -> RowTest {
        var kept: [RowTest] = []
        for part in parts {
            switch part {
            case .always: return .always
            case .never: continue
            case .or(let inner): kept += inner
            default: kept.append(part)
            }
        }
        return kept.isEmpty ? .never : kept.count == 1 ? kept[0] : .or(kept)
    }

    /// The zones in which rows can pass, a bit each.
    func zones<S: ColumnSource>(_ source: S) throws(HistoryError) -> [UInt64] {
        let count = (source.events + zoneRows - 1) / zoneRows
        let all = [UInt64](repeating: .max, count: count / 64 + 1)
        var none = [UInt64](repeating: 0, count: count / 64 + 1)
        switch self {
        case .always, .maybe, .not: return all
        case .never: return none
        case .codes(let column, let codes):
            if codes.count > 4096 { return all }
            try codes.forEach { (code) throws(HistoryError) in
                try source.addZones(column, code: code, to: &none)
            }
            return none
        case .rows(let rows, _):
            for row in rows {
                let zone = Int(row) / zoneRows
                none[zone >> 6] |= 1 << UInt64(zone & 63)
            }
            return none
        case .range(let range):
            guard !range.isEmpty else { return none }
            for zone in range.lowerBound / zoneRows...(range.upperBound - 1) / zoneRows {
                none[zone >> 6] |= 1 << UInt64(zone & 63)
            }
            return none
        case .and(let parts):
            var result = all
            for part in parts {
                let zones = try part.zones(source)
                for index in result.indices { result[index] &= zones[index] }
            }
            return result
        case .or(let parts):
            var result = none
            for part in parts {
                let zones = try part.zones(source)
                for index in result.indices { result[index] |= zones[index] }
            }
            return result
        }
    }

    /// The rows of a zone that pass, a bit each, in `zoneRows / 64` words.
    func evaluate<S: ColumnSource>(_ source: S, zone: Int) throws(HistoryError) -> ZoneBits {
        let start = zone * zoneRows
        let count = min(zoneRows, source.events - start)
        switch self {
        case .always, .maybe: return ZoneBits(first: count)
        case .never: return ZoneBits(first: 0)
        case .range(let range):
            var bits = ZoneBits(first: min(max(0, range.upperBound - start), count))
            let low = min(max(0, range.lowerBound - start), count)
            if low > 0 { bits.subtract(ZoneBits(first: low)) }
            return bits
        case .rows(let rows, _):
            var bits = ZoneBits(first: 0)
            var low = 0
            var high = rows.count
            while low < high {
                let middle = (low + high) / 2
                if Int(rows[middle]) < start { low = middle + 1 } else { high = middle }
            }
            while low < rows.count, Int(rows[low]) < start + count {
                bits.insert(Int(rows[low]) - start)
                low += 1
            }
            return bits
        case .codes(let column, let set):
            return try source.withCodes(column, start..<start + count) { codes in
                if set.count == 1 { return ZoneBits(codes, count, only: set.only) }
                // Most often asked: whether there is any text.
                if set.count == set.textCount {
                    var bits = ZoneBits(first: count)
                    bits.subtract(ZoneBits(codes, count, only: 0))
                    return bits
                }
                return set.bits.withUnsafeBufferPointer { words in
                    ZoneBits(count) { index in
                        let code = codes.code(index)
                        return code >> 6 < words.count && words[code >> 6] & 1 << UInt64(code & 63) != 0
                    }
                }
            }
        case .and(let parts):
            var bits = try parts[0].evaluate(source, zone: zone)
            for part in parts.dropFirst() {
                if bits.isEmpty { return bits }
                bits.intersect(try part.evaluate(source, zone: zone))
            }
            return bits
        case .or(let parts):
            var bits = try parts[0].evaluate(source, zone: zone)
            for part in parts.dropFirst() { bits.unite(try part.evaluate(source, zone: zone)) }
            return bits
        case .not(let part):
            var bits = ZoneBits(first: count)
            bits.subtract(try part.evaluate(source, zone: zone))
            return bits
        }
    }
}

/// A bit for each row of a zone.
struct ZoneBits {
    private(set) var words: InlineArray<64, UInt64>

    /// The first so many rows.
    init(first count: Int) {
        words = InlineArray(repeating: 0)
        for index in 0..<count / 64 { words[index] = .max }
        if count % 64 > 0 { words[count / 64] = 1 << UInt64(count % 64) - 1 }
    }

    @inline(__always)
    init(_ count: Int, _ test: (Int) -> Bool) {
        words = InlineArray(repeating: 0)
        var index = 0
        for word in 0..<(count + 63) / 64 {
            var bits: UInt64 = 0
            for bit in 0..<min(64, count - index) {
                bits |= (test(index + bit) ? 1 : 0) &<< UInt64(bit)
            }
            words[word] = bits
            index += 64
        }
    }

    /// The rows that have a code. One and two bytes wide, codes are compared a word of eight bytes at a time.
    init(_ codes: CodeRows, _ count: Int, only code: Int) {
        switch codes.width {
        case 1:
            let spread = UInt64(truncatingIfNeeded: code & 0xFF) &* 0x0101_0101_0101_0101
            self.init(count, perWord: 8, from: codes.bytes, at: codes.from) { word in
                // The highest bit of each byte that is 0, then these bits side by side.
                let other = word ^ spread
                let zeroes = ~((other & 0x7F7F_7F7F_7F7F_7F7F &+ 0x7F7F_7F7F_7F7F_7F7F) | other) & 0x8080_8080_8080_8080
                return ((zeroes &>> 7) &* 0x0102_0408_1020_4080) &>> 56
            }
        case 2:
            let spread = UInt64(truncatingIfNeeded: code & 0xFFFF) &* 0x0001_0001_0001_0001
            self.init(count, perWord: 4, from: codes.bytes, at: codes.from * 2) { word in
                let other = word ^ spread
                let zeroes = ~((other & 0x7FFF_7FFF_7FFF_7FFF &+ 0x7FFF_7FFF_7FFF_7FFF) | other) & 0x8000_8000_8000_8000
                return (((zeroes &>> 15) &* 0x0001_0002_0004_0008) &>> 48) & 0xF
            }
        default:
            let wanted = UInt32(truncatingIfNeeded: code)
            self.init(count) { codes.bytes.u32((codes.from + $0) * 4) == wanted }
        }
    }

    /// - Parameter test: for each of so many codes in a word a bit, the first lowest.
    @inline(__always)
    private init(
        _ count: Int, perWord: Int, from bytes: UnsafeRawBufferPointer, at start: Int, _ test: (UInt64) -> UInt64
    ) {
        words = InlineArray(repeating: 0)
        var row = 0
        while row + 64 <= count {
            var bits: UInt64 = 0
            for step in 0..<64 / perWord {
                bits |= test(bytes.u64(start + row / perWord * 8 + step * 8)) &<< UInt64(step * perWord)
            }
            words[row / 64] = bits
            row += 64
        }
        // The last few, one by one.
        while row < count {
            var word: UInt64 = 0
            for byte in 0..<8 / perWord {
                word |= UInt64(bytes[start + row * (8 / perWord) + byte]) &<< UInt64(byte * 8)
            }
            if test(word) & 1 != 0 { words[row / 64] |= 1 << UInt64(row % 64) }
            row += 1
        }
    }

    var isEmpty: Bool {
        for index in 0..<64 where words[index] != 0 { return false }
        return true
    }

    var count: Int {
        var count = 0
        for index in 0..<64 { count += words[index].nonzeroBitCount }
        return count
    }

    mutating func insert(_ row: Int) { words[row >> 6] |= 1 << UInt64(row & 63) }
    mutating func intersect(_ other: ZoneBits) { for index in 0..<64 { words[index] &= other.words[index] } }
    mutating func unite(_ other: ZoneBits) { for index in 0..<64 { words[index] |= other.words[index] } }
    mutating func subtract(_ other: ZoneBits) { for index in 0..<64 { words[index] &= ~other.words[index] } }

    /// The rows, ascending.
    @inline(__always)
    func forEach(_ body: (Int) -> Void) {
        for index in 0..<64 {
            var word = words[index]
            while word != 0 {
                body(index * 64 + word.trailingZeroBitCount)
                word &= word &- 1
            }
        }
    }
}
