// SPDX-License-Identifier: Apache-2.0

package import AWSWire

/// All that is known of a call before its outcome: what an intent says, and what the event repeats.
package struct CallRecord: Sendable {
    package var call: Call
    package var eventSource: String
    package var eventName: String
    package var isReadOnly: Bool
    package var category: OperationTraits.Category
    package var apiVersion: String?
    /// As CloudTrail shows them; null for none.
    package var requestParameters: WireValue
    package var resources: [ResourceReference]
    /// The `Host` header as the client sent it.
    package var host: String?
    /// The access key that the request named, whether or not it is proven.
    package var presentedAccessKeyID: String?
    /// The service that acted for the caller.
    package var invokedBy: String?
    /// What a service did by itself: the event is then of the type AwsServiceEvent, and has no request id.
    package var serviceEventDetails: WireValue?
    /// The event's type, where it is not AwsApiCall.
    package var eventType: String?
    /// Whether nobody signed, where that is allowed to be: S3 takes such calls and lets the bucket's policy decide.
    package var isAnonymous = false

    package init(
        call: Call, eventSource: String, eventName: String, isReadOnly: Bool, category: OperationTraits.Category,
        apiVersion: String?, requestParameters: WireValue, resources: [ResourceReference], host: String?,
        presentedAccessKeyID: String?
    ) {
        self.call = call
        self.eventSource = eventSource
        self.eventName = eventName
        self.isReadOnly = isReadOnly
        self.category = category
        self.apiVersion = apiVersion
        self.requestParameters = requestParameters
        self.resources = resources
        self.host = host
        self.presentedAccessKeyID = presentedAccessKeyID
    }
}

extension CallRecord {
    /// What services do by themselves and sign-ins have no request id in CloudTrail.
    var hasRequestID: Bool { serviceEventDetails == nil && eventType != "AwsConsoleSignIn" }

    /// Adds members to the recorded parameters.
    package mutating func add(_ further: WireStructure) {
        guard !further.isEmpty else { return }
        var members = requestParameters.asStructure ?? WireStructure()
        members.members.append(contentsOf: further.members)
        requestParameters = .structure(members)
    }
}

/// How a call ended.
package struct CallOutcome: Sendable {
    package var error: AWSError?
    /// The event's errorMessage of a failure that has no code (ConsoleLogin).
    package var errorMessage: String?
    /// As CloudTrail shows them; null for reads and for failures.
    package var responseElements: WireValue
    package var additionalEventData: WireStructure

    package init(
        error: AWSError? = nil, responseElements: WireValue = .null,
        additionalEventData: WireStructure = WireStructure(), errorMessage: String? = nil
    ) {
        self.errorMessage = errorMessage
        self.error = error
        self.responseElements = responseElements
        self.additionalEventData = additionalEventData
    }
}

/// How a shape is shown in an event: first letters in lower case, secrets replaced.
package enum RecordedShape {
    /// What stands in the place of a secret, as in CloudTrail's own records.
    package static let hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

    /// Projects members to their recorded form; nothing at all becomes null.
    ///
    /// - Parameters:
    ///   - redacted: paths in wire spelling; lists are passed through (`Keys.Secret` reaches each item).
    ///   - times: members that are epoch seconds; what is no number there is shown as it was sent.
    package static func members(_ structure: WireStructure, redacted: [String], times: [String] = []) -> WireValue {
        guard !structure.isEmpty else { return .null }
        var structure = structure
        for name in times {
            guard let index = structure.members.firstIndex(where: { $0.name == name }) else { continue }
            structure.members[index].value = written(structure.members[index].value)
        }
        return .structure(lowered(structure, redacted: redacted.map { $0.split(separator: ".")[...] }))
    }

    /// Epoch seconds as a time.
    private static func written(_ value: WireValue) -> WireValue {
        let years = -62_135_596_800.0...253_402_300_799.0
        switch value {
        case .integer(let seconds) where years.contains(Double(seconds)):
            return .timestamp(Timestamp(seconds: seconds))
        case .number(let seconds) where years.contains(seconds):
            return .timestamp(Timestamp(seconds: Int64(seconds.rounded(.down))))
        default: return value
        }
    }

    private static func lowered(_ structure: WireStructure, redacted: [ArraySlice<Substring>]) -> WireStructure {
        WireStructure(
            structure.members.map { member in
                let inner = redacted.filter { $0.first.map(String.init) == member.name }.map { $0.dropFirst() }
                let value: WireValue = inner.contains { $0.isEmpty } ? .string(hidden) : lowered(member.value, inner)
                return WireStructure.Member(member.name.firstLowercased, value)
            })
    }

    private static func lowered(_ value: WireValue, _ redacted: [ArraySlice<Substring>]) -> WireValue {
        switch value {
        case .structure(let structure): .structure(lowered(structure, redacted: redacted))
        case .list(let items): .list(items.map { lowered($0, redacted) })
        case .timestamp(let time): .string(time.recordForm)
        default: value
        }
    }
}
