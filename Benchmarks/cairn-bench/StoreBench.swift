// SPDX-License-Identifier: Apache-2.0
//
// Fills the catalog of a data folder, whose server is stopped, with objects that have no bytes, for scripts/bench_store.py:
//
//     one/NUMBER                KEYS current objects under one prefix, each tenth with an older version
//     many/NUMBER/NUMBER        KEYS / 100 common prefixes of 100 objects each, at most 1,000,000 in all
//
// The documents are those of ObjectRecord.swift and ObjectVersions.swift in the room Objects.

import AWSWire
import Foundation
import Storage

enum StoreBench {
    static func fill(_ folder: String, bucket: String, keys: Int) async throws {
        let catalog = try Catalog(path: folder + "/catalog.sqlite")
        try await fill(catalog, bucket, count: keys, hasVersions: true) { "one/\(digits($0, 9)).json.gz" }
        try await fill(catalog, bucket, count: min(keys, 1_000_000), hasVersions: false) {
            "many/\(digits($0 / 100, 6))/\(digits($0 % 100, 3)).json.gz"
        }
        try catalog.close()
    }

    private static func fill(
        _ catalog: Catalog, _ bucket: String, count: Int, hasVersions: Bool, _ name: @escaping @Sendable (Int) -> String
    ) async throws {
        var start = 0
        while start < count {
            let range = start..<min(count, start + 20_000)
            try await catalog.write { (transaction) throws(AWSError) in
                for number in range {
                    let key = name(number)
                    let isOld = hasVersions && number % 10 == 0
                    try transaction.put(
                        CatalogKey("object", bucket, key), document(number, file(number, old: false), isOld ? 1 : 0))
                    try transaction.put(CatalogKey("object-file", file(number, old: false)), [])
                    guard isOld else { continue }
                    try transaction.put(
                        CatalogKey(
                            bytes: CatalogKey.prefix("version", bucket).bytes + Array(key.utf8)
                                + [0, 1, 255, 255, 255, 255, 255, 255, 255, 255]),
                        document(number, file(number, old: true), 0, since: 1_800_000_100_000))
                    try transaction.put(CatalogKey("object-file", file(number, old: true)), [])
                }
            }
            start = range.upperBound
        }
    }

    private static func document(_ number: Int, _ file: String, _ order: Int, since: Int64? = nil) -> [UInt8] {
        let version = order > 0 ? #","version":"\#(digits(order, 12))\#(digits(number, 20))","order":\#(order)"# : ""
        let noncurrent = since.map { #","noncurrent":\#($0)"# } ?? ""
        return Array(
            (#"{"format":2,"file":"\#(file)","layout":3,"size":4096,"etag":"5d41402abc4b2a76b9719d911017c592","#
                + #""modified":1800000000000,"headers":{"content-type":"application/json","content-encoding":"gzip"},"#
                + #""metadata":{},"checksum":{"algorithm":"CRC64NVME","value":"AAAAAAAAAAA="}\#(version)\#(noncurrent)}"#)
                .utf8)
    }

    /// As random as real names are: the low digits first.
    private static func file(_ number: Int, old: Bool) -> String {
        String(digits(number, 9).reversed()) + (old ? "f" : "0") + digits(number, 22)
    }

    private static func digits(_ number: Int, _ count: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
    }
}
