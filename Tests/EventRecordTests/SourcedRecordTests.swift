// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Testing

struct SourcedRecordTests {
    @Test(arguments: [
        SourceSequence(source: "fw-1", number: 0),
        SourceSequence(
            source: "arn:aws:cloudtrail:us-east-1:111122223333:channel/x", number: 1 << 62, finding: .gap, expected: 5),
        SourceSequence(source: "a.b_c/d@e", number: 3, finding: .repeated, expected: 9),
    ])
    func `a number stands at the record's end, which is else as it was`(sequence: SourceSequence) throws {
        let record = Array("{ \"eventName\" : \"N\", \"x\":{\"sourceSequence\":1} } \n".utf8)
        let numbered = sequence.appended(to: record)
        #expect(numbered.starts(with: record.dropLast(3)))
        #expect(SourceSequence.read(numbered[...]) == sequence)
        #expect(try Event(numbered).eventName == "N")
    }

    @Test func `a record that has a number already is refused by its reader`() {
        let once = SourceSequence(source: "a", number: 1).appended(to: Array("{\"eventName\":\"N\"}".utf8))
        #expect(throws: EventError.self) { try Event(SourceSequence(source: "a", number: 2).appended(to: once)) }
    }

    @Test(arguments: ["", "a b", "a\"", "ü", String(repeating: "x", count: 257)])
    func `a source's name needs no escapes and has a bound`(name: String) {
        #expect(!SourceSequence.isSource(name))
    }

    @Test func `what has no number has none`() {
        for text in ["{}", "{\"sourceSequence\":1}", "{\"sourceSequence\":{\"source\":\"a\"}}", "broken"] {
            #expect(SourceSequence.read(Array(text.utf8)[...]) == nil)
        }
    }

    @Test func `an event from a channel is in a category of its own`() throws {
        let event = try Event(Array("{\"eventCategory\":\"ActivityAuditLog\",\"eventName\":\"N\"}".utf8))
        #expect(event.category == .activityAuditLog)
    }
}
