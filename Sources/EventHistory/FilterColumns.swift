// SPDX-License-Identifier: Apache-2.0

internal import EventRecord

/// Compiles filters into tests over a source's columns.
struct FilterCompiler<Source: ColumnSource> {
    let source: Source

    func test(_ filter: EventFilter) throws(HistoryError) -> RowTest {
        switch filter {
        case .all: return .always
        case .nothing: return .never
        case .and(let parts):
            var tests: [RowTest] = []
            for part in parts { tests.append(try test(part)) }
            return .all(tests)
        case .or(let parts):
            var tests: [RowTest] = []
            for part in parts { tests.append(try test(part)) }
            return .any(tests)
        case .not(let part):
            switch try test(part) {
            case .always: return .never
            case .never: return .always
            case let test: return test.isExact ? .not(test) : .maybe
            }
        case .time(let from, let through):
            guard !source.mayLackTimes else { return .maybe }
            let from = from ?? .min
            return try source.rows(in: from...max(from, through ?? .max))
        case .resource, .phrase: return .maybe
        case .category(let category): return try equals(.category, category.rawValue)
        case .compare(.eventID, .equals, let value): return try id(value)
        case .compare(.readOnly, .equals, let value) where value == "true" || value == "false":
            return try equals(.readOnly, value)
        case .compare(let field, .equals, let value):
            guard let column = EventPath(field).dictionaryColumn else { return .maybe }
            return try equals(column, value)
        case .compare(let field, let comparison, let value):
            guard let column = EventPath(field).dictionaryColumn else { return .maybe }
            return try codes(column) { text in comparison.holds(text, value) }
        case .exists(let field):
            guard let column = EventPath(field).dictionaryColumn else { return .maybe }
            return try codes(column) { _ in true }
        case .value(let path, let test):
            if path.wholeField == .eventID, case .equals(let value) = test { return try id(value) }
            if path.wholeField == .readOnly, case .equals(let value) = test, value == "true" || value == "false" {
                return try equals(.readOnly, value)
            }
            if path.derived == .resourceType {
                return try codes(.resourceType) { list in TypeList.contains(list) { test.holds($0) } }
            }
            if path.derived == .resource, case .equals(let value) = test { return try resource(value) }
            guard let column = path.dictionaryColumn else { return .maybe }
            switch test {
            case .equals(let value): return try equals(column, value)
            default: return try codes(column) { test.holds($0) }
            }
        case .lookup(let attribute):
            switch attribute.key {
            case .eventID: return try id(attribute.value)
            case .resourceName: return try resource(attribute.value)
            case .resourceType:
                return try codes(.resourceType) { list in TypeList.contains(list) { $0.isSame(attribute.value) } }
            default: return try equals(attribute.key.column, attribute.value)
            }
        }
    }

    /// The parts of a filter that columns do not decide; all of them must hold.
    func undecided(_ filter: EventFilter) throws(HistoryError) -> EventFilter {
        guard case .and(let parts) = filter else { return try test(filter).isExact ? .all : filter }
        var left: [EventFilter] = []
        for part in parts {
            let part = try undecided(part)
            if part != .all { left.append(part) }
        }
        return left.isEmpty ? .all : left.count == 1 ? left[0] : .and(left)
    }

    func equals(_ column: EventColumn, _ value: String) throws(HistoryError) -> RowTest {
        var value = value
        let found = value.withUTF8 { text -> Result<Int?, HistoryError> in
            do throws(HistoryError) {
                return .success(try source.code(column, of: UnsafeRawBufferPointer(text)))
            } catch {
                return .failure(error)
            }
        }
        guard let code = try found.get() else { return .never }
        if try source.count(column, code: code) == source.events { return .always }
        var set = CodeSet(textCount: try source.textCount(column))
        set.insert(code)
        return .codes(column, set)
    }

    /// Events whose text in a column passes.
    func codes(
        _ column: EventColumn, where test: (UnsafeRawBufferPointer) -> Bool
    ) throws(HistoryError) -> RowTest {
        var set = CodeSet(textCount: try source.textCount(column))
        try source.forEachText(column) { code, text in
            if test(text) { set.insert(code) }
        }
        return set.count == 0 ? .never : .codes(column, set)
    }

    private func id(_ value: String) throws(HistoryError) -> RowTest {
        .rows(
            try source.rows(.eventID, hashes: [EventColumn.short(EventColumn.eventID.hash(value))]), isExact: false)
    }

    private func resource(_ value: String) throws(HistoryError) -> RowTest {
        .rows(try source.rows(.resourceName, hashes: EventResources.hashes(askedFor: value)), isExact: false)
    }
}

extension EventPath {
    /// The dictionary column that holds exactly the texts, numbers and booleans at this path.
    var dictionaryColumn: EventColumn? {
        switch (derived, wholeField) {
        case (.user, _): .username
        case (.category, _): .category
        case (nil, .eventName): .eventName
        case (nil, .eventSource): .eventSource
        case (nil, .awsRegion): .region
        case (nil, .identityAccessKeyID): .accessKeyID
        case (nil, .identityARN): .principalARN
        case (nil, .sourceIPAddress): .sourceAddress
        case (nil, .errorCode): .errorCode
        default: nil
        }
    }
}

extension UnsafeRawBufferPointer {
    func isSame(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { TextHash.isEqual(self, UnsafeRawBufferPointer($0)) }
    }
}

// MARK: The sources

/// A segment with the cache through which it is read.
struct SegmentSource: ColumnSource {
    let segment: HistorySegment
    let cache: HistoryCache

    var events: Int { segment.events }

    func forEachText(
        _ column: EventColumn, _ body: (Int, UnsafeRawBufferPointer) -> Void
    ) throws(HistoryError) {
        try segment.dictionary(column, cache).withUnsafeBytes { bytes in
            guard let list = TextList(bytes) else { return }
            for index in 0..<list.count { if let text = list.text(index) { body(index + 1, text) } }
        }
    }

    func code(_ column: EventColumn, of text: UnsafeRawBufferPointer) throws(HistoryError) -> Int? {
        try segment.dictionary(column, cache).withUnsafeBytes { TextList($0)?.find(text).map { $0 + 1 } }
    }

    func textCount(_ column: EventColumn) throws(HistoryError) -> Int {
        try segment.dictionary(column, cache).withUnsafeBytes { TextList($0)?.count ?? 0 }
    }

    func count(_ column: EventColumn, code: Int) throws(HistoryError) -> Int? {
        try segment.zones(column, cache).withUnsafeBytes { bytes in
            ZoneIndex(bytes).flatMap { code <= $0.count ? $0.events(code - 1) : nil }
        }
    }

    func addZones(_ column: EventColumn, code: Int, to zones: inout [UInt64]) throws(HistoryError) {
        let index = try segment.zones(column, cache)
        index.withUnsafeBytes { bytes in
            guard let index = ZoneIndex(bytes), code <= index.count else { return }
            index.forEachZone(code - 1) { zone in
                if zone >> 6 < zones.count { zones[zone >> 6] |= 1 << UInt64(zone & 63) }
            }
        }
    }

    func rows(_ column: EventColumn, hashes: [UInt32]) throws(HistoryError) -> [UInt32] {
        try segment.rows(column, hashes: hashes, cache)
    }

    func rows(in times: ClosedRange<Int64>) throws(HistoryError) -> RowTest {
        if times.lowerBound <= segment.timeMin, times.upperBound >= segment.timeMax { return .always }
        let low = try segment.firstRow(atOrAfter: times.lowerBound, cache)
        let high =
            times.upperBound == .max
            ? segment.events : try segment.firstRow(atOrAfter: times.upperBound + 1, cache)
        return low < high ? .range(low..<high) : .never
    }

    func seconds(_ rows: Range<Int>) throws(HistoryError) -> [Int64] {
        try segment.times(rows.lowerBound / pieceRows, cache).withUnsafeBytes { times in
            rows.map { times.i64($0 % pieceRows * 8) }
        }
    }

    var mayLackTimes: Bool { segment.timeMin <= 0 && segment.timeMax >= 0 }

    func withCodes<R>(
        _ column: EventColumn, _ rows: Range<Int>, _ body: (CodeRows) -> R
    ) throws(HistoryError) -> R {
        let piece = rows.lowerBound / pieceRows
        let codes = try segment.codes(column, piece, cache)
        let inPiece = segment.rows(ofPiece: piece)
        let width = inPiece > 0 ? codes.count / inPiece : 1
        guard codes.count == inPiece * width, width == 1 || width == 2 || width == 4,
            rows.upperBound <= piece * pieceRows + inPiece
        else {
            throw segment.malformed(
                PartName(kind: .codes, id: column.rawValue, index: UInt32(truncatingIfNeeded: piece)))
        }
        return codes.withUnsafeBytes { body(CodeRows(bytes: $0, from: rows.lowerBound % pieceRows, width: width)) }
    }
}

/// A view of events that are in no segment; its rows are in the order of arrival.
struct GroupSource: ColumnSource {
    let view: GroupView

    var events: Int { view.count }

    private func place(_ column: EventColumn) -> Int { ColumnIndex.of(column) ?? 0 }

    func forEachText(
        _ column: EventColumn, _ body: (Int, UnsafeRawBufferPointer) -> Void
    ) throws(HistoryError) {
        let table = view.group.dictionaries[place(column)]
        for number in 0..<view.dictionaryCounts[place(column)] { body(number + 1, table.text(number)) }
    }

    func code(_ column: EventColumn, of text: UnsafeRawBufferPointer) throws(HistoryError) -> Int? {
        let table = view.group.dictionaries[place(column)]
        for number in 0..<view.dictionaryCounts[place(column)] where TextHash.isEqual(table.text(number), text) {
            return number + 1
        }
        return nil
    }

    func textCount(_ column: EventColumn) throws(HistoryError) -> Int { view.dictionaryCounts[place(column)] }

    func count(_ column: EventColumn, code: Int) throws(HistoryError) -> Int? { nil }

    func addZones(_ column: EventColumn, code: Int, to zones: inout [UInt64]) throws(HistoryError) {
        for index in zones.indices { zones[index] = .max }
    }

    func rows(_ column: EventColumn, hashes: [UInt32]) throws(HistoryError) -> [UInt32] {
        var rows: [UInt32] = []
        if column == .eventID {
            for row in 0..<view.count where hashes.contains(view.group.idHashes[row]) {
                rows.append(UInt32(truncatingIfNeeded: row))
            }
        } else {
            for index in 0..<view.nameCount where hashes.contains(view.group.names[index].hash) {
                let row = view.group.names[index].row
                if rows.last != row { rows.append(row) }
            }
        }
        return rows
    }

    func rows(in times: ClosedRange<Int64>) throws(HistoryError) -> RowTest {
        if times.lowerBound <= view.timeMin, times.upperBound >= view.timeMax { return .always }
        var rows: [UInt32] = []
        for row in 0..<view.count where times.contains(view.group.seconds[row]) {
            rows.append(UInt32(truncatingIfNeeded: row))
        }
        return .rows(rows, isExact: true)
    }

    func seconds(_ rows: Range<Int>) throws(HistoryError) -> [Int64] { rows.map { view.group.seconds[$0] } }

    var mayLackTimes: Bool { view.timeMin <= 0 && view.timeMax >= 0 }

    func withCodes<R>(
        _ column: EventColumn, _ rows: Range<Int>, _ body: (CodeRows) -> R
    ) throws(HistoryError) -> R {
        let codes = UnsafeRawBufferPointer(
            start: view.group.codes[place(column)], count: view.count * MemoryLayout<UInt32>.size)
        return body(CodeRows(bytes: codes, from: rows.lowerBound, width: 4))
    }
}

/// Compiles a whole query: its filter, account, region, category, and what retention still shows.
extension HistoryQuery {
    func test<S: ColumnSource>(
        _ source: S, _ times: ClosedRange<Int64>, _ cutoffs: [HistoryRetention.Cutoff]
    ) throws(HistoryError) -> RowTest {
        let compiler = FilterCompiler(source: source)
        var tests = [try compiler.equals(.ownerAccount, ownerAccount), try source.rows(in: times)]
        if let region { tests.append(try compiler.equals(.region, region)) }
        if let category { tests.append(try compiler.equals(.category, category.rawValue)) }
        for cutoff in cutoffs where cutoff.seconds > .min {
            let kept = try source.rows(in: cutoff.seconds ... .max)
            if case .always = kept { continue }
            let other = try compiler.equals(.category, cutoff.category.rawValue)
            switch other {
            case .never: continue
            case .always: tests.append(kept)
            default: tests.append(.any([.not(other), kept]))
            }
        }
        tests.append(try compiler.test(filter))
        return .all(tests)
    }
}
