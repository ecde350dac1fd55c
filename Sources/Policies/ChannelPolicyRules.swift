// SPDX-License-Identifier: Apache-2.0
//
// What the policy of a CloudTrail channel may say: who may call PutAuditEvents on it, and nothing else.
// Source: CloudTrail API Reference, "PutResourcePolicy", requirements for the resource policy; CloudTrail User Guide,
// "AWS CloudTrail resource-based policy examples".

package enum ChannelPolicyRules {
    /// Statements of a document.
    package static let statementsMax = 20
    /// Principals of a statement.
    package static let principalsMax = 50

    private static let action = "cloudtrail-data:PutAuditEvents"

    /// Throws if CloudTrail would refuse the document as the policy of the channel with that ARN. The document was parsed as
    /// `.resource(.cloudTrail)`.
    package static func validate(_ document: PolicyDocument, channel arn: String) throws(PolicyError) {
        func refusal(_ reason: PolicyError.Reason, at position: Int, _ detail: String) -> PolicyError {
            PolicyError(reason: reason, kind: document.kind, position: position, detail: detail)
        }
        guard document.statements.count <= statementsMax else {
            throw refusal(.notOfThisKind, at: 0, "a channel's policy can have at most \(statementsMax) statements")
        }
        for statement in document.statements {
            let place = statement.position
            guard !statement.isNotAction, statement.actionTexts.count == 1,
                statement.actionTexts[0].lowercased() == action.lowercased()
            else {
                throw refusal(
                    .unknownAction(statement.actionTexts.first ?? ""), at: place,
                    "the only action of a channel's policy is \(action)")
            }
            guard !statement.isNotResource, let resources = statement.resourceTexts,
                resources.allSatisfy({ $0 == arn })
            else {
                throw refusal(
                    .foreignResource(statement.resourceTexts?.first ?? ""), at: place,
                    "the only resource of a channel's policy is the channel itself, \(arn)")
            }
            guard let principals = statement.principals, (1...principalsMax).contains(principals.patterns.count) else {
                throw refusal(.notOfThisKind, at: place, "a statement can have 1 to \(principalsMax) principals")
            }
        }
    }
}
