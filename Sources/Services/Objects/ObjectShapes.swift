// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

struct PutObjectInput: OperationInput {
    enum Body: Sendable {
        case stream(RequestBody)
        case bytes([UInt8])

        init(_ request: OperationRequest) { self = request.body.map { .stream($0) } ?? .bytes(request.bytes) }
    }

    var place: ObjectPlace
    var body: Body
    var checksum: ChecksumDemand
    var conditions: WriteConditions
    var object: NewObject
    var acl: ObjectACL
    var encryption: EncryptionDemand

    init(_ request: OperationRequest) throws(AWSError) {
        place = try ObjectPlace(request)
        let fields = RequestHeaders(request.http)
        try fields.refuseUnbuilt()
        acl = try fields.objectACL()
        checksum = try ChecksumDemand(fields)
        conditions = try WriteConditions(fields)
        object = try NewObject(fields)
        encryption = try fields.encryptionDemand()
        body = Body(request)
    }
}

/// What a new object carries besides its bytes: of PutObject, CopyObject and CreateMultipartUpload.
struct NewObject: Sendable {
    var headers: [WireHeader]
    var metadata: [WireHeader]
    var tags = TagSet()
    var storageClass = StorageClass.standard
    var lock = ObjectLock()

    init(_ fields: RequestHeaders) throws(AWSError) {
        headers = fields.storedHeaders()
        metadata = try fields.metadata()
        if let text = fields.nonEmpty("x-amz-tagging") { tags = try TagSet(header: text) }
        storageClass = try fields.storageClass() ?? .standard
        lock = try fields.objectLock()
    }

    init(headers: [WireHeader], metadata: [WireHeader]) {
        self.headers = headers
        self.metadata = metadata
    }

    /// The record of an object whose bytes lie in one file.
    ///
    /// - Parameter etag: takes the place of the MD5.
    func record(
        file: String, _ taken: ObjectIntake.Taken, _ key: NewObjectKey, etag: String?, _ now: Timestamp
    ) -> ObjectRecord {
        var record = ObjectRecord(
            file: file, size: taken.size, etag: etag ?? taken.etag, modified: now, headers: headers, metadata: metadata,
            checksum: taken.checksum)
        record.encryption = key.encryption
        record.layout = key.encryption.layout
        record.tags = tags
        record.storageClass = storageClass
        record.lock = lock
        return record
    }
}

/// GetObject and HeadObject.
struct GetObjectInput: OperationInput {
    let place: ObjectPlace
    let conditions: ObjectConditions
    let range: String?
    let ifRange: String?
    let partNumber: Int?
    let wantsChecksum: Bool
    let customerKey: CustomerKey?
    let version: String?
    /// Headers that the client wants other than they are stored.
    let overrides: [WireHeader]

    init(_ request: OperationRequest) throws(AWSError) {
        place = try ObjectPlace(request)
        let headers = RequestHeaders(request.http)
        try headers.refuseEncryptionMethod()
        customerKey = try headers.customerKey()
        version = headers.version
        conditions = ObjectConditions(reading: headers)
        range = request.http.header("range")
        ifRange = request.http.header("if-range")
        wantsChecksum = headers.value("x-amz-checksum-mode")?.uppercased() == "ENABLED"
        if let text = request.http.queryValue("partNumber") {
            guard let number = Int(text), (1...10_000).contains(number) else {
                throw .invalidArgument(
                    "Part number must be an integer between 1 and 10000, inclusive", name: "partNumber", value: text)
            }
            guard range == nil else {
                throw .invalidRequest("Cannot specify both Range header and partNumber query parameter")
            }
            partNumber = number
        } else {
            partNumber = nil
        }
        var overrides: [WireHeader] = []
        for name in RequestHeaders.stored {
            guard let value = request.http.queryValue("response-\(name)"), !value.isEmpty else { continue }
            // A line end would let a signed link add headers of its own.
            guard !value.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
                throw .invalidArgument(
                    "Header value cannot be represented", name: "response-\(name)", value: value)
            }
            overrides.append(WireHeader(name, value))
        }
        self.overrides = overrides
    }
}

struct DeleteObjectInput: OperationInput {
    let place: ObjectPlace
    let conditions: WriteConditions
    let version: String?
    /// `x-amz-bypass-governance-retention`.
    let bypass: String?

    init(_ request: OperationRequest) throws(AWSError) {
        place = try ObjectPlace(request)
        let headers = RequestHeaders(request.http)
        try headers.refuseUnbuilt()
        version = headers.version
        bypass = headers.value("x-amz-bypass-governance-retention")
        conditions = try WriteConditions(headers)
    }
}

/// One key of a deletion.
struct DeleteTarget: Sendable {
    var key: String
    var version: String?
    var conditions = WriteConditions()
    /// Why this key is not deleted, whatever the catalog says.
    var refusal: AWSError?
}

struct DeleteObjectsInput: OperationInput {
    let place: BucketPlace
    let targets: [DeleteTarget]
    let isQuiet: Bool
    /// `x-amz-bypass-governance-retention`.
    let bypass: String?

    /// - Throws: `MalformedXML` (400) for other elements than the model's, no key at all, or more than 1000;
    ///   `InvalidRequest` (400) without a checksum.
    init(_ request: OperationRequest) throws(AWSError) {
        place = try BucketPlace(request)
        let headers = RequestHeaders(request.http)
        try headers.refuseUnbuilt()
        bypass = headers.value("x-amz-bypass-governance-retention")
        let demand = try ChecksumDemand(headers)
        guard demand.isGiven else {
            throw .invalidRequest("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
        }
        try demand.verify(request.bytes)
        guard let content = request.parameters["Delete"]?.asStructure else { throw .malformedDocument() }
        var targets: [DeleteTarget] = []
        var isQuiet = false
        for member in content.members {
            switch member.name {
            case "Object":
                guard let object = member.value.asStructure else { throw .malformedDocument() }
                targets.append(try Self.target(object))
            case "Quiet":
                guard let text = member.value.asString?.lowercased(), text == "true" || text == "false" else {
                    throw .malformedDocument()
                }
                isQuiet = text == "true"
            case "xmlns": continue
            default: throw .malformedDocument()
            }
        }
        guard (1...ObjectService.Limits.pageKeys).contains(targets.count) else { throw .malformedDocument() }
        self.targets = targets
        self.isQuiet = isQuiet
    }

    private static func target(_ object: WireStructure) throws(AWSError) -> DeleteTarget {
        guard let key = object["Key"]?.asString, !key.isEmpty else { throw .malformedDocument() }
        var target = DeleteTarget(key: key)
        for member in object.members {
            switch member.name {
            case "Key": continue
            case "VersionId":
                guard let version = member.value.asString else { throw .malformedDocument() }
                if !version.isEmpty { target.version = version }
            case "ETag": target.conditions.match = member.value.asString
            case "LastModifiedTime", "Size": target.refusal = .notImplemented(member: member.name)
            default: throw .malformedDocument()
            }
        }
        do throws(AWSError) {
            target.key = try ObjectPlace.checked(key)
        } catch {
            target.refusal = error
        }
        return target
    }
}

struct CopyObjectInput: OperationInput {
    let place: ObjectPlace
    let source: CopySource
    let write: WriteConditions
    let replacesMetadata: Bool
    let replacesTags: Bool
    let object: NewObject
    /// Nil where the request names none.
    let storageClass: StorageClass?
    let acl: ObjectACL
    let algorithm: ObjectChecksum.Algorithm?
    let encryption: EncryptionDemand

    init(_ request: OperationRequest) throws(AWSError) {
        place = try ObjectPlace(request)
        let fields = RequestHeaders(request.http)
        try fields.refuseUnbuilt()
        acl = try fields.objectACL()
        encryption = try fields.encryptionDemand()
        source = try CopySource(fields)
        write = try WriteConditions(fields)
        replacesMetadata = try Self.replaces(fields, "x-amz-metadata-directive", "Unknown metadata directive.")
        replacesTags = try Self.replaces(fields, "x-amz-tagging-directive", "Unknown tagging directive.")
        object = try NewObject(fields)
        storageClass = try fields.storageClass()
        algorithm = try fields.checksumAlgorithm()
    }

    private static func replaces(_ fields: RequestHeaders, _ name: String, _ refusal: String) throws(AWSError) -> Bool {
        switch fields.nonEmpty(name) {
        case nil, "COPY": return false
        case "REPLACE": return true
        case .some(let other): throw .invalidArgument(refusal, name: name, value: other)
        }
    }
}

/// What CopyObject and UploadPartCopy read.
struct CopySource: Sendable, Equatable {
    var bucket: String
    var key: String
    var version: String?
    /// The account that the caller expects to own the source's bucket.
    var owner: String?
    var conditions: ObjectConditions
    var customerKey: CustomerKey?

    /// `bucket/key`, percent-encoded, with or without a slash before it and a `versionId` after it.
    ///
    /// - Throws: `InvalidArgument` (400).
    init(_ fields: RequestHeaders) throws(AWSError) {
        let header = fields.value("x-amz-copy-source") ?? ""
        owner = fields.value("x-amz-source-expected-bucket-owner")
        conditions = ObjectConditions(copying: fields)
        customerKey = try fields.customerKey(ofSource: true)
        var text = header[...]
        if let mark = text.range(of: "?versionId=") {
            version = String(text[mark.upperBound...])
            text = text[..<mark.lowerBound]
        }
        let decoded: String
        do throws(AWSError) {
            decoded = try PercentCoding.decode(text.utf8)
        } catch {
            throw .invalidArgument(
                "Copy Source must be URL-encoded UTF-8", name: "x-amz-copy-source", value: header)
        }
        text = decoded[...]
        if text.hasPrefix("arn:") { throw .notImplemented(header: "x-amz-copy-source") }
        if text.hasPrefix("/") { text = text.dropFirst() }
        guard let slash = text.firstIndex(of: "/"), slash > text.startIndex, text.index(after: slash) < text.endIndex
        else {
            throw .invalidArgument(
                "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
                name: "x-amz-copy-source", value: header)
        }
        bucket = String(text[..<slash])
        key = try ObjectPlace.checked(String(text[text.index(after: slash)...]))
    }
}

extension Substring {
    /// The first place of a text in this one, compared byte by byte.
    fileprivate func range(of other: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].utf8.starts(with: other.utf8) {
                return start..<(utf8.index(start, offsetBy: other.utf8.count))
            }
            start = utf8.index(after: start)
        }
        return nil
    }
}
