// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// What most operations on a key ask: the key alone.
struct KeyInput: OperationInput {
    let key: KeyName

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["KeyId", "GrantTokens"])
        key = try fields.keyName("KeyId")
        try fields.checkGrantTokens()
    }
}

struct CreateKeyInput: OperationInput {
    let policy: String?
    let description: String
    let tags: [KeyRecord.Tag]
    let bypassesLockoutCheck: Bool

    static let members = [
        "Policy", "Description", "KeyUsage", "CustomerMasterKeySpec", "KeySpec", "Origin", "CustomKeyStoreId",
        "BypassPolicyLockoutSafetyCheck", "Tags", "MultiRegion", "XksKeyId",
    ]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: Self.members)
        policy = try fields.string("Policy")
        description = try fields.description("Description") ?? ""
        tags = try fields.tags("Tags") ?? []
        bypassesLockoutCheck = try fields.bool("BypassPolicyLockoutSafetyCheck") ?? false
        let olderSpec = try fields.string("CustomerMasterKeySpec")
        let spec = try fields.string("KeySpec") ?? olderSpec ?? "SYMMETRIC_DEFAULT"
        let usage = try fields.string("KeyUsage") ?? "ENCRYPT_DECRYPT"
        let origin = try fields.string("Origin") ?? "AWS_KMS"
        guard Self.specs.contains(spec) || spec.hasPrefix("ML_DSA_") else {
            throw .notOneOf("KeySpec", spec, Self.specs)
        }
        guard Self.usages.contains(usage) else { throw .notOneOf("KeyUsage", usage, Self.usages) }
        guard Self.origins.contains(origin) else { throw .notOneOf("Origin", origin, Self.origins) }
        guard spec == "SYMMETRIC_DEFAULT" else {
            throw .unsupported("Keys of the spec \(spec) are not offered here; SYMMETRIC_DEFAULT is.")
        }
        guard usage == "ENCRYPT_DECRYPT" else {
            throw .validation("KeyUsage \(usage) is not compatible with KeySpec SYMMETRIC_DEFAULT")
        }
        guard origin == "AWS_KMS", !fields.has("CustomKeyStoreId"), !fields.has("XksKeyId") else {
            throw .unsupported("Keys with the origin \(origin) are not offered here; AWS_KMS is.")
        }
        if try fields.bool("MultiRegion") == true {
            throw .unsupported("Multi-Region keys are not offered here.")
        }
    }

    private static let specs = [
        "SYMMETRIC_DEFAULT", "RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521",
        "ECC_SECG_P256K1", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "SM2",
    ]
    private static let usages = ["SIGN_VERIFY", "ENCRYPT_DECRYPT", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"]
    private static let origins = ["AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"]
}

struct KeyMetadataOutput: OperationOutput {
    let key: KeyRecord

    func answer() -> OperationAnswer {
        let members = members(date: { .timestamp($0) })
        var recorded = self.members(date: { .string($0.recordForm) })
        recorded.members = recorded.members.filter { $0.name != "CurrentKeyMaterialId" }
        return OperationAnswer(
            body: .members(["KeyMetadata": .structure(members)]), recorded: ["KeyMetadata": .structure(recorded)])
    }

    private func members(date: (Timestamp) -> WireValue) -> WireStructure {
        var members: WireStructure = [
            "AWSAccountId": .string(key.account), "KeyId": .string(key.id), "Arn": .string(key.arn),
            "CreationDate": date(Timestamp(milliseconds: key.made)), "Enabled": .bool(key.state == .enabled),
            "Description": .string(key.description), "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyState": .string(key.state.rawValue),
        ]
        members.append("DeletionDate", ifPresent: key.deletion.map { date(Timestamp(milliseconds: $0)) })
        members.append("Origin", "AWS_KMS")
        members.append("KeyManager", .string(key.manager))
        members.append("CustomerMasterKeySpec", "SYMMETRIC_DEFAULT")
        members.append("KeySpec", "SYMMETRIC_DEFAULT")
        members.append("EncryptionAlgorithms", ["SYMMETRIC_DEFAULT"])
        members.append("MultiRegion", false)
        members.append("CurrentKeyMaterialId", ifPresent: key.current.map { .string($0.id) })
        return members
    }
}

struct ScheduleKeyDeletionInput: OperationInput {
    static let days: ClosedRange<Int64> = 7...30

    let key: KeyName
    let days: Int64

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["KeyId", "PendingWindowInDays"])
        key = try fields.keyName("KeyId")
        days = try fields.integer("PendingWindowInDays") ?? Self.days.upperBound
        guard Self.days.contains(days) else { throw .outOfRange("PendingWindowInDays", days, Self.days) }
    }
}

struct ScheduleKeyDeletionOutput: OperationOutput {
    let key: KeyRecord

    func answer() -> OperationAnswer {
        let deletion = Timestamp(milliseconds: key.deletion ?? 0)
        func members(_ date: WireValue) -> WireStructure {
            [
                "KeyId": .string(key.arn), "DeletionDate": date, "KeyState": .string(key.state.rawValue),
                "PendingWindowInDays": .integer(key.deletionDays ?? 0),
            ]
        }
        return OperationAnswer(
            body: .members(members(.timestamp(deletion))),
            recorded: members(.string(deletion.recordForm)))
    }
}

/// The answer that names the key and nothing else.
struct KeyOutput: OperationOutput {
    let arn: String
    func answer() -> OperationAnswer { OperationAnswer(body: .members(["KeyId": .string(arn)])) }
}

struct EmptyOutput: OperationOutput {
    // Clients get an empty body, as from AWS.
    func answer() -> OperationAnswer { OperationAnswer(body: .bytes([], contentType: "application/x-amz-json-1.1")) }
}

/// One page of a list whose items have unique texts in their order.
struct Page<Item: Sendable>: Sendable {
    var items: [Item]
    var marker: String?

    /// - Parameters:
    ///   - items: in the order of their texts.
    ///   - text: what the marker holds of the page's last item.
    init(_ items: [Item], _ request: PageRequest, text: (Item) -> String) {
        let rest = request.after.map { after in items.drop { text($0) <= after } } ?? items[...]
        self.items = Array(rest.prefix(request.limit))
        marker = rest.count > request.limit ? self.items.last.map { Base64.encode(Array(text($0).utf8)) } : nil
    }

    func members(_ name: String, _ show: (Item) -> WireValue) -> WireStructure {
        var members: WireStructure = [name: .list(items.map(show))]
        members.append("NextMarker", ifPresent: WireValue(marker))
        members.append("Truncated", .bool(marker != nil))
        return members
    }
}

struct PageRequest: Sendable, Equatable {
    static let range: ClosedRange<Int64> = 1...1000

    let limit: Int
    let after: String?

    init(_ fields: WireFields, defaultLimit: Int64 = 100) throws(AWSError) {
        let limit = try fields.integer("Limit") ?? defaultLimit
        guard Self.range.contains(limit) else { throw .outOfRange("Limit", limit, Self.range) }
        self.limit = Int(limit)
        guard let marker = try fields.string("Marker") else {
            after = nil
            return
        }
        guard let bytes = Base64.decode(marker), let text = String(validating: bytes, as: UTF8.self), !text.isEmpty
        else { throw .invalidMarker }
        after = text
    }
}

struct PageInput: OperationInput {
    let page: PageRequest

    init(_ request: OperationRequest) throws(AWSError) {
        page = try PageRequest(try WireFields(request, known: ["Limit", "Marker"]))
    }
}

/// A key, and a page of what belongs to it.
struct KeyPageInput: OperationInput {
    let key: KeyName?
    /// The key, where the operation needs one.
    var required: KeyName {
        get throws(AWSError) {
            guard let key else { throw .missingMember("KeyId") }
            return key
        }
    }
    let page: PageRequest
    let includesMaterials: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["KeyId", "Limit", "Marker", "IncludeKeyMaterial"])
        key = try fields.has("KeyId") ? fields.keyName("KeyId") : nil
        page = try PageRequest(fields, defaultLimit: 50)
        let wanted = try fields.string("IncludeKeyMaterial") ?? "ROTATIONS_ONLY"
        let values = ["ALL_KEY_MATERIAL", "ROTATIONS_ONLY"]
        guard values.contains(wanted) else { throw .notOneOf("IncludeKeyMaterial", wanted, values) }
        includesMaterials = wanted == "ALL_KEY_MATERIAL"
    }
}

/// A list, already in its wire form.
struct ListOutput: OperationOutput {
    let members: WireStructure
    func answer() -> OperationAnswer { OperationAnswer(body: .members(members)) }
}

struct AliasInput: OperationInput {
    let name: String
    let target: KeyName

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["AliasName", "TargetKeyId"])
        name = try fields.aliasName()
        target = try fields.keyName("TargetKeyId")
    }
}

struct DeleteAliasInput: OperationInput {
    let name: String

    init(_ request: OperationRequest) throws(AWSError) {
        name = try WireFields(request, known: ["AliasName"]).aliasName()
    }
}

struct TagResourceInput: OperationInput {
    let key: KeyName
    let tags: [KeyRecord.Tag]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["KeyId", "Tags"])
        key = try fields.keyName("KeyId")
        guard let tags = try fields.tags("Tags") else { throw .missingMember("Tags") }
        self.tags = tags
    }
}

struct UntagResourceInput: OperationInput {
    let key: KeyName
    let tagKeys: [String]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["KeyId", "TagKeys"])
        key = try fields.keyName("KeyId")
        guard let keys = try fields.strings("TagKeys") else { throw .missingMember("TagKeys") }
        tagKeys = keys
    }
}

struct UpdateKeyDescriptionInput: OperationInput {
    let key: KeyName
    let description: String

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["KeyId", "Description"])
        key = try fields.keyName("KeyId")
        guard let text = try fields.description("Description") else { throw .missingMember("Description") }
        description = text
    }
}

struct EnableKeyRotationInput: OperationInput {
    static let days: ClosedRange<Int64> = 90...2560

    let key: KeyName
    let days: Int64

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["KeyId", "RotationPeriodInDays"])
        key = try fields.keyName("KeyId")
        days = try fields.integer("RotationPeriodInDays") ?? 365
        guard Self.days.contains(days) else { throw .outOfRange("RotationPeriodInDays", days, Self.days) }
    }
}

extension WireFields {
    static let descriptionLengthMax = 8192

    func keyName(_ name: String) throws(AWSError) -> KeyName { try KeyName(try requiredString(name)) }

    func description(_ name: String) throws(AWSError) -> String? {
        guard let text = try string(name) else { return nil }
        guard text.count <= Self.descriptionLengthMax else {
            throw .wrongLength(name, text.count, 0...Self.descriptionLengthMax)
        }
        return text
    }

    /// Blob members are base 64 text in JSON.
    func blob(_ name: String, _ range: ClosedRange<Int>) throws(AWSError) -> [UInt8]? {
        guard let text = try string(name) else { return nil }
        guard let bytes = Base64.decode(text) else { throw .serialization("member '\(name)' is not base 64") }
        guard range.contains(bytes.count) else { throw .wrongLength(name, bytes.count, range) }
        return bytes
    }

    func requiredBlob(_ name: String, _ range: ClosedRange<Int>) throws(AWSError) -> [UInt8] {
        guard let bytes = try blob(name, range) else { throw .missingMember(name) }
        return bytes
    }

    func aliasName() throws(AWSError) -> String {
        let name = try requiredString("AliasName")
        guard (1...256).contains(name.utf8.count) else { throw .wrongLength("AliasName", name.utf8.count, 1...256) }
        guard name.hasPrefix("alias/") else { throw .validation("Invalid identifier") }
        guard name.utf8.count > 6 else { throw .invalidAliasName }
        guard AliasName.isValid(name) else {
            throw .validation("\(name.dropFirst(6)) contains invalid characters for an alias")
        }
        return name
    }

    /// Grants count here as soon as they are made, so that a token tells nothing new; one that is none is refused.
    func checkGrantTokens() throws(AWSError) {
        guard let tokens = try strings("GrantTokens") else { return }
        guard tokens.count <= 10 else { throw .wrongLength("GrantTokens", tokens.count, 0...10) }
        for token in tokens where GrantRecord.parse(token: token) == nil { throw .invalidGrantToken }
    }

    func tags(_ name: String) throws(AWSError) -> [KeyRecord.Tag]? {
        guard let items = try structures(name, known: ["TagKey", "TagValue"]) else { return nil }
        var tags: [KeyRecord.Tag] = []
        for item in items {
            let tag = KeyRecord.Tag(
                key: try item.requiredString("TagKey"), value: try item.requiredString("TagValue"))
            guard (1...128).contains(tag.key.count) else { throw .wrongLength("TagKey", tag.key.count, 1...128) }
            guard tag.value.count <= 256 else { throw .wrongLength("TagValue", tag.value.count, 0...256) }
            guard !tag.key.lowercased().hasPrefix("aws:") else {
                throw .tagProblem("Tags that begin with aws: are reserved for internal use.")
            }
            guard !tags.contains(where: { $0.key == tag.key }) else { throw .tagProblem("Duplicate tag keys") }
            tags.append(tag)
        }
        return tags
    }
}
