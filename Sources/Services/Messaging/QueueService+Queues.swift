// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage

/// Making, changing and finding queues.
extension QueueService {
    // MARK: Making

    /// Makes the queue, or answers the one that is there where its attributes are as asked.
    func createQueue(_ input: CreateQueueInput, _ call: Call) async throws(AWSError) -> QueueURLOutput {
        let place = MessagingName(.queue, region: call.region, account: call.accountID, name: input.name)
        var settings = QueueSettings()
        for (name, value) in input.attributes { try settings.set(name, value, of: place) }
        let tags = try Self.checked(input.tags, onto: [:])
        let wanted = settings
        let asked = input.attributes
        let (id, now) = (hexadecimal(randomBytes(8)), now)
        try await table.change { content throws(AWSError) -> (queue: QueueRecord?, result: Void) in
            if let found = content.queues[place] {
                let has = Dictionary(found.settings.shown, uniquingKeysWith: { first, _ in first })
                let asks = Dictionary(wanted.shown, uniquingKeysWith: { first, _ in first })
                for (name, _) in asked where has[name] != asks[name] { throw .queueExists(name) }
                return (nil, ())
            }
            try content.checkDeadLetters(wanted, of: place)
            var queue = QueueRecord(
                id: id, account: place.account, region: place.region, name: place.name, created: now, modified: now)
            queue.settings = wanted
            queue.tags = tags
            return (queue, ())
        }
        return QueueURLOutput(url: Self.url(place, input.base))
    }

    func deleteQueue(_ input: QueueInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let queue = try ownQueue(url: input.url, call)
        let messages = try await table.remove(queue)
        arrivals.forget(queue.id)
        try await forget(messages, of: queue.id)
        return EmptyOutput()
    }

    func purgeQueue(_ input: QueueInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let place = try queue(url: input.url, call).place
        let now = now
        let purged = try await change(place) { queue throws(AWSError) in
            if let last = queue.purged, now >= last, now - last < 60_000 { throw .purgeInProgress(queue.name) }
            queue.purged = now
        }
        let numbers = table.withLine(purged.id) { line in
            let numbers = line.messages.keys.sorted()
            line.removeAll()
            return numbers
        }
        try await forget(numbers ?? [], of: purged.id)
        return EmptyOutput()
    }

    /// Deletes messages from the catalog.
    func forget(_ numbers: [UInt64], of queue: String) async throws(AWSError) {
        var rest = numbers[...]
        while !rest.isEmpty {
            let some = Array(rest.prefix(1000))
            rest = rest.dropFirst(1000)
            try await table.catalog.write { transaction throws(AWSError) in
                for number in some {
                    try transaction.delete(QueueMessage.key(queue, number))
                    try transaction.delete(QueueMessage.stateKey(queue, number))
                }
            }
        }
    }

    // MARK: Changing

    func setQueueAttributes(_ input: SetQueueAttributesInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let place = try ownQueue(url: input.url, call).place
        let now = now
        try await table.change { content throws(AWSError) -> (queue: QueueRecord?, result: Void) in
            guard var queue = content.queues[place] else { throw .noSuchQueue }
            for (name, value) in input.attributes { try queue.settings.set(name, value, of: place) }
            try content.checkDeadLetters(queue.settings, of: place)
            queue.modified = now
            return (queue, ())
        }
        return EmptyOutput()
    }

    func tagQueue(_ input: TagQueueInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(try ownQueue(url: input.url, call).place) { queue throws(AWSError) in
            queue.tags = try Self.checked(input.tags, onto: queue.tags)
        }
        return EmptyOutput()
    }

    func untagQueue(_ input: UntagQueueInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(try ownQueue(url: input.url, call).place) { queue throws(AWSError) in
            for key in input.keys { queue.tags[key] = nil }
        }
        return EmptyOutput()
    }

    func addPermission(_ input: AddQueuePermissionInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(try ownQueue(url: input.url, call).place) { queue throws(AWSError) in
            var statements = try AccessStatements(queue.settings.policy, id: queue.arn + "/SQSDefaultPolicy")
            guard !statements.has(input.label) else {
                throw .invalidQueueValue(
                    "Value \(input.label) for parameter Label is invalid. Reason: Already exists.")
            }
            statements.add(
                input.label, accounts: input.accounts, actions: input.actions.map { "SQS:\($0)" }, resource: queue.arn)
            try queue.settings.set("Policy", statements.text, of: queue.place)
        }
        return EmptyOutput()
    }

    func removePermission(_ input: RemoveQueuePermissionInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(try ownQueue(url: input.url, call).place) { queue throws(AWSError) in
            var statements = try AccessStatements(queue.settings.policy, id: "")
            guard statements.remove(input.label) else {
                throw .invalidQueueValue(
                    "Value \(input.label) for parameter Label is invalid. Reason: can't find label on existing policy.")
            }
            try queue.settings.set("Policy", statements.isEmpty ? "" : statements.text, of: queue.place)
        }
        return EmptyOutput()
    }

    @discardableResult
    private func change(
        _ place: MessagingName, _ body: @escaping @Sendable (inout QueueRecord) throws(AWSError) -> Void
    ) async throws(AWSError) -> QueueRecord {
        try await table.change { content throws(AWSError) -> (queue: QueueRecord?, result: QueueRecord) in
            guard var queue = content.queues[place] else { throw .noSuchQueue }
            try body(&queue)
            return (queue, queue)
        }
    }

    private static func checked(
        _ tags: [(String, String)], onto old: [String: String]
    ) throws(AWSError) -> [String: String] {
        var all = old
        for (key, value) in tags {
            guard (1...128).contains(key.unicodeScalars.count), value.unicodeScalars.count <= 256 else {
                throw .invalidQueueValue("Tag keys must be between 1 and 128 characters, tag values at most 256.")
            }
            guard !key.lowercased().hasPrefix("aws:") else {
                throw .invalidQueueValue("Tag keys must not begin with aws:, which is reserved.")
            }
            all[key] = value
        }
        guard all.count <= Limits.tagsPerQueue else {
            throw .invalidQueueValue("Too many tags added for queue: the limit is \(Limits.tagsPerQueue).")
        }
        return all
    }

    // MARK: Finding

    func getQueueURL(_ input: GetQueueURLInput, _ call: Call) async throws(AWSError) -> QueueURLOutput {
        let place = MessagingName(
            .queue, region: call.region, account: input.owner ?? call.accountID, name: input.name)
        guard table.read({ $0.queues[place] }) != nil else { throw .noSuchQueue }
        return QueueURLOutput(url: Self.url(place, input.base))
    }

    func listQueues(_ input: ListQueuesInput, _ call: Call) async throws(AWSError) -> ListQueuesOutput {
        page(
            input, "QueueUrls",
            table.read { content in
                content.queues.keys.filter {
                    $0.account == call.accountID && $0.region == call.region && $0.name.hasPrefix(input.prefix)
                }
            })
    }

    func listDeadLetterSourceQueues(
        _ input: ListQueuesInput, _ call: Call
    ) async throws(AWSError) -> ListQueuesOutput {
        let target = try queue(url: input.url ?? "", call).arn
        return page(
            input, "queueUrls",
            table.read { content in
                content.queues.values.filter { $0.settings.redrive?.target == target }.map(\.place)
            })
    }

    private func page(_ input: ListQueuesInput, _ member: String, _ places: [MessagingName]) -> ListQueuesOutput {
        let names = places.sorted { $0.name < $1.name }.filter { place in input.after.map { place.name > $0 } ?? true }
        let shown = names.prefix(input.most ?? Limits.pageQueues)
        // Without MaxResults SQS answers one page, and no token.
        let next = input.most != nil && shown.count < names.count ? shown.last?.name : nil
        return ListQueuesOutput(member: member, urls: shown.map { Self.url($0, input.base) }, next: next)
    }

    func getQueueAttributes(_ input: GetQueueAttributesInput, _ call: Call) async throws(AWSError) -> QueueMapOutput {
        let queue = try queue(url: input.url, call)
        let now = now
        let counts = table.withLine(queue.id) { line in
            line.counts(now: now, oldest: queue.oldest(now: now))
        }
        guard let counts else { throw .noSuchQueue }
        var all = [
            ("QueueArn", queue.arn), ("ApproximateNumberOfMessages", String(counts.visible)),
            ("ApproximateNumberOfMessagesNotVisible", String(counts.inFlight)),
            ("ApproximateNumberOfMessagesDelayed", String(counts.delayed)),
            ("CreatedTimestamp", String(queue.created / 1000)),
            ("LastModifiedTimestamp", String(queue.modified / 1000)),
        ]
        all += queue.settings.shown
        for name in input.names where !Self.attributeNames.contains(name) { throw .noSuchQueueAttribute(name) }
        if !input.names.contains("All") { all.removeAll { !input.names.contains($0.0) } }
        return QueueMapOutput(name: "Attributes", pairs: all)
    }

    private static let attributeNames: Set<String> = [
        "All", "Policy", "VisibilityTimeout", "MaximumMessageSize", "MessageRetentionPeriod",
        "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "CreatedTimestamp",
        "LastModifiedTimestamp", "QueueArn", "ApproximateNumberOfMessagesDelayed", "DelaySeconds",
        "ReceiveMessageWaitTimeSeconds", "RedrivePolicy", "FifoQueue", "ContentBasedDeduplication", "KmsMasterKeyId",
        "KmsDataKeyReusePeriodSeconds", "DeduplicationScope", "FifoThroughputLimit", "RedriveAllowPolicy",
        "SqsManagedSseEnabled",
    ]

    func listQueueTags(_ input: QueueInput, _ call: Call) async throws(AWSError) -> QueueMapOutput {
        let queue = try ownQueue(url: input.url, call)
        return QueueMapOutput(name: "Tags", pairs: queue.tags.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }

    static func url(_ place: MessagingName, _ base: String) -> String { "\(base)/\(place.account)/\(place.name)" }
}

extension QueueRecord {
    /// Messages sent before this are past their retention.
    func oldest(now: Int64) -> Int64 { now - Int64(settings.retention) * 1000 }
}

extension QueueTable.Content {
    /// Checks that a dead-letter queue is there and takes letters from the queue.
    func checkDeadLetters(_ settings: QueueSettings, of place: MessagingName) throws(AWSError) {
        guard let redrive = settings.redrive else { return }
        guard let target = MessagingName(.queue, arn: redrive.target).flatMap({ queues[$0] }) else {
            throw .invalidQueueAttribute("RedrivePolicy", "Dead letter target does not exist.")
        }
        guard target.settings.redriveAllow?.allows(place.arn) ?? true else {
            throw .invalidQueueAttribute(
                "RedrivePolicy", "Dead letter target does not allow this queue, by its RedriveAllowPolicy.")
        }
    }
}
