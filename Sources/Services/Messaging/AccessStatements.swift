// SPDX-License-Identifier: Apache-2.0
//
// AddPermission and RemovePermission, which both services have: a statement of a policy, found by its Sid.
// Source: Amazon SQS API Reference and Amazon SNS API Reference, AddPermission.

internal import AWSWire

/// A policy's statements as JSON, to be edited one by one.
struct AccessStatements {
    private var document: WireStructure
    private var statements: [WireValue]

    /// - Parameters:
    ///   - text: the policy; nil for none yet.
    ///   - id: the `Id` of a new policy.
    init(_ text: String?, id: String) throws(AWSError) {
        let empty: WireStructure = ["Version": "2012-10-17", "Id": .string(id)]
        document =
            try text.map { (text) throws(AWSError) in try WireValue(json: Array(text.utf8)) }?.asStructure ?? empty
        switch document["Statement"] {
        case .list(let list)?: statements = list
        case let single?: statements = [single]
        case nil: statements = []
        }
    }

    var isEmpty: Bool { statements.isEmpty }

    func has(_ sid: String) -> Bool { statements.contains { $0.asStructure?["Sid"]?.asString == sid } }

    /// - Parameter actions: with the service's prefix.
    mutating func add(_ sid: String, accounts: [String], actions: [String], resource: String) {
        func few(_ items: [String]) -> WireValue {
            items.count == 1 ? .string(items[0]) : .list(items.map { .string($0) })
        }
        statements.append(
            .structure([
                "Sid": .string(sid), "Effect": "Allow",
                "Principal": .structure(["AWS": few(accounts.map { "arn:aws:iam::\($0):root" })]),
                "Action": few(actions), "Resource": .string(resource),
            ]))
    }

    /// - Returns: whether there was one.
    mutating func remove(_ sid: String) -> Bool {
        let before = statements.count
        statements.removeAll { $0.asStructure?["Sid"]?.asString == sid }
        return statements.count < before
    }

    var text: String {
        var document = document
        document["Statement"] = .list(statements)
        return String(decoding: WireValue.structure(document).json, as: UTF8.self)
    }
}
