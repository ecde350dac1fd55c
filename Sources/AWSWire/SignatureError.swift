// SPDX-License-Identifier: Apache-2.0

/// The families of services that answer a bad signature in the same words.
package enum SignatureFamily: Sendable, Equatable {
    /// REST with XML; path signed as sent; `InvalidAccessKeyId`.
    case s3
    /// IAM, STS and the other Query services; `InvalidClientTokenId`, HTTP 403.
    case query
    /// CloudTrail, KMS, Logs and the other JSON services; `UnrecognizedClientException`, HTTP 400.
    case json

    package init(_ wireProtocol: WireProtocol) {
        switch wireProtocol {
        case .restXML: self = .s3
        case .query: self = .query
        case .json, .restJSON: self = .json
        }
    }
}

/// Why a request's signature was not accepted. `awsError(_:now:)` says it in the words of the service's family.
package enum SignatureError: Error, Sendable, Equatable {
    /// The operation needs a caller and the request has no signature.
    case notSigned
    /// Signature Version 2, Version 4A, Bearer and the like.
    case unsupportedMechanism
    /// Header and query both, or two Authorization headers.
    case twoMechanisms
    /// The signature cannot be read, or its scope cannot be right. `presented` is what the client sent; messages show
    /// its hash alone.
    case malformed(SignatureFlaw, SignatureForm, presented: String)
    /// Header names that are in the request and should be in SignedHeaders, in order.
    case headersNotSigned([String])
    /// The request's time is too far from ours.
    case skewed(Timestamp, isInFuture: Bool, skewMilliseconds: Int64)
    /// A presigned request after its end.
    case expired(end: Timestamp, expiresSeconds: Int64)
    /// A presigned request before its beginning.
    case notYetValid(Timestamp)
    /// S3 without `x-amz-content-sha256`.
    case contentHashMissing
    /// `x-amz-content-sha256` that is neither a hash nor one of the literals.
    case contentHashUnreadable(String)
    /// No such access key, or one that is deleted or inactive.
    case unknownAccessKey(String)
    /// A session token that belongs to no session.
    case unknownToken(String)
    case expiredToken(String)
    /// Well-formed, in time, and wrong.
    case mismatch(SignatureMismatch)
}

/// What is wrong with a signature that cannot be read.
package enum SignatureFlaw: Sendable, Equatable {
    case notKeyValue(String)
    case unknownComponent(String)
    /// Names of what is missing: components of the header, parameters of the query.
    case missingComponents([String])
    /// A header or parameter that came twice.
    case repeated(String)
    case credentialShape
    case scopeDateShape(String)
    case signedHeadersShape
    case dateMissing
    case dateUnreadable(String)
    case expiresUnreadable
    case expiresNegative
    case expiresTooLong
    case terminator(String)
    case service(String, expected: String)
    case region(String, expected: String)
    case scopeDate(String, time: String)
}

/// Both sides of a comparison that failed, for the client's author to see where they part.
package struct SignatureMismatch: Sendable, Equatable {
    package let accessKeyID: String
    package let provided: [UInt8]
    package let canonicalRequest: [UInt8]
    package let stringToSign: [UInt8]
}

extension SignatureError {
    /// The refusal in the service's own words.
    ///
    /// - Parameter now: the time that messages about time show.
    package func awsError(_ family: SignatureFamily, now: Timestamp) -> AWSError {
        switch family {
        case .s3: s3Error(now: now)
        case .query: commonError(Codes.query, now: now)
        case .json: commonError(Codes.json, now: now)
        }
    }
}

// MARK: - Query and JSON services

extension SignatureError {
    private struct Codes {
        var status: Int
        var missing: String
        var incomplete: String
        var unknown: String
        var expired: String
        var mismatch: String

        static let query = Codes(
            status: 403, missing: "MissingAuthenticationToken", incomplete: "IncompleteSignature",
            unknown: "InvalidClientTokenId", expired: "ExpiredToken", mismatch: "SignatureDoesNotMatch")
        static let json = Codes(
            status: 400, missing: "MissingAuthenticationTokenException", incomplete: "IncompleteSignatureException",
            unknown: "UnrecognizedClientException", expired: "ExpiredTokenException",
            mismatch: "InvalidSignatureException")
    }

    private func commonError(_ codes: Codes, now: Timestamp) -> AWSError {
        func error(_ code: String, _ message: String) -> AWSError { AWSError(code, status: codes.status, message) }

        switch self {
        case .notSigned: return error(codes.missing, "Missing Authentication Token")
        case .unsupportedMechanism:
            return error(
                codes.incomplete, "Unsupported authorization scheme; this server accepts AWS4-HMAC-SHA256 alone.")
        case .twoMechanisms:
            return error(
                codes.incomplete,
                "The request must carry one signature: an Authorization header or query parameters, not both.")
        case .malformed(let flaw, let form, let presented):
            return flaw.isAboutScope
                ? error(codes.mismatch, flaw.commonMessage(form, presented))
                : error(codes.incomplete, flaw.commonMessage(form, presented))
        case .headersNotSigned(let names):
            let name = names.first ?? "host"
            let shown = name == "host" ? "'Host' or ':authority'" : "'\(name)'"
            return error(codes.mismatch, "\(shown) must be a 'SignedHeader' in the AWS Authorization.")
        case .skewed(let time, let isInFuture, let skew):
            let minutes = skew / 60_000
            return isInFuture
                ? error(
                    codes.mismatch,
                    "Signature not yet current: \(time.iso8601Basic) is still later than "
                        + "\(now.adding(milliseconds: skew).iso8601Basic) (\(now.iso8601Basic) + \(minutes) min.)")
                : error(
                    codes.mismatch,
                    "Signature expired: \(time.iso8601Basic) is now earlier than "
                        + "\(now.adding(milliseconds: -skew).iso8601Basic) (\(now.iso8601Basic) - \(minutes) min.)")
        case .expired(let end, _):
            return error(
                codes.mismatch, "Signature expired: \(end.iso8601Basic) is now earlier than \(now.iso8601Basic)")
        case .notYetValid(let start):
            return error(
                codes.mismatch,
                "Signature not yet current: \(start.iso8601Basic) is still later than \(now.iso8601Basic)")
        case .contentHashMissing, .contentHashUnreadable, .mismatch:
            return error(
                codes.mismatch,
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                    + "Access Key and signing method. Consult the service documentation for details.")
        case .unknownAccessKey, .unknownToken:
            return error(codes.unknown, "The security token included in the request is invalid.")
        case .expiredToken: return error(codes.expired, "The security token included in the request is expired")
        }
    }
}

extension SignatureFlaw {
    /// Whether the signature could be read, but is bound to something else than this request.
    fileprivate var isAboutScope: Bool {
        switch self {
        case .scopeDateShape, .terminator, .service, .region, .scopeDate, .signedHeadersShape: true
        default: false
        }
    }

    fileprivate func commonMessage(_ form: SignatureForm, _ presented: String) -> String {
        let place = form == .header ? "Authorization header" : "AWS query-string parameters"
        // As AWS does it: the hash lets the sender find the request again, and is of no use to anyone else.
        let shown =
            form == .header
            ? "(Hashed with SHA-256 and encoded with Base64) Authorization=\(Base64.sha256(of: presented))"
            : "Re-examine"
        switch self {
        case .notKeyValue(let text):
            return "'\(text.prefix(64))' not a valid key=value pair (missing equal-sign) in \(place) \(shown)."
        case .unknownComponent(let name):
            return "'\(name.prefix(64))' is not a component of the \(place), or stands there twice. \(shown)"
        case .missingComponents(let names):
            if form == .query { return "AWS query-string parameters must include \(list(names)). \(shown)" }
            return names.map { "Authorization header requires '\($0)' parameter. " }.joined() + shown
        case .repeated(let name): return "'\(name)' must stand in the request once. \(shown)"
        case .credentialShape:
            return
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term. \(shown)"
        case .scopeDateShape(let text):
            return "Date in Credential scope must be in the format yyyyMMdd, but is '\(text.prefix(64))'."
        case .signedHeadersShape:
            return "SignedHeaders must list names in lower case, sorted, each once, delimited by semicolons."
        case .dateMissing:
            return "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. \(shown)"
        case .dateUnreadable(let text):
            return
                "Date must be in ISO-8601 'basic format'. Got '\(text.prefix(64))'. See "
                + "http://en.wikipedia.org/wiki/ISO_8601"
        case .expiresUnreadable: return "X-Amz-Expires must be a number of seconds."
        case .expiresNegative: return "X-Amz-Expires must be at least 1."
        case .expiresTooLong: return "X-Amz-Expires must be at most \(SignatureLimits.presignedSecondsMax) seconds."
        case .terminator(let text):
            return
                "Credential should be scoped with a valid terminator: 'aws4_request', not '\(text.prefix(64))'."
        case .service(_, let expected): return "Credential should be scoped to correct service: '\(expected)'."
        case .region(let region, _):
            return "Credential should be scoped to a valid region, not '\(region.prefix(64))'."
        case .scopeDate(let date, let time):
            return
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                + "'\(date)' != '\(time.prefix(8))', from '\(time)'."
        }
    }

    private func list(_ names: [String]) -> String { names.map { "'\($0)'" }.joined(separator: ", ") }
}

// MARK: - S3

extension SignatureError {
    private func s3Error(now: Timestamp) -> AWSError {
        func detail(_ name: String, _ value: String) -> WireStructure.Member { .init(name, .string(value)) }
        func denied(_ message: String, _ details: [WireStructure.Member] = []) -> AWSError {
            AWSError("AccessDenied", status: 403, message, details: details)
        }

        switch self {
        case .notSigned: return denied("Access Denied")
        case .unsupportedMechanism:
            return AWSError(
                "InvalidRequest",
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
        case .twoMechanisms:
            return AWSError(
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
                    + "parameter or the Authorization header should be specified",
                details: [detail("ArgumentName", "Authorization")])
        case .malformed(let flaw, let form, _): return flaw.s3Error(form)
        case .headersNotSigned(let names):
            return denied(
                "There were headers present in the request which were not signed",
                [detail("HeadersNotSigned", names.joined(separator: ", "))])
        case .skewed(let time, _, let skew):
            return AWSError(
                "RequestTimeTooSkewed", status: 403,
                "The difference between the request time and the current time is too large.",
                details: [
                    detail("RequestTime", time.iso8601Basic), detail("ServerTime", now.iso8601),
                    detail("MaxAllowedSkewMilliseconds", String(skew)),
                ])
        case .expired(let end, let seconds):
            return denied(
                "Request has expired",
                [
                    detail("X-Amz-Expires", String(seconds)), detail("Expires", end.iso8601),
                    detail("ServerTime", now.iso8601),
                ])
        case .notYetValid: return denied("Request is not valid yet", [detail("ServerTime", now.iso8601)])
        case .contentHashMissing:
            return AWSError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
        case .contentHashUnreadable(let text):
            return AWSError(
                "InvalidArgument",
                "x-amz-content-sha256 must be \(DeclaredPayload.literals.joined(separator: ", ")) or a valid sha256 "
                    + "value.",
                details: [
                    detail("ArgumentName", "x-amz-content-sha256"), detail("ArgumentValue", String(text.prefix(128))),
                ])
        case .unknownAccessKey(let id):
            return AWSError(
                "InvalidAccessKeyId", status: 403,
                "The AWS Access Key Id you provided does not exist in our records.",
                details: [detail("AWSAccessKeyId", id)])
        case .unknownToken(let token):
            return AWSError(
                "InvalidToken", "The provided token is malformed or otherwise invalid.",
                details: [detail("Token-0", token)])
        case .expiredToken(let token):
            return AWSError("ExpiredToken", "The provided token has expired.", details: [detail("Token-0", token)])
        case .mismatch(let mismatch):
            func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
            func octets(_ bytes: [UInt8]) -> String {
                bytes.map { Hex.encode(CollectionOfOne($0)) }.joined(separator: " ")
            }
            return AWSError(
                "SignatureDoesNotMatch", status: 403,
                "The request signature we calculated does not match the signature you provided. Check your key and "
                    + "signing method.",
                details: [
                    detail("AWSAccessKeyId", mismatch.accessKeyID),
                    detail("StringToSign", text(mismatch.stringToSign)),
                    detail("SignatureProvided", text(mismatch.provided)),
                    detail("StringToSignBytes", octets(mismatch.stringToSign)),
                    detail("CanonicalRequest", text(mismatch.canonicalRequest)),
                    detail("CanonicalRequestBytes", octets(mismatch.canonicalRequest)),
                ])
        }
    }
}

extension SignatureFlaw {
    fileprivate func s3Error(_ form: SignatureForm) -> AWSError {
        if self == .dateMissing {
            return AWSError(
                "AccessDenied", status: 403, "AWS authentication requires a valid Date or x-amz-date header")
        }
        if case .dateUnreadable = self, form == .header {
            return AWSError(
                "AccessDenied", status: 403, "AWS authentication requires a valid Date or x-amz-date header")
        }
        if case .repeated = self, form == .query {
            // A parameter given twice is as good as none: nobody could say which one counts.
            return SignatureFlaw.missingComponents([]).s3Error(.query)
        }
        var details: [WireStructure.Member] = []
        if case .region(_, let expected) = self { details = [.init("Region", .string(expected))] }
        let (code, opening) =
            form == .header
            ? ("AuthorizationHeaderMalformed", "The authorization header is malformed; ")
            : (
                "AuthorizationQueryParametersError",
                isAboutCredential ? "Error parsing the X-Amz-Credential parameter; " : ""
            )
        return AWSError(code, opening + s3Message(form), details: details)
    }

    private var isAboutCredential: Bool {
        switch self {
        case .credentialShape, .scopeDateShape, .terminator, .service, .region, .scopeDate: true
        default: false
        }
    }

    private func s3Message(_ form: SignatureForm) -> String {
        switch self {
        case .notKeyValue, .unknownComponent, .missingComponents:
            form == .header
                ? "the authorization header requires three components: Credential, SignedHeaders, and Signature."
                : "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
                    + "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        case .repeated(let name): "the request has the header \(name) more than once."
        case .credentialShape:
            "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
        case .scopeDateShape(let text):
            "incorrect date format \"\(text.prefix(64))\". This date in the credential must be in the format "
                + "\"yyyyMMdd\"."
        case .signedHeadersShape:
            "the SignedHeaders must be names in lower case, sorted, each once, delimited by semicolons."
        case .dateMissing, .dateUnreadable: "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        case .expiresUnreadable: "X-Amz-Expires should be a number"
        case .expiresNegative: "X-Amz-Expires must be non-negative"
        case .expiresTooLong:
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
                + "604800 seconds"
        case .terminator(let text):
            "incorrect terminal \"\(text.prefix(64))\". This endpoint uses \"aws4_request\"."
        case .service(let service, let expected):
            "incorrect service \"\(service.prefix(64))\". This endpoint belongs to \"\(expected)\"."
        case .region(let region, let expected):
            "the region \"\(region.prefix(64))\" is wrong; expecting \"\(expected)\""
        case .scopeDate: "Invalid credential date. Date is not the same as X-Amz-Date."
        }
    }
}
