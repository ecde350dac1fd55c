// SPDX-License-Identifier: Apache-2.0

/// Entries in a row, where they lie: nothing is copied to give them.
package struct JournalBatch: Sendable {
    /// Number of the first entry.
    package var first: UInt64
    /// Number of the entry to read next.
    package var next: UInt64
    package private(set) var count = 0
    private var runs: [Run] = []

    /// Entries that lie behind one another, each behind its length.
    private struct Run: Sendable {
        var payload: Payload
        var count: Int
    }

    private enum Payload: Sendable {
        /// What was read from a file.
        case read([UInt8], Range<Int>)
        /// A block that is kept since it was written.
        case kept(KeptPayload)
    }

    package init(first: UInt64, next: UInt64) {
        self.first = first
        self.next = next
    }

    /// - Parameter entries: numbered from `first` on; the next to read is the one behind them.
    package init(first: UInt64, entries: [[UInt8]]) {
        self.init(first: first, next: first + UInt64(entries.count))
        var payload: [UInt8] = []
        for entry in entries {
            withUnsafeBytes(of: UInt32(truncatingIfNeeded: entry.count).littleEndian) { payload.append(contentsOf: $0) }
            payload.append(contentsOf: entry)
        }
        append(payload, payload.indices, entries.count)
    }

    mutating func append(_ bytes: [UInt8], _ range: Range<Int>, _ count: Int) {
        runs.append(Run(payload: .read(bytes, range), count: count))
        self.count += count
    }

    mutating func append(_ kept: KeptPayload, _ count: Int) {
        runs.append(Run(payload: .kept(kept), count: count))
        self.count += count
    }

    /// Gives each entry with its number. Its bytes are there during the call only.
    ///
    /// - Throws: what the body throws; no further entry is given then.
    package func forEach<Failure: Error>(
        _ body: (_ number: UInt64, _ entry: UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        var number = first
        for run in runs {
            var failure: Failure?
            func give(_ payload: UnsafeRawBufferPointer) {
                var position = 0
                for _ in 0..<run.count {
                    let start = position + BlockPayload.lengthBytes
                    position = start + Int(payload.load32(position))
                    do throws(Failure) {
                        try body(number, UnsafeRawBufferPointer(rebasing: payload[start..<position]))
                    } catch {
                        failure = error
                        return
                    }
                    number += 1
                }
            }
            switch run.payload {
            case .read(let bytes, let range):
                bytes.withUnsafeBytes { give(UnsafeRawBufferPointer(rebasing: $0[range])) }
            case .kept(let kept): kept.withBytes(give)
            }
            if let failure { throw failure }
        }
    }

    /// The entries as arrays; those that were not read from a file are copied, a block at a time.
    package var entries: [ArraySlice<UInt8>] {
        var entries: [ArraySlice<UInt8>] = []
        entries.reserveCapacity(count)
        for run in runs {
            let bytes: [UInt8]
            var position: Int
            switch run.payload {
            case .read(let all, let range): (bytes, position) = (all, range.lowerBound)
            case .kept(let kept): (bytes, position) = (kept.withBytes { Array($0) }, 0)
            }
            for _ in 0..<run.count {
                let start = position + BlockPayload.lengthBytes
                let length = bytes.withUnsafeBytes { Int($0.load32(position)) }
                position = start + length
                entries.append(bytes[start..<position])
            }
        }
        return entries
    }
}
