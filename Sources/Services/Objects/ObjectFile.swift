// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Glibc
internal import Keys
internal import NIOCore
internal import Synchronization

/// A file of the store: its name, the queue it is used on, and its descriptor, closed with the last reference.
final class ObjectFile: Sendable {
    let id: String
    let lane: Int
    /// See ObjectBlocks.swift.
    let layout: Int
    /// Bytes of the object or part, known where the file was opened for reading.
    let size: Int64
    private let number = Atomic<Int32>(-1)
    private let ownKey = Mutex<FileKey?>(nil)
    private let running = Mutex(ObjectChecksum(.crc32c))
    private let kept = Mutex<[UInt8]?>(nil)

    init(id: String, lane: Int, layout: Int = ObjectBlocks.layout, size: Int64 = 0, content: [UInt8]? = nil) {
        kept.withLock { $0 = content }
        self.id = id
        self.lane = lane
        self.layout = layout
        self.size = size
    }

    deinit { close() }

    /// Negative while the file is not open.
    var descriptor: Int32 { number.load(ordering: .acquiring) }

    /// What would lie on the disk, of an object that is kept in the catalog; nil for a file on the disk.
    var content: [UInt8]? { kept.withLock { $0 } }

    func keep(_ bytes: [UInt8]) { kept.withLock { $0 = bytes } }

    /// Of an encrypted file; nil before it is made or opened.
    var key: FileKey? { ownKey.withLock { $0 } }

    func adopt(_ key: FileKey) { ownKey.withLock { $0 = key } }

    /// A data key that is not 32 bytes gives no key.
    func adopt(_ key: ObjectDataKey) {
        guard let cipher = ObjectCipher(dataKey: key.bytes, file: id) else { return }
        adopt(FileKey(cipher: cipher, sealed: []))
    }

    /// The CRC-32C of what was added, four bytes, big-endian.
    var checksum: [UInt8] { running.withLock { $0.value } }

    func addToChecksum(_ bytes: UnsafeRawBufferPointer) { running.withLock { $0.update(bytes) } }

    /// Bytes of the mark behind each block: its tag, or its checksum.
    var markBytes: Int {
        layout == ObjectBlocks.checkedLayout ? Int(ObjectBlocks.checksumBytes) : ObjectCipher.tagBytes
    }

    func adopt(_ descriptor: Int32) { number.store(descriptor, ordering: .releasing) }

    func close() {
        let open = number.exchange(-1, ordering: .acquiringAndReleasing)
        if open >= 0 { Glibc.close(open) }
    }
}

/// The data key of an encrypted file.
struct FileKey: Sendable {
    let cipher: ObjectCipher
    /// As it lies in the file.
    let sealed: [UInt8]
}

/// The data key of an object, for the memory of this process alone.
struct ObjectDataKey: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    /// 32 bytes.
    let bytes: [UInt8]

    var description: String { "(data key)" }
    var customMirror: Mirror { Mirror(self, children: []) }
}

extension ObjectFiles {
    /// Reads a file of `ObjectBlocks.keyedLayout` to its end and compares its checksum, without its key.
    ///
    /// - Parameter content: what the catalog keeps of it; nil for a file on the disk.
    func verifyUnopened(_ id: String, size: Int64, content: [UInt8]?) async throws(ObjectFileError) {
        let path = path(id)
        if let content {
            let file = ObjectFile(id: id, lane: 0, layout: ObjectBlocks.keyedLayout, size: size, content: content)
            content.dropLast(4).withUnsafeBytes { file.addToChecksum($0) }
            guard content.count == ObjectCipher.sealedBytes(size) + 4, file.checksum.elementsEqual(content.suffix(4))
            else { throw ObjectFileError(step: .readFile, path: path, number: ObjectFileError.damaged) }
            return
        }
        let end = ObjectCipher.sealedBytes(size)
        let file = try await run(0) { () throws(ObjectFileError) in
            try self.check(.openFile, path)
            let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw self.failure(.openFile, path) }
            let file = ObjectFile(id: id, lane: 0, layout: ObjectBlocks.keyedLayout, size: size)
            file.adopt(descriptor)
            return file
        }
        var offset: Int64 = 0
        while offset < end {
            let start = offset
            let count = Int(min(Int64(Limits.pieceBytes), end - start))
            try await run(0) { () throws(ObjectFileError) in
                try self.check(.readFile, path)
                try self.bytes(of: file, at: start, count: count).withUnsafeReadableBytes { file.addToChecksum($0) }
            }
            offset += Int64(count)
        }
        let stored = try await run(0) { () throws(ObjectFileError) in
            Array(try self.bytes(of: file, at: end, count: 4).readableBytesView)
        }
        guard stored == file.checksum else {
            throw ObjectFileError(step: .readFile, path: path, number: ObjectFileError.damaged)
        }
    }
}
