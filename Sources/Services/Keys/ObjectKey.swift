// SPDX-License-Identifier: Apache-2.0
//
// The data key of an encrypted object: 32 random bytes that only ever lie sealed beside the object.
// SSE-S3: sealed by the vault itself, with the context `object-key/FILE`.
// SSE-KMS: a ciphertext of KMS with S3's encryption context. Source: S3 User Guide, "Using server-side encryption with AWS
// KMS keys"; KMS Developer Guide, "How CloudTrail uses AWS KMS".

package import AWSWire

/// How an object is encrypted, and its data key as it is kept.
package struct SealedObjectKey: Sendable, Equatable {
    package enum Form: Sendable, Equatable {
        /// `AES256`: under the store's own key.
        case store
        /// `aws:kms`: under a key of KMS, by its ARN.
        case kms(keyARN: String)
    }

    package let form: Form
    package let bytes: [UInt8]

    package init(form: Form, bytes: [UInt8]) {
        self.form = form
        self.bytes = bytes
    }
}

extension EncryptionContext {
    /// What S3 binds to an object's data key.
    ///
    /// - Parameters:
    ///   - key: nil with a bucket key, which covers the whole bucket.
    ///   - more: the caller's own pairs, and `aws:cloudtrail:arn` of deliveries; they cannot replace S3's.
    package static func object(bucket: String, key: String?, more: [String: String] = [:]) -> EncryptionContext {
        var pairs = more
        pairs["aws:s3:arn"] = "arn:aws:s3:::\(bucket)" + (key.map { "/\($0)" } ?? "")
        return EncryptionContext(pairs)
    }
}

extension KeyService {
    /// A new data key under the store's own key; no event, as with S3.
    ///
    /// - Parameter file: the object's file, in whose place alone it opens.
    package func makeStoreKey(
        file: String
    ) async throws(AWSError) -> (cipher: ObjectCipher, sealed: SealedObjectKey) {
        let dataKey = randomBytes(ObjectCipher.dataKeyBytes)
        let sealed = try await vault.seal(dataKey, context: "object-key/\(file)")
        return (try cipher(dataKey, file), SealedObjectKey(form: .store, bytes: sealed))
    }

    /// Opens a data key that `makeStoreKey` made for that file; no event.
    package func openStoreKey(_ sealed: [UInt8], file: String) async throws(AWSError) -> ObjectCipher {
        try cipher(try await vault.open(sealed, context: "object-key/\(file)"), file)
    }

    /// A new data key under a key of KMS: a use of that key, decided by its policy and grants, and recorded.
    package func makeObjectKey(
        file: String, under keyName: String, _ context: EncryptionContext, _ use: KeyUse
    ) async throws(AWSError) -> (cipher: ObjectCipher, sealed: SealedObjectKey) {
        let made = try await makeDataKey(under: keyName, context, use)
        return (
            try cipher(made.plaintext, file), SealedObjectKey(form: .kms(keyARN: made.keyARN), bytes: made.blob)
        )
    }

    /// Opens an object's data key again; under KMS that is a use of the key like any other.
    ///
    /// - Parameters:
    ///   - context: as it was given to `makeObjectKey`; not looked at under the store's key.
    /// - Throws: KMS's error, or `KMSInternalException` when a key of the store's does not open.
    package func openObjectKey(
        _ sealed: SealedObjectKey, file: String, _ context: EncryptionContext, _ use: KeyUse
    ) async throws(AWSError) -> ObjectCipher {
        switch sealed.form {
        case .store: try await openStoreKey(sealed.bytes, file: file)
        case .kms: try cipher(try await openDataKey(sealed.bytes, context, use), file)
        }
    }

    private func cipher(_ dataKey: [UInt8], _ file: String) throws(AWSError) -> ObjectCipher {
        guard let cipher = ObjectCipher(dataKey: dataKey, file: file) else {
            throw .keyServiceFailure(cause: "the data key of the object file \(file) is damaged")
        }
        return cipher
    }
}
