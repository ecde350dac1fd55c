// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Objects
import Testing

struct UnconfiguredOperationsTests {
    @Test(arguments: [
        ("GET", "accelerate", "none"), ("GET", "logging", "none"), ("GET", "requestPayment", "none"),
        ("GET", "notification", "none"), ("GET", "versioning", "none"), ("GET", "location", "none"),
        ("GET", "acl", "none"), ("GET", "encryption", "none"), ("GET", "ownershipControls", "none"),
        ("GET", "publicAccessBlock", "none"), ("GET", "abac", "none"), ("GET", "analytics", "none"),
        ("GET", "inventory", "none"), ("GET", "metrics", "none"), ("GET", "intelligent-tiering", "none"),
        ("GET", "cors", "NoSuchCORSConfiguration 404"), ("GET", "website", "NoSuchWebsiteConfiguration 404"),
        ("GET", "replication", "ReplicationConfigurationNotFoundError 404"), ("GET", "tagging", "NoSuchTagSet 404"),
        ("GET", "lifecycle", "NoSuchLifecycleConfiguration 404"), ("GET", "policy", "NoSuchBucketPolicy 404"),
        ("GET", "policyStatus", "NoSuchBucketPolicy 404"),
        ("GET", "object-lock", "ObjectLockConfigurationNotFoundError 404"),
        ("GET", "metadataConfiguration", "MetadataConfigurationNotFound 404"),
        ("GET", "metadataTable", "MetadataConfigurationNotFound 404"),
        ("GET", "analytics&id=a", "NoSuchConfiguration 404"), ("GET", "inventory&id=a", "NoSuchConfiguration 404"),
        ("GET", "metrics&id=a", "NoSuchConfiguration 404"),
        ("GET", "intelligent-tiering&id=a", "NoSuchConfiguration 404"),
        ("DELETE", "analytics&id=a", "NoSuchConfiguration 404"), ("DELETE", "cors", "none"),
        ("DELETE", "website", "none"), ("DELETE", "replication", "none"), ("DELETE", "lifecycle", "none"),
    ])
    func `a bucket without configurations answers as S3 does`(
        _ method: String, _ query: String, _ outcome: String
    ) async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        #expect(await room.refusal(method, "/aaa?\(query)") == outcome)
        #expect(await room.refusal(method, "/bbb?\(query)") == "NoSuchBucket 404")
    }

    @Test func `lists of configurations are empty and whole`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        for query in ["analytics", "inventory", "metrics", "intelligent-tiering"] {
            #expect(try await room.send("GET", "/aaa?\(query)").document == ["IsTruncated": false])
        }
    }

    @Test func `logging can be turned off and not on`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        #expect(await room.refusal("PUT", "/aaa?logging", [:], "<BucketLoggingStatus/>") == "none")
        let on =
            "<BucketLoggingStatus><LoggingEnabled><TargetBucket>aaa</TargetBucket><TargetPrefix/></LoggingEnabled>"
            + "</BucketLoggingStatus>"
        #expect(await room.refusal("PUT", "/aaa?logging", [:], on) == "NotImplemented 501")
    }
}
