// SPDX-License-Identifier: Apache-2.0
//
// The filter language, told for its users in docs/filter-language.md:
//
//     filter  = any
//     any     = all { ("or" | "||") all }
//     all     = term { ["and" | "&&"] term }           terms side by side are joined by "and"
//     term    = ("not" | "!") term | "(" any ")" | text | test
//     text    = a quoted text: stands somewhere in the record
//     test    = path "exists"
//             | path ("=" | "==" | "!=" | "~" | "!~" | "<" | "<=" | ">" | ">=") value
//             | path ["not"] "in" ( value | "(" value { "," value } ")" )
//     path    = name { "." name }; a name is letters, digits, "_" and "-", or quoted
//     value   = a quoted text, or a word up to the next blank or one of ( ) , = < > ~ ! & | " '
//
// Words are keywords in any case. It compiles to `EventFilter`; tests of indexed fields become comparisons that history finds
// through its columns.

/// Why a text is no filter.
package struct FilterError: Error, Sendable, Hashable, CustomStringConvertible {
    /// One sentence for whoever wrote the filter.
    package var reason: String
    /// Where, in characters from 1.
    package var column: Int

    package var description: String { "the filter cannot be read at character \(column): \(reason)" }
}

/// Reads filters.
package enum FilterLanguage {
    /// Longest filter in bytes of UTF-8.
    package static let bytesMax = 16 << 10
    /// Tests, and levels of parentheses and `not`.
    static let testsMax = 512
    static let depthMax = 64

    /// Compiles a filter; blank text takes every event.
    ///
    /// - Parameter now: seconds since 1970, what `now` in times stands for.
    package static func parse(_ text: String, now: Int64) throws(FilterError) -> EventFilter {
        guard text.utf8.count <= bytesMax else {
            throw FilterError(reason: "it is longer than \(bytesMax) bytes", column: bytesMax)
        }
        var parser = FilterParser(tokens: try FilterLexer.tokens(text), now: now)
        if parser.current.kind == .end { return .all }
        let filter = try parser.any(0)
        guard parser.current.kind == .end else {
            throw parser.problem("`and`, `or` or the end must stand here")
        }
        return filter
    }

    /// Reads a path alone, as for grouping; also short names.
    package static func path(_ text: String) throws(FilterError) -> EventPath {
        let tokens = try FilterLexer.tokens(text)
        guard tokens.count == 2, case .word(_, let names?) = tokens[0].kind else {
            throw FilterError(
                reason: "a path is names with points between, such as `userIdentity.arn`, not `\(text)`", column: 1)
        }
        return expanded(names)
    }

    /// The names that stand for a longer path.
    static let shortNames: [String: EventField] = [
        "name": .eventName, "source": .eventSource, "region": .awsRegion, "time": .eventTime, "id": .eventID,
        "error": .errorCode, "ip": .sourceIPAddress, "agent": .userAgent, "key": .identityAccessKeyID,
        "arn": .identityARN, "account": .recipientAccountID,
    ]

    static func expanded(_ names: [String]) -> EventPath {
        if names.count == 1, let field = shortNames[names[0]] { return EventPath(field) }
        return EventPath(names)
    }
}

/// One word, text or sign of a filter.
struct FilterToken {
    enum Kind: Equatable {
        case sign(String)
        case text(String)
        /// A word, and the names that it is as a path; nil when it is none.
        case word(String, path: [String]?)
        case end
    }

    var kind: Kind
    var column: Int

    func isKeyword(_ keyword: String) -> Bool {
        if case .word(let word, _) = kind { word.lowercased() == keyword } else { false }
    }
}

enum FilterLexer {
    static func isPlainInName(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x5F
            || byte == 0x2D
    }

    private static let signs: Set<Character> = ["(", ")", ",", "=", "<", ">", "~", "!", "&", "|", "\"", "'"]

    static func tokens(_ text: String) throws(FilterError) -> [FilterToken] {
        let characters = Array(text)
        var tokens: [FilterToken] = []
        var index = 0
        while true {
            while index < characters.count, characters[index].isWhitespace { index += 1 }
            let column = index + 1
            guard index < characters.count else {
                tokens.append(FilterToken(kind: .end, column: column))
                return tokens
            }
            let first = characters[index]
            if first == "\"" || first == "'" {
                let value = try quoted(characters, &index)
                if index < characters.count, characters[index] == "." {
                    tokens.append(FilterToken(kind: try word(characters, &index, begunBy: value), column: column))
                } else {
                    tokens.append(FilterToken(kind: .text(value), column: column))
                }
            } else if signs.contains(first) {
                tokens.append(FilterToken(kind: .sign(try sign(characters, &index)), column: column))
            } else {
                tokens.append(FilterToken(kind: try word(characters, &index, begunBy: nil), column: column))
            }
        }
    }

    private static func sign(_ characters: [Character], _ index: inout Int) throws(FilterError) -> String {
        let pair = String(characters[index..<min(index + 2, characters.count)])
        if ["==", "!=", "!~", "<=", ">=", "&&", "||"].contains(pair) {
            index += 2
            return pair
        }
        guard characters[index] != "&", characters[index] != "|" else {
            throw FilterError(reason: "write `and` or `or`", column: index + 1)
        }
        index += 1
        return String(characters[index - 1])
    }

    private static func quoted(_ characters: [Character], _ index: inout Int) throws(FilterError) -> String {
        let quote = characters[index]
        let start = index
        index += 1
        var text = ""
        while index < characters.count {
            let character = characters[index]
            index += 1
            if character == quote { return text }
            if character == "\\", index < characters.count {
                // What a pattern escapes stays escaped for it; all else means itself.
                if characters[index] == "*" || characters[index] == "?" { text.append("\\") }
                text.append(characters[index])
                index += 1
            } else {
                text.append(character)
            }
        }
        throw FilterError(reason: "a quoted text does not end", column: start + 1)
    }

    /// A word; quoted names may stand between its points.
    private static func word(
        _ characters: [Character], _ index: inout Int, begunBy name: String?
    ) throws(FilterError) -> FilterToken.Kind {
        var whole = name ?? ""
        var names: [String] = name.map { [$0] } ?? [""]
        var isPath = true
        while index < characters.count {
            let character = characters[index]
            if character == "\"" || character == "'", whole.hasSuffix("."), names.last == "" {
                let part = try quoted(characters, &index)
                names[names.count - 1] = part
                whole += part
                continue
            }
            if character.isWhitespace || signs.contains(character) { break }
            index += 1
            whole.append(character)
            if character == "." {
                names.append("")
            } else {
                isPath = isPath && character.utf8.allSatisfy(isPlainInName)
                names[names.count - 1].append(character)
            }
        }
        let isOne = isPath && !names.contains("") && names.count <= EventPath.namesMax
        return .word(whole, path: isOne ? names : nil)
    }
}

private struct FilterParser {
    let tokens: [FilterToken]
    let now: Int64
    var index = 0
    var tests = 0

    init(tokens: [FilterToken], now: Int64) {
        self.tokens = tokens
        self.now = now
    }

    private enum Value {
        case text(String)
        case word(String)

        var literal: String {
            switch self {
            case .text(let text), .word(let text): text
            }
        }
    }

    /// The last token is the end, and is never taken.
    var current: FilterToken { tokens[index] }

    func problem(_ reason: String) -> FilterError { FilterError(reason: reason, column: current.column) }

    mutating func any(_ depth: Int) throws(FilterError) -> EventFilter {
        var parts = [try all(depth)]
        while current.isKeyword("or") || current.kind == .sign("||") {
            index += 1
            parts.append(try all(depth))
        }
        return parts.count == 1 ? parts[0] : .or(parts)
    }

    private mutating func all(_ depth: Int) throws(FilterError) -> EventFilter {
        var parts = [try term(depth)]
        while true {
            if current.isKeyword("and") || current.kind == .sign("&&") {
                index += 1
            } else if current.kind == .end || current.kind == .sign(")") || current.isKeyword("or")
                || current.kind == .sign("||")
            {
                return parts.count == 1 ? parts[0] : .and(parts)
            }
            parts.append(try term(depth))
        }
    }

    private mutating func term(_ depth: Int) throws(FilterError) -> EventFilter {
        guard depth < FilterLanguage.depthMax else { throw problem("it is nested too deeply") }
        if current.isKeyword("not") || current.kind == .sign("!") {
            index += 1
            return .not(try term(depth + 1))
        }
        if current.kind == .sign("(") {
            index += 1
            let inner = try any(depth + 1)
            guard current.kind == .sign(")") else { throw problem("a closing parenthesis is missing") }
            index += 1
            return inner
        }
        tests += 1
        guard tests <= FilterLanguage.testsMax else {
            throw problem("it has more than \(FilterLanguage.testsMax) tests")
        }
        if case .text(let phrase) = current.kind, !isTestNext {
            index += 1
            guard !phrase.isEmpty else { throw problem("an empty text stands in every record") }
            return .phrase(phrase.replacing("\\*", with: "*").replacing("\\?", with: "?"))
        }
        return try test()
    }

    /// Whether what follows makes the quoted text before it a name.
    private var isTestNext: Bool {
        guard index + 1 < tokens.count else { return false }
        let next = tokens[index + 1]
        if case .sign(let sign) = next.kind { return Self.operators.contains(sign) }
        return next.isKeyword("exists") || next.isKeyword("in")
    }

    private static let operators: Set<String> = ["=", "==", "!=", "~", "!~", "<", "<=", ">", ">="]

    private mutating func test() throws(FilterError) -> EventFilter {
        let path: EventPath
        switch current.kind {
        case .word(_, let names?): path = FilterLanguage.expanded(names)
        case .text(let name): path = EventPath([name])
        default: throw problem("the path of a field must stand here, such as `eventName` or `userIdentity.arn`")
        }
        index += 1
        if current.isKeyword("exists") {
            index += 1
            return path.wholeField.map { .exists($0) } ?? .value(path, .exists)
        }
        var isNegated = false
        if current.isKeyword("not") {
            index += 1
            isNegated = true
            guard current.isKeyword("in") else { throw problem("`in` must follow `not` here") }
        }
        if current.isKeyword("in") {
            index += 1
            let filter = try list(path)
            return isNegated ? .not(filter) : filter
        }
        guard case .sign(let sign) = current.kind, Self.operators.contains(sign) else {
            throw problem("a comparison must follow `\(path.text)`: one of = != ~ !~ < <= > >= in exists")
        }
        index += 1
        let column = current.column
        let value = try self.value()
        let isTime = path.wholeField == .eventTime
        switch sign {
        case "=", "==": return try equals(path, value, column)
        case "!=": return .not(try equals(path, value, column))
        case "~": return pattern(path, value.literal)
        case "!~": return .not(pattern(path, value.literal))
        default:
            let order: EventValueTest.Order =
                switch sign {
                case "<": .less
                case "<=": .atMost
                case ">": .greater
                default: .atLeast
                }
            if isTime { return try time(order, FilterTime.range(value.literal, now: now), value.literal, column) }
            if case .word(let word) = value {
                guard let number = Double(word), number.isFinite else {
                    throw FilterError(
                        reason: "`\(word)` is no number; put a text in quotes to compare by its letters",
                        column: column)
                }
                return .value(path, .number(order, number))
            }
            return .value(path, .text(order, value.literal))
        }
    }

    private mutating func value() throws(FilterError) -> Value {
        switch current.kind {
        case .text(let text):
            index += 1
            return .text(text)
        case .word(let word, _):
            index += 1
            return .word(word)
        default: throw problem("a value must stand here")
        }
    }

    private mutating func list(_ path: EventPath) throws(FilterError) -> EventFilter {
        guard current.kind == .sign("(") else {
            let column = current.column
            return try member(path, try value(), column)
        }
        index += 1
        var parts: [EventFilter] = []
        while true {
            let column = current.column
            parts.append(try member(path, try value(), column))
            tests += 1
            guard tests <= FilterLanguage.testsMax else {
                throw problem("it has more than \(FilterLanguage.testsMax) tests")
            }
            if current.kind == .sign(")") {
                index += 1
                return parts.count == 1 ? parts[0] : .or(parts)
            }
            guard current.kind == .sign(",") else { throw problem("a comma or a closing parenthesis must stand here") }
            index += 1
        }
    }

    /// One of a list: a range `A..B`, a network in CIDR notation, or a value.
    private func member(_ path: EventPath, _ value: Value, _ column: Int) throws(FilterError) -> EventFilter {
        guard case .word(let word) = value else { return try equals(path, value, column) }
        if word.contains("/"), let range = AddressRange(word) { return .value(path, .address(range)) }
        guard let dots = word.firstRange(of: "..") else { return try equals(path, value, column) }
        let low = String(word[..<dots.lowerBound])
        let high = String(word[dots.upperBound...])
        guard !low.isEmpty || !high.isEmpty else {
            throw FilterError(reason: "a range needs at least one end", column: column)
        }
        var parts: [EventFilter] = []
        for (end, order) in [(low, EventValueTest.Order.atLeast), (high, .atMost)] where !end.isEmpty {
            if path.wholeField == .eventTime {
                parts.append(try time(order, FilterTime.range(end, now: now), end, column))
            } else {
                guard let number = Double(end), number.isFinite else {
                    throw FilterError(reason: "`\(end)` is no number", column: column)
                }
                parts.append(.value(path, .number(order, number)))
            }
        }
        return parts.count == 1 ? parts[0] : .and(parts)
    }

    private func time(
        _ order: EventValueTest.Order, _ range: ClosedRange<Int64>?, _ text: String, _ column: Int
    ) throws(FilterError) -> EventFilter {
        guard let range else { throw Self.noTime(text, column) }
        switch order {
        case .less: return .time(from: nil, through: range.lowerBound - 1)
        case .atMost: return .time(from: nil, through: range.upperBound)
        case .greater: return .time(from: range.upperBound + 1, through: nil)
        case .atLeast: return .time(from: range.lowerBound, through: nil)
        }
    }

    private static func noTime(_ text: String, _ column: Int) -> FilterError {
        FilterError(
            reason: "`\(text)` is no time; write 2026-01-31, 2026-01-31T23:59, 2026-01-31T23:59:59Z, now or now-24h",
            column: column)
    }

    private func equals(_ path: EventPath, _ value: Value, _ column: Int) throws(FilterError) -> EventFilter {
        if path.wholeField == .eventTime {
            guard let range = FilterTime.range(value.literal, now: now) else {
                throw Self.noTime(value.literal, column)
            }
            return .time(from: range.lowerBound, through: range.upperBound)
        }
        if case .word(let word) = value, word.contains(where: { $0 == "*" || $0 == "?" }) { return pattern(path, word) }
        let text = value.literal.replacing("\\*", with: "*").replacing("\\?", with: "?")
        switch path.derived {
        case .user: return .lookup(LookupAttribute(.username, text))
        case .resource: return .lookup(LookupAttribute(.resourceName, text))
        case .resourceType: return .lookup(LookupAttribute(.resourceType, text))
        case .category: return EventCategory(rawValue: text).map { .category($0) } ?? .value(path, .equals(text))
        case nil: break
        }
        guard let field = path.wholeField, !Self.containers.contains(field) else { return .value(path, .equals(text)) }
        if field == .readOnly, text == "true" || text == "false" { return .lookup(LookupAttribute(.readOnly, text)) }
        return .compare(field, .equals, text)
    }

    /// Fields whose value may be a list, whose members are then looked at.
    private static let containers: Set<EventField> = [
        .userIdentity, .requestParameters, .responseElements, .additionalEventData, .resources, .serviceEventDetails,
        .addendum, .edgeDeviceDetails, .tlsDetails, .sessionContext, .sessionIssuer, .sessionAttributes,
    ]

    /// A pattern; where it has stars at its ends only, the faster test that says the same.
    private func pattern(_ path: EventPath, _ pattern: String) -> EventFilter {
        let inner = pattern.drop { $0 == "*" }
        let isOpenBefore = inner.count < pattern.count
        var middle = String(inner)
        var isOpenAfter = false
        while middle.hasSuffix("*"), !middle.hasSuffix("\\*") {
            middle.removeLast()
            isOpenAfter = true
        }
        if middle.contains(where: { $0 == "*" || $0 == "?" || $0 == "\\" }) { return .value(path, .wildcard(pattern)) }
        if middle.isEmpty, isOpenBefore || isOpenAfter { return .value(path, .contains("")) }
        let field = path.wholeField.flatMap { Self.containers.contains($0) ? nil : $0 }
        switch (isOpenBefore, isOpenAfter) {
        case (true, true): return .value(path, .contains(middle))
        case (false, true): return field.map { .compare($0, .prefix, middle) } ?? .value(path, .prefix(middle))
        case (true, false): return field.map { .compare($0, .suffix, middle) } ?? .value(path, .suffix(middle))
        case (false, false): return field.map { .compare($0, .equals, middle) } ?? .value(path, .equals(middle))
        }
    }
}

/// Times as people write them.
package enum FilterTime {
    /// The seconds that a text means, both ends inclusive: a whole day for a date, a minute for a time without seconds.
    ///
    /// Takes what `EventTime` takes, `2026-01-31`, `2026-01-31T23:59[Z]`, seconds since 1970, `now`, and `now-24h` (s, m, h, d,
    /// w). Times without a zone are UTC. nil for anything else.
    package static func range(_ text: String, now: Int64) -> ClosedRange<Int64>? {
        let count = text.utf8.count
        if text.hasPrefix("now") {
            if count == 3 { return now...now }
            let utf8 = Array(text.utf8)
            guard count >= 6, count <= 14, let unit = utf8.last, let seconds = units[unit],
                utf8[3] == 0x2D || utf8[3] == 0x2B,
                let amount = Int64(String(decoding: utf8[4..<(count - 1)], as: UTF8.self)), amount >= 0
            else { return nil }
            let time = now + (utf8[3] == 0x2D ? -1 : 1) * amount * seconds
            return time...time
        }
        if let seconds = Int64(text), abs(seconds) < 1 << 40 { return seconds...seconds }
        if let seconds = EventTime.seconds(text) { return seconds...seconds }
        if let seconds = EventTime.seconds(text + "Z") { return seconds...seconds }
        if count == 10 { return EventTime.seconds(text + "T00:00:00Z").map { $0...($0 + 86399) } }
        let minute = text.hasSuffix("Z") ? String(text.dropLast()) : text
        if minute.utf8.count == 16 { return EventTime.seconds(minute + ":00Z").map { $0...($0 + 59) } }
        return nil
    }

    private static let units: [UInt8: Int64] = [0x73: 1, 0x6D: 60, 0x68: 3600, 0x64: 86400, 0x77: 604_800]
}
