// SPDX-License-Identifier: Apache-2.0
//
// What waits to be sent to HTTP endpoints. Source: Amazon SNS Developer Guide, "Amazon SNS message delivery retries" (the
// default policy: three retries, twenty seconds apart), "Amazon SNS HTTP/S notification headers"; status 4xx but 429 is final.
//
//     ("topic-delivery", NUMBER)     {"format":1,"to":SUBSCRIPTION,"url":...,"type":...,"id":...,"topic":ARN,"raw":BOOL,
//                                     "due":MS,"attempts":N,"body":...}
//
// NUMBER has sixteen hexadecimal digits and grows. What was taken or given up is deleted; a crash in between sends it again.

package import AWSWire
internal import Storage
internal import Synchronization

/// A request to an endpoint outside.
package struct EndpointPost: Sendable, Equatable {
    package let url: String
    package let headers: [WireHeader]
    package let body: [UInt8]
}

/// Sends a request, and answers the status; throws where there was no answer.
package typealias EndpointSender = @Sendable (EndpointPost) async throws -> Int

/// A message on its way to one endpoint.
struct TopicDelivery: Sendable, Equatable {
    static let attemptsMax = 4
    static let pause: Int64 = 20_000
    static let allKeys = CatalogKey.prefix("topic-delivery")

    var number: UInt64
    var subscription: String
    var url: String
    /// `Notification` or `SubscriptionConfirmation`.
    var type: String
    var messageID: String
    var topic: String
    var isRaw: Bool
    /// Milliseconds since 1970.
    var due: Int64
    var attempts = 0
    var body: String

    var key: CatalogKey { CatalogKey("topic-delivery", keyDigits(number)) }

    var document: [UInt8] {
        WireValue.structure([
            "format": 1, "to": .string(subscription), "url": .string(url), "type": .string(type),
            "id": .string(messageID), "topic": .string(topic), "raw": .bool(isRaw), "due": .integer(due),
            "attempts": .integer(Int64(attempts)), "body": .string(body),
        ]).json
    }

    init(
        number: UInt64, to subscription: SubscriptionRecord, type: String, messageID: String, isRaw: Bool, due: Int64,
        body: String
    ) {
        self.number = number
        self.subscription = subscription.arn
        url = subscription.endpoint
        self.type = type
        self.messageID = messageID
        topic = subscription.topic.arn
        self.isRaw = isRaw
        self.due = due
        self.body = body
    }

    init(_ document: CatalogDocument) throws(AWSError) {
        guard let fields = (try? WireValue(json: document.value))?.asStructure, fields["format"] == 1,
            let digits = document.key.components.last, let number = UInt64(digits, radix: 16),
            let subscription = fields["to"]?.asString, let url = fields["url"]?.asString,
            let type = fields["type"]?.asString, let id = fields["id"]?.asString, let topic = fields["topic"]?.asString,
            let isRaw = fields["raw"]?.asBool, case .integer(let due)? = fields["due"],
            case .integer(let attempts)? = fields["attempts"], let body = fields["body"]?.asString
        else { throw .topicFault("the catalog's document of a delivery is damaged") }
        self.number = number
        self.subscription = subscription
        self.url = url
        self.type = type
        messageID = id
        self.topic = topic
        self.isRaw = isRaw
        self.due = due
        self.attempts = Int(clamping: attempts)
        self.body = body
    }

    var post: EndpointPost {
        var headers = [
            WireHeader("x-amz-sns-message-type", type), WireHeader("x-amz-sns-message-id", messageID),
            WireHeader("x-amz-sns-topic-arn", topic),
        ]
        if type == "Notification" { headers.append(WireHeader("x-amz-sns-subscription-arn", subscription)) }
        if isRaw { headers.append(WireHeader("x-amz-sns-rawdelivery", "true")) }
        headers.append(WireHeader("content-type", "text/plain; charset=UTF-8"))
        headers.append(WireHeader("user-agent", "Amazon Simple Notification Service Agent"))
        return EndpointPost(url: url, headers: headers, body: Array(body.utf8))
    }
}

/// Where deliveries stand, in memory: what is due when, and to whom.
final class TopicDeliveries: Sendable {
    private struct State {
        var waiting: [UInt64: (due: Int64, url: String)] = [:]
        var numberLast: UInt64 = 0
    }

    private let state = Mutex(State())

    func load(_ catalog: Catalog) async throws(AWSError) {
        let found = try await catalog.read { snapshot throws(AWSError) in
            var found: [TopicDelivery] = []
            for document in try snapshot.scan(prefix: TopicDelivery.allKeys) {
                var delivery = try TopicDelivery(document)
                delivery.body = ""
                found.append(delivery)
            }
            return found
        }
        state.withLock { $0.numberLast = found.map(\.number).max() ?? 0 }
        for delivery in found { show(delivery) }
    }

    func number() -> UInt64 {
        state.withLock { state in
            state.numberLast += 1
            return state.numberLast
        }
    }

    /// Takes in what the catalog has.
    func show(_ delivery: TopicDelivery) {
        state.withLock { $0.waiting[delivery.number] = (delivery.due, delivery.url) }
    }

    func drop(_ number: UInt64) { state.withLock { _ = $0.waiting.removeValue(forKey: number) } }

    /// What is due, oldest first, by endpoint.
    func due(_ now: Int64) -> [[UInt64]] {
        let due = state.withLock { state in state.waiting.filter { $0.value.due <= now } }
        return Dictionary(grouping: due.keys.sorted(), by: { due[$0]?.url ?? "" }).values.map { $0 }
    }

    /// When the next is due; nil where none waits.
    var next: Int64? { state.withLock { state in state.waiting.values.map(\.due).min() } }
}
