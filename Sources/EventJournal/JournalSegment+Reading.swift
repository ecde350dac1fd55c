// SPDX-License-Identifier: Apache-2.0

extension JournalSegment {
    /// Reads entries of this segment; the checksum of each block is compared.
    ///
    /// - Parameter durable: one past the last durable entry of the journal, which is above `from`.
    func read(from: UInt64, durable: UInt64, bytesMax: Int) throws(JournalError) -> JournalBatch {
        let limit: UInt64
        do throws(JournalDeviceError) {
            limit = if let end { end } else { try file.size() }
        } catch {
            throw .device(.inputOutput, error)
        }
        let start = row(for: from)
        var offset = start.offset
        var number = start.number
        var latest = start.before
        var batch = JournalBatch(first: from, next: from)
        // A little more than wanted, for the blocks before the first entry.
        var window = SegmentWindow(
            self, limit: limit, windowBytes: min(max(bytesMax, 0), 8 << 20) + Int(Self.rowBytes))
        var held = 0
        while number < durable, offset < limit, held == 0 || held < bytesMax {
            guard let (header, _) = try window.header(at: offset), header.first == number, !header.isMark else {
                // In a segment whose end was not looked for, zeros follow the last block.
                if end == nil, number > from { break }
                throw .damaged("the block of entry \(number) is damaged", path, at: offset)
            }
            if header.next > from {
                guard let payload = try window.payload(of: header, at: offset) else {
                    throw .damaged("the block of entry \(number) is damaged", path, at: offset)
                }
                var entry = number
                var start = payload.lowerBound
                let isWhole = window.bytes.withUnsafeBytes { raw in
                    BlockPayload.forEach(UnsafeRawBufferPointer(rebasing: raw[payload]), count: header.count) { range in
                        if entry < from { start = payload.lowerBound + range.upperBound }
                        entry += 1
                    }
                }
                guard isWhole else {
                    throw .damaged("the entries of the block of entry \(number) do not add up", path, at: offset)
                }
                batch.append(
                    window.bytes, start..<payload.upperBound, Int(header.next - max(number, from)))
                held += payload.count
                batch.next = header.next
            }
            note(header.first, at: offset, before: latest)
            latest = max(latest, header.time)
            number = header.next
            offset += header.stride(self.header.alignment)
        }
        return batch
    }

    /// The first entry whose block was written at a time or after it; nil when there is none in this segment.
    ///
    /// - Parameters:
    ///   - time: milliseconds since 1970-01-01T00:00:00Z.
    ///   - durable: one past the last durable entry of the journal.
    func first(writtenAtOrAfter time: Int64, durable: UInt64) throws(JournalError) -> UInt64? {
        if let latest, latest < time { return nil }
        let limit: UInt64
        do throws(JournalDeviceError) {
            limit = if let end { end } else { try file.size() }
        } catch {
            throw .device(.inputOutput, error)
        }
        let start = row(before: time)
        var offset = start.offset
        var number = start.number
        var latest = start.before
        var window = SegmentWindow(self, limit: limit, windowBytes: Int(Self.rowBytes) * 2)
        while number < durable, offset < limit {
            guard let (header, _) = try window.header(at: offset), header.first == number, !header.isMark else {
                if end == nil { break }
                throw .damaged("the block of entry \(number) is damaged", path, at: offset)
            }
            if header.time >= time { return header.first }
            note(header.first, at: offset, before: latest)
            latest = max(latest, header.time)
            number = header.next
            offset += header.stride(self.header.alignment)
        }
        return nil
    }
}
