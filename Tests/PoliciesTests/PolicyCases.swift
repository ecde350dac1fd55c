// SPDX-License-Identifier: Apache-2.0
//
// Reads the cases that are data: who asks for what under which policies, and what the answer must be.

import Foundation
import Policies
import Testing

/// The principals that the cases name by a letter. A is 111111111111, B is 222222222222.
enum CasePrincipals {
    static func named(_ name: String) throws -> Principal {
        let a = "111111111111"
        let b = "222222222222"
        if name.hasPrefix("service:") { return .service(String(name.dropFirst(8))) }
        if name.hasPrefix("web:") { return .webIdentity(provider: String(name.dropFirst(4)), subject: "s") }
        switch name {
        case "U":
            return .user(account: a, arn: "arn:aws:iam::\(a):user/bob", name: "bob", uniqueID: "AIDABOB0000000000001")
        case "V":
            return .user(
                account: a, arn: "arn:aws:iam::\(a):user/alice", name: "alice", uniqueID: "AIDAALICE00000000001")
        case "S":
            return .roleSession(
                account: a, roleARN: "arn:aws:iam::\(a):role/app/r", roleID: "AROAROLER00000000001",
                sessionARN: "arn:aws:sts::\(a):assumed-role/r/s1", sessionName: "s1")
        case "L":
            return .roleSession(
                account: a, roleARN: "arn:aws:iam::\(a):role/aws-service-role/x.amazonaws.com/X",
                roleID: "AROALINKED0000000001", sessionARN: "arn:aws:sts::\(a):assumed-role/X/s", sessionName: "s",
                isServiceLinked: true)
        case "F":
            return .federatedUser(
                account: a, arn: "arn:aws:sts::\(a):federated-user/fred", name: "fred",
                userARN: "arn:aws:iam::\(a):user/bob")
        case "X":
            return .user(
                account: b, arn: "arn:aws:iam::\(b):user/xavier", name: "xavier", uniqueID: "AIDAXAVIER0000000001")
        case "Y":
            return .roleSession(
                account: b, roleARN: "arn:aws:iam::\(b):role/b", roleID: "AROAROLEB00000000001",
                sessionARN: "arn:aws:sts::\(b):assumed-role/b/s2", sessionName: "s2")
        case "rootA": return .root(account: a)
        case "rootB": return .root(account: b)
        case "anonymous": return .anonymous
        default: throw CaseFault("there is no principal \(name)")
        }
    }
}

struct CaseFault: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

enum CaseFile {
    /// The cases of one file.
    static func read(_ name: String, from file: String = #filePath) throws -> [[String: Any]] {
        let folder = URL(filePath: file).deletingLastPathComponent().appending(path: "Cases")
        let data = try Data(contentsOf: folder.appending(path: name))
        guard let cases = try JSONSerialization.jsonObject(with: data) as? [[String: Any]] else {
            throw CaseFault("\(name) is no list of cases")
        }
        return cases
    }

    /// The text of a document, which a case gives as JSON or, where it is broken on purpose, as a string.
    static func text(_ value: Any) throws -> [UInt8] {
        if let text = value as? String { return Array(text.utf8) }
        return Array(
            try JSONSerialization.data(withJSONObject: value, options: [.sortedKeys, .withoutEscapingSlashes]))
    }
}

/// One request under some policies, and the answer that it must get.
struct DecisionCase: Sendable, CustomTestStringConvertible {
    let name: String
    let request: AuthorizationRequest
    let policies: PoliciesInForce
    let rule: DecisionRule
    let additionalActions: [String]
    let expected: String
    let expectedType: String?
    let expectedReason: String?

    var testDescription: String { name }

    func decide() -> Decision {
        if case .roleTrust = rule, !additionalActions.isEmpty {
            return PolicyEvaluation.decideRoleAssumption(request, policies, additionalActions: additionalActions)
        }
        return PolicyEvaluation.decide(request, policies, rule: rule)
    }

    static func all(in file: String) throws -> [DecisionCase] {
        try CaseFile.read(file).flatMap { try read($0) }
    }

    private static func read(_ object: [String: Any]) throws -> [DecisionCase] {
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
        return try requests.enumerated().map { place, request in
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
            guard let expected = request["expect"] as? String else { throw CaseFault("\(name) expects nothing") }
            return DecisionCase(
                name: "\(name) [\(place + 1): \(by)]",
                request: AuthorizationRequest(
                    principal: principal, action: request["action"] as? String ?? "s3:GetObject",
                    resource: request["resource"] as? String ?? "arn:aws:s3:::b/k",
                    resourceAccount: request["resourceAccount"] as? String ?? "111111111111", context: context),
                policies: policies, rule: try rule(object, request),
                additionalActions: request["additionalActions"] as? [String] ?? [], expected: expected,
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
