// SPDX-License-Identifier: Apache-2.0
//
// What the engine answers, and the words in which AWS tells a caller about it.
// Source of the words: IAM User Guide, "Troubleshoot access denied error messages".

/// The kinds of policy that can decide a request.
package enum PolicyType: String, Sendable, Hashable, CaseIterable {
    case identity
    case resource
    case boundary
    case session
    case serviceControl
    case resourceControl
    case trust

    var allowing: String {
        switch self {
        case .identity: "identity-based policy"
        case .resource: "resource-based policy"
        case .boundary: "permissions boundary"
        case .session: "session policy"
        case .serviceControl: "service control policy"
        case .resourceControl: "resource control policy"
        case .trust: "role trust policy"
        }
    }

    var denying: String {
        switch self {
        case .trust: "the role trust policy"
        case .identity: "an identity-based policy"
        default: "a \(allowing)"
        }
    }
}

/// The statement that decided.
package struct DecidingStatement: Sendable, Hashable {
    /// The name under which the policy was loaded (a policy's ARN or name), for the operator.
    package let policy: String
    /// The place of the statement in its document, from 0.
    package let index: Int
    package let sid: String?
}

/// The answer of the engine.
package struct Decision: Sendable, Equatable {
    package enum Verdict: String, Sendable, Hashable {
        case allow
        /// Nothing denied it, but something that had to allow it did not.
        case implicitDeny
        case explicitDeny
    }

    package enum Reason: Sendable, Equatable {
        /// A policy of this type allowed it, denied it, or (implicit deny) lacks the Allow that was needed.
        case policy(PolicyType)
        /// The root of an account may do everything in its account that nothing denies.
        case accountRoot
        /// A grant on the key allows it.
        case grant
        /// The action needs no permission.
        case needsNoPermission
        /// The call is not signed and only signed calls may do this.
        case unsigned
        /// Root may not assume roles.
        case rootAssumesRole
        /// The action does not work on resources of another account. For bucket policies S3 answers 405.
        case notAcrossAccounts
        /// A policy that is in force cannot be read; its name.
        case damagedPolicy(String)
    }

    package let verdict: Verdict
    package let reason: Reason
    /// The statement that allowed or denied; nil for implicit denies and where no statement was needed.
    package let statement: DecidingStatement?
    /// The action as it was asked for.
    package let action: String

    package var isAllowed: Bool { verdict == .allow }

    /// The type of policy that decided or would have had to allow.
    package var policyType: PolicyType? {
        if case .policy(let type) = reason { type } else { nil }
    }

    /// The last part of AWS's message for a denied call, such as `because no identity-based policy allows the
    /// s3:GetObject action`; nil if AWS gives no reason.
    package var phrase: String? {
        guard case .policy(let type) = reason else { return nil }
        switch verdict {
        case .allow: return nil
        case .implicitDeny: return "because no \(type.allowing) allows the \(action) action"
        case .explicitDeny: return "with an explicit deny in \(type.denying)"
        }
    }

    /// AWS's message for a denied call. `resource` is left out where the service prints none; S3 prints it in double
    /// quotes, which is the caller's part.
    package func message(caller: String, resource: String?) -> String {
        if reason == .rootAssumesRole { return "Roles may not be assumed by root accounts." }
        var text = "User: \(caller) is not authorized to perform: \(action)"
        if let resource { text += " on resource: \(resource)" }
        if let phrase { text += " \(phrase)" }
        return text
    }

    /// The full reason, for an operator: more than a caller is told.
    package var explanation: String {
        let place = statement.map { found in
            " (policy \(found.policy), statement \(found.index + 1)" + (found.sid.map { " \($0)" } ?? "") + ")"
        }
        let words: String =
            switch reason {
            case .policy(let type):
                switch verdict {
                case .allow: "allowed by a \(type.allowing)"
                case .implicitDeny: "no \(type.allowing) allows it"
                case .explicitDeny: "denied by \(type.denying)"
                }
            case .accountRoot: "allowed to the root of the account"
            case .grant: "allowed by a grant on the key"
            case .needsNoPermission: "needs no permission"
            case .unsigned: "the call is not signed"
            case .rootAssumesRole: "root may not assume roles"
            case .notAcrossAccounts: "not possible on a resource of another account"
            case .damagedPolicy(let name): "the policy \(name) cannot be read, so nothing is allowed"
            }
        return "\(action): \(words)\(place ?? "")"
    }
}
