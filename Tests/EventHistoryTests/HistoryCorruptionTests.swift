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

    /// Opens anew, then reads every part of every segment, and every event.
    private func readAll(_ bench: Bench) async throws {
        try await bench.reopen()
        try await bench.history.verify()
        _ = try await bench.all(HistoryQuery(ownerAccount: owner, limit: 100))
    }

    @Test func `a flipped bit in any part of a segment is reported with the file`() async throws {
        let bench = try await sealed()
        let path = try #require(try bench.folder.segments().first)
        let good = try Data(contentsOf: URL(fileURLWithPath: path))
        try await readAll(bench)
        var random = SeededRandom(seed: 12)
        // The whole footer, and a sample of all else.
        let positions =
            (0..<600).map { _ in Int.random(in: 0..<good.count, using: &random) } + Array(good.count - 96..<good.count)
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

    @Test func `a directory that was forged with right checksums cannot ask for more than the file has`() async throws {
        let bench = try await sealed()
        let path = try #require(try bench.folder.segments().first)
        let good = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        let footer = good.count - 96
        let directory = Int(word(good, footer + 40))
        // Offset, bytes and decompressed bytes of the first part.
        for place in [8, 16, 24] {
            for value in [UInt64.max, UInt64(good.count), 1 << 47] where place != 24 || value > UInt64(good.count) {
                var bad = good
                put(value, &bad, directory + place)
                put(StableHash.xxh64(Array(bad[directory..<footer])), &bad, footer + 48)
                put(StableHash.xxh64(Array(bad[footer..<footer + 88])), &bad, footer + 88)
                try Data(bad).write(to: URL(fileURLWithPath: path))
                let error = await #expect(throws: HistoryError.self, "\(place), \(value)") { try await bench.reopen() }
                #expect(error?.path == path && error?.code == .damaged)
            }
        }
    }

    private func word(_ bytes: [UInt8], _ at: Int) -> UInt64 {
        bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: UInt64.self)) }
    }

    private func put(_ value: UInt64, _ bytes: inout [UInt8], _ at: Int) {
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: at, as: UInt64.self) }
    }

    @Test func `searches and counts name the damaged file instead of passing it over`() async throws {
        let bench = try await sealed()
        let path = try #require(try bench.folder.segments().first)
        let good = try Data(contentsOf: URL(fileURLWithPath: path))
        var named = 0
        for position in stride(from: 0, to: good.count - 96, by: 7) {
            var bad = good
            bad[position] ^= 0x10
            try bad.write(to: URL(fileURLWithPath: path))
            do {
                try await bench.reopen()
                let found = try await bench.all(HistoryQuery(ownerAccount: owner, region: "us-east-1", limit: 100))
                let counted = try await bench.history.tally(
                    HistoryQuery(ownerAccount: owner, region: "us-east-1", limit: 1),
                    .init(paths: [EventPath(["user"])]))
                // The byte is in a part that these did not need; then they are right.
                #expect(UInt64(found.count) == counted.total)
            } catch let error as HistoryError {
                #expect(error.code == .damaged && error.path == path)
                named += 1
            }
        }
        #expect(named > 20)
        try good.write(to: URL(fileURLWithPath: path))
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
        #expect(error?.code == .missing && error?.path == paths[1])
    }

    @Test func `a segment under another's name stops the opening`() async throws {
        let bench = try await sealed(2)
        let paths = try bench.folder.segments()
        try FileManager.default.removeItem(atPath: paths[1])
        try FileManager.default.copyItem(atPath: paths[0], toPath: paths[1])
        let error = await #expect(throws: HistoryError.self) { try await bench.reopen() }
        #expect(error?.code == .damaged && error?.path == paths[1])
    }

    @Test func `a flipped bit in the manifest stops the opening, and so does a manifest that has gone`() async throws {
        let bench = try await sealed(2)
        let names = try FileManager.default.contentsOfDirectory(atPath: bench.folder.history)
        let manifests = names.filter { $0.hasSuffix(".manifest") }
        #expect(manifests.count == 1)
        let path = bench.folder.history + "/" + (manifests.first ?? "")
        let good = try Data(contentsOf: URL(fileURLWithPath: path))
        for position in good.indices {
            var bad = good
            bad[position] ^= 4
            try bad.write(to: URL(fileURLWithPath: path))
            let error = await #expect(throws: HistoryError.self, "byte \(position)") { try await bench.reopen() }
            #expect(error?.code == .damaged && error?.path == path)
        }
        try FileManager.default.removeItem(atPath: path)
        let error = await #expect(throws: HistoryError.self) { try await bench.reopen() }
        #expect(error?.code == .missing)
        #expect(try bench.folder.segments().count == 2)
    }

    @Test func `a foreign file stops the opening, a segment that no manifest names is removed`() async throws {
        let bench = try await sealed()
        let half = bench.folder.history + "/00000000000000000040-00000000000000000080-00000000000000000007.segment"
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
                remove: { self.fails() ? 5 : HistoryDevice.posix.remove($0) })
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
            // What only could not be removed is removed at the next start.
            if isUntouched { #expect(isSealed) }
            #expect(try await bench.all(HistoryQuery(ownerAccount: "111122223333", limit: 100)).count == total)
            #expect((bench.history.status.lastSealError == nil) == isSealed)
            if isUntouched { break }
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
            remove: HistoryDevice.posix.remove)
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
