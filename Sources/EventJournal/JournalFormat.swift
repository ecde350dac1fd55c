// SPDX-License-Identifier: Apache-2.0
//
// The journal on disk, version 1. All numbers are little endian. docs/journal-format.md tells the same with reasons and
// with the reader's algorithm; change both together, and the version with them.
//
// A folder holds segment files, named by the number of their first entry: 20 decimal digits and `.journal`. A file that
// ends in `.new` is unfinished and means nothing. `.index` files only help to seek; see SegmentIndex.swift. `first` (optional) holds the number of the first entry that is kept,
// `last` (optional) that of the newest segment.
//
// Segment header, 64 bytes at offset 0:
//
//     offset  size  content
//          0     8  "CAIRNJNL"
//          8     4  format version, 1
//         12     4  CRC-32C of bytes 16..<64
//         16     8  number of the segment's first entry
//         24     8  number of the first entry of the segment before; all bits set when there is none
//         32     8  salt: random bits that every block of this segment repeats
//         40     4  header checksum of the last block of the segment before; 0 when there is none
//         44     4  block alignment in bytes, a power of two from 64 to 65536
//         48     8  time of creation, milliseconds since 1970-01-01T00:00:00Z
//         56     8  zero
//
// Blocks start at multiples of the block alignment, the first at the alignment itself. Each is one group commit.
//
//     offset  size  content
//          0     4  "CJBK"
//          4     4  header checksum: CRC-32C of bytes 8..<64
//          8     8  salt of the segment
//         16     8  number of the first entry
//         24     4  number of entries; 0 in a mark
//         28     4  payload bytes behind this header
//         32     4  CRC-32C of the payload
//         36     4  chain: header checksum of the block before, in the segment's first block that of the segment header
//         40     8  time of writing, milliseconds since 1970-01-01T00:00:00Z
//         48    16  zero
//         64     -  payload: for each entry its length in 4 bytes, then its bytes
//
// A mark is a block without entries behind the last block. It says that all before it was flushed; the next block takes
// its place. From the last block to the end of the file there are zeros otherwise.

/// Names of the files in the journal's folder.
enum JournalFileNames {
    static let first = "first"
    static let last = "last"
    static let marksUnfinished = ["first.new", "last.new"]

    static func segment(_ number: UInt64) -> String {
        let digits = String(number)
        return String(repeating: "0", count: 20 - digits.count) + digits + ".journal"
    }

    static func index(_ number: UInt64) -> String { segment(number).dropLast("journal".count) + "index" }

    /// The number in the name of an index.
    static func indexNumber(_ name: String) -> UInt64? {
        name.hasSuffix(".index") ? number(name.dropLast("index".count) + "journal") : nil
    }

    static func unfinishedSegment(_ number: UInt64) -> String { segment(number) + ".new" }

    /// The first entry's number, for a name that is a segment's.
    static func number(_ name: String) -> UInt64? {
        guard name.utf8.count == 28, name.hasSuffix(".journal") else { return nil }
        let digits = name.utf8.prefix(20)
        guard digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt64(name.prefix(20))
    }

    static func isUnfinished(_ name: String) -> Bool {
        marksUnfinished.contains(name) || (name.hasSuffix(".new") && number(String(name.dropLast(4))) != nil)
    }
}

struct SegmentHeader: Equatable {
    static let byteCount = 64
    static let magic = UInt64(littleEndian: 0x4C4E_4A4E_5249_4143)
    static let version: UInt32 = 1
    static let alignments: ClosedRange<UInt32> = 64...65536

    enum Problem: Error, Equatable {
        case damaged
        case version(UInt32)
    }

    var first: UInt64
    /// nil for the journal's very first segment.
    var previousFirst: UInt64?
    var salt: UInt64
    var previousChain: UInt32
    var alignment: UInt32
    var time: Int64
    /// Bytes that the file was given when it was made; a file that is shorter was cut. 0 where that is not known.
    var allocated: UInt64 = 0

    /// The bytes and their checksum, with which the segment's chain of blocks begins.
    func encoded() -> (bytes: [UInt8], chain: UInt32) {
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        let checksum = bytes.withUnsafeMutableBytes { raw -> UInt32 in
            raw.store(Self.magic, at: 0)
            raw.store(Self.version, at: 8)
            raw.store(first, at: 16)
            raw.store(previousFirst ?? .max, at: 24)
            raw.store(salt, at: 32)
            raw.store(previousChain, at: 40)
            raw.store(alignment, at: 44)
            raw.store(UInt64(bitPattern: time), at: 48)
            raw.store(allocated, at: 56)
            let checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[16..<64]))
            raw.store(checksum, at: 12)
            return checksum
        }
        return (bytes, checksum)
    }

    static func decode(_ raw: UnsafeRawBufferPointer) -> Result<(SegmentHeader, chain: UInt32), Problem> {
        guard raw.count >= byteCount, raw.load64(0) == magic else { return .failure(.damaged) }
        // Later versions may check otherwise, but keep the first twelve bytes.
        guard raw.load32(8) == version else { return .failure(.version(raw.load32(8))) }
        let checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[16..<64]))
        let alignment = raw.load32(44)
        guard checksum == raw.load32(12), alignments.contains(alignment), alignment.nonzeroBitCount == 1 else {
            return .failure(.damaged)
        }
        let previous = raw.load64(24)
        let header = SegmentHeader(
            first: raw.load64(16), previousFirst: previous == .max ? nil : previous, salt: raw.load64(32),
            previousChain: raw.load32(40), alignment: alignment, time: Int64(bitPattern: raw.load64(48)),
            allocated: raw.load64(56))
        return .success((header, checksum))
    }
}

struct BlockHeader: Equatable {
    static let byteCount = 64
    static let magic = UInt32(littleEndian: 0x4B42_4A43)

    var salt: UInt64
    var first: UInt64
    var count: UInt32
    var payloadBytes: UInt32
    var payloadChecksum: UInt32
    var chain: UInt32
    var time: Int64

    /// One past the block's last entry.
    var next: UInt64 { first &+ UInt64(count) }
    var isMark: Bool { count == 0 }

    /// Bytes from this block's start to the next block's.
    func stride(_ alignment: UInt32) -> UInt64 {
        let mask = UInt64(alignment) - 1
        return (UInt64(Self.byteCount) + UInt64(payloadBytes) + mask) & ~mask
    }

    /// Writes the header in front of its payload.
    ///
    /// - Returns: its checksum, the chain value of the block that follows.
    func encode(into raw: UnsafeMutableRawBufferPointer) -> UInt32 {
        raw.store(Self.magic, at: 0)
        raw.store(salt, at: 8)
        raw.store(first, at: 16)
        raw.store(count, at: 24)
        raw.store(payloadBytes, at: 28)
        raw.store(payloadChecksum, at: 32)
        raw.store(chain, at: 36)
        raw.store(UInt64(bitPattern: time), at: 40)
        raw.store(0 as UInt64, at: 48)
        raw.store(0 as UInt64, at: 56)
        let checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[8..<64]))
        raw.store(checksum, at: 4)
        return checksum
    }

    /// nil when the bytes do not begin with a whole header, or not one of this segment.
    static func decode(_ raw: UnsafeRawBufferPointer, salt: UInt64) -> (BlockHeader, checksum: UInt32)? {
        guard raw.count >= byteCount, raw.load32(0) == magic, raw.load64(8) == salt else { return nil }
        let checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[8..<64]))
        guard checksum == raw.load32(4) else { return nil }
        let header = BlockHeader(
            salt: salt, first: raw.load64(16), count: raw.load32(24), payloadBytes: raw.load32(28),
            payloadChecksum: raw.load32(32), chain: raw.load32(36), time: Int64(bitPattern: raw.load64(40)))
        return (header, checksum)
    }
}

/// Cuts a payload into its entries.
enum BlockPayload {
    /// Bytes of an entry's length.
    static let lengthBytes = 4

    /// Gives the range of each entry.
    ///
    /// - Returns: false when the lengths do not add up to the payload, or not to the count.
    static func forEach(_ payload: UnsafeRawBufferPointer, count: UInt32, _ body: (Range<Int>) -> Void) -> Bool {
        var position = 0
        for _ in 0..<count {
            guard payload.count - position >= lengthBytes else { return false }
            let length = Int(payload.load32(position))
            position += lengthBytes
            guard payload.count - position >= length else { return false }
            body(position..<(position + length))
            position += length
        }
        return position == payload.count
    }
}

extension UnsafeRawBufferPointer {
    func load32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    func load64(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    var isZero: Bool {
        var position = 0
        while position + 8 <= count {
            if loadUnaligned(fromByteOffset: position, as: UInt64.self) != 0 { return false }
            position &+= 8
        }
        while position < count {
            if self[position] != 0 { return false }
            position &+= 1
        }
        return true
    }
}

extension UnsafeMutableRawBufferPointer {
    func store<Number: FixedWidthInteger>(_ value: Number, at offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: Number.self)
    }
}
