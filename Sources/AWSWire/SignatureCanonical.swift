// SPDX-License-Identifier: Apache-2.0
//
// The canonical request (AWS General Reference, "Create a signed AWS API request", step 1):
//
//   METHOD \n path \n query \n (name ':' value \n)* \n name;name;... \n payload-hash
//
// - Path. S3: as sent, encoded once, never normalised. Others: `//` collapsed and dot segments removed (RFC 3986, 5.2.4),
//   then the already encoded text encoded again. Empty is `/`.
// - Query: pairs sorted by name, then value, by bytes; a name without `=` gets one; X-Amz-Signature is left out.
// - Headers: those listed, in the list's order; values trimmed, runs of blanks folded to one; a repeated header's values
//   joined by commas in the order of arrival.

/// How paths and queries are spelled, where clients differ while meaning the same resource.
enum CanonicalSpelling {
    /// The bytes of the request line.
    case asSent
    /// Decoded, then encoded anew with upper-case hexadecimal and the unreserved set.
    case encodedAnew
}

/// The text that a signature covers.
package struct CanonicalRequest: Sendable {
    package let bytes: [UInt8]
    /// False when a listed header is not in the request; such a request cannot be what was signed.
    let isComplete: Bool

    init(
        _ request: WireRequest, family: SignatureFamily, signedHeaders: [String], payload: String,
        spelling: CanonicalSpelling = .asSent
    ) {
        var output: [UInt8] = []
        output.reserveCapacity(1024 + request.rawPath.utf8.count + request.rawQuery.utf8.count)
        output.append(contentsOf: request.method.utf8)
        output.append(newline)
        Self.appendPath(request.rawPath, family, spelling, to: &output)
        output.append(newline)
        Self.appendQuery(request, spelling, to: &output)
        output.append(newline)
        var isComplete = true
        for name in signedHeaders {
            output.append(contentsOf: name.utf8)
            output.append(UInt8(ascii: ":"))
            var isFirst = true
            let count = name.utf8.count
            // Lengths first: they differ for nearly all, and are cheaper to compare than texts.
            for header in request.headers where header.name.utf8.count == count && header.name == name {
                if !isFirst { output.append(UInt8(ascii: ",")) }
                isFirst = false
                Self.appendFolded(header.value, to: &output)
            }
            if isFirst { isComplete = false }
            output.append(newline)
        }
        output.append(newline)
        for (index, name) in signedHeaders.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ";")) }
            output.append(contentsOf: name.utf8)
        }
        output.append(newline)
        output.append(contentsOf: payload.utf8)
        bytes = output
        self.isComplete = isComplete
    }

    /// `AWS4-HMAC-SHA256 \n time \n scope \n hex(sha256(canonical request))`.
    package func stringToSign(timeText: String, scope: CredentialScope) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(192)
        output.append(contentsOf: PresentedSignature.algorithm.utf8)
        output.append(newline)
        output.append(contentsOf: timeText.utf8)
        output.append(newline)
        output.append(contentsOf: scope.text.utf8)
        output.append(newline)
        Hex.appendSHA256(of: bytes, to: &output)
        return output
    }
}

private let newline = UInt8(ascii: "\n")
private let slash = UInt8(ascii: "/")

// MARK: - Path

extension CanonicalRequest {
    private static func appendPath(
        _ path: String, _ family: SignatureFamily, _ spelling: CanonicalSpelling, to output: inout [UInt8]
    ) {
        guard family == .s3 else {
            appendEncoded(normalized(Array(path.utf8)), keepSlash: true, to: &output)
            return
        }
        switch spelling {
        case .asSent: output.append(contentsOf: path.isEmpty ? "/".utf8 : path.utf8)
        case .encodedAnew:
            // Segment by segment: an encoded slash is part of a name and must not become a separator, nor the reverse.
            for (index, segment) in path.utf8.split(separator: slash, omittingEmptySubsequences: false).enumerated() {
                if index > 0 { output.append(slash) }
                appendEncoded(decoded(segment), keepSlash: false, to: &output)
            }
        }
    }

    /// Removes dot segments and empty ones; a slash at the end stays. Works on the encoded text, so `%2E` is no dot.
    static func normalized(_ path: [UInt8]) -> [UInt8] {
        if path.isEmpty || path == [slash] { return [slash] }
        // What is no absolute path has no normal form that another path could share.
        guard path[0] == slash else { return path }
        var segments: [ArraySlice<UInt8>] = []
        for segment in path.split(separator: slash) {
            if segment.elementsEqual(".".utf8) { continue }
            if segment.elementsEqual("..".utf8) {
                _ = segments.popLast()
            } else {
                segments.append(segment)
            }
        }
        var output: [UInt8] = []
        output.reserveCapacity(path.count)
        for segment in segments {
            output.append(slash)
            output.append(contentsOf: segment)
        }
        if path.last == slash || segments.isEmpty { output.append(slash) }
        return output
    }
}

// MARK: - Query

extension CanonicalRequest {
    private struct Pair {
        var name: [UInt8]
        var value: [UInt8]
    }

    private static func appendQuery(
        _ request: WireRequest, _ spelling: CanonicalSpelling, to output: inout [UInt8]
    ) {
        if request.rawQuery.isEmpty { return }
        var pairs: [Pair] = []
        switch spelling {
        case .asSent:
            for piece in Array(request.rawQuery.utf8).split(separator: UInt8(ascii: "&")) {
                let cut = piece.firstIndex(of: UInt8(ascii: "=")) ?? piece.endIndex
                pairs.append(Pair(name: Array(piece[..<cut]), value: Array(piece[cut...].dropFirst())))
            }
        case .encodedAnew:
            for item in request.query {
                var pair = Pair(name: [], value: [])
                appendEncoded(item.name.utf8, keepSlash: false, to: &pair.name)
                appendEncoded(item.value.utf8, keepSlash: false, to: &pair.value)
                pairs.append(pair)
            }
        }
        pairs.removeAll { isSignature($0.name) }
        pairs.sort {
            $0.name == $1.name
                ? $0.value.lexicographicallyPrecedes($1.value) : $0.name.lexicographicallyPrecedes($1.name)
        }
        for (index, pair) in pairs.enumerated() {
            if index > 0 { output.append(UInt8(ascii: "&")) }
            output.append(contentsOf: pair.name)
            output.append(UInt8(ascii: "="))
            output.append(contentsOf: pair.value)
        }
    }

    /// By the decoded name, so that an encoded twin is not covered either, as the parser sees it.
    private static func isSignature(_ name: [UInt8]) -> Bool {
        let wanted = PresentedSignature.QueryName.signature
        if name.elementsEqual(wanted.utf8) { return true }
        return name.contains(UInt8(ascii: "%")) && decoded(name).elementsEqual(wanted.utf8)
    }
}

// MARK: - Bytes

extension CanonicalRequest {
    private static func appendFolded(_ value: String, to output: inout [UInt8]) {
        if isFolded(value) {
            output.append(contentsOf: value.utf8)
            return
        }
        var isBlankPending = false
        var isAtStart = true
        for byte in value.utf8 {
            if byte == 0x20 || byte == 0x09 {
                isBlankPending = true
                continue
            }
            if isBlankPending, !isAtStart { output.append(0x20) }
            isBlankPending = false
            isAtStart = false
            output.append(byte)
        }
    }

    /// Whether there is nothing to trim or fold, as in nearly every header.
    private static func isFolded(_ value: String) -> Bool {
        var isAfterBlank = true
        for byte in value.utf8 {
            if byte == 0x09 || (byte == 0x20 && isAfterBlank) { return false }
            isAfterBlank = byte == 0x20
        }
        return !isAfterBlank || value.isEmpty
    }

    private static func appendEncoded(
        _ bytes: some Sequence<UInt8>, keepSlash: Bool, to output: inout [UInt8]
    ) {
        for byte in bytes {
            if PercentCoding.isUnreserved(byte) || (keepSlash && byte == slash) {
                output.append(byte)
            } else {
                output.append(UInt8(ascii: "%"))
                output.append(upperHexDigit(byte >> 4))
                output.append(upperHexDigit(byte & 15))
            }
        }
    }

    private static func upperHexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x41 + value - 10 }

    /// Percent-decoded bytes; damaged sequences stay as they are.
    private static func decoded(_ text: some Collection<UInt8>) -> [UInt8] {
        let bytes = Array(text)
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
                let high = PercentCoding.hexValue(bytes[index + 1]), let low = PercentCoding.hexValue(bytes[index + 2])
            {
                output.append(high << 4 | low)
                index += 3
            } else {
                output.append(bytes[index])
                index += 1
            }
        }
        return output
    }
}
