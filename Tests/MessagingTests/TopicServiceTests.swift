// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Messaging
import Synchronization
import Testing

struct TopicServiceTests {
    private func room() async throws -> MessagingRoom {
        let room = try await MessagingRoom()
        try await room.send("CreateTopic", ["Name": "t"], isTopic: true)
        return room
    }

    /// A confirmed HTTP subscription, with its confirmation out of the way.
    private func confirmed(_ room: MessagingRoom, _ attributes: WireStructure = [:]) async throws -> String {
        let arn = try await room.subscribe("http://192.0.2.7/in", "http", attributes)
        await room.topics.deliver()
        let token = try #require(try message(room.posts.last)["Token"])
        try await room.send(
            "ConfirmSubscription", ["TopicArn": .string(MessagingRoom.topic), "Token": token], isTopic: true)
        room.state.withLock { $0.posts = [] }
        return arn
    }

    private func message(_ post: EndpointPost?) throws -> WireStructure {
        let post = try #require(post)
        return try #require(try WireValue(json: post.body).asStructure)
    }

    @Test func `an endpoint gets nothing before it has confirmed`() async throws {
        let room = try await room()
        _ = try await room.subscribe("http://192.0.2.7/in", "http")
        try await room.publish("early")
        await room.topics.deliver()
        #expect(try room.posts.map { try message($0)["Type"] } == ["SubscriptionConfirmation"])
        #expect(
            try await room.code(
                "ConfirmSubscription", ["TopicArn": .string(MessagingRoom.topic), "Token": "0"], isTopic: true)
                == "InvalidParameter")
    }

    @Test func `a token confirms for two days`() async throws {
        let room = try await room()
        _ = try await room.subscribe("http://192.0.2.7/in", "http")
        await room.topics.deliver()
        let token = try #require(try message(room.posts.last)["Token"])
        room.advance(2 * 86_400_000 + 1)
        let ask: WireStructure = ["TopicArn": .string(MessagingRoom.topic), "Token": token]
        #expect(try await room.code("ConfirmSubscription", ask, isTopic: true) == "InvalidParameter")
    }

    @Test func `a delivery that fails is tried four times, twenty seconds apart`() async throws {
        let room = try await room()
        _ = try await confirmed(room)
        room.answer(503, nil, 429, 500, 200)
        try await room.publish("m")
        for attempt in 1...4 {
            await room.topics.deliver()
            #expect(room.posts.count == attempt)
            room.advance(19_999)
            await room.topics.deliver()
            #expect(room.posts.count == attempt)
            room.advance(1)
        }
        await room.topics.deliver()
        #expect(room.posts.count == 4)
    }

    @Test func `what an endpoint refuses is not tried again, and goes to the dead-letter queue`() async throws {
        let room = try await room()
        let dead = try await room.makeQueue("dead", ["Policy": MessagingRoom.policy("dead")])
        let redrive = #"{"deadLetterTargetArn":"\#(MessagingRoom.arn("dead"))"}"#
        _ = try await confirmed(room, ["RedrivePolicy": .string(redrive), "RawMessageDelivery": "true"])
        room.answer(403)
        try await room.publish("unwanted")
        await room.topics.deliver()
        room.advance(60_000)
        await room.topics.deliver()
        #expect(room.posts.count == 1)
        #expect(try await room.bodies(dead) == ["unwanted"])
    }

    @Test func `a new process sends what was accepted, once`() async throws {
        let room = try await room()
        let arn = try await confirmed(room)
        try await room.publish("m")
        let after = try await MessagingRoom(after: room)
        await after.topics.deliver()
        #expect(try message(after.posts.first)["Message"] == "m")
        #expect(after.posts.first?.headers.contains(WireHeader("x-amz-sns-subscription-arn", arn)) == true)
        await after.topics.deliver()
        #expect(after.posts.count == 1)
        let last = try await MessagingRoom(after: after)
        await last.topics.deliver()
        #expect(last.posts.isEmpty)
    }

    @Test func `messages reach an endpoint in the order in which they were published`() async throws {
        let room = try await room()
        _ = try await confirmed(room, ["RawMessageDelivery": "true"])
        for number in 0..<5 { try await room.publish("\(number)") }
        await room.topics.deliver()
        #expect(room.posts.map { String(decoding: $0.body, as: UTF8.self) } == ["0", "1", "2", "3", "4"])
    }

    @Test func `a publish is in the queue on return, where the queue's policy lets it`() async throws {
        let room = try await room()
        let open = try await room.makeQueue("open", ["Policy": MessagingRoom.policy("open")])
        let shut = try await room.makeQueue("shut")
        for name in ["open", "shut"] {
            _ = try await room.subscribe(MessagingRoom.arn(name), "sqs", ["RawMessageDelivery": "true"])
        }
        try await room.publish("m")
        let after = try await MessagingRoom(after: room)
        #expect(try await after.bodies(open) == ["m"])
        #expect(try await after.bodies(shut) == [])
    }

    @Test func `another account's queue is sent a token first`() async throws {
        let room = try await room()
        let url = try await room.makeQueue("q", ["Policy": MessagingRoom.policy("q")])
        let answer = try await room.send(
            "Subscribe",
            [
                "TopicArn": .string(MessagingRoom.topic), "Protocol": "sqs",
                "Endpoint": .string(MessagingRoom.arn("q")),
            ], account: MessagingRoom.other, isTopic: true)
        #expect(answer["SubscriptionArn"] == "pending confirmation")
        let body = try #require(try await room.bodies(url).first)
        #expect(try WireValue(json: Array(body.utf8)).asStructure?["Type"] == "SubscriptionConfirmation")
    }

    @Test func `a service may publish only where the topic's policy lets it`() async throws {
        let room = try await room()
        func publish(_ arn: String) async -> String {
            do throws(AWSError) {
                try await room.topics.publish(
                    "m", subject: nil, to: arn, asService: "cloudtrail.amazonaws.com",
                    sourceARN: "arn:aws:cloudtrail:us-east-1:111122223333:trail/x", sourceAccount: "111122223333")
                return "published"
            } catch {
                return error.code
            }
        }
        #expect(await publish(MessagingRoom.topic + "x") == "NotFound")
        #expect(await publish("arn:aws:sqs:us-east-1:111122223333:t") == "InvalidParameter")
        #expect(await publish(MessagingRoom.topic) == "AuthorizationError")
        let policy =
            #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"#
            + #""Action":"SNS:Publish","Resource":"\#(MessagingRoom.topic)","Condition":{"StringEquals":"#
            + #"{"aws:SourceArn":"arn:aws:cloudtrail:us-east-1:111122223333:trail/x"}}}]}"#
        try await room.send(
            "SetTopicAttributes",
            [
                "TopicArn": .string(MessagingRoom.topic), "AttributeName": "Policy", "AttributeValue": .string(policy),
            ], isTopic: true)
        #expect(await publish(MessagingRoom.topic) == "published")
    }

    @Test func `nobody ends a subscription that wants a signature, without one`() async throws {
        let room = try await room()
        let arn = try await room.subscribe("http://192.0.2.7/in", "http")
        await room.topics.deliver()
        let token = try #require(try message(room.posts.last)["Token"])
        try await room.send(
            "ConfirmSubscription",
            ["TopicArn": .string(MessagingRoom.topic), "Token": token, "AuthenticateOnUnsubscribe": "true"],
            isTopic: true)
        await #expect(throws: AWSError.self) {
            try await room.send("Unsubscribe", ["SubscriptionArn": .string(arn)], isTopic: true, caller: .unknown)
        }
        try await room.send("Unsubscribe", ["SubscriptionArn": .string(arn)], isTopic: true)
        #expect(
            try await room.code("GetSubscriptionAttributes", ["SubscriptionArn": .string(arn)], isTopic: true)
                == "NotFound")
    }

    @Test func `a deleted topic takes its subscriptions along`() async throws {
        let room = try await room()
        _ = try await room.makeQueue("q")
        let arn = try await room.subscribe(MessagingRoom.arn("q"), "sqs")
        try await room.send("DeleteTopic", ["TopicArn": .string(MessagingRoom.topic)], isTopic: true)
        let after = try await MessagingRoom(after: room)
        for each in [room, after] {
            #expect(
                try await each.code("GetSubscriptionAttributes", ["SubscriptionArn": .string(arn)], isTopic: true)
                    == "NotFound")
        }
    }

    @Test func `more than a page of topics is listed page by page`() async throws {
        let room = try await MessagingRoom()
        for number in 0..<105 { try await room.send("CreateTopic", ["Name": .string("t\(number)")], isTopic: true) }
        var names: Set<String> = []
        var token: WireValue?
        var pages = 0
        repeat {
            let page = try await room.send("ListTopics", token.map { ["NextToken": $0] } ?? [:], isTopic: true)
            for item in page["Topics"]?.asList ?? [] { names.insert(item.asStructure?["TopicArn"]?.asString ?? "") }
            token = page["NextToken"]
            pages += 1
        } while token != nil
        #expect(names.count == 105 && pages == 2)
    }
}
