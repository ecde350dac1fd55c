// SPDX-License-Identifier: Apache-2.0

internal import EventRecord

/// Decides what is to be merged, dropped or written anew; pure but for reading columns.
struct HistoryMaintenance {
    enum Action {
        case merge
        /// Every event has expired.
        case drop
        /// Many events have expired, and others not.
        case rewrite
    }

    struct Step {
        var segments: Range<Int>
        var action: Action
    }

    let segments: [HistorySegment]
    let limits: HistoryLimits
    /// Seconds.
    let now: Int64
    let cache: HistoryCache

    /// A window of segments, with what was dropped between them, is merged only if it is so many times larger than its largest,
    /// so that each event is written again only a few times.
    private static let growthMin = 4
    /// A segment is written anew once this part of its events has expired.
    private static let expiredPart = 4

    /// What is due first; nil when nothing is.
    func next() throws(HistoryError) -> Step? {
        if !limits.retention.rules.isEmpty {
            for (index, segment) in segments.enumerated() {
                if let action = try expiry(of: segment) { return Step(segments: index..<index + 1, action: action) }
            }
        }
        for start in segments.indices {
            var end = start
            var events = 0
            var bytes: UInt64 = 0
            var largest = 0
            while end < segments.count, end - start < limits.mergeSegmentsMin * 4,
                events + segments[end].events <= limits.mergedEventsMax,
                bytes + segments[end].bytes <= limits.mergedBytesMax,
                segments[end].next - segments[start].first < 1 << 32
            {
                events += segments[end].events
                bytes += segments[end].bytes
                largest = max(largest, segments[end].events)
                end += 1
            }
            if end - start >= limits.mergeSegmentsMin, events >= largest * Self.growthMin {
                return Step(segments: start..<end, action: .merge)
            }
        }
        return nil
    }

    // MARK: Retention

    /// What is to be done about a segment's expired events; nil when nothing yet.
    private func expiry(of segment: HistorySegment) throws(HistoryError) -> Action? {
        guard segment.events > 0 else { return nil }
        var expired = 0
        for owner in try owners(of: segment) {
            let cutoffs = limits.retention.cutoffs(owner, now: now)
            guard cutoffs.contains(where: { $0.seconds > segment.timeMin }) else { continue }
            expired += try self.expired(of: owner, cutoffs, in: segment)
        }
        if expired == segment.events { return .drop }
        return expired * Self.expiredPart >= segment.events ? .rewrite : nil
    }

    private func owners(of segment: HistorySegment) throws(HistoryError) -> [String] {
        var owners: [String] = []
        try SegmentSource(segment: segment, cache: cache).forEachText(.ownerAccount) { _, text in
            owners.append(String(decoding: text, as: UTF8.self))
        }
        return owners
    }

    private func expired(
        of owner: String, _ cutoffs: [HistoryRetention.Cutoff], in segment: HistorySegment
    ) throws(HistoryError) -> Int {
        let source = SegmentSource(segment: segment, cache: cache)
        let compiler = FilterCompiler(source: source)
        var count = 0
        for cutoff in cutoffs where cutoff.seconds > segment.timeMin {
            let test = RowTest.all([
                try compiler.equals(.ownerAccount, owner),
                try compiler.equals(.category, cutoff.category.rawValue),
                try source.rows(in: .min...cutoff.seconds - 1),
            ])
            let zones = try test.zones(source)
            for zone in 0..<(segment.events + zoneRows - 1) / zoneRows
            where zones[zone >> 6] & 1 << UInt64(zone & 63) != 0 {
                count += try test.evaluate(source, zone: zone).count
            }
        }
        return count
    }

    /// The events of a segment that are kept, in groups that together cover the segment's range.
    func kept(of segment: HistorySegment, keys: () -> UInt64) throws(HistoryError) -> [GroupView] {
        var views: [GroupView] = []
        var builder = GroupBuilder(key: keys(), capacity: limits.segmentEventsMax)
        var cutoffs: [String: [HistoryRetention.Cutoff]] = [:]
        for owner in try owners(of: segment) { cutoffs[owner] = limits.retention.cutoffs(owner, now: now) }
        for arrival in 0..<segment.events {
            let entry = try segment.entry(arrival, cache)
            guard let envelope = EventEnvelope.parse(entry) else { throw segment.malformed(PartName(kind: .block)) }
            var fields = EventFields()
            _ = try? EventReader.scan(envelope.record, into: &fields)
            let category = envelope.record.withUnsafeBytes { fields.category(in: $0) }
            let cutoff = cutoffs[envelope.ownerAccount]?.first { $0.category == category }
            if let cutoff, (fields.eventSeconds ?? 0) < cutoff.seconds { continue }
            let number = try segment.number(arrival, cache)
            if !builder.group.hasRoom(for: entry.count) || builder.group.rawBytes >= limits.segmentBytesMax {
                views.append(builder.group.view(next: number))
                builder = GroupBuilder(key: keys(), capacity: limits.segmentEventsMax)
            }
            _ = entry.withUnsafeBytes { builder.append($0, related: envelope.related, number: number) }
        }
        views.append(builder.group.view(next: segment.next))
        return views
    }
}
