// SPDX-License-Identifier: Apache-2.0

import CDeflate
import Testing
import EventRecord
import Foundation

/// The real records beside the package, or where `CAIRN_REAL_DATA` says.
enum RealHistoryRecords {
    static let folder: String? = {
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let named = ProcessInfo.processInfo.environment["CAIRN_REAL_DATA"]
        let folders = [named, package.deletingLastPathComponent().path + "/shared/data/cloudtrail-real"].compactMap {
            $0
        }
        return folders.first { FileManager.default.fileExists(atPath: $0) }
    }()

    /// What a test says when it is passed over.
    static let absent: Comment =
        "no real records: put them into ../shared/data/cloudtrail-real or name a folder in CAIRN_REAL_DATA"

    /// Every record of every file, in the order of names.
    static func all() throws -> [[UInt8]] {
        guard let folder else { return [] }
        let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        var records: [[UInt8]] = []
        for name in names.filter({ $0.hasSuffix(".json.gz") }).sorted() {
            let document = try inflate([UInt8](Data(contentsOf: URL(fileURLWithPath: folder + "/" + name))))
            let contents = EventDocument.records(in: document)
            guard contents.failures.isEmpty else { throw Failure(text: "\(name): \(contents.failures)") }
            records += contents.records.map { Array(document[$0]) }
        }
        return records
    }

    struct Failure: Error { var text: String }

    static func inflate(_ file: [UInt8]) throws -> [UInt8] {
        guard let decompressor = libdeflate_alloc_decompressor() else { throw Failure(text: "no memory") }
        defer { libdeflate_free_decompressor(decompressor) }
        var capacity = max(1 << 16, file.count * 24)
        while capacity < 1 << 30 {
            var result = LIBDEFLATE_BAD_DATA
            let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
                var written = 0
                result = libdeflate_gzip_decompress(
                    decompressor, file, file.count, buffer.baseAddress, capacity, &written)
                count = result == LIBDEFLATE_SUCCESS ? written : 0
            }
            if result == LIBDEFLATE_SUCCESS { return bytes }
            guard result == LIBDEFLATE_INSUFFICIENT_SPACE else { throw Failure(text: "not a gzip file") }
            capacity *= 4
        }
        throw Failure(text: "too large")
    }
}
