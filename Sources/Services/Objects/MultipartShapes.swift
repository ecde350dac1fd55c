// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// Where a call of an upload goes.
struct UploadPlace: Sendable {
    let object: ObjectPlace
    let id: String

    init(_ request: OperationRequest) throws(AWSError) {
        object = try ObjectPlace(request)
        id = request.http.queryValue("uploadId") ?? ""
    }
}

/// AbortMultipartUpload.
struct UploadInput: OperationInput {
    let place: UploadPlace

    init(_ request: OperationRequest) throws(AWSError) {
        try RequestHeaders(request.http).refuseUnbuilt()
        place = try UploadPlace(request)
    }
}

struct CreateUploadInput: OperationInput {
    let place: ObjectPlace
    let object: NewObject
    let acl: ObjectACL
    let algorithm: ObjectChecksum.Algorithm?
    let isComposite: Bool
    let encryption: EncryptionDemand

    /// - Throws: `InvalidRequest` (400) for a type of checksum that the algorithm does not have.
    init(_ request: OperationRequest) throws(AWSError) {
        place = try ObjectPlace(request)
        let fields = RequestHeaders(request.http)
        try fields.refuseUnbuilt()
        acl = try fields.objectACL()
        object = try NewObject(fields)
        encryption = try fields.encryptionDemand()
        algorithm = try fields.checksumAlgorithm()
        let type = fields.nonEmpty("x-amz-checksum-type")
        guard let algorithm else {
            guard type == nil else {
                throw .invalidRequest(
                    "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
            }
            isComposite = false
            return
        }
        let isWhole = [.crc32, .crc32c, .crc64nvme].contains(algorithm)
        switch type?.uppercased() {
        case nil: isComposite = algorithm != .crc64nvme
        case "COMPOSITE" where algorithm != .crc64nvme: isComposite = true
        case "FULL_OBJECT" where isWhole: isComposite = false
        case "COMPOSITE", "FULL_OBJECT":
            throw .invalidRequest(
                "The \(type ?? "") checksum type cannot be used with the \(algorithm.rawValue.lowercased()) checksum "
                    + "algorithm.")
        default: throw .invalidRequest("Value for x-amz-checksum-type header is invalid.")
        }
    }
}

/// A part's number: 1 to 10,000.
enum PartNumber {
    static let last = 10_000

    /// - Throws: `InvalidArgument` (400).
    static func read(_ request: OperationRequest) throws(AWSError) -> Int {
        let text = request.http.queryValue("partNumber") ?? ""
        guard let number = Int(text), (1...last).contains(number) else {
            throw .invalidArgument(
                "Part number must be an integer between 1 and 10000, inclusive", name: "partNumber", value: text)
        }
        return number
    }
}

struct UploadPartInput: OperationInput {
    let place: UploadPlace
    let number: Int
    let checksum: ChecksumDemand
    let body: PutObjectInput.Body
    let customerKey: CustomerKey?

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = RequestHeaders(request.http)
        try fields.refuseUnbuilt()
        try fields.refuseEncryptionMethod()
        customerKey = try fields.customerKey()
        place = try UploadPlace(request)
        number = try PartNumber.read(request)
        checksum = try ChecksumDemand(fields)
        body = PutObjectInput.Body(request)
    }
}

struct UploadPartCopyInput: OperationInput {
    let place: UploadPlace
    let number: Int
    let source: CopySource
    let customerKey: CustomerKey?
    private let header: String?

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = RequestHeaders(request.http)
        try fields.refuseUnbuilt()
        try fields.refuseEncryptionMethod()
        customerKey = try fields.customerKey()
        place = try UploadPlace(request)
        number = try PartNumber.read(request)
        source = try CopySource(fields)
        header = fields.nonEmpty("x-amz-copy-source-range")
    }

    /// The bytes to copy; all of them where the request has no range.
    ///
    /// - Throws: `InvalidArgument` (400) for another form than `bytes=first-last`, or an end beyond the source's.
    func range(of size: Int64) throws(AWSError) -> Range<Int64> {
        guard let header else { return 0..<size }
        let name = "x-amz-copy-source-range"
        let ends = header.hasPrefix("bytes=") ? header.dropFirst(6).split(separator: "-").map { Int64($0) } : []
        guard ends.count == 2, let first = ends[0], let last = ends[1], first >= 0, last >= first else {
            throw .invalidArgument(
                "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
                    + "zero-based offsets of the first and last bytes to copy", name: name, value: header)
        }
        guard last < size else {
            throw .invalidArgument(
                "Range specified is not valid for source object of size: \(size)", name: name, value: header)
        }
        return first..<(last + 1)
    }
}

struct CompleteUploadInput: OperationInput {
    private struct Item: Sendable {
        let number: Int
        let etag: String
        let checksums: [ObjectDigest]
    }

    let place: UploadPlace
    let conditions: WriteConditions
    private let items: [Item]
    private let size: Int64?
    private let checksum: ObjectDigest?
    private let type: String?

    /// - Throws: `MalformedXML` (400), `InvalidPartOrder` (400).
    init(_ request: OperationRequest) throws(AWSError) {
        let fields = RequestHeaders(request.http)
        try fields.refuseUnbuilt()
        place = try UploadPlace(request)
        conditions = try WriteConditions(fields)
        guard let content = request.parameters["CompleteMultipartUpload"] else { throw .malformedDocument() }
        let algorithms = ObjectChecksum.Algorithm.allCases
        let known = ["ETag", "PartNumber"] + algorithms.map { "Checksum\($0.rawValue)" }
        var items: [Item] = []
        for part in try DocumentFields(content, known: ["Part"]).all("Part", known: known) {
            guard let number = Int(try part.requiredText("PartNumber")) else { throw .malformedDocument() }
            var checksums: [ObjectDigest] = []
            for algorithm in algorithms {
                guard let value = try part.text("Checksum\(algorithm.rawValue)") else { continue }
                checksums.append(ObjectDigest(algorithm: algorithm.rawValue, value: value))
            }
            let etag = try part.requiredText("ETag").filter { $0 != "\"" }
            items.append(Item(number: number, etag: etag, checksums: checksums))
        }
        guard (1...PartNumber.last).contains(items.count) else { throw .malformedDocument() }
        for (item, next) in zip(items, items.dropFirst()) where item.number >= next.number {
            throw AWSError(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. Parts must be ordered by part number.")
        }
        self.items = items
        size = fields.nonEmpty("x-amz-mp-object-size").flatMap { Int64($0) }
        type = fields.nonEmpty("x-amz-checksum-type")?.uppercased()
        // These headers speak of the object and not of this request's body.
        checksum =
            algorithms.lazy.compactMap { algorithm in
                fields.nonEmpty(algorithm.headerName).map { ObjectDigest(algorithm: algorithm.rawValue, value: $0) }
            }.first
    }

    /// The uploaded parts that the document lists.
    ///
    /// - Throws: `InvalidPart` (400), `EntityTooSmall` (400), `InvalidRequest` (400).
    func choose(
        from uploaded: [UploadedPart], _ upload: MultipartUpload
    ) throws(AWSError) -> [UploadedPart] {
        let byNumber = Dictionary(uploaded.map { ($0.number, $0) }, uniquingKeysWith: { _, last in last })
        var chosen: [UploadedPart] = []
        for item in items {
            if let algorithm = upload.algorithm, upload.isComposite,
                !item.checksums.contains(where: { $0.algorithm == algorithm.rawValue })
            {
                throw .invalidRequest(
                    "The upload was created using a \(algorithm.rawValue.lowercased()) checksum. The complete request "
                        + "must include the checksum for each part. It was missing for part \(item.number) in the request."
                )
            }
            let part = byNumber[item.number]
            let isRight =
                part?.md5 == item.etag
                && item.checksums.allSatisfy {
                    $0.algorithm != upload.partAlgorithm.rawValue || $0.value == part?.checksum
                }
            guard let part, isRight else { throw .invalidPart(upload.id, number: item.number, etag: item.etag) }
            chosen.append(part)
        }
        for part in chosen.dropLast() where part.size < ObjectService.Limits.partBytesMin {
            throw .entityTooSmall(part)
        }
        return chosen
    }

    /// Checks what the request says of the whole.
    ///
    /// - Throws: `InvalidRequest` (400), `BadDigest` (400).
    func check(_ record: ObjectRecord, _ upload: MultipartUpload) throws(AWSError) {
        if let size, size != record.size {
            throw .invalidRequest(
                "The provided 'x-amz-mp-object-size' header value \(size) does not match what was computed: "
                    + "\(record.size)")
        }
        if let type, upload.algorithm != nil, type != upload.type {
            throw .invalidRequest(
                "The upload was created using the \(upload.type) checksum mode. The complete request must use the same "
                    + "checksum mode.")
        }
        guard let checksum, let stored = record.checksum, checksum.algorithm == stored.algorithm else { return }
        let given =
            stored.isComposite && !checksum.value.contains("-") ? "\(checksum.value)-\(items.count)" : checksum.value
        guard given == stored.value else { throw .badChecksum(stored.algorithm) }
    }
}
