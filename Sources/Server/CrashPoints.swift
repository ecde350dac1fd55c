// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
package import EventHistory
package import EventJournal
internal import Glibc
package import Objects
internal import Synchronization
package import Storage
package import Trails

/// Moments at which the process may be told to kill itself: for the crash tests alone (CONTRIBUTING.md, "Crash tests").
///
/// `CAIRN_KILL_AT=NAME:COUNT` in the environment of `cairn serve` ends the process with SIGKILL when the moment NAME comes for
/// the COUNT-th time. It is no setting: it has no flag and stands in no file. The moments lie in the seams that the rooms have
/// for their files anyway, so no room knows of them.
package struct CrashPoints: Sendable {
    /// Every moment, by room.
    package static let names: [String] =
        [
            "journal.write.before", "journal.write.half", "journal.write.after", "journal.sync.after",
            "journal.segment.made", "journal.trim.before",
        ] + HistoryMoments.names + [
            "delivery.put.before", "delivery.put.after", "digest.put.before", "digest.put.after",
        ]
        + FileStep.allCases.map { "objects.\($0)" }

    private let name: String
    private let left: Left
    /// Events in a segment of history, so that a short run seals some.
    let segmentEvents: Int?
    /// Segments of history that become one, so that a short run merges some.
    let mergeSegments: Int?
    /// Bytes of a journal segment, so that a short run begins some.
    let journalBytes: UInt64?

    /// Seconds between two rounds of what a server does each minute: positions are saved, the journal is trimmed.
    let tidySeconds = 1

    private final class Left: Sendable {
        let count: Mutex<Int>
        init(_ count: Int) { self.count = Mutex(count) }
    }

    /// Nil when the environment asks for none.
    ///
    /// - Throws: `ConfigurationProblem` for a moment that does not exist.
    package init?(environment: [String: String]) throws(ConfigurationProblem) {
        segmentEvents = environment["CAIRN_CRASH_SEGMENT_EVENTS"].flatMap { Int($0) }
        mergeSegments = environment["CAIRN_CRASH_MERGE_SEGMENTS"].flatMap { Int($0) }
        journalBytes = environment["CAIRN_CRASH_JOURNAL_BYTES"].flatMap { UInt64($0) }
        guard let text = environment["CAIRN_KILL_AT"] else {
            guard segmentEvents != nil || mergeSegments != nil || journalBytes != nil else { return nil }
            name = ""
            left = Left(0)
            return
        }
        let parts = text.split(separator: ":")
        guard parts.count == 2, Self.names.contains(String(parts[0])), let count = Int(parts[1]), count > 0 else {
            throw ConfigurationProblem(
                "CAIRN_KILL_AT must be NAME:COUNT, not `\(text)`; the names are \(Self.names.joined(separator: ", "))")
        }
        name = String(parts[0])
        left = Left(count)
    }

    private func isDue(_ moment: String) -> Bool {
        guard moment == name else { return false }
        return left.count.withLock { count in
            count -= 1
            return count == 0
        }
    }

    /// A moment has come.
    private func pass(_ moment: String) {
        if isDue(moment) { die() }
    }

    private func die() {
        kill(getpid(), SIGKILL)
        while true { pause() }
    }

    // MARK: The seams

    package var journalLimits: JournalLimits {
        var limits = JournalLimits()
        if let journalBytes { limits.segmentBytes = journalBytes }
        return limits
    }

    package var historyLimits: HistoryLimits {
        var limits = HistoryLimits()
        if let segmentEvents { limits.segmentEventsMax = segmentEvents }
        if let mergeSegments { limits.mergeSegmentsMin = mergeSegments }
        return limits
    }

    package var journalDevice: any JournalDevice { Device(points: self, base: POSIXJournalDevice()) }

    package var historyDevice: HistoryDevice {
        let posix = HistoryDevice.posix
        return HistoryDevice(
            write: { descriptor, bytes in
                if let moment = HistoryMoments.writing(descriptor), isDue(moment) {
                    _ = posix.write(descriptor, UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)]))
                    die()
                }
                return posix.write(descriptor, bytes)
            },
            sync: { descriptor in
                let result = posix.sync(descriptor)
                if let moment = HistoryMoments.synced(descriptor) { pass(moment) }
                return result
            },
            remove: { path in
                let moment = HistoryMoments.removing(path)
                if let moment { pass(moment + ".before") }
                let result = posix.remove(path)
                if let moment { pass(moment + ".after") }
                return result
            })
    }

    package var catalogStep: CatalogStep {
        { (moment) throws(AWSError) in pass("catalog.\(moment)") }
    }

    package func bucket(_ bucket: TrailBucket) -> TrailBucket {
        var watched = bucket
        watched.put = { (put) throws(AWSError) in
            let what = put.key.contains("/CloudTrail-Digest/") ? "digest" : "delivery"
            pass("\(what).put.before")
            try await bucket.put(put)
            pass("\(what).put.after")
        }
        return watched
    }

    package var fileFault: FileFault {
        { step in
            pass("objects.\(step)")
            return nil
        }
    }

    /// The journal's disk with its moments.
    private struct Device: JournalDevice {
        let points: CrashPoints
        let base: POSIXJournalDevice

        func list(_ directory: String) throws(JournalDeviceError) -> [String] { try base.list(directory) }

        func open(_ path: String, create: Bool) throws(JournalDeviceError) -> any JournalFile {
            File(points: points, base: try base.open(path, create: create))
        }

        func rename(_ from: String, to: String) throws(JournalDeviceError) {
            try base.rename(from, to: to)
            if to.hasSuffix(".journal") { points.pass("journal.segment.made") }
        }

        func remove(_ path: String) throws(JournalDeviceError) {
            points.pass("journal.trim.before")
            try base.remove(path)
        }

        func syncDirectory(_ directory: String) throws(JournalDeviceError) { try base.syncDirectory(directory) }

        func freeBytes(_ directory: String) throws(JournalDeviceError) -> UInt64 { try base.freeBytes(directory) }

        func randomBits() -> UInt64 { base.randomBits() }
    }

    private final class File: JournalFile {
        let points: CrashPoints
        let base: any JournalFile

        init(points: CrashPoints, base: any JournalFile) {
            self.points = points
            self.base = base
        }

        func size() throws(JournalDeviceError) -> UInt64 { try base.size() }

        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int {
            try base.read(into: buffer, at: offset)
        }

        func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalDeviceError) -> Int {
            try base.write(bytes, at: offset)
        }

        func sync() throws(JournalDeviceError) { try base.sync() }

        func writeDurably(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(JournalWriteError) {
            points.pass("journal.write.before")
            if points.isDue("journal.write.half") {
                _ = try? base.write(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)]), at: offset)
                points.die()
            }
            if points.isDue("journal.write.after") {
                // Written, and not flushed.
                _ = try? base.write(bytes, at: offset)
                points.die()
            }
            try base.writeDurably(bytes, at: offset)
            points.pass("journal.sync.after")
        }

        func allocate(_ bytes: UInt64) throws(JournalDeviceError) { try base.allocate(bytes) }

        func truncate(_ bytes: UInt64) throws(JournalDeviceError) { try base.truncate(bytes) }
    }
}
