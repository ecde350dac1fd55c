// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// A trail as it lies in the catalog: its configuration and what was in force when.
///
/// Document `trail` ACCOUNT HOMEREGION NAME, JSON. A deleted trail whose last events are still to be delivered lies at
/// `trail-leaving` ID instead, where no caller sees it.
struct Trail: Sendable, Equatable, Codable {
    /// Tells trails apart that had the same name one after the other.
    var id: String
    var name: String
    var account: String
    var homeRegion: String
    var bucket: String
    var prefix: String?
    /// The ARN of the key of KMS for log files and digests; nil: under the store's key.
    var kmsKeyARN: String?
    /// The topic that is told of log files: as it was given, and its ARN.
    var topicName: String?
    var topicARN: String?
    var includesGlobalServiceEvents: Bool
    var isMultiRegion: Bool
    var hasLogFileValidation: Bool
    var isLogging: Bool = false
    /// Milliseconds since 1970; nil before the first StartLogging or StopLogging.
    var loggingStarted: Int64?
    var loggingStopped: Int64?
    /// Nil for the default selector.
    var selectors: [EventSelector]?
    var tags: [TrailTag] = []
    /// What was in force from which event on, oldest first; never empty. See `Epoch`.
    var epochs: [Epoch]
    /// The chain of digests that is being written; nil while there is none to write.
    var digestChain: DigestChainStart?
    /// Counts the chains begun, so that each restart begins a new one.
    var digestChainsBegun: Int = 0

    var arn: TrailARN { TrailARN(region: homeRegion, account: account, name: name) }

    /// Whether the trail is seen in that region, as itself or as a shadow.
    func isVisible(in region: String) -> Bool { isMultiRegion || homeRegion == region }

    var effectiveSelectors: [EventSelector] { selectors ?? [.standard] }
}

struct TrailTag: Sendable, Equatable, Codable {
    var key: String
    var value: String?
}

/// The beginning of a chain of digests; its boundaries lie at `anchor` plus whole digest intervals.
struct DigestChainStart: Sendable, Equatable, Codable {
    /// Number of the chain within the trail, from 1.
    var number: Int
    /// Seconds since 1970.
    var anchor: Int64
}

/// A configuration and where in the journal it begins.
///
/// Configuration changes while events wait for delivery, so each event is matched by what was in force when it was
/// journaled. Most changes begin right after the event that records them, which itself is taken when the old or the new
/// configuration takes it: whoever stops or blinds a trail is seen doing so. StartLogging begins at a number, since its
/// own event is still to come.
struct Epoch: Sendable, Equatable, Codable {
    /// First journal number of the epoch; nil while the event it waits for has not been met.
    var from: UInt64?
    /// The epoch begins after the event with this id.
    var afterEventID: String?
    var isLogging: Bool
    var includesGlobalServiceEvents: Bool
    var isMultiRegion: Bool
    var selectors: [EventSelector]
}

extension Trail {
    /// The epoch that the trail's present configuration makes.
    private func epoch(from: UInt64?, afterEventID: String?) -> Epoch {
        Epoch(
            from: from, afterEventID: afterEventID, isLogging: isLogging,
            includesGlobalServiceEvents: includesGlobalServiceEvents, isMultiRegion: isMultiRegion,
            selectors: effectiveSelectors)
    }

    /// The present configuration takes effect after the event of the call that made it.
    mutating func beginEpoch(afterEventID id: String) {
        epochs.append(epoch(from: nil, afterEventID: id))
    }

    /// The present configuration takes effect with that journal number.
    mutating func beginEpoch(from number: UInt64) {
        epochs.append(epoch(from: number, afterEventID: nil))
    }

    /// Begins or ends a chain of digests, whichever the configuration asks for now.
    ///
    /// A chain begins when there is logging with validation, and begins anew after logging was stopped.
    mutating func reviewDigestChain(now: Timestamp) {
        let isWanted = isLogging && hasLogFileValidation
        if isWanted, digestChain == nil {
            digestChainsBegun += 1
            digestChain = DigestChainStart(number: digestChainsBegun, anchor: now.wholeSecondsUp)
        } else if !isWanted {
            digestChain = nil
        }
    }
}

extension Timestamp {
    /// Whole seconds, rounded up.
    var wholeSecondsUp: Int64 {
        milliseconds == seconds * 1000 ? seconds : seconds + 1
    }
}

/// How far delivery of a trail has come and how it went: document `trail-progress` ID.
struct TrailProgress: Sendable, Equatable, Codable {
    /// All below this journal number has been delivered or passed over.
    var position: UInt64
    /// Delivery and digest times by region, milliseconds since 1970.
    var latestDelivery: [String: Int64] = [:]
    var latestDigest: [String: Int64] = [:]
    /// By region the end of the last digest, seconds since 1970: no later one may have its name. Nil in older documents.
    var lastDigestEnd: [String: Int64]?
    var latestAttempt: Int64?
    var latestSuccess: Int64?
    var deliveryError: String?
    var digestError: String?
    /// As the deliveries' members; nil before the first notice.
    var latestNotification: [String: Int64]?
    var latestNotificationAttempt: Int64?
    var latestNotificationSuccess: Int64?
    var notificationError: String?
    /// Since when deliveries have failed without a success between; milliseconds.
    var failingSince: Int64?
}
