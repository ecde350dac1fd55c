// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Server

/// `cairn env`: the one place where the first account's secret is shown.
struct Env: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the shell exports that make any AWS client use this server.",
        discussion:
            "Use it as: eval \"$(cairn env)\". The output holds the root secret access key; keep it to yourself.")

    @Option(help: "Folder of the server. (default: $XDG_DATA_HOME/cairn or ~/.local/share/cairn)")
    var data: String?

    @Option(help: "YAML file to read (also CAIRN_CONFIG).")
    var config: String?

    @Option(help: "Region to export. (default: the server's)")
    var region: String?

    func run() async throws {
        do {
            var flags: [String: String] = [:]
            flags["data"] = data
            flags["config"] = config
            flags["region"] = region
            let configuration = try await ServerConfiguration.load(
                flags: flags, environment: ProcessInfo.processInfo.environment)
            let access = try await ClientAccess.read(configuration)
            for (name, value) in try access.exports() { print("export \(name)=\(value)") }
        } catch {
            Problem.report(error)
            throw ExitCode.failure
        }
    }
}
