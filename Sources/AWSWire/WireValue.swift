// SPDX-License-Identifier: Apache-2.0

/// A value as it crosses the wire, whatever the protocol: JSON document, Query parameters or XML elements.
///
/// Inputs are decoded into it, outputs are built from it, and the recorder projects it into the event. Member order is
/// kept, because the recorded event shows members in the order in which AWS's own services show them.
package indirect enum WireValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    /// A point in time; each protocol and the recorder write it in their own form.
    case timestamp(Timestamp)
    case list([WireValue])
    case structure(WireStructure)
}

extension WireValue {
    package var asString: String? { if case .string(let value) = self { value } else { nil } }
    package var asBool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var asList: [WireValue]? { if case .list(let value) = self { value } else { nil } }
    package var asStructure: WireStructure? { if case .structure(let value) = self { value } else { nil } }
    package var isNull: Bool { self == .null }

    /// The name of the value's JSON type, for messages.
    package var typeName: String {
        switch self {
        case .null: "null"
        case .bool: "boolean"
        case .integer, .number: "number"
        case .string: "string"
        case .timestamp: "timestamp"
        case .list: "list"
        case .structure: "structure"
        }
    }
}

extension WireValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByArrayLiteral, ExpressibleByNilLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(arrayLiteral elements: WireValue...) { self = .list(elements) }
    package init(nilLiteral: ()) { self = .null }

    /// The string, or null for an absent one.
    package init(_ value: String?) { self = value.map { .string($0) } ?? .null }
}

/// An ordered list of named members. XML answers may repeat a name, which is how flattened lists are written.
package struct WireStructure: Sendable, Equatable {
    package struct Member: Sendable, Equatable {
        package var name: String
        package var value: WireValue

        package init(_ name: String, _ value: WireValue) {
            self.name = name
            self.value = value
        }
    }

    package var members: [Member]

    package init(_ members: [Member] = []) { self.members = members }

    package var isEmpty: Bool { members.isEmpty }

    /// The first member of that name. Setting nil removes it, setting a new name appends it.
    package subscript(name: String) -> WireValue? {
        get { members.first { $0.name == name }?.value }
        set {
            if let index = members.firstIndex(where: { $0.name == name }) {
                if let newValue { members[index].value = newValue } else { members.remove(at: index) }
            } else if let newValue {
                members.append(Member(name, newValue))
            }
        }
    }

    package mutating func append(_ name: String, _ value: WireValue) { members.append(Member(name, value)) }

    /// Appends the member unless the value is absent: absent members do not appear in answers or events.
    package mutating func append(_ name: String, ifPresent value: WireValue?) {
        if let value, value != .null { members.append(Member(name, value)) }
    }
}

extension WireStructure: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, WireValue)...) {
        self.init(elements.map { Member($0.0, $0.1) })
    }
}
