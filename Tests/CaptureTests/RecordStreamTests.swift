// SPDX-License-Identifier: Apache-2.0

import Capture
import EventRecord
import Testing

struct RecordStreamTests {
    /// What a document gives when it comes in pieces of a size: records as text, problems as `!line`.
    private func cut(_ document: String, pieces size: Int = .max) -> [String] {
        var stream = RecordStream()
        var found: [String] = []
        let bytes = Array(document.utf8)
        func note(_ item: RecordStream.Item) {
            switch item.outcome {
            case .success(let record):
                found.append(String(decoding: record, as: UTF8.self))
                #expect(Array(bytes[item.offset..<item.offset + record.count]) == record)
                #expect(item.line == bytes[..<item.offset].count { $0 == 0x0A } + 1)
            case .failure: found.append("!\(item.line)")
            }
        }
        bytes.withUnsafeBytes { raw in
            var start = 0
            while start < raw.count {
                let end = min(raw.count, start + min(size, raw.count))
                stream.take(UnsafeRawBufferPointer(rebasing: raw[start..<end]), note)
                start = end
            }
        }
        stream.finish(note)
        return found
    }

    static let cases: [(String, [String])] = [
        (#"{"Records":[{"a":1},{"b":[{}]}]}"#, [#"{"a":1}"#, #"{"b":[{}]}"#]),
        (#"[{"a":1} , {"b":2}]"#, [#"{"a":1}"#, #"{"b":2}"#]),
        ("{\"a\":1}\n{\"b\":2}\n", [#"{"a":1}"#, #"{"b":2}"#]),
        (#"{"a":1}{"b":"}{\"["} {"c":3}"#, [#"{"a":1}"#, #"{"b":"}{\"["}"#, #"{"c":3}"#]),
        (#"{"x":{"Records":[1]},"Records":[{"a":1}],"y":[{}]} {"b":2}"#, [#"{"a":1}"#, #"{"b":2}"#]),
        (#"{"Records":"none","z":[{}]}"#, [#"{"Records":"none","z":[{}]}"#]),
        (#"{"a":{"Records":[{}]}}"#, [#"{"a":{"Records":[{}]}}"#]),
        (#"{"v":"Records","w":[{}]}"#, [#"{"v":"Records","w":[{}]}"#]),
        ("{\"Records\":[]}", []), ("[]", []), ("\u{FEFF}[{}]", ["{}"]),
        (
            "{\n  \"a\": {\n    \"b\": [\n      {\n      },\n      {}\n    ]\n  }\n}",
            [
                "{\n  \"a\": {\n    \"b\": [\n      {\n      },\n      {}\n    ]\n  }\n}"
            ]
        ),
        // What breaks off takes nothing after it along.
        ("{\"a\":1\n{\"b\":2}\n{\"c\":3}", ["!1", #"{"b":2}"#, #"{"c":3}"#]),
        ("{\"a\":\"x\n{\"b\":2}\n{\"c\":3}", ["!1", #"{"b":2}"#, #"{"c":3}"#]),
        ("{\"a\":\n{\"b\":2}\n{\"c\":3}\n{\"d\":4}", ["!1", #"{"b":2}"#, #"{"c":3}"#, #"{"d":4}"#]),
        ("{\"a\":[\n{\"b\":2}\n", ["!1", #"{"b":2}"#]),
        ("nonsense\n{\"b\":2}", ["!1", #"{"b":2}"#]),
        ("[1,{\"a\":1},\"x,]\",[{}],null,{\"b\":2}]", ["!1", #"{"a":1}"#, "!1", "!1", "!1", #"{"b":2}"#]),
        ("[{\"a\":1}", [#"{"a":1}"#, "!1"]), ("{\"a\":1", ["!1"]), ("", ["!1"]), ("  \n ", ["!1"]),
        ("{\"Records\":[{\"a\":1},{\"b\"", [#"{"a":1}"#, "!1"]),
    ]

    @Test(arguments: cases)
    func `records are cut at quotes and brackets, however the document comes`(_ document: String, _ records: [String]) {
        for size in [Int.max, 1, 2, 3, 7] { #expect(cut(document, pieces: size) == records, "pieces of \(size)") }
    }

    @Test func `a record that lies whole in a piece is read on the way, and says what its own reader says`() throws {
        let document = Array(#"[{"a":1},{"eventID":"x","eventTime":"2026-01-01T00:00:00Z"},{"eventID":"y"}"#.utf8)
        var stream = RecordStream()
        var items: [RecordStream.Item] = []
        document.withUnsafeBytes { stream.take($0) { items.append($0) } }
        #expect(items.count == 3)
        for item in items {
            let record = try item.outcome.get()
            let (event, read) = (try item.event(record), try Event(record))
            #expect(item.fields != nil)
            #expect(event.text(.eventID) == read.text(.eventID))
            #expect(event.eventSeconds == read.eventSeconds)
        }
    }

    @Test func `a record over the limit is named and passed over`() {
        let large = "{\"a\":\"" + String(repeating: "x", count: 1 << 20) + "\"}"
        #expect(cut("{\"b\":1}\n\(large)\n{\"c\":2}") == ["{\"b\":1}", "!2", "{\"c\":2}"])
        #expect(cut("\(large.dropLast())\n{\"c\":2}\n{\"d\":2}") == ["!1", "{\"c\":2}", "{\"d\":2}"])
        #expect(cut("{\"Records\":[{\"b\":1},\(large),{\"c\":2}]}") == ["{\"b\":1}", "!1", "{\"c\":2}"])
    }

    @Test func `any bytes in any pieces end, and give the same`() {
        let letters = Array("{}[]\",:\n\\ Records1a".utf8)
        var state: UInt64 = 7
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let starts = ["", "{\"Records\":[", "{\"a\":1}\n", "[", "{\"a\":[\n{\"a\":[\n"]
        for _ in 0..<5000 {
            let tail = (0..<next(60)).map { _ in letters[next(letters.count)] }
            let document = starts[next(starts.count)] + String(decoding: tail, as: UTF8.self)
            let whole = cut(document)
            #expect(cut(document, pieces: 1) == whole)
            #expect(cut(document, pieces: 1 + next(9)) == whole)
        }
    }
}
