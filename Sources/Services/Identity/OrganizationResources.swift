// SPDX-License-Identifier: Apache-2.0
//
// What each operation is authorized on, and with which condition keys.
// Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS Organizations".

internal import AWSWire
internal import Policies

extension OrganizationService {
    /// Declares an operation that is authorized on what some of its members name; none for `*`.
    static func operation(
        _ name: String, _ access: OperationTraits.Access, on members: [String] = [],
        recorded: Operation<OrganizationService>.Recorded? = nil,
        _ perform:
            @escaping @Sendable (OrganizationService) ->
            @Sendable (OrganizationRequest, Call) async throws(AWSError)
            -> OrganizationAnswer
    ) -> Operation<OrganizationService> {
        Operation(
            name, access,
            on: { service, request, call in service.resources(members, request.parameters, call) },
            conditions: { service, request, _ in service.conditions(name, members, request.parameters) },
            recorded: recorded, perform: perform)
    }

    /// The ids that some members of a request give. An invitation names its target in a structure.
    private func ids(_ members: [String], _ parameters: WireStructure) -> [String] {
        members.compactMap { parameters[$0]?.asString ?? parameters[$0]?.asStructure?["Id"]?.asString }
    }

    private func resources(
        _ members: [String], _ parameters: WireStructure, _ call: Call
    ) -> [ResourceReference] {
        ids(members, parameters).compactMap { id in
            // Whoever may ask does so in the account's own right: no policy of another account stands between.
            arn(of: id).map { ResourceReference(type: "AWS::Organizations", arn: $0, accountID: call.accountID) }
        }
    }

    /// The ARN of whatever has such an id, whether or not it exists; nil for what is no id.
    private func arn(of id: String) -> String? {
        guard let organization = store.organization else { return nil }
        let beginning = "arn:aws:organizations::\(organization.management)"
        switch id.prefix(2) {
        case "r-": return "\(beginning):root/\(organization.id)/\(id)"
        case "ou": return organization.arn(unit: id)
        case "h-": return organization.arn(handshake: id)
        case "p-":
            if let policy = organization.policies[id] { return organization.arn(of: policy) }
            return "\(beginning):policy/\(organization.id)/service_control_policy/\(id)"
        default:
            guard id.utf8.count == 12, id.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            return organization.arn(account: id)
        }
    }

    private func conditions(
        _ name: String, _ members: [String], _ parameters: WireStructure
    ) -> [ConditionKey] {
        var keys: [ConditionKey] = []
        let ids = ids(members, parameters)
        let organization = store.organization
        let typeNamed =
            name == "CreatePolicy"
            ? parameters["Type"]
            : parameters["PolicyType"] ?? (name.hasPrefix("ListPolic") ? parameters["Filter"] : nil)
        if let type = typeNamed?.asString
            ?? ids.lazy.compactMap({ organization?.policies[$0]?.type.rawValue }).first
        {
            keys.append(ConditionKey("organizations:PolicyType", type))
        }
        if let principal = parameters["ServicePrincipal"]?.asString {
            keys.append(ConditionKey("organizations:ServicePrincipal", principal))
        }
        var tagKeys = parameters["TagKeys"]?.asList?.compactMap(\.asString) ?? []
        for tag in parameters["Tags"]?.asList?.compactMap(\.asStructure) ?? [] {
            guard let key = tag["Key"]?.asString else { continue }
            tagKeys.append(key)
            keys.append(ConditionKey("aws:RequestTag/\(key)", tag["Value"]?.asString ?? ""))
        }
        if !tagKeys.isEmpty { keys.append(ConditionKey("aws:TagKeys", set: tagKeys)) }
        if let first = ids.first {
            for tag in organization?.tags[first] ?? [] {
                keys.append(ConditionKey("aws:ResourceTag/\(tag.key)", tag.value))
            }
        }
        return keys
    }
}
