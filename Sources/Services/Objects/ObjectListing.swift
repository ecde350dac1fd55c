// SPDX-License-Identifier: Apache-2.0
//
// Listing keys: the common part of ListObjects v1 and v2.
// Source: S3 User Guide, "Organizing objects using prefixes"; Amazon S3 API Reference, ListObjects and ListObjectsV2.

internal import AWSWire
internal import Storage

/// What is to be listed.
struct ListingRequest: Sendable {
    var bucket: String
    var prefix = ""
    /// Keys that have it after the prefix are shown as one common prefix; empty for none.
    var delimiter = ""
    /// Only what comes after this key. Where it lies inside a common prefix, that prefix is passed over.
    var after = ""
    /// Keys and common prefixes together.
    var limit = 1000
}

/// One page, in the order of the keys' UTF-8 bytes.
struct ListingPage: Sendable {
    struct Entry: Sendable {
        let key: String
        let record: ObjectRecord
    }

    var entries: [Entry] = []
    var commonPrefixes: [String] = []
    var isTruncated = false
    /// The last key or common prefix of the page.
    var last: String?

    var count: Int { entries.count + commonPrefixes.count }
}

extension ListingPage {
    /// Reads one page from a snapshot.
    ///
    /// A common prefix costs one seek and not a walk over its keys; the number of documents fetched at a time starts
    /// with one after each seek and grows while keys follow one another.
    init(_ request: ListingRequest, from snapshot: CatalogSnapshot) throws(AWSError) {
        guard request.limit > 0 else { return }
        let base = ObjectRecord.keys(in: request.bucket).bytes
        let prefix = Array(request.prefix.utf8)
        let delimiter = Array(request.delimiter.utf8)
        let after = Array(request.after.utf8)
        let scope = CatalogKey(bytes: base + prefix)

        var from: [UInt8]? = nil
        var above: [UInt8]? = after.isEmpty ? nil : after
        if let passed = Self.commonPrefix(of: after[...], prefix: prefix, delimiter: delimiter) {
            guard let next = CatalogKey(bytes: base + passed).successorOfPrefix else { return }
            from = Array(next.bytes)
            above = nil
        }
        let batchFirst = delimiter.isEmpty ? request.limit + 1 : 1
        var batch = batchFirst
        while true {
            let documents = try snapshot.scan(
                prefix: scope, after: above.map { CatalogKey(bytes: base + $0) },
                from: from.map { CatalogKey(bytes: $0) }, limit: batch)
            var passed: [UInt8]?
            for document in documents {
                let key = document.key.bytes.dropFirst(base.count)
                if let group = passed, key.starts(with: group) { continue }
                if count == request.limit {
                    isTruncated = true
                    return
                }
                if let group = Self.commonPrefix(of: key, prefix: prefix, delimiter: delimiter) {
                    passed = group
                    let text = String(decoding: group, as: UTF8.self)
                    commonPrefixes.append(text)
                    last = text
                } else {
                    passed = nil
                    let text = String(decoding: key, as: UTF8.self)
                    entries.append(Entry(key: text, record: try ObjectRecord(document)))
                    last = text
                }
            }
            guard documents.count == batch, let end = documents.last else { return }
            if let passed {
                guard let next = CatalogKey(bytes: base + passed).successorOfPrefix else { return }
                from = next.bytes
                above = nil
                batch = batchFirst
            } else {
                from = nil
                above = Array(end.key.bytes.dropFirst(base.count))
                batch = min(batch * 4, request.limit + 1)
            }
        }
    }

    /// The key's part up to the first delimiter after the prefix, delimiter included; nil where it has none.
    static func commonPrefix(of key: ArraySlice<UInt8>, prefix: [UInt8], delimiter: [UInt8]) -> [UInt8]? {
        guard let first = delimiter.first, key.starts(with: prefix) else { return nil }
        var index = key.startIndex + prefix.count
        while index + delimiter.count <= key.endIndex {
            if key[index] == first, key[index...].starts(with: delimiter) {
                return Array(key[..<(index + delimiter.count)])
            }
            index += 1
        }
        return nil
    }
}

/// The opaque token of ListObjectsV2 and ListBuckets: base64 of a four-byte check and the last name that was shown.
enum ContinuationToken {
    static func make(_ last: String) -> String {
        let bytes = Array(last.utf8)
        return Base64.encode(check(bytes) + bytes)
    }

    /// - Throws: `InvalidArgument` (400) for what this server did not make.
    static func read(_ token: String) throws(AWSError) -> String {
        guard let bytes = Base64.decode(token), bytes.count > 4, Array(bytes[..<4]) == check(Array(bytes[4...])),
            let last = String(validating: bytes[4...], as: UTF8.self)
        else {
            throw .invalidArgument(
                "The continuation token provided is incorrect", name: "continuation-token", value: token)
        }
        return last
    }

    /// FNV-1a (Fowler, Noll, Vo), 32 bits: finds a mistaken token, not a forged one, since a token grants nothing.
    private static func check(_ bytes: [UInt8]) -> [UInt8] {
        var hash: UInt32 = 2_166_136_261
        for byte in bytes { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return (0..<4).map { UInt8(truncatingIfNeeded: hash >> (24 - 8 * $0)) }
    }
}
