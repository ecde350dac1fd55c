// SPDX-License-Identifier: Apache-2.0
//
// The columns of event history. What many events share is kept as texts and counted by them; ids and resource names are found
// by hashes: XXH64 of the text in UTF-8 (escapes resolved) with the column's number as the seed, of which the index keeps the
// upper half. Two texts may share a hash: whoever finds an event by hash asks the filter afterwards.

/// An attribute by which history finds events. The numbers are part of the history's file format.
package enum EventColumn: UInt16, Sendable, Hashable, CaseIterable {
    case eventID = 1
    case eventName = 2
    case eventSource = 3
    case username = 4
    case accessKeyID = 5
    case readOnly = 6
    /// Several for each event.
    case resourceType = 7
    /// Several for each event: each resource's name, and an ARN's parts.
    case resourceName = 8
    case ownerAccount = 9
    case region = 10
    case category = 11
    /// `userIdentity.arn`.
    case principalARN = 12
    case sourceAddress = 13
    case errorCode = 14

    @inline(__always)
    package func hash(_ text: UnsafeRawBufferPointer) -> UInt64 {
        let hash = StableHash.xxh64(text, seed: UInt64(rawValue))
        return hash == 0 ? 1 : hash
    }

    package func hash(_ text: String) -> UInt64 { text.withUnsafeUTF8 { hash($0) } }
}

extension EventFields {
    /// The number by which an event is found by its id: the upper half of the hash of its id.
    package func eventIDHash(in record: UnsafeRawBufferPointer) -> UInt32 {
        EventColumn.short(EventColumn.eventID.hash(eventID(in: record)))
    }

    /// Gives the numbers by which an event is found by the names of its resources, one for each; the same may come twice.
    package func forEachResourceHash(in record: UnsafeRawBufferPointer, _ body: (UInt32) -> Void) {
        forEachResource(in: record) { _, name in body(EventResources.hash(ofName: name)) }
    }
}

extension EventColumn {
    /// What the index keeps of a hash.
    @inline(__always)
    package static func short(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash >> 32) }
}

extension EventResources {
    /// The number by which a resource is found: of the last of the texts that `forEachName` gives, the bare name.
    package static func hash(ofName name: UnsafeRawBufferPointer) -> UInt32 {
        var last = name
        forEachName(name) { last = $0 }
        return EventColumn.short(EventColumn.resourceName.hash(last))
    }

    /// The numbers under which resources may be found for which somebody asks by this text: a whole name or ARN, an ARN's part
    /// behind the fifth colon, or the last piece of that.
    package static func hashes(askedFor text: String) -> [UInt32] {
        text.withUnsafeUTF8 { text in
            var hashes: Set<UInt32> = [EventColumn.short(EventColumn.resourceName.hash(text))]
            var last = text
            forEachName(text) { last = $0 }
            hashes.insert(EventColumn.short(EventColumn.resourceName.hash(last)))
            if let cut = text.lastIndex(where: { $0 == 0x2F || $0 == 0x3A }), cut + 1 < text.count {
                let piece = UnsafeRawBufferPointer(rebasing: text[(cut + 1)...])
                hashes.insert(EventColumn.short(EventColumn.resourceName.hash(piece)))
            }
            return hashes.sorted()
        }
    }
}

extension EventFilter {
    /// The times in which matching events lie, both ends inclusive.
    package var timeBounds: ClosedRange<Int64> {
        switch self {
        case .time(let from, let through):
            let from = from ?? .min
            return from...max(from, through ?? .max)
        case .and(let parts):
            var low = Int64.min
            var high = Int64.max
            for bounds in parts.map(\.timeBounds) {
                low = max(low, bounds.lowerBound)
                high = min(high, bounds.upperBound)
            }
            return low...max(low, high)
        default: return .min ... .max
        }
    }
}

extension LookupAttribute.Key {
    package var column: EventColumn {
        switch self {
        case .eventID: .eventID
        case .eventName: .eventName
        case .readOnly: .readOnly
        case .username: .username
        case .resourceType: .resourceType
        case .resourceName: .resourceName
        case .eventSource: .eventSource
        case .accessKeyID: .accessKeyID
        }
    }
}
