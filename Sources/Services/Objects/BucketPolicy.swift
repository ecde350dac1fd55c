// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import Keys
package import Policies
internal import Storage
internal import Synchronization

/// A bucket's policy document, checked by S3's rules.
struct BucketPolicy: Sendable {
    let document: PolicyDocument

    /// Reads a document that is to become the bucket's.
    ///
    /// - Throws: `MalformedPolicy` (400) in S3's words, `PolicyTooLarge` (400).
    init(_ text: [UInt8], of bucket: String) throws(AWSError) {
        do throws(PolicyError) {
            try PolicySizeLimit.bucket.check(size: text.count, kind: .resource(.s3))
            document = try PolicyDocument.parse(text, as: .resource(.s3), name: bucket)
            try BucketRules.validateBucketPolicy(document, bucket: bucket)
        } catch {
            throw AWSError(error.code, error.message, cause: "byte \(error.position): \(error.detail)")
        }
    }

    /// Reads the document that the bucket has.
    init(stored text: String, of bucket: String) throws(AWSError) {
        do throws(PolicyError) {
            document = try PolicyDocument.parse(stored: Array(text.utf8), as: .resource(.s3), name: bucket)
        } catch {
            throw .objectFault("the stored policy of bucket `\(bucket)` cannot be read: \(error.detail)")
        }
    }

    /// The text to keep, with users and roles by their ids.
    ///
    /// - Throws: `MalformedPolicy` (400) for a user or role that does not exist.
    func stored(_ principals: PrincipalDirectory) throws(AWSError) -> String {
        do throws(PolicyError) {
            return String(decoding: try document.textToStore(principals), as: UTF8.self)
        } catch {
            throw AWSError(error.code, error.message, cause: "byte \(error.position): \(error.detail)")
        }
    }

    /// Whether the document opens the bucket to everyone (S3 User Guide, "The meaning of public").
    var isPublic: Bool { document.isPublic }
}

/// A service that writes to a bucket in its own name, as its bucket policies see it.
package struct ServicePut: Sendable, Equatable {
    /// For example `cloudtrail.amazonaws.com`.
    package var principal: String
    /// The resource for which the service acts (`aws:SourceArn`), for example a trail.
    package var sourceARN: String
    /// The account of that resource (`aws:SourceAccount`).
    package var sourceAccount: String

    package init(principal: String, sourceARN: String, sourceAccount: String) {
        self.principal = principal
        self.sourceARN = sourceARN
        self.sourceAccount = sourceAccount
    }
}

/// What an object that a service puts carries besides its bytes.
package struct ServicePutHeaders: Sendable, Equatable {
    package var contentType: String
    package var contentEncoding: String?
    /// The canned ACL that the service sends, which policies see as `s3:x-amz-acl`.
    package var acl: String?
    /// User metadata, names without `x-amz-meta-`, in lower case.
    package var metadata: [WireHeader]
    /// The ARN of the key of KMS under which it is encrypted; nil: under the store's key, whatever the bucket's default.
    package var keyARN: String?
    /// Pairs that are bound to the data key besides S3's own.
    package var encryptionContext: [String: String]

    package init(
        contentType: String, contentEncoding: String? = nil, acl: String? = nil, metadata: [WireHeader] = [],
        keyARN: String? = nil, encryptionContext: [String: String] = [:]
    ) {
        self.keyARN = keyARN
        self.encryptionContext = encryptionContext
        self.contentType = contentType
        self.contentEncoding = contentEncoding
        self.acl = acl
        self.metadata = metadata
    }
}

extension ObjectService {
    /// The bucket of that name, nil where there is none.
    package func bucket(named name: String) async throws(AWSError) -> BucketRecord? { buckets[name] }

    /// The policy of the bucket that a resource is, or lies in; nil where there is none.
    package func policy(of resource: ResourceReference) -> StoredPolicy? {
        let prefix = "arn:aws:s3:::"
        guard resource.arn.hasPrefix(prefix) else { return nil }
        let name = resource.arn.dropFirst(prefix.count).prefix { $0 != "/" }
        guard let text = buckets[String(name)]?.policy else { return nil }
        if let compiled = compiledPolicies.withLock({ $0[text] }) { return compiled }
        let compiled = StoredPolicy(stored: text, as: .resource(.s3), name: String(name))
        compiledPolicies.withLock { policies in
            if policies.count >= Limits.compiledPolicies { policies.removeAll(keepingCapacity: true) }
            policies[text] = compiled
        }
        return compiled
    }

    /// The tags of the object that is there, as condition keys (`s3:ExistingObjectTag/KEY`); none where there is no object.
    ///
    /// - Parameter conditions: the call's; `s3:VersionId` says which version is meant.
    package func existingTags(
        of object: ResourceReference, _ conditions: [ConditionKey]
    ) async throws(AWSError) -> [ConditionKey] {
        let prefix = "arn:aws:s3:::"
        guard object.arn.hasPrefix(prefix) else { return [] }
        let parts = object.arn.dropFirst(prefix.count).split(separator: "/", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return [] }
        let version = conditions.first { $0.name == "s3:VersionId" }?.values.first
        let record = try await catalog.read { (snapshot) throws(AWSError) -> ObjectRecord? in
            guard let version else { return try snapshot.currentObject(parts[0], parts[1]) }
            guard version == "null" || VersionKeys.order(of: version) != nil else { return nil }
            return try snapshot.object(parts[0], parts[1], version: version)?.record
        }
        return record?.tags.tags.map { ConditionKey("s3:ExistingObjectTag/\($0.key)", $0.value) } ?? []
    }

    /// Whether the bucket that a resource is, or lies in, is kept to its owner's account and to services: its policy is
    /// public and its public access block, or its account's, says RestrictPublicBuckets (S3 User Guide, "Blocking public access
    /// to your Amazon S3 storage").
    package func isRestricted(_ resource: ResourceReference) -> Bool {
        let prefix = "arn:aws:s3:::"
        guard resource.arn.hasPrefix(prefix) else { return false }
        let name = resource.arn.dropFirst(prefix.count).prefix { $0 != "/" }
        guard let bucket = buckets[String(name)], publicAccessBlock(of: bucket).restrictPublicBuckets else {
            return false
        }
        return policy(of: resource)?.compiled?.isPublic ?? false
    }

    /// Decides by the bucket's policy, and the organization's over its owner, whether a service may do something in its own
    /// name.
    ///
    /// - Parameters:
    ///   - action: with its prefix: `s3:PutObject`, `s3:GetBucketAcl`.
    ///   - key: the object's key; nil for actions on the bucket itself.
    ///   - acl: the canned ACL that the service would send.
    /// - Returns: the decision; also where the bucket has no policy, which is an implicit deny.
    /// - Throws: `NoSuchBucket` (404), `InternalError` where the stored policy is damaged, so that nothing is done.
    package func decide(
        service: ServicePut, action: String, bucket name: String, key: String?, acl: String?
    ) async throws(AWSError) -> Decision {
        guard let bucket = buckets[name] else { throw .noSuchBucket(name) }
        let access = ServiceAccess(
            service: service.principal, action: action, resource: key.map { bucket.arn(of: $0) } ?? bucket.arn,
            resourceAccount: bucket.ownerAccount, sourceARN: service.sourceARN, sourceAccount: service.sourceAccount,
            acl: acl,
            context: [
                "aws:CurrentTime": ContextValue(now.iso8601), "aws:EpochTime": ContextValue(String(now.seconds)),
            ])
        let policy = try bucket.policy.map { (text) throws(AWSError) in try BucketPolicy(stored: text, of: name) }
        var policies = controls(bucket.ownerAccount)
        policies.resource = policy?.document
        return PolicyEvaluation.decide(access.request, policies)
    }

    /// Puts an object in a service's own name, if the bucket's policy lets it. What is there under the key is replaced,
    /// so that the call may be repeated.
    ///
    /// - Throws: `NoSuchBucket` (404), `AccessDenied` (403), `ServiceUnavailable` (503) where the disk refuses; nothing
    ///   was changed then.
    package func putObject(
        asService service: ServicePut, bucket name: String, key: String, body: [UInt8], headers: ServicePutHeaders
    ) async throws(AWSError) {
        let decision = try await decide(
            service: service, action: "s3:PutObject", bucket: name, key: key, acl: headers.acl)
        guard decision.isAllowed else {
            throw .objectAccessDenied(
                decision.message(caller: service.principal, resource: "\"arn:aws:s3:::\(name)/\(key)\""))
        }
        let checkedKey = try ObjectPlace.checked(key)
        let dataKey = try await makeKey(headers, bucket: name, key: checkedKey, service)
        var intake = ObjectIntake(files, demand: ChecksumDemand(), key: dataKey.dataKey)
        let record: ObjectRecord
        do throws(AWSError) {
            try await intake.take(PutObjectInput.Body.bytes(body))
            let taken = try await intake.finish()
            var stored = [WireHeader("content-type", headers.contentType)]
            if let encoding = headers.contentEncoding { stored.append(WireHeader("content-encoding", encoding)) }
            record = NewObject(headers: stored, metadata: headers.metadata)
                .record(file: intake.file.id, taken, dataKey, etag: blindETag(dataKey.encryption), now)
        } catch {
            await intake.abandon()
            throw error
        }
        try await commit(
            record, in: name, key: checkedKey, on: WriteConditions(), file: intake.file, as: .createdByPut,
            NotificationCause(service: service.principal))
    }

    private func makeKey(
        _ headers: ServicePutHeaders, bucket name: String, key: String, _ service: ServicePut
    ) async throws(AWSError) -> NewObjectKey {
        guard let keyARN = headers.keyARN else { return NewObjectKey() }
        guard let bucket = buckets[name] else { throw .noSuchBucket(name) }
        // Its events have no request behind them, so they have no id of one.
        let call = Call(
            caller: .service(service.principal), accountID: service.sourceAccount, region: bucket.region, time: clock(),
            requestID: "", eventID: "", sourceAddress: service.principal, userAgent: service.principal,
            isSecureTransport: true)
        return try await makeKey(
            KMSDemand(keyName: keyARN, context: headers.encryptionContext), bucket: bucket, key: key,
            by: .service(
                KeyUse(call: call, sourceARN: service.sourceARN, sourceAccount: service.sourceAccount)))
    }
}
