// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import Policies
package import Storage

/// IAM: users, groups, roles, policies, and what belongs to them.
package struct IAMService: Sendable {
    /// IAM's default quotas (IAM User Guide, "IAM and AWS STS quotas").
    enum Limits {
        static let users = 5000
        static let groups = 300
        static let roles = 1000
        static let policies = 1500
        static let groupsPerUser = 10
        static let policiesPerEntity = 10
        static let keysPerUser = 2
        static let versionsPerPolicy = 5
        static let devicesPerUser = 8
        static let providers = 100
        static let clientIDs = 100
        static let thumbprints = 5
    }

    package static let operations: [Operation<IAMService>] =
        userOperations + groupOperations + roleOperations + policyOperations + attachmentOperations + keyOperations
        + loginOperations + accountOperations + deviceOperations + deviceTagOperations + providerOperations
        + simulationOperations

    let store: IdentityStore
    let rootSecret: RootSecret
    let rootKeys: RootKeys
    let randomBytes: @Sendable (Int) -> [UInt8]
    let controls: Authorizer.ControlPolicySource
    /// Rounds of PBKDF2 for new passwords.
    let passwordRounds: Int

    /// - Parameters:
    ///   - randomBytes: a source fit for keys.
    ///   - controls: gives an organization's policies over an account, for simulations.
    package init(
        store: IdentityStore, rootSecret: RootSecret, rootKeys: RootKeys,
        randomBytes: @escaping @Sendable (Int) -> [UInt8],
        controls: @escaping Authorizer.ControlPolicySource = { _ in AccountControls() },
        passwordRounds: Int = PasswordHash.roundsDefault
    ) {
        self.controls = controls
        self.store = store
        self.rootSecret = rootSecret
        self.rootKeys = rootKeys
        self.randomBytes = randomBytes
        self.passwordRounds = passwordRounds
    }

    package var service: Service {
        Service(
            "iam", .query(version: "2010-05-08", namespace: "https://iam.amazonaws.com/doc/2010-05-08/"),
            isGlobal: true, owner: self, operations: Self.operations)
    }

    /// Declares an operation: what it is authorized on follows from its target.
    static func operation(
        _ name: String, _ access: OperationTraits.Access, on target: Target, redacted: [String] = [],
        _ perform:
            @escaping @Sendable (IAMService) -> @Sendable (IAMRequest, Call) async throws(AWSError) -> IAMAnswer
    ) -> Operation<IAMService> {
        Operation(
            name, access, OperationTraits(redacted: redacted),
            on: { service, request, call in target.resources(service, request.parameters, call) },
            conditions: { service, request, call in target.conditions(service, request.parameters, call) },
            perform: perform)
    }
}

extension IAMService {
    /// What an operation touches, read from its parameters.
    enum Target: Sendable {
        /// Nothing that has an ARN: `*`.
        case nothing
        case entity(IdentityEntity.Kind)
        case newEntity(IdentityEntity.Kind)
        /// The user that is named, or else the caller.
        case userOrSelf
        case policy
        case newPolicy
        case device
        case newDevice
        case provider
        case newProvider

        private static func member(_ kind: IdentityEntity.Kind) -> String {
            switch kind {
            case .user: "UserName"
            case .group: "GroupName"
            case .role: "RoleName"
            }
        }

        private static func type(_ kind: IdentityEntity.Kind) -> String {
            switch kind {
            case .user: "AWS::IAM::User"
            case .group: "AWS::IAM::Group"
            case .role: "AWS::IAM::Role"
            }
        }

        fileprivate func resources(
            _ service: IAMService, _ parameters: WireStructure, _ call: Call
        ) -> [ResourceReference] {
            let account = call.accountID
            func text(_ name: String) -> String { parameters[name]?.asString ?? "" }
            func own(_ type: String, _ rest: String) -> [ResourceReference] {
                [ResourceReference(type: type, arn: "arn:aws:iam::\(account):\(rest)", accountID: account)]
            }
            let path = parameters["Path"]?.asString ?? "/"
            switch self {
            case .nothing: return []
            case .entity(let kind):
                let name = text(Self.member(kind))
                let arn =
                    service.store.account(account).entity(kind, named: name)?.arn
                    ?? "arn:aws:iam::\(account):\(kind.rawValue)/\(name)"
                return [ResourceReference(type: Self.type(kind), arn: arn, accountID: account)]
            case .newEntity(let kind):
                return own(Self.type(kind), "\(kind.rawValue)\(path)\(text(Self.member(kind)))")
            case .userOrSelf:
                if parameters["UserName"] == nil {
                    guard let arn = call.caller.arn else { return [] }
                    return [ResourceReference(type: "AWS::IAM::User", arn: arn, accountID: account)]
                }
                return Target.entity(.user).resources(service, parameters, call)
            case .policy:
                let arn = text("PolicyArn")
                // AWS's own policies belong to nobody who could say no.
                return [ResourceReference(type: "AWS::IAM::ManagedPolicy", arn: arn, accountID: account)]
            case .newPolicy: return own("AWS::IAM::ManagedPolicy", "policy\(path)\(text("PolicyName"))")
            case .device:
                return [
                    ResourceReference(
                        type: "AWS::IAM::VirtualMFADevice", arn: text("SerialNumber"), accountID: account)
                ]
            case .newDevice:
                return own("AWS::IAM::VirtualMFADevice", "mfa\(path)\(text("VirtualMFADeviceName"))")
            case .provider:
                return [
                    ResourceReference(
                        type: "AWS::IAM::OIDCProvider", arn: text("OpenIDConnectProviderArn"), accountID: account)
                ]
            case .newProvider:
                let url = text("Url")
                let place = url.hasPrefix("https://") ? url.dropFirst(8) : url[...]
                return own("AWS::IAM::OIDCProvider", "oidc-provider/\(place)")
            }
        }

        /// IAM's condition keys (Service Authorization Reference, "AWS Identity and Access Management").
        fileprivate func conditions(
            _ service: IAMService, _ parameters: WireStructure, _ call: Call
        ) -> [ConditionKey] {
            var keys: [ConditionKey] = []
            if let arn = parameters["PolicyArn"]?.asString { keys.append(ConditionKey("iam:PolicyARN", arn)) }
            var tagKeys = parameters["TagKeys"]?.asList?.compactMap(\.asString) ?? []
            for tag in parameters["Tags"]?.asList?.compactMap(\.asStructure) ?? [] {
                guard let key = tag["Key"]?.asString else { continue }
                tagKeys.append(key)
                keys.append(ConditionKey("aws:RequestTag/\(key)", tag["Value"]?.asString ?? ""))
            }
            if !tagKeys.isEmpty { keys.append(ConditionKey("aws:TagKeys", set: tagKeys)) }
            let account = service.store.account(call.accountID)
            var tags: [IdentityEntity.Tag] = []
            var boundary = parameters["PermissionsBoundary"]?.asString
            func look(_ kind: IdentityEntity.Kind, _ name: String?) {
                guard let entity = name.flatMap({ account.entity(kind, named: $0) }) else { return }
                tags = entity.tags
                boundary = boundary ?? entity.boundary
            }
            switch self {
            case .entity(let kind): look(kind, parameters[Self.member(kind)]?.asString)
            case .userOrSelf: look(.user, parameters["UserName"]?.asString ?? call.caller.userName)
            case .policy: tags = parameters["PolicyArn"]?.asString.flatMap { account.policy(arn: $0) }?.tags ?? []
            case .device: tags = parameters["SerialNumber"]?.asString.flatMap { account.device(serial: $0) }?.tags ?? []
            case .provider:
                tags =
                    parameters["OpenIDConnectProviderArn"]?.asString.flatMap { account.provider(arn: $0) }?.tags ?? []
            case .nothing, .newEntity, .newPolicy, .newDevice, .newProvider: break
            }
            if let boundary { keys.append(ConditionKey("iam:PermissionsBoundary", boundary)) }
            for tag in tags {
                keys.append(ConditionKey("iam:ResourceTag/\(tag.key)", tag.value))
                keys.append(ConditionKey("aws:ResourceTag/\(tag.key)", tag.value))
            }
            return keys
        }
    }
}

// MARK: - What the operations share

extension IAMService {
    /// Changes one entity of the caller's account.
    ///
    /// - Throws: `NoSuchEntity`, or what `body` throws.
    func change<Result: Sendable>(
        _ kind: IdentityEntity.Kind, _ name: String, _ call: Call,
        _ body: @escaping @Sendable (inout IdentityEntity, inout AccountIdentities) throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        try await store.change(call.accountID) { account throws(AWSError) in
            guard var entity = account.entity(kind, named: name) else { throw .noSuchEntity(kind, name) }
            let result = try body(&entity, &account)
            account.put(entity)
            return result
        }
    }

    func entity(
        _ kind: IdentityEntity.Kind, _ name: String, _ call: Call
    ) throws(AWSError) -> IdentityEntity {
        guard let entity = store.account(call.accountID).entity(kind, named: name) else {
            throw .noSuchEntity(kind, name)
        }
        return entity
    }

    /// The name that a call gives, or the caller's own.
    func userName(_ fields: IAMFields, _ call: Call) throws(AWSError) -> String {
        if let name = try fields.name("UserName", max: 128) { return name }
        guard call.caller.kind == .user, let own = call.caller.userName else {
            throw .validationError("Must specify userName when calling with non-User credentials")
        }
        return own
    }

    /// Reads a document that is to become an identity policy.
    func identityPolicy(
        _ text: String, name: String, limit: PolicySizeLimit? = nil
    ) throws(AWSError) -> StoredPolicy {
        do throws(PolicyError) {
            let bytes = Array(text.utf8)
            if let limit { try limit.check(size: limit.size(of: bytes), kind: .identity) }
            _ = try PolicyDocument.parse(bytes, as: .identity, name: name)
        } catch {
            throw .refused(error)
        }
        return StoredPolicy(stored: text, as: .identity, name: name)
    }

    /// The boundary that a call sets: a managed policy that exists.
    func boundary(_ fields: IAMFields, in account: String, isRequired: Bool = false) throws(AWSError) -> String? {
        guard let arn = try fields.arn("PermissionsBoundary") else {
            if isRequired { throw .missing("PermissionsBoundary") }
            return nil
        }
        guard store.account(account).policy(arn: arn) != nil else {
            throw .noSuchEntity("Scope ARN: \(arn) does not exist or is not attachable.")
        }
        return arn
    }

    static func tagList(_ tags: [IdentityEntity.Tag]) -> WireValue {
        .list(tags.map { .structure(["Key": .string($0.key), "Value": .string($0.value)]) })
    }

    /// Adds tags to those that are there; keys of users and roles differ without regard to case.
    static func merge(
        _ new: [IdentityEntity.Tag], into tags: inout [IdentityEntity.Tag], ignoringCase: Bool
    ) throws(AWSError) {
        for tag in new {
            tags.removeAll { ignoringCase ? $0.key.lowercased() == tag.key.lowercased() : $0.key == tag.key }
            tags.append(tag)
        }
        guard tags.count <= 50 else { throw .limitExceeded("Cannot exceed quota for TagsPerEntity: 50") }
    }

    /// A document in an answer: JSON, percent-encoded (RFC 3986).
    static func encoded(_ document: String) -> WireValue {
        var out: [UInt8] = []
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in document.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                out.append(byte)
            default: out += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return .string(String(decoding: out, as: UTF8.self))
    }
}
