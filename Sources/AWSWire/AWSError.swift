// SPDX-License-Identifier: Apache-2.0

/// What a caller sees when a call fails: AWS's error code, the HTTP status and a message that says what to do.
///
/// Errors are made only by static factories beside the operation they belong to; those common to all services are here.
/// `cause` is for the operator's log alone and never crosses the gate.
package struct AWSError: Error, Sendable, CustomStringConvertible {
    /// AWS's own string, for example `TrailNotFoundException`.
    package var code: String
    package var status: Int
    package var message: String
    /// Further members of the answer, in order: S3's `BucketName`, `Key`, `Condition` and the like.
    package var details: [WireStructure.Member]
    /// Further answer headers, names in lower case.
    package var headers: [WireHeader]
    /// What the operator's log says; may name files and values that the caller must not see.
    package var cause: String?
    /// The code as the event shows it where that differs from the wire (query services record the exception's class).
    package var recordedCode: String?

    package init(
        _ code: String, status: Int = 400, _ message: String, details: [WireStructure.Member] = [],
        headers: [WireHeader] = [], cause: String? = nil, recordedCode: String? = nil
    ) {
        self.code = code
        self.status = status
        self.message = message
        self.details = details
        self.headers = headers
        self.cause = cause
        self.recordedCode = recordedCode
    }

    package var description: String { "\(code): \(message)" }

    /// Whether the fault is the server's, which clients may retry.
    package var isServerFault: Bool { status >= 500 }
}

extension AWSError {
    /// A fault of ours; the caller learns the request id only, the operator the cause.
    package static func internalFailure(cause: String) -> AWSError {
        AWSError(
            "InternalFailure", status: 500,
            "The request processing has failed because of an unknown error, exception or failure; the server's log has "
                + "the cause under this request id.",
            cause: cause)
    }

    /// The journal or the disk cannot take more; nothing was changed and the caller may try again.
    package static func serviceUnavailable(_ message: String, cause: String? = nil) -> AWSError {
        AWSError(
            "ServiceUnavailable", status: 503, message, headers: [WireHeader("retry-after", "5")], cause: cause)
    }

    package static func validation(_ message: String) -> AWSError {
        AWSError("ValidationException", message)
    }

    package static func missingMember(_ name: String) -> AWSError {
        validation(
            "1 validation error detected: Value null at '\(name.firstLowercased)' failed to satisfy constraint: "
                + "Member must not be null")
    }

    package static func serialization(_ message: String) -> AWSError {
        AWSError("SerializationException", message)
    }
}

extension String {
    /// The first letter in lower case, all else as it is: CloudTrail's spelling of member names.
    package var firstLowercased: String {
        guard let first = utf8.first, (0x41...0x5A).contains(first) else { return self }
        return String(UnicodeScalar(first | 0x20)) + dropFirst()
    }
}
