// SPDX-License-Identifier: Apache-2.0
//
// The decision. A pure function of the request and the policies in force: any Deny ends it, then every kind of policy
// that must allow has to, and an Allow in a resource's policy that names the caller itself spares some of them.
// Sources: IAM User Guide, "Policy evaluation logic", "Cross-account policy evaluation logic", "Permissions boundaries
// for IAM entities"; Organizations User Guide, "SCPs", "RCPs"; KMS Developer Guide, "Policy evaluation".

/// What is special about the resource that is asked for.
package enum DecisionRule: Sendable {
    case standard
    /// The resource is a role to be assumed and its policy the trust policy, which must always allow.
    case roleTrust
    /// The resource is a key: its policy must always allow, or one of its grants. `encryptionContext` is the call's.
    case key(grants: [KeyGrant], encryptionContext: [String: String])
    /// The action reads or writes a bucket's policy: the root of the bucket's account can do that whatever the policy
    /// says, and no other account can, whatever the policy says.
    case bucketPolicy
    /// The action needs a signature and nothing else, such as sts:GetCallerIdentity.
    case signedOnly
}

/// A grant on a KMS key, as far as it decides. Source: KMS API Reference, CreateGrant, GrantConstraints.
package struct KeyGrant: Sendable, Hashable {
    /// The ARN of the principal that may use the key, or the name of a service.
    package let grantee: String
    /// The operations without prefix, such as `Decrypt`.
    package let operations: Set<String>
    /// The encryption context must be this one.
    package let contextEquals: [String: String]?
    /// The encryption context must contain this one.
    package let contextSubset: [String: String]?

    package init(
        grantee: String, operations: Set<String>, contextEquals: [String: String]? = nil,
        contextSubset: [String: String]? = nil
    ) {
        self.grantee = grantee
        self.operations = operations
        self.contextEquals = contextEquals
        self.contextSubset = contextSubset
    }

    func allows(_ action: String, by principal: Principal, encryptionContext: [String: String]) -> Bool {
        guard grantee == principal.arn || grantee == principal.entityARN else { return false }
        guard operations.contains(where: { "kms:\($0)".lowercased() == action.lowercased() }) else { return false }
        if let contextEquals {
            guard contextEquals.count == encryptionContext.count, Self.holds(encryptionContext, contextEquals) else {
                return false
            }
        }
        return contextSubset.map { Self.holds(encryptionContext, $0) } ?? true
    }

    /// Whether an encryption context has all of these pairs: in grants the case of a key does not count, that of a value does.
    package static func holds(_ context: [String: String], _ pairs: [String: String]) -> Bool {
        pairs.allSatisfy { pair in
            let name = pair.key.lowercased()
            return context.contains { $0.value == pair.value && $0.key.lowercased() == name }
        }
    }
}

package enum PolicyEvaluation {
    /// Decides a request under the policies in force.
    package static func decide(
        _ request: AuthorizationRequest, _ policies: PoliciesInForce, rule: DecisionRule = .standard
    ) -> Decision {
        Evaluation(request: request, policies: policies, rule: rule).decide()
    }

    /// Decides whether a role may be assumed. `additionalActions` are what the call needs besides its own action:
    /// `sts:TagSession` if it passes or carries tags, `sts:SetSourceIdentity` if it sets or carries a source identity.
    /// The first refusal is the answer.
    package static func decideRoleAssumption(
        _ request: AuthorizationRequest, _ policies: PoliciesInForce, additionalActions: [String]
    ) -> Decision {
        let decision = decide(request, policies, rule: .roleTrust)
        guard decision.isAllowed else { return decision }
        for action in additionalActions {
            var additional = request
            additional.action = action
            let further = decide(additional, policies, rule: .roleTrust)
            if !further.isAllowed { return further }
        }
        return decision
    }
}

/// One decision on its way.
private struct Evaluation {
    let request: AuthorizationRequest
    let policies: PoliciesInForce
    let rule: DecisionRule
    private let action: Subject
    private let resource: Subject

    init(request: AuthorizationRequest, policies: PoliciesInForce, rule: DecisionRule) {
        self.request = request
        self.policies = policies
        self.rule = rule
        action = Subject(bytes: foldedCase(Array(request.action.utf8)))
        resource = Subject(request.resource)
    }

    private var principal: Principal { request.principal }
    private var isOfResourceAccount: Bool { principal.account == request.resourceAccount }

    /// Whether the caller belongs to no account: only the resource's side can allow.
    private var isOutsideAccounts: Bool {
        switch principal.kind {
        case .service, .webIdentity, .anonymous: true
        case .root, .user, .roleSession, .federatedUser: false
        }
    }

    private var resourceType: PolicyType {
        if case .roleTrust = rule { .trust } else { .resource }
    }

    func decide() -> Decision {
        if let damaged = policies.damaged.first { return implicit(.damagedPolicy(damaged)) }
        switch rule {
        case .signedOnly:
            return principal.kind == .anonymous ? implicit(.unsigned) : allow(.needsNoPermission, nil)
        case .roleTrust where principal.kind == .root:
            return implicit(.rootAssumesRole)
        case .bucketPolicy where principal.kind == .root && isOfResourceAccount:
            return decide(resourcePolicy: nil)
        case .bucketPolicy:
            let decision = decide(resourcePolicy: policies.resource)
            return decision.isAllowed && !isOfResourceAccount ? implicit(.notAcrossAccounts) : decision
        case .key where !isOfResourceAccount && !isOutsideAccounts && !Self.worksAcrossAccounts(request.action):
            return implicit(.notAcrossAccounts)
        default:
            return decide(resourcePolicy: policies.resource)
        }
    }

    private func decide(resourcePolicy: PolicyDocument?) -> Decision {
        // What the organization says of the caller's account, and of the resource's.
        var lacksServiceControl = false
        for level in serviceControlLevels {
            let outcome = outcome(of: level)
            if let deny = outcome.deny { return denied(.serviceControl, deny) }
            if outcome.allow == nil { lacksServiceControl = true }
        }
        for level in resourceControlLevels {
            if let deny = outcome(of: level, namesPrincipals: true).deny { return denied(.resourceControl, deny) }
        }
        // Every other policy's Deny counts before any Allow does.
        let ofResource = outcome(of: resourcePolicy.map { [$0] } ?? [], namesPrincipals: true)
        if let deny = ofResource.deny { return denied(resourceType, deny) }
        let ofIdentity = isOutsideAccounts ? Outcome() : outcome(of: policies.identity)
        if let deny = ofIdentity.deny { return denied(.identity, deny) }
        let ofBoundary = policies.boundary.map { outcome(of: [$0]) }
        if let deny = ofBoundary?.deny { return denied(.boundary, deny) }
        let ofSession = policies.session.map { outcome(of: $0) }
        if let deny = ofSession?.deny { return denied(.session, deny) }

        if lacksServiceControl { return implicit(.policy(.serviceControl)) }
        let naming = ofResource.allow == nil ? nil : ofResource.naming
        let isGranted = isAllowedByGrant
        if isOutsideAccounts {
            if naming != nil { return allow(.policy(resourceType), ofResource.allow) }
            return isGranted ? allow(.grant, nil) : implicit(.policy(resourceType))
        }
        // What the caller's own account must allow, unless the resource's policy spares it.
        var spared = isOfResourceAccount ? naming : nil
        if isGranted, isOfResourceAccount { spared = spared.map { max($0, .entity) } ?? .entity }
        if let lacking = lacking(ofIdentity, ofBoundary, ofSession, spared: spared) {
            // Of two missing Allows AWS tells about the resource's if that one must be there in any case.
            let isMissingToo = naming == nil && !isGranted && mustResourceAllow && isOfResourceAccount
            return implicit(.policy(isMissingToo ? resourceType : lacking))
        }
        if naming == nil, !isGranted, mustResourceAllow { return implicit(.policy(resourceType)) }
        if let spared, spared > .account {
            return naming == nil ? allow(.grant, nil) : allow(.policy(resourceType), ofResource.allow)
        }
        return principal.kind == .root && ofIdentity.allow == nil
            ? allow(.accountRoot, nil) : allow(.policy(.identity), ofIdentity.allow)
    }

    /// The first kind of policy on the caller's side that does not allow and is not spared.
    private func lacking(
        _ identity: Outcome, _ boundary: Outcome?, _ session: Outcome?, spared: PrincipalNaming?
    ) -> PolicyType? {
        if spared == .caller { return nil }
        let isRoot =
            principal.kind == .root || (principal.kind == .federatedUser && principal.entityARN == nil)
        if spared != .entity, !isRoot, identity.allow == nil { return .identity }
        if let boundary, boundary.allow == nil { return .boundary }
        if let session {
            if session.allow == nil { return .session }
        } else if principal.kind == .federatedUser {
            // A federated user has what its session policies give, and without any it has nothing.
            return .session
        }
        return nil
    }

    private var mustResourceAllow: Bool {
        switch rule {
        case .roleTrust, .key: true
        case .standard, .bucketPolicy, .signedOnly: !isOfResourceAccount
        }
    }

    private var isAllowedByGrant: Bool {
        guard case .key(let grants, let encryptionContext) = rule else { return false }
        return grants.contains { $0.allows(request.action, by: principal, encryptionContext: encryptionContext) }
    }

    private var serviceControlLevels: [[PolicyDocument]] {
        guard let controls = policies.serviceControl, controls.account == principal.account, !isOutsideAccounts,
            !controls.isManagementAccount, !principal.isServiceLinked
        else { return [] }
        return controls.levels
    }

    private var resourceControlLevels: [[PolicyDocument]] {
        guard let controls = policies.resourceControl, controls.account == request.resourceAccount,
            !controls.isManagementAccount, !principal.isServiceLinked
        else { return [] }
        return controls.levels
    }

    // MARK: Walking over statements

    private struct Outcome {
        var deny: Found?
        var allow: Found?
        /// How closely the Allows name the caller, the closest of them.
        var naming = PrincipalNaming.account
    }

    private struct Found {
        let policy: String
        let statement: PolicyStatement
    }

    /// The first Deny that applies, or the Allow that names the caller most closely.
    private func outcome(of documents: [PolicyDocument], namesPrincipals: Bool = false) -> Outcome {
        var outcome = Outcome()
        for document in documents {
            for statement in document.statements {
                if statement.isAllow, outcome.allow != nil, !namesPrincipals || outcome.naming == .caller { continue }
                guard statement.covers(action: action, request.context),
                    statement.covers(resource: resource, request.context)
                else { continue }
                var naming = PrincipalNaming.account
                if namesPrincipals {
                    // A resource's policy without a principal names nobody.
                    guard let found = self.naming(in: statement) else { continue }
                    naming = found
                }
                guard statement.conditionsHold(in: request.context) else { continue }
                let found = Found(policy: document.name, statement: statement)
                if !statement.isAllow {
                    outcome.deny = found
                    return outcome
                }
                if outcome.allow == nil || naming > outcome.naming {
                    outcome.allow = found
                    outcome.naming = naming
                }
            }
        }
        return outcome
    }

    private func naming(in statement: PolicyStatement) -> PrincipalNaming? {
        guard let clause = statement.principals else { return nil }
        if statement.isAllow { return clause.namingForAllow(principal) }
        return clause.reachesForDeny(principal, hasBoundary: policies.boundary != nil) ? .caller : nil
    }

    // MARK: Answers

    private func allow(_ reason: Decision.Reason, _ found: Found?) -> Decision {
        Decision(verdict: .allow, reason: reason, statement: found.map(deciding), action: request.action)
    }

    private func implicit(_ reason: Decision.Reason) -> Decision {
        Decision(verdict: .implicitDeny, reason: reason, statement: nil, action: request.action)
    }

    private func denied(_ type: PolicyType, _ found: Found) -> Decision {
        Decision(verdict: .explicitDeny, reason: .policy(type), statement: deciding(found), action: request.action)
    }

    private func deciding(_ found: Found) -> DecidingStatement {
        DecidingStatement(policy: found.policy, index: found.statement.index, sid: found.statement.sid)
    }

    /// Source: KMS Developer Guide, "Allowing users in other accounts to use a KMS key".
    private static func worksAcrossAccounts(_ action: String) -> Bool {
        let name = action.lowercased()
        return keyActionsAcrossAccounts.contains(name) || name.hasPrefix("kms:generatedatakey")
            || name.hasPrefix("kms:reencrypt")
    }

    private static let keyActionsAcrossAccounts: Set<String> = [
        "kms:encrypt", "kms:decrypt", "kms:sign", "kms:verify", "kms:generatemac", "kms:verifymac",
        "kms:derivesharedsecret", "kms:creategrant", "kms:describekey", "kms:getkeyrotationstatus", "kms:getpublickey",
        "kms:listgrants", "kms:retiregrant", "kms:revokegrant",
    ]
}
