// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Testing

struct SignatureVectorTests {
    private let vectors = SignatureVectors.all

    @Test func `there are vectors of every form`() {
        #expect(vectors.cases.count > 200)
        #expect(Set(vectors.cases.map { "\($0.family) \($0.target.contains("X-Amz-Signature"))" }).count == 4)
    }

    @Test(arguments: SignatureVectors.all.cases)
    func `the canonical request is botocore's`(_ vector: SignatureVectors.Case) throws {
        let request = try vector.request()
        let presented = try #require(try PresentedSignature.parse(request))
        let payload = try payload(vector, request, presented)
        // A wrong secret: the refusal shows what was computed.
        let refusal = #expect(throws: SignatureError.self) {
            try SignatureVerifier().verify(
                presented, of: request, secret: SecretKey("wrong"), payload: payload, rules: vector.rules,
                now: vectors.now)
        }
        guard case .mismatch(let mismatch) = refusal else {
            Issue.record("refused for another reason: \(String(describing: refusal))")
            return
        }
        #expect(String(decoding: mismatch.canonicalRequest, as: UTF8.self) == vector.canonicalRequest)
        #expect(String(decoding: mismatch.stringToSign, as: UTF8.self) == vector.stringToSign)
    }

    @Test(arguments: SignatureVectors.all.cases)
    func `the signature verifies, and comes out the same when we sign`(_ vector: SignatureVectors.Case) throws {
        let request = try vector.request()
        let presented = try #require(try PresentedSignature.parse(request))
        #expect(presented.accessKeyID == vectors.accessKeyID)
        #expect(presented.scope.service == vector.service)
        #expect(presented.scope.region == vector.region)
        #expect(presented.sessionToken == vector.token)
        let verified = try SignatureVerifier().verify(
            presented, of: request, secret: vectors.secret, payload: payload(vector, request, presented),
            rules: vector.rules, now: vectors.now)
        #expect(String(decoding: verified.presented.signature, as: UTF8.self) == vector.signature)
        let key = SigningKey(secret: vectors.secret, scope: presented.scope)
        #expect(String(decoding: key.signature(of: Array(vector.stringToSign.utf8)), as: UTF8.self) == vector.signature)
    }

    @Test(
        arguments: SignatureVectors.all.cases.filter {
            !$0.target.contains("X-Amz-Signature") && $0.name != "date header"
        })
    func `our signer makes botocore's Authorization header`(_ vector: SignatureVectors.Case) throws {
        var request = try vector.request()
        let made = ["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"]
        let expected = request.header("authorization")
        request.headers.removeAll { made.contains($0.name) }
        let signer = RequestSigner(
            accessKeyID: vectors.accessKeyID, secret: vectors.secret, sessionToken: vector.token, region: vector.region,
            service: vector.service, family: vector.rules.family)
        let added = signer.headers(signing: request, payload: .hash(of: Array(vector.body.utf8)), at: vectors.now)
        #expect(added.last?.value == expected)
    }

    private func payload(
        _ vector: SignatureVectors.Case, _ request: WireRequest, _ presented: PresentedSignature
    ) throws -> DeclaredPayload {
        vector.isS3
            ? try DeclaredPayload.declared(by: request, presented: presented)
            : .hash(of: Array(vector.body.utf8))
    }
}
