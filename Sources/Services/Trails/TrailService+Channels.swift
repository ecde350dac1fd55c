// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import Storage
internal import Synchronization

/// The operations on channels. What comes through them: AuditEventService.swift.
extension TrailService {
    /// The source under which any number of channels may stand; a partner has one.
    private static let customSource = "Custom"

    /// The channel that a member names; IAM knows it by its ARN.
    static func channel(_ member: String) -> Operation<TrailService>.Resources {
        { _, request, call in
            guard let text = request.parameters[member]?.asString, let reference = try? ChannelReference(text) else {
                return []
            }
            let arn = reference.arn(in: call)
            return [ResourceReference(type: "AWS::CloudTrail::Channel", arn: arn.text, accountID: arn.account)]
        }
    }

    /// The tags of the channel that a member names, as policies see them (`aws:ResourceTag/KEY`; Service Authorization Reference,
    /// "AWS CloudTrail": channels have that key, trails have none), after the keys that a request brings.
    static func channelTags(
        _ member: String, and brought: @escaping Operation<TrailService>.Conditions = { _, _, _ in [] }
    ) -> Operation<TrailService>.Conditions {
        { (service, request, call) async throws(AWSError) -> [ConditionKey] in
            var keys = try await brought(service, request, call)
            if let text = request.parameters[member]?.asString, let reference = try? ChannelReference(text) {
                keys += try await service.tagKeys(of: reference.arn(in: call))
            }
            return keys
        }
    }

    func tagKeys(of channel: ChannelARN) async throws(AWSError) -> [ConditionKey] {
        let found = try await catalog.read { snapshot throws(AWSError) -> Channel? in
            try snapshot.document(TrailKeys.channel(channel))
        }
        return found?.tags.map { ConditionKey("aws:ResourceTag/\($0.key)", $0.value ?? "") } ?? []
    }

    func createChannel(_ input: CreateChannelInput, _ call: Call) async throws(AWSError) -> ChannelOutput {
        for location in input.destinations { try EventHistoryStore.check(location, call) }
        let channel = Channel(
            id: Self.identifier(randomBytes(16), version: 4), name: input.name, source: input.source,
            account: call.accountID, region: call.region, destinations: input.destinations, tags: input.tags)
        try await catalog.write { transaction throws(AWSError) in
            let others = try transaction.channels(of: channel.account, region: channel.region)
            try Self.checkName(channel.name, among: others)
            if channel.source != Self.customSource, others.contains(where: { $0.source == channel.source }) {
                throw .channelAlreadyExists("for the source `\(channel.source)`")
            }
            guard others.count < Limits.channelsPerRegion else {
                throw .tooManyChannels(Limits.channelsPerRegion, region: channel.region)
            }
            try transaction.store(TrailKeys.channel(channel.arn), channel)
        }
        return ChannelOutput(channel: channel, showsTags: true)
    }

    func getChannel(_ input: ChannelInput, _ call: Call) async throws(AWSError) -> ChannelOutput {
        let reference = input.channel
        let found = try await catalog.read { snapshot throws(AWSError) -> (Channel, ChannelStatus?) in
            let channel = try snapshot.channel(reference, call)
            return (channel, try snapshot.document(TrailKeys.channelStatus(channel.id)))
        }
        let status = channelStatuses.withLock { $0[found.0.id] } ?? found.1
        return ChannelOutput(channel: found.0, status: status)
    }

    /// In the order of their ids, which says nothing.
    func listChannels(_ input: ListChannelsInput, _ call: Call) async throws(AWSError) -> ListChannelsOutput {
        var channels = try await catalog.read { snapshot throws(AWSError) in
            try snapshot.channels(of: call.accountID, region: call.region)
        }
        if let after = input.after { channels.removeAll { $0.id <= after } }
        let page = Array(channels.prefix(input.resultsMax))
        let token = channels.count > page.count ? page.last.map { ListChannelsInput.token(after: $0.id) } : nil
        return ListChannelsOutput(channels: page, nextToken: token)
    }

    func updateChannel(_ input: UpdateChannelInput, _ call: Call) async throws(AWSError) -> ChannelOutput {
        for location in input.destinations { try EventHistoryStore.check(location, call) }
        let channel = try await catalog.write { transaction throws(AWSError) -> Channel in
            var channel = try transaction.channel(input.channel, call)
            if let name = input.name, name != channel.name {
                try Self.checkName(name, among: try transaction.channels(of: channel.account, region: channel.region))
                channel.name = name
            }
            channel.destinations = input.destinations
            try transaction.store(TrailKeys.channel(channel.arn), channel)
            return channel
        }
        return ChannelOutput(channel: channel)
    }

    func deleteChannel(_ input: ChannelInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let reference = input.channel
        let id = try await catalog.write { transaction throws(AWSError) -> String in
            let channel = try transaction.channel(reference, call)
            try transaction.delete(TrailKeys.channel(channel.arn))
            try transaction.delete(TrailKeys.channelStatus(channel.id))
            try transaction.delete(TrailKeys.channelPolicy(channel.arn))
            return channel.id
        }
        channelStatuses.withLock { $0[id] = nil }
        return EmptyOutput()
    }

    private static func checkName(_ name: String, among others: [Channel]) throws(AWSError) {
        if others.contains(where: { $0.name == name }) { throw .channelAlreadyExists("of the name `\(name)`") }
    }

    // MARK: Status

    /// Saves what is known of the last events of each channel; what a crash takes of it comes again with the next event.
    package func saveChannelStatuses() async throws(AWSError) {
        let statuses = channelStatuses.withLock { $0 }
        guard !statuses.isEmpty else { return }
        try await catalog.write { transaction throws(AWSError) in
            let living = Set(try transaction.documentsOfChannels().map(\.id))
            for (id, status) in statuses where living.contains(id) {
                let key = TrailKeys.channelStatus(id)
                let saved: ChannelStatus? = try transaction.document(key)
                if saved != status { try transaction.store(key, status) }
            }
        }
    }

    /// A GUID's text (RFC 9562) of sixteen bytes.
    static func identifier(_ bytes: [UInt8], version: UInt8) -> String {
        var text = ""
        for (index, byte) in bytes.prefix(16).enumerated() {
            if [4, 6, 8, 10].contains(index) { text += "-" }
            let value = index == 6 ? byte & 0x0F | version << 4 : index == 8 ? byte & 0x3F | 0x80 : byte
            text += value < 16 ? "0" + String(value, radix: 16) : String(value, radix: 16)
        }
        return text
    }
}

extension CatalogSnapshot {
    /// The account's channels in a region, in the order of their ids.
    func channels(of account: String, region: String) throws(AWSError) -> [Channel] {
        try documents(TrailKeys.channels(of: account, region: region))
    }

    func documentsOfChannels() throws(AWSError) -> [Channel] { try documents(TrailKeys.channels) }

    /// The channel that is meant, if it is the caller's and of this region.
    ///
    /// - Throws: `ChannelNotFoundException`.
    func channel(_ reference: ChannelReference, _ call: Call) throws(AWSError) -> Channel {
        let arn = reference.arn(in: call)
        guard arn.account == call.accountID, arn.region == call.region,
            let channel: Channel = try document(TrailKeys.channel(arn))
        else { throw .channelNotFound(arn.text) }
        return channel
    }
}
