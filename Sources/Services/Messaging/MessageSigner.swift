// SPDX-License-Identifier: Apache-2.0
//
// The signature in what SNS sends, and the certificate by which it is checked.
// Source: Amazon SNS Developer Guide, "Verifying the signatures of Amazon SNS messages". Version 1 is RSA (PKCS#1 v1.5, RFC
// 8017 section 8.2) over SHA-1, version 2 over SHA-256. The certificate is X.509 version 3 in DER (RFC 5280, section 4.1;
// ITU-T X.690), signed by its own key.
//
//     ("topic-signing-key")     {"format":1,"key":BASE64 sealed,"certificate":BASE64 DER}

internal import AWSWire
internal import Crypto
internal import Storage
internal import _CryptoExtras

/// Signs messages with the server's own key.
struct MessageSigner: Sendable {
    static let key = CatalogKey("topic-signing-key")
    private static let context = "topic signing key"

    private let privateKey: _RSA.Signing.PrivateKey
    /// X.509 in DER.
    let certificate: [UInt8]

    /// The path of the certificate, which its content names.
    var path: String {
        "/SimpleNotificationService-\(hexadecimal(SHA256.hash(data: certificate).prefix(16))).pem"
    }

    var pem: String {
        let text = Array(Base64.encode(certificate).utf8)
        let lines = stride(from: 0, to: text.count, by: 64).map {
            String(decoding: text[$0..<min($0 + 64, text.count)], as: UTF8.self)
        }
        return "-----BEGIN CERTIFICATE-----\n" + lines.joined(separator: "\n") + "\n-----END CERTIFICATE-----\n"
    }

    /// The signer that the catalog has; the first time makes one, which takes up to some hundred milliseconds.
    static func open(
        _ catalog: Catalog, secret: RootSecret, now: Timestamp, randomBytes: (Int) -> [UInt8]
    ) async throws(AWSError) -> MessageSigner {
        if let known = try await load(catalog, secret: secret) { return known }
        do {
            let privateKey = try _RSA.Signing.PrivateKey(keySize: .bits2048)
            let certificate = try Certificate.make(for: privateKey, now: now, serial: randomBytes(8))
            let sealed = try secret.seal(Array(privateKey.derRepresentation), context: context)
            let document = WireValue.structure([
                "format": 1, "key": .string(Base64.encode(sealed)), "certificate": .string(Base64.encode(certificate)),
            ]).json
            try await catalog.write { transaction throws(AWSError) in try transaction.put(key, document) }
            return MessageSigner(privateKey: privateKey, certificate: certificate)
        } catch let error as AWSError {
            throw error
        } catch {
            throw .topicFault("the key that signs messages could not be made: \(error)")
        }
    }

    /// The signer that the catalog has; nil before the first message.
    static func load(_ catalog: Catalog, secret: RootSecret) async throws(AWSError) -> MessageSigner? {
        guard let document = try await catalog.read({ snapshot throws(AWSError) in try snapshot.get(key) }) else {
            return nil
        }
        return try MessageSigner(document.value, secret)
    }

    private init(privateKey: _RSA.Signing.PrivateKey, certificate: [UInt8]) {
        self.privateKey = privateKey
        self.certificate = certificate
    }

    private init(_ document: [UInt8], _ secret: RootSecret) throws(AWSError) {
        do {
            guard let fields = try WireValue(json: document).asStructure, fields["format"] == 1,
                let sealed = fields["key"]?.asString.flatMap({ Base64.decode($0) }),
                let certificate = fields["certificate"]?.asString.flatMap({ Base64.decode($0) })
            else { throw AWSError.topicFault("the catalog's document of the key that signs messages is damaged") }
            privateKey = try _RSA.Signing.PrivateKey(
                derRepresentation: secret.open(sealed, context: Self.context))
            self.certificate = certificate
        } catch let error as AWSError {
            throw error
        } catch {
            throw .topicFault("the key that signs messages cannot be read: \(error)")
        }
    }

    /// The signature of a message in base64.
    ///
    /// - Parameter members: those that are signed; the message's other members are not here.
    func sign(_ members: [String: String], version: String) throws(AWSError) -> String {
        let text = Array(Self.signedText(members).utf8)
        do {
            let signature =
                version == "2"
                ? try privateKey.signature(for: SHA256.hash(data: text), padding: .insecurePKCS1v1_5)
                : try privateKey.signature(for: Insecure.SHA1.hash(data: text), padding: .insecurePKCS1v1_5)
            return Base64.encode(Array(signature.rawRepresentation))
        } catch {
            throw .topicFault("a message could not be signed: \(error)")
        }
    }

    /// Names and values, a line each, in the order of the names.
    static func signedText(_ members: [String: String]) -> String {
        members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map { "\($0.key)\n\($0.value)\n" }
            .joined()
    }
}

/// A certificate for a key, by the key itself.
private enum Certificate {
    private static let years: Int64 = 20

    static func make(
        for key: _RSA.Signing.PrivateKey, now: Timestamp, serial: [UInt8]
    ) throws -> [UInt8] {
        // sha256WithRSAEncryption, with its NULL.
        let algorithm = sequence([
            tagged(0x06, [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0B]), tagged(0x05, []),
        ])
        let name = sequence([
            tagged(0x31, sequence([tagged(0x06, [0x55, 0x04, 0x03]), tagged(0x0C, Array("sns.amazonaws.com".utf8))]))
        ])
        let validity = sequence([
            time(now.adding(seconds: -86_400)), time(now.adding(seconds: years * 365 * 86_400)),
        ])
        let certified = sequence([
            tagged(0xA0, tagged(0x02, [2])), tagged(0x02, [1] + serial), algorithm, name, validity, name,
            Array(key.publicKey.derRepresentation),
        ])
        let signature = try key.signature(for: SHA256.hash(data: certified), padding: .insecurePKCS1v1_5)
        return sequence([certified, algorithm, tagged(0x03, [0] + Array(signature.rawRepresentation))])
    }

    /// UTCTime until 2049, GeneralizedTime after it (RFC 5280, section 4.1.2.5).
    private static func time(_ time: Timestamp) -> [UInt8] {
        let digits = time.iso8601Basic.filter { $0 != "T" }
        return CalendarTime(time).year < 2050
            ? tagged(0x17, Array(digits.dropFirst(2).utf8)) : tagged(0x18, Array(digits.utf8))
    }

    private static func sequence(_ parts: [[UInt8]]) -> [UInt8] { tagged(0x30, parts.flatMap { $0 }) }

    private static func tagged(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        var length: [UInt8] = []
        if content.count < 128 {
            length = [UInt8(content.count)]
        } else {
            var rest = content.count
            while rest > 0 {
                length.insert(UInt8(rest & 0xFF), at: 0)
                rest >>= 8
            }
            length.insert(0x80 | UInt8(length.count), at: 0)
        }
        return [tag] + length + content
    }
}
