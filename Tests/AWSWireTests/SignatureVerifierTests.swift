// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Testing

struct SignatureVerifierTests {
    private let now = Timestamp(seconds: 1_795_551_473)
    private let secret = SecretKey("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

    private func signer(_ family: SignatureFamily, token: String? = nil) -> RequestSigner {
        RequestSigner(
            accessKeyID: "AKIAIOSFODNN7EXAMPLE", secret: secret, sessionToken: token, region: "us-east-1",
            service: family == .s3 ? "s3" : "sts", family: family)
    }

    private func signed(
        _ family: SignatureFamily, _ target: String = "/b/k", at time: Timestamp? = nil,
        headers: [WireHeader] = [], payload: DeclaredPayload = .hash(of: [])
    ) throws -> WireRequest {
        var request = try WireRequest(
            method: "PUT", target: target, headers: [WireHeader("host", "localhost:4747")] + headers)
        request.headers += signer(family).headers(signing: request, payload: payload, at: time ?? now)
        return request
    }

    private func presigned(_ family: SignatureFamily, expires: Int64 = 60, at time: Timestamp) throws -> WireRequest {
        let request = try WireRequest(method: "GET", target: "/b/k", headers: [WireHeader("host", "localhost:4747")])
        let query = try signer(family).presignedQuery(request, expiresSeconds: expires, at: time)
        return try WireRequest(method: "GET", target: "/b/k?\(query)", headers: request.headers)
    }

    @discardableResult
    private func verify(
        _ request: WireRequest, _ family: SignatureFamily, service: String? = nil, region: String? = nil,
        now: Timestamp? = nil, verifier: SignatureVerifier = SignatureVerifier(), secret: SecretKey? = nil
    ) throws -> VerifiedSignature {
        let presented = try #require(try PresentedSignature.parse(request))
        let payload = family == .s3 ? try DeclaredPayload.declared(by: request, presented: presented) : .hash(of: [])
        return try verifier.verify(
            presented, of: request, secret: secret ?? self.secret, payload: payload,
            rules: SignatureRules(family: family, service: service ?? (family == .s3 ? "s3" : "sts"), region: region),
            now: now ?? self.now)
    }

    private func refusal(_ body: () throws -> Void) -> SignatureError? {
        do {
            try body()
            return nil
        } catch {
            return error as? SignatureError
        }
    }

    // MARK: Time

    @Test func `a request is good for five minutes each way, and not a second longer`() throws {
        for family in [SignatureFamily.s3, .query] {
            let request = try signed(family)
            try verify(request, family, now: now.adding(seconds: 300))
            try verify(request, family, now: now.adding(seconds: -300))
            #expect(
                refusal { try verify(request, family, now: now.adding(seconds: 301)) }
                    == .skewed(now, isInFuture: false, skewMilliseconds: 300_000))
            #expect(
                refusal { try verify(request, family, now: now.adding(seconds: -301)) }
                    == .skewed(now, isInFuture: true, skewMilliseconds: 300_000))
        }
    }

    @Test func `a presigned request is good from its date to its end`() throws {
        for family in [SignatureFamily.s3, .query] {
            let request = try presigned(family, at: now)
            try verify(request, family, now: now.adding(seconds: 60))
            try verify(request, family, now: now.adding(seconds: -300))
            #expect(
                refusal { try verify(request, family, now: now.adding(seconds: 61)) }
                    == .expired(end: now.adding(seconds: 60), expiresSeconds: 60))
            #expect(refusal { try verify(request, family, now: now.adding(seconds: -301)) } == .notYetValid(now))
        }
    }

    @Test(arguments: [
        ("0", SignatureFlaw.expiresNegative), ("-1", .expiresNegative), ("604801", .expiresTooLong),
        ("99999999999999999999", .expiresTooLong), ("", .expiresUnreadable), ("1h", .expiresUnreadable),
        ("+60", .expiresUnreadable), ("60.0", .expiresUnreadable),
    ])
    func `a presigned request lives from one second to seven days`(_ text: String, _ flaw: SignatureFlaw) throws {
        let good = try presigned(.s3, at: now)
        let target = "/b/k?" + good.rawQuery.replacing("X-Amz-Expires=60", with: "X-Amz-Expires=\(text)")
        let request = try WireRequest(method: "GET", target: target, headers: good.headers)
        guard case .malformed(flaw, .query, _) = refusal({ _ = try PresentedSignature.parse(request) }) else {
            Issue.record("not refused for \(flaw)")
            return
        }
    }

    @Test func `seven days are allowed`() throws {
        let request = try presigned(.s3, expires: 604_800, at: now)
        try verify(request, .s3, now: now.adding(seconds: 604_800))
    }

    // MARK: Scope

    @Test func `the scope must fit the service, the region, the day and the scheme`() throws {
        let request = try signed(.s3)
        func flaw(_ body: () throws -> Void) -> SignatureFlaw? {
            if case .malformed(let flaw, .header, _) = refusal(body) { flaw } else { nil }
        }
        #expect(flaw { try verify(request, .s3, service: "kms") } == .service("s3", expected: "kms"))
        #expect(
            flaw { try verify(request, .s3, region: "eu-west-1") } == .region("us-east-1", expected: "eu-west-1"))
        func rewritten(_ old: String, _ new: String) -> WireRequest {
            var copy = request
            copy.headers = request.headers.map { WireHeader($0.name, $0.value.replacing(old, with: new)) }
            return copy
        }
        let day = String(now.iso8601Basic.prefix(8))
        #expect(flaw { try verify(rewritten("aws4_request", "aws5_request"), .s3) } == .terminator("aws5_request"))
        #expect(
            flaw { try verify(rewritten("/\(day)/", "/20200101/"), .s3) }
                == .scopeDate("20200101", time: now.iso8601Basic))
        #expect(flaw { try verify(rewritten("/\(day)/", "/2020-1-1/"), .s3) } == .scopeDateShape("2020-1-1"))
        #expect(flaw { try verify(rewritten("/\(day)/", "/"), .s3) } == .credentialShape)
    }

    // MARK: What must be signed

    @Test func `every x-amz header and the host must be signed`() throws {
        var request = try signed(.s3)
        request.headers.append(WireHeader("x-amz-acl", "public-read"))
        request.headers.append(WireHeader("x-amz-meta-a", "1"))
        #expect(refusal { try verify(request, .s3) } == .headersNotSigned(["x-amz-acl", "x-amz-meta-a"]))
        var link = try presigned(.s3, at: now)
        link.headers.append(WireHeader("x-amz-acl", "public-read"))
        #expect(refusal { try verify(link, .s3) } == .headersNotSigned(["x-amz-acl"]))

        var hostless = try WireRequest(method: "GET", target: "/", headers: [])
        hostless.headers += signer(.query).headers(signing: hostless, payload: .hash(of: []), at: now)
        #expect(refusal { try verify(hostless, .query) } == .headersNotSigned(["host"]))
    }

    @Test func `a header that proxies may change need not be signed`() throws {
        var request = try signed(.s3, headers: [WireHeader("user-agent", "a")])
        request.headers[1].value = "b"
        request.headers.append(WireHeader("via", "1.1 proxy"))
        try verify(request, .s3)
    }

    @Test func `a listed header that is missing is a mismatch`() throws {
        var request = try signed(.s3, headers: [WireHeader("x-amz-meta-a", "")])
        try verify(request, .s3)
        request.headers.removeAll { $0.name == "x-amz-meta-a" }
        guard case .mismatch = refusal({ try verify(request, .s3) }) else {
            Issue.record("a signed header could be removed")
            return
        }
    }

    @Test(arguments: ["host;Host", "x-amz-date;host", "host;host", "", "host;", "host;;x", "host;x y"])
    func `the list of signed headers is sorted, in lower case, each once`(_ list: String) throws {
        let good = try signed(.query)
        var request = good
        request.headers = good.headers.map { header in
            guard header.name == "authorization", let start = header.value.firstRange(of: "SignedHeaders=") else {
                return header
            }
            let rest = header.value[start.upperBound...].drop { $0 != "," }
            return WireHeader(header.name, header.value[..<start.upperBound] + list + rest)
        }
        guard case .malformed(.signedHeadersShape, .header, _) = refusal({ _ = try PresentedSignature.parse(request) })
        else {
            Issue.record("accepted the list `\(list)`")
            return
        }
    }

    // MARK: Forms

    @Test func `a request without a signature has none`() throws {
        let request = try WireRequest(method: "GET", target: "/b/k?acl", headers: [WireHeader("host", "h")])
        #expect(try PresentedSignature.parse(request) == nil)
    }

    @Test func `header and query together are refused`() throws {
        let link = try presigned(.s3, at: now)
        var both = link
        both.headers += signer(.s3).headers(signing: link, payload: .unsigned, at: now)
        #expect(refusal { _ = try PresentedSignature.parse(both) } == .twoMechanisms)
        var twice = try signed(.s3)
        twice.headers.append(WireHeader("authorization", twice.header("authorization") ?? ""))
        #expect(refusal { _ = try PresentedSignature.parse(twice) } == .twoMechanisms)
    }

    @Test(arguments: [
        "AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=", "Bearer abc", "Basic YTpi", "",
        "AWS4-ECDSA-P256-SHA256 Credential=AKID/20261124/s3/aws4_request, SignedHeaders=host, Signature=00",
        "aws4-hmac-sha256 Credential=a",
    ])
    func `other schemes are refused`(_ text: String) throws {
        let request = try WireRequest(
            method: "GET", target: "/", headers: [WireHeader("host", "h"), WireHeader("authorization", text)])
        #expect(refusal { _ = try PresentedSignature.parse(request) } == .unsupportedMechanism)
    }

    @Test func `signatures of version 2 and 4A in the query are refused`() throws {
        for query in [
            "AWSAccessKeyId=AKID&Signature=x&Expires=1",
            "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=c"
                + "&X-Amz-Signature=s&X-Amz-Date=d&X-Amz-SignedHeaders=host&X-Amz-Expires=1",
        ] {
            let request = try WireRequest(method: "GET", target: "/?\(query)", headers: [WireHeader("host", "h")])
            #expect(refusal { _ = try PresentedSignature.parse(request) } == .unsupportedMechanism)
        }
    }

    @Test func `a signature parameter that comes twice is refused, encoded or not`() throws {
        let good = try presigned(.s3, at: now)
        for twin in ["X-Amz-Signature=00", "X-Amz-%53ignature=00", "X-Amz-Expires=5", "X-Amz-Date=20200101T000000Z"] {
            let request = try WireRequest(
                method: "GET", target: "/b/k?\(good.rawQuery)&\(twin)", headers: good.headers)
            guard case .malformed(.repeated, .query, _) = refusal({ _ = try PresentedSignature.parse(request) }) else {
                Issue.record("accepted a second \(twin)")
                return
            }
        }
    }

    @Test func `blanks after the commas are free`() throws {
        var request = try signed(.query)
        for (old, new) in [(", ", ","), (",", " ,   "), (" ,   ", ",\t")] {
            request.headers = request.headers.map {
                $0.name == "authorization" ? WireHeader($0.name, $0.value.replacing(old, with: new)) : $0
            }
            try verify(request, .query)
        }
    }

    @Test func `the scope is known before anything is proven`() throws {
        let request = try signed(.s3)
        #expect(PresentedSignature.hintedScope(of: request)?.service == "s3")
        #expect(PresentedSignature.hintedScope(of: try presigned(.query, at: now))?.region == "us-east-1")
        var damaged = request
        damaged.headers = request.headers.map {
            $0.name == "authorization" ? WireHeader($0.name, $0.value.replacing("Signature", with: "Sig")) : $0
        }
        #expect(throws: SignatureError.self) { try PresentedSignature.parse(damaged) }
        #expect(PresentedSignature.hintedScope(of: damaged)?.service == "s3")
    }

    // MARK: Paths, payloads

    @Test func `another spelling of the same path and query verifies for S3`() throws {
        let request = try signed(.s3, "/b/a%28b%29?prefix=x%2Fy")
        for target in ["/b/a(b)?prefix=x%2Fy", "/b/a%28b%29?prefix=x/y", "/b/%61(b)?prefix=x/y"] {
            try verify(try WireRequest(method: "PUT", target: target, headers: request.headers), .s3)
        }
        for target in ["/b/a(c)?prefix=x%2Fy", "/b/a%28b%29?prefix=x/z", "/b/a%2528b%29?prefix=x/y"] {
            let sent = try WireRequest(method: "PUT", target: target, headers: request.headers)
            #expect(throws: SignatureError.self) { try verify(sent, .s3) }
        }
    }

    @Test func `an encoded slash does not become a separator`() throws {
        let request = try signed(.s3, "/b/k")
        let sent = try WireRequest(method: "PUT", target: "/b%2Fk", headers: request.headers)
        #expect(throws: SignatureError.self) { try verify(sent, .s3) }
    }

    @Test(arguments: [".", "..", "./", "*", "a/.."]) func `no relative path passes for the root`(_ target: String)
        throws
    {
        let request = try signed(.query, "/")
        let sent = try WireRequest(method: "PUT", target: target, headers: request.headers)
        #expect(throws: SignatureError.self) { try verify(sent, .query) }
    }

    @Test func `S3 needs the content hash, and reads only what it knows`() throws {
        var request = try signed(.s3)
        request.headers.removeAll { $0.name == "x-amz-content-sha256" }
        #expect(refusal { try verify(request, .s3) } == .contentHashMissing)
        request.headers.append(WireHeader("x-amz-content-sha256", "abc"))
        #expect(refusal { try verify(request, .s3) } == .contentHashUnreadable("abc"))
        let bare = try WireRequest(
            method: "PUT", target: "/b/k",
            headers: [WireHeader("x-amz-content-sha256", DeclaredPayload.signedChunksText)])
        #expect(refusal { _ = try DeclaredPayload.declared(by: bare, presented: nil) } == .notSigned)
    }

    @Test func `an unsigned payload is for S3 alone`() throws {
        let request = try signed(.query, payload: .unsigned)
        let presented = try #require(try PresentedSignature.parse(request))
        #expect(throws: SignatureError.self) {
            try SignatureVerifier().verify(
                presented, of: request, secret: secret, payload: .unsigned,
                rules: SignatureRules(family: .query, service: "sts"), now: now)
        }
    }

    // MARK: Keys

    @Test func `a cached key is not used for another secret`() throws {
        let verifier = SignatureVerifier()
        let request = try signed(.s3)
        try verify(request, .s3, verifier: verifier)
        #expect(throws: SignatureError.self) {
            try verify(request, .s3, verifier: verifier, secret: SecretKey("other"))
        }
        try verify(request, .s3, verifier: verifier)
    }

    @Test func `the cache of keys is bounded`() throws {
        let verifier = SignatureVerifier(signingKeysMax: 3)
        for day in 0..<10 {
            let time = now.adding(seconds: Int64(day) * 86400)
            try verify(try signed(.s3, at: time), .s3, now: time, verifier: verifier)
            #expect((1...3).contains(verifier.signingKeysCached))
        }
    }

    @Test func `a secret never shows itself`() {
        var dumped = ""
        dump(secret, to: &dumped)
        dump(
            SigningKey(secret: secret, scope: CredentialScope(date: "20261124", region: "r", service: "s")), to: &dumped
        )
        dump(signer(.s3), to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), "\(signer(.s3))", dumped] {
            #expect(!text.contains("wJalr"))
        }
    }
}
