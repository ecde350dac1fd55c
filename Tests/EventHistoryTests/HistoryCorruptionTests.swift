// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventRecord
import Foundation
import Synchronization
import Testing

struct HistoryCorruptionTests {
    private let owner = "111122223333"

    private func sealed(_ segments: Int = 1) async throws -> Bench {
        var random = SeededRandom(seed: 11)
        let bench = try Bench()
        for _ in 0..<segments {
            try await bench.append(0..<40, owner: owner, &random)
            try await bench.history.seal()
        }
        return bench
    }

    /// Opens anew, then reads every event and every column.
    private func readAll(_ bench: Bench) async throws {
        try await bench.reopen()
        for key in LookupAttribute.Key.allCases {
            _ = try await bench.all(HistoryQuery(ownerAccount: owner, filter: .lookup(.init(key, "x")), limit: 100))
        }
        _ = try await bench.all(
            HistoryQuery(
                ownerAccount: owner, region: "us-east-1", category: .data, filter: .lookup(.init(.readOnly, "true")),
                limit: 100))
        _ = try await bench.all(HistoryQuery(ownerAccount: owner, limit: 100))
    }

    @Test func `a flipped bit in any part of a segment is reported with the file`() async throws {
        let bench = try await sealed()
        let path = try #require(try bench.folder.segments().first)
        let good = try Data(contentsOf: URL(fileURLWithPath: path))
        try await readAll(bench)
        var random = SeededRandom(seed: 12)
        // The whole header and directory, and a sample of columns and blocks.
        let positions =
            Array(0..<700) + (0..<300).map { _ in Int.random(in: 700..<good.count, using: &random) } + [good.count - 1]
        for position in positions {
            var bad = good
            bad[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            try bad.write(to: URL(fileURLWithPath: path))
            let error = await #expect(throws: HistoryError.self, "byte \(position)") { try await readAll(bench) }
            #expect(error?.path == path)
            #expect(error?.code == .damaged)
        }
        try good.write(to: URL(fileURLWithPath: path))
        try await readAll(bench)
    }

    @Test(arguments: [0, 50, 96, 500, -1])
    func `a segment cut short is reported when it is opened`(_ length: Int) async throws {
        let bench = try await sealed()
        let path = try #require(try bench.folder.segments().first)
        let good = try Data(contentsOf: URL(fileURLWithPath: path))
        try good.prefix(length < 0 ? good.count + length : length).write(to: URL(fileURLWithPath: path))
        let error = await #expect(throws: HistoryError.self) { try await bench.reopen() }
        #expect(error?.path == path && error?.code == .damaged)
    }

    @Test func `a missing segment stops the opening`() async throws {
        let bench = try await sealed(3)
        let paths = try bench.folder.segments()
        #expect(paths.count == 3)
        try FileManager.default.removeItem(atPath: paths[1])
        let error = await #expect(throws: HistoryError.self) { try await bench.reopen() }
        #expect(error?.code == .missing && error?.path == paths[2])
    }

    @Test func `a segment under another's name stops the opening`() async throws {
        let bench = try await sealed(2)
        let paths = try bench.folder.segments()
        try FileManager.default.removeItem(atPath: paths[1])
        try FileManager.default.copyItem(atPath: paths[0], toPath: paths[1])
        let error = await #expect(throws: HistoryError.self) { try await bench.reopen() }
        #expect(error?.code == .damaged && error?.path == paths[1])
    }

    @Test func `overlapping segments stop the opening`() async throws {
        let bench = try await sealed(2)
        let paths = try bench.folder.segments()
        let name = paths[1].replacingOccurrences(of: "/00000000000000000040-", with: "/00000000000000000039-")
        try FileManager.default.moveItem(atPath: paths[1], toPath: name)
        let error = await #expect(throws: HistoryError.self) { try await bench.reopen() }
        #expect(error?.code == .damaged && error?.path == name)
    }

    @Test func `a file that is no segment stops the opening, a half-written one is removed`() async throws {
        let bench = try await sealed()
        let half = bench.folder.history + "/00000000000000000040-00000000000000000080.segment.tmp"
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: half))
        try await bench.reopen()
        #expect(!FileManager.default.fileExists(atPath: half))
        let foreign = bench.folder.history + "/notes.txt"
        try Data([1]).write(to: URL(fileURLWithPath: foreign))
        let error = await #expect(throws: HistoryError.self) { try await bench.reopen() }
        #expect(error?.path == foreign)
    }
}

struct HistoryFaultTests {
    /// Fails the n-th call of a device.
    private final class FaultyDevice: Sendable {
        let countdown = Mutex(Int.max)

        var device: HistoryDevice {
            HistoryDevice(
                write: { descriptor, bytes in
                    if self.fails() { return (-1, 28) }
                    // Short writes all the way.
                    let part = UnsafeRawBufferPointer(rebasing: bytes.prefix(1000))
                    return HistoryDevice.posix.write(descriptor, part)
                },
                sync: { self.fails() ? 5 : HistoryDevice.posix.sync($0) },
                rename: { self.fails() ? 5 : HistoryDevice.posix.rename($0, $1) })
        }

        private func fails() -> Bool {
            countdown.withLock { count in
                count -= 1
                return count == 0
            }
        }
    }

    @Test func `a seal that fails at any call leaves everything visible and can be done again`() async throws {
        let faulty = FaultyDevice()
        var random = SeededRandom(seed: 13)
        let bench = try Bench(device: faulty.device)
        var total = 0
        var call = 1
        while true {
            try await bench.append(total..<total + 10, owner: "111122223333", &random)
            total += 10
            faulty.countdown.withLock { $0 = call }
            var isSealed = true
            do { try await bench.history.seal() } catch { isSealed = false }
            let isUntouched = faulty.countdown.withLock { $0 > 0 }
            faulty.countdown.withLock { $0 = Int.max }
            #expect(isSealed == isUntouched)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: bench.folder.history).allSatisfy {
                    $0.hasSuffix(".segment")
                })
            #expect(try await bench.all(HistoryQuery(ownerAccount: "111122223333", limit: 100)).count == total)
            #expect((bench.history.status.lastSealError == nil) == isSealed)
            if isSealed { break }
            try await bench.history.seal()
            try await bench.reopen()
            #expect(try await bench.all(HistoryQuery(ownerAccount: "111122223333", limit: 100)).count == total)
            call += 1
        }
        #expect(call > 8)
    }

    @Test func `indexing stops rather than fill memory while segments cannot be written`() async throws {
        var limits = HistoryLimits.small
        limits.sealRetryAfter = 0
        let isBroken = Mutex(true)
        let device = HistoryDevice(
            write: { isBroken.withLock { $0 } ? (-1, 28) : HistoryDevice.posix.write($0, $1) },
            sync: HistoryDevice.posix.sync,
            rename: HistoryDevice.posix.rename)
        let bench = try Bench(limits: limits, device: device)
        var random = SeededRandom(seed: 14)
        for start in stride(from: 0, to: 600, by: 40) {
            try await bench.append(start..<start + 40, owner: "111122223333", &random)
        }
        let error = await #expect(throws: HistoryError.self) { try await bench.history.catchUp() }
        #expect(error?.code == .behind)
        #expect(bench.history.status.openEvents <= 64 * 4 + 2 * 40)
        isBroken.withLock { $0 = false }
        #expect(try await bench.all(HistoryQuery(ownerAccount: "111122223333", limit: 100)).count == 600)
    }
}
