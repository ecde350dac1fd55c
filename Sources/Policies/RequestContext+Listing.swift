// SPDX-License-Identifier: Apache-2.0

extension RequestContext {
    /// All condition keys that are known, in lower case and in the order of their names, and the values of each as texts.
    package var listing: [(key: String, values: [String])] {
        entries.sorted { $0.key < $1.key }.map { entry in
            (entry.key, entry.value.values.map { String(decoding: $0, as: UTF8.self) })
        }
    }
}
