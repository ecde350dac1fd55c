// SPDX-License-Identifier: Apache-2.0
//
// Where the bytes of objects lie.
//
//     DIR/incoming/ID        being written; nobody refers to it, so whatever a crash leaves here is removed at start
//     DIR/xx/ID              complete and flushed; xx are the first two of the 32 hexadecimal digits of ID
//
// A file is written once and never changed; what lies in it says ObjectBlocks.swift. The catalog's object document names
// its file; a replaced file is removed after the transaction that replaced it, while readers go on reading through their
// open descriptor, or have pinned the file and so put off its removal. A crash between a file and its transaction leaves
// a file that no document names: `sweep` removes it.

internal import AWSWire
internal import Dispatch
internal import Glibc
internal import Keys
internal import NIOCore
internal import Synchronization

/// One step on the disk, before which a fault may be put.
package enum FileStep: Sendable, Equatable, CaseIterable {
    case createFile, writeFile, flushFile, renameFile, flushFolder, removeFile, openFile, readFile, listFolder
}

/// Decides whether a step fails: the error number to fail with, or nil to go on. The real disk has none.
package typealias FileFault = @Sendable (FileStep) -> Int32?

/// A step on the disk failed.
package struct ObjectFileError: Error, Sendable, CustomStringConvertible {
    /// What was being done.
    package let step: FileStep
    /// The file or folder it was done to.
    package let path: String
    /// The system's error number; 0 where the file is shorter than its document says, `damaged` where its bytes are not
    /// what was written.
    package let number: Int32

    /// The number of an error where a block's checksum is wrong.
    static let damaged: Int32 = -1
    /// The number of an error where the file's data key cannot be sealed or opened.
    static let locked: Int32 = -2

    /// Whether the file that was to be opened does not exist.
    package var isMissing: Bool { step == .openFile && number == ENOENT }

    /// Whether the disk cannot take more, as opposed to a fault of ours.
    package var isRefusalOfDisk: Bool { [ENOSPC, EDQUOT, EIO, EROFS, EMFILE, ENFILE].contains(number) }

    /// The operator's text.
    package var description: String {
        let reason =
            switch number {
            case 0: "the file is shorter than its object"
            case Self.locked:
                "its data key cannot be sealed or opened; restore the data folder as a whole, root secret included"
            case Self.damaged: "the bytes are not those that were written (checksum)"
            default: String(cString: strerror(number))
            }
        return "object file `\(path)`: \(step) failed: \(reason)"
    }
}

/// The folder of object files. All blocking work runs on queues of its own, never on the cooperative pool.
final class ObjectFiles: Sendable {
    enum Limits {
        /// Bytes read or written in one step, whole blocks; a transfer holds at most four such pieces in memory.
        static let pieceBytes = 256 * 1024
        /// Queues for blocking work; each open file stays on one of them.
        static let queues = 8
    }

    private let directory: String
    private let fault: FileFault
    private let randomBytes: @Sendable (Int) -> [UInt8]
    private let keys: KeyService
    let storage: ObjectStorage
    private let queues: [DispatchQueue]
    let buffers = PieceBuffers()
    private let turn = Atomic<Int>(0)
    /// Files that calls in flight are writing or about to commit; the sweep leaves them alone.
    private let pending = Mutex<Set<String>>([])
    private let pins = Mutex(Pins())

    /// Files that readers will open later, and those of them that are to be removed when the last reader is done.
    private struct Pins {
        var readers: [String: Int] = [:]
        var doomed: Set<String> = []
    }

    /// Makes the folders and removes what a crash left in `incoming`.
    init(
        directory: String, keys: KeyService, storage: ObjectStorage,
        randomBytes: @escaping @Sendable (Int) -> [UInt8], fault: @escaping FileFault
    ) throws(ObjectFileError) {
        self.keys = keys
        self.storage = storage
        self.directory = directory
        self.fault = fault
        self.randomBytes = randomBytes
        queues = (0..<Limits.queues).map { DispatchQueue(label: "cairn.objects.\($0)") }
        try Self.makeFolder(directory)
        try Self.makeFolder(directory + "/incoming")
        for first in 0..<256 { try Self.makeFolder(directory + "/" + hexadecimal([UInt8(first)])) }
        try flushFolder(directory)
        for name in try names(in: directory + "/incoming") { unlink(directory + "/incoming/" + name) }
    }

    /// A view of the folder of a server that may be running: nothing is made or removed.
    init(reading directory: String, keys: KeyService) {
        self.directory = directory
        self.keys = keys
        storage = ObjectStorage()
        fault = { _ in nil }
        randomBytes = { _ in [] }
        queues = (0..<2).map { DispatchQueue(label: "cairn.objects.reading.\($0)") }
    }

    private static func makeFolder(_ path: String) throws(ObjectFileError) {
        guard mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        throw ObjectFileError(step: .createFile, path: path, number: errno)
    }

    // MARK: Writing

    /// Chooses the name of a new file and holds it until `release`.
    ///
    /// - Parameters:
    ///   - key: the object's data key, where the file is not to bring its own along.
    ///   - isPart: of an upload.
    func newFile(_ key: ObjectDataKey?, isPart: Bool) -> ObjectFile {
        let id = hexadecimal(randomBytes(16))
        pending.withLock { _ = $0.insert(id) }
        let lane = Int(UInt(bitPattern: turn.add(1, ordering: .relaxed).newValue) % UInt(queues.count))
        guard let key else {
            let isEncrypting = storage.isEncrypting || isPart
            return ObjectFile(
                id: id, lane: lane, layout: isEncrypting ? ObjectBlocks.layout : ObjectBlocks.checkedLayout)
        }
        let file = ObjectFile(id: id, lane: lane, layout: ObjectBlocks.keyedLayout)
        file.adopt(key)
        return file
    }

    /// Creates the file where it is not open yet, and begins to write a piece: whole blocks, at an offset between blocks.
    ///
    /// - Returns: what tells the end of it. What is done to the file afterwards is done after it.
    func beginWriting(
        _ piece: Handover<ByteBuffer>, at offset: Int64, to file: ObjectFile
    ) async throws(ObjectFileError) -> PendingStep<Void> {
        try await makeKey(of: file)
        return begin(file.lane) { () throws(ObjectFileError) in
            try self.create(file)
            try self.append(piece.take() ?? ByteBuffer(), at: offset, to: file)
        }
    }

    /// Writes the last piece, of any length, flushes the file, puts it in its place and flushes the folder.
    ///
    /// - Parameters:
    ///   - size: bytes of the object, this piece included.
    ///   - mayKeep: whether a small object may stay in memory, to be kept in the catalog by its transaction.
    func complete(
        _ file: ObjectFile, with piece: Handover<ByteBuffer>, at offset: Int64, size: Int64, mayKeep: Bool
    ) async throws(ObjectFileError) {
        try await makeKey(of: file)
        if mayKeep, offset == 0, size <= Int64(storage.smallBytesMax) {
            return try keep(piece.take() ?? ByteBuffer(), in: file)
        }
        try await run(file.lane) { () throws(ObjectFileError) in
            try self.create(file)
            try self.append(piece.take() ?? ByteBuffer(), at: offset, to: file)
            let incoming = self.incomingPath(file.id)
            try self.writeTrailer(of: file, size: size)
            try self.check(.flushFile, incoming)
            guard fdatasync(file.descriptor) == 0 else { throw self.failure(.flushFile, incoming) }
            file.close()
            try self.check(.renameFile, incoming)
            guard rename(incoming, self.path(file.id)) == 0 else { throw self.failure(.renameFile, incoming) }
            try self.flushFolder(self.folder(file.id))
        }
    }

    /// Removes whatever there is of a file that will not be committed.
    func abandon(_ file: ObjectFile) async {
        guard file.content == nil else { return release(file) }
        try? await run(file.lane) { () throws(ObjectFileError) in
            file.close()
            unlink(self.incomingPath(file.id))
            unlink(self.path(file.id))
        }
        release(file)
    }

    /// Ends the hold on the name: the catalog now says whether the file is of use.
    func release(_ file: ObjectFile) {
        pending.withLock { _ = $0.remove(file.id) }
    }

    /// Removes a file that no document names any more, once no reader has pinned it. A failure leaves it to the sweep.
    func remove(_ id: String) async {
        let isPinned = pins.withLock { pins in
            guard pins.readers[id] != nil else { return false }
            pins.doomed.insert(id)
            return true
        }
        guard !isPinned else { return }
        let lane = Int(UInt(bitPattern: id.hashValue) % UInt(queues.count))
        try? await run(lane) { () throws(ObjectFileError) in
            try self.check(.removeFile, self.path(id))
            unlink(self.path(id))
        }
    }

    func create(_ file: ObjectFile) throws(ObjectFileError) {
        guard file.descriptor < 0 else { return }
        let incoming = incomingPath(file.id)
        try check(.createFile, incoming)
        let descriptor = Glibc.open(incoming, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure(.createFile, incoming) }
        file.adopt(descriptor)
    }

    /// Gives a new file its data key.
    private func makeKey(of file: ObjectFile) async throws(ObjectFileError) {
        guard file.key == nil, file.layout != ObjectBlocks.checkedLayout else { return }
        guard file.layout == ObjectBlocks.layout else {
            throw ObjectFileError(step: .writeFile, path: incomingPath(file.id), number: ObjectFileError.locked)
        }
        do throws(AWSError) {
            let (cipher, sealed) = try await keys.makeStoreKey(file: file.id)
            file.adopt(FileKey(cipher: cipher, sealed: sealed))
        } catch {
            throw ObjectFileError(step: .writeFile, path: incomingPath(file.id), number: ObjectFileError.locked)
        }
    }

    // MARK: Reading

    /// Keeps files from being removed until `unpin`. One that is not there any more is not called back.
    func pin(_ ids: [String]) {
        pins.withLock { pins in
            for id in ids { pins.readers[id, default: 0] += 1 }
        }
    }

    /// Ends a pin, and removes what was to be removed meanwhile.
    func unpin(_ ids: [String]) {
        let removable = pins.withLock { pins in
            var removable: [String] = []
            for id in ids {
                let count = (pins.readers[id] ?? 1) - 1
                pins.readers[id] = count > 0 ? count : nil
                if count <= 0, pins.doomed.remove(id) != nil { removable.append(id) }
            }
            return removable
        }
        guard !removable.isEmpty else { return }
        queues[0].async { for id in removable { unlink(self.path(id)) } }
    }

    /// Opens a file; it can be read to its end even if it is replaced meanwhile.
    ///
    /// - Parameters:
    ///   - size: the bytes of the object or part that it holds.
    ///   - key: the object's data key, where the file does not have it.
    ///   - content: what the catalog keeps of it; nil for a file on the disk.
    func open(
        _ id: String, layout: Int, size: Int64, key: ObjectDataKey?, content: [UInt8]? = nil
    ) async throws(ObjectFileError) -> ObjectFile {
        if let content {
            let file = ObjectFile(id: id, lane: 0, layout: layout, size: size, content: content)
            try await openKey(of: file, layout == ObjectBlocks.layout ? try sealedKey(of: file) : [], given: key)
            return file
        }
        let lane = Int(UInt(bitPattern: turn.add(1, ordering: .relaxed).newValue) % UInt(queues.count))
        let (file, sealed) = try await run(lane) { () throws(ObjectFileError) in
            let path = self.path(id)
            try self.check(.openFile, path)
            let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw self.failure(.openFile, path) }
            let file = ObjectFile(id: id, lane: lane, layout: layout, size: size)
            file.adopt(descriptor)
            return (file, layout == ObjectBlocks.layout ? try self.sealedKey(of: file) : [])
        }
        try await openKey(of: file, sealed, given: key)
        return file
    }

    private func openKey(
        of file: ObjectFile, _ sealed: [UInt8], given key: ObjectDataKey?
    ) async throws(ObjectFileError) {
        switch file.layout {
        case ObjectBlocks.layout:
            do throws(AWSError) {
                file.adopt(FileKey(cipher: try await keys.openStoreKey(sealed, file: file.id), sealed: sealed))
            } catch {
                throw ObjectFileError(step: .readFile, path: path(file.id), number: ObjectFileError.locked)
            }
        case ObjectBlocks.keyedLayout:
            if let key { file.adopt(key) }
            guard file.key != nil else {
                throw ObjectFileError(step: .readFile, path: path(file.id), number: ObjectFileError.locked)
            }
        default: break
        }
    }

    // MARK: Sweeping

    /// Removes the files that no document names. Calls may go on meanwhile.
    ///
    /// - Parameter isNamed: tells which of these files the catalog names.
    /// - Returns: how many were removed.
    func sweep<Failure: Error>(
        named: (_ ids: [String]) async throws(Failure) -> Set<String>
    ) async throws -> Int {
        var removed = 0
        for first in 0..<256 {
            let folder = directory + "/" + hexadecimal([UInt8(first)])
            let ids = try await run(0) { () throws(ObjectFileError) in try self.names(in: folder) }
            // The hold is looked at after the listing and before the catalog: a call that commits in between has put its
            // document before it lets go.
            var candidates = pending.withLock { held in ids.filter { !held.contains($0) } }
            candidates = pins.withLock { pins in candidates.filter { pins.readers[$0] == nil } }
            guard !candidates.isEmpty else { continue }
            let known = try await named(candidates)
            for id in candidates where !known.contains(id) {
                try await run(0) { () throws(ObjectFileError) in
                    try self.check(.removeFile, folder)
                    unlink(folder + "/" + id)
                }
                removed += 1
            }
        }
        return removed
    }

    private func names(in folder: String) throws(ObjectFileError) -> [String] {
        try check(.listFolder, folder)
        guard let stream = opendir(folder) else { throw failure(.listFolder, folder) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    // MARK: Details

    private func folder(_ id: String) -> String { directory + "/" + id.prefix(2) }
    func path(_ id: String) -> String { folder(id) + "/" + id }
    func incomingPath(_ id: String) -> String { directory + "/incoming/" + id }

    private func flushFolder(_ path: String) throws(ObjectFileError) {
        try check(.flushFolder, path)
        let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(.flushFolder, path) }
        defer { Glibc.close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure(.flushFolder, path) }
    }

    func check(_ step: FileStep, _ path: String) throws(ObjectFileError) {
        if let number = fault(step) { throw ObjectFileError(step: step, path: path, number: number) }
    }

    func failure(_ step: FileStep, _ path: String) -> ObjectFileError {
        ObjectFileError(step: step, path: path, number: errno)
    }

    /// Runs on the file's queue, or here where the file is in memory.
    func run<Value: Sendable>(
        for file: ObjectFile, _ body: @escaping @Sendable () throws(ObjectFileError) -> Value
    ) async throws(ObjectFileError) -> Value {
        if file.content != nil { return try body() }
        return try await run(file.lane, body)
    }

    func run<Value: Sendable>(
        _ lane: Int, _ body: @escaping @Sendable () throws(ObjectFileError) -> Value
    ) async throws(ObjectFileError) -> Value {
        try await begin(lane, body).value()
    }

    /// Puts a step on a queue and does not wait for it.
    func begin<Value: Sendable>(
        _ lane: Int, _ body: @escaping @Sendable () throws(ObjectFileError) -> Value
    ) -> PendingStep<Value> {
        let step = PendingStep<Value>()
        queues[lane].async { step.end(Result(catching: body)) }
        return step
    }
}

/// Lower-case hexadecimal digits.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
