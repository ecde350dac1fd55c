// SPDX-License-Identifier: Apache-2.0

/// A place in the record, known to the reader or not: members' names from the top of the record inwards. Lists on the way are
/// looked through: `resources.ARN` is the ARN of each entry.
package struct EventPath: Sendable, Hashable {
    /// A value that the record does not have in one place, under a name that no record uses.
    package enum Derived: String, Sendable, Hashable, CaseIterable {
        /// The user's name as LookupEvents shows it.
        case user
        /// Each resource's name or ARN as LookupEvents shows it.
        case resource
        case resourceType
        case category
    }

    package let names: [String]
    package let derived: Derived?
    /// The deepest place on the way that the reader finds by itself; nil when that is the record.
    let field: EventField?
    /// Where in `names` the way goes on from there.
    let restStart: Int

    package static let namesMax = 32

    /// - Parameter names: at least one.
    package init(_ names: [String]) {
        self.names = names
        derived = names.count == 1 ? Derived(rawValue: names[0]) : nil
        var field: EventField?
        var start = 0
        for end in 1...max(1, min(4, names.count)) {
            guard let known = EventField(path: names.prefix(end).joined(separator: ".")) else { break }
            field = known
            start = end
        }
        self.field = field
        restStart = start
    }

    package init(_ field: EventField) { self.init(field.path.split(separator: ".").map(String.init)) }

    /// The field that is exactly this place, if the reader finds it.
    package var wholeField: EventField? { restStart == names.count ? field : nil }

    /// Fields that are texts by the record schema, and in history's columns: an object or list there counts as no value.
    static let textFields: Set<EventField> = [
        .eventName, .eventSource, .awsRegion, .identityAccessKeyID, .identityARN, .sourceIPAddress, .errorCode,
    ]

    /// The field that is exactly this place, if it is one of `textFields`.
    var textField: EventField? { wholeField.flatMap { Self.textFields.contains($0) ? $0 : nil } }

    /// As the filter language writes it.
    package var text: String {
        names.map { name in
            let isPlain = !name.isEmpty && name.utf8.allSatisfy(FilterLexer.isPlainInName)
            return isPlain
                ? name
                : "\"" + name.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        }.joined(separator: ".")
    }

    /// Whether a value at the place passes the test. Texts are given without quotes, escapes resolved; numbers and booleans as
    /// they are written; null never, objects never.
    package func hasValue(
        _ fields: EventFields, in record: UnsafeRawBufferPointer, where test: (UnsafeRawBufferPointer) -> Bool
    ) -> Bool {
        if let derived { return hasDerived(derived, fields, record, test) }
        if let textField { return fields.withText(textField, in: record) { $0.map(test) ?? false } }
        return walk(fields, record) { span in
            JSONText.withText(span, in: record) { text in text.map(test) ?? false }
        }
    }

    /// Whether there is anything at the place but null; an object or list counts, but for fields that are texts.
    package func exists(_ fields: EventFields, in record: UnsafeRawBufferPointer) -> Bool {
        if let derived { return hasDerived(derived, fields, record) { _ in true } }
        if let textField { return fields.withText(textField, in: record) { $0 != nil } }
        return walk(fields, record, takesContainers: true) { span in record[Int(span.offset)] != 0x6E }
    }

    /// Gives the first value at the place; nil when there is none. An object is given as its JSON.
    package func withFirst<R>(
        _ fields: EventFields, in record: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?) -> R
    ) -> R {
        if let textField { return fields.withText(textField, in: record, body) }
        if let field = wholeField, fields[field].isPresent {
            let first = record[Int(fields[field].offset)]
            if first != 0x7B, first != 0x5B { return fields.withText(field, in: record, body) }
        }
        if derived == .user { return fields.withUsername(in: record, body) }
        if derived != nil {
            var found: [UInt8]?
            _ = hasValue(fields, in: record) { text in
                found = Array(text)
                return true
            }
            return found.map { $0.withUnsafeBytes { body($0) } } ?? body(nil)
        }
        var found = JSONSpan.absent
        _ = walk(fields, record, takesContainers: true) { span in
            found = span
            return true
        }
        guard found.isPresent else { return body(nil) }
        if record[Int(found.offset)] == 0x7B { return body(UnsafeRawBufferPointer(rebasing: record[found.range])) }
        return JSONText.withText(found, in: record, body)
    }

    /// The fields that the reader must find for the place; none when it lies outside of them.
    var fieldsNeeded: Set<EventField> {
        switch derived {
        case .user: LookupAttribute.Key.username.fieldsNeeded
        case .resource, .resourceType: LookupAttribute.Key.resourceName.fieldsNeeded
        case .category: EventFilter.category(.data).fieldsNeeded
        case nil: field.map { [$0] } ?? []
        }
    }

    private func hasDerived(
        _ derived: Derived, _ fields: EventFields, _ record: UnsafeRawBufferPointer,
        _ test: (UnsafeRawBufferPointer) -> Bool
    ) -> Bool {
        switch derived {
        case .user: return fields.withUsername(in: record) { $0.map(test) ?? false }
        case .category: return fields.category(in: record).rawValue.withUnsafeUTF8(test)
        case .resourceType, .resource:
            var isHit = false
            fields.forEachResource(in: record) { type, name in
                guard !isHit else { return }
                if derived == .resourceType {
                    isHit = type.map(test) ?? false
                } else {
                    isHit = test(EventResources.shownName(name, type: type))
                }
            }
            return isHit
        }
    }

    /// Visits the values at the place until one passes. What is not well-formed has no values.
    private func walk(
        _ fields: EventFields, _ record: UnsafeRawBufferPointer, takesContainers: Bool = false,
        _ test: (JSONSpan) -> Bool
    ) -> Bool {
        var cursor: JSONCursor
        if let field {
            guard fields[field].isPresent, fields[field].range.upperBound <= record.count else { return false }
            let span = fields[field]
            if restStart == names.count, takesContainers || record[Int(span.offset)] != 0x5B { return test(span) }
            cursor = JSONCursor(record, at: Int(span.offset), end: span.range.upperBound)
        } else {
            cursor = JSONCursor(record)
        }
        return (try? Self.walk(&cursor, names[restStart...], takesContainers, depth: 0, test)) ?? false
    }

    private static func walk(
        _ cursor: inout JSONCursor, _ names: ArraySlice<String>, _ takesContainers: Bool, depth: Int,
        _ test: (JSONSpan) -> Bool
    ) throws(EventError) -> Bool {
        guard depth < JSONCursor.depthMax else { throw EventError(.tooDeep, at: cursor.position) }
        let first = try cursor.next()
        guard first == 0x5B || (first == 0x7B && !names.isEmpty) else {
            let span = try cursor.value()
            return names.isEmpty && (first != 0x7B || takesContainers) && test(span)
        }
        let start = cursor.position
        cursor.position += 1
        if try cursor.next() == first + 2 {
            cursor.position += 1
            // An empty list is something, when asked whether there is anything.
            return names.isEmpty && takesContainers && test(JSONSpan(offset: start, length: 2, hasEscapes: false))
        }
        while true {
            if first == 0x5B {
                if try walk(&cursor, names, takesContainers, depth: depth + 1, test) { return true }
            } else {
                let name = try cursor.key()
                if isName(name, names[names.startIndex], cursor) {
                    if try walk(&cursor, names.dropFirst(), takesContainers, depth: depth + 1, test) { return true }
                } else {
                    _ = try cursor.value()
                }
            }
            let byte = try cursor.next()
            cursor.position += 1
            if byte == first + 2 { return false }
            guard byte == 0x2C else { throw EventError(.unexpectedByte, at: cursor.position - 1) }
        }
    }

    static func isName(_ span: JSONSpan, _ name: String, _ cursor: JSONCursor) -> Bool {
        let inside = UnsafeRawBufferPointer(start: cursor.base + Int(span.offset) + 1, count: span.length - 2)
        return span.hasEscapes
            ? JSONText.decoded(inside).withUnsafeBytes { $0.isEqual(to: name) } : inside.isEqual(to: name)
    }
}
