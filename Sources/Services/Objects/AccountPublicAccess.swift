// SPDX-License-Identifier: Apache-2.0
//
// S3 Block Public Access of a whole account (botocore's model s3control/2018-08-20; S3 User Guide, "Blocking public access to
// your Amazon S3 storage"). In the catalog: document `account-public-access-block` ACCOUNT, JSON: the four flags in the order
// of BucketSettings. For each bucket the most restrictive combination of its own flags and its account's counts.
//
// Requests are `/v20180820/configuration/publicAccessBlock` with the account in `x-amz-account-id`; clients put it in front of
// the host's name as well (`123456789012.s3-control.us-east-1.amazonaws.com`), which tells nothing more.

internal import AWSWire
internal import Storage
internal import Synchronization

/// The blocks of all accounts in memory, following the catalog.
final class AccountBlocks: Sendable {
    private struct Row {
        var number: UInt64
        var block: BucketSettings.PublicAccessBlock?
    }

    private struct State {
        var rows: [String: Row] = [:]
        var next: UInt64 = 1
    }

    private let state = Mutex(State())

    private static let prefix = "account-public-access-block"

    static func load(from catalog: Catalog) async throws(AWSError) -> AccountBlocks {
        let documents = try await catalog.read { (snapshot) throws(AWSError) in
            try snapshot.scan(prefix: CatalogKey.prefix(prefix))
        }
        let blocks = AccountBlocks()
        for document in documents {
            let account = document.key.components.last ?? ""
            guard let stored = try? WireValue(json: document.value),
                let block = BucketSettings.PublicAccessBlock(stored: stored)
            else { throw .objectFault("the catalog's document of the public access block of \(account) is damaged") }
            blocks.state.withLock { $0.rows[account] = Row(number: 0, block: block) }
        }
        return blocks
    }

    subscript(account: String) -> BucketSettings.PublicAccessBlock? { state.withLock { $0.rows[account]?.block } }

    /// Sets or removes an account's block, in the catalog and, once that is durable, here.
    ///
    /// Transactions run one at a time; each change takes a number inside its own, so that two of them are applied here in
    /// the order in which they were committed.
    func set(
        _ block: BucketSettings.PublicAccessBlock?, of account: String, in catalog: Catalog
    ) async throws(AWSError) {
        let number = try await catalog.write { (transaction) throws(AWSError) -> UInt64 in
            let key = CatalogKey(Self.prefix, account)
            if let block {
                try transaction.put(key, block.stored.json)
            } else {
                try transaction.delete(key)
            }
            return self.state.withLock { state in
                defer { state.next += 1 }
                return state.next
            }
        }
        state.withLock { state in
            if number > state.rows[account]?.number ?? 0 { state.rows[account] = Row(number: number, block: block) }
        }
    }
}

extension ObjectService {
    static let accountOperations: [Operation<ObjectService>] = [
        Operation(
            "GetAccountPublicAccessBlock", .read, OperationTraits(recordsAnswer: false),
            recorded: ObjectRecording.parameters, perform: ObjectService.getAccountPublicAccessBlock),
        Operation(
            "PutAccountPublicAccessBlock", .write, OperationTraits(recordsAnswer: false),
            recorded: ObjectRecording.parameters(document: "PublicAccessBlockConfiguration"),
            perform: ObjectService.putAccountPublicAccessBlock),
        Operation(
            "DeleteAccountPublicAccessBlock", .write,
            OperationTraits(iamAction: "PutAccountPublicAccessBlock", recordsAnswer: false),
            recorded: ObjectRecording.parameters, perform: ObjectService.deleteAccountPublicAccessBlock),
    ]

    /// What is blocked on a bucket: by its own settings or by its account's.
    func publicAccessBlock(of bucket: BucketRecord) -> BucketSettings.PublicAccessBlock {
        let own = bucket.settings.publicAccessBlock ?? BucketSettings.PublicAccessBlock()
        guard let account = accountBlocks[bucket.ownerAccount] else { return own }
        return own.joined(with: account)
    }

    func getAccountPublicAccessBlock(_ input: AccountInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try input.check(call)
        guard let block = accountBlocks[input.account] else {
            throw AWSError(
                "NoSuchPublicAccessBlockConfiguration", status: 404,
                "The public access block configuration was not found",
                details: [.init("AccountId", .string(input.account))])
        }
        return ObjectAnswer(body: .xml(root: "PublicAccessBlockConfiguration", block.members))
    }

    func putAccountPublicAccessBlock(
        _ input: AccountBlockInput, _ call: Call
    ) async throws(AWSError) -> ObjectAnswer {
        try input.account.check(call)
        try await accountBlocks.set(input.block, of: input.account.account, in: catalog)
        return ObjectAnswer()
    }

    func deleteAccountPublicAccessBlock(_ input: AccountInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try input.check(call)
        try await accountBlocks.set(nil, of: input.account, in: catalog)
        return ObjectAnswer(status: 204)
    }
}

struct AccountInput: OperationInput {
    let account: String

    /// - Throws: `InvalidRequest` (400) where `x-amz-account-id` is no account.
    init(_ request: OperationRequest) throws(AWSError) {
        let account = request.http.header(ObjectRoutes.accountHeader) ?? ""
        guard account.utf8.count == 12, account.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw AWSError("InvalidRequest", "\(ObjectRoutes.accountHeader) must be an account's id, 12 digits.")
        }
        self.account = account
    }

    /// - Throws: `AccessDenied` (403) for another account than the caller's.
    func check(_ call: Call) throws(AWSError) {
        guard account == call.accountID else { throw .objectAccessDenied() }
    }
}

struct AccountBlockInput: OperationInput {
    let account: AccountInput
    let block: BucketSettings.PublicAccessBlock

    init(_ request: OperationRequest) throws(AWSError) {
        account = try AccountInput(request)
        try ChecksumDemand(RequestHeaders(request.http)).verify(request.bytes)
        block = try BucketSettings.PublicAccessBlock.read(request)
    }
}

extension BucketSettings.PublicAccessBlock {
    /// What either blocks.
    func joined(with other: Self) -> Self {
        Self(
            blockPublicACLs: blockPublicACLs || other.blockPublicACLs,
            ignorePublicACLs: ignorePublicACLs || other.ignorePublicACLs,
            blockPublicPolicy: blockPublicPolicy || other.blockPublicPolicy,
            restrictPublicBuckets: restrictPublicBuckets || other.restrictPublicBuckets)
    }

    /// The members of its document, in S3's order.
    var members: WireStructure {
        [
            "BlockPublicAcls": .bool(blockPublicACLs), "IgnorePublicAcls": .bool(ignorePublicACLs),
            "BlockPublicPolicy": .bool(blockPublicPolicy), "RestrictPublicBuckets": .bool(restrictPublicBuckets),
        ]
    }

    var stored: WireValue {
        .list([
            .bool(blockPublicACLs), .bool(ignorePublicACLs), .bool(blockPublicPolicy), .bool(restrictPublicBuckets),
        ])
    }

    init?(stored: WireValue) {
        let flags = stored.asList?.compactMap(\.asBool) ?? []
        guard flags.count == 4 else { return nil }
        self.init(
            blockPublicACLs: flags[0], ignorePublicACLs: flags[1], blockPublicPolicy: flags[2],
            restrictPublicBuckets: flags[3])
    }
}
