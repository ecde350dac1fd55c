// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The blocks that were flushed last, kept in memory within a bound, so that followers that are close behind need not read
/// back, nor sum anew, what was just written.
///
/// Large blocks stay in the buffer in which they gathered; small ones are copied behind one another into pages.
final class RecentBlocks: Sendable {
    /// Smaller blocks are copied.
    private static let copiedBytesMax = 512 << 10
    private static let pageBytes = 1 << 20

    /// A buffer and the blocks in it.
    private struct Page {
        let buffer: PendingBuffer
        var isCopied: Bool
        var blocks: [Block] = []

        var bytes: Int { buffer.bytes.count }
    }

    private struct Block {
        var first: UInt64
        var count: UInt32
        /// Place of the payload in the buffer.
        var payload: Range<Int>

        var next: UInt64 { first + UInt64(count) }
    }

    private struct State {
        /// Oldest first; numbers follow one another without a gap.
        var pages: [Page] = []
        var bytes = 0
    }

    private let bytesMax: Int
    private let state = Mutex(State())

    /// - Parameter bytesMax: bytes of buffers that are kept; 0 for none.
    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// Takes in a block that was flushed; it follows the one before.
    ///
    /// - Returns: a buffer for blocks to come, if there is one to spare: the same, or one that is no longer kept.
    func keep(_ buffer: PendingBuffer, first: UInt64, count: UInt32) -> PendingBuffer? {
        let payload = BlockHeader.byteCount..<buffer.count
        let isCopied = payload.count < Self.copiedBytesMax
        guard bytesMax > 0, (isCopied ? min(Self.pageBytes, bytesMax) : buffer.bytes.count) <= bytesMax,
            payload.count <= bytesMax
        else {
            // Larger than all that may be kept; nothing that came before may be given as if it were the end.
            clear()
            return buffer
        }
        return state.withLock { state -> PendingBuffer? in
            var spare: PendingBuffer?
            if isCopied {
                spare = buffer
                let last = state.pages.count - 1
                if last < 0 || !state.pages[last].isCopied || !state.pages[last].buffer.hasRoom(for: payload.count) {
                    let size = min(Self.pageBytes, bytesMax)
                    let page = Self.makeRoom(size, bytesMax, &state, wanted: size) ?? PendingBuffer(capacity: size)
                    state.pages.append(Page(buffer: page, isCopied: true))
                    state.bytes += page.bytes.count
                }
                let bytes = UnsafeRawBufferPointer(rebasing: buffer.block[payload])
                let page = state.pages.count - 1
                let place = state.pages[page].buffer.append(bytes)
                state.pages[page].blocks.append(Block(first: first, count: count, payload: place))
            } else {
                spare = Self.makeRoom(buffer.bytes.count, bytesMax, &state, wanted: nil)
                state.pages.append(
                    Page(
                        buffer: buffer, isCopied: false,
                        blocks: [Block(first: first, count: count, payload: payload)]))
                state.bytes += buffer.bytes.count
            }
            return spare
        }
    }

    /// Drops the oldest until there is room.
    ///
    /// - Parameter wanted: bytes that a buffer must have to be used again; nil for a block's buffer of any size.
    /// - Returns: one of those dropped that nobody reads.
    private static func makeRoom(
        _ bytes: Int, _ bytesMax: Int, _ state: inout State, wanted: Int?
    ) -> PendingBuffer? {
        var spare: PendingBuffer?
        while !state.pages.isEmpty, state.bytes + bytes > bytesMax {
            var buffer = state.pages.removeFirst().buffer
            state.bytes -= buffer.bytes.count
            guard isKnownUniquelyReferenced(&buffer) else { continue }
            let isFit = if let wanted { buffer.bytes.count == wanted } else { buffer.bytes.count >= pageBytes }
            if isFit {
                buffer.reset()
                spare = buffer
            }
        }
        return spare
    }

    private func clear() {
        state.withLock { state in
            state.pages = []
            state.bytes = 0
        }
    }

    /// Entries from a number on, up to the newest block or a number of bytes; at least one block. nil when the entry is not
    /// in memory.
    func read(from: UInt64, bytesMax: Int) -> JournalBatch? {
        state.withLock { state -> JournalBatch? in
            guard let first = state.pages.first?.blocks.first?.first, from >= first,
                var page = state.pages.lastIndex(where: { ($0.blocks.first?.first ?? .max) <= from })
            else { return nil }
            var block = Self.block(from, in: state.pages[page].blocks)
            guard state.pages[page].blocks[block].next > from else { return nil }
            var batch = JournalBatch(first: from, next: from)
            var held = 0
            while page < state.pages.count, held == 0 || held < bytesMax {
                let found = state.pages[page].blocks[block]
                let skipped = batch.next - found.first
                batch.append(
                    KeptPayload(state.pages[page].buffer, found.payload, skipping: skipped),
                    Int(found.count) - Int(skipped))
                batch.next = found.next
                held += found.payload.count
                block += 1
                if block == state.pages[page].blocks.count {
                    page += 1
                    block = 0
                }
            }
            return batch
        }
    }

    /// The last block that begins at or before an entry; the first one does.
    private static func block(_ number: UInt64, in blocks: [Block]) -> Int {
        var low = 0
        var high = blocks.count
        while low + 1 < high {
            let middle = (low + high) / 2
            if blocks[middle].first <= number { low = middle } else { high = middle }
        }
        return low
    }
}

/// The payload of a block that is kept.
///
/// @unchecked: bytes that a block has taken never change or move as long as anyone holds the buffer, see `RecentBlocks`.
struct KeptPayload: @unchecked Sendable {
    private let buffer: PendingBuffer
    private let bytes: UnsafeRawBufferPointer

    init(_ buffer: PendingBuffer, _ payload: Range<Int>, skipping entries: UInt64) {
        self.buffer = buffer
        let all = UnsafeRawBufferPointer(rebasing: buffer.bytes[payload])
        var start = 0
        for _ in 0..<entries { start += BlockPayload.lengthBytes + Int(all.load32(start)) }
        bytes = UnsafeRawBufferPointer(rebasing: all[start...])
    }

    func withBytes<Value>(_ body: (UnsafeRawBufferPointer) -> Value) -> Value {
        withExtendedLifetime(buffer) { body(bytes) }
    }
}
