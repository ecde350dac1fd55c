// SPDX-License-Identifier: Apache-2.0

package import AWSWire

/// STS: who is calling.
package struct IdentityService: Sendable {
    package static let operations: [Operation<IdentityService>] = [
        Operation(
            "GetCallerIdentity", .read, OperationTraits(authorization: .signedOnly), recorded: { _ in .null },
            perform: IdentityService.getCallerIdentity)
    ]

    package init() {}

    package var service: Service {
        Service(
            "sts", .query(version: "2011-06-15", namespace: "https://sts.amazonaws.com/doc/2011-06-15/"), owner: self,
            operations: Self.operations)
    }

    /// Needs no permission: a valid signature is enough.
    @Sendable func getCallerIdentity(
        _ input: GetCallerIdentityInput, _ call: Call
    ) async throws(AWSError) -> GetCallerIdentityOutput {
        guard let account = call.caller.accountID, let userID = call.caller.principalID, let arn = call.caller.arn
        else {
            throw .accessDenied(family: .query, callerARN: nil, action: "sts:GetCallerIdentity")
        }
        return GetCallerIdentityOutput(userID: userID, account: account, arn: arn)
    }
}

struct GetCallerIdentityInput: OperationInput {
    init(_ request: OperationRequest) throws(AWSError) {
        _ = try WireFields(request, known: [])
    }
}

struct GetCallerIdentityOutput: OperationOutput {
    var userID: String
    var account: String
    var arn: String

    func answer() -> OperationAnswer {
        // The members in the order of AWS's own answer.
        OperationAnswer(
            body: .members(["Arn": .string(arn), "UserId": .string(userID), "Account": .string(account)]))
    }
}
