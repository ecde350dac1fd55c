// SPDX-License-Identifier: Apache-2.0
//
// Conditions and ranges of requests.
// Source: RFC 9110, sections 13 (conditional requests) and 14 (range requests); Amazon S3 API Reference, GetObject,
// CopyObject; S3 User Guide, "Add preconditions to S3 operations".

internal import AWSWire

/// `If-Match` and its kin.
struct ObjectConditions: Sendable, Equatable {
    var match: String?
    var noneMatch: String?
    var modifiedSince: String?
    var unmodifiedSince: String?
    /// How the headers are called in errors: `If-` or `x-amz-copy-source-If-`.
    var prefix = "If-"

    enum Outcome: Equatable {
        case holds
        case notModified
        /// The header that does not hold.
        case failed(String)
    }

    /// The conditions of a read.
    init(reading headers: RequestHeaders) {
        match = headers.http.header("if-match")
        noneMatch = headers.http.header("if-none-match")
        modifiedSince = headers.http.header("if-modified-since")
        unmodifiedSince = headers.http.header("if-unmodified-since")
    }

    /// The conditions on the source of a copy.
    init(copying headers: RequestHeaders) {
        match = headers.value("x-amz-copy-source-if-match")
        noneMatch = headers.value("x-amz-copy-source-if-none-match")
        modifiedSince = headers.value("x-amz-copy-source-if-modified-since")
        unmodifiedSince = headers.value("x-amz-copy-source-if-unmodified-since")
        prefix = "x-amz-copy-source-If-"
    }

    /// Tests in the order of RFC 9110, section 13.2.2: a date counts only where its entity tag is absent.
    func test(_ object: ObjectRecord) -> Outcome {
        if let match {
            if !EntityTags(match).contains(object.etag) { return .failed(prefix + "Match") }
        } else if let unmodifiedSince, let time = Timestamp(httpDate: unmodifiedSince),
            object.modified.seconds > time.seconds
        {
            return .failed(prefix + "Unmodified-Since")
        }
        if let noneMatch {
            if EntityTags(noneMatch).contains(object.etag) { return .notModified }
        } else if let modifiedSince, let time = Timestamp(httpDate: modifiedSince),
            object.modified.seconds <= time.seconds
        {
            return .notModified
        }
        return .holds
    }
}

extension ObjectRecord {
    /// Whether `If-Range` (RFC 9110, section 13.1.5) still names this object, by entity tag or by date.
    func isUnchanged(since validator: String) -> Bool {
        if let time = Timestamp(httpDate: validator) { return time.seconds == modified.seconds }
        return EntityTags(validator).contains(etag)
    }
}

/// `If-Match` and `If-None-Match` of a write, tested in the transaction that writes.
struct WriteConditions: Sendable, Equatable {
    var match: String?
    var noneMatch: String?

    /// - Throws: `NotImplemented` (501) for `If-None-Match` with anything but `*`.
    init(_ headers: RequestHeaders) throws(AWSError) {
        match = headers.http.header("if-match")
        noneMatch = headers.http.header("if-none-match")
        if let noneMatch, noneMatch.trimmed != "*" { throw .notImplemented(header: "If-None-Match") }
    }

    init() {}

    /// - Throws: `PreconditionFailed` (412); `NoSuchKey` (404) for `If-Match` on a key that does not exist.
    func check(_ current: ObjectRecord?, key: String) throws(AWSError) {
        if noneMatch != nil, current != nil { throw .preconditionFailed("If-None-Match") }
        if let match {
            guard let current else { throw .noSuchKey(key) }
            guard EntityTags(match).contains(current.etag) else { throw .preconditionFailed("If-Match") }
        }
    }
}

/// A list of entity tags, with or without quotes; `*` is any.
struct EntityTags {
    private let tags: [String]

    init(_ text: String) {
        tags = text.split(separator: ",").map { piece in
            var tag = piece.trimmed[...]
            if tag.hasPrefix("W/") { tag = tag.dropFirst(2) }
            if tag.hasPrefix("\""), tag.hasSuffix("\""), tag.utf8.count >= 2 { tag = tag.dropFirst().dropLast() }
            return String(tag)
        }
    }

    func contains(_ etag: String) -> Bool { tags.contains { $0 == "*" || $0 == etag } }
}

/// `Range: bytes=...`, a single one; several ranges, other units and damaged text are ignored, as RFC 9110 allows and
/// S3 does.
enum ByteRange {
    /// - Returns: the bytes to send, nil where the whole object is to be sent.
    /// - Throws: `InvalidRange` (416) when the range has no byte of the object.
    static func resolve(_ header: String?, size: Int64) throws(AWSError) -> Range<Int64>? {
        guard let header, header.hasPrefix("bytes=") else { return nil }
        let spec = header.dropFirst("bytes=".count).trimmed
        guard !spec.contains(","), let dash = spec.firstIndex(of: "-") else { return nil }
        let first = spec[..<dash].trimmed
        let last = spec[spec.index(after: dash)...].trimmed
        if first.isEmpty {
            guard let count = number(last) else { return nil }
            guard count > 0, size > 0 else { throw .invalidRange(header, size: size) }
            return max(0, size - count)..<size
        }
        guard let start = number(first) else { return nil }
        var end = size
        if !last.isEmpty {
            guard let stop = number(last), stop >= start else { return nil }
            end = stop >= size ? size : stop + 1
        }
        guard start < size else { throw .invalidRange(header, size: size) }
        return start..<end
    }

    private static func number(_ text: String) -> Int64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(text) ?? .max
    }
}
