// SPDX-License-Identifier: Apache-2.0
//
// What is configured on a bucket. In the catalog, as the member `settings` of the bucket's document:
//
//     {"versioning":"Enabled","tags":[["KEY","VALUE"],...],"publicAccessBlock":[true,true,true,true],
//      "ownership":"BucketOwnerEnforced","acl":"private","objectLock":{"mode":"GOVERNANCE","days":30},
//      "lifecycle":[...],"notifications":[...],"encryption":{...}}
//
// What is not configured is absent. The four flags are BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy and
// RestrictPublicBuckets. `encryption` is described in BucketEncryption.swift.

internal import AWSWire

/// A bucket's sub-resources.
struct BucketSettings: Sendable, Equatable {
    /// Nil: never turned on.
    var versioning: Versioning?
    var tags = TagSet()
    /// Nil: removed. A new bucket has all four on, as at S3 since 2023.
    var publicAccessBlock: PublicAccessBlock? = .all
    /// Nil: removed, which counts as `objectWriter`. A new bucket has the owner enforced, as at S3 since 2023.
    var ownership: Ownership? = .bucketOwnerEnforced
    /// The canned ACL: `private` or `log-delivery-write`.
    var acl = "private"
    /// Nil: Object Lock is off.
    var objectLock: ObjectLockSetting?
    var lifecycle: LifecycleConfiguration?
    var notifications: NotificationConfiguration?
    /// Nil: new objects are encrypted under the store's key.
    var encryption: BucketEncryption?

    enum Versioning: String, Sendable {
        case enabled = "Enabled"
        case suspended = "Suspended"
    }

    /// Who owns objects that others put (S3 User Guide, "Controlling ownership of objects").
    enum Ownership: String, Sendable {
        case bucketOwnerEnforced = "BucketOwnerEnforced"
        case bucketOwnerPreferred = "BucketOwnerPreferred"
        case objectWriter = "ObjectWriter"
    }

    /// S3 Block Public Access.
    struct PublicAccessBlock: Sendable, Equatable {
        var blockPublicACLs = false
        var ignorePublicACLs = false
        var blockPublicPolicy = false
        var restrictPublicBuckets = false

        static let all = PublicAccessBlock(
            blockPublicACLs: true, ignorePublicACLs: true, blockPublicPolicy: true, restrictPublicBuckets: true)
    }

    /// Whether ACLs mean nothing on this bucket.
    var isOwnerEnforced: Bool { ownership == .bucketOwnerEnforced }
}

extension BucketSettings {
    var stored: WireValue {
        var fields = WireStructure()
        fields.append("versioning", ifPresent: versioning.map { .string($0.rawValue) })
        if !tags.isEmpty { fields.append("tags", tags.stored) }
        fields.append(
            "publicAccessBlock",
            ifPresent: publicAccessBlock?.stored)
        fields.append("ownership", ifPresent: ownership.map { .string($0.rawValue) })
        fields.append("acl", .string(acl))
        fields.append("objectLock", ifPresent: objectLock?.stored)
        fields.append("lifecycle", ifPresent: lifecycle?.stored)
        fields.append("notifications", ifPresent: notifications?.stored)
        fields.append("encryption", ifPresent: encryption?.stored)
        return .structure(fields)
    }

    init?(stored: WireValue) {
        guard let fields = stored.asStructure, let acl = fields["acl"]?.asString else { return nil }
        self.acl = acl
        publicAccessBlock = nil
        ownership = nil
        if let text = fields["versioning"]?.asString {
            guard let value = Versioning(rawValue: text) else { return nil }
            versioning = value
        }
        if let list = fields["tags"] {
            guard let set = TagSet(stored: list) else { return nil }
            tags = set
        }
        if let list = fields["publicAccessBlock"] {
            guard let block = PublicAccessBlock(stored: list) else { return nil }
            publicAccessBlock = block
        }
        if let lock = fields["objectLock"] {
            guard let setting = ObjectLockSetting(stored: lock) else { return nil }
            objectLock = setting
        }
        if let list = fields["lifecycle"] {
            guard let configuration = LifecycleConfiguration(stored: list) else { return nil }
            lifecycle = configuration
        }
        if let list = fields["notifications"] {
            guard let configuration = NotificationConfiguration(stored: list) else { return nil }
            notifications = configuration
        }
        if let stored = fields["encryption"] {
            guard let value = BucketEncryption(stored: stored) else { return nil }
            encryption = value
        }
        if let text = fields["ownership"]?.asString {
            guard let value = Ownership(rawValue: text) else { return nil }
            ownership = value
        }
    }
}
