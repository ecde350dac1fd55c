// SPDX-License-Identifier: Apache-2.0
//
// How an S3 request names its operation: method, bucket and key in host or path, and the sub-resource in the query.
// Source: Amazon S3 API Reference, "REST API" (request syntax of each action); S3 User Guide, "Virtual hosting of buckets".

package import AWSWire

/// Finds the operation, the bucket and the key of an S3 request.
///
/// Every operation of S3's model is known here, also those that this server does not have, so that a refused call is
/// named and recorded as what it was.
package enum ObjectRoutes {
    /// Names the operation. The parameters are `Bucket` and `Key` as far as the request has them, decoded.
    ///
    /// - Parameter baseHosts: host names without port under which the server is reached, besides `localhost`; a name in
    ///   front of one of them is a bucket.
    /// - Throws: `InvalidURI` (400) for damaged percent sequences or UTF-8, `InvalidArgument` (400) for two sub-resources
    ///   at once, `MethodNotAllowed` (405).
    package static func route(_ request: WireRequest, baseHosts: [String]) throws(AWSError) -> RoutedOperation {
        if let name = try accountOperation(request) {
            return RoutedOperation(operation: name, parameters: WireStructure())
        }
        let place = try place(of: request, baseHosts: baseHosts)
        var parameters = WireStructure()
        parameters.append("Bucket", ifPresent: place.bucket.map { .string($0) })
        parameters.append("Key", ifPresent: place.key.map { .string($0) })
        let name: String
        if place.bucket == nil {
            name = try serviceOperation(request)
        } else if place.key == nil {
            name = try bucketOperation(request)
        } else {
            name = try objectOperation(request)
        }
        return RoutedOperation(operation: name, parameters: parameters)
    }

    // MARK: Place

    struct Place: Equatable {
        var bucket: String?
        var key: String?
    }

    static func place(of request: WireRequest, baseHosts: [String]) throws(AWSError) -> Place {
        var bytes = ArraySlice(Array(request.rawPath.utf8))
        if bytes.first == UInt8(ascii: "/") { bytes = bytes.dropFirst() }
        if let bucket = hostBucket(request.header("host") ?? "", baseHosts: baseHosts) {
            return Place(bucket: bucket, key: bytes.isEmpty ? nil : try PercentCoding.decode(bytes))
        }
        if bytes.isEmpty { return Place() }
        let cut = bytes.firstIndex(of: UInt8(ascii: "/"))
        let bucket = try PercentCoding.decode(bytes[..<(cut ?? bytes.endIndex)])
        guard let cut, cut + 1 < bytes.endIndex else { return Place(bucket: bucket) }
        return Place(bucket: bucket, key: try PercentCoding.decode(bytes[(cut + 1)...]))
    }

    /// The bucket that a `Host` header names; nil for path-style requests.
    static func hostBucket(_ header: String, baseHosts: [String]) -> String? {
        var host = header.lowercased()
        if host.hasPrefix("[") { return nil }
        if let colon = host.lastIndex(of: ":") { host = String(host[..<colon]) }
        if host.hasSuffix(".") { host.removeLast() }
        let bases = (baseHosts.map { $0.lowercased() } + ["localhost", "amazonaws.com", "amazonaws.com.cn"])
            .sorted { $0.utf8.count > $1.utf8.count }
        for base in bases where !base.isEmpty {
            if host == base { return nil }
            guard host.hasSuffix("." + base) else { continue }
            let front = String(host.dropLast(base.utf8.count + 1))
            if isEndpoint(front[...]) { return nil }
            if let bucket = bucketBeforeEndpoint(front) { return bucket }
            return base.hasPrefix("amazonaws.com") ? nil : front
        }
        return nil
    }

    /// Whether these labels are S3's own: `s3`, `s3.REGION`, `s3-REGION`, `s3.dualstack.REGION`.
    private static func isEndpoint(_ labels: Substring) -> Bool {
        if labels == "s3" { return true }
        guard labels.hasPrefix("s3.") || labels.hasPrefix("s3-") else { return false }
        var rest = labels.dropFirst(3)
        if rest.hasPrefix("dualstack.") { rest = rest.dropFirst("dualstack.".count) }
        return isRegion(rest)
    }

    private static func bucketBeforeEndpoint(_ labels: String) -> String? {
        var start = labels.startIndex
        while let dot = labels[start...].firstIndex(of: ".") {
            start = labels.index(after: dot)
            if isEndpoint(labels[start...]), dot > labels.startIndex { return String(labels[..<dot]) }
        }
        return nil
    }

    /// The shape of a region's name: letters, one or more words, a number (`us-gov-east-1`).
    private static func isRegion(_ text: Substring) -> Bool {
        let words = text.split(separator: "-", omittingEmptySubsequences: false)
        guard words.count >= 3, let number = words.last, !number.isEmpty else { return false }
        return number.utf8.allSatisfy { (0x30...0x39).contains($0) }
            && words.dropLast().allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (0x61...0x7A).contains($0) } }
    }

    // MARK: Operation

    /// Names the account that S3's control interface is to act for; object and bucket calls have no such header.
    static let accountHeader = "x-amz-account-id"
    private static let accountPath = "/v20180820/"

    /// The operation of S3's control interface (botocore's model s3control); nil for all other requests.
    private static func accountOperation(_ request: WireRequest) throws(AWSError) -> String? {
        guard request.rawPath.hasPrefix(accountPath), request.header(accountHeader) != nil else { return nil }
        guard request.rawPath == accountPath + "configuration/publicAccessBlock" else {
            throw AWSError(
                "NotImplemented", status: 501,
                "S3's control interface has the public access block of the account here, and nothing else.")
        }
        return switch request.method {
        case "GET": "GetAccountPublicAccessBlock"
        case "PUT": "PutAccountPublicAccessBlock"
        case "DELETE": "DeleteAccountPublicAccessBlock"
        default: throw .methodNotAllowed(request.method)
        }
    }

    private static func serviceOperation(_ request: WireRequest) throws(AWSError) -> String {
        switch request.method {
        case "GET": "ListBuckets"
        case "OPTIONS": "PreflightRequest"
        default: throw .methodNotAllowed(request.method)
        }
    }

    private static func bucketOperation(_ request: WireRequest) throws(AWSError) -> String {
        let method = request.method
        if method == "POST", request.rawPath == "/WriteGetObjectResponse",
            request.header("x-amz-request-route") != nil
        {
            return "WriteGetObjectResponse"
        }
        if method == "HEAD" { return "HeadBucket" }
        if method == "OPTIONS" { return "PreflightRequest" }
        if let row = try subresource(request, in: bucketRows) {
            guard let name = row.name(of: method, hasID: request.hasQuery("id")) else {
                throw .methodNotAllowed(method)
            }
            return name
        }
        switch method {
        case "GET": return request.queryValue("list-type") == "2" ? "ListObjectsV2" : "ListObjects"
        case "PUT": return "CreateBucket"
        case "DELETE": return "DeleteBucket"
        case "POST": return "PostObject"
        default: throw .methodNotAllowed(method)
        }
    }

    private static func objectOperation(_ request: WireRequest) throws(AWSError) -> String {
        let method = request.method
        if method == "HEAD" { return "HeadObject" }
        if method == "OPTIONS" { return "PreflightRequest" }
        if let row = try subresource(request, in: objectRows) {
            guard let name = row.name(of: method, hasID: false) else { throw .methodNotAllowed(method) }
            return name
        }
        let hasUpload = request.hasQuery("uploadId")
        switch method {
        case "GET": return hasUpload ? "ListParts" : "GetObject"
        case "PUT":
            let isCopy = request.header("x-amz-copy-source") != nil || request.hasQuery("x-amz-copy-source")
            if hasUpload || (request.hasQuery("partNumber") && !isCopy) {
                return isCopy ? "UploadPartCopy" : "UploadPart"
            }
            return isCopy ? "CopyObject" : "PutObject"
        case "DELETE": return hasUpload ? "AbortMultipartUpload" : "DeleteObject"
        case "POST":
            if hasUpload { return "CompleteMultipartUpload" }
            throw .methodNotAllowed(method)
        default: throw .methodNotAllowed(method)
        }
    }

    /// A sub-resource of a bucket or an object and the operations on it.
    private struct Row {
        let query: String
        var get: String?
        var put: String?
        var post: String?
        var delete: String?
        /// The name of a GET without `id`, where the sub-resource is a set of named configurations.
        var list: String?

        init(
            _ query: String, get: String? = nil, put: String? = nil, post: String? = nil, delete: String? = nil,
            list: String? = nil
        ) {
            self.query = query
            self.get = get
            self.put = put
            self.post = post
            self.delete = delete
            self.list = list
        }

        func name(of method: String, hasID: Bool) -> String? {
            switch method {
            case "GET": list == nil || hasID ? get : list
            case "PUT": put
            case "POST": post
            case "DELETE": delete
            default: nil
            }
        }
    }

    private static func subresource(_ request: WireRequest, in rows: [Row]) throws(AWSError) -> Row? {
        let found = rows.filter { request.hasQuery($0.query) }
        guard found.count < 2 else {
            throw AWSError.invalidArgument(
                "Conflicting query string parameters: \(found.map(\.query).sorted().joined(separator: ", "))",
                name: "ResourceType", value: found[0].query)
        }
        return found.first
    }

    private static let bucketRows: [Row] = [
        Row("abac", get: "GetBucketAbac", put: "PutBucketAbac"),
        Row("accelerate", get: "GetBucketAccelerateConfiguration", put: "PutBucketAccelerateConfiguration"),
        Row("acl", get: "GetBucketAcl", put: "PutBucketAcl"),
        Row(
            "analytics", get: "GetBucketAnalyticsConfiguration", put: "PutBucketAnalyticsConfiguration",
            delete: "DeleteBucketAnalyticsConfiguration", list: "ListBucketAnalyticsConfigurations"),
        Row("cors", get: "GetBucketCors", put: "PutBucketCors", delete: "DeleteBucketCors"),
        Row("delete", post: "DeleteObjects"),
        Row("encryption", get: "GetBucketEncryption", put: "PutBucketEncryption", delete: "DeleteBucketEncryption"),
        Row(
            "intelligent-tiering", get: "GetBucketIntelligentTieringConfiguration",
            put: "PutBucketIntelligentTieringConfiguration", delete: "DeleteBucketIntelligentTieringConfiguration",
            list: "ListBucketIntelligentTieringConfigurations"),
        Row(
            "inventory", get: "GetBucketInventoryConfiguration", put: "PutBucketInventoryConfiguration",
            delete: "DeleteBucketInventoryConfiguration", list: "ListBucketInventoryConfigurations"),
        Row(
            "lifecycle", get: "GetBucketLifecycleConfiguration", put: "PutBucketLifecycleConfiguration",
            delete: "DeleteBucketLifecycle"),
        Row("location", get: "GetBucketLocation"),
        Row("logging", get: "GetBucketLogging", put: "PutBucketLogging"),
        Row(
            "metadataConfiguration", get: "GetBucketMetadataConfiguration", post: "CreateBucketMetadataConfiguration",
            delete: "DeleteBucketMetadataConfiguration"),
        Row("metadataInventoryTable", put: "UpdateBucketMetadataInventoryTableConfiguration"),
        Row("metadataJournalTable", put: "UpdateBucketMetadataJournalTableConfiguration"),
        Row(
            "metadataTable", get: "GetBucketMetadataTableConfiguration", post: "CreateBucketMetadataTableConfiguration",
            delete: "DeleteBucketMetadataTableConfiguration"),
        Row(
            "metrics", get: "GetBucketMetricsConfiguration", put: "PutBucketMetricsConfiguration",
            delete: "DeleteBucketMetricsConfiguration", list: "ListBucketMetricsConfigurations"),
        Row("notification", get: "GetBucketNotificationConfiguration", put: "PutBucketNotificationConfiguration"),
        Row("object-lock", get: "GetObjectLockConfiguration", put: "PutObjectLockConfiguration"),
        Row(
            "ownershipControls", get: "GetBucketOwnershipControls", put: "PutBucketOwnershipControls",
            delete: "DeleteBucketOwnershipControls"),
        Row("policy", get: "GetBucketPolicy", put: "PutBucketPolicy", delete: "DeleteBucketPolicy"),
        Row("policyStatus", get: "GetBucketPolicyStatus"),
        Row(
            "publicAccessBlock", get: "GetPublicAccessBlock", put: "PutPublicAccessBlock",
            delete: "DeletePublicAccessBlock"),
        Row("replication", get: "GetBucketReplication", put: "PutBucketReplication", delete: "DeleteBucketReplication"),
        Row("requestPayment", get: "GetBucketRequestPayment", put: "PutBucketRequestPayment"),
        Row("session", get: "CreateSession"),
        Row("tagging", get: "GetBucketTagging", put: "PutBucketTagging", delete: "DeleteBucketTagging"),
        Row("uploads", get: "ListMultipartUploads"),
        Row("versioning", get: "GetBucketVersioning", put: "PutBucketVersioning"),
        Row("versions", get: "ListObjectVersions"),
        Row("website", get: "GetBucketWebsite", put: "PutBucketWebsite", delete: "DeleteBucketWebsite"),
    ]

    private static let objectRows: [Row] = [
        Row("acl", get: "GetObjectAcl", put: "PutObjectAcl"),
        Row("attributes", get: "GetObjectAttributes"),
        Row("encryption", put: "UpdateObjectEncryption"),
        Row("legal-hold", get: "GetObjectLegalHold", put: "PutObjectLegalHold"),
        Row("renameObject", put: "RenameObject"),
        Row("restore", post: "RestoreObject"),
        Row("retention", get: "GetObjectRetention", put: "PutObjectRetention"),
        Row("select", post: "SelectObjectContent"),
        Row("tagging", get: "GetObjectTagging", put: "PutObjectTagging", delete: "DeleteObjectTagging"),
        Row("torrent", get: "GetObjectTorrent"),
        Row("uploads", post: "CreateMultipartUpload"),
    ]
}
