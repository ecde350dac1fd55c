// SPDX-License-Identifier: Apache-2.0
//
// An object as the catalog keeps it: JSON under ("object", BUCKET, KEY), format 1:
//
//     {"format":1,"file":"32 HEX","size":N,"etag":"32 HEX","modified":MILLISECONDS,
//      "headers":{"content-type":"..."},"metadata":{"NAME":"VALUE"},
//      "checksum":{"algorithm":"CRC64NVME","value":"BASE64"}}
//
// The same transaction puts ("object-file", FILE), by which the sweep knows the files that are of use.

internal import AWSWire
internal import Storage

/// What is known of an object besides its bytes.
struct ObjectRecord: Sendable, Equatable {
    /// Name of the file in `ObjectFiles`.
    var file: String
    var size: Int64
    /// MD5 of the bytes, 32 hexadecimal digits, without quotes.
    var etag: String
    var modified: Timestamp
    /// Stored standard headers, names in lower case: content-type, content-encoding, cache-control, ...
    var headers: [WireHeader]
    /// User metadata, names without `x-amz-meta-`, in lower case.
    var metadata: [WireHeader]
    var checksum: ObjectDigest?

    var quotedETag: String { "\"\(etag)\"" }

    static func key(_ bucket: String, _ key: String) -> CatalogKey { CatalogKey("object", bucket, key) }
    static func keys(in bucket: String) -> CatalogKey { CatalogKey.prefix("object", bucket) }
    static func fileKey(_ file: String) -> CatalogKey { CatalogKey("object-file", file) }
}

/// A checksum of an object's bytes in S3's spelling.
struct ObjectDigest: Sendable, Equatable {
    /// `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1` or `SHA256`.
    var algorithm: String
    /// Base64, integers big-endian.
    var value: String

    /// For example `x-amz-checksum-crc32`.
    var header: WireHeader { WireHeader("x-amz-checksum-\(algorithm.lowercased())", value) }

    /// For example `ChecksumCRC32`.
    var member: WireStructure.Member { .init("Checksum\(algorithm)", .string(value)) }
}

extension ObjectRecord {
    init(_ document: CatalogDocument) throws(AWSError) {
        guard let fields = (try? WireValue(json: document.value))?.asStructure, fields["format"] == 1,
            let file = fields["file"]?.asString, case .integer(let size)? = fields["size"], size >= 0,
            let etag = fields["etag"]?.asString, case .integer(let modified)? = fields["modified"],
            let headers = fields["headers"]?.asHeaders, let metadata = fields["metadata"]?.asHeaders
        else {
            let place = document.key.components.dropFirst().joined(separator: "/")
            throw .objectFault("the catalog's document of object `\(place)` is damaged")
        }
        self.init(
            file: file, size: size, etag: etag, modified: Timestamp(milliseconds: modified), headers: headers,
            metadata: metadata, checksum: nil)
        if let checksum = fields["checksum"]?.asStructure, let algorithm = checksum["algorithm"]?.asString,
            let value = checksum["value"]?.asString
        {
            self.checksum = ObjectDigest(algorithm: algorithm, value: value)
        }
    }

    var document: [UInt8] {
        var fields: WireStructure = [
            "format": 1, "file": .string(file), "size": .integer(size), "etag": .string(etag),
            "modified": .integer(modified.milliseconds), "headers": WireValue(headers: headers),
            "metadata": WireValue(headers: metadata),
        ]
        if let checksum {
            fields.append(
                "checksum",
                .structure(["algorithm": .string(checksum.algorithm), "value": .string(checksum.value)]))
        }
        return WireValue.structure(fields).json
    }
}

extension WireValue {
    fileprivate init(headers: [WireHeader]) {
        self = .structure(WireStructure(headers.map { .init($0.name, .string($0.value)) }))
    }

    fileprivate var asHeaders: [WireHeader]? {
        guard let structure = asStructure else { return nil }
        return structure.members.compactMap { member in member.value.asString.map { WireHeader(member.name, $0) } }
    }
}
