// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import NIOCore
internal import Storage

extension ObjectService {
    static let objectOperations: [Operation<ObjectService>] = [
        Operation(
            "PutObject", .write,
            OperationTraits(category: .data, recordsAnswer: false, recordsResources: true, streamsBody: true),
            on: objectResource, conditions: conditions, recorded: ObjectRecording.parameters,
            perform: ObjectService.putObject),
        Operation(
            "GetObject", .read, OperationTraits(category: .data, recordsAnswer: false, recordsResources: true),
            on: objectResource, conditions: conditions, recorded: ObjectRecording.parameters,
            perform: ObjectService.getObject),
        Operation(
            "HeadObject", .read,
            OperationTraits(category: .data, iamAction: "GetObject", recordsAnswer: false, recordsResources: true),
            on: objectResource, conditions: conditions, recorded: ObjectRecording.parameters,
            perform: ObjectService.headObject),
        Operation(
            "DeleteObject", .write, OperationTraits(category: .data, recordsAnswer: false, recordsResources: true),
            on: objectResource, conditions: conditions, recorded: ObjectRecording.parameters,
            perform: ObjectService.deleteObject),
        Operation(
            "DeleteObjects", .write,
            OperationTraits(
                category: .data, iamAction: "DeleteObject", recordsAnswer: false, recordsResources: true,
                bodyBytesMax: Limits.deleteDocumentBytes, authorization: .operation),
            on: prefixResource, conditions: conditions, recorded: ObjectRecording.parameters,
            perform: ObjectService.deleteObjects),
        Operation(
            "CopyObject", .write,
            OperationTraits(category: .data, iamAction: "PutObject", recordsAnswer: false, recordsResources: true),
            on: copyResources, conditions: conditions, recorded: ObjectRecording.parameters,
            perform: ObjectService.copyObject),
    ]

    // MARK: PutObject

    /// - Throws: `NoSuchBucket`, `PreconditionFailed`, `BadDigest`, `EntityTooLarge`, `MissingContentLength`,
    ///   `IncompleteBody`; nothing is kept then.
    func putObject(_ input: PutObjectInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        var intake = ObjectIntake(files, demand: input.checksum)
        let record: ObjectRecord
        do throws(AWSError) {
            switch input.body {
            case .bytes(let bytes): try await intake.take(ByteBuffer(bytes: bytes))
            case .stream(let body):
                guard let length = body.length else { throw AWSError.missingContentLength }
                guard length <= Limits.objectBytes else {
                    throw AWSError.entityTooLarge(proposed: length, limit: Limits.objectBytes)
                }
                try await body.consume { (piece) throws(AWSError) in try await intake.take(piece) }
                guard intake.size == length else { throw AWSError.incompleteBody }
            }
            let taken = try await intake.finish()
            record = ObjectRecord(
                file: intake.file.id, size: taken.size, etag: taken.etag, modified: now, headers: input.headers,
                metadata: input.metadata, checksum: taken.checksum)
        } catch {
            await intake.abandon()
            throw error
        }
        try await commit(record, in: bucket.name, key: input.place.key, on: input.conditions, file: intake.file)
        var headers = [WireHeader("etag", record.quotedETag)]
        if let checksum = record.checksum {
            headers.append(checksum.header)
            headers.append(WireHeader("x-amz-checksum-type", "FULL_OBJECT"))
        }
        return ObjectAnswer(headers: headers)
    }

    /// Makes a complete file the object under a key, in one transaction, and removes the file that it replaces.
    func commit(
        _ record: ObjectRecord, in bucket: String, key: String, on conditions: WriteConditions, file: ObjectFile
    ) async throws(AWSError) {
        let place = ObjectRecord.key(bucket, key)
        let replaced: String?
        do {
            replaced = try await catalog.write { (transaction) throws(AWSError) -> String? in
                guard try transaction.get(BucketRecord.key(bucket)) != nil else { throw .noSuchBucket(bucket) }
                var current: ObjectRecord?
                if let document = try transaction.get(place) { current = try ObjectRecord(document) }
                try conditions.check(current, key: key)
                try transaction.put(place, record.document)
                try transaction.put(ObjectRecord.fileKey(record.file), [])
                guard let current else { return nil }
                try transaction.delete(ObjectRecord.fileKey(current.file))
                return current.file
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
        if let replaced { await files.remove(replaced) }
    }

    // MARK: GetObject, HeadObject

    func getObject(_ input: GetObjectInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        let (record, file) = try await openObject(bucket, input.place.key, call)
        var answer = try readAnswer(input, record)
        guard answer.status != 304 else { return answer.head }
        let range = answer.range
        let files = files
        let stream = AnswerStream(length: range.upperBound - range.lowerBound) { write in
            var offset = range.lowerBound
            while offset < range.upperBound {
                let count = min(Int64(ObjectFiles.Limits.pieceBytes), range.upperBound - offset)
                try await write(try await files.read(file, at: offset, count: Int(count)))
                offset += count
            }
        }
        answer.head.body = .stream(stream)
        return answer.head
    }

    func headObject(_ input: GetObjectInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        let key = input.place.key
        let record = try await catalog.read { (snapshot) throws(AWSError) -> ObjectRecord? in
            guard let document = try snapshot.get(ObjectRecord.key(bucket.name, key)) else { return nil }
            return try ObjectRecord(document)
        }
        guard let record else { throw try await absence(of: key, in: bucket, call) }
        var answer = try readAnswer(input, record)
        guard answer.status != 304 else { return answer.head }
        let length = answer.range.upperBound - answer.range.lowerBound
        answer.head.headers.append(WireHeader("content-length", String(length)))
        return answer.head
    }

    /// What a reader is told of a key that is not there: only those who may list the bucket learn that.
    private func absence(
        of key: String, in bucket: BucketRecord, _ call: Call
    ) async throws(AWSError) -> AWSError {
        let listing = ResourceReference(
            type: "AWS::S3::Bucket", arn: bucket.arn, accountID: bucket.ownerAccount, action: "s3:ListBucket")
        return try await call.further(listing) ?? .noSuchKey(key)
    }

    /// Finds an object and opens its file. A file that is replaced between the two is looked up anew.
    func openObject(
        _ bucket: BucketRecord, _ key: String, _ call: Call
    ) async throws(AWSError) -> (ObjectRecord, ObjectFile) {
        var missing: ObjectFileError?
        for _ in 0..<16 {
            let record = try await catalog.read { (snapshot) throws(AWSError) -> ObjectRecord? in
                guard let document = try snapshot.get(ObjectRecord.key(bucket.name, key)) else { return nil }
                return try ObjectRecord(document)
            }
            guard let record else { throw try await absence(of: key, in: bucket, call) }
            do throws(ObjectFileError) {
                return (record, try await files.open(record.file))
            } catch {
                guard error.isMissing, error.path != missing?.path else { throw AWSError(error) }
                missing = error
            }
        }
        throw .objectFault("the object `\(bucket)/\(key)` is replaced faster than it can be opened")
    }

    private struct ReadAnswer {
        var head: ObjectAnswer
        var range: Range<Int64>
        var status: Int { head.status }
    }

    /// Conditions, range and headers of a read.
    private func readAnswer(_ input: GetObjectInput, _ record: ObjectRecord) throws(AWSError) -> ReadAnswer {
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
            guard part == 1 else { throw .invalidPartNumber(String(part)) }
            if record.size > 0 { wanted = 0..<record.size }
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
        if input.hasVersion { headers.append(WireHeader("x-amz-version-id", "null")) }
        let isWhole = wanted == nil || wanted == 0..<record.size
        if input.wantsChecksum, isWhole, let checksum = record.checksum {
            headers.append(checksum.header)
            headers.append(WireHeader("x-amz-checksum-type", "FULL_OBJECT"))
        }
        guard let wanted else {
            return ReadAnswer(head: ObjectAnswer(headers: headers), range: 0..<record.size)
        }
        headers.append(
            WireHeader("content-range", "bytes \(wanted.lowerBound)-\(wanted.upperBound - 1)/\(record.size)"))
        return ReadAnswer(head: ObjectAnswer(status: 206, headers: headers), range: wanted)
    }

    // MARK: DeleteObject, DeleteObjects

    func deleteObject(_ input: DeleteObjectInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        let outcome = try await delete([.init(key: input.place.key, conditions: input.conditions)], in: bucket.name)
        if let error = outcome.first?.error { throw error }
        let headers = input.hasVersion ? [WireHeader("x-amz-version-id", "null")] : []
        return ObjectAnswer(status: 204, headers: headers)
    }

    func deleteObjects(_ input: DeleteObjectsInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        var document = WireStructure()
        let targets = try await allowed(input.targets, in: bucket, call)
        let outcomes = try await delete(targets, in: bucket.name)
        for (target, outcome) in zip(targets, outcomes) {
            if let error = outcome.error {
                var entry: WireStructure = ["Key": .string(target.key)]
                entry.append("VersionId", ifPresent: target.version.map { .string($0) })
                entry.append("Code", .string(error.code))
                entry.append("Message", .string(error.message))
                document.append("Error", .structure(entry))
            } else if !input.isQuiet {
                var entry: WireStructure = ["Key": .string(target.key)]
                entry.append("VersionId", ifPresent: target.version.map { .string($0) })
                document.append("Deleted", .structure(entry))
            }
        }
        return ObjectAnswer(body: .xml(root: "DeleteResult", document))
    }

    /// Each key is asked for by itself; what is refused stands in the answer.
    private func allowed(
        _ targets: [DeleteTarget], in bucket: BucketRecord, _ call: Call
    ) async throws(AWSError) -> [DeleteTarget] {
        var asked: [DeleteTarget] = []
        for var target in targets {
            if target.refusal == nil {
                target.refusal = try await call.further(
                    ResourceReference(
                        type: "AWS::S3::Object", arn: bucket.arn(of: target.key), accountID: bucket.ownerAccount,
                        action: "s3:DeleteObject"))
            }
            asked.append(target)
        }
        return asked
    }

    private struct DeleteOutcome: Sendable {
        var file: String?
        var error: AWSError?
    }

    /// Deletes keys in one transaction, each under its own condition; a key that does not exist counts as deleted.
    private func delete(_ targets: [DeleteTarget], in bucket: String) async throws(AWSError) -> [DeleteOutcome] {
        let outcomes = try await catalog.write { (transaction) throws(AWSError) -> [DeleteOutcome] in
            guard try transaction.get(BucketRecord.key(bucket)) != nil else { throw .noSuchBucket(bucket) }
            var outcomes: [DeleteOutcome] = []
            for target in targets {
                if let refusal = target.refusal {
                    outcomes.append(DeleteOutcome(error: refusal))
                    continue
                }
                let place = ObjectRecord.key(bucket, target.key)
                var current: ObjectRecord?
                if let document = try transaction.get(place) { current = try ObjectRecord(document) }
                do throws(AWSError) {
                    try target.conditions.check(current, key: target.key)
                } catch {
                    outcomes.append(DeleteOutcome(error: error))
                    continue
                }
                if let current {
                    try transaction.delete(place)
                    try transaction.delete(ObjectRecord.fileKey(current.file))
                }
                outcomes.append(DeleteOutcome(file: current?.file))
            }
            return outcomes
        }
        for outcome in outcomes {
            if let file = outcome.file { await files.remove(file) }
        }
        return outcomes
    }

    // MARK: CopyObject

    /// - Throws: `NoSuchBucket`, `NoSuchKey`, `PreconditionFailed`, `InvalidRequest`; nothing is changed then.
    func copyObject(_ input: CopyObjectInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let target = try bucket(input.place.place, call)
        guard let origin = buckets[input.source.bucket] else { throw .noSuchBucket(input.source.bucket) }
        if let expected = input.sourceOwner, expected != origin.ownerAccount { throw .objectAccessDenied() }
        if origin.name == target.name, input.source.key == input.place.key, !input.replacesMetadata {
            throw .invalidRequest(
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                    + "object's metadata, storage class, website redirect location or encryption attributes.")
        }
        let (source, file) = try await openObject(origin, input.source.key, call)
        switch input.conditions.test(source) {
        case .holds: break
        case .failed(let condition): throw .preconditionFailed(condition)
        case .notModified:
            let isByTag = input.conditions.noneMatch != nil
            throw .preconditionFailed("x-amz-copy-source-If-" + (isByTag ? "None-Match" : "Modified-Since"))
        }
        guard source.size <= Limits.objectBytes else {
            throw .invalidRequest(
                "The specified copy source is larger than the maximum allowable size for a copy source: "
                    + "\(Limits.objectBytes)")
        }
        let algorithm = input.algorithm ?? source.checksum.flatMap { .init(rawValue: $0.algorithm) } ?? .crc64nvme
        var intake = ObjectIntake(files, demand: ChecksumDemand(algorithm: algorithm))
        var record = source
        do throws(AWSError) {
            var offset: Int64 = 0
            while offset < source.size {
                let count = min(Int64(ObjectFiles.Limits.pieceBytes), source.size - offset)
                let piece: ByteBuffer
                do throws(ObjectFileError) {
                    piece = try await files.read(file, at: offset, count: Int(count))
                } catch {
                    throw AWSError(error)
                }
                try await intake.take(piece)
                offset += count
            }
            let taken = try await intake.finish()
            guard taken.etag == source.etag else {
                throw AWSError.objectFault("object file \(source.file) is damaged: its MD5 is not its object's ETag")
            }
            record.checksum = taken.checksum
        } catch {
            await intake.abandon()
            throw error
        }
        record.file = intake.file.id
        record.modified = now
        if input.replacesMetadata {
            record.headers = input.headers
            record.metadata = input.metadata
        }
        try await commit(record, in: target.name, key: input.place.key, on: input.write, file: intake.file)
        var document: WireStructure = [
            "LastModified": .timestamp(record.modified), "ETag": .string(record.quotedETag),
        ]
        if let checksum = record.checksum {
            document.append("ChecksumType", "FULL_OBJECT")
            document.members.append(checksum.member)
        }
        return ObjectAnswer(body: .xml(root: "CopyObjectResult", document))
    }
}
