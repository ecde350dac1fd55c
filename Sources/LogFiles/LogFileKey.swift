// SPDX-License-Identifier: Apache-2.0
//
// Where a log file lies (CloudTrail User Guide, "Finding your CloudTrail log files" and "Log file name format"):
//
//     [prefix/]AWSLogs/ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/ACCOUNT_CloudTrail_REGION_YYYYMMDDTHHmmZ_TAIL.json.gz
//
// The time is the minute of the delivery. TAIL is sixteen characters of 0-9A-Za-z: the delivery minute (minutes since
// 1970, five digits of base 62) and a counter (eleven digits of base 62). The digits are in the order of their bytes, so
// of two files with the same folder the one that was named later sorts later. Collectors that remember the last key they
// saw, and list what follows it, therefore miss nothing; with random tails they would.

/// A minute in UTC and a number that is never used twice: what makes a log file's name.
///
/// Whoever makes them must see to it that the minute never goes back and that the number always grows.
package struct LogFileStamp: Sendable, Hashable, Comparable {
    /// Minutes since 1970-01-01T00:00Z.
    package let minute: Int64
    /// Counts the files of a server, from 1.
    package let number: UInt64

    package init(minute: Int64, number: UInt64) {
        self.minute = minute
        self.number = number
    }

    package static func < (a: LogFileStamp, b: LogFileStamp) -> Bool { (a.minute, a.number) < (b.minute, b.number) }

    /// Sixteen characters that sort like the stamp itself, up to minute 62^5 (the year 3711).
    package var tail: String {
        Self.base62(UInt64(clamping: minute), width: 5) + Self.base62(number, width: 11)
    }

    private static let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    private static func base62(_ value: UInt64, width: Int) -> String {
        var rest = value
        var text = [UInt8](repeating: digits[0], count: width)
        for index in stride(from: width - 1, through: 0, by: -1) {
            text[index] = digits[Int(rest % 62)]
            rest /= 62
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// The folder in which the files of one account and region lie, shared by log files and digests.
package struct LogFolder: Sendable, Hashable {
    /// The trail's S3 key prefix as it was given, without a slash added; nil when there is none.
    package let prefix: String?
    /// Twelve digits.
    package let account: String
    /// The region whose events the files hold.
    package let region: String

    package init(prefix: String?, account: String, region: String) {
        self.prefix = prefix
        self.account = account
        self.region = region
    }

    /// `[prefix/]AWSLogs/ACCOUNT/`: what the bucket's policy must let the service write below.
    package static func root(prefix: String?, account: String) -> String {
        (prefix.map { $0.isEmpty ? "" : $0 + "/" } ?? "") + "AWSLogs/\(account)/"
    }

    /// The key of a log file.
    ///
    /// - Parameter compactTime: the stamp's minute as `20261124T2037Z`.
    package func logFileKey(_ stamp: LogFileStamp, compactTime: String) -> String {
        "\(Self.root(prefix: prefix, account: account))CloudTrail/\(region)/\(Self.dayFolder(compactTime))/"
            + "\(account)_CloudTrail_\(region)_\(compactTime)_\(stamp.tail).json.gz"
    }

    /// The key of a digest (CloudTrail User Guide, "CloudTrail digest file structure").
    ///
    /// - Parameter compactTime: the digest's end as `20261124T203715Z`. The AWS CLI finds it by its place in the key.
    package func digestKey(trail: String, homeRegion: String, compactTime: String) -> String {
        "\(Self.root(prefix: prefix, account: account))CloudTrail-Digest/\(region)/\(Self.dayFolder(compactTime))/"
            + "\(account)_CloudTrail-Digest_\(region)_\(trail)_\(homeRegion)_\(compactTime).json.gz"
    }

    /// `2026/11/24` of `20261124T...`.
    private static func dayFolder(_ compactTime: String) -> String {
        let bytes = Array(compactTime.utf8)
        precondition(bytes.count > 8, "a compact time has a date of eight digits: `\(compactTime)`")
        let text = { (range: Range<Int>) in String(decoding: bytes[range], as: UTF8.self) }
        return "\(text(0..<4))/\(text(4..<6))/\(text(6..<8))"
    }
}
