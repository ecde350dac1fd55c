// SPDX-License-Identifier: Apache-2.0

/// Bytes of the block that is being gathered: room for its header, then the entries; grows, and is used again.
///
/// It begins on a page of memory and ends on one, so that the disk can take it from where it is.
///
/// @unchecked: while it gathers, the journal's `Mutex` guards it; then it belongs to the flushing thread alone, or is kept in
/// `RecentBlocks`, whose `Mutex` guards what is added; what was added before stands.
final class PendingBuffer: @unchecked Sendable {
    static let pageBytes = 4096

    private(set) var bytes: UnsafeMutableRawBufferPointer
    private(set) var count = BlockHeader.byteCount

    init(capacity: Int) { bytes = Self.allocate(capacity) }

    deinit { bytes.deallocate() }

    private static func allocate(_ capacity: Int) -> UnsafeMutableRawBufferPointer {
        let whole = (max(capacity, pageBytes) + pageBytes - 1) & ~(pageBytes - 1)
        return .allocate(byteCount: whole, alignment: pageBytes)
    }

    /// Header room and payload.
    var block: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: bytes[0..<count]) }
    var payloadCount: Int { count - BlockHeader.byteCount }

    func reset() { count = BlockHeader.byteCount }

    /// Adds one entry's length, and gives the room for its bytes, which the caller must fill.
    func add(_ length: Int) -> UnsafeMutableRawBufferPointer {
        let start = count + BlockPayload.lengthBytes
        let end = start + length
        if end > bytes.count { grow(to: max(end, bytes.count * 2)) }
        bytes.store(UInt32(length), at: count)
        count = end
        return UnsafeMutableRawBufferPointer(rebasing: bytes[start..<end])
    }

    /// Makes room for so many further bytes at once.
    func reserve(_ more: Int) {
        if count + more > bytes.count { grow(to: count + more) }
    }

    private func grow(to capacity: Int) {
        let larger = Self.allocate(capacity)
        larger.copyMemory(from: UnsafeRawBufferPointer(block))
        bytes.deallocate()
        bytes = larger
    }

    /// The block with zeros behind it up to a multiple of `alignment`, a power of two that is no larger than a page.
    func block(paddedTo alignment: Int) -> UnsafeMutableRawBufferPointer {
        let end = (count + alignment - 1) & ~(alignment - 1)
        UnsafeMutableRawBufferPointer(rebasing: bytes[count..<end]).initializeMemory(as: UInt8.self, repeating: 0)
        return UnsafeMutableRawBufferPointer(rebasing: bytes[0..<end])
    }

    /// Whether so many bytes can be added without the others moving.
    func hasRoom(for more: Int) -> Bool { count + more <= bytes.count }

    /// Adds bytes for which there is room.
    ///
    /// - Returns: their place.
    func append(_ more: UnsafeRawBufferPointer) -> Range<Int> {
        let place = count..<count + more.count
        UnsafeMutableRawBufferPointer(rebasing: bytes[place]).copyMemory(from: more)
        count = place.upperBound
        return place
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
