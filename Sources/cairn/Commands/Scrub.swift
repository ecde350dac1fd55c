// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Server

/// `cairn scrub`: reads every stored object and says what is damaged.
struct Scrub: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Verify every stored object against its checksums.",
        discussion: """
            Reads all versions of all objects, and the parts of uploads under way; changes nothing. The server may run \
            meanwhile. Each finding is one line; the exit status is 1 when there is any.
            """)

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
            let damaged = try await StoredObjects.scrub(configuration) { print($0) }
            if damaged > 0 { throw ExitCode.failure }
        } catch let code as ExitCode {
            throw code
        } catch {
            Problem.report(error)
            throw ExitCode.failure
        }
    }
}
