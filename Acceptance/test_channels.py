# SPDX-License-Identifier: Apache-2.0
"""Events from sources outside: channels and PutAuditEvents by boto3 and the AWS CLI, numbered sources, back-pressure."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid

import pytest
from conftest import code_of, error_of, wait_until

GONE = "01234567-89ab-cdef-0123-456789abcdef"


def store(server, region: str = "us-east-1") -> str:
    return f"arn:aws:cloudtrail:{region}:{server.account_id}:eventdatastore/event-history"


def make_channel(server, name: str, **more) -> str:
    return server.client("cloudtrail").create_channel(
        Name=name, Source="Custom", Destinations=[{"Type": "EVENT_DATA_STORE", "Location": store(server)}],
        **more)["ChannelArn"]


def event_data(server, uid: str, **members) -> str:
    made = {
        "version": "1", "userIdentity": {"type": "user", "principalId": "maria", "details": {"team": "sales"}},
        "eventSource": "crm.example.com", "eventName": "ExportContacts", "eventTime": "2026-11-01T10:00:00",
        "UID": uid, "sourceIPAddress": "192.0.2.7", "recipientAccountId": server.account_id,
        "requestParameters": {"list": "all"},
    }
    made.update(members)
    return json.dumps({name: value for name, value in made.items() if value is not ...})


def found(server, text: str) -> list[dict]:
    done = server.cairn("lookup", "--filter", text, "--json")
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def test_a_channel_lives_and_dies_and_each_call_is_an_event(server):
    cloudtrail = server.client("cloudtrail")
    made = cloudtrail.create_channel(
        Name="life", Source="Custom", Destinations=[{"Type": "EVENT_DATA_STORE", "Location": store(server)}],
        Tags=[{"Key": "team", "Value": "audit"}])
    arn = made["ChannelArn"]
    event = server.event_of(made, EventName="CreateChannel")
    assert event["requestParameters"]["name"] == "life"
    assert event["responseElements"]["channelArn"] == arn
    assert event["eventSource"] == "cloudtrail.amazonaws.com" and event["readOnly"] is False
    assert server.aws_json("cloudtrail", "get-channel", "--channel", arn)["Name"] == "life"
    assert arn in [channel["ChannelArn"] for channel in cloudtrail.list_channels()["Channels"]]
    changed = cloudtrail.update_channel(Channel=arn, Name="renamed", Destinations=made["Destinations"])
    assert changed["Name"] == "renamed"
    assert cloudtrail.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == [
        {"Key": "team", "Value": "audit"}]
    cloudtrail.delete_channel(Channel=arn)
    gone = error_of(cloudtrail.get_channel, Channel=arn)
    assert code_of(gone) == "ChannelNotFoundException"
    assert server.event_of(gone, EventName="GetChannel")["errorCode"] == "ChannelNotFoundException"


def test_events_put_through_a_channel_are_found_and_come_once(server):
    arn = make_channel(server, "events")
    client = server.client("cloudtrail-data")
    good = event_data(server, "u-1")
    events = [
        {"id": "e-1", "eventData": good,
         "eventDataChecksum": base64.b64encode(hashlib.sha256(good.encode()).digest()).decode()},
        {"id": "e-2", "eventData": event_data(server, "u-2", eventName=...)},
        {"id": "e-3", "eventData": event_data(server, "u-3"), "eventDataChecksum": "AAAA"},
        {"id": "e-4", "eventData": event_data(server, "u-4", recipientAccountId="999999999999")},
    ]
    answer = client.put_audit_events(channelArn=arn, auditEvents=events)
    assert [entry["id"] for entry in answer["successful"]] == ["e-1"]
    assert {entry["id"]: entry["errorCode"] for entry in answer["failed"]} == {
        "e-2": "FieldNotFound", "e-3": "InvalidChecksum", "e-4": "InvalidRecipient"}
    event_id = answer["successful"][0]["eventID"]

    again = client.put_audit_events(channelArn=arn, auditEvents=events[:1])
    assert again["successful"] == [{"id": "e-1", "eventID": event_id}]
    records = found(server, "eventSource = 'crm.example.com'")
    assert len(records) == 1
    record = records[0]
    assert record["eventID"] == event_id and record["eventCategory"] == "ActivityAuditLog"
    assert record["eventType"] == "ActivityLog" and record["eventData"] == json.loads(good)
    assert record["eventTime"] == "2026-11-01T10:00:00Z" and record["metadata"]["channelARN"] == arn
    assert found(server, "eventData.userIdentity.details.team = 'sales'")[0]["eventID"] == event_id

    # The call itself is a data event of the channel, with ids and without what the events say.
    called = found(server, f"requestID = '{answer['ResponseMetadata']['RequestId']}'")
    assert len(called) == 1
    assert called[0]["eventName"] == "PutAuditEvents" and called[0]["eventSource"] == "cloudtrail-data.amazonaws.com"
    assert called[0]["eventCategory"] == "Data" and called[0]["resources"][0]["ARN"] == arn
    assert called[0]["requestParameters"] == {
        "channelArn": arn, "auditEvents": [{"id": f"e-{n}"} for n in range(1, 5)]}
    assert len(called[0]["responseElements"]["failed"]) == 3
    # Event history's own operation shows management events only, as AWS's does.
    assert not [e for e in server.lookup(EventSource="crm.example.com")]

    status = server.client("cloudtrail").get_channel(Channel=arn)["IngestionStatus"]
    assert status["LatestIngestionSuccessEventID"] == event_id
    assert status["LatestIngestionErrorCode"] == "InvalidRecipient"


def test_the_errors_of_a_call(server):
    arn = make_channel(server, "errors")
    client = server.client("cloudtrail-data")
    one = {"id": "x", "eventData": event_data(server, "x")}

    def code(**kw):
        return code_of(error_of(client.put_audit_events, **{"channelArn": arn, "auditEvents": [one], **kw}))

    assert code(auditEvents=[one, one]) == "DuplicatedAuditEventId"
    assert code(channelArn="arn:aws:nonsense") == "InvalidChannelARN"
    assert code(channelArn=arn.split("channel/")[0] + "channel/" + GONE) == "ChannelNotFound"
    other = arn.replace(server.account_id, "999999999999")
    assert code(channelArn=other) == "AccessDeniedException"
    assert code(auditEvents=[{"id": "x", "eventData": '{"eventVersion":"1.11"}'}]) == "ChannelUnsupportedSchema"
    done = server.aws(
        "cloudtrail-data", "put-audit-events", "--channel-arn", "arn:aws:nonsense", "--audit-events", json.dumps([one]),
        check=False)
    assert done.returncode != 0 and "InvalidChannelARN" in done.stderr


def test_policies_decide_by_the_channels_arn(server):
    allowed, other = make_channel(server, "allowed"), make_channel(server, "other")
    iam = server.client("iam")
    iam.create_user(UserName="feeder")
    iam.put_user_policy(UserName="feeder", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "cloudtrail-data:PutAuditEvents", "Resource": allowed,
             "Condition": {"StringEquals": {"cloudtrail:ExternalId": "pass-phrase"}}}]}))
    key = iam.create_access_key(UserName="feeder")["AccessKey"]
    client = server.client(
        "cloudtrail-data", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    one = [{"id": "p-1", "eventData": event_data(server, "p-1")}]
    assert client.put_audit_events(channelArn=allowed, externalId="pass-phrase", auditEvents=one)["successful"]
    for wrong in ({"channelArn": allowed}, {"channelArn": other, "externalId": "pass-phrase"}):
        assert code_of(error_of(client.put_audit_events, auditEvents=one, **wrong)) in (
            "AccessDenied", "AccessDeniedException")


# -- sources that number their events -----------------------------------------------------------------------------------------


def record(number: int) -> dict:
    return {
        "eventVersion": "1.10", "userIdentity": {"type": "IAMUser", "userName": "u"},
        "eventTime": "2026-11-02T10:00:00Z", "eventSource": "firewall.example", "eventName": "Block",
        "awsRegion": "us-east-1", "eventID": str(uuid.UUID(int=number)), "readOnly": True}


def post(server, records, query: str = ""):
    body = "\n".join(json.dumps(r) for r in records).encode()
    return server.signed(
        "POST", f"/events{query}", service="cairn", body=body,
        headers={"x-amz-content-sha256": hashlib.sha256(body).hexdigest()})


def sources(server) -> dict[str, dict]:
    answer = server.signed("GET", "/sources", service="cairn")
    assert answer.status == 200, answer
    return {source["source"]: source for source in answer.json()["sources"]}


def test_gaps_and_repeats_of_numbered_sources_are_kept_shown_and_survive_a_crash(make_server):
    server = make_server()
    assert post(server, [record(1), record(2)], "?source=fw-1&sequence=1").json()["gaps"] == 0
    gap = post(server, [record(3)], "?source=fw-1&sequence=6").json()
    assert (gap["gaps"], gap["findings"]) == (1, [{"number": 6, "finding": "gap", "expected": 3}])
    assert post(server, [record(4)], "?source=fw-1&sequence=2").json()["repeats"] == 1
    assert post(server, [record(5)], "?source=fw-1&sequence=4").json()["late"] == 1
    again = post(server, [record(3)], "?source=fw-1&sequence=6").json()
    assert (again["duplicates"], again["imported"], again["repeats"]) == (1, 0, 0)

    before = sources(server)["fw-1"]
    assert before["next"] == 7 and before["received"] == 5
    assert before["missing"] == [{"from": 3, "to": 3}, {"from": 5, "to": 5}]
    shown = {r["sourceSequence"]["number"]: r["sourceSequence"] for r in found(server, "sourceSequence.finding exists")}
    assert shown[6] == {"source": "fw-1", "number": 6, "finding": "gap", "expected": 3}
    assert shown[2]["finding"] == "repeat" and shown[4]["finding"] == "late"
    assert len(found(server, "sourceSequence.source = 'fw-1'")) == 5

    # A channel's source may number its events as well.
    arn = make_channel(server, "numbered")
    client = server.client("cloudtrail-data")
    for number in (1, 3):
        client.put_audit_events(channelArn=arn, auditEvents=[{
            "id": f"n-{number}",
            "eventData": event_data(server, f"n-{number}", additionalEventData={"sourceSequence": number})}])
    assert sources(server)[arn]["missing"] == [{"from": 2, "to": 2}]

    server.kill()
    server.start()
    after = sources(server)
    assert {k: v for k, v in after["fw-1"].items() if k != "latest"} == {
        k: v for k, v in before.items() if k != "latest"}
    assert post(server, [record(9)], "?source=fw-1&sequence=7").json()["gaps"] == 0
    assert after[arn]["next"] == 4
    refused = post(server, [record(10)], "?source=a%20b&sequence=1")
    assert refused.status == 400 and refused.code == "ValidationException"
    server.stop()


# -- back-pressure ------------------------------------------------------------------------------------------------------------


def test_a_backlog_over_its_limit_is_answered_with_429_until_it_is_gone(make_server):
    server = make_server(intake_backlog="300")
    # A trail whose bucket takes nothing holds the journal: what is recorded waits for its delivery.
    trail = server.make_trail("stuck")
    s3 = server.client("s3")
    s3.delete_bucket_policy(Bucket=trail.bucket)
    arn = make_channel(server, "stuck")
    batch = [record(n) for n in range(1000, 1000 + 500)]
    first = post(server, batch)
    assert first.status == 200 and first.json()["imported"] == len(batch), first
    refused = wait_until(lambda: (a := post(server, [record(9)])).status == 429 and a, 20)
    assert refused.code == "ThrottlingException" and int(refused.headers["retry-after"]) > 0
    error = error_of(
        server.client("cloudtrail-data").put_audit_events, channelArn=arn,
        auditEvents=[{"id": "x", "eventData": event_data(server, "x")}])
    assert code_of(error) == "ThrottlingException"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert not found(server, f"eventID = '{record(9)['eventID']}'")
    # Calls at the front door are recorded all the while.
    server.client("sts").get_caller_identity()
    s3.put_bucket_policy(Bucket=trail.bucket, Policy=json.dumps(server.trail_policy(trail.bucket)))
    server.client("cloudtrail").update_trail(Name="stuck", S3BucketName=trail.bucket)  # asks for a turn now
    wait_until(lambda: post(server, [record(9)]).status == 200, 30)
    server.stop()


def test_bodies_beyond_their_space_are_refused_and_leave_nothing(make_server):
    server = make_server(intake_spool="1m")
    body = b" " * (1 << 20) + json.dumps(record(1)).encode()
    answer = server.signed(
        "POST", "/events", service="cairn", body=body,
        headers={"x-amz-content-sha256": hashlib.sha256(body).hexdigest()})
    assert answer.status == 413 and answer.code == "EntityTooLarge"
    assert post(server, [record(1)]).json()["imported"] == 1
    server.stop()
