// SPDX-License-Identifier: Apache-2.0
//
// Reads gzip (RFC 1952, several members), zstd (RFC 8878, several frames) or plain bytes, as their first bytes tell, in pieces:
// memory is bounded however much a body inflates to.

internal import AWSWire
internal import CZlib
internal import CZstd

/// The content of a spooled body.
final class ContentReader {
    /// The compressed bytes are not what they should be.
    struct Damaged: Error {
        /// Offset in the compressed bytes, about.
        var offset: Int
        var reason: String
    }

    private enum Form {
        case plain
        case gzip
        case zstd(OpaquePointer)
    }

    /// Bytes of content given at a time.
    static let pieceBytes = 256 << 10
    /// zstd's window may be so large (2^27: what the zstd tool itself takes without being asked).
    private static let windowLogMax: UInt32 = 27

    private let spool: IntakeSpool
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 16)
    private let output = UnsafeMutableRawBufferPointer.allocate(byteCount: ContentReader.pieceBytes, alignment: 16)
    private var filled = 0
    private var used = 0
    private var taken = 0
    private var isAtEnd = false
    private var form: Form?
    private var stream = z_stream()
    /// Whether a member or frame is under way.
    private var isInside = false

    init(_ spool: IntakeSpool) { self.spool = spool }

    deinit {
        if case .gzip? = form { inflateEnd(&stream) }
        if case .zstd(let context)? = form { ZSTD_freeDCtx(context) }
        input.deallocate()
        output.deallocate()
    }

    /// The next piece, never empty; nil at the end. Valid until the next call.
    func next() throws -> UnsafeRawBufferPointer? {
        while true {
            if used == filled, !isAtEnd {
                taken += filled
                used = 0
                filled = try spool.read(into: input)
                isAtEnd = filled == 0
            }
            let form = try self.form ?? begin()
            self.form = form
            if isAtEnd {
                guard !isInside else { throw Damaged(offset: taken, reason: "the compressed data is cut short") }
                return nil
            }
            let count: Int
            switch form {
            case .plain:
                let piece = UnsafeRawBufferPointer(rebasing: input[used..<filled])
                used = filled
                return piece
            case .gzip: count = try inflateSome()
            case .zstd(let context): count = try decompressSome(context)
            }
            if count > 0 { return UnsafeRawBufferPointer(rebasing: output[..<count]) }
        }
    }

    private func begin() throws -> Form {
        let head = input[..<min(filled, 4)]
        if head.count >= 2, head[0] == 0x1F, head[1] == 0x8B {
            guard inflateInit2_(&stream, 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
                throw AWSError.internalFailure(cause: "no memory for zlib")
            }
            return .gzip
        }
        if head.elementsEqual([0x28, 0xB5, 0x2F, 0xFD]) {
            guard let context = ZSTD_createDCtx() else {
                throw AWSError.internalFailure(cause: "no memory for zstd")
            }
            ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Int32(Self.windowLogMax))
            return .zstd(context)
        }
        return .plain
    }

    private func inflateSome() throws -> Int {
        isInside = true
        stream.next_in = input.baseAddress.map { ($0 + used).assumingMemoryBound(to: UInt8.self) }
        stream.avail_in = UInt32(filled - used)
        stream.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.avail_out = UInt32(output.count)
        let result = inflate(&stream, Z_NO_FLUSH)
        used = filled - Int(stream.avail_in)
        let count = output.count - Int(stream.avail_out)
        switch result {
        case Z_OK: return count
        case Z_BUF_ERROR where count == 0 && used == filled: return 0
        case Z_STREAM_END:
            isInside = false
            // Another member may follow; zeros at the end are padding.
            while used < filled, input[used] == 0 { used += 1 }
            inflateReset(&stream)
            return count
        default: throw Damaged(offset: taken + used, reason: "the gzip data is damaged")
        }
    }

    private func decompressSome(_ context: OpaquePointer) throws -> Int {
        var source = ZSTD_inBuffer(src: input.baseAddress, size: filled, pos: used)
        var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let result = ZSTD_decompressStream(context, &target, &source)
        used = source.pos
        guard ZSTD_isError(result) == 0 else {
            throw Damaged(offset: taken + used, reason: "the zstd data is damaged")
        }
        isInside = result != 0
        return target.pos
    }
}
