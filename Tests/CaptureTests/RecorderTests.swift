// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Capture
import EventJournal
import EventRecord
import Foundation
import Logging
import Synchronization
import Testing

/// What the recorder makes of calls that reach into another account.
final class RecorderTests {
    private let folder = FileManager.default.temporaryDirectory.path + "/cairn-recorder-\(UUID().uuidString)"
    private let own = "111122223333"
    private let other = "444455556666"

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// The events of one call, by the account that gets them.
    private func events(
        source: String, resources: [ResourceReference], outcome: CallOutcome
    ) async throws -> [String: WireStructure] {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let journal = try Journal.open(
            directory: folder, device: POSIXJournalDevice(), limits: JournalLimits(), clock: { 0 })
        let counter = Mutex(0)
        let recorder = Recorder(
            journal: journal,
            identifier: {
                counter.withLock { counter in
                    counter += 1
                    return "id-\(counter)"
                }
            }, clock: { Timestamp(seconds: 0) }, logger: Logger(label: "test"))
        let call = Call(
            caller: .user("u", arn: "arn:aws:iam::\(own):user/u", id: "AIDAU", account: own, accessKeyID: "AKIAU"),
            accountID: own, region: "us-east-1", time: Timestamp(seconds: 0), requestID: "r", eventID: "e",
            sourceAddress: "203.0.113.9", userAgent: nil, isSecureTransport: true)
        let record = CallRecord(
            call: call, eventSource: source, eventName: "X", isReadOnly: true, category: .data, apiVersion: nil,
            requestParameters: .null, resources: resources, host: nil, presentedAccessKeyID: nil)
        try await recorder.close(record, outcome, nil)
        var found: [String: WireStructure] = [:]
        for entry in try journal.read(from: journal.firstNumber, bytesMax: 1 << 20).entries {
            let envelope = try #require(EventEnvelope.parse(entry))
            found[envelope.ownerAccount] = try WireValue(json: Array(envelope.record)).asStructure
        }
        await journal.close()
        return found
    }

    private var object: [ResourceReference] {
        [
            ResourceReference(type: "AWS::S3::Object", arn: "arn:aws:s3:::b/k"),
            ResourceReference(type: "AWS::S3::Bucket", arn: "arn:aws:s3:::b", accountID: other),
        ]
    }

    private let denied = CallOutcome(error: AWSError("AccessDenied", status: 403, "no"))

    private func accounts(_ event: WireStructure?) -> [String?] {
        (event?["resources"]?.asList ?? []).map { $0.asStructure?["accountId"]?.asString }
    }

    @Test func `a call on another account's bucket is an event in both accounts, tied by one id`() async throws {
        let events = try await events(source: "s3.amazonaws.com", resources: object, outcome: CallOutcome())
        #expect(events.count == 2)
        #expect(
            events[own]?["sharedEventID"] != nil && events[own]?["sharedEventID"] == events[other]?["sharedEventID"])
        #expect(accounts(events[own]) == [nil, other] && accounts(events[other]) == [nil, other])
        #expect(events[other]?["recipientAccountId"]?.asString == other)
    }

    @Test func `an owner sees who was refused, who was refused does not see the owner`() async throws {
        let events = try await events(source: "s3.amazonaws.com", resources: object, outcome: denied)
        #expect(accounts(events[own]) == [nil, nil])
        #expect(accounts(events[other]) == [nil, other])
        let theirs = try #require(events[other])
        #expect(theirs["errorCode"] == "AccessDenied")
        #expect(
            theirs["userIdentity"]
                == .structure(["type": "AWSAccount", "principalId": "AIDAU", "accountId": .string(own)]))
        #expect(theirs["sharedEventID"] == events[own]?["sharedEventID"])
    }

    @Test func `a role that could not be assumed, and failures of other kinds, are the caller's alone`() async throws {
        let role = [ResourceReference(type: "AWS::IAM::Role", arn: "arn:aws:iam::\(other):role/r", accountID: other)]
        #expect(try await events(source: "sts.amazonaws.com", resources: role, outcome: denied).count == 1)
        let missing = CallOutcome(error: AWSError("NoSuchKey", status: 404, "no"))
        try? FileManager.default.removeItem(atPath: folder)
        #expect(try await events(source: "s3.amazonaws.com", resources: object, outcome: missing).count == 1)
    }
}
