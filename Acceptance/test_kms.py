# SPDX-License-Identifier: Apache-2.0
"""KMS by boto3 and the AWS CLI: keys, aliases, ciphertexts, policies, grants, and what events show of them."""

import base64
import contextlib
import json
import re

import pytest

from conftest import code_of, error_of


@pytest.fixture(scope="module")
def kms(server):
    return server.client("kms")


@pytest.fixture
def key(kms):
    return kms.create_key(Description="test")["KeyMetadata"]["Arn"]


def test_a_new_key_is_described_as_aws_describes_it(server, kms):
    made = kms.create_key(Description="d", Tags=[{"TagKey": "t", "TagValue": "v"}])["KeyMetadata"]
    assert re.fullmatch(rf"arn:aws:kms:{server.region}:{server.account_id}:key/[0-9a-f-]{{36}}", made["Arn"])
    described = kms.describe_key(KeyId=made["KeyId"])["KeyMetadata"]
    assert described == made
    assert described["KeyState"] == "Enabled" and described["Enabled"] is True
    assert described["KeySpec"] == described["CustomerMasterKeySpec"] == "SYMMETRIC_DEFAULT"
    assert described["KeyUsage"] == "ENCRYPT_DECRYPT" and described["Origin"] == "AWS_KMS"
    assert described["KeyManager"] == "CUSTOMER" and described["MultiRegion"] is False
    assert {"KeyId": made["KeyId"], "KeyArn": made["Arn"]} in [
        item for page in kms.get_paginator("list_keys").paginate() for item in page["Keys"]]
    assert kms.list_resource_tags(KeyId=made["KeyId"])["Tags"] == [{"TagKey": "t", "TagValue": "v"}]


def test_encrypt_and_decrypt_with_context(kms, key):
    sealed = kms.encrypt(KeyId=key, Plaintext=b"plain", EncryptionContext={"Purpose": "test"})
    assert sealed["KeyId"] == key
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"Purpose": "test"})
    assert opened["Plaintext"] == b"plain" and opened["KeyId"] == key
    for context in ({}, {"Purpose": "other"}, {"purpose": "test"}):
        error = error_of(kms.decrypt, CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context)
        assert code_of(error) == "InvalidCiphertextException"
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    error = error_of(kms.decrypt, CiphertextBlob=sealed["CiphertextBlob"], KeyId=other,
                     EncryptionContext={"Purpose": "test"})
    assert code_of(error) == "IncorrectKeyException"


def test_the_cli_encrypts_and_decrypts(server, key, tmp_path):
    (tmp_path / "plain").write_bytes(b"by the CLI")
    sealed = server.aws_json("kms", "encrypt", "--key-id", key, "--plaintext", f"fileb://{tmp_path}/plain")
    (tmp_path / "sealed").write_bytes(base64.b64decode(sealed["CiphertextBlob"]))
    opened = server.aws_json("kms", "decrypt", "--ciphertext-blob", f"fileb://{tmp_path}/sealed")
    assert base64.b64decode(opened["Plaintext"]) == b"by the CLI"


def test_data_keys(kms, key):
    made = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert len(made["Plaintext"]) == 32
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    blind = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=24)
    assert "Plaintext" not in blind
    assert len(kms.decrypt(CiphertextBlob=blind["CiphertextBlob"])["Plaintext"]) == 24
    assert len(kms.generate_random(NumberOfBytes=100)["Plaintext"]) == 100


def test_re_encrypt(kms, key):
    other = kms.create_key()["KeyMetadata"]["Arn"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    moved = kms.re_encrypt(CiphertextBlob=sealed, SourceEncryptionContext={"a": "1"}, DestinationKeyId=other,
                           DestinationEncryptionContext={"b": "2"})
    assert (moved["SourceKeyId"], moved["KeyId"]) == (key, other)
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"b": "2"})["Plaintext"] == b"x"


def test_aliases(kms, key):
    kms.create_alias(AliasName="alias/acceptance", TargetKeyId=key)
    assert kms.describe_key(KeyId="alias/acceptance")["KeyMetadata"]["Arn"] == key
    assert code_of(error_of(kms.create_alias, AliasName="alias/acceptance", TargetKeyId=key)) == "AlreadyExistsException"
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName="alias/acceptance", TargetKeyId=other)
    listed = kms.list_aliases(KeyId=other)["Aliases"]
    assert [(item["AliasName"], item["TargetKeyId"]) for item in listed] == [("alias/acceptance", other)]
    kms.delete_alias(AliasName="alias/acceptance")
    assert code_of(error_of(kms.describe_key, KeyId="alias/acceptance")) == "NotFoundException"
    assert code_of(error_of(kms.create_alias, AliasName="alias/aws/x", TargetKeyId=key)) == "NotAuthorizedException"


def test_states_and_deletion(kms, key):
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    assert code_of(error_of(kms.decrypt, CiphertextBlob=sealed)) == "DisabledException"
    kms.enable_key(KeyId=key)
    scheduled = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert scheduled["KeyId"] == key and scheduled["KeyState"] == "PendingDeletion"
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["DeletionDate"] == scheduled["DeletionDate"]
    assert code_of(error_of(kms.decrypt, CiphertextBlob=sealed)) == "KMSInvalidStateException"
    assert kms.cancel_key_deletion(KeyId=key)["KeyId"] == key
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"


def test_rotation_keeps_old_material(kms, key):
    sealed = kms.encrypt(KeyId=key, Plaintext=b"before")["CiphertextBlob"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=key)
    assert status["KeyRotationEnabled"] is True and status["RotationPeriodInDays"] == 90
    kms.rotate_key_on_demand(KeyId=key)
    rotations = kms.list_key_rotations(KeyId=key)["Rotations"]
    assert [item["RotationType"] for item in rotations] == ["ON_DEMAND"]
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"before"
    kms.disable_key_rotation(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False


def test_policy_and_its_errors(server, kms, key):
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    assert policy["Statement"][0]["Principal"]["AWS"] == f"arn:aws:iam::{server.account_id}:root"
    policy["Statement"].append({"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    error = error_of(kms.encrypt, KeyId=key, Plaintext=b"x")
    assert code_of(error) == "AccessDeniedException"
    assert "is not authorized to perform: kms:Encrypt on resource: " + key in str(error)
    assert server.event_of(error, EventName="Encrypt")["errorCode"] == "AccessDenied"
    for broken in ("{", json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "kms:*", "Resource": "*"}]})):
        assert code_of(error_of(kms.put_key_policy, KeyId=key, Policy=broken)) == "MalformedPolicyDocumentException"
    assert kms.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]


def test_a_policy_keeps_users_by_id_so_that_nobody_inherits_a_key(server, kms, key):
    """As at AWS: a deleted user's name gives its successor nothing, and unknown users are refused."""
    iam = server.client("iam")
    policy = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
    reader = f"arn:aws:iam::{server.account_id}:user/key-reader"
    policy["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": reader}, "Action": "kms:DescribeKey", "Resource": "*"})
    error = error_of(kms.put_key_policy, KeyId=key, Policy=json.dumps(policy))
    assert code_of(error) == "MalformedPolicyDocumentException"
    assert error.response["Error"]["Message"] == "Policy contains a statement with one or more invalid principals."
    assert code_of(error_of(kms.create_key, Policy=json.dumps(policy))) == "MalformedPolicyDocumentException"

    def describe_as_user():
        made = iam.create_access_key(UserName="key-reader")["AccessKey"]
        client = server.client("kms", aws_access_key_id=made["AccessKeyId"],
                               aws_secret_access_key=made["SecretAccessKey"])
        return lambda: client.describe_key(KeyId=key), made["AccessKeyId"]

    user_id = iam.create_user(UserName="key-reader")["User"]["UserId"]
    kms.put_key_policy(KeyId=key, Policy=json.dumps(policy))
    assert json.loads(kms.get_key_policy(KeyId=key)["Policy"]) == policy
    describe, access_key = describe_as_user()
    assert describe()["KeyMetadata"]["Arn"] == key

    iam.delete_access_key(UserName="key-reader", AccessKeyId=access_key)
    iam.delete_user(UserName="key-reader")
    iam.create_user(UserName="key-reader")
    describe, access_key = describe_as_user()
    assert code_of(error_of(describe)) == "AccessDeniedException"
    shown = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
    assert shown["Statement"][-1]["Principal"]["AWS"] == user_id
    iam.delete_access_key(UserName="key-reader", AccessKeyId=access_key)
    iam.delete_user(UserName="key-reader")


@contextlib.contextmanager
def user_of(server, name):
    """A user without policies, while it lasts: its ARN, and KMS as it sees it."""
    iam = server.client("iam")
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    made = iam.create_access_key(UserName=name)["AccessKey"]
    try:
        yield arn, server.client("kms", aws_access_key_id=made["AccessKeyId"],
                                 aws_secret_access_key=made["SecretAccessKey"])
    finally:
        iam.delete_access_key(UserName=name, AccessKeyId=made["AccessKeyId"])
        iam.delete_user(UserName=name)


def test_grants(server, kms, key):
    role = f"arn:aws:iam::{server.account_id}:role/app"
    made = kms.create_grant(KeyId=key, GranteePrincipal=role, Operations=["Decrypt", "Encrypt"], Name="n",
                            Constraints={"EncryptionContextEquals": {"a": "1"}})
    listed = kms.list_grants(KeyId=key)["Grants"]
    assert [item["GrantId"] for item in listed] == [made["GrantId"]]
    assert listed[0]["Constraints"] == {"EncryptionContextEquals": {"a": "1"}}
    event = server.event_of(made, EventName="CreateGrant")
    assert event["responseElements"] == {"grantId": made["GrantId"]}
    assert made["GrantToken"] not in json.dumps(event)
    kms.revoke_grant(KeyId=key, GrantId=made["GrantId"])
    assert kms.list_grants(KeyId=key)["Grants"] == []


def test_a_grantee_gives_no_more_than_it_was_given(server, kms, key):
    """A grant with CreateGrant allows grants of its own operations, under constraints as strict or stricter."""
    with user_of(server, "grantee") as (user, client):
        grant = dict(KeyId=key, GranteePrincipal=user)
        kms.create_grant(**grant, Operations=["Encrypt", "CreateGrant"])
        blob = client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        assert code_of(error_of(client.decrypt, CiphertextBlob=blob)) == "AccessDeniedException"
        for operations in (["Decrypt"], ["Encrypt", "Decrypt"], ["ReEncryptFrom"]):
            assert code_of(error_of(client.create_grant, **grant, Operations=operations)) == "AccessDeniedException"
        assert code_of(error_of(client.decrypt, CiphertextBlob=blob)) == "AccessDeniedException"
        client.create_grant(**grant, Operations=["Encrypt"])
        client.create_grant(**grant, Operations=["Encrypt"], Constraints={"EncryptionContextSubset": {"a": "1"}})

        subset = {"EncryptionContextSubset": {"d": "hr"}}
        kms.create_grant(**grant, Operations=["Decrypt", "CreateGrant"], Constraints=subset)
        for loose in ({}, {"Constraints": {"EncryptionContextSubset": {"e": "1"}}},
                      {"Constraints": {"EncryptionContextEquals": {"d": "it"}}}):
            error = error_of(client.create_grant, **grant, Operations=["Decrypt"], **loose)
            assert code_of(error) == "AccessDeniedException"
        for strict in (subset, {"EncryptionContextSubset": {"d": "hr", "e": "1"}},
                       {"EncryptionContextEquals": {"d": "hr"}}):
            client.create_grant(**grant, Operations=["Decrypt"], Constraints=strict)

        kms.create_grant(**grant, Operations=["GenerateDataKey", "CreateGrant"],
                         Constraints={"EncryptionContextEquals": {"d": "hr"}})
        for loose in ({"EncryptionContextSubset": {"d": "hr"}}, {"EncryptionContextEquals": {"d": "hr", "e": "1"}}):
            error = error_of(client.create_grant, **grant, Operations=["GenerateDataKey"], Constraints=loose)
            assert code_of(error) == "AccessDeniedException"
        client.create_grant(**grant, Operations=["GenerateDataKey"],
                            Constraints={"EncryptionContextEquals": {"d": "hr"}})
        for item in kms.list_grants(KeyId=key)["Grants"]:
            kms.revoke_grant(KeyId=key, GrantId=item["GrantId"])


def test_grants_are_retired_by_those_who_may(server, kms, key):
    names = ("grant-user", "grant-retirer", "grant-other")
    with contextlib.ExitStack() as stack:
        made = {name: stack.enter_context(user_of(server, name)) for name in names}
        users = {name: arn for name, (arn, _) in made.items()}
        clients = {name: client for name, (_, client) in made.items()}
        grant = dict(KeyId=key, GranteePrincipal=users["grant-user"], RetiringPrincipal=users["grant-retirer"])
        made = kms.create_grant(**grant, Operations=["Decrypt"])
        listed = kms.list_retirable_grants(RetiringPrincipal=users["grant-retirer"])["Grants"]
        assert [item["GrantId"] for item in listed] == [made["GrantId"]]
        assert listed[0]["RetiringPrincipal"] == users["grant-retirer"]
        assert kms.list_retirable_grants(RetiringPrincipal=users["grant-other"])["Grants"] == []
        for name in ("grant-user", "grant-other"):
            error = error_of(clients[name].retire_grant, GrantToken=made["GrantToken"])
            assert code_of(error) == "AccessDeniedException"
        error = error_of(clients["grant-retirer"].retire_grant, GrantToken=made["GrantToken"], DryRun=True)
        assert code_of(error) == "DryRunOperationException"
        assert len(kms.list_grants(KeyId=key)["Grants"]) == 1
        clients["grant-retirer"].retire_grant(GrantToken=made["GrantToken"])
        assert kms.list_grants(KeyId=key)["Grants"] == []
        assert code_of(error_of(kms.retire_grant, KeyId=key, GrantId=made["GrantId"])) == "NotFoundException"
        assert code_of(error_of(kms.retire_grant, GrantToken="bm9uc2Vuc2U=")) == "InvalidGrantTokenException"
        # A grantee that was given so much retires its own.
        made = kms.create_grant(**grant, Operations=["Decrypt", "RetireGrant"])
        clients["grant-user"].retire_grant(KeyId=key, GrantId=made["GrantId"])
        assert kms.list_grants(KeyId=key)["Grants"] == []


def test_descriptions_and_tags_change(kms, key):
    kms.update_key_description(KeyId=key, Description="logs of the auditors")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "logs of the auditors"
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "b", "TagValue": "2"}])
    kms.untag_resource(KeyId=key, TagKeys=["a"])
    assert {"TagKey": "b", "TagValue": "2"} in kms.list_resource_tags(KeyId=key)["Tags"]
    assert all(tag["TagKey"] != "a" for tag in kms.list_resource_tags(KeyId=key)["Tags"])
    missing = "00000000-0000-4000-8000-000000000000"
    assert code_of(error_of(kms.update_key_description, KeyId=missing, Description="")) == "NotFoundException"
    assert code_of(error_of(kms.untag_resource, KeyId=missing, TagKeys=["a"])) == "NotFoundException"


def test_a_dry_run_changes_nothing(kms, key):
    error = error_of(kms.encrypt, KeyId=key, Plaintext=b"x", DryRun=True)
    assert code_of(error) == "DryRunOperationException"
    error = error_of(kms.create_grant, KeyId=key, GranteePrincipal="arn:aws:iam::111122223333:role/r",
                     Operations=["Decrypt"], DryRun=True)
    assert code_of(error) == "DryRunOperationException"
    assert kms.list_grants(KeyId=key)["Grants"] == []


def test_the_case_of_a_context_key_does_not_count_in_a_grant(server, kms, key):
    with user_of(server, "case-grantee") as (user, client):
        for kind in ("EncryptionContextSubset", "EncryptionContextEquals"):
            grant = kms.create_grant(KeyId=key, GranteePrincipal=user, Operations=["Encrypt"],
                                     Constraints={kind: {"Team": "hr"}})
            client.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"tEAM": "hr"})
            for other in ({"Team": "HR"}, {"Teams": "hr"}, {}):
                error = error_of(client.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=other)
                assert code_of(error) == "AccessDeniedException"
            kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])


def test_events_show_context_and_no_secret(server, kms, key):
    made = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext={"Purpose": "test"})
    event = server.event_of(made, EventName="GenerateDataKey")
    assert event["eventSource"] == "kms.amazonaws.com" and event["readOnly"] is True
    assert event["requestParameters"] == {
        "keyId": key, "encryptionContext": {"Purpose": "test"}, "keySpec": "AES_256"}
    assert event["responseElements"] is None
    assert event["resources"] == [{"accountId": server.account_id, "type": "AWS::KMS::Key", "ARN": key}]
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"Purpose": "test"})
    event = server.event_of(opened, EventName="Decrypt")
    assert event["requestParameters"] == {
        "encryptionContext": {"Purpose": "test"}, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"}
    assert event["resources"][0]["ARN"] == key
    everything = server.events(EventSource="kms.amazonaws.com")
    secrets = [base64.b64encode(value).decode() for value in (made["Plaintext"], made["CiphertextBlob"])]
    assert everything and not any(secret in json.dumps(everything) for secret in secrets)


def test_creating_a_key_is_recorded_with_its_metadata(server, kms):
    made = kms.create_key()
    event = server.event_of(made, EventName="CreateKey")
    assert event["readOnly"] is False
    assert event["requestParameters"]["keySpec"] == "SYMMETRIC_DEFAULT"
    metadata = event["responseElements"]["keyMetadata"]
    assert metadata["arn"] == made["KeyMetadata"]["Arn"]
    assert metadata["aWSAccountId"] == server.account_id
    assert re.fullmatch(r"[A-Z][a-z]{2} \d{1,2}, \d{4}, \d{1,2}:\d\d:\d\d [AP]M", metadata["creationDate"])


def test_a_rotation_is_an_event_of_the_service(server, kms, key):
    kms.rotate_key_on_demand(KeyId=key)
    event = server.events(EventName="RotateKey", where=lambda event: event["resources"][0]["ARN"] == key, at_least=1)[0]
    assert event["eventType"] == "AwsServiceEvent"
    assert event["userIdentity"]["invokedBy"] == "AWS Internal"
    assert event["serviceEventDetails"] == {"keyId": key.rsplit("/", 1)[1]}
    assert event["requestParameters"] is None and "requestID" not in event


@pytest.mark.parametrize("call, code", [
    (dict(operation="describe_key", KeyId="00000000-0000-4000-8000-000000000000"), "NotFoundException"),
    (dict(operation="create_key", KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY"), "UnsupportedOperationException"),
    (dict(operation="create_key", MultiRegion=True), "UnsupportedOperationException"),
    (dict(operation="get_public_key", KeyId="alias/x"), "UnknownOperationException"),
    (dict(operation="decrypt", CiphertextBlob=b"nonsense"), "InvalidCiphertextException"),
])
def test_what_cannot_be_is_refused(kms, call, code):
    arguments = dict(call)
    assert code_of(error_of(getattr(kms, arguments.pop("operation")), **arguments)) == code


def test_keys_survive_a_kill(make_server):
    server = make_server()
    kms = server.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"kept")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key)
    newer = kms.encrypt(KeyId=key, Plaintext=b"kept too")["CiphertextBlob"]
    server.kill()
    server.start()
    kms = server.client("kms")
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"kept"
    assert kms.decrypt(CiphertextBlob=newer)["Plaintext"] == b"kept too"
