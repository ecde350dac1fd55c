// SPDX-License-Identifier: Apache-2.0

import PolicyCases
import Testing

@testable import Policies

struct WildcardMatcherTests {
    private static func tokens(_ pattern: String) -> [UInt16] {
        pattern.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "*"): WildcardMatcher.star
            case UInt8(ascii: "?"): WildcardMatcher.question
            default: UInt16(byte)
            }
        }
    }

    private static func matches(_ pattern: String, _ text: String, steps: inout Int) -> Bool {
        let tokens = tokens(pattern)
        let bytes = Array(text.utf8)
        return WildcardMatcher.matches(tokens.span, 0..<tokens.count, bytes.span, 0..<bytes.count, steps: &steps)
    }

    /// What `*` and `?` mean, written down without regard to cost.
    private static func means(_ pattern: ArraySlice<Unicode.Scalar>, _ text: ArraySlice<Unicode.Scalar>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        if first == "*" {
            return means(pattern.dropFirst(), text) || (!text.isEmpty && means(pattern, text.dropFirst()))
        }
        guard let next = text.first, first == "?" || first == next else { return false }
        return means(pattern.dropFirst(), text.dropFirst())
    }

    private static let hostile: [(String, String)] = [
        ("*" + String(repeating: "a", count: 1000) + "b", String(repeating: "a", count: 2000)),
        ("*" + String(repeating: "a", count: 1000) + "b*", String(repeating: "a", count: 2000)),
        ("*" + String(repeating: "ab", count: 500) + "c*x", String(repeating: "ab", count: 1000)),
        (String(repeating: "*a", count: 2000) + "b", String(repeating: "a", count: 4000)),
        (String(repeating: "*?", count: 1000) + "b", String(repeating: "a", count: 2000)),
        (String(repeating: "*aab", count: 300) + "*c", String(repeating: "aaab", count: 700)),
        ("*" + String(repeating: "?", count: 900) + "b*", String(repeating: "a", count: 2000)),
        ("*" + String(repeating: "?a", count: 450) + "b*", String(repeating: "a", count: 2000)),
        ("*" + String(repeating: "?a", count: 450) + "b*", String(repeating: "\u{e9}a", count: 700)),
        (String(repeating: "*a?", count: 500) + "*", String(repeating: "ab", count: 400)),
    ]

    @Test(arguments: hostile)
    func `no pattern makes matching cost more than steps in proportion to both lengths`(
        _ pattern: String, _ text: String
    ) {
        var steps = 0
        #expect(!Self.matches(pattern, text, steps: &steps))
        let length = pattern.utf8.count + text.utf8.count
        // A piece with `?` pays a step for each 64 of its tokens, and the table of bytes.
        let words = pattern.contains("?") ? (pattern.utf8.count + 63) / 64 : 0
        #expect(steps <= 12 * length + words * (text.utf8.count + 256) + 64, "\(steps) steps for \(length) bytes")
    }

    @Test func `twice the length costs about twice the steps`() {
        var steps: [Int] = []
        for length in [500, 1000, 2000, 4000] {
            var count = 0
            let pattern = "*" + String(repeating: "a", count: length / 2) + "b*"
            #expect(!Self.matches(pattern, String(repeating: "a", count: length), steps: &count))
            steps.append(count)
        }
        for (one, other) in zip(steps, steps.dropFirst()) { #expect(other < one * 5 / 2) }
    }

    @Test(arguments: UInt64(1)...4)
    func `matching is what a naive matcher does`(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var matches = 0
        for _ in 0..<5000 {
            let pattern = (0..<Int.random(in: 0...9, using: &generator)).map { _ in
                generator.pick(["a", "b", "*", "?", "\u{e9}"])
            }.joined()
            let text = (0..<Int.random(in: 0...12, using: &generator)).map { _ in
                generator.pick(["a", "b", "a", "b", "\u{e9}", "\u{1F600}"])
            }.joined()
            let isExpected = Self.means(Array(pattern.unicodeScalars)[...], Array(text.unicodeScalars)[...])
            var steps = 0
            #expect(Self.matches(pattern, text, steps: &steps) == isExpected, "\(pattern) against \(text)")
            // The careful way must agree too, although short texts never need it.
            #expect(Self.matchesCarefully(pattern, text) == isExpected, "\(pattern) against \(text), carefully")
            if isExpected { matches += 1 }
        }
        #expect(matches > 200)
    }

    private static func matchesCarefully(_ pattern: String, _ text: String) -> Bool {
        let tokens = tokens(pattern)
        let bytes = Array(text.utf8)
        var steps = 0
        return WildcardMatcher.matchPieces(tokens.span, 0..<tokens.count, bytes.span, 0..<bytes.count, steps: &steps)
    }
}
