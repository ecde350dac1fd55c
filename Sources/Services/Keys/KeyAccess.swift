// SPDX-License-Identifier: Apache-2.0
//
// Who may use a key. The key's policy must allow: by naming the principal, or by naming the account, which leaves it to the
// account's identity policies; or a grant must. Identity policies alone do nothing. What is gathered here is handed to
// whoever knows the caller's policies, so that there is one decision.
// Source: KMS Developer Guide, "Policy evaluation", "Condition keys for AWS KMS".

package import AWSWire
package import Policies

/// What a decision about a key depends on besides the caller's own policies, for whoever decides at the door.
package struct KeyFacts: Sendable {
    /// The key's ARN.
    package let arn: String
    /// The account that owns the key.
    package let account: String
    /// Nil when the stored policy cannot be read: then nothing is allowed.
    package let policy: PolicyDocument?
    package let grants: [KeyGrant]
    /// The call's, by the names that constraints of grants compare.
    package let encryptionContext: [String: String]
    /// KMS's condition keys.
    package let context: RequestContext
    /// Whether there is such a key. Of one that is not, nobody is told who may not ask for it.
    package var exists = true

    /// The rule under which `PolicyEvaluation` decides with these facts.
    package var rule: DecisionRule {
        exists ? .key(grants: grants, encryptionContext: encryptionContext) : .standard
    }
}

/// What is asked about a key.
package struct KeyQuestion: Sendable {
    /// The caller is a client, a service, or a client for whom a service acts.
    package let call: Call
    /// With its prefix: `kms:Decrypt`.
    package let action: String
    package let facts: KeyFacts
    /// Whether the key's policy is stored but cannot be read: then nothing is allowed.
    package var isDamaged: Bool { facts.exists && facts.policy == nil }
}

/// Decides about a key by everything that is in force: the caller's own policies, its organization's, the key's policy and
/// its grants. The one place where that is decided.
package typealias KeyDecision = @Sendable (KeyQuestion) async throws(AWSError) -> Decision

/// A use of a key by a service: for itself, or for a caller whose request needs the key.
package struct KeyUse: Sendable {
    /// The caller is the service itself, or the principal it acts for.
    package var call: Call
    /// `s3.us-east-1.amazonaws.com`, when a service acts for the caller.
    package var viaService: String?
    /// The resource for which a service acts for itself, such as a trail's ARN.
    package var sourceARN: String?
    package var sourceAccount: String?

    package init(call: Call, viaService: String? = nil, sourceARN: String? = nil, sourceAccount: String? = nil) {
        self.call = call
        self.viaService = viaService
        self.sourceARN = sourceARN
        self.sourceAccount = sourceAccount
    }

    fileprivate var context: RequestContext {
        var context = RequestContext()
        if let viaService {
            context["kms:ViaService"] = ContextValue(viaService)
            context["aws:ViaAWSService"] = "true"
            // `s3.us-east-1.amazonaws.com` is the principal `s3.amazonaws.com`.
            let service = viaService.prefix { $0 != "." } + ".amazonaws.com"
            context["aws:CalledVia"] = ContextValue(set: [String(service)])
            context["aws:CalledViaFirst"] = ContextValue(String(service))
            context["aws:CalledViaLast"] = ContextValue(String(service))
        }
        if let sourceARN { context["aws:SourceArn"] = ContextValue(sourceARN) }
        if let sourceAccount { context["aws:SourceAccount"] = ContextValue(sourceAccount) }
        return context
    }
}

extension KeyService {
    /// A key's policy; nil when there is no such key, or its policy cannot be read.
    package func keyPolicy(for arn: String) -> PolicyDocument? {
        table.read { content in Self.key(arn, content).flatMap { content.policies[$0.id] } }
    }

    /// A key's grants, as the engine takes them.
    package func grants(for arn: String) -> [KeyGrant] {
        table.read { content in
            Self.key(arn, content).map { Self.grants(content.grants[$0.id] ?? [:], action: "") } ?? []
        }
    }

    private static func key(_ arn: String, _ content: KeyTable.Content) -> KeyRecord? {
        guard let id = arn.split(separator: "/").last, let key = content.keys[String(id)], key.arn == arn else {
            return nil
        }
        return key
    }

    private func facts(
        _ key: KeyRecord, action: String, _ use: KeyUse, _ encryption: EncryptionContext, _ more: RequestContext = [:],
        child: CreateGrantInput? = nil
    ) -> KeyFacts {
        let (policy, grants, aliases) = table.read { content in
            (
                content.policies[key.id], Self.grants(content.grants[key.id] ?? [:], action: action, child: child),
                content.aliases.values.filter { $0.target == key.id }.map(\.name)
            )
        }
        var context = use.context
        context["kms:CallerAccount"] = ContextValue(use.call.accountID)
        context["kms:KeySpec"] = "SYMMETRIC_DEFAULT"
        context["kms:KeyUsage"] = "ENCRYPT_DECRYPT"
        context["kms:KeyOrigin"] = "AWS_KMS"
        context["kms:ResourceAliases"] = ContextValue(set: aliases)
        for tag in key.tags { context["aws:ResourceTag/\(tag.key)"] = ContextValue(tag.value) }
        if !encryption.pairs.isEmpty {
            context["kms:EncryptionContextKeys"] = ContextValue(set: encryption.pairs.keys.sorted())
            for (name, value) in encryption.pairs { context["kms:EncryptionContext:\(name)"] = ContextValue(value) }
        }
        context.merge(more)
        return KeyFacts(
            arn: key.arn, account: key.account, policy: policy, grants: grants, encryptionContext: encryption.pairs,
            context: context)
    }

    private static func grants(
        _ records: [String: GrantRecord], action: String, child: CreateGrantInput? = nil
    ) -> [KeyGrant] {
        // DescribeKey has no encryption context, so constraints on it do not count there; those on CreateGrant limit the new
        // grant.
        let isConstrained = action != "DescribeKey" && child == nil
        return records.values.filter { grant in child.map(grant.mayHave) ?? true }.map { grant in
            KeyGrant(
                grantee: grant.grantee, operations: Self.grantOperations(grant),
                contextEquals: isConstrained ? grant.contextEquals : nil,
                contextSubset: isConstrained ? grant.contextSubset : nil)
        }
    }

    private static func grantOperations(_ grant: GrantRecord) -> Set<String> { Set(grant.operations) }

    /// Checks that the caller may do something with a key.
    ///
    /// - Parameters:
    ///   - action: without its prefix.
    ///   - more: condition keys of this operation.
    /// - Throws: `AccessDeniedException` in AWS's words.
    func allow(
        _ action: String, on key: KeyRecord, _ use: KeyUse, encryption: EncryptionContext = EncryptionContext(),
        more: RequestContext = [:], child: CreateGrantInput? = nil
    ) async throws(AWSError) {
        let facts = facts(key, action: action, use, encryption, more, child: child)
        if let refusal = try await refusal(action, facts, use.call) { throw refusal }
    }

    func allow(
        _ action: String, on key: KeyRecord, _ call: Call, encryption: EncryptionContext = EncryptionContext(),
        more: RequestContext = [:]
    ) async throws(AWSError) {
        try await allow(action, on: key, KeyUse(call: call), encryption: encryption, more: more)
    }

    private func refusal(_ action: String, _ facts: KeyFacts, _ call: Call) async throws(AWSError) -> AWSError? {
        let question = KeyQuestion(call: call, action: "kms:\(action)", facts: facts)
        let decision = try await decide(question)
        guard !decision.isAllowed else { return nil }
        let isForeign = facts.account != call.accountID
        let phrase =
            isForeign && decision.policyType == .resource && decision.verdict == .implicitDeny
            ? "because the resource does not exist in this Region, no resource-based policies allow access, or a "
                + "resource-based policy explicitly denies access"
            : decision.phrase ?? "because no resource-based policy allows the kms:\(action) action"
        var error = AWSError.accessDenied(
            family: .json, callerARN: call.caller.arn ?? Principal(call.caller)?.arn, action: "kms:\(action)",
            resource: facts.arn, reason: phrase)
        error.cause = decision.explanation
        return error
    }

    /// The key that a call names, which its caller may do something with.
    ///
    /// - Parameter child: the grant that the call asks for; a grant that the caller has must reach that far.
    /// - Throws: `NotFoundException` in its forms, to those alone who may ask for such a key; `AccessDeniedException`.
    func target(
        _ name: KeyName, _ action: String, _ call: Call, allowsAlias: Bool = false,
        encryption: EncryptionContext = EncryptionContext(), more: RequestContext = [:], child: CreateGrantInput? = nil
    ) async throws(AWSError) -> KeyRecord {
        try await target(
            name, action, KeyUse(call: call), allowsAlias: allowsAlias, encryption: encryption, more: more, child: child
        )
    }

    func target(
        _ name: KeyName, _ action: String, _ use: KeyUse, allowsAlias: Bool = false,
        encryption: EncryptionContext = EncryptionContext(), more: RequestContext = [:], child: CreateGrantInput? = nil
    ) async throws(AWSError) -> KeyRecord {
        let key: KeyRecord
        do throws(AWSError) {
            key = try find(name, use.call, allowsAlias: allowsAlias)
        } catch {
            guard error.code == "NotFoundException", let (arn, account) = name.place(for: use.call) else { throw error }
            let facts = KeyFacts(
                arn: arn, account: account, policy: nil, grants: [], encryptionContext: [:], context: use.context,
                exists: false)
            if let refusal = try await refusal(action, facts, use.call) { throw refusal }
            throw error
        }
        try await allow(action, on: key, use, encryption: encryption, more: more, child: child)
        return key
    }

    /// Whether a caller may still use a key as it did before: nothing is recorded.
    package func allowsUse(
        _ action: String, ofKey arn: String, _ context: EncryptionContext, _ use: KeyUse
    ) async -> Bool {
        guard let key = table.read({ Self.key(arn, $0) }), key.state == .enabled else { return false }
        do throws(AWSError) {
            try await allow(action, on: key, use, encryption: context)
            return true
        } catch {
            return false
        }
    }

    /// Decides by the key's policy and grants alone, as if the caller's own policies allowed everything: for tools that
    /// have no callers.
    package static let decideByKeyAlone: KeyDecision = { question in
        let caller = question.call.caller
        let principal = Principal(caller) ?? .anonymous
        var context = RequestContext(principal)
        context.merge(question.call.conditions)
        context.merge(question.facts.context)
        let isOwnPoliciesAsked = principal.kind != .service && principal.kind != .root
        return PolicyEvaluation.decide(
            AuthorizationRequest(
                principal: principal, action: question.action, resource: question.facts.arn,
                resourceAccount: question.facts.account, context: context),
            PoliciesInForce(
                identity: isOwnPoliciesAsked ? everything : [], resource: question.facts.policy,
                damaged: question.isDamaged ? [question.facts.arn] : []),
            rule: question.facts.rule)
    }

    /// Stands for the caller's own policies, which have allowed already.
    static let everything: [PolicyDocument] = {
        let text = #"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#
        return (try? PolicyDocument.parse(stored: Array(text.utf8), as: .identity, name: "own policies")).map { [$0] }
            ?? []
    }()
}

extension Principal {
    /// Nil for callers nobody knows.
    init?(_ caller: Caller) {
        switch caller.kind {
        case .service(let name): self = .service(name)
        case .unknown: return nil
        default:
            guard let account = caller.accountID, let arn = caller.arn else { return nil }
            self.init(account: account, arn: arn, id: caller.principalID ?? "")
        }
    }

    private init?(account: String, arn: String, id: String) {
        let parts = arn.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6 else { return nil }
        let words = parts[5].split(separator: "/").map(String.init)
        if parts[5] == "root" {
            self = .root(account: account)
        } else if words.first == "user", let name = words.last {
            self = .user(account: account, arn: arn, name: name, uniqueID: id)
        } else if words.first == "assumed-role", words.count == 3 {
            self = .roleSession(
                account: account, roleARN: "arn:aws:iam::\(account):role/\(words[1])",
                roleID: id.split(separator: ":").first.map(String.init) ?? id, sessionARN: arn, sessionName: words[2])
        } else if words.first == "federated-user", let name = words.last {
            self = .federatedUser(account: account, arn: arn, name: name, userARN: nil)
        } else {
            return nil
        }
    }
}

extension Call {
    fileprivate var conditions: RequestContext {
        var context = RequestContext()
        context["aws:SecureTransport"] = ContextValue(isSecureTransport)
        context["aws:CurrentTime"] = ContextValue(time.iso8601)
        context["aws:EpochTime"] = ContextValue(Int(time.seconds))
        context["aws:RequestedRegion"] = ContextValue(region)
        if case .service = caller.kind { return context }
        context["aws:SourceIp"] = ContextValue(sourceAddress)
        if let userAgent { context["aws:UserAgent"] = ContextValue(userAgent) }
        return context
    }
}
