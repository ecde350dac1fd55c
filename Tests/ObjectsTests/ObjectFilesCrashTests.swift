// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Dispatch
import Foundation
import Objects
import Synchronization
import Testing

/// Fails the n-th step on the disk and, as after a crash, all that follow.
private final class Crash: Sendable {
    private let state: Mutex<(left: Int, fired: FileStep?)>

    init(atStep number: Int) { state = Mutex((number, nil)) }

    var fired: FileStep? { state.withLock { $0.fired } }

    func fault(_ step: FileStep) -> Int32? {
        state.withLock { state in
            state.left -= 1
            guard state.left < 0 else { return nil }
            if state.fired == nil { state.fired = step }
            return EIO
        }
    }
}

/// Fails one kind of step with a chosen error, as long as it is armed.
private final class Fault: Sendable {
    private let state = Mutex<(step: FileStep, number: Int32)?>(nil)

    func arm(_ step: FileStep, _ number: Int32) { state.withLock { $0 = (step, number) } }
    func disarm() { state.withLock { $0 = nil } }

    func fault(_ step: FileStep) -> Int32? {
        state.withLock { state in state.flatMap { $0.step == step ? $0.number : nil } }
    }
}

struct ObjectFilesCrashTests {
    /// The steps that opening the room takes on the real disk.
    private func openingSteps(after room: ObjectRoom) async throws -> Int {
        let counted = Mutex(0)
        _ = try await ObjectRoom(after: room) { _ in
            counted.withLock { $0 += 1 }
            return nil
        }
        return counted.withLock { $0 }
    }

    @Test(arguments: ["put", "copy", "delete"])
    func `a crash at any step leaves the old object or the new one, and a sweep leaves no other file`(
        _ change: String
    ) async throws {
        let large = String(repeating: "new bytes ", count: 40_000)
        var number = 0
        var steps: [FileStep] = []
        while true {
            let room = try await ObjectRoom()
            defer { room.remove() }
            try await room.send("PUT", "/aaa")
            try await room.send("PUT", "/aaa/k", [:], "old")
            try await room.send("PUT", "/aaa/source", [:], large)
            let crash = Crash(atStep: try await openingSteps(after: room) + number)
            let crashing = try await ObjectRoom(after: room, fault: { crash.fault($0) })
            let outcome =
                switch change {
                case "put": await crashing.refusal("PUT", "/aaa/k", [:], large)
                case "copy": await crashing.refusal("PUT", "/aaa/k", ["x-amz-copy-source": "aaa/source"])
                default: await crashing.refusal("DELETE", "/aaa/k")
                }
            let after = try await ObjectRoom(after: room)
            let seen = await after.refusal("GET", "/aaa/k") == "none" ? try await after.text("/aaa/k") : nil
            if outcome == "none" {
                #expect(seen == (change == "delete" ? nil : large))
            } else {
                #expect(outcome == "ServiceUnavailable 503")
                #expect(seen == "old")
            }
            try await after.service.sweep()
            #expect(try after.fileCount() == (seen == nil ? 1 : 2))
            #expect(try await after.text("/aaa/source") == large)
            guard let fired = crash.fired else { break }
            steps.append(fired)
            number += 1
        }
        #expect(steps.contains(.removeFile))
        if change != "delete" {
            for step in [FileStep.createFile, .writeFile, .flushFile, .renameFile, .flushFolder] {
                #expect(steps.contains(step))
            }
        }
    }

    @Test func `a full disk refuses a put and keeps the object, and the next put succeeds`() async throws {
        let fault = Fault()
        let room = try await ObjectRoom(fault: { fault.fault($0) })
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/aaa/k", [:], "old")
        for step in [FileStep.createFile, .writeFile, .flushFile, .renameFile, .flushFolder] {
            fault.arm(step, ENOSPC)
            #expect(await room.refusal("PUT", "/aaa/k", [:], "new") == "ServiceUnavailable 503")
            fault.disarm()
            #expect(try await room.text("/aaa/k") == "old")
            #expect(try room.fileCount() == 1)
        }
        #expect(await room.refusal("PUT", "/aaa/k", [:], "new") == "none")
    }

    @Test func `what a crash left half-written is removed at start`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/aaa/k", [:], "x")
        let stray = String(repeating: "a", count: 32)
        try Data([1]).write(to: URL(fileURLWithPath: room.folder + "/objects/incoming/" + stray))
        try Data([1]).write(to: URL(fileURLWithPath: room.folder + "/objects/aa/" + stray))
        #expect(try room.fileCount() == 3)
        let again = try await ObjectRoom(after: room)
        #expect(try again.fileCount() == 2)
        #expect(try await again.service.sweep() == 1)
        #expect(try await again.service.sweep() == 0)
        #expect(try again.fileCount() == 1)
        #expect(try await again.text("/aaa/k") == "x")
    }

    @Test func `a sweep beside calls in flight takes none of their files`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<40 {
                group.addTask { try await room.send("PUT", "/aaa/k\(number % 10)", [:], "body \(number)") }
                if number % 10 == 0 {
                    // A file whose object was replaced may be removed by whoever comes first, its put or the sweep.
                    group.addTask { try await room.service.sweep() }
                }
            }
            try await group.waitForAll()
        }
        for number in 0..<10 { #expect(try await room.text("/aaa/k\(number)").hasPrefix("body ")) }
        #expect(try room.fileCount() == 10)
    }

    @Test func `a sweep leaves a file that waits for its transaction`() async throws {
        let (arrivals, arrived) = AsyncStream.makeStream(of: Void.self)
        let isArmed = Mutex(false)
        let go = DispatchSemaphore(value: 0)
        let room = try await ObjectRoom(fault: { step in
            // The file is in its place, its folder is about to be flushed, and no document names it yet.
            guard step == .flushFolder, isArmed.withLock({ $0 }) else { return nil }
            arrived.yield()
            go.wait()
            return nil
        })
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        isArmed.withLock { $0 = true }
        async let put = room.refusal("PUT", "/aaa/k", [:], "x")
        for await _ in arrivals { break }
        #expect(try room.fileCount() == 1)
        let removed = try await room.service.sweep()
        isArmed.withLock { $0 = false }
        go.signal()
        #expect(removed == 0)
        #expect(await put == "none")
        #expect(try await room.text("/aaa/k") == "x")
        #expect(try await room.service.sweep() == 0)
    }

    @Test func `a lost or cut file is a fault of the server and not an empty object`() async throws {
        let room = try await ObjectRoom()
        defer { room.remove() }
        try await room.send("PUT", "/aaa")
        try await room.send("PUT", "/aaa/k", [:], "hello")
        let name = try #require(
            FileManager.default.subpathsOfDirectory(atPath: room.folder + "/objects").first {
                ($0 as NSString).lastPathComponent.count == 32
            })
        let path = room.folder + "/objects/" + name
        try Data("he".utf8).write(to: URL(fileURLWithPath: path))
        #expect(await room.refusal("GET", "/aaa/k") == "InternalError 500")
        #expect(await room.refusal("PUT", "/aaa/l", ["x-amz-copy-source": "aaa/k"]) == "InternalError 500")
        try Data("hallo".utf8).write(to: URL(fileURLWithPath: path))
        #expect(await room.refusal("PUT", "/aaa/l", ["x-amz-copy-source": "aaa/k"]) == "InternalError 500")
        try FileManager.default.removeItem(atPath: path)
        #expect(await room.refusal("GET", "/aaa/k") == "InternalError 500")
    }
}
