# SPDX-License-Identifier: Apache-2.0
"""What bucket policies can ask of a call: tags, versions, locks, the owner; and whom they can name."""

from __future__ import annotations

import json

import pytest
from conftest import code_of, error_of
from test_credentials import clients


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions, **conditions):
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", "Condition": conditions}


@pytest.fixture
def bucket(server, request):
    name = "cond-" + request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    server.client("s3").create_bucket(Bucket=name, ObjectLockEnabledForBucket="lock" in name)
    return name


def user(server, name, *statements):
    iam = server.client("iam")
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))
    return clients(server, iam.create_access_key(UserName=name)["AccessKey"])("s3")


def refused(call, **kw):
    error = error_of(call, **kw)
    assert code_of(error) in ("AccessDenied", "403"), error


def test_tags_of_the_object_that_is_there(server, bucket):
    s3 = server.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="team=blue")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", Tagging="team=red")
    s3.put_object(Bucket=bucket, Key="plain", Body=b"3")
    blue = user(server, "blue", allow(
        "s3:GetObject", "s3:GetObjectVersion", StringEquals={"s3:ExistingObjectTag/team": "blue"}))
    refused(blue.get_object, Bucket=bucket, Key="k")
    refused(blue.get_object, Bucket=bucket, Key="plain")
    refused(blue.get_object, Bucket=bucket, Key="absent")
    assert blue.get_object(Bucket=bucket, Key="k", VersionId=old)["Body"].read() == b"1"
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "team", "Value": "blue"}]})
    assert blue.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    # A bucket's policy asks as well, of its own root too.
    s3.put_bucket_policy(Bucket=bucket, Policy=document(
        {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*",
         "Condition": {"StringNotEquals": {"s3:ExistingObjectTag/team": "blue"}}}))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    refused(s3.get_object, Bucket=bucket, Key="plain")


def test_tags_that_are_asked_for(server, bucket):
    tagger = user(
        server, "tagger", {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"},
        allow("s3:PutObjectTagging", StringEquals={"s3:RequestObjectTag/team": "blue"},
              **{"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["team", "use"]}}))
    tagger.put_object(Bucket=bucket, Key="k", Body=b"1")
    for tags, isAllowed in ((dict(team="blue"), True), (dict(team="blue", use="x"), True), (dict(team="red"), False),
                            (dict(team="blue", other="x"), False)):
        asked = dict(Bucket=bucket, Key="k", Tagging={
            "TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]})
        tagger.put_object_tagging(**asked) if isAllowed else refused(tagger.put_object_tagging, **asked)


def test_versions_owners_and_locks(server, bucket):
    s3 = server.client("s3")
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    reader = user(server, "version-reader", allow("s3:GetObjectVersion", StringEquals={"s3:VersionId": first}))
    assert reader.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read() == b"1"
    refused(reader.get_object, Bucket=bucket, Key="k", VersionId=second)
    for name, account, isAllowed in (("mine", server.account_id, True), ("other", "999999999999", False)):
        lister = user(server, f"lister-{name}", allow("s3:ListBucket", StringEquals={"s3:ResourceAccount": account}))
        lister.list_objects_v2(Bucket=bucket) if isAllowed else refused(lister.list_objects_v2, Bucket=bucket)
    keeper = user(server, "keeper", {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, {
        "Effect": "Deny", "Action": "s3:PutObjectRetention", "Resource": "*",
        "Condition": {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}}}, {
        "Effect": "Deny", "Action": "s3:PutObjectRetention", "Resource": "*",
        "Condition": {"StringEquals": {"s3:object-lock-mode": "COMPLIANCE"}}})

    def retain(mode, days):
        from datetime import datetime, timedelta, timezone
        return dict(Bucket=bucket, Key="k", VersionId=first, Retention={
            "Mode": mode, "RetainUntilDate": datetime.now(timezone.utc) + timedelta(days=days)})

    keeper.put_object_retention(**retain("GOVERNANCE", 5))
    refused(keeper.put_object_retention, **retain("GOVERNANCE", 30))
    refused(keeper.put_object_retention, **retain("COMPLIANCE", 6))
    maker = user(server, "maker", allow("s3:CreateBucket", StringEquals={"s3:LocationConstraint": "eu-west-1"}))
    refused(maker.create_bucket, Bucket=f"{bucket}-us")


def test_whom_a_policy_names(server, bucket):
    s3, iam = server.client("s3"), server.client("iam")
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    arn = f"arn:aws:iam::{server.account_id}:user/named"

    def policy(principal):
        return document({"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject",
                         "Resource": f"arn:aws:s3:::{bucket}/*"})

    error = error_of(s3.put_bucket_policy, Bucket=bucket, Policy=policy({"AWS": arn}))
    assert code_of(error) == "MalformedPolicy" and "Invalid principal in policy" in str(error)
    named = user(server, "named")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy({"AWS": arn}))
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy({"AWS": arn})
    assert named.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    identifier = iam.get_user(UserName="named")["User"]["UserId"]
    for key in iam.list_access_keys(UserName="named")["AccessKeyMetadata"]:
        iam.delete_access_key(UserName="named", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="named")
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy({"AWS": identifier})
    refused(user(server, "named").get_object, Bucket=bucket, Key="k")
    # By the canonical id of an account, which lets whom the account lets.
    owner = s3.list_buckets()["Owner"]["ID"]
    s3.put_bucket_policy(Bucket=bucket, Policy=policy({"CanonicalUser": owner}))
    refused(user(server, "canonical").get_object, Bucket=bucket, Key="k")


def test_tags_of_trails(server):
    """CloudTrail's keys for the tags that a call brings along."""
    iam = server.client("iam")
    iam.create_user(UserName="trail-tagger")
    iam.put_user_policy(UserName="trail-tagger", PolicyName="p", PolicyDocument=document(
        allow("cloudtrail:AddTags", StringEquals={"aws:RequestTag/team": "blue"},
              **{"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}})))
    client = clients(server, iam.create_access_key(UserName="trail-tagger")["AccessKey"])("cloudtrail")
    trail = server.make_trail("tagged", start=False).arn
    client.add_tags(ResourceId=trail, TagsList=[{"Key": "team", "Value": "blue"}])
    for tags in ([{"Key": "team", "Value": "red"}], [{"Key": "team", "Value": "blue"}, {"Key": "x", "Value": "y"}]):
        error = error_of(client.add_tags, ResourceId=trail, TagsList=tags)
        assert code_of(error) == "AccessDeniedException"
