// SPDX-License-Identifier: Apache-2.0
//
// Records of one kind of call differ in a few values only. What they share, every byte of it, is a shape: pieces of literal
// JSON with slots between them. A slot is the inside of a text, a number, or a whole object or list that is not looked into
// (`userIdentity`, `tlsDetails`). Shapes are learned from records that the reader has accepted, and kept as a tree of pieces:
//
//     {"eventVersion":" -> 1.10 -> ","userIdentity": -> {...} -> ,"eventTime":" -> ... -> ","awsRegion":" -> ... -> "}
//
// A record is then matched by comparing pieces and passing over slots, faster than it could be parsed. Since the pieces hold all
// names and brackets, a record that matches is as well-formed as the one that the shape was learned from; what stands in its
// slots is checked as the reader checks it. Values that decide what an event is (its source and name, the types of its
// resources) are part of the shape: the tree branches at them.

/// Where a slot's value lies in the record.
package struct EventSlot: Sendable, Hashable {
    package var offset: UInt32
    package var length: UInt32
    /// Whether it is a text in which something stands behind a backslash.
    package var hasEscapes: Bool
    /// Place among `EventShapes.known`, for an object or list; -1 for what is not there.
    package var known: Int16

    init(_ range: Range<Int>, hasEscapes: Bool, known: Int16 = -1) {
        offset = UInt32(truncatingIfNeeded: range.lowerBound)
        length = UInt32(truncatingIfNeeded: range.count)
        self.hasEscapes = hasEscapes
        self.known = known
    }

    @inline(__always)
    package func value(in record: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: record[Int(offset)..<Int(offset) + Int(length)])
    }
}

/// What a slot stands for.
package enum EventSlotKind: UInt8, Sendable {
    /// What stands between the quotes of a text.
    case text = 1
    case number = 2
    /// A whole object or list.
    case container = 3
    /// The object `userIdentity`.
    case identity = 4
}

/// One shape: the pieces around its slots, one more than slots.
package final class EventShape: Sendable {
    package let number: Int
    /// The pieces, end to end.
    package let literal: [UInt8]
    /// Where each piece ends in `literal`.
    package let pieceEnds: [Int]
    package let slots: [EventSlotKind]
    /// For each slot a number of the member's name before it, below `EventShapes.namesMax`; different names may share one.
    package let names: [UInt16]

    init(number: Int, literal: [UInt8], pieceEnds: [Int], slots: [EventSlotKind], names: [UInt16]) {
        self.number = number
        self.literal = literal
        self.pieceEnds = pieceEnds
        self.slots = slots
        self.names = names
    }
}

/// Learns shapes and recognizes them. For one thread at a time.
package final class EventShapes {
    package static let slotsMax = 240
    package static let namesMax = 4096
    /// Shapes that are learned; further kinds of records have none.
    package static let shapesMax = 4096
    private static let edgesMax = 1 << 16
    /// Elements of a list whose values are slots; longer lists are one slot.
    private static let elementsMax = 16
    private static let depthMax = 8
    private static let literalBytesMax = 32 << 20

    /// Where the slots of the record last matched or learned lie.
    package let slots: UnsafeMutablePointer<EventSlot>
    package private(set) var slotCount = 0
    package private(set) var shapes: [EventShape] = []
    /// Objects and lists that came lately.
    package let known = KnownContainers()

    private enum Kind: UInt8 {
        case text = 1
        case number = 2
        case container = 3
        case identity = 4
        /// A text whose value leads on in the tree.
        case choice = 5
        /// The record's last piece.
        case end = 6
    }

    private struct Edge {
        var literal: UnsafeRawPointer
        var length: Int32
        var kind: Kind
        /// The node behind, the first choice, or the shape.
        var next: Int32
        var sibling: Int32
    }

    private struct Choice {
        var text: UnsafeRawPointer
        /// Its last eight bytes.
        var key: UInt64
        var length: Int32
        var node: Int32
        var sibling: Int32
    }

    /// For each node its first edge, -1 for none.
    private let nodes: UnsafeMutablePointer<Int32>
    private var nodeCount = 1
    private let edges: UnsafeMutablePointer<Edge>
    private var edgeCount = 0
    private let choices: UnsafeMutablePointer<Choice>
    private var choiceCount = 0
    private var kept: [UnsafeMutableRawPointer] = []
    private var literalBytes = 0

    package init() {
        slots = .allocate(capacity: Self.slotsMax)
        nodes = .allocate(capacity: Self.edgesMax + 1)
        edges = .allocate(capacity: Self.edgesMax)
        choices = .allocate(capacity: Self.edgesMax)
        nodes[0] = -1
    }

    deinit {
        slots.deallocate()
        nodes.deallocate()
        edges.deallocate()
        choices.deallocate()
        for bytes in kept { bytes.deallocate() }
        known.deallocate()
    }

    // MARK: Recognizing

    /// The number of the record's shape, with `slots` filled; nil when it has none that was learned.
    package func match(_ record: UnsafeRawBufferPointer) -> Int? {
        guard let base = record.baseAddress, record.count <= EventReader.recordBytesMax else { return nil }
        let count = record.count
        var cursor = JSONCursor(record)
        var at = 0
        var node = 0
        var filled = 0
        while true {
            var before: Int32 = -1
            var index = nodes[node]
            while index >= 0 {
                let edge = edges + Int(index)
                let length = Int(edge.pointee.length)
                if length <= count - at, Self.isEqual(base + at, edge.pointee.literal, length),
                    Self.follows(edge.pointee.kind, base, at + length, count)
                {
                    break
                }
                before = index
                index = edge.pointee.sibling
            }
            guard index >= 0 else { return nil }
            if before >= 0 {
                // What came last is likely to come next.
                edges[Int(before)].sibling = edges[Int(index)].sibling
                edges[Int(index)].sibling = nodes[node]
                nodes[node] = index
            }
            let edge = edges[Int(index)]
            at += Int(edge.length)
            switch edge.kind {
            case .end:
                slotCount = filled
                return Int(edge.next)
            case .text, .choice:
                cursor.position = at - 1
                let hasEscapes: Bool
                do throws(EventError) { hasEscapes = try cursor.text().hasEscapes } catch { return nil }
                let end = cursor.position - 1
                if edge.kind == .text {
                    slots[filled] = EventSlot(at..<end, hasEscapes: hasEscapes)
                    filled += 1
                    node = Int(edge.next)
                } else {
                    guard let next = choose(edge.next, base + at, end - at) else { return nil }
                    node = next
                }
                at = end
            case .number:
                cursor.position = at
                do throws(EventError) { try cursor.scalarOrContainer(cursor.byte(at)) } catch { return nil }
                slots[filled] = EventSlot(at..<cursor.position, hasEscapes: false)
                filled += 1
                node = Int(edge.next)
                at = cursor.position
            case .container, .identity:
                // The same identity comes in records of all shapes, other objects hardly.
                let place = known.place(base + at, count - at, seed: edge.kind == .identity ? 0 : UInt64(index))
                var end = at + known.length(place, at: base + at, count - at)
                if end == at {
                    cursor.position = at
                    do throws(EventError) { try cursor.scalarOrContainer(cursor.byte(at)) } catch { return nil }
                    end = cursor.position
                    known.keep(place, base + at, end - at)
                }
                slots[filled] = EventSlot(at..<end, hasEscapes: false, known: Int16(truncatingIfNeeded: place))
                filled += 1
                node = Int(edge.next)
                at = end
            }
        }
    }

    private func choose(_ first: Int32, _ text: UnsafeRawPointer, _ length: Int) -> Int? {
        var index = first
        let key = Self.key(text, length)
        while index >= 0 {
            let choice = choices + Int(index)
            if choice.pointee.key == key, Int(choice.pointee.length) == length,
                Self.isEqual(choice.pointee.text, text, length)
            {
                return Int(choice.pointee.node)
            }
            index = choice.pointee.sibling
        }
        return nil
    }

    @inline(__always)
    private static func key(_ text: UnsafeRawPointer, _ length: Int) -> UInt64 {
        if length >= 8 { return word(text, length - 8) }
        var key: UInt64 = 0
        for at in 0..<length { key = key << 8 | UInt64(text.load(fromByteOffset: at, as: UInt8.self)) }
        return key
    }

    /// Whether what stands behind a piece can be its slot.
    @inline(__always)
    private static func follows(_ kind: Kind, _ base: UnsafeRawPointer, _ at: Int, _ count: Int) -> Bool {
        guard at < count else { return kind == .end && at == count }
        switch kind {
        case .text, .choice: return true
        case .end: return false
        case .number:
            let byte = base.load(fromByteOffset: at, as: UInt8.self)
            return byte == 0x2D || byte &- 0x30 < 10
        case .container:
            let byte = base.load(fromByteOffset: at, as: UInt8.self)
            return byte == 0x7B || byte == 0x5B
        case .identity: return base.load(fromByteOffset: at, as: UInt8.self) == 0x7B
        }
    }

    @inline(__always)
    private static func isEqual(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Bool {
        if count >= 16 {
            var at = 0
            while at + 16 < count {
                guard (word(a, at) ^ word(b, at)) | (word(a, at + 8) ^ word(b, at + 8)) == 0 else { return false }
                at += 16
            }
            at = count - 16
            return (word(a, at) ^ word(b, at)) | (word(a, at + 8) ^ word(b, at + 8)) == 0
        }
        if count >= 8 { return word(a, 0) == word(b, 0) && word(a, count - 8) == word(b, count - 8) }
        for at in 0..<count
        where a.load(fromByteOffset: at, as: UInt8.self) != b.load(fromByteOffset: at, as: UInt8.self) { return false }
        return true
    }

    @inline(__always)
    private static func word(_ base: UnsafeRawPointer, _ at: Int) -> UInt64 {
        base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
    }

    // MARK: Learning

    private struct Token {
        var start: Int
        var end: Int
        var kind: Kind
        var name: UInt16
        var hasEscapes = false
    }

    /// Learns the shape of a record that `EventReader.scan` accepted and `match` did not know, with `slots` filled.
    ///
    /// - Returns: nil when no more can be learned, or the record has too many values.
    package func learn(_ record: UnsafeRawBufferPointer) -> EventShape? {
        guard shapes.count < Self.shapesMax, literalBytes + record.count * 2 <= Self.literalBytesMax,
            var tokens = tokens(record), edgeCount + tokens.count < Self.edgesMax,
            choiceCount + tokens.count < Self.edgesMax
        else { return nil }
        tokens.append(Token(start: record.count, end: record.count, kind: .end, name: 0))
        var literal: [UInt8] = []
        var ends: [Int] = []
        var kinds: [EventSlotKind] = []
        var names: [UInt16] = []
        var node = 0
        var at = 0
        slotCount = 0
        for token in tokens {
            let piece = UnsafeRawBufferPointer(rebasing: record[at..<token.start])
            let edge = self.edge(node, piece, token.kind)
            literal.append(contentsOf: piece)
            at = token.end
            switch token.kind {
            case .end:
                ends.append(literal.count)
                edges[edge].next = Int32(shapes.count)
            case .choice:
                let text = UnsafeRawBufferPointer(rebasing: record[token.start..<token.end])
                literal.append(contentsOf: text)
                node = choice(edge, text)
            default:
                ends.append(literal.count)
                kinds.append(EventSlotKind(rawValue: token.kind.rawValue) ?? .text)
                names.append(token.name)
                slots[slotCount] = EventSlot(token.start..<token.end, hasEscapes: token.hasEscapes)
                slotCount += 1
                node = Int(edges[edge].next)
            }
        }
        let shape = EventShape(number: shapes.count, literal: literal, pieceEnds: ends, slots: kinds, names: names)
        shapes.append(shape)
        return shape
    }

    private func keep(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawPointer {
        let copy = UnsafeMutableRawPointer.allocate(byteCount: max(1, bytes.count), alignment: 1)
        if let base = bytes.baseAddress { copy.copyMemory(from: base, byteCount: bytes.count) }
        kept.append(copy)
        literalBytes += bytes.count
        return UnsafeRawPointer(copy)
    }

    private func edge(_ node: Int, _ piece: UnsafeRawBufferPointer, _ kind: Kind) -> Int {
        var index = nodes[node]
        while index >= 0 {
            let edge = edges[Int(index)]
            if edge.kind == kind, Int(edge.length) == piece.count, let base = piece.baseAddress,
                Self.isEqual(edge.literal, base, piece.count)
            {
                return Int(index)
            }
            index = edge.sibling
        }
        var next: Int32 = -1
        if kind != .choice, kind != .end {
            next = Int32(nodeCount)
            nodes[nodeCount] = -1
            nodeCount += 1
        }
        edges[edgeCount] = Edge(
            literal: keep(piece), length: Int32(piece.count), kind: kind, next: next, sibling: nodes[node])
        nodes[node] = Int32(edgeCount)
        edgeCount += 1
        return edgeCount - 1
    }

    private func choice(_ edge: Int, _ text: UnsafeRawBufferPointer) -> Int {
        let base = text.baseAddress
        if let base, let node = choose(edges[edge].next, base, text.count) { return node }
        nodes[nodeCount] = -1
        choices[choiceCount] = Choice(
            text: keep(text), key: base.map { Self.key($0, text.count) } ?? 0, length: Int32(text.count),
            node: Int32(nodeCount), sibling: edges[edge].next)
        edges[edge].next = Int32(choiceCount)
        choiceCount += 1
        nodeCount += 1
        return nodeCount - 1
    }

    /// Cuts a record at its values; nil when they are too many.
    private func tokens(_ record: UnsafeRawBufferPointer) -> [Token]? {
        var cursor = JSONCursor(record)
        var tokens: [Token] = []
        do throws(EventError) {
            try cursor.take(0x7B)
            if try cursor.next() == 0x7D { return [] }
            while true {
                let span = try cursor.key()
                let name = UnsafeRawBufferPointer(rebasing: record[span.range])
                let first = try cursor.next()
                if first == 0x7B, name.isEqual(to: "\"userIdentity\"") {
                    try value(&cursor, first, .identity, name, &tokens)
                } else if first == 0x7B || first == 0x5B, Self.opened.contains(where: { name.isEqual(to: $0) }) {
                    let isResources = name.isEqual(to: "\"resources\"")
                    try open(&cursor, name, isResources: isResources, depth: 0, record, &tokens)
                } else {
                    let isChoice = Self.chosen.contains { name.isEqual(to: $0) }
                    try value(&cursor, first, isChoice ? .choice : .text, name, &tokens)
                }
                guard tokens.count <= Self.slotsMax else { return nil }
                let after = try cursor.next()
                cursor.position += 1
                if after == 0x7D { return tokens }
            }
        } catch {
            return nil
        }
    }

    private static let opened: [StaticString] = [
        "\"requestParameters\"", "\"responseElements\"", "\"additionalEventData\"", "\"resources\"",
        "\"serviceEventDetails\"",
    ]
    private static let chosen: [StaticString] = [
        "\"eventVersion\"", "\"eventSource\"", "\"eventName\"", "\"eventType\"", "\"eventCategory\"",
    ]

    /// Passes a value: a token, or none for true, false and null.
    private func value(
        _ cursor: inout JSONCursor, _ first: UInt8, _ kind: Kind, _ name: UnsafeRawBufferPointer,
        _ tokens: inout [Token]
    ) throws(EventError) {
        let start = cursor.position
        let number = Self.number(ofName: name)
        switch first {
        case 0x22:
            let span = try cursor.text()
            tokens.append(
                Token(
                    start: start + 1, end: cursor.position - 1, kind: kind == .choice ? .choice : .text, name: number,
                    hasEscapes: span.hasEscapes))
        case 0x7B, 0x5B:
            try cursor.scalarOrContainer(first)
            tokens.append(
                Token(
                    start: start, end: cursor.position, kind: kind == .identity ? .identity : .container, name: number))
        default:
            try cursor.scalarOrContainer(first)
            if first == 0x2D || first &- 0x30 < 10 {
                tokens.append(Token(start: start, end: cursor.position, kind: .number, name: number))
            }
        }
    }

    /// Passes an object or list, with a token for each value in it.
    private func open(
        _ cursor: inout JSONCursor, _ outer: UnsafeRawBufferPointer, isResources: Bool, depth: Int,
        _ record: UnsafeRawBufferPointer, _ tokens: inout [Token]
    ) throws(EventError) {
        let start = cursor.position
        let begun = tokens.count
        let bracket = cursor.byte(start)
        cursor.position += 1
        if try cursor.next() == bracket + 2 {
            cursor.position += 1
            return
        }
        var elements = 0
        while true {
            var name = outer
            var kind = Kind.text
            if bracket == 0x7B {
                name = UnsafeRawBufferPointer(rebasing: record[try cursor.key().range])
                if isResources, name.isEqual(to: "\"type\"") { kind = .choice }
            }
            let first = try cursor.next()
            elements += 1
            if depth >= Self.depthMax || elements > Self.elementsMax && bracket == 0x5B
                || tokens.count > Self.slotsMax
            {
                // Too much to look into: one slot for all of it.
                tokens.removeSubrange(begun...)
                cursor.position = start
                return try value(&cursor, bracket, .container, outer, &tokens)
            }
            if first == 0x7B || first == 0x5B {
                try open(&cursor, name, isResources: isResources, depth: depth + 1, record, &tokens)
            } else {
                try value(&cursor, first, kind, name, &tokens)
            }
            let after = try cursor.next()
            cursor.position += 1
            if after == bracket + 2 { return }
        }
    }

    private static func number(ofName name: UnsafeRawBufferPointer) -> UInt16 {
        UInt16(truncatingIfNeeded: StableHash.xxh64(name) % UInt64(namesMax))
    }
}
