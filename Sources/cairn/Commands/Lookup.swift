// SPDX-License-Identifier: Apache-2.0

import AWSWire
import ArgumentParser
import EventHistory
import EventRecord
import Foundation
import Server

/// `cairn lookup`: finds events.
struct Lookup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Find events, newest first.",
        discussion: """
            By attributes as LookupEvents has them, by a filter, or both:

              cairn lookup EventName=DeleteTrail
              cairn lookup --filter 'errorCode exists and sourceIPAddress in 203.0.113.0/24' --start now-7d
              cairn lookup --files ./AWSLogs --filter 'requestParameters.bucketName = my-bucket'

            Asks the running server; where none runs, the data folder itself; with --files, plain log files.
            """)

    @Argument(help: "Attributes, such as EventName=ConsoleLogin; all must hold.")
    var attributes: [String] = []

    @OptionGroup var events: EventOptions

    @Option(help: "Most events to show.")
    var limit = 50

    @Flag(help: "Show the oldest first.")
    var oldest = false

    func validate() throws {
        guard (1...1_000_000).contains(limit) else { throw ValidationError("--limit must be from 1 to 1000000") }
    }

    func run() async throws {
        try await Problem.reported {
            let question = try events.question(attributes)
            var printer = EventPrinter(isJSON: events.json)
            let (limit, order) = (limit, oldest ? HistoryQuery.Order.oldestFirst : .newestFirst)
            let found = try await events.withArchive { archive in
                var found: [Event] = []
                try await archive.search(question, order: order, limit: limit) { found.append($0) }
                return found
            }
            for event in found { printer.show(event) }
        }
    }
}

/// `cairn tail`: the last events, and those to come.
struct Tail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the last events; with -f, each new one as it is recorded.")

    @OptionGroup var events: EventOptions

    @Flag(name: .shortAndLong, help: "Go on with each new event.")
    var follow = false

    @Option(name: [.customShort("n"), .long], help: "How many to begin with.")
    var lines = 10

    @Option(help: "With -f, begin with what was recorded since then, such as now-10m, whatever the events' own times.")
    var since: String?

    func validate() throws {
        guard since == nil || follow else { throw ValidationError("--since needs -f; events' own times go by --start") }
        guard (0...1000).contains(lines) else { throw ValidationError("--lines must be from 0 to 1000") }
    }

    func run() async throws {
        try await Problem.reported {
            let question = try events.question()
            let since = try events.since(since)
            let (lines, follow, isJSON) = (lines, follow, events.json)
            try await events.withArchive { archive in
                var printer = EventPrinter(isJSON: isJSON)
                try await archive.tail(question, last: lines, since: since, follows: follow) { printer.show($0) }
            }
        }
    }
}

/// `cairn query`: counts events by anything.
struct Query: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Count events by fields and by time.",
        discussion: """
              cairn query --by eventName
              cairn query --by userIdentity.arn --filter 'errorCode exists' --top 10
              cairn query --every 1h --start now-2d
              cairn query --files ./AWSLogs --by eventSource,eventName
            """)

    @OptionGroup var events: EventOptions

    @Option(help: "Paths of fields to count by, separated by commas.")
    var by: String?

    @Option(help: "Count by time too, in steps such as 5m, 1h or 1d.")
    var every: String?

    @Option(help: "Most groups to show.")
    var top = 100

    func validate() throws {
        guard (1...10_000).contains(top) else { throw ValidationError("--top must be from 1 to 10000") }
    }

    func run() async throws {
        try await Problem.reported {
            let question = try events.question()
            let grouping = try grouping()
            let top = top
            let counts = try await events.withArchive { try await $0.count(question, grouping, top: top) }
            guard events.json else {
                print(EventTable.counts(counts, grouping))
                return
            }
            for row in counts.rows {
                var members = WireStructure()
                if let start = row.startSeconds { members.append("time", .string(EventTime.text(start))) }
                for (path, value) in zip(grouping.paths, row.values) { members.append(path.text, WireValue(value)) }
                members.append("count", .integer(Int64(clamping: row.count)))
                print(String(decoding: WireValue.structure(members).json, as: UTF8.self))
            }
        }
    }

    private func grouping() throws -> EventTally.Grouping {
        var paths: [EventPath] = []
        for text in by?.split(separator: ",") ?? [] {
            do throws(FilterError) {
                paths.append(try FilterLanguage.path(text.trimmingCharacters(in: .whitespaces)))
            } catch {
                throw ValidationError("--by: \(error.reason)")
            }
        }
        guard paths.count <= 16 else { throw ValidationError("--by takes at most 16 paths") }
        var interval: Int64?
        if let every {
            guard let step = Duration(interval: every), step >= .seconds(1) else {
                throw ValidationError("--every must be a time such as 5m, 1h or 1d")
            }
            interval = step.components.seconds
        }
        return EventTally.Grouping(paths: paths, intervalSeconds: interval)
    }
}

/// Prints events as they come.
struct EventPrinter {
    let isJSON: Bool
    private var isFirst = true

    init(isJSON: Bool) { self.isJSON = isJSON }

    mutating func show(_ event: Event) {
        var text: [UInt8] = []
        if isJSON {
            // A record may have line breaks between its parts.
            text = event.record.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 }
        } else {
            if isFirst { text += Array((EventTable.header + "\n").utf8) }
            text += Array(EventTable.line(event).utf8)
        }
        isFirst = false
        text.append(0x0A)
        FileHandle.standardOutput.write(Data(text))
    }
}

extension Problem {
    /// Runs a command; what goes wrong is told in one line, and the status is 1.
    static func reported(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let code as ExitCode {
            throw code
        } catch {
            report(error)
            throw ExitCode.failure
        }
    }
}
