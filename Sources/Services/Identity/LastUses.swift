// SPDX-License-Identifier: Apache-2.0
//
// When a key or a role was last used, `iam-use/<access key id or role id>` in the catalog, JSON:
//   { "Version": 1, "Time": ISO 8601, "Service", "Region" }

package import AWSWire
internal import Storage

/// When, for which service and in which region something was last used.
package struct LastUse: Sendable, Equatable {
    package var time: Timestamp
    package var service: String
    package var region: String

    static let keyPrefix = CatalogKey.prefix("iam-use")

    init(time: Timestamp, service: String, region: String) {
        self.time = time
        self.service = service
        self.region = region
    }

    /// Nil for a document that cannot be read: it is no more than a note.
    init?(_ document: CatalogDocument) {
        guard let members = try? WireValue(json: document.value).asStructure, let time = members.time("Time"),
            let service = members["Service"]?.asString, let region = members["Region"]?.asString
        else { return nil }
        self.init(time: time, service: service, region: region)
    }

    var document: [UInt8] {
        WireValue.structure([
            "Version": 1, "Time": .string(time.iso8601), "Service": .string(service), "Region": .string(region),
        ]).json
    }
}
