// SPDX-License-Identifier: Apache-2.0
//
// The data key of an encrypted object: 32 random bytes that only ever lie sealed beside the object.
// SSE-S3: sealed by the vault itself, with the context `object-key/FILE`, at the end of the file.
// SSE-KMS: a ciphertext of KMS with S3's encryption context (`KeyService.makeDataKey`), in the object's document.
// Source: S3 User Guide, "Using server-side encryption with AWS KMS keys"; KMS Developer Guide, "How CloudTrail uses AWS KMS".

package import AWSWire

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
    ) async throws(AWSError) -> (cipher: ObjectCipher, sealed: [UInt8]) {
        let dataKey = randomBytes(ObjectCipher.dataKeyBytes)
        let sealed = try await vault.seal(dataKey, context: "object-key/\(file)")
        return (try cipher(dataKey, file), sealed)
    }

    /// Opens a data key that `makeStoreKey` made for that file; no event.
    package func openStoreKey(_ sealed: [UInt8], file: String) async throws(AWSError) -> ObjectCipher {
        try cipher(try await vault.open(sealed, context: "object-key/\(file)"), file)
    }

    private func cipher(_ dataKey: [UInt8], _ file: String) throws(AWSError) -> ObjectCipher {
        guard let cipher = ObjectCipher(dataKey: dataKey, file: file) else {
            throw .keyServiceFailure(cause: "the data key of the object file \(file) is damaged")
        }
        return cipher
    }
}
