// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Synchronization
import Testing
import Trails

struct TrailServiceTests {
    private let arn = "arn:aws:cloudtrail:us-east-1:111122223333:trail/"

    private func code(
        _ house: TrailsHarness, _ operation: String, _ parameters: WireStructure, region: String = "us-east-1"
    ) async -> AWSError? {
        do {
            try await house.call(operation, parameters, region: region)
            return nil
        } catch {
            return error as? AWSError
        }
    }

    private func create(
        _ house: TrailsHarness, _ name: String, _ more: WireStructure = [:], region: String = "us-east-1"
    )
        async throws
    {
        var parameters: WireStructure = ["Name": .string(name), "S3BucketName": "logs"]
        for member in more.members { parameters[member.name] = member.value }
        try await house.call("CreateTrail", parameters, region: region)
    }

    @Test func `a new trail has AWS's defaults, and its answer the seven members that are always there`() async throws {
        let house = try TrailsHarness()
        let answer = try await house.call("CreateTrail", ["Name": "trail", "S3BucketName": "logs"])
        #expect(
            answer == [
                "Name": "trail", "S3BucketName": "logs", "IncludeGlobalServiceEvents": true,
                "IsMultiRegionTrail": false,
                "TrailARN": .string(arn + "trail"), "LogFileValidationEnabled": false, "IsOrganizationTrail": false,
            ])
        let trail = try await house.call("GetTrail", ["Name": "trail"])["Trail"]?.asStructure
        #expect(trail?["HomeRegion"] == "us-east-1")
        #expect(trail?["HasCustomEventSelectors"] == false)
        #expect(trail?["S3KeyPrefix"] == nil)
    }

    @Test(arguments: [
        ("ab", "Trail name too short. Minimum allowed length: 3 characters. Specified name length: 2 characters."),
        ("-abc", "Trail name must starts with a letter or number."),
        ("abc_", "Trail name must ends with a letter or number."),
        ("a b c", "Trail name or ARN can only contain"), ("a..b", "next to each other"), ("10.0.0.1", "IP address"),
    ])
    func `a malformed name is refused with AWS's words`(name: String, message: String) async throws {
        let house = try TrailsHarness()
        let error = await code(house, "CreateTrail", ["Name": .string(name), "S3BucketName": "logs"])
        #expect(error?.code == "InvalidTrailNameException")
        #expect(error?.message.contains(message) == true)
    }

    @Test(arguments: [
        "arn:aws:cloudtrail:us-east-1:111122223333", "arn:aws:s3:::b", "arn:x",
        "arn:aws:cloudtrail:us-east-1:1:trail/abc",
    ])
    func `a malformed ARN is refused`(text: String) async throws {
        let house = try TrailsHarness()
        for operation in ["GetTrail", "GetTrailStatus", "StartLogging", "StopLogging", "DeleteTrail", "UpdateTrail"] {
            #expect(await code(house, operation, ["Name": .string(text)])?.code == "CloudTrailARNInvalidException")
        }
    }

    @Test func `an unknown trail is named by the ARN of the asking region`() async throws {
        let house = try TrailsHarness()
        for (operation, member) in [
            ("GetTrail", "Name"), ("GetTrailStatus", "Name"), ("StartLogging", "Name"), ("StopLogging", "Name"),
            ("DeleteTrail", "Name"), ("UpdateTrail", "Name"), ("GetEventSelectors", "TrailName"),
            ("GetInsightSelectors", "TrailName"),
        ] {
            let error = await code(house, operation, WireStructure([.init(member, "nope")]), region: "eu-west-1")
            #expect(error?.code == "TrailNotFoundException")
            #expect(
                error?.message
                    == "Unknown trail: arn:aws:cloudtrail:eu-west-1:111122223333:trail/nope for the user: 111122223333")
        }
        #expect(try await house.call("DescribeTrails", ["trailNameList": ["nope"]])["trailList"] == [])
    }

    @Test func `a trail is changed in its home region only, and read from anywhere by its ARN`() async throws {
        let house = try TrailsHarness()
        try await create(house, "multi", ["IsMultiRegionTrail": true])
        let name = WireValue.string(arn + "multi")
        for operation in ["StartLogging", "StopLogging", "DeleteTrail", "UpdateTrail"] {
            let error = await code(house, operation, ["Name": name], region: "eu-west-1")
            #expect(error?.code == "InvalidHomeRegionException")
        }
        #expect(await code(house, "GetTrailStatus", ["Name": name], region: "eu-west-1") == nil)
        #expect(
            await code(house, "GetTrailStatus", ["Name": "multi"], region: "eu-west-1")?.code
                == "TrailNotFoundException")
        let all = try await house.call("DescribeTrails", [:], region: "eu-west-1")["trailList"]?.asList
        #expect(all?.count == 1)
        let own = try await house.call("DescribeTrails", ["includeShadowTrails": false], region: "eu-west-1")
        #expect(own["trailList"] == [])
        #expect(try await house.call("ListTrails", [:], region: "eu-west-1")["Trails"]?.asList?.count == 1)
    }

    @Test func `a name can be used once where it is seen, and five trails are seen in a region at most`() async throws {
        let house = try TrailsHarness()
        try await create(house, "multi", ["IsMultiRegionTrail": true])
        var error = await code(house, "CreateTrail", ["Name": "multi", "S3BucketName": "logs"], region: "eu-west-1")
        #expect(error?.code == "TrailAlreadyExistsException")
        #expect(error?.message == "Trail multi already exists for customer: 111122223333")
        for index in 0..<4 { try await create(house, "one\(index)", region: "eu-west-1") }
        error = await code(house, "CreateTrail", ["Name": "sixth", "S3BucketName": "logs"], region: "eu-west-1")
        #expect(error?.code == "MaximumNumberOfTrailsExceededException")
        #expect(error?.message == "User: 111122223333 already has 5 trails in eu-west-1.")
        #expect(await code(house, "CreateTrail", ["Name": "second", "S3BucketName": "logs"]) == nil)
    }

    @Test func `bucket and policy are looked at before anything is stored`() async throws {
        let house = try TrailsHarness()
        var error = await code(house, "CreateTrail", ["Name": "trail", "S3BucketName": "missing"])
        #expect(error?.code == "S3BucketDoesNotExistException")
        #expect(error?.message == "S3 bucket missing does not exist!")
        for action in ["s3:GetBucketAcl", "s3:PutObject"] {
            house.store.state.withLock { $0.deniedActions = [action] }
            error = await code(house, "CreateTrail", ["Name": "trail", "S3BucketName": "logs"])
            #expect(error?.code == "InsufficientS3BucketPolicyException")
            #expect(error?.message.hasPrefix("Incorrect S3 bucket policy is detected for bucket: logs") == true)
            #expect(error?.message.contains(action) == true)
        }
        house.store.state.withLock { $0.deniedActions = [] }
        #expect(try await house.call("ListTrails", [:])["Trails"] == [])
        try await create(house, "trail", ["S3KeyPrefix": "p"])
        let asked = house.store.state.withLock { $0.questions.last }
        #expect(asked?.key?.hasPrefix("p/AWSLogs/111122223333/CloudTrail/") == true)
        #expect(asked?.acl == "bucket-owner-full-control")
        #expect(asked?.sourceARN == arn + "trail")
        #expect(asked?.sourceAccount == "111122223333")
    }

    @Test(arguments: [
        ("SnsTopicName", WireValue("no topic"), "InvalidSnsTopicNameException"),
        ("KmsKeyId", "alias/key", "KmsKeyNotFoundException"),
        ("CloudWatchLogsLogGroupArn", "arn:aws:logs:x", "UnsupportedOperationException"),
        ("CloudWatchLogsRoleArn", "arn:aws:iam::1:role/x", "UnsupportedOperationException"),
        ("IsOrganizationTrail", true, "OrganizationsNotInUseException"),
        ("S3BucketName", "Upper", "InvalidS3BucketNameException"),
        ("S3BucketName", "a..b", "InvalidS3BucketNameException"), ("S3BucketName", "", "InvalidS3BucketNameException"),
        ("S3KeyPrefix", .string(String(repeating: "x", count: 201)), "InvalidS3PrefixException"),
        ("IncludeGlobalServiceEvents", "perhaps", "SerializationException"), ("Unknown", "x", "ValidationException"),
    ])
    func `what cannot be done is refused and changes nothing`(member: String, value: WireValue, code: String)
        async throws
    {
        let house = try TrailsHarness()
        try await create(house, "trail")
        for operation in ["CreateTrail", "UpdateTrail"] {
            var parameters: WireStructure = [
                "Name": operation == "CreateTrail" ? "other" : "trail", "S3BucketName": "logs",
            ]
            parameters[member] = value
            #expect(await self.code(house, operation, parameters)?.code == code)
        }
        #expect(try await house.call("ListTrails", [:])["Trails"]?.asList?.count == 1)
    }

    @Test func `an update merges: absent members stay, an empty prefix goes`() async throws {
        let house = try TrailsHarness()
        try await create(house, "trail", ["S3KeyPrefix": "p", "EnableLogFileValidation": true])
        var answer = try await house.call("UpdateTrail", ["Name": "trail", "S3BucketName": "other"])
        #expect(answer["S3KeyPrefix"] == "p")
        #expect(answer["LogFileValidationEnabled"] == true)
        #expect(answer["S3BucketName"] == "other")
        answer = try await house.call(
            "UpdateTrail", ["Name": "trail", "S3KeyPrefix": "", "KmsKeyId": "", "SnsTopicName": ""])
        #expect(answer["S3KeyPrefix"] == nil)
    }

    @Test func `a multi-region trail includes global events`() async throws {
        let house = try TrailsHarness()
        let error = await code(
            house, "CreateTrail",
            ["Name": "trail", "S3BucketName": "logs", "IsMultiRegionTrail": true, "IncludeGlobalServiceEvents": false])
        #expect(error?.code == "InvalidParameterCombinationException")
        #expect(error?.message == "Multi-Region trail must include global service events.")
        try await create(house, "trail", ["IsMultiRegionTrail": true])
        #expect(
            await code(house, "UpdateTrail", ["Name": "trail", "IncludeGlobalServiceEvents": false])?.code
                == error?.code)
        let both: WireStructure = ["Name": "trail", "IncludeGlobalServiceEvents": false, "IsMultiRegionTrail": false]
        #expect(await code(house, "UpdateTrail", both) == nil)
    }

    @Test func `start and stop times are kept, and starting twice moves nothing`() async throws {
        let house = try TrailsHarness()
        try await create(house, "trail")
        let started = house.time.now
        try await house.call("StartLogging", ["Name": "trail"])
        house.time.advance(seconds: 10)
        try await house.call("StartLogging", ["Name": .string(arn + "trail")])
        var status = try await house.call("GetTrailStatus", ["Name": "trail"])
        #expect(status["IsLogging"] == true)
        #expect(status["StartLoggingTime"] == .timestamp(started))
        #expect(status["StopLoggingTime"] == nil)
        let stopped = house.time.now
        try await house.call("StopLogging", ["Name": "trail"])
        status = try await house.call("GetTrailStatus", ["Name": "trail"])
        #expect(status["IsLogging"] == false)
        #expect(status["StartLoggingTime"] == .timestamp(started))
        #expect(status["StopLoggingTime"] == .timestamp(stopped))
        #expect(status["TimeLoggingStopped"] == .string(stopped.iso8601))
    }

    @Test func `changes that wait for delivery are bounded, but stopping is never refused`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        let selectors: [WireValue] = [[.structure([:])], [.structure(["ReadWriteType": "ReadOnly"])]]
        var refusal: String?
        for index in 0...TrailService.Limits.waitingChanges {
            let parameters: WireStructure = ["TrailName": "trail", "EventSelectors": selectors[index % 2]]
            refusal = await code(house, "PutEventSelectors", parameters)?.code
            if refusal != nil { break }
        }
        #expect(refusal == "ThrottlingException")
        #expect(await code(house, "StopLogging", ["Name": "trail"]) == nil)
        #expect(await code(house, "StartLogging", ["Name": "trail"])?.code == "ThrottlingException")
        await house.delivery.turn()
        #expect(await code(house, "StartLogging", ["Name": "trail"]) == nil)
    }

    @Test func `tags are added, replaced, listed and removed`() async throws {
        let house = try TrailsHarness()
        try await create(house, "trail", ["TagsList": [.structure(["Key": "a", "Value": "1"])]])
        let id = WireValue.string(arn + "trail")
        try await house.call(
            "AddTags",
            ["ResourceId": id, "TagsList": [.structure(["Key": "a", "Value": "2"]), .structure(["Key": "b"])]])
        var list = try await house.call("ListTags", ["ResourceIdList": [id]])["ResourceTagList"]
        #expect(
            list == [
                .structure([
                    "ResourceId": id,
                    "TagsList": [.structure(["Key": "a", "Value": "2"]), .structure(["Key": "b"])],
                ])
            ])
        try await house.call(
            "RemoveTags", ["ResourceId": id, "TagsList": [.structure(["Key": "a"]), .structure(["Key": "z"])]])
        list = try await house.call("ListTags", ["ResourceIdList": [id]])["ResourceTagList"]
        #expect(list?.asList?.first?.asStructure?["TagsList"] == [.structure(["Key": "b"])])
    }

    @Test func `tags that break the rules are refused`() async throws {
        let house = try TrailsHarness()
        try await create(house, "trail")
        func add(_ tags: [WireValue], to id: String? = nil, region: String = "us-east-1") async -> String? {
            await code(
                house, "AddTags", ["ResourceId": .string(id ?? arn + "trail"), "TagsList": .list(tags)], region: region)?
                .code
        }
        let tag = WireValue.structure(["Key": "a"])
        #expect(await add([tag, tag]) == "InvalidTagParameterException")
        #expect(await add([.structure(["Key": ""])]) == "InvalidTagParameterException")
        #expect(await add([.structure(["Key": "a<b"])]) == "InvalidTagParameterException")
        #expect(await add([.structure(["Key": "aws:x"])]) == "InvalidTagParameterException")
        #expect(
            await add((0..<51).map { .structure(["Key": .string("k\($0)")]) }) == "TagsLimitExceededException")
        #expect(await add([tag], to: "trail") == "CloudTrailARNInvalidException")
        #expect(await add([tag], to: arn + "nope") == "ResourceNotFoundException")
        #expect(
            await add([tag], to: "arn:aws:cloudtrail:us-east-1:111122223333:channel/x")
                == "ResourceTypeNotSupportedException")
        #expect(await add([tag], region: "eu-west-1") == "CloudTrailARNInvalidException")
        let ids = WireValue.list([WireValue](repeating: .string(arn + "trail"), count: 21))
        #expect(await code(house, "ListTags", ["ResourceIdList": ids])?.code == "ValidationException")
        #expect(
            await code(house, "ListTags", ["ResourceIdList": [.string(arn + "trail")], "NextToken": "x"])?.code
                == "InvalidTokenException")
    }

    @Test(
        arguments: [
            (
                ["LookupAttributes": [.structure(["AttributeKey": "Nope", "AttributeValue": "x"])]],
                "InvalidLookupAttributesException"
            ),
            (
                [
                    "LookupAttributes": [
                        .structure(["AttributeKey": "EventId", "AttributeValue": "x"]),
                        .structure(["AttributeKey": "EventId", "AttributeValue": "x"]),
                    ]
                ], "InvalidLookupAttributesException"
            ),
            (
                ["LookupAttributes": [.structure(["AttributeKey": "EventId", "AttributeValue": ""])]],
                "InvalidLookupAttributesException"
            ),
            (["StartTime": 10, "EndTime": 9], "InvalidTimeRangeException"),
            (["MaxResults": 0], "InvalidMaxResultsException"),
            (["MaxResults": 51], "InvalidMaxResultsException"),
            (["EventCategory": "data"], "InvalidEventCategoryException"),
            (["StartTime": "yesterday"], "SerializationException"),
        ] as [(WireStructure, String)])
    func `a look-up that breaks the rules is refused`(parameters: WireStructure, code: String) async throws {
        let house = try TrailsHarness()
        #expect(await self.code(house, "LookupEvents", parameters)?.code == code)
    }

    @Test func `a look-up finds management events of the asking region, newest first, page by page`() async throws {
        let house = try TrailsHarness()
        var ids: [String] = []
        for index in 0..<5 {
            house.time.advance(seconds: 10)
            ids.insert(try await house.journalEvent(name: index == 2 ? "Special" : "Common"), at: 0)
        }
        try await house.journalEvent(region: "eu-west-1")
        try await house.journalEvent(category: "Data")
        try await house.journalEvent(account: "999999999999")
        func page(_ parameters: WireStructure) async throws -> (ids: [String], token: WireValue?) {
            let answer = try await house.call("LookupEvents", parameters)
            let events = try #require(answer["Events"]?.asList)
            return (events.compactMap { $0.asStructure?["EventId"]?.asString }, answer["NextToken"])
        }
        #expect(try await page([:]).ids == ids)
        let first = try await page(["MaxResults": 2])
        #expect(first.ids == Array(ids.prefix(2)))
        let token = try #require(first.token)
        #expect(try await page(["MaxResults": 3, "NextToken": token]).ids == Array(ids.dropFirst(2)))
        let special: WireValue = [.structure(["AttributeKey": "EventName", "AttributeValue": "Special"])]
        #expect(try await page(["LookupAttributes": special]).ids == [ids[2]])
        #expect(
            await code(house, "LookupEvents", ["NextToken": token, "LookupAttributes": special])?.code
                == "InvalidNextTokenException")
        #expect(await code(house, "LookupEvents", ["NextToken": "x"])?.code == "InvalidNextTokenException")
        let begin = WireValue.integer(house.time.now.seconds - 20)
        #expect(try await page(["StartTime": begin, "EndTime": begin]).ids == [ids[2]])
        let event = try await house.call("LookupEvents", ["MaxResults": 1])["Events"]?.asList?.first?.asStructure
        #expect(event?["ReadOnly"] == "false")
        #expect(event?["EventTime"] == .timestamp(Timestamp(seconds: house.time.now.seconds)))
        #expect(event?["CloudTrailEvent"]?.asString?.hasPrefix("{\"eventVersion\"") == true)
    }
}
