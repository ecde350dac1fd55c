// SPDX-License-Identifier: Apache-2.0

internal import EventRecord

/// Which of some event ids history has: by hash, then on the records.
struct HistoryKnown {
    let snapshot: HistorySnapshot
    let cache: HistoryCache
    /// Only events in this account's history count; nil for all.
    let ownerAccount: String?

    /// The ids among these that an event has. Blocks on files.
    func among(_ ids: [String]) throws(HistoryError) -> Set<String> {
        var asked: [UInt32: [String]] = [:]
        /// A bit for each low 16 bits of a hash asked for, so that most events are passed by without a look-up.
        var filter = [UInt64](repeating: 0, count: 1024)
        for id in ids {
            let hash = EventColumn.short(EventColumn.eventID.hash(id))
            asked[hash, default: []].append(id)
            filter[Int(hash >> 6 & 1023)] |= 1 << UInt64(hash & 63)
        }
        var known: Set<String> = []
        for view in snapshot.groups {
            for row in 0..<view.count {
                let hash = view.group.idHashes[row]
                guard filter[Int(hash >> 6 & 1023)] & 1 << UInt64(hash & 63) != 0, let ids = asked[hash],
                    !ids.allSatisfy(known.contains)
                else { continue }
                if let id = try id(of: view.entry(row)), ids.contains(id) { known.insert(id) }
            }
        }
        for segment in snapshot.segments {
            let name = PartName(kind: .hashes, id: EventColumn.eventID.rawValue)
            let index = try segment.part(name, cache)
            var found: [(arrival: Int, hash: UInt32)] = []
            for hash in asked.keys {
                guard let rows = index.withUnsafeBytes({ HashIndex.rows(hash, in: $0) }) else {
                    throw segment.malformed(name)
                }
                for row in rows where Int(row) < segment.events {
                    found.append((try segment.arrival(Int(row), cache), hash))
                }
            }
            // In the order of the file, so that each block is decompressed once.
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
