// SPDX-License-Identifier: Apache-2.0
//
// The sub-resources of buckets that are built, and the documented answers of those that are not configured.
// Source: Amazon S3 API Reference, the page of each action; Service Authorization Reference, "Actions, resources, and
// condition keys for Amazon S3", for the actions' names.

internal import AWSWire
internal import Storage

extension ObjectService {
    private static let setting = OperationTraits(recordsAnswer: false, recordsResources: true)

    private static func traits(_ iamAction: String? = nil) -> OperationTraits {
        var traits = setting
        traits.iamAction = iamAction
        return traits
    }

    static let settingOperations: [Operation<ObjectService>] = [
        Operation(
            "GetBucketVersioning", .read, setting, on: bucketResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.getBucketVersioning),
        Operation(
            "PutBucketVersioning", .write, setting, on: bucketResource,
            recorded: ObjectRecording.parameters(document: "VersioningConfiguration"),
            perform: ObjectService.putBucketVersioning),
        Operation(
            "GetBucketTagging", .read, setting, on: bucketResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.getBucketTagging),
        Operation(
            "PutBucketTagging", .write, setting, on: bucketResource,
            recorded: ObjectRecording.parameters(document: "Tagging"), perform: ObjectService.putBucketTagging),
        Operation(
            "DeleteBucketTagging", .write, traits("PutBucketTagging"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.deleteBucketTagging),
        Operation(
            "GetPublicAccessBlock", .read, traits("GetBucketPublicAccessBlock"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.getPublicAccessBlock),
        Operation(
            "PutPublicAccessBlock", .write, traits("PutBucketPublicAccessBlock"), on: bucketResource,
            recorded: ObjectRecording.parameters(document: "PublicAccessBlockConfiguration"),
            perform: ObjectService.putPublicAccessBlock),
        Operation(
            "DeletePublicAccessBlock", .write, traits("PutBucketPublicAccessBlock"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.deletePublicAccessBlock),
        Operation(
            "GetBucketOwnershipControls", .read, setting, on: bucketResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.getBucketOwnershipControls),
        Operation(
            "PutBucketOwnershipControls", .write, setting, on: bucketResource,
            recorded: ObjectRecording.parameters(document: "OwnershipControls"),
            perform: ObjectService.putBucketOwnershipControls),
        Operation(
            "DeleteBucketOwnershipControls", .write, traits("PutBucketOwnershipControls"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.deleteBucketOwnershipControls),
        Operation(
            "GetBucketRequestPayment", .read, setting, on: bucketResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.getBucketRequestPayment),
        Operation(
            "PutBucketRequestPayment", .write, setting, on: bucketResource,
            recorded: ObjectRecording.parameters(document: "RequestPaymentConfiguration"),
            perform: ObjectService.putBucketRequestPayment),
    ]

    // MARK: Not configured, and not to be configured here

    /// What S3 answers where nothing is configured. The puts of these are not built, so nothing ever is.
    static let unconfiguredOperations: [Operation<ObjectService>] = [
        unconfigured("GetBucketAccelerateConfiguration", "GetAccelerateConfiguration", "AccelerateConfiguration"),
        unconfigured("GetBucketLogging", nil, "BucketLoggingStatus"),
        missing("GetBucketCors", "GetBucketCORS") {
            .notConfigured("NoSuchCORSConfiguration", "The CORS configuration does not exist", $0)
        },
        missing("GetBucketWebsite") {
            .notConfigured(
                "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration", $0)
        },
        missing("GetBucketReplication", "GetReplicationConfiguration") {
            .notConfigured(
                "ReplicationConfigurationNotFoundError", "The replication configuration was not found", $0)
        },
    ]

    private static func unconfigured(
        _ name: String, _ iamAction: String?, _ root: String, _ members: WireStructure = WireStructure()
    ) -> Operation<ObjectService> {
        Operation(
            name, .read, traits(iamAction), on: bucketResource, recorded: ObjectRecording.parameters,
            perform: { service in
                { (input: BucketInput, call: Call) async throws(AWSError) -> ObjectAnswer in
                    _ = try service.bucket(input.place, call)
                    return ObjectAnswer(body: .xml(root: root, members))
                }
            })
    }

    private static func missing(
        _ name: String, _ iamAction: String? = nil, _ error: @escaping @Sendable (String) -> AWSError
    ) -> Operation<ObjectService> {
        Operation(
            name, .read, traits(iamAction), on: bucketResource, recorded: ObjectRecording.parameters,
            perform: { service in
                { (input: BucketInput, call: Call) async throws(AWSError) -> ObjectAnswer in
                    throw error(try service.bucket(input.place, call).name)
                }
            })
    }

    // MARK: Versioning

    func getBucketVersioning(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let settings = try bucket(input.place, call).settings
        var document = WireStructure()
        document.append("Status", ifPresent: settings.versioning.map { .string($0.rawValue) })
        return ObjectAnswer(body: .xml(root: "VersioningConfiguration", document))
    }

    func putBucketVersioning(
        _ input: SettingInput<BucketSettings.Versioning>, _ call: Call
    ) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in
            if input.value == .suspended, settings.objectLock != nil {
                throw AWSError(
                    "InvalidBucketState", status: 409,
                    "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
                )
            }
            settings.versioning = input.value
        }
        return ObjectAnswer()
    }

    // MARK: Tags

    func getBucketTagging(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        guard !bucket.settings.tags.isEmpty else {
            throw .notConfigured("NoSuchTagSet", "The TagSet does not exist", bucket.name)
        }
        return ObjectAnswer(body: .xml(root: "Tagging", bucket.settings.tags.document))
    }

    func putBucketTagging(_ input: SettingInput<TagSet>, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.tags = input.value }
        return ObjectAnswer(status: 204)
    }

    func deleteBucketTagging(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.tags = TagSet() }
        return ObjectAnswer(status: 204)
    }

    // MARK: Public access block

    func getPublicAccessBlock(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        guard let block = bucket.settings.publicAccessBlock else {
            throw .notConfigured(
                "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found",
                bucket.name)
        }
        return ObjectAnswer(body: .xml(root: "PublicAccessBlockConfiguration", block.members))
    }

    func putPublicAccessBlock(
        _ input: SettingInput<BucketSettings.PublicAccessBlock>, _ call: Call
    ) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.publicAccessBlock = input.value }
        return ObjectAnswer()
    }

    func deletePublicAccessBlock(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.publicAccessBlock = nil }
        return ObjectAnswer(status: 204)
    }

    // MARK: Ownership

    func getBucketOwnershipControls(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        guard let ownership = bucket.settings.ownership else {
            throw .notConfigured(
                "OwnershipControlsNotFoundError", "The bucket ownership controls were not found", bucket.name)
        }
        return ObjectAnswer(
            body: .xml(
                root: "OwnershipControls",
                ["Rule": .structure(["ObjectOwnership": .string(ownership.rawValue)])]))
    }

    /// - Throws: `InvalidBucketAclWithObjectOwnership` (400) where the bucket's ACL grants something to others.
    func putBucketOwnershipControls(
        _ input: SettingInput<BucketSettings.Ownership>, _ call: Call
    ) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in
            if input.value == .bucketOwnerEnforced, settings.acl != "private" {
                throw .invalidBucketACLWithObjectOwnership
            }
            settings.ownership = input.value
        }
        return ObjectAnswer()
    }

    func deleteBucketOwnershipControls(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.ownership = nil }
        return ObjectAnswer(status: 204)
    }

    // MARK: Who pays

    func getBucketRequestPayment(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        _ = try bucket(input.place, call)
        return ObjectAnswer(body: .xml(root: "RequestPaymentConfiguration", ["Payer": "BucketOwner"]))
    }

    /// Only `BucketOwner` is taken, which is what holds anyway.
    func putBucketRequestPayment(_ input: RequestPaymentInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        _ = try bucket(input.place, call)
        return ObjectAnswer()
    }

    /// Changes a bucket's settings in one transaction.
    func change(
        _ place: BucketPlace, _ call: Call,
        _ body: @escaping @Sendable (inout BucketSettings) throws(AWSError) -> Void
    ) async throws(AWSError) {
        let name = try bucket(place, call).name
        try await buckets.change(name, in: catalog) { (_, current) throws(AWSError) -> BucketRecord? in
            guard var changed = current else { throw .noSuchBucket(name) }
            try body(&changed.settings)
            return changed
        }
    }
}

/// A setting that is read from a request's document.
protocol SettingDocument: Sendable {
    /// - Throws: `MalformedXML` (400) and the errors of the setting.
    static func read(_ request: OperationRequest) throws(AWSError) -> Self
}

/// A put of a bucket's sub-resource.
struct SettingInput<Value: SettingDocument>: OperationInput {
    let place: BucketPlace
    let value: Value

    init(_ request: OperationRequest) throws(AWSError) {
        place = try BucketPlace(request)
        try RequestHeaders(request.http).refuseUnbuilt()
        value = try Value.read(request)
    }
}

extension BucketSettings.Versioning: SettingDocument {
    /// - Throws: `NotImplemented` (501) for MFA delete: there are no MFA devices here, and a bucket that seems to ask for
    ///   one must not be deleted from without.
    static func read(_ request: OperationRequest) throws(AWSError) -> Self {
        let fields = try DocumentFields(request, root: "VersioningConfiguration", known: ["Status", "MfaDelete"])
        switch try fields.text("MfaDelete") {
        case nil, "Disabled": break
        case "Enabled": throw .notImplemented(member: "MfaDelete")
        default: throw .malformedDocument()
        }
        guard let status = try fields.text("Status") else {
            throw AWSError(
                "IllegalVersioningConfigurationException",
                "The Versioning element must be specified")
        }
        guard let value = Self(rawValue: status) else { throw .malformedDocument() }
        return value
    }
}

extension TagSet: SettingDocument {
    static func read(_ request: OperationRequest) throws(AWSError) -> Self {
        try Self(document: request, limit: Limits.bucketTags)
    }
}

extension BucketSettings.PublicAccessBlock: SettingDocument {
    static func read(_ request: OperationRequest) throws(AWSError) -> Self {
        let names = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"]
        let fields = try DocumentFields(request, root: "PublicAccessBlockConfiguration", known: names)
        return Self(
            blockPublicACLs: try fields.bool(names[0]) ?? false, ignorePublicACLs: try fields.bool(names[1]) ?? false,
            blockPublicPolicy: try fields.bool(names[2]) ?? false,
            restrictPublicBuckets: try fields.bool(names[3]) ?? false)
    }
}

extension BucketSettings.Ownership: SettingDocument {
    static func read(_ request: OperationRequest) throws(AWSError) -> Self {
        let fields = try DocumentFields(request, root: "OwnershipControls", known: ["Rule"])
        let rules = try fields.all("Rule", known: ["ObjectOwnership"])
        guard rules.count == 1, let value = Self(rawValue: try rules[0].requiredText("ObjectOwnership")) else {
            throw .malformedDocument()
        }
        return value
    }
}

struct RequestPaymentInput: OperationInput {
    let place: BucketPlace

    init(_ request: OperationRequest) throws(AWSError) {
        place = try BucketPlace(request)
        let fields = try DocumentFields(request, root: "RequestPaymentConfiguration", known: ["Payer"])
        switch try fields.requiredText("Payer") {
        case "BucketOwner": break
        case "Requester": throw .notImplemented(member: "Payer")
        default: throw .malformedDocument()
        }
    }
}
