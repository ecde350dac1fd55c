// SPDX-License-Identifier: Apache-2.0
//
// Documents out of SQLite's own hands: what is bound and read is memory that is there already, which makes a document cost a
// third of what it costs by way of rows. Each is checked as it is read.

internal import Crypto
internal import GRDB
internal import GRDBSQLite

/// A query of the columns key, value, version and checksum, by one key or two and perhaps a limit, in this order.
struct CatalogRows {
    static let columns = "SELECT key, value, version, checksum FROM document"

    private let db: Database
    private let statement: OpaquePointer

    /// - Parameter sql: used here alone, and one of few, since it is kept compiled.
    init(_ db: Database, _ sql: String) throws {
        self.db = db
        statement = try db.cachedStatement(sql: sql).sqliteStatement
    }

    /// - Throws: `DatabaseError`, `DocumentDamage`.
    func documents(_ first: CatalogKey, _ second: CatalogKey?, limit: Int?) throws -> [CatalogDocument] {
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        // The keys stay where they are until the last step.
        return try first.bytes.withUnsafeBytes { firstBytes in
            try (second?.bytes ?? []).withUnsafeBytes { secondBytes in
                try bind(firstBytes, at: 1)
                if second != nil { try bind(secondBytes, at: 2) }
                if let limit { try check(sqlite3_bind_int64(statement, second == nil ? 2 : 3, Int64(limit))) }
                var documents: [CatalogDocument] = []
                while true {
                    switch sqlite3_step(statement) {
                    case SQLITE_ROW: documents.append(try document())
                    case SQLITE_DONE: return documents
                    case let code: throw failure(code)
                    }
                }
            }
        }
    }

    /// Reads all of them for their checksums' sake.
    ///
    /// - Throws: `DatabaseError`, `DocumentDamage`.
    func check(_ bound: CatalogKey? = nil) throws {
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        try (bound?.bytes ?? []).withUnsafeBytes { key in
            if bound != nil { try bind(key, at: 1) }
            while true {
                switch sqlite3_step(statement) {
                case SQLITE_ROW: try verify(blob(0), blob(1))
                case SQLITE_DONE: return
                case let code: throw failure(code)
                }
            }
        }
    }

    private func bind(_ key: UnsafeRawBufferPointer, at index: Int32) throws {
        guard !key.isEmpty, let base = key.baseAddress else {
            return try check(sqlite3_bind_zeroblob(statement, index, 0))
        }
        try check(sqlite3_bind_blob(statement, index, base, Int32(key.count), nil))
    }

    private func document() throws -> CatalogDocument {
        let key = blob(0)
        let value = blob(1)
        try verify(key, value)
        return CatalogDocument(
            key: CatalogKey(bytes: Array(key)), value: Array(value), version: sqlite3_column_int64(statement, 2))
    }

    private func verify(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws {
        guard CatalogDocument.checksum(key: key, value: value) == sqlite3_column_int64(statement, 3) else {
            throw DocumentDamage(key: CatalogKey(bytes: Array(key)))
        }
    }

    /// Valid until the next step.
    private func blob(_ column: Int32) -> UnsafeRawBufferPointer {
        let base = sqlite3_column_blob(statement, column)
        return UnsafeRawBufferPointer(
            start: base, count: base == nil ? 0 : Int(sqlite3_column_bytes(statement, column)))
    }

    private func check(_ code: Int32) throws { if code != SQLITE_OK { throw failure(code) } }

    private func failure(_ code: Int32) -> DatabaseError {
        DatabaseError(
            resultCode: ResultCode(rawValue: code),
            message: db.sqliteConnection.map { String(cString: sqlite3_errmsg($0)) })
    }
}

extension CatalogDocument {
    /// What the column `checksum` has, see Catalog.
    static func checksum(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) -> Int64 {
        var hash = SHA256()
        withUnsafeBytes(of: UInt64(key.count).littleEndian) { hash.update(bufferPointer: $0) }
        hash.update(bufferPointer: key)
        hash.update(bufferPointer: value)
        return hash.finalize().withUnsafeBytes {
            Int64(littleEndian: $0.loadUnaligned(fromByteOffset: 0, as: Int64.self))
        }
    }
}

/// A document whose checksum does not fit.
struct DocumentDamage: Error, CustomStringConvertible {
    let key: CatalogKey

    var description: String { "the document `\(key.components.joined(separator: "/"))` fails its checksum" }
}
