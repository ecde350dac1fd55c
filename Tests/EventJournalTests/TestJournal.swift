// SPDX-License-Identifier: Apache-2.0

@testable import EventJournal

/// What the journal's tests share.
enum TestJournal {
    static let folder = "journal"

    /// Small segments, no marks by time, and nothing in memory: what is read comes from the disk.
    static var limits: JournalLimits {
        var limits = JournalLimits()
        limits.segmentBytes = 8192
        limits.markDelayMilliseconds = 0
        limits.recentBytesMax = 0
        limits.reserveBytes = 1 << 20
        return limits
    }

    static func open(
        _ disk: SimulatedDisk, limits: JournalLimits = limits, flushing: Journal.Flushing = .byThread,
        clock: @escaping @Sendable () -> Int64 = { 1_700_000_000_000 }
    ) throws(JournalError) -> Journal {
        try Journal.open(directory: folder, device: disk, limits: limits, clock: clock, flushing: flushing)
    }

    static func index(_ number: UInt64) -> String { folder + "/" + JournalFileNames.index(number) }

    static func segment(_ number: UInt64) -> String { folder + "/" + JournalFileNames.segment(number) }

    /// An entry that tells its number, of some length.
    static func entry(_ number: Int, bytes: Int = 300) -> [UInt8] {
        let text = Array("entry \(number) ".utf8)
        return text + [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: max(0, bytes - text.count))
    }

    static func entries(_ journal: Journal) throws(JournalError) -> [[UInt8]] {
        var all: [[UInt8]] = []
        var position = journal.firstNumber
        while position < journal.durableNumber {
            let batch = try journal.read(from: position, bytesMax: 1000)
            guard batch.next > position else { break }
            all += batch.entries.map { Array($0) }
            position = batch.next
        }
        return all
    }
}
