// SPDX-License-Identifier: Apache-2.0

internal import CDeflate
internal import Glibc

/// Reads log files, gzip or plain, one after another into the same memory; for one thread at a time.
package final class LogFileReader {
    private var stored = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var inflated = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private let decompressor: OpaquePointer
    private let contentBytesMax: Int

    /// - Throws: `memory`.
    package init(contentBytesMax: Int = LogFile.Limits.contentBytesMax) throws(LogFileError) {
        guard let decompressor = libdeflate_alloc_decompressor() else {
            throw LogFileError(.memory, "no memory for a decompressor")
        }
        self.decompressor = decompressor
        self.contentBytesMax = contentBytesMax
    }

    deinit {
        libdeflate_free_decompressor(decompressor)
        stored.deallocate()
        inflated.deallocate()
    }

    /// The content of a file: gzip (several members are taken) or plain. Good until the reader is used again, or goes.
    ///
    /// - Throws: `unreadable` with the system's reason; `damaged` at the member's offset, `tooLarge`.
    package func content(ofFile path: String) throws(LogFileError) -> UnsafeRawBufferPointer {
        try content(of: try read(path))
    }

    /// The content of a file whose bytes are given; good as long as these are, and until the reader is used again, or goes.
    ///
    /// - Throws: `damaged` at the member's offset, `tooLarge`.
    package func content(of file: UnsafeRawBufferPointer) throws(LogFileError) -> UnsafeRawBufferPointer {
        guard Gzip.isGzip(file) else {
            guard file.count <= contentBytesMax else {
                throw LogFileError(.tooLarge, "the content exceeds the limit")
            }
            return file
        }
        return try inflate(file)
    }

    private func read(_ path: String) throws(LogFileError) -> UnsafeRawBufferPointer {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.unreadable() }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.unreadable() }
        var filled = 0
        // One byte more than it has, so that its end is seen.
        Self.grow(&stored, to: min(max(Int(status.st_size), 4095), LogFile.Limits.fileBytesMax) + 1, keeping: 0)
        while true {
            if filled == stored.count {
                guard filled <= LogFile.Limits.fileBytesMax else {
                    throw LogFileError(.tooLarge, "the file exceeds the limit")
                }
                Self.grow(&stored, to: min(filled * 2, LogFile.Limits.fileBytesMax + 1), keeping: filled)
            }
            let room = UnsafeMutableRawBufferPointer(rebasing: stored[filled...])
            let got = Glibc.read(descriptor, room.baseAddress, room.count)
            if got < 0 {
                if errno == EINTR { continue }
                throw Self.unreadable()
            }
            if got == 0 { return UnsafeRawBufferPointer(rebasing: stored[..<filled]) }
            filled += got
        }
    }

    private static func unreadable() -> LogFileError {
        LogFileError(.unreadable, strerror(errno).map { String(cString: $0) } ?? "it cannot be read")
    }

    /// Inflates every member in turn.
    private func inflate(_ file: UnsafeRawBufferPointer) throws(LogFileError) -> UnsafeRawBufferPointer {
        var filled = 0
        var offset = 0
        // The last four bytes tell the size when there is one member; anything they say is only a first guess.
        let stated = file.suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        Self.grow(
            &inflated, to: min(max(stated, 1024), contentBytesMax, max(1 << 20, file.count * 64)), keeping: 0)
        repeat {
            var bytesRead = 0
            var bytesWritten = 0
            let room = UnsafeMutableRawBufferPointer(rebasing: inflated[filled..<min(inflated.count, contentBytesMax)])
            let verdict = libdeflate_gzip_decompress_ex(
                decompressor, file.baseAddress.map { $0 + offset }, file.count - offset, room.baseAddress, room.count,
                &bytesRead, &bytesWritten)
            switch verdict {
            case LIBDEFLATE_SUCCESS:
                offset += bytesRead
                filled += bytesWritten
            case LIBDEFLATE_INSUFFICIENT_SPACE where inflated.count < contentBytesMax:
                Self.grow(&inflated, to: min(max(inflated.count * 2, 1024), contentBytesMax), keeping: filled)
            case LIBDEFLATE_INSUFFICIENT_SPACE:
                throw LogFileError(.tooLarge, "the inflated content exceeds the limit", offset: offset)
            default:
                throw LogFileError(.damaged, "the gzip data is damaged or cut short", offset: offset)
            }
        } while offset < file.count
        return UnsafeRawBufferPointer(rebasing: inflated[..<filled])
    }

    private static func grow(_ memory: inout UnsafeMutableRawBufferPointer, to bytes: Int, keeping kept: Int) {
        guard bytes > memory.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 16)
        if kept > 0 { larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[..<kept])) }
        memory.deallocate()
        memory = larger
    }
}
