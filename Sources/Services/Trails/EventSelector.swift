// SPDX-License-Identifier: Apache-2.0
//
// Basic event selectors (CloudTrail API reference, "EventSelector" and "DataResource"): which events a trail takes.

internal import AWSWire
internal import EventRecord

/// One basic selector; an event is taken when any of a trail's selectors takes it.
struct EventSelector: Sendable, Equatable, Codable {
    enum ReadWriteType: String, Sendable, Codable {
        case all = "All"
        case readOnly = "ReadOnly"
        case writeOnly = "WriteOnly"
    }

    struct DataResource: Sendable, Equatable, Codable {
        var type: String
        /// ARNs, or beginnings of them.
        var values: [String]
    }

    enum Limits {
        static let selectorsMax = 5
        /// Over all selectors; values that mean "all" do not count.
        static let dataValuesMax = 250
    }

    var readWriteType: ReadWriteType
    var includesManagementEvents: Bool
    var dataResources: [DataResource]
    /// Sources whose management events are left out.
    var excludedSources: [String]

    /// What a trail has before anything was put, and again after exactly this was put.
    static let standard = EventSelector(
        readWriteType: .all, includesManagementEvents: true, dataResources: [], excludedSources: [])

    static let objectType = "AWS::S3::Object"
    static let functionType = "AWS::Lambda::Function"
    static let tableType = "AWS::DynamoDB::Table"
    private static let excludableSources = ["kms.amazonaws.com", "rdsdata.amazonaws.com"]

    /// Checks a trail's list.
    ///
    /// - Throws: `InvalidEventSelectorsException`.
    static func check(_ selectors: [EventSelector]) throws(AWSError) {
        guard (1...Limits.selectorsMax).contains(selectors.count) else {
            throw .invalidSelectors("Specify a valid number of selectors (1 to \(Limits.selectorsMax)) for your trail")
        }
        var values = 0
        for selector in selectors {
            for source in selector.excludedSources where !excludableSources.contains(source) {
                throw .invalidSelectors(
                    "Value \(source) for ExcludeManagementEventSources is invalid. Valid values are: "
                        + excludableSources.joined(separator: ", "))
            }
            for resource in selector.dataResources {
                for value in resource.values {
                    try check(value, of: resource.type)
                    if !isAll(value, of: resource.type) { values += 1 }
                }
                try checkType(resource.type)
            }
        }
        guard values <= Limits.dataValuesMax else {
            throw .invalidSelectors(
                "The selectors have \(values) data resource values in all; at most \(Limits.dataValuesMax) are allowed."
            )
        }
    }

    private static func checkType(_ type: String) throws(AWSError) {
        let types = [tableType, functionType, objectType]
        guard types.contains(type) else {
            throw .invalidSelectors(
                "Value \(type) for DataResources.Type is invalid. Valid values are: " + types.joined(separator: ", "))
        }
    }

    private static func isAll(_ value: String, of type: String) -> Bool {
        switch type {
        case objectType: value == "arn:aws:s3" || value == "arn:aws:s3:::"
        case functionType: value == "arn:aws:lambda"
        default: value == "arn:aws:dynamodb"
        }
    }

    private static func check(_ value: String, of type: String) throws(AWSError) {
        try checkType(type)
        guard !isAll(value, of: type) else { return }
        let parts = value.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        let isValid: Bool =
            if parts.count == 6, parts[0] == "arn", ["aws", "aws-cn", "aws-us-gov"].contains(parts[1]) {
                switch type {
                case objectType: parts[2] == "s3" && parts[3].isEmpty && parts[4].isEmpty && isObjectPlace(parts[5])
                case functionType: parts[2] == "lambda" && parts[5].hasPrefix("function:") && !value.contains("*")
                default: parts[2] == "dynamodb" && parts[5].hasPrefix("table/") && !value.contains("*")
                }
            } else {
                false
            }
        guard isValid else { throw .invalidSelectors("Value \(value) for DataResources.Values is invalid.") }
    }

    /// `bucket/` or `bucket/beginning-of-key`.
    private static func isObjectPlace(_ place: Substring) -> Bool {
        guard let slash = place.firstIndex(of: "/"), slash != place.startIndex else { return false }
        return !place[..<slash].contains("*")
    }
}

extension EventSelector {
    /// The selector as a predicate; an event is taken when its kind (read or write) and its place are.
    var filter: EventFilter {
        var places: [EventFilter] = dataResources.flatMap { Self.filters($0) }
        if includesManagementEvents {
            let management = EventFilter.category(.management)
            places.append(
                excludedSources.isEmpty
                    ? management : .and([management, .not(.any(.eventSource, .equals, excludedSources))]))
        }
        guard !places.isEmpty else { return .nothing }
        switch readWriteType {
        case .all: return .or(places)
        case .readOnly: return .and([.compare(.readOnly, .equals, "true"), .or(places)])
        case .writeOnly: return .and([.not(.compare(.readOnly, .equals, "true")), .or(places)])
        }
    }

    private static func filters(_ resource: DataResource) -> [EventFilter] {
        guard !resource.values.isEmpty else { return [] }
        var filters: [EventFilter] = []
        func add(_ type: String, _ comparison: EventComparison, _ values: [String]) {
            guard !values.isEmpty else { return }
            filters.append(
                .and([
                    .category(.data),
                    .resource(ResourcePattern(type: type, tests: [.init(comparison, values)])),
                ]))
        }
        if resource.values.contains(where: { isAll($0, of: resource.type) }) {
            filters.append(.and([.category(.data), .resource(ResourcePattern(type: resource.type))]))
        }
        switch resource.type {
        case objectType:
            add(objectType, .prefix, resource.values.filter { !isAll($0, of: objectType) })
            // HeadBucket and DeleteObjects name the bucket alone; they are taken where the whole bucket is.
            if resource.values.contains(where: { isAll($0, of: objectType) }) {
                filters.append(
                    .and([
                        .category(.data), .compare(.eventSource, .equals, "s3.amazonaws.com"),
                        .resource(ResourcePattern(type: "AWS::S3::Bucket")),
                    ]))
            }
            let buckets = resource.values.filter { $0.hasSuffix("/") && $0.utf8.count(where: { $0 == 0x2F }) == 1 }
            add("AWS::S3::Bucket", .equals, buckets.map { String($0.dropLast()) })
        default:
            add(resource.type, .equals, resource.values.filter { !isAll($0, of: resource.type) })
        }
        return filters
    }
}

extension Epoch {
    /// Services whose events are global: recorded once, in us-east-1, whatever region was asked. STS is not among them,
    /// since here every call of it names its region.
    static let globalSources = [
        "iam.amazonaws.com", "organizations.amazonaws.com", "cloudfront.amazonaws.com", "route53.amazonaws.com",
    ]

    /// What the epoch takes of the events of the trail's account.
    func filter(homeRegion: String) -> EventFilter {
        guard isLogging else { return .nothing }
        let selected = EventFilter.or(selectors.map(\.filter))
        guard !isMultiRegion else { return selected }
        let here = EventFilter.compare(.awsRegion, .equals, homeRegion)
        guard includesGlobalServiceEvents else {
            return .and([here, .not(.any(.eventSource, .equals, Self.globalSources)), selected])
        }
        return .and([here, selected])
    }
}
