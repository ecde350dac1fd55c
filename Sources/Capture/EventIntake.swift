// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import EventJournal
internal import EventRecord
internal import LogFiles

/// Takes events that were recorded elsewhere: Cairn's own `POST /events`, which `cairn import` uses.
///
/// The body is a log file: `{"Records":[...]}`, a list, or one record after another; plain or gzip, as its bytes tell. Each
/// record is checked by itself; one that is malformed is named with its reason and does not stop the rest. Each eventID is
/// taken once, however often it comes. What was taken is durable in the journal, and in event history, when the answer
/// leaves; imported events are never delivered to trails.
///
/// `POST /events?file=NAME`, signed for the service `cairn`. Answer (JSON): `{"imported":N,"duplicates":N,"malformed":N,
/// "problems":[{"offset":N,"reason":"..."}],"firstNumber":N,"nextNumber":N}`; at most `problemsMax` problems are listed,
/// all are counted.
package struct EventIntake: Sendable {
    package static let problemsMax = 100
    package static let bodyBytesMax = 256 << 20
    /// Events that go into the journal in one piece.
    package static let batchEventsMax = 2000

    /// Which of the ids an account's event history has already.
    package typealias KnownEvents = @Sendable (_ eventIDs: [String], _ account: String) async throws -> Set<String>

    package static let operations: [Operation<EventIntake>] = [
        Operation(
            "ImportEvents", .write, OperationTraits(bodyBytesMax: bodyBytesMax),
            recorded: { request in
                request.http.queryValue("file").map { .structure(["file": .string(String($0.prefix(1024)))]) } ?? .null
            },
            perform: EventIntake.importEvents)
    ]

    private let journal: Journal
    private let known: KnownEvents
    /// Lets one import at a time look up its ids and append, so that two cannot take the same event.
    private let turn = SerialTurn()

    package init(journal: Journal, known: @escaping KnownEvents) {
        self.journal = journal
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
        let bytes: [UInt8]

        init(_ request: OperationRequest) throws(AWSError) { bytes = request.bytes }
    }

    struct ImportOutput: OperationOutput {
        var imported = 0
        var duplicates = 0
        var malformed = 0
        var problems: [(offset: Int, reason: String)] = []
        var numbers: Range<UInt64>?

        mutating func refuse(_ offset: Int, _ reason: String) {
            malformed += 1
            if problems.count < EventIntake.problemsMax { problems.append((offset, reason)) }
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
                    problems.map { .structure(["offset": .integer(Int64($0.offset)), "reason": .string($0.reason)]) }))
            return OperationAnswer(body: .members(members), recorded: counts)
        }
    }

    @Sendable func importEvents(_ input: ImportInput, _ call: Call) async throws(AWSError) -> ImportOutput {
        var output = ImportOutput()
        let content: [UInt8]
        do {
            content = try LogFile.content(of: input.bytes)
        } catch {
            output.refuse(error.offset, error.reason)
            return output
        }
        let found = LogFile.records(in: content)
        for problem in found.problems { output.refuse(problem.offset, problem.reason) }
        var batch: [Candidate] = []
        for range in found.records {
            do {
                batch.append(try Candidate(content, range))
            } catch {
                output.refuse(range.lowerBound + error.offset, error.description)
            }
            if batch.count == Self.batchEventsMax {
                try await take(&batch, call, &output)
            }
        }
        try await take(&batch, call, &output)
        return output
    }

    private struct Candidate {
        let eventID: String
        let record: ArraySlice<UInt8>

        init(_ content: [UInt8], _ range: Range<Int>) throws(EventError) {
            record = content[range]
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
                        EventEnvelope(kind: .importedEvent, ownerAccount: call.accountID, record: candidate.record)
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
