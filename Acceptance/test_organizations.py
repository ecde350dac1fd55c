# SPDX-License-Identifier: Apache-2.0
"""Accounts, the organization, and its policies: made, listed, and enforced on every call."""

import json
import re

import pytest
from conftest import code_of, error_of

ROLE = "OrganizationAccountAccessRole"


@pytest.fixture(scope="module")
def organization(server):
    """The organization's client (of an administrator in the management account), its description and its root."""
    admin = administrator(server)
    client = admin("organizations")
    described = client.create_organization(FeatureSet="ALL")["Organization"]
    # What is there to use is not yet enabled in the root: Terraform's provider enables it after this.
    assert described["AvailablePolicyTypes"] == [{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}]
    assert client.list_roots()["Roots"][0]["PolicyTypes"] == []
    root = client.list_roots()["Roots"][0]["Id"]
    client.enable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    client.enable_policy_type(RootId=root, PolicyType="RESOURCE_CONTROL_POLICY")
    return admin, client, described, root


def administrator(server):
    """Clients of a user with AdministratorAccess, by service name: root cannot assume roles."""
    iam = server.client("iam")
    iam.create_user(UserName="org-admin")
    iam.attach_user_policy(UserName="org-admin", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    key = iam.create_access_key(UserName="org-admin")["AccessKey"]
    return lambda service, **kw: server.client(
        service, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"], **kw)


def new_account(client, name):
    status = client.create_account(Email=f"{name}@example.com", AccountName=name)["CreateAccountStatus"]
    assert status["State"] == "IN_PROGRESS"
    done = client.describe_create_account_status(CreateAccountRequestId=status["Id"])["CreateAccountStatus"]
    assert done["State"] == "SUCCEEDED"
    return done["AccountId"]


def member(server, admin, account):
    """Clients of the management account's administrator inside of a member account."""
    given = admin("sts").assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/{ROLE}", RoleSessionName="inside")["Credentials"]
    return lambda service, **kw: server.client(
        service, aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"], **kw)


def policy(client, name, statement, kind="SERVICE_CONTROL_POLICY"):
    return client.create_policy(
        Name=name, Description="", Type=kind,
        Content=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))["Policy"]["PolicySummary"]["Id"]


def test_an_organization_has_aws_forms(server, organization):
    _, client, described, root = organization
    assert re.fullmatch(r"o-[a-z0-9]{10,32}", described["Id"])
    assert described["MasterAccountId"] == server.account_id
    assert described["Arn"] == f"arn:aws:organizations::{server.account_id}:organization/{described['Id']}"
    assert re.fullmatch(r"r-[0-9a-z]{4,32}", root)
    assert client.describe_organization()["Organization"]["Id"] == described["Id"]
    assert code_of(error_of(client.create_organization)) == "AlreadyInOrganizationException"


def test_a_new_account_is_listed_and_reached_by_its_role(server, organization):
    admin, client, described, _ = organization
    account = new_account(client, "dev")
    listed = [a for page in client.get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 1})
              for a in page["Accounts"]]
    assert {a["Id"] for a in listed} >= {account, server.account_id}
    assert client.describe_account(AccountId=account)["Account"]["Name"] == "dev"
    inside = member(server, admin, account)
    assert inside("sts").get_caller_identity()["Arn"] == f"arn:aws:sts::{account}:assumed-role/{ROLE}/inside"
    inside("iam").create_user(UserName="local")
    assert inside("organizations").describe_organization()["Organization"]["Id"] == described["Id"]
    assert code_of(error_of(inside("organizations").list_accounts)) == "AccessDeniedException"
    again = client.create_account(Email="DEV@example.com", AccountName="again")["CreateAccountStatus"]
    failed = client.describe_create_account_status(CreateAccountRequestId=again["Id"])["CreateAccountStatus"]
    assert (failed["State"], failed["FailureReason"]) == ("FAILED", "EMAIL_ALREADY_EXISTS")
    assert "AccountId" not in failed
    assert again["Id"] in [s["Id"] for s in client.list_create_account_status(States=["FAILED"])["CreateAccountStatuses"]]


def test_the_event_of_a_new_account_hides_names(server, organization):
    _, client, *_ = organization
    answer = client.create_account(Email="secret@example.com", AccountName="secret name")
    event = server.event_of(answer, region="us-east-1", EventName="CreateAccount")
    assert event["eventSource"] == "organizations.amazonaws.com"
    assert event["requestParameters"] == {"email": "****", "accountName": "****"}
    assert event["responseElements"]["createAccountStatus"]["state"] == "IN_PROGRESS"
    assert "secret" not in json.dumps(event)


def test_a_cross_account_role_is_an_event_in_both_accounts(server, organization):
    admin, client, *_ = organization
    account = new_account(client, "pair")
    answer = admin("sts").assume_role(RoleArn=f"arn:aws:iam::{account}:role/{ROLE}", RoleSessionName="pair")
    ours = server.event_of(answer, EventName="AssumeRole")
    given = answer["Credentials"]
    trail = server.client(
        "cloudtrail", aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"])
    found = trail.lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "AssumeRole"}])["Events"]
    theirs = json.loads(found[0]["CloudTrailEvent"])
    assert ours["sharedEventID"] == theirs["sharedEventID"] and ours["eventID"] != theirs["eventID"]
    assert theirs["recipientAccountId"] == account
    assert theirs["userIdentity"] == {
        "type": "AWSAccount", "principalId": ours["userIdentity"]["principalId"], "accountId": server.account_id}
    assert theirs["requestID"] == ours["requestID"]


def test_service_control_policies_bind_members_through_units(server, organization):
    admin, client, _, root = organization
    account = new_account(client, "bound")
    outer = client.create_organizational_unit(ParentId=root, Name="outer")["OrganizationalUnit"]["Id"]
    inner = client.create_organizational_unit(ParentId=outer, Name="inner")["OrganizationalUnit"]["Id"]
    client.move_account(AccountId=account, SourceParentId=root, DestinationParentId=inner)
    assert client.list_parents(ChildId=account)["Parents"] == [{"Id": inner, "Type": "ORGANIZATIONAL_UNIT"}]
    inside = member(server, admin, account)
    inside("iam").create_user(UserName="before")

    denied = policy(client, "no-users", {"Effect": "Deny", "Action": "iam:CreateUser", "Resource": "*"})
    client.attach_policy(PolicyId=denied, TargetId=outer)
    error = error_of(inside("iam").create_user, UserName="after")
    assert code_of(error) == "AccessDenied"
    assert "with an explicit deny in a service control policy" in str(error)
    client.detach_policy(PolicyId=denied, TargetId=outer)
    inside("iam").create_user(UserName="after")

    # A level that allows less is a bound as well; the last policy of a target stays.
    only = policy(client, "only-s3", {"Effect": "Allow", "Action": ["s3:*", "sts:*"], "Resource": "*"})
    assert code_of(error_of(client.detach_policy, PolicyId="p-FullAWSAccess", TargetId=inner)) \
        == "ConstraintViolationException"
    client.attach_policy(PolicyId=only, TargetId=inner)
    client.detach_policy(PolicyId="p-FullAWSAccess", TargetId=inner)
    error = error_of(inside("iam").list_users)
    assert "because no service control policy allows the iam:ListUsers action" in str(error)
    inside("s3").list_buckets()
    assert code_of(error_of(client.delete_policy, PolicyId=only)) == "PolicyInUseException"
    assert {p["Id"] for p in client.list_policies_for_target(
        TargetId=inner, Filter="SERVICE_CONTROL_POLICY")["Policies"]} == {only}
    assert [t["TargetId"] for t in client.list_targets_for_policy(PolicyId=only)["Targets"]] == [inner]


def test_the_management_account_is_not_bound(server, organization):
    admin, client, _, root = organization
    denied = policy(client, "no-list", {"Effect": "Deny", "Action": "iam:ListUsers", "Resource": "*"})
    client.attach_policy(PolicyId=denied, TargetId=root)
    try:
        admin("iam").list_users()
    finally:
        client.detach_policy(PolicyId=denied, TargetId=root)


def test_resource_control_policies_bind_the_roles_of_members(server, organization):
    admin, client, *_ = organization
    account = new_account(client, "guarded")
    assert [p["Name"] for p in client.list_policies_for_target(
        TargetId=account, Filter="RESOURCE_CONTROL_POLICY")["Policies"]] == ["RCPFullAWSAccess"]
    member(server, admin, account)
    denied = policy(
        client, "nobody", {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole", "Resource": "*"},
        kind="RESOURCE_CONTROL_POLICY")
    client.attach_policy(PolicyId=denied, TargetId=account)
    with pytest.raises(Exception, match="AccessDenied"):
        member(server, admin, account)


def test_what_is_wrong_has_its_own_error(server, organization):
    _, client, _, root = organization
    for code, call in {
        "MalformedPolicyDocumentException": lambda: client.create_policy(
            Name="bad", Description="", Type="SERVICE_CONTROL_POLICY", Content='{"Version":"2012-10-17"}'),
        "AccountNotFoundException": lambda: client.describe_account(AccountId="000000000001"),
        "ParentNotFoundException": lambda: client.create_organizational_unit(ParentId="r-zzzz", Name="x"),
        "PolicyNotFoundException": lambda: client.describe_policy(PolicyId="p-12345678"),
        "TargetNotFoundException": lambda: client.attach_policy(
            PolicyId="p-FullAWSAccess", TargetId="000000000001"),
        "PolicyTypeAlreadyEnabledException": lambda: client.enable_policy_type(
            RootId=root, PolicyType="SERVICE_CONTROL_POLICY"),
        "DuplicatePolicyAttachmentException": lambda: client.attach_policy(
            PolicyId="p-FullAWSAccess", TargetId=root),
        "MasterCannotLeaveOrganizationException": lambda: client.leave_organization(),
        "HandshakeNotFoundException": lambda: client.describe_handshake(HandshakeId="h-00000000"),
        "UnknownOperationException": lambda: client.enable_all_features(),
    }.items():
        assert code_of(error_of(call)) == code


def test_services_and_delegated_administrators(server, organization):
    admin, client, *_ = organization
    account = new_account(client, "delegate")
    service = "cloudtrail.amazonaws.com"
    error = error_of(client.register_delegated_administrator, AccountId=account, ServicePrincipal=service)
    assert code_of(error) == "ConstraintViolationException"
    assert error.response["Reason"] == "SERVICE_ACCESS_NOT_ENABLED"
    client.enable_aws_service_access(ServicePrincipal=service)
    assert [s["ServicePrincipal"] for s in client.list_aws_service_access_for_organization()[
        "EnabledServicePrincipals"]] == [service]
    client.register_delegated_administrator(AccountId=account, ServicePrincipal=service)
    assert [a["Id"] for a in client.list_delegated_administrators(ServicePrincipal=service)[
        "DelegatedAdministrators"]] == [account]
    inside = member(server, admin, account)("organizations")
    assert inside.list_accounts()["Accounts"]
    assert code_of(error_of(inside.create_organizational_unit, ParentId="r-x", Name="x")) == "AccessDeniedException"
    client.deregister_delegated_administrator(AccountId=account, ServicePrincipal=service)
    assert code_of(error_of(inside.list_accounts)) == "AccessDeniedException"


def user_of(clients, server, name, *statements):
    """A user of an account, given the account's clients: his own clients."""
    iam = clients("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": list(statements)}))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return lambda service: server.client(
        service, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


def test_operations_are_authorized_on_accounts_units_and_policies(server, organization):
    admin, client, described, root = organization
    account, other = new_account(client, "mine"), new_account(client, "yours")
    unit = client.create_organizational_unit(ParentId=root, Name="mine")["OrganizationalUnit"]
    arn = client.describe_account(AccountId=account)["Account"]["Arn"]
    root_arn = f"arn:aws:organizations::{server.account_id}:root/{described['Id']}/{root}"
    mover = user_of(
        admin, server, "mover",
        {"Effect": "Allow", "Action": "organizations:MoveAccount", "Resource": [arn, unit["Arn"], root_arn]},
        {"Effect": "Allow", "Action": "organizations:EnableAWSServiceAccess", "Resource": "*",
         "Condition": {"StringEquals": {"organizations:ServicePrincipal": "config.amazonaws.com"}}})("organizations")
    move = {"SourceParentId": root, "DestinationParentId": unit["Id"]}
    assert code_of(error_of(mover.move_account, AccountId=other, **move)) == "AccessDeniedException"
    mover.move_account(AccountId=account, **move)
    mover.enable_aws_service_access(ServicePrincipal="config.amazonaws.com")
    assert code_of(error_of(mover.enable_aws_service_access, ServicePrincipal="sso.amazonaws.com")) \
        == "AccessDeniedException"


def test_keys_say_whose_the_caller_and_the_resource_are(server, organization):
    admin, client, described, root = organization
    account = new_account(client, "keys")
    unit = client.create_organizational_unit(ParentId=root, Name="keys")["OrganizationalUnit"]["Id"]
    client.move_account(AccountId=account, SourceParentId=root, DestinationParentId=unit)
    path = f"{described['Id']}/{root}/{unit}/"
    inside = member(server, admin, account)
    inside("s3").create_bucket(Bucket="keys-of-a-unit")
    reader = user_of(
        inside, server, "reader",
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {
            "StringEquals": {"aws:ResourceOrgID": described["Id"], "aws:ResourceAccount": account},
            "ForAnyValue:StringLike": {"aws:ResourceOrgPaths": [f"{described['Id']}/{root}/*"],
                                       "aws:PrincipalOrgPaths": [path]}}},
        {"Effect": "Allow", "Action": "s3:GetBucketLocation", "Resource": "*", "Condition": {
            "ForAnyValue:StringEquals": {"aws:PrincipalOrgPaths": [f"{described['Id']}/{root}/"]}}})("s3")
    reader.list_objects_v2(Bucket="keys-of-a-unit")
    assert code_of(error_of(reader.get_bucket_location, Bucket="keys-of-a-unit")) == "AccessDenied"


def test_simulations_know_the_organization(server, organization):
    admin, client, *_ = organization
    account = new_account(client, "simulated")
    inside = member(server, admin, account)
    iam = inside("iam")
    iam.create_user(UserName="sim")
    iam.put_user_policy(UserName="sim", PolicyName="p", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}))
    denied = policy(client, "no-buckets", {"Effect": "Deny", "Action": "s3:CreateBucket", "Resource": "*"})
    client.attach_policy(PolicyId=denied, TargetId=account)
    arn = f"arn:aws:iam::{account}:user/sim"
    made, read = iam.simulate_principal_policy(
        PolicySourceArn=arn, ActionNames=["s3:CreateBucket", "s3:ListBucket"])["EvaluationResults"]
    assert made["EvalDecision"] == "explicitDeny" and read["EvalDecision"] == "allowed"
    assert made["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": False}
    assert read["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": True}


def test_members_leave_and_are_invited_back(server, organization):
    admin, client, described, root = organization
    account = new_account(client, "guest")
    inside = member(server, admin, account)("organizations")
    client.enable_aws_service_access(ServicePrincipal="config.amazonaws.com")
    client.register_delegated_administrator(AccountId=account, ServicePrincipal="config.amazonaws.com")
    assert code_of(error_of(inside.leave_organization)) == "ConstraintViolationException"
    client.deregister_delegated_administrator(AccountId=account, ServicePrincipal="config.amazonaws.com")
    inside.leave_organization()
    assert code_of(error_of(inside.describe_organization)) == "AWSOrganizationsNotInUseException"
    assert code_of(error_of(client.describe_account, AccountId=account)) == "AccountNotFoundException"

    invitation = client.invite_account_to_organization(
        Target={"Id": "guest@example.com", "Type": "EMAIL"}, Notes="come back")["Handshake"]
    assert re.fullmatch(r"h-[0-9a-z]{8,32}", invitation["Id"]) and invitation["State"] == "OPEN"
    assert invitation["Arn"] == \
        f"arn:aws:organizations::{server.account_id}:handshake/{described['Id']}/invite/{invitation['Id']}"
    assert {"Id": "guest@example.com", "Type": "EMAIL"} in invitation["Parties"]
    event = server.events(region="us-east-1", EventName="InviteAccountToOrganization", at_least=1)[0]
    assert "guest@example.com" not in json.dumps(event) and "come back" not in json.dumps(event)
    assert code_of(error_of(client.invite_account_to_organization, Target={"Id": account, "Type": "ACCOUNT"})) \
        == "DuplicateHandshakeException"
    # Only the one who was asked can answer.
    assert code_of(error_of(client.accept_handshake, HandshakeId=invitation["Id"])) == "HandshakeNotFoundException"
    inside.decline_handshake(HandshakeId=invitation["Id"])
    assert code_of(error_of(inside.accept_handshake, HandshakeId=invitation["Id"])) \
        == "InvalidHandshakeTransitionException"
    second = client.invite_account_to_organization(Target={"Id": account, "Type": "ACCOUNT"})["Handshake"]["Id"]
    client.cancel_handshake(HandshakeId=second)
    assert code_of(error_of(client.cancel_handshake, HandshakeId=second)) == "HandshakeAlreadyInStateException"
    third = client.invite_account_to_organization(Target={"Id": account, "Type": "ACCOUNT"})["Handshake"]["Id"]
    listed = {h["Id"]: h["State"] for h in inside.list_handshakes_for_account()["Handshakes"]}
    assert listed == {invitation["Id"]: "DECLINED", second: "CANCELED", third: "OPEN"}
    assert inside.accept_handshake(HandshakeId=third)["Handshake"]["State"] == "ACCEPTED"
    back = client.describe_account(AccountId=account)["Account"]
    assert back["Name"] == "guest" and back["JoinedMethod"] == "INVITED"
    assert client.list_parents(ChildId=account)["Parents"][0]["Id"] == root
    assert code_of(error_of(client.invite_account_to_organization, Target={"Id": account, "Type": "ACCOUNT"})) \
        == "HandshakeConstraintViolationException"
    client.remove_account_from_organization(AccountId=account)
    assert account not in {a["Id"] for a in client.list_accounts()["Accounts"]}


def test_a_closed_account_answers_nobody(server, organization):
    admin, client, *_ = organization
    account = new_account(client, "closing")
    inside = member(server, admin, account)
    local = user_of(inside, server, "local", {"Effect": "Allow", "Action": "*", "Resource": "*"})
    local("sts").get_caller_identity()
    client.close_account(AccountId=account)
    assert client.describe_account(AccountId=account)["Account"]["Status"] == "SUSPENDED"
    for clients in (inside, local):
        assert code_of(error_of(clients("sts").get_caller_identity)) == "InvalidClientTokenId"
    assert code_of(error_of(
        admin("sts").assume_role, RoleArn=f"arn:aws:iam::{account}:role/{ROLE}", RoleSessionName="no")) == "AccessDenied"
    assert code_of(error_of(client.close_account, AccountId=account)) == "AccountAlreadyClosedException"
    assert code_of(error_of(client.close_account, AccountId=server.account_id)) == "ConstraintViolationException"


def test_the_organization_survives_a_restart(server, organization):
    _, client, described, _ = organization
    def accounts(organizations):
        pages = organizations.get_paginator("list_accounts").paginate()
        return sorted((a["Id"], a["Status"]) for page in pages for a in page["Accounts"])

    before, handshakes = accounts(client), client.list_handshakes_for_organization()["Handshakes"]
    server.restart()
    again = server.client("organizations")
    assert again.describe_organization()["Organization"]["Id"] == described["Id"]
    assert accounts(again) == before
    assert again.list_handshakes_for_organization()["Handshakes"] == handshakes
