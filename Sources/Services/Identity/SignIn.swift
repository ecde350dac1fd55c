// SPDX-License-Identifier: Apache-2.0
//
// Signing in with a password. AWS's own sign-in form is not public, so this one is Cairn's:
//
//   POST /signin, content-type application/json, not signed:
//     { "account": twelve digits or the alias, "userName", "password", "mfaCode"?: six digits }
//   200: { "Account", "Arn", "UserName", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration",
//          "PasswordResetRequired": bool }
//   401 AuthenticationFailed, for whatever was wrong; 401 MFARequired once the password was right;
//   401 PasswordExpired where only an administrator can set a new one; 429 TooManyRequestsException.
//
// Credentials that come with PasswordResetRequired can call ChangePassword and nothing else.
// The events are CloudTrail's (User Guide, "AWS Management Console sign-in events").

package import AWSWire
package import Storage
internal import Synchronization

/// Turns a user's password into a session, and every attempt into a ConsoleLogin event.
package final class SignInService: Sendable {
    private static let operations: [Operation<SignInService>] = [
        Operation(
            "ConsoleLogin", .read,
            OperationTraits(
                isReadOnly: false, bodyBytesMax: 16 << 10, authorization: .unsigned, eventType: "AwsConsoleSignIn"),
            recorded: { _ in .null },
            perform: SignInService.signIn)
    ]

    /// A console's session, as AWS has it.
    private static let sessionSeconds: Int64 = 12 * 3600
    /// Stands in events for a name that nobody has, which may be a password in the wrong field.
    private static let hiddenName = "HIDDEN_DUE_TO_SECURITY_REASONS"

    private let store: IdentityStore
    private let sessions: Sessions
    private let rootSecret: RootSecret
    /// Costs what the real ones cost, and matches nothing.
    private let decoy: PasswordHash
    private let throttle: Mutex<SignInThrottle>

    /// - Parameters:
    ///   - randomBytes: a source fit for keys.
    ///   - passwordRounds: what new passwords are made with, so that a wrong name takes as long as a wrong password.
    package init(
        store: IdentityStore, sessions: Sessions, rootSecret: RootSecret, randomBytes: (Int) -> [UInt8],
        passwordRounds: Int = PasswordHash.roundsDefault, limits: SignInThrottle.Limits = SignInThrottle.Limits()
    ) {
        self.store = store
        self.sessions = sessions
        self.rootSecret = rootSecret
        decoy = PasswordHash(
            Base64.encode(randomBytes(24)), salt: randomBytes(PasswordHash.saltBytes), rounds: passwordRounds)
        throttle = Mutex(SignInThrottle(limits: limits))
    }

    package var service: Service {
        Service(
            "signin", .restJSON, isGlobal: true, owner: self, operations: Self.operations,
            route: { (_) throws(AWSError) in RoutedOperation(operation: "ConsoleLogin", parameters: WireStructure()) })
    }

    // MARK: Signing in

    @Sendable func signIn(_ input: SignInInput, _ call: Call) async throws(AWSError) -> SignInAnswer {
        let name = "\(input.account.lowercased())/\(input.userName)"
        let address = call.sourceAddress
        let account = self.account(input.account)
        let user = account.flatMap { store.user(named: input.userName, in: $0) }
        var form = Form(input, call)
        form.caller = caller(user, in: account)
        guard throttle.withLock({ $0.begin(name: name, address: address, now: call.time) }) else {
            return form.failure(
                "TooManyRequestsException", status: 429, "Too many attempts to sign in. Wait, then try again.")
        }
        let answer: SignInAnswer
        do throws(AWSError) {
            answer = try await attempt(input, user, &form, call)
        } catch {
            throttle.withLock { $0.end(name: name, address: address, .failed) }
            throw error
        }
        throttle.withLock { $0.end(name: name, address: address, answer.ending) }
        return answer
    }

    private func attempt(
        _ input: SignInInput, _ user: IdentityEntity?, _ form: inout Form, _ call: Call
    ) async throws(AWSError) -> SignInAnswer {
        let profile = user?.loginProfile
        let isRight = await (profile?.password ?? decoy).isRight(input.password)
        guard isRight, let user, let profile else { return form.wrong }
        var mfaTime: Timestamp?
        if !user.devices.isEmpty {
            guard let code = input.code else { return form.codeWanted }
            form.device = user.devices.first
            var accepted: String?
            for serial in user.devices where accepted == nil {
                if try await store.takeCode(code, serial: serial, of: user, rootSecret, now: call.time) {
                    accepted = serial
                }
            }
            guard let accepted else { return form.wrong }
            form.device = accepted
            mfaTime = call.time
        }
        let rules = store.account(user.accountID).settings.passwordAgeing
        let isOver = rules.isOver(profile, now: call.time)
        if isOver, rules.isHard {
            var answer = form.failure(
                "PasswordExpired", status: 401, "Your password has expired. An administrator must set a new one.")
            answer.ending = .unfinished
            return answer
        }
        let mustReset = profile.mustReset || isOver
        let session = try sessions.issue(
            .user, account: user.accountID, issuerID: user.id, issuerARN: user.arn, name: "", now: call.time,
            seconds: Self.sessionSeconds
        ) { token in
            token.mfaTime = mfaTime
            token.console = mustReset ? .passwordOnly : .full
        }
        store.noteUse(of: user.id, service: "signin", region: call.region, time: call.time)
        form.caller = .user(user.name, arn: user.arn, id: user.id, account: user.accountID, accessKeyID: nil)
        return form.success([
            "Account": .string(user.accountID), "Arn": .string(user.arn), "UserName": .string(user.name),
            "AccessKeyId": .string(session.accessKeyID), "SecretAccessKey": .string(session.secret),
            "SessionToken": .string(session.token), "Expiration": .string(session.expires.iso8601),
            "PasswordResetRequired": .bool(mustReset),
        ])
    }

    private func account(_ text: String) -> String? {
        if text.utf8.count == 12, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            return store.hasUsers(text) && !sessions.isClosed(text) ? text : nil
        }
        return store.account(ofAlias: text).flatMap { sessions.isClosed($0) ? nil : $0 }
    }

    /// As events of failures show him: with neither ARN nor key, and by name only if there is one.
    private func caller(_ user: IdentityEntity?, in account: String?) -> Caller {
        Caller(
            kind: .user, accountID: account, principalID: user?.id, userName: user?.name ?? Self.hiddenName)
    }

    // MARK: Answers and events

    /// One attempt as it is answered and recorded.
    private struct Form {
        var caller = Caller.unknown
        /// The second factor that was used.
        var device: String?
        let isCodeGiven: Bool
        let place: String

        init(_ input: SignInInput, _ call: Call) {
            isCodeGiven = input.code != nil
            place = "\(call.isSecureTransport ? "https" : "http")://\(input.host ?? "localhost")/"
        }

        private var additional: WireStructure {
            var members: WireStructure = ["LoginTo": .string(place), "MobileVersion": "No"]
            members.append("MFAIdentifier", ifPresent: device.map { .string($0) })
            members.append("MFAUsed", device == nil && !isCodeGiven ? "No" : "Yes")
            return members
        }

        /// What is said whatever was wrong.
        var wrong: SignInAnswer {
            failure(
                "AuthenticationFailed", status: 401, "Your authentication information is incorrect. Please try again.")
        }

        func failure(_ code: String, status: Int, _ message: String) -> SignInAnswer {
            SignInAnswer(
                answer: answer(
                    status, ["message": .string(message)], code: code, additional,
                    .init(
                        responseElements: .structure(["ConsoleLogin": "Failure"]),
                        errorMessage: "Failed authentication")))
        }

        /// The password was right and a code is needed, which CloudTrail records as a step of its own.
        var codeWanted: SignInAnswer {
            var answer = SignInAnswer(
                answer: answer(
                    401, ["message": "Enter the code of your MFA device as mfaCode."], code: "MFARequired",
                    ["MfaType": "Virtual MFA device"],
                    .init(name: "CheckMfa", responseElements: .structure(["CheckMfa": "Success"]))))
            answer.ending = .unfinished
            return answer
        }

        func success(_ members: WireStructure) -> SignInAnswer {
            var answer = SignInAnswer(
                answer: answer(
                    200, members, code: nil, additional,
                    .init(responseElements: .structure(["ConsoleLogin": "Success"]))))
            answer.ending = .succeeded
            return answer
        }

        private func answer(
            _ status: Int, _ members: WireStructure, code: String?, _ additional: WireStructure,
            _ event: OperationAnswer.EventForm
        ) -> OperationAnswer {
            var answer = OperationAnswer(
                status: status, headers: code.map { [WireHeader("x-amzn-errortype", $0)] } ?? [],
                body: .members(members), additionalEventData: additional)
            answer.headers.append(WireHeader("cache-control", "no-store"))
            answer.event = event
            answer.caller = caller
            return answer
        }
    }
}

/// What signing in takes.
struct SignInInput: OperationInput {
    let account: String
    let userName: String
    let password: String
    let code: String?
    let host: String?

    init(_ request: OperationRequest) throws(AWSError) {
        guard case .structure(let members) = try WireValue(json: request.bytes) else {
            throw .serialization("the body must be a JSON object")
        }
        let fields = try WireFields(members, known: ["account", "userName", "password", "mfaCode"])
        func text(_ name: String) throws(AWSError) -> String {
            guard let text = try fields.string(name), (1...128).contains(text.utf8.count) else {
                throw .validation("`\(name)` must be a text of 1 to 128 bytes.")
            }
            return text
        }
        account = try text("account")
        userName = try text("userName")
        password = try text("password")
        code = try fields.string("mfaCode")
        host = request.http.header("host").map { String($0.prefix(255)) }
    }
}

struct SignInAnswer: OperationOutput {
    var answered: OperationAnswer
    /// How the attempt counts against guessing.
    var ending = SignInThrottle.Ending.failed

    init(answer: OperationAnswer) { answered = answer }

    func answer() -> OperationAnswer { answered }
}

// MARK: - How passwords age

/// The part of an account's password policy that time brings in.
struct PasswordAgeing: Sendable {
    var days: Int64?
    var remembered: Int
    /// Whether a user cannot set a new password once the old one is over.
    var isHard: Bool

    func isOver(_ profile: IdentityEntity.LoginProfile, now: Timestamp) -> Bool {
        guard let days else { return false }
        return now >= profile.set.adding(seconds: days * 86_400)
    }
}

extension AccountSettings {
    var passwordAgeing: PasswordAgeing {
        func number(_ name: String) -> Int64? {
            if case .integer(let number)? = passwordPolicy?[name] { number } else { nil }
        }
        return PasswordAgeing(
            days: number("MaxPasswordAge"), remembered: Int(number("PasswordReusePrevention") ?? 0),
            isHard: passwordPolicy?["HardExpiry"] == true)
    }

    /// Whether every user may change the own password in a session that a password has opened.
    var letsUsersChangePasswords: Bool { passwordPolicy?["AllowUsersToChangePassword"] == true }
}

extension PasswordHash {
    /// Whether this is the password; worked out in the shared pool, since it takes a good part of a second.
    func isRight(_ password: String) async -> Bool {
        await Task.detached { matches(password) }.value
    }
}
