// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Testing

struct QueryProtocolTests {
    @Test func `numbered members become lists in the order of their numbers`() throws {
        let items = try WireQueryItem.parse(
            "Action=X&Version=1&Tags.member.2.Key=b&Tags.member.1.Key=a&Tags.member.10.Key=c&Name=n%20m&A.B=1")
        #expect(
            try QueryProtocol.parameters(from: items) == [
                "Tags": .list([.structure(["Key": "a"]), .structure(["Key": "b"]), .structure(["Key": "c"])]),
                "Name": "n m", "A": .structure(["B": "1"]),
            ])
    }

    @Test(arguments: ["A=1&A=2", "A=1&A.B=2", "A.B=1&A=2", "A..B=1", ".A=1"])
    func `contradicting parameters are refused`(_ query: String) {
        #expect(throws: AWSError.self) { try QueryProtocol.parameters(from: try WireQueryItem.parse(query)) }
    }

    @Test func `errors have Query's shape`() throws {
        let bytes = QueryProtocol.error(
            AWSError("InvalidAction", "a < b"), namespace: "https://sts.amazonaws.com/doc/2011-06-15/", requestID: "R")
        let (root, content) = try XMLDocument.parse(bytes)
        #expect(root == "ErrorResponse")
        let error = content.asStructure?["Error"]?.asStructure
        #expect(error?["Code"] == "InvalidAction" && error?["Message"] == "a < b" && error?["Type"] == "Sender")
        #expect(content.asStructure?["RequestId"] == "R")
    }
}

struct XMLDocumentTests {
    @Test func `a document becomes a tree with repeated members`() throws {
        let text = """
            <?xml version="1.0"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>
            <Object><Key>a &amp; b</Key></Object><Object><Key> c </Key></Object></Delete>
            """
        let (root, content) = try XMLDocument.parse(Array(text.utf8))
        #expect(root == "Delete")
        let structure = try #require(content.asStructure)
        #expect(
            structure.members.filter { $0.name == "Object" }.map(\.value) == [
                .structure(["Key": "a & b"]), .structure(["Key": " c "]),
            ])
        #expect(structure["Quiet"] == "true")
    }

    @Test(arguments: [
        "", "<a>", "<a></b>", "<a/><b/>", "text", "<a>&unknown;</a>", "<a><b>1</b>text</a>",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
        "<a", "<a b>", "<a b=1/>", "<a b=\"1\" b=\"2\"/>", "<a b=\"<\"/>", "<a b=\"1\"c=\"2\"/>", "<a>]]></a>",
        "<a><!-- -- --></a>",
        "<a>&#0;</a>", "<a>&#xD800;</a>", "<a>&#x110000;</a>", "<a>&#;</a>", "<a>&amp</a>", "<a>\u{1}</a>",
        "<a>\u{FFFF}</a>",
        "<a><?xml version=\"1.0\"?></a>", " <?xml version=\"1.0\"?><a/>",
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a/>", "<a/>x",
        "<?x", "<?x<a/>", "<![CDATA[x]]><a/>", "<a><![CDATA[x</a>", "<1/>", "</a>", "<a></a b>", "<>", "<a>\u{0}</a>",
    ])
    func `what is not plain XML is MalformedXML`(_ text: String) {
        #expect { try XMLDocument.parse(Array(text.utf8)) } throws: { ($0 as? AWSError)?.code == "MalformedXML" }
    }

    @Test(arguments: [
        ("<?a?><r><k>v</k></r>", "v"),
        ("<?xml version='1.0' encoding='utf-8'?>\n<?p?><r><k>v<?q x?></k></r><?z?>\n", "v"),
        ("\u{FEFF}<r><k>v</k></r>", "v"), ("<r><!-- <k> --><k>a<!-- x -->b</k></r>", "ab"),
        ("<r><k><![CDATA[<a>&amp;]]]]><![CDATA[>]]></k></r>", "<a>&amp;]]>"),
        ("<r><k>a\r\nb\rc&#13;&#xa;</k></r>", "a\nb\nc\r\n"),
        ("<r  a = '1'\n><k >\u{E9}&#233;&#x1F600;</k\n></r>", "\u{E9}\u{E9}\u{1F600}"), ("<r><k/></r>", ""),
        ("<r><k>&lt;&gt;&quot;&apos;&amp;amp;</k></r>", "<>\"'&amp;"), ("<r>\n<k> </k>\t</r>", " "),
    ])
    func `comments, instructions, sections and references are read as XML has them`(
        _ text: String, _ value: String
    ) throws {
        let structure = try #require(try XMLDocument.parse(Array(text.utf8)).content.asStructure)
        #expect(structure["k"] == .string(value))
    }

    @Test func `bytes that are no UTF-8 are refused, wherever they stand`() {
        for text in ["<a>\u{E9}</a>", "<?\u{E9} x?><a/>", "<a \u{E9}='1'/>", "<!--\u{E9}--><a/>"] {
            var bytes = Array(text.utf8)
            bytes.removeAll { $0 == 0xA9 }
            #expect(throws: AWSError.self) { try XMLDocument.parse(bytes) }
        }
    }

    @Test func `attributes become members, but for those that name spaces`() throws {
        let text = "<r><g xmlns:xsi=\"urn:x\" xsi:type=\"User\" b=\"2&#10;\" a='1\n'><k>v</k></g></r>"
        let structure = try #require(try XMLDocument.parse(Array(text.utf8)).content.asStructure)
        #expect(structure["g"] == .structure(["a": "1 ", "b": "2\n", "xsi:type": "User", "k": "v"]))
    }

    @Test func `nesting beyond the limit is refused`() {
        let text = String(repeating: "<a>", count: 100) + String(repeating: "</a>", count: 100)
        #expect(throws: AWSError.self) { try XMLDocument.parse(Array(text.utf8)) }
    }

    @Test func `characters that XML does not have are replaced, or referenced where S3 writes keys`() throws {
        let text = "a\u{0}\u{1}\u{B}\t\n\u{FFFE}\u{FFFF}\u{FFFD}\u{10FFFF}\u{7F}\u{FFBF}"
        let written = String(
            decoding: XMLDocument.write(root: "R", namespace: nil, ["K": .string(text)]), as: UTF8.self)
        let shown = "a\u{FFFD}\u{FFFD}\u{FFFD}\t\n\u{FFFD}\u{FFFD}\u{FFFD}\u{10FFFF}\u{7F}\u{FFBF}"
        #expect(written.hasSuffix("<R><K>\(shown)</K></R>"))
        #expect(try XMLDocument.parse(Array(written.utf8)).content.asStructure?["K"] == .string(shown))
        let listed = WireProtocol.restXML.answer(
            OperationAnswer(body: .xml(root: "R", ["Key": "\u{1}"])), operation: "ListObjects", requestID: "r",
            hostID: "h")
        let refused = WireProtocol.restXML.error(
            AWSError("NoSuchKey", "\u{1}"), requestID: "r", hostID: "h", resource: "/\u{2}", hasBody: true)
        #expect(Self.text(listed).contains("<Key>&#1;</Key>"))
        #expect(Self.text(refused).contains("<Message>\u{FFFD}</Message><Resource>/\u{FFFD}</Resource>"))
        #expect(XMLDocument.canCarry("\t\r\n \u{FFFD}\u{10FFFF}"))
        for other in ["\u{0}", "\u{1F}", "\u{FFFE}", "\u{FFFF}"] { #expect(!XMLDocument.canCarry(other)) }
    }

    private static func text(_ answer: WireAnswer) -> String {
        if case .bytes(let bytes) = answer.body { String(decoding: bytes, as: UTF8.self) } else { "" }
    }

    @Test func `what is written is read back`() throws {
        let content: WireStructure = ["Key": "a<b>&\"c\"\r\n\u{E9}", "Size": 5, "Truncated": false, "Gone": .null]
        let (root, read) = try XMLDocument.parse(XMLDocument.write(root: "R", namespace: "urn:x", content))
        #expect(root == "R")
        let structure = try #require(read.asStructure)
        #expect(structure["Key"] == "a<b>&\"c\"\r\n\u{E9}" && structure["Size"] == "5" && structure["Gone"] == nil)
    }
}

struct TimestampTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_795_551_473, "2026-11-24T20:17:53Z"),
        (4_102_444_799, "2099-12-31T23:59:59Z"), (-1, "1969-12-31T23:59:59Z"),
    ])
    func `seconds and ISO 8601 text convert both ways`(_ seconds: Int64, _ text: String) {
        #expect(Timestamp(seconds: seconds).iso8601 == text)
        #expect(Timestamp(iso8601: text) == Timestamp(seconds: seconds))
    }

    @Test func `other forms of the same instant are read`() {
        let time = Timestamp(milliseconds: 1_795_551_473_250)
        #expect(Timestamp(iso8601: "2026-11-24T20:17:53.25Z") == time)
        #expect(Timestamp(iso8601: "2026-11-24T21:17:53.250+01:00") == time)
        #expect(Timestamp(iso8601: "20261124T201753Z")?.seconds == time.seconds)
        #expect(Timestamp(httpDate: "Tue, 24 Nov 2026 20:17:53 GMT")?.seconds == time.seconds)
        #expect(time.httpDate == "Tue, 24 Nov 2026 20:17:53 GMT")
        #expect(time.iso8601Milliseconds == "2026-11-24T20:17:53.250Z" && time.iso8601Basic == "20261124T201753Z")
    }

    @Test(arguments: [
        "", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01", "x",
        "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx",
    ])
    func `what is no time is nil`(_ text: String) {
        #expect(Timestamp(iso8601: text) == nil)
    }

    @Test func `every day of four centuries converts back`() {
        for day in stride(from: -40_000, to: 100_000, by: 1) {
            let time = Timestamp(seconds: Int64(day) * 86400 + 3723)
            #expect(Timestamp(iso8601: time.iso8601) == time)
        }
    }
}

struct WireRequestTests {
    @Test func `path and query stay raw beside their decoded form`() throws {
        let request = try WireRequest(method: "GET", target: "/b//k%2F?x=%20&y&x=2+3", headers: [])
        #expect(request.rawPath == "/b//k%2F" && request.rawQuery == "x=%20&y&x=2+3")
        #expect(request.query == [WireQueryItem("x", " "), WireQueryItem("y", ""), WireQueryItem("x", "2+3")])
    }

    @Test(arguments: ["/?a=%", "/?a=%2", "/?a=%zz", "/?%ff=1"])
    func `a damaged query is refused`(_ target: String) {
        #expect(throws: AWSError.self) { try WireRequest(method: "GET", target: target, headers: []) }
    }

    @Test func `percent encoding follows RFC 3986`() throws {
        #expect(PercentCoding.encode("a b/~é*") == "a%20b%2F~%C3%A9%2A")
        #expect(PercentCoding.encode("a b/c", keepSlash: true) == "a%20b/c")
        #expect(try PercentCoding.decode("a%20b%2F~%C3%A9%2A".utf8) == "a b/~é*")
    }
}

struct WireFieldsTests {
    @Test func `members are read by type and text forms are understood`() throws {
        let fields = try WireFields(
            ["S": "x", "B": true, "T": "true", "N": 5, "M": "6", "L": ["a", "b"], "W": 1.asSeconds, "Z": .null],
            known: ["S", "B", "T", "N", "M", "L", "W", "Z"])
        #expect(try fields.string("S") == "x" && fields.bool("B") == true && fields.bool("T") == true)
        #expect(try fields.integer("N") == 5 && fields.integer("M") == 6 && fields.strings("L") == ["a", "b"])
        #expect(try fields.timestamp("W") == Timestamp(seconds: 1) && fields.string("Z") == nil)
    }

    @Test func `a member of another type is a SerializationException`() throws {
        let fields = try WireFields(["S": 1, "B": "yes", "N": "x", "L": "a"], known: ["S", "B", "N", "L"])
        func code(_ body: () throws -> Void) -> String? {
            do { try body() } catch { return (error as? AWSError)?.code }
            return nil
        }
        #expect(code { _ = try fields.string("S") } == "SerializationException")
        #expect(code { _ = try fields.bool("B") } == "SerializationException")
        #expect(code { _ = try fields.integer("N") } == "SerializationException")
        #expect(code { _ = try fields.list("L") } == "SerializationException")
    }

    @Test func `an unknown member is refused by name`() {
        #expect { try WireFields(["Nmae": "x"], known: ["Name"]) } throws: {
            ($0 as? AWSError)?.message.contains("Nmae") == true
        }
    }

    @Test func `a missing required member is a validation error`() throws {
        let fields = try WireFields([:], known: ["Name"])
        #expect { try fields.requiredString("Name") } throws: { ($0 as? AWSError)?.code == "ValidationException" }
    }
}

extension Int {
    fileprivate var asSeconds: WireValue { .integer(Int64(self)) }
}
