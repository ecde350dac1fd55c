// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import LogFiles

/// The bucket as the service principal `cloudtrail.amazonaws.com` sees it: three questions put to the room of objects.
package struct TrailBucket: Sendable {
    /// Something that the bucket's policy must allow.
    package struct Question: Sendable {
        /// `s3:GetBucketAcl` or `s3:PutObject`.
        package var action: String
        package var bucket: String
        /// Nil asks about the bucket itself.
        package var key: String?
        /// The trail's ARN, for `aws:SourceArn`.
        package var sourceARN: String
        /// The trail's account, for `aws:SourceAccount`.
        package var sourceAccount: String
        /// For `s3:x-amz-acl`.
        package var acl: String?
    }

    /// An object that is written.
    package struct Put: Sendable {
        package var bucket: String
        package var key: String
        package var body: [UInt8]
        /// Names without `x-amz-meta-`.
        package var metadata: [WireHeader]
        package var sourceARN: String
        package var sourceAccount: String
        /// The ARN of the key of KMS under which it is encrypted; nil: under the store's key.
        package var keyARN: String?
    }

    /// Who asks and writes, as bucket policies name it.
    package static let principal = "cloudtrail.amazonaws.com"
    /// The canned ACL of every delivered object.
    package static let acl = "bucket-owner-full-control"

    /// Whether there is such a bucket, whoever owns it.
    package var exists: @Sendable (_ bucket: String) async throws(AWSError) -> Bool
    /// Whether the bucket's policy allows it to the service.
    package var allows: @Sendable (Question) async throws(AWSError) -> Bool
    /// Writes the whole object or nothing; the same key may be written again.
    ///
    /// - Throws: with a status below 500 when the store refused, so that nothing was written.
    package var put: @Sendable (Put) async throws(AWSError) -> Void
    /// Whether exactly that object is there, after a put that may have written it: nil when that cannot be told.
    package var holds: @Sendable (Put) async -> Bool? = { _ in nil }
    /// The name of the endpoint outside that holds the bucket, which is checked by a real write; nil for one of this server.
    package var endpoint: @Sendable (_ bucket: String) -> String? = { _ in nil }

    package init(
        exists: @escaping @Sendable (String) async throws(AWSError) -> Bool,
        allows: @escaping @Sendable (Question) async throws(AWSError) -> Bool,
        put: @escaping @Sendable (Put) async throws(AWSError) -> Void
    ) {
        self.exists = exists
        self.allows = allows
        self.put = put
    }
}

extension TrailBucket {
    /// What is in the bucket of an object whose put failed.
    enum Remains: Equatable {
        case nothing
        /// The object, from an earlier put of the same name.
        case all
        case unknown
    }

    /// - Parameter mayBeThere: whether the object was put before by that name.
    func remains(of put: Put, after error: AWSError, mayBeThere: Bool) async -> Remains {
        if error.isServerFault { return .unknown }
        if !mayBeThere || error.code == "NoSuchBucket" { return .nothing }
        return switch await holds(put) {
        case true?: .all
        case false?: .nothing
        case nil: .unknown
        }
    }

    /// Checks that a trail may write where it is told to.
    ///
    /// - Throws: `S3BucketDoesNotExistException`, `InsufficientS3BucketPolicyException` with the missing statement.
    func check(_ trail: Trail) async throws(AWSError) {
        if let endpoint = endpoint(trail.bucket) { return try await probe(trail, at: endpoint) }
        guard try await exists(trail.bucket) else { throw .bucketDoesNotExist(trail.bucket) }
        let arn = trail.arn.text
        let readsACL = Question(
            action: "s3:GetBucketAcl", bucket: trail.bucket, key: nil, sourceARN: arn, sourceAccount: trail.account,
            acl: nil)
        guard try await allows(readsACL) else {
            throw .insufficientBucketPolicy(
                trail.bucket,
                missing: "The policy lacks a statement that allows the service \(Self.principal) s3:GetBucketAcl on "
                    + "arn:aws:s3:::\(trail.bucket) for aws:SourceArn \(arn).")
        }
        let root = LogFolder.root(prefix: trail.prefix, account: trail.account)
        var folders = ["CloudTrail"]
        if trail.hasLogFileValidation { folders.append("CloudTrail-Digest") }
        for folder in folders {
            let writes = Question(
                action: "s3:PutObject", bucket: trail.bucket, key: "\(root)\(folder)/\(trail.homeRegion)/probe",
                sourceARN: arn, sourceAccount: trail.account, acl: Self.acl)
            guard try await allows(writes) else {
                throw .insufficientBucketPolicy(
                    trail.bucket,
                    missing: "The policy lacks a statement that allows the service \(Self.principal) s3:PutObject on "
                        + "arn:aws:s3:::\(trail.bucket)/\(root)* with the condition s3:x-amz-acl = \(Self.acl), for "
                        + "aws:SourceArn \(arn).")
            }
        }
    }
}

extension Trail {
    /// Whether the trail, as it is configured now, delivers to that bucket under the key's prefix.
    func isHome(of key: String, in bucket: String) -> Bool {
        bucket == self.bucket && key.hasPrefix(LogFolder.root(prefix: prefix, account: account))
    }
}
