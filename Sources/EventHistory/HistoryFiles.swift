// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The file calls whose failures matter; a parameter so that tests can make them fail.
package struct HistoryDevice: Sendable {
    /// Like `write(2)`: bytes written, or -1 with the error number.
    package var write: @Sendable (_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> (written: Int, error: Int32)
    /// Like `fsync(2)`: 0 or the error number.
    package var sync: @Sendable (_ descriptor: Int32) -> Int32
    /// Like `unlink(2)`: 0 or the error number.
    package var remove: @Sendable (_ path: String) -> Int32

    package init(
        write:
            @escaping @Sendable (_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> (written: Int, error: Int32),
        sync: @escaping @Sendable (_ descriptor: Int32) -> Int32,
        remove: @escaping @Sendable (_ path: String) -> Int32
    ) {
        self.write = write
        self.sync = sync
        self.remove = remove
    }

    /// The machine's own file system.
    package static let posix = HistoryDevice(
        write: { descriptor, bytes in
            let written = Glibc.write(descriptor, bytes.baseAddress, bytes.count)
            return (written, written < 0 ? errno : 0)
        },
        sync: { Glibc.fsync($0) == 0 ? 0 : errno },
        remove: { Glibc.unlink($0) == 0 ? 0 : errno })
}

/// Files as history uses them: written whole under names of their own, read in pieces, removed.
enum HistoryFiles {
    static func failure(_ what: String, _ path: String, _ number: Int32) -> HistoryError {
        let reason = strerror(number).map { String(cString: $0) } ?? "error \(number)"
        return HistoryError(.inputOutput, "\(what): \(reason)", path: path)
    }

    static func makeDirectory(_ path: String) throws(HistoryError) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw failure("cannot make the folder", path, errno) }
    }

    static func names(_ directory: String) throws(HistoryError) -> [String] {
        guard let handle = opendir(directory) else { throw failure("cannot list the folder", directory, errno) }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Makes names in the folder durable.
    static func syncFolder(_ directory: String, _ device: HistoryDevice) throws(HistoryError) {
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw failure("cannot open the folder", directory, errno) }
        let synced = device.sync(folder)
        close(folder)
        guard synced == 0 else { throw failure("cannot flush the folder", directory, synced) }
    }

    /// The whole of a file.
    static func content(_ path: String) throws(HistoryError) -> [UInt8] {
        let file = try HistoryFile(path)
        return try file.read(offset: 0, count: try file.size())
    }
}

/// A file being written from its begin to its end, through a buffer.
struct HistoryFileWriter: ~Copyable {
    private let path: String
    private let descriptor: Int32
    private let device: HistoryDevice
    private var buffer: [UInt8] = []
    /// Bytes so far, those in the buffer included.
    private(set) var written: UInt64 = 0

    private static let bufferBytes = 1 << 20

    init(_ path: String, _ device: HistoryDevice) throws(HistoryError) {
        self.path = path
        self.device = device
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw HistoryFiles.failure("cannot make the file", path, errno) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    mutating func write(_ bytes: [UInt8]) throws(HistoryError) {
        buffer.append(contentsOf: bytes)
        written += UInt64(bytes.count)
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    /// Writes what is left and returns when all of it is on stable storage.
    mutating func finish() throws(HistoryError) {
        try flush()
        let synced = device.sync(descriptor)
        guard synced == 0 else { throw HistoryFiles.failure("cannot flush the file", path, synced) }
    }

    private mutating func flush() throws(HistoryError) {
        var offset = 0
        while offset < buffer.count {
            let result = buffer.withUnsafeBytes {
                device.write(descriptor, UnsafeRawBufferPointer(rebasing: $0[offset...]))
            }
            if result.written < 0, result.error == EINTR { continue }
            guard result.written > 0 else {
                throw HistoryFiles.failure(
                    "cannot write the file", path, result.written < 0 ? result.error : ENOSPC)
            }
            offset += result.written
        }
        buffer.removeAll(keepingCapacity: true)
    }
}

/// A file that is read in pieces; kept open, so that it can be read to the end after its name has gone.
final class HistoryFile: Sendable {
    let path: String
    private let descriptor: Int32

    init(_ path: String) throws(HistoryError) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw errno == ENOENT
                ? HistoryError(.missing, "a segment is missing; restore it", path: path)
                : HistoryFiles.failure("cannot open the file", path, errno)
        }
    }

    deinit { close(descriptor) }

    func size() throws(HistoryError) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw HistoryFiles.failure("cannot look at the file", path, errno)
        }
        return Int(status.st_size)
    }

    /// Returns when what was written of the file, by whoever, is on stable storage.
    func flush(_ device: HistoryDevice) throws(HistoryError) {
        let synced = device.sync(descriptor)
        guard synced == 0 else { throw HistoryFiles.failure("cannot flush the file", path, synced) }
    }

    /// Reads exactly so many bytes.
    func read(offset: UInt64, count: Int) throws(HistoryError) -> [UInt8] {
        var error: Int32 = 0
        var filled = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, length in
            while filled < count {
                guard let base = buffer.baseAddress else { break }
                let got = pread(descriptor, base + filled, count - filled, off_t(offset) + off_t(filled))
                if got < 0 {
                    if errno == EINTR { continue }
                    error = errno
                    break
                }
                if got == 0 { break }
                filled += got
            }
            length = filled
        }
        guard error == 0 else { throw HistoryFiles.failure("cannot read the file", path, error) }
        guard filled == count else { throw .damaged("the file ends too early", path, at: offset + UInt64(filled)) }
        return bytes
    }
}
