// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies
internal import Storage
internal import Synchronization

/// All queues and where their messages stand: in memory for deciding, in the catalog for good.
///
/// A message is in the catalog before it is in its line, so nobody receives what a crash could take back; a receive is in the
/// catalog before it is answered, so that what was received too often stays so.
final class QueueTable: Sendable {
    struct Content: Sendable {
        fileprivate(set) var queues: [MessagingName: QueueRecord] = [:]
        /// By the queue's id.
        var lines: [String: QueueLine] = [:]
        /// The policies by the queue's id.
        fileprivate(set) var policies: [String: StoredPolicy] = [:]
        fileprivate var numberLast: UInt64 = 0

        fileprivate mutating func show(_ queue: QueueRecord) {
            let old = queues[queue.place]
            if old?.id != queue.id || old?.settings.policy != queue.settings.policy {
                policies[queue.id] = queue.settings.policy.map {
                    StoredPolicy(stored: $0, as: .resource(.sqs), name: queue.arn)
                }
            }
            queues[queue.place] = queue
            if lines[queue.id] == nil { lines[queue.id] = QueueLine() }
        }

        fileprivate mutating func drop(_ queue: QueueRecord) {
            if queues[queue.place]?.id == queue.id { queues[queue.place] = nil }
            lines[queue.id] = nil
            policies[queue.id] = nil
        }
    }

    let catalog: Catalog
    private let turn = SerialTurn()
    private let content: Mutex<Content>

    private init(_ catalog: Catalog, _ content: Content) {
        self.catalog = catalog
        self.content = Mutex(content)
    }

    static func open(_ catalog: Catalog, secret: RootSecret) async throws(AWSError) -> QueueTable {
        let (content, orphans) = try await catalog.read { snapshot throws(AWSError) in
            var content = Content()
            for document in try snapshot.scan(prefix: QueueRecord.allKeys) {
                let queue: QueueRecord = try CatalogJSON.decode(document) { .queueFault($0) }
                content.show(queue)
            }
            var states: [CatalogKey: [UInt8]] = [:]
            for document in try snapshot.scan(prefix: QueueMessage.allStateKeys) {
                states[document.key] = document.value
            }
            var after: CatalogKey?
            var orphans: [CatalogKey] = []
            while true {
                let page = try snapshot.scan(prefix: QueueMessage.allKeys, after: after, limit: 100)
                for document in page {
                    guard let (queue, number) = QueueMessage.place(document.key) else { continue }
                    content.numberLast = max(content.numberLast, number)
                    // A crash may leave messages of a queue that was being deleted.
                    guard content.lines[queue] != nil else {
                        orphans += [document.key, QueueMessage.stateKey(queue, number)]
                        continue
                    }
                    let message = try QueueMessage(document.value, queue, number, secret: secret)
                    var line = QueueLine.Message(number: number, sent: message.sent, visible: message.visible)
                    if let state = states[QueueMessage.stateKey(queue, number)] { try line.take(state: state) }
                    content.lines[queue]?.add(line)
                }
                guard let last = page.last?.key else { break }
                after = last
            }
            return (content, orphans)
        }
        if !orphans.isEmpty {
            try await catalog.write { transaction throws(AWSError) in
                for key in orphans { try transaction.delete(key) }
            }
        }
        return QueueTable(catalog, content)
    }

    func read<Result: Sendable, Failure: Error>(
        _ body: (Content) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try content.withLock { content throws(Failure) in try body(content) }
    }

    /// Changes where messages stand; the queue's line is nil where it is gone.
    func withLine<Result: Sendable>(_ queue: String, _ body: (inout QueueLine) -> Result) -> Result? {
        content.withLock { content in
            guard content.lines[queue] != nil else { return nil }
            return body(&content.lines[queue, default: QueueLine()])
        }
    }

    /// The number of a message that is about to be put.
    func number() -> UInt64 {
        content.withLock { content in
            content.numberLast += 1
            return content.numberLast
        }
    }

    /// Decides on a change of one queue, makes it durable and shows it; one after the other.
    ///
    /// - Parameter decide: answers the queue as it shall be, nil for no change.
    @discardableResult
    func change<Result: Sendable>(
        _ decide: @escaping @Sendable (Content) throws(AWSError) -> (queue: QueueRecord?, result: Result)
    ) async throws(AWSError) -> Result {
        try await turn.run { [self] () async throws(AWSError) -> Result in
            let decided = try read(decide)
            guard let queue = decided.queue else { return decided.result }
            let value = try CatalogJSON.encode(queue) { .queueFault($0) }
            try await catalog.write { transaction throws(AWSError) in
                try transaction.put(QueueRecord.key(queue.place), value)
            }
            content.withLock { $0.show(queue) }
            return decided.result
        }
    }

    /// Removes a queue.
    ///
    /// - Returns: the numbers of its messages, whose documents are still there.
    func remove(_ queue: QueueRecord) async throws(AWSError) -> [UInt64] {
        try await turn.run { [self] () async throws(AWSError) -> [UInt64] in
            try await catalog.write { transaction throws(AWSError) in
                _ = try transaction.delete(QueueRecord.key(queue.place))
            }
            return content.withLock { content in
                defer { content.drop(queue) }
                return content.lines[queue.id].map { $0.messages.keys.sorted() } ?? []
            }
        }
    }
}

extension QueueLine.Message {
    /// Takes over what the catalog knows of receives.
    fileprivate mutating func take(state: [UInt8]) throws(AWSError) {
        guard let fields = (try? WireValue(json: state))?.asStructure, fields["format"] == 1,
            case .integer(let visible)? = fields["visible"], case .integer(let receives)? = fields["receives"],
            case .integer(let first)? = fields["first"], let receipt = fields["receipt"]?.asString
        else { throw .queueFault("the catalog's document of a message's state is damaged") }
        self.visible = visible
        self.receives = Int(clamping: receives)
        received = first
        self.receipt = receipt
    }

    /// As it lies in the catalog.
    var state: [UInt8] {
        WireValue.structure([
            "format": 1, "visible": .integer(visible), "receives": .integer(Int64(receives)),
            "first": .integer(received ?? 0), "receipt": .string(receipt),
        ]).json
    }
}
