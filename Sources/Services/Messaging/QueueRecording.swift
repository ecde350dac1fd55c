// SPDX-License-Identifier: Apache-2.0
//
// What events show of SQS calls: bodies and attributes of messages are hidden, the keys of maps stay as they are.
// Source: Amazon SQS Developer Guide, "Logging Amazon SQS API calls using AWS CloudTrail".

internal import AWSWire

enum QueueRecording {
    static let hidden: WireValue = "HIDDEN_DUE_TO_SECURITY_REASONS"
    private static let secrets: Set<String> = ["MessageBody", "MessageAttributes", "MessageSystemAttributes"]
    private static let maps: Set<String> = ["Attributes", "Tags", "tags"]

    @Sendable static func parameters(_ request: OperationRequest) -> WireValue {
        request.parameters.isEmpty ? .null : .structure(shown(request.parameters))
    }

    private static func shown(_ structure: WireStructure) -> WireStructure {
        WireStructure(
            structure.members.map { member in
                var value = member.value
                if secrets.contains(member.name) {
                    value = hidden
                } else if case .list(let items) = value {
                    value = .list(items.map { $0.asStructure.map { .structure(shown($0)) } ?? $0 })
                } else if !maps.contains(member.name), let inner = value.asStructure {
                    value = .structure(shown(inner))
                }
                return WireStructure.Member(member.name.firstLowercased, value)
            })
    }
}
