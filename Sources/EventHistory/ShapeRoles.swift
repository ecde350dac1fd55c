// SPDX-License-Identifier: Apache-2.0

internal import EventRecord

/// What the slots of a shape stand for in its records: learned once, from the first of them.
struct ShapeRoles {
    /// In place of a slot: there is no such value, in any record of the shape.
    static let none = -1
    /// In place of a slot: the value is there, but in no slot of its own.
    static let elsewhere = -2

    let slotCount: Int
    /// Where the shape's slots begin among those of all shapes.
    let lastTextsFrom: Int
    private let nameNumbers: [UInt16]
    var time = ShapeRoles.none
    var id = ShapeRoles.none
    var region = ShapeRoles.none
    var address = ShapeRoles.none
    var error = ShapeRoles.none
    var identity = ShapeRoles.none
    /// Slots of resource names, in the order of `forEachResource`.
    var nameSlots: [Int] = []
    var nameCount: Int
    /// Whether slots and the codes below say all that columns hold.
    var isPlain = true
    /// The same in all records of the shape.
    var nameCode: UInt32 = 0
    var sourceCode: UInt32 = 0
    var readOnlyCode: UInt32 = 0
    var categoryCode: UInt32 = 0
    var typesCode: UInt32 = 0

    @inline(__always)
    func names(_ slot: Int) -> Int { Int(nameNumbers[slot]) }

    /// - Parameter fields: what the reader found in the record.
    init(
        _ shape: EventShape, _ slots: UnsafeMutablePointer<EventSlot>, _ fields: EventFields,
        _ record: UnsafeRawBufferPointer, lastTextsFrom: Int
    ) {
        slotCount = shape.slots.count
        self.lastTextsFrom = lastTextsFrom
        nameNumbers = shape.names
        let count = slotCount
        /// The slot that is exactly the value of a field, or tells where else the value stands.
        func slot(_ field: EventField) -> Int {
            let span = fields[field]
            guard span.isPresent else { return Self.none }
            let range = span.range
            for index in 0..<count {
                let start = Int(slots[index].offset)
                let end = start + Int(slots[index].length)
                if shape.slots[index] == .text, start == range.lowerBound + 1, end == range.upperBound - 1 {
                    return index
                }
                if shape.slots[index] != .text, start == range.lowerBound, end == range.upperBound { return index }
            }
            return record[range.lowerBound] == 0x6E ? Self.none : Self.elsewhere
        }
        nameCount = 0
        time = slot(.eventTime)
        if time >= 0, shape.slots[time] != .text { time = Self.none }
        id = slot(.eventID)
        region = slot(.awsRegion)
        address = slot(.sourceIPAddress)
        error = slot(.errorCode)
        identity = slot(.userIdentity)
        if identity >= 0, shape.slots[identity] != .identity { identity = Self.none }
        // Containers say nothing as a text; anything else that is in no text or number of its own needs a look each time.
        for place in [id, region, address, error] {
            if place == Self.elsewhere { isPlain = false }
            if place >= 0, shape.slots[place] == .container || shape.slots[place] == .identity { isPlain = false }
        }
        if id < 0 || shape.slots[id] != .text { isPlain = false }
        for field in [EventField.readOnly, .managementEvent] where slot(field) >= 0 { isPlain = false }
        for field in [EventField.eventName, .eventSource, .eventType, .eventCategory] where slot(field) >= 0 {
            isPlain = false
        }
        if fields[.userIdentity].isPresent, identity < 0 {
            // Also where it is a list: an object in its place has the same shape.
            let first = record[Int(fields[.userIdentity].offset)]
            if first == 0x7B || first == 0x5B { isPlain = false }
        }
        var found: [Int] = []
        var isClear = true
        fields.forEachResource(in: record) { _, name in
            guard let base = record.baseAddress, let start = name.baseAddress else {
                isClear = false
                return
            }
            let offset = start - base
            for index in 0..<count where shape.slots[index] == .text {
                if Int(slots[index].offset) == offset, Int(slots[index].length) == name.count, !slots[index].hasEscapes
                {
                    found.append(index)
                    return
                }
            }
            isClear = false
        }
        // A slot that would name a resource if it were not empty is not seen here.
        for index in 0..<count where shape.slots[index] == .text && slots[index].length == 0 { isClear = false }
        if !isClear { isPlain = false }
        nameSlots = found
        nameCount = found.count
    }
}
