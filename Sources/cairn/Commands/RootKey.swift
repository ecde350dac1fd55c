// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Server

/// `cairn root-key renew`: the last way in.
struct RootKey: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "root-key", abstract: "Give the first account's root a new access key.",
        discussion: """
            For when root has switched off or deleted its keys and no administrator is left, or a key of root has leaked. \
            Only while no server runs on the folder. All keys that root had are deleted; `cairn env` shows the new one.
            """)

    enum Action: String, ExpressibleByArgument {
        case renew
    }

    @Argument(help: "What to do: `renew` makes a new key of root and deletes all others it has.")
    var action: Action

    @Option(help: "Folder of the server. (default: $XDG_DATA_HOME/cairn or ~/.local/share/cairn)")
    var data: String?

    @Option(help: "YAML file to read (also CAIRN_CONFIG).")
    var config: String?

    func run() async throws {
        try await Problem.reported {
            var flags: [String: String] = [:]
            flags["data"] = data
            flags["config"] = config
            let configuration = try await ServerConfiguration.load(
                flags: flags, environment: ProcessInfo.processInfo.environment)
            let (account, keyID) = try await RootAccess.renewKey(configuration)
            print("root of account \(account) has the access key \(keyID) and no other; `cairn env` shows its secret")
        }
    }
}
