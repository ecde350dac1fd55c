// SPDX-License-Identifier: Apache-2.0
//
// Finds the records in a log file without building a tree: one pass that skips strings and counts braces. Taken are
//
//     {"Records":[RECORD,...]}      as CloudTrail delivers them; further members are passed over
//     [RECORD,...]                  as other tools keep them
//     RECORD RECORD ...             one after another, with or without line breaks
//
// What lies inside a record is not checked here: whoever reads the record does that, and can then tell one bad record
// from its good neighbours. A file that breaks off keeps every record that was complete.

/// The places of the records in a log file's content, and what was found that is no record.
package struct LogFileRecords: Sendable, Equatable {
    /// Something at a place where a record should be.
    package struct Problem: Sendable, Equatable {
        /// Byte offset in the content.
        package let offset: Int
        package let reason: String

        package init(offset: Int, reason: String) {
            self.offset = offset
            self.reason = reason
        }
    }

    /// Byte ranges in the content, in order.
    package var records: [Range<Int>] = []
    package var problems: [Problem] = []
}

extension LogFile {
    /// Splits content into records; never throws, since what is wrong is told in `problems`.
    package static func records(in content: [UInt8]) -> LogFileRecords {
        content.withUnsafeBytes { records(in: $0) { _ in nil } }
    }

    /// Splits content into records while somebody else reads them, so that no byte of a good record is looked at twice.
    ///
    /// - Parameter read: reads the record that begins at an offset, and gives the offset behind it; nil when it does not take it.
    ///   It is asked for each record of a list.
    /// - Returns: the records that were not taken: those it gave nil for, and those in no list.
    package static func records(
        in content: UnsafeRawBufferPointer, reading read: (_ start: Int) -> Int?
    ) -> LogFileRecords {
        withoutActuallyEscaping(read) { read in
            var splitter = RecordSplitter(bytes: content, read: read)
            splitter.split()
            return splitter.found
        }
    }
}

private struct RecordSplitter {
    let bytes: UnsafeRawBufferPointer
    let read: (Int) -> Int?
    var index = 0
    var found = LogFileRecords()

    init(bytes: UnsafeRawBufferPointer, read: @escaping (Int) -> Int?) {
        self.bytes = bytes
        self.read = read
    }

    private struct Broken: Error { let reason: String }

    mutating func split() {
        // A byte order mark is not JSON, but editors leave it.
        if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { index = 3 }
        skipBlanks()
        if index == bytes.count { problem(index, "the file is empty") }
        do throws(Broken) {
            while index < bytes.count {
                switch bytes[index] {
                case UInt8(ascii: "{"): try topObject()
                case UInt8(ascii: "["): try array()
                default: throw Broken(reason: "neither a JSON object nor a list begins here")
                }
                skipBlanks()
            }
        } catch {
            problem(index, error.reason)
        }
    }

    private mutating func problem(_ offset: Int, _ reason: String) {
        found.problems.append(LogFileRecords.Problem(offset: offset, reason: reason))
    }

    /// An envelope or a lone record: the first member that is called Records and is a list decides.
    private mutating func topObject() throws(Broken) {
        let start = index
        index += 1
        var isEnvelope = false
        while true {
            skipBlanks()
            guard index < bytes.count else { throw Broken(reason: "the file breaks off") }
            switch bytes[index] {
            case UInt8(ascii: "}"):
                index += 1
                if !isEnvelope { found.records.append(start..<index) }
                return
            case UInt8(ascii: ","): index += 1
            case UInt8(ascii: "\""):
                let name = try string()
                skipBlanks()
                guard index < bytes.count, bytes[index] == UInt8(ascii: ":") else {
                    throw Broken(reason: "a colon must follow a member's name")
                }
                index += 1
                skipBlanks()
                if isRecords(name), index < bytes.count, bytes[index] == UInt8(ascii: "[") {
                    isEnvelope = true
                    try array()
                } else {
                    try skipValue()
                }
            default:
                throw Broken(reason: "a member's name must stand here")
            }
        }
    }

    private func isRecords(_ name: Range<Int>) -> Bool {
        name.count == 7 && bytes[name].elementsEqual("Records".utf8)
    }

    private mutating func array() throws(Broken) {
        index += 1
        while true {
            skipBlanks()
            guard index < bytes.count else { throw Broken(reason: "the list of records breaks off") }
            switch bytes[index] {
            case UInt8(ascii: "]"):
                index += 1
                return
            case UInt8(ascii: ","): index += 1
            case UInt8(ascii: "{"):
                let start = index
                if let end = read(start), end > start, end <= bytes.count {
                    index = end
                    continue
                }
                do throws(Broken) {
                    try skipValue()
                } catch {
                    index = start
                    throw Broken(reason: "a record breaks off")
                }
                found.records.append(start..<index)
            default:
                let start = index
                try skipValue()
                problem(start, "a record must be a JSON object")
            }
        }
    }

    /// Passes over one value; containers by counting, so that mismatched brackets are left to the record's reader.
    private mutating func skipValue() throws(Broken) {
        var depth = 0
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""):
                _ = try string()
                if depth == 0 { return }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                index += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard depth > 0 else { throw Broken(reason: "a value must stand here") }
                depth -= 1
                index += 1
                if depth == 0 { return }
            default:
                if depth > 0 {
                    index += 1
                } else {
                    try scalar()
                    return
                }
            }
        }
        throw Broken(reason: "the file breaks off")
    }

    private mutating func scalar() throws(Broken) {
        let start = index
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."):
                index += 1
                continue
            default: break
            }
            break
        }
        if index == start { throw Broken(reason: "a value must stand here") }
    }

    /// - Returns: the place of the raw text between the quotes.
    private mutating func string() throws(Broken) -> Range<Int> {
        let start = index + 1
        index = start
        while index < bytes.count {
            // Eight at a time, as long as none of them is a quote or a backslash.
            if index + 8 <= bytes.count {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                let quote = word ^ 0x2222_2222_2222_2222
                let slash = word ^ 0x5C5C_5C5C_5C5C_5C5C
                let ends =
                    ((quote &- 0x0101_0101_0101_0101) & ~quote | (slash &- 0x0101_0101_0101_0101) & ~slash)
                    & 0x8080_8080_8080_8080
                if ends == 0 {
                    index += 8
                    continue
                }
                index += ends.trailingZeroBitCount &>> 3
            }
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") {
                index += 1
                return start..<index - 1
            }
            index += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        index = bytes.count
        throw Broken(reason: "a string breaks off")
    }

    private mutating func skipBlanks() {
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            default: return
            }
        }
    }
}
