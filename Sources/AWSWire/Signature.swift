// SPDX-License-Identifier: Apache-2.0
//
// Signature Version 4, what a request presents (AWS General Reference, "AWS Signature Version 4 for API requests"; Amazon
// S3 API Reference, "Authenticating Requests").
//
// Header form:
//   Authorization: AWS4-HMAC-SHA256 Credential=AKID/yyyymmdd/region/service/aws4_request, SignedHeaders=a;b, Signature=hex
//   X-Amz-Date: yyyymmddThhmmssZ (or Date), X-Amz-Security-Token for session credentials
// Query form (presigned):
//   X-Amz-Algorithm=AWS4-HMAC-SHA256, X-Amz-Credential, X-Amz-Date, X-Amz-Expires, X-Amz-SignedHeaders, X-Amz-Signature,
//   X-Amz-Security-Token for session credentials
//
// `PresentedSignature` is what the request claims; nothing of it is proven. `SignatureVerifier` alone makes a
// `VerifiedSignature` of it.

/// Where a signature is carried.
package enum SignatureForm: Sendable, Equatable {
    case header
    case query
}

/// What a signature is bound to: `yyyymmdd/region/service/aws4_request`.
package struct CredentialScope: Sendable, Hashable {
    /// Eight digits, UTC.
    package var date: String
    package var region: String
    package var service: String
    package var terminator: String

    package static let terminator = "aws4_request"

    package init(date: String, region: String, service: String, terminator: String = CredentialScope.terminator) {
        self.date = date
        self.region = region
        self.service = service
        self.terminator = terminator
    }

    /// As it stands in the credential and in the string to sign.
    package var text: String { "\(date)/\(region)/\(service)/\(terminator)" }
}

/// The signature that a request claims to have, well-formed but unproven.
package struct PresentedSignature: Sendable {
    package let form: SignatureForm
    package let accessKeyID: String
    /// Service and region are what a server routes by, before it knows whether they are true.
    package let scope: CredentialScope
    package let time: Timestamp
    /// `yyyymmddThhmmssZ`, as in the string to sign.
    package let timeText: String
    /// Query form alone: seconds from `time`, 1 to 604800.
    package let expiresSeconds: Int64?
    /// Lower case, sorted, without repetition.
    package let signedHeaders: [String]
    /// As sent; not checked to be hexadecimal, since only equality counts.
    package let signature: [UInt8]
    package let sessionToken: String?

    /// Reads the signature of a request.
    ///
    /// - Returns: nil when the request carries none at all.
    /// - Throws: `SignatureError` when it carries a damaged one, two, or one of another scheme.
    package static func parse(_ request: WireRequest) throws(SignatureError) -> PresentedSignature? {
        let authorization = request.headers.lazy.filter { $0.name == "authorization" }
        let isPresigned = request.query.contains { QueryName.marks.contains($0.name) }
        let isVersion2 =
            request.hasQuery("Signature")
            && (request.hasQuery("AWSAccessKeyId") || request.hasQuery("SignatureVersion"))
        if let header = authorization.first {
            guard !isPresigned, !isVersion2 else { throw .twoMechanisms }
            guard authorization.dropFirst().isEmpty else { throw .twoMechanisms }
            return try parseHeader(header.value, request)
        }
        if isPresigned { return try parseQuery(request) }
        if isVersion2 { throw .unsupportedMechanism }
        return nil
    }

    /// The scope that a request names, even where the rest of its signature is damaged: good enough to choose the
    /// protocol in which the refusal is written, and for nothing else.
    package static func hintedScope(of request: WireRequest) -> CredentialScope? {
        var credential: Substring?
        if let text = request.queryValue(QueryName.credential) {
            credential = text[...]
        } else if let text = request.header("authorization"), let found = text.firstRange(of: "Credential=") {
            credential = text[found.upperBound...].prefix { $0 != "," && $0 != " " }
        }
        let parts = credential?.split(separator: "/", omittingEmptySubsequences: false) ?? []
        guard parts.count >= 5 else { return nil }
        return CredentialScope(
            date: String(parts[parts.count - 4]), region: String(parts[parts.count - 3]),
            service: String(parts[parts.count - 2]), terminator: String(parts[parts.count - 1]))
    }

    /// Names of the query form's parameters; they are case-sensitive.
    package enum QueryName {
        package static let algorithm = "X-Amz-Algorithm"
        package static let credential = "X-Amz-Credential"
        package static let date = "X-Amz-Date"
        package static let expires = "X-Amz-Expires"
        package static let signedHeaders = "X-Amz-SignedHeaders"
        package static let signature = "X-Amz-Signature"
        package static let securityToken = "X-Amz-Security-Token"
        package static let contentHash = "X-Amz-Content-Sha256"

        /// Any of these means that the query is meant to carry a signature.
        static let marks = [algorithm, signature, credential]
        static let required = [algorithm, credential, signature, date, signedHeaders, expires]
    }

    package static let algorithm = "AWS4-HMAC-SHA256"
}

// MARK: - Header form

extension PresentedSignature {
    private static func parseHeader(_ text: String, _ request: WireRequest) throws(SignatureError) -> PresentedSignature
    {
        func flawed(_ flaw: SignatureFlaw) -> SignatureError { .malformed(flaw, .header, presented: text) }

        let bytes = Array(text.utf8)
        let schemeEnd = bytes.firstIndex(where: isBlank) ?? bytes.endIndex
        // Both a scheme that we do not speak and a lone word without fields.
        guard bytes[..<schemeEnd].elementsEqual(algorithm.utf8) else { throw .unsupportedMechanism }
        var credential: ArraySlice<UInt8>?
        var signedHeaders: ArraySlice<UInt8>?
        var signature: ArraySlice<UInt8>?
        for piece in bytes[schemeEnd...].split(separator: UInt8(ascii: ",")) {
            let field = trimmed(piece)
            if field.isEmpty { continue }
            guard let equal = field.firstIndex(of: UInt8(ascii: "=")) else {
                throw flawed(.notKeyValue(String(decoding: field, as: UTF8.self)))
            }
            let name = field[..<equal]
            let value = field[(equal + 1)...]
            if credential == nil, name.elementsEqual("Credential".utf8) {
                credential = value
            } else if signedHeaders == nil, name.elementsEqual("SignedHeaders".utf8) {
                signedHeaders = value
            } else if signature == nil, name.elementsEqual("Signature".utf8) {
                signature = value
            } else {
                throw flawed(.unknownComponent(String(decoding: name, as: UTF8.self)))
            }
        }
        var missing: [String] = []
        if credential == nil { missing.append("Credential") }
        if signature == nil { missing.append("Signature") }
        if signedHeaders == nil { missing.append("SignedHeaders") }
        guard let credential, let signedHeaders, let signature else { throw flawed(.missingComponents(missing)) }
        let (accessKeyID, scope) = try parseCredential(credential, flawed)
        let (time, timeText) = try headerTime(request, flawed)
        return PresentedSignature(
            form: .header, accessKeyID: accessKeyID, scope: scope, time: time, timeText: timeText, expiresSeconds: nil,
            signedHeaders: try parseSignedHeaders(signedHeaders, flawed), signature: Array(signature),
            sessionToken: try single("x-amz-security-token", request, flawed))
    }

    /// `X-Amz-Date` if there is one, else `Date` in either of its forms.
    private static func headerTime(
        _ request: WireRequest, _ flawed: (SignatureFlaw) -> SignatureError
    ) throws(SignatureError) -> (Timestamp, String) {
        if let text = try single("x-amz-date", request, flawed) {
            guard let time = Timestamp(signatureTime: text) else { throw flawed(.dateUnreadable(text)) }
            return (time, text)
        }
        guard let text = try single("date", request, flawed) else { throw flawed(.dateMissing) }
        // RFC 5322 writes UTC as -0000 too, and botocore does.
        let isZoneUnknown = text.hasSuffix(" -0000")
        guard
            let time = Timestamp(signatureTime: text)
                ?? Timestamp(httpDate: isZoneUnknown ? text.dropLast(5) + "GMT" : text)
        else { throw flawed(.dateUnreadable(text)) }
        return (time, time.iso8601Basic)
    }

    /// The value of a header that may come once only: of two, nobody could say which one counts.
    private static func single(
        _ name: String, _ request: WireRequest, _ flawed: (SignatureFlaw) -> SignatureError
    ) throws(SignatureError) -> String? {
        var found: String?
        let count = name.utf8.count
        for header in request.headers where header.name.utf8.count == count && header.name == name {
            guard found == nil else { throw flawed(.repeated(name)) }
            let bytes = Array(header.value.utf8)
            let kept = trimmed(bytes[...])
            found = kept.count == bytes.count ? header.value : String(decoding: kept, as: UTF8.self)
        }
        return found
    }
}

// MARK: - Query form

extension PresentedSignature {
    private static func parseQuery(_ request: WireRequest) throws(SignatureError) -> PresentedSignature {
        func flawed(_ flaw: SignatureFlaw) -> SignatureError { .malformed(flaw, .query, presented: request.rawQuery) }

        var values: [String: String] = [:]
        for item in request.query
        where QueryName.required.contains(item.name) || item.name == QueryName.securityToken {
            guard values.updateValue(item.value, forKey: item.name) == nil else { throw flawed(.repeated(item.name)) }
        }
        guard let scheme = values[QueryName.algorithm], let credential = values[QueryName.credential],
            let signature = values[QueryName.signature], let timeText = values[QueryName.date],
            let signedHeaders = values[QueryName.signedHeaders], let expiresText = values[QueryName.expires]
        else {
            throw flawed(.missingComponents(QueryName.required.filter { values[$0] == nil }))
        }
        guard scheme == algorithm else { throw .unsupportedMechanism }
        let (accessKeyID, scope) = try parseCredential(Array(credential.utf8)[...], flawed)
        guard let time = Timestamp(signatureTime: timeText) else { throw flawed(.dateUnreadable(timeText)) }
        return PresentedSignature(
            form: .query, accessKeyID: accessKeyID, scope: scope, time: time, timeText: timeText,
            expiresSeconds: try parseExpires(expiresText, flawed),
            signedHeaders: try parseSignedHeaders(Array(signedHeaders.utf8)[...], flawed),
            signature: Array(signature.utf8),
            sessionToken: values[QueryName.securityToken])
    }

    private static func parseExpires(
        _ text: String, _ flawed: (SignatureFlaw) -> SignatureError
    ) throws(SignatureError) -> Int64 {
        let digits = text.utf8.first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8[...]
        guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw flawed(.expiresUnreadable)
        }
        if digits.count < text.utf8.count { throw flawed(.expiresNegative) }
        guard let seconds = Int64(text), seconds <= SignatureLimits.presignedSecondsMax else {
            throw flawed(.expiresTooLong)
        }
        guard seconds >= 1 else { throw flawed(.expiresNegative) }
        return seconds
    }
}

// MARK: - Parts common to both forms

extension PresentedSignature {
    /// `AKID/yyyymmdd/region/service/aws4_request`. The scope's truth is the verifier's concern, its shape is ours.
    private static func parseCredential(
        _ text: ArraySlice<UInt8>, _ flawed: (SignatureFlaw) -> SignatureError
    ) throws(SignatureError) -> (String, CredentialScope) {
        let parts = text.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count == 5, parts.allSatisfy({ !$0.isEmpty }),
            parts[0].count <= SignatureLimits.accessKeyIDBytesMax, parts[0].allSatisfy(PercentCoding.isUnreserved)
        else { throw flawed(.credentialShape) }
        let words = parts.map { String(decoding: $0, as: UTF8.self) }
        guard parts[1].count == 8, parts[1].allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw flawed(.scopeDateShape(words[1]))
        }
        return (words[0], CredentialScope(date: words[1], region: words[2], service: words[3], terminator: words[4]))
    }

    private static func parseSignedHeaders(
        _ text: ArraySlice<UInt8>, _ flawed: (SignatureFlaw) -> SignatureError
    ) throws(SignatureError) -> [String] {
        let names = text.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
        guard names.count <= SignatureLimits.signedHeadersMax else { throw flawed(.signedHeadersShape) }
        var list: [String] = []
        list.reserveCapacity(names.count)
        var last: ArraySlice<UInt8> = []
        for name in names {
            guard !name.isEmpty, name.allSatisfy(isHeaderNameByte), last.lexicographicallyPrecedes(name) else {
                throw flawed(.signedHeadersShape)
            }
            last = name
            list.append(String(decoding: name, as: UTF8.self))
        }
        return list
    }

    /// Token characters of RFC 9110 without upper case.
    private static func isHeaderNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x61...0x7A, 0x30...0x39: true
        case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "~"), UInt8(ascii: "!"),
            UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"), UInt8(ascii: "'"),
            UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "^"), UInt8(ascii: "`"), UInt8(ascii: "|"):
            true
        default: false
        }
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard let first = text.firstIndex(where: { !isBlank($0) }), let last = text.lastIndex(where: { !isBlank($0) })
        else { return [] }
        return text[first...last]
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}

/// The bounds of signature checking.
package enum SignatureLimits {
    /// Longest life of a presigned request: seven days.
    package static let presignedSecondsMax: Int64 = 604_800
    /// Most names in a SignedHeaders list; requests with more are refused.
    package static let signedHeadersMax = 128
    /// Longest access key id; IAM's own limit.
    package static let accessKeyIDBytesMax = 128
    /// Derived keys that are kept; beyond it the cache starts anew, which costs four HMACs a key.
    package static let signingKeysMax = 4096
    /// How far a request's time may lie from ours, each way: five minutes.
    package static let skewMilliseconds: Int64 = 300_000
}

extension Timestamp {
    /// Reads `yyyymmddThhmmssZ` and nothing else.
    init?(signatureTime text: String) {
        let utf8 = text.utf8
        guard utf8.count == 16, utf8.last == UInt8(ascii: "Z"), utf8.dropFirst(8).first == UInt8(ascii: "T"),
            let time = Timestamp(iso8601: text)
        else { return nil }
        self = time
    }
}
