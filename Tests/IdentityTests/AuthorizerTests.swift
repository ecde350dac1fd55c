// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Identity
import Testing

struct AuthorizerTests {
    private let own = "123456789012"
    private var root: Caller { .root(of: own, accessKeyID: "AKIAIOSFODNN7EXAMPLE") }

    private func bucket(_ account: String?) -> [ResourceReference] {
        [ResourceReference(type: "AWS::S3::Bucket", arn: "arn:aws:s3:::b", accountID: account)]
    }

    @Test func `root may do everything in its own account`() {
        let authorizer = Authorizer()
        #expect(authorizer.authorize(root, action: "s3:DeleteBucket", resources: bucket(own)) == .allowed)
        #expect(authorizer.authorize(root, action: "s3:DeleteBucket", resources: bucket(nil)) == .allowed)
        #expect(authorizer.authorize(root, action: "sts:GetCallerIdentity", resources: []) == .allowed)
    }

    @Test func `root may do nothing in another account`() {
        let refusal = Authorizer().refusal(
            root, action: "s3:DeleteBucket", resources: bucket("999999999999"), family: .s3)
        #expect(refusal?.code == "AccessDenied")
        #expect(refusal?.status == 403)
        #expect(
            refusal?.message
                == "User: arn:aws:iam::123456789012:root is not authorized to perform: s3:DeleteBucket on resource: "
                + "\"arn:aws:s3:::b\" because no resource-based policy allows the s3:DeleteBucket action")
    }

    @Test(arguments: [Caller.unknown, .service("cloudtrail.amazonaws.com")])
    func `callers without an account may do nothing`(_ caller: Caller) {
        let authorizer = Authorizer()
        #expect(authorizer.authorize(caller, action: "s3:ListBucket", resources: []) != .allowed)
        #expect(
            authorizer.refusal(caller, action: "s3:ListBucket", resources: [], family: .s3)?.message == "Access Denied")
        let json = authorizer.refusal(caller, action: "cloudtrail:ListTrails", resources: [], family: .json)
        #expect(json?.code == "AccessDeniedException")
        #expect(json?.recordedCode == "AccessDenied")
        #expect(json?.status == 400)
    }
}
