# SPDX-License-Identifier: Apache-2.0
"""S3 Block Public Access of buckets and accounts against anonymous callers, and what is recorded of them."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket

import botocore
import botocore.config
import pytest
from conftest import code_of, error_of, wait_until
from test_organizations import administrator, member, new_account

OFF = dict(BlockPublicAcls=False, IgnorePublicAcls=False, BlockPublicPolicy=False, RestrictPublicBuckets=False)
PATH = "/v20180820/configuration/publicAccessBlock"
#: What the AWS CLI is given so that names in front of `localhost` lead to it, as most resolvers do by themselves.
RESOLVER = """
import socket
real = socket.getaddrinfo
def found(host, *rest, **more):
    return real("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)
socket.getaddrinfo = found
"""


@contextlib.contextmanager
def local_names():
    real = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **more: real(
        "127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)
    try:
        yield
    finally:
        socket.getaddrinfo = real


@pytest.fixture(scope="module")
def other(server):
    """A second account: its id, and clients of its administrator."""
    admin = administrator(server)
    admin("organizations").create_organization(FeatureSet="ALL")
    account = new_account(admin("organizations"), "owner")
    return account, member(server, admin, account)


def anonymous(server, service="s3"):
    return server.client(service, config=botocore.config.Config(signature_version=botocore.UNSIGNED))


def public(bucket, *actions):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": list(actions) or ["s3:GetObject"],
         "Resource": [f"arn:aws:s3:::{bucket}/*", f"arn:aws:s3:::{bucket}"]}]})


def open_bucket(clients, bucket, *actions):
    s3 = clients("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OFF)
    s3.put_bucket_policy(Bucket=bucket, Policy=public(bucket, *actions))
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    return s3


def control(server, clients, **kw):
    """S3's control interface, whose clients put the account in front of the host."""
    return clients("s3control", endpoint_url=f"http://localhost:{server.port}", **kw)


def test_a_bucket_is_public_until_its_block_says_otherwise(server):
    s3 = open_bucket(server.client, "open-one")
    nobody = anonymous(server)
    assert nobody.get_object(Bucket="open-one", Key="k")["Body"].read() == b"hello"
    s3.put_public_access_block(
        Bucket="open-one", PublicAccessBlockConfiguration=dict(OFF, RestrictPublicBuckets=True))
    error = error_of(nobody.get_object, Bucket="open-one", Key="k")
    assert code_of(error) == "AccessDenied" and error.response["Error"]["Message"] == "Access Denied"
    assert s3.get_object(Bucket="open-one", Key="k")["Body"].read() == b"hello"
    assert s3.get_bucket_policy_status(Bucket="open-one")["PolicyStatus"]["IsPublic"] is True
    s3.put_public_access_block(Bucket="open-one", PublicAccessBlockConfiguration=dict(OFF, BlockPublicPolicy=True))
    assert nobody.get_object(Bucket="open-one", Key="k")["Body"].read() == b"hello", "what is there stays"
    error = error_of(s3.put_bucket_policy, Bucket="open-one", Policy=public("open-one"))
    assert code_of(error) == "AccessDenied" and "BlockPublicPolicy setting in S3 Block Public Access" in str(error)


def test_public_acls_are_blocked_and_never_heeded(server):
    """No ACL opens anything here: a public one is refused where it is blocked and where it is not."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket="acls", ObjectOwnership="ObjectWriter")
    s3.put_object(Bucket="acls", Key="k", Body=b"1")
    for block, code in ((dict(OFF, BlockPublicAcls=True), "AccessDenied"),
                        (dict(OFF, IgnorePublicAcls=True), "NotImplemented"), (OFF, "NotImplemented")):
        s3.put_public_access_block(Bucket="acls", PublicAccessBlockConfiguration=block)
        for refused in (error_of(s3.put_object, Bucket="acls", Key="k", Body=b"2", ACL="public-read"),
                        error_of(s3.put_object_acl, Bucket="acls", Key="k", ACL="public-read"),
                        error_of(s3.put_bucket_acl, Bucket="acls", ACL="public-read")):
            assert code_of(refused) == code, block
            assert code != "AccessDenied" or "BlockPublicAcls setting in S3 Block Public Access" in str(refused)
        assert code_of(error_of(anonymous(server).get_object, Bucket="acls", Key="k")) == "AccessDenied"


def test_an_accounts_block_counts_for_all_of_its_buckets(server, other):
    account, clients = other
    s3, nobody = open_bucket(clients, "open-two"), anonymous(server)
    with local_names():
        s3control = control(server, clients)
        error = error_of(s3control.get_public_access_block, AccountId=account)
        assert code_of(error) == "NoSuchPublicAccessBlockConfiguration"
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        assert nobody.get_object(Bucket="open-two", Key="k")["Body"].read() == b"hello"
        s3control.put_public_access_block(
            AccountId=account, PublicAccessBlockConfiguration=dict(OFF, RestrictPublicBuckets=True))
        assert s3control.get_public_access_block(AccountId=account)["PublicAccessBlockConfiguration"] == dict(
            OFF, RestrictPublicBuckets=True)
        assert code_of(error_of(nobody.get_object, Bucket="open-two", Key="k")) == "AccessDenied"
        assert code_of(error_of(server.client("s3").get_object, Bucket="open-two", Key="k")) == "AccessDenied"
        assert s3.get_object(Bucket="open-two", Key="k")["Body"].read() == b"hello"
        server.restart()
        assert code_of(error_of(nobody.get_object, Bucket="open-two", Key="k")) == "AccessDenied"
        s3control.put_public_access_block(
            AccountId=account, PublicAccessBlockConfiguration=dict(OFF, BlockPublicPolicy=True, BlockPublicAcls=True))
        assert nobody.get_object(Bucket="open-two", Key="k")["Body"].read() == b"hello"
        error = error_of(s3.put_bucket_policy, Bucket="open-two", Policy=public("open-two"))
        assert code_of(error) == "AccessDenied" and "BlockPublicPolicy" in str(error)
        s3.put_bucket_ownership_controls(
            Bucket="open-two", OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
        assert code_of(error_of(s3.put_bucket_acl, Bucket="open-two", ACL="public-read")) == "AccessDenied"
        s3control.delete_public_access_block(AccountId=account)
        s3.put_bucket_policy(Bucket="open-two", Policy=public("open-two"))
        # Nobody sets another account's.
        foreign = control(server, server.client)
        assert code_of(error_of(foreign.get_public_access_block, AccountId=account)) == "AccessDenied"
    events = {}
    for name in ("GetAccountPublicAccessBlock", "PutAccountPublicAccessBlock", "DeleteAccountPublicAccessBlock"):
        found = clients("cloudtrail").lookup_events(
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}])["Events"]
        events[name] = [json.loads(event["CloudTrailEvent"]) for event in found]
        assert events[name] and all(event["eventSource"] == "s3.amazonaws.com" for event in events[name])
    assert [event.get("errorCode") for event in events["GetAccountPublicAccessBlock"]][-1] \
        == "NoSuchPublicAccessBlockConfiguration"
    shown = events["PutAccountPublicAccessBlock"][-1]["requestParameters"]
    assert shown["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"] is True
    assert shown["Host"] == f"{account}.localhost:{server.port}"


def test_the_aws_cli_policies_and_a_bare_path(server, tmp_path):
    account = server.account_id
    (tmp_path / "sitecustomize.py").write_text(RESOLVER)
    cli = {"PYTHONPATH": str(tmp_path), "AWS_ENDPOINT_URL": f"http://localhost:{server.port}"}
    server.aws("s3control", "put-public-access-block", "--account-id", account, "--public-access-block-configuration",
               "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=false,RestrictPublicBuckets=false", env=cli)
    shown = server.aws_json("s3control", "get-public-access-block", "--account-id", account, env=cli)
    assert shown["PublicAccessBlockConfiguration"] == dict(OFF, BlockPublicAcls=True, IgnorePublicAcls=True)
    answer = server.signed("GET", PATH, service="s3", headers={"x-amz-account-id": account})
    assert answer.status == 200 and "<BlockPublicAcls>true</BlockPublicAcls>" in answer.text
    assert server.signed("GET", PATH, service="s3", headers={"x-amz-account-id": "x"}).code == "InvalidRequest"
    assert server.http("GET", PATH, {"x-amz-account-id": account}).code == "AccessDenied"
    elsewhere = server.signed("GET", "/v20180820/jobs", service="s3", headers={"x-amz-account-id": account})
    assert elsewhere.status == 501 and elsewhere.code == "NotImplemented"
    # A bucket's own object may have that name.
    server.client("s3").create_bucket(Bucket="v20180820")
    server.client("s3").put_object(Bucket="v20180820", Key="configuration/publicAccessBlock", Body=b"mine")
    assert server.body("v20180820", "configuration/publicAccessBlock") == b"mine"
    iam = server.client("iam")
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:GetAccountPublicAccessBlock", "Resource": "*"}}))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    given = dict(access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    assert server.signed("GET", PATH, service="s3", headers={"x-amz-account-id": account}, **given).status == 200
    refused = server.signed("DELETE", PATH, service="s3", headers={"x-amz-account-id": account}, **given)
    assert refused.code == "AccessDenied" and "s3:PutAccountPublicAccessBlock" in refused.text
    server.aws("s3control", "delete-public-access-block", "--account-id", account, env=cli)
    assert server.signed("GET", PATH, service="s3", headers={"x-amz-account-id": account}).status == 404


def test_anonymous_calls_are_recorded_in_the_owners_account(server, other):
    account, clients = other
    s3 = open_bucket(clients, "open-three", "s3:GetObject", "s3:PutObject", "s3:GetBucketLocation")
    s3.create_bucket(Bucket="open-three-logs")
    policy = server.trail_policy("open-three-logs")
    s3.put_bucket_policy(Bucket="open-three-logs", Policy=json.dumps(policy).replace(server.account_id, account))
    cloudtrail = clients("cloudtrail")
    cloudtrail.create_trail(Name="data", S3BucketName="open-three-logs")
    cloudtrail.put_event_selectors(TrailName="data", EventSelectors=[{
        "ReadWriteType": "All", "IncludeManagementEvents": False,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::open-three/"]}]}])
    cloudtrail.start_logging(Name="data")
    nobody = anonymous(server)
    nobody.get_object(Bucket="open-three", Key="k")
    nobody.put_object(Bucket="open-three", Key="theirs", Body=b"1")
    nobody.get_bucket_location(Bucket="open-three")
    refused = [error_of(nobody.get_bucket_policy, Bucket="open-three"),
               error_of(nobody.delete_object, Bucket="open-three", Key="k")]
    assert [code_of(error) for error in refused] == ["AccessDenied", "AccessDenied"]
    who = {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}

    def records():
        listed = s3.list_objects_v2(Bucket="open-three-logs").get("Contents", [])
        bodies = [s3.get_object(Bucket="open-three-logs", Key=item["Key"])["Body"].read()
                  for item in listed if item["Key"].endswith(".json.gz") and "Digest" not in item["Key"]]
        found = [record for body in bodies for record in json.loads(gzip.decompress(body))["Records"]]
        return {record["eventName"]: record for record in found if record["userIdentity"] == who}

    wait_until(lambda: {"GetObject", "PutObject", "DeleteObject"} <= set(records()), what="data events")
    for name, record in records().items():
        assert record["recipientAccountId"] == account and record.get("errorCode") == (
            "AccessDenied" if name == "DeleteObject" else None)
        assert record["resources"][1]["accountId"] == account, "the owner learns whose it is"
        assert "SignatureVersion" not in record["additionalEventData"]

    def management(name):
        found = cloudtrail.lookup_events(
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}])["Events"]
        return [event for item in found if (event := json.loads(item["CloudTrailEvent"]))["userIdentity"] == who]

    assert wait_until(lambda: management("GetBucketPolicy"))[0]["errorCode"] == "AccessDenied"
    assert "errorCode" not in wait_until(lambda: management("GetBucketLocation"))[0]
    mine = server.events(EventName="GetBucketPolicy", where=lambda event: event["userIdentity"] == who)
    assert not mine, "nothing of it is in another account"
    # What was written by nobody is settled like any call: nothing of it is unknown after a crash.
    server.kill()
    server.start()
    assert not management("PutObject")
    text = server.cairn("lookup", "--filter", "eventName = PutObject and additionalEventData.outcome = unknown", "--json")
    assert not text.stdout.strip()
