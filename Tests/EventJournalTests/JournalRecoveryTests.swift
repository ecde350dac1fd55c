// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import EventJournal

/// The table at the head of JournalRecovery.swift, row by row.
struct JournalRecoveryTests {
    private let disk = SimulatedDisk()
    private let lone = TestJournal.segment(0)

    /// A journal of entries 0..<count that lost its process: no last mark.
    private func fill(_ count: Int, closing: Bool = false) async throws {
        let journal = try TestJournal.open(disk)
        for number in 0..<count { _ = try await journal.append(TestJournal.entry(number)) }
        let copy = disk.names.map { ($0, disk.bytes($0)) }
        await journal.close()
        if !closing { for (path, bytes) in copy { disk.edit(path) { $0 = bytes } } }
    }

    private func openFails(_ code: JournalError.Code, _ path: String, _ offset: UInt64? = nil) {
        let error = #expect(throws: JournalError.self) { try TestJournal.open(disk) }
        #expect(error?.code == code)
        #expect(error?.path == path)
        if let offset { #expect(error?.offset == offset) }
        #expect(error?.message.contains("restore") == true || code == .unknownVersion)
    }

    private func expectEntries(_ count: Int, cut: Bool) async throws {
        let journal = try TestJournal.open(disk)
        #expect(journal.durableNumber == UInt64(count))
        #expect(try TestJournal.entries(journal) == (0..<count).map { TestJournal.entry($0) })
        #expect((journal.bytesCutAtOpen > 0) == cut)
        #expect(try await journal.append(TestJournal.entry(count)) == UInt64(count))
        await journal.close()
        let again = try TestJournal.open(disk)
        #expect(try TestJournal.entries(again) == (0...count).map { TestJournal.entry($0) })
        #expect(again.bytesCutAtOpen == 0)
        await again.close()
    }

    /// Offset of a block in the only segment, where each entry makes a block of 512 bytes.
    private func block(_ index: Int) -> Int { 512 + index * 512 }

    @Test func `an empty folder becomes an empty journal`() async throws {
        try await expectEntries(0, cut: false)
    }

    @Test(arguments: [true, false])
    func `a whole journal opens as it is`(closing: Bool) async throws {
        try await fill(5, closing: closing)
        try await expectEntries(5, cut: false)
    }

    @Test func `unfinished files are removed`() async throws {
        try await fill(2)
        disk.put(TestJournal.folder + "/first.new", [1, 2])
        disk.put(TestJournal.segment(7) + ".new", [])
        try await expectEntries(2, cut: false)
        #expect(!disk.names.contains { $0.hasSuffix(".new") })
    }

    @Test func `files of others are left alone`() async throws {
        disk.put(TestJournal.folder + "/notes.txt", [1])
        try await expectEntries(0, cut: false)
        #expect(disk.names.contains(TestJournal.folder + "/notes.txt"))
    }

    @Test func `an unfinished trim is finished`() async throws {
        try await fill(40)
        let saved = disk.bytes(lone)
        let journal = try TestJournal.open(disk)
        try journal.trim(before: 40)
        let first = journal.firstNumber
        #expect(first > 0)
        await journal.close()
        disk.put(lone, saved)
        let again = try TestJournal.open(disk)
        #expect(again.firstNumber == first)
        #expect(!disk.names.contains(lone))
        await again.close()
    }

    @Test func `a cut last block is cut off, at every length`() async throws {
        try await fill(4)
        let whole = disk.bytes(lone)
        for length in stride(from: block(3) + 1, to: block(3) + 64 + 304, by: 7) {
            disk.edit(lone) { for index in length..<$0.count { $0[index] = 0 } }
            try await expectEntries(3, cut: true)
            disk.edit(lone) { $0 = whole }
        }
    }

    @Test func `a file that is shorter than it was made stops the start and is named`() async throws {
        try await fill(4)
        let whole = disk.bytes(lone)
        for length in [block(3), block(3) + 100, whole.count - 1] {
            disk.edit(lone) { $0 = Array(whole[..<length]) }
            #expect {
                try TestJournal.open(disk)
            } throws: { error in
                guard let error = error as? JournalError else { return false }
                return error.code == .damaged && error.path?.hasSuffix(lone) == true
            }
            disk.edit(lone) { $0 = whole }
        }
    }

    @Test func `a last block that ends in zeros is cut off`() async throws {
        try await fill(4)
        disk.edit(lone) { for index in block(3) + 200..<block(4) { $0[index] = 0 } }
        try await expectEntries(3, cut: true)
    }

    @Test func `garbage behind the last block is cut off`() async throws {
        try await fill(4)
        disk.edit(lone) { for index in block(4)..<block(6) { $0[index] = UInt8(truncatingIfNeeded: index &* 31 | 1) } }
        try await expectEntries(4, cut: true)
    }

    @Test func `every flipped bit before the last block stops the start`() async throws {
        try await fill(4)
        let end = block(3)
        for offset in 0..<end where !isPadding(offset) {
            disk.edit(lone) { $0[offset] ^= 0x10 }
            let error = #expect(throws: JournalError.self, "byte \(offset)") { try TestJournal.open(disk) }
            #expect(error?.path == lone)
            if offset >= 512 { #expect(error?.offset == UInt64(offset / 512 * 512)) }
            disk.edit(lone) { $0[offset] ^= 0x10 }
        }
    }

    @Test func `a flipped bit in the last block stops the start once a mark stands behind it`() async throws {
        try await fill(4, closing: true)
        for offset in block(3)..<block(4) where !isPadding(offset) {
            disk.edit(lone) { $0[offset] ^= 1 }
            openFails(.damaged, lone, UInt64(block(3)))
            disk.edit(lone) { $0[offset] ^= 1 }
        }
    }

    @Test func `a damaged mark loses nothing`() async throws {
        try await fill(4, closing: true)
        disk.edit(lone) { $0[block(4) + 20] ^= 1 }
        try await expectEntries(4, cut: true)
    }

    @Test func `a flipped bit or a lost end in an earlier segment stops the start`() async throws {
        try await fill(40)
        let offset = 512 + 512 * 5
        disk.edit(lone) { $0[offset + 100] ^= 1 }
        openFails(.damaged, lone, UInt64(offset))
        disk.edit(lone) { $0[offset + 100] ^= 1 }
        let whole = disk.bytes(lone)
        disk.edit(lone) { $0 = Array($0[..<(whole.count - 512)]) }
        openFails(.damaged, lone, UInt64(whole.count - 512))
        disk.edit(lone) { $0 = whole }
        let journal = try TestJournal.open(disk)
        #expect(try TestJournal.entries(journal).count == 40)
        await journal.close()
    }

    @Test func `damage beyond what is compared at the start is found when it is read`() async throws {
        try await fill(40)
        disk.edit(lone) { $0[512 * 6 + 100] ^= 1 }
        var limits = TestJournal.limits
        limits.verifiedAtOpenBytesMax = 0
        let journal = try TestJournal.open(disk, limits: limits)
        #expect(try journal.read(from: 0, bytesMax: 1).entries.count == 1)
        let error = #expect(throws: JournalError.self) { try journal.read(from: 5, bytesMax: 1) }
        #expect(error?.code == .damaged)
        #expect(error?.offset == 512 * 6)
        #expect(try journal.read(from: 39, bytesMax: 1).entries.map { Array($0) } == [TestJournal.entry(39)])
        await journal.close()
    }

    @Test func `segments whose ends were not looked for are read to their ends`() async throws {
        try await fill(60)
        for name in disk.names where name.hasSuffix(".index") { disk.delete(name) }
        var limits = TestJournal.limits
        limits.verifiedAtOpenBytesMax = 0
        let journal = try TestJournal.open(disk, limits: limits)
        #expect(try TestJournal.entries(journal) == (0..<60).map { TestJournal.entry($0) })
        #expect(try journal.read(from: 14, bytesMax: 100_000).first == 14)
        await journal.close()
    }

    @Test func `a segment missing in the middle stops the start`() async throws {
        try await fill(60)
        let second = try #require(disk.names.dropFirst().first)
        disk.delete(second)
        openFails(.missing, second)
    }

    @Test func `missing first segments stop the start`() async throws {
        try await fill(40)
        disk.delete(lone)
        openFails(.missing, lone)
    }

    @Test func `a journal that was trimmed and then emptied stops the start`() async throws {
        try await fill(40)
        let journal = try TestJournal.open(disk)
        try journal.trim(before: 40)
        await journal.close()
        for name in disk.names where name.hasSuffix(".journal") { disk.delete(name) }
        let error = #expect(throws: JournalError.self) { try TestJournal.open(disk) }
        #expect(error?.code == .missing)
    }

    @Test func `a damaged number of the first kept entry stops the start`() async throws {
        try await fill(40)
        let journal = try TestJournal.open(disk)
        try journal.trim(before: 40)
        await journal.close()
        disk.edit(TestJournal.folder + "/first") { $0[19] ^= 1 }
        openFails(.damaged, TestJournal.folder + "/first")
    }

    @Test func `a segment under a wrong name stops the start`() async throws {
        try await fill(3)
        let bytes = disk.bytes(lone)
        disk.put(TestJournal.segment(3), bytes)
        openFails(.damaged, TestJournal.segment(3))
    }

    @Test func `an empty segment file stops the start`() async throws {
        try await fill(40)
        let last = try #require(disk.names.last)
        disk.edit(last) { $0 = [] }
        openFails(.damaged, last, 0)
    }

    @Test func `a later version of the format is not touched`() async throws {
        try await fill(1)
        disk.edit(lone) { $0[8] = 2 }
        let before = disk.bytes(lone)
        openFails(.unknownVersion, lone)
        #expect(disk.bytes(lone) == before)
    }

    @Test func `entries that look like blocks prove nothing`() async throws {
        try await fill(2)
        let image = Array(disk.bytes(lone)[512..<1024])
        let other = SimulatedDisk(seed: 9)
        let journal = try TestJournal.open(other)
        // Whole blocks of another segment, at block boundaries, inside an entry of a block that is then torn.
        let entry = [UInt8](repeating: 1, count: 444) + image + image
        _ = try await journal.append(TestJournal.entry(0))
        _ = try await journal.append(entry)
        let bytes = other.bytes(lone)
        await journal.close()
        #expect(Array(bytes[(1024 + 512)..<(1024 + 1024)]) == image)
        other.edit(lone) {
            $0 = bytes
            $0[1024 + 70] ^= 1
        }
        let again = try TestJournal.open(other)
        #expect(again.durableNumber == 1)
        await again.close()
    }

    /// Bytes that no checksum covers: what fills up a header's or block's last sector.
    private func isPadding(_ offset: Int) -> Bool {
        offset < 512 ? offset >= 64 : (offset - 512) % 512 >= 64 + 4 + 300
    }
}
