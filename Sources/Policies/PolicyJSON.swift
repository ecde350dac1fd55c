// SPDX-License-Identifier: Apache-2.0
//
// Reads JSON (RFC 8259) into a tree that knows where each value stands. A reader of its own, because a policy with the
// same member twice must be refused, and because whoever wrote a policy must be told where it is wrong.

/// A JSON value and its place in the text.
struct JSONNode {
    enum Value {
        case string(String)
        /// The number as it is written.
        case number(String)
        case bool(Bool)
        case null
        case array([JSONNode])
        case object([JSONMember])
    }

    let value: Value
    /// The bytes of the value in the text; of a string with its quotes.
    let range: Range<Int>
}

struct JSONMember {
    let name: String
    let position: Int
    let node: JSONNode
}

/// What is wrong with a JSON text, and where.
struct JSONFault: Error {
    let position: Int
    let detail: String
    /// Whether the text is JSON but names a member twice in one object.
    var isDoubledMember = false
}

struct JSONReader {
    /// Deeper nesting than any policy has; it bounds the recursion.
    static let depthMaximum = 32

    private let bytes: [UInt8]
    private var index = 0

    /// Reads a text that is one JSON value and nothing else.
    static func read(_ bytes: [UInt8]) throws(JSONFault) -> JSONNode {
        var reader = JSONReader(bytes: bytes)
        reader.skipSpace()
        let node = try reader.readValue(depth: 0)
        reader.skipSpace()
        guard reader.index == bytes.count else { throw reader.fault("text after the end of the document") }
        return node
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    private func fault(_ detail: String) -> JSONFault {
        JSONFault(position: index, detail: index < bytes.count ? detail : "the text ends too early")
    }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
    }

    private mutating func readValue(depth: Int) throws(JSONFault) -> JSONNode {
        guard depth < Self.depthMaximum else { throw fault("nested too deeply") }
        let start = index
        let value: JSONNode.Value =
            switch next {
            case UInt8(ascii: "{"): .object(try readObject(depth: depth))
            case UInt8(ascii: "["): .array(try readArray(depth: depth))
            case UInt8(ascii: "\""): .string(try readString())
            case UInt8(ascii: "t"): try readWord("true", .bool(true))
            case UInt8(ascii: "f"): try readWord("false", .bool(false))
            case UInt8(ascii: "n"): try readWord("null", .null)
            default: .number(try readNumber())
            }
        return JSONNode(value: value, range: start..<index)
    }

    private mutating func readObject(depth: Int) throws(JSONFault) -> [JSONMember] {
        index += 1
        var members: [JSONMember] = []
        var names: Set<String> = []
        skipSpace()
        if next == UInt8(ascii: "}") {
            index += 1
            return members
        }
        while true {
            skipSpace()
            let position = index
            guard next == UInt8(ascii: "\"") else { throw fault("a member's name must stand here, in double quotes") }
            let name = try readString()
            guard names.insert(name).inserted else {
                throw JSONFault(position: position, detail: "\(name) stands here twice", isDoubledMember: true)
            }
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw fault("a colon must stand here") }
            index += 1
            skipSpace()
            members.append(JSONMember(name: name, position: position, node: try readValue(depth: depth + 1)))
            skipSpace()
            switch next {
            case UInt8(ascii: ","): index += 1
            case UInt8(ascii: "}"):
                index += 1
                return members
            default: throw fault("a comma or } must stand here")
            }
        }
    }

    private mutating func readArray(depth: Int) throws(JSONFault) -> [JSONNode] {
        index += 1
        var nodes: [JSONNode] = []
        skipSpace()
        if next == UInt8(ascii: "]") {
            index += 1
            return nodes
        }
        while true {
            skipSpace()
            nodes.append(try readValue(depth: depth + 1))
            skipSpace()
            switch next {
            case UInt8(ascii: ","): index += 1
            case UInt8(ascii: "]"):
                index += 1
                return nodes
            default: throw fault("a comma or ] must stand here")
            }
        }
    }

    private mutating func readWord(_ word: StaticString, _ value: JSONNode.Value) throws(JSONFault) -> JSONNode.Value {
        for offset in 0..<word.utf8CodeUnitCount {
            guard next == word.utf8Start[offset] else { throw fault("no JSON value") }
            index += 1
        }
        return value
    }

    private mutating func readNumber() throws(JSONFault) -> String {
        let start = index
        if next == UInt8(ascii: "-") { index += 1 }
        let firstDigit = next
        guard skipDigits() > 0 else { throw fault("no JSON value") }
        let integerStart = bytes[start] == UInt8(ascii: "-") ? start + 1 : start
        if firstDigit == UInt8(ascii: "0"), index > integerStart + 1 { throw fault("a number with a leading zero") }
        if next == UInt8(ascii: ".") {
            index += 1
            guard skipDigits() > 0 else { throw fault("a digit must follow the point") }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            index += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { index += 1 }
            guard skipDigits() > 0 else { throw fault("a digit must follow the exponent's sign") }
        }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private mutating func skipDigits() -> Int {
        let start = index
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { index += 1 }
        return index - start
    }

    private mutating func readString() throws(JSONFault) -> String {
        let start = index
        index += 1
        var text: [UInt8] = []
        while true {
            guard let byte = next else { throw fault("a string without an end") }
            switch byte {
            case UInt8(ascii: "\""):
                index += 1
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw JSONFault(position: start, detail: "a string that is not UTF-8")
                }
                return string
            case UInt8(ascii: "\\"):
                index += 1
                try readEscape(into: &text)
            case 0..<0x20:
                throw fault("a control character inside a string")
            default:
                text.append(byte)
                index += 1
            }
        }
    }

    private mutating func readEscape(into text: inout [UInt8]) throws(JSONFault) {
        guard let byte = next else { throw fault("a string without an end") }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var code = UInt32(try readCodeUnit())
            if (0xD800..<0xDC00).contains(code) {
                guard next == UInt8(ascii: "\\"), index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "u") else {
                    throw fault("half of a surrogate pair")
                }
                index += 2
                let low = UInt32(try readCodeUnit())
                guard (0xDC00..<0xE000).contains(low) else { throw fault("half of a surrogate pair") }
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw fault("half of a surrogate pair") }
            text.append(contentsOf: String(Character(scalar)).utf8)
        default:
            index -= 1
            throw fault("no such escape")
        }
    }

    private mutating func readCodeUnit() throws(JSONFault) -> UInt16 {
        guard index + 4 <= bytes.count else {
            index = bytes.count
            throw fault("a string without an end")
        }
        var code: UInt16 = 0
        for _ in 0..<4 {
            let byte = bytes[index]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw fault("\\u needs four hexadecimal digits")
            }
            code = code << 4 | UInt16(digit)
            index += 1
        }
        return code
    }
}
