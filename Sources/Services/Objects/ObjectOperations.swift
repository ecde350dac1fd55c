// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import NIOCore
internal import Storage

extension ObjectService {
    static let objectOperations: [Operation<ObjectService>] = [
        Operation(
            "PutObject", .write,
            OperationTraits(category: .data, recordsAnswer: false, recordsResources: true, streamsBody: true),
            on: objectResource, recorded: ObjectRecording.parameters, perform: ObjectService.putObject),
        Operation(
            "GetObject", .read, OperationTraits(category: .data, recordsAnswer: false, recordsResources: true),
            on: objectResource, recorded: ObjectRecording.parameters, perform: ObjectService.getObject),
        Operation(
            "HeadObject", .read,
            OperationTraits(category: .data, iamAction: "GetObject", recordsAnswer: false, recordsResources: true),
            on: objectResource, recorded: ObjectRecording.parameters, perform: ObjectService.headObject),
        Operation(
            "DeleteObject", .write, OperationTraits(category: .data, recordsAnswer: false, recordsResources: true),
            on: objectResource, recorded: ObjectRecording.parameters, perform: ObjectService.deleteObject),
        Operation(
            "DeleteObjects", .write,
            OperationTraits(
                category: .data, iamAction: "DeleteObject", recordsAnswer: false, recordsResources: true,
                bodyBytesMax: Limits.deleteDocumentBytes, authorization: .operation),
            on: prefixResource, recorded: ObjectRecording.parameters, perform: ObjectService.deleteObjects),
        Operation(
            "CopyObject", .write,
            OperationTraits(category: .data, iamAction: "PutObject", recordsAnswer: false, recordsResources: true),
            on: objectResource, recorded: ObjectRecording.parameters, perform: ObjectService.copyObject),
    ]

    // MARK: PutObject

    /// - Throws: `NoSuchBucket`, `PreconditionFailed`, `BadDigest`, `EntityTooLarge`, `MissingContentLength`,
    ///   `IncompleteBody`; nothing is kept then.
    func putObject(_ input: PutObjectInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        try check(input.acl, in: bucket, call, action: "s3:PutObject")
        try check(input.object.lock, of: bucket, isChecked: input.checksum.isGiven)
        let key = try await makeKey(input.encryption, bucket: bucket, key: input.place.key, call)
        var intake = ObjectIntake(files, demand: input.checksum, key: key.dataKey)
        let record: ObjectRecord
        do throws(AWSError) {
            try await intake.take(input.body)
            let taken = try await intake.finish()
            record = input.object.record(file: intake.file.id, taken, key, etag: blindETag(key.encryption), now)
        } catch {
            await intake.abandon()
            throw error
        }
        let stored = try await commit(
            record, in: bucket.name, key: input.place.key, on: input.conditions, file: intake.file,
            as: .createdByPut, NotificationCause(call))
        var headers = Self.putHeaders(stored, key)
        headers.append(contentsOf: expirationHeaders(bucket, input.place.key, stored))
        return ObjectAnswer(headers: headers, recorded: key.recorded)
    }

    /// `x-amz-expiration`, where a lifecycle rule will end a current version.
    func expirationHeaders(_ bucket: BucketRecord, _ key: String, _ record: ObjectRecord) -> [WireHeader] {
        bucket.settings.lifecycle?.expirationHeader(key, record).map { [$0] } ?? []
    }

    static func putHeaders(_ stored: ObjectRecord, _ key: NewObjectKey) -> [WireHeader] {
        var headers = [WireHeader("etag", stored.quotedETag)]
        if let checksum = stored.checksum { headers.append(contentsOf: checksum.headers) }
        headers.append(contentsOf: key.headers)
        if let version = stored.version { headers.append(WireHeader("x-amz-version-id", version)) }
        return headers
    }

    /// Makes a complete file the current version under a key, in one transaction, and removes the files that it replaces
    /// for good.
    ///
    /// - Returns: the record with its version.
    @discardableResult
    func commit(
        _ record: ObjectRecord, in bucket: String, key: String, on conditions: WriteConditions, file: ObjectFile,
        as event: ObjectEvent, _ cause: NotificationCause
    ) async throws(AWSError) -> ObjectRecord {
        let now = now
        let random = randomBytes(10)
        let outcome: (stored: ObjectRecord, dropped: [String])
        do {
            outcome = try await catalog.write { (transaction) throws(AWSError) in
                let bucket = try transaction.bucket(bucket)
                try conditions.check(try transaction.currentObject(bucket.name, key), key: key)
                var record = record
                let content = file.content
                record.layout = file.layout
                record.isInCatalog = content != nil
                try transaction.put(ObjectRecord.fileKey(record.file), content ?? [])
                var change = VersionChange(transaction, bucket: bucket, key: key, now: now, random: random)
                let stored = try change.put(bucket.settings.lockedByDefault(record, now: now))
                try transaction.note(event, stored, key: key, in: bucket, cause, at: now)
                return (stored, change.dropped)
            }
        } catch {
            // After a fault of the disk nobody knows whether the transaction is durable: the file stays, and the sweep
            // asks the catalog.
            if error.isServerFault {
                files.release(file)
            } else {
                await files.abandon(file)
            }
            throw error
        }
        files.release(file)
        for file in outcome.dropped { await files.remove(file) }
        return outcome.stored
    }

    // MARK: GetObject, HeadObject

    func getObject(_ input: GetObjectInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        let (record, reader, parts) = try await told(input.place.key, in: bucket, call) { () throws(AWSError) in
            try await self.openObject(
                bucket.name, input.place.key, version: input.version, customerKey: input.customerKey, call
            ) { (record) throws(AWSError) in try self.checkReadable(record) }
        }
        var answer = try readAnswer(input, record, parts: parts, bucket)
        guard answer.status != 304 else { return answer.head }
        do throws(ObjectFileError) {
            answer.head.body = .stream(try await ObjectFlow(reader, answer.range).stream)
        } catch {
            throw AWSError(error)
        }
        return answer.head
    }

    func headObject(_ input: GetObjectInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        let key = input.place.key
        let (record, parts) = try await told(key, in: bucket, call) { () throws(AWSError) in
            try await self.catalog.read { (snapshot) throws(AWSError) in
                let record = try snapshot.readableObject(bucket, key, version: input.version)
                return (record, input.partNumber == nil ? [] : try snapshot.files(of: record))
            }
        }
        // The checksum of an object under KMS is told to those alone who may open it; a customer's key is always needed.
        let isKMS = if case .kms = record.encryption { true } else { false }
        if !isKMS || (input.wantsChecksum && record.checksum != nil) || input.customerKey != nil {
            _ = try await openKey(of: record.encryption, bucket: bucket, customerKey: input.customerKey, call)
        }
        var answer = try readAnswer(input, record, parts: parts, bucket)
        guard answer.status != 304 else { return answer.head }
        let length = answer.range.upperBound - answer.range.lowerBound
        answer.head.headers.append(WireHeader("content-length", String(length)))
        return answer.head
    }

    /// Reads something of a key; that the key is not there is told only to those who may list the bucket.
    private func told<Result: Sendable>(
        _ key: String, in bucket: BucketRecord, _ call: Call, _ read: () async throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        do throws(AWSError) {
            return try await read()
        } catch {
            guard error.code == "NoSuchKey" else { throw error }
            let listing = ResourceReference(
                type: "AWS::S3::Bucket", arn: bucket.arn, accountID: bucket.ownerAccount, action: "s3:ListBucket")
            throw try await call.further(listing) ?? error
        }
    }

    /// Finds an object and makes its files ready for reading. What is replaced between the two is looked up anew.
    ///
    /// - Parameters:
    ///   - customerKey: what the request brought along.
    ///   - check: sees the record before its key is asked for.
    func openObject(
        _ name: String, _ key: String, version: String?, customerKey: CustomerKey?, _ call: Call,
        check: (ObjectRecord) throws(AWSError) -> Void
    ) async throws(AWSError) -> (ObjectRecord, ObjectReader, [ObjectParts.Part]) {
        guard let bucket = buckets[name] else { throw .noSuchBucket(name) }
        var missing: ObjectFileError?
        var opened: (encryption: ObjectEncryption, key: ObjectDataKey?)?
        for _ in 0..<16 {
            let (record, parts, content) = try await catalog.read { (snapshot) throws(AWSError) in
                let record = try snapshot.readableObject(bucket, key, version: version)
                return (record, try snapshot.files(of: record), try snapshot.content(of: record))
            }
            try check(record)
            let dataKey: ObjectDataKey?
            if let opened, opened.encryption == record.encryption {
                dataKey = opened.key
            } else {
                dataKey = try await openKey(of: record.encryption, bucket: bucket, customerKey: customerKey, call)
                opened = (record.encryption, dataKey)
            }
            // Parts are opened one after another while others may replace the object: their files are pinned, and
            // pinned in time if the catalog still names them.
            var pinned: [String] = []
            if parts.count > 1 {
                let ids = parts.map(\.file)
                files.pin(ids)
                pinned = ids
            }
            let unopened = ObjectReader(files, parts, first: nil, pinned: pinned, key: dataKey)
            if let first = parts.first, parts.count > 1 {
                let isNamed = try await catalog.read { (snapshot) throws(AWSError) in
                    try snapshot.has(ObjectRecord.fileKey(first.file))
                }
                if isNamed { return (record, unopened, parts) }
                continue
            }
            guard let only = parts.first else { return (record, unopened, parts) }
            do throws(ObjectFileError) {
                let file = try await files.open(
                    only.file, layout: only.layout, size: only.size, key: dataKey, content: content)
                return (record, ObjectReader(files, parts, first: file, pinned: [], key: dataKey), parts)
            } catch {
                guard error.isMissing, error.path != missing?.path else { throw AWSError(error) }
                missing = error
            }
        }
        throw .objectFault("the object `\(name)/\(key)` is replaced faster than it can be opened")
    }

    /// - Throws: `InvalidObjectState` (403) for an archived object without a restored copy.
    func checkReadable(_ record: ObjectRecord) throws(AWSError) {
        guard record.storageClass.isArchive, record.restoredUntil.map({ $0 <= now }) ?? true else { return }
        throw .invalidObjectState(record.storageClass)
    }

    /// - Throws: `ObjectNotInActiveTierError` (403) for an archived source without a restored copy.
    private func checkCopyable(_ record: ObjectRecord) throws(AWSError) {
        do throws(AWSError) {
            try checkReadable(record)
        } catch {
            var error = error
            error.code = "ObjectNotInActiveTierError"
            throw error
        }
    }

    private struct ReadAnswer {
        var head: ObjectAnswer
        var range: Range<Int64>
        var status: Int { head.status }
    }

    /// Conditions, range and headers of a read.
    private func readAnswer(
        _ input: GetObjectInput, _ record: ObjectRecord, parts: [ObjectParts.Part], _ bucket: BucketRecord
    ) throws(AWSError) -> ReadAnswer {
        let validators = [
            WireHeader("etag", record.quotedETag), WireHeader("last-modified", record.modified.httpDate),
        ]
        switch input.conditions.test(record) {
        case .holds: break
        case .failed(let condition): throw .preconditionFailed(condition)
        case .notModified: return ReadAnswer(head: ObjectAnswer(status: 304, headers: validators), range: 0..<0)
        }
        var wanted: Range<Int64>?
        if let part = input.partNumber {
            let count = max(1, record.partCount)
            guard part <= count else { throw .invalidPartNumber(String(part), count: count) }
            if record.partCount > 0 {
                wanted = ObjectParts(parts).range(of: part - 1)
            } else if record.size > 0 {
                wanted = 0..<record.size
            }
        } else if input.ifRange.map({ record.isUnchanged(since: $0) }) ?? true {
            wanted = try ByteRange.resolve(input.range, size: record.size)
        }
        var headers = validators
        headers.append(WireHeader("accept-ranges", "bytes"))
        for header in record.headers where input.overrides.allSatisfy({ $0.name != header.name }) {
            headers.append(header)
        }
        headers.append(contentsOf: input.overrides)
        for entry in record.metadata { headers.append(WireHeader("x-amz-meta-\(entry.name)", entry.value)) }
        if input.version != nil || bucket.settings.versioning != nil {
            headers.append(WireHeader("x-amz-version-id", record.versionText))
        }
        if input.partNumber != nil, record.partCount > 0 {
            headers.append(WireHeader("x-amz-mp-parts-count", String(record.partCount)))
        }
        headers.append(contentsOf: record.encryptionHeaders(input.customerKey))
        headers.append(contentsOf: stateHeaders(record))
        if input.version == nil {
            headers.append(contentsOf: expirationHeaders(bucket, input.place.key, record))
        }
        let isWhole = wanted == nil || wanted == 0..<record.size
        if input.wantsChecksum, isWhole, let checksum = record.checksum {
            headers.append(contentsOf: checksum.headers)
        }
        guard let wanted else {
            return ReadAnswer(head: ObjectAnswer(headers: headers), range: 0..<record.size)
        }
        headers.append(
            WireHeader("content-range", "bytes \(wanted.lowerBound)-\(wanted.upperBound - 1)/\(record.size)"))
        return ReadAnswer(head: ObjectAnswer(status: 206, headers: headers), range: wanted)
    }

    /// The headers of an object's class, tags, lock and restored copy, as far as it has these.
    private func stateHeaders(_ record: ObjectRecord) -> [WireHeader] {
        var headers: [WireHeader] = []
        if record.storageClass != .standard {
            headers.append(WireHeader("x-amz-storage-class", record.storageClass.rawValue))
        }
        if let until = record.restoredUntil, until > now {
            headers.append(
                WireHeader("x-amz-restore", "ongoing-request=\"false\", expiry-date=\"\(until.httpDate)\""))
        }
        if !record.tags.isEmpty { headers.append(WireHeader("x-amz-tagging-count", String(record.tags.count))) }
        if let retention = record.lock.retention {
            headers.append(WireHeader("x-amz-object-lock-mode", retention.mode.rawValue))
            headers.append(
                WireHeader("x-amz-object-lock-retain-until-date", retention.until.iso8601Milliseconds))
        }
        if let hold = record.lock.legalHold {
            headers.append(WireHeader("x-amz-object-lock-legal-hold", hold ? "ON" : "OFF"))
        }
        return headers
    }

    // MARK: CopyObject

    /// - Throws: `NoSuchBucket`, `NoSuchKey`, `PreconditionFailed`, `InvalidRequest`; nothing is changed then.
    func copyObject(_ input: CopyObjectInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let target = try bucket(input.place.place, call)
        try check(input.acl, in: target, call, action: "s3:PutObject")
        try check(input.object.lock, of: target, isChecked: true)
        let (source, reader) = try await copySource(input.source, call)
        let changes =
            input.replacesMetadata || input.replacesTags || input.source.version != nil
            || input.storageClass.map { $0 != source.storageClass } ?? false
            || input.encryption != .bucketDefault || !source.encryption.showsMD5
        if input.source.bucket == target.name, input.source.key == input.place.key, !changes {
            throw .invalidRequest(
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                    + "object's metadata, storage class, website redirect location or encryption attributes.")
        }
        guard source.size <= Limits.objectBytes else {
            throw .invalidRequest(
                "The specified copy source is larger than the maximum allowable size for a copy source: "
                    + "\(Limits.objectBytes)")
        }
        let known = source.checksum.flatMap { ObjectChecksum.Algorithm(rawValue: $0.algorithm) }
        let key = try await makeKey(input.encryption, bucket: target, key: input.place.key, call)
        var intake = ObjectIntake(
            files, demand: ChecksumDemand(algorithm: input.algorithm ?? known ?? .crc64nvme), key: key.dataKey)
        var record: ObjectRecord
        do throws(AWSError) {
            try await intake.take(0..<source.size, of: reader)
            let taken = try await intake.finish()
            guard source.partCount > 0 || !source.encryption.showsMD5 || taken.etag == source.etag else {
                throw AWSError.objectFault("object file \(source.file) is damaged: its MD5 is not its object's ETag")
            }
            record = input.object.record(file: intake.file.id, taken, key, etag: blindETag(key.encryption), now)
        } catch {
            await intake.abandon()
            throw error
        }
        if !input.replacesMetadata {
            record.headers = source.headers
            record.metadata = source.metadata
        }
        if !input.replacesTags { record.tags = source.tags }
        let stored = try await commit(
            record, in: target.name, key: input.place.key, on: input.write, file: intake.file, as: .createdByCopy,
            NotificationCause(call))
        var document: WireStructure = [
            "LastModified": .timestamp(stored.modified), "ETag": .string(stored.quotedETag),
        ]
        if let checksum = stored.checksum {
            document.append("ChecksumType", .string(checksum.type))
            document.members.append(checksum.member)
        }
        var headers = key.headers
        headers.append(contentsOf: expirationHeaders(target, input.place.key, stored))
        if let version = stored.version { headers.append(WireHeader("x-amz-version-id", version)) }
        if buckets[input.source.bucket]?.settings.versioning != nil {
            headers.append(WireHeader("x-amz-copy-source-version-id", source.versionText))
        }
        return ObjectAnswer(headers: headers, body: .xml(root: "CopyObjectResult", document), recorded: key.recorded)
    }

    /// Opens the source of CopyObject or UploadPartCopy, under its conditions.
    ///
    /// The caller must be allowed to read it, which is asked here, before anything of it is told.
    func copySource(
        _ source: CopySource, _ call: Call
    ) async throws(AWSError) -> (ObjectRecord, ObjectReader) {
        guard let origin = buckets[source.bucket] else { throw .noSuchBucket(source.bucket) }
        if let expected = source.owner, expected != origin.ownerAccount { throw .objectAccessDenied() }
        let read = ResourceReference(
            type: "AWS::S3::Object", arn: "\(origin.arn)/\(source.key)", accountID: origin.ownerAccount,
            action: source.version == nil ? "s3:GetObject" : "s3:GetObjectVersion")
        if let refusal = try await call.further(read) { throw refusal }
        let record: ObjectRecord
        let reader: ObjectReader
        do throws(AWSError) {
            (record, reader, _) = try await told(source.key, in: origin, call) { () throws(AWSError) in
                try await self.openObject(
                    origin.name, source.key, version: source.version, customerKey: source.customerKey, call
                ) { (record) throws(AWSError) in try self.checkCopyable(record) }
            }
        } catch {
            guard error.code == "MethodNotAllowed" else { throw error }
            throw .invalidRequest(
                "The source of a copy request may not specifically refer to a delete marker by version id.")
        }
        switch source.conditions.test(record) {
        case .holds: break
        case .failed(let condition): throw .preconditionFailed(condition)
        case .notModified:
            let isByTag = source.conditions.noneMatch != nil
            throw .preconditionFailed("x-amz-copy-source-If-" + (isByTag ? "None-Match" : "Modified-Since"))
        }
        return (record, reader)
    }
}

extension CatalogSnapshot {
    /// The bucket as this snapshot has it.
    ///
    /// - Throws: `NoSuchBucket` (404).
    func bucket(_ name: String) throws(AWSError) -> BucketRecord {
        guard let document = try get(BucketRecord.key(name)) else { throw .noSuchBucket(name) }
        return try BucketRecord(document)
    }

    /// The version that a read asks for.
    ///
    /// - Parameter version: nil for the current one.
    /// - Throws: `NoSuchKey` (404; with `x-amz-delete-marker` where one hides the key), `NoSuchVersion` (404),
    ///   `InvalidArgument` (400) for what is no version id, `MethodNotAllowed` (405) for a delete marker.
    func readableObject(
        _ bucket: BucketRecord, _ key: String, version: String?
    ) throws(AWSError) -> ObjectRecord {
        guard let version else {
            if let current = try currentObject(bucket.name, key) { return current }
            var error = AWSError.noSuchKey(key)
            if let marker = try hidingMarker(bucket.name, key) { error.headers = marker.markerHeaders }
            throw error
        }
        guard version == "null" || VersionKeys.order(of: version) != nil else { throw .invalidVersion(version) }
        guard let (record, _) = try object(bucket.name, key, version: version) else {
            if version == "null", bucket.settings.versioning == nil { throw .noSuchKey(key) }
            throw .noSuchVersion(key: key, version: version)
        }
        guard !record.isDeleteMarker else {
            var error = AWSError.methodNotAllowed("GET")
            error.headers =
                record.markerHeaders
                + [WireHeader("allow", "DELETE"), WireHeader("last-modified", record.modified.httpDate)]
            throw error
        }
        return record
    }
}

extension ObjectRecord {
    var markerHeaders: [WireHeader] {
        [WireHeader("x-amz-delete-marker", "true"), WireHeader("x-amz-version-id", versionText)]
    }
}
