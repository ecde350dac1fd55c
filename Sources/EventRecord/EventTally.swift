// SPDX-License-Identifier: Apache-2.0

/// Counts events by the values at some paths, by time, or both.
package struct EventTally: Sendable {
    /// What is counted apart.
    package struct Grouping: Sendable, Hashable {
        package var paths: [EventPath]
        /// Length of the intervals of event time, in seconds, from 1970 on; nil counts all times together.
        package var intervalSeconds: Int64?

        package init(paths: [EventPath] = [], intervalSeconds: Int64? = nil) {
            self.paths = paths
            self.intervalSeconds = intervalSeconds.map { max(1, $0) }
        }
    }

    /// One group.
    package struct Row: Sendable, Hashable {
        /// First second of the interval.
        package var startSeconds: Int64?
        /// For each path its first value; nil where the events have none. Values over 1024 bytes are cut there.
        package var values: [String?]
        package var count: UInt64

        package init(startSeconds: Int64?, values: [String?], count: UInt64) {
            self.startSeconds = startSeconds
            self.values = values
            self.count = count
        }
    }

    /// Groups kept apart; events of further ones are counted in `beyondGroups`.
    package static let groupsMax = 200_000
    private static let valueBytesMax = 1024

    package let grouping: Grouping
    /// All events counted.
    package private(set) var total: UInt64 = 0
    package private(set) var beyondGroups: UInt64 = 0
    /// Groups by the hash of their key; on a collision the next number is taken.
    private var slots: [UInt64: Int] = [:]
    private var groups: [(key: [UInt8], count: UInt64)] = []
    private var scratch: [UInt8] = []

    package init(_ grouping: Grouping) { self.grouping = grouping }

    package var groupCount: Int { groups.count }

    /// Counts one event.
    package mutating func add(_ fields: EventFields, in record: UnsafeRawBufferPointer) {
        scratch.removeAll(keepingCapacity: true)
        appendStart(of: fields.eventSeconds ?? 0)
        for path in grouping.paths { path.withFirst(fields, in: record) { append($0) } }
        count(1)
    }

    /// Counts events of a time, where there are no paths.
    package mutating func add(seconds: Int64, count: UInt64) {
        scratch.removeAll(keepingCapacity: true)
        appendStart(of: seconds)
        self.count(count)
    }

    /// Counts events of a time (which matters where there are intervals) with these values at the paths.
    package mutating func add(seconds: Int64, values: [UnsafeRawBufferPointer?], count: UInt64) {
        scratch.removeAll(keepingCapacity: true)
        appendStart(of: seconds)
        for value in values { append(value) }
        self.count(count)
    }

    /// Counts events of a time with this value at the one path.
    package mutating func add(seconds: Int64, value: UnsafeRawBufferPointer?, count: UInt64) {
        scratch.removeAll(keepingCapacity: true)
        appendStart(of: seconds)
        append(value)
        self.count(count)
    }

    /// Adds what another tally of the same grouping has counted.
    package mutating func merge(_ other: EventTally) {
        for group in other.groups {
            scratch = group.key
            count(group.count)
        }
        beyondGroups += other.beyondGroups
        total += other.beyondGroups
    }

    /// The groups: by time, then the largest first, then by their values.
    package var rows: [Row] { rows(first: .max) }

    /// The first so many of the groups, in the same order.
    package func rows(first limit: Int) -> [Row] {
        var least: UInt64 = 0
        if grouping.intervalSeconds == nil, limit < groups.count {
            // None that is smaller than the last of these can be among the first.
            least = limit > 0 ? groups.map(\.count).sorted(by: >)[limit - 1] : .max
        }
        return Array(sorted(groups.lazy.filter { $0.count >= least }).prefix(limit))
    }

    private func sorted(_ groups: some Sequence<(key: [UInt8], count: UInt64)>) -> [Row] {
        var rows: [Row] = groups.map { group in
            group.key.withUnsafeBytes { key in
                var at = 0
                var start: Int64?
                if grouping.intervalSeconds != nil {
                    start = Int64(littleEndian: key.loadUnaligned(fromByteOffset: 0, as: Int64.self))
                    at = 8
                }
                var values: [String?] = []
                for _ in grouping.paths {
                    let length = UInt32(littleEndian: key.loadUnaligned(fromByteOffset: at, as: UInt32.self))
                    at += 4
                    if length == .max {
                        values.append(nil)
                    } else {
                        values.append(String(decoding: key[at..<at + Int(length)], as: UTF8.self))
                        at += Int(length)
                    }
                }
                return Row(startSeconds: start, values: values, count: group.count)
            }
        }
        rows.sort { a, b in
            if a.startSeconds != b.startSeconds { return a.startSeconds ?? .min < b.startSeconds ?? .min }
            if a.count != b.count { return a.count > b.count }
            for (x, y) in zip(a.values, b.values) where x != y {
                guard let x, let y else { return x == nil }
                return x < y
            }
            return false
        }
        return rows
    }

    private mutating func appendStart(of seconds: Int64) {
        guard let interval = grouping.intervalSeconds else { return }
        let rest = seconds % interval
        let start = seconds - (rest < 0 ? rest + interval : rest)
        withUnsafeBytes(of: start.littleEndian) { scratch.append(contentsOf: $0) }
    }

    private mutating func append(_ value: UnsafeRawBufferPointer?) {
        let count = value.map { min($0.count, Self.valueBytesMax) }
        withUnsafeBytes(of: (count.map { UInt32($0) } ?? .max).littleEndian) { scratch.append(contentsOf: $0) }
        if let value, let count { scratch.append(contentsOf: UnsafeRawBufferPointer(rebasing: value[..<count])) }
    }

    private mutating func count(_ events: UInt64) {
        total += events
        var slot = StableHash.xxh64(scratch, seed: 0x7461_6C6C_79)
        while let index = slots[slot] {
            if groups[index].key == scratch {
                groups[index].count += events
                return
            }
            slot &+= 1
        }
        guard groups.count < Self.groupsMax else {
            beyondGroups += events
            return
        }
        slots[slot] = groups.count
        groups.append((scratch, events))
    }
}
