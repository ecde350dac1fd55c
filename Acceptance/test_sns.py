# SPDX-License-Identifier: Apache-2.0
"""SNS as boto3, the AWS CLI and a real HTTP endpoint see it: topics, subscriptions with their handshake, signed messages, filters,
policies, what survives a kill, and the events of all that.
"""

import base64
import http.server
import json
import ssl
import subprocess
import threading
import urllib.request

import boto3
import botocore.config
import pytest

from conftest import code_of, error_of, wait_until


@pytest.fixture(scope="module")
def sns(server):
    return server.client("sns")


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


@pytest.fixture()
def topic(sns, request):
    arn = sns.create_topic(Name="t-" + request.node.name.replace("[", "-").replace("]", "")[:60])["TopicArn"]
    yield arn
    sns.delete_topic(TopicArn=arn)


def fails(code, call, **parameters):
    error = error_of(call, **parameters)
    assert code_of(error) == code, error
    return error


def make_queue(sqs, name, topic=None):
    """A queue that takes what the topic sends: its URL and ARN."""
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    if topic:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({
            "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
                "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}]})})
    return url, arn


def take(sqs, url, **more):
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **more).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return messages


def signed_text(message):
    names = ["Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token", "TopicArn", "Type"]
    return "".join(f"{name}\n{message[name]}\n" for name in names if name in message)


def is_signature_valid(message, folder):
    """OpenSSL's word on a message, by the certificate that it names."""
    certificate = folder / "certificate.pem"
    with urllib.request.urlopen(message["SigningCertURL"]) as answer:
        certificate.write_bytes(answer.read())
    key = folder / "key.pem"
    key.write_bytes(subprocess.run(
        ["openssl", "x509", "-in", certificate, "-pubkey", "-noout"], check=True, capture_output=True).stdout)
    (folder / "signature").write_bytes(base64.b64decode(message["Signature"]))
    (folder / "text").write_text(signed_text(message))
    digest = {"1": "-sha1", "2": "-sha256"}[message["SignatureVersion"]]
    return subprocess.run(
        ["openssl", "dgst", digest, "-verify", key, "-signature", folder / "signature", folder / "text"],
        capture_output=True).returncode == 0


def start_endpoint():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            host.received.append(({name.lower(): value for name, value in self.headers.items()}, body.decode()))
            self.send_response(host.statuses.pop(0) if host.statuses else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *words):
            pass

    host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.received, host.statuses = [], []
    host.url = f"http://127.0.0.1:{host.server_port}/inbox"
    return host


@pytest.fixture()
def endpoint():
    """An HTTP endpoint that keeps what it is sent, and answers the statuses that it is told to."""
    host = start_endpoint()
    threading.Thread(target=host.serve_forever, daemon=True).start()
    yield host
    host.shutdown()
    host.server_close()


@pytest.fixture()
def tls_endpoint(tmp_path):
    """The same over TLS, with a certificate of its own."""
    host = start_endpoint()
    key, host.certificate = tmp_path / "tls-key.pem", tmp_path / "tls.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", host.certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(host.certificate, key)
    host.socket = context.wrap_socket(host.socket, server_side=True)
    host.url = f"https://localhost:{host.server_port}/inbox"
    threading.Thread(target=host.serve_forever, daemon=True).start()
    yield host
    host.shutdown()
    host.server_close()


def test_a_topic_is_made_once_found_and_changed(server, sns):
    made = sns.create_topic(
        Name="alarms", Attributes={"DisplayName": "Alarms"}, Tags=[{"Key": "team", "Value": "audit"}])
    arn = made["TopicArn"]
    assert arn == f"arn:aws:sns:us-east-1:{server.account_id}:alarms"
    assert sns.create_topic(Name="alarms", Attributes={"DisplayName": "Alarms"})["TopicArn"] == arn
    fails("InvalidParameter", sns.create_topic, Name="alarms", Attributes={"DisplayName": "Other"})
    assert {"TopicArn": arn} in sns.list_topics()["Topics"]
    shown = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert shown["DisplayName"] == "Alarms" and shown["Owner"] == server.account_id
    assert json.loads(shown["Policy"])["Statement"][0]["Sid"] == "__default_statement_ID"
    assert json.loads(shown["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3
    sns.set_topic_attributes(TopicArn=arn, AttributeName="DisplayName", AttributeValue="")
    assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == ""
    sns.tag_resource(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "test"}])
    sns.untag_resource(ResourceArn=arn, TagKeys=["team"])
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "test"}]
    sns.add_permission(TopicArn=arn, Label="neighbour", AWSAccountId=["111122223333"], ActionName=["Publish"])
    policy = json.loads(sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"])
    assert policy["Statement"][1]["Action"] == "SNS:Publish"
    sns.remove_permission(TopicArn=arn, Label="neighbour")
    assert len(json.loads(sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"])["Statement"]) == 1
    gone = sns.delete_topic(TopicArn=arn)
    sns.delete_topic(TopicArn=arn)
    error = error_of(sns.get_topic_attributes, TopicArn=arn)
    assert isinstance(error, sns.exceptions.NotFoundException) and code_of(error) == "NotFound"
    record = server.event_of(made)
    assert record["eventSource"] == "sns.amazonaws.com" and record["managementEvent"] is True
    assert record["requestParameters"] == {
        "name": "alarms", "attributes": {"DisplayName": "Alarms"}, "tags": [{"key": "team", "value": "audit"}]}
    assert record["responseElements"] == {"topicArn": arn}
    assert server.event_of(gone)["responseElements"] is None


@pytest.mark.parametrize("attributes", [
    {"FifoTopic": "true"}, {"KmsMasterKeyId": "alias/aws/sns"}, {"Policy": "{"}, {"NoSuch": "1"},
    {"DeliveryPolicy": "{}"}, {"SignatureVersion": "3"}, {"TracingConfig": "Active"}])
def test_what_cannot_be_is_refused_and_nothing_is_made(sns, server, attributes):
    fails("InvalidParameter", sns.create_topic, Name="never", Attributes=attributes)
    fails("NotFound", sns.get_topic_attributes, TopicArn=f"arn:aws:sns:us-east-1:{server.account_id}:never")


def test_names_and_protocols_are_checked(sns, topic):
    fails("InvalidParameter", sns.create_topic, Name="a b")
    fails("InvalidParameter", sns.create_topic, Name="a.fifo")
    for protocol, address in (("email", "a@example.com"), ("sms", "+15550100"), ("lambda", "arn:aws:lambda:x"),
                              ("pigeon", "roof"), ("http", "https://example.com"), ("sqs", "queue")):
        fails("InvalidParameter", sns.subscribe, TopicArn=topic, Protocol=protocol, Endpoint=address)
    fails("InvalidParameter", sns.publish, PhoneNumber="+15550100", Message="x")
    fails("InvalidParameter", sns.get_topic_attributes, TopicArn="nonsense")
    fails("InvalidAction", sns.create_platform_application, Name="a", Platform="GCM", Attributes={})


def test_a_queue_gets_what_is_published(server, sns, sqs, topic, tmp_path):
    url, queue = make_queue(sqs, "takes", topic)
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)["SubscriptionArn"]
    assert sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)["SubscriptionArn"] == subscription
    shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert shown["PendingConfirmation"] == "false" and shown["RawMessageDelivery"] == "false"
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == [{
        "SubscriptionArn": subscription, "Owner": server.account_id, "Protocol": "sqs", "Endpoint": queue,
        "TopicArn": topic}]
    sent = sns.publish(TopicArn=topic, Message="hello \u2603", Subject="greeting", MessageAttributes={
        "kind": {"DataType": "String", "StringValue": "test"}})
    message = json.loads(take(sqs, url, WaitTimeSeconds=5)[0]["Body"])
    assert message["Type"] == "Notification" and message["MessageId"] == sent["MessageId"]
    assert message["Message"] == "hello \u2603" and message["Subject"] == "greeting"
    assert message["TopicArn"] == topic and message["MessageAttributes"] == {"kind": {"Type": "String", "Value": "test"}}
    assert message["SignatureVersion"] == "1" and is_signature_valid(message, tmp_path)
    sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue="2")
    sns.publish(TopicArn=topic, Message="again")
    message = json.loads(take(sqs, url, WaitTimeSeconds=5)[0]["Body"])
    assert message["SignatureVersion"] == "2" and "Subject" not in message and is_signature_valid(message, tmp_path)
    message["Message"] = "forged"
    assert not is_signature_valid(message, tmp_path)

    record = server.data_event_of(sent)
    assert record["eventName"] == "Publish" and record["eventCategory"] == "Data"
    assert record["requestParameters"] == {
        "topicArn": topic, "message": "HIDDEN_DUE_TO_SECURITY_REASONS", "subject": "HIDDEN_DUE_TO_SECURITY_REASONS",
        "messageAttributes": "HIDDEN_DUE_TO_SECURITY_REASONS"}
    assert record["responseElements"] == {"messageId": sent["MessageId"]}
    assert record["resources"] == [{"accountId": server.account_id, "type": "AWS::SNS::Topic", "ARN": topic}]

    # Raw: the text alone, and its attributes as the queue's.
    sns.set_subscription_attributes(
        SubscriptionArn=subscription, AttributeName="RawMessageDelivery", AttributeValue="true")
    sns.publish(TopicArn=topic, MessageStructure="json", Message=json.dumps({"default": "d", "sqs": "for queues"}),
                MessageAttributes={"n": {"DataType": "Number", "StringValue": "7"}})
    raw = take(sqs, url, WaitTimeSeconds=5, MessageAttributeNames=["All"])[0]
    assert raw["Body"] == "for queues"
    assert raw["MessageAttributes"] == {"n": {"DataType": "Number", "StringValue": "7"}}
    batch = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[
        {"Id": "1", "Message": "a"}, {"Id": "2", "Message": "b", "Subject": "\n"}, {"Id": "3", "Message": "c"}])
    assert [entry["Id"] for entry in batch["Successful"]] == ["1", "3"] and batch["Failed"][0]["Id"] == "2"
    assert sorted(message["Body"] for message in take(sqs, url, WaitTimeSeconds=5)) == ["a", "c"]
    entries = server.data_event_of(batch)["requestParameters"]["publishBatchRequestEntries"]
    assert entries[0] == {"id": "1", "message": "HIDDEN_DUE_TO_SECURITY_REASONS"}
    sns.unsubscribe(SubscriptionArn=subscription)
    sns.publish(TopicArn=topic, Message="to nobody")
    assert take(sqs, url) == []
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsDeleted"] == "1"


def test_a_queue_that_does_not_let_the_topic_in_gets_nothing(sns, sqs, topic):
    url, queue = make_queue(sqs, "shut")
    letters, letters_arn = make_queue(sqs, "letters", topic)
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)["SubscriptionArn"]
    sns.publish(TopicArn=topic, Message="lost")
    sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="RedrivePolicy",
                                    AttributeValue=json.dumps({"deadLetterTargetArn": letters_arn}))
    sns.publish(TopicArn=topic, Message="kept")
    assert [json.loads(message["Body"])["Message"] for message in take(sqs, letters)] == ["kept"]
    assert take(sqs, url) == []


@pytest.mark.parametrize("policy, taken", [
    ({"kind": ["a", {"prefix": "b"}]}, ["a1", "bb"]),
    ({"kind": [{"anything-but": ["a"]}]}, ["bb", "c3"]),
    ({"n": [{"numeric": [">", 1, "<=", 3]}]}, ["bb", "c3"]),
    ({"kind": [{"exists": False}]}, ["none"]),
    ({"$or": [{"kind": ["a"]}, {"n": [3]}]}, ["a1", "c3"]),
])
def test_a_filter_policy_chooses(sns, sqs, topic, policy, taken):
    url, queue = make_queue(sqs, "filtered", topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={
        "FilterPolicy": json.dumps(policy), "RawMessageDelivery": "true"})
    for text, kind, number in (("a1", "a", 1), ("bb", "bcd", 2), ("c3", "c", 3)):
        sns.publish(TopicArn=topic, Message=text, MessageAttributes={
            "kind": {"DataType": "String", "StringValue": kind},
            "n": {"DataType": "Number", "StringValue": str(number)}})
    sns.publish(TopicArn=topic, Message="none")
    assert sorted(message["Body"] for message in take(sqs, url)) == taken


def test_a_filter_policy_looks_into_the_body(sns, sqs, topic):
    url, queue = make_queue(sqs, "bodies", topic)
    fails("InvalidParameter", sns.subscribe, TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={
        "FilterPolicy": '{"a":{"b":["c"]}}'})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={
        "FilterPolicy": '{"a":{"b":["c"]}}', "FilterPolicyScope": "MessageBody", "RawMessageDelivery": "true"})
    for text in ('{"a":{"b":"c"}}', '{"a":{"b":"d"}}', 'no json', '{"a":[{"b":"x"},{"b":"c"}]}'):
        sns.publish(TopicArn=topic, Message=text)
    assert sorted(message["Body"] for message in take(sqs, url)) == ['{"a":[{"b":"x"},{"b":"c"}]}', '{"a":{"b":"c"}}']


def test_an_http_endpoint_confirms_takes_and_ends(server, sns, topic, endpoint, tmp_path):
    answer = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    assert answer["SubscriptionArn"] == "pending confirmation"
    sns.publish(TopicArn=topic, Message="too early")
    headers, body = wait_until(lambda: endpoint.received and endpoint.received[0])
    assert headers["x-amz-sns-message-type"] == "SubscriptionConfirmation"
    assert headers["x-amz-sns-topic-arn"] == topic and headers["content-type"] == "text/plain; charset=UTF-8"
    message = json.loads(body)
    assert message["Type"] == "SubscriptionConfirmation" and is_signature_valid(message, tmp_path)
    fails("InvalidParameter", sns.confirm_subscription, TopicArn=topic, Token="0" * 64)
    with urllib.request.urlopen(message["SubscribeURL"]) as page:
        assert b"ConfirmSubscriptionResult" in page.read()
    subscription = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]["SubscriptionArn"]
    sent = sns.publish(TopicArn=topic, Message="now")
    headers, body = wait_until(lambda: len(endpoint.received) > 1 and endpoint.received[1])
    assert headers["x-amz-sns-message-type"] == "Notification"
    assert headers["x-amz-sns-message-id"] == sent["MessageId"]
    assert headers["x-amz-sns-subscription-arn"] == subscription
    message = json.loads(body)
    assert message["Message"] == "now" and is_signature_valid(message, tmp_path)
    sns.set_subscription_attributes(
        SubscriptionArn=subscription, AttributeName="RawMessageDelivery", AttributeValue="true")
    sns.publish(TopicArn=topic, Message="bare")
    headers, body = wait_until(lambda: len(endpoint.received) > 2 and endpoint.received[2])
    assert body == "bare" and headers["x-amz-sns-rawdelivery"] == "true"
    # What the endpoint refuses for good is not tried again.
    endpoint.statuses.append(404)
    sns.publish(TopicArn=topic, Message="unwanted")
    wait_until(lambda: len(endpoint.received) > 3)
    with urllib.request.urlopen(message["UnsubscribeURL"]) as page:
        assert page.status == 200
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


def test_policies_decide_who_may(server, sns, topic):
    iam = server.client("iam")
    iam.create_user(UserName="sns-nobody")
    key = iam.create_access_key(UserName="sns-nobody")["AccessKey"]
    nobody = boto3.client(
        "sns", endpoint_url=server.endpoint, region_name=server.region, aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"], config=botocore.config.Config(retries={"total_max_attempts": 1}))
    error = fails("AuthorizationError", nobody.publish, TopicArn=topic, Message="x")
    assert isinstance(error, nobody.exceptions.AuthorizationErrorException)
    assert error.response["Error"]["Message"] == (
        f"User: arn:aws:iam::{server.account_id}:user/sns-nobody is not authorized to perform: SNS:Publish on resource: "
        f"{topic} because no identity-based policy allows the SNS:Publish action")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{server.account_id}:user/sns-nobody"},
            "Action": "sns:Publish", "Resource": topic}]}))
    nobody.publish(TopicArn=topic, Message="by the topic's policy")
    fails("AuthorizationError", nobody.subscribe, TopicArn=topic, Protocol="http", Endpoint="http://127.0.0.1:1/")
    iam.put_user_policy(UserName="sns-nobody", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "sns:Subscribe", "Resource": topic,
            "Condition": {"StringEquals": {"sns:Protocol": "https"}}}}))
    fails("AuthorizationError", nobody.subscribe, TopicArn=topic, Protocol="http", Endpoint="http://127.0.0.1:1/")
    nobody.subscribe(TopicArn=topic, Protocol="https", Endpoint="https://127.0.0.1:1/")
    iam.put_user_policy(UserName="sns-nobody", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "sns:GetTopicAttributes", "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceTag/team": "audit"}}}}))
    fails("AuthorizationError", nobody.get_topic_attributes, TopicArn=topic)
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "team", "Value": "audit"}])
    nobody.get_topic_attributes(TopicArn=topic)


def test_an_https_endpoint_is_believed_by_its_certificate(make_server, tls_endpoint):
    server = make_server(trusted_ca=tls_endpoint.certificate)
    sns = server.client("sns")
    topic = sns.create_topic(Name="tls")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="https", Endpoint=tls_endpoint.url)
    message = json.loads(wait_until(lambda: tls_endpoint.received and tls_endpoint.received[0])[1])
    assert sns.confirm_subscription(TopicArn=topic, Token=message["Token"])["SubscriptionArn"].startswith(topic)


def test_the_aws_cli_publishes(server, sns, sqs, topic):
    url, queue = make_queue(sqs, "cli", topic)
    server.aws("sns", "subscribe", "--topic-arn", topic, "--protocol", "sqs", "--notification-endpoint", queue)
    sent = server.aws_json("sns", "publish", "--topic-arn", topic, "--message", "by hand")
    assert json.loads(take(sqs, url, WaitTimeSeconds=5)[0]["Body"])["MessageId"] == sent["MessageId"]


def test_what_was_accepted_survives_a_kill(make_server, endpoint):
    server = make_server()
    sns = server.client("sns")
    topic = sns.create_topic(Name="kept")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    message = json.loads(wait_until(lambda: endpoint.received and endpoint.received[0])[1])
    sns.confirm_subscription(TopicArn=topic, Token=message["Token"])
    # Nothing answers while the message is published and the server is killed.
    endpoint.statuses += [503] * 1
    sns.publish(TopicArn=topic, Message="through it all")
    wait_until(lambda: len(endpoint.received) > 1)
    server.kill()
    server.flags["clock-offset"] = "60s"
    server.start()
    _, body = wait_until(lambda: len(endpoint.received) > 2 and endpoint.received[2])
    again = json.loads(body)
    assert again["Message"] == "through it all"
    with urllib.request.urlopen(again["SigningCertURL"]) as answer:
        assert answer.read().startswith(b"-----BEGIN CERTIFICATE-----")
