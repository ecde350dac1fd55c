// SPDX-License-Identifier: Apache-2.0

import AWSWire
import CDeflate
import CZstd
import Capture
import EventJournal
import EventRecord
import Foundation
import NIOCore
import Synchronization
import Testing

struct EventIntakeTests {
    /// An intake on a journal in a folder of its own.
    private final class Room: Sendable {
        let folder: String
        let journal: Journal
        let intake: RecordIntake
        let service: Service

        /// - Parameter backlog: what waits, each time that it is asked; the last for ever.
        init(
            _ document: [UInt8]? = nil, limits: IntakeLimits = IntakeLimits(), backlog answers: [UInt64] = [0]
        ) async throws {
            folder = FileManager.default.temporaryDirectory.path + "/cairn-intake-\(UUID().uuidString)"
            for name in ["journal", "intake"] {
                try FileManager.default.createDirectory(
                    atPath: folder + "/" + name, withIntermediateDirectories: true)
            }
            journal = try Journal.open(
                directory: folder + "/journal", device: POSIXJournalDevice(), limits: JournalLimits(), clock: { 0 })
            let seen = Mutex<Set<String>>([])
            let asked = Backlog(answers)
            intake = try await RecordIntake.open(
                journal: journal,
                store: .init(load: { () throws(AWSError) in document }, save: { _ throws(AWSError) in }),
                limits: limits, clock: { Timestamp(seconds: 1) },
                known: { (ids, _) throws(AWSError) in
                    seen.withLock { known in
                        defer { known.formUnion(ids) }
                        return known.intersection(ids)
                    }
                }, backlog: { asked.next() }, pause: { _ in })
            service = EventIntake(intake: intake, directory: folder + "/intake").service
        }

        private final class Backlog: Sendable {
            private let answers: Mutex<[UInt64]>
            init(_ answers: [UInt64]) { self.answers = Mutex(answers) }
            func next() -> UInt64 { answers.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] } }
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        func send(
            _ bytes: [UInt8], pieces size: Int = 1000, query: String = ""
        ) async throws -> WireStructure {
            let http = try WireRequest(method: "POST", target: "/events" + query, headers: [])
            var request = OperationRequest(operation: "ImportEvents", parameters: WireStructure(), http: http)
            request.body = RequestBody(length: nil) { consumer throws(AWSError) in
                for start in stride(from: 0, to: bytes.count, by: size) {
                    try await consumer(ByteBuffer(bytes: bytes[start..<min(bytes.count, start + size)]))
                }
            }
            let operation = try #require(service.operations["ImportEvents"])
            let call = Call(
                caller: .root(of: "111122223333", accessKeyID: nil), accountID: "111122223333", region: "us-east-1",
                time: Timestamp(milliseconds: 0), requestID: "r", eventID: "e", sourceAddress: "127.0.0.1",
                userAgent: nil, isSecureTransport: false)
            guard case .members(let members) = try await operation.perform(request, call).body else { return .init() }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/intake").isEmpty)
            return members
        }
    }

    private func record(_ number: Int) -> String {
        #"{"eventID":"id-\#(number)","eventName":"N","eventSource":"s","awsRegion":"us-east-1","eventTime":"2026-01-01T00:00:00Z"}"#
    }

    private func count(_ members: WireStructure, _ name: String) -> Int64? {
        if case .integer(let number)? = members[name] { number } else { nil }
    }

    private func gzip(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        let compressor = libdeflate_alloc_compressor(6)
        defer { libdeflate_free_compressor(compressor) }
        return [UInt8](unsafeUninitializedCapacity: bytes.count + 1000) { out, count in
            count = libdeflate_gzip_compress(compressor, bytes, bytes.count, out.baseAddress, out.count)
        }
    }

    private func zstd(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(bytes.count)) { out, count in
            count = ZSTD_compress(out.baseAddress, out.count, bytes, bytes.count, 3)
        }
    }

    @Test func `plain, gzip and zstd give the same events, also in several members`() async throws {
        let text = (0..<5000).map { record($0) }.joined(separator: "\n")
        let other = (5000..<5010).map { record($0) }.joined(separator: "\n")
        for body in [
            Array((text + "\n" + other).utf8), gzip(text + "\n") + gzip(other), zstd(text + "\n") + zstd(other),
        ] {
            let room = try await Room()
            let answer = try await room.send(body)
            #expect(count(answer, "imported") == 5010)
            #expect(count(answer, "malformed") == 0)
            #expect(count(answer, "firstNumber") == 0)
            #expect(count(answer, "nextNumber") == 5010)
            #expect(room.journal.durableNumber == 5010)
            let again = try await room.send(body, pieces: 77)
            #expect(count(again, "imported") == 0)
            #expect(count(again, "duplicates") == 5010)
            #expect(again["firstNumber"] == nil)
            await room.journal.close()
        }
    }

    @Test func `what is malformed is named with its line and place and stops nothing`() async throws {
        let room = try await Room()
        let text = [record(1), "{\"eventID\":\"x\"}", "{\"broken\":", record(2), "[nonsense", record(3)].joined(
            separator: "\n")
        let answer = try await room.send(Array(text.utf8))
        #expect(count(answer, "imported") == 3)
        let problems = try #require(answer["problems"]?.asList).compactMap(\.asStructure)
        #expect(problems.compactMap { count($0, "line") }.contains(2))
        #expect(problems.compactMap { count($0, "line") }.contains(3))
        await room.journal.close()
    }

    @Test func `compressed data that is damaged or cut short keeps what came before`() async throws {
        let text = (0..<3000).map { record($0) }.joined(separator: "\n")
        for whole in [gzip(text), zstd(text)] {
            let room = try await Room()
            let answer = try await room.send(Array(whole[..<(whole.count * 3 / 4)]))
            #expect(count(answer, "malformed") != 0)
            let problems = try #require(answer["problems"]?.asList)
            #expect(!problems.isEmpty)
            #expect(Int64(room.journal.durableNumber) == count(answer, "imported"))
            await room.journal.close()
        }
    }

    @Test func `a body that does not prove itself leaves no event`() async throws {
        let room = try await Room()
        let http = try WireRequest(method: "POST", target: "/events", headers: [])
        var request = OperationRequest(operation: "ImportEvents", parameters: WireStructure(), http: http)
        let bytes = Array(record(1).utf8)
        request.body = RequestBody(length: nil) { consumer throws(AWSError) in
            try await consumer(ByteBuffer(bytes: bytes))
            throw AWSError("XAmzContentSHA256Mismatch", "no")
        }
        let asked = request
        let operation = try #require(room.service.operations["ImportEvents"])
        let call = Call(
            caller: .root(of: "111122223333", accessKeyID: nil), accountID: "111122223333", region: "us-east-1",
            time: Timestamp(milliseconds: 0), requestID: "r", eventID: "e", sourceAddress: "127.0.0.1", userAgent: nil,
            isSecureTransport: false)
        await #expect(throws: AWSError.self) { _ = try await operation.perform(asked, call) }
        #expect(room.journal.durableNumber == 0)
        await room.journal.close()
    }

    // MARK: Back-pressure

    @Test func `a backlog over its limit is answered with 429 and Retry-After, and nothing is taken`() async throws {
        var limits = IntakeLimits()
        limits.backlogEventsMax = 10
        let room = try await Room(limits: limits, backlog: [11])
        let error = await #expect(throws: AWSError.self) { _ = try await room.send(Array(record(1).utf8)) }
        #expect(error?.status == 429)
        #expect(error?.headers.contains { $0.name == "retry-after" } == true)
        #expect(room.journal.durableNumber == 0)
        await room.journal.close()
    }

    @Test func `a body that is half taken waits for the backlog, and goes on or ends with 429`() async throws {
        var limits = IntakeLimits()
        limits.backlogEventsMax = 10
        limits.waitsMax = 3
        let text = (0..<EventIntake.batchEventsMax + 10).map { record($0) }.joined(separator: "\n")
        let patient = try await Room(limits: limits, backlog: [0, 11, 11, 0])
        #expect(count(try await patient.send(Array(text.utf8)), "imported") == Int64(EventIntake.batchEventsMax + 10))
        await patient.journal.close()
        let stuck = try await Room(limits: limits, backlog: [0, 0, 0, 11])
        let error = await #expect(throws: AWSError.self) { _ = try await stuck.send(Array(text.utf8)) }
        #expect(error?.status == 429)
        // What was taken is durable, and sending all again takes the rest.
        #expect(stuck.journal.durableNumber == UInt64(EventIntake.batchEventsMax))
        await stuck.journal.close()
    }

    @Test func `bodies have a bound in number and in bytes`() async throws {
        var limits = IntakeLimits()
        limits.spoolBytesMax = 2000
        limits.bodiesMax = 1
        let room = try await Room(limits: limits)
        let error = await #expect(throws: AWSError.self) {
            _ = try await room.send([UInt8](repeating: 0x20, count: 2001))
        }
        #expect(error?.status == 413)
        // The refused body has given its place back.
        #expect(count(try await room.send(Array(record(1).utf8)), "imported") == 1)
        await room.journal.close()
        limits.bodiesMax = 0
        let full = try await Room(limits: limits)
        let busy = await #expect(throws: AWSError.self) { _ = try await full.send(Array(record(1).utf8)) }
        #expect(busy?.status == 429)
        await full.journal.close()
    }

    // MARK: Numbered sources

    @Test func `a source's numbers are kept with its events, and gaps, late ones and repeats are told`() async throws {
        let room = try await Room()
        let query = "?source=fw-1&sequence="
        let first = try await room.send(Array((record(1) + "\n" + record(2)).utf8), query: query + "10")
        #expect(count(first, "gaps") == 0)
        let gap = try await room.send(Array(record(3).utf8), query: query + "15")
        #expect(count(gap, "gaps") == 1)
        #expect(
            gap["findings"] == [.structure(["number": 15, "finding": "gap", "expected": 12])])
        #expect(count(try await room.send(Array(record(4).utf8), query: query + "13"), "late") == 1)
        #expect(count(try await room.send(Array(record(5).utf8), query: query + "11"), "repeats") == 1)
        // The same event again is no repeat: it is there already.
        let again = try await room.send(Array(record(3).utf8), query: query + "15")
        #expect(count(again, "duplicates") == 1 && count(again, "repeats") == 0)
        var shown: [SourceSequence] = []
        for entry in try room.journal.read(from: 0, bytesMax: 1 << 20).entries {
            let envelope = try #require(EventEnvelope.parse(entry))
            shown.append(try #require(SourceSequence.read(envelope.record)))
        }
        #expect(
            shown == [
                SourceSequence(source: "fw-1", number: 10), SourceSequence(source: "fw-1", number: 11),
                SourceSequence(source: "fw-1", number: 15, finding: .gap, expected: 12),
                SourceSequence(source: "fw-1", number: 13, finding: .late, expected: 16),
                SourceSequence(source: "fw-1", number: 11, finding: .repeated, expected: 16),
            ])
        let source = try #require(room.intake.sources(of: "111122223333").first?.source)
        #expect(source.next == 16 && source.received == 5)
        #expect(source.missing == [12..<13, 14..<15])
        await room.journal.close()
    }

    @Test func `a malformed record takes a number, and a record that has a number already is malformed`() async throws {
        let room = try await Room()
        let numbered = SourceSequence(source: "x", number: 1).appended(to: Array(record(2).utf8))
        let text = record(1) + "\n{}\n" + String(decoding: numbered, as: UTF8.self) + "\n" + record(3)
        let answer = try await room.send(Array(text.utf8), query: "?source=fw-1&sequence=1")
        #expect(count(answer, "imported") == 2 && count(answer, "malformed") == 2)
        #expect(room.intake.sources(of: "111122223333").first?.source.missing == [2..<4])
        await room.journal.close()
    }

    @Test(arguments: [
        "?source=fw-1", "?sequence=1", "?source=a%20b&sequence=1", "?source=a&sequence=-1", "?source=a&sequence=x",
    ])
    func `source and sequence come together and are well-formed`(query: String) async throws {
        let room = try await Room()
        let error = await #expect(throws: AWSError.self) {
            _ = try await room.send(Array(record(1).utf8), query: query)
        }
        #expect(error?.code == "ValidationException")
        await room.journal.close()
    }

    @Test func `after a crash the ledger is what the journal tells`() async throws {
        let room = try await Room()
        for (number, sequence) in [(1, 1), (2, 5), (3, 2), (4, 5)] {
            _ = try await room.send(Array(record(number).utf8), query: "?source=fw-1&sequence=\(sequence)")
        }
        let before = try #require(room.intake.sources(of: "111122223333").first?.source)
        let again = try await RecordIntake.open(
            journal: room.journal,
            store: .init(
                load: { () throws(AWSError) in SourceLedger().document(position: 0) }, save: { _ throws(AWSError) in }),
            limits: IntakeLimits(), clock: { Timestamp(seconds: 1) }, known: { (_, _) throws(AWSError) in [] },
            backlog: { 0 }, pause: { _ in })
        var after = try #require(again.sources(of: "111122223333").first?.source)
        after.latest = before.latest
        #expect(after == before)
        #expect(again.positionKept == 4)
        await room.journal.close()
    }
}
