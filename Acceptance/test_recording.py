# SPDX-License-Identifier: Apache-2.0
"""Every call becomes exactly one event, with CloudTrail's fields; secrets never enter one.

Management calls are looked up in event history, object calls in the log files that a trail delivers.
"""

import concurrent.futures
import datetime
import hashlib
import json
import os
import re
import urllib.error
import urllib.request
import uuid
from base64 import b64encode

import botocore.config
import pytest

from conftest import error_of, request_id_of, wait_until

# CloudTrail's members in the order of delivered files.
ORDER = [
    "eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress", "userAgent",
    "errorCode", "errorMessage", "requestParameters", "responseElements", "additionalEventData", "requestID", "eventID",
    "readOnly", "resources", "eventType", "apiVersion", "managementEvent", "recipientAccountId", "sharedEventID",
    "vpcEndpointId", "vpcEndpointAccountId", "eventCategory", "tlsDetails", "sessionCredentialFromConsole",
]


@pytest.fixture(scope="module")
def trail(server):
    """A trail that delivers object calls too."""
    return server.make_trail("recording", data_events=True)


def delivered(trail, request_id: str) -> dict:
    """The one record with this request id in the delivered log files."""

    def found():
        return [record for record in trail.records() if record.get("requestID") == request_id]

    wait_until(found, 30, 0.5, f"delivery of {request_id}")
    records = found()
    assert len(records) == 1
    return records[0]


def check(server, record: dict, name: str, source: str, *, read_only: bool, region: str = "us-east-1",
          management: bool = True, error: str = None, agent: str = "Boto3/") -> None:
    """What holds for every event of a known caller."""
    assert record["eventVersion"] == "1.11"
    assert record["eventName"] == name
    assert record["eventSource"] == source
    assert record["awsRegion"] == region
    assert record["sourceIPAddress"] == "127.0.0.1"
    assert agent in record["userAgent"]
    assert record["readOnly"] is read_only
    assert record["eventType"] == "AwsApiCall"
    assert record["managementEvent"] is management
    assert record["eventCategory"] == ("Management" if management else "Data")
    assert record["recipientAccountId"] == server.account_id
    assert str(uuid.UUID(record["eventID"])) == record["eventID"]
    moment = datetime.datetime.strptime(record["eventTime"], "%Y-%m-%dT%H:%M:%SZ")
    assert abs((datetime.datetime.utcnow() - moment).total_seconds()) < 600
    assert record["userIdentity"] == {
        "type": "Root", "principalId": server.account_id, "arn": f"arn:aws:iam::{server.account_id}:root",
        "accountId": server.account_id, "accessKeyId": server.access_key}
    assert list(record) == [name for name in ORDER if name in record], "the order of the members"
    assert record.get("errorCode") == error
    assert ("errorMessage" in record) is (error is not None)
    if error or read_only:
        assert record["responseElements"] is None
    assert "requestParameters" in record and "responseElements" in record
    host = record.get("tlsDetails", {}).get("clientProvidedHostHeader")
    assert host in (None, f"{server.host}:{server.port}")


# -- CloudTrail's own calls -----------------------------------------------------------------------------------------------


def test_get_caller_identity(server):
    record = server.event_of(server.client("sts").get_caller_identity())
    check(server, record, "GetCallerIdentity", "sts.amazonaws.com", read_only=True)
    assert record["requestParameters"] is None
    assert record["responseElements"] is None


def test_create_trail_shows_what_was_asked_and_what_was_answered(server):
    bucket = server.make_bucket("create-trail-logs")
    answer = server.client("cloudtrail").create_trail(
        Name="shown", S3BucketName=bucket, IncludeGlobalServiceEvents=True, TagsList=[{"Key": "team", "Value": "blue"}])
    record = server.event_of(answer)
    check(server, record, "CreateTrail", "cloudtrail.amazonaws.com", read_only=False)
    assert record["requestParameters"] == {
        "name": "shown", "s3BucketName": bucket, "includeGlobalServiceEvents": True,
        "tagsList": [{"key": "team", "value": "blue"}]}
    assert record["responseElements"] == {
        "name": "shown", "s3BucketName": bucket, "includeGlobalServiceEvents": True, "isMultiRegionTrail": False,
        "trailARN": f"arn:aws:cloudtrail:us-east-1:{server.account_id}:trail/shown", "logFileValidationEnabled": False,
        "isOrganizationTrail": False}
    assert "resources" not in record


def test_changes_that_answer_nothing_have_no_response_elements(server):
    cloudtrail = server.client("cloudtrail")
    cloudtrail.create_trail(Name="silent", S3BucketName=server.make_bucket("silent-logs"))
    for name, call in [("StartLogging", cloudtrail.start_logging), ("StopLogging", cloudtrail.stop_logging),
                       ("DeleteTrail", cloudtrail.delete_trail)]:
        record = server.event_of(call(Name="silent"))
        check(server, record, name, "cloudtrail.amazonaws.com", read_only=False)
        assert record["requestParameters"] == {"name": "silent"}
        assert record["responseElements"] is None


def test_a_read_shows_what_was_asked_as_it_was_sent(server):
    cloudtrail = server.client("cloudtrail")
    record = server.event_of(cloudtrail.describe_trails(trailNameList=["a-trail"], includeShadowTrails=False))
    check(server, record, "DescribeTrails", "cloudtrail.amazonaws.com", read_only=True)
    assert record["requestParameters"] == {"trailNameList": ["a-trail"], "includeShadowTrails": False}
    record = server.event_of(cloudtrail.list_trails())
    check(server, record, "ListTrails", "cloudtrail.amazonaws.com", read_only=True)
    assert record["requestParameters"] is None


def test_a_look_up_is_an_event_itself(server):
    answer = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "None"}], MaxResults=5,
        StartTime=1722375855, EndTime="2024-07-31T00:00:05Z")
    record = server.event_of(answer)
    check(server, record, "LookupEvents", "cloudtrail.amazonaws.com", read_only=True)
    assert record["requestParameters"] == {
        "lookupAttributes": [{"attributeKey": "EventName", "attributeValue": "None"}],
        "startTime": "Jul 30, 2024, 9:44:15 PM", "endTime": "Jul 31, 2024, 12:00:05 AM", "maxResults": 5}


def test_event_selectors(server, trail):
    answer = server.client("cloudtrail").put_event_selectors(
        TrailName=trail.name,
        EventSelectors=[{
            "ReadWriteType": "All", "IncludeManagementEvents": True,
            "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}])
    record = server.event_of(answer)
    check(server, record, "PutEventSelectors", "cloudtrail.amazonaws.com", read_only=False)
    sent = record["requestParameters"]
    assert sent["trailName"] == trail.name
    assert sent["eventSelectors"][0]["dataResources"] == [{"type": "AWS::S3::Object", "values": ["arn:aws:s3"]}]
    assert record["responseElements"]["trailARN"] == trail.arn


def test_failed_calls_are_recorded_with_their_error(server):
    error = error_of(server.client("cloudtrail").stop_logging, Name="nobodys-trail")
    record = server.event_of(error)
    check(server, record, "StopLogging", "cloudtrail.amazonaws.com", read_only=False, error="TrailNotFoundException")
    assert record["errorMessage"] == (
        f"Unknown trail: arn:aws:cloudtrail:us-east-1:{server.account_id}:trail/nobodys-trail "
        f"for the user: {server.account_id}")
    assert record["requestParameters"] == {"name": "nobodys-trail"}


def test_the_region_of_the_call_is_the_region_of_the_event(server):
    answer = server.client("cloudtrail", region_name="eu-west-1").list_trails()
    check(server, server.event_of(answer, region="eu-west-1"), "ListTrails", "cloudtrail.amazonaws.com",
          read_only=True, region="eu-west-1")
    request_id = request_id_of(answer)
    assert not [r for r in server.events(EventName="ListTrails") if r["requestID"] == request_id]


# -- S3: buckets ------------------------------------------------------------------------------------------------------------


def s3_event(server, record: dict, name: str, *, read_only: bool, management: bool = True, error: str = None) -> None:
    check(server, record, name, "s3.amazonaws.com", read_only=read_only, management=management, error=error)
    assert record["userAgent"].startswith("[") and record["userAgent"].endswith("]")
    more = record["additionalEventData"]
    assert more["SignatureVersion"] == "SigV4"
    assert more["AuthenticationMethod"] == "AuthHeader"
    assert isinstance(more["bytesTransferredIn"], int)
    assert isinstance(more["bytesTransferredOut"], int)
    assert more["x-amz-id-2"]
    assert record["requestParameters"]["Host"] == f"{server.host}:{server.port}"


def bucket_resource(server, bucket: str) -> dict:
    return {"accountId": server.account_id, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"}


def test_create_bucket(server):
    record = server.event_of(server.client("s3").create_bucket(Bucket="rec-create", ACL="private"))
    s3_event(server, record, "CreateBucket", read_only=False)
    assert record["requestParameters"]["bucketName"] == "rec-create"
    assert record["requestParameters"]["x-amz-acl"] == "private"
    assert record["responseElements"] is None


def test_list_buckets(server):
    record = server.event_of(server.client("s3").list_buckets())
    s3_event(server, record, "ListBuckets", read_only=True)
    assert "bucketName" not in record["requestParameters"]
    assert "resources" not in record


def test_bucket_policy(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="rec-policy")
    policy = server.trail_policy("rec-policy")
    record = server.event_of(s3.put_bucket_policy(Bucket="rec-policy", Policy=json.dumps(policy)))
    s3_event(server, record, "PutBucketPolicy", read_only=False)
    assert record["requestParameters"]["bucketName"] == "rec-policy"
    assert record["requestParameters"]["bucketPolicy"] == policy
    assert record["requestParameters"]["policy"] == ""
    assert record["resources"] == [bucket_resource(server, "rec-policy")]
    record = server.event_of(s3.get_bucket_policy(Bucket="rec-policy"))
    s3_event(server, record, "GetBucketPolicy", read_only=True)
    record = server.event_of(s3.delete_bucket_policy(Bucket="rec-policy"))
    s3_event(server, record, "DeleteBucketPolicy", read_only=False)
    record = server.event_of(error_of(s3.get_bucket_policy, Bucket="rec-policy"))
    s3_event(server, record, "GetBucketPolicy", read_only=True, error="NoSuchBucketPolicy")


def test_location_and_deletion(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="rec-gone")
    s3_event(server, server.event_of(s3.get_bucket_location(Bucket="rec-gone")), "GetBucketLocation", read_only=True)
    record = server.event_of(s3.delete_bucket(Bucket="rec-gone"))
    s3_event(server, record, "DeleteBucket", read_only=False)
    assert record["resources"] == [bucket_resource(server, "rec-gone")]
    record = server.event_of(error_of(s3.delete_bucket, Bucket="rec-gone"))
    s3_event(server, record, "DeleteBucket", read_only=False, error="NoSuchBucket")


# -- S3: objects (data events) --------------------------------------------------------------------------------------------


def object_resources(server, bucket: str, key: str) -> list:
    return [{"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/{key}"}, bucket_resource(server, bucket)]


def test_object_calls_are_data_events(server, trail):
    s3, bucket = server.client("s3"), server.make_bucket("rec-objects", policy=False)
    body = b"some bytes of a body"
    put = s3.put_object(Bucket=bucket, Key="a/key", Body=body)
    get = s3.get_object(Bucket=bucket, Key="a/key")
    get["Body"].read()
    head = s3.head_object(Bucket=bucket, Key="a/key")
    copy = s3.copy_object(Bucket=bucket, Key="a copy", CopySource={"Bucket": bucket, "Key": "a/key"})
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="a/")
    listed_v1 = s3.list_objects(Bucket=bucket, Prefix="a/")
    found = s3.head_bucket(Bucket=bucket)
    deleted = s3.delete_object(Bucket=bucket, Key="a/key")
    many = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a copy"}, {"Key": "none"}]})
    missing = error_of(s3.get_object, Bucket=bucket, Key="a/key")

    record = delivered(trail, request_id_of(put))
    s3_event(server, record, "PutObject", read_only=False, management=False)
    assert record["requestParameters"]["bucketName"] == bucket
    assert record["requestParameters"]["key"] == "a/key"
    assert record["additionalEventData"]["bytesTransferredIn"] == len(body)
    assert record["resources"] == object_resources(server, bucket, "a/key")

    record = delivered(trail, request_id_of(get))
    s3_event(server, record, "GetObject", read_only=True, management=False)
    assert record["additionalEventData"]["bytesTransferredOut"] == len(body)
    assert record["resources"] == object_resources(server, bucket, "a/key")

    s3_event(server, delivered(trail, request_id_of(head)), "HeadObject", read_only=True, management=False)

    record = delivered(trail, request_id_of(copy))
    s3_event(server, record, "CopyObject", read_only=False, management=False)
    assert record["requestParameters"]["x-amz-copy-source"] == f"{bucket}/a/key"

    for answer in [listed, listed_v1]:
        record = delivered(trail, request_id_of(answer))
        s3_event(server, record, "ListObjects", read_only=True, management=False)
        assert record["requestParameters"]["prefix"] == "a/"
        assert record["resources"] == [
            {"type": "AWS::S3::Object", "ARNPrefix": f"arn:aws:s3:::{bucket}/a/"}, bucket_resource(server, bucket)]
    assert delivered(trail, request_id_of(listed))["requestParameters"]["list-type"] == "2"

    s3_event(server, delivered(trail, request_id_of(found)), "HeadBucket", read_only=True, management=False)
    s3_event(server, delivered(trail, request_id_of(deleted)), "DeleteObject", read_only=False, management=False)

    record = delivered(trail, request_id_of(many))
    s3_event(server, record, "DeleteObjects", read_only=False, management=False)
    assert "a copy" not in json.dumps(record), "DeleteObjects never lists the keys"

    record = delivered(trail, request_id_of(missing))
    s3_event(server, record, "GetObject", read_only=True, management=False, error="NoSuchKey")
    assert record["additionalEventData"]["bytesTransferredOut"] > 0, "the error's body"


def test_data_events_are_not_in_event_history(server, trail):
    bucket = server.make_bucket("rec-history", policy=False)
    put = server.client("s3").put_object(Bucket=bucket, Key="k", Body=b"x")
    delivered(trail, request_id_of(put))
    assert server.events(EventName="PutObject") == []
    assert not [r for r in server.events() if r.get("eventCategory") == "Data"]


# -- callers that do not get in ---------------------------------------------------------------------------------------------


def test_a_wrong_signature_is_recorded_under_the_key_it_claims(server):
    answer = server.cloudtrail("ListTrails", secret_key="wrong" * 8)
    assert (answer.status, answer.code) == (400, "InvalidSignatureException"), answer
    record = server.event_of(answer)
    assert record["eventName"] == "ListTrails"
    assert record["errorCode"] == "InvalidSignatureException"
    assert record["responseElements"] is None
    assert record["recipientAccountId"] == server.account_id
    assert "wrong" * 8 not in json.dumps(record)


def test_a_wrong_signature_changes_nothing(server):
    answer = server.signed("PUT", "/rec-not-made", service="s3", secret_key="wrong" * 8)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer
    assert server.event_of(answer)["eventName"] == "CreateBucket"
    assert "rec-not-made" not in [b["Name"] for b in server.client("s3").list_buckets()["Buckets"]]


def unknown(record: dict) -> bool:
    return record["userIdentity"].get("type") == "Unknown"


def test_an_unknown_key_is_recorded_as_unknown(make_server):
    server = make_server()
    answer = server.cloudtrail("ListTrails", access_key="AKIAIOSFODNN7EXAMPLE")
    assert (answer.status, answer.code) == (400, "UnrecognizedClientException"), answer
    records = server.events(where=unknown, at_least=1, timeout=90)
    assert len(records) == 1
    record = records[0]
    assert record["eventName"] == "ListTrails"
    assert record["errorCode"] == "UnrecognizedClientException"
    assert record["sourceIPAddress"] == "127.0.0.1"
    assert record["recipientAccountId"] == server.account_id


def test_a_call_without_a_signature_is_recorded_as_unknown_and_at_s3_as_anonymous(make_server):
    server = make_server()
    answer = server.http("POST", "/", {"X-Amz-Target": "CloudTrail_20131101.ListTrails"}, b"{}")
    assert (answer.status, answer.code) == (400, "MissingAuthenticationTokenException"), answer
    assert server.events(where=unknown, at_least=1, timeout=90)[0]["eventName"] == "ListTrails"
    answer = server.http("PUT", "/open-bucket", {"Authorization": "AWS4-HMAC-SHA256 nonsense"})
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed"), answer
    assert server.events(where=unknown, at_least=2, timeout=90)[0]["eventName"] == "CreateBucket"
    answer = server.http("PUT", "/open-bucket")
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    anonymous = {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
    record = server.events(where=lambda record: record["userIdentity"] == anonymous, at_least=1, timeout=90)[0]
    assert record["eventName"] == "CreateBucket"
    assert record["errorCode"] == "AccessDenied"
    assert server.client("s3").list_buckets()["Buckets"] == []


def folder_bytes(folder) -> int:
    return sum(os.path.getsize(os.path.join(path, file)) for path, _, files in os.walk(folder) for file in files)


def count_in(record: dict) -> int:
    """How many calls an event of unknown callers stands for."""
    return ((record.get("additionalEventData") or {}).get("summarizedCalls") or {"count": 1})["count"]


def test_a_burst_of_unknown_callers_is_summed_up(make_server):
    server = make_server()
    server.client("sts").get_caller_identity()
    calls = 2000

    def call(number: int) -> int:
        headers = {"Authorization": (
            f"AWS4-HMAC-SHA256 Credential=AKIA{number:016d}/20260101/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64), "X-Amz-Date": "20260101T000000Z"}
        return server.http("PUT", f"/bucket-{number}", headers).status

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        assert {400, 403} >= set(pool.map(call, range(calls)))
    server.restart()  # whatever was being counted is written now

    records = server.events(where=unknown)
    assert 1 <= len(records) <= 200, f"{len(records)} events for {calls} calls nobody stands behind"
    assert sum(map(count_in, records)) == calls
    assert any(count_in(record) > 1 for record in records)
    for record in records:
        assert record["recipientAccountId"] == server.account_id
        assert record["userIdentity"]["type"] == "Unknown"


# -- secrets ------------------------------------------------------------------------------------------------------------------


def presigned(server, bucket: str, key: str) -> str:
    client = server.client("s3", config=botocore.config.Config(signature_version="s3v4"))
    return client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})


def test_secrets_are_in_no_event_and_no_journal(make_server):
    server = make_server()
    trail = server.make_trail("secrets", data_events=True)
    s3 = server.client("s3")
    secrets = {"the secret key": server.secret_key}

    # A presigned URL: its signature is a bearer's right to the object.
    url = presigned(server, trail.bucket, "none")
    secrets["a presigned signature"] = re.search(r"Signature=([0-9a-f]{64})", url).group(1)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url, timeout=10)

    # A signature in a header, and a session token that nobody issued.
    headers = server.sign("GET", "/", service="s3")
    secrets["a header's signature"] = re.search(r"Signature=([0-9a-f]{64})", headers["Authorization"]).group(1)
    assert server.http("GET", "/", headers).status == 200
    token = "FwoGZXIvYXdzEBYaDsecretsessiontoken0123456789"
    secrets["a session token"] = token
    server.signed("GET", "/", service="s3", token=token)
    server.signed("GET", f"/?X-Amz-Security-Token={token}", service="s3")

    # Signatures that are wrong are kept as little.
    bad = server.sign("GET", "/", service="s3", secret_key="wrongwrong" * 4)
    secrets["a wrong signature"] = re.search(r"Signature=([0-9a-f]{64})", bad["Authorization"]).group(1)
    server.http("GET", "/", bad)

    # Customer keys in headers.
    key = hashlib.sha256(b"customer").digest()
    secrets["a customer's key"] = b64encode(key).decode()
    server.signed("GET", f"/{trail.bucket}/none", service="s3", headers={
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": secrets["a customer's key"],
        "x-amz-server-side-encryption-customer-key-md5": b64encode(hashlib.md5(key).digest()).decode()})

    marker = request_id_of(s3.list_objects_v2(Bucket=trail.bucket))
    delivered(trail, marker)
    shown = json.dumps(server.events()) + json.dumps(trail.records()) + server.log_text()
    assert "ListBuckets" in shown
    for what, secret in secrets.items():
        assert secret not in shown, f"{what} is in an event or in the log"
    server.stop()

    for folder in ["journal", "history"]:
        for path, _, files in os.walk(server.data / folder):
            for file in files:
                with open(os.path.join(path, file), "rb") as stream:
                    content = stream.read()
                for what, secret in secrets.items():
                    assert secret.encode() not in content, f"{what} is in {path}/{file}"
    for what, secret in secrets.items():
        assert secret not in server.log_text(), f"{what} is in the log"


def test_presigned_calls_say_so(server, trail):
    bucket = server.make_bucket("rec-presigned", policy=False)
    server.client("s3").put_object(Bucket=bucket, Key="k", Body=b"presigned")
    url = presigned(server, bucket, "k")
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"presigned"
        request_id = answer.headers["x-amz-request-id"]
    record = delivered(trail, request_id)
    assert record["additionalEventData"]["AuthenticationMethod"] == "QueryString"
    assert record["requestParameters"]["key"] == "k"


# -- what the client says of itself -----------------------------------------------------------------------------------------


def test_nobody_can_lie_about_where_a_call_comes_from(server):
    answer = server.cloudtrail("ListTrails", headers={"X-Forwarded-For": "198.51.100.7", "X-Real-IP": "198.51.100.8"})
    assert server.event_of(answer)["sourceIPAddress"] == "127.0.0.1"


def test_a_configured_proxy_is_believed(make_server):
    server = make_server(trusted_proxies="127.0.0.1")
    answer = server.cloudtrail("ListTrails", headers={"X-Forwarded-For": "203.0.113.1, 198.51.100.7"})
    assert server.event_of(answer)["sourceIPAddress"] == "198.51.100.7"
    answer = server.cloudtrail("ListTrails", headers={"X-Forwarded-For": "no address"})
    assert server.event_of(answer)["sourceIPAddress"] == "127.0.0.1"


def test_a_long_user_agent_is_cut(server):
    answer = server.cloudtrail("ListTrails", headers={"User-Agent": "long/" + "x" * 5000})
    agent = server.event_of(answer)["userAgent"]
    assert agent.startswith("long/xxx")
    assert len(agent.encode()) <= 1024


def test_odd_characters_survive_as_json(server):
    name = 'quote" back\\slash \u2028 \U0001f512 tab\t'
    answer = server.cloudtrail("GetTrail", {"Name": name})
    assert answer.status == 400
    assert server.event_of(answer)["requestParameters"]["name"] == name


def test_large_parameters_are_left_out_and_counted(server):
    answer = server.cloudtrail("DescribeTrails", {"trailNameList": ["x" * 100 for _ in range(3000)]})
    record = server.event_of(answer)
    parameters = record["requestParameters"]
    assert parameters["omitted"] is True
    assert parameters["reason"] == "requestParameters too large"
    assert parameters["originalSize"] > 300_000


def test_a_call_is_recorded_before_it_is_answered(make_server):
    """The process dies the moment the answer is in: the event is there at the next start."""
    server = make_server()
    for number in range(5):
        answer = server.client("s3").create_bucket(Bucket=f"rec-durable-{number}")
        server.kill()
        server.start()
        assert server.event_of(answer)["eventName"] == "CreateBucket"


def test_ids_of_events_are_never_given_twice(server):
    ids = [record["eventID"] for record in server.events()]
    assert len(ids) == len(set(ids))
