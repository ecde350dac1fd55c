// SPDX-License-Identifier: Apache-2.0
//
// Reads what clients send as XML: elements, attributes, text, CDATA sections, the five entities and character references. Comments
// and processing instructions are passed over. A document type is refused, so no entity can be defined, and so is any encoding
// but UTF-8. One pass over the bytes, no recursion; it fails at the first byte that is not as it should be.
//
// Source: W3C, "Extensible Markup Language (XML) 1.0 (Fifth Edition)". Names may have any character beyond ASCII.

/// Makes a tree of a document.
struct XMLReader {
    /// The document is not well-formed, or not of the kind that is read here.
    struct Malformed: Error {
        var offset: Int
    }

    private struct Open {
        var name: String
        var structure = WireStructure()
        var text: [UInt8] = []
        /// Whether there is more than blanks in the text.
        var hasText = false
        var hasChildren = false
    }

    private let bytes: [UInt8]
    private var at = 0
    private var stack: [Open] = []
    private var root: (root: String, content: WireValue)?

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// - Throws: `Malformed` with the place.
    static func read(_ bytes: [UInt8]) throws(Malformed) -> (root: String, content: WireValue) {
        var reader = XMLReader(bytes)
        return try reader.document()
    }

    private mutating func document() throws(Malformed) -> (root: String, content: WireValue) {
        try checkCharacters()
        if has([0xEF, 0xBB, 0xBF]) { at = 3 }
        if has("<?xml"), at + 5 < bytes.count, Self.isBlank(bytes[at + 5]) { try declaration() }
        while at < bytes.count {
            if bytes[at] == UInt8(ascii: "<") {
                try markup()
            } else if stack.isEmpty {
                guard Self.isBlank(bytes[at]) else { throw malformed }
                at += 1
            } else {
                try text()
            }
        }
        guard stack.isEmpty, let root else { throw malformed }
        return root
    }

    private var malformed: Malformed { Malformed(offset: at) }

    // MARK: Markup

    private mutating func markup() throws(Malformed) {
        if has("<!--") {
            try passComment()
        } else if has("<![CDATA[") {
            try characterData()
        } else if has("<?") {
            try passInstruction()
        } else if has("</") {
            try end()
        } else {
            try start()
        }
    }

    private mutating func start() throws(Malformed) {
        guard stack.isEmpty ? root == nil : true, stack.count < XMLDocument.depthMax else { throw malformed }
        at += 1
        var open = Open(name: try name())
        var attributes: [(name: String, value: String)] = []
        while true {
            let hadBlank = passBlanks()
            if has("/>") || has(">") { break }
            guard hadBlank else { throw malformed }
            let name = try name()
            _ = passBlanks()
            try take("=")
            _ = passBlanks()
            guard !attributes.contains(where: { $0.name == name }) else { throw malformed }
            attributes.append((name, try attributeValue()))
        }
        for (name, value) in attributes.sorted(by: { $0.name < $1.name }) {
            if name == "xmlns" {
                if stack.isEmpty { open.structure.append("xmlns", .string(value)) }
            } else if !name.hasPrefix("xmlns:") {
                open.structure.append(name, .string(value))
            }
        }
        if !stack.isEmpty { stack[stack.count - 1].hasChildren = true }
        stack.append(open)
        if has("/>") {
            at += 2
            try close()
        } else {
            at += 1
        }
    }

    private mutating func end() throws(Malformed) {
        at += 2
        let name = try name()
        guard name == stack.last?.name else { throw malformed }
        _ = passBlanks()
        try take(">")
        try close()
    }

    /// The innermost open element has ended.
    private mutating func close() throws(Malformed) {
        guard let done = stack.popLast(), !(done.hasChildren && done.hasText) else { throw malformed }
        let isStructure = done.hasChildren || !done.structure.isEmpty
        let content: WireValue =
            isStructure ? .structure(done.structure) : .string(String(decoding: done.text, as: UTF8.self))
        if stack.isEmpty {
            root = (done.name, content)
        } else {
            stack[stack.count - 1].structure.append(done.name, content)
        }
    }

    private mutating func declaration() throws(Malformed) {
        let begin = at
        try passInstruction()
        let text = String(decoding: bytes[begin..<at], as: UTF8.self).lowercased()
        guard let encoding = text.firstRange(of: "encoding") else { return }
        let value = text[encoding.upperBound...].drop { $0.isWhitespace || "=\"'".contains($0) }
        guard value.hasPrefix("utf-8") || value.hasPrefix("utf8") || value.hasPrefix("us-ascii") else {
            throw malformed
        }
    }

    private mutating func passInstruction() throws(Malformed) {
        let isFirst = at == 0 || at == 3 && bytes[0] == 0xEF
        at += 2
        let target = try name()
        guard target.lowercased() != "xml" || isFirst else { throw malformed }
        guard has("?>") || Self.isBlank(at < bytes.count ? bytes[at] : 0) else { throw malformed }
        try pass(to: "?>")
    }

    private mutating func passComment() throws(Malformed) {
        at += 4
        try pass(to: "--")
        try take(">")
    }

    // MARK: Text

    private mutating func text() throws(Malformed) {
        let byte = bytes[at]
        if byte == UInt8(ascii: "&") {
            let scalar = try reference()
            return add(Array(String(Character(scalar)).utf8)[...], isReference: true)
        }
        var end = at
        while end < bytes.count, bytes[end] != UInt8(ascii: "<"), bytes[end] != UInt8(ascii: "&") { end += 1 }
        let run = bytes[at..<end]
        if Self.position(of: Array("]]>".utf8), in: run) != nil { throw malformed }
        add(run)
        at = end
    }

    private mutating func characterData() throws(Malformed) {
        guard !stack.isEmpty else { throw malformed }
        at += 9
        let begin = at
        try pass(to: "]]>")
        add(bytes[begin..<at - 3])
    }

    /// Adds to the text of the innermost element; line ends become LF, but for a return that was written as a reference.
    private mutating func add(_ run: ArraySlice<UInt8>, isReference: Bool = false) {
        var isAfterReturn = false
        for byte in run {
            if byte == 0x0D, !isReference {
                stack[stack.count - 1].text.append(0x0A)
            } else if byte != 0x0A || !isAfterReturn {
                stack[stack.count - 1].text.append(byte)
            }
            isAfterReturn = byte == 0x0D
            if !Self.isBlank(byte) { stack[stack.count - 1].hasText = true }
        }
    }

    private mutating func attributeValue() throws(Malformed) -> String {
        guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") || bytes[at] == UInt8(ascii: "'") else {
            throw malformed
        }
        let quote = bytes[at]
        at += 1
        var value: [UInt8] = []
        while at < bytes.count, bytes[at] != quote {
            switch bytes[at] {
            case UInt8(ascii: "<"): throw malformed
            case UInt8(ascii: "&"): value += String(Character(try reference())).utf8
            case 0x09, 0x0A, 0x0D:
                value.append(0x20)
                at += 1
            default:
                value.append(bytes[at])
                at += 1
            }
        }
        guard at < bytes.count else { throw malformed }
        at += 1
        return String(decoding: value, as: UTF8.self)
    }

    private mutating func reference() throws(Malformed) -> Unicode.Scalar {
        for (text, scalar) in Self.entities where has(text) {
            at += text.utf8.count
            return scalar
        }
        guard has("&#") else { throw malformed }
        at += 2
        let radix: UInt32 = has("x") ? 16 : 10
        if radix == 16 { at += 1 }
        var value: UInt32 = 0
        var digits = 0
        while at < bytes.count, let digit = PercentCoding.hexValue(bytes[at]), UInt32(digit) < radix {
            value = min(value * radix + UInt32(digit), 0x11_0000)
            digits += 1
            at += 1
        }
        guard digits > 0, let scalar = Unicode.Scalar(value), Self.isAllowed(scalar) else { throw malformed }
        try take(";")
        return scalar
    }

    private static let entities: [(String, Unicode.Scalar)] = [
        ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"),
    ]

    // MARK: Details

    /// Whether XML 1.0 has the character ("Char").
    private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value >= 0x20
            ? scalar.value != 0xFFFE && scalar.value != 0xFFFF : [0x09, 0x0A, 0x0D].contains(scalar.value)
    }

    /// The whole document is UTF-8 and has no character that XML has not.
    private func checkCharacters() throws(Malformed) {
        guard let text = String(validating: bytes, as: UTF8.self), text.unicodeScalars.allSatisfy(Self.isAllowed) else {
            throw malformed
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0A).contains(byte) || byte == 0x0D }

    private func has(_ text: String) -> Bool { has(text.utf8) }

    private func has(_ expected: some Collection<UInt8>) -> Bool {
        bytes.count - at >= expected.count && bytes[at..<at + expected.count].elementsEqual(expected)
    }

    private mutating func take(_ text: String) throws(Malformed) {
        guard has(text) else { throw malformed }
        at += text.utf8.count
    }

    /// Goes to behind the next such text.
    private mutating func pass(to text: String) throws(Malformed) {
        guard let found = Self.position(of: Array(text.utf8), in: bytes[at...]) else { throw malformed }
        at = found + text.utf8.count
    }

    private static func position(of text: [UInt8], in run: ArraySlice<UInt8>) -> Int? {
        var index = run.startIndex
        while let found = run[index...].firstIndex(of: text[0]) {
            if run[found...].starts(with: text) { return found }
            index = found + 1
        }
        return nil
    }

    /// - Returns: whether there were any.
    private mutating func passBlanks() -> Bool {
        let begin = at
        while at < bytes.count, Self.isBlank(bytes[at]) { at += 1 }
        return at > begin
    }

    private mutating func name() throws(Malformed) -> String {
        let begin = at
        while at < bytes.count, Self.isName(bytes[at], isFirst: at == begin) { at += 1 }
        guard at > begin else { throw malformed }
        return String(decoding: bytes[begin..<at], as: UTF8.self)
    }

    private static func isName(_ byte: UInt8, isFirst: Bool) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"),
            UInt8(ascii: ":"), 0x80...0xFF:
            true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."): !isFirst
        default: false
        }
    }
}
