// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Messaging
import Testing

/// Source of the cases: Amazon SNS Developer Guide, "Amazon SNS subscription filter policies".
struct FilterPolicyTests {
    @Test(arguments: [
        (#"{"a":["x"]}"#, [#"{"a":"x"}"#, #"{"a":["y","x"]}"#], [#"{"a":"X"}"#, #"{"b":"x"}"#, "[]", "x"]),
        (#"{"a":[{"prefix":"x"}]}"#, [#"{"a":"xy"}"#], [#"{"a":"yx"}"#]),
        (#"{"a":[{"suffix":"x"}]}"#, [#"{"a":"yx"}"#], [#"{"a":"xy"}"#]),
        (#"{"a":[{"equals-ignore-case":"tennis"}]}"#, [#"{"a":"TENnis"}"#], [#"{"a":"tenni"}"#]),
        (#"{"a":[{"anything-but":["x","y"]}]}"#, [#"{"a":"z"}"#], [#"{"a":"x"}"#, "{}"]),
        (#"{"a":[{"anything-but":{"prefix":"x"}}]}"#, [#"{"a":"z"}"#], [#"{"a":"xz"}"#]),
        (#"{"a":[{"numeric":[">=",1,"<",2.5]}]}"#, [#"{"a":1}"#, #"{"a":2.25}"#], [#"{"a":2.5}"#, #"{"a":"2"}"#]),
        (#"{"a":[301.5]}"#, [#"{"a":301.5}"#, #"{"a":3.015e2}"#], [#"{"a":301}"#]),
        (#"{"a":[{"exists":true}]}"#, [#"{"a":null}"#], ["{}"]),
        (#"{"a":[{"exists":false}]}"#, ["{}"], [#"{"a":1}"#]),
        (
            #"{"a":{"b":["x"]},"c":[true]}"#, [#"{"a":{"b":"x"},"c":true}"#],
            [#"{"a":{"b":"x"}}"#, #"{"a":"x","c":true}"#]
        ),
        (#"{"a":["x"],"$or":[{"b":[1]},{"c":[2]}]}"#, [#"{"a":"x","c":2}"#], [#"{"a":"x"}"#, #"{"b":1}"#]),
        (#"{"a":{"b":["x"]}}"#, [#"{"a":[{"b":"y"},{"b":"x"}]}"#], [#"{"a":[{"b":"y"}]}"#]),
    ])
    func `a policy takes what the guide says`(policy: String, taken: [String], left: [String]) async throws {
        let room = try await MessagingRoom()
        try await room.send("CreateTopic", ["Name": "t"], isTopic: true)
        let url = try await room.makeQueue("q", ["Policy": MessagingRoom.policy("q")])
        _ = try await room.subscribe(
            MessagingRoom.arn("q"), "sqs",
            ["RawMessageDelivery": "true", "FilterPolicy": .string(policy), "FilterPolicyScope": "MessageBody"])
        for text in taken + left { try await room.publish(text) }
        #expect(try await room.bodies(url) == taken)
    }

    @Test(arguments: [
        "", "[]", #"{"a":"x"}"#, #"{"a":[]}"#, #"{"a":[{"unknown":"x"}]}"#, #"{"a":[{"numeric":["~",1]}]}"#,
        #"{"a":[["x"]]}"#, #"{"a":{"b":["x"]}}"#, #"{"$or":[{"a":["x"]}]}"#,
        #"{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}"#, #"{"a":[{"prefix":"x","suffix":"y"}]}"#,
    ])
    func `a policy that cannot be read is refused`(policy: String) async throws {
        let room = try await MessagingRoom()
        try await room.send("CreateTopic", ["Name": "t"], isTopic: true)
        let code = try await room.code(
            "Subscribe",
            [
                "TopicArn": .string(MessagingRoom.topic), "Protocol": "sqs",
                "Endpoint": .string(MessagingRoom.arn("q")),
                "Attributes": .list([
                    .structure(["key": "FilterPolicy", "value": .string(policy.isEmpty ? "no" : policy)])
                ]),
            ], isTopic: true)
        #expect(code == "InvalidParameter")
    }
}
