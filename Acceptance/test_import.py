# SPDX-License-Identifier: Apache-2.0
"""`cairn import`: CloudTrail log files from elsewhere come into event history, each event once."""

import collections
import datetime
import gzip
import json
import re
import uuid
from pathlib import Path

import pytest

from conftest import DATA, real_records, wait_until

SAMPLE = DATA / "sample-records"
LONG_AGO = datetime.datetime(2010, 1, 1, tzinfo=datetime.timezone.utc)


def records_in(path: Path) -> list[dict]:
    """The records of one log file, plain or gzip."""
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)["Records"]


def log_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name.endswith((".json", ".json.gz")))


class Result:
    """What `cairn import` said at its end: counts of events."""

    def __init__(self, done):
        self.text = done.stdout + done.stderr
        self.status = done.returncode

    def count(self, what: str) -> int:
        found = re.search(rf"([0-9]+) {what}", self.text)
        assert found, f"no count of `{what}` in:\n{self.text}"
        return int(found.group(1))

    @property
    def imported(self) -> int:
        return self.count("imported")

    @property
    def known(self) -> int:
        return self.count("already there")

    @property
    def malformed(self) -> int:
        return self.count("malformed")


def bring_in(server, *paths, check: bool = True) -> Result:
    return Result(server.cairn("import", *map(str, paths), check=check))


def found(server, region: str, **attribute) -> list[dict]:
    return server.events(region=region, start=LONG_AGO, **attribute)


def record(number: int, **members) -> dict:
    made = {
        "eventVersion": "1.10",
        "userIdentity": {"type": "IAMUser", "principalId": "AIDA", "arn": "arn:aws:iam::111122223333:user/u",
                         "accountId": "111122223333", "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "userName": "u"},
        "eventTime": "2024-05-14T10:00:00Z", "eventSource": "ec2.amazonaws.com", "eventName": "DescribeInstances",
        "awsRegion": "us-east-1", "sourceIPAddress": "192.0.2.1", "userAgent": "test",
        "requestParameters": {"number": number}, "responseElements": None,
        "requestID": str(uuid.UUID(int=number)), "eventID": str(uuid.UUID(int=(1 << 100) + number)), "readOnly": True,
        "eventType": "AwsApiCall", "managementEvent": True, "recipientAccountId": "111122223333",
        "eventCategory": "Management",
    }
    made.update(members)
    return {name: value for name, value in made.items() if value is not ...}


def write(path: Path, records, compress: bool = False) -> Path:
    raw = records if isinstance(records, bytes) else json.dumps({"Records": records}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw) if compress else raw)
    return path


# -- the sample that the project carries ----------------------------------------------------------------------------------


def test_a_folder_is_read_with_all_in_it(make_server):
    server = make_server()
    result = bring_in(server, SAMPLE)
    assert result.imported == 10, result.text
    assert result.malformed == 0, result.text
    for path in log_files(SAMPLE):
        for original in records_in(path):
            shown = found(server, original["awsRegion"], EventId=original["eventID"])
            assert shown == [original]
            assert list(shown[0]) == list(original), "the order of the members is kept"


def test_each_event_comes_in_once_however_often_it_is_imported(make_server):
    server = make_server()
    assert bring_in(server, SAMPLE).imported == 10
    again = bring_in(server, SAMPLE)
    assert (again.imported, again.known) == (0, 10), again.text
    server.restart()
    again = bring_in(server, SAMPLE, SAMPLE, SAMPLE / "records-of-2014.json")
    assert again.imported == 0, again.text
    ids = [event["EventId"] for event in server.lookup(region="us-east-1", start=LONG_AGO)]
    assert len(ids) == len(set(ids))
    assert len(found(server, "us-east-1", EventName="CreateUser")) == 1


def test_single_files_plain_and_compressed(make_server):
    server = make_server()
    compressed = next(p for p in log_files(SAMPLE) if "us-east-1" in p.name)
    assert bring_in(server, SAMPLE / "records-of-2014.json").imported == 1
    assert bring_in(server, compressed).imported == 6


def test_an_import_survives_a_crash_right_after_it(make_server):
    server = make_server()
    assert bring_in(server, SAMPLE).imported == 10
    server.kill()
    server.start()
    assert len(found(server, "us-east-1", EventName="ConsoleLogin")) == 1
    assert bring_in(server, SAMPLE).imported == 0


def test_imported_events_are_found_by_every_attribute(make_server):
    server = make_server()
    bring_in(server, SAMPLE)
    login = found(server, "us-east-1", EventName="ConsoleLogin")[0]
    for attribute in [{"EventId": login["eventID"]}, {"EventSource": "signin.amazonaws.com"}, {"Username": "maria"}]:
        assert login in found(server, "us-east-1", **attribute), attribute
    assert len(found(server, "us-east-1", AccessKeyId="AKIAIOSFODNN7EXAMPLE")) >= 1
    assert len(found(server, "us-east-1", Username="release-42")) == 2
    assert len(found(server, "us-east-1", ResourceType="AWS::IAM::Role")) == 1
    assert len(found(server, "us-east-1", ResourceName="arn:aws:iam::111122223333:role/deploy")) == 1
    old = server.lookup(region="eu-west-1", start=LONG_AGO, EventName="StartInstances")[0]
    assert old["Username"] == "jörg"


def test_imported_events_are_not_delivered_to_trails(make_server):
    server = make_server()
    trail = server.make_trail("own")
    bring_in(server, SAMPLE)
    marker = server.client("cloudtrail").list_trails()["ResponseMetadata"]["RequestId"]
    wait_until(lambda: [r for r in trail.records() if r.get("requestID") == marker], 30, 0.5)
    assert not [r for r in trail.records() if r["eventSource"] == "ec2.amazonaws.com"]


def test_the_import_itself_is_recorded(make_server):
    server = make_server()
    bring_in(server, SAMPLE)
    own = [r for r in server.events() if r["userIdentity"].get("accountId") == server.account_id
           and "mport" in r["eventName"]]
    assert own and own[0]["readOnly"] is False


# -- what is not a log file -------------------------------------------------------------------------------------------------

BAD = {
    "an empty file": b"",
    "no JSON": b"this is a letter, not a log file",
    "cut short": b'{"Records":[{"eventVersion":"1.08","userIdentity":{"type":"Root"',
    "no records": b'{"Items":[]}',
    "broken gzip": gzip.compress(json.dumps({"Records": []}).encode() * 100)[:40],
    "binary": bytes(range(256)) * 10,
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_a_file_that_is_no_log_file_is_named_and_the_rest_comes_in(make_server, tmp_path, raw):
    server = make_server()
    bad = write(tmp_path / "in" / "bad.json", raw)
    write(tmp_path / "in" / "a-good.json", [record(1)])
    write(tmp_path / "in" / "z-good.json.gz", [record(2)], compress=True)
    result = bring_in(server, tmp_path / "in", check=False)
    assert result.imported == 2, result.text
    assert str(bad) in result.text or "bad.json" in result.text, result.text
    assert len(found(server, "us-east-1", EventName="DescribeInstances")) == 2


MALFORMED = {
    "no event id": record(50, eventID=...),
    "no time": record(51, eventTime=...),
    "a time that is none": record(52, eventTime="yesterday"),
    "no name": record(53, eventName=...),
    "no region": record(54, awsRegion=...),
    "a name that is no text": record(55, eventName=7),
}


@pytest.mark.parametrize("bad", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_record_is_told_with_its_reason_and_costs_nobody_else(make_server, tmp_path, bad):
    server = make_server()
    write(tmp_path / "in.json", [record(1), bad, record(2)])
    result = bring_in(server, tmp_path / "in.json", check=False)
    assert result.imported == 2, result.text
    assert result.malformed == 1, result.text
    assert "in.json" in result.text
    shown = found(server, "us-east-1", EventName="DescribeInstances")
    assert sorted(r["requestParameters"]["number"] for r in shown) == [1, 2]


def test_a_cut_file_gives_the_records_before_the_cut(make_server, tmp_path):
    server = make_server()
    raw = json.dumps({"Records": [record(1), record(2), record(3)]}).encode()
    write(tmp_path / "in.json", raw[:-100])
    result = bring_in(server, tmp_path / "in.json", check=False)
    assert result.imported == 2, result.text
    assert "in.json" in result.text


def test_a_path_that_is_not_there_is_named(make_server, tmp_path):
    server = make_server()
    result = bring_in(server, tmp_path / "nowhere", check=False)
    assert result.status > 0
    assert "nowhere" in result.text


def test_without_a_server_the_import_says_so(make_server):
    server = make_server()
    server.stop()
    result = bring_in(server, SAMPLE, check=False)
    assert result.status > 0
    assert "serve" in result.text or "running" in result.text or "reach" in result.text, result.text


def test_records_come_in_byte_for_byte(make_server, tmp_path):
    """Odd but legal JSON: spacing, escapes, big numbers, order: event history shows the record as it stood."""
    server = make_server()
    odd = record(1, requestParameters={
        "big": 123456789012345678901234567890, "small": 1e-7, "text": "\u2028 \U0001f512 \" \\ / \t", "empty": {}, "list": []})
    write(tmp_path / "in.json", [odd])
    assert bring_in(server, tmp_path / "in.json").imported == 1
    assert found(server, "us-east-1", EventName="DescribeInstances") == [odd]


def test_many_records_come_in_and_the_speed_is_told(make_server, tmp_path):
    server = make_server()
    for number in range(20):
        write(tmp_path / "in" / f"file-{number:02}.json.gz",
              [record(1000 * number + i, eventName=f"Name{i % 7}") for i in range(1000)], compress=True)
    result = bring_in(server, tmp_path / "in")
    assert result.imported == 20_000, result.text
    assert re.search(r"(/s\b|a second|per second)", result.text), result.text
    assert len(server.lookup(region="us-east-1", start=LONG_AGO, EventName="Name3")) == 20 * 143


# -- real records -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(real_records() is None, reason="there is no folder of real records beside this one")
def test_every_real_record_comes_in_and_is_found(make_server):
    folder = real_records()
    server = make_server()
    originals: dict[str, list] = collections.defaultdict(list)
    for path in log_files(folder):
        for original in records_in(path):
            originals[original["eventID"]].append(original)
    total = sum(map(len, originals.values()))

    result = bring_in(server, folder)
    assert result.imported == len(originals), result.text
    assert result.malformed == 0, result.text
    assert result.known == total - len(originals), result.text
    again = bring_in(server, folder)
    assert (again.imported, again.known) == (0, total), again.text

    regions = {original["awsRegion"] for same in originals.values() for original in same}
    shown: dict[str, dict] = {}
    for region in sorted(regions):
        for one in found(server, region):
            assert one["awsRegion"] == region
            if one["eventID"] in originals:
                assert one["eventID"] not in shown, "found twice"
                shown[one["eventID"]] = one
    for event_id, same in originals.items():
        if all(original.get("managementEvent") is False for original in same):
            continue  # event history shows management events
        assert event_id in shown, same[0]
        assert shown[event_id] in same


def post(server, body: bytes, **headers):
    """`POST /events` with the body's hash in the header, so that it is streamed."""
    import hashlib

    return server.signed("POST", "/events", service="cairn", body=body,
                         headers={"X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest(), **headers})


def test_events_are_posted_as_lines_and_answered_with_their_numbers(server):
    lines = [json.dumps(record(900_000 + n)).encode() for n in range(3000)]
    first = post(server, gzip.compress(b"\n".join(lines[:2000])))
    assert first.status == 200, first
    answer = first.json()
    assert answer["imported"] == 2000 and answer["nextNumber"] - answer["firstNumber"] >= 2000
    lines[2500] = b'{"broken": '
    answer = post(server, b"\n".join(lines)).json()
    assert (answer["imported"], answer["duplicates"], answer["malformed"]) == (999, 2000, 1)
    assert answer["problems"][0]["line"] == 2501 and answer["problems"][0]["reason"]
    assert len(server.events(region="us-east-1", start=LONG_AGO, EventId=str(uuid.UUID(int=(1 << 100) + 902_999)))) == 1


def test_a_body_that_is_not_what_its_hash_says_leaves_no_event(server):
    import hashlib

    made = json.dumps(record(990_001)).encode()
    signed = server.sign("POST", "/events", service="cairn", body=made,
                         headers={"X-Amz-Content-SHA256": hashlib.sha256(b"other").hexdigest()})
    answer = server.http("POST", "/events", signed, made)
    assert answer.status in (400, 403), answer
    assert server.events(region="us-east-1", start=LONG_AGO, EventId=str(uuid.UUID(int=(1 << 100) + 990_001))) == []


def test_a_small_body_may_hold_much(server):
    """18 MB of records from a small body: read in pieces."""
    padding = "p" * 60_000
    body = b"\n".join(json.dumps(record(800_000 + n, additionalEventData={"p": padding})).encode() for n in range(300))
    packed = gzip.compress(body, 1)
    answer = post(server, packed).json()
    assert answer["imported"] == 300 and answer["malformed"] == 0
