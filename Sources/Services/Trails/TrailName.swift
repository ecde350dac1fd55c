// SPDX-License-Identifier: Apache-2.0
//
// The grammar of trail names, trail ARNs and bucket names (CloudTrail User Guide, "Naming requirements for CloudTrail
// resources, S3 buckets, and KMS keys").

internal import AWSWire

/// What a caller addresses a trail by: a name, which means "in this region", or an ARN.
enum TrailReference: Sendable, Equatable {
    case name(String)
    case arn(TrailARN)

    /// - Throws: `CloudTrailARNInvalidException` for anything that begins like an ARN and is none,
    ///   `InvalidTrailNameException` for the rest.
    init(_ text: String) throws(AWSError) {
        if text.hasPrefix("arn:") {
            self = .arn(try TrailARN(text))
        } else {
            try TrailName.check(text)
            self = .name(text)
        }
    }
}

/// `arn:PARTITION:cloudtrail:REGION:ACCOUNT:trail/NAME`.
struct TrailARN: Sendable, Equatable {
    let partition: String
    let region: String
    let account: String
    let name: String

    init(region: String, account: String, name: String) {
        partition = Self.partition(of: region)
        self.region = region
        self.account = account
        self.name = name
    }

    init(_ text: String) throws(AWSError) {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6, parts[0] == "arn", ["aws", "aws-cn", "aws-us-gov"].contains(parts[1]),
            parts[2] == "cloudtrail", !parts[3].isEmpty, parts[3].utf8.allSatisfy(TrailName.isRegionByte),
            parts[4].utf8.count == 12, parts[4].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            parts[5].hasPrefix("trail/"), TrailName.problem(String(parts[5].dropFirst(6))) == nil
        else {
            throw .invalidARN(
                "The trail ARN `\(text)` is malformed; the form is "
                    + "arn:aws:cloudtrail:us-east-1:123456789012:trail/MyTrail.")
        }
        partition = parts[1]
        region = parts[3]
        account = parts[4]
        name = String(parts[5].dropFirst(6))
    }

    var text: String { "arn:\(partition):cloudtrail:\(region):\(account):trail/\(name)" }

    static func partition(of region: String) -> String {
        region.hasPrefix("cn-") ? "aws-cn" : region.hasPrefix("us-gov-") ? "aws-us-gov" : "aws"
    }
}

enum TrailName {
    static let lengthMin = 3
    static let lengthMax = 128

    static func check(_ name: String) throws(AWSError) {
        if let problem = problem(name) { throw .invalidTrailName(problem) }
    }

    /// What is wrong with the name; nil when nothing is.
    static func problem(_ name: String) -> String? {
        let bytes = Array(name.utf8)
        let count = name.count
        if count < lengthMin {
            return "Trail name too short. Minimum allowed length: \(lengthMin) characters. "
                + "Specified name length: \(count) characters."
        }
        if count > lengthMax {
            return "Trail name too long. Maximum allowed length: \(lengthMax) characters. "
                + "Specified name length: \(count) characters."
        }
        guard bytes.allSatisfy({ isLetterOrDigit($0) || isMark($0) }) else {
            return "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), "
                + "hyphens (-), and underscores (_)."
        }
        if let first = bytes.first, !isLetterOrDigit(first) { return "Trail name must starts with a letter or number." }
        if let last = bytes.last, !isLetterOrDigit(last) { return "Trail name must ends with a letter or number." }
        if zip(bytes, bytes.dropFirst()).contains(where: { isMark($0) && isMark($1) }) {
            return "Trail name cannot have two of period (.), hyphen (-) and underscore (_) next to each other."
        }
        if isIPv4(name) { return "Trail name cannot be formatted as an IP address." }
        return nil
    }

    static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: false
        }
    }

    static func isRegionByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x61...0x7A, UInt8(ascii: "-"): true
        default: false
        }
    }

    private static func isMark(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }

    static func isIPv4(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { (1...3).contains($0.utf8.count) && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
    }
}

/// Where a trail writes: bucket name and key prefix.
enum TrailDestination {
    static let prefixLengthMax = 200

    static func checkBucketName(_ name: String) throws(AWSError) {
        let bytes = Array(name.utf8)
        guard (3...63).contains(bytes.count) else {
            throw .invalidBucketName("The bucket name `\(name)` must have 3 to 63 characters.")
        }
        guard bytes.allSatisfy({ TrailName.isRegionByte($0) || $0 == UInt8(ascii: ".") }) else {
            throw .invalidBucketName(
                "The bucket name `\(name)` can only contain lowercase letters, numbers, periods (.) and hyphens (-).")
        }
        for label in name.split(separator: ".", omittingEmptySubsequences: false) {
            guard let first = label.utf8.first, let last = label.utf8.last, first != UInt8(ascii: "-"),
                last != UInt8(ascii: "-")
            else {
                throw .invalidBucketName(
                    "In the bucket name `\(name)`, each part between periods must start and end with a lowercase letter "
                        + "or a number.")
            }
        }
        if TrailName.isIPv4(name) {
            throw .invalidBucketName("The bucket name `\(name)` cannot be formatted as an IP address.")
        }
    }

    /// A slash at the end would give an empty folder name (`prefix//AWSLogs`), so it is refused.
    static func checkPrefix(_ prefix: String) throws(AWSError) {
        guard prefix.count <= prefixLengthMax else {
            throw .invalidPrefix("The S3 key prefix can have at most \(prefixLengthMax) characters.")
        }
        guard !prefix.hasSuffix("/") else {
            throw .invalidPrefix("The S3 key prefix must not end with a slash: one is added before AWSLogs.")
        }
        guard !prefix.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
            throw .invalidPrefix("The S3 key prefix must not contain control characters.")
        }
    }
}
