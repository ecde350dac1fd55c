// SPDX-License-Identifier: Apache-2.0

import AWSWire
import ArgumentParser
import EventHistory
import EventRecord
import Foundation
import Server

/// `cairn explain`: why a call was allowed or refused.
struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say why a call was allowed or refused.",
        discussion: """
            Takes the id of an event, or the request id that a client was given. Shows each decision that was made for the \
            call: the policy and the statement that decided or the kind of policy whose Allow was missing, the policies that \
            were in force, and the condition keys as they were known. Reads the data folder; the server may run meanwhile.
            """)

    @Argument(help: "The id of an event, or of a request.")
    var id: String

    @Flag(help: "Print the notes as JSON, one object a line.")
    var json = false

    @Option(help: "Folder of the server. (default: $XDG_DATA_HOME/cairn or ~/.local/share/cairn)")
    var data: String?

    @Option(help: "YAML file to read (also CAIRN_CONFIG).")
    var config: String?

    /// A running server writes its notes within a second.
    private static let patience: [Duration] = [.milliseconds(400), .milliseconds(800), .milliseconds(1200)]

    func run() async throws {
        try await Problem.reported {
            var flags: [String: String] = [:]
            flags["data"] = data
            flags["config"] = config
            let configuration = try await ServerConfiguration.load(
                flags: flags, environment: ProcessInfo.processInfo.environment)
            let folder = configuration.dataFolder
            guard FileManager.default.fileExists(atPath: folder + "/lock") else {
                throw ValidationError("no server has run in the data folder `\(folder)`; name it with --data")
            }
            let notes = try await notes(in: folder)
            if notes.isEmpty {
                try await explainWithout(configuration)
                return
            }
            for (index, note) in notes.enumerated() {
                if json {
                    print(String(decoding: WireValue.structure(note).json, as: UTF8.self))
                } else {
                    if index > 0 { print("") }
                    print(Self.text(note))
                }
            }
        }
    }

    private func notes(in folder: String) async throws -> [WireStructure] {
        let directory = DataFolder.decisions(in: folder)
        var notes = DecisionLog.notes(of: id, in: directory)
        for pause in Self.patience where notes.isEmpty && DataFolder.isInUse(folder) {
            try await Task.sleep(for: pause)
            notes = DecisionLog.notes(of: id, in: directory)
        }
        return notes
    }

    /// No decision is kept: what the event itself says.
    private func explainWithout(_ configuration: ServerConfiguration) async throws {
        var options = try EventOptions.parse(["--data", configuration.dataFolder])
        options.config = config
        let quoted = "\"\(id.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\""
        options.filter = "eventID = \(quoted) or requestID = \(quoted)"
        let question = try options.question()
        let found = try await options.withArchive { archive in
            var found: [Event] = []
            try await archive.search(question, order: .newestFirst, limit: 1) { found.append($0) }
            return found
        }
        guard let event = found.first, let record = try WireValue(json: Array(event.record)).asStructure else {
            throw ValidationError(
                "no decision and no event with the id `\(id)`; decisions of other accounts' events are found by the request id"
            )
        }
        // The other account's copy of an event has an id of its own, and the request's.
        if let request = record["requestID"]?.asString, request != id {
            let notes = DecisionLog.notes(of: request, in: DataFolder.decisions(in: configuration.dataFolder))
            for (index, note) in notes.enumerated() {
                if index > 0, !json { print("") }
                print(json ? String(decoding: WireValue.structure(note).json, as: UTF8.self) : Self.text(note))
            }
            if !notes.isEmpty { return }
        }
        let name = "\(record["eventSource"]?.asString ?? ""): \(record["eventName"]?.asString ?? "")"
        guard let code = record["errorCode"]?.asString else {
            print(
                "\(name)\nallowed     no policy was asked: the operation needs none, or the note is older than those kept"
            )
            return
        }
        print(
            """
            \(name)
            refused     no policy was asked: the call had failed before, or by itself
            error       \(code): \(record["errorMessage"]?.asString ?? "")
            """)
    }

    /// A note for a reader.
    static func text(_ note: WireStructure) -> String {
        func field(_ name: String) -> String { note[name]?.asString ?? "" }
        func line(_ name: String, _ text: String) -> String {
            name.padding(toLength: 12, withPad: " ", startingAt: 0) + text
        }
        func names(_ value: WireValue?) -> String {
            (value?.asList ?? []).map { $0.asString ?? "[" + names($0) + "]" }.joined(separator: ", ")
        }
        var lines = [
            line("time", field("time")), line("event", field("eventID")), line("request", field("requestID")),
            line("caller", field("caller")), line("action", field("action")),
            line(
                "resource",
                field("resource") + (field("resourceAccount").isEmpty ? "" : " (account \(field("resourceAccount")))")),
        ]
        let verdict =
            switch field("verdict") {
            case "allow": "allowed"
            case "explicitDeny": "refused, by a Deny"
            default: "refused, for want of an Allow"
            }
        lines.append(line("answer", verdict))
        lines.append(line("because", field("because")))
        let inForce = note["inForce"]?.asStructure ?? [:]
        for (index, member) in inForce.members.enumerated() {
            let shown = member.value.asString ?? names(member.value)
            lines.append(
                line(index == 0 ? "in force" : "", "\(member.name): \(shown.isEmpty ? "none" : shown)"))
        }
        for (index, member) in (note["context"]?.asStructure ?? [:]).members.sorted(by: { $0.name < $1.name })
            .enumerated()
        {
            lines.append(line(index == 0 ? "conditions" : "", "\(member.name) = \(names(member.value))"))
        }
        return lines.joined(separator: "\n")
    }
}
