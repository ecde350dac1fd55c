// SPDX-License-Identifier: Apache-2.0
//
// Grants allow, and never deny. Source: KMS Developer Guide, "Grants in AWS KMS"; API Reference, CreateGrant.

internal import AWSWire
internal import Policies

extension KeyService {
    @Sendable func createGrant(_ input: CreateGrantInput, _ call: Call) async throws(AWSError) -> GrantOutput {
        let key = try await target(input.key, "CreateGrant", call, more: input.conditions, child: input)
        try key.checkUsable()
        if input.isDryRun { throw .dryRun }
        let fresh = GrantRecord(
            id: KeyUUID.hex(randomBytes(32)), keyID: key.id, name: input.name, grantee: input.grantee,
            retiring: input.retiring, issuer: call.caller.arn ?? call.accountID, account: call.accountID,
            operations: input.operations, contextEquals: input.contextEquals, contextSubset: input.contextSubset,
            made: clock().milliseconds)
        let grant = try await table.change { content throws(AWSError) in
            guard let current = content.keys[key.id] else { throw .keyNotFound(key.arn) }
            try current.checkUsable()
            let grants = content.grants[key.id] ?? [:]
            // With a name, the same request again is the same grant.
            if fresh.name != nil, let same = grants.values.first(where: { $0.isSame(as: fresh) }) {
                return ([], same)
            }
            guard grants.count < Limits.grantsPerKey else {
                throw .keyLimit("The key \(key.arn) has \(grants.count) grants already.")
            }
            return ([.grant(fresh)], fresh)
        }
        return GrantOutput(grant: grant)
    }

    @Sendable func listGrants(_ input: ListGrantsInput, _ call: Call) async throws(AWSError) -> ListOutput {
        let key = try await target(input.key, "ListGrants", call)
        let grants = table.read { content in
            (content.grants[key.id] ?? [:]).values.filter { grant in
                (input.grantID == nil || grant.id == input.grantID)
                    && (input.grantee == nil || grant.grantee == input.grantee)
            }
        }
        return Self.list(grants, input.page, keys: [key.id: key])
    }

    @Sendable func listRetirableGrants(
        _ input: ListRetirableGrantsInput, _ call: Call
    ) async throws(AWSError) -> ListOutput {
        let (grants, keys) = table.read { content in
            (
                content.grants.values.flatMap(\.values).filter { grant in
                    grant.retiring == input.retiring && content.keys[grant.keyID]?.region == call.region
                        && content.keys[grant.keyID]?.account == call.accountID
                },
                content.keys
            )
        }
        return Self.list(grants, input.page, keys: keys)
    }

    private static func list(_ grants: [GrantRecord], _ page: PageRequest, keys: [String: KeyRecord]) -> ListOutput {
        let page = Page(grants.sorted { $0.id < $1.id }, page) { $0.id }
        return ListOutput(
            members: page.members("Grants") { grant in
                .structure(grant.members(keyARN: keys[grant.keyID]?.arn ?? grant.keyID))
            })
    }

    /// Takes a grant back by its retiring principal, its account, or a grantee that may.
    @Sendable func retireGrant(_ input: RetireGrantInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let (key, grant) = try table.read { content throws(AWSError) -> (KeyRecord, GrantRecord) in
            switch input.grant {
            case .token(let keyID, let grantID):
                guard let key = content.keys[keyID], let grant = content.grants[keyID]?[grantID] else {
                    throw .grantNotFound(grantID)
                }
                return (key, grant)
            case .id(let name, let id):
                let key = try content.find(
                    name, account: call.accountID, region: call.region, allowsAlias: false)
                guard let grant = content.grants[key.id]?[id] else { throw .grantNotFound(id) }
                return (key, grant)
            }
        }
        let arns = [call.caller.arn, Principal(call.caller)?.entityARN].compactMap { $0 }
        let isRetirer =
            grant.retiring.map(arns.contains) ?? false
            || (arns.contains(grant.grantee) && grant.operations.contains("RetireGrant"))
            || (call.caller.kind == .root && call.accountID == grant.account)
        if !isRetirer { try await allow("RetireGrant", on: key, call) }
        if input.isDryRun { throw .dryRun }
        try await remove(grant)
        return EmptyOutput()
    }

    @Sendable func revokeGrant(_ input: RevokeGrantInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let key = try await target(input.key, "RevokeGrant", call)
        guard let grant = table.read({ $0.grants[key.id]?[input.grantID] }) else {
            throw .grantNotFound(input.grantID)
        }
        if input.isDryRun { throw .dryRun }
        try await remove(grant)
        return EmptyOutput()
    }

    private func remove(_ grant: GrantRecord) async throws(AWSError) {
        try await table.change { content throws(AWSError) in
            guard content.grants[grant.keyID]?[grant.id] != nil else { throw .grantNotFound(grant.id) }
            return ([.noGrant(keyID: grant.keyID, id: grant.id)], ())
        }
    }
}

extension GrantRecord {
    /// Whether a grantee of this one may make that grant: no operation more, and constraints as strict or stricter.
    /// Source: KMS Developer Guide, "Creating grants", "Granting CreateGrant permission".
    func mayHave(_ child: CreateGrantInput) -> Bool {
        guard Set(child.operations).isSubset(of: operations) else { return false }
        if let contextEquals {
            guard let equals = child.contextEquals, equals.count == contextEquals.count,
                KeyGrant.holds(equals, contextEquals)
            else { return false }
        }
        if let contextSubset {
            let isWithin = [child.contextEquals, child.contextSubset].contains { pairs in
                pairs.map { KeyGrant.holds($0, contextSubset) } ?? false
            }
            guard isWithin else { return false }
        }
        return true
    }

    fileprivate func isSame(as other: GrantRecord) -> Bool {
        name == other.name && grantee == other.grantee && retiring == other.retiring && account == other.account
            && Set(operations) == Set(other.operations) && contextEquals == other.contextEquals
            && contextSubset == other.contextSubset
    }

    fileprivate func members(keyARN: String) -> WireStructure {
        var members: WireStructure = ["KeyId": .string(keyARN), "GrantId": .string(id)]
        members.append("Name", ifPresent: WireValue(name))
        members.append("CreationDate", .timestamp(Timestamp(milliseconds: made)))
        members.append("GranteePrincipal", .string(grantee))
        members.append("RetiringPrincipal", ifPresent: WireValue(retiring))
        members.append("IssuingAccount", .string("arn:aws:iam::\(account):root"))
        members.append("Operations", .list(operations.map { .string($0) }))
        var constraints = WireStructure()
        if let contextEquals { constraints.append("EncryptionContextEquals", Self.map(contextEquals)) }
        if let contextSubset { constraints.append("EncryptionContextSubset", Self.map(contextSubset)) }
        if !constraints.isEmpty { members.append("Constraints", .structure(constraints)) }
        return members
    }

    private static func map(_ pairs: [String: String]) -> WireValue {
        .structure(WireStructure(pairs.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) }))
    }
}

struct CreateGrantInput: OperationInput {
    /// The operations that a grant on a symmetric key can allow.
    static let operations = [
        "CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
        "ReEncryptFrom", "ReEncryptTo", "RetireGrant",
    ]
    /// Operations of the model that other kinds of keys have.
    static let foreignOperations = [
        "Sign", "Verify", "GetPublicKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateMac",
        "VerifyMac", "DeriveSharedSecret",
    ]
    static let pairsMax = 8
    static let valueLengthMax = 384

    let key: KeyName
    let grantee: String
    let retiring: String?
    let operations: [String]
    let contextEquals: [String: String]?
    let contextSubset: [String: String]?
    let name: String?
    let isDryRun: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(
            request,
            known: [
                "KeyId", "GranteePrincipal", "RetiringPrincipal", "Operations", "Constraints", "GrantTokens", "Name",
                "DryRun",
            ])
        key = try fields.keyName("KeyId")
        grantee = try Self.principal(try fields.requiredString("GranteePrincipal"))
        if let text = try fields.string("RetiringPrincipal") {
            retiring = try Self.principal(text)
        } else {
            retiring = nil
        }
        guard let operations = try fields.strings("Operations") else { throw .missingMember("Operations") }
        for operation in operations where !Self.operations.contains(operation) {
            guard Self.foreignOperations.contains(operation) else {
                throw .notOneOf("Operations", operation, Self.operations + Self.foreignOperations)
            }
            throw .validation("Operation \(operation) is not supported for keys of the spec SYMMETRIC_DEFAULT.")
        }
        guard !operations.isEmpty else { throw .validation("A grant must allow at least one operation.") }
        self.operations = operations
        let constraints = try fields.structure(
            "Constraints", known: ["EncryptionContextEquals", "EncryptionContextSubset"])
        contextEquals = try constraints.flatMap { fields throws(AWSError) in
            try Self.pairs(fields, "EncryptionContextEquals")
        }
        contextSubset = try constraints.flatMap { fields throws(AWSError) in
            try Self.pairs(fields, "EncryptionContextSubset")
        }
        try fields.checkGrantTokens()
        name = try fields.string("Name")
        if let name {
            guard (1...256).contains(name.utf8.count) else { throw .wrongLength("Name", name.utf8.count, 1...256) }
        }
        isDryRun = try fields.bool("DryRun") ?? false
    }

    private static func principal(_ text: String) throws(AWSError) -> String {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard text.utf8.count <= 256, parts.count == 6, parts[0] == "arn", parts[2] == "iam" || parts[2] == "sts",
            parts[4].utf8.count == 12, !parts[5].isEmpty, !parts[5].hasPrefix("group/")
        else { throw .invalidARN(text) }
        return text
    }

    private static func pairs(_ fields: WireFields, _ name: String) throws(AWSError) -> [String: String]? {
        guard fields.has(name) else { return nil }
        let pairs = try EncryptionContext(fields, name).pairs
        guard pairs.count <= pairsMax, pairs.values.allSatisfy({ $0.count <= valueLengthMax }) else {
            throw .validation(
                "A grant's constraint can have at most \(pairsMax) pairs with values of at most \(valueLengthMax) "
                    + "characters.")
        }
        return pairs
    }

    var conditions: RequestContext {
        [
            "kms:GranteePrincipal": ContextValue(grantee), "kms:GrantOperations": ContextValue(set: operations),
            "kms:GrantIsForAWSResource": "false",
        ]
    }
}

struct GrantOutput: OperationOutput {
    let grant: GrantRecord

    func answer() -> OperationAnswer {
        OperationAnswer(
            body: .members(["GrantToken": .string(grant.token), "GrantId": .string(grant.id)]),
            recorded: ["GrantId": .string(grant.id)])
    }
}

struct ListGrantsInput: OperationInput {
    let key: KeyName
    let grantID: String?
    let grantee: String?
    let page: PageRequest

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["KeyId", "GrantId", "GranteePrincipal", "Limit", "Marker"])
        key = try fields.keyName("KeyId")
        grantID = try fields.string("GrantId")
        grantee = try fields.string("GranteePrincipal")
        page = try PageRequest(fields, defaultLimit: 50)
    }
}

struct ListRetirableGrantsInput: OperationInput {
    let retiring: String
    let page: PageRequest

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["RetiringPrincipal", "Limit", "Marker"])
        retiring = try fields.requiredString("RetiringPrincipal")
        page = try PageRequest(fields, defaultLimit: 50)
    }
}

struct RetireGrantInput: OperationInput {
    enum Named: Sendable {
        case token(keyID: String, grantID: String)
        case id(KeyName, String)
    }

    let grant: Named
    let isDryRun: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["GrantToken", "KeyId", "GrantId", "DryRun"])
        isDryRun = try fields.bool("DryRun") ?? false
        if let token = try fields.string("GrantToken") {
            guard let parts = GrantRecord.parse(token: token) else { throw .invalidGrantToken }
            grant = .token(keyID: parts.keyID, grantID: parts.grantID)
        } else {
            guard fields.has("KeyId"), fields.has("GrantId") else {
                throw .validation("Either a grant token, or a key and a grant ID must be given.")
            }
            grant = .id(try fields.keyName("KeyId"), try fields.requiredString("GrantId"))
        }
    }
}

struct RevokeGrantInput: OperationInput {
    let key: KeyName
    let grantID: String
    let isDryRun: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["KeyId", "GrantId", "DryRun"])
        key = try fields.keyName("KeyId")
        grantID = try fields.requiredString("GrantId")
        guard (1...128).contains(grantID.utf8.count) else { throw .invalidGrantID }
        isDryRun = try fields.bool("DryRun") ?? false
    }
}
