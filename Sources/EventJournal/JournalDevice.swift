// SPDX-License-Identifier: Apache-2.0

import CDurableWrite
import Glibc

/// The disk as the journal sees it. The seam where tests put a disk that fails, forgets, and tears.
package protocol JournalDevice: Sendable {
    /// Names in a folder, in any order.
    func list(_ directory: String) throws(JournalDeviceError) -> [String]
    /// Opens a file for reading and writing. With `create` it must not exist yet.
    func open(_ path: String, create: Bool) throws(JournalDeviceError) -> any JournalFile
    func rename(_ from: String, to: String) throws(JournalDeviceError)
    func remove(_ path: String) throws(JournalDeviceError)
    /// Makes creations, renames and removals in a folder durable.
    func syncDirectory(_ directory: String) throws(JournalDeviceError)
    /// Bytes on the disk of a folder that this process may still take.
    func freeBytes(_ directory: String) throws(JournalDeviceError) -> UInt64
    /// Unpredictable bits that tell one segment's blocks from all other bytes.
    func randomBits() -> UInt64
}

/// An open file; closed when the last reference goes.
package protocol JournalFile: AnyObject, Sendable {
    func size() throws(JournalDeviceError) -> UInt64
    /// Reads at an offset; may give less than asked, 0 only at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int
    /// Writes at an offset; may take less than given, but not nothing.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int
    /// Makes the file's bytes durable, and what of its metadata is needed to read them.
    func sync() throws(JournalDeviceError)
    /// Writes all bytes at an offset and makes them durable; what was written elsewhere in the file may wait for `sync`.
    ///
    /// - Throws: `write`: nothing was flushed, the bytes may be there in part; `sync`: what the disk holds is not known.
    func writeDurably(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalWriteError)
    /// Allocates space up to a size; the new bytes read as zero.
    func allocate(_ bytes: UInt64) throws(JournalDeviceError)
    func truncate(_ bytes: UInt64) throws(JournalDeviceError)
}

/// A call to the operating system that failed.
package struct JournalDeviceError: Error, Sendable, CustomStringConvertible {
    package var operation: String
    package var path: String
    /// The `errno` of the call.
    package var number: Int32

    package init(operation: String, path: String, number: Int32) {
        self.operation = operation
        self.path = path
        self.number = number
    }

    package var isNoSpace: Bool { number == ENOSPC || number == EDQUOT }

    package var description: String {
        "\(operation) failed with \(String(cString: strerror(number)))"
    }
}

/// The step of a durable write that failed.
package enum JournalWriteError: Error, Sendable {
    case write(JournalDeviceError)
    case sync(JournalDeviceError)
}

// MARK: - POSIX

/// Files of the operating system.
package struct POSIXJournalDevice: JournalDevice {
    package init() {}

    package func list(_ directory: String) throws(JournalDeviceError) -> [String] {
        guard let stream = opendir(directory) else { throw failure("opendir", directory) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    package func open(_ path: String, create: Bool) throws(JournalDeviceError) -> any JournalFile {
        let flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0)
        let descriptor = retrying { Glibc.open(path, flags, 0o600) }
        guard descriptor >= 0 else { throw failure("open", path) }
        return POSIXJournalFile(descriptor, path)
    }

    package func rename(_ from: String, to: String) throws(JournalDeviceError) {
        guard Glibc.rename(from, to) == 0 else { throw failure("rename", from) }
    }

    package func remove(_ path: String) throws(JournalDeviceError) {
        guard unlink(path) == 0 else { throw failure("unlink", path) }
    }

    package func syncDirectory(_ directory: String) throws(JournalDeviceError) {
        let descriptor = retrying { Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw failure("open", directory) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("fsync", directory) }
    }

    package func freeBytes(_ directory: String) throws(JournalDeviceError) -> UInt64 {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { throw failure("statvfs", directory) }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }

    package func randomBits() -> UInt64 { UInt64.random(in: .min ... .max) }
}

private final class POSIXJournalFile: JournalFile {
    private let descriptor: Int32
    private let path: String

    init(_ descriptor: Int32, _ path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(descriptor) }

    func size() throws(JournalDeviceError) -> UInt64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("fstat", path) }
        return UInt64(status.st_size)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int {
        let count = retrying { pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset)) }
        guard count >= 0 else { throw failure("pread", path) }
        return count
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int {
        let count = retrying { pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset)) }
        guard count >= 0 else { throw failure("pwrite", path) }
        return count
    }

    /// Not tried again on failure: the kernel may have dropped the pages, and a second call would lie.
    func sync() throws(JournalDeviceError) {
        guard fdatasync(descriptor) == 0 else { throw failure("fdatasync", path) }
    }

    /// With one system call: `pwritev2` with `RWF_DSYNC`, a write and an `fdatasync` of what it wrote. Where there is no such
    /// thing, or not all was written, both steps are made one by one; the write then makes every page dirty again, so that
    /// the flush passes over none.
    func writeDurably(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalWriteError) {
        let count = cdurablewrite(descriptor, bytes.baseAddress, bytes.count, Int64(offset))
        if count == bytes.count { return }
        if count < 0, ![ENOSPC, EDQUOT, EOPNOTSUPP, ENOSYS, EINVAL, EINTR].contains(errno) {
            throw .sync(failure("pwritev2", path))
        }
        do throws(JournalDeviceError) {
            try writeAll(bytes, at: offset, path: path)
        } catch {
            throw .write(error)
        }
        do throws(JournalDeviceError) {
            try sync()
        } catch {
            throw .sync(error)
        }
    }

    func allocate(_ bytes: UInt64) throws(JournalDeviceError) {
        let result = posix_fallocate(descriptor, 0, off_t(bytes))
        guard result == 0 else { throw JournalDeviceError(operation: "fallocate", path: path, number: result) }
    }

    func truncate(_ bytes: UInt64) throws(JournalDeviceError) {
        guard retrying({ ftruncate(descriptor, off_t(bytes)) }) == 0 else { throw failure("ftruncate", path) }
    }
}

private func failure(_ operation: String, _ path: String) -> JournalDeviceError {
    JournalDeviceError(operation: operation, path: path, number: errno)
}

private func retrying<Number: SignedInteger>(_ call: () -> Number) -> Number {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}

// MARK: - Whole reads and writes

extension JournalFile {
    /// Writes everything, however short the single writes are.
    func writeAll(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, path: String) throws(JournalDeviceError) {
        var done = 0
        while done < bytes.count {
            let count = try write(UnsafeRawBufferPointer(rebasing: bytes[done...]), at: offset + UInt64(done))
            guard count > 0 else { throw JournalDeviceError(operation: "write", path: path, number: EIO) }
            done += count
        }
    }

    func writeAll(_ bytes: [UInt8], at offset: UInt64, path: String) throws(JournalDeviceError) {
        let outcome = bytes.withUnsafeBytes { raw -> Result<Void, JournalDeviceError> in
            Result { () throws(JournalDeviceError) in try writeAll(raw, at: offset, path: path) }
        }
        try outcome.get()
    }

    /// Reads until the buffer is full or the file ends.
    ///
    /// - Returns: the bytes read.
    func readAll(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = try read(into: rest, at: offset + UInt64(done))
            guard count > 0 else { break }
            done += count
        }
        return done
    }

    /// As many bytes as there are, up to a count.
    func bytes(at offset: UInt64, count: Int) throws(JournalDeviceError) -> [UInt8] {
        var problem: JournalDeviceError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(JournalDeviceError) {
                initialized = try readAll(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                problem = error
            }
        }
        if let problem { throw problem }
        return bytes
    }
}
