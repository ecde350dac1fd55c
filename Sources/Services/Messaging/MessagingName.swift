// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// What tells a queue or a topic apart from all others: its region, account and name, and so its ARN.
struct MessagingName: Sendable, Hashable {
    enum Kind: String, Sendable {
        case queue = "sqs"
        case topic = "sns"

        var resourceType: String { self == .queue ? "AWS::SQS::Queue" : "AWS::SNS::Topic" }
    }

    let kind: Kind
    let region: String
    let account: String
    let name: String

    var arn: String { "arn:aws:\(kind.rawValue):\(region):\(account):\(name)" }

    var reference: ResourceReference {
        ResourceReference(type: kind.resourceType, arn: arn, accountID: account)
    }

    init(_ kind: Kind, region: String, account: String, name: String) {
        self.kind = kind
        self.region = region
        self.account = account
        self.name = name
    }

    /// Nil for what is no ARN of that kind.
    init?(_ kind: Kind, arn: String) {
        let parts = arn.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6, parts[0] == "arn", parts[1] == "aws", parts[2] == kind.rawValue, !parts[3].isEmpty,
            Self.isAccount(parts[4]), !parts[5].isEmpty
        else { return nil }
        self.init(kind, region: parts[3], account: parts[4], name: parts[5])
    }

    static func isAccount(_ text: String) -> Bool {
        text.utf8.count == 12 && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// Letters, digits, `-` and `_`, which names of queues and topics are made of.
    static func isPlain(_ text: some StringProtocol, most: Int) -> Bool {
        (1...most).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
    }
}

/// Lower-case hexadecimal digits.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    var text: [UInt8] = []
    let digits = Array("0123456789abcdef".utf8)
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}

/// A number as a document's key has it: sixteen hexadecimal digits, which sort as the numbers do.
func keyDigits(_ number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
}

/// A random UUID (version 4) of sixteen random bytes.
func uuid(_ random: [UInt8]) -> String {
    var bytes = Array(random.prefix(16))
    guard bytes.count == 16 else { return hexadecimal(bytes) }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    let text = Array(hexadecimal(bytes).utf8)
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(decoding: text[$0], as: UTF8.self) }
        .joined(separator: "-")
}
