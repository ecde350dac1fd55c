// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import EventJournal

struct JournalTests {
    private let disk = SimulatedDisk()

    /// Starts work that appends, and gives it time to reach the pending block.
    private func pending(_ journal: Journal, _ entries: [[[UInt8]]]) async -> [Task<Range<UInt64>, any Error>] {
        var tasks: [Task<Range<UInt64>, any Error>] = []
        for batch in entries {
            tasks.append(Task.immediate { try await journal.append(batch) })
        }
        return tasks
    }

    @Test func `entries are numbered from zero and read back`() async throws {
        let journal = try TestJournal.open(disk)
        #expect(journal.durableNumber == 0)
        #expect(journal.firstNumber == 0)
        #expect(try await journal.append([1, 2]) == 0)
        #expect(try await journal.append([]) == 1)
        #expect(try await journal.append(header: [3], body: [4, 5]) == 2)
        #expect(try await journal.append(byteCount: 2) { $0.copyBytes(from: [6, 7]) } == 3)
        #expect(try await journal.append([[8], [9]]) == 4..<6)
        #expect(try await journal.append([]) == 6..<6)
        let batch = try journal.read(from: 0, bytesMax: 1000)
        #expect(batch.first == 0)
        #expect(batch.next == 6)
        #expect(batch.entries.map { Array($0) } == [[1, 2], [], [3, 4, 5], [6, 7], [8], [9]])
        #expect(try journal.read(from: 5, bytesMax: 1).entries.map { Array($0) } == [[9]])
        #expect(try journal.read(from: 6, bytesMax: 1).entries.isEmpty)
        #expect(try journal.read(from: 600, bytesMax: 1).next == 600)
        await journal.close()
    }

    @Test func `all who wait share one flush`() async throws {
        let journal = try TestJournal.open(disk, flushing: .byHand)
        let tasks = await pending(journal, (0..<20).map { [TestJournal.entry($0, bytes: 50)] })
        let syncs = disk.state.withLock { $0.syncs }
        #expect(journal.flushPending())
        #expect(disk.state.withLock { $0.syncs } == syncs + 1)
        for (number, task) in tasks.enumerated() {
            #expect(try await task.value == UInt64(number)..<UInt64(number + 1))
        }
        #expect(!journal.flushPending())
        await journal.close()
    }

    @Test func `nothing is durable or readable before its flush`() async throws {
        let journal = try TestJournal.open(disk, flushing: .byHand)
        let tasks = await pending(journal, [[[1]]])
        #expect(journal.durableNumber == 0)
        #expect(try journal.read(from: 0, bytesMax: 10).entries.isEmpty)
        journal.flushPending()
        #expect(journal.durableNumber == 1)
        #expect(try await tasks[0].value == 0..<1)
        await journal.close()
    }

    @Test func `many callers each get their own number, across segments and blocks`() async throws {
        var limits = TestJournal.limits
        limits.blockBytesMax = 4000
        let journal = try TestJournal.open(disk, limits: limits)
        let callers = (0..<32).map { caller in
            Task {
                var numbers: [UInt64: [UInt8]] = [:]
                for turn in 0..<20 {
                    let entry = TestJournal.entry(caller * 1000 + turn, bytes: 100 + turn)
                    numbers[try await journal.append(entry)] = entry
                }
                return numbers
            }
        }
        var acknowledged: [UInt64: [UInt8]] = [:]
        for caller in callers { acknowledged.merge(try await caller.value) { first, _ in first } }
        #expect(acknowledged.count == 640)
        #expect(try TestJournal.entries(journal) == (0..<640).compactMap { acknowledged[$0] })
        #expect(disk.names.count > 3)
        await journal.close()
    }

    @Test func `a batch larger than a segment is still one block`() async throws {
        let journal = try TestJournal.open(disk)
        let batch = (0..<100).map { TestJournal.entry($0) }
        #expect(try await journal.append(TestJournal.entry(0)) == 0)
        #expect(try await journal.append(batch) == 1..<101)
        #expect(try await journal.append(TestJournal.entry(0)) == 101)
        #expect(try journal.read(from: 1, bytesMax: 1).entries.count == 100)
        await journal.close()
        let again = try TestJournal.open(disk)
        #expect(try TestJournal.entries(again).count == 102)
        await again.close()
    }

    @Test func `what is over a limit is refused and nothing appended`() async throws {
        var limits = TestJournal.limits
        limits.entryBytesMax = 100
        limits.batchBytesMax = 300
        limits.pendingBytesMax = 250
        let journal = try TestJournal.open(disk, limits: limits, flushing: .byHand)
        var error = await #expect(throws: JournalError.self) {
            try await journal.append([UInt8](repeating: 0, count: 101))
        }
        #expect(error?.code == .tooLarge)
        error = await #expect(throws: JournalError.self) {
            try await journal.append([[UInt8]](repeating: [UInt8](repeating: 0, count: 97), count: 3))
        }
        #expect(error?.code == .tooLarge)
        let tasks = await pending(journal, [[[UInt8](repeating: 1, count: 100)], [[UInt8](repeating: 2, count: 100)]])
        error = await #expect(throws: JournalError.self) { try await journal.append([UInt8](repeating: 0, count: 100)) }
        #expect(error?.code == .overloaded)
        journal.flushPending()
        for task in tasks { _ = try await task.value }
        #expect(journal.durableNumber == 2)
        await journal.close()
    }

    @Test func `a disk below the reserve refuses appends until there is room`() async throws {
        let journal = try TestJournal.open(disk)
        _ = try await journal.append([1])
        let before = disk.bytes(TestJournal.segment(0))
        disk.state.withLock { $0.free = 1000 }
        for _ in 0..<2 {
            let error = await #expect(throws: JournalError.self) { try await journal.append([2]) }
            #expect(error?.code == .full)
            #expect(!journal.isWritable)
        }
        #expect(disk.bytes(TestJournal.segment(0)) == before)
        disk.state.withLock { $0.free = 1 << 30 }
        #expect(journal.isWritable)
        #expect(try await journal.append([3]) == 1)
        await journal.close()
    }

    @Test func `closing flushes what waits and refuses what comes later`() async throws {
        let journal = try TestJournal.open(disk, flushing: .byHand)
        let tasks = await pending(journal, [[[1]], [[2], [3]]])
        await journal.close()
        #expect(try await tasks[0].value == 0..<1)
        #expect(try await tasks[1].value == 1..<3)
        let error = await #expect(throws: JournalError.self) { try await journal.append([4]) }
        #expect(error?.code == .closed)
        #expect(!journal.isWritable)
        await journal.close()
        #expect(try journal.read(from: 0, bytesMax: 100).entries.count == 3)
    }

    @Test func `a wait ends with the entry, with a cancellation, and with the journal`() async throws {
        let journal = try TestJournal.open(disk, flushing: .byHand)
        let waits = (0..<3).map { number in
            Task.immediate { try await journal.waitForEntries(from: UInt64(number)) }
        }
        let tasks = await pending(journal, [[[1]]])
        journal.flushPending()
        _ = try await tasks[0].value
        #expect(try await waits[0].value == 1)
        waits[1].cancel()
        await #expect(throws: CancellationError.self) { try await waits[1].value }
        await journal.close()
        let error = await #expect(throws: JournalError.self) { try await waits[2].value }
        #expect(error?.code == .closed)
        #expect(try await journal.waitForEntries(from: 0) == 1)
        await #expect(throws: JournalError.self) { try await journal.waitForEntries(from: 1) }
    }

    @Test func `a trim removes whole segments below a number and nothing else`() async throws {
        let journal = try TestJournal.open(disk)
        for number in 0..<60 { _ = try await journal.append(TestJournal.entry(number)) }
        try journal.trim(before: 3)
        #expect(journal.firstNumber == 0)
        try journal.trim(before: 31)
        let first = journal.firstNumber
        #expect(first > 15 && first <= 31)
        let error = #expect(throws: JournalError.self) { try journal.read(from: first - 1, bytesMax: 1) }
        #expect(error?.code == .trimmed)
        #expect(try TestJournal.entries(journal) == (Int(first)..<60).map { TestJournal.entry($0) })
        try journal.trim(before: .max)
        #expect(journal.firstNumber < 60)
        await journal.close()
        let again = try TestJournal.open(disk)
        #expect(again.firstNumber == journal.firstNumber)
        #expect(try await again.append([1]) == 60)
        await again.close()
    }

    @Test func `short writes make whole blocks`() async throws {
        disk.state.withLock { $0.isWritingShort = true }
        let journal = try TestJournal.open(disk)
        for number in 0..<30 { _ = try await journal.append(TestJournal.entry(number)) }
        await journal.close()
        let again = try TestJournal.open(disk)
        #expect(try TestJournal.entries(again) == (0..<30).map { TestJournal.entry($0) })
        await again.close()
    }

    @Test func `the files of the operating system serve as well as those of the tests`() async throws {
        var template = Array("/tmp/cairn-journal-XXXXXX".utf8CString)
        let path = try #require(template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } })
        let folder = String(cString: path)
        let device = POSIXJournalDevice()
        defer {
            for name in (try? device.list(folder)) ?? [] { try? device.remove(folder + "/" + name) }
            rmdir(folder)
        }
        for life in 0..<3 {
            let journal = try Journal.open(
                directory: folder, device: device, limits: TestJournal.limits, clock: { 0 })
            #expect(journal.durableNumber == UInt64(life * 40))
            for number in 0..<40 { _ = try await journal.append(TestJournal.entry(life * 40 + number)) }
            #expect(
                try TestJournal.entries(journal)
                    == (Int(journal.firstNumber)..<(life + 1) * 40).map { TestJournal.entry($0) })
            try journal.trim(before: UInt64(life * 30))
            await journal.close()
        }
        let missing = #expect(throws: JournalError.self) {
            try Journal.open(directory: folder + "/none", device: device, limits: TestJournal.limits, clock: { 0 })
        }
        #expect(missing?.code == .inputOutput)
    }
}
