// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import EventJournal
package import EventRecord
internal import Synchronization

/// Puts records that have been checked into the journal, each eventID once in an account: for `POST /events` and for channels.
///
/// One batch at a time looks up its ids and appends, so that two cannot take the same event. Sources that number their events are
/// kept account of in a `SourceLedger`; it is saved now and then with the journal number up to which it holds, and a start
/// reads the rest from the journal, which must be kept from `positionKept` on.
package final class RecordIntake: Sendable {
    /// Which of the ids an account's event history has already.
    package typealias KnownEvents =
        @Sendable (
            _ eventIDs: [String], _ account: String
        ) async throws(AWSError) -> Set<String>

    /// Where the ledger lies between two runs.
    package struct LedgerStore: Sendable {
        package var load: @Sendable () async throws(AWSError) -> [UInt8]?
        package var save: @Sendable ([UInt8]) async throws(AWSError) -> Void

        package init(
            load: @escaping @Sendable () async throws(AWSError) -> [UInt8]?,
            save: @escaping @Sendable ([UInt8]) async throws(AWSError) -> Void
        ) {
            self.load = load
            self.save = save
        }
    }

    /// What became of a batch.
    package struct Taken: Sendable {
        package var fresh = 0
        package var duplicates = 0
        /// Journal numbers; other entries may stand between those of two batches.
        package var numbers: Range<UInt64>?
        /// The numbers of the source that were not the expected ones.
        package var findings: [SourceSequence] = []
    }

    package let limits: IntakeLimits
    let budget: IntakeBudget
    private let journal: Journal
    private let known: KnownEvents
    private let backlog: @Sendable () -> UInt64
    private let pause: @Sendable (Int64) async throws -> Void
    private let clock: Clock
    private let store: LedgerStore
    private let turn = SerialTurn()
    private let state: Mutex<State>

    private struct State {
        var ledger: SourceLedger
        /// The ledger on the disk holds up to this journal number.
        var saved: UInt64
    }

    /// Reads the ledger and brings it up to the journal's end.
    ///
    /// - Parameters:
    ///   - backlog: how many events in the journal wait for what follows it.
    ///   - pause: sleeps so many milliseconds, throws when cancelled.
    package static func open(
        journal: Journal, store: LedgerStore, limits: IntakeLimits, clock: @escaping Clock,
        known: @escaping KnownEvents, backlog: @escaping @Sendable () -> UInt64,
        pause: @escaping @Sendable (Int64) async throws -> Void
    ) async throws(AWSError) -> RecordIntake {
        let end = journal.durableNumber
        var ledger = SourceLedger()
        var position = end
        if let document = try await store.load() {
            (ledger, position) = try SourceLedger.read(document)
            try replay(journal, from: position, into: &ledger)
        }
        let intake = RecordIntake(
            journal: journal, store: store, limits: limits, clock: clock, known: known, backlog: backlog, pause: pause,
            state: State(ledger: ledger, saved: min(position, end)))
        // Before the first numbered event there must be a position to read from.
        try await intake.saveLedger()
        return intake
    }

    private init(
        journal: Journal, store: LedgerStore, limits: IntakeLimits, clock: @escaping Clock,
        known: @escaping KnownEvents, backlog: @escaping @Sendable () -> UInt64,
        pause: @escaping @Sendable (Int64) async throws -> Void, state: State
    ) {
        self.journal = journal
        self.store = store
        self.limits = limits
        self.clock = clock
        self.known = known
        self.backlog = backlog
        self.pause = pause
        budget = IntakeBudget(limits)
        self.state = Mutex(state)
    }

    private static func replay(
        _ journal: Journal, from saved: UInt64, into ledger: inout SourceLedger
    ) throws(AWSError) {
        var position = max(saved, journal.firstNumber)
        while position < journal.durableNumber {
            let batch: JournalBatch
            do throws(JournalError) { batch = try journal.read(from: position, bytesMax: 4 << 20) } catch {
                throw .internalFailure(cause: "numbered sources: the journal cannot be read at \(position): \(error)")
            }
            guard batch.next > position else { return }
            for entry in batch.entries {
                guard let envelope = EventEnvelope.parse(entry), envelope.kind == .importedEvent,
                    let sequence = SourceSequence.read(envelope.record)
                else { continue }
                ledger.replay(sequence, account: envelope.ownerAccount, at: 0)
            }
            position = batch.next
        }
    }

    /// Journal entries at or above this number are still needed.
    package var positionKept: UInt64 { state.withLock(\.saved) }

    /// Makes the ledger durable as it is now.
    package func saveLedger() async throws(AWSError) {
        try await turn.run { () async throws(AWSError) in try await saveAlone() }
    }

    private func saveAlone() async throws(AWSError) {
        // Within the turn: no numbered event is on its way into the journal.
        let position = journal.durableNumber
        try await store.save(state.withLock { $0.ledger.document(position: position) })
        state.withLock { $0.saved = position }
    }

    /// The sources of an account, in the order of their names.
    package func sources(of account: String) -> [(name: String, source: SourceLedger.Source)] {
        state.withLock(\.ledger).sources.filter { $0.key.account == account }.sorted { $0.key < $1.key }
            .map { ($0.key.source, $0.value) }
    }

    // MARK: Back-pressure

    /// Refuses when too much waits already.
    ///
    /// - Throws: `ThrottlingException` (429) with Retry-After.
    package func checkRoom() throws(AWSError) {
        let waiting = backlog()
        guard waiting <= limits.backlogEventsMax else {
            throw .intakeBusy("\(waiting) events wait to be indexed or delivered", retryAfter: 5)
        }
    }

    /// Waits while too much waits already, for a body that is half taken; then as `checkRoom`.
    func awaitRoom() async throws(AWSError) {
        var waits = 0
        while backlog() > limits.backlogEventsMax, waits < limits.waitsMax {
            waits += 1
            do { try await pause(limits.waitMilliseconds) } catch { break }
        }
        try checkRoom()
    }

    // MARK: Taking

    /// Appends those of the batch that the account does not have yet; all are durable on return.
    ///
    /// - Parameter source: whose the numbers are; nil where the records have none.
    /// - Throws: 503 when the journal can take no more, 400 for one source too many; nothing of the batch was taken then.
    package func take(
        _ batch: [SourcedRecord], account: String, source: String?
    ) async throws(AWSError) -> Taken {
        guard !batch.isEmpty else { return Taken() }
        return try await turn.run { () async throws(AWSError) -> Taken in
            var seen = try await known(batch.map(\.eventID), account)
            let name = source.map { SourceLedger.Name(account: account, source: $0) }
            var ledger = state.withLock(\.ledger)
            if let name, !ledger.hasRoom(for: name) {
                throw AWSError(
                    "LimitExceededException", "There are \(SourceLedger.Limits.sourcesMax) numbered sources already.")
            }
            let now = clock().milliseconds
            var taken = Taken()
            var isUntraced = false
            var entries: [EventEnvelope] = []
            for item in batch {
                guard seen.insert(item.eventID).inserted else {
                    taken.duplicates += 1
                    if let name, let number = item.number {
                        isUntraced = ledger.noteKnown(number, of: name) || isUntraced
                    }
                    continue
                }
                var record = item.record
                if let name, let number = item.number {
                    let sequence = ledger.record(number, of: name, at: now)
                    record = sequence.appended(to: record)
                    if sequence.finding != nil { taken.findings.append(sequence) }
                }
                entries.append(
                    EventEnvelope(kind: .importedEvent, ownerAccount: account, record: record))
            }
            taken.fresh = entries.count
            if !entries.isEmpty {
                let appended = entries
                do throws(JournalError) {
                    taken.numbers = try await journal.append(byteCounts: appended.map(\.byteCount)) {
                        appended[$0].write(to: $1)
                    }
                } catch {
                    throw .unrecordable(error)
                }
            }
            let changed = ledger
            state.withLock { $0.ledger = changed }
            // What no entry of the journal tells must be saved, or a start would take it for a gap.
            if isUntraced { try await saveAlone() }
            return taken
        }
    }
}
