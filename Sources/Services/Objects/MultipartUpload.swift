// SPDX-License-Identifier: Apache-2.0
//
// An upload in parts, as the catalog keeps it until it is completed or aborted.
//
//     ("upload", BUCKET, ESCAPED-KEY ID)     {"format":1,"object":{...},"algorithm":"CRC32","composite":true}
//     ("upload-part", ID, NUMBER)            {"format":1,"file":"32 HEX","layout":2,"size":N,"md5":"32 HEX",
//                                             "checksum":"BASE64","modified":MILLISECONDS}
//
// ESCAPED-KEY is that of ObjectVersions.swift; ID is 16 hexadecimal digits of the time in milliseconds and 48 random ones,
// so that the uploads of a key stand in the order in which they began; NUMBER has five digits. `object` is the record that
// the object will have (ObjectRecord.swift), as far as it is known. `algorithm` is absent where the client named none:
// then parts keep CRC64NVME. Each part is a file of its own, named by ("object-file", FILE) like any other.

internal import AWSWire
internal import Storage

/// An upload that is under way.
struct MultipartUpload: Sendable {
    var id: String
    /// What the object will be, without bytes; `modified` is when the upload began.
    var object: ObjectRecord
    /// What the client named.
    var algorithm: ObjectChecksum.Algorithm?
    var isComposite = false

    /// What the parts keep.
    var partAlgorithm: ObjectChecksum.Algorithm { algorithm ?? .crc64nvme }
    var type: String { isComposite ? "COMPOSITE" : "FULL_OBJECT" }

    static let idCharacters = 64

    static func all(in bucket: String) -> CatalogKey { CatalogKey.prefix("upload", bucket) }

    static func key(_ bucket: String, _ key: String, _ id: String) -> CatalogKey {
        CatalogKey(
            bytes: all(in: bucket).bytes + VersionKeys.escaped(Array(key.utf8)) + [0, 1] + Array(id.utf8))
    }

    static func makeID(at time: Timestamp, random: [UInt8]) -> String {
        let digits = String(time.milliseconds, radix: 16)
        return String(repeating: "0", count: max(0, 16 - digits.count)) + digits + hexadecimal(random)
    }

    static func isID(_ text: String) -> Bool {
        text.utf8.count == idCharacters
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// The object's key, given the catalog's key after `all(in:)`; nil where it is none.
    static func key(of bytes: ArraySlice<UInt8>) -> (key: [UInt8], id: String)? {
        guard bytes.count > idCharacters + 2 else { return nil }
        let id = String(decoding: bytes.suffix(idCharacters), as: UTF8.self)
        // The form of a row, with the id in the place of the order.
        let row = bytes.dropLast(idCharacters) + Array(repeating: 0, count: 8)
        return VersionKeys.key(ofRow: row).map { ($0, id) }
    }

    var document: [UInt8] {
        var fields: WireStructure = ["format": 1, "object": .structure(object.fields)]
        fields.append("algorithm", ifPresent: algorithm.map { .string($0.rawValue) })
        if isComposite { fields.append("composite", true) }
        return WireValue.structure(fields).json
    }

    init(id: String, object: ObjectRecord, algorithm: ObjectChecksum.Algorithm?, isComposite: Bool) {
        self.id = id
        self.object = object
        self.algorithm = algorithm
        self.isComposite = isComposite
    }

    init(_ document: CatalogDocument) throws(AWSError) {
        id = String(decoding: document.key.bytes.suffix(Self.idCharacters), as: UTF8.self)
        guard let fields = (try? WireValue(json: document.value))?.asStructure, fields["format"] == 1,
            let object = fields["object"]?.asStructure.flatMap({ ObjectRecord($0) })
        else { throw .objectFault("the catalog's document of upload `\(id)` is damaged") }
        self.object = object
        if let name = fields["algorithm"]?.asString {
            guard let known = ObjectChecksum.Algorithm(rawValue: name) else {
                throw .objectFault("the catalog's document of upload `\(id)` is damaged")
            }
            algorithm = known
        }
        isComposite = fields["composite"]?.asBool ?? false
    }
}

/// A part of an upload that is under way.
struct UploadedPart: Sendable {
    var number: Int
    var file: String
    var layout = ObjectBlocks.layout
    var size: Int64
    /// The part's entity tag: the MD5 of the bytes, 32 hexadecimal digits; with a key of KMS or the customer's, random
    /// ones.
    var md5: String
    /// Base 64, of the upload's `partAlgorithm`.
    var checksum: String
    var modified: Timestamp

    static func all(of upload: String) -> CatalogKey { CatalogKey.prefix("upload-part", upload) }

    static func key(_ upload: String, _ number: Int) -> CatalogKey {
        let digits = String(number)
        return CatalogKey("upload-part", upload, String(repeating: "0", count: max(0, 5 - digits.count)) + digits)
    }

    var document: [UInt8] {
        WireValue.structure([
            "format": 1, "file": .string(file), "layout": .integer(Int64(layout)), "size": .integer(size),
            "md5": .string(md5), "checksum": .string(checksum), "modified": .integer(modified.milliseconds),
        ]).json
    }

    init(
        number: Int, file: String, _ taken: ObjectIntake.Taken, _ encryption: ObjectEncryption, etag: String?,
        _ now: Timestamp
    ) {
        self.number = number
        self.file = file
        layout = encryption.layout
        size = taken.size
        md5 = etag ?? taken.etag
        checksum = taken.checksum.value
        modified = now
    }

    init(_ document: CatalogDocument) throws(AWSError) {
        guard let fields = (try? WireValue(json: document.value))?.asStructure, fields["format"] == 1,
            let number = document.key.components.last.flatMap({ Int($0) }), let file = fields["file"]?.asString,
            let layout = fields.integer("layout").flatMap({ Int(exactly: $0) }), let size = fields.integer("size"),
            size >= 0, let md5 = fields["md5"]?.asString, let checksum = fields["checksum"]?.asString,
            let modified = fields.time("modified")
        else { throw .objectFault("the catalog's document of a part is damaged") }
        self.number = number
        self.file = file
        self.layout = layout
        self.size = size
        self.md5 = md5
        self.checksum = checksum
        self.modified = modified
    }
}

extension CatalogSnapshot {
    /// - Throws: `NoSuchUpload` (404).
    func upload(_ bucket: String, _ key: String, _ id: String) throws(AWSError) -> MultipartUpload {
        guard MultipartUpload.isID(id), let document = try get(MultipartUpload.key(bucket, key, id)) else {
            throw .noSuchUpload(id)
        }
        return try MultipartUpload(document)
    }

    /// The parts of an upload, by number.
    func parts(
        of upload: String, after number: Int = 0, limit: Int = .max
    ) throws(AWSError) -> [UploadedPart] {
        var parts: [UploadedPart] = []
        let after = number > 0 ? UploadedPart.key(upload, number) : nil
        for document in try scan(prefix: UploadedPart.all(of: upload), after: after, limit: limit) {
            parts.append(try UploadedPart(document))
        }
        return parts
    }
}

extension CatalogTransaction {
    /// Removes an upload and its parts.
    ///
    /// - Returns: the files that are of no use once this transaction is durable.
    func abort(_ upload: CatalogKey, id: String) throws(AWSError) -> [String] {
        try delete(upload)
        let parts = try parts(of: id)
        for part in parts {
            try delete(UploadedPart.key(id, part.number))
            try delete(ObjectRecord.fileKey(part.file))
        }
        return parts.map(\.file)
    }

    /// Aborts every upload to a bucket.
    func abortUploads(in bucket: String) throws(AWSError) -> [String] {
        var files: [String] = []
        for document in try scan(prefix: MultipartUpload.all(in: bucket)) {
            files += try abort(document.key, id: try MultipartUpload(document).id)
        }
        return files
    }
}

/// Joins parts into what is known of the whole.
struct PartJoin {
    private let parts: [UploadedPart]

    init(_ parts: [UploadedPart]) { self.parts = parts }

    var size: Int64 { parts.reduce(0) { $0 + $1.size } }

    /// The MD5 of the parts' MD5s, and how many they are.
    var etag: String {
        let digests = parts.flatMap { part in
            stride(from: 0, to: part.md5.utf8.count, by: 2).compactMap { index in
                UInt8(part.md5.dropFirst(index).prefix(2), radix: 16)
            }
        }
        return "\(hexadecimal(md5(digests)))-\(parts.count)"
    }

    /// - Throws: a fault of the server where a stored checksum is damaged.
    func checksum(_ algorithm: ObjectChecksum.Algorithm, isComposite: Bool) throws(AWSError) -> ObjectDigest {
        var values: [[UInt8]] = []
        for part in parts {
            guard let value = Base64.decode(part.checksum) else {
                throw .objectFault("the catalog's document of part \(part.number) is damaged: its checksum")
            }
            values.append(value)
        }
        if isComposite {
            var checksum = ObjectChecksum(algorithm)
            for value in values { checksum.update(value) }
            return ObjectDigest(
                algorithm: algorithm.rawValue, value: "\(checksum.text)-\(parts.count)", isComposite: true)
        }
        var whole = values.first ?? []
        for (part, value) in zip(parts, values).dropFirst() {
            guard let joined = ObjectChecksum.joined(algorithm, whole, value, length: part.size) else {
                throw .objectFault("the catalog's document of part \(part.number) is damaged: its checksum")
            }
            whole = joined
        }
        return ObjectDigest(algorithm: algorithm.rawValue, value: Base64.encode(whole))
    }
}
