# SPDX-License-Identifier: Apache-2.0
"""S3 through boto3, the AWS CLI and the bare wire: each operation's success and its documented errors."""

import base64
import datetime
import hashlib
import itertools
import json
import os
import random
import socket
import threading
import urllib.error
import urllib.request
import zlib

import pytest
from botocore.config import Config

from conftest import code_of, error_of

COUNTER = itertools.count()


@pytest.fixture
def s3(server):
    return server.client("s3")


@pytest.fixture
def bucket(server, s3):
    """An empty bucket of the test's own."""
    name = f"s3-test-{next(COUNTER)}"
    s3.create_bucket(Bucket=name)
    return name


def status_of(error) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def refused(code: str, status: int, function, *args, **kw):
    """Calls what must fail so, and returns the error."""
    error = error_of(function, *args, **kw)
    assert (code_of(error), status_of(error)) == (code, status), error.response
    return error


def checksum_client(server, calculation: str, **kw):
    """A client that sends checksums as `calculation` says (`when_supported` is today's default)."""
    return server.client("s3", config=Config(request_checksum_calculation=calculation), **kw)


# -- buckets ----------------------------------------------------------------------------------------------------------


def test_bucket_life(server, s3):
    made = s3.create_bucket(Bucket="life-of-a-bucket")
    assert made["Location"] == "/life-of-a-bucket"
    assert made["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
    assert s3.head_bucket(Bucket="life-of-a-bucket")["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket="life-of-a-bucket")["LocationConstraint"] is None
    listed = s3.list_buckets()
    assert "life-of-a-bucket" in [item["Name"] for item in listed["Buckets"]]
    assert len(listed["Owner"]["ID"]) == 64
    created = next(item["CreationDate"] for item in listed["Buckets"] if item["Name"] == "life-of-a-bucket")
    assert abs(datetime.datetime.now(datetime.timezone.utc) - created) < datetime.timedelta(minutes=10)
    assert s3.delete_bucket(Bucket="life-of-a-bucket")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert status_of(error_of(s3.head_bucket, Bucket="life-of-a-bucket")) == 404


def test_buckets_are_paged(s3):
    for name in ("paged-a", "paged-b", "paged-c"):
        s3.create_bucket(Bucket=name)
    pages = list(s3.get_paginator("list_buckets").paginate(Prefix="paged-", PaginationConfig={"PageSize": 2}))
    assert [[item["Name"] for item in page["Buckets"]] for page in pages] == [["paged-a", "paged-b"], ["paged-c"]]


@pytest.mark.parametrize("name", ["ab", "Upper", "under_score", "a..b", "192.168.5.4", "xn--abc", "abc-s3alias"])
def test_invalid_bucket_names(server, name):
    answer = server.signed("PUT", f"/{name}", service="s3")
    assert (answer.status, answer.code) == (400, "InvalidBucketName")
    assert f"<BucketName>{name}</BucketName>" in answer.text


def test_bucket_exists(server, s3, bucket):
    s3.create_bucket(Bucket=bucket)  # us-east-1: 200 to its owner
    west = server.client("s3", region_name="us-west-2")
    where = {"CreateBucketConfiguration": {"LocationConstraint": "us-west-2"}}
    west.create_bucket(Bucket="west-exists", **where)
    refused("BucketAlreadyOwnedByYou", 409, west.create_bucket, Bucket="west-exists", **where)


def test_location_constraints(server, s3):
    west = server.client("s3", region_name="us-west-2")
    refused("IllegalLocationConstraintException", 400, west.create_bucket, Bucket="no-constraint")
    refused("InvalidLocationConstraint", 400, s3.create_bucket, Bucket="mars",
            CreateBucketConfiguration={"LocationConstraint": "mars-north-1"})
    s3.create_bucket(Bucket="made-from-afar", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert s3.get_bucket_location(Bucket="made-from-afar")["LocationConstraint"] == "eu-west-1"


def test_wrong_region_is_told_the_right_one(server):
    west = server.client("s3", region_name="us-west-2")
    west.create_bucket(Bucket="lies-in-the-west", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    answer = server.signed("GET", "/lies-in-the-west", service="s3", region="us-east-1")
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed")
    assert answer.headers["x-amz-bucket-region"] == "us-west-2"
    assert "<Region>us-west-2</Region>" in answer.text
    # A client of another region follows by itself.
    east = server.client("s3", config=Config(retries={"total_max_attempts": 3}))
    east.put_object(Bucket="lies-in-the-west", Key="k", Body=b"x")
    assert west.get_object(Bucket="lies-in-the-west", Key="k")["Body"].read() == b"x"


def test_bucket_settings_that_are_not_built(server, s3):
    refused("InvalidBucketAclWithObjectOwnership", 400, s3.create_bucket, Bucket="public-acl", ACL="public-read")
    body = b"<CreateBucketConfiguration><Unknown>1</Unknown></CreateBucketConfiguration>"
    for document in (body, b"<CreateBucketConfiguration>", b"no xml at all"):
        answer = server.signed("PUT", "/malformed", service="s3", body=document)
        assert (answer.status, answer.code) == (400, "MalformedXML")
    for name in ("public-acl", "malformed"):
        assert status_of(error_of(s3.head_bucket, Bucket=name)) == 404


def test_delete_bucket_errors(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    error = refused("BucketNotEmpty", 409, s3.delete_bucket, Bucket=bucket)
    assert error.response["Error"]["BucketName"] == bucket
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    refused("NoSuchBucket", 404, s3.delete_bucket, Bucket=bucket)


@pytest.mark.parametrize("operation,arguments", [
    ("get_bucket_location", {}), ("get_bucket_acl", {}), ("get_bucket_policy", {}), ("delete_bucket_policy", {}),
    ("get_bucket_policy_status", {}), ("list_objects", {}), ("list_objects_v2", {}), ("get_object", {"Key": "k"}),
    ("put_object", {"Key": "k"}), ("delete_object", {"Key": "k"}),
    ("delete_objects", {"Delete": {"Objects": [{"Key": "k"}]}}), ("put_bucket_policy", {"Policy": "{}"}),
    ("copy_object", {"Key": "k", "CopySource": "no-such-bucket/k"}),
])
def test_no_such_bucket(s3, operation, arguments):
    error = refused("NoSuchBucket", 404, getattr(s3, operation), Bucket="no-such-bucket", **arguments)
    assert error.response["Error"]["BucketName"] == "no-such-bucket"


def test_bucket_acl_and_expected_owner(server, s3, bucket):
    acl = s3.get_bucket_acl(Bucket=bucket)
    assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]
    assert acl["Grants"][0]["Grantee"] == {"ID": acl["Owner"]["ID"], "Type": "CanonicalUser"}
    s3.get_bucket_acl(Bucket=bucket, ExpectedBucketOwner=server.account_id)
    refused("AccessDenied", 403, s3.get_bucket_acl, Bucket=bucket, ExpectedBucketOwner="999999999999")


# -- policies ---------------------------------------------------------------------------------------------------------


def test_bucket_policy_life(server, s3, bucket):
    text = json.dumps(server.trail_policy(bucket))
    assert s3.put_bucket_policy(Bucket=bucket, Policy=text)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == json.loads(text)
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": False}
    s3.delete_bucket_policy(Bucket=bucket)
    refused("NoSuchBucketPolicy", 404, s3.get_bucket_policy, Bucket=bucket)
    refused("NoSuchBucketPolicy", 404, s3.get_bucket_policy_status, Bucket=bucket)


@pytest.mark.parametrize("change,message", [
    ({"Version": "2001-01-01"}, "The policy must contain a valid version string"),
    ({"Statement": None}, "Missing required field Statement"),
    ({"Effect": "allow"}, "Invalid effect: allow"),
    ({"Principal": None}, "Missing required field Principal"),
    ({"Principal": {"AWS": "nobody"}}, "Invalid principal in policy"),
    ({"Action": None}, "Missing required field Action"),
    ({"Action": "s3:NoSuchAction"}, "Policy has invalid action"),
    ({"Action": "s3:ListBucket"}, "Action does not apply to any resource(s) in statement"),
    ({"Resource": None}, "Missing required field Resource"),
    ({"Resource": "arn:aws:s3:::another-bucket/*"}, "Policy has invalid resource"),
])
def test_malformed_policies(server, s3, bucket, change, message):
    statement = {"Effect": "Allow", "Principal": {"AWS": server.account_id}, "Action": "s3:GetObject",
                 "Resource": f"arn:aws:s3:::{bucket}/*"}
    document = {"Version": "2012-10-17", "Statement": statement}
    for name, value in change.items():
        target = document if name in document else statement
        target[name] = value
        if value is None:
            del target[name]
    error = refused("MalformedPolicy", 400, s3.put_bucket_policy, Bucket=bucket, Policy=json.dumps(document))
    assert error.response["Error"]["Message"] == message
    refused("NoSuchBucketPolicy", 404, s3.get_bucket_policy, Bucket=bucket)


def test_policies_that_are_no_json_or_public(server, s3, bucket):
    error = refused("MalformedPolicy", 400, s3.put_bucket_policy, Bucket=bucket, Policy="nothing")
    assert "first byte must be '{'" in error.response["Error"]["Message"]
    error = refused("MalformedPolicy", 400, s3.put_bucket_policy, Bucket=bucket, Policy='{"Version":')
    assert error.response["Error"]["Message"] == "This policy contains invalid Json"
    public = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}]}
    refused("AccessDenied", 403, s3.put_bucket_policy, Bucket=bucket, Policy=json.dumps(public))
    refused("NoSuchBucketPolicy", 404, s3.get_bucket_policy, Bucket=bucket)


# -- objects: put, get, head, delete ----------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_object_life(server, bucket, style, monkeypatch):
    # Not every machine resolves the names below localhost (RFC 6761, section 6.3).
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **kw: resolve(
        "127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **kw))
    endpoint = server.endpoint if style == "path" else f"http://localhost:{server.port}"
    s3 = server.client("s3", addressing_style=style, endpoint_url=endpoint)
    key = f"dir/a key with é+&?=%/{style}"
    put = s3.put_object(
        Bucket=bucket, Key=key, Body=b"hello", ContentType="text/plain", CacheControl="no-cache",
        ContentDisposition="attachment", ContentEncoding="identity", ContentLanguage="de", Metadata={"Color": "blue"},
        ACL="bucket-owner-full-control")
    assert put["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    for got in (s3.get_object(Bucket=bucket, Key=key), s3.head_object(Bucket=bucket, Key=key)):
        assert got["ContentLength"] == 5
        assert got["ETag"] == put["ETag"]
        assert got["ContentType"] == "text/plain"
        assert (got["CacheControl"], got["ContentDisposition"]) == ("no-cache", "attachment")
        assert (got["ContentEncoding"], got["ContentLanguage"]) == ("identity", "de")
        assert got["Metadata"] == {"color": "blue"}
        assert abs(datetime.datetime.now(datetime.timezone.utc) - got["LastModified"]) < datetime.timedelta(minutes=10)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"hello"
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert s3.delete_object(Bucket=bucket, Key=key)["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key=key)
    assert status_of(error_of(s3.head_object, Bucket=bucket, Key=key)) == 404
    s3.delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("calculation", ["when_supported", "when_required"])
def test_large_objects_stream_both_ways(server, bucket, calculation):
    body = random.Random(5).randbytes(20_000_003)
    s3 = checksum_client(server, calculation)
    put = s3.put_object(Bucket=bucket, Key="big", Body=body)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == body
    part = s3.get_object(Bucket=bucket, Key="big", Range="bytes=1000000-18000000")
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert part["ContentRange"] == "bytes 1000000-18000000/20000003"
    assert part["Body"].read() == body[1_000_000:18_000_001]


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums(server, s3, bucket, algorithm):
    body = b"some bytes to be sure of"
    value = {
        "CRC32": lambda: zlib.crc32(body).to_bytes(4, "big"), "SHA1": lambda: hashlib.sha1(body).digest(),
        "SHA256": lambda: hashlib.sha256(body).digest()}[algorithm]()
    text = base64.b64encode(value).decode()
    put = s3.put_object(Bucket=bucket, Key="sure", Body=body, ChecksumAlgorithm=algorithm)
    assert put[f"Checksum{algorithm}"] == text
    got = s3.get_object(Bucket=bucket, Key="sure", ChecksumMode="ENABLED")
    assert got[f"Checksum{algorithm}"] == text
    assert got["Body"].read() == body
    assert s3.head_object(Bucket=bucket, Key="sure", ChecksumMode="ENABLED")["ChecksumType"] == "FULL_OBJECT"
    wrong = base64.b64encode(bytes(len(value))).decode()
    error = refused("BadDigest", 400, s3.put_object, Bucket=bucket, Key="wrong", Body=body,
                    **{f"Checksum{algorithm}": wrong})
    assert algorithm in error.response["Error"]["Message"]
    assert status_of(error_of(s3.head_object, Bucket=bucket, Key="wrong")) == 404


def test_content_md5(server, s3, bucket):
    right = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=right)
    refused("BadDigest", 400, s3.put_object, Bucket=bucket, Key="k", Body=b"y", ContentMD5=right)
    refused("InvalidDigest", 400, s3.put_object, Bucket=bucket, Key="k", Body=b"y", ContentMD5="AAAA")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_ranges(s3, bucket):
    s3.put_object(Bucket=bucket, Key="digits", Body=b"0123456789")
    for value, expected in (("bytes=0-0", b"0"), ("bytes=7-", b"789"), ("bytes=-3", b"789"), ("bytes=5-99", b"56789"),
                            ("bytes=0-3,5-6", b"0123456789"), ("nonsense", b"0123456789")):
        assert s3.get_object(Bucket=bucket, Key="digits", Range=value)["Body"].read() == expected
    error = refused("InvalidRange", 416, s3.get_object, Bucket=bucket, Key="digits", Range="bytes=10-")
    assert error.response["Error"]["ActualObjectSize"] == "10"
    assert error.response["Error"]["RangeRequested"] == "bytes=10-"
    assert s3.get_object(Bucket=bucket, Key="digits", PartNumber=1)["Body"].read() == b"0123456789"
    refused("InvalidPartNumber", 416, s3.get_object, Bucket=bucket, Key="digits", PartNumber=2)


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    then = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    before, after = then - datetime.timedelta(hours=1), then + datetime.timedelta(hours=1)
    for conditions in ({"IfMatch": etag}, {"IfNoneMatch": '"other"'}, {"IfModifiedSince": before},
                       {"IfUnmodifiedSince": after}, {"IfMatch": etag, "IfUnmodifiedSince": before}):
        assert s3.get_object(Bucket=bucket, Key="k", **conditions)["Body"].read() == b"x"
    for conditions in ({"IfNoneMatch": etag}, {"IfModifiedSince": after}):
        assert status_of(error_of(s3.get_object, Bucket=bucket, Key="k", **conditions)) == 304
        assert status_of(error_of(s3.head_object, Bucket=bucket, Key="k", **conditions)) == 304
    for name, conditions in (("If-Match", {"IfMatch": '"other"'}), ("If-Unmodified-Since", {"IfUnmodifiedSince": before})):
        error = refused("PreconditionFailed", 412, s3.get_object, Bucket=bucket, Key="k", **conditions)
        assert error.response["Error"]["Condition"] == name
        assert status_of(error_of(s3.head_object, Bucket=bucket, Key="k", **conditions)) == 412


def test_conditional_writes(s3, bucket):
    refused("NoSuchKey", 404, s3.put_object, Bucket=bucket, Key="k", Body=b"1", IfMatch='"x"')
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    refused("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    refused("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"x"')
    refused("PreconditionFailed", 412, s3.delete_object, Bucket=bucket, Key="k", IfMatch='"x"')
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)["ETag"]
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)


def test_one_of_many_first_writers_wins(server, s3, bucket):
    outcomes = []

    def put(number):
        try:
            s3.put_object(Bucket=bucket, Key="first", Body=str(number).encode(), IfNoneMatch="*")
            outcomes.append(200)
        except Exception as error:  # noqa: BLE001
            outcomes.append(status_of(error))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [200] + [412] * 11


def test_response_overrides_and_presigned_links(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"linked", ContentType="text/plain")
    got = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="application/x-other",
                        ResponseContentDisposition="inline; filename=x", ResponseCacheControl="no-store")
    assert (got["ContentType"], got["CacheControl"]) == ("application/x-other", "no-store")
    assert got["ContentDisposition"] == "inline; filename=x"
    signer = server.client("s3", config=Config(signature_version="s3v4"))  # boto3 alone would sign links with version 2
    link = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert urllib.request.urlopen(link).read() == b"linked"
    link = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "uploaded"})
    urllib.request.urlopen(urllib.request.Request(link, data=b"by link", method="PUT"))
    assert s3.get_object(Bucket=bucket, Key="uploaded")["Body"].read() == b"by link"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(link.replace("uploaded", "another"))
    assert caught.value.code == 403


def test_limits(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="é" * 512, Body=b"x")
    error = refused("KeyTooLongError", 400, s3.put_object, Bucket=bucket, Key="é" * 512 + "a", Body=b"x")
    assert (error.response["Error"]["Size"], error.response["Error"]["MaxSizeAllowed"]) == ("1025", "1024")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"name": "v" * 2044})
    refused("MetadataTooLarge", 400, s3.put_object, Bucket=bucket, Key="k", Body=b"x", Metadata={"name": "v" * 2045})
    headers = server.sign("PUT", f"/{bucket}/huge", service="s3",
                          headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    head = [f"PUT /{bucket}/huge HTTP/1.1", f"Content-Length: {5 * 2**30 + 1}", "Connection: close"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    raw = server.raw(("\r\n".join(head) + "\r\n\r\n").encode())
    assert b" 400 " in raw.split(b"\r\n")[0] and b"EntityTooLarge" in raw


@pytest.mark.parametrize("arguments,code,status", [
    ({"ServerSideEncryption": "aws:kms:dsse"}, "NotImplemented", 501),
    ({"Tagging": "a=b&a=c"}, "InvalidTag", 400), ({"StorageClass": "OUTPOSTS"}, "NotImplemented", 501),
    ({"StorageClass": "NONSENSE"}, "InvalidStorageClass", 400),
    ({"WebsiteRedirectLocation": "/x"}, "NotImplemented", 501),
    ({"ObjectLockLegalHoldStatus": "ON"}, "InvalidRequest", 400),
    ({"ACL": "public-read"}, "AccessControlListNotSupported", 400),
    ({"GrantRead": "id=1"}, "AccessControlListNotSupported", 400), ({"IfNoneMatch": '"x"'}, "NotImplemented", 501),
])
def test_what_puts_do_not_take(s3, bucket, arguments, code, status):
    refused(code, status, s3.put_object, Bucket=bucket, Key="k", Body=b"x", **arguments)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("operation,arguments", [
    ("put_bucket_accelerate_configuration", {"AccelerateConfiguration": {"Status": "Enabled"}}),
    ("put_bucket_metrics_configuration", {"Id": "a", "MetricsConfiguration": {"Id": "a"}}),
    ("get_object_torrent", {"Key": "k"}),
    ("put_bucket_request_payment", {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
    ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled", "MFADelete": "Enabled"}}),
])
def test_operations_that_are_not_built(s3, bucket, operation, arguments):
    refused("NotImplemented", 501, getattr(s3, operation), Bucket=bucket, **arguments)


def test_versions_of_unversioned_objects(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["VersionId"] == "null"
    refused("InvalidArgument", 400, s3.get_object, Bucket=bucket, Key="k", VersionId="abc")
    refused("InvalidArgument", 400, s3.delete_object, Bucket=bucket, Key="k", VersionId="abc")


def test_readers_of_a_replaced_object_get_the_old_bytes(s3, bucket):
    old, new = b"o" * 30_000_000, b"n" * 1000
    s3.put_object(Bucket=bucket, Key="k", Body=old)
    reading = s3.get_object(Bucket=bucket, Key="k")["Body"]
    first = reading.read(1000)
    s3.put_object(Bucket=bucket, Key="k", Body=new)
    assert first + reading.read() == old
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == new


def test_bad_requests(server, bucket):
    for path in (f"/{bucket}/%FF%FE", f"/{bucket}/%zz"):
        assert server.signed("GET", path, service="s3").status in (400, 403)
    answer = server.signed("POST", f"/{bucket}?policy", service="s3")
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    answer = server.signed("GET", f"/{bucket}?acl&policy", service="s3")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


# -- CopyObject -------------------------------------------------------------------------------------------------------


def test_copy(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b+c/é", Body=b"hello", ContentType="text/plain", Metadata={"color": "blue"})
    source = {"Bucket": bucket, "Key": "a b+c/é"}
    copied = s3.copy_object(Bucket=bucket, Key="same", CopySource=source)
    assert copied["CopyObjectResult"]["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    got = s3.get_object(Bucket=bucket, Key="same")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"hello", "text/plain", {"color": "blue"})
    s3.copy_object(Bucket=bucket, Key="new", CopySource=source, MetadataDirective="REPLACE", ContentType="a/b",
                   Metadata={"size": "big"}, ChecksumAlgorithm="SHA256")
    got = s3.head_object(Bucket=bucket, Key="new", ChecksumMode="ENABLED")
    assert (got["ContentType"], got["Metadata"]) == ("a/b", {"size": "big"})
    assert got["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"hello").digest()).decode()


def test_copy_errors(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    copy = {"Bucket": bucket, "Key": "to", "CopySource": f"{bucket}/k"}
    refused("NoSuchKey", 404, s3.copy_object, **{**copy, "CopySource": f"{bucket}/none"})
    refused("NoSuchBucket", 404, s3.copy_object, **{**copy, "CopySource": "no-such-bucket/k"})
    refused("InvalidRequest", 400, s3.copy_object, **{**copy, "Key": "k"})
    refused("InvalidArgument", 400, s3.copy_object, **{**copy, "MetadataDirective": "KEEP"})
    refused("InvalidArgument", 400, s3.copy_object, **{**copy, "TaggingDirective": "KEEP"})
    past = datetime.datetime(2001, 1, 1)
    for condition in ({"CopySourceIfMatch": '"x"'}, {"CopySourceIfNoneMatch": etag},
                      {"CopySourceIfUnmodifiedSince": past},
                      {"CopySourceIfModifiedSince": datetime.datetime(2035, 1, 1)}):
        refused("PreconditionFailed", 412, s3.copy_object, **{**copy, **condition})
    assert status_of(error_of(s3.head_object, Bucket=bucket, Key="to")) == 404
    s3.copy_object(**{**copy, "CopySourceIfMatch": etag, "CopySourceIfModifiedSince": past})


# -- DeleteObjects ----------------------------------------------------------------------------------------------------


def test_delete_objects(s3, bucket):
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": "k0"}, {"Key": "k1", "VersionId": "null"}, {"Key": "never"}, {"Key": "k2", "ETag": '"x"'},
        {"Key": "k3", "VersionId": "abc"}]})
    assert sorted(item["Key"] for item in answer["Deleted"]) == ["k0", "k1", "never"]
    assert {item["Key"]: item["Code"] for item in answer["Errors"]} == {
        "k2": "PreconditionFailed", "k3": "InvalidArgument"}
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k2", "k3", "k4"]
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Quiet": True, "Objects": [{"Key": "k2"}, {"Key": "<&>\"'é"}]})
    assert "Deleted" not in quiet and "Errors" not in quiet
    refused("MalformedXML", 400, s3.delete_objects, Bucket=bucket,
            Delete={"Objects": [{"Key": str(number)} for number in range(1001)]})


def test_delete_objects_needs_a_right_checksum(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    answer = server.signed("POST", f"/{bucket}?delete", service="s3", body=body)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    wrong = {"Content-MD5": base64.b64encode(bytes(16)).decode()}
    answer = server.signed("POST", f"/{bucket}?delete", service="s3", body=body, headers=wrong)
    assert (answer.status, answer.code) == (400, "BadDigest")
    for document in (b"<Delete>", b"<Delete/>", b"<Other/>", b"", b"<Delete><Object/></Delete>"):
        right = {"Content-MD5": base64.b64encode(hashlib.md5(document).digest()).decode()}
        answer = server.signed("POST", f"/{bucket}?delete", service="s3", body=document, headers=right)
        assert (answer.status, answer.code) == (400, "MalformedXML")
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 1


def test_a_document_that_is_not_the_signed_one_is_refused(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="precious", Body=b"x")
    signed = b"<Delete><Object><Key>worthless</Key></Object></Delete>"
    sent = b"<Delete><Object><Key>precious</Key></Object></Delete>".ljust(len(signed))
    checksum = {"Content-MD5": base64.b64encode(hashlib.md5(sent).digest()).decode()}
    headers = server.sign("POST", f"/{bucket}?delete", service="s3", headers=checksum, body=signed)
    answer = server.http("POST", f"/{bucket}?delete", headers, sent)
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    assert s3.head_object(Bucket=bucket, Key="precious")["ContentLength"] == 1


# -- listing ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forest(server):
    """A bucket with keys in folders, made once."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket="forest")
    keys = [f"logs/{day}/{hour}.gz" for day in range(5) for hour in range(7)]
    keys += ["a", "a b", "a+b", "a/b", "a-", "é", "z/é", "Z", "logs", "\U0001f600"]
    for key in keys:
        s3.put_object(Bucket="forest", Key=key, Body=key.encode())
    return sorted(keys, key=lambda key: key.encode())


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_listing_in_pages(server, forest, operation, size):
    pages = server.client("s3").get_paginator(operation)
    found = [item["Key"] for page in pages.paginate(Bucket="forest", PaginationConfig={"PageSize": size})
             for item in page.get("Contents", [])]
    assert found == forest
    found = [item["Key"] for page in pages.paginate(
        Bucket="forest", Prefix="logs/3", PaginationConfig={"PageSize": size}) for item in page.get("Contents", [])]
    assert found == [key for key in forest if key.startswith("logs/3")]
    names, folders = [], []
    for page in pages.paginate(Bucket="forest", Delimiter="/", PaginationConfig={"PageSize": size}):
        names += [item["Key"] for item in page.get("Contents", [])]
        folders += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
    assert names == [key for key in forest if "/" not in key]
    assert folders == ["a/", "logs/", "z/"]


def test_listing_details(server, s3, forest):
    page = s3.list_objects_v2(Bucket="forest", StartAfter="logs/4/5.gz", Prefix="logs/")
    assert [item["Key"] for item in page["Contents"]] == ["logs/4/6.gz"]
    assert (page["KeyCount"], page["IsTruncated"], page["StartAfter"]) == (1, False, "logs/4/5.gz")
    item = page["Contents"][0]
    assert item["ETag"] == f'"{hashlib.md5(b"logs/4/6.gz").hexdigest()}"'
    assert (item["Size"], item["StorageClass"]) == (11, "STANDARD")
    assert "Owner" not in item
    assert item["LastModified"] == s3.head_object(Bucket="forest", Key="logs/4/6.gz")["LastModified"]
    assert s3.list_objects_v2(Bucket="forest", FetchOwner=True, MaxKeys=1)["Contents"][0]["Owner"]["ID"]
    page = s3.list_objects(Bucket="forest", Marker="logs/2/zzz", Prefix="logs/", Delimiter="/", MaxKeys=1)
    assert [item["Prefix"] for item in page["CommonPrefixes"]] == ["logs/3/"]
    assert (page["IsTruncated"], page["NextMarker"], page["Marker"]) == (True, "logs/3/", "logs/2/zzz")
    page = s3.list_objects_v2(Bucket="forest", MaxKeys=0)
    assert (page["KeyCount"], page["IsTruncated"]) == (0, False)
    answer = server.signed("GET", "/forest?encoding-type=url&list-type=2&prefix=a", service="s3")
    assert "<Key>a+b</Key>" in answer.text and "<Key>a%2Bb</Key>" in answer.text
    assert "<Key>a/b</Key>" in answer.text


@pytest.mark.parametrize("query", [
    "max-keys=-1", "max-keys=x", "max-keys=99999999999", "encoding-type=base64", "continuation-token=abc&list-type=2",
])
def test_listing_errors(server, forest, query):
    items = "&".join(sorted(query.split("&")))
    answer = server.signed("GET", f"/forest?{items}", service="s3")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


# -- the AWS CLI and restarts -----------------------------------------------------------------------------------------


def test_the_aws_cli(server, tmp_path):
    server.aws("s3", "mb", "s3://made-by-cli")
    source = tmp_path / "file.txt"
    source.write_bytes(os.urandom(3_000_000))
    server.aws("s3", "cp", str(source), "s3://made-by-cli/dir/file.txt")
    assert "file.txt" in server.aws("s3", "ls", "s3://made-by-cli/dir/").stdout
    server.aws("s3", "cp", "s3://made-by-cli/dir/file.txt", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    server.aws("s3", "cp", "s3://made-by-cli/dir/file.txt", "s3://made-by-cli/dir/copy.txt")
    server.aws("s3", "sync", "s3://made-by-cli/dir", str(tmp_path / "synced"))
    assert sorted(path.name for path in (tmp_path / "synced").iterdir()) == ["copy.txt", "file.txt"]
    shown = server.aws_json("s3api", "list-objects-v2", "--bucket", "made-by-cli")
    assert [item["Key"] for item in shown["Contents"]] == ["dir/copy.txt", "dir/file.txt"]
    assert server.aws("s3", "rb", "s3://made-by-cli", check=False).returncode != 0
    server.aws("s3", "rm", "--recursive", "s3://made-by-cli")
    server.aws("s3", "rb", "s3://made-by-cli")
    done = server.aws("s3api", "head-bucket", "--bucket", "made-by-cli", check=False)
    assert done.returncode != 0 and "404" in done.stderr


def test_everything_is_there_after_a_kill(make_server):
    server = make_server()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="lasting")
    s3.put_bucket_policy(Bucket="lasting", Policy=json.dumps(server.trail_policy("lasting")))
    bodies = {f"k{number}": os.urandom(number * 50_000) for number in range(6)}
    for key, body in bodies.items():
        s3.put_object(Bucket="lasting", Key=key, Body=body, Metadata={"k": key})
    server.kill()
    server.start()
    s3 = server.client("s3")
    for key, body in bodies.items():
        got = s3.get_object(Bucket="lasting", Key=key)
        assert (got["Body"].read(), got["Metadata"]) == (body, {"k": key})
    assert json.loads(s3.get_bucket_policy(Bucket="lasting")["Policy"])["Version"] == "2012-10-17"
