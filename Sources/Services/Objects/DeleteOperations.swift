// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage

extension ObjectService {
    func deleteObject(_ input: DeleteObjectInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        let target = DeleteTarget(key: input.place.key, version: input.version, conditions: input.conditions)
        let outcomes = try await delete([target], in: bucket, bypass: input.bypass, NotificationCause(call))
        var headers: [WireHeader] = []
        if let outcome = outcomes.first {
            if let error = outcome.error { throw error }
            if let marker = outcome.marker {
                headers = marker.markerHeaders
            } else if let deleted = outcome.deleted, input.version != nil {
                if deleted.isDeleteMarker { headers.append(WireHeader("x-amz-delete-marker", "true")) }
                headers.append(WireHeader("x-amz-version-id", deleted.versionText))
            } else if let version = input.version {
                headers.append(WireHeader("x-amz-version-id", version))
            }
        }
        return ObjectAnswer(status: 204, headers: headers)
    }

    func deleteObjects(_ input: DeleteObjectsInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        var document = WireStructure()
        let targets = try await allowed(input.targets, in: bucket, bypass: input.bypass, call)
        let outcomes = try await delete(targets, in: bucket, bypass: input.bypass, NotificationCause(call))
        for (target, outcome) in zip(targets, outcomes) {
            var entry: WireStructure = ["Key": .string(target.key)]
            entry.append("VersionId", ifPresent: target.version.map { .string($0) })
            if let error = outcome.error {
                entry.append("Code", .string(error.code))
                entry.append("Message", .string(error.message))
                document.append("Error", .structure(entry))
            } else if !input.isQuiet {
                if let marker = outcome.marker {
                    entry.append("DeleteMarker", true)
                    entry.append("DeleteMarkerVersionId", .string(marker.versionText))
                } else if let deleted = outcome.deleted, deleted.isDeleteMarker {
                    entry.append("DeleteMarker", true)
                    entry.append("DeleteMarkerVersionId", .string(deleted.versionText))
                }
                document.append("Deleted", .structure(entry))
            }
        }
        return ObjectAnswer(body: .xml(root: "DeleteResult", document))
    }

    /// Each key is asked for by itself; what is refused stands in the answer.
    private func allowed(
        _ targets: [DeleteTarget], in bucket: BucketRecord, bypass: String?, _ call: Call
    ) async throws(AWSError) -> [DeleteTarget] {
        var asked: [DeleteTarget] = []
        for var target in targets {
            var actions = [target.version == nil ? "s3:DeleteObject" : "s3:DeleteObjectVersion"]
            if bypass?.lowercased() == "true" { actions.append("s3:BypassGovernanceRetention") }
            for action in actions where target.refusal == nil {
                target.refusal = try await call.further(
                    ResourceReference(
                        type: "AWS::S3::Object", arn: "\(bucket.arn)/\(target.key)", accountID: bucket.ownerAccount,
                        action: action))
            }
            asked.append(target)
        }
        return asked
    }

    private struct DeleteOutcome: Sendable {
        /// The marker that was made.
        var marker: ObjectRecord?
        /// The version that was deleted for good.
        var deleted: ObjectRecord?
        /// What destinations are told of: the marker, or what there was.
        var removed: ObjectRecord?
        var error: AWSError?
    }

    /// Deletes keys and versions in one transaction, each under its own condition; what does not exist counts as deleted.
    private func delete(
        _ targets: [DeleteTarget], in bucket: BucketRecord, bypass: String?, _ cause: NotificationCause
    ) async throws(AWSError) -> [DeleteOutcome] {
        if let bypass, bucket.settings.objectLock == nil {
            throw .invalidArgument(
                "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.",
                name: "x-amz-bypass-governance-retention", value: bypass)
        }
        let now = now
        let random = randomBytes(10 * targets.count)
        let isBypassing = bypass?.lowercased() == "true"
        let (outcomes, dropped) = try await catalog.write { (transaction) throws(AWSError) in
            let bucket = try transaction.bucket(bucket.name)
            var outcomes: [DeleteOutcome] = []
            var dropped: [String] = []
            for (index, target) in targets.enumerated() {
                var change = VersionChange(
                    transaction, bucket: bucket, key: target.key, now: now,
                    random: Array(random[index * 10..<index * 10 + 10]))
                var outcome = DeleteOutcome()
                do throws(AWSError) {
                    try Self.delete(target, by: &change, isBypassing: isBypassing, to: &outcome)
                    if let gone = outcome.removed {
                        try transaction.note(
                            outcome.marker == nil ? .removed : .hidden, gone, key: target.key, in: bucket, cause,
                            at: now)
                    }
                } catch {
                    guard !error.isServerFault || error.status == 501 else { throw error }
                    outcome = DeleteOutcome(error: error)
                }
                outcomes.append(outcome)
                dropped += change.dropped
            }
            return (outcomes, dropped)
        }
        for file in dropped { await files.remove(file) }
        return outcomes
    }

    /// Everything that may refuse a deletion is asked before anything changes.
    private static func delete(
        _ target: DeleteTarget, by change: inout VersionChange, isBypassing: Bool, to outcome: inout DeleteOutcome
    ) throws(AWSError) {
        if let refusal = target.refusal { throw refusal }
        let transaction = change.transaction
        guard let version = target.version else {
            let current = try transaction.currentObject(change.bucket, target.key)
            try target.conditions.check(current, key: target.key)
            outcome.marker = try change.deleteCurrent()
            outcome.removed = outcome.marker ?? current
            return
        }
        guard version == "null" || VersionKeys.order(of: version) != nil else { throw .invalidVersion(version) }
        let found = try transaction.object(change.bucket, target.key, version: version)?.record
        try target.conditions.check(found, key: target.key)
        if let found { try found.lock.checkDeletion(now: change.now, isBypassing: isBypassing) }
        outcome.deleted = try change.delete(version: version)
        outcome.removed = outcome.deleted
    }
}
