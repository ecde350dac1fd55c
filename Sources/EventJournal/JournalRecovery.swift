// SPDX-License-Identifier: Apache-2.0
//
// Opening the journal after whatever happened. The cases, one test for each row (JournalRecoveryTests):
//
//     found                                                  done
//     nothing                                                a first segment is made
//     unfinished files (`.new`)                              removed
//     segments before the kept ones (an unfinished trim)     removed
//     blocks to the end, zeros after                         opened as it is
//     last segment: the block after the last whole one is    cut: the bytes are replaced by zeros
//       cut, torn, or garbage, and nothing valid follows
//     last segment: the same, but a valid block or a mark    error `damaged`: an acknowledged block is bad
//       of this segment follows
//     last segment: shorter than it was made                 error `damaged`: its end was cut off
//     an earlier segment: any block bad, or its end lost     error `damaged`: the next segment proves it was acknowledged
//     a segment header bad                                   error `damaged`: a segment has its name only when it is whole
//     a segment between two others not there                 error `missing`
//     the first segments not there, without a trim           error `missing`
//     the newest segment not there                           error `missing`: `last` names it
//     a segment of a later format version                    error `unknownVersion`
//
// Why a valid block after a bad one proves damage: a block is written only after the one before was flushed, and a mark
// only after all blocks were. Why it cannot be by chance: blocks repeat their segment's salt, which no writer of entries
// knows. What stays undecided: the very last block, when no mark was written behind it. See docs/journal-format.md.

/// What opening found: the segments, and where the next block goes.
struct RecoveredJournal {
    var segments: [JournalSegment]
    /// nil when there is no segment yet.
    var tail: JournalTail?
    /// Bytes of a torn tail that were cut.
    var bytesCut: UInt64 = 0
}

/// Where the next block goes in the last segment.
struct JournalTail {
    /// Number of the next entry.
    var next: UInt64
    var offset: UInt64
    /// The next block's chain value.
    var chain: UInt32
}

struct JournalRecovery {
    let directory: String
    let device: any JournalDevice
    let limits: JournalLimits

    /// Bytes read at a time.
    private static let windowBytes = 1 << 20

    func run() throws(JournalError) -> RecoveredJournal {
        let (numbers, kept) = try tidy()
        var segments: [JournalSegment] = []
        for number in numbers {
            let path = directory + "/" + JournalFileNames.segment(number)
            let segment = try JournalSegment.open(path, device: device, first: number)
            if let before = segments.last {
                guard let expected = segment.header.previousFirst, expected == before.header.first else {
                    let lost = segment.header.previousFirst ?? before.header.first
                    throw .missing(
                        "a segment of the journal is not there",
                        directory + "/" + JournalFileNames.segment(lost))
                }
            }
            segments.append(segment)
        }
        guard let last = segments.last else {
            guard kept == 0 else {
                throw .missing(
                    "the segment that begins the journal is not there",
                    directory + "/" + JournalFileNames.segment(kept))
            }
            return RecoveredJournal(segments: [])
        }
        guard numbers.first == kept else {
            throw .missing(
                "the segment that begins the journal is not there", directory + "/" + JournalFileNames.segment(kept))
        }
        try verify(segments)
        let (tail, lastBlock) = try walk(last, next: nil)
        let bytesCut = try settle(last, tail, lastBlock)
        last.setEnd(tail.offset)
        return RecoveredJournal(segments: segments, tail: tail, bytesCut: bytesCut)
    }

    // MARK: - The folder

    /// Removes what is unfinished.
    ///
    /// - Returns: first numbers of the segments in order, and of the first that is kept.
    private func tidy() throws(JournalError) -> (numbers: [UInt64], kept: UInt64) {
        let names: [String]
        do throws(JournalDeviceError) {
            names = try device.list(directory)
        } catch {
            throw .device(.inputOutput, error)
        }
        let kept = try mark(JournalFileNames.first, names) ?? 0
        let newest = try mark(JournalFileNames.last, names)
        if let newest, !names.contains(where: { JournalFileNames.number($0).map { $0 >= newest } ?? false }) {
            throw .missing(
                "the newest segment of the journal is not there", directory + "/" + JournalFileNames.segment(newest))
        }
        do throws(JournalDeviceError) {
            var isChanged = false
            for name in names where JournalFileNames.isUnfinished(name) {
                try device.remove(directory + "/" + name)
                isChanged = true
            }
            var numbers: [UInt64] = []
            for number in names.compactMap(JournalFileNames.number).sorted() {
                if number >= kept {
                    numbers.append(number)
                } else {
                    try device.remove(directory + "/" + JournalFileNames.segment(number))
                    isChanged = true
                }
            }
            // Indexes of segments that are no more.
            for name in names {
                guard let number = JournalFileNames.indexNumber(name), !numbers.contains(number) else { continue }
                SegmentIndex.remove(number, in: directory, device)
            }
            // Also settles a rename whose flush failed in a former life.
            if isChanged || !numbers.isEmpty { try device.syncDirectory(directory) }
            return (numbers, kept)
        } catch {
            throw .device(.inputOutput, error)
        }
    }

    /// The number in a mark; nil when there is none.
    private func mark(_ name: String, _ names: [String]) throws(JournalError) -> UInt64? {
        guard names.contains(name) else { return nil }
        let path = directory + "/" + name
        let bytes: [UInt8]
        do throws(JournalDeviceError) {
            bytes = try device.open(path, create: false).bytes(at: 0, count: 64)
        } catch {
            throw .device(.inputOutput, error)
        }
        guard let number = KeptMark.number(bytes) else {
            throw .damaged("the number in this file is damaged", path, at: 0)
        }
        return number
    }

    // MARK: - Blocks

    /// Compares the checksums of all segments but the last, newest first, as far as the limit goes.
    ///
    /// Of all of them an index is taken where there is one that fits; where there is none, and the blocks were gone over
    /// anyway, it is made.
    private func verify(_ segments: [JournalSegment]) throws(JournalError) {
        var left = limits.verifiedAtOpenBytesMax
        for index in stride(from: segments.count - 2, through: 0, by: -1) {
            let next = segments[index + 1].header
            let known = SegmentIndex.load(of: segments[index], before: next, in: directory, device)
            if let known { segments[index].adopt(known) }
            let size: UInt64
            do throws(JournalDeviceError) {
                size = try segments[index].file.size()
            } catch {
                throw .device(.inputOutput, error)
            }
            guard size >= segments[index].header.allocated else {
                throw .damaged(
                    "the segment has \(size) bytes, but was made with \(segments[index].header.allocated): its end was "
                        + "cut off", segments[index].path, at: size)
            }
            guard size <= left else {
                // The older ones are larger than what is left of the budget as well.
                left = 0
                continue
            }
            left -= size
            let (tail, _) = try walk(segments[index], next: next)
            segments[index].setEnd(tail.offset)
            if known == nil { segments[index].index(tail).save(in: directory, device) }
        }
    }

    /// Goes from block to block, from a segment's first to its last, comparing checksums.
    ///
    /// - Parameter next: header of the segment that follows; nil for the last, which may have a torn tail.
    /// - Returns: where the next block would go, and where the last block is.
    private func walk(
        _ segment: JournalSegment, next: SegmentHeader?
    ) throws(JournalError) -> (JournalTail, lastBlock: (offset: UInt64, count: Int)?) {
        let size: UInt64
        do throws(JournalDeviceError) {
            size = try segment.file.size()
        } catch {
            throw .device(.inputOutput, error)
        }
        var window = SegmentWindow(segment, limit: size, windowBytes: Self.windowBytes)
        let alignment = segment.header.alignment
        var tail = JournalTail(
            next: segment.header.first, offset: UInt64(alignment), chain: segment.headerChain)
        var lastBlock: (offset: UInt64, count: Int)?
        var latest = Int64.min
        while let (header, checksum) = try window.header(at: tail.offset) {
            // A whole header with this salt, out of line, was written by us, but not here.
            guard header.first == tail.next, header.chain == tail.chain else {
                throw .damaged("a block stands out of its order", segment.path, at: tail.offset)
            }
            if header.isMark { break }
            guard let payload = try window.payload(of: header, at: tail.offset) else { break }
            let isWhole = window.bytes.withUnsafeBytes {
                BlockPayload.forEach(UnsafeRawBufferPointer(rebasing: $0[payload]), count: header.count) { _ in }
            }
            guard isWhole else { throw .damaged("a block's entries do not add up", segment.path, at: tail.offset) }
            segment.note(header.first, at: tail.offset, before: latest)
            latest = max(latest, header.time)
            lastBlock = (tail.offset, BlockHeader.byteCount + payload.count)
            tail = JournalTail(
                next: header.next, offset: tail.offset + header.stride(alignment), chain: checksum)
        }
        segment.setLatest(latest)
        if let next {
            guard tail.next == next.first, tail.chain == next.previousChain else {
                throw .damaged(
                    "the block of entry \(tail.next) is damaged or lost", segment.path, at: tail.offset)
            }
        }
        return (tail, lastBlock)
    }

    /// Looks at what lies behind the last whole block of the last segment.
    ///
    /// - Returns: up to where it is not as it should be, zeros or a mark and zeros; nil when it is.
    /// - Throws: `damaged` when a later block or a mark is there, which proves that the bad one was acknowledged.
    private func dirtyEnd(_ segment: JournalSegment, _ tail: JournalTail) throws(JournalError) -> UInt64? {
        let size: UInt64
        do throws(JournalDeviceError) {
            size = try segment.file.size()
        } catch {
            throw .device(.inputOutput, error)
        }
        guard size >= segment.header.allocated else {
            throw .damaged(
                "the segment has \(size) bytes, but was made with \(segment.header.allocated): its end was cut off",
                segment.path, at: size)
        }
        guard tail.offset < size else { return nil }
        let alignment = UInt64(segment.header.alignment)
        var window = SegmentWindow(segment, limit: size, windowBytes: Self.windowBytes)
        var offset = tail.offset
        var dirty: UInt64?
        if let (header, _) = try window.header(at: offset), header.isMark {
            let rest = offset + UInt64(BlockHeader.byteCount)
            offset = min(offset + alignment, size)
            if rest < offset, !(try window.isZero(rest..<offset)) { dirty = offset }
        }
        while offset < size {
            let range = try window.range(at: offset, count: Int(min(UInt64(Self.windowBytes), size - offset)))
            guard !range.isEmpty else { break }
            let (isZero, isFollowed) = window.bytes.withUnsafeBytes { raw -> (Bool, Bool) in
                let rest = UnsafeRawBufferPointer(rebasing: raw[range])
                if rest.isZero { return (true, false) }
                for position in stride(from: 0, through: rest.count - BlockHeader.byteCount, by: Int(alignment)) {
                    guard rest.load32(position) == BlockHeader.magic else { continue }
                    let block = UnsafeRawBufferPointer(rebasing: rest[position...])
                    if let (header, _) = BlockHeader.decode(block, salt: segment.header.salt), header.first > tail.next
                    {
                        return (false, true)
                    }
                }
                return (false, false)
            }
            if isFollowed {
                throw .damaged(
                    "the block of entry \(tail.next) is damaged, but a later one is whole", segment.path,
                    at: tail.offset)
            }
            offset += UInt64(range.count)
            if !isZero { dirty = offset }
        }
        return dirty
    }

    /// Makes the end of the last segment what the writer needs: the last block surely on the disk, zeros behind it.
    ///
    /// The last block is written anew: when a flush fails, the kernel may keep a page that never reached the disk and call
    /// it clean, so that another flush alone would succeed without writing it.
    ///
    /// - Returns: the bytes that were cut.
    private func settle(
        _ segment: JournalSegment, _ tail: JournalTail, _ lastBlock: (offset: UInt64, count: Int)?
    ) throws(JournalError) -> UInt64 {
        let dirty = try dirtyEnd(segment, tail)
        do throws(JournalDeviceError) {
            let file = segment.file
            let size = try file.size()
            var bytesCut: UInt64 = 0
            if let dirty {
                bytesCut = size - tail.offset
                // Zeros are written rather than the file made shorter: it keeps the size that proves that it is whole.
                try file.writeZeros(tail.offset..<dirty, path: segment.path)
            }
            if let lastBlock {
                let bytes = try file.bytes(at: lastBlock.offset, count: lastBlock.count)
                try file.writeAll(bytes, at: lastBlock.offset, path: segment.path)
            }
            try file.sync()
            return bytesCut
        } catch {
            throw .device(.inputOutput, error)
        }
    }
}

/// The files `first` and `last`: the number of the first entry that is kept, and of the first entry of the newest segment,
/// in 20 digits, a space, and 8 hexadecimal digits of the CRC-32C of the 20, then a line feed.
enum KeptMark {
    /// Makes a mark durable.
    static func write(
        _ number: UInt64, as name: String, in directory: String, _ device: any JournalDevice
    ) throws(JournalDeviceError) {
        let unfinished = directory + "/" + name + ".new"
        // An attempt that failed may have left it.
        do throws(JournalDeviceError) { try device.remove(unfinished) } catch {}
        let file = try device.open(unfinished, create: true)
        try file.writeAll(encoded(number), at: 0, path: unfinished)
        try file.sync()
        try device.rename(unfinished, to: directory + "/" + name)
        try device.syncDirectory(directory)
    }

    static func encoded(_ number: UInt64) -> [UInt8] {
        let digits = Array(JournalFileNames.segment(number).utf8.prefix(20))
        let checksum = String(digits.withUnsafeBytes { CRC32C.checksum($0) }, radix: 16)
        return digits + Array((" " + String(repeating: "0", count: 8 - checksum.utf8.count) + checksum + "\n").utf8)
    }

    static func number(_ bytes: [UInt8]) -> UInt64? {
        guard bytes.count == 30, let number = UInt64(String(decoding: bytes.prefix(20), as: UTF8.self)),
            encoded(number) == bytes
        else { return nil }
        return number
    }
}
