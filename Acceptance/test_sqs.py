# SPDX-License-Identifier: Apache-2.0
"""SQS as boto3 and the AWS CLI use it: queues, messages and their digests, visibility, long polls, dead letters, policies, what
survives a kill, and the events of all that.
"""

import json
import threading
import time

import boto3
import botocore.config
import pytest

from conftest import code_of, error_of, wait_until


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


@pytest.fixture()
def queue(sqs, request):
    url = sqs.create_queue(QueueName="q-" + request.node.name.replace("[", "-").replace("]", "")[:60])["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def fails(code, call, **parameters):
    error = error_of(call, **parameters)
    assert code_of(error) == code, error
    return error


def bodies(sqs, url, **more):
    got = sqs.receive_message(QueueUrl=url, **{"MaxNumberOfMessages": 10, **more}).get("Messages", [])
    return sorted(message["Body"] for message in got)


def attributes(sqs, url, *names):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names) or ["All"]).get("Attributes", {})


def user(server, name, *statements):
    iam = server.client("iam")
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": list(statements)}))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.client(
        "sqs", endpoint_url=server.endpoint, region_name=server.region, aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"], config=botocore.config.Config(retries={"total_max_attempts": 1}))


def test_a_queue_is_made_once_found_and_changed(server, sqs):
    made = sqs.create_queue(
        QueueName="jobs", Attributes={"VisibilityTimeout": "7", "DelaySeconds": "0"}, tags={"team": "audit"})
    url = made["QueueUrl"]
    assert url == f"{server.endpoint}/{server.account_id}/jobs"
    assert sqs.create_queue(QueueName="jobs", Attributes={"VisibilityTimeout": "7"})["QueueUrl"] == url
    error = error_of(sqs.create_queue, QueueName="jobs", Attributes={"VisibilityTimeout": "8"})
    assert isinstance(error, sqs.exceptions.QueueNameExists) and code_of(error) == "QueueAlreadyExists"
    assert sqs.get_queue_url(QueueName="jobs")["QueueUrl"] == url
    assert url in sqs.list_queues(QueueNamePrefix="jo")["QueueUrls"]
    shown = attributes(sqs, url)
    assert shown["QueueArn"] == f"arn:aws:sqs:us-east-1:{server.account_id}:jobs"
    assert shown["VisibilityTimeout"] == "7" and shown["MessageRetentionPeriod"] == "345600"
    assert shown["SqsManagedSseEnabled"] == "true" and shown["ApproximateNumberOfMessages"] == "0"
    assert attributes(sqs, url, "DelaySeconds") == {"DelaySeconds": "0"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "60", "MaximumMessageSize": "2048"})
    assert attributes(sqs, url, "MessageRetentionPeriod") == {"MessageRetentionPeriod": "60"}
    sqs.tag_queue(QueueUrl=url, Tags={"stage": "test"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["team"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"stage": "test"}
    sqs.delete_queue(QueueUrl=url)
    error = error_of(sqs.get_queue_url, QueueName="jobs")
    assert isinstance(error, sqs.exceptions.QueueDoesNotExist)
    assert code_of(error) == "AWS.SimpleQueueService.NonExistentQueue"
    record = server.event_of(made)
    assert record["eventSource"] == "sqs.amazonaws.com" and record["managementEvent"] is True
    assert record["requestParameters"] == {
        "queueName": "jobs", "attributes": {"VisibilityTimeout": "7", "DelaySeconds": "0"}, "tags": {"team": "audit"}}
    assert record["responseElements"] == {"queueUrl": url}


@pytest.mark.parametrize("attributes, code", [
    ({"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
    ({"DelaySeconds": "x"}, "InvalidAttributeValue"),
    ({"NoSuch": "1"}, "InvalidAttributeName"),
    ({"FifoQueue": "true"}, "AWS.SimpleQueueService.UnsupportedOperation"),
    ({"KmsMasterKeyId": "alias/aws/sqs"}, "AWS.SimpleQueueService.UnsupportedOperation"),
    ({"Policy": "{"}, "InvalidAttributeValue"),
    ({"RedrivePolicy": json.dumps({"deadLetterTargetArn": "arn:aws:sqs:us-east-1:111122223333:x",
                                   "maxReceiveCount": 3})}, "InvalidAttributeValue"),
])
def test_what_cannot_be_is_refused_and_nothing_is_made(sqs, attributes, code):
    fails(code, sqs.create_queue, QueueName="never", Attributes=attributes)
    fails("AWS.SimpleQueueService.NonExistentQueue", sqs.get_queue_url, QueueName="never")


def test_names_are_checked(sqs):
    fails("InvalidParameterValue", sqs.create_queue, QueueName="a b")
    fails("AWS.SimpleQueueService.UnsupportedOperation", sqs.create_queue, QueueName="a.fifo")


def test_messages_come_with_the_digests_that_clients_check(server, sqs, queue):
    # boto3 itself compares the digests of bodies and attributes with its own.
    named = {"kind": {"DataType": "String", "StringValue": "däta"}, "n": {"DataType": "Number", "StringValue": "1.5"},
             "raw": {"DataType": "Binary.gif", "BinaryValue": b"\x00\x01\xff"}}
    sent = sqs.send_message(
        QueueUrl=queue, MessageBody="secret words \u2603", MessageAttributes=named,
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2-3"}})
    got = sqs.receive_message(
        QueueUrl=queue, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])["Messages"][0]
    assert got["Body"] == "secret words \u2603" and got["MessageId"] == sent["MessageId"]
    assert got["MessageAttributes"] == named
    assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert got["Attributes"]["ApproximateReceiveCount"] == "1"
    assert got["Attributes"]["AWSTraceHeader"] == "Root=1-2-3"
    assert set(got["Attributes"]) == {
        "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "AWSTraceHeader"}
    assert bodies(sqs, queue) == [], "in flight"
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=got["ReceiptHandle"])
    assert attributes(sqs, queue, "ApproximateNumberOfMessagesNotVisible") == {
        "ApproximateNumberOfMessagesNotVisible": "0"}
    record = server.data_event_of(sent)
    assert record["eventCategory"] == "Data" and record["managementEvent"] is False
    assert record["requestParameters"]["messageBody"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert record["requestParameters"]["messageAttributes"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert record["responseElements"]["messageId"] == sent["MessageId"]
    assert record["responseElements"]["mD5OfMessageBody"] == sent["MD5OfMessageBody"]
    assert record["resources"] == [{
        "accountId": server.account_id, "type": "AWS::SQS::Queue",
        "ARN": f"arn:aws:sqs:us-east-1:{server.account_id}:{queue.rsplit('/', 1)[1]}"}]
    assert "secret words" not in json.dumps(record)


def test_a_message_is_hidden_as_long_as_it_is_told_to_be(sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="m")
    first = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=600)["Messages"][0]
    assert bodies(sqs, queue) == []
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    second = sqs.receive_message(
        QueueUrl=queue, MessageSystemAttributeNames=["ApproximateReceiveCount"], VisibilityTimeout=1)["Messages"][0]
    assert second["Attributes"] == {"ApproximateReceiveCount": "2"}
    # The older receipt deletes nothing.
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"])
    # A long poll gets it the moment it is visible again.
    third = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"][0]
    assert third["MessageId"] == first["MessageId"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=third["ReceiptHandle"])
    fails("AWS.SimpleQueueService.MessageNotInflight", sqs.change_message_visibility, QueueUrl=queue,
          ReceiptHandle=third["ReceiptHandle"], VisibilityTimeout=5)
    fails("ReceiptHandleIsInvalid", sqs.delete_message, QueueUrl=queue, ReceiptHandle="nonsense")


def test_a_long_poll_returns_when_a_message_comes(sqs, queue):
    got = []
    poll = threading.Thread(target=lambda: got.append(bodies(sqs, queue, WaitTimeSeconds=20)))
    poll.start()
    time.sleep(0.3)
    sqs.send_message(QueueUrl=queue, MessageBody="here")
    poll.join(10)
    assert got == [["here"]]
    started = time.monotonic()
    assert bodies(sqs, queue, WaitTimeSeconds=1) == []
    assert time.monotonic() - started >= 0.9


def test_a_delayed_message_is_counted_and_comes_later(sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="late", DelaySeconds=1)
    assert attributes(sqs, queue)["ApproximateNumberOfMessagesDelayed"] == "1"
    assert bodies(sqs, queue) == []
    assert bodies(sqs, queue, WaitTimeSeconds=10) == ["late"]


def test_batches_fail_entry_by_entry(sqs, queue):
    sent = sqs.send_message_batch(QueueUrl=queue, Entries=[
        {"Id": "a", "MessageBody": "1"}, {"Id": "b", "MessageBody": "2", "DelaySeconds": 901},
        {"Id": "c", "MessageBody": "3"}])
    assert [entry["Id"] for entry in sent["Successful"]] == ["a", "c"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in sent["Failed"]] == [
        ("b", "InvalidParameterValue", True)]
    got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert sorted(message["Body"] for message in got) == ["1", "3"]
    changed = sqs.change_message_visibility_batch(QueueUrl=queue, Entries=[
        {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 100} for n, message in enumerate(got)])
    assert len(changed["Successful"]) == 2
    gone = sqs.delete_message_batch(QueueUrl=queue, Entries=[
        {"Id": "x", "ReceiptHandle": got[0]["ReceiptHandle"]}, {"Id": "y", "ReceiptHandle": "bad"}])
    assert [entry["Id"] for entry in gone["Successful"]] == ["x"]
    assert gone["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    fails("AWS.SimpleQueueService.EmptyBatchRequest", sqs.send_message_batch, QueueUrl=queue, Entries=[])
    fails("AWS.SimpleQueueService.BatchEntryIdsNotDistinct", sqs.send_message_batch, QueueUrl=queue, Entries=[
        {"Id": "a", "MessageBody": "1"}, {"Id": "a", "MessageBody": "2"}])
    fails("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", sqs.send_message_batch, QueueUrl=queue, Entries=[
        {"Id": str(n), "MessageBody": "1"} for n in range(11)])
    sqs.purge_queue(QueueUrl=queue)
    assert attributes(sqs, queue)["ApproximateNumberOfMessagesNotVisible"] == "0"
    fails("PurgeQueueInProgress", sqs.purge_queue, QueueUrl=queue)


def test_bad_messages_are_refused(sqs, queue):
    fails("InvalidMessageContents", sqs.send_message, QueueUrl=queue, MessageBody="a\x00b")
    fails("MissingParameter", sqs.send_message, QueueUrl=queue, MessageBody="")
    fails("InvalidParameterValue", sqs.send_message, QueueUrl=queue, MessageBody="x" * ((1 << 20) + 1))
    fails("InvalidParameterValue", sqs.send_message, QueueUrl=queue, MessageBody="x", MessageGroupId="g")
    fails("InvalidParameterValue", sqs.send_message, QueueUrl=queue, MessageBody="x", MessageAttributes={
        "aws.x": {"DataType": "String", "StringValue": "v"}})
    sqs.send_message(QueueUrl=queue, MessageBody="x" * (1 << 20))
    assert len(bodies(sqs, queue)[0]) == 1 << 20
    fails("InvalidParameterValue", sqs.receive_message, QueueUrl=queue, MaxNumberOfMessages=11)
    fails("InvalidAddress", sqs.receive_message, QueueUrl="nowhere")


def test_what_is_received_too_often_goes_to_the_dead_letter_queue(sqs, queue):
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = attributes(sqs, dead)["QueueArn"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})})
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [queue]
    sqs.send_message(QueueUrl=queue, MessageBody="poison")
    assert bodies(sqs, queue, VisibilityTimeout=0) == ["poison"]
    assert bodies(sqs, queue, VisibilityTimeout=0) == ["poison"]
    assert bodies(sqs, queue, VisibilityTimeout=0) == []
    letter = sqs.receive_message(QueueUrl=dead, MessageSystemAttributeNames=["All"])["Messages"][0]
    assert letter["Body"] == "poison"
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == attributes(sqs, queue)["QueueArn"]
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": '{"redrivePermission":"denyAll"}'})
    fails("InvalidAttributeValue", sqs.set_queue_attributes, QueueUrl=queue, Attributes={
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})})
    sqs.delete_queue(QueueUrl=dead)


def test_policies_decide_who_may(server, sqs, queue):
    arn = attributes(sqs, queue)["QueueArn"]
    nobody = user(server, "sqs-nobody")
    error = fails("AccessDenied", nobody.send_message, QueueUrl=queue, MessageBody="x")
    message = error.response["Error"]["Message"]
    assert message == (
        f"User: arn:aws:iam::{server.account_id}:user/sqs-nobody is not authorized to perform: sqs:sendmessage on resource: "
        f"{arn} because no identity-based policy allows the sqs:sendmessage action")
    assert server.data_event_of(error)["errorCode"] == "AccessDenied"
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{server.account_id}:user/sqs-nobody"},
            "Action": "sqs:SendMessage", "Resource": arn}]})})
    nobody.send_message(QueueUrl=queue, MessageBody="by the queue's policy")
    fails("AccessDenied", nobody.receive_message, QueueUrl=queue)
    reader = user(server, "sqs-reader", {"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": arn})
    assert bodies(reader, queue) == ["by the queue's policy"]
    fails("AccessDenied", reader.create_queue, QueueName="x")


def test_tags_decide_who_may(server, sqs, queue):
    tagged = user(server, "sqs-tagged", {
        "Effect": "Allow", "Action": "sqs:*", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/team": "audit"}}}, {
        "Effect": "Allow", "Action": "sqs:CreateQueue", "Resource": "*",
        "Condition": {"StringEquals": {"aws:RequestTag/team": "audit"}, "ForAllValues:StringEquals": {"aws:TagKeys": "team"}}})
    fails("AccessDenied", tagged.send_message, QueueUrl=queue, MessageBody="x")
    sqs.tag_queue(QueueUrl=queue, Tags={"team": "audit"})
    tagged.send_message(QueueUrl=queue, MessageBody="x")
    fails("AccessDenied", tagged.create_queue, QueueName="tagged")
    fails("AccessDenied", tagged.create_queue, QueueName="tagged", tags={"team": "audit", "more": "x"})
    tagged.delete_queue(QueueUrl=tagged.create_queue(QueueName="tagged", tags={"team": "audit"})["QueueUrl"])


def test_another_account_needs_both_policies(server, sqs, queue):
    organizations = server.client("organizations")
    try:
        organizations.create_organization(FeatureSet="ALL")
    except organizations.exceptions.AlreadyInOrganizationException:
        pass
    request = organizations.create_account(Email="sqs@example.com", AccountName="sqs")["CreateAccountStatus"]["Id"]
    other = wait_until(lambda: organizations.describe_create_account_status(
        CreateAccountRequestId=request)["CreateAccountStatus"].get("AccountId"))
    credentials = user_credentials(server, other)
    there = boto3.client(
        "sqs", endpoint_url=server.endpoint, region_name=server.region, **credentials,
        config=botocore.config.Config(retries={"total_max_attempts": 1}))
    fails("AccessDenied", there.send_message, QueueUrl=queue, MessageBody="x")
    sqs.add_permission(QueueUrl=queue, Label="neighbour", AWSAccountIds=[other], Actions=["SendMessage"])
    fails("InvalidParameterValue", sqs.add_permission, QueueUrl=queue, Label="neighbour", AWSAccountIds=[other],
          Actions=["SendMessage"])
    there.send_message(QueueUrl=queue, MessageBody="from next door")
    assert bodies(sqs, queue) == ["from next door"]
    fails("AccessDenied", there.delete_queue, QueueUrl=queue)
    sqs.remove_permission(QueueUrl=queue, Label="neighbour")
    assert "Policy" not in attributes(sqs, queue)
    fails("AccessDenied", there.send_message, QueueUrl=queue, MessageBody="x")


def user_credentials(server, account):
    """Of a session of the role that reaches into the account, as a user who may assume it."""
    iam = server.client("iam")
    iam.create_user(UserName="bridge")
    iam.put_user_policy(UserName="bridge", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}}))
    key = iam.create_access_key(UserName="bridge")["AccessKey"]
    session = boto3.client(
        "sts", endpoint_url=server.endpoint, region_name=server.region, aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"]).assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole", RoleSessionName="sqs")["Credentials"]
    return {"aws_access_key_id": session["AccessKeyId"], "aws_secret_access_key": session["SecretAccessKey"],
            "aws_session_token": session["SessionToken"]}


def test_the_aws_cli_sends_and_receives(server, queue):
    # Version 1 of the CLI has addresses of its own for SQS, which only the flag overrides.
    here = ("--endpoint-url", server.endpoint)
    sent = server.aws_json("sqs", "send-message", "--queue-url", queue, "--message-body", "by hand", *here)
    got = server.aws_json(
        "sqs", "receive-message", "--queue-url", queue, "--attribute-names", "All", *here)["Messages"][0]
    assert got["MessageId"] == sent["MessageId"] and got["Body"] == "by hand"
    refused = server.aws(
        "sqs", "start-message-move-task", "--source-arn", "arn:aws:sqs:us-east-1:111122223333:x", *here, check=False)
    assert "UnknownOperationException" in refused.stderr


def test_messages_survive_a_kill_and_lie_encrypted(make_server):
    server = make_server()
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="kept", Attributes={"VisibilityTimeout": "3600"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="plain-text-needle")
    sqs.send_message(QueueUrl=url, MessageBody="second")
    first = sqs.receive_message(QueueUrl=url)["Messages"][0]
    assert first["Body"] == "plain-text-needle"
    server.kill()
    for path in server.data.glob("catalog.sqlite*"):
        assert b"plain-text-needle" not in path.read_bytes(), path
    server.start()
    sqs = server.client("sqs")
    url = sqs.get_queue_url(QueueName="kept")["QueueUrl"]
    assert bodies(sqs, url) == ["second"], "the first is still in flight"
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    again = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["All"])["Messages"][0]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_long_poll_ends_with_the_server(make_server):
    server = make_server()
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="waiting")["QueueUrl"]
    poll = threading.Thread(target=lambda: bodies(sqs, url, WaitTimeSeconds=20))
    poll.start()
    time.sleep(0.5)
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 10
    poll.join(5)


def test_kills_lose_no_acknowledged_message_and_bring_back_no_deleted_one(make_server):
    server = make_server()
    server.client("sqs").create_queue(QueueName="killed", Attributes={"VisibilityTimeout": "1"})
    sent, deleted, tried = set(), set(), set()
    for turn in range(2):
        url = server.client("sqs").get_queue_url(QueueName="killed")["QueueUrl"]

        def work(worker):
            sqs, number = server.client("sqs"), 0
            try:
                while True:
                    body = f"{turn}-{worker}-{number}"
                    tried.add(body)
                    sqs.send_message(QueueUrl=url, MessageBody=body)
                    sent.add(body)
                    number += 1
                    for message in sqs.receive_message(QueueUrl=url).get("Messages", []) if number % 3 == 0 else []:
                        tried.discard(message["Body"])  # whether it is deleted is not known until it is answered
                        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                        deleted.add(message["Body"])
            except Exception:  # the server was killed
                pass

        workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for worker in workers:
            worker.start()
        time.sleep(0.8)
        server.kill()
        for worker in workers:
            worker.join()
        server.start()
    sqs = server.client("sqs")
    url = sqs.get_queue_url(QueueName="killed")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "600"})
    time.sleep(1)
    found = []
    while got := bodies(sqs, url, WaitTimeSeconds=1):
        found += got
    assert len(found) == len(set(found)) and len(sent) > 50
    assert not set(found) & deleted
    # A message whose deletion was cut off may be there or not.
    assert {body for body in sent if body in tried} <= set(found)
