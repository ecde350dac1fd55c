// SPDX-License-Identifier: Apache-2.0

import Policies
import PolicyCases
import Testing

struct PolicyFuzzTests {
    private static let kinds: [PolicyKind] = [
        .identity, .trust, .session, .resource(.s3), .resource(.kms), .serviceControl, .resourceControl,
    ]

    /// Pieces that mean something to the reader.
    private static let pieces = [
        "{", "}", "[", "]", "\"", ",", ":", "*", "?", "${", "}", "${aws:username}", "${a, 'b'}", "\\u00e9",
        "\\ud83d\\ude00",
        "\\ud800", "\"Effect\":\"Deny\"", "\"Condition\":{", "ForAnyValue:", "IfExists", "null", "true", "-1.5e3",
        "arn:",
        "::", "/33", "\u{0}", "\u{FFFD}", "\"Version\":\"2012-10-17\",", "StringLike", "Null",
    ].map { Array($0.utf8) }

    @Test(arguments: UInt64(1)...8)
    func `no text makes the reader or the engine fail`(_ seed: UInt64) throws {
        let corpus = try DocumentCase.all(in: "documents.json").map(\.text)
        var generator = SeededGenerator(seed: seed)
        let bob = try CasePrincipals.named("U")
        let request = AuthorizationRequest(
            principal: bob, action: "s3:GetObject", resource: "arn:aws:s3:::b/k", resourceAccount: "111111111111",
            context: RequestContext(bob))
        var taken = 0
        for _ in 0..<1500 {
            let text = Self.mutated(generator.pick(corpus), corpus, &generator)
            let kind = generator.pick(Self.kinds)
            do {
                let document = try PolicyDocument.parse(stored: text, as: kind, name: "fuzzed")
                taken += 1
                _ = PolicyEvaluation.decide(
                    request, PoliciesInForce(identity: [document], boundary: document, resource: document))
                _ = document.isPublic
                let copy = try PolicyDocument.parse(
                    stored: document.text { $0.value }, as: kind, name: "copy")
                #expect(copy.principals.map(\.value) == document.principals.map(\.value))
                let strict = try PolicyDocument.parse(text, as: kind)
                #expect(strict.statementCount == document.statementCount)
                try BucketRules.validateBucketPolicy(strict, bucket: "b")
            } catch {
                #expect((0...text.count).contains(error.position))
                #expect(!error.message.isEmpty && !error.code.isEmpty && !error.detail.isEmpty)
            }
        }
        #expect(taken > 20, "some texts must get past the reader")
    }

    private static func mutated(
        _ original: [UInt8], _ corpus: [[UInt8]], _ generator: inout SeededGenerator
    ) -> [UInt8] {
        var text = original
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
            let place = Int.random(in: 0...text.count, using: &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0 where place < text.count: text[place] = UInt8.random(in: 0...255, using: &generator)
            case 1 where place < text.count:
                text.removeSubrange(place..<min(text.count, place + Int.random(in: 1...9, using: &generator)))
            case 2: text.insert(contentsOf: generator.pick(pieces), at: place)
            case 3:
                let other = generator.pick(corpus)
                let start = Int.random(in: 0...other.count, using: &generator)
                text.insert(contentsOf: other[start..<min(other.count, start + 30)], at: place)
            default:
                if text.count > 1 { text.swapAt(place % text.count, (place * 7 + 3) % text.count) }
            }
        }
        return text
    }
}
