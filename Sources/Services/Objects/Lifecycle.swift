// SPDX-License-Identifier: Apache-2.0
//
// Lifecycle rules. Source: S3 User Guide, "Lifecycle configuration elements" and "Lifecycle rule examples"; Amazon S3 API
// Reference, PutBucketLifecycleConfiguration. Days count from the version's time and end at the next midnight UTC.
//
// A bucket keeps the document as it was put, as pairs of a name and a text or further pairs, because names repeat:
//
//     [["Rule",[["ID","a"],["Status","Enabled"],...]],["Rule",...]]

internal import AWSWire

/// When a rule acts on a version.
enum LifecycleTime: Sendable, Equatable {
    case days(Int64)
    case date(Timestamp)

    private static let day: Int64 = 86_400

    func isReached(from start: Timestamp, now: Timestamp) -> Bool {
        switch self {
        case .date(let date): return now >= date
        case .days(let count):
            let end = start.adding(seconds: count * Self.day).seconds
            return now.seconds >= (end + Self.day - 1) / Self.day * Self.day
        }
    }
}

struct LifecycleRule: Sendable, Equatable {
    struct Transition: Sendable, Equatable {
        var time: LifecycleTime
        var storageClass: StorageClass
    }

    var isEnabled = false
    var prefix = ""
    var tags: [TagSet.Tag] = []
    var sizeAbove: Int64?
    var sizeBelow: Int64?
    var expiration: LifecycleTime?
    var expiresLoneMarkers = false
    var noncurrentDays: Int64?
    /// How many newer noncurrent versions are kept whatever their age.
    var noncurrentKept: Int64 = 0
    var abortDays: Int64?
    var transitions: [Transition] = []
    var noncurrentTransitions: [Transition] = []

    /// Smaller objects do not change class unless the rule speaks of sizes.
    static let transitionBytesMin: Int64 = 128 * 1024

    func matches(_ key: String, _ record: ObjectRecord) -> Bool {
        isEnabled && key.utf8.starts(with: prefix.utf8) && tags.allSatisfy { record.tags[$0.key] == $0.value }
            && sizeAbove.map { record.size > $0 } ?? true && sizeBelow.map { record.size < $0 } ?? true
    }

    /// The coldest class that is due and colder than the record's.
    func transition(
        of record: ObjectRecord, among transitions: [Transition], since start: Timestamp, now: Timestamp
    ) -> StorageClass? {
        guard sizeAbove != nil || sizeBelow != nil || record.size >= Self.transitionBytesMin else { return nil }
        return transitions.filter { $0.time.isReached(from: start, now: now) }.map(\.storageClass)
            .max { $0.coldness < $1.coldness }
            .flatMap { $0.coldness > record.storageClass.coldness ? $0 : nil }
    }
}

extension StorageClass {
    /// Transitions only go to a greater one.
    var coldness: Int {
        switch self {
        case .standard, .reducedRedundancy: 0
        case .standardIA: 1
        case .intelligentTiering: 2
        case .oneZoneIA: 3
        case .glacierIR: 4
        case .glacier: 5
        case .deepArchive: 6
        }
    }
}

/// A bucket's lifecycle configuration.
struct LifecycleConfiguration: Sendable, Equatable, SettingDocument {
    static let rulesMax = 1000

    /// As it is answered.
    let document: WireStructure
    let rules: [LifecycleRule]

    static func read(_ request: OperationRequest) throws(AWSError) -> Self {
        let size = RequestHeaders(request.http).nonEmpty("x-amz-transition-default-minimum-object-size")
        if let size, size != "all_storage_classes_128K" {
            throw .notImplemented(header: "x-amz-transition-default-minimum-object-size")
        }
        return try Self(
            try DocumentFields(request, root: "LifecycleConfiguration", known: ["Rule"]).structure)
    }

    /// - Throws: `MalformedXML`, `InvalidArgument`, `InvalidRequest` (400).
    init(_ content: WireStructure) throws(AWSError) {
        var shown = WireStructure()
        var rules: [LifecycleRule] = []
        var names: Set<String> = []
        for member in content.members where member.name == "Rule" {
            var structure = member.value.asStructure ?? WireStructure()
            rules.append(try Self.rule(try DocumentFields(member.value, known: Self.known)))
            if structure["ID"]?.asString?.isEmpty ?? true { structure["ID"] = .string("rule-\(rules.count)") }
            let name = structure["ID"]?.asString ?? ""
            guard name.utf8.count <= 255 else {
                throw .invalidArgument("ID length should not exceed allowed limit of 255", name: "ID", value: name)
            }
            guard names.insert(name).inserted else {
                throw .invalidArgument(
                    "Rule ID must be unique. Found same ID for more than one rule", name: "ID", value: name)
            }
            shown.append("Rule", .structure(structure))
        }
        guard (1...Self.rulesMax).contains(rules.count) else { throw .malformedDocument() }
        document = shown
        self.rules = rules
    }

    private static let known = [
        "ID", "Status", "Prefix", "Filter", "Expiration", "Transition", "NoncurrentVersionExpiration",
        "NoncurrentVersionTransition", "AbortIncompleteMultipartUpload",
    ]

    private static func rule(_ fields: DocumentFields) throws(AWSError) -> LifecycleRule {
        var rule = LifecycleRule()
        switch try fields.requiredText("Status") {
        case "Enabled": rule.isEnabled = true
        case "Disabled": rule.isEnabled = false
        default: throw .malformedDocument()
        }
        rule.prefix = try fields.text("Prefix") ?? ""
        let parts = ["Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"]
        if let filter = try fields.fields("Filter", known: parts + ["And"]) {
            guard !fields.has("Prefix"), filter.structure.members.count(where: { $0.name != "xmlns" }) <= 1 else {
                throw .malformedDocument()
            }
            let inner = try filter.fields("And", known: parts) ?? filter
            rule.prefix = try inner.text("Prefix") ?? ""
            for tag in try inner.all("Tag", known: ["Key", "Value"]) {
                rule.tags.append(TagSet.Tag(key: try tag.requiredText("Key"), value: try tag.requiredText("Value")))
            }
            rule.sizeAbove = try inner.integer("ObjectSizeGreaterThan")
            rule.sizeBelow = try inner.integer("ObjectSizeLessThan")
        } else if !fields.has("Prefix") {
            throw .malformedDocument()
        }
        if let expiration = try fields.fields("Expiration", known: ["Days", "Date", "ExpiredObjectDeleteMarker"]) {
            rule.expiration = try time(expiration, "Expiration")
            rule.expiresLoneMarkers = try expiration.bool("ExpiredObjectDeleteMarker") ?? false
            guard (rule.expiration != nil) != rule.expiresLoneMarkers else { throw .malformedDocument() }
        }
        for transition in try fields.all("Transition", known: ["Days", "Date", "StorageClass"]) {
            guard let time = try time(transition, "Transition") else { throw .malformedDocument() }
            rule.transitions.append(.init(time: time, storageClass: try storageClass(transition)))
        }
        let noncurrent = ["NoncurrentDays", "NewerNoncurrentVersions"]
        if let expiration = try fields.fields("NoncurrentVersionExpiration", known: noncurrent) {
            rule.noncurrentDays = try positive(expiration, "NoncurrentDays")
            rule.noncurrentKept = try expiration.integer("NewerNoncurrentVersions") ?? 0
            guard (0...100).contains(rule.noncurrentKept), rule.noncurrentKept == 0 || fields.has("Filter") else {
                throw .malformedDocument()
            }
        }
        for transition in try fields.all("NoncurrentVersionTransition", known: ["NoncurrentDays", "StorageClass"]) {
            let days = try positive(transition, "NoncurrentDays")
            rule.noncurrentTransitions.append(
                .init(time: .days(days), storageClass: try storageClass(transition)))
        }
        if let abort = try fields.fields("AbortIncompleteMultipartUpload", known: ["DaysAfterInitiation"]) {
            rule.abortDays = try positive(abort, "DaysAfterInitiation")
        }
        if !rule.tags.isEmpty, rule.abortDays != nil || rule.expiresLoneMarkers {
            throw .invalidRequest(
                "AbortIncompleteMultipartUpload and ExpiredObjectDeleteMarker cannot be specified with tags.")
        }
        let acts =
            rule.expiration != nil || rule.expiresLoneMarkers || rule.noncurrentDays != nil || rule.abortDays != nil
            || !rule.transitions.isEmpty || !rule.noncurrentTransitions.isEmpty
        guard acts else {
            throw .invalidRequest("At least one action needs to be specified in a rule")
        }
        try checkOrder(rule)
        return rule
    }

    private static func checkOrder(_ rule: LifecycleRule) throws(AWSError) {
        for transition in rule.transitions {
            switch (transition.time, rule.expiration) {
            case (.days(let days), let expiration):
                let name = transition.storageClass.rawValue
                if days < 30, [.standardIA, .oneZoneIA].contains(transition.storageClass) {
                    throw .invalidArgument(
                        "'Days' in Transition action must be greater than or equal to 30 for storageClass '\(name)'",
                        name: "Days", value: String(days))
                }
                if case .days(let end)? = expiration, end <= days {
                    throw .invalidArgument(
                        "'Days' in the Expiration action for filter '(prefix=\(rule.prefix))' must be greater than 'Days' "
                            + "in the Transition action", name: "Days", value: String(end))
                }
                if case .date? = expiration { throw mixed(rule) }
            case (.date, .days?): throw mixed(rule)
            case (.date, _): break
            }
        }
    }

    private static func mixed(_ rule: LifecycleRule) -> AWSError {
        .invalidRequest(
            "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for filter "
                + "'(prefix=\(rule.prefix))'")
    }

    private static func time(_ fields: DocumentFields, _ action: String) throws(AWSError) -> LifecycleTime? {
        let date = try fields.text("Date")
        guard let days = try fields.integer("Days") else {
            guard let date else { return nil }
            guard let time = Timestamp(iso8601: date), time.milliseconds % 86_400_000 == 0 else {
                throw .invalidArgument("'Date' must be at midnight GMT", name: "Date", value: date)
            }
            return .date(time)
        }
        guard date == nil else { throw .malformedDocument() }
        guard days > 0 || (action == "Transition" && days == 0), days <= Int64(Int32.max) else {
            throw .invalidArgument(
                "'Days' for \(action) action must be a positive integer", name: "Days", value: String(days))
        }
        return .days(days)
    }

    private static func positive(_ fields: DocumentFields, _ name: String) throws(AWSError) -> Int64 {
        guard let days = try fields.integer(name) else { throw .malformedDocument() }
        guard days > 0, days <= Int64(Int32.max) else {
            throw .invalidArgument("'\(name)' must be a positive integer", name: name, value: String(days))
        }
        return days
    }

    private static func storageClass(_ fields: DocumentFields) throws(AWSError) -> StorageClass {
        guard let known = StorageClass(rawValue: try fields.requiredText("StorageClass")), known.coldness > 0 else {
            throw .malformedDocument()
        }
        return known
    }

    // MARK: In the catalog

    var stored: WireValue { Self.pairs(document) }

    init?(stored: WireValue) {
        guard let structure = Self.structure(stored), let read = try? Self(structure) else { return nil }
        self = read
    }

    static func pairs(_ structure: WireStructure) -> WireValue {
        .list(
            structure.members.map { member in
                .list([.string(member.name), member.value.asStructure.map(pairs) ?? member.value])
            })
    }

    static func structure(_ value: WireValue) -> WireStructure? {
        guard let list = value.asList else { return nil }
        var structure = WireStructure()
        for item in list {
            guard let pair = item.asList, pair.count == 2, let name = pair[0].asString else { return nil }
            if let text = pair[1].asString {
                structure.append(name, .string(text))
            } else {
                guard let inner = Self.structure(pair[1]) else { return nil }
                structure.append(name, .structure(inner))
            }
        }
        return structure
    }
}
