// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies
internal import Storage

extension ObjectService {
    static let policyOperations: [Operation<ObjectService>] = [
        Operation(
            "PutBucketPolicy", .write, OperationTraits(recordsAnswer: false, recordsResources: true),
            on: bucketResource, conditions: conditions, recorded: ObjectRecording.parametersOfPolicy,
            perform: ObjectService.putBucketPolicy),
        Operation(
            "GetBucketPolicy", .read, OperationTraits(recordsAnswer: false, recordsResources: true),
            on: bucketResource, conditions: conditions, recorded: ObjectRecording.parameters,
            perform: ObjectService.getBucketPolicy),
        Operation(
            "DeleteBucketPolicy", .write, OperationTraits(recordsAnswer: false, recordsResources: true),
            on: bucketResource, conditions: conditions, recorded: ObjectRecording.parameters,
            perform: ObjectService.deleteBucketPolicy),
        Operation(
            "GetBucketPolicyStatus", .read, OperationTraits(recordsAnswer: false, recordsResources: true),
            on: bucketResource, conditions: conditions, recorded: ObjectRecording.parameters,
            perform: ObjectService.getBucketPolicyStatus),
    ]

    /// - Throws: `MalformedPolicy` (400); `AccessDenied` (403) for a policy that opens the bucket to everyone where
    ///   the public access block of the bucket or of its account forbids that.
    func putBucketPolicy(_ input: PutBucketPolicyInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        let policy = try BucketPolicy(input.text, of: bucket.name)
        if policy.isPublic, publicAccessBlock(of: bucket).blockPublicPolicy {
            let caller = call.caller.arn.map { "User: \($0) is not authorized to perform: " } ?? ""
            throw .objectAccessDenied(
                "\(caller)s3:PutBucketPolicy on resource: \"\(bucket.arn)\" because public policies are prevented by the "
                    + "BlockPublicPolicy setting in S3 Block Public Access.")
        }
        try await change(bucket.name, policy: try policy.stored(principals))
        return ObjectAnswer(status: 204)
    }

    func getBucketPolicy(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        guard let policy = bucket.policy else { throw .noSuchBucketPolicy(bucket.name) }
        // What can no longer be read is shown as it is.
        let shown = StoredPolicy(stored: policy, as: .resource(.s3), name: bucket.name).compiled?.textToShow(principals)
        return ObjectAnswer(body: .bytes(shown ?? Array(policy.utf8), contentType: "application/json"))
    }

    func deleteBucketPolicy(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try await change(try bucket(input.place, call).name, policy: nil)
        return ObjectAnswer(status: 204)
    }

    func getBucketPolicyStatus(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        guard let text = bucket.policy else { throw .noSuchBucketPolicy(bucket.name) }
        let policy = try BucketPolicy(stored: text, of: bucket.name)
        return ObjectAnswer(body: .xml(root: "PolicyStatus", ["IsPublic": .bool(policy.isPublic)]))
    }

    private func change(_ name: String, policy: String?) async throws(AWSError) {
        try await buckets.change(name, in: catalog) { (_, current) throws(AWSError) -> BucketRecord? in
            guard var changed = current else { throw .noSuchBucket(name) }
            changed.policy = policy
            return changed
        }
    }
}

struct PutBucketPolicyInput: OperationInput {
    let place: BucketPlace
    let text: [UInt8]

    init(_ request: OperationRequest) throws(AWSError) {
        place = try BucketPlace(request)
        let headers = RequestHeaders(request.http)
        try headers.refuseUnbuilt()
        try ChecksumDemand(headers).verify(request.bytes)
        text = request.bytes
    }
}
