// SPDX-License-Identifier: Apache-2.0
//
// What happens to values that are too large for a record. CloudTrail replaces them by
//
//     {"reason":"requestParameters too large","omitted":true,"originalSize":149893}
//
// which has been used to hide a policy's text. So the replaced value leaves a trace of ours beside CloudTrail's:
//
//     "additionalEventData":{...,"omittedByCairn":{"requestParameters":{"sha256":HEX,"originalSize":N,"head":TEXT}}}

enum EventOmission {
    /// The draft with every value over its own limit replaced.
    static func withoutLargeValues(_ draft: EventDraft) -> EventDraft {
        var draft = draft
        var traces: [Trace] = []
        let limit = EventWriter.Limits.parametersBytesMax
        omit("requestParameters", &draft.requestParameters, over: limit, &traces)
        omit("responseElements", &draft.responseElements, over: limit, &traces)
        omit("serviceEventDetails", &draft.serviceEventDetails, over: limit, &traces)
        let room = EventWriter.Limits.additionalBytesMax - traces.reduce(0) { $0 + $1.json.count } - 64
        omit(
            "additionalEventData", &draft.additionalEventData, over: traces.isEmpty ? limitOfAdditional : room, &traces)
        add(traces, to: &draft)
        return draft
    }

    /// Takes the next thing out of a record that is too large as a whole. False when nothing is left to take.
    static func shrink(_ draft: inout EventDraft) -> Bool {
        var traces: [Trace] = []
        if omit("responseElements", &draft.responseElements, over: 1024, &traces)
            || omit("requestParameters", &draft.requestParameters, over: 1024, &traces)
            || omit("serviceEventDetails", &draft.serviceEventDetails, over: 1024, &traces)
        {
            add(traces, to: &draft)
            return true
        }
        if draft.resources.count > resourcesKept {
            traces.append(Trace(json: Array("\"resources\":{\"originalCount\":\(draft.resources.count)}".utf8)))
            draft.resources = Array(draft.resources.prefix(resourcesKept))
            add(traces, to: &draft)
            return true
        }
        if draft.identity.session?.webIDFederation != nil {
            draft.identity.session?.webIDFederation = nil
            return true
        }
        return false
    }

    /// As many of the longest resources as fit beside everything else at its limit, escaped as badly as can be.
    private static let resourcesKept = 5
    private static let limitOfAdditional = EventWriter.Limits.additionalBytesMax

    private struct Trace {
        var json: [UInt8]
    }

    @discardableResult
    private static func omit(
        _ name: String, _ value: inout [UInt8]?, over limit: Int, _ traces: inout [Trace]
    ) -> Bool {
        guard let bytes = value, bytes.count > limit else { return false }
        var head = bytes.prefix(EventWriter.Limits.headBytesMax)
        while let last = head.last, last & 0xC0 == 0x80 { head.removeLast() }
        if let last = head.last, last >= 0xC0 { head.removeLast() }
        var json: [UInt8] = []
        JSONText.append(name, to: &json)
        json.append(
            contentsOf: Array(
                ":{\"sha256\":\"\(SHA256Digest.hex(bytes))\",\"originalSize\":\(bytes.count),\"head\":".utf8))
        JSONText.append(String(decoding: head, as: UTF8.self), to: &json)
        json.append(0x7D)
        traces.append(Trace(json: json))
        value = Array("{\"reason\":\"\(name) too large\",\"omitted\":true,\"originalSize\":\(bytes.count)}".utf8)
        return true
    }

    /// Puts the traces as one more member into additionalEventData, beside those of an earlier turn.
    private static func add(_ traces: [Trace], to draft: inout EventDraft) {
        guard !traces.isEmpty else { return }
        let own = Array("\"omittedByCairn\":{".utf8)
        let inner = traces.map(\.json).joined(separator: [0x2C])
        var data = draft.additionalEventData ?? Array("{}".utf8)
        guard let end = data.lastIndex(of: 0x7D) else { return }
        let isEmpty = !data[..<end].contains(0x22)
        if let earlier = data.firstRange(of: own) {
            data.insert(contentsOf: Array(inner) + [0x2C], at: earlier.upperBound)
        } else {
            data.insert(contentsOf: (isEmpty ? [] : [0x2C]) + own + Array(inner) + [0x7D], at: end)
        }
        draft.additionalEventData = data
    }
}
