// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import EventRecord
internal import Storage
internal import Synchronization

/// PutAuditEvents: takes events of sources outside through a channel (botocore's model cloudtrail-data/2021-08-11).
///
/// Each entry is checked by itself; what is refused is told in `failed` with its code and stops nothing. An event is taken once
/// for each channel and id: sent again it is answered with the same eventID, and nothing is added. What is answered as
/// successful is durable and in event history. A source may number its events (`additionalEventData.sourceSequence`).
package struct AuditEventService: Sendable {
    /// AWS's quotas.
    package enum Limits {
        package static let eventsMax = 100
        /// Bytes of all `eventData` of a call.
        package static let eventDataBytesMax = 1 << 20
        /// Bytes of a call's document, in which texts are escaped.
        package static let bodyBytesMax = 4 << 20
    }

    /// Puts records into the journal, each eventID once in the account, numbers under the source's name.
    ///
    /// Throws what the caller is told when it can take no more (429 or 503).
    package typealias Take =
        @Sendable (
            _ records: [SourcedRecord], _ account: String, _ source: String
        ) async throws(AWSError) -> Void

    package static let operations: [Operation<AuditEventService>] = [
        Operation(
            "PutAuditEvents", .write,
            OperationTraits(category: .data, recordsResources: true, bodyBytesMax: Limits.bodyBytesMax),
            on: { _, request, call in
                guard let reference = try? PutAuditEventsInput.channel(request) else { return [] }
                let arn = reference.arn(in: call)
                return [ResourceReference(type: "AWS::CloudTrail::Channel", arn: arn.text, accountID: arn.account)]
            },
            conditions: { (service, request, call) async throws(AWSError) -> [ConditionKey] in
                let given = request.http.queryValue("externalId").map { [ConditionKey("cloudtrail:ExternalId", $0)] }
                guard let reference = try? PutAuditEventsInput.channel(request) else { return given ?? [] }
                return try await (given ?? []) + service.trails.tagKeys(of: reference.arn(in: call))
            },
            recorded: PutAuditEventsInput.recorded, perform: AuditEventService.putAuditEvents)
    ]

    private let trails: TrailService
    private let take: Take

    /// - Parameter trails: whose channels they are.
    package init(trails: TrailService, take: @escaping Take) {
        self.trails = trails
        self.take = take
    }

    package var service: Service {
        Service(
            "cloudtrail-data", .restJSON, owner: self, operations: Self.operations,
            route: { (request) throws(AWSError) in
                guard request.method == "POST", request.rawPath == "/PutAuditEvents" else {
                    throw AWSError(
                        "UnknownOperationException", status: 404,
                        "CloudTrail's data interface has POST /PutAuditEvents, not \(request.method) \(request.rawPath)."
                    )
                }
                return RoutedOperation(operation: "PutAuditEvents", parameters: WireStructure())
            })
    }

    @Sendable func putAuditEvents(
        _ input: PutAuditEventsInput, _ call: Call
    ) async throws(AWSError) -> PutAuditEventsOutput {
        let arn = input.channel.arn(in: call)
        let found = try await trails.catalog.read { snapshot throws(AWSError) -> Channel? in
            try snapshot.document(TrailKeys.channel(arn))
        }
        guard let channel = found, channel.region == call.region else {
            throw AWSError("ChannelNotFound", "The channel \(arn.text) does not exist in \(call.region).")
        }
        let now = trails.clock()
        var output = PutAuditEventsOutput()
        var records: [SourcedRecord] = []
        for event in input.events {
            do {
                let record = try event.record(through: channel, at: now)
                records.append(record)
                output.successful.append((record.eventID, event.id))
            } catch let refusal as AuditEvent.Refusal {
                output.failed.append((event.id, refusal))
            } catch let other as AuditEvent.OtherSchema {
                throw AWSError(
                    "ChannelUnsupportedSchema",
                    "The event `\(event.id)` has the schema of a \(other.name); channels take the integrations event "
                        + "schema.")
            } catch {
                throw .internalFailure(cause: "audit event: \(error)")
            }
        }
        do throws(AWSError) {
            try await take(records, channel.account, channel.arn.text)
        } catch {
            trails.note(output, of: channel, at: now, error: error.code)
            throw error
        }
        trails.note(output, of: channel, at: now, error: nil)
        return output
    }
}

extension TrailService {
    fileprivate func note(_ output: PutAuditEventsOutput, of channel: Channel, at now: Timestamp, error: String?) {
        channelStatuses.withLock { statuses in
            var status = statuses[channel.id] ?? ChannelStatus()
            status.attemptTime = now.milliseconds
            if let last = output.successful.last?.eventID {
                status.attemptEventID = last
                if error == nil {
                    status.successTime = now.milliseconds
                    status.successEventID = last
                }
            }
            if let code = error ?? output.failed.last?.refusal.code { status.errorCode = code }
            statuses[channel.id] = status
        }
    }
}

struct PutAuditEventsInput: OperationInput {
    static let externalIDLengths = 2...1224

    let channel: ChannelReference
    let events: [AuditEvent]

    init(_ request: OperationRequest) throws(AWSError) {
        channel = try Self.channel(request)
        if let text = request.http.queryValue("externalId") {
            guard Self.externalIDLengths.contains(text.utf8.count),
                text.utf8.allSatisfy({ TrailName.isLetterOrDigit($0) || "_+=,.@:/-".utf8.contains($0) })
            else {
                throw .validation(
                    "externalId must have 2 to 1224 letters, digits and characters of _+=,.@:/-")
            }
        }
        guard case .structure(let members) = try WireValue(json: request.bytes) else {
            throw .serialization("the request must be a JSON object")
        }
        let fields = try WireFields(members, known: ["auditEvents"])
        guard let items = try fields.structures("auditEvents", known: ["id", "eventData", "eventDataChecksum"]) else {
            throw .missingMember("auditEvents")
        }
        guard (1...AuditEventService.Limits.eventsMax).contains(items.count) else {
            throw .validation(
                "1 validation error detected: Value at 'auditEvents' failed to satisfy constraint: Member must have "
                    + "length between 1 and \(AuditEventService.Limits.eventsMax)")
        }
        var events: [AuditEvent] = []
        var ids: Set<String> = []
        var bytes = 0
        for item in items {
            let event = AuditEvent(
                id: try item.requiredString("id"), eventData: try item.requiredString("eventData"),
                checksum: try item.string("eventDataChecksum"))
            guard AuditEvent.isID(event.id) else {
                throw .validation(
                    "An event's id must have 1 to \(AuditEvent.idLengthMax) letters, digits, hyphens and underscores.")
            }
            guard ids.insert(event.id).inserted else {
                throw AWSError("DuplicatedAuditEventId", "The id `\(event.id)` stands twice in the request.")
            }
            bytes += event.eventData.utf8.count
            events.append(event)
        }
        guard bytes <= AuditEventService.Limits.eventDataBytesMax else {
            throw .validation(
                "The events of a call can have at most \(AuditEventService.Limits.eventDataBytesMax) bytes together.")
        }
        self.events = events
    }

    /// - Throws: `InvalidChannelARN`.
    static func channel(_ request: OperationRequest) throws(AWSError) -> ChannelReference {
        guard let text = request.http.queryValue("channelArn") else { throw .missingMember("channelArn") }
        do throws(AWSError) {
            return try ChannelReference(text)
        } catch {
            throw AWSError("InvalidChannelARN", error.message)
        }
    }

    /// The channel and the ids; what the events say stands in them.
    static let recorded: Operation<AuditEventService>.Recorded = { request in
        var shown = WireStructure()
        if let text = request.http.queryValue("channelArn") { shown.append("channelArn", .string(text)) }
        if let text = request.http.queryValue("externalId") { shown.append("externalId", .string(text)) }
        guard let document = try? WireValue(json: request.bytes),
            let events = document.asStructure?["auditEvents"]?.asList
        else { return .structure(shown) }
        let ids = events.prefix(AuditEventService.Limits.eventsMax).map { event -> WireValue in
            .structure(["id": WireValue(event.asStructure?["id"]?.asString.map { String($0.prefix(128)) })])
        }
        shown.append("auditEvents", .list(ids))
        return .structure(shown)
    }
}

struct PutAuditEventsOutput: OperationOutput {
    var successful: [(eventID: String, id: String)] = []
    var failed: [(id: String, refusal: AuditEvent.Refusal)] = []

    func answer() -> OperationAnswer {
        OperationAnswer(
            body: .members([
                "failed": .list(
                    failed.map { entry in
                        .structure([
                            "id": .string(entry.id), "errorCode": .string(entry.refusal.code),
                            "errorMessage": .string(entry.refusal.message),
                        ])
                    }),
                "successful": .list(
                    successful.map { .structure(["eventID": .string($0.eventID), "id": .string($0.id)]) }),
            ]))
    }
}
