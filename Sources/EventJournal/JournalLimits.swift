// SPDX-License-Identifier: Apache-2.0

/// Every bound of the journal, with its unit and what it is for. Tests lower them.
package struct JournalLimits: Sendable {
    /// Longest entry in bytes: a record of 1 MiB and its envelope.
    package var entryBytesMax = (1 << 20) + 4096
    /// Longest batch in bytes, with 4 bytes more for each entry. A batch is one block, so readers hold as much at once.
    package var batchBytesMax = 16 << 20
    /// A block is closed when it would grow past this; a single larger batch still makes one block.
    package var blockBytesMax = 4 << 20
    /// Bytes that wait for the disk before further appends are refused as overloaded.
    package var pendingBytesMax = 64 << 20
    /// Size of a segment file. It is allocated at once; a block that does not fit opens the next segment.
    package var segmentBytes: UInt64 = 64 << 20
    /// Zeros that are written ahead of the blocks at a time, in bytes, at most; 0 for none. It begins with 64 KiB after the
    /// journal was opened, and never is more than what was written since.
    package var zeroAheadBytes: UInt64 = 1 << 20
    /// Bytes of blocks, newest first, that stay in memory for followers that are close behind; 0 for none.
    package var recentBytesMax = 16 << 20
    /// Space on the disk that is left untouched: appends are refused when less is free.
    package var reserveBytes: UInt64 = 64 << 20
    /// Blocks start at multiples of this, so that a torn write never harms a sector of an acknowledged block. A power of
    /// two from 64 to 65536; noted in each segment, so it may change between segments.
    package var blockAlignment: UInt32 = 512
    /// Idle time after which a mark is written behind the last block, in milliseconds; see the format. 0 for no marks but
    /// the one at close.
    package var markDelayMilliseconds = 100
    /// How long callers may gather before a flush, in microseconds; 0 for no gathering.
    package var gatherMicrosecondsMax = 4000
    /// The same in multiples of the last flush's own time.
    package var gatherFlushesMax = 20
    /// Callers that must have shared the last flush for the next to be put off.
    package var gatherWaitersMin = 2
    /// Waiting callers from which on a flush is not put off.
    package var gatherWaitersMax = 512
    /// Bytes of segments, newest first, whose checksums are compared when the journal is opened. Older blocks are compared
    /// when they are read; the last segment is always compared.
    package var verifiedAtOpenBytesMax: UInt64 = 64 << 20

    package init() {}
}
