// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import EventRecord

/// Takes events that were recorded elsewhere: Cairn's own `POST /events`, which `cairn import` uses.
///
/// The body is a log file: `{"Records":[...]}`, a list, or one record after another, a line each or not; plain, gzip or zstd, as
/// its bytes tell. It may have any size where the header `x-amz-content-sha256` states its hash: it is then put aside on the disk
/// until it has proven itself, and read in pieces. Without that header it must fit into memory (`bodyBytesMax`).
///
/// Each record is checked by itself; one that is malformed is named with its place and reason and does not stop the rest. Each
/// eventID is taken once, however often it comes. What was taken is durable in the journal, and in event history, when the
/// answer leaves; imported events are never delivered to trails. When too much waits already (`IntakeLimits`) the answer is 429,
/// when the journal can take no more it is 503, both with Retry-After; what was taken until then stays, and sending all again
/// takes the rest.
///
/// `POST /events?file=NAME`, signed for the service `cairn`. Answer (JSON): `{"imported":N,"duplicates":N,"malformed":N,
/// "problems":[{"offset":N,"line":N,"reason":"..."}],"firstNumber":N,"nextNumber":N}`; numbers are the journal's; at most
/// `problemsMax` problems are listed, all are counted.
///
/// A source that numbers its events says so in the query, which a signature always covers: `source=NAME&sequence=N`. N is the
/// number of the first record of the body; each further record, a malformed one too, has the next. The record then ends in
/// `sourceSequence` (see `SourcedRecord`), and the answer has `"gaps":N,"repeats":N,"late":N,"findings":[{"number":N,
/// "finding":"gap","expected":N}]`. `GET /sources` (or `GET /sources?source=NAME`) shows where each source of the account stands.
package struct EventIntake: Sendable {
    package static let problemsMax = 100
    package static let bodyBytesMax = 32 << 20
    /// Events that go into the journal in one piece.
    package static let batchEventsMax = 2000
    /// Bytes of records that go into the journal in one piece, about.
    static let batchBytesMax = 4 << 20

    package static let operations: [Operation<EventIntake>] = [
        Operation(
            "ImportEvents", .write, OperationTraits(streamsBody: true, bodyBytesMax: bodyBytesMax),
            recorded: { request in
                var shown = WireStructure()
                for name in ["file", "source", "sequence"] {
                    if let text = request.http.queryValue(name) {
                        shown.append(name, .string(String(text.prefix(1024))))
                    }
                }
                return shown.isEmpty ? .null : .structure(shown)
            },
            perform: EventIntake.importEvents),
        Operation(
            "ListSources", .read,
            recorded: { request in
                request.http.queryValue("source").map { .structure(["source": .string(String($0.prefix(1024)))]) }
                    ?? .null
            },
            perform: EventIntake.listSources),
    ]

    private let intake: RecordIntake
    private let directory: String

    /// - Parameter directory: where bodies are put aside while they come in.
    package init(intake: RecordIntake, directory: String) {
        self.intake = intake
        self.directory = directory
    }

    package var service: Service {
        Service(
            "cairn", eventSource: "cairn.internal", .restJSON, owner: self, operations: Self.operations,
            route: { (request) throws(AWSError) in
                switch (request.method, request.rawPath) {
                case ("POST", "/events"):
                    return RoutedOperation(operation: "ImportEvents", parameters: WireStructure())
                case ("GET", "/sources"):
                    return RoutedOperation(operation: "ListSources", parameters: WireStructure())
                default:
                    throw AWSError(
                        "UnknownOperationException", status: 404,
                        "Cairn's own interface has POST /events and GET /sources, not \(request.method) "
                            + "\(request.rawPath).")
                }
            })
    }

    struct ImportInput: OperationInput {
        let body: RequestBody
        /// Both or neither.
        let source: String?
        let sequence: UInt64?

        init(_ request: OperationRequest) throws(AWSError) {
            body = request.body ?? .whole(request.bytes)
            source = try SourcesInput.source(request)
            guard let text = request.http.queryValue("sequence") else {
                guard source == nil else { throw .validation("`source` needs `sequence`, the first record's number.") }
                sequence = nil
                return
            }
            guard source != nil else { throw .validation("`sequence` needs `source`, the name of who numbers.") }
            guard let number = UInt64(text), number <= SourceLedger.Limits.numberMax else {
                throw .validation("`sequence` must be a whole number from 0 to \(SourceLedger.Limits.numberMax).")
            }
            sequence = number
        }
    }

    struct ImportOutput: OperationOutput {
        var imported = 0
        var duplicates = 0
        var malformed = 0
        var problems: [(offset: Int, line: Int, reason: String)] = []
        var numbers: Range<UInt64>?
        var isNumbered = false
        var counts: [SourceSequence.Finding: Int] = [:]
        var findings: [SourceSequence] = []

        mutating func add(_ taken: RecordIntake.Taken) {
            imported += taken.fresh
            duplicates += taken.duplicates
            if let more = taken.numbers { numbers = (numbers?.lowerBound ?? more.lowerBound)..<more.upperBound }
            for sequence in taken.findings {
                if let finding = sequence.finding { counts[finding, default: 0] += 1 }
                if findings.count < EventIntake.problemsMax { findings.append(sequence) }
            }
        }

        mutating func refuse(_ offset: Int, _ line: Int, _ reason: String) {
            malformed += 1
            if problems.count < EventIntake.problemsMax { problems.append((offset, line, reason)) }
        }

        func answer() -> OperationAnswer {
            var shown: WireStructure = [
                "imported": .integer(Int64(imported)), "duplicates": .integer(Int64(duplicates)),
                "malformed": .integer(Int64(malformed)),
            ]
            if let numbers {
                shown.append("firstNumber", .integer(Int64(clamping: numbers.lowerBound)))
                shown.append("nextNumber", .integer(Int64(clamping: numbers.upperBound)))
            }
            if isNumbered {
                func count(_ findings: SourceSequence.Finding...) -> WireValue {
                    .integer(Int64(findings.reduce(0) { $0 + (counts[$1] ?? 0) }))
                }
                shown.append("gaps", count(.gap))
                shown.append("repeats", count(.repeated, .old))
                shown.append("late", count(.late))
            }
            var members = shown
            members.append(
                "problems",
                .list(
                    problems.map { problem in
                        .structure([
                            "offset": .integer(Int64(problem.offset)), "line": .integer(Int64(problem.line)),
                            "reason": .string(problem.reason),
                        ])
                    }))
            if isNumbered {
                members.append(
                    "findings",
                    .list(
                        findings.map { sequence in
                            var finding: WireStructure = ["number": .integer(Int64(clamping: sequence.number))]
                            finding.append("finding", ifPresent: WireValue(sequence.finding?.rawValue))
                            finding.append(
                                "expected", ifPresent: sequence.expected.map { .integer(Int64(clamping: $0)) })
                            return .structure(finding)
                        }))
            }
            return OperationAnswer(body: .members(members), recorded: shown)
        }
    }

    @Sendable func importEvents(_ input: ImportInput, _ call: Call) async throws(AWSError) -> ImportOutput {
        var output = ImportOutput()
        output.isNumbered = input.source != nil
        try intake.checkRoom()
        let spool = try IntakeSpool(directory: directory, budget: intake.budget)
        try await spool.fill(input.body)
        let reader = ContentReader(spool)
        var stream = RecordStream()
        var batch: [SourcedRecord] = []
        var bytes = 0
        var next = input.sequence
        var isMore = true
        while isMore {
            var items: [RecordStream.Item] = []
            do {
                if let piece = try reader.next() {
                    stream.take(piece) { items.append($0) }
                } else {
                    stream.finish { items.append($0) }
                    isMore = false
                }
            } catch let damage as ContentReader.Damaged {
                output.refuse(damage.offset, 0, damage.reason)
                isMore = false
            } catch let error as AWSError {
                throw error
            } catch {
                throw .internalFailure(cause: "import: \(error)")
            }
            for item in items {
                let number = next
                next = next.map { $0 + 1 }
                switch item.outcome {
                case .failure(let problem): output.refuse(item.offset, item.line, problem.reason)
                case .success(let record):
                    do throws(EventError) {
                        batch.append(try Self.checked(item.event(record), record, number, input.source))
                        bytes += record.count
                    } catch {
                        output.refuse(item.offset + error.offset, item.line, error.description)
                    }
                }
                if batch.count >= Self.batchEventsMax || bytes >= Self.batchBytesMax {
                    try await intake.awaitRoom()
                    output.add(try await intake.take(batch, account: call.accountID, source: input.source))
                    batch.removeAll(keepingCapacity: true)
                    bytes = 0
                }
            }
        }
        try await intake.awaitRoom()
        output.add(try await intake.take(batch, account: call.accountID, source: input.source))
        return output
    }

    /// A record that may be taken.
    private static func checked(
        _ event: Event, _ record: [UInt8], _ number: UInt64?, _ source: String?
    ) throws(EventError) -> SourcedRecord {
        try EventSchema.check(event)
        // "Once each" is by eventID, so a record without one cannot be taken.
        guard let id = event.text(.eventID), !id.isEmpty else {
            throw EventError(.missingMember, at: 0, member: "eventID")
        }
        if let number, let source {
            // A record that has such a member already, or no room for it, is told of now.
            _ = try Event(
                SourceSequence(source: source, number: number, finding: .repeated, expected: .max).appended(to: record))
        }
        return SourcedRecord(eventID: id, record: record, number: number)
    }

    // MARK: Sources

    struct SourcesInput: OperationInput {
        let source: String?

        init(_ request: OperationRequest) throws(AWSError) { source = try Self.source(request) }

        static func source(_ request: OperationRequest) throws(AWSError) -> String? {
            guard let text = request.http.queryValue("source") else { return nil }
            guard SourceSequence.isSource(text) else {
                throw .validation(
                    "`source` must have 1 to \(SourceSequence.sourceLengthMax) letters, digits and characters of ._:/@-"
                )
            }
            return text
        }
    }

    struct SourcesOutput: OperationOutput {
        let sources: [(name: String, source: SourceLedger.Source)]

        func answer() -> OperationAnswer {
            let list = sources.map { entry -> WireValue in
                var members: WireStructure = ["source": .string(entry.name)]
                members.members += entry.source.members(missingMax: EventIntake.problemsMax)
                members["latest"] =
                    entry.source.latest > 0
                    ? .string(Timestamp(milliseconds: entry.source.latest).iso8601) : nil
                return .structure(members)
            }
            return OperationAnswer(body: .members(["sources": .list(list)]))
        }
    }

    @Sendable func listSources(_ input: SourcesInput, _ call: Call) async throws(AWSError) -> SourcesOutput {
        SourcesOutput(
            sources: intake.sources(of: call.accountID).filter { input.source == nil || $0.name == input.source })
    }
}
