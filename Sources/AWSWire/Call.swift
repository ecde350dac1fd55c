// SPDX-License-Identifier: Apache-2.0

/// Who makes a call, as far as it has been proven.
package struct Caller: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// The account's root, by a long-term access key.
        case root
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

    package init(
        kind: Kind, accountID: String? = nil, principalID: String? = nil, arn: String? = nil,
        accessKeyID: String? = nil, userName: String? = nil
    ) {
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

    package static func service(_ principal: String) -> Caller { Caller(kind: .service(principal)) }

    package static let unknown = Caller(kind: .unknown)
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

    package init(
        caller: Caller, accountID: String, region: String, time: Timestamp, requestID: String, eventID: String,
        sourceAddress: String, userAgent: String?, isSecureTransport: Bool
    ) {
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
