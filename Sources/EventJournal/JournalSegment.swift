// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// One segment file, open. The file closes when the last reader lets go, also after a trim.
final class JournalSegment: Sendable {
    /// Where a block begins, for some of the blocks: about one row for each 64 KiB, in rising order.
    struct Row: Equatable {
        var number: UInt64
        var offset: UInt64
        /// The latest time in any block header of this segment before it; `Int64.min` when there is none. Clocks go back,
        /// so this is not the time of the block before.
        var before: Int64
    }

    /// Bytes between rows.
    static let rowBytes: UInt64 = 64 << 10

    fileprivate struct State {
        var rows: [Row]
        /// One past the last durable block; nil in a segment before the last whose end has not been looked for.
        var end: UInt64?
        /// The latest time in any block header; nil as long as not all of them are known.
        var latest: Int64?
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
        state = Mutex(
            State(rows: [Row(number: header.first, offset: UInt64(header.alignment), before: .min)], end: nil))
    }

    /// One past the last durable block.
    var end: UInt64? { state.withLock { $0.end } }

    func setEnd(_ offset: UInt64) { state.withLock { $0.end = offset } }

    var latest: Int64? { state.withLock { $0.latest } }

    func setLatest(_ time: Int64) { state.withLock { $0.latest = time } }

    /// Notes where a block begins, if the last row is far enough.
    ///
    /// - Parameter before: the latest time in the headers before it.
    func note(_ number: UInt64, at offset: UInt64, before: Int64) {
        state.withLock { $0.note(number, at: offset, before: before) }
    }

    /// Notes a block that was written at the end.
    func noteWritten(_ header: BlockHeader, at offset: UInt64, end: UInt64) {
        state.withLock {
            let before = $0.latest ?? .min
            $0.note(header.first, at: offset, before: before)
            $0.latest = max(before, header.time)
            $0.end = end
        }
    }

    /// What an index of this segment says, which is finished.
    func index(_ tail: JournalTail) -> SegmentIndex {
        let (rows, latest) = state.withLock { ($0.rows, $0.latest) }
        return SegmentIndex(
            first: header.first, next: tail.next, salt: header.salt, end: tail.offset, latest: latest ?? .min,
            chain: tail.chain, rows: rows)
    }

    func adopt(_ index: SegmentIndex) {
        state.withLock {
            $0.rows = index.rows
            $0.end = index.end
            $0.latest = index.latest
        }
    }

    /// The last known block before which all headers are older than a time.
    func row(before time: Int64) -> Row {
        state.withLock { state in
            // The first row has nothing before it.
            var low = 0
            var high = state.rows.count
            while low + 1 < high {
                let middle = (low + high) / 2
                if state.rows[middle].before < time { low = middle } else { high = middle }
            }
            return state.rows[low]
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

extension JournalSegment.State {
    fileprivate mutating func note(_ number: UInt64, at offset: UInt64, before: Int64) {
        guard let last = rows.last, offset >= last.offset + JournalSegment.rowBytes else { return }
        rows.append(JournalSegment.Row(number: number, offset: offset, before: before))
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
