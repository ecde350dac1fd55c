// SPDX-License-Identifier: Apache-2.0
//
// How events are found by 64-bit hashes. An attribute's hash is XXH64 of its text in UTF-8 (escapes resolved) with the
// column's number as the seed; 0 stands for "has none", so a hash that comes out as 0 is written as 1. Boolean attributes are
// hashed as `true` or `false`. Two texts may share a hash: whoever finds an event by hash asks the filter afterwards.

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

    @inline(__always)
    package func hash(_ text: UnsafeRawBufferPointer) -> UInt64 {
        let hash = StableHash.xxh64(text, seed: UInt64(rawValue))
        return hash == 0 ? 1 : hash
    }

    package func hash(_ text: String) -> UInt64 { text.withUnsafeUTF8 { hash($0) } }
}

/// What a filter demands of a column: an event that matches has at least one of these hashes in it.
package struct EventProbe: Sendable, Hashable {
    package var column: EventColumn
    package var hashes: [UInt64]

    package init(_ column: EventColumn, _ hashes: [UInt64]) {
        self.column = column
        self.hashes = hashes
    }
}

/// The hashes of one event's single attributes; 0 where it has none.
package struct EventHashes: Sendable, Hashable {
    package var eventID: UInt64 = 0
    package var eventName: UInt64 = 0
    package var eventSource: UInt64 = 0
    package var username: UInt64 = 0
    package var accessKeyID: UInt64 = 0
    package var readOnly: UInt64 = 0
    package var region: UInt64 = 0
    package var category: UInt64 = 0

    package init() {}
}

extension EventFields {
    /// Computes the hashes of the single attributes. The rest: `forEachResourceHash`.
    package func hashes(in record: UnsafeRawBufferPointer) -> EventHashes {
        var hashes = EventHashes()
        if self[.eventID].length > 2 { hashes.eventID = hash(.eventID, .eventID, record) }
        if hashes.eventID == 0 { hashes.eventID = EventColumn.eventID.hash(eventID(in: record)) }
        hashes.eventName = hash(.eventName, .eventName, record)
        hashes.eventSource = hash(.eventSource, .eventSource, record)
        hashes.accessKeyID = hash(.accessKeyID, .identityAccessKeyID, record)
        hashes.region = hash(.region, .awsRegion, record)
        hashes.username = withUsername(in: record) { $0.map { EventColumn.username.hash($0) } ?? 0 }
        hashes.readOnly = flag(.readOnly, in: record).map { $0 ? Self.readOnlyTrue : Self.readOnlyFalse } ?? 0
        hashes.category = Self.categoryHash(category(in: record))
        return hashes
    }

    /// Gives a column (`resourceType` or `resourceName`) and a hash for each resource and each of its names.
    package func forEachResourceHash(in record: UnsafeRawBufferPointer, _ body: (EventColumn, UInt64) -> Void) {
        forEachResource(in: record) { type, name in
            if let type { body(.resourceType, EventColumn.resourceType.hash(type)) }
            EventResources.forEachName(name) { body(.resourceName, EventColumn.resourceName.hash($0)) }
        }
    }

    @inline(__always)
    private func hash(_ column: EventColumn, _ field: EventField, _ record: UnsafeRawBufferPointer) -> UInt64 {
        withText(field, in: record) { $0.map { column.hash($0) } ?? 0 }
    }

    private static let readOnlyTrue = EventColumn.readOnly.hash("true")
    private static let readOnlyFalse = EventColumn.readOnly.hash("false")
    private static let management = EventColumn.category.hash(EventCategory.management.rawValue)
    private static let data = EventColumn.category.hash(EventCategory.data.rawValue)

    private static func categoryHash(_ category: EventCategory) -> UInt64 {
        switch category {
        case .management: management
        case .data: data
        default: EventColumn.category.hash(category.rawValue)
        }
    }
}

extension EventFilter {
    /// What every matching event has in its columns: all probes must hold. Empty when the filter demands nothing that a column
    /// knows. Holds only as a necessary condition; `matches` decides.
    package var probes: [EventProbe] {
        switch self {
        case .all, .nothing, .not, .exists, .time, .resource, .value, .phrase: []
        case .and(let parts): parts.flatMap(\.probes)
        case .or(let parts): Self.union(parts)
        case .category(let category): [EventProbe(.category, [EventColumn.category.hash(category.rawValue)])]
        case .compare(let field, .equals, let value):
            Self.column(field).map { [EventProbe($0, [$0.hash(value)])] } ?? []
        case .compare: []
        case .lookup(let attribute): [EventProbe(attribute.key.column, [attribute.key.column.hash(attribute.value)])]
        }
    }

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

    /// One probe that all alternatives share, if each has one on the same column.
    private static func union(_ parts: [EventFilter]) -> [EventProbe] {
        guard let first = parts.first else { return [] }
        let rest = parts.dropFirst().map(\.probes)
        for probe in first.probes {
            var hashes = probe.hashes
            let isShared = rest.allSatisfy { probes in
                guard let other = probes.first(where: { $0.column == probe.column }) else { return false }
                hashes.append(contentsOf: other.hashes)
                return true
            }
            if isShared { return [EventProbe(probe.column, Array(Set(hashes)).sorted())] }
        }
        return []
    }

    private static func column(_ field: EventField) -> EventColumn? {
        switch field {
        case .eventID: .eventID
        case .eventName: .eventName
        case .eventSource: .eventSource
        case .awsRegion: .region
        case .identityAccessKeyID: .accessKeyID
        default: nil
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
