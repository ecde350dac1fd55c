// SPDX-License-Identifier: Apache-2.0

package import AWSWire

/// A data key as a service gets it.
package struct DataKey: Sendable, CustomStringConvertible, CustomReflectable {
    /// 32 bytes, for the memory of the service alone.
    package let plaintext: [UInt8]
    /// Kept beside what it encrypts; opens again by `KeyService.openDataKey`.
    package let blob: [UInt8]
    package let keyARN: String

    package init(plaintext: [UInt8], blob: [UInt8], keyARN: String) {
        self.plaintext = plaintext
        self.blob = blob
        self.keyARN = keyARN
    }

    package var description: String { "(data key under \(keyARN))" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

// Encrypting and decrypting, for clients and for the other services.
extension KeyService {
    @Sendable func encrypt(_ input: EncryptInput, _ call: Call) async throws(AWSError) -> EncryptOutput {
        let key = try await usable(input.key, "Encrypt", call, input.context)
        if input.isDryRun { throw .dryRun }
        let (blob, _) = try await seal(input.plaintext, under: key, input.context)
        return EncryptOutput(blob: blob, keyARN: key.arn)
    }

    @Sendable func decrypt(_ input: DecryptInput, _ call: Call) async throws(AWSError) -> DecryptOutput {
        let (key, blob) = try await source(input.blob, named: input.key, "Decrypt", call, input.context)
        let (plaintext, material) = try await open(blob, under: key, input.context)
        if input.isDryRun { throw .dryRun }
        return DecryptOutput(plaintext: plaintext, keyARN: key.arn, materialID: material)
    }

    @Sendable func reEncrypt(_ input: ReEncryptInput, _ call: Call) async throws(AWSError) -> ReEncryptOutput {
        let (sourceKey, blob) = try await source(
            input.blob, named: input.source, "ReEncryptFrom", call, input.sourceContext)
        let destination = try await usable(input.destination, "ReEncryptTo", call, input.destinationContext)
        let (plaintext, sourceMaterial) = try await open(blob, under: sourceKey, input.sourceContext)
        if input.isDryRun { throw .dryRun }
        let (sealed, material) = try await seal(plaintext, under: destination, input.destinationContext)
        return ReEncryptOutput(
            blob: sealed, source: (sourceKey.arn, sourceMaterial), destination: (destination.arn, material))
    }

    @Sendable func generateDataKey(
        _ input: GenerateDataKeyInput, _ call: Call
    ) async throws(AWSError) -> DataKeyOutput {
        try await dataKey(input, "GenerateDataKey", call, showsPlaintext: true)
    }

    @Sendable func generateDataKeyWithoutPlaintext(
        _ input: GenerateDataKeyInput, _ call: Call
    ) async throws(AWSError) -> DataKeyOutput {
        try await dataKey(input, "GenerateDataKeyWithoutPlaintext", call, showsPlaintext: false)
    }

    private func dataKey(
        _ input: GenerateDataKeyInput, _ action: String, _ call: Call, showsPlaintext: Bool
    ) async throws(AWSError) -> DataKeyOutput {
        let key = try await usable(input.key, action, call, input.context)
        if input.isDryRun { throw .dryRun }
        let plaintext = randomBytes(input.bytesCount)
        let (blob, material) = try await seal(plaintext, under: key, input.context)
        return DataKeyOutput(
            plaintext: showsPlaintext ? plaintext : nil, blob: blob, keyARN: key.arn, materialID: material)
    }

    @Sendable func generateRandom(
        _ input: GenerateRandomInput, _ call: Call
    ) async throws(AWSError) -> GenerateRandomOutput {
        GenerateRandomOutput(bytes: randomBytes(input.bytesCount))
    }

    // MARK: Under which key

    private func usable(
        _ name: KeyName, _ action: String, _ call: Call, _ context: EncryptionContext
    ) async throws(AWSError) -> KeyRecord {
        let key = try await target(name, action, call, allowsAlias: true, encryption: context)
        try key.checkUsable()
        return key
    }

    /// The key that a ciphertext was made with, which must be the one that the caller names, if any.
    private func source(
        _ bytes: [UInt8], named name: KeyName?, _ action: String, _ call: Call, _ context: EncryptionContext
    ) async throws(AWSError) -> (KeyRecord, CiphertextBlob) {
        var named: KeyRecord?
        if let name { named = try find(name, call, allowsAlias: true) }
        guard let blob = CiphertextBlob(bytes) else { throw .invalidCiphertext }
        let found = table.read { $0.keys[blob.keyID] }
        if let named, named.id != found?.id { throw .incorrectKey }
        guard let key = found, key.region == call.region else { throw .unreachableCiphertext }
        try await allow(action, on: key, call, encryption: context)
        try key.checkUsable()
        return (key, blob)
    }

    /// - Returns: the ciphertext, and the id of the material.
    private func seal(
        _ plaintext: [UInt8], under key: KeyRecord, _ context: EncryptionContext
    ) async throws(AWSError) -> (blob: [UInt8], materialID: String) {
        guard let material = key.current else {
            throw .keyServiceFailure(cause: "the key \(key.arn) has no material; restore the catalog from a backup")
        }
        let opened = try await open(material, of: key)
        guard
            let blob = CiphertextBlob.seal(
                plaintext, keyID: key.id, material: material.number, key: opened,
                nonce: randomBytes(CiphertextBlob.nonceBytes), context: context)
        else { throw .keyServiceFailure(cause: "the cipher refused to seal under \(key.arn)") }
        return (blob.bytes, material.id)
    }

    /// - Throws: `InvalidCiphertextException` for damage and for another context; which of them is not told.
    private func open(
        _ blob: CiphertextBlob, under key: KeyRecord, _ context: EncryptionContext
    ) async throws(AWSError) -> (plaintext: [UInt8], materialID: String) {
        guard let material = key.materials.first(where: { $0.number == blob.material }) else {
            throw .invalidCiphertext
        }
        let opened = try await open(material, of: key)
        guard let plaintext = blob.open(key: opened, context: context) else { throw .invalidCiphertext }
        return (plaintext, material.id)
    }

    private func open(_ material: KeyRecord.Material, of key: KeyRecord) async throws(AWSError) -> [UInt8] {
        guard let sealed = Base64.decode(material.sealed) else {
            throw .keyServiceFailure(
                cause: "material \(material.number) of \(key.arn) is damaged; restore the catalog from a backup")
        }
        return try await vault.open(sealed, context: key.vaultContext(material.number))
    }

    // MARK: For other services

    /// Whether a text has the form of a key's id, ARN, alias or alias's ARN.
    package static func isKeyName(_ text: String) -> Bool { (try? KeyName(text)) != nil }

    /// A key by any of its names, in the state that a service can use it.
    ///
    /// - Parameter account: whose names they are.
    /// - Returns: its ARN.
    /// - Throws: `NotFoundException`, `InvalidArnException`, `DisabledException`, `KMSInvalidStateException`.
    package func usableKey(named text: String, account: String, region: String) throws(AWSError) -> String {
        let name = try KeyName(text)
        let key = try table.read { content throws(AWSError) in
            try content.find(name, account: account, region: region, allowsAlias: true)
        }
        try key.checkUsable()
        return key.arn
    }

    /// Makes a data key of 32 bytes for a service, checks the key's policy and grants, and records the use.
    ///
    /// - Parameter name: id, ARN, alias or the alias's ARN; an ARN when the caller is a service.
    /// - Throws: KMS's error; it is recorded too.
    package func makeDataKey(
        under name: String, _ context: EncryptionContext, _ use: KeyUse
    ) async throws(AWSError) -> DataKey {
        var parameters: WireStructure = ["keyId": .string(name), "keySpec": "AES_256"]
        parameters.append("encryptionContext", ifPresent: context.shown)
        return try await recorded(
            "GenerateDataKey", parameters, use,
            resource: { () throws(AWSError) in try find(try KeyName(name), use.call, allowsAlias: true) }
        ) { key throws(AWSError) in
            try await allow("GenerateDataKey", on: key, use, encryption: context)
            try key.checkUsable()
            let plaintext = randomBytes(Self.materialBytes)
            let (blob, _) = try await seal(plaintext, under: key, context)
            return DataKey(plaintext: plaintext, blob: blob, keyARN: key.arn)
        }
    }

    /// Opens a data key for a service, checks the key's policy and grants, and records the use.
    ///
    /// - Throws: KMS's error; it is recorded too.
    package func openDataKey(
        _ bytes: [UInt8], _ context: EncryptionContext, _ use: KeyUse
    ) async throws(AWSError) -> [UInt8] {
        var parameters: WireStructure = ["encryptionAlgorithm": "SYMMETRIC_DEFAULT"]
        parameters.append("encryptionContext", ifPresent: context.shown)
        let blob = CiphertextBlob(bytes)
        return try await recorded(
            "Decrypt", parameters, use,
            resource: { () throws(AWSError) in
                guard let blob else { throw .invalidCiphertext }
                guard let key = table.read({ $0.keys[blob.keyID] }), key.region == use.call.region else {
                    throw .unreachableCiphertext
                }
                return key
            }
        ) { key throws(AWSError) in
            guard let blob else { throw .invalidCiphertext }
            try await allow("Decrypt", on: key, use, encryption: context)
            try key.checkUsable()
            return try await open(blob, under: key, context).plaintext
        }
    }

    private func recorded<Result: Sendable>(
        _ name: String, _ parameters: WireStructure, _ use: KeyUse, resource: () throws(AWSError) -> KeyRecord,
        _ body: (KeyRecord) async throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        var resources: [ResourceReference] = []
        let result: Result
        do throws(AWSError) {
            let key = try resource()
            resources = [ResourceReference(type: "AWS::KMS::Key", arn: key.arn, accountID: key.account)]
            result = try await body(key)
        } catch {
            try await record(KeyEvent(use: name, parameters, resources, use, error))
            throw error
        }
        // Nothing is handed out that is not recorded.
        try await record(KeyEvent(use: name, parameters, resources, use, nil))
        return result
    }
}

extension EncryptionContext {
    var shown: WireValue? {
        guard !pairs.isEmpty else { return nil }
        return .structure(WireStructure(pairs.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) }))
    }
}
