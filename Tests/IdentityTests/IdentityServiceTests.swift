// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Identity
import Testing

struct IdentityServiceTests {
    private func call(_ caller: Caller) -> Call {
        Call(
            caller: caller, accountID: "123456789012", region: "us-east-1", time: Timestamp(seconds: 0),
            requestID: "00000000-0000-0000-0000-000000000001", eventID: "00000000-0000-0000-0000-000000000002",
            sourceAddress: "127.0.0.1", userAgent: nil, isSecureTransport: false)
    }

    private func request(_ parameters: WireStructure = [:]) throws -> OperationRequest {
        OperationRequest(
            operation: "GetCallerIdentity", parameters: parameters,
            http: try WireRequest(method: "POST", target: "/", headers: []))
    }

    @Test func `GetCallerIdentity names the root`() async throws {
        let operation = try #require(IdentityService().service.operations["GetCallerIdentity"])
        let answer = try await operation.perform(
            request(), call(.root(of: "123456789012", accessKeyID: "AKIAIOSFODNN7EXAMPLE")))
        guard case .members(let members) = answer.body else {
            Issue.record("no members")
            return
        }
        #expect(members["UserId"] == "123456789012")
        #expect(members["Account"] == "123456789012")
        #expect(members["Arn"] == "arn:aws:iam::123456789012:root")
    }

    @Test func `GetCallerIdentity refuses a caller nobody knows, and unknown members`() async throws {
        let operation = try #require(IdentityService().service.operations["GetCallerIdentity"])
        let denied = await #expect(throws: AWSError.self) { try await operation.perform(request(), call(.unknown)) }
        #expect(denied?.code == "AccessDenied")
        let invalid = await #expect(throws: AWSError.self) {
            try await operation.perform(request(["Name": "x"]), call(.root(of: "123456789012", accessKeyID: nil)))
        }
        #expect(invalid?.status == 400)
    }

    @Test func `STS speaks Query of its version and reads only`() {
        let service = IdentityService().service
        #expect(service.name == "sts")
        #expect(service.eventSource == "sts.amazonaws.com")
        #expect(
            service.wireProtocol
                == .query(version: "2011-06-15", namespace: "https://sts.amazonaws.com/doc/2011-06-15/"))
        #expect(service.operations["GetCallerIdentity"]?.traits.access == .read)
        #expect(service.operations["GetCallerIdentity"]?.traits.category == .management)
    }
}
