// SPDX-License-Identifier: Apache-2.0
//
// The principals that cases name by a letter, or by their ARNs.

package import Policies

/// Letters stand for principals that most cases need: U, V (users), S (a role's session), L (of a service-linked role)
/// and F (a federated user of U) of account 111111111111, X (a user) and Y (a session) of account 222222222222.
package enum CasePrincipals {
    package static func named(_ name: String) throws -> Principal {
        let a = "111111111111"
        let b = "222222222222"
        if name.hasPrefix("service:") { return .service(String(name.dropFirst(8))) }
        if name.hasPrefix("arn:") { return try named(arn: name) }
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

    /// A user, root, session of a role without path, or federated user of no user, from its ARN. Ids are the names in
    /// upper case behind AIDA and AROA.
    private static func named(arn: String) throws -> Principal {
        let parts = arn.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6 else { throw CaseFault("\(arn) names no principal") }
        let names = parts[5].split(separator: "/").map(String.init)
        switch (parts[2], names.first, names.count) {
        case ("iam", "root", 1):
            return .root(account: parts[4])
        case ("iam", "user", 2...):
            let name = names[names.count - 1]
            return .user(account: parts[4], arn: arn, name: name, uniqueID: "AIDA\(name.uppercased())")
        case ("sts", "assumed-role", 3):
            return .roleSession(
                account: parts[4], roleARN: "arn:aws:iam::\(parts[4]):role/\(names[1])",
                roleID: "AROA\(names[1].uppercased())", sessionARN: arn, sessionName: names[2])
        case ("sts", "federated-user", 2):
            return .federatedUser(account: parts[4], arn: arn, name: names[1], userARN: nil)
        default:
            throw CaseFault("\(arn) names no principal")
        }
    }
}
