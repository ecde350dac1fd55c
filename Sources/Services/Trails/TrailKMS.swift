// SPDX-License-Identifier: Apache-2.0
//
// The key under which a trail's log files and digests are encrypted, as the service `cloudtrail.amazonaws.com` sees it.
// Source: CloudTrail User Guide, "Encrypting CloudTrail log files, digest files, and event data stores with AWS KMS keys
// (SSE-KMS)", "Configure AWS KMS key policies for CloudTrail"; KMS Developer Guide, "How CloudTrail uses AWS KMS".

package import AWSWire
internal import LogFiles

/// The keys of KMS as trails need them: two questions put to the room of keys.
package struct TrailKMS: Sendable {
    /// Whether a key may encrypt for a trail.
    package struct Question: Sendable {
        /// The key's ARN.
        package var key: String
        /// The trail's ARN, for `aws:SourceArn` and the encryption context `aws:cloudtrail:arn`.
        package var sourceARN: String
        /// The trail's account, for `aws:SourceAccount`.
        package var sourceAccount: String
        package var bucket: String
        /// Where the objects will lie, for the encryption context `aws:s3:arn`.
        package var objectKey: String
        /// When it is asked, which policies may look at.
        package var time: Timestamp
    }

    /// The ARN of a key that can be used, by its id, ARN, alias or alias's ARN, in the region of a bucket.
    ///
    /// - Throws: `InvalidKmsKeyIdException`, `KmsKeyNotFoundException`, `KmsException`.
    package var find: @Sendable (_ name: String, _ bucket: String, _ account: String) async throws(AWSError) -> String
    /// Whether the key's policy lets CloudTrail make data keys for the trail.
    package var allows: @Sendable (Question) async throws(AWSError) -> Bool

    package init(
        find: @escaping @Sendable (String, String, String) async throws(AWSError) -> String,
        allows: @escaping @Sendable (Question) async throws(AWSError) -> Bool
    ) {
        self.find = find
        self.allows = allows
    }
}

extension TrailKMS {
    /// The ARN of the key that a trail is told to use, once it is known that CloudTrail may use it there.
    ///
    /// - Parameter trail: with its bucket and prefix as they shall be.
    /// - Throws: besides what `find` throws, `InsufficientEncryptionPolicyException`.
    func check(_ name: String, for trail: Trail, now: Timestamp) async throws(AWSError) -> String {
        let key = try await find(name, trail.bucket, trail.account)
        let root = LogFolder.root(prefix: trail.prefix, account: trail.account)
        let question = Question(
            key: key, sourceARN: trail.arn.text, sourceAccount: trail.account, bucket: trail.bucket,
            objectKey: "\(root)CloudTrail/\(trail.homeRegion)/probe", time: now)
        guard try await allows(question) else { throw .insufficientEncryptionPolicy(trail.bucket, key: key) }
        return key
    }
}

extension AWSError {
    static func invalidKmsKeyID(_ text: String) -> AWSError {
        AWSError(
            "InvalidKmsKeyIdException",
            "The KMS key identifier \(text) is not valid: it must be a key ID, a key ARN, an alias that begins with alias/, "
                + "or the ARN of an alias.")
    }

    static func kmsKeyNotFound(_ text: String, bucket: String, region: String) -> AWSError {
        AWSError(
            "KmsKeyNotFoundException",
            "The KMS key \(text) does not exist, or is not in \(region), the region of the S3 bucket \(bucket).")
    }

    static func kmsKeyNotUsable(_ message: String) -> AWSError {
        AWSError("KmsException", "The KMS key cannot be used. \(message)")
    }

    static func insufficientEncryptionPolicy(_ bucket: String, key: String) -> AWSError {
        AWSError(
            "InsufficientEncryptionPolicyException",
            "Insufficient permissions to access S3 bucket \(bucket) or KMS key \(key).")
    }
}
