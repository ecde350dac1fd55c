// SPDX-License-Identifier: Apache-2.0
//
// Data keys of objects whose encryption is not the store's own. Under SSE-KMS each use of a key is the caller's, made through
// S3 (`kms:ViaService`), decided by KMS and recorded there. A bucket key saves most of these uses: one data key serves a
// caller's objects of a bucket for some minutes, with the bucket in the encryption context. The right to the key is asked
// for all the same each time.
// Source: S3 User Guide, "Using server-side encryption with AWS KMS keys (SSE-KMS)", "Reducing the cost of SSE-KMS with
// Amazon S3 Bucket Keys".

internal import AWSWire
internal import Keys
internal import Synchronization

/// How a new object is encrypted, and the data key for the time of its writing.
struct NewObjectKey: Sendable {
    var encryption = ObjectEncryption.store
    /// Nil: each file makes its own.
    var dataKey: ObjectDataKey?
    /// The key that the caller brought.
    var customerKey: CustomerKey?
    /// Whether the request said nothing, and the bucket decided.
    var isDefault = false

    /// What the event of a write shows (S3 User Guide, "CloudTrail log file entries for Amazon S3").
    var recorded: WireStructure {
        let method =
            switch encryption {
            case .store: "SSE_S3"
            case .kms: "SSE_KMS"
            case .customer: "SSE_C"
            }
        return ["SSEApplied": .string(isDefault ? "Default_\(method)" : method)]
    }

    /// What a write answers.
    var headers: [WireHeader] { encryption.headers(customerKey) + encryption.contextHeaders }
}

/// In whose name a key of KMS is used.
enum KeyUser: Sendable {
    case caller(Call)
    /// A service, by the use that names it and its source.
    case service(KeyUse)

    fileprivate func use(in region: String) -> KeyUse {
        switch self {
        case .caller(let caller):
            var call = caller
            call.region = region
            return KeyUse(call: call, viaService: "s3.\(region).amazonaws.com")
        case .service(let use): return use
        }
    }

    fileprivate var isAnonymous: Bool {
        if case .caller(let call) = self { call.caller.kind == .unknown } else { false }
    }
}

extension ObjectService {
    // MARK: New objects

    /// Makes the data key of a new object.
    ///
    /// - Throws: KMS's refusal as S3 tells it; `InvalidArgument` (400) where nobody has signed or a customer's key comes
    ///   over an open line; `AccessDenied` (403) where the bucket blocks customers' keys.
    func makeKey(
        _ demand: EncryptionDemand, bucket: BucketRecord, key: String, _ call: Call
    ) async throws(AWSError) -> NewObjectKey {
        switch demand {
        case .store: return NewObjectKey()
        case .bucketDefault:
            var made = NewObjectKey()
            if let byDefault = bucket.settings.encryption, byDefault.method == .kms {
                made = try await makeKey(
                    KMSDemand(keyName: byDefault.keyName), bucket: bucket, key: key, by: .caller(call))
            }
            made.isDefault = true
            return made
        case .kms(let demand): return try await makeKey(demand, bucket: bucket, key: key, by: .caller(call))
        case .customer(let customerKey):
            if bucket.settings.encryption?.blocksCustomerKeys == true {
                throw .objectAccessDenied(
                    "Server-side encryption with customer-provided keys is blocked on this bucket.")
            }
            try checkLine(call)
            let seal = CustomerKeySeal(customerKey, salt: randomBytes(CustomerKeySeal.saltBytes))
            return NewObjectKey(
                encryption: .customer(seal), dataKey: seal.dataKey(customerKey), customerKey: customerKey)
        }
    }

    func makeKey(
        _ demand: KMSDemand, bucket: BucketRecord, key: String, by user: KeyUser
    ) async throws(AWSError) -> NewObjectKey {
        guard !user.isAnonymous else { throw .kmsNeedsSignature }
        let use = user.use(in: bucket.region)
        let usesBucketKey = demand.usesBucketKey ?? bucket.settings.encryption?.usesBucketKey ?? false
        let context = EncryptionContext.object(
            bucket: bucket.name, key: usesBucketKey ? nil : key, more: demand.context)
        do throws(AWSError) {
            let name = try await keyName(demand.keyName, use, bucket)
            let made: DataKey
            if usesBucketKey {
                made = try await bucketKey(name, context, use)
            } else {
                made = try await keys.makeDataKey(under: name, context, use)
            }
            return NewObjectKey(
                encryption: .kms(
                    SealedDataKey(
                        keyARN: made.keyARN, blob: made.blob, context: context.pairs, usesBucketKey: usesBucketKey)),
                dataKey: ObjectDataKey(bytes: made.plaintext))
        } catch {
            throw AWSError(ofKMS: error)
        }
    }

    /// The key as KMS is asked for it; the account's own for S3 is made at its first use.
    private func keyName(_ name: String?, _ use: KeyUse, _ bucket: BucketRecord) async throws(AWSError) -> String {
        guard let name, name != "alias/aws/s3" else {
            return try await keys.managedKey(of: "s3", account: use.call.accountID, region: bucket.region)
        }
        return name
    }

    private func bucketKey(
        _ name: String, _ context: EncryptionContext, _ use: KeyUse
    ) async throws(AWSError) -> DataKey {
        let arn = try? keys.usableKey(named: name, account: use.call.accountID, region: use.call.region)
        guard let arn else { return try await keys.makeDataKey(under: name, context, use) }
        let tag = BucketKeys.Tag(keyARN: arn, context: context.pairs, caller: use.call.caller.arn ?? "", blob: nil)
        if let kept = bucketKeys.find(tag, now: clock()),
            await keys.allowsUse("GenerateDataKey", ofKey: arn, context, use)
        {
            return kept
        }
        let made = try await keys.makeDataKey(under: name, context, use)
        bucketKeys.keep(made, tag, now: clock())
        return made
    }

    // MARK: Objects that are there

    /// Opens the data key of an object that is to be read, or of an upload that is to take a part.
    ///
    /// - Parameters:
    ///   - customerKey: what the request brought along.
    ///   - isPart: whether it is for a part of an upload, which S3 refuses in other words.
    /// - Returns: nil where each file has its own.
    /// - Throws: KMS's refusal as S3 tells it; `InvalidRequest` (400) for a customer's key that is missing or not asked
    ///   for, `AccessDenied` (403) for a wrong one.
    func openKey(
        of encryption: ObjectEncryption, bucket: BucketRecord, customerKey: CustomerKey?, isPart: Bool = false,
        _ call: Call
    ) async throws(AWSError) -> ObjectDataKey? {
        if case .customer(let seal) = encryption {
            guard let customerKey else {
                throw .invalidRequest(
                    isPart
                        ? "The multipart upload initiate requested encryption. Subsequent part requests must include the "
                            + "appropriate encryption parameters."
                        : "The object was stored using a form of Server Side Encryption. The correct parameters must be "
                            + "provided to retrieve the object.")
            }
            try checkLine(call)
            guard let dataKey = seal.dataKey(customerKey) else {
                if isPart {
                    throw .invalidRequest("The provided encryption parameters did not match the ones used originally.")
                }
                throw .objectAccessDenied(
                    "Requests specifying Server Side Encryption with Customer provided keys must provide the correct "
                        + "secret key.")
            }
            return dataKey
        }
        guard customerKey == nil else {
            throw .invalidRequest("The encryption parameters are not applicable to this object.")
        }
        guard case .kms(let sealed) = encryption else { return nil }
        guard call.caller.kind != .unknown else { throw .kmsNeedsSignature }
        return try await open(sealed, KeyUser.caller(call).use(in: bucket.region))
    }

    private func open(_ sealed: SealedDataKey, _ use: KeyUse) async throws(AWSError) -> ObjectDataKey {
        let context = EncryptionContext(sealed.context)
        let tag = BucketKeys.Tag(
            keyARN: sealed.keyARN, context: sealed.context, caller: use.call.caller.arn ?? "", blob: sealed.blob)
        do throws(AWSError) {
            if sealed.usesBucketKey, let kept = bucketKeys.find(tag, now: clock()),
                await keys.allowsUse("Decrypt", ofKey: sealed.keyARN, context, use)
            {
                return ObjectDataKey(bytes: kept.plaintext)
            }
            let plaintext = try await keys.openDataKey(sealed.blob, context, use)
            if sealed.usesBucketKey {
                bucketKeys.keep(
                    DataKey(plaintext: plaintext, blob: sealed.blob, keyARN: sealed.keyARN), tag, now: clock())
            }
            return ObjectDataKey(bytes: plaintext)
        } catch {
            throw AWSError(ofKMS: error)
        }
    }

    /// A customer's key must not come over an open line. A line that does not leave the machine is not open.
    private func checkLine(_ call: Call) throws(AWSError) {
        let isLocal = call.sourceAddress.hasPrefix("127.") || call.sourceAddress == "::1"
        guard call.isSecureTransport || isLocal else {
            throw .invalidArgument(
                "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure "
                    + "connection.", name: "x-amz-server-side-encryption-customer-algorithm", value: nil)
        }
    }
}

/// The data keys that serve several objects of a bucket, each for one caller and some minutes, in memory alone.
final class BucketKeys: Sendable {
    enum Limits {
        /// How long a bucket key makes or opens objects without KMS being asked again, in milliseconds.
        static let age: Int64 = 5 * 60 * 1000
        /// Most keys that are kept; beyond it the table starts anew.
        static let count = 1000
    }

    struct Tag: Sendable, Hashable {
        var keyARN: String
        var context: [String: String]
        var caller: String
        /// Nil: for new objects.
        var blob: [UInt8]?
    }

    private let kept = Mutex<[Tag: (key: DataKey, made: Int64)]>([:])

    func find(_ tag: Tag, now: Timestamp) -> DataKey? {
        kept.withLock { kept in
            guard let entry = kept[tag], (0..<Limits.age).contains(now.milliseconds - entry.made) else { return nil }
            return entry.key
        }
    }

    func keep(_ key: DataKey, _ tag: Tag, now: Timestamp) {
        kept.withLock { kept in
            if kept.count >= Limits.count { kept.removeAll() }
            kept[tag] = (key, now.milliseconds)
        }
    }
}

extension AWSError {
    static var kmsNeedsSignature: AWSError {
        .invalidArgument(
            "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.",
            name: "Authorization", value: "null")
    }

    /// KMS's error as S3 tells it: a refusal is S3's own, other errors have `KMS.` before their code.
    init(ofKMS error: AWSError) {
        switch error.code {
        case "AccessDeniedException":
            self = .objectAccessDenied(error.message)
            cause = error.cause
        case "InvalidCiphertextException":
            self = .objectFault("the data key of an object does not open under its key and context")
        default:
            self = error
            if error.isServerFault {
                if error.code == "KMSInternalException" {
                    self = .objectFault(error.cause ?? error.message)
                }
            } else {
                code = "KMS.\(error.code)"
            }
        }
    }
}
