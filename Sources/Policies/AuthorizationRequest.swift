// SPDX-License-Identifier: Apache-2.0
//
// What is asked of the engine: who wants to do what to which resource, with which facts known about the call, and
// which policies are in force. The gate gathers all of it; the engine only decides.

/// One question to the engine: may this principal do this action to this resource, given what is known of the call?
package struct AuthorizationRequest: Sendable {
    /// Who asks.
    package var principal: Principal
    /// The action as policies write it, such as `s3:GetObject`; its case does not matter.
    package var action: String
    /// The ARN of the resource. `*` for actions that have no resource of their own.
    package var resource: String
    /// The account that owns the resource, 12 digits. For actions without a resource: the caller's own account.
    package var resourceAccount: String
    /// The condition keys known about this call.
    package var context: RequestContext

    package init(
        principal: Principal, action: String, resource: String, resourceAccount: String, context: RequestContext
    ) {
        self.principal = principal
        self.action = action
        self.resource = resource
        self.resourceAccount = resourceAccount
        self.context = context
    }
}

/// Who asks: the kinds of principal that policies can name.
package struct Principal: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// The account itself.
        case root
        case user
        /// A session of a role: assumed by a principal of any kind.
        case roleSession
        /// A session made by GetFederationToken.
        case federatedUser
        /// Someone that an identity provider vouches for, before any role is assumed.
        case webIdentity
        /// An AWS service that acts for itself, such as `cloudtrail.amazonaws.com`.
        case service
        /// A call that nobody signed.
        case anonymous
    }

    package let kind: Kind
    /// The account the principal belongs to, 12 digits; empty for services, web identities and anonymous callers.
    package let account: String
    /// The ARN by which AWS speaks of the caller (for a session: the session's, not the role's). For a service its
    /// name, for a web identity the provider's ARN or name, for an anonymous caller `anonymous`.
    package let arn: String
    /// The id of the user (AIDA...; for a federated user: of who asked for the token) or of the session's role (AROA...); the
    /// account for root; empty if unknown.
    package let uniqueID: String
    /// The name of a user, a session or a federated user.
    package let name: String
    /// The entity behind a session: the role's ARN with its path, or the ARN of the user who asked for a federation
    /// token (nil if the account's root did).
    package let entityARN: String?
    /// Whether the role is service-linked, and therefore outside what an organization's policies bind.
    package let isServiceLinked: Bool
    /// The canonical id of the principal's account, which S3 policies can name.
    package var canonicalID: String?

    package static let anonymous = Principal(
        kind: .anonymous, account: "", arn: "anonymous", uniqueID: "", name: "", entityARN: nil,
        isServiceLinked: false, canonicalID: nil)

    /// The root of an account.
    package static func root(account: String, partition: String = "aws") -> Principal {
        Principal(
            kind: .root, account: account, arn: "arn:\(partition):iam::\(account):root", uniqueID: account, name: "",
            entityARN: nil, isServiceLinked: false, canonicalID: nil)
    }

    /// An IAM user, by its ARN (with path) and id.
    package static func user(account: String, arn: String, name: String, uniqueID: String) -> Principal {
        Principal(
            kind: .user, account: account, arn: arn, uniqueID: uniqueID, name: name, entityARN: nil,
            isServiceLinked: false, canonicalID: nil)
    }

    /// A session of a role. `roleARN` is the role's own ARN with its path, `sessionARN` the session's.
    package static func roleSession(
        account: String, roleARN: String, roleID: String, sessionARN: String, sessionName: String,
        isServiceLinked: Bool = false
    ) -> Principal {
        Principal(
            kind: .roleSession, account: account, arn: sessionARN, uniqueID: roleID, name: sessionName,
            entityARN: roleARN, isServiceLinked: isServiceLinked, canonicalID: nil)
    }

    /// A federated user: `userARN` and `userID` are the user's who asked for the token, nil if the account's root did.
    package static func federatedUser(
        account: String, arn: String, name: String, userARN: String?, userID: String? = nil
    ) -> Principal {
        Principal(
            kind: .federatedUser, account: account, arn: arn, uniqueID: userID ?? "", name: name, entityARN: userARN,
            isServiceLinked: false, canonicalID: nil)
    }

    /// Someone whom an identity provider (its ARN, or a name such as `accounts.google.com`) vouches for.
    package static func webIdentity(provider: String, subject: String) -> Principal {
        Principal(
            kind: .webIdentity, account: "", arn: provider, uniqueID: "", name: subject, entityARN: nil,
            isServiceLinked: false, canonicalID: nil)
    }

    /// A service that acts for itself.
    package static func service(_ name: String) -> Principal {
        Principal(
            kind: .service, account: "", arn: name, uniqueID: "", name: name, entityARN: nil, isServiceLinked: false,
            canonicalID: nil)
    }
}

/// The value of a condition key in a request.
package struct ContextValue: Sendable, Equatable, ExpressibleByStringLiteral, ExpressibleByArrayLiteral {
    let values: [[UInt8]]
    /// Whether the key is of the kind that can have several values (`aws:TagKeys`), whatever number it has here.
    let isMultiValued: Bool

    package init(_ value: String) {
        values = [Array(value.utf8)]
        isMultiValued = false
    }

    package init(_ value: Bool) { self.init(value ? "true" : "false") }

    package init(_ value: Int) { self.init(String(value)) }

    /// The value of a key that can have several.
    package init(set: [String]) {
        values = set.map { Array($0.utf8) }
        isMultiValued = true
    }

    /// The value of a binary key: the bytes themselves, not their base64 form.
    package init(bytes: [UInt8]) {
        values = [bytes]
        isMultiValued = false
    }

    package init(stringLiteral value: String) { self.init(value) }

    package init(arrayLiteral elements: String...) { self.init(set: elements) }
}

/// The condition keys known about a call. Names are looked up without regard to case; a key that is not here is
/// missing, which each condition operator treats by its own rule.
package struct RequestContext: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    private(set) var entries: [String: ContextValue] = [:]

    package init() {}

    package init(dictionaryLiteral elements: (String, ContextValue)...) {
        for (key, value) in elements { self[key] = value }
    }

    /// The keys that follow from who the principal is: `aws:PrincipalArn` (of a session: the role's ARN),
    /// `aws:PrincipalAccount`, `aws:PrincipalType`, `aws:userid`, `aws:username` (users alone),
    /// `aws:PrincipalIsAWSService`, `aws:PrincipalServiceName`.
    package init(_ principal: Principal) {
        self["aws:PrincipalIsAWSService"] = ContextValue(principal.kind == .service)
        if !principal.account.isEmpty { self["aws:PrincipalAccount"] = ContextValue(principal.account) }
        switch principal.kind {
        case .root:
            self["aws:PrincipalType"] = "Account"
            self["aws:userid"] = ContextValue(principal.account)
            self["aws:PrincipalArn"] = ContextValue(principal.arn)
        case .user:
            self["aws:PrincipalType"] = "User"
            self["aws:userid"] = ContextValue(principal.uniqueID)
            self["aws:username"] = ContextValue(principal.name)
            self["aws:PrincipalArn"] = ContextValue(principal.arn)
        case .roleSession:
            self["aws:PrincipalType"] = "AssumedRole"
            self["aws:userid"] = ContextValue("\(principal.uniqueID):\(principal.name)")
            self["aws:PrincipalArn"] = ContextValue(principal.entityARN ?? principal.arn)
        case .federatedUser:
            self["aws:PrincipalType"] = "FederatedUser"
            self["aws:userid"] = ContextValue("\(principal.account):\(principal.name)")
            self["aws:PrincipalArn"] = ContextValue(principal.arn)
        case .service:
            self["aws:PrincipalServiceName"] = ContextValue(principal.name)
        case .webIdentity:
            break
        case .anonymous:
            self["aws:PrincipalType"] = "Anonymous"
            self["aws:userid"] = "anonymous"
        }
    }

    package subscript(key: String) -> ContextValue? {
        get { entries[key.lowercased()] }
        set { entries[key.lowercased()] = newValue }
    }

    /// Adds the keys of `other`, which win over those already here.
    package mutating func merge(_ other: RequestContext) {
        entries.merge(other.entries) { _, new in new }
    }

    /// The value under a key that is lower case already.
    func value(lowercased key: String) -> ContextValue? { entries[key] }
}

/// An organization's policies over one account.
package struct ControlPolicies: Sendable {
    /// The account they are inherited by.
    package let account: String
    /// The policies attached at each level, from the organization's root over each unit down to the account itself.
    package let levels: [[PolicyDocument]]
    /// Whether the account is the organization's management account, which its policies do not bind.
    package let isManagementAccount: Bool

    package init(account: String, levels: [[PolicyDocument]], isManagementAccount: Bool = false) {
        self.account = account
        self.levels = levels
        self.isManagementAccount = isManagementAccount
    }
}

/// The policies in force for one request.
package struct PoliciesInForce: Sendable {
    /// The identity policies: a user's own and its groups', or the role's. For a federated user those of the user
    /// who asked for the token.
    package var identity: [PolicyDocument]
    /// The permissions boundary of the user or role, if it has one.
    package var boundary: PolicyDocument?
    /// The session policies that were passed when the session was made; nil if none was.
    package var session: [PolicyDocument]?
    /// The resource's own policy: a bucket's, a key's, a role's trust policy.
    package var resource: PolicyDocument?
    /// The service control policies over the principal's account; nil outside of an organization.
    package var serviceControl: ControlPolicies?
    /// The resource control policies over the resource's account; nil outside of an organization.
    package var resourceControl: ControlPolicies?
    /// The names of policies that should be in force but cannot be read. If there is one, nothing is allowed.
    package var damaged: [String]

    /// Whether any of them asks for a tag of the object that is there (`s3:ExistingObjectTag/KEY`), which nobody looks up
    /// unasked.
    package var askForObjectTags: Bool {
        if identity.contains(where: \.asksForObjectTags) || boundary?.asksForObjectTags == true { return true }
        if resource?.asksForObjectTags == true || session?.contains(where: \.asksForObjectTags) == true { return true }
        return [serviceControl, resourceControl].contains { controls in
            controls?.levels.contains { $0.contains(where: \.asksForObjectTags) } == true
        }
    }

    package init(
        identity: [PolicyDocument] = [], boundary: PolicyDocument? = nil, session: [PolicyDocument]? = nil,
        resource: PolicyDocument? = nil, serviceControl: ControlPolicies? = nil,
        resourceControl: ControlPolicies? = nil, damaged: [String] = []
    ) {
        self.identity = identity
        self.boundary = boundary
        self.session = session
        self.resource = resource
        self.serviceControl = serviceControl
        self.resourceControl = resourceControl
        self.damaged = damaged
    }
}
