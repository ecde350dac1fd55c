// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// GetEventSelectors; GetInsightSelectors reads the same member.
struct TrailSelectorsInput: OperationInput {
    var name: TrailReference

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["TrailName", "EventDataStore"])
        if request.operation == "GetInsightSelectors", fields.has("EventDataStore") {
            throw .unsupported("EventDataStore", "the event data store")
        }
        name = try TrailReference(try fields.requiredString("TrailName"))
    }
}

struct PutEventSelectorsInput: OperationInput {
    var name: TrailReference
    var selectors: [EventSelector]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["TrailName", "EventSelectors", "AdvancedEventSelectors"])
        name = try TrailReference(try fields.requiredString("TrailName"))
        let items = try fields.structures("EventSelectors", known: EventSelector.members)
        if fields.has("AdvancedEventSelectors") {
            guard items == nil else {
                throw .invalidSelectors("Give either EventSelectors or AdvancedEventSelectors, not both.")
            }
            throw .unsupported("AdvancedEventSelectors", "the advanced event selector")
        }
        guard let items else { throw .invalidSelectors("Specify event selectors for your trail.") }
        selectors = []
        for item in items { selectors.append(try EventSelector(item)) }
        try EventSelector.check(selectors)
    }
}

struct EventSelectorsOutput: OperationOutput {
    let trail: Trail

    func answer() -> OperationAnswer {
        OperationAnswer(
            body: .members([
                "TrailARN": .string(trail.arn.text),
                "EventSelectors": .list(trail.effectiveSelectors.map { .structure($0.asWire) }),
            ]))
    }
}

extension EventSelector {
    static let members = [
        "ReadWriteType", "IncludeManagementEvents", "DataResources", "ExcludeManagementEventSources",
    ]

    init(_ fields: WireFields) throws(AWSError) {
        let type = try fields.string("ReadWriteType") ?? ReadWriteType.all.rawValue
        guard let readWriteType = ReadWriteType(rawValue: type) else {
            throw .invalidSelectors(
                "Value \(type) for ReadWriteType is invalid. Valid values are: All, ReadOnly, WriteOnly")
        }
        var resources: [DataResource] = []
        for item in try fields.structures("DataResources", known: ["Type", "Values"]) ?? [] {
            guard let type = try item.string("Type") else {
                throw .invalidSelectors("Each of DataResources must have a Type.")
            }
            resources.append(DataResource(type: type, values: try item.strings("Values") ?? []))
        }
        self.init(
            readWriteType: readWriteType,
            includesManagementEvents: try fields.bool("IncludeManagementEvents") ?? true, dataResources: resources,
            excludedSources: try fields.strings("ExcludeManagementEventSources") ?? [])
    }

    var asWire: WireStructure {
        [
            "ReadWriteType": .string(readWriteType.rawValue),
            "IncludeManagementEvents": .bool(includesManagementEvents),
            "DataResources": .list(
                dataResources.map { resource in
                    .structure([
                        "Type": .string(resource.type), "Values": .list(resource.values.map { .string($0) }),
                    ])
                }),
            "ExcludeManagementEventSources": .list(excludedSources.map { .string($0) }),
        ]
    }
}
