// SPDX-License-Identifier: Apache-2.0

import AWSWire
import ArgumentParser
import Foundation
import Server

/// `cairn serve`: runs the server until SIGTERM or SIGINT.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the server.",
        discussion: """
            Every option can also stand in the environment (CAIRN_DATA, CAIRN_LISTEN, CAIRN_DELIVERY_INTERVAL, ...) or in a \
            YAML file (data: ..., listen: ..., delivery-interval: ...). The command line wins over the environment, the \
            environment over the file.
            """)

    @Option(help: "YAML file to read (also CAIRN_CONFIG).")
    var config: String?

    @Option(help: "Folder that holds everything. (default: $XDG_DATA_HOME/cairn or ~/.local/share/cairn)")
    var data: String?

    @Option(help: "HOST:PORT to listen on; port 0 takes a free one. (default: 127.0.0.1:4747)")
    var listen: String?

    @Option(help: "How often log files are delivered, such as 30s or 5m. (default: 5m)")
    var deliveryInterval: String?

    @Option(help: "How often digest files are written. (default: 1h)")
    var digestInterval: String?

    @Option(help: "Region of requests that name none, and home of the first bucket. (default: us-east-1)")
    var region: String?

    @Option(help: "trace, debug, info, notice, warning, error or critical. (default: info)")
    var logLevel: String?

    @Option(help: "Addresses of proxies whose X-Forwarded-For is believed, separated by commas.")
    var trustedProxies: String?

    @Option(help: "Host names under which buckets are addressed as BUCKET.HOST, separated by commas.")
    var s3Hosts: String?

    @Option(help: "PEM file of certificate authorities believed besides the system's, for identity providers.")
    var trustedCa: String?

    @Option(help: "Events that may wait for indexing and delivery before POST /events answers 429. (default: 2000000)")
    var intakeBacklog: String?

    @Option(help: "Disk space for bodies of POST /events under way, such as 500m or 4g. (default: 4g)")
    var intakeSpool: String?

    @Option(help: "Bodies of POST /events taken in at the same time. (default: 16)")
    var intakeBodies: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "For rehearsals: a time to add to the clock, such as 90d or -12h. Events then tell this time.",
            visibility: .hidden))
    var clockOffset: String?
    @Option(help: "Days that events stay in event history, such as 90,Data=30,111122223333/Data=7. (default: for ever)")
    var historyRetention: String?

    func run() async throws {
        let flags: [String: String?] = [
            "config": config, "data": data, "listen": listen, "delivery-interval": deliveryInterval,
            "digest-interval": digestInterval, "region": region, "log-level": logLevel,
            "trusted-proxies": trustedProxies, "s3-hosts": s3Hosts,
            "trusted-ca": trustedCa, "intake-backlog": intakeBacklog, "intake-spool": intakeSpool,
            "intake-bodies": intakeBodies, "clock-offset": clockOffset, "history-retention": historyRetention,
        ]
        do {
            let configuration = try await ServerConfiguration.load(
                flags: flags.compactMapValues { $0 }, environment: ProcessInfo.processInfo.environment)
            try await CairnServer.run(configuration) { line in
                FileHandle.standardOutput.write(Data((line + "\n").utf8))
            }
        } catch {
            Problem.report(error)
            throw ExitCode.failure
        }
    }
}

/// How the commands tell that they cannot go on.
enum Problem {
    static func report(_ error: any Error) {
        let text = (error as? AWSError)?.cause ?? "\(error)"
        FileHandle.standardError.write(Data("cairn: \(text)\n".utf8))
    }
}
