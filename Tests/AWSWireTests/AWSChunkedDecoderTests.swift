// SPDX-License-Identifier: Apache-2.0

import AWSWire
import NIOCore
import Testing

/// The signed bodies are AWS's own examples: Amazon S3 API Reference, "Signature Calculations for the Authorization Header:
/// Transferring Payload in Multiple Chunks" and "... Including Trailing Headers".
struct AWSChunkedDecoderTests {
    private static let now = Timestamp(iso8601: "2013-05-24T00:00:00Z") ?? Timestamp(seconds: 0)
    private static let secret = SecretKey("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    private static let content = [UInt8](repeating: UInt8(ascii: "a"), count: 66560)

    /// The example's request, signed by us: its signature is the seed that the page gives.
    private static func head(_ payload: DeclaredPayload, _ headers: [WireHeader]) throws -> (
        WireRequest, VerifiedSignature
    ) {
        var request = try WireRequest(
            method: "PUT", target: "/examplebucket/chunkObject.txt",
            headers: [
                WireHeader("host", "s3.amazonaws.com"), WireHeader("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                WireHeader("content-encoding", "aws-chunked"), WireHeader("x-amz-decoded-content-length", "66560"),
            ] + headers)
        let signer = RequestSigner(
            accessKeyID: "AKIAIOSFODNN7EXAMPLE", secret: secret, region: "us-east-1", service: "s3", family: .s3)
        request.headers += signer.headers(signing: request, payload: payload, at: now)
        let presented = try #require(try PresentedSignature.parse(request))
        let verified = try SignatureVerifier().verify(
            presented, of: request, secret: secret, payload: payload, rules: SignatureRules(family: .s3, service: "s3"),
            now: now)
        return (request, verified)
    }

    private static func signedChunks() throws -> (WireRequest, VerifiedSignature, [UInt8]) {
        let (request, verified) = try head(.signedChunks(hasTrailer: false), [WireHeader("content-length", "66824")])
        var body = Array(
            "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n".utf8)
        body += content.prefix(65536)
        body += "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n".utf8
        body += content.suffix(1024)
        body += "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n".utf8
        return (request, verified, body)
    }

    private static func signedTrailer() throws -> (WireRequest, VerifiedSignature, [UInt8]) {
        let (request, verified) = try head(
            .signedChunks(hasTrailer: true), [WireHeader("x-amz-trailer", "x-amz-checksum-crc32c")])
        var body = Array(
            "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n".utf8)
        body += content.prefix(65536)
        body += "\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n".utf8
        body += content.suffix(1024)
        body += "\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n".utf8
        body += "x-amz-checksum-crc32c:sOO8/Q==\r\n".utf8
        body += "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n".utf8
        return (request, verified, body)
    }

    private static func unsigned(
        _ pieces: [[UInt8]], trailer: String = "", announced: String? = nil, length: Int? = nil
    ) throws -> (AWSChunkedDecoder, [UInt8]) {
        var headers = [WireHeader("x-amz-decoded-content-length", String(length ?? pieces.map(\.count).reduce(0, +)))]
        if let announced { headers.append(WireHeader("x-amz-trailer", announced)) }
        let request = try WireRequest(method: "PUT", target: "/b/k", headers: headers)
        var body: [UInt8] = []
        for piece in pieces {
            body += "\(String(piece.count, radix: 16))\r\n".utf8
            body += piece
            body += "\r\n".utf8
        }
        body += "0\r\n\(trailer)\r\n".utf8
        return (try AWSChunkedDecoder(.unsignedChunks, signature: nil, request: request), body)
    }

    private static func decode(_ decoder: AWSChunkedDecoder, _ pieces: [ArraySlice<UInt8>]) throws -> [UInt8] {
        var decoder = decoder
        var output: [UInt8] = []
        for piece in pieces {
            for buffer in try decoder.take(ByteBuffer(bytes: piece)) { output += buffer.readableBytesView }
        }
        try decoder.finish()
        return output
    }

    private static func code(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch {
            return (error as? AWSError)?.code ?? "\(error)"
        }
    }

    // MARK: AWS's examples

    @Test func `the seed signatures are those of AWS's pages`() throws {
        let (_, plain, _) = try Self.signedChunks()
        #expect(
            String(decoding: plain.presented.signature, as: UTF8.self)
                == "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
        let (_, trailer, _) = try Self.signedTrailer()
        #expect(
            String(decoding: trailer.presented.signature, as: UTF8.self)
                == "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")
    }

    @Test func `AWS's signed chunks decode`() throws {
        let (request, verified, body) = try Self.signedChunks()
        let decoder = try AWSChunkedDecoder(verified.payload, signature: verified, request: request)
        #expect(try Self.decode(decoder, [body[...]]) == Self.content)
        #expect(decoder.length == 66560)
    }

    @Test func `AWS's signed trailer decodes and is handed over`() throws {
        let (request, verified, body) = try Self.signedTrailer()
        var decoder = try AWSChunkedDecoder(verified.payload, signature: verified, request: request)
        #expect(try Self.decode(decoder, [body[...]]) == Self.content)
        _ = try decoder.take(ByteBuffer(bytes: body))
        try decoder.finish()
        #expect(decoder.trailers == [WireHeader("x-amz-checksum-crc32c", "sOO8/Q==")])
    }

    @Test func `a signed body may end without its last blank line, and have one before the trailer's signature`() throws
    {
        let (request, verified, body) = try Self.signedTrailer()
        let decoder = try AWSChunkedDecoder(verified.payload, signature: verified, request: request)
        #expect(try Self.decode(decoder, [body.dropLast(2)]) == Self.content)
        let text = "\r\nx-amz-trailer-signature"
        let spaced = String(decoding: body, as: UTF8.self).replacing(text, with: "\r\n" + text)
        #expect(try Self.decode(decoder, [Array(spaced.utf8)[...]]) == Self.content)
    }

    // MARK: Splitting

    @Test func `a body cut at any byte decodes the same`() throws {
        let piece = [UInt8](repeating: 7, count: 8192)
        var checksum = ObjectChecksum(.crc32)
        checksum.update(piece + [1, 2, 3])
        let (decoder, body) = try Self.unsigned(
            [piece, [1, 2, 3]], trailer: "x-amz-checksum-crc32:\(checksum.text)\r\n", announced: "x-amz-checksum-crc32")
        for cut in 0...body.count {
            #expect(try Self.decode(decoder, [body[..<cut], body[cut...]]) == piece + [1, 2, 3])
        }
        #expect(try Self.decode(decoder, body.indices.map { body[$0...$0] }) == piece + [1, 2, 3])
    }

    @Test func `signed bodies cut anywhere in their framing decode the same`() throws {
        for (request, verified, body) in [try Self.signedChunks(), try Self.signedTrailer()] {
            let decoder = try AWSChunkedDecoder(verified.payload, signature: verified, request: request)
            let cuts = Array(0...100) + Array(65600...65720) + Array((body.count - 260)...body.count)
            for cut in cuts {
                #expect(try Self.decode(decoder, [body[..<cut], body[cut...]]) == Self.content)
            }
        }
    }

    // MARK: Truncation and damage

    @Test func `a truncated body is incomplete, wherever it ends`() throws {
        let (decoder, body) = try Self.unsigned(
            [[1, 2, 3, 4]], trailer: "x-amz-checksum-crc32:tjz7zQ==\r\n", announced: "x-amz-checksum-crc32")
        #expect(try Self.decode(decoder, [body[...]]) == [1, 2, 3, 4])
        for end in 0..<body.count {
            #expect(Self.code { _ = try Self.decode(decoder, [body[..<end]]) } == "IncompleteBody", "cut at \(end)")
        }
    }

    @Test func `a truncated signed body is refused, wherever it ends`() throws {
        let (request, verified, body) = try Self.signedChunks()
        let decoder = try AWSChunkedDecoder(verified.payload, signature: verified, request: request)
        for end in Array(0...90) + Array(65610...65720) + Array((body.count - 90)..<body.count) {
            #expect(Self.code { _ = try Self.decode(decoder, [body[..<end]]) } == "IncompleteBody", "cut at \(end)")
        }
    }

    @Test func `no flipped byte of a signed body passes`() throws {
        for (request, verified, body) in [try Self.signedChunks(), try Self.signedTrailer()] {
            let decoder = try AWSChunkedDecoder(verified.payload, signature: verified, request: request)
            let places = Array(0...90) + [40000] + Array(65610...65720) + Array((body.count - 240)..<body.count)
            for place in places {
                for bit in [UInt8(1), 0x20] {
                    var damaged = body
                    damaged[place] ^= bit
                    let result = Result { try Self.decode(decoder, [damaged[...]]) }
                    // The name of a trailing header has no case.
                    if case .success = result {
                        let isLetterCase = bit == 0x20 && (body[place] | 0x20) >= 0x61 && (body[place] | 0x20) <= 0x7A
                        #expect(isLetterCase && place > 66700 && body[place] != UInt8(ascii: "="), "byte \(place)")
                    }
                }
            }
        }
    }

    @Test func `chunks cannot be reordered, dropped or repeated`() throws {
        let (request, verified, body) = try Self.signedChunks()
        let decoder = try AWSChunkedDecoder(verified.payload, signature: verified, request: request)
        let first = body[..<65626]
        let second = body[65626..<(65626 + 87 - 3 + 1024 + 2)]
        let last = body[(65626 + 87 - 3 + 1024 + 2)...]
        #expect(try Self.decode(decoder, [first, second, last]) == Self.content)
        for pieces in [
            [second, first, last], [first, last], [first, first, last], [last], [first, second, second, last],
        ] {
            #expect(Self.code { _ = try Self.decode(decoder, pieces) } != nil)
        }
    }

    @Test func `nothing may follow the end`() throws {
        let (decoder, body) = try Self.unsigned([[1]])
        #expect(Self.code { _ = try Self.decode(decoder, [body[...], [0x30]]) } == "InvalidRequest")
    }

    @Test(arguments: [
        "x\r\n", "\r\n", "1", "-1\r\na\r\n", "+1\r\na\r\n", " 1\r\na\r\n", "1 \r\na\r\n", "0x1\r\na\r\n", "1\na\r\n",
        "1\r\nab\r\n", "1;a=b\r\na\r\n", "ffffffffffffffff\r\na", "00000000000000001\r\na\r\n",
        "7fffffffffffffff\r\na",
    ])
    func `damaged framing is refused`(_ text: String) throws {
        let (decoder, _) = try Self.unsigned([[1]])
        #expect(Self.code { _ = try Self.decode(decoder, [Array(text.utf8)[...]]) } != nil)
    }

    @Test func `a chunk line and a trailer without end are cut off`() throws {
        let (decoder, _) = try Self.unsigned([[1]], announced: "x-amz-checksum-crc32")
        let endless = [UInt8](repeating: UInt8(ascii: "0"), count: 4096)
        #expect(Self.code { _ = try Self.decode(decoder, [endless[...]]) } == "InvalidRequest")
        let start = Array("1\r\na\r\n0\r\nx-amz-checksum-crc32:".utf8)
        let trailer = [UInt8](repeating: UInt8(ascii: "A"), count: 20000)
        #expect(Self.code { _ = try Self.decode(decoder, [start[...], trailer[...]]) } == "MalformedTrailerError")
        let lines = Array(String(repeating: "x-amz-checksum-crc32:tjz7zQ==\r\n", count: 2).utf8)
        #expect(Self.code { _ = try Self.decode(decoder, [start.prefix(9), lines[...]]) } == "MalformedTrailerError")
    }

    // MARK: Lengths

    @Test func `every chunk but the last has at least 8192 bytes`() throws {
        let small = [UInt8](repeating: 1, count: 8191)
        let (decoder, body) = try Self.unsigned([small, [2]])
        #expect(Self.code { _ = try Self.decode(decoder, [body[...]]) } == "InvalidChunkSizeError")
        let (exact, exactBody) = try Self.unsigned([small + [1], small])
        #expect(try Self.decode(exact, [exactBody[...]]) == small + [1] + small)
    }

    @Test(arguments: [2, 4]) func `the decoded length must be as announced`(_ length: Int) throws {
        let (decoder, body) = try Self.unsigned([[1, 2, 3]], length: length)
        #expect(Self.code { _ = try Self.decode(decoder, [body[...]]) } == "IncompleteBody")
    }

    @Test(arguments: [nil, "", "-1", "+1", "1.0", "a", "99999999999999999999"] as [String?])
    func `the decoded length is required`(_ text: String?) throws {
        let headers = text.map { [WireHeader("x-amz-decoded-content-length", $0)] } ?? []
        let request = try WireRequest(method: "PUT", target: "/b/k", headers: headers)
        #expect(
            Self.code { _ = try AWSChunkedDecoder(.unsignedChunks, signature: nil, request: request) }
                == "MissingContentLength")
    }

    // MARK: Trailers

    @Test(arguments: ObjectChecksum.Algorithm.allCases)
    func `a trailing checksum is checked`(_ algorithm: ObjectChecksum.Algorithm) throws {
        let content = [UInt8]("some content".utf8)
        var checksum = ObjectChecksum(algorithm)
        checksum.update(content)
        let name = algorithm.headerName
        let (decoder, body) = try Self.unsigned([content], trailer: "\(name):\(checksum.text)\r\n", announced: name)
        #expect(try Self.decode(decoder, [body[...]]) == content)

        var other = ObjectChecksum(algorithm)
        other.update([0])
        let (wrong, wrongBody) = try Self.unsigned([content], trailer: "\(name):\(other.text)\r\n", announced: name)
        #expect(Self.code { _ = try Self.decode(wrong, [wrongBody[...]]) } == "BadDigest")
        let (odd, oddBody) = try Self.unsigned([content], trailer: "\(name):abc\r\n", announced: name)
        #expect(Self.code { _ = try Self.decode(odd, [oddBody[...]]) } == "InvalidRequest")
    }

    @Test func `the trailer is the announced one, and no other`() throws {
        let name = "x-amz-checksum-crc32"
        for (trailer, announced) in [
            ("", name), ("x-amz-checksum-sha1:2jmj7l5rSw0yVb/vlWAYkK/YBwk=\r\n", name),
            ("x-amz-checksum-crc32:AAAAAA==\r\n", nil), ("x-amz-meta-a:1\r\n", name), ("nonsense\r\n", name),
            (":AAAA\r\n", name), ("x-amz-trailer-signature:00\r\n", name),
        ] {
            let (decoder, body) = try Self.unsigned([[]].filter { !$0.isEmpty }, trailer: trailer, announced: announced)
            #expect(Self.code { _ = try Self.decode(decoder, [body[...]]) } == "MalformedTrailerError", "\(trailer)")
        }
    }

    @Test(arguments: ["x-amz-meta-a", "x-amz-checksum-md5", "x-amz-checksum-crc32,x-amz-checksum-sha1"])
    func `only one checksum can be announced`(_ announced: String) {
        #expect(Self.code { _ = try Self.unsigned([[1]], announced: announced) } == "InvalidRequest")
    }

    @Test func `an empty body decodes to nothing`() throws {
        let (decoder, body) = try Self.unsigned(
            [], trailer: "x-amz-checksum-crc32:AAAAAA==\r\n", announced: "x-amz-checksum-crc32")
        #expect(try Self.decode(decoder, [body[...]]) == [])
    }
}
