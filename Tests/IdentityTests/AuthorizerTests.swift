// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Identity
import Policies
import Storage
import Synchronization
import Testing

/// Each test has a catalog of its own, removed with the suite's value.
final class AuthorizerTests {
    private let path = FileManager.default.temporaryDirectory.appending(path: "cairn-\(UUID().uuidString).sqlite").path
    private let own = "123456789012"
    private var root: Caller { .root(of: own, accessKeyID: "AKIAIOSFODNN7EXAMPLE") }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    private func authorizer(
        _ resourcePolicy: @escaping Authorizer.ResourcePolicySource = { _, _ in nil }
    ) async throws -> Authorizer {
        let store = try await IdentityStore.open(try Catalog(path: path))
        return Authorizer(store: store, resourcePolicy: resourcePolicy)
    }

    private func call(_ caller: Caller) -> Call {
        Call(
            caller: caller, accountID: own, region: "us-east-1", time: Timestamp(seconds: 1_800_000_000),
            requestID: "r", eventID: "e", sourceAddress: "203.0.113.9", userAgent: nil, isSecureTransport: true)
    }

    private func bucket(_ account: String?) -> [ResourceReference] {
        [ResourceReference(type: "AWS::S3::Bucket", arn: "arn:aws:s3:::b", accountID: account)]
    }

    @Test func `root may do everything in its own account`() async throws {
        let authorizer = try await authorizer()
        for resources in [bucket(own), bucket(nil), []] {
            let refusal = try await authorizer.refusal(
                call(root), action: "s3:DeleteBucket", resources: resources, family: .s3)
            #expect(refusal == nil)
        }
    }

    @Test func `root may do nothing in another account`() async throws {
        let refusal = try await authorizer().refusal(
            call(root), action: "s3:DeleteBucket", resources: bucket("999999999999"), family: .s3)
        #expect(refusal?.code == "AccessDenied")
        #expect(refusal?.status == 403)
        #expect(refusal?.message == "Access Denied")
    }

    @Test func `S3 tells the owner's account and its organization why, and nobody else`() async throws {
        let store = try await IdentityStore.open(try Catalog(path: path))
        func message(_ owner: String) async throws -> String? {
            let authorizer = Authorizer(
                store: store,
                controls: { AccountControls(organizationID: $0 == "999999999999" ? nil : "o-1234567890") })
            return try await authorizer.refusal(
                call(root), action: "s3:DeleteBucket", resources: bucket(owner), family: .s3)?.message
        }
        #expect(
            try await message("210987654321")
                == "User: arn:aws:iam::123456789012:root is not authorized to perform: s3:DeleteBucket on resource: "
                + "\"arn:aws:s3:::b\" because no resource-based policy allows the s3:DeleteBucket action")
        #expect(try await message("999999999999") == "Access Denied")
    }

    @Test func `a deny in the bucket's policy binds its owner's root`() async throws {
        let text = #"""
            {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket",
             "Resource": "arn:aws:s3:::b"}]}
            """#
        let policy = StoredPolicy(stored: text, as: .resource(.s3), name: "b")
        let authorizer = try await authorizer { _, _ in policy }
        let refusal = try await authorizer.refusal(
            call(root), action: "s3:DeleteBucket", resources: bucket(own), family: .s3)
        #expect(refusal?.message.hasSuffix("with an explicit deny in a resource-based policy") == true)
        let other = try await authorizer.refusal(
            call(root), action: "s3:ListBucket", resources: bucket(own), family: .s3)
        #expect(other == nil)
    }

    @Test func `a public policy opens a restricted bucket to nobody from outside`() async throws {
        let text = #"""
            {"Version": "2012-10-17", "Statement": [
             {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b"}]}
            """#
        let policy = StoredPolicy(stored: text, as: .resource(.s3), name: "b")
        let store = try await IdentityStore.open(try Catalog(path: path))
        func code(_ caller: Caller, isRestricted: Bool) async throws -> String? {
            try await Authorizer(
                store: store, resourcePolicy: { _, _ in policy }, isRestricted: { _ in isRestricted }
            ).refusal(call(caller), action: "s3:ListBucket", resources: bucket(own), family: .s3)?.message
        }
        let stranger = Caller.root(of: "999999999999", accessKeyID: nil)
        #expect(try await code(stranger, isRestricted: false) == nil)
        #expect(try await code(.unknown, isRestricted: false) == nil)
        #expect(try await code(stranger, isRestricted: true) == "Access Denied")
        #expect(try await code(.unknown, isRestricted: true) == "Access Denied")
        #expect(try await code(root, isRestricted: true) == nil)
    }

    @Test func `every decision is told with its statement, what was in force, and the call's keys`() async throws {
        let text = #"""
            {"Version": "2012-10-17", "Statement": [
             {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b"},
             {"Sid": "NoDeletion", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket",
              "Resource": "arn:aws:s3:::b"}]}
            """#
        let policy = StoredPolicy(stored: text, as: .resource(.s3), name: "b")
        let notes = Mutex<[DecisionNote]>([])
        let authorizer = Authorizer(
            store: try await IdentityStore.open(try Catalog(path: path)), resourcePolicy: { _, _ in policy },
            note: { note in notes.withLock { $0.append(note) } })
        for action in ["s3:DeleteBucket", "s3:ListBucket", "s3:GetBucketAcl"] {
            _ = try await authorizer.refusal(
                call(root), action: action, resources: bucket(own), conditions: [ConditionKey("s3:prefix", "a\"b")],
                family: .s3)
        }
        var lines: [UInt8] = []
        for note in notes.withLock({ $0 }) { note.append(to: &lines) }
        let read = try lines.split(separator: 0x0A).map { try WireValue(json: Array($0)).asStructure ?? [:] }
        #expect(read.map { $0["verdict"]?.asString } == ["explicitDeny", "allow", "allow"])
        #expect(read[0]["sid"] == "NoDeletion" && read[0]["statement"] == 2 && read[0]["policy"] == "b")
        #expect(read[0]["because"]?.asString?.contains("statement 2 NoDeletion") == true)
        #expect(read[0]["eventID"] == "e" && read[0]["requestID"] == "r")
        #expect(read[0]["inForce"]?.asStructure?["resource"] == "b")
        #expect(read[0]["context"]?.asStructure?["s3:prefix"] == ["a\"b"])
        #expect(read[0]["context"]?.asStructure?["aws:sourceip"] == ["203.0.113.9"])
        #expect(read[2]["because"]?.asString?.contains("root of the account") == true)
    }

    @Test func `a resource that names an action of its own is asked for that`() async throws {
        let resources = [
            bucket(own)[0],
            ResourceReference(
                type: "AWS::S3::Object", arn: "arn:aws:s3:::other/k", accountID: "999999999999", action: "s3:GetObject"),
        ]
        let (decision, resource) = try await authorizer().decide(
            call(root), action: "s3:PutObject", resources: resources, conditions: [])
        #expect(!decision.isAllowed && decision.action == "s3:GetObject")
        #expect(resource?.arn == "arn:aws:s3:::other/k")
    }

    @Test(arguments: [Caller.unknown, .service("cloudtrail.amazonaws.com")])
    func `callers without an account may do nothing`(_ caller: Caller) async throws {
        let authorizer = try await authorizer()
        let refusal = try await authorizer.refusal(
            call(caller), action: "s3:ListBucket", resources: bucket(own), family: .s3)
        #expect(refusal?.message == "Access Denied")
        let json = try await authorizer.refusal(
            call(caller), action: "cloudtrail:ListTrails", resources: [], family: .json)
        #expect(json?.code == "AccessDeniedException")
        #expect(json?.recordedCode == "AccessDenied")
        #expect(json?.status == 400)
    }
}
