// SPDX-License-Identifier: Apache-2.0
//
// aws-chunked bodies (Amazon S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload
// in Multiple Chunks" and "... Including Trailing Headers"):
//
//   STREAMING-AWS4-HMAC-SHA256-PAYLOAD
//       ( hexsize ;chunk-signature=SIG CRLF data CRLF )*  0;chunk-signature=SIG CRLF  CRLF
//   STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER
//       the same chunks, 0;chunk-signature=SIG CRLF  ( name:value CRLF )*  x-amz-trailer-signature:SIG CRLF  CRLF
//   STREAMING-UNSIGNED-PAYLOAD-TRAILER
//       ( hexsize CRLF data CRLF )*  0 CRLF  ( name:value CRLF )*  CRLF
//
// String to sign of a chunk, and of the trailer:
//   AWS4-HMAC-SHA256-PAYLOAD \n time \n scope \n previous signature \n hex(sha256("")) \n hex(sha256(data))
//   AWS4-HMAC-SHA256-TRAILER \n time \n scope \n previous signature \n hex(sha256(name:value\n of each trailer))
// The first previous signature is that of the request's head.

internal import Crypto
package import NIOCore

/// Decodes one aws-chunked body, piece by piece however the network cut it, and checks its signatures, its length and its
/// trailing checksum. A pure state machine: it reads nothing and waits for nothing.
package struct AWSChunkedDecoder: Sendable {
    /// The bounds of the encoding.
    package enum Limits {
        /// Longest line before a chunk's data; a signed one takes 16 + 17 + 64 bytes.
        static let chunkLineBytesMax = 1024
        /// All trailing lines together.
        static let trailerBytesMax = 16_384
        /// Least bytes of every chunk but the last.
        package static let chunkBytesMin: Int64 = 8192
    }

    private enum State: Sendable {
        case chunkLine
        case data(remaining: Int64)
        /// The CRLF after a chunk's data.
        case dataEnd
        case trailer
        /// The blank line after the last chunk of a body without trailer.
        case lastBlankLine
        /// After the trailer's signature a blank line may follow.
        case afterSignature
        case complete
    }

    /// The chain of signatures.
    private struct Chain: Sendable {
        let key: SigningKey
        let timeText: String
        let scopeText: String
        var previous: [UInt8]
    }

    private let hasTrailer: Bool
    private let decodedLength: Int64
    /// Names announced in `x-amz-trailer`.
    private let announced: [String]
    private var chain: Chain?
    private var state = State.chunkLine
    private var line: [UInt8] = []
    private var trailerBytes = 0
    private var bytesDecoded: Int64 = 0
    private var lastChunkBytes: Int64?
    private var chunkSignature: [UInt8] = []
    private var chunkHash = SHA256()
    private var checksum: ObjectChecksum?

    /// The trailing headers, names in lower case; complete and verified once `finish` has returned.
    package private(set) var trailers: [WireHeader] = []

    /// - Parameters:
    ///   - payload: one of the two chunked forms.
    ///   - signature: of the request's head; needed for signed chunks.
    /// - Throws: `MissingContentLength` without `x-amz-decoded-content-length`, `InvalidRequest` for a trailer that is no
    ///   checksum.
    package init(
        _ payload: DeclaredPayload, signature: VerifiedSignature?, request: WireRequest
    ) throws(AWSError) {
        switch payload {
        case .signedChunks(let hasTrailer):
            guard let signature else { throw .accessDenied(family: .s3, callerARN: nil, action: "") }
            self.hasTrailer = hasTrailer
            chain = Chain(
                key: signature.key, timeText: signature.presented.timeText, scopeText: signature.presented.scope.text,
                previous: signature.presented.signature)
        case .unsignedChunks: hasTrailer = true
        case .hash, .unsigned: throw .internalFailure(cause: "a plain body was given to the aws-chunked decoder")
        }
        guard let text = request.header("x-amz-decoded-content-length"), let length = Int64(text), length >= 0,
            text.utf8.first != UInt8(ascii: "+")
        else { throw .missingContentLength }
        decodedLength = length
        announced = try Self.announcedTrailers(request, hasTrailer: hasTrailer)
        if let algorithm = announced.lazy.compactMap(ObjectChecksum.Algorithm.init(headerName:)).first {
            checksum = ObjectChecksum(algorithm)
        }
    }

    private static func announcedTrailers(
        _ request: WireRequest, hasTrailer: Bool
    ) throws(AWSError) -> [String] {
        guard hasTrailer else { return [] }
        var names: [String] = []
        for header in request.headers where header.name == "x-amz-trailer" {
            for name in header.value.utf8.split(separator: UInt8(ascii: ",")) {
                let name = String(decoding: Self.trimmed(Array(name)), as: UTF8.self).lowercased()
                guard ObjectChecksum.Algorithm(headerName: name) != nil else {
                    throw AWSError("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
                }
                names.append(name)
            }
        }
        guard names.count <= 1 else {
            throw AWSError(
                "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
        }
        return names
    }

    /// Bytes that the client says the body has once decoded.
    package var length: Int64 { decodedLength }

    /// Decodes the next piece of the body.
    ///
    /// - Returns: the data in it. It counts only when `finish` has returned: a chunk's signature is checked at its end.
    /// - Throws: `InvalidChunkSizeError`, `SignatureDoesNotMatch`, `IncompleteBody`, `MalformedTrailerError`,
    ///   `BadDigest`, `InvalidRequest`; the decoder is then of no further use.
    package mutating func take(_ buffer: ByteBuffer) throws(AWSError) -> [ByteBuffer] {
        var input = buffer
        var output: [ByteBuffer] = []
        while input.readableBytes > 0 {
            switch state {
            case .chunkLine:
                if let line = try takeLine(&input, bytesMax: Limits.chunkLineBytesMax) { try beginChunk(line) }
            case .data(let remaining):
                let count = Int(min(remaining, Int64(input.readableBytes)))
                if let piece = input.readSlice(length: count) {
                    hash(piece)
                    output.append(piece)
                }
                state = remaining == Int64(count) ? .dataEnd : .data(remaining: remaining - Int64(count))
                if case .dataEnd = state { try checkChunk() }
            case .dataEnd:
                if let line = try takeLine(&input, bytesMax: 2) {
                    guard line.isEmpty else { throw .malformedChunk }
                    state = .chunkLine
                }
            case .trailer:
                let bytesMax = Limits.trailerBytesMax - trailerBytes
                if let line = try takeLine(&input, bytesMax: bytesMax, isTrailer: true) { try takeTrailer(line) }
            case .lastBlankLine, .afterSignature:
                if let line = try takeLine(&input, bytesMax: 2) {
                    guard line.isEmpty else { throw .malformedTrailer }
                    state = .complete
                }
            case .complete: throw .malformedChunk
            }
        }
        return output
    }

    /// Says that the body has ended.
    ///
    /// - Throws: `IncompleteBody` when it ended early or has another length than announced, `MalformedTrailerError` when
    ///   the announced trailer did not come, `BadDigest` when its checksum is another.
    package mutating func finish() throws(AWSError) {
        switch state {
        case .complete: break
        case .afterSignature where line.isEmpty: break
        default: throw .incompleteBody
        }
        guard bytesDecoded == decodedLength else { throw .incompleteBody }
        guard trailers.map(\.name) == announced else { throw .malformedTrailer }
        guard let checksum, let claimed = trailers.first?.value else { return }
        guard checksum.algorithm.isWellFormed(claimed) else {
            throw AWSError(
                "InvalidRequest", "Value for \(checksum.algorithm.headerName) trailing header is invalid.")
        }
        guard checksum.text == claimed else { throw .badChecksum(checksum.algorithm) }
    }
}

// MARK: - Chunks

extension AWSChunkedDecoder {
    /// Collects bytes up to LF.
    ///
    /// - Returns: the line without its CR LF, or nil when the piece ended before it.
    private mutating func takeLine(
        _ input: inout ByteBuffer, bytesMax: Int, isTrailer: Bool = false
    ) throws(AWSError) -> [UInt8]? {
        let view = input.readableBytesView
        let end = view.firstIndex(of: UInt8(ascii: "\n"))
        let taken = end.map { view.distance(from: view.startIndex, to: $0) + 1 } ?? view.count
        guard line.count + taken <= bytesMax else { throw isTrailer ? .malformedTrailer : .malformedChunk }
        line.append(contentsOf: view.prefix(taken))
        input.moveReaderIndex(forwardBy: taken)
        guard end != nil else { return nil }
        if isTrailer { trailerBytes += line.count }
        line.removeLast()
        if line.last == UInt8(ascii: "\r") {
            line.removeLast()
        } else if !isTrailer {
            // Trailing lines may end in LF alone, as some signers write them; chunks never do.
            throw .malformedChunk
        }
        defer { line.removeAll(keepingCapacity: true) }
        return line
    }

    private mutating func beginChunk(_ line: [UInt8]) throws(AWSError) {
        let cut = line.firstIndex(of: UInt8(ascii: ";")) ?? line.endIndex
        let digits = line[..<cut]
        guard (1...16).contains(digits.count) else { throw .malformedChunk }
        var size: Int64 = 0
        for digit in digits {
            guard let value = PercentCoding.hexValue(digit), size < 1 << 58 else { throw .malformedChunk }
            size = size << 4 | Int64(value)
        }
        let extensions = line[cut...]
        if chain != nil {
            let name = Array(";chunk-signature=".utf8)
            guard extensions.starts(with: name), extensions.count == name.count + 64 else { throw .malformedChunk }
            chunkSignature = Array(extensions.dropFirst(name.count))
        } else if !extensions.isEmpty {
            throw .malformedChunk
        }
        chunkHash = SHA256()
        if size == 0 {
            try checkChunk()
            state = hasTrailer ? .trailer : .lastBlankLine
            return
        }
        if let last = lastChunkBytes, last < Limits.chunkBytesMin { throw .chunkTooSmall(last) }
        guard size <= decodedLength - bytesDecoded else { throw .incompleteBody }
        lastChunkBytes = size
        bytesDecoded += size
        state = .data(remaining: size)
    }

    private mutating func hash(_ piece: ByteBuffer) {
        piece.withUnsafeReadableBytes { bytes in
            if chain != nil { chunkHash.update(bufferPointer: bytes) }
            checksum?.update(bytes)
        }
    }

    private mutating func checkChunk() throws(AWSError) {
        guard let chain else { return }
        var text = Self.stringToSign("AWS4-HMAC-SHA256-PAYLOAD", chain)
        text.append(contentsOf: Self.emptyHash)
        text.append(UInt8(ascii: "\n"))
        chunkHash.finalize().withUnsafeBytes { Hex.append($0, to: &text) }
        try advanceChain(text, claimed: chunkSignature)
    }

    private mutating func advanceChain(_ stringToSign: [UInt8], claimed: [UInt8]) throws(AWSError) {
        guard let expected = chain?.key.signature(of: stringToSign), ConstantTime.areEqual(expected, claimed) else {
            throw .chunkSignatureMismatch
        }
        chain?.previous = expected
    }

    private static func stringToSign(_ algorithm: String, _ chain: Chain) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(384)
        for part in [algorithm, chain.timeText, chain.scopeText] {
            text.append(contentsOf: part.utf8)
            text.append(UInt8(ascii: "\n"))
        }
        text.append(contentsOf: chain.previous)
        text.append(UInt8(ascii: "\n"))
        return text
    }

    private static let emptyHash = Array(Hex.sha256(of: []).utf8)
}

// MARK: - Trailer

extension AWSChunkedDecoder {
    private mutating func takeTrailer(_ line: [UInt8]) throws(AWSError) {
        if line.isEmpty {
            // Some signers put a blank line between the trailing headers and their signature.
            if chain != nil { return }
            state = .complete
            return
        }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0,
            let name = String(validating: line[..<colon], as: UTF8.self)?.lowercased(),
            let value = String(validating: Self.trimmed(Array(line[(colon + 1)...])), as: UTF8.self)
        else { throw .malformedTrailer }
        if name == "x-amz-trailer-signature" {
            guard let chain else { throw .malformedTrailer }
            var canonical: [UInt8] = []
            for trailer in trailers { canonical.append(contentsOf: "\(trailer.name):\(trailer.value)\n".utf8) }
            var text = Self.stringToSign("AWS4-HMAC-SHA256-TRAILER", chain)
            Hex.appendSHA256(of: canonical, to: &text)
            try advanceChain(text, claimed: Array(value.utf8))
            state = .afterSignature
            return
        }
        guard announced.contains(name), !trailers.contains(where: { $0.name == name }) else { throw .malformedTrailer }
        trailers.append(WireHeader(name, value))
    }

    private static func trimmed(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
        guard let first = bytes.firstIndex(where: { !isBlank($0) }),
            let last = bytes.lastIndex(where: { !isBlank($0) })
        else { return [] }
        return bytes[first...last]
    }
}

// MARK: - Errors

extension AWSError {
    static var missingContentLength: AWSError {
        AWSError("MissingContentLength", status: 411, "You must provide the Content-Length HTTP header.")
    }

    package static var incompleteBody: AWSError {
        AWSError(
            "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.")
    }

    static var malformedChunk: AWSError {
        AWSError("InvalidRequest", "The aws-chunked encoding of the request body is malformed.")
    }

    static var malformedTrailer: AWSError {
        AWSError(
            "MalformedTrailerError",
            "The request contained trailing data that was not well-formed or did not conform to our published schema.")
    }

    static func chunkTooSmall(_ bytes: Int64) -> AWSError {
        AWSError(
            "InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes",
            details: [.init("BadChunkSize", .integer(bytes))])
    }

    static var chunkSignatureMismatch: AWSError {
        AWSError(
            "SignatureDoesNotMatch", status: 403,
            "The chunk signature we calculated does not match the signature you provided. Check your key and signing "
                + "method.")
    }

    /// The body is not the one whose checksum the client sent.
    package static func badChecksum(_ algorithm: ObjectChecksum.Algorithm) -> AWSError {
        AWSError(
            "BadDigest", "The \(algorithm.rawValue) you specified did not match the calculated checksum.")
    }
}
