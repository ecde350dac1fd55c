// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies

extension IAMService {
    static let roleOperations: [Operation<IAMService>] = [
        operation("CreateRole", .write, on: .newEntity(.role), IAMService.createRole),
        operation("GetRole", .read, on: .entity(.role), IAMService.getRole),
        operation("ListRoles", .read, on: .nothing, IAMService.listRoles),
        operation("UpdateRole", .write, on: .entity(.role), IAMService.updateRole),
        operation("UpdateRoleDescription", .write, on: .entity(.role), IAMService.updateRoleDescription),
        operation("UpdateAssumeRolePolicy", .write, on: .entity(.role), IAMService.updateAssumeRolePolicy),
        operation("DeleteRole", .write, on: .entity(.role), IAMService.deleteRole),
        operation("TagRole", .write, on: .entity(.role), IAMService.tagRole),
        operation("UntagRole", .write, on: .entity(.role), IAMService.untagRole),
        operation("ListRoleTags", .read, on: .entity(.role), IAMService.listRoleTags),
        // No instance profile can be made here, so a role never has one.
        operation("ListInstanceProfilesForRole", .read, on: .entity(.role), IAMService.listInstanceProfilesForRole),
    ]

    func shape(role: IdentityEntity, isFull: Bool = true) -> WireStructure {
        var members: WireStructure = [
            "Path": .string(role.path), "RoleName": .string(role.name), "RoleId": .string(role.id),
            "Arn": .string(role.arn), "CreateDate": .timestamp(role.created),
            "AssumeRolePolicyDocument": Self.encoded(shown(trust: role.trust?.text ?? "")),
        ]
        members.append("Description", ifPresent: role.description.map { .string($0) })
        members.append("MaxSessionDuration", .integer(role.maxSessionDuration))
        guard isFull else { return members }
        members.append("PermissionsBoundary", ifPresent: Self.boundaryShape(role))
        if !role.tags.isEmpty { members.append("Tags", Self.tagList(role.tags)) }
        var use = WireStructure()
        if let last = store.lastUse(of: role.id) {
            use.append("LastUsedDate", .timestamp(last.time))
            use.append("Region", .string(last.region))
        }
        members.append("RoleLastUsed", .structure(use))
        return members
    }

    // MARK: Trust policies

    /// Reads a document that is to become a trust policy. Users and roles in it are kept by their ids, so that nobody
    /// inherits trust by taking a deleted user's name.
    ///
    /// - Throws: `MalformedPolicyDocument`, also for a user or role that does not exist; `LimitExceeded`.
    func trustPolicy(_ text: String, name: String) throws(AWSError) -> StoredPolicy {
        let document: PolicyDocument
        do throws(PolicyError) {
            let bytes = Array(text.utf8)
            try PolicySizeLimit.trust.check(size: PolicySizeLimit.trust.size(of: bytes), kind: .trust)
            document = try PolicyDocument.parse(bytes, as: .trust, name: name)
        } catch {
            throw .refused(error)
        }
        for mention in document.principals where mention.kind == .aws {
            guard let place = Self.entityPlace(mention.value) else { continue }
            guard store.account(place.account).entity(place.kind, named: place.name)?.arn == mention.value else {
                throw AWSError(
                    "MalformedPolicyDocument", "Invalid principal in policy: \"AWS\":\"\(mention.value)\"",
                    recordedCode: "MalformedPolicyDocumentException")
            }
        }
        let stored = document.text { mention in
            guard mention.kind == .aws, let place = Self.entityPlace(mention.value) else { return nil }
            return store.account(place.account).entity(place.kind, named: place.name)?.id
        }
        return StoredPolicy(stored: String(decoding: stored, as: UTF8.self), as: .trust, name: name)
    }

    /// The document as it is shown: ids of users and roles that live become ARNs again.
    func shown(trust text: String) -> String {
        guard let document = try? PolicyDocument.parse(stored: Array(text.utf8), as: .trust, name: "") else {
            return text
        }
        let shown = document.text { mention in
            mention.kind == .aws ? store.entity(id: mention.value)?.arn : nil
        }
        return String(decoding: shown, as: UTF8.self)
    }

    /// The user or role that an ARN names; nil for ARNs of another kind.
    static func entityPlace(_ arn: String) -> (account: String, kind: IdentityEntity.Kind, name: String)? {
        let parts = arn.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard parts.count == 6, parts[2] == "iam" else { return nil }
        let resource = parts[5].split(separator: "/")
        guard resource.count >= 2, let name = resource.last,
            let kind = IdentityEntity.Kind(rawValue: String(resource[0])), kind != .group
        else { return nil }
        return (String(parts[4]), kind, String(name))
    }

    // MARK: Operations

    @Sendable func createRole(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(
            "RoleName", "Path", "AssumeRolePolicyDocument", "Description", "MaxSessionDuration",
            "PermissionsBoundary", "Tags")
        var role = IdentityEntity(
            kind: .role, accountID: call.accountID, name: try fields.requiredName("RoleName", max: 64),
            path: try fields.path(), id: FreshID.entity("AROA", randomBytes), created: call.time)
        role.description = try fields.text("Description", max: 1000, min: 0, as: .description)
        role.maxSessionDuration = try fields.number("MaxSessionDuration", 3600...43200) ?? 3600
        role.tags = try fields.tags(ignoringCase: true)
        role.boundary = try boundary(fields, in: call.accountID)
        role.trust = try trustPolicy(try fields.required("AssumeRolePolicyDocument"), name: role.arn)
        let new = role
        try await store.change(call.accountID) { account throws(AWSError) in
            guard account.any(.role, named: new.name) == nil else {
                throw .entityExists("Role with name \(new.name) already exists.")
            }
            guard account.roles.count < Limits.roles else { throw .limitExceeded("RolesPerAccount", Limits.roles) }
            account.put(new)
        }
        var shown = shape(role: role)
        shown["RoleLastUsed"] = nil
        return IAMAnswer(["Role": .structure(shown)])
    }

    @Sendable func getRole(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let role = try entity(.role, try input.fields("RoleName").requiredName("RoleName", max: 64), call)
        return IAMAnswer(["Role": .structure(shape(role: role))])
    }

    @Sendable func listRoles(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PathPrefix", "Marker", "MaxItems")
        let prefix = try fields.pathPrefix()
        let roles = store.account(call.accountID).all(.role).filter { $0.path.hasPrefix(prefix) }
        return IAMAnswer(
            try fields.page(roles, by: \.name, "Roles") { .structure(shape(role: $0, isFull: false)) })
    }

    @Sendable func updateRole(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("RoleName", "Description", "MaxSessionDuration")
        let description = try fields.text("Description", max: 1000, min: 0, as: .description)
        let duration = try fields.number("MaxSessionDuration", 3600...43200)
        try await change(.role, try fields.requiredName("RoleName", max: 64), call) { role, _ throws(AWSError) in
            if let description { role.description = description }
            if let duration { role.maxSessionDuration = duration }
        }
        return IAMAnswer([:])
    }

    @Sendable func updateRoleDescription(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("RoleName", "Description")
        guard let description = try fields.text("Description", max: 1000, min: 0, as: .description) else {
            throw .missing("Description")
        }
        let role = try await change(.role, try fields.requiredName("RoleName", max: 64), call) {
            role, _ throws(AWSError) in
            role.description = description
            return role
        }
        return IAMAnswer(["Role": .structure(shape(role: role))])
    }

    @Sendable func updateAssumeRolePolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("RoleName", "PolicyDocument")
        let name = try fields.requiredName("RoleName", max: 64)
        let role = try entity(.role, name, call)
        let trust = try trustPolicy(try fields.required("PolicyDocument"), name: role.arn)
        try await change(.role, name, call) { role, _ throws(AWSError) in role.trust = trust }
        return IAMAnswer()
    }

    @Sendable func deleteRole(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let name = try input.fields("RoleName").requiredName("RoleName", max: 64)
        try await store.change(call.accountID) { account throws(AWSError) in
            guard let role = account.entity(.role, named: name) else { throw .noSuchEntity(.role, name) }
            guard role.attached.isEmpty else {
                throw .deleteConflict("Cannot delete entity, must detach all policies first.")
            }
            guard role.inline.isEmpty else {
                throw .deleteConflict("Cannot delete entity, must delete policies first.")
            }
            account.remove(role)
        }
        return IAMAnswer()
    }

    @Sendable func tagRole(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await tag(.role, "RoleName", try input.fields("RoleName", "Tags"), call)
    }

    @Sendable func untagRole(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await untag(.role, "RoleName", try input.fields("RoleName", "TagKeys"), call)
    }

    @Sendable func listRoleTags(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try listTags(.role, "RoleName", try input.fields("RoleName", "Marker", "MaxItems"), call)
    }

    @Sendable func listInstanceProfilesForRole(
        _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("RoleName", "Marker", "MaxItems")
        _ = try entity(.role, try fields.requiredName("RoleName", max: 64), call)
        return IAMAnswer(try fields.page([String](), by: { $0 }, "InstanceProfiles") { .string($0) })
    }
}
