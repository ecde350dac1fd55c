// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Numbered entries on this node's disk, in the order in which they were acknowledged. The on-disk form is told in
/// JournalFormat.swift.
///
/// An entry's life: `append` copies it into the pending block and waits; the flushing thread takes the pending block, writes
/// it with one write, flushes it with one `fdatasync`, gives its entries their numbers, and wakes all who wait. While it
/// does, the next block gathers. So each caller waits for one flush, or two, and all callers share them.
package final class Journal: Sendable {
    /// Who flushes.
    package enum Flushing: Sendable {
        /// A thread of the journal's own.
        case byThread
        /// Whoever calls `flushPending`; for simulations that run on one thread.
        case byHand
    }

    private let core: JournalCore

    private init(_ core: JournalCore) { self.core = core }

    deinit { core.beginClosing(nil) }

    /// Opens the journal in an existing folder, after recovery (see JournalRecovery.swift). The caller sees to it that no
    /// other process has the folder open.
    ///
    /// - Parameters:
    ///   - clock: milliseconds since 1970-01-01T00:00:00Z, for the block headers.
    ///   - answering: runs the body that resumes all who waited for a flush, for example so that each thread on which they
    ///     go on is woken once.
    /// - Throws: `damaged`, `missing`, `unknownVersion`, `inputOutput`, with path, place, and remedy.
    package static func open(
        directory: String, device: any JournalDevice, limits: JournalLimits, clock: @escaping @Sendable () -> Int64,
        flushing: Flushing = .byThread, answering: @escaping @Sendable (() -> Void) -> Void = { $0() }
    ) throws(JournalError) -> Journal {
        precondition(
            SegmentHeader.alignments.contains(limits.blockAlignment) && limits.blockAlignment.nonzeroBitCount == 1,
            "a block alignment is a power of two from 64 to 65536, not \(limits.blockAlignment)")
        let core = try JournalCore(
            directory: directory, device: device, limits: limits, clock: clock, flushing: flushing,
            answering: answering)
        let journal = Journal(core)
        if flushing == .byThread {
            guard FlushSignal.thread({ core.run() }) else {
                throw JournalError(.inputOutput, "the system refused a thread; raise the limit of threads")
            }
        }
        return journal
    }

    /// Number of the first entry that is kept; equal to `durableNumber` when there is none.
    package var firstNumber: UInt64 { core.firstNumber }
    /// One past the last entry on stable storage. The first entry ever has number 0.
    package var durableNumber: UInt64 { core.durable.load(ordering: .acquiring) }
    /// Whether an append could succeed now: not closed, not failed, and enough space at the last look.
    package var isWritable: Bool { core.isWritable }
    /// Bytes of a torn tail that were cut when the journal was opened.
    package var bytesCutAtOpen: UInt64 { core.bytesCutAtOpen }

    /// Appends one entry and returns when it is on stable storage.
    ///
    /// - Parameters:
    ///   - entry: at most `JournalLimits.entryBytesMax` bytes.
    ///   - usesReserve: for what finishes something, or changes nothing: it may take the space that is kept back, so that a
    ///     nearly full disk refuses changes and still records their end, and reads.
    /// - Returns: its number.
    /// - Throws: `full`, `overloaded`, `tooLarge`, `closed`: nothing was appended. `unavailable`: whether it was appended is
    ///   known only when the journal is opened anew.
    /// - Complexity: one copy; one flush for all who wait at that moment.
    package func append(_ entry: [UInt8], usesReserve: Bool = false) async throws(JournalError) -> UInt64 {
        try await append(byteCount: entry.count, usesReserve: usesReserve) { room in
            entry.withUnsafeBytes { room.copyMemory(from: $0) }
        }
    }

    /// Appends one entry that is given in two pieces; else as `append(_:)`.
    package func append(header: [UInt8], body: [UInt8]) async throws(JournalError) -> UInt64 {
        try await append(byteCount: header.count + body.count) { room in
            header.withUnsafeBytes { room.copyMemory(from: $0) }
            body.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: room[header.count...]).copyMemory(from: $0) }
        }
    }

    /// Appends one entry that the caller writes in place; else as `append(_:)`.
    ///
    /// - Parameter writing: fills the whole buffer. It runs under the journal's lock, before the first suspension: it must
    ///   be short and must not call the journal.
    package func append(
        byteCount: Int, usesReserve: Bool = false, writing: (UnsafeMutableRawBufferPointer) -> Void
    ) async throws(JournalError) -> UInt64 {
        try core.admit(byteCount, usesReserve: usesReserve)
        let outcome = await withUnsafeContinuation { continuation in
            core.enqueue(payload: byteCount + BlockPayload.lengthBytes, count: 1, continuation) { buffer in
                writing(buffer.add(byteCount))
            }
        }
        return try outcome.get()
    }

    /// Appends entries in one piece and returns when they are on stable storage: after a crash all are there, or none.
    ///
    /// - Parameter entries: at most `JournalLimits.batchBytesMax` bytes, with 4 for each entry.
    /// - Returns: their numbers, without a gap.
    /// - Throws: as `append(_:)`, then none was appended.
    package func append(
        _ entries: [[UInt8]], usesReserve: Bool = false
    ) async throws(JournalError) -> Range<UInt64> {
        try await append(byteCounts: entries.map(\.count), usesReserve: usesReserve) { index, room in
            entries[index].withUnsafeBytes { room.copyMemory(from: $0) }
        }
    }

    /// Appends entries that the caller writes in place; else as the one that takes them as arrays.
    ///
    /// - Parameters:
    ///   - byteCounts: of each entry.
    ///   - writing: fills the whole buffer of the entry with this index. It runs before the first suspension, and may run
    ///     under the journal's lock: it must be short and must not call the journal.
    package func append(
        byteCounts: [Int], usesReserve: Bool = false, writing: (Int, UnsafeMutableRawBufferPointer) -> Void
    ) async throws(JournalError) -> Range<UInt64> {
        guard let longest = byteCounts.max() else { return durableNumber..<durableNumber }
        try core.admit(longest, usesReserve: usesReserve)
        let payload = byteCounts.reduce(0) { $0 + $1 + BlockPayload.lengthBytes }
        guard payload <= core.limits.batchBytesMax else {
            throw JournalError(
                .tooLarge, "a batch of \(payload) bytes is over the limit of \(core.limits.batchBytesMax); cut it up")
        }
        let count = UInt32(byteCounts.count)
        func fill(_ buffer: PendingBuffer) {
            for (index, length) in byteCounts.enumerated() { writing(index, buffer.add(length)) }
        }
        let outcome: Result<UInt64, JournalError>
        if payload >= JournalCore.ownBlockBytes {
            // A block of its own, filled before the lock is taken.
            let buffer = core.largeBuffer(payload)
            fill(buffer)
            outcome = await withUnsafeContinuation { core.enqueue(buffer, payload: payload, count: count, $0) }
        } else {
            outcome = await withUnsafeContinuation { continuation in
                core.enqueue(payload: payload, count: count, continuation, fill)
            }
        }
        let first = try outcome.get()
        return first..<(first + UInt64(count))
    }

    /// Reads durable entries, whole blocks at a time.
    ///
    /// - Parameters:
    ///   - from: number of the first entry wanted.
    ///   - bytesMax: no further block is begun once so many bytes are held; at least one block is given.
    /// - Returns: entries from `from` on; none when it is not below `durableNumber`.
    /// - Throws: `trimmed`; `damaged` when a checksum differs; `inputOutput`.
    package func read(from: UInt64, bytesMax: Int) throws(JournalError) -> JournalBatch {
        try core.read(from: from, bytesMax: bytesMax)
    }

    /// Where to begin to read what was written at a time or after it.
    ///
    /// - Parameter time: milliseconds since 1970-01-01T00:00:00Z, by the clock given to `open`.
    /// - Returns: number of the first entry whose block was written then or later, so that every entry before it was
    ///   written earlier, however the clock went back and forth; `durableNumber` when there is none.
    /// - Throws: `damaged`; `inputOutput`.
    /// - Complexity: about 64 KiB read, at most; in segments that have lost their index, their headers once.
    package func number(writtenAtOrAfter time: Int64) throws(JournalError) -> UInt64 {
        try core.number(writtenAtOrAfter: time)
    }

    /// Returns as soon as the entry with a number is durable.
    ///
    /// - Returns: `durableNumber`, greater than `from`.
    /// - Throws: `JournalError.closed` once the journal is closed; `CancellationError`.
    package func waitForEntries(from: UInt64) async throws -> UInt64 {
        let durable = durableNumber
        if durable > from { return durable }
        try Task.checkCancellation()
        let id = core.nextFollower()
        defer { core.endWait(id) }
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { core.wait(from: from, id: id, $0) }
        } onCancel: {
            core.cancelWait(id)
        }
    }

    /// Removes whole segments that hold only entries below a number; the last segment stays.
    ///
    /// The new first number is durable before the first file goes, so an interrupted trim ends at the next open.
    package func trim(before number: UInt64) throws(JournalError) { try core.trim(before: number) }

    /// Flushes all that waits, writes the last mark, and refuses whatever comes later. May be called again.
    package func close() async { await withUnsafeContinuation { core.beginClosing($0) } }

    /// Writes and flushes one pending block, when `Flushing.byHand` was chosen.
    ///
    /// - Returns: whether there was one.
    @discardableResult
    package func flushPending() -> Bool { core.flushNext() != nil }

    /// Writes a mark behind the last block, as the thread does when it is idle; for `Flushing.byHand`.
    package func markIdle() { core.mark() }
}
