// SPDX-License-Identifier: Apache-2.0

/// Bytes of the block that is being gathered: room for its header, then the entries; grows, and is used again.
///
/// @unchecked: while it gathers, the journal's `Mutex` guards it; then it belongs to the flushing thread alone.
final class PendingBuffer: @unchecked Sendable {
    private(set) var bytes: UnsafeMutableRawBufferPointer
    private(set) var count = BlockHeader.byteCount

    init(capacity: Int) {
        bytes = .allocate(byteCount: max(capacity, BlockHeader.byteCount), alignment: 64)
    }

    deinit { bytes.deallocate() }

    /// Header room and payload.
    var block: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: bytes[0..<count]) }
    var payloadCount: Int { count - BlockHeader.byteCount }

    func reset() { count = BlockHeader.byteCount }

    /// Adds one entry's length, and gives the room for its bytes, which the caller must fill.
    func add(_ length: Int) -> UnsafeMutableRawBufferPointer {
        let start = count + BlockPayload.lengthBytes
        let end = start + length
        if end > bytes.count {
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: max(end, bytes.count * 2), alignment: 64)
            larger.copyMemory(from: UnsafeRawBufferPointer(block))
            bytes.deallocate()
            bytes = larger
        }
        bytes.store(UInt32(length), at: count)
        count = end
        return UnsafeMutableRawBufferPointer(rebasing: bytes[start..<end])
    }
}

/// The entries that share the next flush, and who waits for it.
struct PendingBlock: Sendable {
    struct Waiter: Sendable {
        var continuation: UnsafeContinuation<Result<UInt64, JournalError>, Never>
        /// Place of the waiter's first entry in the block.
        var index: UInt32
    }

    var buffer: PendingBuffer
    var waiters: [Waiter] = []
    var count: UInt32 = 0
}
