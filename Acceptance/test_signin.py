# SPDX-License-Identifier: Apache-2.0
"""Signing in with a password: sessions, second factors, ageing, and the ConsoleLogin events of all of it."""

import base64
import hmac
import json
import time

import pytest
from conftest import code_of, error_of

PASSWORD = "Correct-Horse-7"


@pytest.fixture(scope="module")
def iam(server):
    client = server.client("iam")
    client.create_account_alias(AccountAlias="cairn-signin")
    return client


def make_user(iam, name, reset=False):
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    iam.create_login_profile(UserName=name, Password=PASSWORD, PasswordResetRequired=reset)
    return arn


def sign_in(server, account, name, password=PASSWORD, **more):
    body = json.dumps({"account": account, "userName": name, "password": password, **more}).encode()
    return server.http("POST", "/signin", {"Content-Type": "application/json", "User-Agent": "browser/1"}, body)


def session(server, answer):
    given = answer.json()
    return lambda service: server.client(
        service, aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"])


def logins(server, name="ConsoleLogin", at_least=1, where=None):
    return server.events(region="us-east-1", EventName=name, at_least=at_least, where=where)


def named(user):
    return lambda event: event["userIdentity"].get("userName") == user


def code(seed, step):
    digest = hmac.new(base64.b32decode(seed), step.to_bytes(8, "big"), "sha1").digest()
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset:offset + 4], 'big') & 0x7FFFFFFF) % 10 ** 6:06}"


def test_a_session_by_password(server, iam):
    arn = make_user(iam, "ann")
    iam.attach_user_policy(UserName="ann", PolicyArn="arn:aws:iam::aws:policy/IAMReadOnlyAccess")
    answer = sign_in(server, "cairn-signin", "ann")
    assert answer.status == 200, answer
    assert answer.headers["cache-control"] == "no-store"
    event, = logins(server, where=named("ann"))
    user_id = iam.get_user(UserName="ann")["User"]["UserId"]
    assert event["userIdentity"] == {
        "type": "IAMUser", "principalId": user_id, "arn": arn, "accountId": server.account_id, "userName": "ann"}
    assert event["eventSource"] == "signin.amazonaws.com" and event["eventType"] == "AwsConsoleSignIn"
    assert event["requestParameters"] is None and event["responseElements"] == {"ConsoleLogin": "Success"}
    assert event["additionalEventData"] == {
        "LoginTo": f"http://{server.host}:{server.port}/", "MobileVersion": "No", "MFAUsed": "No"}
    assert event["readOnly"] is False and event["managementEvent"] is True and event["awsRegion"] == "us-east-1"
    assert "requestID" not in event and "errorMessage" not in event and event["userAgent"] == "browser/1"
    assert PASSWORD not in json.dumps(event)
    # The session acts as the user, and its events say where it came from.
    clients = session(server, answer)
    assert clients("sts").get_caller_identity()["Arn"] == arn
    listed = clients("iam").list_users()
    call = server.event_of(listed, region="us-east-1", EventName="ListUsers")
    assert call["sessionCredentialFromConsole"] == "true" and "tlsDetails" not in call
    assert call["userIdentity"]["sessionContext"]["attributes"]["mfaAuthenticated"] == "false"
    assert code_of(error_of(clients("iam").create_user, UserName="x")) == "AccessDenied"
    assert "PasswordLastUsed" in iam.get_user(UserName="ann")["User"]
    # The CLI takes the same credentials.
    given = answer.json()
    shown = server.aws_json("sts", "get-caller-identity", env={
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"]})
    assert shown["Arn"] == arn


def test_failures_look_alike_and_are_recorded(server, iam):
    make_user(iam, "ben")
    wrong = sign_in(server, server.account_id, "ben", "wrong")
    nobody = sign_in(server, server.account_id, "my-password-in-the-wrong-field", "wrong")
    nowhere = sign_in(server, "999999999999", "ben", "wrong")
    assert wrong.status == nobody.status == nowhere.status == 401
    assert wrong.body == nobody.body == nowhere.body
    event, = logins(server, where=named("ben"))
    assert event["errorMessage"] == "Failed authentication" and "errorCode" not in event
    assert event["responseElements"] == {"ConsoleLogin": "Failure"}
    assert "arn" not in event["userIdentity"] and event["userIdentity"]["accountId"] == server.account_id
    hidden = logins(server, at_least=2, where=named("HIDDEN_DUE_TO_SECURITY_REASONS"))
    assert len(hidden) == 2 and all("principalId" not in event["userIdentity"] for event in hidden)
    assert "my-password-in-the-wrong-field" not in json.dumps(logins(server))


def test_a_second_factor(server, iam):
    make_user(iam, "cat")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="cat")["VirtualMFADevice"]
    serial, seed, step = device["SerialNumber"], device["Base32StringSeed"], int(time.time()) // 30
    iam.enable_mfa_device(UserName="cat", SerialNumber=serial, AuthenticationCode1=code(seed, step - 1),
                          AuthenticationCode2=code(seed, step))
    first = sign_in(server, server.account_id, "cat")
    assert first.status == 401 and first.headers["x-amzn-errortype"] == "MFARequired"
    check, = logins(server, "CheckMfa")
    assert check["responseElements"] == {"CheckMfa": "Success"}
    assert check["additionalEventData"] == {"MfaType": "Virtual MFA device"}
    assert sign_in(server, server.account_id, "cat", mfaCode="000000").status == 401
    done = sign_in(server, server.account_id, "cat", mfaCode=code(seed, step + 1))
    assert done.status == 200, done
    good, bad = logins(server, at_least=2, where=named("cat"))
    assert bad["additionalEventData"]["MFAUsed"] == "Yes" and bad["responseElements"]["ConsoleLogin"] == "Failure"
    assert good["additionalEventData"]["MFAIdentifier"] == serial and good["additionalEventData"]["MFAUsed"] == "Yes"
    call = session(server, done)("sts").get_caller_identity()
    attributes = server.event_of(call, EventName="GetCallerIdentity")["userIdentity"]["sessionContext"]["attributes"]
    assert attributes["mfaAuthenticated"] == "true"


def test_a_password_that_must_be_changed(server, iam):
    make_user(iam, "dov", reset=True)
    answer = sign_in(server, server.account_id, "dov")
    assert answer.status == 200 and answer.json()["PasswordResetRequired"] is True
    clients = session(server, answer)
    assert code_of(error_of(clients("s3").list_buckets)) == "AccessDenied"
    change = {"OldPassword": PASSWORD, "NewPassword": "Another-Horse-8"}
    assert code_of(error_of(clients("iam").change_password, **change)) == "AccessDenied"
    iam.attach_user_policy(UserName="dov", PolicyArn="arn:aws:iam::aws:policy/IAMUserChangePassword")
    clients("iam").change_password(**change)
    again = sign_in(server, server.account_id, "dov", "Another-Horse-8")
    assert again.json()["PasswordResetRequired"] is False


def test_guessing_is_slowed_down(server, iam):
    make_user(iam, "eli")
    for name in ("eli", "never-was"):
        codes = [sign_in(server, server.account_id, name, f"guess-{n}").status for n in range(6)]
        assert codes == [401] * 5 + [429]
    assert sign_in(server, server.account_id, "eli").status == 429


def test_what_is_no_sign_in(server):
    def post(body, kind="application/json"):
        return server.http("POST", "/signin", {"Content-Type": kind}, body)

    assert post(b"{").status == 400
    assert post(b'{"account":"a","userName":"b"}').status == 400
    assert post(b'{"account":"a","userName":"b","password":"c","admin":true}').status == 400
    assert server.http("GET", "/signin").status in (403, 404), "a bucket of that name"
