// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import EventJournal
internal import EventRecord

/// Takes events that were recorded elsewhere: Cairn's own `POST /events`, which `cairn import` uses.
///
/// The body is a log file: `{"Records":[...]}`, a list, or one record after another, a line each or not; plain, gzip or zstd, as
/// its bytes tell. It may have any size where the header `x-amz-content-sha256` states its hash: it is then put aside on the disk
/// until it has proven itself, and read in pieces. Without that header it must fit into memory (`bodyBytesMax`).
///
/// Each record is checked by itself; one that is malformed is named with its place and reason and does not stop the rest. Each
/// eventID is taken once, however often it comes. What was taken is durable in the journal, and in event history, when the
/// answer leaves; imported events are never delivered to trails. When the journal can take no more, the answer is 503 with
/// Retry-After; what was taken until then stays, and sending all again takes the rest.
///
/// `POST /events?file=NAME`, signed for the service `cairn`. Answer (JSON): `{"imported":N,"duplicates":N,"malformed":N,
/// "problems":[{"offset":N,"line":N,"reason":"..."}],"firstNumber":N,"nextNumber":N}`; numbers are the journal's; at most `problemsMax` problems are listed,
/// all are counted.
package struct EventIntake: Sendable {
    package static let problemsMax = 100
    package static let bodyBytesMax = 256 << 20
    /// Events that go into the journal in one piece.
    package static let batchEventsMax = 2000
    /// Bytes of records that go into the journal in one piece, about.
    static let batchBytesMax = 4 << 20

    /// Which of the ids an account's event history has already.
    package typealias KnownEvents = @Sendable (_ eventIDs: [String], _ account: String) async throws -> Set<String>

    package static let operations: [Operation<EventIntake>] = [
        Operation(
            "ImportEvents", .write, OperationTraits(streamsBody: true, bodyBytesMax: bodyBytesMax),
            recorded: { request in
                request.http.queryValue("file").map { .structure(["file": .string(String($0.prefix(1024)))]) } ?? .null
            },
            perform: EventIntake.importEvents)
    ]

    private let journal: Journal
    private let directory: String
    private let known: KnownEvents
    /// Lets one import at a time look up its ids and append, so that two cannot take the same event.
    private let turn = SerialTurn()

    /// - Parameter directory: where bodies are put aside while they come in.
    package init(journal: Journal, directory: String, known: @escaping KnownEvents) {
        self.journal = journal
        self.directory = directory
        self.known = known
    }

    package var service: Service {
        Service(
            "cairn", eventSource: "cairn.internal", .restJSON, owner: self, operations: Self.operations,
            route: { (request) throws(AWSError) in
                guard request.method == "POST", request.rawPath == "/events" else {
                    throw AWSError(
                        "UnknownOperationException", status: 404,
                        "Cairn's own interface has POST /events, not \(request.method) \(request.rawPath).")
                }
                return RoutedOperation(operation: "ImportEvents", parameters: WireStructure())
            })
    }

    struct ImportInput: OperationInput {
        let body: RequestBody

        init(_ request: OperationRequest) throws(AWSError) { body = request.body ?? .whole(request.bytes) }
    }

    struct ImportOutput: OperationOutput {
        var imported = 0
        var duplicates = 0
        var malformed = 0
        var problems: [(offset: Int, line: Int, reason: String)] = []
        var numbers: Range<UInt64>?

        mutating func refuse(_ offset: Int, _ line: Int, _ reason: String) {
            malformed += 1
            if problems.count < EventIntake.problemsMax { problems.append((offset, line, reason)) }
        }

        func answer() -> OperationAnswer {
            var counts: WireStructure = [
                "imported": .integer(Int64(imported)), "duplicates": .integer(Int64(duplicates)),
                "malformed": .integer(Int64(malformed)),
            ]
            if let numbers {
                counts.append("firstNumber", .integer(Int64(clamping: numbers.lowerBound)))
                counts.append("nextNumber", .integer(Int64(clamping: numbers.upperBound)))
            }
            var members = counts
            members.append(
                "problems",
                .list(
                    problems.map { problem in
                        .structure([
                            "offset": .integer(Int64(problem.offset)), "line": .integer(Int64(problem.line)),
                            "reason": .string(problem.reason),
                        ])
                    }))
            return OperationAnswer(body: .members(members), recorded: counts)
        }
    }

    @Sendable func importEvents(_ input: ImportInput, _ call: Call) async throws(AWSError) -> ImportOutput {
        var output = ImportOutput()
        let spool = try IntakeSpool(directory: directory)
        try await spool.fill(input.body)
        let reader = ContentReader(spool)
        var stream = RecordStream()
        var batch: [Candidate] = []
        var bytes = 0
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
                switch item.outcome {
                case .failure(let problem): output.refuse(item.offset, item.line, problem.reason)
                case .success(let record):
                    do throws(EventError) {
                        batch.append(try Candidate(record))
                        bytes += record.count
                    } catch {
                        output.refuse(item.offset + error.offset, item.line, error.description)
                    }
                }
                if batch.count >= Self.batchEventsMax || bytes >= Self.batchBytesMax {
                    try await take(&batch, call, &output)
                    bytes = 0
                }
            }
        }
        try await take(&batch, call, &output)
        return output
    }

    private struct Candidate {
        let eventID: String
        let record: [UInt8]

        init(_ record: [UInt8]) throws(EventError) {
            self.record = record
            let event = try Event(record)
            try EventSchema.check(event)
            // "Once each" is by eventID, so a record without one cannot be taken.
            guard let id = event.text(.eventID), !id.isEmpty else {
                throw EventError(.missingMember, at: 0, member: "eventID")
            }
            eventID = id
        }
    }

    /// Appends those of the batch that nobody has yet, and empties it.
    private func take(
        _ batch: inout [Candidate], _ call: Call, _ output: inout ImportOutput
    ) async throws(AWSError) {
        guard !batch.isEmpty else { return }
        let candidates = batch
        batch.removeAll(keepingCapacity: true)
        let (fresh, numbers) = try await turn.run { () async throws(AWSError) -> (Int, Range<UInt64>?) in
            do {
                var seen = try await known(candidates.map(\.eventID), call.accountID)
                var entries: [[UInt8]] = []
                for candidate in candidates where seen.insert(candidate.eventID).inserted {
                    entries.append(
                        EventEnvelope(kind: .importedEvent, ownerAccount: call.accountID, record: candidate.record[...])
                            .encoded())
                }
                guard !entries.isEmpty else { return (0, nil) }
                return (entries.count, try await journal.append(entries))
            } catch let error as JournalError {
                throw .unrecordable(error)
            } catch {
                throw .internalFailure(cause: "import: \(error)")
            }
        }
        output.imported += fresh
        output.duplicates += candidates.count - fresh
        if let numbers {
            output.numbers = (output.numbers?.lowerBound ?? numbers.lowerBound)..<numbers.upperBound
        }
    }
}

/// Runs pieces of asynchronous work one after another.
///
/// An actor alone would let the next one in at each suspension, so whoever comes waits for the one before to end.
private actor SerialTurn {
    private var isBusy = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func run<Result: Sendable>(
        _ body: @Sendable () async throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        if isBusy { await withCheckedContinuation { waiting.append($0) } }
        isBusy = true
        defer {
            if waiting.isEmpty { isBusy = false } else { waiting.removeFirst().resume() }
        }
        return try await body()
    }
}
