# SPDX-License-Identifier: Apache-2.0
"""Why a call was allowed or refused: `cairn explain`, on a running server and on a stopped one."""

import json

from conftest import error_of, request_id_of


def allow(*actions, resource="*", **more):
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def user(server, name, *statements):
    """A user with one inline policy `p`, and his clients by service name."""
    iam = server.client("iam")
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return lambda service: server.client(
        service, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


def explained(server, identifier):
    return [json.loads(line) for line in server.cairn("explain", identifier, "--json").stdout.splitlines()]


def test_refused_and_allowed_calls(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="explained")
    bob = user(
        server, "bob", allow("s3:*"),
        {"Sid": "NotThere", "Effect": "Deny", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::explained/secret/*"})
    error = error_of(bob("s3").put_object, Bucket="explained", Key="secret/x", Body=b"1")
    text = server.cairn("explain", request_id_of(error)).stdout
    assert "refused, by a Deny" in text and "statement 2 NotThere" in text and "policy p" in text, text
    assert "s3:PutObject" in text and "arn:aws:s3:::explained/secret/x" in text and "aws:sourceip = 127.0.0.1" in text
    done = bob("s3").put_object(Bucket="explained", Key="open/x", Body=b"1")
    note, = explained(server, request_id_of(done))
    assert note["verdict"] == "allow" and note["policy"] == "p" and note["statement"] == 1
    assert note["caller"] == f"arn:aws:iam::{server.account_id}:user/bob"
    assert note["context"]["aws:username"] == ["bob"]


def test_a_missing_allow_says_which_and_what_was_in_force(server):
    eve = user(server, "eve", allow("s3:ListAllMyBuckets"))
    error = error_of(eve("iam").list_users)
    event = server.event_of(error, region="us-east-1", EventName="ListUsers")
    note, = explained(server, event["eventID"])
    assert note["eventID"] == event["eventID"] and note["requestID"] == event["requestID"]
    assert note["verdict"] == "implicitDeny" and note["policyType"] == "identity"
    assert note["because"] == "iam:ListUsers: no identity-based policy allows it"
    assert note["inForce"]["identity"] == ["p"]
    assert not {"decision", "because", "verdict"} & set(event), "the public record has no such field"


def test_every_decision_of_a_call_is_told(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="many-keys")
    for key in ("mine/a", "yours/b"):
        s3.put_object(Bucket="many-keys", Key=key, Body=b"1")
    dan = user(server, "dan", allow("s3:DeleteObject", resource="arn:aws:s3:::many-keys/mine/*"))
    answer = dan("s3").delete_objects(Bucket="many-keys", Delete={"Objects": [{"Key": "mine/a"}, {"Key": "yours/b"}]})
    assert [e["Key"] for e in answer["Errors"]] == ["yours/b"]
    notes = explained(server, request_id_of(answer))
    assert {(n["resource"].rpartition(":::")[2], n["verdict"]) for n in notes} >= {
        ("many-keys/mine/a", "allow"), ("many-keys/yours/b", "implicitDeny")}


def test_a_role_that_is_not_assumed(server):
    iam = server.client("iam")
    trust = document({"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{server.account_id}:root"},
                      "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": "right"}}})
    arn = iam.create_role(RoleName="outside", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    fay = user(server, "fay", allow("sts:AssumeRole"))
    error = error_of(fay("sts").assume_role, RoleArn=arn, RoleSessionName="session", ExternalId="wrong")
    note, = explained(server, request_id_of(error))
    assert note["policyType"] == "trust" and note["context"]["sts:externalid"] == ["wrong"]
    assert "no role trust policy allows it" in note["because"]


def test_calls_that_no_policy_decided(server):
    wrong = server.client("sts", aws_access_key_id=server.access_key, aws_secret_access_key="wrong")
    error = error_of(wrong.get_caller_identity)
    text = server.cairn("explain", request_id_of(error)).stdout
    assert "no policy was asked" in text and "SignatureDoesNotMatch" in text
    free = server.client("sts").get_caller_identity()
    assert "no policy was asked" in server.cairn("explain", request_id_of(free)).stdout
    unknown = server.cairn("explain", "00000000-0000-4000-8000-000000000000", check=False)
    assert unknown.returncode == 1 and "no decision and no event" in unknown.stderr


def test_a_stopped_server_is_explained_too(make_server):
    server = make_server()
    gus = user(server, "gus")
    error = error_of(gus("iam").list_roles)
    server.stop()
    assert "no identity-based policy allows it" in server.cairn("explain", request_id_of(error)).stdout
    files = list((server.data / "decisions").iterdir())
    assert files and all(file.stat().st_mode & 0o077 == 0 for file in files)
