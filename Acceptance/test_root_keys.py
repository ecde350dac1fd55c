# SPDX-License-Identifier: Apache-2.0
"""The keys of root can be switched off; the last way in is the data folder's owner's."""

import json

from conftest import code_of, error_of


def test_root_without_keys_and_the_way_back(make_server):
    server = make_server()
    iam, first = server.client("iam"), server.access_key
    iam.create_user(UserName="admin")
    iam.attach_user_policy(UserName="admin", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    given = iam.create_access_key(UserName="admin")["AccessKey"]
    admin = server.client(
        "iam", aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"])

    second = iam.create_access_key()["AccessKey"]
    assert {k["AccessKeyId"] for k in iam.list_access_keys()["AccessKeyMetadata"]} == {first, second["AccessKeyId"]}
    assert code_of(error_of(iam.create_access_key)) == "LimitExceeded"
    event = server.events(region="us-east-1", EventName="CreateAccessKey", at_least=2)[1]
    assert second["SecretAccessKey"] not in json.dumps(event)

    iam.update_access_key(AccessKeyId=first, Status="Inactive")
    assert code_of(error_of(iam.list_users)) == "InvalidClientTokenId"
    other = server.client("iam", aws_access_key_id=second["AccessKeyId"], aws_secret_access_key=second["SecretAccessKey"])
    other.delete_access_key(AccessKeyId=first)
    assert server.read_exports()["AWS_ACCESS_KEY_ID"] == second["AccessKeyId"]
    other.delete_access_key(AccessKeyId=second["AccessKeyId"])
    assert code_of(error_of(other.list_users)) == "InvalidClientTokenId"
    assert admin.get_account_summary()["SummaryMap"]["AccountAccessKeysPresent"] == 0
    told = server.cairn("env", check=False)
    assert told.returncode == 1 and "root-key renew" in told.stderr

    server.restart()
    admin.list_users()
    refused = server.cairn("root-key", "renew", check=False)
    assert refused.returncode == 1 and "uses the data folder" in refused.stderr, "only while no server runs"
    server.stop()
    assert "no other" in server.cairn("root-key", "renew").stdout
    server.start()
    server.exports, server._session, server._clients = server.read_exports(), None, {}
    assert server.client("sts").get_caller_identity()["Arn"].endswith(":root")
    made = [e for e in server.events(region="us-east-1", EventName="CreateAccessKey", at_least=3)
            if e["userAgent"] == "cairn root-key"]
    assert len(made) == 1 and "errorCode" not in made[0]
    assert made[0]["responseElements"]["accessKey"]["accessKeyId"] == server.access_key
