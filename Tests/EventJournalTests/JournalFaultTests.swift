// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import EventJournal

/// Fails the n-th call of each kind, then the next, until a run passes untouched.
struct JournalFaultTests {
    /// What a run asked for and what it was told.
    private struct Run {
        /// Entries by number, as acknowledged.
        var acknowledged: [UInt64: [UInt8]] = [:]
        /// Entries whose appends failed with the outcome unknown.
        var unknown: Set<[UInt8]> = []
        var refused: Set<[UInt8]> = []
        var errors: [JournalError] = []
    }

    /// One life of a journal: singles, batches, new segments, a trim, a close.
    private func live(_ disk: SimulatedDisk, _ run: inout Run, from start: Int) async {
        do throws(JournalError) {
            let journal = try TestJournal.open(disk)
            for step in 0..<24 {
                let number = start + step * 10
                let entries =
                    step % 4 == 3 ? (0..<3).map { TestJournal.entry(number + $0) } : [TestJournal.entry(number)]
                do throws(JournalError) {
                    let range = try await journal.append(entries)
                    for (number, entry) in zip(range, entries) {
                        #expect(run.acknowledged[number] == nil)
                        run.acknowledged[number] = entry
                    }
                } catch {
                    run.errors.append(error)
                    if error.code == .unavailable {
                        run.unknown.formUnion(entries)
                    } else {
                        run.refused.formUnion(entries)
                    }
                }
                if step == 20 {
                    do throws(JournalError) { try journal.trim(before: start == 0 ? 12 : 30) } catch {
                        run.errors.append(error)
                    }
                }
            }
            await journal.close()
        } catch {
            run.errors.append(error)
        }
    }

    private func judge(_ disk: SimulatedDisk, _ run: Run, _ comment: String) async throws {
        let journal = try TestJournal.open(disk)
        let entries = try TestJournal.entries(journal)
        let first = journal.firstNumber
        for (number, entry) in run.acknowledged where number >= first {
            let index = Int(number - first)
            #expect(index < entries.count && entries[index] == entry, "\(comment): entry \(number)")
        }
        #expect(Set(entries).count == entries.count, "\(comment): an entry came twice")
        let known = Set(run.acknowledged.values).union(run.unknown)
        #expect(entries.allSatisfy { known.contains($0) }, "\(comment): a refused entry was appended")
        #expect(first <= 30)
        await journal.close()
    }

    @Test(
        arguments: [
            ["write"], ["sync"], ["allocate"], ["rename"], ["remove"], ["syncDirectory"], ["freeBytes"], ["open"],
            ["read"], ["list"], ["truncate"], ["size"], [],
        ] as [Set<String>], [EIO, ENOSPC])
    func `after any failed call, what was acknowledged is there once`(
        operations: Set<String>, number: Int32
    ) async throws {
        for isPowerCut in [false, true] {
            var n = 1
            while true {
                let disk = SimulatedDisk(seed: UInt64(n))
                var run = Run()
                await live(disk, &run, from: 0)
                // The second life begins with what the first left, and meets the fault.
                disk.fail(n, of: operations, with: number)
                await live(disk, &run, from: 1000)
                let hasFailed = disk.hasFailed
                disk.kill()
                if isPowerCut { disk.cutPower() }
                try await judge(disk, run, "\(operations) \(n) \(isPowerCut)")
                if !hasFailed { break }
                n += 1
            }
            #expect(n > 1 || operations == ["truncate"])
        }
    }

    @Test func `after a failed flush nothing is trusted`() async throws {
        let disk = SimulatedDisk()
        let journal = try TestJournal.open(disk)
        _ = try await journal.append([1])
        disk.fail(1, of: ["sync"])
        for _ in 0..<3 {
            let error = await #expect(throws: JournalError.self) { try await journal.append([2]) }
            #expect(error?.code == .unavailable)
        }
        #expect(!journal.isWritable)
        #expect(try journal.read(from: 0, bytesMax: 10).entries.map { Array($0) } == [[1]])
        #expect(journal.durableNumber == 1)
        await journal.close()
        disk.kill()
        // The pages that were never written count as clean now: opening writes them anew, so a power cut keeps them.
        let again = try TestJournal.open(disk, flushing: .byHand)
        let durable = again.durableNumber
        disk.cutPower()
        let last = try TestJournal.open(disk)
        #expect(last.durableNumber == durable)
        await last.close()
    }

    @Test func `a disk that fills up between looks refuses, and works again with room`() async throws {
        let disk = SimulatedDisk()
        let journal = try TestJournal.open(disk)
        _ = try await journal.append([1])
        disk.fail(1, of: ["write"], with: ENOSPC)
        let error = await #expect(throws: JournalError.self) { try await journal.append([2]) }
        #expect(error?.code == .full)
        #expect(try await journal.append([3]) == 1)
        await journal.close()
        let again = try TestJournal.open(disk)
        #expect(try TestJournal.entries(again) == [[1], [3]])
        await again.close()
    }
}
