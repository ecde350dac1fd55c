# SPDX-License-Identifier: Apache-2.0
"""What CloudTrail tells a trail's topic of each log file, and what S3 tells queues and topics of objects."""

import json

import pytest

from conftest import code_of, error_of, wait_until


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


@pytest.fixture(scope="module")
def sns(server):
    return server.client("sns")


def fails(code, call, **parameters):
    error = error_of(call, **parameters)
    assert code_of(error) == code, error
    return error


def allow(service, action, resource, source):
    return json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": service}, "Action": action, "Resource": resource,
        "Condition": {"ArnLike": {"aws:SourceArn": source}}}]})


def make_queue(sqs, name, service=None, source=None):
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    if service:
        sqs.set_queue_attributes(
            QueueUrl=url, Attributes={"Policy": allow(service, "sqs:SendMessage", arn, source)})
    return url, arn


def make_topic(server, name, service, source, queue_name):
    """A topic that a service may publish to, with a queue that takes it in: the topic's ARN and the queue's URL."""
    sns, sqs = server.client("sns"), server.client("sqs")
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=allow(
        service, "sns:Publish", topic, source))
    url, arn = make_queue(sqs, queue_name, "sns.amazonaws.com", topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic, url


def take(sqs, url, wait=1):
    messages = []
    while True:
        got = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait).get("Messages", [])
        for message in got:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        messages += [json.loads(message["Body"]) for message in got]
        if not got or wait == 0:
            return messages
        wait = 0


def test_a_trail_tells_its_topic_of_each_log_file(server, sns, sqs):
    ct = server.client("cloudtrail")
    bucket = server.make_bucket("noticed-logs")
    arn = f"arn:aws:cloudtrail:us-east-1:{server.account_id}:trail/noticed"
    fails("InsufficientSnsTopicPolicyException", ct.create_trail, Name="noticed", S3BucketName=bucket, SnsTopicName="files")
    for name in ("a b", "x" * 257, "arn:aws:sqs:us-east-1:111122223333:files"):
        fails("InvalidSnsTopicNameException", ct.create_trail, Name="noticed", S3BucketName=bucket, SnsTopicName=name)
    topic = sns.create_topic(Name="files")["TopicArn"]
    # The policy that a topic is born with does not let CloudTrail in.
    fails("InsufficientSnsTopicPolicyException", ct.create_trail, Name="noticed", S3BucketName=bucket, SnsTopicName="files")
    topic, url = make_topic(server, "files", "cloudtrail.amazonaws.com", arn, "files-inbox")
    fails("InsufficientSnsTopicPolicyException", ct.create_trail, Name="other", S3BucketName=bucket, SnsTopicName="files")
    made = ct.create_trail(Name="noticed", S3BucketName=bucket, SnsTopicName="files")
    assert (made["SnsTopicName"], made["SnsTopicARN"]) == ("files", topic)
    assert [message["Message"] for message in take(sqs, url)] == ["CloudTrail validation message."]
    status = ct.get_trail_status(Name="noticed")
    assert status["LatestNotificationAttemptTime"] == "" and "LatestNotificationTime" not in status

    ct.start_logging(Name="noticed")
    prefix = f"AWSLogs/{server.account_id}/CloudTrail/"
    wait_until(lambda: server.keys(bucket, prefix), 20)
    notice = wait_until(lambda: take(sqs, url), 20)[0]
    assert "Subject" not in notice and notice["TopicArn"] == topic
    told = json.loads(notice["Message"])
    assert list(told) == ["s3Bucket", "s3ObjectKey"] and told["s3Bucket"] == bucket
    assert told["s3ObjectKey"][0] == server.keys(bucket, prefix)[0] and len(told["s3ObjectKey"]) == 1
    status = wait_until(lambda: (lambda s: s.get("LatestNotificationTime") and s)(ct.get_trail_status(Name="noticed")))
    assert status["LatestNotificationAttemptSucceeded"] == status["LatestNotificationAttemptTime"] != ""
    assert "LatestNotificationError" not in status
    assert ct.get_trail(Name="noticed")["Trail"]["SnsTopicARN"] == topic

    # A topic that takes no more is shown, and log files go on.
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue="")
    server.client("sts").get_caller_identity()
    status = wait_until(
        lambda: (lambda s: s.get("LatestNotificationError") and s)(ct.get_trail_status(Name="noticed")), 20)
    assert status["LatestNotificationError"] == "AuthorizationError" and "LatestDeliveryError" not in status
    ct.update_trail(Name="noticed", SnsTopicName="")
    shown = ct.get_trail(Name="noticed")["Trail"]
    assert "SnsTopicName" not in shown and "SnsTopicARN" not in shown
    assert ct.get_trail_status(Name="noticed")["LatestNotificationAttemptTime"] == ""
    fails("InsufficientSnsTopicPolicyException", ct.update_trail, Name="noticed", SnsTopicName=topic)
    ct.delete_trail(Name="noticed")


def test_a_bucket_tells_a_queue_of_its_objects(server, sqs):
    s3 = server.client("s3")
    bucket = server.make_bucket("told", policy=False)
    url, queue = make_queue(sqs, "told")
    ask = {"Bucket": bucket, "NotificationConfiguration": {"QueueConfigurations": [{
        "Id": "new", "QueueArn": queue, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
        "Filter": {"Key": {"FilterRules": [
            {"Name": "prefix", "Value": "in/"}, {"Name": "suffix", "Value": ".json"}]}}}]}}
    error = fails("InvalidArgument", s3.put_bucket_notification_configuration, **ask)
    assert error.response["Error"]["Message"] == "Unable to validate the following destination configurations"
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    make_queue(sqs, "told", "s3.amazonaws.com", f"arn:aws:s3:::{bucket}")
    s3.put_bucket_notification_configuration(**ask)
    test = take(sqs, url)
    assert [(message["Service"], message["Event"], message["Bucket"]) for message in test] == [
        ("Amazon S3", "s3:TestEvent", bucket)]
    assert s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"][0]["Id"] == "new"

    put = s3.put_object(Bucket=bucket, Key="in/a b+c.json", Body=b"12345")
    s3.put_object(Bucket=bucket, Key="in/other.txt", Body=b"1")
    s3.put_object(Bucket=bucket, Key="out/a.json", Body=b"1")
    s3.copy_object(Bucket=bucket, Key="in/copy.json", CopySource={"Bucket": bucket, "Key": "out/a.json"})
    s3.delete_object(Bucket=bucket, Key="in/copy.json")
    records = []
    wait_until(lambda: (records.extend(r for m in take(sqs, url) for r in m["Records"]) or len(records) >= 3), 15)
    records.sort(key=lambda record: record["s3"]["object"]["sequencer"])
    assert [record["eventName"] for record in records] == [
        "ObjectCreated:Put", "ObjectCreated:Copy", "ObjectRemoved:Delete"]
    record = records[0]
    assert record["eventSource"] == "aws:s3" and record["awsRegion"] == "us-east-1" and record["eventVersion"] == "2.1"
    assert record["s3"]["configurationId"] == "new" and record["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{bucket}"
    assert record["s3"]["object"]["key"] == "in/a+b%2Bc.json"
    assert record["s3"]["object"]["size"] == 5 and record["s3"]["object"]["eTag"] == put["ETag"].strip('"')
    assert record["responseElements"]["x-amz-request-id"] == put["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]


def test_a_bucket_tells_a_topic_of_log_files(server, sqs):
    # The usual way of collectors: a trail's bucket tells a topic, and the topic a queue.
    bucket = server.make_bucket("collected-logs")
    topic, url = make_topic(server, "collected", "s3.amazonaws.com", f"arn:aws:s3:::{bucket}", "collected-inbox")
    server.client("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
        "TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"], "Filter": {
            "Key": {"FilterRules": [{"Name": "suffix", "Value": ".json.gz"}]}}}]})
    envelope = take(sqs, url)[0]
    assert envelope["Subject"] == "Amazon S3 Notification" and json.loads(envelope["Message"])["Event"] == "s3:TestEvent"
    server.make_trail("collected", bucket)
    envelope = wait_until(lambda: take(sqs, url), 20)[0]
    record = json.loads(envelope["Message"])["Records"][0]
    key = record["s3"]["object"]["key"]
    assert "/CloudTrail/" in key and server.log_file(bucket, key)
    server.client("cloudtrail").delete_trail(Name="collected")


def test_notices_survive_a_kill(make_server):
    server = make_server()
    sqs, s3 = server.client("sqs"), server.client("s3")
    bucket = server.make_bucket("survivors", policy=False)
    url, queue = make_queue(sqs, "survivors", "s3.amazonaws.com", f"arn:aws:s3:::{bucket}")
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
        "QueueConfigurations": [{"QueueArn": queue, "Events": ["s3:ObjectCreated:Put"]}]})
    for number in range(20):
        s3.put_object(Bucket=bucket, Key=f"k{number:02}", Body=b"x")
    server.kill()
    server.start()
    sqs = server.client("sqs")
    url = sqs.get_queue_url(QueueName="survivors")["QueueUrl"]
    told = set()
    wait_until(lambda: told.update(
        record["s3"]["object"]["key"] for message in take(sqs, url) for record in message.get("Records", []))
        or len(told) == 20, 20)
    assert told == {f"k{number:02}" for number in range(20)}
