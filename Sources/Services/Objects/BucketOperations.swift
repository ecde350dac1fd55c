// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage
internal import Synchronization

extension ObjectService {
    static let bucketOperations: [Operation<ObjectService>] = [
        Operation(
            "CreateBucket", .write, OperationTraits(recordsAnswer: false), on: bucketResource,
            recorded: ObjectRecording.parameters(document: "CreateBucketConfiguration"),
            perform: ObjectService.createBucket),
        Operation(
            "HeadBucket", .read,
            OperationTraits(
                category: .data, iamAction: "ListBucket", recordsAnswer: false, recordsResources: true),
            on: prefixResource, recorded: ObjectRecording.parameters, perform: ObjectService.headBucket),
        Operation(
            "ListBuckets", .read, OperationTraits(iamAction: "ListAllMyBuckets", recordsAnswer: false), on: allBuckets,
            recorded: ObjectRecording.parameters, perform: ObjectService.listBuckets),
        Operation(
            "DeleteBucket", .write, OperationTraits(recordsAnswer: false, recordsResources: true), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.deleteBucket),
        Operation(
            "GetBucketLocation", .read, OperationTraits(recordsAnswer: false, recordsResources: true),
            on: bucketResource, recorded: ObjectRecording.parameters, perform: ObjectService.getBucketLocation),
    ]

    /// - Throws: `InvalidBucketName`, `InvalidLocationConstraint`, `IllegalLocationConstraintException`,
    ///   `BucketAlreadyOwnedByYou` (409; in us-east-1 the answer is 200, as at S3), `BucketAlreadyExists` (409),
    ///   `TooManyBuckets`.
    func createBucket(_ input: CreateBucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        guard BucketName.isValid(input.bucket) else { throw .invalidBucketName(input.bucket) }
        let region = try input.region(signed: call.region)
        var settings = BucketSettings()
        settings.ownership = input.ownership
        settings.acl = input.acl
        settings.tags = input.tags
        if input.isLocked {
            settings.versioning = .enabled
            settings.objectLock = ObjectLockSetting()
        }
        let record = BucketRecord(
            name: input.bucket, ownerAccount: call.accountID, region: region, created: now, policy: nil,
            settings: settings)
        let isOverLimit = buckets.count(of: call.accountID) >= Limits.buckets
        try await buckets.change(input.bucket, in: catalog) { (_, current) throws(AWSError) -> BucketRecord? in
            guard let current else {
                guard !isOverLimit else { throw .tooManyBuckets(limit: Limits.buckets) }
                return record
            }
            guard current.ownerAccount == record.ownerAccount else { throw .bucketAlreadyExists(record.name) }
            guard current.region == "us-east-1", region == "us-east-1" else {
                throw .bucketAlreadyOwnedByYou(record.name)
            }
            return current
        }
        let location = region == "us-east-1" ? "/\(input.bucket)" : "http://\(input.bucket).s3.amazonaws.com/"
        return ObjectAnswer(headers: [
            WireHeader("location", location), WireHeader("x-amz-bucket-arn", record.arn),
        ])
    }

    func headBucket(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        return ObjectAnswer(headers: [
            WireHeader("x-amz-bucket-region", bucket.region), WireHeader("x-amz-bucket-arn", bucket.arn),
            WireHeader("x-amz-access-point-alias", "false"), WireHeader("content-type", "application/xml"),
        ])
    }

    func listBuckets(_ input: ListBucketsInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        var matching = buckets.all(of: call.accountID)
        if let prefix = input.prefix { matching.removeAll { !$0.name.hasPrefix(prefix) } }
        if let region = input.region { matching.removeAll { $0.region != region } }
        if let after = input.after {
            matching.removeAll { !after.utf8.lexicographicallyPrecedes($0.name.utf8) }
        }
        let page = matching.prefix(input.limit)
        var list = WireStructure()
        for bucket in page {
            list.append(
                "Bucket",
                .structure([
                    "Name": .string(bucket.name), "CreationDate": .timestamp(bucket.created),
                    "BucketRegion": .string(bucket.region),
                ]))
        }
        var document: WireStructure = ["Owner": Self.owner(call.accountID), "Buckets": .structure(list)]
        if let last = page.last, page.count < matching.count {
            document.append("ContinuationToken", .string(ContinuationToken.make(last.name)))
        }
        document.append("Prefix", ifPresent: input.prefix.map { .string($0) })
        return ObjectAnswer(body: .xml(root: "ListAllMyBucketsResult", document))
    }

    /// - Throws: `BucketNotEmpty` (409).
    func deleteBucket(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let name = try bucket(input.place, call).name
        let dropped = Mutex<[String]>([])
        try await buckets.change(name, in: catalog) { (transaction, current) throws(AWSError) -> BucketRecord? in
            guard current != nil else { throw .noSuchBucket(name) }
            guard try transaction.scan(prefix: ObjectRecord.keys(in: name), limit: 1).isEmpty else {
                throw .bucketNotEmpty(name)
            }
            guard try transaction.scan(prefix: VersionKeys.rows(in: name), limit: 1).isEmpty else {
                throw .bucketNotEmpty(name, hasVersions: true)
            }
            try transaction.delete(LifecycleWalk.key(name))
            let files = try transaction.abortUploads(in: name)
            dropped.withLock { $0 = files }
            return nil
        }
        for file in dropped.withLock({ $0 }) { await files.remove(file) }
        return ObjectAnswer(status: 204)
    }

    func getBucketLocation(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let region = try bucket(input.place, call, anyRegion: true).region
        // The root element has text and no members; us-east-1 is shown as nothing.
        let text = region == "us-east-1" ? "" : region
        let document =
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            + "<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\(text)</LocationConstraint>"
        return ObjectAnswer(body: .bytes(Array(document.utf8), contentType: "application/xml"))
    }
}

/// A call that names a bucket and nothing else.
struct BucketInput: OperationInput {
    let place: BucketPlace

    init(_ request: OperationRequest) throws(AWSError) { place = try BucketPlace(request) }
}

struct CreateBucketInput: OperationInput {
    let bucket: String
    /// LocationConstraint, nil where it is absent or empty.
    let constraint: String?
    let ownership: BucketSettings.Ownership
    let acl: String
    let tags: TagSet
    /// Whether Object Lock is on from the beginning.
    let isLocked: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        bucket = try BucketPlace(request).bucket
        let headers = RequestHeaders(request.http)
        try headers.refuseUnbuilt()
        isLocked = headers.value("x-amz-bucket-object-lock-enabled")?.lowercased() == "true"
        ownership = try headers.ownership() ?? .bucketOwnerEnforced
        acl = try headers.bucketACL(isOwnerEnforced: ownership == .bucketOwnerEnforced) ?? "private"
        try ChecksumDemand(headers).verify(request.bytes)
        guard let content = request.parameters["CreateBucketConfiguration"] else {
            guard request.bytes.isEmpty else { throw .malformedDocument() }
            constraint = nil
            tags = TagSet()
            return
        }
        // An element without children comes as text.
        if let text = content.asString, text.trimmed.isEmpty || text.allSatisfy(\.isWhitespace) {
            constraint = nil
            tags = TagSet()
            return
        }
        guard let structure = content.asStructure else { throw .malformedDocument() }
        for member in structure.members {
            switch member.name {
            case "LocationConstraint", "Tags", "xmlns": continue
            case "Location", "Bucket": throw .notImplemented(member: member.name)
            default: throw .malformedDocument()
            }
        }
        let set = try DocumentFields(structure["Tags"] ?? "", known: ["Tag"])
        var found: [TagSet.Tag] = []
        for tag in try set.all("Tag", known: ["Key", "Value"]) {
            found.append(TagSet.Tag(key: try tag.requiredText("Key"), value: try tag.requiredText("Value")))
        }
        tags = try TagSet(found, limit: TagSet.Limits.bucketTags)
        switch structure["LocationConstraint"] {
        case nil: constraint = nil
        case .string(let text): constraint = text.isEmpty ? nil : text
        case .some: throw .malformedDocument()
        }
    }

    /// The region of the bucket: the constraint, which must be the region that was asked unless that is us-east-1.
    func region(signed: String) throws(AWSError) -> String {
        guard let constraint else {
            guard signed == "us-east-1" else { throw .illegalLocationConstraint(nil) }
            return signed
        }
        guard Self.constraints.contains(constraint) else { throw .invalidLocationConstraint(constraint) }
        let region = constraint == "EU" ? "eu-west-1" : constraint
        guard signed == "us-east-1" || signed == region else { throw .illegalLocationConstraint(constraint) }
        return region
    }

    /// The values of LocationConstraint in S3's model; us-east-1 is asked for by leaving it out.
    private static let constraints: Set<String> = [
        "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1",
        "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5",
        "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "cn-north-1", "cn-northwest-1", "EU",
        "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2",
        "eu-west-3", "il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1", "us-east-2",
        "us-gov-east-1", "us-gov-west-1", "us-west-1", "us-west-2",
    ]
}

struct ListBucketsInput: OperationInput {
    let prefix: String?
    let region: String?
    let after: String?
    let limit: Int

    init(_ request: OperationRequest) throws(AWSError) {
        prefix = request.http.queryValue("prefix").flatMap { $0.isEmpty ? nil : $0 }
        region = request.http.queryValue("bucket-region").flatMap { $0.isEmpty ? nil : $0 }
        if let token = request.http.queryValue("continuation-token"), !token.isEmpty {
            after = try ContinuationToken.read(token)
        } else {
            after = nil
        }
        if let text = request.http.queryValue("max-buckets") {
            guard let number = Int(text), (1...10_000).contains(number) else {
                throw .invalidArgument(
                    "Argument max-buckets must be an integer between 1 and 10000", name: "max-buckets", value: text)
            }
            limit = number
        } else {
            limit = ObjectService.Limits.buckets
        }
    }
}
