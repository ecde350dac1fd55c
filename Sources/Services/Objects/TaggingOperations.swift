// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage

extension ObjectService {
    private static let tagging = OperationTraits(category: .data, recordsAnswer: false, recordsResources: true)

    static let taggingOperations: [Operation<ObjectService>] = [
        Operation(
            "GetObjectTagging", .read, tagging, on: objectResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.getObjectTagging),
        Operation(
            "PutObjectTagging", .write, tagging, on: objectResource,
            recorded: ObjectRecording.parameters(document: "Tagging"), perform: ObjectService.putObjectTagging),
        Operation(
            "DeleteObjectTagging", .write, tagging, on: objectResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.deleteObjectTagging),
        Operation(
            "GetObjectAttributes", .read, tagging, on: objectResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.getObjectAttributes),
    ]

    func getObjectTagging(_ input: VersionInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        let record = try await catalog.read { (snapshot) throws(AWSError) in
            try snapshot.readableObject(bucket, input.place.key, version: input.version)
        }
        return ObjectAnswer(
            headers: Self.versionHeaders(record, bucket), body: .xml(root: "Tagging", record.tags.document))
    }

    func putObjectTagging(_ input: PutObjectTaggingInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.version.place.place, call)
        let record = try await changeRecord(
            bucket, input.version, as: [.tagged], NotificationCause(call)
        ) { (record) throws(AWSError) in
            record.tags = input.tags
        }
        return ObjectAnswer(headers: Self.versionHeaders(record, bucket))
    }

    func deleteObjectTagging(_ input: VersionInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        let record = try await changeRecord(
            bucket, input, as: [.untagged], NotificationCause(call)
        ) { (record) throws(AWSError) in record.tags = TagSet() }
        return ObjectAnswer(status: 204, headers: Self.versionHeaders(record, bucket))
    }

    /// The version of the answer, where the bucket has versions.
    static func versionHeaders(_ record: ObjectRecord, _ bucket: BucketRecord) -> [WireHeader] {
        bucket.settings.versioning == nil ? [] : [WireHeader("x-amz-version-id", record.versionText)]
    }

    // MARK: GetObjectAttributes

    func getObjectAttributes(_ input: AttributesInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.version.place.place, call)
        let (record, parts) = try await catalog.read { (snapshot) throws(AWSError) in
            let record = try snapshot.readableObject(
                bucket, input.version.place.key, version: input.version.version)
            return (record, record.partCount > 0 ? try snapshot.files(of: record) : [])
        }
        let isKMS = if case .kms = record.encryption { true } else { false }
        if !isKMS || input.wants("Checksum") || input.customerKey != nil {
            _ = try await openKey(of: record.encryption, bucket: bucket, customerKey: input.customerKey, call)
        }
        var document = WireStructure()
        if input.wants("ETag") { document.append("ETag", .string(record.etag)) }
        if input.wants("Checksum"), let checksum = record.checksum {
            var value = WireStructure([checksum.member])
            value.append("ChecksumType", .string(checksum.type))
            document.append("Checksum", .structure(value))
        }
        if input.wants("ObjectParts"), record.partCount > 0 {
            document.append("ObjectParts", .structure(Self.partsDocument(input, record, parts)))
        }
        if input.wants("StorageClass") { document.append("StorageClass", .string(record.storageClass.rawValue)) }
        if input.wants("ObjectSize") { document.append("ObjectSize", .integer(record.size)) }
        var headers = Self.versionHeaders(record, bucket)
        headers.append(WireHeader("last-modified", record.modified.httpDate))
        return ObjectAnswer(headers: headers, body: .xml(root: "GetObjectAttributesResponse", document))
    }

    private static func partsDocument(
        _ input: AttributesInput, _ record: ObjectRecord, _ parts: [ObjectParts.Part]
    ) -> WireStructure {
        let later = parts.filter { $0.number > input.marker }
        let page = later.prefix(input.limit)
        var document: WireStructure = [
            "PartsCount": .integer(Int64(record.partCount)), "PartNumberMarker": .integer(Int64(input.marker)),
            "NextPartNumberMarker": .integer(Int64(page.last?.number ?? 0)), "MaxParts": .integer(Int64(input.limit)),
            "IsTruncated": .bool(page.count < later.count),
        ]
        // S3 lists the parts only where each has a checksum of its own to show.
        guard let algorithm = record.checksum?.algorithm, parts.allSatisfy({ $0.checksum != nil }) else {
            return document
        }
        for part in page {
            var entry: WireStructure = [
                "PartNumber": .integer(Int64(part.number)), "Size": .integer(part.size),
            ]
            entry.append("Checksum\(algorithm)", ifPresent: part.checksum.map { .string($0) })
            document.append("Part", .structure(entry))
        }
        return document
    }
}

struct PutObjectTaggingInput: OperationInput {
    let version: VersionInput
    let tags: TagSet

    init(_ request: OperationRequest) throws(AWSError) {
        version = try VersionInput(request)
        tags = try TagSet(document: request, limit: TagSet.Limits.objectTags)
    }
}

struct AttributesInput: OperationInput {
    let version: VersionInput
    let marker: Int
    let limit: Int
    let customerKey: CustomerKey?
    private let names: Set<String>

    /// - Throws: `InvalidArgument` (400) for no attribute, or one that does not exist.
    init(_ request: OperationRequest) throws(AWSError) {
        version = try VersionInput(request)
        let headers = RequestHeaders(request.http)
        customerKey = try headers.customerKey()
        var names: Set<String> = []
        for header in request.http.headers where header.name == "x-amz-object-attributes" {
            for name in header.value.split(separator: ",").map(\.trimmed) where !name.isEmpty {
                guard ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"].contains(name) else {
                    throw .invalidArgument(
                        "Invalid attribute name specified.", name: "x-amz-object-attributes", value: name)
                }
                names.insert(name)
            }
        }
        guard !names.isEmpty else {
            throw .invalidArgument(
                "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
                name: "x-amz-object-attributes", value: nil)
        }
        self.names = names
        marker = headers.nonEmpty("x-amz-part-number-marker").flatMap { Int($0) } ?? 0
        limit = min(1000, max(0, headers.nonEmpty("x-amz-max-parts").flatMap { Int($0) } ?? 1000))
    }

    func wants(_ name: String) -> Bool { names.contains(name) }
}
