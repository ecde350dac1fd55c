// SPDX-License-Identifier: Apache-2.0
//
// Sub-resources of buckets that cannot be configured here, but that tools read on refresh and remove on destroy: their
// documented answers where nothing is configured. Their puts are not built.
// Source: Amazon S3 API Reference, the page of each action; Service Authorization Reference, "Amazon S3".

internal import AWSWire

extension ObjectService {
    /// Sets of named configurations, and what of the rest SettingOperations.swift does not have.
    static let nothingConfiguredOperations: [Operation<ObjectService>] =
        named("Analytics", root: "ListBucketAnalyticsConfigurationResult")
        + named("IntelligentTiering", root: "ListBucketIntelligentTieringConfigurationsOutput")
        + named("Inventory", root: "ListInventoryConfigurationsResult")
        + named("Metrics", root: "ListMetricsConfigurationsResult") + [
            answering("GetBucketAbac", nil, ObjectAnswer(body: .xml(root: "AbacStatus", ["Status": "Disabled"]))),
            refusing("GetBucketMetadataConfiguration", "GetBucketMetadataTableConfiguration") {
                .notConfigured("MetadataConfigurationNotFound", "The metadata configuration does not exist", $0)
            },
            refusing("GetBucketMetadataTableConfiguration", nil) {
                .notConfigured("MetadataConfigurationNotFound", "The metadata configuration does not exist", $0)
            },
            removing("DeleteBucketCors", "PutBucketCORS"),
            removing("DeleteBucketReplication", "PutReplicationConfiguration"),
            removing("DeleteBucketWebsite", nil),
            Operation(
                "PutBucketLogging", .write, traits(nil), on: bucketResource,
                recorded: ObjectRecording.parameters(document: "BucketLoggingStatus"),
                perform: ObjectService.putBucketLogging),
        ]

    /// Only the empty document is taken, which turns logging off.
    func putBucketLogging(_ input: LoggingInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        _ = try bucket(input.place, call)
        return ObjectAnswer()
    }

    // MARK: Forms

    private static func traits(_ iamAction: String?) -> OperationTraits {
        OperationTraits(iamAction: iamAction, recordsAnswer: false, recordsResources: true)
    }

    /// Get, list and delete of a set of configurations that is empty.
    private static func named(_ kind: String, root: String) -> [Operation<ObjectService>] {
        let missing: @Sendable (String) -> AWSError = {
            .notConfigured("NoSuchConfiguration", "The specified configuration does not exist.", $0)
        }
        return [
            refusing("GetBucket\(kind)Configuration", "Get\(kind)Configuration", missing),
            refusing("DeleteBucket\(kind)Configuration", "Put\(kind)Configuration", isWrite: true, missing),
            answering(
                "ListBucket\(kind)Configurations", "Get\(kind)Configuration",
                ObjectAnswer(body: .xml(root: root, ["IsTruncated": false]))),
        ]
    }

    private static func answering(
        _ name: String, _ iamAction: String?, isWrite: Bool = false, _ answer: ObjectAnswer
    ) -> Operation<ObjectService> {
        Operation(
            name, isWrite ? .write : .read, traits(iamAction), on: bucketResource,
            recorded: ObjectRecording.parameters,
            perform: { service in
                { (input: BucketInput, call: Call) async throws(AWSError) -> ObjectAnswer in
                    _ = try service.bucket(input.place, call)
                    return answer
                }
            })
    }

    /// A deletion of what is not there succeeds.
    private static func removing(_ name: String, _ iamAction: String?) -> Operation<ObjectService> {
        answering(name, iamAction, isWrite: true, ObjectAnswer(status: 204))
    }

    private static func refusing(
        _ name: String, _ iamAction: String?, isWrite: Bool = false,
        _ error: @escaping @Sendable (String) -> AWSError
    ) -> Operation<ObjectService> {
        Operation(
            name, isWrite ? .write : .read, traits(iamAction), on: bucketResource,
            recorded: ObjectRecording.parameters,
            perform: { service in
                { (input: BucketInput, call: Call) async throws(AWSError) -> ObjectAnswer in
                    throw error(try service.bucket(input.place, call).name)
                }
            })
    }
}

struct LoggingInput: OperationInput {
    let place: BucketPlace

    /// - Throws: `MalformedXML` (400), `NotImplemented` (501) for a bucket to log to.
    init(_ request: OperationRequest) throws(AWSError) {
        place = try BucketPlace(request)
        let fields = try DocumentFields(request, root: "BucketLoggingStatus", known: ["LoggingEnabled"])
        if fields.has("LoggingEnabled") { throw .notImplemented(member: "LoggingEnabled") }
    }
}
