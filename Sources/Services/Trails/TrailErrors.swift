// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// The errors of the trail operations; texts that AWS is known to use are kept word for word.
extension AWSError {
    static func trailNotFound(arn: String, account: String) -> AWSError {
        AWSError("TrailNotFoundException", "Unknown trail: \(arn) for the user: \(account)")
    }

    static func trailAlreadyExists(_ name: String, account: String) -> AWSError {
        AWSError("TrailAlreadyExistsException", "Trail \(name) already exists for customer: \(account)")
    }

    static func tooManyTrails(account: String, region: String, most: Int) -> AWSError {
        AWSError("MaximumNumberOfTrailsExceededException", "User: \(account) already has \(most) trails in \(region).")
    }

    static func invalidTrailName(_ message: String) -> AWSError { AWSError("InvalidTrailNameException", message) }

    static func invalidARN(_ message: String) -> AWSError { AWSError("CloudTrailARNInvalidException", message) }

    static func invalidHomeRegion(_ home: String, name: String) -> AWSError {
        AWSError(
            "InvalidHomeRegionException",
            "The trail \(name) can be changed only in its home region, which is \(home).")
    }

    static func invalidBucketName(_ message: String) -> AWSError {
        AWSError("InvalidS3BucketNameException", message)
    }

    static func bucketDoesNotExist(_ bucket: String) -> AWSError {
        AWSError("S3BucketDoesNotExistException", "S3 bucket \(bucket) does not exist!")
    }

    /// - Parameter missing: names the statement that the policy lacks.
    static func insufficientBucketPolicy(_ bucket: String, missing: String) -> AWSError {
        AWSError(
            "InsufficientS3BucketPolicyException",
            "Incorrect S3 bucket policy is detected for bucket: \(bucket). \(missing)")
    }

    static func invalidPrefix(_ message: String) -> AWSError { AWSError("InvalidS3PrefixException", message) }

    static let multiRegionNeedsGlobalEvents = AWSError(
        "InvalidParameterCombinationException", "Multi-Region trail must include global service events.")

    static func invalidSelectors(_ message: String) -> AWSError {
        AWSError("InvalidEventSelectorsException", message)
    }

    static func insightsNotEnabled(_ name: String) -> AWSError {
        AWSError(
            "InsightNotEnabledException",
            "Trail \(name) does not have Insights enabled. Edit the trail settings to enable Insights, and then try the "
                + "operation again.")
    }

    /// A feature that is named by a member of the request and that this server does not have.
    static func unsupported(_ member: String, _ what: String) -> AWSError {
        AWSError(
            "UnsupportedOperationException",
            "\(member) was given, but \(what) is not available on this server. Leave the parameter out.")
    }

    static let noOrganization = AWSError(
        "OrganizationsNotInUseException",
        "The request could not be processed because your account is not a member of an organization.")

    static func invalidTag(_ message: String) -> AWSError { AWSError("InvalidTagParameterException", message) }

    static func tooManyTags(most: Int) -> AWSError {
        AWSError("TagsLimitExceededException", "A resource can have at most \(most) tags.")
    }

    static func resourceNotFound(_ arn: String) -> AWSError {
        AWSError("ResourceNotFoundException", "The resource \(arn) does not exist.")
    }

    static func resourceTypeNotSupported(_ arn: String) -> AWSError {
        AWSError(
            "ResourceTypeNotSupportedException", "Tags are supported on trails and channels, and \(arn) is neither.")
    }

    static let tooManyChanges = AWSError(
        "ThrottlingException",
        "Rate exceeded. Too many changes of this trail are waiting for its deliveries; see LatestDeliveryError.")

    static let invalidToken = AWSError(
        "InvalidTokenException", "The token is not one that this server gave out for this request.")

    static func invalidTimeRange(_ message: String) -> AWSError { AWSError("InvalidTimeRangeException", message) }

    static func invalidLookupAttributes(_ message: String) -> AWSError {
        AWSError("InvalidLookupAttributesException", message)
    }

    static let invalidMaxResults = AWSError(
        "InvalidMaxResultsException", "MaxResults must be a number from 1 to 50.")

    static let invalidNextToken = AWSError(
        "InvalidNextTokenException",
        "The token is not one that this server gave out for a request with these parameters.")

    static let invalidEventCategory = AWSError(
        "InvalidEventCategoryException", "EventCategory must be insight, or be left out for management events.")
}
