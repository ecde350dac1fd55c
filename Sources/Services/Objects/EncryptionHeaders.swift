// SPDX-License-Identifier: Apache-2.0
//
// What a request says of encryption: SSE-S3, SSE-KMS (double-layer encryption is refused), SSE-C.
// Source: Amazon S3 API Reference, PutObject, GetObject, CopyObject; S3 User Guide, "Using server-side encryption with
// customer-provided keys (SSE-C)"; the words of the refusals are S3's.

internal import AWSWire

/// The encryption that a write asks for.
enum EncryptionDemand: Sendable, Equatable {
    /// Nothing is said: the bucket's default.
    case bucketDefault
    case store
    case kms(KMSDemand)
    case customer(CustomerKey)
}

/// SSE-KMS as a request or a bucket's default asks for it.
struct KMSDemand: Sendable, Equatable {
    /// Id, ARN, alias or its ARN; nil for the account's key `aws/s3`.
    var keyName: String?
    /// Pairs that are bound to the data key besides S3's own.
    var context: [String: String] = [:]
    /// Nil: as the bucket's default says.
    var usesBucketKey: Bool?
}

extension RequestHeaders {
    private static let encryption = "x-amz-server-side-encryption"

    /// The encryption that a put, a copy or a new upload asks for.
    ///
    /// - Throws: `InvalidArgument` (400), `InvalidEncryptionAlgorithmError` (400), `NotImplemented` (501).
    func encryptionDemand() throws(AWSError) -> EncryptionDemand {
        let method = nonEmpty(Self.encryption)
        if let key = try customerKey() {
            guard method == nil else {
                throw .invalidArgument(
                    "Server Side Encryption with Customer provided key is incompatible with the encryption method "
                        + "specified", name: Self.encryption, value: method)
            }
            return .customer(key)
        }
        if let method, ["aws:kms:dsse", "aws:fsx", "aws:backup"].contains(method) {
            throw .notImplemented(header: Self.encryption)
        }
        let keyName = nonEmpty("\(Self.encryption)-aws-kms-key-id")
        let context = nonEmpty("\(Self.encryption)-context")
        guard method == "aws:kms" else {
            for (name, value) in [("aws-kms-key-id", keyName), ("context", context)] where value != nil {
                throw .invalidArgument(
                    "Server Side Encryption with AWS KMS managed key requires HTTP header "
                        + "x-amz-server-side-encryption : aws:kms", name: "\(Self.encryption)-\(name)", value: value)
            }
            switch method {
            case nil: return .bucketDefault
            case "AES256": return .store
            default:
                throw .invalidArgument(
                    "The encryption method specified is not supported", name: Self.encryption, value: method)
            }
        }
        return .kms(
            KMSDemand(
                keyName: keyName, context: try context.map { (text) throws(AWSError) in try Self.context(text) } ?? [:],
                usesBucketKey: try bucketKeyEnabled()))
    }

    private func bucketKeyEnabled() throws(AWSError) -> Bool? {
        let name = "\(Self.encryption)-bucket-key-enabled"
        switch nonEmpty(name)?.lowercased() {
        case nil: return nil
        case "true": return true
        case "false": return false
        case .some(let other):
            throw .invalidArgument("The value of \(name) must be true or false", name: name, value: other)
        }
    }

    /// An encryption context: base 64 of a JSON object whose values are texts.
    private static func context(_ text: String) throws(AWSError) -> [String: String] {
        let name = "\(encryption)-context"
        let refusal = AWSError.invalidArgument(
            "The header '\(name)' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map",
            name: name, value: text)
        guard let bytes = Base64.decode(text), let members = (try? WireValue(json: bytes))?.asStructure?.members else {
            throw refusal
        }
        var pairs: [String: String] = [:]
        for member in members {
            guard let value = member.value.asString else { throw refusal }
            guard member.name != "aws:s3:arn" else {
                throw .invalidArgument(
                    "The encryption context must not have the key aws:s3:arn, which Amazon S3 sets itself",
                    name: name, value: text)
            }
            pairs[member.name] = value
        }
        return pairs
    }

    /// The key that a customer brings along, nil where there is none.
    ///
    /// - Parameter isSource: whether it is that of a copy's source.
    /// - Throws: `InvalidEncryptionAlgorithmError` (400), `InvalidArgument` (400) for what is missing or does not match.
    func customerKey(ofSource isSource: Bool = false) throws(AWSError) -> CustomerKey? {
        let prefix = "x-amz-\(isSource ? "copy-source-" : "")server-side-encryption-customer-"
        let algorithm = nonEmpty(prefix + "algorithm")
        let key = nonEmpty(prefix + "key")
        let md5 = nonEmpty(prefix + "key-md5")
        guard algorithm != nil || key != nil || md5 != nil else { return nil }
        let subject = "Requests specifying Server Side Encryption with Customer provided keys must provide "
        guard let algorithm else {
            throw .invalidArgument(
                subject + "a valid encryption algorithm.", name: prefix + "algorithm", value: nil)
        }
        guard algorithm == "AES256" else {
            throw AWSError(
                "InvalidEncryptionAlgorithmError",
                "The encryption request you specified is not valid. The valid value is AES256.",
                details: [
                    .init("ArgumentName", .string(prefix + "algorithm")), .init("ArgumentValue", .string(algorithm)),
                ])
        }
        // The key itself stands in no answer, whatever is wrong with it.
        guard let key else {
            throw .invalidArgument(subject + "an appropriate secret key.", name: prefix + "key", value: nil)
        }
        guard let bytes = Base64.decode(key), bytes.count == 32 else {
            throw .invalidArgument(
                "The secret key was invalid for the specified algorithm.", name: prefix + "key", value: nil)
        }
        guard let md5 else {
            throw .invalidArgument(
                subject + "the client calculated MD5 of the secret key.", name: prefix + "key-MD5", value: nil)
        }
        guard Base64.encode(Objects.md5(bytes)) == md5 else {
            throw .invalidArgument(
                "The calculated MD5 hash of the key did not match the hash that was provided.",
                name: prefix + "key-MD5", value: md5)
        }
        return CustomerKey(bytes: bytes, md5: md5)
    }

    /// Refuses an encryption to write with, which reads and parts may not carry.
    ///
    /// - Throws: `InvalidArgument` (400).
    func refuseEncryptionMethod() throws(AWSError) {
        for name in names where name.hasPrefix(Self.encryption) && !name.hasPrefix("\(Self.encryption)-customer-") {
            throw .invalidArgument(
                "\(name) header is not supported for this operation.", name: name, value: value(name))
        }
    }
}
