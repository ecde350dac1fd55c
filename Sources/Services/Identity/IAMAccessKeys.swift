// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage

extension IAMService {
    static let keyOperations: [Operation<IAMService>] = [
        operation("CreateAccessKey", .write, on: .userOrSelf, IAMService.createAccessKey),
        operation("ListAccessKeys", .read, on: .userOrSelf, IAMService.listAccessKeys),
        operation("UpdateAccessKey", .write, on: .userOrSelf, IAMService.updateAccessKey),
        operation("DeleteAccessKey", .write, on: .userOrSelf, IAMService.deleteAccessKey),
        operation("GetAccessKeyLastUsed", .read, on: .nothing, IAMService.getAccessKeyLastUsed),
    ]

    /// Whether a call is about the keys of the account's root: made by root, and naming nobody.
    private func isOfRoot(_ fields: IAMFields, _ call: Call) -> Bool {
        call.caller.kind == .root && fields.structure["UserName"] == nil
    }

    private static func noSuchKey(_ id: String) -> AWSError {
        .noSuchEntity("The Access Key with id \(id) cannot be found.")
    }

    /// The only time that the secret is shown; the event has the rest.
    @Sendable func createAccessKey(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName")
        let id = FreshID.accessKey("AKIA", randomBytes)
        let secret = FreshID.secret(randomBytes)
        if isOfRoot(fields, call) {
            try await rootKeys.create(id, secret, in: call.accountID, now: call.time)
            let shown: WireStructure = [
                "AccessKeyId": .string(id), "Status": "Active", "CreateDate": .timestamp(call.time),
            ]
            var full = shown
            full.append("SecretAccessKey", .string(secret.revealed))
            return IAMAnswer(["AccessKey": .structure(full)], recorded: ["AccessKey": .structure(shown)])
        }
        let name = try userName(fields, call)
        let sealed: [UInt8]
        do {
            sealed = try rootSecret.seal(Array(secret.revealed.utf8), context: CredentialRecord.context(id))
        } catch {
            throw .internalFailure(cause: error.description)
        }
        try await change(.user, name, call) { user, _ throws(AWSError) in
            guard user.accessKeys.count < Limits.keysPerUser else {
                throw .limitExceeded("AccessKeysPerUser", Limits.keysPerUser)
            }
            user.accessKeys.append(.init(id: id, isActive: true, created: call.time, sealedSecret: sealed))
        }
        let shown: WireStructure = [
            "UserName": .string(name), "AccessKeyId": .string(id), "Status": "Active",
            "CreateDate": .timestamp(call.time),
        ]
        var full = shown
        full.append("SecretAccessKey", .string(secret.revealed))
        return IAMAnswer(["AccessKey": .structure(full)], recorded: ["AccessKey": .structure(shown)])
    }

    @Sendable func listAccessKeys(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "Marker", "MaxItems")
        if isOfRoot(fields, call) {
            let keys = try await rootKeys.all(of: call.accountID)
            return IAMAnswer(
                try fields.page(keys, by: \.id, "AccessKeyMetadata") { key in
                    .structure([
                        "AccessKeyId": .string(key.id), "Status": .string(key.isActive ? "Active" : "Inactive"),
                        "CreateDate": .timestamp(key.created),
                    ])
                })
        }
        let user = try entity(.user, try userName(fields, call), call)
        return IAMAnswer(
            try fields.page(user.accessKeys.sorted { $0.id < $1.id }, by: \.id, "AccessKeyMetadata") { key in
                .structure([
                    "UserName": .string(user.name), "AccessKeyId": .string(key.id),
                    "Status": .string(key.isActive ? "Active" : "Inactive"), "CreateDate": .timestamp(key.created),
                ])
            })
    }

    @Sendable func updateAccessKey(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "AccessKeyId", "Status")
        let id = try fields.required("AccessKeyId", max: 128, min: 16)
        guard let status = try fields.word("Status", ["Active", "Inactive"]) else { throw .missing("Status") }
        if isOfRoot(fields, call) {
            guard try await rootKeys.change(id, in: call.accountID, isActive: status == "Active") else {
                throw Self.noSuchKey(id)
            }
            return IAMAnswer()
        }
        try await change(.user, try userName(fields, call), call) { user, _ throws(AWSError) in
            guard let index = user.accessKeys.firstIndex(where: { $0.id == id }) else { throw Self.noSuchKey(id) }
            user.accessKeys[index].isActive = status == "Active"
        }
        return IAMAnswer()
    }

    @Sendable func deleteAccessKey(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "AccessKeyId")
        let id = try fields.required("AccessKeyId", max: 128, min: 16)
        if isOfRoot(fields, call) {
            guard try await rootKeys.change(id, in: call.accountID, isActive: nil) else { throw Self.noSuchKey(id) }
            return IAMAnswer()
        }
        try await change(.user, try userName(fields, call), call) { user, _ throws(AWSError) in
            guard user.accessKeys.contains(where: { $0.id == id }) else { throw Self.noSuchKey(id) }
            user.accessKeys.removeAll { $0.id == id }
        }
        return IAMAnswer()
    }

    @Sendable func getAccessKeyLastUsed(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let id = try input.fields("AccessKeyId").required("AccessKeyId", max: 128, min: 16)
        guard let user = store.user(ofAccessKey: id), user.accountID == call.accountID else {
            // AWS tells nobody whether a key exists.
            throw AWSError(
                "AccessDenied", status: 403,
                "User: \(call.caller.arn ?? "anonymous") is not authorized to perform: iam:GetAccessKeyLastUsed on "
                    + "resource: access key \(id)")
        }
        var use: WireStructure = [:]
        if let last = store.lastUse(of: id) {
            use.append("LastUsedDate", .timestamp(last.time))
            use.append("ServiceName", .string(last.service))
            use.append("Region", .string(last.region))
        } else {
            use.append("ServiceName", "N/A")
            use.append("Region", "N/A")
        }
        return IAMAnswer(["UserName": .string(user.name), "AccessKeyLastUsed": .structure(use)])
    }
}
