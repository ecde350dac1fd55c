// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Crypto
import Identity
import Synchronization
import Testing

struct STSWebIdentityTests {
    private let place = "id.example.com/realm"
    private let key = P256.Signing.PrivateKey()

    private func encoded(_ bytes: some Sequence<UInt8>) -> String {
        Base64.encode(Array(bytes)).replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    private func token(
        by key: P256.Signing.PrivateKey, kid: String = "k1", algorithm: String = "ES256", _ changes: WireStructure = [:]
    ) throws -> String {
        var claims: WireStructure = [
            "iss": .string("https://\(place)"), "aud": "app", "sub": "repo:x",
            "iat": .integer(STSRoom.now.seconds - 10), "exp": .integer(STSRoom.now.seconds + 300),
        ]
        for member in changes.members { claims[member.name] = member.value }
        let header: WireValue = .structure(["alg": .string(algorithm), "kid": .string(kid)])
        let signed = encoded(header.json) + "." + encoded(WireValue.structure(claims).json)
        return signed + "." + encoded(try key.signature(for: Array(signed.utf8)).rawRepresentation)
    }

    private func keySet() -> [UInt8] {
        let point = Array(key.publicKey.x963Representation)
        return WireValue.structure([
            "keys": [
                .structure([
                    "kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "x": .string(encoded(point[1...32])),
                    "y": .string(encoded(point[33...64])),
                ])
            ]
        ]).json
    }

    private func room(_ counter: Counter = Counter()) async throws -> STSRoom {
        let trust = STSRoom.trust(
            #"{"Federated":"arn:aws:iam::123456789012:oidc-provider/\#(place)"}"#,
            actions: #""sts:AssumeRoleWithWebIdentity""#,
            condition: #"{"StringLike":{"\#(place):sub":"repo:*"},"StringEquals":{"\#(place):aud":"app"}}"#)
        let set = keySet()
        let place = place
        return try await STSRoom(
            roles: [(STSRoom.account, "web", trust, [:])], providers: [place: ["app"]],
            fetch: { url in
                counter.add()
                if url == "https://\(place)/.well-known/openid-configuration" {
                    return Array(#"{"issuer":"https://\#(place)","jwks_uri":"https://\#(place)/keys"}"#.utf8)
                }
                return url == "https://\(place)/keys" ? set : []
            })
    }

    private final class Counter: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func add() { count.withLock { $0 += 1 } }
    }

    private func ask(_ token: String) -> WireStructure {
        [
            "RoleArn": "arn:aws:iam::123456789012:role/web", "RoleSessionName": "s1",
            "WebIdentityToken": .string(token),
        ]
    }

    @Test func `a token of a registered provider opens the role that trusts it`() async throws {
        let counter = Counter()
        let room = try await room(counter)
        let answer = try await room.call(
            "AssumeRoleWithWebIdentity", ask(token(by: key)), by: .unknown)
        guard case .members(let members) = answer.body else { return }
        #expect(members["SubjectFromWebIdentityToken"] == "repo:x")
        #expect(members["Audience"] == "app")
        #expect(answer.caller?.kind == .webIdentity(provider: "arn:aws:iam::123456789012:oidc-provider/\(place)"))
        #expect(answer.caller?.accountID == STSRoom.account)
        let session = try #require(try await room.caller(members["Credentials"]).session)
        #expect(session.webIdentity?.claims.contains(.init(key: "\(place):sub", value: "repo:x")) == true)
        // The keys are kept: the second call asks nobody.
        _ = try await room.call("AssumeRoleWithWebIdentity", ask(token(by: key)), by: .unknown)
        #expect(counter.value == 2)
    }

    @Test func `whatever is wrong with a token refuses it`() async throws {
        let room = try await room()
        let good = try token(by: key)
        let cases: [(String, String, String)] = [
            ("no.token.at-all", "InvalidIdentityToken", "not a valid JWT"),
            (
                try token(by: key, ["iss": "https://elsewhere.example.com"]), "InvalidIdentityToken",
                "No OpenIDConnect provider found in your account for https://elsewhere.example.com"
            ),
            (try token(by: key, ["aud": "other"]), "InvalidIdentityToken", "Incorrect token audience"),
            (
                try token(by: key, ["exp": .integer(STSRoom.now.seconds)]), "ExpiredTokenException",
                "Token expired: current date/time"
            ),
            (
                try token(by: key, ["iat": .integer(STSRoom.now.seconds + 900)]), "InvalidIdentityToken",
                "in the future"
            ),
            (try token(by: P256.Signing.PrivateKey()), "InvalidIdentityToken", "signature is not valid"),
            (String(good.dropLast(4)) + "AAAA", "InvalidIdentityToken", "signature is not valid"),
            (try token(by: key, kid: "k2"), "InvalidIdentityToken", "Couldn't retrieve verification key"),
            (try token(by: key, algorithm: "none"), "InvalidIdentityToken", "Couldn't retrieve verification key"),
            (try token(by: key, algorithm: "HS256"), "InvalidIdentityToken", "Couldn't retrieve verification key"),
            (
                try token(by: key, ["sub": "somebody"]), "AccessDenied",
                "Not authorized to perform sts:AssumeRoleWithWebIdentity"
            ),
        ]
        for (token, code, words) in cases {
            let refusal = await room.refusal("AssumeRoleWithWebIdentity", ask(token), by: .unknown)
            #expect(refusal?.code == code)
            #expect(refusal?.message.contains(words) == true, "\(refusal?.message ?? "no refusal")")
        }
        #expect(await room.refusal("AssumeRoleWithWebIdentity", ask(good), by: .unknown) == nil)
    }
}
