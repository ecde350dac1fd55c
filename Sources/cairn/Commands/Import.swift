// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import AsyncHTTPClient
import AWSWire
import Foundation
import NIOCore
import NIOFoundationCompat
import Server

/// `cairn import PATH...`: reads CloudTrail log files into event history, as the first account's root, over the front door.
struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Read CloudTrail log files into event history.",
        discussion: """
            Takes files, plain or gzip, and folders of them. Each event is taken once, by its eventID, however often it is \
            imported. What is malformed is named with its file and reason and stops nothing else. The server must run.
            """)

    @Argument(help: "Files and folders.")
    var paths: [String]

    @Option(help: "Folder of the server. (default: $XDG_DATA_HOME/cairn or ~/.local/share/cairn)")
    var data: String?

    @Option(help: "YAML file to read (also CAIRN_CONFIG).")
    var config: String?

    func run() async throws {
        do {
            var flags: [String: String] = [:]
            flags["data"] = data
            flags["config"] = config
            let configuration = try await ServerConfiguration.load(
                flags: flags, environment: ProcessInfo.processInfo.environment)
            let access = try await ClientAccess.read(configuration)
            let files = try LogFolder.files(paths)
            guard !files.isEmpty else { throw ValidationError("no log files under \(paths.joined(separator: ", "))") }
            let summary = try await OwnInterface.connect(access) { server in
                try await LogFileImport(server: server).run(files)
            }
            print(summary.text)
            if summary.isIncomplete { throw ExitCode.failure }
        } catch let code as ExitCode {
            throw code
        } catch {
            Problem.report(error)
            throw ExitCode.failure
        }
    }
}

/// The log files among what a user names.
enum LogFolder {
    struct File {
        var path: String
        var bytes: Int
    }

    /// A file that is named is taken whatever it is called; in folders, `.json`, `.gz` and `.jsonl` files.
    static func files(_ paths: [String]) throws -> [File] {
        var found: [File] = []
        for path in paths {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
                throw ValidationError("there is no file or folder `\(path)`")
            }
            guard isFolder.boolValue else {
                found.append(File(path: path, bytes: size(path)))
                continue
            }
            let inside = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
            for name in inside.sorted() where [".json", ".gz", ".jsonl"].contains(where: name.hasSuffix) {
                let file = path + (path.hasSuffix("/") ? "" : "/") + name
                var isInnerFolder: ObjCBool = false
                if FileManager.default.fileExists(atPath: file, isDirectory: &isInnerFolder), !isInnerFolder.boolValue {
                    found.append(File(path: file, bytes: size(file)))
                }
            }
        }
        return found
    }

    private static func size(_ path: String) -> Int {
        (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
    }
}

/// Sends log files to `POST /events`, one after another, with progress on a terminal.
struct LogFileImport {
    let server: OwnInterface

    struct Summary {
        var files = 0
        var filesFailed = 0
        var imported = 0
        var duplicates = 0
        var malformed = 0
        var bytes = 0
        var seconds = 0.0

        var isIncomplete: Bool { filesFailed > 0 }

        var text: String {
            let events = imported + duplicates + malformed
            let speed = seconds > 0 ? Double(events) / seconds : 0
            let megabytes = Double(bytes) / 1_000_000
            return """
                \(files) files, \(events) records: \(imported) imported, \(duplicates) already there, \
                \(malformed) malformed, \(filesFailed) files failed
                \(String(format: "%.1f MB in %.2f s, %.0f records a second", megabytes, seconds, speed))
                """
        }
    }

    func run(_ files: [LogFolder.File]) async throws -> Summary {
        var summary = Summary()
        let started = ContinuousClock.now
        let bytesTotal = files.reduce(0) { $0 + $1.bytes }
        let isTerminal = isatty(STDERR_FILENO) == 1
        for file in files {
            summary.files += 1
            do {
                guard let bytes = FileManager.default.contents(atPath: file.path) else {
                    throw ValidationError("it cannot be read")
                }
                let answer = try await send(bytes, name: file.path)
                summary.imported += count(answer, "imported")
                summary.duplicates += count(answer, "duplicates")
                summary.malformed += count(answer, "malformed")
                for problem in answer["problems"]?.asList ?? [] {
                    guard let members = problem.asStructure else { continue }
                    let reason = members["reason"]?.asString ?? "malformed"
                    tell("\(file.path): at byte \(count(members, "offset")): \(reason)", isTerminal)
                }
            } catch let error as OwnInterface.Unreachable {
                throw error
            } catch {
                summary.filesFailed += 1
                tell("\(file.path): \(error)", isTerminal)
            }
            summary.bytes += file.bytes
            if isTerminal { progress(summary, files.count, bytesTotal) }
        }
        if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
        let elapsed = started.duration(to: .now)
        summary.seconds =
            Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        return summary
    }

    private func count(_ members: WireStructure, _ name: String) -> Int {
        if case .integer(let number) = members[name] { Int(number) } else { 0 }
    }

    private func tell(_ text: String, _ isTerminal: Bool) {
        FileHandle.standardError.write(Data(((isTerminal ? "\r\u{1B}[K" : "") + text + "\n").utf8))
    }

    private func progress(_ summary: Summary, _ filesTotal: Int, _ bytesTotal: Int) {
        let share = bytesTotal > 0 ? Double(summary.bytes) / Double(bytesTotal) : 1
        let width = 30
        let filled = Int(share * Double(width))
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
        let text = "\r[\(bar)] \(Int(share * 100)) % \(summary.files)/\(filesTotal) files, \(summary.imported) imported"
        FileHandle.standardError.write(Data(text.utf8))
    }

    /// A server that has too much to do is asked again when it says so; what it took of a file stays taken.
    private static let tries = 20

    private func send(_ bytes: Data, name: String) async throws -> WireStructure {
        let response = try await server.post(
            "/events?file=" + PercentCoding.encode(name), body: Array(bytes), tries: Self.tries)
        let text = try await response.body.collect(upTo: 1 << 20)
        guard let answer = try WireValue(json: Array(text.readableBytesView)).asStructure else {
            throw ValidationError("the server's answer is no JSON object")
        }
        return answer
    }
}
