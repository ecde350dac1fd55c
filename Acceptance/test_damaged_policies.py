# SPDX-License-Identifier: Apache-2.0
"""Stored policies that can no longer be read: whoever they bind is refused, and the log says which it is.

A changed byte fails the catalog's checksum and stops the start (test_damage.py). Here the document is whole, and the policy in it
is not: as a restored backup or another program may leave it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
import struct

from conftest import code_of, error_of, request_id_of
from test_channels import event_data, make_channel
from test_credentials import clients, document, user
from test_organizations import administrator, member, new_account, policy

ANY = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def damage(server, begins: str, mark: str) -> None:
    """Replaces the policy's `"Sid"` by what no policy has, in the one document that begins so and has the mark."""
    with contextlib.closing(sqlite3.connect(server.data / "catalog.sqlite")) as catalog:
        rows = catalog.execute("SELECT key, value FROM document").fetchall()
        found = [(bytes(key), bytes(value)) for key, value in rows
                 if bytes(key).startswith(begins.encode()) and mark.encode() in bytes(value)]
        assert len(found) == 1, f"{len(found)} documents {begins} with {mark}"
        key, value = found[0]
        changed = re.sub(rb"Sid(\W+%s)" % mark.encode(), rb"Syd\1", value)
        assert changed != value
        digest = hashlib.sha256(struct.pack("<Q", len(key)) + key + changed).digest()
        catalog.execute("UPDATE document SET value = ?, checksum = ? WHERE key = ?",
                        (changed, struct.unpack("<q", digest[:8])[0], key))
        catalog.commit()


def test_damaged_policies_of_every_kind_deny_and_are_named_in_the_log(make_server):
    server = make_server()
    account = server.account_id
    admin = administrator(server)
    organizations = admin("organizations")
    organizations.create_organization(FeatureSet="ALL")
    root = organizations.list_roots()["Roots"][0]["Id"]
    organizations.enable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    inside = new_account(organizations, "inside")
    scp = policy(organizations, "limits", dict(ANY, Sid="marked6"))
    organizations.attach_policy(PolicyId=scp, TargetId=inside)
    within = member(server, admin, inside)
    iam, s3, cloudtrail = server.client("iam"), server.client("s3"), server.client("cloudtrail")
    # One of each kind, each with a mark by which it is found again.
    inline = clients(server, user(iam, "inline"))
    iam.put_user_policy(UserName="inline", PolicyName="broken", PolicyDocument=document(
        {"Sid": "marked1", "Effect": "Deny", "Action": "s3:DeleteBucket", "Resource": "*"}))
    managed = iam.create_policy(PolicyName="managed", PolicyDocument=document(dict(ANY, Sid="marked2")))["Policy"]["Arn"]
    attached, bounded = clients(server, user(iam, "attached")), clients(server, user(iam, "bounded"))
    iam.attach_user_policy(UserName="attached", PolicyArn=managed)
    boundary = iam.create_policy(PolicyName="boundary", PolicyDocument=document(dict(ANY, Sid="marked3")))["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName="bounded", PermissionsBoundary=boundary)
    iam.create_role(RoleName="trusting", AssumeRolePolicyDocument=document(
        {"Sid": "marked4", "Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}))
    s3.create_bucket(Bucket="broken-policy")
    s3.put_object(Bucket="broken-policy", Key="k", Body=b"1")
    s3.put_bucket_policy(Bucket="broken-policy", Policy=document(
        {"Sid": "marked5", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject",
         "Resource": "arn:aws:s3:::broken-policy/*"}))
    channel = make_channel(server, "broken")
    cloudtrail.put_resource_policy(ResourceArn=channel, ResourcePolicy=document(
        {"Sid": "marked7", "Effect": "Allow", "Principal": {"AWS": inside},
         "Action": "cloudtrail-data:PutAuditEvents", "Resource": channel}))
    trusted = clients(server, user(iam, "trusted"))
    for client in (inline, attached, bounded):
        client("s3").list_buckets()
    within("s3").list_buckets()

    server.stop()
    places = {"iam\0": (1, 2, 3, 4), "bucket\0": (5,), "organization": (6,), "channel-policy\0": (7,)}
    for begins, numbers in places.items():
        for number in numbers:
            damage(server, begins, f"marked{number}")
    server.start()

    def refused(name, call, *args, **kw):
        error = error_of(call, *args, **kw)
        assert code_of(error) in ("AccessDenied", "AccessDeniedException"), (name, error)
        note = json.loads(server.cairn("explain", request_id_of(error), "--json").stdout.splitlines()[-1])
        assert note["verdict"] == "implicitDeny" and name in note["because"], note
        assert "cannot be read, so nothing is allowed" in note["because"] and name in str(note["inForce"]["damaged"])
        line = next(line for line in server.log_text().splitlines()
                    if "a stored policy cannot be read" in line and request_id_of(error) in line)
        assert name in line

    refused("broken", inline("s3").list_buckets)
    refused(managed, attached("s3").list_buckets)
    refused(boundary, bounded("s3").list_buckets)
    refused("role/trusting", trusted("sts").assume_role,
            RoleArn=f"arn:aws:iam::{account}:role/trusting", RoleSessionName="sess")
    refused("broken-policy", trusted("s3").get_object, Bucket="broken-policy", Key="k")
    refused("broken-policy", s3.get_object, Bucket="broken-policy", Key="k")
    refused(scp, within("s3").list_buckets)
    refused(channel, within("cloudtrail-data").put_audit_events, channelArn=channel,
            auditEvents=[{"id": "x", "eventData": event_data(server, "x")}])
    # The root of the account can mend each.
    iam.put_user_policy(UserName="inline", PolicyName="broken", PolicyDocument=document(ANY))
    inline("s3").list_buckets()
    iam.update_assume_role_policy(RoleName="trusting", PolicyDocument=document(
        {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}))
    trusted("sts").assume_role(RoleArn=f"arn:aws:iam::{account}:role/trusting", RoleSessionName="sess")
    s3.put_bucket_policy(Bucket="broken-policy", Policy=document(
        {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::broken-policy/*"}))
    assert s3.get_object(Bucket="broken-policy", Key="k")["Body"].read() == b"1"
    organizations.update_policy(PolicyId=scp, Content=document(ANY))
    within("s3").list_buckets()
    cloudtrail.delete_resource_policy(ResourceArn=channel)
