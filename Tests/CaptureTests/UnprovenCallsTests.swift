// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Capture
import Testing

struct UnprovenCallsTests {
    private func record(_ name: String, at milliseconds: Int64, from address: String = "192.0.2.1") -> CallRecord {
        CallRecord(
            call: Call(
                caller: .unknown, accountID: "111122223333", region: "us-east-1",
                time: Timestamp(milliseconds: milliseconds), requestID: "r", eventID: "e", sourceAddress: address,
                userAgent: nil, isSecureTransport: false),
            eventSource: "s3.amazonaws.com", eventName: name, isReadOnly: true, category: .management, apiVersion: nil,
            requestParameters: .null, resources: [], host: nil, presentedAccessKeyID: nil)
    }

    private func limits(singles: Int, groups: Int = 16) -> UnprovenCalls.Limits {
        var limits = UnprovenCalls.Limits()
        limits.singlesMax = singles
        limits.groupsMax = groups
        limits.windowMilliseconds = 1000
        return limits
    }

    private let denied = CallOutcome(error: AWSError("AccessDenied", status: 403, "no"))

    @Test func `a burst becomes its first calls and one summary with the count of the rest`() {
        var calls = UnprovenCalls(limits: limits(singles: 3))
        var recorded = 0
        for index in 0..<1000 {
            let taken = calls.take(record("ListBuckets", at: Int64(index / 2)), denied)
            if taken.isRecorded { recorded += 1 }
            #expect(taken.ended.isEmpty)
        }
        let summaries = calls.end(now: Timestamp(milliseconds: 2000))
        #expect(recorded == 3 && summaries.count == 1 && summaries.first?.count == 997)
        #expect(summaries.first?.last == Timestamp(milliseconds: 499))
        #expect(calls.end(now: Timestamp(milliseconds: 9000), isForced: true).isEmpty)
    }

    @Test func `no window writes more events than its limits allow, whatever the names`() {
        var calls = UnprovenCalls(limits: limits(singles: 2, groups: 4))
        var total = 0
        for index in 0..<500 {
            let taken = calls.take(record("Op\(index)", at: 10, from: "192.0.2.\(index % 250)"), denied)
            total += taken.isRecorded ? 1 : 0
        }
        let summaries = calls.end(now: Timestamp(milliseconds: 10), isForced: true)
        #expect(total == 2 && summaries.count == 4 && summaries.map(\.count).reduce(0, +) == 498)
        #expect(summaries.allSatisfy { $0.addresses.count <= UnprovenCalls.Limits().addressesMax })
    }

    @Test func `a new window records singly again, and the old one's summary comes with its first call`() {
        var calls = UnprovenCalls(limits: limits(singles: 1))
        _ = calls.take(record("A", at: 0), denied)
        _ = calls.take(record("A", at: 1), denied)
        let taken = calls.take(record("A", at: 1500), denied)
        #expect(taken.isRecorded && taken.ended.map(\.count) == [1])
    }

    @Test func `a clock that jumps back ends the window instead of holding it for ever`() {
        var calls = UnprovenCalls(limits: limits(singles: 1))
        _ = calls.take(record("A", at: 1_000_000), denied)
        _ = calls.take(record("A", at: 1_000_001), denied)
        let taken = calls.take(record("A", at: 5), denied)
        #expect(taken.isRecorded && taken.ended.map(\.count) == [1])
    }
}

struct RecordedShapeTests {
    @Test func `names get a small first letter and secrets a fixed word, in lists too`() {
        let shape: WireStructure = [
            "AccessKey": .structure(["SecretAccessKey": "s3cr3t", "UserName": "u"]),
            "Keys": .list([.structure(["Secret": "x"]), .structure(["Secret": "y"])]), "ARN": "a",
        ]
        let shown = RecordedShape.members(shape, redacted: ["AccessKey.SecretAccessKey", "Keys.Secret"])
        #expect(
            shown
                == .structure([
                    "accessKey": .structure(["secretAccessKey": .string(RecordedShape.hidden), "userName": "u"]),
                    "keys": .list([
                        .structure(["secret": .string(RecordedShape.hidden)]),
                        .structure(["secret": .string(RecordedShape.hidden)]),
                    ]), "aRN": "a",
                ]))
    }

    @Test func `no parameters at all are null`() {
        #expect(RecordedShape.members([:], redacted: []) == .null)
    }
}
