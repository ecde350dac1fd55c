// SPDX-License-Identifier: Apache-2.0

import Policies
import Testing

struct ChannelPolicyRulesTests {
    private static let channel =
        "arn:aws:cloudtrail:us-east-1:111122223333:channel/01234567-89ab-cdef-0123-456789abcdef"
    private static let principal = #""Principal":{"AWS":"999999999999"}"#
    private static let action = #""Action":"cloudtrail-data:PutAuditEvents""#
    private static let resource = #""Resource":"\#(channel)""#

    private func check(_ statements: [String]) throws(PolicyError) {
        let text = #"{"Version":"2012-10-17","Statement":["# + statements.joined(separator: ",") + "]}"
        let document = try PolicyDocument.parse(Array(text.utf8), as: .resource(.cloudTrail), name: Self.channel)
        try ChannelPolicyRules.validate(document, channel: Self.channel)
    }

    private static func statement(
        _ principal: String = principal, _ action: String = action, _ resource: String = resource
    ) -> String { #"{"Effect":"Allow",\#(principal),\#(action),\#(resource)}"# }

    @Test func `a channel's policy has one to twenty statements of one to fifty principals`() throws {
        try check([Self.statement()])
        try check(Array(repeating: Self.statement(), count: ChannelPolicyRules.statementsMax))
        #expect(throws: PolicyError.self) {
            try check(Array(repeating: Self.statement(), count: ChannelPolicyRules.statementsMax + 1))
        }
        #expect(throws: PolicyError.self) { try check([]) }
        func crowd(_ count: Int) -> String {
            let accounts = (0..<count).map { "\"\(100_000_000_000 + $0)\"" }.joined(separator: ",")
            return Self.statement(#""Principal":{"AWS":[\#(accounts)]}"#)
        }
        try check([crowd(ChannelPolicyRules.principalsMax)])
        #expect(throws: PolicyError.self) { try check([crowd(ChannelPolicyRules.principalsMax + 1)]) }
    }

    @Test(arguments: [
        statement(principal, #""Action":"cloudtrail-data:*""#),
        statement(principal, #""Action":["cloudtrail-data:PutAuditEvents","cloudtrail:GetChannel"]"#),
        statement(principal, #""NotAction":"cloudtrail-data:PutAuditEvents""#),
        statement(principal, action, #""Resource":"*""#),
        statement(principal, action, #""NotResource":"\#(channel)""#),
        statement(principal, action, #""Resource":"\#(channel.dropLast())e""#),
    ])
    func `it speaks of PutAuditEvents on the channel itself and of nothing else`(statement: String) {
        #expect { try check([statement]) } throws: { ($0 as? PolicyError)?.code == "ResourcePolicyNotValidException" }
    }
}
