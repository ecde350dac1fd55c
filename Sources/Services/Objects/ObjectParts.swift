// SPDX-License-Identifier: Apache-2.0
//
// The parts of an object that was uploaded in parts. Completing an upload moves no bytes: the object's record names a list
// of files, in the catalog under ("object-parts", FILE), format 1:
//
//     {"format":1,"parts":[[NUMBER,"FILE",LAYOUT,SIZE,"CHECKSUM"],...]}
//
// The checksum is base 64, empty where the parts' checksums were not asked for.

internal import AWSWire
internal import NIOCore
internal import Storage
internal import Synchronization

/// The files of a multipart object, in order.
struct ObjectParts: Sendable, Equatable {
    struct Part: Sendable, Equatable {
        /// As it was uploaded; numbers may be skipped.
        var number: Int
        var file: String
        var layout: Int
        var size: Int64
        /// Base 64 of the part's checksum, nil where none is shown.
        var checksum: String?
    }

    var parts: [Part]

    var document: [UInt8] {
        WireValue.structure([
            "format": 1,
            "parts": .list(
                parts.map {
                    .list([
                        .integer(Int64($0.number)), .string($0.file), .integer(Int64($0.layout)), .integer($0.size),
                        .string($0.checksum ?? ""),
                    ])
                }),
        ]).json
    }

    init(_ parts: [Part]) { self.parts = parts }

    init(_ document: CatalogDocument) throws(AWSError) {
        let name = document.key.components.last ?? ""
        guard let fields = (try? WireValue(json: document.value))?.asStructure, fields["format"] == 1,
            let list = fields["parts"]?.asList
        else { throw .objectFault("the catalog's list of parts `\(name)` is damaged") }
        parts = []
        for item in list {
            guard let values = item.asList, values.count == 5, case .integer(let number) = values[0],
                let file = values[1].asString, case .integer(let layout) = values[2],
                case .integer(let size) = values[3], size >= 0, let checksum = values[4].asString
            else { throw .objectFault("the catalog's list of parts `\(name)` is damaged") }
            parts.append(
                Part(
                    number: Int(number), file: file, layout: Int(layout), size: size,
                    checksum: checksum.isEmpty ? nil : checksum))
        }
    }

    /// Where the part at an index lies in the object.
    func range(of index: Int) -> Range<Int64> {
        let start = parts[..<index].reduce(Int64(0)) { $0 + $1.size }
        return start..<(start + parts[index].size)
    }
}

extension CatalogSnapshot {
    /// The files of a record: one, or those of its parts; none for a delete marker.
    func files(of record: ObjectRecord) throws(AWSError) -> [ObjectParts.Part] {
        if record.isDeleteMarker { return [] }
        guard record.partCount > 0 else {
            return [ObjectParts.Part(number: 1, file: record.file, layout: record.layout, size: record.size)]
        }
        guard let document = try get(ObjectRecord.partsKey(record.file)) else {
            throw .objectFault("the catalog's list of parts `\(record.file)` is missing")
        }
        return try ObjectParts(document).parts
    }
}

extension CatalogSnapshot {
    /// The bytes of an object that the catalog keeps, as they would lie on the disk; nil for one that has files.
    func content(of record: ObjectRecord) throws(AWSError) -> [UInt8]? {
        guard record.isInCatalog else { return nil }
        let document: CatalogDocument?
        do throws(AWSError) { document = try get(ObjectRecord.fileKey(record.file)) } catch {
            throw .objectFault(error.cause ?? error.message)
        }
        guard let document else {
            throw .objectFault("the catalog's bytes of the object file `\(record.file)` are missing")
        }
        return document.value
    }
}

extension CatalogTransaction {
    /// Removes what makes a record's files of use, and names those on the disk for removal once this transaction is durable.
    func drop(_ record: ObjectRecord) throws(AWSError) -> [String] {
        let files = try files(of: record).map(\.file)
        for file in files { try delete(ObjectRecord.fileKey(file)) }
        if record.partCount > 0 { try delete(ObjectRecord.partsKey(record.file)) }
        return record.isInCatalog ? [] : files
    }
}

/// Reads the bytes of an object, whatever number of files they lie in. The one place through which object bytes come from
/// `ObjectFiles`.
final class ObjectReader: Sendable {
    let files: ObjectFiles
    private let parts: [ObjectParts.Part]
    private let starts: [Int64]
    private let pinned: [String]
    private let current: FileInUse
    private let key: ObjectDataKey?
    let size: Int64

    /// - Parameters:
    ///   - first: the file of the first part, open.
    ///   - pinned: files that are pinned and shall be let go with this reader.
    ///   - key: the object's data key, where its files do not have one each.
    init(
        _ files: ObjectFiles, _ parts: [ObjectParts.Part], first: ObjectFile?, pinned: [String], key: ObjectDataKey?
    ) {
        self.files = files
        self.key = key
        self.parts = parts
        self.pinned = pinned
        var starts: [Int64] = []
        var size: Int64 = 0
        for part in parts {
            starts.append(size)
            size += part.size
        }
        self.starts = starts
        self.size = size
        current = FileInUse(first)
    }

    deinit { if !pinned.isEmpty { files.unpin(pinned) } }

    /// Reads a piece from the beginning of a range: at least one byte, at most `ObjectFiles.Limits.pieceBytes`, and no
    /// further than the end of its file.
    ///
    /// - Throws: `ObjectFileError` where a file is missing, short or damaged; no wrong byte is ever handed over.
    func read(_ range: Range<Int64>) async throws(ObjectFileError) -> ByteBuffer {
        guard let (part, piece) = piece(of: range) else { return ByteBuffer() }
        let file: ObjectFile
        if let open = current.file, open.id == part.file {
            file = open
        } else {
            file = try await files.open(part.file, layout: part.layout, size: part.size, key: key)
            current.file = file
        }
        return try await files.read(file, at: piece.lowerBound, count: piece.count)
    }

    /// Begins to read what `read` would, while the caller does other things.
    ///
    /// - Returns: the step and the bytes that it reads; nil where the piece does not lie on the disk in the file that is open:
    ///   then `read` it.
    func readAhead(_ range: Range<Int64>) -> (step: PendingStep<ByteBuffer>, count: Int)? {
        guard let (part, piece) = piece(of: range), let open = current.file, open.id == part.file, open.content == nil
        else { return nil }
        return (files.beginReading(open, at: piece.lowerBound, count: piece.count), piece.count)
    }

    /// Reads what `read` would, where that needs no waiting for the disk.
    ///
    /// - Returns: nil where it would: then `read` it.
    func readCached(_ range: Range<Int64>) throws(ObjectFileError) -> ByteBuffer? {
        guard let (part, piece) = piece(of: range), let open = current.file, open.id == part.file else { return nil }
        return try files.readCached(open, at: piece.lowerBound, count: piece.count)
    }

    /// Gives back the memory of a piece that was used.
    func retire(_ piece: ByteBuffer) { files.buffers.give(piece) }

    private func piece(of range: Range<Int64>) -> (part: ObjectParts.Part, bytes: Range<Int64>)? {
        guard !range.isEmpty, let index = starts.lastIndex(where: { $0 <= range.lowerBound }) else { return nil }
        let part = parts[index]
        let offset = range.lowerBound - starts[index]
        // The end lies between two blocks, so that the next piece does not read a block anew.
        let piece = Int64(ObjectFiles.Limits.pieceBytes)
        let aligned = (offset + piece) / ObjectBlocks.blockBytes * ObjectBlocks.blockBytes
        return (part, offset..<min(part.size, range.upperBound - starts[index], aligned))
    }
}

/// Writes a range of an object piece by piece. While there are processors to spare the next piece is read on another thread
/// meanwhile; otherwise a piece that is in the page cache is read where it is sent, which costs no change of threads and
/// finds it in the processor's own cache.
struct ObjectFlow: Sendable {
    /// Read once: it is several files in which the system tells it.
    private static let processors = System.coreCount
    private let reader: ObjectReader
    private let range: Range<Int64>
    private let first: Handover<ByteBuffer>
    private let firstBytes: Int64

    /// Reads the first piece, so that damage there still is an error with its own status.
    init(_ reader: ObjectReader, _ range: Range<Int64>) async throws(ObjectFileError) {
        self.reader = reader
        self.range = range
        let piece = try await reader.read(range)
        firstBytes = Int64(piece.readableBytes)
        first = Handover(piece)
    }

    /// The body of the answer.
    var stream: AnswerStream {
        // What is larger is read into memory that is used again, and so must not leave.
        if firstBytes == Int64(range.count), firstBytes <= ObjectBlocks.blockBytes, let whole = first.take() {
            return AnswerStream(whole: whole)
        }
        return AnswerStream(length: Int64(range.count)) { write in try await self.write(write) }
    }

    /// Called once. At most four pieces are in memory: one that the network has, one that waits for it, two that are read.
    private func write(_ write: AnswerStream.Write) async throws {
        guard var piece = first.take(), firstBytes > 0 else { return }
        let buffers = reader.files.buffers
        buffers.beginFlow()
        defer { buffers.endFlow() }
        var ahead: [PendingStep<ByteBuffer>] = []
        // What is neither at hand nor being read.
        var rest = range.lowerBound + firstBytes..<range.upperBound
        while true {
            if buffers.flows * 2 <= Self.processors {
                while ahead.count < 2, let next = reader.readAhead(rest) {
                    ahead.append(next.step)
                    rest = rest.lowerBound + Int64(next.count)..<rest.upperBound
                }
            }
            try await write(piece)
            reader.retire(piece)
            if !ahead.isEmpty {
                piece = try await ahead.removeFirst().value()
                continue
            }
            guard !rest.isEmpty else { return }
            if let cached = try reader.readCached(rest) {
                piece = cached
            } else {
                piece = try await reader.read(rest)
            }
            rest = rest.lowerBound + Int64(piece.readableBytes)..<rest.upperBound
        }
    }
}

/// The file that a reader has open.
private final class FileInUse: Sendable {
    private let state: Mutex<ObjectFile?>

    init(_ file: ObjectFile?) { state = Mutex(file) }

    var file: ObjectFile? {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}
