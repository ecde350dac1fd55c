// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage

extension ObjectService {
    func listParts(_ input: ListPartsInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.object.place, call)
        let key = input.place.object.key
        let (upload, found) = try await catalog.read { (snapshot) throws(AWSError) in
            let upload = try snapshot.upload(bucket.name, key, input.place.id)
            return (upload, try snapshot.parts(of: upload.id, after: input.marker, limit: input.limit + 1))
        }
        let page = found.prefix(input.limit)
        let isTruncated = found.count > page.count && input.limit > 0
        let owner = Self.owner(bucket.ownerAccount)
        var document: WireStructure = [
            "Bucket": .string(bucket.name), "Key": .string(key), "UploadId": .string(upload.id), "Initiator": owner,
            "Owner": owner, "StorageClass": .string(upload.object.storageClass.rawValue),
            "PartNumberMarker": .integer(Int64(input.marker)),
            "NextPartNumberMarker": .integer(Int64(page.last?.number ?? 0)), "MaxParts": .integer(Int64(input.limit)),
            "IsTruncated": .bool(isTruncated),
        ]
        if let algorithm = upload.algorithm {
            document.append("ChecksumAlgorithm", .string(algorithm.rawValue))
            document.append("ChecksumType", .string(upload.type))
        }
        for part in page {
            var entry: WireStructure = [
                "PartNumber": .integer(Int64(part.number)), "LastModified": .timestamp(part.modified),
                "ETag": .string("\"\(part.md5)\""), "Size": .integer(part.size),
            ]
            if let algorithm = upload.algorithm {
                entry.append("Checksum\(algorithm.rawValue)", .string(part.checksum))
            }
            document.append("Part", .structure(entry))
        }
        return ObjectAnswer(body: .xml(root: "ListPartsResult", document))
    }

    func listMultipartUploads(_ input: ListUploadsInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        let page = try await catalog.read { (snapshot) throws(AWSError) in
            try UploadPage(input, from: snapshot)
        }
        let text = input.encoding
        let owner = Self.owner(bucket.ownerAccount)
        var document: WireStructure = [
            "Bucket": .string(bucket.name), "KeyMarker": .string(text.encode(input.keyMarker)),
            "UploadIdMarker": .string(input.idMarker), "Prefix": .string(text.encode(input.prefix)),
            "MaxUploads": .integer(Int64(input.limit)), "IsTruncated": .bool(page.isTruncated),
        ]
        if page.isTruncated {
            document.append("NextKeyMarker", ifPresent: page.lastKey.map { .string(text.encode($0)) })
            document.append("NextUploadIdMarker", .string(page.lastID ?? ""))
        }
        if !input.delimiter.isEmpty { document.append("Delimiter", .string(text.encode(input.delimiter))) }
        document.append("EncodingType", ifPresent: text.name.map { .string($0) })
        for (key, upload) in page.uploads {
            var entry: WireStructure = [
                "Key": .string(text.encode(key)), "UploadId": .string(upload.id), "Initiator": owner, "Owner": owner,
                "StorageClass": .string(upload.object.storageClass.rawValue),
                "Initiated": .timestamp(upload.object.modified),
            ]
            if let algorithm = upload.algorithm {
                entry.append("ChecksumAlgorithm", .string(algorithm.rawValue))
                entry.append("ChecksumType", .string(upload.type))
            }
            document.append("Upload", .structure(entry))
        }
        for prefix in page.commonPrefixes {
            document.append("CommonPrefixes", .structure(["Prefix": .string(text.encode(prefix))]))
        }
        return ObjectAnswer(body: .xml(root: "ListMultipartUploadsResult", document))
    }
}

/// One page of uploads, by key and then by when they began.
struct UploadPage: Sendable {
    var uploads: [(key: String, upload: MultipartUpload)] = []
    var commonPrefixes: [String] = []
    var isTruncated = false
    var lastKey: String?
    var lastID: String?

    private static let batch = 128

    init(_ input: ListUploadsInput, from snapshot: CatalogSnapshot) throws(AWSError) {
        guard input.limit > 0 else { return }
        let base = MultipartUpload.all(in: input.place.bucket).bytes
        let prefix = Array(input.prefix.utf8)
        let delimiter = Array(input.delimiter.utf8)
        let marker = Array(input.keyMarker.utf8)
        let scope = CatalogKey(bytes: base + VersionKeys.escaped(prefix))
        var from: CatalogKey?
        var above: CatalogKey?
        if let group = ListingPage.commonPrefix(of: marker[...], prefix: prefix, delimiter: delimiter) {
            from = CatalogKey(bytes: base + VersionKeys.escaped(group)).successorOfPrefix
        } else if !marker.isEmpty {
            if input.idMarker.isEmpty {
                from = CatalogKey(bytes: base + VersionKeys.escaped(marker) + [0, 2])
            } else {
                above = MultipartUpload.key(input.place.bucket, input.keyMarker, input.idMarker)
            }
        }
        while true {
            let documents = try snapshot.scan(prefix: scope, after: above, from: from, limit: Self.batch)
            from = nil
            var passed: [UInt8]?
            for document in documents {
                guard let (key, id) = MultipartUpload.key(of: document.key.bytes[base.count...]) else {
                    throw .objectFault("the catalog has an upload under a damaged key")
                }
                above = document.key
                if let passed, key.starts(with: passed) { continue }
                if uploads.count + commonPrefixes.count == input.limit {
                    isTruncated = true
                    return
                }
                let text = String(decoding: key, as: UTF8.self)
                if let group = ListingPage.commonPrefix(of: key[...], prefix: prefix, delimiter: delimiter) {
                    passed = group
                    commonPrefixes.append(String(decoding: group, as: UTF8.self))
                    lastKey = commonPrefixes.last
                    lastID = nil
                } else {
                    uploads.append((text, try MultipartUpload(document)))
                    lastKey = text
                    lastID = id
                }
            }
            guard documents.count == Self.batch else { return }
            if let passed {
                guard let next = CatalogKey(bytes: base + VersionKeys.escaped(passed)).successorOfPrefix else { return }
                from = next
                above = nil
            }
        }
    }
}

struct ListPartsInput: OperationInput {
    let place: UploadPlace
    let marker: Int
    let limit: Int

    /// - Throws: `InvalidArgument` (400).
    init(_ request: OperationRequest) throws(AWSError) {
        try RequestHeaders(request.http).refuseUnbuilt()
        place = try UploadPlace(request)
        marker = try ListUploadsInput.number("part-number-marker", request) ?? 0
        limit = min(1000, try ListUploadsInput.number("max-parts", request) ?? 1000)
    }
}

struct ListUploadsInput: OperationInput {
    let place: BucketPlace
    let prefix: String
    let delimiter: String
    let keyMarker: String
    let idMarker: String
    let limit: Int
    let encoding: ListingEncoding

    /// - Throws: `InvalidArgument` (400).
    init(_ request: OperationRequest) throws(AWSError) {
        let list = try ListObjectsInput(request)
        place = list.place
        prefix = list.prefix
        delimiter = list.delimiter
        encoding = list.encoding
        keyMarker = request.http.queryValue("key-marker") ?? ""
        idMarker = request.http.queryValue("upload-id-marker") ?? ""
        limit = min(1000, try Self.number("max-uploads", request) ?? 1000)
    }

    static func number(_ name: String, _ request: OperationRequest) throws(AWSError) -> Int? {
        guard let text = request.http.queryValue(name), !text.isEmpty else { return nil }
        guard let number = Int(text), (0...2_147_483_647).contains(number) else {
            throw .invalidArgument(
                "Argument \(name) must be an integer between 0 and 2147483647", name: name, value: text)
        }
        return number
    }
}
