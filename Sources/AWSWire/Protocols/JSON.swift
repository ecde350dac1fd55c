// SPDX-License-Identifier: Apache-2.0
//
// JSON (RFC 8259) to and from `WireValue`: strict, bounded in depth, and with the offset of what is wrong.

extension WireValue {
    /// The deepest nesting that a request document may have.
    package static let depthMax = 64

    /// Parses one JSON document; white space around it is allowed, anything else is not.
    ///
    /// Numbers without fraction and exponent that fit become `.integer`. Of a repeated member the last one counts, as in
    /// AWS's services.
    ///
    /// - Throws: `SerializationException` (400) that names the byte offset.
    package init(json bytes: [UInt8]) throws(AWSError) {
        let result: Result<WireValue, AWSError> = bytes.withUnsafeBufferPointer { buffer in
            var parser = JSONParser(bytes: buffer)
            do throws(AWSError) {
                return .success(try parser.document())
            } catch {
                return .failure(error)
            }
        }
        self = try result.get()
    }

    /// Appends the value as JSON without white space. Timestamps become epoch seconds, with a fraction when they have one.
    package func appendJSON(to out: inout [UInt8]) {
        switch self {
        case .null: out.append(contentsOf: "null".utf8)
        case .bool(let flag): out.append(contentsOf: (flag ? "true" : "false").utf8)
        case .integer(let number): out.append(contentsOf: String(number).utf8)
        case .number(let number):
            out.append(contentsOf: (number.isFinite ? "\(number)" : "null").utf8)
        case .string(let text): WireValue.appendJSONString(text, to: &out)
        case .timestamp(let time):
            out.append(contentsOf: String(time.seconds).utf8)
            let ms = time.milliseconds - time.seconds * 1000
            if ms > 0 {
                let digits = String(ms)
                out.append(UInt8(ascii: "."))
                out.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: 3 - digits.utf8.count))
                out.append(contentsOf: digits.utf8)
            }
        case .list(let items):
            out.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                item.appendJSON(to: &out)
            }
            out.append(UInt8(ascii: "]"))
        case .structure(let structure): structure.appendJSON(to: &out)
        }
    }

    /// The value as JSON bytes.
    package var json: [UInt8] {
        var out: [UInt8] = []
        appendJSON(to: &out)
        return out
    }

    /// Appends a JSON string literal, quotes included.
    package static func appendJSONString(_ text: String, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { utf8 in
            var start = 0
            for index in 0..<utf8.count {
                let byte = utf8[index]
                if byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") { continue }
                out.append(contentsOf: utf8[start..<index])
                start = index + 1
                out.append(UInt8(ascii: "\\"))
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"): out.append(byte)
                case 0x0A: out.append(UInt8(ascii: "n"))
                case 0x0D: out.append(UInt8(ascii: "r"))
                case 0x09: out.append(UInt8(ascii: "t"))
                default:
                    out.append(contentsOf: "u00".utf8)
                    out.append(lowerHex[Int(byte >> 4)])
                    out.append(lowerHex[Int(byte & 15)])
                }
            }
            out.append(contentsOf: utf8[start...])
        }
        out.append(UInt8(ascii: "\""))
    }
}

extension WireStructure {
    package func appendJSON(to out: inout [UInt8]) {
        out.append(UInt8(ascii: "{"))
        for (index, member) in members.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            WireValue.appendJSONString(member.name, to: &out)
            out.append(UInt8(ascii: ":"))
            member.value.appendJSON(to: &out)
        }
        out.append(UInt8(ascii: "}"))
    }
}

private let lowerHex = Array("0123456789abcdef".utf8)

private struct JSONParser {
    let bytes: UnsafeBufferPointer<UInt8>
    var index = 0

    init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    mutating func document() throws(AWSError) -> WireValue {
        skipBlanks()
        let value = try value(depth: 0)
        skipBlanks()
        guard index == bytes.count else { throw damaged("unexpected text after the document") }
        return value
    }

    private func damaged(_ reason: String) -> AWSError {
        .serialization("the request is not well-formed JSON: \(reason) at byte \(index)")
    }

    private mutating func skipBlanks() {
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            default: return
            }
        }
    }

    private mutating func value(depth: Int) throws(AWSError) -> WireValue {
        guard depth < WireValue.depthMax else { throw damaged("nesting deeper than \(WireValue.depthMax)") }
        guard index < bytes.count else { throw damaged("unexpected end") }
        switch bytes[index] {
        case UInt8(ascii: "{"): return .structure(try structure(depth: depth))
        case UInt8(ascii: "["): return .list(try list(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func word(_ text: StaticString, _ value: WireValue) throws(AWSError) -> WireValue {
        let length = text.utf8CodeUnitCount
        guard index + length <= bytes.count else { throw damaged("unexpected end") }
        for offset in 0..<length where bytes[index + offset] != text.utf8Start[offset] {
            throw damaged("unexpected character")
        }
        index += length
        return value
    }

    private mutating func structure(depth: Int) throws(AWSError) -> WireStructure {
        index += 1
        var structure = WireStructure()
        skipBlanks()
        if index < bytes.count, bytes[index] == UInt8(ascii: "}") {
            index += 1
            return structure
        }
        while true {
            skipBlanks()
            guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else {
                throw damaged("expected a member name")
            }
            let name = try string()
            skipBlanks()
            guard index < bytes.count, bytes[index] == UInt8(ascii: ":") else { throw damaged("expected `:`") }
            index += 1
            skipBlanks()
            structure[name] = try value(depth: depth + 1)
            skipBlanks()
            guard index < bytes.count else { throw damaged("unexpected end") }
            if bytes[index] == UInt8(ascii: "}") {
                index += 1
                return structure
            }
            guard bytes[index] == UInt8(ascii: ",") else { throw damaged("expected `,` or `}`") }
            index += 1
        }
    }

    private mutating func list(depth: Int) throws(AWSError) -> [WireValue] {
        index += 1
        var items: [WireValue] = []
        skipBlanks()
        if index < bytes.count, bytes[index] == UInt8(ascii: "]") {
            index += 1
            return items
        }
        while true {
            skipBlanks()
            items.append(try value(depth: depth + 1))
            skipBlanks()
            guard index < bytes.count else { throw damaged("unexpected end") }
            if bytes[index] == UInt8(ascii: "]") {
                index += 1
                return items
            }
            guard bytes[index] == UInt8(ascii: ",") else { throw damaged("expected `,` or `]`") }
            index += 1
        }
    }

    private mutating func string() throws(AWSError) -> String {
        index += 1
        let start = index
        while index < bytes.count, bytes[index] != UInt8(ascii: "\""), bytes[index] != UInt8(ascii: "\\"),
            bytes[index] >= 0x20
        { index += 1 }
        guard index < bytes.count else { throw damaged("unterminated string") }
        if bytes[index] == UInt8(ascii: "\"") {
            guard let text = String(validating: bytes[start..<index], as: UTF8.self) else {
                throw damaged("text that is not UTF-8")
            }
            index += 1
            return text
        }
        var decoded = Array(bytes[start..<index])
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") {
                guard let text = String(validating: decoded, as: UTF8.self) else {
                    throw damaged("text that is not UTF-8")
                }
                index += 1
                return text
            }
            if byte < 0x20 { throw damaged("control character in a string") }
            index += 1
            if byte == UInt8(ascii: "\\") { try escape(into: &decoded) } else { decoded.append(byte) }
        }
        throw damaged("unterminated string")
    }

    private mutating func escape(into decoded: inout [UInt8]) throws(AWSError) {
        guard index < bytes.count else { throw damaged("unterminated escape") }
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(byte)
        case UInt8(ascii: "b"): decoded.append(0x08)
        case UInt8(ascii: "f"): decoded.append(0x0C)
        case UInt8(ascii: "n"): decoded.append(0x0A)
        case UInt8(ascii: "r"): decoded.append(0x0D)
        case UInt8(ascii: "t"): decoded.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hex4()
            if (0xD800..<0xDC00).contains(code) {
                guard index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u")
                else { throw damaged("lone surrogate") }
                index += 2
                let low = try hex4()
                guard (0xDC00..<0xE000).contains(low) else { throw damaged("lone surrogate") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw damaged("lone surrogate") }
            decoded.append(contentsOf: String(scalar).utf8)
        default: throw damaged("unknown escape")
        }
    }

    private mutating func hex4() throws(AWSError) -> UInt32 {
        guard index + 4 <= bytes.count else { throw damaged("unterminated escape") }
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = PercentCoding.hexValue(bytes[index]) else { throw damaged("damaged escape") }
            code = code << 4 | UInt32(digit)
            index += 1
        }
        return code
    }

    private mutating func number() throws(AWSError) -> WireValue {
        let start = index
        var isInteger = true
        if index < bytes.count, bytes[index] == UInt8(ascii: "-") { index += 1 }
        let whole = index
        try digits()
        if bytes[whole] == UInt8(ascii: "0"), index - whole > 1 { throw damaged("leading zero") }
        if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
            isInteger = false
            index += 1
            try digits()
        }
        if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            index += 1
            if index < bytes.count, bytes[index] == UInt8(ascii: "+") || bytes[index] == UInt8(ascii: "-") {
                index += 1
            }
            try digits()
        }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        if isInteger, let integer = Int64(text) { return .integer(integer) }
        guard let number = Double(text), number.isFinite else { throw damaged("number out of range") }
        return .number(number)
    }

    private mutating func digits() throws(AWSError) {
        let start = index
        while index < bytes.count, (0x30...0x39).contains(bytes[index]) { index += 1 }
        guard index > start else { throw damaged(index < bytes.count ? "unexpected character" : "unexpected end") }
    }
}
