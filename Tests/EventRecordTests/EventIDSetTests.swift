// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Testing

struct EventIDSetTests {
    private func key(_ text: String) throws -> EventIDSet.Key {
        let record = Array(text.utf8)
        let fields = try EventReader.scan(record)
        return record.withUnsafeBytes { EventIDSet.Key(of: fields, in: $0) }
    }

    @Test func `each id is new once`() throws {
        var ids = EventIDSet()
        for round in 0..<2 {
            for number in 0..<5000 {
                #expect(ids.insert(try key("{\"eventID\":\"\(number)\",\"round\":\(round)}")) == (round == 0))
            }
        }
        #expect(ids.count == 5000)
    }

    @Test func `escapes change no id, and records without one are told apart by their bytes`() throws {
        #expect(try key(#"{"eventID":"a-1"}"#) == key(#"{"x":1,"eventID":"\u0061-1"}"#))
        #expect(try key(#"{"x":1}"#) == key(#"{"x":1}"#))
        #expect(try key(#"{"x":1}"#) != key(#"{"x":2}"#))
        #expect(try key(#"{"eventID":"","x":1}"#) != key(#"{"eventID":"","x":2}"#))
    }
}
