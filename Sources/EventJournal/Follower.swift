// SPDX-License-Identifier: Apache-2.0

/// Derives something from the journal, entry by entry in order, and saves how far it came with what it derived.
///
/// The contract: what `follow` derived and the position behind it become durable together, so that after a kill at any
/// instant `resume` gives the first entry that has not been taken. The same entries then give the same result again.
package protocol Follower: Sendable {
    /// For the log; a noun.
    var name: String { get }
    /// The saved position: number of the first entry that has not been taken.
    func resume() async throws -> UInt64
    /// Takes all entries of a batch, or throws; then the saved position may have moved over some of them, never past them.
    func follow(_ batch: JournalBatch) async throws
}

/// Drives one follower along the journal until it is cancelled or the journal is closed.
///
/// A failure is reported, and after a pause the follower is asked for its position again: the position is the only state.
/// Pauses double from `pauseFirst` to `pauseMax` and start anew after a batch that went well.
package struct FollowerLoop: Sendable {
    package struct Limits: Sendable {
        /// Bytes read at a time.
        package var readBytesMax = 1 << 20
        package var pauseFirst: Duration = .milliseconds(100)
        package var pauseMax: Duration = .seconds(30)

        package init() {}
    }

    private let follower: any Follower
    private let journal: Journal
    private let limits: Limits
    private let sleep: @Sendable (Duration) async throws -> Void
    private let report: @Sendable (any Error) -> Void

    /// - Parameters:
    ///   - sleep: waits for a time; throws when cancelled.
    ///   - report: is told each failure, for the log.
    package init(
        _ follower: any Follower, journal: Journal, limits: Limits,
        sleep: @escaping @Sendable (Duration) async throws -> Void, report: @escaping @Sendable (any Error) -> Void
    ) {
        self.follower = follower
        self.journal = journal
        self.limits = limits
        self.sleep = sleep
        self.report = report
    }

    /// Returns when the task is cancelled or the journal is closed; whatever was durable before a close is followed first.
    package func run() async {
        var pause = limits.pauseFirst
        while !Task.isCancelled {
            do {
                var position = try await follower.resume()
                guard position <= journal.durableNumber else {
                    throw JournalError(
                        .missing,
                        "\(follower.name) has taken entries up to \(position), but the journal ends at "
                            + "\(journal.durableNumber): the end of the journal was lost or another folder put in its "
                            + "place; restore the journal folder that belongs to this data")
                }
                while !Task.isCancelled {
                    _ = try await journal.waitForEntries(from: position)
                    let batch = try journal.read(from: position, bytesMax: limits.readBytesMax)
                    try await follower.follow(batch)
                    position = batch.next
                    pause = limits.pauseFirst
                }
            } catch is CancellationError {
                return
            } catch {
                if let error = error as? JournalError, error.code == .closed { return }
                report(error)
                do { try await sleep(pause) } catch { return }
                pause = min(pause * 2, limits.pauseMax)
            }
        }
    }
}
