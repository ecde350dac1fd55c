// SPDX-License-Identifier: Apache-2.0
//
// A bucket as the catalog keeps it: JSON under ("bucket", NAME), format 2:
//
//     {"format":2,"owner":"123456789012","region":"us-east-1","created":MILLISECONDS,"policy":"TEXT","settings":{...}}
//
// `policy` is absent where there is none; `settings` is described in BucketSettings.swift. Format 1 had no settings: such
// a bucket has those of a new one.

package import AWSWire
internal import Storage

/// A bucket.
package struct BucketRecord: Sendable, Equatable {
    /// Unique among all buckets of the server.
    package let name: String
    /// Twelve digits.
    package let ownerAccount: String
    /// Where it lies; never changes.
    package let region: String
    /// When it was created.
    package let created: Timestamp
    /// The policy document as it was put, nil where the bucket has none.
    package var policy: String?
    /// Its sub-resources, as far as they are configured.
    var settings = BucketSettings()

    /// `arn:aws:s3:::NAME`.
    package var arn: String { "arn:aws:s3:::\(name)" }

    /// `arn:aws:s3:::NAME/KEY`.
    package func arn(of key: String) -> String { "arn:aws:s3:::\(name)/\(key)" }

    static func key(_ name: String) -> CatalogKey { CatalogKey("bucket", name) }
    static let allKeys = CatalogKey.prefix("bucket")
}

extension BucketRecord {
    init(_ document: CatalogDocument) throws(AWSError) {
        let name = document.key.components.last ?? ""
        guard let fields = (try? WireValue(json: document.value))?.asStructure,
            fields["format"] == 1 || fields["format"] == 2,
            let owner = fields["owner"]?.asString, let region = fields["region"]?.asString,
            case .integer(let created)? = fields["created"]
        else { throw .objectFault("the catalog's document of bucket `\(name)` is damaged") }
        self.init(
            name: name, ownerAccount: owner, region: region, created: Timestamp(milliseconds: created),
            policy: fields["policy"]?.asString)
        if let stored = fields["settings"] {
            guard let settings = BucketSettings(stored: stored) else {
                throw .objectFault("the catalog's document of bucket `\(name)` is damaged: its settings")
            }
            self.settings = settings
        }
    }

    var document: [UInt8] {
        var fields: WireStructure = [
            "format": 2, "owner": .string(ownerAccount), "region": .string(region),
            "created": .integer(created.milliseconds),
        ]
        fields.append("policy", ifPresent: policy.map { .string($0) })
        fields.append("settings", settings.stored)
        return WireValue.structure(fields).json
    }
}

/// The grammar of bucket names (S3 User Guide, "General purpose bucket naming rules").
enum BucketName {
    static func isValid(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard (3...63).contains(bytes.count), let first = bytes.first, let last = bytes.last, isAlphanumeric(first),
            isAlphanumeric(last),
            bytes.allSatisfy({ isAlphanumeric($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") })
        else { return false }
        if ["..", ".-", "-."].contains(where: { name.contains($0) }) { return false }
        if ["xn--", "sthree-", "amzn-s3-demo-"].contains(where: { name.hasPrefix($0) }) { return false }
        if ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].contains(where: { name.hasSuffix($0) }) {
            return false
        }
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        let isAddress = labels.count == 4 && labels.allSatisfy { $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
        return !isAddress
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte)
    }
}
