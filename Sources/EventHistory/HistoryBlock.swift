// SPDX-License-Identifier: Apache-2.0
//
// A block: some journal entries in a row, compressed together with zstd (RFC 8878), one frame. Decompressed:
//
//     u32 count, u32 bytes of each entry, then the entries end to end; little endian.

internal import CZstd
internal import EventRecord

/// A compressed block, as it lies in a segment or waits in memory for its segment.
struct HistoryBlock: Sendable {
    /// Arrival index of the first entry, counted from the chunk's or segment's first.
    var firstEvent: Int
    var events: Int
    var rawBytes: Int
    var compressed: [UInt8]
}

/// Gathers entries and compresses them; its zstd context is the reason for being a class.
final class HistoryBlockWriter {
    private let context: OpaquePointer
    private let level: Int32

    init(level: Int32) throws(HistoryError) {
        guard let context = ZSTD_createCCtx() else { throw HistoryError(.inputOutput, "out of memory for compression") }
        self.context = context
        self.level = level
    }

    deinit { ZSTD_freeCCtx(context) }

    func block(_ entries: [UInt8], lengths: [UInt32], firstEvent: Int) throws(HistoryError) -> HistoryBlock {
        var raw: [UInt8] = []
        raw.reserveCapacity(4 + lengths.count * 4 + entries.count)
        raw.append(littleEndian: UInt32(truncatingIfNeeded: lengths.count))
        lengths.withUnsafeBytes { raw.append(contentsOf: $0) }
        raw.append(contentsOf: entries)
        var written = 0
        let bound = ZSTD_compressBound(raw.count)
        let compressed = [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            written = raw.withUnsafeBytes { source in
                ZSTD_compressCCtx(context, buffer.baseAddress, bound, source.baseAddress, source.count, level)
            }
            count = ZSTD_isError(written) == 0 ? written : 0
        }
        guard ZSTD_isError(written) == 0 else { throw HistoryError(.inputOutput, "compression failed") }
        // The bound is several times what is used: give the rest back, open events may be many.
        return HistoryBlock(
            firstEvent: firstEvent, events: lengths.count, rawBytes: raw.count, compressed: Array(compressed[...]))
    }
}

/// Reading decompressed blocks.
enum HistoryBlockReader {
    /// The block decompressed; nil when it is not what it should be.
    static func raw(_ compressed: UnsafeRawBufferPointer, rawBytes: Int) -> [UInt8]? {
        var written = 0
        let raw = [UInt8](unsafeUninitializedCapacity: rawBytes) { buffer, count in
            written = ZSTD_decompress(buffer.baseAddress, rawBytes, compressed.baseAddress, compressed.count)
            count = ZSTD_isError(written) == 0 ? written : 0
        }
        return ZSTD_isError(written) == 0 && written == rawBytes ? raw : nil
    }

    /// One entry of a decompressed block; nil when the block has it not.
    static func entry(_ index: Int, of raw: [UInt8]) -> ArraySlice<UInt8>? {
        raw.withUnsafeBytes { bytes -> Range<Int>? in
            guard bytes.count >= 4 else { return nil }
            let count = Int(bytes.u32(0))
            guard index < count, bytes.count >= 4 + count * 4 else { return nil }
            var start = 4 + count * 4
            for before in 0..<index { start += Int(bytes.u32(4 + before * 4)) }
            let length = Int(bytes.u32(4 + index * 4))
            guard start + length <= bytes.count else { return nil }
            return start..<start + length
        }.map { raw[$0] }
    }

    /// Gives each entry with its index; false when the block is not what it should be.
    static func forEach(
        of raw: [UInt8], _ body: (Int, UnsafeRawBufferPointer) throws(HistoryError) -> Void
    ) throws(HistoryError) -> Bool {
        var failure: HistoryError?
        let isWhole = raw.withUnsafeBytes { bytes -> Bool in
            guard bytes.count >= 4 else { return false }
            let count = Int(bytes.u32(0))
            guard bytes.count >= 4 + count * 4 else { return false }
            var start = 4 + count * 4
            for index in 0..<count {
                let length = Int(bytes.u32(4 + index * 4))
                guard start + length <= bytes.count else { return false }
                do throws(HistoryError) {
                    try body(index, UnsafeRawBufferPointer(rebasing: bytes[start..<start + length]))
                } catch {
                    failure = error
                    return false
                }
                start += length
            }
            return true
        }
        if let failure { throw failure }
        return isWhole
    }
}

extension UnsafeRawBufferPointer {
    @inline(__always) func u16(_ offset: Int) -> UInt16 {
        UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }
    @inline(__always) func u32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    @inline(__always) func u64(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

extension [UInt8] {
    mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    mutating func append(varint value: UInt32) {
        var value = value
        while value >= 0x80 {
            append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        append(UInt8(truncatingIfNeeded: value))
    }
}
