// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

extension IAMService {
    static let userOperations: [Operation<IAMService>] = [
        operation("CreateUser", .write, on: .newEntity(.user), IAMService.createUser),
        operation("GetUser", .read, on: .userOrSelf, IAMService.getUser),
        operation("ListUsers", .read, on: .nothing, IAMService.listUsers),
        operation("UpdateUser", .write, on: .entity(.user), IAMService.updateUser),
        operation("DeleteUser", .write, on: .entity(.user), IAMService.deleteUser),
        operation("TagUser", .write, on: .entity(.user), IAMService.tagUser),
        operation("UntagUser", .write, on: .entity(.user), IAMService.untagUser),
        operation("ListUserTags", .read, on: .entity(.user), IAMService.listUserTags),
        // What cannot be made here cannot be there either.
        operation("ListSSHPublicKeys", .read, on: .userOrSelf, IAMService.listSSHPublicKeys),
        operation("ListSigningCertificates", .read, on: .userOrSelf, IAMService.listSigningCertificates),
        operation(
            "ListServiceSpecificCredentials", .read, on: .userOrSelf, IAMService.listServiceSpecificCredentials),
    ]

    static func shape(_ user: IdentityEntity, isFull: Bool = true) -> WireValue {
        var members: WireStructure = [
            "Path": .string(user.path), "UserName": .string(user.name), "UserId": .string(user.id),
            "Arn": .string(user.arn), "CreateDate": .timestamp(user.created),
        ]
        guard isFull else { return .structure(members) }
        members.append("PermissionsBoundary", ifPresent: boundaryShape(user))
        if !user.tags.isEmpty { members.append("Tags", tagList(user.tags)) }
        return .structure(members)
    }

    static func boundaryShape(_ entity: IdentityEntity) -> WireValue? {
        entity.boundary.map {
            .structure([
                "PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": .string($0),
            ])
        }
    }

    @Sendable func createUser(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "Path", "PermissionsBoundary", "Tags")
        var user = IdentityEntity(
            kind: .user, accountID: call.accountID, name: try fields.requiredName("UserName", max: 64),
            path: try fields.path(), id: FreshID.entity("AIDA", randomBytes), created: call.time)
        user.tags = try fields.tags(ignoringCase: true)
        user.boundary = try boundary(fields, in: call.accountID)
        let new = user
        try await store.change(call.accountID) { account throws(AWSError) in
            guard account.any(.user, named: new.name) == nil else {
                throw .entityExists("User with name \(new.name) already exists.")
            }
            guard account.users.count < Limits.users else { throw .limitExceeded("UsersPerAccount", Limits.users) }
            account.put(new)
        }
        return IAMAnswer(["User": Self.shape(user)])
    }

    @Sendable func getUser(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName")
        if call.caller.kind == .root, try fields.name("UserName", max: 128) == nil {
            return IAMAnswer([
                "User": .structure([
                    "UserId": .string(call.accountID), "Arn": .string("arn:aws:iam::\(call.accountID):root"),
                    "CreateDate": .timestamp(Timestamp(seconds: 0)),
                ])
            ])
        }
        let user = try entity(.user, try userName(fields, call), call)
        var members: WireStructure = [:]
        if case .structure(let shown) = Self.shape(user) { members = shown }
        members.append("PasswordLastUsed", ifPresent: store.lastUse(of: user.id).map { .timestamp($0.time) })
        return IAMAnswer(["User": .structure(members)])
    }

    @Sendable func listUsers(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PathPrefix", "Marker", "MaxItems")
        let prefix = try fields.pathPrefix()
        let users = store.account(call.accountID).all(.user).filter { $0.path.hasPrefix(prefix) }
        return IAMAnswer(try fields.page(users, by: \.name, "Users") { Self.shape($0, isFull: false) })
    }

    @Sendable func updateUser(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "NewPath", "NewUserName")
        let name = try fields.requiredName("UserName", max: 128)
        let newName = try fields.name("NewUserName", max: 64)
        let newPath = fields.structure["NewPath"] == nil ? nil : try fields.path("NewPath")
        try await store.change(call.accountID) { account throws(AWSError) in
            guard var user = account.entity(.user, named: name) else { throw .noSuchEntity(.user, name) }
            if let newName, newName.lowercased() != name.lowercased(),
                account.any(.user, named: newName) != nil
            {
                throw .entityExists("User with name \(newName) already exists.")
            }
            account.remove(user)
            if let newName { user.name = newName }
            if let newPath { user.path = newPath }
            account.put(user)
            for serial in user.devices {
                guard var device = account.device(serial: serial) else { continue }
                device.userName = user.name
                account.put(device)
            }
        }
        return IAMAnswer()
    }

    @Sendable func deleteUser(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let name = try input.fields("UserName").requiredName("UserName", max: 128)
        try await store.change(call.accountID) { account throws(AWSError) in
            guard let user = account.entity(.user, named: name) else { throw .noSuchEntity(.user, name) }
            func conflict(_ words: String) -> AWSError { .deleteConflict("Cannot delete entity, must \(words) first.") }
            guard user.loginProfile == nil else { throw conflict("delete login profile") }
            guard user.accessKeys.isEmpty else { throw conflict("delete access keys") }
            guard user.devices.isEmpty else { throw conflict("delete MFA device") }
            guard user.groups.isEmpty else { throw conflict("remove users from group") }
            guard user.attached.isEmpty else { throw conflict("detach all policies") }
            guard user.inline.isEmpty else { throw conflict("delete policies") }
            account.remove(user)
        }
        return IAMAnswer()
    }

    @Sendable func tagUser(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await tag(.user, "UserName", try input.fields("UserName", "Tags"), call)
    }

    @Sendable func untagUser(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try await untag(.user, "UserName", try input.fields("UserName", "TagKeys"), call)
    }

    @Sendable func listUserTags(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try listTags(.user, "UserName", try input.fields("UserName", "Marker", "MaxItems"), call)
    }

    // MARK: Tags of users and roles

    func tag(
        _ kind: IdentityEntity.Kind, _ member: String, _ fields: IAMFields, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let name = try fields.requiredName(member, max: 128)
        let tags = try fields.tags(ignoringCase: true)
        try await change(kind, name, call) { entity, _ throws(AWSError) in
            try Self.merge(tags, into: &entity.tags, ignoringCase: true)
        }
        return IAMAnswer()
    }

    func untag(
        _ kind: IdentityEntity.Kind, _ member: String, _ fields: IAMFields, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let name = try fields.requiredName(member, max: 128)
        let keys = Set(try fields.tagKeys().map { $0.lowercased() })
        try await change(kind, name, call) { entity, _ throws(AWSError) in
            entity.tags.removeAll { keys.contains($0.key.lowercased()) }
        }
        return IAMAnswer()
    }

    func listTags(
        _ kind: IdentityEntity.Kind, _ member: String, _ fields: IAMFields, _ call: Call
    ) throws(AWSError) -> IAMAnswer {
        let entity = try entity(kind, try fields.requiredName(member, max: 128), call)
        return IAMAnswer(try Self.tagPage(entity.tags, fields))
    }

    static func tagPage(_ tags: [IdentityEntity.Tag], _ fields: IAMFields) throws(AWSError) -> WireStructure {
        try fields.page(tags, by: \.key, "Tags") {
            .structure(["Key": .string($0.key), "Value": .string($0.value)])
        }
    }

    // MARK: What a user never has here

    @Sendable func listSSHPublicKeys(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try nothing("SSHPublicKeys", try input.fields("UserName", "Marker", "MaxItems"), call)
    }

    @Sendable func listSigningCertificates(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        try nothing("Certificates", try input.fields("UserName", "Marker", "MaxItems"), call)
    }

    @Sendable func listServiceSpecificCredentials(
        _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "ServiceName", "AllUsers", "Marker", "MaxItems")
        return try nothing("ServiceSpecificCredentials", fields, call)
    }

    private func nothing(_ member: String, _ fields: IAMFields, _ call: Call) throws(AWSError) -> IAMAnswer {
        _ = try entity(.user, try userName(fields, call), call)
        return IAMAnswer(try fields.page([String](), by: { $0 }, member) { .string($0) })
    }
}
