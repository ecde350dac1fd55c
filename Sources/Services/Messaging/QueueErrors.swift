// SPDX-License-Identifier: Apache-2.0
//
// SQS's errors. The JSON protocol names the exception in the body, and the code that older clients know in the header
// `x-amzn-query-error`. Source: Amazon SQS API Reference, "Common Errors" and the operations' lists; Smithy 2.0,
// "AWS query compatible".

internal import AWSWire

extension AWSError {
    private static func queue(_ name: String, query: String? = nil, _ message: String) -> AWSError {
        AWSError(
            name, message, headers: [WireHeader("x-amzn-query-error", "\(query ?? name);Sender")])
    }

    private static let older = "AWS.SimpleQueueService."

    static let noSuchQueue = queue(
        "QueueDoesNotExist", query: older + "NonExistentQueue", "The specified queue does not exist.")
    static func queueExists(_ attribute: String) -> AWSError {
        queue(
            "QueueNameExists", query: "QueueAlreadyExists",
            "A queue already exists with the same name and a different value for attribute \(attribute)")
    }
    static func noSuchQueueAttribute(_ name: String) -> AWSError {
        queue("InvalidAttributeName", "Unknown Attribute \(name).")
    }
    static func invalidQueueAttribute(_ name: String, _ reason: String = "") -> AWSError {
        queue(
            "InvalidAttributeValue",
            "Invalid value for the parameter \(name)." + (reason.isEmpty ? "" : " Reason: \(reason)"))
    }
    static func queueUnsupported(_ message: String) -> AWSError {
        queue("UnsupportedOperation", query: older + "UnsupportedOperation", message)
    }
    static func invalidQueueValue(_ message: String) -> AWSError {
        queue("InvalidParameterValueException", query: "InvalidParameterValue", message)
    }
    static func missingQueueParameter(_ name: String) -> AWSError {
        queue(
            "MissingRequiredParameterException", query: "MissingParameter",
            "The request must contain the parameter \(name).")
    }
    static let invalidQueueAddress = queue(
        "InvalidAddress", query: "InvalidAddress", "The address is not valid for this endpoint.")
    static func invalidMessageContents(_ message: String) -> AWSError { queue("InvalidMessageContents", message) }
    static func invalidReceiptHandle(_ handle: String) -> AWSError {
        queue(
            "ReceiptHandleIsInvalid",
            "The input receipt handle \"\(handle.prefix(80))\" is not a valid receipt handle.")
    }
    static let messageNotInFlight = queue(
        "MessageNotInflight", query: older + "MessageNotInflight",
        "The specified message isn't in flight: it is deleted, or can be received again already.")
    static let emptyBatch = queue(
        "EmptyBatchRequest", query: older + "EmptyBatchRequest", "There should be at least one entry in the request.")
    static func tooManyEntries(_ count: Int) -> AWSError {
        queue(
            "TooManyEntriesInBatchRequest", query: older + "TooManyEntriesInBatchRequest",
            "Maximum number of entries per request are 10. You have sent \(count).")
    }
    static func repeatedEntry(_ id: String) -> AWSError {
        queue("BatchEntryIdsNotDistinct", query: older + "BatchEntryIdsNotDistinct", "Id \(id) repeated.")
    }
    static let invalidEntryID = queue(
        "InvalidBatchEntryId", query: older + "InvalidBatchEntryId",
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters "
            + "long.")
    static func batchTooLong(_ bytes: Int, most: Int) -> AWSError {
        queue(
            "BatchRequestTooLong", query: older + "BatchRequestTooLong",
            "Batch requests cannot be longer than \(most) bytes. You have sent \(bytes) bytes.")
    }
    static func purgeInProgress(_ name: String) -> AWSError {
        queue(
            "PurgeQueueInProgress",
            "Only one PurgeQueue operation on \(name) is allowed every 60 seconds.")
    }
    static func queueAccessDenied(_ arn: String) -> AWSError {
        var error = queue(
            "AccessDeniedException", query: "AccessDenied", "Access to the resource \(arn) is denied.")
        error.recordedCode = "AccessDenied"
        return error
    }
    static func queueFault(_ cause: String) -> AWSError {
        AWSError(
            "InternalFailure", status: 500,
            "The request processing has failed because of an unknown error; the server's log has the cause under this "
                + "request id.", headers: [WireHeader("x-amzn-query-error", "InternalFailure;Receiver")], cause: cause)
    }

    /// The door's refusal as SQS words it.
    static func deniedByQueue(_ refusal: AWSError) -> AWSError {
        guard refusal.code == "AccessDeniedException" else { return refusal }
        var error = refusal
        error.headers.append(WireHeader("x-amzn-query-error", "AccessDenied;Sender"))
        error.message = error.message.split(separator: " ", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("sqs:") ? $0.lowercased() : String($0) }.joined(separator: " ")
        return error
    }
}
