// SPDX-License-Identifier: Apache-2.0

/// Writes blocks, one at a time, each flushed before the next. Owned by the flushing thread.
///
/// After a write or a flush that failed nothing more is written: what the disk holds then is known only when the journal
/// is opened anew. A lack of space before anything was flushed is no failure; the same place is used again.
struct JournalWriter {
    private let directory: String
    private let device: any JournalDevice
    private let limits: JournalLimits
    private let clock: @Sendable () -> Int64

    private(set) var segment: JournalSegment
    private(set) var tail: JournalTail
    private(set) var failure: JournalError?
    /// Whether a mark stands behind the last block.
    private(set) var isMarked = false
    /// Bytes that the segment's file has room for.
    private var allocated: UInt64
    /// Up to here the file is known to hold zeros that were written, not allocated alone. The file system must note, for
    /// each flush, that allocated blocks have become data; where zeros are already, the same flush costs half. So now and
    /// then one flush writes zeros ahead for the many after it.
    private var zeroed: UInt64 = 0
    /// Bytes of small blocks written since the journal was opened: nobody knows how many are to come, so no more than that is
    /// written ahead.
    private var written: UInt64 = 0

    /// What is written ahead at least.
    private static let zerosMin: UInt64 = 64 << 10
    /// Blocks of so many bytes are given to the disk as they lie in memory.
    private static let directBytesMin = 256 << 10
    private static let sectorBytes = 512

    init(
        directory: String, device: any JournalDevice, limits: JournalLimits, clock: @escaping @Sendable () -> Int64,
        segment: JournalSegment, tail: JournalTail, allocated: UInt64
    ) {
        self.directory = directory
        self.device = device
        self.limits = limits
        self.clock = clock
        self.segment = segment
        self.tail = tail
        self.allocated = allocated
    }

    /// Writes one block and flushes it.
    ///
    /// - Parameter buffer: room for the header, then the payload.
    /// - Returns: number of the block's first entry, and the new segment if one was begun.
    /// - Throws: `full`, nothing was written; `unavailable`, and so all later calls.
    mutating func write(
        _ buffer: PendingBuffer, count: UInt32
    ) throws(JournalError) -> (first: UInt64, begun: JournalSegment?) {
        if let failure { throw failure }
        var begun: JournalSegment?
        let block = buffer.block
        if tail.offset + UInt64(block.count) > limits.segmentBytes, tail.next > segment.header.first {
            begun = try roll()
        }
        let payload = UnsafeRawBufferPointer(rebasing: block[BlockHeader.byteCount...])
        let header = BlockHeader(
            salt: segment.header.salt, first: tail.next, count: count, payloadBytes: UInt32(payload.count),
            payloadChecksum: CRC32C.checksum(payload), chain: tail.chain, time: clock())
        let checksum = header.encode(into: block)
        let alignment = Int(segment.header.alignment)
        if block.count >= Self.directBytesMin, Self.sectorBytes...PendingBuffer.pageBytes ~= alignment {
            // Whole sectors: what is behind the block up to the next block's place is zero anyway.
            try writeDurably(UnsafeRawBufferPointer(buffer.block(paddedTo: alignment)))
        } else {
            try writeDurably(UnsafeRawBufferPointer(block))
        }
        isMarked = false
        let first = tail.next
        let end = tail.offset + header.stride(segment.header.alignment)
        segment.noteWritten(header, at: tail.offset, end: end)
        tail = JournalTail(next: header.next, offset: end, chain: checksum)
        return (first, begun)
    }

    private mutating func writeDurably(_ block: UnsafeRawBufferPointer) throws(JournalError) {
        let end = tail.offset + UInt64(block.count)
        let ahead = min(max(written, Self.zerosMin), limits.zeroAheadBytes)
        let zeroEnd = min(end + ahead, allocated)
        // Zeros pay where many small blocks share them.
        let isSmall = UInt64(block.count) * 4 <= limits.zeroAheadBytes
        if isSmall { written += UInt64(block.count) }
        do throws(JournalWriteError) {
            if end <= zeroed || end >= zeroEnd || !isSmall {
                try segment.file.writeDurably(block, at: tail.offset)
            } else {
                try segment.file.writeDurably(block, thenZerosTo: zeroEnd, at: tail.offset, path: segment.path)
                zeroed = zeroEnd
            }
        } catch {
            switch error {
            case .write(let error):
                // Nothing of it was flushed or promised; the next block overwrites what there is of it.
                if error.isNoSpace { throw .device(.full, error) }
                throw failed(error)
            case .sync(let error): throw failed(error)
            }
        }
        allocated = max(allocated, end)
    }

    /// Writes a mark behind the last block and flushes it, unless one is there.
    mutating func mark() throws(JournalError) {
        if let failure { throw failure }
        // A full disk gets no mark: it must not fail for it.
        guard !isMarked, tail.offset + UInt64(BlockHeader.byteCount) <= allocated else { return }
        var bytes = [UInt8](repeating: 0, count: BlockHeader.byteCount)
        let header = BlockHeader(
            salt: segment.header.salt, first: tail.next, count: 0, payloadBytes: 0, payloadChecksum: 0,
            chain: tail.chain, time: clock())
        bytes.withUnsafeMutableBytes { _ = header.encode(into: $0) }
        do throws(JournalDeviceError) {
            try segment.file.writeAll(bytes, at: tail.offset, path: segment.path)
        } catch {
            if error.isNoSpace { return }
            throw failed(error)
        }
        try sync()
        isMarked = true
    }

    private mutating func sync() throws(JournalError) {
        do throws(JournalDeviceError) {
            try segment.file.sync()
        } catch {
            throw failed(error)
        }
    }

    private mutating func failed(_ error: JournalDeviceError) -> JournalError {
        let error = JournalError.device(.unavailable, error)
        failure = error
        return error
    }

    /// Refuses when less than the reserve is free.
    static func checkSpace(
        _ directory: String, _ device: any JournalDevice, _ limits: JournalLimits, for bytes: UInt64
    ) throws(JournalError) {
        let free: UInt64
        do throws(JournalDeviceError) {
            free = try device.freeBytes(directory)
        } catch {
            throw .device(.unavailable, error)
        }
        guard free >= limits.reserveBytes else {
            throw JournalError(
                .full,
                "\(free) bytes are free, less than the reserve of \(limits.reserveBytes); free space on this disk",
                path: directory)
        }
    }

    // MARK: - Segments

    private mutating func roll() throws(JournalError) -> JournalSegment {
        let begun: (segment: JournalSegment, allocated: UInt64)
        do throws(JournalDeviceError) {
            begun = try Self.create(
                tail.next, after: (segment.header.first, tail.chain), directory: directory, device: device,
                limits: limits, time: clock())
            try KeptMark.write(tail.next, as: JournalFileNames.last, in: directory, device)
        } catch {
            if error.isNoSpace { throw .device(.full, error) }
            throw failed(error)
        }
        segment.index(tail).save(in: directory, device)
        segment = begun.segment
        allocated = begun.allocated
        zeroed = 0
        tail = JournalTail(
            next: tail.next, offset: UInt64(segment.header.alignment), chain: segment.headerChain)
        return segment
    }

    /// Makes a segment without blocks: whole and flushed under a name that means nothing, then renamed.
    static func create(
        _ first: UInt64, after previous: (first: UInt64, chain: UInt32)?, directory: String, device: any JournalDevice,
        limits: JournalLimits, time: Int64
    ) throws(JournalDeviceError) -> (segment: JournalSegment, allocated: UInt64) {
        let header = SegmentHeader(
            first: first, previousFirst: previous?.first, salt: device.randomBits(),
            previousChain: previous?.chain ?? 0, alignment: limits.blockAlignment, time: time,
            allocated: limits.segmentBytes)
        let (bytes, chain) = header.encoded()
        let path = directory + "/" + JournalFileNames.segment(first)
        let unfinished = directory + "/" + JournalFileNames.unfinishedSegment(first)
        let file = try device.open(unfinished, create: true)
        do throws(JournalDeviceError) {
            try file.allocate(limits.segmentBytes)
            try file.writeAll(bytes, at: 0, path: unfinished)
            try file.sync()
            try device.rename(unfinished, to: path)
        } catch {
            // Gives the space back, and lets a later attempt make the file.
            do throws(JournalDeviceError) { try device.remove(unfinished) } catch {}
            throw error
        }
        do throws(JournalDeviceError) {
            try device.syncDirectory(directory)
        } catch {
            // The name stands but may not last: that is a failed flush, whatever its number.
            throw JournalDeviceError(operation: error.operation, path: error.path, number: 5)
        }
        let segment = JournalSegment(file, path: path, header: header, chain: chain)
        segment.setEnd(UInt64(header.alignment))
        return (segment, limits.segmentBytes)
    }
}

extension JournalFile {
    /// Writes a block and zeros behind it, with one flush for both.
    fileprivate func writeDurably(
        _ block: UnsafeRawBufferPointer, thenZerosTo end: UInt64, at offset: UInt64, path: String
    ) throws(JournalWriteError) {
        do throws(JournalDeviceError) {
            try writeAll(block, at: offset, path: path)
            try writeZeros(offset + UInt64(block.count)..<end, path: path)
        } catch {
            throw .write(error)
        }
        do throws(JournalDeviceError) { try sync() } catch { throw .sync(error) }
    }
}
