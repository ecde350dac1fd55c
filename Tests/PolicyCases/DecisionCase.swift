// SPDX-License-Identifier: Apache-2.0
//
// Cases that are data: who asks for what under which policies, and what the answer must be. A case is a JSON object
//
//     {"name": ..., "source": ..., "rule": ..., "policies": {"identity": [DOCUMENT], ...}, "requests": [REQUEST]}
//
// with requests such as {"by": "U", "action": ..., "resource": ..., "context": {KEY: VALUE}, "expect": "allow"}. What a
// request leaves out is the case's `defaults`, or else what `DecisionCase` reads for it.

import Foundation
package import Policies

package struct CaseFault: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

package enum CaseFile {
    private static var folder: URL { URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Cases") }

    /// The names of all files of cases.
    package static func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".json") }.sorted()
    }

    /// The cases of one file.
    package static func read(_ name: String) throws -> [[String: Any]] {
        let data = try Data(contentsOf: folder.appending(path: name))
        guard let cases = try JSONSerialization.jsonObject(with: data) as? [[String: Any]] else {
            throw CaseFault("\(name) is no list of cases")
        }
        return cases
    }

    /// The text of a document, which a case gives as JSON or, where it is broken on purpose, as a string.
    package static func text(_ value: Any) throws -> [UInt8] {
        if let text = value as? String { return Array(text.utf8) }
        return Array(
            try JSONSerialization.data(withJSONObject: value, options: [.sortedKeys, .withoutEscapingSlashes]))
    }
}

/// One request under some policies, and the answer that it must get.
package struct DecisionCase: Sendable {
    package let name: String
    package let request: AuthorizationRequest
    package let policies: PoliciesInForce
    package let rule: DecisionRule
    package let additionalActions: [String]
    /// The verdict, empty where the case asks and does not tell.
    package let expected: String
    package let expectedType: String?
    package let expectedReason: String?

    package func decide() -> Decision {
        if case .roleTrust = rule, !additionalActions.isEmpty {
            return PolicyEvaluation.decideRoleAssumption(request, policies, additionalActions: additionalActions)
        }
        return PolicyEvaluation.decide(request, policies, rule: rule)
    }

    /// The decisions of one file.
    package static func all(in file: String) throws -> [DecisionCase] {
        try CaseFile.read(file).flatMap { try read($0) }
    }

    /// The decisions of the whole table: of every file of cases but the one about documents.
    package static func everywhere() throws -> [DecisionCase] {
        try CaseFile.names().filter { $0 != "documents.json" }.flatMap { try all(in: $0) }
    }

    /// The decisions of one case.
    package static func read(_ object: [String: Any]) throws -> [DecisionCase] {
        guard let name = object["name"] as? String, let source = object["source"] as? String, !source.isEmpty,
            let requests = object["requests"] as? [[String: Any]]
        else { throw CaseFault("a case needs name, source and requests: \(object)") }
        let resourceKind: PolicyKind =
            switch object["rule"] as? String {
            case "roleTrust": .trust
            case "key": .resource(.kms)
            default: .resource(.s3)
            }
        let policies = try policies(object["policies"] as? [String: Any] ?? [:], resourceKind: resourceKind)
        let defaults = object["defaults"] as? [String: Any] ?? [:]
        return try requests.enumerated().map { place, own in
            let request = defaults.merging(own) { $1 }
            let by = request["by"] as? String ?? "U"
            let principal = try CasePrincipals.named(by)
            var context = RequestContext(principal)
            for (key, value) in request["context"] as? [String: Any] ?? [:] {
                if let several = value as? [String] {
                    context[key] = ContextValue(set: several)
                } else if let single = value as? String {
                    context[key] = ContextValue(single)
                } else {
                    throw CaseFault("\(name): \(key) must be a string or a list")
                }
            }
            return DecisionCase(
                name: "\(name) [\(place + 1): \(by)]",
                request: AuthorizationRequest(
                    principal: principal, action: request["action"] as? String ?? "s3:GetObject",
                    resource: request["resource"] as? String ?? "arn:aws:s3:::b/k",
                    resourceAccount: request["resourceAccount"] as? String ?? "111111111111", context: context),
                policies: policies, rule: try rule(object, request),
                additionalActions: request["additionalActions"] as? [String] ?? [],
                expected: request["expect"] as? String ?? "",
                expectedType: request["policyType"] as? String, expectedReason: request["reason"] as? String)
        }
    }

    private static func rule(_ object: [String: Any], _ request: [String: Any]) throws -> DecisionRule {
        switch object["rule"] as? String {
        case nil: return .standard
        case "roleTrust": return .roleTrust
        case "bucketPolicy": return .bucketPolicy
        case "signedOnly": return .signedOnly
        case "key":
            let grants = (object["grants"] as? [[String: Any]] ?? []).map { grant in
                KeyGrant(
                    grantee: grant["grantee"] as? String ?? "",
                    operations: Set(grant["operations"] as? [String] ?? []),
                    contextEquals: grant["contextEquals"] as? [String: String],
                    contextSubset: grant["contextSubset"] as? [String: String])
            }
            return .key(grants: grants, encryptionContext: request["encryptionContext"] as? [String: String] ?? [:])
        case let other?: throw CaseFault("there is no rule \(other)")
        }
    }

    private static func policies(_ object: [String: Any], resourceKind: PolicyKind) throws -> PoliciesInForce {
        func document(_ value: Any, _ kind: PolicyKind) throws -> PolicyDocument {
            try PolicyDocument.parse(stored: try CaseFile.text(value), as: kind, name: "case")
        }
        func documents(_ value: Any?, _ kind: PolicyKind) throws -> [PolicyDocument] {
            try (value as? [Any] ?? []).map { try document($0, kind) }
        }
        func controls(_ value: Any?, _ kind: PolicyKind) throws -> ControlPolicies? {
            guard let object = value as? [String: Any] else { return nil }
            return ControlPolicies(
                account: object["account"] as? String ?? "",
                levels: try (object["levels"] as? [Any] ?? []).map { try documents($0, kind) },
                isManagementAccount: object["isManagementAccount"] as? Bool ?? false)
        }
        let known: Set<String> = ["identity", "boundary", "session", "resource", "serviceControl", "resourceControl"]
        if let strange = object.keys.first(where: { !known.contains($0) }) {
            throw CaseFault("no policies are \(strange)")
        }
        return PoliciesInForce(
            identity: try documents(object["identity"], .identity),
            boundary: try object["boundary"].map { try document($0, .boundary) },
            session: object["session"] == nil ? nil : try documents(object["session"], .session),
            resource: try object["resource"].map { try document($0, resourceKind) },
            serviceControl: try controls(object["serviceControl"], .serviceControl),
            resourceControl: try controls(object["resourceControl"], .resourceControl))
    }
}
