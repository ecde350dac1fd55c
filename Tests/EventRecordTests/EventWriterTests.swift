// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Foundation
import Testing

struct EventWriterTests {
    static func draft() -> EventDraft {
        EventDraft(
            identity: EventIdentity(
                type: "AssumedRole", principalID: "AROA:s", arn: "arn:aws:sts::111122223333:assumed-role/r/s",
                accountID: "111122223333", accessKeyID: "ASIA",
                session: .init(
                    issuer: .init(
                        type: "Role", principalID: "AROA", arn: "arn:aws:iam::111122223333:role/r",
                        accountID: "111122223333",
                        userName: "r"), creationSeconds: 1_688_990_397, isMFAAuthenticated: false),
                invokedBy: "x.amazonaws.com"),
            eventSeconds: 1_688_990_405, eventSource: "cloudtrail.amazonaws.com", eventName: "CreateTrail",
            awsRegion: "us-east-1", sourceIPAddress: "192.0.2.1", userAgent: "aws-cli/2 \"quoted\"\n",
            errorCode: "TrailNotFoundException", errorMessage: "Unknown trail",
            requestParameters: Array("{\"name\":\"t\"}".utf8),
            responseElements: nil, additionalEventData: Array("{\"a\":1}".utf8), requestID: "r-1", eventID: "e-1",
            readOnly: false,
            resources: [
                .init(accountID: "111122223333", type: "AWS::S3::Bucket", arn: "arn:aws:s3:::b"),
                .init(type: "AWS::S3::Object", arn: "arn:aws:s3:::b/p", isPrefix: true),
            ], apiVersion: "v", recipientAccountID: "111122223333", sharedEventID: "s-1", vpcEndpointID: "vpce-1",
            vpcEndpointAccountID: "111122223333", isSessionCredentialFromConsole: true,
            tls: .init(cipherSuite: "C", clientProvidedHostHeader: "h"))
    }

    @Test func `a record has CloudTrail's members in CloudTrail's order`() {
        let expected =
            #"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROA:s","arn":"arn:aws:sts::111122223333:assumed-role/r/s","accountId":"111122223333","accessKeyId":"ASIA","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA","arn":"arn:aws:iam::111122223333:role/r","accountId":"111122223333","userName":"r"},"webIdFederationData":{},"attributes":{"creationDate":"2023-07-10T11:59:57Z","mfaAuthenticated":"false"}},"invokedBy":"x.amazonaws.com"},"eventTime":"2023-07-10T12:00:05Z","eventSource":"cloudtrail.amazonaws.com","eventName":"CreateTrail","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.1","userAgent":"aws-cli/2 \"quoted\"\n","errorCode":"TrailNotFoundException","errorMessage":"Unknown trail","requestParameters":{"name":"t"},"responseElements":null,"additionalEventData":{"a":1},"requestID":"r-1","eventID":"e-1","readOnly":false,"resources":[{"accountId":"111122223333","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::b"},{"type":"AWS::S3::Object","ARNPrefix":"arn:aws:s3:::b/p"}],"eventType":"AwsApiCall","apiVersion":"v","managementEvent":true,"recipientAccountId":"111122223333","sharedEventID":"s-1","vpcEndpointId":"vpce-1","vpcEndpointAccountId":"111122223333","eventCategory":"Management","sessionCredentialFromConsole":"true","tlsDetails":{"cipherSuite":"C","clientProvidedHostHeader":"h"}}"#
        #expect(String(decoding: EventWriter.record(Self.draft()), as: UTF8.self) == expected)
    }

    @Test func `an entry is the envelope's header and the same record`() throws {
        let entry = EventWriter.entry(
            Self.draft(), kind: .closingEvent, ownerAccount: "111122223333", related: 0x0102_0304)
        let envelope = try #require(EventEnvelope.parse(entry[...]))
        #expect(
            envelope.kind == .closingEvent && envelope.related == 0x0102_0304 && envelope.ownerAccount == "111122223333"
        )
        #expect(Array(envelope.record) == EventWriter.record(Self.draft()))
        #expect(envelope.encoded() == entry)
    }

    @Test(arguments: [[], [0], [5, 0x31], [UInt8](repeating: 0x31, count: 20)] as [[UInt8]])
    func `what is no envelope is not taken for one`(_ bytes: [UInt8]) {
        #expect(EventEnvelope.parse(bytes[...]) == nil)
    }

    @Test func `any text comes back as it was`() throws {
        var random = SeededRandom(seed: 7)
        for _ in 0..<2000 {
            var text = ""
            for _ in 0..<Int.random(in: 0..<40, using: &random) {
                let scalar: UInt32 =
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: .random(in: 0..<0x20, using: &random)
                    case 1: [0x22, 0x5C, 0x2F, 0x7F].randomElement(using: &random) ?? 0x22
                    case 2: .random(in: 0x20..<0x7F, using: &random)
                    default: .random(in: 0xA0..<0x1_0000, using: &random)
                    }
                text.unicodeScalars.append(Unicode.Scalar(scalar) ?? "x")
            }
            var draft = Self.draft()
            draft.eventName = text
            draft.identity.userName = text
            let record = EventWriter.record(draft)
            let event = try Event(record)
            #expect(event.eventName == text && event.username == (text.isEmpty ? "s" : text))
            let json = try #require(JSONSerialization.jsonObject(with: Data(record)) as? [String: Any])
            #expect(json["eventName"] as? String == text)
        }
    }

    @Test func `four texts are cut at a kilobyte on a character's border`() throws {
        var draft = Self.draft()
        draft.userAgent = String(repeating: "é", count: 600)
        draft.errorMessage = String(repeating: "m", count: 1025)
        draft.errorCode = String(repeating: "c", count: 1024)
        draft.requestID = String(repeating: "\u{1F600}", count: 300)
        let event = try Event(EventWriter.record(draft))
        #expect(event.text(.userAgent) == String(repeating: "é", count: 510) + "...")
        #expect(event.text(.errorMessage) == String(repeating: "m", count: 1021) + "...")
        #expect(event.text(.errorCode) == draft.errorCode)
        #expect(event.text(.requestID) == String(repeating: "\u{1F600}", count: 255) + "...")
    }

    @Test func `parameters over a hundred kilobytes are replaced and leave a digest and their head`() throws {
        var draft = Self.draft()
        let large = Array("{\"policy\":\"\(String(repeating: "p", count: 102_400))\"}".utf8)
        draft.requestParameters = large
        let event = try Event(EventWriter.record(draft))
        let parameters = try #require(event.json(.requestParameters))
        #expect(
            String(decoding: parameters, as: UTF8.self)
                == "{\"reason\":\"requestParameters too large\",\"omitted\":true,\"originalSize\":\(large.count)}")
        let data = try #require(event.json(.additionalEventData).map { Data($0) })
        let json = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(json["a"] as? Int == 1)
        let trace = try #require((json["omittedByCairn"] as? [String: Any])?["requestParameters"] as? [String: Any])
        #expect(trace["originalSize"] as? Int == large.count)
        #expect(trace["head"] as? String == String(decoding: large[..<1024], as: UTF8.self))
        // sha256sum of the same bytes.
        #expect(trace["sha256"] as? String == "4f3940bae886513deb45523edb61f6abd83b8e5c01b5adb6953c55dcbcdeb175")
    }

    @Test func `a value at its limit is kept`() throws {
        var draft = Self.draft()
        draft.requestParameters = Array("{\"p\":\"\(String(repeating: "p", count: 102_400 - 8))\"}".utf8)
        draft.additionalEventData = Array("{\"p\":\"\(String(repeating: "p", count: 28_672 - 8))\"}".utf8)
        let event = try Event(EventWriter.record(draft))
        #expect(event.json(.requestParameters).map(Array.init) == draft.requestParameters)
        #expect(event.json(.additionalEventData).map(Array.init) == draft.additionalEventData)
    }

    @Test func `a record never exceeds its limit and stays well-formed, whatever goes in`() throws {
        var draft = Self.draft()
        let worst = String(repeating: "\u{1}", count: 5000)
        draft.requestParameters = Array("{\"p\":\"\(String(repeating: "p", count: 102_000))\"}".utf8)
        draft.responseElements = draft.requestParameters
        draft.serviceEventDetails = draft.requestParameters
        draft.additionalEventData = Array("{\"p\":\"\(String(repeating: "p", count: 30_000))\"}".utf8)
        draft.resources = Array(repeating: .init(accountID: "1", type: worst, arn: worst), count: 300)
        draft.identity.arn = worst
        draft.identity.userName = worst
        draft.identity.session?.issuer?.arn = worst
        draft.eventName = worst
        draft.userAgent = worst
        let record = EventWriter.record(draft)
        #expect(record.count <= EventWriter.Limits.recordBytesMax)
        let json = try #require(JSONSerialization.jsonObject(with: Data(record)) as? [String: Any])
        let traces = (json["additionalEventData"] as? [String: Any])?["omittedByCairn"] as? [String: Any]
        #expect(
            traces?["resources"] != nil && traces?["additionalEventData"] != nil && traces?["responseElements"] != nil)
        #expect(throws: Never.self) { try Event(record) }
    }
}
