// SPDX-License-Identifier: Apache-2.0
//
// An attribute's column in a segment (encoding 1): an inverted index from hashes to rows.
//
//     u32 hashes, u32 bytes of lists, the hashes u64 ascending, for each hash its list's offset u32, the lists
//
// A list is the number of rows as a varint (LEB128), then the rows ascending, each as the difference from the one before (the
// first from 0) in varints. A list of all the segment's rows is written as its number alone. Events without the attribute are
// in no list. Rows are events in the order of time, then number.

internal import EventRecord

enum HashColumn {
    /// Encodes pairs of hash and row; equal pairs count once.
    static func encode(_ pairs: [(hash: UInt64, row: UInt32)], events: Int) -> [UInt8] {
        let sorted = pairs.sorted { $0.hash != $1.hash ? $0.hash < $1.hash : $0.row < $1.row }
        var hashes: [UInt64] = []
        var offsets: [UInt32] = []
        var lists: [UInt8] = []
        var rows: [UInt32] = []
        func closeList() {
            lists.append(varint: UInt32(truncatingIfNeeded: rows.count))
            if rows.count != events {
                var before: UInt32 = 0
                for row in rows {
                    lists.append(varint: row - before)
                    before = row
                }
            }
            rows.removeAll(keepingCapacity: true)
        }
        for pair in sorted {
            if hashes.last != pair.hash {
                if !rows.isEmpty { closeList() }
                hashes.append(pair.hash)
                offsets.append(UInt32(truncatingIfNeeded: lists.count))
            }
            if rows.last != pair.row { rows.append(pair.row) }
        }
        if !rows.isEmpty { closeList() }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 + hashes.count * 12 + lists.count)
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: hashes.count))
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: lists.count))
        for hash in hashes { bytes.append(littleEndian: hash) }
        for offset in offsets { bytes.append(littleEndian: offset) }
        bytes.append(contentsOf: lists)
        return bytes
    }

    /// One list, not yet decoded.
    struct List {
        var count: Int
        /// Where its differences begin.
        var start: Int
    }

    /// The list of a hash; nil when no event has it. Binary search.
    static func list(_ hash: UInt64, in column: UnsafeRawBufferPointer) -> List? {
        guard column.count >= 8 else { return nil }
        let hashes = Int(column.u32(0))
        guard column.count >= 8 + hashes * 12 else { return nil }
        var low = 0
        var high = hashes
        while low < high {
            let middle = (low + high) / 2
            if column.u64(8 + middle * 8) < hash { low = middle + 1 } else { high = middle }
        }
        guard low < hashes, column.u64(8 + low * 8) == hash else { return nil }
        var at = 8 + hashes * 12 + Int(column.u32(8 + hashes * 8 + low * 4))
        let count = varint(column, &at)
        return List(count: Int(count), start: at)
    }

    /// All lists with their hashes; fewer when the column is malformed.
    static func lists(in column: UnsafeRawBufferPointer) -> [(hash: UInt64, list: List)] {
        guard column.count >= 8 else { return [] }
        let hashes = Int(column.u32(0))
        guard column.count >= 8 + hashes * 12 else { return [] }
        return (0..<hashes).map { index in
            var at = 8 + hashes * 12 + Int(column.u32(8 + hashes * 8 + index * 4))
            let count = varint(column, &at)
            return (column.u64(8 + index * 8), List(count: Int(count), start: at))
        }
    }

    /// The first row of a list.
    static func firstRow(_ list: List, in column: UnsafeRawBufferPointer, events: Int) -> Int? {
        if list.count == events { return events > 0 ? 0 : nil }
        var at = list.start
        let row = Int(varint(column, &at))
        return row < events ? row : nil
    }

    /// The rows of a list, ascending.
    static func rows(_ list: List, in column: UnsafeRawBufferPointer, events: Int) -> [UInt32] {
        if list.count == events { return Array(0..<UInt32(truncatingIfNeeded: events)) }
        var at = list.start
        var row: UInt32 = 0
        return [UInt32](unsafeUninitializedCapacity: list.count) { buffer, count in
            for index in 0..<list.count {
                row = row &+ varint(column, &at)
                buffer[index] = row
            }
            count = list.count
        }
    }

    @inline(__always)
    private static func varint(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> UInt32 {
        var value: UInt32 = 0
        var shift: UInt32 = 0
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            value |= UInt32(byte & 0x7F) &<< shift
            if byte < 0x80 { break }
            shift += 7
        }
        return value
    }
}
