# SPDX-License-Identifier: Apache-2.0
"""The process is killed (SIGKILL) under mixed load, again and again, at moments chosen inside and at random ones.

The judge is what the clients wrote down themselves: a call is acknowledged when its whole answer has arrived. After every kill,
each acknowledged event is in the journal's files exactly once, and after the restart exactly once in event history and at most
once in the delivered files of each trail, whose digests link and prove what is there; every few kills and in the end all of
them have been delivered, and the AWS CLI's `validate-logs` has the last word. History's segments are small, so that they are
sealed and merged all the time, and some of what the clients send is older than the retention, so that segments are dropped or
written anew. Each moment inside must have been reached; one that never came fails the test.

`CAIRN_CRASH_KILLS` sets the number of kills (default 50; `make test-crash`: 500), `CAIRN_CRASH_SEED` the seed (default: a new one,
printed). The moments inside: Sources/Server/CrashPoints.swift.
"""

import collections
import hashlib
import json
import os
import random
import re
import socket
import threading
import time
import uuid

import pytest
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from crash_judges import JournalReader, TrailJudge
from conftest import request_id_of, wait_until

KILLS = int(os.environ.get("CAIRN_CRASH_KILLS", "50"))
SEED = int(os.environ.get("CAIRN_CRASH_SEED", random.SystemRandom().randrange(1 << 32)))
WORKERS = 8
#: Kills after which everything has to have been delivered, before the next ones come.
CHECKPOINT = 25
#: Moments inside, with the largest count: the process dies when the moment comes for a count-th time, from 1 to that.
MOMENTS = {
    "journal.write.before": 40, "journal.write.half": 40, "journal.write.after": 40, "journal.sync.after": 40,
    "journal.segment.made": 1, "journal.trim.before": 1,
    "history.seal.segment.half": 4, "history.seal.segment.synced": 4, "history.seal.manifest.half": 4,
    "history.seal.manifest.synced": 4,
    "history.merge.segment.half": 1, "history.merge.segment.synced": 1, "history.merge.manifest.half": 1,
    "history.merge.manifest.synced": 1, "history.merge.remove.before": 3, "history.merge.remove.after": 3,
    "history.rewrite.segment.half": 1, "history.rewrite.segment.synced": 1, "history.rewrite.manifest.half": 1,
    "history.rewrite.manifest.synced": 1, "history.rewrite.remove.before": 1, "history.rewrite.remove.after": 1,
    "history.drop.manifest.half": 1, "history.drop.manifest.synced": 1, "history.drop.remove.before": 1,
    "history.drop.remove.after": 1, "history.leftover.remove.before": 1, "history.leftover.remove.after": 1,
    "catalog.beforeCommit": 30, "catalog.afterCommit": 30,
    "delivery.put.before": 3, "delivery.put.after": 3, "digest.put.before": 2, "digest.put.after": 2,
    "objects.createFile": 20, "objects.writeFile": 20, "objects.flushFile": 20, "objects.renameFile": 20,
    "objects.flushFolder": 20, "objects.removeFile": 5,
}
#: Those that a run of fifty kills must have reached: inside each kind of work once.
MAIN = [
    "journal.write.half", "journal.sync.after", "journal.segment.made", "journal.trim.before",
    "history.seal.segment.half", "history.seal.manifest.half", "history.merge.segment.synced", "history.merge.manifest.synced",
    "history.merge.remove.after", "history.rewrite.manifest.synced", "history.drop.manifest.half", "history.drop.remove.before",
    "history.leftover.remove.before", "delivery.put.before", "delivery.put.after", "digest.put.before", "digest.put.after",
    "objects.renameFile",
]
#: A moment at the start after this one: what a death there leaves over.
AFTER = {"history.leftover.remove.before": "history.seal.segment.synced",
         "history.leftover.remove.after": "history.seal.segment.synced"}
#: Events in a segment of history; segments that are merged; days that history keeps.
SEGMENT, MERGE, RETENTION_DAYS = 40, 4, 30


class Moments:
    """Which moment comes next: each once, then each again; one that did not come is tried again soon, with a count of 1."""

    def __init__(self, dice):
        self.dice = dice
        self.reached: collections.Counter = collections.Counter()
        self.missed: list[str] = []
        rest = [moment for moment in MOMENTS if moment not in MAIN]
        self.round = dice.sample(rest, len(rest)) + dice.sample(MAIN, len(MAIN))

    def next(self) -> tuple[str, int]:
        if self.missed and self.dice.random() < 0.5:
            return self.missed.pop(0), 1
        if not self.round:
            self.round = self.dice.sample(list(MOMENTS), len(MOMENTS))
        moment = self.round.pop()
        return moment, self.dice.randint(1, MOMENTS[moment])

    def note(self, moment: str, has_come: bool) -> None:
        if has_come:
            self.reached[moment] += 1
        elif moment not in self.missed:
            self.missed.append(moment)

    def unreached(self, wanted) -> list[str]:
        return [moment for moment in wanted if not self.reached[moment]]


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
        self.imported: set[str] = set()  # event ids
        self.expired: set[str] = set()  # event ids of events that history does not keep
        self.isGoing = threading.Event()  # cleared while the judges look
        self.isGoing.set()
        self.kills = 0  # set by the test; numbers what is acknowledged
        self.when: dict[str, int] = {}
        self.failures: list[str] = []
        self.unanswered = 0
        # What is known of this client's objects and buckets: name to value, None for gone, UNSURE when unanswered.
        self.objects: dict[str, object] = {}
        self.buckets: dict[str, object] = {}

    def run(self):
        s3, cloudtrail, sts = (self.server.client(name) for name in ("s3", "cloudtrail", "sts"))
        while not self.halt.is_set():
            if not self.isGoing.wait(0.05):
                continue
            choice = self.dice.randrange(12)
            if choice <= 3:
                key, body = f"client-{self.number}/key-{self.dice.randrange(20)}", self.dice.randbytes(
                    self.dice.choice([0, 1, 5000, 20_000, 200_000]))
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
            elif choice == 9:
                self.call("GetObject", False, s3.get_object, Bucket="crash", Key="client-none/none")
            elif choice == 10:
                self.send_events(isOld=self.dice.randrange(4) == 0)
            else:
                self.put_audit_events()

    def send_events(self, isOld: bool):
        """A few events of elsewhere, some of them sent before; or many new ones that are older than what history keeps."""
        count = 3 * SEGMENT if isOld else self.dice.randrange(1, 20)
        ids = [str(uuid.UUID(int=self.dice.getrandbits(128))) for _ in range(count)]
        kept = self.expired if isOld else self.imported
        if not isOld:
            ids += self.dice.sample(sorted(kept), min(3, len(kept)))
        seconds = time.time() - (2 * RETENTION_DAYS * 86400 if isOld else 0)
        body = "\n".join(json.dumps({
            "eventVersion": "1.10", "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)), "eventID": i,
            "eventSource": "elsewhere.example", "eventName": "Happened", "awsRegion": "us-east-1"}) for i in ids).encode()
        try:
            answer = self.server.signed(
                "POST", "/events", service="cairn", body=body,
                headers={"x-amz-content-sha256": hashlib.sha256(body).hexdigest()})
        except OSError:
            self.unanswered += 1
            self.halt.wait(0.02)
            return
        if answer.status == 200 and answer.body.endswith(b"}"):
            kept.update(ids)
            for i in ids:
                self.when.setdefault(i, self.kills)
        elif answer.status not in (429, 503):
            self.failures.append(f"POST /events: {answer}")

    def put_audit_events(self):
        entry = f"{self.number}-{self.dice.randrange(1 << 30)}"
        data = json.dumps({
            "version": "1", "userIdentity": {"type": "user", "principalId": "p"}, "eventSource": "channel.example",
            "eventName": "Happened", "eventTime": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()), "UID": entry,
            "recipientAccountId": self.server.account_id})
        client = self.server.client("cloudtrail-data")
        done = self.call(
            "PutAuditEvents", False, client.put_audit_events, channelArn=self.channel,
            auditEvents=[{"id": entry, "eventData": data}])
        if done:
            event_id = self.answer["successful"][0]["eventID"]
            self.imported.add(event_id)
            self.when[event_id] = self.kills

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
        self.when[request_id] = self.kills
        self.answer = answer
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


class Judges:
    """Looks at everything after each kill."""

    def __init__(self, server, clients, trails):
        self.server, self.clients = server, clients
        self.journal = JournalReader(server.data / "journal")
        self.trails = [TrailJudge(server, trail) for trail in trails]
        self.in_journal: collections.Counter = collections.Counter()

    def acknowledged(self, since: int) -> set[str]:
        """Request ids and event ids that were acknowledged after so many kills."""
        return {i for client in self.clients for i, kill in list(client.when.items()) if kill >= since}

    def look_at_the_dead(self, kill: int, acknowledged: set[str]) -> None:
        """The journal's files have each acknowledged event once."""
        for _, kind, record in self.journal.entries():
            if kind == 2:
                continue  # an intent
            event = json.loads(record)
            self.in_journal[event["eventID"]] += 1
            if "requestID" in event:
                self.in_journal[event["requestID"]] += 1
        # What was trimmed away before anybody looked is judged by history and the log files.
        least = 0 if self.journal.isTrimmedUnread else 1
        wrong = {i: self.in_journal[i] for i in acknowledged if not least <= self.in_journal[i] <= 1}
        assert not wrong, f"after kill {kill} in the journal: {list(wrong.items())[:5]}"

    def look_at_the_living(self, kill: int, acknowledged: set[str], start: float) -> None:
        """Event history has each event since `start` once; what is delivered is delivered once, and proven."""
        found: collections.Counter = collections.Counter()
        for record in self.history(start):
            found[record["eventID"]] += 1
            if "requestID" in record:
                found[record["requestID"]] += 1
        expired = set().union(*(client.expired for client in self.clients))
        wrong = {i: found[i] for i in acknowledged if found[i] != (0 if i in expired else 1)}
        assert not wrong, f"after kill {kill} in event history: {list(wrong.items())[:5]}"
        assert max(found.values(), default=1) == 1, f"twice after kill {kill}: {found.most_common(3)}"
        for trail in self.trails:
            trail.look()

    def history(self, start: float):
        token = None
        while True:
            question = {"start": int(start) - 2, "limit": 10_000, **({"token": token} if token else {})}
            answer = self.server.signed("POST", "/events/search", service="cairn", body=json.dumps(question).encode(),
                                        timeout=120)
            assert answer.status == 200, answer
            yield from (json.loads(line) for line in answer.body.splitlines() if line.strip())
            token = answer.headers.get("x-cairn-next-token")
            if not token:
                return

    def await_delivery(self) -> None:
        """Each trail has delivered every acknowledged event that it matches."""
        calls = {i: name for client in self.clients for i, name in client.acknowledged.items() if i in client.when}
        writes = {"PutObject", "DeleteObject", "CreateBucket", "DeleteBucket", "StartLogging"}
        for trail in self.trails:
            def missing(trail=trail):
                trail.look()
                wanted = (i for i, name in calls.items() if name != "PutAuditEvents")
                if trail.trail.name == "writes":
                    wanted = (i for i in wanted if calls[i] in writes)
                return [i for i in wanted if trail.requests.get(i, 0) == 0]

            try:
                wait_until(lambda: not missing(), 60, 0.5)
            except AssertionError:
                left = missing()
                raise AssertionError(f"{trail.trail.name}: {len(left)} acknowledged calls were never delivered: "
                                     f"{[f'{calls[i]} {i}' for i in left[:5]]}") from None
            doubled = [i for i, count in trail.requests.items() if count > 1]
            assert not doubled, f"{trail.trail.name}: delivered more than once: {doubled[:5]}"
            strange = [r["eventSource"] for r in trail.records.values()
                       if r["eventSource"] in ("elsewhere.example", "channel.example")]
            assert not strange, "events of elsewhere are delivered to no trail"


def test_nothing_acknowledged_is_lost_or_doubled_by_crashes(make_server):
    print(f"CAIRN_CRASH_SEED={SEED} CAIRN_CRASH_KILLS={KILLS}")
    dice = random.Random(SEED)
    server = make_server(
        digest_interval="1s", history_retention=str(RETENTION_DAYS),
        environment={"CAIRN_CRASH_SEGMENT_EVENTS": str(SEGMENT), "CAIRN_CRASH_MERGE_SEGMENTS": str(MERGE),
                     "CAIRN_CRASH_JOURNAL_BYTES": str(1 << 20)})
    calm = dict(server.environment)
    trails = [server.make_trail("crash", bucket=server.make_bucket("crash"), data_events=True),
              server.make_trail("writes", data_events=True)]
    server.client("cloudtrail").put_event_selectors(TrailName="writes", EventSelectors=[{
        "ReadWriteType": "WriteOnly", "IncludeManagementEvents": True,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}])
    channel = server.client("cloudtrail").create_channel(
        Name="crash", Source="Custom", Destinations=[{
            "Type": "EVENT_DATA_STORE",
            "Location": f"arn:aws:cloudtrail:us-east-1:{server.account_id}:eventdatastore/event-history"}])["ChannelArn"]
    begin = time.time()
    clients = [Client(server, number) for number in range(WORKERS)]
    for client in clients:
        client.channel = channel
    judges = Judges(server, clients, trails)
    for client in clients:
        client.start()

    moments = Moments(dice)
    survived, since = 0, begin

    def launch(moment: str, count: int) -> bool:
        """Starts the server, under load, and waits for the moment: it comes by itself; a digest's or a merge's may take a while."""
        server.environment = dict(calm, CAIRN_KILL_AT=f"{moment}:{count}")
        server.launch()
        for client in clients:
            client.isGoing.set()
        end = time.monotonic() + 5
        while server.is_running and time.monotonic() < end:
            time.sleep(0.01)
        return not server.is_running

    for kill in range(KILLS):
        survived += server.is_running
        server.kill()
        if dice.random() < 0.85:
            moment, count = moments.next()
            if moment in AFTER:
                launch(AFTER[moment], 1)
                server.kill()
            moments.note(moment, launch(moment, count))
        else:
            # At random: mostly soon, at times before it is ready, at times late.
            server.environment = dict(calm)
            server.launch()
            for client in clients:
                client.isGoing.set()
            time.sleep(dice.choice([dice.uniform(0, 0.3), dice.uniform(0.2, 0.7), dice.uniform(0.2, 2)]))
        server.kill()
        survived += 1
        for client in clients:
            client.isGoing.clear()
        # What was acknowledged is in the files of the dead process; whoever is answered later belongs to the next one.
        acknowledged = judges.acknowledged(kill)
        judges.look_at_the_dead(kill, acknowledged)
        start, since = since, time.time()
        for client in clients:
            client.kills = kill + 1
        server.environment = dict(calm)
        server.start()
        judges.look_at_the_living(kill, acknowledged, start)
        if kill % CHECKPOINT == CHECKPOINT - 1:
            judges.await_delivery()
        if kill % (CHECKPOINT * 4) == CHECKPOINT * 2 - 1:
            # All that has been merged since the begin.
            judges.look_at_the_living(kill, judges.acknowledged(0), begin)
    for client in clients:
        client.halt.set()
        client.isGoing.set()
    for client in clients:
        client.join(60)
    assert not [client for client in clients if client.is_alive()]
    failures = [failure for client in clients for failure in client.failures]
    assert not failures, failures[:5]
    calls = {request_id: name for client in clients for request_id, name in client.acknowledged.items()}
    imported = {event_id for client in clients for event_id in client.imported}
    finalizing = time.monotonic()
    unanswered = sum(client.unanswered for client in clients)
    assert len(calls) == sum(len(client.acknowledged) for client in clients), "a request id was given twice"
    print(f"{len(calls)} calls and {len(imported)} events of elsewhere acknowledged, {unanswered} not answered, "
          f"{survived} kills, {time.time() - begin:.0f} s; moments reached: {dict(moments.reached)}")
    assert len(calls) > KILLS and sum(moments.reached.values()) > KILLS // 4
    if KILLS >= 50:
        wanted = MOMENTS if KILLS >= 250 else MAIN
        assert not moments.unreached(wanted), f"never reached: {moments.unreached(wanted)}"

    # 1. Event history as a whole: once each.
    history = list(judges.history(begin))
    counted = collections.Counter(record["requestID"] for record in history if "requestID" in record)
    ids = collections.Counter(record["eventID"] for record in history)
    lost = [f"{calls[i]} {i}" for i in calls if counted[i] == 0] + [i for i in imported if ids[i] == 0]
    expired = {event_id for client in clients for event_id in client.expired}
    assert expired.isdisjoint(ids), "events older than the retention are shown"
    # Their number says nothing of merges, which the moments show: dropped ranges lie between many of them.
    segments = len(list((server.data / "history").glob("*.segment")))
    print(f"{len(ids)} events shown, {len(expired)} expired, in {segments} segments of history")
    doubled = [f"{calls.get(i)} {i}" for i, count in counted.items() if count > 1]
    assert not lost, f"{len(lost)} acknowledged events are not in event history: {lost[:5]}"
    assert not doubled, f"{len(doubled)} calls are in event history more than once: {doubled[:5]}"
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
    judges.await_delivery()

    # 4. What a crash cut off says so itself: an intent without a result is an event of unknown outcome.
    cut = [record for record in history if (record.get("additionalEventData") or {}).get("outcome") == "unknown"]
    print(f"{len(cut)} events of changes that nobody saw acknowledged")

    # 5. The proof holds: every digest and every log file is valid.
    for judge in judges.trails:
        last = max(judge.hashes)

        def proven(judge=judge, last=last):
            judge.look()
            return last in judge.proven

        wait_until(proven, 30, 0.5, "a digest of the last log file")
        done = server.aws(
            "cloudtrail", "validate-logs", "--trail-arn", judge.trail.arn, "--verbose", "--start-time",
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin - 5)), check=False, timeout=1200)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert "INVALID" not in done.stdout + done.stderr
        log_files = re.search(r"(\d+)/(\d+) log files valid", done.stdout)
        assert log_files and log_files.group(1) == log_files.group(2), done.stdout[-2000:]
        assert int(log_files.group(1)) >= len([key for key in judge.hashes if key <= last])
    print(f"the last judgement took {time.monotonic() - finalizing:.0f} s")
    server.stop()


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
