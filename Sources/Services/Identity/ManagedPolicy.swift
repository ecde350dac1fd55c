// SPDX-License-Identifier: Apache-2.0
//
// A customer's managed policy, `iam/<account>/policy/<name in lower case>` in the catalog, JSON:
//   { "Version": 1, "Name", "Path", "Id", "CreateDate", "UpdateDate", "Description"?, "Tags": [[key, value]],
//     "Default": "v1", "Latest": number of the newest version, "Versions": [{"Id","CreateDate","Document"}] }

package import AWSWire
package import Policies
internal import Storage

/// A managed policy with its versions: a customer's, or one of those that every account finds under `aws`.
package struct ManagedPolicy: Sendable {
    struct Version: Sendable {
        /// `v1`, `v2`, ...; never given twice.
        var id: String
        var created: Timestamp
        var policy: StoredPolicy
    }

    /// The account, or `aws`.
    package let owner: String
    package let name: String
    package let path: String
    /// ANPA...
    package let id: String
    package let created: Timestamp
    package var updated: Timestamp
    package var description: String?
    package var tags: [IdentityEntity.Tag] = []
    var defaultVersion: String
    /// The number of the newest version that ever was.
    var latest: Int
    /// At most five, oldest first.
    var versions: [Version]

    package var arn: String { "arn:aws:iam::\(owner):policy\(path)\(name)" }

    /// The document of the default version, which is what applies.
    package var inForce: StoredPolicy? { versions.first { $0.id == defaultVersion }?.policy }

    static func key(_ name: String, in account: String) -> CatalogKey {
        CatalogKey("iam", account, "policy", name.lowercased())
    }

    var documentKey: CatalogKey { Self.key(name, in: owner) }

    init(
        owner: String, name: String, path: String, id: String, created: Timestamp, description: String?,
        firstVersion: String = "v1", text: String
    ) {
        self.owner = owner
        self.name = name
        self.path = path
        self.id = id
        self.created = created
        updated = created
        self.description = description
        defaultVersion = firstVersion
        latest = Int(firstVersion.dropFirst()) ?? 1
        let policy = StoredPolicy(stored: text, as: .identity, name: "arn:aws:iam::\(owner):policy\(path)\(name)")
        versions = [Version(id: firstVersion, created: created, policy: policy)]
    }
}

extension ManagedPolicy {
    private static let version: Int64 = 1

    /// - Throws: `InternalFailure` whose cause names the damaged document.
    init(_ document: CatalogDocument) throws(AWSError) {
        let place = document.key.components
        let members = try? WireValue(json: document.value).asStructure
        guard let members, members["Version"] == .integer(Self.version), place.count == 4, place[2] == "policy",
            let name = members["Name"]?.asString, let path = members["Path"]?.asString,
            let id = members["Id"]?.asString, let created = members.time("CreateDate"),
            let updated = members.time("UpdateDate"), let defaultVersion = members["Default"]?.asString,
            case .integer(let latest) = members["Latest"]
        else { throw .damagedDocument(document.key) }
        owner = place[1]
        self.name = name
        self.path = path
        self.id = id
        self.created = created
        self.updated = updated
        self.defaultVersion = defaultVersion
        self.latest = Int(latest)
        description = members["Description"]?.asString
        tags = (members["Tags"]?.asList ?? []).compactMap(\.asPair).map { .init(key: $0.0, value: $0.1) }
        versions = []
        let arn = "arn:aws:iam::\(owner):policy\(path)\(name)"
        for item in members["Versions"]?.asList ?? [] {
            guard let version = item.asStructure, let id = version["Id"]?.asString,
                let created = version.time("CreateDate"), let text = version["Document"]?.asString
            else { throw .damagedDocument(document.key) }
            versions.append(
                Version(id: id, created: created, policy: StoredPolicy(stored: text, as: .identity, name: arn)))
        }
    }

    var document: [UInt8] {
        var members: WireStructure = [
            "Version": .integer(Self.version), "Name": .string(name), "Path": .string(path), "Id": .string(id),
            "CreateDate": .string(created.iso8601Milliseconds), "UpdateDate": .string(updated.iso8601Milliseconds),
        ]
        members.append("Description", ifPresent: description.map { .string($0) })
        members.append("Tags", .list(tags.map { .list([.string($0.key), .string($0.value)]) }))
        members.append("Default", .string(defaultVersion))
        members.append("Latest", .integer(Int64(latest)))
        members.append(
            "Versions",
            .list(
                versions.map {
                    .structure([
                        "Id": .string($0.id), "CreateDate": .string($0.created.iso8601Milliseconds),
                        "Document": .string($0.policy.text),
                    ])
                }))
        return WireValue.structure(members).json
    }
}
