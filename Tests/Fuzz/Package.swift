// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
//
// The fuzzers of `make fuzz`: a package of its own, because all of its code is built with libFuzzer's instrumentation and
// the address sanitizer, and needs none of the main package's dependencies: two modules of a page each stand in for
// swift-crypto and SwiftNIO. Its name is the main package's, so that `package` access reaches it; its rooms are the main
// package's own folders, by symbolic links, some without the files that need more. A parser in another room is added by a link,
// a target, and a row in `FuzzTarget.all`.

import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "cairn",
    targets: [
        .target(name: "EventRecord", swiftSettings: strict),
        .target(name: "Policies", swiftSettings: strict),
        .target(name: "CCRC32C"),
        .target(name: "CDurableWrite"),
        .target(name: "CMemory"),
        .target(name: "EventJournal", dependencies: ["CCRC32C", "CDurableWrite"], swiftSettings: strict),
        .systemLibrary(name: "CZstd"),
        .systemLibrary(name: "CZlib"),
        .systemLibrary(name: "CDeflate"),
        .target(
            name: "EventHistory", dependencies: ["EventRecord", "EventJournal", "CMemory", "CZstd"],
            swiftSettings: strict),
        // Stand-ins.
        .target(name: "Crypto", swiftSettings: strict),
        .target(name: "NIOCore", swiftSettings: strict),
        .target(name: "AWSWire", dependencies: ["CCRC32C", "Crypto", "NIOCore"], swiftSettings: strict),
        .target(
            name: "LogFiles", dependencies: ["CDeflate", "Crypto"], exclude: ["Digest.swift", "DigestKey.swift"],
            swiftSettings: strict),
        .target(
            name: "Capture", dependencies: ["AWSWire", "EventRecord", "CZlib", "CZstd"], swiftSettings: strict),
        .executableTarget(
            name: "cairn-fuzz",
            dependencies: [
                "EventRecord", "Policies", "EventJournal", "EventHistory", "AWSWire", "LogFiles", "Capture", "NIOCore",
            ],
            swiftSettings: strict),
    ]
)
