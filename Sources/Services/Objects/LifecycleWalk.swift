// SPDX-License-Identifier: Apache-2.0
//
// The chore that does what lifecycle rules ask for. Everything a rule asks for becomes due at a midnight UTC, so a bucket is
// walked once after each midnight, and once more when its rules change; a walk is cut into turns of bounded work, and its
// place is kept, so that a restart goes on where it was. What is put during a walk is due at the next midnight at the
// earliest, and what gets tags or versions during it is seen by the next walk, as with S3, which applies rules once a day.
//
// In the catalog, format 1:
//
//     ("lifecycle-walk", BUCKET)       {"format":1,"day":DAYS-SINCE-1970,"rules":"SHA-256","kind":0...3,"after":"HEX"}
//
// `kind` is what is being walked: 0 current versions, 1 other versions and markers, 2 uploads, 3 nothing any more.

package import AWSWire
internal import Storage
internal import Synchronization

/// What one turn of the lifecycle has done.
package struct LifecycleSummary: Sendable, Equatable {
    /// Current versions expired: deleted, or hidden by a marker.
    package var expired = 0
    /// Noncurrent versions and lone markers deleted for good.
    package var removed = 0
    package var transitioned = 0
    package var uploadsAborted = 0
    /// Documents looked at.
    package var seen = 0

    package init() {}
}

/// How far a bucket has been walked.
struct LifecycleWalk: Sendable, Equatable {
    enum Kind: Int64, Sendable {
        case current, rows, uploads, done
    }

    var day: Int64
    /// Of the rules that it goes by.
    var rules: String
    var kind = Kind.current
    /// The last document that was looked at.
    var after: CatalogKey?

    static func key(_ bucket: String) -> CatalogKey { CatalogKey("lifecycle-walk", bucket) }

    init(day: Int64, rules: String) {
        self.day = day
        self.rules = rules
    }

    /// Nil for what is no such document: then the walk begins anew, which does no harm.
    init?(_ document: CatalogDocument) {
        guard let fields = (try? WireValue(json: document.value))?.asStructure, fields["format"] == 1,
            let day = fields.integer("day"), let rules = fields["rules"]?.asString,
            let kind = fields.integer("kind").flatMap({ Kind(rawValue: $0) }), let after = fields["after"]?.asString
        else { return nil }
        self.day = day
        self.rules = rules
        self.kind = kind
        guard !after.isEmpty else { return }
        let digits = Array(after)
        self.after = CatalogKey(
            bytes: stride(from: 0, to: digits.count - 1, by: 2).compactMap {
                UInt8(String(digits[$0...$0 + 1]), radix: 16)
            })
    }

    var document: [UInt8] {
        WireValue.structure([
            "format": 1, "day": .integer(day), "rules": .string(rules), "kind": .integer(kind.rawValue),
            "after": .string(hexadecimal(after?.bytes ?? [])),
        ]).json
    }

    func prefix(of bucket: String) -> CatalogKey {
        switch kind {
        case .current: ObjectRecord.keys(in: bucket)
        case .rows: VersionKeys.rows(in: bucket)
        case .uploads, .done: MultipartUpload.all(in: bucket)
        }
    }

    mutating func passToNextKind() {
        kind = Kind(rawValue: kind.rawValue + 1) ?? .done
        after = nil
    }
}

/// Decides what a bucket's rules ask for now. Changes nothing.
struct LifecycleVerdict {
    enum Act: Sendable, Equatable {
        case expire
        case remove
        case transition(StorageClass)
        case abort
    }

    let bucket: BucketRecord
    let rules: [LifecycleRule]
    let now: Timestamp

    /// - Parameter rest: the catalog's key after the kind's prefix.
    func act(
        on document: CatalogDocument, _ rest: ArraySlice<UInt8>, _ kind: LifecycleWalk.Kind, _ snapshot: CatalogSnapshot
    ) throws(AWSError) -> Act? {
        switch kind {
        case .current: current(try ObjectRecord(document), String(decoding: rest, as: UTF8.self))
        case .rows: try row(try ObjectRecord(document), rest, snapshot)
        case .uploads: try upload(document, rest)
        case .done: nil
        }
    }

    private func current(_ record: ObjectRecord, _ key: String) -> Act? {
        let rules = rules.filter { $0.matches(key, record) }
        if rules.contains(where: { $0.expiration?.isReached(from: record.modified, now: now) ?? false }) {
            return .expire
        }
        return rules.compactMap {
            $0.transition(of: record, among: $0.transitions, since: record.modified, now: now)
        }.max { $0.coldness < $1.coldness }.map { .transition($0) }
    }

    private func row(
        _ record: ObjectRecord, _ place: ArraySlice<UInt8>, _ snapshot: CatalogSnapshot
    ) throws(AWSError) -> Act? {
        guard let bytes = VersionKeys.key(ofRow: place) else { return nil }
        let key = String(decoding: bytes, as: UTF8.self)
        guard let since = record.noncurrentSince else { return try marker(record, key, snapshot) }
        let rules = rules.filter { $0.matches(key, record) }
        for rule in rules {
            guard let days = rule.noncurrentDays, LifecycleTime.days(days).isReached(from: since, now: now) else {
                continue
            }
            do throws(AWSError) {
                try record.lock.checkDeletion(now: now, isBypassing: false)
            } catch {
                continue
            }
            if rule.noncurrentKept > 0 {
                let newer = try snapshot.scan(
                    prefix: VersionKeys.rows(bucket.name, key), limit: Int(rule.noncurrentKept) + 2)
                let position = try newer.map { (row) throws(AWSError) in try ObjectRecord(row) }
                    .filter { $0.noncurrentSince != nil }.firstIndex { $0.order == record.order }
                if let position, position < Int(rule.noncurrentKept) { continue }
            }
            return .remove
        }
        guard !record.isDeleteMarker else { return nil }
        return rules.compactMap {
            $0.transition(of: record, among: $0.noncurrentTransitions, since: since, now: now)
        }.max { $0.coldness < $1.coldness }.map { .transition($0) }
    }

    /// The newest row of a key is a marker that hides it; it goes once it hides nothing.
    func marker(_ record: ObjectRecord, _ key: String, _ snapshot: CatalogSnapshot) throws(AWSError) -> Act? {
        guard record.isDeleteMarker, record.noncurrentSince == nil else { return nil }
        let isDue = rules.contains { rule in
            rule.matches(key, record)
                && (rule.expiresLoneMarkers || rule.expiration?.isReached(from: record.modified, now: now) ?? false)
        }
        guard isDue, try snapshot.scan(prefix: VersionKeys.rows(bucket.name, key), limit: 2).count == 1 else {
            return nil
        }
        return .remove
    }

    private func upload(_ document: CatalogDocument, _ place: ArraySlice<UInt8>) throws(AWSError) -> Act? {
        guard let (bytes, _) = MultipartUpload.key(of: place) else { return nil }
        let began = try MultipartUpload(document).object.modified
        let isDue = rules.contains { rule in
            rule.isEnabled && bytes.starts(with: Array(rule.prefix.utf8))
                && rule.abortDays.map { LifecycleTime.days($0).isReached(from: began, now: now) } ?? false
        }
        return isDue ? .abort : nil
    }
}

extension ObjectService {
    /// Documents that one turn looks at, at most.
    private static let lifecycleTurn = 2000
    /// Documents that are read, or changed, in one go.
    private static let lifecycleBatch = 200

    /// Goes on with the walks that are due, as far as one turn reaches. May be repeated and cut off at any time; a turn in
    /// which nothing is due costs no access to the disk.
    ///
    /// - Throws: `AWSError` where the catalog cannot be read or written; what was done stays done.
    package func applyLifecycle() async throws(AWSError) -> LifecycleSummary {
        var summary = LifecycleSummary()
        let with = buckets.all.filter { $0.settings.lifecycle != nil }
            .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        // What is damaged in one bucket does not keep the rules of others from being applied.
        var failure: AWSError?
        for bucket in with where summary.seen < Self.lifecycleTurn {
            do throws(AWSError) { try await walk(bucket, &summary) } catch { failure = error }
        }
        if let failure { throw failure }
        return summary
    }

    private func walk(_ bucket: BucketRecord, _ summary: inout LifecycleSummary) async throws(AWSError) {
        guard let lifecycle = bucket.settings.lifecycle else { return }
        let today = now.seconds / 86_400
        var known = lifecycleWalks.withLock { $0[bucket.name] }
        if let known, known.walk.day == today, known.walk.kind == .done, known.lifecycle == lifecycle { return }
        let rules = hexadecimal(sha256(lifecycle.stored.json))
        if known == nil {
            let stored = try await catalog.read { (snapshot) throws(AWSError) in
                try snapshot.get(LifecycleWalk.key(bucket.name)).flatMap { LifecycleWalk($0) }
            }
            known = stored.map { KnownWalk(walk: $0, lifecycle: lifecycle) }
        }
        var walk = known?.walk ?? LifecycleWalk(day: today, rules: rules)
        if walk.day != today || walk.rules != rules { walk = LifecycleWalk(day: today, rules: rules) }
        while walk.kind != .done, summary.seen < Self.lifecycleTurn {
            let limit = min(Self.lifecycleBatch, Self.lifecycleTurn - summary.seen)
            let (due, last, seen) = try await due(walk, bucket, lifecycle.rules, limit: limit)
            if !due.isEmpty { try await apply(due, walk, bucket, &summary) }
            summary.seen += seen
            if seen < limit { walk.passToNextKind() } else { walk.after = last }
        }
        let place = walk
        try await catalog.write { (transaction) throws(AWSError) in
            try transaction.put(LifecycleWalk.key(bucket.name), place.document)
        }
        lifecycleWalks.withLock { $0[bucket.name] = KnownWalk(walk: place, lifecycle: lifecycle) }
    }

    /// The next documents for which the rules ask something; nothing is locked meanwhile.
    private func due(
        _ walk: LifecycleWalk, _ bucket: BucketRecord, _ rules: [LifecycleRule], limit: Int
    ) async throws(AWSError) -> (due: [CatalogKey], last: CatalogKey?, seen: Int) {
        let now = now
        return try await catalog.read { (snapshot) throws(AWSError) in
            let prefix = walk.prefix(of: bucket.name)
            let verdict = LifecycleVerdict(bucket: bucket, rules: rules, now: now)
            var due: [CatalogKey] = []
            let documents = try snapshot.scan(prefix: prefix, after: walk.after, limit: limit)
            for document in documents {
                let rest = document.key.bytes[prefix.bytes.count...]
                if try verdict.act(on: document, rest, walk.kind, snapshot) != nil { due.append(document.key) }
            }
            return (due, documents.last?.key, documents.count)
        }
    }

    /// Does what the rules ask for, as bucket and documents are inside the transaction.
    private func apply(
        _ due: [CatalogKey], _ walk: LifecycleWalk, _ bucket: BucketRecord, _ summary: inout LifecycleSummary
    ) async throws(AWSError) {
        let before = summary
        let now = now
        let random = randomBytes(10 * due.count)
        let (after, dropped) = try await catalog.write { (transaction) throws(AWSError) in
            var step = LifecycleStep(transaction: transaction, summary: before)
            guard let bucket = try? transaction.bucket(bucket.name), let lifecycle = bucket.settings.lifecycle else {
                return (before, [String]())
            }
            let verdict = LifecycleVerdict(bucket: bucket, rules: lifecycle.rules, now: now)
            let skipped = walk.prefix(of: bucket.name).bytes.count
            for (index, key) in due.enumerated() {
                guard let document = try transaction.get(key) else { continue }
                try step.take(
                    document, key.bytes[skipped...], walk.kind, verdict,
                    random: Array(random[index * 10..<index * 10 + 10]))
            }
            return (step.summary, step.dropped)
        }
        for file in dropped { await files.remove(file) }
        summary = after
    }
}

/// What is remembered of a bucket's walk, so that a turn without work asks nobody.
struct KnownWalk: Sendable {
    var walk: LifecycleWalk
    /// The rules that it goes by.
    var lifecycle: LifecycleConfiguration
}

/// Does what a verdict says, inside a transaction.
private struct LifecycleStep {
    let transaction: CatalogTransaction
    var summary: LifecycleSummary
    var dropped: [String] = []

    init(transaction: CatalogTransaction, summary: LifecycleSummary) {
        self.transaction = transaction
        self.summary = summary
    }

    mutating func take(
        _ document: CatalogDocument, _ rest: ArraySlice<UInt8>, _ kind: LifecycleWalk.Kind, _ verdict: LifecycleVerdict,
        random: [UInt8]
    ) throws(AWSError) {
        guard let act = try verdict.act(on: document, rest, kind, transaction) else { return }
        let bucket = verdict.bucket
        if case .abort = act {
            guard let (_, id) = MultipartUpload.key(of: rest) else { return }
            dropped += try transaction.abort(document.key, id: id)
            summary.uploadsAborted += 1
            return
        }
        guard let bytes = kind == .current ? Array(rest) : VersionKeys.key(ofRow: rest) else { return }
        let key = String(decoding: bytes, as: UTF8.self)
        var record = try ObjectRecord(document)
        var change = VersionChange(transaction, bucket: bucket, key: key, now: verdict.now, random: random)
        switch act {
        case .expire:
            let marker = try change.deleteCurrent()
            try transaction.note(
                marker == nil ? .expired : .expiredByMarker, marker ?? record, key: key, in: bucket, .lifecycle,
                at: verdict.now)
            summary.expired += 1
        case .remove:
            try remove(record, key, by: &change, verdict)
            // It may have been the last that a marker hid.
            if let marker = try transaction.hidingMarker(bucket.name, key),
                try verdict.marker(marker, key, transaction) != nil
            {
                try remove(marker, key, by: &change, verdict)
            }
        case .transition(let storageClass):
            record.storageClass = storageClass
            try change.replace(record, isCurrent: kind == .current)
            try transaction.note(.transitioned, record, key: key, in: bucket, .lifecycle, at: verdict.now)
            summary.transitioned += 1
        case .abort: break
        }
        dropped += change.dropped
    }

    private mutating func remove(
        _ record: ObjectRecord, _ key: String, by change: inout VersionChange, _ verdict: LifecycleVerdict
    ) throws(AWSError) {
        _ = try change.delete(version: record.versionText)
        try transaction.note(.expired, record, key: key, in: verdict.bucket, .lifecycle, at: verdict.now)
        summary.removed += 1
    }
}
