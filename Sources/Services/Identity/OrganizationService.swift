// SPDX-License-Identifier: Apache-2.0

package import AWSWire

/// Organizations: accounts, units, and the policies over them.
package struct OrganizationService: Sendable {
    /// Organizations User Guide, "Quotas for AWS Organizations".
    enum Limits {
        static let depth = 5
        static let attachedPerTarget = 5
        static let units = 2000
        static let policies = 1000
        static let accounts = 5000
        static let page: Int64 = 20
    }

    package static let operations: [Operation<OrganizationService>] =
        accountOperations + delegateOperations + handshakeOperations + policyOperations

    let store: OrganizationStore
    let identities: IdentityStore
    let randomBytes: @Sendable (Int) -> [UInt8]

    /// - Parameter randomBytes: a source fit for ids.
    package init(
        store: OrganizationStore, identities: IdentityStore, randomBytes: @escaping @Sendable (Int) -> [UInt8]
    ) {
        self.store = store
        self.identities = identities
        self.randomBytes = randomBytes
    }

    package var service: Service {
        Service(
            "organizations", .json(version: "1.1"), targetPrefixes: ["AWSOrganizationsV20161128"], isGlobal: true,
            owner: self, operations: Self.operations)
    }

    func freshID(_ prefix: String, _ count: Int) -> String {
        prefix + FreshID.text("abcdefghijklmnopqrstuvwxyz0123456789", count, randomBytes)
    }

    // MARK: Who may ask

    /// The organization of the caller's account.
    ///
    /// - Throws: `AWSOrganizationsNotInUseException`.
    func own(_ call: Call) throws(AWSError) -> Organization {
        guard let organization = store.organization, organization.accounts[call.accountID] != nil else {
            throw .noOrganization
        }
        return organization
    }

    /// For what only the management account and, where it reads, delegated administrators may ask.
    func governed(_ call: Call, mayDelegate: Bool = true) throws(AWSError) -> Organization {
        let organization = try own(call)
        let isDelegate = mayDelegate && organization.delegates.contains { $0.account == call.accountID }
        guard organization.management == call.accountID || isDelegate else { throw .notManagement }
        return organization
    }

    /// Changes the organization, for its management account.
    func change<Result: Sendable>(
        _ call: Call, _ body: @escaping @Sendable (inout Organization) throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        _ = try governed(call, mayDelegate: false)
        return try await store.change { organization throws(AWSError) in
            guard var copy = organization else { throw .noOrganization }
            let result = try body(&copy)
            organization = copy
            return result
        }
    }

    /// One page of rows, in the order of their ids.
    func page<Row>(
        _ rows: [Row], _ fields: WireFields, named name: String, by id: (Row) -> String, _ shape: (Row) -> WireValue
    ) throws(AWSError) -> OrganizationAnswer {
        let limit = try fields.integer("MaxResults") ?? Limits.page
        guard (1...Limits.page).contains(limit) else {
            throw .organizationInput("MaxResults must be from 1 to \(Limits.page).")
        }
        var rest = rows.sorted { id($0) < id($1) }
        if let token = try fields.string("NextToken") {
            guard let bytes = Base64.decode(token), let last = String(validating: bytes, as: UTF8.self) else {
                throw .organizationInput("The value of NextToken is not one that this service gave.")
            }
            rest = rest.filter { id($0) > last }
        }
        let shown = rest.prefix(Int(limit))
        var members: WireStructure = [name: .list(shown.map(shape))]
        if rest.count > shown.count, let last = shown.last {
            members.append("NextToken", .string(Base64.encode(Array(id(last).utf8))))
        }
        return OrganizationAnswer(members)
    }

    static func tags(_ fields: WireFields) throws(AWSError) -> [CallerSession.Tag] {
        var tags: [CallerSession.Tag] = []
        for tag in try fields.structures("Tags", known: ["Key", "Value"]) ?? [] {
            let key = try tag.requiredString("Key")
            let value = try tag.requiredString("Value")
            guard (1...128).contains(key.unicodeScalars.count), value.unicodeScalars.count <= 256,
                !key.lowercased().hasPrefix("aws:")
            else { throw .organizationInput("You provided a tag that is not valid: \(key.prefix(128))") }
            guard !tags.contains(where: { $0.key == key }) else {
                throw .organizationInput("You provided a tag key twice: \(key)")
            }
            tags.append(.init(key: key, value: value))
        }
        guard tags.count <= 50 else { throw .organizationLimit("A resource can have at most 50 tags.") }
        return tags
    }

    static func value(_ tags: [CallerSession.Tag]) -> WireValue {
        .list(tags.map { .structure(["Key": .string($0.key), "Value": .string($0.value)]) })
    }
}

/// A request whose members each operation reads for itself.
struct OrganizationRequest: OperationInput {
    let parameters: WireStructure

    init(_ request: OperationRequest) throws(AWSError) { parameters = request.parameters }

    func fields(_ known: String...) throws(AWSError) -> WireFields {
        do {
            return try WireFields(parameters, known: known)
        } catch {
            throw .organizationInput(error.message)
        }
    }
}

struct OrganizationAnswer: OperationOutput {
    var members: WireStructure
    /// What the event shows, where it is not the same.
    var recorded: WireStructure?

    init(_ members: WireStructure = [:], recorded: WireStructure? = nil) {
        self.members = members
        self.recorded = recorded
    }

    func answer() -> OperationAnswer {
        OperationAnswer(body: members.isEmpty ? .none : .members(members), recorded: recorded)
    }
}
