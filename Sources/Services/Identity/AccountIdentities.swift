// SPDX-License-Identifier: Apache-2.0
//
// The rest of an account's IAM documents, JSON in the catalog:
//   iam/<account>/settings                  { "Version": 1, "Alias"?, "PasswordPolicy"?: structure as on the wire }
//   iam/<account>/device/<serial number>    { "Version": 1, "Name", "Path", "SealedSeed", "CreateDate", "EnableDate"?,
//                                             "User"?: name, "Root"?: true, "LastStep"?, "Tags" }
//   iam/<account>/provider/<host and path>  { "Version": 1, "ClientIds", "Thumbprints", "CreateDate", "Tags" }

package import AWSWire
internal import Storage

/// Everything IAM knows of one account: a value, so that a reader's view never changes under it.
package struct AccountIdentities: Sendable {
    package let accountID: String
    /// By name in lower case, since names are unique without regard to case.
    private(set) var users: [String: IdentityEntity] = [:]
    private(set) var groups: [String: IdentityEntity] = [:]
    private(set) var roles: [String: IdentityEntity] = [:]
    private(set) var policies: [String: ManagedPolicy] = [:]
    private(set) var devices: [String: MFADevice] = [:]
    private(set) var providers: [String: IdentityProvider] = [:]
    private(set) var settings = AccountSettings()
    /// Documents to write (nil: to delete) when a change is committed.
    private(set) var pending: [CatalogKey: [UInt8]?] = [:]

    init(accountID: String) { self.accountID = accountID }

    // MARK: Reading

    /// The entity of exactly that name.
    package func entity(_ kind: IdentityEntity.Kind, named name: String) -> IdentityEntity? {
        let found = any(kind, named: name)
        return found?.name == name ? found : nil
    }

    /// The entity of that name in any case.
    func any(_ kind: IdentityEntity.Kind, named name: String) -> IdentityEntity? {
        switch kind {
        case .user: users[name.lowercased()]
        case .group: groups[name.lowercased()]
        case .role: roles[name.lowercased()]
        }
    }

    /// All entities of a kind in the order of their names.
    package func all(_ kind: IdentityEntity.Kind) -> [IdentityEntity] {
        let all =
            switch kind {
            case .user: users
            case .group: groups
            case .role: roles
            }
        return all.sorted { $0.key < $1.key }.map(\.value)
    }

    /// A customer's policy of this account, or one of AWS's; nil where nobody has that ARN.
    package func policy(arn: String) -> ManagedPolicy? {
        if let policy = AWSManagedPolicies.byARN[arn] { return policy }
        guard let slash = arn.lastIndex(of: "/"),
            let policy = policies[arn[arn.index(after: slash)...].lowercased()], policy.arn == arn
        else { return nil }
        return policy
    }

    package var customerPolicies: [ManagedPolicy] { policies.sorted { $0.key < $1.key }.map(\.value) }

    package func provider(arn: String) -> IdentityProvider? { providers.values.first { $0.arn == arn } }

    package func device(serial: String) -> MFADevice? { devices[serial] }

    /// The users of a group.
    package func members(of group: String) -> [IdentityEntity] {
        all(.user).filter { $0.groups.contains(group) }
    }

    /// Every user, group and role that a policy is attached to.
    func entities(attachedTo arn: String) -> [IdentityEntity] {
        IdentityEntity.Kind.allCases.flatMap { all($0) }.filter { $0.attached.contains(arn) }
    }

    func entities(boundedBy arn: String) -> [IdentityEntity] {
        (all(.user) + all(.role)).filter { $0.boundary == arn }
    }

    // MARK: Changing

    /// Adds or replaces; a renamed entity must be removed under its old name first.
    mutating func put(_ entity: IdentityEntity) {
        let name = entity.name.lowercased()
        switch entity.kind {
        case .user: users[name] = entity
        case .group: groups[name] = entity
        case .role: roles[name] = entity
        }
        pending[entity.documentKey] = .some(entity.document)
    }

    mutating func remove(_ entity: IdentityEntity) {
        let name = entity.name.lowercased()
        switch entity.kind {
        case .user: users[name] = nil
        case .group: groups[name] = nil
        case .role: roles[name] = nil
        }
        pending[entity.documentKey] = .some(nil)
    }

    mutating func put(_ policy: ManagedPolicy) {
        policies[policy.name.lowercased()] = policy
        pending[policy.documentKey] = .some(policy.document)
    }

    mutating func remove(_ policy: ManagedPolicy) {
        policies[policy.name.lowercased()] = nil
        pending[policy.documentKey] = .some(nil)
    }

    mutating func put(_ device: MFADevice) {
        devices[device.serial] = device
        pending[device.documentKey] = .some(device.document)
    }

    mutating func remove(_ device: MFADevice) {
        devices[device.serial] = nil
        pending[device.documentKey] = .some(nil)
    }

    mutating func put(_ provider: IdentityProvider) {
        providers[provider.place] = provider
        pending[provider.documentKey] = .some(provider.document)
    }

    mutating func remove(_ provider: IdentityProvider) {
        providers[provider.place] = nil
        pending[provider.documentKey] = .some(nil)
    }

    mutating func put(_ settings: AccountSettings) {
        self.settings = settings
        pending[AccountSettings.key(accountID)] = .some(settings.document)
    }

    mutating func takePending() -> [CatalogKey: [UInt8]?] {
        defer { pending = [:] }
        return pending
    }
}

extension AccountIdentities {
    /// Takes up a document that was read from the catalog.
    mutating func load(_ document: CatalogDocument) throws(AWSError) {
        let place = document.key.components
        guard place.count >= 3 else { throw .damagedDocument(document.key) }
        switch place[2] {
        case "user", "group", "role": put(try IdentityEntity(document))
        case "policy": put(try ManagedPolicy(document))
        case "device": put(try MFADevice(document))
        case "provider": put(try IdentityProvider(document))
        case "settings": put(try AccountSettings(document))
        default: throw .damagedDocument(document.key)
        }
    }
}

/// What belongs to an account as a whole.
package struct AccountSettings: Sendable {
    package var alias: String?
    /// The account's password policy in its wire shape; nil for the default.
    var passwordPolicy: WireStructure?

    init() {}

    static func key(_ account: String) -> CatalogKey { CatalogKey("iam", account, "settings") }

    init(_ document: CatalogDocument) throws(AWSError) {
        guard let members = try? WireValue(json: document.value).asStructure, members["Version"] == .integer(1) else {
            throw .damagedDocument(document.key)
        }
        alias = members["Alias"]?.asString
        passwordPolicy = members["PasswordPolicy"]?.asStructure
    }

    var document: [UInt8] {
        var members: WireStructure = ["Version": 1]
        members.append("Alias", ifPresent: alias.map { .string($0) })
        members.append("PasswordPolicy", ifPresent: passwordPolicy.map { .structure($0) })
        return WireValue.structure(members).json
    }
}

/// A virtual MFA device (TOTP, RFC 6238).
package struct MFADevice: Sendable {
    package let accountID: String
    let name: String
    let path: String
    let created: Timestamp
    /// The seed under the root secret; its context is `device/<serial number>`.
    let sealedSeed: [UInt8]
    package var enabled: Timestamp?
    /// The name of the user it is assigned to.
    package var userName: String?
    /// Whether the account's root uses it.
    var isRoot = false
    /// The last time step whose code was taken: a code works once.
    var lastStep: Int64?
    var tags: [IdentityEntity.Tag] = []

    package var serial: String { "arn:aws:iam::\(accountID):mfa\(path)\(name)" }

    var documentKey: CatalogKey { CatalogKey("iam", accountID, "device", serial) }

    init(accountID: String, name: String, path: String, created: Timestamp, sealedSeed: [UInt8]) {
        self.accountID = accountID
        self.name = name
        self.path = path
        self.created = created
        self.sealedSeed = sealedSeed
    }

    init(_ document: CatalogDocument) throws(AWSError) {
        let place = document.key.components
        guard let members = try? WireValue(json: document.value).asStructure, members["Version"] == .integer(1),
            place.count == 4, let name = members["Name"]?.asString, let path = members["Path"]?.asString,
            let created = members.time("CreateDate"),
            let seed = members["SealedSeed"]?.asString.flatMap({ Base64.decode($0) })
        else { throw .damagedDocument(document.key) }
        self.init(accountID: place[1], name: name, path: path, created: created, sealedSeed: seed)
        enabled = members.time("EnableDate")
        userName = members["User"]?.asString
        isRoot = members["Root"]?.asBool ?? false
        if case .integer(let step) = members["LastStep"] { lastStep = step }
        tags = (members["Tags"]?.asList ?? []).compactMap(\.asPair).map { .init(key: $0.0, value: $0.1) }
    }

    var document: [UInt8] {
        var members: WireStructure = [
            "Version": 1, "Name": .string(name), "Path": .string(path),
            "CreateDate": .string(created.iso8601Milliseconds), "SealedSeed": .string(Base64.encode(sealedSeed)),
        ]
        members.append("EnableDate", ifPresent: enabled.map { .string($0.iso8601Milliseconds) })
        members.append("User", ifPresent: userName.map { .string($0) })
        if isRoot { members.append("Root", true) }
        members.append("LastStep", ifPresent: lastStep.map { .integer($0) })
        members.append("Tags", .list(tags.map { .list([.string($0.key), .string($0.value)]) }))
        return WireValue.structure(members).json
    }
}

/// An OpenID Connect provider whose tokens roles may trust.
package struct IdentityProvider: Sendable {
    package let accountID: String
    /// The URL without `https://`: host and path.
    package let place: String
    package let created: Timestamp
    package var clientIDs: [String]
    package var thumbprints: [String]
    var tags: [IdentityEntity.Tag] = []

    package var arn: String { "arn:aws:iam::\(accountID):oidc-provider/\(place)" }

    var documentKey: CatalogKey { CatalogKey("iam", accountID, "provider", place) }

    init(accountID: String, place: String, created: Timestamp, clientIDs: [String], thumbprints: [String]) {
        self.accountID = accountID
        self.place = place
        self.created = created
        self.clientIDs = clientIDs
        self.thumbprints = thumbprints
    }

    init(_ document: CatalogDocument) throws(AWSError) {
        let key = document.key.components
        guard let members = try? WireValue(json: document.value).asStructure, members["Version"] == .integer(1),
            key.count == 4, let created = members.time("CreateDate")
        else { throw .damagedDocument(document.key) }
        self.init(
            accountID: key[1], place: key[3], created: created, clientIDs: members.strings("ClientIds"),
            thumbprints: members.strings("Thumbprints"))
        tags = (members["Tags"]?.asList ?? []).compactMap(\.asPair).map { .init(key: $0.0, value: $0.1) }
    }

    var document: [UInt8] {
        WireValue.structure([
            "Version": 1, "CreateDate": .string(created.iso8601Milliseconds),
            "ClientIds": .list(clientIDs.map { .string($0) }), "Thumbprints": .list(thumbprints.map { .string($0) }),
            "Tags": .list(tags.map { .list([.string($0.key), .string($0.value)]) }),
        ]).json
    }
}
