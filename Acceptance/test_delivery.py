# SPDX-License-Identifier: Apache-2.0
"""Delivery: log files in a bucket, each selected event exactly once, through crashes and failures of the store."""

import re
import threading
import time
import zlib

import pytest

from conftest import wait_until


@pytest.fixture(autouse=True)
def no_trails_left(request):
    """A region has room for five trails."""
    yield
    if "server" in request.fixturenames:
        cloudtrail = request.getfixturevalue("server").client("cloudtrail")
        for trail in cloudtrail.list_trails()["Trails"]:
            cloudtrail.delete_trail(Name=trail["TrailARN"])


def ids_called(server, count: int, region: str | None = None) -> list[str]:
    """Makes calls and returns their request ids."""
    sts = server.client("sts", **({"region_name": region} if region else {}))
    return [sts.get_caller_identity()["ResponseMetadata"]["RequestId"] for _ in range(count)]


def delivered(trail) -> list[str]:
    return [record["requestID"] for record in trail.records() if record.get("requestID")]


def await_all(trail, ids, timeout=20):
    wait_until(lambda: set(ids) <= set(delivered(trail)), timeout, what="every call is delivered")


def test_a_log_file_has_cloudtrails_key_name_headers_and_body(server):
    trail = server.make_trail("shape", prefix="some/prefix", validation=False)
    ids = ids_called(server, 3)
    await_all(trail, ids)
    for key in trail.log_keys():
        assert re.fullmatch(
            rf"some/prefix/AWSLogs/{server.account_id}/CloudTrail/us-east-1/\d{{4}}/\d\d/\d\d/"
            rf"{server.account_id}_CloudTrail_us-east-1_\d{{8}}T\d{{4}}Z_[0-9A-Za-z]{{16}}\.json\.gz", key), key
        head = server.client("s3").head_object(Bucket=trail.bucket, Key=key)
        assert head["ContentType"] == "application/json"
        assert head["ContentEncoding"] == "gzip"
        raw = server.body(trail.bucket, key)
        inflate = zlib.decompressobj(31)
        content = inflate.decompress(raw) + inflate.flush()
        assert inflate.eof and inflate.unused_data == b"", "exactly one gzip member"
        assert content.startswith(b'{"Records":[{') and b"\n" not in content
        day = "/".join(re.search(r"_(\d{4})(\d\d)(\d\d)T", key).groups())
        assert f"/{day}/" in key


def test_every_call_is_delivered_once_and_keys_only_grow(server):
    trail = server.make_trail("once", validation=False)
    ids, seen = [], []
    for _ in range(4):
        ids += ids_called(server, 25)
        time.sleep(1.2)
        keys = trail.log_keys()
        new = [key for key in keys if key not in seen]
        assert not seen or not new or min(new) > max(seen), "a new key sorts above every older one"
        seen = keys
    await_all(trail, ids)
    time.sleep(2.5)
    found = [request for request in delivered(trail) if request in set(ids)]
    assert sorted(found) == sorted(ids)


def test_the_calls_that_stop_and_delete_a_trail_are_delivered(server):
    trail = server.make_trail("farewell", validation=False)
    cloudtrail = server.client("cloudtrail")
    stop = cloudtrail.stop_logging(Name="farewell")["ResponseMetadata"]["RequestId"]
    after = ids_called(server, 3)
    start = cloudtrail.start_logging(Name="farewell")["ResponseMetadata"]["RequestId"]
    delete = cloudtrail.delete_trail(Name="farewell")["ResponseMetadata"]["RequestId"]
    await_all(trail, [stop, start, delete])
    assert not set(after) & set(delivered(trail))


def test_a_call_that_blinds_a_trail_is_delivered(server):
    trail = server.make_trail("blind", validation=False)
    put = server.client("cloudtrail").put_event_selectors(
        TrailName="blind", EventSelectors=[{"IncludeManagementEvents": False}])["ResponseMetadata"]["RequestId"]
    hidden = ids_called(server, 3)
    await_all(trail, [put])
    time.sleep(2.5)
    assert not set(hidden) & set(delivered(trail))


def test_object_events_are_delivered_where_they_are_selected(server):
    bucket = server.make_bucket("watched", policy=False)
    server.make_bucket("unwatched", policy=False)
    trail = server.make_trail("data", validation=False)
    server.client("cloudtrail").put_event_selectors(
        TrailName="data", EventSelectors=[{
            "ReadWriteType": "WriteOnly", "IncludeManagementEvents": False,
            "DataResources": [{"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{bucket}/in/"]}]}])
    s3 = server.client("s3")
    wanted = s3.put_object(Bucket=bucket, Key="in/a", Body=b"x")["ResponseMetadata"]
    others = [s3.put_object(Bucket=bucket, Key="out/a", Body=b"x"), s3.get_object(Bucket=bucket, Key="in/a"),
              s3.put_object(Bucket="unwatched", Key="in/a", Body=b"x")]
    request_id = wanted.get("RequestId") or wanted["HTTPHeaders"]["x-amz-request-id"]
    await_all(trail, [request_id])
    time.sleep(2.5)
    names = [record["requestID"] for record in trail.records()]
    for other in others:
        metadata = other["ResponseMetadata"]
        assert (metadata.get("RequestId") or metadata["HTTPHeaders"]["x-amz-request-id"]) not in names
    assert names.count(request_id) == 1


def test_each_region_has_its_own_folder(server):
    trail = server.make_trail("regions", validation=False)
    single = server.make_trail("single", validation=False, multi_region=False)
    there = ids_called(server, 2, region="eu-west-1")
    await_all(trail, there)
    for key in trail.log_keys():
        region = key.split("/")[3]
        assert f"_CloudTrail_{region}_" in key
        for record in server.log_file(trail.bucket, key):
            assert record["awsRegion"] == region
    assert any("/eu-west-1/" in key for key in trail.log_keys())
    time.sleep(1.5)
    assert not set(there) & set(delivered(single))


def test_nothing_is_written_when_nothing_is_selected(server):
    trail = server.make_trail("quiet", validation=False, start=False)
    server.client("cloudtrail").put_event_selectors(
        TrailName="quiet", EventSelectors=[{
            "IncludeManagementEvents": False,
            "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::nowhere/"]}]}])
    server.client("cloudtrail").start_logging(Name="quiet")
    ids_called(server, 5)
    time.sleep(3)
    assert trail.log_keys() == []
    assert trail.status()["LatestDeliveryAttemptTime"] == ""


def test_a_failing_bucket_is_told_and_nothing_is_lost(server):
    trail = server.make_trail("failing", validation=False)
    await_all(trail, ids_called(server, 1))
    s3 = server.client("s3")
    policy = s3.get_bucket_policy(Bucket=trail.bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=trail.bucket)
    ids = ids_called(server, 3)
    wait_until(lambda: trail.status().get("LatestDeliveryError") == "AccessDenied", 15)
    status = trail.status()
    assert status["LatestDeliveryAttemptTime"] >= status["LatestDeliveryAttemptSucceeded"] > ""
    assert not set(ids) & set(delivered(trail))
    s3.put_bucket_policy(Bucket=trail.bucket, Policy=policy)
    await_all(trail, ids, timeout=40)
    found = delivered(trail)
    assert all(found.count(request) == 1 for request in ids)
    wait_until(lambda: "LatestDeliveryError" not in trail.status(), 10)


def test_each_event_is_delivered_once_through_kills(make_server):
    server = make_server(delivery_interval="1s")
    trail = server.make_trail("kills", validation=True)
    answered: list[str] = []
    for round_number in range(6):
        stop = threading.Event()

        def load():
            sts = server.client("sts")
            while not stop.is_set():
                try:
                    answered.append(sts.get_caller_identity()["ResponseMetadata"]["RequestId"])
                except Exception:
                    return

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.8 + 0.37 * round_number)
        server.kill()
        stop.set()
        for thread in threads:
            thread.join()
        server.start()
    await_all(trail, answered, timeout=60)
    time.sleep(2.5)
    found = delivered(trail)
    assert len(answered) > 100
    counts = {request: found.count(request) for request in set(answered)}
    assert {request: n for request, n in counts.items() if n != 1} == {}
    events = [record["eventID"] for record in trail.records()]
    assert len(events) == len(set(events)), "no event twice"


def test_what_is_pending_at_a_stop_does_not_wait_for_the_interval(make_server):
    server = make_server(delivery_interval="10m", digest_interval="1h")
    trail = server.make_trail("flush", validation=False)
    ids = ids_called(server, 5)
    server.stop()
    server.start()
    assert set(ids) <= set(delivered(trail))
