// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import Testing

@testable import EventJournal

struct RecentBlocksTests {
    private let disk = SimulatedDisk()

    private func limits(_ bytes: Int) -> JournalLimits {
        var limits = TestJournal.limits
        limits.segmentBytes = 4 << 20
        limits.recentBytesMax = bytes
        return limits
    }

    @Test func `a follower that is close behind reads nothing from the disk`() async throws {
        let journal = try TestJournal.open(disk, limits: limits(1 << 20))
        for number in 0..<40 { _ = try await journal.append(TestJournal.entry(number)) }
        let before = disk.state.withLock { $0.bytesRead }
        #expect(try TestJournal.entries(journal) == (0..<40).map { TestJournal.entry($0) })
        #expect(disk.state.withLock { $0.bytesRead } == before)
        await journal.close()
    }

    /// Blocks of all sizes: copied, kept in their own buffer, and too large to be kept.
    @Test(arguments: [0, 4096, 20_000, 1 << 20, 3 << 20], [UInt64(1), 2])
    func `whatever is in memory, a reader gets what was written, from every number on`(
        bytes: Int, seed: UInt64
    ) async throws {
        var random = SeededRandom(seed)
        let journal = try TestJournal.open(disk, limits: limits(bytes))
        var written: [[UInt8]] = []
        for _ in 0..<40 {
            let large = Int.random(in: 0..<8, using: &random) == 0
            let batch = (0..<Int.random(in: 1...5, using: &random)).map { _ in
                TestJournal.entry(
                    written.count, bytes: Int.random(in: 10...(large ? 300_000 : 3000), using: &random))
            }
            _ = try await journal.append(batch)
            written += batch
        }
        for from in 0..<written.count {
            let batch = try journal.read(from: UInt64(from), bytesMax: Int.random(in: 1...200_000, using: &random))
            let end = Int(batch.next)
            #expect(end > from)
            #expect(batch.entries.map { Array($0) } == Array(written[from..<end]))
            var given: [[UInt8]] = []
            batch.forEach { number, entry in
                #expect(number == UInt64(from + given.count))
                given.append(Array(entry))
            }
            #expect(given == Array(written[from..<end]))
        }
        await journal.close()
        let again = try TestJournal.open(disk, limits: limits(bytes))
        #expect(try TestJournal.entries(again) == written)
        await again.close()
    }

    @Test func `what a reader holds stays as it is while later blocks take the room`() async throws {
        let journal = try TestJournal.open(disk, limits: limits(2 << 20))
        let first = (0..<3).map { TestJournal.entry($0, bytes: 300_000) }
        _ = try await journal.append(first)
        let held = try journal.read(from: 0, bytesMax: 1)
        for number in 0..<12 {
            _ = try await journal.append((0..<3).map { _ in TestJournal.entry(number, bytes: 300_000) })
        }
        #expect(held.entries.map { Array($0) } == first)
        await journal.close()
    }

    @Test func `entries that were trimmed are not given from memory`() async throws {
        var limits = limits(1 << 20)
        limits.segmentBytes = 8192
        let journal = try TestJournal.open(disk, limits: limits)
        for number in 0..<60 { _ = try await journal.append(TestJournal.entry(number)) }
        try journal.trim(before: 50)
        let error = #expect(throws: JournalError.self) { try journal.read(from: 0, bytesMax: 1) }
        #expect(error?.code == .trimmed)
        await journal.close()
    }

    @Test func `large batches between small ones are on a real disk as they were written`() async throws {
        let folder = NSTemporaryDirectory() + "recent-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var limits = JournalLimits()
        limits.segmentBytes = 4 << 20
        limits.recentBytesMax = 0
        func open() throws -> Journal {
            try Journal.open(directory: folder, device: POSIXJournalDevice(), limits: limits, clock: { 0 })
        }
        let journal = try open()
        var written: [[UInt8]] = []
        for round in 0..<12 {
            let batch = (0..<(round % 3 == 0 ? 1 : 900)).map { TestJournal.entry(written.count + $0, bytes: 1000) }
            _ = try await journal.append(batch)
            written += batch
        }
        #expect(try TestJournal.entries(journal) == written)
        await journal.close()
        let again = try open()
        #expect(try TestJournal.entries(again) == written)
        await again.close()
    }
}
