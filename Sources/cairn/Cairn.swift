// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// The command tree.
@main
struct Cairn: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cairn", abstract: "A CloudTrail you run yourself.",
        discussion: """
            Start a server with `cairn serve`, then point any AWS client at it:

              eval "$(cairn env)"
              aws sts get-caller-identity
            """,
        version: "0.1.0",
        subcommands: [
            Serve.self, Env.self, Import.self, Lookup.self, Tail.self, Query.self, Explain.self, Scrub.self,
            RootKey.self,
        ])
}
