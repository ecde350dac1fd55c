// SPDX-License-Identifier: Apache-2.0
//
// Cuts records out of a document that comes in pieces, holding one record at most. Taken are
//
//     {"Records":[RECORD,...]}      as CloudTrail delivers them; other members are passed over
//     [RECORD,...]
//     RECORD RECORD ...             one after another, a line each or over several lines
//
// Quotes and brackets alone decide where a record ends; what lies inside is left to the record's reader, which can then tell
// one bad record from its good neighbours. A text cannot hold a line break, and a line that begins with a brace begins a record
// where no member's value is awaited: so a record that breaks off takes no later line with it.

package import EventRecord
internal import Glibc

/// Finds the records of a document, piece by piece.
package struct RecordStream {
    /// A record, or what is none.
    package struct Item {
        /// Byte offset in the document, and line from 1.
        package var offset: Int
        package var line: Int
        /// The record's bytes, or why there is none.
        package var outcome: Result<[UInt8], Problem>
        /// What was found in the record, where it was read on the way.
        package var fields: EventFields?

        /// The record as an event; it is read now if it was not before.
        ///
        /// - Throws: `EventError` as `EventReader.scan` does.
        package func event(_ record: [UInt8]) throws(EventError) -> Event {
            if let fields { return Event(record: record[...], fields: fields) }
            return try Event(record)
        }
    }

    /// Why something is no record.
    package struct Problem: Error {
        package var reason: String
    }

    private enum Mode {
        case top
        /// Between the records of a list.
        case list
        /// In an object at the top, which is a record unless it turns out to hold `Records`.
        case object
        /// In an object of a list.
        case record
        /// In some other value of a list.
        case stray
        /// After a fault, up to the end of the line.
        case lost
    }

    private var mode = Mode.top
    private var offset = 0
    private var line = 1
    private var isEmpty = true
    /// The object at the top holds `Records`, and is no record.
    private var isEnvelope = false
    private var isInList = false
    private var isListInEnvelope = false

    // The value under way.
    private var bytes: [UInt8] = []
    private var start = 0
    private var startLine = 1
    private var isTooLarge = false
    private var depth = 0
    private var isInText = false
    private var isEscaped = false
    /// The last byte that is no blank, and whether only blanks stand before in this line.
    private var before: UInt8 = 0
    private var isLineStart = true
    /// Letters of `Records` that the text under way has matched; -1 when it is another.
    private var matched = -1
    private var isRecordsName = false

    private static let name = Array("Records".utf8)
    private static let depthMax = 64

    package init() {}

    /// Takes the next piece; gives what ended in it.
    package mutating func take(_ piece: UnsafeRawBufferPointer, _ give: (Item) -> Void) {
        var at = 0
        while at < piece.count {
            if piece[at] == UInt8(ascii: "{"), mode == .list || mode == .top {
                at += whole(UnsafeRawBufferPointer(rebasing: piece[at...]), give)
                guard at < piece.count else { return }
            }
            step(piece[at], give)
            at += 1
        }
    }

    /// Takes records that lie whole and well-formed in a piece, in one pass that is their reader's as well. All else is left
    /// to the slow way, which can say what is wrong.
    ///
    /// - Returns: the bytes taken.
    private mutating func whole(_ piece: UnsafeRawBufferPointer, _ give: (Item) -> Void) -> Int {
        var at = 0
        var fields = EventFields()
        while at < piece.count, piece[at] == UInt8(ascii: "{") {
            let rest = UnsafeRawBufferPointer(rebasing: piece[at...])
            guard let length = EventReader.scan(prefixOf: rest, into: &fields) else { return at }
            let record = UnsafeRawBufferPointer(rebasing: rest[..<length])
            // An object at the top that may hold records.
            if mode == .top, Self.mayBeEnvelope(record) { return at }
            give(Item(offset: offset, line: line, outcome: .success(Array(record)), fields: fields))
            isEmpty = false
            isLineStart = false
            line += Self.lines(record)
            offset += length
            at += length
            // Between records there is a line break or a comma.
            while at < piece.count, piece[at] == 0x0A || mode == .list && piece[at] == UInt8(ascii: ",") {
                step(piece[at], give)
                at += 1
            }
        }
        return at
    }

    /// Whether the name of the member stands anywhere in it.
    private static func mayBeEnvelope(_ record: UnsafeRawBufferPointer) -> Bool {
        var rest = record
        // Its first letter is rare.
        while let base = rest.baseAddress, let found = memchr(base, Int32(name[0]), rest.count) {
            rest = UnsafeRawBufferPointer(rebasing: rest[(UnsafeRawPointer(found) - base)...])
            if rest.starts(with: name) { return true }
            rest = UnsafeRawBufferPointer(rebasing: rest[1...])
        }
        return false
    }

    /// Line breaks between a record's members.
    private static func lines(_ record: UnsafeRawBufferPointer) -> Int {
        var count = 0
        var rest = record
        while let base = rest.baseAddress, let found = memchr(base, 0x0A, rest.count) {
            count += 1
            rest = UnsafeRawBufferPointer(rebasing: rest[(UnsafeRawPointer(found) - base + 1)...])
        }
        return count
    }

    /// Says that the document has ended.
    package mutating func finish(_ give: (Item) -> Void) {
        while mode == .object, !isEnvelope, !isTooLarge, bytes.contains(0x0A) {
            breakOff("the record breaks off", underWay: nil, give)
        }
        switch mode {
        case .top, .lost: break
        case .list where !isListInEnvelope, .stray: problem(offset, line, "the list of records breaks off", give)
        default: problem(start, startLine, "the document breaks off", give)
        }
        if isEmpty { problem(0, 1, "the document is empty", give) }
    }

    private func problem(_ offset: Int, _ line: Int, _ reason: String, _ give: (Item) -> Void) {
        give(Item(offset: offset, line: line, outcome: .failure(Problem(reason: reason))))
    }

    @inline(__always)
    private mutating func step(_ byte: UInt8, _ give: (Item) -> Void) {
        switch mode {
        case .object, .record, .stray: inside(byte, give)
        case .top: top(byte, give)
        case .list: list(byte, give)
        case .lost: break
        }
        offset += 1
        if byte == 0x0A {
            line += 1
            isLineStart = true
            if mode == .lost { mode = isInList ? .list : .top }
        } else if byte > 0x20 {
            isLineStart = false
        }
    }

    private mutating func top(_ byte: UInt8, _ give: (Item) -> Void) {
        switch byte {
        case 0x20, 0x09, 0x0A, 0x0D: return
        // A byte order mark is not JSON, but editors leave it.
        case 0xEF where offset == 0, 0xBB where offset == 1, 0xBF where offset == 2: return
        case UInt8(ascii: "{"):
            isEnvelope = false
            begin(.object, byte)
        case UInt8(ascii: "["):
            mode = .list
            isInList = true
            isListInEnvelope = false
        default:
            problem(offset, line, "neither a JSON object nor a list begins here", give)
            mode = .lost
        }
        isEmpty = false
    }

    private mutating func list(_ byte: UInt8, _ give: (Item) -> Void) {
        switch byte {
        case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: ","): return
        case UInt8(ascii: "]"):
            isInList = false
            if isListInEnvelope {
                mode = .object
                depth = 1
                before = byte
            } else {
                mode = .top
            }
        case UInt8(ascii: "{"): begin(.record, byte)
        default:
            problem(offset, line, "a record must be a JSON object", give)
            begin(.stray, byte)
            if byte == UInt8(ascii: "\"") { isInText = true }
            depth = byte == UInt8(ascii: "[") ? 1 : 0
        }
    }

    private mutating func begin(_ mode: Mode, _ byte: UInt8) {
        self.mode = mode
        bytes.removeAll(keepingCapacity: true)
        bytes.append(byte)
        start = offset
        startLine = line
        isTooLarge = false
        depth = 1
        isInText = false
        isEscaped = false
        before = byte
        matched = -1
        isRecordsName = false
    }

    @inline(__always)
    private mutating func inside(_ byte: UInt8, _ give: (Item) -> Void) {
        if isInText {
            keep(byte)
            if isEscaped {
                isEscaped = false
                matched = -1
            } else if byte == 0x5C {
                isEscaped = true
            } else if byte == 0x22 {
                isInText = false
                isRecordsName = matched == Self.name.count
            } else if byte == 0x0A {
                breakOff("a line break stands inside a text", underWay: byte, give)
            } else if matched >= 0 {
                matched = matched < Self.name.count && Self.name[matched] == byte ? matched + 1 : -1
            }
            if !isInText { before = byte }
            return
        }
        switch byte {
        case 0x20, 0x09, 0x0A, 0x0D:
            keep(byte)
            if mode == .stray, depth == 0 { mode = .list }
            return
        case 0x22:
            isInText = true
            matched = mode == .object && depth == 1 ? 0 : -1
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            if mode == .object, depth == 1, byte == UInt8(ascii: "["), before == UInt8(ascii: ":"), isRecordsName {
                isEnvelope = true
                isListInEnvelope = true
                isInList = true
                mode = .list
                return
            }
            let awaitsValue =
                before == UInt8(ascii: ":") || before == UInt8(ascii: ",") || before == UInt8(ascii: "[")
            if mode == .object, !isEnvelope, depth >= Self.depthMax || (isLineStart && !awaitsValue) {
                keep(byte)
                breakOff("the record breaks off", underWay: byte, give)
                return
            }
            depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            if mode == .stray, depth == 0 {
                mode = .list
                list(byte, give)
                return
            }
            depth -= 1
        case UInt8(ascii: ",") where mode == .stray && depth == 0:
            mode = .list
            return
        default: break
        }
        keep(byte)
        if byte != UInt8(ascii: ":") && byte != UInt8(ascii: "[") { isRecordsName = isRecordsName && byte == 0x22 }
        before = byte
        if depth == 0, mode != .stray { end(give) }
    }

    @inline(__always)
    private mutating func keep(_ byte: UInt8) {
        guard !isEnvelope || mode == .record, !isTooLarge, mode != .stray else { return }
        guard bytes.count < EventReader.recordBytesMax else {
            isTooLarge = true
            bytes.removeAll(keepingCapacity: true)
            return
        }
        bytes.append(byte)
    }

    private mutating func end(_ give: (Item) -> Void) {
        let wasEnvelope = mode == .object && isEnvelope
        mode = isInList ? .list : .top
        if wasEnvelope {
            isEnvelope = false
            return
        }
        if isTooLarge {
            problem(
                start, startLine, "the record is larger than \(EventReader.recordBytesMax) bytes", give)
        } else {
            give(Item(offset: start, line: startLine, outcome: .success(bytes)))
        }
    }

    /// Gives up the value under way; what of it stood on later lines is read again, so that nothing good is lost with it.
    ///
    /// - Parameter underWay: the last byte kept, where it has not been counted yet; whoever called does that.
    private mutating func breakOff(_ reason: String, underWay: UInt8?, _ give: (Item) -> Void) {
        problem(start, startLine, reason, give)
        isInText = false
        guard mode == .object, !isEnvelope else {
            mode = isInList ? .list : .top
            return
        }
        mode = .top
        guard let end = bytes.firstIndex(of: 0x0A) else {
            if isTooLarge, let underWay, underWay == UInt8(ascii: "{") {
                begin(.object, underWay)
            } else {
                mode = .lost
            }
            return
        }
        let rest = bytes[(end + 1)...]
        guard let last = rest.last else { return }
        offset = start + end + 1
        line = startLine + 1
        isLineStart = true
        for byte in underWay != nil ? rest.dropLast() : rest { step(byte, give) }
        guard underWay != nil else { return }
        switch mode {
        case .object, .record, .stray: inside(last, give)
        case .top: top(last, give)
        case .list: list(last, give)
        case .lost: break
        }
    }
}
