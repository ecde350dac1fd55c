// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Testing

struct EventShapesTests {
    private static let record = #"""
        {"eventVersion":"1.11","userIdentity":{"type":"IAMUser","userName":"anna"},"eventTime":"2026-01-31T23:59:59Z",\#
        "eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","requestParameters":\#
        {"bucketName":"b","list":[1,2.5e3,"x"],"deep":{"a":{"b":null,"c":true}}},"readOnly":true,\#
        "resources":[{"type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::b"}],"tlsDetails":{"tlsVersion":"TLSv1.3"},"n":-12}
        """#

    /// Puts a shape's pieces and the record's slots together again.
    private func joined(_ shapes: EventShapes, _ shape: EventShape, _ record: UnsafeRawBufferPointer) -> [UInt8] {
        var out: [UInt8] = []
        var start = 0
        for (index, end) in shape.pieceEnds.enumerated() {
            out += shape.literal[start..<end]
            start = end
            if index < shapes.slotCount { out += shapes.slots[index].value(in: record) }
        }
        return out
    }

    private func variant(_ changes: (String, String)...) -> [UInt8] {
        var text = Self.record
        for (from, to) in changes { text = text.replacing(from, with: to) }
        return Array(text.utf8)
    }

    @Test func `a record of a shape that was learned is recognized, and is its pieces and slots`() throws {
        let shapes = EventShapes()
        for record in [
            variant(), variant(("anna", "ben"), ("59:59Z", "00:00Z")), variant(("eu-west-1", "us\\u002deast-1")),
            variant(("2.5e3", "7"), ("-12", "0"), ("TLSv1.3", "caf\u{e9} \u{1F600}")),
        ] {
            try record.withUnsafeBytes { bytes in
                if shapes.shapes.isEmpty { #expect(shapes.learn(bytes)?.number == 0) }
                let number = try #require(shapes.match(bytes))
                #expect(number == 0)
                #expect(joined(shapes, shapes.shapes[number], bytes) == record)
            }
        }
        #expect(shapes.shapes[0].slots.contains(.identity) && shapes.shapes[0].slots.contains(.container))
    }

    @Test func `what makes an event another kind makes another shape`() {
        let shapes = EventShapes()
        _ = variant().withUnsafeBytes { shapes.learn($0) }
        for record in [
            variant(("GetObject", "PutObject")), variant(("s3.amazonaws.com", "sts.amazonaws.com")),
            variant(("AWS::S3::Bucket", "AWS::S3::Object")), variant(("\"readOnly\":true", "\"readOnly\":false")),
            variant(("\"bucketName\"", "\"bucketname\"")), variant(("[1,2.5e3", "[\"1\",2.5e3")),
            variant((",\"n\":-12", "")), variant(("{\"type\":\"IAMUser\",\"userName\":\"anna\"}", "null")),
        ] {
            record.withUnsafeBytes { bytes in
                #expect(shapes.match(bytes) == nil)
                let shape = shapes.learn(bytes)
                #expect(shape != nil && shapes.match(bytes) == shape?.number)
            }
        }
    }

    @Test(arguments: 0..<20)
    func `what is recognized is well-formed, whatever bytes are changed`(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        let shapes = EventShapes()
        let good = variant()
        _ = good.withUnsafeBytes { shapes.learn($0) }
        var recognized = 0
        for _ in 0..<3000 {
            var bad = good
            for _ in 0...Int(random.next() % 3) {
                let at = Int(random.next() % UInt64(bad.count))
                switch random.next() % 4 {
                case 0: bad[at] = UInt8(truncatingIfNeeded: random.next())
                case 1: bad.remove(at: at)
                case 2: bad.insert(Array("\"\\{}[],:09aé\u{0}".utf8)[Int(random.next() % 14)], at: at)
                default: bad.swapAt(at, Int(random.next() % UInt64(bad.count)))
                }
            }
            bad.withUnsafeBytes { bytes in
                guard let number = shapes.match(bytes) else { return }
                recognized += 1
                #expect(joined(shapes, shapes.shapes[number], bytes) == bad)
                // Identities are looked into apart, where a member may be there twice.
                let isAccepted = (try? EventReader.scan(bad)) != nil
                let identity = shapes.slots[0].value(in: bytes)
                #expect(isAccepted || !identity.elementsEqual(Array(#"{"type":"IAMUser","userName":"anna"}"#.utf8)))
            }
        }
        #expect(recognized > 100)
    }

    @Test func `a record with too many values has no shape, and a long list is one slot`() {
        let shapes = EventShapes()
        let many = (0..<300).map { "\"k\($0)\":\"v\"" }.joined(separator: ",")
        let wide = Array("{\"requestParameters\":{\(many)}}".utf8)
        let long = Array("{\"requestParameters\":{\"l\":[\((0..<300).map(String.init).joined(separator: ","))]}}".utf8)
        wide.withUnsafeBytes { bytes in
            // The whole object is one slot then.
            #expect(shapes.learn(bytes)?.slots.count ?? 0 <= EventShapes.slotsMax)
        }
        long.withUnsafeBytes { bytes in
            #expect(shapes.learn(bytes)?.slots == [.container])
            #expect(shapes.match(bytes) != nil)
        }
    }

    private struct SplitMix {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }
}
