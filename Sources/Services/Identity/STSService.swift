// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import Policies
package import Storage

/// STS: who is calling, and temporary credentials.
package struct STSService: Sendable {
    /// Whether a code of a second factor is right; it works once.
    ///
    /// - Returns: false for a wrong code, nil for a device that is not the caller's.
    package typealias FactorCheck =
        @Sendable (_ serial: String, _ code: String, _ caller: Caller, _ now: Timestamp) async throws(AWSError) -> Bool?

    package static let operations: [Operation<STSService>] = [
        Operation(
            "GetCallerIdentity", .read, OperationTraits(authorization: .signedOnly), recorded: { _ in .null },
            perform: STSService.getCallerIdentity),
        Operation(
            "AssumeRole", .read,
            OperationTraits(isReadOnly: true, recordsResources: true, authorization: .operation),
            on: STSService.roles, recorded: STSService.recorded, perform: STSService.assumeRole),
        Operation(
            "AssumeRoleWithWebIdentity", .read,
            OperationTraits(isReadOnly: true, recordsResources: true, authorization: .unsigned),
            on: STSService.roles, recorded: STSService.recorded, perform: STSService.assumeRoleWithWebIdentity),
        Operation(
            "GetSessionToken", .read, OperationTraits(isReadOnly: false, authorization: .signedOnly),
            recorded: STSService.recorded, perform: STSService.getSessionToken),
        Operation(
            "GetFederationToken", .read, OperationTraits(isReadOnly: false),
            on: { _, request, call in
                guard let account = call.caller.accountID, let name = request.parameters["Name"]?.asString else {
                    return []
                }
                return [
                    ResourceReference(
                        type: "AWS::STS::FederatedUser", arn: "arn:aws:sts::\(account):federated-user/\(name)",
                        accountID: account)
                ]
            }, recorded: STSService.recorded, perform: STSService.getFederationToken),
        Operation("GetAccessKeyInfo", .read, perform: STSService.getAccessKeyInfo),
        Operation(
            "DecodeAuthorizationMessage", .read, perform: STSService.decodeAuthorizationMessage),
    ]

    let store: IdentityStore
    let credentials: Credentials
    let sessions: Sessions
    let authorizer: Authorizer
    let rootSecret: RootSecret
    let webIdentities: WebIdentities
    let isFactorRight: FactorCheck

    package init(
        store: IdentityStore, credentials: Credentials, sessions: Sessions, authorizer: Authorizer,
        rootSecret: RootSecret, webIdentities: WebIdentities, isFactorRight: @escaping FactorCheck
    ) {
        self.store = store
        self.credentials = credentials
        self.sessions = sessions
        self.authorizer = authorizer
        self.rootSecret = rootSecret
        self.webIdentities = webIdentities
        self.isFactorRight = isFactorRight
    }

    package var service: Service {
        Service(
            "sts", .query(version: "2011-06-15", namespace: "https://sts.amazonaws.com/doc/2011-06-15/"), owner: self,
            operations: Self.operations)
    }

    private static let roles: Operation<STSService>.Resources = { _, request, _ in
        guard let arn = request.parameters["RoleArn"]?.asString.flatMap({ RoleARN($0) }) else { return [] }
        return [arn.resource]
    }

    /// Numbers as numbers, and neither codes nor tokens.
    private static let recorded: Operation<STSService>.Recorded = { request in
        var parameters = request.parameters
        if let seconds = parameters["DurationSeconds"]?.asString.flatMap({ Int64($0) }) {
            parameters["DurationSeconds"] = .integer(seconds)
        }
        parameters["WebIdentityToken"] = nil
        parameters["TokenCode"] = nil
        return WireValue.structure(parameters).firstLettersLowered
    }

    // MARK: Who is calling

    /// Needs no permission: a valid signature is enough.
    @Sendable func getCallerIdentity(
        _ input: GetCallerIdentityInput, _ call: Call
    ) async throws(AWSError) -> GetCallerIdentityOutput {
        guard let account = call.caller.accountID, let userID = call.caller.principalID, let arn = call.caller.arn
        else {
            throw .accessDenied(family: .query, callerARN: nil, action: "sts:GetCallerIdentity")
        }
        return GetCallerIdentityOutput(userID: userID, account: account, arn: arn)
    }

    @Sendable func getAccessKeyInfo(
        _ input: GetAccessKeyInfoInput, _ call: Call
    ) async throws(AWSError) -> GetAccessKeyInfoOutput {
        if let user = store.user(ofAccessKey: input.accessKeyID) {
            return GetAccessKeyInfoOutput(account: user.accountID)
        }
        if let account = TemporaryKeyID.account(of: input.accessKeyID) {
            return GetAccessKeyInfoOutput(account: account)
        }
        guard let account = try await credentials.find(input.accessKeyID)?.caller.accountID else {
            throw .stsValidation("Invalid Access Key ID: \(input.accessKeyID)")
        }
        return GetAccessKeyInfoOutput(account: account)
    }

    // MARK: Sessions of users

    /// Needs no permission, and no policy can refuse it.
    @Sendable func getSessionToken(
        _ input: GetSessionTokenInput, _ call: Call
    ) async throws(AWSError) -> GetSessionTokenOutput {
        let (account, id, arn, isRoot) = try issuer(of: call, "GetSessionToken")
        let mfaTime = try await provenFactor(input.factor, call)
        let session = try sessions.issue(
            isRoot ? .root : .user, account: account, issuerID: id, issuerARN: arn, name: "", now: call.time,
            seconds: seconds(input.seconds, isRoot: isRoot)
        ) { token in
            token.mfaTime = mfaTime
            token.issuingKeyID = call.caller.accessKeyID
        }
        return GetSessionTokenOutput(session: session)
    }

    @Sendable func getFederationToken(
        _ input: GetFederationTokenInput, _ call: Call
    ) async throws(AWSError) -> GetFederationTokenOutput {
        let (account, id, arn, isRoot) = try issuer(of: call, "GetFederationToken")
        let size = try packedSize(input.policies, input.tags, account: account)
        let session = try sessions.issue(
            .federated, account: account, issuerID: id, issuerARN: arn, name: input.name, now: call.time,
            seconds: seconds(input.seconds, isRoot: isRoot)
        ) { token in
            token.policies = input.policies
            token.tags = input.tags
            token.issuingKeyID = call.caller.accessKeyID
        }
        return GetFederationTokenOutput(
            session: session, account: account, name: input.name, packedPolicySize: size)
    }

    /// The user or root that asks with its long-term key.
    private func issuer(
        of call: Call, _ operation: String
    ) throws(AWSError) -> (account: String, id: String, arn: String, isRoot: Bool) {
        let caller = call.caller
        guard caller.session == nil, caller.kind == .user || caller.kind == .root, let account = caller.accountID,
            let id = caller.principalID, let arn = caller.arn
        else { throw .accessDenied("Cannot call \(operation) with session credentials") }
        return (account, id, arn, caller.kind == .root)
    }

    /// Twelve hours by default; the root's sessions last an hour at most.
    private func seconds(_ asked: Int64?, isRoot: Bool) -> Int64 {
        let seconds = asked ?? 43_200
        return isRoot ? min(seconds, 3600) : seconds
    }

    /// When the second factor was proven: now, or never.
    func provenFactor(_ factor: ShownFactor?, _ call: Call) async throws(AWSError) -> Timestamp? {
        guard let factor else { return nil }
        switch try await isFactorRight(factor.serial, factor.code, call.caller, call.time) {
        case true: return call.time
        case false: throw .wrongCode
        default: throw .noSecondFactorMatch
        }
    }

    /// How much of the room for session policies and tags is taken, in percent; nil where neither is passed.
    ///
    /// AWS packs them in a way that it does not tell; here each character counts, and there is room for 4,096.
    ///
    /// - Throws: `PackedPolicyTooLarge`; `ValidationError` for the ARN of no policy.
    func packedSize(
        _ policies: [SessionToken.Policy]?, _ tags: [CallerSession.Tag], account: String
    ) throws(AWSError) -> Int? {
        if policies == nil, tags.isEmpty { return nil }
        var size = tags.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        for policy in policies ?? [] {
            switch policy {
            case .text(let text): size += text.utf8.count
            case .arn(let arn):
                guard store.account(account).policy(arn: arn) != nil else {
                    throw .stsValidation(
                        "ARN \(arn) is not valid, or is the ARN of no policy of this account or of AWS.")
                }
                size += arn.utf8.count
            }
        }
        let percent = (size * 100 + 4095) / 4096
        guard percent <= 100 else { throw .packedPolicyTooLarge(percent) }
        return percent
    }

    // MARK: Messages

    private static let messageContext = "authorization message"

    /// Opens a message about a refusal, for callers of the account that it is about.
    @Sendable func decodeAuthorizationMessage(
        _ input: DecodeAuthorizationMessageInput, _ call: Call
    ) async throws(AWSError) -> DecodeAuthorizationMessageOutput {
        guard let account = call.caller.accountID, let sealed = Base64.decode(input.message),
            let bytes = try? rootSecret.open(sealed, context: "\(Self.messageContext)/\(account)")
        else {
            throw AWSError(
                "InvalidAuthorizationMessageException",
                "The message is not one of this server about your account; it may be damaged or cut off.")
        }
        return DecodeAuthorizationMessageOutput(message: String(decoding: bytes, as: UTF8.self))
    }

    /// Seals a message about a refusal so that only callers of that account can read it.
    ///
    /// - Throws: `InternalFailure` if the cipher refuses.
    package func encodeAuthorizationMessage(_ message: String, account: String) throws(AWSError) -> String {
        do {
            return Base64.encode(
                try rootSecret.seal(Array(message.utf8), context: "\(Self.messageContext)/\(account)"))
        } catch {
            throw .internalFailure(cause: error.description)
        }
    }
}

extension WireValue {
    /// All member names with their first letter in lower case, as events show shapes.
    var firstLettersLowered: WireValue {
        switch self {
        case .structure(let structure):
            structure.isEmpty
                ? .null
                : .structure(
                    WireStructure(
                        structure.members.map {
                            WireStructure.Member($0.name.firstLowercased, $0.value.firstLettersLowered)
                        }))
        case .list(let items): .list(items.map(\.firstLettersLowered))
        default: self
        }
    }
}
