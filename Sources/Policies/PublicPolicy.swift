// SPDX-License-Identifier: Apache-2.0
//
// Whether a bucket policy makes its bucket public. A policy is taken for public unless each of its Allows reaches only
// principals that are fixed, or asks for a fixed value of a key that pins the caller down.
// Source: S3 User Guide, "Blocking public access to your Amazon S3 storage", section "The meaning of 'public'".

extension PolicyDocument {
    /// Whether S3 would call the policy public.
    package var isPublic: Bool {
        statements.contains { $0.isAllow && $0.reachesEveryone && !$0.conditions.contains { $0.pinsCallerDown } }
    }
}

extension PolicyStatement {
    fileprivate var reachesEveryone: Bool {
        guard let principals else { return false }
        if principals.isNot { return true }
        return principals.patterns.contains { pattern in
            if case .everyone = pattern { true } else { false }
        }
    }
}

extension PolicyCondition {
    /// Keys whose fixed value says who calls, or from where.
    private static let pinningKeys: Set<String> = [
        "aws:principalaccount", "aws:principalarn", "aws:principalorgid", "aws:principalorgpaths",
        "aws:principalservicename", "aws:sourceaccount", "aws:sourcearn", "aws:sourceip", "aws:sourceorgid",
        "aws:sourceorgpaths", "aws:sourceowner", "aws:sourcevpc", "aws:sourcevpce", "aws:userid",
        "s3:dataaccesspointaccount", "s3:dataaccesspointarn", "s3:x-amz-server-side-encryption-aws-kms-key-id",
    ]

    /// Whether the condition holds for fixed callers or places alone.
    fileprivate var pinsCallerDown: Bool {
        // A condition that is also true without the key, or for all but the named, pins nobody down.
        guard !test.isNegated, !test.ifExists, test.gathering != .forAll, !values.isEmpty else { return false }
        let key = key.lowercased()
        guard Self.pinningKeys.contains(key) else { return false }
        switch test.base {
        case .address:
            guard key == "aws:sourceip", let ranges else { return false }
            return ranges.allSatisfy { $0.map { !$0.isVeryBroad } ?? true }
        case .string, .arn:
            return values.allSatisfy { isFixed($0, key) }
        case .numeric, .date, .bool, .binary, .null:
            return false
        }
    }

    private func isFixed(_ value: String, _ key: String) -> Bool {
        if value.contains("${") { return false }
        if !value.contains("*"), !value.contains("?") { return true }
        switch key {
        case "s3:dataaccesspointarn":
            // Any access point of one account.
            let parts = value.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            return parts.count >= 6 && isAccountID(parts[4])
        case "aws:principalorgpaths", "aws:sourceorgpaths":
            // Any unit of one organization.
            let organization = value.prefix { $0 != "/" }
            return organization.hasPrefix("o-") && !organization.contains("*") && !organization.contains("?")
        default:
            return false
        }
    }
}

extension AddressRange {
    /// Ranges wider than /8 (IPv4) and /32 (IPv6), the private ones of RFC 1918 aside.
    fileprivate var isVeryBroad: Bool {
        guard address.width == 32 else { return prefix < 32 }
        return prefix < 8
    }
}
