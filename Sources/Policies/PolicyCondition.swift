// SPDX-License-Identifier: Apache-2.0
//
// One line of a Condition block, compiled, and its truth for one request.
// Source: IAM User Guide, "IAM JSON policy elements: Condition operators", "Conditions with multiple context keys or
// values", "Single-valued vs. multivalued context keys".

/// A condition operator, taken apart.
struct ConditionOperator: Hashable {
    enum Comparison: Hashable {
        case equals
        case less
        case lessOrEqual
        case greater
        case greaterOrEqual
    }

    enum Base: Hashable {
        case string(wildcards: Bool, ignoresCase: Bool)
        case numeric(Comparison)
        case date(Comparison)
        case bool
        case binary
        case address
        case arn
        case null
    }

    /// How the values of a key with several are taken.
    enum Gathering: Hashable {
        case single
        case forAll
        case forAny
    }

    let base: Base
    let isNegated: Bool
    let ifExists: Bool
    let gathering: Gathering

    /// Takes the name of an operator as policies write it, in any case; nil if there is none of that name.
    init?(_ name: String) {
        var rest = name.lowercased()[...]
        if rest.hasPrefix("forallvalues:") {
            gathering = .forAll
            rest = rest.dropFirst("forallvalues:".count)
        } else if rest.hasPrefix("foranyvalue:") {
            gathering = .forAny
            rest = rest.dropFirst("foranyvalue:".count)
        } else {
            gathering = .single
        }
        ifExists = rest.hasSuffix("ifexists")
        if ifExists { rest = rest.dropLast("ifexists".count) }
        guard let (base, isNegated) = Self.bases[String(rest)] else { return nil }
        if base == .null, ifExists || gathering != .single { return nil }
        self.base = base
        self.isNegated = isNegated
    }

    private static let bases: [String: (Base, Bool)] = [
        "stringequals": (.string(wildcards: false, ignoresCase: false), false),
        "stringnotequals": (.string(wildcards: false, ignoresCase: false), true),
        "stringequalsignorecase": (.string(wildcards: false, ignoresCase: true), false),
        "stringnotequalsignorecase": (.string(wildcards: false, ignoresCase: true), true),
        "stringlike": (.string(wildcards: true, ignoresCase: false), false),
        "stringnotlike": (.string(wildcards: true, ignoresCase: false), true),
        "numericequals": (.numeric(.equals), false),
        "numericnotequals": (.numeric(.equals), true),
        "numericlessthan": (.numeric(.less), false),
        "numericlessthanequals": (.numeric(.lessOrEqual), false),
        "numericgreaterthan": (.numeric(.greater), false),
        "numericgreaterthanequals": (.numeric(.greaterOrEqual), false),
        "dateequals": (.date(.equals), false),
        "datenotequals": (.date(.equals), true),
        "datelessthan": (.date(.less), false),
        "datelessthanequals": (.date(.lessOrEqual), false),
        "dategreaterthan": (.date(.greater), false),
        "dategreaterthanequals": (.date(.greaterOrEqual), false),
        "bool": (.bool, false),
        "binaryequals": (.binary, false),
        "ipaddress": (.address, false),
        "notipaddress": (.address, true),
        "arnequals": (.arn, false),
        "arnlike": (.arn, false),
        "arnnotequals": (.arn, true),
        "arnnotlike": (.arn, true),
        "null": (.null, false),
    ]
}

/// One operator, one key, and the values it is compared with.
struct PolicyCondition {
    let test: ConditionOperator
    /// The key as the policy writes it.
    let key: String
    /// The values as the policy writes them.
    let values: [String]
    private let lookup: String
    private let comparands: Comparands

    private enum Comparands {
        case patterns(PatternList)
        /// Numbers that the policy writes wrongly are nil, and never match.
        case numbers([DecimalNumber?])
        case dates([PolicyDate?])
        case flags([Bool?])
        case binaries([[UInt8]?])
        case ranges([AddressRange?])
    }

    init(_ test: ConditionOperator, key: String, values: [String], hasVariables: Bool) {
        self.test = test
        self.key = key
        self.values = values
        lookup = key.lowercased()
        let bytes = values.map { Array($0.utf8) }
        switch test.base {
        case .string(let wildcards, let ignoresCase):
            let form = PatternForm(wildcards: wildcards, variables: hasVariables, ignoresCase: ignoresCase)
            comparands = .patterns(PatternList(values, form: form))
        case .arn:
            comparands = .patterns(PatternList(values, form: PatternForm(variables: hasVariables, isARN: true)))
        case .numeric: comparands = .numbers(bytes.map { DecimalNumber($0) })
        case .date: comparands = .dates(bytes.map { PolicyDate($0) })
        case .bool, .null: comparands = .flags(bytes.map { Self.flag($0) })
        case .binary: comparands = .binaries(bytes.map { decodedBase64($0) })
        case .address: comparands = .ranges(bytes.map { AddressRange($0) })
        }
    }

    private static func flag(_ text: [UInt8]) -> Bool? {
        switch foldedCase(text) {
        case Array("true".utf8): true
        case Array("false".utf8): false
        default: nil
        }
    }

    /// Whether a date among the values is none.
    var hasInvalidDate: Bool {
        if case .dates(let dates) = comparands { dates.contains { $0 == nil } } else { false }
    }

    /// The keys of the variables among the values.
    var variableNames: [String] {
        if case .patterns(let patterns) = comparands { patterns.variableNames } else { [] }
    }

    /// The ranges that an address operator names; an unreadable one is nil.
    var ranges: [AddressRange?]? {
        if case .ranges(let ranges) = comparands { ranges } else { nil }
    }

    func holds(in context: RequestContext) -> Bool {
        let found = context.value(lowercased: lookup)
        let isMissing = found?.values.isEmpty ?? true
        if case .null = test.base, case .flags(let flags) = comparands { return flags.contains(isMissing) }
        guard let found, !isMissing else {
            return switch test.gathering {
            case .forAll: true
            case .forAny: false
            case .single: test.isNegated || test.ifExists
            }
        }
        switch test.gathering {
        case .single:
            // Several values with an operator for one never match, negated or not.
            return !found.isMultiValued && holds(for: found.values[0], context)
        case .forAny:
            return !Self.isEmptySet(found) && found.values.contains { holds(for: $0, context) }
        case .forAll:
            return Self.isEmptySet(found) || found.values.allSatisfy { holds(for: $0, context) }
        }
    }

    /// A lone empty string counts as no value at all.
    private static func isEmptySet(_ found: ContextValue) -> Bool { found.values.count == 1 && found.values[0].isEmpty }

    private func holds(for value: [UInt8], _ context: RequestContext) -> Bool {
        switch comparands {
        case .patterns(let patterns):
            let ignoresCase = test.base == .string(wildcards: false, ignoresCase: true)
            let subject = Subject(bytes: ignoresCase ? foldedCase(value) : value)
            return patterns.matches(subject, context) != test.isNegated
        case .numbers(let numbers):
            return compare(DecimalNumber(value), with: numbers)
        case .dates(let dates):
            return compare(PolicyDate(value), with: dates)
        case .flags(let flags):
            guard let flag = Self.flag(value) else { return false }
            return flags.contains(flag)
        case .binaries(let binaries):
            return binaries.contains(value)
        case .ranges(let ranges):
            guard let address = NetworkAddress(value[...]) else { return test.isNegated }
            return ranges.contains { $0?.contains(address) ?? false } != test.isNegated
        }
    }

    /// What is no number or no date matches nothing, and does not differ from anything either.
    private func compare<Value: Comparable>(_ value: Value?, with others: [Value?]) -> Bool {
        guard let value else { return false }
        let comparison: ConditionOperator.Comparison
        switch test.base {
        case .numeric(let found), .date(let found): comparison = found
        default: return false
        }
        if test.isNegated { return others.allSatisfy { $0 != nil && $0 != value } }
        return others.contains { other in
            guard let other else { return false }
            return switch comparison {
            case .equals: value == other
            case .less: value < other
            case .lessOrEqual: value <= other
            case .greater: value > other
            case .greaterOrEqual: value >= other
            }
        }
    }
}
