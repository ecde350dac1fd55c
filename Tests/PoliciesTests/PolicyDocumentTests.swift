// SPDX-License-Identifier: Apache-2.0

import Policies
import PolicyCases
import Testing

/// A document that is refused, or one that is not.
struct DocumentCase: Sendable, CustomTestStringConvertible {
    let name: String
    let kind: PolicyKind
    let text: [UInt8]
    let bucket: String?
    /// Nil if the document is taken.
    let message: String?
    let code: String?
    let position: Int?

    var testDescription: String { name }

    static func all(in file: String) throws -> [DocumentCase] {
        try CaseFile.read(file).map { object in
            guard let name = object["name"] as? String, let source = object["source"] as? String, !source.isEmpty,
                let document = object["document"]
            else { throw CaseFault("a case needs name, source and document") }
            return DocumentCase(
                name: name, kind: try kind(object["kind"] as? String ?? "identity"), text: try CaseFile.text(document),
                bucket: object["bucket"] as? String, message: object["message"] as? String,
                code: object["code"] as? String, position: object["position"] as? Int)
        }
    }

    private static func kind(_ name: String) throws -> PolicyKind {
        switch name {
        case "identity": .identity
        case "trust": .trust
        case "s3": .resource(.s3)
        case "kms": .resource(.kms)
        case "sns": .resource(.sns)
        case "sqs": .resource(.sqs)
        case "cloudtrail": .resource(.cloudTrail)
        case "serviceControl": .serviceControl
        case "resourceControl": .resourceControl
        default: throw CaseFault("there is no kind \(name)")
        }
    }
}

struct PolicyDocumentTests {
    @Test(arguments: try DocumentCase.all(in: "documents.json"))
    func `a document is taken or refused in AWS's words`(_ item: DocumentCase) throws {
        do {
            let document = try PolicyDocument.parse(item.text, as: item.kind)
            if let bucket = item.bucket { try BucketRules.validateBucketPolicy(document, bucket: bucket) }
            #expect(item.message == nil, "the document was taken")
        } catch {
            #expect(error.message == item.message, "\(error.detail)")
            if let code = item.code { #expect(error.code == code) }
            if let position = item.position { #expect(error.position == position, "\(error.detail)") }
            #expect(item.text.isEmpty || (0...item.text.count).contains(error.position))
        }
    }

    @Test(arguments: [
        (
            #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}"#,
            true
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":{"AWS":["111111111111","*"]},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}"#,
            true
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}"#,
            false
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*"}]}"#,
            false
        ),
        (#"{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*"}]}"#, false),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"aws:SourceVpc":"vpc-91237329"}}}]}"#,
            false
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"StringLike":{"aws:SourceVpc":"vpc-*"}}}]}"#,
            true
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}}]}"#,
            true
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"StringEqualsIfExists":{"aws:SourceVpc":"vpc-1"}}}]}"#,
            true
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"ForAllValues:StringEquals":{"aws:PrincipalOrgID":"o-1"}}}]}"#,
            true
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}]}"#,
            false
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}]}"#,
            false
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}}]}"#,
            true
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/31"]}}}]}"#,
            true
        ),
        (
            #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"aws:PrincipalAccount":"${aws:SourceAccount}"}}}]}"#,
            true
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"StringLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-west-2:123456789012:accesspoint/*"}}}]}"#,
            false
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}"#,
            true
        ),
        (
            #"{"Statement":[{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*"},{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}"#,
            true
        ),
    ])
    func `a bucket policy is public as S3 documents it`(_ text: String, _ isPublic: Bool) throws {
        #expect(try PolicyDocument.parse(Array(text.utf8), as: .resource(.s3)).isPublic == isPublic)
    }

    @Test func `principals are shown and replaced without touching the rest of the text`() throws {
        let text =
            #"{ "Version": "2012-10-17", "Statement": [ {"Effect":"Allow", "Principal": { "AWS": ["arn:aws:iam::111111111111:role/app/r", "222222222222"], "Service":"ec2.amazonaws.com" }, "Action": "sts:AssumeRole" } ] }"#
        let document = try PolicyDocument.parse(Array(text.utf8), as: .trust)
        #expect(
            document.principals.map(\.value) == [
                "arn:aws:iam::111111111111:role/app/r", "222222222222", "ec2.amazonaws.com",
            ])
        let replaced = document.text { $0.value.contains(":role/") ? "AROAROLER00000000001" : nil }
        #expect(
            String(decoding: replaced, as: UTF8.self)
                == text.replacing("arn:aws:iam::111111111111:role/app/r", with: "AROAROLER00000000001"))
        let again = try PolicyDocument.parse(replaced, as: .trust)
        #expect(again.principals.first?.value == "AROAROLER00000000001")
    }

    @Test func `a principal with control characters is written as JSON`() throws {
        let text =
            #"{"Statement":[{"Effect":"Deny","Principal":{"AWS":"x\ry\"\\\u0001"},"Action":"*","Resource":"*"}]}"#
        let document = try PolicyDocument.parse(stored: Array(text.utf8), as: .resource(.other), name: "odd")
        let again = try PolicyDocument.parse(stored: document.text { $0.value }, as: .resource(.other), name: "again")
        #expect(again.principals.map(\.value) == ["x\ry\"\\\u{1}"])
    }

    @Test func `white space counts for some limits and not for others`() throws {
        let text = Array("{ \"a\" :\n 1 }".utf8)
        #expect(PolicySizeLimit.managed.size(of: text) == 7)
        #expect(PolicySizeLimit.bucket.size(of: text) == 12)
        try PolicySizeLimit.managed.check(size: 6144, kind: .identity)
        #expect {
            try PolicySizeLimit.managed.check(size: 6145, kind: .identity)
        } throws: { error in
            let error = error as? PolicyError
            return error?.code == "LimitExceeded" && error?.message == "Cannot exceed quota for PolicySize: 6144"
        }
        #expect {
            try PolicySizeLimit.inlineRole("deployer").check(size: 10241, kind: .identity)
        } throws: { error in
            (error as? PolicyError)?.message == "Maximum policy size of 10240 bytes exceeded for role deployer"
        }
    }

    @Test func `a document that was stored under older rules is still read`() throws {
        let text = #"{"Statement":[{"Effect":"Allow","Action":"s3:Get Object","Resource":"nonsense"}]}"#
        #expect(throws: PolicyError.self) { try PolicyDocument.parse(Array(text.utf8), as: .identity) }
        #expect(try PolicyDocument.parse(stored: Array(text.utf8), as: .identity, name: "old").statementCount == 1)
    }

    @Test func `the keys that a document asks for are told`() throws {
        let text =
            #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${aws:username}/*","Condition":{"StringEqualsIgnoreCase":{"aws:ResourceTag/Owner":"${aws:PrincipalTag/Owner}"},"Bool":{"AWS:ResourceTag/owner":"true","aws:SecureTransport":"true"}}}]}"#
        let document = try PolicyDocument.parse(Array(text.utf8), as: .identity)
        #expect(document.contextKeys.first == "aws:username")
        #expect(
            Set(document.contextKeys.map { $0.lowercased() })
                == ["aws:username", "aws:resourcetag/owner", "aws:principaltag/owner", "aws:securetransport"])
        #expect(document.contextKeys.count == 4)
    }

    @Test(arguments: [32, 33, 100_000])
    func `a document that nests deeper than any policy is refused`(_ depth: Int) {
        let text = String(repeating: "[", count: depth) + String(repeating: "]", count: min(depth, 30_000))
        let error = #expect(throws: PolicyError.self) { try PolicyDocument.parse(Array(text.utf8), as: .identity) }
        #expect(error?.detail == (depth <= 32 ? "no JSON object" : "nested too deeply"))
    }

    @Test func `a document longer than any request may be is refused before it is read`() {
        let text = "{\"Statement\":[]" + String(repeating: " ", count: 131_072) + "}"
        #expect(throws: PolicyError.self) { try PolicyDocument.parse(Array(text.utf8), as: .identity) }
        #expect(throws: PolicyError.self) {
            try PolicyDocument.parse(stored: Array(text.utf8), as: .identity, name: "x")
        }
    }
}
