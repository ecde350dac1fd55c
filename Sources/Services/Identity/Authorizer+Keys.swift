// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Policies

extension Authorizer {
    /// Decides about a key of KMS under all that is in force for the caller, with what the key itself brings along.
    ///
    /// - Parameters:
    ///   - action: with its prefix: `kms:Decrypt`.
    ///   - key: its ARN and account.
    ///   - policy: the key's own; nil where there is none or it cannot be read.
    ///   - isDamaged: whether it cannot be read, so that nothing is allowed.
    ///   - rule: has the key's grants.
    ///   - facts: KMS's condition keys. Where a service acts for the caller (`aws:ViaAWSService`) nobody's address is
    ///     known, as at AWS.
    package func decide(
        _ call: Call, action: String, key: ResourceReference, policy: PolicyDocument?, isDamaged: Bool,
        rule: DecisionRule, facts: RequestContext
    ) -> Decision {
        let account = key.accountID ?? call.caller.accountID ?? ""
        var policies = policiesInForce(for: call.caller)
        policies.resource = policy
        if isDamaged { policies.damaged.append(key.arn) }
        take(organizationPolicies: call.caller.accountID, over: account, into: &policies)
        var context = self.context(call)
        context["aws:ResourceAccount"] = ContextValue(account)
        context.merge(facts)
        if context["aws:ViaAWSService"] == "true" || isService(call.caller) {
            context["aws:SourceIp"] = nil
            context["aws:UserAgent"] = nil
        }
        let request = AuthorizationRequest(
            principal: principal(of: call.caller), action: action, resource: key.arn, resourceAccount: account,
            context: context)
        let decision = PolicyEvaluation.decide(request, policies, rule: rule)
        // What a service does by itself has no event yet that could be explained.
        if !call.eventID.isEmpty { keep(DecisionNote(call, request, policies, decision)) }
        return decision
    }

    private func isService(_ caller: Caller) -> Bool {
        if case .service = caller.kind { true } else { false }
    }
}
