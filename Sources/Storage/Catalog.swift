// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import Dispatch
internal import Foundation
internal import GRDB
internal import Synchronization

/// The shared state of the house: small documents under ordered keys, in one SQLite file with real transactions.
///
/// Layout: one table `document(key BLOB PRIMARY KEY, value BLOB, version INTEGER, checksum INTEGER)`, keys ordered by their
/// bytes. The checksum is the first eight bytes, little endian, of SHA-256 over the key's length (8 bytes, little endian),
/// the key and the value; it is verified at each read, and for all documents when the server opens the catalog. A commit is
/// on stable storage when `write` returns (WAL, `synchronous=FULL`). Writes that wait at the same moment share one commit and so
/// one flush; each is a savepoint of its own, undone alone when its body throws.
///
/// Everything throws `AWSError`, since what fails here fails a call; the SQLite error goes into `cause`, for the log.
package final class Catalog: Sendable {
    private let pool: DatabasePool
    private let queue = Mutex(Queue())
    private let step: CatalogStep?
    package let path: String

    /// Writes in one commit at most.
    private static let commitWritesMax = 128

    private struct Queue {
        var waiting: [Waiting] = []
        /// Whether somebody is taking from `waiting`.
        var isBeingServed = false
    }

    /// A write that waits for its commit.
    private struct Waiting: Sendable {
        /// Runs the body and keeps what it gave.
        let run: @Sendable (Database) throws -> Void
        /// Answers the caller: with what was kept, or with why the commit failed.
        let finish: @Sendable ((any Error)?) -> Void
    }

    /// Opens or creates the catalog and checks the file's integrity.
    ///
    /// - Parameters:
    ///   - isShared: another process may have it open, as when a command looks into a running server's; then the
    ///     write-ahead log cannot be checked.
    ///   - checkedOnUse: documents under this prefix are verified when they are read, and not here: content of objects, whose
    ///     damage concerns one of them alone.
    ///   - step: told before and after each write; where the crash tests let the process die.
    /// - Throws: `CatalogDamage` that names the file and says what can be done.
    package init(
        path: String, isShared: Bool = false, checkedOnUse: CatalogKey? = nil, step: CatalogStep? = nil
    ) throws {
        self.path = path
        self.step = step
        if !isShared, let problem = CatalogLogCheck.problem(of: path + "-wal") {
            throw CatalogDamage(path: path + "-wal", reason: problem)
        }
        var configuration = Configuration()
        configuration.maximumReaderCount = 4
        // The commands look into the catalog of a running server.
        configuration.busyMode = .timeout(10)
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA synchronous = FULL")
            // 16 MB: pages that change often are brought into the file less often.
            try db.execute(sql: "PRAGMA wal_autocheckpoint = 4000")
        }
        do {
            pool = try DatabasePool(path: path, configuration: configuration)
            try pool.write { db in
                try db.execute(
                    sql: """
                        CREATE TABLE IF NOT EXISTS document (
                            key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL, version INTEGER NOT NULL,
                            checksum INTEGER NOT NULL
                        ) WITHOUT ROWID
                        """)
            }
            try check(checkedOnUse)
        } catch let damage as CatalogDamage {
            throw damage
        } catch let damage as DocumentDamage {
            throw CatalogDamage(path: path, reason: damage.description)
        } catch {
            throw CatalogDamage(path: path, reason: "\(error)")
        }
    }

    /// Looks at SQLite's own structure and at every document but those under a prefix, side by side.
    private func check(_ checkedOnUse: CatalogKey?) throws {
        let pool = pool
        let steps: [@Sendable () throws -> Void] = [
            {
                let verdict = try pool.read { db in try String.fetchOne(db, sql: "PRAGMA quick_check(1)") }
                guard verdict == "ok" else {
                    throw CatalogDamage(path: pool.path, reason: verdict ?? "no answer to the integrity check")
                }
            },
            {
                try pool.read { db in
                    guard let checkedOnUse else { return try CatalogRows(db, "\(CatalogRows.columns)").check() }
                    try CatalogRows(db, "\(CatalogRows.columns) WHERE key < ?").check(checkedOnUse)
                    guard let end = checkedOnUse.successorOfPrefix else { return }
                    try CatalogRows(db, "\(CatalogRows.columns) WHERE key >= ?").check(end)
                }
            },
        ]
        let failures = Mutex<[Int: any Error]>([:])
        DispatchQueue.concurrentPerform(iterations: steps.count) { index in
            do { try steps[index]() } catch { failures.withLock { $0[index] = error } }
        }
        if let failure = failures.withLock({ $0[0] ?? $0[1] }) { throw failure }
    }

    /// Brings the write-ahead log into the file and closes it.
    package func close() throws {
        try pool.writeWithoutTransaction { db in _ = try db.checkpoint(.truncate) }
        try pool.close()
    }

    /// Reads a consistent snapshot.
    package func read<Result: Sendable>(
        _ body: @escaping @Sendable (CatalogSnapshot) throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        do {
            return try await pool.read { db in try body(CatalogSnapshot(db)) }
        } catch let error as AWSError {
            throw error
        } catch {
            throw .internalFailure(cause: "catalog read: \(error)")
        }
    }

    /// Runs `body` in one transaction: all of it is durable on return, or none of it happened when it throws.
    ///
    /// Bodies run one after another, each seeing what those before it did; those that share a commit become durable together,
    /// and none of them returns before that.
    package func write<Result: Sendable>(
        _ body: @escaping @Sendable (CatalogTransaction) throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        try await step?(.beforeCommit)
        let outcome: Swift.Result<Result, any Error> = await withCheckedContinuation { continuation in
            let kept = Kept<Result>()
            let waiting = Waiting(
                run: { db in
                    do throws(AWSError) {
                        let result = try body(CatalogTransaction(db))
                        kept.outcome.withLock { $0 = .success(result) }
                    } catch {
                        kept.outcome.withLock { $0 = .failure(error) }
                        throw error
                    }
                },
                finish: { failure in
                    let outcome = kept.outcome.withLock { $0 }
                    switch (outcome, failure) {
                    case (.failure(let own)?, _): continuation.resume(returning: .failure(own))
                    case (_, let failure?): continuation.resume(returning: .failure(failure))
                    case (.success(let result)?, nil): continuation.resume(returning: .success(result))
                    case (nil, nil):
                        continuation.resume(returning: .failure(AWSError.internalFailure(cause: "a write was not run")))
                    }
                })
            let isServed = queue.withLock { queue in
                queue.waiting.append(waiting)
                defer { queue.isBeingServed = true }
                return queue.isBeingServed
            }
            if !isServed { pool.asyncWriteWithoutTransaction { db in self.serve(db) } }
        }
        let result: Result
        do {
            result = try outcome.get()
        } catch {
            throw Self.refusal(error, "catalog write")
        }
        try await step?(.afterCommit)
        return result
    }

    /// What a body gave, between its run and its commit.
    private final class Kept<Result: Sendable>: Sendable {
        let outcome = Mutex<Swift.Result<Result, AWSError>?>(nil)
    }

    /// Commits what waits, until nothing does. Runs on the writer's own thread.
    private func serve(_ db: Database) {
        while true {
            let batch = queue.withLock { queue in
                let batch = Array(queue.waiting.prefix(Self.commitWritesMax))
                queue.waiting.removeFirst(batch.count)
                if batch.isEmpty { queue.isBeingServed = false }
                return batch
            }
            if batch.isEmpty { return }
            var failure: (any Error)?
            do { try Self.commit(batch, db) } catch { failure = error }
            for waiting in batch { waiting.finish(failure) }
        }
    }

    private static func commit(_ batch: [Waiting], _ db: Database) throws {
        try db.inTransaction(.immediate) {
            if batch.count == 1 {
                try batch[0].run(db)
                return .commit
            }
            for waiting in batch {
                try db.inSavepoint {
                    do { try waiting.run(db) } catch {
                        // A full disk may have ended the whole transaction, and with it what went before.
                        guard db.isInsideTransaction else { throw error }
                        return .rollback
                    }
                    return .commit
                }
            }
            return .commit
        }
    }

    fileprivate static func refusal(_ error: any Error, _ place: String) -> AWSError {
        switch error {
        case let error as AWSError: error
        case let error as DatabaseError
        where error.resultCode == .SQLITE_FULL || error.resultCode.primaryResultCode == .SQLITE_IOERR:
            .serviceUnavailable(
                "The server cannot write to its disk; nothing was changed. Try again later.",
                cause: "catalog: \(error)")
        default: .internalFailure(cause: "\(place): \(error)")
        }
    }
}

/// Between what steps of a write a process may die.
package enum CatalogMoment: String, Sendable {
    case beforeCommit, afterCommit
}

/// Is told of each moment; what it throws fails the write's caller.
package typealias CatalogStep = @Sendable (CatalogMoment) async throws(AWSError) -> Void

/// The catalog's file cannot be used.
package struct CatalogDamage: Error, CustomStringConvertible {
    package let path: String
    package let reason: String

    package var description: String {
        "the catalog `\(path)` is damaged (\(reason)); restore this file from a backup, or move the data folder away to "
            + "start empty"
    }
}

/// A document's place: components joined by a zero byte, so that no component can reach into the next.
package struct CatalogKey: Sendable, Hashable, Comparable {
    package let bytes: [UInt8]

    package init(bytes: [UInt8]) { self.bytes = bytes }

    /// `CatalogKey("trail", account, region, name)`. Only the last component may contain a zero byte.
    package init(_ components: String...) {
        var bytes: [UInt8] = []
        for (index, component) in components.enumerated() {
            if index > 0 { bytes.append(0) }
            bytes.append(contentsOf: component.utf8)
        }
        self.bytes = bytes
    }

    /// All keys that begin with these components and have more: `CatalogKey.prefix("trail", account)`.
    package static func prefix(_ components: String...) -> CatalogKey {
        var bytes: [UInt8] = []
        for component in components {
            bytes.append(contentsOf: component.utf8)
            bytes.append(0)
        }
        return CatalogKey(bytes: bytes)
    }

    /// The components as text; damaged UTF-8 is replaced.
    package var components: [String] {
        bytes.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
    }

    package static func < (a: CatalogKey, b: CatalogKey) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

    /// The smallest key above every key with this prefix; nil when there is none (all bytes 0xFF).
    package var successorOfPrefix: CatalogKey? {
        var copy = bytes
        while let last = copy.last {
            if last < 0xFF {
                copy[copy.count - 1] = last + 1
                return CatalogKey(bytes: copy)
            }
            copy.removeLast()
        }
        return nil
    }
}

package struct CatalogDocument: Sendable, Equatable {
    package let key: CatalogKey
    package let value: [UInt8]
    /// Counts the writes of this key, from 1.
    package let version: Int64
}

/// Reading inside `Catalog.read` or `Catalog.write`. Never to leave the closure.
package class CatalogSnapshot {
    fileprivate let db: Database

    fileprivate init(_ db: Database) { self.db = db }

    package func get(_ key: CatalogKey) throws(AWSError) -> CatalogDocument? {
        try sql { try CatalogRows(db, "\(CatalogRows.columns) WHERE key = ?").documents(key, nil, limit: nil).first }
    }

    /// Whether there is such a document; its value is not looked at.
    package func has(_ key: CatalogKey) throws(AWSError) -> Bool {
        try sql {
            let statement = try db.cachedStatement(sql: "SELECT 1 FROM document WHERE key = ?")
            return try Int.fetchOne(statement, arguments: [key.data]) != nil
        }
    }

    /// Documents whose key begins with `prefix`, in key order.
    ///
    /// - Parameters:
    ///   - after: only keys above this one (exclusive).
    ///   - from: only keys at or above this one.
    ///   - limit: at most this many.
    package func scan(
        prefix: CatalogKey, after: CatalogKey? = nil, from: CatalogKey? = nil, limit: Int = .max
    ) throws(AWSError) -> [CatalogDocument] {
        try sql {
            // One lower bound: SQLite seeks to the first it is given, and would walk from there to a second.
            let start = max(prefix, from ?? prefix)
            let end = prefix.successorOfPrefix
            // The query's text is one of four, each compiled once.
            if let after, after >= start {
                let query = end == nil ? Self.above : Self.aboveTo
                return try CatalogRows(db, query).documents(after, end, limit: limit)
            }
            let query = end == nil ? Self.from : Self.fromTo
            return try CatalogRows(db, query).documents(start, end, limit: limit)
        }
    }

    private static let above = "\(CatalogRows.columns) WHERE key > ? ORDER BY key LIMIT ?"
    private static let aboveTo = "\(CatalogRows.columns) WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
    private static let from = "\(CatalogRows.columns) WHERE key >= ? ORDER BY key LIMIT ?"
    private static let fromTo = "\(CatalogRows.columns) WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"

    fileprivate func sql<Result>(_ body: () throws -> Result) throws(AWSError) -> Result {
        do {
            return try body()
        } catch {
            throw Catalog.refusal(error, "catalog")
        }
    }
}

/// Reading and writing inside `Catalog.write`. Never to leave the closure.
package final class CatalogTransaction: CatalogSnapshot {
    /// Writes the document, whatever was there.
    package func put(_ key: CatalogKey, _ value: [UInt8]) throws(AWSError) {
        try sql {
            let checksum = key.bytes.withUnsafeBytes { key in
                value.withUnsafeBytes { CatalogDocument.checksum(key: key, value: $0) }
            }
            try db.cachedStatement(
                sql: """
                    INSERT INTO document (key, value, version, checksum) VALUES (?, ?, 1, ?)
                    ON CONFLICT (key) DO UPDATE
                    SET value = excluded.value, version = version + 1, checksum = excluded.checksum
                    """
            ).execute(arguments: [key.data, Data(value), checksum])
        }
    }

    /// - Returns: whether there was one.
    @discardableResult
    package func delete(_ key: CatalogKey) throws(AWSError) -> Bool {
        try sql {
            try db.cachedStatement(sql: "DELETE FROM document WHERE key = ?").execute(arguments: [key.data])
            return db.changesCount > 0
        }
    }
}

extension CatalogKey {
    fileprivate var data: Data { Data(bytes) }
}
