// SPDX-License-Identifier: Apache-2.0
//
// The inner side of `make bench`: what has to run inside the process. scripts/bench.py drives it and reports.
//
//     cairn-bench journal DIR SECONDS     appends a second at 1, 16 and 256 callers, what the same tasks cost without a
//                                         journal, and the disk's own sync time
//     cairn-bench serve DIR MODE          a server on a free port; MODE is on, off (recording nothing), plain (encrypting
//                                         nothing), files (each object a file), catalog (small ones up to 256 KiB in it)
//     cairn-bench fill DIR BUCKET KEYS    documents of that many objects, see StoreBench.swift
//     cairn-bench decide                  the processor time of policy decisions
//     cairn-bench sign DIR CALL           one signed call as JSON: method, path, headers, body; CALL is read (GetCallerIdentity),
//                                         change (PutBucketPolicy on the bucket `bench`) or object (PutObject of 1 KiB)

import AWSWire
import EventJournal
import Foundation
import Objects
import Server
import Synchronization

@main
struct Bench {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        switch (arguments.first, arguments.count) {
        case ("journal", 3): try await JournalBench.run(Array(arguments)[1], seconds: Double(Array(arguments)[2]) ?? 2)
        case ("serve", 3): try await serve(Array(arguments)[1], Array(arguments)[2])
        case ("fill", 4):
            let given = Array(arguments)
            try await StoreBench.fill(given[1], bucket: given[2], keys: Int(given[3]) ?? 0)
        case ("sign", 3): try await sign(Array(arguments)[1], Array(arguments)[2])
        case ("decide", 1): try DecisionBench.run()
        default:
            print(
                "usage: cairn-bench journal DIR SECONDS | decide | serve DIR on|off|plain|files|catalog | fill DIR BUCKET KEYS"
                    + " | sign DIR read|change|object"
            )
            exit(2)
        }
    }

    static func serve(_ folder: String, _ mode: String) async throws {
        let storage: ObjectStorage
        switch mode {
        case "plain": storage = ObjectStorage(isEncrypting: false)
        case "files": storage = ObjectStorage(smallBytesMax: -1)
        case "catalog": storage = ObjectStorage(smallBytesMax: 256 * 1024)
        default: storage = ObjectStorage()
        }
        let configuration = try await ServerConfiguration.load(
            flags: ["data": folder, "listen": "127.0.0.1:0", "log-level": "error"], environment: [:])
        try await CairnServer.run(configuration, isRecording: mode != "off", storage: storage) { line in
            FileHandle.standardOutput.write(Data((line + "\n").utf8))
        }
    }

    static func sign(_ folder: String, _ call: String) async throws {
        let configuration = try await ServerConfiguration.load(flags: ["data": folder], environment: [:])
        let access = try await ClientAccess.read(configuration)
        let authority = String(access.endpoint.dropFirst("http://".count))
        var headers = [WireHeader("host", authority)]
        let (method, path, body): (String, String, [UInt8])
        switch call {
        case "change":
            let policy =
                #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"#
                + #""Action":"s3:GetBucketAcl","Resource":"arn:aws:s3:::bench"}]}"#
            (method, path, body) = ("PUT", "/bench?policy", Array(policy.utf8))
        case "object":
            (method, path, body) = ("PUT", "/bench/object", [UInt8](repeating: UInt8(ascii: "x"), count: 1024))
        default:
            (method, path, body) = ("POST", "/", Array("Action=GetCallerIdentity&Version=2011-06-15".utf8))
            headers.append(WireHeader("content-type", "application/x-www-form-urlencoded"))
        }
        let isStorage = method == "PUT"
        let request = try WireRequest(method: method, target: path, headers: headers)
        let (keyID, secret) = try access.key()
        let signer = RequestSigner(
            accessKeyID: keyID, secret: secret, region: access.region,
            service: isStorage ? "s3" : "sts", family: isStorage ? .s3 : .query)
        let signed = signer.headers(signing: request, payload: .hash(of: body), at: SystemTime.now())
        let out: WireStructure = [
            "endpoint": .string(access.endpoint), "method": .string(method), "path": .string(path),
            "headers": .structure(
                WireStructure((headers.dropFirst() + signed).map { .init($0.name, .string($0.value)) })),
            "body": .string(String(decoding: body, as: UTF8.self)),
        ]
        print(String(decoding: WireValue.structure(out).json, as: UTF8.self))
    }
}

/// Appends of 1 KB from many callers, each waiting for its own acknowledgement.
enum JournalBench {
    static func run(_ folder: String, seconds: Double) async throws {
        print(#"{"syncMedianMicroseconds":\#(try syncMedian(folder))}"#)
        for callers in [1, 16, 256] {
            let directory = "\(folder)/journal-\(callers)"
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            let journal = try Journal.open(
                directory: directory, device: POSIXJournalDevice(), limits: JournalLimits(),
                clock: { SystemTime.now().milliseconds })
            let entry = [UInt8](repeating: UInt8(ascii: "x"), count: 1024)
            let before = cpuSeconds()
            let started = ContinuousClock.now
            let end = started.advanced(by: .seconds(seconds))
            let count = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<callers {
                    group.addTask {
                        var count = 0
                        while ContinuousClock.now < end {
                            _ = try await journal.append(entry)
                            count += 1
                        }
                        return count
                    }
                }
                return try await group.reduce(0, +)
            }
            let elapsed = started.duration(to: .now)
            let wall = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
            let cpu = cpuSeconds() - before
            await journal.close()
            // At the same pace, so that as many share a turn.
            let turn = Double(callers) * wall / Double(max(count, 1))
            let alone = try await taskCost(callers, microseconds: Int(turn * 1e6), seconds: min(seconds, 3))
            print(
                #"{"callers":\#(callers),"acknowledgedPerSecond":\#(Int(Double(count) / wall)),"#
                    + #""cpuMicrosecondsEach":\#(String(format: "%.2f", cpu * 1e6 / Double(count))),"#
                    + #""tasksAloneMicrosecondsEach":\#(String(format: "%.2f", alone))}"#)
        }
    }

    /// What it costs, in microseconds of CPU each, that tasks wait and a thread resumes all of them now and then: the same
    /// callers without a journal.
    private static func taskCost(_ callers: Int, microseconds: Int, seconds: Double) async throws -> Double {
        let waiting = WaitingTasks()
        let thread = Thread { waiting.run(microseconds: microseconds) }
        thread.start()
        let before = cpuSeconds()
        let end = ContinuousClock.now.advanced(by: .seconds(seconds))
        let count = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<callers {
                group.addTask {
                    var count = 0
                    while ContinuousClock.now < end {
                        await waiting.wait()
                        count += 1
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        waiting.stop()
        return (cpuSeconds() - before) * 1e6 / Double(max(count, 1))
    }

    /// Tasks that wait for a thread's next turn.
    private final class WaitingTasks: Sendable {
        private struct State {
            var tasks: [UnsafeContinuation<Void, Never>] = []
            var isStopped = false
        }

        private let state = Mutex(State())

        func wait() async {
            await withUnsafeContinuation { task in state.withLock { $0.tasks.append(task) } }
        }

        func stop() { state.withLock { $0.isStopped = true } }

        func run(microseconds: Int) {
            while true {
                usleep(UInt32(clamping: microseconds))
                let (tasks, isStopped) = state.withLock { state in
                    defer { state.tasks = [] }
                    return (state.tasks, state.isStopped)
                }
                for task in tasks { task.resume() }
                if isStopped { return }
            }
        }
    }

    /// What one write of a page and `fdatasync` costs on this disk, without us.
    private static func syncMedian(_ folder: String) throws -> Int {
        let path = folder + "/sync"
        let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
        guard descriptor >= 0 else { throw CocoaError(.fileWriteUnknown) }
        defer { close(descriptor) }
        _ = posix_fallocate(descriptor, 0, 1 << 20)
        fsync(descriptor)
        let page = [UInt8](repeating: 1, count: 4096)
        var times: [Int] = []
        for index in 0..<200 {
            let started = ContinuousClock.now
            _ = page.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, 4096, off_t(index % 256 * 4096)) }
            fdatasync(descriptor)
            times.append(Int(started.duration(to: .now).components.attoseconds / 1_000_000_000_000))
        }
        return times.sorted()[times.count / 2]
    }

    private static func cpuSeconds() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }
}
