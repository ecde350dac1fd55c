// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
package import EventHistory
internal import EventJournal

/// The event history of a data folder whose server does not run, opened by a command that asks it itself.
///
/// It holds the folder's lock, so no server can start meanwhile. What the server had not indexed is indexed anew.
package struct LocalHistory: Sendable {
    package let history: History
    private let journal: Journal
    private let folder: DataFolder

    /// - Throws: what would keep a server from starting on the folder.
    package static func open(_ configuration: ServerConfiguration) throws -> LocalHistory {
        let folder = try DataFolder.open(configuration.dataFolder)
        do {
            guard folder.hasJournal else { throw DataFolder.lost("the journal", folder.journal) }
            let clock: @Sendable () -> Int64 = { SystemTime.now().milliseconds }
            let journal = try Journal.open(
                directory: folder.journal, device: POSIXJournalDevice(), limits: JournalLimits(), clock: clock)
            var limits = HistoryLimits()
            limits.retention = configuration.historyRetention
            let history = try History.open(
                directory: folder.history, journal: journal, limits: limits, device: .posix, clock: clock)
            return LocalHistory(history: history, journal: journal, folder: folder)
        } catch {
            folder.close()
            throw error
        }
    }

    package func close() async {
        await history.close()
        await journal.close()
        folder.close()
    }
}
