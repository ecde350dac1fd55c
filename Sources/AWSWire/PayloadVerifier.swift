// SPDX-License-Identifier: Apache-2.0

internal import Crypto
package import NIOCore
internal import Synchronization

/// Checks a body against what its request declared, as it flows: hash, signed chunks, trailing checksum, length.
///
/// A pure state machine around `AWSChunkedDecoder` or a plain hash; `PayloadVerifier.body` drives one over a stream.
package struct PayloadVerifier: Sendable {
    private enum Form: Sendable {
        case plain
        case hashed(expected: String, SHA256)
        case chunked(AWSChunkedDecoder)
    }

    private var form: Form
    private var bytesTaken: Int64 = 0
    /// Bytes of the body once decoded, where the client said so.
    package let length: Int64?

    /// - Parameters:
    ///   - declared: what the request says of its body.
    ///   - signature: nil for a request without one.
    /// - Throws: `MissingContentLength`, `InvalidRequest`.
    package init(
        _ declared: DeclaredPayload, signature: VerifiedSignature?, request: WireRequest
    ) throws(AWSError) {
        switch declared {
        case .hash(let expected): form = .hashed(expected: expected.lowercased(), SHA256())
        case .unsigned: form = .plain
        case .signedChunks, .unsignedChunks:
            let decoder = try AWSChunkedDecoder(declared, signature: signature, request: request)
            length = decoder.length
            form = .chunked(decoder)
            return
        }
        if let text = request.header("content-length") {
            guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let count = Int64(text) else {
                throw AWSError("InvalidRequest", "The Content-Length header must be a number of bytes.")
            }
            length = count
        } else {
            length = nil
        }
    }

    /// - Returns: the decoded bytes of this piece; they count only when `finish` has returned.
    package mutating func take(_ buffer: ByteBuffer) throws(AWSError) -> [ByteBuffer] {
        switch form {
        case .chunked(var decoder):
            form = .plain
            let pieces = try decoder.take(buffer)
            form = .chunked(decoder)
            return pieces
        case .hashed(let expected, var hash):
            buffer.withUnsafeReadableBytes { hash.update(bufferPointer: $0) }
            form = .hashed(expected: expected, hash)
        case .plain: break
        }
        bytesTaken += Int64(buffer.readableBytes)
        if let length, bytesTaken > length { throw .incompleteBody }
        return buffer.readableBytes > 0 ? [buffer] : []
    }

    /// Says that the body has ended.
    ///
    /// - Returns: the trailing headers, verified.
    /// - Throws: `IncompleteBody`, `XAmzContentSHA256Mismatch`, and what `AWSChunkedDecoder.finish` throws.
    package mutating func finish() throws(AWSError) -> [WireHeader] {
        if case .chunked(var decoder) = form {
            try decoder.finish()
            return decoder.trailers
        }
        if let length, bytesTaken != length { throw .incompleteBody }
        if case .hashed(let expected, let hash) = form {
            let computed = Hex.encode(hash.finalize())
            guard computed == expected else {
                throw AWSError(
                    "XAmzContentSHA256Mismatch",
                    "The provided 'x-amz-content-sha256' header does not match what was computed.",
                    details: [
                        .init("ClientComputedContentSHA256", .string(expected)),
                        .init("S3ComputedContentSHA256", .string(computed)),
                    ])
            }
        }
        return []
    }

    /// Wraps the raw stream of a request into a body that is decoded and verified as it is consumed.
    ///
    /// - Parameter source: hands over the raw pieces, once.
    package static func body(
        _ declared: DeclaredPayload, signature: VerifiedSignature?, request: WireRequest,
        source: @escaping RequestBody.Source
    ) throws(AWSError) -> RequestBody {
        let verifier = try PayloadVerifier(declared, signature: signature, request: request)
        let trailers = TrailingHeaders()
        return RequestBody(length: verifier.length, trailing: trailers) { consumer throws(AWSError) in
            var verifier = verifier
            try await source { buffer throws(AWSError) in
                for piece in try verifier.take(buffer) { try await consumer(piece) }
            }
            trailers.set(try verifier.finish())
        }
    }
}

/// Where a body leaves its trailing headers once they are verified.
package final class TrailingHeaders: Sendable {
    private let headers = Mutex<[WireHeader]>([])

    package init() {}

    func set(_ found: [WireHeader]) { headers.withLock { $0 = found } }

    package var all: [WireHeader] { headers.withLock { $0 } }
}
