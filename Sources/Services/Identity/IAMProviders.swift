// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

extension IAMService {
    static let providerOperations: [Operation<IAMService>] = [
        operation("CreateOpenIDConnectProvider", .write, on: .newProvider, IAMService.createProvider),
        operation("GetOpenIDConnectProvider", .read, on: .provider, IAMService.getProvider),
        operation("ListOpenIDConnectProviders", .read, on: .nothing, IAMService.listProviders),
        operation("DeleteOpenIDConnectProvider", .write, on: .provider, IAMService.deleteProvider),
        operation("AddClientIDToOpenIDConnectProvider", .write, on: .provider, IAMService.addClientID),
        operation("RemoveClientIDFromOpenIDConnectProvider", .write, on: .provider, IAMService.removeClientID),
        operation("UpdateOpenIDConnectProviderThumbprint", .write, on: .provider, IAMService.updateThumbprints),
        operation("TagOpenIDConnectProvider", .write, on: .provider, IAMService.tagProvider),
        operation("UntagOpenIDConnectProvider", .write, on: .provider, IAMService.untagProvider),
        operation("ListOpenIDConnectProviderTags", .read, on: .provider, IAMService.listProviderTags),
    ]

    private static let arnMember = "OpenIDConnectProviderArn"

    private static func noSuchProvider(_ arn: String) -> AWSError {
        .noSuchEntity("OpenIDConnect Provider not found for arn \(arn)")
    }

    private func changeProvider(
        _ fields: IAMFields, _ call: Call,
        _ body: @escaping @Sendable (inout IdentityProvider) throws(AWSError) -> Void
    ) async throws(AWSError) -> IAMAnswer {
        let arn = try fields.requiredARN(Self.arnMember, of: "oidc-provider")
        try await store.change(call.accountID) { account throws(AWSError) in
            guard var provider = account.provider(arn: arn) else { throw Self.noSuchProvider(arn) }
            try body(&provider)
            account.put(provider)
        }
        return IAMAnswer()
    }

    private static func thumbprints(_ fields: IAMFields) throws(AWSError) -> [String] {
        let prints = try fields.strings("ThumbprintList") ?? []
        guard prints.count <= Limits.thumbprints else {
            throw .invalidInput("Thumbprint list must contain fewer than 5 entries.")
        }
        for print in prints {
            guard print.utf8.count == 40, print.allSatisfy(\.isHexDigit) else {
                throw .constraint("ThumbprintList", print, "Member must be 40 hexadecimal digits")
            }
        }
        return prints
    }

    @Sendable func createProvider(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("Url", "ClientIDList", "ThumbprintList", "Tags")
        let url = try fields.required("Url", max: 255)
        let place = url.hasPrefix("https://") ? String(url.dropFirst(8)) : ""
        guard !place.isEmpty, !place.hasPrefix("/"), !place.contains("?"), !place.contains("#"),
            place.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            throw AWSError("ValidationError", "Invalid Open ID Connect Provider URL")
        }
        let clients = try fields.strings("ClientIDList") ?? []
        guard clients.count <= Limits.clientIDs else {
            throw .limitExceeded("ClientIdsPerOpenIdConnectProvider", Limits.clientIDs)
        }
        var provider = IdentityProvider(
            accountID: call.accountID, place: place, created: call.time, clientIDs: clients,
            thumbprints: try Self.thumbprints(fields))
        provider.tags = try fields.tags(ignoringCase: false)
        let new = provider
        try await store.change(call.accountID) { account throws(AWSError) in
            guard account.provider(arn: new.arn) == nil else {
                throw .entityExists("Provider with url \(url) already exists.")
            }
            guard account.providers.count < Limits.providers else {
                throw .limitExceeded("OpenIdConnectProvidersPerAccount", Limits.providers)
            }
            account.put(new)
        }
        var members: WireStructure = [Self.arnMember: .string(provider.arn)]
        if !provider.tags.isEmpty { members.append("Tags", Self.tagList(provider.tags)) }
        return IAMAnswer(members)
    }

    private func provider(_ fields: IAMFields, _ call: Call) throws(AWSError) -> IdentityProvider {
        let arn = try fields.requiredARN(Self.arnMember, of: "oidc-provider")
        guard let provider = store.account(call.accountID).provider(arn: arn) else { throw Self.noSuchProvider(arn) }
        return provider
    }

    @Sendable func getProvider(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let provider = try provider(try input.fields(Self.arnMember), call)
        var members: WireStructure = [
            "Url": .string(provider.place), "ClientIDList": .list(provider.clientIDs.map { .string($0) }),
            "ThumbprintList": .list(provider.thumbprints.map { .string($0) }),
            "CreateDate": .timestamp(provider.created),
        ]
        if !provider.tags.isEmpty { members.append("Tags", Self.tagList(provider.tags)) }
        return IAMAnswer(members)
    }

    @Sendable func listProviders(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        _ = try input.fields()
        let arns = store.account(call.accountID).providers.values.map(\.arn).sorted()
        return IAMAnswer(["OpenIDConnectProviderList": .list(arns.map { .structure(["Arn": .string($0)]) })])
    }

    @Sendable func deleteProvider(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let arn = try input.fields(Self.arnMember).requiredARN(Self.arnMember, of: "oidc-provider")
        try await store.change(call.accountID) { account throws(AWSError) in
            guard let provider = account.provider(arn: arn) else { throw Self.noSuchProvider(arn) }
            account.remove(provider)
        }
        return IAMAnswer()
    }

    @Sendable func addClientID(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(Self.arnMember, "ClientID")
        let client = try fields.required("ClientID", max: 255)
        return try await changeProvider(fields, call) { provider throws(AWSError) in
            guard !provider.clientIDs.contains(client) else { return }
            guard provider.clientIDs.count < Limits.clientIDs else {
                throw .limitExceeded("ClientIdsPerOpenIdConnectProvider", Limits.clientIDs)
            }
            provider.clientIDs.append(client)
        }
    }

    @Sendable func removeClientID(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(Self.arnMember, "ClientID")
        let client = try fields.required("ClientID", max: 255)
        return try await changeProvider(fields, call) { provider throws(AWSError) in
            provider.clientIDs.removeAll { $0 == client }
        }
    }

    @Sendable func updateThumbprints(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(Self.arnMember, "ThumbprintList")
        let prints = try Self.thumbprints(fields)
        return try await changeProvider(fields, call) { provider throws(AWSError) in provider.thumbprints = prints }
    }

    @Sendable func tagProvider(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(Self.arnMember, "Tags")
        let tags = try fields.tags(ignoringCase: false)
        return try await changeProvider(fields, call) { provider throws(AWSError) in
            try Self.merge(tags, into: &provider.tags, ignoringCase: false)
        }
    }

    @Sendable func untagProvider(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(Self.arnMember, "TagKeys")
        let keys = Set(try fields.tagKeys())
        return try await changeProvider(fields, call) { provider throws(AWSError) in
            provider.tags.removeAll { keys.contains($0.key) }
        }
    }

    @Sendable func listProviderTags(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(Self.arnMember, "Marker", "MaxItems")
        return IAMAnswer(try Self.tagPage(try provider(fields, call).tags, fields))
    }
}
