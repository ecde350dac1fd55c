// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Identity
import Policies
import Storage
import Synchronization
import Testing

/// An organization in a folder of its own, with its root and both policy types enabled.
final class OrganizationServiceTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "cairn-\(UUID().uuidString)").path
    private let management = "111111111111"
    private let now = Timestamp(seconds: 1_795_000_000)

    init() throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private struct House {
        let catalog: Catalog
        let store: OrganizationStore
        let identities: IdentityStore
        let service: OrganizationService
        var root = ""
    }

    private func open() async throws -> House {
        let catalog = try Catalog(path: "\(directory)/catalog.sqlite")
        let store = try await OrganizationStore.open(catalog)
        let identities = try await IdentityStore.open(catalog)
        let state = Mutex<UInt64>(3)
        let service = OrganizationService(
            store: store, identities: identities,
            randomBytes: { count in
                state.withLock { state in
                    (0..<count).map { _ in
                        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                        return UInt8(truncatingIfNeeded: state >> 33)
                    }
                }
            })
        return House(catalog: catalog, store: store, identities: identities, service: service)
    }

    private func made() async throws -> House {
        var house = try await open()
        _ = try await perform(house, "CreateOrganization", [:])
        let roots = try await perform(house, "ListRoots", [:])["Roots"]?.asList
        house.root = try #require(roots?.first?.asStructure?["Id"]?.asString)
        for type in ["SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"] {
            _ = try await perform(
                house, "EnablePolicyType", ["RootId": .string(house.root), "PolicyType": .string(type)])
        }
        return house
    }

    private func perform(
        _ house: House, _ operation: String, _ parameters: WireStructure, by account: String? = nil
    ) async throws -> WireStructure {
        let bound = try #require(house.service.service.operations[operation])
        let account = account ?? management
        let call = Call(
            caller: .root(of: account, accessKeyID: nil), accountID: account, region: "us-east-1", time: now,
            requestID: "00000000-0000-0000-0000-000000000001", eventID: "00000000-0000-0000-0000-000000000002",
            sourceAddress: "127.0.0.1", userAgent: nil, isSecureTransport: false)
        let answer = try await bound.perform(
            OperationRequest(
                operation: operation, parameters: parameters,
                http: try WireRequest(method: "POST", target: "/", headers: [])), call)
        if case .members(let members) = answer.body { return members }
        return [:]
    }

    private func refusal(
        _ house: House, _ operation: String, _ parameters: WireStructure, by account: String? = nil
    ) async -> String? {
        do {
            _ = try await perform(house, operation, parameters, by: account)
            return nil
        } catch { return (error as? AWSError)?.code }
    }

    private func account(_ house: House, _ name: String) async throws -> String {
        let made = try await perform(
            house, "CreateAccount", ["Email": .string("\(name)@example.com"), "AccountName": .string(name)])
        let id = try #require(made["CreateAccountStatus"]?.asStructure?["Id"])
        let status = try await perform(house, "DescribeCreateAccountStatus", ["CreateAccountRequestId": id])
        return try #require(status["CreateAccountStatus"]?.asStructure?["AccountId"]?.asString)
    }

    @Test func `what an operation touches is named by its ARN, the account's own right alone deciding`() async throws {
        let house = try await made()
        let id = try #require(house.store.controls(over: management).organizationID)
        func resources(_ operation: String, _ parameters: WireStructure) throws -> [String] {
            let bound = try #require(house.service.service.operations[operation])
            let request = OperationRequest(
                operation: operation, parameters: parameters,
                http: try WireRequest(method: "POST", target: "/", headers: []))
            let call = Call(
                caller: .root(of: management, accessKeyID: nil), accountID: management, region: "us-east-1", time: now,
                requestID: "r", eventID: "e", sourceAddress: "127.0.0.1", userAgent: nil, isSecureTransport: false)
            return bound.resources(request, call).map(\.arn)
        }
        let beginning = "arn:aws:organizations::\(management)"
        #expect(
            try resources(
                "MoveAccount",
                [
                    "AccountId": "222222222222", "SourceParentId": .string(house.root),
                    "DestinationParentId": "ou-abcd-12345678",
                ]) == [
                    "\(beginning):account/\(id)/222222222222", "\(beginning):root/\(id)/\(house.root)",
                    "\(beginning):ou/\(id)/ou-abcd-12345678",
                ])
        #expect(
            try resources("AttachPolicy", ["PolicyId": "p-FullAWSAccess", "TargetId": "222222222222"]).first
                == "arn:aws:organizations::aws:policy/service_control_policy/p-FullAWSAccess")
        #expect(
            try resources(
                "InviteAccountToOrganization", ["Target": .structure(["Id": "222222222222", "Type": "ACCOUNT"])])
                == ["\(beginning):account/\(id)/222222222222"])
        #expect(try resources("ListAccounts", [:]).isEmpty)
        #expect(try resources("DescribeAccount", ["AccountId": "*"]).isEmpty)
    }

    @Test func `an account inherits a level from the root, each unit and itself`() async throws {
        let house = try await made()
        let member = try await account(house, "dev")
        let unit = try await perform(
            house, "CreateOrganizationalUnit", ["ParentId": .string(house.root), "Name": "u"])
        let unitID = try #require(unit["OrganizationalUnit"]?.asStructure?["Id"])
        #expect(house.store.controls(over: member).service?.levels.map(\.count) == [1, 1])
        _ = try await perform(
            house, "MoveAccount",
            ["AccountId": .string(member), "SourceParentId": .string(house.root), "DestinationParentId": unitID])
        let controls = house.store.controls(over: member)
        #expect(controls.service?.levels.map(\.count) == [1, 1, 1])
        #expect(controls.resource?.levels.map(\.count) == [1, 1, 1])
        #expect(controls.service?.isManagementAccount == false)
        #expect(house.store.controls(over: management).service?.isManagementAccount == true)
        #expect(house.store.controls(over: "999999999999").organizationID == nil)
        let id = try #require(house.store.controls(over: member).organizationID)
        #expect(
            house.store.controls(over: member).organizationPath == "\(id)/\(house.root)/\(unitID.asString ?? "")/")
        #expect(house.store.controls(over: management).organizationPath == "\(id)/\(house.root)/")
    }

    @Test func `a new account has the role that the management account may assume`() async throws {
        let house = try await made()
        let member = try await account(house, "dev")
        let role = try #require(house.identities.role(named: "OrganizationAccountAccessRole", in: member))
        #expect(role.trust?.text.contains("arn:aws:iam::\(management):root") == true)
        #expect(role.trust?.compiled != nil)
        #expect(house.store.has(account: member))
    }

    @Test func `what is attached everywhere stays where it must`() async throws {
        let house = try await made()
        for policy in ["p-FullAWSAccess", "p-RCPFullAWSAccess"] {
            let parameters: WireStructure = ["PolicyId": .string(policy), "TargetId": .string(house.root)]
            #expect(await refusal(house, "DetachPolicy", parameters) == "ConstraintViolationException")
            #expect(await refusal(house, "AttachPolicy", parameters) == "DuplicatePolicyAttachmentException")
            #expect(await refusal(house, "DeletePolicy", ["PolicyId": .string(policy)]) == "InvalidInputException")
        }
    }

    @Test func `strangers and members see no more than they may`() async throws {
        let house = try await made()
        let member = try await account(house, "dev")
        #expect(await refusal(house, "DescribeOrganization", [:], by: member) == nil)
        #expect(await refusal(house, "ListAccounts", [:], by: member) == "AccessDeniedException")
        #expect(
            await refusal(house, "DescribeOrganization", [:], by: "999999999999") == "AWSOrganizationsNotInUseException"
        )
        #expect(await refusal(house, "CreateOrganization", [:], by: member) == "AlreadyInOrganizationException")
    }

    @Test func `service control policies are there to use before they are enabled in the root`() async throws {
        let house = try await open()
        let types: WireValue = .list([.structure(["Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"])])
        let made = try await perform(house, "CreateOrganization", ["FeatureSet": "ALL"])
        #expect(made["Organization"]?.asStructure?["AvailablePolicyTypes"] == types)
        let root = try await perform(house, "ListRoots", [:])["Roots"]?.asList?.first?.asStructure
        #expect(root?["PolicyTypes"] == .list([]))
        let id = try #require(root?["Id"])
        let asked: WireStructure = ["RootId": id, "PolicyType": "SERVICE_CONTROL_POLICY"]
        #expect(await refusal(house, "EnablePolicyType", asked) == nil)
        #expect(await refusal(house, "EnablePolicyType", asked) == "PolicyTypeAlreadyEnabledException")
        #expect(await refusal(house, "DisablePolicyType", asked) == nil)
        let shown = try await perform(house, "DescribeOrganization", [:])
        #expect(shown["Organization"]?.asStructure?["AvailablePolicyTypes"] == types)
    }

    @Test func `an account whose e-mail address is taken fails, which its request's status says`() async throws {
        let house = try await made()
        _ = try await account(house, "dev")
        let asked = try await perform(house, "CreateAccount", ["Email": "DEV@example.com", "AccountName": "again"])
        let status = try #require(asked["CreateAccountStatus"]?.asStructure)
        #expect(status["State"] == "IN_PROGRESS")
        let id = try #require(status["Id"])
        // What is kept is read again.
        let again = try await open()
        let described = try await perform(again, "DescribeCreateAccountStatus", ["CreateAccountRequestId": id])
        let failed = try #require(described["CreateAccountStatus"]?.asStructure)
        #expect(failed["State"] == "FAILED" && failed["FailureReason"] == "EMAIL_ALREADY_EXISTS")
        #expect(failed["AccountId"] == nil)
        for (states, count) in [(nil, 2), (["FAILED"], 1), (["SUCCEEDED"], 1), (["IN_PROGRESS"], 0)]
            as [([WireValue]?, Int)]
        {
            var parameters: WireStructure = [:]
            parameters.append("States", ifPresent: states.map { .list($0) })
            let listed = try await perform(again, "ListCreateAccountStatus", parameters)
            #expect(listed["CreateAccountStatuses"]?.asList?.count == count)
        }
        #expect(try await perform(again, "ListAccounts", [:])["Accounts"]?.asList?.count == 2)
    }

    @Test func `a service has no delegated administrator before it has access`() async throws {
        let house = try await made()
        let member = try await account(house, "dev")
        let asked: WireStructure = ["AccountId": .string(member), "ServicePrincipal": "config.amazonaws.com"]
        do {
            _ = try await perform(house, "RegisterDelegatedAdministrator", asked)
            Issue.record("registered")
        } catch let error as AWSError {
            #expect(error.code == "ConstraintViolationException")
            #expect(error.details.map(\.name) == ["Reason"])
            let answer = WireProtocol.json(version: "1.1").error(
                error, requestID: "r", hostID: "h", resource: "", hasBody: true)
            guard case .bytes(let bytes) = answer.body else { return }
            #expect(try WireValue(json: bytes).asStructure?["Reason"] == "SERVICE_ACCESS_NOT_ENABLED")
        }
        _ = try await perform(house, "EnableAWSServiceAccess", ["ServicePrincipal": "config.amazonaws.com"])
        #expect(await refusal(house, "RegisterDelegatedAdministrator", asked) == nil)
    }

    @Test func `pages follow each other without gap`() async throws {
        let house = try await made()
        for name in ["a1", "b2", "c3"] { _ = try await account(house, name) }
        var ids: [String] = []
        var token: WireValue?
        repeat {
            var parameters: WireStructure = ["MaxResults": 1]
            parameters.append("NextToken", ifPresent: token)
            let page = try await perform(house, "ListAccounts", parameters)
            ids += (page["Accounts"]?.asList ?? []).compactMap { $0.asStructure?["Id"]?.asString }
            token = page["NextToken"]
        } while token != nil
        #expect(ids.count == 4 && Set(ids).count == 4 && ids == ids.sorted())
    }

    @Test func `a policy that cannot be read allows nothing, and says which`() async throws {
        let house = try await made()
        let member = try await account(house, "dev")
        let content = #"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iam:*","Resource":"*"}]}"#
        let made = try await perform(
            house, "CreatePolicy",
            ["Name": "n", "Description": "", "Type": "SERVICE_CONTROL_POLICY", "Content": .string(content)])
        let id = try #require(made["Policy"]?.asStructure?["PolicySummary"]?.asStructure?["Id"]?.asString)
        _ = try await perform(house, "AttachPolicy", ["PolicyId": .string(id), "TargetId": .string(member)])
        #expect(house.store.controls(over: member).damaged.isEmpty)
        let key = CatalogKey("organization")
        let document = try await house.catalog.read { snapshot throws(AWSError) in try snapshot.get(key) }
        let text = String(decoding: try #require(document).value, as: UTF8.self)
        let damaged = Array(text.replacing(#"\"Deny\""#, with: "oops").utf8)
        try await house.catalog.write { transaction throws(AWSError) in try transaction.put(key, damaged) }
        let again = try await open()
        #expect(again.store.controls(over: member).damaged == [id])
        #expect(again.store.controls(over: management).damaged.isEmpty)
    }

    @Test func `a damaged document stops the start`() async throws {
        let house = try await made()
        try await house.catalog.write { transaction throws(AWSError) in
            try transaction.put(CatalogKey("organization"), Array("{}".utf8))
        }
        let catalog = house.catalog
        let error = await #expect(throws: AWSError.self) { _ = try await OrganizationStore.open(catalog) }
        #expect(error?.cause?.contains("`organization`") == true)
    }
}
