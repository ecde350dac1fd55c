// SPDX-License-Identifier: Apache-2.0
//
// What a source outside sends, and the record that it becomes (CloudTrail User Guide, "CloudTrail Lake integrations event
// schema"). `eventData` is one JSON object:
//
//     version, userIdentity {type, principalId, details}, userAgent, eventSource, eventName, eventTime, UID,
//     requestParameters, responseElements, errorCode, errorMessage, sourceIPAddress, recipientAccountId,
//     additionalEventData
//
// of which version, userIdentity.type, userIdentity.principalId, eventSource, eventName, eventTime, UID and
// recipientAccountId must be there. The record keeps it byte for byte in `eventData`, with the members that CloudTrail adds, and
// repeats at the top those by which events are found:
//
//     {"eventVersion":"1.0","userIdentity":{"type","principalId"},"eventTime","eventSource","eventName","awsRegion",
//      "sourceIPAddress","userAgent","errorCode","errorMessage","eventID","eventType":"ActivityLog","recipientAccountId",
//      "eventCategory":"ActivityAuditLog","metadata":{"ingestionTime","channelARN","auditEventId"},"eventData":{...}}

internal import AWSWire
internal import Crypto
internal import EventRecord

/// One entry of PutAuditEvents, as it came.
struct AuditEvent: Sendable {
    static let idLengthMax = 128

    var id: String
    var eventData: String
    /// Base64 of SHA-256 of `eventData`; nil where the source gave none.
    var checksum: String?

    /// Whether a text has the form of an id.
    static func isID(_ text: String) -> Bool {
        (1...idLengthMax).contains(text.utf8.count)
            && text.utf8.allSatisfy { TrailName.isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x5F }
    }

    /// Why one event cannot be taken; the codes are those that PutAuditEvents documents for its list of failures.
    struct Refusal: Error, Sendable, Equatable {
        var code: String
        var message: String

        static func fieldNotFound(_ path: String) -> Refusal {
            Refusal(code: "FieldNotFound", message: "eventData has no `\(path)`.")
        }

        static func fieldTooLong(_ path: String, _ most: Int) -> Refusal {
            Refusal(code: "FieldTooLong", message: "eventData's `\(path)` has more than \(most) bytes.")
        }

        static func invalid(_ message: String) -> Refusal { Refusal(code: "InvalidData", message: message) }
    }

    /// The schema is another than that of integrations, so no event of the kind can be taken.
    struct OtherSchema: Error, Sendable {
        var name: String
    }

    private static let required: [(EventField?, String)] = [
        (nil, "version"), (.identityType, "userIdentity.type"), (.identityPrincipalID, "userIdentity.principalId"),
        (.eventSource, "eventSource"), (.eventName, "eventName"), (.eventTime, "eventTime"), (nil, "UID"),
        (.recipientAccountID, "recipientAccountId"),
    ]
    private static let texts: [EventField] = [.sourceIPAddress, .userAgent, .errorCode, .errorMessage]
    private static let objects: [(EventField, Int)] = [
        (.requestParameters, 100 << 10), (.responseElements, 100 << 10), (.additionalEventData, 28 << 10),
    ]
    /// Bytes of any text, as in the "CloudTrail record contents" page for those it names.
    private static let textBytesMax = 1024
    /// Bytes of the whole record.
    private static let recordBytesMax = 262_144

    /// Checks the event and makes its record.
    ///
    /// - Throws: `Refusal` or `OtherSchema`.
    func record(through channel: Channel, at now: Timestamp) throws -> SourcedRecord {
        let bytes = Array(eventData.utf8)
        if let checksum, checksum != Base64.encode(Array(SHA256.hash(data: bytes))) {
            throw Refusal(
                code: "InvalidChecksum", message: "eventDataChecksum is not the base64 of eventData's SHA-256.")
        }
        let event: Event
        do throws(EventError) { event = try Event(bytes) } catch {
            throw Refusal.invalid("eventData: \(error).")
        }
        if let other = Self.otherSchema(event) { throw OtherSchema(name: other) }
        try Self.check(event)
        guard event.recipientAccountID == channel.account else {
            throw Refusal(
                code: "InvalidRecipient",
                message: "eventData's recipientAccountId is not the account of the channel, \(channel.account).")
        }
        guard !event.eventSource.lowercased().hasSuffix(".amazonaws.com") else {
            throw Refusal(
                code: "InvalidEventSource", message: "eventData's eventSource is one of AWS's own services.")
        }
        guard let seconds = Self.seconds(event) else {
            throw Refusal.invalid("eventData's eventTime is not a time like 2026-01-31T23:59:59Z.")
        }
        let eventID = channel.eventID(of: id)
        let record = written(event, eventID: eventID, seconds: seconds, channel, now)
        guard record.count <= Self.recordBytesMax else { throw Refusal.fieldTooLong("eventData", Self.recordBytesMax) }
        return SourcedRecord(eventID: eventID, record: record, number: try Self.number(event))
    }

    private static func otherSchema(_ event: Event) -> String? {
        if event.fields[.eventVersion].isPresent { return "CloudTrail record" }
        if value("Records", event) != nil { return "CloudTrail log file" }
        if value("class_uid", event) != nil { return "Open Cybersecurity Schema Framework" }
        return nil
    }

    /// A text, number or boolean at a path, or an object's JSON; nil when there is none.
    private static func value(_ path: String, _ event: Event) -> String? {
        event.record.withUnsafeBytes { bytes in
            EventPath(path.split(separator: ".").map(String.init)).withFirst(event.fields, in: bytes) { value in
                value.map { String(decoding: $0, as: UTF8.self) }
            }
        }
    }

    private static func check(_ event: Event) throws {
        if let identity = event.json(.userIdentity), identity.first != UInt8(ascii: "{") {
            throw Refusal.invalid("eventData's `userIdentity` must be an object.")
        }
        for (field, path) in required {
            guard let text = value(path, event), !text.isEmpty else { throw Refusal.fieldNotFound(path) }
            if let field, let json = event.json(field), json.first != UInt8(ascii: "\"") {
                throw Refusal.invalid("eventData's `\(path)` must be a text.")
            }
            guard text.utf8.count <= textBytesMax else { throw Refusal.fieldTooLong(path, textBytesMax) }
        }
        for field in texts {
            guard let json = event.json(field), json.first != UInt8(ascii: "n") else { continue }
            guard json.first == UInt8(ascii: "\"") else {
                throw Refusal.invalid("eventData's `\(field.path)` must be a text.")
            }
            guard json.count - 2 <= textBytesMax else { throw Refusal.fieldTooLong(field.path, textBytesMax) }
        }
        for (field, most) in objects {
            guard let json = event.json(field), json.first != UInt8(ascii: "n") else { continue }
            guard json.first == UInt8(ascii: "{") else {
                throw Refusal.invalid("eventData's `\(field.path)` must be an object.")
            }
            guard json.count <= most else { throw Refusal.fieldTooLong(field.path, most) }
        }
    }

    /// The schema's form has no zone, which means UTC; one with a zone is read as well.
    private static func seconds(_ event: Event) -> Int64? {
        guard let text = event.text(.eventTime) else { return nil }
        return event.eventSeconds ?? EventTime.seconds(text + "Z")
    }

    /// The source's own number: `additionalEventData.sourceSequence`, a whole number, where it gives one.
    private static func number(_ event: Event) throws -> UInt64? {
        guard let text = value("additionalEventData.\(SourceSequence.member)", event) else { return nil }
        guard let number = UInt64(text), number <= 1 << 62 else {
            throw Refusal.invalid("eventData's `additionalEventData.sourceSequence` must be a whole number.")
        }
        return number
    }

    private func written(
        _ event: Event, eventID: String, seconds: Int64, _ channel: Channel, _ now: Timestamp
    ) -> [UInt8] {
        var out = Array("{\"eventVersion\":\"1.0\",\"userIdentity\":{".utf8)
        func copy(_ field: EventField, as name: String, isFirst: Bool = false) {
            guard let json = event.json(field), json.first == UInt8(ascii: "\"") else { return }
            if !isFirst { out.append(UInt8(ascii: ",")) }
            out.append(contentsOf: "\"\(name)\":".utf8)
            out.append(contentsOf: json)
        }
        func add(_ name: String, _ text: String) {
            out.append(contentsOf: ",\"\(name)\":\"\(text)\"".utf8)
        }
        copy(.identityType, as: "type", isFirst: true)
        copy(.identityPrincipalID, as: "principalId")
        out.append(UInt8(ascii: "}"))
        add("eventTime", EventTime.text(seconds))
        copy(.eventSource, as: "eventSource")
        copy(.eventName, as: "eventName")
        add("awsRegion", channel.region)
        for field in Self.texts { copy(field, as: field.path) }
        add("eventID", eventID)
        add("eventType", "ActivityLog")
        add("recipientAccountId", channel.account)
        add("eventCategory", EventCategory.activityAuditLog.rawValue)
        out.append(
            contentsOf: (",\"metadata\":{\"ingestionTime\":\"\(now.iso8601)\",\"channelARN\":\"\(channel.arn.text)\","
                + "\"auditEventId\":\"\(id)\"},\"eventData\":").utf8)
        out.append(contentsOf: event.record)
        out.append(UInt8(ascii: "}"))
        return out
    }
}

extension Channel {
    /// The id that an event has here, the same each time that it is sent: SHA-256 of channel and source's id, as a GUID of
    /// version 8 (RFC 9562). So an event that is sent again is known again.
    func eventID(of id: String) -> String {
        TrailService.identifier(
            Array(SHA256.hash(data: Array("cairn audit event\0\(arn.text)\0\(id)".utf8))), version: 8)
    }
}
