// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Crypto
import EventRecord
import Synchronization
import Testing
import Trails

struct AuditEventTests {
    /// A channel, and what was taken through it.
    private final class Room: Sendable {
        let house: TrailsHarness
        let service: Service
        let arn: String

        init() async throws {
            house = try TrailsHarness()
            let made = try await house.call(
                "CreateChannel",
                [
                    "Name": "channel", "Source": "Custom",
                    "Destinations": [
                        .structure([
                            "Type": "EVENT_DATA_STORE",
                            "Location": "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/event-history",
                        ])
                    ],
                ])
            arn = made["ChannelArn"]?.asString ?? ""
            let (taken, refusal) = (Box(), Refusal())
            box = taken
            refused = refusal
            service =
                AuditEventService(
                    trails: house.trails,
                    take: { (records, _, _) throws(AWSError) in
                        if let error = refusal.error.withLock({ $0 }) { throw error }
                        taken.records.withLock { $0 += records }
                    }
                ).service
        }

        final class Box: Sendable { let records = Mutex<[SourcedRecord]>([]) }
        final class Refusal: Sendable { let error = Mutex<AWSError?>(nil) }
        let box: Box
        let refused: Refusal

        var records: [SourcedRecord] { box.records.withLock { $0 } }

        func put(
            _ events: [WireValue], channel: String? = nil, account: String = TrailsHarness.account,
            region: String = "us-east-1"
        ) async throws -> WireStructure {
            let target = "/PutAuditEvents?channelArn=" + PercentCoding.encode(channel ?? arn)
            let request = OperationRequest(
                operation: "PutAuditEvents", parameters: WireStructure(),
                http: try WireRequest(method: "POST", target: target, headers: []),
                bytes: WireValue.structure(["auditEvents": .list(events)]).json)
            let call = Call(
                caller: .root(of: account, accessKeyID: nil), accountID: account, region: region, time: house.time.now,
                requestID: "r", eventID: "e", sourceAddress: "127.0.0.1", userAgent: nil, isSecureTransport: false)
            let operation = try #require(service.operations["PutAuditEvents"])
            guard case .members(let members) = try await operation.perform(request, call).body else { return .init() }
            return members
        }

        func code(_ events: [WireValue], channel: String? = nil, account: String = TrailsHarness.account) async
            -> String?
        {
            do {
                _ = try await put(events, channel: channel, account: account)
                return nil
            } catch {
                return (error as? AWSError)?.code
            }
        }
    }

    private static let good: [(String, String)] = [
        ("version", "\"1\""), ("userIdentity", #"{"type":"user","principalId":"maria","details":{"team":"x"}}"#),
        ("userAgent", "\"agent\""), ("eventSource", "\"crm.example.com\""), ("eventName", "\"Export\""),
        ("eventTime", "\"2026-11-01T10:00:00\""), ("UID", "\"u-1\""), ("sourceIPAddress", "\"192.0.2.7\""),
        ("requestParameters", #"{"a": [1, 2]}"#), ("recipientAccountId", "\"111122223333\""),
    ]

    /// `eventData` with some members in the place of the usual ones; nil takes a member away.
    private static func eventData(_ changes: [String: String?] = [:]) -> String {
        var members = good.compactMap { name, value -> String? in
            guard let change = changes[name] else { return "\"\(name)\": \(value)" }
            return change.map { "\"\(name)\": \($0)" }
        }
        for (name, value) in changes where !good.contains(where: { $0.0 == name }) {
            if let value { members.append("\"\(name)\": \(value)") }
        }
        return "{" + members.joined(separator: ", ") + "}"
    }

    private func entry(_ id: String, _ eventData: String, checksum: String? = nil) -> WireValue {
        var members: WireStructure = ["id": .string(id), "eventData": .string(eventData)]
        members.append("eventDataChecksum", ifPresent: WireValue(checksum))
        return .structure(members)
    }

    private func failures(_ answer: WireStructure) -> [String] {
        answer["failed"]?.asList?.compactMap { $0.asStructure?["errorCode"]?.asString } ?? []
    }

    @Test func `an event becomes a record that keeps eventData byte for byte`() async throws {
        let room = try await Room()
        let data = Self.eventData()
        let sum = Base64.encode(Array(SHA256.hash(data: Array(data.utf8))))
        let answer = try await room.put([entry("e-1", data, checksum: sum)])
        let successful = try #require(answer["successful"]?.asList?.first?.asStructure)
        #expect(successful["id"] == "e-1")
        #expect(answer["failed"] == [])
        let record = try #require(room.records.first)
        #expect(successful["eventID"]?.asString == record.eventID)
        let event = try Event(record.record)
        try EventSchema.check(event)
        #expect(event.category == .activityAuditLog)
        #expect(event.eventID == record.eventID && event.eventName == "Export")
        #expect(event.text(.eventTime) == "2026-11-01T10:00:00Z")
        #expect(event.text(.identityPrincipalID) == "maria" && event.text(.sourceIPAddress) == "192.0.2.7")
        let text = String(decoding: record.record, as: UTF8.self)
        #expect(text.hasSuffix("\"eventData\":" + data + "}"))
        #expect(
            text.contains("\"metadata\":{\"ingestionTime\":\"2026-11-24T20:37:15Z\",\"channelARN\":\"\(room.arn)\""))
    }

    @Test func `the same id through the same channel has the same eventID, so it is known again`() async throws {
        let room = try await Room()
        for _ in 0..<2 { _ = try await room.put([entry("e-1", Self.eventData())]) }
        _ = try await room.put([entry("e-2", Self.eventData())])
        let ids = room.records.map(\.eventID)
        #expect(ids[0] == ids[1] && ids[0] != ids[2])
    }

    @Test(
        arguments: [
            ("FieldNotFound", ["UID": nil]), ("FieldNotFound", ["version": nil]),
            ("FieldNotFound", ["eventName": "\"\""]),
            ("FieldNotFound", ["userIdentity": #"{"type":"user"}"#]), ("InvalidData", ["userIdentity": "\"maria\""]),
            ("InvalidData", ["eventName": "5"]), ("InvalidData", ["eventTime": "\"yesterday\""]),
            ("InvalidData", ["requestParameters": "[]"]), ("InvalidData", ["userAgent": "{}"]),
            ("InvalidRecipient", ["recipientAccountId": "\"999999999999\""]),
            ("InvalidEventSource", ["eventSource": "\"ec2.amazonaws.com\""]),
            ("FieldTooLong", ["errorMessage": "\"" + String(repeating: "x", count: 1025) + "\""]),
            ("FieldTooLong", ["additionalEventData": "{\"x\":\"" + String(repeating: "x", count: 28 << 10) + "\"}"]),
            ("InvalidData", ["additionalEventData": #"{"sourceSequence":-1}"#]),
        ] as [(String, [String: String?])])
    func `what is wrong with one event is told by its code, and stops no other`(
        code: String, changes: [String: String?]
    ) async throws {
        let room = try await Room()
        let answer = try await room.put([entry("bad", Self.eventData(changes)), entry("good", Self.eventData())])
        #expect(failures(answer) == [code])
        #expect(answer["successful"]?.asList?.count == 1)
        #expect(room.records.count == 1)
    }

    @Test(arguments: ["", "[]", "{", "{\"version\":\"1\",\"version\":\"2\"}", "{\"x\":\"\u{7}\"}"])
    func `eventData that is no JSON object is invalid data`(data: String) async throws {
        let room = try await Room()
        #expect(failures(try await room.put([entry("e", data)])) == ["InvalidData"])
    }

    @Test func `a wrong checksum refuses the event`() async throws {
        let room = try await Room()
        #expect(failures(try await room.put([entry("e", Self.eventData(), checksum: "AAAA")])) == ["InvalidChecksum"])
        #expect(room.records.isEmpty)
    }

    @Test func `other schemas, doubled ids, and too many events refuse the call`() async throws {
        let room = try await Room()
        #expect(await room.code([entry("e", "{\"eventVersion\":\"1.11\"}")]) == "ChannelUnsupportedSchema")
        #expect(await room.code([entry("e", "{\"class_uid\":3002}")]) == "ChannelUnsupportedSchema")
        let one = entry("e", Self.eventData())
        #expect(await room.code([one, one]) == "DuplicatedAuditEventId")
        #expect(await room.code([]) == "ValidationException")
        #expect(await room.code((0...100).map { entry("e\($0)", Self.eventData()) }) == "ValidationException")
        #expect(await room.code([entry("a b", Self.eventData())]) == "ValidationException")
        #expect(room.records.isEmpty)
    }

    @Test func `a channel that is malformed or unknown has an error of its own`() async throws {
        let room = try await Room()
        let one = [entry("e", Self.eventData())]
        #expect(await room.code(one, channel: "nonsense") == "InvalidChannelARN")
        let unknown = "arn:aws:cloudtrail:us-east-1:111122223333:channel/01234567-89ab-cdef-0123-456789abcdef"
        #expect(await room.code(one, channel: unknown) == "ChannelNotFound")
    }

    @Test func `a source's number is handed on, and the channel's status tells of the last event`() async throws {
        let room = try await Room()
        _ = try await room.put([entry("e", Self.eventData(["additionalEventData": #"{"sourceSequence":42}"#]))])
        #expect(room.records.first?.number == 42)
        var status = try await room.house.call("GetChannel", ["Channel": .string(room.arn)])["IngestionStatus"]?
            .asStructure
        #expect(status?["LatestIngestionSuccessEventID"]?.asString == room.records.first?.eventID)
        #expect(status?["LatestIngestionErrorCode"] == nil)
        try await room.house.trails.saveChannelStatuses()
        room.refused.error.withLock { $0 = AWSError("ThrottlingException", status: 429, "full") }
        #expect(await room.code([entry("f", Self.eventData())]) == "ThrottlingException")
        status = try await room.house.call("GetChannel", ["Channel": .string(room.arn)])["IngestionStatus"]?.asStructure
        #expect(status?["LatestIngestionErrorCode"] == "ThrottlingException")
    }
}
