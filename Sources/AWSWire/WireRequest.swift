// SPDX-License-Identifier: Apache-2.0

/// One header; the name is kept in lower case.
package struct WireHeader: Sendable, Equatable {
    package var name: String
    package var value: String

    /// - Parameter name: already in lower case.
    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// The head of an HTTP request as it came, before anything is believed of it.
///
/// Path and query are the raw text of the request line, which is what a signature covers.
package struct WireRequest: Sendable {
    package var method: String
    /// Raw path, percent-encoded as the client sent it, without the query.
    package var rawPath: String
    /// Raw query without the `?`; empty when there is none.
    package var rawQuery: String
    /// In the order of arrival, `host` included.
    package var headers: [WireHeader]
    /// The query, decoded, in the order of arrival; an item without `=` has an empty value.
    package var query: [WireQueryItem]

    /// Splits and decodes a request target.
    ///
    /// - Throws: `InvalidURI` (400) when a percent sequence is damaged or the decoded text is not UTF-8.
    package init(method: String, target: String, headers: [WireHeader]) throws(AWSError) {
        self.method = method
        self.headers = headers
        if let mark = target.utf8.firstIndex(of: UInt8(ascii: "?")) {
            rawPath = String(target[..<mark])
            rawQuery = String(target[target.utf8.index(after: mark)...])
        } else {
            rawPath = target
            rawQuery = ""
        }
        if rawPath.isEmpty { rawPath = "/" }
        query = try WireQueryItem.parse(rawQuery)
    }

    /// The first header of that name (lower case), nil when absent.
    package func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    /// The first query value of that name; names are case-sensitive.
    package func queryValue(_ name: String) -> String? { query.first { $0.name == name }?.value }

    package func hasQuery(_ name: String) -> Bool { query.contains { $0.name == name } }
}

package struct WireQueryItem: Sendable, Equatable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// Decodes `a=1&b&c=%20`. A `+` is a blank only when `plusIsBlank` (form bodies), never in S3 queries.
    package static func parse(_ raw: some StringProtocol, plusIsBlank: Bool = false) throws(AWSError) -> [WireQueryItem]
    {
        var items: [WireQueryItem] = []
        for piece in raw.utf8.split(separator: UInt8(ascii: "&")) {
            let cut = piece.firstIndex(of: UInt8(ascii: "="))
            let name = piece[..<(cut ?? piece.endIndex)]
            let value = cut.map { piece[piece.index(after: $0)...] }
            items.append(
                WireQueryItem(
                    try PercentCoding.decode(name, plusIsBlank: plusIsBlank),
                    try value.map { bytes throws(AWSError) in
                        try PercentCoding.decode(bytes, plusIsBlank: plusIsBlank)
                    } ?? ""))
        }
        return items
    }
}

/// Percent-encoding as AWS uses it (RFC 3986, section 2; unreserved characters `A-Za-z0-9-_.~`).
package enum PercentCoding {
    /// - Throws: `InvalidURI` when a sequence is damaged or the result is not UTF-8.
    package static func decode(_ text: some Sequence<UInt8>, plusIsBlank: Bool = false) throws(AWSError) -> String {
        var bytes: [UInt8] = []
        var iterator = text.makeIterator()
        while let byte = iterator.next() {
            if byte == UInt8(ascii: "%") {
                guard let high = iterator.next().flatMap(hexValue), let low = iterator.next().flatMap(hexValue) else {
                    throw invalid
                }
                bytes.append(high << 4 | low)
            } else if byte == UInt8(ascii: "+"), plusIsBlank {
                bytes.append(0x20)
            } else {
                bytes.append(byte)
            }
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else { throw invalid }
        return decoded
    }

    /// - Parameter keepSlash: leaves `/` as it is, for paths.
    package static func encode(_ text: some Sequence<UInt8>, keepSlash: Bool = false) -> String {
        var bytes: [UInt8] = []
        for byte in text {
            if isUnreserved(byte) || (keepSlash && byte == UInt8(ascii: "/")) {
                bytes.append(byte)
            } else {
                bytes.append(UInt8(ascii: "%"))
                bytes.append(upperHex[Int(byte >> 4)])
                bytes.append(upperHex[Int(byte & 15)])
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    package static func encode(_ text: String, keepSlash: Bool = false) -> String {
        encode(text.utf8, keepSlash: keepSlash)
    }

    package static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x41...0x5A, 0x61...0x7A, 0x30...0x39, UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    package static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    private static let upperHex = Array("0123456789ABCDEF".utf8)

    private static var invalid: AWSError {
        AWSError("InvalidURI", "Couldn't parse the specified URI: a percent sequence is damaged or not UTF-8.")
    }
}
