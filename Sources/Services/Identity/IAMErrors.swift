// SPDX-License-Identifier: Apache-2.0
//
// IAM's errors in its own words (IAM API Reference, "Common Errors" and each operation's page).

internal import AWSWire
internal import Policies

extension AWSError {
    static func noSuchEntity(_ message: String) -> AWSError {
        AWSError("NoSuchEntity", status: 404, message, recordedCode: "NoSuchEntityException")
    }

    static func noSuchEntity(_ kind: IdentityEntity.Kind, _ name: String) -> AWSError {
        noSuchEntity("The \(kind.rawValue) with name \(name) cannot be found.")
    }

    static func noSuchPolicy(_ arn: String) -> AWSError { noSuchEntity("Policy \(arn) was not found.") }

    static func managedByAWS(_ arn: String) -> AWSError {
        AWSError("AccessDenied", status: 403, "Policy \(arn) is managed by AWS and cannot be changed.")
    }

    static func entityExists(_ message: String) -> AWSError {
        AWSError("EntityAlreadyExists", status: 409, message, recordedCode: "EntityAlreadyExistsException")
    }

    static func deleteConflict(_ message: String) -> AWSError {
        AWSError("DeleteConflict", status: 409, message, recordedCode: "DeleteConflictException")
    }

    static func limitExceeded(_ message: String) -> AWSError {
        AWSError("LimitExceeded", status: 409, message, recordedCode: "LimitExceededException")
    }

    static func limitExceeded(_ quota: String, _ limit: Int) -> AWSError {
        limitExceeded("Cannot exceed quota for \(quota): \(limit)")
    }

    static func invalidInput(_ message: String) -> AWSError {
        AWSError("InvalidInput", message, recordedCode: "InvalidInputException")
    }

    /// IAM's name for what other services call ValidationException.
    static func validationError(_ message: String) -> AWSError {
        AWSError("ValidationError", message, recordedCode: "ValidationException")
    }

    static func constraint(_ member: String, _ value: String, _ rule: String) -> AWSError {
        validationError(
            "1 validation error detected: Value '\(value)' at '\(member.firstLowercased)' failed to satisfy "
                + "constraint: \(rule)")
    }

    static func missing(_ member: String) -> AWSError {
        validationError(
            "1 validation error detected: Value null at '\(member.firstLowercased)' failed to satisfy constraint: "
                + "Member must not be null")
    }

    /// A document that IAM does not take.
    static func refused(_ error: PolicyError) -> AWSError {
        let status = error.code == "LimitExceeded" ? 409 : 400
        return AWSError(
            error.code, status: status, error.message, cause: "byte \(error.position): \(error.detail)",
            recordedCode: error.code == "MalformedPolicyDocument" ? "MalformedPolicyDocumentException" : nil)
    }
}
