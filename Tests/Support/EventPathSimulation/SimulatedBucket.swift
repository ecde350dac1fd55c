// SPDX-License-Identifier: Apache-2.0

import AWSWire
import EventRecord
import Foundation
import LogFiles
import Synchronization
import Trails

/// A bucket in memory that checks what is put into it: keys grow, an object never changes, digests link and prove.
final class SimulatedBucket: Sendable {
    enum Fault: String, CaseIterable, Sendable {
        case none, alsoNone, refused, failed, failedAfterwards, throttled
    }

    private struct State {
        var objects: [String: [UInt8]] = [:]
        var lastKey: [String: String] = [:]
        var delivered: [String: [String]] = [:]
        var hashes: [String: String] = [:]
        var proven: Set<String> = []
        /// By region: key, hash, signature and end of the last digest.
        var chain: [String: (key: String, hash: String, signature: String, end: String)] = [:]
        var fault = Fault.none
        var left = 0
        /// Until then nothing is answered; every third put is done all the same.
        var outageUntil: Int64 = .min
        var putsInOutage = 0
        var faults = 0
        var problem: String?
        /// Puts that were said to be done, and are not: for the defect of that name.
        var pending: [TrailBucket.Put] = []
    }

    private let state = Mutex(State())
    private let defect: Defect?
    private let now: @Sendable () -> Int64

    /// - Parameter now: milliseconds.
    init(defect: Defect?, now: @escaping @Sendable () -> Int64) {
        self.defect = defect
        self.now = now
    }

    var faults: Int { state.withLock { $0.faults } }
    /// Log files and digests in it.
    var fileCounts: (logs: Int, digests: Int) {
        state.withLock { ($0.hashes.count, $0.objects.count - $0.hashes.count) }
    }

    /// It answers nothing for so many milliseconds.
    func breakDown(for milliseconds: Int64) {
        let end = now() + milliseconds
        state.withLock { $0.outageUntil = end }
    }

    func recover() { state.withLock { $0.outageUntil = .min } }

    /// A turn is over: what was said to be done is done now, or lost with the process.
    func turnEnded(isAlive: Bool) {
        state.withLock { state in
            let pending = state.pending
            state.pending = []
            guard isAlive else { return }
            for put in pending {
                do { try Self.store(put, &state) } catch { state.problem = state.problem ?? "\(put.key): \(error)" }
            }
        }
    }

    var problem: String? { state.withLock { $0.problem } }
    var unproven: [String] { state.withLock { state in state.hashes.keys.filter { !state.proven.contains($0) } } }

    /// Ids of the delivered events of a region, in the order of delivery, from so many on.
    func delivered(_ region: String, from start: Int) -> [String] {
        state.withLock { Array(($0.delivered[region] ?? []).dropFirst(start)) }
    }

    func fail(_ fault: Fault, at put: Int) {
        state.withLock {
            $0.fault = fault
            $0.left = put
        }
    }

    func door(_ death: Death) -> TrailBucket {
        TrailBucket(
            exists: { _ throws(AWSError) in true }, allows: { _ throws(AWSError) in true },
            put: { (put) throws(AWSError) in
                let gone = AWSError("InternalError", status: 500, "the process is gone")
                if await death.pass() { throw gone }
                let now = self.now()
                if let error = self.state.withLock({ self.take(put, &$0, now) }) { throw error }
                if await death.pass() { throw gone }
            })
    }

    private func take(_ put: TrailBucket.Put, _ state: inout State, _ now: Int64) -> AWSError? {
        var fault = Fault.none
        if state.left > 0 {
            state.left -= 1
            if state.left == 0 { fault = state.fault }
        }
        if now < state.outageUntil {
            state.putsInOutage += 1
            fault = state.putsInOutage % 3 == 0 ? .failedAfterwards : .failed
        }
        if fault != .none, fault != .alsoNone { state.faults += 1 }
        switch fault {
        case .refused where defect != .putUnderAnotherName: return AWSError("AccessDenied", status: 403, "no")
        case .failed: return AWSError("InternalError", status: 500, "broken")
        case .throttled: return AWSError("SlowDown", status: 503, "slowly")
        default: break
        }
        if defect == .positionBeforePut, !put.key.contains("-Digest/") {
            state.pending.append(put)
            return nil
        }
        do {
            try Self.store(put, &state)
        } catch {
            state.problem = state.problem ?? "\(put.key): \(error)"
        }
        if fault == .refused { return AWSError("AccessDenied", status: 403, "no") }
        return fault == .failedAfterwards ? AWSError("InternalError", status: 500, "broken") : nil
    }

    private struct Wrong: Error { var what: String }

    private static func store(_ put: TrailBucket.Put, _ state: inout State) throws {
        if let there = state.objects[put.key] {
            guard there == put.body else { throw Wrong(what: "an object has changed") }
            return
        }
        let parts = put.key.split(separator: "/")
        guard parts.count == 8 else { throw Wrong(what: "a key of another form") }
        let folder = parts[..<4].joined(separator: "/")
        if let last = state.lastKey[folder], put.key <= last { throw Wrong(what: "a key does not grow") }
        state.lastKey[folder] = put.key
        state.objects[put.key] = put.body
        let content = try LogFile.content(of: put.body)
        let region = String(parts[3])
        if parts[2] == "CloudTrail" {
            state.hashes[put.key] = Digest.hash(of: content)
            for range in LogFile.records(in: content).records {
                state.delivered[region, default: []].append(try Event(content[range]).eventID)
            }
        } else {
            try prove(put, content, region, &state)
        }
    }

    private static func prove(
        _ put: TrailBucket.Put, _ content: [UInt8], _ region: String, _ state: inout State
    ) throws {
        guard let digest = try JSONSerialization.jsonObject(with: Data(content)) as? [String: Any],
            let start = digest["digestStartTime"] as? String, let end = digest["digestEndTime"] as? String,
            let files = digest["logFiles"] as? [[String: Any]],
            let signature = put.metadata.first(where: { $0.name == "signature" })?.value
        else { throw Wrong(what: "no digest") }
        if let previous = digest["previousDigestS3Object"] as? String {
            guard let last = state.chain[region], last.key == previous,
                digest["previousDigestHashValue"] as? String == last.hash,
                digest["previousDigestSignature"] as? String == last.signature, start == last.end
            else { throw Wrong(what: "a digest does not link") }
        }
        guard start < end else { throw Wrong(what: "a digest ends before it begins") }
        for file in files {
            guard let key = file["s3Object"] as? String, file["hashValue"] as? String == state.hashes[key] else {
                throw Wrong(what: "a digest lists a file that is not there, or another one")
            }
            guard state.proven.insert(key).inserted else { throw Wrong(what: "a file in two digests") }
        }
        state.chain[region] = (put.key, Digest.hash(of: content), signature, end)
    }
}
