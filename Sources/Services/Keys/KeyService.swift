// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Policies
package import Storage

/// KMS: keys that never leave, and what can be done with them.
///
/// Symmetric keys with material of our own. Asymmetric and HMAC keys, multi-Region keys, imported material and custom key
/// stores are refused with the protocol's own errors.
package final class KeyService: Sendable {
    /// AWS's quotas for one account and region.
    package enum Limits {
        package static let keys = 100_000
        package static let tagsPerKey = 50
        package static let aliasesPerKey = 50
        package static let grantsPerKey = 50_000
        package static let onDemandRotations = 25
    }

    /// What clients can call.
    package static let operations: [Operation<KeyService>] = making + managing + using + guarding

    // A key's policy and grants decide as well, and the key is known only once its name is looked up: these operations ask
    // for the decision themselves.
    private static let recorded = OperationTraits(recordsResources: true, authorization: .operation)
    private static let silent = OperationTraits(
        recordsAnswer: false, recordsResources: true, authorization: .operation)
    /// The right to an alias comes from the caller's own policies, and is asked at the door.
    private static let ofAlias = OperationTraits(recordsAnswer: false, recordsResources: true)

    private static let making: [Operation<KeyService>] = [
        Operation(
            "CreateKey", .write, OperationTraits(redacted: []), recorded: KeyRecording.createKey,
            perform: KeyService.createKey),
        Operation(
            "DescribeKey", .read, recorded, on: key("KeyId"), recorded: KeyRecording.members("KeyId"),
            perform: KeyService.describeKey),
        Operation(
            "ListKeys", .read, recorded: KeyRecording.members("Limit", "Marker"), perform: KeyService.listKeys),
        Operation(
            "UpdateKeyDescription", .write, silent, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "Description"), perform: KeyService.updateKeyDescription),
        Operation(
            "CreateAlias", .write, ofAlias, on: alias(withTarget: true),
            recorded: KeyRecording.members("AliasName", "TargetKeyId"), perform: KeyService.createAlias),
        Operation(
            "UpdateAlias", .write, ofAlias, on: alias(withTarget: true),
            recorded: KeyRecording.members("AliasName", "TargetKeyId"), perform: KeyService.updateAlias),
        Operation(
            "DeleteAlias", .write, ofAlias, on: alias(withTarget: false), recorded: KeyRecording.members("AliasName"),
            perform: KeyService.deleteAlias),
        Operation(
            "ListAliases", .read, recorded: KeyRecording.members("KeyId", "Limit", "Marker"),
            perform: KeyService.listAliases),
    ]

    private static let managing: [Operation<KeyService>] = [
        Operation(
            "EnableKey", .write, silent, on: key("KeyId"), recorded: KeyRecording.members("KeyId"),
            perform: KeyService.enableKey),
        Operation(
            "DisableKey", .write, silent, on: key("KeyId"), recorded: KeyRecording.members("KeyId"),
            perform: KeyService.disableKey),
        Operation(
            "ScheduleKeyDeletion", .write, recorded, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "PendingWindowInDays"), perform: KeyService.scheduleKeyDeletion),
        Operation(
            "CancelKeyDeletion", .write, recorded, on: key("KeyId"), recorded: KeyRecording.members("KeyId"),
            perform: KeyService.cancelKeyDeletion),
        Operation(
            "EnableKeyRotation", .write, silent, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "RotationPeriodInDays"), perform: KeyService.enableKeyRotation),
        Operation(
            "DisableKeyRotation", .write, silent, on: key("KeyId"), recorded: KeyRecording.members("KeyId"),
            perform: KeyService.disableKeyRotation),
        Operation(
            "GetKeyRotationStatus", .read, recorded, on: key("KeyId"), recorded: KeyRecording.members("KeyId"),
            perform: KeyService.getKeyRotationStatus),
        Operation(
            "RotateKeyOnDemand", .write, recorded, on: key("KeyId"), recorded: KeyRecording.members("KeyId"),
            perform: KeyService.rotateKeyOnDemand),
        Operation(
            "ListKeyRotations", .read, recorded, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "Limit", "Marker", "IncludeKeyMaterial"),
            perform: KeyService.listKeyRotations),
        Operation(
            "TagResource", .write, silent, on: key("KeyId"), recorded: KeyRecording.members("KeyId", "Tags"),
            perform: KeyService.tagResource),
        Operation(
            "UntagResource", .write, silent, on: key("KeyId"), recorded: KeyRecording.members("KeyId", "TagKeys"),
            perform: KeyService.untagResource),
        Operation(
            "ListResourceTags", .read, recorded, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "Limit", "Marker"), perform: KeyService.listResourceTags),
    ]

    // Uses of a key change nothing, and are recorded as reads.
    private static let using: [Operation<KeyService>] = [
        Operation(
            "Encrypt", .read, recorded, on: key("KeyId"),
            recorded: KeyRecording.use("KeyId", "EncryptionContext", "DryRun", algorithms: ["EncryptionAlgorithm"]),
            perform: KeyService.encrypt),
        Operation(
            "Decrypt", .read, recorded, on: ciphertext("KeyId"),
            recorded: KeyRecording.use("KeyId", "EncryptionContext", "DryRun", algorithms: ["EncryptionAlgorithm"]),
            perform: KeyService.decrypt),
        Operation(
            "ReEncrypt", .read, recorded,
            on: { service, request, call in
                ciphertext("SourceKeyId")(service, request, call) + key("DestinationKeyId")(service, request, call)
            },
            recorded: KeyRecording.use(
                "SourceKeyId", "SourceEncryptionContext", "DestinationKeyId", "DestinationEncryptionContext", "DryRun",
                algorithms: ["SourceEncryptionAlgorithm", "DestinationEncryptionAlgorithm"]),
            perform: KeyService.reEncrypt),
        Operation(
            "GenerateDataKey", .read, recorded, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "EncryptionContext", "KeySpec", "NumberOfBytes", "DryRun"),
            perform: KeyService.generateDataKey),
        Operation(
            "GenerateDataKeyWithoutPlaintext", .read, recorded, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "EncryptionContext", "KeySpec", "NumberOfBytes", "DryRun"),
            perform: KeyService.generateDataKeyWithoutPlaintext),
        Operation(
            "GenerateRandom", .read, recorded: KeyRecording.members("NumberOfBytes"),
            perform: KeyService.generateRandom),
    ]

    private static let guarding: [Operation<KeyService>] = [
        Operation(
            "PutKeyPolicy", .write, silent, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "PolicyName", "Policy", "BypassPolicyLockoutSafetyCheck"),
            perform: KeyService.putKeyPolicy),
        Operation(
            "GetKeyPolicy", .read, recorded, on: key("KeyId"), recorded: KeyRecording.members("KeyId", "PolicyName"),
            perform: KeyService.getKeyPolicy),
        Operation(
            "ListKeyPolicies", .read, recorded, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "Limit", "Marker"), perform: KeyService.listKeyPolicies),
        Operation(
            "CreateGrant", .write, recorded, on: key("KeyId"),
            recorded: KeyRecording.members(
                "KeyId", "GranteePrincipal", "RetiringPrincipal", "Operations", "Constraints", "Name", "DryRun"),
            perform: KeyService.createGrant),
        Operation(
            "ListGrants", .read, recorded, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "GrantId", "GranteePrincipal", "Limit", "Marker"),
            perform: KeyService.listGrants),
        Operation(
            "ListRetirableGrants", .read, recorded: KeyRecording.members("RetiringPrincipal", "Limit", "Marker"),
            perform: KeyService.listRetirableGrants),
        Operation(
            "RetireGrant", .write, silent, on: grant, recorded: KeyRecording.members("KeyId", "GrantId", "DryRun"),
            perform: KeyService.retireGrant),
        Operation(
            "RevokeGrant", .write, silent, on: key("KeyId"),
            recorded: KeyRecording.members("KeyId", "GrantId", "DryRun"), perform: KeyService.revokeGrant),
    ]

    let table: KeyTable
    let vault: any KeyVault
    let clock: Clock
    let randomBytes: @Sendable (Int) -> [UInt8]
    let record: Record
    let decide: KeyDecision
    let principals: PrincipalDirectory

    /// Makes an event durable that no client's call stands behind.
    package typealias Record = @Sendable (KeyEvent) async throws(AWSError) -> Void

    private init(
        _ table: KeyTable, vault: any KeyVault, clock: @escaping Clock,
        randomBytes: @escaping @Sendable (Int) -> [UInt8], decide: @escaping KeyDecision, record: @escaping Record,
        principals: PrincipalDirectory
    ) {
        self.table = table
        self.principals = principals
        self.decide = decide
        self.vault = vault
        self.clock = clock
        self.randomBytes = randomBytes
        self.record = record
    }

    /// Opens the room with all keys that the catalog has.
    ///
    /// - Parameters:
    ///   - vault: seals the material of keys.
    ///   - randomBytes: a source fit for keys.
    ///   - decide: knows the callers' own policies.
    ///   - record: takes the events of other services' uses, of rotations and deletions.
    ///   - principals: finds the users and roles that key policies name.
    package static func open(
        catalog: Catalog, vault: any KeyVault, clock: @escaping Clock,
        randomBytes: @escaping @Sendable (Int) -> [UInt8], decide: @escaping KeyDecision, record: @escaping Record,
        principals: PrincipalDirectory = .none
    ) async throws(AWSError) -> KeyService {
        KeyService(
            try await KeyTable.open(catalog), vault: vault, clock: clock, randomBytes: randomBytes, decide: decide,
            record: record, principals: principals)
    }

    /// The service with its operations bound to this object.
    package var service: Service {
        Service(
            "kms", .json(version: "1.1"), targetPrefixes: ["TrentService"], owner: self, operations: Self.operations)
    }
}

// MARK: - Which key a request is about

extension KeyService {
    private static func key(_ member: String) -> Operation<KeyService>.Resources {
        { service, request, call in
            request.parameters[member]?.asString.flatMap { service.reference($0, call) }.map { [$0] } ?? []
        }
    }

    /// The key that a ciphertext names; without a readable one, the key that the caller names.
    private static func ciphertext(_ member: String) -> Operation<KeyService>.Resources {
        { service, request, call in
            if let bytes = request.parameters["CiphertextBlob"]?.asString.flatMap({ Base64.decode($0) }),
                let id = CiphertextBlob(bytes)?.keyID,
                let key = service.table.read({ $0.keys[id] }), key.region == call.region
            {
                return [reference(key.arn, key.account)]
            }
            return key(member)(service, request, call)
        }
    }

    private static func alias(withTarget: Bool) -> Operation<KeyService>.Resources {
        { service, request, call in
            guard let name = request.parameters["AliasName"]?.asString, AliasName.isValid(name) else { return [] }
            let arn = "arn:aws:kms:\(call.region):\(call.accountID):\(name)"
            let alias = ResourceReference(type: "AWS::KMS::Alias", arn: arn, accountID: call.accountID)
            let target =
                withTarget
                ? request.parameters["TargetKeyId"]?.asString
                : service.table.read { $0.aliases[arn]?.target }
            var key = target.flatMap { service.reference($0, call) }
            key?.isOnlyShown = true
            return [alias] + (key.map { [$0] } ?? [])
        }
    }

    private static let grant: Operation<KeyService>.Resources = { service, request, call in
        if let token = request.parameters["GrantToken"]?.asString, let parts = GrantRecord.parse(token: token),
            let key = service.table.read({ $0.keys[parts.keyID] })
        {
            return [reference(key.arn, key.account)]
        }
        return key("KeyId")(service, request, call)
    }

    private static func reference(_ arn: String, _ account: String) -> ResourceReference {
        ResourceReference(type: "AWS::KMS::Key", arn: arn, accountID: account)
    }

    /// The key by its ARN, whether or not it exists; nil where nothing can be said.
    private func reference(_ text: String, _ call: Call) -> ResourceReference? {
        guard let name = try? KeyName(text) else { return nil }
        if let key = try? find(name, call, allowsAlias: true) { return Self.reference(key.arn, key.account) }
        switch name {
        case .id(let id):
            return Self.reference("arn:aws:kms:\(call.region):\(call.accountID):key/\(id)", call.accountID)
        case .arn(_, let account, _): return Self.reference(text, account)
        case .alias, .aliasARN: return nil
        }
    }

    /// - Throws: `NotFoundException` in its forms.
    func find(_ name: KeyName, _ call: Call, allowsAlias: Bool = false) throws(AWSError) -> KeyRecord {
        try table.read { content throws(AWSError) in
            try content.find(name, account: call.accountID, region: call.region, allowsAlias: allowsAlias)
        }
    }

    /// Changes one key of the caller's account.
    ///
    /// - Parameter body: sees the key as it is when the change is its turn.
    @discardableResult
    func change(
        _ name: KeyName, _ call: Call, action: String,
        _ body: @escaping @Sendable (inout KeyRecord) throws(AWSError) -> Void
    ) async throws(AWSError) -> KeyRecord {
        _ = try await target(name, action, call)
        return try await table.change { content throws(AWSError) in
            var key = try content.find(name, account: call.accountID, region: call.region, allowsAlias: false)
            try body(&key)
            return ([.key(key)], key)
        }
    }
}
