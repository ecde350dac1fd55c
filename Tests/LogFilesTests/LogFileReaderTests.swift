// SPDX-License-Identifier: Apache-2.0

import Foundation
import LogFiles
import Testing

struct LogFileReaderTests {
    private func written(_ contents: [[UInt8]]) throws -> (folder: URL, paths: [String]) {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cairn-logs-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let paths = try contents.enumerated().map { index, bytes in
            let file = folder.appendingPathComponent("\(index)")
            try Data(bytes).write(to: file)
            return file.path
        }
        return (folder, paths)
    }

    @Test func `files of all kinds and sizes are read one after another into the same memory`() throws {
        let large = Array(String(repeating: "{\"a\":\"\(UUID())\"}\n", count: 40_000).utf8)
        let small = Array(#"{"Records":[]}"#.utf8)
        let plain = [small, large, [], large + small]
        let packed = try [small, large, small].map { try LogFile.compress($0) }
        let (folder, paths) = try written(plain + [packed[0], packed[1], packed[1] + packed[2]])
        defer { try? FileManager.default.removeItem(at: folder) }
        let reader = try LogFileReader()
        for (path, expected) in zip(paths, plain + [small, large, large + small]) {
            #expect(try Array(reader.content(ofFile: path)) == expected)
        }
        for (path, expected) in zip(paths, plain).reversed() {
            #expect(try Array(reader.content(ofFile: path)) == expected)
        }
    }

    @Test func `what cannot be read is told by its kind, and the next file is read`() throws {
        let packed = try LogFile.compress(Array(repeating: 0x61, count: 100_000))
        let (folder, paths) = try written([Array(packed.dropLast(9)), packed, Array(repeating: 0x62, count: 2000)])
        defer { try? FileManager.default.removeItem(at: folder) }
        let reader = try LogFileReader(contentBytesMax: 1000)
        #expect(throws: LogFileError.self) { try reader.content(ofFile: folder.path + "/none") }
        for path in paths { #expect(throws: LogFileError.self) { try reader.content(ofFile: path) } }
        #expect(try LogFileReader().content(ofFile: paths[1]).count == 100_000)
    }

    @Test func `records that a reader takes are passed, the others are told`() {
        let text = #"{"Records":[{"a":"}"},{"b":1}, {"a":[2]} ,3]} {"a":1} [{"b":{}}]"#
        let content = Array(text.utf8)
        let whole = LogFile.records(in: content)
        var taken: [Range<Int>] = []
        let left = content.withUnsafeBytes { bytes in
            LogFile.records(in: bytes) { start in
                guard bytes[start + 2] == UInt8(ascii: "a"),
                    let range = whole.records.first(where: { $0.lowerBound == start })
                else { return nil }
                taken.append(range)
                return range.upperBound
            }
        }
        #expect(taken.count == 2 && left.records.count == 3)
        #expect((taken + left.records).sorted { $0.lowerBound < $1.lowerBound } == whole.records)
        #expect(left.problems == whole.problems)
    }
}
