// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

extension IAMService {
    static let groupOperations: [Operation<IAMService>] = [
        operation("CreateGroup", .write, on: .newEntity(.group), IAMService.createGroup),
        operation("GetGroup", .read, on: .entity(.group), IAMService.getGroup),
        operation("ListGroups", .read, on: .nothing, IAMService.listGroups),
        operation("UpdateGroup", .write, on: .entity(.group), IAMService.updateGroup),
        operation("DeleteGroup", .write, on: .entity(.group), IAMService.deleteGroup),
        operation("AddUserToGroup", .write, on: .entity(.group), IAMService.addUserToGroup),
        operation("RemoveUserFromGroup", .write, on: .entity(.group), IAMService.removeUserFromGroup),
        operation("ListGroupsForUser", .read, on: .entity(.user), IAMService.listGroupsForUser),
    ]

    static func shape(group: IdentityEntity) -> WireValue {
        .structure([
            "Path": .string(group.path), "GroupName": .string(group.name), "GroupId": .string(group.id),
            "Arn": .string(group.arn), "CreateDate": .timestamp(group.created),
        ])
    }

    @Sendable func createGroup(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("GroupName", "Path")
        let group = IdentityEntity(
            kind: .group, accountID: call.accountID, name: try fields.requiredName("GroupName", max: 128),
            path: try fields.path(), id: FreshID.entity("AGPA", randomBytes), created: call.time)
        try await store.change(call.accountID) { account throws(AWSError) in
            guard account.any(.group, named: group.name) == nil else {
                throw .entityExists("Group with name \(group.name) already exists.")
            }
            guard account.groups.count < Limits.groups else { throw .limitExceeded("GroupsPerAccount", Limits.groups) }
            account.put(group)
        }
        return IAMAnswer(["Group": Self.shape(group: group)])
    }

    @Sendable func getGroup(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("GroupName", "Marker", "MaxItems")
        let group = try entity(.group, try fields.requiredName("GroupName", max: 128), call)
        let users = store.account(call.accountID).members(of: group.name)
        var members: WireStructure = ["Group": Self.shape(group: group)]
        let page = try fields.page(users, by: \.name, "Users") { Self.shape($0, isFull: false) }
        members.members += page.members
        return IAMAnswer(members)
    }

    @Sendable func listGroups(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PathPrefix", "Marker", "MaxItems")
        let prefix = try fields.pathPrefix()
        let groups = store.account(call.accountID).all(.group).filter { $0.path.hasPrefix(prefix) }
        return IAMAnswer(try fields.page(groups, by: \.name, "Groups") { Self.shape(group: $0) })
    }

    @Sendable func updateGroup(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("GroupName", "NewPath", "NewGroupName")
        let name = try fields.requiredName("GroupName", max: 128)
        let newName = try fields.name("NewGroupName", max: 128)
        let newPath = fields.structure["NewPath"] == nil ? nil : try fields.path("NewPath")
        try await store.change(call.accountID) { account throws(AWSError) in
            guard var group = account.entity(.group, named: name) else { throw .noSuchEntity(.group, name) }
            if let newName, newName.lowercased() != name.lowercased(),
                account.any(.group, named: newName) != nil
            {
                throw .entityExists("Group with name \(newName) already exists.")
            }
            account.remove(group)
            if let newName { group.name = newName }
            if let newPath { group.path = newPath }
            account.put(group)
            for var user in account.members(of: name) where group.name != name {
                user.groups = user.groups.map { $0 == name ? group.name : $0 }
                account.put(user)
            }
        }
        return IAMAnswer()
    }

    @Sendable func deleteGroup(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let name = try input.fields("GroupName").requiredName("GroupName", max: 128)
        try await store.change(call.accountID) { account throws(AWSError) in
            guard let group = account.entity(.group, named: name) else { throw .noSuchEntity(.group, name) }
            func conflict(_ words: String) -> AWSError { .deleteConflict("Cannot delete entity, must \(words) first.") }
            guard account.members(of: name).isEmpty else { throw conflict("remove users from group") }
            guard group.attached.isEmpty else { throw conflict("detach all policies") }
            guard group.inline.isEmpty else { throw conflict("delete policies") }
            account.remove(group)
        }
        return IAMAnswer()
    }

    @Sendable func addUserToGroup(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("GroupName", "UserName")
        let group = try fields.requiredName("GroupName", max: 128)
        try await change(.user, try fields.requiredName("UserName", max: 128), call) { user, account throws(AWSError) in
            guard account.entity(.group, named: group) != nil else { throw .noSuchEntity(.group, group) }
            guard !user.groups.contains(group) else { return }
            guard user.groups.count < Limits.groupsPerUser else {
                throw .limitExceeded("GroupsPerUser", Limits.groupsPerUser)
            }
            user.groups.append(group)
        }
        return IAMAnswer()
    }

    @Sendable func removeUserFromGroup(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("GroupName", "UserName")
        let group = try fields.requiredName("GroupName", max: 128)
        try await change(.user, try fields.requiredName("UserName", max: 128), call) { user, account throws(AWSError) in
            guard account.entity(.group, named: group) != nil else { throw .noSuchEntity(.group, group) }
            user.groups.removeAll { $0 == group }
        }
        return IAMAnswer()
    }

    @Sendable func listGroupsForUser(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "Marker", "MaxItems")
        let user = try entity(.user, try fields.requiredName("UserName", max: 128), call)
        let account = store.account(call.accountID)
        let groups = account.all(.group).filter { user.groups.contains($0.name) }
        return IAMAnswer(try fields.page(groups, by: \.name, "Groups") { Self.shape(group: $0) })
    }
}
