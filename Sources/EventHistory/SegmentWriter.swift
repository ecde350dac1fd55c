// SPDX-License-Identifier: Apache-2.0

internal import EventRecord

/// Turns a group of events into a segment file.
enum SegmentWriter {
    /// Events in a block: what one found event costs to read.
    static let blockEvents = 256

    /// Writes the segment of a group's events; its bytes are on stable storage on return, its name not yet.
    static func write(
        _ view: GroupView, first: UInt64, next: UInt64, to path: String, _ device: HistoryDevice, level: Int32
    ) throws(HistoryError) {
        guard next - first < 1 << 32 else {
            throw HistoryError(.behind, "a segment would span more than 2^32 journal numbers")
        }
        let group = view.group
        let compressor = try Compressor(level: level)
        var sink = try SegmentSink(path: path, device, compressor)
        try blocks(view, &sink, compressor)
        try texts(view, &sink)

        let times = UnsafeBufferPointer(start: group.seconds, count: view.count)
        var order = (0..<UInt32(truncatingIfNeeded: view.count)).map { $0 }
        if !SegmentColumns.isAscending(times) {
            // Arrival is number order, so time and then arrival is time and then number.
            order.sort { a, b in
                let (x, y) = (times[Int(a)], times[Int(b)])
                return x != y ? x < y : a < b
            }
        }
        var rows = [UInt32](repeating: 0, count: view.count)
        for (row, arrival) in order.enumerated() { rows[Int(arrival)] = UInt32(truncatingIfNeeded: row) }

        try SegmentColumns.write(times: order.map { times[Int($0)] }, &sink)
        try SegmentColumns.write(words: order, .order, expected: 0, &sink)
        let numbers = (0..<view.count).map { UInt32(truncatingIfNeeded: group.numbers[$0] - first) }
        try SegmentColumns.write(words: numbers, .numbers, expected: 0, &sink)
        for column in 0..<ColumnIndex.count {
            let dictionary = group.dictionaries[column]
            let sorted = (0..<view.dictionaryCounts[column]).sorted { a, b in
                dictionary.text(a).lexicographicallyPrecedes(dictionary.text(b))
            }
            var place = [UInt32](repeating: 0, count: sorted.count + 1)
            for (at, text) in sorted.enumerated() { place[text + 1] = UInt32(truncatingIfNeeded: at) + 1 }
            let codes = group.codes[column]
            var texts: [UInt8] = []
            TextList.encode(sorted.count, into: &texts) { dictionary.text(sorted[$0]) }
            try SegmentColumns.write(
                dictionaryColumns[column], texts, count: sorted.count, codes: order.map { place[Int(codes[Int($0)])] },
                &sink)
        }
        var ids = (0..<view.count).map { HashedRow(row: rows[$0], hash: group.idHashes[$0]) }
        ids.sort { $0.row < $1.row }
        try sink.write(PartName(kind: .hashes, id: EventColumn.eventID.rawValue), HashIndex.encode(&ids))
        var names = (0..<view.nameCount).map { index in
            HashedRow(row: rows[Int(group.names[index].row)], hash: group.names[index].hash)
        }
        names.sort { $0.row < $1.row }
        try sink.write(PartName(kind: .hashes, id: EventColumn.resourceName.rawValue), HashIndex.encode(&names))
        try sink.finish(
            first: first, next: next, events: view.count, timeMin: view.count == 0 ? 0 : view.timeMin,
            timeMax: view.count == 0 ? 0 : view.timeMax)
    }

    private static func blocks(
        _ view: GroupView, _ sink: inout SegmentSink, _ compressor: Compressor
    ) throws(HistoryError) {
        var table: [UInt8] = []
        var index: UInt32 = 0
        for start in stride(from: 0, to: view.count, by: blockEvents) {
            let end = min(start + blockEvents, view.count)
            var codes: [UInt8] = []
            var texts: [UInt8] = []
            var fixed: [UInt8] = []
            for row in start..<end {
                let place = view.group.tokens[row]
                codes.append(contentsOf: UnsafeRawBufferPointer(start: place.base, count: Int(place.codes)))
                texts.append(
                    contentsOf: UnsafeRawBufferPointer(start: place.base + Int(place.codes), count: Int(place.texts)))
                fixed.append(
                    contentsOf: UnsafeRawBufferPointer(
                        start: place.base + Int(place.codes) + Int(place.texts), count: Int(place.fixed)))
            }
            let block = try HistoryBlock.encode(events: end - start, codes, texts, fixed, compressor)
            try sink.write(PartName(kind: .block, index: index), block)
            table.append(littleEndian: UInt32(truncatingIfNeeded: start))
            table.append(littleEndian: UInt32(0))
            index += 1
        }
        try sink.write(PartName(kind: .blockTable), table)
    }

    private static func texts(_ view: GroupView, _ sink: inout SegmentSink) throws(HistoryError) {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: view.group.secondsBase)
        TextList.encode(view.textCount, into: &bytes) { view.group.texts.text($0) }
        try sink.write(PartName(kind: .texts), bytes)
        bytes = []
        TextList.encode(view.shapeCount - 1, into: &bytes) {
            view.group.shape($0 + 1) ?? UnsafeRawBufferPointer(start: nil, count: 0)
        }
        try sink.write(PartName(kind: .shapes), bytes)
    }
}

/// What seals and merges write alike.
enum SegmentColumns {
    static func isAscending(_ times: UnsafeBufferPointer<Int64>) -> Bool {
        for index in 1..<max(1, times.count) where times[index] < times[index - 1] { return false }
        return true
    }

    /// Writes the times of all rows, and first and last time of each piece.
    static func write(times: [Int64], _ sink: inout SegmentSink) throws(HistoryError) {
        var ends: [UInt8] = []
        for (piece, start) in stride(from: 0, to: times.count, by: pieceRows).enumerated() {
            let rows = times[start..<min(start + pieceRows, times.count)]
            try sink.write(
                PartName(kind: .times, index: UInt32(truncatingIfNeeded: piece)), NumberPiece.encode(times: rows))
            ends.append(littleEndian: rows.first ?? 0)
            ends.append(littleEndian: rows.last ?? 0)
        }
        try sink.write(PartName(kind: .pieceTimes), ends)
    }

    static func write(
        words: [UInt32], _ kind: PartKind, expected: UInt32, _ sink: inout SegmentSink
    ) throws(HistoryError) {
        for (piece, start) in stride(from: 0, to: words.count, by: pieceRows).enumerated() {
            try sink.write(
                PartName(kind: kind, index: UInt32(truncatingIfNeeded: piece)),
                NumberPiece.encode(
                    words: words[start..<min(start + pieceRows, words.count)],
                    expected: UInt32(truncatingIfNeeded: start)))
        }
    }

    /// Writes a dictionary column: its texts ascending, the index of its zones, its codes.
    static func write(
        _ column: EventColumn, _ texts: [UInt8], count: Int, codes: [UInt32], _ sink: inout SegmentSink
    ) throws(HistoryError) {
        try sink.write(PartName(kind: .dictionary, id: column.rawValue), texts)
        try sink.write(PartName(kind: .zones, id: column.rawValue), ZoneIndex.encode(codes, texts: count))
        let width = CodePiece.width(texts: count)
        for (piece, start) in stride(from: 0, to: codes.count, by: pieceRows).enumerated() {
            try sink.write(
                PartName(kind: .codes, id: column.rawValue, index: UInt32(truncatingIfNeeded: piece)),
                CodePiece.encode(codes[start..<min(start + pieceRows, codes.count)], width: width))
        }
    }
}

/// A block: the tokens of some events in the order of arrival. Stored: events u32, bytes of codes u32, of texts u32, of fixed u32,
/// stored bytes of codes u32; codes as a zstd frame, fixed as it is, texts as a zstd frame to the end.
struct HistoryBlock {
    private static let headBytes = 20

    static func encode(
        events: Int, _ codes: [UInt8], _ texts: [UInt8], _ fixed: [UInt8], _ compressor: Compressor
    ) throws(HistoryError) -> [UInt8] {
        let packed = try compressor.compressed(codes)
        var bytes: [UInt8] = []
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: events))
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: codes.count))
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: texts.count))
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: fixed.count))
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: packed.count))
        bytes.append(contentsOf: packed)
        bytes.append(contentsOf: fixed)
        bytes.append(contentsOf: try compressor.compressed(texts))
        return bytes
    }

    /// A block as it is kept in memory: events u32, bytes of codes u32, of texts u32, of fixed u32; for each event where its
    /// codes, texts and fixed bytes begin, u32 each; then codes, texts, fixed.
    struct Opened {
        let bytes: UnsafeRawBufferPointer
        let events: Int
        let codes: UnsafeRawBufferPointer
        let texts: UnsafeRawBufferPointer
        let fixed: UnsafeRawBufferPointer

        init?(_ bytes: UnsafeRawBufferPointer) {
            guard bytes.count >= 16 else { return nil }
            events = Int(bytes.u32(0))
            let start = 16 + events * 12
            let textStart = start + Int(bytes.u32(4))
            let fixedStart = textStart + Int(bytes.u32(8))
            guard fixedStart + Int(bytes.u32(12)) == bytes.count else { return nil }
            self.bytes = bytes
            codes = UnsafeRawBufferPointer(rebasing: bytes[start..<textStart])
            texts = UnsafeRawBufferPointer(rebasing: bytes[textStart..<fixedStart])
            fixed = UnsafeRawBufferPointer(rebasing: bytes[fixedStart...])
        }

        /// A reader at an event's begin.
        func reader(_ event: Int) -> EntryReader? {
            guard (0..<events).contains(event) else { return nil }
            var reader = EntryReader(codes: codes, texts: texts, fixed: fixed)
            reader.move(
                code: Int(bytes.u32(16 + event * 12)), text: Int(bytes.u32(20 + event * 12)),
                fixed: Int(bytes.u32(24 + event * 12)))
            return reader
        }
    }

    /// Decompresses a stored block and finds where its events begin; nil when it is not what it should be.
    static func open<T: GroupTexts>(_ stored: UnsafeRawBufferPointer, _ group: T) -> [UInt8]? {
        guard stored.count >= headBytes else { return nil }
        let events = Int(stored.u32(0))
        let (codeBytes, textBytes) = (Int(stored.u32(4)), Int(stored.u32(8)))
        let (fixedBytes, packedBytes) = (Int(stored.u32(12)), Int(stored.u32(16)))
        let start = 16 + events * 12
        let total = start + codeBytes + textBytes + fixedBytes
        guard headBytes + packedBytes + fixedBytes <= stored.count, total < 1 << 31 else { return nil }
        var isWhole = false
        let opened = [UInt8](unsafeUninitializedCapacity: total) { buffer, count in
            let room = UnsafeMutableRawBufferPointer(buffer.extracting(..<total))
            let codes = UnsafeMutableRawBufferPointer(rebasing: room[start..<start + codeBytes])
            let texts = UnsafeMutableRawBufferPointer(
                rebasing: room[start + codeBytes..<start + codeBytes + textBytes])
            let fixed = UnsafeMutableRawBufferPointer(rebasing: room[(start + codeBytes + textBytes)...])
            let fixedAt = headBytes + packedBytes
            fixed.copyMemory(from: UnsafeRawBufferPointer(rebasing: stored[fixedAt..<fixedAt + fixedBytes]))
            guard
                Compressor.decompress(
                    UnsafeRawBufferPointer(rebasing: stored[headBytes..<fixedAt]), to: codes),
                Compressor.decompress(UnsafeRawBufferPointer(rebasing: stored[(fixedAt + fixedBytes)...]), to: texts)
            else { return }
            for (index, value) in [events, codeBytes, textBytes, fixedBytes].enumerated() {
                room.storeBytes(
                    of: UInt32(truncatingIfNeeded: value).littleEndian, toByteOffset: index * 4, as: UInt32.self)
            }
            var reader = EntryReader(
                codes: UnsafeRawBufferPointer(codes), texts: UnsafeRawBufferPointer(texts),
                fixed: UnsafeRawBufferPointer(fixed))
            for event in 0..<events {
                for (index, value) in [reader.codeAt, reader.textAt, reader.fixedAt].enumerated() {
                    room.storeBytes(
                        of: UInt32(truncatingIfNeeded: value).littleEndian, toByteOffset: 16 + event * 12 + index * 4,
                        as: UInt32.self)
                }
                guard reader.pass(group) else { return }
            }
            count = total
            isWhole = true
        }
        return isWhole ? opened : nil
    }
}
