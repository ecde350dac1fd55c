# SPDX-License-Identifier: Apache-2.0
"""STS: who is calling, temporary credentials, and their error answers."""

import base64
import hmac
import http.server
import json
import re
import ssl
import subprocess
import threading
import time
import xml.etree.ElementTree as ElementTree

import botocore
import botocore.config
import pytest
from conftest import code_of, error_of

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


# -- temporary credentials ------------------------------------------------------------------------------------------------


def with_credentials(server, given, service="sts", **kw):
    """A client with temporary credentials."""
    return server.client(
        service, aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given.get("SessionToken"), **kw)


def trust(principal, action="sts:AssumeRole", condition=None):
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(*actions):
    return json.dumps({
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]})


@pytest.fixture(scope="module")
def alice(server):
    """A user's long-term key."""
    iam = server.client("iam")
    iam.create_user(UserName="alice", Path="/team/")
    iam.put_user_policy(UserName="alice", PolicyName="p", PolicyDocument=allow(
        "sts:*", "s3:ListAllMyBuckets", "cloudtrail:*"))
    return iam.create_access_key(UserName="alice")["AccessKey"]


def make_role(server, name, principal=None, policy=None, **kw):
    iam = server.client("iam")
    action = kw.pop("action", "sts:AssumeRole")
    condition = kw.pop("condition", None)
    principal = principal or {"AWS": f"arn:aws:iam::{server.account_id}:root"}
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=trust(principal, action, condition), **kw)["Role"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy or allow("s3:ListAllMyBuckets", "sts:*"))
    return role


def test_a_role_is_assumed_and_its_session_recorded(server, alice):
    role = make_role(server, "reader")
    answer = with_credentials(server, alice).assume_role(RoleArn=role["Arn"], RoleSessionName="first")
    given = answer["Credentials"]
    assert answer["AssumedRoleUser"] == {
        "AssumedRoleId": f"{role['RoleId']}:first",
        "Arn": f"arn:aws:sts::{server.account_id}:assumed-role/reader/first"}
    event = server.event_of(answer, EventName="AssumeRole")
    assert event["readOnly"] is True
    assert event["userIdentity"]["type"] == "IAMUser" and event["userIdentity"]["userName"] == "alice"
    assert event["requestParameters"] == {"roleArn": role["Arn"], "roleSessionName": "first"}
    assert event["responseElements"]["credentials"].keys() == {"accessKeyId", "expiration"}
    assert event["responseElements"]["credentials"]["accessKeyId"] == given["AccessKeyId"]
    assert event["responseElements"]["assumedRoleUser"] == {
        "assumedRoleId": f"{role['RoleId']}:first", "arn": answer["AssumedRoleUser"]["Arn"]}
    assert event["resources"] == [
        {"accountId": server.account_id, "type": "AWS::IAM::Role", "ARN": role["Arn"]}]
    assert "sharedEventID" not in event

    who = with_credentials(server, given).get_caller_identity()
    assert who["UserId"] == f"{role['RoleId']}:first" and who["Arn"] == answer["AssumedRoleUser"]["Arn"]
    event = server.event_of(who, EventName="GetCallerIdentity")
    identity = event["userIdentity"]
    created = identity["sessionContext"]["attributes"].pop("creationDate")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
    assert identity == {
        "type": "AssumedRole", "principalId": who["UserId"], "arn": who["Arn"], "accountId": server.account_id,
        "accessKeyId": given["AccessKeyId"],
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role", "principalId": role["RoleId"], "arn": role["Arn"], "accountId": server.account_id,
                "userName": "reader"},
            "webIdFederationData": {}, "attributes": {"mfaAuthenticated": "false"}}}
    for secret in (given["SessionToken"], given["SecretAccessKey"]):
        for event in server.lookup():
            assert secret not in json.dumps(event, default=str)

    s3 = with_credentials(server, given, "s3")
    s3.list_buckets()
    assert code_of(error_of(s3.create_bucket, Bucket="not-for-the-reader")) == "AccessDenied"


def test_root_assumes_no_role_and_unknown_roles_are_refused(server, alice):
    role = make_role(server, "not-for-root")
    error = error_of(server.client("sts").assume_role, RoleArn=role["Arn"], RoleSessionName="x1")
    assert "Roles may not be assumed by root accounts." in str(error)
    arn = f"arn:aws:iam::{server.account_id}:role/nobody"
    error = error_of(with_credentials(server, alice).assume_role, RoleArn=arn, RoleSessionName="x1")
    assert code_of(error) == "AccessDenied"
    assert str(error).endswith(f"is not authorized to perform: sts:AssumeRole on resource: {arn}")
    assert server.event_of(error, EventName="AssumeRole")["errorCode"] == "AccessDenied"


def test_a_session_policy_narrows_a_role(server, alice):
    role = make_role(server, "narrowed", policy=allow("s3:*"))
    given = with_credentials(server, alice).assume_role(
        RoleArn=role["Arn"], RoleSessionName="narrow", Policy=allow("s3:ListAllMyBuckets"))["Credentials"]
    s3 = with_credentials(server, given, "s3")
    s3.list_buckets()
    error = error_of(s3.create_bucket, Bucket="too-wide")
    assert "because no session policy allows the s3:CreateBucket action" in str(error)


def test_a_role_that_changes_or_goes_takes_its_sessions_along(server, alice):
    iam = server.client("iam")
    role = make_role(server, "short-lived")
    given = with_credentials(server, alice).assume_role(
        RoleArn=role["Arn"], RoleSessionName="gone")["Credentials"]
    s3 = with_credentials(server, given, "s3")
    s3.list_buckets()
    iam.delete_role_policy(RoleName="short-lived", PolicyName="p")
    assert code_of(error_of(s3.list_buckets)) == "AccessDenied"
    iam.delete_role(RoleName="short-lived")
    error = error_of(with_credentials(server, given).get_caller_identity)
    assert code_of(error) == "InvalidClientTokenId"
    make_role(server, "short-lived")
    assert code_of(error_of(with_credentials(server, given).get_caller_identity)) == "InvalidClientTokenId"


def test_a_token_that_was_changed_is_refused_and_recorded(server, alice):
    given = dict(with_credentials(server, alice).get_session_token()["Credentials"])
    given["SessionToken"] = given["SessionToken"][:-6] + "AAAA" + given["SessionToken"][-2:]
    error = error_of(with_credentials(server, given).get_caller_identity)
    assert code_of(error) == "InvalidClientTokenId"
    assert server.event_of(error, EventName="GetCallerIdentity")["errorCode"] == "InvalidClientTokenId"
    given["SessionToken"] = None
    assert code_of(error_of(with_credentials(server, given).get_caller_identity)) == "InvalidClientTokenId"


def test_whoever_is_gone_or_somebody_else_is_refused_and_recorded(server, alice):
    """A deleted user's key and session, a key with another session's token, and keys of another server."""
    iam = server.client("iam")
    iam.create_user(UserName="leaver")
    iam.put_user_policy(UserName="leaver", PolicyName="p", PolicyDocument=allow("sts:*"))
    key = iam.create_access_key(UserName="leaver")["AccessKey"]
    session = with_credentials(server, key).get_session_token()["Credentials"]
    mixed = dict(session, SessionToken=with_credentials(server, alice).get_session_token()["Credentials"]["SessionToken"])
    assert code_of(error_of(with_credentials(server, mixed).get_caller_identity)) == "InvalidClientTokenId"
    iam.delete_access_key(UserName="leaver", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="leaver", PolicyName="p")
    iam.delete_user(UserName="leaver")
    for given in (key, session):
        error = error_of(with_credentials(server, given).get_caller_identity)
        assert code_of(error) == "InvalidClientTokenId"
        event = server.event_of(error, EventName="GetCallerIdentity")
        assert event["errorCode"] == "InvalidClientTokenId" and event["userIdentity"]["accessKeyId"] == given["AccessKeyId"]


def test_sessions_of_users(server, alice):
    sts = with_credentials(server, alice)
    answer = sts.get_session_token(DurationSeconds=900)
    assert server.event_of(answer, EventName="GetSessionToken")["readOnly"] is False
    session = with_credentials(server, answer["Credentials"])
    who = session.get_caller_identity()
    assert who["Arn"] == f"arn:aws:iam::{server.account_id}:user/team/alice"
    identity = server.event_of(who, EventName="GetCallerIdentity")["userIdentity"]
    assert identity["type"] == "IAMUser" and identity["sessionContext"]["sessionIssuer"] == {}
    assert "Cannot call GetSessionToken with session credentials" in str(error_of(session.get_session_token))
    assert code_of(error_of(with_credentials(server, answer["Credentials"], "iam").list_users)) \
        == "InvalidClientTokenId"


def test_federated_users(server, alice):
    sts = with_credentials(server, alice)
    answer = sts.get_federation_token(Name="bob", Policy=allow("s3:ListAllMyBuckets"))
    assert answer["FederatedUser"]["FederatedUserId"] == f"{server.account_id}:bob"
    assert server.event_of(answer, EventName="GetFederationToken")["readOnly"] is False
    who = with_credentials(server, answer["Credentials"]).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{server.account_id}:federated-user/bob"
    identity = server.event_of(who, EventName="GetCallerIdentity")["userIdentity"]
    assert identity["type"] == "FederatedUser"
    assert identity["sessionContext"]["sessionIssuer"]["userName"] == "alice"
    with_credentials(server, answer["Credentials"], "s3").list_buckets()
    trail = with_credentials(server, answer["Credentials"], "cloudtrail")
    assert code_of(error_of(trail.list_trails)) == "AccessDeniedException"


def test_conditions_of_a_trust_policy(server, alice):
    sts = with_credentials(server, alice)
    role = make_role(server, "partner", condition={"StringEquals": {"sts:ExternalId": "e-1"}})
    ask = {"RoleArn": role["Arn"], "RoleSessionName": "ext"}
    assert code_of(error_of(sts.assume_role, **ask)) == "AccessDenied"
    sts.assume_role(ExternalId="e-1", **ask)
    error = error_of(sts.assume_role, ExternalId="e-1", DurationSeconds=3601, **ask)
    assert "exceeds the MaxSessionDuration" in str(error) and code_of(error) == "ValidationError"


def test_tags_and_source_identity_travel_along_a_chain(server, alice):
    actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    role = make_role(server, "chained", action=actions, MaxSessionDuration=7200)
    given = with_credentials(server, alice).assume_role(
        RoleArn=role["Arn"], RoleSessionName="one", SourceIdentity="alice-1",
        Tags=[{"Key": "team", "Value": "a"}], TransitiveTagKeys=["team"])["Credentials"]
    chained = with_credentials(server, given)
    answer = chained.assume_role(RoleArn=role["Arn"], RoleSessionName="two")
    event = server.event_of(answer, EventName="AssumeRole")
    assert event["requestParameters"]["incomingTransitiveTags"] == {"team": "a"}
    assert event["userIdentity"]["sessionContext"]["sourceIdentity"] == "alice-1"
    error = error_of(chained.assume_role, RoleArn=role["Arn"], RoleSessionName="two", DurationSeconds=7200)
    assert "1 hour session limit for roles assumed by role chaining" in str(error)


def test_a_second_factor_opens_what_asks_for_it(server):
    iam = server.client("iam")
    iam.create_user(UserName="mfa-user")
    iam.put_user_policy(UserName="mfa-user", PolicyName="p", PolicyDocument=allow("sts:*"))
    key = iam.create_access_key(UserName="mfa-user")["AccessKey"]
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="mfa-user")["VirtualMFADevice"]
    seed, step = base64.b32decode(device["Base32StringSeed"]), int(time.time()) // 30

    def code(at):
        digest = hmac.new(seed, at.to_bytes(8, "big"), "sha1").digest()
        offset = digest[-1] & 15
        return f"{(int.from_bytes(digest[offset:offset + 4], 'big') & 0x7FFFFFFF) % 10 ** 6:06}"

    iam.enable_mfa_device(
        UserName="mfa-user", SerialNumber=device["SerialNumber"], AuthenticationCode1=code(step - 1),
        AuthenticationCode2=code(step))
    role = make_role(server, "with-mfa", condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}})
    sts = with_credentials(server, key)
    ask = {"RoleArn": role["Arn"], "RoleSessionName": "mfa"}
    assert code_of(error_of(sts.assume_role, **ask)) == "AccessDenied"
    # A code works once: the one that enabled the device is spent.
    error = error_of(sts.assume_role, SerialNumber=device["SerialNumber"], TokenCode=code(step), **ask)
    assert "invalid MFA one time pass code" in str(error)
    answer = sts.assume_role(SerialNumber=device["SerialNumber"], TokenCode=code(step + 1), **ask)
    parameters = server.event_of(answer, EventName="AssumeRole")["requestParameters"]
    assert parameters["serialNumber"] == device["SerialNumber"] and "tokenCode" not in parameters


def test_the_account_of_a_key(server, alice):
    sts = server.client("sts")
    temporary = sts.get_session_token()["Credentials"]["AccessKeyId"]
    for key in (alice["AccessKeyId"], temporary, server.access_key):
        assert sts.get_access_key_info(AccessKeyId=key)["Account"] == server.account_id
    assert code_of(error_of(sts.get_access_key_info, AccessKeyId="AKIAAAAAAAAAAAAAAAAA")) == "ValidationError"
    error = error_of(sts.decode_authorization_message, EncodedMessage="nonsense")
    assert code_of(error) == "InvalidAuthorizationMessageException"


# -- web identities -------------------------------------------------------------------------------------------------------


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """An OpenID Connect provider at https://localhost:PORT, with a certificate and an RSA key made by openssl."""

    def __init__(self, folder):
        def openssl(*args, data=None):
            return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True).stdout

        self.folder, self.openssl = folder, openssl
        self.certificate, self.key = str(folder / "cert.pem"), str(folder / "key.pem")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.certificate,
                "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
        modulus = openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip().split("=")[1]
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({
                    "/.well-known/openid-configuration": {"issuer": provider.url, "jwks_uri": provider.url + "/keys"},
                    "/keys": {"keys": [{"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "e": "AQAB",
                                        "n": encoded(bytes.fromhex(modulus))}]},
                }[self.path]).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, **claims) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "app", "sub": "repo:x", "iat": now, "exp": now + 300, **claims}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "k1"}, claims))
        return signed + "." + encoded(self.openssl("dgst", "-sha256", "-sign", self.key, data=signed.encode()))


def test_web_identities_assume_roles(make_server, tmp_path):
    provider = Provider(tmp_path)
    server = make_server(trusted_ca=provider.certificate)
    arn = server.client("iam").create_open_id_connect_provider(
        Url=provider.url, ClientIDList=["app"])["OpenIDConnectProviderArn"]
    place = provider.url.removeprefix("https://")
    role = make_role(
        server, "web", principal={"Federated": arn}, action="sts:AssumeRoleWithWebIdentity",
        condition={"StringEquals": {f"{place}:aud": "app", f"{place}:sub": "repo:x"}})
    sts = server.client("sts", config=botocore.config.Config(signature_version=botocore.UNSIGNED))
    ask = {"RoleArn": role["Arn"], "RoleSessionName": "web"}
    token = provider.token()
    answer = sts.assume_role_with_web_identity(WebIdentityToken=token, **ask)
    assert answer["SubjectFromWebIdentityToken"] == "repo:x" and answer["Audience"] == "app"
    event = server.event_of(answer, EventName="AssumeRoleWithWebIdentity")
    assert event["userIdentity"] == {
        "type": "WebIdentityUser", "principalId": f"{arn}:app:repo:x", "userName": "repo:x", "identityProvider": arn}
    assert token not in json.dumps(event) and event["recipientAccountId"] == server.account_id
    who = with_credentials(server, answer["Credentials"]).get_caller_identity()
    federation = server.event_of(who, EventName="GetCallerIdentity")["userIdentity"]["sessionContext"][
        "webIdFederationData"]
    assert federation["federatedProvider"] == arn
    for code, bad in {
        "InvalidIdentityToken": provider.token(aud="other"),
        "ExpiredTokenException": provider.token(exp=int(time.time()) - 1),
        "AccessDenied": provider.token(sub="repo:y"),
    }.items():
        assert code_of(error_of(sts.assume_role_with_web_identity, WebIdentityToken=bad, **ask)) == code
    error = error_of(sts.assume_role_with_web_identity, WebIdentityToken=token[:-8] + "AAAAAAAA", **ask)
    assert code_of(error) == "InvalidIdentityToken"
