// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies

// A key has one policy, named `default`.
extension KeyService {
    static let policyName = "default"

    /// What a key without a policy of its own gets: the account's identity policies decide.
    static func defaultPolicy(account: String) -> String {
        """
        {
          "Version" : "2012-10-17",
          "Id" : "key-default-1",
          "Statement" : [ {
            "Sid" : "Enable IAM User Permissions",
            "Effect" : "Allow",
            "Principal" : {
              "AWS" : "arn:aws:iam::\(account):root"
            },
            "Action" : "kms:*",
            "Resource" : "*"
          } ]
        }
        """
    }

    @Sendable func putKeyPolicy(_ input: PutKeyPolicyInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        // A policy that cannot be read allows nobody anything; the account's root can replace it.
        let key = try find(input.key, call)
        let isUnreadable = keyPolicy(for: key.arn) == nil
        let isOwner = call.caller.kind == .root && call.accountID == key.account
        if !(isUnreadable && isOwner) { try await allow("PutKeyPolicy", on: key, call, more: input.conditions) }
        try key.checkIsCustomers()
        let policy = try checked(policy: input.policy, for: call, bypassesLockoutCheck: input.bypassesLockoutCheck)
        try await table.change { content throws(AWSError) in
            var key = try content.find(
                input.key, account: call.accountID, region: call.region, allowsAlias: false)
            key.policy = policy
            return ([.key(key)], ())
        }
        return EmptyOutput()
    }

    @Sendable func getKeyPolicy(_ input: GetKeyPolicyInput, _ call: Call) async throws(AWSError) -> ListOutput {
        let key = try await target(input.key, "GetKeyPolicy", call)
        return ListOutput(members: ["Policy": .string(shown(policyOf: key)), "PolicyName": .string(Self.policyName)])
    }

    @Sendable func listKeyPolicies(_ input: KeyPageInput, _ call: Call) async throws(AWSError) -> ListOutput {
        _ = try await target(try input.required, "ListKeyPolicies", call)
        return ListOutput(
            members: Page([Self.policyName], input.page) { $0 }.members("PolicyNames") { .string($0) })
    }

    /// The text as its readers get it, with users and roles by their ARNs; a text that cannot be read as it stands.
    private func shown(policyOf key: KeyRecord) -> String {
        guard let document = keyPolicy(for: key.arn) else { return key.policy }
        return String(decoding: document.textToShow(principals), as: UTF8.self)
    }

    /// Checks a document's form, that the users and roles in it exist, and that its author can still change it.
    ///
    /// - Returns: The text to keep, with users and roles by their ids, so that nobody inherits a key by taking a name.
    func checked(policy text: String, for call: Call, bypassesLockoutCheck: Bool) throws(AWSError) -> String {
        let bytes = Array(text.utf8)
        let document: PolicyDocument
        let stored: String
        do throws(PolicyError) {
            try PolicySizeLimit.key.check(
                size: PolicySizeLimit.key.size(of: bytes), kind: .resource(.kms))
            document = try PolicyDocument.parse(bytes, as: .resource(.kms))
            stored = String(decoding: try document.textToStore(principals), as: UTF8.self)
        } catch {
            throw AWSError(error.code, error.message)
        }
        guard !bypassesLockoutCheck else { return stored }
        guard let principal = Principal(call.caller) else { throw Self.lockout }
        let decision = PolicyEvaluation.decide(
            AuthorizationRequest(
                principal: principal, action: "kms:PutKeyPolicy", resource: "*", resourceAccount: call.accountID,
                context: RequestContext(principal)),
            PoliciesInForce(identity: Self.everything, resource: document),
            rule: .key(grants: [], encryptionContext: [:]))
        guard decision.isAllowed else { throw Self.lockout }
        return stored
    }

    private static let lockout = AWSError.malformedKeyPolicy(
        "The new key policy will not allow you to update the key policy in the future.")
}

struct PutKeyPolicyInput: OperationInput {
    let key: KeyName
    let policy: String
    let bypassesLockoutCheck: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(
            request, known: ["KeyId", "PolicyName", "Policy", "BypassPolicyLockoutSafetyCheck"])
        key = try fields.keyName("KeyId")
        try fields.checkPolicyName()
        policy = try fields.requiredString("Policy")
        bypassesLockoutCheck = try fields.bool("BypassPolicyLockoutSafetyCheck") ?? false
    }

    var conditions: RequestContext {
        ["kms:BypassPolicyLockoutSafetyCheck": ContextValue(bypassesLockoutCheck)]
    }
}

struct GetKeyPolicyInput: OperationInput {
    let key: KeyName

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["KeyId", "PolicyName"])
        key = try fields.keyName("KeyId")
        try fields.checkPolicyName()
    }
}

extension WireFields {
    fileprivate func checkPolicyName() throws(AWSError) {
        guard let name = try string("PolicyName"), name != KeyService.policyName else { return }
        throw AWSError("NotFoundException", "No such policy exists")
    }
}
