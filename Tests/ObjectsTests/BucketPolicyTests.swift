// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Objects
import Policies
import Testing

struct BucketPolicyTests {
    // CloudTrail User Guide, "Amazon S3 bucket policy for CloudTrail".
    private static let trailPolicy = """
        {"Version":"2012-10-17","Statement":[{"Sid":"AWSCloudTrailAclCheck20150319","Effect":"Allow",
        "Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"s3:GetBucketAcl","Resource":"arn:aws:s3:::aaa",
        "Condition":{"StringEquals":{"aws:SourceArn":"arn:aws:cloudtrail:us-east-1:111122223333:trail/t"}}},
        {"Sid":"AWSCloudTrailWrite20150319","Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},
        "Action":"s3:PutObject","Resource":"arn:aws:s3:::aaa/AWSLogs/111122223333/*",
        "Condition":{"StringEquals":{"s3:x-amz-acl":"bucket-owner-full-control",
        "aws:SourceArn":"arn:aws:cloudtrail:us-east-1:111122223333:trail/t"}}}]}
        """

    private static let trail = ServicePut(
        principal: "cloudtrail.amazonaws.com", sourceARN: "arn:aws:cloudtrail:us-east-1:111122223333:trail/t",
        sourceAccount: "111122223333")

    private func room(policy: String? = trailPolicy) async throws -> ObjectRoom {
        let room = try await ObjectRoom()
        try await room.send("PUT", "/aaa")
        if let policy { try await room.send("PUT", "/aaa?policy", [:], policy) }
        return room
    }

    @Test func `a policy comes back as it was put, also after a restart, until it is deleted`() async throws {
        let room = try await room()
        defer { room.remove() }
        #expect(try await room.text("/aaa?policy") == Self.trailPolicy)
        let again = try await ObjectRoom(after: room)
        #expect(try await again.text("/aaa?policy") == Self.trailPolicy)
        #expect(try await again.send("GET", "/aaa?policyStatus").document == ["IsPublic": false])
        #expect(try await again.send("DELETE", "/aaa?policy").status == 204)
        #expect(try await again.send("DELETE", "/aaa?policy").status == 204)
        #expect(await again.refusal("GET", "/aaa?policy") == "NoSuchBucketPolicy 404")
        #expect(await again.refusal("GET", "/aaa?policyStatus") == "NoSuchBucketPolicy 404")
    }

    // The messages are those that S3 gives.
    @Test(arguments: [
        ("", "Policies must be valid JSON and the first byte must be '{'"),
        ("[]", "Policies must be valid JSON and the first byte must be '{'"),
        ("{\"Version\":", "This policy contains invalid Json"),
        ("{\"Version\":\"2012-10-17\"}", "Missing required field Statement"),
        ("{\"Version\":\"2012-10-17\",\"Statement\":[]}", "Could not parse the policy: Statement is empty!"),
        ("{\"Version\":\"2011-10-17\",\"Statement\":[]}", "The policy must contain a valid version string"),
        (statement(effect: "allow"), "Invalid effect: allow"),
        (statement(resource: "arn:aws:s3:::other/*"), "Policy has invalid resource"),
        (statement(action: "s3:NoSuchThing"), "Policy has invalid action"),
        (statement(action: "s3:ListBucket"), "Action does not apply to any resource(s) in statement"),
        (statement(principal: "{\"AWS\":\"nobody\"}"), "Invalid principal in policy"),
    ])
    func `a malformed policy is refused in S3's words and the old one stays`(
        _ text: String, _ message: String
    ) async throws {
        let room = try await room()
        defer { room.remove() }
        do {
            try await room.send("PUT", "/aaa?policy", [:], text)
            Issue.record("the policy must be refused: \(message)")
        } catch {
            #expect(error.code == "MalformedPolicy")
            #expect(error.status == 400)
            #expect(error.message == message)
        }
        #expect(try await room.text("/aaa?policy") == Self.trailPolicy)
    }

    private static func statement(
        effect: String = "Allow", principal: String = "{\"AWS\":\"111122223333\"}", action: String = "s3:GetObject",
        resource: String = "arn:aws:s3:::aaa/*"
    ) -> String {
        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"\(effect)\",\"Principal\":\(principal),"
            + "\"Action\":\"\(action)\",\"Resource\":\"\(resource)\"}]}"
    }

    @Test func `a policy for everyone is refused, since public access is blocked`() async throws {
        let room = try await room()
        defer { room.remove() }
        #expect(
            await room.refusal("PUT", "/aaa?policy", [:], Self.statement(principal: "\"*\"")) == "AccessDenied 403")
        #expect(await room.refusal("PUT", "/aaa?policy", [:], Self.statement()) == "none")
    }

    @Test func `a public policy and RestrictPublicBuckets together restrict a bucket and what lies in it`() async throws
    {
        let room = try await room()
        defer { room.remove() }
        func isRestricted(_ arn: String) -> Bool {
            room.service.isRestricted(ResourceReference(type: "AWS::S3::Object", arn: arn))
        }
        func block(policy: Bool, restrict: Bool) async throws {
            try await room.send(
                "PUT", "/aaa?publicAccessBlock", [:],
                "<PublicAccessBlockConfiguration><BlockPublicPolicy>\(policy)</BlockPublicPolicy>"
                    + "<RestrictPublicBuckets>\(restrict)</RestrictPublicBuckets></PublicAccessBlockConfiguration>")
        }
        #expect(!isRestricted("arn:aws:s3:::aaa"), "the policy is not public")
        try await block(policy: false, restrict: false)
        try await room.send("PUT", "/aaa?policy", [:], Self.statement(principal: "\"*\""))
        #expect(!isRestricted("arn:aws:s3:::aaa"))
        try await block(policy: true, restrict: true)
        #expect(isRestricted("arn:aws:s3:::aaa") && isRestricted("arn:aws:s3:::aaa/k"))
        #expect(!isRestricted("arn:aws:s3:::other/k"))
    }

    @Test func `a policy with a wrong digest or over 20 KB is refused`() async throws {
        let room = try await room()
        defer { room.remove() }
        let md5 = ["content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="]
        #expect(await room.refusal("PUT", "/aaa?policy", md5, Self.statement()) == "BadDigest 400")
        let long = Self.statement() + String(repeating: " ", count: 20_480)
        #expect(await room.refusal("PUT", "/aaa?policy", [:], long) == "PolicyTooLarge 400")
    }

    @Test func `a service does what the bucket's policy lets it, and nothing else`() async throws {
        let room = try await room()
        defer { room.remove() }
        func isAllowed(
            _ action: String, _ key: String?, acl: String? = "bucket-owner-full-control",
            by service: ServicePut = BucketPolicyTests.trail
        ) async throws -> Bool {
            try await room.service.decide(service: service, action: action, bucket: "aaa", key: key, acl: acl).isAllowed
        }
        var stranger = Self.trail
        stranger.sourceARN = "arn:aws:cloudtrail:us-east-1:111122223333:trail/other"
        var config = Self.trail
        config.principal = "config.amazonaws.com"
        #expect(try await isAllowed("s3:GetBucketAcl", nil, acl: nil))
        #expect(try await isAllowed("s3:PutObject", "AWSLogs/111122223333/x"))
        #expect(try await !isAllowed("s3:PutObject", "AWSLogs/444455556666/x"))
        #expect(try await !isAllowed("s3:PutObject", "AWSLogs/111122223333/x", acl: nil))
        #expect(try await !isAllowed("s3:GetObject", "AWSLogs/111122223333/x"))
        #expect(try await !isAllowed("s3:PutObject", "AWSLogs/111122223333/x", by: stranger))
        #expect(try await !isAllowed("s3:PutObject", "AWSLogs/111122223333/x", by: config))
        try await room.send("DELETE", "/aaa?policy")
        #expect(try await !isAllowed("s3:PutObject", "AWSLogs/111122223333/x"))
    }

    @Test func `a service puts an object with headers and metadata, and may repeat it`() async throws {
        let room = try await room()
        defer { room.remove() }
        let key = "AWSLogs/111122223333/x.json.gz"
        let headers = ServicePutHeaders(
            contentType: "application/json", contentEncoding: "gzip", acl: "bucket-owner-full-control",
            metadata: [WireHeader("signature", "00ff")])
        for body in ["first", "second"] {
            try await room.service.putObject(
                asService: Self.trail, bucket: "aaa", key: key, body: Array(body.utf8), headers: headers)
            #expect(try await room.text("/aaa/\(key)") == body)
        }
        let head = try await room.send("HEAD", "/aaa/\(key)")
        #expect(head.header("content-type") == "application/json")
        #expect(head.header("content-encoding") == "gzip")
        #expect(head.header("x-amz-meta-signature") == "00ff")
        #expect(try room.fileCount() == 1)
    }

    @Test func `a service's put that the policy does not allow is refused and leaves nothing`() async throws {
        let room = try await room()
        defer { room.remove() }
        for (bucket, acl, code) in [("aaa", "private", "AccessDenied"), ("zzz", "private", "NoSuchBucket")] {
            await #expect {
                try await room.service.putObject(
                    asService: Self.trail, bucket: bucket, key: "AWSLogs/111122223333/x", body: [1],
                    headers: ServicePutHeaders(contentType: "application/json", acl: acl))
            } throws: { ($0 as? AWSError)?.code == code }
        }
        #expect(try room.fileCount() == 0)
    }
}
