// SPDX-License-Identifier: Apache-2.0

import Crypto
import Foundation
import LogFiles
import Testing

struct LogFileTests {
    private let records = [Array(#"{"eventID":"1"}"#.utf8), Array(#"{"eventID":"2","a":["]}"]}"#.utf8)]

    @Test func `the content is one line with one member that is called Records`() {
        let text = String(decoding: LogFile(records: records).content, as: UTF8.self)
        #expect(text == #"{"Records":[{"eventID":"1"},{"eventID":"2","a":["]}"]}]}"#)
        #expect(LogFile(records: [[UInt8]]()).content == Array(#"{"Records":[]}"#.utf8))
    }

    @Test func `a compressed file is exactly one gzip member and inflates to its content`() throws {
        let many = (0..<5000).map { Array("{\"eventID\":\"\($0)\"}".utf8) }
        let file = LogFile(records: many)
        let packed = try file.compressed()
        #expect(packed.count < file.content.count / 2)
        #expect(try LogFile.content(of: packed) == file.content)
        // The trailer's size is the size of all, and no second header follows: the deflate stream ends at the trailer.
        let size = packed.suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        #expect(size == file.content.count)
        #expect(try LogFile.content(of: Array(packed.dropLast(8)) + packed.suffix(8)) == file.content)
    }

    @Test func `equal content gives equal bytes`() throws {
        #expect(try LogFile(records: records).compressed() == LogFile(records: records).compressed())
    }

    @Test func `the hash is the SHA-256 of the uncompressed content in lower-case hex`() {
        let file = LogFile(records: records)
        let expected = SHA256.hash(data: file.content).map { String(format: "%02x", $0) }.joined()
        #expect(file.hash == expected)
    }

    @Test func `several members are taken on input`() throws {
        let parts = try [records[0], records[1]].map { try LogFile.compress($0) }
        #expect(try LogFile.content(of: parts[0] + parts[1]) == records[0] + records[1])
    }

    @Test func `plain content is taken as it is`() throws {
        #expect(try LogFile.content(of: records[0]) == records[0])
    }

    @Test func `every truncation of a gzip file is refused`() throws {
        let packed = try LogFile(records: records).compressed()
        for count in 2..<packed.count {
            #expect(throws: LogFileError.self) { try LogFile.content(of: Array(packed.prefix(count))) }
        }
    }

    @Test func `every flipped byte in the data of a gzip file is refused or changes nothing`() throws {
        let file = LogFile(records: records)
        let packed = try file.compressed()
        for index in 10..<packed.count {
            var damaged = packed
            damaged[index] ^= 0x10
            let content = try? LogFile.content(of: damaged)
            #expect(content == nil || content == file.content)
        }
    }

    @Test func `content beyond the limit is refused, compressed or not`() throws {
        let file = LogFile(records: [[UInt8](repeating: 0x61, count: 100_000)])
        let packed = try file.compressed()
        #expect(throws: LogFileError(.tooLarge, "the inflated content exceeds the limit")) {
            try LogFile.content(of: packed, bytesMax: 99_999)
        }
        #expect(throws: LogFileError.self) { try LogFile.content(of: file.content, bytesMax: 99_999) }
        #expect(try LogFile.content(of: packed, bytesMax: file.content.count) == file.content)
    }
}

struct LogFileRecordsTests {
    private func split(_ text: String) -> (records: [String], problems: [String]) {
        let content = Array(text.utf8)
        let found = LogFile.records(in: content)
        return (
            found.records.map { String(decoding: content[$0], as: UTF8.self) }, found.problems.map(\.reason)
        )
    }

    @Test func `the records of an envelope are found with their exact bytes`() {
        let found = split(#" { "Records" : [ {"a":"}]\""} , {"b":{"Records":[1]}} ] , "more":[{"c":1}] } "#)
        #expect(found.records == [#"{"a":"}]\""}"#, #"{"b":{"Records":[1]}}"#])
        #expect(found.problems.isEmpty)
    }

    @Test(arguments: [#"[{"a":1},{"b":2}]"#, "{\"a\":1}\n{\"b\":2}\n", "\u{FEFF}{\"Records\":[{\"a\":1},{\"b\":2}]}"])
    func `lists and lines of records are taken too`(text: String) {
        let found = split(text)
        #expect(found.records == [#"{"a":1}"#, #"{"b":2}"#])
        #expect(found.problems.isEmpty)
    }

    @Test func `what is no object among the records is told and its neighbours are kept`() {
        let found = split(#"{"Records":[{"a":1},"text",17,null,[{"x":1}],{"b":2}]}"#)
        #expect(found.records == [#"{"a":1}"#, #"{"b":2}"#])
        #expect(found.problems.count == 4)
    }

    @Test func `a file that breaks off keeps every complete record`() {
        let whole = #"{"Records":[{"a":"1"},{"b":"2"},{"c":"3"}]}"#
        let ends = ["{\"a\":\"1\"}", "{\"b\":\"2\"}", "{\"c\":\"3\"}"].compactMap { whole.range(of: $0)?.upperBound }
        for index in whole.indices {
            let found = split(String(whole[..<index]))
            #expect(found.records.count == ends.count { $0 <= index })
            #expect(!found.problems.isEmpty)
        }
    }

    @Test(arguments: [
        "", "  \n", "hello", "{\"Records\":[}", "{1:2}", "[1,2", "{\"a\" 1}", "\u{0}",
    ])
    func `what is no log file is a problem and never a crash`(text: String) {
        #expect(split(text).records.isEmpty)
        #expect(!split(text).problems.isEmpty)
    }

    @Test func `no bytes whatever make the splitter fail`() {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        let alphabet = Array(#"{}[]",:\aR 1"#.utf8) + Array("\"Records\":[".utf8)
        for _ in 0..<20_000 {
            var content: [UInt8] = []
            for _ in 0..<24 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                content.append(alphabet[Int(state >> 33) % alphabet.count])
            }
            let found = LogFile.records(in: content)
            // Mismatched brackets are left to the record's reader, so a record may end with either.
            let places = found.records
            #expect(places.allSatisfy { content[$0].first == UInt8(ascii: "{") && $0.count >= 2 })
            #expect(zip(places, places.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
        }
    }
}

struct LogFileKeyTests {
    @Test func `log files and digests lie where CloudTrail puts them`() {
        let folder = LogFolder(prefix: "a/b", account: "111122223333", region: "eu-west-1")
        let stamp = LogFileStamp(minute: 29_863_357, number: 1)
        #expect(
            folder.logFileKey(stamp, compactTime: "20261124T2037Z")
                == "a/b/AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/24/"
                + "111122223333_CloudTrail_eu-west-1_20261124T2037Z_21Ip300000000001.json.gz")
        #expect(
            LogFolder(prefix: nil, account: "111122223333", region: "eu-west-1")
                .digestKey(trail: "t", homeRegion: "us-east-1", compactTime: "20261124T203715Z")
                == "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/11/24/"
                + "111122223333_CloudTrail-Digest_eu-west-1_t_us-east-1_20261124T203715Z.json.gz")
    }

    @Test func `a tail is sixteen letters and digits and sorts like its stamp`() {
        let stamps = [
            LogFileStamp(minute: 0, number: 0), LogFileStamp(minute: 0, number: 61),
            LogFileStamp(minute: 0, number: 62),
            LogFileStamp(minute: 9, number: 3), LogFileStamp(minute: 29_863_357, number: 1),
            LogFileStamp(minute: 29_863_357, number: 3843), LogFileStamp(minute: 29_863_357, number: 3844),
            LogFileStamp(minute: 29_863_358, number: 3845), LogFileStamp(minute: 916_132_831, number: 1 << 62),
        ]
        #expect(stamps == stamps.sorted())
        let tails = stamps.map(\.tail)
        #expect(
            tails.allSatisfy { $0.utf8.count == 16 && $0.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) } })
        for (a, b) in zip(tails, tails.dropFirst()) { #expect(Array(a.utf8).lexicographicallyPrecedes(Array(b.utf8))) }
    }
}
