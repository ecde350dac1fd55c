// SPDX-License-Identifier: Apache-2.0

import EventHistory
import Foundation
import Glibc
import Synchronization

/// History's files: real ones, in a folder in memory, on a disk that forgets what was not flushed.
///
/// When power goes, of each file that was not flushed any sector may be lost and the end may be missing, and of the names that
/// were made and removed since the folder was flushed only the first few hold. A dead process does nothing more. Calls may also
/// fail one by one.
final class HistoryDisk: Sendable {
    private enum Change {
        case made(String)
        /// The name, and where the bytes lie that a power cut may bring back.
        case removed(String, kept: String)
    }

    private struct State {
        /// Files with bytes that were not flushed.
        var unflushed: Set<String> = []
        /// Files whose names were seen.
        var named: Set<String> = []
        var changes: [Change] = []
        var serial = 0
        var random: SeededRandom
        /// Calls until death; nil when none is to come.
        var left: Int?
        var isDead = false
        /// Calls until one fails; after it each fails with even chance, until `endFaults`.
        var faultAfter: Int?
        var isFailing = false
        var faults = 0
        var forgetsFlushes = false
        var segmentsSynced = 0
    }

    private enum Fate { case well, fails, dies }

    private static let sectorBytes = 512
    private let state: Mutex<State>
    private let graves: String

    /// - Parameter graves: a folder for what was removed, on the same file system.
    init(seed: UInt64, graves: String, forgetsFlushes: Bool) {
        state = Mutex(State(random: SeededRandom(seed), forgetsFlushes: forgetsFlushes))
        self.graves = graves
    }

    /// The `count`-th call from now fails, and then some.
    func fail(after count: Int) { state.withLock { $0.faultAfter = count } }

    /// - Returns: calls that failed.
    func endFaults() -> Int {
        state.withLock { state in
            defer {
                state.faults = 0
                state.isFailing = false
                state.faultAfter = nil
            }
            return state.faults
        }
    }

    /// The process dies at the `count`-th call from now.
    func die(after count: Int) { state.withLock { $0.left = count } }

    /// The process is gone: nothing more is done.
    func kill() { state.withLock { $0.isDead = true } }

    /// - Returns: whether the process died, or was killed.
    func revive() -> Bool {
        state.withLock { state in
            defer {
                state.isDead = false
                state.left = nil
            }
            return state.isDead
        }
    }

    /// Whether the process died at the call it was to die at.
    var isDead: Bool { state.withLock { $0.isDead } }

    private static func fate(_ state: inout State) -> Fate {
        if state.isDead { return .dies }
        if let left = state.left {
            state.left = left - 1
            if left <= 1 {
                state.isDead = true
                return .dies
            }
        }
        if state.isFailing, Bool.random(using: &state.random) {
            state.faults += 1
            return .fails
        }
        if let left = state.faultAfter {
            state.faultAfter = left - 1
            if left <= 0 {
                state.faultAfter = nil
                state.isFailing = true
                state.faults += 1
                return .fails
            }
        }
        return .well
    }

    var device: HistoryDevice {
        let posix = HistoryDevice.posix
        return HistoryDevice(
            write: { descriptor, bytes in self.write(descriptor, bytes) { posix.write(descriptor, $0) } },
            sync: { self.sync($0) }, remove: { self.remove($0) })
    }

    private func write(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer,
        _ write: (UnsafeRawBufferPointer) -> (written: Int, error: Int32)
    ) -> (written: Int, error: Int32) {
        guard let path = Self.path(of: descriptor) else { return (-1, EBADF) }
        let (fate, count) = state.withLock { state in
            let wasDead = state.isDead
            let fate = Self.fate(&state)
            if !wasDead {
                if state.named.insert(path).inserted { state.changes.append(.made(path)) }
                state.unflushed.insert(path)
            }
            // A write may be short; one that fails, or is cut off, may have put down a part.
            let isWhole = fate == .well && Bool.random(using: &state.random)
            let part = wasDead ? 0 : Int.random(in: 0...bytes.count, using: &state.random)
            return (fate, isWhole ? bytes.count : fate == .well ? max(1, part) : part)
        }
        let done = count > 0 ? write(UnsafeRawBufferPointer(rebasing: bytes[..<count])) : (written: 0, error: 0)
        return fate == .well ? done : (-1, EIO)
    }

    private func sync(_ descriptor: Int32) -> Int32 {
        guard let path = Self.path(of: descriptor) else { return EBADF }
        return state.withLock { state in
            guard Self.fate(&state) == .well else { return EIO }
            if state.forgetsFlushes { return 0 }
            if state.named.contains(path) {
                state.unflushed.remove(path)
                if path.hasSuffix(".segment") { state.segmentsSynced += 1 }
            } else {
                state.changes = []
            }
            return 0
        }
    }

    private func remove(_ path: String) -> Int32 {
        state.withLock { state in
            guard Self.fate(&state) == .well else { return EIO }
            let grave = graves + "/\(state.serial)"
            guard Glibc.rename(path, grave) == 0 else { return errno }
            state.serial += 1
            state.named.remove(path)
            state.changes.append(.removed(path, kept: grave))
            return 0
        }
    }

    /// Loses what was not flushed, as the seed has it.
    func cutPower() throws {
        try state.withLock { state in
            for path in state.unflushed.sorted() {
                guard var bytes = FileManager.default.contents(atPath: path) else { continue }
                for sector in stride(from: 0, to: bytes.count, by: Self.sectorBytes)
                where Bool.random(using: &state.random) {
                    let end = min(sector + Self.sectorBytes, bytes.count)
                    bytes.replaceSubrange(sector..<end, with: Data(count: end - sector))
                }
                if Bool.random(using: &state.random) {
                    bytes = bytes.prefix(Int.random(in: 0...bytes.count, using: &state.random))
                }
                try bytes.write(to: URL(fileURLWithPath: path))
            }
            let lasting = Int.random(in: 0...state.changes.count, using: &state.random)
            for change in state.changes[lasting...].reversed() {
                switch change {
                case .made(let path):
                    _ = Glibc.unlink(path)
                    state.named.remove(path)
                case .removed(let path, let grave):
                    _ = Glibc.rename(grave, path)
                    state.named.insert(path)
                }
            }
            state.changes = []
            state.unflushed = []
        }
    }

    private static func path(of descriptor: Int32) -> String? {
        var buffer = [UInt8](repeating: 0, count: 1024)
        let count = buffer.withUnsafeMutableBytes { raw in
            raw.withMemoryRebound(to: CChar.self) { chars in
                chars.baseAddress.map { readlink("/proc/self/fd/\(descriptor)", $0, chars.count) } ?? -1
            }
        }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }
}
