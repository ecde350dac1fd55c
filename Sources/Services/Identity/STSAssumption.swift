// SPDX-License-Identifier: Apache-2.0
//
// Assuming a role. Sources: STS API Reference, AssumeRole; IAM User Guide, "Roles terms and concepts" (role chaining),
// "Pass session tags in AWS STS", "Monitor and control actions taken with assumed roles" (source identity).

internal import AWSWire
internal import Policies

extension STSService {
    /// The longest session of a role that was assumed from another session.
    private static let chainedSecondsMax: Int64 = 3600

    @Sendable func assumeRole(
        _ input: AssumeRoleInput, _ call: Call
    ) async throws(AWSError) -> AssumedRoleOutput {
        let caller = call.caller
        guard caller.kind != .root else { throw .accessDenied("Roles may not be assumed by root accounts.") }
        guard caller.kind == .user || caller.kind == .assumedRole else {
            throw .notAuthorized(caller, "sts:AssumeRole", on: input.role.text, cause: nil)
        }
        let incoming = caller.session
        let isTransitive: (CallerSession.Tag) -> Bool = { tag in
            incoming?.transitiveTagKeys.contains { $0.lowercased() == tag.key.lowercased() } ?? false
        }
        let incomingTags = incoming?.tags.filter(isTransitive) ?? []
        if let clash = input.tags.first(where: isTransitive) {
            throw .invalidParameterValue(
                "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key "
                    + "from the calling session: \(clash.key).")
        }
        guard let role = role(input.role) else {
            throw .notAuthorized(caller, "sts:AssumeRole", on: input.role.text, cause: "there is no such role")
        }
        let mfaTime = try await provenFactor(input.factor, call)

        // A source identity stays for all sessions that follow; nobody can set another one.
        let sourceIdentity = incoming?.sourceIdentity ?? input.sourceIdentity
        if let asked = input.sourceIdentity, asked != sourceIdentity {
            throw .notAuthorized(
                caller, "sts:SetSourceIdentity", on: role.arn, cause: "the session has another source identity already")
        }
        let tags = incomingTags + input.tags
        var more = RequestContext()
        if let externalID = input.externalID { more["sts:ExternalId"] = ContextValue(externalID) }
        more["sts:RoleSessionName"] = ContextValue(input.sessionName)
        if let sourceIdentity { more["sts:SourceIdentity"] = ContextValue(sourceIdentity) }
        if mfaTime != nil {
            more["aws:MultiFactorAuthPresent"] = "true"
            more["aws:MultiFactorAuthAge"] = "0"
        }
        if !tags.isEmpty {
            more["aws:TagKeys"] = ContextValue(set: tags.map(\.key))
            for tag in tags { more["aws:RequestTag/\(tag.key)"] = ContextValue(tag.value) }
        }
        if !input.transitiveTagKeys.isEmpty {
            more["sts:TransitiveTagKeys"] = ContextValue(set: input.transitiveTagKeys)
        }
        var further: [String] = []
        if !tags.isEmpty { further.append("sts:TagSession") }
        if sourceIdentity != nil { further.append("sts:SetSourceIdentity") }
        let decision = authorizer.decideAssumption(
            call, of: role, action: "sts:AssumeRole", by: nil, adding: more, furtherActions: further)
        guard decision.isAllowed else {
            throw .notAuthorized(caller, decision.action, on: role.arn, cause: decision.explanation)
        }

        let seconds = input.seconds ?? 3600
        if incoming != nil, seconds > Self.chainedSecondsMax {
            throw .stsValidation(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
        }
        let transitiveKeys = incomingTags.map(\.key) + input.transitiveTagKeys
        return try issue(
            role, input.sessionName, call, seconds: seconds, policies: input.policies, tags: tags,
            incomingTags: incomingTags
        ) { token in
            token.transitiveTagKeys = transitiveKeys
            token.sourceIdentity = sourceIdentity
        }
    }

    @Sendable func assumeRoleWithWebIdentity(
        _ input: AssumeRoleWithWebIdentityInput, _ call: Call
    ) async throws(AWSError) -> AssumedRoleOutput {
        let account = store.account(input.role.account)
        let identity = try await webIdentities.verify(input.token, for: account, now: call.time)
        guard let role = role(input.role) else { throw .notAuthorizedWithWebIdentity }
        var more = RequestContext()
        more["sts:RoleSessionName"] = ContextValue(input.sessionName)
        more["aws:FederatedProvider"] = ContextValue(identity.provider.arn)
        for claim in identity.conditionKeys {
            more[claim.name] = claim.isMultiValued ? ContextValue(set: claim.values) : ContextValue(claim.values[0])
        }
        let principal = Principal.webIdentity(provider: identity.provider.arn, subject: identity.subject)
        let decision = authorizer.decideAssumption(
            call, of: role, action: "sts:AssumeRoleWithWebIdentity", by: principal, adding: more, furtherActions: [])
        guard decision.isAllowed else {
            var refusal = AWSError.notAuthorizedWithWebIdentity
            refusal.cause = decision.explanation
            throw refusal
        }
        let claims = identity.conditionKeys.filter { !$0.isMultiValued }.map {
            CallerSession.Tag(key: $0.name, value: $0.values[0])
        }
        var output = try issue(
            role, input.sessionName, call, seconds: input.seconds ?? 3600, policies: input.policies, tags: [],
            incomingTags: []
        ) { token in
            token.webIdentity = CallerSession.WebIdentity(provider: identity.provider.arn, claims: claims)
        }
        output.webIdentity = (
            identity.subject, identity.audience, identity.provider.arn,
            Caller(
                kind: .webIdentity(provider: identity.provider.arn), accountID: role.accountID,
                principalID: "\(identity.provider.arn):\(identity.audience):\(identity.subject)",
                userName: identity.subject)
        )
        return output
    }

    /// The role of exactly that ARN, path included.
    private func role(_ arn: RoleARN) -> IdentityEntity? {
        let role = store.role(named: arn.name, in: arn.account)
        return role?.arn == arn.text ? role : nil
    }

    private func issue(
        _ role: IdentityEntity, _ name: String, _ call: Call, seconds: Int64, policies: [SessionToken.Policy]?,
        tags: [CallerSession.Tag], incomingTags: [CallerSession.Tag], complete: (inout SessionToken) -> Void
    ) throws(AWSError) -> AssumedRoleOutput {
        guard seconds <= role.maxSessionDuration else {
            throw .stsValidation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
        }
        let size = try packedSize(policies, tags, account: role.accountID)
        var sourceIdentity: String?
        let session = try sessions.issue(
            .role, account: role.accountID, issuerID: role.id, issuerARN: role.arn, name: name, now: call.time,
            seconds: seconds
        ) { token in
            token.policies = policies
            token.tags = tags
            complete(&token)
            sourceIdentity = token.sourceIdentity
        }
        return AssumedRoleOutput(
            session: session, roleID: role.id,
            arn: "arn:aws:sts::\(role.accountID):assumed-role/\(role.name)/\(name)", sessionName: name,
            packedPolicySize: size, sourceIdentity: sourceIdentity, incomingTags: incomingTags)
    }
}

extension Authorizer {
    /// Decides whether a role may be assumed.
    ///
    /// - Parameters:
    ///   - principal: who asks, where it is not the call's caller but one that an identity provider vouches for.
    ///   - more: the condition keys of this call, besides the global ones.
    ///   - furtherActions: what must be allowed as well (`sts:TagSession`).
    func decideAssumption(
        _ call: Call, of role: IdentityEntity, action: String, by principal: Principal?, adding more: RequestContext,
        furtherActions: [String]
    ) -> Decision {
        var policies = principal == nil ? policiesInForce(for: call.caller) : PoliciesInForce()
        policies.resource = role.trust?.compiled
        if policies.resource == nil { policies.damaged.append("the trust policy of \(role.arn)") }
        take(
            organizationPolicies: principal == nil ? call.caller.accountID : nil, over: role.accountID, into: &policies)
        var context = self.context(call)
        add(owner: role.accountID, to: &context)
        for tag in role.tags {
            context["aws:ResourceTag/\(tag.key)"] = ContextValue(tag.value)
            context["iam:ResourceTag/\(tag.key)"] = ContextValue(tag.value)
        }
        context.merge(more)
        let request = AuthorizationRequest(
            principal: principal ?? self.principal(of: call.caller), action: action, resource: role.arn,
            resourceAccount: role.accountID, context: context)
        let decision = PolicyEvaluation.decideRoleAssumption(request, policies, additionalActions: furtherActions)
        keep(DecisionNote(call, request, policies, decision))
        return decision
    }
}
