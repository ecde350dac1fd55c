// SPDX-License-Identifier: Apache-2.0
//
// A policy document: read once, checked by the rules of its kind, and compiled into what the engine asks.
// Source: IAM User Guide, "Grammar of the IAM JSON policy language" and the pages of its elements.

/// The services whose resources have policies of their own, as far as their rules differ.
package enum ResourceService: Sendable, Hashable {
    case s3
    case kms
    case sns
    case sqs
    case cloudTrail
    case other
}

/// The kinds of policy document; the grammar differs a little between them.
package enum PolicyKind: Sendable, Hashable {
    /// A managed or inline policy of a user, group or role.
    case identity
    case boundary
    case session
    /// Who may assume a role.
    case trust
    case resource(ResourceService)
    case serviceControl
    case resourceControl

    var hasPrincipals: Bool {
        switch self {
        case .identity, .boundary, .session, .serviceControl: false
        case .trust, .resource, .resourceControl: true
        }
    }

    /// Whether IAM itself takes such documents, with its order of checks and its words.
    var isCheckedByIAM: Bool {
        switch self {
        case .identity, .boundary, .session, .trust: true
        case .resource, .serviceControl, .resourceControl: false
        }
    }

    var shortARN: ShortARN {
        switch self {
        case .identity, .boundary, .session, .trust: .matchesAnyRest
        case .resource, .serviceControl: .matchesAnyRestAfterWildcard
        case .resourceControl: .matchesNothing
        }
    }
}

package struct PolicyDocument: Sendable {
    package enum Version: String, Sendable, Hashable {
        /// The language without variables. Documents that name no version are of this one.
        case v2008 = "2008-10-17"
        case v2012 = "2012-10-17"
    }

    package let kind: PolicyKind
    /// The document as it was given.
    package let text: [UInt8]
    package let version: Version
    package let id: String?
    /// The name that decisions give as the policy's: its ARN, or the inline policy's name. Only for operators.
    package var name: String
    /// The principals that the document names, in its order.
    package let principals: [PrincipalMention]
    let statements: [PolicyStatement]
    /// Whether it asks for a tag of the object that is there.
    let asksForObjectTags: Bool

    /// Reads a document that somebody wants to store, by all rules of its kind. Lengths are `PolicySizeLimit`'s part,
    /// and what is special about buckets `validateBucketPolicy`'s.
    package static func parse(
        _ json: [UInt8], as kind: PolicyKind, name: String = ""
    ) throws(PolicyError) -> PolicyDocument {
        try PolicySizeLimit.request.check(size: json.count, kind: kind)
        return try PolicyGrammar.read(json, as: kind, name: name, isStored: false)
    }

    /// Reads a document that was stored before, perhaps under rules that were narrower or wider than today's.
    /// Statements that could not be written today are kept and apply as far as the language gives them a meaning.
    package static func parse(
        stored json: [UInt8], as kind: PolicyKind, name: String
    ) throws(PolicyError) -> PolicyDocument {
        try PolicySizeLimit.request.check(size: json.count, kind: kind)
        return try PolicyGrammar.read(json, as: kind, name: name, isStored: true)
    }

    /// The number of statements.
    package var statementCount: Int { statements.count }

    /// The context keys that the document asks for, in conditions and as variables, each once, in its order.
    package var contextKeys: [String] {
        var keys: [String] = []
        var seen: Set<String> = []
        for statement in statements {
            for name in statement.contextKeys where seen.insert(name.lowercased()).inserted { keys.append(name) }
        }
        return keys
    }

    /// The text with some of its principals written otherwise: IAM stores users and roles by their ids, so that
    /// nobody inherits rights by taking a deleted user's name, and shows them by their ARNs. `other` gives the new
    /// form, or nil to leave a principal as it is.
    package func text(replacingPrincipals other: (PrincipalMention) -> String?) -> [UInt8] {
        var result: [UInt8] = []
        var copied = 0
        for mention in principals.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
            guard let replacement = other(mention) else { continue }
            result.append(contentsOf: text[copied..<mention.range.lowerBound])
            result.append(UInt8(ascii: "\""))
            for byte in replacement.utf8 { Self.append(byte, to: &result) }
            result.append(UInt8(ascii: "\""))
            copied = mention.range.upperBound
        }
        result.append(contentsOf: text[copied...])
        return result
    }

    /// Appends a byte of a JSON string, escaped where RFC 8259 asks for it.
    private static func append(_ byte: UInt8, to text: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            text.append(UInt8(ascii: "\\"))
            text.append(byte)
        case 0..<0x20:
            let digits = Array("0123456789abcdef".utf8)
            text.append(contentsOf: Array("\\u00".utf8))
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 0xF)])
        default:
            text.append(byte)
        }
    }
}

/// One statement, compiled. A class, so that walking over statements copies nothing.
final class PolicyStatement: Sendable {
    let index: Int
    let position: Int
    let sid: String?
    let isAllow: Bool
    let principals: PrincipalClause?
    let actionTexts: [String]
    let isNotAction: Bool
    /// Nil where statements have no resource: in trust policies.
    let resourceTexts: [String]?
    let isNotResource: Bool
    let conditions: [PolicyCondition]
    private let actions: PatternList
    private let resources: PatternList

    init(
        index: Int, position: Int, sid: String?, isAllow: Bool, principals: PrincipalClause?, actionTexts: [String],
        isNotAction: Bool, resourceTexts: [String]?, isNotResource: Bool, conditions: [PolicyCondition],
        kind: PolicyKind, hasVariables: Bool
    ) {
        self.index = index
        self.position = position
        self.sid = sid
        self.isAllow = isAllow
        self.principals = principals
        self.actionTexts = actionTexts
        self.isNotAction = isNotAction
        self.resourceTexts = resourceTexts
        self.isNotResource = isNotResource
        self.conditions = conditions
        actions = PatternList(actionTexts, form: PatternForm(ignoresCase: true, starMatchesAll: true))
        resources = PatternList(
            resourceTexts ?? [],
            form: PatternForm(
                variables: hasVariables, isARN: true, shortARN: kind.shortARN, starMatchesAll: true))
    }

    /// Whether the statement speaks about this action, given in lower case.
    func covers(action: Subject, _ context: RequestContext) -> Bool {
        actions.matches(action, context) != isNotAction
    }

    func covers(resource: Subject, _ context: RequestContext) -> Bool {
        guard resourceTexts != nil else { return true }
        let outcome = resources.compare(resource, context)
        guard isNotResource else { return outcome == .matches }
        // Without the variable's value nobody knows what is outside: nothing to allow, everything to deny.
        return outcome == .differs || (outcome == .unresolved && !isAllow)
    }

    var contextKeys: [String] {
        resources.variableNames + conditions.flatMap { [$0.key] + $0.variableNames }
    }

    func conditionsHold(in context: RequestContext) -> Bool {
        for condition in conditions where !condition.holds(in: context) { return false }
        return true
    }
}
