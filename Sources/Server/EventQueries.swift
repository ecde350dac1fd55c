// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import EventHistory
internal import EventJournal
internal import EventRecord
internal import NIOCore
internal import func ServiceLifecycle.gracefulShutdown

/// Cairn's own questions to event history, in the filter language (docs/filter-language.md); signed for the service `cairn`, and
/// calls like any other: they are authorized and recorded. Each takes one JSON object and sees the caller's account only.
///
/// - `POST /events/search`, `{"filter":"...","start":S,"end":S,"order":"newest|oldest","limit":N,"token":"..."}`: records, one a
///   line, as they were recorded. The header `x-cairn-next-token` is there when more follow.
/// - `POST /events/count`, `{"filter":"...","start":S,"end":S,"by":["path"],"every":S,"top":N}`: `{"total":N,"beyondGroups":N,
///   "groups":N,"rows":[{"start":S,"values":["..."|null],"count":N}]}`.
/// - `POST /events/tail`, `{"filter":"...","last":N}`: the last N events, oldest first, then each event as soon as it is durable,
///   one a line, until the client goes or the server stops. Blank lines mean nothing: they keep the connection in use.
///
/// Times are seconds since 1970, inclusive.
struct EventQueries: Sendable {
    static let operations: [Operation<EventQueries>] = [
        Operation("SearchEvents", .read, recorded: asked, perform: EventQueries.search),
        Operation("CountEvents", .read, recorded: asked, perform: EventQueries.count),
        Operation("TailEvents", .read, recorded: asked, perform: EventQueries.tail),
    ]

    private static let routes = [
        "/events/search": "SearchEvents", "/events/count": "CountEvents", "/events/tail": "TailEvents",
    ]
    /// Rows of an answer, and what a page of a search may hold.
    static let rowsMax = 10_000
    /// Events that a tail begins with.
    static let lastMax = 1000
    /// A line without an event goes out when none came for so long.
    private static let quiet = Duration.seconds(10)

    let history: History
    let journal: Journal
    let clock: Clock

    var service: Service {
        Service(
            "cairn", eventSource: "cairn.internal", .restJSON, owner: self, operations: Self.operations,
            route: { (request) throws(AWSError) in
                guard request.method == "POST", let operation = Self.routes[request.rawPath] else {
                    throw AWSError(
                        "UnknownOperationException", status: 404,
                        "Cairn's own interface has no \(request.method) \(request.rawPath).")
                }
                return RoutedOperation(operation: operation, parameters: WireStructure())
            })
    }

    /// The question as the event shows it; what is no object is not shown.
    private static let asked: Operation<EventQueries>.Recorded = { request in
        guard request.bytes.count <= 64 << 10, let question = try? WireValue(json: request.bytes),
            case .structure = question
        else { return .null }
        return question
    }

    // MARK: The questions

    /// One JSON object, read and checked.
    struct Question: OperationInput {
        var filter = ""
        var start: Int64?
        var end: Int64?
        var order = HistoryQuery.Order.newestFirst
        var limit = 50
        var token: String?
        var by: [EventPath] = []
        var every: Int64?
        var top = EventQueries.rowsMax
        var last = 0
        /// Seconds: where a tail begins, by the time at which events were recorded here.
        var since: Int64?

        init(_ request: OperationRequest) throws(AWSError) {
            guard case .structure(let members) = try WireValue(json: request.bytes) else {
                throw .serialization("the question must be a JSON object")
            }
            for member in members.members where !member.value.isNull {
                switch member.name {
                case "filter": filter = try Self.text(member)
                case "start": start = try Self.number(member, -(1 << 40)...(1 << 40))
                case "end": end = try Self.number(member, -(1 << 40)...(1 << 40))
                case "limit": limit = Int(try Self.number(member, 1...Int64(EventQueries.rowsMax)))
                case "top": top = Int(try Self.number(member, 1...Int64(EventQueries.rowsMax)))
                case "last": last = Int(try Self.number(member, 0...Int64(EventQueries.lastMax)))
                case "since": since = try Self.number(member, 0...(1 << 40))
                case "every": every = try Self.number(member, 1...(1 << 36))
                case "token": token = try Self.text(member)
                case "order":
                    switch try Self.text(member) {
                    case "newest": order = .newestFirst
                    case "oldest": order = .oldestFirst
                    default: throw .validation("`order` must be `newest` or `oldest`.")
                    }
                case "by":
                    guard let list = member.value.asList, list.count <= 16 else {
                        throw .validation("`by` must be a list of at most 16 paths.")
                    }
                    for item in list {
                        guard let text = item.asString else { throw .validation("`by` must be a list of texts.") }
                        do throws(FilterError) {
                            by.append(try FilterLanguage.path(text))
                        } catch {
                            throw .validation("`by`: \(error.reason).")
                        }
                    }
                default: throw .validation("`\(member.name.prefix(64))` is no member of a question.")
                }
            }
        }

        private static func text(_ member: WireStructure.Member) throws(AWSError) -> String {
            guard let text = member.value.asString else { throw .validation("`\(member.name)` must be a text.") }
            return text
        }

        private static func number(
            _ member: WireStructure.Member, _ range: ClosedRange<Int64>
        ) throws(AWSError) -> Int64 {
            guard case .integer(let number) = member.value, range.contains(number) else {
                throw .validation(
                    "`\(member.name)` must be a whole number from \(range.lowerBound) to \(range.upperBound).")
            }
            return number
        }

        func query(of call: Call) throws(AWSError) -> HistoryQuery {
            let compiled: EventFilter
            do throws(FilterError) {
                compiled = try FilterLanguage.parse(filter, now: call.time.seconds)
            } catch {
                throw .validation("\(error).")
            }
            return HistoryQuery(
                ownerAccount: call.accountID, filter: compiled, startSeconds: start, endSeconds: end, order: order,
                limit: limit, token: token)
        }
    }

    struct Answer: OperationOutput {
        var body: OperationAnswer.Body
        var headers: [WireHeader] = []

        func answer() -> OperationAnswer {
            OperationAnswer(headers: headers, body: body, recorded: WireStructure())
        }
    }

    @Sendable private func search(_ question: Question, _ call: Call) async throws(AWSError) -> Answer {
        let query = try question.query(of: call)
        let page: HistoryPage
        do throws(HistoryError) {
            page = try await history.search(query)
        } catch {
            throw Self.refusal(error)
        }
        var lines: [UInt8] = []
        for found in page.events { Self.append(found.event.record, to: &lines) }
        return Answer(
            body: .bytes(lines, contentType: "application/x-ndjson"),
            headers: page.nextToken.map { [WireHeader("x-cairn-next-token", $0)] } ?? [])
    }

    @Sendable private func count(_ question: Question, _ call: Call) async throws(AWSError) -> Answer {
        let query = try question.query(of: call)
        let tally: EventTally
        do throws(HistoryError) {
            tally = try await history.tally(query, .init(paths: question.by, intervalSeconds: question.every))
        } catch {
            throw Self.refusal(error)
        }
        let rows = tally.rows.prefix(question.top).map { row -> WireValue in
            var members = WireStructure()
            if let start = row.startSeconds { members.append("start", .integer(start)) }
            members.append("values", .list(row.values.map { WireValue($0) }))
            members.append("count", .integer(Int64(clamping: row.count)))
            return .structure(members)
        }
        return Answer(
            body: .members([
                "total": .integer(Int64(clamping: tally.total)),
                "beyondGroups": .integer(Int64(clamping: tally.beyondGroups)),
                "groups": .integer(Int64(tally.groupCount)), "rows": .list(rows),
            ]))
    }

    @Sendable private func tail(_ question: Question, _ call: Call) async throws(AWSError) -> Answer {
        var query = try question.query(of: call)
        let from: UInt64
        do throws(JournalError) {
            from =
                if let since = question.since { try journal.number(writtenAtOrAfter: since * 1000) } else {
                    journal.durableNumber
                }
        } catch {
            throw .internalFailure(cause: "the begin of a tail could not be found: \(error)")
        }
        var head: [UInt8] = [0x0A]
        if question.last > 0, question.since == nil {
            query.limit = question.last
            query.order = .newestFirst
            query.token = nil
            do throws(HistoryError) {
                for found in try await history.search(query).events.reversed() where found.number < from {
                    Self.append(found.event.record, to: &head)
                }
            } catch {
                throw Self.refusal(error)
            }
        }
        let first = head
        let asked = query
        let stream = AnswerStream(length: nil) { write in
            try await write(ByteBuffer(bytes: first))
            var position = from
            while true {
                guard try await arrival(from: position) else { return }
                let batch = try journal.read(from: position, bytesMax: 256 << 10)
                var lines: [UInt8] = []
                for entry in batch.entries {
                    guard let envelope = EventEnvelope.parse(entry), envelope.kind.isShown,
                        envelope.ownerAccount == asked.ownerAccount, let event = try? Event(envelope.record),
                        asked.filter.matches(event)
                    else { continue }
                    Self.append(event.record, to: &lines)
                }
                // Also when nothing matched: so a client that has gone is noticed.
                if lines.isEmpty, batch.entries.isEmpty { lines.append(0x0A) }
                position = max(position, batch.next)
                if !lines.isEmpty { try await write(ByteBuffer(bytes: lines)) }
            }
        }
        return Answer(body: .stream(stream), headers: [WireHeader("content-type", "application/x-ndjson")])
    }

    /// Waits for an entry, or for a while; false when the server stops.
    private func arrival(from position: UInt64) async throws -> Bool {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                _ = try await journal.waitForEntries(from: position)
                return true
            }
            group.addTask {
                try await Task.sleep(for: Self.quiet)
                return true
            }
            group.addTask {
                try await gracefulShutdown()
                return false
            }
            defer { group.cancelAll() }
            return try await group.next() ?? false
        }
    }

    /// One record as one line: line breaks in a record can stand only between its parts.
    static func append(_ record: ArraySlice<UInt8>, to lines: inout [UInt8]) {
        lines.reserveCapacity(lines.count + record.count + 1)
        for byte in record { lines.append(byte == 0x0A || byte == 0x0D ? 0x20 : byte) }
        lines.append(0x0A)
    }

    private static func refusal(_ error: HistoryError) -> AWSError {
        switch error.code {
        case .invalidToken: .validation("The token is damaged or belongs to another question.")
        case .closed, .behind:
            .serviceUnavailable("Event history cannot be searched at the moment.", cause: "\(error)")
        default: .internalFailure(cause: "\(error)")
        }
    }
}
