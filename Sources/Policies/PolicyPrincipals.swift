// SPDX-License-Identifier: Apache-2.0
//
// The Principal element: whom it can name, and how closely it names a caller. How closely matters, because an Allow
// that names the caller itself spares it what its own account would have to allow.
// Source: IAM User Guide, "AWS JSON policy elements: Principal", "... NotPrincipal".

/// A principal that a policy names, and where.
package struct PrincipalMention: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable {
        case aws = "AWS"
        case service = "Service"
        case federated = "Federated"
        case canonicalUser = "CanonicalUser"
        /// A `*` in place of the whole element.
        case everyone = "*"
    }

    package let kind: Kind
    package let value: String
    /// The bytes of the value in the document's text, with its quotes.
    package let range: Range<Int>
}

/// How closely a policy names a caller; the later, the closer.
enum PrincipalNaming: Int, Comparable {
    /// By its account, which means: whom the account lets.
    case account
    /// By the role or user behind its session.
    case entity
    /// By itself, or with everyone.
    case caller

    static func < (left: PrincipalNaming, right: PrincipalNaming) -> Bool { left.rawValue < right.rawValue }
}

/// A principal as a pattern. There are no wildcards but the lone star.
enum PrincipalPattern {
    case everyone
    case account(String)
    case arn(String)
    case uniqueID(String)
    case service(String)
    case federated(String)
    case canonicalUser(String)
    /// What names nobody, such as an ARN with a wildcard in it.
    case nobody

    /// The pattern for a mention; nil if it is not well formed.
    init?(_ mention: PrincipalMention) {
        let value = mention.value
        switch mention.kind {
        case .everyone:
            guard value == "*" else { return nil }
            self = .everyone
        case .aws:
            if value == "*" {
                self = .everyone
            } else if isAccountID(value) {
                self = .account(value)
            } else if Self.isUniqueID(value) {
                self = .uniqueID(value)
            } else if let pattern = Self.pattern(arn: value) {
                self = pattern
            } else {
                return nil
            }
        case .service:
            guard value.contains("."), value.utf8.allSatisfy(Self.isNameByte) else { return nil }
            self = .service(value.lowercased())
        case .federated:
            guard !value.isEmpty, !value.contains("*"), !value.contains("?") else { return nil }
            self = .federated(value)
        case .canonicalUser:
            guard value.utf8.count == 64, value.utf8.allSatisfy({ Self.isHex($0) }) else { return nil }
            self = .canonicalUser(value.lowercased())
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "/"):
            true
        default: false
        }
    }

    private static func isHex(_ byte: UInt8) -> Bool {
        decimalDigit(byte) != nil || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
    }

    /// Ids of users and roles: `AIDA` or `AROA` and at least 12 upper-case letters and digits.
    private static func isUniqueID(_ value: String) -> Bool {
        guard value.hasPrefix("AIDA") || value.hasPrefix("AROA"), (16...128).contains(value.utf8.count) else {
            return false
        }
        return value.utf8.allSatisfy { decimalDigit($0) != nil || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
    }

    private static func pattern(arn: String) -> PrincipalPattern? {
        let parts = arn.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6, parts[0] == "arn", parts[1].hasPrefix("aws"), parts[3].isEmpty, isAccountID(parts[4]),
            !arn.contains("*"), !arn.contains("?")
        else { return nil }
        let resource = parts[5]
        switch parts[2] {
        case "iam":
            if resource == "root" { return .account(parts[4]) }
            let isNamed =
                resource.hasPrefix("user/") && resource.count > 5 || resource.hasPrefix("role/") && resource.count > 5
            return isNamed ? .arn(arn) : nil
        case "sts":
            let names = resource.split(separator: "/", omittingEmptySubsequences: false)
            switch names.first {
            case "assumed-role": return names.count == 3 && names.allSatisfy { !$0.isEmpty } ? .arn(arn) : nil
            case "federated-user": return names.count == 2 && !names[1].isEmpty ? .arn(arn) : nil
            default: return nil
            }
        default:
            return nil
        }
    }

    func naming(_ principal: Principal) -> PrincipalNaming? {
        switch self {
        case .everyone:
            return .caller
        case .account(let account):
            guard principal.account == account, !account.isEmpty else { return nil }
            return .account
        case .arn(let arn):
            if principal.arn == arn, principal.kind != .service, principal.kind != .webIdentity { return .caller }
            return principal.entityARN == arn ? .entity : nil
        case .uniqueID(let id):
            guard principal.uniqueID == id else { return nil }
            return principal.kind == .roleSession || principal.kind == .federatedUser ? .entity : .caller
        case .service(let name):
            return principal.kind == .service && principal.arn.lowercased() == name ? .caller : nil
        case .federated(let provider):
            return principal.kind == .webIdentity && principal.arn == provider ? .caller : nil
        case .canonicalUser(let id):
            guard let own = principal.canonicalID, own.lowercased() == id else { return nil }
            // A canonical id is the account's.
            return .account
        case .nobody:
            return nil
        }
    }
}

/// Whether a text is an account id: twelve digits.
func isAccountID(_ text: String) -> Bool {
    text.utf8.count == 12 && text.utf8.allSatisfy { decimalDigit($0) != nil }
}

/// A Principal or NotPrincipal element.
struct PrincipalClause {
    let isNot: Bool
    let patterns: [PrincipalPattern]

    /// How closely the element of an Allow names the caller; nil if it does not.
    func namingForAllow(_ principal: Principal) -> PrincipalNaming? {
        var closest: PrincipalNaming?
        for pattern in patterns {
            guard let naming = pattern.naming(principal) else { continue }
            closest = closest.map { max($0, naming) } ?? naming
        }
        guard isNot else { return closest }
        return closest == nil ? .caller : nil
    }

    /// Whether the element of a Deny reaches the caller.
    func reachesForDeny(_ principal: Principal, hasBoundary: Bool) -> Bool {
        guard isNot else { return patterns.contains { $0.naming(principal) != nil } }
        // NotPrincipal with Deny always denies whoever has a permissions boundary.
        if hasBoundary { return true }
        return !patterns.contains { pattern in
            guard let naming = pattern.naming(principal) else { return false }
            // An account in the list spares its root; its users must be listed by themselves.
            return naming > .account || principal.kind == .root
        }
    }
}
