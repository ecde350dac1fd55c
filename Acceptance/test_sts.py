# SPDX-License-Identifier: Apache-2.0
"""STS: who is calling, and its error answers."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
WHO = "Action=GetCallerIdentity&Version=2011-06-15"


def test_the_root_is_told_its_account(server):
    identity = server.client("sts").get_caller_identity()
    assert re.fullmatch(r"[1-9]\d{11}", identity["Account"])
    assert identity["UserId"] == identity["Account"]
    assert identity["Arn"] == f"arn:aws:iam::{identity['Account']}:root"


def test_the_keys_have_the_form_that_clients_check(server):
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", server.access_key)
    assert re.fullmatch(r"[A-Za-z0-9/+]{40}", server.secret_key)


def test_the_cli_says_the_same(server):
    assert server.aws_json("sts", "get-caller-identity") == {
        "UserId": server.account_id, "Account": server.account_id, "Arn": f"arn:aws:iam::{server.account_id}:root"}


def test_the_answer_has_the_shape_of_the_query_protocol(server):
    answer = server.query(WHO)
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("text/xml")
    root = ElementTree.fromstring(answer.body)
    assert root.tag == f"{{{NAMESPACE}}}GetCallerIdentityResponse"
    result = root.find(f"{{{NAMESPACE}}}GetCallerIdentityResult")
    assert {child.tag.split("}")[1] for child in result} == {"Arn", "UserId", "Account"}
    request_id = root.findtext(f"{{{NAMESPACE}}}ResponseMetadata/{{{NAMESPACE}}}RequestId")
    assert request_id == answer.headers["x-amzn-requestid"]


@pytest.mark.parametrize("region", ["us-east-1", "ap-southeast-2"])
def test_the_call_is_recorded_as_aws_records_it(server, region):
    response = server.client("sts", region_name=region).get_caller_identity()
    event = server.event_of(response, region=region, EventName="GetCallerIdentity")
    assert event["eventSource"] == "sts.amazonaws.com"
    assert event["awsRegion"] == region
    assert event["readOnly"] is True
    assert event["managementEvent"] is True
    assert event["requestParameters"] is None
    assert event["responseElements"] is None
    assert event["recipientAccountId"] == server.account_id
    identity = event["userIdentity"]
    assert identity["type"] == "Root"
    assert identity["principalId"] == identity["accountId"] == server.account_id
    assert identity["arn"] == f"arn:aws:iam::{server.account_id}:root"
    assert identity["accessKeyId"] == server.access_key
    assert "errorCode" not in event


def test_an_operation_that_is_not_built_is_an_invalid_action(server):
    answer = server.query("Action=AssumeRoleWithSAML&Version=2011-06-15")
    assert (answer.status, answer.code) == (400, "InvalidAction"), answer
    event = server.event_of(answer, EventName="AssumeRoleWithSAML")
    assert event["errorCode"] == "InvalidAction"


def test_the_account_and_the_key_survive_a_restart(make_server):
    server = make_server()
    before = (server.account_id, server.access_key, server.secret_key)
    server.restart()
    assert (server.client("sts").get_caller_identity()["Account"], server.access_key, server.secret_key) == before
    assert server.read_exports()["AWS_SECRET_ACCESS_KEY"] == before[2]


def test_secrets_are_private_on_disk(make_server):
    server = make_server()
    secret = server.data / "keys" / "root.secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.stat().st_size == 32
    server.client("sts").get_caller_identity()
    server.stop()
    for path in server.data.rglob("*"):
        if path.is_file():
            assert server.secret_key.encode() not in path.read_bytes(), path
    assert server.secret_key not in server.all_log_text()


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o606])
def test_a_root_secret_that_others_may_read_stops_the_start(make_server, mode):
    server = make_server()
    server.stop()
    (server.data / "keys" / "root.secret").chmod(mode)
    with pytest.raises(AssertionError, match="root.secret"):
        server.start()
    assert "chmod 600" in server.log_text()
    (server.data / "keys" / "root.secret").chmod(0o600)
    server.start()


def test_a_missing_root_secret_stops_the_start(make_server):
    server = make_server()
    account = server.account_id
    server.stop()
    secret = server.data / "keys" / "root.secret"
    kept = secret.read_bytes()
    secret.unlink()
    with pytest.raises(AssertionError, match="root.secret"):
        server.start()
    assert not secret.exists()
    secret.write_bytes(kept)
    secret.chmod(0o600)
    server.start()
    assert server.client("sts").get_caller_identity()["Account"] == account
