// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

struct PutObjectInput: OperationInput {
    enum Body: Sendable {
        case stream(RequestBody)
        case bytes([UInt8])
    }

    var place: ObjectPlace
    var body: Body
    var checksum: ChecksumDemand
    var conditions: WriteConditions
    var headers: [WireHeader]
    var metadata: [WireHeader]

    init(_ request: OperationRequest) throws(AWSError) {
        place = try ObjectPlace(request)
        let fields = RequestHeaders(request.http)
        try fields.refuseUnbuilt()
        try fields.checkObjectACL()
        checksum = try ChecksumDemand(fields)
        conditions = try WriteConditions(fields)
        headers = fields.storedHeaders()
        metadata = try fields.metadata()
        body = request.body.map { .stream($0) } ?? .bytes(request.bytes)
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
    let hasVersion: Bool
    /// Headers that the client wants other than they are stored.
    let overrides: [WireHeader]

    init(_ request: OperationRequest) throws(AWSError) {
        place = try ObjectPlace(request)
        let headers = RequestHeaders(request.http)
        try headers.refuseEncryptionOfRead()
        hasVersion = try headers.checkVersion()
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
    let hasVersion: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        place = try ObjectPlace(request)
        let headers = RequestHeaders(request.http)
        try headers.refuseUnbuilt()
        try headers.refuseGovernanceBypass()
        hasVersion = try headers.checkVersion()
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

    /// - Throws: `MalformedXML` (400) for other elements than the model's, no key at all, or more than 1000;
    ///   `InvalidRequest` (400) without a checksum.
    init(_ request: OperationRequest) throws(AWSError) {
        place = try BucketPlace(request)
        let headers = RequestHeaders(request.http)
        try headers.refuseUnbuilt()
        try headers.refuseGovernanceBypass()
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
                if version.isEmpty { continue }
                target.version = version
                if version != "null" {
                    target.refusal = .invalidArgument(
                        "Invalid version id specified", name: "versionId", value: version)
                }
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
    struct Source: Sendable, Equatable {
        let bucket: String
        let key: String
    }

    let place: ObjectPlace
    let source: Source
    let sourceOwner: String?
    let conditions: ObjectConditions
    let write: WriteConditions
    let replacesMetadata: Bool
    let headers: [WireHeader]
    let metadata: [WireHeader]
    let algorithm: ObjectChecksum.Algorithm?

    init(_ request: OperationRequest) throws(AWSError) {
        place = try ObjectPlace(request)
        let fields = RequestHeaders(request.http)
        try fields.refuseUnbuilt()
        try fields.checkObjectACL()
        source = try Self.source(fields.value("x-amz-copy-source") ?? "")
        sourceOwner = fields.value("x-amz-source-expected-bucket-owner")
        conditions = ObjectConditions(copying: fields)
        write = try WriteConditions(fields)
        switch fields.nonEmpty("x-amz-metadata-directive") {
        case nil, "COPY": replacesMetadata = false
        case "REPLACE": replacesMetadata = true
        case .some(let other):
            throw .invalidArgument("Unknown metadata directive.", name: "x-amz-metadata-directive", value: other)
        }
        if let directive = fields.nonEmpty("x-amz-tagging-directive"), directive != "COPY" {
            guard directive == "REPLACE" else {
                throw .invalidArgument("Unknown tagging directive.", name: "x-amz-tagging-directive", value: directive)
            }
            throw .notImplemented(header: "x-amz-tagging-directive")
        }
        headers = fields.storedHeaders()
        metadata = try fields.metadata()
        if let name = fields.nonEmpty("x-amz-checksum-algorithm") {
            guard let known = ObjectChecksum.Algorithm(rawValue: name.uppercased()) else {
                throw .notImplemented(header: "x-amz-checksum-algorithm")
            }
            algorithm = known
        } else {
            algorithm = nil
        }
    }

    /// `bucket/key`, percent-encoded, with or without a slash before it and a `versionId` after it.
    ///
    /// - Throws: `InvalidArgument` (400).
    static func source(_ header: String) throws(AWSError) -> Source {
        var text = header[...]
        if let mark = text.range(of: "?versionId=") {
            let version = String(text[mark.upperBound...])
            guard version == "null" else {
                throw .invalidArgument("Invalid version id specified", name: "versionId", value: version)
            }
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
        return Source(
            bucket: String(text[..<slash]), key: try ObjectPlace.checked(String(text[text.index(after: slash)...])))
    }
}

extension RequestHeaders {
    /// Only buckets with Object Lock know a governance mode.
    func refuseGovernanceBypass() throws(AWSError) {
        guard let flag = value("x-amz-bypass-governance-retention") else { return }
        throw .invalidArgument(
            "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.",
            name: "x-amz-bypass-governance-retention", value: flag)
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
