// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Objects
import Testing

struct ObjectListingTests {
    /// A listing by the definition, over all keys at once.
    private struct Model {
        var entries: [String] = []
        var prefixes: [String] = []
        var isTruncated = false
        var last: String?

        init(_ keys: [String], prefix: String, delimiter: String, after: String, limit: Int) {
            func group(_ key: String) -> String? {
                guard !delimiter.isEmpty, key.hasBytes(prefix) else { return nil }
                let rest = Array(key.utf8.dropFirst(prefix.utf8.count))
                let mark = Array(delimiter.utf8)
                guard rest.count >= mark.count else { return nil }
                for start in 0...(rest.count - mark.count) where Array(rest[start..<start + mark.count]) == mark {
                    return prefix + String(decoding: rest[..<(start + mark.count)], as: UTF8.self)
                }
                return nil
            }
            let passed = group(after)
            for key in keys.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) where key.hasBytes(prefix) {
                guard after.utf8.lexicographicallyPrecedes(key.utf8) else { continue }
                let common = group(key)
                if let common, common == passed || prefixes.last == common { continue }
                if entries.count + prefixes.count == limit {
                    isTruncated = limit > 0
                    return
                }
                if let common { prefixes.append(common) } else { entries.append(key) }
                last = common ?? key
            }
        }
    }

    private static let alphabet = ["a", "b", "/", "-", "é", "z/", "//", "0", "\u{10FFFF}", " ", "+"]

    @Test(arguments: [UInt64(11), 12])
    func `every page is what the definition says`(_ seed: UInt64) async throws {
        var random = SplitMix(seed)
        func word(_ lengths: ClosedRange<Int>) -> String {
            (0..<Int.random(in: lengths, using: &random)).map { _ in Self.alphabet.randomElement(using: &random) ?? "" }
                .joined()
        }
        let room = try await ObjectRoom()
        defer { room.remove() }
        for bucket in ["aaa", "aaaa", "aa0"] { try await room.send("PUT", "/\(bucket)") }
        var keys = Set((0..<90).map { _ in word(1...6) })
        for number in 0..<40 { keys.insert("a/many/\(number)") }
        for key in keys { try await room.send("PUT", "/aaa/\(PercentCoding.encode(key, keepSlash: true))", [:], "x") }
        try await room.send("PUT", "/aaaa/stranger", [:], "x")
        try await room.send("PUT", "/aa0/stranger", [:], "x")
        for _ in 0..<250 {
            let prefix = Bool.random(using: &random) ? "" : word(0...2)
            let delimiter = ["", "/", "a", "//", "é"].randomElement(using: &random) ?? ""
            let after = [word(0...4), keys.randomElement(using: &random) ?? "", ""].randomElement(using: &random) ?? ""
            let limit = [1, 2, 7, 30, 1000].randomElement(using: &random) ?? 1
            let expected = Model(Array(keys), prefix: prefix, delimiter: delimiter, after: after, limit: limit)
            let query =
                "prefix=\(PercentCoding.encode(prefix))&delimiter=\(PercentCoding.encode(delimiter))&max-keys=\(limit)"
            let v1 = try await room.send("GET", "/aaa?\(query)&marker=\(PercentCoding.encode(after))").document
            let v2 = try await room.send(
                "GET", "/aaa?list-type=2&\(query)&start-after=\(PercentCoding.encode(after))"
            ).document
            for page in [v1, v2] {
                #expect(page.all("Contents").compactMap { $0.text("Key") } == expected.entries)
                #expect(page.all("CommonPrefixes").compactMap { $0.text("Prefix") } == expected.prefixes)
                #expect(page["IsTruncated"]?.asBool == expected.isTruncated)
            }
            #expect(v1.text("NextMarker") == (expected.isTruncated && !delimiter.isEmpty ? expected.last : nil))
            #expect(v2["KeyCount"] == .integer(Int64(expected.entries.count + expected.prefixes.count)))
        }
    }

    @Test(arguments: ["", "/"])
    func `pages joined by their tokens or markers give the whole listing once`(_ delimiter: String) async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        for number in 0..<25 { try await room.send("PUT", "/aaa/d\(number % 7)/k\(number)", [:], "x") }
        for number in 0..<5 { try await room.send("PUT", "/aaa/top\(number)", [:], "x") }
        func names(_ page: WireStructure) -> [String] {
            page.all("Contents").compactMap { $0.text("Key") }
                + page.all("CommonPrefixes").compactMap { $0.text("Prefix") }
        }
        let whole = names(try await room.send("GET", "/aaa?delimiter=\(delimiter)").document)
        #expect(whole.count == (delimiter.isEmpty ? 30 : 12))
        var seen: [String] = []
        var token: String?
        repeat {
            let more = token.map { "&continuation-token=\(PercentCoding.encode($0))" } ?? ""
            let page = try await room.send("GET", "/aaa?list-type=2&delimiter=\(delimiter)&max-keys=4\(more)").document
            seen += names(page)
            token = page.text("NextContinuationToken")
        } while token != nil
        #expect(seen.sorted() == whole.sorted())
        seen = []
        var marker = ""
        while true {
            let page = try await room.send("GET", "/aaa?delimiter=\(delimiter)&max-keys=4&marker=\(marker)").document
            seen += names(page)
            guard page["IsTruncated"] == true else { break }
            marker = page.text("NextMarker") ?? page.all("Contents").last?.text("Key") ?? ""
        }
        #expect(seen.sorted() == whole.sorted())
    }

    @Test func `names are percent-encoded on request, the slash kept and the blank as plus`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/aaa/a%20b/%C3%A9%2B~%01", [:], "x")
        let page = try await room.send("GET", "/aaa?encoding-type=url&prefix=a%20b/&marker=a%20").document
        #expect(page.all("Contents").first?.text("Key") == "a+b/%C3%A9%2B~%01")
        #expect(page.text("Prefix") == "a+b/")
        #expect(page.text("Marker") == "a+")
        #expect(page.text("EncodingType") == "url")
        #expect(try await room.send("GET", "/aaa").document.all("Contents").first?.text("Key") == "a b/é+~\u{1}")
    }

    @Test func `owners are shown by version 1, and by version 2 on request`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/aaa/k", [:], "hello")
        func first(_ query: String) async throws -> WireStructure {
            try await room.send("GET", "/aaa?\(query)").document.all("Contents").first ?? WireStructure()
        }
        let entry = try await first("")
        #expect(entry.text("ETag") == "\"5d41402abc4b2a76b9719d911017c592\"")
        #expect(entry["Size"] == 5)
        #expect(entry.text("StorageClass") == "STANDARD")
        #expect(entry["LastModified"] == .timestamp(ObjectRoom.start))
        #expect(entry["Owner"] != nil)
        #expect(try await first("list-type=2")["Owner"] == nil)
        #expect(try await first("list-type=2&fetch-owner=true")["Owner"] != nil)
    }

    @Test(arguments: [
        ("max-keys=-1", "InvalidArgument 400"), ("max-keys=x", "InvalidArgument 400"),
        ("max-keys=2147483648", "InvalidArgument 400"), ("encoding-type=base64", "InvalidArgument 400"),
        ("list-type=2&continuation-token=abc", "InvalidArgument 400"),
        ("list-type=2&continuation-token=", "InvalidArgument 400"), ("max-keys=5000", "none"), ("max-keys=", "none"),
    ])
    func `parameters out of their range are refused`(_ query: String, _ outcome: String) async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        #expect(await room.refusal("GET", "/aaa?\(query)") == outcome)
    }

    @Test func `no keys are asked for and none are given`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/aaa/k", [:], "x")
        let page = try await room.send("GET", "/aaa?max-keys=0").document
        #expect(page["IsTruncated"] == false)
        #expect(page.all("Contents").isEmpty)
    }
}

extension String {
    fileprivate func hasBytes(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }
}
