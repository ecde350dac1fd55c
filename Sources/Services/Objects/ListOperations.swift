// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage

extension ObjectService {
    static let listingOperations: [Operation<ObjectService>] = [
        Operation(
            "ListObjects", .read,
            OperationTraits(
                category: .data, iamAction: "ListBucket", recordsAnswer: false, recordsResources: true),
            on: prefixResource, recorded: ObjectRecording.parameters, perform: ObjectService.listObjects),
        Operation(
            "ListObjectsV2", .read,
            OperationTraits(
                category: .data, iamAction: "ListBucket", eventName: "ListObjects", recordsAnswer: false,
                recordsResources: true),
            on: prefixResource, recorded: ObjectRecording.parameters, perform: ObjectService.listObjectsV2),
        Operation(
            "ListObjectVersions", .read,
            OperationTraits(
                category: .data, iamAction: "ListBucketVersions", recordsAnswer: false, recordsResources: true),
            on: prefixResource, recorded: ObjectRecording.parameters, perform: ObjectService.listObjectVersions),
    ]

    func listObjects(_ input: ListObjectsInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let (page, owner) = try await page(input, after: input.marker, call)
        let text = input.encoding
        var document: WireStructure = [
            "Name": .string(input.place.bucket), "Prefix": .string(text.encode(input.prefix)),
            "Marker": .string(text.encode(input.marker)), "MaxKeys": .integer(Int64(input.limit)),
            "IsTruncated": .bool(page.isTruncated),
        ]
        if !input.delimiter.isEmpty {
            document.append("Delimiter", .string(text.encode(input.delimiter)))
            if page.isTruncated { document.append("NextMarker", ifPresent: page.last.map { .string(text.encode($0)) }) }
        }
        document.append("EncodingType", ifPresent: text.name.map { .string($0) })
        append(page, input, encoding: text, owner: owner, to: &document)
        return ObjectAnswer(body: .xml(root: "ListBucketResult", document))
    }

    func listObjectsV2(_ input: ListObjectsInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let (page, owner) = try await page(input, after: input.resumed ?? input.startAfter, call)
        let text = input.encoding
        var document: WireStructure = [
            "Name": .string(input.place.bucket), "Prefix": .string(text.encode(input.prefix)),
            "MaxKeys": .integer(Int64(input.limit)), "KeyCount": .integer(Int64(page.count)),
            "IsTruncated": .bool(page.isTruncated),
        ]
        if !input.delimiter.isEmpty { document.append("Delimiter", .string(text.encode(input.delimiter))) }
        if !input.startAfter.isEmpty { document.append("StartAfter", .string(text.encode(input.startAfter))) }
        document.append("ContinuationToken", ifPresent: input.token.map { .string($0) })
        if page.isTruncated {
            document.append(
                "NextContinuationToken", ifPresent: page.last.map { .string(ContinuationToken.make($0)) })
        }
        document.append("EncodingType", ifPresent: text.name.map { .string($0) })
        append(page, input, encoding: text, owner: input.fetchesOwner ? owner : nil, to: &document)
        return ObjectAnswer(body: .xml(root: "ListBucketResult", document))
    }

    private func page(
        _ input: ListObjectsInput, after: String, _ call: Call
    ) async throws(AWSError) -> (ListingPage, WireValue) {
        let bucket = try bucket(input.place, call)
        let request = ListingRequest(
            bucket: bucket.name, prefix: input.prefix, delimiter: input.delimiter, after: after, limit: input.limit)
        let page = try await catalog.read { (snapshot) throws(AWSError) -> ListingPage in
            try ListingPage(request, from: snapshot)
        }
        return (page, Self.owner(bucket.ownerAccount))
    }

    private func append(
        _ page: ListingPage, _ input: ListObjectsInput, encoding: ListingEncoding, owner: WireValue?,
        to document: inout WireStructure
    ) {
        for entry in page.entries {
            var contents: WireStructure = [
                "Key": .string(encoding.encode(entry.key)), "LastModified": .timestamp(entry.record.modified),
                "ETag": .string(entry.record.quotedETag),
            ]
            if let checksum = entry.record.checksum {
                contents.append("ChecksumAlgorithm", .string(checksum.algorithm))
                contents.append("ChecksumType", .string(checksum.type))
            }
            contents.append("Size", .integer(entry.record.size))
            contents.append("Owner", ifPresent: owner)
            contents.append("StorageClass", .string(entry.record.storageClass.rawValue))
            if input.showsRestores { contents.append("RestoreStatus", ifPresent: entry.record.restoreStatus(now)) }
            document.append("Contents", .structure(contents))
        }
        for prefix in page.commonPrefixes {
            document.append("CommonPrefixes", .structure(["Prefix": .string(encoding.encode(prefix))]))
        }
    }
}

extension ObjectRecord {
    /// What a listing says of a restored copy; nil where there is none.
    func restoreStatus(_ now: Timestamp) -> WireValue? {
        guard let until = restoredUntil, until > now else { return nil }
        return .structure(["IsRestoreInProgress": .bool(false), "RestoreExpiryDate": .timestamp(until)])
    }
}

/// How names are written in a listing: as they are, or percent-encoded with `/` kept and the blank as `+`.
enum ListingEncoding: Sendable, Equatable {
    case none
    case url

    var name: String? { self == .url ? "url" : nil }

    func encode(_ text: String) -> String {
        guard self == .url else { return text }
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x2F, 0x5F, 0x7E: true
            default: false
            }
        }
        if isPlain { return text }
        // A plus of the name itself is written as a percent sequence.
        return PercentCoding.encode(text, keepSlash: true).split(separator: "%20", omittingEmptySubsequences: false)
            .joined(separator: "+")
    }
}

/// The parameters of both versions of ListObjects.
struct ListObjectsInput: OperationInput {
    let place: BucketPlace
    let prefix: String
    let delimiter: String
    let marker: String
    let startAfter: String
    let token: String?
    /// What the continuation token stands for.
    let resumed: String?
    let limit: Int
    let encoding: ListingEncoding
    let fetchesOwner: Bool
    /// Whether the client asks for the state of restored copies.
    let showsRestores: Bool

    /// - Throws: `InvalidArgument` (400).
    init(_ request: OperationRequest) throws(AWSError) {
        place = try BucketPlace(request)
        let http = request.http
        try RequestHeaders(http).refuseUnbuilt()
        prefix = http.queryValue("prefix") ?? ""
        delimiter = http.queryValue("delimiter") ?? ""
        marker = http.queryValue("marker") ?? ""
        startAfter = http.queryValue("start-after") ?? ""
        let optional = RequestHeaders(http).nonEmpty("x-amz-optional-object-attributes")?.split(separator: ",") ?? []
        for name in optional where name.trimmed != "RestoreStatus" {
            throw .invalidArgument(
                "Invalid attribute name specified", name: "x-amz-optional-object-attributes", value: String(name))
        }
        showsRestores = !optional.isEmpty
        fetchesOwner = http.queryValue("fetch-owner") == "true"
        if let token = http.queryValue("continuation-token") {
            resumed = try ContinuationToken.read(token)
            self.token = token
        } else {
            resumed = nil
            token = nil
        }
        switch http.queryValue("encoding-type") {
        case nil: encoding = .none
        case "url": encoding = .url
        case .some(let other):
            throw .invalidArgument("Invalid Encoding Method specified in Request", name: "encoding-type", value: other)
        }
        if let text = http.queryValue("max-keys"), !text.isEmpty {
            guard let number = Int64(text) else {
                throw .invalidArgument(
                    "Provided max-keys not an integer or within integer range", name: "max-keys", value: text)
            }
            guard (0...2_147_483_647).contains(number) else {
                throw .invalidArgument(
                    "Argument maxKeys must be an integer between 0 and 2147483647", name: "maxKeys", value: text)
            }
            limit = min(Int(number), ObjectService.Limits.pageKeys)
        } else {
            limit = ObjectService.Limits.pageKeys
        }
    }
}
