// SPDX-License-Identifier: Apache-2.0
//
// What events show of SNS calls: what is published is hidden, and maps, which the Query protocol has as lists of entries,
// are shown as maps. Source: Amazon SNS Developer Guide, "Logging AWS SNS API calls using AWS CloudTrail".

internal import AWSWire

enum TopicRecording {
    private static let secrets: Set<String> = ["Message", "Subject", "MessageAttributes", "Token"]

    @Sendable static func parameters(_ request: OperationRequest) -> WireValue {
        request.parameters.isEmpty ? .null : .structure(shown(request.parameters))
    }

    private static func shown(_ structure: WireStructure) -> WireStructure {
        WireStructure(
            structure.members.map { member in
                WireStructure.Member(
                    member.name.firstLowercased,
                    secrets.contains(member.name) ? QueueRecording.hidden : shown(member.value))
            })
    }

    private static func shown(_ value: WireValue) -> WireValue {
        switch value {
        case .structure(let structure): return .structure(shown(structure))
        case .list(let items):
            let entries = items.compactMap { item -> WireStructure.Member? in
                guard let fields = item.asStructure, fields.members.count == 2, let key = fields["key"]?.asString,
                    let value = fields["value"]
                else { return nil }
                return WireStructure.Member(key, value)
            }
            guard entries.count == items.count, !items.isEmpty else { return .list(items.map(shown)) }
            return .structure(WireStructure(entries))
        default: return value
        }
    }
}
