# SPDX-License-Identifier: Apache-2.0
"""The one endpoint: which service and region a request is for, errors in each protocol's shape, bad input, limits.

Nothing here may ever be answered with a 5xx other than S3's 501, since clients retry those without end.
"""

import json
import re
import socket
import threading
import uuid
import xml.etree.ElementTree as ElementTree

import pytest

from conftest import HTTPAnswer, code_of, error_of, request_id_of

JSON = "application/x-amz-json-1.1"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."


@pytest.fixture(scope="module", autouse=True)
def bucket(server):
    return server.make_bucket("front-door", policy=False)


@pytest.fixture(autouse=True)
def nothing_changes(server, bucket):
    """Every test here sends what must not change anything: the state before and after is the same."""

    def state():
        s3, cloudtrail = server.client("s3"), server.client("cloudtrail")
        return (
            [b["Name"] for b in s3.list_buckets()["Buckets"]],
            server.keys(bucket),
            cloudtrail.describe_trails()["trailList"],
        )

    before = state()
    yield
    assert state() == before
    assert server.is_running


def is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def check_json_error(answer: HTTPAnswer, code=None, status: int = 400) -> None:
    assert answer.status == status, answer
    assert answer.headers["content-type"].startswith("application/x-amz-json-1."), answer
    document = answer.json()
    assert document["__type"] and (document.get("Message") or document.get("message")), answer
    assert is_uuid(answer.headers["x-amzn-requestid"]), answer
    if code:
        assert answer.code in ([code] if isinstance(code, str) else code), answer


def check_query_error(answer: HTTPAnswer, code=None, status: int = 400) -> None:
    assert answer.status == status, answer
    assert "xml" in answer.headers["content-type"], answer
    root = ElementTree.fromstring(answer.body)
    namespace = re.match(r"\{.*\}", root.tag)
    namespace = namespace.group(0) if namespace else ""
    assert root.tag == f"{namespace}ErrorResponse", answer
    error = root.find(f"{namespace}Error")
    assert error.findtext(f"{namespace}Type") in ("Sender", "Receiver"), answer
    assert error.findtext(f"{namespace}Message"), answer
    assert is_uuid(root.findtext(f"{namespace}RequestId")), answer
    assert answer.headers["x-amzn-requestid"] == root.findtext(f"{namespace}RequestId")
    if code:
        assert error.findtext(f"{namespace}Code") in ([code] if isinstance(code, str) else code), answer


def check_s3_error(answer: HTTPAnswer, code=None, status: int = 400) -> None:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/xml", answer
    root = ElementTree.fromstring(answer.body)
    assert root.tag == "Error", answer
    assert root.findtext("Message"), answer
    assert root.findtext("RequestId") == answer.headers["x-amz-request-id"], answer
    assert re.fullmatch(r"[0-9A-Z]{16}", answer.headers["x-amz-request-id"]), answer
    if code:
        assert root.findtext("Code") in ([code] if isinstance(code, str) else code), answer


# -- which service ------------------------------------------------------------------------------------------------------


def test_the_target_header_leads_to_cloudtrail(server):
    answer = server.http("POST", "/", {"X-Amz-Target": TARGET + "ListTrails", "Content-Type": JSON}, b"{}")
    check_json_error(answer, "MissingAuthenticationTokenException")


def test_the_short_target_of_older_clients_works(server):
    answer = server.signed(
        "POST", "/", service="cloudtrail", body=b"{}",
        headers={"X-Amz-Target": "CloudTrail_20131101.ListTrails", "Content-Type": JSON})
    assert answer.status == 200, answer
    assert answer.json() == {"Trails": []}


def test_the_host_leads_to_a_service(server):
    answer = server.http(
        "POST", "/", {"Host": "sts.amazonaws.com", "Content-Type": FORM},
        b"Action=GetCallerIdentity&Version=2011-06-15")
    check_query_error(answer, "MissingAuthenticationToken", 403)


def test_the_version_of_the_query_leads_to_a_service(server):
    answer = server.http("POST", "/", {"Content-Type": FORM}, b"Action=GetCallerIdentity&Version=2011-06-15")
    check_query_error(answer, "MissingAuthenticationToken", 403)
    answer = server.http("GET", "/?Action=GetCallerIdentity&Version=2011-06-15")
    check_query_error(answer, "MissingAuthenticationToken", 403)


def test_what_bears_no_mark_is_for_s3(server):
    check_s3_error(server.http("GET", "/"), "AccessDenied", 403)
    check_s3_error(server.http("GET", "/front-door/some/key"), "AccessDenied", 403)


def test_the_scope_of_the_signature_wins_over_the_host(server):
    answer = server.signed(
        "POST", "/", service="sts", headers={"Content-Type": FORM, "Host": "s3.amazonaws.com"},
        body=b"Action=GetCallerIdentity&Version=2011-06-15")
    assert answer.status == 200, answer
    assert "<GetCallerIdentityResult>" in answer.text


def test_a_query_by_get_works_too(server):
    answer = server.signed("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", service="sts")
    assert answer.status == 200, answer
    assert f"<Account>{server.account_id}</Account>" in answer.text


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-southeast-2"])
def test_the_scope_says_the_region(server, region):
    answer = server.client("cloudtrail", region_name=region).list_trails()
    assert server.event_of(answer, region=region)["awsRegion"] == region


# -- operations that are not there ------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["FlyAway", "StartQuery", "CreateEventDataStore", "listtrails", ""])
def test_json_operation_that_is_not_built(server, operation):
    answer = server.cloudtrail(operation)
    check_json_error(answer, ["UnknownOperationException", "UnsupportedOperationException"])
    if operation == "StartQuery":
        record = server.event_of(answer)
        assert record["eventName"] == "StartQuery"
        assert record["errorCode"] == answer.code
        assert record["eventSource"] == "cloudtrail.amazonaws.com"


@pytest.mark.parametrize("operation", ["FlyAway", "AssumeRoleWithSAML", "getcalleridentity"])
def test_query_operation_that_is_not_built(server, operation):
    answer = server.query(f"Action={operation}&Version=2011-06-15")
    check_query_error(answer, "InvalidAction")
    if operation == "AssumeRoleWithSAML":
        record = server.event_of(answer)
        assert record["eventName"] == operation
        assert record["errorCode"] == "InvalidAction"
        assert record["eventSource"] == "sts.amazonaws.com"


@pytest.mark.parametrize(
    "method, path, event",
    [("PUT", "/front-door?cors", "PutBucketCors"), ("PUT", "/front-door?website", "PutBucketWebsite"),
     ("PUT", "/front-door?accelerate", "PutAccelerateConfiguration"), ("GET", "/front-door/key?torrent", None)])
def test_s3_operation_that_is_not_built(server, method, path, event):
    answer = server.signed(method, path, service="s3")
    check_s3_error(answer, "NotImplemented", 501)
    if event:
        record = server.event_of(answer)
        assert record["eventName"] == event
        assert record["errorCode"] == "NotImplemented"
        assert record["requestParameters"]["bucketName"] == "front-door"


@pytest.mark.parametrize(
    "service, method, path, headers, body",
    [
        ("dynamodb", "POST", "/", {"X-Amz-Target": "DynamoDB_20120810.ListTables",
                                   "Content-Type": "application/x-amz-json-1.0"}, b"{}"),
        ("ec2", "POST", "/", {"Content-Type": FORM}, b"Action=DescribeInstances&Version=2016-11-15"),
        ("lambda", "GET", "/2015-03-31/functions/", {}, b""),
        ("a-service-of-tomorrow", "GET", "/", {}, b""),
        ("UPPER_CASE!", "GET", "/", {}, b""),
    ])
def test_services_that_are_not_there_get_a_client_error(server, service, method, path, headers, body):
    answer = server.signed(method, path, service=service, headers=headers, body=body)
    assert 400 <= answer.status < 500, answer
    assert answer.request_id, answer
    if service == "dynamodb":
        check_json_error(answer, ["UnknownOperationException", "UnsupportedOperationException"])
    if service == "ec2":
        check_query_error(answer, "InvalidAction")


def test_clients_do_not_retry_what_is_not_built(server):
    done = server.aws("dynamodb", "list-tables", check=False, env={"AWS_MAX_ATTEMPTS": "5"}, timeout=20)
    assert done.returncode != 0
    assert "max retries" not in done.stderr


# -- request ids --------------------------------------------------------------------------------------------------------


def test_every_answer_carries_a_request_id_of_its_own(server):
    answers = [
        server.http("GET", "/"), server.http("GET", "/front-door/none"), server.http("POST", "/", {"Content-Type": FORM}),
        server.cloudtrail("ListTrails"), server.cloudtrail("FlyAway"), server.cloudtrail("GetTrail", b"{"),
        server.query("Action=GetCallerIdentity&Version=2011-06-15"), server.query("Action=None"),
        server.signed("GET", "/", service="s3"), server.signed("HEAD", "/front-door", service="s3"),
        server.signed("HEAD", "/no-such-bucket-anywhere", service="s3"), server.signed("GET", "/x", service="lambda"),
        HTTPAnswer.parse(server.raw(b"GARBAGE\r\n\r\n")),
    ]
    ids = [answer.request_id for answer in answers]
    assert all(ids), list(zip(ids, answers))
    assert len(set(ids)) == len(ids)


def test_s3_answers_carry_the_extended_id_too(server):
    assert server.signed("GET", "/", service="s3").headers["x-amz-id-2"]
    assert server.signed("GET", "/front-door/none", service="s3").headers["x-amz-id-2"]


def test_the_id_answered_is_the_id_recorded(server):
    for answer in [server.cloudtrail("ListTrails"), server.query("Action=GetCallerIdentity&Version=2011-06-15"),
                   server.signed("GET", "/", service="s3"), server.cloudtrail("GetTrail", {"Name": "no-such-trail"})]:
        assert server.event_of(answer)["requestID"] == answer.request_id


# -- bad JSON -----------------------------------------------------------------------------------------------------------

BAD_JSON = {
    "cut short": b'{"Name": "tra',
    "no object": b"[]",
    "a text": b'"Name"',
    "a number": b"7",
    "two objects": b"{}{}",
    "single quotes": b"{'Name': 'trail'}",
    "trailing comma": b'{"Name": "trail",}',
    "no UTF-8": b'{"Name": "\xff\xfe"}',
    "half a surrogate": b'{"Name": "\\ud800"}',
    "a raw control character": b'{"Name": "a\x01b"}',
    "a null byte": b'{"Name": "a"}\x00',
    "form": b"Action=GetTrail&Name=trail",
    "XML": b"<GetTrail><Name>trail</Name></GetTrail>",
    "deep": b'{"Name":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects, cut": b'{"a":' * 50_000,
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_malformed_json(server, body):
    answer = server.cloudtrail("GetTrail", body)
    check_json_error(answer, "SerializationException")
    record = server.event_of(answer)
    assert record["eventName"] == "GetTrail"
    assert record["errorCode"] == "SerializationException"
    assert record["readOnly"] is True


@pytest.mark.parametrize(
    "operation, body",
    [
        ("GetTrail", {"Name": 5}), ("GetTrail", {"Name": ["trail"]}), ("GetTrail", {"Name": {"a": 1}}),
        ("DescribeTrails", {"trailNameList": "trail"}), ("DescribeTrails", {"trailNameList": [1]}),
        ("DescribeTrails", {"includeShadowTrails": "perhaps"}), ("LookupEvents", {"MaxResults": "many"}),
        ("LookupEvents", {"LookupAttributes": {"AttributeKey": "EventName"}}),
        ("CreateTrail", {"Name": "t-wrong", "S3BucketName": "front-door", "IsMultiRegionTrail": "yes"}),
        ("CreateTrail", {"Name": "t-wrong", "S3BucketName": ["front-door"]}),
    ])
def test_json_of_the_wrong_type(server, operation, body):
    answer = server.cloudtrail(operation, body)
    check_json_error(answer)
    record = server.event_of(answer)
    assert record["eventName"] == operation
    assert record["errorCode"] == answer.code


@pytest.mark.parametrize("operation", ["GetTrail", "CreateTrail", "DeleteTrail", "StartLogging", "PutEventSelectors"])
@pytest.mark.parametrize("body", [b"{}", b""], ids=["an empty object", "no bytes"])
def test_json_without_its_required_members(server, operation, body):
    answer = server.cloudtrail(operation, body)
    check_json_error(answer)
    assert server.event_of(answer)["errorCode"] == answer.code


def test_members_that_nobody_knows_change_nothing(server):
    answer = server.cloudtrail("ListTrails", {"Nonsense": {"deep": [1, 2, {"x": None}]}, "Another": "x"})
    assert answer.status in (200, 400), answer


def send_large(server, service: str, headers: dict, body: bytes) -> HTTPAnswer:
    """Sends a body that is refused before its end, and reads the answer all the same, as urllib3 and others do."""
    signed = server.sign("POST", "/", service=service, headers=headers, body=body)
    raw = server.raw(request_bytes("POST", "/", signed, body, len(body)), timeout=20)
    assert raw, "the connection was reset before the client could read why"
    return HTTPAnswer.parse(raw)


def test_a_json_body_over_the_limit(server):
    body = json.dumps({"Name": "x" * (6 << 20)}).encode()
    answer = send_large(server, "cloudtrail", {"X-Amz-Target": TARGET + "GetTrail", "Content-Type": JSON}, body)
    check_json_error(answer, ["RequestEntityTooLarge", "RequestEntityTooLargeException"], 413)


def test_a_body_that_says_it_is_compressed_is_refused(server):
    answer = server.cloudtrail("ListTrails", b"{}", headers={"Content-Encoding": "gzip"})
    check_json_error(answer, status=answer.status)
    assert 400 <= answer.status < 500, answer


# -- bad queries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, codes",
    [("", ["MissingAction", "InvalidAction"]), ("Version=2011-06-15", ["MissingAction", "InvalidAction"]),
     ("Action=", ["MissingAction", "InvalidAction"]), ("=&&=&", ["MissingAction", "InvalidAction"]),
     ("Action=%ZZ&Version=2011-06-15", None), ("Action=%FF%FE&Version=2011-06-15", None),
     ('{"Action": "GetCallerIdentity"}', ["MissingAction", "InvalidAction"])])
def test_a_bad_query(server, body, codes):
    answer = server.query(body)
    check_query_error(answer, codes)


def test_a_query_over_the_limit(server):
    body = b"Action=GetCallerIdentity&Version=2011-06-15&Padding=" + b"x" * (6 << 20)
    check_query_error(send_large(server, "sts", {"Content-Type": FORM}, body), ["RequestEntityTooLarge"], 413)


# -- bad S3 -----------------------------------------------------------------------------------------------------------------

BAD_XML = {
    "no XML": b"this is no XML",
    "cut short": b"<Delete><Object><Key>a</Key></Obj",
    "no bytes": b"",
    "another root": b"<Nonsense/>",
    "no objects": b"<Delete></Delete>",
    "no UTF-8": b"<Delete><Object><Key>\xff\xfe</Key></Object></Delete>",
    "an entity of its own": b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "key">]>'
                            b"<Delete><Object><Key>&a;</Key></Object></Delete>",
    "entities in entities": b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (c, b"&%c;" % (c - 1) * 10) for c in range(ord("b"), ord("k")))
                            + b"]><Delete><Object><Key>&j;</Key></Object></Delete>",
    "a file of the server": b'<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
                            b"<Delete><Object><Key>&a;</Key></Object></Delete>",
    "deep": b"<Delete>" * 20_000 + b"</Delete>" * 20_000,
    "two roots": b"<Delete><Object><Key>a</Key></Object></Delete><Delete/>",
}


@pytest.mark.parametrize("body", BAD_XML.values(), ids=BAD_XML.keys())
def test_malformed_xml(server, body):
    answer = server.signed(
        "POST", "/front-door?delete", service="s3", body=body, headers={"Content-Type": "application/xml"})
    check_s3_error(answer, ["MalformedXML", "MissingRequestBodyError", "InvalidRequest"])
    assert "root:" not in answer.text


def test_a_policy_that_is_no_json(server):
    for body in [b"{", b"[]", b"", b"\xff\xfe", b'{"Version": "2012-10-17"}', b"[" * 15_000]:
        answer = server.signed("PUT", "/front-door?policy", service="s3", body=body)
        check_s3_error(answer, ["MalformedPolicy", "MissingRequestBodyError", "InvalidPolicyDocument"])
        assert server.event_of(answer)["errorCode"] == answer.code


@pytest.mark.parametrize(
    "path", ["/front-door/%FF%FE", "/front-door/%C0%AF", "/front-door/%ED%A0%80", "/front-door/" + "k" * 1025])
def test_keys_that_are_no_utf8_or_too_long(server, path):
    answer = server.signed("PUT", path, service="s3", body=b"x")
    check_s3_error(answer)


@pytest.mark.parametrize("path", ["/front-door/%zz", "/front-door/%2"])
def test_paths_with_broken_escapes(server, path):
    answer = server.signed("GET", path, service="s3")
    assert 400 <= answer.status < 500, answer


@pytest.mark.parametrize("name", ["AB", "a", "UPPER", "under_score", "192.168.0.1", "a..b", "-ab", "x" * 64])
def test_bucket_names_out_of_their_grammar(server, name):
    check_s3_error(server.signed("PUT", f"/{name}", service="s3"), "InvalidBucketName")


# -- bodies cut short ---------------------------------------------------------------------------------------------------


def request_bytes(method: str, path: str, headers: dict, body: bytes = b"", length: int = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() != "content-length"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_a_body_shorter_than_its_length_changes_nothing(server):
    body = b"x" * 1000
    headers = server.sign("PUT", "/front-door/cut", service="s3", body=body)
    raw = server.raw(request_bytes("PUT", "/front-door/cut", headers, body[:500], 1000), shutdown=True)
    if raw:  # a client that has closed its side may or may not get an answer
        check_s3_error(HTTPAnswer.parse(raw), ["IncompleteBody", "RequestTimeout"])
    assert error_of(server.client("s3").head_object, Bucket="front-door", Key="cut").response["Error"]["Code"] == "404"


def test_a_chunked_body_that_ends_too_early_changes_nothing(server):
    headers = server.sign(
        "PUT", "/front-door/cut", service="s3", headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    headers["Transfer-Encoding"] = "chunked"
    for tail in [b"10\r\nhalf", b"zz\r\nno size\r\n0\r\n\r\n", b"4\r\nfourNO-LINE-END"]:
        raw = server.raw(request_bytes("PUT", "/front-door/cut", headers, tail), shutdown=True)
        if raw:
            answer = HTTPAnswer.parse(raw)
            assert 400 <= answer.status < 500, answer
    assert server.keys("front-door") == []


def test_an_aws_chunked_body_that_ends_too_early_changes_nothing(server):
    body = b"5\r\nhello\r\n"  # neither the last chunk nor the trailer
    headers = server.sign("PUT", "/front-door/cut", service="s3", headers={
        "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length": "5",
        "Content-Encoding": "aws-chunked", "X-Amz-Trailer": "x-amz-checksum-crc32"})
    answer = HTTPAnswer.parse(server.raw(request_bytes("PUT", "/front-door/cut", headers, body, len(body))))
    check_s3_error(answer)


def test_a_call_whose_json_is_cut_short_is_no_call(server):
    body = b'{"Name": "never-made", "S3BucketName": "front-door"}'
    headers = server.sign("POST", "/", service="cloudtrail", body=body,
                          headers={"X-Amz-Target": TARGET + "CreateTrail", "Content-Type": JSON})
    raw = server.raw(request_bytes("POST", "/", headers, body[:20], len(body)), shutdown=True)
    if raw:
        answer = HTTPAnswer.parse(raw)
        assert 400 <= answer.status < 500, answer


def test_a_client_that_stops_sending_is_told_so(server):
    """Takes half a minute: the door's limit on the silence between two pieces of a body."""
    headers = server.sign("PUT", "/front-door/slow", service="s3", body=b"x" * 1000)
    raw = server.raw(request_bytes("PUT", "/front-door/slow", headers, b"x" * 10, 1000), timeout=60)
    check_s3_error(HTTPAnswer.parse(raw), "RequestTimeout")


# -- HTTP that is none ----------------------------------------------------------------------------------------------------


def signed_head(server, extra: str = "", body: bytes = b"{}") -> bytes:
    headers = server.sign("POST", "/", service="cloudtrail", body=body,
                          headers={"X-Amz-Target": TARGET + "ListTrails", "Content-Type": JSON})
    lines = ["POST / HTTP/1.1"] + [f"{k}: {v}" for k, v in headers.items() if k.lower() != "content-length"]
    return "\r\n".join(lines).encode() + b"\r\n" + extra.encode() + b"\r\n" + body


NO_HTTP = {
    "two lengths": "Content-Length: 2\r\nContent-Length: 1\r\n",
    "two lengths in one": "Content-Length: 2, 1\r\n",
    "a negative length": "Content-Length: -1\r\n",
    "a length that is no number": "Content-Length: two\r\n",
    "a signed length": "Content-Length: +2\r\n",
    "a hexadecimal length": "Content-Length: 0x2\r\n",
    "a huge length": "Content-Length: 99999999999999999999999\r\n",
    "an unknown transfer encoding": "Transfer-Encoding: nonsense\r\n",
    "a blank before the colon": "Content-Length : 2\r\n",
    "a header without a colon": "Content-Length: 2\r\nNonsense\r\n",
}


@pytest.mark.parametrize("extra", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_lengths_that_do_not_hold_are_refused(server, extra):
    raw = server.raw(signed_head(server, extra), timeout=5, until_close=True)
    answers = raw.split(b"HTTP/1.1 ")[1:]
    assert len(answers) <= 1, f"more than one answer to one request: {raw!r}"
    answer = HTTPAnswer.parse(raw)
    assert 400 <= answer.status < 500 or answer.status == 501, answer
    assert answer.request_id, answer


def test_a_length_beside_chunks_never_makes_two_requests_of_one(server):
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    body = b"2\r\n{}\r\n0\r\n\r\n"
    head = signed_head(server, f"Content-Length: {len(body) + len(smuggled)}\r\nTransfer-Encoding: chunked\r\n", b"")
    raw = server.raw(head + body + smuggled, timeout=5, until_close=True)
    assert raw.count(b"HTTP/1.1 ") == 1, raw


@pytest.mark.parametrize(
    "data",
    [b"GARBAGE\r\n\r\n", b"\r\n\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / FTP/1.1\r\n\r\n",
     b"\x00\x01\x02\x03\x04\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nA\x00B: c\r\n\r\n",
     b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", b"G" * 100_000],
    ids=["garbage", "empty lines", "no target", "a version of tomorrow", "another protocol", "binary", "TLS", "HTTP/2",
         "a null in a name", "a control character in the path", "an endless method"])
def test_what_is_not_http_gets_at_most_a_client_error(server, data):
    raw = server.raw(data, timeout=5)
    if raw:
        answer = HTTPAnswer.parse(raw)
        assert 400 <= answer.status < 500 or answer.status in (501, 505), answer
    assert server.http("GET", "/healthz").status == 200


def test_a_header_over_the_limit(server):
    for extra in ["X-Long: " + "x" * 200_000 + "\r\n", "".join(f"X-{i}: y\r\n" for i in range(5000))]:
        raw = server.raw(signed_head(server, extra + "Content-Length: 2\r\n"), timeout=5)
        answer = HTTPAnswer.parse(raw)
        assert answer.status in (400, 413, 431), answer
        assert answer.request_id and answer.body, answer


def test_a_path_over_the_limit(server):
    raw = server.raw(b"GET /front-door/" + b"k" * 300_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", timeout=5)
    answer = HTTPAnswer.parse(raw)
    assert answer.status in (400, 413, 414, 431), answer


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PATCH", "FLY", "get"])
def test_methods_that_no_service_has(server, method):
    raw = server.raw(f"{method} /front-door/key HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n\r\n".encode(), timeout=5)
    answer = HTTPAnswer.parse(raw)
    assert 400 <= answer.status < 500 or answer.status == 501, answer


def test_random_bytes_never_bring_it_down(server):
    import random

    dice = random.Random(20)
    valid = signed_head(server, "Content-Length: 2\r\n")
    for _ in range(300):
        data = bytearray(valid)
        for _ in range(dice.randint(1, 8)):
            place = dice.randrange(len(data))
            choice = dice.randrange(3)
            if choice == 0:
                data[place] = dice.randrange(256)
            elif choice == 1:
                del data[place : place + dice.randint(1, 20)]
            else:
                data[place:place] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 20)))
        with socket.create_connection((server.host, server.port), timeout=5) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            try:
                raw = connection.recv(65536)
            except ConnectionResetError:
                raw = b""
        if raw:
            status = int(raw.split(b" ")[1][:3])
            assert status < 500 or status == 501, (bytes(data), raw)
    assert server.http("GET", "/healthz").status == 200


# -- connections ------------------------------------------------------------------------------------------------------------


def test_a_connection_serves_on_after_an_error(server):
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        for _ in range(3):
            connection.sendall(signed_head(server, "Content-Length: 1\r\n", b"{"))
            check_json_error(read_answer(connection), "SerializationException")
            connection.sendall(signed_head(server, "Content-Length: 2\r\n"))
            assert read_answer(connection).status == 200


def read_answer(connection: socket.socket) -> HTTPAnswer:
    received = b""
    while True:
        piece = connection.recv(65536)
        assert piece, f"the connection was closed after {received!r}"
        received += piece
        head, mark, body = received.partition(b"\r\n\r\n")
        if mark:
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if length and len(body) >= int(length.group(1)):
                return HTTPAnswer.parse(received)


def test_requests_sent_in_one_go_are_answered_in_order(server):
    one = signed_head(server, "Content-Length: 2\r\n")
    two = f"GET /healthz HTTP/1.1\r\nHost: {server.host}\r\nConnection: close\r\n\r\n".encode()
    raw = server.raw(one + one + two, timeout=5, until_close=True)
    assert [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]] == [200, 200, 200]


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(server):
    request = signed_head(server, "Content-Length: 2\r\nExpect: 100-continue\r\n")
    head, body = request[:-2], request[-2:]
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(head)
        first = connection.recv(65536)
        assert first.startswith(b"HTTP/1.1 100 "), first
        connection.sendall(body)
        assert read_answer(connection).status == 200


def test_head_answers_have_no_body(server):
    for path, status in [("/front-door", 200), ("/no-such-bucket-anywhere", 404)]:
        headers = server.sign("HEAD", path, service="s3")
        headers["Connection"] = "close"
        raw = server.raw(request_bytes("HEAD", path, headers), until_close=True)
        head, _, body = raw.partition(b"\r\n\r\n")
        assert int(head.split()[1]) == status, raw
        assert body == b"", raw


def test_many_callers_at_once_are_all_answered(server):
    answers, lock = [], threading.Lock()

    def call():
        for _ in range(10):
            answer = server.cloudtrail("ListTrails")
            with lock:
                answers.append(answer)

    threads = [threading.Thread(target=call) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 640
    assert {answer.status for answer in answers} == {200}
    ids = [answer.request_id for answer in answers]
    assert len(set(ids)) == 640
    recorded = [record["requestID"] for record in server.events(EventName="ListTrails")]
    assert set(ids) <= set(recorded)
    assert len(recorded) == len(set(recorded))


# -- the errors of botocore's own clients ---------------------------------------------------------------------------------


def test_botocore_reads_the_errors_of_each_protocol(server):
    error = error_of(server.client("cloudtrail").get_trail, Name="no-such-trail")
    assert code_of(error) == "TrailNotFoundException"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert type(error).__name__ == "TrailNotFoundException"
    error = error_of(server.client("s3").get_object, Bucket="front-door", Key="none")
    assert code_of(error) == "NoSuchKey"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    error = error_of(server.client("s3").get_object, Bucket="no-such-bucket-anywhere", Key="none")
    assert code_of(error) == "NoSuchBucket"
    error = error_of(server.client("iam").generate_credential_report)
    assert code_of(error) == "InvalidAction"
    for failed in [error_of(server.client("cloudtrail").get_trail, Name="no-such-trail")]:
        assert request_id_of(failed)
