# SPDX-License-Identifier: Apache-2.0
"""A damaged data folder stops the start, with a message that names the file and what can be done.

Nothing damaged is ever skipped in silence: after whatever is done to the folder, either the server refuses to start and
names the file, or all that it ever acknowledged is there.
"""

import contextlib
import datetime
import gzip
import json
import os
import random
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import CairnServer, _require_binary, request_id_of, wait_until


def journal_segments(server) -> list[Path]:
    return sorted(p for p in (server.data / "journal").rglob("*.journal") if p.is_file() and p.stat().st_size > 0
                  and "position" not in p.name and "lock" not in p.name)


def orderly_end(server) -> str:
    """What a server said that has ended by itself, in an orderly way."""
    text = server.log_text()
    assert server.process.returncode > 0, f"exit status {server.process.returncode}:\n{text}"
    assert "Fatal error" not in text and "Stack dump" not in text, text
    return text


def refuses(server) -> str:
    """Starts a server that must refuse to start, and returns what it said."""
    server.launch()
    server._await_ready()
    assert not server.is_running, f"it started, as if nothing were wrong:\n{server.log_text()}"
    return orderly_end(server)


def starts(server) -> bool:
    """Whether it starts; if not, it must have said why in an orderly way."""
    server.launch()
    server._await_ready()
    if not server.is_running:
        orderly_end(server)
        return False
    server.exports = server.read_exports()
    return True


def flip(path: Path, offset: int, mask: int = 0x10) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with some life in it, stopped; tests work on copies. Also the request ids that were acknowledged."""
    _require_binary()
    server = CairnServer(tmp_path_factory.mktemp("damage") / "data")
    server.start()
    acknowledged = []
    trail = server.make_trail("damage", data_events=True)
    s3 = server.client("s3")
    for number in range(60):
        acknowledged.append(request_id_of(s3.create_bucket(Bucket=f"damage-{number}")))
        s3.put_object(Bucket=trail.bucket, Key=f"k{number}", Body=os.urandom(2000))
    server.kill()  # a crash, not a clean end: the journal's tail is what it was
    return server.data, acknowledged


@pytest.fixture
def damaged(folder, make_server, tmp_path):
    """A server, not started, on a copy of the folder."""
    data, acknowledged = folder
    copy = tmp_path / "copy"
    shutil.copytree(data, copy, symlinks=True)
    server = make_server(data=copy, started=False)
    server.acknowledged = acknowledged
    return server


def everything_is_there(server) -> bool:
    recorded = [record["requestID"] for record in server.events(EventName="CreateBucket")]
    return sorted(set(recorded)) == sorted(recorded) and set(server.acknowledged) <= set(recorded)


def test_the_undamaged_copy_starts(damaged):
    damaged.start()
    assert everything_is_there(damaged)
    damaged.stop()


# -- the journal ------------------------------------------------------------------------------------------------------------


def test_a_flipped_byte_in_the_journal_stops_the_start(damaged):
    segment = max(journal_segments(damaged), key=lambda p: p.stat().st_size)
    used = len(segment.read_bytes().rstrip(b"\0"))
    flip(segment, used // 3)
    text = refuses(damaged)
    assert segment.name in text, text
    assert re.search(r"(offset|byte) ?\D{0,3}\d+", text), text
    assert re.search(r"(restore|backup|copy|replace|repair|remove|move)", text), f"no word of what can be done: {text}"


def test_a_flipped_byte_anywhere_is_never_skipped_in_silence(folder, make_server, tmp_path):
    data, acknowledged = folder
    dice = random.Random(7)
    refused = 0
    for number in range(25):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(data, copy, symlinks=True)
        server = make_server(data=copy, started=False)
        server.acknowledged = acknowledged
        segment = max(journal_segments(server), key=lambda p: p.stat().st_size)
        used = len(segment.read_bytes().rstrip(b"\0"))
        # Not in the last block: there a flip and a torn write look alike, which the next test is about.
        place = dice.randrange(0, used * 3 // 4)
        flip(segment, place, 1 << dice.randrange(8))
        if starts(server):
            assert everything_is_there(server), f"a flip at {place} of {segment.name} lost events in silence"
            server.kill()
        else:
            refused += 1
            assert segment.name in server.log_text(), server.log_text()
        shutil.rmtree(copy)
    assert refused >= 20


def test_a_torn_tail_is_cut_and_the_rest_is_kept(damaged):
    """Bytes of a block that was being written when the power went: they were acknowledged to nobody."""
    segment = journal_segments(damaged)[-1]
    used = len(segment.read_bytes().rstrip(b"\0"))
    with open(segment, "r+b") as file:
        file.seek(used)
        file.write(os.urandom(777))
    damaged.start()
    assert everything_is_there(damaged)
    answer = damaged.client("s3").create_bucket(Bucket="after-the-tail")
    damaged.restart()
    assert damaged.event_of(answer)["eventName"] == "CreateBucket"
    damaged.stop()


def test_a_missing_segment_stops_the_start(damaged):
    segments = journal_segments(damaged)
    segments[0].unlink()
    text = refuses(damaged)
    assert segments[0].name in text or str(damaged.data / "journal") in text, text
    assert re.search(r"(missing|gone|lost|not there|no segment|expected)", text), text


def test_a_journal_that_is_gone_altogether_stops_the_start(damaged):
    shutil.rmtree(damaged.data / "journal")
    text = refuses(damaged)
    assert str(damaged.data / "journal") in text, text


def test_a_segment_cut_to_half_stops_the_start_or_loses_nothing_acknowledged(damaged):
    segment = journal_segments(damaged)[0]
    used = len(segment.read_bytes().rstrip(b"\0"))
    os.truncate(segment, used // 2)
    if starts(damaged):
        assert everything_is_there(damaged), "half of the journal is gone, and nobody says so"
        damaged.kill()
    else:
        assert segment.name in damaged.log_text(), damaged.log_text()


def test_a_file_that_does_not_belong_there_is_not_taken_for_a_segment(damaged):
    (damaged.data / "journal" / "notes.txt").write_text("a note of the operator")
    if starts(damaged):
        assert everything_is_there(damaged)
        damaged.stop()
    else:
        assert "notes.txt" in damaged.log_text()


# -- the catalogue ------------------------------------------------------------------------------------------------------------


def folded_catalogue(server) -> Path:
    """The catalogue with its write-ahead log folded in, so that the one file holds everything."""
    catalogue = server.data / "catalog.sqlite"
    with contextlib.closing(sqlite3.connect(catalogue)) as database:
        busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy
    return catalogue


def documents(catalogue: Path) -> list[tuple[bytes, bytes]]:
    with contextlib.closing(sqlite3.connect(catalogue)) as database:
        return database.execute("SELECT key, value FROM document ORDER BY key").fetchall()


def knows_everything(server) -> bool:
    """What the catalogue held is what the server answers with."""
    buckets = sorted(bucket["Name"] for bucket in server.client("s3").list_buckets()["Buckets"])
    trails = [(trail["Name"], trail["S3BucketName"]) for trail in server.client("cloudtrail").describe_trails()["trailList"]]
    policy = json.loads(server.client("s3").get_bucket_policy(Bucket="damage-logs")["Policy"])
    return (
        buckets == sorted(["damage-logs"] + [f"damage-{number}" for number in range(60)])
        and trails == [("damage", "damage-logs")]
        and policy == server.trail_policy("damage-logs")
        and len(server.keys("damage-logs", "k")) == 60)


@pytest.mark.parametrize("place", [0, 16, 0.05, 0.3, 0.6, 0.9], ids=str)
def test_a_flipped_byte_in_the_catalogue_stops_the_start(damaged, place):
    catalogue = folded_catalogue(damaged)
    content = catalogue.read_bytes()
    offset = place
    if isinstance(place, float):
        values = [value for key, value in documents(catalogue) if not key.startswith(b"object-file\0")]
        # A value that lies in the file once and in one piece: nothing that was replaced has the same bytes.
        found = [content.index(value) for value in values if len(value) > 8 and content.count(value) == 1]
        offset = found[int(len(found) * place)] + 4
    flip(catalogue, offset, 0xFF)
    text = refuses(damaged)
    assert "catalog.sqlite" in text, text
    assert re.search(r"(restore|backup|copy|replace|repair|remove|move)", text), f"no word of what can be done: {text}"


def test_a_flipped_byte_of_an_object_in_the_catalogue_is_an_error_of_that_object_alone(damaged):
    catalogue = folded_catalogue(damaged)
    content = catalogue.read_bytes()
    # What does not fit into a page goes on in others.
    held = [value[:64] for key, value in documents(catalogue) if key.startswith(b"object-file\0") and value]
    place = next(content.index(value) for value in held if content.count(value) == 1)
    flip(catalogue, place + 4, 0xFF)
    damaged.start()
    refused = []
    for bucket in damaged.client("s3").list_buckets()["Buckets"]:
        for key in damaged.keys(bucket["Name"], ""):
            try:
                damaged.client("s3").get_object(Bucket=bucket["Name"], Key=key)["Body"].read()
            except ClientError as error:
                refused.append((key, error.response["Error"]["Code"]))
    assert len(refused) == 1 and refused[0][1] == "InternalError", refused
    report = damaged.cairn("scrub", check=False)
    assert report.returncode == 1 and refused[0][0] in report.stdout, report.stdout + report.stderr
    damaged.kill()


@pytest.mark.parametrize("which", ["the file", "its write-ahead log"])
def test_flipped_bytes_in_the_catalogue_never_go_unnoticed(folder, make_server, tmp_path, which):
    """A flip anywhere is found at the start, or changes nothing that the server knows.

    In the write-ahead log the last transaction is left out: there a flip and a torn write look alike.
    """
    data, acknowledged = folder
    dice = random.Random(11)
    base = tmp_path / "base"
    shutil.copytree(data, base, symlinks=True)
    if which == "the file":
        folded_catalogue(make_server(data=base, started=False))
    name = "catalog.sqlite" if which == "the file" else "catalog.sqlite-wal"
    content = (base / name).read_bytes()
    end = len(content) if which == "the file" else len(content) * 3 // 4
    held = [offset for offset in range(end) if content[offset]]
    unnoticed = []
    for number in range(25):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(base, copy, symlinks=True)
        server = make_server(data=copy, started=False)
        place, mask = dice.choice(held), 1 << dice.randrange(8)
        flip(copy / name, place, mask)
        try:
            if starts(server):
                right = knows_everything(server)
                server.kill()
            else:
                right = "catalog.sqlite" in server.log_text() or server.log_text()
        except (ClientError, AssertionError) as error:
            right = error
            server.kill()
        if right is not True:
            unnoticed.append((place, mask, str(right)[:300]))
        shutil.rmtree(copy)
    assert not unnoticed, f"{len(unnoticed)} of 25 flips changed what the server knows, or were not named: {unnoticed}"


def test_a_catalogue_that_is_gone_stops_the_start(damaged):
    """A journal without its catalogue is no new installation."""
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"]:
        (damaged.data / name).unlink(missing_ok=True)
    text = refuses(damaged)
    assert "catalog.sqlite" in text, text


def test_a_catalogue_that_is_none_stops_the_start(damaged):
    catalogue = folded_catalogue(damaged)
    catalogue.write_bytes(b"this is no database, it is a letter\n" * 500)
    assert "catalog.sqlite" in refuses(damaged)


def test_a_catalogue_cut_short_stops_the_start(damaged):
    catalogue = folded_catalogue(damaged)
    os.truncate(catalogue, catalogue.stat().st_size // 2)
    assert "catalog.sqlite" in refuses(damaged)


# -- keys and history ---------------------------------------------------------------------------------------------------------


def test_a_root_secret_that_is_gone_stops_the_start(damaged):
    """Without it no stored key can be read; a new one would make everything signed before unprovable."""
    secrets = [p for p in (damaged.data / "keys").rglob("*") if p.is_file()]
    assert secrets, "there is no root secret in keys/"
    for secret in secrets:
        secret.unlink()
    text = refuses(damaged)
    assert str(damaged.data / "keys") in text, text


def test_a_flipped_byte_in_the_root_secret_stops_the_start(damaged):
    secret = max((p for p in (damaged.data / "keys").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    flip(secret, secret.stat().st_size // 2)
    text = refuses(damaged)
    assert "keys" in text, text


# -- a folder with several journal segments and a sealed segment of event history -----------------------------------------

MANY = 72_000


def import_many(server, place: Path, count: int) -> None:
    """Imports so many records of about 1400 bytes, 8000 in a file."""
    place.mkdir()
    padding = "".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyz ", k=450))
    for file in range(count // 8000):
        records = [
            {"eventVersion": "1.10", "userIdentity": {"type": "IAMUser", "userName": f"user-{number % 500}"},
             "eventTime": f"2024-05-{14 + file:02}T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
             "eventSource": "ec2.amazonaws.com", "eventName": f"Call{number % 20}", "awsRegion": "us-east-1",
             "sourceIPAddress": "192.0.2.1", "userAgent": "test", "requestParameters": {"padding": padding},
             "responseElements": None, "requestID": f"{file}-{number}", "eventID": f"{file:04}-{number:08}",
             "readOnly": True, "eventType": "AwsApiCall", "managementEvent": True,
             "recipientAccountId": "111122223333", "eventCategory": "Management", "more": padding[::-1]}
            for number in range(8000)]
        (place / f"{file}.json.gz").write_bytes(gzip.compress(json.dumps({"Records": records}).encode(), compresslevel=1))
    server.cairn("import", place)


@pytest.fixture(scope="module")
def long_life(tmp_path_factory):
    """A data folder into which so many events were imported that the journal has a second segment and history a sealed one."""
    _require_binary()
    place = tmp_path_factory.mktemp("long-life")
    server = CairnServer(place / "data")
    server.start()
    import_many(server, place / "in", MANY)
    wait_until(lambda: sealed_files(server), 60, what="a sealed segment of event history")
    assert len(journal_segments(server)) >= 2
    server.stop()
    return server.data


def sealed_files(server) -> list[Path]:
    return sorted(p for p in (server.data / "history").rglob("*.segment") if p.is_file())


@pytest.fixture
def old(long_life, make_server, tmp_path):
    """A server, not started, on a copy of that folder."""
    copy = tmp_path / "copy"
    shutil.copytree(long_life, copy, symlinks=True)
    return make_server(data=copy, started=False)


def all_of_it_is_found(server) -> bool:
    start = datetime.datetime(2024, 5, 1, tzinfo=datetime.timezone.utc)
    found = [len(server.lookup(start=start, Username=f"user-{number}")) for number in (0, 77, 499)]
    one = [len(server.lookup(start=start, EventId=f"{file:04}-{number:08}")) for file in range(MANY // 8000)
           for number in (0, 7999)]
    return found == [MANY // 500] * 3 and set(one) == {1}


def test_a_long_life_is_found_again(old):
    old.start()
    assert all_of_it_is_found(old)
    old.restart()
    assert all_of_it_is_found(old)
    old.stop()


@pytest.mark.parametrize("place", [0, 0.001, 0.3, 0.7, 0.95, 0.9999])
def test_a_flipped_byte_in_event_history_is_named_or_does_no_harm(old, place):
    path = sealed_files(old)[0]
    flip(path, min(int(path.stat().st_size * place), path.stat().st_size - 1), 0xFF)
    if starts(old):
        try:
            right = all_of_it_is_found(old)
        except ClientError as error:
            # A damaged block is found when it is read: the caller is told that it failed, the operator which file it was.
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 500, error
            right = path.name in old.log_text()
        assert right, f"events of {path.name} are gone, and nobody says so"
        old.kill()
    else:
        assert path.name in old.log_text(), old.log_text()


def test_a_missing_segment_of_event_history_stops_the_start_or_does_no_harm(old):
    path = sealed_files(old)[0]
    path.unlink()
    if starts(old):
        assert all_of_it_is_found(old), f"events of {path.name} are gone, and nobody says so"
        old.kill()
    else:
        assert path.name in old.log_text() or str(old.data / "history") in old.log_text(), old.log_text()


@pytest.mark.parametrize("which", [0, -1], ids=["first", "last"])
def test_a_missing_segment_of_several_stops_the_start(old, which):
    path = journal_segments(old)[which]
    path.unlink()
    if starts(old):
        # The first may be one that nobody needs any more; then nothing is missing.
        assert which == 0 and all_of_it_is_found(old), f"events of {path.name} are gone, and nobody says so"
        answer = old.client("cloudtrail").list_trails()
        assert old.event_of(answer)["eventName"] == "ListTrails"
        old.kill()
    else:
        text = old.log_text()
        assert path.name in text or str(old.data / "journal") in text, text


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_missing_last_segment_stops_the_start_where_nothing_is_sealed(make_server, tmp_path, end):
    server = make_server()
    import_many(server, tmp_path / "in", 56_000)
    assert len(journal_segments(server)) == 2 and not sealed_files(server)
    answer = server.client("s3").create_bucket(Bucket="in-the-last-segment")
    server.stop() if end == "stopped" else server.kill()
    journal_segments(server)[-1].unlink()
    if starts(server):
        recorded = [record["requestID"] for record in server.events(EventName="CreateBucket")]
        assert request_id_of(answer) in recorded, "the last segment is gone with all its events, and nobody says so"
    else:
        assert str(server.data / "journal") in server.log_text(), server.log_text()
