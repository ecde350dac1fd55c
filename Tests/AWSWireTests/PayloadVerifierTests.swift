// SPDX-License-Identifier: Apache-2.0

import AWSWire
import NIOCore
import Testing

struct PayloadVerifierTests {
    private func request(_ headers: [WireHeader] = []) throws -> WireRequest {
        try WireRequest(method: "PUT", target: "/b/k", headers: headers)
    }

    private func consume(_ body: RequestBody) async throws(AWSError) -> [UInt8] {
        var bytes: [UInt8] = []
        try await body.consume { buffer throws(AWSError) in bytes += buffer.readableBytesView }
        return bytes
    }

    private func source(_ pieces: [String]) -> RequestBody.Source {
        { consumer throws(AWSError) in
            for piece in pieces { try await consumer(ByteBuffer(string: piece)) }
        }
    }

    @Test func `a body with the declared hash passes in any pieces`() async throws {
        let declared = DeclaredPayload.hash(of: Array("hello".utf8))
        for pieces in [["hello"], ["he", "", "llo"], ["h", "e", "l", "l", "o"]] {
            let body = try PayloadVerifier.body(
                declared, signature: nil, request: request([WireHeader("content-length", "5")]), source: source(pieces))
            #expect(body.length == 5)
            #expect(try await consume(body) == Array("hello".utf8))
            #expect(body.trailers.isEmpty)
        }
    }

    @Test func `a hash in upper case is the same hash`() async throws {
        let declared = DeclaredPayload.hash(DeclaredPayload.hash(of: Array("hello".utf8)).text.uppercased())
        let body = try PayloadVerifier.body(declared, signature: nil, request: request(), source: source(["hello"]))
        #expect(try await consume(body) == Array("hello".utf8))
    }

    @Test func `another body is refused with both hashes`() async throws {
        let body = try PayloadVerifier.body(
            .hash(of: Array("hello".utf8)), signature: nil, request: request(), source: source(["hellO"]))
        let error = await #expect(throws: AWSError.self) { try await consume(body) }
        #expect(error?.code == "XAmzContentSHA256Mismatch")
        #expect(error?.details.map(\.name) == ["ClientComputedContentSHA256", "S3ComputedContentSHA256"])
    }

    @Test(arguments: [["hell"], ["hello", "!"], []]) func `the length must be as announced`(_ pieces: [String])
        async throws
    {
        let body = try PayloadVerifier.body(
            .unsigned, signature: nil, request: request([WireHeader("content-length", "5")]), source: source(pieces))
        let error = await #expect(throws: AWSError.self) { try await consume(body) }
        #expect(error?.code == "IncompleteBody")
    }

    @Test func `a trailing checksum is handed over once the body is through`() async throws {
        let body = try PayloadVerifier.body(
            .unsignedChunks, signature: nil,
            request: request([
                WireHeader("content-length", "55"), WireHeader("x-amz-decoded-content-length", "4"),
                WireHeader("x-amz-trailer", "x-amz-checksum-crc32"),
            ]),
            source: source(["4\r\n\u{1}\u{2}", "\u{3}\u{4}\r\n0\r\nx-amz-checksum", "-crc32:tjz7zQ==\r\n\r\n"]))
        #expect(body.length == 4)
        #expect(body.trailers.isEmpty)
        #expect(try await consume(body) == [1, 2, 3, 4])
        #expect(body.trailers == [WireHeader("x-amz-checksum-crc32", "tjz7zQ==")])
    }

    @Test func `the consumer's and the source's own errors come through`() async throws {
        let failing: RequestBody.Source = { _ throws(AWSError) in throw .serviceUnavailable("gone") }
        let body = try PayloadVerifier.body(.unsigned, signature: nil, request: request(), source: failing)
        let error = await #expect(throws: AWSError.self) { try await consume(body) }
        #expect(error?.code == "ServiceUnavailable")
        let other = try PayloadVerifier.body(.unsigned, signature: nil, request: request(), source: source(["a"]))
        let refused = await #expect(throws: AWSError.self) {
            try await other.consume { _ throws(AWSError) in throw .validation("no") }
        }
        #expect(refused?.code == "ValidationException")
    }

    @Test func `signed chunks need a signature`() throws {
        let request = try request([WireHeader("x-amz-decoded-content-length", "0")])
        let error = #expect(throws: AWSError.self) {
            try PayloadVerifier(.signedChunks(hasTrailer: false), signature: nil, request: request)
        }
        #expect(error?.status == 403)
    }
}
