// SPDX-License-Identifier: Apache-2.0

import NIOCore

@testable import AWSWire

extension FuzzTarget {
    /// The body of a signed or unsigned `aws-chunked` upload, in pieces. The first byte says which form, the second how long the
    /// pieces are, the third which trailer is announced, two more the announced length. Every signature is 64 zeros.
    static let chunked = FuzzTarget(name: "chunked") { input in
        guard input.count >= 5 else { return }
        let form = Int(input[0]) % 3
        let piece = max(1, Int(input[1]) * 16)
        let length = Int(input[3]) | Int(input[4]) << 8
        var headers = [
            WireHeader("host", "h"), WireHeader("x-amz-date", "20260501T120000Z"),
            WireHeader("x-amz-decoded-content-length", "\(length)"),
            WireHeader("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ]
        let algorithms = ObjectChecksum.Algorithm.allCases
        let signed = "host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length"
        headers.append(WireHeader("authorization", authorization(signed + (input[2] == 0 ? "" : ";x-amz-trailer"))))
        if input[2] != 0 {
            headers.append(WireHeader("x-amz-trailer", algorithms[Int(input[2]) % algorithms.count].headerName))
        }
        guard let request = try? WireRequest(method: "PUT", target: "/b/k", headers: headers),
            let presented = try? PresentedSignature.parse(request)
        else { return require(false, "the head can be read") }
        let payload: DeclaredPayload = form == 0 ? .unsignedChunks : .signedChunks(hasTrailer: form == 2)
        let rules = SignatureRules(family: .s3, service: "s3")
        guard
            let verified = try? SignatureVerifier().verify(
                presented, of: request, secret: SecretKey("s"), payload: payload, rules: rules, now: presented.time)
        else { return require(false, "the head's signature holds") }
        do throws(AWSError) {
            var decoder = try AWSChunkedDecoder(payload, signature: verified, request: request)
            var rest = ArraySlice(input.dropFirst(5))
            var decoded = 0
            while !rest.isEmpty {
                for output in try decoder.take(ByteBuffer(bytes: rest.prefix(piece))) {
                    decoded += output.readableBytes
                }
                rest = rest.dropFirst(piece)
            }
            try decoder.finish()
            require(decoded == length, "a body that is whole has its announced length")
        } catch {
            require((400...599).contains(error.status), "a refusal has a status")
        }
    }

    private static func authorization(_ signedHeaders: String) -> String {
        "AWS4-HMAC-SHA256 Credential=AKID/20260501/us-east-1/s3/aws4_request, SignedHeaders=\(signedHeaders), Signature="
            + String(repeating: "0", count: 64)
    }

    /// The head of a request, as lines: method and target, then headers. Its signature is read from header or query, its canonical
    /// form made, and the signature verified for each family.
    static let signatures = FuzzTarget(name: "signatures") { input in
        let lines = String(decoding: input, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        let first = (lines.first ?? "").split(separator: " ", maxSplits: 1).map(String.init)
        guard first.count == 2 else { return }
        let headers = lines.dropFirst().map { line in
            let cut = line.firstIndex(of: ":") ?? line.endIndex
            return WireHeader(line[..<cut].lowercased(), String(line[cut...].dropFirst()))
        }
        guard let request = try? WireRequest(method: first[0], target: first[1], headers: headers) else { return }
        _ = PresentedSignature.hintedScope(of: request)
        var presented: PresentedSignature?
        do throws(SignatureError) { presented = try PresentedSignature.parse(request) } catch { _ = "\(error)" }
        let payload = try? DeclaredPayload.declared(by: request, presented: presented)
        guard let presented else { return }
        require(presented.signedHeaders.count <= SignatureLimits.signedHeadersMax, "signed headers are bounded")
        for (family, service) in [(SignatureFamily.s3, "s3"), (.query, "sts"), (.json, "cloudtrail")] {
            let rules = SignatureRules(family: family, service: service, region: nil)
            let declared = family == .s3 ? payload ?? .unsigned : .hash(of: [])
            do throws(SignatureError) {
                let verified = try SignatureVerifier().verify(
                    presented, of: request, secret: SecretKey("s"), payload: declared, rules: rules, now: presented.time
                )
                require(
                    verified.presented.signature == Array(String(repeating: "0", count: 64).utf8),
                    "only the right signature holds")
            } catch {
                _ = "\(error)"
            }
        }
    }

    /// The body of a call in AWS's query protocol.
    static let forms = FuzzTarget(name: "forms") { input in
        let text = String(decoding: input, as: UTF8.self)
        guard let items = try? WireQueryItem.parse(text, plusIsBlank: true),
            let parameters = try? QueryProtocol.parameters(from: items)
        else { return }
        _ = WireValue.structure(parameters).json
        _ = XMLDocument.write(root: "R", namespace: nil, parameters)
    }

    /// An XML document of S3.
    static let xml = FuzzTarget(name: "xml") { input in
        guard let (root, content) = try? XMLDocument.parse(Array(input)) else { return }
        guard case .structure(let structure) = content else { return }
        let written = XMLDocument.write(root: root, namespace: nil, structure)
        require((try? XMLDocument.parse(written)) != nil, "what is written can be read")
    }

    /// A JSON body.
    static let json = FuzzTarget(name: "json") { input in
        guard let value = try? WireValue(json: Array(input)) else { return }
        let written = value.json
        guard let again = try? WireValue(json: written) else { return require(false, "what is written can be read") }
        require(again.json == written, "reading and writing change nothing")
    }
}
