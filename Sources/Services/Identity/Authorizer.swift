// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Policies
internal import Synchronization

/// Gathers what is in force for a call, asks the policy engine, and words the refusal.
package final class Authorizer: Sendable {
    /// Gives the policy of a resource (a bucket's, a channel's) as far as it speaks of the action; nil where it has none.
    package typealias ResourcePolicySource =
        @Sendable (_ resource: ResourceReference, _ action: String) async throws(AWSError) -> StoredPolicy?
    /// Whether nobody but services and its owner's account may reach a resource, whatever its policy says.
    package typealias RestrictionSource = @Sendable (ResourceReference) -> Bool
    /// Gives the tags of the object that is there, as condition keys; `conditions` are those of the call.
    package typealias ObjectTagSource =
        @Sendable (_ object: ResourceReference, _ conditions: [ConditionKey]) async throws(AWSError) -> [ConditionKey]
    /// Gives the id by which S3's policies can name an account.
    package typealias CanonicalIDSource = @Sendable (_ account: String) -> String?
    /// Gives an organization's policies over an account.
    package typealias ControlPolicySource = @Sendable (_ account: String) -> AccountControls

    /// Most compiled session policies that are kept; beyond it the cache starts anew.
    private static let sessionPoliciesMax = 1000

    private let store: IdentityStore
    private let resourcePolicy: ResourcePolicySource
    private let isRestricted: RestrictionSource
    private let controls: ControlPolicySource
    private let objectTags: ObjectTagSource
    private let canonicalID: CanonicalIDSource
    private let note: @Sendable (DecisionNote) -> Void
    private let sessionPolicies = Mutex<[String: StoredPolicy]>([:])

    /// - Parameter note: takes each decision as it is made; must not block.
    package init(
        store: IdentityStore, resourcePolicy: @escaping ResourcePolicySource = { _, _ in nil },
        isRestricted: @escaping RestrictionSource = { _ in false },
        controls: @escaping ControlPolicySource = { _ in AccountControls() },
        objectTags: @escaping ObjectTagSource = { _, _ in [] },
        canonicalID: @escaping CanonicalIDSource = { _ in nil },
        note: @escaping @Sendable (DecisionNote) -> Void = { _ in }
    ) {
        self.note = note
        self.isRestricted = isRestricted
        self.store = store
        self.resourcePolicy = resourcePolicy
        self.controls = controls
        self.objectTags = objectTags
        self.canonicalID = canonicalID
    }

    /// Decides whether the caller may do the action on all of the resources; the first refusal is the answer.
    ///
    /// - Parameters:
    ///   - action: with its service prefix, `s3:GetObject`; a resource that names an action of its own is asked for that.
    ///   - resources: what the operation touches; none for `*`. An owner that is not known is taken for the caller's own
    ///     account, since the operation itself looks the resource up there.
    ///   - conditions: the condition keys that the service knows of this call.
    /// - Throws: `InternalFailure` when a resource's policy cannot be read.
    package func decide(
        _ call: Call, action: String, resources: [ResourceReference], conditions: [ConditionKey]
    ) async throws(AWSError) -> (decision: Decision, resource: ResourceReference?) {
        var references: [ResourceReference?] = resources.filter { !$0.isOnlyShown }
        if references.isEmpty { references = [nil] }
        // S3's object is in its bucket's account, which is the one that events show.
        let owner = resources.lazy.compactMap(\.accountID).first
        var last: (Decision, ResourceReference?)?
        for reference in references {
            let decision = try await decide(
                call, action: action, resource: reference, owner: owner, conditions: conditions)
            if !decision.isAllowed { return (decision, reference) }
            last = (decision, reference)
        }
        guard let last else { throw .internalFailure(cause: "no resource to authorize") }
        return last
    }

    private func decide(
        _ call: Call, action: String, resource: ResourceReference?, owner: String?, conditions: [ConditionKey]
    ) async throws(AWSError) -> Decision {
        let action = resource?.action ?? action
        let account = resource?.accountID ?? owner ?? call.caller.accountID ?? ""
        var policies = policiesInForce(for: call.caller)
        let concernsBucketPolicy = Self.bucketPolicyActions.contains(action)
        if let resource, let stored = try await resourcePolicy(resource, action) {
            policies.resource = stored.compiled
            if stored.compiled == nil {
                // The root of the resource's account can mend what nobody can read.
                let mends =
                    (concernsBucketPolicy || Self.policyMends.contains(action)) && call.caller.kind == .root
                    && call.caller.accountID == account
                if !mends { policies.damaged.append(stored.name) }
            } else if call.caller.accountID != account, isRestricted(resource) {
                policies.resource = Self.publicAccessBlock
            }
        }
        take(organizationPolicies: call.caller.accountID, over: account, into: &policies)
        var context = self.context(call)
        add(owner: account, to: &context)
        for key in conditions { context.set(key) }
        if let resource, resource.type == "AWS::S3::Object", Self.asksForObjectTags(action), policies.askForObjectTags {
            for key in try await objectTags(resource, conditions) { context.set(key) }
        }
        var principal = principal(of: call.caller)
        if policies.resource?.principals.contains(where: { $0.kind == .canonicalUser }) == true {
            principal.canonicalID = canonicalID(principal.account)
        }
        let request = AuthorizationRequest(
            principal: principal, action: action, resource: resource?.arn ?? "*",
            resourceAccount: account, context: context)
        let decision = PolicyEvaluation.decide(
            request, policies, rule: concernsBucketPolicy ? .bucketPolicy : .standard)
        note(DecisionNote(call, request, policies, decision))
        return decision
    }

    /// Keeps the reason of a decision that another room, or another part of this one, has made.
    func keep(_ note: DecisionNote) { self.note(note) }

    /// Adds the keys that say whose the resource is.
    func add(owner account: String, to context: inout RequestContext) {
        guard !account.isEmpty else { return }
        context["aws:ResourceAccount"] = ContextValue(account)
        let controls = controls(account)
        guard let organization = controls.organizationID else { return }
        context["aws:ResourceOrgID"] = ContextValue(organization)
        context["aws:ResourceOrgPaths"] = ContextValue(set: controls.organizationPath.map { [$0] } ?? [])
    }

    /// Adds what the organization says of the caller's account and of the one that owns the resource.
    func take(organizationPolicies caller: String?, over owner: String, into policies: inout PoliciesInForce) {
        if let caller {
            let own = controls(caller)
            policies.serviceControl = own.service
            policies.damaged += own.damaged
        }
        guard !owner.isEmpty else { return }
        let theirs = controls(owner)
        policies.resourceControl = theirs.resource
        if owner != caller { policies.damaged += theirs.damaged }
    }

    /// The refusal that the caller sees; nil when the call is allowed.
    package func refusal(
        _ call: Call, action: String, resources: [ResourceReference], conditions: [ConditionKey] = [],
        family: SignatureFamily
    ) async throws(AWSError) -> AWSError? {
        let (decision, resource) = try await decide(
            call, action: action, resources: resources, conditions: conditions)
        guard !decision.isAllowed else { return nil }
        if decision.reason == .notAcrossAccounts, family == .s3 {
            return AWSError(
                "MethodNotAllowed", status: 405, "The specified method is not allowed against this resource.")
        }
        let owner = resource?.accountID ?? resources.lazy.compactMap(\.accountID).first
        var error = AWSError.accessDenied(
            family: family, callerARN: family != .s3 || tellsReason(to: call.caller, owner) ? call.caller.arn : nil,
            action: decision.action, resource: resource?.arn, reason: decision.phrase ?? "")
        error.cause = decision.explanation
        return error
    }

    /// Whether S3 tells a caller why he was refused: to the owner's account and to its organization, and to nobody else (S3
    /// User Guide, "Troubleshoot access denied (403 Forbidden) errors in Amazon S3").
    private func tellsReason(to caller: Caller, _ owner: String?) -> Bool {
        guard let owner, let account = caller.accountID, owner != account else { return true }
        guard let organization = controls(owner).organizationID else { return false }
        return controls(account).organizationID == organization
    }

    // MARK: What the engine is asked

    /// What binds a caller, but for the organization's and the resource's policies.
    package func policiesInForce(for caller: Caller) -> PoliciesInForce {
        switch caller.kind {
        case .root, .service, .webIdentity, .unknown: return PoliciesInForce()
        case .user:
            guard let user = caller.principalID.flatMap({ store.entity(id: $0) }) else { return PoliciesInForce() }
            var policies = store.policiesInForce(for: user)
            if caller.session?.console != nil, store.account(user.accountID).settings.letsUsersChangePasswords {
                policies.identity += Self.passwordChange
            }
            return policies
        case .assumedRole, .federatedUser:
            guard let session = caller.session else { return PoliciesInForce() }
            var policies =
                store.entity(id: session.issuerID).map { store.policiesInForce(for: $0) } ?? PoliciesInForce()
            if let texts = session.policies {
                let (compiled, damaged) = texts.map(compiledSessionPolicy).sorted
                policies.session = compiled
                policies.damaged += damaged
            }
            return policies
        }
    }

    private func compiledSessionPolicy(_ text: String) -> StoredPolicy {
        if let policy = sessionPolicies.withLock({ $0[text] }) { return policy }
        let policy = StoredPolicy(stored: text, as: .session, name: "session policy")
        sessionPolicies.withLock { cache in
            if cache.count >= Self.sessionPoliciesMax { cache.removeAll(keepingCapacity: true) }
            cache[text] = policy
        }
        return policy
    }

    /// The caller as policies name it.
    package func principal(of caller: Caller) -> Principal {
        let account = caller.accountID ?? ""
        switch caller.kind {
        case .root: return .root(account: account)
        case .user:
            return .user(
                account: account, arn: caller.arn ?? "", name: caller.userName ?? "", uniqueID: caller.principalID ?? ""
            )
        case .assumedRole:
            return .roleSession(
                account: account, roleARN: caller.session?.issuerARN ?? "", roleID: caller.session?.issuerID ?? "",
                sessionARN: caller.arn ?? "", sessionName: caller.session?.name ?? "")
        case .federatedUser:
            // The account's root may ask for such a session too; then no user stands behind it.
            let isOfRoot = caller.session?.issuerID == caller.accountID
            return .federatedUser(
                account: account, arn: caller.arn ?? "", name: caller.session?.name ?? "",
                userARN: isOfRoot ? nil : caller.session?.issuerARN,
                userID: isOfRoot ? nil : caller.session?.issuerID)
        case .service(let name): return .service(name)
        case .webIdentity, .unknown: return .anonymous
        }
    }

    /// The global condition keys of a call (IAM User Guide, "AWS global condition context keys").
    package func context(_ call: Call) -> RequestContext {
        let caller = call.caller
        var context = RequestContext(principal(of: caller))
        context["aws:SourceIp"] = ContextValue(call.sourceAddress)
        context["aws:SecureTransport"] = ContextValue(call.isSecureTransport)
        context["aws:CurrentTime"] = ContextValue(call.time.iso8601)
        context["aws:EpochTime"] = ContextValue(String(call.time.seconds))
        context["aws:RequestedRegion"] = ContextValue(call.region)
        context["aws:ViaAWSService"] = "false"
        if let agent = call.userAgent { context["aws:UserAgent"] = ContextValue(agent) }
        if let entity = (caller.session?.issuerID ?? caller.principalID).flatMap({ store.entity(id: $0) }) {
            for tag in entity.tags { context["aws:PrincipalTag/\(tag.key)"] = ContextValue(tag.value) }
        }
        if let account = caller.accountID {
            let own = controls(account)
            if let organization = own.organizationID {
                context["aws:PrincipalOrgID"] = ContextValue(organization)
                context["aws:PrincipalOrgPaths"] = ContextValue(set: own.organizationPath.map { [$0] } ?? [])
            }
        }
        guard let session = caller.session else { return context }
        for tag in session.tags { context["aws:PrincipalTag/\(tag.key)"] = ContextValue(tag.value) }
        context["aws:TokenIssueTime"] = ContextValue(session.issued.iso8601)
        context["aws:MultiFactorAuthPresent"] = ContextValue(session.mfaTime != nil)
        if let time = session.mfaTime {
            context["aws:MultiFactorAuthAge"] = ContextValue(String(max(0, call.time.seconds - time.seconds)))
        }
        if let identity = session.sourceIdentity { context["aws:SourceIdentity"] = ContextValue(identity) }
        if let web = session.webIdentity {
            context["aws:FederatedProvider"] = ContextValue(web.provider)
            for claim in web.claims { context[claim.key] = ContextValue(claim.value) }
        }
        return context
    }

    /// What an account's password policy gives to whoever signs in with a password (AllowUsersToChangePassword).
    private static let passwordChange: [PolicyDocument] = {
        let text =
            #"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Resource":"*","#
            + #""Action":["iam:ChangePassword","iam:GetAccountPasswordPolicy"]}}"#
        let parsed = try? PolicyDocument.parse(stored: Array(text.utf8), as: .identity, name: "the password policy")
        return parsed.map { [$0] } ?? []
    }()

    /// What S3 Block Public Access puts in the place of a public policy for callers from outside.
    private static let publicAccessBlock: PolicyDocument? = {
        let text =
            #"{"Version":"2012-10-17","Statement":{"Sid":"RestrictPublicBuckets","Effect":"Deny","Principal":"*","#
            + #""Action":"*","Resource":"*"}}"#
        return try? PolicyDocument.parse(
            stored: Array(text.utf8), as: .resource(.other), name: "S3 Block Public Access")
    }()

    /// The actions that have `s3:ExistingObjectTag` (Service Authorization Reference, "Amazon S3").
    private static func asksForObjectTags(_ action: String) -> Bool {
        objectTagActions.contains { action.hasPrefix($0) }
    }

    private static let objectTagActions = [
        "s3:GetObject", "s3:PutObjectAcl", "s3:PutObjectTagging", "s3:PutObjectVersionAcl",
        "s3:PutObjectVersionTagging", "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging",
    ]

    private static let bucketPolicyActions: Set<String> = [
        "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy",
    ]

    /// What replaces or removes a policy of a queue or a topic.
    private static let policyMends: Set<String> = [
        "sns:DeleteTopic", "sns:SetTopicAttributes", "sqs:DeleteQueue", "sqs:SetQueueAttributes",
    ]
}

extension RequestContext {
    fileprivate mutating func set(_ key: ConditionKey) {
        self[key.name] = key.isMultiValued ? ContextValue(set: key.values) : ContextValue(key.values.first ?? "")
    }
}

/// What an organization says of one of its accounts.
package struct AccountControls: Sendable {
    package var service: ControlPolicies?
    package var resource: ControlPolicies?
    package var organizationID: String?
    /// The units over the account: `o-id/r-id/ou-id/`.
    package var organizationPath: String?
    /// The ids of policies over the account that cannot be read: nothing is allowed then.
    package var damaged: [String]

    package init(
        service: ControlPolicies? = nil, resource: ControlPolicies? = nil, organizationID: String? = nil,
        organizationPath: String? = nil, damaged: [String] = []
    ) {
        self.damaged = damaged
        self.organizationPath = organizationPath
        self.service = service
        self.resource = resource
        self.organizationID = organizationID
    }
}
