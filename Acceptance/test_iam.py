# SPDX-License-Identifier: Apache-2.0
"""IAM by boto3: shapes, errors, and that what is stored is enforced and recorded."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import os
import re
import shutil
import struct
import subprocess
import time
from pathlib import Path

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from conftest import wait_until

TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


def policy(*statements) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more) -> dict:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource="*", **more) -> dict:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


@pytest.fixture(scope="module")
def iam(server):
    return server.client("iam")


class User:
    """An IAM user with an access key of its own."""

    def __init__(self, server, name: str):
        self.server, self.name = server, name
        iam = server.client("iam")
        self.arn = iam.create_user(UserName=name)["User"]["Arn"]
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.key, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        self._clients = {}

    def client(self, service: str):
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service, endpoint_url=self.server.endpoint, region_name=self.server.region,
                aws_access_key_id=self.key, aws_secret_access_key=self.secret,
                config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}))
        return self._clients[service]

    def grant(self, document: str, name: str = "p") -> None:
        self.server.client("iam").put_user_policy(UserName=self.name, PolicyName=name, PolicyDocument=document)


def refused(call, code: str, words: str = "", **kw) -> str:
    with pytest.raises(ClientError) as caught:
        call(**kw)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert words in error["Message"], error
    return error["Message"]


def events(server, name: str, **match) -> list[dict]:
    found = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}])["Events"]
    return [json.loads(event["CloudTrailEvent"]) for event in found]


def test_users(iam, server):
    made = iam.create_user(UserName="Alice", Path="/team/", Tags=[{"Key": "team", "Value": "audit"}])["User"]
    assert made["Arn"] == f"arn:aws:iam::{server.account_id}:user/team/Alice"
    assert made["UserId"].startswith("AIDA") and len(made["UserId"]) == 21
    assert iam.get_user(UserName="Alice")["User"]["Tags"] == [{"Key": "team", "Value": "audit"}]
    refused(iam.create_user, "EntityAlreadyExists", "User with name ALICE already exists.", UserName="ALICE")
    refused(iam.get_user, "NoSuchEntity", "The user with name nobody cannot be found.", UserName="nobody")
    refused(iam.create_user, "ValidationError", "regular expression", UserName="a b")
    iam.tag_user(UserName="Alice", Tags=[{"Key": "TEAM", "Value": "x"}, {"Key": "b", "Value": ""}])
    assert iam.list_user_tags(UserName="Alice")["Tags"] == [{"Key": "b", "Value": ""}, {"Key": "TEAM", "Value": "x"}]
    iam.untag_user(UserName="Alice", TagKeys=["team", "b"])
    assert iam.list_user_tags(UserName="Alice")["Tags"] == []
    iam.update_user(UserName="Alice", NewUserName="Alicia", NewPath="/")
    assert iam.get_user(UserName="Alicia")["User"]["UserId"] == made["UserId"]
    iam.delete_user(UserName="Alicia")
    refused(iam.delete_user, "NoSuchEntity", UserName="Alicia")


def test_pages(iam):
    names = [f"page-{number:02}" for number in range(7)]
    for name in names:
        iam.create_user(UserName=name, Path="/pages/")
    pages = list(iam.get_paginator("list_users").paginate(PathPrefix="/pages/", PaginationConfig={"PageSize": 3}))
    assert [len(page["Users"]) for page in pages] == [3, 3, 1]
    assert [user["UserName"] for page in pages for user in page["Users"]] == names
    for name in names:
        iam.delete_user(UserName=name)


def test_pages_of_versions_aliases_and_tags(iam, server):
    arn = iam.create_policy(PolicyName="paged", PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
    for _ in range(4):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy(allow("s3:*")))
    keys = ["env", "ENV", "Env", "b", "B"]
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": key, "Value": "v"} for key in keys])
    provider = iam.create_open_id_connect_provider(
        Url="https://paged.example.com", ThumbprintList=["0" * 40],
        Tags=[{"Key": key, "Value": "v"} for key in keys])["OpenIDConnectProviderArn"]

    def one_by_one(call, member, **kw):
        rows, marker = [], {}
        while marker is not None:
            page = call(MaxItems=1, **kw, **marker)
            assert len(page[member]) <= 1
            rows += page[member]
            marker = {"Marker": page["Marker"]} if page["IsTruncated"] else None
        return rows

    versions = one_by_one(iam.list_policy_versions, "Versions", PolicyArn=arn)
    assert [v["VersionId"] for v in versions] == ["v5", "v4", "v3", "v2", "v1"]
    assert sorted(t["Key"] for t in one_by_one(iam.list_policy_tags, "Tags", PolicyArn=arn)) == sorted(keys)
    assert sorted(t["Key"] for t in one_by_one(
        iam.list_open_id_connect_provider_tags, "Tags", OpenIDConnectProviderArn=provider)) == sorted(keys)
    for call, more in ((iam.list_policy_versions, {"PolicyArn": arn}), (iam.list_account_aliases, {})):
        refused(call, "ValidationError", Marker="bogus!!", **more)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider)


def test_control_characters_never_make_an_answer_unreadable(iam):
    trust = json.dumps(TRUST)
    refused(iam.create_role, "ValidationError", RoleName="control", AssumeRolePolicyDocument=trust, Description="a\x01b")
    refused(iam.create_policy, "ValidationError", PolicyName="control", PolicyDocument=policy(allow("s3:*")),
            Description="a\x01b")
    iam.create_user(UserName="control")
    message = refused(iam.tag_user, "ValidationError", UserName="control", Tags=[{"Key": "k", "Value": "a\x01b\uffff"}])
    assert "a\ufffdb\ufffd" in str(message)
    refused(iam.tag_user, "ValidationError", UserName="control", Tags=[{"Key": "k!", "Value": "v"}])
    assert iam.list_user_tags(UserName="control")["Tags"] == []
    # Whatever has no pattern of its own is shown readable.
    arn = iam.create_open_id_connect_provider(
        Url="https://control.example.com", ClientIDList=["a\x01"], ThumbprintList=["0" * 40])["OpenIDConnectProviderArn"]
    assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ClientIDList"] == ["a\ufffd"]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    iam.delete_user(UserName="control")


def test_access_keys(iam, server):
    user = User(server, "keys")
    assert user.client("sts").get_caller_identity()["Arn"] == user.arn
    second = iam.create_access_key(UserName="keys")["AccessKey"]
    refused(iam.create_access_key, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2", UserName="keys")
    used = wait_until(lambda: iam.get_access_key_last_used(AccessKeyId=user.key)["AccessKeyLastUsed"])
    assert used["ServiceName"] == "sts" and used["LastUsedDate"]
    assert iam.get_access_key_last_used(AccessKeyId=second["AccessKeyId"])["AccessKeyLastUsed"]["Region"] == "N/A"
    iam.update_access_key(UserName="keys", AccessKeyId=user.key, Status="Inactive")
    refused(user.client("sts").get_caller_identity, "InvalidClientTokenId")
    iam.update_access_key(UserName="keys", AccessKeyId=user.key, Status="Active")
    user.client("sts").get_caller_identity()
    refused(iam.delete_user, "DeleteConflict", "must delete access keys first", UserName="keys")
    for key in iam.list_access_keys(UserName="keys")["AccessKeyMetadata"]:
        iam.delete_access_key(UserName="keys", AccessKeyId=key["AccessKeyId"])
    refused(user.client("sts").get_caller_identity, "InvalidClientTokenId")
    iam.delete_user(UserName="keys")
    text = json.dumps(events(server, "CreateAccessKey"))
    assert user.key in text and user.secret not in text and second["SecretAccessKey"] not in text


def test_groups(iam):
    iam.create_group(GroupName="staff")
    iam.create_user(UserName="member")
    iam.add_user_to_group(GroupName="staff", UserName="member")
    assert [u["UserName"] for u in iam.get_group(GroupName="staff")["Users"]] == ["member"]
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName="member")["Groups"]] == ["staff"]
    refused(iam.delete_group, "DeleteConflict", "must remove users from group first", GroupName="staff")
    refused(iam.delete_user, "DeleteConflict", UserName="member")
    iam.remove_user_from_group(GroupName="staff", UserName="member")
    iam.delete_group(GroupName="staff")
    iam.delete_user(UserName="member")


def test_managed_policies(iam, server):
    document = policy(allow("s3:GetObject", "arn:aws:s3:::b/*"))
    arn = iam.create_policy(PolicyName="reader", PolicyDocument=document, Description="reads")["Policy"]["Arn"]
    assert arn == f"arn:aws:iam::{server.account_id}:policy/reader"
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == json.loads(document)
    refused(iam.create_policy, "EntityAlreadyExists", PolicyName="reader", PolicyDocument=document)
    refused(iam.create_policy, "MalformedPolicyDocument", PolicyName="x", PolicyDocument="{}")
    refused(iam.create_policy, "MalformedPolicyDocument", "Syntax errors in policy.", PolicyName="x",
            PolicyDocument='{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Do": "s3:*", "Resource": "*"}}')
    refused(iam.create_policy, "LimitExceeded", "Cannot exceed quota for PolicySize: 6144", PolicyName="x",
            PolicyDocument=policy(allow([f"s3:Get{'x' * 60}{n}" for n in range(100)])))
    for number in range(2, 6):
        version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=number == 5)
        assert version["PolicyVersion"]["VersionId"] == f"v{number}"
    refused(iam.create_policy_version, "LimitExceeded", "up to 5 versions", PolicyArn=arn, PolicyDocument=document)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v5"
    refused(iam.delete_policy_version, "DeleteConflict", PolicyArn=arn, VersionId="v5")
    iam.create_user(UserName="attached")
    iam.attach_user_policy(UserName="attached", PolicyArn=arn)
    assert iam.list_attached_user_policies(UserName="attached")["AttachedPolicies"] == [
        {"PolicyName": "reader", "PolicyArn": arn}]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    assert [u["UserName"] for u in iam.list_entities_for_policy(PolicyArn=arn)["PolicyUsers"]] == ["attached"]
    refused(iam.delete_policy, "DeleteConflict", "attached to entities", PolicyArn=arn)
    refused(iam.delete_user, "DeleteConflict", "must detach all policies first", UserName="attached")
    iam.detach_user_policy(UserName="attached", PolicyArn=arn)
    refused(iam.detach_user_policy, "NoSuchEntity", UserName="attached", PolicyArn=arn)
    refused(iam.delete_policy, "DeleteConflict", "more than one version", PolicyArn=arn)
    for number in range(1, 5):
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number}")
    iam.delete_policy(PolicyArn=arn)
    iam.delete_user(UserName="attached")


def test_aws_managed_policies(iam):
    names = {p["PolicyName"] for page in iam.get_paginator("list_policies").paginate(Scope="AWS")
             for p in page["Policies"]}
    for name in ("AWSCloudTrail_FullAccess", "AWSCloudTrail_ReadOnlyAccess", "AWSCloudTrailFullAccess",
                 "AWSCloudTrailReadOnlyAccess", "AdministratorAccess", "ReadOnlyAccess", "SecurityAudit",
                 "IAMFullAccess", "IAMReadOnlyAccess", "IAMUserChangePassword", "AmazonS3FullAccess",
                 "AmazonS3ReadOnlyAccess", "AmazonSNSFullAccess", "AmazonSNSReadOnlyAccess", "AmazonSQSFullAccess",
                 "AmazonSQSReadOnlyAccess", "CloudWatchFullAccess", "CloudWatchReadOnlyAccess",
                 "CloudWatchLogsFullAccess", "CloudWatchLogsReadOnlyAccess"):
        assert name in names
        arn = f"arn:aws:iam::aws:policy/{name}"
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        assert document["Version"] == "2012-10-17" and document["Statement"]
    refused(iam.delete_policy, "AccessDenied", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")


def test_roles(iam, server):
    iam.create_user(UserName="trusted")
    arn = f"arn:aws:iam::{server.account_id}:user/trusted"
    trust = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"}]})
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust, Description="d", MaxSessionDuration=7200)["Role"]
    assert role["RoleId"].startswith("AROA")
    shown = iam.get_role(RoleName="r")["Role"]
    assert shown["AssumeRolePolicyDocument"] == json.loads(trust) and shown["MaxSessionDuration"] == 7200
    refused(iam.create_role, "MalformedPolicyDocument", "Invalid principal in policy", RoleName="s",
            AssumeRolePolicyDocument=trust.replace("trusted", "nobody"))
    refused(iam.create_role, "MalformedPolicyDocument", "Has prohibited field Resource", RoleName="s",
            AssumeRolePolicyDocument=trust.replace('"Action"', '"Resource": "*", "Action"'))
    refused(iam.create_role, "ValidationError", "less than or equal to 43200", RoleName="s",
            AssumeRolePolicyDocument=trust, MaxSessionDuration=43201)
    iam.put_role_policy(RoleName="r", PolicyName="in", PolicyDocument=policy(allow("s3:*")))
    assert iam.list_role_policies(RoleName="r")["PolicyNames"] == ["in"]
    refused(iam.put_role_policy, "LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role r",
            RoleName="r", PolicyName="long", PolicyDocument=policy(allow([f"s3:{'y' * 100}{n}" for n in range(100)])))
    refused(iam.delete_role, "DeleteConflict", "must delete policies first", RoleName="r")
    # A deleted user's trust does not pass to a new user of that name.
    iam.delete_user(UserName="trusted")
    iam.create_user(UserName="trusted")
    principal = iam.get_role(RoleName="r")["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]
    assert principal.startswith("AIDA")
    iam.update_assume_role_policy(RoleName="r", PolicyDocument=json.dumps(TRUST))
    assert iam.get_role(RoleName="r")["Role"]["AssumeRolePolicyDocument"] == TRUST
    iam.delete_role_policy(RoleName="r", PolicyName="in")
    assert iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"] == []
    iam.delete_role(RoleName="r")
    iam.delete_user(UserName="trusted")


def test_what_is_stored_is_enforced(iam, server):
    user = User(server, "bounded")
    s3 = server.client("s3")
    s3.create_bucket(Bucket="enforced")
    s3.put_object(Bucket="enforced", Key="open/k", Body=b"x")
    s3.put_object(Bucket="enforced", Key="shut/k", Body=b"x")
    mine = user.client("s3")

    message = refused(mine.get_object, "AccessDenied", Bucket="enforced", Key="open/k")
    assert message == (f'User: {user.arn} is not authorized to perform: s3:GetObject on resource: '
                       '"arn:aws:s3:::enforced/open/k" because no identity-based policy allows the s3:GetObject action')

    # Inline policy, explicit deny.
    user.grant(policy(allow("s3:GetObject", "arn:aws:s3:::enforced/*"),
                      deny("s3:GetObject", "arn:aws:s3:::enforced/shut/*")))
    mine.get_object(Bucket="enforced", Key="open/k")
    refused(mine.get_object, "AccessDenied", "with an explicit deny in an identity-based policy",
            Bucket="enforced", Key="shut/k")

    # Condition keys of S3 and of the network.
    user.grant(policy(allow("s3:ListBucket", "arn:aws:s3:::enforced",
                            Condition={"StringLike": {"s3:prefix": ["open/*"]}}),
                      allow("s3:PutObject", Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}),
                      allow("s3:GetObject", "arn:aws:s3:::enforced/${aws:username}/*",
                            Condition={"Bool": {"aws:SecureTransport": "false"}})))
    assert mine.list_objects_v2(Bucket="enforced", Prefix="open/")["KeyCount"] == 1
    refused(mine.list_objects_v2, "AccessDenied", Bucket="enforced", Prefix="shut/")
    refused(mine.list_objects_v2, "AccessDenied", Bucket="enforced")
    refused(mine.put_object, "AccessDenied", Bucket="enforced", Key="bounded/k", Body=b"x")
    s3.put_object(Bucket="enforced", Key="bounded/k", Body=b"x")
    mine.get_object(Bucket="enforced", Key="bounded/k")

    # A group's managed policy, bounded by a boundary.
    iam.create_group(GroupName="admins")
    iam.attach_group_policy(GroupName="admins", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.add_user_to_group(GroupName="admins", UserName="bounded")
    mine.put_object(Bucket="enforced", Key="shut/new", Body=b"x")
    user.client("iam").list_users()
    iam.put_user_permissions_boundary(
        UserName="bounded", PermissionsBoundary="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
    refused(mine.put_object, "AccessDenied", "because no permissions boundary allows the s3:PutObject action",
            Bucket="enforced", Key="shut/new", Body=b"x")
    refused(user.client("iam").list_users, "AccessDenied", "is not authorized to perform: iam:ListUsers")
    iam.delete_user_permissions_boundary(UserName="bounded")
    iam.remove_user_from_group(GroupName="admins", UserName="bounded")

    # The bucket's policy names the user.
    iam.delete_user_policy(UserName="bounded", PolicyName="p")
    s3.put_bucket_policy(Bucket="enforced", Policy=policy(
        {"Effect": "Allow", "Principal": {"AWS": user.arn}, "Action": "s3:GetObject",
         "Resource": "arn:aws:s3:::enforced/shut/*"}))
    mine.get_object(Bucket="enforced", Key="shut/k")
    refused(mine.get_object, "AccessDenied", Bucket="enforced", Key="open/k")


def test_only_who_may_list_learns_that_a_key_is_missing(server):
    user = User(server, "reader")
    server.client("s3").create_bucket(Bucket="absent")
    user.grant(policy(allow("s3:GetObject", "arn:aws:s3:::absent/*")))
    refused(user.client("s3").get_object, "AccessDenied", "s3:ListBucket", Bucket="absent", Key="k")
    refused(user.client("s3").head_object, "403", Bucket="absent", Key="k")
    user.grant(policy(allow("s3:GetObject", "arn:aws:s3:::absent/*"), allow("s3:ListBucket", "arn:aws:s3:::absent")))
    refused(user.client("s3").get_object, "NoSuchKey", Bucket="absent", Key="k")


def test_copy_needs_the_source_and_bulk_delete_each_key(server):
    user = User(server, "copier")
    s3 = server.client("s3")
    s3.create_bucket(Bucket="copies")
    for key in ("secret", "a/1", "b/1"):
        s3.put_object(Bucket="copies", Key=key, Body=b"x")
    user.grant(policy(allow("s3:PutObject", "arn:aws:s3:::copies/*"), allow("s3:DeleteObject", "arn:aws:s3:::copies/a/*")))
    mine = user.client("s3")
    refused(mine.copy_object, "AccessDenied", "s3:GetObject", Bucket="copies", Key="mine",
            CopySource="copies/secret")
    answer = mine.delete_objects(Bucket="copies", Delete={"Objects": [{"Key": "a/1"}, {"Key": "b/1"}]})
    assert [d["Key"] for d in answer["Deleted"]] == ["a/1"]
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("b/1", "AccessDenied")]
    s3.head_object(Bucket="copies", Key="b/1")


def test_cloudtrail_policies_and_events(iam, server):
    user = User(server, "auditor")
    trail = user.client("cloudtrail")
    message = refused(trail.describe_trails, "AccessDeniedException")
    assert message.startswith(f"User: {user.arn} is not authorized to perform: cloudtrail:DescribeTrails")
    assert message.endswith("because no identity-based policy allows the cloudtrail:DescribeTrails action")
    iam.attach_user_policy(
        UserName="auditor", PolicyArn="arn:aws:iam::aws:policy/AWSCloudTrail_ReadOnlyAccess")
    trail.describe_trails()
    trail.lookup_events()
    refused(trail.create_trail, "AccessDeniedException", Name="t12", S3BucketName="nowhere-12")

    denied = [e for e in events(server, "CreateTrail") if e.get("errorCode") == "AccessDenied"]
    assert denied, "the refusal is an event"
    identity = denied[0]["userIdentity"]
    assert identity == {
        "type": "IAMUser", "principalId": iam.get_user(UserName="auditor")["User"]["UserId"], "arn": user.arn,
        "accountId": server.account_id, "accessKeyId": user.key, "userName": "auditor"}
    made = [e for e in events(server, "CreateUser") if e["requestParameters"] == {"userName": "auditor"}][0]
    assert made["eventSource"] == "iam.amazonaws.com" and made["awsRegion"] == "us-east-1"
    assert made["responseElements"]["user"]["arn"] == user.arn
    # IAM's records write times without a comma after the year.
    assert re.fullmatch(r"[A-Z][a-z]{2} \d{1,2}, \d{4} \d{1,2}:\d\d:\d\d [AP]M", made["responseElements"]["user"]["createDate"])


def test_iam_refuses_what_policies_do_not_allow(iam, server):
    user = User(server, "limited")
    user.grant(policy(allow("iam:*AccessKey*", "arn:aws:iam::*:user/${aws:username}"),
                      allow("iam:AttachUserPolicy", Condition={"ArnEquals": {
                          "iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}}),
                      allow("iam:CreateUser", Condition={"StringEquals": {"aws:RequestTag/team": "a"}})))
    mine = user.client("iam")
    assert len(mine.list_access_keys()["AccessKeyMetadata"]) == 1
    refused(mine.list_access_keys, "AccessDenied", UserName="someone-else")
    mine.attach_user_policy(UserName="limited", PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
    refused(mine.attach_user_policy, "AccessDenied", UserName="limited",
            PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    refused(mine.create_user, "AccessDenied", UserName="untagged")
    mine.create_user(UserName="tagged", Tags=[{"Key": "team", "Value": "a"}])


def test_login_profiles_and_password_policy(iam, server):
    iam.create_user(UserName="login")
    secret = "Correct-Horse-7"
    profile = iam.create_login_profile(UserName="login", Password=secret, PasswordResetRequired=True)["LoginProfile"]
    assert profile["PasswordResetRequired"] is True
    refused(iam.create_login_profile, "EntityAlreadyExists", UserName="login", Password=secret)
    refused(iam.update_login_profile, "PasswordPolicyViolation", UserName="login", Password="short")
    refused(iam.get_account_password_policy, "NoSuchEntity", "The Password Policy with domain name")
    iam.update_account_password_policy(MinimumPasswordLength=20, RequireSymbols=True)
    shown = iam.get_account_password_policy()["PasswordPolicy"]
    assert shown["MinimumPasswordLength"] == 20 and shown["RequireSymbols"] and not shown["ExpirePasswords"]
    refused(iam.update_login_profile, "PasswordPolicyViolation", UserName="login", Password=secret)
    iam.delete_account_password_policy()
    refused(iam.delete_user, "DeleteConflict", "must delete login profile first", UserName="login")
    iam.delete_login_profile(UserName="login")
    refused(iam.get_login_profile, "NoSuchEntity", "Login Profile for User login cannot be found.", UserName="login")
    iam.delete_user(UserName="login")
    assert secret not in json.dumps(events(server, "CreateLoginProfile") + events(server, "UpdateLoginProfile"))


def code(seed: bytes, step: int) -> str:
    """RFC 6238."""
    digest = hmac.new(base64.b32decode(seed), struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[19] & 15
    return f"{(struct.unpack('>I', digest[offset:offset + 4])[0] & 0x7FFFFFFF) % 1000000:06}"


def test_virtual_mfa_devices(iam, server):
    iam.create_user(UserName="mfa")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]
    serial, seed = device["SerialNumber"], device["Base32StringSeed"]
    assert serial == f"arn:aws:iam::{server.account_id}:mfa/phone"
    step = int(time.time()) // 30
    refused(iam.enable_mfa_device, "InvalidAuthenticationCode", UserName="mfa", SerialNumber=serial,
            AuthenticationCode1=code(seed, step - 100), AuthenticationCode2=code(seed, step - 99))
    iam.enable_mfa_device(UserName="mfa", SerialNumber=serial, AuthenticationCode1=code(seed, step - 1),
                          AuthenticationCode2=code(seed, step))
    assert [d["SerialNumber"] for d in iam.list_mfa_devices(UserName="mfa")["MFADevices"]] == [serial]
    assert iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"][0]["User"]["UserName"] == "mfa"
    shown = iam.get_mfa_device(SerialNumber=serial)
    assert shown["UserName"] == "mfa" and shown["EnableDate"]
    iam.tag_mfa_device(SerialNumber=serial, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    iam.untag_mfa_device(SerialNumber=serial, TagKeys=["a"])
    assert iam.list_mfa_device_tags(SerialNumber=serial)["Tags"] == [{"Key": "b", "Value": "2"}]
    refused(iam.get_mfa_device, "NoSuchEntity", SerialNumber=serial + "x")
    refused(iam.delete_virtual_mfa_device, "DeleteConflict", SerialNumber=serial)
    refused(iam.delete_user, "DeleteConflict", "must delete MFA device first", UserName="mfa")
    iam.deactivate_mfa_device(UserName="mfa", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)
    iam.delete_user(UserName="mfa")
    assert seed.decode() not in json.dumps(events(server, "CreateVirtualMFADevice"))


@pytest.mark.parametrize("name", ["phone", "n" * 120, "n" * 226])
def test_the_qr_code_of_a_device_can_be_read(iam, server, name):
    zxing, image = pytest.importorskip("zxingcpp"), pytest.importorskip("PIL.Image")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
    found = zxing.read_barcodes(image.open(io.BytesIO(device["QRCodePNG"])))
    assert [str(f.format).split(".")[-1].replace(" ", "") for f in found] == ["QRCode"]
    assert found[0].text == f"otpauth://totp/{name}@{server.account_id}?secret={device['Base32StringSeed'].decode()}"
    iam.delete_virtual_mfa_device(SerialNumber=device["SerialNumber"])


def test_oidc_providers(iam, server):
    arn = iam.create_open_id_connect_provider(
        Url="https://token.example.com/path", ClientIDList=["a"], ThumbprintList=["0" * 40])["OpenIDConnectProviderArn"]
    assert arn == f"arn:aws:iam::{server.account_id}:oidc-provider/token.example.com/path"
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="b")
    shown = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert shown["Url"] == "token.example.com/path" and shown["ClientIDList"] == ["a", "b"]
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == [{"Arn": arn}]
    refused(iam.create_open_id_connect_provider, "EntityAlreadyExists", Url="https://token.example.com/path")
    refused(iam.create_open_id_connect_provider, "ValidationError", Url="http://token.example.com")
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    refused(iam.get_open_id_connect_provider, "NoSuchEntity", OpenIDConnectProviderArn=arn)


def test_account(iam):
    iam.create_account_alias(AccountAlias="the-alias")
    assert iam.list_account_aliases()["AccountAliases"] == ["the-alias"]
    iam.delete_account_alias(AccountAlias="the-alias")
    iam.create_user(UserName="counted")
    iam.create_role(RoleName="counted", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(RoleName="counted", PolicyArn="arn:aws:iam::aws:policy/SecurityAudit")
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["Users"] >= 1 and summary["AccessKeysPerUserQuota"] == 2
    details = iam.get_account_authorization_details()
    assert "counted" in [u["UserName"] for u in details["UserDetailList"]]
    role = [r for r in details["RoleDetailList"] if r["RoleName"] == "counted"][0]
    assert role["AttachedManagedPolicies"][0]["PolicyName"] == "SecurityAudit"
    assert "SecurityAudit" in [p["PolicyName"] for p in details["Policies"]]


def test_simulation(iam, server):
    user = User(server, "simulated")
    user.grant(policy(allow("s3:GetObject", "arn:aws:s3:::b/*"), deny("s3:DeleteObject"),
                      allow("s3:PutObject", Condition={"StringEquals": {"s3:x-amz-acl": "private"}})))
    answer = iam.simulate_principal_policy(
        PolicySourceArn=user.arn, ActionNames=["s3:GetObject", "s3:DeleteObject", "s3:PutObject", "s3:ListBucket"],
        ResourceArns=["arn:aws:s3:::b/k"])["EvaluationResults"]
    assert [row["EvalDecision"] for row in answer] == ["allowed", "explicitDeny", "implicitDeny", "implicitDeny"]
    assert answer[2]["MissingContextValues"] == ["s3:x-amz-acl"]
    answer = iam.simulate_custom_policy(
        PolicyInputList=[policy(allow("s3:PutObject", Condition={"StringEquals": {"s3:x-amz-acl": "private"}}))],
        ActionNames=["s3:PutObject"], ContextEntries=[
            {"ContextKeyName": "s3:x-amz-acl", "ContextKeyType": "string", "ContextKeyValues": ["private"]}])
    assert answer["EvaluationResults"][0]["EvalDecision"] == "allowed"
    assert iam.get_context_keys_for_principal_policy(PolicySourceArn=user.arn)["ContextKeyNames"] == ["s3:x-amz-acl"]


def test_what_is_not_built_says_so(server):
    iam = server.client("iam")
    refused(iam.create_saml_provider, "InvalidAction", SAMLMetadataDocument="x" * 1000, Name="n")
    refused(iam.create_instance_profile, "InvalidAction", InstanceProfileName="n")


def test_it_is_all_there_after_a_restart(make_server):
    server = make_server()
    user = User(server, "lasting")
    user.grant(policy(allow("iam:GetUser")))
    server.client("iam").create_role(RoleName="lasting", AssumeRolePolicyDocument=json.dumps(TRUST))
    server.stop()
    server.start()
    user._clients.clear()
    assert user.client("iam").get_user()["User"]["UserName"] == "lasting"
    assert server.client("iam").get_role(RoleName="lasting")["Role"]["AssumeRolePolicyDocument"] == TRUST
    used = server.client("iam").get_access_key_last_used(AccessKeyId=user.key)["AccessKeyLastUsed"]
    assert used["ServiceName"] == "iam"


# -- Terraform --------------------------------------------------------------------------------------------------------

def plugins() -> Path | None:
    """A filesystem mirror with Terraform's AWS provider: `$CAIRN_TF_PLUGINS`, or the usual places."""
    places = [os.environ.get("CAIRN_TF_PLUGINS"), "/opt/tf-plugins", os.path.expanduser("~/.terraform.d/plugins"),
              "/usr/local/share/terraform/plugins"]
    for place in places:
        if place and any(Path(place).glob("**/hashicorp/aws")):
            return Path(place)
    return None


CONFIGURATION = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region                      = "us-east-1"
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = false
  max_retries                 = 1
}

resource "aws_iam_user" "auditor" {
  name = "tf-auditor"
  path = "/tf/"
  tags = { team = "audit" }
}

resource "aws_iam_policy" "reader" {
  name        = "tf-reader"
  description = "reads trails"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["cloudtrail:LookupEvents"], Resource = "*" }]
  })
}

resource "aws_iam_user_policy_attachment" "one" {
  user       = aws_iam_user.auditor.name
  policy_arn = aws_iam_policy.reader.arn
}

resource "aws_iam_role" "delivery" {
  name = "tf-delivery"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { AWS = aws_iam_user.auditor.arn } }]
  })
  tags = { team = "audit" }
}
"""


@pytest.mark.skipif(shutil.which("terraform") is None or plugins() is None,
                    reason="Terraform, or a filesystem mirror with its AWS provider, is not installed")
def test_terraform_settles(server, tmp_path):
    (tmp_path / "main.tf").write_text(CONFIGURATION)
    mirror = tmp_path / "terraform.rc"
    mirror.write_text(f'provider_installation {{ filesystem_mirror {{ path = "{plugins()}" }} }}\n')
    environment = server.client_environment(
        TF_CLI_CONFIG_FILE=str(mirror), TF_IN_AUTOMATION="1", CHECKPOINT_DISABLE="1")

    def terraform(*args: str) -> subprocess.CompletedProcess:
        return subprocess.run(["terraform", *args], cwd=tmp_path, env=environment, capture_output=True, text=True,
                              timeout=240)

    for args in (("init", "-input=false"), ("apply", "-auto-approve", "-input=false", "-no-color")):
        done = terraform(*args)
        assert done.returncode == 0, done.stdout + done.stderr
    plan = terraform("plan", "-detailed-exitcode", "-input=false", "-no-color")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    attached = server.client("iam").list_attached_user_policies(UserName="tf-auditor")["AttachedPolicies"]
    assert [p["PolicyName"] for p in attached] == ["tf-reader"]
    done = terraform("destroy", "-auto-approve", "-input=false", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    refused(server.client("iam").get_user, "NoSuchEntity", UserName="tf-auditor")
