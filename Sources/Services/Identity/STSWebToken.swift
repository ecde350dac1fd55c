// SPDX-License-Identifier: Apache-2.0
//
// A signed token and the keys that verify it: RFC 7515 (compact form), RFC 7517 and RFC 7518 (RS256, RS384, RS512, ES256,
// ES384, ES512).

internal import AWSWire
internal import Crypto
internal import _CryptoExtras

/// A token in compact form, its parts read, nothing of it believed.
struct WebToken: Sendable {
    let algorithm: String
    let keyID: String?
    let claims: WireStructure
    /// What the signature covers: header and claims as they were sent.
    let signed: [UInt8]
    let signature: [UInt8]

    init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let headerBytes = Base64URL.decode(parts[0]), let bytes = Base64URL.decode(parts[1]),
            let signature = Base64URL.decode(parts[2]),
            let header = try? WireValue(json: headerBytes).asStructure,
            let claims = try? WireValue(json: bytes).asStructure, let algorithm = header["alg"]?.asString,
            header["crit"] == nil
        else { return nil }
        self.algorithm = algorithm
        keyID = header["kid"]?.asString
        self.claims = claims
        signed = Array("\(parts[0]).\(parts[1])".utf8)
        self.signature = signature
    }

    /// A claim that is a time, in seconds since 1970.
    func seconds(_ name: String) -> Int64? {
        switch claims[name] {
        case .integer(let seconds): seconds
        case .number(let seconds) where abs(seconds) < 9e15: Int64(seconds)
        default: nil
        }
    }
}

/// One key of a provider's set.
struct WebKey: Sendable {
    private enum Material: Sendable {
        case rsa(_RSA.Signing.PublicKey)
        case p256(P256.Signing.PublicKey)
        case p384(P384.Signing.PublicKey)
        case p521(P521.Signing.PublicKey)
    }

    private static let rsaBitsMin = 2048

    private let id: String?
    private let algorithm: String?
    private let material: Material

    /// Nil for keys of other kinds and uses.
    init?(_ members: WireStructure) {
        guard members["use"] == nil || members["use"] == "sig" else { return nil }
        func bytes(_ name: String) -> [UInt8]? { members[name]?.asString.flatMap { Base64URL.decode($0[...]) } }
        switch members["kty"]?.asString {
        case "RSA":
            guard let n = bytes("n"), let e = bytes("e"), let key = try? _RSA.Signing.PublicKey(n: n, e: e),
                key.keySizeInBits >= Self.rsaBitsMin
            else { return nil }
            material = .rsa(key)
        case "EC":
            guard let x = bytes("x"), let y = bytes("y") else { return nil }
            let point = [0x04] + x + y
            switch members["crv"]?.asString {
            case "P-256":
                guard let key = try? P256.Signing.PublicKey(x963Representation: point) else { return nil }
                material = .p256(key)
            case "P-384":
                guard let key = try? P384.Signing.PublicKey(x963Representation: point) else { return nil }
                material = .p384(key)
            case "P-521":
                guard let key = try? P521.Signing.PublicKey(x963Representation: point) else { return nil }
                material = .p521(key)
            default: return nil
            }
        default: return nil
        }
        id = members["kid"]?.asString
        algorithm = members["alg"]?.asString
    }

    /// Whether this is the key that the token means.
    func fits(_ token: WebToken) -> Bool {
        if let wanted = token.keyID, let id, wanted != id { return false }
        if let algorithm, algorithm != token.algorithm { return false }
        switch material {
        case .rsa: return ["RS256", "RS384", "RS512"].contains(token.algorithm)
        case .p256: return token.algorithm == "ES256"
        case .p384: return token.algorithm == "ES384"
        case .p521: return token.algorithm == "ES512"
        }
    }

    func verifies(_ token: WebToken) -> Bool {
        guard fits(token) else { return false }
        switch material {
        case .rsa(let key):
            let signature = _RSA.Signing.RSASignature(rawRepresentation: token.signature)
            return switch token.algorithm {
            case "RS256":
                key.isValidSignature(signature, for: SHA256.hash(data: token.signed), padding: .insecurePKCS1v1_5)
            case "RS384":
                key.isValidSignature(signature, for: SHA384.hash(data: token.signed), padding: .insecurePKCS1v1_5)
            default:
                key.isValidSignature(signature, for: SHA512.hash(data: token.signed), padding: .insecurePKCS1v1_5)
            }
        case .p256(let key):
            guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: token.signature) else {
                return false
            }
            return key.isValidSignature(signature, for: token.signed)
        case .p384(let key):
            guard let signature = try? P384.Signing.ECDSASignature(rawRepresentation: token.signature) else {
                return false
            }
            return key.isValidSignature(signature, for: token.signed)
        case .p521(let key):
            guard let signature = try? P521.Signing.ECDSASignature(rawRepresentation: token.signature) else {
                return false
            }
            return key.isValidSignature(signature, for: token.signed)
        }
    }
}

/// Base 64 with the alphabet for URLs and no padding (RFC 4648, section 5).
enum Base64URL {
    static func decode(_ text: Substring) -> [UInt8]? {
        var plain: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "-"): plain.append(UInt8(ascii: "+"))
            case UInt8(ascii: "_"): plain.append(UInt8(ascii: "/"))
            case UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="): return nil
            default: plain.append(byte)
            }
        }
        while plain.count % 4 != 0 { plain.append(UInt8(ascii: "=")) }
        return Base64.decode(String(decoding: plain, as: UTF8.self))
    }
}
