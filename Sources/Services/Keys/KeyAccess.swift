// SPDX-License-Identifier: Apache-2.0
//
// Who may use a key. The key's policy must allow: by naming the principal, or by naming the account, which leaves it to the
// account's identity policies; or a grant must. Identity policies alone do nothing.
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

    /// The rule under which `PolicyEvaluation` decides with these facts.
    package var rule: DecisionRule { .key(grants: grants, encryptionContext: encryptionContext) }
}

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

    /// All that decides about a request's use of one of its keys, but for the caller's own policies.
    ///
    /// - Returns: nil when there is no such key.
    package func facts(ofKey arn: String, for request: OperationRequest, _ call: Call) -> KeyFacts? {
        guard let key = table.read({ Self.key(arn, $0) }) else { return nil }
        let member =
            ["EncryptionContext", "SourceEncryptionContext"].first { request.parameters[$0]?.asStructure != nil } ?? ""
        var pairs: [String: String] = [:]
        for pair in request.parameters[member]?.asStructure?.members ?? [] { pairs[pair.name] = pair.value.asString }
        return facts(key, action: request.operation, KeyUse(call: call), EncryptionContext(pairs))
    }

    private static func key(_ arn: String, _ content: KeyTable.Content) -> KeyRecord? {
        guard let id = arn.split(separator: "/").last, let key = content.keys[String(id)], key.arn == arn else {
            return nil
        }
        return key
    }

    private func facts(
        _ key: KeyRecord, action: String, _ use: KeyUse, _ encryption: EncryptionContext
    ) -> KeyFacts {
        let (policy, grants, aliases) = table.read { content in
            (
                content.policies[key.id], Self.grants(content.grants[key.id] ?? [:], action: action),
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
        return KeyFacts(
            arn: key.arn, account: key.account, policy: policy, grants: grants, encryptionContext: encryption.pairs,
            context: context)
    }

    private static func grants(_ records: [String: GrantRecord], action: String) -> [KeyGrant] {
        // DescribeKey has no encryption context, so constraints on it do not count there.
        let isConstrained = action != "DescribeKey"
        return records.values.map { grant in
            KeyGrant(
                grantee: grant.grantee, operations: Self.grantOperations(grant),
                contextEquals: isConstrained ? grant.contextEquals : nil,
                contextSubset: isConstrained ? grant.contextSubset : nil)
        }
    }

    private static func grantOperations(_ grant: GrantRecord) -> Set<String> { Set(grant.operations) }

    /// Decides by the key's policy and grants.
    ///
    /// The caller's own policies have been asked at the door; they cannot make up for a key's policy that does not allow.
    ///
    /// - Parameters:
    ///   - action: without its prefix.
    ///   - more: condition keys of this operation.
    /// - Throws: `AccessDeniedException` in AWS's words.
    func allow(
        _ action: String, on key: KeyRecord, _ use: KeyUse, encryption: EncryptionContext = EncryptionContext(),
        more: RequestContext = [:]
    ) throws(AWSError) {
        let caller = use.call.caller
        let facts = facts(key, action: action, use, encryption)
        let decision: Decision?
        if let principal = Principal(caller) {
            var context = RequestContext(principal)
            context.merge(use.call.conditions)
            context.merge(facts.context)
            context.merge(more)
            let isOwnPoliciesAsked = principal.kind != .service && principal.kind != .root
            decision = PolicyEvaluation.decide(
                AuthorizationRequest(
                    principal: principal, action: "kms:\(action)", resource: key.arn, resourceAccount: key.account,
                    context: context),
                PoliciesInForce(
                    identity: isOwnPoliciesAsked ? Self.everything : [], resource: facts.policy,
                    damaged: facts.policy == nil ? [key.arn] : []),
                rule: facts.rule)
        } else {
            decision = nil
        }
        if decision?.isAllowed == true { return }
        throw .accessDenied(
            family: .json, callerARN: caller.arn ?? Principal(caller)?.arn, action: "kms:\(action)", resource: key.arn,
            reason: decision?.phrase ?? "because no resource-based policy allows the kms:\(action) action")
    }

    func allow(
        _ action: String, on key: KeyRecord, _ call: Call, encryption: EncryptionContext = EncryptionContext(),
        more: RequestContext = [:]
    ) throws(AWSError) {
        try allow(action, on: key, KeyUse(call: call), encryption: encryption, more: more)
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
