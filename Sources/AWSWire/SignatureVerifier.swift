// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What a request must be signed for.
package struct SignatureRules: Sendable {
    package var family: SignatureFamily
    /// The service that the request was routed to; the scope must name it.
    package var service: String
    /// The one region that the scope may name; nil accepts any.
    package var region: String?
    package var skewMilliseconds: Int64

    package init(
        family: SignatureFamily, service: String, region: String? = nil,
        skewMilliseconds: Int64 = SignatureLimits.skewMilliseconds
    ) {
        self.family = family
        self.service = service
        self.region = region
        self.skewMilliseconds = skewMilliseconds
    }
}

/// What a signature says about the body, in the place of its hash.
package enum DeclaredPayload: Sendable, Equatable {
    /// Hexadecimal SHA-256 of the body, as sent.
    case hash(String)
    /// Not covered. S3 alone accepts it.
    case unsigned
    /// aws-chunked, each chunk signed; S3 alone.
    case signedChunks(hasTrailer: Bool)
    /// aws-chunked with a trailing checksum and no signatures; S3 alone.
    case unsignedChunks

    package static let unsignedText = "UNSIGNED-PAYLOAD"
    package static let signedChunksText = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    package static let signedChunksTrailerText = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    package static let unsignedChunksText = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

    static let literals = [unsignedText, unsignedChunksText, signedChunksText, signedChunksTrailerText]

    /// The hash of a body that is in memory.
    package static func hash(of body: [UInt8]) -> DeclaredPayload { .hash(Hex.sha256(of: body)) }

    /// What an S3 request declares.
    ///
    /// - Parameter presented: the request's signature, nil for one without: then the declaration may be absent.
    /// - Throws: `SignatureError.contentHashMissing` and `.contentHashUnreadable`.
    package static func declared(
        by request: WireRequest, presented: PresentedSignature?
    ) throws(SignatureError) -> DeclaredPayload {
        var text: String?
        for header in request.headers where header.name == "x-amz-content-sha256" {
            guard text == nil else { throw .contentHashUnreadable("two values") }
            text = header.value
        }
        if text == nil, presented?.form == .query {
            text = request.queryValue(PresentedSignature.QueryName.contentHash)
        }
        switch text {
        case nil:
            if presented?.form == .header { throw .contentHashMissing }
            return .unsigned
        case unsignedText: return .unsigned
        case signedChunksText, signedChunksTrailerText:
            // Chunks are signed with the key of the request; without a signature there is none.
            guard presented != nil else { throw .notSigned }
            return .signedChunks(hasTrailer: text == signedChunksTrailerText)
        case unsignedChunksText: return .unsignedChunks
        case .some(let hash):
            guard Hex.isSHA256(hash) else { throw .contentHashUnreadable(hash) }
            return .hash(hash)
        }
    }

    /// As it stands in the canonical request.
    package var text: String {
        switch self {
        case .hash(let hash): hash
        case .unsigned: Self.unsignedText
        case .signedChunks(let hasTrailer): hasTrailer ? Self.signedChunksTrailerText : Self.signedChunksText
        case .unsignedChunks: Self.unsignedChunksText
        }
    }
}

/// A signature that was made with the secret of its access key, in time, over this very request.
///
/// What it proves of the body depends on `payload`: the body itself is checked as it flows, by `PayloadVerifier`.
package struct VerifiedSignature: Sendable {
    package let presented: PresentedSignature
    package let payload: DeclaredPayload
    /// Signs the chunks of the body.
    let key: SigningKey

    fileprivate init(presented: PresentedSignature, payload: DeclaredPayload, key: SigningKey) {
        self.presented = presented
        self.payload = payload
        self.key = key
    }
}

/// Checks signatures, and keeps the derived keys of the access keys it has seen.
package final class SignatureVerifier: Sendable {
    private struct CacheKey: Hashable {
        var accessKeyID: String
        var scope: CredentialScope
    }

    private struct CachedKey {
        /// The secret that the key was derived from: an access key whose secret changed must not find the old one.
        var secret: SecretKey
        var key: SigningKey
    }

    private let keysMax: Int
    private let keys = Mutex<[CacheKey: CachedKey]>([:])

    /// - Parameter signingKeysMax: how many derived keys are kept.
    package init(signingKeysMax: Int = SignatureLimits.signingKeysMax) { keysMax = signingKeysMax }

    /// Checks that the request is what the holder of the secret signed, for this service, now.
    ///
    /// - Parameters:
    ///   - secret: of the access key that the signature names.
    ///   - payload: for S3 what the request declares, for others the hash of the body.
    /// - Throws: `SignatureError`; the comparison itself takes the same time however much of the signature is right.
    /// - Complexity: one hash of the head and one HMAC; four more HMACs for a key that is not cached.
    package func verify(
        _ presented: PresentedSignature, of request: WireRequest, secret: SecretKey, payload: DeclaredPayload,
        rules: SignatureRules, now: Timestamp
    ) throws(SignatureError) -> VerifiedSignature {
        try Self.checkScope(presented, of: request, rules)
        try Self.checkTime(presented, rules, now)
        try Self.checkSignedHeaders(presented, of: request)
        guard rules.family == .s3 || payload.isHash else { throw .contentHashUnreadable(payload.text) }

        let key = signingKey(presented, secret)
        let asSent = CanonicalRequest(
            request, family: rules.family, signedHeaders: presented.signedHeaders, payload: payload.text)
        let stringToSign = asSent.stringToSign(timeText: presented.timeText, scope: presented.scope)
        if asSent.isComplete, ConstantTime.areEqual(key.signature(of: stringToSign), presented.signature) {
            return VerifiedSignature(presented: presented, payload: payload, key: key)
        }
        // A client may sign the encoded form and send another spelling of the same path and query (`/` or `(` bare).
        let anew = CanonicalRequest(
            request, family: rules.family, signedHeaders: presented.signedHeaders, payload: payload.text,
            spelling: .encodedAnew)
        if anew.isComplete, anew.bytes != asSent.bytes {
            let stringToSign = anew.stringToSign(timeText: presented.timeText, scope: presented.scope)
            if ConstantTime.areEqual(key.signature(of: stringToSign), presented.signature) {
                return VerifiedSignature(presented: presented, payload: payload, key: key)
            }
        }
        throw .mismatch(
            SignatureMismatch(
                accessKeyID: presented.accessKeyID, provided: presented.signature, canonicalRequest: asSent.bytes,
                stringToSign: stringToSign))
    }

    private func signingKey(_ presented: PresentedSignature, _ secret: SecretKey) -> SigningKey {
        let cacheKey = CacheKey(accessKeyID: presented.accessKeyID, scope: presented.scope)
        if let cached = keys.withLock({ $0[cacheKey] }), cached.secret == secret { return cached.key }
        let key = SigningKey(secret: secret, scope: presented.scope)
        keys.withLock { keys in
            if keys.count >= keysMax { keys.removeAll(keepingCapacity: true) }
            keys[cacheKey] = CachedKey(secret: secret, key: key)
        }
        return key
    }

    /// For tests of the bound.
    package var signingKeysCached: Int { keys.withLock { $0.count } }
}

// MARK: - What is checked before the signature

extension SignatureVerifier {
    private static func checkScope(
        _ presented: PresentedSignature, of request: WireRequest, _ rules: SignatureRules
    ) throws(SignatureError) {
        func flawed(_ flaw: SignatureFlaw) -> SignatureError {
            let text = presented.form == .header ? request.header("authorization") : request.rawQuery
            return .malformed(flaw, presented.form, presented: text ?? "")
        }
        let scope = presented.scope
        guard scope.terminator == CredentialScope.terminator else { throw flawed(.terminator(scope.terminator)) }
        guard presented.timeText.utf8.prefix(8).elementsEqual(scope.date.utf8) else {
            throw flawed(.scopeDate(scope.date, time: presented.timeText))
        }
        guard scope.service == rules.service else { throw flawed(.service(scope.service, expected: rules.service)) }
        if let region = rules.region, scope.region != region { throw flawed(.region(scope.region, expected: region)) }
    }

    private static func checkTime(
        _ presented: PresentedSignature, _ rules: SignatureRules, _ now: Timestamp
    ) throws(SignatureError) {
        let time = presented.time
        let skew = rules.skewMilliseconds
        if let seconds = presented.expiresSeconds {
            guard time <= now.adding(milliseconds: skew) else { throw .notYetValid(time) }
            let end = time.adding(seconds: seconds)
            guard now <= end else { throw .expired(end: end, expiresSeconds: seconds) }
        } else {
            guard time <= now.adding(milliseconds: skew) else {
                throw .skewed(time, isInFuture: true, skewMilliseconds: skew)
            }
            guard time >= now.adding(milliseconds: -skew) else {
                throw .skewed(time, isInFuture: false, skewMilliseconds: skew)
            }
        }
    }

    /// `host` and every `x-amz-*` header must be covered, or anyone on the way could add meaning to the request.
    private static func checkSignedHeaders(
        _ presented: PresentedSignature, of request: WireRequest
    ) throws(SignatureError) {
        let prefix = "x-amz-".utf8
        var unsigned: [String] = []
        if !presented.signedHeaders.contains("host") { unsigned.append("host") }
        for header in request.headers where header.name.utf8.starts(with: prefix) {
            guard !presented.signedHeaders.contains(header.name), !unsigned.contains(header.name) else { continue }
            unsigned.append(header.name)
        }
        if !unsigned.isEmpty { throw .headersNotSigned(unsigned) }
    }
}

extension DeclaredPayload {
    fileprivate var isHash: Bool { if case .hash = self { true } else { false } }
}
