// SPDX-License-Identifier: Apache-2.0
//
// How accounts come into the organization and leave it: invitations, removal, leaving, closing.
// Sources: Organizations API Reference, the pages of these operations; Organizations User Guide, "Inviting an AWS account to
// join your organization" (an invitation is open for 15 days, and shown for 30 more).

internal import AWSWire

extension OrganizationService {
    static let handshakeOperations: [Operation<OrganizationService>] = [
        operation(
            "InviteAccountToOrganization", .write, on: ["Target"], recorded: shownInvitation, OrganizationService.invite
        ),
        operation("AcceptHandshake", .write, on: ["HandshakeId"], OrganizationService.acceptHandshake),
        operation("DeclineHandshake", .write, on: ["HandshakeId"], OrganizationService.declineHandshake),
        operation("CancelHandshake", .write, on: ["HandshakeId"], OrganizationService.cancelHandshake),
        operation("DescribeHandshake", .read, on: ["HandshakeId"], OrganizationService.describeHandshake),
        operation("ListHandshakesForAccount", .read, OrganizationService.listHandshakesForAccount),
        operation("ListHandshakesForOrganization", .read, OrganizationService.listHandshakesForOrganization),
        operation("RemoveAccountFromOrganization", .write, on: ["AccountId"], OrganizationService.removeAccount),
        operation("LeaveOrganization", .write, OrganizationService.leaveOrganization),
        operation("CloseAccount", .write, on: ["AccountId"], OrganizationService.closeAccount),
    ]

    private static let openSeconds: Int64 = 15 * 86_400
    private static let shownSeconds: Int64 = 30 * 86_400
    private static let handshakesMax = 1000

    /// What is written to people stays out of the event, as the model marks it sensitive.
    private static let shownInvitation: Operation<OrganizationService>.Recorded = { request in
        var parameters = request.parameters
        if parameters["Notes"] != nil { parameters["Notes"] = "****" }
        if parameters["Target"]?.asStructure?["Type"] == "EMAIL" {
            parameters["Target"] = .structure(["Id": "****", "Type": "EMAIL"])
        }
        return WireValue.structure(parameters).firstLettersLowered
    }

    // MARK: Invitations

    private func shape(_ handshake: Organization.Handshake, _ organization: Organization, _ now: Timestamp) -> WireValue
    {
        func resource(_ type: String, _ value: String) -> WireValue {
            .structure(["Type": .string(type), "Value": .string(value)])
        }
        let master = organization.accounts[organization.management]
        var resources: [WireValue] = [
            .structure([
                "Type": "ORGANIZATION", "Value": .string(organization.id),
                "Resources": [
                    resource("MASTER_EMAIL", master?.email ?? ""), resource("MASTER_NAME", master?.name ?? ""),
                    resource("ORGANIZATION_FEATURE_SET", "ALL"),
                ],
            ]),
            resource(handshake.isByEmail ? "EMAIL" : "ACCOUNT", handshake.target),
        ]
        if !handshake.notes.isEmpty { resources.append(resource("NOTES", handshake.notes)) }
        return .structure([
            "Id": .string(handshake.id), "Arn": .string(organization.arn(handshake: handshake.id)),
            "Parties": [
                .structure(["Id": .string(String(organization.id.dropFirst(2))), "Type": "ORGANIZATION"]),
                .structure([
                    "Id": .string(handshake.target), "Type": handshake.isByEmail ? "EMAIL" : "ACCOUNT",
                ]),
            ],
            "State": .string(handshake.state(at: now).rawValue), "RequestedTimestamp": .timestamp(handshake.requested),
            "ExpirationTimestamp": .timestamp(handshake.expires), "Action": "INVITE", "Resources": .list(resources),
        ])
    }

    /// The answer, and for the event the same without what is written to people.
    private func answer(
        _ handshake: Organization.Handshake, _ organization: Organization, _ now: Timestamp
    ) -> OrganizationAnswer {
        OrganizationAnswer(
            ["Handshake": shape(handshake, organization, now)],
            recorded: [
                "Handshake": .structure([
                    "Id": .string(handshake.id), "Arn": .string(organization.arn(handshake: handshake.id)),
                    "State": .string(handshake.state(at: now).rawValue), "Action": "INVITE",
                    "RequestedTimestamp": .string(handshake.requested.recordForm),
                    "ExpirationTimestamp": .string(handshake.expires.recordForm),
                ])
            ])
    }

    @Sendable func invite(_ input: OrganizationRequest, _ call: Call) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("Target", "Notes", "Tags")
        guard let target = input.parameters["Target"]?.asStructure, let id = target["Id"]?.asString,
            let type = target["Type"]?.asString
        else { throw .organizationInput("You must specify Target with its Id and Type.") }
        guard type == "ACCOUNT" || type == "EMAIL" else {
            throw .organizationInput("The type of Target must be ACCOUNT or EMAIL.")
        }
        let notes = try fields.string("Notes") ?? ""
        guard notes.unicodeScalars.count <= 1024 else {
            throw .organizationInput("Notes must have at most 1,024 characters.")
        }
        let tags = try Self.tags(fields)
        let (handshakeID, now) = (freshID("h-", 10), call.time)
        let (handshake, organization) = try await change(call) { [identities] organization throws(AWSError) in
            let account: String?
            if type == "ACCOUNT" {
                account = organization.accounts[id] != nil || identities.has(account: id) ? id : nil
            } else {
                let all = Array(organization.accounts.values) + organization.former
                account = all.first { $0.email.lowercased() == id.lowercased() }?.id
            }
            guard let account else {
                throw .organizationInput("You specified an account that does not exist on this server.")
            }
            guard organization.accounts[account] == nil else {
                throw .organizationConflict(
                    "HandshakeConstraintViolationException",
                    "The account is already a member of an organization: ALREADY_IN_AN_ORGANIZATION")
            }
            guard organization.accounts.count < Limits.accounts else {
                throw .organizationConflict(
                    "HandshakeConstraintViolationException",
                    "The organization has as many accounts as it may have: ACCOUNT_NUMBER_LIMIT_EXCEEDED")
            }
            organization.handshakes.removeAll { now >= $0.expires.adding(seconds: Self.shownSeconds) }
            guard !organization.handshakes.contains(where: { $0.account == account && $0.state(at: now) == .open })
            else {
                throw .organizationConflict(
                    "DuplicateHandshakeException", "There is an open invitation of this account already.")
            }
            guard organization.handshakes.count < Self.handshakesMax else {
                throw .organizationConflict(
                    "HandshakeConstraintViolationException",
                    "There are too many invitations: HANDSHAKE_RATE_LIMIT_EXCEEDED")
            }
            let handshake = Organization.Handshake(
                id: handshakeID, account: account, target: id, state: .open, requested: now,
                expires: now.adding(seconds: Self.openSeconds), notes: notes, tags: tags)
            organization.handshakes.append(handshake)
            return (handshake, organization)
        }
        return answer(handshake, organization, call.time)
    }

    /// Ends an open handshake.
    ///
    /// - Parameter mayEnd: whether the caller is the one to do it.
    private func end(
        _ input: OrganizationRequest, _ call: Call, as state: Organization.Handshake.State,
        mayEnd: @escaping @Sendable (Organization.Handshake, Organization) -> Bool,
        _ further: @escaping @Sendable (Organization.Handshake, inout Organization) throws(AWSError) -> Void = { _, _ in
        }
    ) async throws(AWSError) -> OrganizationAnswer {
        let id = try required(try input.fields("HandshakeId"), "HandshakeId")
        let (handshake, organization) = try await store.change { stored throws(AWSError) in
            guard var organization = stored, let index = organization.handshakes.firstIndex(where: { $0.id == id })
            else { throw Self.noHandshake }
            var handshake = organization.handshakes[index]
            guard mayEnd(handshake, organization) else { throw Self.noHandshake }
            let present = handshake.state(at: call.time)
            guard present != state else {
                throw .organizationConflict(
                    "HandshakeAlreadyInStateException", "The specified handshake is already in the requested state.")
            }
            guard present == .open else {
                throw .organizationConflict(
                    "InvalidHandshakeTransitionException",
                    "You can't perform the operation on the handshake in its current state.")
            }
            handshake.state = state
            organization.handshakes[index] = handshake
            try further(handshake, &organization)
            stored = organization
            return (handshake, organization)
        }
        return answer(handshake, organization, call.time)
    }

    private static let noHandshake = AWSError.organizationConflict(
        "HandshakeNotFoundException", "We can't find a handshake with the HandshakeId that you specified.")

    @Sendable func acceptHandshake(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        try await end(
            input, call, as: .accepted, mayEnd: { handshake, _ in handshake.account == call.accountID }
        ) { handshake, organization throws(AWSError) in
            let id = handshake.account
            guard organization.accounts[id] == nil else {
                throw .organizationConflict(
                    "HandshakeConstraintViolationException",
                    "The account is already a member of an organization: ALREADY_IN_AN_ORGANIZATION")
            }
            let known = organization.former.first { $0.id == id }
            organization.former.removeAll { $0.id == id }
            organization.accounts[id] = Organization.Account(
                id: id, name: known?.name ?? id, email: known?.email ?? "root@\(id).invalid", joined: call.time,
                method: "INVITED", parent: organization.rootID)
            organization.attachDefaults(to: id)
            if !handshake.tags.isEmpty { organization.tags[id] = handshake.tags }
        }
    }

    @Sendable func declineHandshake(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        try await end(input, call, as: .declined, mayEnd: { handshake, _ in handshake.account == call.accountID })
    }

    @Sendable func cancelHandshake(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        try await end(
            input, call, as: .canceled, mayEnd: { _, organization in organization.management == call.accountID })
    }

    @Sendable func describeHandshake(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let id = try required(try input.fields("HandshakeId"), "HandshakeId")
        guard let organization = store.organization,
            let handshake = organization.handshakes.first(where: { $0.id == id }),
            handshake.account == call.accountID || organization.management == call.accountID
        else { throw Self.noHandshake }
        return OrganizationAnswer(["Handshake": shape(handshake, organization, call.time)])
    }

    @Sendable func listHandshakesForAccount(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("Filter", "NextToken", "MaxResults")
        guard let organization = store.organization else { return OrganizationAnswer(["Handshakes": []]) }
        return try list(organization.handshakes.filter { $0.account == call.accountID }, organization, fields, call)
    }

    @Sendable func listHandshakesForOrganization(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("Filter", "NextToken", "MaxResults")
        let organization = try governed(call)
        return try list(organization.handshakes, organization, fields, call)
    }

    private func list(
        _ handshakes: [Organization.Handshake], _ organization: Organization, _ fields: WireFields, _ call: Call
    ) throws(AWSError) -> OrganizationAnswer {
        let action = fields.structure["Filter"]?.asStructure?["ActionType"]?.asString ?? "INVITE"
        let shown = handshakes.filter { call.time < $0.expires.adding(seconds: Self.shownSeconds) }
        return try page(action == "INVITE" ? shown : [], fields, named: "Handshakes", by: \.id) {
            shape($0, organization, call.time)
        }
    }

    // MARK: Leaving

    @Sendable func removeAccount(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let id = try required(try input.fields("AccountId"), "AccountId")
        try await change(call) { organization throws(AWSError) in try organization.release(id) }
        return OrganizationAnswer()
    }

    @Sendable func leaveOrganization(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        _ = try input.fields()
        _ = try own(call)
        try await store.change { stored throws(AWSError) in
            guard var organization = stored else { throw .noOrganization }
            try organization.release(call.accountID)
            stored = organization
        }
        return OrganizationAnswer()
    }

    /// A closed account answers nobody: none of its keys, sessions and roles can be used. What it holds stays.
    @Sendable func closeAccount(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let id = try required(try input.fields("AccountId"), "AccountId")
        try await change(call) { organization throws(AWSError) in
            guard let account = organization.accounts[id] else { throw .noSuchAccount }
            guard id != organization.management else {
                throw .organizationLimit(
                    "You cannot close the management account.", reason: "CANNOT_CLOSE_MANAGEMENT_ACCOUNT")
            }
            guard !account.isClosed else {
                throw .organizationConflict(
                    "AccountAlreadyClosedException", "You attempted to close an account that is already closed.")
            }
            guard !organization.delegates.contains(where: { $0.account == id }) else {
                throw .organizationLimit(
                    "You cannot close a delegated administrator.",
                    reason: "CANNOT_REMOVE_DELEGATED_ADMINISTRATOR_FROM_ORG")
            }
            organization.accounts[id]?.isClosed = true
        }
        return OrganizationAnswer()
    }
}

extension Organization {
    /// Lets a member go; it keeps all that it has, and what it was called, should it be invited again.
    ///
    /// - Throws: what keeps it: it is the management account, a delegated administrator, or no member.
    mutating func release(_ id: String) throws(AWSError) {
        guard let account = accounts[id] else { throw .noSuchAccount }
        guard id != management else {
            throw .organizationConflict(
                "MasterCannotLeaveOrganizationException",
                "You can't remove a management account from an organization. If you want the management account to "
                    + "become a member account in another organization, you must first delete the current organization."
            )
        }
        guard !delegates.contains(where: { $0.account == id }) else {
            throw .organizationLimit(
                "You cannot remove a delegated administrator.",
                reason: "CANNOT_REMOVE_DELEGATED_ADMINISTRATOR_FROM_ORG")
        }
        guard !account.isClosed else {
            throw .organizationLimit(
                "You cannot remove a closed account.", reason: "ACCOUNT_CANNOT_LEAVE_ORGANIZATION")
        }
        accounts[id] = nil
        attached[id] = nil
        tags[id] = nil
        former.append(account)
    }

    func arn(handshake: String) -> String {
        "arn:aws:organizations::\(management):handshake/\(id)/invite/\(handshake)"
    }
}
