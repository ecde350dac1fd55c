// SPDX-License-Identifier: Apache-2.0

/// How a service's clients talk to it.
package enum WireProtocol: Sendable, Equatable {
    /// awsJson: the operation is the part of `X-Amz-Target` after the last dot.
    case json(version: String)
    /// Query with XML answers: the operation is the parameter `Action`.
    case query(version: String, namespace: String)
    /// S3's REST with XML.
    case restXML
    /// REST with JSON.
    case restJSON
}

/// What a REST request asks for: the operation's name and the members that the path, the query and the headers give.
package struct RoutedOperation: Sendable, Equatable {
    package var operation: String
    package var parameters: WireStructure
    /// The event's name, where it is not the operation's and the operation is not built.
    package var eventName: String?

    package init(operation: String, parameters: WireStructure, eventName: String? = nil) {
        self.operation = operation
        self.parameters = parameters
        self.eventName = eventName
    }
}

/// One AWS service: its names, its protocol and its operations, bound to the living object that performs them.
package struct Service: Sendable {
    /// The name in credential scopes and IAM actions, for example `cloudtrail`.
    package let name: String
    /// The event's source, for example `cloudtrail.amazonaws.com`.
    package let eventSource: String
    package let wireProtocol: WireProtocol
    /// The beginnings of `X-Amz-Target` that mean this service, without the dot before the operation.
    package let targetPrefixes: [String]
    /// The event's `apiVersion`, for the services that show one.
    package let apiVersion: String?
    /// Whether events carry us-east-1, whatever region was asked (IAM, STS's global endpoint, Organizations).
    package let isGlobal: Bool
    package private(set) var operations: [String: BoundOperation]
    /// Finds the operation of a REST request; nil for services whose protocol names it (JSON, Query).
    package private(set) var route: Route?
    /// What the event shows of a call to an operation that is not built, where that is not the decoded parameters.
    package let recorded: (@Sendable (OperationRequest) -> WireValue)?
    /// How the service words the door's refusal of a call that no policy allows, where that is not its protocol's way.
    package let denial: @Sendable (AWSError) -> AWSError

    package typealias Route = @Sendable (WireRequest) throws(AWSError) -> RoutedOperation

    package init<Owner: Sendable>(
        _ name: String, eventSource: String? = nil, _ wireProtocol: WireProtocol, targetPrefixes: [String] = [],
        apiVersion: String? = nil, isGlobal: Bool = false, owner: Owner, operations: [Operation<Owner>],
        route: Route? = nil, recorded: (@Sendable (OperationRequest) -> WireValue)? = nil,
        denial: @escaping @Sendable (AWSError) -> AWSError = { $0 }
    ) {
        self.denial = denial
        self.recorded = recorded
        self.route = route
        self.name = name
        self.eventSource = eventSource ?? "\(name).amazonaws.com"
        self.wireProtocol = wireProtocol
        self.targetPrefixes = targetPrefixes
        self.apiVersion = apiVersion
        self.isGlobal = isGlobal
        self.operations = Dictionary(
            operations.map { ($0.name, BoundOperation($0, owner: owner)) }, uniquingKeysWith: { _, last in last })
    }

    /// This service with the operations of another that has the same name and protocol: what this one does not route goes there.
    package func joined(with other: Service) -> Service {
        var joined = self
        joined.operations.merge(other.operations) { own, _ in own }
        if let route, let otherRoute = other.route {
            joined.route = { (request) throws(AWSError) in
                do throws(AWSError) { return try otherRoute(request) } catch { return try route(request) }
            }
        }
        return joined
    }

    /// The error that the protocol has for an operation that is not built.
    ///
    /// Always a client error (a 500 would make SDKs and Terraform retry without end); S3 has 501 `NotImplemented`.
    package func notBuilt(_ operation: String) -> AWSError {
        switch wireProtocol {
        case .json:
            AWSError("UnknownOperationException", "\(name):\(operation) is not an operation that this server offers.")
        case .query(let version, _):
            AWSError("InvalidAction", "Could not find operation \(operation) for version \(version)")
        case .restXML:
            AWSError(
                "NotImplemented", status: 501,
                "A header or query you provided implies functionality that is not "
                    + "implemented: \(operation).")
        case .restJSON:
            AWSError("UnknownOperationException", "\(operation) is not an operation that this server offers.")
        }
    }
}

/// An operation whose types are erased and whose owner is bound, once, at registration.
package struct BoundOperation: Sendable {
    package let name: String
    package let traits: OperationTraits
    package let resources: @Sendable (OperationRequest, Call) -> [ResourceReference]
    package let conditions: @Sendable (OperationRequest, Call) async throws(AWSError) -> [ConditionKey]
    package let recorded: (@Sendable (OperationRequest) -> WireValue)?
    package let perform: @Sendable (OperationRequest, Call) async throws(AWSError) -> OperationAnswer

    init<Owner>(_ operation: Operation<Owner>, owner: Owner) {
        name = operation.name
        traits = operation.traits
        recorded = operation.recorded
        resources = { request, call in operation.resources(owner, request, call) }
        conditions = { (request, call) async throws(AWSError) -> [ConditionKey] in
            try await operation.conditions(owner, request, call)
        }
        perform = { (request, call) async throws(AWSError) -> OperationAnswer in
            try await operation.perform(owner, request, call)
        }
    }
}
