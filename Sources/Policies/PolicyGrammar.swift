// SPDX-License-Identifier: Apache-2.0
//
// From JSON to a compiled document. IAM tells the writer of a wrong policy one thing of all that is wrong, in a fixed
// order of checks; so the walk collects what it finds, with each finding's place in that order, and the first is told.
// Source: IAM User Guide, "Grammar of the IAM JSON policy language" and the pages of its elements.

struct PolicyGrammar {
    /// The order of IAM's checks. Services with other documents have the order of the text.
    enum Rank: Int {
        case syntax
        case principalSpecified
        case version
        case legacyParsing
        case sid
        case actionsExist
        case resources
        case actions
        case resourcesExist
        case trustActions
        case trustResource
        case principals
    }

    private let kind: PolicyKind
    private let isStored: Bool
    private let bytes: [UInt8]
    private var findings: [(rank: Int, error: PolicyError)] = []
    private var mentions: [PrincipalMention] = []
    private var sids: Set<String> = []
    private var hasVariables = false

    static func read(
        _ bytes: [UInt8], as kind: PolicyKind, name: String, isStored: Bool
    ) throws(PolicyError) -> PolicyDocument {
        var grammar = PolicyGrammar(kind: kind, isStored: isStored, bytes: bytes)
        return try grammar.readDocument(name: name)
    }

    private init(kind: PolicyKind, isStored: Bool, bytes: [UInt8]) {
        self.kind = kind
        self.isStored = isStored
        self.bytes = bytes
    }

    // MARK: Findings

    private func error(_ reason: PolicyError.Reason, at position: Int, _ detail: String) -> PolicyError {
        PolicyError(reason: reason, kind: kind, position: position, detail: detail)
    }

    /// Notes what may not be written, but has a meaning or none if it was stored before.
    private mutating func find(_ rank: Rank, _ reason: PolicyError.Reason, at position: Int, _ detail: String) {
        guard !isStored else { return }
        findings.append((kind.isCheckedByIAM ? rank.rawValue : 0, error(reason, at: position, detail)))
    }

    // MARK: The document

    private mutating func readDocument(name: String) throws(PolicyError) -> PolicyDocument {
        if kind == .resource(.s3), bytes.first != UInt8(ascii: "{") {
            throw error(.notAnObject, at: 0, "the document must begin with {")
        }
        let root: JSONNode
        do {
            root = try JSONReader.read(bytes)
        } catch {
            throw self.error(error.isDoubledMember ? .syntax : .invalidJSON, at: error.position, error.detail)
        }
        guard case .object(let members) = root.value else {
            throw error(kind.isCheckedByIAM ? .syntax : .notAnObject, at: root.range.lowerBound, "no JSON object")
        }
        checkCharacters()
        var version: PolicyDocument.Version?
        var id: String?
        var statementNodes: [JSONNode]?
        var versionPosition = root.range.lowerBound
        for member in members {
            switch member.name {
            case "Version":
                let text = try string(member.node, "Version")
                guard let known = PolicyDocument.Version(rawValue: text) else {
                    throw error(.unknownVersion, at: member.node.range.lowerBound, "the version must be 2012-10-17")
                }
                version = known
                versionPosition = member.node.range.lowerBound
            case "Id":
                id = try string(member.node, "Id")
            case "Statement":
                switch member.node.value {
                case .array(let nodes): statementNodes = nodes
                case .object: statementNodes = [member.node]
                default: throw error(.syntax, at: member.node.range.lowerBound, "Statement must be an object or a list")
                }
            default:
                throw unknownField(member)
            }
        }
        guard let statementNodes else { throw error(.missingStatement, at: root.range.lowerBound, "no Statement") }
        guard !statementNodes.isEmpty else {
            throw error(.emptyStatement, at: root.range.lowerBound, "Statement is empty")
        }
        if version != .v2012, requiresCurrentVersion {
            find(.version, .oldVersion, at: versionPosition, "Version must be 2012-10-17")
        }
        hasVariables = version == .v2012
        var statements: [PolicyStatement] = []
        for (index, node) in statementNodes.enumerated() {
            statements.append(try readStatement(node, index: index))
        }
        var first: (rank: Int, error: PolicyError)?
        for finding in findings where first.map({ finding.rank < $0.rank }) ?? true { first = finding }
        if let first { throw first.error }
        return PolicyDocument(
            kind: kind, text: bytes, version: version ?? .v2008, id: id, name: name, principals: mentions,
            statements: statements,
            asksForObjectTags: statements.contains { statement in
                statement.contextKeys.contains { $0.lowercased().hasPrefix("s3:existingobjecttag/") }
            })
    }

    private var requiresCurrentVersion: Bool {
        switch kind {
        case .identity, .boundary, .session, .trust, .serviceControl, .resourceControl: true
        case .resource: false
        }
    }

    private func unknownField(_ member: JSONMember) -> PolicyError {
        if case .resource(.s3) = kind {
            return error(.prohibitedField(member.name), at: member.position, "there is no element \(member.name)")
        }
        return error(.syntax, at: member.position, "there is no element \(member.name)")
    }

    /// IAM takes tab, line ends, and U+0020 to U+00FF.
    private mutating func checkCharacters() {
        guard kind.isCheckedByIAM, !isStored, let place = bytes.firstIndex(where: { $0 > 0xC3 }) else { return }
        find(.syntax, .forbiddenCharacter, at: place, "characters above U+00FF are not allowed")
    }

    private func string(_ node: JSONNode, _ element: String) throws(PolicyError) -> String {
        guard case .string(let text) = node.value else {
            throw error(.syntax, at: node.range.lowerBound, "\(element) must be a string")
        }
        return text
    }

    private func strings(_ node: JSONNode, _ element: String) throws(PolicyError) -> [(text: String, range: Range<Int>)]
    {
        switch node.value {
        case .string(let text): return [(text, node.range)]
        case .array(let nodes):
            var texts: [(text: String, range: Range<Int>)] = []
            for node in nodes { texts.append((try string(node, element), node.range)) }
            return texts
        default: throw error(.syntax, at: node.range.lowerBound, "\(element) must be a string or a list of strings")
        }
    }

    // MARK: Statements

    private mutating func readStatement(_ node: JSONNode, index: Int) throws(PolicyError) -> PolicyStatement {
        let position = node.range.lowerBound
        guard case .object(let members) = node.value else {
            throw error(.syntax, at: position, "a statement must be an object")
        }
        var elements: [String: JSONNode] = [:]
        for member in members {
            guard Self.elements.contains(member.name) else { throw unknownField(member) }
            elements[member.name] = member.node
        }
        for (one, other) in [("Principal", "NotPrincipal"), ("Action", "NotAction"), ("Resource", "NotResource")]
        where elements[one] != nil && elements[other] != nil {
            throw error(.syntax, at: position, "\(one) and \(other) exclude each other")
        }
        let sid = try readSid(elements["Sid"])
        let isAllow = try readEffect(elements["Effect"], statement: position)
        let principals = try readPrincipals(elements, isAllow: isAllow, statement: position)
        let isNotAction = elements["NotAction"] != nil
        let actions = try readActions(elements["Action"] ?? elements["NotAction"], statement: position)
        let isNotResource = elements["NotResource"] != nil
        let resources = try readResources(elements["Resource"] ?? elements["NotResource"], statement: position)
        let conditions = try readConditions(elements["Condition"])
        if kind == .resourceControl { checkResourceControl(isAllow, elements, position) }
        return PolicyStatement(
            index: index, position: position, sid: sid, isAllow: isAllow, principals: principals, actionTexts: actions,
            isNotAction: isNotAction, resourceTexts: resources, isNotResource: isNotResource, conditions: conditions,
            kind: kind, hasVariables: hasVariables)
    }

    private static let elements: Set<String> = [
        "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
    ]

    private mutating func readSid(_ node: JSONNode?) throws(PolicyError) -> String? {
        guard let node else { return nil }
        let sid = try string(node, "Sid")
        guard !sid.isEmpty else { return nil }
        if !sids.insert(sid).inserted {
            find(.sid, .doubledSid, at: node.range.lowerBound, "another statement has the Sid \(sid)")
        }
        if kind.isCheckedByIAM, !sid.utf8.allSatisfy(Self.isSidByte) {
            find(.sid, .sid, at: node.range.lowerBound, "a Sid has letters and digits alone")
        }
        return sid
    }

    private static func isSidByte(_ byte: UInt8) -> Bool {
        decimalDigit(byte) != nil || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    private mutating func readEffect(_ node: JSONNode?, statement: Int) throws(PolicyError) -> Bool {
        guard let node else {
            throw error(
                kind.isCheckedByIAM ? .syntax : .missingField("Effect"), at: statement,
                "a statement must have an Effect")
        }
        let effect = try string(node, "Effect")
        switch effect {
        case "Allow": return true
        case "Deny": return false
        default:
            let isWrongCase = effect.lowercased() == "allow" || effect.lowercased() == "deny"
            let place = node.range.lowerBound
            if kind.isCheckedByIAM, !isWrongCase { throw error(.syntax, at: place, "Effect must be Allow or Deny") }
            guard !isStored else { throw error(.invalidEffect(effect), at: place, "Effect must be Allow or Deny") }
            find(.legacyParsing, .invalidEffect(effect), at: place, "Effect must be Allow or Deny, in this case")
            return false
        }
    }

    private mutating func readActions(_ node: JSONNode?, statement: Int) throws(PolicyError) -> [String] {
        guard let node else {
            find(.actionsExist, .missingField("Action"), at: statement, "a statement must have Action or NotAction")
            return []
        }
        let actions = try strings(node, "Action")
        if actions.isEmpty {
            find(.actionsExist, .missingField("Action"), at: node.range.lowerBound, "the list of actions is empty")
        }
        for action in actions where !isStored {
            if let fault = ElementRules.fault(action: action.text, kind: kind) {
                find(fault.rank, fault.reason, at: action.range.lowerBound, fault.detail)
            }
        }
        return actions.map(\.text)
    }

    private mutating func readResources(_ node: JSONNode?, statement: Int) throws(PolicyError) -> [String]? {
        if kind == .trust {
            guard let node else { return nil }
            find(
                .trustResource, .prohibitedField("Resource"), at: node.range.lowerBound,
                "a trust policy has no Resource")
            return try strings(node, "Resource").map(\.text)
        }
        guard let node else {
            find(.resourcesExist, .missingField("Resource"), at: statement, "a statement must have Resource")
            return []
        }
        let resources = try strings(node, "Resource")
        if resources.isEmpty {
            find(
                .resourcesExist, .missingField("Resource"), at: node.range.lowerBound, "the list of resources is empty")
        }
        for resource in resources where !isStored {
            if let fault = ElementRules.fault(resource: resource.text, kind: kind) {
                find(fault.rank, fault.reason, at: resource.range.lowerBound, fault.detail)
            }
        }
        return resources.map(\.text)
    }

    // MARK: Principals

    private mutating func readPrincipals(
        _ elements: [String: JSONNode], isAllow: Bool, statement: Int
    ) throws(PolicyError) -> PrincipalClause? {
        let isNot = elements["NotPrincipal"] != nil
        guard let node = elements["Principal"] ?? elements["NotPrincipal"] else {
            if kind.hasPrincipals {
                find(.principals, .missingField("Principal"), at: statement, "a statement must have a Principal")
            }
            return nil
        }
        let place = node.range.lowerBound
        guard kind.hasPrincipals else {
            find(
                .principalSpecified, .prohibitedField("Principal"), at: place, "this kind of policy names no principal")
            return nil
        }
        if isNot, kind == .trust {
            find(.principals, .prohibitedField("NotPrincipal"), at: place, "a trust policy has no NotPrincipal")
        }
        if isNot, isAllow, kind != .trust {
            find(.principals, .notOfThisKind, at: place, "NotPrincipal does not go together with Allow")
        }
        var found: [PrincipalMention] = []
        switch node.value {
        case .string(let text):
            found.append(PrincipalMention(kind: .everyone, value: text, range: node.range))
            if kind == .trust, text == "*" {
                find(
                    .principals, .principal(kind: "*", value: "*"), at: place,
                    "a trust policy must say {\"AWS\": \"*\"}")
            }
        case .object(let members):
            if members.isEmpty { throw error(.syntax, at: place, "Principal is empty") }
            for member in members {
                guard let kind = PrincipalMention.Kind(rawValue: member.name), kind != .everyone else {
                    find(
                        .principals, .principal(kind: member.name, value: ""), at: member.position,
                        "there are no principals of the kind \(member.name)")
                    continue
                }
                for value in try strings(member.node, member.name) {
                    found.append(PrincipalMention(kind: kind, value: value.text, range: value.range))
                }
            }
            if found.isEmpty {
                find(.principals, .missingField("Principal"), at: place, "Principal names nobody")
            }
        default:
            throw error(.syntax, at: place, "Principal must be \"*\" or an object")
        }
        mentions.append(contentsOf: found.filter { $0.kind != .everyone })
        return PrincipalClause(isNot: isNot, patterns: found.map { pattern(for: $0) })
    }

    private mutating func pattern(for mention: PrincipalMention) -> PrincipalPattern {
        let isCanonicalElsewhere = mention.kind == .canonicalUser && kind != .resource(.s3)
        guard let pattern = PrincipalPattern(mention), !isCanonicalElsewhere else {
            find(
                .principals, .principal(kind: mention.kind.rawValue, value: mention.value),
                at: mention.range.lowerBound, "\(mention.value) is no principal")
            return .nobody
        }
        return pattern
    }

    // MARK: Conditions

    private mutating func readConditions(_ node: JSONNode?) throws(PolicyError) -> [PolicyCondition] {
        guard let node else { return [] }
        guard case .object(let operators) = node.value else {
            throw error(.syntax, at: node.range.lowerBound, "Condition must be an object")
        }
        var conditions: [PolicyCondition] = []
        for entry in operators {
            guard let test = ConditionOperator(entry.name) else {
                throw error(.unknownOperator(entry.name), at: entry.position, "there is no operator \(entry.name)")
            }
            guard case .object(let keys) = entry.node.value else {
                throw error(.syntax, at: entry.node.range.lowerBound, "an operator must have an object of keys")
            }
            for key in keys {
                let values = try conditionValues(key.node)
                let condition = PolicyCondition(test, key: key.name, values: values, hasVariables: hasVariables)
                if condition.hasInvalidDate, kind.isCheckedByIAM {
                    find(.legacyParsing, .legacyParsing, at: key.node.range.lowerBound, "this is no date")
                }
                if let fault = ElementRules.fault(conditionKey: key.name, kind: kind) {
                    find(fault.rank, fault.reason, at: key.position, fault.detail)
                }
                conditions.append(condition)
            }
        }
        return conditions
    }

    private func conditionValues(_ node: JSONNode) throws(PolicyError) -> [String] {
        let nodes: [JSONNode]
        if case .array(let several) = node.value { nodes = several } else { nodes = [node] }
        var values: [String] = []
        for node in nodes {
            switch node.value {
            case .string(let text), .number(let text): values.append(text)
            case .bool(let flag): values.append(flag ? "true" : "false")
            case .null, .array, .object:
                throw error(
                    .syntax, at: node.range.lowerBound, "a condition compares with strings, numbers and booleans")
            }
        }
        return values
    }

    // MARK: Resource control policies

    /// Source: AWS Organizations User Guide, "RCP syntax".
    private mutating func checkResourceControl(_ isAllow: Bool, _ elements: [String: JSONNode], _ position: Int) {
        if isAllow { find(.syntax, .notOfThisKind, at: position, "a resource control policy only denies") }
        for element in ["NotPrincipal", "NotAction"] {
            guard let node = elements[element] else { continue }
            find(.syntax, .notOfThisKind, at: node.range.lowerBound, "a resource control policy has no \(element)")
        }
        if let node = elements["Principal"] {
            guard case .string("*") = node.value else {
                find(.syntax, .notOfThisKind, at: node.range.lowerBound, "Principal must be \"*\"")
                return
            }
        }
    }
}
