// SPDX-License-Identifier: Apache-2.0

import CDurableWrite
import Glibc
import Synchronization

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
    /// From so many bytes on, a durable write goes from memory to the disk, past the page cache: the kernel copies a few
    /// gigabytes a second, and sums of large blocks would be spent on pages that hardly anyone reads.
    private static let directBytesMin = 256 << 10
    private static let sectorBytes = 512

    private let descriptor: Int32
    private let path: String
    /// The same file opened for such writes; -1 before the first, -2 where there is no such thing.
    private let direct = Atomic<Int32>(-1)

    init(_ descriptor: Int32, _ path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit {
        let direct = direct.load(ordering: .relaxed)
        if direct >= 0 { close(direct) }
        close(descriptor)
    }

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
    ///
    /// Large writes whose begin, end and address are those of sectors go past the page cache (`O_DIRECT`) where the file
    /// system has that; it sees to it that both ways show the same bytes. Where it refuses, they go the other way.
    func writeDurably(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalWriteError) {
        if let direct = directDescriptor(bytes, offset) {
            let count = cdurablewrite(direct, bytes.baseAddress, bytes.count, Int64(offset))
            if count == bytes.count { return }
            if count < 0, errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS {
                // Sectors are larger than was thought, for example.
                close(direct)
                self.direct.store(-2, ordering: .relaxed)
            } else if count < 0, ![ENOSPC, EDQUOT, EINTR].contains(errno) {
                throw .sync(failure("pwritev2", path))
            }
        }
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

    /// Called by the thread that writes, one at a time.
    private func directDescriptor(_ bytes: UnsafeRawBufferPointer, _ offset: UInt64) -> Int32? {
        guard bytes.count >= Self.directBytesMin, bytes.count % Self.sectorBytes == 0,
            offset % UInt64(Self.sectorBytes) == 0, UInt(bitPattern: bytes.baseAddress) % 4096 == 0
        else { return nil }
        var found = direct.load(ordering: .relaxed)
        if found == -1 {
            found = cdurablewrite_direct(descriptor)
            if found < 0 { found = -2 }
            direct.store(found, ordering: .relaxed)
        }
        return found >= 0 ? found : nil
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

    /// Writes zeros over a range.
    func writeZeros(_ range: Range<UInt64>, path: String) throws(JournalDeviceError) {
        var position = range.lowerBound
        while position < range.upperBound {
            let count = min(UInt64(Zeros.bytes.count), range.upperBound - position)
            try writeAll(UnsafeRawBufferPointer(rebasing: Zeros.bytes[..<Int(count)]), at: position, path: path)
            position += count
        }
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

/// Zeros to write, made once and never written to.
private enum Zeros {
    nonisolated(unsafe) static let bytes: UnsafeRawBufferPointer = {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
        room.initializeMemory(as: UInt8.self, repeating: 0)
        return UnsafeRawBufferPointer(room)
    }()
}
