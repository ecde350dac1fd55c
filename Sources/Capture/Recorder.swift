// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import EventJournal
internal import EventRecord
package import Logging
internal import Synchronization

/// Turns calls into events: the intent before a change, the event with its outcome after it, both durable in the journal.
///
/// An intent is the whole event as it will be shown should nothing follow it, with an error that says that the outcome is
/// unknown. The event that closes it names the intent's number. At start, `settle` closes what a crash left open.
package final class Recorder: Sendable {
    /// An intent that is durable and not closed yet.
    package struct Intent: Sendable {
        let number: UInt64
    }

    private struct State {
        /// Numbers of the open intents.
        var open: Set<UInt64> = []
        var unproven: UnprovenCalls
    }

    private let journal: Journal
    private let identifier: @Sendable () -> String
    private let clock: Clock
    private let logger: Logger
    /// Off only in the benchmark that measures what recording costs.
    private let isRecording: Bool
    private let state: Mutex<State>

    /// - Parameter identifier: gives a fresh event id.
    package init(
        journal: Journal, identifier: @escaping @Sendable () -> String, clock: @escaping Clock, logger: Logger,
        unprovenLimits: UnprovenCalls.Limits = UnprovenCalls.Limits(), isRecording: Bool = true
    ) {
        self.journal = journal
        self.identifier = identifier
        self.clock = clock
        self.logger = logger
        self.isRecording = isRecording
        state = Mutex(State(unproven: UnprovenCalls(limits: unprovenLimits)))
    }

    /// Makes the intent of a change durable.
    ///
    /// - Throws: `ServiceUnavailable` when the journal cannot take it: then nothing may be changed.
    package func open(_ record: CallRecord) async throws(AWSError) -> Intent {
        guard isRecording else { return Intent(number: 0) }
        let unknown = CallOutcome(
            error: AWSError(
                "InternalFailure", status: 500,
                "The server stopped before this call ended; whether it was carried out is unknown."),
            additionalEventData: ["outcome": "unknown"])
        let number = try await append(.intent, record, unknown, closing: 0)
        state.withLock { _ = $0.open.insert(number) }
        return Intent(number: number)
    }

    /// Makes the event of a call durable; the answer may leave when this returns.
    ///
    /// - Throws: `ServiceUnavailable` when the journal cannot take it. An intent then stays open and tells, after the next
    ///   start, that the outcome is unknown.
    package func close(_ record: CallRecord, _ outcome: CallOutcome, _ intent: Intent?) async throws(AWSError) {
        guard isRecording else { return }
        let kind: EventEnvelope.Kind = intent == nil ? .event : .closingEvent
        var draft = Self.draft(record, outcome)
        let isRefused = (outcome.error.map { $0.recordedCode ?? $0.code }) == "AccessDenied"
        let isTold = outcome.error == nil || isRefused && Self.tellsOwnersOfRefusals.contains(record.eventSource)
        let others = isTold ? Self.otherAccounts(record) : []
        if !others.isEmpty { draft.sharedEventID = identifier() }
        let resources = draft.resources
        if isRefused, record.eventSource == "s3.amazonaws.com" {
            // Who was refused does not learn whose bucket it is.
            draft.resources = resources.map { resource in
                var resource = resource
                if resource.accountID != record.call.accountID { resource.accountID = nil }
                return resource
            }
        }
        let own = EventWriter.entry(
            draft, kind: kind, ownerAccount: record.call.accountID, related: intent?.number ?? 0)
        var entries = others.isEmpty ? [] : [own]
        for account in others {
            // The other account learns who came, and of its own resources alone.
            var copy = draft
            copy.eventID = identifier()
            copy.recipientAccountID = account
            copy.identity = EventIdentity(
                type: "AWSAccount", principalID: record.call.caller.principalID, accountID: record.call.accountID)
            copy.resources = resources.filter { ($0.accountID ?? account) == account }
            entries.append(EventWriter.entry(copy, kind: .event, ownerAccount: account))
        }
        do {
            // What ends a call may use the space that is kept back: it begins nothing.
            if entries.isEmpty {
                _ = try await journal.append(own, usesReserve: true)
            } else {
                _ = try await journal.append(entries, usesReserve: true)
            }
        } catch {
            throw .unrecordable(error)
        }
        if let intent { state.withLock { _ = $0.open.remove(intent.number) } }
    }

    /// Records a call that nobody's proven key stands behind: by itself, or summed up with others like it.
    ///
    /// Its answer tells nothing and changes nothing, so a journal that is full does not stop it; the loss is logged.
    package func noteUnproven(_ record: CallRecord, _ outcome: CallOutcome) async {
        guard isRecording else { return }
        let (isRecorded, ended) = state.withLock { $0.unproven.take(record, outcome) }
        if isRecorded { await appendUnproven(record, outcome) }
        for summary in ended { await appendSummary(summary) }
    }

    /// Writes the summaries whose window has ended; all of them when `isForced`.
    package func flushUnproven(isForced: Bool) async {
        let now = clock()
        for summary in state.withLock({ $0.unproven.end(now: now, isForced: isForced) }) {
            await appendSummary(summary)
        }
    }

    /// Everything below is settled: no intent below it is open. A start may begin `settle` here.
    package var settledNumber: UInt64 {
        let durable = journal.durableNumber
        return state.withLock { $0.open.min() } ?? durable
    }

    /// Closes the intents that a crash left open, each with an event that says that the outcome is unknown.
    ///
    /// Idempotent: what it appends closes the intents for the next start as well.
    ///
    /// - Parameter from: a number that `settledNumber` once gave.
    /// - Returns: how many were closed.
    package static func settle(_ journal: Journal, from: UInt64) async throws -> Int {
        var open: [UInt64: EventEnvelope] = [:]
        var position = max(from, journal.firstNumber)
        while position < journal.durableNumber {
            let batch = try journal.read(from: position, bytesMax: 4 << 20)
            guard batch.next > position else { break }
            var number = batch.first
            for entry in batch.entries {
                if let envelope = EventEnvelope.parse(entry) {
                    switch envelope.kind {
                    case .intent:
                        open[number] = EventEnvelope(
                            kind: .closingEvent, ownerAccount: envelope.ownerAccount, related: number,
                            record: Array(envelope.record))
                    case .closingEvent: open[envelope.related] = nil
                    case .event, .importedEvent: break
                    }
                }
                number += 1
            }
            position = batch.next
        }
        guard !open.isEmpty else { return 0 }
        let entries = open.sorted { $0.key < $1.key }.map { $0.value.encoded() }
        _ = try await journal.append(entries)
        return entries.count
    }

    private func append(
        _ kind: EventEnvelope.Kind, _ record: CallRecord, _ outcome: CallOutcome, closing intent: UInt64
    ) async throws(AWSError) -> UInt64 {
        let entry = EventWriter.entry(
            Self.draft(record, outcome), kind: kind, ownerAccount: record.call.accountID, related: intent)
        do {
            // An intent begins a change, which a nearly full disk refuses; all else finishes one, or changes nothing.
            return try await journal.append(entry, usesReserve: kind != .intent)
        } catch {
            throw .unrecordable(error)
        }
    }

    private func appendUnproven(_ record: CallRecord, _ outcome: CallOutcome) async {
        do throws(AWSError) {
            _ = try await append(.event, record, outcome, closing: 0)
        } catch {
            logger.error("an unproven call could not be recorded", metadata: ["cause": "\(error.cause ?? "")"])
        }
    }

    private func appendSummary(_ summary: UnprovenCalls.Summary) async {
        var record = summary.record
        record.call.time = summary.last
        record.call.eventID = identifier()
        var outcome = summary.outcome
        outcome.additionalEventData.append(
            "summarizedCalls",
            .structure([
                "count": .integer(Int64(summary.count)), "firstEventTime": .string(summary.first.iso8601),
                "lastEventTime": .string(summary.last.iso8601),
                "sourceIPAddresses": .list(summary.addresses.map { .string($0) }),
            ]))
        await appendUnproven(record, outcome)
    }
}

extension AWSError {
    /// The journal refused: full, or failed. The caller learns that nothing was changed, the operator why.
    package static func unrecordable(_ error: JournalError) -> AWSError {
        .serviceUnavailable(
            "This call cannot be recorded now, so it is not carried out. Try again later.", cause: "journal: \(error)")
    }
}

// MARK: - The event of a call

extension Recorder {
    private static func draft(_ record: CallRecord, _ outcome: CallOutcome) -> EventDraft {
        let call = record.call
        return EventDraft(
            identity: identity(record), eventSeconds: call.time.seconds, eventSource: record.eventSource,
            eventName: record.eventName, awsRegion: call.region, sourceIPAddress: call.sourceAddress,
            userAgent: userAgent(record), errorCode: outcome.error.map { $0.recordedCode ?? $0.code },
            errorMessage: outcome.error?.message ?? outcome.errorMessage,
            requestParameters: json(record.requestParameters),
            responseElements: json(outcome.responseElements),
            additionalEventData: outcome.additionalEventData.isEmpty
                ? nil : json(.structure(outcome.additionalEventData)),
            requestID: record.hasRequestID ? call.requestID : nil, eventID: call.eventID,
            readOnly: record.isReadOnly,
            resources: record.resources.map {
                EventResource(accountID: $0.accountID, type: $0.type, arn: $0.arn, isPrefix: $0.isPrefix)
            },
            eventType: record.serviceEventDetails == nil ? record.eventType ?? "AwsApiCall" : "AwsServiceEvent",
            apiVersion: record.apiVersion, isManagementEvent: record.category == .management,
            recipientAccountID: call.accountID, serviceEventDetails: record.serviceEventDetails.flatMap(json),
            category: record.category == .management ? .management : .data,
            isSessionCredentialFromConsole: call.caller.session?.console != nil,
            tls: call.caller.session?.console == nil ? record.host.map { EventTLS(clientProvidedHostHeader: $0) } : nil)
    }

    /// The services whose resources' owners get the events of refused calls too (CloudTrail User Guide, "Redacting bucket
    /// owner account IDs for data events called by other accounts": the owner still receives the full event). A refused
    /// AssumeRole is the caller's own affair.
    private static let tellsOwnersOfRefusals: Set<String> = ["s3.amazonaws.com", "kms.amazonaws.com"]

    /// The accounts, other than the caller's, whose resources a call touched: each gets an event of its own.
    private static func otherAccounts(_ record: CallRecord) -> [String] {
        guard record.call.caller.accountID != nil else { return [] }
        var others: [String] = []
        for resource in record.resources {
            if let account = resource.accountID, account != record.call.accountID, !others.contains(account),
                EventEnvelope.isAccount(account)
            {
                others.append(account)
            }
        }
        return others
    }

    private static func json(_ value: WireValue) -> [UInt8]? { value.isNull ? nil : value.json }

    /// S3 shows the user agent in square brackets.
    private static func userAgent(_ record: CallRecord) -> String {
        let agent = record.call.userAgent ?? "-"
        return record.eventSource == "s3.amazonaws.com" ? "[\(agent)]" : agent
    }

    private static func identity(_ record: CallRecord) -> EventIdentity {
        let caller = record.call.caller
        switch caller.kind {
        case .root:
            return EventIdentity(
                type: "Root", principalID: caller.principalID, arn: caller.arn, accountID: caller.accountID,
                accessKeyID: caller.accessKeyID, session: caller.session.map { session($0, issuer: nil) },
                invokedBy: record.invokedBy)
        case .user:
            return EventIdentity(
                type: "IAMUser", principalID: caller.principalID, arn: caller.arn, accountID: caller.accountID,
                accessKeyID: caller.accessKeyID, userName: caller.userName,
                session: caller.session.map { session($0, issuer: nil) }, invokedBy: record.invokedBy)
        case .assumedRole:
            return EventIdentity(
                type: "AssumedRole", principalID: caller.principalID, arn: caller.arn, accountID: caller.accountID,
                accessKeyID: caller.accessKeyID,
                session: caller.session.map { session($0, issuer: issuer("Role", $0, caller)) },
                invokedBy: record.invokedBy)
        case .federatedUser:
            return EventIdentity(
                type: "FederatedUser", principalID: caller.principalID, arn: caller.arn, accountID: caller.accountID,
                accessKeyID: caller.accessKeyID,
                session: caller.session.map {
                    session($0, issuer: issuer($0.issuerName == nil ? "Root" : "IAMUser", $0, caller))
                })
        case .webIdentity(let provider):
            return EventIdentity(
                type: "WebIdentityUser", principalID: caller.principalID, userName: caller.userName,
                identityProvider: provider)
        case .service(let principal):
            let account = record.serviceEventDetails == nil ? nil : record.call.accountID
            return EventIdentity(type: "AWSService", accountID: account, invokedBy: principal)
        case .unknown where record.isAnonymous:
            // As S3 records whoever did not sign.
            return EventIdentity(type: "AWSAccount", principalID: "", accountID: "anonymous")
        case .unknown:
            return EventIdentity(
                type: "Unknown", accountID: record.call.accountID,
                accessKeyID: record.presentedAccessKeyID.map(shownAccessKey))
        }
    }

    private static func issuer(_ type: String, _ session: CallerSession, _ caller: Caller) -> EventIdentity.Issuer {
        EventIdentity.Issuer(
            type: type, principalID: session.issuerID, arn: session.issuerARN, accountID: caller.accountID ?? "",
            userName: session.issuerName)
    }

    private static func session(
        _ session: CallerSession, issuer: EventIdentity.Issuer?
    ) -> EventIdentity.Session {
        let federation = session.webIdentity.map { web in
            WireValue.structure([
                "federatedProvider": .string(web.provider),
                "attributes": .structure(
                    WireStructure(web.claims.map { WireStructure.Member($0.key, .string($0.value)) })),
            ]).json
        }
        return EventIdentity.Session(
            issuer: issuer, webIDFederation: federation, creationSeconds: session.issued.seconds,
            isMFAAuthenticated: session.mfaTime != nil, sourceIdentity: session.sourceIdentity)
    }

    /// An access key id that nobody has may be a secret that was pasted in the wrong place: only what has the form of an id
    /// is shown.
    private static func shownAccessKey(_ text: String) -> String {
        let isID =
            (16...32).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) }
        return isID ? text : RecordedShape.hidden
    }
}
