// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies

extension IAMService {
    static let policyOperations: [Operation<IAMService>] = [
        operation("CreatePolicy", .write, on: .newPolicy, IAMService.createPolicy),
        operation("GetPolicy", .read, on: .policy, IAMService.getPolicy),
        operation("ListPolicies", .read, on: .nothing, IAMService.listPolicies),
        operation("DeletePolicy", .write, on: .policy, IAMService.deletePolicy),
        operation("CreatePolicyVersion", .write, on: .policy, IAMService.createPolicyVersion),
        operation("GetPolicyVersion", .read, on: .policy, IAMService.getPolicyVersion),
        operation("ListPolicyVersions", .read, on: .policy, IAMService.listPolicyVersions),
        operation("DeletePolicyVersion", .write, on: .policy, IAMService.deletePolicyVersion),
        operation("SetDefaultPolicyVersion", .write, on: .policy, IAMService.setDefaultPolicyVersion),
        operation("TagPolicy", .write, on: .policy, IAMService.tagPolicy),
        operation("UntagPolicy", .write, on: .policy, IAMService.untagPolicy),
        operation("ListPolicyTags", .read, on: .policy, IAMService.listPolicyTags),
        operation("ListEntitiesForPolicy", .read, on: .policy, IAMService.listEntitiesForPolicy),
    ]

    static func shape(
        policy: ManagedPolicy, in account: AccountIdentities, isFull: Bool = true
    ) -> WireStructure {
        var members: WireStructure = [
            "PolicyName": .string(policy.name), "PolicyId": .string(policy.id), "Arn": .string(policy.arn),
            "Path": .string(policy.path), "DefaultVersionId": .string(policy.defaultVersion),
            "AttachmentCount": .integer(Int64(account.entities(attachedTo: policy.arn).count)),
            "PermissionsBoundaryUsageCount": .integer(Int64(account.entities(boundedBy: policy.arn).count)),
            "IsAttachable": true, "CreateDate": .timestamp(policy.created), "UpdateDate": .timestamp(policy.updated),
        ]
        guard isFull else { return members }
        members.append("Description", ifPresent: policy.description.map { .string($0) })
        if !policy.tags.isEmpty { members.append("Tags", tagList(policy.tags)) }
        return members
    }

    static func shape(_ version: ManagedPolicy.Version, of policy: ManagedPolicy, hasDocument: Bool) -> WireStructure {
        var members = WireStructure()
        if hasDocument { members.append("Document", encoded(version.policy.text)) }
        members.append("VersionId", .string(version.id))
        members.append("IsDefaultVersion", .bool(version.id == policy.defaultVersion))
        members.append("CreateDate", .timestamp(version.created))
        return members
    }

    private func policy(_ arn: String, _ call: Call) throws(AWSError) -> ManagedPolicy {
        guard let policy = store.account(call.accountID).policy(arn: arn) else { throw .noSuchPolicy(arn) }
        return policy
    }

    /// Changes a customer's policy; AWS's own cannot be changed by anybody.
    private func changePolicy<Result: Sendable>(
        _ arn: String, _ call: Call,
        _ body: @escaping @Sendable (inout ManagedPolicy) throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        try await store.change(call.accountID) { account throws(AWSError) in
            guard var policy = account.policy(arn: arn) else { throw .noSuchPolicy(arn) }
            guard policy.owner == account.accountID else { throw .managedByAWS(arn) }
            let result = try body(&policy)
            account.put(policy)
            return result
        }
    }

    @Sendable func createPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicyName", "Path", "PolicyDocument", "Description", "Tags")
        let name = try fields.requiredName("PolicyName", max: 128)
        let path = try fields.path()
        let description = try fields.text("Description", max: 1000, min: 0)
        guard XMLDocument.canCarry(description ?? "") else {
            throw .constraint("Description", description ?? "", "Member must have characters of XML 1.0 alone")
        }
        let text = try fields.required("PolicyDocument")
        _ = try identityPolicy(text, name: name, limit: .managed)
        var policy = ManagedPolicy(
            owner: call.accountID, name: name, path: path, id: FreshID.entity("ANPA", randomBytes), created: call.time,
            description: description, text: text)
        policy.tags = try fields.tags(ignoringCase: false)
        let new = policy
        let shown = try await store.change(call.accountID) { account throws(AWSError) in
            guard account.policies[new.name.lowercased()] == nil else {
                throw .entityExists("A policy called \(new.name) already exists. Duplicate names are not allowed.")
            }
            guard account.policies.count < Limits.policies else {
                throw .limitExceeded("PoliciesPerAccount", Limits.policies)
            }
            account.put(new)
            return Self.shape(policy: new, in: account)
        }
        return IAMAnswer(["Policy": .structure(shown)])
    }

    @Sendable func getPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let policy = try policy(try input.fields("PolicyArn").requiredARN("PolicyArn", of: "policy"), call)
        return IAMAnswer(["Policy": .structure(Self.shape(policy: policy, in: store.account(call.accountID)))])
    }

    @Sendable func listPolicies(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(
            "Scope", "OnlyAttached", "PathPrefix", "PolicyUsageFilter", "Marker", "MaxItems")
        let scope = try fields.word("Scope", ["All", "AWS", "Local"]) ?? "All"
        let usage = try fields.word("PolicyUsageFilter", ["PermissionsPolicy", "PermissionsBoundary"])
        let isOnlyAttached = try fields.flag("OnlyAttached") ?? false
        let prefix = try fields.pathPrefix()
        let account = store.account(call.accountID)
        var policies: [ManagedPolicy] = []
        if scope != "AWS" { policies += account.customerPolicies }
        if scope != "Local" { policies += AWSManagedPolicies.all }
        policies.removeAll { policy in
            let isAttached = !account.entities(attachedTo: policy.arn).isEmpty
            let isBoundary = !account.entities(boundedBy: policy.arn).isEmpty
            if usage == "PermissionsPolicy", !isAttached { return true }
            if usage == "PermissionsBoundary", !isBoundary { return true }
            return !policy.path.hasPrefix(prefix) || (isOnlyAttached && !isAttached && !isBoundary)
        }
        policies.sort { $0.arn.lowercased() < $1.arn.lowercased() }
        return IAMAnswer(
            try fields.page(policies, by: \.arn, "Policies") {
                .structure(Self.shape(policy: $0, in: account, isFull: false))
            })
    }

    @Sendable func deletePolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let arn = try input.fields("PolicyArn").requiredARN("PolicyArn", of: "policy")
        try await store.change(call.accountID) { account throws(AWSError) in
            guard let policy = account.policy(arn: arn) else { throw .noSuchPolicy(arn) }
            guard policy.owner == account.accountID else { throw .managedByAWS(arn) }
            guard account.entities(attachedTo: arn).isEmpty, account.entities(boundedBy: arn).isEmpty else {
                throw .deleteConflict("Cannot delete a policy attached to entities.")
            }
            guard policy.versions.count == 1 else {
                throw .deleteConflict(
                    "This policy has more than one version. Before you delete a policy, you must delete the policy's "
                        + "versions. The default version is deleted with the policy.")
            }
            account.remove(policy)
        }
        return IAMAnswer()
    }

    @Sendable func createPolicyVersion(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicyArn", "PolicyDocument", "SetAsDefault")
        let arn = try fields.requiredARN("PolicyArn", of: "policy")
        let document = try identityPolicy(try fields.required("PolicyDocument"), name: arn, limit: .managed)
        let isDefault = try fields.flag("SetAsDefault") ?? false
        let shown = try await changePolicy(arn, call) { policy throws(AWSError) in
            guard policy.versions.count < Limits.versionsPerPolicy else {
                throw .limitExceeded(
                    "A managed policy can have up to 5 versions. Before you create a new version, you must delete an "
                        + "existing version.")
            }
            policy.latest += 1
            let version = ManagedPolicy.Version(id: "v\(policy.latest)", created: call.time, policy: document)
            policy.versions.append(version)
            policy.updated = call.time
            if isDefault { policy.defaultVersion = version.id }
            return Self.shape(version, of: policy, hasDocument: false)
        }
        return IAMAnswer(["PolicyVersion": .structure(shown)])
    }

    @Sendable func getPolicyVersion(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicyArn", "VersionId")
        let arn = try fields.requiredARN("PolicyArn", of: "policy")
        let id = try fields.requiredVersion()
        let policy = try policy(arn, call)
        guard let version = policy.versions.first(where: { $0.id == id }) else { throw Self.noSuchVersion(id, arn) }
        return IAMAnswer(["PolicyVersion": .structure(Self.shape(version, of: policy, hasDocument: true))])
    }

    @Sendable func listPolicyVersions(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicyArn", "Marker", "MaxItems")
        let policy = try policy(try fields.requiredARN("PolicyArn", of: "policy"), call)
        // The newest version comes first: a page is in the order of names, so the names here count down.
        func place(_ version: ManagedPolicy.Version) -> String {
            String(Int64.max - (Int64(version.id.dropFirst()) ?? 0))
        }
        return IAMAnswer(
            try fields.page(policy.versions, by: place, "Versions") {
                .structure(Self.shape($0, of: policy, hasDocument: false))
            })
    }

    @Sendable func deletePolicyVersion(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicyArn", "VersionId")
        let arn = try fields.requiredARN("PolicyArn", of: "policy")
        let id = try fields.requiredVersion()
        try await changePolicy(arn, call) { policy throws(AWSError) in
            guard policy.versions.contains(where: { $0.id == id }) else { throw Self.noSuchVersion(id, arn) }
            guard policy.defaultVersion != id else {
                throw .deleteConflict("Cannot delete the default version of a policy.")
            }
            policy.versions.removeAll { $0.id == id }
        }
        return IAMAnswer()
    }

    @Sendable func setDefaultPolicyVersion(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicyArn", "VersionId")
        let arn = try fields.requiredARN("PolicyArn", of: "policy")
        let id = try fields.requiredVersion()
        try await changePolicy(arn, call) { policy throws(AWSError) in
            guard policy.versions.contains(where: { $0.id == id }) else { throw Self.noSuchVersion(id, arn) }
            policy.defaultVersion = id
            policy.updated = call.time
        }
        return IAMAnswer()
    }

    private static func noSuchVersion(_ id: String, _ arn: String) -> AWSError {
        .noSuchEntity("Policy \(arn) version \(id) does not exist or is not attachable.")
    }

    @Sendable func tagPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicyArn", "Tags")
        let tags = try fields.tags(ignoringCase: false)
        try await changePolicy(try fields.requiredARN("PolicyArn", of: "policy"), call) { policy throws(AWSError) in
            try Self.merge(tags, into: &policy.tags, ignoringCase: false)
        }
        return IAMAnswer()
    }

    @Sendable func untagPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicyArn", "TagKeys")
        let keys = Set(try fields.tagKeys())
        try await changePolicy(try fields.requiredARN("PolicyArn", of: "policy"), call) { policy throws(AWSError) in
            policy.tags.removeAll { keys.contains($0.key) }
        }
        return IAMAnswer()
    }

    @Sendable func listPolicyTags(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicyArn", "Marker", "MaxItems")
        return IAMAnswer(
            try Self.tagPage(try policy(try fields.requiredARN("PolicyArn", of: "policy"), call).tags, fields))
    }

    @Sendable func listEntitiesForPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(
            "PolicyArn", "EntityFilter", "PathPrefix", "PolicyUsageFilter", "Marker", "MaxItems")
        let arn = try fields.requiredARN("PolicyArn", of: "policy")
        _ = try policy(arn, call)
        let filter = try fields.word(
            "EntityFilter", ["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"])
        let usage = try fields.word("PolicyUsageFilter", ["PermissionsPolicy", "PermissionsBoundary"])
        let prefix = try fields.pathPrefix()
        let account = store.account(call.accountID)
        var entities: [IdentityEntity] = []
        if usage != "PermissionsBoundary" { entities += account.entities(attachedTo: arn) }
        if usage == "PermissionsBoundary" { entities += account.entities(boundedBy: arn) }
        entities.removeAll { !$0.path.hasPrefix(prefix) }
        if let filter { entities.removeAll { $0.kind.rawValue != filter.lowercased() } }
        // Kind and name together order the rows of all three lists.
        entities.sort { "\($0.kind.rawValue)/\($0.name)".lowercased() < "\($1.kind.rawValue)/\($1.name)".lowercased() }
        var page = try fields.page(entities, by: { "\($0.kind.rawValue)/\($0.name)" }, "Rows") { entity in
            switch entity.kind {
            case .user: .structure(["UserName": .string(entity.name), "UserId": .string(entity.id)])
            case .group: .structure(["GroupName": .string(entity.name), "GroupId": .string(entity.id)])
            case .role: .structure(["RoleName": .string(entity.name), "RoleId": .string(entity.id)])
            }
        }
        let rows = page["Rows"]?.asList ?? []
        page["Rows"] = nil
        func having(_ member: String) -> WireValue { .list(rows.filter { $0.asStructure?[member] != nil }) }
        var members: WireStructure = [
            "PolicyGroups": having("GroupName"), "PolicyUsers": having("UserName"), "PolicyRoles": having("RoleName"),
        ]
        members.members += page.members
        return IAMAnswer(members)
    }
}
