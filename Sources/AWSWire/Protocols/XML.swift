// SPDX-License-Identifier: Apache-2.0
//
// XML documents to and from `WireStructure`.
//
// Reading (XMLReader) yields a tree and not a Codable shape, because the recorder shows request documents as they came. Repeated
// elements become repeated members of the same name.

package enum XMLDocument {
    package static let depthMax = 32

    /// What is written for a character that XML 1.0 does not have.
    package enum Forbidden: Sendable {
        /// U+FFFD, so that every parser can read the document.
        case replaced
        /// A reference to it, as S3 writes keys; its clients ask for encoding-type=url when they expect such keys.
        case referenced
    }

    /// Whether XML 1.0 can carry the text (its production `Char`).
    package static func canCarry(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { scalar in
            switch scalar.value {
            case 0x09, 0x0A, 0x0D, 0x20...0xFFFD, 0x10000...: true
            default: false
            }
        }
    }

    /// Parses a document into the root element's name and its content.
    ///
    /// An element with element children becomes a structure, any other one its text, trimmed of white space only when
    /// the element has children. Attributes other than `xmlns` and `xmlns:*` become members named like the attribute.
    ///
    /// - Throws: S3's `MalformedXML` (400).
    package static func parse(_ bytes: [UInt8]) throws(AWSError) -> (root: String, content: WireValue) {
        do throws(XMLReader.Malformed) { return try XMLReader.read(bytes) } catch { throw .malformedXML }
    }

    /// Writes a document with one root element.
    ///
    /// - Parameters:
    ///   - namespace: the root's `xmlns`, nil for none (S3's errors have none).
    ///   - forbidden: what becomes of characters that XML 1.0 does not have.
    package static func write(
        root: String, namespace: String?, _ content: WireStructure, forbidden: Forbidden = .replaced
    ) -> [UInt8] {
        var out = Array("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".utf8)
        open(root, namespace: namespace, to: &out)
        append(content, to: &out, forbidden)
        close(root, to: &out)
        return out
    }

    /// Appends the members as elements. A list becomes `<member>` elements, which is Query's form.
    private static func append(_ structure: WireStructure, to out: inout [UInt8], _ forbidden: Forbidden) {
        for member in structure.members {
            // A member named `@name` is an attribute of the element it is in, and written there.
            if member.name.utf8.first == UInt8(ascii: "@") { continue }
            append(member.name, member.value, to: &out, forbidden)
        }
    }

    private static func append(_ name: String, _ value: WireValue, to out: inout [UInt8], _ forbidden: Forbidden) {
        switch value {
        case .null: return
        case .structure(let structure):
            out.append(UInt8(ascii: "<"))
            out.append(contentsOf: name.utf8)
            for member in structure.members where member.name.utf8.first == UInt8(ascii: "@") {
                out.append(UInt8(ascii: " "))
                out.append(contentsOf: member.name.utf8.dropFirst())
                out.append(contentsOf: "=\"".utf8)
                appendEscaped(member.value.asString ?? "", to: &out, forbidden)
                out.append(UInt8(ascii: "\""))
            }
            out.append(UInt8(ascii: ">"))
            append(structure, to: &out, forbidden)
            close(name, to: &out)
        case .list(let items):
            open(name, namespace: nil, to: &out)
            for item in items { append("member", item, to: &out, forbidden) }
            close(name, to: &out)
        case .string(let text):
            open(name, namespace: nil, to: &out)
            appendEscaped(text, to: &out, forbidden)
            close(name, to: &out)
        case .bool(let flag): appendSimple(name, flag ? "true" : "false", to: &out)
        case .integer(let number): appendSimple(name, String(number), to: &out)
        case .number(let number): appendSimple(name, "\(number)", to: &out)
        case .timestamp(let time): appendSimple(name, time.iso8601Milliseconds, to: &out)
        }
    }

    private static func appendSimple(_ name: String, _ text: String, to out: inout [UInt8]) {
        open(name, namespace: nil, to: &out)
        out.append(contentsOf: text.utf8)
        close(name, to: &out)
    }

    private static func open(_ name: String, namespace: String?, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "<"))
        out.append(contentsOf: name.utf8)
        if let namespace {
            out.append(contentsOf: " xmlns=\"\(namespace)\"".utf8)
        }
        out.append(UInt8(ascii: ">"))
    }

    private static func close(_ name: String, to out: inout [UInt8]) {
        out.append(contentsOf: "</".utf8)
        out.append(contentsOf: name.utf8)
        out.append(UInt8(ascii: ">"))
    }

    /// Whether the last two bytes are those that U+FFFD, U+FFFE and U+FFFF begin with.
    private static func endsBeforeNoncharacter(_ out: [UInt8]) -> Bool { out.suffix(2).elementsEqual([0xEF, 0xBF]) }

    private static func appendEscaped(_ text: String, to out: inout [UInt8], _ forbidden: Forbidden) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "&"): out.append(contentsOf: "&amp;".utf8)
            case UInt8(ascii: "<"): out.append(contentsOf: "&lt;".utf8)
            case UInt8(ascii: ">"): out.append(contentsOf: "&gt;".utf8)
            case UInt8(ascii: "\""): out.append(contentsOf: "&quot;".utf8)
            case 0x0D: out.append(contentsOf: "&#13;".utf8)
            case 0x00..<0x20 where byte != 0x09 && byte != 0x0A:
                switch forbidden {
                case .replaced: out.append(contentsOf: "\u{FFFD}".utf8)
                case .referenced: out.append(contentsOf: "&#\(byte);".utf8)
                }
            case 0xBE where forbidden == .replaced && endsBeforeNoncharacter(out),
                0xBF where forbidden == .replaced && endsBeforeNoncharacter(out):
                // The last byte of U+FFFE or U+FFFF, which becomes that of U+FFFD.
                out.append(0xBD)
            default: out.append(byte)
            }
        }
    }
}

extension AWSError {
    package static var malformedXML: AWSError {
        AWSError(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema")
    }
}
