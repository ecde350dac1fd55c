// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Storage
import Testing

/// Each test has a catalog of its own, removed with the suite's value.
final class CatalogTests {
    private let path = FileManager.default.temporaryDirectory.appending(path: "cairn-\(UUID().uuidString).sqlite").path

    deinit {
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
    }

    @Test func `writes that share a commit see those before them, and none is lost`() async throws {
        let catalog = try Catalog(path: path)
        let key = CatalogKey("count")
        let seen = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<500 {
                group.addTask {
                    try await catalog.write { (transaction) throws(AWSError) in
                        let next =
                            (try transaction.get(key).flatMap { Int(String(decoding: $0.value, as: UTF8.self)) } ?? 0)
                            + 1
                        try transaction.put(key, Array(String(next).utf8))
                        return next
                    }
                }
            }
            return try await group.reduce(into: Set<Int>()) { $0.insert($1) }
        }
        #expect(seen == Set(1...500))
        try catalog.close()
        let again = try Catalog(path: path)
        let version = try await again.read { (snapshot) throws(AWSError) in try snapshot.get(key)?.version }
        #expect(version == 500)
    }

    @Test func `a write that throws is undone alone, whatever shares its commit`() async throws {
        let catalog = try Catalog(path: path)
        let failures = await withTaskGroup(of: String?.self) { group in
            for number in 0..<300 {
                group.addTask {
                    do throws(AWSError) {
                        try await catalog.write { (transaction) throws(AWSError) in
                            try transaction.put(CatalogKey("document", String(number)), [1])
                            if number % 3 == 0 { throw AWSError.validation("refused \(number)") }
                        }
                        return nil
                    } catch {
                        return error.message
                    }
                }
            }
            return await group.reduce(into: Set<String>()) { all, next in if let next { all.insert(next) } }
        }
        #expect(failures == Set((0..<300).filter { $0 % 3 == 0 }.map { "refused \($0)" }))
        let kept = try await catalog.read { (snapshot) throws(AWSError) in
            try snapshot.scan(prefix: CatalogKey.prefix("document")).compactMap { Int($0.key.components[1]) }
        }
        #expect(Set(kept) == Set((0..<300).filter { $0 % 3 != 0 }))
    }

    @Test func `documents come in the order of their bytes, between bounds`() async throws {
        let catalog = try Catalog(path: path)
        let names = ["a", "a/b", "a0", "b", "\u{e9}", "z", "\u{10FFFF}"]
        try await catalog.write { (transaction) throws(AWSError) in
            for name in names.reversed() { try transaction.put(CatalogKey("d", name), Array(name.utf8)) }
            try transaction.put(CatalogKey("e", "a"), [])
            try transaction.put(CatalogKey("gone"), [1])
            _ = try transaction.delete(CatalogKey("gone"))
        }
        let found = try await catalog.read { (snapshot) throws(AWSError) in
            let prefix = CatalogKey.prefix("d")
            let all = try snapshot.scan(prefix: prefix)
            let after = try snapshot.scan(prefix: prefix, after: CatalogKey("d", "a"), limit: 2)
            let from = try snapshot.scan(prefix: prefix, from: CatalogKey("d", "b"), limit: 1)
            let gone = try snapshot.get(CatalogKey("gone"))
            return (all.map(\.value), after.map(\.value), from.map(\.value), gone)
        }
        #expect(found.0 == names.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) })
        #expect(found.1 == [Array("a/b".utf8), Array("a0".utf8)])
        #expect(found.2 == [Array("b".utf8)])
        #expect(found.3 == nil)
    }

    @Test func `a document whose bytes changed on the disk is an error, never its value`() async throws {
        do {
            let catalog = try Catalog(path: path)
            try await catalog.write { (transaction) throws(AWSError) in
                try transaction.put(CatalogKey("d"), Array("a value that can be found".utf8))
            }
            try catalog.close()
        }
        var bytes = try Data(contentsOf: URL(filePath: path))
        let place = try #require(bytes.range(of: Data("a value".utf8)))
        bytes[place.lowerBound] = UInt8(ascii: "b")
        try bytes.write(to: URL(filePath: path))
        #expect(throws: CatalogDamage.self) { try Catalog(path: self.path) }
        let catalog = try Catalog(path: path, checkedOnUse: CatalogKey("d"))
        await #expect(throws: AWSError.self) {
            try await catalog.read { (snapshot) throws(AWSError) in _ = try snapshot.get(CatalogKey("d")) }
        }
        #expect(try await catalog.read { (snapshot) throws(AWSError) in try snapshot.has(CatalogKey("d")) })
    }
}
