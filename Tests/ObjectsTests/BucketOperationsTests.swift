// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Objects
import Testing

struct BucketOperationsTests {
    private func location(_ region: String) -> String {
        "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>\(region)"
            + "</LocationConstraint></CreateBucketConfiguration>"
    }

    @Test func `a bucket that is created is there, also after a restart, until it is deleted`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        let made = try await room.send("PUT", "/reports")
        #expect(made.header("location") == "/reports")
        #expect(await room.refusal("HEAD", "/reports") == "none")
        let again = try await ObjectRoom(after: room)
        let head = try await again.send("HEAD", "/reports")
        #expect(head.header("x-amz-bucket-region") == "us-east-1")
        #expect(try await again.send("DELETE", "/reports").status == 204)
        #expect(await again.refusal("HEAD", "/reports") == "NoSuchBucket 404")
        #expect(try await again.service.bucket(named: "reports") == nil)
    }

    @Test(arguments: [
        "ab", "Upper", "under_score", "a..b", "-abc", "abc-", "192.168.0.1", "xn--abc", "sthree-abc", "abc-s3alias",
        "abc--ol-s3", "a.-b", "a-.b", "amzn-s3-demo-x", "abc--x-s3", "abc--table-s3", "abc.mrap",
        "a1234567890123456789012345678901234567890123456789012345678901234",
    ])
    func `a name outside of the grammar is refused`(_ name: String) async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        #expect(await room.refusal("PUT", "/\(name)") == "InvalidBucketName 400")
    }

    @Test func `a bucket that exists is refused, but in us-east-1 to its owner`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/one")
        #expect(await room.refusal("PUT", "/one") == "none")
        #expect(await room.refusal("PUT", "/one", account: "444455556666") == "BucketAlreadyExists 409")
        try await room.send("PUT", "/two", [:], location("eu-west-1"), region: "eu-west-1")
        #expect(
            await room.refusal("PUT", "/two", [:], location("eu-west-1"), region: "eu-west-1")
                == "BucketAlreadyOwnedByYou 409")
    }

    @Test func `the location constraint and the region that was asked must agree`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        #expect(
            await room.refusal("PUT", "/aaa", [:], location("eu-west-1"), region: "eu-west-2")
                == "IllegalLocationConstraintException 400")
        #expect(await room.refusal("PUT", "/aaa", region: "eu-west-2") == "IllegalLocationConstraintException 400")
        #expect(await room.refusal("PUT", "/aaa", [:], location("mars-1")) == "InvalidLocationConstraint 400")
        #expect(await room.refusal("PUT", "/aaa", [:], location("us-east-1")) == "InvalidLocationConstraint 400")
        try await room.send("PUT", "/aaa", [:], location("EU"))
        #expect(try await room.service.bucket(named: "aaa")?.region == "eu-west-1")
        let answer = try await room.text("/aaa?location")
        #expect(answer.contains(">eu-west-1</LocationConstraint>"))
        try await room.send("PUT", "/bbb")
        #expect(try await room.text("/bbb?location").contains("/\"></LocationConstraint>"))
    }

    @Test func `a signature for another region is told the bucket's region`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa", [:], location("eu-west-1"))
        do {
            try await room.send("GET", "/aaa", region: "us-east-1")
            Issue.record("the call must fail")
        } catch {
            #expect(error.code == "AuthorizationHeaderMalformed")
            #expect(error.headers == [WireHeader("x-amz-bucket-region", "eu-west-1")])
            #expect(error.details == [.init("Region", "eu-west-1")])
        }
        #expect(await room.refusal("GET", "/aaa", region: "eu-west-1") == "none")
        #expect(await room.refusal("GET", "/aaa?location", region: "us-east-1") == "none")
    }

    @Test(arguments: [
        ("<CreateBucketConfiguration><Tags/></CreateBucketConfiguration>", "none"),
        ("<CreateBucketConfiguration><What/></CreateBucketConfiguration>", "MalformedXML 400"),
        ("<Something/>", "MalformedXML 400"), ("not xml", "MalformedXML 400"),
        ("<CreateBucketConfiguration>", "MalformedXML 400"), ("<CreateBucketConfiguration/>", "none"),
    ])
    func `a document of CreateBucket is taken as the schema says`(_ body: String, _ outcome: String) async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        #expect(await room.refusal("PUT", "/aaa", [:], body) == outcome)
        #expect(try await room.service.bucket(named: "aaa") == nil || outcome == "none")
    }

    @Test(arguments: [
        (["x-amz-acl": "private"], "none"), (["x-amz-acl": "public-read"], "InvalidBucketAclWithObjectOwnership 400"),
        (["x-amz-acl": "log-delivery-write"], "InvalidBucketAclWithObjectOwnership 400"),
        (["x-amz-acl": "wrong"], "InvalidArgument 400"),
        (["x-amz-grant-read": "id=1"], "InvalidBucketAclWithObjectOwnership 400"),
        (["x-amz-grant-read": "id=1", "x-amz-acl": "private"], "InvalidRequest 400"),
        (["x-amz-object-ownership": "BucketOwnerEnforced"], "none"),
        (["x-amz-object-ownership": "ObjectWriter"], "none"),
        (["x-amz-object-ownership": "Nobody"], "InvalidArgument 400"),
        (["x-amz-bucket-object-lock-enabled": "true"], "none"),
        (["x-amz-bucket-object-lock-enabled": "false"], "none"),
    ])
    func `headers of CreateBucket are taken, refused as S3 does, or refused as not built`(
        _ headers: [String: String], _ outcome: String
    ) async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        #expect(await room.refusal("PUT", "/aaa", headers) == outcome)
    }

    @Test func `a bucket with objects is not deleted`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/aaa/k", [:], "x")
        #expect(await room.refusal("DELETE", "/aaa") == "BucketNotEmpty 409")
        try await room.send("DELETE", "/aaa/k")
        #expect(await room.refusal("DELETE", "/aaa") == "none")
        #expect(await room.refusal("DELETE", "/aaa") == "NoSuchBucket 404")
    }

    @Test func `buckets are listed by name, with prefix, region and pages`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        for name in ["ccc", "aaa", "bbb", "b-other"] { try await room.send("PUT", "/\(name)") }
        try await room.send("PUT", "/ddd", [:], location("eu-west-1"))
        try await room.send("PUT", "/foreign", account: "444455556666")
        func names(_ query: String) async throws -> [String] {
            try await room.send("GET", "/\(query)").document["Buckets"]?.asStructure?.all("Bucket")
                .compactMap { $0.text("Name") } ?? []
        }
        #expect(try await names("") == ["aaa", "b-other", "bbb", "ccc", "ddd"])
        #expect(try await names("?prefix=b") == ["b-other", "bbb"])
        #expect(try await names("?bucket-region=eu-west-1") == ["ddd"])
        let first = try await room.send("GET", "/?max-buckets=2").document
        let token = try #require(first.text("ContinuationToken"))
        #expect(try await names("?max-buckets=2&continuation-token=\(PercentCoding.encode(token))") == ["bbb", "ccc"])
        #expect(await room.refusal("GET", "/?max-buckets=0") == "InvalidArgument 400")
        #expect(await room.refusal("GET", "/?continuation-token=xx") == "InvalidArgument 400")
    }

    @Test func `the owner has full control, and another expected owner is refused`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        let acl = try await room.send("GET", "/aaa?acl").document
        let grants = acl["AccessControlList"]?.asStructure?.all("Grant") ?? []
        #expect(grants.map { $0.text("Permission") } == ["FULL_CONTROL"])
        let id = acl["Owner"]?.asStructure?.text("ID")
        #expect(id?.count == 64)
        #expect(grants.first?["Grantee"]?.asStructure?.text("ID") == id)
        #expect(await room.refusal("GET", "/aaa?acl", ["x-amz-expected-bucket-owner": ObjectRoom.account]) == "none")
        #expect(
            await room.refusal("GET", "/aaa?acl", ["x-amz-expected-bucket-owner": "444455556666"])
                == "AccessDenied 403")
    }

    @Test(arguments: [
        ("GET", "/nobucket"), ("GET", "/nobucket?list-type=2"), ("HEAD", "/nobucket"), ("DELETE", "/nobucket"),
        ("GET", "/nobucket?location"), ("GET", "/nobucket?acl"), ("GET", "/nobucket?policy"),
        ("DELETE", "/nobucket?policy"), ("GET", "/nobucket?policyStatus"), ("GET", "/nobucket/k"),
        ("HEAD", "/nobucket/k"), ("PUT", "/nobucket/k"), ("DELETE", "/nobucket/k"),
    ])
    func `every operation says that a bucket does not exist`(_ method: String, _ target: String) async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        #expect(await room.refusal(method, target) == "NoSuchBucket 404")
    }
}
