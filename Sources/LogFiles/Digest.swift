// SPDX-License-Identifier: Apache-2.0
//
// A digest lists the log files that were delivered between two times, with their hashes, and carries the previous
// digest's hash and signature (CloudTrail User Guide, "CloudTrail digest file structure"). Members, in this order:
//
//     awsAccountId, digestStartTime, digestEndTime, digestS3Bucket, digestS3Object, digestPublicKeyFingerprint,
//     digestSignatureAlgorithm, newestEventTime, oldestEventTime (both null when there are no log files),
//     previousDigestS3Bucket, previousDigestS3Object, previousDigestHashValue, previousDigestHashAlgorithm,
//     previousDigestSignature (all five null where a chain begins),
//     logFiles: [{s3Bucket, s3Object, hashValue, hashAlgorithm, newestEventTime, oldestEventTime}]
//
// Signed is (same guide, "Custom implementations of CloudTrail log file integrity validation")
//
//     digestEndTime LF digestS3Bucket/digestS3Object LF hex(sha256(digest, uncompressed)) LF previousDigestSignature|null
//
// by RSA PKCS#1 v1.5 with SHA-256; the signature lies as hex in the object's metadata.

internal import Crypto

/// The document that proves which log files were delivered in a span of time.
package struct Digest: Sendable, Equatable {
    /// One delivered log file.
    package struct File: Sendable, Equatable {
        package var bucket: String
        package var key: String
        /// SHA-256 of the uncompressed bytes, lower-case hex.
        package var hash: String
        /// ISO 8601, whole seconds, Z.
        package var newestEventTime: String
        package var oldestEventTime: String

        package init(bucket: String, key: String, hash: String, newestEventTime: String, oldestEventTime: String) {
            self.bucket = bucket
            self.key = key
            self.hash = hash
            self.newestEventTime = newestEventTime
            self.oldestEventTime = oldestEventTime
        }
    }

    /// The digest before this one.
    package struct Previous: Sendable, Equatable {
        package var bucket: String
        package var key: String
        /// SHA-256 of its uncompressed bytes, lower-case hex.
        package var hash: String
        /// Lower-case hex.
        package var signature: String

        package init(bucket: String, key: String, hash: String, signature: String) {
            self.bucket = bucket
            self.key = key
            self.hash = hash
            self.signature = signature
        }
    }

    /// As the digest and the metadata name it.
    package static let signatureAlgorithm = "SHA256withRSA"
    /// As the digest names it.
    package static let hashAlgorithm = "SHA-256"
    /// The names of the object's metadata, without `x-amz-meta-`.
    package static let signatureMetadata = "signature"
    package static let signatureAlgorithmMetadata = "signature-algorithm"

    /// Twelve digits.
    package var account: String
    /// ISO 8601, whole seconds, Z; the start belongs to the span, the end does not.
    package var startTime: String
    package var endTime: String
    /// Where the digest itself lies; the validator checks that it does.
    package var bucket: String
    package var key: String
    /// Of the public key that verifies the signature.
    package var fingerprint: String
    /// Nil where a chain begins.
    package var previous: Previous?
    /// Delivered in the span, in the order of their keys.
    package var files: [File]

    package init(
        account: String, startTime: String, endTime: String, bucket: String, key: String, fingerprint: String,
        previous: Previous?, files: [File]
    ) {
        self.account = account
        self.startTime = startTime
        self.endTime = endTime
        self.bucket = bucket
        self.key = key
        self.fingerprint = fingerprint
        self.previous = previous
        self.files = files
    }

    /// The document's bytes, on one line; the same for equal digests.
    package var content: [UInt8] {
        var json = JSONText()
        json.raw("{")
        json.member("awsAccountId", account)
        json.member("digestStartTime", startTime)
        json.member("digestEndTime", endTime)
        json.member("digestS3Bucket", bucket)
        json.member("digestS3Object", key)
        json.member("digestPublicKeyFingerprint", fingerprint)
        json.member("digestSignatureAlgorithm", Self.signatureAlgorithm)
        json.member("newestEventTime", files.map(\.newestEventTime).max())
        json.member("oldestEventTime", files.map(\.oldestEventTime).min())
        json.member("previousDigestS3Bucket", previous?.bucket)
        json.member("previousDigestS3Object", previous?.key)
        json.member("previousDigestHashValue", previous?.hash)
        json.member("previousDigestHashAlgorithm", previous.map { _ in Self.hashAlgorithm })
        json.member("previousDigestSignature", previous?.signature)
        json.raw(",\"logFiles\":[")
        for (index, file) in files.enumerated() {
            json.raw(index == 0 ? "{" : ",{")
            json.member("s3Bucket", file.bucket)
            json.member("s3Object", file.key)
            json.member("hashValue", file.hash)
            json.member("hashAlgorithm", Self.hashAlgorithm)
            json.member("newestEventTime", file.newestEventTime)
            json.member("oldestEventTime", file.oldestEventTime)
            json.raw("}")
        }
        json.raw("]}")
        return json.bytes
    }

    /// SHA-256 of `content`, lower-case hex.
    package static func hash(of content: [UInt8]) -> String { SHA256.hash(data: content).hex }

    /// The text that is signed, for this digest's content.
    package func stringToSign(content: [UInt8]) -> String {
        "\(endTime)\n\(bucket)/\(key)\n\(Self.hash(of: content))\n\(previous?.signature ?? "null")"
    }
}

/// Writes the few JSON forms that a digest has.
private struct JSONText {
    var bytes: [UInt8] = []

    mutating func raw(_ text: String) { bytes.append(contentsOf: text.utf8) }

    mutating func member(_ name: String, _ value: String?) {
        if bytes.last != UInt8(ascii: "{") { raw(",") }
        raw("\"\(name)\":")
        if let value { string(value) } else { raw("null") }
    }

    private mutating func string(_ text: String) {
        let hex = Array("0123456789abcdef".utf8)
        raw("\"")
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0..<0x20:
                raw("\\u00")
                bytes.append(hex[Int(byte >> 4)])
                bytes.append(hex[Int(byte & 15)])
            default: bytes.append(byte)
            }
        }
        raw("\"")
    }
}
