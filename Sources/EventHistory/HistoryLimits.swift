// SPDX-License-Identifier: Apache-2.0

/// The bounds of event history.
package struct HistoryLimits: Sendable {
    /// Events in a segment before it is sealed.
    package var segmentEventsMax = 65_536
    /// Bytes of entries before a segment is sealed, uncompressed.
    package var segmentBytesMax = 128 << 20
    /// Age of the oldest unsealed event before its segment is sealed, in milliseconds; looked at when events arrive.
    package var segmentAgeMax: Int64 = 24 * 3600 * 1000
    /// Unsealed events, in segments of them, that may wait while segments cannot be written; beyond, indexing stops.
    package var waitingSegmentsMax = 4
    /// Groups of unsealed events, however small, that may wait.
    package var waitingGroupsMax = 64
    /// Milliseconds after which a failed seal is tried again.
    package var sealRetryAfter: Int64 = 5000
    /// zstd level of what segments hold.
    package var compressionLevel: Int32 = 1
    /// Bytes of decompressed blocks, columns and texts kept in memory.
    package var cacheBytes = 64 << 20
    /// Segments that follow one another before they are merged into one.
    package var mergeSegmentsMin = 16
    /// Events in a merged segment.
    package var mergedEventsMax = 1 << 20
    /// Bytes of segments that are merged into one.
    package var mergedBytesMax: UInt64 = 1 << 30
    /// How long events are kept.
    package var retention = HistoryRetention()
    /// Bytes read from the journal at a time.
    package var journalReadBytes = 1 << 20
    /// Freed memory goes back to the system at once where it was taken in pieces of so many bytes or more; for the whole
    /// process, since that is how it is set.
    package var givenBackBytesMin = 512 << 10
    /// Events on a page.
    package var pageEventsMax = 10_000

    package init() {}
}

/// What the operator may want to know.
package struct HistoryStatus: Sendable {
    package var segments: Int
    package var sealedEvents: UInt64
    package var openEvents: Int
    /// One past the last journal number that is indexed.
    package var next: UInt64
    /// Journal numbers below are in segments; the journal needs them no more.
    package var sealedThrough: UInt64
    /// Entries whose record was no well-formed JSON; they are kept and shown as they are, without attributes.
    package var malformedEntries: UInt64
    /// Why the last seal failed; nil when it did not.
    package var lastSealError: HistoryError?
    /// Why segments could not be merged, or dropped at the end of their retention; nil when they could.
    package var lastMaintenanceError: HistoryError?
}
