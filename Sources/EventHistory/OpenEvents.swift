// SPDX-License-Identifier: Apache-2.0
//
// Events that are in no segment yet. They are gathered in chunks of about a thousand: their hashes in columns, their entries
// in blocks that are compressed once and go into the segment as they are. A full chunk never changes; the last one is copied
// for readers when something was added.

internal import EventRecord

/// Attributes that an event has at most once, in the order of `ChunkColumns.single`.
let singleColumns: [EventColumn] = [
    .eventID, .eventName, .eventSource, .username, .accessKeyID, .readOnly, .ownerAccount, .region, .category,
]

/// A hash of an attribute that an event may have several times.
struct ChunkPair: Sendable {
    var row: UInt32
    var hash: UInt64
}

/// The columns of a chunk; a row is an event, in the order of arrival.
struct ChunkColumns: Sendable {
    var numbers: [UInt64] = []
    var seconds: [Int64] = []
    /// One array for each of `singleColumns`; 0 where an event has none.
    var single: [[UInt64]] = Array(repeating: [], count: singleColumns.count)
    var resourceTypes: [ChunkPair] = []
    var resourceNames: [ChunkPair] = []

    var count: Int { numbers.count }

    mutating func append(
        number: UInt64, owner: UInt64, fields: EventFields, in record: UnsafeRawBufferPointer
    ) {
        let row = UInt32(truncatingIfNeeded: count)
        let hashes = fields.hashes(in: record)
        numbers.append(number)
        seconds.append(fields.eventSeconds ?? 0)
        single[0].append(hashes.eventID)
        single[1].append(hashes.eventName)
        single[2].append(hashes.eventSource)
        single[3].append(hashes.username)
        single[4].append(hashes.accessKeyID)
        single[5].append(hashes.readOnly)
        single[6].append(owner)
        single[7].append(hashes.region)
        single[8].append(hashes.category)
        fields.forEachResourceHash(in: record) { column, hash in
            if column == .resourceType {
                if resourceTypes.last?.row != row || resourceTypes.last?.hash != hash {
                    resourceTypes.append(ChunkPair(row: row, hash: hash))
                }
            } else {
                resourceNames.append(ChunkPair(row: row, hash: hash))
            }
        }
    }

    /// Rows that may match, oldest first: places within the bounds, and every probe held.
    func rows(_ probes: [EventProbe], _ bounds: HistoryBounds) -> [UInt32] {
        var rows: [UInt32] = []
        // The rarest column first: ids before names before flags.
        let ordered = probes.sorted { $0.column.selectivity < $1.column.selectivity }
        if let first = ordered.first {
            rows = self.rows(first)
            for probe in ordered.dropFirst() where !rows.isEmpty {
                if let index = singleColumns.firstIndex(of: probe.column) {
                    let column = single[index]
                    rows.removeAll { !probe.hashes.contains(column[Int($0)]) }
                }
            }
        } else {
            rows = Array(0..<UInt32(truncatingIfNeeded: count))
        }
        rows.removeAll { row in
            !bounds.contain(HistoryPosition(seconds: seconds[Int(row)], number: numbers[Int(row)]))
        }
        rows.sort { a, b in
            let (a, b) = (Int(a), Int(b))
            return seconds[a] != seconds[b] ? seconds[a] < seconds[b] : numbers[a] < numbers[b]
        }
        return rows
    }

    private func rows(_ probe: EventProbe) -> [UInt32] {
        var rows: [UInt32] = []
        if let index = singleColumns.firstIndex(of: probe.column) {
            let column = single[index]
            if probe.hashes.count == 1 {
                let hash = probe.hashes[0]
                for row in 0..<column.count where column[row] == hash { rows.append(UInt32(truncatingIfNeeded: row)) }
            } else {
                for row in 0..<column.count where probe.hashes.contains(column[row]) {
                    rows.append(UInt32(truncatingIfNeeded: row))
                }
            }
        } else {
            for pair in probe.column == .resourceType ? resourceTypes : resourceNames
            where probe.hashes.contains(pair.hash) && rows.last != pair.row { rows.append(pair.row) }
        }
        return rows
    }
}

extension EventColumn {
    /// The smaller, the fewer events usually share a value.
    var selectivity: Int {
        switch self {
        case .eventID: 0
        case .resourceName: 1
        case .accessKeyID, .username: 2
        case .eventName, .resourceType: 3
        default: 4
        }
    }
}

/// A chunk that readers see; never changes.
final class OpenChunk: Sendable {
    /// Names the chunk in the cache.
    let key: UInt64
    let columns: ChunkColumns
    let blocks: [HistoryBlock]
    /// Entries that are in no block yet; empty in a full chunk.
    let tail: [UInt8]
    let tailLengths: [UInt32]
    /// One past the last journal number that the chunk accounts for.
    let next: UInt64
    /// Bytes of its entries, uncompressed.
    let rawBytes: Int
    let timeMin: Int64
    let timeMax: Int64

    init(
        key: UInt64, columns: ChunkColumns, blocks: [HistoryBlock], tail: [UInt8], tailLengths: [UInt32], next: UInt64,
        rawBytes: Int
    ) {
        self.key = key
        self.columns = columns
        self.blocks = blocks
        self.tail = tail
        self.tailLengths = tailLengths
        self.next = next
        self.rawBytes = rawBytes
        timeMin = columns.seconds.min() ?? .max
        timeMax = columns.seconds.max() ?? .min
    }

    /// The entry of a row, decompressed through the cache.
    func entry(_ row: Int, _ cache: HistoryCache) throws(HistoryError) -> ArraySlice<UInt8> {
        let unreadable = HistoryError(.damaged, "an unsealed block cannot be decompressed; restart the server")
        guard let index = blocks.lastIndex(where: { $0.firstEvent <= row && row < $0.firstEvent + $0.events }) else {
            var at = row - (blocks.last.map { $0.firstEvent + $0.events } ?? 0)
            guard at >= 0, at < tailLengths.count else { throw unreadable }
            var start = 0
            var index = 0
            while at > 0 {
                start += Int(tailLengths[index])
                index += 1
                at -= 1
            }
            return tail[start..<start + Int(tailLengths[index])]
        }
        let block = blocks[index]
        let raw = try cache.value(.init(owner: key, part: UInt32(truncatingIfNeeded: index))) {
            () throws(HistoryError) in
            let raw = block.compressed.withUnsafeBytes { HistoryBlockReader.raw($0, rawBytes: block.rawBytes) }
            guard let raw else { throw unreadable }
            return raw
        }
        guard let entry = HistoryBlockReader.entry(row - block.firstEvent, of: raw) else { throw unreadable }
        return entry
    }
}

/// The chunk being filled; owned by the indexer alone.
struct ChunkBuilder {
    let key: UInt64
    var columns = ChunkColumns()
    var blocks: [HistoryBlock] = []
    var tail: [UInt8] = []
    var tailLengths: [UInt32] = []
    var rawBytes = 0

    init(key: UInt64) { self.key = key }

    var count: Int { columns.count }

    mutating func append(_ entry: UnsafeRawBufferPointer, _ writer: HistoryBlockWriter, blockBytes: Int)
        throws(HistoryError)
    {
        tail.append(contentsOf: entry)
        tailLengths.append(UInt32(truncatingIfNeeded: entry.count))
        rawBytes += entry.count
        if tail.count >= blockBytes { try closeBlock(writer) }
    }

    mutating func closeBlock(_ writer: HistoryBlockWriter) throws(HistoryError) {
        guard !tailLengths.isEmpty else { return }
        let first = blocks.last.map { $0.firstEvent + $0.events } ?? 0
        blocks.append(try writer.block(tail, lengths: tailLengths, firstEvent: first))
        tail.removeAll(keepingCapacity: true)
        tailLengths.removeAll(keepingCapacity: true)
    }

    func chunk(next: UInt64) -> OpenChunk {
        OpenChunk(
            key: key, columns: columns, blocks: blocks, tail: tail, tailLengths: tailLengths, next: next,
            rawBytes: rawBytes)
    }
}
