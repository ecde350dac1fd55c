# SPDX-License-Identifier: Apache-2.0
"""Trails whose log files and digests lie under a key of KMS."""

import gzip
import json
from datetime import datetime, timedelta, timezone

import boto3
import botocore.config
import pytest

from conftest import code_of, error_of, wait_until


def key_policy(server, trail="*"):
    """What CloudTrail's guide tells to set."""
    arn = f"arn:aws:cloudtrail:{server.region}:{server.account_id}:trail/{trail}"
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Sid": "root", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{server.account_id}:root"},
         "Action": "kms:*", "Resource": "*"},
        {"Sid": "encrypt", "Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
         "Action": "kms:GenerateDataKey*", "Resource": "*",
         "Condition": {"StringEquals" if "*" not in arn else "ArnLike": {"aws:SourceArn": arn},
                       "StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn":
                                      f"arn:aws:cloudtrail:*:{server.account_id}:trail/*"}}},
        {"Sid": "describe", "Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
         "Action": "kms:DescribeKey", "Resource": "*"}]})


def reader(server, name, *actions):
    iam = server.client("iam")
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}))
    return boto3.client("s3", endpoint_url=server.endpoint, region_name=server.region,
                        aws_access_key_id=made["AccessKeyId"], aws_secret_access_key=made["SecretAccessKey"],
                        config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}))


@pytest.fixture(scope="module")
def made(server):
    """A trail that logs under a key, with a digest delivered."""
    kms = server.client("kms")
    key = kms.create_key(Policy=key_policy(server, "sealed"))["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/logs", TargetKeyId=key)
    server.make_bucket("sealed-logs")
    cloudtrail = server.client("cloudtrail")
    answer = cloudtrail.create_trail(Name="sealed", S3BucketName="sealed-logs", KmsKeyId="alias/logs",
                                     EnableLogFileValidation=True, IsMultiRegionTrail=True)
    assert answer["KmsKeyId"] == key
    event = server.event_of(answer, EventName="CreateTrail")
    assert event["requestParameters"]["kmsKeyId"] == "alias/logs" and event["responseElements"]["kmsKeyId"] == key
    cloudtrail.start_logging(Name="sealed")
    return key, answer["TrailARN"]


def objects_of(server, folder):
    return [name for name in server.keys("sealed-logs") if f"/{folder}/" in name]


def test_log_files_and_digests_are_delivered_under_the_key(server, made):
    key, arn = made
    s3 = server.client("s3")
    log = wait_until(lambda: objects_of(server, "CloudTrail"), 20, what="a log file")[0]
    digest = wait_until(lambda: objects_of(server, "CloudTrail-Digest"), 20, what="a digest")[0]
    for name in (log, digest):
        head = s3.head_object(Bucket="sealed-logs", Key=name)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
    assert server.log_file("sealed-logs", log)
    use = server.events(EventName="GenerateDataKey", at_least=1, where=lambda event: event.get(
        "requestParameters", {}).get("encryptionContext", {}).get("aws:s3:arn", "").endswith(log))[0]
    assert use["userIdentity"] == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"} or (
        use["userIdentity"]["invokedBy"] == "cloudtrail.amazonaws.com")
    assert use["requestParameters"]["encryptionContext"] == {
        "aws:cloudtrail:arn": arn, "aws:s3:arn": f"arn:aws:s3:::sealed-logs/{log}"}
    assert use["sourceIPAddress"] == use["userAgent"] == "cloudtrail.amazonaws.com"
    assert use["resources"][0]["ARN"] == key and use["requestID"]
    assert "LatestDeliveryError" not in server.client("cloudtrail").get_trail_status(Name="sealed")


def test_reading_needs_the_object_and_the_key(server, made):
    key, _ = made
    log = wait_until(lambda: objects_of(server, "CloudTrail"), 20, what="a log file")[0]
    ask = dict(Bucket="sealed-logs", Key=log)
    both = reader(server, "reads-both", "s3:GetObject", "kms:Decrypt")
    assert json.loads(gzip.decompress(both.get_object(**ask)["Body"].read()))["Records"]
    error = error_of(reader(server, "reads-object", "s3:GetObject").get_object, **ask)
    assert code_of(error) == "AccessDenied"
    assert f"kms:Decrypt on resource: {key} because no identity-based policy allows" in str(error)
    error = error_of(reader(server, "reads-key", "kms:Decrypt").get_object, **ask)
    assert code_of(error) == "AccessDenied" and "s3:GetObject" in str(error)


def test_the_validator_passes_over_it(server, made):
    _, arn = made
    wait_until(lambda: len(objects_of(server, "CloudTrail-Digest")) >= 2, 30, what="two digests")
    start = (datetime.now(timezone.utc) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    done = server.aws("cloudtrail", "validate-logs", "--trail-arn", arn, "--start-time", start, "--verbose")
    assert "invalid" not in done.stdout.lower().replace("0 invalid", ""), done.stdout
    assert "digest files valid" in done.stdout and "log files valid" in done.stdout


def test_a_key_that_refuses_is_told_by_the_status(server, made):
    key, _ = made
    kms, cloudtrail = server.client("kms"), server.client("cloudtrail")
    kms.disable_key(KeyId=key)
    status = wait_until(lambda: cloudtrail.get_trail_status(Name="sealed").get("LatestDeliveryError"), 20,
                        what="a failed delivery")
    assert status == "KMS.DisabledException"
    kms.enable_key(KeyId=key)
    kms.put_key_policy(KeyId=key, Policy=key_policy(server, "another"))
    cloudtrail.update_trail(Name="sealed", EnableLogFileValidation=True)  # tries again at once
    wait_until(lambda: cloudtrail.get_trail_status(Name="sealed").get("LatestDeliveryError") == "AccessDenied", 20,
               what="a delivery that the key's policy refuses")
    kms.put_key_policy(KeyId=key, Policy=key_policy(server, "sealed"))
    cloudtrail.update_trail(Name="sealed", EnableLogFileValidation=True)
    wait_until(lambda: "LatestDeliveryError" not in cloudtrail.get_trail_status(Name="sealed"), 20,
               what="a delivery that succeeds")


def test_what_a_trail_needs_of_its_key(server):
    kms, cloudtrail = server.client("kms"), server.client("cloudtrail")
    server.make_bucket("needs-logs")
    ask = dict(Name="needs", S3BucketName="needs-logs")
    closed = kms.create_key()["KeyMetadata"]["Arn"]
    error = error_of(cloudtrail.create_trail, KmsKeyId=closed, **ask)
    assert code_of(error) == "InsufficientEncryptionPolicyException"
    assert f"Insufficient permissions to access S3 bucket needs-logs or KMS key {closed}." in str(error)
    unknown = closed[:-12] + "000000000000"
    for name, code in [
            ("not a key", "InvalidKmsKeyIdException"), (unknown, "KmsKeyNotFoundException"),
            ("alias/none", "KmsKeyNotFoundException"),
            (closed.replace(server.region, "eu-west-1"), "KmsKeyNotFoundException")]:
        assert code_of(error_of(cloudtrail.create_trail, KmsKeyId=name, **ask)) == code
    # The key lies where the bucket does.
    far = server.client("kms", region_name="eu-west-1").create_key(Policy=key_policy(server))["KeyMetadata"]["Arn"]
    assert code_of(error_of(cloudtrail.create_trail, KmsKeyId=far, **ask)) == "KmsKeyNotFoundException"
    kms.disable_key(KeyId=closed)
    assert code_of(error_of(cloudtrail.create_trail, KmsKeyId=closed, **ask)) == "KmsException"
    cloudtrail.create_trail(**ask)
    assert code_of(error_of(cloudtrail.update_trail, Name="needs", KmsKeyId=closed)) == "KmsException"
    opened = kms.create_key(Policy=key_policy(server))["KeyMetadata"]["Arn"]
    assert cloudtrail.update_trail(Name="needs", KmsKeyId=opened)["KmsKeyId"] == opened
    assert cloudtrail.get_trail(Name="needs")["Trail"]["KmsKeyId"] == opened
    assert "KmsKeyId" not in cloudtrail.update_trail(Name="needs", KmsKeyId="")
    cloudtrail.delete_trail(Name="needs")
