// SPDX-License-Identifier: Apache-2.0
//
// A filter's test on the values at a path, asked of a record in parts. Records of one shape (see EventShapes) are the same but for
// their slots, so where a path leads is found once for a shape: to values that all its records share, which are tested once, and
// to slots. A slot that is a text or a number is tested by itself, one that is an object or list is walked; the record is never
// put together. It must say just what `EventFilter.matches` says.

/// Records of a shape, with the slots left empty.
package struct EventTemplate: Sendable {
    private(set) var bytes: [UInt8] = []
    /// Slots by their places. A text's is between its quotes; in place of anything else there is a 0.
    private(set) var slots: [Int: Int] = [:]

    package init() {}

    /// Adds the next piece, and the slot that follows it.
    package mutating func append(_ piece: UnsafeRawBufferPointer, slot: Int) {
        bytes.append(contentsOf: piece)
        slots[bytes.count] = slot
        if piece.last != 0x22 { bytes.append(0x30) }
    }

    /// Adds the last piece.
    package mutating func append(_ piece: UnsafeRawBufferPointer) { bytes.append(contentsOf: piece) }
}

/// A test on the values at a path.
package struct EventPathTest: Sendable {
    /// A slot that is a value at the path, or has some inside.
    package struct Site: Sendable {
        package let slot: Int
        /// It is what stands between the quotes of a text.
        package let isText: Bool
        /// How many of the path's names lead to the slot.
        package let depth: Int
    }

    private let path: EventPath
    private let test: EventValueTest
    /// Whether the values of a list at the path are tested.
    private let seesLists: Bool

    private var takesContainers: Bool { test == .exists }

    /// nil for a filter that is no test on the values at one place.
    package init?(_ filter: EventFilter) {
        switch filter {
        case .value(let path, let test) where path.derived == nil:
            (self.path, self.test, seesLists) = (path, test, path.textField == nil)
        case .exists(let field): (path, test, seesLists) = (EventPath(field), .exists, false)
        // A record without an id has one that is made from all of it.
        case .compare(let field, let comparison, let value) where field != .eventID:
            path = EventPath(field)
            seesLists = false
            switch comparison {
            case .equals: test = .equals(value)
            case .prefix: test = .prefix(value)
            case .suffix: test = .suffix(value)
            }
        default: return nil
        }
    }

    /// Where the path leads in the records of a shape.
    ///
    /// - Returns: whether a value that all of them share passes, and the slots to ask; nil when the template is no record.
    package func sites(in template: EventTemplate) -> (holds: Bool, slots: [Site])? {
        var holds = false
        var sites: [Site] = []
        let isWhole = template.bytes.withUnsafeBytes { bytes in
            var cursor = JSONCursor(bytes)
            do throws(EventError) {
                return try !visit(&cursor, depth: 0, level: 0, template.slots) { span, depth, slot in
                    if let slot {
                        sites.append(Site(slot: slot, isText: bytes[Int(span.offset)] == 0x22, depth: depth))
                    } else if passes(span, in: bytes) {
                        holds = true
                    }
                    return false
                }
            } catch {
                return false
            }
        }
        return isWhole ? (holds, sites) : nil
    }

    /// Whether what stands in a slot passes, or a value inside.
    package func holds(_ value: UnsafeRawBufferPointer, at site: Site) -> Bool {
        if site.isText {
            if test == .exists { return true }
            return value.contains(0x5C) ? JSONText.decoded(value).withUnsafeBytes(test.holds) : test.holds(value)
        }
        var cursor = JSONCursor(value)
        do throws(EventError) {
            return try visit(&cursor, depth: site.depth, level: 1, [:]) { span, _, _ in passes(span, in: value) }
        } catch {
            return false
        }
    }

    private func passes(_ span: JSONSpan, in bytes: UnsafeRawBufferPointer) -> Bool {
        if test == .exists {
            let first = bytes[Int(span.offset)]
            return first != 0x6E && (path.textField == nil || first != 0x7B && first != 0x5B)
        }
        return JSONText.withText(span, in: bytes) { $0.map(test.holds) ?? false }
    }

    /// Visits the values at the place until one passes. Objects are looked through by name; lists too, but not on the way that
    /// the reader goes (`EventPath.field`).
    ///
    /// - Parameter depth: names that led here.
    private func visit(
        _ cursor: inout JSONCursor, depth: Int, level: Int, _ slots: [Int: Int],
        _ found: (JSONSpan, _ depth: Int, _ slot: Int?) -> Bool
    ) throws(EventError) -> Bool {
        guard level < JSONCursor.depthMax else { throw EventError(.tooDeep, at: cursor.position) }
        let first = try cursor.next()
        let start = cursor.position
        let isThere = depth == path.names.count
        if !slots.isEmpty, let slot = slots[first == 0x22 ? start + 1 : start] {
            let span = try cursor.value()
            return (isThere || first != 0x22) && found(span, depth, slot)
        }
        let isLookedThrough: Bool =
            switch first {
            case 0x5B where isThere && (!seesLists || takesContainers && path.wholeField != nil): false
            case 0x5B: depth >= path.restStart
            case 0x7B: !isThere
            default: false
            }
        guard isLookedThrough else {
            let span = try cursor.value()
            return isThere && found(span, depth, nil)
        }
        cursor.position += 1
        if try cursor.next() == first + 2 {
            cursor.position += 1
            // An empty list is something, when asked whether there is anything.
            return isThere && takesContainers
                && found(JSONSpan(offset: start, length: 2, hasEscapes: false), depth, nil)
        }
        while true {
            if first == 0x5B {
                if try visit(&cursor, depth: depth, level: level + 1, slots, found) { return true }
            } else {
                let name = try cursor.key()
                if EventPath.isName(name, path.names[depth], cursor) {
                    if try visit(&cursor, depth: depth + 1, level: level + 1, slots, found) { return true }
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
}
