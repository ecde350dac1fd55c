// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

// MARK: - Services that may act in all accounts, and who administers them

extension OrganizationService {
    static let delegateOperations: [Operation<OrganizationService>] = [
        operation("EnableAWSServiceAccess", .write, OrganizationService.enableService),
        operation("DisableAWSServiceAccess", .write, OrganizationService.disableService),
        operation("ListAWSServiceAccessForOrganization", .read, OrganizationService.listServices),
        operation("RegisterDelegatedAdministrator", .write, on: ["AccountId"], OrganizationService.registerDelegate),
        operation(
            "DeregisterDelegatedAdministrator", .write, on: ["AccountId"], OrganizationService.deregisterDelegate),
        operation("ListDelegatedAdministrators", .read, OrganizationService.listDelegates),
        operation(
            "ListDelegatedServicesForAccount", .read, on: ["AccountId"], OrganizationService.listDelegatedServices),
    ]

    private func service(_ fields: WireFields) throws(AWSError) -> String {
        let name = try required(fields, "ServicePrincipal")
        guard name.hasSuffix(".amazonaws.com"), name.utf8.count <= 128 else {
            throw .organizationInput("You specified an unrecognized service principal.")
        }
        return name
    }

    @Sendable func enableService(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let name = try service(try input.fields("ServicePrincipal"))
        try await change(call) { organization throws(AWSError) in
            if !organization.services.contains(where: { $0.principal == name }) {
                organization.services.append((name, call.time))
            }
        }
        return OrganizationAnswer()
    }

    @Sendable func disableService(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let name = try service(try input.fields("ServicePrincipal"))
        try await change(call) { organization throws(AWSError) in
            organization.services.removeAll { $0.principal == name }
        }
        return OrganizationAnswer()
    }

    @Sendable func listServices(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("NextToken", "MaxResults")
        let services = try governed(call).services
        return try page(services, fields, named: "EnabledServicePrincipals", by: \.principal) {
            .structure(["ServicePrincipal": .string($0.principal), "DateEnabled": .timestamp($0.since)])
        }
    }

    @Sendable func registerDelegate(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("AccountId", "ServicePrincipal")
        let name = try service(fields)
        let account = try required(fields, "AccountId")
        try await change(call) { organization throws(AWSError) in
            guard organization.accounts[account] != nil else { throw .noSuchAccount }
            guard account != organization.management else {
                throw .organizationLimit(
                    "You cannot register the management account as a delegated administrator.",
                    reason: "CANNOT_REGISTER_MASTER_AS_DELEGATED_ADMINISTRATOR")
            }
            guard organization.services.contains(where: { $0.principal == name }) else {
                throw .organizationLimit(
                    "You must enable access of the service to your organization before you register a delegated "
                        + "administrator for it.", reason: "SERVICE_ACCESS_NOT_ENABLED")
            }
            guard !organization.delegates.contains(where: { $0.account == account && $0.service == name }) else {
                throw .organizationConflict(
                    "AccountAlreadyRegisteredException",
                    "The provided account is already a delegated administrator for your organization.")
            }
            organization.delegates.append(.init(account: account, service: name, since: call.time))
        }
        return OrganizationAnswer()
    }

    @Sendable func deregisterDelegate(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("AccountId", "ServicePrincipal")
        let name = try service(fields)
        let account = try required(fields, "AccountId")
        try await change(call) { organization throws(AWSError) in
            guard organization.accounts[account] != nil else { throw .noSuchAccount }
            guard let index = organization.delegates.firstIndex(where: { $0.account == account && $0.service == name })
            else {
                throw .organizationConflict(
                    "AccountNotRegisteredException",
                    "The provided account is not a registered delegated administrator for your organization.")
            }
            organization.delegates.remove(at: index)
        }
        return OrganizationAnswer()
    }

    @Sendable func listDelegates(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("ServicePrincipal", "NextToken", "MaxResults")
        let organization = try governed(call)
        let name = try fields.string("ServicePrincipal")
        var first: [String: Timestamp] = [:]
        for delegate in organization.delegates where name == nil || name == delegate.service {
            first[delegate.account] = min(first[delegate.account] ?? delegate.since, delegate.since)
        }
        return try page(Array(first), fields, named: "DelegatedAdministrators", by: \.key) { id, since in
            guard let account = organization.accounts[id], var shape = shape(account, organization).asStructure else {
                return .null
            }
            shape.append("DelegationEnabledDate", .timestamp(since))
            return .structure(shape)
        }
    }

    @Sendable func listDelegatedServices(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("AccountId", "NextToken", "MaxResults")
        let organization = try governed(call)
        let account = try required(fields, "AccountId")
        guard organization.accounts[account] != nil else { throw .noSuchAccount }
        let services = organization.delegates.filter { $0.account == account }
        guard !services.isEmpty else {
            throw .organizationConflict(
                "AccountNotRegisteredException",
                "The provided account is not a registered delegated administrator for your organization.")
        }
        return try page(services, fields, named: "DelegatedServices", by: \.service) {
            .structure(["ServicePrincipal": .string($0.service), "DelegationEnabledDate": .timestamp($0.since)])
        }
    }
}
