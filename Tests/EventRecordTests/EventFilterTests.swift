// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Foundation
import Testing

struct EventFilterTests {
    private func event(_ text: String) throws -> Event { try Event(Array(text.utf8)) }

    private static let object =
        #"{"eventName":"GetObject","eventSource":"s3.amazonaws.com","readOnly":true,"eventTime":"2023-07-10T12:00:05Z","errorCode":null,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::b/k/1"},{"accountId":"1","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::b"}],"managementEvent":false}"#

    static let cases: [(EventFilter, Bool)] = [
        (.all, true), (.nothing, false), (.not(.nothing), true), (.and([]), true), (.or([]), false),
        (.compare(.eventName, .equals, "GetObject"), true), (.compare(.eventName, .equals, "getobject"), false),
        (.compare(.eventName, .prefix, "Get"), true), (.compare(.eventName, .suffix, "Object"), true),
        (.compare(.eventName, .suffix, "xGetObject"), false), (.compare(.readOnly, .equals, "true"), true),
        (.compare(.errorCode, .equals, "null"), false), (.not(.compare(.errorCode, .equals, "x")), true),
        (.exists(.errorCode), false), (.exists(.eventName), true), (.exists(.identityARN), false),
        (.category(.data), true), (.category(.management), false),
        (.time(from: 1_688_990_405, through: 1_688_990_405), true), (.time(from: 1_688_990_406, through: nil), false),
        (.time(from: nil, through: 1_688_990_404), false),
        (.resource(.init(type: "AWS::S3::Object")), true), (.resource(.init(type: "AWS::Lambda::Function")), false),
        (.resource(.init(type: "AWS::S3::Object", tests: [.init(.prefix, ["arn:aws:s3:::b/k/"])])), true),
        (.resource(.init(type: "AWS::S3::Object", tests: [.init(.equals, ["arn:aws:s3:::b"])])), false),
        (.resource(.init(type: "AWS::S3::Bucket", tests: [.init(.equals, ["x", "arn:aws:s3:::b"])])), true),
        (
            .resource(.init(type: "AWS::S3::Object", tests: [.init(.prefix, ["arn:aws:s3:::b/"], isNegated: true)])),
            false
        ),
        (.resource(.init(type: "AWS::S3::Object", tests: [.init(.suffix, ["/2"], isNegated: true)])), true),
        (.resource(.init(type: nil, tests: [.init(.equals, ["arn:aws:s3:::b"])])), true),
        (.any(.eventName, .equals, ["PutObject", "GetObject"]), true),
        (.and([.compare(.eventName, .equals, "GetObject"), .compare(.readOnly, .equals, "false")]), false),
        (.value(EventPath(["resources", "ARN"]), .suffix("/1")), true), (.value(EventPath(["x"]), .exists), false),
        (.phrase("b/k/1"), true), (.phrase("b/k/2"), false),
    ]

    @Test(arguments: cases)
    func `a filter takes what its expression says`(_ filter: EventFilter, _ isTaken: Bool) throws {
        #expect(try filter.matches(event(Self.object)) == isTaken)
        #expect(try EventFilter.not(filter).matches(event(Self.object)) != isTaken)
    }

    @Test func `different filters have different bytes and equal ones the same`() {
        var seen: Set<[UInt8]> = []
        for (filter, _) in Self.cases {
            var bytes: [UInt8] = []
            filter.encode(into: &bytes)
            #expect(seen.insert(bytes).inserted)
            var again: [UInt8] = []
            filter.encode(into: &again)
            #expect(again == bytes)
        }
    }

    @Test(.enabled(if: RealRecords.folder != nil, RealRecords.absent))
    func `an event is found under every name of its resources and everything else it is looked up by`() throws {
        for record in try RealRecords.all() {
            let event = try Event(record)
            var names: Set<UInt32> = []
            event.record.withUnsafeBytes { bytes in
                event.fields.forEachResourceHash(in: bytes) { names.insert($0) }
            }
            var filters: [EventFilter] = [
                .lookup(.init(.eventID, event.eventID)), .lookup(.init(.eventName, event.eventName)),
                .lookup(.init(.eventSource, event.eventSource)), .category(event.category),
                .compare(.awsRegion, .equals, event.awsRegion),
            ]
            if let name = event.username { filters.append(.lookup(.init(.username, name))) }
            if let key = event.accessKeyID { filters.append(.lookup(.init(.accessKeyID, key))) }
            if let flag = event.readOnly { filters.append(.lookup(.init(.readOnly, flag ? "true" : "false"))) }
            for resource in event.lookupResources {
                filters.append(.lookup(.init(.resourceName, resource.name)))
                #expect(!names.isDisjoint(with: EventResources.hashes(askedFor: resource.name)))
                if let type = resource.type { filters.append(.lookup(.init(.resourceType, type))) }
            }
            filters.append(.or([filters[1], .lookup(.init(.eventName, "Other"))]))
            filters.append(.and(filters))
            for filter in filters { #expect(filter.matches(event)) }
        }
    }

    @Test(arguments: [
        ("arn:aws:s3:::bucket/key/deep", ["arn:aws:s3:::bucket/key/deep", "bucket/key/deep"]),
        (
            "arn:aws:iam::111122223333:role/path/name",
            ["arn:aws:iam::111122223333:role/path/name", "role/path/name", "name"]
        ),
        ("plain", ["plain"]), ("with/slash", ["with/slash"]), ("", [""]), ("arn:aws:iam::1:", ["arn:aws:iam::1:"]),
    ])
    func `a resource is found under each of its names`(_ name: String, _ asked: [String]) {
        let found = Array(name.utf8).withUnsafeBytes { EventResources.hash(ofName: $0) }
        for text in asked { #expect(EventResources.hashes(askedFor: text).contains(found), "\(text)") }
    }
}

struct LookupAttributeTests {
    static let users: [(String, String?)] = [
        (#"{"type":"IAMUser","userName":"u","arn":"arn:aws:iam::1:user/x"}"#, "u"),
        (#"{"type":"IAMUser","arn":"arn:aws:iam::1:user/path/x"}"#, "x"),
        (#"{"type":"Root","arn":"arn:aws:iam::1:root"}"#, "root"),
        (#"{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/r/session"}"#, "session"),
        (#"{"type":"AssumedRole","principalId":"AROA:s2"}"#, "s2"),
        (#"{"type":"AWSService","invokedBy":"x.amazonaws.com"}"#, nil),
        (#"{"type":"SAMLUser","userName":"saml"}"#, "saml"), ("{}", nil),
    ]

    @Test(arguments: users)
    func `the user's name is the user's, or the session's of a role`(_ identity: String, _ name: String?) throws {
        let event = try Event(Array("{\"userIdentity\":\(identity)}".utf8))
        #expect(event.username == name)
        #expect(LookupAttribute(.username, name ?? "none").filter.matches(event) == (name != nil))
    }

    static let resources: [(String, [LookupResource])] = [
        (
            #"{"eventSource":"cloudtrail.amazonaws.com","requestParameters":{"name":"t","s3BucketName":"b"},"responseElements":{"trailARN":"arn:aws:cloudtrail:r:1:trail/t"}}"#,
            [
                .init(type: "AWS::CloudTrail::Trail", name: "t"), .init(type: "AWS::S3::Bucket", name: "b"),
                .init(type: "AWS::CloudTrail::Trail", name: "arn:aws:cloudtrail:r:1:trail/t"),
            ]
        ),
        (
            #"{"eventSource":"s3.amazonaws.com","requestParameters":{"bucketName":"x"},"resources":[{"type":"AWS::S3::Object","ARNPrefix":"arn:aws:s3:::b/p"},{"type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::b"}]}"#,
            [.init(type: "AWS::S3::Object", name: "arn:aws:s3:::b/p"), .init(type: "AWS::S3::Bucket", name: "b")]
        ),
        (
            #"{"eventSource":"ec2.amazonaws.com","requestParameters":{"instancesSet":{"items":[{"instanceId":"i-1"},{"instanceId":"i-2"}]}}}"#,
            [.init(type: "AWS::EC2::Instance", name: "i-1"), .init(type: "AWS::EC2::Instance", name: "i-2")]
        ),
        (
            #"{"eventSource":"cloudtrail.amazonaws.com","requestParameters":{"trailNameList":["a","b"]}}"#,
            [.init(type: "AWS::CloudTrail::Trail", name: "a"), .init(type: "AWS::CloudTrail::Trail", name: "b")]
        ),
        (
            #"{"eventSource":"ssm.amazonaws.com","resources":[{"ARN":"arn:aws:ssm:r:1:parameter/x/y","accountId":"1"}]}"#,
            [.init(type: nil, name: "arn:aws:ssm:r:1:parameter/x/y")]
        ),
        (#"{"eventSource":"unknown.amazonaws.com","requestParameters":{"name":"t"}}"#, []),
    ]

    @Test(arguments: resources)
    func `resources are the record's own and those that its parameters name`(
        _ record: String, _ resources: [LookupResource]
    ) throws {
        let event = try Event(Array(record.utf8))
        #expect(event.lookupResources == resources)
        for resource in resources { #expect(LookupAttribute(.resourceName, resource.name).filter.matches(event)) }
    }

    @Test(arguments: ["arn:aws:iam::1:role/p/r", "role/p/r", "r"])
    func `a resource is found by its ARN, the ARN's resource part and its last piece`(_ name: String) throws {
        let event = try Event(
            Array(
                #"{"eventSource":"sts.amazonaws.com","resources":[{"type":"AWS::IAM::Role","ARN":"arn:aws:iam::1:role/p/r"}]}"#
                    .utf8))
        #expect(LookupAttribute(.resourceName, name).filter.matches(event))
        #expect(!LookupAttribute(.resourceName, name + "x").filter.matches(event))
        #expect(LookupAttribute(.resourceType, "AWS::IAM::Role").filter.matches(event))
    }
}
