// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Crypto

/// The managed policies that every account finds under `arn:aws:iam::aws:policy/`.
///
/// Source: AWS Managed Policy Reference. The two old CloudTrail policies, which AWS withdrew, are here because notes and
/// scripts still name them.
enum AWSManagedPolicies {
    private struct Row {
        let name: String
        let version: String
        let created: String
        let updated: String
        let text: String

        init(
            _ name: String, _ version: String, created: String, updated: String, _ text: String
        ) {
            self.name = name
            self.version = version
            self.created = created
            self.updated = updated
            self.text = text
        }
    }

    private static let rows = [
        Row(
            "AWSCloudTrailFullAccess", "v8", created: "2015-02-06T18:39:58Z", updated: "2020-09-29T00:00:00Z",
            AWSManagedPolicyTexts.cloudTrailFullAccessOld),
        Row(
            "AWSCloudTrailReadOnlyAccess", "v9", created: "2015-02-06T18:39:59Z", updated: "2019-11-20T00:00:00Z",
            AWSManagedPolicyTexts.cloudTrailReadOnlyAccessOld),
        Row(
            "AWSCloudTrail_FullAccess", "v3", created: "2020-10-08T23:41:15Z", updated: "2021-02-22T19:01:00Z",
            AWSManagedPolicyTexts.cloudTrailFullAccess),
        Row(
            "AWSCloudTrail_ReadOnlyAccess", "v1", created: "2022-06-14T17:19:05Z", updated: "2022-06-14T17:19:05Z",
            AWSManagedPolicyTexts.cloudTrailReadOnlyAccess),
        Row(
            "AdministratorAccess", "v1", created: "2015-02-06T18:39:46Z", updated: "2015-02-06T18:39:46Z",
            AWSManagedPolicyTexts.administratorAccess),
        Row(
            "AmazonS3FullAccess", "v2", created: "2015-02-06T18:40:58Z", updated: "2021-09-27T20:16:37Z",
            AWSManagedPolicyTexts.amazonS3FullAccess),
        Row(
            "AmazonS3ReadOnlyAccess", "v3", created: "2015-02-06T18:40:59Z", updated: "2023-08-10T21:31:39Z",
            AWSManagedPolicyTexts.amazonS3ReadOnlyAccess),
        Row(
            "AmazonSNSFullAccess", "v2", created: "2015-02-06T18:41:05Z", updated: "2024-09-24T22:32:05Z",
            AWSManagedPolicyTexts.amazonSNSFullAccess),
        Row(
            "AmazonSNSReadOnlyAccess", "v2", created: "2015-02-06T18:41:06Z", updated: "2024-09-24T22:13:12Z",
            AWSManagedPolicyTexts.amazonSNSReadOnlyAccess),
        Row(
            "AmazonSQSFullAccess", "v1", created: "2015-02-06T18:41:07Z", updated: "2015-02-06T18:41:07Z",
            AWSManagedPolicyTexts.amazonSQSFullAccess),
        Row(
            "AmazonSQSReadOnlyAccess", "v4", created: "2015-02-06T18:41:08Z", updated: "2024-05-24T18:16:44Z",
            AWSManagedPolicyTexts.amazonSQSReadOnlyAccess),
        Row(
            "CloudWatchFullAccess", "v4", created: "2015-02-06T18:40:00Z", updated: "2022-11-27T13:23:49Z",
            AWSManagedPolicyTexts.cloudWatchFullAccess),
        Row(
            "CloudWatchFullAccessV2", "v15", created: "2023-08-01T11:32:57Z", updated: "2026-02-12T18:00:06Z",
            AWSManagedPolicyTexts.cloudWatchFullAccessV2),
        Row(
            "CloudWatchLogsFullAccess", "v8", created: "2015-02-06T18:40:02Z", updated: "2026-02-12T18:00:33Z",
            AWSManagedPolicyTexts.cloudWatchLogsFullAccess),
        Row(
            "CloudWatchLogsReadOnlyAccess", "v12", created: "2015-02-06T18:40:03Z", updated: "2026-02-12T17:59:13Z",
            AWSManagedPolicyTexts.cloudWatchLogsReadOnlyAccess),
        Row(
            "CloudWatchReadOnlyAccess", "v24", created: "2015-02-06T18:40:01Z", updated: "2026-02-12T18:01:50Z",
            AWSManagedPolicyTexts.cloudWatchReadOnlyAccess),
        Row(
            "IAMFullAccess", "v2", created: "2015-02-06T18:40:38Z", updated: "2019-06-21T19:40:00Z",
            AWSManagedPolicyTexts.iamFullAccess),
        Row(
            "IAMReadOnlyAccess", "v4", created: "2015-02-06T18:40:39Z", updated: "2018-01-25T19:11:27Z",
            AWSManagedPolicyTexts.iamReadOnlyAccess),
        Row(
            "IAMUserChangePassword", "v5", created: "2016-11-15T00:25:16Z", updated: "2026-02-12T17:58:57Z",
            AWSManagedPolicyTexts.iamUserChangePassword),
        Row(
            "ReadOnlyAccess", "v182", created: "2015-02-06T18:39:48Z", updated: "2026-04-03T15:27:12Z",
            AWSManagedPolicyTexts.readOnlyAccess),
        Row(
            "SecurityAudit", "v86", created: "2015-02-06T18:41:01Z", updated: "2026-05-01T03:12:13Z",
            AWSManagedPolicyTexts.securityAudit),
    ]

    /// In the order of their names.
    static let all: [ManagedPolicy] = rows.map { row in
        let created = Timestamp(iso8601: row.created) ?? Timestamp(seconds: 0)
        var policy = ManagedPolicy(
            owner: "aws", name: row.name, path: "/", id: id(of: row.name), created: created, description: nil,
            firstVersion: row.version, text: row.text)
        policy.updated = Timestamp(iso8601: row.updated) ?? created
        policy.versions[0].created = policy.updated
        return policy
    }

    static let byARN: [String: ManagedPolicy] = Dictionary(
        all.map { ($0.arn, $0) }, uniquingKeysWith: { first, _ in first })

    /// An id in AWS's form that is the same wherever it is asked for.
    private static func id(of name: String) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)
        let hash = Array(SHA256.hash(data: Array("cairn managed policy \(name)".utf8)))
        return "ANPA" + String(decoding: hash.prefix(17).map { alphabet[Int($0) % 32] }, as: UTF8.self)
    }
}
