// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Policies

/// What would be decided, by the engine that decides.
extension IAMService {
    static let simulationOperations: [Operation<IAMService>] = [
        operation("SimulatePrincipalPolicy", .read, on: .nothing, IAMService.simulatePrincipalPolicy),
        operation("SimulateCustomPolicy", .read, on: .nothing, IAMService.simulateCustomPolicy),
        operation("GetContextKeysForCustomPolicy", .read, on: .nothing, IAMService.getContextKeysForCustomPolicy),
        operation(
            "GetContextKeysForPrincipalPolicy", .read, on: .nothing, IAMService.getContextKeysForPrincipalPolicy),
    ]

    private static let members = [
        "PolicyInputList", "PermissionsBoundaryPolicyInputList", "ActionNames", "ResourceArns", "ResourcePolicy",
        "ResourceOwner", "CallerArn", "ContextEntries", "ResourceHandlingOption", "Marker", "MaxItems",
    ]

    private static let contextKeyTypes = ["string", "numeric", "boolean", "ip", "binary", "date"].flatMap {
        [$0, $0 + "List"]
    }

    @Sendable func simulateCustomPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try known(input, Self.members)
        guard fields.structure["PolicyInputList"] != nil else { throw .missing("PolicyInputList") }
        let caller = try fields.arn("CallerArn").flatMap { Self.entityPlace($0) }
            .flatMap { store.account($0.account).entity($0.kind, named: $0.name) }
        return try simulate(fields, by: caller, PoliciesInForce(), call)
    }

    @Sendable func simulatePrincipalPolicy(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try known(input, Self.members + ["PolicySourceArn"])
        let entity = try source(fields, call)
        var policies = store.policiesInForce(for: entity)
        let own = controls(entity.accountID)
        policies.serviceControl = own.service
        policies.damaged += own.damaged
        return try simulate(fields, by: entity, policies, call)
    }

    private func known(_ input: IAMRequest, _ names: [String]) throws(AWSError) -> IAMFields {
        for member in input.parameters.members where !names.contains(member.name) {
            throw .validationError("1 validation error detected: unknown member '\(member.name)'")
        }
        return IAMFields(structure: input.parameters)
    }

    /// The user, group or role whose policies are asked for.
    private func source(_ fields: IAMFields, _ call: Call) throws(AWSError) -> IdentityEntity {
        let arn = try fields.requiredARN("PolicySourceArn")
        let resource = arn.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)[5].split(
            separator: "/")
        guard resource.count >= 2, IdentityEntity.Kind(rawValue: String(resource[0])) != nil else {
            throw .invalidInput(
                "Invalid Entity Arn: \(arn) does not clearly define entity type and name.")
        }
        let account = store.account(call.accountID)
        for kind in IdentityEntity.Kind.allCases {
            if let found = account.all(kind).first(where: { $0.arn == arn }) { return found }
        }
        throw .noSuchEntity("The principal \(arn) cannot be found.")
    }

    private func documents(
        _ fields: IAMFields, _ member: String, as kind: PolicyKind
    ) throws(AWSError) -> [PolicyDocument] {
        var documents: [PolicyDocument] = []
        for (index, text) in (try fields.strings(member) ?? []).enumerated() {
            do throws(PolicyError) {
                documents.append(try PolicyDocument.parse(Array(text.utf8), as: kind, name: "\(member).\(index + 1)"))
            } catch {
                throw AWSError("InvalidInput", error.message, recordedCode: "InvalidInputException")
            }
        }
        return documents
    }

    private func simulate(
        _ fields: IAMFields, by entity: IdentityEntity?, _ inForce: PoliciesInForce, _ call: Call
    ) throws(AWSError) -> IAMAnswer {
        var policies = inForce
        policies.identity += try documents(fields, "PolicyInputList", as: .identity)
        if let boundary = try documents(fields, "PermissionsBoundaryPolicyInputList", as: .boundary).first {
            policies.boundary = boundary
        }
        if let text = try fields.text("ResourcePolicy") {
            do throws(PolicyError) {
                policies.resource = try PolicyDocument.parse(
                    stored: Array(text.utf8), as: .resource(.other), name: "ResourcePolicy")
            } catch {
                throw AWSError("InvalidInput", error.message, recordedCode: "InvalidInputException")
            }
        }
        let principal = Self.principal(entity, account: call.accountID)
        var context = RequestContext(principal)
        context["aws:CurrentTime"] = ContextValue(call.time.iso8601)
        context["aws:EpochTime"] = ContextValue(String(call.time.seconds))
        for tag in entity?.tags ?? [] { context["aws:PrincipalTag/\(tag.key)"] = ContextValue(tag.value) }
        for item in try fields.list("ContextEntries") ?? [] {
            let entry = IAMFields(structure: item.asStructure ?? WireStructure())
            let name = try entry.required("ContextKeyName", max: 256)
            let values = try entry.strings("ContextKeyValues") ?? []
            let isList = try entry.word("ContextKeyType", Self.contextKeyTypes)?.hasSuffix("List") ?? false
            context[name] = isList ? ContextValue(set: values) : ContextValue(values.first ?? "")
        }
        guard let actions = try fields.strings("ActionNames"), !actions.isEmpty else { throw .missing("ActionNames") }
        let resources = try fields.strings("ResourceArns") ?? []
        let owner = try fields.arn("ResourceOwner").flatMap {
            $0.split(separator: ":", omittingEmptySubsequences: false).dropFirst(4).first.map(String.init)
        }
        var rows: [(name: String, value: WireValue)] = []
        for action in actions {
            guard action.contains(":") else {
                throw AWSError("InvalidInput", "Invalid action: \(action)", recordedCode: "InvalidInputException")
            }
            for resource in resources.isEmpty ? ["*"] : resources {
                let request = AuthorizationRequest(
                    principal: principal, action: action, resource: resource,
                    resourceAccount: owner ?? call.accountID, context: context)
                let decision = PolicyEvaluation.decide(request, policies)
                let all = policies.identity + [policies.boundary, policies.resource].compactMap { $0 }
                let missing = Set(all.flatMap(\.contextKeys)).filter { context[$0] == nil }.sorted()
                let place = String(rows.count)
                rows.append(
                    (
                        String(repeating: "0", count: max(0, 8 - place.count)) + place,
                        Self.result(decision, action, resource, missing: missing, policies)
                    ))
            }
        }
        return IAMAnswer(try fields.page(rows, by: \.name, "EvaluationResults", show: \.value))
    }

    private static func principal(_ entity: IdentityEntity?, account: String) -> Principal {
        guard let entity else {
            return .user(
                account: account, arn: "arn:aws:iam::\(account):user/simulated", name: "simulated", uniqueID: "")
        }
        switch entity.kind {
        case .user:
            return .user(account: entity.accountID, arn: entity.arn, name: entity.name, uniqueID: entity.id)
        case .group:
            return .user(account: entity.accountID, arn: entity.arn, name: entity.name, uniqueID: entity.id)
        case .role:
            return .roleSession(
                account: entity.accountID, roleARN: entity.arn, roleID: entity.id,
                sessionARN: "arn:aws:sts::\(entity.accountID):assumed-role/\(entity.name)/simulated",
                sessionName: "simulated")
        }
    }

    private static func result(
        _ decision: Decision, _ action: String, _ resource: String, missing: [String], _ policies: PoliciesInForce
    ) -> WireValue {
        let word =
            switch decision.verdict {
            case .allow: "allowed"
            case .implicitDeny: "implicitDeny"
            case .explicitDeny: "explicitDeny"
            }
        var members: WireStructure = [
            "EvalActionName": .string(action), "EvalResourceName": .string(resource), "EvalDecision": .string(word),
        ]
        var matched: [WireValue] = []
        if let statement = decision.statement {
            matched.append(
                .structure([
                    "SourcePolicyId": .string(statement.policy),
                    "SourcePolicyType": .string(
                        decision.policyType == .resource ? "Resource Policy" : "IAM Policy"),
                ]))
        }
        members.append("MatchedStatements", .list(matched))
        members.append("MissingContextValues", .list(missing.map { .string($0) }))
        if let controls = policies.serviceControl, !controls.isManagementAccount {
            members.append(
                "OrganizationsDecisionDetail",
                .structure(["AllowedByOrganizations": .bool(decision.policyType != .serviceControl)]))
        }
        if policies.boundary != nil {
            members.append(
                "PermissionsBoundaryDecisionDetail",
                .structure([
                    "AllowedByPermissionsBoundary": .bool(decision.isAllowed || decision.policyType != .boundary)
                ]))
        }
        return .structure(members)
    }

    // MARK: Context keys

    @Sendable func getContextKeysForCustomPolicy(
        _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicyInputList")
        guard fields.structure["PolicyInputList"] != nil else { throw .missing("PolicyInputList") }
        return Self.contextKeys(try documents(fields, "PolicyInputList", as: .identity))
    }

    @Sendable func getContextKeysForPrincipalPolicy(
        _ input: IAMRequest, _ call: Call
    ) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("PolicySourceArn", "PolicyInputList")
        let policies = store.policiesInForce(for: try source(fields, call))
        let more = try documents(fields, "PolicyInputList", as: .identity)
        return Self.contextKeys(policies.identity + [policies.boundary].compactMap { $0 } + more)
    }

    private static func contextKeys(_ documents: [PolicyDocument]) -> IAMAnswer {
        var seen: Set<String> = []
        let keys = documents.flatMap(\.contextKeys).filter { seen.insert($0.lowercased()).inserted }
        return IAMAnswer(["ContextKeyNames": .list(keys.map { .string($0) })])
    }
}
