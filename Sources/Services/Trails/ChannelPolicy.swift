// SPDX-License-Identifier: Apache-2.0
//
// The resource-based policy of a channel: who, besides those whom the policies of the channel's own account allow it, may call
// PutAuditEvents on it (CloudTrail User Guide, "AWS CloudTrail resource-based policy examples"; botocore's model
// cloudtrail/2013-11-01: PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy). It lies in the catalog as the document
// `channel-policy` ACCOUNT REGION ID, the text with users and roles by their ids, and goes with its channel.

package import AWSWire
package import Policies
internal import Storage
internal import Synchronization

extension TrailService {
    func putResourcePolicy(
        _ input: PutResourcePolicyInput, _ call: Call
    ) async throws(AWSError) -> ResourcePolicyOutput {
        let arn = try input.resource.channel()
        try await catalog.read { snapshot throws(AWSError) in try snapshot.checkPolicyHolder(arn, call) }
        let stored: [UInt8]
        do throws(PolicyError) {
            let bytes = Array(input.text.utf8)
            try PolicySizeLimit.trailResource.check(
                size: PolicySizeLimit.trailResource.size(of: bytes), kind: .resource(.cloudTrail))
            let document = try PolicyDocument.parse(bytes, as: .resource(.cloudTrail), name: arn.text)
            try ChannelPolicyRules.validate(document, channel: arn.text)
            stored = try document.textToStore(principals)
        } catch {
            throw .invalidResourcePolicy(error)
        }
        try await catalog.write { transaction throws(AWSError) in
            try transaction.checkPolicyHolder(arn, call)
            try transaction.put(TrailKeys.channelPolicy(arn), stored)
        }
        return ResourcePolicyOutput(arn: arn.text, policy: input.text)
    }

    func getResourcePolicy(_ input: ResourcePolicyInput, _ call: Call) async throws(AWSError) -> ResourcePolicyOutput {
        let arn = try input.resource.channel()
        let policy = try await catalog.read { snapshot throws(AWSError) -> [UInt8]? in
            try snapshot.checkPolicyHolder(arn, call)
            return try snapshot.get(TrailKeys.channelPolicy(arn))?.value
        }
        guard let policy else { throw .resourcePolicyNotFound(arn.text) }
        // What can no longer be read is shown as it is.
        let text = String(decoding: policy, as: UTF8.self)
        let shown = StoredPolicy(stored: text, as: .resource(.cloudTrail), name: arn.text)
            .compiled?.textToShow(principals)
        return ResourcePolicyOutput(arn: arn.text, policy: shown.map { String(decoding: $0, as: UTF8.self) } ?? text)
    }

    func deleteResourcePolicy(_ input: ResourcePolicyInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        let arn = try input.resource.channel()
        try await catalog.write { transaction throws(AWSError) in
            try transaction.checkPolicyHolder(arn, call)
            guard try transaction.get(TrailKeys.channelPolicy(arn)) != nil else {
                throw .resourcePolicyNotFound(arn.text)
            }
            try transaction.delete(TrailKeys.channelPolicy(arn))
        }
        return EmptyOutput()
    }

    /// The policy of the channel that a resource is, as far as it speaks of an action; nil where there is none.
    ///
    /// A channel's policy is about PutAuditEvents alone, so that one that is damaged can be replaced.
    package func policy(of resource: ResourceReference, action: String) async throws(AWSError) -> StoredPolicy? {
        guard action == "cloudtrail-data:PutAuditEvents", let arn = ChannelARN(resource.arn) else { return nil }
        let stored = try await catalog.read { snapshot throws(AWSError) in
            try snapshot.get(TrailKeys.channelPolicy(arn))?.value
        }
        guard let stored else { return nil }
        if let compiled = channelPolicies.withLock({ $0[stored] }) { return compiled }
        let compiled = StoredPolicy(
            stored: String(decoding: stored, as: UTF8.self), as: .resource(.cloudTrail), name: arn.text)
        channelPolicies.withLock { policies in
            if policies.count >= Limits.compiledPolicies { policies.removeAll(keepingCapacity: true) }
            policies[stored] = compiled
        }
        return compiled
    }
}

extension CatalogSnapshot {
    /// Checks that a channel exists, is the caller's, and of this region.
    ///
    /// - Throws: `ResourceNotFoundException`.
    fileprivate func checkPolicyHolder(_ arn: ChannelARN, _ call: Call) throws(AWSError) {
        guard arn.account == call.accountID, arn.region == call.region, try get(TrailKeys.channel(arn)) != nil else {
            throw .resourceNotFound(arn.text)
        }
    }
}

/// What a resource policy is put on: an ARN of CloudTrail's, by its form.
enum PolicyHolder: Sendable, Equatable {
    case channel(ChannelARN)
    /// A trail, an event data store or a dashboard: they have no policy here.
    case other(String)

    static let lengths = 3...256

    /// - Throws: `ResourceARNNotValidException`.
    init(_ text: String) throws(AWSError) {
        guard Self.lengths.contains(text.utf8.count), let kind = Self.kind(of: text) else {
            throw .invalidResourceARN(text)
        }
        if kind == "channel" {
            guard let arn = ChannelARN(text) else { throw .invalidResourceARN(text) }
            self = .channel(arn)
        } else {
            self = .other(text)
        }
    }

    /// - Throws: `ResourceTypeNotSupportedException`.
    func channel() throws(AWSError) -> ChannelARN {
        switch self {
        case .channel(let arn): return arn
        case .other(let text): throw .resourceTypeHasNoPolicy(text)
        }
    }

    private static func kind(of text: String) -> Substring? {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "arn", parts[2] == "cloudtrail",
            let slash = parts[5].firstIndex(of: "/"), parts[5].index(after: slash) < parts[5].endIndex
        else { return nil }
        return parts[5][..<slash]
    }
}

struct PutResourcePolicyInput: OperationInput {
    var resource: PolicyHolder
    var text: String

    init(_ request: OperationRequest) throws(AWSError) {
        let fields = try WireFields(request, known: ["ResourceArn", "ResourcePolicy"])
        resource = try PolicyHolder(try fields.requiredString("ResourceArn"))
        text = try fields.requiredString("ResourcePolicy")
    }
}

/// GetResourcePolicy and DeleteResourcePolicy.
struct ResourcePolicyInput: OperationInput {
    var resource: PolicyHolder

    init(_ request: OperationRequest) throws(AWSError) {
        resource = try PolicyHolder(try WireFields(request, known: ["ResourceArn"]).requiredString("ResourceArn"))
    }
}

struct ResourcePolicyOutput: OperationOutput {
    let arn: String
    let policy: String

    func answer() -> OperationAnswer {
        OperationAnswer(body: .members(["ResourceArn": .string(arn), "ResourcePolicy": .string(policy)]))
    }
}

extension AWSError {
    static func invalidResourceARN(_ text: String) -> AWSError {
        AWSError(
            "ResourceARNNotValidException",
            "`\(text)` is no ARN of a resource that can have a policy; the form of a channel's is "
                + "arn:aws:cloudtrail:us-east-1:123456789012:channel/GUID.")
    }

    static func resourceTypeHasNoPolicy(_ text: String) -> AWSError {
        AWSError(
            "ResourceTypeNotSupportedException",
            "On this server channels have resource-based policies, and \(text) is no channel.")
    }

    static func resourcePolicyNotFound(_ text: String) -> AWSError {
        AWSError("ResourcePolicyNotFoundException", "The resource \(text) has no resource-based policy.")
    }

    fileprivate static func invalidResourcePolicy(_ error: PolicyError) -> AWSError {
        AWSError("ResourcePolicyNotValidException", error.message, cause: "byte \(error.position): \(error.detail)")
    }
}
