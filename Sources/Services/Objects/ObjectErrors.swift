// SPDX-License-Identifier: Apache-2.0
//
// S3's errors. Source: Amazon S3 API Reference, "Error responses", and the answers of S3 itself where they say more.

internal import AWSWire

extension AWSError {
    static func noSuchBucket(_ name: String) -> AWSError {
        AWSError(
            "NoSuchBucket", status: 404, "The specified bucket does not exist",
            details: [.init("BucketName", .string(name))])
    }

    static func noSuchKey(_ key: String) -> AWSError {
        AWSError(
            "NoSuchKey", status: 404, "The specified key does not exist.", details: [.init("Key", .string(key))])
    }

    static func bucketAlreadyOwnedByYou(_ name: String) -> AWSError {
        AWSError(
            "BucketAlreadyOwnedByYou", status: 409,
            "Your previous request to create the named bucket succeeded and you already own it.",
            details: [.init("BucketName", .string(name))])
    }

    static func bucketAlreadyExists(_ name: String) -> AWSError {
        AWSError(
            "BucketAlreadyExists", status: 409,
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
                + "Please select a different name and try again.",
            details: [.init("BucketName", .string(name))])
    }

    static func bucketNotEmpty(_ name: String, hasVersions: Bool = false) -> AWSError {
        AWSError(
            "BucketNotEmpty", status: 409,
            "The bucket you tried to delete is not empty"
                + (hasVersions ? ". You must delete all versions in the bucket." : ""),
            details: [.init("BucketName", .string(name))])
    }

    static func tooManyBuckets(limit: Int) -> AWSError {
        AWSError(
            "TooManyBuckets", "You have attempted to create more buckets than allowed; an account has at most \(limit)."
        )
    }

    static func invalidBucketName(_ name: String) -> AWSError {
        AWSError(
            "InvalidBucketName", "The specified bucket is not valid.", details: [.init("BucketName", .string(name))])
    }

    static func invalidLocationConstraint(_ constraint: String) -> AWSError {
        AWSError(
            "InvalidLocationConstraint", "The specified location-constraint is not valid",
            details: [.init("LocationConstraint", .string(constraint))])
    }

    static func illegalLocationConstraint(_ constraint: String?) -> AWSError {
        AWSError(
            "IllegalLocationConstraintException",
            "The \(constraint ?? "unspecified") location constraint is incompatible for the region specific endpoint "
                + "this request was sent to.")
    }

    /// The signature names another region than the bucket's; clients sign again for the one that is named.
    static func wrongRegion(signed: String, bucket: String) -> AWSError {
        AWSError(
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; the region '\(signed)' is wrong; expecting '\(bucket)'",
            details: [.init("Region", .string(bucket))], headers: [WireHeader("x-amz-bucket-region", bucket)])
    }

    static func invalidArgument(_ message: String, name: String, value: String?) -> AWSError {
        var details: [WireStructure.Member] = [.init("ArgumentName", .string(name))]
        if let value { details.append(.init("ArgumentValue", .string(value))) }
        return AWSError("InvalidArgument", message, details: details)
    }

    static func invalidRequest(_ message: String) -> AWSError { AWSError("InvalidRequest", message) }

    static func malformedDocument() -> AWSError {
        AWSError(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema")
    }

    static func malformedPolicy(_ message: String) -> AWSError { AWSError("MalformedPolicy", message) }

    static func noSuchBucketPolicy(_ bucket: String) -> AWSError {
        AWSError(
            "NoSuchBucketPolicy", status: 404, "The bucket policy does not exist",
            details: [.init("BucketName", .string(bucket))])
    }

    /// A sub-resource that is not there, in S3's code and words.
    static func notConfigured(_ code: String, _ message: String, _ bucket: String) -> AWSError {
        AWSError(code, status: 404, message, details: [.init("BucketName", .string(bucket))])
    }

    static func invalidTag(_ message: String, key: String) -> AWSError {
        AWSError("InvalidTag", message, details: [.init("TagKey", .string(key))])
    }

    static func objectAccessDenied(_ message: String = "Access Denied") -> AWSError {
        AWSError("AccessDenied", status: 403, message)
    }

    static func methodNotAllowed(_ method: String) -> AWSError {
        AWSError(
            "MethodNotAllowed", status: 405, "The specified method is not allowed against this resource.",
            details: [.init("Method", .string(method))])
    }

    /// A header asks for what this server does not have; taking it silently would be a false success.
    static func notImplemented(header: String) -> AWSError {
        AWSError(
            "NotImplemented", status: 501, "A header you provided implies functionality that is not implemented",
            details: [.init("Header", .string(header))])
    }

    static func notImplemented(member: String) -> AWSError {
        AWSError(
            "NotImplemented", status: 501,
            "An element you provided implies functionality that is not implemented: \(member)")
    }

    static func invalidStorageClass(_ value: String) -> AWSError {
        AWSError(
            "InvalidStorageClass", "The storage class you specified is not valid",
            details: [.init("StorageClassRequested", .string(value))])
    }

    static var accessControlListNotSupported: AWSError {
        AWSError("AccessControlListNotSupported", "The bucket does not allow ACLs")
    }

    static var invalidBucketACLWithObjectOwnership: AWSError {
        AWSError(
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
    }

    static func keyTooLong(bytes: Int, limit: Int) -> AWSError {
        AWSError(
            "KeyTooLongError", "Your key is too long",
            details: [.init("Size", .integer(Int64(bytes))), .init("MaxSizeAllowed", .integer(Int64(limit)))])
    }

    static func metadataTooLarge(bytes: Int, limit: Int) -> AWSError {
        AWSError(
            "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size",
            details: [.init("Size", .integer(Int64(bytes))), .init("MaxSizeAllowed", .integer(Int64(limit)))])
    }

    static func entityTooLarge(proposed: Int64, limit: Int64) -> AWSError {
        AWSError(
            "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size",
            details: [.init("ProposedSize", .integer(proposed)), .init("MaxSizeAllowed", .integer(limit))])
    }

    static var missingContentLength: AWSError {
        AWSError("MissingContentLength", status: 411, "You must provide the Content-Length HTTP header.")
    }

    static var incompleteBody: AWSError {
        AWSError(
            "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
    }

    static func badDigest(expected: String, calculated: String) -> AWSError {
        AWSError(
            "BadDigest", "The Content-MD5 you specified did not match what we received.",
            details: [
                .init("ExpectedDigest", .string(expected)), .init("CalculatedDigest", .string(calculated)),
            ])
    }

    static func badChecksum(_ algorithm: String) -> AWSError {
        AWSError("BadDigest", "The \(algorithm) you specified did not match the calculated checksum.")
    }

    static func invalidDigest(_ value: String) -> AWSError {
        AWSError(
            "InvalidDigest", "The Content-MD5 you specified was invalid.",
            details: [.init("Content-MD5", .string(value))])
    }

    /// - Parameter condition: the header that did not hold, in S3's spelling.
    static func preconditionFailed(_ condition: String) -> AWSError {
        AWSError(
            "PreconditionFailed", status: 412, "At least one of the pre-conditions you specified did not hold",
            details: [.init("Condition", .string(condition))])
    }

    static func invalidRange(_ range: String, size: Int64) -> AWSError {
        AWSError(
            "InvalidRange", status: 416, "The requested range is not satisfiable",
            details: [.init("RangeRequested", .string(range)), .init("ActualObjectSize", .integer(size))],
            headers: [WireHeader("content-range", "bytes */\(size)")])
    }

    static func invalidPartNumber(_ number: String, count: Int) -> AWSError {
        AWSError(
            "InvalidPartNumber", status: 416, "The requested partnumber is not satisfiable",
            details: [
                .init("PartNumberRequested", .string(number)), .init("ActualPartCount", .integer(Int64(count))),
            ])
    }

    static func invalidVersion(_ version: String) -> AWSError {
        invalidArgument("Invalid version id specified", name: "versionId", value: version)
    }

    static func noSuchVersion(key: String, version: String) -> AWSError {
        AWSError(
            "NoSuchVersion", status: 404, "The specified version does not exist.",
            details: [.init("Key", .string(key)), .init("VersionId", .string(version))])
    }

    static func invalidObjectState(_ storageClass: StorageClass) -> AWSError {
        AWSError(
            "InvalidObjectState", status: 403, "The operation is not valid for the object's storage class",
            details: [.init("StorageClass", .string(storageClass.rawValue))])
    }

    static func noSuchUpload(_ id: String) -> AWSError {
        AWSError(
            "NoSuchUpload", status: 404,
            "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been "
                + "aborted or completed.", details: [.init("UploadId", .string(id))])
    }

    static func invalidPart(_ upload: String, number: Int, etag: String) -> AWSError {
        AWSError(
            "InvalidPart",
            "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
                + "specified entity tag may not match the part's entity tag.",
            details: [
                .init("UploadId", .string(upload)), .init("PartNumber", .integer(Int64(number))),
                .init("ETag", .string(etag)),
            ])
    }

    static func entityTooSmall(_ part: UploadedPart) -> AWSError {
        AWSError(
            "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size",
            details: [
                .init("ProposedSize", .integer(part.size)),
                .init("MinSizeAllowed", .integer(ObjectService.Limits.partBytesMin)),
                .init("PartNumber", .integer(Int64(part.number))), .init("ETag", .string(part.md5)),
            ])
    }

    static var missingLockConfiguration: AWSError {
        invalidRequest("Bucket is missing Object Lock Configuration")
    }

    static func noObjectLock(_ key: String) -> AWSError {
        AWSError(
            "NoSuchObjectLockConfiguration", status: 404,
            "The specified object does not have a ObjectLock configuration", details: [.init("Key", .string(key))])
    }

    /// A fault of ours in S3's own words; the cause goes to the operator's log.
    static func objectFault(_ cause: String) -> AWSError {
        AWSError(
            "InternalError", status: 500, "We encountered an internal error. Please try again.", cause: cause)
    }
}
