# SPDX-License-Identifier: Apache-2.0
"""Records as nobody should send them, through each door: refused with line and reason, or kept byte for byte; nothing between."""

import hashlib
import json
import uuid

import pytest

SPAN = {"start": -62_200_000_000, "limit": 1000}


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    from conftest import CairnServer

    server = CairnServer(tmp_path_factory.mktemp("bad-input") / "data").start()
    yield server
    server.kill()


def record(number: int, **changes) -> bytes:
    """A record; members that are `...` are left out, those that are bytes stand as they are."""
    members = {"eventVersion": "1.11", "userIdentity": {"type": "Root"}, "eventTime": "2026-05-01T12:00:00Z",
               "eventSource": "elsewhere.example", "eventName": "Odd", "awsRegion": "us-east-1",
               "eventID": str(uuid.UUID(int=(1 << 90) + number)), **changes}
    return b"{" + b",".join(
        json.dumps(name).encode() + b":" + (value if isinstance(value, bytes) else json.dumps(value).encode())
        for name, value in members.items() if value is not ...) + b"}"


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


#: What: (members, whether the record is refused, a word of the reason).
CASES = {
    "over the size limit": (dict(requestParameters={"p": "x" * (1 << 20)}), "larger"),
    "just below the size limit": (dict(requestParameters={"p": "x" * ((1 << 20) - 1000)}), None),
    "a name that is a number": (dict(eventName=7), "type"),
    "a name that is null": (dict(eventName=None), "type"),
    "an empty name": (dict(eventName=""), "empty"),
    "an identity that is text": (dict(userIdentity="root"), "type"),
    "resources that are an object": (dict(resources={"ARN": "a"}), "type"),
    "a flag that is a number": (dict(readOnly=1), "type"),
    "an address that is a list": (dict(sourceIPAddress=["203.0.113.7"]), "type"),
    "parameters that are text": (dict(requestParameters="p"), None),
    "another version": (dict(eventVersion="2.0"), "eventVersion"),
    "the same name twice in the parameters": (dict(requestParameters=b'{"a":1,"a":2}'), None),
    "nested deeply": (dict(requestParameters=nested(500)), "nest"),
    "nested as deeply as may be": (dict(requestParameters=nested(40)), None),
    "no UTF-8": (dict(requestParameters=b'{"p":"\xff\xfe"}'), "UTF-8"),
    "UTF-8 that is too long for its character": (dict(requestParameters=b'{"p":"\xc0\xaf"}'), "UTF-8"),
    "a surrogate in UTF-8": (dict(requestParameters=b'{"p":"\xed\xa0\x80"}'), "UTF-8"),
    "a lone surrogate, escaped": (dict(requestParameters=b'{"p":"\\ud800 x"}'), None),
    "an escape that is none": (dict(requestParameters=b'{"p":"\\x41"}'), "escape"),
    "a control character": (dict(requestParameters=b'{"p":"\x01"}'), "control"),
    "zero, escaped": (dict(requestParameters=b'{"p":"\\u0000"}'), None),
    "a number over every range": (dict(requestParameters=b'{"p":1e400,"q":-0,"r":123456789012345678901234567890.5}'), None),
    "a number of thousands of digits": (dict(requestParameters=b'{"p":' + b"9" * 5000 + b"}"), None),
    "a number with a zero before it": (dict(requestParameters=b'{"p":007}'), "at byte"),
    "no number": (dict(requestParameters=b'{"p":NaN}'), "at byte"),
    "a comma too many": (dict(requestParameters=b'{"p":1,}'), "at byte"),
    "a month that is none": (dict(eventTime="2026-13-01T00:00:00Z"), "time"),
    "a day that is none": (dict(eventTime="2026-02-30T00:00:00Z"), "time"),
    "a time without a date": (dict(eventTime="12:00"), "time"),
    "a time with more digits than years have": (dict(eventTime="12026-01-01T00:00:00Z"), "time"),
    "a time that is a number": (dict(eventTime=1777636800), "type"),
    "the year 0001": (dict(eventTime="0001-01-01T00:00:00Z"), None),
    "the year 9999": (dict(eventTime="9999-12-31T23:59:59Z"), None),
    "no id": (dict(eventID=...), "eventID"),
    "an id that is an object": (dict(eventID={}), "type"),
}
#: Members of the record itself that stand twice: there is no telling which counts.
TWICE = b',"eventName":"Even"}'


def kept(server, identifier: str) -> list[bytes]:
    """The record as event history has it."""
    answer = server.signed("POST", "/events/search", service="cairn",
                           body=json.dumps({**SPAN, "filter": f'eventID = "{identifier}"'}).encode())
    assert answer.status == 200, answer
    return answer.body.split(b"\n")[:-1] if answer.body else []


def identifier(number: int) -> str:
    return str(uuid.UUID(int=(1 << 90) + number))


def post(server, body: bytes):
    answer = server.signed("POST", "/events", service="cairn", body=body,
                           headers={"X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()})
    assert answer.status == 200, answer
    return answer.json()


@pytest.mark.parametrize("name", CASES)
def test_a_posted_record_is_refused_with_line_and_reason_or_kept_byte_for_byte(server, name):
    members, reason = CASES[name]
    number = list(CASES).index(name)
    bad = record(number, **members)
    good = [record(1000 + number), record(2000 + number)]
    answer = post(server, b"\n".join([good[0], bad, good[1]]))
    if reason is None:
        assert (answer["imported"], answer["malformed"], answer["problems"]) == (3, 0, [])
        assert kept(server, identifier(number)) == [bad]
    else:
        assert (answer["imported"], answer["malformed"]) == (2, 1)
        problem, = answer["problems"]
        assert problem["line"] == 2 and reason in problem["reason"], problem
        assert len(good[0]) < problem["offset"] <= len(good[0]) + 1 + len(bad)
        assert kept(server, identifier(number)) == []
    for place in (1000, 2000):
        assert kept(server, identifier(place + number)) == [record(place + number)]


def test_a_member_that_stands_twice_is_refused(server):
    answer = post(server, record(3000)[:-1] + TWICE)
    assert (answer["imported"], answer["malformed"]) == (0, 1)
    assert "twice" in answer["problems"][0]["reason"] and answer["problems"][0]["line"] == 1
    assert kept(server, identifier(3000)) == []


def test_import_names_each_bad_record_of_a_file_by_place_and_reason_and_takes_the_others(server, tmp_path):
    """The same table in one log file, each number another's than those that were posted."""
    records = [(10_000 + number, *case) for number, case in enumerate(CASES.values())]
    content = b'{"Records":[' + b",\n".join(record(number, **members) for number, members, _ in records) + b"]}"
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    done = server.cairn("import", path, check=False)
    text = done.stdout + done.stderr
    refused = [case for case in records if case[2]]
    assert f"{len(records) - len(refused)} imported" in text and f"{len(refused)} malformed" in text, text
    assert "odd.json" in text
    for number, members, reason in records:
        wanted = [] if reason else [record(number, **members)]
        assert kept(server, identifier(number)) == wanted, members


#: What a channel says of the same; its events have a schema of their own.
CHANNEL_CASES = {
    "no JSON": (b"{", "InvalidData"),
    "a list": (b"[]", "InvalidData"),
    "the same name twice": (b'"UID":"other"', "InvalidData"),
    "a name that is a number": (b'"eventName":7', "InvalidData"),
    "a time that is none": (b'"eventTime":"2026-13-01T00:00:00"', "InvalidData"),
    "an identity that is text": (b'"userIdentity":"root"', "InvalidData"),
    "nested deeply": (b'"requestParameters":' + nested(500), "InvalidData"),
    "a field that is too long": (b'"errorMessage":"' + b"x" * 2000 + b'"', "FieldTooLong"),
    "parameters that are too long": (b'"requestParameters":{"p":"' + b"x" * (101 << 10) + b'"}', "FieldTooLong"),
    "a lone surrogate": (b'"requestParameters":{"p":"\\ud800"}', None),
    "a huge number": (b'"requestParameters":{"p":1e400,"q":' + b"9" * 400 + b"}", None),
    "a name twice in the parameters": (b'"requestParameters":{"a":1,"a":2}', None),
}


@pytest.fixture(scope="module")
def channel(server):
    return server.client("cloudtrail").create_channel(
        Name="odd", Source="Custom", Destinations=[{
            "Type": "EVENT_DATA_STORE",
            "Location": f"arn:aws:cloudtrail:us-east-1:{server.account_id}:eventdatastore/event-history"}])["ChannelArn"]


@pytest.mark.parametrize("name", CHANNEL_CASES)
def test_an_event_of_a_channel_is_refused_with_its_id_and_reason_or_kept_as_it_was_sent(server, channel, name):
    change, code = CHANNEL_CASES[name]
    members = {b"version": b'"1"', b"userIdentity": b'{"type":"user","principalId":"p"}', b"eventSource": b'"channel.example"',
               b"eventName": b'"Odd"', b"eventTime": b'"2026-05-01T12:00:00"', b"UID": b'"u"',
               b"recipientAccountId": json.dumps(server.account_id).encode()}
    changed = change.split(b":")[0].strip(b'"')
    if change[:1] != b'"':
        data = change
    else:
        kept_members = [b'"' + key + b'":' + value for key, value in members.items() if key != changed or changed == b"UID"]
        data = b"{" + b",".join([*kept_members, change]) + b"}"
    answer = server.client("cloudtrail-data").put_audit_events(
        channelArn=channel, auditEvents=[{"id": "odd-" + name.replace(" ", "-"), "eventData": data.decode()},
                                         {"id": "good-" + name.replace(" ", "-"), "eventData": good_event(members).decode()}])
    assert [item["id"] for item in answer["successful"]][-1].startswith("good-")
    if code:
        failed, = answer["failed"]
        assert failed["id"].startswith("odd-") and failed["errorCode"] == code and failed["errorMessage"], failed
    else:
        assert answer["failed"] == []
        there, = kept(server, answer["successful"][0]["eventID"])
        value = change.split(b":", 1)[1]
        assert value in there, "the value stands as it was sent"


def good_event(members) -> bytes:
    return b"{" + b",".join(b'"' + key + b'":' + value for key, value in members.items()) + b"}"
