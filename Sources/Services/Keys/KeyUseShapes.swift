// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// AWS's bounds on what goes through a key.
enum KeyLimits {
    static let plaintext = 1...4096
    static let ciphertext = 1...6144
    static let numberOfBytes: ClosedRange<Int64> = 1...1024
}

struct EncryptInput: OperationInput {
    let key: KeyName
    let plaintext: [UInt8]
    let context: EncryptionContext
    let isDryRun: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(
            request,
            known: ["KeyId", "Plaintext", "EncryptionContext", "GrantTokens", "EncryptionAlgorithm", "DryRun"])
        key = try fields.keyName("KeyId")
        plaintext = try fields.requiredBlob("Plaintext", KeyLimits.plaintext)
        context = try EncryptionContext(fields, "EncryptionContext")
        try fields.checkAlgorithm("EncryptionAlgorithm")
        try fields.checkGrantTokens()
        isDryRun = try fields.bool("DryRun") ?? false
    }
}

struct EncryptOutput: OperationOutput {
    let blob: [UInt8]
    let keyARN: String

    func answer() -> OperationAnswer {
        OperationAnswer(
            body: .members([
                "CiphertextBlob": .string(Base64.encode(blob)), "KeyId": .string(keyARN),
                "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            ]))
    }
}

struct DecryptInput: OperationInput {
    let blob: [UInt8]
    let key: KeyName?
    let context: EncryptionContext
    let isDryRun: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(
            request,
            known: [
                "CiphertextBlob", "EncryptionContext", "GrantTokens", "KeyId", "EncryptionAlgorithm", "Recipient",
                "DryRun", "DryRunModifiers",
            ])
        try fields.refuseRecipient()
        blob = try fields.requiredBlob("CiphertextBlob", KeyLimits.ciphertext)
        key = try fields.has("KeyId") ? fields.keyName("KeyId") : nil
        context = try EncryptionContext(fields, "EncryptionContext")
        try fields.checkAlgorithm("EncryptionAlgorithm")
        try fields.checkGrantTokens()
        isDryRun = try fields.bool("DryRun") ?? false
    }
}

struct DecryptOutput: OperationOutput {
    let plaintext: [UInt8]
    let keyARN: String
    let materialID: String

    func answer() -> OperationAnswer {
        OperationAnswer(
            body: .members([
                "KeyId": .string(keyARN), "Plaintext": .string(Base64.encode(plaintext)),
                "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "KeyMaterialId": .string(materialID),
            ]))
    }
}

struct ReEncryptInput: OperationInput {
    let blob: [UInt8]
    let source: KeyName?
    let sourceContext: EncryptionContext
    let destination: KeyName
    let destinationContext: EncryptionContext
    let isDryRun: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(
            request,
            known: [
                "CiphertextBlob", "SourceEncryptionContext", "SourceKeyId", "DestinationKeyId",
                "DestinationEncryptionContext", "SourceEncryptionAlgorithm", "DestinationEncryptionAlgorithm",
                "GrantTokens", "DryRun", "DryRunModifiers",
            ])
        blob = try fields.requiredBlob("CiphertextBlob", KeyLimits.ciphertext)
        source = try fields.has("SourceKeyId") ? fields.keyName("SourceKeyId") : nil
        sourceContext = try EncryptionContext(fields, "SourceEncryptionContext")
        destination = try fields.keyName("DestinationKeyId")
        destinationContext = try EncryptionContext(fields, "DestinationEncryptionContext")
        try fields.checkAlgorithm("SourceEncryptionAlgorithm")
        try fields.checkAlgorithm("DestinationEncryptionAlgorithm")
        try fields.checkGrantTokens()
        isDryRun = try fields.bool("DryRun") ?? false
    }
}

struct ReEncryptOutput: OperationOutput {
    let blob: [UInt8]
    let source: (arn: String, materialID: String)
    let destination: (arn: String, materialID: String)

    func answer() -> OperationAnswer {
        OperationAnswer(
            body: .members([
                "CiphertextBlob": .string(Base64.encode(blob)), "SourceKeyId": .string(source.arn),
                "KeyId": .string(destination.arn), "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                "SourceKeyMaterialId": .string(source.materialID),
                "DestinationKeyMaterialId": .string(destination.materialID),
            ]))
    }
}

struct GenerateDataKeyInput: OperationInput {
    let key: KeyName
    let context: EncryptionContext
    let bytesCount: Int
    let isDryRun: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(
            request,
            known: [
                "KeyId", "EncryptionContext", "NumberOfBytes", "KeySpec", "GrantTokens", "Recipient", "DryRun",
            ])
        try fields.refuseRecipient()
        key = try fields.keyName("KeyId")
        context = try EncryptionContext(fields, "EncryptionContext")
        try fields.checkGrantTokens()
        isDryRun = try fields.bool("DryRun") ?? false
        switch (try fields.string("KeySpec"), try fields.integer("NumberOfBytes")) {
        case ("AES_256", nil): bytesCount = 32
        case ("AES_128", nil): bytesCount = 16
        case (let spec?, nil): throw .notOneOf("KeySpec", spec, ["AES_256", "AES_128"])
        case (nil, let count?):
            guard KeyLimits.numberOfBytes.contains(count) else {
                throw .outOfRange("NumberOfBytes", count, KeyLimits.numberOfBytes)
            }
            bytesCount = Int(count)
        case (_?, _?), (nil, nil):
            throw .validation("Please specify either number of bytes or key spec.")
        }
    }
}

struct DataKeyOutput: OperationOutput {
    /// Nil for GenerateDataKeyWithoutPlaintext.
    let plaintext: [UInt8]?
    let blob: [UInt8]
    let keyARN: String
    let materialID: String

    func answer() -> OperationAnswer {
        var members: WireStructure = ["CiphertextBlob": .string(Base64.encode(blob))]
        members.append("Plaintext", ifPresent: plaintext.map { .string(Base64.encode($0)) })
        members.append("KeyId", .string(keyARN))
        members.append("KeyMaterialId", .string(materialID))
        return OperationAnswer(body: .members(members))
    }
}

struct GenerateRandomInput: OperationInput {
    let bytesCount: Int

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["NumberOfBytes", "CustomKeyStoreId", "Recipient"])
        try fields.refuseRecipient()
        if fields.has("CustomKeyStoreId") { throw .unsupported("Custom key stores are not offered here.") }
        guard let count = try fields.integer("NumberOfBytes") else { throw .missingMember("NumberOfBytes") }
        guard KeyLimits.numberOfBytes.contains(count) else {
            throw .outOfRange("NumberOfBytes", count, KeyLimits.numberOfBytes)
        }
        bytesCount = Int(count)
    }
}

struct GenerateRandomOutput: OperationOutput {
    let bytes: [UInt8]
    func answer() -> OperationAnswer {
        OperationAnswer(body: .members(["Plaintext": .string(Base64.encode(bytes))]))
    }
}

extension WireFields {
    fileprivate func refuseRecipient() throws(AWSError) {
        if has("Recipient") { throw .unsupported("Recipients with an attestation document are not offered here.") }
    }

    fileprivate func checkAlgorithm(_ name: String) throws(AWSError) {
        guard let algorithm = try string(name), algorithm != "SYMMETRIC_DEFAULT" else { return }
        let known = ["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"]
        guard known.contains(algorithm) else { throw .notOneOf(name, algorithm, known) }
        throw AWSError(
            "InvalidKeyUsageException",
            "The algorithm \(algorithm) is not compatible with the key spec SYMMETRIC_DEFAULT.")
    }
}
