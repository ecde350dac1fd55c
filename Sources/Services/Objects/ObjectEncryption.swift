// SPDX-License-Identifier: Apache-2.0
//
// How an object's bytes are encrypted, as its document in the catalog says it in the member `encryption`:
//
//     absent                                                             SSE-S3: each file has its own data key
//     {"key":"KEY ARN","dataKey":"BASE64","context":{...},"bucketKey":true}   SSE-KMS
//     {"salt":"BASE64","check":"BASE64"}                                 SSE-C
//
// SSE-KMS: `dataKey` is a ciphertext of KMS under that key and context, `aws:s3:arn` included. With a bucket key many
// objects of a bucket have the same one; each file still has a block key of its own (ObjectCipher).
//
// SSE-C: the customer's key is stored in no form. The data key is HKDF-SHA256 (RFC 5869) of it with 32 random bytes as the
// salt and `cairn customer data key 1` as the info; `check` is the same with `cairn customer key check 1`, by which a wrong
// key is told from damage.
//
// Source: S3 User Guide, "Using server-side encryption with AWS KMS keys (SSE-KMS)", "Reducing the cost of SSE-KMS with
// Amazon S3 Bucket Keys", "Using server-side encryption with customer-provided keys (SSE-C)".

internal import AWSWire
internal import Crypto
internal import Foundation

/// How an object is encrypted, and its data key as far as it is kept here.
enum ObjectEncryption: Sendable, Equatable {
    case store
    case kms(SealedDataKey)
    case customer(CustomerKeySeal)
}

/// A data key under a key of KMS.
struct SealedDataKey: Sendable, Equatable {
    var keyARN: String
    /// KMS's ciphertext.
    var blob: [UInt8]
    /// The encryption context with which it opens.
    var context: [String: String]
    var usesBucketKey: Bool

    /// The pairs that the caller gave.
    var callersContext: [String: String] { context.filter { $0.key != "aws:s3:arn" } }
}

/// What is kept of a customer's key: enough to know it again.
struct CustomerKeySeal: Sendable, Equatable {
    static let saltBytes = 32

    var salt: [UInt8]
    var check: [UInt8]

    init(salt: [UInt8], check: [UInt8]) {
        self.salt = salt
        self.check = check
    }

    /// - Parameter salt: 32 random bytes.
    init(_ key: CustomerKey, salt: [UInt8]) {
        self.salt = salt
        check = Self.derive(key, salt, "cairn customer key check 1")
    }

    /// The data key; nil for another key than the one that the object was put with.
    func dataKey(_ key: CustomerKey) -> ObjectDataKey? {
        let given = Self.derive(key, salt, "cairn customer key check 1")
        // Compared without telling by its time how much was right.
        let difference = zip(given, check).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) }
        guard given.count == check.count, difference == 0 else { return nil }
        return ObjectDataKey(bytes: Self.derive(key, salt, "cairn customer data key 1"))
    }

    private static func derive(_ key: CustomerKey, _ salt: [UInt8], _ info: String) -> [UInt8] {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: key.bytes), salt: salt, info: Array(info.utf8), outputByteCount: 32
        ).withUnsafeBytes { Array($0) }
    }
}

/// A key that a customer brings along with a request (SSE-C).
struct CustomerKey: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    /// 32 bytes.
    let bytes: [UInt8]
    /// Base 64 of its MD5, which answers show.
    let md5: String

    var description: String { "(customer key)" }
    var customMirror: Mirror { Mirror(self, children: []) }
}

extension ObjectEncryption {
    /// What clients are told.
    func headers(_ customerKey: CustomerKey?) -> [WireHeader] {
        let prefix = "x-amz-server-side-encryption"
        switch self {
        case .store: return [WireHeader(prefix, "AES256")]
        case .kms(let key):
            var headers = [
                WireHeader(prefix, "aws:kms"), WireHeader("\(prefix)-aws-kms-key-id", key.keyARN),
            ]
            if key.usesBucketKey { headers.append(WireHeader("\(prefix)-bucket-key-enabled", "true")) }
            return headers
        case .customer:
            var headers = [WireHeader("\(prefix)-customer-algorithm", "AES256")]
            if let customerKey { headers.append(WireHeader("\(prefix)-customer-key-md5", customerKey.md5)) }
            return headers
        }
    }

    /// What the answers of writes show besides: the encryption context that the caller gave, as it gave it.
    var contextHeaders: [WireHeader] {
        guard case .kms(let key) = self, !key.callersContext.isEmpty else { return [] }
        let pairs = key.callersContext.sorted { $0.key < $1.key }
        let json = WireValue.structure(WireStructure(pairs.map { .init($0.key, .string($0.value)) })).json
        return [WireHeader("x-amz-server-side-encryption-context", Base64.encode(json))]
    }

    /// Whether the entity tag is the MD5 of the bytes.
    var showsMD5: Bool { self == .store }

    /// How the files lie on the disk.
    var layout: Int { self == .store ? ObjectBlocks.layout : ObjectBlocks.keyedLayout }

    var stored: WireValue? {
        switch self {
        case .store: return nil
        case .kms(let key):
            var fields: WireStructure = [
                "key": .string(key.keyARN), "dataKey": .string(Base64.encode(key.blob)),
                "context": .structure(
                    WireStructure(
                        key.context.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) })),
            ]
            if key.usesBucketKey { fields.append("bucketKey", true) }
            return .structure(fields)
        case .customer(let seal):
            return .structure([
                "salt": .string(Base64.encode(seal.salt)), "check": .string(Base64.encode(seal.check)),
            ])
        }
    }

    init?(stored: WireValue) {
        guard let fields = stored.asStructure else { return nil }
        if let salt = fields["salt"]?.asString.flatMap({ Base64.decode($0) }),
            let check = fields["check"]?.asString.flatMap({ Base64.decode($0) })
        {
            self = .customer(CustomerKeySeal(salt: salt, check: check))
            return
        }
        guard let arn = fields["key"]?.asString, let blob = fields["dataKey"]?.asString.flatMap({ Base64.decode($0) }),
            let members = fields["context"]?.asStructure?.members
        else { return nil }
        var context: [String: String] = [:]
        for member in members {
            guard let value = member.value.asString else { return nil }
            context[member.name] = value
        }
        self = .kms(
            SealedDataKey(
                keyARN: arn, blob: blob, context: context, usesBucketKey: fields["bucketKey"]?.asBool ?? false))
    }
}
