// SPDX-License-Identifier: Apache-2.0
//
// Inputs and outputs of the operations on channels (botocore's model cloudtrail/2013-11-01).

internal import AWSWire

/// The rules for a channel's members that more than one operation has.
enum ChannelRules {
    static let nameLengths = 3...128
    static let sourceLengthMax = 256
    static let destinationsMax = 200
    static let locationLengths = 3...1024

    static func checkName(_ name: String) throws(AWSError) {
        guard nameLengths.contains(name.utf8.count),
            name.utf8.allSatisfy({ TrailName.isLetterOrDigit($0) || "._-".utf8.contains($0) })
        else {
            throw .invalidParameter(
                "A channel's name must have \(nameLengths.lowerBound) to \(nameLengths.upperBound) letters, digits, "
                    + "periods (.), hyphens (-) and underscores (_).")
        }
    }

    /// `Custom`, or the name of a partner; AWS's own services send nothing through a channel.
    static func checkSource(_ source: String) throws(AWSError) {
        guard (1...sourceLengthMax).contains(source.count), !source.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F })
        else {
            throw .invalidSource(
                "A source must have 1 to \(sourceLengthMax) characters, without control characters among them.")
        }
        guard !source.lowercased().hasSuffix(".amazonaws.com") else {
            throw .invalidSource(
                "The source `\(source)` is one of AWS's own; a channel is for events from outside: use Custom.")
        }
    }

    static func destinations(_ fields: WireFields) throws(AWSError) -> [String] {
        guard let items = try fields.structures("Destinations", known: ["Type", "Location"]) else {
            throw .missingMember("Destinations")
        }
        guard (1...destinationsMax).contains(items.count) else {
            throw .invalidParameter("A channel must have 1 to \(destinationsMax) destinations.")
        }
        var locations: [String] = []
        for item in items {
            let type = try item.requiredString("Type")
            let location = try item.requiredString("Location")
            switch type {
            case "EVENT_DATA_STORE": break
            case "AWS_SERVICE":
                throw .invalidParameter(
                    "Destinations of the type AWS_SERVICE belong to channels that a service makes for itself.")
            default: throw .invalidParameter("The destination type `\(type)` is not EVENT_DATA_STORE.")
            }
            guard locationLengths.contains(location.utf8.count) else {
                throw .invalidParameter("A destination's location must have 3 to 1024 characters.")
            }
            guard !locations.contains(location) else {
                throw .invalidParameter("The destination `\(location)` is given more than once.")
            }
            locations.append(location)
        }
        return locations
    }
}

struct CreateChannelInput: OperationInput {
    var name: String
    var source: String
    var destinations: [String]
    var tags: [TrailTag]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["Name", "Source", "Destinations", "Tags"])
        name = try fields.requiredString("Name")
        source = try fields.requiredString("Source")
        destinations = try ChannelRules.destinations(fields)
        tags = try TrailTag.list(fields, "Tags") ?? []
        try ChannelRules.checkName(name)
        try ChannelRules.checkSource(source)
        guard tags.count <= TrailTag.countMax else { throw .tooManyTags(most: TrailTag.countMax) }
    }
}

struct UpdateChannelInput: OperationInput {
    var channel: ChannelReference
    var name: String?
    var destinations: [String]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["Channel", "Name", "Destinations"])
        channel = try ChannelReference(try fields.requiredString("Channel"))
        name = try fields.string("Name")
        destinations = try ChannelRules.destinations(fields)
        if let name { try ChannelRules.checkName(name) }
    }
}

/// Inputs that are one channel: GetChannel, DeleteChannel.
struct ChannelInput: OperationInput {
    var channel: ChannelReference

    init(_ request: OperationRequest) throws(AWSError) {
        channel = try ChannelReference(try WireFields(request, known: ["Channel"]).requiredString("Channel"))
    }
}

struct ListChannelsInput: OperationInput {
    static let resultsMax: Int64 = 1000

    var resultsMax: Int
    /// The id after which the page begins.
    var after: String?

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["MaxResults", "NextToken"])
        let most = try fields.integer("MaxResults") ?? Self.resultsMax
        guard (1...Self.resultsMax).contains(most) else {
            throw .validation(
                "1 validation error detected: Value '\(most)' at 'maxResults' failed to satisfy constraint: Member must "
                    + "have value between 1 and \(Self.resultsMax)")
        }
        resultsMax = Int(most)
        guard let token = try fields.string("NextToken") else { return }
        guard let bytes = Base64.decode(token), let text = String(validating: bytes, as: UTF8.self),
            text.hasPrefix(Self.mark), ChannelARN.isID(String(text.dropFirst(Self.mark.count)))
        else { throw .invalidNextToken }
        after = String(text.dropFirst(Self.mark.count))
    }

    static func token(after id: String) -> String { Base64.encode(Array((mark + id).utf8)) }

    private static let mark = "channels "
}

/// What a caller addresses a channel by: its ARN, or the ARN's last part, which means "of this account and region".
enum ChannelReference: Sendable, Equatable {
    case arn(ChannelARN)
    case id(String)

    /// - Throws: `ChannelARNInvalidException`.
    init(_ text: String) throws(AWSError) {
        if let arn = ChannelARN(text) {
            self = .arn(arn)
        } else if ChannelARN.isID(text) {
            self = .id(text)
        } else {
            throw .invalidChannelARN(text)
        }
    }

    func arn(in call: Call) -> ChannelARN {
        switch self {
        case .arn(let arn): arn
        case .id(let id): ChannelARN(region: call.region, account: call.accountID, id: id)
        }
    }
}

/// CreateChannel, UpdateChannel and GetChannel show the same members and some more.
struct ChannelOutput: OperationOutput {
    let channel: Channel
    var showsTags = false
    var status: ChannelStatus?

    func answer() -> OperationAnswer {
        var members: WireStructure = [
            "ChannelArn": .string(channel.arn.text), "Name": .string(channel.name), "Source": .string(channel.source),
            "Destinations": .list(
                channel.destinations.map { location in
                    .structure(["Type": "EVENT_DATA_STORE", "Location": .string(location)])
                }),
        ]
        if showsTags, !channel.tags.isEmpty {
            members.append("Tags", .list(channel.tags.map { .structure($0.members) }))
        }
        if let status {
            var shown = WireStructure()
            shown.append("LatestIngestionSuccessTime", ifPresent: time(status.successTime))
            shown.append("LatestIngestionSuccessEventID", ifPresent: WireValue(status.successEventID))
            shown.append("LatestIngestionErrorCode", ifPresent: WireValue(status.errorCode))
            shown.append("LatestIngestionAttemptTime", ifPresent: time(status.attemptTime))
            shown.append("LatestIngestionAttemptEventID", ifPresent: WireValue(status.attemptEventID))
            members.append("IngestionStatus", .structure(shown))
        }
        return OperationAnswer(body: .members(members))
    }

    private func time(_ milliseconds: Int64?) -> WireValue? {
        milliseconds.map { .timestamp(Timestamp(milliseconds: $0)) }
    }
}

struct ListChannelsOutput: OperationOutput {
    let channels: [Channel]
    let nextToken: String?

    func answer() -> OperationAnswer {
        var members: WireStructure = [
            "Channels": .list(
                channels.map { channel in
                    .structure(["ChannelArn": .string(channel.arn.text), "Name": .string(channel.name)])
                })
        ]
        members.append("NextToken", ifPresent: WireValue(nextToken))
        return OperationAnswer(body: .members(members))
    }
}
