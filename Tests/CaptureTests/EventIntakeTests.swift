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
        let service: Service

        init() throws {
            folder = FileManager.default.temporaryDirectory.path + "/cairn-intake-\(UUID().uuidString)"
            for name in ["journal", "intake"] {
                try FileManager.default.createDirectory(
                    atPath: folder + "/" + name, withIntermediateDirectories: true)
            }
            journal = try Journal.open(
                directory: folder + "/journal", device: POSIXJournalDevice(), limits: JournalLimits(), clock: { 0 })
            let seen = Mutex<Set<String>>([])
            service =
                EventIntake(journal: journal, directory: folder + "/intake") { ids, _ in
                    seen.withLock { known in
                        defer { known.formUnion(ids) }
                        return known.intersection(ids)
                    }
                }.service
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        func send(_ bytes: [UInt8], pieces size: Int = 1000) async throws -> WireStructure {
            let http = try WireRequest(method: "POST", target: "/events", headers: [])
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
            let room = try Room()
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
        let room = try Room()
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
            let room = try Room()
            let answer = try await room.send(Array(whole[..<(whole.count * 3 / 4)]))
            #expect(count(answer, "malformed") != 0)
            let problems = try #require(answer["problems"]?.asList)
            #expect(!problems.isEmpty)
            #expect(Int64(room.journal.durableNumber) == count(answer, "imported"))
            await room.journal.close()
        }
    }

    @Test func `a body that does not prove itself leaves no event`() async throws {
        let room = try Room()
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
}
