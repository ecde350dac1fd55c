// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Policies
package import Storage

/// SQS: standard queues that keep messages until they are deleted.
///
/// FIFO queues, queues under keys of KMS and message move tasks are refused with SQS's own errors.
package final class QueueService: Sendable {
    package enum Limits {
        package static let batchEntries = 10
        package static let batchBytes = 1 << 20
        package static let attributesPerMessage = 10
        package static let tagsPerQueue = 50
        /// Of one receive.
        package static let messagesPerReceive = 10
        /// Seconds that a message can be hidden, from its receive on.
        package static let visibilitySeconds = 43_200
        package static let pageQueues = 1000
    }

    /// What clients can call.
    package static let operations: [Operation<QueueService>] = (managing + sharing + messaging).map { declared in
        var operation = declared
        operation.conditions = tagConditions
        return operation
    }

    private static let managing: [Operation<QueueService>] = [
        Operation(
            "CreateQueue", .write, on: named, recorded: QueueRecording.parameters, perform: QueueService.createQueue),
        Operation(
            "DeleteQueue", .write, silent, on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.deleteQueue),
        Operation(
            "PurgeQueue", .write, silent, on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.purgeQueue),
        Operation(
            "SetQueueAttributes", .write, silent, on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.setQueueAttributes),
        Operation(
            "TagQueue", .write, silent, on: queue, recorded: QueueRecording.parameters, perform: QueueService.tagQueue),
        Operation(
            "UntagQueue", .write, silent, on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.untagQueue),
        Operation(
            "AddPermission", .write, silent, on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.addPermission),
        Operation(
            "RemovePermission", .write, silent, on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.removePermission),
    ]

    // Questions about a queue are data events, as SQS documents them.
    private static let sharing: [Operation<QueueService>] = [
        Operation(
            "GetQueueUrl", .read, data, on: named, recorded: QueueRecording.parameters,
            perform: QueueService.getQueueURL),
        Operation(
            "GetQueueAttributes", .read, data, on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.getQueueAttributes),
        Operation("ListQueues", .read, data, recorded: QueueRecording.parameters, perform: QueueService.listQueues),
        Operation(
            "ListDeadLetterSourceQueues", .read, data, on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.listDeadLetterSourceQueues),
        Operation(
            "ListQueueTags", .read, data, on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.listQueueTags),
    ]

    private static let messaging: [Operation<QueueService>] = [
        Operation(
            "SendMessage", .write, sending(), on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.sendMessage),
        Operation(
            "SendMessageBatch", .write, sending("SendMessage"), on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.sendMessageBatch),
        Operation(
            "ReceiveMessage", .read, data, on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.receiveMessage),
        Operation(
            "DeleteMessage", .write, dataWithoutAnswer(), on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.deleteMessage),
        Operation(
            "DeleteMessageBatch", .write, dataWithoutAnswer("DeleteMessage", recordsAnswer: true), on: queue,
            recorded: QueueRecording.parameters, perform: QueueService.deleteMessageBatch),
        Operation(
            "ChangeMessageVisibility", .write, dataWithoutAnswer(), on: queue, recorded: QueueRecording.parameters,
            perform: QueueService.changeMessageVisibility),
        Operation(
            "ChangeMessageVisibilityBatch", .write,
            dataWithoutAnswer("ChangeMessageVisibility", recordsAnswer: true), on: queue,
            recorded: QueueRecording.parameters, perform: QueueService.changeMessageVisibilityBatch),
    ]

    private static let silent = OperationTraits(recordsAnswer: false)
    private static let data = OperationTraits(category: .data, recordsAnswer: false, recordsResources: true)
    private static func sending(_ action: String? = nil) -> OperationTraits {
        OperationTraits(category: .data, iamAction: action, recordsResources: true, bodyBytesMax: 8 << 20)
    }
    private static func dataWithoutAnswer(_ action: String? = nil, recordsAnswer: Bool = false) -> OperationTraits {
        OperationTraits(category: .data, iamAction: action, recordsAnswer: recordsAnswer, recordsResources: true)
    }

    let table: QueueTable
    let secret: RootSecret
    let clock: Clock
    let sleep: Sleep
    let randomBytes: @Sendable (Int) -> [UInt8]
    let arrivals = Arrivals()

    /// Sleeps so many milliseconds; throws when it was cut short, so that nobody waits on.
    package typealias Sleep = @Sendable (Int64) async throws -> Void

    private init(
        _ table: QueueTable, secret: RootSecret, clock: @escaping Clock, sleep: @escaping Sleep,
        randomBytes: @escaping @Sendable (Int) -> [UInt8]
    ) {
        self.table = table
        self.secret = secret
        self.clock = clock
        self.sleep = sleep
        self.randomBytes = randomBytes
    }

    /// Opens the room with all queues and messages that the catalog has.
    ///
    /// - Parameters:
    ///   - secret: seals messages.
    ///   - sleep: how long polls wait.
    ///   - randomBytes: cryptographic randomness, for ids and receipt handles.
    package static func open(
        catalog: Catalog, secret: RootSecret, clock: @escaping Clock, sleep: @escaping Sleep,
        randomBytes: @escaping @Sendable (Int) -> [UInt8]
    ) async throws(AWSError) -> QueueService {
        QueueService(
            try await QueueTable.open(catalog, secret: secret), secret: secret, clock: clock, sleep: sleep,
            randomBytes: randomBytes)
    }

    /// The service with its operations bound to this object.
    package var service: Service {
        Service(
            "sqs", .json(version: "1.0"), targetPrefixes: ["AmazonSQS"], owner: self, operations: Self.operations,
            recorded: QueueRecording.parameters, denial: AWSError.deniedByQueue)
    }

    /// The policy of the queue that a resource is; nil where there is none.
    package func policy(of resource: ResourceReference) -> StoredPolicy? {
        // Most resources are none of ours.
        guard resource.arn.hasPrefix("arn:aws:sqs:"), let place = MessagingName(.queue, arn: resource.arn) else {
            return nil
        }
        return table.read { content in content.queues[place].flatMap { content.policies[$0.id] } }
    }

    var now: Int64 { clock().milliseconds }

    // MARK: Which queue a request is about

    private static let queue: Operation<QueueService>.Resources = { _, request, call in
        guard let url = request.parameters["QueueUrl"]?.asString, let place = place(url: url, call) else { return [] }
        return [place.reference]
    }

    private static let named: Operation<QueueService>.Resources = { _, request, call in
        guard let name = request.parameters["QueueName"]?.asString else { return [] }
        let owner = request.parameters["QueueOwnerAWSAccountId"]?.asString ?? call.accountID
        return [MessagingName(.queue, region: call.region, account: owner, name: name).reference]
    }

    /// The tags that a request brings and those that its queue has, as policies see them.
    private static let tagConditions: Operation<QueueService>.Conditions = { service, request, call in
        let given = (request.parameters["tags"] ?? request.parameters["Tags"])?.asStructure?.members ?? []
        var keys = given.map { ConditionKey("aws:RequestTag/\($0.name)", $0.value.asString ?? "") }
        let names = given.map(\.name) + (request.parameters["TagKeys"]?.asList ?? []).compactMap(\.asString)
        if !names.isEmpty { keys.append(ConditionKey("aws:TagKeys", set: names)) }
        if let url = request.parameters["QueueUrl"]?.asString, let place = place(url: url, call) {
            let tags: [String: String] = service.table.read { $0.queues[place]?.tags ?? [:] }
            for tag in tags { keys.append(ConditionKey("aws:ResourceTag/\(tag.key)", tag.value)) }
        }
        return keys
    }

    /// The queue that a URL names by its last two components, whatever host clients reach this server by.
    static func place(url: String, _ call: Call) -> MessagingName? {
        let path = url.split(separator: "/", omittingEmptySubsequences: true).map(String.init)
        guard path.count >= 2, MessagingName.isAccount(path[path.count - 2]) else { return nil }
        return MessagingName(.queue, region: call.region, account: path[path.count - 2], name: path[path.count - 1])
    }

    /// - Throws: `InvalidAddress`, `QueueDoesNotExist`.
    func queue(url: String, _ call: Call) throws(AWSError) -> QueueRecord {
        guard let place = Self.place(url: url, call) else { throw .invalidQueueAddress }
        guard let queue = table.read({ $0.queues[place] }) else { throw .noSuchQueue }
        return queue
    }

    /// The queue, where the call is one that its own account alone can make, whatever the queue's policy says.
    func ownQueue(url: String, _ call: Call) throws(AWSError) -> QueueRecord {
        let queue = try queue(url: url, call)
        guard queue.account == call.accountID else { throw .queueAccessDenied(queue.arn) }
        return queue
    }
}
