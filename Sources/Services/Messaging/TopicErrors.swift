// SPDX-License-Identifier: Apache-2.0
//
// SNS's errors. Events show the exception's class, answers its code. Source: Amazon SNS API Reference.

internal import AWSWire

extension AWSError {
    private static func topic(_ code: String, status: Int = 400, _ message: String) -> AWSError {
        AWSError(code, status: status, message, recordedCode: code + "Exception")
    }

    static let noSuchTopic = topic("NotFound", status: 404, "Topic does not exist")
    static let noSuchSubscription = topic("NotFound", status: 404, "Subscription does not exist")
    static let noSuchTopicResource = topic("ResourceNotFound", status: 404, "Resource does not exist")
    /// - Parameter what: the parameter's name, perhaps with a reason.
    static func invalidTopicParameter(_ what: String) -> AWSError {
        topic("InvalidParameter", "Invalid parameter: \(what)")
    }
    static func invalidTopicValue(_ message: String) -> AWSError { topic("ParameterValueInvalid", message) }
    static func topicAccessDenied(_ message: String) -> AWSError {
        var error = topic("AuthorizationError", status: 403, message)
        error.recordedCode = "AccessDenied"
        return error
    }
    static let tooManyTopicTags = topic(
        "TagLimitExceeded", "Could not complete request: tag quota of per resource exceeded")
    static let emptyPublishBatch = topic("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    static let tooManyPublishEntries = topic(
        "TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
    static let repeatedPublishEntry = topic(
        "BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
    static let publishBatchTooLong = topic(
        "BatchRequestTooLong", "The length of all the batch messages put together is more than the limit.")
    static let invalidPublishEntryID = topic(
        "InvalidBatchEntryId", "The Id of a batch entry in a batch request doesn't abide by the specification.")
    static func topicFault(_ cause: String) -> AWSError {
        AWSError(
            "InternalError", status: 500,
            "The request processing has failed because of an unknown error; the server's log has the cause under this "
                + "request id.", cause: cause)
    }

    /// The door's refusal as SNS words it.
    static func deniedByTopic(_ refusal: AWSError) -> AWSError {
        guard refusal.code == "AccessDenied" else { return refusal }
        var error = refusal
        error.code = "AuthorizationError"
        error.message = error.message.split(separator: " ", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("sns:") ? "SNS:" + $0.dropFirst(4) : String($0) }.joined(separator: " ")
        return error
    }
}
