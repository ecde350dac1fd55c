# SPDX-License-Identifier: Apache-2.0
"""The operations on trails: what each answers, and each documented error that can come about."""

import json
import re
import time
from datetime import datetime, timedelta, timezone

import pytest
from botocore.exceptions import ClientError

BUCKET = "trail-logs"


@pytest.fixture(scope="module", autouse=True)
def bucket(server):
    server.make_bucket(BUCKET)
    server.make_bucket("second-logs")
    server.make_bucket("prefix-logs", prefix="p/q")
    server.make_bucket("bare-bucket", policy=False)


@pytest.fixture
def ct(server):
    client = server.client("cloudtrail")
    yield client
    for trail in client.list_trails()["Trails"]:
        home = server.client("cloudtrail", region_name=trail["HomeRegion"])
        home.delete_trail(Name=trail["TrailARN"])


def arn(server, name, region="us-east-1"):
    return f"arn:aws:cloudtrail:{region}:{server.account_id}:trail/{name}"


def fails(code, call, *args, message=None, **kw):
    """The call fails with exactly that code, as a client's fault; the message is returned."""
    with pytest.raises(ClientError) as caught:
        call(*args, **kw)
    error = caught.value.response
    assert error["Error"]["Code"] == code, error
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error["ResponseMetadata"]["RequestId"]
    if message is not None:
        assert error["Error"]["Message"] == message
    return error["Error"]["Message"]


def body(answer):
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


# -- CreateTrail ---------------------------------------------------------------------------------------------------------


def test_create_answers_defaults(server, ct):
    assert body(ct.create_trail(Name="abc", S3BucketName=BUCKET)) == {
        "Name": "abc", "S3BucketName": BUCKET, "IncludeGlobalServiceEvents": True, "IsMultiRegionTrail": False,
        "TrailARN": arn(server, "abc"), "LogFileValidationEnabled": False, "IsOrganizationTrail": False}
    assert ct.get_trail(Name="abc")["Trail"] == {
        "Name": "abc", "S3BucketName": BUCKET, "IncludeGlobalServiceEvents": True, "IsMultiRegionTrail": False,
        "HomeRegion": "us-east-1", "TrailARN": arn(server, "abc"), "LogFileValidationEnabled": False,
        "HasCustomEventSelectors": False, "HasInsightSelectors": False, "IsOrganizationTrail": False}
    assert ct.get_trail_status(Name="abc")["IsLogging"] is False


def test_create_takes_all_that_is_offered(server, ct):
    made = ct.create_trail(
        Name="abc", S3BucketName="prefix-logs", S3KeyPrefix="p/q", IncludeGlobalServiceEvents=True,
        IsMultiRegionTrail=True, EnableLogFileValidation=True, IsOrganizationTrail=False,
        TagsList=[{"Key": "team", "Value": "x"}])
    assert made["S3KeyPrefix"] == "p/q" and made["IsMultiRegionTrail"] and made["LogFileValidationEnabled"]
    tags = ct.list_tags(ResourceIdList=[made["TrailARN"]])["ResourceTagList"]
    assert tags == [{"ResourceId": made["TrailARN"], "TagsList": [{"Key": "team", "Value": "x"}]}]


@pytest.mark.parametrize("name, message", [
    ("ab", "Trail name too short. Minimum allowed length: 3 characters. Specified name length: 2 characters."),
    ("a" * 129, "Trail name too long. Maximum allowed length: 128 characters. Specified name length: 129 characters."),
    ("-abc", "Trail name must starts with a letter or number."),
    ("abc-", "Trail name must ends with a letter or number."),
    ("a/bc", "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), "
             "and underscores (_)."),
    ("a._b", None), ("192.168.5.4", None), ("naïve", None),
])
def test_create_refuses_a_malformed_name(ct, name, message):
    fails("InvalidTrailNameException", ct.create_trail, Name=name, S3BucketName=BUCKET, message=message)


@pytest.mark.parametrize("name", ["", "ab", "Upper-Case", "under_score", "a..b", "-start", "end-", "10.0.0.1", "a" * 64])
def test_create_refuses_a_malformed_bucket_name(ct, name):
    fails("InvalidS3BucketNameException", ct.create_trail, Name="abc", S3BucketName=name)


def test_create_looks_at_bucket_and_policy(server, ct):
    fails("S3BucketDoesNotExistException", ct.create_trail, Name="abc", S3BucketName="no-such-bucket",
          message="S3 bucket no-such-bucket does not exist!")
    message = fails("InsufficientS3BucketPolicyException", ct.create_trail, Name="abc", S3BucketName="bare-bucket")
    assert message.startswith("Incorrect S3 bucket policy is detected for bucket: bare-bucket")
    assert "s3:GetBucketAcl" in message
    # The policy is for another prefix.
    message = fails("InsufficientS3BucketPolicyException", ct.create_trail, Name="abc", S3BucketName=BUCKET, S3KeyPrefix="p")
    assert "s3:PutObject" in message and f"p/AWSLogs/{server.account_id}/*" in message
    assert ct.list_trails()["Trails"] == []


@pytest.mark.parametrize("missing", [0, 1, "condition", "source"])
def test_create_names_the_missing_statement(server, ct, missing):
    s3 = server.client("s3")
    policy = server.trail_policy("bare-bucket")
    if missing == "condition":
        policy["Statement"][1]["Condition"]["StringEquals"]["s3:x-amz-acl"] = "private"
    elif missing == "source":
        policy["Statement"][1]["Condition"]["StringEquals"]["aws:SourceArn"] = arn(server, "another")
    else:
        del policy["Statement"][missing]
    s3.put_bucket_policy(Bucket="bare-bucket", Policy=json.dumps(policy))
    try:
        message = fails("InsufficientS3BucketPolicyException", ct.create_trail, Name="abc", S3BucketName="bare-bucket")
        assert ("s3:GetBucketAcl" if missing == 0 else "s3:PutObject") in message
        # With the trail's own ARN as the source it is enough.
        if missing == "source":
            policy["Statement"][1]["Condition"]["StringEquals"]["aws:SourceArn"] = arn(server, "abc")
            policy["Statement"][0]["Condition"] = {"StringEquals": {
                "aws:SourceArn": arn(server, "abc"), "aws:SourceAccount": server.account_id}}
            s3.put_bucket_policy(Bucket="bare-bucket", Policy=json.dumps(policy))
            ct.create_trail(Name="abc", S3BucketName="bare-bucket")
            ct.delete_trail(Name="abc")
    finally:
        s3.delete_bucket_policy(Bucket="bare-bucket")


@pytest.mark.parametrize("member, value, code", [
    ("SnsTopicName", "topic", "InsufficientSnsTopicPolicyException"),
    ("SnsTopicName", "no topic", "InvalidSnsTopicNameException"),
    ("KmsKeyId", "alias/key", "KmsKeyNotFoundException"),
    ("CloudWatchLogsLogGroupArn", "arn:aws:logs:us-east-1:111122223333:log-group:g:*", "UnsupportedOperationException"),
    ("CloudWatchLogsRoleArn", "arn:aws:iam::111122223333:role/r", "UnsupportedOperationException"),
    ("IsOrganizationTrail", True, "OrganizationsNotInUseException"),
    ("S3KeyPrefix", "x" * 201, "InvalidS3PrefixException"),
])
def test_what_is_not_offered_is_never_silently_taken(ct, member, value, code):
    fails(code, ct.create_trail, Name="abc", S3BucketName=BUCKET, **{member: value})
    ct.create_trail(Name="abc", S3BucketName=BUCKET)
    fails(code, ct.update_trail, Name="abc", **{member: value})


def test_a_name_is_used_once_where_it_is_seen(server, ct):
    ct.create_trail(Name="abc", S3BucketName=BUCKET, IsMultiRegionTrail=True)
    message = f"Trail abc already exists for customer: {server.account_id}"
    fails("TrailAlreadyExistsException", ct.create_trail, Name="abc", S3BucketName=BUCKET, message=message)
    there = server.client("cloudtrail", region_name="eu-west-1")
    fails("TrailAlreadyExistsException", there.create_trail, Name="abc", S3BucketName=BUCKET, message=message)
    ct.update_trail(Name="abc", IsMultiRegionTrail=False)
    there.create_trail(Name="abc", S3BucketName=BUCKET)
    fails("TrailAlreadyExistsException", ct.update_trail, Name="abc", IsMultiRegionTrail=True)


def test_a_region_has_room_for_five(server, ct):
    there = server.client("cloudtrail", region_name="eu-west-1")
    ct.create_trail(Name="multi", S3BucketName=BUCKET, IsMultiRegionTrail=True)
    for index in range(4):
        there.create_trail(Name=f"one{index}", S3BucketName=BUCKET)
    fails("MaximumNumberOfTrailsExceededException", there.create_trail, Name="sixth", S3BucketName=BUCKET,
          message=f"User: {server.account_id} already has 5 trails in eu-west-1.")
    ct.create_trail(Name="second", S3BucketName=BUCKET)
    fails("MaximumNumberOfTrailsExceededException", ct.create_trail, Name="third", S3BucketName=BUCKET, IsMultiRegionTrail=True)


def test_a_multi_region_trail_includes_global_events(ct):
    text = "Multi-Region trail must include global service events."
    fails("InvalidParameterCombinationException", ct.create_trail, Name="abc", S3BucketName=BUCKET,
          IsMultiRegionTrail=True, IncludeGlobalServiceEvents=False, message=text)
    ct.create_trail(Name="abc", S3BucketName=BUCKET, IncludeGlobalServiceEvents=False)
    assert ct.update_trail(Name="abc", IsMultiRegionTrail=True)["IncludeGlobalServiceEvents"] is True
    fails("InvalidParameterCombinationException", ct.update_trail, Name="abc", IncludeGlobalServiceEvents=False, message=text)
    both = ct.update_trail(Name="abc", IncludeGlobalServiceEvents=False, IsMultiRegionTrail=False)
    assert (both["IncludeGlobalServiceEvents"], both["IsMultiRegionTrail"]) == (False, False)


@pytest.mark.parametrize("tags, code", [
    ([{"Key": "a"}, {"Key": "a"}], "InvalidTagParameterException"),
    ([{"Key": "a<b"}], "InvalidTagParameterException"),
    ([{"Key": "k" * 129}], None),
    ([{"Key": f"k{n}"} for n in range(51)], "TagsLimitExceededException"),
])
def test_create_refuses_bad_tags(server, ct, tags, code):
    raw = server.cloudtrail("CreateTrail", {"Name": "abc", "S3BucketName": BUCKET, "TagsList": tags})
    assert raw.status == 400
    assert raw.code == (code or "InvalidTagParameterException")
    assert ct.list_trails()["Trails"] == []


# -- Addressing ----------------------------------------------------------------------------------------------------------

ADDRESSED = [("get_trail", "Name"), ("get_trail_status", "Name"), ("delete_trail", "Name"), ("start_logging", "Name"),
             ("stop_logging", "Name"), ("update_trail", "Name"), ("get_event_selectors", "TrailName"),
             ("get_insight_selectors", "TrailName")]


@pytest.mark.parametrize("operation, member", ADDRESSED)
def test_unknown_and_malformed_trails(server, ct, operation, member):
    text = f"Unknown trail: {arn(server, 'nope', 'eu-west-1')} for the user: {server.account_id}"
    there = server.client("cloudtrail", region_name="eu-west-1")
    fails("TrailNotFoundException", getattr(there, operation), **{member: "nope"}, message=text)
    fails("TrailNotFoundException", getattr(there, operation), **{member: arn(server, "nope", "eu-west-1")}, message=text)
    fails("InvalidTrailNameException", getattr(ct, operation), **{member: "a"})
    for bad in ["arn:aws:cloudtrail:us-east-1:1:trail/abc", "arn:aws:s3:::bucket", arn(server, "ab")]:
        fails("CloudTrailARNInvalidException", getattr(ct, operation), **{member: bad})


def test_put_event_selectors_of_an_unknown_trail(server, ct):
    fails("TrailNotFoundException", ct.put_event_selectors, TrailName="nope", EventSelectors=[{}])
    fails("CloudTrailARNInvalidException", ct.put_event_selectors, TrailName="arn:x", EventSelectors=[{}])


def test_changes_are_made_at_home_and_reads_anywhere_by_arn(server, ct):
    ct.create_trail(Name="abc", S3BucketName=BUCKET, IsMultiRegionTrail=True)
    there = server.client("cloudtrail", region_name="eu-west-1")
    name = arn(server, "abc")
    for change in (there.delete_trail, there.start_logging, there.stop_logging, there.update_trail):
        fails("InvalidHomeRegionException", change, Name=name)
        fails("TrailNotFoundException", change, Name="abc")
    fails("InvalidHomeRegionException", there.put_event_selectors, TrailName=name, EventSelectors=[{}])
    assert there.get_trail(Name=name)["Trail"]["HomeRegion"] == "us-east-1"
    assert there.get_trail_status(Name=name)["IsLogging"] is False
    assert there.get_event_selectors(TrailName=name)["TrailARN"] == name
    fails("TrailNotFoundException", there.get_trail_status, Name="abc")


def test_describe_and_list(server, ct):
    ct.create_trail(Name="multi", S3BucketName=BUCKET, IsMultiRegionTrail=True)
    ct.create_trail(Name="here", S3BucketName=BUCKET)
    there = server.client("cloudtrail", region_name="eu-west-1")
    there.create_trail(Name="there", S3BucketName=BUCKET)

    def names(client, **kw):
        return sorted(trail["Name"] for trail in client.describe_trails(**kw)["trailList"])

    assert names(ct) == ["here", "multi"]
    assert names(there) == ["multi", "there"]
    assert names(there, includeShadowTrails=False) == ["there"]
    assert names(ct, trailNameList=["here", arn(server, "multi"), "nope", arn(server, "nope")]) == ["here", "multi"]
    assert names(there, trailNameList=["multi"]) == []
    assert names(there, trailNameList=[arn(server, "multi")]) == ["multi"]
    fails("InvalidTrailNameException", ct.describe_trails, trailNameList=["a"])
    fails("CloudTrailARNInvalidException", ct.describe_trails, trailNameList=["arn:x"])
    listed = there.list_trails()["Trails"]
    assert sorted(t["Name"] for t in listed) == ["here", "multi", "there"]
    assert {frozenset(t) for t in listed} == {frozenset({"TrailARN", "Name", "HomeRegion"})}


# -- UpdateTrail ---------------------------------------------------------------------------------------------------------


def test_update_merges(server, ct):
    ct.create_trail(Name="abc", S3BucketName="prefix-logs", S3KeyPrefix="p/q", EnableLogFileValidation=True)
    kept = ct.update_trail(Name="abc", IsMultiRegionTrail=True)
    assert (kept["S3BucketName"], kept["S3KeyPrefix"], kept["LogFileValidationEnabled"]) == ("prefix-logs", "p/q", True)
    moved = ct.update_trail(Name=arn(server, "abc"), S3BucketName=BUCKET, S3KeyPrefix="")
    assert moved["S3BucketName"] == BUCKET and "S3KeyPrefix" not in moved
    assert ct.update_trail(Name="abc", KmsKeyId="", SnsTopicName="")["LogFileValidationEnabled"] is True
    fails("S3BucketDoesNotExistException", ct.update_trail, Name="abc", S3BucketName="no-such-bucket")
    fails("InsufficientS3BucketPolicyException", ct.update_trail, Name="abc", S3BucketName="bare-bucket")
    fails("InvalidS3BucketNameException", ct.update_trail, Name="abc", S3BucketName="")
    assert ct.get_trail(Name="abc")["Trail"]["S3BucketName"] == BUCKET


# -- Logging and status ---------------------------------------------------------------------------------------------------


def test_status_tells_when_logging_was_started_and_stopped(server, ct):
    ct.create_trail(Name="abc", S3BucketName=BUCKET)
    fresh = body(ct.get_trail_status(Name="abc"))
    assert fresh == {
        "IsLogging": False, "LatestDeliveryAttemptTime": "", "LatestNotificationAttemptTime": "",
        "LatestNotificationAttemptSucceeded": "", "LatestDeliveryAttemptSucceeded": "", "TimeLoggingStarted": "",
        "TimeLoggingStopped": ""}
    assert body(ct.start_logging(Name="abc")) == {}
    started = ct.get_trail_status(Name="abc")
    assert started["IsLogging"] and "StopLoggingTime" not in started
    assert abs(started["StartLoggingTime"] - datetime.now(timezone.utc)) < timedelta(seconds=30)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", started["TimeLoggingStarted"])
    time.sleep(1.1)
    ct.start_logging(Name="abc")
    assert ct.get_trail_status(Name="abc")["StartLoggingTime"] == started["StartLoggingTime"]
    assert body(ct.stop_logging(Name="abc")) == {}
    ct.stop_logging(Name="abc")
    stopped = ct.get_trail_status(Name="abc")
    assert not stopped["IsLogging"] and stopped["StopLoggingTime"] > stopped["StartLoggingTime"]
    assert stopped["TimeLoggingStopped"] != ""
    assert body(ct.delete_trail(Name="abc")) == {}
    fails("TrailNotFoundException", ct.get_trail, Name="abc")


# -- Selectors -----------------------------------------------------------------------------------------------------------

STANDARD = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [], "ExcludeManagementEventSources": []}


def test_selectors_are_kept_and_the_default_is_no_custom_one(server, ct):
    ct.create_trail(Name="abc", S3BucketName=BUCKET)
    assert body(ct.get_event_selectors(TrailName="abc")) == {"TrailARN": arn(server, "abc"), "EventSelectors": [STANDARD]}
    selectors = [
        {"ReadWriteType": "WriteOnly", "IncludeManagementEvents": False, "ExcludeManagementEventSources": [],
         "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::b/", "arn:aws:s3:::c/prefix"]}]},
        {**STANDARD, "ExcludeManagementEventSources": ["kms.amazonaws.com", "rdsdata.amazonaws.com"]}]
    put = ct.put_event_selectors(TrailName="abc", EventSelectors=selectors)
    assert body(put) == {"TrailARN": arn(server, "abc"), "EventSelectors": selectors}
    assert ct.get_event_selectors(TrailName="abc")["EventSelectors"] == selectors
    assert ct.get_trail(Name="abc")["Trail"]["HasCustomEventSelectors"] is True
    # A selector that takes nothing is accepted by AWS too; it must be seen for what it is.
    ct.put_event_selectors(TrailName="abc", EventSelectors=[{
        "ReadWriteType": "ReadOnly", "IncludeManagementEvents": False,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": []}, {"Type": "AWS::Lambda::Function", "Values": []}]}])
    ct.put_event_selectors(TrailName="abc", EventSelectors=[STANDARD])
    assert ct.get_trail(Name="abc")["Trail"]["HasCustomEventSelectors"] is False


@pytest.mark.parametrize("selectors, message", [
    ([], "Specify a valid number of selectors (1 to 5) for your trail"),
    ([{}] * 6, "Specify a valid number of selectors (1 to 5) for your trail"),
    ([{"ReadWriteType": "read-only"}], None),
    ([{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::*"]}]}],
     "Value arn:aws:s3:::* for DataResources.Values is invalid."),
    ([{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::*/*"]}]}], None),
    ([{"DataResources": [{"Type": "AWS::S3::Bucket", "Values": []}]}],
     "Value AWS::S3::Bucket for DataResources.Type is invalid. Valid values are: AWS::DynamoDB::Table, "
     "AWS::Lambda::Function, AWS::S3::Object"),
    ([{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["bucket/"]}]}],
     "Value bucket/ for DataResources.Values is invalid."),
    ([{"DataResources": [{"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::b{n}/" for n in range(251)]}]}], None),
    ([{"ExcludeManagementEventSources": ["s3.amazonaws.com"]}], None),
])
def test_selectors_that_break_the_rules(ct, selectors, message):
    ct.create_trail(Name="abc", S3BucketName=BUCKET)
    fails("InvalidEventSelectorsException", ct.put_event_selectors, TrailName="abc", EventSelectors=selectors, message=message)
    assert ct.get_event_selectors(TrailName="abc")["EventSelectors"] == [STANDARD]


def test_advanced_selectors_and_insights_are_refused_plainly(ct):
    ct.create_trail(Name="abc", S3BucketName=BUCKET)
    advanced = [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}]
    fails("UnsupportedOperationException", ct.put_event_selectors, TrailName="abc", AdvancedEventSelectors=advanced)
    fails("InvalidEventSelectorsException", ct.put_event_selectors, TrailName="abc", AdvancedEventSelectors=advanced,
          EventSelectors=[{}])
    fails("InvalidEventSelectorsException", ct.put_event_selectors, TrailName="abc")
    fails("InsightNotEnabledException", ct.get_insight_selectors, TrailName="abc",
          message="Trail abc does not have Insights enabled. Edit the trail settings to enable Insights, and then try the "
                  "operation again.")


# -- Tags ----------------------------------------------------------------------------------------------------------------


def test_tags(server, ct):
    name = ct.create_trail(Name="abc", S3BucketName=BUCKET)["TrailARN"]
    assert body(ct.add_tags(ResourceId=name, TagsList=[{"Key": "a", "Value": "1"}, {"Key": "b"}])) == {}
    ct.add_tags(ResourceId=name, TagsList=[{"Key": "a", "Value": "2"}])
    tags = ct.list_tags(ResourceIdList=[name])["ResourceTagList"]
    assert tags == [{"ResourceId": name, "TagsList": [{"Key": "a", "Value": "2"}, {"Key": "b"}]}]
    assert body(ct.remove_tags(ResourceId=name, TagsList=[{"Key": "a"}, {"Key": "not-there"}])) == {}
    assert ct.list_tags(ResourceIdList=[name])["ResourceTagList"][0]["TagsList"] == [{"Key": "b"}]
    ct.remove_tags(ResourceId=name, TagsList=[{"Key": "b"}])
    assert ct.list_tags(ResourceIdList=[name])["ResourceTagList"][0]["TagsList"] == []


def test_tag_errors(server, ct):
    name = ct.create_trail(Name="abc", S3BucketName=BUCKET)["TrailARN"]
    tag = [{"Key": "a"}]
    channel = f"arn:aws:cloudtrail:us-east-1:{server.account_id}:channel/x"
    for change in (ct.add_tags, ct.remove_tags):
        fails("ResourceNotFoundException", change, ResourceId=arn(server, "nope"), TagsList=tag)
        fails("CloudTrailARNInvalidException", change, ResourceId="abc", TagsList=tag)
        fails("ResourceTypeNotSupportedException", change, ResourceId=channel, TagsList=tag)
        fails("InvalidTagParameterException", change, ResourceId=name, TagsList=tag * 2)
    fails("TagsLimitExceededException", ct.add_tags, ResourceId=name, TagsList=[{"Key": f"k{n}"} for n in range(51)])
    fails("ResourceNotFoundException", ct.list_tags, ResourceIdList=[arn(server, "nope")])
    fails("CloudTrailARNInvalidException", ct.list_tags, ResourceIdList=["abc"])
    fails("ResourceTypeNotSupportedException", ct.list_tags, ResourceIdList=[channel])
    fails("InvalidTokenException", ct.list_tags, ResourceIdList=[name], NextToken="x")
    fails("ValidationException", ct.list_tags, ResourceIdList=[name] * 21)


# -- LookupEvents --------------------------------------------------------------------------------------------------------


def test_look_up_by_each_attribute(server, ct):
    name = ct.create_trail(Name="sought", S3BucketName=BUCKET)["TrailARN"]
    event = next(e for e in server.lookup(EventName="CreateTrail") if "sought" in e["CloudTrailEvent"])
    record = json.loads(event["CloudTrailEvent"])
    assert event["EventId"] == record["eventID"]
    assert event["EventSource"] == "cloudtrail.amazonaws.com"
    assert event["ReadOnly"] == "false"
    assert event["AccessKeyId"] == server.access_key
    assert event["Username"] == "root"
    assert event["EventTime"].timestamp() == datetime.fromisoformat(record["eventTime"]).timestamp()
    assert {"ResourceType": "AWS::S3::Bucket", "ResourceName": BUCKET} in event["Resources"]
    for key, value in [("EventId", event["EventId"]), ("EventName", "CreateTrail"), ("ReadOnly", "false"),
                       ("Username", "root"), ("ResourceType", "AWS::CloudTrail::Trail"), ("ResourceName", name),
                       ("ResourceName", "sought"), ("EventSource", "cloudtrail.amazonaws.com"),
                       ("AccessKeyId", server.access_key)]:
        assert event["EventId"] in [e["EventId"] for e in server.lookup(**{key: value})], (key, value)
        assert server.lookup(**{key: "no-such-value" if key != "ReadOnly" else "true"}) == [] or key == "ReadOnly"
    assert event["EventId"] not in [e["EventId"] for e in server.lookup(ReadOnly="true")]


def test_look_up_in_pages_newest_first(server, ct):
    for _ in range(12):
        server.client("sts").get_caller_identity()
    attribute = [{"AttributeKey": "EventName", "AttributeValue": "GetCallerIdentity"}]
    every = ct.lookup_events(LookupAttributes=attribute)["Events"]
    times = [event["EventTime"] for event in every]
    assert len(every) >= 12 and times == sorted(times, reverse=True)
    paged, token = [], None
    while len(paged) < 12:
        page = ct.lookup_events(LookupAttributes=attribute, MaxResults=5, **({"NextToken": token} if token else {}))
        assert len(page["Events"]) <= 5
        paged += page["Events"]
        token = page.get("NextToken")
        if not token:
            break
    assert [e["EventId"] for e in paged[:12]] == [e["EventId"] for e in every[:12]]
    first = ct.lookup_events(LookupAttributes=attribute, MaxResults=1)
    fails("InvalidNextTokenException", ct.lookup_events, NextToken=first["NextToken"],
          LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateTrail"}])
    fails("InvalidNextTokenException", ct.lookup_events, NextToken="garbage")


def test_look_up_in_a_time_range_and_region(server, ct):
    moment = datetime.now(timezone.utc).replace(microsecond=0)
    server.client("sts").get_caller_identity()
    assert server.lookup(start=moment - timedelta(hours=1), EventName="GetCallerIdentity")
    assert server.lookup(end=moment - timedelta(hours=1)) == []
    assert server.lookup(start=moment + timedelta(hours=1)) == []
    assert server.lookup(region="ap-south-1", EventName="GetCallerIdentity") == []
    assert server.lookup(category="insight") == []


def test_look_up_errors(ct):
    one = {"AttributeKey": "EventId", "AttributeValue": "x"}
    fails("InvalidLookupAttributesException", ct.lookup_events, LookupAttributes=[one, one])
    fails("InvalidLookupAttributesException", ct.lookup_events, LookupAttributes=[{"AttributeKey": "Nope", "AttributeValue": "x"}])
    later = datetime.now(timezone.utc)
    fails("InvalidTimeRangeException", ct.lookup_events, StartTime=later, EndTime=later - timedelta(seconds=5))
    fails("InvalidMaxResultsException", ct.lookup_events, MaxResults=51)
    fails("InvalidEventCategoryException", ct.lookup_events, EventCategory="data")


def test_what_sdks_would_not_send(server):
    for parameters, code in [
        ({"LookupAttributes": [{"AttributeKey": "EventId", "AttributeValue": ""}]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [{"AttributeKey": "EventId", "AttributeValue": "x" * 2001}]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [{"AttributeKey": "EventId", "AttributeValue": "_" * 1001}]}, "InvalidLookupAttributesException"),
        ({"MaxResults": 0}, "InvalidMaxResultsException"), ({"MaxResults": "many"}, "SerializationException"),
        ({"StartTime": "yesterday"}, "SerializationException"), ({"Unknown": 1}, "ValidationException"),
    ]:
        answer = server.cloudtrail("LookupEvents", parameters)
        assert (answer.status, answer.code) == (400, code), parameters
    for operation in ["CreateTrail", "GetTrail", "DeleteTrail", "StartLogging", "PutEventSelectors", "AddTags", "ListTags"]:
        answer = server.cloudtrail(operation, {})
        assert (answer.status, answer.code) == (400, "ValidationException"), operation


# -- What the events of these operations show -------------------------------------------------------------------------------


def test_the_events_of_trail_operations(server, ct):
    ct.create_trail(Name="shown", S3BucketName=BUCKET, TagsList=[{"Key": "k", "Value": "v"}])
    created = next(e for e in server.events(EventName="CreateTrail") if e["requestParameters"].get("name") == "shown")
    assert created["requestParameters"] == {
        "name": "shown", "s3BucketName": BUCKET, "tagsList": [{"key": "k", "value": "v"}]}
    assert created["responseElements"] == {
        "name": "shown", "s3BucketName": BUCKET, "includeGlobalServiceEvents": True, "isMultiRegionTrail": False,
        "trailARN": arn(server, "shown"), "logFileValidationEnabled": False, "isOrganizationTrail": False}
    assert "resources" not in created
    assert created["readOnly"] is False and created["eventCategory"] == "Management"
    started = server.event_of(ct.start_logging(Name="shown"))
    assert started["requestParameters"] == {"name": "shown"} and started["responseElements"] is None
    read = server.event_of(ct.get_trail(Name="shown"))
    assert read["readOnly"] is True and read["responseElements"] is None
    with pytest.raises(ClientError) as caught:
        ct.stop_logging(Name="unknown-one")
    failed = server.event_of(caught.value)
    assert failed["errorCode"] == "TrailNotFoundException"
    assert failed["errorMessage"] == (
        f"Unknown trail: {arn(server, 'unknown-one')} for the user: {server.account_id}")
    assert failed["requestParameters"] == {"name": "unknown-one"} and failed["responseElements"] is None
