// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Crypto
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

/// Takes an object's bytes as they come: hashes them and writes them to a new file, with bounded memory.
struct ObjectIntake {
    let file: ObjectFile
    private let files: ObjectFiles
    private let demand: ChecksumDemand
    private var waiting: [UInt8] = []
    private var written: Int64 = 0
    private var md5 = Insecure.MD5()
    private var checksum: ObjectChecksum

    init(_ files: ObjectFiles, demand: ChecksumDemand) {
        self.files = files
        self.demand = demand
        file = files.newFile()
        checksum = ObjectChecksum(demand.algorithm)
    }

    var size: Int64 { written + Int64(waiting.count) }

    /// - Throws: `EntityTooLarge` (400), `ServiceUnavailable` (503) where the disk refuses.
    mutating func take(_ piece: ByteBuffer) async throws(AWSError) {
        guard size + Int64(piece.readableBytes) <= ObjectService.Limits.objectBytes else {
            throw .entityTooLarge(
                proposed: size + Int64(piece.readableBytes), limit: ObjectService.Limits.objectBytes)
        }
        piece.withUnsafeReadableBytes { bytes in
            md5.update(bufferPointer: bytes)
            checksum.update(bytes)
        }
        waiting.append(contentsOf: piece.readableBytesView)
        if waiting.count >= ObjectFiles.Limits.pieceBytes {
            do throws(ObjectFileError) {
                try await files.write(waiting, at: written, to: file)
            } catch {
                throw AWSError(error)
            }
            written += Int64(waiting.count)
            waiting.removeAll(keepingCapacity: true)
        }
    }

    /// Checks the digests and makes the file durable in its place. It is not yet an object.
    ///
    /// - Throws: `BadDigest` (400), `ServiceUnavailable` (503).
    mutating func finish() async throws(AWSError) -> (size: Int64, etag: String, checksum: ObjectDigest) {
        let digest = Array(md5.finalize())
        try demand.verify(md5: digest)
        try demand.verify(checksum)
        do throws(ObjectFileError) {
            try await files.complete(file, with: waiting, at: written)
        } catch {
            throw AWSError(error)
        }
        return (
            size, hexadecimal(digest), ObjectDigest(algorithm: checksum.algorithm.rawValue, value: checksum.text)
        )
    }

    /// Takes a body that is in memory, and finishes.
    mutating func finish(with body: [UInt8]) async throws(AWSError) -> (
        size: Int64, etag: String, checksum: ObjectDigest
    ) {
        try await take(ByteBuffer(bytes: body))
        return try await finish()
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

func sha256(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }
