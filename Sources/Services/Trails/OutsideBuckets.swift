// SPDX-License-Identifier: Apache-2.0

package import AWSClient
internal import AWSWire
internal import LogFiles

/// Buckets that another S3 server holds, by their names.
package struct OutsideBuckets: Sendable {
    /// A bucket's name, in which each `*` stands for any text.
    package struct Pattern: Sendable, Equatable {
        package let text: String

        package init(_ text: String) { self.text = text }

        package func matches(_ bucket: String) -> Bool {
            let pieces = text.split(separator: "*", omittingEmptySubsequences: false)
            guard pieces.count > 1 else { return text == bucket }
            var rest = bucket[...]
            guard rest.hasPrefix(pieces[0]) else { return false }
            rest = rest.dropFirst(pieces[0].count)
            let tail = pieces[pieces.count - 1]
            guard rest.hasSuffix(tail) else { return false }
            rest = rest.dropLast(tail.count)
            for piece in pieces[1..<(pieces.count - 1)] where !piece.isEmpty {
                guard let end = Self.end(of: piece, in: rest) else { return false }
                rest = rest[end...]
            }
            return true
        }

        /// Where the first occurrence ends.
        private static func end(of piece: Substring, in text: Substring) -> Substring.Index? {
            var start = text.startIndex
            while start < text.endIndex {
                if text[start...].hasPrefix(piece) { return text.index(start, offsetBy: piece.count) }
                start = text.index(after: start)
            }
            return nil
        }
    }

    private let endpoints: [(client: S3Client, buckets: [Pattern])]

    /// - Parameter endpoints: the first with a pattern that matches holds the bucket.
    package init(_ endpoints: [(client: S3Client, buckets: [Pattern])]) { self.endpoints = endpoints }

    /// The endpoint that holds a bucket; nil when this server does.
    func client(for bucket: String) -> S3Client? {
        endpoints.first { endpoint in endpoint.buckets.contains { $0.matches(bucket) } }?.client
    }
}

extension TrailBucket {
    /// The same buckets, and those that other servers hold in their stead.
    package func with(_ outside: OutsideBuckets) -> TrailBucket {
        let here = self
        var both = TrailBucket(
            exists: { bucket throws(AWSError) -> Bool in
                // Whether one is there is found out by writing to it.
                if outside.client(for: bucket) != nil { return true }
                return try await here.exists(bucket)
            },
            allows: { question throws(AWSError) -> Bool in
                if outside.client(for: question.bucket) != nil { return true }
                return try await here.allows(question)
            },
            put: { put throws(AWSError) in
                guard let client = outside.client(for: put.bucket) else { return try await here.put(put) }
                try await Self.write(put, to: client)
            })
        both.endpoint = { outside.client(for: $0)?.endpoint.name }
        both.holds = { put in
            guard let client = outside.client(for: put.bucket) else { return await here.holds(put) }
            do throws(S3ClientError) {
                guard let head = try await client.head(bucket: put.bucket, key: put.key) else { return false }
                // Names are given once, so an object of that name is ours; its size tells whether it is all there.
                return head.size == put.body.count ? true : nil
            } catch {
                return nil
            }
        }
        return both
    }

    fileprivate static func write(_ put: Put, to client: S3Client) async throws(AWSError) {
        if let key = put.keyARN, !client.endpoint.takesKeys {
            throw .keysNotTaken(by: client.endpoint, bucket: put.bucket, key: key)
        }
        do throws(S3ClientError) {
            try await client.put(
                bucket: put.bucket, key: put.key, body: put.body, headers: headers(of: put, client.endpoint))
        } catch {
            throw failure(error, client.endpoint)
        }
    }

    private static func headers(of put: Put, _ endpoint: S3Endpoint) -> [WireHeader] {
        var headers: [WireHeader] = []
        if !put.body.isEmpty {
            headers.append(WireHeader("content-type", LogFile.contentType))
            headers.append(WireHeader("content-encoding", LogFile.contentEncoding))
        }
        if let acl = endpoint.acl { headers.append(WireHeader("x-amz-acl", acl)) }
        switch endpoint.encryption {
        case .bucketDefault: break
        case .s3: headers.append(WireHeader("x-amz-server-side-encryption", "AES256"))
        case .kms(let keyID):
            headers.append(WireHeader("x-amz-server-side-encryption", "aws:kms"))
            if let keyID = put.keyARN ?? keyID {
                headers.append(WireHeader("x-amz-server-side-encryption-aws-kms-key-id", keyID))
            }
        }
        return headers + put.metadata.map { WireHeader("x-amz-meta-" + $0.name, $0.value) }
    }

    /// A refusal has a status below 500 and proves that nothing was written; all else may have been, or passes.
    private static func failure(_ error: S3ClientError, _ endpoint: S3Endpoint) -> AWSError {
        let cause = "the S3 endpoint `\(endpoint.name)`: \(error)"
        guard error.kind == .refused, !error.mayHaveWritten else {
            return AWSError(error.code, status: 503, error.message, cause: cause)
        }
        let status = error.status.map { (400..<500).contains($0) ? $0 : 400 } ?? 400
        return AWSError(error.code, status: status, error.message, cause: cause)
    }
}

extension TrailBucket {
    /// Checks a bucket that another server holds by a real write, of the empty object that stands for the trail's folder.
    ///
    /// - Throws: `S3BucketDoesNotExistException`, `InsufficientEncryptionPolicyException`,
    ///   `InsufficientS3BucketPolicyException` with the endpoint's own code, `ServiceUnavailable` when it gave no answer.
    func probe(_ trail: Trail, at endpoint: String) async throws(AWSError) {
        let root = LogFolder.root(prefix: trail.prefix, account: trail.account)
        var folders = ["CloudTrail/"]
        if trail.hasLogFileValidation { folders.append("CloudTrail-Digest/") }
        for folder in folders {
            do throws(AWSError) {
                try await put(
                    Put(
                        bucket: trail.bucket, key: root + folder, body: [], metadata: [], sourceARN: trail.arn.text,
                        sourceAccount: trail.account))
            } catch {
                if error.code == "NoSuchBucket" { throw .bucketDoesNotExist(trail.bucket) }
                if error.isServerFault {
                    throw .serviceUnavailable(
                        "The S3 endpoint \(endpoint), which holds bucket \(trail.bucket), could not be written to "
                            + "(\(error.code)). Try again later.", cause: error.cause)
                }
                if error.code.hasPrefix("KMS.") {
                    throw .insufficientEncryptionPolicy(trail.bucket, key: "of the bucket")
                }
                throw .insufficientBucketPolicy(
                    trail.bucket,
                    missing: "The S3 endpoint \(endpoint) answered \(error.code) to a write of \(root)\(folder).")
            }
        }
    }
}

extension TrailKMS {
    /// The keys of this server, and those that endpoints outside are told to use in their stead: by their ARN, which is
    /// passed on in the header, and tried by a real write.
    package func with(_ outside: OutsideBuckets) -> TrailKMS {
        let here = self
        return TrailKMS(
            find: { name, bucket, account throws(AWSError) -> String in
                guard let client = outside.client(for: bucket) else {
                    return try await here.find(name, bucket, account)
                }
                guard client.endpoint.takesKeys else {
                    throw .keysNotTaken(by: client.endpoint, bucket: bucket, key: name)
                }
                // Another server's keys are not looked up here, so nothing but a whole ARN says which is meant.
                let parts = name.split(separator: ":", omittingEmptySubsequences: false)
                guard parts.count == 6, parts[0] == "arn", parts[2] == "kms", parts[5].hasPrefix("key/") else {
                    throw .invalidKmsKeyID(name)
                }
                return name
            },
            allows: { question throws(AWSError) -> Bool in
                guard let client = outside.client(for: question.bucket) else { return try await here.allows(question) }
                let folder = question.objectKey.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
                let put = TrailBucket.Put(
                    bucket: question.bucket, key: folder.joined(separator: "/") + "/", body: [], metadata: [],
                    sourceARN: question.sourceARN, sourceAccount: question.sourceAccount, keyARN: question.key)
                do throws(AWSError) {
                    try await TrailBucket.write(put, to: client)
                    return true
                } catch {
                    if error.isServerFault { throw error }
                    return false
                }
            })
    }
}

extension S3Endpoint {
    /// Whether objects are to be encrypted under keys of the endpoint's KMS.
    fileprivate var takesKeys: Bool {
        if case .kms = encryption { return true }
        return false
    }
}

extension AWSError {
    fileprivate static func keysNotTaken(by endpoint: S3Endpoint, bucket: String, key: String) -> AWSError {
        .kmsKeyNotUsable(
            "The S3 endpoint \(endpoint.name), which holds bucket \(bucket), is not set up for keys of KMS, so \(key) cannot "
                + "encrypt there; set its encryption to aws:kms.")
    }
}
