# SPDX-License-Identifier: Apache-2.0
"""A disk that is really full: a small tmpfs under the data folder."""

from __future__ import annotations

import errno
import os
import subprocess
import time

import pytest
from botocore.exceptions import ClientError
from conftest import wait_until

TMPFS_MEGABYTES = 220


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MEGABYTES}m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs can be mounted by root alone: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder, leaving):
    """Takes all but `leaving` bytes of the disk, and says which file to remove to give it back."""
    path = folder / "ballast"
    with open(path, "wb") as file:
        # The server may take a page between the look and the filling; then there is a little less to fill.
        for _ in range(20):
            status = os.statvfs(folder)
            wanted = file.seek(0, os.SEEK_END) + status.f_bavail * status.f_frsize - leaving
            try:
                os.posix_fallocate(file.fileno(), 0, max(wanted, 1))
                break
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                time.sleep(0.05)
    return path


def test_a_full_disk_refuses_changes_changes_nothing_and_still_answers_reads(make_server, small_disk):
    server = make_server(data=small_disk / "data")
    s3 = server.client("s3")
    s3.create_bucket(Bucket="before-it-was-full")
    s3.put_object(Bucket="before-it-was-full", Key="kept", Body=b"kept")

    ballast = fill(small_disk, leaving=4 << 20)
    for change in (
        lambda: s3.create_bucket(Bucket="while-it-was-full"),
        lambda: s3.put_object(Bucket="before-it-was-full", Key="new", Body=b"x" * 1000),
        lambda: s3.put_object(Bucket="before-it-was-full", Key="kept", Body=b"replaced"),
        lambda: s3.delete_object(Bucket="before-it-was-full", Key="kept"),
    ):
        with pytest.raises(ClientError) as refused:
            change()
        assert refused.value.response["Error"]["Code"] == "ServiceUnavailable"
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["before-it-was-full"]
    assert s3.get_object(Bucket="before-it-was-full", Key="kept")["Body"].read() == b"kept"
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="before-it-was-full")["Contents"]] == ["kept"]

    ballast.unlink()
    wait_until(lambda: s3.create_bucket(Bucket="when-there-was-room"), 10)
    names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert names == ["before-it-was-full", "when-there-was-room"]
    server.stop()
    server.start()
    assert [bucket["Name"] for bucket in server.client("s3").list_buckets()["Buckets"]] == names
    # The refused changes are on record as failures, or not at all; never as done.
    created = [event for event in server.events(EventName="CreateBucket") if "errorCode" not in event]
    assert len(created) == 2


def test_a_disk_without_a_byte_left_loses_nothing_that_was_acknowledged(make_server, small_disk):
    server = make_server(data=small_disk / "data")
    sts = server.client("sts")
    sts.get_caller_identity()
    ballast = fill(small_disk, leaving=0)
    acknowledged = 0
    for _ in range(50):
        try:
            sts.get_caller_identity()
            acknowledged += 1
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    server.kill()
    ballast.unlink()
    server.start()
    found = server.events(EventName="GetCallerIdentity")
    assert len(found) >= acknowledged + 1
