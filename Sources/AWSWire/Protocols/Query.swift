// SPDX-License-Identifier: Apache-2.0
//
// The Query protocol (AWS documentation, "AWS Query protocol" in Smithy 2.0): form parameters in, XML out.

package enum QueryProtocol {
    /// The most parameters that a request may have.
    package static let parametersMax = 2000

    /// Turns `A.member.1.B=x` into nested structures and lists; `Action`, `Version` and the signature's own parameters
    /// are left out.
    ///
    /// - Throws: `MalformedQueryString` (400) when the names contradict each other.
    package static func parameters(from items: [WireQueryItem]) throws(AWSError) -> WireStructure {
        guard items.count <= parametersMax else {
            throw malformed("more than \(parametersMax) parameters")
        }
        let root = Node()
        for item in items where item.name != "Action" && item.name != "Version" && !item.name.hasPrefix("X-Amz-") {
            let path = item.name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
            guard path.count <= 16, !path.contains("") else { throw malformed("parameter name `\(item.name)`") }
            guard root.insert(path[...], item.value) else {
                throw malformed("parameter `\(item.name)` is given twice or in two shapes")
            }
        }
        guard case .structure(let structure) = root.value else { return WireStructure() }
        return structure
    }

    /// A successful answer: `<OpResponse><OpResult>...</OpResult><ResponseMetadata>...`.
    package static func answer(
        operation: String, namespace: String, members: WireStructure?, requestID: String
    ) -> [UInt8] {
        var response = WireStructure()
        if let members { response.append("\(operation)Result", .structure(members)) }
        response.append("ResponseMetadata", .structure(["RequestId": .string(requestID)]))
        return XMLDocument.write(root: "\(operation)Response", namespace: namespace, response)
    }

    package static func error(_ error: AWSError, namespace: String, requestID: String) -> [UInt8] {
        let body: WireStructure = [
            "Error": .structure([
                "Type": .string(error.isServerFault ? "Receiver" : "Sender"),
                "Code": .string(error.code),
                "Message": .string(error.message),
            ]),
            "RequestId": .string(requestID),
        ]
        return XMLDocument.write(root: "ErrorResponse", namespace: namespace, body)
    }

    private static func malformed(_ reason: String) -> AWSError {
        AWSError("MalformedQueryString", status: 404, "The query string contains a syntax error: \(reason).")
    }
}

/// A tree of parameters on the way to a `WireValue`.
private final class Node {
    private var text: String?
    private var children: [(name: String, node: Node)] = []

    /// - Returns: false when the name is taken by a value, or the value by a name.
    func insert(_ path: ArraySlice<String>, _ value: String) -> Bool {
        guard let name = path.first else {
            guard text == nil, children.isEmpty else { return false }
            text = value
            return true
        }
        guard text == nil else { return false }
        let child: Node
        if let found = children.first(where: { $0.name == name }) {
            child = found.node
        } else {
            child = Node()
            children.append((name, child))
        }
        return child.insert(path.dropFirst(), value)
    }

    var value: WireValue {
        if let text { return .string(text) }
        // `X.member.N` (or `X.entry.N`) is a list, in the order of its numbers.
        if children.count == 1, let only = children.first, ["member", "entry"].contains(only.name),
            let numbered = only.node.numberedChildren
        {
            return .list(numbered.map(\.value))
        }
        return .structure(WireStructure(children.map { .init($0.name, $0.node.value) }))
    }

    private var numberedChildren: [Node]? {
        var numbered: [(Int, Node)] = []
        for child in children {
            guard let number = Int(child.name), number > 0 else { return nil }
            numbered.append((number, child.node))
        }
        return numbered.sorted { $0.0 < $1.0 }.map(\.1)
    }
}
