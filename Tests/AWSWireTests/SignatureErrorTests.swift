// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Testing

/// Codes, statuses and messages as AWS's services give them: IAM User Guide, "Troubleshoot Signature Version 4 requests";
/// Amazon S3 User Guide and API Reference, "Error responses".
struct SignatureErrorTests {
    private let now = Timestamp(iso8601: "2026-11-24T20:17:53Z") ?? Timestamp(seconds: 0)

    struct Row: Sendable, CustomTestStringConvertible {
        var error: SignatureError
        var s3: (String, Int)
        var query: String
        var json: String
        var testDescription: String { "\(error)" }
    }

    static let rows: [Row] = [
        Row(
            error: .notSigned, s3: ("AccessDenied", 403), query: "MissingAuthenticationToken",
            json: "MissingAuthenticationTokenException"),
        Row(
            error: .unknownAccessKey("AKID"), s3: ("InvalidAccessKeyId", 403), query: "InvalidClientTokenId",
            json: "UnrecognizedClientException"),
        Row(
            error: .unknownToken("t"), s3: ("InvalidToken", 400), query: "InvalidClientTokenId",
            json: "UnrecognizedClientException"),
        Row(
            error: .expiredToken("t"), s3: ("ExpiredToken", 400), query: "ExpiredToken", json: "ExpiredTokenException"),
        Row(
            error: .skewed(Timestamp(seconds: 0), isInFuture: false, skewMilliseconds: 300_000),
            s3: ("RequestTimeTooSkewed", 403), query: "SignatureDoesNotMatch", json: "InvalidSignatureException"),
        Row(
            error: .malformed(.missingComponents(["Signature"]), .header, presented: "x"),
            s3: ("AuthorizationHeaderMalformed", 400), query: "IncompleteSignature",
            json: "IncompleteSignatureException"),
        Row(
            error: .malformed(.missingComponents(["X-Amz-Expires"]), .query, presented: "x"),
            s3: ("AuthorizationQueryParametersError", 400), query: "IncompleteSignature",
            json: "IncompleteSignatureException"),
        Row(
            error: .malformed(.region("a", expected: "b"), .header, presented: ""),
            s3: ("AuthorizationHeaderMalformed", 400), query: "SignatureDoesNotMatch", json: "InvalidSignatureException"
        ),
        Row(
            error: .malformed(.dateMissing, .header, presented: ""), s3: ("AccessDenied", 403),
            query: "IncompleteSignature", json: "IncompleteSignatureException"),
        Row(
            error: .headersNotSigned(["x-amz-acl"]), s3: ("AccessDenied", 403), query: "SignatureDoesNotMatch",
            json: "InvalidSignatureException"),
        Row(
            error: .expired(end: Timestamp(seconds: 60), expiresSeconds: 60), s3: ("AccessDenied", 403),
            query: "SignatureDoesNotMatch", json: "InvalidSignatureException"),
        Row(
            error: .unsupportedMechanism, s3: ("InvalidRequest", 400), query: "IncompleteSignature",
            json: "IncompleteSignatureException"),
        Row(
            error: .twoMechanisms, s3: ("InvalidArgument", 400), query: "IncompleteSignature",
            json: "IncompleteSignatureException"),
    ]

    @Test(arguments: rows) func `each family has its own code and status`(_ row: Row) {
        let s3 = row.error.awsError(.s3, now: now)
        #expect(s3.code == row.s3.0)
        #expect(s3.status == row.s3.1)
        let query = row.error.awsError(.query, now: now)
        #expect(query.code == row.query)
        #expect(query.status == 403)
        let json = row.error.awsError(.json, now: now)
        #expect(json.code == row.json)
        #expect(json.status == 400)
    }

    @Test func `a skewed time is told with its bounds`() {
        let past = now.adding(seconds: -325)
        #expect(
            SignatureError.skewed(past, isInFuture: false, skewMilliseconds: 300_000).awsError(.query, now: now).message
                == "Signature expired: 20261124T201228Z is now earlier than 20261124T201253Z (20261124T201753Z - 5 min.)"
        )
        let future = now.adding(seconds: 400)
        #expect(
            SignatureError.skewed(future, isInFuture: true, skewMilliseconds: 300_000).awsError(.json, now: now).message
                == "Signature not yet current: 20261124T202433Z is still later than 20261124T202253Z "
                + "(20261124T201753Z + 5 min.)")
        let s3 = SignatureError.skewed(past, isInFuture: false, skewMilliseconds: 300_000).awsError(.s3, now: now)
        #expect(s3.details.map(\.name) == ["RequestTime", "ServerTime", "MaxAllowedSkewMilliseconds"])
        #expect(s3.details.last?.value == "300000")
    }

    @Test func `S3 names the region that it expects`() {
        let error = SignatureError.malformed(.region("us-west-1", expected: "us-east-1"), .header, presented: "")
            .awsError(.s3, now: now)
        #expect(
            error.message
                == "The authorization header is malformed; the region \"us-west-1\" is wrong; expecting \"us-east-1\"")
        #expect(error.details == [.init("Region", "us-east-1")])
    }

    @Test func `S3 shows both sides of a mismatch`() throws {
        var request = try WireRequest(method: "GET", target: "/", headers: [WireHeader("host", "h")])
        let signer = RequestSigner(
            accessKeyID: "AKID", secret: SecretKey("one"), region: "us-east-1", service: "s3", family: .s3)
        request.headers += signer.headers(signing: request, payload: .unsigned, at: now)
        let presented = try #require(try PresentedSignature.parse(request))
        let refusal = try #require(
            #expect(throws: SignatureError.self) {
                try SignatureVerifier().verify(
                    presented, of: request, secret: SecretKey("two"), payload: .unsigned,
                    rules: SignatureRules(family: .s3, service: "s3"), now: now)
            })
        let error = refusal.awsError(.s3, now: now)
        #expect(error.code == "SignatureDoesNotMatch")
        #expect(
            error.details.map(\.name) == [
                "AWSAccessKeyId", "StringToSign", "SignatureProvided", "StringToSignBytes", "CanonicalRequest",
                "CanonicalRequestBytes",
            ])
        #expect(error.details[3].value.asString?.hasPrefix("41 57 53 34 2d 48 4d 41 43") == true)
        #expect(error.details[4].value.asString?.hasPrefix("GET\n/\n\nhost:h\n") == true)
    }

    @Test func `a damaged header is not repeated in the message`() {
        let header = "AWS4-HMAC-SHA256 Credential=AKID/20261124/us-east-1/sts/aws4_request, Signature=abcdef"
        for family in [SignatureFamily.s3, .query, .json] {
            let error = SignatureError.malformed(.missingComponents(["SignedHeaders"]), .header, presented: header)
                .awsError(family, now: now)
            #expect(!error.message.contains("abcdef"))
        }
        let query = SignatureError.malformed(.missingComponents(["SignedHeaders"]), .header, presented: header)
            .awsError(.query, now: now)
        #expect(
            query.message.hasPrefix("Authorization header requires 'SignedHeaders' parameter. (Hashed with SHA-256"))
    }
}
