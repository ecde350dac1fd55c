// SPDX-License-Identifier: Apache-2.0
//
// A version of an object as the catalog keeps it: JSON under ("object", BUCKET, KEY) or as a row of ObjectVersions.swift,
// format 2:
//
//     {"format":2,"file":"32 HEX","layout":2,"size":N,"etag":"32 HEX[-PARTS]","modified":MILLISECONDS,
//      "headers":{"content-type":"..."},"metadata":{"NAME":"VALUE"},
//      "checksum":{"algorithm":"CRC64NVME","value":"BASE64","type":"COMPOSITE"},"parts":N,"version":"32 HEX","order":N,
//      "marker":true,"noncurrent":MILLISECONDS,"tags":[["KEY","VALUE"],...],"class":"GLACIER",
//      "lock":{"mode":"GOVERNANCE","until":MILLISECONDS,"hold":true},"restored":MILLISECONDS,"encryption":{...},
//      "inline":true}
//
// Absent are: the checksum's type of a whole object; `parts` of an object that was put in one piece, else their count, and
// the parts stand under ("object-parts", FILE); `version` of the version `null`; `order` 0; what is false or unset; the
// class STANDARD; the encryption under the store's key (else ObjectEncryption.swift, and the etag is no MD5). Format 1 had
// neither of these, and its files have layout 1 (ObjectBlocks.swift).
//
// The same transaction puts ("object-file", FILE) for each file, by which the sweep knows the files that are of use: empty,
// or with `inline` what would lie in the file (ObjectBlocks.swift), of which there is then none on the disk.

internal import AWSWire
internal import Storage

/// What is known of a version of an object besides its bytes.
struct ObjectRecord: Sendable, Equatable {
    /// Name of the file in `ObjectFiles`, or of the list of parts; empty for a delete marker.
    var file: String
    /// How the file is laid out, see ObjectBlocks.swift.
    var layout = ObjectBlocks.layout
    var size: Int64
    /// MD5 of the bytes, 32 hexadecimal digits, without quotes; of a multipart upload the MD5 of its parts' MD5s, and
    /// `-PARTS`.
    var etag: String
    var modified: Timestamp
    /// Stored standard headers, names in lower case: content-type, content-encoding, cache-control, ...
    var headers: [WireHeader]
    /// User metadata, names without `x-amz-meta-`, in lower case.
    var metadata: [WireHeader]
    var checksum: ObjectDigest?
    /// How many parts a multipart upload had; 0 for an object put in one piece.
    var partCount = 0
    /// Nil: the version `null`.
    var version: String?
    /// Later versions of a key have greater numbers.
    var order: Int64 = 0
    var isDeleteMarker = false
    /// Since when another version is the current one.
    var noncurrentSince: Timestamp?
    var tags = TagSet()
    var storageClass = StorageClass.standard
    var lock = ObjectLock()
    /// Until when a restored copy of an archived object may be read.
    var restoredUntil: Timestamp?

    var encryption = ObjectEncryption.store
    /// Whether the bytes lie in the catalog, under the name of the file, which is then none on the disk.
    var isInCatalog = false

    /// Whether the bytes are encrypted on the disk.
    var isEncrypted: Bool { layout >= ObjectBlocks.layout }
    /// What clients are told of the encryption.
    ///
    /// - Parameter customerKey: the key that the caller brought, where the object needs one.
    func encryptionHeaders(_ customerKey: CustomerKey?) -> [WireHeader] {
        isEncrypted ? encryption.headers(customerKey) : []
    }
    var quotedETag: String { "\"\(etag)\"" }
    /// As clients see it.
    var versionText: String { version ?? "null" }

    static func key(_ bucket: String, _ key: String) -> CatalogKey { CatalogKey("object", bucket, key) }
    static func keys(in bucket: String) -> CatalogKey { CatalogKey.prefix("object", bucket) }
    static func fileKey(_ file: String) -> CatalogKey { CatalogKey("object-file", file) }
    static func partsKey(_ file: String) -> CatalogKey { CatalogKey("object-parts", file) }
}

/// A checksum of an object's bytes in S3's spelling.
struct ObjectDigest: Sendable, Equatable {
    /// `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1` or `SHA256`.
    var algorithm: String
    /// Base64, integers big-endian; of a composite checksum with `-PARTS` after it.
    var value: String
    /// Whether it is a checksum of the parts' checksums.
    var isComposite = false

    /// For example `x-amz-checksum-crc32`.
    var header: WireHeader { WireHeader("x-amz-checksum-\(algorithm.lowercased())", value) }

    /// For example `ChecksumCRC32`.
    var member: WireStructure.Member { .init("Checksum\(algorithm)", .string(value)) }

    /// `COMPOSITE` or `FULL_OBJECT`.
    var type: String { isComposite ? "COMPOSITE" : "FULL_OBJECT" }

    /// The value's header and the type's.
    var headers: [WireHeader] { [header, WireHeader("x-amz-checksum-type", type)] }
}

/// Where an object's bytes are kept, as far as clients see it.
enum StorageClass: String, Sendable, CaseIterable {
    case standard = "STANDARD"
    case reducedRedundancy = "REDUCED_REDUNDANCY"
    case standardIA = "STANDARD_IA"
    case intelligentTiering = "INTELLIGENT_TIERING"
    case oneZoneIA = "ONEZONE_IA"
    case glacierIR = "GLACIER_IR"
    case glacier = "GLACIER"
    case deepArchive = "DEEP_ARCHIVE"

    /// Whether an object must be restored before it can be read.
    var isArchive: Bool { self == .glacier || self == .deepArchive }
}

/// What keeps a version from being deleted (S3 User Guide, "Locking objects with Object Lock").
struct ObjectLock: Sendable, Equatable {
    enum Mode: String, Sendable {
        case governance = "GOVERNANCE"
        case compliance = "COMPLIANCE"
    }

    struct Retention: Sendable, Equatable {
        var mode: Mode
        var until: Timestamp
    }

    var retention: Retention?
    /// Nil: never set.
    var legalHold: Bool?
}

extension ObjectRecord {
    /// A delete marker.
    init(markerAt time: Timestamp) {
        self.init(file: "", size: 0, etag: "", modified: time, headers: [], metadata: [])
        isDeleteMarker = true
    }

    init(_ document: CatalogDocument) throws(AWSError) {
        guard let fields = (try? WireValue(json: document.value))?.asStructure, let record = Self(fields) else {
            let place = document.key.components.dropFirst().joined(separator: "/")
            throw .objectFault("the catalog's document of object `\(place)` is damaged")
        }
        self = record
    }

    init?(_ fields: WireStructure) {
        guard fields["format"] == 1 || fields["format"] == 2,
            let file = fields["file"]?.asString, case .integer(let size)? = fields["size"], size >= 0,
            let etag = fields["etag"]?.asString, let modified = fields.time("modified"),
            let headers = fields["headers"]?.asHeaders, let metadata = fields["metadata"]?.asHeaders
        else { return nil }
        self.init(file: file, size: size, etag: etag, modified: modified, headers: headers, metadata: metadata)
        layout = fields.integer("layout").flatMap { Int(exactly: $0) } ?? 1
        if let checksum = fields["checksum"]?.asStructure {
            guard let algorithm = checksum["algorithm"]?.asString, let value = checksum["value"]?.asString else {
                return nil
            }
            self.checksum = ObjectDigest(
                algorithm: algorithm, value: value, isComposite: checksum["type"]?.asString == "COMPOSITE")
        }
        partCount = fields.integer("parts").flatMap { Int(exactly: $0) } ?? 0
        version = fields["version"]?.asString
        order = fields.integer("order") ?? 0
        isDeleteMarker = fields["marker"]?.asBool ?? false
        noncurrentSince = fields.time("noncurrent")
        if let stored = fields["tags"] {
            guard let tags = TagSet(stored: stored) else { return nil }
            self.tags = tags
        }
        if let text = fields["class"]?.asString {
            guard let storageClass = StorageClass(rawValue: text) else { return nil }
            self.storageClass = storageClass
        }
        if let lock = fields["lock"]?.asStructure {
            if let text = lock["mode"]?.asString {
                guard let mode = ObjectLock.Mode(rawValue: text), let until = lock.time("until") else { return nil }
                self.lock.retention = ObjectLock.Retention(mode: mode, until: until)
            }
            self.lock.legalHold = lock["hold"]?.asBool
        }
        restoredUntil = fields.time("restored")
        isInCatalog = fields["inline"]?.asBool ?? false
        if let stored = fields["encryption"] {
            guard let encryption = ObjectEncryption(stored: stored) else { return nil }
            self.encryption = encryption
        }
    }

    var document: [UInt8] { WireValue.structure(fields).json }

    var fields: WireStructure {
        var fields: WireStructure = [
            "format": 2, "file": .string(file), "layout": .integer(Int64(layout)), "size": .integer(size),
            "etag": .string(etag), "modified": .integer(modified.milliseconds), "headers": WireValue(headers: headers),
            "metadata": WireValue(headers: metadata),
        ]
        if let checksum {
            var digest: WireStructure = [
                "algorithm": .string(checksum.algorithm), "value": .string(checksum.value),
            ]
            if checksum.isComposite { digest.append("type", "COMPOSITE") }
            fields.append("checksum", .structure(digest))
        }
        if partCount > 0 { fields.append("parts", .integer(Int64(partCount))) }
        fields.append("version", ifPresent: version.map { .string($0) })
        if order > 0 { fields.append("order", .integer(order)) }
        if isDeleteMarker { fields.append("marker", true) }
        fields.append("noncurrent", ifPresent: noncurrentSince.map { .integer($0.milliseconds) })
        if !tags.isEmpty { fields.append("tags", tags.stored) }
        if storageClass != .standard { fields.append("class", .string(storageClass.rawValue)) }
        if lock != ObjectLock() {
            var stored = WireStructure()
            if let retention = lock.retention {
                stored.append("mode", .string(retention.mode.rawValue))
                stored.append("until", .integer(retention.until.milliseconds))
            }
            stored.append("hold", ifPresent: lock.legalHold.map { .bool($0) })
            fields.append("lock", .structure(stored))
        }
        fields.append("restored", ifPresent: restoredUntil.map { .integer($0.milliseconds) })
        fields.append("encryption", ifPresent: encryption.stored)
        if isInCatalog { fields.append("inline", true) }
        return fields
    }
}

extension WireStructure {
    func integer(_ name: String) -> Int64? { if case .integer(let number)? = self[name] { number } else { nil } }

    /// A time that is kept in milliseconds.
    func time(_ name: String) -> Timestamp? { integer(name).map { Timestamp(milliseconds: $0) } }
}

extension WireValue {
    init(headers: [WireHeader]) {
        self = .structure(WireStructure(headers.map { .init($0.name, .string($0.value)) }))
    }

    var asHeaders: [WireHeader]? {
        guard let structure = asStructure else { return nil }
        return structure.members.compactMap { member in member.value.asString.map { WireHeader(member.name, $0) } }
    }
}
