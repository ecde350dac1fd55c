// SPDX-License-Identifier: Apache-2.0
//
// Tokens of OpenID Connect providers. Formats: RFC 7519 (JWT), RFC 7515 (JWS), RFC 7517 and 7518 (keys, algorithms),
// OpenID Connect Discovery 1.0. What is checked: STS API Reference, AssumeRoleWithWebIdentity; IAM User Guide,
// "Available keys for AWS web identity federation".

internal import AWSWire
internal import Synchronization

struct AssumeRoleWithWebIdentityInput: OperationInput {
    let role: RoleARN
    let sessionName: String
    let token: String
    let policies: [SessionToken.Policy]?
    let seconds: Int64?

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try STSFields(
            request,
            known: [
                "RoleArn", "RoleSessionName", "WebIdentityToken", "ProviderId", "PolicyArns", "Policy",
                "DurationSeconds",
            ])
        role = try fields.roleARN()
        sessionName = try fields.sessionName("RoleSessionName")
        token = try fields.required("WebIdentityToken", 4...20_000, isSecret: true)
        if let provider = try fields.text("ProviderId", 4...2048) {
            // For tokens of OAuth 2.0, which prove less; AWS takes them of two providers only.
            throw .stsValidation(
                "ProviderId \(provider.prefix(256)) is not supported; send an OpenID Connect ID token.")
        }
        policies = try fields.policies()
        seconds = try fields.seconds(43_200)
    }
}

/// Verifies tokens against the keys of the providers that an account has registered.
package final class WebIdentities: Sendable {
    /// Gets a document from a provider, within limits of size and time.
    package typealias Fetch = @Sendable (_ url: String) async throws -> [UInt8]

    /// Someone whom a provider vouches for.
    struct Verified: Sendable {
        let provider: IdentityProvider
        let subject: String
        let audience: String
        /// `HOST:sub`, `HOST:aud` and the like.
        let conditionKeys: [ConditionKey]
    }

    private struct CachedKeys {
        var keys: [WebKey]
        var fetched: Timestamp
    }

    /// How long a provider's keys are believed without asking again.
    private static let keysMilliseconds: Int64 = 3_600_000
    /// How soon a provider is asked again for a key that it did not have.
    private static let retryMilliseconds: Int64 = 30_000
    /// Providers whose keys are kept.
    private static let cachedMax = 1000
    /// How far a provider's clock may be ahead of ours.
    private static let skewSeconds: Int64 = 300

    private let fetch: Fetch
    private let cache = Mutex<[String: CachedKeys]>([:])

    package init(fetch: @escaping Fetch) { self.fetch = fetch }

    /// - Throws: `InvalidIdentityToken`, or `ExpiredTokenException`.
    func verify(_ text: String, for account: AccountIdentities, now: Timestamp) async throws(AWSError) -> Verified {
        guard let token = WebToken(text) else {
            throw .invalidIdentityToken(
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
        }
        guard let issuer = token.claims["iss"]?.asString, let place = Self.place(of: issuer),
            let provider = account.provider(arn: "arn:aws:iam::\(account.accountID):oidc-provider/\(place)")
        else {
            let issuer = token.claims["iss"]?.asString ?? ""
            throw .invalidIdentityToken(
                "No OpenIDConnect provider found in your account for \(issuer.prefix(256))")
        }
        guard let subject = token.claims["sub"]?.asString, !subject.isEmpty, subject.utf8.count <= 255,
            let expires = token.seconds("exp"), let issued = token.seconds("iat")
        else {
            throw .invalidIdentityToken("The token must have the claims sub, exp and iat.")
        }
        let audiences = token.claims["aud"]?.asString.map { [$0] } ?? token.claims.strings("aud")
        let party = token.claims["azp"]?.asString
        guard let audience = party ?? audiences.first(where: { provider.clientIDs.contains($0) }),
            provider.clientIDs.contains(audience)
        else { throw .invalidIdentityToken("Incorrect token audience") }

        let key = try await key(for: token, of: provider, now: now)
        guard key.verifies(token) else {
            throw .invalidIdentityToken("The token's signature is not valid under the provider's key.")
        }
        guard now.seconds < expires else {
            throw AWSError(
                "ExpiredTokenException",
                "Token expired: current date/time \(now.seconds) must be before the expiration date/time \(expires)")
        }
        guard issued <= now.seconds + Self.skewSeconds,
            (token.seconds("nbf") ?? 0) <= now.seconds + Self.skewSeconds
        else { throw .invalidIdentityToken("The token is issued in the future.") }

        var keys = [ConditionKey("\(place):sub", subject), ConditionKey("\(place):aud", audience)]
        if party != nil, let first = audiences.first { keys.append(ConditionKey("\(place):oaud", first)) }
        let methods = token.claims.strings("amr")
        if !methods.isEmpty { keys.append(ConditionKey("\(place):amr", set: methods)) }
        return Verified(provider: provider, subject: subject, audience: audience, conditionKeys: keys)
    }

    /// Host and path of an issuer, by which its provider is registered.
    private static func place(of issuer: String) -> String? {
        var place = issuer[...]
        if place.hasPrefix("https://") { place = place.dropFirst(8) }
        if place.hasSuffix("/") { place = place.dropLast() }
        return place.isEmpty || place.contains("://") || place.utf8.count > 255 ? nil : String(place)
    }

    private func key(
        for token: WebToken, of provider: IdentityProvider, now: Timestamp
    ) async throws(AWSError) -> WebKey {
        let known = cache.withLock { $0[provider.place] }
        if let known, now.milliseconds - known.fetched.milliseconds < Self.keysMilliseconds {
            if let key = known.keys.first(where: { $0.fits(token) }) { return key }
            if now.milliseconds - known.fetched.milliseconds < Self.retryMilliseconds { throw Self.noKey(nil) }
        }
        let keys: [WebKey]
        do {
            keys = try await fetchKeys(of: provider)
        } catch let error as AWSError {
            throw error
        } catch {
            throw Self.noKey("\(error)")
        }
        cache.withLock { cache in
            if cache.count >= Self.cachedMax { cache.removeAll(keepingCapacity: true) }
            cache[provider.place] = CachedKeys(keys: keys, fetched: now)
        }
        guard let key = keys.first(where: { $0.fits(token) }) else { throw Self.noKey(nil) }
        return key
    }

    private func fetchKeys(of provider: IdentityProvider) async throws -> [WebKey] {
        let url = "https://\(provider.place)"
        let configuration = try WireValue(json: await fetch("\(url)/.well-known/openid-configuration")).asStructure
        guard let configuration, let issuer = configuration["issuer"]?.asString, let set = configuration["jwks_uri"],
            let keysURL = set.asString, keysURL.hasPrefix("https://")
        else { throw Self.noKey("the provider's configuration names no issuer, or no key set under https") }
        guard Self.place(of: issuer) == provider.place else {
            throw Self.noKey("the provider's configuration names another issuer, \(issuer)")
        }
        let keys = try WireValue(json: await fetch(keysURL)).asStructure?["keys"]?.asList ?? []
        return keys.prefix(100).compactMap { $0.asStructure.flatMap { WebKey($0) } }
    }

    private static func noKey(_ cause: String?) -> AWSError {
        var error = AWSError.invalidIdentityToken(
            "Couldn't retrieve verification key from your identity provider,  please reference "
                + "AssumeRoleWithWebIdentity documentation for requirements")
        error.cause = cause
        return error
    }
}
