// SPDX-License-Identifier: Apache-2.0
//
// Takes entries into a group. A record whose shape is known is never parsed: the shape says which slots hold the event's id,
// time, address and resource names, and which of the attributes are the same for all its records. An identity (user, session)
// is looked into once; then its text's number stands for what it says. Whatever is out of the ordinary (no known shape, escapes
// where an attribute stands, types written in other ways) goes the general way through `EventFields`; both ways give the same.

internal import EventRecord
internal import Glibc

struct GroupBuilder: ~Copyable {
    let group: EventGroup
    private let shapes = EventShapes()
    private let roles: UnsafeMutablePointer<ShapeRoles>
    /// For each text of the group what it is in a column: the column's place plus 1, shifted, and the code.
    private let codeOfText: UnsafeMutablePointer<UInt32>
    /// For each text its hash as a resource's name; 0 when not known yet.
    private let nameOfText: UnsafeMutablePointer<UInt32>
    /// For each text its place in `identities` plus 1.
    private let identityOfText: UnsafeMutablePointer<UInt32>
    private var identities: [IdentityCodes] = []
    /// For each slot of each shape the text that came last, plus 1.
    private let lastTexts: UnsafeMutablePointer<UInt32>
    private var lastTextCount = 0
    private let usage: UnsafeMutablePointer<NameUsage>
    private let slotTexts: UnsafeMutablePointer<UInt32>
    private var codeOut = ByteBufferOut()
    private var textOut = ByteBufferOut()
    private var fixedOut = ByteBufferOut()
    private var lastTime = Int64.min
    private let lastTimeText = UnsafeMutableRawPointer.allocate(byteCount: 20, alignment: 8)
    private var eventCodes = EventCodes()
    private var nameHashes: [UInt32] = []
    private var fields = EventFields()
    private var lastEnvelope: UInt32 = 0

    private static let lastTextsMax = 1 << 18
    private static let absent = UInt32.max
    /// Longer texts are written out each time.
    private static let textBytesMax = 8192

    private struct IdentityCodes {
        var user: UInt32
        var accessKey: UInt32
        var principal: UInt32
    }

    /// How often values under a member's name were new, of the last so many.
    private struct NameUsage {
        var uses: UInt16 = 0
        var misses: UInt16 = 0
        /// Its values hardly ever come twice: they are not remembered.
        var isFleeting = false
    }

    init(key: UInt64, capacity: Int) {
        group = EventGroup(key: key, capacity: capacity)
        roles = .allocate(capacity: EventShapes.shapesMax)
        codeOfText = Self.zeroes(EventGroup.textsMax)
        nameOfText = Self.zeroes(EventGroup.textsMax)
        identityOfText = Self.zeroes(EventGroup.textsMax)
        lastTexts = Self.zeroes(Self.lastTextsMax)
        usage = .allocate(capacity: EventShapes.namesMax)
        usage.initialize(repeating: NameUsage(), count: EventShapes.namesMax)
        slotTexts = .allocate(capacity: EventShapes.slotsMax)
    }

    deinit {
        roles.deinitialize(count: shapes.shapes.count)
        roles.deallocate()
        for zeroed in [codeOfText, nameOfText, identityOfText, lastTexts] { free(zeroed) }
        usage.deallocate()
        slotTexts.deallocate()
        lastTimeText.deallocate()
        codeOut.deallocate()
        textOut.deallocate()
        fixedOut.deallocate()
    }

    /// Zeroes that take no memory before they are touched.
    private static func zeroes(_ count: Int) -> UnsafeMutablePointer<UInt32> {
        guard let memory = calloc(count, MemoryLayout<UInt32>.stride) else {
            let memory = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
            memory.initialize(repeating: 0, count: count)
            return memory
        }
        return memory.bindMemory(to: UInt32.self, capacity: count)
    }

    // MARK: One entry

    /// Takes in an entry whose envelope was checked; false when its record is not well-formed.
    mutating func append(_ entry: UnsafeRawBufferPointer, related: UInt64, number: UInt64) -> Bool {
        let record = UnsafeRawBufferPointer(rebasing: entry[EventEnvelope.headerBytes...])
        codeOut.clear(EventShapes.slotsMax * 20 + 64)
        textOut.clear(record.count + 16)
        fixedOut.clear(record.count + 16)
        eventCodes = EventCodes()
        nameHashes.removeAll(keepingCapacity: true)

        var isWellFormed = true
        var seconds: Int64 = 0
        var idHash: UInt32 = 0
        var shape = shapes.match(record)
        if let known = shape, !knowsIdentity(known, record) { shape = nil }
        if shape == nil {
            do throws(EventError) {
                try EventReader.scan(record, into: &fields)
                if let matched = shapes.match(record) {
                    // Only its identity is new.
                    learnIdentity(matched, record)
                    shape = matched
                } else if lastTextCount + EventShapes.slotsMax < Self.lastTextsMax, let learned = shapes.learn(record) {
                    learn(learned, record)
                    learnIdentity(learned.number, record)
                    shape = learned.number
                }
            } catch {
                isWellFormed = false
            }
            if shape == nil {
                seconds = fields.eventSeconds ?? 0
                idHash = generalAttributes(record)
            }
        }
        let owner = UnsafeRawBufferPointer(rebasing: entry[1..<13])
        eventCodes.values[ColumnIndex.owner] = code(ColumnIndex.owner, owner)
        if group.count == 0, shape == nil { group.baseStore.pointee = seconds }
        if let shape {
            (seconds, idHash) = shaped(shape, entry, record, related: related, number: number)
        } else {
            head(shape: 0, entry, related: related, number: number)
            codeOut.append(varint: SlotCode.literal)
            codeOut.append(varint: UInt64(record.count))
            textOut.append(record)
        }
        for hash in nameHashes { group.addName(hash) }
        group.add(
            number: number, seconds: seconds, idHash: idHash, codes: eventCodes, tokenCodes: codeOut.bytes,
            tokenTexts: textOut.bytes, fixed: fixedOut.bytes, rawBytes: entry.count)
        return isWellFormed
    }

    private mutating func head(shape: Int, _ entry: UnsafeRawBufferPointer, related: UInt64, number: UInt64) {
        codeOut.append(varint: UInt64(shape))
        let envelope = UnsafeRawBufferPointer(rebasing: entry[0..<13])
        if lastEnvelope > 0, TextHash.isEqual(group.texts.text(Int(lastEnvelope) - 1), envelope) {
            codeOut.append(varint: UInt64(lastEnvelope) - 1 + SlotCode.textsFrom)
        } else if let text = group.texts.number(envelope) {
            lastEnvelope = UInt32(truncatingIfNeeded: text) + 1
            codeOut.append(varint: UInt64(text) + SlotCode.textsFrom)
        } else {
            codeOut.append(varint: SlotCode.literal)
            codeOut.append(varint: UInt64(envelope.count))
            textOut.append(envelope)
        }
        codeOut.append(
            varint: related == 0 ? 0 : EntryReader.zigzag(Int64(bitPattern: number &- related)) &+ 1)
    }

    // MARK: Records of known shape

    private mutating func shaped(
        _ number: Int, _ entry: UnsafeRawBufferPointer, _ record: UnsafeRawBufferPointer, related: UInt64,
        number eventNumber: UInt64
    ) -> (seconds: Int64, idHash: UInt32) {
        let role = roles + number
        var seconds: Int64 = 0
        var isTimeText = false
        if role.pointee.time >= 0 {
            (seconds, isTimeText) = time(shapes.slots[role.pointee.time], record)
        } else if role.pointee.time == ShapeRoles.elsewhere {
            EventReader.scanQuietly(record, into: &fields)
            seconds = fields.eventSeconds ?? 0
        }
        if group.count == 0 { group.baseStore.pointee = seconds }
        head(shape: number + 1, entry, related: related, number: eventNumber)

        let count = role.pointee.slotCount
        for slot in 0..<count {
            let place = shapes.slots[slot]
            let value = place.value(in: record)
            slotTexts[slot] = Self.absent
            if slot == role.pointee.time, isTimeText {
                codeOut.append(varint: SlotCode.time)
                codeOut.append(varint: EntryReader.zigzag(seconds &- group.secondsBase))
                continue
            }
            let tag = shapes.known.tag(place.known)
            if tag > 0 {
                slotTexts[slot] = tag - 1
                codeOut.append(varint: UInt64(tag) - 1 + SlotCode.textsFrom)
                continue
            }
            if value.count == 36, GUIDText.read(value, to: fixedOut.end) {
                fixedOut.count += 16
                codeOut.append(varint: SlotCode.guid)
                continue
            }
            let last = lastTexts + role.pointee.lastTextsFrom + slot
            if last.pointee > 0, TextHash.isEqual(group.texts.text(Int(last.pointee) - 1), value) {
                slotTexts[slot] = last.pointee - 1
                shapes.known.setTag(place.known, of: value, last.pointee)
                codeOut.append(varint: UInt64(last.pointee) - 1 + SlotCode.textsFrom)
                continue
            }
            let name = usage + role.pointee.names(slot)
            if !name.pointee.isFleeting, value.count <= Self.textBytesMax {
                let hash = TextHash.of(value)
                var text = group.texts.find(value, hash)
                name.pointee.uses += 1
                if text == nil {
                    name.pointee.misses += 1
                    text = group.texts.add(value, hash)
                }
                if name.pointee.uses == 256 {
                    name.pointee.isFleeting = name.pointee.misses > 230
                    name.pointee.uses = 0
                    name.pointee.misses = 0
                }
                if let text {
                    slotTexts[slot] = UInt32(truncatingIfNeeded: text)
                    last.pointee = UInt32(truncatingIfNeeded: text) + 1
                    shapes.known.setTag(place.known, of: value, last.pointee)
                    codeOut.append(varint: UInt64(text) + SlotCode.textsFrom)
                    continue
                }
            }
            codeOut.append(varint: SlotCode.literal)
            codeOut.append(varint: UInt64(value.count))
            textOut.append(value)
        }
        guard role.pointee.isPlain, isOrdinary(role, record), hasIdentity(role) else {
            EventReader.scanQuietly(record, into: &fields)
            return (seconds, generalAttributes(record))
        }
        return (seconds, plainAttributes(role, record))
    }

    /// Whether the slots that attributes come from say them as they stand.
    private func isOrdinary(_ role: UnsafeMutablePointer<ShapeRoles>, _ record: UnsafeRawBufferPointer) -> Bool {
        guard role.pointee.id >= 0 else { return false }
        let id = shapes.slots[role.pointee.id]
        if id.hasEscapes || id.length == 0 { return false }
        for slot in [role.pointee.region, role.pointee.address, role.pointee.error] where slot >= 0 {
            if shapes.slots[slot].hasEscapes { return false }
        }
        for index in 0..<role.pointee.nameCount {
            let slot = shapes.slots[role.pointee.nameSlots[index]]
            if slot.hasEscapes || slot.length == 0 { return false }
        }
        return true
    }

    /// Whether what the identity says was kept, if there is one.
    private func hasIdentity(_ role: UnsafeMutablePointer<ShapeRoles>) -> Bool {
        guard role.pointee.identity >= 0 else { return true }
        let text = slotTexts[role.pointee.identity]
        return text != Self.absent && identityOfText[Int(text)] > 0
    }

    private mutating func plainAttributes(
        _ role: UnsafeMutablePointer<ShapeRoles>, _ record: UnsafeRawBufferPointer
    ) -> UInt32 {
        eventCodes.values[ColumnIndex.name] = role.pointee.nameCode
        eventCodes.values[ColumnIndex.source] = role.pointee.sourceCode
        eventCodes.values[ColumnIndex.readOnly] = role.pointee.readOnlyCode
        eventCodes.values[ColumnIndex.category] = role.pointee.categoryCode
        eventCodes.values[ColumnIndex.types] = role.pointee.typesCode
        slotCode(ColumnIndex.region, role.pointee.region, record)
        slotCode(ColumnIndex.address, role.pointee.address, record)
        slotCode(ColumnIndex.error, role.pointee.error, record)
        if role.pointee.identity >= 0 {
            let identity = identities[Int(identityOfText[Int(slotTexts[role.pointee.identity])]) - 1]
            eventCodes.values[ColumnIndex.user] = identity.user
            eventCodes.values[ColumnIndex.accessKey] = identity.accessKey
            eventCodes.values[ColumnIndex.principal] = identity.principal
        }
        for index in 0..<role.pointee.nameCount {
            let slot = role.pointee.nameSlots[index]
            let text = slotTexts[slot]
            let hash: UInt32
            if text != Self.absent, nameOfText[Int(text)] != 0 {
                hash = nameOfText[Int(text)]
            } else {
                hash = EventResources.hash(ofName: shapes.slots[slot].value(in: record))
                if text != Self.absent { nameOfText[Int(text)] = hash }
            }
            addName(hash)
        }
        return EventColumn.short(EventColumn.eventID.hash(shapes.slots[role.pointee.id].value(in: record)))
    }

    private mutating func addName(_ hash: UInt32) {
        if !nameHashes.contains(hash) { nameHashes.append(hash) }
    }

    private mutating func slotCode(_ column: Int, _ slot: Int, _ record: UnsafeRawBufferPointer) {
        guard slot >= 0 else { return }
        let text = slotTexts[slot]
        let tag = UInt32(truncatingIfNeeded: column + 1) << 26
        if text != Self.absent, codeOfText[Int(text)] & 0xFC00_0000 == tag {
            eventCodes.values[column] = codeOfText[Int(text)] & 0x03FF_FFFF
            return
        }
        let code = self.code(column, shapes.slots[slot].value(in: record))
        if text != Self.absent { codeOfText[Int(text)] = tag | code }
        eventCodes.values[column] = code
    }

    /// The code of a text in a column. A column holds as many texts as the group holds events, so there is always room.
    private func code(_ column: Int, _ text: UnsafeRawBufferPointer) -> UInt32 {
        let table = group.dictionaries[column]
        let hash = TextHash.of(text)
        guard let number = table.find(text, hash) ?? table.add(text, hash) else { return 0 }
        return UInt32(truncatingIfNeeded: number) + 1
    }

    private mutating func time(
        _ slot: EventSlot, _ record: UnsafeRawBufferPointer
    ) -> (seconds: Int64, isText: Bool) {
        let text = slot.value(in: record)
        if text.count == 20, lastTime != .min, let base = text.baseAddress, memcmp(base, lastTimeText, 20) == 0 {
            return (lastTime, true)
        }
        guard !slot.hasEscapes, let seconds = EventTime.seconds(text) else { return (0, false) }
        guard text.count == 20, let base = text.baseAddress else { return (seconds, false) }
        EventTime.write(seconds, to: lastTimeText)
        lastTime = seconds
        return (seconds, memcmp(base, lastTimeText, 20) == 0)
    }

    // MARK: Learning

    /// Whether the record's identity, if its shape has one as a slot, was looked into before.
    private func knowsIdentity(_ shape: Int, _ record: UnsafeRawBufferPointer) -> Bool {
        let identity = roles[shape].identity
        guard identity >= 0 else { return true }
        let tag = shapes.known.tag(shapes.slots[identity].known)
        if tag > 0 { return identityOfText[Int(tag) - 1] > 0 }
        let value = shapes.slots[identity].value(in: record)
        let last = lastTexts[roles[shape].lastTextsFrom + identity]
        if last > 0, TextHash.isEqual(group.texts.text(Int(last) - 1), value) { return true }
        guard let text = group.texts.find(value, TextHash.of(value)) else { return false }
        guard identityOfText[text] > 0 else { return false }
        lastTexts[roles[shape].lastTextsFrom + identity] = UInt32(truncatingIfNeeded: text) + 1
        return true
    }

    /// Keeps what the scanned record's identity says.
    private mutating func learnIdentity(_ shape: Int, _ record: UnsafeRawBufferPointer) {
        let identity = roles[shape].identity
        guard identity >= 0 else { return }
        let value = shapes.slots[identity].value(in: record)
        guard value.count <= Self.textBytesMax, let text = group.texts.number(value), identityOfText[text] == 0 else {
            return
        }
        identities.append(
            IdentityCodes(
                user: fields.withUsername(in: record) { $0.map { code(ColumnIndex.user, $0) } ?? 0 },
                accessKey: code(ColumnIndex.accessKey, .identityAccessKeyID, record),
                principal: code(ColumnIndex.principal, .identityARN, record)))
        identityOfText[text] = UInt32(truncatingIfNeeded: identities.count)
        lastTexts[roles[shape].lastTextsFrom + identity] = UInt32(truncatingIfNeeded: text) + 1
    }

    /// Finds out what a new shape's slots stand for, from the scanned record that it was learned from.
    private mutating func learn(_ shape: EventShape, _ record: UnsafeRawBufferPointer) {
        group.addShape(shape)
        let role = ShapeRoles(shape, shapes.slots, fields, record, lastTextsFrom: lastTextCount)
        lastTextCount += shape.slots.count
        (roles + shape.number).initialize(to: role)
        guard role.isPlain else { return }
        _ = generalAttributes(record)
        let learned = roles + shape.number
        learned.pointee.nameCode = eventCodes.values[ColumnIndex.name]
        learned.pointee.sourceCode = eventCodes.values[ColumnIndex.source]
        learned.pointee.readOnlyCode = eventCodes.values[ColumnIndex.readOnly]
        learned.pointee.categoryCode = eventCodes.values[ColumnIndex.category]
        learned.pointee.typesCode = eventCodes.values[ColumnIndex.types]
        nameHashes.removeAll(keepingCapacity: true)
    }

    // MARK: The general way

    /// Fills the codes and names from scanned fields; gives the id's hash.
    private mutating func generalAttributes(_ record: UnsafeRawBufferPointer) -> UInt32 {
        eventCodes.values[ColumnIndex.name] = code(ColumnIndex.name, .eventName, record)
        eventCodes.values[ColumnIndex.source] = code(ColumnIndex.source, .eventSource, record)
        eventCodes.values[ColumnIndex.accessKey] = code(ColumnIndex.accessKey, .identityAccessKeyID, record)
        eventCodes.values[ColumnIndex.region] = code(ColumnIndex.region, .awsRegion, record)
        eventCodes.values[ColumnIndex.principal] = code(ColumnIndex.principal, .identityARN, record)
        eventCodes.values[ColumnIndex.address] = code(ColumnIndex.address, .sourceIPAddress, record)
        eventCodes.values[ColumnIndex.error] = code(ColumnIndex.error, .errorCode, record)
        eventCodes.values[ColumnIndex.user] = fields.withUsername(in: record) { text in
            text.map { code(ColumnIndex.user, $0) } ?? 0
        }
        if let flag = fields.flag(.readOnly, in: record) {
            eventCodes.values[ColumnIndex.readOnly] = code(ColumnIndex.readOnly, flag ? "true" : "false")
        }
        eventCodes.values[ColumnIndex.category] = code(ColumnIndex.category, fields.category(in: record).rawValue)
        var types: [[UInt8]] = []
        var names: [UInt32] = []
        fields.forEachResource(in: record) { type, name in
            if let type { types.append(Array(type)) }
            names.append(EventResources.hash(ofName: name))
        }
        nameHashes.removeAll(keepingCapacity: true)
        if names.count > 16 { names = Array(Set(names)) }
        if names.count > 16 { nameHashes = names } else { for name in names { addName(name) } }
        eventCodes.values[ColumnIndex.types] = 0
        if !types.isEmpty {
            TypeList.text(types).withUnsafeBytes {
                eventCodes.values[ColumnIndex.types] = code(ColumnIndex.types, $0)
            }
        }
        return fields.eventIDHash(in: record)
    }

    private func code(_ column: Int, _ field: EventField, _ record: UnsafeRawBufferPointer) -> UInt32 {
        fields.withText(field, in: record) { text in text.map { code(column, $0) } ?? 0 }
    }

    private func code(_ column: Int, _ text: String) -> UInt32 {
        var text = text
        return text.withUTF8 { code(column, UnsafeRawBufferPointer($0)) }
    }
}

/// The types of an event's resources as one text: each once, ascending, with a byte between that no UTF-8 has.
enum TypeList {
    private static let separator: UInt8 = 0xFF

    static func text(_ types: [[UInt8]]) -> [UInt8] {
        var kept: [[UInt8]] = []
        for type in types.sorted(by: { $0.lexicographicallyPrecedes($1) }) where kept.last != type { kept.append(type) }
        return Array(kept.joined(separator: [separator]))
    }

    /// Whether one of the types passes.
    static func contains(_ list: UnsafeRawBufferPointer, where test: (UnsafeRawBufferPointer) -> Bool) -> Bool {
        var start = 0
        for index in 0...list.count where index == list.count || list[index] == separator {
            if test(UnsafeRawBufferPointer(rebasing: list[start..<index])) { return true }
            start = index + 1
        }
        return false
    }
}

/// Bytes put together for one entry; room is made before, so that adding does not ask.
struct ByteBufferOut {
    private var base = UnsafeMutablePointer<UInt8>.allocate(capacity: 8192)
    private var capacity = 8192
    var count = 0

    var end: UnsafeMutablePointer<UInt8> { base + count }
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    mutating func clear(_ room: Int) {
        count = 0
        guard room > capacity else { return }
        base.deallocate()
        base = .allocate(capacity: room)
        capacity = room
    }

    @inline(__always)
    mutating func append(varint value: UInt64) {
        var value = value
        while value >= 0x80 {
            base[count] = UInt8(truncatingIfNeeded: value) | 0x80
            count += 1
            value >>= 7
        }
        base[count] = UInt8(truncatingIfNeeded: value)
        count += 1
    }

    @inline(__always)
    mutating func append(_ text: UnsafeRawBufferPointer) {
        if let from = text.baseAddress {
            UnsafeMutableRawPointer(base + count).copyMemory(from: from, byteCount: text.count)
        }
        count += text.count
    }

    func deallocate() { base.deallocate() }
}

extension EventReader {
    /// Scans what may be malformed; what was found before the fault stands.
    static func scanQuietly(_ record: UnsafeRawBufferPointer, into fields: inout EventFields) {
        do throws(EventError) { try scan(record, into: &fields) } catch {}
    }
}
