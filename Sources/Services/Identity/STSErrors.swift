// SPDX-License-Identifier: Apache-2.0
//
// STS's errors in AWS's words. Sources: AWS Security Token Service API Reference; IAM User Guide, "Troubleshoot IAM".

internal import AWSWire
internal import Policies

extension AWSError {
    /// What STS says of every role that cannot be assumed, also of one that does not exist: outsiders learn nothing.
    static func notAuthorized(_ caller: Caller, _ action: String, on role: String, cause: String?) -> AWSError {
        var error = AWSError.accessDenied(family: .query, callerARN: caller.arn, action: action, resource: role)
        error.cause = cause
        return error
    }

    static func accessDenied(_ message: String) -> AWSError { AWSError("AccessDenied", status: 403, message) }

    /// Events show the class of the exception.
    static func stsValidation(_ message: String) -> AWSError {
        AWSError("ValidationError", message, recordedCode: "ValidationException")
    }

    static func stsConstraint(_ member: String, _ value: String?, _ rule: String) -> AWSError {
        let shown = value.map { "Value '\($0)'" } ?? "Value"
        return stsValidation(
            "1 validation error detected: \(shown) at '\(member.firstLowercased)' failed to satisfy constraint: "
                + "Member must \(rule)")
    }

    static func invalidParameterValue(_ message: String) -> AWSError {
        AWSError("InvalidParameterValue", message, recordedCode: "InvalidParameterValueException")
    }

    static func sessionPolicyRefused(_ error: PolicyError) -> AWSError {
        AWSError("MalformedPolicyDocument", error.message, recordedCode: "MalformedPolicyDocumentException")
    }

    static func packedPolicyTooLarge(_ percent: Int) -> AWSError {
        AWSError(
            "PackedPolicyTooLarge",
            "Packed policy consumes \(percent)% of allotted space, please use smaller policy.",
            recordedCode: "PackedPolicyTooLargeException")
    }

    static let noSecondFactorMatch = accessDenied(
        "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid "
            + "and associated with this user.")
    static let wrongCode = accessDenied("MultiFactorAuthentication failed with invalid MFA one time pass code.")
    static let halfSecondFactor = accessDenied(
        "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")

    static func invalidIdentityToken(_ message: String) -> AWSError {
        AWSError("InvalidIdentityToken", message, recordedCode: "InvalidIdentityTokenException")
    }

    static let notAuthorizedWithWebIdentity = accessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
}
