// SPDX-License-Identifier: Apache-2.0

import AWSWire
import ArgumentParser
import AsyncHTTPClient
import EventHistory
import EventRecord
import Foundation
import LogFiles
import NIOCore
import NIOHTTP1
import Server
import Synchronization

/// Which events a command is about, and where they are.
struct EventOptions: ParsableArguments {
    @Option(help: "Filter, such as: errorCode exists and user = anna (docs/filter-language.md).")
    var filter = ""

    @Option(help: "First time: 2026-01-31, 2026-01-31T23:59:59Z, now-24h.")
    var start: String?

    @Option(help: "Last time, inclusive.")
    var end: String?

    @Option(parsing: .upToNextOption, help: "Ask log files, and folders of them, instead of a data folder.")
    var files: [String] = []

    @Flag(help: "Print JSON, one object a line.")
    var json = false

    @Option(help: "Folder of the server. (default: $XDG_DATA_HOME/cairn or ~/.local/share/cairn)")
    var data: String?

    @Option(help: "YAML file to read (also CAIRN_CONFIG).")
    var config: String?

    func question(_ attributes: [String] = []) throws -> EventQuestion {
        let now = SystemTime.now().seconds
        var filters: [String] = []
        for attribute in attributes {
            guard let sign = attribute.firstIndex(of: "=") else {
                throw ValidationError("an attribute is NAME=VALUE, such as EventName=ConsoleLogin, not `\(attribute)`")
            }
            let name = String(attribute[..<sign])
            guard let key = LookupAttribute.Key(rawValue: name) else {
                let names = LookupAttribute.Key.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("`\(name)` is no attribute; there are \(names)")
            }
            let value = attribute[attribute.index(after: sign)...]
            filters.append(
                "\(key.filterName) = \"\(value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\"")
        }
        if !filter.allSatisfy(\.isWhitespace) { filters.append(filters.isEmpty ? filter : "(\(filter))") }
        let text = filters.joined(separator: " and ")
        do {
            let compiled = try FilterLanguage.parse(text, now: now)
            return EventQuestion(
                filterText: text, filter: compiled, start: try time(start, "start", now)?.lowerBound,
                end: try time(end, "end", now)?.upperBound)
        } catch let error as FilterError {
            throw ValidationError("\(error)")
        }
    }

    /// A time in seconds by which `--since` is given.
    func since(_ text: String?) throws -> Int64? {
        try time(text, "since", SystemTime.now().seconds)?.lowerBound
    }

    private func time(_ text: String?, _ flag: String, _ now: Int64) throws -> ClosedRange<Int64>? {
        guard let text else { return nil }
        guard let range = FilterTime.range(text, now: now) else {
            throw ValidationError("--\(flag) must be a time such as 2026-01-31, 2026-01-31T23:59:59Z or now-24h")
        }
        return range
    }

    /// Opens what the options name, gives it to the body, and closes it.
    func withArchive<Result: Sendable>(
        _ body: @Sendable (EventArchive) async throws -> Result
    ) async throws -> Result {
        if !files.isEmpty {
            let found = try LogFolder.files(files)
            guard !found.isEmpty else { throw ValidationError("no log files under \(files.joined(separator: ", "))") }
            return try await body(.files(found))
        }
        var flags: [String: String] = [:]
        flags["data"] = data
        flags["config"] = config
        let configuration = try await ServerConfiguration.load(
            flags: flags, environment: ProcessInfo.processInfo.environment)
        let access = try await ClientAccess.read(configuration)
        if DataFolder.isInUse(configuration.dataFolder) {
            return try await OwnInterface.connect(access) { try await body(.server($0)) }
        }
        let local = try LocalHistory.open(configuration)
        do {
            let result = try await body(.folder(local.history, account: access.accountID))
            await local.close()
            return result
        } catch {
            await local.close()
            throw error
        }
    }
}

extension LookupAttribute.Key {
    /// As the filter language calls it.
    fileprivate var filterName: String {
        switch self {
        case .eventID: "eventID"
        case .eventName: "eventName"
        case .readOnly: "readOnly"
        case .username: "user"
        case .resourceType: "resourceType"
        case .resourceName: "resource"
        case .eventSource: "eventSource"
        case .accessKeyID: "userIdentity.accessKeyId"
        }
    }
}

/// What is asked, both as the server is told and compiled.
struct EventQuestion: Sendable {
    var filterText: String
    var filter: EventFilter
    var start: Int64?
    var end: Int64?

    var members: WireStructure {
        var members: WireStructure = ["filter": .string(filterText)]
        if let start { members.append("start", .integer(start)) }
        if let end { members.append("end", .integer(end)) }
        return members
    }

    func query(account: String, order: HistoryQuery.Order, limit: Int, token: String? = nil) -> HistoryQuery {
        HistoryQuery(
            ownerAccount: account, filter: filter, startSeconds: start, endSeconds: end, order: order, limit: limit,
            token: token)
    }

    func takes(_ event: Event) -> Bool {
        if start != nil || end != nil {
            guard let seconds = event.eventSeconds, seconds >= start ?? .min, seconds <= end ?? .max else {
                return false
            }
        }
        return filter.matches(event)
    }
}

/// What was counted.
struct EventCounts: Sendable {
    var total: UInt64
    var groups: Int
    var beyondGroups: UInt64
    var rows: [EventTally.Row]
}

/// Where a command finds events: a running server, a stopped server's data folder, or plain log files.
enum EventArchive: Sendable {
    case server(OwnInterface)
    case folder(History, account: String)
    case files([LogFolder.File])

    private static let pageMax = 1000

    /// Gives events in order to the body.
    func search(
        _ question: EventQuestion, order: HistoryQuery.Order, limit: Int, _ body: (Event) throws -> Void
    ) async throws {
        var left = limit
        var token: String?
        switch self {
        case .server(let server):
            repeat {
                var members = question.members
                members.append("order", .string(order == .newestFirst ? "newest" : "oldest"))
                members.append("limit", .integer(Int64(min(left, Self.pageMax))))
                if let token { members.append("token", .string(token)) }
                let answer = try await server.post("/events/search", body: WireValue.structure(members).json)
                var lines = LineReader()
                for try await piece in answer.body {
                    try lines.read(piece) { line in
                        left -= 1
                        try body(try Event(line))
                    }
                }
                token = answer.headers.first(name: "x-cairn-next-token")
            } while token != nil && left > 0
        case .folder(let history, let account):
            repeat {
                let page = try await history.search(
                    question.query(account: account, order: order, limit: min(left, Self.pageMax), token: token))
                left -= page.events.count
                for found in page.events { try body(found.event) }
                token = page.nextToken
            } while token != nil && left > 0
        case .files(let files):
            for event in try await FileScan(files: files, question: question).first(limit, order) { try body(event) }
        }
    }

    func count(_ question: EventQuestion, _ grouping: EventTally.Grouping, top: Int) async throws -> EventCounts {
        let tally: EventTally
        switch self {
        case .server(let server):
            var members = question.members
            members.append("by", .list(grouping.paths.map { .string($0.text) }))
            if let every = grouping.intervalSeconds { members.append("every", .integer(every)) }
            members.append("top", .integer(Int64(top)))
            let answer = try await server.post("/events/count", body: WireValue.structure(members).json)
            let bytes = try await answer.body.collect(upTo: 256 << 20)
            return try EventCounts(answer: Array(bytes.readableBytesView))
        case .folder(let history, let account):
            let meter = ProgressMeter()
            tally = try await history.tally(
                question.query(account: account, order: .newestFirst, limit: 1), grouping
            ) { meter.show(done: $0.eventsDone, total: $0.eventsTotal, unit: "events") }
            meter.clear()
        case .files(let files): tally = try await FileScan(files: files, question: question).tally(grouping)
        }
        return EventCounts(
            total: tally.total, groups: tally.groupCount, beyondGroups: tally.beyondGroups,
            rows: Array(tally.rows.prefix(top)))
    }

    /// Gives the last events, or those recorded since a time, then, when asked to follow, each new one until cancelled or the
    /// server stops.
    func tail(
        _ question: EventQuestion, last: Int, since: Int64?, follows: Bool, _ body: (Event) throws -> Void
    ) async throws {
        if case .server(let server) = self, follows {
            var members = question.members
            members.append("last", .integer(Int64(last)))
            if let since { members.append("since", .integer(since)) }
            let answer = try await server.post(
                "/events/tail", body: WireValue.structure(members).json, timeout: .hours(24 * 365))
            var lines = LineReader()
            for try await piece in answer.body { try lines.read(piece) { try body(try Event($0)) } }
            return
        }
        guard !follows else {
            throw ValidationError("only a running server can be followed; start it with `cairn serve`")
        }
        guard last > 0 else { return }
        var events: [Event] = []
        try await search(question, order: .newestFirst, limit: last) { events.append($0) }
        for event in events.reversed() { try body(event) }
    }
}

extension EventCounts {
    fileprivate init(answer: [UInt8]) throws {
        let problem = ValidationError("the server's answer is not understood; are server and command of one version?")
        func count(_ value: WireValue?) throws -> UInt64 {
            guard case .integer(let number)? = value, number >= 0 else { throw problem }
            return UInt64(number)
        }
        guard let members = try WireValue(json: answer).asStructure, let list = members["rows"]?.asList else {
            throw problem
        }
        total = try count(members["total"])
        groups = Int(try count(members["groups"]))
        beyondGroups = try count(members["beyondGroups"])
        rows = try list.map { item in
            guard let row = item.asStructure, let values = row["values"]?.asList else { throw problem }
            var start: Int64?
            if case .integer(let seconds)? = row["start"] { start = seconds }
            return EventTally.Row(
                startSeconds: start, values: values.map(\.asString), count: try count(row["count"]))
        }
    }
}

/// Cuts a stream into lines; blank ones are passed over.
struct LineReader {
    private var rest: [UInt8] = []

    mutating func read(_ piece: ByteBuffer, _ line: ([UInt8]) throws -> Void) throws {
        var begin = rest.count
        rest.append(contentsOf: piece.readableBytesView)
        var start = 0
        while let end = rest[begin...].firstIndex(of: 0x0A) {
            if end > start { try line(Array(rest[start..<end])) }
            start = end + 1
            begin = start
        }
        rest.removeFirst(start)
    }
}

/// Progress on standard error, where that is a terminal; at most ten times a second.
final class ProgressMeter: Sendable {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let lastShown = Mutex<ContinuousClock.Instant?>(nil)

    func show(done: UInt64, total: UInt64, unit: String) {
        guard isTerminal, total > 0 else { return }
        let isDue = lastShown.withLock { last in
            let now = ContinuousClock.now
            if let before = last, before.duration(to: now) < .milliseconds(100), done < total { return false }
            last = now
            return true
        }
        guard isDue else { return }
        let text = "\r\u{1B}[K\(done * 100 / total) % of \(total) \(unit)"
        FileHandle.standardError.write(Data(text.utf8))
    }

    func clear() {
        if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
    }
}
