# SPDX-License-Identifier: Apache-2.0
"""S3's sub-resources, versions, multipart uploads, tags, locks and attributes, through boto3 and the AWS CLI."""

import base64
import datetime
import email.utils
import hashlib
import itertools
import os
import re
import zlib

import pytest
from boto3.s3.transfer import TransferConfig

from conftest import code_of, error_of

COUNTER = itertools.count()
MIB = 1 << 20


@pytest.fixture
def s3(server):
    return server.client("s3")


@pytest.fixture
def bucket(server, s3):
    name = f"depth-{next(COUNTER)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def versioned(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def refused(code, status, function, *args, **kw):
    error = error_of(function, *args, **kw)
    found = (code_of(error), error.response["ResponseMetadata"]["HTTPStatusCode"])
    assert found == (code, status), error.response
    return error


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation,code,event", [
    ("get_bucket_tagging", "NoSuchTagSet", "GetBucketTagging"), ("get_bucket_cors", "NoSuchCORSConfiguration", "GetBucketCors"),
    ("get_bucket_website", "NoSuchWebsiteConfiguration", "GetBucketWebsite"),
    ("get_bucket_metadata_table_configuration", "MetadataConfigurationNotFound", "GetBucketMetadataTableConfiguration"),
    ("get_bucket_replication", "ReplicationConfigurationNotFoundError", "GetBucketReplication"),
    ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration", "GetBucketLifecycle"),
    ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError", "GetBucketObjectLockConfiguration"),
])
def test_what_is_not_configured(server, s3, bucket, operation, code, event):
    error = refused(code, 404, getattr(s3, operation), Bucket=bucket)
    record = server.event_of(error)
    assert (record["eventName"], record["errorCode"]) == (event, code)
    assert record["eventCategory"] == "Management" and record["readOnly"] is True
    assert record["requestParameters"]["bucketName"] == bucket
    assert record["resources"][0]["ARN"] == f"arn:aws:s3:::{bucket}"
    refused("NoSuchBucket", 404, getattr(s3, operation), Bucket="no-such-bucket")


def test_empty_answers(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    answer = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert not [name for name in answer if name.endswith("Configurations")]


def test_sets_of_configurations_are_empty(s3, bucket):
    for kind in ("analytics", "inventory", "metrics", "intelligent_tiering"):
        answer = getattr(s3, f"list_bucket_{kind}_configurations")(Bucket=bucket)
        assert answer["IsTruncated"] is False and not [name for name in answer if name.endswith("List")]
        refused("NoSuchConfiguration", 404, getattr(s3, f"get_bucket_{kind}_configuration"), Bucket=bucket, Id="a")
    for thing in ("cors", "website", "replication"):
        getattr(s3, f"delete_bucket_{thing}")(Bucket=bucket)
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    refused("NotImplemented", 501, s3.put_bucket_logging, Bucket=bucket, BucketLoggingStatus={
        "LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": ""}})


def test_notifications_are_refused_for_destinations_that_are_not_there_and_cleared(server, s3, bucket):
    for kind, arn in (("Topic", "sns:us-east-1:111122223333:t"), ("Queue", "sqs:us-east-1:111122223333:q"),
                      ("LambdaFunction", "lambda:us-east-1:111122223333:function:f")):
        name = kind + "Configurations"
        error = refused(
            "InvalidArgument", 400, s3.put_bucket_notification_configuration, Bucket=bucket, NotificationConfiguration={
                name: [{"Id": "a", kind + "Arn": "arn:aws:" + arn, "Events": ["s3:ObjectCreated:*"], "Filter": {
                    "Key": {"FilterRules": [{"Name": "prefix", "Value": "logs/"}]}}}]})
        assert error.response["Error"]["Message"] == "Unable to validate the following destination configurations"
        assert error.response["Error"]["ArgumentName"] == "arn:aws:" + arn
    error = refused(
        "InvalidArgument", 400, s3.put_bucket_notification_configuration, Bucket=bucket, NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": "arn:aws:sqs:us-east-1:111122223333:q", "Events": ["s3:ObjectCreated:Nothing"]}]})
    assert "not supported for notifications" in error.response["Error"]["Message"]
    cleared = s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    record = server.event_of(cleared)
    assert record["eventName"] == "PutBucketNotification" and record["readOnly"] is False


def test_bucket_settings_come_back(server, s3, bucket):
    tags = [{"Key": "team", "Value": "audit"}, {"Key": "cost centre", "Value": ""}]
    put = s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    shown = server.event_of(put)["requestParameters"]["Tagging"]["TagSet"]["Tag"]
    assert shown[0] == {"Key": "team", "Value": "audit"}
    s3.delete_bucket_tagging(Bucket=bucket)
    refused("NoSuchTagSet", 404, s3.get_bucket_tagging, Bucket=bucket)
    for key in ("aws:reserved", "semi;colon"):
        refused("InvalidTag", 400, s3.put_bucket_tagging, Bucket=bucket, Tagging={"TagSet": [{"Key": key, "Value": ""}]})

    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True} and len(block) == 4
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"] == [
        {"ObjectOwnership": "BucketOwnerEnforced"}]
    refused("AccessControlListNotSupported", 400, s3.put_bucket_acl, Bucket=bucket, ACL="log-delivery-write")
    refused("AccessControlListNotSupported", 400, s3.put_bucket_acl, Bucket=bucket, ACL="private")
    refused("AccessControlListNotSupported", 400, s3.put_object, Bucket=bucket, Key="k", ACL="private")
    s3.put_object(Bucket=bucket, Key="k", ACL="bucket-owner-full-control")
    refused("AccessControlListNotSupported", 400, s3.put_object_acl, Bucket=bucket, Key="k", ACL="private")
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    s3.put_object(Bucket=bucket, Key="k", ACL="private")
    s3.put_bucket_acl(Bucket=bucket, ACL="log-delivery-write")
    permissions = [grant["Permission"] for grant in s3.get_bucket_acl(Bucket=bucket)["Grants"]]
    assert permissions == ["FULL_CONTROL", "WRITE", "READ_ACP"]
    refused("AccessDenied", 403, s3.put_bucket_acl, Bucket=bucket, ACL="public-read")
    refused("InvalidBucketAclWithObjectOwnership", 400, s3.put_bucket_ownership_controls, Bucket=bucket,
            OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    gone = s3.delete_public_access_block(Bucket=bucket)
    assert server.event_of(gone)["eventName"] == "DeleteBucketPublicAccessBlock"
    refused("NoSuchPublicAccessBlockConfiguration", 404, s3.get_public_access_block, Bucket=bucket)
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    refused("OwnershipControlsNotFoundError", 404, s3.get_bucket_ownership_controls, Bucket=bucket)
    refused("InvalidArgument", 400, s3.put_bucket_notification_configuration, Bucket=bucket, NotificationConfiguration={
        "QueueConfigurations": [{"QueueArn": "arn:aws:sqs:us-east-1:111122223333:q", "Events": ["s3:ObjectCreated:*"]}]})


def test_object_acl_and_tags(s3, versioned):
    first = s3.put_object(Bucket=versioned, Key="k", Body=b"1", Tagging="a=1&b=x%20y")["VersionId"]
    assert s3.get_object(Bucket=versioned, Key="k")["TagCount"] == 2
    assert s3.get_object_tagging(Bucket=versioned, Key="k")["TagSet"][1] == {"Key": "b", "Value": "x y"}
    s3.put_object(Bucket=versioned, Key="k", Body=b"2")
    s3.put_object_tagging(Bucket=versioned, Key="k", VersionId=first, Tagging={"TagSet": [{"Key": "c", "Value": "3"}]})
    assert s3.get_object_tagging(Bucket=versioned, Key="k")["TagSet"] == []
    s3.delete_object_tagging(Bucket=versioned, Key="k", VersionId=first)
    assert s3.get_object_tagging(Bucket=versioned, Key="k", VersionId=first)["TagSet"] == []
    eleven = [{"Key": str(n), "Value": ""} for n in range(11)]
    refused("BadRequest", 400, s3.put_object_tagging, Bucket=versioned, Key="k", Tagging={"TagSet": eleven})
    grants = s3.get_object_acl(Bucket=versioned, Key="k")["Grants"]
    assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL"]
    s3.put_object_acl(Bucket=versioned, Key="k", ACL="bucket-owner-full-control")
    refused("AccessControlListNotSupported", 400, s3.put_object_acl, Bucket=versioned, Key="k", ACL="public-read")


# -- versions ---------------------------------------------------------------------------------------------------------


def test_versions(server, s3, versioned):
    ids = [s3.put_object(Bucket=versioned, Key="k", Body=f"body {n}".encode())["VersionId"] for n in range(3)]
    deleted = s3.delete_object(Bucket=versioned, Key="k")
    assert deleted["DeleteMarker"] is True
    error = refused("NoSuchKey", 404, s3.get_object, Bucket=versioned, Key="k")
    assert error.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    listed = s3.list_object_versions(Bucket=versioned)
    assert [item["VersionId"] for item in listed["Versions"]] == ids[::-1]
    assert [item["IsLatest"] for item in listed["DeleteMarkers"]] == [True]
    assert s3.get_object(Bucket=versioned, Key="k", VersionId=ids[0])["Body"].read() == b"body 0"
    result = s3.delete_objects(Bucket=versioned, Delete={"Objects": [
        {"Key": "k", "VersionId": deleted["VersionId"]}, {"Key": "k", "VersionId": ids[2]}, {"Key": "other"}]})
    assert [item.get("DeleteMarker", False) for item in result["Deleted"]] == [True, False, True]
    assert s3.get_object(Bucket=versioned, Key="k")["Body"].read() == b"body 1"
    refused("NoSuchVersion", 404, s3.get_object, Bucket=versioned, Key="k", VersionId=ids[2])
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=versioned, PaginationConfig={"PageSize": 1})
    seen = [item["VersionId"] for page in pages for item in page.get("Versions", [])]
    assert seen == [ids[1], ids[0]]
    refused("BucketNotEmpty", 409, s3.delete_bucket, Bucket=versioned)


def test_versions_survive_a_kill(make_server):
    server = make_server()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="kept", Key="k", Body=b"first")["VersionId"]
    s3.put_object(Bucket="kept", Key="k", Body=b"second")
    upload = s3.create_multipart_upload(Bucket="kept", Key="parts")["UploadId"]
    etag = s3.upload_part(Bucket="kept", Key="parts", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    server.kill()
    server.restart()
    s3 = server.client("s3")
    assert s3.get_object(Bucket="kept", Key="k")["Body"].read() == b"second"
    assert s3.get_object(Bucket="kept", Key="k", VersionId=version)["Body"].read() == b"first"
    assert s3.get_object(Bucket="kept", Key="k", VersionId="null")["Body"].read() == b"before"
    s3.complete_multipart_upload(Bucket="kept", Key="parts", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert s3.get_object(Bucket="kept", Key="parts")["Body"].read() == b"part"


# -- multipart --------------------------------------------------------------------------------------------------------


def test_the_cli_copies_a_large_file_in_parts(server, s3, bucket, tmp_path):
    body = os.urandom(30 * MIB)
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(body)
    server.aws("s3", "cp", source, f"s3://{bucket}/large")
    head = s3.head_object(Bucket=bucket, Key="large", PartNumber=1)
    assert head["PartsCount"] == 4 and head["ETag"].endswith('-4"')
    server.aws("s3", "cp", f"s3://{bucket}/large", back)
    assert back.read_bytes() == body
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads") is None


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256", "CRC64NVME"])
def test_boto3_uploads_in_parts_with_checksums(s3, bucket, tmp_path, algorithm):
    body = os.urandom(6 * MIB + 17)
    source = tmp_path / "source"
    source.write_bytes(body)
    if algorithm == "CRC64NVME":
        pytest.importorskip("awscrt")
    s3.upload_file(str(source), bucket, "k", ExtraArgs={"ChecksumAlgorithm": algorithm},
                   Config=TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB))
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == body
    digests = b"".join(hashlib.md5(body[n:n + 5 * MIB]).digest() for n in (0, 5 * MIB))
    assert got["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-2"'
    if algorithm == "SHA256":
        digests = b"".join(hashlib.sha256(body[n:n + 5 * MIB]).digest() for n in (0, 5 * MIB))
        assert got["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
        attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts", "ObjectSize"])
        assert attributes["ObjectSize"] == len(body) and attributes["ObjectParts"]["TotalPartsCount"] == 2
        assert [part["Size"] for part in attributes["ObjectParts"]["Parts"]] == [5 * MIB, MIB + 17]


def test_a_full_object_checksum_is_joined_from_the_parts(s3, bucket):
    parts = [os.urandom(5 * MIB), b"the end"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    done = []
    for number, part in enumerate(parts, 1):
        answer = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload["UploadId"], PartNumber=number, Body=part,
                                ChecksumAlgorithm="CRC32")
        done.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": answer["ChecksumCRC32"]})
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload["UploadId"])
    assert [part["Size"] for part in listed["Parts"]] == [5 * MIB, 7]
    whole = base64.b64encode(zlib.crc32(b"".join(parts)).to_bytes(4, "big")).decode()
    end = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"], "MultipartUpload": {"Parts": done},
           "ChecksumType": "FULL_OBJECT"}
    refused("BadDigest", 400, s3.complete_multipart_upload, **end, ChecksumCRC32="AAAAAA==")
    answer = s3.complete_multipart_upload(**end, ChecksumCRC32=whole)
    assert (answer["ChecksumCRC32"], answer["ChecksumType"]) == (whole, "FULL_OBJECT")


def test_multipart_errors_and_abort(s3, bucket):
    where = {"Bucket": bucket, "Key": "k"}
    upload = s3.create_multipart_upload(**where)["UploadId"]
    assert [item["UploadId"] for item in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    etag = s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    more = s3.upload_part(**where, UploadId=upload, PartNumber=2, Body=b"y")["ETag"]
    both = {"Parts": [{"PartNumber": 1, "ETag": etag}, {"PartNumber": 2, "ETag": more}]}
    refused("EntityTooSmall", 400, s3.complete_multipart_upload, **where, UploadId=upload, MultipartUpload=both)
    refused("InvalidPartOrder", 400, s3.complete_multipart_upload, **where, UploadId=upload,
            MultipartUpload={"Parts": both["Parts"][::-1]})
    refused("NoSuchUpload", 404, s3.upload_part, **where, UploadId="none", PartNumber=1, Body=b"x")
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    s3.upload_part_copy(**where, UploadId=upload, PartNumber=1, CopySource=f"{bucket}/source", CopySourceRange="bytes=3-6")
    assert s3.list_parts(**where, UploadId=upload)["Parts"][0]["Size"] == 4
    s3.abort_multipart_upload(**where, UploadId=upload)
    refused("NoSuchUpload", 404, s3.list_parts, **where, UploadId=upload)


# -- locks ------------------------------------------------------------------------------------------------------------


def test_object_lock(server, s3):
    s3.create_bucket(Bucket="locked-depth", ObjectLockEnabledForBucket=True)
    assert s3.get_bucket_versioning(Bucket="locked-depth")["Status"] == "Enabled"
    s3.put_object_lock_configuration(Bucket="locked-depth", ObjectLockConfiguration={
        "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}})
    version = s3.put_object(Bucket="locked-depth", Key="k", Body=b"x")["VersionId"]
    assert s3.get_object_retention(Bucket="locked-depth", Key="k")["Retention"]["Mode"] == "GOVERNANCE"
    refused("AccessDenied", 403, s3.delete_object, Bucket="locked-depth", Key="k", VersionId=version)
    s3.put_object_legal_hold(Bucket="locked-depth", Key="k", LegalHold={"Status": "ON"})
    bypass = {"Bucket": "locked-depth", "Key": "k", "VersionId": version, "BypassGovernanceRetention": True}
    refused("AccessDenied", 403, s3.delete_object, **bypass)
    s3.put_object_legal_hold(Bucket="locked-depth", Key="k", LegalHold={"Status": "OFF"})
    past = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
    refused("InvalidArgument", 400, s3.put_object_retention, Bucket="locked-depth", Key="k",
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": past})
    s3.delete_object(**bypass)
    refused("InvalidBucketState", 409, s3.put_bucket_versioning, Bucket="locked-depth",
            VersioningConfiguration={"Status": "Suspended"})


# -- the truth on the disk --------------------------------------------------------------------------------------------


def test_rot_on_the_disk_is_an_error_and_never_wrong_data(make_server):
    server = make_server()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="rotten")
    body = os.urandom(300_000)
    s3.put_object(Bucket="rotten", Key="k", Body=body)
    (path,) = [p for p in (server.data / "objects").rglob("*") if p.is_file()]
    damaged = bytearray(path.read_bytes())
    damaged[1000] ^= 1
    path.write_bytes(damaged)
    refused("InternalError", 500, s3.get_object, Bucket="rotten", Key="k")
    assert s3.get_object(Bucket="rotten", Key="k", Range="bytes=200000-200099")["Body"].read() == body[200000:200100]


def test_scrub_reads_everything_and_names_what_is_damaged(make_server):
    server = make_server()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="scrubbed")
    s3.put_bucket_versioning(Bucket="scrubbed", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="scrubbed", Key="empty", Body=b"")
    upload = s3.create_multipart_upload(Bucket="scrubbed", Key="parts")["UploadId"]
    etag = s3.upload_part(Bucket="scrubbed", Key="parts", UploadId=upload, PartNumber=1, Body=b"x" * 70_000)["ETag"]
    s3.complete_multipart_upload(Bucket="scrubbed", Key="parts", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    before = {p for p in (server.data / "objects").rglob("*") if p.is_file()}
    version = s3.put_object(Bucket="scrubbed", Key="a b", Body=b"y" * 200_000)["VersionId"]
    (path,) = {p for p in (server.data / "objects").rglob("*") if p.is_file()} - before
    s3.delete_object(Bucket="scrubbed", Key="a b")
    # Beside the running server, and after it has stopped.
    assert server.cairn("scrub").stdout.strip() == "4 objects in 3 files, 270000 bytes read, 0 damaged"
    server.stop()
    damaged = bytearray(path.read_bytes())
    damaged[150_000] ^= 0x80
    path.write_bytes(damaged)
    done = server.cairn("scrub", check=False)
    assert done.returncode == 1
    line, summary = done.stdout.strip().splitlines()
    assert line.startswith(f"damaged: s3://scrubbed/a b (version {version}): object file `") and path.name in line
    assert summary.endswith("1 damaged")
    path.unlink()
    assert "No such file" in server.cairn("scrub", check=False).stdout


def test_archived_objects_are_read_after_a_restore(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"cold", StorageClass="GLACIER")
    error = refused("InvalidObjectState", 403, s3.get_object, Bucket=bucket, Key="k")
    assert error.response["Error"]["StorageClass"] == "GLACIER"
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == "GLACIER"
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["StorageClass"] == "GLACIER"
    begun = s3.restore_object(Bucket=bucket, Key="k", RestoreRequest={"Days": 2})
    assert begun["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert 'ongoing-request="false", expiry-date=' in s3.head_object(Bucket=bucket, Key="k")["Restore"]
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"cold"
    again = s3.restore_object(Bucket=bucket, Key="k", RestoreRequest={"Days": 3})
    assert again["ResponseMetadata"]["HTTPStatusCode"] == 200
    s3.put_object(Bucket=bucket, Key="warm", Body=b"w", StorageClass="STANDARD_IA")
    assert s3.get_object(Bucket=bucket, Key="warm")["StorageClass"] == "STANDARD_IA"
    refused("InvalidObjectState", 403, s3.restore_object, Bucket=bucket, Key="warm", RestoreRequest={"Days": 1})


def test_lifecycle_rules_come_back_and_are_recorded(server, s3, bucket):
    rules = [
        {"ID": "cold", "Status": "Enabled", "Filter": {"Prefix": "AWSLogs/"},
         "Transitions": [{"Days": 90, "StorageClass": "GLACIER"}], "Expiration": {"Days": 400}},
        {"ID": "old", "Status": "Disabled", "Filter": {"And": {"Prefix": "x", "Tags": [{"Key": "a", "Value": "b"}]}},
         "NoncurrentVersionExpiration": {"NoncurrentDays": 7}},
        {"ID": "parts", "Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}},
    ]
    put = s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    got = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [rule["ID"] for rule in got] == ["cold", "old", "parts"]
    assert got[0]["Transitions"] == rules[0]["Transitions"] and got[0]["Expiration"] == {"Days": 400}
    assert got[1]["Filter"] == rules[1]["Filter"]
    record = server.event_of(put)
    assert record["eventName"] == "PutBucketLifecycle"
    assert record["requestParameters"]["LifecycleConfiguration"]["Rule"][0]["Expiration"]["Days"] == 400
    twice = {"Rules": [rules[0], rules[0]]}
    refused("InvalidArgument", 400, s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration=twice)
    gone = s3.delete_bucket_lifecycle(Bucket=bucket)
    assert server.event_of(gone)["eventName"] == "DeleteBucketLifecycle"
    refused("NoSuchLifecycleConfiguration", 404, s3.get_bucket_lifecycle_configuration, Bucket=bucket)


def test_a_composite_upload_ends_only_with_the_checksum_of_each_part(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA1")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA1")
    listed = {"PartNumber": 1, "ETag": part["ETag"]}
    error = refused("InvalidRequest", 400, s3.complete_multipart_upload, Bucket=bucket, Key="k", UploadId=upload,
                    MultipartUpload={"Parts": [listed]})
    assert "created using a sha1 checksum" in str(error) and "missing for part 1 " in str(error)
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload,
                                 MultipartUpload={"Parts": [dict(listed, ChecksumSHA1=part["ChecksumSHA1"])]})


@pytest.mark.parametrize("name", ["SHA512", "XXHASH64", "XXHASH3", "XXHASH128", "MD5"])
def test_newer_checksums_are_refused_clearly(s3, bucket, name):
    """boto3 cannot compute them, so they are sent as headers."""
    header = f"x-amz-checksum-{name.lower()}"
    for headers in ({header: "AAAA"}, {"x-amz-sdk-checksum-algorithm": name, header: "AAAA"}):
        def add(params, **_):
            params["headers"].update(headers)
        s3.meta.events.register("before-call.s3.PutObject", add, unique_id="newer")
        try:
            error = refused("NotImplemented", 501, s3.put_object, Bucket=bucket, Key="k", Body=b"x")
        finally:
            s3.meta.events.unregister("before-call.s3.PutObject", unique_id="newer")
        assert error.response["Error"]["Message"]
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def days(storage_class, count):
    return {"Days": count, "StorageClass": storage_class}


def noncurrent(storage_class, count):
    return {"NoncurrentDays": count, "StorageClass": storage_class}


@pytest.mark.parametrize("code, rule", [
    ("InvalidArgument", {"Transitions": [days("GLACIER", 30), days("STANDARD_IA", 90)]}),
    ("InvalidArgument", {"Transitions": [days("DEEP_ARCHIVE", 30), days("GLACIER", 90)]}),
    ("InvalidArgument", {"Transitions": [days("STANDARD_IA", 30), days("GLACIER", 40)]}),
    ("InvalidArgument", {"Transitions": [days("STANDARD_IA", 29)]}),
    ("InvalidArgument", {"Transitions": [days("GLACIER", 30), days("DEEP_ARCHIVE", 30)]}),
    ("InvalidArgument", {"Transitions": [days("GLACIER", 30)], "Expiration": {"Days": 30}}),
    ("InvalidRequest", {"Transitions": [days("GLACIER", 30), days("GLACIER", 40)]}),
    ("InvalidRequest", {"Transitions": [
        days("GLACIER", 30), {"Date": "2030-01-01T00:00:00Z", "StorageClass": "DEEP_ARCHIVE"}]}),
    ("InvalidRequest", {"Transitions": [days("GLACIER", 30)], "Expiration": {"Date": "2030-01-01T00:00:00Z"}}),
    ("InvalidArgument", {"Transitions": [{"Date": "2030-01-02T00:00:00Z", "StorageClass": "GLACIER"}],
                         "Expiration": {"Date": "2030-01-01T00:00:00Z"}}),
    ("InvalidArgument", {"NoncurrentVersionTransitions": [noncurrent("STANDARD_IA", 5)]}),
    ("InvalidArgument", {"NoncurrentVersionTransitions": [noncurrent("GLACIER", 50)],
                         "NoncurrentVersionExpiration": {"NoncurrentDays": 10}}),
    ("InvalidArgument", {"NoncurrentVersionExpiration": {"NoncurrentDays": 10, "NewerNoncurrentVersions": 0}}),
    ("InvalidRequest", {"Expiration": {"Days": 1}, "Filter": {
        "And": {"ObjectSizeGreaterThan": 100, "ObjectSizeLessThan": 50}}}),
    ("InvalidRequest", {"Expiration": {"Days": 1}, "Filter": {"ObjectSizeGreaterThan": -1}}),
    ("InvalidRequest", {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                        "Filter": {"ObjectSizeGreaterThan": 10}}),
    ("InvalidRequest", {"Expiration": {"Days": 1}, "Filter": {
        "And": {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}}}),
    ("MalformedXML", {"Expiration": {"Days": 1}, "Filter": {"And": {"Prefix": "a"}}}),
])
def test_a_lifecycle_rule_that_contradicts_itself_is_refused(s3, bucket, code, rule):
    rule = {"ID": "r", "Status": "Enabled", "Filter": {}, **rule}
    refused(code, 400, s3.put_bucket_lifecycle_configuration, Bucket=bucket,
            LifecycleConfiguration={"Rules": [rule]})
    refused("NoSuchLifecycleConfiguration", 404, s3.get_bucket_lifecycle_configuration, Bucket=bucket)


def test_a_lifecycle_rule_with_every_step_in_order_is_taken(s3, bucket):
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"And": {"Prefix": "a", "ObjectSizeGreaterThan": 1}},
            "Transitions": [days("STANDARD_IA", 30), days("GLACIER", 60), days("DEEP_ARCHIVE", 61)],
            "Expiration": {"Days": 62},
            "NoncurrentVersionTransitions": [noncurrent("GLACIER", 5)],
            "NoncurrentVersionExpiration": {"NoncurrentDays": 6, "NewerNoncurrentVersions": 2}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [rule]


def test_clients_are_told_when_an_object_will_expire(s3, bucket):
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [
        {"ID": "late", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 9}},
        {"ID": "first one", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}}]})
    put = s3.put_object(Bucket=bucket, Key="logs/a", Body=b"x")
    head = s3.head_object(Bucket=bucket, Key="logs/a")
    assert head["Expiration"] == put["Expiration"]
    found = re.fullmatch(r'expiry-date="(\w{3}, \d\d \w{3} \d{4} 00:00:00 GMT)", rule-id="first%20one"', put["Expiration"])
    end = email.utils.parsedate_to_datetime(found[1])
    assert datetime.timedelta(days=3) <= end - head["LastModified"] < datetime.timedelta(days=4)
    assert 'rule-id="late"' in s3.put_object(Bucket=bucket, Key="b", Body=b"x")["Expiration"]
    copied = s3.copy_object(Bucket=bucket, Key="logs/c", CopySource=f"{bucket}/b")
    assert 'rule-id="first%20one"' in copied["Expiration"]


def test_listings_show_restored_copies_when_asked(s3, bucket):
    s3.put_object(Bucket=bucket, Key="cold", Body=b"x", StorageClass="GLACIER")
    s3.put_object(Bucket=bucket, Key="warm", Body=b"x")
    s3.restore_object(Bucket=bucket, Key="cold", RestoreRequest={"Days": 2})
    assert all("RestoreStatus" not in item for item in s3.list_objects_v2(Bucket=bucket)["Contents"])
    for found in (s3.list_objects_v2(Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])["Contents"],
                  s3.list_objects(Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])["Contents"],
                  s3.list_object_versions(Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])["Versions"]):
        cold, warm = found
        assert cold["RestoreStatus"]["IsRestoreInProgress"] is False
        assert cold["RestoreStatus"]["RestoreExpiryDate"] > datetime.datetime.now(datetime.timezone.utc)
        assert "RestoreStatus" not in warm
