// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import FoundationEssentials

/// Values as JSON documents of the catalog, for rooms that read them once a call or a turn, never once an event.
package enum CatalogJSON {
    /// The error of the room's service for an operator's cause.
    package typealias Failure = (_ cause: String) -> AWSError

    /// The document of a value, its members in the order of their names.
    ///
    /// - Throws: what `failure` makes of a value that has no JSON form.
    package static func encode(_ value: some Encodable, failure: Failure) throws(AWSError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(value))
        } catch {
            throw failure("a document could not be written: \(error)")
        }
    }

    /// The value of a document.
    ///
    /// - Throws: what `failure` makes of a document that is none of that value; the cause names it.
    package static func decode<Value: Decodable>(
        _ document: CatalogDocument, failure: Failure
    ) throws(AWSError) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(document.value))
        } catch {
            let key = document.key.components.joined(separator: "/")
            throw failure(
                "the catalog's document `\(key)` is damaged (\(error)); restore the catalog from a backup")
        }
    }
}
