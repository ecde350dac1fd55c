// SPDX-License-Identifier: Apache-2.0
//
// The sealed segment, version 1; docs/history-format.md says the same at more length. All numbers little endian, all checksums
// XXH64 with seed 0. The file: header, directory, columns, blocks; every byte lies under one checksum.
//
//     header, 96 bytes
//        0  8  "CAIRNHIS"            48  8  directory bytes
//        8  4  version 1             56  8  directory checksum
//       12  4  flags, 0              64  8  earliest event time, seconds
//       16  8  first journal number  72  8  latest event time, seconds
//       24  8  one past the last     80  8  file bytes
//       32  4  events                88  8  checksum of bytes 0 to 88
//       36  4  columns
//       40  4  blocks
//       44  4  0
//     directory: for each column 32 bytes: id u16, encoding u16, u32 0, offset u64, bytes u64, checksum u64;
//                for each block 32 bytes: offset u64, compressed bytes u32, raw bytes u32, first event u32, events u32, checksum u64

internal import EventRecord

/// A sealed range of the journal, immutable: what its file's header and directory say. Columns and blocks are read when asked
/// for, and checked each time they come from disk.
final class HistorySegment: Sendable {
    /// Columns that are no attribute.
    enum Column {
        /// Encoding 2: width u32 (4 or 8), 0 u32, base i64, then for each row, oldest first, time minus base.
        static let time: UInt16 = 100
        /// Encoding 3: for each row the event's arrival index, u32.
        static let arrival: UInt16 = 101
        /// Encoding 3: for each arrival index the journal number minus the segment's first, u32.
        static let number: UInt16 = 102
    }

    enum Encoding {
        /// See `HashColumn`.
        static let hashes: UInt16 = 1
        static let times: UInt16 = 2
        static let words: UInt16 = 3
    }

    struct ColumnPlace: Sendable {
        var index: Int
        var offset: UInt64
        var bytes: Int
        var checksum: UInt64
    }

    struct BlockPlace: Sendable {
        var offset: UInt64
        var compressedBytes: UInt32
        var rawBytes: UInt32
        var firstEvent: UInt32
        var events: UInt32
        var checksum: UInt64
    }

    static let magic = Array("CAIRNHIS".utf8)
    static let headerBytes = 96
    static let version: UInt32 = 1

    let path: String
    let key: UInt64
    let first: UInt64
    let next: UInt64
    let events: Int
    let timeMin: Int64
    let timeMax: Int64
    let columns: [UInt16: ColumnPlace]
    let blocks: [BlockPlace]

    /// Opens a segment: reads and checks header and directory.
    ///
    /// - Parameter key: names the segment in the cache; no other open segment or chunk may have it.
    /// - Throws: `HistoryError.damaged` with the file and the place.
    init(_ path: String, key: UInt64) throws(HistoryError) {
        self.path = path
        self.key = key
        let size = try HistoryFiles.size(path)
        guard size >= Self.headerBytes else {
            throw .damaged("the file is too short for a segment", path, at: UInt64(size))
        }
        let header = try HistoryFiles.read(path, offset: 0, count: Self.headerBytes)
        guard Array(header[..<8]) == Self.magic else { throw .damaged("the file is no history segment", path, at: 0) }
        let words = header.withUnsafeBytes { raw in stride(from: 8, to: 96, by: 8).map { raw.u64($0) } }
        guard StableHash.xxh64(Array(header[..<88])) == words[10] else {
            throw .damaged("the header's checksum is wrong", path, at: 88)
        }
        guard words[0] & 0xFFFF_FFFF == UInt64(Self.version) else {
            throw HistoryError(
                .damaged, "the segment has a format that this version cannot read; use the version that wrote it",
                path: path, offset: 8)
        }
        guard words[9] == UInt64(size) else {
            throw .damaged("the file has not its written length", path, at: UInt64(size))
        }
        first = words[1]
        next = words[2]
        events = Int(words[3] & 0xFFFF_FFFF)
        let columnCount = Int(words[3] >> 32)
        let blockCount = Int(words[4] & 0xFFFF_FFFF)
        timeMin = Int64(bitPattern: words[7])
        timeMax = Int64(bitPattern: words[8])
        guard words[5] == UInt64(columnCount + blockCount) * 32, Int(words[5]) + Self.headerBytes <= size else {
            throw .damaged("the directory's length is wrong", path, at: 48)
        }
        let directory = try HistoryFiles.read(path, offset: UInt64(Self.headerBytes), count: Int(words[5]))
        guard StableHash.xxh64(directory) == words[6] else {
            throw .damaged("the directory's checksum is wrong", path, at: UInt64(Self.headerBytes))
        }
        (columns, blocks) = directory.withUnsafeBytes { raw in
            var columns: [UInt16: ColumnPlace] = [:]
            for index in 0..<columnCount {
                columns[raw.u16(index * 32)] = ColumnPlace(
                    index: index, offset: raw.u64(index * 32 + 8),
                    bytes: Int(truncatingIfNeeded: raw.u64(index * 32 + 16)),
                    checksum: raw.u64(index * 32 + 24))
            }
            let blocks = (0..<blockCount).map { index in
                let at = (columnCount + index) * 32
                return BlockPlace(
                    offset: raw.u64(at), compressedBytes: raw.u32(at + 8), rawBytes: raw.u32(at + 12),
                    firstEvent: raw.u32(at + 16), events: raw.u32(at + 20), checksum: raw.u64(at + 24))
            }
            return (columns, blocks)
        }
    }

    /// A column's bytes, checked.
    func column(_ id: UInt16, _ cache: HistoryCache) throws(HistoryError) -> [UInt8] {
        guard let place = columns[id] else { throw .damaged("a column is missing", path, at: UInt64(Self.headerBytes)) }
        return try cache.value(.init(owner: key, part: UInt32(id) | 0x8000_0000)) { () throws(HistoryError) in
            let bytes = try HistoryFiles.read(path, offset: place.offset, count: place.bytes)
            guard StableHash.xxh64(bytes) == place.checksum else {
                throw .damaged("a column's checksum is wrong", path, at: place.offset)
            }
            return bytes
        }
    }

    /// The entry with that arrival index.
    func entry(_ arrival: Int, _ cache: HistoryCache) throws(HistoryError) -> ArraySlice<UInt8> {
        var low = 0
        var high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if Int(blocks[middle].firstEvent) + Int(blocks[middle].events) <= arrival {
                low = middle + 1
            } else {
                high = middle
            }
        }
        guard low < blocks.count, Int(blocks[low].firstEvent) <= arrival else {
            throw .damaged("no block holds an event of the segment", path, at: UInt64(Self.headerBytes))
        }
        let place = blocks[low]
        let raw = try cache.value(.init(owner: key, part: UInt32(truncatingIfNeeded: low))) { () throws(HistoryError) in
            try block(low)
        }
        guard let entry = HistoryBlockReader.entry(arrival - Int(place.firstEvent), of: raw) else {
            throw .damaged("a block is malformed", path, at: place.offset)
        }
        return entry
    }

    /// A block from the file, checked and decompressed.
    func block(_ index: Int) throws(HistoryError) -> [UInt8] {
        let place = blocks[index]
        let bytes = try HistoryFiles.read(path, offset: place.offset, count: Int(place.compressedBytes))
        guard StableHash.xxh64(bytes) == place.checksum,
            let raw = bytes.withUnsafeBytes({ HistoryBlockReader.raw($0, rawBytes: Int(place.rawBytes)) })
        else { throw .damaged("a block's checksum is wrong", path, at: place.offset) }
        return raw
    }

    /// Checks everything that opening leaves: every column and block against its checksum.
    func verify() throws(HistoryError) {
        let cache = HistoryCache(bytesMax: 0)
        for id in columns.keys { _ = try column(id, cache) }
        for block in blocks where block.events > 0 { _ = try entry(Int(block.firstEvent), cache) }
    }

    // MARK: Names

    /// `FIRST-NEXT.segment`, twenty digits each.
    static func name(first: UInt64, next: UInt64) -> String { "\(pad(first))-\(pad(next)).segment" }

    /// The range that a file's name states; nil for a name that is no segment's.
    static func range(ofName name: String) -> (first: UInt64, next: UInt64)? {
        let utf8 = Array(name.utf8)
        guard utf8.count == 49, name.hasSuffix(".segment"), utf8[20] == 0x2D,
            let first = UInt64(String(decoding: utf8[..<20], as: UTF8.self)),
            let next = UInt64(String(decoding: utf8[21..<41], as: UTF8.self)),
            self.name(first: first, next: next) == name
        else { return nil }
        return (first, next)
    }

    private static func pad(_ number: UInt64) -> String {
        let digits = String(number)
        return String(repeating: "0", count: 20 - digits.count) + digits
    }
}
