// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Testing

struct JSONTests {
    @Test(arguments: [
        #"{"a":1,"b":[true,false,null],"c":{"d":"e"}}"#, #"[]"#, #"{}"#, #""\u00e9\ud83d\ude00""#, #"-12.5e3"#,
        #"  {"x" : "\"\\\/\b\f\n\r\t"} "#,
    ])
    func `well-formed documents are read and written back to the same value`(_ text: String) throws {
        let value = try WireValue(json: Array(text.utf8))
        #expect(try WireValue(json: value.json) == value)
    }

    @Test(arguments: [
        "", "{", "[1,", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, "[1,]", "tru", "01", "1.", "1e", "-", "\"a", "\"\\x\"",
        "\"\\ud800\"", "\"\\udc00\"", "\"\\u12g4\"", "{} {}", "\"a\nb\"", "nul", "1e999", "{a:1}", "'a'",
    ])
    func `malformed documents are refused as SerializationException`(_ text: String) {
        #expect { try WireValue(json: Array(text.utf8)) } throws: {
            ($0 as? AWSError)?.code == "SerializationException"
        }
    }

    @Test func `text that is not UTF-8 is refused`() {
        for bytes: [UInt8] in [[0x22, 0xFF, 0x22], [0x22, 0xC3, 0x22], [0x22, 0x5C, 0x6E, 0xFF, 0x22]] {
            #expect(throws: AWSError.self) { try WireValue(json: bytes) }
        }
    }

    @Test func `nesting beyond the limit is refused and the limit itself is not`() throws {
        func nested(_ depth: Int) -> [UInt8] {
            Array(String(repeating: "[", count: depth).utf8) + Array(String(repeating: "]", count: depth).utf8)
        }
        _ = try WireValue(json: nested(WireValue.depthMax))
        #expect(throws: AWSError.self) { try WireValue(json: nested(WireValue.depthMax + 1)) }
        #expect(throws: AWSError.self) { try WireValue(json: nested(1_000_000)) }
    }

    @Test func `of a repeated member the last one counts`() throws {
        #expect(try WireValue(json: Array(#"{"a":1,"a":2}"#.utf8)) == .structure(["a": 2]))
    }

    @Test func `a timestamp is written as epoch seconds with its fraction`() {
        #expect(
            String(decoding: WireValue.timestamp(Timestamp(milliseconds: 1_441_139_757_497)).json, as: UTF8.self)
                == "1441139757.497")
        #expect(
            String(decoding: WireValue.timestamp(Timestamp(milliseconds: 1_000_000_000_005)).json, as: UTF8.self)
                == "1000000000.005")
        #expect(String(decoding: WireValue.timestamp(Timestamp(seconds: 7)).json, as: UTF8.self) == "7")
    }

    @Test func `control characters are escaped`() {
        #expect(String(decoding: WireValue.string("\u{1}\u{1F}a\"").json, as: UTF8.self) == #""\u0001\u001fa\"""#)
    }

    @Test func `any mutation of a document is read or refused, never a crash`() {
        let seedText = #"{"Name":"trail-1","List":[1,2.5,{"A":"\u00e9"}],"Flag":true,"None":null}"#
        var random = SplitMix(state: 20_261_124)
        for _ in 0..<20_000 {
            var bytes = Array(seedText.utf8)
            for _ in 0..<Int(random.next() % 4 + 1) {
                let index = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 3 {
                case 0: bytes[index] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: index)
                default: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: index)
                }
            }
            if let value = try? WireValue(json: bytes) {
                #expect((try? WireValue(json: value.json)) == value)
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014), so that a failing run replays.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
