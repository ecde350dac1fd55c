# SPDX-License-Identifier: Apache-2.0
"""Objects under keys of KMS and of customers, by boto3 and the AWS CLI; who may use a key, decided once."""

import base64
import json
from pathlib import Path

import boto3
import botocore.config
import pytest

from conftest import code_of, error_of

CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0123456789abcdef0123456789abcdef"}
OTHER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "1123456789abcdef0123456789abcdef"}


def allow(action, resource="*", **more) -> dict:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource="*", **more) -> dict:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def policy(*statements) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def client(server, service, key):
    """A client by other keys than the account's."""
    return boto3.client(
        service, endpoint_url=server.endpoint, region_name=server.region, aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"], aws_session_token=key.get("SessionToken"),
        config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}))


class User:
    def __init__(self, server, name, *statements):
        iam = server.client("iam")
        self.server = server
        self.arn = iam.create_user(UserName=name)["User"]["Arn"]
        self.key = iam.create_access_key(UserName=name)["AccessKey"]
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*statements))
        self.s3, self.kms = client(server, "s3", self.key), client(server, "kms", self.key)


@pytest.fixture(scope="module")
def s3(server):
    server.client("s3").create_bucket(Bucket="sse")
    return server.client("s3")


@pytest.fixture
def kms(server):
    return server.client("kms")


@pytest.fixture
def key(kms):
    return kms.create_key()["KeyMetadata"]["Arn"]


def root_of(server):
    return {"Sid": "root", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{server.account_id}:root"},
            "Action": "kms:*", "Resource": "*"}


def raw_bytes(server) -> bytes:
    return b"".join(path.read_bytes() for path in Path(server.data, "objects").rglob("*") if path.is_file())


def uses(server, key, name):
    return server.events(
        EventName=name, where=lambda event: (event.get("resources") or [{}])[0].get("ARN") == key
        and event["userIdentity"].get("invokedBy") is not None)


# -- objects ---------------------------------------------------------------------------------------------------------------


def test_an_object_under_a_key_of_kms(server, s3, kms, key):
    body = b"a line under a key of KMS that nobody may read\n" * 5000
    context = base64.b64encode(json.dumps({"team": "audit"}).encode()).decode()
    put = s3.put_object(Bucket="sse", Key="k", Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId=key.rsplit("/")[-1],
                        SSEKMSEncryptionContext=context)
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", key)
    assert json.loads(base64.b64decode(put["SSEKMSEncryptionContext"])) == {"team": "audit"}
    assert b"that nobody may read" not in raw_bytes(server)
    got = s3.get_object(Bucket="sse", Key="k")
    assert (got["ServerSideEncryption"], got["SSEKMSKeyId"]) == ("aws:kms", key) and got["Body"].read() == body
    assert s3.head_object(Bucket="sse", Key="k")["SSEKMSKeyId"] == key
    made, opened = uses(server, key, "GenerateDataKey"), uses(server, key, "Decrypt")
    assert len(made) == 1 and len(opened) == 1  # HEAD opens nothing
    bound = {"aws:s3:arn": "arn:aws:s3:::sse/k", "team": "audit"}
    assert made[0]["requestParameters"] == {
        "keyId": key.rsplit("/")[-1], "keySpec": "AES_256", "encryptionContext": bound}
    assert opened[0]["requestParameters"] == {
        "encryptionAlgorithm": "SYMMETRIC_DEFAULT", "encryptionContext": bound}
    for event in made + opened:
        assert event["userIdentity"]["arn"] == f"arn:aws:iam::{server.account_id}:root"
        assert event["userIdentity"]["invokedBy"] == "s3.amazonaws.com"
        assert event["sourceIPAddress"] == event["userAgent"] == "s3.amazonaws.com"
        assert event["responseElements"] is None and event["eventCategory"] == "Management"


def test_parts_and_copies_under_a_key(server, s3, key):
    pieces = [b"a part under KMS that nobody may see\n" * 150_000, b"the last part that nobody may see\n"]
    upload = s3.create_multipart_upload(Bucket="sse", Key="big", ServerSideEncryption="aws:kms", SSEKMSKeyId=key,
                                        BucketKeyEnabled=True)
    assert upload["BucketKeyEnabled"] is True
    parts = []
    for number, piece in enumerate(pieces, 1):
        part = s3.upload_part(Bucket="sse", Key="big", UploadId=upload["UploadId"], PartNumber=number, Body=piece)
        assert part["SSEKMSKeyId"] == key
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    done = s3.complete_multipart_upload(
        Bucket="sse", Key="big", UploadId=upload["UploadId"], MultipartUpload={"Parts": parts})
    assert done["SSEKMSKeyId"] == key
    assert server.body("sse", "big") == b"".join(pieces)
    assert b"that nobody may see" not in raw_bytes(server)
    s3.copy_object(Bucket="sse", Key="copy", CopySource="sse/big")
    assert s3.head_object(Bucket="sse", Key="copy")["ServerSideEncryption"] == "AES256"
    s3.copy_object(Bucket="sse", Key="copy", CopySource="sse/copy", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    assert s3.head_object(Bucket="sse", Key="copy")["SSEKMSKeyId"] == key
    assert server.body("sse", "copy") == b"".join(pieces)


def test_a_buckets_default(server, s3, key):
    s3.create_bucket(Bucket="sse-default")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
            "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket="sse-default", ServerSideEncryptionConfiguration={"Rules": [rule]})
    assert s3.get_bucket_encryption(Bucket="sse-default")["ServerSideEncryptionConfiguration"]["Rules"] == [rule]
    for name in "abc":
        put = s3.put_object(Bucket="sse-default", Key=name, Body=name.encode())
        assert put["SSEKMSKeyId"] == key and put["BucketKeyEnabled"] is True
        assert server.body("sse-default", name) == name.encode()
    assert len(uses(server, key, "GenerateDataKey")) == 1 and len(uses(server, key, "Decrypt")) == 1
    error = error_of(s3.put_bucket_encryption, Bucket="sse-default", ServerSideEncryptionConfiguration={
        "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms:dsse"}}]})
    assert code_of(error) == "NotImplemented"
    s3.delete_bucket_encryption(Bucket="sse-default")
    rules = s3.get_bucket_encryption(Bucket="sse-default")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert s3.put_object(Bucket="sse-default", Key="d", Body=b"d")["ServerSideEncryption"] == "AES256"


def test_the_accounts_own_key_by_the_cli(server, s3, kms, tmp_path):
    (tmp_path / "in").write_bytes(b"by the CLI")
    server.aws("s3", "cp", "--sse", "aws:kms", f"{tmp_path}/in", "s3://sse/cli")
    key = s3.head_object(Bucket="sse", Key="cli")["SSEKMSKeyId"]
    described = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert described["Arn"] == key and described["KeyManager"] == "AWS"
    server.aws("s3", "cp", "s3://sse/cli", f"{tmp_path}/out")
    assert (tmp_path / "out").read_bytes() == b"by the CLI"
    assert code_of(error_of(kms.encrypt, KeyId=key, Plaintext=b"x")) == "AccessDeniedException"


def test_keys_that_cannot_be_used(s3, kms, key):
    put = dict(Bucket="sse", Key="refused", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    s3.put_object(**dict(put, Key="once"))
    kms.disable_key(KeyId=key)
    assert code_of(error_of(s3.put_object, **put)) == "KMS.DisabledException"
    assert code_of(error_of(s3.get_object, Bucket="sse", Key="once")) == "KMS.DisabledException"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert code_of(error_of(s3.put_object, **put)) == "KMS.KMSInvalidStateException"
    unknown = key[:-12] + "000000000000"
    assert code_of(error_of(s3.put_object, **dict(put, SSEKMSKeyId=unknown))) == "KMS.NotFoundException"
    assert code_of(error_of(s3.put_object, **dict(put, ServerSideEncryption="aws:kms:dsse"))) == "NotImplemented"
    assert code_of(error_of(s3.head_object, Bucket="sse", Key="refused")) == "404"


def test_customers_keys(server, s3):
    body = b"a line under a customer's key that nobody may read\n" * 5000
    put = s3.put_object(Bucket="sse", Key="customer", Body=body, **CUSTOMER)
    assert put["SSECustomerAlgorithm"] == "AES256" and put["SSECustomerKeyMD5"]
    assert b"that nobody may read" not in raw_bytes(server)
    got = s3.get_object(Bucket="sse", Key="customer", **CUSTOMER)
    assert got["Body"].read() == body and got["SSECustomerKeyMD5"] == put["SSECustomerKeyMD5"]
    assert s3.head_object(Bucket="sse", Key="customer", **CUSTOMER)["ContentLength"] == len(body)
    assert code_of(error_of(s3.get_object, Bucket="sse", Key="customer")) == "InvalidRequest"
    assert code_of(error_of(s3.get_object, Bucket="sse", Key="customer", **OTHER)) == "AccessDenied"
    assert code_of(error_of(s3.head_object, Bucket="sse", Key="customer")) == "400"
    assert code_of(error_of(s3.get_object, Bucket="sse", Key="customer", SSECustomerAlgorithm="AES256",
                            SSECustomerKey="short")) == "InvalidArgument"
    copied = s3.copy_object(
        Bucket="sse", Key="customer2", CopySource="sse/customer", **OTHER,
        **{f"CopySource{name}": value for name, value in CUSTOMER.items()})
    assert copied["SSECustomerAlgorithm"] == "AES256"
    assert s3.get_object(Bucket="sse", Key="customer2", **OTHER)["Body"].read() == body
    assert ", 0 damaged" in server.cairn("scrub").stdout  # which needs no key
    # Neither the object's document nor any event has the key.
    everything = b"".join(path.read_bytes() for path in Path(server.data).rglob("*") if path.is_file())
    assert b"customer2" in everything
    for form in (CUSTOMER["SSECustomerKey"].encode(), base64.b64encode(CUSTOMER["SSECustomerKey"].encode()),
                 put["SSECustomerKeyMD5"].encode()):
        assert form not in everything


# -- who may -----------------------------------------------------------------------------------------------------------------


def test_reading_needs_the_object_and_the_key(server, s3, kms, key):
    s3.put_object(Bucket="sse", Key="both", Body=b"both", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    objects = allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::sse/*")
    reader = User(server, "sse-object-only", objects)
    error = error_of(reader.s3.get_object, Bucket="sse", Key="both")
    assert code_of(error) == "AccessDenied" and error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert (f"User: {reader.arn} is not authorized to perform: kms:Decrypt on resource: {key} because no identity-based "
            "policy allows the kms:Decrypt action") in str(error)
    error = error_of(reader.s3.put_object, Bucket="sse", Key="mine", Body=b"x", ServerSideEncryption="aws:kms",
                     SSEKMSKeyId=key)
    assert code_of(error) == "AccessDenied" and "kms:GenerateDataKey" in str(error)
    denied = server.events(EventName="Decrypt", where=lambda event: event["userIdentity"].get("arn") == reader.arn)
    assert denied[0]["errorCode"] == "AccessDenied" and denied[0]["userIdentity"]["invokedBy"] == "s3.amazonaws.com"

    keyholder = User(server, "sse-key-only", allow("kms:Decrypt", key))
    error = error_of(keyholder.s3.get_object, Bucket="sse", Key="both")
    assert code_of(error) == "AccessDenied" and "s3:GetObject" in str(error)

    through_s3 = User(server, "sse-through-s3", objects, allow(
        ["kms:Decrypt", "kms:GenerateDataKey"], key, Condition={
            "StringEquals": {"kms:ViaService": f"s3.{server.region}.amazonaws.com"},
            "StringLike": {"kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::sse/b*"}}))
    assert through_s3.s3.get_object(Bucket="sse", Key="both")["Body"].read() == b"both"
    assert code_of(error_of(through_s3.s3.put_object, Bucket="sse", Key="other", Body=b"x",
                            ServerSideEncryption="aws:kms", SSEKMSKeyId=key)) == "AccessDenied"
    assert code_of(error_of(through_s3.kms.generate_data_key, KeyId=key, KeySpec="AES_256")) == "AccessDeniedException"


def test_whom_the_key_alone_allows(server, s3, kms, key):
    """The key's policy or a grant is enough, without a policy of the caller's own."""
    user = User(server, "key-alone")
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    open_it = dict(CiphertextBlob=sealed, EncryptionContext={"a": "1"})
    error = error_of(user.kms.decrypt, **open_it)
    assert code_of(error) == "AccessDeniedException"
    assert f"{key} because no identity-based policy allows the kms:Decrypt action" in str(error)
    grant = kms.create_grant(KeyId=key, GranteePrincipal=user.arn, Operations=["Decrypt"],
                             Constraints={"EncryptionContextSubset": {"a": "1"}})
    assert user.kms.decrypt(**open_it)["Plaintext"] == b"x"
    assert code_of(error_of(user.kms.encrypt, KeyId=key, Plaintext=b"x")) == "AccessDeniedException"
    kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
    assert code_of(error_of(user.kms.decrypt, **open_it)) == "AccessDeniedException"

    statement = {"Effect": "Allow", "Principal": {"AWS": user.arn}, "Action": ["kms:Decrypt", "kms:DescribeKey"],
                 "Resource": "*"}
    kms.put_key_policy(KeyId=key, Policy=policy(root_of(server), statement))
    assert user.kms.decrypt(**open_it)["Plaintext"] == b"x"
    assert user.kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key
    assert code_of(error_of(user.kms.encrypt, KeyId=key, Plaintext=b"x")) == "AccessDeniedException"
    server.client("iam").put_user_policy(
        UserName="key-alone", PolicyName="no", PolicyDocument=policy(deny("kms:Decrypt")))
    error = error_of(user.kms.decrypt, **open_it)
    assert "with an explicit deny in an identity-based policy" in str(error)


def test_identity_policies_alone_do_nothing(server, kms):
    user = User(server, "identity-alone", allow("kms:*"))
    only = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{server.account_id}:user/nobody"},
            "Action": "kms:*", "Resource": "*"}
    server.client("iam").create_user(UserName="nobody")
    key = kms.create_key(Policy=policy(only), BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["Arn"]
    error = error_of(user.kms.describe_key, KeyId=key)
    assert code_of(error) == "AccessDeniedException"
    assert "because no resource-based policy allows the kms:DescribeKey action" in str(error)


def test_nobody_learns_of_keys_he_may_not_ask_for(server, key):
    stranger = User(server, "kms-stranger")
    for name in (key, key[:-12] + "000000000000", "alias/none"):
        assert code_of(error_of(stranger.kms.describe_key, KeyId=name)) == "AccessDeniedException"
    asker = User(server, "kms-asker", allow("kms:DescribeKey"))
    assert code_of(error_of(asker.kms.describe_key, KeyId=key[:-12] + "000000000000")) == "NotFoundException"


def test_a_key_of_another_account(server, s3, kms, key):
    organizations = server.client("organizations")
    try:
        organizations.create_organization(FeatureSet="ALL")
    except organizations.exceptions.AlreadyInOrganizationException:
        pass
    made = organizations.create_account(Email="sse@example.com", AccountName="sse")["CreateAccountStatus"]
    other = organizations.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"]["AccountId"]
    admin = User(server, "sse-admin", allow(["sts:AssumeRole"]))
    session = client(server, "sts", admin.key).assume_role(
        RoleArn=f"arn:aws:iam::{other}:role/OrganizationAccountAccessRole", RoleSessionName="session")["Credentials"]
    foreign = client(server, "kms", session)
    ask = dict(KeyId=key, KeySpec="AES_256")
    error = error_of(foreign.generate_data_key, **ask)
    assert code_of(error) == "AccessDeniedException" and "does not exist in this Region" in str(error)
    outside = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{other}:root"}, "Action": "kms:*", "Resource": "*"}
    kms.put_key_policy(KeyId=key, Policy=policy(root_of(server), outside))
    used = foreign.generate_data_key(**ask)
    assert used["KeyId"] == key
    # Managing it stays with its own account.
    assert code_of(error_of(foreign.schedule_key_deletion, KeyId=key)) in ("AccessDeniedException", "NotFoundException")
    here = server.events(EventName="GenerateDataKey", at_least=1, where=lambda event: event["userIdentity"].get(
        "accountId") == other and event["resources"][0]["ARN"] == key)
    assert here[0]["recipientAccountId"] == server.account_id and here[0]["sharedEventID"]


def test_policies_that_ask_for_encryption(server, s3, key):
    s3.create_bucket(Bucket="sse-only")
    s3.put_bucket_policy(Bucket="sse-only", Policy=policy(
        {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::sse-only/*",
         "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::sse-only/*",
         "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": key}}}))
    assert code_of(error_of(s3.put_object, Bucket="sse-only", Key="k", Body=b"x")) == "AccessDenied"
    assert code_of(error_of(s3.put_object, Bucket="sse-only", Key="k", Body=b"x",
                            ServerSideEncryption="aws:kms")) == "AccessDenied"
    s3.put_object(Bucket="sse-only", Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    s3.put_object(Bucket="sse-only", Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key.rsplit("/")[-1])


def test_anonymous_readers_cannot_use_keys(server, s3, key):
    s3.create_bucket(Bucket="sse-public")
    s3.delete_public_access_block(Bucket="sse-public")
    s3.put_bucket_policy(Bucket="sse-public", Policy=policy(
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::sse-public/*"}))
    s3.put_object(Bucket="sse-public", Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    answer = server.http("GET", "/sse-public/k")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert "require AWS Signature Version 4" in answer.text
