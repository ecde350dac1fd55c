// SPDX-License-Identifier: Apache-2.0

import Policies
import PolicyCases
import Testing

extension DecisionCase: CustomTestStringConvertible {
    package var testDescription: String { name }
}

struct PolicyEvaluationTests {
    @Test(arguments: try DecisionCase.everywhere())
    func `a request is decided as AWS documents it`(_ item: DecisionCase) {
        check(item)
    }

    @Test func `the table has at least four hundred decisions`() throws {
        #expect(try DecisionCase.everywhere().count >= 400)
    }

    private func check(_ item: DecisionCase) {
        let decision = item.decide()
        #expect(["allow", "implicitDeny", "explicitDeny"].contains(item.expected))
        #expect(decision.verdict.rawValue == item.expected, "\(decision.explanation)")
        if let type = item.expectedType { #expect(decision.policyType?.rawValue == type, "\(decision.explanation)") }
        if item.expectedReason == "notAcrossAccounts" { #expect(decision.reason == .notAcrossAccounts) }
    }

    @Test func `a denied caller is told the policy type that had to allow`() throws {
        let bob = try CasePrincipals.named("U")
        let request = AuthorizationRequest(
            principal: bob, action: "s3:GetObject", resource: "arn:aws:s3:::b/k", resourceAccount: "111111111111",
            context: RequestContext(bob))
        let decision = PolicyEvaluation.decide(request, PoliciesInForce())
        #expect(
            decision.message(caller: bob.arn, resource: "arn:aws:s3:::b/k")
                == "User: arn:aws:iam::111111111111:user/bob is not authorized to perform: s3:GetObject on resource: "
                + "arn:aws:s3:::b/k because no identity-based policy allows the s3:GetObject action")
    }

    @Test(arguments: [
        (PolicyType.identity, "with an explicit deny in an identity-based policy"),
        (.resource, "with an explicit deny in a resource-based policy"),
        (.boundary, "with an explicit deny in a permissions boundary"),
        (.session, "with an explicit deny in a session policy"),
        (.serviceControl, "with an explicit deny in a service control policy"),
        (.resourceControl, "with an explicit deny in a resource control policy"),
        (.trust, "with an explicit deny in the role trust policy"),
    ])
    func `an explicit deny names the policy type and the statement`(_ type: PolicyType, _ phrase: String) throws {
        let text =
            #"{"Version":"2012-10-17","Statement":[{"Sid":"Stop","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}"#
        let open = #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#
        let deny = try PolicyDocument.parse(stored: Array(text.utf8), as: .resource(.other), name: "stop")
        let identityDeny = try PolicyDocument.parse(stored: Array(text.utf8), as: .identity, name: "stop")
        let allow = try PolicyDocument.parse(stored: Array(open.utf8), as: .identity, name: "open")
        let bob = try CasePrincipals.named("U")
        var policies = PoliciesInForce(identity: [allow])
        var rule = DecisionRule.standard
        switch type {
        case .identity: policies.identity.append(identityDeny)
        case .resource: policies.resource = deny
        case .trust:
            policies.resource = deny
            rule = .roleTrust
        case .boundary: policies.boundary = identityDeny
        case .session: policies.session = [identityDeny]
        case .serviceControl:
            policies.serviceControl = ControlPolicies(
                account: "111111111111", levels: [[allow], [allow, identityDeny]])
        case .resourceControl:
            policies.resourceControl = ControlPolicies(account: "111111111111", levels: [[deny]])
        }
        let request = AuthorizationRequest(
            principal: bob, action: "s3:GetObject", resource: "arn:aws:s3:::b/k", resourceAccount: "111111111111",
            context: RequestContext(bob))
        let decision = PolicyEvaluation.decide(request, policies, rule: rule)
        #expect(decision.verdict == .explicitDeny)
        #expect(decision.phrase == phrase)
        #expect(decision.statement?.policy == "stop")
        #expect(decision.statement?.index == 0)
        #expect(decision.statement?.sid == "Stop")
    }

    @Test func `a policy that cannot be read denies everything`() throws {
        let root = try CasePrincipals.named("rootA")
        let request = AuthorizationRequest(
            principal: root, action: "s3:GetObject", resource: "arn:aws:s3:::b/k", resourceAccount: "111111111111",
            context: RequestContext(root))
        let decision = PolicyEvaluation.decide(request, PoliciesInForce(damaged: ["boundary of bob"]))
        #expect(!decision.isAllowed)
        #expect(decision.explanation.contains("boundary of bob"))
        #expect(decision.phrase == nil)
    }

    @Test func `a service is let into a bucket by the bucket policy alone`() throws {
        let text = #"""
            {"Version":"2012-10-17","Statement":[
            {"Sid":"AWSCloudTrailAclCheck20150319","Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},
             "Action":"s3:GetBucketAcl","Resource":"arn:aws:s3:::logs",
             "Condition":{"StringEquals":{"aws:SourceArn":"arn:aws:cloudtrail:us-east-1:111111111111:trail/t"}}},
            {"Sid":"AWSCloudTrailWrite20150319","Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},
             "Action":"s3:PutObject","Resource":"arn:aws:s3:::logs/AWSLogs/111111111111/*",
             "Condition":{"StringEquals":{"s3:x-amz-acl":"bucket-owner-full-control",
             "aws:SourceArn":"arn:aws:cloudtrail:us-east-1:111111111111:trail/t"}}}]}
            """#
        let policy = try PolicyDocument.parse(Array(text.utf8), as: .resource(.s3))
        try BucketRules.validateBucketPolicy(policy, bucket: "logs")
        var access = ServiceAccess(
            service: "cloudtrail.amazonaws.com", action: "s3:PutObject",
            resource: "arn:aws:s3:::logs/AWSLogs/111111111111/CloudTrail/x.json.gz", resourceAccount: "333333333333",
            sourceARN: "arn:aws:cloudtrail:us-east-1:111111111111:trail/t", sourceAccount: "111111111111",
            acl: "bucket-owner-full-control")
        #expect(policy.decide(access).isAllowed)
        #expect(!policy.isPublic)
        #expect(!PolicyEvaluation.decide(access, resourcePolicy: nil).isAllowed)
        access.acl = nil
        #expect(!policy.decide(access).isAllowed)
        access.acl = "bucket-owner-full-control"
        access.sourceARN = "arn:aws:cloudtrail:us-east-1:222222222222:trail/t"
        #expect(!policy.decide(access).isAllowed)
        access.sourceARN = "arn:aws:cloudtrail:us-east-1:111111111111:trail/t"
        access.resource = "arn:aws:s3:::logs/AWSLogs/222222222222/x"
        #expect(policy.decide(access).phrase == "because no resource-based policy allows the s3:PutObject action")
    }
}
