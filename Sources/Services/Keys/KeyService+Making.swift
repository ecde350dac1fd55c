// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies

// Keys come, are described, named and tagged.
extension KeyService {
    static let materialBytes = 32

    @Sendable func createKey(_ input: CreateKeyInput, _ call: Call) async throws(AWSError) -> KeyMetadataOutput {
        guard input.tags.count <= Limits.tagsPerKey else { throw .keyLimit("Too many tags") }
        let policy = try checked(
            policy: input.policy ?? Self.defaultPolicy(account: call.accountID), for: call,
            bypassesLockoutCheck: input.bypassesLockoutCheck)
        let key = try await makeKey(
            account: call.accountID, region: call.region, description: input.description, policy: policy,
            tags: input.tags, manager: "CUSTOMER")
        let account = call.accountID
        let region = call.region
        try await table.change { content throws(AWSError) in
            let count = content.keys.values.count { $0.account == account && $0.region == region }
            guard count < Limits.keys else { throw .keyLimit("This account has \(count) keys in \(region) already.") }
            return ([.key(key)], ())
        }
        return KeyMetadataOutput(key: key)
    }

    /// A new key with its first material sealed, not stored yet.
    func makeKey(
        account: String, region: String, description: String, policy: String, tags: [KeyRecord.Tag], manager: String
    ) async throws(AWSError) -> KeyRecord {
        var key = KeyRecord(
            id: KeyUUID.random(randomBytes(16)), account: account, region: region, made: clock().milliseconds,
            state: .enabled, manager: manager, description: description, policy: policy, tags: tags, materials: [])
        key.materials = [try await makeMaterial(for: key, rotation: nil)]
        return key
    }

    func makeMaterial(for key: KeyRecord, rotation: String?) async throws(AWSError) -> KeyRecord.Material {
        let number = (key.current?.number ?? 0) + 1
        let sealed = try await vault.seal(randomBytes(Self.materialBytes), context: key.vaultContext(number))
        return KeyRecord.Material(
            number: number, id: KeyUUID.hex(randomBytes(32)), sealed: Base64.encode(sealed),
            made: clock().milliseconds, rotation: rotation)
    }

    @Sendable func describeKey(_ input: KeyInput, _ call: Call) async throws(AWSError) -> KeyMetadataOutput {
        let key = try await target(input.key, "DescribeKey", call, allowsAlias: true)
        return KeyMetadataOutput(key: key)
    }

    @Sendable func listKeys(_ input: PageInput, _ call: Call) async throws(AWSError) -> ListOutput {
        let keys = table.read { content in
            content.keys.values.filter { $0.account == call.accountID && $0.region == call.region }
        }
        let page = Page(keys.sorted { $0.id < $1.id }, input.page) { $0.id }
        return ListOutput(
            members: page.members("Keys") { key in
                .structure(["KeyId": .string(key.id), "KeyArn": .string(key.arn)])
            })
    }

    @Sendable func updateKeyDescription(
        _ input: UpdateKeyDescriptionInput, _ call: Call
    ) async throws(AWSError) -> EmptyOutput {
        try await change(input.key, call, action: "UpdateKeyDescription") { key throws(AWSError) in
            try key.checkNotPendingDeletion()
            key.description = input.description
        }
        return EmptyOutput()
    }

    // MARK: Aliases

    @Sendable func createAlias(_ input: AliasInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await setAlias(input, call, isNew: true)
        return EmptyOutput()
    }

    @Sendable func updateAlias(_ input: AliasInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await setAlias(input, call, isNew: false)
        return EmptyOutput()
    }

    private func setAlias(_ input: AliasInput, _ call: Call, isNew: Bool) async throws(AWSError) {
        if input.name.hasPrefix(AliasName.reserved) { throw .reservedAlias }
        let action = isNew ? "CreateAlias" : "UpdateAlias"
        let target = try find(input.target, call)
        guard target.account == call.accountID else { throw .keyNotFound(target.arn) }
        try await allow(action, on: target, call)
        let arn = "arn:aws:kms:\(call.region):\(call.accountID):\(input.name)"
        if !isNew, let old = table.read({ content in content.aliases[arn].flatMap { content.keys[$0.target] } }) {
            try await allow(action, on: old, call)
        }
        let now = clock().milliseconds
        try await table.change { content throws(AWSError) in
            let key = try content.find(
                .id(target.id), account: call.accountID, region: call.region, allowsAlias: false)
            try key.checkNotPendingDeletion()
            var alias = AliasRecord(
                name: input.name, account: call.accountID, region: call.region, target: key.id, made: now, changed: now)
            if let old = content.aliases[arn] {
                if isNew { throw .aliasExists(arn) }
                alias.made = old.made
            } else if !isNew {
                throw .aliasNotFound(arn)
            }
            let others = content.aliases.values.count { $0.target == key.id && $0.arn != arn }
            guard others < Limits.aliasesPerKey else {
                throw .keyLimit("The key \(key.arn) has \(others) aliases already.")
            }
            return ([.alias(alias)], ())
        }
    }

    @Sendable func deleteAlias(_ input: DeleteAliasInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        if input.name.hasPrefix(AliasName.reserved) { throw .reservedAlias }
        let arn = "arn:aws:kms:\(call.region):\(call.accountID):\(input.name)"
        let target = try table.read { content throws(AWSError) in
            guard let alias = content.aliases[arn] else { throw .aliasNotFound(arn) }
            return content.keys[alias.target]
        }
        if let target { try await allow("DeleteAlias", on: target, call) }
        try await table.change { content throws(AWSError) in
            guard content.aliases[arn] != nil else { throw .aliasNotFound(arn) }
            return ([.noAlias(arn)], ())
        }
        return EmptyOutput()
    }

    @Sendable func listAliases(_ input: KeyPageInput, _ call: Call) async throws(AWSError) -> ListOutput {
        let target: String?
        if let name = input.key { target = try find(name, call).id } else { target = nil }
        let aliases = table.read { content in
            content.aliases.values.filter { alias in
                alias.account == call.accountID && alias.region == call.region
                    && (target == nil || alias.target == target)
            }
        }
        let page = Page(aliases.sorted { $0.name < $1.name }, input.page) { $0.name }
        return ListOutput(
            members: page.members("Aliases") { alias in
                .structure([
                    "AliasName": .string(alias.name), "AliasArn": .string(alias.arn),
                    "TargetKeyId": .string(alias.target),
                    "CreationDate": .timestamp(Timestamp(milliseconds: alias.made)),
                    "LastUpdatedDate": .timestamp(Timestamp(milliseconds: alias.changed)),
                ])
            })
    }

    // MARK: Tags

    @Sendable func tagResource(_ input: TagResourceInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(input.key, call, action: "TagResource") { key throws(AWSError) in
            try key.checkNotPendingDeletion()
            for tag in input.tags {
                if let index = key.tags.firstIndex(where: { $0.key == tag.key }) {
                    key.tags[index] = tag
                } else {
                    key.tags.append(tag)
                }
            }
            guard key.tags.count <= Limits.tagsPerKey else { throw .keyLimit("Too many tags") }
        }
        return EmptyOutput()
    }

    @Sendable func untagResource(_ input: UntagResourceInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(input.key, call, action: "UntagResource") { key throws(AWSError) in
            try key.checkNotPendingDeletion()
            key.tags.removeAll { input.tagKeys.contains($0.key) }
        }
        return EmptyOutput()
    }

    @Sendable func listResourceTags(_ input: KeyPageInput, _ call: Call) async throws(AWSError) -> ListOutput {
        let key = try await target(try input.required, "ListResourceTags", call)
        let page = Page(key.tags.sorted { $0.key < $1.key }, input.page) { $0.key }
        return ListOutput(
            members: page.members("Tags") { tag in
                .structure(["TagKey": .string(tag.key), "TagValue": .string(tag.value)])
            })
    }
}
