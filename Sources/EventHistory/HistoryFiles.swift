// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The file calls whose failures matter; a parameter so that tests can make them fail.
package struct HistoryDevice: Sendable {
    /// Like `write(2)`: bytes written, or -1 with the error number.
    package var write: @Sendable (_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> (written: Int, error: Int32)
    /// Like `fsync(2)`: 0 or the error number.
    package var sync: @Sendable (_ descriptor: Int32) -> Int32
    /// Like `rename(2)`: 0 or the error number.
    package var rename: @Sendable (_ from: String, _ to: String) -> Int32

    package init(
        write:
            @escaping @Sendable (_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> (written: Int, error: Int32),
        sync: @escaping @Sendable (_ descriptor: Int32) -> Int32,
        rename: @escaping @Sendable (_ from: String, _ to: String) -> Int32
    ) {
        self.write = write
        self.sync = sync
        self.rename = rename
    }

    /// The machine's own file system.
    package static let posix = HistoryDevice(
        write: { descriptor, bytes in
            let written = Glibc.write(descriptor, bytes.baseAddress, bytes.count)
            return (written, written < 0 ? errno : 0)
        },
        sync: { Glibc.fsync($0) == 0 ? 0 : errno },
        rename: { Glibc.rename($0, $1) == 0 ? 0 : errno })
}

/// Files as history uses them: written whole and renamed into place, read in pieces.
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

    static func remove(_ path: String) { _ = unlink(path) }

    /// Writes a file so that it is there whole or not at all: temporary name, fsync, rename, fsync of the folder.
    static func write(
        _ parts: [[UInt8]], to path: String, in directory: String, _ device: HistoryDevice
    ) throws(HistoryError) {
        let temporary = path + ".tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("cannot make the file", temporary, errno) }
        var isDone = false
        defer { if !isDone { _ = unlink(temporary) } }
        do throws(HistoryError) {
            for part in parts { try writeAll(part, descriptor, temporary, device) }
            let synced = device.sync(descriptor)
            guard synced == 0 else { throw failure("cannot flush the file", temporary, synced) }
        } catch {
            close(descriptor)
            throw error
        }
        guard close(descriptor) == 0 else { throw failure("cannot close the file", temporary, errno) }
        let renamed = device.rename(temporary, path)
        guard renamed == 0 else { throw failure("cannot rename the file", temporary, renamed) }
        isDone = true
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw failure("cannot open the folder", directory, errno) }
        let synced = device.sync(folder)
        close(folder)
        guard synced == 0 else { throw failure("cannot flush the folder", directory, synced) }
    }

    private static func writeAll(
        _ bytes: [UInt8], _ descriptor: Int32, _ path: String, _ device: HistoryDevice
    ) throws(HistoryError) {
        var offset = 0
        while offset < bytes.count {
            let result = bytes.withUnsafeBytes {
                device.write(descriptor, UnsafeRawBufferPointer(rebasing: $0[offset...]))
            }
            if result.written < 0, result.error == EINTR { continue }
            guard result.written > 0 else {
                throw failure("cannot write the file", path, result.written < 0 ? result.error : ENOSPC)
            }
            offset += result.written
        }
    }

    static func size(_ path: String) throws(HistoryError) -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else { throw failure("cannot look at the file", path, errno) }
        return Int(status.st_size)
    }

    /// Reads exactly so many bytes.
    static func read(_ path: String, offset: UInt64, count: Int) throws(HistoryError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("cannot open the file", path, errno) }
        defer { close(descriptor) }
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
        guard error == 0 else { throw failure("cannot read the file", path, error) }
        guard filled == count else { throw .damaged("the file ends too early", path, at: offset + UInt64(filled)) }
        return bytes
    }
}
