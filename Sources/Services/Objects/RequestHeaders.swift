// SPDX-License-Identifier: Apache-2.0
//
// The header fields of S3 requests: what they may say, and what is refused because it is not built.
// Source: Amazon S3 API Reference (request syntax of each action); S3 User Guide, "Controlling ownership of objects".

internal import AWSWire

/// Access to the headers of a request. Signed URLs carry `x-amz-` headers in the query as well; both count alike.
struct RequestHeaders: Sendable {
    let http: WireRequest

    /// The value of a header (name in lower case), or of an `x-amz-` query parameter of that name.
    func value(_ name: String) -> String? {
        if let value = http.header(name) { return value }
        guard name.hasPrefix("x-amz-") else { return nil }
        return http.query.first { $0.name.lowercased() == name }?.value
    }

    /// The value, nil where it is absent or empty.
    func nonEmpty(_ name: String) -> String? {
        guard let value = value(name), !value.isEmpty else { return nil }
        return value
    }

    /// The names of all headers, in lower case.
    var names: [String] {
        http.headers.map(\.name) + http.query.map { $0.name.lowercased() }.filter { $0.hasPrefix("x-amz-") }
    }

    /// Refuses the headers of features that this server does not have: a request that names one must not seem to work.
    ///
    /// - Throws: `NotImplemented` (501).
    func refuseUnbuilt() throws(AWSError) {
        for name in names where name.hasPrefix("x-amz-") {
            if Self.unbuilt.contains(name) { throw .notImplemented(header: name) }
        }
    }

    private static let unbuilt: Set<String> = [
        "x-amz-website-redirect-location", "x-amz-write-offset-bytes",
        "x-amz-if-match-last-modified-time", "x-amz-if-match-size", "x-amz-checksum-sha512", "x-amz-checksum-md5",
        "x-amz-checksum-xxhash64", "x-amz-checksum-xxhash3", "x-amz-checksum-xxhash128", "x-amz-rename-source",
        "x-amz-bucket-namespace", "x-amz-mfa",
    ]

    // MARK: Class, lock, checksum

    /// - Throws: `InvalidStorageClass` (400); `NotImplemented` (501) for the classes of other kinds of storage.
    func storageClass() throws(AWSError) -> StorageClass? {
        guard let text = nonEmpty("x-amz-storage-class") else { return nil }
        if let known = StorageClass(rawValue: text) { return known }
        let foreign = ["OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP"]
        throw foreign.contains(text) ? .notImplemented(header: "x-amz-storage-class") : .invalidStorageClass(text)
    }

    /// The lock that a new object asks for.
    ///
    /// - Throws: `InvalidArgument` (400).
    func objectLock() throws(AWSError) -> ObjectLock {
        var lock = ObjectLock()
        let modeName = "x-amz-object-lock-mode"
        let untilName = "x-amz-object-lock-retain-until-date"
        let mode = nonEmpty(modeName)
        let until = nonEmpty(untilName)
        guard (mode == nil) == (until == nil) else {
            throw .invalidArgument(
                "\(untilName) and \(modeName) must both be supplied.", name: mode == nil ? modeName : untilName,
                value: nil)
        }
        if let mode, let until {
            guard let known = ObjectLock.Mode(rawValue: mode) else {
                throw .invalidArgument("Unknown wormMode directive.", name: modeName, value: mode)
            }
            guard let time = Timestamp(iso8601: until) else {
                throw .invalidArgument(
                    "The retain until date must be provided in ISO 8601 format", name: untilName, value: until)
            }
            lock.retention = ObjectLock.Retention(mode: known, until: time)
        }
        switch nonEmpty("x-amz-object-lock-legal-hold") {
        case nil: break
        case "ON": lock.legalHold = true
        case "OFF": lock.legalHold = false
        case .some(let other):
            throw .invalidArgument(
                "Legal Hold must be either of 'ON' or 'OFF'", name: "x-amz-object-lock-legal-hold", value: other)
        }
        return lock
    }

    /// `x-amz-checksum-algorithm`.
    ///
    /// - Throws: `NotImplemented` (501) for an algorithm that is not built.
    func checksumAlgorithm() throws(AWSError) -> ObjectChecksum.Algorithm? {
        guard let name = nonEmpty("x-amz-checksum-algorithm") else { return nil }
        guard let known = ObjectChecksum.Algorithm(rawValue: name.uppercased()) else {
            throw .notImplemented(header: "x-amz-checksum-algorithm")
        }
        return known
    }

    /// `versionId`, nil for the current version.
    var version: String? { http.queryValue("versionId").flatMap { $0.isEmpty ? nil : $0 } }

    // MARK: Access control lists

    /// The canned ACL and the grants of a put of an object; whether they are allowed says the bucket.
    ///
    /// - Throws: `InvalidRequest` (400), `InvalidArgument` (400).
    func objectACL() throws(AWSError) -> ObjectACL {
        let canned = value("x-amz-acl")
        try refuseCannedWithGrants(canned)
        if let canned, !Self.cannedACLs.contains(canned) {
            throw .invalidArgument("Invalid canned ACL: \(canned)", name: "x-amz-acl", value: canned)
        }
        return ObjectACL(canned: canned, grant: Self.grants.first { value($0) != nil })
    }

    /// The canned ACL that CreateBucket or PutBucketAcl asks for, nil where the headers name none.
    ///
    /// - Throws: `InvalidBucketAclWithObjectOwnership` (400), `InvalidRequest` (400), `InvalidArgument` (400),
    ///   `publicRefusal` for public ones where there is such, `NotImplemented` (501) for grants and those that nothing here
    ///   would heed.
    func bucketACL(
        isOwnerEnforced: Bool, publicRefusal: AWSError? = .objectAccessDenied()
    ) throws(AWSError) -> String? {
        let canned = value("x-amz-acl")
        try refuseCannedWithGrants(canned)
        if let grant = Self.grants.first(where: { value($0) != nil }) {
            throw isOwnerEnforced ? .invalidBucketACLWithObjectOwnership : .notImplemented(header: grant)
        }
        guard let canned, canned != "private" else { return canned }
        guard Self.cannedACLs.contains(canned) || canned == "log-delivery-write" else {
            throw .invalidArgument("Invalid canned ACL: \(canned)", name: "x-amz-acl", value: canned)
        }
        if isOwnerEnforced { throw .invalidBucketACLWithObjectOwnership }
        if canned == "log-delivery-write" { return canned }
        let isPublic = ["public-read", "public-read-write", "authenticated-read"].contains(canned)
        if isPublic, let publicRefusal { throw publicRefusal }
        throw .notImplemented(header: "x-amz-acl")
    }

    /// `x-amz-object-ownership` of CreateBucket.
    func ownership() throws(AWSError) -> BucketSettings.Ownership? {
        guard let text = value("x-amz-object-ownership") else { return nil }
        guard let ownership = BucketSettings.Ownership(rawValue: text) else {
            throw .invalidArgument(
                "Invalid x-amz-object-ownership header: \(text)", name: "x-amz-object-ownership", value: text)
        }
        return ownership
    }

    private func refuseCannedWithGrants(_ canned: String?) throws(AWSError) {
        guard canned != nil, Self.grants.contains(where: { value($0) != nil }) else { return }
        throw .invalidRequest("Specifying both Canned ACLs and Header Grants is not allowed")
    }

    private static let grants = [
        "x-amz-grant-full-control", "x-amz-grant-read", "x-amz-grant-read-acp", "x-amz-grant-write",
        "x-amz-grant-write-acp",
    ]

    private static let cannedACLs: Set<String> = [
        "private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read",
        "bucket-owner-full-control",
    ]

    init(_ http: WireRequest) { self.http = http }

    // MARK: What an object keeps

    /// The standard headers that are stored with an object, names in lower case. `aws-chunked` is how the body came and
    /// not what it is, so it is left out of content-encoding.
    func storedHeaders() -> [WireHeader] {
        var stored: [WireHeader] = []
        for name in Self.stored {
            guard var value = http.header(name), !value.isEmpty else { continue }
            if name == "content-encoding" {
                value = value.split(separator: ",").map { String($0).trimmed }
                    .filter { $0.lowercased() != "aws-chunked" && !$0.isEmpty }.joined(separator: ",")
                if value.isEmpty { continue }
            }
            stored.append(WireHeader(name, value))
        }
        if !stored.contains(where: { $0.name == "content-type" }) {
            stored.insert(WireHeader("content-type", "binary/octet-stream"), at: 0)
        }
        return stored
    }

    static let stored = [
        "content-type", "content-encoding", "content-disposition", "content-language", "cache-control", "expires",
    ]

    /// User metadata; a header that comes twice is joined by a comma.
    ///
    /// - Throws: `MetadataTooLarge` (400) over `ObjectService.Limits.metadataBytes`.
    func metadata() throws(AWSError) -> [WireHeader] {
        let prefix = "x-amz-meta-"
        let fromQuery = http.query.map { WireHeader($0.name.lowercased(), $0.value) }
        var found: [WireHeader] = []
        for header in http.headers + fromQuery where header.name.hasPrefix(prefix) {
            let name = String(header.name.dropFirst(prefix.count))
            // A signed link carries metadata in its query, where a line end could smuggle a header into later answers.
            guard Self.isHeaderName(name), !header.value.utf8.contains(where: { $0 < 0x20 && $0 != 9 || $0 == 0x7F })
            else {
                throw .invalidArgument(
                    "Metadata names and values must be such as HTTP headers can carry", name: header.name,
                    value: header.value)
            }
            if let index = found.firstIndex(where: { $0.name == name }) {
                found[index].value += "," + header.value
            } else {
                found.append(WireHeader(name, header.value))
            }
        }
        let bytes = found.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
        guard bytes <= ObjectService.Limits.metadataBytes else {
            throw .metadataTooLarge(bytes: bytes, limit: ObjectService.Limits.metadataBytes)
        }
        return found
    }

    /// Whether the text is a token of RFC 9110, section 5.6.2.
    private static func isHeaderName(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                    || "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
    }
}

extension StringProtocol {
    /// Without blanks and tabs at both ends.
    var trimmed: String {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        guard let first = firstIndex(where: { !isBlank($0) }), let last = lastIndex(where: { !isBlank($0) }) else {
            return ""
        }
        return String(self[first...last])
    }
}
