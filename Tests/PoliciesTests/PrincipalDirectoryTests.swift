// SPDX-License-Identifier: Apache-2.0

import Policies
import Testing

struct PrincipalDirectoryTests {
    private static let bob = "arn:aws:iam::111111111111:user/bob"
    private static let id = "AIDABOB0000000000001"

    /// Knows bob, and nobody else.
    private func directory(isBobAlive: Bool = true) -> PrincipalDirectory {
        PrincipalDirectory(
            place: { arn in
                guard arn.contains(":user/") else { return .elsewhere }
                return isBobAlive && arn == Self.bob ? .entity(Self.id) : .nobody
            }, arn: { id in isBobAlive && id == Self.id ? Self.bob : nil })
    }

    private func text(_ principal: String) -> [UInt8] {
        let statement =
            #"{"Effect":"Allow","Principal":{"AWS":["\#(principal)","111111111111"]},"Action":"s3:GetObject","#
            + #""Resource":"arn:aws:s3:::b/*"}"#
        return Array((#"{"Version":"2012-10-17","Statement":["# + statement + "]}").utf8)
    }

    @Test func `a user is kept by its id and shown by its ARN as long as it lives`() throws {
        let document = try PolicyDocument.parse(text(Self.bob), as: .resource(.s3))
        let stored = try document.textToStore(directory())
        #expect(stored == text(Self.id))
        let kept = try PolicyDocument.parse(stored: stored, as: .resource(.s3), name: "b")
        #expect(kept.textToShow(directory()) == text(Self.bob))
        #expect(kept.textToShow(directory(isBobAlive: false)) == text(Self.id))
    }

    @Test func `a user that does not exist is an invalid principal`() throws {
        let document = try PolicyDocument.parse(text(Self.bob), as: .resource(.s3))
        #expect {
            try document.textToStore(directory(isBobAlive: false))
        } throws: { error in
            (error as? PolicyError)?.reason == .principal(kind: "AWS", value: Self.bob)
        }
    }

    @Test func `a federated session of the user is named by the user's id as by its ARN`() throws {
        func decide(_ principal: String, isLimited: Bool) throws -> Bool {
            let policy = try PolicyDocument.parse(stored: text(principal), as: .resource(.s3), name: "b")
            let session = Principal.federatedUser(
                account: "111111111111", arn: "arn:aws:sts::111111111111:federated-user/fed", name: "fed",
                userARN: Self.bob, userID: Self.id)
            let all = try PolicyDocument.parse(
                Array(#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#.utf8),
                as: .session)
            return PolicyEvaluation.decide(
                AuthorizationRequest(
                    principal: session, action: "s3:GetObject", resource: "arn:aws:s3:::b/k",
                    resourceAccount: "111111111111", context: RequestContext(session)),
                PoliciesInForce(session: isLimited ? nil : [all], resource: policy)
            ).isAllowed
        }
        for name in [Self.bob, Self.id] {
            #expect(try decide(name, isLimited: false))
            #expect(try !decide(name, isLimited: true), "without a session policy a federated user has nothing")
        }
    }
}
