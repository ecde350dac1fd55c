// SPDX-License-Identifier: Apache-2.0

/// Ids of events that were met: each kept as 128 bits of hash, so 16 bytes and some room.
package struct EventIDSet: Sendable {
    /// What stands for an id: XXH64 under two seeds. Two ids of one key are not to be expected.
    package struct Key: Sendable, Hashable {
        package var high: UInt64
        package var low: UInt64

        /// The key of a record's id, or of the id that is made for a record without one.
        package init(of fields: EventFields, in record: UnsafeRawBufferPointer) {
            let known = fields.withText(.eventID, in: record) { text -> Key? in
                guard let text, !text.isEmpty else { return nil }
                return Key(text)
            }
            self = known ?? fields.eventID(in: record).withUnsafeUTF8 { Key($0) }
        }

        private init(_ id: UnsafeRawBufferPointer) {
            // All zeroes mean an empty place below.
            high = StableHash.xxh64(id, seed: 0x6964_68) | 1
            low = StableHash.xxh64(id, seed: 0x6964_6C)
        }
    }

    private var places: [Key] = []
    package private(set) var count = 0

    package init() {}

    /// Takes a key in; false when it is there already.
    package mutating func insert(_ key: Key) -> Bool {
        if count * 4 >= places.count * 3 { grow() }
        let isNew = Self.place(key, in: &places)
        if isNew { count += 1 }
        return isNew
    }

    private mutating func grow() {
        var larger = [Key](repeating: Key.none, count: max(1024, places.count * 2))
        for key in places where key != Key.none { _ = Self.place(key, in: &larger) }
        places = larger
    }

    private static func place(_ key: Key, in places: inout [Key]) -> Bool {
        let mask = places.count - 1
        var index = Int(truncatingIfNeeded: key.low) & mask
        while places[index] != Key.none {
            if places[index] == key { return false }
            index = (index + 1) & mask
        }
        places[index] = key
        return true
    }
}

extension EventIDSet.Key {
    fileprivate static let none = EventIDSet.Key(high: 0, low: 0)

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}
