// SPDX-License-Identifier: Apache-2.0
//
// Which messages a subscription takes. Keys are joined by AND, the conditions of one key by OR.
// Source: Amazon SNS Developer Guide, "Amazon SNS subscription filter policies", "String value matching", "Numeric value
// matching", "Key matching", "AND/OR logic".

internal import AWSWire

struct FilterPolicy: Sendable {
    static let keysMax = 5
    static let conditionsMax = 150

    private indirect enum Node: Sendable {
        case all([(key: String, node: Node)])
        case any([Node])
        case leaf([Condition])
    }

    private enum Condition: Sendable {
        case equals(WireValue)
        case ignoringCase(String)
        case prefix(String)
        case suffix(String)
        case numeric([(String, Double)])
        case exists(Bool)
        case anythingBut([Condition])
    }

    private let root: Node
    private let isOfBody: Bool

    /// - Parameter isOfBody: whether it looks into the message's body, which may be nested, instead of its attributes.
    /// - Throws: `InvalidParameter` that says what is wrong; `InvalidParameter` too for conditions that are not offered.
    init(_ text: String, isOfBody: Bool) throws(AWSError) {
        guard let fields = (try? WireValue(json: Array(text.utf8)))?.asStructure else {
            throw Self.problem("failed to parse JSON")
        }
        guard isOfBody || fields.members.count <= Self.keysMax else {
            throw Self.problem("Filter policy can not have more than \(Self.keysMax) keys")
        }
        var count = 0
        root = try Self.node(fields, isOfBody: isOfBody, depth: 0, &count)
        guard count <= Self.conditionsMax else { throw Self.problem("Filter policy is too complex") }
        self.isOfBody = isOfBody
    }

    func takes(_ body: String, _ attributes: [String: MessageAttribute]) -> Bool {
        guard isOfBody else { return matches(root, .structure(Self.values(attributes))) }
        guard let value = try? WireValue(json: Array(body.utf8)), value.asStructure != nil else { return false }
        return matches(root, value)
    }

    // MARK: Reading

    private static func problem(_ reason: String) -> AWSError { .invalidTopicParameter("FilterPolicy: \(reason)") }

    private static func node(
        _ fields: WireStructure, isOfBody: Bool, depth: Int, _ count: inout Int
    ) throws(AWSError) -> Node {
        guard depth < 16 else { throw problem("Filter policy is nested too deeply") }
        var all: [(key: String, node: Node)] = []
        for member in fields.members {
            switch member.value {
            case .list(let items) where member.name == "$or":
                var any: [Node] = []
                for item in items {
                    guard let inner = item.asStructure else { throw problem("$or must hold objects") }
                    any.append(try node(inner, isOfBody: isOfBody, depth: depth + 1, &count))
                }
                guard any.count >= 2 else { throw problem("$or must hold at least two objects") }
                all.append(("", .any(any)))
            case .list(let items):
                guard !items.isEmpty else { throw problem("Empty arrays are not allowed") }
                var conditions: [Condition] = []
                for item in items { conditions.append(try condition(item)) }
                count += conditions.count
                all.append((member.name, .leaf(conditions)))
            case .structure(let inner) where isOfBody:
                all.append((member.name, try node(inner, isOfBody: true, depth: depth + 1, &count)))
            default: throw problem("\"\(member.name)\" must be an object or an array")
            }
        }
        guard !all.isEmpty else { throw problem("Empty objects are not allowed") }
        return .all(all)
    }

    private static func condition(_ value: WireValue) throws(AWSError) -> Condition {
        guard let fields = value.asStructure else {
            if value.asList != nil { throw problem("Match value must be String, number, true, false, or null") }
            return .equals(value)
        }
        guard fields.members.count == 1, let member = fields.members.first else {
            throw problem("Only one key allowed in match expression")
        }
        switch (member.name, member.value) {
        case ("prefix", .string(let text)): return .prefix(text)
        case ("suffix", .string(let text)): return .suffix(text)
        case ("equals-ignore-case", .string(let text)): return .ignoringCase(text.lowercased())
        case ("exists", .bool(let flag)): return .exists(flag)
        case ("anything-but", let value):
            switch value {
            case .list(let items): return .anythingBut(items.map { .equals($0) })
            case .structure: return .anythingBut([try condition(value)])
            default: return .anythingBut([.equals(value)])
            }
        case ("numeric", .list(let items)):
            guard [2, 4].contains(items.count) else {
                throw problem("Value of numeric must be a comparison or a range")
            }
            var tests: [(String, Double)] = []
            for index in stride(from: 0, to: items.count, by: 2) {
                guard let sign = items[index].asString, ["=", "<", "<=", ">", ">="].contains(sign),
                    let bound = number(items[index + 1])
                else { throw problem("Unrecognized numeric range operator") }
                tests.append((sign, bound))
            }
            return .numeric(tests)
        default: throw problem("Unrecognized match type \(member.name)")
        }
    }

    // MARK: Matching

    /// The attributes as a body would have them; a `String.Array` has several values.
    private static func values(_ attributes: [String: MessageAttribute]) -> WireStructure {
        WireStructure(
            attributes.map { name, attribute in
                var value = WireValue.null
                if case .text(let text) = attribute.value {
                    value = .string(text)
                    if attribute.type.hasPrefix("Number") { value = Double(text).map { .number($0) } ?? value }
                    if attribute.type == "String.Array" { value = (try? WireValue(json: Array(text.utf8))) ?? value }
                }
                return WireStructure.Member(name, value)
            })
    }

    private func matches(_ node: Node, _ value: WireValue?) -> Bool {
        switch node {
        case .all(let parts):
            // One of several objects in a list is enough.
            if case .list(let items)? = value { return items.contains { matches(node, $0) } }
            return parts.allSatisfy { part in
                matches(part.node, part.key.isEmpty ? value : value?.asStructure?[part.key])
            }
        case .any(let nodes): return nodes.contains { matches($0, value) }
        case .leaf(let conditions):
            let values: [WireValue] =
                switch value {
                case nil: []
                case .list(let items)?: items
                case let single?: [single]
                }
            return conditions.contains { Self.holds($0, values, isThere: value != nil) }
        }
    }

    private static func holds(_ condition: Condition, _ values: [WireValue], isThere: Bool) -> Bool {
        switch condition {
        case .exists(let flag): return flag == isThere
        case .anythingBut(let others):
            return isThere && !others.contains { other in values.contains { holds(other, [$0], isThere: true) } }
        case .equals(let wanted):
            return values.contains { value in
                if let a = number(wanted), let b = number(value) { return a == b }
                return value == wanted
            }
        case .ignoringCase(let text): return values.contains { $0.asString?.lowercased() == text }
        case .prefix(let text): return values.contains { $0.asString.map { $0.utf8.starts(with: text.utf8) } ?? false }
        case .suffix(let text):
            return values.contains { value in
                value.asString.map { $0.utf8.reversed().starts(with: text.utf8.reversed()) } ?? false
            }
        case .numeric(let tests):
            return values.contains { value in
                guard let number = number(value) else { return false }
                return tests.allSatisfy { sign, bound in
                    switch sign {
                    case "=": number == bound
                    case "<": number < bound
                    case "<=": number <= bound
                    case ">": number > bound
                    default: number >= bound
                    }
                }
            }
        }
    }

    private static func number(_ value: WireValue) -> Double? {
        switch value {
        case .integer(let number): Double(number)
        case .number(let number): number
        default: nil
        }
    }
}
