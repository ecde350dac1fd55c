// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Objects
import Testing

struct ObjectRoutesTests {
    private func route(_ method: String, _ target: String, _ headers: [WireHeader] = []) throws -> RoutedOperation {
        var headers = headers
        if !headers.contains(where: { $0.name == "host" }) { headers.append(WireHeader("host", "127.0.0.1:4747")) }
        let request = try WireRequest(method: method, target: target, headers: headers)
        return try ObjectRoutes.route(request, baseHosts: ["cairn.example"])
    }

    // Method, target and name of each operation: the request syntax in the Amazon S3 API Reference.
    static let table: [(String, String, String)] = [
        ("GET", "/", "ListBuckets"), ("PUT", "/b", "CreateBucket"), ("HEAD", "/b", "HeadBucket"),
        ("DELETE", "/b", "DeleteBucket"), ("DELETE", "/b/", "DeleteBucket"), ("GET", "/b", "ListObjects"),
        ("GET", "/b?prefix=p&marker=m", "ListObjects"), ("GET", "/b?list-type=2&prefix=", "ListObjectsV2"),
        ("GET", "/b?versions", "ListObjectVersions"), ("GET", "/b?uploads", "ListMultipartUploads"),
        ("GET", "/b?location", "GetBucketLocation"), ("PUT", "/b?policy", "PutBucketPolicy"),
        ("GET", "/b?policy", "GetBucketPolicy"), ("DELETE", "/b?policy", "DeleteBucketPolicy"),
        ("GET", "/b?policyStatus", "GetBucketPolicyStatus"), ("GET", "/b?acl", "GetBucketAcl"),
        ("PUT", "/b?acl", "PutBucketAcl"), ("POST", "/b?delete", "DeleteObjects"),
        ("PUT", "/b?versioning", "PutBucketVersioning"), ("GET", "/b?versioning", "GetBucketVersioning"),
        ("GET", "/b?encryption", "GetBucketEncryption"), ("PUT", "/b?encryption", "PutBucketEncryption"),
        ("DELETE", "/b?encryption", "DeleteBucketEncryption"), ("PUT", "/b?tagging", "PutBucketTagging"),
        ("GET", "/b?lifecycle", "GetBucketLifecycleConfiguration"), ("DELETE", "/b?lifecycle", "DeleteBucketLifecycle"),
        ("PUT", "/b?lifecycle", "PutBucketLifecycleConfiguration"),
        ("GET", "/b?inventory&id=1", "GetBucketInventoryConfiguration"),
        ("GET", "/b?inventory", "ListBucketInventoryConfigurations"),
        ("GET", "/b?analytics&id=1", "GetBucketAnalyticsConfiguration"),
        ("PUT", "/b?publicAccessBlock", "PutPublicAccessBlock"),
        ("DELETE", "/b?ownershipControls", "DeleteBucketOwnershipControls"),
        ("GET", "/b?tagging", "GetBucketTagging"), ("DELETE", "/b?tagging", "DeleteBucketTagging"),
        ("GET", "/b?publicAccessBlock", "GetPublicAccessBlock"), ("GET", "/b?logging", "GetBucketLogging"),
        ("DELETE", "/b?publicAccessBlock", "DeletePublicAccessBlock"), ("GET", "/b?cors", "GetBucketCors"),
        ("GET", "/b?ownershipControls", "GetBucketOwnershipControls"), ("GET", "/b?website", "GetBucketWebsite"),
        ("PUT", "/b?ownershipControls", "PutBucketOwnershipControls"),
        ("GET", "/b?requestPayment", "GetBucketRequestPayment"),
        ("PUT", "/b?requestPayment", "PutBucketRequestPayment"),
        ("GET", "/b?notification", "GetBucketNotificationConfiguration"),
        ("PUT", "/b?notification", "PutBucketNotificationConfiguration"),
        ("GET", "/b?accelerate", "GetBucketAccelerateConfiguration"),
        ("GET", "/b?replication", "GetBucketReplication"), ("GET", "/b?object-lock", "GetObjectLockConfiguration"),
        ("GET", "/b/k?retention", "GetObjectRetention"), ("PUT", "/b/k?legal-hold", "PutObjectLegalHold"),
        ("PUT", "/b/k?tagging", "PutObjectTagging"),
        ("PUT", "/b?object-lock", "PutObjectLockConfiguration"), ("GET", "/b?session", "CreateSession"),
        ("POST", "/b?metadataTable", "CreateBucketMetadataTableConfiguration"),
        ("PUT", "/b?metadataJournalTable", "UpdateBucketMetadataJournalTableConfiguration"),
        ("POST", "/b", "PostObject"),
        ("OPTIONS", "/b/k", "PreflightRequest"), ("PUT", "/b/k", "PutObject"), ("GET", "/b/k", "GetObject"),
        ("GET", "/b/k?x-id=GetObject", "GetObject"), ("GET", "/b/k?partNumber=1", "GetObject"),
        ("HEAD", "/b/k", "HeadObject"), ("DELETE", "/b/k?versionId=null", "DeleteObject"),
        ("GET", "/b/k?acl", "GetObjectAcl"), ("PUT", "/b/k?acl", "PutObjectAcl"),
        ("GET", "/b/k?tagging", "GetObjectTagging"), ("DELETE", "/b/k?tagging", "DeleteObjectTagging"),
        ("GET", "/b/k?attributes", "GetObjectAttributes"), ("GET", "/b/k?legal-hold", "GetObjectLegalHold"),
        ("PUT", "/b/k?retention", "PutObjectRetention"), ("GET", "/b/k?torrent", "GetObjectTorrent"),
        ("POST", "/b/k?uploads", "CreateMultipartUpload"), ("PUT", "/b/k?partNumber=1&uploadId=u", "UploadPart"),
        ("GET", "/b/k?uploadId=u", "ListParts"), ("POST", "/b/k?uploadId=u", "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=u", "AbortMultipartUpload"), ("POST", "/b/k?restore", "RestoreObject"),
        ("DELETE", "/b?analytics&id=1", "DeleteBucketAnalyticsConfiguration"),
        ("GET", "/b?analytics", "ListBucketAnalyticsConfigurations"),
        ("GET", "/b?intelligent-tiering&id=1", "GetBucketIntelligentTieringConfiguration"),
        ("DELETE", "/b?intelligent-tiering&id=1", "DeleteBucketIntelligentTieringConfiguration"),
        ("GET", "/b?intelligent-tiering", "ListBucketIntelligentTieringConfigurations"),
        ("DELETE", "/b?inventory&id=1", "DeleteBucketInventoryConfiguration"),
        ("GET", "/b?metrics&id=1", "GetBucketMetricsConfiguration"),
        ("DELETE", "/b?metrics&id=1", "DeleteBucketMetricsConfiguration"),
        ("GET", "/b?metrics", "ListBucketMetricsConfigurations"),
        ("GET", "/b?abac", "GetBucketAbac"),
        ("GET", "/b?metadataConfiguration", "GetBucketMetadataConfiguration"),
        ("GET", "/b?metadataTable", "GetBucketMetadataTableConfiguration"),
        ("DELETE", "/b?cors", "DeleteBucketCors"),
        ("DELETE", "/b?replication", "DeleteBucketReplication"),
        ("DELETE", "/b?website", "DeleteBucketWebsite"),
        ("PUT", "/b?logging", "PutBucketLogging"),
        ("POST", "/b/k?select&select-type=2", "SelectObjectContent"), ("PUT", "/b/k?renameObject", "RenameObject"),
        ("PUT", "/b/k?encryption", "UpdateObjectEncryption"),
    ]

    @Test(arguments: table)
    func `method and sub-resource name the operation`(_ method: String, _ target: String, _ name: String) throws {
        #expect(try route(method, target).operation == name)
    }

    private static let accountTable = [
        ("GET", "GetAccountPublicAccessBlock"), ("PUT", "PutAccountPublicAccessBlock"),
        ("DELETE", "DeleteAccountPublicAccessBlock"),
    ]

    @Test(arguments: accountTable)
    func `a call for an account names it in a header, whatever stands in front of the host`(
        _ method: String, _ name: String
    ) throws {
        let path = "/v20180820/configuration/publicAccessBlock"
        let account = WireHeader("x-amz-account-id", "123456789012")
        #expect(try route(method, path, [account]).operation == name)
        let host = WireHeader("host", "123456789012.s3-control.us-east-1.amazonaws.com")
        #expect(try route(method, path, [host, account]).operation == name)
        #expect(try route(method, path).parameters["Bucket"] == "v20180820")
        #expect(throws: AWSError.self) { try route("GET", "/v20180820/jobs", [account]) }
    }

    @Test func `a copy source makes a put a copy`() throws {
        let source = WireHeader("x-amz-copy-source", "b/other")
        #expect(try route("PUT", "/b/k", [source]).operation == "CopyObject")
        #expect(try route("PUT", "/b/k?partNumber=1&uploadId=u", [source]).operation == "UploadPartCopy")
    }

    @Test func `every operation that is built has a route`() throws {
        var named = Set(Self.table.map(\.2))
        named.formUnion(["CopyObject", "UploadPartCopy"])
        named.formUnion(Self.accountTable.map(\.1))
        for operation in ObjectService.operations { #expect(named.contains(operation.name)) }
    }

    @Test(arguments: [
        ("127.0.0.1:4747", "/b/k", "b", "k"), ("localhost:4747", "/b/k", "b", "k"),
        ("b.localhost:4747", "/k", "b", "k"), ("b.s3.localhost", "/k", "b", "k"),
        ("s3.localhost:4747", "/b/k", "b", "k"), ("s3.us-east-1.localhost", "/b/k", "b", "k"),
        ("b.s3.eu-west-1.localhost", "/k/l", "b", "k/l"), ("b.s3-eu-west-1.localhost", "/k", "b", "k"),
        ("b.cairn.example", "/k", "b", "k"), ("B.Cairn.Example.", "/k", "b", "k"), ("cairn.example", "/b/k", "b", "k"),
        ("my.dotted.bucket.s3.us-east-1.amazonaws.com", "/k", "my.dotted.bucket", "k"),
        ("s3.amazonaws.com", "/b/k", "b", "k"), ("b.s3.dualstack.us-west-2.amazonaws.com", "/k", "b", "k"),
        ("elsewhere.test", "/b/k", "b", "k"), ("[::1]:4747", "/b/k", "b", "k"),
        ("127.0.0.1", "/b//k", "b", "/k"), ("127.0.0.1", "/b/a%20b%2Fc+d", "b", "a b/c+d"),
        ("127.0.0.1", "/b/%C3%A9/../x", "b", "é/../x"), ("b.localhost", "/a//b/", "b", "a//b/"),
    ])
    func `bucket and key are read from host and path`(
        _ host: String, _ target: String, _ bucket: String, _ key: String
    ) throws {
        let routed = try route("GET", target, [WireHeader("host", host)])
        #expect(routed.parameters == ["Bucket": .string(bucket), "Key": .string(key)])
    }

    @Test func `a host that names a bucket leaves the root path to the bucket`() throws {
        let routed = try route("GET", "/", [WireHeader("host", "b.s3.localhost:4747")])
        #expect(routed.operation == "ListObjects")
        #expect(routed.parameters == ["Bucket": "b"])
    }

    @Test(arguments: ["/b/%", "/b/%zz", "/b/%FF%FE", "/b/%C3", "/%FF/k", "/b/%ED%A0%80"])
    func `damaged percent sequences and damaged UTF-8 are refused`(_ target: String) throws {
        #expect { try route("GET", target) } throws: { ($0 as? AWSError)?.code == "InvalidURI" }
    }

    @Test(arguments: [
        ("PATCH", "/b/k"), ("POST", "/b/k"), ("PUT", "/"), ("DELETE", "/"), ("POST", "/b?policy"),
        ("PUT", "/b?location"), ("DELETE", "/b/k?acl"), ("TRACE", "/b"),
    ])
    func `a method that the resource does not have is refused`(_ method: String, _ target: String) throws {
        #expect { try route(method, target) } throws: { ($0 as? AWSError)?.status == 405 }
    }

    @Test func `two sub-resources at once are refused`() throws {
        #expect { try route("GET", "/b?acl&policy") } throws: { error in
            (error as? AWSError)?.message == "Conflicting query string parameters: acl, policy"
        }
    }
}
