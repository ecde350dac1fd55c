// SPDX-License-Identifier: Apache-2.0

import Policies

extension FuzzTarget {
    /// The reader of policy documents, the compiled document, and the decision. The first byte chooses the kind of policy.
    static let policies = FuzzTarget(name: "policies") { input in
        guard let selector = input.first else { return }
        let kinds: [PolicyKind] = [
            .identity, .trust, .session, .boundary, .resource(.s3), .resource(.kms), .resource(.cloudTrail),
            .serviceControl, .resourceControl,
        ]
        let kind = kinds[Int(selector) % kinds.count]
        let text = Array(input.dropFirst())
        guard let stored = try? PolicyDocument.parse(stored: text, as: kind, name: "stored") else {
            require((try? PolicyDocument.parse(text, as: kind)) == nil, "what may be written can be read")
            return
        }
        let decision = decide(stored)
        require(decision == decide(stored), "a decision is the same each time")
        _ = stored.isPublic
        _ = stored.contextKeys
        let copy = stored.text { $0.value }
        guard let again = try? PolicyDocument.parse(stored: copy, as: kind, name: "stored") else {
            return require(false, "writing the principals leaves a document")
        }
        require(again.principals.map(\.value) == stored.principals.map(\.value), "writing the principals keeps them")
        require(decide(again).verdict == decision.verdict, "writing the principals changes no decision")
        if let strict = try? PolicyDocument.parse(text, as: kind, name: "stored") {
            require(strict.statementCount == stored.statementCount, "both readers find the same statements")
            require(decide(strict) == decision, "both readers decide the same")
            try? BucketRules.validateBucketPolicy(strict, bucket: "b")
        }
    }

    private static func decide(_ document: PolicyDocument) -> Decision {
        let bob = Principal.user(
            account: "111111111111", arn: "arn:aws:iam::111111111111:user/bob", name: "bob",
            uniqueID: "AIDABOB0000000000001")
        var context = RequestContext(bob)
        context["aws:SourceIp"] = "203.0.113.7"
        context["aws:CurrentTime"] = "2026-05-01T12:00:00Z"
        context["aws:TagKeys"] = ["a", "b"]
        context["s3:max-keys"] = "10"
        context["aws:SourceArn"] = "arn:aws:sns:us-east-1:111111111111:topic"
        let request = AuthorizationRequest(
            principal: bob, action: "s3:GetObject", resource: "arn:aws:s3:::b/home/bob/k",
            resourceAccount: "111111111111",
            context: context)
        let controls = ControlPolicies(account: "111111111111", levels: [[document]])
        switch document.kind {
        case .identity, .boundary: return PolicyEvaluation.decide(request, PoliciesInForce(identity: [document]))
        case .session:
            return PolicyEvaluation.decide(request, PoliciesInForce(identity: [document], session: [document]))
        case .trust: return PolicyEvaluation.decide(request, PoliciesInForce(resource: document), rule: .roleTrust)
        case .resource: return PolicyEvaluation.decide(request, PoliciesInForce(resource: document))
        case .serviceControl:
            return PolicyEvaluation.decide(request, PoliciesInForce(identity: [document], serviceControl: controls))
        case .resourceControl:
            return PolicyEvaluation.decide(request, PoliciesInForce(identity: [document], resourceControl: controls))
        }
    }
}
