// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Objects
import Testing

struct ObjectRecordingTests {
    private func recorded(
        _ method: String, _ target: String, _ headers: [String: String] = [:], _ body: String = ""
    ) async throws -> (WireStructure, BoundOperation, [ResourceReference]) {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        let bytes = Array(body.utf8)
        let (operation, request) = try await room.request(
            method, target, headers, RequestBody(length: Int64(bytes.count), pieces: [bytes]))
        let shown = try #require(operation.recorded?(request).asStructure)
        return (shown, operation, operation.resources(request, room.call()))
    }

    // The shapes are those of published CloudTrail records.
    @Test func `parameters are shown as CloudTrail shows them`() async throws {
        #expect(
            try await recorded("GET", "/aaa/dir/k?partNumber=1&x-id=GetObject").0 == [
                "bucketName": "aaa", "key": "dir/k", "Host": "cairn.example", "partNumber": "1", "x-id": "GetObject",
            ])
        #expect(
            try await recorded("GET", "/aaa?list-type=2&prefix=&encoding-type=url").0 == [
                "bucketName": "aaa", "Host": "cairn.example", "list-type": "2", "prefix": "", "encoding-type": "url",
            ])
        #expect(try await recorded("GET", "/").0 == ["Host": "cairn.example"])
        #expect(
            try await recorded("PUT", "/new", ["x-amz-acl": "private", "x-amz-date": "20261124T000000Z"]).0 == [
                "bucketName": "new", "Host": "cairn.example", "x-amz-acl": "private",
            ])
        #expect(
            try await recorded("GET", "/aaa?policyStatus").0 == [
                "bucketName": "aaa", "Host": "cairn.example", "policyStatus": "",
            ])
    }

    @Test func `documents are shown as nested JSON, and the keys of a deletion are not`() async throws {
        let location =
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>eu-west-1"
            + "</LocationConstraint></CreateBucketConfiguration>"
        #expect(
            try await recorded("PUT", "/new", [:], location).0 == [
                "CreateBucketConfiguration": .structure([
                    "xmlns": "http://s3.amazonaws.com/doc/2006-03-01/", "LocationConstraint": "eu-west-1",
                ]), "bucketName": "new", "Host": "cairn.example",
            ])
        #expect(
            try await recorded("PUT", "/aaa?policy", [:], "{\"Version\":\"2012-10-17\",\"Statement\":[]}").0 == [
                "bucketPolicy": .structure(["Version": "2012-10-17", "Statement": .list([])]), "bucketName": "aaa",
                "Host": "cairn.example", "policy": "",
            ])
        #expect(
            try await recorded("PUT", "/aaa?policy", [:], "{broken").0 == [
                "bucketName": "aaa", "Host": "cairn.example", "policy": "",
            ])
        #expect(
            try await recorded(
                "POST", "/aaa?delete", [:], "<Delete><Object><Key>secret name</Key></Object></Delete>"
            ).0 == ["bucketName": "aaa", "Host": "cairn.example", "delete": ""])
    }

    @Test func `signatures, credentials, tokens, client keys and user metadata never enter an event`() async throws {
        let (shown, _, _) = try await recorded(
            "PUT",
            "/aaa/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=SENSITIVE&X-Amz-Signature=SENSITIVE"
                + "&X-Amz-Security-Token=SENSITIVE&X-Amz-Date=20261124T000000Z&X-Amz-Expires=60&x-amz-meta-a=SENSITIVE"
                + "&Signature=SENSITIVE&AWSAccessKeyId=SENSITIVE&x-amz-SIGNATURE=SENSITIVE",
            [
                "authorization": "SENSITIVE", "x-amz-security-token": "SENSITIVE", "x-amz-meta-b": "SENSITIVE",
                "x-amz-server-side-encryption-customer-key": "SENSITIVE", "x-amz-mfa": "SENSITIVE",
                "x-amz-copy-source-server-side-encryption-customer-key": "SENSITIVE", "cookie": "SENSITIVE",
                "x-amz-server-side-encryption-customer-key-md5": "SENSITIVE", "x-amz-copy-source": "aaa/other",
            ])
        #expect(!String(decoding: WireValue.structure(shown).json, as: UTF8.self).contains("SENSITIVE"))
        #expect(shown["X-Amz-Expires"] == "60")
        #expect(shown["x-amz-copy-source"] == "aaa/other")
    }

    @Test func `resources are the object and the bucket with its owner`() async throws {
        let bucket = ResourceReference(
            type: "AWS::S3::Bucket", arn: "arn:aws:s3:::aaa", accountID: ObjectRoom.account)
        #expect(try await recorded("GET", "/aaa?acl").2 == [bucket])
        // Of an object and its bucket one is asked for, and both are shown.
        var shownBucket = bucket
        shownBucket.isOnlyShown = true
        #expect(
            try await recorded("GET", "/aaa/d/k").2 == [
                ResourceReference(type: "AWS::S3::Object", arn: "arn:aws:s3:::aaa/d/k"), shownBucket,
            ])
        #expect(
            try await recorded("GET", "/aaa?prefix=d/").2 == [
                ResourceReference(
                    type: "AWS::S3::Object", arn: "arn:aws:s3:::aaa/d/", isPrefix: true, isOnlyShown: true), bucket,
            ])
    }

    // Amazon S3 User Guide, "Amazon S3 CloudTrail events": event names and categories; Service Authorization Reference,
    // "Actions, resources, and condition keys for Amazon S3": actions.
    @Test(arguments: [
        ("CreateBucket", "CreateBucket", "CreateBucket", false, true),
        ("HeadBucket", "HeadBucket", "ListBucket", true, false),
        ("ListBuckets", "ListBuckets", "ListAllMyBuckets", false, false),
        ("DeleteBucket", "DeleteBucket", "DeleteBucket", false, true),
        ("GetBucketLocation", "GetBucketLocation", "GetBucketLocation", false, false),
        ("GetBucketAcl", "GetBucketAcl", "GetBucketAcl", false, false),
        ("PutBucketPolicy", "PutBucketPolicy", "PutBucketPolicy", false, true),
        ("GetBucketPolicy", "GetBucketPolicy", "GetBucketPolicy", false, false),
        ("DeleteBucketPolicy", "DeleteBucketPolicy", "DeleteBucketPolicy", false, true),
        ("GetBucketPolicyStatus", "GetBucketPolicyStatus", "GetBucketPolicyStatus", false, false),
        ("PutObject", "PutObject", "PutObject", true, true), ("GetObject", "GetObject", "GetObject", true, false),
        ("HeadObject", "HeadObject", "GetObject", true, false),
        ("DeleteObject", "DeleteObject", "DeleteObject", true, true),
        ("DeleteObjects", "DeleteObjects", "DeleteObject", true, true),
        ("CopyObject", "CopyObject", "PutObject", true, true),
        ("ListObjects", "ListObjects", "ListBucket", true, false),
        ("ListObjectsV2", "ListObjects", "ListBucket", true, false),
    ])
    func `event name, action, category and access follow the documentation`(
        _ name: String, _ event: String, _ action: String, _ isData: Bool, _ isWrite: Bool
    ) throws {
        let traits = try #require(ObjectService.operations.first { $0.name == name }?.traits)
        #expect(traits.eventName ?? name == event)
        #expect(traits.iamAction ?? name == action)
        #expect((traits.category == .data) == isData)
        #expect((traits.access == .write) == isWrite)
    }
}
