# SPDX-License-Identifier: Apache-2.0
"""The process is killed (SIGKILL) at random moments under load, again and again.

The judge is what the clients wrote down themselves: a call is acknowledged when its whole answer has arrived. After every
restart, each acknowledged management call is in event history exactly once; in the end each acknowledged call, object
calls too, is in the delivered log files exactly once, and the chain of digests is whole.

`CAIRN_CRASH_KILLS` sets the number of kills (default 60), `CAIRN_CRASH_SEED` the seed (default: a new one, printed).
"""

import collections
import gzip
import os
import random
import re
import socket
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from conftest import request_id_of, wait_until

KILLS = int(os.environ.get("CAIRN_CRASH_KILLS", "60"))
SEED = int(os.environ.get("CAIRN_CRASH_SEED", random.SystemRandom().randrange(1 << 32)))
WORKERS = 8


class Client(threading.Thread):
    """One client: calls at random until told to stop, and keeps a record of every answer.

    Each client has keys and buckets of its own, so it knows what state the server must show.
    """

    def __init__(self, server, number: int):
        super().__init__(daemon=True)
        self.server, self.number = server, number
        self.dice = random.Random(SEED * 1000 + number)
        self.halt = threading.Event()
        self.acknowledged: dict[str, str] = {}  # request id: what was called
        self.management: set[str] = set()
        self.failures: list[str] = []
        self.unanswered = 0
        # What is known of this client's objects and buckets: name to value, None for gone, UNSURE when unanswered.
        self.objects: dict[str, object] = {}
        self.buckets: dict[str, object] = {}

    def run(self):
        s3, cloudtrail, sts = (self.server.client(name) for name in ("s3", "cloudtrail", "sts"))
        while not self.halt.is_set():
            choice = self.dice.randrange(10)
            if choice <= 3:
                key, body = f"client-{self.number}/key-{self.dice.randrange(20)}", self.dice.randbytes(
                    self.dice.choice([0, 1, 100, 5000, 200_000]))
                self.change(self.objects, key, body, "PutObject", False, s3.put_object, Bucket="crash", Key=key, Body=body)
            elif choice == 4:
                key = f"client-{self.number}/key-{self.dice.randrange(20)}"
                self.change(self.objects, key, None, "DeleteObject", False, s3.delete_object, Bucket="crash", Key=key)
            elif choice == 5:
                bucket = f"crash-{self.number}-{self.dice.randrange(5)}"
                if self.buckets.get(bucket):
                    self.change(self.buckets, bucket, None, "DeleteBucket", True, s3.delete_bucket, Bucket=bucket)
                else:
                    self.change(self.buckets, bucket, True, "CreateBucket", True, s3.create_bucket, Bucket=bucket)
            elif choice == 6:
                self.call("GetCallerIdentity", True, sts.get_caller_identity)
            elif choice == 7:
                self.call("StartLogging", True, cloudtrail.start_logging, Name="crash")
            elif choice == 8:
                self.call("GetTrail", True, cloudtrail.get_trail, Name=self.dice.choice(["crash", "no-such-trail"]))
            else:
                self.call("GetObject", False, s3.get_object, Bucket="crash", Key="client-none/none")

    def call(self, name, management, function, **kw):
        """One call; returns whether it was acknowledged as done (True), as failed (False), or not at all (None)."""
        try:
            answer, done = function(**kw), True
        except ClientError as error:
            answer, done = error, False
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status >= 500 and status != 503:
                self.failures.append(f"{name}: {error}")
        except (BotoCoreError, HTTPClientError, OSError):
            self.unanswered += 1
            self.halt.wait(0.02)
            return None
        try:
            request_id = request_id_of(answer)
        except KeyError:
            self.unanswered += 1  # the answer was cut before its headers were whole
            return None
        if request_id in self.acknowledged:
            self.failures.append(f"the request id {request_id} was given twice")
        self.acknowledged[request_id] = name
        if management:
            self.management.add(request_id)
        return done

    def change(self, state, name, value, *call, **kw):
        done = self.call(*call, **kw)
        if done is None:
            # It may have happened or not: either is right.
            known = state.get(name)
            state[name] = Unsure((known.values if isinstance(known, Unsure) else [known]) + [value])
        elif done:
            state[name] = value


class Unsure:
    """One of several states, since a call was not answered."""

    def __init__(self, values):
        self.values = values

    def __bool__(self):
        return bool(self.values[-1])


def allowed(known) -> list:
    return known.values if isinstance(known, Unsure) else [known]


def test_nothing_acknowledged_is_lost_or_doubled_by_crashes(make_server):
    print(f"CAIRN_CRASH_SEED={SEED} CAIRN_CRASH_KILLS={KILLS}")
    dice = random.Random(SEED)
    server = make_server(digest_interval="3s")
    trail = server.make_trail("crash", bucket=server.make_bucket("crash"), data_events=True)
    begin = time.time()
    clients = [Client(server, number) for number in range(WORKERS)]
    for client in clients:
        client.start()

    def acknowledged() -> int:
        return sum(len(client.acknowledged) for client in clients)

    survived = 0
    for kill in range(KILLS):
        before = acknowledged()
        end = time.monotonic() + 10
        while acknowledged() == before and time.monotonic() < end:
            time.sleep(0.005)
        assert acknowledged() > before, f"no call was answered after start {kill}:\n{server.log_text()}"
        # Mostly soon, at times late enough for deliveries and digests to be under way.
        time.sleep(dice.choice([dice.uniform(0, 0.05), dice.uniform(0, 0.4), dice.uniform(0, 2.5)]))
        server.kill()
        if dice.random() < 0.2:
            # A start that is cut short as well.
            server.launch()
            time.sleep(dice.uniform(0, 0.15))
            server.kill()
            survived += 1
        server.start()
        survived += 1
    for client in clients:
        client.halt.set()
    for client in clients:
        client.join(60)
    assert not [client for client in clients if client.is_alive()]
    assert survived >= KILLS

    failures = [failure for client in clients for failure in client.failures]
    assert not failures, failures[:5]
    calls = {request_id: name for client in clients for request_id, name in client.acknowledged.items()}
    management = {request_id for client in clients for request_id in client.management}
    unanswered = sum(client.unanswered for client in clients)
    assert len(calls) == sum(len(client.acknowledged) for client in clients), "a request id was given twice"
    print(f"{len(calls)} calls acknowledged, {unanswered} not answered, {survived} kills, {time.time() - begin:.0f} s")
    assert len(calls) > KILLS

    # 1. Event history: once each.
    history = server.events()
    counted = collections.Counter(record["requestID"] for record in history if "requestID" in record)
    lost = [f"{calls[i]} {i}" for i in management if counted[i] == 0]
    doubled = [f"{calls.get(i)} {i}" for i, count in counted.items() if count > 1]
    assert not lost, f"{len(lost)} acknowledged calls are not in event history: {lost[:5]}"
    assert not doubled, f"{len(doubled)} calls are in event history more than once: {doubled[:5]}"
    ids = collections.Counter(record["eventID"] for record in history)
    assert max(ids.values()) == 1, "an event id is there twice"
    wrong = [r for r in history if r.get("requestID") in calls and r["eventName"] != calls[r["requestID"]]]
    assert not wrong, wrong[:3]

    # 2. The state that the answers told is the state that is there.
    objects = {}
    for page in server.client("s3").get_paginator("list_objects_v2").paginate(Bucket="crash", Prefix="client-"):
        objects.update((item["Key"], item["Size"]) for item in page.get("Contents", []))
    buckets = {bucket["Name"] for bucket in server.client("s3").list_buckets()["Buckets"]}
    for client in clients:
        for key, known in client.objects.items():
            body = server.body("crash", key) if key in objects else None
            assert body in allowed(known), f"{key}: {None if body is None else len(body)} bytes"
        for bucket, known in client.buckets.items():
            assert (True if bucket in buckets else None) in allowed(known), bucket

    # 3. Delivered log files: once each, in the end.
    def missing():
        shown = collections.Counter(record.get("requestID") for record in trail.records())
        return [i for i in calls if shown[i] == 0]

    try:
        wait_until(lambda: not missing(), 60, 1)
    except AssertionError:
        left = missing()
        raise AssertionError(
            f"{len(left)} acknowledged calls were never delivered: {[f'{calls[i]} {i}' for i in left[:5]]}") from None
    keys = trail.log_keys()
    records = trail.records()
    shown = collections.Counter(record["requestID"] for record in records if record.get("requestID") in calls)
    doubled = [f"{calls[i]} {i}" for i, count in shown.items() if count > 1]
    assert not doubled, f"{len(doubled)} calls were delivered more than once: {doubled[:5]}"
    ids = collections.Counter(record["eventID"] for record in records)
    assert max(ids.values()) == 1, f"delivered twice: {[i for i, count in ids.items() if count > 1][:5]}"
    assert keys == sorted(set(keys))

    # 4. What a crash cut off says so itself: an intent without a result is an event of unknown outcome.
    cut = [record for record in history
           if record.get("requestID") not in calls and record.get("responseElements") is None
           and record["eventName"] in ("CreateBucket", "DeleteBucket", "StartLogging")]
    print(f"{len(cut)} events of changes that nobody saw acknowledged, for example {[r.get('errorCode') for r in cut[:5]]}")

    # 5. The proof holds: every digest and every log file is valid.
    last = keys[-1]
    wait_until(lambda: any(last in digest_text(server, trail, key) for key in trail.digest_keys()[-4:]), 30, 0.5, "a digest of the last log file")
    done = server.aws(
        "cloudtrail", "validate-logs", "--trail-arn", trail.arn, "--verbose", "--start-time",
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin - 5)), check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "INVALID" not in done.stdout + done.stderr
    log_files = re.search(r"(\d+)/(\d+) log files valid", done.stdout)
    assert log_files and log_files.group(1) == log_files.group(2), done.stdout[-2000:]
    assert int(log_files.group(1)) >= len(keys)
    server.stop()


def digest_text(server, trail, key: str) -> str:
    return gzip.decompress(server.body(trail.bucket, key)).decode()


def test_after_each_crash_history_has_what_was_acknowledged(make_server):
    """Fewer kills, but the judge looks after every one of them, with one caller who knows exactly what it did."""
    server = make_server()
    s3 = server.client("s3")
    acknowledged = []
    dice = random.Random(SEED + 1)
    for kill in range(10):
        for number in range(dice.randint(1, 30)):
            answer = s3.create_bucket(Bucket=f"once-{kill}-{number}")
            acknowledged.append(request_id_of(answer))
        server.kill()
        server.start()
        counted = collections.Counter(record["requestID"] for record in server.events(EventName="CreateBucket"))
        assert [i for i in acknowledged if counted[i] != 1] == [], f"after kill {kill}"
        assert len(counted) == len(acknowledged)
    server.stop()


def test_a_change_cut_off_by_a_crash_leaves_an_event_that_says_so(make_server):
    """A body that is half sent when the process dies: the intent is durable, the outcome is not known."""
    server = make_server()
    trail = server.make_trail("cutoff", data_events=True)
    body = b"x" * 1_000_000
    headers = server.sign("PUT", f"/{trail.bucket}/half", service="s3", body=body)
    head = f"PUT /{trail.bucket}/half HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:400_000])
        time.sleep(0.5)
        server.kill()
    server.start()

    def about():
        return [r for r in trail.records() if (r.get("requestParameters") or {}).get("key") == "half"]

    assert "half" not in server.keys(trail.bucket)
    # Decision record 0001 says whether object data has an intent before its first byte; if so there is exactly one event.
    time.sleep(4)
    assert len(about()) <= 1
    for record in about():
        assert record["eventName"] == "PutObject"
        assert record.get("errorCode"), record
    server.stop()


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_first_start_cut_short_does_not_spoil_the_folder(make_server, moment):
    server = make_server(started=False)
    for _ in range(4):
        server.launch()
        time.sleep(moment)
        server.kill()
    server.start()
    assert len(server.account_id) == 12
    assert server.read_exports()["AWS_ACCESS_KEY_ID"] == server.access_key
    server.stop()
