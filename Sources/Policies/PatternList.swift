// SPDX-License-Identifier: Apache-2.0
//
// The patterns of one policy element, compiled: all of them in one buffer of tokens, so that trying them touches no
// other memory and allocates nothing.
// Source: IAM User Guide, "IAM JSON policy elements: Resource", "... Action", "IAM policy elements:
// Variables and tags".

/// What a pattern may contain and how it compares.
struct PatternForm {
    /// Whether `*` and `?` stand for other characters.
    var wildcards = true
    /// Whether `${...}` is replaced. Only under version 2012-10-17.
    var variables = false
    /// Whether upper and lower case are the same.
    var ignoresCase = false
    /// Whether the patterns are ARNs, compared part by part.
    var isARN = false
    /// What becomes of an ARN pattern with too few parts.
    var shortARN = ShortARN.matchesNothing
    /// Whether a lone `*` matches every text, whatever its form. Of resources, not of ARN conditions.
    var starMatchesAll = false
}

/// What a pattern such as `arn:aws:ec2:*`, with fewer than six parts, means.
enum ShortARN {
    /// The missing parts match anything.
    case matchesAnyRest
    /// The same, if the pattern has a wildcard; else it matches nothing.
    case matchesAnyRestAfterWildcard
    case matchesNothing
}

/// A text to be matched, with the places of the first five colons if it has them.
struct Subject {
    let bytes: [UInt8]
    /// Where each of an ARN's six parts begins, then one past the end plus one. Empty if it has no six parts.
    let partStarts: [Int]

    init(_ text: String) { self.init(bytes: Array(text.utf8)) }

    init(bytes: [UInt8]) {
        self.bytes = bytes
        var starts: [Int] = [0]
        starts.reserveCapacity(7)
        for index in bytes.indices where bytes[index] == UInt8(ascii: ":") && starts.count < 6 {
            starts.append(index + 1)
        }
        starts.append(bytes.count + 1)
        partStarts = starts.count == 7 && bytes.starts(with: "arn:".utf8) ? starts : []
    }
}

/// A `${key}` in a pattern.
struct PatternVariable {
    /// The key as the pattern writes it.
    let name: String
    /// The same in lower case.
    let key: String
    let fallback: [UInt8]?
}

struct PatternList {
    /// Tokens are those of `WildcardMatcher`, and from `firstVariable` on the places in `variables`.
    private static let firstVariable: UInt16 = 512
    private static let colon = UInt16(UInt8(ascii: ":"))

    private struct Entry {
        let range: Range<Int>
        /// How many tokens from the start are plain text.
        let plainCount: Int
        let hasVariables: Bool
        /// Where in `partStarts` the places of this ARN's parts are; -1 if it is none.
        let parts: Int
    }

    private let form: PatternForm
    private var tokens: [UInt16] = []
    private var entries: [Entry] = []
    private var partStarts: [Int] = []
    private var variables: [PatternVariable] = []
    /// Whether one of the patterns is a lone star that matches everything.
    private(set) var matchesAll = false

    /// The keys of the variables in the patterns.
    var variableNames: [String] { variables.map(\.name) }

    init(_ patterns: [String], form: PatternForm) {
        self.form = form
        for pattern in patterns { append(pattern) }
    }

    // MARK: Compiling

    private mutating func append(_ pattern: String) {
        if form.starMatchesAll, pattern == "*" {
            matchesAll = true
            return
        }
        let start = tokens.count
        let variablesBefore = variables.count
        // Variables stand only after an ARN's fifth colon when the ARN is a resource; `shortARN` tells these apart
        // from the values of ARN conditions, which may have them anywhere.
        let firstVariableColon = form.isARN && form.starMatchesAll ? 5 : 0
        appendTokens(of: Array((form.ignoresCase ? pattern.lowercased() : pattern).utf8), after: firstVariableColon)
        let hasVariables = variables.count > variablesBefore
        var parts = -1
        if form.isARN, !hasVariables || form.starMatchesAll {
            guard let starts = completeARN(from: start) else {
                tokens.removeSubrange(start...)
                variables.removeSubrange(variablesBefore...)
                return
            }
            parts = partStarts.count
            partStarts.append(contentsOf: starts)
        }
        var plain = 0
        while start + plain < tokens.count, tokens[start + plain] < 256 { plain += 1 }
        entries.append(
            Entry(range: start..<tokens.count, plainCount: plain, hasVariables: hasVariables, parts: parts))
    }

    private mutating func appendTokens(of text: [UInt8], after firstVariableColon: Int) {
        var index = 0
        var colons = 0
        while index < text.count {
            let byte = text[index]
            if byte == UInt8(ascii: "$"), form.variables, colons >= firstVariableColon, index + 1 < text.count,
                text[index + 1] == UInt8(ascii: "{"),
                let end = text[index...].firstIndex(of: UInt8(ascii: "}"))
            {
                appendVariable(text[(index + 2)..<end])
                index = end + 1
                continue
            }
            if byte == UInt8(ascii: ":") { colons += 1 }
            switch byte {
            case UInt8(ascii: "*") where form.wildcards:
                // Two stars say no more than one.
                if tokens.last != WildcardMatcher.star || index == 0 { tokens.append(WildcardMatcher.star) }
            case UInt8(ascii: "?") where form.wildcards: tokens.append(WildcardMatcher.question)
            default: tokens.append(UInt16(byte))
            }
            index += 1
        }
    }

    private mutating func appendVariable(_ inside: ArraySlice<UInt8>) {
        if inside.count == 1, let escaped = inside.first, [UInt8]("*?$".utf8).contains(escaped) {
            tokens.append(UInt16(escaped))
            return
        }
        var key = inside
        var fallback: [UInt8]?
        if let comma = inside.firstIndex(of: UInt8(ascii: ",")) {
            key = inside[..<comma]
            let rest = inside[(comma + 1)...].drop { $0 == 0x20 }
            let quote = UInt8(ascii: "'")
            if rest.count >= 2, rest.first == quote, rest.last == quote {
                fallback = Array(rest.dropFirst().dropLast())
            }
        }
        // More than 65,000 variables do not fit into any document that can be read.
        tokens.append(Self.firstVariable + UInt16(truncatingIfNeeded: min(variables.count, 60_000)))
        let name = String(decoding: key, as: UTF8.self)
        variables.append(PatternVariable(name: name, key: name.lowercased(), fallback: fallback))
    }

    /// The starts of the six parts of the ARN pattern that begins at `start`, after completing it if it is short;
    /// nil if it can match nothing.
    private mutating func completeARN(from start: Int) -> [Int]? {
        guard tokens[start...].starts(with: "arn:".utf8.map { UInt16($0) }) else { return nil }
        var starts = Self.partStarts(of: tokens[start...])
        if starts.count < 6 {
            switch form.shortARN {
            case .matchesNothing: return nil
            case .matchesAnyRestAfterWildcard
            where !tokens[start...].contains { $0 == WildcardMatcher.star || $0 == WildcardMatcher.question }:
                return nil
            default:
                while starts.count < 6 {
                    tokens.append(Self.colon)
                    starts.append(tokens.count)
                    tokens.append(WildcardMatcher.star)
                }
            }
        }
        starts.append(tokens.count + 1)
        return starts
    }

    private static func partStarts(of tokens: ArraySlice<UInt16>) -> [Int] {
        var starts = [tokens.startIndex]
        for index in tokens.indices where tokens[index] == colon && starts.count < 6 { starts.append(index + 1) }
        return starts
    }

    // MARK: Matching

    /// How a list compares with a text.
    enum Outcome {
        case matches
        case differs
        /// No pattern matches, but one of them has a variable without a value.
        case unresolved
    }

    func matches(_ subject: Subject, _ context: RequestContext) -> Bool { compare(subject, context) == .matches }

    func compare(_ subject: Subject, _ context: RequestContext) -> Outcome {
        if matchesAll { return .matches }
        var isUnresolved = false
        let text = subject.bytes.span
        let pattern = tokens.span
        let list = entries.span
        for index in 0..<list.count {
            let entry = list[index]
            guard Self.hasPrefix(pattern, from: entry.range.lowerBound, count: entry.plainCount, text) else { continue }
            if entry.hasVariables {
                guard let expanded = expand(entry.range, context) else {
                    isUnresolved = true
                    continue
                }
                if matches(expanded: expanded, subject) { return .matches }
            } else if form.isARN {
                if Self.matchesParts(pattern, partStarts.span, at: entry.parts, subject) { return .matches }
            } else if WildcardMatcher.matches(pattern, entry.range, text, 0..<text.count) {
                return .matches
            }
        }
        return isUnresolved ? .unresolved : .differs
    }

    private static func hasPrefix(_ pattern: Span<UInt16>, from start: Int, count: Int, _ text: Span<UInt8>) -> Bool {
        guard count <= text.count else { return false }
        // From the end, for ARNs and actions begin alike.
        var offset = count
        while offset > 0 {
            offset -= 1
            if pattern[start + offset] != UInt16(text[offset]) { return false }
        }
        return true
    }

    /// The pattern with its variables replaced by their values, which are plain text even if they hold a star.
    private func expand(_ range: Range<Int>, _ context: RequestContext) -> [UInt16]? {
        var expanded: [UInt16] = []
        for token in tokens[range] {
            guard token >= Self.firstVariable else {
                expanded.append(token)
                continue
            }
            let variable = variables[Int(token - Self.firstVariable)]
            if let value = context.value(lowercased: variable.key), !value.isMultiValued, let bytes = value.values.first
            {
                let folded = form.ignoresCase ? foldedCase(bytes) : bytes
                expanded.append(contentsOf: folded.lazy.map { UInt16($0) })
            } else if let fallback = variable.fallback {
                expanded.append(contentsOf: fallback.lazy.map { UInt16($0) })
            } else {
                return nil
            }
        }
        return expanded
    }

    private func matches(expanded: [UInt16], _ subject: Subject) -> Bool {
        guard form.isARN else {
            return WildcardMatcher.matches(
                expanded.span, 0..<expanded.count, subject.bytes.span, 0..<subject.bytes.count)
        }
        var starts = Self.partStarts(of: expanded[...])
        guard starts.count == 6 else { return false }
        starts.append(expanded.count + 1)
        return Self.matchesParts(expanded.span, starts.span, at: 0, subject)
    }

    private static func matchesParts(
        _ pattern: Span<UInt16>, _ starts: Span<Int>, at first: Int, _ subject: Subject
    ) -> Bool {
        guard !subject.partStarts.isEmpty else { return false }
        let text = subject.bytes.span
        for part in 0..<6 {
            let patternRange = starts[first + part]..<(starts[first + part + 1] - 1)
            let textRange = subject.partStarts[part]..<(subject.partStarts[part + 1] - 1)
            guard WildcardMatcher.matches(pattern, patternRange, text, textRange) else { return false }
        }
        return true
    }
}

/// Text with its case taken away.
func foldedCase(_ bytes: [UInt8]) -> [UInt8] {
    if bytes.allSatisfy({ $0 < 0x80 }) {
        return bytes.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }
    }
    return Array(String(decoding: bytes, as: UTF8.self).lowercased().utf8)
}
