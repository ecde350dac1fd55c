// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// What an IAM operation is asked, before it says which members it knows.
struct IAMRequest: OperationInput {
    let parameters: WireStructure

    init(_ request: OperationRequest) throws(AWSError) { parameters = request.parameters }

    /// - Throws: `ValidationError` for a member that the operation does not have.
    func fields(_ known: String...) throws(AWSError) -> IAMFields {
        for member in parameters.members where !known.contains(member.name) {
            throw .validationError("1 validation error detected: unknown member '\(member.name)'")
        }
        return IAMFields(structure: parameters)
    }
}

/// Which characters a text may have, with the pattern that says so in botocore's model of IAM.
struct TextPattern: Sendable {
    let pattern: String
    private let allows: @Sendable (Unicode.Scalar) -> Bool

    /// What roles are described in.
    static let description = TextPattern(pattern: #"[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*"#) {
        switch $0.value {
        case 0x09, 0x0A, 0x0D, 0x20...0x7E, 0xA1...0xFF: true
        default: false
        }
    }

    static let password = TextPattern(pattern: #"[\u0009\u000A\u000D\u0020-\u00FF]+"#) {
        switch $0.value {
        case 0x09, 0x0A, 0x0D, 0x20...0xFF: true
        default: false
        }
    }

    static let tagKey = TextPattern(pattern: #"[\p{L}\p{Z}\p{N}_.:/=+\-@]+"#, allows: isTagCharacter)
    static let tagValue = TextPattern(pattern: #"[\p{L}\p{Z}\p{N}_.:/=+\-@]*"#, allows: isTagCharacter)

    private static func isTagCharacter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .spaceSeparator,
            .lineSeparator, .paragraphSeparator, .decimalNumber, .letterNumber, .otherNumber:
            true
        default: "_.:/=+-@".unicodeScalars.contains(scalar)
        }
    }

    func matches(_ text: String) -> Bool { text.unicodeScalars.allSatisfy(allows) }

    /// - Throws: `ValidationError` for a text with any other character.
    func check(_ text: String, at member: String) throws(AWSError) {
        guard matches(text) else {
            throw .constraint(
                member, String(text.prefix(200)), "Member must satisfy regular expression pattern: \(pattern)")
        }
    }
}

/// Members read with IAM's rules; every accessor throws `ValidationError`.
struct IAMFields {
    let structure: WireStructure

    /// Nil for an absent member.
    func text(_ name: String, max: Int = 131_072, min: Int = 1) throws(AWSError) -> String? {
        guard let value = structure[name] else { return nil }
        guard let text = value.asString else { throw .constraint(name, "", "Member must be a string") }
        let count = text.unicodeScalars.count
        guard count >= min else {
            throw .constraint(name, text, "Member must have length greater than or equal to \(min)")
        }
        guard count <= max else {
            throw .constraint(
                name, String(text.prefix(200)), "Member must have length less than or equal to \(max)")
        }
        return text
    }

    func required(_ name: String, max: Int = 131_072, min: Int = 1) throws(AWSError) -> String {
        guard let text = try text(name, max: max, min: min) else { throw .missing(name) }
        return text
    }

    /// A text whose every character the pattern has.
    func text(
        _ name: String, max: Int = 131_072, min: Int = 1, as pattern: TextPattern
    ) throws(AWSError) -> String? {
        guard let text = try text(name, max: max, min: min) else { return nil }
        try pattern.check(text, at: name)
        return text
    }

    /// A name of the form `[\w+=,.@-]+`.
    func name(_ member: String, max: Int) throws(AWSError) -> String? {
        guard let text = try text(member, max: max) else { return nil }
        guard text.utf8.allSatisfy(Self.isNameByte) else {
            throw .constraint(member, text, #"Member must satisfy regular expression pattern: [\w+=,.@-]+"#)
        }
        return text
    }

    func requiredName(_ member: String, max: Int) throws(AWSError) -> String {
        guard let text = try name(member, max: max) else { throw .missing(member) }
        return text
    }

    /// A path: `/`, or begins and ends with a slash; `/` where it is absent.
    func path(_ member: String = "Path") throws(AWSError) -> String {
        guard let text = try text(member, max: 512) else { return "/" }
        guard text.hasPrefix("/"), text.hasSuffix("/"), text.utf8.allSatisfy({ (0x21...0x7F).contains($0) }) else {
            throw .validationError(
                "The specified value for \(member.firstLowercased) is invalid. It must begin and end with / and contain "
                    + "only alphanumeric characters and/or / characters.")
        }
        return text
    }

    func arn(_ member: String) throws(AWSError) -> String? {
        guard let text = try text(member, max: 2048, min: 20) else { return nil }
        guard text.hasPrefix("arn:"), text.split(separator: ":", omittingEmptySubsequences: false).count >= 6 else {
            throw AWSError("ValidationError", "ARN \(text) is not valid.", recordedCode: "ValidationException")
        }
        return text
    }

    func requiredARN(_ member: String) throws(AWSError) -> String {
        guard let text = try arn(member) else { throw .missing(member) }
        return text
    }

    /// The ARN of one of IAM's resources: `arn:aws:iam::<account, or aws>:<kind>/...`.
    ///
    /// - Throws: `InvalidInput` for any other ARN.
    func requiredARN(_ member: String, of kind: String) throws(AWSError) -> String {
        let text = try requiredARN(member)
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        let isAccount = parts[4] == "aws" || (parts[4].utf8.count == 12 && parts[4].utf8.allSatisfy(Self.isDigit))
        guard parts[2] == "iam", parts[3].isEmpty, isAccount, parts[5].hasPrefix("\(kind)/") else {
            throw .invalidInput("ARN \(text) is not valid.")
        }
        return text
    }

    /// What paths of the rows of a list begin with: `/` where it is absent.
    func pathPrefix() throws(AWSError) -> String {
        guard let text = try text("PathPrefix", max: 512) else { return "/" }
        guard text.utf8.first == UInt8(ascii: "/"), text.utf8.allSatisfy({ (0x21...0x7F).contains($0) }) else {
            throw .constraint(
                "PathPrefix", text, #"Member must satisfy regular expression pattern: \u002F[\u0021-\u007F]*"#)
        }
        return text
    }

    /// A version of a managed policy: `v1`, `v2`, ...
    func requiredVersion() throws(AWSError) -> String {
        let text = try required("VersionId")
        let number = text.dropFirst().prefix { $0 != "." }.utf8
        guard text.hasPrefix("v"), let first = number.first, first != UInt8(ascii: "0"),
            number.allSatisfy(Self.isDigit),
            text.utf8.allSatisfy({ Self.isNameByte($0) && !"_+=,@".utf8.contains($0) })
        else {
            throw .constraint(
                "VersionId", text,
                #"Member must satisfy regular expression pattern: v[1-9][0-9]*(\.[A-Za-z0-9-]*)?"#)
        }
        return text
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    func flag(_ name: String) throws(AWSError) -> Bool? {
        switch structure[name]?.asString?.lowercased() {
        case nil: return nil
        case "true": return true
        case "false": return false
        case .some(let text): throw .constraint(name, text, "Member must be a boolean")
        }
    }

    func number(_ name: String, _ range: ClosedRange<Int64>) throws(AWSError) -> Int64? {
        guard let text = try text(name) else { return nil }
        guard let number = Int64(text) else { throw .constraint(name, text, "Member must be a number") }
        guard number >= range.lowerBound else {
            throw .constraint(name, text, "Member must have value greater than or equal to \(range.lowerBound)")
        }
        guard number <= range.upperBound else {
            throw .constraint(name, text, "Member must have value less than or equal to \(range.upperBound)")
        }
        return number
    }

    func word(_ name: String, _ words: [String]) throws(AWSError) -> String? {
        guard let text = try text(name) else { return nil }
        guard words.contains(text) else {
            throw .constraint(
                name, text, "Member must satisfy enum value set: [\(words.joined(separator: ", "))]")
        }
        return text
    }

    /// Items of a list; an empty list is sent as an empty text.
    func list(_ name: String) throws(AWSError) -> [WireValue]? {
        switch structure[name] {
        case nil: return nil
        case .string(""): return []
        case .list(let items): return items
        case .some: throw .constraint(name, "", "Member must be a list")
        }
    }

    func strings(_ name: String) throws(AWSError) -> [String]? {
        try list(name)?.map { (item) throws(AWSError) -> String in
            guard let text = item.asString else { throw .constraint(name, "", "Member must be a list of strings") }
            return text
        }
    }

    /// At most 50 tags, their keys distinct.
    func tags(_ name: String = "Tags", ignoringCase: Bool) throws(AWSError) -> [IdentityEntity.Tag] {
        var tags: [IdentityEntity.Tag] = []
        var seen: Set<String> = []
        for item in try list(name) ?? [] {
            let fields = IAMFields(structure: item.asStructure ?? WireStructure())
            let key = try fields.required("Key", max: 128)
            try TextPattern.tagKey.check(key, at: "Key")
            let value = try fields.text("Value", max: 256, min: 0, as: .tagValue) ?? ""
            guard !key.lowercased().hasPrefix("aws:") else {
                throw .invalidInput("The tag key aws: is reserved for AWS use: \(key)")
            }
            guard seen.insert(ignoringCase ? key.lowercased() : key).inserted else {
                throw .invalidInput(
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
            }
            tags.append(.init(key: key, value: value))
        }
        guard tags.count <= 50 else {
            throw .limitExceeded("Cannot exceed quota for TagsPerEntity: 50")
        }
        return tags
    }

    /// The keys of tags that are to go.
    func tagKeys() throws(AWSError) -> [String] {
        guard let keys = try strings("TagKeys") else { throw .missing("TagKeys") }
        for key in keys {
            guard !key.isEmpty else {
                throw .constraint("TagKeys", key, "Member must have length greater than or equal to 1")
            }
            guard key.unicodeScalars.count <= 128 else {
                throw .constraint(
                    "TagKeys", String(key.prefix(200)), "Member must have length less than or equal to 128")
            }
            try TextPattern.tagKey.check(key, at: "TagKeys")
        }
        return keys
    }

    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "_+=,.@-".utf8.contains(byte)
        }
    }
}

// MARK: - Pages

extension IAMFields {
    /// Cuts a page out of rows, which it puts in the order of their names; case decides only between names that differ
    /// in nothing else.
    ///
    /// The marker is the name of the last row shown, in base 64: what is added or removed meanwhile neither repeats nor
    /// hides a row.
    func page<Row>(
        _ rows: [Row], by name: (Row) -> String, _ member: String, show: (Row) -> WireValue
    ) throws(AWSError) -> WireStructure {
        let limit = Int(try number("MaxItems", 1...1000) ?? 100)
        let keyed = rows.map { row in (key: (name(row).lowercased(), name(row)), row: row) }
        var rest = keyed.sorted { $0.key < $1.key }[...]
        if let marker = try text("Marker") {
            guard let bytes = Base64.decode(marker), let last = String(validating: bytes, as: UTF8.self) else {
                throw .validationError("Invalid Marker.")
            }
            rest = rest.drop { $0.key <= (last.lowercased(), last) }
        }
        let shown = rest.prefix(limit)
        var members: WireStructure = [member: .list(shown.map { show($0.row) })]
        let isTruncated = shown.count < rest.count
        members.append("IsTruncated", .bool(isTruncated))
        if isTruncated, let last = shown.last {
            members.append("Marker", .string(Base64.encode(Array(last.key.1.utf8))))
        }
        return members
    }
}

/// What an IAM operation answers.
struct IAMAnswer: OperationOutput {
    /// Times are values; the wire and the event write them each in their own way.
    var members: WireStructure?
    /// What the event shows where it is not the members.
    var recorded: WireStructure?

    init(_ members: WireStructure? = nil, recorded: WireStructure? = nil) {
        self.members = members
        self.recorded = recorded
    }

    /// The event shows times as `Nov 24, 2026 9:31:30 PM`, as IAM's own events do.
    func answer() -> OperationAnswer {
        guard let members else { return OperationAnswer(recorded: WireStructure()) }
        let shown = recorded ?? members
        return OperationAnswer(
            body: .members(Self.written(members) { $0.iso8601 }),
            recorded: Self.written(shown) { $0.recordFormWithoutComma })
    }

    private static func written(_ structure: WireStructure, _ time: (Timestamp) -> String) -> WireStructure {
        WireStructure(structure.members.map { .init($0.name, written($0.value, time)) })
    }

    private static func written(_ value: WireValue, _ time: (Timestamp) -> String) -> WireValue {
        switch value {
        case .timestamp(let point): .string(time(point))
        case .structure(let structure): .structure(written(structure, time))
        case .list(let items): .list(items.map { written($0, time) })
        default: value
        }
    }
}
