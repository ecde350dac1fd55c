// SPDX-License-Identifier: Apache-2.0
//
// Verifies what the catalog says of objects against the disk: every version and every part of an upload that is under way
// has its files, and every block of them has its checksum, or the file where its key is not the store's. Files of layout 1 have no blocks: their MD5 must be the entity
// tag. Nothing is changed, so that it may run beside a server: what is replaced meanwhile is asked for again and passed
// over once the catalog no longer names it.

package import AWSWire
internal import Crypto
package import Keys
internal import NIOCore
package import Storage

/// Bytes that are not what was stored.
package struct ScrubFinding: Sendable, Equatable {
    /// `s3://BUCKET/KEY`, with the version, the upload or the part where there is one.
    package let subject: String
    /// What is wrong with it: the file and the reason.
    package let reason: String
}

/// What a scrub has seen.
package struct ScrubSummary: Sendable, Equatable {
    /// Versions of objects and parts of uploads.
    package var objects = 0
    package var files = 0
    package var bytes: Int64 = 0
    package var damaged = 0
}

/// Verifies all stored objects of a data folder.
package struct ObjectScrub: Sendable {
    private let catalog: Catalog
    private let files: ObjectFiles

    private static let batch = 256

    /// - Parameters:
    ///   - directory: the folder of object files; it is only read.
    ///   - keys: opens the data keys of objects.
    package init(catalog: Catalog, directory: String, keys: KeyService) {
        self.catalog = catalog
        files = ObjectFiles(reading: directory, keys: keys)
    }

    /// What is to be verified: a record's files, under a name for people.
    private struct Item: Sendable {
        var subject: String
        var parts: [ObjectParts.Part]
        /// MD5 of the one file, where its layout has no checksums.
        var md5: String?
        /// The bytes of the one file, where the catalog has them.
        var content: [UInt8]?
        /// Why the catalog does not give them.
        var damage: String?
    }

    /// Walks over everything once.
    ///
    /// - Parameter report: told of each finding as it is made.
    /// - Throws: `AWSError` where the catalog cannot be read.
    package func run(report: @Sendable (ScrubFinding) -> Void) async throws(AWSError) -> ScrubSummary {
        var summary = ScrubSummary()
        for kind in ["object", "version", "upload-part"] {
            let prefix = CatalogKey.prefix(kind)
            var after: CatalogKey?
            while true {
                let from = after
                let (items, last) = try await catalog.read { (snapshot) throws(AWSError) in
                    var items: [Item] = []
                    let documents = try snapshot.scan(prefix: prefix, after: from, limit: Self.batch)
                    for document in documents { items.append(try Self.item(document, kind, snapshot)) }
                    return (items, documents.last?.key)
                }
                for item in items {
                    summary.objects += 1
                    for part in item.parts {
                        summary.files += 1
                        summary.bytes += part.size
                        var reason = item.damage
                        if reason == nil { reason = await problem(part, md5: item.md5, content: item.content) }
                        guard let reason, try await isNamed(part.file) else { continue }
                        summary.damaged += 1
                        report(ScrubFinding(subject: item.subject, reason: reason))
                    }
                }
                guard let last else { break }
                after = last
            }
        }
        return summary
    }

    private static func item(
        _ document: CatalogDocument, _ kind: String, _ snapshot: CatalogSnapshot
    ) throws(AWSError) -> Item {
        let components = document.key.bytes.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
        let bucket = components.count > 1 ? String(decoding: components[1], as: UTF8.self) : ""
        let rest = components.count > 2 ? Array(components[2]) : []
        if kind == "upload-part" {
            let part = try UploadedPart(document)
            return Item(
                subject: "part \(part.number) of upload \(bucket)",
                parts: [ObjectParts.Part(number: 1, file: part.file, layout: part.layout, size: part.size)])
        }
        let record = try ObjectRecord(document)
        let key = kind == "object" ? rest : VersionKeys.key(ofRow: rest[...]) ?? rest
        var subject = "s3://\(bucket)/\(String(decoding: key, as: UTF8.self))"
        if let version = record.version { subject += " (version \(version))" }
        var item = Item(
            subject: subject, parts: try snapshot.files(of: record),
            md5: record.partCount == 0 && record.layout == 1 ? record.etag : nil)
        do throws(AWSError) { item.content = try snapshot.content(of: record) } catch {
            item.damage = error.cause ?? error.message
        }
        return item
    }

    private func isNamed(_ file: String) async throws(AWSError) -> Bool {
        try await catalog.read { (snapshot) throws(AWSError) in try snapshot.has(ObjectRecord.fileKey(file)) }
    }

    /// Reads a file to its end.
    ///
    /// - Returns: what is wrong with it, nil where nothing is.
    private func problem(_ part: ObjectParts.Part, md5 wanted: String?, content: [UInt8]?) async -> String? {
        var md5 = Insecure.MD5()
        var offset: Int64 = 0
        do throws(ObjectFileError) {
            if part.layout == ObjectBlocks.keyedLayout {
                try await files.verifyUnopened(part.file, size: part.size, content: content)
                return nil
            }
            // An empty object has a file too.
            let file = try await files.open(
                part.file, layout: part.layout, size: part.size, key: nil, content: content)
            let reader = ObjectReader(files, [part], first: file, pinned: [], key: nil)
            while offset < part.size {
                let piece = try await reader.read(offset..<part.size)
                if wanted != nil { piece.withUnsafeReadableBytes { md5.update(bufferPointer: $0) } }
                offset += Int64(piece.readableBytes)
                reader.retire(piece)
            }
        } catch {
            return error.description
        }
        guard let wanted, hexadecimal(md5.finalize()) != wanted else { return nil }
        return "object file `\(part.file)`: its MD5 is not its object's entity tag"
    }
}
