// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventRecord
import Foundation
import Logging
import Server
import Testing

struct ServerConfigurationTests {
    private func load(
        _ flags: [String: String] = [:], _ environment: [String: String] = [:]
    ) async throws -> ServerConfiguration {
        try await ServerConfiguration.load(flags: flags, environment: environment)
    }

    @Test func `defaults are those of the help page`() async throws {
        let configuration = try await load([:], ["HOME": "/home/x"])
        #expect(configuration.dataFolder == "/home/x/.local/share/cairn")
        #expect(configuration.listenHost == "127.0.0.1" && configuration.listenPort == 4747)
        #expect(configuration.deliveryInterval == .seconds(300) && configuration.digestInterval == .seconds(3600))
        #expect(configuration.region == "us-east-1" && configuration.logLevel == .info)
        #expect(try await load([:], ["XDG_DATA_HOME": "/x"]).dataFolder == "/x/cairn")
        #expect(configuration.intakeBacklog == 2_000_000 && configuration.intakeBodies == 16)
        #expect(configuration.intakeSpool == 4 << 30)
        #expect(try await load(["intake-spool": "500M"], ["HOME": "/h"]).intakeSpool == 500 << 20)
    }

    @Test func `retention is read as rules, and what is none is refused with its place`() async throws {
        #expect(try await load([:], ["HOME": "/h"]).historyRetention.rules.isEmpty)
        #expect(
            try await load(["history-retention": "90,Data=30"]).historyRetention.rules == [
                .init(days: 90), .init(category: .data, days: 30),
            ])
        let problem = await #expect(throws: ConfigurationProblem.self) {
            try await load(["history-retention": "Data=soon"])
        }
        #expect(problem?.description.contains("--history-retention") ?? false)
    }

    @Test func `the command line wins over the environment and the environment over the file`() async throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).yaml").path
        try "delivery-interval: 7s\ndigest-interval: 9m\nlisten: 127.0.0.1:1\nregion: eu-west-1\nlog-level: debug\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let configuration = try await load(
            ["config": path, "listen": "[::1]:3"],
            [
                "CAIRN_LISTEN": "127.0.0.1:2", "CAIRN_DELIVERY_INTERVAL": "8s",
                "CAIRN_TRUSTED_PROXIES": "10.0.0.1, 10.0.0.2",
            ])
        #expect(configuration.listenHost == "::1" && configuration.listenPort == 3)
        #expect(configuration.deliveryInterval == .seconds(8) && configuration.digestInterval == .seconds(540))
        #expect(configuration.region == "eu-west-1" && configuration.logLevel == .debug)
        #expect(configuration.trustedProxies == ["10.0.0.1", "10.0.0.2"])
        #expect(try await load([:], ["CAIRN_CONFIG": path, "HOME": "/h"]).listenPort == 1)
    }

    @Test func `a clock of rehearsal goes both ways, and none is the system's`() async throws {
        #expect(try await load([:], ["HOME": "/h"]).clockOffset == .zero)
        #expect(try await load(["clock-offset": "90d"], ["HOME": "/h"]).clockOffset == .seconds(90 * 86_400))
        #expect(try await load(["clock-offset": "-12h"], ["HOME": "/h"]).clockOffset == .seconds(-12 * 3600))
    }

    @Test(arguments: [
        ["listen": "nonsense"], ["listen": "h:99999"], ["delivery-interval": "0s"], ["delivery-interval": "5 weeks"],
        ["digest-interval": "-1m"], ["region": "Mars"], ["log-level": "loud"],
        ["intake-backlog": "0"], ["intake-bodies": "many"], ["intake-spool": "4x"], ["intake-spool": "1k"],
        ["config": "/nowhere/at/all.yaml"],
        ["clock-offset": "-"], ["clock-offset": "soon"], ["clock-offset": "200000d"],
    ])
    func `what cannot be used is refused by name`(_ flags: [String: String]) async {
        await #expect {
            _ = try await load(flags, ["HOME": "/h"])
        } throws: { error in
            guard let key = flags.keys.first else { return false }
            return "\(error)".contains(key == "config" ? "/nowhere/at/all.yaml" : "--\(key)")
        }
    }

    @Test(arguments: [
        ("us-east-1", true), ("us-gov-west-1", true), ("ap-southeast-2", true), ("us-east", false),
        ("US-EAST-1", false), ("us--1", false), ("", false), ("us-east-1234", false), ("us-north-2r", true),
        ("us-east-r2", false), ("a-b-c", false),
    ])
    func `region names have AWS's form`(_ name: String, _ isValid: Bool) {
        #expect(RegionName.isValid(name) == isValid)
    }
}
