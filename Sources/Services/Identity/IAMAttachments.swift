// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies

/// Attached and inline policies and boundaries: the same for users, groups and roles.
extension IAMService {
    static let attachmentOperations: [Operation<IAMService>] = [
        operation("AttachUserPolicy", .write, on: .entity(.user), IAMService.attachUserPolicy),
        operation("DetachUserPolicy", .write, on: .entity(.user), IAMService.detachUserPolicy),
        operation("ListAttachedUserPolicies", .read, on: .entity(.user), IAMService.listAttachedUserPolicies),
        operation("PutUserPolicy", .write, on: .entity(.user), IAMService.putUserPolicy),
        operation("GetUserPolicy", .read, on: .entity(.user), IAMService.getUserPolicy),
        operation("DeleteUserPolicy", .write, on: .entity(.user), IAMService.deleteUserPolicy),
        operation("ListUserPolicies", .read, on: .entity(.user), IAMService.listUserPolicies),
        operation("PutUserPermissionsBoundary", .write, on: .entity(.user), IAMService.putUserPermissionsBoundary),
        operation(
            "DeleteUserPermissionsBoundary", .write, on: .entity(.user), IAMService.deleteUserPermissionsBoundary),
        operation("AttachGroupPolicy", .write, on: .entity(.group), IAMService.attachGroupPolicy),
        operation("DetachGroupPolicy", .write, on: .entity(.group), IAMService.detachGroupPolicy),
        operation("ListAttachedGroupPolicies", .read, on: .entity(.group), IAMService.listAttachedGroupPolicies),
        operation("PutGroupPolicy", .write, on: .entity(.group), IAMService.putGroupPolicy),
        operation("GetGroupPolicy", .read, on: .entity(.group), IAMService.getGroupPolicy),
        operation("DeleteGroupPolicy", .write, on: .entity(.group), IAMService.deleteGroupPolicy),
        operation("ListGroupPolicies", .read, on: .entity(.group), IAMService.listGroupPolicies),
        operation("AttachRolePolicy", .write, on: .entity(.role), IAMService.attachRolePolicy),
        operation("DetachRolePolicy", .write, on: .entity(.role), IAMService.detachRolePolicy),
        operation("ListAttachedRolePolicies", .read, on: .entity(.role), IAMService.listAttachedRolePolicies),
        operation("PutRolePolicy", .write, on: .entity(.role), IAMService.putRolePolicy),
        operation("GetRolePolicy", .read, on: .entity(.role), IAMService.getRolePolicy),
        operation("DeleteRolePolicy", .write, on: .entity(.role), IAMService.deleteRolePolicy),
        operation("ListRolePolicies", .read, on: .entity(.role), IAMService.listRolePolicies),
        operation("PutRolePermissionsBoundary", .write, on: .entity(.role), IAMService.putRolePermissionsBoundary),
        operation(
            "DeleteRolePermissionsBoundary", .write, on: .entity(.role), IAMService.deleteRolePermissionsBoundary),
    ]

    @Sendable func attachUserPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await attach(.user, "UserName", input, call)
    }

    @Sendable func detachUserPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await detach(.user, "UserName", input, call)
    }

    @Sendable func listAttachedUserPolicies(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await listAttached(.user, "UserName", input, call)
    }

    @Sendable func putUserPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await putInline(.user, "UserName", input, call)
    }

    @Sendable func getUserPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await getInline(.user, "UserName", input, call)
    }

    @Sendable func deleteUserPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await deleteInline(.user, "UserName", input, call)
    }

    @Sendable func listUserPolicies(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await listInline(.user, "UserName", input, call)
    }

    @Sendable func putUserPermissionsBoundary(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await putBoundary(.user, "UserName", input, call)
    }

    @Sendable func deleteUserPermissionsBoundary(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer
    {
        try await deleteBoundary(.user, "UserName", input, call)
    }

    @Sendable func attachGroupPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await attach(.group, "GroupName", input, call)
    }

    @Sendable func detachGroupPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await detach(.group, "GroupName", input, call)
    }

    @Sendable func listAttachedGroupPolicies(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await listAttached(.group, "GroupName", input, call)
    }

    @Sendable func putGroupPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await putInline(.group, "GroupName", input, call)
    }

    @Sendable func getGroupPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await getInline(.group, "GroupName", input, call)
    }

    @Sendable func deleteGroupPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await deleteInline(.group, "GroupName", input, call)
    }

    @Sendable func listGroupPolicies(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await listInline(.group, "GroupName", input, call)
    }

    @Sendable func attachRolePolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await attach(.role, "RoleName", input, call)
    }

    @Sendable func detachRolePolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await detach(.role, "RoleName", input, call)
    }

    @Sendable func listAttachedRolePolicies(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await listAttached(.role, "RoleName", input, call)
    }

    @Sendable func putRolePolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await putInline(.role, "RoleName", input, call)
    }

    @Sendable func getRolePolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await getInline(.role, "RoleName", input, call)
    }

    @Sendable func deleteRolePolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await deleteInline(.role, "RoleName", input, call)
    }

    @Sendable func listRolePolicies(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await listInline(.role, "RoleName", input, call)
    }

    @Sendable func putRolePermissionsBoundary(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await putBoundary(.role, "RoleName", input, call)
    }

    @Sendable func deleteRolePermissionsBoundary(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer
    {
        try await deleteBoundary(.role, "RoleName", input, call)
    }

    // MARK: Attached policies

    private func attach(
        _ kind: IdentityEntity.Kind, _ member: String, _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(member, "PolicyArn")
        let arn = try fields.requiredARN("PolicyArn", of: "policy")
        try await change(kind, try fields.requiredName(member, max: 128), call) { entity, account throws(AWSError) in
            guard account.policy(arn: arn) != nil else {
                throw .noSuchEntity("Policy \(arn) does not exist or is not attachable.")
            }
            guard !entity.attached.contains(arn) else { return }
            guard entity.attached.count < Limits.policiesPerEntity else {
                throw .limitExceeded(Self.quota(kind), Limits.policiesPerEntity)
            }
            entity.attached.append(arn)
        }
        return IAMAnswer()
    }

    private static func quota(_ kind: IdentityEntity.Kind) -> String {
        switch kind {
        case .user: "PoliciesPerUser"
        case .group: "PoliciesPerGroup"
        case .role: "PoliciesPerRole"
        }
    }

    private func detach(
        _ kind: IdentityEntity.Kind, _ member: String, _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(member, "PolicyArn")
        let arn = try fields.requiredARN("PolicyArn", of: "policy")
        try await change(kind, try fields.requiredName(member, max: 128), call) { entity, _ throws(AWSError) in
            guard entity.attached.contains(arn) else { throw .noSuchPolicy(arn) }
            entity.attached.removeAll { $0 == arn }
        }
        return IAMAnswer()
    }

    private func listAttached(
        _ kind: IdentityEntity.Kind, _ member: String, _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(member, "PathPrefix", "Marker", "MaxItems")
        let entity = try entity(kind, try fields.requiredName(member, max: 128), call)
        let prefix = try fields.pathPrefix()
        let account = store.account(call.accountID)
        let policies = entity.attached.compactMap { account.policy(arn: $0) }
            .filter { $0.path.hasPrefix(prefix) }.sorted { $0.arn.lowercased() < $1.arn.lowercased() }
        return IAMAnswer(
            try fields.page(policies, by: \.arn, "AttachedPolicies") {
                .structure(["PolicyName": .string($0.name), "PolicyArn": .string($0.arn)])
            })
    }

    // MARK: Inline policies

    private func putInline(
        _ kind: IdentityEntity.Kind, _ member: String, _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(member, "PolicyName", "PolicyDocument")
        let name = try fields.requiredName("PolicyName", max: 128)
        let owner = try fields.requiredName(member, max: 128)
        let policy = try identityPolicy(try fields.required("PolicyDocument"), name: name)
        try await change(kind, owner, call) { entity, _ throws(AWSError) in
            entity.inline.removeAll { $0.name == name }
            entity.inline.append((name, policy))
            entity.inline.sort { $0.name.lowercased() < $1.name.lowercased() }
            let limit: PolicySizeLimit =
                switch kind {
                case .user: .inlineUser(owner)
                case .group: .inlineGroup(owner)
                case .role: .inlineRole(owner)
                }
            do throws(PolicyError) {
                let size = entity.inline.reduce(0) { $0 + limit.size(of: Array($1.policy.text.utf8)) }
                try limit.check(size: size, kind: .identity)
            } catch {
                throw .refused(error)
            }
        }
        return IAMAnswer()
    }

    private static func noSuchInline(_ kind: IdentityEntity.Kind, _ name: String) -> AWSError {
        .noSuchEntity("The \(kind.rawValue) policy with name \(name) cannot be found.")
    }

    private func getInline(
        _ kind: IdentityEntity.Kind, _ member: String, _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(member, "PolicyName")
        let name = try fields.requiredName("PolicyName", max: 128)
        let entity = try entity(kind, try fields.requiredName(member, max: 128), call)
        guard let policy = entity.inline.first(where: { $0.name == name })?.policy else {
            throw Self.noSuchInline(kind, name)
        }
        return IAMAnswer([
            member: .string(entity.name), "PolicyName": .string(name), "PolicyDocument": Self.encoded(policy.text),
        ])
    }

    private func deleteInline(
        _ kind: IdentityEntity.Kind, _ member: String, _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(member, "PolicyName")
        let name = try fields.requiredName("PolicyName", max: 128)
        try await change(kind, try fields.requiredName(member, max: 128), call) { entity, _ throws(AWSError) in
            guard entity.inline.contains(where: { $0.name == name }) else { throw Self.noSuchInline(kind, name) }
            entity.inline.removeAll { $0.name == name }
        }
        return IAMAnswer()
    }

    private func listInline(
        _ kind: IdentityEntity.Kind, _ member: String, _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(member, "Marker", "MaxItems")
        let entity = try entity(kind, try fields.requiredName(member, max: 128), call)
        return IAMAnswer(try fields.page(entity.inline.map(\.name), by: { $0 }, "PolicyNames") { .string($0) })
    }

    // MARK: Permissions boundaries

    private func putBoundary(
        _ kind: IdentityEntity.Kind, _ member: String, _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(member, "PermissionsBoundary")
        let arn = try boundary(fields, in: call.accountID, isRequired: true)
        try await change(kind, try fields.requiredName(member, max: 128), call) { entity, _ throws(AWSError) in
            entity.boundary = arn
        }
        return IAMAnswer()
    }

    private func deleteBoundary(
        _ kind: IdentityEntity.Kind, _ member: String, _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(member)
        let name = try fields.requiredName(member, max: 128)
        try await change(kind, name, call) { entity, _ throws(AWSError) in
            guard entity.boundary != nil else {
                throw .noSuchEntity("The permissions boundary of \(kind.rawValue) \(name) cannot be found.")
            }
            entity.boundary = nil
        }
        return IAMAnswer()
    }
}
