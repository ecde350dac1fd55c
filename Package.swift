// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
//
// The rooms of the house, in arrow order: a target may import only what its row names.
// docs/architecture.md says what each room is for.

import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "_CryptoExtras", package: "swift-crypto")
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")

func room(_ name: String, _ dependencies: [Target.Dependency] = [], path: String? = nil) -> Target {
    .target(name: name, dependencies: dependencies, path: path ?? "Sources/\(name)", swiftSettings: strict)
}

func service(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    room(name, dependencies, path: "Sources/Services/\(name)")
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, path: "Tests/\(name)", exclude: exclude, swiftSettings: strict)
}

let package = Package(
    name: "cairn",
    products: [.executable(name: "cairn", targets: ["cairn"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: ["YAML"]),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Level 0: engines that know no service.
        .systemLibrary(
            name: "CDeflate", path: "Sources/CLibraries/CDeflate", providers: [.apt(["libdeflate-dev"])]),
        .systemLibrary(name: "CZstd", path: "Sources/CLibraries/CZstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CZlib", path: "Sources/CLibraries/CZlib", providers: [.apt(["zlib1g-dev"])]),
        .target(name: "CBlockCipher", path: "Sources/CLibraries/CBlockCipher"),
        .target(name: "CCachedRead", path: "Sources/CLibraries/CCachedRead"),
        .target(name: "CCRC32C", path: "Sources/CLibraries/CCRC32C"),
        .target(name: "CDurableWrite", path: "Sources/CLibraries/CDurableWrite"),
        .target(name: "CMemory", path: "Sources/CLibraries/CMemory"),
        room("EventRecord"),
        room("Policies"),
        room("AWSWire", ["CCRC32C", crypto, log, nioCore]),
        room("LogFiles", ["CDeflate", crypto, cryptoExtras]),
        room("EventJournal", ["CCRC32C", "CDurableWrite"]),
        // Level 1.
        room(
            "AWSClient",
            [
                "AWSWire", crypto, nioCore, nioHTTP1, nioPosix, nioSSL,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ]),
        room(
            "Storage",
            [
                "AWSWire", crypto, .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ]),
        room("Capture", ["EventRecord", "EventJournal", "AWSWire", "CZlib", "CZstd", log, nioCore]),
        // Level 2.
        room("EventHistory", ["EventRecord", "EventJournal", "CMemory", "CZstd"]),
        service("Identity", ["AWSWire", "Policies", "Storage", crypto, cryptoExtras]),
        service("Keys", ["CBlockCipher", "AWSWire", "Policies", "Storage", crypto]),
        service("Messaging", ["AWSWire", "Policies", "Storage", crypto, cryptoExtras, log]),
        // Level 3.
        service("Objects", ["CCachedRead", "AWSWire", "Keys", "Policies", "Storage", crypto, nioCore]),
        // Level 4.
        service(
            "Trails",
            [
                "EventRecord", "EventJournal", "EventHistory", "LogFiles", "Storage", "AWSWire", "AWSClient", "Keys",
                "Messaging", "Objects",
                "Policies", crypto, cryptoExtras, log,
            ]),
        // Level 5.
        room(
            "Server",
            [
                "EventRecord", "Policies", "AWSWire", "AWSClient", "LogFiles", "EventJournal", "Storage", "Capture",
                "EventHistory", "Identity", "Keys", "Messaging", "Objects", "Trails", log, crypto,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Yams", package: "Yams"),
            ]),
        // Level 6.
        .executableTarget(
            name: "cairn",
            dependencies: [
                "Server", "EventRecord", "EventHistory", "LogFiles", "AWSWire",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOFoundationCompat", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Sources/cairn", swiftSettings: strict),
        // Measures; nothing depends on it.
        .executableTarget(
            name: "cairn-bench", dependencies: ["Server", "EventJournal", "AWSWire", "Objects", "Policies", "Storage"],
            path: "Benchmarks/cairn-bench",
            swiftSettings: strict),
        // Decides cases that it reads, for tests that compare the engine with others.
        .executableTarget(
            name: "cairn-decide", dependencies: ["Policies", "PolicyCases"], path: "Tests/cairn-decide",
            swiftSettings: strict),
        // The event path under a seed: what PipelineTests and `make simulate` run.
        room(
            "EventPathSimulation",
            ["EventHistory", "EventRecord", "EventJournal", "Trails", "LogFiles", "Storage", "AWSWire", log],
            path: "Tests/Support/EventPathSimulation"),
        .executableTarget(
            name: "cairn-simulate", dependencies: ["EventPathSimulation"], path: "Tests/cairn-simulate",
            swiftSettings: strict),
        // An S3 server that follows a script, for the tests of what happens when one fails.
        room("ScriptedS3", [nioCore, nioHTTP1, nioPosix], path: "Tests/Support/ScriptedS3"),
        .executableTarget(
            name: "history-bench", dependencies: ["EventHistory", "EventJournal", "EventRecord"],
            path: "Benchmarks/history-bench", swiftSettings: strict),
        // Tests mirror the rooms.
        .target(
            name: "PolicyCases", dependencies: ["Policies"], path: "Tests/PolicyCases", exclude: ["Cases"],
            swiftSettings: strict),
        tests("PoliciesTests", ["Policies", "PolicyCases"]),
        tests("AWSWireTests", ["AWSWire", nioCore], exclude: ["Vectors"]),
        tests("AWSClientTests", ["AWSClient", "AWSWire", "ScriptedS3"]),
        tests("StorageTests", ["AWSWire", "Storage"]),
        tests("IdentityTests", ["AWSWire", "Policies", "Storage", "Identity", crypto]),
        tests("KeysTests", ["AWSWire", "Storage", "Keys", "Policies"]),
        tests("MessagingTests", ["AWSWire", "Messaging", "Storage", log]),
        tests("ObjectsTests", ["Objects", "AWSWire", "Keys", "Storage", "Policies", nioCore]),
        tests("EventRecordTests", ["EventRecord", "CDeflate"]),
        tests("EventJournalTests", ["EventJournal", "CCRC32C"]),
        tests("EventHistoryTests", ["EventHistory", "EventRecord", "EventJournal", "CDeflate"]),
        tests("PipelineTests", ["EventPathSimulation"]),
        tests("LogFilesTests", ["LogFiles", crypto]),
        tests(
            "TrailsTests",
            [
                "Trails", "EventRecord", "EventJournal", "EventHistory", "LogFiles", "Storage", "AWSClient", "AWSWire",
                "Objects", "ScriptedS3", crypto, log,
            ]),
        tests(
            "CaptureTests", ["Capture", "AWSWire", "EventJournal", "EventRecord", "CDeflate", "CZstd", log, nioCore]),
        tests("ServerTests", ["Server", "AWSWire", "EventHistory", "EventRecord", "Identity", "Policies", log]),
    ]
)
