// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import EventJournal

/// Power lost at random calls, with unflushed sectors and names kept or forgotten at random, over several lives.
struct JournalCrashTests {
    @Test(arguments: 0..<400)
    func `a power cut at any instant loses nothing acknowledged and stops no start`(seed: Int) async throws {
        var random = SeededRandom(UInt64(seed))
        let disk = SimulatedDisk(seed: random.next())
        disk.state.withLock { $0.isWritingShort = Bool.random(using: &random) }
        var acknowledged: [UInt64: [UInt8]] = [:]
        var tried: Set<[UInt8]> = []
        var trimmed: UInt64 = 0
        var serial = 0
        for life in 0..<4 {
            disk.fail(Int.random(in: 1...150, using: &random), losingPower: true)
            do throws(JournalError) {
                let journal = try TestJournal.open(disk)
                while true {
                    let count = Int.random(in: 1...6, using: &random)
                    var batch: [[UInt8]] = []
                    for _ in 0..<count {
                        batch.append(TestJournal.entry(serial, bytes: Int.random(in: 12...1500, using: &random)))
                        serial += 1
                    }
                    tried.formUnion(batch)
                    let range = try await journal.append(batch)
                    for (number, entry) in zip(range, batch) { acknowledged[number] = entry }
                    switch Int.random(in: 0..<20, using: &random) {
                    case 0..<5: journal.markIdle()
                    case 5:
                        trimmed = max(trimmed, journal.durableNumber / 2)
                        try journal.trim(before: trimmed)
                    case 6 where serial > 200: throw JournalError.closed
                    default: break
                    }
                }
            } catch {
                // The power is off, or the process gone.
            }
            if life % 3 == 2 { disk.kill() } else { disk.cutPower() }
            let journal = try TestJournal.open(disk)
            let entries = try TestJournal.entries(journal)
            let first = journal.firstNumber
            #expect(first <= trimmed)
            for (number, entry) in acknowledged where number >= first {
                let index = Int(number - first)
                try #require(index < entries.count && entries[index] == entry, "entry \(number) of life \(life)")
            }
            #expect(Set(entries).count == entries.count)
            #expect(tried.isSuperset(of: entries))
            // What was found is now acknowledged: it may not go away again.
            for (index, entry) in entries.enumerated() { acknowledged[first + UInt64(index)] = entry }
            if Bool.random(using: &random) { await journal.close() }
        }
    }
}
