// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Capture
import EventRecord
import Testing

struct SourceLedgerTests {
    private let name = SourceLedger.Name(account: "111122223333", source: "fw-1")

    private func findings(_ numbers: [UInt64], in ledger: inout SourceLedger) -> [String] {
        numbers.map { ledger.record($0, of: name, at: 1).finding?.rawValue ?? "-" }
    }

    @Test func `the first number may be any, and each next one is expected`() {
        var ledger = SourceLedger()
        #expect(findings([7, 8, 9], in: &ledger) == ["-", "-", "-"])
        #expect(ledger.sources[name]?.next == 10)
    }

    @Test func `a number is late once, then a repeat`() {
        var ledger = SourceLedger()
        #expect(findings([1, 4, 2, 2, 3, 4, 5], in: &ledger) == ["-", "gap", "late", "repeat", "late", "repeat", "-"])
        #expect(ledger.sources[name]?.missing == [])
        #expect(ledger.sources[name]?.late == 2 && ledger.sources[name]?.repeats == 2)
    }

    @Test func `gaps beyond the bound are counted and no longer told apart`() throws {
        var ledger = SourceLedger()
        let most = UInt64(SourceLedger.Limits.missingRangesMax)
        _ = findings((0...most + 1).map { $0 * 2 }, in: &ledger)
        let source = try #require(ledger.sources[name])
        #expect(source.gaps == most + 1)
        #expect(source.missing.count == SourceLedger.Limits.missingRangesMax)
        #expect(findings([1, 3, 2], in: &ledger) == ["old", "late", "repeat"])
    }

    @Test func `an event that is there already leaves no gap`() {
        var ledger = SourceLedger()
        #expect(findings([1], in: &ledger) == ["-"])
        let isChanged = (ledger.noteKnown(2, of: name), ledger.noteKnown(1, of: name))
        #expect(isChanged == (true, false))
        #expect(findings([3], in: &ledger) == ["-"])
    }

    @Test func `a document gives the same ledger again, and a damaged one is refused`() throws {
        var ledger = SourceLedger()
        _ = findings([1, 9, 3, 9, 20], in: &ledger)
        let (read, position) = try SourceLedger.read(ledger.document(position: 77))
        #expect(read == ledger)
        #expect(position == 77)
        for text in ["", "{}", "{\"position\":1,\"sources\":[{}]}", "{\"position\":-1,\"sources\":[]}"] {
            #expect(throws: AWSError.self) { try SourceLedger.read(Array(text.utf8)) }
        }
    }

    @Test func `sources have a bound`() {
        var ledger = SourceLedger()
        for number in 0..<SourceLedger.Limits.sourcesMax {
            _ = ledger.record(1, of: .init(account: "111122223333", source: "s\(number)"), at: 1)
        }
        #expect(!ledger.hasRoom(for: name))
        #expect(ledger.hasRoom(for: .init(account: "111122223333", source: "s0")))
    }
}
