// SPDX-License-Identifier: Apache-2.0

internal import EventRecord

/// Turns chunks into a segment file.
enum SegmentWriter {
    /// Writes the segment of these chunks; returns its path once it is on stable storage under its name.
    ///
    /// - Throws: `HistoryError`; no file of that name is left then.
    static func write(
        _ chunks: [OpenChunk], first: UInt64, next: UInt64, in directory: String, _ device: HistoryDevice
    ) throws(HistoryError) -> String {
        let path = directory + "/" + HistorySegment.name(first: first, next: next)
        do throws(HistoryError) {
            let parts = try encode(chunks, first: first, next: next)
            try HistoryFiles.write(parts, to: path, in: directory, device)
        } catch {
            HistoryFiles.remove(path)
            throw error
        }
        return path
    }

    /// The file's parts: header and directory, then columns, then blocks.
    static func encode(_ chunks: [OpenChunk], first: UInt64, next: UInt64) throws(HistoryError) -> [[UInt8]] {
        guard next - first < 1 << 32 else {
            throw HistoryError(.behind, "a segment would span more than 2^32 journal numbers")
        }
        let events = chunks.reduce(0) { $0 + $1.columns.count }
        var seconds: [Int64] = []
        var numbers: [UInt64] = []
        seconds.reserveCapacity(events)
        numbers.reserveCapacity(events)
        for chunk in chunks {
            seconds.append(contentsOf: chunk.columns.seconds)
            numbers.append(contentsOf: chunk.columns.numbers)
        }
        // Arrival is number order, so time and then arrival is time and then number.
        let arrivals = (0..<UInt32(truncatingIfNeeded: events)).sorted { a, b in
            let (x, y) = (seconds[Int(a)], seconds[Int(b)])
            return x != y ? x < y : a < b
        }
        var rows = [UInt32](repeating: 0, count: events)
        for (row, arrival) in arrivals.enumerated() { rows[Int(arrival)] = UInt32(truncatingIfNeeded: row) }

        var columns: [(id: UInt16, encoding: UInt16, bytes: [UInt8])] = []
        for (index, column) in singleColumns.enumerated() {
            columns.append((column.rawValue, HistorySegment.Encoding.hashes, single(index, chunks, rows, events)))
        }
        columns.append(
            (
                EventColumn.resourceType.rawValue, HistorySegment.Encoding.hashes,
                several(\.resourceTypes, chunks, rows, events)
            ))
        columns.append(
            (
                EventColumn.resourceName.rawValue, HistorySegment.Encoding.hashes,
                several(\.resourceNames, chunks, rows, events)
            ))
        let timeMin = arrivals.first.map { seconds[Int($0)] } ?? 0
        let timeMax = arrivals.last.map { seconds[Int($0)] } ?? 0
        columns.append(
            (
                HistorySegment.Column.time, HistorySegment.Encoding.times,
                times(arrivals.map { seconds[Int($0)] }, timeMin, timeMax)
            ))
        columns.append((HistorySegment.Column.arrival, HistorySegment.Encoding.words, words(arrivals)))
        columns.append(
            (
                HistorySegment.Column.number, HistorySegment.Encoding.words,
                words(numbers.map { UInt32(truncatingIfNeeded: $0 - first) })
            ))
        let blocks = self.blocks(chunks)

        var directory: [UInt8] = []
        var offset = UInt64(HistorySegment.headerBytes + (columns.count + blocks.count) * 32)
        for column in columns {
            directory.append(littleEndian: column.id)
            directory.append(littleEndian: column.encoding)
            directory.append(littleEndian: UInt32(0))
            directory.append(littleEndian: offset)
            directory.append(littleEndian: UInt64(column.bytes.count))
            directory.append(littleEndian: StableHash.xxh64(column.bytes))
            offset += UInt64(column.bytes.count)
        }
        for block in blocks {
            directory.append(littleEndian: offset)
            directory.append(littleEndian: UInt32(truncatingIfNeeded: block.compressed.count))
            directory.append(littleEndian: UInt32(truncatingIfNeeded: block.rawBytes))
            directory.append(littleEndian: UInt32(truncatingIfNeeded: block.firstEvent))
            directory.append(littleEndian: UInt32(truncatingIfNeeded: block.events))
            directory.append(littleEndian: StableHash.xxh64(block.compressed))
            offset += UInt64(block.compressed.count)
        }

        var header = HistorySegment.magic
        header.append(littleEndian: HistorySegment.version)
        header.append(littleEndian: UInt32(0))
        header.append(littleEndian: first)
        header.append(littleEndian: next)
        header.append(littleEndian: UInt32(truncatingIfNeeded: events))
        header.append(littleEndian: UInt32(truncatingIfNeeded: columns.count))
        header.append(littleEndian: UInt32(truncatingIfNeeded: blocks.count))
        header.append(littleEndian: UInt32(0))
        header.append(littleEndian: UInt64(directory.count))
        header.append(littleEndian: StableHash.xxh64(directory))
        header.append(littleEndian: timeMin)
        header.append(littleEndian: timeMax)
        header.append(littleEndian: offset)
        header.append(littleEndian: StableHash.xxh64(header))
        return [header + directory] + columns.map(\.bytes) + blocks.map(\.compressed)
    }

    private static func blocks(_ chunks: [OpenChunk]) -> [HistoryBlock] {
        var blocks: [HistoryBlock] = []
        var base = 0
        for chunk in chunks {
            for block in chunk.blocks {
                var block = block
                block.firstEvent += base
                blocks.append(block)
            }
            base += chunk.columns.count
        }
        return blocks
    }

    private static func single(_ index: Int, _ chunks: [OpenChunk], _ rows: [UInt32], _ events: Int) -> [UInt8] {
        var pairs: [(hash: UInt64, row: UInt32)] = []
        pairs.reserveCapacity(events)
        var base = 0
        for chunk in chunks {
            for (at, hash) in chunk.columns.single[index].enumerated() where hash != 0 {
                pairs.append((hash, rows[base + at]))
            }
            base += chunk.columns.count
        }
        return HashColumn.encode(pairs, events: events)
    }

    private static func several(
        _ column: KeyPath<ChunkColumns, [ChunkPair]>, _ chunks: [OpenChunk], _ rows: [UInt32], _ events: Int
    ) -> [UInt8] {
        var pairs: [(hash: UInt64, row: UInt32)] = []
        var base = 0
        for chunk in chunks {
            for pair in chunk.columns[keyPath: column] { pairs.append((pair.hash, rows[base + Int(pair.row)])) }
            base += chunk.columns.count
        }
        return HashColumn.encode(pairs, events: events)
    }

    private static func times(_ seconds: [Int64], _ low: Int64, _ high: Int64) -> [UInt8] {
        let isNarrow = high - low < 1 << 32
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16 + seconds.count * (isNarrow ? 4 : 8))
        bytes.append(littleEndian: UInt32(isNarrow ? 4 : 8))
        bytes.append(littleEndian: UInt32(0))
        bytes.append(littleEndian: low)
        for time in seconds {
            if isNarrow {
                bytes.append(littleEndian: UInt32(truncatingIfNeeded: time - low))
            } else {
                bytes.append(littleEndian: UInt64(bitPattern: time - low))
            }
        }
        return bytes
    }

    private static func words(_ words: [UInt32]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(words.count * 4)
        for word in words { bytes.append(littleEndian: word) }
        return bytes
    }
}
