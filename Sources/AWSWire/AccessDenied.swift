// SPDX-License-Identifier: Apache-2.0

extension AWSError {
    /// The refusal of a call that no policy allows, in the form of the caller's protocol.
    ///
    /// `User: ARN is not authorized to perform: service:Action on resource: ARN REASON`; S3 puts the resource in quotes,
    /// and says `Access Denied` alone to callers that it does not know.
    ///
    /// - Parameters:
    ///   - callerARN: nil for a caller nobody knows.
    ///   - action: with its service prefix.
    ///   - reason: `because no identity-based policy allows the X action`, or the like; empty for none.
    /// - Source: IAM User Guide, "Troubleshoot access denied error messages".
    package static func accessDenied(
        family: SignatureFamily, callerARN: String?, action: String, resource: String? = nil, reason: String = ""
    ) -> AWSError {
        let (code, status) =
            switch family {
            case .s3, .query: ("AccessDenied", 403)
            case .json: ("AccessDeniedException", 400)
            }
        if family == .s3, callerARN == nil { return AWSError(code, status: status, "Access Denied") }
        var message = "User: \(callerARN ?? "anonymous") is not authorized to perform: \(action)"
        if let resource { message += family == .s3 ? " on resource: \"\(resource)\"" : " on resource: \(resource)" }
        if !reason.isEmpty { message += " \(reason)" }
        // The event says AccessDenied whatever the protocol calls it.
        return AWSError(code, status: status, message, recordedCode: "AccessDenied")
    }
}
