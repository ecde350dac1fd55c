// SPDX-License-Identifier: Apache-2.0

/// Who makes a call, as far as it has been proven.
package struct Caller: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// The account's root, by a long-term access key.
        case root
        /// An IAM user, by a long-term access key or (with `session`) by GetSessionToken.
        case user
        /// A session of a role; `session` says which.
        case assumedRole
        /// A session of GetFederationToken; `session` says whose.
        case federatedUser
        /// Someone whom an identity provider vouches for, by its ARN, while he assumes a role.
        case webIdentity(provider: String)
        /// One of our services acting for itself, by its principal name (`cloudtrail.amazonaws.com`).
        case service(String)
        /// Nobody that we know: no signature, or a key that no account has.
        case unknown
    }

    package var kind: Kind
    /// Twelve digits; nil for the unknown.
    package var accountID: String?
    package var principalID: String?
    package var arn: String?
    package var accessKeyID: String?
    package var userName: String?
    /// What temporary credentials bring along; nil for long-term keys.
    package var session: CallerSession?

    package init(
        kind: Kind, accountID: String? = nil, principalID: String? = nil, arn: String? = nil,
        accessKeyID: String? = nil, userName: String? = nil, session: CallerSession? = nil
    ) {
        self.session = session
        self.kind = kind
        self.accountID = accountID
        self.principalID = principalID
        self.arn = arn
        self.accessKeyID = accessKeyID
        self.userName = userName
    }

    package static func root(of account: String, accessKeyID: String?) -> Caller {
        Caller(
            kind: .root, accountID: account, principalID: account, arn: "arn:aws:iam::\(account):root",
            accessKeyID: accessKeyID)
    }

    /// An IAM user by its ARN (with path) and unique id.
    package static func user(
        _ name: String, arn: String, id: String, account: String, accessKeyID: String?
    ) -> Caller {
        Caller(
            kind: .user, accountID: account, principalID: id, arn: arn, accessKeyID: accessKeyID, userName: name)
    }

    package static func service(_ principal: String) -> Caller { Caller(kind: .service(principal)) }

    package static let unknown = Caller(kind: .unknown)
}

/// What the token of temporary credentials says, once it is proven.
package struct CallerSession: Sendable, Equatable {
    /// The role's unique id (AROA...) or the user's (AIDA...) that the session stands for; the account for root.
    package var issuerID: String
    /// The ARN with path of that role or user, or the account's root.
    package var issuerARN: String
    /// The name of that role or user; nil for root.
    package var issuerName: String?
    /// The name of the session, or of the federated user; empty for GetSessionToken.
    package var name: String
    package var issued: Timestamp
    package var expires: Timestamp
    /// When a second factor was proven; nil for never.
    package var mfaTime: Timestamp?
    /// The session policies as they were passed or as they were in force then; nil for none, which is not the same as
    /// an empty list.
    package var policies: [String]?
    /// Session tags, in order.
    package var tags: [Tag]
    package var transitiveTagKeys: [String]
    package var sourceIdentity: String?
    /// The identity provider that vouched, and the condition keys that it gave (`HOST:sub`, `HOST:aud`).
    package var webIdentity: WebIdentity?
    /// What a session may do that a password has opened; nil for every other session.
    package var console: Console?

    package enum Console: String, Sendable {
        case full
        /// The password must be changed first: nothing else is allowed.
        case passwordOnly
    }

    package struct Tag: Sendable, Equatable {
        package var key: String
        package var value: String

        package init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }

    package struct WebIdentity: Sendable, Equatable {
        /// The provider's ARN.
        package var provider: String
        /// Condition keys and their values.
        package var claims: [Tag]

        package init(provider: String, claims: [Tag]) {
            self.provider = provider
            self.claims = claims
        }
    }

    package init(
        issuerID: String, issuerARN: String, issuerName: String?, name: String, issued: Timestamp, expires: Timestamp,
        mfaTime: Timestamp? = nil, policies: [String]? = nil, tags: [Tag] = [], transitiveTagKeys: [String] = [],
        sourceIdentity: String? = nil, webIdentity: WebIdentity? = nil
    ) {
        self.issuerID = issuerID
        self.issuerARN = issuerARN
        self.issuerName = issuerName
        self.name = name
        self.issued = issued
        self.expires = expires
        self.mfaTime = mfaTime
        self.policies = policies
        self.tags = tags
        self.transitiveTagKeys = transitiveTagKeys
        self.sourceIdentity = sourceIdentity
        self.webIdentity = webIdentity
    }
}

/// One authenticated invocation of an operation.
package struct Call: Sendable {
    package var caller: Caller
    /// The account that is billed and recorded: the caller's, or the first account for callers nobody knows.
    package var accountID: String
    package var region: String
    package var time: Timestamp
    /// As answered to the client and written in the event.
    package var requestID: String
    package var eventID: String
    package var sourceAddress: String
    package var userAgent: String?
    package var isSecureTransport: Bool
    /// Asks whether the caller may do one thing more, which an operation finds out while it is performed (each key of
    /// DeleteObjects): the refusal, or nil. The resource names the action.
    package var further: @Sendable (ResourceReference) async throws(AWSError) -> AWSError?

    /// - Parameter further: the gate sets it; a call without a gate is its maker's own.
    package init(
        caller: Caller, accountID: String, region: String, time: Timestamp, requestID: String, eventID: String,
        sourceAddress: String, userAgent: String?, isSecureTransport: Bool,
        further: @escaping @Sendable (ResourceReference) async throws(AWSError) -> AWSError? = { _ in nil }
    ) {
        self.further = further
        self.caller = caller
        self.accountID = accountID
        self.region = region
        self.time = time
        self.requestID = requestID
        self.eventID = eventID
        self.sourceAddress = sourceAddress
        self.userAgent = userAgent
        self.isSecureTransport = isSecureTransport
    }
}
