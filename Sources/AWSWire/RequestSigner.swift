// SPDX-License-Identifier: Apache-2.0

/// Signs requests that we make ourselves, in either form, with the same canonical request that the verifier uses.
package struct RequestSigner: Sendable {
    package var accessKeyID: String
    package var secret: SecretKey
    package var sessionToken: String?
    package var region: String
    package var service: String
    package var family: SignatureFamily

    package init(
        accessKeyID: String, secret: SecretKey, sessionToken: String? = nil, region: String, service: String,
        family: SignatureFamily
    ) {
        self.accessKeyID = accessKeyID
        self.secret = secret
        self.sessionToken = sessionToken
        self.region = region
        self.service = service
        self.family = family
    }

    /// Signs in the header form.
    ///
    /// - Parameters:
    ///   - request: with its `host` header and all others that it will be sent with; each is signed but those that a
    ///     proxy may change.
    ///   - payload: the body's hash; for S3 one of the literals too.
    /// - Returns: the headers to add.
    package func headers(signing request: WireRequest, payload: DeclaredPayload, at time: Timestamp) -> [WireHeader] {
        let timeText = time.iso8601Basic
        var added = [WireHeader("x-amz-date", timeText)]
        if family == .s3 { added.append(WireHeader("x-amz-content-sha256", payload.text)) }
        if let sessionToken { added.append(WireHeader("x-amz-security-token", sessionToken)) }
        var signed = request
        signed.headers.removeAll { header in header.name == "date" || added.contains { $0.name == header.name } }
        signed.headers += added
        let names = Self.signedHeaders(of: signed)
        let scope = CredentialScope(date: String(timeText.prefix(8)), region: region, service: service)
        let signature = signature(of: signed, names, payload, timeText, scope)
        added.append(
            WireHeader(
                "authorization",
                "\(PresentedSignature.algorithm) Credential=\(accessKeyID)/\(scope.text), "
                    + "SignedHeaders=\(names.joined(separator: ";")), Signature=\(signature)"))
        return added
    }

    /// Signs in the query form.
    ///
    /// - Parameter expiresSeconds: 1 to 604800.
    /// - Returns: the raw query to send, the request's own first.
    package func presignedQuery(
        _ request: WireRequest, expiresSeconds: Int64, at time: Timestamp
    ) throws(AWSError) -> String {
        let timeText = time.iso8601Basic
        let scope = CredentialScope(date: String(timeText.prefix(8)), region: region, service: service)
        let names = Self.signedHeaders(of: request)
        var items = [
            (PresentedSignature.QueryName.algorithm, PresentedSignature.algorithm),
            (PresentedSignature.QueryName.credential, "\(accessKeyID)/\(scope.text)"),
            (PresentedSignature.QueryName.date, timeText),
            (PresentedSignature.QueryName.expires, String(expiresSeconds)),
            (PresentedSignature.QueryName.signedHeaders, names.joined(separator: ";")),
        ]
        if let sessionToken { items.append((PresentedSignature.QueryName.securityToken, sessionToken)) }
        let own = items.map { "\($0.0)=\(PercentCoding.encode($0.1))" }.joined(separator: "&")
        var signed = request
        signed.rawQuery = request.rawQuery.isEmpty ? own : request.rawQuery + "&" + own
        signed.query = try WireQueryItem.parse(signed.rawQuery)
        let payload: DeclaredPayload = family == .s3 ? .unsigned : .hash(of: [])
        let signature = signature(of: signed, names, payload, timeText, scope)
        return signed.rawQuery + "&\(PresentedSignature.QueryName.signature)=\(signature)"
    }

    private func signature(
        of request: WireRequest, _ names: [String], _ payload: DeclaredPayload, _ timeText: String,
        _ scope: CredentialScope
    ) -> String {
        let canonical = CanonicalRequest(request, family: family, signedHeaders: names, payload: payload.text)
        let key = SigningKey(secret: secret, scope: scope)
        let signature = key.signature(of: canonical.stringToSign(timeText: timeText, scope: scope))
        return String(decoding: signature, as: UTF8.self)
    }

    private static func signedHeaders(of request: WireRequest) -> [String] {
        var names: [String] = []
        for header in request.headers where !changeable.contains(header.name) && !names.contains(header.name) {
            names.append(header.name)
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// What proxies and HTTP libraries add, drop or change, and therefore nobody signs.
    private static let changeable: Set<String> = [
        "authorization", "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
        "trailer", "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id",
    ]
}
