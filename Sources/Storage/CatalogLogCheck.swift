// SPDX-License-Identifier: Apache-2.0
//
// Reads SQLite's write-ahead log before SQLite does. SQLite takes the first frame whose checksum is wrong for the end of the
// log, which is right after a crash and wrong after a flipped bit: all later commits would be gone in silence. A frame that
// fails while a later one of the same log is whole proves damage.
//
// Source of the format: SQLite documentation, "Database File Format", section 4 (the write-ahead log):
//   header, 32 bytes, big endian: magic 0x377f0682 or ...83 (the last bit: checksums over big-endian words), version,
//   page size, checkpoint number, salt 1, salt 2, checksum 1, checksum 2 (over the first 24 bytes)
//   frame: page number, pages after commit (0: no commit), salt 1, salt 2, checksum 1, checksum 2 (over the first 8 bytes
//   of the frame's header and the page, continued from the frame before), then the page

internal import Glibc

struct CatalogLogCheck {
    private static let headerBytes = 32
    private static let frameHeaderBytes = 24

    /// - Returns: what is wrong with the log, or nil: it is absent, whole, or ends in a torn write.
    static func problem(of path: String) -> String? {
        guard let bytes = read(path), bytes.count > headerBytes else { return nil }
        return bytes.withUnsafeBytes { raw -> String? in
            let magic = raw.big32(0)
            guard magic & ~1 == 0x377F_0682 else {
                return raw.contains { $0 != 0 } ? "its header is damaged" : nil
            }
            let isBigEndian = magic & 1 == 1
            let header = checksum(raw, 0..<24, from: (0, 0), isBigEndian)
            guard header == (raw.big32(24), raw.big32(28)) else { return "its header is damaged" }
            let pageBytes = Int(raw.big32(8))
            guard pageBytes >= 512, pageBytes <= 65536 else { return "its header is damaged" }
            let frameBytes = frameHeaderBytes + pageBytes
            var firstBad: Int?
            var before = header
            var offset = headerBytes
            while offset + frameBytes <= raw.count {
                let isOfThisLog = raw.big32(offset + 8) == raw.big32(16) && raw.big32(offset + 12) == raw.big32(20)
                let stored = (raw.big32(offset + 16), raw.big32(offset + 20))
                let head = checksum(raw, offset..<offset + 8, from: before, isBigEndian)
                let page = checksum(
                    raw, offset + frameHeaderBytes..<offset + frameBytes, from: head, isBigEndian)
                if isOfThisLog, page == stored {
                    if let firstBad { return "the frame at byte \(firstBad) is damaged, and later ones are whole" }
                } else if firstBad == nil {
                    firstBad = offset
                }
                before = stored
                offset += frameBytes
            }
            return nil
        }
    }

    /// SQLite's own sum over pairs of 32-bit words.
    private static func checksum(
        _ raw: UnsafeRawBufferPointer, _ range: Range<Int>, from start: (UInt32, UInt32), _ isBigEndian: Bool
    ) -> (UInt32, UInt32) {
        var (a, b) = start
        for offset in stride(from: range.lowerBound, to: range.upperBound, by: 8) {
            let x = isBigEndian ? raw.big32(offset) : raw.big32(offset).byteSwapped
            let y = isBigEndian ? raw.big32(offset + 4) : raw.big32(offset + 4).byteSwapped
            a = a &+ x &+ b
            b = b &+ y &+ a
        }
        return (a, b)
    }

    private static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                pread(descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done, off_t(done))
            }
            guard count > 0 else { break }
            done += count
        }
        return Array(bytes[..<done])
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func big32(_ offset: Int) -> UInt32 {
        UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
}
