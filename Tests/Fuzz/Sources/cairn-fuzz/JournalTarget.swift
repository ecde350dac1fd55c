// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

@testable import EventJournal

extension FuzzTarget {
    /// Recovery and reading of a journal whose only segment file holds the input. Its checksums are made right first, or
    /// nothing behind them would ever be reached.
    static let journal = FuzzTarget(name: "journal") { input in
        let bytes = repaired(Array(input))
        var limits = JournalLimits()
        limits.segmentBytes = 64 << 10
        limits.reserveBytes = 4 << 10
        limits.zeroAheadBytes = 0
        limits.blockBytesMax = 16 << 10
        let device = MemoryDevice(["/j/\(JournalFileNames.segment(0))": bytes])
        guard
            let journal = try? Journal.open(
                directory: "/j", device: device, limits: limits, clock: { 0 }, flushing: .byHand)
        else { return }
        var number = journal.firstNumber
        require(number <= journal.durableNumber, "numbers grow")
        while number < journal.durableNumber {
            guard let batch = try? journal.read(from: number, bytesMax: 1 << 16) else { return }
            require(batch.next > number && batch.next <= journal.durableNumber, "reading goes on")
            require(batch.next - batch.first == UInt64(batch.entries.count), "a batch has its entries")
            number = batch.next
        }
    }

    private static func repaired(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        let size = bytes.count
        guard size >= SegmentHeader.byteCount else { return bytes }
        bytes.withUnsafeMutableBytes { raw in
            raw.store(SegmentHeader.magic, at: 0)
            raw.store(SegmentHeader.version, at: 8)
            raw.store(0 as UInt64, at: 16)
            var chain = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[16..<64]))
            raw.store(chain, at: 12)
            let salt = UnsafeRawBufferPointer(raw).load64(32)
            let alignment = Int(UnsafeRawBufferPointer(raw).load32(44))
            guard SegmentHeader.alignments.contains(UInt32(alignment)), alignment.nonzeroBitCount == 1 else { return }
            var at = alignment
            while at + BlockHeader.byteCount <= size {
                let whole = UnsafeRawBufferPointer(raw)
                guard whole.load32(at) == BlockHeader.magic else { break }
                let length = Int(whole.load32(at + 28))
                let end = min(size, at + BlockHeader.byteCount + length)
                raw.store(salt, at: at + 8)
                let payload = UnsafeRawBufferPointer(rebasing: whole[at + BlockHeader.byteCount..<end])
                raw.store(CRC32C.checksum(payload), at: at + 32)
                raw.store(chain, at: at + 36)
                chain = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: whole[at + 8..<at + 64]))
                raw.store(chain, at: at + 4)
                at += (BlockHeader.byteCount + length + alignment - 1) / alignment * alignment
            }
        }
        return bytes
    }
}

/// Files in memory.
final class MemoryDevice: JournalDevice {
    private let files: Mutex<[String: MemoryFile]>

    init(_ contents: [String: [UInt8]]) { files = Mutex(contents.mapValues { MemoryFile($0) }) }

    func list(_ directory: String) throws(JournalDeviceError) -> [String] {
        files.withLock { $0.keys.map { String($0.dropFirst(directory.count + 1)) } }
    }

    func open(_ path: String, create: Bool) throws(JournalDeviceError) -> any JournalFile {
        let found = files.withLock { files -> MemoryFile? in
            if create, files[path] == nil { files[path] = MemoryFile([]) }
            return files[path]
        }
        guard let found else { throw JournalDeviceError(operation: "open", path: path, number: ENOENT) }
        return found
    }

    func rename(_ from: String, to: String) throws(JournalDeviceError) {
        files.withLock { $0[to] = $0.removeValue(forKey: from) }
    }

    func remove(_ path: String) throws(JournalDeviceError) { files.withLock { $0[path] = nil } }
    func syncDirectory(_ directory: String) throws(JournalDeviceError) {}
    func freeBytes(_ directory: String) throws(JournalDeviceError) -> UInt64 { 1 << 40 }
    func randomBits() -> UInt64 { 4 }
}

final class MemoryFile: JournalFile {
    private let contents: Mutex<[UInt8]>
    /// What a file may grow to; the journal allocates its segments in whole.
    private static let bytesMax = 1 << 20

    init(_ bytes: [UInt8]) { contents = Mutex(bytes) }

    func size() throws(JournalDeviceError) -> UInt64 { UInt64(contents.withLock { $0.count }) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int {
        contents.withLock { bytes in
            guard offset < UInt64(bytes.count) else { return 0 }
            let count = min(buffer.count, bytes.count - Int(offset))
            bytes.withUnsafeBytes {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + count]))
            }
            return count
        }
    }

    func write(_ new: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int {
        guard offset < UInt64(Self.bytesMax) else { throw full() }
        contents.withLock { bytes in
            let end = Int(offset) + new.count
            if bytes.count < end { bytes += [UInt8](repeating: 0, count: end - bytes.count) }
            bytes.replaceSubrange(Int(offset)..<end, with: new)
        }
        return new.count
    }

    func sync() throws(JournalDeviceError) {}

    func writeDurably(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalWriteError) {
        do throws(JournalDeviceError) { _ = try write(bytes, at: offset) } catch { throw .write(error) }
    }

    func allocate(_ bytes: UInt64) throws(JournalDeviceError) {
        guard bytes <= UInt64(Self.bytesMax) else { throw full() }
        contents.withLock { contents in
            if contents.count < Int(bytes) { contents += [UInt8](repeating: 0, count: Int(bytes) - contents.count) }
        }
    }

    func truncate(_ bytes: UInt64) throws(JournalDeviceError) {
        contents.withLock { contents in
            if contents.count > Int(bytes) { contents.removeSubrange(Int(bytes)...) }
        }
    }

    private func full() -> JournalDeviceError { JournalDeviceError(operation: "write", path: "memory", number: ENOSPC) }
}
