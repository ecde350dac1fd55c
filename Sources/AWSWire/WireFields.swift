// SPDX-License-Identifier: Apache-2.0

/// Typed, checked access to the members of an input.
///
/// Every accessor answers nil for an absent or null member and throws `SerializationException` for one of another type,
/// which is what AWS's JSON services do. Query and XML members arrive as text, so the accessors read text as well.
/// A member that no input declares is refused: silently leaving out what a caller asked for would be a false success.
package struct WireFields: Sendable {
    package let structure: WireStructure

    /// - Parameter known: all members that the shape has.
    /// - Throws: `ValidationException` that names the first unknown member.
    package init(_ structure: WireStructure, known: [String]) throws(AWSError) {
        for member in structure.members where !known.contains(member.name) {
            throw .validation(
                "1 validation error detected: unknown member '\(member.name)'; the members of this request are: "
                    + known.joined(separator: ", "))
        }
        self.structure = structure
    }

    package init(_ request: OperationRequest, known: [String]) throws(AWSError) {
        try self.init(request.parameters, known: known)
    }

    private func value(_ name: String) -> WireValue? {
        guard let value = structure[name], !value.isNull else { return nil }
        return value
    }

    private func wrongType(_ name: String, _ value: WireValue, wanted: String) -> AWSError {
        .serialization("member '\(name)' must be a \(wanted), but is a \(value.typeName)")
    }

    package func has(_ name: String) -> Bool { value(name) != nil }

    package func string(_ name: String) throws(AWSError) -> String? {
        guard let value = value(name) else { return nil }
        guard case .string(let text) = value else { throw wrongType(name, value, wanted: "string") }
        return text
    }

    package func requiredString(_ name: String) throws(AWSError) -> String {
        guard let text = try string(name) else { throw .missingMember(name) }
        return text
    }

    package func bool(_ name: String) throws(AWSError) -> Bool? {
        switch value(name) {
        case nil: return nil
        case .bool(let flag): return flag
        case .string("true"): return true
        case .string("false"): return false
        case .some(let other): throw wrongType(name, other, wanted: "boolean")
        }
    }

    package func integer(_ name: String) throws(AWSError) -> Int64? {
        switch value(name) {
        case nil: return nil
        case .integer(let number): return number
        case .number(let number) where number.rounded() == number && abs(number) < 9e15: return Int64(number)
        case .string(let text):
            guard let number = Int64(text) else { throw wrongType(name, .string(text), wanted: "number") }
            return number
        case .some(let other): throw wrongType(name, other, wanted: "number")
        }
    }

    /// Epoch seconds, with or without a fraction, or ISO 8601 text.
    package func timestamp(_ name: String) throws(AWSError) -> Timestamp? {
        switch value(name) {
        case nil: return nil
        case .timestamp(let time): return time
        case .integer(let seconds) where abs(seconds) < 9_000_000_000_000: return Timestamp(seconds: seconds)
        case .number(let seconds) where abs(seconds) < 9e12:
            return Timestamp(milliseconds: Int64((seconds * 1000).rounded()))
        case .string(let text):
            if let time = Timestamp(iso8601: text) { return time }
            if let seconds = Double(text), abs(seconds) < 9e12 {
                return Timestamp(milliseconds: Int64((seconds * 1000).rounded()))
            }
            throw wrongType(name, .string(text), wanted: "timestamp")
        case .some(let other): throw wrongType(name, other, wanted: "timestamp")
        }
    }

    package func list(_ name: String) throws(AWSError) -> [WireValue]? {
        guard let value = value(name) else { return nil }
        guard case .list(let items) = value else { throw wrongType(name, value, wanted: "list") }
        return items
    }

    package func strings(_ name: String) throws(AWSError) -> [String]? {
        guard let items = try list(name) else { return nil }
        var texts: [String] = []
        for item in items {
            guard case .string(let text) = item else { throw wrongType(name, item, wanted: "list of strings") }
            texts.append(text)
        }
        return texts
    }

    /// A list of structures, each with its own known members.
    package func structures(_ name: String, known: [String]) throws(AWSError) -> [WireFields]? {
        guard let items = try list(name) else { return nil }
        var fields: [WireFields] = []
        for item in items {
            guard case .structure(let structure) = item else {
                throw wrongType(name, item, wanted: "list of structures")
            }
            fields.append(try WireFields(structure, known: known))
        }
        return fields
    }

    package func structure(_ name: String, known: [String]) throws(AWSError) -> WireFields? {
        guard let value = value(name) else { return nil }
        guard case .structure(let structure) = value else { throw wrongType(name, value, wanted: "structure") }
        return try WireFields(structure, known: known)
    }
}
