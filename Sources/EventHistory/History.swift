// SPDX-License-Identifier: Apache-2.0

package import EventJournal
package import EventRecord
internal import Dispatch
internal import Synchronization

/// Finds events again: a follower of the journal that indexes what it reads and seals ranges of it into immutable segments.
///
/// Open it after the journal, run `run(pause:report:)` in a task, and close it before the journal. There is no position file:
/// the names of the segments say which journal numbers they cover, and indexing resumes at the end of the last. What is in no
/// segment is read from the journal again, so the journal may be trimmed only before `status.sealedThrough`.
///
/// Files are read and written, and events are indexed, on queues of its own, never on the cooperative pool.
package final class History: Sendable {
    private let directory: String
    private let journal: Journal
    private let limits: HistoryLimits
    private let device: HistoryDevice
    private let clock: @Sendable () -> Int64
    private let cache: HistoryCache
    private let keys = Atomic<UInt64>(1)
    private let state: Mutex<State>
    private let indexer: Mutex<Indexer>
    private let indexQueue = DispatchQueue(label: "cairn.history.index")
    private let sealQueue = DispatchQueue(label: "cairn.history.seal")
    private let readQueue = DispatchQueue(label: "cairn.history.read", attributes: .concurrent)

    /// What readers take a copy of, and what is known about sealing. Guarded by `state`.
    private struct State {
        var snapshot = HistorySnapshot()
        /// Whether the snapshot's last chunk is still being filled.
        var hasPartial = false
        var isSealing = false
        var isClosed = false
        var malformed: UInt64 = 0
        var sealError: HistoryError?
        /// Milliseconds of the clock when a failed seal may be tried again.
        var sealAgainAt: Int64 = .min

        var fullChunks: ArraySlice<OpenChunk> { hasPartial ? snapshot.chunks.dropLast() : snapshot.chunks[...] }
    }

    /// What indexing works on. Touched on `indexQueue` only; the mutex makes that plain to the compiler.
    private struct Indexer {
        var next: UInt64
        var builder: ChunkBuilder
        let writer: HistoryBlockWriter
        /// Milliseconds of the clock at the oldest event that is in no segment.
        var oldestSince: Int64?
        var ownerHashes: [UInt64: UInt64] = [:]
    }

    /// Opens a folder of segments, making it if need be, and checks that segments and journal together have every number.
    ///
    /// - Parameter clock: milliseconds, for the age of unsealed events.
    /// - Throws: `HistoryError`: a segment damaged (`damaged`), a range in no segment and no longer in the journal
    ///   (`missing`), segments that overlap, or that reach beyond the journal's end (`journal`).
    package static func open(
        directory: String, journal: Journal, limits: HistoryLimits, device: HistoryDevice,
        clock: @escaping @Sendable () -> Int64
    ) throws(HistoryError) -> History {
        try HistoryFiles.makeDirectory(directory)
        var segments: [HistorySegment] = []
        var end: UInt64 = 0
        for name in try HistoryFiles.names(directory) {
            let path = directory + "/" + name
            if name.hasSuffix(".segment.tmp") {
                HistoryFiles.remove(path)
                continue
            }
            guard let range = HistorySegment.range(ofName: name) else {
                throw HistoryError(.damaged, "this file is no segment; move it away", path: path)
            }
            guard range.first == end else {
                throw range.first > end
                    ? HistoryError(
                        .missing, "the segment before this one, from \(end) to \(range.first), is missing; restore it",
                        path: path)
                    : HistoryError(
                        .damaged,
                        "this segment overlaps the one before it, which ends at \(end); move one of them away",
                        path: path)
            }
            let segment = try HistorySegment(path, key: UInt64(segments.count) + 1)
            guard segment.first == range.first, segment.next == range.next else {
                throw .damaged("the segment's header names another range than its file name", path, at: 16)
            }
            segments.append(segment)
            end = segment.next
        }
        guard journal.firstNumber <= end else {
            throw HistoryError(
                .missing,
                "the journal begins at \(journal.firstNumber), the segments end at \(end); restore the segments between",
                path: directory)
        }
        guard end <= journal.durableNumber else {
            throw HistoryError(
                .journal,
                "the segments reach to \(end), the journal ends at \(journal.durableNumber); restore the journal",
                path: directory)
        }
        return try History(directory, journal, limits, device, clock, segments, next: end)
    }

    private init(
        _ directory: String, _ journal: Journal, _ limits: HistoryLimits, _ device: HistoryDevice,
        _ clock: @escaping @Sendable () -> Int64, _ segments: [HistorySegment], next: UInt64
    ) throws(HistoryError) {
        self.directory = directory
        self.journal = journal
        self.limits = limits
        self.device = device
        self.clock = clock
        cache = HistoryCache(bytesMax: limits.cacheBytes)
        keys.store(UInt64(segments.count) + 2, ordering: .relaxed)
        var state = State()
        state.snapshot = HistorySnapshot(segments: segments, chunks: [], next: next, sealedThrough: next)
        self.state = Mutex(state)
        let writer = try HistoryBlockWriter(level: limits.compressionLevel)
        indexer = Mutex(Indexer(next: next, builder: ChunkBuilder(key: UInt64(segments.count) + 1), writer: writer))
    }

    // MARK: Asking

    /// Finds a page of events, newest first. Everything durable in the journal at the time of the call is visible.
    ///
    /// - Throws: `HistoryError`: `invalidToken`; `damaged` with the file; `journal`; `cancelled`; `closed`.
    package func search(_ query: HistoryQuery) async throws(HistoryError) -> HistoryPage {
        var query = query
        query.limit = min(max(query.limit, 1), limits.pageEventsMax)
        if let token = query.token { _ = try HistoryToken(token, for: query.fingerprint) }
        try await catchUp()
        let cancellation = HistoryCancellation()
        let search = HistorySearch(
            snapshot: state.withLock { $0.snapshot }, query: query, cache: cache, cancellation: cancellation)
        let result = await withTaskCancellationHandler {
            await Self.outcome(on: readQueue) { () throws(HistoryError) in try search.page() }
        } onCancel: {
            cancellation.cancel()
        }
        return try result.get()
    }

    /// Counts all events that a query matches; its limit, order and token have no part in it. Everything durable in the journal
    /// at the time of the call is counted.
    ///
    /// - Parameter progress: told now and then, from any thread.
    /// - Throws: `HistoryError`: `damaged` with the file; `journal`; `cancelled`; `closed`.
    package func tally(
        _ query: HistoryQuery, _ grouping: EventTally.Grouping,
        progress: @escaping @Sendable (HistoryProgress) -> Void = { _ in }
    ) async throws(HistoryError) -> EventTally {
        try await catchUp()
        let cancellation = HistoryCancellation()
        let scan = HistoryScan(
            snapshot: state.withLock { $0.snapshot }, query: query, grouping: grouping, cache: cache,
            cancellation: cancellation, progress: progress)
        let result = await withTaskCancellationHandler {
            await Self.outcome(on: readQueue) { () throws(HistoryError) in try scan.tally() }
        } onCancel: {
            cancellation.cancel()
        }
        return try result.get()
    }

    /// Which of the ids an event already has, exactly. For import: ask in batches of a thousand or so.
    ///
    /// - Parameter ownerAccount: only events in this account's history count; nil for all.
    package func known(
        eventIDs: [String], ownerAccount: String?
    ) async throws(HistoryError) -> Set<String> {
        try await catchUp()
        let known = HistoryKnown(
            snapshot: state.withLock { $0.snapshot }, cache: cache, ownerAccount: ownerAccount)
        return try await Self.outcome(on: readQueue) { () throws(HistoryError) in try known.among(eventIDs) }.get()
    }

    /// Whether an event has the id.
    package func contains(eventID: String, ownerAccount: String?) async throws(HistoryError) -> Bool {
        try await known(eventIDs: [eventID], ownerAccount: ownerAccount).contains(eventID)
    }

    package var status: HistoryStatus {
        state.withLock { state in
            HistoryStatus(
                segments: state.snapshot.segments.count,
                sealedEvents: state.snapshot.segments.reduce(0) { $0 + UInt64($1.events) },
                openEvents: state.snapshot.chunks.reduce(0) { $0 + $1.columns.count }, next: state.snapshot.next,
                sealedThrough: state.snapshot.sealedThrough, malformedEntries: state.malformed,
                lastSealError: state.sealError)
        }
    }

    // MARK: Following

    /// Indexes what the journal takes in, until cancelled or closed: waits for entries, pauses, then reads all there are.
    ///
    /// - Parameters:
    ///   - pause: what lets entries gather, so that indexing costs the recording path little; a fifth of a second is good.
    ///     Searches do not wait for it.
    ///   - report: takes what went wrong; the next turn tries again after the pause.
    package func run(
        pause: @Sendable () async throws -> Void, report: @Sendable (HistoryError) -> Void
    ) async throws {
        while !Task.isCancelled {
            _ = try await journal.waitForEntries(from: state.withLock { $0.snapshot.next })
            try await pause()
            do throws(HistoryError) {
                try await catchUp()
            } catch {
                if error.code == .closed { return }
                report(error)
            }
        }
    }

    /// Indexes everything that is durable now.
    package func catchUp() async throws(HistoryError) {
        let target = journal.durableNumber
        let (isClosed, next) = state.withLock { ($0.isClosed, $0.snapshot.next) }
        if isClosed { throw HistoryError(.closed, "event history is closed") }
        if next >= target { return }
        try await Self.outcome(on: indexQueue) { () throws(HistoryError) in try self.index(through: target) }.get()
    }

    /// Seals everything that is indexed, whatever its size, and returns when it is on stable storage.
    package func seal() async throws(HistoryError) {
        try await catchUp()
        try await Self.outcome(on: indexQueue) { () throws(HistoryError) in
            try self.indexer.withLock { (indexer) throws(HistoryError) in try self.freeze(&indexer) }
        }.get()
        try await Self.outcome(on: sealQueue) { () throws(HistoryError) in
            while try self.sealOnce(atLeast: 1) {}
        }.get()
    }

    /// Waits for work under way and refuses all that comes after. Nothing is lost: what is unsealed is in the journal.
    package func close() async {
        state.withLock { $0.isClosed = true }
        for queue in [indexQueue, sealQueue] {
            _ = await Self.outcome(on: queue) { () throws(HistoryError) in }
        }
    }

    // MARK: Indexing, on its queue

    private func index(through target: UInt64) throws(HistoryError) {
        while true {
            let next = state.withLock { $0.snapshot.next }
            guard next < target else { return }
            let batch: JournalBatch
            do {
                batch = try journal.read(from: next, bytesMax: limits.journalReadBytes)
            } catch {
                throw HistoryError(.journal, "the journal cannot be read from \(next): \(error)")
            }
            guard batch.first <= next, batch.next > next else {
                throw HistoryError(.journal, "the journal gave no entry \(next) though it has \(target)")
            }
            try index(batch)
        }
    }

    private func index(_ batch: JournalBatch) throws(HistoryError) {
        try awaitSealing()
        var full: [OpenChunk] = []
        var malformed: UInt64 = 0
        var isOld = false
        let (next, partial) = try indexer.withLock { (indexer) throws(HistoryError) -> (UInt64, OpenChunk?) in
            for (offset, entry) in batch.entries.enumerated() {
                let number = batch.first + UInt64(offset)
                if number < indexer.next { continue }
                if !(try add(entry, number, &indexer)) { malformed += 1 }
                indexer.next = number + 1
                if indexer.builder.count >= limits.chunkEvents { full.append(try closeChunk(&indexer)) }
            }
            if let since = indexer.oldestSince, clock() - since >= limits.segmentAgeMax {
                isOld = true
                indexer.oldestSince = nil
                if indexer.builder.count > 0 { full.append(try closeChunk(&indexer)) }
            }
            let partial = indexer.builder.count > 0 ? indexer.builder.chunk(next: indexer.next) : nil
            return (indexer.next, partial)
        }
        publish(full, partial, next: next, malformed: malformed)
        sealIfDue(atLeast: isOld ? 1 : limits.segmentEventsMax)
    }

    /// Takes one entry in; false when its record is malformed.
    private func add(_ entry: ArraySlice<UInt8>, _ number: UInt64, _ indexer: inout Indexer) throws(HistoryError)
        -> Bool
    {
        var fields = EventFields()
        var isWellFormed = true
        var isShown = true
        let builder = entry.withUnsafeBytes { bytes -> Result<Void, HistoryError> in
            guard let header = EventHeader.parse(bytes) else {
                return .failure(HistoryError(.journal, "entry \(number) of the journal has no envelope"))
            }
            guard header.kind.isShown else {
                isShown = false
                return .success(())
            }
            let record = UnsafeRawBufferPointer(rebasing: bytes[EventEnvelope.headerBytes...])
            do throws(EventError) { try EventReader.scan(record, into: &fields) } catch { isWellFormed = false }
            let owner = EventColumn.ownerAccount.hash(UnsafeRawBufferPointer(rebasing: bytes[1..<13]))
            indexer.builder.columns.append(number: number, owner: owner, fields: fields, in: record)
            do throws(HistoryError) {
                try indexer.builder.append(bytes, indexer.writer, blockBytes: limits.blockBytes)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try builder.get()
        if isShown, indexer.oldestSince == nil { indexer.oldestSince = clock() }
        return isWellFormed
    }

    private func closeChunk(_ indexer: inout Indexer) throws(HistoryError) -> OpenChunk {
        try indexer.builder.closeBlock(indexer.writer)
        let chunk = indexer.builder.chunk(next: indexer.next)
        indexer.builder = ChunkBuilder(key: keys.wrappingAdd(1, ordering: .relaxed).newValue)
        return chunk
    }

    private func freeze(_ indexer: inout Indexer) throws(HistoryError) {
        guard indexer.builder.count > 0 else { return }
        publish([try closeChunk(&indexer)], nil, next: indexer.next, malformed: 0)
    }

    private func publish(_ full: [OpenChunk], _ partial: OpenChunk?, next: UInt64, malformed: UInt64) {
        state.withLock { state in
            if state.hasPartial { state.snapshot.chunks.removeLast() }
            state.snapshot.chunks.append(contentsOf: full)
            if let partial { state.snapshot.chunks.append(partial) }
            state.hasPartial = partial != nil
            state.snapshot.next = next
            state.malformed += malformed
        }
    }

    // MARK: Sealing, on its queue

    private func waiting(_ state: State) -> (events: Int, bytes: Int) {
        state.fullChunks.reduce((0, 0)) { ($0.0 + $1.columns.count, $0.1 + $1.rawBytes) }
    }

    private var isTooMuchWaiting: Bool {
        state.withLock { waiting($0).events >= limits.segmentEventsMax * limits.waitingSegmentsMax }
    }

    /// Holds indexing up while too much waits to be sealed.
    private func awaitSealing() throws(HistoryError) {
        guard isTooMuchWaiting else { return }
        sealIfDue(atLeast: limits.segmentEventsMax)
        sealQueue.sync {}
        guard isTooMuchWaiting else { return }
        let cause = state.withLock { $0.sealError }
        throw HistoryError(
            .behind,
            "segments cannot be written, so no more events are indexed: \(cause.map { "\($0)" } ?? "unknown cause")",
            path: directory)
    }

    private func sealIfDue(atLeast events: Int) {
        let isDue = state.withLock { state in
            let waiting = self.waiting(state)
            guard !state.isSealing, !state.isClosed, clock() >= state.sealAgainAt,
                waiting.events >= events || waiting.bytes >= limits.segmentBytesMax
            else { return false }
            state.isSealing = true
            return true
        }
        guard isDue else { return }
        sealQueue.async { [self] in
            do throws(HistoryError) {
                var least = events
                while try sealOnce(atLeast: least) { least = limits.segmentEventsMax }
            } catch {
                // Kept in the status, and tried again when events arrive later.
            }
            state.withLock { $0.isSealing = false }
        }
    }

    /// Writes one segment of the oldest full chunks if they hold so many events (or too many bytes); false if they do not.
    private func sealOnce(atLeast events: Int) throws(HistoryError) -> Bool {
        let (chunks, first) = state.withLock { state -> ([OpenChunk], UInt64) in
            let waiting = self.waiting(state)
            guard waiting.events > 0, waiting.events >= events || waiting.bytes >= limits.segmentBytesMax else {
                return ([], 0)
            }
            var taken: [OpenChunk] = []
            var count = 0
            var bytes = 0
            for chunk in state.fullChunks where count < limits.segmentEventsMax && bytes < limits.segmentBytesMax {
                taken.append(chunk)
                count += chunk.columns.count
                bytes += chunk.rawBytes
            }
            return (taken, state.snapshot.sealedThrough)
        }
        guard let last = chunks.last else { return false }
        do throws(HistoryError) {
            let path = try SegmentWriter.write(chunks, first: first, next: last.next, in: directory, device)
            let segment = try HistorySegment(path, key: keys.wrappingAdd(1, ordering: .relaxed).newValue)
            state.withLock { state in
                state.snapshot.segments.append(segment)
                state.snapshot.chunks.removeFirst(chunks.count)
                state.snapshot.sealedThrough = segment.next
                state.sealError = nil
                state.sealAgainAt = .min
            }
            return true
        } catch {
            let again = clock() + limits.sealRetryAfter
            state.withLock { state in
                state.sealError = error
                state.sealAgainAt = again
            }
            throw error
        }
    }

    // MARK: Queues

    private static func outcome<T: Sendable>(
        on queue: DispatchQueue, _ body: @escaping @Sendable () throws(HistoryError) -> T
    ) async -> Result<T, HistoryError> {
        await withCheckedContinuation { continuation in
            queue.async {
                do throws(HistoryError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
    }
}

extension History: Follower {
    package var name: String { "history" }

    /// Where indexing goes on.
    package func resume() async throws -> UInt64 { state.withLock { $0.snapshot.next } }

    /// Indexes a batch; what a search has indexed already is passed over.
    package func follow(_ batch: JournalBatch) async throws {
        try await Self.outcome(on: indexQueue) { () throws(HistoryError) in
            try self.index(through: batch.first)
            try self.index(batch)
        }.get()
    }
}
