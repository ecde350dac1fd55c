// SPDX-License-Identifier: Apache-2.0
//
// What an event shows of an S3 call.
// Source: CloudTrail User Guide, "CloudTrail record contents"; S3 User Guide, "Amazon S3 CloudTrail events"; the shape of
// published records: bucketName, key and Host, each query parameter under its own spelling, listed x-amz headers, and
// documents as nested JSON under their root element's name.

internal import AWSWire
internal import Keys

enum ObjectRecording {
    /// The request parameters of any call.
    static func parameters(_ request: OperationRequest) -> WireValue {
        var shown = WireStructure()
        append(request, to: &shown)
        return .structure(shown)
    }

    /// The event's name of an operation that S3 records under another (S3 User Guide, "Amazon S3 CloudTrail events").
    static func eventName(of operation: String) -> String? {
        switch operation {
        case "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration"
        case "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration"
        case "GetBucketLifecycleConfiguration": "GetBucketLifecycle"
        case "PutBucketLifecycleConfiguration": "PutBucketLifecycle"
        case "GetBucketNotificationConfiguration": "GetBucketNotification"
        case "PutBucketNotificationConfiguration": "PutBucketNotification"
        case "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration"
        case "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration"
        case "GetPublicAccessBlock": "GetBucketPublicAccessBlock"
        case "PutPublicAccessBlock": "PutBucketPublicAccessBlock"
        case "DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock"
        default: nil
        }
    }

    /// The request parameters of a call whose body is the XML document `root`.
    static func parameters(document root: String) -> @Sendable (OperationRequest) -> WireValue {
        { request in
            var shown = WireStructure()
            shown.append(root, ifPresent: request.parameters[root].map(natural))
            append(request, to: &shown)
            return .structure(shown)
        }
    }

    /// The request parameters of PutBucketPolicy; a body that is no JSON is not shown.
    static func parametersOfPolicy(_ request: OperationRequest) -> WireValue {
        var shown = WireStructure()
        if request.bytes.count <= ObjectService.Limits.policyBytes, let policy = try? WireValue(json: request.bytes) {
            shown.append("bucketPolicy", policy)
        }
        append(request, to: &shown)
        return .structure(shown)
    }

    private static func append(_ request: OperationRequest, to shown: inout WireStructure) {
        shown.append("bucketName", ifPresent: request.parameters["Bucket"])
        shown.append("key", ifPresent: request.parameters["Key"])
        shown.append("Host", ifPresent: request.http.header("host").map { .string($0) })
        for item in request.http.query where !isSecret(item.name) && shown[item.name] == nil {
            shown.append(item.name, .string(item.value))
        }
        for header in request.http.headers where isShown(header.name) && shown[header.name] == nil {
            shown.append(header.name, .string(header.value))
        }
    }

    /// Signatures and keys never enter an event, whatever the spelling. User metadata does not either.
    private static func isSecret(_ name: String) -> Bool {
        let name = name.lowercased()
        return secrets.contains(name) || name.hasPrefix("x-amz-meta-") || name.contains("customer-key")
    }

    private static let secrets: Set<String> = [
        "x-amz-signature", "x-amz-credential", "x-amz-security-token", "signature", "awsaccesskeyid", "x-amz-mfa",
    ]

    private static func isShown(_ name: String) -> Bool {
        name.hasPrefix("x-amz-") && !isSecret(name) && !transport.contains(name)
    }

    /// Headers of the signature and the transport, which say nothing about what was asked.
    private static let transport: Set<String> = [
        "x-amz-date", "x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-user-agent",
        "x-amz-id-2", "x-amz-request-id", "x-amz-te",
    ]

    /// XML text that looks like a boolean or a number becomes one; repeated elements become a list.
    private static func natural(_ value: WireValue) -> WireValue {
        switch value {
        case .string("true"): return .bool(true)
        case .string("false"): return .bool(false)
        case .string(let text):
            guard let number = Int64(text), String(number) == text else { return value }
            return .integer(number)
        case .structure(let structure):
            var shown = WireStructure()
            for member in structure.members {
                let item = natural(member.value)
                switch shown[member.name] {
                case nil: shown.append(member.name, item)
                case .list(let items)?: shown[member.name] = .list(items + [item])
                case .some(let first): shown[member.name] = .list([first, item])
                }
            }
            return .structure(shown)
        default: return value
        }
    }
}

/// The resources that are authorized and recorded.
extension ObjectService {
    static func bucketResource(_ service: ObjectService, _ request: OperationRequest, _ call: Call)
        -> [ResourceReference]
    {
        guard let name = request.parameters["Bucket"]?.asString else { return [] }
        return [
            ResourceReference(
                type: "AWS::S3::Bucket", arn: "arn:aws:s3:::\(name)", accountID: service.buckets[name]?.ownerAccount)
        ]
    }

    static func objectResource(_ service: ObjectService, _ request: OperationRequest, _ call: Call)
        -> [ResourceReference]
    {
        guard let name = request.parameters["Bucket"]?.asString, let key = request.parameters["Key"]?.asString else {
            return []
        }
        var object = ResourceReference(
            type: "AWS::S3::Object", arn: "arn:aws:s3:::\(name)/\(key)",
            accountID: service.buckets[name]?.ownerAccount)
        var further: [ResourceReference] = []
        func ask(_ action: String) {
            var asked = object
            asked.action = action
            further.append(asked)
        }
        if request.http.queryValue("versionId")?.isEmpty == false, let action = versionActions[request.operation] {
            ask(action)
            object.isOnlyShown = true
        }
        if request.http.header("x-amz-bypass-governance-retention")?.lowercased() == "true" {
            ask("s3:BypassGovernanceRetention")
        }
        object.accountID = nil
        return [object] + shownBucket(service, request, call) + further
    }

    /// What a call about one version of an object needs, instead of the right to the object itself (Service Authorization
    /// Reference, "Amazon S3").
    private static let versionActions = [
        "GetObject": "s3:GetObjectVersion", "HeadObject": "s3:GetObjectVersion",
        "DeleteObject": "s3:DeleteObjectVersion", "GetObjectAcl": "s3:GetObjectVersionAcl",
        "PutObjectAcl": "s3:PutObjectVersionAcl", "GetObjectTagging": "s3:GetObjectVersionTagging",
        "PutObjectTagging": "s3:PutObjectVersionTagging", "DeleteObjectTagging": "s3:DeleteObjectVersionTagging",
        "GetObjectAttributes": "s3:GetObjectVersionAttributes",
    ]

    /// All objects under the request's prefix, and the bucket.
    static func prefixResource(_ service: ObjectService, _ request: OperationRequest, _ call: Call)
        -> [ResourceReference]
    {
        guard let name = request.parameters["Bucket"]?.asString else { return [] }
        let prefix = request.http.queryValue("prefix") ?? ""
        let objects = ResourceReference(
            type: "AWS::S3::Object", arn: "arn:aws:s3:::\(name)/\(prefix)", isPrefix: true, isOnlyShown: true)
        return [objects] + bucketResource(service, request, call)
    }

    /// ListBuckets is commonly granted on `arn:aws:s3:::*`.
    static func allBuckets(_ service: ObjectService, _ request: OperationRequest, _ call: Call) -> [ResourceReference] {
        [ResourceReference(type: "AWS::S3::Bucket", arn: "arn:aws:s3:::*")]
    }

    private static func shownBucket(_ service: ObjectService, _ request: OperationRequest, _ call: Call)
        -> [ResourceReference]
    {
        bucketResource(service, request, call).map { bucket in
            var shown = bucket
            shown.isOnlyShown = true
            return shown
        }
    }

    /// S3's condition keys (Service Authorization Reference, "Amazon S3"): the listing's parameters, every `x-amz-` header
    /// that says something about the object, and what the request's document says of tags, locks and the region. Tags of the
    /// object that is there: `existingTags`.
    static let conditions: Operation<ObjectService>.Conditions = { service, request, call in
        var keys: [ConditionKey] = []
        for name in ["prefix", "delimiter", "max-keys"] {
            if let value = request.http.queryValue(name) { keys.append(ConditionKey("s3:\(name)", value)) }
        }
        // Signed links carry such headers in the query.
        let inQuery = request.http.query.map { WireHeader($0.name.lowercased(), $0.value) }
            .filter { item in !request.http.headers.contains { $0.name == item.name } }
        for header in request.http.headers + inQuery where header.name.hasPrefix("x-amz-") {
            if header.name == "x-amz-server-side-encryption-aws-kms-key-id" {
                // Policies name keys by their ARNs.
                let arn = try? service.keys.usableKey(
                    named: header.value, account: call.accountID, region: call.region)
                keys.append(ConditionKey("s3:\(header.name)", arn ?? header.value))
                continue
            }
            guard !header.name.hasPrefix("x-amz-meta-"), !header.name.contains("customer-key"),
                header.name != "x-amz-security-token", header.name != "x-amz-signature",
                header.name != "x-amz-credential"
            else { continue }
            let isOfLock = header.name.hasPrefix("x-amz-object-lock-")
            keys.append(ConditionKey("s3:\(isOfLock ? header.name.dropFirst(6) : header.name[...])", header.value))
            if header.name == "x-amz-tagging", let tags = try? TagSet(header: header.value) { keys += asked(tags) }
        }
        if let version = request.http.queryValue("versionId") { keys.append(ConditionKey("s3:VersionId", version)) }
        if let owner = request.parameters["Bucket"]?.asString.flatMap({ service.buckets[$0]?.ownerAccount }) {
            keys.append(ConditionKey("s3:ResourceAccount", owner))
        }
        if request.parameters["Tagging"] != nil,
            let tags = try? TagSet(document: request, limit: TagSet.Limits.bucketTags)
        {
            keys += asked(tags)
        }
        func text(_ root: String, _ member: String) -> String? {
            request.parameters[root]?.asStructure?[member]?.asString
        }
        var lockEnd = keys.first { $0.name == "s3:object-lock-retain-until-date" }?.values.first
        for (root, member, name) in documentKeys {
            guard let value = text(root, member) else { continue }
            keys.append(ConditionKey(name, value))
            if member == "RetainUntilDate" { lockEnd = value }
        }
        if let end = lockEnd.flatMap({ Timestamp(iso8601: $0) }) {
            let days = max(0, (end.seconds - call.time.seconds + 86_399) / 86_400)
            keys.append(ConditionKey("s3:object-lock-remaining-retention-days", String(days)))
        }
        if call.caller.kind != .unknown {
            let isPresigned = request.http.hasQuery("X-Amz-Signature")
            keys.append(ConditionKey("s3:authType", isPresigned ? "REST-QUERY-STRING" : "REST-HEADER"))
            keys.append(ConditionKey("s3:signatureversion", "AWS4-HMAC-SHA256"))
        }
        return keys
    }

    /// Root and member of a document, and the key that its value has.
    private static let documentKeys = [
        ("CreateBucketConfiguration", "LocationConstraint", "s3:LocationConstraint"),
        ("Retention", "Mode", "s3:object-lock-mode"),
        ("Retention", "RetainUntilDate", "s3:object-lock-retain-until-date"),
        ("LegalHold", "Status", "s3:object-lock-legal-hold"),
    ]

    private static func asked(_ tags: TagSet) -> [ConditionKey] {
        tags.tags.map { ConditionKey("s3:RequestObjectTag/\($0.key)", $0.value) }
            + [ConditionKey("s3:RequestObjectTagKeys", set: tags.tags.map(\.key))]
    }
}
