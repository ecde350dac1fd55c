// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies

extension IAMService {
    static let accountOperations: [Operation<IAMService>] = [
        operation("CreateAccountAlias", .write, on: .nothing, IAMService.createAccountAlias),
        operation("ListAccountAliases", .read, on: .nothing, IAMService.listAccountAliases),
        operation("DeleteAccountAlias", .write, on: .nothing, IAMService.deleteAccountAlias),
        operation("GetAccountSummary", .read, on: .nothing, IAMService.getAccountSummary),
        operation("GetAccountAuthorizationDetails", .read, on: .nothing, IAMService.getAccountAuthorizationDetails),
    ]

    /// 3 to 63 lower-case letters, digits and single dashes inside; not twelve digits.
    private static func isAlias(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard (3...63).contains(bytes.count), bytes.first != UInt8(ascii: "-"), bytes.last != UInt8(ascii: "-"),
            !text.contains("--"), !(bytes.count == 12 && bytes.allSatisfy { (0x30...0x39).contains($0) })
        else { return false }
        return bytes.allSatisfy {
            (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
        }
    }

    @Sendable func createAccountAlias(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let alias = try input.fields("AccountAlias").required("AccountAlias")
        guard Self.isAlias(alias) else {
            throw .constraint(
                "AccountAlias", alias,
                "Member must satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$")
        }
        if let owner = store.account(ofAlias: alias), owner != call.accountID {
            throw .entityExists("The account alias \(alias) already exists.")
        }
        try await changeSettings(call) { settings throws(AWSError) in settings.alias = alias }
        return IAMAnswer()
    }

    @Sendable func listAccountAliases(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("Marker", "MaxItems")
        let aliases = [store.account(call.accountID).settings.alias].compactMap { $0 }
        return IAMAnswer(try fields.page(aliases, by: { $0 }, "AccountAliases") { .string($0) })
    }

    @Sendable func deleteAccountAlias(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let alias = try input.fields("AccountAlias").required("AccountAlias")
        try await changeSettings(call) { settings throws(AWSError) in
            guard settings.alias == alias else {
                throw .noSuchEntity("The account alias with name \(alias) cannot be found.")
            }
            settings.alias = nil
        }
        return IAMAnswer()
    }

    /// A map, which the Query protocol writes as entries.
    @Sendable func getAccountSummary(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        _ = try input.fields()
        let account = store.account(call.accountID)
        let rootKeyCount = try await rootKeys.all(of: call.accountID).isEmpty ? 0 : 1
        let devices = account.devices.values
        let versions = account.customerPolicies.reduce(0) { $0 + $1.versions.count }
        let counts: [(String, Int)] = [
            ("AccessKeysPerUserQuota", Limits.keysPerUser), ("AccountAccessKeysPresent", rootKeyCount),
            ("AccountMFAEnabled", devices.contains { $0.isRoot } ? 1 : 0),
            ("AccountSigningCertificatesPresent", 0),
            ("AssumeRolePolicySizeQuota", PolicySizeLimit.trust.maximum),
            ("AttachedPoliciesPerGroupQuota", Limits.policiesPerEntity),
            ("AttachedPoliciesPerRoleQuota", Limits.policiesPerEntity),
            ("AttachedPoliciesPerUserQuota", Limits.policiesPerEntity),
            ("GroupPolicySizeQuota", PolicySizeLimit.inlineGroup("").maximum), ("Groups", account.groups.count),
            ("GroupsPerUserQuota", Limits.groupsPerUser), ("GroupsQuota", Limits.groups),
            ("InstanceProfiles", 0), ("InstanceProfilesQuota", 0), ("MFADevices", devices.count),
            ("MFADevicesInUse", devices.count { $0.enabled != nil }), ("Policies", account.policies.count),
            ("PoliciesQuota", Limits.policies), ("PolicySizeQuota", PolicySizeLimit.managed.maximum),
            ("PolicyVersionsInUse", versions),
            ("PolicyVersionsInUseQuota", Limits.policies * Limits.versionsPerPolicy),
            ("Providers", account.providers.count),
            ("RolePolicySizeQuota", PolicySizeLimit.inlineRole("").maximum), ("Roles", account.roles.count),
            ("RolesQuota", Limits.roles), ("ServerCertificates", 0), ("ServerCertificatesQuota", 0),
            ("SigningCertificatesPerUserQuota", 0),
            ("UserPolicySizeQuota", PolicySizeLimit.inlineUser("").maximum), ("Users", account.users.count),
            ("UsersQuota", Limits.users), ("VersionsPerPolicyQuota", Limits.versionsPerPolicy),
        ]
        let entries = counts.map { name, count in
            WireStructure.Member("entry", .structure(["key": .string(name), "value": .integer(Int64(count))]))
        }
        return IAMAnswer(["SummaryMap": .structure(WireStructure(entries))])
    }

    // MARK: Everything at once

    @Sendable func getAccountAuthorizationDetails(
        _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("Filter", "Marker", "MaxItems")
        let kinds = ["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"]
        let filter = try fields.strings("Filter") ?? []
        for word in filter where !kinds.contains(word) {
            throw .constraint("Filter", word, "Member must satisfy enum value set: [\(kinds.joined(separator: ", "))]")
        }
        func isWanted(_ kind: String) -> Bool { filter.isEmpty || filter.contains(kind) }
        let account = store.account(call.accountID)
        var rows: [(name: String, list: String, value: WireValue)] = []
        if isWanted("Group") {
            rows += account.all(.group).map { ("1/\($0.name)", "GroupDetailList", detail($0, in: account)) }
        }
        if isWanted("Role") {
            rows += account.all(.role).map { ("2/\($0.name)", "RoleDetailList", detail($0, in: account)) }
        }
        if isWanted("User") {
            rows += account.all(.user).map { ("3/\($0.name)", "UserDetailList", detail($0, in: account)) }
        }
        var policies: [ManagedPolicy] = []
        if isWanted("LocalManagedPolicy") { policies += account.customerPolicies }
        if isWanted("AWSManagedPolicy") {
            policies += AWSManagedPolicies.all.filter { !account.entities(attachedTo: $0.arn).isEmpty }
        }
        rows += policies.map { policy in
            var members = Self.shape(policy: policy, in: account)
            members.append(
                "PolicyVersionList",
                .list(policy.versions.map { .structure(Self.shape($0, of: policy, hasDocument: true)) }))
            return ("4/\(policy.arn)", "Policies", .structure(members))
        }
        rows.sort { $0.name.lowercased() < $1.name.lowercased() }
        let page = try fields.page(rows, by: \.name, "Rows") { .string($0.name) }
        let shown = Set((page["Rows"]?.asList ?? []).compactMap(\.asString))
        var members = WireStructure()
        for list in ["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"] {
            members.append(list, .list(rows.filter { $0.list == list && shown.contains($0.name) }.map(\.value)))
        }
        members.members += page.members.filter { $0.name != "Rows" }
        return IAMAnswer(members)
    }

    private func detail(_ entity: IdentityEntity, in account: AccountIdentities) -> WireValue {
        let kind = entity.kind
        var members: WireStructure
        switch kind {
        case .user: members = Self.shape(entity).asStructure ?? [:]
        case .group: members = Self.shape(group: entity).asStructure ?? [:]
        case .role:
            members = shape(role: entity)
            members["Description"] = nil
            members["MaxSessionDuration"] = nil
            members.append("InstanceProfileList", .list([]))
        }
        let inline = entity.inline.map {
            WireValue.structure(["PolicyName": .string($0.name), "PolicyDocument": Self.encoded($0.policy.text)])
        }
        let listName =
            switch kind {
            case .user: "UserPolicyList"
            case .group: "GroupPolicyList"
            case .role: "RolePolicyList"
            }
        members.append(listName, .list(inline))
        if kind == .user { members.append("GroupList", .list(entity.groups.map { .string($0) })) }
        members.append(
            "AttachedManagedPolicies",
            .list(
                entity.attached.compactMap { account.policy(arn: $0) }.map {
                    .structure(["PolicyName": .string($0.name), "PolicyArn": .string($0.arn)])
                }))
        return .structure(members)
    }
}
