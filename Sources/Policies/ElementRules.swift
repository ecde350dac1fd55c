// SPDX-License-Identifier: Apache-2.0
//
// What may stand in Action, Resource and as a condition key, with IAM's words for what may not.
// Source: IAM User Guide, "IAM identifiers", "IAM JSON policy elements: Action", "... Resource"; IAM API Reference.

enum ElementRules {
    struct Fault {
        let rank: PolicyGrammar.Rank
        let reason: PolicyError.Reason
        let detail: String
    }

    // MARK: Actions

    static func fault(action: String, kind: PolicyKind) -> Fault? {
        if action == "*" {
            switch kind {
            case .trust: return trustFault(action)
            case .resourceControl:
                return Fault(rank: .actions, reason: .unknownAction(action), detail: "name the services of the actions")
            default: return nil
            }
        }
        let parts = action.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count < 2 {
            let words = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
            return Fault(rank: .actions, reason: .action(words), detail: "\(action) names no service")
        }
        if parts.count > 2 {
            return Fault(
                rank: .actions, reason: .action("Actions/Condition can contain only one colon."),
                detail: "\(action) has more than one colon")
        }
        let vendor = parts[0]
        if vendor.isEmpty {
            return Fault(rank: .legacyParsing, reason: .legacyParsing, detail: "\(action) names no service")
        }
        if !vendor.utf8.allSatisfy(isVendorByte) {
            return Fault(
                rank: .actions, reason: .action("Vendor \(vendor) is not valid"), detail: "\(vendor) is no service")
        }
        if kind == .trust, vendor.lowercased() != "sts" { return trustFault(action) }
        return nil
    }

    private static func trustFault(_ action: String) -> Fault {
        Fault(
            rank: .trustActions, reason: .trustAction,
            detail: "a trust policy speaks of actions of sts, not of \(action)")
    }

    private static func isVendorByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    // MARK: Resources

    private static let partitions: Set<String> = [
        "*", "aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc",
    ]

    private static let identityPaths = [
        "user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/", "policy/",
        "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/",
    ]

    static func fault(resource: String, kind: PolicyKind) -> Fault? {
        if resource == "*" { return nil }
        let parts = resource.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
        guard kind.isCheckedByIAM else {
            if parts.count >= 3, parts[0] == "arn" { return nil }
            return Fault(
                rank: .resources, reason: .foreignResource(resource), detail: "\(resource) is no ARN")
        }
        guard parts.count > 1, parts[0] == "arn" else {
            return words("Resource \(resource) must be in ARN format or \"*\".", "this is no ARN")
        }
        guard partitions.contains(parts[1]) else { return partitionFault(parts) }
        guard parts.count > 2 else {
            return words(
                "Resource vendor must be fully qualified and cannot contain regexes.", "the service is missing")
        }
        let service = parts[2]
        if service.isEmpty || (parts.count < 6 && resource.contains("::")) {
            return Fault(rank: .legacyParsing, reason: .legacyParsing, detail: "\(resource) has too few parts")
        }
        if service.contains("*") || service.contains("?") {
            return words(
                "Resource vendor must be fully qualified and cannot contain regexes.", "name the service in full")
        }
        return parts.count == 6 ? serviceFault(resource, parts) : nil
    }

    private static func serviceFault(_ resource: String, _ parts: [String]) -> Fault? {
        let name = parts[5]
        if parts[2] == "iam" {
            if !parts[3].isEmpty {
                return words("IAM resource \(resource) cannot contain region information.", "leave the region empty")
            }
            if name != "*", !identityPaths.contains(where: { name.hasPrefix($0) }) {
                let known = identityPaths.joined(separator: ", ")
                return words(
                    "IAM resource path must either be \"*\" or start with \(known).", "\(name) is no IAM resource")
            }
        }
        if parts[2] == "s3", !parts[3].isEmpty, !name.hasPrefix("accesspoint/"), !name.hasPrefix("job/"),
            !name.hasPrefix("storage-lens/")
        {
            return words("Resource \(resource) can not contain region information.", "leave the region empty")
        }
        return nil
    }

    private static func partitionFault(_ parts: [String]) -> Fault {
        // IAM shows the ARN with its missing parts as stars.
        let rest = (2..<6).map { index in index < parts.count ? parts[index] : "*" }.joined(separator: ":")
        return words(
            "Partition \"\(parts[1])\" is not valid for resource \"arn:\(parts[1]):\(rest)\".",
            "there is no partition \(parts[1])")
    }

    private static func words(_ message: String, _ detail: String) -> Fault {
        Fault(rank: .resources, reason: .resource(message), detail: detail)
    }

    // MARK: Condition keys

    static func fault(conditionKey key: String, kind: PolicyKind) -> Fault? {
        guard !key.isEmpty else {
            return Fault(rank: .syntax, reason: .syntax, detail: "a condition key without a name")
        }
        if case .resource(.s3) = kind, !BucketRules.isConditionKey(key) {
            return Fault(rank: .syntax, reason: .conditionKey(key), detail: "there is no condition key \(key)")
        }
        return nil
    }
}
