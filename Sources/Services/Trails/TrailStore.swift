// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage

/// Where the documents of trails lie in the catalog.
enum TrailKeys {
    static func trail(_ trail: Trail) -> CatalogKey { .init("trail", trail.account, trail.homeRegion, trail.name) }
    static let trails = CatalogKey.prefix("trail")
    static func trails(of account: String) -> CatalogKey { .prefix("trail", account) }
    static let leavingTrails = CatalogKey.prefix("trail-leaving")
    static func leaving(_ id: String) -> CatalogKey { .init("trail-leaving", id) }
    static func progress(_ id: String) -> CatalogKey { .init("trail-progress", id) }
    static func plan(_ id: String) -> CatalogKey { .init("delivery-plan", id) }
    static let sequence = CatalogKey("delivery-sequence")
    /// Files that await their digest: the number grows, so a scan gives them in the order of delivery.
    static func file(_ id: String, region: String, key: String) -> CatalogKey {
        .init("delivered-file", id, region, key)
    }
    static func files(_ id: String, region: String) -> CatalogKey { .prefix("delivered-file", id, region) }
    static func files(_ id: String) -> CatalogKey { .prefix("delivered-file", id) }
    static func notice(_ id: String, key: String) -> CatalogKey { .init("trail-notice", id, key) }
    static func notices(_ id: String) -> CatalogKey { .prefix("trail-notice", id) }
    static func chain(_ id: String, region: String) -> CatalogKey { .init("digest-chain", id, region) }
    static func chains(_ id: String) -> CatalogKey { .prefix("digest-chain", id) }
    static func digestPlan(_ id: String, region: String) -> CatalogKey { .init("digest-plan", id, region) }
    static func digestPlans(_ id: String) -> CatalogKey { .prefix("digest-plan", id) }
    static func channel(_ arn: ChannelARN) -> CatalogKey { .init("channel", arn.account, arn.region, arn.id) }
    static let channels = CatalogKey.prefix("channel")
    static func channels(of account: String, region: String) -> CatalogKey { .prefix("channel", account, region) }
    static func channelPolicy(_ arn: ChannelARN) -> CatalogKey {
        .init("channel-policy", arn.account, arn.region, arn.id)
    }
    static func channelStatus(_ id: String) -> CatalogKey { .init("channel-status", id) }
    static func signingKey(_ fingerprint: String) -> CatalogKey { .init("signing-key", fingerprint) }
    static let signingKeys = CatalogKey.prefix("signing-key")
}

extension CatalogSnapshot {
    func document<Value: Decodable>(_ key: CatalogKey) throws(AWSError) -> Value? {
        guard let document = try get(key) else { return nil }
        return try CatalogJSON.decode(document) { .internalFailure(cause: $0) }
    }

    func documents<Value: Decodable>(_ prefix: CatalogKey) throws(AWSError) -> [Value] {
        var values: [Value] = []
        for document in try scan(prefix: prefix) {
            values.append(try CatalogJSON.decode(document) { .internalFailure(cause: $0) })
        }
        return values
    }

    /// The account's trails, in the order of region and name.
    func trails(of account: String) throws(AWSError) -> [Trail] { try documents(TrailKeys.trails(of: account)) }

    /// Every trail that delivery still has to do with, the deleted ones too.
    func deliverableTrails() throws(AWSError) -> [Trail] {
        let living: [Trail] = try documents(TrailKeys.trails)
        let leaving: [Trail] = try documents(TrailKeys.leavingTrails)
        return living + leaving
    }

    /// The trail as it stands now, and whether it has been deleted.
    func current(_ trail: Trail) throws(AWSError) -> (trail: Trail, isLeaving: Bool)? {
        if let living: Trail = try document(TrailKeys.trail(trail)), living.id == trail.id { return (living, false) }
        if let leaving: Trail = try document(TrailKeys.leaving(trail.id)) { return (leaving, true) }
        return nil
    }
}

extension CatalogTransaction {
    func store(_ key: CatalogKey, _ value: some Encodable) throws(AWSError) {
        try put(key, try CatalogJSON.encode(value) { .internalFailure(cause: $0) })
    }

    /// Writes a trail back to where it lies.
    func store(_ trail: Trail, isLeaving: Bool) throws(AWSError) {
        try store(isLeaving ? TrailKeys.leaving(trail.id) : TrailKeys.trail(trail), trail)
    }

    func deleteAll(_ prefix: CatalogKey) throws(AWSError) {
        for document in try scan(prefix: prefix) { try delete(document.key) }
    }
}
