// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Keys
package import Policies
package import Storage
internal import Synchronization

/// S3: buckets, their policies, and objects.
///
/// Buckets are kept in memory as well as in the catalog, because authorization and recording ask for a bucket's owner on
/// each call; objects are looked up in the catalog. Every object is owned by its bucket's owner (S3's default since
/// 2023, bucket owner enforced) unless the bucket's settings say otherwise.
package final class ObjectService: Sendable {
    /// Every bound of the room.
    package enum Limits {
        /// Bytes of an object that is put in one piece, and of the source of a copy: 5 GiB.
        package static let objectBytes: Int64 = 5 << 30
        /// Bytes of an object that is uploaded in parts: 5 TiB.
        package static let multipartBytes: Int64 = 5 << 40
        /// Bytes of each part but the last.
        package static let partBytesMin: Int64 = 5 << 20
        /// Bytes of the document of CompleteMultipartUpload: 10,000 parts with a checksum each.
        package static let completeDocumentBytes = 4 << 20
        /// Bytes of a key in UTF-8.
        package static let keyBytes = 1024
        /// Bytes of user metadata, names and values together.
        package static let metadataBytes = 2048
        /// Buckets of an account.
        package static let buckets = 10_000
        /// Keys and common prefixes of one page of a listing, and keys of one DeleteObjects.
        package static let pageKeys = 1000
        /// Bytes of the document of DeleteObjects.
        package static let deleteDocumentBytes = 4 << 20
        /// Compiled bucket policies that are kept; beyond it the cache starts anew.
        package static let compiledPolicies = 1000
        /// Bytes of a bucket policy.
        package static let policyBytes = 20 * 1024
    }

    /// All operations that are built.
    package static let operations: [Operation<ObjectService>] =
        (bucketOperations + policyOperations + settingOperations + encryptionOperations + unconfiguredOperations
        + listingOperations + nothingConfiguredOperations + notificationOperations + objectOperations + lockOperations
        + aclOperations
        + taggingOperations
        + multipartOperations + restoreOperations + lifecycleOperations + accountOperations).map { declared in
            // S3's condition keys are the same for all of its operations.
            var operation = declared
            operation.conditions = conditions
            return operation
        }

    /// Gives what an organization's policies say of what an account owns: resource control policies, and the names of those
    /// that cannot be read.
    package typealias Controls = @Sendable (_ account: String) -> PoliciesInForce

    let catalog: Catalog
    let files: ObjectFiles
    let keys: KeyService
    let bucketKeys = BucketKeys()
    let buckets: BucketTable
    let accountBlocks: AccountBlocks
    let controls: Controls
    let principals: PrincipalDirectory
    let clock: Clock
    /// By their texts, so that a policy that was replaced is never found.
    let compiledPolicies = Mutex<[String: StoredPolicy]>([:])
    /// By bucket.
    let lifecycleWalks = Mutex<[String: KnownWalk]>([:])
    let randomBytes: @Sendable (Int) -> [UInt8]
    private let baseHosts: [String]
    /// By the service in their ARNs.
    let destinations: [String: any NotificationDestination]

    /// Opens the room: makes its folder, removes what a crash left half-written, and reads the buckets.
    ///
    /// - Parameters:
    ///   - directory: the folder of object files.
    ///   - keys: seals the data keys of objects, under the store's key or one of KMS.
    ///   - baseHosts: host names (no ports) in front of which a bucket's name may stand, besides `localhost`.
    ///   - randomBytes: cryptographic randomness, for names of files, versions and uploads.
    ///   - fault: fails steps on the disk, for tests; the real disk is `{ _ in nil }`.
    ///   - storage: how the bytes of new objects are kept.
    ///   - destinations: whom buckets can notify, by the service in their ARNs (`sns`, `sqs`).
    ///   - controls: asked when a service acts in its own name.
    ///   - principals: the users and roles that bucket policies name.
    /// - Throws: `ObjectFileError` when the folder cannot be used, `AWSError` when the catalog cannot be read.
    package static func open(
        catalog: Catalog, directory: String, keys: KeyService, baseHosts: [String], clock: @escaping Clock,
        randomBytes: @escaping @Sendable (Int) -> [UInt8], fault: @escaping FileFault,
        destinations: [String: any NotificationDestination] = [:], storage: ObjectStorage = ObjectStorage(),
        controls: @escaping Controls = { _ in PoliciesInForce() }, principals: PrincipalDirectory = .none
    ) async throws -> ObjectService {
        let files = try ObjectFiles(
            directory: directory, keys: keys, storage: storage, randomBytes: randomBytes, fault: fault)
        return ObjectService(
            catalog: catalog, files: files, keys: keys, buckets: try await BucketTable.load(from: catalog),
            accountBlocks: try await AccountBlocks.load(from: catalog), controls: controls, principals: principals,
            clock: clock,
            randomBytes: randomBytes, baseHosts: baseHosts, destinations: destinations)
    }

    private init(
        catalog: Catalog, files: ObjectFiles, keys: KeyService, buckets: BucketTable, accountBlocks: AccountBlocks,
        controls: @escaping Controls, principals: PrincipalDirectory, clock: @escaping Clock,
        randomBytes: @escaping @Sendable (Int) -> [UInt8],
        baseHosts: [String],
        destinations: [String: any NotificationDestination]
    ) {
        self.catalog = catalog
        self.files = files
        self.keys = keys
        self.buckets = buckets
        self.accountBlocks = accountBlocks
        self.controls = controls
        self.principals = principals
        self.clock = clock
        self.randomBytes = randomBytes
        self.baseHosts = baseHosts
        self.destinations = destinations
    }

    /// Documents of the catalog that hold the bytes of objects: what damages one of them concerns that object alone.
    package static var contentKeys: CatalogKey { CatalogKey.prefix("object-file") }

    /// The service as the gate calls it.
    package var service: Service {
        let baseHosts = baseHosts
        return Service(
            "s3", .restXML, owner: self, operations: Self.operations,
            route: { (request) throws(AWSError) -> RoutedOperation in
                var routed = try ObjectRoutes.route(request, baseHosts: baseHosts)
                routed.eventName = ObjectRecording.eventName(of: routed.operation)
                return routed
            }, recorded: ObjectRecording.parameters)
    }

    /// Removes object files that no object refers to, which a crash may leave; calls may go on meanwhile.
    ///
    /// - Returns: how many were removed.
    @discardableResult
    package func sweep() async throws -> Int {
        try await files.sweep { (ids) throws(AWSError) -> Set<String> in
            try await self.catalog.read { (snapshot) throws(AWSError) -> Set<String> in
                var named: Set<String> = []
                for id in ids where try snapshot.has(ObjectRecord.fileKey(id)) { named.insert(id) }
                return named
            }
        }
    }

    // MARK: What all operations share

    /// An entity tag that says nothing of the bytes, 32 hexadecimal digits, where that must not be their MD5; else nil.
    func blindETag(_ encryption: ObjectEncryption) -> String? {
        encryption.showsMD5 ? nil : hexadecimal(randomBytes(16))
    }

    /// The present time as S3 keeps it: whole seconds, so that listings and headers agree.
    var now: Timestamp { Timestamp(seconds: clock().seconds) }

    /// The bucket of a call.
    ///
    /// - Parameter anyRegion: whether a signature for another region than the bucket's will do.
    /// - Throws: `NoSuchBucket` (404), `AccessDenied` (403) where `x-amz-expected-bucket-owner` names another account,
    ///   `AuthorizationHeaderMalformed` (400) for a signature of another region.
    func bucket(_ place: BucketPlace, _ call: Call, anyRegion: Bool = false) throws(AWSError) -> BucketRecord {
        guard let bucket = buckets[place.bucket] else { throw .noSuchBucket(place.bucket) }
        if let expected = place.expectedOwner, expected != bucket.ownerAccount { throw .objectAccessDenied() }
        if !anyRegion, call.caller.kind != .unknown, call.region != bucket.region {
            throw .wrongRegion(signed: call.region, bucket: bucket.region)
        }
        return bucket
    }

    /// S3's canonical user id of an account: 64 hexadecimal digits, always the same for one account.
    package static func canonicalID(of account: String) -> String {
        hexadecimal(sha256(Array("cairn canonical user of \(account)".utf8)))
    }

    static func owner(_ account: String) -> WireValue { .structure(["ID": .string(canonicalID(of: account))]) }
}

/// Where a bucket call goes.
struct BucketPlace: Sendable, Equatable {
    let bucket: String
    let expectedOwner: String?

    init(_ request: OperationRequest) throws(AWSError) {
        guard let bucket = request.parameters["Bucket"]?.asString else { throw .invalidBucketName("") }
        self.bucket = bucket
        expectedOwner = RequestHeaders(request.http).value("x-amz-expected-bucket-owner")
    }

    init(bucket: String) {
        self.bucket = bucket
        expectedOwner = nil
    }
}

/// Where an object call goes.
struct ObjectPlace: Sendable, Equatable {
    let place: BucketPlace
    let key: String

    /// - Throws: `KeyTooLongError` (400).
    init(_ request: OperationRequest) throws(AWSError) {
        place = try BucketPlace(request)
        guard let key = request.parameters["Key"]?.asString, !key.isEmpty else {
            throw .invalidArgument("The key is missing", name: "key", value: "")
        }
        self.key = try Self.checked(key)
    }

    static func checked(_ key: String) throws(AWSError) -> String {
        guard key.utf8.count <= ObjectService.Limits.keyBytes else {
            throw .keyTooLong(bytes: key.utf8.count, limit: ObjectService.Limits.keyBytes)
        }
        return key
    }
}

/// An answer of status and headers alone, or with a document.
struct ObjectAnswer: OperationOutput {
    var status = 200
    var headers: [WireHeader] = []
    var body: OperationAnswer.Body = .none
    /// Members of the event's additionalEventData.
    var recorded = WireStructure()

    func answer() -> OperationAnswer {
        OperationAnswer(status: status, headers: headers, body: body, additionalEventData: recorded)
    }
}
