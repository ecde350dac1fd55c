// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Testing

struct FilterLanguageTests {
    /// 2026-01-31T12:00:00Z.
    private static let now: Int64 = 1_769_860_800

    private static let record = #"""
        {"eventVersion":"1.11","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/anna","userName":"anna",
        "accessKeyId":"AKIAEXAMPLE","sessionContext":{"attributes":{"mfaAuthenticated":"true"}}},"eventTime":"2026-01-31T11:30:05Z",
        "eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","sourceIPAddress":"10.20.30.40",
        "errorCode":"AccessDenied","errorMessage":null,"requestParameters":{"bucketName":"logs-2026","x.y":"dotted","key":"a*b",
        "count":17,"ratio":-0.5,"flags":["fast","\u00e9t\u00e9"],"nested":{"list":[{"port":443},{"port":80}],"empty":[]},
        "when":"2026-02-01"},"additionalEventData":{"bytesTransferredOut":1048576},"eventID":"id-1","readOnly":true,
        "resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::logs-2026/a"},{"type":"AWS::S3::Bucket",
        "ARN":"arn:aws:s3:::logs-2026","accountId":"111122223333"}],"managementEvent":false,"eventCategory":"Data",
        "recipientAccountId":"111122223333","unknownTop":{"deep":"yes"}}
        """#

    static let cases: [(String, Bool)] = [
        ("", true), ("  ", true),
        // Equality, on known fields, on any path, through lists, with names that need quotes.
        ("eventName = GetObject", true), ("eventName == \"GetObject\"", true), ("eventName = getobject", false),
        ("eventName != GetObject", false), ("name = GetObject and region = eu-west-1", true),
        ("requestParameters.bucketName = logs-2026", true), ("requestParameters.count = 17", true),
        ("requestParameters.flags = fast", true), ("requestParameters.flags = \"\u{e9}t\u{e9}\"", true),
        ("requestParameters.flags = slow", false), ("requestParameters.nested.list.port = 80", true),
        ("requestParameters.\"x.y\" = dotted", true), ("unknownTop.deep = yes", true), ("unknownTop = yes", false),
        ("\"unknownTop\".deep = yes", true), ("resources.ARN = 'arn:aws:s3:::logs-2026'", true),
        ("userIdentity.sessionContext.attributes.mfaAuthenticated = true", true), ("readOnly = true", true),
        ("readOnly = false", false), ("requestParameters = x", false),
        // Derived names.
        ("user = anna", true), ("user = ben", false), ("user ~ an*", true), ("category = Data", true),
        ("category = Management", false), ("resource = logs-2026", true), ("resource ~ *logs*", true),
        ("resourceType = AWS::S3::Object", true), ("account = 111122223333 key = AKIAEXAMPLE", true),
        // Patterns.
        ("eventName = Get*", true), ("eventName = *Object", true), ("eventName = \"Get*\"", false),
        ("eventName ~ \"Get*\"", true), ("eventName !~ Put*", true), ("eventName ~ G?tO*t", true),
        ("eventName ~ G?O*", false), ("requestParameters.key = \"a*b\"", true),
        ("requestParameters.key ~ \"a\\*b\"", true), ("requestParameters.bucketName ~ \"a\\*b\"", false),
        ("requestParameters.key ~ \"*\\*\"", false), ("requestParameters.bucketName ~ *2026", true),
        ("requestParameters.flags ~ \"?t?\"", true), ("eventName ~ *", true), ("errorMessage ~ *", false),
        // Numbers and texts in order.
        ("requestParameters.count > 16", true), ("requestParameters.count > 17", false),
        ("requestParameters.count >= 17.0", true), ("requestParameters.ratio < 0", true),
        ("requestParameters.bucketName > 5", false), ("requestParameters.nested.list.port < 100", true),
        ("additionalEventData.bytesTransferredOut in 1e6..2e6", true), ("requestParameters.count in ..16", false),
        ("requestParameters.count in 17..", true), ("requestParameters.when < \"2026-03\"", true),
        ("requestParameters.when >= \"2026-03\"", false),
        // Addresses.
        ("sourceIPAddress in 10.0.0.0/8", true), ("ip in (192.168.0.0/16, 10.20.30.40/32)", true),
        ("ip not in 10.20.0.0/16", false), ("ip in 10.20.30.41/32", false), ("ip in 2001:db8::/32", false),
        ("ip in 0.0.0.0/0", true), ("eventName in 0.0.0.0/0", false),
        // Existence.
        ("errorCode exists", true), ("errorMessage exists", false), ("not responseElements exists", true),
        ("requestParameters.nested exists", true), ("requestParameters.nested.empty exists", true),
        ("requestParameters.nested.list.host exists", false),
        // Lists, joined.
        ("eventName in (PutObject, GetObject)", true), ("eventName not in (PutObject, Get*)", false),
        ("eventName = PutObject or errorCode = AccessDenied", true),
        ("eventName = PutObject or errorCode = AccessDenied and region = us-east-1", false),
        ("(eventName = PutObject or errorCode = AccessDenied) AND NOT (region = us-east-1)", true),
        ("eventName = GetObject && !(readOnly = false) || region = x", true),
        // Times.
        ("time > now-1h", true), ("time > now-10m", false), ("time = 2026-01-31", true), ("time = 2026-01-30", false),
        ("time = 2026-01-31T11:30", true), ("time < 2026-01-31T11:30:05Z", false),
        ("eventTime <= 2026-01-31T11:30:05Z", true), ("time in 2026-01-01..2026-01-31", true),
        ("time in 2026-02-01..", false), ("time >= 2026-01-31T12:30:05+01:00", true),
        // A phrase anywhere.
        ("\"logs-2026/a\"", true), ("'bytesTransferredOut\":1048576'", true), ("\"nowhere\"", false),
        ("\"anna\" eventName = GetObject", true), ("not \"anna\"", false),
    ]

    @Test(arguments: cases)
    func `a filter takes what its text says`(_ text: String, _ isTaken: Bool) throws {
        let event = try Event(Array(Self.record.utf8))
        #expect(try FilterLanguage.parse(text, now: Self.now).matches(event) == isTaken)
    }

    static let wrong: [(String, Int)] = [
        ("eventName", 10), ("eventName =", 12), ("= x", 1), ("(eventName = x", 15), ("eventName = x)", 14),
        ("eventName = \"x", 13), ("a..b = 1", 1), ("eventName & x", 11), ("x > abc", 5), ("time > yesterday", 8),
        ("x in (1, 2", 11), ("x in ..", 6), ("x not = 1", 7), ("a = 1 and", 10), ("\"\"", 3), ("a b", 3),
    ]

    @Test(arguments: wrong)
    func `what is no filter is refused at its place`(_ text: String, _ column: Int) {
        let error = #expect(throws: FilterError.self) { try FilterLanguage.parse(text, now: Self.now) }
        #expect(error?.column == column)
    }

    @Test func `nesting and size have bounds`() {
        let deep = String(repeating: "(", count: 100) + "a = 1" + String(repeating: ")", count: 100)
        #expect(throws: FilterError.self) { try FilterLanguage.parse(deep, now: 0) }
        let many = (0..<600).map { "a = \($0)" }.joined(separator: " or ")
        #expect(throws: FilterError.self) { try FilterLanguage.parse(many, now: 0) }
        #expect(throws: FilterError.self) {
            try FilterLanguage.parse(String(repeating: " ", count: FilterLanguage.bytesMax + 1), now: 0)
        }
    }

    @Test func `a filter knows the times in which events can match`() throws {
        #expect(
            try FilterLanguage.parse("time in 1970-01-02..1970-01-03 and a = 1", now: 0).timeBounds == 86400...259_199)
    }

    @Test func `any bytes are a filter or an error, and a filter answers for any record`() throws {
        let event = try Event(Array(Self.record.utf8))
        let pieces = [
            "eventName", "a.b", "(", ")", "=", "!=", "~", "in", "not", "and", "or", "\"x\"", "'", "\\", "..", "1", "*",
            "10.0.0.0/8", "::1/64", "now-1h", ",", "exists", "<", ">=", "resource", "\u{e9}", "requestParameters.flags",
            "!", "&&", ".", "time", "1e400", "nan", "-", "?",
        ]
        var state: UInt64 = 42
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var parsed = 0
        for _ in 0..<20_000 {
            let text = (0..<(1 + next(8))).map { _ in pieces[next(pieces.count)] }.joined(
                separator: next(3) == 0 ? "" : " ")
            guard let filter = try? FilterLanguage.parse(text, now: Self.now) else { continue }
            parsed += 1
            #expect(EventFilter.not(filter).matches(event) != filter.matches(event), "\(text)")
        }
        #expect(parsed > 100)
    }

    static let addresses: [(String, String, Bool)] = [
        ("192.0.2.0/24", "192.0.2.255", true), ("192.0.2.0/24", "192.0.3.0", false), ("192.0.2.7", "192.0.2.7", true),
        ("2001:db8::/32", "2001:db8:1::5", true), ("2001:db8::/33", "2001:db8:8000::", false),
        ("::/0", "2001:db8::1", true), ("::1", "0:0:0:0:0:0:0:1", true), ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("10.0.0.0/8", "10.1.2", false), ("10.0.0.0/8", "10.1.2.3.4", false), ("10.0.0.0/8", "10.256.2.3", false),
        ("::/0", "2001:db8:::1", false), ("::/0", "1:2:3:4:5:6:7:8:9", false), ("::/0", "::", true),
        ("fe80::/10", "fe80::1:2", true), ("fe80::/10", "fec0::1", false), ("::/0", "AWS Internal", false),
    ]

    @Test(arguments: addresses)
    func `an address lies in a network`(_ network: String, _ address: String, _ isIn: Bool) throws {
        let range = try #require(AddressRange(network))
        #expect(Array(address.utf8).withUnsafeBytes { range.contains($0) } == isIn)
    }

    @Test(arguments: ["", "10.0.0.0/33", "10.0.0/8", "::/129", "x", "10.0.0.0/", "1:2", "/8", "10.0.0.0/-1"])
    func `what is no network is refused`(_ text: String) { #expect(AddressRange(text) == nil) }
}
