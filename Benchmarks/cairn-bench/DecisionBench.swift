// SPDX-License-Identifier: Apache-2.0

import Glibc
import Policies

/// What one decision costs the processor, for policy sets of usual and of large size.
enum DecisionBench {
    static func run() throws {
        let bob = Principal.user(
            account: "111111111111", arn: "arn:aws:iam::111111111111:user/bob", name: "bob",
            uniqueID: "AIDABOB0000000000001")
        var context = RequestContext(bob)
        context["aws:SourceIp"] = "203.0.113.7"
        context["aws:SecureTransport"] = "true"
        context["aws:CurrentTime"] = "2026-05-01T12:00:00Z"
        context["aws:RequestedRegion"] = "us-east-1"
        context["aws:PrincipalOrgID"] = "o-exampleorgid"
        let request = AuthorizationRequest(
            principal: bob, action: "s3:GetObject", resource: "arn:aws:s3:::logs/home/bob/2026/05/01/report.csv",
            resourceAccount: "111111111111", context: context)

        let one = PoliciesInForce(identity: [try document([#""Effect":"Allow","Action":"s3:*","Resource":"*""#])])
        try measure("oneStatement", request, one, isAllowed: true)
        try measure("usual", request, try usual(), isAllowed: true)
        for statements in [20, 40] {
            let policies = PoliciesInForce(
                identity: try (0..<10).map { try document(unrelated(statements - 1, of: $0) + [own($0)]) })
            try measure("tenPoliciesOf\(statements)", request, policies, isAllowed: true)
        }
        let other = PoliciesInForce(identity: try (0..<10).map { try document(unrelated(20, of: $0)) })
        try measure("tenPoliciesOf20NoneMatches", request, other, isAllowed: false)
    }

    /// A user with three managed policies, a boundary, two levels of service control policies, and a bucket policy.
    private static func usual() throws -> PoliciesInForce {
        let everything = try document([#""Effect":"Allow","Action":"*","Resource":"*""#])
        let regions = try document([
            #""Effect":"Allow","Action":"*","Resource":"*""#,
            #""Effect":"Deny","NotAction":["iam:*","sts:*","s3:*","organizations:*"],"Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["us-east-1","eu-west-1"]}}"#,
            #""Effect":"Deny","Action":["cloudtrail:StopLogging","cloudtrail:DeleteTrail"],"Resource":"*""#,
        ])
        let home = try document([
            #""Effect":"Allow","Action":["s3:ListAllMyBuckets","s3:GetBucketLocation"],"Resource":"arn:aws:s3:::*""#,
            #""Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::logs","Condition":{"StringLike":{"s3:prefix":["","home/","home/${aws:username}/*"]}}"#,
            #""Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::logs/home/${aws:username}","arn:aws:s3:::logs/home/${aws:username}/*"]"#,
        ])
        let boundary = try document([
            #""Effect":"Allow","Action":["s3:*","cloudwatch:*","ec2:*","dynamodb:*"],"Resource":"*""#,
            #""Effect":"Allow","Action":["iam:*AccessKey*","iam:ChangePassword"],"Resource":"arn:aws:iam::*:user/${aws:username}""#,
            #""Effect":"Deny","Action":"s3:*","Resource":["arn:aws:s3:::secret","arn:aws:s3:::secret/*"]"#,
        ])
        let bucket = try document(
            [
                #""Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::logs","arn:aws:s3:::logs/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}"#,
                #""Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::logs/AWSLogs/111111111111/*","Condition":{"StringEquals":{"s3:x-amz-acl":"bucket-owner-full-control"}}"#,
                #""Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::logs/*","Condition":{"NotIpAddress":{"aws:SourceIp":["203.0.113.0/24","2001:db8::/32"]}}"#,
            ], as: .resource(.s3))
        return PoliciesInForce(
            identity: [home, try document(unrelated(12, of: 1)), try document(unrelated(8, of: 2))], boundary: boundary,
            resource: bucket,
            serviceControl: ControlPolicies(account: "111111111111", levels: [[everything], [everything, regions]]))
    }

    /// Statements about something else, as a user has many.
    private static func unrelated(_ count: Int, of policy: Int) -> [String] {
        (0..<count).map { index in
            switch index % 4 {
            case 0: #""Effect":"Allow","Action":["ec2:Describe*","ec2:Get*"],"Resource":"*""#
            case 1:
                #""Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::other-\#(policy)-\#(index)","arn:aws:s3:::other-\#(policy)-\#(index)/*"]"#
            case 2:
                #""Effect":"Allow","Action":"sqs:*","Resource":"arn:aws:sqs:*:111111111111:${aws:username}-\#(index)""#
            default:
                #""Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-exampleorgid"}}"#
            }
        }
    }

    private static func own(_ policy: Int) -> String {
        #""Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::logs/\#(policy == 9 ? "home" : "x\(policy)")/*""#
    }

    private static func document(_ statements: [String], as kind: PolicyKind = .identity) throws -> PolicyDocument {
        let list = statements.map { "{\($0)}" }.joined(separator: ",")
        return try PolicyDocument.parse(
            stored: Array("{\"Version\":\"2012-10-17\",\"Statement\":[\(list)]}".utf8), as: kind, name: "bench")
    }

    /// Prints the processor time of one decision: the best of five rounds, since others use the machine too.
    private static func measure(
        _ name: String, _ request: AuthorizationRequest, _ policies: PoliciesInForce, isAllowed: Bool
    ) throws {
        let rounds = 5
        let decisions = 20_000
        var best = UInt64.max
        for _ in 0..<rounds {
            let before = processorNanoseconds()
            var allowed = 0
            for _ in 0..<decisions where PolicyEvaluation.decide(request, policies).isAllowed { allowed += 1 }
            best = min(best, processorNanoseconds() - before)
            guard allowed == (isAllowed ? decisions : 0) else { throw DecisionBenchFault(name: name) }
        }
        print(#"{"decision":"\#(name)","nanoseconds":\#(best / UInt64(decisions))}"#)
    }

    private static func processorNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// A set of policies that does not decide as it was made to.
struct DecisionBenchFault: Error {
    let name: String
}
