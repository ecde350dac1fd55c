// SPDX-License-Identifier: Apache-2.0

/// One CloudTrail record: immutable, with its bytes kept as they came.
package struct Event: Sendable {
    package let record: ArraySlice<UInt8>
    package let fields: EventFields

    /// Takes a record after scanning it.
    ///
    /// - Throws: `EventError` as `EventReader.scan` does.
    package init(_ record: ArraySlice<UInt8>) throws(EventError) {
        self.record = record
        fields = try EventReader.scan(record)
    }

    package init(_ record: [UInt8]) throws(EventError) { try self.init(record[...]) }

    /// Takes a record that was scanned before.
    package init(record: ArraySlice<UInt8>, fields: EventFields) {
        self.record = record
        self.fields = fields
    }

    /// A field's text, escapes resolved; nil when absent, null or a container.
    package func text(_ field: EventField) -> String? { record.withUnsafeBytes { fields.text(field, in: $0) } }

    /// A field's JSON as it stands in the record; nil when absent.
    package func json(_ field: EventField) -> ArraySlice<UInt8>? {
        let span = fields[field]
        guard span.isPresent, span.range.upperBound <= record.count else { return nil }
        return record[(record.startIndex + span.range.lowerBound)..<(record.startIndex + span.range.upperBound)]
    }

    package func flag(_ field: EventField) -> Bool? { record.withUnsafeBytes { fields.flag(field, in: $0) } }

    /// `eventTime` in seconds since 1970; nil when absent or not a time.
    package var eventSeconds: Int64? { fields.eventSeconds }
    /// The record's id, or one made from its bytes when it has none.
    package var eventID: String { record.withUnsafeBytes { fields.eventID(in: $0) } }
    package var eventName: String { text(.eventName) ?? "" }
    package var eventSource: String { text(.eventSource) ?? "" }
    package var awsRegion: String { text(.awsRegion) ?? "" }
    package var recipientAccountID: String? { text(.recipientAccountID) }
    package var readOnly: Bool? { flag(.readOnly) }
    package var errorCode: String? { text(.errorCode) }
    package var accessKeyID: String? { text(.identityAccessKeyID) }
    package var category: EventCategory { record.withUnsafeBytes { fields.category(in: $0) } }
    /// The user's name as LookupEvents shows it; nil for services.
    package var username: String? { record.withUnsafeBytes { fields.username(in: $0) } }

    /// The resources as LookupEvents shows them: the record's own and those that its parameters name.
    package var lookupResources: [LookupResource] {
        record.withUnsafeBytes { bytes in
            var found: [LookupResource] = []
            fields.forEachResource(in: bytes) { type, name in
                let resource = LookupResource(
                    type: type.map { String(decoding: $0, as: UTF8.self) },
                    name: String(decoding: EventResources.shownName(name, type: type), as: UTF8.self))
                if !found.contains(resource) { found.append(resource) }
            }
            return found
        }
    }
}

/// One of `Resources` in LookupEvents' answer.
package struct LookupResource: Sendable, Hashable {
    /// `AWS::S3::Bucket`; nil where the record does not say.
    package var type: String?
    /// The ARN, or the name where the record has no ARN; a bucket's name always.
    package var name: String

    package init(type: String?, name: String) {
        self.type = type
        self.name = name
    }
}
