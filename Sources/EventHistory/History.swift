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
    /// What is on disk. Touched on `sealQueue` only; the mutex makes that plain to the compiler.
    private let manifest: Mutex<HistoryManifest>
    private let indexQueue = DispatchQueue(label: "cairn.history.index")
    private let sealQueue = DispatchQueue(label: "cairn.history.seal")
    private let readQueue = DispatchQueue(label: "cairn.history.read", attributes: .concurrent)

    /// What readers take a copy of, and what is known about sealing. Guarded by `state`.
    private struct State {
        var snapshot = HistorySnapshot()
        /// Whether the snapshot's last group is still being filled.
        var hasPartial = false
        var isSealing = false
        var isClosed = false
        var malformed: UInt64 = 0
        var sealError: HistoryError?
        var maintenanceError: HistoryError?
        /// Milliseconds of the clock when a failed seal may be tried again.
        var sealAgainAt: Int64 = .min

        var fullGroups: ArraySlice<GroupView> { hasPartial ? snapshot.groups.dropLast() : snapshot.groups[...] }
    }

    /// What indexing works on. Touched on `indexQueue` only; the mutex makes that plain to the compiler.
    private struct Indexer: ~Copyable {
        var next: UInt64
        var builder: GroupBuilder
        /// Milliseconds of the clock at the oldest event that is in no segment.
        var oldestSince: Int64?
    }

    /// Opens a folder of segments, making it if need be, and checks that segments and journal together have every number.
    ///
    /// - Parameter clock: milliseconds, for the age of unsealed events and for retention.
    /// - Throws: `HistoryError`: manifest or segment damaged (`damaged`), a segment gone, or a range in no segment and no longer
    ///   in the journal (`missing`), segments that reach beyond the journal's end (`journal`).
    package static func open(
        directory: String, journal: Journal, limits: HistoryLimits, device: HistoryDevice,
        clock: @escaping @Sendable () -> Int64
    ) throws(HistoryError) -> History {
        let opened = try HistoryStore.open(directory)
        let end = opened.manifest.next
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
        try HistoryStore.keep(opened, directory, device)
        HistoryStore.removeLeftovers(opened, directory, device)
        return History(directory, journal, limits, device, clock, opened)
    }

    private init(
        _ directory: String, _ journal: Journal, _ limits: HistoryLimits, _ device: HistoryDevice,
        _ clock: @escaping @Sendable () -> Int64, _ opened: HistoryStore.Opened
    ) {
        self.directory = directory
        self.journal = journal
        self.limits = limits
        self.device = device
        self.clock = clock
        cache = HistoryCache(bytesMax: limits.cacheBytes)
        keys.store(UInt64(opened.segments.count) + 2, ordering: .relaxed)
        let next = opened.manifest.next
        let segments = opened.segments
        var state = State()
        state.snapshot = HistorySnapshot(segments: segments, groups: [], next: next, sealedThrough: next)
        self.state = Mutex(state)
        manifest = Mutex(opened.manifest)
        indexer = Mutex(
            Indexer(
                next: next, builder: GroupBuilder(key: UInt64(segments.count) + 1, capacity: limits.segmentEventsMax)))
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
            snapshot: state.withLock { $0.snapshot }, query: query, cutoffs: cutoffs(query), cache: cache,
            cancellation: cancellation)
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
            snapshot: state.withLock { $0.snapshot }, query: query, cutoffs: cutoffs(query), grouping: grouping,
            cache: cache, cancellation: cancellation, progress: progress)
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

    private func cutoffs(_ query: HistoryQuery) -> [HistoryRetention.Cutoff] {
        limits.retention.cutoffs(query.ownerAccount, now: clock() / 1000)
    }

    package var status: HistoryStatus {
        state.withLock { state in
            HistoryStatus(
                segments: state.snapshot.segments.count,
                sealedEvents: state.snapshot.segments.reduce(0) { $0 + UInt64($1.events) },
                openEvents: state.snapshot.groups.reduce(0) { $0 + $1.count }, next: state.snapshot.next,
                sealedThrough: state.snapshot.sealedThrough, malformedEntries: state.malformed,
                lastSealError: state.sealError, lastMaintenanceError: state.maintenanceError)
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
            while try self.sealOnce() {}
        }.get()
    }

    /// Merges segments and drops expired ones, as far as is due; returns when that is on stable storage. It goes on by itself
    /// whenever segments are sealed; call it now and then, so that events expire though nothing arrives.
    package func maintain() async throws(HistoryError) {
        try await Self.outcome(on: sealQueue) { () throws(HistoryError) in try self.maintainAll() }.get()
    }

    /// Compares every byte of every segment with its checksum.
    ///
    /// - Throws: `HistoryError.damaged` with file and offset of the first part that is not as it was written.
    package func verify() async throws(HistoryError) {
        let segments = state.withLock { $0.snapshot.segments }
        try await Self.outcome(on: readQueue) { () throws(HistoryError) in
            for segment in segments { try segment.verify() }
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
        var full: [GroupView] = []
        var malformed: UInt64 = 0
        let (next, partial) = try indexer.withLock { (indexer) throws(HistoryError) -> (UInt64, GroupView?) in
            try batch.forEach { (number, entry) throws(HistoryError) in
                if number < indexer.next { return }
                if !indexer.builder.group.hasRoom(for: entry.count)
                    || indexer.builder.group.rawBytes >= limits.segmentBytesMax
                {
                    full.append(closeGroup(&indexer))
                }
                if !(try add(entry, number, &indexer)) { malformed += 1 }
                indexer.next = number + 1
            }
            if let since = indexer.oldestSince, clock() - since >= limits.segmentAgeMax, indexer.builder.group.count > 0
            {
                full.append(closeGroup(&indexer))
            } else if indexer.builder.group.count == indexer.builder.group.capacity {
                full.append(closeGroup(&indexer))
            }
            let partial = indexer.builder.group.count > 0 ? indexer.builder.group.view(next: indexer.next) : nil
            return (indexer.next, partial)
        }
        publish(full, partial, next: next, malformed: malformed)
        sealIfDue()
    }

    /// Takes one entry in; false when its record is malformed.
    private func add(
        _ entry: UnsafeRawBufferPointer, _ number: UInt64, _ indexer: inout Indexer
    ) throws(HistoryError) -> Bool {
        guard let header = EventHeader.parse(entry) else {
            throw HistoryError(.journal, "entry \(number) of the journal has no envelope")
        }
        guard header.kind.isShown else { return true }
        let isWellFormed = indexer.builder.append(entry, related: header.related, number: number)
        if indexer.oldestSince == nil, indexer.builder.group.count > 0 { indexer.oldestSince = clock() }
        return isWellFormed
    }

    private func closeGroup(_ indexer: inout Indexer) -> GroupView {
        let view = indexer.builder.group.view(next: indexer.next)
        indexer.builder = GroupBuilder(
            key: keys.wrappingAdd(1, ordering: .relaxed).newValue, capacity: limits.segmentEventsMax)
        indexer.oldestSince = nil
        return view
    }

    private func freeze(_ indexer: inout Indexer) throws(HistoryError) {
        guard indexer.builder.group.count > 0 else { return }
        publish([closeGroup(&indexer)], nil, next: indexer.next, malformed: 0)
    }

    private func publish(_ full: [GroupView], _ partial: GroupView?, next: UInt64, malformed: UInt64) {
        state.withLock { state in
            if state.hasPartial { state.snapshot.groups.removeLast() }
            state.snapshot.groups.append(contentsOf: full)
            if let partial { state.snapshot.groups.append(partial) }
            state.hasPartial = partial != nil
            state.snapshot.next = next
            state.malformed += malformed
        }
    }

    // MARK: Sealing and maintenance, on their queue

    private var isTooMuchWaiting: Bool {
        let (count, events, bytes) = state.withLock { state in
            state.fullGroups.reduce((0, 0, 0)) { ($0.0 + 1, $0.1 + $1.count, $0.2 + $1.rawBytes) }
        }
        return events >= limits.segmentEventsMax * limits.waitingSegmentsMax
            || bytes >= limits.segmentBytesMax * limits.waitingSegmentsMax || count >= limits.waitingGroupsMax
    }

    /// Holds indexing up while too much waits to be sealed.
    private func awaitSealing() throws(HistoryError) {
        guard isTooMuchWaiting else { return }
        sealIfDue()
        sealQueue.sync {}
        guard isTooMuchWaiting else { return }
        let cause = state.withLock { $0.sealError }
        throw HistoryError(
            .behind,
            "segments cannot be written, so no more events are indexed: \(cause.map { "\($0)" } ?? "unknown cause")",
            path: directory)
    }

    private func sealIfDue() {
        let isDue = state.withLock { state in
            guard !state.isSealing, !state.isClosed, clock() >= state.sealAgainAt, !state.fullGroups.isEmpty else {
                return false
            }
            state.isSealing = true
            return true
        }
        guard isDue else { return }
        sealQueue.async { [self] in
            do throws(HistoryError) {
                while try sealOnce() {}
                try maintainAll()
            } catch {
                // Kept in the status, and tried again when events arrive later.
            }
            state.withLock { $0.isSealing = false }
        }
    }

    /// Writes the segment of the oldest full group; false if there is none.
    private func sealOnce() throws(HistoryError) -> Bool {
        guard
            let (view, first) = state.withLock({ state in
                state.fullGroups.first.map { ($0, state.snapshot.sealedThrough) }
            })
        else { return false }
        do throws(HistoryError) {
            try replace(nil, by: [.group(view, first: first)]) { segments, state in
                state.snapshot.segments.append(contentsOf: segments)
                state.snapshot.groups.removeFirst()
                state.snapshot.sealedThrough = view.next
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

    private func maintainAll() throws(HistoryError) {
        do throws(HistoryError) {
            while try maintainOnce() {}
            state.withLock { $0.maintenanceError = nil }
        } catch {
            state.withLock { $0.maintenanceError = error }
            throw error
        }
    }

    /// Does one merge or drop; false when none is due.
    private func maintainOnce() throws(HistoryError) -> Bool {
        let (segments, isClosed) = state.withLock { ($0.snapshot.segments, $0.isClosed) }
        if isClosed { return false }
        let maintenance = HistoryMaintenance(segments: segments, limits: limits, now: clock() / 1000, cache: cache)
        guard let step = try maintenance.next() else { return false }
        let old = segments[step.segments]
        var made: [HistoryStore.NewSegment] = []
        switch step.action {
        case .drop: break
        case .merge: made = [.merge(Array(old))]
        case .rewrite:
            guard let segment = old.first else { return false }
            made = [.kept(of: segment, maintenance)]
        }
        try replace(step.segments, by: made) { new, state in
            state.snapshot.segments.replaceSubrange(step.segments, with: new)
        }
        return true
    }

    /// Puts new segments in place of some others (nil: behind all). Whatever fails before the manifest is written leaves all as
    /// it was.
    private func replace(
        _ old: Range<Int>?, by made: [HistoryStore.NewSegment], _ show: ([HistorySegment], inout State) -> Void
    ) throws(HistoryError) {
        let store = HistoryStore(
            directory: directory, device: device, level: limits.compressionLevel, manifest: manifest.withLock { $0 })
        let change: HistoryStore.Change
        do throws(HistoryError) {
            change = try store.write(made, inPlaceOf: old) { keys.wrappingAdd(1, ordering: .relaxed).newValue }
        } catch {
            manifest.withLock { $0 = store.manifestAfterFailure }
            throw error
        }
        manifest.withLock { $0 = change.manifest }
        state.withLock { show(change.segments, &$0) }
        store.removeReplaced(by: change)
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
