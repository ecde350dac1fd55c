// SPDX-License-Identifier: Apache-2.0

import Policies
import PolicyCases
import Testing

/// SplitMix64 (Steele, Lea and Flood, 2014): the same seed gives the same cases everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func pick<Element>(_ choices: [Element]) -> Element {
        choices[Int.random(in: choices.indices, using: &self)]
    }
}

/// Policies and requests from a small world, so that they meet often.
private struct World {
    enum Place: CaseIterable {
        case identity, boundary, session, resource, serviceControl, resourceControl

        var kind: PolicyKind {
            switch self {
            case .identity: .identity
            case .boundary: .boundary
            case .session: .session
            case .resource: .resource(.s3)
            case .serviceControl: .serviceControl
            case .resourceControl: .resourceControl
            }
        }

        var hasPrincipals: Bool { self == .resource || self == .resourceControl }
    }

    var generator: SeededGenerator
    var statements: [Place: [String]] = [:]

    init(seed: UInt64) {
        generator = SeededGenerator(seed: seed)
        for place in Place.allCases where Bool.random(using: &generator) || place == .identity {
            statements[place] = (0..<Int.random(in: 1...4, using: &generator)).map { _ in statement(for: place) }
            // What only bounds is wide open more often than not, else too little would be allowed.
            if !place.hasPrincipals, Int.random(in: 0..<4, using: &generator) > 0 {
                statements[place]?.append("{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}")
            }
        }
    }

    mutating func statement(for place: Place, effect: String? = nil) -> String {
        let effect = effect ?? generator.pick(["Allow", "Allow", "Allow", "Allow", "Allow", "Allow", "Allow", "Deny"])
        var parts = ["\"Effect\":\"\(effect)\""]
        if place.hasPrincipals {
            let principal = generator.pick([
                "\"*\"", "{\"AWS\":\"111111111111\"}", "{\"AWS\":\"222222222222\"}",
                "{\"AWS\":\"arn:aws:iam::111111111111:user/bob\"}",
                "{\"AWS\":\"arn:aws:iam::111111111111:role/app/r\"}",
                "{\"AWS\":\"arn:aws:sts::111111111111:assumed-role/r/s1\"}",
                "{\"Service\":\"cloudtrail.amazonaws.com\"}",
            ])
            parts.append(
                "\"\(generator.pick(["Principal", "Principal", "Principal", "Principal", "NotPrincipal"]))\":\(principal)"
            )
        }
        let action = generator.pick(["*", "*", "s3:*", "s3:*", "s3:Get*", "s3:GetObject", "s3:Put*", "iam:*"])
        parts.append("\"\(generator.pick(["Action", "Action", "Action", "Action", "NotAction"]))\":\"\(action)\"")
        let resource = generator.pick([
            "*", "*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/k", "arn:aws:s3:::c/*", "arn:aws:s3:::b/${aws:username}",
        ])
        parts.append("\"\(generator.pick(["Resource", "Resource", "Resource", "NotResource"]))\":\"\(resource)\"")
        if Int.random(in: 0..<5, using: &generator) == 0 {
            let name = generator.pick([
                "StringEquals", "StringNotEquals", "StringLikeIfExists", "ForAllValues:StringEquals",
                "ForAnyValue:StringLike", "Null",
            ])
            parts.append(
                "\"Condition\":{\"\(name)\":{\"aws:TagKeys\":[\"\(name == "Null" ? "true" : generator.pick(["a", "b", "*"]))\"]}}"
            )
        }
        return "{\(parts.joined(separator: ","))}"
    }

    func policies(_ statements: [Place: [String]]) throws -> PoliciesInForce {
        func document(_ place: Place) throws -> PolicyDocument? {
            guard let own = statements[place] else { return nil }
            let text = "{\"Version\":\"2012-10-17\",\"Statement\":[\(own.joined(separator: ","))]}"
            return try PolicyDocument.parse(stored: Array(text.utf8), as: place.kind, name: "\(place)")
        }
        func controls(_ place: Place) throws -> ControlPolicies? {
            try document(place).map { ControlPolicies(account: "111111111111", levels: [[$0]]) }
        }
        return PoliciesInForce(
            identity: try document(.identity).map { [$0] } ?? [], boundary: try document(.boundary),
            session: try document(.session).map { [$0] }, resource: try document(.resource),
            serviceControl: try controls(.serviceControl), resourceControl: try controls(.resourceControl))
    }

    mutating func request() throws -> AuthorizationRequest {
        let name = generator.pick(["U", "V", "S", "F", "X", "rootA", "anonymous", "service:cloudtrail.amazonaws.com"])
        let principal = try CasePrincipals.named(name)
        var context = RequestContext(principal)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: context["aws:TagKeys"] = ["a"]
        case 1: context["aws:TagKeys"] = ["a", "b"]
        case 2: context["aws:TagKeys"] = "b"
        default: break
        }
        return AuthorizationRequest(
            principal: principal, action: generator.pick(["s3:GetObject", "s3:PutObject", "iam:GetUser"]),
            resource: generator.pick(["arn:aws:s3:::b/k", "arn:aws:s3:::b/bob", "arn:aws:s3:::c/x", "*"]),
            resourceAccount: "111111111111", context: context)
    }

    mutating func rule() -> DecisionRule {
        generator.pick([.standard, .standard, .roleTrust, .key(grants: [], encryptionContext: [:]), .bucketPolicy])
    }
}

struct PolicyPropertyTests {
    private static let seeds = UInt64(1)...300

    @Test func `adding a Deny never allows`() throws {
        var flips = 0
        for seed in Self.seeds {
            var world = World(seed: seed)
            let request = try world.request()
            let rule = world.rule()
            let before = PolicyEvaluation.decide(request, try world.policies(world.statements), rule: rule)
            for place in World.Place.allCases {
                guard var more = world.statements[place] else { continue }
                more.insert(
                    world.statement(for: place, effect: "Deny"),
                    at: Int.random(in: 0...more.count, using: &world.generator))
                var statements = world.statements
                statements[place] = more
                let after = PolicyEvaluation.decide(request, try world.policies(statements), rule: rule)
                #expect(before.isAllowed || !after.isAllowed, "seed \(seed), \(place)")
                if before.isAllowed, !after.isAllowed { flips += 1 }
            }
        }
        #expect(flips > 20, "the world must be one in which a Deny matters")
    }

    @Test func `removing an Allow never allows`() throws {
        var flips = 0
        for seed in Self.seeds {
            var world = World(seed: seed)
            let request = try world.request()
            let rule = world.rule()
            let start = PolicyEvaluation.decide(request, try world.policies(world.statements), rule: rule)
            for place in World.Place.allCases where world.statements[place] != nil {
                var statements = world.statements
                // A document needs a statement; this one says nothing.
                statements[place]?.append("{\"Effect\":\"Deny\",\"Action\":\"none:None\",\"Resource\":\"*\"}")
                var before = start
                while let allow = statements[place]?.firstIndex(where: { $0.contains("\"Effect\":\"Allow\"") }) {
                    statements[place]?.remove(at: allow)
                    let after = PolicyEvaluation.decide(request, try world.policies(statements), rule: rule)
                    #expect(before.isAllowed || !after.isAllowed, "seed \(seed), \(place)")
                    if before.isAllowed, !after.isAllowed { flips += 1 }
                    before = after
                }
            }
        }
        #expect(flips > 20, "the world must be one in which an Allow matters")
    }

    @Test func `the order of statements never matters`() throws {
        for seed in Self.seeds {
            var world = World(seed: seed)
            let request = try world.request()
            let rule = world.rule()
            let before = PolicyEvaluation.decide(request, try world.policies(world.statements), rule: rule)
            let shuffled = world.statements.mapValues { $0.shuffled(using: &world.generator) }
            let after = PolicyEvaluation.decide(request, try world.policies(shuffled), rule: rule)
            #expect(before.verdict == after.verdict && before.reason == after.reason, "seed \(seed)")
        }
    }

    @Test func `saying something twice changes nothing`() throws {
        for seed in Self.seeds {
            var world = World(seed: seed)
            let request = try world.request()
            let rule = world.rule()
            let before = PolicyEvaluation.decide(request, try world.policies(world.statements), rule: rule)
            let doubled = world.statements.mapValues { ($0 + $0).shuffled(using: &world.generator) }
            let after = PolicyEvaluation.decide(request, try world.policies(doubled), rule: rule)
            #expect(before.verdict == after.verdict && before.reason == after.reason, "seed \(seed)")
            var policies = try world.policies(world.statements)
            policies.identity += policies.identity
            policies.session = policies.session.map { $0 + $0 }
            let again = PolicyEvaluation.decide(request, policies, rule: rule)
            #expect(before.verdict == again.verdict && before.reason == again.reason, "seed \(seed)")
        }
    }

    @Test func `statements decide the same in one document and in several`() throws {
        for seed in Self.seeds {
            var world = World(seed: seed)
            let request = try world.request()
            let rule = world.rule()
            let before = PolicyEvaluation.decide(request, try world.policies(world.statements), rule: rule)
            var policies = try world.policies(world.statements)
            policies.identity = try (world.statements[.identity] ?? []).shuffled(using: &world.generator).flatMap {
                try world.policies([.identity: [$0]]).identity
            }
            let after = PolicyEvaluation.decide(request, policies, rule: rule)
            #expect(before.verdict == after.verdict && before.reason == after.reason, "seed \(seed)")
        }
    }

    @Test func `an explicit deny always wins`() throws {
        for seed in Self.seeds {
            var world = World(seed: seed)
            let request = try world.request()
            for place in World.Place.allCases where world.statements[place] != nil {
                var statements = world.statements
                let principal = place.hasPrincipals ? "\"Principal\":\"*\"," : ""
                statements[place]?.append("{\"Effect\":\"Deny\",\(principal)\"Action\":\"*\",\"Resource\":\"*\"}")
                // Policies over the caller do not bind callers of other accounts or of none.
                let bindsCaller =
                    switch place {
                    case .identity: ![.anonymous, .service].contains(request.principal.kind)
                    case .serviceControl: request.principal.account == "111111111111"
                    case .boundary, .session, .resource, .resourceControl: true
                    }
                guard bindsCaller else { continue }
                let decision = PolicyEvaluation.decide(request, try world.policies(statements))
                #expect(decision.verdict == .explicitDeny, "seed \(seed), \(place): \(decision.explanation)")
            }
        }
    }

    @Test func `wildcards match what a plain definition of them matches`() throws {
        var generator = SeededGenerator(seed: 7)
        var matches = 0
        for _ in 0..<4000 {
            let pattern = (0..<Int.random(in: 0...7, using: &generator)).map { _ in
                generator.pick(["a", "b", "*", "?", ":"])
            }.joined()
            let text = (0..<Int.random(in: 0...9, using: &generator)).map { _ in
                generator.pick(["a", "b", "a", "b", ":"])
            }.joined()
            let json =
                "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":{\"StringLike\":{\"k:v\":\"\(pattern)\"}}}]}"
            let document = try PolicyDocument.parse(Array(json.utf8), as: .identity)
            let bob = try CasePrincipals.named("U")
            let request = AuthorizationRequest(
                principal: bob, action: "s3:GetObject", resource: "*", resourceAccount: "111111111111",
                context: ["k:v": ContextValue(text)])
            let isAllowed = PolicyEvaluation.decide(request, PoliciesInForce(identity: [document])).isAllowed
            let isExpected = Self.matches(Array(pattern)[...], Array(text)[...])
            #expect(isAllowed == isExpected, "\(pattern) against \(text)")
            if isExpected { matches += 1 }
        }
        #expect(matches > 200)
    }

    /// What `*` and `?` mean, written down without regard to cost.
    private static func matches(_ pattern: ArraySlice<Character>, _ text: ArraySlice<Character>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        if first == "*" {
            return matches(pattern.dropFirst(), text) || (!text.isEmpty && matches(pattern, text.dropFirst()))
        }
        guard let next = text.first, first == "?" || first == next else { return false }
        return matches(pattern.dropFirst(), text.dropFirst())
    }

    @Test func `a hostile pattern comes to an end`() throws {
        let pattern = String(repeating: "*a", count: 2000) + "b"
        let json =
            "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"arn:aws:s3:::b/\(pattern)\"}]}"
        let document = try PolicyDocument.parse(Array(json.utf8), as: .identity)
        let bob = try CasePrincipals.named("U")
        let request = AuthorizationRequest(
            principal: bob, action: "s3:GetObject", resource: "arn:aws:s3:::b/" + String(repeating: "a", count: 4000),
            resourceAccount: "111111111111", context: [:])
        #expect(!PolicyEvaluation.decide(request, PoliciesInForce(identity: [document])).isAllowed)
    }
}
