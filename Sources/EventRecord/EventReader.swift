// SPDX-License-Identifier: Apache-2.0

/// Where the known members of one record lie: found in one pass, decoded when asked for.
///
/// Plain bytes without references; it belongs to the record it was scanned from and means nothing for another.
package struct EventFields: Sendable {
    var spans = InlineArray<48, JSONSpan>(repeating: .absent)
    /// `eventTime` in seconds since 1970; nil when absent or not a time.
    package var eventSeconds: Int64?

    package init() {}

    /// Where a field's value lies; `.absent` when the record has it not.
    @inline(__always)
    package subscript(_ field: EventField) -> JSONSpan { spans[Int(field.rawValue)] }
}

/// Finds the fields of a record and checks that it is one well-formed JSON object, in a single pass without allocation.
package enum EventReader {
    /// A record may be as large as CloudTrail's largest (`MaxEventSize` `Large`).
    package static let recordBytesMax = 1 << 20
    /// Members at the top of the record, known or not.
    package static let membersMax = 256

    /// Scans a record.
    ///
    /// - Throws: `EventError` with the offset of the fault: not one well-formed JSON object in UTF-8, nested deeper than
    ///   64 levels, a member twice at the top or in the identity, over the limits.
    /// - Complexity: one pass; about 1 GB/s.
    package static func scan(_ record: UnsafeRawBufferPointer) throws(EventError) -> EventFields {
        var fields = EventFields()
        try scan(record, into: &fields)
        return fields
    }

    package static func scan(_ record: ArraySlice<UInt8>) throws(EventError) -> EventFields {
        var fields = EventFields()
        try scan(record, into: &fields)
        return fields
    }

    package static func scan(_ record: [UInt8]) throws(EventError) -> EventFields { try scan(record[...]) }

    package static func scan(_ record: ArraySlice<UInt8>, into fields: inout EventFields) throws(EventError) {
        let failure = record.withUnsafeBytes { (bytes) -> EventError? in
            do throws(EventError) {
                try scan(bytes, into: &fields)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    /// Scans into fields that the caller keeps; after an error they hold what was found before the fault.
    package static func scan(_ record: UnsafeRawBufferPointer, into fields: inout EventFields) throws(EventError) {
        fields = EventFields()
        guard record.count <= recordBytesMax else { throw EventError(.tooLarge, at: recordBytesMax) }
        var cursor = JSONCursor(record)
        let first: UInt8
        do throws(EventError) { first = try cursor.next() } catch {
            throw error.reason == .unexpectedEnd ? EventError(.empty, at: 0) : error
        }
        guard first == 0x7B else { throw EventError(.notAnObject, at: cursor.position) }
        try object(&cursor, parent: nil, table: .record, into: &fields)
        while cursor.position < cursor.count {
            let byte = cursor.byte(cursor.position)
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else {
                throw EventError(.trailingBytes, at: cursor.position)
            }
            cursor.position += 1
        }
    }

    /// Scans the record that the bytes begin with, whatever comes behind it.
    ///
    /// - Returns: its length; nil when none that `scan` would take begins here and is whole.
    package static func scan(prefixOf bytes: UnsafeRawBufferPointer, into fields: inout EventFields) -> Int? {
        fields = EventFields()
        guard bytes.first == 0x7B else { return nil }
        var cursor = JSONCursor(bytes, end: recordBytesMax)
        do throws(EventError) { try object(&cursor, parent: nil, table: .record, into: &fields) } catch { return nil }
        return cursor.position
    }

    private static func object(
        _ cursor: inout JSONCursor, parent: EventField?, table: EventKeyTable, into fields: inout EventFields
    ) throws(EventError) {
        cursor.position += 1
        if try cursor.next() == 0x7D {
            cursor.position += 1
            return
        }
        var members = 0
        var others: [JSONSpan] = []
        while true {
            members += 1
            guard members <= membersMax else { throw EventError(.tooManyMembers, at: cursor.position) }
            let name = try cursor.key()
            let field = self.field(name, table, cursor)
            guard let field else {
                if parent == nil { try remember(name, among: &others, cursor) }
                _ = try cursor.value()
                if try endsAfterMember(&cursor) { return }
                continue
            }
            guard !fields[field].isPresent else {
                throw EventError(.duplicateMember, at: Int(name.offset), member: field.path)
            }
            let first = try cursor.next()
            let start = cursor.position
            if first == 0x22 {
                let span = try cursor.text()
                fields.spans[Int(field.rawValue)] = span
                if field == .eventTime, !span.hasEscapes {
                    let text = UnsafeRawBufferPointer(start: cursor.base + start + 1, count: span.length - 2)
                    fields.eventSeconds = EventTime.seconds(text)
                }
            } else {
                let child: EventKeyTable? =
                    switch field {
                    case .userIdentity: .identity
                    case .sessionContext: .session
                    case .sessionIssuer: .issuer
                    default: nil
                    }
                if first == 0x7B, let child {
                    try object(&cursor, parent: field, table: child, into: &fields)
                } else {
                    try cursor.scalarOrContainer(first)
                }
                fields.spans[Int(field.rawValue)] = JSONSpan(
                    offset: start, length: cursor.position - start, hasEscapes: false)
            }
            if try endsAfterMember(&cursor) { return }
        }
    }

    @inline(__always)
    private static func endsAfterMember(_ cursor: inout JSONCursor) throws(EventError) -> Bool {
        let byte = try cursor.next()
        guard byte == 0x2C || byte == 0x7D else { throw EventError(.unexpectedByte, at: cursor.position) }
        cursor.position += 1
        return byte == 0x7D
    }

    @inline(__always)
    private static func field(_ name: JSONSpan, _ table: EventKeyTable, _ cursor: JSONCursor) -> EventField? {
        let inside = UnsafeRawBufferPointer(start: cursor.base + Int(name.offset) + 1, count: name.length - 2)
        guard name.hasEscapes else { return table.field(cursor.base + Int(name.offset) + 1, inside.count) }
        let decoded = JSONText.decoded(inside)
        return decoded.withUnsafeBytes { bytes in
            bytes.baseAddress.flatMap { table.field($0, bytes.count) }
        }
    }

    /// Keeps the names that are not ours, to find one that comes twice.
    private static func remember(
        _ name: JSONSpan, among others: inout [JSONSpan], _ cursor: JSONCursor
    ) throws(EventError) {
        func text(_ span: JSONSpan) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(start: cursor.base + Int(span.offset) + 1, count: span.length - 2)
        }
        for other in others {
            let isSame: Bool =
                if name.hasEscapes || other.hasEscapes {
                    JSONText.decoded(text(name)) == JSONText.decoded(text(other))
                } else {
                    name.length == other.length && text(name).elementsEqual(text(other))
                }
            if isSame { throw EventError(.duplicateMember, at: Int(name.offset)) }
        }
        others.append(name)
    }
}
