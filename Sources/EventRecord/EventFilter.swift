// SPDX-License-Identifier: Apache-2.0

/// The one predicate over events: event selectors, look-up attributes and the filter language compile to it.
///
/// Comparisons look at the whole text, case matters. A field that is absent, null, an object or a list matches no comparison;
/// `not` around a comparison therefore holds for it. Numbers and booleans are compared as they are written.
package indirect enum EventFilter: Sendable, Hashable {
    case all
    case nothing
    case and([EventFilter])
    case or([EventFilter])
    case not(EventFilter)
    case compare(EventField, EventComparison, String)
    /// The field is there and not null, and where it is one of `EventPath.textFields`, no object or list.
    case exists(EventField)
    case category(EventCategory)
    /// Event time in seconds since 1970, both ends inclusive; nil is open.
    case time(from: Int64?, through: Int64?)
    case resource(ResourcePattern)
    case lookup(LookupAttribute)
    /// Some value at the path passes the test.
    case value(EventPath, EventValueTest)
    /// These bytes stand somewhere in the record as it is written.
    case phrase(String)
}

package enum EventComparison: UInt8, Sendable, Hashable {
    case equals = 1
    case prefix = 2
    case suffix = 3
}

/// A test on a record's own `resources`, with `type` and `ARN` paired: the ARN tests look only at the entries of the type.
package struct ResourcePattern: Sendable, Hashable {
    /// One operator on `resources.ARN`: positive, some entry's ARN must match some value; negated, none may match any.
    package struct ARNTest: Sendable, Hashable {
        package var comparison: EventComparison
        package var values: [String]
        package var isNegated: Bool

        package init(_ comparison: EventComparison, _ values: [String], isNegated: Bool = false) {
            self.comparison = comparison
            self.values = values
            self.isNegated = isNegated
        }
    }

    /// The type that an entry must have (`AWS::S3::Object`); nil looks at every entry and needs none.
    package var type: String?
    package var tests: [ARNTest]

    package init(type: String?, tests: [ARNTest] = []) {
        self.type = type
        self.tests = tests
    }
}

extension EventFilter {
    /// A comparison with any of several values.
    package static func any(_ field: EventField, _ comparison: EventComparison, _ values: [String]) -> EventFilter {
        values.count == 1 ? .compare(field, comparison, values[0]) : .or(values.map { .compare(field, comparison, $0) })
    }

    /// Whether the filter takes the event.
    package func matches(_ event: Event) -> Bool {
        event.record.withUnsafeBytes { matches(event.fields, in: $0) }
    }

    /// Whether the filter takes the event whose fields were found in these bytes. No allocation, unless the record has
    /// escapes where the filter looks.
    package func matches(_ fields: EventFields, in record: UnsafeRawBufferPointer) -> Bool {
        switch self {
        case .all: return true
        case .nothing: return false
        case .and(let parts): return parts.allSatisfy { $0.matches(fields, in: record) }
        case .or(let parts): return parts.contains { $0.matches(fields, in: record) }
        case .not(let part): return !part.matches(fields, in: record)
        case .compare(.eventID, let comparison, let value) where !fields.exists(.eventID, in: record):
            return fields.eventID(in: record).withUnsafeUTF8 { comparison.holds($0, value) }
        case .compare(let field, let comparison, let value):
            return fields.withText(field, in: record) { text in text.map { comparison.holds($0, value) } ?? false }
        case .exists(let field) where EventPath.textFields.contains(field):
            return fields.withText(field, in: record) { $0 != nil }
        case .exists(let field): return fields.exists(field, in: record)
        case .category(let category): return fields.category(in: record) == category
        case .time(let from, let through):
            guard let time = fields.eventSeconds else { return false }
            return time >= from ?? .min && time <= through ?? .max
        case .resource(let pattern): return pattern.matches(fields, in: record)
        case .lookup(let attribute): return attribute.matches(fields, in: record)
        case .value(let path, .exists): return path.exists(fields, in: record)
        case .value(let path, let test): return path.hasValue(fields, in: record) { test.holds($0) }
        case .phrase(let text): return text.withUnsafeUTF8 { record.contains($0) }
        }
    }

    /// The fields that the filter looks at.
    package var fieldsNeeded: Set<EventField> {
        switch self {
        case .all, .nothing: []
        case .and(let parts), .or(let parts): parts.reduce(into: []) { $0.formUnion($1.fieldsNeeded) }
        case .not(let part): part.fieldsNeeded
        case .compare(let field, _, _), .exists(let field): [field]
        case .category: [.eventCategory, .managementEvent, .eventType, .eventSource, .eventName]
        case .time: [.eventTime]
        case .resource: [.resources]
        case .lookup(let attribute): attribute.key.fieldsNeeded
        case .value(let path, _): path.fieldsNeeded
        case .phrase: []
        }
    }

    /// Bytes that say exactly this filter, the same in every process; equal bytes mean equal filters.
    package func encode(into bytes: inout [UInt8]) {
        func text(_ value: String) {
            withUnsafeBytes(of: UInt32(truncatingIfNeeded: value.utf8.count).littleEndian) {
                bytes.append(contentsOf: $0)
            }
            bytes.append(contentsOf: value.utf8)
        }
        func list(_ tag: UInt8, _ parts: [EventFilter]) {
            bytes.append(tag)
            withUnsafeBytes(of: UInt32(truncatingIfNeeded: parts.count).littleEndian) { bytes.append(contentsOf: $0) }
            for part in parts { part.encode(into: &bytes) }
        }
        switch self {
        case .all: bytes.append(1)
        case .nothing: bytes.append(2)
        case .and(let parts): list(3, parts)
        case .or(let parts): list(4, parts)
        case .not(let part): list(5, [part])
        case .compare(let field, let comparison, let value):
            bytes.append(6)
            bytes.append(comparison.rawValue)
            text(field.path)
            text(value)
        case .exists(let field):
            bytes.append(7)
            text(field.path)
        case .category(let category):
            bytes.append(8)
            text(category.rawValue)
        case .time(let from, let through):
            bytes.append(9)
            text("\(from.map { "\($0)" } ?? "") \(through.map { "\($0)" } ?? "")")
        case .resource(let pattern):
            bytes.append(10)
            bytes.append(pattern.type == nil ? 0 : 1)
            text(pattern.type ?? "")
            text("\(pattern.tests.count)")
            for test in pattern.tests {
                bytes.append(test.comparison.rawValue)
                bytes.append(test.isNegated ? 1 : 0)
                text("\(test.values.count)")
                test.values.forEach(text)
            }
        case .lookup(let attribute):
            bytes.append(11)
            text(attribute.key.rawValue)
            text(attribute.value)
        case .value(let path, let test):
            bytes.append(12)
            text("\(path.names.count)")
            path.names.forEach(text)
            test.encode(into: &bytes)
        case .phrase(let phrase):
            bytes.append(13)
            text(phrase)
        }
    }
}

extension EventComparison {
    @inline(__always)
    package func holds(_ text: UnsafeRawBufferPointer, _ value: String) -> Bool {
        value.withUnsafeUTF8 { value in
            switch self {
            case .equals: text.isEqual(to: value)
            case .prefix: text.hasPrefix(value)
            case .suffix: text.hasSuffix(value)
            }
        }
    }
}

extension ResourcePattern {
    func matches(_ fields: EventFields, in record: UnsafeRawBufferPointer) -> Bool {
        var hasType = type == nil
        fields.forEachOwnResource(in: record) { found, _ in
            if !hasType, let type, let found, found.isEqual(to: type) { hasType = true }
        }
        return hasType
            && tests.allSatisfy { test in
                var isHit = false
                fields.forEachOwnResource(in: record) { found, arn in
                    guard !isHit, let arn else { return }
                    if let type { guard let found, found.isEqual(to: type) else { return } }
                    isHit = test.values.contains { test.comparison.holds(arn, $0) }
                }
                return isHit != test.isNegated
            }
    }
}
