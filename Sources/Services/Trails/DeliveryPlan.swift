// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import EventRecord
internal import LogFiles
internal import Storage

/// What a turn of delivery is about to put, stored before the first object is: document `delivery-plan` TRAILID.
///
/// After a crash the plan is carried out again; since each file's bytes follow from the journal's range and the plan, the
/// same objects are written, so that every event is delivered once.
struct DeliveryPlan: Sendable, Equatable, Codable {
    struct File: Sendable, Equatable, Codable {
        var region: String
        /// Journal numbers; of these the events of `region` that the epochs take.
        var from: UInt64
        var to: UInt64
        var bucket: String = ""
        /// The trail's key of KMS when the file got its name.
        var keyARN: String?
        /// Nil while none has been given: before the first try, and after the store refused the last one. A refused file
        /// gets a new name, because others may have been written since that sort after the old one.
        var key: String?
        var isPut = false
        /// SHA-256 of the content, lower-case hex.
        var hash: String
        /// Seconds since 1970.
        var oldest: Int64
        var newest: Int64
    }

    /// An event for which an epoch was waiting.
    struct Met: Sendable, Equatable, Codable {
        var eventID: String
        var number: UInt64
    }

    var from: UInt64
    var to: UInt64
    /// As they were when the range was read.
    var epochs: [Epoch]
    var met: [Met]
    var files: [File]
}

/// The counter behind log files' names, one for all trails: document `delivery-sequence`.
struct DeliverySequence: Sendable, Codable {
    var minute: Int64 = 0
    var number: UInt64 = 0

    /// The next stamp: neither minute nor number ever goes back, whatever the clock does.
    mutating func next(now: Timestamp) -> LogFileStamp {
        minute = max(minute, now.seconds / 60)
        number += 1
        return LogFileStamp(minute: minute, number: number)
    }
}

/// A log file that awaits its digest: document `delivered-file` TRAILID REGION KEY.
struct DeliveredFile: Sendable, Equatable, Codable {
    var bucket: String
    var key: String
    var hash: String
    /// Seconds since 1970.
    var oldest: Int64
    var newest: Int64
    /// Milliseconds since 1970: when the delivery was committed.
    var delivered: Int64
}

/// Reads a range of the journal for one trail and says what is taken, event by event.
struct TrailScan {
    /// An event that is taken.
    struct Taken {
        let number: UInt64
        let region: String
        let record: ArraySlice<UInt8>
        let seconds: Int64
    }

    private let account: String
    private let homeRegion: String
    private(set) var epochs: [Epoch]
    private let filters: [EventFilter]
    private(set) var met: [DeliveryPlan.Met] = []
    private var waiting: [String: [Int]] = [:]
    private var fields = EventFields()

    init(account: String, homeRegion: String, epochs: [Epoch]) {
        self.account = account
        self.homeRegion = homeRegion
        self.epochs = epochs
        filters = epochs.map { $0.filter(homeRegion: homeRegion) }
        for (index, epoch) in epochs.enumerated() {
            if epoch.from == nil, let id = epoch.afterEventID { waiting[id, default: []].append(index) }
        }
    }

    /// The last epoch that has begun; the configuration that came last wins.
    private func index(at number: UInt64) -> Int? {
        epochs.lastIndex { epoch in epoch.from.map { $0 <= number } ?? false }
    }

    /// - Returns: the event, when the trail takes it.
    mutating func take(_ entry: ArraySlice<UInt8>, number: UInt64) -> Taken? {
        guard let envelope = EventEnvelope.parse(entry), envelope.kind == .event || envelope.kind == .closingEvent,
            envelope.ownerAccount == account
        else { return nil }
        return envelope.record.withUnsafeBytes { bytes -> Taken? in
            do throws(EventError) {
                try EventReader.scan(bytes, into: &fields)
            } catch {
                return nil  // The recorder writes no such record; one that is there all the same is not for a log file.
            }
            var isTaken = index(at: number).map { filters[$0].matches(fields, in: bytes) } ?? false
            if !waiting.isEmpty, let indices = waiting.removeValue(forKey: fields.eventID(in: bytes)) {
                met.append(DeliveryPlan.Met(eventID: fields.eventID(in: bytes), number: number))
                for index in indices {
                    isTaken = isTaken || filters[index].matches(fields, in: bytes)
                    epochs[index].from = number + 1
                }
            }
            guard isTaken else { return nil }
            // A region becomes a folder's name; one that cannot be is shown under the trail's own.
            let region = fields.text(.awsRegion, in: bytes) ?? ""
            let isFolder = !region.isEmpty && region.utf8.allSatisfy(TrailName.isRegionByte)
            return Taken(
                number: number, region: isFolder ? region : homeRegion, record: envelope.record,
                seconds: fields.eventSeconds ?? 0)
        }
    }
}

extension Trail {
    /// Fixes the epochs whose event has been met, and drops those that end before `position`.
    mutating func settle(_ met: [DeliveryPlan.Met], position: UInt64) {
        for index in epochs.indices where epochs[index].from == nil {
            if let hit = met.first(where: { $0.eventID == epochs[index].afterEventID }) {
                epochs[index].from = hit.number + 1
            }
        }
        if let current = epochs.lastIndex(where: { ($0.from ?? .max) <= position }) {
            epochs.removeFirst(current)
        }
    }

    /// Whether delivery has come past every change of the configuration.
    var isSettled: Bool { epochs.count == 1 && epochs[0].from != nil }
}
