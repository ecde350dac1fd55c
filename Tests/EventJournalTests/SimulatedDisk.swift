// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

import EventJournal

/// A disk in memory that forgets what was not flushed, tears writes at sectors, and fails on demand.
///
/// After a flush that failed it does as Linux does: the pages count as clean and read as written, but are not on the disk.
final class SimulatedDisk: JournalDevice {
    static let sectorBytes = 512

    struct Inode {
        var cached: [UInt8] = []
        var durable: [UInt8] = []
        var dirty: Set<Int> = []
        var isSizeDirty = false
    }

    enum NameChange {
        case set(String, Int)
        case move(String, String)
        case remove(String)

        func apply(_ names: inout [String: Int]) {
            switch self {
            case .set(let name, let inode): names[name] = inode
            case .move(let from, let to): names[to] = names.removeValue(forKey: from)
            case .remove(let name): names[name] = nil
            }
        }
    }

    struct State {
        var inodes: [Inode] = []
        var names: [String: Int] = [:]
        var durableNames: [String: Int] = [:]
        var changes: [NameChange] = []
        var calls = 0
        /// The call with this number fails.
        var failingCall: Int?
        /// Only calls of these names are counted and fail; all when empty.
        var failingOperations: Set<String> = []
        var failingNumber: Int32 = EIO
        var hasFailed = false
        /// From the failing call on everything fails: the power is off.
        var isPowerLost = false
        var losesPower = false
        var isWritingShort = false
        var free: UInt64 = 1 << 40
        var syncs = 0
        var bytesRead = 0
        var random: SeededRandom
        /// It says that it has flushed, and has not.
        var forgetsFlushes = false
    }

    let state: Mutex<State>

    init(seed: UInt64 = 1) { state = Mutex(State(random: SeededRandom(seed))) }

    // MARK: What tests do to it

    /// The `count`-th call from now fails.
    func fail(_ count: Int, of operations: Set<String> = [], with number: Int32 = EIO, losingPower: Bool = false) {
        state.withLock {
            $0.calls = 0
            $0.failingCall = count
            $0.failingOperations = operations
            $0.failingNumber = number
            $0.losesPower = losingPower
            $0.hasFailed = false
        }
    }

    var hasFailed: Bool { state.withLock { $0.hasFailed } }
    var names: [String] { state.withLock { $0.names.keys.sorted() } }

    /// Ends all faults; the process that was there is gone, the system still runs.
    func kill() {
        state.withLock {
            $0.failingCall = nil
            $0.isPowerLost = false
        }
    }

    /// Loses what was not flushed, sector by sector and name by name, as the seed has it.
    func cutPower() {
        state.withLock { state in
            state.failingCall = nil
            state.isPowerLost = false
            for index in state.inodes.indices {
                var inode = state.inodes[index]
                if inode.isSizeDirty, Bool.random(using: &state.random) {
                    Self.resize(&inode.durable, inode.cached.count)
                }
                for sector in inode.dirty.sorted() where Bool.random(using: &state.random) {
                    let range = sector * Self.sectorBytes..<min((sector + 1) * Self.sectorBytes, inode.cached.count)
                    guard !range.isEmpty else { continue }
                    if inode.durable.count < range.upperBound { Self.resize(&inode.durable, range.upperBound) }
                    inode.durable.replaceSubrange(range, with: inode.cached[range])
                }
                state.inodes[index] = Inode(cached: inode.durable, durable: inode.durable)
            }
            let lasting = Int.random(in: 0...state.changes.count, using: &state.random)
            for change in state.changes.prefix(lasting) { change.apply(&state.durableNames) }
            state.changes = []
            state.names = state.durableNames
        }
    }

    /// Changes a file's bytes, on the disk too.
    func edit(_ path: String, _ body: (inout [UInt8]) -> Void) {
        state.withLock { state in
            guard let index = state.names[path] else { return }
            body(&state.inodes[index].cached)
            state.inodes[index].durable = state.inodes[index].cached
            state.inodes[index].dirty = []
        }
    }

    func bytes(_ path: String) -> [UInt8] {
        state.withLock { state in state.names[path].map { state.inodes[$0].cached } ?? [] }
    }

    func put(_ path: String, _ bytes: [UInt8]) {
        state.withLock { state in
            state.inodes.append(Inode(cached: bytes, durable: bytes))
            state.names[path] = state.inodes.count - 1
            state.durableNames[path] = state.inodes.count - 1
        }
    }

    func delete(_ path: String) {
        state.withLock {
            $0.names[path] = nil
            $0.durableNames[path] = nil
        }
    }

    // MARK: JournalDevice

    func list(_ directory: String) throws(JournalDeviceError) -> [String] {
        try call("list", directory) { state in
            state.names.keys.filter { $0.hasPrefix(directory + "/") }.map { String($0.dropFirst(directory.count + 1)) }
        }
    }

    func open(_ path: String, create: Bool) throws(JournalDeviceError) -> any JournalFile {
        let inode = try call("open", path) { state throws(JournalDeviceError) -> Int in
            if let inode = state.names[path] {
                if create { throw JournalDeviceError(operation: "open", path: path, number: EEXIST) }
                return inode
            }
            guard create else { throw JournalDeviceError(operation: "open", path: path, number: ENOENT) }
            state.inodes.append(Inode())
            Self.change(&state, .set(path, state.inodes.count - 1))
            return state.inodes.count - 1
        }
        return SimulatedFile(self, inode, path)
    }

    func rename(_ from: String, to: String) throws(JournalDeviceError) {
        try call("rename", from) { Self.change(&$0, .move(from, to)) }
    }

    func remove(_ path: String) throws(JournalDeviceError) {
        try call("remove", path) { state throws(JournalDeviceError) in
            guard state.names[path] != nil else {
                throw JournalDeviceError(operation: "remove", path: path, number: ENOENT)
            }
            Self.change(&state, .remove(path))
        }
    }

    func syncDirectory(_ directory: String) throws(JournalDeviceError) {
        try call("syncDirectory", directory) { state in
            for change in state.changes { change.apply(&state.durableNames) }
            state.changes = []
        }
    }

    func freeBytes(_ directory: String) throws(JournalDeviceError) -> UInt64 {
        try call("freeBytes", directory) { $0.free }
    }

    func randomBits() -> UInt64 { state.withLock { $0.random.next() } }

    // MARK: Details

    private static func change(_ state: inout State, _ change: NameChange) {
        change.apply(&state.names)
        state.changes.append(change)
    }

    static func resize(_ bytes: inout [UInt8], _ count: Int) {
        if bytes.count > count {
            bytes.removeLast(bytes.count - count)
        } else {
            bytes.append(contentsOf: repeatElement(0, count: count - bytes.count))
        }
    }

    /// Whether this call is the one that fails.
    fileprivate static func fails(_ operation: String, _ state: inout State) -> Bool {
        if state.isPowerLost { return true }
        guard state.failingOperations.isEmpty || state.failingOperations.contains(operation) else { return false }
        state.calls += 1
        guard state.calls == state.failingCall else { return false }
        state.hasFailed = true
        state.isPowerLost = state.losesPower
        return true
    }

    fileprivate func call<Value>(
        _ operation: String, _ path: String, _ body: (inout State) throws(JournalDeviceError) -> Value
    ) throws(JournalDeviceError) -> Value where Value: Sendable {
        try state.withLock { state throws(JournalDeviceError) -> Value in
            if Self.fails(operation, &state) {
                throw JournalDeviceError(operation: operation, path: path, number: state.failingNumber)
            }
            return try body(&state)
        }
    }
}

private final class SimulatedFile: JournalFile {
    private let disk: SimulatedDisk
    private let inode: Int
    private let path: String

    init(_ disk: SimulatedDisk, _ inode: Int, _ path: String) {
        self.disk = disk
        self.inode = inode
        self.path = path
    }

    func size() throws(JournalDeviceError) -> UInt64 {
        let inode = inode
        return try disk.call("size", path) { UInt64($0.inodes[inode].cached.count) }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int {
        let count = buffer.count
        let inode = inode
        let bytes = try disk.call("read", path) { state -> [UInt8] in
            let cached = state.inodes[inode].cached
            let start = min(Int(offset), cached.count)
            state.bytesRead += min(count, cached.count - start)
            return Array(cached[start..<min(start + count, cached.count)])
        }
        buffer.copyBytes(from: bytes)
        return bytes.count
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int {
        let given = Array(bytes)
        let inode = inode
        let path = path
        return try disk.state.withLock { state throws(JournalDeviceError) -> Int in
            let isFailing = SimulatedDisk.fails("write", &state)
            var count = given.count
            // A write that fails may still have put down a part.
            if state.isWritingShort || isFailing {
                count = Int.random(in: (isFailing ? 0 : 1)...max(1, count), using: &state.random)
            }
            let start = Int(offset)
            if count > 0 {
                if state.inodes[inode].cached.count < start + count {
                    SimulatedDisk.resize(&state.inodes[inode].cached, start + count)
                    state.inodes[inode].isSizeDirty = true
                }
                state.inodes[inode].cached.replaceSubrange(start..<(start + count), with: given[..<count])
                for sector in start / SimulatedDisk.sectorBytes...(start + count - 1) / SimulatedDisk.sectorBytes {
                    state.inodes[inode].dirty.insert(sector)
                }
            }
            if isFailing { throw JournalDeviceError(operation: "write", path: path, number: state.failingNumber) }
            return count
        }
    }

    func sync() throws(JournalDeviceError) {
        let inode = inode
        let path = path
        try disk.state.withLock { state throws(JournalDeviceError) in
            if SimulatedDisk.fails("sync", &state) {
                if !state.isPowerLost { state.inodes[inode].dirty = [] }
                throw JournalDeviceError(operation: "sync", path: path, number: state.failingNumber)
            }
            state.syncs += 1
            if state.forgetsFlushes { return }
            var file = state.inodes[inode]
            SimulatedDisk.resize(&file.durable, file.cached.count)
            for sector in file.dirty {
                let start = sector * SimulatedDisk.sectorBytes
                let end = min(start + SimulatedDisk.sectorBytes, file.cached.count)
                if start < end { file.durable.replaceSubrange(start..<end, with: file.cached[start..<end]) }
            }
            file.dirty = []
            file.isSizeDirty = false
            state.inodes[inode] = file
        }
    }

    func writeDurably(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalWriteError) {
        do throws(JournalDeviceError) {
            var done = 0
            while done < bytes.count {
                done += try write(UnsafeRawBufferPointer(rebasing: bytes[done...]), at: offset + UInt64(done))
            }
        } catch {
            throw .write(error)
        }
        do throws(JournalDeviceError) { try sync() } catch { throw .sync(error) }
    }

    func allocate(_ bytes: UInt64) throws(JournalDeviceError) {
        let inode = inode
        try disk.call("allocate", path) { state in
            if state.inodes[inode].cached.count < Int(bytes) {
                SimulatedDisk.resize(&state.inodes[inode].cached, Int(bytes))
                state.inodes[inode].isSizeDirty = true
            }
        }
    }

    func truncate(_ bytes: UInt64) throws(JournalDeviceError) {
        let inode = inode
        try disk.call("truncate", path) { state in
            SimulatedDisk.resize(&state.inodes[inode].cached, Int(bytes))
            // Sectors cut off read as zero when the file grows again.
            for sector in Int(bytes)
                / SimulatedDisk.sectorBytes..<max(
                    Int(bytes) / SimulatedDisk.sectorBytes,
                    (state.inodes[inode].durable.count + SimulatedDisk.sectorBytes - 1) / SimulatedDisk.sectorBytes)
            {
                state.inodes[inode].dirty.insert(sector)
            }
            state.inodes[inode].isSizeDirty = true
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
