// SPDX-License-Identifier: Apache-2.0

/// Why an S3 endpoint did not do what it was asked, for the operator; never holds a secret.
package struct S3ClientError: Error, Sendable, CustomStringConvertible {
    /// The kinds of failure.
    package enum Kind: Sendable, Equatable {
        /// The endpoint said no: trying again unchanged would be answered the same.
        case refused
        /// The endpoint cannot now: 5xx, throttling, a request that it gave up.
        case unavailable
        /// No connection came about, so nothing can have been written.
        case unreachable
        /// The connection broke before the answer was there.
        case interrupted
        /// No answer in time.
        case timedOut
        /// This server has no keys for the endpoint.
        case credentialsUnavailable
    }

    package var kind: Kind
    /// S3's error code (Amazon S3 API Reference, "Error responses"); where the endpoint gave none, S3's own code for it.
    package var code: String
    /// The HTTP status, when there was an answer.
    package var status: Int?
    package var message: String
    /// Whether the object may be there all the same, from this try or an earlier one of the same request.
    package var mayHaveWritten: Bool
    /// Seconds to wait as the endpoint asked for.
    package var retryAfter: Int64?

    package init(
        _ kind: Kind, code: String? = nil, status: Int? = nil, _ message: String, retryAfter: Int64? = nil
    ) {
        self.kind = kind
        self.status = status
        self.message = message
        self.retryAfter = retryAfter
        switch kind {
        case .refused, .unreachable, .credentialsUnavailable: mayHaveWritten = false
        // A proxy's 5xx does not tell what the server behind it did.
        case .unavailable, .interrupted, .timedOut: mayHaveWritten = true
        }
        self.code = code ?? (kind == .timedOut ? "RequestTimeout" : "ServiceUnavailable")
    }

    package var description: String { status.map { "\(code) (\($0)): \(message)" } ?? "\(code): \(message)" }
}

extension S3ClientError {
    /// Codes with a status below 500 that are the passing kind all the same.
    private static let passing: Set<String> = [
        "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "RequestThrottled", "TooManyRequests",
        "OperationAborted", "ConditionalRequestConflict",
    ]

    /// Reads an answer with an error status.
    ///
    /// - Parameters:
    ///   - code: from the body, nil when it has none that can be read.
    ///   - message: likewise.
    init(status: Int, code: String?, message: String?, retryAfter: Int64?) {
        let code = code ?? Self.code(of: status)
        // 501 is a refusal: a feature that the endpoint will not have the next time either.
        let isPassing =
            (status >= 500 && status != 501) || status == 408 || status == 429 || Self.passing.contains(code)
        self.init(
            isPassing ? .unavailable : .refused, code: code, status: status, message ?? "no reason was given",
            retryAfter: retryAfter)
    }

    /// S3's code for a status whose answer has no body, as to HEAD.
    private static func code(of status: Int) -> String {
        switch status {
        case 301, 307: "PermanentRedirect"
        case 400: "InvalidRequest"
        case 401, 403: "AccessDenied"
        case 404: "NoSuchKey"
        case 408: "RequestTimeout"
        case 409: "OperationAborted"
        case 412: "PreconditionFailed"
        case 429: "SlowDown"
        case 501: "NotImplemented"
        case 503: "ServiceUnavailable"
        case 500...: "InternalError"
        default: "InvalidRequest"
        }
    }
}
