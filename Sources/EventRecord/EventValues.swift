// SPDX-License-Identifier: Apache-2.0

/// What kind of activity an event is, by the record's `eventCategory`.
package enum EventCategory: String, Sendable, Hashable, CaseIterable {
    case management = "Management"
    case data = "Data"
    case networkActivity = "NetworkActivity"
    case insight = "Insight"
    /// Came through a channel, from a source outside.
    case activityAuditLog = "ActivityAuditLog"
}

extension EventFields {
    /// Gives a field's text without its quotes, escapes resolved, to the body; nil for a field that is absent, null or a
    /// container. Numbers and booleans are given as they are written. No allocation unless there are escapes.
    @inline(__always)
    package func withText<R>(
        _ field: EventField, in record: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?) -> R
    ) -> R {
        JSONText.withText(self[field], in: record, body)
    }

    /// A field's text; nil for a field that is absent, null or a container.
    package func text(_ field: EventField, in record: UnsafeRawBufferPointer) -> String? {
        withText(field, in: record) { $0.map { String(decoding: $0, as: UTF8.self) } }
    }

    /// Whether the field is there and not null.
    package func exists(_ field: EventField, in record: UnsafeRawBufferPointer) -> Bool {
        let span = self[field]
        return span.isPresent && record[Int(span.offset)] != 0x6E
    }

    /// A boolean, also one written as a text ("true"), as some records have it; nil otherwise.
    package func flag(_ field: EventField, in record: UnsafeRawBufferPointer) -> Bool? {
        withText(field, in: record) { text in
            guard let text else { return nil }
            if text.count == 4, text.isEqual(to: "true") { return true }
            if text.count == 5, text.isEqual(to: "false") { return false }
            return nil
        }
    }

    /// The event's category. Records before version 1.08 do not say: `managementEvent` decides, then the kind of event, then
    /// whether it is one of S3's object calls, Lambda's invocations or DynamoDB's item calls, which always were data events.
    package func category(in record: UnsafeRawBufferPointer) -> EventCategory {
        let named: EventCategory? = withText(.eventCategory, in: record) { text in
            guard let text else { return nil }
            return EventCategory.allCases.first { text.isEqual(to: $0.rawValue) }
        }
        if let named { return named }
        if let isManagement = flag(.managementEvent, in: record) { return isManagement ? .management : .data }
        let isInsight = withText(.eventType, in: record) { $0?.isEqual(to: "AwsCloudTrailInsight") ?? false }
        if isInsight { return .insight }
        let source = text(.eventSource, in: record)
        guard let names = source.flatMap({ Self.dataEventNames[$0] }), let name = text(.eventName, in: record) else {
            return .management
        }
        return names.contains(name) ? .data : .management
    }

    private static let dataEventNames: [String: Set<String>] = [
        "s3.amazonaws.com": [
            "GetObject", "HeadObject", "PutObject", "PostObject", "CopyObject", "DeleteObject", "DeleteObjects",
            "GetObjectAcl", "PutObjectAcl", "GetObjectTagging", "PutObjectTagging", "GetObjectAttributes",
            "RestoreObject",
            "CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload", "AbortMultipartUpload",
            "ListParts", "SelectObjectContent", "ListObjects", "ListObjectVersions", "HeadBucket",
        ],
        "lambda.amazonaws.com": ["Invoke"],
        "dynamodb.amazonaws.com": [
            "GetItem", "PutItem", "UpdateItem", "DeleteItem", "BatchGetItem", "BatchWriteItem", "Query", "Scan",
        ],
    ]

    /// The event's id: the record's own, or for a record without one an id made from its bytes, the same each time.
    ///
    /// The made id has a GUID's form of version 8 (RFC 9562): XXH64 of the record under the seeds 1 and 2.
    package func eventID(in record: UnsafeRawBufferPointer) -> String {
        if let id = text(.eventID, in: record), !id.isEmpty { return id }
        let high = StableHash.xxh64(record, seed: 1) & 0xFFFF_FFFF_FFFF_0FFF | 0x8000
        let low = StableHash.xxh64(record, seed: 2) & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        let digits = Array("0123456789abcdef".utf8)
        return String(unsafeUninitializedCapacity: 36) { out in
            var index = 0
            for nibble in 0..<32 {
                if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 {
                    out[index] = 0x2D
                    index += 1
                }
                let word = nibble < 16 ? high : low
                out[index] = digits[Int(word >> UInt64(60 - nibble % 16 * 4) & 15)]
                index += 1
            }
            return index
        }
    }

    /// Gives the user's name as LookupEvents shows it; nil where there is none (services).
    ///
    /// `userName` where the identity has one (sign-in included); "root" for the root user; for roles and federated users the
    /// session's name, which is the ARN's part after the last slash, else what follows the colon in `principalId`.
    @inline(__always)
    package func withUsername<R>(in record: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
        if self[.identityUserName].length > 2 { return withText(.identityUserName, in: record, body) }
        return withText(.identityType, in: record) { type in
            guard let type else { return body(nil) }
            if type.isEqual(to: "Root") {
                let name: StaticString = "root"
                return body(UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
            }
            guard !type.isEqual(to: "AWSService"), !type.isEqual(to: "AWSAccount") else { return body(nil) }
            if self[.identityARN].length > 2 {
                return withText(.identityARN, in: record) { arn in body(arn.flatMap { $0.suffix(after: 0x2F) }) }
            }
            return withText(.identityPrincipalID, in: record) { id in body(id.flatMap { $0.suffix(after: 0x3A) }) }
        }
    }

    /// The user's name as LookupEvents shows it.
    package func username(in record: UnsafeRawBufferPointer) -> String? {
        withUsername(in: record) { $0.map { String(decoding: $0, as: UTF8.self) } }
    }
}

extension JSONText {
    /// Gives a text without its quotes, escapes resolved, or a number or boolean as written; nil for null and containers.
    @inline(__always)
    static func withText<R>(
        _ span: JSONSpan, in record: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?) -> R
    ) -> R {
        guard span.isPresent, span.range.upperBound <= record.count else { return body(nil) }
        let value = UnsafeRawBufferPointer(rebasing: record[span.range])
        switch value[0] {
        case 0x22:
            let inside = UnsafeRawBufferPointer(rebasing: value[1..<(value.count - 1)])
            return span.hasEscapes ? decoded(inside).withUnsafeBytes { body($0) } : body(inside)
        case 0x6E, 0x7B, 0x5B: return body(nil)
        default: return body(value)
        }
    }
}

extension UnsafeRawBufferPointer {
    @inline(__always)
    func isEqual(to text: StaticString) -> Bool {
        isEqual(to: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inline(__always)
    func isEqual(to text: String) -> Bool {
        text.withUnsafeUTF8 { isEqual(to: $0) }
    }

    @inline(__always)
    func isEqual(to other: UnsafeRawBufferPointer) -> Bool {
        count == other.count && hasPrefix(other)
    }

    func hasPrefix(_ other: UnsafeRawBufferPointer) -> Bool {
        guard other.count <= count else { return false }
        for index in 0..<other.count where self[index] != other[index] { return false }
        return true
    }

    func hasSuffix(_ other: UnsafeRawBufferPointer) -> Bool {
        guard other.count <= count else { return false }
        return UnsafeRawBufferPointer(rebasing: self[(count - other.count)...]).hasPrefix(other)
    }

    /// What follows the last such byte, all when there is none; nil when nothing follows.
    func suffix(after byte: UInt8) -> UnsafeRawBufferPointer? {
        guard let last = lastIndex(of: byte) else { return isEmpty ? nil : self }
        return last + 1 < count ? UnsafeRawBufferPointer(rebasing: self[(last + 1)...]) : nil
    }
}

extension String {
    /// The UTF-8 in place where the text is native, as all of ours are; a copy otherwise.
    @inline(__always)
    func withUnsafeUTF8<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        if let result = utf8.withContiguousStorageIfAvailable({ body(UnsafeRawBufferPointer($0)) }) { return result }
        return Array(utf8).withUnsafeBytes { body($0) }
    }
}
