# SPDX-License-Identifier: Apache-2.0
"""Many accounts into one bucket, and back: built with the AWS CLI as AWS's guide describes it.

Trails of two member accounts deliver into a bucket of the first account, under its policy alone. A role for each member lets
it read its own log files there, and no others.
"""

import gzip
import json

import pytest
from conftest import wait_until

BUCKET = "all-our-logs"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def bucket_policy(accounts, organization=None):
    """What AWS's guide tells to set for several accounts, and for an organization's trail."""
    service = {"Service": "cloudtrail.amazonaws.com"}
    places = [*accounts, *([organization] if organization else [])]
    return document(
        {"Sid": "AclCheck", "Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl",
         "Resource": f"arn:aws:s3:::{BUCKET}"},
        {"Sid": "Write", "Effect": "Allow", "Principal": service, "Action": "s3:PutObject",
         "Resource": [f"arn:aws:s3:::{BUCKET}/AWSLogs/{place}/*" for place in places],
         "Condition": {
             "StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"},
             "ArnEquals": {"aws:SourceArn": [
                 f"arn:aws:cloudtrail:us-east-1:{account}:trail/members" for account in accounts]}}})


class Account:
    """An account as the CLI sees it: by the keys in its environment."""

    def __init__(self, server, identifier, keys):
        self.server, self.id, self.keys = server, identifier, keys

    def aws(self, *words, check=True):
        return self.server.aws(*words, "--output", "json", env=self.keys, check=check)

    def json(self, *words):
        text = self.aws(*words).stdout.strip()
        return json.loads(text) if text else None

    def refused(self, *words):
        """The error's code."""
        done = self.aws(*words, check=False)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def assume(self, role, name):
        return keys(self.json("sts", "assume-role", "--role-arn", role, "--role-session-name", name)["Credentials"])


def keys(given):
    return {"AWS_ACCESS_KEY_ID": given["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given.get("SessionToken", "")}


def user(account, name, policy):
    account.aws("iam", "create-user", "--user-name", name)
    account.aws("iam", "put-user-policy", "--user-name", name, "--policy-name", "p", "--policy-document", policy)
    made = account.json("iam", "create-access-key", "--user-name", name)["AccessKey"]
    return Account(account.server, account.id, keys(made))


def allow(*actions, resource="*", **more):
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


@pytest.fixture(scope="module")
def accounts(server):
    """The first account's administrator, and the administrators of two members."""
    root = Account(server, server.account_id, {})
    first = user(root, "admin", document(allow("*")))
    organization = first.json("organizations", "create-organization")["Organization"]["Id"]
    members = []
    for name in ("dev", "shop"):
        request = first.json("organizations", "create-account", "--email", f"{name}@example.com", "--account-name", name)
        status = first.json("organizations", "describe-create-account-status", "--create-account-request-id",
                            request["CreateAccountStatus"]["Id"])["CreateAccountStatus"]
        given = first.assume(f"arn:aws:iam::{status['AccountId']}:role/OrganizationAccountAccessRole", "setup")
        members.append(Account(server, status["AccountId"], given))
    return first, members, organization


def test_many_accounts_into_one_bucket_and_back(server, accounts, tmp_path):
    first, members, organization = accounts
    dev, shop = members
    first.aws("s3api", "create-bucket", "--bucket", BUCKET)

    def policy(*ids):
        first.aws("s3api", "put-bucket-policy", "--bucket", BUCKET, "--policy", bucket_policy(ids, organization))

    trail = ("cloudtrail", "create-trail", "--name", "members", "--s3-bucket-name", BUCKET)
    policy(dev.id)
    dev.aws(*trail)
    # The bucket's policy decides for whom the service may write.
    assert "InsufficientS3BucketPolicyException" in shop.refused(*trail)
    policy(dev.id, shop.id)
    shop.aws(*trail)

    readers = {}
    for member in members:
        member.aws("cloudtrail", "start-logging", "--name", "members")
        role = f"read-logs-of-{member.id}"
        arn = first.json(
            "iam", "create-role", "--role-name", role, "--assume-role-policy-document",
            document({"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{member.id}:root"},
                      "Action": "sts:AssumeRole"}))["Role"]["Arn"]
        first.aws(
            "iam", "put-role-policy", "--role-name", role, "--policy-name", "own-logs", "--policy-document", document(
                allow("s3:GetObject", resource=f"arn:aws:s3:::{BUCKET}/AWSLogs/{member.id}/*"),
                allow("s3:ListBucket", resource=f"arn:aws:s3:::{BUCKET}",
                      Condition={"StringLike": {"s3:prefix": f"AWSLogs/{member.id}/*"}})))
        readers[member.id] = (user(member, "auditor", document(allow("sts:AssumeRole"))), arn)

    files = {}
    for member in members:
        prefix = f"AWSLogs/{member.id}/CloudTrail/"
        files[member.id] = wait_until(lambda: server.keys(BUCKET, prefix), what=f"a log file of {member.id}")

    for member, other in ((dev, shop), (shop, dev)):
        auditor, role = readers[member.id]
        # The other's role trusts another account.
        assert "AccessDenied" in auditor.refused(
            "sts", "assume-role", "--role-arn", readers[other.id][1], "--role-session-name", "wrong")
        reader = Account(server, member.id, auditor.assume(role, "reading"))
        listed = reader.json(
            "s3api", "list-objects-v2", "--bucket", BUCKET, "--prefix", f"AWSLogs/{member.id}/CloudTrail/")
        assert {item["Key"] for item in listed["Contents"]} >= set(files[member.id])
        target = tmp_path / f"{member.id}.json.gz"
        reader.aws("s3", "cp", f"s3://{BUCKET}/{files[member.id][0]}", str(target))
        records = json.loads(gzip.decompress(target.read_bytes()))["Records"]
        assert records and all(record["recipientAccountId"] == member.id for record in records)
        assert "AccessDenied" in reader.refused(
            "s3api", "get-object", "--bucket", BUCKET, "--key", files[other.id][0], str(tmp_path / "no"))
        assert "AccessDenied" in reader.refused(
            "s3api", "list-objects-v2", "--bucket", BUCKET, "--prefix", f"AWSLogs/{other.id}/")
        # Members own nothing in the bucket: without the role they have no access to their own files either.
        assert "AccessDenied" in member.refused(
            "s3api", "get-object", "--bucket", BUCKET, "--key", files[member.id][0], str(tmp_path / "no"))

    refusals = server.events(EventName="AssumeRole", where=lambda event: event.get("errorCode"))
    assert not refusals, "what was refused to a member is the member's own event"
