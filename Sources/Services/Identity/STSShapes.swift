// SPDX-License-Identifier: Apache-2.0
//
// STS's inputs and outputs. Source: botocore's model of sts 2011-06-15.

internal import AWSWire
internal import Policies

/// Checked access to the members of an STS request, with STS's own errors.
struct STSFields {
    private let members: WireStructure

    init(_ request: OperationRequest, known: [String]) throws(AWSError) {
        members = request.parameters
        for member in members.members where !known.contains(member.name) {
            throw .stsValidation("unknown member '\(member.name)'")
        }
    }

    func text(
        _ name: String, _ length: ClosedRange<Int>, pattern: String? = nil, isSecret: Bool = false,
        allows: (UInt8) -> Bool = { _ in true }
    ) throws(AWSError) -> String? {
        guard let value = members[name], !value.isNull else { return nil }
        guard let text = value.asString else { throw .stsConstraint(name, nil, "be a string") }
        let shown = isSecret ? nil : String(text.prefix(256))
        let count = text.unicodeScalars.count
        guard count >= length.lowerBound else {
            throw .stsConstraint(
                name, shown, "have length greater than or equal to \(length.lowerBound)")
        }
        guard count <= length.upperBound else {
            throw .stsConstraint(name, shown, "have length less than or equal to \(length.upperBound)")
        }
        guard text.utf8.allSatisfy(allows) else {
            throw .stsConstraint(name, shown, "satisfy regular expression pattern: \(pattern ?? "")")
        }
        return text
    }

    func required(
        _ name: String, _ length: ClosedRange<Int>, pattern: String? = nil, isSecret: Bool = false,
        allows: (UInt8) -> Bool = { _ in true }
    ) throws(AWSError) -> String {
        guard let text = try text(name, length, pattern: pattern, isSecret: isSecret, allows: allows) else {
            throw .stsValidation(
                "1 validation error detected: Value null at '\(name.firstLowercased)' failed to satisfy constraint: "
                    + "Member must not be null")
        }
        return text
    }

    func seconds(_ longest: Int64) throws(AWSError) -> Int64? {
        guard let value = members["DurationSeconds"], !value.isNull else { return nil }
        guard let text = value.asString, let number = Int64(text) else {
            throw .stsConstraint("DurationSeconds", value.asString, "be a number")
        }
        guard number >= 900 else {
            throw .stsConstraint("DurationSeconds", text, "have value greater than or equal to 900")
        }
        guard number <= longest else {
            throw .stsConstraint("DurationSeconds", text, "have value less than or equal to \(longest)")
        }
        return number
    }

    /// A list; an empty text is an empty list.
    private func list(_ name: String, max: Int) throws(AWSError) -> [WireValue] {
        guard let value = members[name], !value.isNull, value != "" else { return [] }
        guard let items = value.asList else { throw .stsConstraint(name, nil, "be a list") }
        guard items.count <= max else {
            throw .stsConstraint(name, nil, "have length less than or equal to \(max)")
        }
        return items
    }

    func texts(_ name: String, max: Int) throws(AWSError) -> [String] {
        var texts: [String] = []
        for item in try list(name, max: max) {
            guard let text = item.asString else { throw .stsConstraint(name, nil, "be a list of strings") }
            texts.append(text)
        }
        return texts
    }

    func tags() throws(AWSError) -> [CallerSession.Tag] {
        var tags: [CallerSession.Tag] = []
        for item in try list("Tags", max: 50) {
            guard let tag = item.asStructure, let key = tag["Key"]?.asString, let value = tag["Value"]?.asString else {
                throw .stsConstraint("Tags", nil, "be a list of keys and values")
            }
            guard (1...128).contains(key.unicodeScalars.count) else {
                throw .stsConstraint("tags.key", key, "have length less than or equal to 128")
            }
            guard value.unicodeScalars.count <= 256 else {
                throw .stsConstraint("tags.value", value, "have length less than or equal to 256")
            }
            for (member, text, pattern) in [
                ("tags.key", key, TextPattern.tagKey), ("tags.value", value, TextPattern.tagValue),
            ] where !pattern.matches(text) {
                throw .stsConstraint(member, text, "satisfy regular expression pattern: \(pattern.pattern)")
            }
            if key.lowercased().hasPrefix("aws:") {
                throw .invalidParameterValue("Tag keys must not begin with aws:, which is reserved.")
            }
            if tags.contains(where: { $0.key.lowercased() == key.lowercased() }) {
                throw .invalidParameterValue(
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
            }
            tags.append(.init(key: key, value: value))
        }
        return tags
    }

    /// The session policies that a call passes.
    func policies() throws(AWSError) -> [SessionToken.Policy]? {
        var policies: [SessionToken.Policy] = []
        if let text = try text("Policy", 1...2048) {
            do {
                _ = try PolicyDocument.parse(Array(text.utf8), as: .session)
            } catch {
                throw .sessionPolicyRefused(error)
            }
            policies.append(.text(text))
        }
        for item in try list("PolicyArns", max: 10) {
            guard let arn = item.asStructure?["arn"]?.asString else {
                throw .stsConstraint("PolicyArns", nil, "be a list of ARNs")
            }
            policies.append(.arn(arn))
        }
        return policies.isEmpty ? nil : policies
    }

    func roleARN() throws(AWSError) -> RoleARN {
        let text = try required("RoleArn", 20...2048)
        guard let arn = RoleARN(text) else { throw .stsValidation("\(text.prefix(256)) is invalid") }
        return arn
    }

    func sessionName(_ name: String, max: Int = 64) throws(AWSError) -> String {
        try required(name, 2...max, pattern: "[\\w+=,.@-]*", allows: Self.isNameByte)
    }

    static func isNameByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            || "_+=,.@-".utf8.contains(byte)
    }
}

/// `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
struct RoleARN: Sendable, Equatable {
    let text: String
    let account: String
    let name: String

    init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "arn", parts[1] == "aws", parts[2] == "iam", parts[3].isEmpty,
            parts[4].utf8.count == 12, parts[4].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            parts[5].hasPrefix("role/"), let name = parts[5].split(separator: "/").last, parts[5].utf8.count > 5
        else { return nil }
        self.text = text
        account = String(parts[4])
        self.name = String(name)
    }

    var resource: ResourceReference { ResourceReference(type: "AWS::IAM::Role", arn: text, accountID: account) }
}

/// A second factor as a call shows it.
struct ShownFactor: Sendable {
    let serial: String
    let code: String

    /// Nil where none is shown; half of one is refused.
    init?(_ fields: STSFields) throws(AWSError) {
        let serial = try fields.text(
            "SerialNumber", 9...256, pattern: "[\\w+=/:,.@-]*",
            allows: { STSFields.isNameByte($0) || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ":") })
        let code = try fields.text(
            "TokenCode", 6...6, pattern: "[\\d]*", isSecret: true, allows: { (0x30...0x39).contains($0) })
        if serial == nil, code == nil { return nil }
        guard let serial, let code else { throw .halfSecondFactor }
        self.serial = serial
        self.code = code
    }
}

struct AssumeRoleInput: OperationInput {
    static let members = [
        "RoleArn", "RoleSessionName", "PolicyArns", "Policy", "DurationSeconds", "Tags", "TransitiveTagKeys",
        "ExternalId", "SerialNumber", "TokenCode", "SourceIdentity",
    ]

    let role: RoleARN
    let sessionName: String
    let policies: [SessionToken.Policy]?
    let seconds: Int64?
    let tags: [CallerSession.Tag]
    let transitiveTagKeys: [String]
    let externalID: String?
    let factor: ShownFactor?
    let sourceIdentity: String?

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try STSFields(request, known: Self.members)
        role = try fields.roleARN()
        sessionName = try fields.sessionName("RoleSessionName")
        policies = try fields.policies()
        seconds = try fields.seconds(43_200)
        tags = try fields.tags()
        transitiveTagKeys = try fields.texts("TransitiveTagKeys", max: 50)
        externalID = try fields.text(
            "ExternalId", 2...1224, pattern: "[\\w+=,.@:\\/-]*",
            allows: { STSFields.isNameByte($0) || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ":") })
        factor = try ShownFactor(fields)
        sourceIdentity = try fields.text(
            "SourceIdentity", 2...64, pattern: "[\\w+=,.@-]*", allows: STSFields.isNameByte)
        for key in transitiveTagKeys where !tags.contains(where: { $0.key.lowercased() == key.lowercased() }) {
            throw .invalidParameterValue(
                "The specified transitive tag key must be included in the requested tags.")
        }
    }
}

/// The answer of AssumeRole and AssumeRoleWithWebIdentity.
struct AssumedRoleOutput: OperationOutput {
    let session: IssuedSession
    let roleID: String
    let arn: String
    let sessionName: String
    let packedPolicySize: Int?
    let sourceIdentity: String?
    /// Of a web identity: subject, audience, provider and who is recorded as the caller.
    var webIdentity: (subject: String, audience: String, provider: String, caller: Caller)?
    /// What a chained session brings along, for the event.
    var incomingTags: [CallerSession.Tag] = []

    func answer() -> OperationAnswer {
        let user = WireValue.structure([
            "AssumedRoleId": .string("\(roleID):\(sessionName)"), "Arn": .string(arn),
        ])
        var members: WireStructure = ["AssumedRoleUser": user, "Credentials": session.answer]
        var recorded: WireStructure = ["credentials": session.recorded, "assumedRoleUser": user]
        for (name, value) in [
            ("PackedPolicySize", packedPolicySize.map { WireValue.integer(Int64($0)) }),
            ("SourceIdentity", sourceIdentity.map { .string($0) }),
            ("SubjectFromWebIdentityToken", webIdentity.map { .string($0.subject) }),
            ("Provider", webIdentity.map { .string($0.provider) }),
            ("Audience", webIdentity.map { .string($0.audience) }),
        ] {
            members.append(name, ifPresent: value)
            recorded.append(name, ifPresent: value)
        }
        var answer = OperationAnswer(body: .members(members), recorded: recorded)
        answer.caller = webIdentity?.caller
        if !incomingTags.isEmpty {
            answer.furtherParameters = [
                "incomingTransitiveTags": .structure(
                    WireStructure(incomingTags.map { WireStructure.Member($0.key, .string($0.value)) }))
            ]
        }
        return answer
    }
}

struct GetSessionTokenInput: OperationInput {
    let seconds: Int64?
    let factor: ShownFactor?

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try STSFields(request, known: ["DurationSeconds", "SerialNumber", "TokenCode"])
        seconds = try fields.seconds(129_600)
        factor = try ShownFactor(fields)
    }
}

struct GetSessionTokenOutput: OperationOutput {
    let session: IssuedSession

    func answer() -> OperationAnswer {
        OperationAnswer(
            body: .members(["Credentials": session.answer]), recorded: ["credentials": session.recorded])
    }
}

struct GetFederationTokenInput: OperationInput {
    let name: String
    let policies: [SessionToken.Policy]?
    let seconds: Int64?
    let tags: [CallerSession.Tag]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try STSFields(request, known: ["Name", "Policy", "PolicyArns", "DurationSeconds", "Tags"])
        name = try fields.sessionName("Name", max: 32)
        policies = try fields.policies()
        seconds = try fields.seconds(129_600)
        tags = try fields.tags()
    }
}

struct GetFederationTokenOutput: OperationOutput {
    let session: IssuedSession
    let account: String
    let name: String
    let packedPolicySize: Int?

    func answer() -> OperationAnswer {
        let user = WireValue.structure([
            "FederatedUserId": .string("\(account):\(name)"),
            "Arn": .string("arn:aws:sts::\(account):federated-user/\(name)"),
        ])
        var members: WireStructure = ["Credentials": session.answer, "FederatedUser": user]
        var recorded: WireStructure = ["credentials": session.recorded, "federatedUser": user]
        let size = packedPolicySize.map { WireValue.integer(Int64($0)) }
        members.append("PackedPolicySize", ifPresent: size)
        recorded.append("packedPolicySize", ifPresent: size)
        return OperationAnswer(body: .members(members), recorded: recorded)
    }
}

struct GetAccessKeyInfoInput: OperationInput {
    let accessKeyID: String

    init(_ request: OperationRequest) throws(AWSError) {
        accessKeyID = try STSFields(request, known: ["AccessKeyId"]).required(
            "AccessKeyId", 16...128, pattern: "[\\w]*",
            allows: { STSFields.isNameByte($0) && !"+=,.@-".utf8.contains($0) })
    }
}

struct GetAccessKeyInfoOutput: OperationOutput {
    let account: String

    func answer() -> OperationAnswer { OperationAnswer(body: .members(["Account": .string(account)])) }
}

struct DecodeAuthorizationMessageInput: OperationInput {
    let message: String

    init(_ request: OperationRequest) throws(AWSError) {
        message = try STSFields(request, known: ["EncodedMessage"]).required("EncodedMessage", 1...10_240)
    }
}

struct DecodeAuthorizationMessageOutput: OperationOutput {
    let message: String

    func answer() -> OperationAnswer { OperationAnswer(body: .members(["DecodedMessage": .string(message)])) }
}

struct GetCallerIdentityInput: OperationInput {
    init(_ request: OperationRequest) throws(AWSError) {
        _ = try STSFields(request, known: [])
    }
}

struct GetCallerIdentityOutput: OperationOutput {
    var userID: String
    var account: String
    var arn: String

    func answer() -> OperationAnswer {
        // The members in the order of AWS's own answer.
        OperationAnswer(
            body: .members(["Arn": .string(arn), "UserId": .string(userID), "Account": .string(account)]))
    }
}
