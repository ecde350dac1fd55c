// SPDX-License-Identifier: Apache-2.0
//
// Why a policy document is refused, and the words in which each family of services says it.
// Sources of the words: IAM API Reference (MalformedPolicyDocument), S3 User Guide and API Reference (MalformedPolicy),
// KMS API Reference (MalformedPolicyDocumentException), Organizations API Reference.

/// Why a policy document is refused.
package struct PolicyError: Error, Sendable, Equatable {
    package enum Reason: Sendable, Hashable {
        /// The text does not begin with `{`.
        case notAnObject
        case invalidJSON
        case forbiddenCharacter
        /// Unknown, doubled or contradicting elements, and values of a wrong type.
        case syntax
        case missingStatement
        case emptyStatement
        case unknownVersion
        case oldVersion
        case invalidEffect(String)
        case legacyParsing
        case doubledSid
        /// A Sid with other characters than letters and digits.
        case sid
        case missingField(String)
        case prohibitedField(String)
        /// A resource that cannot be right, in IAM's words.
        case resource(String)
        /// A resource that is none of this policy's.
        case foreignResource(String)
        /// An action that cannot be right, in IAM's words.
        case action(String)
        case unknownAction(String)
        case actionWithoutResource(String)
        case trustAction
        /// The kind of principal (`AWS`, `Service`, ...) and its value.
        case principal(kind: String, value: String)
        case unknownOperator(String)
        case conditionKey(String)
        /// A condition key that none of the statement's actions has.
        case conditionWithoutAction(String)
        /// What the kind of policy does not have.
        case notOfThisKind
        case tooLong(PolicySizeLimit)
    }

    package let reason: Reason
    /// The kind of document that was read; it decides about the words.
    package let kind: PolicyKind
    /// Where in the text, in bytes from its start.
    package let position: Int
    /// What is wrong there, for whoever writes the policy.
    package let detail: String

    /// The error code of the service that takes such a document.
    package var code: String {
        if case .tooLong(let limit) = reason { return limit.code }
        if reason == .forbiddenCharacter { return "ValidationError" }
        return switch kind {
        case .identity, .boundary, .session, .trust: "MalformedPolicyDocument"
        case .resource(.s3): "MalformedPolicy"
        case .resource(.sns): "InvalidParameter"
        case .resource(.sqs): "InvalidAttributeValue"
        case .resource(.cloudTrail): "ResourcePolicyNotValidException"
        case .resource, .serviceControl, .resourceControl: "MalformedPolicyDocumentException"
        }
    }

    /// The message of the service that takes such a document.
    package var message: String {
        if case .tooLong(let limit) = reason { return limit.message }
        return switch kind {
        case .identity, .boundary, .session, .trust: identityMessage
        case .resource(.s3): bucketMessage
        case .resource(.sns): "Invalid parameter: Policy Error: \(detail)"
        case .resource(.sqs): "Invalid value for the parameter Policy. Reason: \(detail)"
        case .resource(.kms):
            switch reason {
            case .principal: "Policy contains a statement with one or more invalid principals."
            case .notAnObject, .invalidJSON: "This policy contains invalid Json"
            case .missingField(let field): "Missing required field \(field)"
            default: "The policy is not valid: \(detail)"
            }
        case .resource: "The resource policy is not valid: \(detail)"
        case .serviceControl, .resourceControl:
            "The provided policy document does not meet the requirements of the specified policy type."
        }
    }

    private var identityMessage: String {
        switch reason {
        case .notAnObject, .invalidJSON: "This policy contains invalid Json"
        case .forbiddenCharacter:
            "The specified value for policyDocument is invalid. It must contain only printable ASCII characters."
        case .syntax, .missingStatement, .emptyStatement, .unknownVersion, .unknownOperator, .notOfThisKind:
            "Syntax errors in policy."
        case .oldVersion: "Policy document must be version 2012-10-17 or greater."
        case .invalidEffect, .legacyParsing: "The policy failed legacy parsing"
        case .doubledSid: "Statement IDs (SID) in a single policy must be unique."
        case .sid:
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression "
                + "[0-9A-Za-z]*"
        case .missingField("Action"): "Policy statement must contain actions."
        case .missingField("Resource"): "Policy statement must contain resources."
        case .missingField(let field): "Missing required field \(field)"
        case .prohibitedField("Principal") where kind != .trust: "Policy document should not specify a principal."
        case .prohibitedField(let field): "Has prohibited field \(field)."
        case .resource(let words), .action(let words): words
        case .foreignResource(let resource): "Resource \(resource) must be in ARN format or \"*\"."
        case .unknownAction, .actionWithoutResource, .conditionWithoutAction: "Syntax errors in policy."
        case .trustAction:
            "Trust Policy statement actions can only be sts:AssumeRole, sts:AssumeRoleWithSAML,  and "
                + "sts:AssumeRoleWithWebIdentity"
        case .principal(let kind, let value):
            kind == "*"
                ? "Invalid principal in policy: \"\(value)\"" : "Invalid principal in policy: \"\(kind)\":\"\(value)\""
        case .conditionKey: "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
        case .tooLong(let limit): limit.message
        }
    }

    private var bucketMessage: String {
        switch reason {
        case .notAnObject: "Policies must be valid JSON and the first byte must be '{'"
        case .invalidJSON, .syntax, .forbiddenCharacter, .legacyParsing, .doubledSid, .sid, .notOfThisKind,
            .trustAction:
            "This policy contains invalid Json"
        case .missingStatement: "Missing required field Statement"
        case .emptyStatement: "Could not parse the policy: Statement is empty!"
        case .unknownVersion, .oldVersion: "The policy must contain a valid version string"
        case .invalidEffect(let effect): "Invalid effect: \(effect)"
        case .missingField(let field): "Missing required field \(field)"
        case .prohibitedField(let field): "Unknown field \(field)"
        case .resource, .foreignResource: "Policy has invalid resource"
        case .action, .unknownAction: "Policy has invalid action"
        case .actionWithoutResource: "Action does not apply to any resource(s) in statement"
        case .principal: "Invalid principal in policy"
        case .unknownOperator(let name): "Invalid Condition type : \(name)"
        case .conditionKey: "Policy has an invalid condition key"
        case .conditionWithoutAction:
            "Conditions do not apply to combination of actions and resources in statement"
        case .tooLong(let limit): limit.message
        }
    }
}

/// The longest documents that AWS takes. Source: IAM User Guide, "IAM and AWS STS quotas"; the guides of the services.
package enum PolicySizeLimit: Sendable, Hashable {
    case managed
    /// The sum of the inline policies of one user, group or role.
    case inlineUser(String)
    case inlineGroup(String)
    case inlineRole(String)
    case trust
    /// The sum of the inline session policy and the packed rest.
    case session
    case serviceControl
    case resourceControl
    case bucket
    case key
    case trailResource
    case topic
    case queue
    /// Any document at all: the longest PolicyDocument that a request may carry.
    case request

    /// The longest size, in characters.
    package var maximum: Int {
        switch self {
        case .managed: 6144
        case .inlineUser: 2048
        case .inlineGroup: 5120
        case .inlineRole: 10240
        case .trust, .session: 2048
        case .serviceControl, .resourceControl: 5120
        case .bucket: 20480
        case .key: 32768
        case .trailResource: 8192
        case .topic: 30720
        case .queue: 262_144
        case .request: 131_072
        }
    }

    /// IAM does not count white space, all others do.
    package var countsWhiteSpace: Bool {
        switch self {
        case .managed, .inlineUser, .inlineGroup, .inlineRole, .trust: false
        default: true
        }
    }

    /// The size of a document's text under this limit, in characters.
    package func size(of text: some Sequence<UInt8>) -> Int {
        var count = 0
        for byte in text where byte & 0xC0 != 0x80 {
            let isSpace = byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
            if countsWhiteSpace || !isSpace { count += 1 }
        }
        return count
    }

    /// Throws if `size` is over the limit. For the inline limits it is the sum over all of the entity's policies.
    package func check(size: Int, kind: PolicyKind) throws(PolicyError) {
        guard size > maximum else { return }
        throw PolicyError(
            reason: .tooLong(self), kind: kind, position: 0, detail: "\(size) characters where \(maximum) are allowed")
    }

    var code: String {
        switch self {
        case .managed, .inlineUser, .inlineGroup, .inlineRole, .trust: "LimitExceeded"
        case .key: "LimitExceededException"
        case .session: "PackedPolicyTooLarge"
        case .bucket: "PolicyTooLarge"
        case .serviceControl, .resourceControl: "ConstraintViolationException"
        case .trailResource: "ResourcePolicyNotValidException"
        case .topic: "InvalidParameter"
        case .queue: "InvalidAttributeValue"
        case .request: "ValidationError"
        }
    }

    var message: String {
        switch self {
        case .managed: "Cannot exceed quota for PolicySize: 6144"
        case .trust: "Cannot exceed quota for ACLSizePerRole: 2048"
        case .inlineUser(let name): "Maximum policy size of 2048 bytes exceeded for user \(name)"
        case .inlineGroup(let name): "Maximum policy size of 5120 bytes exceeded for group \(name)"
        case .inlineRole(let name): "Maximum policy size of 10240 bytes exceeded for role \(name)"
        case .bucket: "Policy exceeds the maximum allowed document size."
        case .topic: "Invalid parameter: Policy length exceeds \(maximum)"
        default: "The policy exceeds the maximum size of \(maximum) characters."
        }
    }
}
