// SPDX-License-Identifier: Apache-2.0
//
// A channel takes in events from a source outside (CloudTrail User Guide, "Create an integration with an event source outside
// of AWS"). Its destinations are event data stores; here there is one in each account and region, event history, under the
// ARN that `EventHistoryStore` makes (docs/decisions/0004-channels-into-event-history.md).

internal import AWSWire
internal import Crypto

/// A channel as it lies in the catalog: document `channel` ACCOUNT REGION ID, JSON.
struct Channel: Sendable, Equatable, Codable {
    /// A GUID, the end of the ARN.
    var id: String
    var name: String
    var source: String
    var account: String
    var region: String
    /// ARNs of event data stores.
    var destinations: [String]
    var tags: [TrailTag] = []

    var arn: ChannelARN { ChannelARN(region: region, account: account, id: id) }
}

/// `arn:PARTITION:cloudtrail:REGION:ACCOUNT:channel/GUID`.
struct ChannelARN: Sendable, Equatable {
    let region: String
    let account: String
    let id: String

    init(region: String, account: String, id: String) {
        self.region = region
        self.account = account
        self.id = id
    }

    /// Nil for a text that is no such ARN.
    init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6, parts[0] == "arn", parts[2] == "cloudtrail", !parts[3].isEmpty,
            parts[3].utf8.allSatisfy(TrailName.isRegionByte), parts[1] == TrailARN.partition(of: parts[3]),
            parts[4].utf8.count == 12, parts[4].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            parts[5].hasPrefix("channel/"), Self.isID(String(parts[5].dropFirst(8)))
        else { return nil }
        region = parts[3]
        account = parts[4]
        id = String(parts[5].dropFirst(8))
    }

    var text: String { "arn:\(TrailARN.partition(of: region)):cloudtrail:\(region):\(account):channel/\(id)" }

    /// Whether a text has a GUID's form, in lower case.
    static func isID(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        return parts.map(\.utf8.count) == [8, 4, 4, 4, 12]
            && parts.allSatisfy { part in
                part.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
            }
    }
}

/// Event history as a destination: its ARN has the form of an event data store's.
enum EventHistoryStore {
    static func arn(region: String, account: String) -> String {
        "arn:\(TrailARN.partition(of: region)):cloudtrail:\(region):\(account):eventdatastore/event-history"
    }

    /// Checks that a text names event history of this account and region.
    ///
    /// - Throws: `EventDataStoreARNInvalidException`, `EventDataStoreNotFoundException`.
    static func check(_ text: String, _ call: Call) throws(AWSError) {
        let own = arn(region: call.region, account: call.accountID)
        guard text != own else { return }
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "arn", parts[2] == "cloudtrail", parts[5].hasPrefix("eventdatastore/"),
            parts[5].utf8.count > 15, parts[4] == call.accountID
        else { throw .invalidEventDataStore(text, own: own) }
        throw .eventDataStoreNotFound(text, own: own)
    }
}

/// What came through a channel last: document `channel-status` ID, JSON; kept in memory and saved now and then.
struct ChannelStatus: Sendable, Equatable, Codable {
    /// Milliseconds since 1970.
    var successTime: Int64?
    var successEventID: String?
    var attemptTime: Int64?
    var attemptEventID: String?
    /// The code of the last attempt that failed.
    var errorCode: String?
}

extension AWSError {
    static func channelNotFound(_ text: String) -> AWSError {
        AWSError("ChannelNotFoundException", "The channel `\(text)` does not exist.")
    }

    static func invalidChannelARN(_ text: String) -> AWSError {
        AWSError(
            "ChannelARNInvalidException",
            "`\(text)` is no channel ARN; the form is arn:aws:cloudtrail:us-east-1:123456789012:channel/GUID, and the "
                + "GUID alone will do.")
    }

    static func channelAlreadyExists(_ what: String) -> AWSError {
        AWSError("ChannelAlreadyExistsException", "There is a channel \(what) already.")
    }

    static func tooManyChannels(_ most: Int, region: String) -> AWSError {
        AWSError("ChannelMaxLimitExceededException", "There are \(most) channels in \(region) already.")
    }

    static func invalidSource(_ message: String) -> AWSError { AWSError("InvalidSourceException", message) }

    static func invalidParameter(_ message: String) -> AWSError { AWSError("InvalidParameterException", message) }

    static func invalidEventDataStore(_ text: String, own: String) -> AWSError {
        AWSError(
            "EventDataStoreARNInvalidException",
            "`\(text)` is no event data store of this account; event history is \(own).")
    }

    static func eventDataStoreNotFound(_ text: String, own: String) -> AWSError {
        AWSError(
            "EventDataStoreNotFoundException",
            "The event data store `\(text)` does not exist; event history is \(own).")
    }
}
