// SPDX-License-Identifier: Apache-2.0
//
// What one journal entry holds. Header of 21 bytes, then the record:
//
//     offset  size  content
//          0     1  kind: 1 event, 2 intent, 3 imported event, 4 event that closes an intent
//          1    12  owner account, ASCII digits
//         13     8  related: for kind 4 the number of the intent, else 0; little endian
//         21     -  the record, JSON, UTF-8, to the end of the entry

/// One journal entry: a record with what the journal knows about it.
package struct EventEnvelope: Sendable, Hashable {
    package enum Kind: UInt8, Sendable, Hashable {
        case event = 1
        /// A change about to be made: the whole record as it will be shown should nothing follow it. Followers pass it by.
        case intent = 2
        case importedEvent = 3
        case closingEvent = 4

        /// Whether the entry is shown in event history and delivered.
        package var isShown: Bool { self != .intent }
    }

    /// Bytes before the record.
    package static let headerBytes = 21

    package var kind: Kind
    /// The account in whose event history the event is shown: 12 ASCII digits.
    package var ownerAccount: String
    /// Number of the intent that this event closes; 0 otherwise.
    package var related: UInt64
    package var record: ArraySlice<UInt8>

    package init(kind: Kind, ownerAccount: String, related: UInt64 = 0, record: ArraySlice<UInt8>) {
        precondition(Self.isAccount(ownerAccount), "an owner account has 12 digits, not `\(ownerAccount)`")
        self.kind = kind
        self.ownerAccount = ownerAccount
        self.related = related
        self.record = record
    }

    package init(kind: Kind, ownerAccount: String, related: UInt64 = 0, record: [UInt8]) {
        self.init(kind: kind, ownerAccount: ownerAccount, related: related, record: record[...])
    }

    /// Whether a text is an account id: exactly 12 ASCII digits.
    package static func isAccount(_ text: String) -> Bool {
        text.utf8.count == 12 && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// Bytes of the entry.
    package var byteCount: Int { Self.headerBytes + record.count }

    /// Writes the entry's bytes, which the room holds exactly.
    package func write(to room: UnsafeMutableRawBufferPointer) {
        room[0] = kind.rawValue
        var owner = ownerAccount
        owner.withUTF8 { UnsafeMutableRawBufferPointer(rebasing: room[1..<13]).copyBytes(from: $0.prefix(12)) }
        room.storeBytes(of: related.littleEndian, toByteOffset: 13, as: UInt64.self)
        record.withUnsafeBytes {
            UnsafeMutableRawBufferPointer(rebasing: room[Self.headerBytes...]).copyMemory(from: $0)
        }
    }

    /// The entry's bytes, one allocation.
    package func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headerBytes + record.count)
        bytes.append(kind.rawValue)
        bytes.append(contentsOf: ownerAccount.utf8)
        withUnsafeBytes(of: related.littleEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: record)
        return bytes
    }

    /// Takes an entry apart without copying the record; nil when the header is not one.
    package static func parse(_ entry: ArraySlice<UInt8>) -> EventEnvelope? {
        guard let header = entry.withUnsafeBytes({ EventHeader.parse($0) }) else { return nil }
        let owner = String(decoding: entry[(entry.startIndex + 1)..<(entry.startIndex + 13)], as: UTF8.self)
        return EventEnvelope(
            kind: header.kind, ownerAccount: owner, related: header.related, record: entry.dropFirst(headerBytes))
    }
}

/// The header alone, read without allocating.
package struct EventHeader: Sendable, Hashable {
    package var kind: EventEnvelope.Kind
    package var related: UInt64

    /// nil when the bytes do not begin with an envelope's header.
    package static func parse(_ entry: UnsafeRawBufferPointer) -> EventHeader? {
        guard entry.count >= EventEnvelope.headerBytes, let kind = EventEnvelope.Kind(rawValue: entry[0]) else {
            return nil
        }
        for index in 1...12 where !(0x30...0x39).contains(entry[index]) { return nil }
        let related = UInt64(littleEndian: entry.loadUnaligned(fromByteOffset: 13, as: UInt64.self))
        return EventHeader(kind: kind, related: related)
    }
}
