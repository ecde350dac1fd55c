// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Messaging
import Testing

struct QueueServiceTests {
    @Test func `a message is hidden after its receive until its time is over`() async throws {
        let room = try await MessagingRoom()
        let url = try await room.makeQueue("q", ["VisibilityTimeout": "30"])
        try await room.put("a", in: url)
        try await room.put("b", in: url)
        #expect(try await room.bodies(url) == ["a", "b"])
        #expect(try await room.counts(url) == ["0", "2", "0"])
        room.advance(29_999)
        #expect(try await room.bodies(url) == [])
        room.advance(1)
        let again = try await room.receive(url)
        #expect(again.compactMap { $0["Body"]?.asString } == ["a", "b"])
        #expect(again.allSatisfy { $0["Attributes"]?.asStructure?["ApproximateReceiveCount"] == "2" })
    }

    @Test func `a delayed message cannot be received before its time`() async throws {
        let room = try await MessagingRoom()
        let url = try await room.makeQueue("q", ["DelaySeconds": "5"])
        try await room.put("late", in: url)
        try await room.put("now", in: url, ["DelaySeconds": 0])
        #expect(try await room.bodies(url) == ["now"])
        #expect(try await room.counts(url) == ["0", "1", "1"])
        room.advance(5000)
        #expect(try await room.bodies(url) == ["late"])
    }

    @Test func `a long poll waits for the next hidden message and no longer`() async throws {
        let room = try await MessagingRoom()
        let url = try await room.makeQueue()
        try await room.put("late", in: url, ["DelaySeconds": 7])
        let before = room.now
        #expect(try await room.bodies(url, ["WaitTimeSeconds": 20]) == ["late"])
        #expect(room.now - before == 7000)
        #expect(try await room.bodies(url, ["WaitTimeSeconds": 10]) == [])
        #expect(room.now - before == 17_000)
    }

    @Test func `a message past its retention is gone`() async throws {
        let room = try await MessagingRoom()
        let url = try await room.makeQueue("q", ["MessageRetentionPeriod": "60"])
        try await room.put("old", in: url)
        room.advance(60_001)
        try await room.put("new", in: url)
        #expect(try await room.counts(url) == ["1", "0", "0"])
        #expect(try await room.bodies(url) == ["new"])
        try await room.queues.expire()
        let after = try await MessagingRoom(after: room)
        #expect(try await after.counts(url) == ["0", "1", "0"])
    }

    @Test func `a new process has the messages, their receipts and their counts`() async throws {
        let room = try await MessagingRoom()
        let url = try await room.makeQueue()
        try await room.put("a", in: url)
        try await room.put("b", in: url)
        let taken = try await room.receive(url, ["MaxNumberOfMessages": 1])
        let receipt = try #require(taken.first?["ReceiptHandle"])
        let after = try await MessagingRoom(after: room)
        #expect(try await after.counts(url) == ["1", "1", "0"])
        try await after.send("DeleteMessage", ["QueueUrl": .string(url), "ReceiptHandle": receipt])
        #expect(try await after.counts(url) == ["1", "0", "0"])
        let last = try await MessagingRoom(after: after)
        #expect(try await last.bodies(url) == ["b"])
    }

    @Test func `an older receipt deletes nothing`() async throws {
        let room = try await MessagingRoom()
        let url = try await room.makeQueue("q", ["VisibilityTimeout": "0"])
        try await room.put("a", in: url)
        let old = try #require(try await room.receive(url).first?["ReceiptHandle"])
        let new = try #require(try await room.receive(url).first?["ReceiptHandle"])
        try await room.send("DeleteMessage", ["QueueUrl": .string(url), "ReceiptHandle": old])
        #expect(try await room.counts(url) == ["1", "0", "0"])
        try await room.send("DeleteMessage", ["QueueUrl": .string(url), "ReceiptHandle": new])
        #expect(try await room.counts(url) == ["0", "0", "0"])
    }

    @Test func `a message cannot be hidden for longer than twelve hours in all`() async throws {
        let room = try await MessagingRoom()
        let url = try await room.makeQueue()
        try await room.put("a", in: url)
        let receipt = try #require(try await room.receive(url).first?["ReceiptHandle"])
        func hide(_ seconds: Int64) async throws -> String {
            try await room.code(
                "ChangeMessageVisibility",
                ["QueueUrl": .string(url), "ReceiptHandle": receipt, "VisibilityTimeout": .integer(seconds)])
        }
        #expect(try await hide(43_200).hasPrefix("no error"))
        room.advance(1000)
        #expect(try await hide(43_200) == "InvalidParameterValueException")
        #expect(try await hide(43_199).hasPrefix("no error"))
        room.advance(43_199_000)
        #expect(try await hide(5) == "MessageNotInflight")
    }

    @Test func `what was received too often lies in the dead-letter queue, also after a restart`() async throws {
        let room = try await MessagingRoom()
        let dead = try await room.makeQueue("dead")
        let redrive = #"{"deadLetterTargetArn":"\#(MessagingRoom.arn("dead"))","maxReceiveCount":"1"}"#
        let url = try await room.makeQueue("q", ["VisibilityTimeout": "0", "RedrivePolicy": .string(redrive)])
        try await room.put("poison", in: url)
        try await room.put("poison too", in: url)
        #expect(try await room.bodies(url) == ["poison", "poison too"])
        #expect(try await room.bodies(url) == [])
        let after = try await MessagingRoom(after: room)
        #expect(try await after.counts(url) == ["0", "0", "0"])
        let letters = try await after.receive(dead)
        #expect(letters.compactMap { $0["Body"]?.asString } == ["poison", "poison too"])
        #expect(
            letters.first?["Attributes"]?.asStructure?["DeadLetterQueueSourceArn"] == .string(MessagingRoom.arn("q")))
    }

    @Test func `a queue without its dead-letter queue keeps its messages`() async throws {
        let room = try await MessagingRoom()
        let dead = try await room.makeQueue("dead")
        let redrive = #"{"deadLetterTargetArn":"\#(MessagingRoom.arn("dead"))","maxReceiveCount":1}"#
        let url = try await room.makeQueue("q", ["VisibilityTimeout": "0", "RedrivePolicy": .string(redrive)])
        try await room.send("DeleteQueue", ["QueueUrl": .string(dead)])
        try await room.put("a", in: url)
        for _ in 0..<3 { #expect(try await room.bodies(url) == ["a"]) }
    }

    @Test func `a queue made anew under an old name has nothing of the old one`() async throws {
        let room = try await MessagingRoom()
        let url = try await room.makeQueue()
        try await room.put("old", in: url)
        let receipt = try #require(try await room.receive(url).first?["ReceiptHandle"])
        try await room.send("DeleteQueue", ["QueueUrl": .string(url)])
        #expect(
            try await room.code("SendMessage", ["QueueUrl": .string(url), "MessageBody": "x"]) == "QueueDoesNotExist")
        #expect(try await room.makeQueue() == url)
        #expect(try await room.counts(url) == ["0", "0", "0"])
        #expect(
            try await room.code("DeleteMessage", ["QueueUrl": .string(url), "ReceiptHandle": receipt])
                == "ReceiptHandleIsInvalid")
    }

    @Test func `a service may send only what the queue's policy lets it`() async throws {
        let room = try await MessagingRoom()
        let url = try await room.makeQueue("q")
        func send(_ service: String) async -> String {
            do throws(AWSError) {
                try await room.queues.send(
                    "m", to: MessagingRoom.arn("q"), asService: service, sourceARN: "arn:aws:s3:::b",
                    sourceAccount: MessagingRoom.account)
                return "sent"
            } catch {
                return error.code
            }
        }
        #expect(await send("s3.amazonaws.com") == "AccessDeniedException")
        try await room.send(
            "SetQueueAttributes",
            [
                "QueueUrl": .string(url),
                "Attributes": .structure(["Policy": MessagingRoom.policy("q", "s3.amazonaws.com")]),
            ])
        #expect(await send("s3.amazonaws.com") == "sent")
        #expect(await send("events.amazonaws.com") == "AccessDeniedException")
        #expect(try await room.bodies(url) == ["m"])
    }

    @Test func `the owner's calls are refused to others, whatever the policy says`() async throws {
        let room = try await MessagingRoom()
        let url = try await room.makeQueue()
        for operation in ["DeleteQueue", "ListQueueTags"] {
            #expect(
                try await room.code(operation, ["QueueUrl": .string(url)], account: MessagingRoom.other)
                    == "AccessDeniedException")
        }
        #expect(try await room.counts(url) == ["0", "0", "0"])
    }

    @Test func `the refusal at the door has SQS's words and code`() async throws {
        let refusal = AWSError.accessDenied(
            family: .json, callerARN: "arn:aws:iam::111122223333:user/u", action: "sqs:SendMessage",
            resource: MessagingRoom.arn("Q"),
            reason: "because no identity-based policy allows the sqs:SendMessage action")
        let denied = try await MessagingRoom().queues.service.denial(refusal)
        #expect(denied.message.contains("perform: sqs:sendmessage on resource: \(MessagingRoom.arn("Q")) because"))
        #expect(denied.headers.contains(WireHeader("x-amzn-query-error", "AccessDenied;Sender")))
    }
}
