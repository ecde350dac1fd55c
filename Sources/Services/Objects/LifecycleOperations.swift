// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import Storage

/// What one turn of the lifecycle has done.
package struct LifecycleSummary: Sendable, Equatable {
    /// Current versions expired: deleted, or hidden by a marker.
    package var expired = 0
    /// Noncurrent versions and lone markers deleted for good.
    package var removed = 0
    package var transitioned = 0
    package var uploadsAborted = 0

    package init() {}
}

extension ObjectService {
    private static func traits(_ iamAction: String) -> OperationTraits {
        OperationTraits(iamAction: iamAction, recordsAnswer: false, recordsResources: true)
    }

    static let lifecycleOperations: [Operation<ObjectService>] = [
        Operation(
            "GetBucketLifecycleConfiguration", .read, traits("GetLifecycleConfiguration"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.getBucketLifecycle),
        Operation(
            "PutBucketLifecycleConfiguration", .write, traits("PutLifecycleConfiguration"), on: bucketResource,
            recorded: ObjectRecording.parameters(document: "LifecycleConfiguration"),
            perform: ObjectService.putBucketLifecycle),
        Operation(
            "DeleteBucketLifecycle", .write, traits("PutLifecycleConfiguration"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.deleteBucketLifecycle),
    ]

    private static let sizeHeader = WireHeader(
        "x-amz-transition-default-minimum-object-size", "all_storage_classes_128K")

    func getBucketLifecycle(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        guard let lifecycle = bucket.settings.lifecycle else {
            throw .notConfigured(
                "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", bucket.name)
        }
        return ObjectAnswer(
            headers: [Self.sizeHeader], body: .xml(root: "LifecycleConfiguration", lifecycle.document))
    }

    func putBucketLifecycle(
        _ input: SettingInput<LifecycleConfiguration>, _ call: Call
    ) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.lifecycle = input.value }
        return ObjectAnswer(headers: [Self.sizeHeader])
    }

    func deleteBucketLifecycle(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in settings.lifecycle = nil }
        return ObjectAnswer(status: 204)
    }

    // MARK: The chore

    private static let lifecycleBatch = 200

    /// Does what the rules of all buckets ask for by now. May be repeated and cut off at any time.
    ///
    /// - Throws: `AWSError` where the catalog cannot be read or written; what was done stays done.
    package func applyLifecycle() async throws(AWSError) -> LifecycleSummary {
        var summary = LifecycleSummary()
        for bucket in buckets.all where bucket.settings.lifecycle != nil {
            try await walk(ObjectRecord.keys(in: bucket.name), bucket, &summary, Self.applyToCurrent)
            try await walk(VersionKeys.rows(in: bucket.name), bucket, &summary, Self.applyToRow)
            try await walk(MultipartUpload.all(in: bucket.name), bucket, &summary, Self.applyToUpload)
        }
        return summary
    }

    /// What a step needs to know.
    private struct Turn: Sendable {
        let rules: [LifecycleRule]
        let now: Timestamp
        let random: [UInt8]
    }

    private typealias Step =
        @Sendable (
            CatalogDocument, ArraySlice<UInt8>, BucketRecord, Turn, CatalogTransaction, inout LifecycleSummary
        ) throws(AWSError) -> [String]

    /// Goes through the documents under a prefix, some in each transaction.
    private func walk(
        _ prefix: CatalogKey, _ bucket: BucketRecord, _ summary: inout LifecycleSummary, _ step: @escaping Step
    ) async throws(AWSError) {
        var after: CatalogKey?
        while true {
            let from = after
            let before = summary
            let now = now
            let random = randomBytes(10 * Self.lifecycleBatch)
            let outcome: (CatalogKey?, LifecycleSummary, [String]) = try await catalog.write {
                (transaction) throws(AWSError) in
                var summary = before
                var dropped: [String] = []
                guard let bucket = try? transaction.bucket(bucket.name), let lifecycle = bucket.settings.lifecycle
                else { return (nil, summary, dropped) }
                let documents = try transaction.scan(prefix: prefix, after: from, limit: Self.lifecycleBatch)
                for (index, document) in documents.enumerated() {
                    let turn = Turn(
                        rules: lifecycle.rules, now: now, random: Array(random[index * 10..<index * 10 + 10]))
                    dropped += try step(
                        document, document.key.bytes[prefix.bytes.count...], bucket, turn, transaction, &summary)
                }
                return (documents.last?.key, summary, dropped)
            }
            for file in outcome.2 { await files.remove(file) }
            summary = outcome.1
            guard let last = outcome.0 else { return }
            after = last
        }
    }

    @Sendable private static func applyToCurrent(
        _ document: CatalogDocument, _ place: ArraySlice<UInt8>, _ bucket: BucketRecord, _ turn: Turn,
        _ transaction: CatalogTransaction, _ summary: inout LifecycleSummary
    ) throws(AWSError) -> [String] {
        let key = String(decoding: place, as: UTF8.self)
        var record = try ObjectRecord(document)
        let rules = turn.rules.filter { $0.matches(key, record) }
        var change = VersionChange(
            transaction, bucket: bucket, key: key, now: turn.now, random: turn.random)
        if rules.contains(where: { $0.expiration?.isReached(from: record.modified, now: turn.now) ?? false }) {
            _ = try change.deleteCurrent()
            summary.expired += 1
            return change.dropped
        }
        let colder = rules.compactMap {
            $0.transition(of: record, among: $0.transitions, since: record.modified, now: turn.now)
        }.max { $0.coldness < $1.coldness }
        if let colder {
            record.storageClass = colder
            try change.replace(record, isCurrent: true)
            summary.transitioned += 1
        }
        return []
    }

    @Sendable private static func applyToRow(
        _ document: CatalogDocument, _ place: ArraySlice<UInt8>, _ bucket: BucketRecord, _ turn: Turn,
        _ transaction: CatalogTransaction, _ summary: inout LifecycleSummary
    ) throws(AWSError) -> [String] {
        guard let bytes = VersionKeys.key(ofRow: place) else { return [] }
        let key = String(decoding: bytes, as: UTF8.self)
        var record = try ObjectRecord(document)
        let rules = turn.rules.filter { $0.matches(key, record) }
        guard !rules.isEmpty else { return [] }
        var change = VersionChange(
            transaction, bucket: bucket, key: key, now: turn.now, random: turn.random)
        guard let since = record.noncurrentSince else {
            // The newest row: a marker that hides the key. It goes once it hides nothing.
            let rows = try transaction.scan(prefix: VersionKeys.rows(bucket.name, key), limit: 2)
            let isLone = record.isDeleteMarker && rows.count == 1
            let isDue = rules.contains {
                $0.expiresLoneMarkers || $0.expiration?.isReached(from: record.modified, now: turn.now) ?? false
            }
            guard isLone, isDue else { return [] }
            _ = try change.delete(version: record.versionText)
            summary.removed += 1
            return change.dropped
        }
        for rule in rules {
            guard let days = rule.noncurrentDays,
                LifecycleTime.days(days).isReached(from: since, now: turn.now)
            else { continue }
            do throws(AWSError) {
                try record.lock.checkDeletion(now: turn.now, isBypassing: false)
            } catch {
                continue
            }
            if rule.noncurrentKept > 0 {
                let newer = try transaction.scan(
                    prefix: VersionKeys.rows(bucket.name, key), limit: Int(rule.noncurrentKept) + 2)
                let position = try newer.map { (row) throws(AWSError) in try ObjectRecord(row) }
                    .filter { $0.noncurrentSince != nil }.firstIndex { $0.order == record.order }
                if let position, position < Int(rule.noncurrentKept) { continue }
            }
            _ = try change.delete(version: record.versionText)
            summary.removed += 1
            return change.dropped
        }
        guard !record.isDeleteMarker else { return [] }
        let colder = rules.compactMap {
            $0.transition(of: record, among: $0.noncurrentTransitions, since: since, now: turn.now)
        }.max { $0.coldness < $1.coldness }
        if let colder {
            record.storageClass = colder
            try change.replace(record, isCurrent: false)
            summary.transitioned += 1
        }
        return []
    }

    @Sendable private static func applyToUpload(
        _ document: CatalogDocument, _ place: ArraySlice<UInt8>, _ bucket: BucketRecord, _ turn: Turn,
        _ transaction: CatalogTransaction, _ summary: inout LifecycleSummary
    ) throws(AWSError) -> [String] {
        guard let (bytes, id) = MultipartUpload.key(of: place) else { return [] }
        let upload = try MultipartUpload(document)
        let isDue = turn.rules.contains { rule in
            rule.isEnabled && bytes.starts(with: Array(rule.prefix.utf8))
                && rule.abortDays.map {
                    LifecycleTime.days($0).isReached(from: upload.object.modified, now: turn.now)
                } ?? false
        }
        guard isDue else { return [] }
        summary.uploadsAborted += 1
        return try transaction.abort(document.key, id: id)
    }
}
