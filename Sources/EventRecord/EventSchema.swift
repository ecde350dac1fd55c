// SPDX-License-Identifier: Apache-2.0

/// What a record must have to be taken from outside (import, channels).
///
/// Every version of 1.x is taken, also records that documentation shortened by hand: only what an event cannot do without is
/// required. All else may be missing and is then unknown, never guessed at.
package enum EventSchema {
    private static let required: [EventField] = [.eventName, .eventSource, .awsRegion, .eventTime]
    private static let texts: [EventField] = [
        .eventID, .requestID, .sourceIPAddress, .userAgent, .errorCode, .errorMessage, .eventType, .recipientAccountID,
        .eventCategory, .sharedEventID, .apiVersion, .vpcEndpointID, .identityType, .identityARN, .identityUserName,
        .identityAccessKeyID, .identityPrincipalID, .identityAccountID, .identityInvokedBy,
    ]
    private static let flags: [EventField] = [.readOnly, .managementEvent]

    /// Checks a scanned record.
    ///
    /// - Throws: `EventError`: `eventName`, `eventSource`, `awsRegion` or `eventTime` missing, empty or no text; a time that
    ///   is none; `eventVersion` other than 1.x; `userIdentity` no object; `resources` no array; a text or boolean member of
    ///   another type (null counts as absent).
    package static func check(_ fields: EventFields, in record: UnsafeRawBufferPointer) throws(EventError) {
        for field in required {
            let span = fields[field]
            guard span.isPresent else { throw EventError(.missingMember, at: 0, member: field.path) }
            guard record[Int(span.offset)] == 0x22 else {
                throw EventError(.wrongType, at: Int(span.offset), member: field.path)
            }
            guard span.length > 2 else { throw EventError(.emptyMember, at: Int(span.offset), member: field.path) }
        }
        guard fields.eventSeconds != nil else {
            throw EventError(.invalidTime, at: Int(fields[.eventTime].offset), member: EventField.eventTime.path)
        }
        for field in texts { try expect(field, fields, in: record) { $0 == 0x22 } }
        for field in flags { try expect(field, fields, in: record) { $0 == 0x74 || $0 == 0x66 || $0 == 0x22 } }
        try expect(.userIdentity, fields, in: record) { $0 == 0x7B }
        try expect(.resources, fields, in: record) { $0 == 0x5B }
        if let version = fields.text(.eventVersion, in: record), !version.hasPrefix("1.") {
            throw EventError(
                .unsupportedVersion, at: Int(fields[.eventVersion].offset), member: EventField.eventVersion.path)
        }
    }

    package static func check(_ event: Event) throws(EventError) {
        let failure = event.record.withUnsafeBytes { (bytes) -> EventError? in
            do throws(EventError) {
                try check(event.fields, in: bytes)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    private static func expect(
        _ field: EventField, _ fields: EventFields, in record: UnsafeRawBufferPointer, _ isRight: (UInt8) -> Bool
    ) throws(EventError) {
        let span = fields[field]
        guard span.isPresent else { return }
        let first = record[Int(span.offset)]
        guard first == 0x6E || isRight(first) else {
            throw EventError(.wrongType, at: Int(span.offset), member: field.path)
        }
    }
}
