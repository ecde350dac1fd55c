// SPDX-License-Identifier: Apache-2.0

package import EventRecord

/// What is looked for in event history. Events come in the order of event time, then of journal number.
package struct HistoryQuery: Sendable, Hashable {
    package enum Order: Sendable, Hashable {
        case newestFirst
        case oldestFirst
    }

    /// The account whose history is searched: 12 digits.
    package var ownerAccount: String
    /// The record's `awsRegion`; nil for all.
    package var region: String?
    /// nil for all.
    package var category: EventCategory?
    package var filter: EventFilter
    /// First second, inclusive; nil is open.
    package var startSeconds: Int64?
    /// Last second, inclusive; nil is open.
    package var endSeconds: Int64?
    package var order: Order
    /// Events on a page, at least 1.
    package var limit: Int
    /// `HistoryPage.nextToken` of the page before, for the same query (the limit may differ).
    package var token: String?

    package init(
        ownerAccount: String, region: String? = nil, category: EventCategory? = nil, filter: EventFilter = .all,
        startSeconds: Int64? = nil, endSeconds: Int64? = nil, order: Order = .newestFirst, limit: Int,
        token: String? = nil
    ) {
        self.order = order
        self.ownerAccount = ownerAccount
        self.region = region
        self.category = category
        self.filter = filter
        self.startSeconds = startSeconds
        self.endSeconds = endSeconds
        self.limit = limit
        self.token = token
    }

    /// The times in which events can match, both ends inclusive; nil when none can.
    var times: ClosedRange<Int64>? {
        let bounds = filter.timeBounds
        let low = max(startSeconds ?? .min, bounds.lowerBound)
        let high = min(endSeconds ?? .max, bounds.upperBound)
        return low <= high ? low...high : nil
    }

    /// Whether the query takes an event of its owner account.
    func takes(_ fields: EventFields, in record: UnsafeRawBufferPointer) -> Bool {
        if let region,
            !fields.withText(.awsRegion, in: record, { $0.map { $0.elementsEqual(region.utf8) } ?? false })
        {
            return false
        }
        if let category, fields.category(in: record) != category { return false }
        return filter.matches(fields, in: record)
    }

    /// The same for equal queries in every process; page size and token have no part in it.
    var fingerprint: UInt64 {
        var bytes: [UInt8] = []
        func add(_ text: String?) {
            bytes.append(text == nil ? 0 : 1)
            let text = text ?? ""
            withUnsafeBytes(of: UInt32(truncatingIfNeeded: text.utf8.count).littleEndian) {
                bytes.append(contentsOf: $0)
            }
            bytes.append(contentsOf: text.utf8)
        }
        add(ownerAccount)
        add(region)
        add(category?.rawValue)
        add(startSeconds.map { "\($0)" })
        add(endSeconds.map { "\($0)" })
        filter.encode(into: &bytes)
        if order == .oldestFirst { bytes.append(1) }
        return StableHash.xxh64(bytes, seed: 0x746F_6B65_6E)
    }
}

/// One page of what was found.
package struct HistoryPage: Sendable {
    package var events: [HistoryEvent]
    /// Asks for the next page; nil when this one is the last.
    package var nextToken: String?
}

/// An event as history holds it.
package struct HistoryEvent: Sendable {
    package var number: UInt64
    package var kind: EventEnvelope.Kind
    package var ownerAccount: String
    package var event: Event
}

/// A place in the order of events: newest is greatest.
struct HistoryPosition: Comparable, Sendable, Hashable {
    var seconds: Int64
    var number: UInt64

    static func < (a: HistoryPosition, b: HistoryPosition) -> Bool {
        a.seconds != b.seconds ? a.seconds < b.seconds : a.number < b.number
    }
}

/// A page token: the last event given, and which query it was for.
///
/// 33 bytes in URL-safe base64 without padding: version 1; seconds i64, number u64, fingerprint of the query u64, XXH64 of the
/// 25 bytes before u64; little endian. A token names a place, not a list: events that arrive later are not missed below the
/// place and not shown above it.
struct HistoryToken {
    var position: HistoryPosition
    var fingerprint: UInt64

    private static let seed: UInt64 = 0x7061_6765

    var text: String {
        var bytes: [UInt8] = [1]
        withUnsafeBytes(of: position.seconds.littleEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: position.number.littleEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: fingerprint.littleEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: StableHash.xxh64(bytes, seed: Self.seed).littleEndian) { bytes.append(contentsOf: $0) }
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group =
                UInt32(bytes[start]) << 16 | UInt32(bytes[start + 1]) << 8 | UInt32(bytes[start + 2])
            for shift in [18, 12, 6, 0] { text.append(Self.alphabet[Int(group >> UInt32(shift) & 63)]) }
        }
        return String(decoding: text, as: UTF8.self)
    }

    init(position: HistoryPosition, fingerprint: UInt64) {
        self.position = position
        self.fingerprint = fingerprint
    }

    /// - Throws: `HistoryError.invalidToken`.
    init(_ text: String, for fingerprint: UInt64) throws(HistoryError) {
        let invalid = HistoryError(.invalidToken, "the page token is damaged or belongs to another query")
        guard text.utf8.count == 44 else { throw invalid }
        var bytes: [UInt8] = []
        var group: UInt32 = 0
        for (index, letter) in text.utf8.enumerated() {
            guard let value = Self.alphabet.firstIndex(of: letter) else { throw invalid }
            group = group << 6 | UInt32(value)
            if index % 4 == 3 {
                bytes.append(UInt8(truncatingIfNeeded: group >> 16))
                bytes.append(UInt8(truncatingIfNeeded: group >> 8))
                bytes.append(UInt8(truncatingIfNeeded: group))
                group = 0
            }
        }
        let words = bytes.withUnsafeBytes { raw in
            [1, 9, 17, 25].map { UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: $0, as: UInt64.self)) }
        }
        guard bytes[0] == 1, words[2] == fingerprint,
            words[3] == StableHash.xxh64(Array(bytes[..<25]), seed: Self.seed)
        else { throw invalid }
        position = HistoryPosition(seconds: Int64(bitPattern: words[0]), number: words[1])
        self.fingerprint = fingerprint
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
}
