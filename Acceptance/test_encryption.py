# SPDX-License-Identifier: Apache-2.0
"""Objects are encrypted on the disk, and clients are told so."""

from pathlib import Path

import pytest

from conftest import wait_until


def raw_bytes(server) -> bytes:
    return b"".join(path.read_bytes() for path in Path(server.data, "objects").rglob("*") if path.is_file())


def test_no_plaintext_lies_in_the_raw_files(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="sealed")
    body = b"a line that nobody may read from the disk\n" * 5000
    answer = s3.put_object(Bucket="sealed", Key="k", Body=body)
    assert answer["ServerSideEncryption"] == "AES256"
    assert b"that nobody may read" not in raw_bytes(server)
    got = s3.get_object(Bucket="sealed", Key="k")
    assert got["ServerSideEncryption"] == "AES256" and got["Body"].read() == body
    assert s3.head_object(Bucket="sealed", Key="k")["ServerSideEncryption"] == "AES256"
    part = s3.get_object(Bucket="sealed", Key="k", Range="bytes=65530-65600")["Body"].read()
    assert part == body[65530:65601]


def test_parts_are_encrypted_too(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="parts")
    upload = s3.create_multipart_upload(Bucket="parts", Key="k", ServerSideEncryption="AES256")
    assert upload["ServerSideEncryption"] == "AES256"
    pieces = [b"a part that nobody may see\n" * 200_000, b"another part that nobody may see\n" * 10]
    parts = []
    for number, piece in enumerate(pieces, 1):
        part = s3.upload_part(Bucket="parts", Key="k", UploadId=upload["UploadId"], PartNumber=number, Body=piece)
        assert part["ServerSideEncryption"] == "AES256"
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    done = s3.complete_multipart_upload(
        Bucket="parts", Key="k", UploadId=upload["UploadId"], MultipartUpload={"Parts": parts})
    assert done["ServerSideEncryption"] == "AES256"
    assert server.body("parts", "k") == b"".join(pieces)
    assert b"that nobody may see" not in raw_bytes(server)


def test_encryption_under_the_stores_key_is_every_buckets_default(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="default-sealed")
    rules = s3.get_bucket_encryption(Bucket="default-sealed")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules == [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]
    s3.put_object(Bucket="default-sealed", Key="k", Body=b"x", ServerSideEncryption="AES256")


def test_log_files_are_encrypted_on_the_disk_too(make_server):
    server = make_server(delivery_interval="1s", digest_interval="1h")
    trail = server.make_trail("sealed")
    server.client("sts").get_caller_identity()
    wait_until(lambda: trail.log_keys(), 20, what="a log file")
    assert b"\x1f\x8b\x08" not in b"".join(
        path.read_bytes()[:3] for path in Path(server.data, "objects").rglob("*") if path.is_file())
    assert any(record["eventName"] == "StartLogging" for record in trail.records())


def test_objects_open_after_a_kill_and_a_start(make_server):
    server = make_server()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"kept")
    server.kill()
    server.start()
    assert server.body("kept", "k") == b"kept"


def test_a_bit_that_flips_in_an_encrypted_file_is_an_error(make_server):
    server = make_server()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="rot")
    s3.put_object(Bucket="rot", Key="k", Body=b"x" * 100_000)
    path = next(path for path in Path(server.data, "objects").rglob("*") if path.is_file())
    damaged = bytearray(path.read_bytes())
    damaged[500] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(Exception):
        s3.get_object(Bucket="rot", Key="k")["Body"].read()
