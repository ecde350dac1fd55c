// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Identity
import Policies
import Storage
import Testing

/// Each test has a catalog of its own, removed with the suite's value.
final class AuthorizerKeyTests {
    private let path = FileManager.default.temporaryDirectory.appending(path: "cairn-\(UUID().uuidString).sqlite").path
    private let own = "123456789012"
    private let key = "arn:aws:kms:us-east-1:123456789012:key/k"
    private let user = Caller.user(
        "u", arn: "arn:aws:iam::123456789012:user/u", id: "AIDAEXAMPLE", account: "123456789012", accessKeyID: nil)

    deinit { try? FileManager.default.removeItem(atPath: path) }

    private func decide(
        _ caller: Caller, _ policy: String, account: String? = nil, grants: [KeyGrant] = [],
        facts: RequestContext = [:], isDamaged: Bool = false
    ) async throws -> Decision {
        let authorizer = Authorizer(store: try await IdentityStore.open(try Catalog(path: path)))
        let document = try PolicyDocument.parse(
            Array(#"{"Version":"2012-10-17","Statement":[\#(policy)]}"#.utf8), as: .resource(.kms))
        let call = Call(
            caller: caller, accountID: caller.accountID ?? own, region: "us-east-1",
            time: Timestamp(seconds: 1_800_000_000), requestID: "r", eventID: "e", sourceAddress: "203.0.113.9",
            userAgent: "agent", isSecureTransport: true)
        return authorizer.decide(
            call, action: "kms:Decrypt",
            key: ResourceReference(type: "AWS::KMS::Key", arn: key, accountID: account ?? own), policy: document,
            isDamaged: isDamaged, rule: .key(grants: grants, encryptionContext: ["a": "1"]), facts: facts)
    }

    private func allow(_ principal: String, _ condition: String = "{}") -> String {
        #"{"Effect":"Allow","Principal":\#(principal),"Action":"kms:*","Resource":"*","Condition":\#(condition)}"#
    }

    @Test func `a user without policies may what the key's policy allows by naming him`() async throws {
        #expect(try await decide(user, allow(#"{"AWS":"arn:aws:iam::123456789012:user/u"}"#)).isAllowed)
        #expect(try await !decide(user, allow(#"{"AWS":"arn:aws:iam::123456789012:user/v"}"#)).isAllowed)
    }

    @Test func `a policy that names the account leaves it to policies that the user lacks`() async throws {
        let decision = try await decide(user, allow(#"{"AWS":"arn:aws:iam::123456789012:root"}"#))
        #expect(decision.reason == .policy(.identity))
        #expect(decision.verdict == .implicitDeny)
    }

    @Test func `a grant allows under its constraints, and a policy that cannot be read allows nobody`() async throws {
        let root = allow(#"{"AWS":"arn:aws:iam::123456789012:root"}"#)
        func grant(_ subset: [String: String]) -> KeyGrant {
            KeyGrant(grantee: user.arn ?? "", operations: ["Decrypt"], contextSubset: subset)
        }
        #expect(try await decide(user, root, grants: [grant(["a": "1"])]).isAllowed)
        #expect(try await !decide(user, root, grants: [grant(["a": "2"])]).isAllowed)
        #expect(try await !decide(user, root, grants: [grant(["a": "1"])], isDamaged: true).isAllowed)
    }

    @Test func `the root of another account needs the key's policy`() async throws {
        let foreign = Caller.root(of: "999999999999", accessKeyID: nil)
        #expect(try await decide(foreign, allow(#"{"AWS":"999999999999"}"#)).isAllowed)
        #expect(try await !decide(foreign, allow(#"{"AWS":"123456789012"}"#)).isAllowed)
    }

    @Test func `the caller's address is known of his own calls and not of those that a service makes for him`()
        async throws
    {
        let fromHere = allow(
            #"{"AWS":"arn:aws:iam::123456789012:user/u"}"#, #"{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#)
        #expect(try await decide(user, fromHere).isAllowed)
        #expect(try await !decide(user, fromHere, facts: ["aws:ViaAWSService": "true"]).isAllowed)
        let through = allow(
            #"{"AWS":"arn:aws:iam::123456789012:user/u"}"#,
            #"{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}"#)
        #expect(try await decide(user, through, facts: ["kms:ViaService": "s3.us-east-1.amazonaws.com"]).isAllowed)
        #expect(try await !decide(user, through).isAllowed)
    }
}
