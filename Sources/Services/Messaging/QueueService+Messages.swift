// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import Policies
internal import Storage

/// Sending, receiving and deleting messages.
extension QueueService {
    // MARK: Sending

    /// A message that has its place in a queue, and is about to be put.
    struct Placed: Sendable {
        let queue: QueueRecord
        let number: UInt64
        let message: QueueMessage
        let document: [UInt8]

        /// Puts the message, unless its queue is gone.
        ///
        /// - Returns: whether it was put.
        func put(in transaction: CatalogTransaction) throws(AWSError) -> Bool {
            guard let found = try transaction.get(QueueRecord.key(queue.place)) else { return false }
            let now: QueueRecord = try CatalogJSON.decode(found) { .queueFault($0) }
            guard now.id == queue.id else { return false }
            try transaction.put(QueueMessage.key(queue.id, number), document)
            return true
        }
    }

    func place(_ message: QueueMessage, in queue: QueueRecord) throws(AWSError) -> Placed {
        let number = table.number()
        return Placed(
            queue: queue, number: number, message: message,
            document: try message.document(queue.id, number, secret: queue.settings.isSealed ? secret : nil))
    }

    /// Shows messages to receivers, once they are durable.
    func show(_ placed: [Placed]) {
        for one in placed {
            _ = table.withLine(one.queue.id) { line in
                line.add(.init(number: one.number, sent: one.message.sent, visible: one.message.visible))
            }
        }
        for queue in Set(placed.map(\.queue.id)) { arrivals.note(queue) }
    }

    /// A message as it goes into a queue.
    func message(
        _ body: String, _ attributes: [String: MessageAttribute], system: [String: MessageAttribute] = [:],
        sender: String, delay: Int
    ) -> QueueMessage {
        let now = now
        var message = QueueMessage(
            id: uuid(randomBytes(16)), sent: now, visible: now + Int64(delay) * 1000, sender: sender, body: body)
        message.attributes = attributes
        message.system = system
        return message
    }

    private func message(_ outgoing: OutgoingMessage, to queue: QueueRecord, _ call: Call) throws(AWSError)
        -> QueueMessage
    {
        guard outgoing.byteCount <= queue.settings.messageBytesMax else {
            throw .invalidQueueValue(
                "One or more parameters are invalid. Reason: Message must be shorter than "
                    + "\(queue.settings.messageBytesMax) bytes.")
        }
        return message(
            outgoing.body, outgoing.attributes, system: outgoing.system,
            sender: call.caller.principalID ?? call.accountID, delay: outgoing.delay ?? queue.settings.delay)
    }

    func sendMessage(_ input: SendMessageInput, _ call: Call) async throws(AWSError) -> SentMessage {
        let queue = try queue(url: input.url, call)
        let placed = try place(try message(input.message, to: queue, call), in: queue)
        try await send([placed])
        return SentMessage(placed.message)
    }

    func sendMessageBatch(_ input: QueueBatchInput, _ call: Call) async throws(AWSError) -> QueueBatchOutput {
        let queue = try queue(url: input.url, call)
        var output = QueueBatchOutput()
        var placed: [Placed] = []
        var bytes = 0
        for entry in input.entries {
            do throws(AWSError) {
                let outgoing = try OutgoingMessage(entry.fields)
                bytes += outgoing.byteCount
                let one = try place(try message(outgoing, to: queue, call), in: queue)
                placed.append(one)
                output.succeed(entry.id, SentMessage(one.message).members)
            } catch {
                output.fail(entry.id, error)
            }
        }
        guard bytes <= Limits.batchBytes else { throw .batchTooLong(bytes, most: Limits.batchBytes) }
        try await send(placed)
        return output
    }

    private func send(_ placed: [Placed]) async throws(AWSError) {
        try await table.catalog.write { transaction throws(AWSError) in
            for one in placed {
                guard try one.put(in: transaction) else { throw .noSuchQueue }
            }
        }
        show(placed)
    }

    // MARK: Receiving

    func receiveMessage(_ input: ReceiveMessageInput, _ call: Call) async throws(AWSError) -> ReceiveMessageOutput {
        var queue = try queue(url: input.url, call)
        let place = queue.place
        let deadline = now + Int64(input.wait ?? queue.settings.wait) * 1000
        while true {
            let seen = arrivals.count(queue.id)
            let found = try await receive(
                from: queue, input.most, hiddenFor: Int64(input.visibility ?? queue.settings.visibilityTimeout) * 1000)
            let now = now
            if !found.isEmpty || now >= deadline || Task.isCancelled {
                return ReceiveMessageOutput(messages: found.map { Self.shown($0.0, $0.1, in: queue, input) })
            }
            let next = table.withLine(queue.id) { $0.nextVisible } ?? nil
            let isCut = await wait(queue.id, after: seen, milliseconds: max(1, min(next ?? deadline, deadline) - now))
            // A queue that is gone, or made anew, has nothing for this call any more.
            guard let current = table.read({ $0.queues[place] }), current.id == queue.id else { throw .noSuchQueue }
            queue = current
            if isCut { return ReceiveMessageOutput(messages: []) }
        }
    }

    /// Waits for an arrival or the time, whichever comes first.
    ///
    /// - Returns: whether the wait was cut short, by the server's end or the call's.
    private func wait(_ queue: String, after count: UInt64, milliseconds: Int64) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask { [arrivals] in
                await arrivals.wait(queue, after: count)
                return false
            }
            group.addTask { [sleep] in
                do { try await sleep(milliseconds) } catch { return true }
                return false
            }
            let first = await group.next() ?? true
            group.cancelAll()
            return first
        }
    }

    /// Takes what can be received now; what was received too often goes to the dead-letter queue.
    private func receive(
        from queue: QueueRecord, _ most: Int, hiddenFor milliseconds: Int64
    ) async throws(AWSError) -> [(QueueLine.Message, QueueMessage)] {
        let now = now
        let letters = deadLetterQueue(of: queue)
        while true {
            let taken = table.withLine(queue.id) { line in
                line.take(
                    most, now: now, hiddenFor: milliseconds, oldest: queue.oldest(now: now),
                    receivesMax: letters == nil ? nil : queue.settings.redrive?.receivesMax
                ) { hexadecimal(randomBytes(16)) }
            }
            guard let taken, !(taken.live.isEmpty && taken.dead.isEmpty) else { return [] }
            let numbers = taken.dead.map { _ in table.number() }
            let secret = secret
            do throws(AWSError) {
                let (read, moved) = try await table.catalog.write { transaction throws(AWSError) in
                    var read: [(QueueLine.Message, QueueMessage)] = []
                    for line in taken.live {
                        guard let found = try transaction.get(QueueMessage.key(queue.id, line.number)) else { continue }
                        read.append((line, try QueueMessage(found.value, queue.id, line.number, secret: secret)))
                        try transaction.put(QueueMessage.stateKey(queue.id, line.number), line.state)
                    }
                    var moved: [Placed] = []
                    for (line, number) in zip(taken.dead, numbers) {
                        let key = QueueMessage.key(queue.id, line.number)
                        guard let letters, let found = try transaction.get(key) else { continue }
                        var message = try QueueMessage(found.value, queue.id, line.number, secret: secret)
                        message.deadLetterSource = queue.arn
                        message.visible = now
                        let document = try message.document(
                            letters.id, number, secret: letters.settings.isSealed ? secret : nil)
                        let one = Placed(queue: letters, number: number, message: message, document: document)
                        guard try one.put(in: transaction) else { continue }
                        try transaction.delete(key)
                        try transaction.delete(QueueMessage.stateKey(queue.id, line.number))
                        moved.append(one)
                    }
                    return (read, moved)
                }
                show(moved)
                if !read.isEmpty { return read }
            } catch {
                _ = table.withLine(queue.id) { $0.restore(taken.before) }
                throw error
            }
        }
    }

    private func deadLetterQueue(of queue: QueueRecord) -> QueueRecord? {
        guard let redrive = queue.settings.redrive, let place = MessagingName(.queue, arn: redrive.target) else {
            return nil
        }
        guard let target = table.read({ $0.queues[place] }), target.settings.redriveAllow?.allows(queue.arn) ?? true
        else { return nil }
        return target
    }

    private static func shown(
        _ line: QueueLine.Message, _ message: QueueMessage, in queue: QueueRecord, _ input: ReceiveMessageInput
    ) -> WireValue {
        var members: WireStructure = [
            "MessageId": .string(message.id),
            "ReceiptHandle": .string(
                ReceiptHandle(queue: queue.id, number: line.number, receipt: line.receipt).text),
            "MD5OfBody": .string(message.bodyDigest), "Body": .string(message.body),
        ]
        var system: WireStructure = [
            "SenderId": .string(message.sender), "SentTimestamp": .string(String(message.sent)),
            "ApproximateReceiveCount": .string(String(line.receives)),
            "ApproximateFirstReceiveTimestamp": .string(String(line.received ?? 0)),
        ]
        if case .text(let header)? = message.system["AWSTraceHeader"]?.value {
            system.append("AWSTraceHeader", .string(header))
        }
        system.append("DeadLetterQueueSourceArn", ifPresent: WireValue(message.deadLetterSource))
        if !input.systemNames.contains("All") { system.members.removeAll { !input.systemNames.contains($0.name) } }
        if !system.isEmpty { members.append("Attributes", .structure(system)) }
        let wanted = message.attributes.filter { input.wants($0.key) }
        if let digest = wanted.digest {
            members.append("MD5OfMessageAttributes", .string(digest))
            members.append("MessageAttributes", wanted.wire)
        }
        return .structure(members)
    }

    // MARK: Deleting and hiding

    func deleteMessage(_ input: ReceiptInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let queue = try queue(url: input.url, call)
        let handle = try handle(input.receipt, of: queue)
        try await delete([handle], from: queue)
        return EmptyOutput()
    }

    func deleteMessageBatch(_ input: QueueBatchInput, _ call: Call) async throws(AWSError) -> QueueBatchOutput {
        let queue = try queue(url: input.url, call)
        var output = QueueBatchOutput()
        var handles: [ReceiptHandle] = []
        for entry in input.entries {
            do throws(AWSError) {
                handles.append(try handle(try receipt(entry.fields), of: queue))
                output.succeed(entry.id)
            } catch {
                output.fail(entry.id, error)
            }
        }
        try await delete(handles, from: queue)
        return output
    }

    private func receipt(_ fields: WireFields) throws(AWSError) -> String {
        guard let receipt = try fields.string("ReceiptHandle") else { throw .missingQueueParameter("ReceiptHandle") }
        return receipt
    }

    private func handle(_ text: String, of queue: QueueRecord) throws(AWSError) -> ReceiptHandle {
        guard let handle = ReceiptHandle(text), handle.queue == queue.id else { throw .invalidReceiptHandle(text) }
        return handle
    }

    /// Deletes messages by their latest receipt; an older one, or one of a message that is gone, changes nothing.
    private func delete(_ handles: [ReceiptHandle], from queue: QueueRecord) async throws(AWSError) {
        let numbers = table.withLine(queue.id) { line in
            handles.filter { line.messages[$0.number]?.receipt == $0.receipt }.map(\.number)
        }
        guard let numbers, !numbers.isEmpty else { return }
        try await forget(numbers, of: queue.id)
        _ = table.withLine(queue.id) { line in
            for number in numbers { line.remove(number) }
        }
    }

    func changeMessageVisibility(_ input: ReceiptInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let queue = try queue(url: input.url, call)
        try await hide(try handle(input.receipt, of: queue), in: queue, seconds: input.visibility ?? 0)
        return EmptyOutput()
    }

    func changeMessageVisibilityBatch(
        _ input: QueueBatchInput, _ call: Call
    ) async throws(AWSError) -> QueueBatchOutput {
        let queue = try queue(url: input.url, call)
        var output = QueueBatchOutput()
        for entry in input.entries {
            do throws(AWSError) {
                let handle = try handle(try receipt(entry.fields), of: queue)
                try await hide(handle, in: queue, seconds: try ReceiptInput.visibility(entry.fields))
                output.succeed(entry.id)
            } catch {
                output.fail(entry.id, error)
            }
        }
        return output
    }

    private func hide(_ handle: ReceiptHandle, in queue: QueueRecord, seconds: Int) async throws(AWSError) {
        let now = now
        let found = table.withLine(queue.id) { line in
            line.messages[handle.number].flatMap { $0.receipt == handle.receipt && $0.visible > now ? $0 : nil }
        }
        guard let found, var message = found else { throw .messageNotInFlight }
        message.visible = now + Int64(seconds) * 1000
        guard message.visible - (message.received ?? now) <= Int64(Limits.visibilitySeconds) * 1000 else {
            throw .invalidQueueValue(
                "Value \(seconds) for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the "
                    + "message is beyond the limit [\(Limits.visibilitySeconds) seconds].")
        }
        let changed = message
        let isThere = try await table.catalog.write { transaction throws(AWSError) in
            guard try transaction.has(QueueMessage.key(queue.id, changed.number)) else { return false }
            try transaction.put(QueueMessage.stateKey(queue.id, changed.number), changed.state)
            return true
        }
        guard isThere else { throw .messageNotInFlight }
        _ = table.withLine(queue.id) { $0.hide(changed.number, until: changed.visible) }
        arrivals.note(queue.id)
    }

    // MARK: Other rooms and the chore

    /// The queue that a service may send to in its own name.
    ///
    /// - Parameter sourceARN: the resource for which it acts, which the queue's policy sees as `aws:SourceArn`.
    /// - Throws: `QueueDoesNotExist`; `AccessDenied` where the queue's policy does not let it.
    func queue(
        arn: String, forService service: String, sourceARN: String, sourceAccount: String
    ) throws(AWSError) -> QueueRecord {
        guard let place = MessagingName(.queue, arn: arn),
            let (queue, policy) = table.read({ content in
                content.queues[place].map { ($0, content.policies[$0.id]) }
            })
        else { throw .noSuchQueue }
        let time = clock()
        let access = ServiceAccess(
            service: service, action: "sqs:SendMessage", resource: queue.arn, resourceAccount: queue.account,
            sourceARN: sourceARN, sourceAccount: sourceAccount,
            context: [
                "aws:CurrentTime": ContextValue(time.iso8601), "aws:EpochTime": ContextValue(String(time.seconds)),
            ])
        guard PolicyEvaluation.decide(access, resourcePolicy: policy?.compiled).isAllowed else {
            throw .queueAccessDenied(queue.arn)
        }
        return queue
    }

    /// Sends a message in a service's own name, if the queue's policy lets it; it is durable on return.
    ///
    /// - Throws: `QueueDoesNotExist`, `AccessDenied`, or what keeps the catalog from writing.
    package func send(
        _ body: String, to arn: String, asService service: String, sourceARN: String, sourceAccount: String
    ) async throws(AWSError) {
        let queue = try queue(arn: arn, forService: service, sourceARN: sourceARN, sourceAccount: sourceAccount)
        let message = message(body, [:], sender: service, delay: queue.settings.delay)
        try await send([try place(message, in: queue)])
    }

    /// Removes messages that are past their queue's retention. May be cut off and repeated at any time.
    package func expire() async throws(AWSError) {
        let now = now
        for queue in table.read({ Array($0.queues.values) }) {
            let numbers = table.withLine(queue.id) { line in
                let numbers = line.expired(before: queue.oldest(now: now))
                for number in numbers { line.remove(number) }
                return numbers
            }
            try await forget(numbers ?? [], of: queue.id)
        }
    }
}
