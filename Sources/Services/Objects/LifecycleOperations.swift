// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

extension ObjectService {
    private static func traits(_ iamAction: String) -> OperationTraits {
        OperationTraits(iamAction: iamAction, recordsAnswer: false, recordsResources: true)
    }

    static let lifecycleOperations: [Operation<ObjectService>] = [
        Operation(
            "GetBucketLifecycleConfiguration", .read, traits("GetLifecycleConfiguration"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.getBucketLifecycle),
        Operation(
            "PutBucketLifecycleConfiguration", .write, traits("PutLifecycleConfiguration"), on: bucketResource,
            recorded: ObjectRecording.parameters(document: "LifecycleConfiguration"),
            perform: ObjectService.putBucketLifecycle),
        Operation(
            "DeleteBucketLifecycle", .write, traits("PutLifecycleConfiguration"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.deleteBucketLifecycle),
    ]

    private static let sizeHeader = WireHeader(
        "x-amz-transition-default-minimum-object-size", "all_storage_classes_128K")

    func getBucketLifecycle(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        guard let lifecycle = bucket.settings.lifecycle else {
            throw .notConfigured(
                "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", bucket.name)
        }
        return ObjectAnswer(
            headers: [Self.sizeHeader], body: .xml(root: "LifecycleConfiguration", lifecycle.document))
    }

    func putBucketLifecycle(
        _ input: SettingInput<LifecycleConfiguration>, _ call: Call
    ) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.lifecycle = input.value }
        return ObjectAnswer(headers: [Self.sizeHeader])
    }

    func deleteBucketLifecycle(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.lifecycle = nil }
        return ObjectAnswer(status: 204)
    }
}
