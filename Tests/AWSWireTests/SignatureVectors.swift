// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Testing

/// What botocore's signers made of many odd requests; `Vectors/make_vectors.py` says how.
struct SignatureVectors: Decodable {
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        var name: String
        var family: String
        var service: String
        var region: String
        var method: String
        var target: String
        var headers: [[String]]
        var body: String
        var token: String?
        var canonicalRequest: String
        var stringToSign: String
        var signature: String

        var testDescription: String { name }
        var isS3: Bool { family == "s3" }

        func request() throws -> WireRequest {
            try WireRequest(method: method, target: target, headers: headers.map { WireHeader($0[0], $0[1]) })
        }

        var rules: SignatureRules { SignatureRules(family: isS3 ? .s3 : .query, service: service, region: region) }
    }

    var accessKeyID: String
    var secretKey: String
    var time: String
    var cases: [Case]

    static let all: SignatureVectors = {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Vectors/signatures.json")
        do {
            return try JSONDecoder().decode(SignatureVectors.self, from: Data(contentsOf: file))
        } catch {
            // No case is as good as a failure: a test asks for their number.
            return SignatureVectors(accessKeyID: "", secretKey: "", time: "", cases: [])
        }
    }()

    var secret: SecretKey { SecretKey(secretKey) }
    var now: Timestamp { Timestamp(iso8601: time) ?? Timestamp(seconds: 0) }
}
