// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import EventJournal

struct SegmentIndexTests {
    private let disk = SimulatedDisk()
    private let now = NowClock()

    private final class NowClock: Sendable {
        private let value = Mutex<Int64>(0)
        var milliseconds: Int64 { value.withLock { $0 } }
        func set(_ time: Int64) { value.withLock { $0 = time } }
    }

    /// Segments of about sixteen blocks of 16 KiB, so that each has several rows.
    private var limits: JournalLimits {
        var limits = TestJournal.limits
        limits.segmentBytes = 256 << 10
        return limits
    }

    private func open(_ limits: JournalLimits? = nil) throws -> Journal {
        try TestJournal.open(disk, limits: limits ?? self.limits, clock: { [now] in now.milliseconds })
    }

    /// Time of the block of each entry: it rises, but every seventh block is written by a clock that was put back.
    private static func time(_ number: Int) -> Int64 { Int64(number * 1000 - (number % 7 == 6 ? 20_000 : 0)) }

    private func fill(_ count: Int) async throws {
        let journal = try open()
        for number in 0..<count {
            now.set(Self.time(number))
            _ = try await journal.append(TestJournal.entry(number, bytes: 16000))
        }
        await journal.close()
    }

    private var indexes: [String] { disk.names.filter { $0.hasSuffix(".index") } }
    private var segments: [String] { disk.names.filter { $0.hasSuffix(".journal") } }

    /// What a search over all blocks would say.
    private func expected(_ time: Int64, of count: Int) -> UInt64 {
        UInt64((0..<count).first { Self.time($0) >= time } ?? count)
    }

    private func checkSeeking(_ journal: Journal, _ count: Int, _ comment: Comment) throws {
        for time in stride(from: Int64(-30_000), through: Int64(count * 1000 + 2000), by: 500) {
            #expect(
                try journal.number(writtenAtOrAfter: time) == expected(time, of: count), "\(comment), time \(time)")
        }
    }

    @Test func `the first entry written at a time or later is found, however the clock went`() async throws {
        let journal = try open()
        #expect(try journal.number(writtenAtOrAfter: 5) == 0)
        for number in 0..<50 {
            now.set(Self.time(number))
            _ = try await journal.append(TestJournal.entry(number, bytes: 16000))
        }
        try checkSeeking(journal, 50, "while it is written")
        await journal.close()
        let again = try open()
        try checkSeeking(again, 50, "opened anew")
        await again.close()
    }

    @Test func `each finished segment has an index that says what its blocks say`() async throws {
        try await fill(50)
        #expect(segments.count == 4 && indexes.count == 3)
        for name in indexes {
            let index = try #require(SegmentIndex.decode(disk.bytes(name)))
            #expect(index.rows.count == 4)
            #expect(SegmentIndex.decode(index.encoded()) == index)
            disk.delete(name)
        }
        // Without them the blocks are gone over, and the same indexes are made.
        let before = disk.names
        let journal = try open()
        try checkSeeking(journal, 50, "without indexes")
        await journal.close()
        #expect(Set(disk.names).subtracting(before).count == 3)
    }

    @Test func `an index that is torn, flipped, or of another segment is passed over`() async throws {
        try await fill(50)
        let whole = disk.bytes(indexes[0])
        let other = disk.bytes(indexes[1])
        var limits = limits
        limits.verifiedAtOpenBytesMax = 0
        for (content, name) in [
            (Array(whole.prefix(70)), "torn"), ([], "empty"), (other, "other"),
            (whole.enumerated().map { $0 == 100 ? $1 ^ 1 : $1 }, "flipped"), (whole + [0], "longer"),
        ] {
            disk.put(indexes[0], content)
            let journal = try open(limits)
            try checkSeeking(journal, 50, "\(name)")
            #expect(try TestJournal.entries(journal).count == 50)
            await journal.close()
        }
    }

    @Test func `opening reads headers, indexes, and the newest segments alone`() async throws {
        try await fill(200)
        #expect(segments.count == 14)
        var limits = limits
        limits.verifiedAtOpenBytesMax = 512 << 10
        let before = disk.state.withLock { $0.bytesRead }
        let journal = try open(limits)
        let read = disk.state.withLock { $0.bytesRead } - before
        // Two that are verified and the last, which is read once for its blocks and once for the zeros behind them.
        #expect(read < 5 * 256 << 10)
        #expect(journal.durableNumber == 200)
        await journal.close()
    }

    @Test func `seeking in a segment that has an index reads a little of it`() async throws {
        try await fill(200)
        var limits = limits
        limits.verifiedAtOpenBytesMax = 0
        let journal = try open(limits)
        let before = disk.state.withLock { $0.bytesRead }
        #expect(try journal.number(writtenAtOrAfter: 29_000) == 29)
        #expect(disk.state.withLock { $0.bytesRead } - before <= 256 << 10)
        await journal.close()
    }

    @Test func `a sealed segment that was cut short stops the start, though its blocks are not read`() async throws {
        try await fill(50)
        disk.edit(segments[0]) { $0.removeLast(512) }
        var limits = limits
        limits.verifiedAtOpenBytesMax = 0
        let error = #expect(throws: JournalError.self) { try open(limits) }
        #expect(error?.code == .damaged && error?.path == segments[0])
    }

    @Test func `a trim takes the indexes of its segments along, and opening those that are left over`() async throws {
        try await fill(50)
        let stray = disk.bytes(indexes[0])
        let journal = try open()
        try journal.trim(before: 31)
        #expect(indexes.count == 1 && segments.count == 2)
        await journal.close()
        disk.put(TestJournal.index(0), stray)
        let again = try open()
        #expect(indexes.count == 1)
        #expect(again.firstNumber == 30)
        await again.close()
    }

    @Test func `a disk that refuses the index refuses nothing else`() async throws {
        let journal = try open()
        for number in 0..<15 { _ = try await journal.append(TestJournal.entry(number, bytes: 16000)) }
        // The new segment, its flush and its mark come first: whichever write or open fails, entries must go on or be
        // refused, and the journal must open again with all that was acknowledged.
        var acknowledged = 15
        disk.fail(3, of: ["open"], with: 28)
        for number in 15..<20 where (try? await journal.append(TestJournal.entry(number, bytes: 16000))) != nil {
            acknowledged += 1
        }
        #expect(disk.hasFailed)
        #expect(acknowledged == 20)
        await journal.close()
        disk.kill()
        let again = try open()
        #expect(again.durableNumber == 20)
        await again.close()
    }
}
