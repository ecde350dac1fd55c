// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Memory in which one record at a time is written, kept for the next.
enum EventScratch {
    /// Runs a body with room for so many bytes, whose content is whatever was there.
    static func withBuffer<Result>(byteCount: Int, _ body: (UnsafeMutableRawPointer) -> Result) -> Result {
        guard byteCount <= keptBytes else {
            let buffer = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
            defer { buffer.deallocate() }
            return body(buffer)
        }
        let buffer = kept.withLock { $0.popLast() } ?? Buffer()
        defer { kept.withLock { if $0.count < keptMax { $0.append(buffer) } } }
        return body(buffer.base)
    }

    private static let keptBytes = 32 << 10
    private static let keptMax = 64
    private static let kept = Mutex<[Buffer]>([])

    /// @unchecked: a buffer is in the list, or with the one thread that took it from there.
    private final class Buffer: @unchecked Sendable {
        let base = UnsafeMutableRawPointer.allocate(byteCount: keptBytes, alignment: 16)

        deinit { base.deallocate() }
    }
}
