// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import Policies
package import Storage

/// Temporary credentials: made here, and believed here when they come back.
///
/// Nothing about a session is stored. Its token is sealed and holds all that there is to know; whether the user or role
/// that it stands for still exists, and what binds it, is looked up at each call.
package struct Sessions: Sendable {
    private let rootSecret: RootSecret
    private let store: IdentityStore
    private let credentials: Credentials
    private let randomBytes: @Sendable (Int) -> [UInt8]
    /// Whether an account was closed.
    let isClosed: @Sendable (_ account: String) -> Bool

    /// - Parameters:
    ///   - randomBytes: a source fit for keys.
    ///   - isClosed: whether an account was closed: none of its credentials is believed then, and none is made.
    package init(
        rootSecret: RootSecret, store: IdentityStore, credentials: Credentials,
        randomBytes: @escaping @Sendable (Int) -> [UInt8],
        isClosed: @escaping @Sendable (String) -> Bool = { _ in false }
    ) {
        self.isClosed = isClosed
        self.rootSecret = rootSecret
        self.store = store
        self.credentials = credentials
        self.randomBytes = randomBytes
    }

    /// What a look-up found: a credential to check the signature with, and what is wrong with the session, if anything.
    /// A session that is over, and a key that was switched off, still say whose they are, so that the refusal is recorded in
    /// that account.
    package struct Found: Sendable {
        package var credential: Credential?
        package var problem: SignatureError?
    }

    /// Whether an access key id is one of temporary credentials.
    package static func areTemporary(_ accessKeyID: String) -> Bool { accessKeyID.hasPrefix("ASIA") }

    /// The credential behind a signature, long-term or temporary.
    ///
    /// - Throws: `InternalFailure` when a long-term key's document is damaged.
    package func find(_ presented: PresentedSignature, now: Timestamp) async throws(AWSError) -> Found {
        guard Self.areTemporary(presented.accessKeyID) else {
            let found = try await credentials.lookUp(presented.accessKeyID)
            let isOver = found.map { !$0.isActive || $0.credential.caller.accountID.map(isClosed) == true } ?? false
            return Found(
                credential: found?.credential, problem: isOver ? .unknownAccessKey(presented.accessKeyID) : nil)
        }
        guard let text = presented.sessionToken else {
            return Found(problem: .unknownAccessKey(presented.accessKeyID))
        }
        guard let token = SessionToken(opening: text, rootSecret), token.accessKeyID == presented.accessKeyID else {
            return Found(problem: .unknownToken(text))
        }
        let entity = store.entity(id: token.issuerID)
        let credential = Credential(
            accessKeyID: token.accessKeyID, secret: SecretKey(token.secret), caller: caller(token, entity),
            sessionToken: text)
        if now >= token.expires { return Found(credential: credential, problem: .expiredToken(text)) }
        var isAlive = token.issuerID == token.accountID || entity != nil
        if isClosed(token.accountID) { isAlive = false }
        if isAlive, let key = token.issuingKeyID { isAlive = try await credentials.find(key) != nil }
        return Found(credential: credential, problem: isAlive ? nil : .unknownAccessKey(token.accessKeyID))
    }

    /// Notes that a user's key, or a role by one of its sessions, was used.
    package func noteUse(by caller: Caller, service: String, region: String, time: Timestamp) {
        credentials.noteUse(by: caller, service: service, region: region, time: time)
    }

    /// Who calls with a token; `entity` is the user or role behind it, nil for root, and for one that is deleted.
    private func caller(_ token: SessionToken, _ entity: IdentityEntity?) -> Caller {
        let account = token.accountID
        let isOfRoot = token.issuerID == account
        let arn = entity?.arn ?? token.issuerARN
        let issuerName = entity?.name ?? arn.split(separator: "/").last.map(String.init) ?? ""
        var session = CallerSession(
            issuerID: token.issuerID, issuerARN: arn, issuerName: isOfRoot ? nil : issuerName, name: token.name,
            issued: token.issued, expires: token.expires, mfaTime: token.mfaTime, policies: policies(token),
            tags: token.tags, transitiveTagKeys: token.transitiveTagKeys, sourceIdentity: token.sourceIdentity,
            webIdentity: token.webIdentity)
        session.console = token.console
        var caller: Caller
        switch token.kind {
        case .root: caller = .root(of: account, accessKeyID: token.accessKeyID)
        case .user:
            caller = .user(
                issuerName, arn: arn, id: token.issuerID, account: account, accessKeyID: token.accessKeyID)
        case .role:
            caller = Caller(
                kind: .assumedRole, accountID: account, principalID: "\(token.issuerID):\(token.name)",
                arn: "arn:aws:sts::\(account):assumed-role/\(issuerName)/\(token.name)",
                accessKeyID: token.accessKeyID)
        case .federated:
            caller = Caller(
                kind: .federatedUser, accountID: account, principalID: "\(account):\(token.name)",
                arn: "arn:aws:sts::\(account):federated-user/\(token.name)", accessKeyID: token.accessKeyID)
        }
        caller.session = session
        return caller
    }

    /// The session policies as they read now; one whose managed policy is gone reads as nothing, which allows nothing.
    private func policies(_ token: SessionToken) -> [String]? {
        token.policies?.map {
            switch $0 {
            case .text(let text): text
            case .arn(let arn): store.account(token.accountID).policy(arn: arn)?.inForce?.text ?? ""
            }
        }
    }

    // MARK: Making

    /// Makes temporary credentials.
    ///
    /// - Throws: `InternalFailure` if the cipher refuses.
    func issue(
        _ kind: SessionToken.Kind, account: String, issuerID: String, issuerARN: String, name: String, now: Timestamp,
        seconds: Int64, complete: (inout SessionToken) -> Void
    ) throws(AWSError) -> IssuedSession {
        guard !isClosed(account) else {
            throw AWSError("AccessDenied", status: 403, "The account \(account) is closed.")
        }
        // The answer shows whole seconds.
        var token = SessionToken(
            kind: kind, accessKeyID: TemporaryKeyID.fresh(account: account, randomBytes),
            secret: FreshID.secret(randomBytes).revealed, accountID: account, issuerID: issuerID,
            issuerARN: issuerARN, name: name, issued: now, expires: Timestamp(seconds: now.seconds + seconds))
        complete(&token)
        do {
            return IssuedSession(
                accessKeyID: token.accessKeyID, secret: token.secret, token: try token.sealed(rootSecret),
                expires: token.expires)
        } catch {
            throw .internalFailure(cause: error.description)
        }
    }
}

/// Temporary credentials as they are handed out, once.
struct IssuedSession: Sendable {
    let accessKeyID: String
    let secret: String
    let token: String
    let expires: Timestamp

    /// In the order of AWS's own answer.
    var answer: WireValue {
        .structure([
            "AccessKeyId": .string(accessKeyID), "SecretAccessKey": .string(secret), "SessionToken": .string(token),
            "Expiration": .timestamp(expires),
        ])
    }

    /// As the event shows it: neither secret nor token.
    var recorded: WireValue {
        .structure(["accessKeyId": .string(accessKeyID), "expiration": .string(expires.recordForm)])
    }
}

/// Ids of temporary keys: `ASIA` and 16 of A-Z, 2-7, which are 80 bits. As in AWS's own keys bits 1 to 40 hold the
/// account, so that the account of a key can be told without any record of it; the rest is chance.
enum TemporaryKeyID {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)

    static func fresh(account: String, _ randomBytes: (Int) -> [UInt8]) -> String {
        var bytes = randomBytes(10)
        let head = (UInt64(account) ?? 0) << 7 | UInt64(bytes[5] & 0x7F)
        for index in 0..<6 { bytes[index] = UInt8(truncatingIfNeeded: head >> UInt64(8 * (5 - index))) }
        var text = Array("ASIA".utf8)
        var buffer: UInt64 = 0
        var bits: UInt64 = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt64(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                text.append(alphabet[Int(buffer >> bits & 31)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The account in a temporary key's id; nil for what is none.
    static func account(of id: String) -> String? {
        guard Sessions.areTemporary(id), id.utf8.count == 20 else { return nil }
        var head: UInt64 = 0
        // Ten characters are 50 bits, of which the first 48 count.
        for byte in id.utf8.dropFirst(4).prefix(10) {
            guard let value = alphabet.firstIndex(of: byte) else { return nil }
            head = head << 5 | UInt64(value)
        }
        let digits = String((head >> 9) & 0xFF_FFFF_FFFF)
        guard digits.utf8.count <= 12 else { return nil }
        return String(repeating: "0", count: 12 - digits.utf8.count) + digits
    }
}

/// What temporary credentials cannot do, whatever policies say.
/// Source: IAM User Guide, "Compare AWS STS credentials".
package enum SessionRules {
    /// The refusal of an operation that this kind of session has not; nil where policies decide.
    package static func refusal(_ caller: Caller, service: String, operation: String) -> AWSError? {
        guard let session = caller.session else { return nil }
        if session.console == .passwordOnly, !isForPasswords(service, operation) {
            return AWSError(
                "AccessDenied", status: service == "iam" || service == "sts" || service == "s3" ? 403 : 400,
                "Your password must be changed first: call ChangePassword, then sign in again")
        }
        switch caller.kind {
        case .federatedUser:
            if service == "iam" { return .invalidClientToken }
            if service == "sts", operation != "GetCallerIdentity" { return cannot(operation) }
        case .user, .root:
            if service == "iam", session.mfaTime == nil, session.console == nil { return .invalidClientToken }
            if service == "sts", operation != "GetCallerIdentity", operation != "AssumeRole" {
                return cannot(operation)
            }
        case .assumedRole:
            if service == "sts", operation == "GetSessionToken" || operation == "GetFederationToken" {
                return cannot(operation)
            }
        case .webIdentity, .service, .unknown: break
        }
        return nil
    }

    private static func isForPasswords(_ service: String, _ operation: String) -> Bool {
        switch service {
        case "iam": operation == "ChangePassword" || operation == "GetAccountPasswordPolicy"
        case "sts": operation == "GetCallerIdentity"
        default: false
        }
    }

    private static func cannot(_ operation: String) -> AWSError {
        AWSError("AccessDenied", status: 403, "Cannot call \(operation) with session credentials")
    }
}

extension AWSError {
    static var invalidClientToken: AWSError {
        AWSError("InvalidClientTokenId", status: 403, "The security token included in the request is invalid")
    }
}
