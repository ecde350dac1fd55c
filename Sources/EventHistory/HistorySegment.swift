// SPDX-License-Identifier: Apache-2.0

internal import EventRecord

/// A sealed range of the journal, immutable: what its file's footer and directory say (see SegmentSink). Parts are read when
/// asked for, and checked each time they come from disk.
final class HistorySegment: Sendable {
    struct Place: Sendable {
        var offset: UInt64
        var bytes: Int
        var rawBytes: Int
        var checksum: UInt64
    }

    struct Block: Sendable {
        /// Arrival index of its first event.
        var first: Int
        var group: UInt32
    }

    let path: String
    /// Names the segment in the cache; no other open segment or group has it.
    let key: UInt64
    let first: UInt64
    let next: UInt64
    let events: Int
    let timeMin: Int64
    let timeMax: Int64
    let bytes: UInt64
    let parts: [PartName: Place]
    let blocks: [Block]
    let groups: Int
    /// For each piece its first and last time.
    let pieceTimes: [ClosedRange<Int64>]
    private let file: HistoryFile
    private let cacheIDs: [PartName: UInt32]

    /// Decompressed bytes of a part: more than any writer makes, as its pieces and groups have bounds.
    private static let rawBytesMax: UInt64 = 1 << 32

    /// Opens a segment: reads and checks footer and directory.
    ///
    /// - Throws: `HistoryError.damaged` with the file and the place.
    init(_ path: String, key: UInt64) throws(HistoryError) {
        self.path = path
        self.key = key
        file = try HistoryFile(path)
        let size = try file.size()
        guard size >= SegmentLayout.footerBytes else {
            throw .damaged("the file is too short for a segment", path, at: UInt64(size))
        }
        let footerAt = UInt64(size - SegmentLayout.footerBytes)
        let footer = try file.read(offset: footerAt, count: SegmentLayout.footerBytes)
        guard Array(footer[..<8]) == SegmentLayout.magic else {
            throw .damaged("the file is no history segment, or not whole", path, at: footerAt)
        }
        guard StableHash.xxh64(Array(footer[..<88])) == footer.withUnsafeBytes({ $0.u64(88) }) else {
            throw .damaged("the footer's checksum is wrong", path, at: footerAt + 88)
        }
        guard footer.withUnsafeBytes({ $0.u32(8) }) == SegmentLayout.version else {
            throw HistoryError(
                .damaged, "the segment has a format that this version cannot read; use the version that wrote it",
                path: path, offset: footerAt + 8)
        }
        let words = footer.withUnsafeBytes { raw in stride(from: 16, to: 80, by: 8).map { raw.u64($0) } }
        first = words[0]
        next = words[1]
        events = Int(words[2] & 0xFFFF_FFFF)
        let partCount = Int(words[2] >> 32)
        timeMin = Int64(bitPattern: words[5])
        timeMax = Int64(bitPattern: words[6])
        bytes = words[7]
        guard words[7] == UInt64(size) else {
            throw .damaged("the file has not its written length", path, at: UInt64(size))
        }
        guard first <= next, next - first < 1 << 32, UInt64(events) <= next - first, timeMin <= timeMax || events == 0
        else {
            throw .damaged("the footer's numbers or times do not fit one another", path, at: footerAt + 16)
        }
        guard words[3] <= footerAt, UInt64(partCount * SegmentLayout.entryBytes) == footerAt - words[3] else {
            throw .damaged("the directory's length is wrong", path, at: footerAt + 40)
        }
        let directory = try file.read(offset: words[3], count: partCount * SegmentLayout.entryBytes)
        guard StableHash.xxh64(directory) == words[4] else {
            throw .damaged("the directory's checksum is wrong", path, at: words[3])
        }
        var parts: [PartName: Place] = [:]
        parts.reserveCapacity(partCount)
        var ids: [PartName: UInt32] = [:]
        ids.reserveCapacity(partCount)
        // The checksums find rot; the bounds keep a forged directory from asking for memory without end.
        let outside: Int? = directory.withUnsafeBytes { raw in
            for index in 0..<partCount {
                let at = index * SegmentLayout.entryBytes
                guard let kind = PartKind(rawValue: raw.u16(at)) else { continue }
                let name = PartName(kind: kind, id: raw.u16(at + 2), index: raw.u32(at + 4))
                guard raw.u64(at + 8) <= footerAt, raw.u64(at + 16) <= footerAt - raw.u64(at + 8),
                    raw.u64(at + 24) <= Self.rawBytesMax
                else { return at }
                parts[name] = Place(
                    offset: raw.u64(at + 8), bytes: Int(truncatingIfNeeded: raw.u64(at + 16)),
                    rawBytes: Int(truncatingIfNeeded: raw.u64(at + 24)), checksum: raw.u64(at + 32))
                ids[name] = UInt32(truncatingIfNeeded: index)
            }
            return nil
        }
        if let outside {
            throw .damaged("the directory names a part beyond its bounds", path, at: words[3] + UInt64(outside))
        }
        self.parts = parts
        cacheIDs = ids
        let table = try Self.stored(PartName(kind: .blockTable), parts, file)
        let ends = try Self.stored(PartName(kind: .pieceTimes), parts, file)
        guard ends.count == (events + pieceRows - 1) / pieceRows * 16, table.count % 8 == 0 else {
            throw .damaged("a part has not its length", path, at: parts[PartName(kind: .blockTable)]?.offset ?? 0)
        }
        blocks = table.withUnsafeBytes { raw in
            stride(from: 0, to: raw.count, by: 8).map { Block(first: Int(raw.u32($0)), group: raw.u32($0 + 4)) }
        }
        groups = blocks.reduce(0) { max($0, Int($1.group) + 1) }
        pieceTimes = ends.withUnsafeBytes { raw in
            stride(from: 0, to: raw.count, by: 16).map { at in raw.i64(at)...max(raw.i64(at), raw.i64(at + 8)) }
        }
    }

    // MARK: Parts

    /// A part's bytes as they stand in the file, checked.
    private static func stored(
        _ name: PartName, _ parts: [PartName: Place], _ file: HistoryFile
    ) throws(HistoryError) -> [UInt8] {
        guard let place = parts[name] else { throw .damaged("a part is missing", file.path, at: 0) }
        let bytes = try file.read(offset: place.offset, count: place.bytes)
        guard StableHash.xxh64(bytes) == place.checksum else {
            throw .damaged("a part's checksum is wrong", file.path, at: place.offset)
        }
        return bytes
    }

    func stored(_ name: PartName) throws(HistoryError) -> [UInt8] { try Self.stored(name, parts, file) }

    /// A part, decompressed.
    func raw(_ name: PartName) throws(HistoryError) -> [UInt8] {
        let bytes = try stored(name)
        guard name.kind.isCompressed else { return bytes }
        guard let place = parts[name],
            let raw = bytes.withUnsafeBytes({ Compressor.decompressed($0, rawBytes: place.rawBytes) })
        else { throw malformed(name) }
        return raw
    }

    func malformed(_ name: PartName) -> HistoryError {
        .damaged("a part is malformed", path, at: parts[name]?.offset ?? 0)
    }

    /// A part through the cache.
    func part(_ name: PartName, _ cache: HistoryCache) throws(HistoryError) -> [UInt8] {
        try part(name, cache) { (raw) throws(HistoryError) in raw }
    }

    /// A part through the cache, in the form that the body makes of it.
    func part(
        _ name: PartName, _ cache: HistoryCache, _ make: ([UInt8]) throws(HistoryError) -> [UInt8]
    ) throws(HistoryError) -> [UInt8] {
        guard let id = cacheIDs[name] else { throw .damaged("a part is missing", path, at: 0) }
        return try cache.value(.init(owner: key, part: id)) { () throws(HistoryError) in try make(try raw(name)) }
    }

    func rows(ofPiece piece: Int) -> Int { min(pieceRows, events - piece * pieceRows) }

    /// The times of a piece's rows, i64 each.
    func times(_ piece: Int, _ cache: HistoryCache) throws(HistoryError) -> [UInt8] {
        let name = PartName(kind: .times, index: UInt32(truncatingIfNeeded: piece))
        return try part(name, cache) { (raw) throws(HistoryError) in
            guard let times = raw.withUnsafeBytes({ NumberPiece.times($0, rows: rows(ofPiece: piece)) }) else {
                throw malformed(name)
            }
            return times
        }
    }

    /// Order or numbers of a piece, u32 each.
    func words(_ kind: PartKind, _ piece: Int, _ cache: HistoryCache) throws(HistoryError) -> [UInt8] {
        let name = PartName(kind: kind, index: UInt32(truncatingIfNeeded: piece))
        return try part(name, cache) { (raw) throws(HistoryError) in
            let words = raw.withUnsafeBytes {
                NumberPiece.words(
                    $0, rows: rows(ofPiece: piece), expected: UInt32(truncatingIfNeeded: piece * pieceRows))
            }
            guard let words else { throw malformed(name) }
            return words
        }
    }

    /// The codes of a piece's rows in a column, each of a text in the dictionary or 0.
    func codes(_ column: EventColumn, _ piece: Int, _ cache: HistoryCache) throws(HistoryError) -> [UInt8] {
        let name = PartName(kind: .codes, id: column.rawValue, index: UInt32(truncatingIfNeeded: piece))
        return try part(name, cache) { (raw) throws(HistoryError) in
            let texts = try dictionary(column, cache).withUnsafeBytes { TextList($0)?.count ?? 0 }
            guard raw.withUnsafeBytes({ CodePiece.isValid($0, rows: rows(ofPiece: piece), texts: texts) }) else {
                throw malformed(name)
            }
            return raw
        }
    }

    func dictionary(_ column: EventColumn, _ cache: HistoryCache) throws(HistoryError) -> [UInt8] {
        let name = PartName(kind: .dictionary, id: column.rawValue)
        return try part(name, cache) { (raw) throws(HistoryError) in
            guard raw.withUnsafeBytes({ TextList($0) != nil }) else { throw malformed(name) }
            return raw
        }
    }

    func zones(_ column: EventColumn, _ cache: HistoryCache) throws(HistoryError) -> [UInt8] {
        let name = PartName(kind: .zones, id: column.rawValue)
        return try part(name, cache) { (raw) throws(HistoryError) in
            guard raw.withUnsafeBytes({ ZoneIndex($0) != nil }) else { throw malformed(name) }
            return raw
        }
    }

    /// The rows that may have one of the hashes, ascending.
    func rows(
        _ column: EventColumn, hashes: [UInt32], _ cache: HistoryCache
    ) throws(HistoryError) -> [UInt32] {
        let name = PartName(kind: .hashes, id: column.rawValue)
        let index = try part(name, cache)
        var found: [UInt32] = []
        for hash in hashes {
            guard let rows = index.withUnsafeBytes({ HashIndex.rows(hash, in: $0) }) else { throw malformed(name) }
            found += rows
        }
        if hashes.count > 1 {
            found.sort()
            var kept: [UInt32] = []
            for row in found where kept.last != row { kept.append(row) }
            found = kept
        }
        guard found.last.map({ Int($0) < events }) ?? true else { throw malformed(name) }
        return found
    }

    // MARK: Events

    func position(_ row: Int, _ cache: HistoryCache) throws(HistoryError) -> HistoryPosition {
        let times = try times(row / pieceRows, cache)
        return HistoryPosition(
            seconds: times.withUnsafeBytes { $0.i64(row % pieceRows * 8) },
            number: try number(arrival(row, cache), cache))
    }

    func seconds(_ row: Int, _ cache: HistoryCache) throws(HistoryError) -> Int64 {
        try times(row / pieceRows, cache).withUnsafeBytes { $0.i64(row % pieceRows * 8) }
    }

    func arrival(_ row: Int, _ cache: HistoryCache) throws(HistoryError) -> Int {
        let words = try words(.order, row / pieceRows, cache)
        let arrival = Int(words.withUnsafeBytes { $0.u32(row % pieceRows * 4) })
        guard arrival < events else { throw malformed(PartName(kind: .order)) }
        return arrival
    }

    func number(_ arrival: Int, _ cache: HistoryCache) throws(HistoryError) -> UInt64 {
        let words = try words(.numbers, arrival / pieceRows, cache)
        return first + UInt64(words.withUnsafeBytes { $0.u32(arrival % pieceRows * 4) })
    }

    /// The first row at or after a time.
    func firstRow(atOrAfter seconds: Int64, _ cache: HistoryCache) throws(HistoryError) -> Int {
        guard let piece = pieceTimes.firstIndex(where: { $0.upperBound >= seconds }) else { return events }
        if pieceTimes[piece].lowerBound >= seconds { return piece * pieceRows }
        let times = try times(piece, cache)
        return times.withUnsafeBytes { raw in
            var low = 0
            var high = raw.count / 8
            while low < high {
                let middle = (low + high) / 2
                if raw.i64(middle * 8) < seconds { low = middle + 1 } else { high = middle }
            }
            return piece * pieceRows + low
        }
    }

    /// Texts and shapes of a group of blocks.
    func group(_ index: UInt32, _ cache: HistoryCache) throws(HistoryError) -> SegmentGroup {
        let name = PartName(kind: .texts, index: index)
        guard let id = cacheIDs[name] else { throw .damaged("a part is missing", path, at: 0) }
        return try cache.object(.init(owner: key, part: id)) { () throws(HistoryError) in
            let shapes = try raw(PartName(kind: .shapes, index: index))
            guard let group = SegmentGroup(texts: try raw(name), shapes: shapes) else { throw malformed(name) }
            return group
        }
    }

    /// The entry with that arrival index.
    func entry(_ arrival: Int, _ cache: HistoryCache) throws(HistoryError) -> ArraySlice<UInt8> {
        var low = 0
        var high = blocks.count
        while low + 1 < high {
            let middle = (low + high) / 2
            if blocks[middle].first <= arrival { low = middle } else { high = middle }
        }
        guard low < blocks.count else { throw malformed(PartName(kind: .blockTable)) }
        let group = try group(blocks[low].group, cache)
        let name = PartName(kind: .block, index: UInt32(truncatingIfNeeded: low))
        let opened = try part(name, cache) { (stored) throws(HistoryError) in
            guard let opened = stored.withUnsafeBytes({ HistoryBlock.open($0, group) }) else { throw malformed(name) }
            return opened
        }
        let number = try number(arrival, cache)
        var entry: [UInt8] = []
        entry.reserveCapacity(2048)
        let isWhole = opened.withUnsafeBytes { bytes in
            guard let block = HistoryBlock.Opened(bytes), var reader = block.reader(arrival - blocks[low].first) else {
                return false
            }
            return reader.entry(group, number: number, to: &entry)
        }
        guard isWhole else { throw malformed(name) }
        return entry[...]
    }

    /// A block from the file, past the cache.
    func block(_ index: Int, _ group: SegmentGroup) throws(HistoryError) -> [UInt8] {
        let name = PartName(kind: .block, index: UInt32(truncatingIfNeeded: index))
        let stored = try stored(name)
        guard let opened = stored.withUnsafeBytes({ HistoryBlock.open($0, group) }) else { throw malformed(name) }
        return opened
    }

    /// Checks everything that opening leaves: every part against its checksum.
    func verify() throws(HistoryError) {
        for name in parts.keys { _ = try raw(name) }
    }
}

/// Texts and shapes of a group as a segment has them.
final class SegmentGroup: GroupTexts, CachedPart, @unchecked Sendable {  // guarded by never changing
    private let memory: UnsafeMutableRawBufferPointer
    private let texts: TextList
    private let shapes: TextList
    let secondsBase: Int64

    /// nil when the parts are malformed.
    init?(texts: [UInt8], shapes: [UInt8]) {
        memory = .allocate(byteCount: texts.count + shapes.count + 8, alignment: 8)
        memory.copyBytes(from: texts)
        UnsafeMutableRawBufferPointer(rebasing: memory[texts.count...]).copyBytes(from: shapes)
        let textBytes = UnsafeRawBufferPointer(rebasing: memory[..<texts.count])
        let shapeBytes = UnsafeRawBufferPointer(rebasing: memory[texts.count..<texts.count + shapes.count])
        guard textBytes.count >= 12, let textList = TextList(textBytes, at: 8), let shapeList = TextList(shapeBytes)
        else {
            memory.deallocate()
            return nil
        }
        self.texts = textList
        self.shapes = shapeList
        secondsBase = textBytes.i64(0)
    }

    deinit { memory.deallocate() }

    var byteCount: Int { memory.count }
    /// Texts that the group numbers.
    var textCount: Int { texts.count }
    var shapeCount: Int { shapes.count }

    @inline(__always)
    func text(_ number: Int) -> UnsafeRawBufferPointer? { texts.text(number) }
    @inline(__always)
    func shape(_ number: Int) -> UnsafeRawBufferPointer? { shapes.text(number - 1) }
}
