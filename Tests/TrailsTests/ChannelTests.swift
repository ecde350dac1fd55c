// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Testing
import Trails

struct ChannelTests {
    private let store = "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/event-history"

    private func parameters(_ more: WireStructure = [:]) -> WireStructure {
        var parameters: WireStructure = [
            "Name": "channel-1", "Source": "Custom",
            "Destinations": [.structure(["Type": "EVENT_DATA_STORE", "Location": .string(store)])],
        ]
        for member in more.members { parameters[member.name] = member.value }
        return parameters
    }

    private func code(
        _ house: TrailsHarness, _ operation: String, _ parameters: WireStructure, region: String = "us-east-1"
    ) async -> String? {
        do {
            try await house.call(operation, parameters, region: region)
            return nil
        } catch {
            return (error as? AWSError)?.code
        }
    }

    @Test func `a channel is made, shown, listed, renamed and deleted`() async throws {
        let house = try TrailsHarness()
        let tags: WireValue = [.structure(["Key": "team", "Value": "audit"])]
        let made = try await house.call("CreateChannel", parameters(["Tags": tags]))
        let arn = try #require(made["ChannelArn"]?.asString)
        #expect(arn.hasPrefix("arn:aws:cloudtrail:us-east-1:111122223333:channel/"))
        #expect(made["Tags"] == tags)
        let shown = try await house.call("GetChannel", ["Channel": .string(arn)])
        #expect(shown["Name"] == "channel-1" && shown["Source"] == "Custom" && shown["Tags"] == nil)
        #expect(shown["Destinations"] == made["Destinations"])
        let id = String(arn.split(separator: "/")[1])
        #expect(try await house.call("GetChannel", ["Channel": .string(id)])["ChannelArn"] == .string(arn))
        let list = try await house.call("ListChannels", [:])
        #expect(list["Channels"] == [.structure(["ChannelArn": .string(arn), "Name": "channel-1"])])
        #expect(try await house.call("ListChannels", [:], region: "eu-west-1")["Channels"] == [])
        let changed = try await house.call(
            "UpdateChannel",
            ["Channel": .string(arn), "Name": "renamed", "Destinations": made["Destinations"] ?? .null])
        #expect(changed["Name"] == "renamed" && changed["Source"] == "Custom")
        try await house.call(
            "AddTags", ["ResourceId": .string(arn), "TagsList": [.structure(["Key": "k", "Value": "v"])]])
        let listed = try await house.call("ListTags", ["ResourceIdList": [.string(arn)]])
        #expect(listed["ResourceTagList"]?.asList?.first?.asStructure?["TagsList"]?.asList?.count == 2)
        try await house.call("DeleteChannel", ["Channel": .string(arn)])
        #expect(await code(house, "GetChannel", ["Channel": .string(arn)]) == "ChannelNotFoundException")
    }

    private static let refused: [(WireStructure, String)] = [
        (["Name": "ab"], "InvalidParameterException"), (["Name": "a b c"], "InvalidParameterException"),
        (["Source": ""], "InvalidSourceException"), (["Source": "ec2.amazonaws.com"], "InvalidSourceException"),
        (["Destinations": []], "InvalidParameterException"),
        (
            ["Destinations": [.structure(["Type": "AWS_SERVICE", "Location": "ec2"])]],
            "InvalidParameterException"
        ),
        (
            ["Destinations": [.structure(["Type": "EVENT_DATA_STORE", "Location": "nowhere"])]],
            "EventDataStoreARNInvalidException"
        ),
        (
            [
                "Destinations": [
                    .structure([
                        "Type": "EVENT_DATA_STORE",
                        "Location": "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/other",
                    ])
                ]
            ],
            "EventDataStoreNotFoundException"
        ),
        (["Tags": [.structure(["Key": "aws:x"])]], "InvalidTagParameterException"),
    ]

    @Test(arguments: refused)
    func `what cannot be a channel is refused with the error that AWS has for it`(
        _ members: WireStructure, _ expected: String
    ) async throws {
        let house = try TrailsHarness()
        #expect(await code(house, "CreateChannel", parameters(members)) == expected)
    }

    @Test func `names are given once, partners have one channel, and there are at most 25`() async throws {
        let house = try TrailsHarness()
        #expect(await code(house, "CreateChannel", parameters()) == nil)
        #expect(await code(house, "CreateChannel", parameters()) == "ChannelAlreadyExistsException")
        #expect(await code(house, "CreateChannel", parameters(["Name": "p-1", "Source": "Okta"])) == nil)
        #expect(
            await code(house, "CreateChannel", parameters(["Name": "p-2", "Source": "Okta"]))
                == "ChannelAlreadyExistsException")
        for number in 3...TrailService.Limits.channelsPerRegion {
            #expect(await code(house, "CreateChannel", parameters(["Name": .string("c-\(number)")])) == nil)
        }
        #expect(
            await code(house, "CreateChannel", parameters(["Name": "one-more"]))
                == "ChannelMaxLimitExceededException")
    }

    @Test func `a list is given by pages, and a token that is none is refused`() async throws {
        let house = try TrailsHarness()
        for number in 0..<5 { try await house.call("CreateChannel", parameters(["Name": .string("c-\(number)")])) }
        var names: Set<String> = []
        var token: WireValue?
        var pages = 0
        repeat {
            var asked: WireStructure = ["MaxResults": 2]
            asked.append("NextToken", ifPresent: token)
            let page = try await house.call("ListChannels", asked)
            for channel in page["Channels"]?.asList ?? [] {
                names.insert(try #require(channel.asStructure?["Name"]?.asString))
            }
            token = page["NextToken"]
            pages += 1
        } while token != nil
        #expect(names.count == 5 && pages == 3)
        #expect(await code(house, "ListChannels", ["NextToken": "nonsense"]) == "InvalidNextTokenException")
        #expect(await code(house, "ListChannels", ["MaxResults": 0]) == "ValidationException")
    }

    @Test(arguments: [
        "nonsense", "arn:aws:cloudtrail:us-east-1:111122223333:trail/x", "arn:aws:cloudtrail:us-east-1:1:channel/x",
    ])
    func `what is no channel's ARN or GUID is told apart from one that is not there`(text: String) async throws {
        let house = try TrailsHarness()
        #expect(await code(house, "GetChannel", ["Channel": .string(text)]) == "ChannelARNInvalidException")
        #expect(
            await code(house, "DeleteChannel", ["Channel": "01234567-89ab-cdef-0123-456789abcdef"])
                == "ChannelNotFoundException")
    }
}
