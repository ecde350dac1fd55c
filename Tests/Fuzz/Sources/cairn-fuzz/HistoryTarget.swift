// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Glibc

@testable import EventHistory

extension FuzzTarget {
    /// The reader of sealed segments, on a file with the input. Its checksums are made right first, or nothing behind them
    /// would ever be reached.
    static let history = FuzzTarget(name: "history") { input in
        guard input.count <= 1 << 20 else { return }
        let bytes = repaired(Array(input))
        guard write(bytes, to: path), let segment = try? HistorySegment(path, key: 1) else { return }
        let cache = HistoryCache(bytesMax: 1 << 20)
        try? segment.verify()
        for id in segment.columns.keys {
            guard let column = try? segment.column(id, cache) else { continue }
            column.withUnsafeBytes { raw in
                for (hash, list) in HashColumn.lists(in: raw) {
                    _ = HashColumn.list(hash, in: raw)
                    _ = HashColumn.firstRow(list, in: raw, events: segment.events)
                    if list.count <= segment.events { _ = HashColumn.rows(list, in: raw, events: segment.events) }
                }
            }
        }
        let candidates = SegmentCandidates(segment: segment, cache: cache)
        for row in 0..<min(segment.events, 64) {
            _ = try? candidates.position(row)
            if let arrival = try? candidates.arrival(row), let entry = try? segment.entry(arrival, cache) {
                _ = EventEnvelope.parse(entry)
            }
        }
        for block in 0..<min(segment.blocks.count, 64) {
            guard let raw = try? segment.block(block) else { continue }
            _ = try? HistoryBlockReader.forEach(of: raw) { (_, _) throws(HistoryError) in }
        }
    }

    private static let path = "/dev/shm/cairn-fuzz-\(getpid()).segment"

    private static func write(_ bytes: [UInt8], to path: String) -> Bool {
        let file = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0o600)
        guard file >= 0 else { return false }
        defer { close(file) }
        // It is open no longer than one input; a crash leaves it, for who looks into it.
        return bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) } == bytes.count
    }

    private static func repaired(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        let size = bytes.count
        guard size >= HistorySegment.headerBytes else { return bytes }
        func set(_ value: UInt64, at offset: Int) {
            bytes.withUnsafeMutableBytes {
                $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
            }
        }
        func number(_ offset: Int) -> UInt64 { bytes.withUnsafeBytes { $0.u64(offset) } }
        bytes.replaceSubrange(0..<8, with: HistorySegment.magic)
        set(UInt64(HistorySegment.version), at: 8)
        let rows = min(Int(number(32) >> 32 & 0xFF) + Int(number(40) & 0xFF), (size - HistorySegment.headerBytes) / 32)
        set(UInt64(rows * 32), at: 48)
        let columns = min(Int(number(32) >> 32 & 0xFF), rows)
        set(number(32) & 0xFFFF_FFFF | UInt64(columns) << 32, at: 32)
        set(UInt64(rows - columns), at: 40)
        for row in 0..<rows {
            let at = HistorySegment.headerBytes + row * 32
            let isColumn = row < columns
            let offset = number(at + (isColumn ? 8 : 0))
            let length = isColumn ? number(at + 16) : number(at + 8) & 0xFFFF_FFFF
            guard offset <= UInt64(size), length <= UInt64(size) - offset else { continue }
            set(StableHash.xxh64(Array(bytes[Int(offset)..<Int(offset + length)])), at: at + 24)
        }
        let end = HistorySegment.headerBytes + rows * 32
        set(StableHash.xxh64(Array(bytes[HistorySegment.headerBytes..<end])), at: 56)
        set(UInt64(size), at: 80)
        set(StableHash.xxh64(Array(bytes[..<88])), at: 88)
        return bytes
    }
}
