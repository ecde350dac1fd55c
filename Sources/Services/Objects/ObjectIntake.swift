// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Crypto
internal import Keys
internal import NIOCore

/// Which checksums a request brings or asks for.
///
/// Source: S3 User Guide, "Checking object integrity for data uploads".
struct ChecksumDemand: Sendable {
    /// What is computed and stored: the client's choice, else CRC64NVME as at S3.
    var algorithm: ObjectChecksum.Algorithm = .crc64nvme
    /// The value that the client gave in a header; a trailing one is checked where the body is decoded.
    var expected: String?
    /// Content-MD5, decoded.
    var md5: [UInt8]?
    /// Whether the client named a checksum or a Content-MD5 at all.
    private(set) var isGiven = false
    /// What the client named, in a header or a trailer.
    private(set) var named: ObjectChecksum.Algorithm?

    /// - Throws: `InvalidDigest` (400), `InvalidRequest` (400).
    init(_ headers: RequestHeaders) throws(AWSError) {
        if let text = headers.http.header("content-md5") {
            guard let bytes = Base64.decode(text), bytes.count == 16 else { throw .invalidDigest(text) }
            md5 = bytes
            isGiven = true
        }
        var named: ObjectChecksum.Algorithm?
        for candidate in ObjectChecksum.Algorithm.allCases {
            guard let value = headers.value(candidate.headerName) else { continue }
            guard named == nil else {
                throw .invalidRequest(
                    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
            }
            guard candidate.isWellFormed(value) else {
                throw .invalidRequest("Value for \(candidate.headerName) header is invalid.")
            }
            named = candidate
            expected = value
        }
        if let trailer = headers.http.header("x-amz-trailer")?.trimmed.lowercased(),
            let announced = ObjectChecksum.Algorithm(headerName: trailer)
        {
            guard named == nil else {
                throw .invalidRequest(
                    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
            }
            named = announced
        }
        if let chosen = headers.nonEmpty("x-amz-sdk-checksum-algorithm") {
            guard let named else {
                throw .invalidRequest(
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
                        + "headers were found.")
            }
            guard chosen.uppercased() == named.rawValue else {
                throw .invalidRequest("Value for x-amz-sdk-checksum-algorithm header is invalid.")
            }
        }
        self.named = named
        if let named {
            algorithm = named
            isGiven = true
        }
    }

    init(algorithm: ObjectChecksum.Algorithm = .crc64nvme) { self.algorithm = algorithm }

    /// Checks a body that is in memory.
    ///
    /// - Throws: `BadDigest` (400).
    func verify(_ bytes: [UInt8]) throws(AWSError) {
        if md5 != nil { try verify(md5: Array(Insecure.MD5.hash(data: bytes))) }
        guard expected != nil else { return }
        var checksum = ObjectChecksum(algorithm)
        checksum.update(bytes)
        try verify(checksum)
    }

    func verify(md5 calculated: [UInt8]) throws(AWSError) {
        guard let md5, md5 != calculated else { return }
        throw .badDigest(expected: hexadecimal(md5), calculated: Base64.encode(calculated))
    }

    func verify(_ checksum: ObjectChecksum) throws(AWSError) {
        guard let expected, expected != checksum.text else { return }
        throw .badChecksum(algorithm.rawValue)
    }
}

/// Takes the bytes of an object or a part as they come: hashes them and writes them to a new file, with bounded memory. The
/// one place through which object bytes reach `ObjectFiles`.
struct ObjectIntake {
    /// What a complete file holds.
    struct Taken: Sendable {
        var size: Int64
        /// MD5 of the bytes.
        var md5: [UInt8]
        /// Of the stored algorithm.
        var checksum: ObjectDigest

        /// MD5 as an entity tag, without quotes.
        var etag: String { hexadecimal(md5) }
    }

    let file: ObjectFile
    private let files: ObjectFiles
    private let demand: ChecksumDemand
    private let isPart: Bool
    private var waiting = ByteBuffer()
    /// Bytes given to the disk.
    private var written: Int64 = 0
    /// The piece that is being written while the next one comes in.
    private var writing: PendingStep<Void>?
    private var md5 = Insecure.MD5()
    private var checksum: ObjectChecksum
    /// Where another algorithm than the client's is stored.
    private var stored: ObjectChecksum?

    /// - Parameters:
    ///   - key: the object's data key, where it has one of its own.
    ///   - algorithm: what is stored, where that is not what the client demands.
    ///   - isPart: of an upload; parts are files, however small.
    init(
        _ files: ObjectFiles, demand: ChecksumDemand, key: ObjectDataKey?,
        stored algorithm: ObjectChecksum.Algorithm? = nil, isPart: Bool = false
    ) {
        self.isPart = isPart
        self.files = files
        self.demand = demand
        file = files.newFile(key, isPart: isPart)
        checksum = ObjectChecksum(demand.algorithm)
        if let algorithm, algorithm != demand.algorithm { stored = ObjectChecksum(algorithm) }
    }

    var size: Int64 { written + Int64(waiting.readableBytes) }

    /// - Throws: `EntityTooLarge` (400), `ServiceUnavailable` (503) where the disk refuses.
    mutating func take(_ piece: ByteBuffer) async throws(AWSError) {
        guard size + Int64(piece.readableBytes) <= ObjectService.Limits.objectBytes else {
            throw .entityTooLarge(
                proposed: size + Int64(piece.readableBytes), limit: ObjectService.Limits.objectBytes)
        }
        piece.withUnsafeReadableBytes { bytes in
            md5.update(bufferPointer: bytes)
            checksum.update(bytes)
            stored?.update(bytes)
        }
        var piece = piece
        while piece.readableBytes > 0 {
            let pieceBytes = ObjectFiles.Limits.pieceBytes
            if written > 0 || waiting.readableBytes + piece.readableBytes > ObjectCipher.blockBytes,
                waiting.capacity < pieceBytes
            {
                let few = waiting
                waiting = files.buffers.take(pieceBytes)
                waiting.writeImmutableBuffer(few)
            }
            let room = min(piece.readableBytes, pieceBytes - waiting.readableBytes)
            guard var fitting = piece.readSlice(length: room) else { return }
            waiting.writeBuffer(&fitting)
            if waiting.readableBytes == pieceBytes { try await writeWaiting() }
        }
    }

    /// Gives a full piece to the disk, once the one before is written.
    private mutating func writeWaiting() async throws(AWSError) {
        do throws(ObjectFileError) {
            try await settle()
            writing = try await files.beginWriting(takeWaiting(), at: written, to: file)
            written += Int64(ObjectFiles.Limits.pieceBytes)
        } catch {
            throw AWSError(error)
        }
    }

    /// What was gathered, so that nobody else refers to its memory.
    private mutating func takeWaiting() -> Handover<ByteBuffer> {
        defer { waiting = ByteBuffer() }
        return Handover(waiting)
    }

    /// Waits for the piece that is being written.
    private mutating func settle() async throws(ObjectFileError) {
        guard let writing else { return }
        self.writing = nil
        try await writing.value()
    }

    /// Takes a body that must have the length it announces.
    ///
    /// - Throws: besides what `take` throws, `MissingContentLength` (411), `IncompleteBody` (400).
    mutating func take(_ body: PutObjectInput.Body) async throws(AWSError) {
        switch body {
        case .bytes(let bytes): try await take(ByteBuffer(bytes: bytes))
        case .stream(let body):
            guard let length = body.length else { throw AWSError.missingContentLength }
            guard length <= ObjectService.Limits.objectBytes else {
                throw AWSError.entityTooLarge(proposed: length, limit: ObjectService.Limits.objectBytes)
            }
            try await body.consume { (piece) throws(AWSError) in try await take(piece) }
            guard size == length else { throw AWSError.incompleteBody }
        }
    }

    /// Takes bytes of another object.
    mutating func take(_ range: Range<Int64>, of reader: ObjectReader) async throws(AWSError) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let piece: ByteBuffer
            do throws(ObjectFileError) {
                piece = try await reader.read(offset..<range.upperBound)
            } catch {
                throw AWSError(error)
            }
            try await take(piece)
            reader.retire(piece)
            offset += Int64(piece.readableBytes)
        }
    }

    /// Checks the digests and makes the file durable in its place. It is not yet an object.
    ///
    /// - Throws: `BadDigest` (400), `ServiceUnavailable` (503).
    mutating func finish() async throws(AWSError) -> Taken {
        let digest = Array(md5.finalize())
        try demand.verify(md5: digest)
        try demand.verify(checksum)
        let size = size
        do throws(ObjectFileError) {
            try await settle()
            try await files.complete(file, with: takeWaiting(), at: written, size: size, mayKeep: !isPart)
        } catch {
            throw AWSError(error)
        }
        let kept = stored ?? checksum
        return Taken(
            size: size, md5: digest, checksum: ObjectDigest(algorithm: kept.algorithm.rawValue, value: kept.text))
    }

    /// Removes what was written.
    func abandon() async { await files.abandon(file) }
}

extension AWSError {
    init(_ error: ObjectFileError) {
        self =
            error.isRefusalOfDisk
            ? .serviceUnavailable(
                "The server cannot use its disk at the moment; nothing was changed. Try again later.",
                cause: error.description)
            : .objectFault(error.description)
    }
}

func md5(_ bytes: [UInt8]) -> [UInt8] { Array(Insecure.MD5.hash(data: bytes)) }

func sha256(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }
