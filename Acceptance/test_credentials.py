# SPDX-License-Identifier: Apache-2.0
"""Credentials that have gone bad: each kind has the documented error of each protocol, and an event that says whose it was."""

from __future__ import annotations

import json

import pytest
from conftest import code_of, error_of
from test_life_of_a_log_file import days_away
from test_organizations import administrator, member, new_account

HOUR = 1 / 24

#: A call of each protocol, and its codes for what is unknown, for a token that is none, and for what is over.
CALLS = {
    "query": ("sts", "get_caller_identity", "GetCallerIdentity",
              "InvalidClientTokenId 403", "InvalidClientTokenId 403", "ExpiredToken 403"),
    "json": ("cloudtrail", "describe_trails", "DescribeTrails",
             "UnrecognizedClientException 400", "UnrecognizedClientException 400", "ExpiredTokenException 400"),
    "rest": ("s3", "list_buckets", "ListBuckets", "InvalidAccessKeyId 403", "InvalidToken 400", "ExpiredToken 400"),
}


def clients(server, given):
    return lambda service: server.client(
        service, aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given.get("SessionToken"))


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


ALL = document({"Effect": "Allow", "Action": "*", "Resource": "*"})


def user(iam, name):
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=ALL)
    return iam.create_access_key(UserName=name)["AccessKey"]


def role(iam, account, name):
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(
        {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}))
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=ALL)


def assume(server, key, name):
    return clients(server, key)("sts").assume_role(
        RoleArn=f"arn:aws:iam::{server.account_id}:role/{name}", RoleSessionName="sess", DurationSeconds=900)["Credentials"]


def cut(text):
    """The text with six characters near its end replaced."""
    return text[:-8] + "".join("B" if letter == "A" else "A" for letter in text[-8:-2]) + text[-2:]


def refusal(server, given, call):
    """The code and status of a call, and the event's error, which must be the same; then the event's identity."""
    service, method, name, *_ = CALLS[call]
    error = error_of(getattr(clients(server, given)(service), method))
    found = f"{code_of(error)} {error.response['ResponseMetadata']['HTTPStatusCode']}"
    event = server.event_of(error, EventName=name)
    assert event["errorCode"] == code_of(error) and event["errorMessage"], event
    assert event["userIdentity"]["accessKeyId"] == given["AccessKeyId"], event
    for secret in (given["SecretAccessKey"], given.get("SessionToken")):
        assert secret is None or secret not in json.dumps(event)
    return found, event["userIdentity"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server, another one, and credentials of every kind on their way to go bad."""
    from conftest import CairnServer

    base = tmp_path_factory.mktemp("credentials")
    server, elsewhere = CairnServer(base / "data").start(), CairnServer(base / "other").start()
    try:
        iam = server.client("iam")
        keeper, gone, off = user(iam, "keeper"), user(iam, "gone"), user(iam, "off")
        for name in ("stays", "goes"):
            role(iam, server.account_id, name)
        given = {
            "stranger": user(elsewhere.client("iam"), "stranger"),
            "strange session": clients(elsewhere, user(elsewhere.client("iam"), "other"))("sts").get_session_token()[
                "Credentials"],
            "deleted user": gone,
            "deleted user's session": clients(server, gone)("sts").get_session_token()["Credentials"],
            "deleted role": assume(server, keeper, "goes"),
            "switched off": off,
            "session of a key switched off": clients(server, off)("sts").get_session_token()["Credentials"],
        }
        living = assume(server, keeper, "stays")
        given["tampered token"] = dict(living, SessionToken=cut(living["SessionToken"]))
        given["another's token"] = dict(living, SessionToken=given["deleted role"]["SessionToken"])
        over = {
            "role": living,
            "user": clients(server, keeper)("sts").get_session_token(DurationSeconds=900)["Credentials"],
            "federated": clients(server, keeper)("sts").get_federation_token(
                Name="fed", Policy=ALL, DurationSeconds=900)["Credentials"],
        }
        for good in [*over.values(), gone, off]:
            assert clients(server, good)("sts").get_caller_identity()["Account"] == server.account_id
        iam.delete_access_key(UserName="gone", AccessKeyId=gone["AccessKeyId"])
        iam.delete_user_policy(UserName="gone", PolicyName="p")
        iam.delete_user(UserName="gone")
        iam.delete_role_policy(RoleName="goes", PolicyName="p")
        iam.delete_role(RoleName="goes")
        iam.update_access_key(UserName="off", AccessKeyId=off["AccessKeyId"], Status="Inactive")
        yield server, given, over
    finally:
        server.kill()
        elsewhere.kill()


@pytest.mark.parametrize("call", CALLS)
def test_each_kind_has_its_error_and_its_event(world, call):
    server, given, _ = world
    server.restart()  # what unproven callers do is recorded one by one up to a number in ten seconds
    *_, unknown, no_token, _ = CALLS[call]
    found = {kind: refusal(server, credentials, call) for kind, credentials in given.items()}
    tokens = {"strange session", "tampered token", "another's token"}
    assert {kind: code for kind, (code, _) in found.items()} == {
        kind: no_token if kind in tokens else unknown for kind in given}
    # Whose it was is told where it is known.
    who = {kind: identity.get("arn", "").rpartition(":")[2] for kind, (_, identity) in found.items()}
    assert who["deleted user's session"] == "user/gone" and who["switched off"] == "user/off"
    assert who["deleted role"] == "assumed-role/goes/sess" and who["session of a key switched off"] == "user/off"
    assert not who["stranger"] and not who["deleted user"] and not who["tampered token"]


def test_a_session_is_over_when_its_time_is(world):
    server, _, over = world
    server.flags["clock-offset"] = "1h"
    server.restart()
    try:
        with days_away(HOUR):
            for call in CALLS:
                for kind, credentials in over.items():
                    found, identity = refusal(server, credentials, call)
                    assert found == CALLS[call][5], kind
                    assert identity["accountId"] == server.account_id and identity["arn"]
    finally:
        server.flags["clock-offset"] = None
        server.restart()
    for credentials in over.values():
        clients(server, credentials)("sts").get_caller_identity()


def test_credentials_of_another_account_reach_nothing_that_is_not_theirs(world):
    """They are good at home; elsewhere each service says AccessDenied in its own words, and the refusal is recorded."""
    server, *_ = world
    admin = administrator(server)
    admin("organizations").create_organization(FeatureSet="ALL")
    account = new_account(admin("organizations"), "foreign")
    foreign = clients(server, user(member(server, admin, account)("iam"), "visitor"))
    s3 = server.client("s3")
    s3.create_bucket(Bucket="not-yours")
    s3.put_object(Bucket="not-yours", Key="k", Body=b"1")
    home = foreign("cloudtrail")

    def recorded(error, name):
        assert code_of(error) in ("AccessDenied", "AccessDeniedException"), error
        found = wait_for(home, name, error)
        assert found["errorCode"] == "AccessDenied" and found["userIdentity"]["userName"] == "visitor"
        assert found["recipientAccountId"] == account
        return found

    def wait_for(client, name, error):
        events = client.lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}])["Events"]
        request = error.response["ResponseMetadata"]["RequestId"]
        return next(record for event in events
                    if (record := json.loads(event["CloudTrailEvent"])).get("requestID") == request)

    event = recorded(error_of(foreign("s3").get_bucket_policy, Bucket="not-yours"), "GetBucketPolicy")
    theirs = server.events(EventName="GetBucketPolicy", at_least=1, where=lambda e: e.get("errorCode") == "AccessDenied")
    assert theirs[0]["sharedEventID"] == event["sharedEventID"] and theirs[0]["userIdentity"]["accountId"] == account
    recorded(error_of(
        foreign("sts").assume_role, RoleArn=f"arn:aws:iam::{server.account_id}:role/stays", RoleSessionName="visit"),
        "AssumeRole")
    trail = f"arn:aws:cloudtrail:us-east-1:{server.account_id}:trail/any"
    recorded(error_of(home.get_trail_status, Name=trail), "GetTrailStatus")
