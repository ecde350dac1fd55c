// SPDX-License-Identifier: Apache-2.0
//
// A session token: base 64 of RootSecret.seal(JSON, context: "session"). The JSON says all that is known of the session,
// so that nothing about it is stored; its names are short, since the token travels with every call:
//   { "v": 1, "t": "role"|"user"|"root"|"federated", "k": access key id, "s": secret, "a": account,
//     "i": unique id of the role or user behind it (the account for root), "r": its ARN when the token was made,
//     "n": name of the session, "b": issued, "e": expires (milliseconds since 1970), "m"?: time of the second factor,
//     "p"?: [["text"|"arn", value]] session policies, "g"?: [[key, value]] session tags, "x"?: [transitive tag keys],
//     "c"?: "full"|"passwordOnly" for a session that a password has opened, "o"?: source identity, "w"?: [provider's ARN, [[claim, value]]], "y"?: long-term key that asked for it }

internal import AWSWire
internal import Storage

/// What a session token holds.
struct SessionToken: Sendable, Equatable {
    enum Kind: String, Sendable {
        /// AssumeRole and its like.
        case role
        /// GetSessionToken, asked by a user.
        case user
        /// GetSessionToken, asked by the account's root.
        case root
        /// GetFederationToken.
        case federated
    }

    /// A session policy: the text that was passed, or the ARN of a managed policy, whose text is read anew at each call.
    enum Policy: Sendable, Equatable {
        case text(String)
        case arn(String)
    }

    var kind: Kind
    var accessKeyID: String
    var secret: String
    var accountID: String
    var issuerID: String
    var issuerARN: String
    var name: String
    var issued: Timestamp
    var expires: Timestamp
    var mfaTime: Timestamp?
    var policies: [Policy]?
    var tags: [CallerSession.Tag] = []
    var transitiveTagKeys: [String] = []
    var sourceIdentity: String?
    var webIdentity: CallerSession.WebIdentity?
    /// The session ends with it.
    var issuingKeyID: String?
    var console: CallerSession.Console?

    private static let version: Int64 = 1
    private static let context = "session"
    /// Longer ones are not looked at.
    private static let bytesMax = 32 << 10

    /// - Throws: `RootSecretError` if the cipher refuses.
    func sealed(_ rootSecret: RootSecret) throws(RootSecretError) -> String {
        Base64.encode(try rootSecret.seal(WireValue.structure(members).json, context: Self.context))
    }

    /// Nil for whatever this server did not make under its root secret.
    init?(opening text: String, _ rootSecret: RootSecret) {
        guard text.utf8.count <= Self.bytesMax, let sealed = Base64.decode(text),
            let bytes = try? rootSecret.open(sealed, context: Self.context),
            let members = try? WireValue(json: bytes).asStructure, members["v"] == .integer(Self.version),
            let kind = members["t"]?.asString.flatMap({ Kind(rawValue: $0) }),
            let accessKeyID = members["k"]?.asString, let secret = members["s"]?.asString,
            let accountID = members["a"]?.asString, let issuerID = members["i"]?.asString,
            let issuerARN = members["r"]?.asString, let name = members["n"]?.asString,
            let issued = members.milliseconds("b"), let expires = members.milliseconds("e")
        else { return nil }
        self.kind = kind
        self.accessKeyID = accessKeyID
        self.secret = secret
        self.accountID = accountID
        self.issuerID = issuerID
        self.issuerARN = issuerARN
        self.name = name
        self.issued = issued
        self.expires = expires
        mfaTime = members.milliseconds("m")
        policies = members["p"]?.asList?.compactMap(\.asPair).map { $0.0 == "arn" ? .arn($0.1) : .text($0.1) }
        tags = (members["g"]?.asList ?? []).compactMap(\.asPair).map { .init(key: $0.0, value: $0.1) }
        transitiveTagKeys = members.strings("x")
        sourceIdentity = members["o"]?.asString
        if let web = members["w"]?.asList, web.count == 2, let provider = web[0].asString {
            webIdentity = CallerSession.WebIdentity(
                provider: provider,
                claims: (web[1].asList ?? []).compactMap(\.asPair).map { .init(key: $0.0, value: $0.1) })
        }
        issuingKeyID = members["y"]?.asString
        console = members["c"]?.asString.flatMap { CallerSession.Console(rawValue: $0) }
    }

    private var members: WireStructure {
        var members: WireStructure = [
            "v": .integer(Self.version), "t": .string(kind.rawValue), "k": .string(accessKeyID), "s": .string(secret),
            "a": .string(accountID), "i": .string(issuerID), "r": .string(issuerARN), "n": .string(name),
            "b": .integer(issued.milliseconds), "e": .integer(expires.milliseconds),
        ]
        members.append("m", ifPresent: mfaTime.map { .integer($0.milliseconds) })
        members.append(
            "p",
            ifPresent: policies.map { policies in
                .list(
                    policies.map {
                        switch $0 {
                        case .text(let text): .list(["text", .string(text)])
                        case .arn(let arn): .list(["arn", .string(arn)])
                        }
                    })
            })
        if !tags.isEmpty { members.append("g", Self.pairs(tags)) }
        if !transitiveTagKeys.isEmpty { members.append("x", .list(transitiveTagKeys.map { .string($0) })) }
        members.append("o", ifPresent: sourceIdentity.map { .string($0) })
        members.append(
            "w", ifPresent: webIdentity.map { .list([.string($0.provider), Self.pairs($0.claims)]) })
        members.append("y", ifPresent: issuingKeyID.map { .string($0) })
        members.append("c", ifPresent: console.map { .string($0.rawValue) })
        return members
    }

    private static func pairs(_ tags: [CallerSession.Tag]) -> WireValue {
        .list(tags.map { .list([.string($0.key), .string($0.value)]) })
    }

    init(
        kind: Kind, accessKeyID: String, secret: String, accountID: String, issuerID: String, issuerARN: String,
        name: String, issued: Timestamp, expires: Timestamp
    ) {
        self.kind = kind
        self.accessKeyID = accessKeyID
        self.secret = secret
        self.accountID = accountID
        self.issuerID = issuerID
        self.issuerARN = issuerARN
        self.name = name
        self.issued = issued
        self.expires = expires
    }
}

extension WireStructure {
    fileprivate func milliseconds(_ name: String) -> Timestamp? {
        guard case .integer(let milliseconds) = self[name] else { return nil }
        return Timestamp(milliseconds: milliseconds)
    }
}
