// SPDX-License-Identifier: Apache-2.0
//
// A filter asked of events in the form in which a group keeps them (EntryTokens.swift), so that records that do not match are
// never put together. For each shape of the group it is found out once which slots the filter's tests look at; a text of the
// group is asked once, and its answer kept for all events that have it. What cannot be told this way is unknown, and decided on
// the record.

internal import EventRecord

/// The tests of a filter, each in a place of its own, and how they are joined.
struct TokenQuestion: Sendable {
    enum Leaf: Sendable {
        case value(EventPathTest)
        /// Bytes that stand somewhere in the record and cannot lie across the border of a slot.
        case phrase(String)
        case time(ClosedRange<Int64>)
    }

    indirect enum Node: Sendable {
        case known(Bool)
        case leaf(Int)
        case unknown
        case and([Node])
        case or([Node])
        case not(Node)
    }

    private(set) var leaves: [Leaf] = []
    private(set) var root = Node.unknown

    /// nil when nothing of the filter can be told from tokens.
    init?(_ filter: EventFilter) {
        root = node(filter)
        if leaves.isEmpty { return nil }
    }

    private mutating func node(_ filter: EventFilter) -> Node {
        switch filter {
        case .all: return .known(true)
        case .nothing: return .known(false)
        case .and(let parts): return .and(parts.map { node($0) })
        case .or(let parts): return .or(parts.map { node($0) })
        case .not(let part): return .not(node(part))
        case .time(let from, let through): return add(.time((from ?? .min)...max(from ?? .min, through ?? .max)))
        case .phrase(let text) where Self.isInside(text): return add(.phrase(text))
        default: return EventPathTest(filter).map { add(.value($0)) } ?? .unknown
        }
    }

    private mutating func add(_ leaf: Leaf) -> Node {
        leaves.append(leaf)
        return .leaf(leaves.count - 1)
    }

    /// Slots lie between quotes or, for what is no text, between signs and blanks: without these nothing reaches across.
    private static func isInside(_ text: String) -> Bool {
        !text.isEmpty
            && !text.utf8.contains { $0 <= 0x20 || [0x22, 0x2C, 0x3A, 0x5B, 0x5D, 0x7B, 0x7D].contains($0) }
    }

    /// What the filter says when its tests say this; nil when it cannot be told.
    func answer(_ leaves: UnsafeMutableBufferPointer<TokenAnswer>) -> Bool? { Self.answer(root, leaves) }

    private static func answer(_ node: Node, _ leaves: UnsafeMutableBufferPointer<TokenAnswer>) -> Bool? {
        switch node {
        case .known(let holds): return holds
        case .unknown: return nil
        case .leaf(let index): return leaves[index] == .unknown ? nil : leaves[index] == .holds
        case .not(let part): return answer(part, leaves).map { !$0 }
        case .and(let parts):
            var isKnown = true
            for part in parts {
                guard let holds = answer(part, leaves) else {
                    isKnown = false
                    continue
                }
                if !holds { return false }
            }
            return isKnown ? true : nil
        case .or(let parts):
            var isKnown = true
            for part in parts {
                guard let holds = answer(part, leaves) else {
                    isKnown = false
                    continue
                }
                if holds { return true }
            }
            return isKnown ? false : nil
        }
    }
}

/// What a test says of an event, or of a text.
enum TokenAnswer: UInt8 {
    case fails = 0
    case holds = 1
    case unknown = 2
}

/// Asks a question of one group's events; for one thread.
final class TokenFilter<Group: GroupTexts> {
    private let group: Group
    private let question: TokenQuestion
    /// For each shape that was met, what to ask where.
    private var plans: [Int: Plan] = [:]
    private var lastShape = -1
    private var lastPlan: Plan?
    /// Whether a text of the group passes, for each way of asking.
    private var known: [[UInt8]] = []
    private var ways: [Way] = []
    private var answers: [TokenAnswer]
    private let textCount: Int

    /// A way of asking texts: those of one way have one answer a text.
    private struct Way {
        var leaf: Int
        /// nil where the text is a whole value, and for phrases.
        var site: EventPathTest.Site?
    }

    private struct Ask {
        var slot: Int
        var leaf: Int
        var way: Int
        var site: EventPathTest.Site?
    }

    private final class Plan {
        var slots = 0
        /// What the tests say of what all records of the shape share.
        var shared: [TokenAnswer] = []
        /// By slot, ascending.
        var asks: [Ask] = []
        /// Whether no slot changes what the filter says, and what that is.
        var isDecided = false
        var answer: Bool?
    }

    init(_ group: Group, _ question: TokenQuestion, textCount: Int) {
        self.group = group
        self.question = question
        self.textCount = textCount
        answers = Array(repeating: .unknown, count: question.leaves.count)
    }

    /// What was found of an event.
    enum Verdict {
        case takes
        case leaves
        /// Only the record tells.
        case unknown
        /// The tokens are not what they should be.
        case malformed
    }

    /// Asks about the entry at which the reader is, and passes it.
    func verdict(_ reader: inout EntryReader) -> Verdict {
        guard let shape = reader.shape(), reader.value(group) != nil, reader.related(0) != nil else {
            return .malformed
        }
        guard shape > 0 else { return reader.value(group) == nil ? .malformed : .unknown }
        if shape != lastShape {
            guard let plan = plans[shape] ?? plan(shape) else { return .malformed }
            lastShape = shape
            lastPlan = plan
        }
        guard let plan = lastPlan else { return .malformed }
        guard !plan.isDecided else {
            guard reader.pass(slots: plan.slots) else { return .malformed }
            return plan.answer.map { $0 ? .takes : .leaves } ?? .unknown
        }
        for index in answers.indices { answers[index] = plan.shared[index] }
        var slot = 0
        for ask in plan.asks {
            if ask.slot >= slot {
                guard reader.pass(slots: ask.slot - slot) else { return .malformed }
                slot = ask.slot + 1
                guard reader.value(group, &value) else { return .malformed }
            }
            if answers[ask.leaf] == .fails { answers[ask.leaf] = answer(ask) }
        }
        guard reader.pass(slots: plan.slots - slot) else { return .malformed }
        let holds = answers.withUnsafeMutableBufferPointer { question.answer($0) }
        return holds.map { $0 ? .takes : .leaves } ?? .unknown
    }

    /// The value at hand.
    private var value = EntryReader.Value.time(0)

    private func answer(_ ask: Ask) -> TokenAnswer {
        if case .time(let range) = question.leaves[ask.leaf] {
            guard case .time(let seconds) = value else { return .unknown }
            return range.contains(seconds) ? .holds : .fails
        }
        switch value {
        case .text(let number):
            guard number < textCount else { return .unknown }
            if known[ask.way].isEmpty { known[ask.way] = [UInt8](repeating: 3, count: textCount) }
            if let before = TokenAnswer(rawValue: known[ask.way][number]) { return before }
            guard let text = group.text(number) else { return .unknown }
            let now = self.ask(ask, text)
            known[ask.way][number] = now.rawValue
            return now
        case .literal(let text): return self.ask(ask, text)
        case .guid(let bytes):
            return withUnsafeTemporaryAllocation(byteCount: 36, alignment: 1) { text in
                GUIDText.write(bytes, to: text)
                return self.ask(ask, UnsafeRawBufferPointer(text))
            }
        case .time(let seconds):
            return withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { text in
                if let base = text.baseAddress { EventTime.write(seconds, to: base) }
                return self.ask(ask, UnsafeRawBufferPointer(text))
            }
        }
    }

    private func ask(_ ask: Ask, _ text: UnsafeRawBufferPointer) -> TokenAnswer {
        switch question.leaves[ask.leaf] {
        case .value(let test): return ask.site.map { test.holds(text, at: $0) } ?? false ? .holds : .fails
        case .phrase(let phrase): return text.hasInside(phrase) ? .holds : .fails
        case .time: return .unknown
        }
    }

    // MARK: Shapes

    private func plan(_ shape: Int) -> Plan? {
        guard let bytes = group.shape(shape), let shapeBytes = ShapeBytes(bytes) else { return nil }
        var template = EventTemplate()
        var pieces: [UnsafeRawBufferPointer] = []
        for slot in 0...shapeBytes.slots {
            guard let piece = shapeBytes.piece(slot) else { return nil }
            pieces.append(piece)
            if slot < shapeBytes.slots { template.append(piece, slot: slot) } else { template.append(piece) }
        }
        let plan = Plan()
        plan.slots = shapeBytes.slots
        for (index, leaf) in question.leaves.enumerated() {
            switch leaf {
            case .phrase(let phrase):
                plan.shared.append(pieces.contains { $0.hasInside(phrase) } ? .holds : .fails)
                for slot in 0..<shapeBytes.slots {
                    plan.asks.append(Ask(slot: slot, leaf: index, way: way(index, nil), site: nil))
                }
            case .time:
                // Asked where the record's time stands as one; elsewhere the record knows.
                let sites = EventPathTest(.exists(.eventTime))?.sites(in: template)?.slots ?? []
                if sites.count == 1, sites[0].isText {
                    plan.shared.append(.fails)
                    plan.asks.append(Ask(slot: sites[0].slot, leaf: index, way: 0, site: nil))
                } else {
                    plan.shared.append(.unknown)
                }
            case .value(let test):
                guard let found = test.sites(in: template) else {
                    plan.shared.append(.unknown)
                    continue
                }
                plan.shared.append(found.holds ? .holds : .fails)
                if found.holds { continue }
                for site in found.slots {
                    plan.asks.append(Ask(slot: site.slot, leaf: index, way: way(index, site), site: site))
                }
            }
        }
        plan.asks.removeAll { plan.shared[$0.leaf] != .fails }
        plan.asks.sort { $0.slot < $1.slot }
        // With what slots may say unknown, the filter may be decided all the same.
        var open = plan.shared
        for ask in plan.asks { open[ask.leaf] = .unknown }
        plan.answer = open.withUnsafeMutableBufferPointer { question.answer($0) }
        plan.isDecided = plan.answer != nil || plan.asks.isEmpty
        plans[shape] = plan
        return plan
    }

    private func way(_ leaf: Int, _ site: EventPathTest.Site?) -> Int {
        let found = ways.firstIndex {
            $0.leaf == leaf && $0.site?.isText == site?.isText && $0.site?.depth == site?.depth
        }
        if let found { return found }
        ways.append(Way(leaf: leaf, site: site))
        known.append([])
        return ways.count - 1
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func hasInside(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { contains(UnsafeRawBufferPointer($0)) }
    }
}
