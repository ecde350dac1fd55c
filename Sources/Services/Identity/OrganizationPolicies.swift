// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies

// MARK: - Policies over accounts, and tags

extension OrganizationService {
    static let policyOperations: [Operation<OrganizationService>] = [
        operation("EnablePolicyType", .write, on: ["RootId"], OrganizationService.enablePolicyType),
        operation("DisablePolicyType", .write, on: ["RootId"], OrganizationService.disablePolicyType),
        operation("CreatePolicy", .write, OrganizationService.createPolicy),
        operation("DescribePolicy", .read, on: ["PolicyId"], OrganizationService.describePolicy),
        operation("UpdatePolicy", .write, on: ["PolicyId"], OrganizationService.updatePolicy),
        operation("DeletePolicy", .write, on: ["PolicyId"], OrganizationService.deletePolicy),
        operation("ListPolicies", .read, OrganizationService.listPolicies),
        operation("AttachPolicy", .write, on: ["PolicyId", "TargetId"], OrganizationService.attachPolicy),
        operation("DetachPolicy", .write, on: ["PolicyId", "TargetId"], OrganizationService.detachPolicy),
        operation("ListPoliciesForTarget", .read, on: ["TargetId"], OrganizationService.listPoliciesForTarget),
        operation("ListTargetsForPolicy", .read, on: ["PolicyId"], OrganizationService.listTargets),
        operation("TagResource", .write, on: ["ResourceId"], OrganizationService.tagResource),
        operation("UntagResource", .write, on: ["ResourceId"], OrganizationService.untagResource),
        operation("ListTagsForResource", .read, on: ["ResourceId"], OrganizationService.listTags),
    ]

    private func type(_ fields: WireFields, _ name: String) throws(AWSError) -> Organization.PolicyType {
        let text = try required(fields, name)
        guard let type = Organization.PolicyType(rawValue: text) else {
            throw .organizationInput(
                "\(name) must be SERVICE_CONTROL_POLICY or RESOURCE_CONTROL_POLICY here, not \(text.prefix(64)).")
        }
        return type
    }

    private func summary(_ policy: Organization.Policy, _ organization: Organization) -> WireValue {
        .structure([
            "Id": .string(policy.id), "Arn": .string(organization.arn(of: policy)), "Name": .string(policy.name),
            "Description": .string(policy.description), "Type": .string(policy.type.rawValue),
            "AwsManaged": .bool(policy.isDefault),
        ])
    }

    private func answer(_ policy: Organization.Policy, _ organization: Organization) -> OrganizationAnswer {
        OrganizationAnswer([
            "Policy": .structure([
                "PolicySummary": summary(policy, organization), "Content": .string(policy.content),
            ])
        ])
    }

    // MARK: Types

    @Sendable func enablePolicyType(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("RootId", "PolicyType")
        let type = try type(fields, "PolicyType")
        let root = try required(fields, "RootId")
        let organization = try await change(call) { organization throws(AWSError) in
            guard organization.rootID == root else { throw .noSuchRoot }
            guard !organization.types.contains(type) else {
                throw .organizationConflict(
                    "PolicyTypeAlreadyEnabledException", "The specified policy type is already enabled.")
            }
            organization.types.append(type)
            for target in [root] + Array(organization.units.keys) + Array(organization.accounts.keys) {
                organization.attached[target, default: []].append(type.defaultID)
            }
            return organization
        }
        return OrganizationAnswer(["Root": shapeOfRoot(organization)])
    }

    @Sendable func disablePolicyType(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("RootId", "PolicyType")
        let type = try type(fields, "PolicyType")
        let root = try required(fields, "RootId")
        let organization = try await change(call) { organization throws(AWSError) in
            guard organization.rootID == root else { throw .noSuchRoot }
            try Self.checkEnabled(type, organization)
            organization.types.removeAll { $0 == type }
            for (target, ids) in organization.attached {
                let policies = organization.policies
                organization.attached[target] = ids.filter { policies[$0]?.type != type }
            }
            return organization
        }
        return OrganizationAnswer(["Root": shapeOfRoot(organization)])
    }

    private static func checkEnabled(
        _ type: Organization.PolicyType, _ organization: Organization
    ) throws(AWSError) {
        guard organization.types.contains(type) else {
            throw .organizationConflict(
                "PolicyTypeNotEnabledException",
                "This operation can be performed only for enabled policy types.")
        }
    }

    // MARK: Policies

    private static func check(content: String, _ type: Organization.PolicyType) throws(AWSError) {
        let text = Array(content.utf8)
        do {
            try type.limit.check(size: type.limit.size(of: text), kind: type.kind)
            _ = try PolicyDocument.parse(text, as: type.kind)
        } catch {
            throw AWSError(error.code, "\(error.message) \(error.detail)")
        }
    }

    private static func check(
        name: String, _ type: Organization.PolicyType, besides id: String?, _ organization: Organization
    ) throws(AWSError) {
        guard (1...128).contains(name.unicodeScalars.count) else {
            throw .organizationInput("Name must have 1 to 128 characters.")
        }
        guard
            !organization.policies.values.contains(where: { $0.name == name && $0.type == type && $0.id != id })
        else {
            throw .organizationConflict("DuplicatePolicyException", "A policy with the same name already exists.")
        }
    }

    @Sendable func createPolicy(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("Content", "Description", "Name", "Type", "Tags")
        let type = try type(fields, "Type")
        let name = try required(fields, "Name")
        let content = try required(fields, "Content")
        let description = try fields.string("Description") ?? ""
        guard description.unicodeScalars.count <= 512 else {
            throw .organizationInput("Description must have at most 512 characters.")
        }
        let tags = try Self.tags(fields)
        _ = try governed(call, mayDelegate: false)
        try Self.check(content: content, type)
        let id = freshID("p-", 8)
        let (policy, organization) = try await change(call) { organization throws(AWSError) in
            try Self.check(name: name, type, besides: nil, organization)
            guard organization.policies.count < Limits.policies else {
                throw .organizationLimit("You have exceeded the number of policies that an organization can have.")
            }
            let policy = Organization.Policy(
                id: id, name: name, description: description, type: type, content: content)
            organization.policies[id] = policy
            if !tags.isEmpty { organization.tags[id] = tags }
            return (policy, organization)
        }
        return answer(policy, organization)
    }

    @Sendable func describePolicy(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let id = try required(try input.fields("PolicyId"), "PolicyId")
        let organization = try governed(call)
        guard let policy = organization.policies[id] else { throw .noSuchPolicy }
        return answer(policy, organization)
    }

    @Sendable func updatePolicy(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("PolicyId", "Name", "Description", "Content")
        let id = try required(fields, "PolicyId")
        let name = try fields.string("Name")
        let description = try fields.string("Description")
        let content = try fields.string("Content")
        let (policy, organization) = try await change(call) { organization throws(AWSError) in
            guard let old = organization.policies[id] else { throw .noSuchPolicy }
            try Self.checkOwn(old)
            if let name { try Self.check(name: name, old.type, besides: id, organization) }
            if let content { try Self.check(content: content, old.type) }
            let policy = Organization.Policy(
                id: id, name: name ?? old.name, description: description ?? old.description, type: old.type,
                content: content ?? old.content)
            organization.policies[id] = policy
            return (policy, organization)
        }
        return answer(policy, organization)
    }

    private static func checkOwn(_ policy: Organization.Policy) throws(AWSError) {
        guard !policy.isDefault else {
            throw .organizationInput("You cannot change or delete a policy that is managed by AWS.")
        }
    }

    @Sendable func deletePolicy(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let id = try required(try input.fields("PolicyId"), "PolicyId")
        try await change(call) { organization throws(AWSError) in
            guard let policy = organization.policies[id] else { throw .noSuchPolicy }
            try Self.checkOwn(policy)
            guard !organization.attached.values.contains(where: { $0.contains(id) }) else {
                throw .organizationConflict(
                    "PolicyInUseException",
                    "The policy is attached to one or more entities. You must detach it from all roots, OUs, and "
                        + "accounts before performing this operation.")
            }
            organization.policies[id] = nil
            organization.tags[id] = nil
        }
        return OrganizationAnswer()
    }

    @Sendable func listPolicies(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("Filter", "NextToken", "MaxResults")
        let organization = try governed(call)
        let type = try type(fields, "Filter")
        let policies = organization.policies.values.filter { $0.type == type }
        return try page(policies, fields, named: "Policies", by: \.id) { summary($0, organization) }
    }

    // MARK: Attachments

    @Sendable func attachPolicy(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("PolicyId", "TargetId")
        let id = try required(fields, "PolicyId")
        let target = try required(fields, "TargetId")
        try await change(call) { organization throws(AWSError) in
            guard let policy = organization.policies[id] else { throw .noSuchPolicy }
            guard organization.isTarget(target) else { throw .noSuchTarget }
            try Self.checkEnabled(policy.type, organization)
            let attached = organization.policies(policy.type, on: target)
            guard !attached.contains(where: { $0.id == id }) else {
                throw .organizationConflict(
                    "DuplicatePolicyAttachmentException",
                    "The selected policy is already attached to the specified target.")
            }
            guard attached.count < Limits.attachedPerTarget else {
                throw .organizationLimit(
                    "You have attempted to exceed the number of policies that you can have attached to the target.")
            }
            organization.attached[target, default: []].append(id)
        }
        return OrganizationAnswer()
    }

    @Sendable func detachPolicy(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("PolicyId", "TargetId")
        let id = try required(fields, "PolicyId")
        let target = try required(fields, "TargetId")
        try await change(call) { organization throws(AWSError) in
            guard let policy = organization.policies[id] else { throw .noSuchPolicy }
            guard organization.isTarget(target) else { throw .noSuchTarget }
            let attached = organization.policies(policy.type, on: target)
            guard attached.contains(where: { $0.id == id }) else {
                throw .organizationConflict(
                    "PolicyNotAttachedException",
                    "The policy isn't attached to the specified target in the specified root.")
            }
            // The last service control policy stays, and RCPFullAWSAccess always.
            let mustStay = policy.type == .serviceControl ? attached.count == 1 : policy.isDefault
            guard !mustStay else {
                throw .organizationLimit(
                    "You cannot remove the last policy of this type from a target; each must have at least one.")
            }
            organization.attached[target]?.removeAll { $0 == id }
        }
        return OrganizationAnswer()
    }

    @Sendable func listPoliciesForTarget(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("TargetId", "Filter", "NextToken", "MaxResults")
        let organization = try governed(call)
        let target = try required(fields, "TargetId")
        guard organization.isTarget(target) else { throw .noSuchTarget }
        let policies = organization.policies(try type(fields, "Filter"), on: target)
        return try page(policies, fields, named: "Policies", by: \.id) { summary($0, organization) }
    }

    @Sendable func listTargets(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("PolicyId", "NextToken", "MaxResults")
        let organization = try governed(call)
        let id = try required(fields, "PolicyId")
        guard organization.policies[id] != nil else { throw .noSuchPolicy }
        let targets = organization.attached.filter { $0.value.contains(id) }.map(\.key)
        return try page(targets, fields, named: "Targets", by: { $0 }) { target in
            let (arn, name, type) =
                if let account = organization.accounts[target] {
                    (organization.arn(account: target), account.name, "ACCOUNT")
                } else if let unit = organization.units[target] {
                    (organization.arn(unit: target), unit.name, "ORGANIZATIONAL_UNIT")
                } else {
                    (organization.rootARN, "Root", "ROOT")
                }
            return .structure([
                "TargetId": .string(target), "Arn": .string(arn), "Name": .string(name), "Type": .string(type),
            ])
        }
    }

    // MARK: Tags

    private static func checkTaggable(_ id: String, _ organization: Organization) throws(AWSError) {
        guard organization.isTarget(id) || organization.policies[id]?.isDefault == false else { throw .noSuchTarget }
    }

    @Sendable func tagResource(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("ResourceId", "Tags")
        let id = try required(fields, "ResourceId")
        let tags = try Self.tags(fields)
        try await change(call) { organization throws(AWSError) in
            try Self.checkTaggable(id, organization)
            var all = organization.tags[id] ?? []
            for tag in tags {
                all.removeAll { $0.key == tag.key }
                all.append(tag)
            }
            guard all.count <= 50 else { throw .organizationLimit("A resource can have at most 50 tags.") }
            organization.tags[id] = all
        }
        return OrganizationAnswer()
    }

    @Sendable func untagResource(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("ResourceId", "TagKeys")
        let id = try required(fields, "ResourceId")
        let keys = try fields.strings("TagKeys") ?? []
        try await change(call) { organization throws(AWSError) in
            try Self.checkTaggable(id, organization)
            organization.tags[id]?.removeAll { keys.contains($0.key) }
        }
        return OrganizationAnswer()
    }

    @Sendable func listTags(
        _ input: OrganizationRequest, _ call: Call
    ) async throws(AWSError) -> OrganizationAnswer {
        let fields = try input.fields("ResourceId", "NextToken")
        let organization = try governed(call)
        let id = try required(fields, "ResourceId")
        try Self.checkTaggable(id, organization)
        return OrganizationAnswer(["Tags": Self.value(organization.tags[id] ?? [])])
    }
}
