// SPDX-License-Identifier: Apache-2.0

package import EventHistory
internal import Configuration
internal import Foundation
package import Logging
internal import SystemPackage

/// What `cairn serve` can be told.
///
/// A value comes from the command line, else from the environment (`CAIRN_` and the flag's name in capitals, `-` as `_`),
/// else from the YAML file (`--config` or `CAIRN_CONFIG`; the key is the flag's name), else from the defaults here.
package struct ServerConfiguration: Sendable {
    /// Where everything is kept. Default: `$XDG_DATA_HOME/cairn`, or `~/.local/share/cairn`.
    package var dataFolder: String
    package var listenHost: String
    /// 0 takes a free port.
    package var listenPort: Int
    package var deliveryInterval: Duration
    package var digestInterval: Duration
    package var region: String
    package var logLevel: Logger.Level
    /// Addresses of proxies whose `X-Forwarded-For` is believed.
    package var trustedProxies: Set<String>
    /// Host names under which a bucket may stand in front (`bucket.s3.example.com` for `s3.example.com`).
    package var s3Hosts: [String]
    /// A PEM file of certificate authorities that are believed, besides the system's, when identity providers are asked
    /// for their keys.
    package var trustedAuthorities: String?
    /// How long events stay in event history.
    package var historyRetention: HistoryRetention
    /// Events that may wait in the journal for event history and delivery before the intake answers 429.
    package var intakeBacklog: UInt64
    /// Bytes of bodies of `POST /events` that may lie aside on the disk at a time.
    package var intakeSpool: Int
    /// Bodies of `POST /events` that are taken in at the same time.
    package var intakeBodies: Int
    /// What is added to the system's time, for rehearsals of what happens in years; zero in all other cases.
    package var clockOffset: Duration = .zero
    /// S3 endpoints outside; from the YAML file alone.
    var s3Endpoints: [S3EndpointConfiguration] = []
    /// Moments of the crash tests; nil for every real server.
    package var crashPoints: CrashPoints?

    /// The flags, by name, in the order of the help page.
    package static let keys = [
        "data", "listen", "delivery-interval", "digest-interval", "region", "log-level", "trusted-proxies", "s3-hosts",
        "trusted-ca", "intake-backlog", "intake-spool", "intake-bodies", "clock-offset", "history-retention",
    ]

    /// Reads the configuration.
    ///
    /// - Parameters:
    ///   - flags: what the command line gave, by flag name without dashes.
    ///   - environment: the process's environment.
    /// - Throws: `ConfigurationProblem` that names the key, where it came from and what it may be.
    package static func load(
        flags: [String: String], environment: [String: String]
    ) async throws(ConfigurationProblem) -> ServerConfiguration {
        var file: FileProvider<YAMLSnapshot>?
        var s3Endpoints: [S3EndpointConfiguration] = []
        if let path = flags["config"] ?? environment["CAIRN_CONFIG"] {
            do {
                file = try await FileProvider<YAMLSnapshot>(filePath: FilePath(path))
            } catch {
                throw ConfigurationProblem("the configuration file `\(path)` cannot be read: \(error)")
            }
            let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
            s3Endpoints = try S3EndpointConfiguration.read(yaml: text, environment: environment)
        }
        let fromEnvironment = ConfigReader(provider: EnvironmentVariablesProvider(environmentVariables: environment))
        let fromFile = file.map { ConfigReader(provider: $0) }
        func value(_ key: String) -> (text: String, place: String)? {
            if let text = flags[key] { return (text, "--\(key)") }
            if let text = fromEnvironment.string(forKey: ConfigKey("cairn.\(key)")) {
                return (text, "CAIRN_" + key.uppercased().replacing("-", with: "_"))
            }
            if let text = fromFile?.scalar(key) { return (text, "`\(key)` in the configuration file") }
            return nil
        }
        let listen = try value("listen").map(listenAddress) ?? ("127.0.0.1", 4747)
        return ServerConfiguration(
            dataFolder: value("data")?.text ?? defaultDataFolder(environment), listenHost: listen.0,
            listenPort: listen.1, deliveryInterval: try value("delivery-interval").map(interval) ?? .seconds(300),
            digestInterval: try value("digest-interval").map(interval) ?? .seconds(3600),
            region: try value("region").map(region) ?? "us-east-1",
            logLevel: try value("log-level").map(level) ?? .info,
            trustedProxies: Set(value("trusted-proxies").map { list($0.text) } ?? []),
            s3Hosts: value("s3-hosts").map { list($0.text) } ?? [], trustedAuthorities: value("trusted-ca")?.text,
            historyRetention: try value("history-retention").map(retention) ?? HistoryRetention(),
            intakeBacklog: UInt64(
                try value("intake-backlog").map { (setting) throws(ConfigurationProblem) in
                    try count(setting, 1...1_000_000_000)
                } ?? 2_000_000),
            intakeSpool: try value("intake-spool").map(bytes) ?? 4 << 30,
            intakeBodies: try value("intake-bodies").map { (setting) throws(ConfigurationProblem) in
                try count(setting, 1...1000)
            } ?? 16,
            clockOffset: try value("clock-offset").map(offset) ?? .zero,
            s3Endpoints: s3Endpoints, crashPoints: try CrashPoints(environment: environment))
    }

    /// The default data folder (XDG Base Directory Specification).
    package static func defaultDataFolder(_ environment: [String: String]) -> String {
        if let home = environment["XDG_DATA_HOME"], home.hasPrefix("/") { return home + "/cairn" }
        return (environment["HOME"] ?? "/root") + "/.local/share/cairn"
    }

    private typealias Setting = (text: String, place: String)

    private static func listenAddress(_ setting: Setting) throws(ConfigurationProblem) -> (String, Int) {
        guard let colon = setting.text.lastIndex(of: ":"),
            let port = Int(setting.text[setting.text.index(after: colon)...]), (0...65535).contains(port)
        else {
            throw ConfigurationProblem("\(setting.place) must be HOST:PORT, not `\(setting.text)`")
        }
        var host = String(setting.text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        return (host.isEmpty ? "0.0.0.0" : host, port)
    }

    private static func interval(_ setting: Setting) throws(ConfigurationProblem) -> Duration {
        guard let duration = Duration(interval: setting.text), duration >= .seconds(1), duration <= .seconds(86400)
        else {
            throw ConfigurationProblem(
                "\(setting.place) must be a time from 1s to 24h, such as 30s, 5m or 1h, not `\(setting.text)`")
        }
        return duration
    }

    private static func count(_ setting: Setting, _ range: ClosedRange<Int>) throws(ConfigurationProblem) -> Int {
        guard let number = Int(setting.text), range.contains(number) else {
            throw ConfigurationProblem(
                "\(setting.place) must be a whole number from \(range.lowerBound) to \(range.upperBound), not "
                    + "`\(setting.text)`")
        }
        return number
    }

    /// `500m`, `4g`, or a number of bytes.
    private static func bytes(_ setting: Setting) throws(ConfigurationProblem) -> Int {
        let digits = setting.text.prefix { $0.isASCII && $0.isNumber }
        let units = ["": 0, "k": 10, "m": 20, "g": 30, "t": 40]
        guard let number = Int(digits), let shift = units[setting.text.dropFirst(digits.count).lowercased()],
            (1...(1 << 50) >> shift).contains(number), number << shift >= 1 << 20
        else {
            throw ConfigurationProblem(
                "\(setting.place) must be a size of at least 1m, such as 500m or 4g, not `\(setting.text)`")
        }
        return number << shift
    }

    private static func offset(_ setting: Setting) throws(ConfigurationProblem) -> Duration {
        let isPast = setting.text.hasPrefix("-")
        guard let duration = Duration(interval: isPast ? String(setting.text.dropFirst()) : setting.text),
            duration <= .seconds(36_500 * 86_400)
        else {
            throw ConfigurationProblem(
                "\(setting.place) must be a time such as 90d or -12h, at most a hundred years, not `\(setting.text)`")
        }
        return isPast ? .zero - duration : duration
    }

    private static func retention(_ setting: Setting) throws(ConfigurationProblem) -> HistoryRetention {
        do throws(HistoryRetentionError) {
            return try HistoryRetention(text: setting.text)
        } catch {
            throw ConfigurationProblem("\(setting.place): \(error)")
        }
    }

    private static func region(_ setting: Setting) throws(ConfigurationProblem) -> String {
        guard RegionName.isValid(setting.text) else {
            throw ConfigurationProblem("\(setting.place) must be a region such as eu-central-1, not `\(setting.text)`")
        }
        return setting.text
    }

    private static func level(_ setting: Setting) throws(ConfigurationProblem) -> Logger.Level {
        guard let level = Logger.Level(rawValue: setting.text.lowercased()) else {
            let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw ConfigurationProblem("\(setting.place) must be one of \(levels), not `\(setting.text)`")
        }
        return level
    }

    private static func list(_ text: String) -> [String] {
        text.split(whereSeparator: { $0 == "," || $0 == " " }).map(String.init)
    }
}

/// The configuration cannot be used; the text says which key and why.
package struct ConfigurationProblem: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// Region names as AWS forms them.
package enum RegionName {
    /// `us-east-1`, `us-gov-west-1`: lower-case words, then a part that begins with a digit; at most 32 characters.
    package static func isValid(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard text.utf8.count <= 32, parts.count >= 3, let last = parts.last, last.utf8.count <= 3,
            let first = last.utf8.first, (0x30...0x39).contains(first)
        else { return false }
        return parts.allSatisfy { part in
            !part.isEmpty && part.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) }
        }
    }
}

extension Duration {
    /// Reads `90s`, `5m`, `1h`, `500ms`; nil for anything else.
    package init?(interval text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int64(digits), count < 1_000_000_000 else { return nil }
        switch text.dropFirst(digits.count) {
        case "ms": self = .milliseconds(count)
        case "s", "": self = .seconds(count)
        case "m": self = .seconds(count * 60)
        case "h": self = .seconds(count * 3600)
        case "d": self = .seconds(count * 86400)
        default: return nil
        }
    }

    package var milliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}

extension ConfigReader {
    /// A scalar of the YAML file as text, whatever YAML took it for.
    fileprivate func scalar(_ key: String) -> String? {
        let key = ConfigKey([key])
        return string(forKey: key) ?? int(forKey: key).map(String.init) ?? double(forKey: key).map { "\($0)" }
            ?? stringArray(forKey: key)?.joined(separator: ",")
    }
}
