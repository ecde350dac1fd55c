// SPDX-License-Identifier: Apache-2.0

internal import EventRecord

/// Reads blocks of a segment once, from begin to end, past the cache and in memory that is kept; for one thread.
final class BlockScan {
    private var codes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var texts = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var filter: TokenFilter<SegmentGroup>?
    /// Which segment's and group's the filter is.
    private var filterOwner: (segment: UInt64, group: UInt32)?
    private var entry: [UInt8] = []

    deinit {
        codes.deallocate()
        texts.deallocate()
    }

    /// What a scan looks for in a segment.
    struct Question: Sendable {
        /// nil when tokens tell nothing.
        var tokens: TokenQuestion?
        /// Whether columns have decided already, and all events given take part.
        var isDecided: Bool
        /// Whether the body needs the entry of an event that takes part.
        var needsEntry: Bool
    }

    /// An event that takes part, or may.
    struct Found {
        let arrival: Int
        /// Empty where no one needs it.
        let entry: UnsafeRawBufferPointer
        /// Whether the filter is still to be asked.
        let isUndecided: Bool
    }

    /// Gives the events of a block to the body that take part; of those whose arrival index is in a list, when there is one.
    ///
    /// - Parameter arrivals: ascending, from the block's first on.
    func scan(
        _ segment: HistorySegment, block index: Int, _ arrivals: ArraySlice<UInt32>?, _ question: Question,
        _ cache: HistoryCache, _ body: (Found) throws(HistoryError) -> Void
    ) throws(HistoryError) {
        let block = segment.blocks[index]
        let name = PartName(kind: .block, index: UInt32(truncatingIfNeeded: index))
        let group = try segment.group(block.group, cache)
        let stored = try segment.stored(name)
        try stored.withBytes { (stored) throws(HistoryError) in
            guard let parts = HistoryBlock.Stored(stored), parts.events == segment.arrivals(ofBlock: index).count,
                let codes = Self.decompressed(parts.codes, parts.codeBytes, &codes),
                let texts = Self.decompressed(parts.texts, parts.textBytes, &texts)
            else { throw segment.malformed(name) }
            let reader = EntryReader(codes: codes, texts: texts, fixed: parts.fixed)
            try scan(segment, name, reader, parts.events, block, group, arrivals, question, cache, body)
        }
    }

    private func scan(
        _ segment: HistorySegment, _ name: PartName, _ start: EntryReader, _ events: Int, _ block: HistorySegment.Block,
        _ group: SegmentGroup, _ arrivals: ArraySlice<UInt32>?, _ question: Question, _ cache: HistoryCache,
        _ body: (Found) throws(HistoryError) -> Void
    ) throws(HistoryError) {
        var reader = start
        var filter: TokenFilter<SegmentGroup>?
        if !question.isDecided, let tokens = question.tokens {
            filter = self.filter(segment, block.group, group, tokens)
        }
        var at = arrivals?.startIndex ?? 0
        for arrival in block.first..<block.first + events {
            if let arrivals {
                guard at < arrivals.endIndex else { return }
                guard Int(arrivals[at]) == arrival else {
                    guard reader.pass(group) else { throw segment.malformed(name) }
                    continue
                }
                at += 1
            }
            let here = reader
            if let filter {
                switch filter.verdict(&reader) {
                case .leaves: continue
                case .malformed: throw segment.malformed(name)
                case .takes:
                    try give(segment, name, here, arrival, group, question.needsEntry, isUndecided: false, cache, body)
                case .unknown: try give(segment, name, here, arrival, group, true, isUndecided: true, cache, body)
                }
            } else {
                guard reader.pass(group) else { throw segment.malformed(name) }
                try give(
                    segment, name, here, arrival, group, question.needsEntry || !question.isDecided,
                    isUndecided: !question.isDecided, cache, body)
            }
        }
    }

    private func give(
        _ segment: HistorySegment, _ name: PartName, _ reader: EntryReader, _ arrival: Int, _ group: SegmentGroup,
        _ needsEntry: Bool, isUndecided: Bool, _ cache: HistoryCache, _ body: (Found) throws(HistoryError) -> Void
    ) throws(HistoryError) {
        var reader = reader
        entry.removeAll(keepingCapacity: true)
        if needsEntry {
            let number = try segment.number(arrival, cache)
            guard reader.entry(group, number: number, to: &entry) else {
                throw group.failure ?? segment.malformed(name)
            }
        }
        try entry.withBytes { (entry) throws(HistoryError) in
            try body(Found(arrival: arrival, entry: entry, isUndecided: isUndecided))
        }
    }

    private func filter(
        _ segment: HistorySegment, _ number: UInt32, _ group: SegmentGroup, _ question: TokenQuestion
    ) -> TokenFilter<SegmentGroup> {
        if let filter, let owner = filterOwner, owner == (segment.key, number) { return filter }
        let made = TokenFilter(group, question, textCount: group.textCount)
        filter = made
        filterOwner = (segment.key, number)
        return made
    }

    private static func decompressed(
        _ bytes: UnsafeRawBufferPointer, _ count: Int, _ memory: inout UnsafeMutableRawBufferPointer
    ) -> UnsafeRawBufferPointer? {
        if count > memory.count {
            memory.deallocate()
            memory = .allocate(byteCount: max(count, 1 << 16), alignment: 16)
        }
        let room = UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
        return Compressor.decompress(bytes, to: room) ? UnsafeRawBufferPointer(room) : nil
    }
}

extension HistoryBlock {
    /// The parts of a stored block, and what they are decompressed to.
    struct Stored {
        let events: Int
        let codeBytes: Int
        let textBytes: Int
        /// As they stand in the block.
        let codes: UnsafeRawBufferPointer
        let fixed: UnsafeRawBufferPointer
        let texts: UnsafeRawBufferPointer

        init?(_ stored: UnsafeRawBufferPointer) {
            guard stored.count >= headBytes else { return nil }
            events = Int(stored.u32(0))
            (codeBytes, textBytes) = (Int(stored.u32(4)), Int(stored.u32(8)))
            let fixedAt = headBytes + Int(stored.u32(16))
            let textsAt = fixedAt + Int(stored.u32(12))
            guard textsAt <= stored.count, 16 + events * 12 + codeBytes + textBytes + textsAt - fixedAt < 1 << 31 else {
                return nil
            }
            codes = UnsafeRawBufferPointer(rebasing: stored[headBytes..<fixedAt])
            fixed = UnsafeRawBufferPointer(rebasing: stored[fixedAt..<textsAt])
            texts = UnsafeRawBufferPointer(rebasing: stored[textsAt...])
        }
    }
}
