// SPDX-License-Identifier: Apache-2.0
//
// What a bucket policy may say: S3's actions and what they act on, its condition keys and where they apply.
// Sources: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3"; S3 User Guide,
// "Bucket policies", "Bucket policy examples using condition keys".

package enum BucketRules {
    /// Throws if S3 would refuse the document as the policy of `bucket`. The document was parsed as `.resource(.s3)`.
    /// Whether the named users and roles exist is for the caller to see, from `principals`.
    package static func validateBucketPolicy(_ document: PolicyDocument, bucket: String) throws(PolicyError) {
        for statement in document.statements {
            func refusal(_ reason: PolicyError.Reason, _ detail: String) -> PolicyError {
                PolicyError(reason: reason, kind: document.kind, position: statement.position, detail: detail)
            }
            var hasBucket = false
            var hasObjects = false
            for resource in statement.resourceTexts ?? [] {
                guard let reach = reach(of: resource, bucket: bucket) else {
                    throw refusal(.foreignResource(resource), "\(resource) is not the bucket \(bucket) or in it")
                }
                hasBucket = hasBucket || reach.bucket
                hasObjects = hasObjects || reach.objects
            }
            var covered: Set<String> = []
            for text in statement.actionTexts {
                let matching = text == "*" ? Set(actions.keys) : self.matching(text)
                guard !matching.isEmpty else { throw refusal(.unknownAction(text), "S3 has no action \(text)") }
                let applying = matching.filter { name in
                    switch actions[name] {
                    case .bucket: hasBucket
                    case .object: hasObjects
                    case .account, nil: false
                    }
                }
                // What NotAction leaves over is for the resources to sort out.
                guard !applying.isEmpty || statement.isNotAction || statement.isNotResource else {
                    throw refusal(.actionWithoutResource(text), "\(text) acts on none of the resources")
                }
                covered.formUnion(applying)
            }
            guard !statement.isNotAction, !statement.isNotResource else { continue }
            for condition in statement.conditions {
                guard let users = users(ofKey: condition.key.lowercased()) else { continue }
                guard covered.contains(where: { users($0) }) else {
                    throw refusal(.conditionWithoutAction(condition.key), "\(condition.key) is in none of the calls")
                }
            }
        }
    }

    /// What a resource pattern covers of a bucket; nil if it is another's.
    private static func reach(of resource: String, bucket: String) -> (bucket: Bool, objects: Bool)? {
        let parts = resource.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "arn", parts[1].hasPrefix("aws"), parts[2] == "s3", parts[3].isEmpty,
            parts[4].isEmpty, parts[5].hasPrefix(bucket)
        else { return nil }
        let rest = parts[5].dropFirst(bucket.count)
        switch rest.first {
        case nil: return (true, false)
        case "/": return (false, true)
        // `bucket*` is the bucket and all in it, and other buckets that it can say nothing about.
        case "*": return (true, true)
        default: return nil
        }
    }

    private static func matching(_ pattern: String) -> Set<String> {
        let list = PatternList([pattern], form: PatternForm(ignoresCase: true))
        return Set(subjects.filter { list.matches($0.subject, [:]) }.map(\.name))
    }

    // MARK: Actions

    private enum Target {
        case bucket
        case object
        /// Nothing that a bucket policy could name.
        case account
    }

    private static let subjects = actions.keys.map { (name: $0, subject: Subject($0)) }

    private static let actions: [String: Target] = {
        var all: [String: Target] = [:]
        for name in bucketActions { all["s3:\(name)".lowercased()] = .bucket }
        for name in objectActions { all["s3:\(name)".lowercased()] = .object }
        for name in accountActions { all["s3:\(name)".lowercased()] = .account }
        return all
    }()

    private static let bucketActions = [
        "CreateBucket", "CreateBucketMetadataTableConfiguration", "CreateSession", "DeleteBucket",
        "DeleteBucketMetadataTableConfiguration", "DeleteBucketPolicy", "DeleteBucketWebsite",
        "GetAccelerateConfiguration", "GetAnalyticsConfiguration", "GetBucketAbac", "GetBucketAcl", "GetBucketCORS",
        "GetBucketLocation",
        "GetBucketLogging", "GetBucketMetadataTableConfiguration", "GetBucketNotification",
        "GetBucketObjectLockConfiguration", "GetBucketOwnershipControls", "GetBucketPolicy", "GetBucketPolicyStatus",
        "GetBucketPublicAccessBlock", "GetBucketRequestPayment", "GetBucketTagging", "GetBucketVersioning",
        "GetBucketWebsite", "GetEncryptionConfiguration", "GetIntelligentTieringConfiguration",
        "GetInventoryConfiguration", "GetLifecycleConfiguration", "GetMetricsConfiguration",
        "GetReplicationConfiguration", "ListBucket", "ListBucketMultipartUploads", "ListBucketVersions",
        "ListTagsForResource", "PutAccelerateConfiguration", "PutAnalyticsConfiguration", "PutBucketAbac",
        "PutBucketAcl",
        "PutBucketCORS", "PutBucketLogging", "PutBucketNotification", "PutBucketObjectLockConfiguration",
        "PutBucketOwnershipControls", "PutBucketPolicy", "PutBucketPublicAccessBlock", "PutBucketRequestPayment",
        "PutBucketTagging", "PutBucketVersioning", "PutBucketWebsite", "PutEncryptionConfiguration",
        "PutIntelligentTieringConfiguration", "PutInventoryConfiguration", "PutLifecycleConfiguration",
        "PutMetricsConfiguration", "PutReplicationConfiguration", "TagResource", "UntagResource",
    ]

    private static let accountActions = [
        "CreateAccessPoint", "CreateJob", "DeleteAccessPoint", "DescribeJob", "GetAccessPoint", "GetAccessPointPolicy",
        "GetAccountPublicAccessBlock", "ListAccessPoints", "ListAllMyBuckets", "ListJobs", "PutAccessPointPolicy",
        "PutAccountPublicAccessBlock",
    ]

    private static let objectActions = [
        "AbortMultipartUpload", "BypassGovernanceRetention", "DeleteObject", "DeleteObjectTagging",
        "DeleteObjectVersion", "DeleteObjectVersionTagging", "GetObject", "GetObjectAcl", "GetObjectAttributes",
        "GetObjectLegalHold", "GetObjectRetention", "GetObjectTagging", "GetObjectTorrent", "GetObjectVersion",
        "GetObjectVersionAcl", "GetObjectVersionAttributes", "GetObjectVersionForReplication",
        "GetObjectVersionTagging", "GetObjectVersionTorrent", "InitiateReplication", "ListMultipartUploadParts",
        "ObjectOwnerOverrideToBucketOwner", "PutObject", "PutObjectAcl", "PutObjectLegalHold", "PutObjectRetention",
        "PutObjectTagging", "PutObjectVersionAcl", "PutObjectVersionTagging", "ReplicateDelete", "ReplicateObject",
        "ReplicateTags", "RestoreObject", "UpdateObjectEncryption",
    ]

    // MARK: Condition keys

    /// Whether S3 knows a condition key. Keys of other services than S3 itself, such as `aws:`, are not its to check.
    static func isConditionKey(_ key: String) -> Bool {
        let name = key.lowercased()
        guard let colon = name.firstIndex(of: ":"), colon > name.startIndex else { return false }
        guard name.hasPrefix("s3:") else { return true }
        let own = name.dropFirst(3)
        if let slash = own.firstIndex(of: "/") {
            return slash < own.index(before: own.endIndex) && tagKeys.contains(String(own[..<slash]))
        }
        return keys.contains(String(own))
    }

    private static let tagKeys: Set<String> = [
        "existingobjecttag", "requestobjecttag", "buckettag", "accessgrantsinstancetag",
    ]

    private static let keys: Set<String> = [
        "accessgrantsinstancearn", "accesspointnetworkorigin", "authtype", "dataaccesspointaccount",
        "dataaccesspointarn", "delimiter", "if-match", "if-none-match", "inventoryaccessibleoptionalfields",
        "jobsuspendedcause", "locationconstraint", "max-keys", "object-lock-legal-hold", "object-lock-mode",
        "object-lock-remaining-retention-days", "object-lock-retain-until-date", "objectcreationoperation", "prefix",
        "requestobjecttagkeys", "resourceaccount", "signatureage", "signatureversion", "tlsversion", "versionid",
        "x-amz-acl", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-grant-full-control", "x-amz-grant-read",
        "x-amz-grant-read-acp", "x-amz-grant-write", "x-amz-grant-write-acp", "x-amz-metadata-directive",
        "x-amz-object-ownership", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-customer-algorithm", "x-amz-storage-class",
        "x-amz-website-redirect-location",
    ]

    /// Which actions have a key, where that is narrow and known; nil for keys that any call may have.
    private static func users(ofKey key: String) -> ((String) -> Bool)? {
        switch key {
        case "s3:prefix", "s3:delimiter", "s3:max-keys":
            { $0.hasPrefix("s3:listbucket") }
        case "s3:x-amz-acl", "s3:x-amz-grant-full-control", "s3:x-amz-grant-read", "s3:x-amz-grant-read-acp",
            "s3:x-amz-grant-write", "s3:x-amz-grant-write-acp":
            {
                ["s3:createbucket", "s3:putbucketacl", "s3:putobject", "s3:putobjectacl", "s3:putobjectversionacl"]
                    .contains($0)
            }
        case "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id",
            "s3:x-amz-storage-class", "s3:x-amz-metadata-directive", "s3:x-amz-copy-source":
            { ["s3:putobject", "s3:replicateobject"].contains($0) }
        case "s3:versionid":
            { $0.contains("version") }
        default:
            nil
        }
    }
}
