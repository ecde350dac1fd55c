// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Glibc

@testable import Capture
@testable import LogFiles

extension FuzzTarget {
    /// A log file as import and the commands read it: gzip, zstd or plain, whole and in pieces.
    static let files = FuzzTarget(name: "files") { input in
        let bytes = Array(input)
        if let content = try? LogFile.content(of: bytes, bytesMax: 1 << 20) {
            let found = LogFile.records(in: content)
            var end = 0
            for record in found.records {
                require(record.lowerBound >= end && record.upperBound <= content.count, "records follow each other")
                end = record.upperBound
                _ = try? Event(content[record])
            }
            _ = content.withUnsafeBytes { EventDocument.records(in: $0) }
        }
        stream(bytes)
    }

    private static func stream(_ bytes: [UInt8]) {
        let reader = ContentReader(IntakeSpool(bytes))
        var records = RecordStream()
        func check(_ item: RecordStream.Item) {
            require(item.line >= 1 && item.offset >= 0, "an item has its place")
        }
        var taken = 0
        // A few bytes may inflate to very many: 4 MB tell enough.
        while taken < 4 << 20, let piece = try? reader.next() {
            require(!piece.isEmpty, "a piece has bytes")
            taken += piece.count
            records.take(piece, check)
        }
        records.finish(check)
    }
}
