// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// One segment file, open. The file closes when the last reader lets go, also after a trim.
final class JournalSegment: Sendable {
    /// Where a block begins, for some of the blocks: about one row for each 64 KiB, in rising order.
    struct Row {
        var number: UInt64
        var offset: UInt64
    }

    /// Bytes between rows.
    static let rowBytes: UInt64 = 64 << 10

    private struct State {
        var rows: [Row]
        /// One past the last durable block; nil in a segment before the last whose end has not been looked for.
        var end: UInt64?
    }

    let file: any JournalFile
    let path: String
    let header: SegmentHeader
    /// Checksum of the segment header, where the chain of blocks begins.
    let headerChain: UInt32
    private let state: Mutex<State>

    init(_ file: any JournalFile, path: String, header: SegmentHeader, chain: UInt32) {
        self.file = file
        self.path = path
        self.header = header
        headerChain = chain
        state = Mutex(State(rows: [Row(number: header.first, offset: UInt64(header.alignment))], end: nil))
    }

    /// One past the last durable block.
    var end: UInt64? { state.withLock { $0.end } }

    func setEnd(_ offset: UInt64) { state.withLock { $0.end = offset } }

    /// Notes where a block begins, if the last row is far enough.
    func note(_ number: UInt64, at offset: UInt64) {
        state.withLock {
            guard let last = $0.rows.last, offset >= last.offset + Self.rowBytes else { return }
            $0.rows.append(Row(number: number, offset: offset))
        }
    }

    /// The last known block that begins at or before an entry.
    func row(for number: UInt64) -> Row {
        state.withLock { state in
            var low = 0
            var high = state.rows.count
            while low + 1 < high {
                let middle = (low + high) / 2
                if state.rows[middle].number <= number { low = middle } else { high = middle }
            }
            return state.rows[low]
        }
    }
}

extension JournalSegment {
    /// Opens a finished segment file and reads its header.
    static func open(_ path: String, device: any JournalDevice, first: UInt64) throws(JournalError) -> JournalSegment {
        let file: any JournalFile
        let bytes: [UInt8]
        do throws(JournalDeviceError) {
            file = try device.open(path, create: false)
            bytes = try file.bytes(at: 0, count: SegmentHeader.byteCount)
        } catch {
            throw .device(.inputOutput, error)
        }
        switch bytes.withUnsafeBytes({ SegmentHeader.decode($0) }) {
        case .success(let (header, chain)):
            guard header.first == first else {
                throw .damaged("the file's name does not fit its first entry, \(header.first)", path, at: 16)
            }
            return JournalSegment(file, path: path, header: header, chain: chain)
        case .failure(.version(let version)):
            throw JournalError(
                .unknownVersion,
                "the file has format version \(version), newer than this program; use the newer program",
                path: path, offset: 8)
        case .failure(.damaged): throw .damaged("the segment header is damaged", path, at: 0)
        }
    }
}

/// Reads a segment's bytes through a window, so that many small blocks cost one read.
struct SegmentWindow {
    private let segment: JournalSegment
    /// No byte at or past this offset is read.
    private let limit: UInt64
    private let windowBytes: Int
    private(set) var bytes: [UInt8] = []
    private(set) var start: UInt64 = 0

    init(_ segment: JournalSegment, limit: UInt64, windowBytes: Int) {
        self.segment = segment
        self.limit = limit
        self.windowBytes = windowBytes
    }

    /// Makes a range of the file available.
    ///
    /// - Returns: its indices in `bytes`, fewer when the file ends before.
    mutating func range(at offset: UInt64, count: Int) throws(JournalError) -> Range<Int> {
        if offset < start || offset + UInt64(count) > start + UInt64(bytes.count) {
            let wanted = UInt64(max(count, windowBytes))
            let available = offset < limit ? limit - offset : 0
            do throws(JournalDeviceError) {
                // The old bytes go first, so that their memory can be used again.
                bytes = []
                bytes = try segment.file.bytes(at: offset, count: Int(min(wanted, available)))
            } catch {
                throw .device(.inputOutput, error)
            }
            start = offset
        }
        let low = min(Int(offset - start), bytes.count)
        return low..<min(low + count, bytes.count)
    }

    /// The header of the block at an offset; nil when there is none of this segment.
    mutating func header(at offset: UInt64) throws(JournalError) -> (BlockHeader, checksum: UInt32)? {
        let range = try range(at: offset, count: BlockHeader.byteCount)
        return bytes.withUnsafeBytes {
            BlockHeader.decode(UnsafeRawBufferPointer(rebasing: $0[range]), salt: segment.header.salt)
        }
    }

    /// The payload of a block: its indices in `bytes`; nil when it is cut or its checksum differs.
    mutating func payload(of header: BlockHeader, at offset: UInt64) throws(JournalError) -> Range<Int>? {
        let count = Int(header.payloadBytes)
        guard offset + UInt64(BlockHeader.byteCount + count) <= limit else { return nil }
        let range = try range(at: offset + UInt64(BlockHeader.byteCount), count: count)
        guard range.count == count else { return nil }
        let checksum = bytes.withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[range])) }
        return checksum == header.payloadChecksum ? range : nil
    }

    /// Whether all bytes of a range of the file are zero.
    mutating func isZero(_ offsets: Range<UInt64>) throws(JournalError) -> Bool {
        var offset = offsets.lowerBound
        while offset < offsets.upperBound {
            let range = try range(at: offset, count: Int(min(UInt64(windowBytes), offsets.upperBound - offset)))
            guard !range.isEmpty else { return true }
            guard bytes.withUnsafeBytes({ UnsafeRawBufferPointer(rebasing: $0[range]).isZero }) else { return false }
            offset += UInt64(range.count)
        }
        return true
    }
}
