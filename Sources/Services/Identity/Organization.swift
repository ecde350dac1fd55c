// SPDX-License-Identifier: Apache-2.0
//
// The organization, document `organization` in the catalog, JSON:
//   { "Version": 1, "Id": "o-...", "RootId": "r-...", "Management": account, "Types": [policy type],
//     "Services": [[principal, ISO 8601]], "Delegates": [[account, principal, ISO 8601]],
//     "Accounts": [[id, name, e-mail, joined, method, parent]], a closed account's with "CLOSED" at the end,
//     "Former": rows of the same form, of accounts that have left,
//     "Handshakes": [[id, account, target, state, requested, expires, notes]], "HandshakeTags": [[id, key, value]], "Units": [[id, name, parent]],
//     "Policies": [[id, name, description, type, content]], "Attached": [[target, policy]],
//     "Requests": [[id, account, name, requested]], a failed one's with the reason at the end, "Tags": [[resource, key, value]] }
//
// A data folder has one organization: every account but the first is made by it. Source of the forms of ids and ARNs:
// botocore's model of organizations 2016-11-28.

internal import AWSWire
internal import Policies

/// An organization as a value: accounts in a tree of units, and the policies over them.
struct Organization: Sendable {
    enum PolicyType: String, Sendable, CaseIterable {
        case serviceControl = "SERVICE_CONTROL_POLICY"
        case resourceControl = "RESOURCE_CONTROL_POLICY"

        var kind: PolicyKind { self == .serviceControl ? .serviceControl : .resourceControl }
        var limit: PolicySizeLimit { self == .serviceControl ? .serviceControl : .resourceControl }
        /// The policy that is attached everywhere while the type is enabled.
        var defaultID: String { self == .serviceControl ? "p-FullAWSAccess" : "p-RCPFullAWSAccess" }
    }

    struct Account: Sendable, Equatable {
        var id: String
        var name: String
        var email: String
        var joined: Timestamp
        /// `CREATED` or `INVITED` (the management account's own word).
        var method: String
        var parent: String
        var isClosed = false
    }

    /// An invitation into the organization.
    struct Handshake: Sendable {
        enum State: String, Sendable {
            case open = "OPEN"
            case accepted = "ACCEPTED"
            case declined = "DECLINED"
            case canceled = "CANCELED"
            case expired = "EXPIRED"
        }

        var id: String
        var account: String
        /// The account's id or e-mail address, as the invitation named it.
        var target: String
        var state: State
        var requested: Timestamp
        var expires: Timestamp
        var notes: String
        var tags: [CallerSession.Tag] = []

        var isByEmail: Bool { target.contains("@") }

        func state(at now: Timestamp) -> State { state == .open && now >= expires ? .expired : state }
    }

    struct Unit: Sendable, Equatable {
        var id: String
        var name: String
        var parent: String
    }

    struct Policy: Sendable {
        var id: String
        var name: String
        var description: String
        var type: PolicyType
        var content: String
        /// Nil for a text that cannot be read; whoever it binds is allowed nothing.
        let compiled: PolicyDocument?

        var isDefault: Bool { id == type.defaultID }

        init(id: String, name: String, description: String, type: PolicyType, content: String) {
            self.id = id
            self.name = name
            self.description = description
            self.type = type
            self.content = content
            compiled = try? PolicyDocument.parse(stored: Array(content.utf8), as: type.kind, name: id)
        }

        static let defaults = [
            Policy(
                id: "p-FullAWSAccess", name: "FullAWSAccess", description: "Allows access to every operation",
                type: .serviceControl,
                content: #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#),
            Policy(
                id: "p-RCPFullAWSAccess", name: "RCPFullAWSAccess", description: "Allows access to every operation",
                type: .resourceControl,
                content: #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","#
                    + #""Resource":"*"}]}"#),
        ]
    }

    struct Delegate: Sendable, Equatable {
        var account: String
        var service: String
        var since: Timestamp
    }

    /// A request to create an account, which has succeeded or failed by the time it is kept.
    struct Request: Sendable {
        var id: String
        /// Empty where none was made.
        var account: String
        var name: String
        var requested: Timestamp
        /// One of the model's `CreateAccountFailureReason`; nil where there is an account.
        var failure: String?

        /// The model's `CreateAccountState`.
        var state: String { failure == nil ? "SUCCEEDED" : "FAILED" }
    }

    let id: String
    let rootID: String
    let management: String
    var types: [PolicyType] = []
    var services: [(principal: String, since: Timestamp)] = []
    var delegates: [Delegate] = []
    var accounts: [String: Account] = [:]
    var units: [String: Unit] = [:]
    var policies: [String: Policy] = Dictionary(
        Policy.defaults.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    /// Policy ids by target, in the order of attachment.
    var attached: [String: [String]] = [:]
    var requests: [Request] = []
    /// Accounts that have left, under their old names.
    var former: [Account] = []
    var handshakes: [Handshake] = []
    var tags: [String: [CallerSession.Tag]] = [:]

    init(id: String, rootID: String, management: String) {
        self.id = id
        self.rootID = rootID
        self.management = management
    }

    // MARK: Names

    var arn: String { "arn:aws:organizations::\(management):organization/\(id)" }
    var rootARN: String { "arn:aws:organizations::\(management):root/\(id)/\(rootID)" }
    func arn(account: String) -> String { "arn:aws:organizations::\(management):account/\(id)/\(account)" }
    func arn(unit: String) -> String { "arn:aws:organizations::\(management):ou/\(id)/\(unit)" }

    func arn(of policy: Policy) -> String {
        let type = policy.type.rawValue.lowercased()
        return policy.isDefault
            ? "arn:aws:organizations::aws:policy/\(type)/\(policy.id)"
            : "arn:aws:organizations::\(management):policy/\(id)/\(type)/\(policy.id)"
    }

    // MARK: The tree

    func isParent(_ id: String) -> Bool { id == rootID || units[id] != nil }
    func isTarget(_ id: String) -> Bool { isParent(id) || accounts[id] != nil }
    func parent(of child: String) -> String? { accounts[child]?.parent ?? units[child]?.parent }

    /// From the root down to the account itself.
    func path(to account: String) -> [String] {
        var path = [account]
        var place = account
        // A tree of units is at most five deep; a damaged one must not hold us.
        while let parent = parent(of: place), path.count < 16 {
            path.insert(parent, at: 0)
            place = parent
        }
        return path
    }

    /// The units over an account as `aws:PrincipalOrgPaths` has them: `o-id/r-id/ou-id/`.
    func condition(path account: String) -> String {
        ([id] + path(to: account).dropLast()).map { $0 + "/" }.joined()
    }

    func depth(of parent: String) -> Int { path(to: parent).count - 1 }

    func policies(_ type: PolicyType, on target: String) -> [Policy] {
        (attached[target] ?? []).compactMap { policies[$0] }.filter { $0.type == type }
    }

    /// What binds an account: nil where the type is not enabled, or the account is none of ours.
    func controls(_ type: PolicyType, of account: String) -> ControlPolicies? {
        guard types.contains(type), accounts[account] != nil else { return nil }
        return ControlPolicies(
            account: account, levels: path(to: account).map { policies(type, on: $0).compactMap(\.compiled) },
            isManagementAccount: account == management)
    }

    /// Remembers a request, and the last thousand with it.
    mutating func keep(_ request: Request) { requests = requests.suffix(999) + [request] }

    /// Attaches what is attached everywhere to something new.
    mutating func attachDefaults(to target: String) {
        for type in types { attached[target, default: []].append(type.defaultID) }
    }
}

// MARK: - The document

extension Organization {
    private static let version: Int64 = 1

    /// Nil for a document that is damaged.
    init?(json: [UInt8]) {
        guard let members = try? WireValue(json: json).asStructure, members["Version"] == .integer(Self.version),
            let id = members["Id"]?.asString, let rootID = members["RootId"]?.asString,
            let management = members["Management"]?.asString
        else { return nil }
        self.init(id: id, rootID: rootID, management: management)
        types = members.strings("Types").compactMap { PolicyType(rawValue: $0) }
        for row in members.rows("Services") where row.count == 2 {
            guard let since = Timestamp(iso8601: row[1]) else { return nil }
            services.append((row[0], since))
        }
        for row in members.rows("Delegates") where row.count == 3 {
            guard let since = Timestamp(iso8601: row[2]) else { return nil }
            delegates.append(Delegate(account: row[0], service: row[1], since: since))
        }
        for row in members.rows("Accounts") {
            guard let account = Account(row: row) else { return nil }
            accounts[account.id] = account
        }
        for row in members.rows("Former") {
            guard let account = Account(row: row) else { return nil }
            former.append(account)
        }
        for row in members.rows("Handshakes") {
            guard row.count == 7, let state = Handshake.State(rawValue: row[3]),
                let requested = Timestamp(iso8601: row[4]), let expires = Timestamp(iso8601: row[5])
            else { return nil }
            handshakes.append(
                Handshake(
                    id: row[0], account: row[1], target: row[2], state: state, requested: requested, expires: expires,
                    notes: row[6]))
        }
        for row in members.rows("HandshakeTags") where row.count == 3 {
            guard let index = handshakes.firstIndex(where: { $0.id == row[0] }) else { continue }
            handshakes[index].tags.append(.init(key: row[1], value: row[2]))
        }
        for row in members.rows("Units") {
            guard row.count == 3 else { return nil }
            units[row[0]] = Unit(id: row[0], name: row[1], parent: row[2])
        }
        for row in members.rows("Policies") {
            guard row.count == 5, let type = PolicyType(rawValue: row[3]) else { return nil }
            policies[row[0]] = Policy(
                id: row[0], name: row[1], description: row[2], type: type, content: row[4])
        }
        for row in members.rows("Attached") where row.count == 2 { attached[row[0], default: []].append(row[1]) }
        for row in members.rows("Requests") {
            guard row.count == 4 || row.count == 5, let requested = Timestamp(iso8601: row[3]) else { return nil }
            requests.append(
                Request(
                    id: row[0], account: row[1], name: row[2], requested: requested,
                    failure: row.count == 5 ? row[4] : nil))
        }
        for row in members.rows("Tags") where row.count == 3 {
            tags[row[0], default: []].append(.init(key: row[1], value: row[2]))
        }
    }

    var json: [UInt8] {
        func rows(_ rows: [[String]]) -> WireValue { .list(rows.map { .list($0.map { .string($0) }) }) }
        func time(_ time: Timestamp) -> String { time.iso8601Milliseconds }
        return WireValue.structure([
            "Version": .integer(Self.version), "Id": .string(id), "RootId": .string(rootID),
            "Management": .string(management), "Types": .list(types.map { .string($0.rawValue) }),
            "Services": rows(services.map { [$0.principal, time($0.since)] }),
            "Delegates": rows(delegates.map { [$0.account, $0.service, time($0.since)] }),
            "Accounts": rows(accounts.values.sorted { $0.id < $1.id }.map(\.row)),
            "Former": rows(former.map(\.row)),
            "Handshakes": rows(
                handshakes.map {
                    [
                        $0.id, $0.account, $0.target, $0.state.rawValue, time($0.requested), time($0.expires), $0.notes,
                    ]
                }),
            "HandshakeTags": rows(
                handshakes.flatMap { handshake in handshake.tags.map { [handshake.id, $0.key, $0.value] } }),
            "Units": rows(units.values.sorted { $0.id < $1.id }.map { [$0.id, $0.name, $0.parent] }),
            "Policies": rows(
                policies.values.filter { !$0.isDefault }.sorted { $0.id < $1.id }.map {
                    [$0.id, $0.name, $0.description, $0.type.rawValue, $0.content]
                }),
            "Attached": rows(
                attached.sorted { $0.key < $1.key }.flatMap { target, ids in ids.map { [target, $0] } }),
            "Requests": rows(
                requests.map { [$0.id, $0.account, $0.name, time($0.requested)] + ($0.failure.map { [$0] } ?? []) }),
            "Tags": rows(
                tags.sorted { $0.key < $1.key }.flatMap { id, tags in tags.map { [id, $0.key, $0.value] } }),
        ]).json
    }
}

extension Organization.Account {
    fileprivate init?(row: [String]) {
        guard row.count == 6 || row.count == 7, let joined = Timestamp(iso8601: row[3]) else { return nil }
        self.init(
            id: row[0], name: row[1], email: row[2], joined: joined, method: row[4], parent: row[5],
            isClosed: row.last == "CLOSED" && row.count == 7)
    }

    fileprivate var row: [String] {
        [id, name, email, joined.iso8601Milliseconds, method, parent] + (isClosed ? ["CLOSED"] : [])
    }
}

extension WireStructure {
    fileprivate func rows(_ name: String) -> [[String]] {
        (self[name]?.asList ?? []).map { ($0.asList ?? []).compactMap(\.asString) }
    }
}
