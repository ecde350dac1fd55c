// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

extension IAMService {
    static let loginOperations: [Operation<IAMService>] = [
        operation(
            "CreateLoginProfile", .write, on: .userOrSelf, redacted: ["Password"], IAMService.createLoginProfile),
        operation("GetLoginProfile", .read, on: .userOrSelf, IAMService.getLoginProfile),
        operation(
            "UpdateLoginProfile", .write, on: .entity(.user), redacted: ["Password"], IAMService.updateLoginProfile),
        operation("DeleteLoginProfile", .write, on: .userOrSelf, IAMService.deleteLoginProfile),
        operation(
            "ChangePassword", .write, on: .userOrSelf, redacted: ["OldPassword", "NewPassword"],
            IAMService.changePassword),
        operation("UpdateAccountPasswordPolicy", .write, on: .nothing, IAMService.updateAccountPasswordPolicy),
        operation("GetAccountPasswordPolicy", .read, on: .nothing, IAMService.getAccountPasswordPolicy),
        operation("DeleteAccountPasswordPolicy", .write, on: .nothing, IAMService.deleteAccountPasswordPolicy),
    ]

    private static func shape(_ profile: IdentityEntity.LoginProfile, of user: String) -> WireStructure {
        [
            "UserName": .string(user), "CreateDate": .timestamp(profile.created),
            "PasswordResetRequired": .bool(profile.mustReset),
        ]
    }

    private static func noProfile(_ name: String) -> AWSError {
        .noSuchEntity("Login Profile for User \(name) cannot be found.")
    }

    /// A password that is to be set. What is wrong about it is said without it.
    ///
    /// - Throws: `ValidationError`.
    private static func password(_ fields: IAMFields, _ member: String) throws(AWSError) -> String? {
        guard let password = try fields.text(member, max: 128) else { return nil }
        guard TextPattern.password.matches(password) else {
            throw .constraint(
                member, "****",
                "Member must satisfy regular expression pattern: \(TextPattern.password.pattern)")
        }
        return password
    }

    /// Worked out in the shared pool, since it takes a good part of a second.
    private func hash(_ password: String) async -> PasswordHash {
        let salt = randomBytes(PasswordHash.saltBytes)
        let rounds = passwordRounds
        return await Task.detached { PasswordHash(password, salt: salt, rounds: rounds) }.value
    }

    /// - Throws: `PasswordPolicyViolation` (400) for a password that the policy remembers.
    private func checkReuse(
        _ password: String, _ profile: IdentityEntity.LoginProfile, in account: String
    ) async throws(AWSError) {
        let remembered = store.account(account).settings.passwordAgeing.remembered
        for known in ([profile.password] + profile.previous).prefix(remembered) where await known.isRight(password) {
            throw AWSError(
                "PasswordPolicyViolation",
                "Password does not conform to the account password policy: it was used before",
                recordedCode: "PasswordPolicyViolationException")
        }
    }

    /// Checks a new password against the account's policy, or the default one: 8 characters, three of the four kinds.
    ///
    /// - Throws: `PasswordPolicyViolation` (400).
    private func check(_ password: String, user: String, in account: String) throws(AWSError) {
        func violation(_ words: String) -> AWSError {
            AWSError(
                "PasswordPolicyViolation", "Password does not conform to the account password policy: \(words)",
                recordedCode: "PasswordPolicyViolationException")
        }
        let hasUpper = password.utf8.contains { (0x41...0x5A).contains($0) }
        let hasLower = password.utf8.contains { (0x61...0x7A).contains($0) }
        let hasDigit = password.utf8.contains { (0x30...0x39).contains($0) }
        let hasSymbol = password.utf8.contains { "!@#$%^&*()_+-=[]{}|'".utf8.contains($0) }
        guard let policy = store.account(account).settings.passwordPolicy else {
            guard password.count >= 8 else { throw violation("it must have at least 8 characters") }
            guard [hasUpper, hasLower, hasDigit, hasSymbol].count(where: { $0 }) >= 3 else {
                throw violation("it must have three of upper case, lower case, numbers and symbols")
            }
            guard password.lowercased() != user.lowercased() else { throw violation("it must not be the user's name") }
            return
        }
        if case .integer(let least) = policy["MinimumPasswordLength"], password.count < least {
            throw violation("it must have at least \(least) characters")
        }
        if policy["RequireSymbols"] == true, !hasSymbol { throw violation("it must have a symbol") }
        if policy["RequireNumbers"] == true, !hasDigit { throw violation("it must have a number") }
        if policy["RequireUppercaseCharacters"] == true, !hasUpper {
            throw violation("it must have an upper case letter")
        }
        if policy["RequireLowercaseCharacters"] == true, !hasLower {
            throw violation("it must have a lower case letter")
        }
    }

    @Sendable func createLoginProfile(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "Password", "PasswordResetRequired")
        let name = try userName(fields, call)
        _ = try entity(.user, name, call)
        guard let password = try Self.password(fields, "Password") else { throw .missing("Password") }
        try check(password, user: name, in: call.accountID)
        let profile = IdentityEntity.LoginProfile(
            password: await hash(password), created: call.time,
            mustReset: try fields.flag("PasswordResetRequired") ?? false, set: call.time)
        try await change(.user, name, call) { user, _ throws(AWSError) in
            guard user.loginProfile == nil else {
                throw .entityExists("Login Profile for user \(name) already exists.")
            }
            user.loginProfile = profile
        }
        return IAMAnswer(["LoginProfile": .structure(Self.shape(profile, of: name))])
    }

    @Sendable func getLoginProfile(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let user = try entity(.user, try userName(try input.fields("UserName"), call), call)
        guard let profile = user.loginProfile else { throw Self.noProfile(user.name) }
        return IAMAnswer(["LoginProfile": .structure(Self.shape(profile, of: user.name))])
    }

    @Sendable func updateLoginProfile(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "Password", "PasswordResetRequired")
        let name = try fields.requiredName("UserName", max: 64)
        let password = try Self.password(fields, "Password")
        if let password { try check(password, user: name, in: call.accountID) }
        let mustReset = try fields.flag("PasswordResetRequired")
        var hashed: PasswordHash?
        if let password { hashed = await hash(password) }
        let new = hashed
        try await change(.user, name, call) { user, _ throws(AWSError) in
            guard user.loginProfile != nil else { throw Self.noProfile(name) }
            if let new { user.loginProfile?.replace(new, now: call.time) }
            if let mustReset { user.loginProfile?.mustReset = mustReset }
        }
        return IAMAnswer()
    }

    @Sendable func deleteLoginProfile(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let name = try userName(try input.fields("UserName"), call)
        try await change(.user, name, call) { user, _ throws(AWSError) in
            guard user.loginProfile != nil else { throw Self.noProfile(name) }
            user.loginProfile = nil
        }
        return IAMAnswer()
    }

    @Sendable func changePassword(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("OldPassword", "NewPassword")
        guard call.caller.kind == .user, let name = call.caller.userName else {
            throw AWSError("InvalidUserType", "Only IAM Users can change their own password")
        }
        let old = try fields.required("OldPassword", max: 128)
        guard let new = try Self.password(fields, "NewPassword") else { throw .missing("NewPassword") }
        guard let profile = try entity(.user, name, call).loginProfile else { throw Self.noProfile(name) }
        guard await profile.password.isRight(old) else {
            throw AWSError("InvalidInput", "The old password was incorrect.", recordedCode: "InvalidInputException")
        }
        try check(new, user: name, in: call.accountID)
        try await checkReuse(new, profile, in: call.accountID)
        let hashed = await hash(new)
        try await change(.user, name, call) { user, _ throws(AWSError) in
            guard user.loginProfile != nil else { throw Self.noProfile(name) }
            user.loginProfile?.replace(hashed, now: call.time)
            user.loginProfile?.mustReset = false
        }
        return IAMAnswer()
    }

    // MARK: The account's password policy

    /// Whatever a call leaves out goes back to its default.
    @Sendable func updateAccountPasswordPolicy(
        _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields(
            "MinimumPasswordLength", "RequireSymbols", "RequireNumbers", "RequireUppercaseCharacters",
            "RequireLowercaseCharacters", "AllowUsersToChangePassword", "MaxPasswordAge", "PasswordReusePrevention",
            "HardExpiry")
        let age = try fields.number("MaxPasswordAge", 1...1095)
        let reuse = try fields.number("PasswordReusePrevention", 1...24)
        var policy: WireStructure = [
            "MinimumPasswordLength": .integer(try fields.number("MinimumPasswordLength", 6...128) ?? 6)
        ]
        for member in [
            "RequireSymbols", "RequireNumbers", "RequireUppercaseCharacters", "RequireLowercaseCharacters",
            "AllowUsersToChangePassword",
        ] {
            policy.append(member, .bool(try fields.flag(member) ?? false))
        }
        policy.append("ExpirePasswords", .bool(age != nil))
        policy.append("MaxPasswordAge", ifPresent: age.map { .integer($0) })
        policy.append("PasswordReusePrevention", ifPresent: reuse.map { .integer($0) })
        policy.append("HardExpiry", .bool(try fields.flag("HardExpiry") ?? false))
        let new = policy
        try await changeSettings(call) { settings throws(AWSError) in settings.passwordPolicy = new }
        return IAMAnswer()
    }

    private static func noPolicy(_ account: String) -> AWSError {
        .noSuchEntity("The Password Policy with domain name \(account) cannot be found.")
    }

    @Sendable func getAccountPasswordPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        _ = try input.fields()
        guard let policy = store.account(call.accountID).settings.passwordPolicy else {
            throw Self.noPolicy(call.accountID)
        }
        return IAMAnswer(["PasswordPolicy": .structure(policy)])
    }

    @Sendable func deleteAccountPasswordPolicy(
        _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        _ = try input.fields()
        try await changeSettings(call) { settings throws(AWSError) in
            guard settings.passwordPolicy != nil else { throw Self.noPolicy(call.accountID) }
            settings.passwordPolicy = nil
        }
        return IAMAnswer()
    }

    func changeSettings(
        _ call: Call, _ body: @escaping @Sendable (inout AccountSettings) throws(AWSError) -> Void
    ) async throws(AWSError) {
        try await store.change(call.accountID) { account throws(AWSError) in
            var settings = account.settings
            try body(&settings)
            account.put(settings)
        }
    }
}
