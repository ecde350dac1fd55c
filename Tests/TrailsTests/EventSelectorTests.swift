// SPDX-License-Identifier: Apache-2.0

import AWSWire
import EventRecord
import Testing
import Trails

struct EventSelectorTests {
    private func put(_ house: TrailsHarness, _ selectors: [WireStructure]) async throws -> WireStructure {
        try await house.call(
            "PutEventSelectors",
            ["TrailName": "trail", "EventSelectors": .list(selectors.map { .structure($0) })])
    }

    private func data(_ type: String, _ values: [String]) -> WireValue {
        [.structure(["Type": .string(type), "Values": .list(values.map { .string($0) })])]
    }

    @Test func `a trail has the default selector until others are put, and again after it was put`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        let standard: WireStructure = [
            "ReadWriteType": "All", "IncludeManagementEvents": true, "DataResources": [],
            "ExcludeManagementEventSources": [],
        ]
        func isCustom() async throws -> WireValue? {
            try await house.call("GetTrail", ["Name": "trail"])["Trail"]?.asStructure?["HasCustomEventSelectors"]
        }
        let answer = try await house.call("GetEventSelectors", ["TrailName": "trail"])
        #expect(answer["EventSelectors"] == [.structure(standard)])
        #expect(answer["AdvancedEventSelectors"] == nil)
        #expect(try await put(house, [["ReadWriteType": "ReadOnly"]])["EventSelectors"]?.asList?.count == 1)
        #expect(try await isCustom() == true)
        _ = try await put(house, [standard])
        #expect(try await isCustom() == false)
    }

    @Test(
        arguments: [
            ([], "Specify a valid number of selectors (1 to 5) for your trail"),
            ([[:], [:], [:], [:], [:], [:]], "Specify a valid number of selectors (1 to 5) for your trail"),
            ([["ReadWriteType": "read-only"]], "read-only"),
            (
                [["DataResources": [.structure(["Type": "AWS::S3::Bucket", "Values": []])]]],
                "Value AWS::S3::Bucket for DataResources.Type is invalid. Valid values are: AWS::DynamoDB::Table, AWS::Lambda::Function, AWS::S3::Object"
            ),
            (
                [["DataResources": [.structure(["Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::*"]])]]],
                "Value arn:aws:s3:::* for DataResources.Values is invalid."
            ),
            (
                [["DataResources": [.structure(["Type": "AWS::S3::Object", "Values": ["bucket/"]])]]],
                "Value bucket/ for DataResources.Values is invalid."
            ),
            (
                [["DataResources": [.structure(["Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::bucket"]])]]],
                "Value arn:aws:s3:::bucket for DataResources.Values is invalid."
            ),
            ([["ExcludeManagementEventSources": ["s3.amazonaws.com"]]], "ExcludeManagementEventSources"),
        ] as [([WireStructure], String)])
    func `selectors that break the rules are refused`(selectors: [WireStructure], message: String) async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        do {
            _ = try await put(house, selectors)
            Issue.record("they were not refused")
        } catch let error as AWSError {
            #expect(error.code == "InvalidEventSelectorsException")
            #expect(error.message.contains(message))
        }
    }

    @Test func `more than 250 values are refused, and those that mean all do not count`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        let values = (0..<250).map { "arn:aws:s3:::b\($0)/" }
        _ = try await put(house, [["DataResources": data("AWS::S3::Object", values + ["arn:aws:s3"])]])
        await #expect(throws: AWSError.self) {
            try await put(house, [["DataResources": data("AWS::S3::Object", values + ["arn:aws:s3:::c/"])]])
        }
    }

    @Test func `advanced selectors are refused and not silently taken`() async throws {
        let house = try TrailsHarness()
        try await house.makeTrail()
        do {
            try await house.call(
                "PutEventSelectors", ["TrailName": "trail", "AdvancedEventSelectors": [.structure([:])]])
            Issue.record("they were not refused")
        } catch let error as AWSError {
            #expect(error.code == "UnsupportedOperationException")
        }
    }

    /// What a trail with these selectors delivers of a fixed set of events.
    private func taken(_ selectors: [WireStructure]) async throws -> [String] {
        let house = try TrailsHarness()
        try await house.makeTrail()
        _ = try await put(house, selectors)
        await house.delivery.turn()
        house.store.clear()
        func object(_ key: String) -> String {
            #"[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::\#(key)"},"#
                + #"{"type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::\#(key.split(separator: "/")[0])"}]"#
        }
        let s3 = "s3.amazonaws.com"
        try await house.journalEvent(id: "read", isReadOnly: true)
        try await house.journalEvent(id: "write")
        try await house.journalEvent(id: "kms", source: "kms.amazonaws.com")
        try await house.journalEvent(
            id: "get-b1", source: s3, isReadOnly: true, category: "Data", resources: object("b1/x/k"))
        try await house.journalEvent(id: "put-b1", source: s3, category: "Data", resources: object("b1/y"))
        try await house.journalEvent(id: "put-b12", source: s3, category: "Data", resources: object("b12/x"))
        try await house.journalEvent(
            id: "head-b1", source: s3, isReadOnly: true, category: "Data",
            resources: #"[{"type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::b1"}]"#)
        try await house.journalEvent(
            id: "list-b1", source: s3, isReadOnly: true, category: "Data",
            resources: #"[{"type":"AWS::S3::Object","ARNPrefix":"arn:aws:s3:::b1/x/"}]"#)
        await house.delivery.turn()
        return try house.deliveredIDs
    }

    @Test func `management events by kind and without excluded sources`() async throws {
        #expect(try await taken([[:]]) == ["read", "write", "kms"])
        #expect(try await taken([["ReadWriteType": "ReadOnly"]]) == ["read"])
        #expect(try await taken([["ReadWriteType": "WriteOnly"]]) == ["write", "kms"])
        #expect(try await taken([["ExcludeManagementEventSources": ["kms.amazonaws.com"]]]) == ["read", "write"])
        #expect(try await taken([["IncludeManagementEvents": false]]) == [])
    }

    @Test func `object events by bucket, by the beginning of the key, and all`() async throws {
        func only(_ values: [String], _ kind: String = "All") async throws -> [String] {
            try await taken([
                [
                    "IncludeManagementEvents": false, "ReadWriteType": .string(kind),
                    "DataResources": data("AWS::S3::Object", values),
                ]
            ])
        }
        #expect(try await only(["arn:aws:s3:::b1/"]) == ["get-b1", "put-b1", "head-b1", "list-b1"])
        #expect(try await only(["arn:aws:s3:::b1/"], "WriteOnly") == ["put-b1"])
        #expect(try await only(["arn:aws:s3:::b1/x"]) == ["get-b1", "list-b1"])
        #expect(try await only(["arn:aws:s3:::b1/x/", "arn:aws:s3:::b12/"]) == ["get-b1", "put-b12", "list-b1"])
        #expect(try await only(["arn:aws:s3"]) == ["get-b1", "put-b1", "put-b12", "head-b1", "list-b1"])
        #expect(try await only([]) == [])
    }

    @Test func `an event that several selectors take is delivered once`() async throws {
        let twice = try await taken([
            [:], ["ReadWriteType": "WriteOnly", "DataResources": data("AWS::S3::Object", ["arn:aws:s3:::"])],
        ])
        #expect(twice == ["read", "write", "kms", "put-b1", "put-b12"])
    }
}
