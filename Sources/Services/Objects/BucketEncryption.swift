// SPDX-License-Identifier: Apache-2.0
//
// A bucket's default encryption. In the catalog, as the member `encryption` of the bucket's settings:
//
//     {"method":"aws:kms","key":"NAME","bucketKey":true,"blocksCustomerKeys":true}
//
// `key` is as it was put, absent for the account's key `aws/s3`; what is false is absent.
// Source: Amazon S3 API Reference, PutBucketEncryption, GetBucketEncryption, DeleteBucketEncryption; S3 User Guide, "Setting
// default server-side encryption behavior for Amazon S3 buckets".

internal import AWSWire

/// How objects are encrypted whose puts do not say.
struct BucketEncryption: Sendable, Equatable {
    enum Method: String, Sendable {
        case store = "AES256"
        case kms = "aws:kms"
    }

    var method = Method.store
    /// Id, ARN or alias; nil for the account's key `aws/s3`.
    var keyName: String?
    var usesBucketKey = false
    /// Whether puts with customers' keys are refused.
    var blocksCustomerKeys = false

    var stored: WireValue {
        var fields: WireStructure = ["method": .string(method.rawValue)]
        fields.append("key", ifPresent: keyName.map { .string($0) })
        if usesBucketKey { fields.append("bucketKey", true) }
        if blocksCustomerKeys { fields.append("blocksCustomerKeys", true) }
        return .structure(fields)
    }

    init() {}

    init?(stored: WireValue) {
        guard let fields = stored.asStructure,
            let method = fields["method"]?.asString.flatMap({ Method(rawValue: $0) })
        else { return nil }
        self.method = method
        keyName = fields["key"]?.asString
        usesBucketKey = fields["bucketKey"]?.asBool ?? false
        blocksCustomerKeys = fields["blocksCustomerKeys"]?.asBool ?? false
    }

    /// As GetBucketEncryption shows it.
    var document: WireStructure {
        var byDefault: WireStructure = ["SSEAlgorithm": .string(method.rawValue)]
        byDefault.append("KMSMasterKeyID", ifPresent: keyName.map { .string($0) })
        var rule: WireStructure = [
            "ApplyServerSideEncryptionByDefault": .structure(byDefault),
            "BucketKeyEnabled": .string(usesBucketKey ? "true" : "false"),
        ]
        if blocksCustomerKeys {
            rule.append("BlockedEncryptionTypes", .structure(["EncryptionType": "SSE-C"]))
        }
        return ["Rule": .structure(rule)]
    }
}

extension BucketEncryption: SettingDocument {
    /// - Throws: `MalformedXML` (400), `InvalidArgument` (400) for a key without KMS, `NotImplemented` (501) for
    ///   double-layer encryption.
    static func read(_ request: OperationRequest) throws(AWSError) -> Self {
        let fields = try DocumentFields(request, root: "ServerSideEncryptionConfiguration", known: ["Rule"])
        let rules = try fields.all(
            "Rule", known: ["ApplyServerSideEncryptionByDefault", "BucketKeyEnabled", "BlockedEncryptionTypes"])
        guard rules.count == 1 else { throw .malformedDocument() }
        var encryption = BucketEncryption()
        if let byDefault = try rules[0].fields(
            "ApplyServerSideEncryptionByDefault", known: ["SSEAlgorithm", "KMSMasterKeyID"])
        {
            let name = try byDefault.requiredText("SSEAlgorithm")
            guard let method = Method(rawValue: name) else {
                let isKnown = ["aws:kms:dsse", "aws:fsx", "aws:backup"].contains(name)
                throw isKnown ? .notImplemented(member: "SSEAlgorithm \(name)") : .malformedDocument()
            }
            encryption.method = method
            if let key = try byDefault.text("KMSMasterKeyID"), !key.isEmpty {
                guard method == .kms else {
                    throw .invalidArgument(
                        "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms",
                        name: "KMSMasterKeyID", value: key)
                }
                encryption.keyName = key
            }
        }
        encryption.usesBucketKey = try rules[0].bool("BucketKeyEnabled") ?? false
        if let blocked = try rules[0].fields("BlockedEncryptionTypes", known: ["EncryptionType"]) {
            switch try blocked.text("EncryptionType") {
            case nil, "NONE": break
            case "SSE-C": encryption.blocksCustomerKeys = true
            default: throw .malformedDocument()
            }
        }
        return encryption
    }
}

extension ObjectService {
    private static func traits(_ iamAction: String) -> OperationTraits {
        OperationTraits(iamAction: iamAction, recordsAnswer: false, recordsResources: true)
    }

    static let encryptionOperations: [Operation<ObjectService>] = [
        Operation(
            "GetBucketEncryption", .read, traits("GetEncryptionConfiguration"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.getBucketEncryption),
        Operation(
            "PutBucketEncryption", .write, traits("PutEncryptionConfiguration"), on: bucketResource,
            recorded: ObjectRecording.parameters(document: "ServerSideEncryptionConfiguration"),
            perform: ObjectService.putBucketEncryption),
        Operation(
            "DeleteBucketEncryption", .write, traits("PutEncryptionConfiguration"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.deleteBucketEncryption),
    ]

    func getBucketEncryption(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let encryption = try bucket(input.place, call).settings.encryption ?? BucketEncryption()
        return ObjectAnswer(body: .xml(root: "ServerSideEncryptionConfiguration", encryption.document))
    }

    /// The key is not asked for: as at S3, only a put that needs it tells that it cannot be used.
    func putBucketEncryption(
        _ input: SettingInput<BucketEncryption>, _ call: Call
    ) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.encryption = input.value }
        return ObjectAnswer()
    }

    func deleteBucketEncryption(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.encryption = nil }
        return ObjectAnswer(status: 204)
    }
}
