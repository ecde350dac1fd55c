// SPDX-License-Identifier: Apache-2.0
//
// What is known of a finished segment, in a small file beside it, `NUMBER.index`, so that nobody has to go over its blocks
// to seek in it. It says nothing that the segment does not: a file that is missing, torn, or of another segment is passed
// over, and the segment's blocks are asked. It is not flushed when it is written, for the same reason.
//
// All numbers are little endian:
//
//     offset  size  content
//          0     8  "CAIRNIDX"
//          8     4  format version, 1
//         12     4  CRC-32C of all bytes from 16 on
//         16     8  number of the segment's first entry
//         24     8  one past its last entry
//         32     8  salt of the segment
//         40     8  offset one past its last block, a multiple of the block alignment
//         48     8  latest time in any block header, milliseconds since 1970-01-01T00:00:00Z
//         56     4  header checksum of its last block
//         60     4  number of rows
//         64     -  rows of 24 bytes, one for about each 64 KiB, in rising order: number of a block's first entry, its
//                   offset, and the latest time in any header of this segment before it (all bits but the highest clear,
//                   and that set, when there is none)

struct SegmentIndex: Equatable {
    static let headerBytes = 64
    static let rowBytes = 24
    static let magic = UInt64(littleEndian: 0x5844_494E_5249_4143)
    static let version: UInt32 = 1

    var first: UInt64
    var next: UInt64
    var salt: UInt64
    var end: UInt64
    var latest: Int64
    var chain: UInt32
    var rows: [JournalSegment.Row]

    func encoded() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.headerBytes + rows.count * Self.rowBytes)
        bytes.withUnsafeMutableBytes { raw in
            raw.store(Self.magic, at: 0)
            raw.store(Self.version, at: 8)
            raw.store(first, at: 16)
            raw.store(next, at: 24)
            raw.store(salt, at: 32)
            raw.store(end, at: 40)
            raw.store(UInt64(bitPattern: latest), at: 48)
            raw.store(chain, at: 56)
            raw.store(UInt32(rows.count), at: 60)
            for (index, row) in rows.enumerated() {
                let offset = Self.headerBytes + index * Self.rowBytes
                raw.store(row.number, at: offset)
                raw.store(row.offset, at: offset + 8)
                raw.store(UInt64(bitPattern: row.before), at: offset + 16)
            }
            raw.store(CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[16...])), at: 12)
        }
        return bytes
    }

    /// nil when the bytes are not a whole index of this version.
    static func decode(_ bytes: [UInt8]) -> SegmentIndex? {
        bytes.withUnsafeBytes { raw -> SegmentIndex? in
            guard raw.count >= headerBytes, raw.load64(0) == magic, raw.load32(8) == version else { return nil }
            let count = Int(raw.load32(60))
            guard raw.count == headerBytes + count * rowBytes, count > 0 else { return nil }
            guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[16...])) == raw.load32(12) else { return nil }
            let rows = (0..<count).map { index in
                let offset = headerBytes + index * rowBytes
                return JournalSegment.Row(
                    number: raw.load64(offset), offset: raw.load64(offset + 8),
                    before: Int64(bitPattern: raw.load64(offset + 16)))
            }
            return SegmentIndex(
                first: raw.load64(16), next: raw.load64(24), salt: raw.load64(32), end: raw.load64(40),
                latest: Int64(bitPattern: raw.load64(48)), chain: raw.load32(56), rows: rows)
        }
    }

    // MARK: - Beside the segment

    static func path(_ directory: String, _ first: UInt64) -> String {
        directory + "/" + JournalFileNames.index(first)
    }

    /// Writes the file, or does not: nothing depends on it.
    func save(in directory: String, _ device: any JournalDevice) {
        let path = Self.path(directory, first)
        Self.remove(first, in: directory, device)
        do throws(JournalDeviceError) {
            try device.open(path, create: true).writeAll(encoded(), at: 0, path: path)
        } catch {
            Self.remove(first, in: directory, device)
        }
    }

    static func remove(_ first: UInt64, in directory: String, _ device: any JournalDevice) {
        do throws(JournalDeviceError) { try device.remove(path(directory, first)) } catch {}
    }

    /// The index of a segment, if it is there and fits it and the segment that follows.
    static func load(
        of segment: JournalSegment, before next: SegmentHeader, in directory: String, _ device: any JournalDevice
    ) -> SegmentIndex? {
        do throws(JournalDeviceError) {
            let file = try device.open(path(directory, segment.header.first), create: false)
            let size = try file.size()
            guard size <= 64 << 20, let index = decode(try file.bytes(at: 0, count: Int(size))) else { return nil }
            guard index.first == segment.header.first, index.salt == segment.header.salt, index.next == next.first,
                index.chain == next.previousChain, index.end <= (try segment.file.size()) + UInt64(UInt16.max) + 1
            else { return nil }
            return index
        } catch {
            return nil
        }
    }
}
