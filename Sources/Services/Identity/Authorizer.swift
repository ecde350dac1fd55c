// SPDX-License-Identifier: Apache-2.0

package import AWSWire

/// Decides whether a caller may do what it asks.
///
/// An account's root may do everything in its own account; nobody else may do anything. Identity policies join the decision
/// here, and only here.
package struct Authorizer: Sendable {
    package enum Decision: Sendable, Equatable {
        case allowed
        /// With the reason that AWS would give; `because no identity-based policy allows the X action`.
        case denied(reason: String)
    }

    package init() {}

    /// - Parameters:
    ///   - action: with its service prefix, `s3:GetObject`.
    ///   - resources: what the operation touches; an owner that is not known is taken for the caller's own account,
    ///     since the operation itself looks the resource up there.
    package func authorize(_ caller: Caller, action: String, resources: [ResourceReference]) -> Decision {
        switch caller.kind {
        case .root:
            let isForeign = resources.contains { $0.accountID != nil && $0.accountID != caller.accountID }
            return isForeign
                ? .denied(reason: "because no resource-based policy allows the \(action) action") : .allowed
        case .service, .unknown:
            return .denied(reason: "because no identity-based policy allows the \(action) action")
        }
    }

    /// The refusal that the caller sees; nil when the call is allowed.
    package func refusal(
        _ caller: Caller, action: String, resources: [ResourceReference], family: SignatureFamily
    ) -> AWSError? {
        guard case .denied(let reason) = authorize(caller, action: action, resources: resources) else { return nil }
        return .accessDenied(
            family: family, callerARN: caller.arn, action: action, resource: resources.first?.arn, reason: reason)
    }
}
