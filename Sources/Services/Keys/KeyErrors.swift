// SPDX-License-Identifier: Apache-2.0
//
// KMS's errors: the API Reference's lists, the words as clients have quoted them.

internal import AWSWire

extension AWSError {
    static func keyServiceFailure(cause: String) -> AWSError {
        AWSError(
            "KMSInternalException", status: 500,
            "The request was rejected because an internal exception occurred; the server's log has the cause under this "
                + "request id.",
            cause: cause)
    }

    static func keyNotFound(_ arn: String) -> AWSError { AWSError("NotFoundException", "Key '\(arn)' does not exist") }
    static func aliasNotFound(_ arn: String) -> AWSError {
        AWSError("NotFoundException", "Alias \(arn) is not found.")
    }
    static func invalidKeyID(_ text: String) -> AWSError { AWSError("NotFoundException", "Invalid keyId '\(text)'") }
    static func invalidARN(_ text: String) -> AWSError { AWSError("InvalidArnException", "Invalid arn \(text)") }
    static func otherRegion(_ region: String) -> AWSError { AWSError("NotFoundException", "Invalid arn \(region)") }
    static func keyDisabled(_ arn: String) -> AWSError { AWSError("DisabledException", "\(arn) is disabled.") }
    static func keyPendingDeletion(_ arn: String) -> AWSError {
        AWSError("KMSInvalidStateException", "\(arn) is pending deletion.")
    }
    static func keyNotPendingDeletion(_ arn: String) -> AWSError {
        AWSError("KMSInvalidStateException", "\(arn) is not pending deletion.")
    }
    /// KMS tells nothing of what is wrong with a ciphertext.
    static let invalidCiphertext = AWSError("InvalidCiphertextException", "")
    static let incorrectKey = AWSError(
        "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
    static let unreachableCiphertext = AWSError(
        "AccessDeniedException",
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are "
            + "not allowed to access.",
        recordedCode: "AccessDenied")
    static func aliasExists(_ arn: String) -> AWSError {
        AWSError("AlreadyExistsException", "An alias with the name \(arn) already exists")
    }
    static let reservedAlias = AWSError("NotAuthorizedException", "Aliases that begin with alias/aws/ are reserved.")
    static let invalidAliasName = AWSError(
        "InvalidAliasNameException",
        "Alias must start with the prefix \"alias/\". Please see "
            + "the API reference for the characters that an alias name can have.")
    static let invalidMarker = AWSError("InvalidMarkerException", "Could not parse the marker; use one from an answer.")
    static func unsupported(_ message: String) -> AWSError { AWSError("UnsupportedOperationException", message) }
    static func keyLimit(_ message: String) -> AWSError { AWSError("LimitExceededException", message) }
    static func tagProblem(_ message: String) -> AWSError { AWSError("TagException", message) }
    static func conflict(_ message: String) -> AWSError { AWSError("ConflictException", message) }
    static func malformedKeyPolicy(_ message: String) -> AWSError {
        AWSError("MalformedPolicyDocumentException", message)
    }
    static func grantNotFound(_ id: String) -> AWSError { AWSError("NotFoundException", "Grant ID \(id) not found") }
    static let invalidGrantID = AWSError("InvalidGrantIdException", "The grant ID is not valid.")
    static let invalidGrantToken = AWSError("InvalidGrantTokenException", "The grant token is not valid.")
    static let dryRun = AWSError(
        "DryRunOperationException", status: 412, "The request would have succeeded, but the DryRun option is set.")
    static func keyUsage(_ arn: String) -> AWSError {
        AWSError("InvalidKeyUsageException", "\(arn) key usage is ENCRYPT_DECRYPT which is not valid for this use.")
    }

    static func outOfRange(_ member: String, _ value: Int64, _ range: ClosedRange<Int64>) -> AWSError {
        let (word, bound) = value < range.lowerBound ? ("greater", range.lowerBound) : ("less", range.upperBound)
        return .validation(
            "1 validation error detected: Value '\(value)' at '\(member.firstLowercased)' failed to satisfy constraint: "
                + "Member must have value \(word) than or equal to \(bound)")
    }

    static func notOneOf(_ member: String, _ value: String, _ values: [String]) -> AWSError {
        .validation(
            "1 validation error detected: Value '\(value)' at '\(member.firstLowercased)' failed to satisfy constraint: "
                + "Member must satisfy enum value set: [\(values.joined(separator: ", "))]")
    }

    static func wrongLength(_ member: String, _ count: Int, _ range: ClosedRange<Int>) -> AWSError {
        let (word, bound) = count < range.lowerBound ? ("greater", range.lowerBound) : ("less", range.upperBound)
        return .validation(
            "1 validation error detected: Value at '\(member.firstLowercased)' failed to satisfy constraint: Member must "
                + "have length \(word) than or equal to \(bound)")
    }
}
