// SPDX-License-Identifier: Apache-2.0

/// A policy document as the catalog keeps it, compiled once.
///
/// A document that no longer can be read does not vanish: whoever it binds is allowed nothing, and the decision names it.
package struct StoredPolicy: Sendable {
    /// The text as it was given; in trust policies users and roles stand by their ids.
    package let text: String
    /// A policy's ARN, an inline policy's name, or the resource's, as decisions and the operator's log call it.
    package let name: String
    /// Nil for a text that cannot be read.
    package let compiled: PolicyDocument?

    /// Compiles a text that was checked when it was written.
    package init(stored text: String, as kind: PolicyKind, name: String) {
        self.text = text
        self.name = name
        compiled = try? PolicyDocument.parse(stored: Array(text.utf8), as: kind, name: name)
    }
}

extension [StoredPolicy] {
    /// The documents that can be read, and the names of those that cannot.
    package var sorted: (compiled: [PolicyDocument], damaged: [String]) {
        var compiled: [PolicyDocument] = []
        var damaged: [String] = []
        for policy in self {
            if let document = policy.compiled { compiled.append(document) } else { damaged.append(policy.name) }
        }
        return (compiled, damaged)
    }
}
