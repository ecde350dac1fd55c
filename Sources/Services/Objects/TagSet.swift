// SPDX-License-Identifier: Apache-2.0
//
// Tags of buckets and objects.
// Source: S3 User Guide, "Categorizing your objects using tags"; Amazon S3 API Reference, PutObjectTagging and
// PutBucketTagging; AWS Tagging Best Practices, "Tag naming limits and requirements".

internal import AWSWire

/// An ordered set of tags with unique keys.
struct TagSet: Sendable, Equatable {
    struct Tag: Sendable, Equatable {
        let key: String
        let value: String
    }

    enum Limits {
        static let objectTags = 10
        static let bucketTags = 50
        /// Characters of a key and of a value.
        static let keyCharacters = 128
        static let valueCharacters = 256
    }

    private(set) var tags: [Tag] = []

    var isEmpty: Bool { tags.isEmpty }
    var count: Int { tags.count }

    subscript(key: String) -> String? { tags.first { $0.key == key }?.value }

    /// - Parameter limit: how many there may be.
    /// - Throws: `InvalidTag` (400), `BadRequest` (400) for too many.
    init(_ tags: [Tag], limit: Int) throws(AWSError) {
        guard tags.count <= limit else {
            let kind = limit == Limits.objectTags ? "Object" : "Bucket"
            throw AWSError("BadRequest", "\(kind) tags cannot be greater than \(limit)")
        }
        var keys: Set<String> = []
        for tag in tags {
            guard (1...Limits.keyCharacters).contains(tag.key.unicodeScalars.count), Self.isAllowed(tag.key) else {
                throw .invalidTag("The TagKey you have provided is invalid", key: tag.key)
            }
            guard tag.value.unicodeScalars.count <= Limits.valueCharacters, Self.isAllowed(tag.value) else {
                throw .invalidTag("The TagValue you have provided is invalid", key: tag.key)
            }
            guard !tag.key.lowercased().hasPrefix("aws:") else {
                throw .invalidTag("System tags cannot be added/updated by requester", key: tag.key)
            }
            guard keys.insert(tag.key).inserted else {
                throw .invalidTag("Cannot provide multiple Tags with the same key", key: tag.key)
            }
        }
        self.tags = tags
    }

    init() {}

    /// Letters, numbers and blanks of any script, and `+ - = . _ : / @`.
    private static func isAllowed(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { scalar in
            let properties = scalar.properties
            return properties.isAlphabetic || properties.numericType != nil || properties.isWhitespace
                || "+-=._:/@".unicodeScalars.contains(scalar)
        }
    }

    // MARK: Documents and headers

    /// Reads the document of PutObjectTagging or PutBucketTagging.
    init(document request: OperationRequest, limit: Int) throws(AWSError) {
        let root = try DocumentFields(request, root: "Tagging", known: ["TagSet"])
        guard let set = try root.fields("TagSet", known: ["Tag"]) else { throw .malformedDocument() }
        var tags: [Tag] = []
        for tag in try set.all("Tag", known: ["Key", "Value"]) {
            tags.append(Tag(key: try tag.requiredText("Key"), value: try tag.requiredText("Value")))
        }
        try self.init(tags, limit: limit)
    }

    /// Reads `x-amz-tagging`: `a=1&b=2`, as in a query.
    init(header: String) throws(AWSError) {
        let items: [WireQueryItem]
        do throws(AWSError) {
            items = try WireQueryItem.parse(header, plusIsBlank: true)
        } catch {
            throw .invalidArgument(
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag "
                    + "name duplicates.", name: "x-amz-tagging", value: header)
        }
        try self.init(items.map { Tag(key: $0.name, value: $0.value) }, limit: Limits.objectTags)
    }

    var document: WireStructure {
        var set = WireStructure()
        for tag in tags {
            set.append("Tag", .structure(["Key": .string(tag.key), "Value": .string(tag.value)]))
        }
        return ["TagSet": .structure(set)]
    }

    // MARK: In the catalog: [["KEY","VALUE"],...]

    var stored: WireValue { .list(tags.map { .list([.string($0.key), .string($0.value)]) }) }

    init?(stored: WireValue) {
        guard let list = stored.asList else { return nil }
        for item in list {
            guard let pair = item.asList, pair.count == 2, let key = pair[0].asString, let value = pair[1].asString
            else { return nil }
            tags.append(Tag(key: key, value: value))
        }
    }
}
