// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Foundation
import Testing

struct EventReaderTests {
    @Test(.enabled(if: RealRecords.folder != nil, RealRecords.absent))
    func `every real record is read with the values that Foundation's JSON reader finds`() throws {
        let records = try RealRecords.all()
        #expect(records.count == 3417)
        for record in records {
            let event = try Event(record)
            let json = try #require(JSONSerialization.jsonObject(with: Data(record)) as? [String: Any])
            for field in EventField.allCases {
                var value: Any? = json
                for key in field.path.split(separator: ".") { value = (value as? [String: Any])?[String(key)] }
                switch value {
                case nil: #expect(event.json(field) == nil, "\(field.path)")
                case let text as String: #expect(event.text(field) == text, "\(field.path)")
                case is NSNull:
                    #expect(event.text(field) == nil && event.json(field).map(Array.init) == Array("null".utf8))
                case is [Any], is [String: Any]:
                    let part = try #require(event.json(field))
                    let again = try JSONSerialization.jsonObject(with: Data(part)) as? NSObject
                    #expect(again == value as? NSObject, "\(field.path)")
                case let number as NSNumber: #expect(event.flag(field) == number.boolValue, "\(field.path)")
                default: Issue.record("unexpected value at \(field.path)")
                }
            }
            let time = try #require(json["eventTime"] as? String)
            #expect(event.eventSeconds.map(EventTime.text) == time)
            #expect(throws: Never.self) { try EventSchema.check(event) }
        }
    }

    static let faults: [(String, EventError.Reason, Int)] = [
        ("", .empty, 0), ("  ", .empty, 0), ("[]", .notAnObject, 0), ("\"a\"", .notAnObject, 0),
        ("{", .unexpectedEnd, 1),
        ("{}x", .trailingBytes, 2), ("{\"a\":1}{}", .trailingBytes, 7), ("{\"a\" 1}", .unexpectedByte, 5),
        ("{\"a\":tru}", .invalidLiteral, 5), ("{\"a\":nul}", .invalidLiteral, 5), ("{\"a\":fals}", .invalidLiteral, 6),
        ("{\"a\":01}", .invalidNumber, 5), ("{\"a\":-}", .invalidNumber, 5), ("{\"a\":1.}", .invalidNumber, 5),
        ("{\"a\":1e}", .invalidNumber, 5), ("{\"a\":.5}", .unexpectedByte, 5), ("{\"a\":+1}", .unexpectedByte, 5),
        ("{\"a\":\"\\x\"}", .invalidEscape, 6), ("{\"a\":\"\\u12g4\"}", .invalidEscape, 6),
        ("{\"a\":\"b\u{1}c\"}", .controlCharacter, 7), ("{\"a\":1,}", .unexpectedByte, 7),
        ("{\"a\":[1,]}", .unexpectedByte, 8),
        ("{\"a\":[1}", .unexpectedByte, 7), ("{'a':1}", .unexpectedByte, 1), ("{\"a\":1,\"a\":2}", .duplicateMember, 7),
        ("{\"eventName\":1,\"eventName\":2}", .duplicateMember, 15),
        ("{\"eventName\":1,\"event\\u004eame\":2}", .duplicateMember, 15),
        ("{\"x\":1,\"\\u0078\":2}", .duplicateMember, 7),
        ("{\"userIdentity\":{\"arn\":\"a\",\"arn\":\"b\"}}", .duplicateMember, 27),
        ("{\"a\":\"text without an end", .unexpectedEnd, 25),
    ]

    @Test(arguments: faults)
    func `a malformed record is refused with the reason and the place`(
        _ text: String, _ reason: EventError.Reason, _ offset: Int
    ) {
        let error = #expect(throws: EventError.self) { try EventReader.scan(Array(text.utf8)) }
        #expect(error?.reason == reason)
        #expect(error?.offset == offset)
    }

    @Test(
        arguments: [
            [0x80], [0xC0, 0xAF], [0xC1, 0xBF], [0xE0, 0x9F, 0x80], [0xED, 0xA0, 0x80], [0xF0, 0x8F, 0x80, 0x80],
            [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82], [0xC3], [0xFF],
        ] as [[UInt8]])
    func `bytes that are not UTF-8 are refused`(_ bytes: [UInt8]) {
        for padding in 0..<9 {
            let record = Array("{\"a\":\"".utf8) + [UInt8](repeating: 0x61, count: padding) + bytes + Array("\"}".utf8)
            let error = #expect(throws: EventError.self) { try EventReader.scan(record) }
            #expect(error?.reason == .invalidUTF8)
            #expect(error?.offset == 6 + padding)
        }
    }

    @Test func `nesting up to the limit is taken and one more refused`() throws {
        func nested(_ depth: Int) -> [UInt8] {
            Array("{\"a\":".utf8) + [UInt8](repeating: 0x5B, count: depth) + [UInt8](repeating: 0x5D, count: depth) + [
                0x7D
            ]
        }
        #expect(throws: Never.self) { try EventReader.scan(nested(64)) }
        let error = #expect(throws: EventError.self) { try EventReader.scan(nested(65)) }
        #expect(error?.reason == .tooDeep)
    }

    @Test func `texts are decoded with escapes, pairs of surrogates and lone ones`() throws {
        let event = try Event(
            Array(#"{"eventName":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83dz","eventSource":"éü€😀"}"#.utf8))
        #expect(event.eventName == "a\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1F600}\u{FFFD}z")
        #expect(event.eventSource == "éü€😀")
    }

    @Test func `a record over the size limit is refused`() {
        let record =
            Array("{\"a\":\"".utf8) + [UInt8](repeating: 0x61, count: EventReader.recordBytesMax) + Array("\"}".utf8)
        let error = #expect(throws: EventError.self) { try EventReader.scan(record) }
        #expect(error?.reason == .tooLarge)
    }

    @Test(.enabled(if: RealRecords.folder != nil, RealRecords.absent))
    func `mutated records give a typed error or the same verdict as Foundation's JSON reader`() throws {
        let records = try RealRecords.all()
        var random = SeededRandom(seed: 20_231_124)
        let letters = Array("{}[]\",:\\u0eE+-.tfn \n\u{1}x".utf8) + [0x80, 0xC3, 0xED, 0xF4, 0xFF]
        for _ in 0..<20_000 {
            var record = Array(records[Int.random(in: 0..<records.count, using: &random)].prefix(4000))
            for _ in 0..<Int.random(in: 1...3, using: &random) where !record.isEmpty {
                let at = Int.random(in: 0..<record.count, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: record[at] = letters[Int.random(in: 0..<letters.count, using: &random)]
                case 1: record.remove(at: at)
                case 2: record.insert(letters[Int.random(in: 0..<letters.count, using: &random)], at: at)
                case 3: record[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                default: record.removeSubrange(at...)
                }
            }
            do {
                let event = try Event(record)
                // What we take, others must be able to take; the reverse does not hold (duplicates, depth, fragments).
                #expect(throws: Never.self, "\(String(decoding: record, as: UTF8.self))") {
                    try JSONSerialization.jsonObject(with: Data(record))
                }
                exercise(event)
            } catch let error {
                #expect(error.offset >= 0 && error.offset <= record.count)
                #expect(!error.description.isEmpty)
            }
        }
    }

    private func exercise(_ event: Event) {
        for field in EventField.allCases { _ = event.text(field) }
        _ = event.lookupResources
        _ = event.username
        _ = event.category
        _ = event.record.withUnsafeBytes { event.fields.eventIDHash(in: $0) }
    }
}

struct EventSchemaTests {
    private static let good =
        #"{"eventVersion":"1.08","eventName":"A","eventSource":"s3.amazonaws.com","awsRegion":"us-east-1","eventTime":"2023-07-10T12:00:05Z"}"#

    @Test func `a record with the least that an event needs is taken`() throws {
        let event = try Event(Array(Self.good.utf8))
        #expect(throws: Never.self) { try EventSchema.check(event) }
    }

    @Test(arguments: [
        ("\"eventName\":\"A\"", "\"eventNam\":\"A\"", EventError.Reason.missingMember),
        ("\"eventName\":\"A\"", "\"eventName\":7", .wrongType),
        ("\"eventName\":\"A\"", "\"eventName\":\"\"", .emptyMember),
        ("2023-07-10T12:00:05Z", "yesterday", .invalidTime),
        ("2023-07-10T12:00:05Z", "2023-02-29T12:00:05Z", .invalidTime),
        ("\"1.08\"", "\"2.0\"", .unsupportedVersion), ("\"1.08\"", "\"1.08\",\"userIdentity\":[]", .wrongType),
        ("\"1.08\"", "\"1.08\",\"resources\":{}", .wrongType), ("\"1.08\"", "\"1.08\",\"readOnly\":1", .wrongType),
        ("\"1.08\"", "\"1.08\",\"eventID\":1", .wrongType),
        ("\"awsRegion\":\"us-east-1\"", "\"awsRegion\":null", .wrongType),
    ])
    func `a record without what an event needs is refused with the reason`(
        _ old: String, _ new: String, _ reason: EventError.Reason
    ) throws {
        let event = try Event(Array(Self.good.replacingOccurrences(of: old, with: new).utf8))
        let error = #expect(throws: EventError.self) { try EventSchema.check(event) }
        #expect(error?.reason == reason)
        #expect(error?.member != nil)
    }

    @Test func `a record without an id gets one from its bytes, the same each time`() throws {
        let event = try Event(Array(Self.good.utf8))
        #expect(try event.eventID == Event(Array(Self.good.utf8)).eventID)
        #expect(
            try event.eventID != Event(Array(Self.good.replacingOccurrences(of: "\"A\"", with: "\"B\"").utf8)).eventID)
        let parts = event.eventID.split(separator: "-").map(\.count)
        #expect(parts == [8, 4, 4, 4, 12])
    }

    @Test(
        arguments: [
            ("2023-07-10T12:00:05Z", 1_688_990_405), ("1970-01-01T00:00:00Z", 0),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2023-07-10T14:00:05+02:00", 1_688_990_405), ("2023-07-10T12:00:05.999Z", 1_688_990_405),
            ("0001-01-01T00:00:00Z", -62_135_596_800), ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] as [(String, Int64)])
    func `times are read in seconds`(_ text: String, _ seconds: Int64) {
        #expect(EventTime.seconds(text) == seconds)
        if text.utf8.count == 20 { #expect(EventTime.text(seconds) == text) }
    }

    @Test(arguments: [
        "", "2023-07-10", "2023-07-10T12:00:05", "2023-13-10T12:00:05Z", "2023-07-10T24:00:05Z",
        "2023-07-10T12:00:05.Z", "2023-07-10T12:00:05+2:00", "2023-07-10T12:00:05ZZ", "2023-07-10T12:00:60Z",
    ])
    func `what is no time is none`(_ text: String) { #expect(EventTime.seconds(text) == nil) }
}

struct EventDocumentTests {
    @Test func `a document of broken lists alone is passed over a few times, not once for each line`() {
        // Each line opens what is never closed; looking for its end would lead to the end of the document each time.
        let lines = 20_000
        let contents = EventDocument.records(in: Array(String(repeating: "[{,\n", count: lines).utf8))
        #expect(contents.records.isEmpty)
        #expect(contents.failures.count == lines)
    }

    @Test(
        arguments: [
            ("{\"Records\":[{\"a\":1},{\"b\":[{}]}]}", ["{\"a\":1}", "{\"b\":[{}]}"], 0),
            ("{\"x\":{},\"Records\": [ {} ] }\n", ["{}"], 0), ("[{\"a\":1},2]", ["{\"a\":1}", "2"], 0),
            ("{\"a\":1}\n{\"b\":2}\n", ["{\"a\":1}", "{\"b\":2}"], 0),
            ("{\"a\":1}\nnonsense\n{\"b\":2}", ["{\"a\":1}", "{\"b\":2}"], 1),
            ("", [], 1), ("{\"Records\":[]}", [], 0), ("{\"Records\":[{\"a\":1},{\"b\":", ["{\"a\":1}"], 1),
            ("{\"Records\":[{\"a\":1}]}{\"Records\":[{\"b\":1}]}", ["{\"a\":1}", "{\"b\":1}"], 0),
            ("{\"Records\":[{\"a\":1},{b}\n]}", ["{\"a\":1}"], 1),
            ("{\"Records\":[{\"a\":1},{\"b\":\"\u{1}]},\"},{\"c\":[tru]},{\"d\":4}]}", ["{\"a\":1}", "{\"d\":4}"], 2),
            ("{\"Records\":[{\"a\":1},{\"b\":2]},{\"c\":3}]}", ["{\"a\":1}", "{\"c\":3}"], 1),
        ] as [(String, [String], Int)])
    func `records are found in log files, lists and lines, and faults do not hide what is before or after`(
        _ text: String, _ records: [String], _ failures: Int
    ) {
        let bytes = Array(text.utf8)
        let contents = EventDocument.records(in: bytes)
        #expect(contents.records.map { String(decoding: bytes[$0], as: UTF8.self) } == records)
        #expect(contents.failures.count == failures)
    }
}

struct StableHashTests {
    /// Values of the reference implementation (xxHash 0.8, XXH64), from its sanity check over the PRIME32 byte sequence.
    @Test(
        arguments: [
            (0, 0, 0xEF46_DB37_51D8_E999), (0, 2_654_435_761, 0xAC75_FDA2_929B_17EF), (1, 0, 0xE934_A84A_DB05_2768),
            (1, 2_654_435_761, 0x5014_6076_43A9_B4C3), (4, 0, 0x9136_A0DC_A574_57EE), (14, 0, 0x8282_DCC4_994E_35C8),
            (14, 2_654_435_761, 0xC3BD_6BF6_3DEB_6DF0), (222, 0, 0xB641_AE8C_B691_C174),
            (222, 2_654_435_761, 0x20CB_8AB7_AE10_C14A),
        ] as [(Int, UInt64, UInt64)])
    func `the hash is XXH64`(_ count: Int, _ seed: UInt64, _ expected: UInt64) {
        var generator: UInt64 = 2_654_435_761
        var bytes: [UInt8] = []
        for _ in 0..<count {
            bytes.append(UInt8(truncatingIfNeeded: generator >> 56))
            generator = generator &* 11_400_714_785_074_694_797
        }
        #expect(StableHash.xxh64(bytes, seed: seed) == expected)
    }
}
