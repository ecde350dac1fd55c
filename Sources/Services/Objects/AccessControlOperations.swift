// SPDX-License-Identifier: Apache-2.0
//
// Access control lists, as far as they matter where buckets are owned by one account: the canned ones are taken or refused
// as the bucket's ownership says, and reading shows the owner's full control.
// Source: S3 User Guide, "Controlling ownership of objects" and "Access control list (ACL) overview".

internal import AWSWire
internal import Storage

/// What a put of an object says of its ACL.
struct ObjectACL: Sendable, Equatable {
    var canned: String?
    /// The header of a grant, where there is one.
    var grant: String?
}

extension ObjectService {
    /// Checks the ACL that an object is to get.
    ///
    /// - Parameter action: what the caller is told that he may not do.
    /// - Throws: `AccessControlListNotSupported` (400) where the owner is enforced; `AccessDenied` (403) for public ones
    ///   that the bucket or its account blocks; `NotImplemented` (501) for those that nothing here would heed.
    func check(_ acl: ObjectACL, in bucket: BucketRecord, _ call: Call, action: String) throws(AWSError) {
        let isOwnerEnforced = bucket.settings.isOwnerEnforced
        if let grant = acl.grant {
            throw isOwnerEnforced ? .accessControlListNotSupported : .notImplemented(header: grant)
        }
        guard let canned = acl.canned, canned != "bucket-owner-full-control" else { return }
        // "private" as well: only the bucket owner's full control says nothing that ownership has not said.
        if isOwnerEnforced { throw .accessControlListNotSupported }
        if ["private", "bucket-owner-read"].contains(canned) { return }
        let isPublic = ["public-read", "public-read-write", "authenticated-read"].contains(canned)
        throw isPublic && publicAccessBlock(of: bucket).blockPublicACLs
            ? .publicACL(blockedOn: bucket, action, call) : .notImplemented(header: "x-amz-acl")
    }
}

extension ObjectService {
    static let aclOperations: [Operation<ObjectService>] = [
        Operation(
            "GetBucketAcl", .read, OperationTraits(recordsAnswer: false, recordsResources: true), on: bucketResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.getBucketAcl),
        Operation(
            "PutBucketAcl", .write, OperationTraits(recordsAnswer: false, recordsResources: true), on: bucketResource,
            recorded: ObjectRecording.parameters(document: "AccessControlPolicy"),
            perform: ObjectService.putBucketAcl),
        Operation(
            "GetObjectAcl", .read,
            OperationTraits(category: .data, recordsAnswer: false, recordsResources: true), on: objectResource,
            recorded: ObjectRecording.parameters, perform: ObjectService.getObjectAcl),
        Operation(
            "PutObjectAcl", .write,
            OperationTraits(category: .data, recordsAnswer: false, recordsResources: true), on: objectResource,
            recorded: ObjectRecording.parameters(document: "AccessControlPolicy"),
            perform: ObjectService.putObjectAcl),
    ]

    func getBucketAcl(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        var grants = [Self.fullControl(of: bucket.ownerAccount)]
        if bucket.settings.acl == "log-delivery-write" {
            let group: WireStructure = [
                "@xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance", "@xsi:type": "Group",
                "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery",
            ]
            for permission in ["WRITE", "READ_ACP"] {
                grants.append(.structure(["Grantee": .structure(group), "Permission": .string(permission)]))
            }
        }
        return Self.policy(owner: bucket.ownerAccount, grants)
    }

    func putBucketAcl(_ input: PutBucketACLInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let accountBlocks = accountBlocks
        let bucket = try bucket(input.place, call)
        try await change(input.place, call) { (settings) throws(AWSError) in
            if settings.isOwnerEnforced { throw .accessControlListNotSupported }
            let blocksPublic =
                settings.publicAccessBlock?.blockPublicACLs == true
                || accountBlocks[bucket.ownerAccount]?.blockPublicACLs == true
            let canned = try input.headers.bucketACL(
                isOwnerEnforced: false,
                publicRefusal: blocksPublic ? .publicACL(blockedOn: bucket, "s3:PutBucketAcl", call) : nil)
            if let canned {
                settings.acl = canned
            } else if let policy = input.policy {
                guard policy.isOwnersFullControl else { throw .notImplemented(member: "AccessControlList") }
                settings.acl = "private"
            } else {
                throw .malformedDocument()
            }
        }
        return ObjectAnswer()
    }

    func getObjectAcl(_ input: VersionInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place.place, call)
        _ = try await catalog.read { (snapshot) throws(AWSError) in
            try snapshot.readableObject(bucket, input.place.key, version: input.version)
        }
        return Self.policy(owner: bucket.ownerAccount, [Self.fullControl(of: bucket.ownerAccount)])
    }

    /// Takes what changes nothing, since the owner has full control already, and refuses the rest.
    func putObjectAcl(_ input: PutObjectACLInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.version.place.place, call)
        _ = try await catalog.read { (snapshot) throws(AWSError) in
            try snapshot.readableObject(bucket, input.version.place.key, version: input.version.version)
        }
        try check(input.acl, in: bucket, call, action: "s3:PutObjectAcl")
        if let policy = input.policy, !policy.isOwnersFullControl {
            throw bucket.settings.isOwnerEnforced
                ? .accessControlListNotSupported : .notImplemented(member: "AccessControlList")
        }
        return ObjectAnswer()
    }

    private static func fullControl(of account: String) -> WireValue {
        let grantee: WireStructure = [
            "@xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance", "@xsi:type": "CanonicalUser",
            "ID": .string(canonicalID(of: account)),
        ]
        return .structure(["Grantee": .structure(grantee), "Permission": "FULL_CONTROL"])
    }

    private static func policy(owner account: String, _ grants: [WireValue]) -> ObjectAnswer {
        var list = WireStructure()
        for grant in grants { list.append("Grant", grant) }
        return ObjectAnswer(
            body: .xml(
                root: "AccessControlPolicy", ["Owner": owner(account), "AccessControlList": .structure(list)]))
    }
}

/// The document of PutBucketAcl and PutObjectAcl.
struct AccessControlPolicy: Sendable {
    /// Whether it gives the owner full control, and nobody anything else.
    let isOwnersFullControl: Bool

    /// - Returns: nil where the request has no document.
    static func read(_ request: OperationRequest) throws(AWSError) -> Self? {
        guard !request.bytes.isEmpty else { return nil }
        let fields = try DocumentFields(
            request, root: "AccessControlPolicy", known: ["Owner", "AccessControlList"])
        guard let owner = try fields.fields("Owner", known: ["ID", "DisplayName"]),
            let list = try fields.fields("AccessControlList", known: ["Grant"])
        else { throw .malformedDocument() }
        var isOwners = true
        let grants = try list.all("Grant", known: ["Grantee", "Permission"])
        for grant in grants {
            let known = ["ID", "DisplayName", "URI", "EmailAddress", "type", "xsi:type"]
            guard let grantee = try grant.fields("Grantee", known: known) else { throw .malformedDocument() }
            let id = try grantee.text("ID")
            let ownerID = try owner.text("ID")
            if id == nil || id != ownerID { isOwners = false }
            if try grant.requiredText("Permission") != "FULL_CONTROL" { isOwners = false }
        }
        return Self(isOwnersFullControl: isOwners && grants.count == 1)
    }
}

struct PutBucketACLInput: OperationInput {
    let place: BucketPlace
    let headers: RequestHeaders
    let policy: AccessControlPolicy?

    init(_ request: OperationRequest) throws(AWSError) {
        place = try BucketPlace(request)
        headers = RequestHeaders(request.http)
        try headers.refuseUnbuilt()
        policy = try AccessControlPolicy.read(request)
    }
}

struct PutObjectACLInput: OperationInput {
    let version: VersionInput
    let acl: ObjectACL
    let policy: AccessControlPolicy?

    init(_ request: OperationRequest) throws(AWSError) {
        version = try VersionInput(request)
        acl = try RequestHeaders(request.http).objectACL()
        policy = try AccessControlPolicy.read(request)
        guard acl != ObjectACL() || policy != nil else { throw .malformedDocument() }
    }
}

extension AWSError {
    /// The refusal of an ACL that would open something to everyone, in S3's words.
    fileprivate static func publicACL(blockedOn bucket: BucketRecord, _ action: String, _ call: Call) -> AWSError {
        guard let caller = call.caller.arn, call.caller.accountID == bucket.ownerAccount else {
            return .objectAccessDenied()
        }
        return .objectAccessDenied(
            "User: \(caller) is not authorized to perform: \(action) on resource: \"\(bucket.arn)\" because public ACLs are "
                + "prevented by the BlockPublicAcls setting in S3 Block Public Access.")
    }
}
