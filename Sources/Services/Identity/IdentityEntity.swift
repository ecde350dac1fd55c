// SPDX-License-Identifier: Apache-2.0
//
// An entity's document, `iam/<account>/<user|group|role>/<name in lower case>` in the catalog, JSON:
//   { "Version": 1, "Name", "Path", "Id", "CreateDate": ISO 8601, "Tags": [[key, value]], "Boundary"?: ARN,
//     "Attached": [ARN], "Inline": [[name, document]],
//     users:  "Groups": [name], "AccessKeys": [{"Id","Status","CreateDate","SealedSecret"}],
//             "LoginProfile"?: {"Hash","Salt","Rounds","CreateDate","MustReset","SetDate"?: of the password,
//                               "Previous"?: [{"Hash","Salt","Rounds"}]}, "Devices": [serial number]
//     roles:  "Trust": document, "Description"?: text, "MaxSessionDuration": seconds }

package import AWSWire
package import Policies
internal import Storage

/// A user, a group or a role: what they have in common, and the part that each has for itself.
package struct IdentityEntity: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case user
        case group
        case role

        /// The beginning of their unique ids.
        var idPrefix: String {
            switch self {
            case .user: "AIDA"
            case .group: "AGPA"
            case .role: "AROA"
            }
        }
    }

    package struct Tag: Sendable, Equatable {
        package var key: String
        package var value: String

        package init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }

    /// A long-term access key. Its secret can be opened again, because signatures are checked with it.
    struct AccessKey: Sendable, Equatable {
        var id: String
        var isActive: Bool
        var created: Timestamp
        var sealedSecret: [UInt8]
    }

    /// The password, hashed.
    struct LoginProfile: Sendable, Equatable {
        var password: PasswordHash
        var created: Timestamp
        var mustReset: Bool
        /// When this password was set.
        var set: Timestamp
        /// The passwords before it, the latest first.
        var previous: [PasswordHash] = []

        /// Most passwords that a policy can ask to be remembered, the present one among them.
        static let rememberedMax = 24

        mutating func replace(_ new: PasswordHash, now: Timestamp) {
            previous = Array(([password] + previous).prefix(Self.rememberedMax - 1))
            password = new
            set = now
        }
    }

    package let kind: Kind
    package let accountID: String
    package var name: String
    package var path: String
    /// The unique id: AIDA..., AGPA..., AROA...; never given twice.
    package let id: String
    package let created: Timestamp
    package var tags: [Tag] = []
    /// The ARN of the permissions boundary.
    package var boundary: String?
    /// The ARNs of the attached managed policies, in the order of attachment.
    package var attached: [String] = []
    /// The inline policies in the order of their names.
    package var inline: [(name: String, policy: StoredPolicy)] = []

    /// Names of the groups that a user is in.
    package var groups: [String] = []
    var accessKeys: [AccessKey] = []
    var loginProfile: LoginProfile?
    /// Serial numbers of a user's MFA devices.
    package var devices: [String] = []

    /// A role's trust policy.
    package var trust: StoredPolicy?
    package var description: String?
    /// Seconds, 3,600 to 43,200.
    package var maxSessionDuration: Int64 = 3600

    init(kind: Kind, accountID: String, name: String, path: String, id: String, created: Timestamp) {
        self.kind = kind
        self.accountID = accountID
        self.name = name
        self.path = path
        self.id = id
        self.created = created
    }

    package var arn: String { "arn:aws:iam::\(accountID):\(kind.rawValue)\(path)\(name)" }

    /// The tags as the policies of `aws:PrincipalTag/...` and `iam:ResourceTag/...` see them.
    package func tag(_ key: String) -> String? {
        tags.first { $0.key.lowercased() == key.lowercased() }?.value
    }

    static func key(_ kind: Kind, _ name: String, in account: String) -> CatalogKey {
        CatalogKey("iam", account, kind.rawValue, name.lowercased())
    }

    var documentKey: CatalogKey { Self.key(kind, name, in: accountID) }
}

// MARK: - The document

extension IdentityEntity {
    private static let version: Int64 = 1

    /// - Throws: `InternalFailure` whose cause names the damaged document.
    init(_ document: CatalogDocument) throws(AWSError) {
        let place = document.key.components
        let members = try? WireValue(json: document.value).asStructure
        guard let members, members["Version"] == .integer(Self.version), place.count == 4, place[0] == "iam",
            let kind = Kind(rawValue: place[2]), let name = members["Name"]?.asString,
            let path = members["Path"]?.asString, let id = members["Id"]?.asString,
            let created = members.time("CreateDate")
        else { throw .damagedDocument(document.key) }
        self.init(kind: kind, accountID: place[1], name: name, path: path, id: id, created: created)
        tags = (members["Tags"]?.asList ?? []).compactMap(\.asPair).map { Tag(key: $0.0, value: $0.1) }
        boundary = members["Boundary"]?.asString
        attached = members.strings("Attached")
        inline = (members["Inline"]?.asList ?? []).compactMap(\.asPair).map {
            ($0.0, StoredPolicy(stored: $0.1, as: .identity, name: $0.0))
        }
        groups = members.strings("Groups")
        devices = members.strings("Devices")
        for item in members["AccessKeys"]?.asList ?? [] {
            guard let key = item.asStructure, let id = key["Id"]?.asString, let created = key.time("CreateDate"),
                let sealed = key["SealedSecret"]?.asString.flatMap({ Base64.decode($0) })
            else { throw .damagedDocument(document.key) }
            accessKeys.append(
                AccessKey(
                    id: id, isActive: key["Status"] == "Active", created: created, sealedSecret: sealed))
        }
        if let profile = members["LoginProfile"]?.asStructure {
            guard let password = PasswordHash(profile), let created = profile.time("CreateDate") else {
                throw .damagedDocument(document.key)
            }
            loginProfile = LoginProfile(
                password: password, created: created, mustReset: profile["MustReset"]?.asBool ?? false,
                set: profile.time("SetDate") ?? created,
                previous: (profile["Previous"]?.asList ?? []).compactMap { $0.asStructure.flatMap(PasswordHash.init) })
        }
        description = members["Description"]?.asString
        if case .integer(let seconds) = members["MaxSessionDuration"] { maxSessionDuration = seconds }
        if kind == .role {
            guard let text = members["Trust"]?.asString else { throw .damagedDocument(document.key) }
            trust = StoredPolicy(stored: text, as: .trust, name: arn)
        }
    }

    var document: [UInt8] {
        var members: WireStructure = [
            "Version": .integer(Self.version), "Name": .string(name), "Path": .string(path), "Id": .string(id),
            "CreateDate": .string(created.iso8601Milliseconds),
        ]
        if !tags.isEmpty {
            members.append("Tags", .list(tags.map { .list([.string($0.key), .string($0.value)]) }))
        }
        members.append("Boundary", ifPresent: boundary.map { .string($0) })
        members.append("Attached", .list(attached.map { .string($0) }))
        members.append("Inline", .list(inline.map { .list([.string($0.name), .string($0.policy.text)]) }))
        switch kind {
        case .user:
            members.append("Groups", .list(groups.map { .string($0) }))
            members.append("Devices", .list(devices.map { .string($0) }))
            members.append("AccessKeys", .list(accessKeys.map(\.value)))
            if let loginProfile {
                var profile = loginProfile.password.members
                profile.append("CreateDate", .string(loginProfile.created.iso8601Milliseconds))
                profile.append("MustReset", .bool(loginProfile.mustReset))
                profile.append("SetDate", .string(loginProfile.set.iso8601Milliseconds))
                if !loginProfile.previous.isEmpty {
                    profile.append("Previous", .list(loginProfile.previous.map { .structure($0.members) }))
                }
                members.append("LoginProfile", .structure(profile))
            }
        case .group: break
        case .role:
            members.append("Trust", .string(trust?.text ?? ""))
            members.append("Description", ifPresent: description.map { .string($0) })
            members.append("MaxSessionDuration", .integer(maxSessionDuration))
        }
        return WireValue.structure(members).json
    }
}

extension IdentityEntity.AccessKey {
    fileprivate var value: WireValue {
        .structure([
            "Id": .string(id), "Status": .string(isActive ? "Active" : "Inactive"),
            "CreateDate": .string(created.iso8601Milliseconds), "SealedSecret": .string(Base64.encode(sealedSecret)),
        ])
    }
}

extension WireStructure {
    func time(_ name: String) -> Timestamp? { self[name]?.asString.flatMap { Timestamp(iso8601: $0) } }

    func strings(_ name: String) -> [String] { (self[name]?.asList ?? []).compactMap(\.asString) }
}

extension WireValue {
    var asPair: (String, String)? {
        guard let items = asList, items.count == 2, let first = items[0].asString, let second = items[1].asString
        else { return nil }
        return (first, second)
    }
}
