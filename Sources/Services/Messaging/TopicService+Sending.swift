// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Logging
internal import Storage

/// Sending what waits for HTTP endpoints.
extension TopicService {
    /// Deliveries under way at a time, each to another endpoint.
    private static let lanesMax = 16

    /// Sends what is due, and again each time there is something, until cancelled.
    ///
    /// - Parameter sleep: sleeps so many milliseconds, throws when cancelled.
    package func run(sleep: @escaping @Sendable (Int64) async throws -> Void) async {
        while !Task.isCancelled {
            let seen = news.count("deliveries")
            await deliver()
            let pause = deliveries.next.map { max(100, min($0 - now, 60_000)) } ?? 60_000
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await sleep(pause) }
                group.addTask { [news] in await news.wait("deliveries", after: seen) }
                await group.next()
                group.cancelAll()
            }
        }
    }

    /// Sends what is due now: the endpoints side by side, the messages of one after the other.
    package func deliver() async {
        var lanes = deliveries.due(now)[...]
        while !lanes.isEmpty, !Task.isCancelled {
            let some = lanes.prefix(Self.lanesMax)
            lanes = lanes.dropFirst(Self.lanesMax)
            await withTaskGroup(of: Void.self) { group in
                for lane in some {
                    group.addTask {
                        for number in lane where !Task.isCancelled {
                            do throws(AWSError) {
                                guard try await self.attempt(number) else { return }
                            } catch {
                                self.logger.error(
                                    "a delivery could not be kept",
                                    metadata: ["cause": "\(error.cause ?? error.message)"])
                                return
                            }
                        }
                    }
                }
            }
        }
    }

    /// - Returns: whether the endpoint answered; the rest of its lane waits where it did not.
    private func attempt(_ number: UInt64) async throws(AWSError) -> Bool {
        let key = CatalogKey("topic-delivery", keyDigits(number))
        guard let document = try await table.catalog.read({ snapshot throws(AWSError) in try snapshot.get(key) }) else {
            deliveries.drop(number)
            return true
        }
        var delivery = try TopicDelivery(document)
        let status: Int?
        do { status = try await send(delivery.post) } catch { status = nil }
        if Task.isCancelled, status == nil { return false }
        delivery.attempts += 1
        let isTaken = status.map { (200...299).contains($0) } ?? false
        let isFinal = status.map { (400...499).contains($0) && $0 != 429 } ?? false
        if isTaken || isFinal || delivery.attempts >= TopicDelivery.attemptsMax {
            if !isTaken { try await giveUp(delivery, status: status) }
            try await table.catalog.write { transaction throws(AWSError) in _ = try transaction.delete(key) }
            deliveries.drop(number)
        } else {
            delivery.due = now + TopicDelivery.pause
            let later = delivery
            try await table.catalog.write { transaction throws(AWSError) in
                try transaction.put(key, later.document)
            }
            deliveries.show(later)
        }
        return status != nil
    }

    private func giveUp(_ delivery: TopicDelivery, status: Int?) async throws(AWSError) {
        logger.info(
            "an endpoint does not take what its topic sends",
            metadata: [
                "subscription": "\(delivery.subscription)", "status": "\(status.map(String.init) ?? "no answer")",
            ])
        let id = delivery.subscription.split(separator: ":").last.map(String.init) ?? ""
        guard delivery.type == "Notification", let taker = table.read({ $0.subscriptions[id] }),
            let letter = try letter(delivery.body, [:], of: taker)
        else { return }
        try await keep([letter], [])
    }
}
