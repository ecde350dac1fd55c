// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import EventHistory
internal import EventRecord
internal import Storage

/// Finding trails, and the operations that change nothing or only tags.
extension TrailService {
    // MARK: Finding

    /// The trail that is meant: a name means one whose home is this region; an ARN any trail of the account.
    ///
    /// - Throws: `TrailNotFoundException`.
    private static func find(
        _ reference: TrailReference, _ call: Call, in snapshot: CatalogSnapshot
    ) throws(AWSError) -> Trail {
        let arn =
            switch reference {
            case .arn(let arn): arn
            case .name(let name): TrailARN(region: call.region, account: call.accountID, name: name)
            }
        let trail = try snapshot.trails(of: call.accountID).first { $0.arn == arn }
        guard let trail else { throw .trailNotFound(arn: arn.text, account: call.accountID) }
        return trail
    }

    func trail(_ reference: TrailReference, _ call: Call) async throws(AWSError) -> Trail {
        try await catalog.read { snapshot throws(AWSError) in try Self.find(reference, call, in: snapshot) }
    }

    /// The trail, if this is its home region.
    ///
    /// - Throws: `TrailNotFoundException`, `InvalidHomeRegionException`.
    func changeable(_ reference: TrailReference, _ call: Call) async throws(AWSError) -> Trail {
        let trail = try await trail(reference, call)
        guard trail.homeRegion == call.region else { throw .invalidHomeRegion(trail.homeRegion, name: trail.name) }
        return trail
    }

    /// Changes a trail in one transaction, in its home region only.
    @discardableResult
    func change(
        _ reference: TrailReference, _ call: Call,
        _ body: @escaping @Sendable (inout Trail, CatalogTransaction) throws(AWSError) -> Void
    ) async throws(AWSError) -> Trail {
        try await catalog.write { transaction throws(AWSError) -> Trail in
            let before = try Self.find(reference, call, in: transaction)
            guard before.homeRegion == call.region else {
                throw .invalidHomeRegion(before.homeRegion, name: before.name)
            }
            // Stopping and deleting are never refused: they add one change at most, after which there is nothing to stop.
            var trail = before
            try body(&trail, transaction)
            if trail.isLogging, trail.epochs.count > Limits.waitingChanges { throw .tooManyChanges }
            // A deletion has moved it away.
            if trail != before, try transaction.get(TrailKeys.trail(before)) != nil {
                try transaction.store(trail, isLeaving: false)
            }
            return trail
        }
    }

    // MARK: Trails

    func getTrail(_ input: TrailNameInput, _ call: Call) async throws(AWSError) -> GetTrailOutput {
        GetTrailOutput(trail: try await trail(input.name, call))
    }

    func describeTrails(_ input: DescribeTrailsInput, _ call: Call) async throws(AWSError) -> DescribeTrailsOutput {
        let visible = try await catalog.read { snapshot throws(AWSError) -> [Trail] in
            try snapshot.trails(of: call.accountID).filter { $0.isVisible(in: call.region) }
        }
        var shown: [Trail] = []
        if input.names.isEmpty {
            shown = visible
        } else {
            for reference in input.names {
                let hit = visible.first { trail in
                    switch reference {
                    case .name(let name): trail.name == name && trail.homeRegion == call.region
                    case .arn(let arn): trail.arn == arn
                    }
                }
                if let hit, !shown.contains(where: { $0.id == hit.id }) { shown.append(hit) }
            }
        }
        if !input.includesShadows { shown.removeAll { $0.homeRegion != call.region } }
        return DescribeTrailsOutput(trails: shown)
    }

    func listTrails(_ input: ListTrailsInput, _ call: Call) async throws(AWSError) -> ListTrailsOutput {
        let trails = try await catalog.read { snapshot throws(AWSError) in try snapshot.trails(of: call.accountID) }
        return ListTrailsOutput(trails: trails)
    }

    func getTrailStatus(_ input: TrailNameInput, _ call: Call) async throws(AWSError) -> GetTrailStatusOutput {
        try await catalog.read { snapshot throws(AWSError) -> GetTrailStatusOutput in
            let trail = try Self.find(input.name, call, in: snapshot)
            let progress: TrailProgress? = try snapshot.document(TrailKeys.progress(trail.id))
            return GetTrailStatusOutput(
                trail: trail, progress: progress ?? TrailProgress(position: 0), region: call.region)
        }
    }

    func getEventSelectors(
        _ input: TrailSelectorsInput, _ call: Call
    ) async throws(AWSError) -> EventSelectorsOutput {
        EventSelectorsOutput(trail: try await trail(input.name, call))
    }

    /// Insights are never on here, which is an error of its own.
    func getInsightSelectors(_ input: TrailSelectorsInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        throw .insightsNotEnabled(try await trail(input.name, call).name)
    }

    // MARK: Tags

    func addTags(_ input: TagsInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await changeTags(input.resource, call) { tags throws(AWSError) in
            for tag in input.tags {
                if let index = tags.firstIndex(where: { $0.key == tag.key }) {
                    tags[index] = tag
                } else {
                    tags.append(tag)
                }
            }
            guard tags.count <= TrailTag.countMax else { throw .tooManyTags(most: TrailTag.countMax) }
        }
    }

    /// Takes away the tags with these keys; a value is of no account, and a tag that is not there no error.
    func removeTags(_ input: TagsInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await changeTags(input.resource, call) { tags throws(AWSError) in
            tags.removeAll { tag in input.tags.contains { $0.key == tag.key } }
        }
    }

    private func changeTags(
        _ resource: TaggedResource, _ call: Call,
        _ body: @escaping @Sendable (inout [TrailTag]) throws(AWSError) -> Void
    ) async throws(AWSError) -> EmptyOutput {
        try Self.checkRegion(resource, call)
        try await catalog.write { transaction throws(AWSError) in
            switch resource {
            case .trail(let arn):
                guard var trail = try transaction.trails(of: call.accountID).first(where: { $0.arn == arn }) else {
                    throw .resourceNotFound(resource.text)
                }
                try body(&trail.tags)
                try transaction.store(trail, isLeaving: false)
            case .channel(let arn):
                guard arn.account == call.accountID,
                    var channel: Channel = try transaction.document(TrailKeys.channel(arn))
                else { throw .resourceNotFound(resource.text) }
                try body(&channel.tags)
                try transaction.store(TrailKeys.channel(arn), channel)
            }
        }
        return EmptyOutput()
    }

    /// Tags are kept in the trail's home region, or the channel's.
    private static func checkRegion(_ resource: TaggedResource, _ call: Call) throws(AWSError) {
        guard resource.region == call.region else {
            throw .invalidARN("Region in ARN is wrong, you can only access resources in region \(call.region).")
        }
    }

    func listTags(_ input: ListTagsInput, _ call: Call) async throws(AWSError) -> ListTagsOutput {
        for resource in input.resources { try Self.checkRegion(resource, call) }
        let entries = try await catalog.read { snapshot throws(AWSError) -> [(arn: String, tags: [TrailTag])] in
            let trails = try snapshot.trails(of: call.accountID)
            var entries: [(arn: String, tags: [TrailTag])] = []
            for resource in input.resources {
                let tags: [TrailTag]?
                switch resource {
                case .trail(let arn): tags = trails.first { $0.arn == arn }?.tags
                case .channel(let arn):
                    let channel: Channel? =
                        arn.account == call.accountID ? try snapshot.document(TrailKeys.channel(arn)) : nil
                    tags = channel?.tags
                }
                guard let tags else { throw .resourceNotFound(resource.text) }
                entries.append((resource.text, tags))
            }
            return entries
        }
        return ListTagsOutput(entries: entries)
    }

    // MARK: Keys and events

    func listPublicKeys(_ input: ListPublicKeysInput, _ call: Call) async throws(AWSError) -> ListPublicKeysOutput {
        ListPublicKeysOutput(keys: try await signingKeys.publicKeys(from: input.start, to: input.end))
    }

    /// Management events of the account and region, newest first; kept for as long as history keeps them.
    func lookupEvents(_ input: LookupEventsInput, _ call: Call) async throws(AWSError) -> LookupEventsOutput {
        let query = HistoryQuery(
            ownerAccount: call.accountID, region: call.region, category: input.isInsight ? .insight : .management,
            filter: input.attribute?.filter ?? .all,
            // Both ends are inclusive: a start within a second begins with the next one.
            startSeconds: input.start?.wholeSecondsUp, endSeconds: input.end?.seconds, limit: input.resultsMax,
            token: input.token)
        do {
            let page = try await search(query)
            return LookupEventsOutput(events: page.events.map(\.event), nextToken: page.nextToken)
        } catch let error as HistoryError where error.code == .invalidToken {
            throw .invalidNextToken
        } catch {
            throw .internalFailure(cause: "event history: \(error)")
        }
    }
}

struct LookupEventsOutput: OperationOutput {
    let events: [Event]
    let nextToken: String?

    func answer() -> OperationAnswer {
        var members: WireStructure = ["Events": .list(events.map { .structure(Self.members($0)) })]
        members.append("NextToken", ifPresent: WireValue(nextToken))
        return OperationAnswer(body: .members(members))
    }

    private static func members(_ event: Event) -> WireStructure {
        var members: WireStructure = ["EventId": .string(event.eventID), "EventName": .string(event.eventName)]
        members.append("ReadOnly", ifPresent: event.readOnly.map { $0 ? "true" : "false" })
        members.append("AccessKeyId", ifPresent: WireValue(event.accessKeyID))
        members.append("EventTime", ifPresent: event.eventSeconds.map { .timestamp(Timestamp(seconds: $0)) })
        members.append("EventSource", .string(event.eventSource))
        members.append("Username", ifPresent: WireValue(event.username))
        members.append(
            "Resources",
            .list(
                event.lookupResources.map { resource in
                    var entry = WireStructure()
                    entry.append("ResourceType", ifPresent: WireValue(resource.type))
                    entry.append("ResourceName", .string(resource.name))
                    return .structure(entry)
                }))
        members.append("CloudTrailEvent", .string(String(decoding: event.record, as: UTF8.self)))
        return members
    }
}
