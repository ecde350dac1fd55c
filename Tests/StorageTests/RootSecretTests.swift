// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Synchronization
import Testing

/// Each test has a folder of its own, removed with the suite's value.
final class RootSecretTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "cairn-\(UUID().uuidString)").path

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private var path: String { "\(directory)/\(RootSecret.fileName)" }

    /// Bytes that differ from call to call, the same in every run.
    private final class Counter: Sendable {
        private let calls = Mutex<UInt8>(0)

        func bytes(_ count: Int) -> [UInt8] {
            let call = calls.withLock { calls in
                calls &+= 1
                return calls
            }
            return (0..<count).map { UInt8(truncatingIfNeeded: $0) &+ call }
        }
    }

    private let counter = Counter()

    private func open(mayCreate: Bool = true) throws(RootSecretError) -> RootSecret {
        try RootSecret.open(directory: directory, mayCreate: mayCreate, randomBytes: counter.bytes)
    }

    private func code(_ body: () throws(RootSecretError) -> Void) -> RootSecretError.Code? {
        do {
            try body()
            return nil
        } catch {
            return error.code
        }
    }

    private func mode(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    @Test func `a new secret is private to its owner and 32 bytes long`() throws {
        _ = try open()
        #expect(try mode(path) == 0o600)
        #expect(try mode(directory) == 0o700)
        #expect(try Data(contentsOf: URL(filePath: path)).count == 32)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == [RootSecret.fileName])
    }

    @Test func `what was sealed opens after a restart`() throws {
        let sealed = try open().seal(Array("secret".utf8), context: "credential/A")
        #expect(try open(mayCreate: false).open(sealed, context: "credential/A") == Array("secret".utf8))
    }

    @Test func `the same value seals to other bytes each time, and shows nothing of itself`() throws {
        let secret = try open()
        let first = try secret.seal(Array("secret".utf8), context: "c")
        #expect(try secret.seal(Array("secret".utf8), context: "c") != first)
        #expect(first.firstRange(of: Array("secret".utf8)) == nil)
        #expect("\(secret)" == "(secret)")
    }

    @Test func `a sealed value does not open in another place, damaged, cut or under another secret`() throws {
        let secret = try open()
        let sealed = try secret.seal(Array("secret".utf8), context: "credential/A")
        #expect(
            code { () throws(RootSecretError) in _ = try secret.open(sealed, context: "credential/B") } == .unreadable)
        for index in sealed.indices {
            var damaged = sealed
            damaged[index] ^= 1
            let copy = damaged
            #expect(
                code { () throws(RootSecretError) in _ = try secret.open(copy, context: "credential/A") } == .unreadable
            )
        }
        for count in 0..<sealed.count {
            let cut = Array(sealed.prefix(count))
            #expect(
                code { () throws(RootSecretError) in _ = try secret.open(cut, context: "credential/A") } == .unreadable)
        }
        try FileManager.default.removeItem(atPath: path)
        let other = try open()
        #expect(
            code { () throws(RootSecretError) in _ = try other.open(sealed, context: "credential/A") } == .unreadable)
    }

    @Test func `a missing secret is not replaced once something is sealed`() throws {
        #expect(code { () throws(RootSecretError) in _ = try open(mayCreate: false) } == .missing)
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test(arguments: [0o640, 0o604, 0o660, 0o601]) func `a secret that others may touch is refused`(_ mode: Int) throws
    {
        _ = try open()
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        let error = #expect(throws: RootSecretError.self) { try open() }
        #expect(error?.code == .exposed)
        #expect(error?.description.contains(path) == true)
        #expect(error?.description.contains("chmod 600") == true)
    }

    @Test(arguments: [0, 31, 33]) func `a secret of another length is damaged`(_ count: Int) throws {
        _ = try open()
        let file = try FileHandle(forWritingTo: URL(filePath: path))
        try file.truncate(atOffset: UInt64(count))
        try file.close()
        #expect(code { () throws(RootSecretError) in _ = try open() } == .damaged)
    }

    @Test func `a link or a folder in the secret's place is refused`() throws {
        _ = try open()
        try FileManager.default.moveItem(atPath: path, toPath: "\(directory)/elsewhere")
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "\(directory)/elsewhere")
        #expect(code { () throws(RootSecretError) in _ = try open() } == .unreadable)
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        #expect(code { () throws(RootSecretError) in _ = try open() } == .damaged)
    }
}
