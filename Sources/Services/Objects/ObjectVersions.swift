// SPDX-License-Identifier: Apache-2.0
//
// Where the versions of a key stand in the catalog.
//
//     ("object", BUCKET, KEY)                the current version, unless that is a delete marker
//     ("version", BUCKET, ESCAPED-KEY ROW)   every other version and every delete marker
//     ("null-version", BUCKET, KEY)          the order of the version `null`, where that is a row
//
// ESCAPED-KEY is the key with 00 written as 00 FF, closed by 00 01, so that rows sort by key whatever bytes it has; ROW
// is eight bytes, big-endian, of the complement of the version's order, so that the newest comes first. A bucket that
// never had versions has no rows, and listing current objects never meets one.
//
// A version id is 12 hexadecimal digits of the order and 20 random ones, so that it names its row.

internal import AWSWire
internal import Storage

enum VersionKeys {
    static func rows(in bucket: String) -> CatalogKey { CatalogKey.prefix("version", bucket) }

    /// The rows of one key.
    static func rows(_ bucket: String, _ key: String) -> CatalogKey {
        CatalogKey(bytes: rows(in: bucket).bytes + escaped(Array(key.utf8)) + [0, 1])
    }

    static func row(_ bucket: String, _ key: String, order: Int64) -> CatalogKey {
        let complement = withUnsafeBytes(of: (~UInt64(bitPattern: order)).bigEndian) { Array($0) }
        return CatalogKey(bytes: rows(bucket, key).bytes + complement)
    }

    static func null(_ bucket: String, _ key: String) -> CatalogKey { CatalogKey("null-version", bucket, key) }

    static func escaped(_ key: [UInt8]) -> [UInt8] {
        guard key.contains(0) else { return key }
        return key.flatMap { $0 == 0 ? [0, 0xFF] : [$0] }
    }

    /// The key of a row, given the row's bytes after `rows(in:)`; nil where they are no row.
    static func key(ofRow bytes: ArraySlice<UInt8>) -> [UInt8]? {
        guard bytes.count >= 10 else { return nil }
        let escaped = bytes.dropLast(8)
        guard escaped.suffix(2).elementsEqual([0, 1]) else { return nil }
        var key: [UInt8] = []
        var index = escaped.startIndex
        let end = escaped.endIndex - 2
        while index < end {
            key.append(escaped[index])
            if escaped[index] == 0 { index += 1 }
            index += 1
        }
        return key
    }

    /// The order that a version id names, nil for what is no version id of ours.
    static func order(of version: String) -> Int64? {
        guard version.utf8.count == 32,
            version.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else { return nil }
        return Int64(version.prefix(12), radix: 16)
    }

    /// - Parameter random: ten bytes.
    static func version(order: Int64, random: [UInt8]) -> String {
        let digits = String(order, radix: 16)
        return String(repeating: "0", count: max(0, 12 - digits.count)) + digits + hexadecimal(random)
    }
}

extension CatalogSnapshot {
    /// The current version of a key, nil where there is none or it is a delete marker.
    func currentObject(_ bucket: String, _ key: String) throws(AWSError) -> ObjectRecord? {
        guard let document = try get(ObjectRecord.key(bucket, key)) else { return nil }
        return try ObjectRecord(document)
    }

    /// The newest row of a key. Where there is no current object, it is a delete marker.
    func newestRow(_ bucket: String, _ key: String) throws(AWSError) -> ObjectRecord? {
        guard let document = try scan(prefix: VersionKeys.rows(bucket, key), limit: 1).first else { return nil }
        return try ObjectRecord(document)
    }

    /// The delete marker that hides a key, nil where none does.
    func hidingMarker(_ bucket: String, _ key: String) throws(AWSError) -> ObjectRecord? {
        guard let row = try newestRow(bucket, key), row.isDeleteMarker else { return nil }
        return row
    }

    /// A version by its id, `null` included, and whether it stands under the object's own key.
    func object(
        _ bucket: String, _ key: String, version: String
    ) throws(AWSError) -> (record: ObjectRecord, isCurrent: Bool)? {
        if let current = try currentObject(bucket, key), current.versionText == version { return (current, true) }
        guard let order = try order(bucket, key, of: version),
            let document = try get(VersionKeys.row(bucket, key, order: order))
        else { return nil }
        let record = try ObjectRecord(document)
        return record.versionText == version ? (record, false) : nil
    }

    /// The order of a version that is a row.
    func order(_ bucket: String, _ key: String, of version: String) throws(AWSError) -> Int64? {
        guard version == "null" else { return VersionKeys.order(of: version) }
        guard let pointer = try get(VersionKeys.null(bucket, key)) else { return nil }
        return Int64(String(decoding: pointer.value, as: UTF8.self))
    }
}

/// Changes the versions of one key, inside a transaction. What is replaced for ever is dropped, its files are named.
struct VersionChange {
    let transaction: CatalogTransaction
    let bucket: String
    let key: String
    let versioning: BucketSettings.Versioning?
    let now: Timestamp
    /// Ten random bytes.
    let random: [UInt8]
    /// Files that are of no use once the transaction is durable.
    private(set) var dropped: [String] = []

    init(
        _ transaction: CatalogTransaction, bucket: BucketRecord, key: String, now: Timestamp, random: [UInt8]
    ) {
        self.transaction = transaction
        self.bucket = bucket.name
        self.key = key
        versioning = bucket.settings.versioning
        self.now = now
        self.random = random
    }

    /// Makes a record the current version.
    ///
    /// - Returns: the record with its version and order.
    mutating func put(_ record: ObjectRecord) throws(AWSError) -> ObjectRecord {
        var record = try takeItsPlace(record)
        record.noncurrentSince = nil
        try transaction.put(ObjectRecord.key(bucket, key), record.document)
        return record
    }

    /// Deletes without naming a version: for good where the bucket has no versions, else by a delete marker.
    ///
    /// - Returns: the marker, nil where none was made.
    mutating func deleteCurrent() throws(AWSError) -> ObjectRecord? {
        guard versioning != nil else {
            if let current = try transaction.currentObject(bucket, key) {
                try transaction.delete(ObjectRecord.key(bucket, key))
                dropped += try transaction.drop(current)
            }
            return nil
        }
        let marker = try takeItsPlace(ObjectRecord(markerAt: now))
        try transaction.delete(ObjectRecord.key(bucket, key))
        try putRow(marker)
        return marker
    }

    /// Deletes one version for good; the one before it becomes current if it was.
    ///
    /// - Returns: what was deleted, nil where there is no such version.
    mutating func delete(version: String) throws(AWSError) -> ObjectRecord? {
        guard let (record, isCurrent) = try transaction.object(bucket, key, version: version) else { return nil }
        if isCurrent {
            try transaction.delete(ObjectRecord.key(bucket, key))
        } else {
            try deleteRow(record)
        }
        dropped += try transaction.drop(record)
        guard try transaction.currentObject(bucket, key) == nil,
            var next = try transaction.newestRow(bucket, key), !next.isDeleteMarker
        else { return record }
        try deleteRow(next)
        next.noncurrentSince = nil
        try transaction.put(ObjectRecord.key(bucket, key), next.document)
        return record
    }

    /// Writes a changed record where its version stands.
    func replace(_ record: ObjectRecord, isCurrent: Bool) throws(AWSError) {
        let place =
            isCurrent ? ObjectRecord.key(bucket, key) : VersionKeys.row(bucket, key, order: record.order)
        try transaction.put(place, record.document)
    }

    /// Gives a new version its id and order, and moves or drops those that make room for it.
    private mutating func takeItsPlace(_ record: ObjectRecord) throws(AWSError) -> ObjectRecord {
        var record = record
        let current = try transaction.currentObject(bucket, key)
        let newest = try current == nil ? transaction.newestRow(bucket, key) : current
        record.order = newest.map { $0.order + 1 } ?? 0
        record.version =
            versioning == .enabled ? VersionKeys.version(order: record.order, random: random) : nil
        if var current {
            if current.version == nil, record.version == nil {
                dropped += try transaction.drop(current)
            } else {
                current.noncurrentSince = now
                try putRow(current)
            }
        }
        if record.version == nil, versioning != nil,
            let (null, isCurrent) = try transaction.object(bucket, key, version: "null"), !isCurrent
        {
            try deleteRow(null)
            dropped += try transaction.drop(null)
        }
        return record
    }

    private func putRow(_ record: ObjectRecord) throws(AWSError) {
        try transaction.put(VersionKeys.row(bucket, key, order: record.order), record.document)
        if record.version == nil {
            try transaction.put(VersionKeys.null(bucket, key), Array(String(record.order).utf8))
        }
    }

    private func deleteRow(_ record: ObjectRecord) throws(AWSError) {
        try transaction.delete(VersionKeys.row(bucket, key, order: record.order))
        if record.version == nil { try transaction.delete(VersionKeys.null(bucket, key)) }
    }
}
