// SPDX-License-Identifier: Apache-2.0
//
// Events that are in no segment yet: the columns of each, and its tokens (see EntryTokens). Memory for a whole group is set
// aside at once and touched as it fills, and nothing in it moves or changes: readers take a view, which is a handful of counts,
// and see what was there then. So being searched costs the indexing thread nothing, and nothing is copied.

internal import EventRecord
internal import Glibc

/// Columns whose values are texts that many events share, in the order of `EventGroup.codes`.
let dictionaryColumns: [EventColumn] = [
    .eventName, .eventSource, .username, .accessKeyID, .readOnly, .resourceType, .ownerAccount, .region, .category,
    .principalARN, .sourceAddress, .errorCode,
]

/// Places in `dictionaryColumns`.
enum ColumnIndex {
    static let name = 0
    static let source = 1
    static let user = 2
    static let accessKey = 3
    static let readOnly = 4
    static let types = 5
    static let owner = 6
    static let region = 7
    static let category = 8
    static let principal = 9
    static let address = 10
    static let error = 11
    static let count = 12

    static func of(_ column: EventColumn) -> Int? { dictionaryColumns.firstIndex(of: column) }
}

/// An event in an index by hash.
struct HashedRow: Sendable {
    var row: UInt32
    var hash: UInt32
}

/// Where an event's tokens lie.
struct TokenPlace {
    var base: UnsafeRawPointer
    var codes: UInt32
    var texts: UInt32
    var fixed: UInt32
}

/// A group of events being filled, or full and waiting for its segment.
///
/// Readers stay below the counts of a view, which is published under History's mutex; that guards all memory they look at.
final class EventGroup: @unchecked Sendable, GroupTexts {  // guarded by: a view's counts, see above
    /// Names the group in the cache.
    let key: UInt64
    let capacity: Int
    /// A row of these is an event, in the order of arrival.
    let numbers: UnsafeMutablePointer<UInt64>
    let seconds: UnsafeMutablePointer<Int64>
    let idHashes: UnsafeMutablePointer<UInt32>
    /// For each of `dictionaryColumns` a code for each row: 0 for none, else 1 more than the text's number.
    let codes: [UnsafeMutablePointer<UInt32>]
    let dictionaries: [TextTable]
    let names: UnsafeMutablePointer<HashedRow>
    let tokens: UnsafeMutablePointer<TokenPlace>
    let texts: TextTable
    private let shapeBytes: UnsafeMutablePointer<UnsafeRawBufferPointer>
    let baseStore: UnsafeMutablePointer<Int64>

    // Below: touched by the indexing thread alone.
    private(set) var count = 0
    private(set) var nameCount = 0
    private(set) var shapeCount = 1
    private(set) var rawBytes = 0
    private(set) var timeMin = Int64.max
    private(set) var timeMax = Int64.min
    private var arena = Arena(pageBytes: 1 << 18)

    static let namesMax = 1 << 19
    static let textsMax = 1 << 18

    init(key: UInt64, capacity: Int) {
        self.key = key
        self.capacity = capacity
        numbers = .allocate(capacity: capacity)
        seconds = .allocate(capacity: capacity)
        idHashes = .allocate(capacity: capacity)
        codes = dictionaryColumns.map { _ in .allocate(capacity: capacity) }
        dictionaries = dictionaryColumns.map { _ in TextTable(capacity: capacity, pageBytes: 1 << 12) }
        names = .allocate(capacity: Self.namesMax)
        tokens = .allocate(capacity: capacity)
        texts = TextTable(capacity: Self.textsMax)
        shapeBytes = .allocate(capacity: EventShapes.shapesMax + 1)
        baseStore = .allocate(capacity: 1)
        baseStore.pointee = 0
    }

    deinit {
        numbers.deallocate()
        seconds.deallocate()
        idHashes.deallocate()
        for column in codes { column.deallocate() }
        names.deallocate()
        tokens.deallocate()
        shapeBytes.deallocate()
        baseStore.deallocate()
        arena.deallocate()
    }

    var secondsBase: Int64 { baseStore.pointee }
    @inline(__always)
    func text(_ number: Int) -> UnsafeRawBufferPointer? { texts.text(number) }
    @inline(__always)
    func shape(_ number: Int) -> UnsafeRawBufferPointer? { shapeBytes[number] }

    /// Whether another event fits, whatever is in it.
    func hasRoom(for entryBytes: Int) -> Bool { count < capacity && nameCount + entryBytes / 4 < Self.namesMax }

    // MARK: Adding

    func addShape(_ shape: EventShape) {
        shapeBytes[shapeCount] = ShapeBytes.encode(shape).withUnsafeBytes { arena.copy($0) }
        shapeCount += 1
    }

    /// Adds a name's hash to the event that is added next.
    func addName(_ hash: UInt32) {
        guard nameCount < Self.namesMax else { return }
        names[nameCount] = HashedRow(row: UInt32(truncatingIfNeeded: count), hash: hash)
        nameCount += 1
    }

    /// Adds an event whose names were added and whose tokens are given.
    func add(
        number: UInt64, seconds time: Int64, idHash: UInt32, codes eventCodes: borrowing EventCodes,
        tokenCodes: UnsafeRawBufferPointer, tokenTexts: UnsafeRawBufferPointer, fixed: UnsafeRawBufferPointer,
        rawBytes entryBytes: Int
    ) {
        let place = arena.take(tokenCodes.count + tokenTexts.count + fixed.count)
        Self.copy(tokenCodes, to: place)
        Self.copy(tokenTexts, to: place + tokenCodes.count)
        Self.copy(fixed, to: place + tokenCodes.count + tokenTexts.count)
        tokens[count] = TokenPlace(
            base: place, codes: UInt32(truncatingIfNeeded: tokenCodes.count),
            texts: UInt32(truncatingIfNeeded: tokenTexts.count), fixed: UInt32(truncatingIfNeeded: fixed.count))
        numbers[count] = number
        seconds[count] = time
        idHashes[count] = idHash
        for column in 0..<ColumnIndex.count { codes[column][count] = eventCodes.values[column] }
        timeMin = min(timeMin, time)
        timeMax = max(timeMax, time)
        rawBytes += entryBytes
        count += 1
    }

    @inline(__always)
    private static func copy(_ bytes: UnsafeRawBufferPointer, to place: UnsafeMutableRawPointer) {
        if let base = bytes.baseAddress { place.copyMemory(from: base, byteCount: bytes.count) }
    }

    /// What is there now.
    func view(next: UInt64) -> GroupView {
        GroupView(
            group: self, count: count, nameCount: nameCount, shapeCount: shapeCount, textCount: texts.count,
            dictionaryCounts: dictionaries.map(\.count), next: next, rawBytes: rawBytes, timeMin: timeMin,
            timeMax: timeMax)
    }
}

/// One event's codes in the dictionary columns.
struct EventCodes {
    var values = InlineArray<12, UInt32>(repeating: 0)
}

/// What a group held at some time; never changes.
struct GroupView: Sendable {
    let group: EventGroup
    let count: Int
    let nameCount: Int
    let shapeCount: Int
    let textCount: Int
    let dictionaryCounts: [Int]
    /// One past the last journal number that the group accounts for.
    let next: UInt64
    /// Bytes of its entries as the journal has them.
    let rawBytes: Int
    let timeMin: Int64
    let timeMax: Int64

    /// The entry of a row.
    func entry(_ row: Int) throws(HistoryError) -> ArraySlice<UInt8> {
        var out: [UInt8] = []
        guard append(row, to: &out) else {
            throw HistoryError(.damaged, "an unsealed event cannot be read; restart the server")
        }
        return out[...]
    }

    func append(_ row: Int, to out: inout [UInt8]) -> Bool {
        let place = group.tokens[row]
        var reader = EntryReader(
            codes: UnsafeRawBufferPointer(start: place.base, count: Int(place.codes)),
            texts: UnsafeRawBufferPointer(start: place.base + Int(place.codes), count: Int(place.texts)),
            fixed: UnsafeRawBufferPointer(
                start: place.base + Int(place.codes) + Int(place.texts), count: Int(place.fixed)))
        return reader.entry(group, number: group.numbers[row], to: &out)
    }

    func position(_ row: Int) -> HistoryPosition {
        HistoryPosition(seconds: group.seconds[row], number: group.numbers[row])
    }
}
