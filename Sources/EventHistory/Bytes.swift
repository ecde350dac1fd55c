// SPDX-License-Identifier: Apache-2.0

internal import CZstd
internal import EventRecord

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
    @inline(__always) func i64(_ offset: Int) -> Int64 { Int64(bitPattern: u64(offset)) }
}

extension [UInt8] {
    mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    mutating func append(varint value: UInt64) {
        var value = value
        while value >= 0x80 {
            append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        append(UInt8(truncatingIfNeeded: value))
    }
}

/// zstd (RFC 8878), one frame at a time. Its context is the reason for being a class.
final class Compressor {
    private let context: OpaquePointer
    private let level: Int32

    init(level: Int32) throws(HistoryError) {
        guard let context = ZSTD_createCCtx() else { throw HistoryError(.inputOutput, "out of memory for compression") }
        self.context = context
        self.level = level
    }

    deinit { ZSTD_freeCCtx(context) }

    func compressed(_ raw: UnsafeRawBufferPointer) throws(HistoryError) -> [UInt8] {
        var written = 0
        let bound = ZSTD_compressBound(raw.count)
        let bytes = [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            written = ZSTD_compressCCtx(context, buffer.baseAddress, bound, raw.baseAddress, raw.count, level)
            count = ZSTD_isError(written) == 0 ? written : 0
        }
        guard ZSTD_isError(written) == 0 else { throw HistoryError(.inputOutput, "compression failed") }
        return bytes
    }

    func compressed(_ raw: [UInt8]) throws(HistoryError) -> [UInt8] {
        let result = raw.withUnsafeBytes { bytes -> Result<[UInt8], HistoryError> in
            do throws(HistoryError) { return .success(try compressed(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// What was compressed; nil when it is not a frame of so many bytes.
    static func decompressed(_ bytes: UnsafeRawBufferPointer, rawBytes: Int) -> [UInt8]? {
        var isWhole = false
        let raw = [UInt8](unsafeUninitializedCapacity: rawBytes) { buffer, count in
            isWhole = decompress(bytes, to: UnsafeMutableRawBufferPointer(buffer.extracting(..<rawBytes)))
            count = isWhole ? rawBytes : 0
        }
        return isWhole ? raw : nil
    }

    /// Fills the room exactly; false when the bytes are not a frame of just so many.
    static func decompress(_ bytes: UnsafeRawBufferPointer, to room: UnsafeMutableRawBufferPointer) -> Bool {
        let written = ZSTD_decompress(room.baseAddress, room.count, bytes.baseAddress, bytes.count)
        return ZSTD_isError(written) == 0 && written == room.count
    }
}
