// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import EventRecord

/// ListPublicKeys; both times inclusive.
struct ListPublicKeysInput: OperationInput {
    var start: Timestamp?
    var end: Timestamp?

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["StartTime", "EndTime", "NextToken"])
        start = try fields.timestamp("StartTime")
        end = try fields.timestamp("EndTime")
        // All keys fit in one answer, so no token was ever given out.
        if try fields.string("NextToken") != nil { throw .invalidToken }
        if let start, let end, start > end {
            throw .invalidTimeRange("StartTime \(start.iso8601) is after EndTime \(end.iso8601).")
        }
    }
}

struct ListPublicKeysOutput: OperationOutput {
    let keys: [SigningKeys.PublicKey]

    func answer() -> OperationAnswer {
        let list = keys.map { key in
            WireValue.structure([
                "Value": .string(Base64.encode(key.der)), "ValidityStartTime": .timestamp(key.validFrom),
                "ValidityEndTime": .timestamp(key.validUntil), "Fingerprint": .string(key.fingerprint),
            ])
        }
        return OperationAnswer(body: .members(["PublicKeyList": .list(list)]))
    }
}

struct LookupEventsInput: OperationInput {
    static let resultsMax = 50
    static let valueLengthMax = 2000

    /// At most one.
    var attribute: LookupAttribute?
    /// Inclusive, both.
    var start: Timestamp?
    var end: Timestamp?
    var isInsight: Bool
    var resultsMax: Int
    var token: String?

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(
            request,
            known: ["LookupAttributes", "StartTime", "EndTime", "EventCategory", "MaxResults", "NextToken"])
        let items = try fields.structures("LookupAttributes", known: ["AttributeKey", "AttributeValue"]) ?? []
        guard items.count <= 1 else { throw .invalidLookupAttributes("You can look up by one attribute at a time.") }
        if let item = items.first { attribute = try Self.attribute(item) }
        start = try fields.timestamp("StartTime")
        end = try fields.timestamp("EndTime")
        if let start, let end, start > end {
            throw .invalidTimeRange("StartTime \(start.iso8601) is after EndTime \(end.iso8601).")
        }
        let category = try fields.string("EventCategory")
        guard category == nil || category == "insight" else { throw .invalidEventCategory }
        isInsight = category != nil
        let most = try fields.integer("MaxResults") ?? Int64(Self.resultsMax)
        guard (1...Int64(Self.resultsMax)).contains(most) else { throw .invalidMaxResults }
        resultsMax = Int(most)
        token = try fields.string("NextToken")
        if isInsight, let key = attribute?.key, ![.eventID, .eventName, .eventSource].contains(key) {
            throw .invalidLookupAttributes("Insights events can be looked up by EventId, EventName and EventSource.")
        }
    }

    private static func attribute(_ item: WireFields) throws(AWSError) -> LookupAttribute {
        guard let name = try item.string("AttributeKey"), let value = try item.string("AttributeValue") else {
            throw .invalidLookupAttributes("A lookup attribute must have AttributeKey and AttributeValue.")
        }
        guard let key = LookupAttribute.Key(rawValue: name) else {
            throw .invalidLookupAttributes(
                "The attribute key `\(name)` is not one of "
                    + LookupAttribute.Key.allCases.map(\.rawValue).joined(separator: ", ") + ".")
        }
        guard !value.isEmpty, weight(value) <= valueLengthMax else {
            throw .invalidLookupAttributes("AttributeValue must have 1 to \(valueLengthMax) characters.")
        }
        guard key != .readOnly || value == "true" || value == "false" else {
            throw .invalidLookupAttributes("For ReadOnly the value must be true or false.")
        }
        return LookupAttribute(key, value)
    }

    /// Underscore, space, comma and line break count twice.
    private static func weight(_ value: String) -> Int {
        value.unicodeScalars.reduce(0) { $0 + ("_ ,\n".unicodeScalars.contains($1) ? 2 : 1) }
    }
}
