# SPDX-License-Identifier: Apache-2.0
"""A disk that is slow, and one whose flushes fail: a real process, with a library loaded before it that delays or fails them."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import shutil
import struct
import subprocess
import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError
from conftest import DATA, request_id_of


class Disk:
    """What the library does from now on to the flushes of files under `journal/`."""

    def __init__(self, folder, compiler: str):
        library, control = folder / "disk_shim.so", folder / "disk_shim"
        done = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, DATA / "disk_shim.c", "-ldl"],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        control.write_bytes(bytes(8))
        with open(control, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "DISK_SHIM": str(control), "DISK_SHIM_PATH": "/journal/"}

    def set(self, milliseconds: int = 0, error: int = 0) -> None:
        self.memory[:] = struct.pack("<ii", milliseconds, error)


@pytest.fixture
def disk(tmp_path):
    compiler = shutil.which("cc") or shutil.which("clang")
    if not compiler:
        pytest.skip("there is no C compiler")
    return Disk(tmp_path, compiler)


def event(number: int) -> dict:
    return {"eventVersion": "1.11", "eventID": str(uuid.UUID(int=number)), "eventName": "Happened", "awsRegion": "us-east-1",
            "eventSource": "elsewhere.example", "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def post(server, body: bytes):
    return server.signed("POST", "/events", service="cairn", body=body, timeout=60,
                         headers={"X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()})


def test_acknowledgements_wait_for_a_slow_disk_and_callers_share_its_flushes(make_server, disk):
    server = make_server(environment=disk.environment)
    sts = server.client("sts")
    disk.set(milliseconds=400)
    begin = time.monotonic()
    acknowledged = [request_id_of(sts.get_caller_identity())]
    assert time.monotonic() - begin >= 0.4, "an answer came before its event was flushed"

    def call():
        acknowledged.append(request_id_of(sts.get_caller_identity()))

    begin = time.monotonic()
    callers = [threading.Thread(target=call) for _ in range(40)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(acknowledged) == 41
    assert time.monotonic() - begin < 40 * 0.4 / 2, "each caller waited for a flush of its own"
    server.kill()
    disk.set()
    server.start()
    found = [record["requestID"] for record in server.events(EventName="GetCallerIdentity")]
    assert sorted(id for id in found if id in acknowledged) == sorted(acknowledged)
    server.stop()


def test_more_than_a_slow_disk_takes_is_refused_with_retry_after_and_nothing_is_lost(make_server, disk):
    server = make_server(environment=disk.environment, intake_bodies="4")
    disk.set(milliseconds=300)
    refused, strange, taken = [], [], []

    def send(number: int):
        body = "\n".join(json.dumps(event(number * 1000 + n)) for n in range(100)).encode()
        for _ in range(100):
            answer = post(server, body)
            if answer.status == 200:
                taken.append(answer.json()["imported"] + answer.json()["duplicates"])
                return
            (refused if answer.status in (429, 503) else strange).append(answer)
            time.sleep(0.2)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(1, 17)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert not strange, strange[:3]
    assert refused, "sixteen bodies at once are more than four"
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused), refused[0]
    assert taken == [100] * 16
    server.kill()
    disk.set()
    server.start()
    shown = [record["eventID"] for record in server.events(EventName="Happened")]
    assert sorted(shown) == sorted(event(number * 1000 + n)["eventID"] for number in range(1, 17) for n in range(100))
    server.stop()


def test_after_a_flush_that_failed_nothing_is_acknowledged_until_the_journal_is_opened_anew(make_server, disk):
    server = make_server(environment=disk.environment)
    s3 = server.client("s3")
    s3.create_bucket(Bucket="before")
    acknowledged = [request_id_of(server.client("sts").get_caller_identity())]
    disk.set(error=errno.EIO)
    for name in ("while-1", "while-2"):
        with pytest.raises(ClientError) as refused:
            s3.create_bucket(Bucket=name)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    # The disk is well again, the kernel has dropped the pages: what a second flush would say is worth nothing.
    disk.set()
    with pytest.raises(ClientError) as refused:
        s3.create_bucket(Bucket="after")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    server.kill()
    server.start()
    s3 = server.client("s3")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["before"]
    found = [record["requestID"] for record in server.events(EventName="GetCallerIdentity")]
    assert [i for i in found if i in acknowledged] == acknowledged
    s3.create_bucket(Bucket="after")
    server.stop()
