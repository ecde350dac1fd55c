// SPDX-License-Identifier: Apache-2.0

internal import EventRecord

/// Which of some event ids history has: by hash, then on the records.
struct HistoryKnown {
    let snapshot: HistorySnapshot
    let cache: HistoryCache
    /// Only events in this account's history count; nil for all.
    let ownerAccount: String?

    private struct Filter {
        /// A bit for each low 16 bits of a hash asked for, so that most events are passed by without a look-up.
        private var bits = [UInt64](repeating: 0, count: 1024)

        mutating func insert(_ hash: UInt64) { bits[Int(hash >> 6 & 1023)] |= 1 << (hash & 63) }
        @inline(__always) func mayHave(_ hash: UInt64) -> Bool { bits[Int(hash >> 6 & 1023)] & 1 << (hash & 63) != 0 }
    }

    /// The ids among these that an event has. Blocks on files.
    func among(_ ids: [String]) throws(HistoryError) -> Set<String> {
        var asked: [UInt64: [String]] = [:]
        var filter = Filter()
        for id in ids {
            let hash = EventColumn.eventID.hash(id)
            asked[hash, default: []].append(id)
            filter.insert(hash)
        }
        var known: Set<String> = []
        for chunk in snapshot.chunks {
            let column = chunk.columns.single[0]
            for row in column.indices where filter.mayHave(column[row]) {
                guard let ids = asked[column[row]], !ids.allSatisfy(known.contains) else { continue }
                if let id = try id(of: chunk.entry(row, cache)), ids.contains(id) { known.insert(id) }
            }
        }
        let hashes = asked.keys.sorted()
        for segment in snapshot.segments {
            let column = try segment.column(EventColumn.eventID.rawValue, cache)
            var rows: [(row: UInt32, hash: UInt64)] = []
            column.withUnsafeBytes { bytes in
                for hash in hashes {
                    guard let list = HashColumn.list(hash, in: bytes), list.count <= segment.events else { continue }
                    for row in HashColumn.rows(list, in: bytes, events: segment.events) { rows.append((row, hash)) }
                }
            }
            // In the order of the file, so that each block is decompressed once.
            let candidates = SegmentCandidates(segment: segment, cache: cache)
            var found: [(arrival: Int, hash: UInt64)] = []
            for (row, hash) in rows { found.append((try candidates.arrival(Int(row)), hash)) }
            found.sort { $0.arrival < $1.arrival }
            for (arrival, hash) in found {
                guard let ids = asked[hash], !ids.allSatisfy(known.contains) else { continue }
                if let id = try id(of: segment.entry(arrival, cache)), ids.contains(id) { known.insert(id) }
            }
        }
        return known
    }

    private func id(of entry: ArraySlice<UInt8>) throws(HistoryError) -> String? {
        guard let envelope = EventEnvelope.parse(entry), ownerAccount == nil || ownerAccount == envelope.ownerAccount
        else {
            return nil
        }
        var fields = EventFields()
        _ = try? EventReader.scan(envelope.record, into: &fields)
        return envelope.record.withUnsafeBytes { fields.eventID(in: $0) }
    }
}
