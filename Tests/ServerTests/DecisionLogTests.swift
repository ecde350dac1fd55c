// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Identity
import Logging
import Policies
import Server
import Synchronization
import Testing

final class DecisionLogTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "cairn-\(UUID().uuidString)").path

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func note(_ event: Int, allowed: Bool, agent: String? = nil, at seconds: Int64 = 1_800_000_000)
        -> DecisionNote
    {
        let call = Call(
            caller: .root(of: "123456789012", accessKeyID: nil), accountID: "123456789012", region: "us-east-1",
            time: Timestamp(seconds: seconds), requestID: "request-\(event)", eventID: id(event),
            sourceAddress: "203.0.113.9", userAgent: agent, isSecureTransport: true)
        var request = AuthorizationRequest(
            principal: .root(account: "123456789012"), action: "s3:GetObject", resource: "arn:aws:s3:::b/k",
            resourceAccount: allowed ? "123456789012" : "999999999999", context: [:])
        if let agent { request.context["aws:UserAgent"] = ContextValue(agent) }
        return DecisionNote(call, request, PoliciesInForce(), PolicyEvaluation.decide(request, PoliciesInForce()))
    }

    private func id(_ event: Int) -> String {
        let digits = String(event)
        return "00000000-0000-0000-0000-" + String(repeating: "0", count: 12 - digits.count) + digits
    }

    private func log(_ change: (inout DecisionLog.Limits) -> Void = { _ in }) -> DecisionLog {
        var limits = DecisionLog.Limits()
        limits.freeBytesMin = 0
        change(&limits)
        let ticks = Ticks()
        return DecisionLog(
            directory: directory, limits: limits, clock: { ticks.next() }, logger: Logger(label: "test"))
    }

    /// A clock that moves by a millisecond each time it is asked.
    private final class Ticks: Sendable {
        private let now = Mutex<Int64>(1_800_000_000_000)

        func next() -> Timestamp {
            now.withLock { now in
                now += 1
                return Timestamp(milliseconds: now)
            }
        }
    }

    @Test func `a call's notes are found by its event and by its request, in their order`() {
        let log = log()
        log.note(note(1, allowed: true))
        log.note(note(2, allowed: true))
        log.note(note(2, allowed: false, at: 1_800_000_001))
        log.flush()
        log.note(note(3, allowed: false))
        log.flush()
        #expect(DecisionLog.notes(of: id(2), in: directory).map { $0["verdict"] } == ["allow", "implicitDeny"])
        #expect(DecisionLog.notes(of: "request-3", in: directory).count == 1)
        #expect(DecisionLog.notes(of: id(4), in: directory).isEmpty)
    }

    @Test func `a stored policy that cannot be read is named in the log`() {
        let lines = LogLines()
        let log = DecisionLog(
            directory: directory, limits: DecisionLog.Limits(), clock: { Timestamp(seconds: 0) },
            logger: Logger(label: "test") { _ in lines })
        var policies = PoliciesInForce()
        policies.damaged = ["broken"]
        let whole = note(1, allowed: true)
        log.note(whole)
        #expect(lines.all.isEmpty)
        log.note(
            DecisionNote(
                Call(
                    caller: .unknown, accountID: "123456789012", region: "us-east-1", time: Timestamp(seconds: 0),
                    requestID: "r", eventID: "e", sourceAddress: "203.0.113.9", userAgent: nil, isSecureTransport: true
                ), whole.request, policies, PolicyEvaluation.decide(whole.request, policies)))
        #expect(lines.all.count == 1 && lines.all.first?.contains("broken") == true)
    }

    /// Takes log lines with their metadata.
    private struct LogLines: LogHandler {
        private final class Store: Sendable {
            let lines = Mutex<[String]>([])
        }

        private let store = Store()
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info
        var all: [String] { store.lines.withLock { $0 } }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            store.lines.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
        }
    }

    @Test func `what a client sends cannot pass for another call's note`() {
        let log = log()
        log.note(note(1, allowed: false, agent: "{\"eventID\":\"\(id(7))\"}\n{\"eventID\":\"\(id(7))\""))
        log.flush()
        #expect(DecisionLog.notes(of: id(7), in: directory).isEmpty)
        #expect(DecisionLog.notes(of: id(1), in: directory).count == 1)
    }

    @Test func `space is bounded, and allowed calls do not drive out refused ones`() throws {
        let log = log {
            $0.fileBytesMax = 1000
            $0.bytesMax = 3000
        }
        log.note(note(0, allowed: false))
        log.flush()
        for event in 1...50 {
            log.note(note(event, allowed: true))
            log.flush()
        }
        let bytes = try FileManager.default.contentsOfDirectory(atPath: directory).reduce(0) { total, name in
            let attributes = try FileManager.default.attributesOfItem(atPath: directory + "/" + name)
            return total + (attributes[.size] as? Int ?? 0)
        }
        #expect(bytes < 6000)
        #expect(DecisionLog.notes(of: id(0), in: directory).count == 1)
        #expect(DecisionLog.notes(of: id(1), in: directory).isEmpty)
        #expect(DecisionLog.notes(of: id(50), in: directory).count == 1)
    }

    @Test func `notes are not written to the last space of a disk, and too many at once are not kept`() {
        let full = log { $0.freeBytesMin = .max }
        full.note(note(1, allowed: true))
        full.flush()
        #expect(DecisionLog.notes(of: id(1), in: directory).isEmpty)
        let small = log { $0.pendingMax = 2 }
        for event in 1...3 { small.note(note(event, allowed: true)) }
        small.flush()
        #expect((1...3).map { DecisionLog.notes(of: id($0), in: directory).count } == [1, 1, 0])
    }
}
