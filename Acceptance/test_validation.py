# SPDX-License-Identifier: Apache-2.0
"""Proof: digests that `aws cloudtrail validate-logs` accepts, and tampering that it finds, file by file."""

import gzip
import hashlib
import json
import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from conftest import wait_until


def now() -> datetime:
    return datetime.now(timezone.utc)


class Chain:
    """A trail with four digests or more and a log file in each of several, from the oldest."""

    def __init__(self, server, trail, start):
        self.server, self.trail, self.start = server, trail, start
        self.s3 = server.client("s3")

    def document(self, key: str) -> dict:
        return json.loads(gzip.decompress(self.server.body(self.trail.bucket, key)))

    def url(self, key: str) -> str:
        return f"s3://{self.trail.bucket}/{key}"

    def validate(self, *more: str, region: str = "us-east-1"):
        end = now() + timedelta(seconds=2)
        done = self.server.aws(
            "cloudtrail", "validate-logs", "--trail-arn", self.trail.arn, "--start-time", self.start.isoformat(),
            "--end-time", end.isoformat(), "--verbose", "--region", region, *more, check=False)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line]
        bad = sorted(
            line.split("\t")[1] + " " + line.split("\t")[2] for line in lines
            if line.startswith(("Digest file\t", "Log file\t")) and not line.endswith("\tvalid"))
        good = sorted(line.split("\t")[1] for line in lines if line.endswith("\tvalid"))
        return done.returncode, bad, good, done.stdout + done.stderr

    def keep(self, key: str):
        """The object as it is, to be put back."""
        answer = self.s3.get_object(Bucket=self.trail.bucket, Key=key)
        return {"Key": key, "Body": answer["Body"].read(), "Metadata": answer["Metadata"],
                "ContentType": answer["ContentType"], "ContentEncoding": answer.get("ContentEncoding", "")}

    def put(self, kept: dict, **changed):
        self.s3.put_object(Bucket=self.trail.bucket, **{**kept, **changed})

    def delete(self, key: str):
        self.s3.delete_object(Bucket=self.trail.bucket, Key=key)


@pytest.fixture(scope="module")
def chain(server):
    start = now() - timedelta(seconds=1)
    trail = server.make_trail("proof")
    sts = server.client("sts")
    end = time.monotonic() + 90
    while time.monotonic() < end:
        sts.get_caller_identity()
        chain = Chain(server, trail, start)
        full = [key for key in trail.digest_keys() if chain.document(key)["logFiles"]]
        if len(full) >= 4:
            break
        time.sleep(0.7)
    else:
        raise AssertionError(f"no four digests with log files: {trail.digest_keys()}")
    # No further files, so that what is tampered with stays what it is; the chain ends with its last digest.
    server.client("cloudtrail").stop_logging(Name="proof")
    known = -1
    for _ in range(40):
        time.sleep(0.7)
        if len(trail.digest_keys()) == known and "LatestDigestDeliveryError" not in trail.status():
            listed = {f["s3Object"] for key in trail.digest_keys() for f in chain.document(key)["logFiles"]}
            if set(trail.log_keys()) <= listed:
                break
        known = len(trail.digest_keys())
    return Chain(server, trail, start)


def test_everything_is_valid(chain):
    status, bad, good, text = chain.validate()
    assert (status, bad) == (0, []), text
    assert set(good) == {chain.url(key) for key in chain.trail.digest_keys() + chain.trail.log_keys()}
    digests, logs = len(chain.trail.digest_keys()), len(chain.trail.log_keys())
    assert f"{digests}/{digests} digest files valid" in text
    assert f"{logs}/{logs} log files valid" in text


def test_digests_are_as_documented(chain):
    server, trail = chain.server, chain.trail
    keys = trail.digest_keys()
    previous = None
    phase = set()
    for index, key in enumerate(keys):
        document = chain.document(key)
        head = chain.s3.head_object(Bucket=trail.bucket, Key=key)
        assert list(document) == [
            "awsAccountId", "digestStartTime", "digestEndTime", "digestS3Bucket", "digestS3Object",
            "digestPublicKeyFingerprint", "digestSignatureAlgorithm", "newestEventTime", "oldestEventTime",
            "previousDigestS3Bucket", "previousDigestS3Object", "previousDigestHashValue", "previousDigestHashAlgorithm",
            "previousDigestSignature", "logFiles"]
        assert re.fullmatch(
            rf"AWSLogs/{server.account_id}/CloudTrail-Digest/us-east-1/\d{{4}}/\d\d/\d\d/{server.account_id}"
            r"_CloudTrail-Digest_us-east-1_proof_us-east-1_\d{8}T\d{6}Z\.json\.gz", key)
        assert document["digestEndTime"].replace("-", "").replace(":", "") == key[-24:-8]
        assert document["digestS3Object"] == key and document["digestS3Bucket"] == trail.bucket
        assert head["Metadata"]["signature-algorithm"] == document["digestSignatureAlgorithm"] == "SHA256withRSA"
        assert re.fullmatch("[0-9a-f]{512}", head["Metadata"]["signature"])
        if previous is None:
            assert [document[name] for name in document if name.startswith("previous")] == [None] * 5
        else:
            content = gzip.decompress(server.body(trail.bucket, previous["key"]))
            assert document["previousDigestS3Object"] == previous["key"]
            assert document["previousDigestSignature"] == previous["signature"]
            assert document["previousDigestHashValue"] == hashlib.sha256(content).hexdigest()
            assert document["digestStartTime"] == previous["end"]
        if not document["logFiles"]:
            assert document["newestEventTime"] is None and document["oldestEventTime"] is None
        for file in document["logFiles"]:
            content = gzip.decompress(server.body(file["s3Bucket"], file["s3Object"]))
            assert file["hashValue"] == hashlib.sha256(content).hexdigest()
            assert file["hashAlgorithm"] == "SHA-256"
            times = [record["eventTime"] for record in json.loads(content)["Records"]]
            assert (file["oldestEventTime"], file["newestEventTime"]) == (min(times), max(times))
        if index < len(keys) - 1:
            phase.add(int(datetime.fromisoformat(document["digestEndTime"]).timestamp()) % 5)
        previous = {"key": key, "signature": head["Metadata"]["signature"], "end": document["digestEndTime"]}
    assert len(phase) == 1, "the phase is constant"


def test_each_log_file_is_in_exactly_one_digest(chain):
    listed = [f["s3Object"] for key in chain.trail.digest_keys() for f in chain.document(key)["logFiles"]]
    assert sorted(listed) == sorted(chain.trail.log_keys())


def test_public_keys_are_pkcs1_with_their_fingerprint_and_always_listed(server):
    cloudtrail = server.client("cloudtrail")
    for start, end in [(now() - timedelta(days=3650), now() - timedelta(days=3649)),
                       (now() + timedelta(days=3650), now() + timedelta(days=3651)), (now(), now() + timedelta(hours=2))]:
        keys = cloudtrail.list_public_keys(StartTime=start, EndTime=end)["PublicKeyList"]
        assert keys
        for key in keys:
            assert key["Value"][:2] == b"\x30\x82"
            assert hashlib.md5(key["Value"]).hexdigest() == key["Fingerprint"]
            assert key["ValidityStartTime"] < key["ValidityEndTime"]
    with pytest.raises(cloudtrail.exceptions.InvalidTimeRangeException):
        cloudtrail.list_public_keys(StartTime=now(), EndTime=now() - timedelta(hours=1))


# -- Tampering: each case changes one thing, the validator names exactly that, and then all is put back. -----------------


def inner(chain) -> str:
    """A digest with log files that is neither the oldest nor the newest."""
    return [key for key in chain.trail.digest_keys()[1:-1] if chain.document(key)["logFiles"]][0]


def log_of(chain) -> str:
    return chain.document(inner(chain))["logFiles"][0]["s3Object"]


def expect(chain, bad: list[str]):
    status, found, good, text = chain.validate()
    assert found == sorted(bad), text
    assert status == 1, text
    return good


def test_an_edited_event_is_found(chain):
    kept = chain.keep(log_of(chain))
    content = json.loads(gzip.decompress(kept["Body"]))
    content["Records"][0]["sourceIPAddress"] = "203.0.113.7"
    try:
        chain.put(kept, Body=gzip.compress(json.dumps(content, separators=(",", ":")).encode()))
        expect(chain, [chain.url(kept["Key"]) + " INVALID: hash value doesn't match"])
    finally:
        chain.put(kept)


def test_a_flipped_byte_is_found(chain):
    kept = chain.keep(log_of(chain))
    body = bytearray(kept["Body"])
    body[len(body) // 2] ^= 0x01
    try:
        chain.put(kept, Body=bytes(body))
        status, found, _, text = chain.validate()
        assert status == 1, text
        # What a flipped bit does to a deflate stream is not ours to say: other bytes, or none at all.
        assert len(found) == 1 and found[0].startswith(chain.url(kept["Key"]) + " INVALID: "), text
    finally:
        chain.put(kept)


def test_a_deleted_log_file_is_found(chain):
    kept = chain.keep(log_of(chain))
    try:
        chain.delete(kept["Key"])
        expect(chain, [chain.url(kept["Key"]) + " INVALID: not found"])
    finally:
        chain.put(kept)


def test_a_swapped_pair_of_log_files_is_found(chain):
    one, two = (chain.keep(key) for key in chain.trail.log_keys()[1:3])
    try:
        chain.put(one, Body=two["Body"])
        chain.put(two, Body=one["Body"])
        expect(chain, [chain.url(one["Key"]) + " INVALID: hash value doesn't match",
                       chain.url(two["Key"]) + " INVALID: hash value doesn't match"])
    finally:
        chain.put(one)
        chain.put(two)


def test_a_deleted_digest_is_found(chain):
    kept = chain.keep(inner(chain))
    try:
        chain.delete(kept["Key"])
        expect(chain, [chain.url(kept["Key"]) + " INVALID: not found"])
    finally:
        chain.put(kept)


def test_an_edited_digest_is_found(chain):
    kept = chain.keep(inner(chain))
    document = json.loads(gzip.decompress(kept["Body"]))
    document["logFiles"] = document["logFiles"][1:]
    try:
        chain.put(kept, Body=gzip.compress(json.dumps(document, separators=(",", ":")).encode()))
        expect(chain, [chain.url(kept["Key"]) + " INVALID: signature verification failed"])
    finally:
        chain.put(kept)


def test_a_replaced_signature_is_found(chain):
    kept = chain.keep(inner(chain))
    other = chain.keep(chain.trail.digest_keys()[0])
    try:
        chain.put(kept, Metadata={**kept["Metadata"], "signature": other["Metadata"]["signature"]})
        expect(chain, [chain.url(kept["Key"]) + " INVALID: signature verification failed"])
    finally:
        chain.put(kept)


def test_a_missing_signature_is_found(chain):
    kept = chain.keep(inner(chain))
    try:
        chain.put(kept, Metadata={"signature-algorithm": "SHA256withRSA"})
        expect(chain, [chain.url(kept["Key"]) + " INVALID: signature verification failed"])
    finally:
        chain.put(kept)


def test_a_swapped_pair_of_digests_is_found(chain):
    one, two = (chain.keep(key) for key in chain.trail.digest_keys()[1:3])
    try:
        chain.put({**two, "Key": one["Key"]})
        chain.put({**one, "Key": two["Key"]})
        expect(chain, [chain.url(one["Key"]) + " INVALID: has been moved from its original location",
                       chain.url(two["Key"]) + " INVALID: has been moved from its original location"])
    finally:
        chain.put(one)
        chain.put(two)


def test_a_digest_that_is_not_gzip_is_found(chain):
    kept = chain.keep(inner(chain))
    try:
        chain.put(kept, Body=b"not a digest")
        expect(chain, [chain.url(kept["Key"]) + " INVALID: invalid format"])
    finally:
        chain.put(kept)


def test_all_is_valid_again_after_everything_was_put_back(chain):
    status, bad, _, text = chain.validate()
    assert (status, bad) == (0, []), text


# -- Chains over time ----------------------------------------------------------------------------------------------------


def test_empty_digests_and_a_restarted_chain_are_valid(make_server):
    server = make_server(digest_interval="2s")
    start = now() - timedelta(seconds=1)
    trail = server.make_trail("gaps")
    chain = Chain(server, trail, start)
    wait_until(lambda: len(trail.digest_keys()) >= 2, 30)
    cloudtrail = server.client("cloudtrail")
    # The trail takes no management events for a while, so its digests are empty.
    cloudtrail.put_event_selectors(TrailName="gaps", EventSelectors=[{"IncludeManagementEvents": False}])
    wait_until(lambda: trail.digest_keys() and not chain.document(trail.digest_keys()[-1])["logFiles"], 30)
    cloudtrail.stop_logging(Name="gaps")
    time.sleep(5)
    stopped = len(trail.digest_keys())
    time.sleep(3)
    assert len(trail.digest_keys()) == stopped, "no digests while nothing is logged"
    cloudtrail.start_logging(Name="gaps")
    wait_until(lambda: len(trail.digest_keys()) >= stopped + 2, 30)
    firsts = [key for key in trail.digest_keys() if chain.document(key)["previousDigestSignature"] is None]
    assert len(firsts) == 2
    status, bad, _, text = chain.validate()
    assert (status, bad) == (0, []), text
    assert "No log files were delivered by CloudTrail between" in text


def test_the_chain_goes_on_over_a_restart_and_a_kill(make_server):
    server = make_server(digest_interval="2s")
    start = now() - timedelta(seconds=1)
    trail = server.make_trail("restarts")
    chain = Chain(server, trail, start)
    for end in (server.stop, server.kill):
        server.client("sts").get_caller_identity()
        before = len(trail.digest_keys())
        wait_until(lambda: len(trail.digest_keys()) >= before + 2, 30)
        end()
        time.sleep(4.5)
        server.start()
    wait_until(lambda: len(trail.digest_keys()) >= 6, 30)
    documents = [chain.document(key) for key in trail.digest_keys()]
    assert [d["digestStartTime"] for d in documents[1:]] == [d["digestEndTime"] for d in documents[:-1]]
    assert [d["previousDigestSignature"] is None for d in documents] == [True] + [False] * (len(documents) - 1)
    status, bad, _, text = chain.validate()
    assert (status, bad) == (0, []), text


def test_each_region_validates_by_itself(make_server):
    server = make_server(digest_interval="2s")
    start = now() - timedelta(seconds=1)
    trail = server.make_trail("world")
    server.client("sts", region_name="eu-west-1").get_caller_identity()
    wait_until(lambda: any("/CloudTrail-Digest/eu-west-1/" in key for key in trail.digest_keys()), 30)
    time.sleep(3)
    chain = Chain(server, trail, start)
    for region in ("us-east-1", "eu-west-1"):
        status, bad, good, text = chain.validate(region=region)
        assert (status, bad) == (0, []), text
        assert any(f"/CloudTrail/{region}/" in url for url in good), text


def test_a_deleted_trail_leaves_a_chain_with_its_last_digest(make_server):
    server = make_server(digest_interval="1h")
    trail = server.make_trail("gone")
    delete = server.client("cloudtrail").delete_trail(Name="gone")["ResponseMetadata"]["RequestId"]
    wait_until(lambda: trail.digest_keys(), 20)
    document = Chain(server, trail, now()).document(trail.digest_keys()[-1])
    listed = {file["s3Object"] for file in document["logFiles"]}
    assert listed == set(trail.log_keys())
    assert delete in [record["requestID"] for record in trail.records()]
    assert server.client("cloudtrail").list_trails()["Trails"] == []
