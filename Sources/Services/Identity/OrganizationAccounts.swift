// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies

// MARK: - The organization, its accounts and units

extension OrganizationService {
    /// What stands in events in place of names and addresses of people.
    private static let hidden: WireValue = "****"

    static let accountOperations: [Operation<OrganizationService>] = [
        operation("CreateOrganization", .write, OrganizationService.createOrganization),
        operation("DescribeOrganization", .read, OrganizationService.describeOrganization),
        operation("DeleteOrganization", .write, OrganizationService.deleteOrganization),
        operation(
            "CreateAccount", .write,
            recorded: { request in
                var parameters = request.parameters
                for name in ["Email", "AccountName"] where parameters[name] != nil { parameters[name] = hidden }
                return WireValue.structure(parameters).firstLettersLowered
            }, OrganizationService.createAccount),
        operation("DescribeCreateAccountStatus", .read, OrganizationService.describeCreateAccountStatus),
        operation("ListCreateAccountStatus", .read, OrganizationService.listCreateAccountStatus),
        operation("ListAccounts", .read, OrganizationService.listAccounts),
        operation("ListAccountsForParent", .read, on: ["ParentId"], OrganizationService.listAccountsForParent),
        operation("DescribeAccount", .read, on: ["AccountId"], OrganizationService.describeAccount),
        operation(
            "MoveAccount", .write, on: ["AccountId", "SourceParentId", "DestinationParentId"],
            OrganizationService.moveAccount),
        operation("ListRoots", .read, OrganizationService.listRoots),
        operation("ListChildren", .read, on: ["ParentId"], OrganizationService.listChildren),
        operation("ListParents", .read, on: ["ChildId"], OrganizationService.listParents),
        operation("CreateOrganizationalUnit", .write, on: ["ParentId"], OrganizationService.createUnit),
        operation("DescribeOrganizationalUnit", .read, on: ["OrganizationalUnitId"], OrganizationService.describeUnit),
        operation("UpdateOrganizationalUnit", .write, on: ["OrganizationalUnitId"], OrganizationService.updateUnit),
        operation("DeleteOrganizationalUnit", .write, on: ["OrganizationalUnitId"], OrganizationService.deleteUnit),
        operation("ListOrganizationalUnitsForParent", .read, on: ["ParentId"], OrganizationService.listUnits),
    ]

    // MARK: The organization

    private func shape(_ organization: Organization) -> WireValue {
        .structure([
            "Id": .string(organization.id), "Arn": .string(organization.arn), "FeatureSet": "ALL",
            "MasterAccountArn": .string(organization.arn(account: organization.management)),
            "MasterAccountId": .string(organization.management),
            "MasterAccountEmail": .string(organization.accounts[organization.management]?.email ?? ""),
            // An organization with all features has service control policies to use, whether or not they are enabled in
            // its root; only the root's PolicyTypes tell that.
            "AvailablePolicyTypes": .list(
                Organization.PolicyType.allCases.filter { $0 == .serviceControl || organization.types.contains($0) }
                    .map { .structure(["Type": .string($0.rawValue), "Status": "ENABLED"]) }),
        ])
    }

    @Sendable func createOrganization(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("FeatureSet")
        guard try fields.string("FeatureSet") ?? "ALL" == "ALL" else {
            throw .organizationInput("This server has organizations with the feature set ALL alone.")
        }
        let (id, root) = (freshID("o-", 10), freshID("r-", 4))
        let organization = try await store.change { state throws(AWSError) in
            // One data folder has one organization: whoever is not in it belongs to nobody.
            guard state == nil else { throw .alreadyInOrganization }
            var organization = Organization(id: id, rootID: root, management: call.accountID)
            organization.accounts[call.accountID] = Organization.Account(
                id: call.accountID, name: "management", email: "root@\(call.accountID).invalid", joined: call.time,
                method: "INVITED", parent: root)
            state = organization
            return organization
        }
        return OrganizationAnswer(["Organization": shape(organization)])
    }

    @Sendable func describeOrganization(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        _ = try input.fields()
        return OrganizationAnswer(["Organization": shape(try own(call))])
    }

    @Sendable func deleteOrganization(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        _ = try input.fields()
        _ = try governed(call, mayDelegate: false)
        try await store.change { state throws(AWSError) in
            guard let organization = state, organization.accounts.count == 1, organization.units.isEmpty,
                organization.policies.values.allSatisfy(\.isDefault)
            else {
                throw .organizationConflict(
                    "OrganizationNotEmptyException",
                    "The organization isn't empty. To delete an organization, you must first remove all accounts "
                        + "except the management account, delete all OUs, and delete all policies.")
            }
            state = nil
        }
        return OrganizationAnswer()
    }

    // MARK: Accounts

    func shape(_ account: Organization.Account, _ organization: Organization) -> WireValue {
        .structure([
            "Id": .string(account.id), "Arn": .string(organization.arn(account: account.id)),
            "Email": .string(account.email), "Name": .string(account.name),
            "Status": account.isClosed ? "SUSPENDED" : "ACTIVE", "State": account.isClosed ? "SUSPENDED" : "ACTIVE",
            "JoinedMethod": .string(account.method), "JoinedTimestamp": .timestamp(account.joined),
        ])
    }

    /// Makes an account, with the role by which the management account gets into it.
    @Sendable func createAccount(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("Email", "AccountName", "RoleName", "IamUserAccessToBilling", "Tags")
        let email = try required(fields, "Email")
        let name = try required(fields, "AccountName")
        guard (6...64).contains(email.utf8.count), email.split(separator: "@").count == 2, !email.contains(" ") else {
            throw .organizationInput("You provided an e-mail address that is not valid.")
        }
        guard (1...50).contains(name.unicodeScalars.count) else {
            throw .organizationInput("AccountName must have 1 to 50 characters.")
        }
        let roleName = try fields.string("RoleName") ?? "OrganizationAccountAccessRole"
        guard (1...64).contains(roleName.utf8.count), roleName.utf8.allSatisfy(STSFields.isNameByte) else {
            throw .organizationInput("RoleName must match [\\w+=,.@-]{1,64}.")
        }
        let tags = try Self.tags(fields)
        let organization = try governed(call, mayDelegate: false)
        let known = Array(organization.accounts.values) + organization.former
        guard !known.contains(where: { $0.email.lowercased() == email.lowercased() }) else {
            // As at AWS, only the request's status says so.
            let failed = Organization.Request(
                id: freshID("car-", 32), account: "", name: name, requested: call.time, failure: "EMAIL_ALREADY_EXISTS")
            try await change(call) { organization throws(AWSError) in organization.keep(failed) }
            return Self.promise(failed)
        }
        guard organization.accounts.count < Limits.accounts else {
            throw .organizationLimit("The organization has as many accounts as it may have.")
        }
        var id = FreshID.account(randomBytes)
        while organization.accounts[id] != nil || identities.has(account: id) { id = FreshID.account(randomBytes) }
        let account = Organization.Account(
            id: id, name: name, email: email, joined: call.time, method: "CREATED", parent: organization.rootID)
        try await identities.change(id) { [self] identities throws(AWSError) in
            identities.put(accessRole(roleName, in: account.id, for: organization.management, call.time))
        }
        let request = Organization.Request(
            id: freshID("car-", 32), account: id, name: name, requested: call.time)
        try await change(call) { organization throws(AWSError) in
            organization.accounts[account.id] = account
            organization.attachDefaults(to: account.id)
            organization.keep(request)
            if !tags.isEmpty { organization.tags[account.id] = tags }
        }
        return Self.promise(request)
    }

    /// As at AWS the answer only promises; whoever asks for the status finds the account, or why there is none.
    private static func promise(_ request: Organization.Request) -> OrganizationAnswer {
        var status: WireStructure = [
            "Id": .string(request.id), "AccountName": .string(request.name), "State": "IN_PROGRESS",
            "RequestedTimestamp": .timestamp(request.requested),
        ]
        let answer: WireStructure = ["CreateAccountStatus": .structure(status)]
        status["AccountName"] = hidden
        status["RequestedTimestamp"] = .string(request.requested.recordForm)
        return OrganizationAnswer(answer, recorded: ["CreateAccountStatus": .structure(status)])
    }

    private func accessRole(
        _ name: String, in account: String, for management: String, _ now: Timestamp
    ) -> IdentityEntity {
        var role = IdentityEntity(
            kind: .role, accountID: account, name: name, path: "/", id: FreshID.entity("AROA", randomBytes),
            created: now)
        role.trust = StoredPolicy(
            stored: #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"#
                + #""arn:aws:iam::\#(management):root"},"Action":"sts:AssumeRole"}]}"#,
            as: .trust, name: role.arn)
        role.inline = [
            (
                "AdministratorAccess",
                StoredPolicy(
                    stored: #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
                    as: .identity, name: "AdministratorAccess")
            )
        ]
        return role
    }

    private func shape(_ request: Organization.Request) -> WireValue {
        var members: WireStructure = [
            "Id": .string(request.id), "AccountName": .string(request.name), "State": .string(request.state),
            "RequestedTimestamp": .timestamp(request.requested), "CompletedTimestamp": .timestamp(request.requested),
        ]
        if let failure = request.failure {
            members.append("FailureReason", .string(failure))
        } else {
            members.append("AccountId", .string(request.account))
        }
        return .structure(members)
    }

    @Sendable func describeCreateAccountStatus(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let id = try required(try input.fields("CreateAccountRequestId"), "CreateAccountRequestId")
        guard let request = try governed(call).requests.first(where: { $0.id == id }) else {
            throw .organizationConflict(
                "CreateAccountStatusNotFoundException", "You specified an account creation request that doesn't exist.")
        }
        return OrganizationAnswer(["CreateAccountStatus": shape(request)])
    }

    @Sendable func listCreateAccountStatus(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("States", "NextToken", "MaxResults")
        let states = try fields.strings("States")
        let requests = try governed(call).requests.filter { states?.contains($0.state) ?? true }
        return try page(requests, fields, named: "CreateAccountStatuses", by: \.id) { shape($0) }
    }

    @Sendable func listAccounts(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("NextToken", "MaxResults")
        let organization = try governed(call)
        return try page(Array(organization.accounts.values), fields, named: "Accounts", by: \.id) {
            shape($0, organization)
        }
    }

    @Sendable func listAccountsForParent(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("ParentId", "NextToken", "MaxResults")
        let organization = try governed(call)
        let parent = try required(fields, "ParentId")
        guard organization.isParent(parent) else { throw .noSuchParent }
        let accounts = organization.accounts.values.filter { $0.parent == parent }
        return try page(accounts, fields, named: "Accounts", by: \.id) { shape($0, organization) }
    }

    @Sendable func describeAccount(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let id = try required(try input.fields("AccountId"), "AccountId")
        let organization = try governed(call)
        guard let account = organization.accounts[id] else { throw .noSuchAccount }
        return OrganizationAnswer(["Account": shape(account, organization)])
    }

    @Sendable func moveAccount(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("AccountId", "SourceParentId", "DestinationParentId")
        let id = try required(fields, "AccountId")
        let source = try required(fields, "SourceParentId")
        let destination = try required(fields, "DestinationParentId")
        try await change(call) { organization throws(AWSError) in
            guard let account = organization.accounts[id] else { throw .noSuchAccount }
            guard organization.isParent(source), account.parent == source else {
                throw .organizationConflict(
                    "SourceParentNotFoundException", "You specified a source parent that doesn't exist.")
            }
            guard organization.isParent(destination) else {
                throw .organizationConflict(
                    "DestinationParentNotFoundException", "You specified a destination parent that doesn't exist.")
            }
            guard source != destination else {
                throw .organizationConflict(
                    "DuplicateAccountException", "The account is already in the destination parent.")
            }
            organization.accounts[id]?.parent = destination
        }
        return OrganizationAnswer()
    }

    // MARK: Root and units

    func shapeOfRoot(_ organization: Organization) -> WireValue {
        .structure([
            "Id": .string(organization.rootID), "Arn": .string(organization.rootARN), "Name": "Root",
            "PolicyTypes": .list(
                organization.types.map { .structure(["Type": .string($0.rawValue), "Status": "ENABLED"]) }),
        ])
    }

    private func shape(_ unit: Organization.Unit, _ organization: Organization) -> WireValue {
        .structure([
            "Id": .string(unit.id), "Arn": .string(organization.arn(unit: unit.id)), "Name": .string(unit.name),
        ])
    }

    @Sendable func listRoots(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("NextToken", "MaxResults")
        let organization = try governed(call)
        return try page([organization.rootID], fields, named: "Roots", by: { $0 }) { _ in shapeOfRoot(organization) }
    }

    @Sendable func listChildren(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("ParentId", "ChildType", "NextToken", "MaxResults")
        let organization = try governed(call)
        let parent = try required(fields, "ParentId")
        let type = try required(fields, "ChildType")
        guard organization.isParent(parent) else { throw .noSuchParent }
        let children: [String]
        switch type {
        case "ACCOUNT": children = organization.accounts.values.filter { $0.parent == parent }.map(\.id)
        case "ORGANIZATIONAL_UNIT": children = organization.units.values.filter { $0.parent == parent }.map(\.id)
        default: throw .organizationInput("ChildType must be ACCOUNT or ORGANIZATIONAL_UNIT.")
        }
        return try page(children, fields, named: "Children", by: { $0 }) {
            .structure(["Id": .string($0), "Type": .string(type)])
        }
    }

    @Sendable func listParents(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("ChildId", "NextToken", "MaxResults")
        let organization = try governed(call)
        guard let parent = organization.parent(of: try required(fields, "ChildId")) else { throw .noSuchChild }
        let type = parent == organization.rootID ? "ROOT" : "ORGANIZATIONAL_UNIT"
        return OrganizationAnswer(["Parents": [.structure(["Id": .string(parent), "Type": .string(type)])]])
    }

    @Sendable func createUnit(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("ParentId", "Name", "Tags")
        let parent = try required(fields, "ParentId")
        let name = try unitName(fields)
        let tags = try Self.tags(fields)
        let tail = freshID("", 8)
        let (unit, organization) = try await change(call) { organization throws(AWSError) in
            guard organization.isParent(parent) else { throw .noSuchParent }
            try Self.check(unitName: name, under: parent, organization)
            guard organization.depth(of: parent) < Limits.depth else {
                throw .organizationLimit("You have exceeded the number of levels that organizational units can have.")
            }
            guard organization.units.count < Limits.units else {
                throw .organizationLimit("You have exceeded the number of organizational units.")
            }
            let unit = Organization.Unit(
                id: "ou-\(organization.rootID.dropFirst(2))-\(tail)", name: name, parent: parent)
            organization.units[unit.id] = unit
            organization.attachDefaults(to: unit.id)
            if !tags.isEmpty { organization.tags[unit.id] = tags }
            return (unit, organization)
        }
        return OrganizationAnswer(["OrganizationalUnit": shape(unit, organization)])
    }

    private func unitName(_ fields: WireFields) throws(AWSError) -> String {
        let name = try required(fields, "Name")
        guard (1...128).contains(name.unicodeScalars.count) else {
            throw .organizationInput("Name must have 1 to 128 characters.")
        }
        return name
    }

    private static func check(
        unitName name: String, under parent: String, _ organization: Organization
    ) throws(AWSError) {
        guard !organization.units.values.contains(where: { $0.parent == parent && $0.name == name }) else {
            throw .organizationConflict(
                "DuplicateOrganizationalUnitException", "An OU with the same name already exists.")
        }
    }

    @Sendable func describeUnit(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let id = try required(try input.fields("OrganizationalUnitId"), "OrganizationalUnitId")
        let organization = try governed(call)
        guard let unit = organization.units[id] else { throw .noSuchUnit }
        return OrganizationAnswer(["OrganizationalUnit": shape(unit, organization)])
    }

    @Sendable func updateUnit(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("OrganizationalUnitId", "Name")
        let id = try required(fields, "OrganizationalUnitId")
        let name = fields.has("Name") ? try unitName(fields) : nil
        let (unit, organization) = try await change(call) { organization throws(AWSError) in
            guard var unit = organization.units[id] else { throw .noSuchUnit }
            if let name, name != unit.name {
                try Self.check(unitName: name, under: unit.parent, organization)
                unit.name = name
                organization.units[id] = unit
            }
            return (unit, organization)
        }
        return OrganizationAnswer(["OrganizationalUnit": shape(unit, organization)])
    }

    @Sendable func deleteUnit(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let id = try required(try input.fields("OrganizationalUnitId"), "OrganizationalUnitId")
        try await change(call) { organization throws(AWSError) in
            guard organization.units[id] != nil else { throw .noSuchUnit }
            guard !organization.accounts.values.contains(where: { $0.parent == id }),
                !organization.units.values.contains(where: { $0.parent == id })
            else {
                throw .organizationConflict(
                    "OrganizationalUnitNotEmptyException",
                    "The specified OU is not empty. Move all accounts to another root or to other OUs, remove all "
                        + "child OUs, and try the operation again.")
            }
            organization.units[id] = nil
            organization.attached[id] = nil
            organization.tags[id] = nil
        }
        return OrganizationAnswer()
    }

    @Sendable func listUnits(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("ParentId", "NextToken", "MaxResults")
        let organization = try governed(call)
        let parent = try required(fields, "ParentId")
        guard organization.isParent(parent) else { throw .noSuchParent }
        let units = organization.units.values.filter { $0.parent == parent }
        return try page(units, fields, named: "OrganizationalUnits", by: \.id) { shape($0, organization) }
    }

    func required(_ fields: WireFields, _ name: String) throws(AWSError) -> String {
        guard let text = try fields.string(name), !text.isEmpty else {
            throw .organizationInput("You must specify \(name).")
        }
        return text
    }
}
