// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import EventHistory
package import EventJournal
package import Policies
package import Storage
internal import Synchronization

/// CloudTrail's operations on trails, selectors, tags, keys and event history.
package final class TrailService: Sendable {
    /// AWS's quotas, and our own bounds.
    package enum Limits {
        /// Trails that are seen in a region, shadows counted.
        package static let trailsPerRegion = 5
        /// Changes of one trail that wait for delivery to come past them; more are refused until it has.
        package static let waitingChanges = 256
        /// Channels of an account in a region.
        package static let channelsPerRegion = 25
        /// Compiled channel policies that are kept; beyond it the cache starts anew.
        package static let compiledPolicies = 1000
    }

    /// Event history, as LookupEvents asks it.
    package typealias Search = @Sendable (HistoryQuery) async throws -> HistoryPage

    /// What clients can call.
    package static let operations: [Operation<TrailService>] = [
        Operation(
            "CreateTrail", .write, on: trail("Name"), conditions: tagKeys("TagsList"),
            perform: TrailService.createTrail),
        Operation("UpdateTrail", .write, on: trail("Name"), perform: TrailService.updateTrail),
        Operation("DeleteTrail", .write, silent, on: trail("Name"), perform: TrailService.deleteTrail),
        Operation("GetTrail", .read, on: trail("Name"), perform: TrailService.getTrail),
        Operation("DescribeTrails", .read, perform: TrailService.describeTrails),
        Operation("ListTrails", .read, perform: TrailService.listTrails),
        Operation("GetTrailStatus", .read, on: trail("Name"), perform: TrailService.getTrailStatus),
        Operation("StartLogging", .write, silent, on: trail("Name"), perform: TrailService.startLogging),
        Operation("StopLogging", .write, silent, on: trail("Name"), perform: TrailService.stopLogging),
        Operation("PutEventSelectors", .write, on: trail("TrailName"), perform: TrailService.putEventSelectors),
        Operation("GetEventSelectors", .read, on: trail("TrailName"), perform: TrailService.getEventSelectors),
        Operation("GetInsightSelectors", .read, on: trail("TrailName"), perform: TrailService.getInsightSelectors),
        Operation(
            "AddTags", .write, silent, on: tagged("ResourceId"),
            conditions: channelTags("ResourceId", and: tagKeys("TagsList")),
            perform: TrailService.addTags),
        Operation(
            "RemoveTags", .write, silent, on: tagged("ResourceId"),
            conditions: channelTags("ResourceId", and: tagKeys("TagsList")),
            perform: TrailService.removeTags),
        Operation("ListTags", .read, perform: TrailService.listTags),
        Operation("CreateChannel", .write, conditions: tagKeys("Tags"), perform: TrailService.createChannel),
        Operation(
            "GetChannel", .read, on: channel("Channel"), conditions: channelTags("Channel"),
            perform: TrailService.getChannel),
        Operation("ListChannels", .read, perform: TrailService.listChannels),
        Operation(
            "UpdateChannel", .write, on: channel("Channel"), conditions: channelTags("Channel"),
            perform: TrailService.updateChannel),
        Operation(
            "DeleteChannel", .write, silent, on: channel("Channel"), conditions: channelTags("Channel"),
            perform: TrailService.deleteChannel),
        Operation(
            "PutResourcePolicy", .write, on: channel("ResourceArn"), conditions: channelTags("ResourceArn"),
            perform: TrailService.putResourcePolicy),
        Operation(
            "GetResourcePolicy", .read, on: channel("ResourceArn"), conditions: channelTags("ResourceArn"),
            perform: TrailService.getResourcePolicy),
        Operation(
            "DeleteResourcePolicy", .write, silent, on: channel("ResourceArn"), conditions: channelTags("ResourceArn"),
            perform: TrailService.deleteResourcePolicy),
        Operation("LookupEvents", .read, between, perform: TrailService.lookupEvents),
        Operation("ListPublicKeys", .read, between, perform: TrailService.listPublicKeys),
    ]

    /// Operations that answer nothing, so that the event's responseElements is null.
    private static let silent = OperationTraits(recordsAnswer: false)

    private static let between = OperationTraits(times: ["StartTime", "EndTime"])

    /// The keys for the tags in a member: `aws:RequestTag/KEY` and `aws:TagKeys` (Service Authorization Reference, "AWS
    /// CloudTrail").
    private static func tagKeys(_ member: String) -> Operation<TrailService>.Conditions {
        { _, request, _ in
            var keys: [ConditionKey] = []
            var names: [String] = []
            for tag in request.parameters[member]?.asList?.compactMap(\.asStructure) ?? [] {
                guard let name = tag["Key"]?.asString else { continue }
                names.append(name)
                if let value = tag["Value"]?.asString { keys.append(ConditionKey("aws:RequestTag/\(name)", value)) }
            }
            if !names.isEmpty { keys.append(ConditionKey("aws:TagKeys", set: names)) }
            return keys
        }
    }

    /// The trail that a member names; IAM knows it by its ARN.
    private static func trail(_ member: String) -> Operation<TrailService>.Resources {
        { _, request, call in
            guard let text = request.parameters[member]?.asString, let reference = try? TrailReference(text) else {
                return []
            }
            let arn =
                switch reference {
                case .arn(let arn): arn
                case .name(let name): TrailARN(region: call.region, account: call.accountID, name: name)
                }
            return [ResourceReference(type: "AWS::CloudTrail::Trail", arn: arn.text, accountID: arn.account)]
        }
    }

    /// The trail or channel that a member names by its ARN.
    private static func tagged(_ member: String) -> Operation<TrailService>.Resources {
        let (trail, channel) = (trail(member), channel(member))
        return { service, request, call in
            request.parameters[member]?.asString.flatMap { ChannelARN($0) } != nil
                ? channel(service, request, call) : trail(service, request, call)
        }
    }

    let catalog: Catalog
    let journal: Journal
    let bucket: TrailBucket
    let kms: TrailKMS
    let topic: TrailTopic
    let search: Search
    let signingKeys: SigningKeys
    let delivery: Delivery
    let digests: DigestChore
    let clock: Clock
    let randomBytes: @Sendable (Int) -> [UInt8]
    let principals: PrincipalDirectory
    /// What came through the channels since the start, by channel id.
    let channelStatuses = Mutex<[String: ChannelStatus]>([:])
    /// By their texts, which name their channels, so that a policy that was replaced is never found.
    let channelPolicies = Mutex<[[UInt8]: StoredPolicy]>([:])

    /// - Parameters:
    ///   - kms: where the keys of log files come from.
    ///   - topic: where notices of log files go.
    ///   - search: event history's search.
    ///   - randomBytes: for the ids that tell trails of one name apart.
    ///   - principals: the users and roles that channel policies name.
    package init(
        catalog: Catalog, journal: Journal, bucket: TrailBucket, kms: TrailKMS, topic: TrailTopic,
        search: @escaping Search, signingKeys: SigningKeys, delivery: Delivery, digests: DigestChore,
        clock: @escaping Clock,
        randomBytes: @escaping @Sendable (Int) -> [UInt8], principals: PrincipalDirectory = .none
    ) {
        self.principals = principals
        self.catalog = catalog
        self.journal = journal
        self.bucket = bucket
        self.kms = kms
        self.topic = topic
        self.search = search
        self.signingKeys = signingKeys
        self.delivery = delivery
        self.digests = digests
        self.clock = clock
        self.randomBytes = randomBytes
    }

    /// The service with its operations bound to this object; older clients send the shorter target.
    package var service: Service {
        Service(
            "cloudtrail", .json(version: "1.1"),
            targetPrefixes: [
                "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101", "CloudTrail_20131101",
            ], owner: self, operations: Self.operations)
    }

    // MARK: Making and changing

    func createTrail(_ input: CreateTrailInput, _ call: Call) async throws(AWSError) -> TrailSettingsOutput {
        try TrailName.check(input.name)
        guard input.tags.count <= TrailTag.countMax else { throw .tooManyTags(most: TrailTag.countMax) }
        let settings = input.settings
        var trail = Trail(
            id: randomBytes(8).map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined(),
            name: input.name, account: call.accountID, homeRegion: call.region, bucket: settings.bucket ?? "",
            prefix: settings.prefix?.isEmpty == true ? nil : settings.prefix,
            includesGlobalServiceEvents: settings.includesGlobalServiceEvents ?? true,
            isMultiRegion: settings.isMultiRegion ?? false,
            hasLogFileValidation: settings.hasLogFileValidation ?? false, epochs: [])
        trail.tags = input.tags
        trail.beginEpoch(from: 0)
        try trail.checkGlobalEvents()
        let asked = trail
        // Asked before the bucket is looked at, and again in the transaction, where it counts.
        try await catalog.read { snapshot throws(AWSError) in try snapshot.checkRoom(for: asked) }
        try await bucket.check(asked)
        if let name = settings.kmsKey, !name.isEmpty {
            trail.kmsKeyARN = try await kms.check(name, for: asked, now: clock())
        }
        if let name = settings.topic, !name.isEmpty {
            trail.topicARN = try await topic.check(name, for: asked)
            trail.topicName = name
        }
        let wanted = trail
        let journal = journal
        let delivery = delivery
        try await catalog.write { transaction throws(AWSError) in
            try transaction.checkRoom(for: wanted)
            let position = journal.durableNumber
            delivery.trailBegins(at: position)
            try transaction.store(TrailKeys.trail(wanted), wanted)
            try transaction.store(TrailKeys.progress(wanted.id), TrailProgress(position: position))
        }
        return TrailSettingsOutput(trail: wanted)
    }

    func updateTrail(_ input: UpdateTrailInput, _ call: Call) async throws(AWSError) -> TrailSettingsOutput {
        let before = try await changeable(input.name, call)
        let asked = try before.merging(input.settings)
        try await bucket.check(asked)
        let settings = try await resolved(input.settings, of: asked)
        let clock = clock
        let changed = try await change(input.name, call) { trail, transaction throws(AWSError) in
            let merged = try trail.merging(settings)
            if merged.isMultiRegion, !trail.isMultiRegion {
                try transaction.checkRoom(for: merged, replacing: trail)
            }
            let needsEpoch =
                merged.isMultiRegion != trail.isMultiRegion
                || merged.includesGlobalServiceEvents != trail.includesGlobalServiceEvents
                || merged.hasLogFileValidation != trail.hasLogFileValidation
            trail = merged
            if needsEpoch, trail.isLogging { trail.beginEpoch(afterEventID: call.eventID) }
            trail.reviewDigestChain(now: clock())
        }
        nudge()
        return TrailSettingsOutput(trail: changed)
    }

    /// Settings with the key's ARN in the place of its name, and with the topic's. A key that stays is looked at again when the bucket changes.
    private func resolved(_ settings: TrailSettings, of asked: Trail) async throws(AWSError) -> TrailSettings {
        var settings = settings
        if let name = settings.kmsKey {
            if !name.isEmpty { settings.kmsKey = try await kms.check(name, for: asked, now: clock()) }
        } else if let key = asked.kmsKeyARN, settings.bucket != nil || settings.prefix != nil {
            _ = try await kms.check(key, for: asked, now: clock())
        }
        if let name = settings.topic, !name.isEmpty { settings.topicARN = try await topic.check(name, for: asked) }
        return settings
    }

    func deleteTrail(_ input: TrailNameInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(input.name, call) { trail, transaction throws(AWSError) in
            // Nobody sees it any more, but what it has taken is still delivered, this call included.
            try transaction.delete(TrailKeys.trail(trail))
            if trail.isLogging {
                trail.isLogging = false
                trail.beginEpoch(afterEventID: call.eventID)
            }
            trail.digestChain = nil
            try transaction.store(trail, isLeaving: true)
        }
        nudge()
        return EmptyOutput()
    }

    func startLogging(_ input: TrailNameInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let clock = clock
        let journal = journal
        try await change(input.name, call) { trail, _ throws(AWSError) in
            guard !trail.isLogging else { return }
            trail.isLogging = true
            trail.loggingStarted = clock().milliseconds
            trail.beginEpoch(from: journal.durableNumber)
            trail.reviewDigestChain(now: clock())
        }
        nudge()
        return EmptyOutput()
    }

    func stopLogging(_ input: TrailNameInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let clock = clock
        try await change(input.name, call) { trail, _ throws(AWSError) in
            guard trail.isLogging else { return }
            trail.isLogging = false
            trail.loggingStopped = clock().milliseconds
            trail.beginEpoch(afterEventID: call.eventID)
            trail.reviewDigestChain(now: clock())
        }
        return EmptyOutput()
    }

    func putEventSelectors(
        _ input: PutEventSelectorsInput, _ call: Call
    ) async throws(AWSError) -> EventSelectorsOutput {
        let changed = try await change(input.name, call) { trail, _ throws(AWSError) in
            trail.selectors = input.selectors == [.standard] ? nil : input.selectors
            if trail.isLogging { trail.beginEpoch(afterEventID: call.eventID) }
        }
        return EventSelectorsOutput(trail: changed)
    }

    private func nudge() {
        delivery.nudge()
        digests.nudge()
    }
}

extension Trail {
    /// The trail with what an UpdateTrail gives; absent members stay, an empty prefix is taken away.
    func merging(_ settings: TrailSettings) throws(AWSError) -> Trail {
        var merged = self
        if let bucket = settings.bucket { merged.bucket = bucket }
        if let prefix = settings.prefix { merged.prefix = prefix.isEmpty ? nil : prefix }
        if let name = settings.topic {
            merged.topicName = name.isEmpty ? nil : name
            merged.topicARN = name.isEmpty ? nil : settings.topicARN
        }
        if let key = settings.kmsKey { merged.kmsKeyARN = key.isEmpty ? nil : key }
        if let flag = settings.isMultiRegion {
            // Going to all regions turns global events on, unless the caller says otherwise, which is refused below.
            if flag, !isMultiRegion { merged.includesGlobalServiceEvents = true }
            merged.isMultiRegion = flag
        }
        if let flag = settings.includesGlobalServiceEvents { merged.includesGlobalServiceEvents = flag }
        if let flag = settings.hasLogFileValidation { merged.hasLogFileValidation = flag }
        try merged.checkGlobalEvents()
        return merged
    }

    func checkGlobalEvents() throws(AWSError) {
        if isMultiRegion, !includesGlobalServiceEvents { throw .multiRegionNeedsGlobalEvents }
    }
}

extension CatalogSnapshot {
    /// Checks that a trail's name is free and that no region gets more trails than it may have.
    ///
    /// - Parameter replacing: the same trail as it was, when it is only changed.
    /// - Throws: `TrailAlreadyExistsException`, `MaximumNumberOfTrailsExceededException`.
    func checkRoom(for trail: Trail, replacing old: Trail? = nil) throws(AWSError) {
        let others = try trails(of: trail.account).filter { $0.id != old?.id }
        let clash = others.contains { other in
            other.name == trail.name && (other.isVisible(in: trail.homeRegion) || trail.isVisible(in: other.homeRegion))
        }
        if clash { throw .trailAlreadyExists(trail.name, account: trail.account) }
        var regions = [trail.homeRegion]
        if trail.isMultiRegion { regions += Set(others.map(\.homeRegion)).subtracting(regions).sorted() }
        let most = TrailService.Limits.trailsPerRegion
        for region in regions where others.count(where: { $0.isVisible(in: region) }) >= most {
            throw .tooManyTrails(account: trail.account, region: region, most: most)
        }
    }
}
