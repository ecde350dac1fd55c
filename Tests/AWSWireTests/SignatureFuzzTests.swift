// SPDX-License-Identifier: Apache-2.0

import AWSWire
import NIOCore
import Testing

/// Thousands of small changes to requests that botocore signed. A changed request may pass only if it still means exactly
/// what was signed.
struct SignatureFuzzTests {
    private static let seeds: [UInt64] = [1, 0x5EED, 0xCA1A_2026, 20_261_124]
    private static let roundsEach = 5000

    @Test(arguments: seeds) func `no mutation of a signed request passes`(_ seed: UInt64) throws {
        let vectors = SignatureVectors.all
        let verifier = SignatureVerifier()
        var random = SeededRandom(seed: seed)
        var refused: [Mutation: Int] = [:]
        for round in 0..<Self.roundsEach {
            let vector = vectors.cases[random.below(vectors.cases.count)]
            let original = Sent(vector)
            let mutation = Mutation.allCases[random.below(Mutation.allCases.count)]
            var mutated = original
            mutation.apply(to: &mutated, &random)
            guard accepts(mutated, vector, vectors, verifier) else {
                refused[mutation, default: 0] += 1
                continue
            }
            let before = Meaning(original, vector)
            let after = Meaning(mutated, vector)
            #expect(
                before != nil && before == after,
                "seed \(seed) round \(round) \(mutation) of \(vector.name) passed: \(mutated)")
        }
        // The test would be blind to a class of mutations of which none was ever refused.
        for mutation in Mutation.allCases {
            #expect(refused[mutation, default: 0] > 10, "\(mutation) refused \(refused[mutation, default: 0]) times")
        }
    }

    @Test func `every single byte of the signature counts`() throws {
        let vectors = SignatureVectors.all
        let verifier = SignatureVerifier()
        for vector in vectors.cases.prefix(40) {
            for index in 0..<64 {
                var sent = Sent(vector)
                let changed = flip(vector.signature, at: index)
                sent.target = sent.target.replacing(vector.signature, with: changed)
                sent.headers = sent.headers.map {
                    WireHeader($0.name, $0.value.replacing(vector.signature, with: changed))
                }
                #expect(!accepts(sent, vector, vectors, verifier))
            }
        }
    }

    private func flip(_ hex: String, at index: Int) -> String {
        var bytes = Array(hex.utf8)
        bytes[index] = bytes[index] == UInt8(ascii: "0") ? UInt8(ascii: "1") : UInt8(ascii: "0")
        return String(decoding: bytes, as: UTF8.self)
    }

    /// What the server does, whole: parse, look the key up, verify, and check the body as it flows.
    private func accepts(
        _ sent: Sent, _ vector: SignatureVectors.Case, _ vectors: SignatureVectors, _ verifier: SignatureVerifier
    ) -> Bool {
        do {
            let request = try sent.request()
            guard let presented = try PresentedSignature.parse(request), presented.accessKeyID == vectors.accessKeyID,
                presented.sessionToken == vector.token
            else { return false }
            let payload: DeclaredPayload =
                vector.isS3
                ? try .declared(by: request, presented: presented) : .hash(of: sent.body)
            let verified = try verifier.verify(
                presented, of: request, secret: vectors.secret, payload: payload, rules: vector.rules, now: vectors.now)
            var body = try PayloadVerifier(verified.payload, signature: verified, request: request)
            _ = try body.take(ByteBuffer(bytes: sent.body))
            _ = try body.finish()
            return true
        } catch {
            return false
        }
    }
}

/// A request as it goes over the wire.
private struct Sent: CustomStringConvertible {
    var method: String
    var target: String
    var headers: [WireHeader]
    var body: [UInt8]

    init(_ vector: SignatureVectors.Case) {
        method = vector.method
        target = vector.target
        headers = vector.headers.map { WireHeader($0[0], $0[1]) }
        body = Array(vector.body.utf8)
    }

    func request() throws -> WireRequest { try WireRequest(method: method, target: target, headers: headers) }

    var description: String { "\(method) \(target) \(headers.map { "\($0.name): \($0.value)" }) \(body)" }
}

/// What a request asks, in a form in which two spellings of the same thing are equal. Written without the engine's own
/// canonical form on purpose.
private struct Meaning: Equatable {
    var method: String
    var segments: [String]
    var query: [String]
    var headers: [String]
    var body: [UInt8]
    var scope: CredentialScope
    var time: Timestamp
    var expires: Int64?

    init?(_ sent: Sent, _ vector: SignatureVectors.Case) {
        guard let request = try? sent.request(), let presented = try? PresentedSignature.parse(request) else {
            return nil
        }
        method = request.method
        segments = request.rawPath.split(separator: "/", omittingEmptySubsequences: false).map { segment in
            vector.isS3 ? (try? PercentCoding.decode(segment.utf8)) ?? "damaged" : String(segment)
        }
        if !vector.isS3, request.rawPath.hasPrefix("/") { segments = Self.withoutDots(segments) }
        query = request.query.filter { $0.name != "X-Amz-Signature" }.map { "\($0.name)\u{0}\($0.value)" }.sorted()
        let covered = Set(presented.signedHeaders)
        headers = []
        for name in Set(request.headers.map(\.name)).union(covered).sorted()
        where covered.contains(name) || name.hasPrefix("x-amz-") {
            let values = request.headers.filter { $0.name == name }.map { header in
                header.value.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
            }
            headers.append("\(name): \(values.joined(separator: ","))")
        }
        let isBodyFree = vector.isS3 && presented.form == .query
        body = isBodyFree ? [] : sent.body
        scope = presented.scope
        time = presented.time
        expires = presented.expiresSeconds
    }

    private static func withoutDots(_ segments: [String]) -> [String] {
        var kept: [String] = []
        for segment in segments where segment != "" && segment != "." {
            if segment == ".." { _ = kept.popLast() } else { kept.append(segment) }
        }
        return kept + (segments.last == "" || kept.isEmpty ? ["/"] : [])
    }
}

private enum Mutation: CaseIterable {
    case method, path, query, queryAppended, queryTwin
    case headerValue, headerRemoved, headerAdded, headerTwin, headerRenamed, headersSwapped
    case signedHeaderList, scope, date, signature, sessionToken, payloadHash, body, movedToQuery

    func apply(to sent: inout Sent, _ random: inout SeededRandom) {
        switch self {
        case .method: sent.method = random.mutated(sent.method)
        case .path:
            let (path, query) = split(sent.target)
            sent.target = random.mutated(path) + query
        case .query:
            let (path, query) = split(sent.target)
            sent.target = path + random.mutated(query.isEmpty ? "?" : query)
        case .queryAppended:
            let mark = sent.target.contains("?") ? "&" : "?"
            sent.target +=
                mark
                + random.pick(["acl", "a=1", "uploads", "X-Amz-Date=20261124T201753Z", "versionId=7", "=", "x=%00"])
        case .queryTwin:
            let (path, query) = split(sent.target)
            let pairs = query.dropFirst().split(separator: "&")
            let twin = pairs.isEmpty ? "a=1" : String(pairs[random.below(pairs.count)])
            sent.target = path + (query.isEmpty ? "?" : query + "&") + twin
        case .headerValue:
            let index = random.below(sent.headers.count)
            sent.headers[index].value = random.mutated(sent.headers[index].value)
        case .headerRemoved: sent.headers.remove(at: random.below(sent.headers.count))
        case .headerAdded:
            let name = random.pick(["x-amz-acl", "x-amz-copy-source", "x-amz-meta-z", "x-amz-target", "x-amz-date"])
            sent.headers.insert(WireHeader(name, "public-read"), at: random.below(sent.headers.count + 1))
        case .headerTwin:
            var twin = sent.headers[random.below(sent.headers.count)]
            if random.below(2) == 0 { twin.value = random.mutated(twin.value) }
            sent.headers.insert(twin, at: random.below(sent.headers.count + 1))
        case .headerRenamed:
            let index = random.below(sent.headers.count)
            sent.headers[index].name = random.mutated(sent.headers[index].name).lowercased()
        case .headersSwapped:
            sent.headers.swapAt(random.below(sent.headers.count), random.below(sent.headers.count))
            let index = random.below(sent.headers.count)
            sent.headers[index].name = random.pick(["host", "x-amz-date", "x-amz-meta-a"])
        case .signedHeaderList: replaceIn("SignedHeaders=", &sent, &random)
        case .scope: replaceIn("Credential=", &sent, &random)
        case .date:
            if let index = sent.headers.firstIndex(where: { $0.name == "x-amz-date" || $0.name == "date" }) {
                sent.headers[index].value = random.mutated(sent.headers[index].value)
            } else {
                replaceIn("X-Amz-Date=", &sent, &random)
            }
        case .signature: replaceIn("Signature=", &sent, &random)
        case .sessionToken:
            if let index = sent.headers.firstIndex(where: { $0.name == "x-amz-security-token" }) {
                sent.headers[index].value = random.mutated(sent.headers[index].value)
            } else {
                sent.headers.append(WireHeader("x-amz-security-token", "IQoJb3JpZ2lu"))
            }
        case .payloadHash:
            let value = random.pick([
                "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                String(repeating: "0", count: 64), "", "unsigned-payload",
            ])
            sent.headers.removeAll { $0.name == "x-amz-content-sha256" }
            sent.headers.append(WireHeader("x-amz-content-sha256", value))
        case .body:
            sent.body = Array(random.mutated(String(decoding: sent.body, as: UTF8.self)).utf8)
        case .movedToQuery:
            if let index = sent.headers.firstIndex(where: {
                $0.name == "x-amz-date" || $0.name == "x-amz-content-sha256"
            }) {
                let header = sent.headers.remove(at: index)
                sent.target += (sent.target.contains("?") ? "&" : "?") + "X-Amz-Date=\(header.value)"
            } else {
                let (path, query) = split(sent.target)
                sent.target = path
                sent.headers.append(WireHeader("authorization", String(query.dropFirst())))
            }
        }
    }

    /// Changes the text after the marker, up to the next delimiter, wherever it stands.
    private func replaceIn(_ marker: String, _ sent: inout Sent, _ random: inout SeededRandom) {
        if let index = sent.headers.firstIndex(where: { $0.name == "authorization" }) {
            sent.headers[index].value = changed(sent.headers[index].value, marker, ",", &random)
        } else {
            sent.target = changed(sent.target, marker, "&", &random)
        }
    }

    private func changed(
        _ text: String, _ marker: String, _ delimiter: Character, _ random: inout SeededRandom
    ) -> String {
        guard let found = text.firstRange(of: marker) else { return random.mutated(text) }
        let rest = text[found.upperBound...]
        let value = rest.prefix { $0 != delimiter }
        return text[..<found.upperBound] + random.mutated(String(value)) + rest[value.endIndex...]
    }

    private func split(_ target: String) -> (String, String) {
        guard let mark = target.firstIndex(of: "?") else { return (target, "") }
        return (String(target[..<mark]), String(target[mark...]))
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
private struct SeededRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(max(1, bound))) }

    mutating func pick(_ items: [String]) -> String { items[below(items.count)] }

    private static let interesting = Array("aZ09%/.+&=;:, \t?#~-_*\"'\u{0}\u{7f}\u{e9}".utf8)

    /// The text with one small change, most often another text than before.
    mutating func mutated(_ text: String) -> String {
        var bytes = Array(text.utf8)
        let index = below(bytes.count)
        let byte = Self.interesting[below(Self.interesting.count)]
        switch below(8) {
        case 0 where !bytes.isEmpty: bytes[index] ^= UInt8(1 << below(7))
        case 1 where !bytes.isEmpty: bytes[index] = byte
        case 2 where !bytes.isEmpty: bytes.remove(at: index)
        case 3 where !bytes.isEmpty: bytes.insert(bytes[index], at: index)
        case 4 where bytes.count > 1: bytes.swapAt(index, below(bytes.count))
        case 5 where !bytes.isEmpty: bytes.removeLast(below(bytes.count) + 1)
        case 6 where !bytes.isEmpty && PercentCoding.isUnreserved(bytes[index]):
            // Another spelling of the same byte.
            bytes.replaceSubrange(index...index, with: "%\(String(bytes[index], radix: 16, uppercase: true))".utf8)
        default: bytes.insert(byte, at: bytes.isEmpty ? 0 : index)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
