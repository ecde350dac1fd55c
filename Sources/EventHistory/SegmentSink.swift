// SPDX-License-Identifier: Apache-2.0
//
// A segment file as it is written: parts end to end, then the directory of the parts, then the footer. Nothing is written twice,
// so any store that takes whole files can take it.
//
//     directory: for each part 40 bytes: kind u16, id u16, index u32, offset u64, bytes u64, raw bytes u64, checksum u64
//     footer, 96 bytes:
//        0  8  "CAIRNHIS"             48  8  checksum of the directory
//        8  4  version 3              56  8  earliest event time, seconds
//       12  4  flags, 0               64  8  latest event time
//       16  8  first journal number   72  8  bytes of the whole file
//       24  8  one past the last      80  8  0
//       32  4  events                 88  8  checksum of bytes 0 to 88
//       36  4  parts
//       40  8  offset of the directory

internal import EventRecord

/// What a part of a segment is.
enum PartKind: UInt16, Sendable {
    case dictionary = 1
    case codes = 2
    case zones = 3
    case hashes = 4
    case times = 5
    case order = 6
    case numbers = 7
    case texts = 8
    case shapes = 9
    case block = 10
    case blockTable = 11
    case pieceTimes = 12
    case textPlaces = 13

    /// Whether it is a zstd frame.
    var isCompressed: Bool {
        switch self {
        case .hashes, .block, .blockTable, .pieceTimes, .textPlaces: false
        default: true
        }
    }
}

/// Names a part within its segment.
struct PartName: Hashable, Sendable {
    var kind: PartKind
    /// The column; of texts, which of the group's parts; 0 for what belongs to none.
    var id: UInt16 = 0
    /// The piece, group or block.
    var index: UInt32 = 0
}

enum SegmentLayout {
    static let magic = Array("CAIRNHIS".utf8)
    static let version: UInt32 = 3
    /// Versions that are read. In version 2 a group's texts were one part, with its base time before them.
    static let versionsRead: ClosedRange<UInt32> = 2...3
    /// Texts of a group in a part, as a power of two.
    static let textsAPart = 9
    static let footerBytes = 96
    static let entryBytes = 40
}

/// Writes a segment's parts to its file, in whatever order they come.
struct SegmentSink: ~Copyable {
    private var file: HistoryFileWriter
    private let compressor: Compressor
    private var directory: [UInt8] = []
    private var parts = 0

    init(path: String, _ device: HistoryDevice, _ compressor: Compressor) throws(HistoryError) {
        file = try HistoryFileWriter(path, device)
        self.compressor = compressor
    }

    /// Writes a part, compressed if its kind says so.
    mutating func write(_ name: PartName, _ raw: [UInt8]) throws(HistoryError) {
        let bytes = name.kind.isCompressed ? try compressor.compressed(raw) : raw
        try write(name, stored: bytes, rawBytes: raw.count, checksum: StableHash.xxh64(bytes))
    }

    /// Writes a part as it is to stand in the file.
    mutating func write(
        _ name: PartName, stored bytes: [UInt8], rawBytes: Int, checksum: UInt64
    ) throws(HistoryError) {
        directory.append(littleEndian: name.kind.rawValue)
        directory.append(littleEndian: name.id)
        directory.append(littleEndian: name.index)
        directory.append(littleEndian: file.written)
        directory.append(littleEndian: UInt64(bytes.count))
        directory.append(littleEndian: UInt64(rawBytes))
        directory.append(littleEndian: checksum)
        parts += 1
        try file.write(bytes)
    }

    /// Writes directory and footer; returns when the file is on stable storage (its name is not yet).
    mutating func finish(
        first: UInt64, next: UInt64, events: Int, timeMin: Int64, timeMax: Int64
    ) throws(HistoryError) {
        let start = file.written
        var footer = SegmentLayout.magic
        footer.append(littleEndian: SegmentLayout.version)
        footer.append(littleEndian: UInt32(0))
        footer.append(littleEndian: first)
        footer.append(littleEndian: next)
        footer.append(littleEndian: UInt32(truncatingIfNeeded: events))
        footer.append(littleEndian: UInt32(truncatingIfNeeded: parts))
        footer.append(littleEndian: start)
        footer.append(littleEndian: StableHash.xxh64(directory))
        footer.append(littleEndian: timeMin)
        footer.append(littleEndian: timeMax)
        footer.append(littleEndian: start + UInt64(directory.count + SegmentLayout.footerBytes))
        footer.append(littleEndian: UInt64(0))
        footer.append(littleEndian: StableHash.xxh64(footer))
        try file.write(directory)
        try file.write(footer)
        try file.finish()
    }
}
