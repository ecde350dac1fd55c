// SPDX-License-Identifier: Apache-2.0

import EventJournal
import Foundation

/// A small journal in a folder of its own.
func openJournal(_ path: String) throws -> Journal {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    var limits = JournalLimits()
    limits.segmentBytes = 1 << 20
    limits.blockBytesMax = 1 << 16
    limits.batchBytesMax = 1 << 19
    limits.reserveBytes = 0
    return try Journal.open(directory: path, device: POSIXJournalDevice(), limits: limits, clock: { 0 })
}
