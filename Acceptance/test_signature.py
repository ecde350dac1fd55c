# SPDX-License-Identifier: Apache-2.0
"""Signature V4 against real signers: boto3 and the AWS CLI in every form they have, and what must not pass."""

import base64
import datetime
import hashlib
import hmac
import io
import random
import xml.etree.ElementTree as ElementTree
import zlib
from urllib.parse import quote, urlsplit

import boto3
import botocore.auth
import botocore.config
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from conftest import code_of, error_of

BUCKET = "signed-things"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
WHO = b"Action=GetCallerIdentity&Version=2011-06-15"
JSON_HEADERS = {
    "X-Amz-Target": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.ListTrails",
    "Content-Type": "application/x-amz-json-1.1",
}
ODD_KEYS = [
    "simple", "with space", "plus+sign", "per%cent", "a//b", "/leading", "trailing/", "./dot", "../dots", "a/./b/../c",
    "q?mark", "hash#", "semi;colon", "amp&eq=", "tilde~", "quote'\"", "back\\slash", "(parens)*!$,:@", "é中😀", "%2F", "nul%00",
]


@pytest.fixture(scope="module", autouse=True)
def bucket(server):
    return server.make_bucket(BUCKET, policy=False)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def stamp(time) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ")


def sign_at(server, time, monkeypatch, method, path, **kw):
    """Signs as of another time."""
    naive = time.replace(tzinfo=None)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: naive)
    try:
        return server.sign(method, path, **kw)
    finally:
        monkeypatch.undo()


def declaring(server, literal, method, path, headers=None):
    """The headers of an S3 request whose signature has `literal` in the place of the body's hash."""

    class Declaring(botocore.auth.S3SigV4Auth):
        def payload(self, request):
            return literal

    request = AWSRequest(
        method=method, url=f"{server.endpoint}{path}",
        headers=dict({"Host": f"{server.host}:{server.port}"}, **(headers or {})))
    Declaring(Credentials(server.access_key, server.secret_key), "s3", server.region).add_auth(request)
    return dict(request.headers.items())


def element(answer, name):
    return ElementTree.fromstring(answer.body).findtext(name)


# -- what must pass -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_through_boto3(server, key):
    s3 = server.client("s3")
    body = key.encode() + b" content"
    s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body
    assert key in [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["Contents"]]
    s3.delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_by_presigned_url(server, key):
    s3 = server.client("s3")
    put = urlsplit(s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": key}, ExpiresIn=60))
    assert "X-Amz-Signature" in put.query, "boto3 must use signature version 4"
    answer = server.http("PUT", f"{put.path}?{put.query}", body=b"by url")
    assert answer.status == 200, answer
    get = urlsplit(s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": key}, ExpiresIn=60))
    answer = server.http("GET", f"{get.path}?{get.query}")
    assert (answer.status, answer.body) == (200, b"by url"), answer
    s3.delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.parametrize("value", ["  lead and trail  ", "inner   blanks", "a,b", "x" * 1000])
def test_odd_header_values(server, value):
    answer = server.signed(
        "PUT", f"/{BUCKET}/metadata", service="s3", headers={"x-amz-meta-odd": value}, body=b"x")
    assert answer.status == 200, answer
    head = server.client("s3").head_object(Bucket=BUCKET, Key="metadata")
    assert " ".join(head["Metadata"]["odd"].split()) == " ".join(value.split())


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_cli_and_sdk_are_the_same_caller(server, region):
    identity = server.client("sts", region_name=region).get_caller_identity()
    assert identity["Account"] == server.account_id
    cli = server.aws_json("sts", "get-caller-identity", "--region", region)
    assert cli["Arn"] == identity["Arn"] == f"arn:aws:iam::{server.account_id}:root"


def test_cli_streams_a_file(server, tmp_path):
    content = random.Random(7).randbytes(3_000_000)
    (tmp_path / "file").write_bytes(content)
    server.aws("s3", "cp", str(tmp_path / "file"), f"s3://{BUCKET}/streamed")
    assert server.body(BUCKET, "streamed") == content


def test_a_stream_without_seek(server):
    """The SDK reads it into aws-chunked with a trailing checksum, or into memory; either way the bytes arrive."""
    content = random.Random(8).randbytes(300_000)
    server.client("s3").put_object(Bucket=BUCKET, Key="stream", Body=io.BytesIO(content), ChecksumAlgorithm="SHA256")
    assert server.body(BUCKET, "stream") == content


def test_the_date_header_will_do(server):
    signed = server.sign("POST", "/", service="sts", headers={"Content-Type": FORM, "Date": "x"}, body=WHO)
    assert "X-Amz-Date" not in signed
    answer = server.http("POST", "/", signed, WHO)
    assert answer.status == 200, answer


def test_blanks_after_commas_are_free(server):
    signed = server.sign("POST", "/", service="sts", headers={"Content-Type": FORM}, body=WHO)
    signed["Authorization"] = signed["Authorization"].replace(", ", ",")
    assert server.http("POST", "/", signed, WHO).status == 200


# -- errors of each protocol --------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(server):
    """Clients with a key that nobody has, and with a wrong secret."""

    def client(service, access_key=None, secret=None, token=None):
        return boto3.session.Session().client(
            service, endpoint_url=server.endpoint, region_name=server.region,
            aws_access_key_id=access_key or server.access_key, aws_secret_access_key=secret or server.secret_key,
            aws_session_token=token,
            config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}))

    return client


CALLS = [
    ("sts", lambda c: c.get_caller_identity()),
    ("cloudtrail", lambda c: c.list_trails()),
    ("s3", lambda c: c.list_objects_v2(Bucket=BUCKET)),
]


@pytest.mark.parametrize(
    "service, call, code, status",
    [(*CALLS[0], "InvalidClientTokenId", 403), (*CALLS[1], "UnrecognizedClientException", 400),
     (*CALLS[2], "InvalidAccessKeyId", 403)])
def test_an_unknown_key(stranger, service, call, code, status):
    error = error_of(call, stranger(service, access_key="AKIAIOSFODNN7EXAMPLE"))
    assert code_of(error) == code
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
    if service == "s3":
        assert error.response["Error"]["AWSAccessKeyId"] == "AKIAIOSFODNN7EXAMPLE"


@pytest.mark.parametrize(
    "service, call, code, status",
    [(*CALLS[0], "SignatureDoesNotMatch", 403), (*CALLS[1], "InvalidSignatureException", 400),
     (*CALLS[2], "SignatureDoesNotMatch", 403)])
def test_a_wrong_secret(stranger, server, service, call, code, status):
    error = error_of(call, stranger(service, secret="wrong"))
    assert code_of(error) == code
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert server.secret_key not in str(error.response)
    if service == "s3":
        details = error.response["Error"]
        assert details["AWSAccessKeyId"] == server.access_key
        assert details["StringToSign"].startswith("AWS4-HMAC-SHA256\n")
        assert details["CanonicalRequest"].startswith("GET\n")
        assert bytes.fromhex(details["CanonicalRequestBytes"]).decode() == details["CanonicalRequest"]


@pytest.mark.parametrize(
    "service, call, code",
    [(*CALLS[0], "InvalidClientTokenId"), (*CALLS[1], "UnrecognizedClientException"), (*CALLS[2], "InvalidToken")])
def test_a_session_token_that_belongs_to_nothing(stranger, service, call, code):
    assert code_of(error_of(call, stranger(service, token="IQoJb3JpZ2luX2Vj"))) == code


@pytest.mark.parametrize("seconds", [-330, 330, -86400, 86400 * 365])
def test_a_time_that_is_too_far_away(server, monkeypatch, seconds):
    time = now() + datetime.timedelta(seconds=seconds)
    signed = sign_at(server, time, monkeypatch, "POST", "/", service="sts", headers={"Content-Type": FORM}, body=WHO)
    answer = server.http("POST", "/", signed, WHO)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer
    assert ("Signature expired: " if seconds < 0 else "Signature not yet current: ") + stamp(time) in answer.text
    signed = sign_at(server, time, monkeypatch, "POST", "/", service="cloudtrail", headers=JSON_HEADERS, body=b"{}")
    answer = server.http("POST", "/", signed, b"{}")
    assert (answer.status, answer.code) == (400, "InvalidSignatureException"), answer
    signed = sign_at(server, time, monkeypatch, "GET", f"/{BUCKET}", service="s3")
    answer = server.http("GET", f"/{BUCKET}", signed)
    assert (answer.status, answer.code) == (403, "RequestTimeTooSkewed"), answer
    assert element(answer, "RequestTime") == stamp(time)
    assert element(answer, "ServerTime") and element(answer, "MaxAllowedSkewMilliseconds")


@pytest.mark.parametrize("seconds", [-240, 240])
def test_a_time_within_five_minutes(server, monkeypatch, seconds):
    time = now() + datetime.timedelta(seconds=seconds)
    signed = sign_at(server, time, monkeypatch, "POST", "/", service="sts", headers={"Content-Type": FORM}, body=WHO)
    assert server.http("POST", "/", signed, WHO).status == 200


@pytest.mark.parametrize("damage", [
    lambda a: a.replace("Credential=", "Credentia="), lambda a: a.replace("Signature=", "Signatur="),
    lambda a: a.replace("SignedHeaders=", ""), lambda a: a.split(", Signature")[0], lambda a: "AWS4-HMAC-SHA256",
    lambda a: a.replace("/aws4_request", ""), lambda a: a + ", Signature=00"])
def test_a_damaged_header(server, damage):
    signed = server.sign("POST", "/", service="sts", headers={"Content-Type": FORM}, body=WHO)
    signature = signed["Authorization"].split("Signature=")[1]
    signed["Authorization"] = damage(signed["Authorization"])
    answer = server.http("POST", "/", signed, WHO)
    assert (answer.status, answer.code) == (403, "IncompleteSignature"), answer
    assert signature not in answer.text
    signed = server.sign("POST", "/", service="cloudtrail", headers=JSON_HEADERS, body=b"{}")
    signed["Authorization"] = damage(signed["Authorization"])
    answer = server.http("POST", "/", signed, b"{}")
    assert (answer.status, answer.code) == (400, "IncompleteSignatureException"), answer
    signed = server.sign("GET", f"/{BUCKET}", service="s3")
    signed["Authorization"] = damage(signed["Authorization"])
    answer = server.http("GET", f"/{BUCKET}", signed)
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed"), answer


@pytest.mark.parametrize("scheme", ["AWS AKID:c2lnbmF0dXJl", "Bearer token", "Basic dTpw",
                                    "AWS4-ECDSA-P256-SHA256 Credential=A/20260101/s3/aws4_request"])
def test_other_schemes(server, scheme):
    answer = server.http("GET", f"/{BUCKET}", {"Authorization": scheme})
    assert (answer.status, answer.code) == (400, "InvalidRequest"), answer
    assert "AWS4-HMAC-SHA256" in answer.text


def test_no_signature(server):
    answer = server.http("GET", f"/{BUCKET}")
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    answer = server.http("POST", "/", JSON_HEADERS, b"{}")
    assert (answer.status, answer.code) == (400, "MissingAuthenticationTokenException"), answer
    answer = server.http("POST", "/", {"Content-Type": FORM}, WHO)
    assert (answer.status, answer.code) == (403, "MissingAuthenticationToken"), answer


def test_a_header_added_on_the_way(server):
    signed = server.sign("PUT", f"/{BUCKET}/added", service="s3", body=b"x")
    signed["x-amz-acl"] = "public-read"
    answer = server.http("PUT", f"/{BUCKET}/added", signed, b"x")
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    assert element(answer, "HeadersNotSigned") == "x-amz-acl"
    assert "added" not in server.keys(BUCKET)


def test_a_body_changed_on_the_way(server):
    signed = server.sign("PUT", f"/{BUCKET}/body", service="s3", body=b"right")
    answer = server.http("PUT", f"/{BUCKET}/body", signed, b"wrong")
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch"), answer
    assert element(answer, "ClientComputedContentSHA256") == hashlib.sha256(b"right").hexdigest()
    assert element(answer, "S3ComputedContentSHA256") == hashlib.sha256(b"wrong").hexdigest()
    assert "body" not in server.keys(BUCKET)
    signed = server.sign("POST", "/", service="sts", headers={"Content-Type": FORM}, body=WHO)
    answer = server.http("POST", "/", signed, WHO + b"&X=1")
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer


def test_s3_needs_its_content_hash(server):
    signed = server.sign("GET", f"/{BUCKET}", service="s3")
    del signed["X-Amz-Content-SHA256"]
    answer = server.http("GET", f"/{BUCKET}", signed)
    assert (answer.status, answer.code) == (400, "InvalidRequest"), answer
    assert "x-amz-content-sha256" in answer.text


def test_an_unsigned_payload_is_for_s3_alone(server):
    path = f"/{BUCKET}/unsigned"
    answer = server.http("PUT", path, declaring(server, "UNSIGNED-PAYLOAD", "PUT", path), b"any body")
    assert answer.status == 200, answer
    signed = server.sign(
        "POST", "/", service="sts", headers={"Content-Type": FORM, "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}, body=WHO)
    answer = server.http("POST", "/", signed, WHO)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer


# -- presigned ----------------------------------------------------------------------------------------------------------


def presigned(server, method="GET", key="link", expires=60, time=None, monkeypatch=None, headers=None) -> str:
    """A path with query, signed by botocore's own presigner."""
    request = AWSRequest(method=method, url=f"{server.endpoint}/{BUCKET}/{key}", headers=headers or {})
    if time is not None:
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: time.replace(tzinfo=None))
    credentials = Credentials(server.access_key, server.secret_key)
    botocore.auth.S3SigV4QueryAuth(credentials, "s3", server.region, expires=expires).add_auth(request)
    if time is not None:
        monkeypatch.undo()
    parts = urlsplit(request.url)
    return f"{parts.path}?{parts.query}"


@pytest.fixture(scope="module")
def link(server, bucket):
    server.client("s3").put_object(Bucket=BUCKET, Key="link", Body=b"linked")


def test_a_presigned_request_has_its_time(server, link, monkeypatch):
    past = now() - datetime.timedelta(seconds=100)
    assert server.http("GET", presigned(server, expires=200, time=past, monkeypatch=monkeypatch)).body == b"linked"
    answer = server.http("GET", presigned(server, expires=50, time=past, monkeypatch=monkeypatch))
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    assert "Request has expired" in answer.text and element(answer, "X-Amz-Expires") == "50"
    future = now() + datetime.timedelta(seconds=400)
    answer = server.http("GET", presigned(server, time=future, monkeypatch=monkeypatch))
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    assert "Request is not valid yet" in answer.text


@pytest.mark.parametrize("change", [
    lambda u: u.replace("/link?", "/other?"), lambda u: u.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
    lambda u: u + "&response-content-type=text%2Fhtml", lambda u: u[:-1] + ("0" if u[-1] != "0" else "1"),
    lambda u: u.replace("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Brange")])
def test_a_changed_link_opens_nothing(server, link, change):
    server.client("s3").put_object(Bucket=BUCKET, Key="other", Body=b"other")
    answer = server.http("GET", change(presigned(server)))
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer


def test_a_link_is_for_its_method(server, link):
    answer = server.http("DELETE", presigned(server))
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer
    assert server.body(BUCKET, "link") == b"linked"


@pytest.mark.parametrize("change, message", [
    (lambda u: u.replace("&X-Amz-Expires=60", ""), "Query-string authentication version 4 requires"),
    (lambda u: u.replace("X-Amz-Expires=60", "X-Amz-Expires=a"), "X-Amz-Expires should be a number"),
    (lambda u: u.replace("X-Amz-Expires=60", "X-Amz-Expires=-5"), "X-Amz-Expires must be non-negative"),
    (lambda u: u.replace("X-Amz-Expires=60", "X-Amz-Expires=604801"), "less than a week"),
    (lambda u: u.replace("aws4_request", "aws5_request"), "Error parsing the X-Amz-Credential parameter"),
    (lambda u: u + "&X-Amz-Signature=00", "Query-string authentication version 4 requires")])
def test_a_damaged_link(server, link, change, message):
    answer = server.http("GET", change(presigned(server)))
    assert (answer.status, answer.code) == (400, "AuthorizationQueryParametersError"), answer
    assert message in answer.text


def test_two_signatures(server, link):
    path = presigned(server)
    answer = server.http("GET", path, server.sign("GET", path, service="s3"))
    assert (answer.status, answer.code) == (400, "InvalidArgument"), answer
    assert "Only one auth mechanism allowed" in answer.text


def test_sts_by_link(server):
    url = server.client("sts").generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    parts = urlsplit(url)
    answer = server.http("GET", f"{parts.path or '/'}?{parts.query}")
    assert answer.status == 200 and server.account_id in answer.text, answer


# -- aws-chunked --------------------------------------------------------------------------------------------------------


def crc32(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


def unsigned_chunks(server, key, content, trailer=None, declared=None, chunk=65536, cut=None, encoding="aws-chunked"):
    body = b""
    for start in range(0, len(content), chunk):
        piece = content[start:start + chunk]
        body += b"%x\r\n%s\r\n" % (len(piece), piece)
    body += b"0\r\n" + (f"x-amz-checksum-crc32:{trailer or crc32(content)}\r\n".encode()) + b"\r\n"
    headers = {
        "x-amz-trailer": "x-amz-checksum-crc32", "Content-Encoding": encoding,
        "x-amz-decoded-content-length": str(len(content) if declared is None else declared)}
    path = f"/{BUCKET}/{key}"
    signed = declaring(server, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "PUT", path, headers)
    return server.http("PUT", path, signed, body[:cut])


def test_unsigned_chunks_with_a_trailing_checksum(server):
    content = random.Random(1).randbytes(200_000)
    answer = unsigned_chunks(server, "chunked", content)
    assert answer.status == 200, answer
    assert server.body(BUCKET, "chunked") == content
    head = server.client("s3").head_object(Bucket=BUCKET, Key="chunked")
    assert head["ContentLength"] == len(content)
    assert "aws-chunked" not in head.get("ContentEncoding", "")


@pytest.mark.parametrize("how, code", [
    ({"trailer": "AAAAAA=="}, "BadDigest"), ({"trailer": "short"}, "InvalidRequest"), ({"declared": 99_999}, "IncompleteBody"),
    ({"declared": 100_001}, "IncompleteBody"), ({"chunk": 8191}, "InvalidChunkSizeError"), ({"cut": -2}, "IncompleteBody"),
    ({"cut": 50_000}, "IncompleteBody")])
def test_bad_chunks_store_nothing(server, how, code):
    answer = unsigned_chunks(server, "bad-chunks", random.Random(2).randbytes(100_000), **how)
    assert (answer.status, answer.code) == (400, code), answer
    assert "bad-chunks" not in server.keys(BUCKET)


def test_chunks_need_their_decoded_length(server):
    path = f"/{BUCKET}/no-length"
    signed = declaring(server, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "PUT", path, {"Content-Encoding": "aws-chunked"})
    answer = server.http("PUT", path, signed, b"0\r\n\r\n")
    assert (answer.status, answer.code) == (411, "MissingContentLength"), answer


def signed_chunks(server, key, content, damage=None, with_trailer=False, chunk=65536):
    """A body in signed chunks, signed here by the rules of the S3 API reference."""
    literal = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if with_trailer else "")
    headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(content))}
    if with_trailer:
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"
    signed = declaring(server, literal, "PUT", f"/{BUCKET}/{key}", headers)
    signature = signed["Authorization"].split("Signature=")[1]
    time = signed["X-Amz-Date"]
    scope = f"{time[:8]}/{server.region}/s3/aws4_request"
    secret = ("AWS4" + server.secret_key).encode()
    for part in (time[:8], server.region, "s3", "aws4_request"):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()

    def link(kind, *parts):
        text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", time, scope, signature, *parts])
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()

    body = b""
    empty = hashlib.sha256(b"").hexdigest()
    for start in [*range(0, len(content), chunk), len(content)]:
        piece = content[start:start + chunk]
        signature = link("PAYLOAD", empty, hashlib.sha256(piece).hexdigest())
        body += b"%x;chunk-signature=%s\r\n" % (len(piece), signature.encode())
        body += piece + b"\r\n" if piece else b""
    if with_trailer:
        line = f"x-amz-checksum-crc32:{crc32(content)}"
        signature = link("TRAILER", hashlib.sha256(f"{line}\n".encode()).hexdigest())
        body += f"{line}\r\nx-amz-trailer-signature:{signature}\r\n".encode()
    body += b"\r\n"
    signed["Content-Length"] = str(len(body))
    return server.http("PUT", f"/{BUCKET}/{key}", signed, damage(body) if damage else body)


@pytest.mark.parametrize("with_trailer", [False, True])
@pytest.mark.parametrize("size", [0, 1, 65536, 200_000])
def test_signed_chunks(server, size, with_trailer):
    content = random.Random(size).randbytes(size)
    answer = signed_chunks(server, "signed-chunks", content, with_trailer=with_trailer)
    assert answer.status == 200, answer
    assert server.body(BUCKET, "signed-chunks") == content


@pytest.mark.parametrize("place", [100, 65_700, 131_300, -50])
@pytest.mark.parametrize("with_trailer", [False, True])
def test_a_flipped_byte_in_signed_chunks_stores_nothing(server, place, with_trailer):
    def damage(body):
        damaged = bytearray(body)
        damaged[place] ^= 1
        return bytes(damaged)

    answer = signed_chunks(server, "flipped", random.Random(3).randbytes(150_000), damage, with_trailer)
    assert answer.status in (400, 403), answer
    assert "flipped" not in server.keys(BUCKET)


# -- the record ---------------------------------------------------------------------------------------------------------


def test_a_badly_signed_call_is_recorded_without_its_signature(make_server):
    server = make_server()  # of its own: in a burst of refused calls it would be summed up with others
    signed = server.sign("POST", "/", service="sts", headers={"Content-Type": FORM}, body=WHO, secret_key="wrong")
    answer = server.http("POST", "/", signed, WHO)
    assert answer.code == "SignatureDoesNotMatch"
    event = server.event_of(answer, EventName="GetCallerIdentity")
    assert event["errorCode"] == "SignatureDoesNotMatch"
    text = str(event)
    assert signed["Authorization"].split("Signature=")[1] not in text
    assert server.secret_key not in text


@pytest.mark.parametrize("seed", range(4))
def test_no_mutation_passes(server, seed):
    """Small changes to signed requests on the live server: each is refused, or asks for the same as before."""
    chance = random.Random(seed)
    server.client("s3").put_object(Bucket=BUCKET, Key="target", Body=b"protected")
    path = f"/{BUCKET}/" + quote("target")
    for _ in range(150):
        signed = server.sign("GET", path, service="s3")
        name = chance.choice(["Authorization", "X-Amz-Date", "X-Amz-Content-SHA256", "Host", "path", "method"])
        method, sent = "GET", path
        if name == "path":
            at = chance.randrange(1, len(path))
            sent = path[:at] + chance.choice(["x", "%41", "/", "?acl", "&", "-"]) + path[at:]
        elif name == "method":
            method = chance.choice(["DELETE", "PUT", "HEAD", "POST"])
        else:
            value = list(signed[name])
            at = chance.randrange(len(value))
            # A letter for a letter, so that it is another value and still a header.
            value[at] = chance.choice([c for c in "abcdef0123456789XYZ" if c != value[at]])
            signed[name] = "".join(value)
        answer = server.http(method, sent, signed)
        assert 400 <= answer.status < 500 or answer.status == 501, (name, method, sent, signed, answer)
        assert b"protected" not in answer.body
    assert server.body(BUCKET, "target") == b"protected"
