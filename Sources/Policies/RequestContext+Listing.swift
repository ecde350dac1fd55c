// SPDX-License-Identifier: Apache-2.0

extension RequestContext {
    /// Calls the body with each condition key that is known, in lower case and in no order, and the bytes of its values.
    package func forEach(_ body: (_ key: String, _ values: [[UInt8]]) -> Void) {
        for (key, value) in entries { body(key, value.values) }
    }
}
