// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Objects
import Synchronization
import Testing

/// Keeps what it is given; refuses or fails on request.
private final class RecordingDestination: NotificationDestination {
    private struct State {
        var messages: [NotificationMessage] = []
        var failure: AWSError?
    }

    private let state = Mutex(State())

    func publish(_ message: NotificationMessage) async throws(AWSError) {
        let failure = state.withLock { state in
            if state.failure == nil { state.messages.append(message) }
            return state.failure
        }
        if let failure { throw failure }
    }

    func fail(_ error: AWSError?) { state.withLock { $0.failure = error } }

    func take() -> [NotificationMessage] {
        state.withLock { state in
            defer { state.messages = [] }
            return state.messages
        }
    }
}

struct NotificationTests {
    private static let topic = "arn:aws:sns:us-east-1:111122223333:t"
    private static let queue = "arn:aws:sqs:us-east-1:111122223333:q"

    private let topics = RecordingDestination()
    private let queues = RecordingDestination()

    private func room() async throws -> ObjectRoom {
        let room = try await ObjectRoom(destinations: ["sns": topics, "sqs": queues])
        try await room.send("PUT", "/aaa")
        return room
    }

    private func put(_ room: ObjectRoom, _ configurations: String) async throws {
        try await room.send(
            "PUT", "/aaa?notification", [:], "<NotificationConfiguration>\(configurations)</NotificationConfiguration>")
    }

    private func queue(_ events: String..., filter: String = "", id: String = "<Id>c</Id>") -> String {
        "<QueueConfiguration>\(id)<Queue>\(Self.queue)</Queue>"
            + events.map { "<Event>\($0)</Event>" }.joined() + filter + "</QueueConfiguration>"
    }

    private func record(_ message: NotificationMessage) throws -> WireStructure {
        let fields = try #require(try WireValue(json: Array(message.text.utf8)).asStructure)
        return try #require(fields["Records"]?.asList?.first?.asStructure)
    }

    private func names(_ messages: [NotificationMessage]) throws -> [String] {
        try messages.map { try #require(try record($0).text("eventName")) }
    }

    @Test func `each destination takes a test message before the configuration holds`() async throws {
        let room = try await room()
        defer { room.remove() }
        let filter =
            "<Filter><S3Key><FilterRule><Name>prefix</Name><Value>logs/</Value></FilterRule></S3Key></Filter>"
        try await put(room, queue("s3:ObjectCreated:*", filter: filter, id: ""))
        let test = try #require(queues.take().first)
        let fields = try #require(try WireValue(json: Array(test.text.utf8)).asStructure)
        #expect(fields.members.map(\.name) == ["Service", "Event", "Time", "Bucket", "RequestId", "HostId"])
        #expect(fields.text("Event") == "s3:TestEvent" && fields.text("Bucket") == "aaa")
        #expect(test.destination == Self.queue && test.bucketARN == "arn:aws:s3:::aaa")
        #expect(test.account == ObjectRoom.account)
        let shown = try await room.send("GET", "/aaa?notification").document.all("QueueConfiguration")
        #expect(shown.first?.text("Id")?.isEmpty == false)
        #expect(shown.first?.text("Queue") == Self.queue)
        #expect(shown.first?["Filter"]?.asStructure?["S3Key"] != nil)

        queues.fail(AWSError("AccessDenied", status: 403, "Permissions on the destination queue do not allow S3"))
        let other = "<NotificationConfiguration>\(queue("s3:ObjectRemoved:*"))</NotificationConfiguration>"
        #expect(await room.refusal("PUT", "/aaa?notification", [:], other) == "InvalidArgument 400")
        #expect(try await room.send("GET", "/aaa?notification").document.all("QueueConfiguration") == shown)
        try await room.send("PUT", "/aaa?notification", ["x-amz-skip-destination-validation": "true"], other)
        try await put(room, "")
        #expect(try await room.send("GET", "/aaa?notification").document.isEmpty)
    }

    @Test func `a message says what was done to which object, by whom and in which order`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await put(room, queue("s3:ObjectCreated:*", "s3:ObjectRemoved:*"))
        _ = queues.take()
        try await room.send("PUT", "/aaa/a%20b/%C3%A9+", [:], "hello")
        try await room.send("PUT", "/aaa/copy", ["x-amz-copy-source": "/aaa/a%20b/%C3%A9+"])
        try await room.send("DELETE", "/aaa/copy")
        try await room.send("DELETE", "/aaa/never-there")
        #expect(queues.take().isEmpty)
        #expect(try await room.service.publishNotifications() == 3)
        #expect(try await room.service.publishNotifications() == 0)
        let messages = queues.take()
        #expect(try names(messages) == ["ObjectCreated:Put", "ObjectCreated:Copy", "ObjectRemoved:Delete"])
        let first = try record(messages[0])
        #expect(first.text("eventVersion") == "2.1" && first.text("eventSource") == "aws:s3")
        #expect(first.text("awsRegion") == "us-east-1")
        #expect(first.text("eventTime") == ObjectRoom.start.iso8601Milliseconds)
        #expect(first["requestParameters"]?.asStructure?.text("sourceIPAddress") == "127.0.0.1")
        #expect(first["responseElements"]?.asStructure?.text("x-amz-request-id") == "R")
        let s3 = try #require(first["s3"]?.asStructure)
        #expect(s3.text("s3SchemaVersion") == "1.0" && s3.text("configurationId") == "c")
        #expect(s3["bucket"]?.asStructure?.text("arn") == "arn:aws:s3:::aaa")
        let object = try #require(s3["object"]?.asStructure)
        #expect(object.text("key") == "a+b/%C3%A9%2B")
        #expect(object["size"] == 5 && object.text("eTag") == "5d41402abc4b2a76b9719d911017c592")
        #expect(object["versionId"] == nil)
        let sequencers = try messages.map { message in
            try #require(
                try record(message)["s3"]?.asStructure?["object"]?.asStructure?.text("sequencer"))
        }
        #expect(sequencers == sequencers.sorted() && Set(sequencers).count == 3)
        #expect(try record(messages[2])["s3"]?.asStructure?["object"]?.asStructure?["size"] == nil)
    }

    @Test func `only what a configuration names is told, under its prefix and suffix`() async throws {
        let room = try await room()
        defer { room.remove() }
        let filter =
            "<Filter><S3Key><FilterRule><Name>Prefix</Name><Value>logs/</Value></FilterRule>"
            + "<FilterRule><Name>Suffix</Name><Value>.gz</Value></FilterRule></S3Key></Filter>"
        try await put(
            room,
            queue("s3:ObjectCreated:Put", filter: filter)
                + "<TopicConfiguration><Topic>\(Self.topic)</Topic><Event>s3:ObjectTagging:*</Event></TopicConfiguration>"
        )
        _ = (queues.take(), topics.take())
        for key in ["logs/a.gz", "logs/a.txt", "other/a.gz", "logs/b.gz"] {
            try await room.send("PUT", "/aaa/\(key)", [:], "x")
        }
        try await room.send("DELETE", "/aaa/logs/b.gz")
        try await room.send(
            "PUT", "/aaa/logs/a.gz?tagging", [:],
            "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>")
        try await room.service.publishNotifications()
        #expect(try names(queues.take()) == ["ObjectCreated:Put", "ObjectCreated:Put"])
        let tagged = topics.take()
        #expect(try names(tagged) == ["ObjectTagging:Put"])
        #expect(try record(tagged[0]).text("eventVersion") == "2.3")
    }

    @Test func `uploads, markers, restores and the lifecycle are told`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await room.send(
            "PUT", "/aaa?versioning", [:],
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        let all = ["ObjectCreated:*", "ObjectRemoved:*", "ObjectRestore:*", "LifecycleExpiration:*"]
        let events = (all + ["LifecycleTransition"]).map { "<Event>s3:\($0)</Event>" }.joined()
        try await put(room, "<QueueConfiguration><Queue>\(Self.queue)</Queue>\(events)</QueueConfiguration>")
        try await room.send(
            "PUT", "/aaa?lifecycle", [:],
            "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><ObjectSizeGreaterThan>0"
                + "</ObjectSizeGreaterThan></Filter><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass>"
                + "</Transition><Expiration><Days>9</Days></Expiration></Rule></LifecycleConfiguration>")
        _ = queues.take()
        let id = try #require(try await room.send("POST", "/aaa/k?uploads").document.text("UploadId"))
        let part = try await room.send("PUT", "/aaa/k?partNumber=1&uploadId=\(id)", [:], "x").header("etag") ?? ""
        try await room.send(
            "POST", "/aaa/k?uploadId=\(id)", [:],
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\(part)</ETag></Part>"
                + "</CompleteMultipartUpload>")
        try await room.send("PUT", "/aaa/gone", [:], "x")
        try await room.send("DELETE", "/aaa/gone")
        room.clock.advance(seconds: 3 * 86_400)
        _ = try await room.service.applyLifecycle()
        try await room.send("POST", "/aaa/k?restore", [:], "<RestoreRequest><Days>1</Days></RestoreRequest>")
        room.clock.advance(seconds: 9 * 86_400)
        _ = try await room.service.applyLifecycle()
        try await room.service.publishNotifications()
        let messages = queues.take()
        #expect(
            try names(messages) == [
                "ObjectCreated:CompleteMultipartUpload", "ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated",
                "LifecycleTransition", "ObjectRestore:Post", "ObjectRestore:Completed",
                "LifecycleExpiration:DeleteMarkerCreated",
            ])
        let transition = try record(messages[3])
        #expect(
            transition["lifecycleEventData"]?.asStructure?["transitionEventData"]?.asStructure?
                .text("destinationStorageClass") == "GLACIER")
        #expect(transition["userIdentity"]?.asStructure?.text("principalId") == "s3.amazonaws.com")
        let restore = try record(messages[5])["glacierEventData"]?.asStructure?["restoreEventData"]?.asStructure
        #expect(restore?.text("lifecycleRestoreStorageClass") == "GLACIER")
        #expect(restore?.text("lifecycleRestorationExpiryTime") == "2027-01-20T00:00:00.000Z")
        #expect(try record(messages[0])["s3"]?.asStructure?["object"]?.asStructure?.text("versionId")?.count == 32)
    }

    @Test func `what a destination cannot take now waits for it, in order, and over a restart`() async throws {
        let room = try await room()
        defer { room.remove() }
        try await put(room, queue("s3:ObjectCreated:*"))
        _ = queues.take()
        try await room.send("PUT", "/aaa/1", [:], "x")
        try await room.send("PUT", "/aaa/2", [:], "x")
        queues.fail(AWSError("ServiceUnavailable", status: 503, "later"))
        #expect(try await room.service.publishNotifications() == 0)
        let again = try await ObjectRoom(after: room, destinations: ["sns": topics, "sqs": queues])
        queues.fail(nil)
        #expect(try await again.service.publishNotifications() == 2)
        #expect(
            try queues.take().map { try record($0)["s3"]?.asStructure?["object"]?.asStructure?.text("key") } == [
                "1", "2",
            ])
        try await again.send("PUT", "/aaa/3", [:], "x")
        queues.fail(AWSError("ServiceUnavailable", status: 503, "never"))
        again.clock.advance(seconds: 25 * 3600)
        #expect(try await again.service.publishNotifications() == 0)
        queues.fail(nil)
        #expect(try await again.service.publishNotifications() == 0)
    }

    @Test func `a destination of a service that is not here is refused, and nothing is stored`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        for target in ["Queue", "Topic", "CloudFunction"] {
            let service = ["Queue": "sqs", "Topic": "sns", "CloudFunction": "lambda"][target] ?? ""
            let document =
                "<NotificationConfiguration><\(target)Configuration><\(target)>arn:aws:\(service):us-east-1:111122223333:x"
                + "</\(target)><Event>s3:ObjectCreated:*</Event></\(target)Configuration></NotificationConfiguration>"
            do throws(AWSError) {
                try await room.send("PUT", "/aaa?notification", [:], document)
                Issue.record("taken")
            } catch {
                #expect(error.code == "InvalidArgument" && error.status == 400)
                #expect(error.message == "Unable to validate the following destination configurations")
            }
        }
        let bridge = "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>"
        #expect(await room.refusal("PUT", "/aaa?notification", [:], bridge) == "NotImplemented 501")
        #expect(try await room.send("GET", "/aaa?notification").document.isEmpty)
    }

    @Test(arguments: [
        ("<Queue>arn:aws:sns:us-east-1:111122223333:q</Queue><Event>s3:ObjectCreated:*</Event>", "InvalidArgument 400"),
        ("<Queue>arn:aws:sqs:eu-west-1:111122223333:q</Queue><Event>s3:ObjectCreated:*</Event>", "InvalidArgument 400"),
        (
            "<Queue>arn:aws:sqs:us-east-1:111122223333:q.fifo</Queue><Event>s3:ObjectCreated:*</Event>",
            "InvalidArgument 400"
        ),
        ("<Queue>arn:aws:sqs:us-east-1:111122223333:q</Queue><Event>s3:Nothing</Event>", "InvalidArgument 400"),
        ("<Queue>arn:aws:sqs:us-east-1:111122223333:q</Queue>", "MalformedXML 400"),
        (
            "<Queue>arn:aws:sqs:us-east-1:111122223333:q</Queue><Event>s3:ObjectCreated:*</Event>"
                + "<Event>s3:ObjectCreated:Put</Event>", "InvalidArgument 400"
        ),
        (
            "<Queue>arn:aws:sqs:us-east-1:111122223333:q</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key>"
                + "<FilterRule><Name>infix</Name><Value>a</Value></FilterRule></S3Key></Filter>", "InvalidArgument 400"
        ),
        ("<Event>s3:ObjectCreated:*</Event>", "MalformedXML 400"),
    ])
    func `a configuration that S3 would not take is refused`(_ content: String, _ outcome: String) async throws {
        let room = try await room()
        defer { room.remove() }
        let document =
            "<NotificationConfiguration><QueueConfiguration>\(content)</QueueConfiguration></NotificationConfiguration>"
        #expect(await room.refusal("PUT", "/aaa?notification", [:], document) == outcome)
    }

    @Test func `two configurations that could both match are refused`() async throws {
        let room = try await room()
        defer { room.remove() }
        func filter(_ prefix: String) -> String {
            "<Filter><S3Key><FilterRule><Name>prefix</Name><Value>\(prefix)</Value></FilterRule></S3Key></Filter>"
        }
        let one = queue("s3:ObjectCreated:*", filter: filter("a/"))
        let overlapping = queue("s3:ObjectCreated:Put", filter: filter("a/b"), id: "<Id>d</Id>")
        let apart = queue("s3:ObjectCreated:Put", filter: filter("b/"), id: "<Id>d</Id>")
        func document(_ text: String) -> String { "<NotificationConfiguration>\(text)</NotificationConfiguration>" }
        #expect(
            await room.refusal("PUT", "/aaa?notification", [:], document(one + overlapping)) == "InvalidArgument 400")
        #expect(await room.refusal("PUT", "/aaa?notification", [:], document(one + one)) == "InvalidArgument 400")
        #expect(await room.refusal("PUT", "/aaa?notification", [:], document(one + apart)) == "none")
    }
}
