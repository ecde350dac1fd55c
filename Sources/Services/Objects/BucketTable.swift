// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage
internal import Synchronization

/// All buckets in memory, following the catalog.
///
/// Changes are made in the catalog's transactions, which run one at a time; each takes a number inside its transaction,
/// so that two changes of one bucket are applied here in the order in which they were committed.
final class BucketTable: Sendable {
    private struct Row {
        var number: UInt64
        /// Nil: deleted by a change of that number.
        var bucket: BucketRecord?
    }

    private struct State {
        var rows: [String: Row] = [:]
        var next: UInt64 = 1
        var changesInFlight = 0
    }

    private let state = Mutex(State())

    static func load(from catalog: Catalog) async throws(AWSError) -> BucketTable {
        let records = try await catalog.read { (snapshot) throws(AWSError) -> [BucketRecord] in
            var records: [BucketRecord] = []
            for document in try snapshot.scan(prefix: BucketRecord.allKeys) {
                records.append(try BucketRecord(document))
            }
            return records
        }
        let table = BucketTable()
        table.state.withLock { state in
            for record in records { state.rows[record.name] = Row(number: 0, bucket: record) }
        }
        return table
    }

    subscript(name: String) -> BucketRecord? { state.withLock { $0.rows[name]?.bucket } }

    /// The buckets of all accounts, in no order.
    var all: [BucketRecord] { state.withLock { $0.rows.values.compactMap(\.bucket) } }

    /// The buckets of an account, by name.
    func all(of account: String) -> [BucketRecord] {
        state.withLock { $0.rows.values.compactMap(\.bucket) }
            .filter { $0.ownerAccount == account }
            .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    func count(of account: String) -> Int {
        state.withLock { state in state.rows.values.count { $0.bucket?.ownerAccount == account } }
    }

    /// Changes one bucket in a transaction and, once that is durable, here.
    ///
    /// - Parameter body: gets the bucket as the catalog has it and gives what it shall be, nil for none.
    func change(
        _ name: String, in catalog: Catalog,
        _ body: @escaping @Sendable (CatalogTransaction, BucketRecord?) throws(AWSError) -> BucketRecord?
    ) async throws(AWSError) {
        state.withLock { $0.changesInFlight += 1 }
        defer {
            state.withLock { state in
                state.changesInFlight -= 1
                guard state.changesInFlight == 0 else { return }
                state.rows = state.rows.filter { $0.value.bucket != nil }
            }
        }
        let row = try await catalog.write { (transaction) throws(AWSError) -> Row in
            let key = BucketRecord.key(name)
            var current: BucketRecord?
            if let document = try transaction.get(key) { current = try BucketRecord(document) }
            let changed = try body(transaction, current)
            if let changed {
                if changed != current { try transaction.put(key, changed.document) }
            } else if current != nil {
                try transaction.delete(key)
            }
            let number = self.state.withLock { state in
                defer { state.next += 1 }
                return state.next
            }
            return Row(number: number, bucket: changed)
        }
        state.withLock { state in
            if row.number > state.rows[name]?.number ?? 0 { state.rows[name] = row }
        }
    }
}
