# SPDX-License-Identifier: Apache-2.0
"""A trail's bucket on another S3 server: moto's, Ceph's gateway, OpenStack Swift's s3api; none of them knows Cairn.

The engine gets Cairn's own key, so that `aws cloudtrail validate-logs` speaks to both with one set of credentials.
CAIRN_SKIP_ENGINES=1 leaves Ceph and Swift out.
"""

import gzip
import json
import os
import shutil
import subprocess
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3
import botocore.config
import pytest

import engines
from conftest import code_of, error_of, request_id_of, wait_until

ENGINES = {"moto": engines.Moto, "ceph": engines.Ceph, "swift": engines.Swift}


class House:
    """A Cairn whose buckets `outside-*` an engine holds."""

    def __init__(self, make_server, folder: Path, kind: str, **settings):
        self.folder, self.kind = folder, kind
        self.server = make_server()
        self.server.stop()  # The first start made the key that both sides are to have.
        self.engine = self.begin(kind, **settings.pop("engine", {}))
        self.settings = settings
        self.configure()
        self.s3 = self.client()

    def begin(self, kind: str, **more):
        try:
            if more:
                engine = ENGINES[kind](self.folder / kind, self.server.access_key, self.server.secret_key, **more)
                engine.start()
                return engine
            return ENGINES[kind].begin(self.folder, self.server.access_key, self.server.secret_key)
        except engines.Missing as missing:
            pytest.skip(str(missing))

    def client(self, **more):
        return boto3.client(
            "s3", **{"endpoint_url": self.engine.own_url, "aws_access_key_id": self.server.access_key,
                     "aws_secret_access_key": self.server.secret_key, "region_name": "us-east-1", **more},
            config=botocore.config.Config(
                s3={"addressing_style": "path"}, request_checksum_calculation="when_required",
                retries={"total_max_attempts": 4}))

    def configure(self, *, url: str | None = None, secret: str | None = None, **settings):
        """Writes the configuration file and the credentials file, and starts the server with them."""
        credentials = self.folder / "credentials"
        credentials.touch(mode=0o600)
        credentials.write_text(
            f"[default]\naws_access_key_id = {self.server.access_key}\n"
            f"aws_secret_access_key = {secret or self.server.secret_key}\n")
        lines = {"url": url or self.engine.url, "buckets": '["outside-*"]', "credentials-file": credentials,
                 **{key.replace("_", "-"): value for key, value in {**self.settings, **settings}.items()}}
        path = self.folder / "cairn.yaml"
        path.write_text("s3-endpoints:\n  engine:\n" + "".join(f"    {k}: {v}\n" for k, v in lines.items()))
        if self.server.is_running:
            self.server.stop()
        self.server.flags["config"] = str(path)
        self.server.start()

    def make_trail(self, bucket: str = "outside-logs", **more):
        self.s3.create_bucket(Bucket=bucket)
        cloudtrail = self.server.client("cloudtrail")
        arn = cloudtrail.create_trail(
            Name="trail", S3BucketName=bucket, EnableLogFileValidation=True, IsMultiRegionTrail=True, **more)["TrailARN"]
        cloudtrail.start_logging(Name="trail")
        return arn

    def keys(self, folder: str, bucket: str = "outside-logs") -> list[str]:
        pages = self.s3.get_paginator("list_objects").paginate(Bucket=bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", [])
                if f"/{folder}/" in item["Key"] and item["Key"].endswith(".json.gz")]

    def document(self, key: str, bucket: str = "outside-logs") -> dict:
        return json.loads(gzip.decompress(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()))

    def delivered(self) -> Counter:
        """How often each request id stands in the log files."""
        return Counter(
            record["requestID"] for key in self.keys("CloudTrail") for record in self.document(key)["Records"])

    def call(self, count: int) -> list[str]:
        sts = self.server.client("sts")
        return [request_id_of(sts.get_caller_identity()) for _ in range(count)]

    def await_once(self, ids: list[str], timeout: float = 60) -> None:
        """All have been delivered, each once."""
        wait_until(lambda: set(ids) <= set(self.delivered()), timeout, every=0.5, what="delivery of all events")
        counts = self.delivered()
        assert {i: counts[i] for i in ids if counts[i] != 1} == {}

    def status(self) -> dict:
        return self.server.client("cloudtrail").get_trail_status(Name="trail")

    def full_digests(self) -> list[str]:
        return [key for key in self.keys("CloudTrail-Digest") if self.document(key)["logFiles"]]

    def validate(self, arn: str, start: datetime):
        """`aws cloudtrail validate-logs`: trails and keys from Cairn, digests and log files from the engine itself."""
        end = datetime.now(timezone.utc) + timedelta(seconds=2)
        return self.server.aws(
            "cloudtrail", "validate-logs", "--trail-arn", arn, "--start-time", start.isoformat(), "--end-time",
            end.isoformat(), "--verbose", check=False,
            env={"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_CLOUDTRAIL": self.server.endpoint,
                 "AWS_ENDPOINT_URL_S3": self.engine.url})


@pytest.fixture
def make_house(make_server, tmp_path):
    made: list[House] = []

    def make(kind: str, **settings) -> House:
        if kind != "moto" and os.environ.get("CAIRN_SKIP_ENGINES") == "1":
            pytest.skip("CAIRN_SKIP_ENGINES=1")
        made.append(House(make_server, tmp_path, kind, **settings))
        return made[-1]

    yield make
    for house in made:
        house.server.kill()
        house.engine.close()


@pytest.mark.parametrize("kind", ENGINES)
def test_a_trail_delivers_to_an_engine_through_an_outage_and_the_cli_validates_it_there(make_house, kind):
    house = make_house(kind)
    start = datetime.now(timezone.utc) - timedelta(seconds=1)
    cloudtrail = house.server.client("cloudtrail")

    # A bucket that is not there, then one that is; the probe leaves the trail's two folders.
    error = error_of(cloudtrail.create_trail, Name="trail", S3BucketName="outside-none")
    assert code_of(error) == "S3BucketDoesNotExistException"
    arn = house.make_trail()
    folder = f"AWSLogs/{house.server.account_id}"
    for name in ("CloudTrail", "CloudTrail-Digest"):
        assert house.s3.head_object(Bucket="outside-logs", Key=f"{folder}/{name}/")["ContentLength"] == 0

    ids = house.call(5)
    house.await_once(ids)
    head = house.s3.head_object(Bucket="outside-logs", Key=house.keys("CloudTrail")[0])
    assert head["ContentType"] == "application/json" and head["ContentEncoding"] == "gzip"
    wait_until(house.full_digests, 40, every=0.5)

    # The engine goes while events come in, and it comes back: all are there, each once.
    house.engine.stop()
    ids += house.call(20)
    wait_until(lambda: house.status().get("LatestDeliveryError") == "ServiceUnavailable", 20)
    ids += house.call(20)
    wait_until(lambda: "LatestDigestDeliveryError" in house.status(), 20)
    house.engine.resume()
    house.await_once(ids)
    wait_until(lambda: "LatestDeliveryError" not in house.status(), 20)
    wait_until(lambda: "LatestDigestDeliveryError" not in house.status(), 40)
    wait_until(lambda: {f"{f['s3Bucket']}/{f['s3Object']}" for key in house.full_digests()
                        for f in house.document(key)["logFiles"]} >= {f"outside-logs/{house.keys('CloudTrail')[0]}"}, 20)

    done = house.validate(arn, start)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "INVALID" not in done.stdout and done.stdout.count("\tvalid") >= 3, done.stdout
    assert "digest files valid" in done.stdout, done.stdout

    # A forger at the engine is caught.
    key = house.document(house.full_digests()[-1])["logFiles"][0]["s3Object"]
    kept = house.s3.get_object(Bucket="outside-logs", Key=key)
    document = json.loads(gzip.decompress(kept["Body"].read()))
    document["Records"][0]["sourceIPAddress"] = "203.0.113.7"
    house.s3.put_object(
        Bucket="outside-logs", Key=key, Body=gzip.compress(json.dumps(document).encode()),
        ContentType="application/json", ContentEncoding="gzip")
    done = house.validate(arn, start)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"s3://outside-logs/{key}\tINVALID: hash value doesn't match" in done.stdout + done.stderr

    # Keys that the engine does not know are refused by it, and told as CloudTrail tells it. (Moto takes any.)
    if kind != "moto":
        house.configure(secret="wrong")
        error = error_of(house.server.client("cloudtrail").update_trail, Name="trail", S3KeyPrefix="x")
        assert code_of(error) == "InsufficientS3BucketPolicyException"
        assert "outside-logs" in str(error)
    assert house.server.secret_key not in house.server.all_log_text()


def test_a_put_that_is_cut_in_the_middle_is_made_whole(make_house):
    house = make_house("moto")
    house.make_trail()
    house.await_once(house.call(1))
    # The head of a put takes about 800 bytes; names that cannot be compressed make its body longer than the cuts.
    iam = house.server.client("iam")
    house.engine.relay.cut_after(1_000, 1_500, 2_000, 2_500)
    ids = [request_id_of(error_of(iam.get_user, UserName=os.urandom(30).hex())) for _ in range(40)]
    house.await_once(ids)
    assert house.engine.relay.cut_count == 4
    for key in house.keys("CloudTrail"):
        assert house.document(key)["Records"]


def test_encryption_headers_and_acl_are_settings_of_the_endpoint(make_house):
    house = make_house("moto", encryption="AES256")
    house.make_trail()
    house.await_once(house.call(1))
    head = house.s3.head_object(Bucket="outside-logs", Key=house.keys("CloudTrail")[0])
    assert head["ServerSideEncryption"] == "AES256"
    key_id = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"
    house.configure(encryption="aws:kms", kms_key_id=key_id)
    known = house.keys("CloudTrail")
    house.await_once(house.call(1))
    head = house.s3.head_object(Bucket="outside-logs", Key=[k for k in house.keys("CloudTrail") if k not in known][-1])
    assert head["ServerSideEncryption"] == "aws:kms" and head["SSEKMSKeyId"] == key_id


def test_a_private_authority_is_believed_where_it_is_named(make_house, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True)
    house = make_house("moto", engine={"tls": (certificate, key)})
    url = house.engine.url.replace("http:", "https:").replace("127.0.0.1", "localhost")
    house.configure(url=url)
    house.s3 = house.client(endpoint_url=url, verify=str(certificate))
    house.s3.create_bucket(Bucket="outside-logs")
    create = {"Name": "trail", "S3BucketName": "outside-logs"}
    error = error_of(house.server.client("cloudtrail").create_trail, **create)
    assert code_of(error) == "ServiceUnavailable" and "endpoint engine" in str(error)
    house.configure(url=url, trusted_ca=certificate)
    house.server.client("cloudtrail").create_trail(**create)
    house.server.client("cloudtrail").start_logging(Name="trail")
    house.await_once(house.call(1))


def test_what_an_endpoint_is_told_wrongly_stops_the_start(make_server, tmp_path):
    server = make_server(started=False)
    path = tmp_path / "cairn.yaml"
    server.flags["config"] = str(path)
    open_file = tmp_path / "open"
    open_file.write_text("[default]\naws_access_key_id = A\naws_secret_access_key = B\n")
    open_file.chmod(0o644)
    good = {"url": "http://127.0.0.1:9", "buckets": "[a]"}
    for more, expected in [
        ({"adressing": "path"}, "unknown setting `adressing`"),
        ({"url": "ftp://x"}, "`url` must be"),
        ({"addressing": "virtual"}, "needs a host name"),
        ({"encryption": "rot13"}, "`encryption` must be"),
        ({"buckets": "[]"}, "`buckets` must name"),
        ({}, "CAIRN_S3_ENGINE_ACCESS_KEY_ID"),
        ({"credentials-file": tmp_path / "none"}, "cannot be read"),
        ({"credentials-file": open_file}, "chmod 600"),
    ]:
        path.write_text("s3-endpoints:\n  engine:\n" + "".join(f"    {k}: {v}\n" for k, v in {**good, **more}.items()))
        with pytest.raises(AssertionError) as refused:
            server.start()
        assert expected in str(refused.value) and "`engine`" in str(refused.value), str(refused.value)
