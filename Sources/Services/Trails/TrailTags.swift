// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// AddTags and RemoveTags: a trail or channel by ARN, and tags.
struct TagsInput: OperationInput {
    var resource: TaggedResource
    var tags: [TrailTag]

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["ResourceId", "TagsList"])
        resource = try TaggedResource(try fields.requiredString("ResourceId"))
        guard let tags = try TrailTag.list(fields, "TagsList") else { throw .missingMember("TagsList") }
        self.tags = tags
    }
}

struct ListTagsInput: OperationInput {
    static let resourcesMax = 20

    var resources: [TaggedResource] = []

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["ResourceIdList", "NextToken"])
        guard let texts = try fields.strings("ResourceIdList") else { throw .missingMember("ResourceIdList") }
        guard texts.count <= Self.resourcesMax else {
            throw .validation(
                "1 validation error detected: Value at 'resourceIdList' failed to satisfy constraint: Member must have "
                    + "length less than or equal to \(Self.resourcesMax)")
        }
        if try fields.string("NextToken") != nil { throw .invalidToken }
        for text in texts { resources.append(try TaggedResource(text)) }
    }
}

struct ListTagsOutput: OperationOutput {
    /// In the order asked.
    let entries: [(arn: String, tags: [TrailTag])]

    func answer() -> OperationAnswer {
        let list = entries.map { entry in
            WireValue.structure([
                "ResourceId": .string(entry.arn),
                "TagsList": .list(entry.tags.map { .structure($0.members) }),
            ])
        }
        return OperationAnswer(body: .members(["ResourceTagList": .list(list)]))
    }
}

/// The ARN of something with tags: a trail or a channel.
enum TaggedResource: Sendable {
    case trail(TrailARN)
    case channel(ChannelARN)

    var text: String {
        switch self {
        case .trail(let arn): arn.text
        case .channel(let arn): arn.text
        }
    }

    var region: String {
        switch self {
        case .trail(let arn): arn.region
        case .channel(let arn): arn.region
        }
    }

    init(_ text: String) throws(AWSError) {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "arn" else {
            throw .invalidARN(
                "The resource `\(text)` is not an ARN; the form is "
                    + "arn:aws:cloudtrail:us-east-1:123456789012:trail/MyTrail.")
        }
        if let arn = ChannelARN(text) {
            self = .channel(arn)
            return
        }
        guard parts[2] == "cloudtrail", parts[5].hasPrefix("trail/") else { throw .resourceTypeNotSupported(text) }
        self = .trail(try TrailARN(text))
    }
}

extension TrailTag {
    static let countMax = 50
    static let keyLengthMax = 128
    static let valueLengthMax = 256

    var members: WireStructure {
        var members: WireStructure = ["Key": .string(key)]
        members.append("Value", ifPresent: WireValue(value))
        return members
    }

    /// Reads and checks a list of tags; nil when there is none.
    static func list(_ fields: WireFields, _ name: String) throws(AWSError) -> [TrailTag]? {
        guard let items = try fields.structures(name, known: ["Key", "Value"]) else { return nil }
        var tags: [TrailTag] = []
        for item in items {
            guard let key = try item.string("Key") else { throw .invalidTag("A tag must have a key.") }
            let tag = TrailTag(key: key, value: try item.string("Value"))
            try tag.check()
            guard !tags.contains(where: { $0.key == key }) else {
                throw .invalidTag("The tag key `\(key)` is given more than once.")
            }
            tags.append(tag)
        }
        return tags
    }

    private func check() throws(AWSError) {
        guard (1...Self.keyLengthMax).contains(key.count) else {
            throw .invalidTag("A tag key must have 1 to \(Self.keyLengthMax) characters.")
        }
        guard (value ?? "").count <= Self.valueLengthMax else {
            throw .invalidTag("A tag value can have at most \(Self.valueLengthMax) characters.")
        }
        guard !key.lowercased().hasPrefix("aws:") else {
            throw .invalidTag("The tag key `\(key)` begins with aws:, which is reserved.")
        }
        guard (key + (value ?? "")).unicodeScalars.allSatisfy(Self.isAllowed) else {
            throw .invalidTag(
                "A tag can only contain letters, numbers, spaces and the characters + - = . _ : / @ in key and value.")
        }
    }

    private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isAlphabetic || scalar.properties.numericType != nil || scalar == " "
            || "+-=._:/@".unicodeScalars.contains(scalar)
    }
}
