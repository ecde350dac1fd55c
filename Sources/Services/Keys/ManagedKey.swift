// SPDX-License-Identifier: Apache-2.0
//
// Keys that a service makes for an account (AWS managed keys): `alias/aws/s3`. They are used through the service only, and
// are rotated each year. Source: KMS Developer Guide, "AWS managed keys"; the policy is that which AWS gives such a key.

package import AWSWire

extension KeyService {
    /// The key that a service made for an account, made now if this is its first use.
    ///
    /// - Parameter service: `s3`.
    /// - Returns: its ARN.
    package func managedKey(
        of service: String, account: String, region: String
    ) async throws(AWSError) -> String {
        let name = "\(AliasName.reserved)\(service)"
        let arn = "arn:aws:kms:\(region):\(account):\(name)"
        let existing = table.read { content in content.aliases[arn].flatMap { content.keys[$0.target]?.arn } }
        if let existing { return existing }
        var made = try await makeKey(
            account: account, region: region,
            description: "Default key that protects my \(service.uppercased()) objects when no other key is defined",
            policy: Self.managedKeyPolicy(service: service, account: account, region: region), tags: [],
            manager: "AWS")
        made.rotationDays = Self.managedRotationDays
        made.nextRotation = made.made + Self.managedRotationDays * 86_400_000
        let key = made
        let alias = AliasRecord(
            name: name, account: account, region: region, target: key.id, made: key.made, changed: key.made)
        return try await table.change { content throws(AWSError) -> (changes: [KeyChange], result: String) in
            if let target = content.aliases[arn]?.target, let other = content.keys[target] { return ([], other.arn) }
            return ([.key(key), .alias(alias)], key.arn)
        }
    }

    private static let managedRotationDays: Int64 = 365

    private static func managedKeyPolicy(service: String, account: String, region: String) -> String {
        """
        {
          "Version" : "2012-10-17",
          "Id" : "auto-\(service)-2",
          "Statement" : [ {
            "Sid" : "Allow access through \(service.uppercased()) for all principals in the account that are authorized to use \(service.uppercased())",
            "Effect" : "Allow",
            "Principal" : {
              "AWS" : "*"
            },
            "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey" ],
            "Resource" : "*",
            "Condition" : {
              "StringEquals" : {
                "kms:CallerAccount" : "\(account)",
                "kms:ViaService" : "\(service).\(region).amazonaws.com"
              }
            }
          }, {
            "Sid" : "Allow direct access to key metadata to the account",
            "Effect" : "Allow",
            "Principal" : {
              "AWS" : "arn:aws:iam::\(account):root"
            },
            "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
            "Resource" : "*"
          } ]
        }
        """
    }
}
