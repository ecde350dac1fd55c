// SPDX-License-Identifier: Apache-2.0
//
// Source: S3 User Guide, "Uploading and copying objects using multipart upload" and "Amazon S3 multipart upload limits";
// Amazon S3 API Reference, the page of each action.

internal import AWSWire
internal import Storage

extension ObjectService {
    private static func traits(_ iamAction: String? = nil, streamsBody: Bool = false) -> OperationTraits {
        OperationTraits(
            category: .data, iamAction: iamAction, recordsAnswer: false, recordsResources: true,
            streamsBody: streamsBody, bodyBytesMax: Limits.completeDocumentBytes)
    }

    static let multipartOperations: [Operation<ObjectService>] = [
        Operation(
            "CreateMultipartUpload", .write, traits("PutObject"), on: objectResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.createMultipartUpload),
        Operation(
            "UploadPart", .write, traits("PutObject", streamsBody: true), on: objectResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.uploadPart),
        Operation(
            "UploadPartCopy", .write, traits("PutObject"), on: objectResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.uploadPartCopy),
        Operation(
            "CompleteMultipartUpload", .write, traits("PutObject"), on: objectResource,
            recorded: ObjectRecording.parameters(document: "CompleteMultipartUpload"),
            perform: ObjectService.completeMultipartUpload),
        Operation(
            "AbortMultipartUpload", .write, traits(), on: objectResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.abortMultipartUpload),
        Operation(
            "ListParts", .read, traits("ListMultipartUploadParts"), on: objectResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.listParts),
        Operation(
            "ListMultipartUploads", .read, traits("ListBucketMultipartUploads"), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.listMultipartUploads),
    ]

    // MARK: Create, upload

    func createMultipartUpload(_ input: CreateUploadInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        try check(input.acl, in: bucket, call, action: "s3:PutObject")
        try check(input.object.lock, of: bucket, isChecked: true)
        let key = try await makeKey(input.encryption, bucket: bucket, key: input.place.key, call)
        var object = input.object.record(at: now)
        object.encryption = key.encryption
        let upload = MultipartUpload(
            id: MultipartUpload.makeID(at: clock(), random: randomBytes(24)), object: object,
            algorithm: input.algorithm, isComposite: input.isComposite)
        let place = MultipartUpload.key(bucket.name, input.place.key, upload.id)
        try await catalog.write { (transaction) throws(AWSError) in
            _ = try transaction.bucket(bucket.name)
            try transaction.put(place, upload.document)
        }
        var headers = key.headers
        if let algorithm = upload.algorithm {
            headers.append(WireHeader("x-amz-checksum-algorithm", algorithm.rawValue))
            headers.append(WireHeader("x-amz-checksum-type", upload.type))
        }
        return ObjectAnswer(
            headers: headers,
            body: .xml(
                root: "InitiateMultipartUploadResult",
                [
                    "Bucket": .string(bucket.name), "Key": .string(input.place.key), "UploadId": .string(upload.id),
                ]), recorded: key.recorded)
    }

    /// - Throws: `NoSuchUpload` (404), `BadDigest` (400), `IncompleteBody` (400); the part of that number stays as it was
    ///   then.
    func uploadPart(_ input: UploadPartInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let (bucket, upload) = try await upload(input.place, call)
        if let named = input.checksum.named, let wanted = upload.algorithm, named != wanted {
            throw .invalidRequest(
                "Checksum Type mismatch occurred, expected checksum Type: \(wanted.rawValue.lowercased()), actual "
                    + "checksum Type: \(named.rawValue.lowercased())")
        }
        let body = input.body
        let key = try await openKey(
            of: upload.object.encryption, bucket: bucket, customerKey: input.customerKey, isPart: true, call)
        let part = try await store(
            input.place, input.number, in: bucket, upload, demand: input.checksum, key: key
        ) { (intake) throws(AWSError) in try await intake.take(body) }
        var headers = [WireHeader("etag", "\"\(part.md5)\"")]
        headers.append(contentsOf: upload.object.encryption.headers(input.customerKey))
        if upload.algorithm != nil || input.checksum.named == upload.partAlgorithm {
            headers.append(WireHeader(upload.partAlgorithm.headerName, part.checksum))
        } else if let named = input.checksum.named, let value = input.checksum.expected {
            headers.append(WireHeader(named.headerName, value))
        }
        return ObjectAnswer(headers: headers)
    }

    func uploadPartCopy(_ input: UploadPartCopyInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let (bucket, upload) = try await upload(input.place, call)
        let (source, reader) = try await copySource(input.source, call)
        let range = try input.range(of: source.size)
        guard range.upperBound - range.lowerBound <= Limits.objectBytes else {
            throw .entityTooLarge(proposed: range.upperBound - range.lowerBound, limit: Limits.objectBytes)
        }
        let key = try await openKey(
            of: upload.object.encryption, bucket: bucket, customerKey: input.customerKey, isPart: true, call)
        let part = try await store(
            input.place, input.number, in: bucket, upload, demand: ChecksumDemand(algorithm: upload.partAlgorithm),
            key: key
        ) { (intake) throws(AWSError) in try await intake.take(range, of: reader) }
        var document: WireStructure = [
            "ETag": .string("\"\(part.md5)\""), "LastModified": .timestamp(part.modified),
        ]
        if let algorithm = upload.algorithm {
            document.append("Checksum\(algorithm.rawValue)", .string(part.checksum))
        }
        var headers = upload.object.encryption.headers(input.customerKey)
        if buckets[input.source.bucket]?.settings.versioning != nil {
            headers.append(WireHeader("x-amz-copy-source-version-id", source.versionText))
        }
        return ObjectAnswer(headers: headers, body: .xml(root: "CopyPartResult", document))
    }

    private func upload(
        _ place: UploadPlace, _ call: Call
    ) async throws(AWSError) -> (BucketRecord, MultipartUpload) {
        let bucket = try bucket(place.object.place, call)
        let upload = try await catalog.read { (snapshot) throws(AWSError) in
            try snapshot.upload(bucket.name, place.object.key, place.id)
        }
        return (bucket, upload)
    }

    /// Takes a part's bytes into a file of its own and makes it the part of its number, in the place of an earlier one.
    private func store(
        _ place: UploadPlace, _ number: Int, in bucket: BucketRecord, _ upload: MultipartUpload,
        demand: ChecksumDemand, key: ObjectDataKey?, _ take: (inout ObjectIntake) async throws(AWSError) -> Void
    ) async throws(AWSError) -> UploadedPart {
        var intake = ObjectIntake(
            files, demand: demand, key: key, stored: upload.partAlgorithm, isPart: true)
        let file = intake.file
        let part: UploadedPart
        do throws(AWSError) {
            try await take(&intake)
            part = UploadedPart(
                number: number, file: file.id, try await intake.finish(), upload.object.encryption,
                etag: blindETag(upload.object.encryption), now)
        } catch {
            await intake.abandon()
            throw error
        }
        let replaced: String?
        do {
            replaced = try await catalog.write { (transaction) throws(AWSError) -> String? in
                _ = try transaction.upload(bucket.name, place.object.key, place.id)
                let key = UploadedPart.key(place.id, number)
                var replaced: String?
                if let document = try transaction.get(key) {
                    let earlier = try UploadedPart(document)
                    try transaction.delete(ObjectRecord.fileKey(earlier.file))
                    replaced = earlier.file
                }
                try transaction.put(key, part.document)
                try transaction.put(ObjectRecord.fileKey(part.file), [])
                return replaced
            }
        } catch {
            if error.isServerFault {
                files.release(file)
            } else {
                await files.abandon(file)
            }
            throw error
        }
        files.release(file)
        if let replaced { await files.remove(replaced) }
        return part
    }

    // MARK: Complete, abort

    /// Makes the listed parts an object, in one transaction that moves no bytes.
    ///
    /// - Throws: `NoSuchUpload`, `InvalidPart`, `EntityTooSmall`, `BadDigest`, `InvalidRequest`, `PreconditionFailed`; the
    ///   upload stays as it was then.
    func completeMultipartUpload(
        _ input: CompleteUploadInput, _ call: Call
    ) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.object.place, call)
        let key = input.place.object.key
        let now = now
        let random = randomBytes(10)
        let list = hexadecimal(randomBytes(16))
        let cause = NotificationCause(call)
        let outcome: (stored: ObjectRecord, dropped: [String]) = try await catalog.write {
            (transaction) throws(AWSError) in
            let bucket = try transaction.bucket(bucket.name)
            let upload = try transaction.upload(bucket.name, key, input.place.id)
            let uploaded = try transaction.parts(of: upload.id)
            let chosen = try input.choose(from: uploaded, upload)
            let join = PartJoin(chosen)
            guard join.size <= Limits.multipartBytes else {
                throw .entityTooLarge(proposed: join.size, limit: Limits.multipartBytes)
            }
            var record = upload.object
            record.file = list
            record.size = join.size
            record.etag = join.etag
            record.modified = now
            record.partCount = chosen.count
            record.checksum = try join.checksum(upload.partAlgorithm, isComposite: upload.isComposite)
            try input.check(record, upload)
            try input.conditions.check(try transaction.currentObject(bucket.name, key), key: key)

            let parts = chosen.map { part in
                ObjectParts.Part(
                    number: part.number, file: part.file, layout: part.layout, size: part.size,
                    checksum: upload.isComposite ? part.checksum : nil)
            }
            try transaction.put(ObjectRecord.partsKey(list), ObjectParts(parts).document)
            let used = Set(parts.map(\.file))
            let unused = try transaction.abort(
                MultipartUpload.key(bucket.name, key, upload.id), id: upload.id
            ).filter { !used.contains($0) }
            for file in used { try transaction.put(ObjectRecord.fileKey(file), []) }
            var change = VersionChange(transaction, bucket: bucket, key: key, now: now, random: random)
            let stored = try change.put(bucket.settings.lockedByDefault(record, now: now))
            try transaction.note(.createdByUpload, stored, key: key, in: bucket, cause, at: now)
            return (stored, change.dropped + unused)
        }
        for file in outcome.dropped { await files.remove(file) }
        var document: WireStructure = [
            "Location": .string("/\(bucket.name)/\(PercentCoding.encode(key, keepSlash: true))"),
            "Bucket": .string(bucket.name), "Key": .string(key), "ETag": .string(outcome.stored.quotedETag),
        ]
        if let checksum = outcome.stored.checksum {
            document.members.append(checksum.member)
            document.append("ChecksumType", .string(checksum.type))
        }
        var headers = outcome.stored.encryption.headers(nil)
        headers.append(contentsOf: expirationHeaders(bucket, key, outcome.stored))
        if let version = outcome.stored.version { headers.append(WireHeader("x-amz-version-id", version)) }
        return ObjectAnswer(headers: headers, body: .xml(root: "CompleteMultipartUploadResult", document))
    }

    func abortMultipartUpload(_ input: UploadInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.object.place, call)
        let place = input.place
        let dropped = try await catalog.write { (transaction) throws(AWSError) -> [String] in
            let upload = try transaction.upload(bucket.name, place.object.key, place.id)
            return try transaction.abort(
                MultipartUpload.key(bucket.name, place.object.key, upload.id), id: upload.id)
        }
        for file in dropped { await files.remove(file) }
        return ObjectAnswer(status: 204)
    }
}

extension NewObject {
    /// What is known of an object before its first byte.
    fileprivate func record(at now: Timestamp) -> ObjectRecord {
        var record = ObjectRecord(
            file: "", size: 0, etag: "", modified: now, headers: headers, metadata: metadata)
        record.tags = tags
        record.storageClass = storageClass
        record.lock = lock
        return record
    }
}
