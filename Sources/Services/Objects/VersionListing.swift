// SPDX-License-Identifier: Apache-2.0
//
// ListObjectVersions: current objects and the rows of ObjectVersions.swift, merged by key, newest first.
// Source: Amazon S3 API Reference, ListObjectVersions.

internal import AWSWire
internal import Storage

/// One page of versions.
struct VersionPage: Sendable {
    struct Entry: Sendable {
        let key: String
        let record: ObjectRecord
        let isLatest: Bool
    }

    var entries: [Entry] = []
    var commonPrefixes: [String] = []
    var isTruncated = false
    /// The last key or common prefix, and the version where it was a version.
    var lastKey: String?
    var lastVersion: String?

    var count: Int { entries.count + commonPrefixes.count }

    /// - Parameters:
    ///   - request: `after` is the key marker.
    ///   - version: the version marker; nil to begin after all versions of the key marker.
    init(_ request: ListingRequest, version: String?, from snapshot: CatalogSnapshot) throws(AWSError) {
        guard request.limit > 0 else { return }
        let prefix = Array(request.prefix.utf8)
        let delimiter = Array(request.delimiter.utf8)
        let after = Array(request.after.utf8)
        var objects = VersionCursor(snapshot, ObjectRecord.keys(in: request.bucket), prefix, areRows: false)
        var rows = VersionCursor(snapshot, VersionKeys.rows(in: request.bucket), prefix, areRows: true)
        if let group = ListingPage.commonPrefix(of: after[...], prefix: prefix, delimiter: delimiter) {
            objects.pass(group)
            rows.pass(group)
        } else if !after.isEmpty {
            objects.skip(after)
            rows.skip(after)
            if let version {
                // Rows below the marker's order, whether or not that version is still there.
                var order = try snapshot.order(request.bucket, request.after, of: version)
                if order == nil, version == "null" {
                    order = try snapshot.currentObject(request.bucket, request.after)?.order
                }
                guard let order else {
                    throw .invalidArgument(
                        "Invalid version id specified", name: "version-id-marker", value: version)
                }
                rows.start(above: VersionKeys.row(request.bucket, request.after, order: order))
            }
        }
        var latestKey: [UInt8]? = version == nil ? nil : after
        while true {
            let object = try objects.peek()
            let row = try rows.peek()
            guard let next = [object, row].compactMap({ $0 }).min(by: Self.precedes) else { return }
            let isObject = object.map { !Self.precedes(next, $0) } ?? false
            if count == request.limit {
                isTruncated = true
                return
            }
            if let group = ListingPage.commonPrefix(of: next.key[...], prefix: prefix, delimiter: delimiter) {
                lastKey = String(decoding: group, as: UTF8.self)
                lastVersion = nil
                commonPrefixes.append(String(decoding: group, as: UTF8.self))
                objects.pass(group)
                rows.pass(group)
                continue
            }
            if isObject { objects.advance() } else { rows.advance() }
            let record = try ObjectRecord(next.document)
            let key = String(decoding: next.key, as: UTF8.self)
            entries.append(Entry(key: key, record: record, isLatest: latestKey != next.key))
            latestKey = next.key
            lastKey = key
            lastVersion = record.versionText
        }
    }

    private static func precedes(_ a: VersionCursor.Item, _ b: VersionCursor.Item) -> Bool {
        a.key.lexicographicallyPrecedes(b.key)
    }
}

/// Walks over the documents under a prefix, some at a time.
private struct VersionCursor {
    struct Item {
        let key: [UInt8]
        let document: CatalogDocument
    }

    /// Documents fetched at a time: after a seek the first, and more while they follow one another.
    private static let batchFirst = 1
    private static let batchMax = 256

    private let snapshot: CatalogSnapshot
    private let base: [UInt8]
    private let scope: CatalogKey
    private let areRows: Bool
    private var waiting: ArraySlice<CatalogDocument> = []
    private var from: CatalogKey?
    private var above: CatalogKey?
    /// Whether nothing comes after `waiting`.
    private var isAtEnd = false
    private var batch = batchFirst

    init(_ snapshot: CatalogSnapshot, _ base: CatalogKey, _ prefix: [UInt8], areRows: Bool) {
        self.snapshot = snapshot
        self.base = base.bytes
        self.areRows = areRows
        scope = CatalogKey(bytes: base.bytes + (areRows ? VersionKeys.escaped(prefix) : prefix))
    }

    mutating func peek() throws(AWSError) -> Item? {
        if waiting.isEmpty, !isAtEnd {
            let documents = try snapshot.scan(prefix: scope, after: above, from: from, limit: batch)
            isAtEnd = documents.count < batch
            batch = min(batch * 4, Self.batchMax)
            above = documents.last?.key ?? above
            from = nil
            waiting = documents[...]
        }
        guard let document = waiting.first else { return nil }
        let bytes = document.key.bytes[base.count...]
        guard areRows else { return Item(key: Array(bytes), document: document) }
        guard let key = VersionKeys.key(ofRow: bytes) else {
            throw .objectFault("the catalog has a version under a damaged key")
        }
        return Item(key: key, document: document)
    }

    mutating func advance() { waiting = waiting.dropFirst() }

    /// Goes on behind everything under a common prefix.
    mutating func pass(_ group: [UInt8]) {
        let place = CatalogKey(bytes: base + (areRows ? VersionKeys.escaped(group) : group))
        waiting = waiting.drop { $0.key.bytes.starts(with: place.bytes) }
        if !waiting.isEmpty || isAtEnd { return }
        restart()
        from = place.successorOfPrefix
        isAtEnd = from == nil
    }

    /// Goes on behind everything of a key.
    mutating func skip(_ key: [UInt8]) {
        restart()
        if areRows {
            from = CatalogKey(bytes: base + VersionKeys.escaped(key) + [0, 2])
        } else {
            above = CatalogKey(bytes: base + key)
        }
    }

    /// Goes on behind a row.
    mutating func start(above row: CatalogKey) {
        restart()
        above = row
    }

    private mutating func restart() {
        waiting = []
        from = nil
        above = nil
        isAtEnd = false
        batch = Self.batchFirst
    }
}

extension ObjectService {
    func listObjectVersions(_ input: ListVersionsInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let list = input.list
        let bucket = try bucket(list.place, call)
        let request = ListingRequest(
            bucket: bucket.name, prefix: list.prefix, delimiter: list.delimiter, after: input.keyMarker,
            limit: list.limit)
        let page = try await catalog.read { (snapshot) throws(AWSError) -> VersionPage in
            try VersionPage(request, version: input.versionMarker, from: snapshot)
        }
        let text = list.encoding
        let owner = Self.owner(bucket.ownerAccount)
        var document: WireStructure = [
            "Name": .string(bucket.name), "Prefix": .string(text.encode(list.prefix)),
            "KeyMarker": .string(text.encode(input.keyMarker)), "VersionIdMarker": .string(input.versionMarker ?? ""),
            "MaxKeys": .integer(Int64(list.limit)), "IsTruncated": .bool(page.isTruncated),
        ]
        if page.isTruncated {
            document.append("NextKeyMarker", ifPresent: page.lastKey.map { .string(text.encode($0)) })
            document.append("NextVersionIdMarker", ifPresent: page.lastVersion.map { .string($0) })
        }
        if !list.delimiter.isEmpty { document.append("Delimiter", .string(text.encode(list.delimiter))) }
        document.append("EncodingType", ifPresent: text.name.map { .string($0) })
        for entry in page.entries {
            let record = entry.record
            var item: WireStructure = [
                "Key": .string(text.encode(entry.key)), "VersionId": .string(record.versionText),
                "IsLatest": .bool(entry.isLatest), "LastModified": .timestamp(record.modified),
            ]
            if !record.isDeleteMarker {
                item.append("ETag", .string(record.quotedETag))
                if let checksum = record.checksum {
                    item.append("ChecksumAlgorithm", .string(checksum.algorithm))
                    item.append("ChecksumType", .string(checksum.type))
                }
                item.append("Size", .integer(record.size))
                item.append("StorageClass", .string(record.storageClass.rawValue))
                if list.showsRestores { item.append("RestoreStatus", ifPresent: record.restoreStatus(now)) }
            }
            item.append("Owner", owner)
            document.append(record.isDeleteMarker ? "DeleteMarker" : "Version", .structure(item))
        }
        for prefix in page.commonPrefixes {
            document.append("CommonPrefixes", .structure(["Prefix": .string(text.encode(prefix))]))
        }
        return ObjectAnswer(body: .xml(root: "ListVersionsResult", document))
    }
}

struct ListVersionsInput: OperationInput {
    let list: ListObjectsInput
    let keyMarker: String
    let versionMarker: String?

    /// - Throws: `InvalidArgument` (400).
    init(_ request: OperationRequest) throws(AWSError) {
        list = try ListObjectsInput(request)
        keyMarker = request.http.queryValue("key-marker") ?? ""
        versionMarker = request.http.queryValue("version-id-marker").flatMap { $0.isEmpty ? nil : $0 }
        guard versionMarker == nil || !keyMarker.isEmpty else {
            throw .invalidArgument(
                "A version-id marker cannot be specified without a key marker.", name: "version-id-marker",
                value: versionMarker)
        }
    }
}
