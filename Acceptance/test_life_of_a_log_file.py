# SPDX-License-Identifier: Apache-2.0
"""The life of a log file, from its delivery to its end, on one data folder whose clock is turned between starts.

The server's clock is the system's and an offset (`--clock-offset`). The file is delivered 130 days ago and archived and
restored today, so that the AWS CLI, which only knows today, can validate it; it expires in the year that follows. Clients
sign by the server's clock. The notice goes to the trail's topic, which a queue has subscribed to.
"""

import gzip
import json
from datetime import datetime, timedelta, timezone

import boto3
import botocore.config

from conftest import code_of, days_away, error_of, start_on_day, wait_until

BUCKET = "life-logs"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def key_policy(server):
    account = server.account_id
    return document(
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "kms:GenerateDataKey*",
         "Resource": "*", "Condition": {
             "StringEquals": {"aws:SourceArn": f"arn:aws:cloudtrail:{server.region}:{account}:trail/life"},
             "StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{account}:trail/*"}}})


def make_inbox(server):
    """A topic that CloudTrail may tell of the trail's files, and the URL of a queue that takes what the topic tells."""
    account, sns, sqs = server.account_id, server.client("sns"), server.client("sqs")
    topic = sns.create_topic(Name="life-files")["TopicArn"]
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=document(
        {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "SNS:Publish",
         "Resource": topic, "Condition": {"StringEquals": {
             "aws:SourceArn": f"arn:aws:cloudtrail:{server.region}:{account}:trail/life"}}}))
    queue = f"arn:aws:sqs:{server.region}:{account}:life-inbox"
    url = sqs.create_queue(QueueName="life-inbox", Attributes={"Policy": document(
        {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
         "Resource": queue, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}})})["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    return url


def told(server, url):
    """The keys of which the queue has been told, which are then forgotten there."""
    sqs, keys = server.client("sqs"), []
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", []):
        text = json.loads(message["Body"])["Message"]
        if text.startswith("{"):  # the first one says that the topic was tried
            notice = json.loads(text)
            assert notice["s3Bucket"] == BUCKET
            keys += notice["s3ObjectKey"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return keys


def make_role(server, name, *actions):
    iam = server.client("iam")
    account = server.account_id
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}))
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(
        {"Effect": "Allow", "Action": list(actions), "Resource": "*"}))


def as_role(server, user, name):
    """S3 as a session of the role sees it."""
    def made(service, key):
        return boto3.client(
            service, endpoint_url=server.endpoint, region_name=server.region, aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"], aws_session_token=key.get("SessionToken"),
            config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}))

    session = made("sts", user).assume_role(
        RoleArn=f"arn:aws:iam::{server.account_id}:role/{name}", RoleSessionName="life")
    return made("s3", session["Credentials"])


def test_the_life_of_a_log_file(make_server):
    server = make_server(delivery_interval="1s", digest_interval="2s", clock_offset="-130d", started=False)
    server.start()
    with days_away(-130):
        # Made: a key, a bucket whose rule archives after 90 days and ends after a year, a trail, and who may read.
        account = server.account_id
        s3, cloudtrail, iam = server.client("s3"), server.client("cloudtrail"), server.client("iam")
        key = server.client("kms").create_key(Policy=key_policy(server))["KeyMetadata"]["Arn"]
        server.make_bucket(BUCKET)
        folder = f"AWSLogs/{account}/CloudTrail/"
        s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [{
            "ID": "age", "Status": "Enabled",
            "Filter": {"And": {"Prefix": folder, "ObjectSizeGreaterThan": 1}},
            "Transitions": [{"Days": 90, "StorageClass": "GLACIER"}], "Expiration": {"Days": 365}}]})
        iam.create_user(UserName="auditor")
        user = iam.create_access_key(UserName="auditor")["AccessKey"]
        iam.put_user_policy(UserName="auditor", PolicyName="p", PolicyDocument=document(
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}))
        make_role(server, "reader", "s3:GetObject", "s3:RestoreObject", "kms:Decrypt")
        make_role(server, "without-key", "s3:GetObject")
        inbox = make_inbox(server)
        trail = cloudtrail.create_trail(
            Name="life", S3BucketName=BUCKET, KmsKeyId=key, EnableLogFileValidation=True,
            SnsTopicName="life-files")["TrailARN"]
        cloudtrail.start_logging(Name="life")
        marker = server.client("sts").get_caller_identity()["ResponseMetadata"]["RequestId"]

        # Delivered under the key.
        def holds(name):
            return any(record.get("requestID") == marker for record in server.log_file(BUCKET, name))

        log = wait_until(lambda: next((name for name in server.keys(BUCKET, folder) if holds(name)), None), 20,
                         what="the log file with the call")
        head = s3.head_object(Bucket=BUCKET, Key=log)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
        assert "StorageClass" not in head
        assert abs((head["LastModified"] - datetime.now(timezone.utc) + timedelta(days=130)).total_seconds()) < 3600
        content = s3.get_object(Bucket=BUCKET, Key=log)["Body"].read()

        # The notice was sent.
        known = []
        wait_until(lambda: known.extend(told(server, inbox)) or log in known, 20, what="the notice of the file")
        assert cloudtrail.get_trail_status(Name="life")["LatestNotificationAttemptSucceeded"]

        # Read by the role that may, and by no other.
        ask = dict(Bucket=BUCKET, Key=log)
        assert as_role(server, user, "reader").get_object(**ask)["Body"].read() == content
        error = error_of(as_role(server, user, "without-key").get_object, **ask)
        assert code_of(error) == "AccessDenied" and "kms:Decrypt" in str(error)
        cloudtrail.stop_logging(Name="life")
        digests = f"AWSLogs/{account}/CloudTrail-Digest/"

        def is_digested():
            return any(log in gzip.decompress(server.body(BUCKET, name)).decode() for name in server.keys(BUCKET, digests))

        wait_until(is_digested, 20, what="the digest that lists the log file")

    # Archived: 130 days later, which is today.
    start_on_day(server, 0)
    s3 = server.client("s3")
    wait_until(lambda: s3.head_object(**ask).get("StorageClass") == "GLACIER", 20, what="the transition to GLACIER")
    reader = as_role(server, user, "reader")
    assert code_of(error_of(reader.get_object, **ask)) == "InvalidObjectState"
    since = (datetime.now(timezone.utc) - timedelta(days=131)).strftime("%Y-%m-%dT%H:%M:%SZ")
    validate = ("cloudtrail", "validate-logs", "--trail-arn", trail, "--start-time", since, "--verbose")
    assert f"{log}\tvalid" not in server.aws(*validate, check=False).stdout

    # Restored, read and validated.
    for name in server.keys(BUCKET, folder):
        reader.restore_object(Bucket=BUCKET, Key=name, RestoreRequest={
            "Days": 2, "GlacierJobParameters": {"Tier": "Standard"}})
    head = s3.head_object(**ask)
    assert head["StorageClass"] == "GLACIER" and 'ongoing-request="false"' in head["Restore"]
    assert reader.get_object(**ask)["Body"].read() == content
    assert code_of(error_of(as_role(server, user, "without-key").get_object, **ask)) == "AccessDenied"
    done = server.aws(*validate).stdout
    assert f"{log}\tvalid" in done and "INVALID" not in done, done

    # The restored copy ends, and the archived one can be restored again.
    start_on_day(server, 4)
    with days_away(4):
        assert code_of(error_of(as_role(server, user, "reader").get_object, **ask)) == "InvalidObjectState"

    # Expired: a year after its delivery.
    start_on_day(server, 240)
    with days_away(240):
        s3 = server.client("s3")
        wait_until(lambda: log not in server.keys(BUCKET, folder), 20, what="the file's expiration")
        assert code_of(error_of(s3.get_object, **ask)) == "NoSuchKey"
        assert server.keys(BUCKET, digests), "the digests are under no rule"
