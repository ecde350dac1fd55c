# SPDX-License-Identifier: Apache-2.0
"""Resource-based policies of channels: by boto3 and the AWS CLI, checked when written, enforced on PutAuditEvents."""

from __future__ import annotations

import json

import pytest
from conftest import code_of, error_of, request_id_of
from test_channels import GONE, event_data, make_channel
from test_organizations import administrator, member, new_account

ACTION = "cloudtrail-data:PutAuditEvents"


def statement(principal, channel, effect="Allow", **more):
    return {"Effect": effect, "Principal": principal, "Action": ACTION, "Resource": channel, **more}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture(scope="module")
def other(server):
    """A second account: its id, and clients of its administrator."""
    admin = administrator(server)
    organizations = admin("organizations")
    organizations.create_organization(FeatureSet="ALL")
    account = new_account(organizations, "feeder")
    return account, member(server, admin, account)


def user(clients, server, name, *statements):
    iam = clients("iam")
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return server.client(
        "cloudtrail-data", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


def put(client, server, channel, identifier, **more):
    return client.put_audit_events(
        channelArn=channel, auditEvents=[{"id": identifier, "eventData": event_data(server, identifier)}], **more)


def refused(client, server, channel, words="", **more):
    error = error_of(put, client, server, channel, "never", **more)
    assert code_of(error) == "AccessDeniedException", error
    assert words in str(error), error
    return error


def allow(channel="*"):
    return {"Effect": "Allow", "Action": ACTION, "Resource": channel}


def test_a_policy_lives_with_its_channel_and_each_call_is_an_event(server):
    channel = make_channel(server, "policy-life")
    cloudtrail = server.client("cloudtrail")
    missing = error_of(cloudtrail.get_resource_policy, ResourceArn=channel)
    assert code_of(missing) == "ResourcePolicyNotFoundException"
    assert server.event_of(missing, EventName="GetResourcePolicy")["errorCode"] == "ResourcePolicyNotFoundException"
    text = document(statement({"AWS": server.account_id}, channel))
    done = server.aws_json("cloudtrail", "put-resource-policy", "--resource-arn", channel, "--resource-policy", text)
    assert done == {"ResourceArn": channel, "ResourcePolicy": text}
    event = server.events(EventName="PutResourcePolicy", at_least=1)[0]
    assert event["requestParameters"] == {"resourceArn": channel, "resourcePolicy": text}
    assert event["responseElements"] == {"resourceArn": channel, "resourcePolicy": text}
    assert event["readOnly"] is False and event["eventSource"] == "cloudtrail.amazonaws.com"
    assert server.aws_json("cloudtrail", "get-resource-policy", "--resource-arn", channel)["ResourcePolicy"] == text
    deleted = cloudtrail.delete_resource_policy(ResourceArn=channel)
    event = server.event_of(deleted, EventName="DeleteResourcePolicy")
    assert event["requestParameters"] == {"resourceArn": channel} and event["responseElements"] is None
    again = error_of(cloudtrail.delete_resource_policy, ResourceArn=channel)
    assert code_of(again) == "ResourcePolicyNotFoundException"
    # The policy dies with its channel.
    cloudtrail.put_resource_policy(ResourceArn=channel, ResourcePolicy=text)
    cloudtrail.delete_channel(Channel=channel)
    assert code_of(error_of(cloudtrail.get_resource_policy, ResourceArn=channel)) == "ResourceNotFoundException"
    names = [name for name in server.catalog_keys("channel-policy")]
    assert not [name for name in names if channel.rsplit("/", 1)[1] in name], names


def test_what_is_no_policy_of_a_channel_is_refused_when_it_is_written(server):
    channel = make_channel(server, "policy-bad")
    cloudtrail = server.client("cloudtrail")
    everyone = {"AWS": "*"}
    good = statement(everyone, channel)

    def code(policy, arn=channel):
        text = policy if isinstance(policy, str) else document(*policy)
        error = error_of(cloudtrail.put_resource_policy, ResourceArn=arn, ResourcePolicy=text)
        assert server.event_of(error, EventName="PutResourcePolicy")["errorCode"] == code_of(error)
        return code_of(error)

    for bad in ("nonsense", "[]", '{"Version":"2012-10-17"}', [], [good] * 21,
                [statement({"AWS": [f"{n:012d}" for n in range(51)]}, channel)],
                [dict(good, Action="cloudtrail-data:*")], [dict(good, Action=[ACTION, "cloudtrail:GetChannel"])],
                [dict(good, Resource="*")], [dict(good, Resource=channel.replace(server.account_id, "999999999999"))],
                [dict(good, Principal={"AWS": "nobody"})], [{k: v for k, v in good.items() if k != "Principal"}],
                [dict(good, Effect="allow")], [dict(good, Condition={"StringsEqual": {"aws:userid": "x"}})],
                [dict(good, Sid="x" * 8200)]):
        assert code(bad) == "ResourcePolicyNotValidException", bad
    assert code([good], "arn:aws:nonsense") == "ResourceARNNotValidException"
    assert code([good], "arn:aws:cloudtrail:us-east-1:123456789012:channel/none") == "ResourceARNNotValidException"
    assert code([good], channel.split("channel/")[0] + "channel/" + GONE) == "ResourceNotFoundException"
    for path in ("trail/mine", "eventdatastore/event-history", "dashboard/mine"):
        arn = f"arn:aws:cloudtrail:us-east-1:{server.account_id}:{path}"
        assert code([good], arn) == "ResourceTypeNotSupportedException"
    assert code_of(error_of(cloudtrail.get_resource_policy, ResourceArn=channel)) == "ResourcePolicyNotFoundException"


def test_another_account_needs_both_sides(server, other):
    account, clients = other
    channel = make_channel(server, "shared")
    cloudtrail = server.client("cloudtrail")
    allowed, bare = user(clients, server, "allowed", allow(channel)), user(clients, server, "bare")
    refused(allowed, server, channel, "because no resource-based policy allows the cloudtrail-data:PutAuditEvents action")
    cloudtrail.put_resource_policy(ResourceArn=channel, ResourcePolicy=document(
        statement({"AWS": f"arn:aws:iam::{account}:root"}, channel)))
    done = put(allowed, server, channel, "shared-1")
    assert done["successful"][0]["id"] == "shared-1" and not done["failed"]
    refused(bare, server, channel, "because no identity-based policy allows")
    # A policy that names the user does not spare another account's user the Allow of its own.
    cloudtrail.put_resource_policy(ResourceArn=channel, ResourcePolicy=document(
        statement({"AWS": f"arn:aws:iam::{account}:user/bare"}, channel)))
    refused(bare, server, channel, "because no identity-based policy allows")
    refused(allowed, server, channel, "because no resource-based policy allows")
    # What was put is an event of the channel's account; the call itself is one in both.
    done = server.cairn("lookup", "--filter", "eventData.UID = shared-1", "--json").stdout
    assert json.loads(done)["recipientAccountId"] == server.account_id
    found = [json.loads(line) for line in server.cairn(
        "lookup", "--filter", "eventName = PutAuditEvents and not errorCode exists", "--json").stdout.splitlines()]
    ours = [event for event in found if event.get("sharedEventID") and event["recipientAccountId"] == server.account_id]
    assert ours[0]["userIdentity"]["type"] == "AWSAccount" and ours[0]["userIdentity"]["accountId"] == account
    # Whether an account has a channel is nothing that another learns.
    refused(allowed, server, channel.split("channel/")[0] + "channel/" + GONE)
    # Only the channel's own account reads and writes the policy.
    assert code_of(error_of(clients("cloudtrail").get_resource_policy, ResourceArn=channel)) == "AccessDeniedException"


def test_an_external_id_is_asked_for(server, other):
    account, clients = other
    channel = make_channel(server, "external")
    client = user(clients, server, "external", allow(channel))
    server.client("cloudtrail").put_resource_policy(ResourceArn=channel, ResourcePolicy=document(
        statement({"AWS": account}, channel, Condition={"StringEquals": {"cloudtrail:ExternalId": "pass-phrase"}})))
    refused(client, server, channel)
    refused(client, server, channel, externalId="another")
    assert put(client, server, channel, "external-1", externalId="pass-phrase")["successful"]


def test_the_rules_within_one_account_and_the_reason(server):
    channel = make_channel(server, "own")
    cloudtrail = server.client("cloudtrail")
    named = user(server.client, server, "named")
    admin = user(server.client, server, "own-admin", allow())
    refused(named, server, channel, "because no identity-based policy allows")
    # The account alone does not do, its user does.
    cloudtrail.put_resource_policy(ResourceArn=channel, ResourcePolicy=document(
        statement({"AWS": server.account_id}, channel)))
    refused(named, server, channel, "because no identity-based policy allows")
    put(admin, server, channel, "own-1")
    cloudtrail.put_resource_policy(ResourceArn=channel, ResourcePolicy=document(
        statement({"AWS": f"arn:aws:iam::{server.account_id}:user/named"}, channel, Sid="Named"),
        statement({"AWS": f"arn:aws:iam::{server.account_id}:user/own-admin"}, channel, "Deny", Sid="NotHim")))
    done = put(named, server, channel, "own-2")
    note = json.loads(server.cairn("explain", request_id_of(done), "--json").stdout)
    assert note["verdict"] == "allow" and note["policyType"] == "resource" and note["policy"] == channel
    assert note["sid"] == "Named" and note["inForce"]["resource"] == channel
    error = refused(admin, server, channel, "with an explicit deny in a resource-based policy")
    text = server.cairn("explain", request_id_of(error)).stdout
    assert "NotHim" in text and channel in text, text


def test_a_new_user_of_an_old_name_inherits_nothing(server):
    channel = make_channel(server, "names")
    cloudtrail, iam = server.client("cloudtrail"), server.client("iam")
    arn = f"arn:aws:iam::{server.account_id}:user/heir"
    error = error_of(cloudtrail.put_resource_policy, ResourceArn=channel, ResourcePolicy=document(
        statement({"AWS": arn}, channel)))
    assert code_of(error) == "ResourcePolicyNotValidException" and arn in str(error)
    old = user(server.client, server, "heir")
    text = document(statement({"AWS": [arn, server.account_id]}, channel))
    cloudtrail.put_resource_policy(ResourceArn=channel, ResourcePolicy=text)
    assert cloudtrail.get_resource_policy(ResourceArn=channel)["ResourcePolicy"] == text
    put(old, server, channel, "heir-1")
    identifier = iam.get_user(UserName="heir")["User"]["UserId"]
    for key in iam.list_access_keys(UserName="heir")["AccessKeyMetadata"]:
        iam.delete_access_key(UserName="heir", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="heir")
    new = user(server.client, server, "heir")
    refused(new, server, channel, "because no identity-based policy allows")
    assert cloudtrail.get_resource_policy(ResourceArn=channel)["ResourcePolicy"] == text.replace(arn, identifier)


def test_identity_policies_ask_for_the_tags_of_a_channel(server):
    cloudtrail = server.client("cloudtrail")
    mine, theirs = make_channel(server, "tags-mine"), make_channel(server, "tags-theirs")
    cloudtrail.add_tags(ResourceId=mine, TagsList=[{"Key": "team", "Value": "a"}])
    cloudtrail.add_tags(ResourceId=theirs, TagsList=[{"Key": "team", "Value": "b"}])
    iam = server.client("iam")
    iam.create_user(UserName="tag-reader")
    iam.put_user_policy(UserName="tag-reader", PolicyName="p", PolicyDocument=document({
        "Effect": "Allow", "Action": [ACTION, "cloudtrail:GetChannel"], "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/team": "a"}}}))
    key = iam.create_access_key(UserName="tag-reader")["AccessKey"]
    own = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    reader, sender = server.client("cloudtrail", **own), server.client("cloudtrail-data", **own)
    assert reader.get_channel(Channel=mine)["ChannelArn"] == mine
    assert code_of(error_of(reader.get_channel, Channel=theirs)) == "AccessDeniedException"
    assert put(sender, server, mine, "tagged")["failed"] == []
    refused(sender, server, theirs, "no identity-based policy allows")
    cloudtrail.remove_tags(ResourceId=mine, TagsList=[{"Key": "team", "Value": "a"}])
    refused(sender, server, mine, "no identity-based policy allows")
