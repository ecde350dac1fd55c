// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventRecord
import Foundation
import Synchronization
import Testing

/// What the simulation of the event path (`make simulate`) has found in history, each as a case of its own.
struct HistoryCrashTests {
    private let owner = "111122223333"

    /// Notes the calls on history's files, and fails those that a test names.
    private final class WatchedDevice: Sendable {
        /// `sync NAME` and `remove NAME`, in their order.
        let calls = Mutex<[String]>([])
        let isFailing = Mutex<@Sendable (String) -> Bool>({ _ in false })

        private func fails(_ call: String) -> Bool {
            calls.withLock { $0.append(call) }
            return isFailing.withLock { $0 }(call)
        }

        var device: HistoryDevice {
            HistoryDevice(
                write: HistoryDevice.posix.write,
                sync: { self.fails("sync \(Self.name(of: $0))") ? EIO : HistoryDevice.posix.sync($0) },
                remove: { path in
                    self.fails("remove \(path.split(separator: "/").last ?? "")")
                        ? EIO : HistoryDevice.posix.remove(path)
                })
        }

        private static func name(of descriptor: Int32) -> String {
            let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(descriptor)")
            return (path ?? "").split(separator: "/").last.map(String.init) ?? ""
        }
    }

    private func count(_ bench: Bench) async throws -> Int {
        try await bench.all(HistoryQuery(ownerAccount: owner, limit: 100)).count
    }

    @Test func `a first seal that was cut off before its manifest is done again`() async throws {
        var random = SeededRandom(seed: 31)
        let bench = try Bench()
        try await bench.append(0..<40, owner: owner, &random)
        try await bench.history.seal()
        // The segment is whole, or a part of it: the manifest was not written yet.
        let manifest = bench.folder.history + "/00000000000000000001.manifest"
        try FileManager.default.removeItem(atPath: manifest)
        let segment = try #require(try bench.folder.segments().first)
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: segment))
        try await bench.reopen()
        #expect(try bench.folder.segments().isEmpty)
        #expect(try await count(bench) == 40)
        try await bench.history.seal()
        try await bench.reopen()
        #expect(try await count(bench) == 40)
        #expect(bench.history.status.segments == 1)
    }

    @Test func `the manifest that counts is flushed at the start, before what it replaces is removed`() async throws {
        var random = SeededRandom(seed: 32)
        let watched = WatchedDevice()
        let bench = try Bench(device: watched.device)
        for _ in 0..<2 {
            try await bench.append(0..<20, owner: owner, &random)
            // Whatever is replaced stays, as when the process ends before it is removed.
            watched.isFailing.withLock { $0 = { $0.hasPrefix("remove") } }
            try await bench.history.seal()
        }
        watched.isFailing.withLock { $0 = { _ in false } }
        watched.calls.withLock { $0 = [] }
        try await bench.reopen()
        #expect(
            watched.calls.withLock { $0 } == [
                "sync 00000000000000000002.manifest", "sync history", "remove 00000000000000000001.manifest",
            ])
        watched.isFailing.withLock { $0 = { $0.hasPrefix("sync") } }
        let error = await #expect(throws: HistoryError.self) { try await bench.reopen() }
        #expect(error?.code == .inputOutput)
    }

    @Test func `a manifest that could be neither flushed nor removed leaves what it names, and its number`()
        async throws
    {
        var random = SeededRandom(seed: 33)
        for restartsAtOnce in [true, false] {
            let watched = WatchedDevice()
            let bench = try Bench(device: watched.device)
            try await bench.append(0..<20, owner: owner, &random)
            try await bench.history.seal()
            try await bench.append(20..<40, owner: owner, &random)
            watched.isFailing.withLock { $0 = { $0.hasSuffix("2.manifest") } }
            await #expect(throws: HistoryError.self) { try await bench.history.seal() }
            watched.isFailing.withLock { $0 = { _ in false } }
            if !restartsAtOnce {
                try await bench.history.seal()
                #expect(FileManager.default.fileExists(atPath: bench.folder.history + "/00000000000000000003.manifest"))
            }
            try await bench.reopen()
            #expect(try await count(bench) == 40)
            try await bench.history.verify()
            #expect(bench.history.status.sealedEvents == 40)
        }
    }
}
