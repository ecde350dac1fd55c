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

    func isReached(from start: Timestamp, now: Timestamp) -> Bool { now >= end(from: start) }

    /// When it is reached.
    func end(from start: Timestamp) -> Timestamp {
        switch self {
        case .date(let date): return date
        case .days(let count):
            let end = start.adding(seconds: count * Self.day).seconds
            return Timestamp(milliseconds: (end + Self.day - 1) / Self.day * Self.day * 1000)
        }
    }
}

struct LifecycleRule: Sendable, Equatable {
    struct Transition: Sendable, Equatable {
        var time: LifecycleTime
        var storageClass: StorageClass
    }

    /// Its ID.
    var name = ""
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

// MARK: Rules that contradict themselves

extension LifecycleRule {
    /// Checks a rule that a client puts: what is stored may be older than these rules.
    ///
    /// - Throws: `InvalidArgument`, `InvalidRequest` (400).
    func checkSense() throws(AWSError) {
        try checkFilter()
        for transition in transitions {
            switch (transition.time, expiration) {
            case (.days(let days), .days(let end)?) where end <= days:
                throw .invalidArgument(
                    "'Days' in the Expiration action for filter '\(filterText)' must be greater than 'Days' in the "
                        + "Transition action", name: "Days", value: String(end))
            case (.date(let date), .date(let end)?) where end <= date:
                throw .invalidArgument(
                    "'Date' in the Expiration action for filter '\(filterText)' must be later than 'Date' in the "
                        + "Transition action", name: "Date", value: end.iso8601)
            case (.days, .date?), (.date, .days?): throw mixed("Expiration and Transition")
            default: break
            }
        }
        try checkOrder(of: transitions, "Transition", "Days")
        try checkOrder(of: noncurrentTransitions, "NoncurrentVersionTransition", "NoncurrentDays")
        if let noncurrentDays {
            for case .days(let days) in noncurrentTransitions.map(\.time) where noncurrentDays <= days {
                throw .invalidArgument(
                    "'NoncurrentDays' in the NoncurrentVersionExpiration action for filter '\(filterText)' must be "
                        + "greater than 'NoncurrentDays' in the NoncurrentVersionTransition action",
                    name: "NoncurrentDays", value: String(noncurrentDays))
            }
        }
    }

    private func checkFilter() throws(AWSError) {
        guard Set(tags.map(\.key)).count == tags.count else {
            throw .invalidRequest("Duplicate Tag Keys are not allowed.")
        }
        for (name, size) in [("ObjectSizeGreaterThan", sizeAbove), ("ObjectSizeLessThan", sizeBelow)] {
            if let size, size < 0 { throw .invalidRequest("'\(name)' should be greater than or equal to 0") }
        }
        if let sizeAbove, let sizeBelow, sizeBelow <= sizeAbove {
            throw .invalidRequest("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'")
        }
        if abortDays != nil, sizeAbove != nil || sizeBelow != nil {
            throw .invalidRequest("AbortIncompleteMultipartUpload cannot be specified with Object Size.")
        }
    }

    /// Each class once, the colder the later; objects stay in an infrequently accessed class, and before it, for thirty days.
    private func checkOrder(of transitions: [Transition], _ action: String, _ unit: String) throws(AWSError) {
        let ordered = transitions.sorted { $0.storageClass.coldness < $1.storageClass.coldness }
        let infrequent: [StorageClass] = [.standardIA, .oneZoneIA]
        for transition in ordered where infrequent.contains(transition.storageClass) {
            if case .days(let days) = transition.time, days < 30 {
                throw .invalidArgument(
                    "'\(unit)' in \(action) action must be greater than or equal to 30 for storageClass "
                        + "'\(transition.storageClass.rawValue)'", name: unit, value: String(days))
            }
        }
        for (earlier, later) in zip(ordered, ordered.dropFirst()) {
            let (name, before) = (later.storageClass.rawValue, earlier.storageClass.rawValue)
            guard earlier.storageClass != later.storageClass else {
                throw .invalidRequest(
                    "'StorageClass' must be different for '\(action)' actions in same 'Rule' with filter '\(filterText)'"
                )
            }
            switch (earlier.time, later.time) {
            case (.days(let first), .days(let second)):
                let least = infrequent.contains(earlier.storageClass) ? 30 : 1
                guard second < first + Int64(least) else { break }
                throw .invalidArgument(
                    "'\(unit)' in the '\(action)' action for StorageClass '\(name)' for filter '\(filterText)' must be "
                        + (least > 1 ? "\(least) days more" : "greater")
                        + " than '\(unit)' in the '\(action)' action for StorageClass '\(before)'",
                    name: unit, value: String(second))
            case (.date(let first), .date(let second)):
                guard second <= first else { break }
                throw .invalidArgument(
                    "'Date' in the '\(action)' action for StorageClass '\(name)' for filter '\(filterText)' must be later "
                        + "than 'Date' in the '\(action)' action for StorageClass '\(before)'",
                    name: "Date", value: second.iso8601)
            default: throw mixed("Transition")
            }
        }
    }

    private func mixed(_ actions: String) -> AWSError {
        .invalidRequest(
            "Found mixed 'Date' and 'Days' based \(actions) actions in lifecycle rule for filter '\(filterText)'")
    }

    private var filterText: String { "(prefix=\(prefix))" }
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
        let configuration = try Self(
            try DocumentFields(request, root: "LifecycleConfiguration", known: ["Rule"]).structure)
        for rule in configuration.rules { try rule.checkSense() }
        return configuration
    }

    /// What a client is told of a current version that will expire: the earliest rule decides.
    func expirationHeader(_ key: String, _ record: ObjectRecord) -> WireHeader? {
        let ends = rules.compactMap { rule -> (end: Timestamp, name: String)? in
            guard let time = rule.expiration, rule.matches(key, record) else { return nil }
            return (time.end(from: record.modified), rule.name)
        }
        guard let first = ends.min(by: { $0.end < $1.end }) else { return nil }
        let name = PercentCoding.encode(first.name, keepSlash: false)
        return WireHeader("x-amz-expiration", "expiry-date=\"\(first.end.httpDate)\", rule-id=\"\(name)\"")
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
            rules[rules.count - 1].name = name
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
            let both = try filter.fields("And", known: parts)
            if let both {
                guard both.structure.members.count(where: { parts.contains($0.name) }) > 1 else {
                    throw .malformedDocument()
                }
            }
            let inner = both ?? filter
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
            if rule.noncurrentKept == 0, expiration.has("NewerNoncurrentVersions") {
                throw .invalidArgument(
                    "'NewerNoncurrentVersions' must be a positive integer", name: "NewerNoncurrentVersions", value: "0")
            }
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
        return rule
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
