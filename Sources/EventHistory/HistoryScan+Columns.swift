// SPDX-License-Identifier: Apache-2.0

internal import EventRecord

extension HistoryScan {
    /// The product of more dictionaries' sizes could be over the range of numbers.
    static var columnsMax: Int { 3 }

    /// Counts some rows, ascending, where columns hold all that is grouped by.
    func countByColumns(_ source: SegmentSource, rows: [UInt32], into tally: inout EventTally) throws(HistoryError) {
        _ = try countByColumns(source, .rows(rows, isExact: true), into: &tally)
    }

    /// Counts without the records where the columns suffice; false, and nothing counted, where they do not.
    func countByColumns<S: ColumnSource>(
        _ source: S, _ test: RowTest, into tally: inout EventTally
    ) throws(HistoryError) -> Bool {
        guard test.isExact, grouping.paths.count <= Self.columnsMax else { return false }
        var columns: [EventColumn] = []
        for path in grouping.paths {
            guard let column = path.dictionaryColumn else { return false }
            columns.append(column)
        }
        if case .never = test { return true }
        if let timed = source as? SegmentSource, columns.isEmpty, let rows = Self.wholeRange(test, source.events) {
            try countTimes(timed, rows, into: &tally)
            return true
        }
        if case .always = test, grouping.intervalSeconds == nil, columns.count == 1,
            try countTexts(source, columns[0], into: &tally)
        {
            return true
        }
        var counter = try ColumnCounter(source, columns, grouping.intervalSeconds)
        let zones = try test.zones(source)
        for zone in 0..<(source.events + zoneRows - 1) / zoneRows
        where zones[zone >> 6] & 1 << UInt64(zone & 63) != 0 {
            if zone % 16 == 0 { try checkCancelled() }
            let bits = try test.evaluate(source, zone: zone)
            if bits.isEmpty { continue }
            try counter.count(bits, zone: zone, into: &tally)
        }
        try counter.flush(into: &tally)
        return true
    }

    /// The rows that a test lets pass when they are a range.
    private static func wholeRange(_ test: RowTest, _ events: Int) -> Range<Int>? {
        switch test {
        case .always: 0..<events
        case .range(let range): range
        default: nil
        }
    }

    /// Rows are in the order of time: each interval is counted by its ends.
    private func countTimes(
        _ source: SegmentSource, _ rows: Range<Int>, into tally: inout EventTally
    ) throws(HistoryError) {
        guard let interval = grouping.intervalSeconds else {
            if !rows.isEmpty { tally.add(seconds: 0, count: UInt64(rows.count)) }
            return
        }
        var row = rows.lowerBound
        while row < rows.upperBound {
            let seconds = try source.segment.seconds(row, source.cache)
            let rest = seconds % interval
            let (next, isOver) = (seconds - (rest < 0 ? rest + interval : rest)).addingReportingOverflow(interval)
            let end =
                isOver
                ? rows.upperBound
                : min(try source.segment.firstRow(atOrAfter: next, source.cache), rows.upperBound)
            tally.add(seconds: seconds, count: UInt64(end - row))
            row = end
        }
    }

    /// The index of zones knows how often each text occurs.
    private func countTexts<S: ColumnSource>(
        _ source: S, _ column: EventColumn, into tally: inout EventTally
    ) throws(HistoryError) -> Bool {
        guard let segment = source as? SegmentSource else { return false }
        let index = try segment.segment.zones(column, segment.cache)
        let texts = try segment.segment.dictionary(column, segment.cache)
        index.withUnsafeBytes { index in
            texts.withUnsafeBytes { texts in
                guard let index = ZoneIndex(index), let texts = TextList(texts) else { return }
                var left = source.events
                for text in 0..<min(index.count, texts.count) {
                    left -= index.events(text)
                    tally.add(seconds: 0, values: [texts.text(text)], count: UInt64(index.events(text)))
                }
                if left > 0 { tally.add(seconds: 0, values: [nil], count: UInt64(left)) }
            }
        }
        return true
    }
}

/// Counts combinations of codes, and gives them to a tally as texts at the end of each interval.
private struct ColumnCounter<Source: ColumnSource> {
    private let source: Source
    private let columns: [EventColumn]
    private let interval: Int64?
    private let sizes: [Int]
    /// Counts by combined code when these are few; else the table is used.
    private var dense: [UInt32]
    private var touched: [Int] = []
    private var sparse: [Int: UInt32] = [:]
    private var start = Int64.min
    private var scratch: [[UInt32]]
    /// Codes of the first column, by row of the zone.
    private var firsts = [UInt32](repeating: 0, count: zoneRows)

    private static var denseMax: Int { 1 << 20 }

    init(_ source: Source, _ columns: [EventColumn], _ interval: Int64?) throws(HistoryError) {
        self.source = source
        self.columns = columns
        self.interval = interval
        var sizes: [Int] = []
        for column in columns { sizes.append(try source.textCount(column) + 1) }
        self.sizes = sizes
        var product = 1
        for size in sizes where product <= Self.denseMax { product *= size }
        dense = product <= Self.denseMax ? [UInt32](repeating: 0, count: product) : []
        scratch = columns.map { _ in [UInt32](repeating: 0, count: zoneRows) }
    }

    mutating func count(_ bits: ZoneBits, zone: Int, into tally: inout EventTally) throws(HistoryError) {
        let first = zone * zoneRows
        let rows = first..<min(first + zoneRows, source.events)
        if interval == nil, columns.isEmpty {
            tally.add(seconds: 0, count: UInt64(bits.count))
            return
        }
        if interval == nil, !dense.isEmpty, columns.count <= 2 {
            var dense = dense
            var firsts = firsts
            (self.dense, self.firsts) = ([], [])
            let size = columns.count == 2 ? sizes[1] : 1
            try source.withCodes(columns[0], rows) { codes in
                if columns.count == 1 {
                    Self.count(bits, &dense) { codes.code($0) }
                    return
                }
                firsts.withUnsafeMutableBufferPointer { firsts in
                    bits.forEach { firsts[$0] = UInt32(truncatingIfNeeded: codes.code($0)) }
                }
            }
            if columns.count == 2 {
                try source.withCodes(columns[1], rows) { codes in
                    firsts.withUnsafeBufferPointer { firsts in
                        Self.count(bits, &dense) { Int(firsts[$0]) &* size &+ codes.code($0) }
                    }
                }
            }
            (self.dense, self.firsts) = (dense, firsts)
            return
        }
        for (index, column) in columns.enumerated() {
            var room = scratch[index]
            scratch[index] = []
            try source.withCodes(column, rows) { codes in
                bits.forEach { room[$0] = UInt32(truncatingIfNeeded: codes.code($0)) }
            }
            scratch[index] = room
        }
        let times = interval == nil ? nil : try source.seconds(rows)
        var picked: [Int] = []
        picked.reserveCapacity(bits.count)
        bits.forEach { picked.append($0) }
        for row in picked {
            if let interval, let times {
                let seconds = times[row]
                if start == .min || seconds < start || seconds - start >= interval {
                    try flush(into: &tally)
                    let rest = seconds % interval
                    start = seconds - (rest < 0 ? rest + interval : rest)
                }
            }
            var key = 0
            for index in columns.indices {
                key = key &* sizes[index] &+ Int(scratch[index][row])
            }
            if dense.isEmpty {
                sparse[key, default: 0] += 1
            } else {
                if dense[key] == 0 { touched.append(key) }
                dense[key] += 1
            }
        }
    }

    @inline(__always)
    private static func count(_ bits: ZoneBits, _ dense: inout [UInt32], _ key: (Int) -> Int) {
        dense.withUnsafeMutableBufferPointer { dense in
            bits.forEach { row in
                let key = key(row)
                if key < dense.count { dense[key] &+= 1 }
            }
        }
    }

    mutating func flush(into tally: inout EventTally) throws(HistoryError) {
        var counts: [(key: Int, count: UInt32)] = []
        if dense.isEmpty {
            counts = sparse.map { ($0.key, $0.value) }
            sparse.removeAll(keepingCapacity: true)
        } else if interval == nil, columns.count == 1 {
            if dense[0] > 0 { tally.add(seconds: 0, value: nil, count: UInt64(dense[0])) }
            try source.forEachText(columns[0]) { code, text in
                if code < dense.count, dense[code] > 0 {
                    tally.add(seconds: 0, value: text, count: UInt64(dense[code]))
                }
            }
            return
        } else if interval == nil, columns.count == 2 {
            for (key, count) in dense.enumerated() where count > 0 { counts.append((key, count)) }
        } else {
            for key in touched {
                counts.append((key, dense[key]))
                dense[key] = 0
            }
            touched.removeAll(keepingCapacity: true)
        }
        guard !counts.isEmpty else { return }
        try give(counts, &tally)
    }

    /// Resolves codes to texts, one column after the other, so that each column's texts are held once.
    private func give(
        _ counts: [(key: Int, count: UInt32)], _ tally: inout EventTally
    ) throws(HistoryError) {
        var texts: [[Int: [UInt8]]] = []
        for (index, column) in columns.enumerated() {
            var wanted: [Int: [UInt8]] = [:]
            for item in counts { wanted[code(item.key, index)] = [] }
            try source.forEachText(column) { code, text in
                if wanted[code] != nil { wanted[code] = Array(text) }
            }
            texts.append(wanted)
        }
        for item in counts {
            let found = columns.indices.map { index -> [UInt8]? in
                let code = code(item.key, index)
                return code == 0 ? nil : texts[index][code]
            }
            Self.withBuffers(found[...], []) { values in
                tally.add(seconds: start == .min ? 0 : start, values: values, count: UInt64(item.count))
            }
        }
    }

    private func code(_ key: Int, _ index: Int) -> Int {
        var key = key
        for later in columns.indices.reversed() where later > index { key /= sizes[later] }
        return key % sizes[index]
    }

    private static func withBuffers(
        _ texts: ArraySlice<[UInt8]?>, _ done: [UnsafeRawBufferPointer?], _ body: ([UnsafeRawBufferPointer?]) -> Void
    ) {
        guard let first = texts.first else { return body(done) }
        guard let first else { return withBuffers(texts.dropFirst(), done + [nil], body) }
        first.withUnsafeBytes { withBuffers(texts.dropFirst(), done + [$0], body) }
    }
}
