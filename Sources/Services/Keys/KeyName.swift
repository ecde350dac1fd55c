// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// How a caller names a key: by id, ARN, alias or the alias's ARN. Nothing is looked up yet.
enum KeyName: Sendable, Equatable {
    case id(String)
    case arn(region: String, account: String, id: String)
    case alias(String)
    case aliasARN(region: String, account: String, name: String)

    static let lengthMax = 2048

    /// - Throws: `InvalidArnException` for an ARN that is none of KMS's, `NotFoundException` for what can name no key.
    init(_ text: String) throws(AWSError) {
        guard (1...Self.lengthMax).contains(text.utf8.count) else {
            throw .wrongLength("KeyId", text.utf8.count, 1...Self.lengthMax)
        }
        if text.hasPrefix("arn:") {
            let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 6, parts[1] == "aws", parts[2] == "kms", !parts[3].isEmpty, !parts[4].isEmpty else {
                throw .invalidARN(text)
            }
            if parts[5].hasPrefix("key/") {
                self = .arn(region: parts[3], account: parts[4], id: String(parts[5].dropFirst(4)))
            } else if AliasName.isValid(parts[5]) {
                self = .aliasARN(region: parts[3], account: parts[4], name: parts[5])
            } else {
                throw .invalidARN(text)
            }
        } else if text.hasPrefix("alias/") {
            self = .alias(text)
        } else {
            guard KeyUUID.bytes(text) != nil || text.hasPrefix("mrk-") else { throw .invalidKeyID(text) }
            self = .id(text)
        }
    }

    /// The ARN that is meant, whether or not there is such a key, and its account; nil where it lies in another region.
    func place(for call: Call) -> (arn: String, account: String)? {
        let here = "arn:aws:kms:\(call.region):"
        return switch self {
        case .id(let id): ("\(here)\(call.accountID):key/\(id)", call.accountID)
        case .alias(let alias): ("\(here)\(call.accountID):\(alias)", call.accountID)
        case .arn(let region, let account, let id):
            region == call.region ? ("\(here)\(account):key/\(id)", account) : nil
        case .aliasARN(let region, let account, let name):
            region == call.region ? ("\(here)\(account):\(name)", account) : nil
        }
    }

    var isAlias: Bool {
        switch self {
        case .alias, .aliasARN: true
        case .id, .arn: false
        }
    }
}

enum AliasName {
    static let reserved = "alias/aws/"

    static func isValid(_ text: String) -> Bool {
        text.hasPrefix("alias/") && text.utf8.count > 6 && text.utf8.count <= 256
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || byte == UInt8(ascii: "/") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
            }
    }
}

extension KeyTable.Content {
    /// The key that a name means for a caller of that account in that region.
    ///
    /// - Parameter allowsAlias: management operations take ids and ARNs only.
    /// - Throws: `NotFoundException` in its forms.
    func find(
        _ name: KeyName, account: String, region: String, allowsAlias: Bool
    ) throws(AWSError) -> KeyRecord {
        switch name {
        case .id(let id):
            let arn = "arn:aws:kms:\(region):\(account):key/\(id)"
            guard let key = keys[id], key.account == account, key.region == region else { throw .keyNotFound(arn) }
            return key
        case .arn(let keyRegion, let keyAccount, let id):
            guard keyRegion == region else { throw .otherRegion(keyRegion) }
            guard let key = keys[id], key.account == keyAccount, key.region == keyRegion else {
                throw .keyNotFound("arn:aws:kms:\(keyRegion):\(keyAccount):key/\(id)")
            }
            return key
        case .alias(let alias):
            return try find(alias: alias, account: account, region: region, allowsAlias: allowsAlias, written: alias)
        case .aliasARN(let keyRegion, let keyAccount, let alias):
            guard keyRegion == region else { throw .otherRegion(keyRegion) }
            return try find(
                alias: alias, account: keyAccount, region: region, allowsAlias: allowsAlias,
                written: "arn:aws:kms:\(region):\(keyAccount):\(alias)")
        }
    }

    private func find(
        alias: String, account: String, region: String, allowsAlias: Bool, written: String
    ) throws(AWSError) -> KeyRecord {
        let arn = "arn:aws:kms:\(region):\(account):\(alias)"
        guard allowsAlias else { throw .invalidKeyID(written) }
        guard let record = aliases[arn], let key = keys[record.target] else { throw .aliasNotFound(arn) }
        return key
    }
}
