// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// Strict access to an element of a request's XML document: what the schema does not have is `MalformedXML`.
struct DocumentFields: Sendable {
    let structure: WireStructure

    /// The root element of a request.
    ///
    /// - Throws: `MalformedXML` (400) for another root or unknown children; a checksum's error where the body is not what
    ///   the client said.
    init(_ request: OperationRequest, root: String, known: [String]) throws(AWSError) {
        try ChecksumDemand(RequestHeaders(request.http)).verify(request.bytes)
        guard let content = request.parameters[root] else { throw .malformedDocument() }
        try self.init(content, known: known)
    }

    /// - Parameter known: the names of all children that the schema has.
    init(_ content: WireValue, known: [String]) throws(AWSError) {
        switch content {
        case .structure(let structure): self.structure = structure
        case .string(let text) where text.allSatisfy(\.isWhitespace): structure = WireStructure()
        default: throw .malformedDocument()
        }
        for member in structure.members where !known.contains(member.name) && member.name != "xmlns" {
            throw .malformedDocument()
        }
    }

    /// The text of a child that stands at most once.
    func text(_ name: String) throws(AWSError) -> String? {
        let found = structure.members.filter { $0.name == name }
        guard found.count < 2 else { throw .malformedDocument() }
        guard let value = found.first?.value else { return nil }
        guard let text = value.asString else { throw .malformedDocument() }
        return text
    }

    func requiredText(_ name: String) throws(AWSError) -> String {
        guard let text = try text(name) else { throw .malformedDocument() }
        return text
    }

    func bool(_ name: String) throws(AWSError) -> Bool? {
        switch try text(name)?.lowercased() {
        case nil: return nil
        case "true": return true
        case "false": return false
        default: throw .malformedDocument()
        }
    }

    func integer(_ name: String) throws(AWSError) -> Int64? {
        guard let text = try text(name) else { return nil }
        guard let number = Int64(text) else { throw .malformedDocument() }
        return number
    }

    /// A child with children of its own, that stands at most once.
    func fields(_ name: String, known: [String]) throws(AWSError) -> DocumentFields? {
        let found = structure.members.filter { $0.name == name }
        guard found.count < 2 else { throw .malformedDocument() }
        guard let value = found.first?.value else { return nil }
        return try DocumentFields(value, known: known)
    }

    /// Children of one name, in order.
    func all(_ name: String, known: [String]) throws(AWSError) -> [DocumentFields] {
        var all: [DocumentFields] = []
        for member in structure.members where member.name == name {
            all.append(try DocumentFields(member.value, known: known))
        }
        return all
    }

    func has(_ name: String) -> Bool { structure[name] != nil }
}
