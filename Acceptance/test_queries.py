# SPDX-License-Identifier: Apache-2.0
"""`cairn lookup`, `cairn tail` and `cairn query`: on a running server, on its stopped data folder, and on plain log files."""

import gzip
import json
import subprocess
import threading
import time
import uuid

import pytest

from conftest import binary, wait_until

HOUR = 3600
START = 1_718_000_000 - 1_718_000_000 % HOUR


def made(number: int) -> dict:
    """Event `number`: its fields follow from the number, so that tests can count by themselves."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START + number * 60))
    event = {
        "eventVersion": "1.10",
        "userIdentity": {"type": "IAMUser", "accountId": "111122223333", "userName": f"user{number % 7}",
                         "arn": f"arn:aws:iam::111122223333:user/user{number % 7}", "accessKeyId": f"AKIA{number % 11}"},
        "eventTime": stamp, "eventSource": "ec2.amazonaws.com", "eventName": ["Start", "Stop", "Describe"][number % 3],
        "awsRegion": "eu-west-1", "sourceIPAddress": f"198.51.100.{number % 256}", "userAgent": "t",
        "requestParameters": {"instance": f"i-{number:04}", "size": number, "tags": [{"key": f"k{number % 5}"}]},
        "responseElements": None, "eventID": str(uuid.UUID(int=(7 << 100) + number)), "readOnly": number % 3 == 2,
        "eventType": "AwsApiCall", "managementEvent": True, "recipientAccountId": "111122223333",
        "eventCategory": "Management",
    }
    if number % 10 == 0:
        event["errorCode"] = "Client.UnauthorizedOperation"
    return event


EVENTS = [made(number) for number in range(300)]
OURS = "eventSource = ec2.amazonaws.com"


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    for part in range(3):
        text = json.dumps({"Records": EVENTS[part * 100:(part + 1) * 100]}).encode()
        name = folder / f"part{part}.json"
        if part == 1:
            name = name.with_suffix(".json.gz")
            text = gzip.compress(text)
        name.write_bytes(text)
    return folder


@pytest.fixture(scope="module")
def filled(server, log_folder):
    server.cairn("import", str(log_folder))
    return server


def lines(done) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def numbers(done) -> list[int]:
    return [event["requestParameters"]["size"] for event in lines(done)]


CASES = [
    ("", lambda n: True),
    ("eventName = Stop", lambda n: n % 3 == 1),
    ("user = user3 and not errorCode exists", lambda n: n % 7 == 3 and n % 10 != 0),
    ("requestParameters.size in 100..109", lambda n: 100 <= n <= 109),
    ("requestParameters.tags.key = k2", lambda n: n % 5 == 2),
    ("ip in 198.51.100.16/28", lambda n: 16 <= n % 256 < 32),
    ("requestParameters.instance ~ *99", lambda n: n % 100 == 99),
    ("readOnly = true or error = Client.*", lambda n: n % 3 == 2 or n % 10 == 0),
    ("\"i-0042\"", lambda n: n == 42),
    (f"time >= {START + 200 * 60}", lambda n: n >= 200),
]


@pytest.mark.parametrize("where", ["server", "files"])
@pytest.mark.parametrize("text,holds", CASES, ids=[text or "all" for text, _ in CASES])
def test_a_filter_finds_the_same_on_a_server_and_in_log_files(filled, log_folder, where, text, holds):
    more = ["--files", str(log_folder)] if where == "files" else []
    text = f"{OURS} and ({text})" if text else OURS
    done = filled.cairn("lookup", "--json", "--limit", "1000", "--filter", text, *more)
    expected = [n for n in range(300) if holds(n)]
    assert numbers(done) == expected[::-1]
    done = filled.cairn("lookup", "--json", "--limit", "7", "--oldest", "--filter", text, *more)
    assert numbers(done) == expected[:7]


def test_attributes_are_those_of_lookup_events(filled):
    assert numbers(filled.cairn("lookup", "EventName=Stop", "Username=user1", "--json", "--limit", "500")) == [
        n for n in range(299, -1, -1) if n % 3 == 1 and n % 7 == 1]
    assert len(lines(filled.cairn("lookup", f"EventId={EVENTS[5]['eventID']}", "--json"))) == 1
    wrong = filled.cairn("lookup", "Name=x", check=False)
    assert wrong.returncode != 0 and "EventName" in wrong.stderr


def test_records_come_back_as_they_are(filled):
    assert lines(filled.cairn("lookup", f"EventId={EVENTS[17]['eventID']}", "--json")) == [EVENTS[17]]


def test_a_table_for_people(filled):
    text = filled.cairn("lookup", "EventName=Stop", "--limit", "3").stdout.splitlines()
    assert text[0].split()[:3] == ["TIME", "EVENT", "SOURCE"] and len(text) == 4
    assert "2024-06-" in text[1] and " Stop " in text[1] and " ec2 " in text[1]


def counts(done, *keys) -> dict:
    return {tuple(row.get(key) for key in keys): row["count"] for row in lines(done)}


@pytest.mark.parametrize("where", ["server", "files"])
def test_counts_by_fields_and_by_time(filled, log_folder, where):
    more = ["--files", str(log_folder)] if where == "files" else []
    query = lambda *words: filled.cairn("query", "--json", "--filter", OURS, *words, *more)  # noqa: E731
    assert counts(query("--by", "eventName"), "eventName") == {("Start",): 100, ("Stop",): 100, ("Describe",): 100}
    assert counts(query("--by", "error,readOnly"), "errorCode", "readOnly") == {
        (None, "false"): 180, (None, "true"): 90, ("Client.UnauthorizedOperation", "false"): 20,
        ("Client.UnauthorizedOperation", "true"): 10}
    assert set(counts(query("--every", "1h"), "time").values()) == {60}
    assert counts(query(), "x") == {(None,): 300}
    top = lines(query("--by", "userIdentity.arn", "--top", "2"))
    assert [row["count"] for row in top] == [43, 43]


def test_a_table_of_counts(filled):
    text = filled.cairn("query", "--by", "eventName", "--filter", OURS).stdout
    assert "EVENTNAME" in text and "300 events in 3 groups" in text and "####" in text


def test_a_filter_that_cannot_be_read_is_told_with_its_place(filled):
    done = filled.cairn("lookup", "--filter", "eventName =", check=False)
    assert done.returncode == 1 and "character 12" in done.stderr
    answer = filled.signed("POST", "/events/search", body=b'{"filter":"eventName ="}', service="cairn")
    assert answer.status == 400 and "character 12" in answer.text


def test_questions_are_calls_like_any_other(filled):
    filled.cairn("query", "--by", "eventName", "--filter", "user = nobody")
    events = lines(filled.cairn("lookup", "EventName=CountEvents", "--json"))
    assert events[0]["eventSource"] == "cairn.internal" and events[0]["readOnly"] is True
    assert events[0]["requestParameters"]["filter"] == "user = nobody"
    unsigned = filled.http("POST", "/events/search", body=b"{}")
    assert unsigned.status >= 400


def test_a_tail_shows_each_event_as_it_is_recorded(filled):
    process = subprocess.Popen(
        [binary(), "tail", "--data", str(filled.data), "-f", "-n", "2", "--json", "--filter",
         f"{OURS} or eventName = ListTrails"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=filled._process_environment())
    seen: list[dict] = []

    def read():
        for line in process.stdout:
            seen.append(json.loads(line))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        wait_until(lambda: len(seen) == 2, what="the last two events")
        assert [event["requestParameters"]["size"] for event in seen] == [298, 299]
        filled.client("cloudtrail").list_trails()
        wait_until(lambda: len(seen) == 3, what="the new event")
        assert seen[2]["eventName"] == "ListTrails"
    finally:
        process.kill()
        process.wait()


def test_a_tail_begins_with_what_was_recorded_since_a_time(filled):
    """By the time of recording: the events that `filled` imported say that they happened long before."""
    begun = time.time()
    filled.client("cloudtrail").list_trails()
    for since, first in [("now-1h", OURS), (str(int(begun) - 1), "eventName = ListTrails")]:
        process = subprocess.Popen(
            [binary(), "tail", "--data", str(filled.data), "-f", "--since", since, "--json", "--filter", first],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=filled._process_environment())
        try:
            event = json.loads(process.stdout.readline())
            assert event["eventName"] == "ListTrails" or event["requestParameters"]["size"] == 0
        finally:
            process.kill()
            process.wait()
    refused = subprocess.run(
        [binary(), "tail", "--data", str(filled.data), "--since", "now-1h"], capture_output=True, text=True)
    assert refused.returncode != 0 and "--since needs -f" in refused.stderr


def test_a_server_that_is_followed_still_stops_at_once(make_server):
    server = make_server()
    process = subprocess.Popen(
        [binary(), "tail", "--data", str(server.data), "-f", "--json"], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=server._process_environment())
    try:
        server.client("sts").get_caller_identity()
        assert process.stdout.readline()
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 15
        process.wait(10)
    finally:
        process.kill()
        process.wait()


def test_a_stopped_data_folder_answers_the_same(make_server, log_folder):
    server = make_server()
    server.cairn("import", str(log_folder))
    running = counts(server.cairn("query", "--json", "--by", "user,eventName", "--filter", OURS), "user", "eventName")
    found = server.cairn("lookup", "--json", "--filter", f"{OURS} user = user4", "--limit", "500").stdout
    server.stop()
    assert counts(
        server.cairn("query", "--json", "--by", "user,eventName", "--filter", OURS), "user", "eventName") == running
    assert server.cairn("lookup", "--json", "--filter", f"{OURS} user = user4", "--limit", "500").stdout == found
    assert numbers(server.cairn("tail", "--json", "-n", "3", "--filter", OURS)) == [297, 298, 299]
    follow = server.cairn("tail", "-f", check=False)
    assert follow.returncode == 1 and "cairn serve" in follow.stderr
    server.start()
    assert len(lines(server.cairn("lookup", "--json", "--filter", OURS, "--limit", "500"))) == 300
