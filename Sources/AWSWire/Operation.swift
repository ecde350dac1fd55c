// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// One AWS API action, declared once.
///
/// From this one declaration come the route, the IAM action, the event's name, its readOnly flag and category, the
/// resources that are authorized and recorded, the recorded parameters and what is kept out of them. A service lists its
/// operations in a table `static let operations: [Operation<Self>]`; `Service.init` binds them to the living service.
package struct Operation<Owner: Sendable>: Sendable {
    package typealias Resources = @Sendable (Owner, OperationRequest, Call) -> [ResourceReference]
    package typealias Conditions = @Sendable (Owner, OperationRequest, Call) async throws(AWSError) -> [ConditionKey]
    package typealias Perform = @Sendable (Owner, OperationRequest, Call) async throws(AWSError) -> OperationAnswer
    package typealias Recorded = @Sendable (OperationRequest) -> WireValue

    package var name: String
    package var traits: OperationTraits
    package var resources: Resources
    /// The condition keys that the service itself knows of a call, besides the global ones.
    package var conditions: Conditions
    /// What the event shows as requestParameters; nil: the decoded parameters with the first letter in lower case.
    package var recorded: Recorded?
    package var perform: Perform

    /// Declares an operation with a typed input and output.
    ///
    /// - Parameters:
    ///   - name: AWS's own spelling, which is also the event's name unless `traits.eventName` differs.
    ///   - access: read or write; a write opens an intent in the journal before it is performed.
    ///   - resources: what is authorized and, where the service records resources, recorded.
    ///   - perform: a method of the service, unapplied.
    package init<Input: OperationInput, Output: OperationOutput>(
        _ name: String, _ access: OperationTraits.Access, _ traits: OperationTraits = OperationTraits(),
        on resources: @escaping Resources = { _, _, _ in [] },
        conditions: @escaping Conditions = { _, _, _ in [] }, recorded: Recorded? = nil,
        perform: @escaping @Sendable (Owner) -> @Sendable (Input, Call) async throws(AWSError) -> Output
    ) {
        self.name = name
        self.traits = traits
        self.traits.access = access
        self.resources = resources
        self.conditions = conditions
        self.recorded = recorded
        self.perform = { (owner, request, call) async throws(AWSError) -> OperationAnswer in
            let input = try Input(request)
            return try await perform(owner)(input, call).answer()
        }
    }
}

/// What an operation is, apart from what it does.
package struct OperationTraits: Sendable {
    package enum Access: Sendable { case read, write }
    package enum Category: String, Sendable {
        case management = "Management"
        case data = "Data"
    }

    /// Who decides whether a call is allowed.
    package enum Authorization: Sendable {
        /// The policies in force, before the operation is performed.
        case policies
        /// A valid signature is enough (GetCallerIdentity).
        case signedOnly
        /// The operation itself, because the question is of a special kind (AssumeRole asks a trust policy).
        case operation
        /// The operation itself, by something else than a signature (AssumeRoleWithWebIdentity by a token).
        case unsigned
    }

    package var authorization: Authorization
    /// Whether the call may change anything; a write opens an intent before it is performed.
    package var access: Access
    package var category: Category
    /// The IAM action without its service prefix, where it is not the operation's name (S3's ListObjectsV2: ListBucket).
    package var iamAction: String?
    /// The event's name, where it is not the operation's (S3's ListObjectsV2 is recorded as ListObjects).
    package var eventName: String?
    /// The event's readOnly flag where it differs from the access (STS AssumeRole reads, yet hands out credentials).
    package var isReadOnly: Bool?
    /// Paths of members, in wire spelling (`AccessKey.SecretAccessKey`), replaced in the event by a fixed word.
    package var redacted: [String]
    /// Members of the input that are times, which JSON sends as epoch seconds; the event writes them out.
    package var times: [String]
    /// Whether `responseElements` shows the answer; reads never do.
    package var recordsAnswer: Bool
    /// Whether the resources stand in the event. CloudTrail's own operations have none there, S3's do.
    package var recordsResources: Bool
    /// Whether the body is handed over as a stream, instead of being read into memory first.
    package var streamsBody: Bool
    /// The most bytes a body may have when it is read into memory.
    package var bodyBytesMax: Int
    /// The event's type, where it is not AwsApiCall.
    package var eventType: String?

    package init(
        category: Category = .management, iamAction: String? = nil, eventName: String? = nil, isReadOnly: Bool? = nil,
        redacted: [String] = [], times: [String] = [], recordsAnswer: Bool = true, recordsResources: Bool = false,
        streamsBody: Bool = false, bodyBytesMax: Int = 1 << 20, authorization: Authorization = .policies,
        eventType: String? = nil
    ) {
        self.eventType = eventType
        self.authorization = authorization
        access = .read
        self.category = category
        self.iamAction = iamAction
        self.eventName = eventName
        self.isReadOnly = isReadOnly
        self.redacted = redacted
        self.times = times
        self.recordsAnswer = recordsAnswer
        self.recordsResources = recordsResources
        self.streamsBody = streamsBody
        self.bodyBytesMax = bodyBytesMax
    }
}

extension OperationTraits {
    /// Whether an operation that is not declared would read, judged by its first word (as CloudTrail's records have it).
    package static func looksReadOnly(_ name: String) -> Bool {
        ["Get", "List", "Describe", "Head", "Lookup", "BatchGet", "Search", "Select", "Test", "Simulate", "Check"]
            .contains { name.hasPrefix($0) }
    }
}

/// A resource that an operation touches: what the policy engine decides on and what the event lists.
package struct ResourceReference: Sendable, Equatable {
    /// CloudFormation's type name, for example `AWS::S3::Object`.
    package var type: String
    package var arn: String
    /// Account that owns it, where it is known.
    package var accountID: String?
    /// Whether `arn` is a prefix (S3 ListObjects shows `ARNPrefix`).
    package var isPrefix: Bool
    /// The action that is needed on this resource, with its service prefix, where it is not the operation's own
    /// (CopyObject reads its source). Such a resource is authorized, but not shown in the event.
    package var action: String?
    /// Whether the event shows it although nothing is asked about it (the bucket of an object).
    package var isOnlyShown: Bool

    package init(
        type: String, arn: String, accountID: String? = nil, isPrefix: Bool = false, action: String? = nil,
        isOnlyShown: Bool = false
    ) {
        self.action = action
        self.isOnlyShown = isOnlyShown
        self.type = type
        self.arn = arn
        self.accountID = accountID
        self.isPrefix = isPrefix
    }
}

/// A condition key of a call, as policies ask for it (`s3:prefix`), and its value or values.
package struct ConditionKey: Sendable, Equatable {
    package var name: String
    package var values: [String]
    /// Whether the key is of the kind that can have several values (`aws:TagKeys`), whatever number it has here.
    package var isMultiValued: Bool

    package init(_ name: String, _ value: String) {
        self.name = name
        values = [value]
        isMultiValued = false
    }

    package init(_ name: String, set values: [String]) {
        self.name = name
        self.values = values
        isMultiValued = true
    }
}

/// A shape that a call brings in.
package protocol OperationInput: Sendable {
    /// Reads and checks the members.
    ///
    /// - Throws: the error that AWS documents for a missing or malformed member.
    init(_ request: OperationRequest) throws(AWSError)
}

/// A shape that a call brings back.
package protocol OperationOutput: Sendable {
    func answer() -> OperationAnswer
}

/// What the client asked, decoded by the protocol but not yet a shape.
package struct OperationRequest: Sendable {
    package var operation: String
    /// JSON members, Query parameters (dots made into structure), or for S3 the members that its route gives
    /// (`Bucket`, `Key`, then the XML document's root element, if any, under its own name).
    package var parameters: WireStructure
    package var http: WireRequest
    /// The whole body where it was read into memory, else empty.
    package var bytes: [UInt8]
    /// The verified stream where the operation's traits ask for one.
    package var body: RequestBody?

    package init(
        operation: String, parameters: WireStructure, http: WireRequest, bytes: [UInt8] = [], body: RequestBody? = nil
    ) {
        self.operation = operation
        self.parameters = parameters
        self.http = http
        self.bytes = bytes
        self.body = body
    }
}

/// A request body that has been decoded (aws-chunked) and is verified as it flows; to be consumed once.
package struct RequestBody: Sendable {
    package typealias Consumer = (ByteBuffer) async throws(AWSError) -> Void
    package typealias Source = @Sendable (Consumer) async throws(AWSError) -> Void

    /// Bytes after decoding, where the client said so.
    package let length: Int64?
    private let source: Source
    private let trailing: TrailingHeaders?

    /// - Parameter trailing: where the source leaves trailing headers at its end.
    package init(length: Int64?, trailing: TrailingHeaders? = nil, source: @escaping Source) {
        self.length = length
        self.trailing = trailing
        self.source = source
    }

    /// A body that lies in memory, and was checked.
    package static func whole(_ bytes: [UInt8]) -> RequestBody {
        RequestBody(length: Int64(bytes.count)) { consumer throws(AWSError) in
            if !bytes.isEmpty { try await consumer(ByteBuffer(bytes: bytes)) }
        }
    }

    /// The trailing headers (`x-amz-checksum-crc32` and the like), verified; empty until `consume` has returned.
    package var trailers: [WireHeader] { trailing?.all ?? [] }

    /// Hands over each piece in order.
    ///
    /// Whatever was taken counts only once this returns: the payload's hash, chunk signatures, trailing checksum and
    /// length are complete only at the end.
    ///
    /// - Throws: the signature's, the length's or the network's error, or what the consumer throws.
    package func consume(_ consumer: Consumer) async throws(AWSError) { try await source(consumer) }
}

/// What an operation answers, before the protocol writes it.
package struct OperationAnswer: Sendable {
    package enum Body: Sendable {
        case none
        /// The protocol writes the members: a JSON document, or a Query result.
        case members(WireStructure)
        /// An XML document with the named root element (S3).
        case xml(root: String, WireStructure)
        case bytes([UInt8], contentType: String)
        case stream(AnswerStream)
    }

    package var status: Int
    /// Names in lower case.
    package var headers: [WireHeader]
    package var body: Body
    /// What the event shows as responseElements (wire spelling) where it is not the body's members.
    package var recorded: WireStructure?
    /// Further members of additionalEventData.
    package var additionalEventData: WireStructure
    /// Further members of requestParameters, as the event shows them.
    package var furtherParameters = WireStructure()
    /// Who called, where the operation itself has found that out.
    package var caller: Caller?
    /// What the event says instead of what follows from the answer.
    package var event: EventForm?

    /// The event of an operation whose answer does not tell how it ended: signing in fails without an error's code.
    package struct EventForm: Sendable {
        /// The event's name, where it is another than the operation's.
        package var name: String?
        /// As CloudTrail shows them.
        package var responseElements: WireValue
        /// The event's errorMessage, which makes the call one that failed.
        package var errorMessage: String?

        package init(name: String? = nil, responseElements: WireValue, errorMessage: String? = nil) {
            self.name = name
            self.responseElements = responseElements
            self.errorMessage = errorMessage
        }
    }

    package init(
        status: Int = 200, headers: [WireHeader] = [], body: Body = .none, recorded: WireStructure? = nil,
        additionalEventData: WireStructure = WireStructure()
    ) {
        self.status = status
        self.headers = headers
        self.body = body
        self.recorded = recorded
        self.additionalEventData = additionalEventData
    }
}

/// A body that is written piece by piece, with bounded memory.
package struct AnswerStream: Sendable {
    package typealias Write = (ByteBuffer) async throws -> Void

    /// nil where it is known only at the end; the body is then sent in chunks.
    package let length: Int64?
    /// All of the body where it is at hand, to be sent together with the head.
    package let whole: ByteBuffer?
    package let write: @Sendable (_ write: Write) async throws -> Void

    package init(length: Int64?, write: @escaping @Sendable (_ write: Write) async throws -> Void) {
        self.length = length
        whole = nil
        self.write = write
    }

    package init(whole: ByteBuffer) {
        length = Int64(whole.readableBytes)
        self.whole = whole
        write = { write in try await write(whole) }
    }
}
