// SPDX-License-Identifier: Apache-2.0
//
// Several segments that follow one another, what was dropped between them apart, become one. Blocks with their texts and shapes
// are copied as they are, checksums compared; only columns are made anew: dictionaries joined, codes translated, indexes sorted
// again. So a merge costs a few hundred nanoseconds an event, and needs memory for one column at a time.

internal import EventRecord

struct SegmentMerge {
    let segments: [HistorySegment]
    /// Arrival index, and row, of the first event of each segment in the merged one, were they to stay in order.
    private let starts: [Int]
    private let events: Int
    private let first: UInt64
    private let next: UInt64
    /// Past any cache that searches use: each part is needed once.
    private let cache = HistoryCache(bytesMax: 0)

    init(_ segments: [HistorySegment]) {
        self.segments = segments
        var starts: [Int] = []
        var events = 0
        for segment in segments {
            starts.append(events)
            events += segment.events
        }
        self.starts = starts
        self.events = events
        first = segments.first?.first ?? 0
        next = segments.last?.next ?? 0
    }

    /// Writes the merged segment; its bytes are on stable storage on return, its name not yet.
    func write(to path: String, _ device: HistoryDevice, level: Int32) throws(HistoryError) {
        var sink = try SegmentSink(path: path, device, Compressor(level: level))
        try copyBlocks(&sink)
        let order = try mergedOrder(&sink)
        try numbers(&sink)
        for column in dictionaryColumns { try dictionary(column, order, &sink) }
        for column in [EventColumn.eventID, .resourceName] { try hashes(column, order, &sink) }
        let filled = segments.filter { $0.events > 0 }
        try sink.finish(
            first: first, next: next, events: events, timeMin: filled.map(\.timeMin).min() ?? 0,
            timeMax: filled.map(\.timeMax).max() ?? 0)
    }

    private func copyBlocks(_ sink: inout SegmentSink) throws(HistoryError) {
        var table: [UInt8] = []
        var block: UInt32 = 0
        var groups: UInt32 = 0
        func copy(
            _ segment: HistorySegment, _ from: PartName, _ to: PartName, _ sink: inout SegmentSink
        ) throws(HistoryError) {
            guard let place = segment.parts[from] else { throw segment.malformed(from) }
            try sink.write(
                to, stored: try segment.stored(from), rawBytes: place.rawBytes, checksum: place.checksum)
        }
        for (index, segment) in segments.enumerated() {
            for group in 0..<UInt32(truncatingIfNeeded: segment.groups) {
                var names = [PartName(kind: .shapes, index: group)]
                let places = PartName(kind: .textPlaces, index: group)
                if segment.parts[places] != nil { names.append(places) }
                var part = PartName(kind: .texts, index: group)
                while segment.parts[part] != nil {
                    names.append(part)
                    part.id += 1
                }
                for name in names {
                    try copy(segment, name, PartName(kind: name.kind, id: name.id, index: groups + group), &sink)
                }
            }
            for (at, place) in segment.blocks.enumerated() {
                let name = PartName(kind: .block, index: UInt32(truncatingIfNeeded: at))
                try copy(segment, name, PartName(kind: .block, index: block), &sink)
                table.append(littleEndian: UInt32(truncatingIfNeeded: starts[index] + place.first))
                table.append(littleEndian: groups + place.group)
                block += 1
            }
            groups += UInt32(truncatingIfNeeded: segment.groups)
        }
        try sink.write(PartName(kind: .blockTable), table)
    }

    /// For each row of the merged segment its row among the segments end to end; nil when they are the same. Writes times and
    /// order on the way.
    private func mergedOrder(_ sink: inout SegmentSink) throws(HistoryError) -> [UInt32]? {
        var times: [Int64] = []
        var arrivals: [UInt32] = []
        times.reserveCapacity(events)
        arrivals.reserveCapacity(events)
        for (index, segment) in segments.enumerated() {
            let base = UInt32(truncatingIfNeeded: starts[index])
            for piece in segment.pieceTimes.indices {
                let count = segment.rows(ofPiece: piece)
                try segment.times(piece, cache).withUnsafeBytes { raw in
                    for row in 0..<count { times.append(raw.i64(row * 8)) }
                }
                try segment.words(.order, piece, cache).withUnsafeBytes { raw in
                    for row in 0..<count { arrivals.append(base + raw.u32(row * 4)) }
                }
            }
        }
        if times.withUnsafeBufferPointer(SegmentColumns.isAscending) {
            try SegmentColumns.write(times: times, &sink)
            try SegmentColumns.write(words: arrivals, .order, expected: 0, &sink)
            return nil
        }
        let order = (0..<UInt32(truncatingIfNeeded: events)).sorted { a, b in
            let (x, y) = (times[Int(a)], times[Int(b)])
            return x != y ? x < y : arrivals[Int(a)] < arrivals[Int(b)]
        }
        try SegmentColumns.write(times: order.map { times[Int($0)] }, &sink)
        try SegmentColumns.write(words: order.map { arrivals[Int($0)] }, .order, expected: 0, &sink)
        return order
    }

    private func numbers(_ sink: inout SegmentSink) throws(HistoryError) {
        var numbers: [UInt32] = []
        numbers.reserveCapacity(events)
        for segment in segments {
            let base = UInt32(truncatingIfNeeded: segment.first - first)
            for piece in segment.pieceTimes.indices {
                let count = segment.rows(ofPiece: piece)
                try segment.words(.numbers, piece, cache).withUnsafeBytes { raw in
                    for row in 0..<count { numbers.append(base &+ raw.u32(row * 4)) }
                }
            }
        }
        try SegmentColumns.write(words: numbers, .numbers, expected: 0, &sink)
    }

    private func dictionary(
        _ column: EventColumn, _ order: [UInt32]?, _ sink: inout SegmentSink
    ) throws(HistoryError) {
        var lists: [[UInt8]] = []
        for segment in segments { lists.append(try segment.dictionary(column, cache)) }
        // All texts of all segments, ascending; equal ones get one code.
        var all: [(text: [UInt8], segment: Int, code: Int)] = []
        for (index, bytes) in lists.enumerated() {
            bytes.withUnsafeBytes { bytes in
                guard let list = TextList(bytes) else { return }
                for code in 0..<list.count {
                    if let text = list.text(code) { all.append((Array(text), index, code + 1)) }
                }
            }
        }
        all.sort { a, b in
            a.text.withUnsafeBytes { a in b.text.withUnsafeBytes { b in a.lexicographicallyPrecedes(b) } }
        }
        var maps = lists.map { bytes in
            [UInt32](repeating: 0, count: 1 + (bytes.withUnsafeBytes { TextList($0)?.count } ?? 0))
        }
        var kept: [Int] = []
        for (index, item) in all.enumerated() {
            if let last = kept.last, all[last].text == item.text {
            } else {
                kept.append(index)
            }
            maps[item.segment][item.code] = UInt32(truncatingIfNeeded: kept.count)
        }
        var texts: [UInt8] = []
        texts.append(littleEndian: UInt32(truncatingIfNeeded: kept.count))
        var end = 0
        for index in kept {
            end += all[index].text.count
            texts.append(littleEndian: UInt32(truncatingIfNeeded: end))
        }
        for index in kept { texts.append(contentsOf: all[index].text) }

        var codes: [UInt32] = []
        codes.reserveCapacity(events)
        for (index, segment) in segments.enumerated() {
            let source = SegmentSource(segment: segment, cache: cache)
            for piece in segment.pieceTimes.indices {
                let count = segment.rows(ofPiece: piece)
                let start = piece * pieceRows
                let isWhole = try source.withCodes(column, start..<start + count) { rows in
                    for row in 0..<count {
                        let code = rows.code(row)
                        guard code < maps[index].count else { return false }
                        codes.append(maps[index][code])
                    }
                    return true
                }
                guard isWhole else { throw segment.malformed(PartName(kind: .codes, id: column.rawValue)) }
            }
        }
        if let order { codes = order.map { codes[Int($0)] } }
        try SegmentColumns.write(column, texts, count: kept.count, codes: codes, &sink)
    }

    private func hashes(
        _ column: EventColumn, _ order: [UInt32]?, _ sink: inout SegmentSink
    ) throws(HistoryError) {
        var rowOf: [UInt32] = []
        if let order {
            rowOf = [UInt32](repeating: 0, count: events)
            for (row, before) in order.enumerated() { rowOf[Int(before)] = UInt32(truncatingIfNeeded: row) }
        }
        var rows: [HashedRow] = []
        rows.reserveCapacity(events)
        for (index, segment) in segments.enumerated() {
            let name = PartName(kind: .hashes, id: column.rawValue)
            let bytes = try segment.part(name, cache)
            let base = UInt32(truncatingIfNeeded: starts[index])
            let isWhole = bytes.withUnsafeBytes { bytes in
                HashIndex.forEach(in: bytes) { item in
                    guard Int(item.row) < segment.events else { return }
                    let row = base + item.row
                    rows.append(HashedRow(row: rowOf.isEmpty ? row : rowOf[Int(row)], hash: item.hash))
                }
            }
            guard isWhole else { throw segment.malformed(name) }
        }
        // The index keeps equal hashes in the order in which they come, and wants rows ascending.
        if order != nil { rows.sort { $0.row < $1.row } }
        try sink.write(PartName(kind: .hashes, id: column.rawValue), HashIndex.encode(&rows))
    }
}
