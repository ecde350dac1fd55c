// SPDX-License-Identifier: Apache-2.0

/// Finds the records in a document that carries several: a log file's `{"Records":[...]}`, a list of records, or records (or
/// any of these) one after the other, as newline-delimited JSON has them.
package enum EventDocument {
    /// Largest document, uncompressed.
    package static let bytesMax = 1 << 30

    /// What was found.
    package struct Contents: Sendable {
        /// Where each record lies, in the order of the document. Well-formed as far as JSON goes, any JSON value.
        package var records: [Range<Int>] = []
        /// What could not be read, with its byte offset in the document. Reading went on at the next line.
        package var failures: [EventError] = []
    }

    /// Walks a document.
    ///
    /// A malformed record in a list is passed over as far as quotes and brackets tell its end. Any other fault ends the value
    /// that it is in; records before it are kept, and reading goes on after the next line break, or stops where there is none.
    package static func records(in document: UnsafeRawBufferPointer) -> Contents {
        var contents = Contents()
        guard document.count <= bytesMax else {
            contents.failures.append(EventError(.tooLarge, at: bytesMax))
            return contents
        }
        var cursor = JSONCursor(document)
        var isFirst = true
        // Looking for the ends of malformed records may pass over the document a few times, not once for each of them.
        var looseBytes = 4 * document.count
        while true {
            do throws(EventError) {
                guard let first = try start(&cursor) else {
                    if isFirst { contents.failures.append(EventError(.empty, at: 0)) }
                    return contents
                }
                isFirst = false
                try value(first, &cursor, &contents, &looseBytes)
            } catch {
                contents.failures.append(error)
                isFirst = false
                // From the fault on, so that a fault further down is not passed over.
                var index = max(cursor.position, min(error.offset, cursor.count))
                while index < cursor.count, cursor.byte(index) != 0x0A { index += 1 }
                guard index < cursor.count else { return contents }
                cursor.position = index + 1
            }
        }
    }

    package static func records(in document: [UInt8]) -> Contents { document.withUnsafeBytes { records(in: $0) } }

    /// The first byte of the next value; nil at the end.
    private static func start(_ cursor: inout JSONCursor) throws(EventError) -> UInt8? {
        if cursor.position == 0, cursor.count >= 3, cursor.byte(0) == 0xEF, cursor.byte(1) == 0xBB,
            cursor.byte(2) == 0xBF
        {
            cursor.position = 3
        }
        guard cursor.position < cursor.count else { return nil }
        do throws(EventError) {
            return try cursor.next()
        } catch {
            if error.reason == .unexpectedEnd { return nil }
            throw error
        }
    }

    private static func value(
        _ first: UInt8, _ cursor: inout JSONCursor, _ contents: inout Contents, _ looseBytes: inout Int
    ) throws(EventError) {
        switch first {
        case 0x5B: try elements(&cursor, &contents, &looseBytes)
        case 0x7B:
            let start = cursor.position
            if try hasRecords(cursor) {
                try envelope(&cursor, &contents, &looseBytes)
            } else {
                _ = try cursor.value()
                contents.records.append(start..<cursor.position)
            }
        default: throw EventError(.notAnObject, at: cursor.position)
        }
    }

    /// Whether the object's first member is `Records`, or any member is and it is a list. Looks ahead on a copy.
    private static func hasRecords(_ cursor: JSONCursor) throws(EventError) -> Bool {
        var cursor = cursor
        cursor.position += 1
        if try cursor.next() == 0x7D { return false }
        while true {
            let name = try cursor.key()
            if isRecords(name, cursor), try cursor.next() == 0x5B { return true }
            _ = try cursor.value()
            guard try cursor.next() == 0x2C else { return false }
            cursor.position += 1
        }
    }

    private static func isRecords(_ name: JSONSpan, _ cursor: JSONCursor) -> Bool {
        UnsafeRawBufferPointer(start: cursor.base + Int(name.offset) + 1, count: name.length - 2).isEqual(to: "Records")
    }

    private static func envelope(
        _ cursor: inout JSONCursor, _ contents: inout Contents, _ looseBytes: inout Int
    ) throws(EventError) {
        cursor.position += 1
        while true {
            let name = try cursor.key()
            if isRecords(name, cursor), try cursor.next() == 0x5B {
                try elements(&cursor, &contents, &looseBytes)
            } else {
                _ = try cursor.value()
            }
            let byte = try cursor.next()
            cursor.position += 1
            if byte == 0x7D { return }
            guard byte == 0x2C else { throw EventError(.unexpectedByte, at: cursor.position - 1) }
        }
    }

    private static func elements(
        _ cursor: inout JSONCursor, _ contents: inout Contents, _ looseBytes: inout Int
    ) throws(EventError) {
        cursor.position += 1
        if try cursor.next() == 0x5D {
            cursor.position += 1
            return
        }
        while true {
            _ = try cursor.next()
            let start = cursor.position
            do throws(EventError) {
                contents.records.append(try cursor.value().range)
            } catch {
                // One bad record must not take those after it along.
                guard let end = looseEnd(cursor, from: start, &looseBytes) else { throw error }
                contents.failures.append(error)
                cursor.position = end
            }
            let byte = try cursor.next()
            cursor.position += 1
            if byte == 0x5D { return }
            guard byte == 0x2C else { throw EventError(.unexpectedByte, at: cursor.position - 1) }
        }
    }

    /// Where a malformed element ends, judged by quotes and brackets alone; nil when that leads to no end of an element.
    private static func looseEnd(_ cursor: JSONCursor, from start: Int, _ looseBytes: inout Int) -> Int? {
        var depth = 0
        var isInText = false
        var index = start
        defer { looseBytes -= index - start }
        let end = min(cursor.count, start + max(looseBytes, 0))
        while index < end {
            let byte = cursor.byte(index)
            if isInText {
                if byte == 0x5C { index += 1 }
                if byte == 0x22 { isInText = false }
            } else {
                switch byte {
                case 0x22: isInText = true
                case 0x7B, 0x5B: depth += 1
                case 0x7D, 0x5D:
                    if depth > 0 {
                        depth -= 1
                    } else if byte == 0x5D {
                        return index > start ? index : nil
                    }
                case 0x2C where depth == 0: return index > start ? index : nil
                default: break
                }
            }
            index += 1
        }
        return nil
    }
}
