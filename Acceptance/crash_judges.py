# SPDX-License-Identifier: Apache-2.0
"""What the crash tests judge by: readers of our own of the journal's files, of delivered log files and of digests.

They know the documented formats alone (docs/journal-format.md; AWS's digest file structure), nothing of the server.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import struct
from pathlib import Path

import rsa  # comes with the AWS CLI, which verifies digests with it


class JournalReader:
    """Reads the journal of a server that is dead, from where it was last time."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.next = 0
        self.isTrimmedUnread = False

    def entries(self):
        """(number, kind, record) of each entry from `self.next` on; stops at a torn end, as docs/journal-format.md has it."""
        segments = sorted(int(path.name[:20]) for path in self.folder.glob("*.journal"))
        self.isTrimmedUnread = bool(segments) and segments[0] > self.next
        for index, first in enumerate(segments):
            end = segments[index + 1] if index + 1 < len(segments) else None
            if end is None or end > self.next:
                yield from self._segment(first)

    def _segment(self, first: int):
        data = (self.folder / f"{first:020}.journal").read_bytes()
        magic, version, chain, number, _, salt, _, alignment = struct.unpack_from("<8sIIQQQII", data)
        assert magic == b"CAIRNJNL" and version == 1 and number == first
        offset = alignment
        while offset + 64 <= len(data):
            magic, checksum, its_salt, number, count, size, _, its_chain = struct.unpack_from("<4sIQQIIII", data, offset)
            if magic != b"CJBK" or its_salt != salt or its_chain != chain or count == 0:
                return
            payload = data[offset + 64:offset + 64 + size]
            cut = list(self._cut(payload, count))
            if len(cut) != count:
                return  # torn
            for place, entry in enumerate(cut):
                if number + place >= self.next:
                    self.next = number + place + 1
                    yield number + place, entry[0], entry[21:]
            chain = checksum
            offset = -(-(offset + 64 + size) // alignment) * alignment

    @staticmethod
    def _cut(payload: bytes, count: int):
        offset = 0
        for _ in range(count):
            if offset + 4 > len(payload):
                return
            size, = struct.unpack_from("<I", payload, offset)
            entry = payload[offset + 4:offset + 4 + size]
            if len(entry) != size or size < 21 or not entry.endswith(b"}"):
                return
            offset += 4 + size
            yield entry


class TrailJudge:
    """What a trail has delivered, taken in as it grows: each event once, keys that only grow, a chain that links."""

    def __init__(self, server, trail):
        self.server, self.trail = server, trail
        self.last_key = ""
        self.records: dict[str, dict] = {}  # event id: record
        self.requests: dict[str, int] = {}
        self.digest: tuple[str, str, str] | None = None  # key, hash, signature
        self.hashes: dict[str, str] = {}
        self.proven: set[str] = set()
        self.last_digest = ""
        self.keys: dict[str, object] = {}

    def _new(self, folder: str, after: str) -> list[str]:
        s3 = self.server.client("s3")
        prefix = f"{self.trail.prefix + '/' if self.trail.prefix else ''}AWSLogs/{self.server.account_id}/{folder}/"
        found, token = [], {}
        while True:
            page = s3.list_objects_v2(Bucket=self.trail.bucket, Prefix=prefix, **token,
                                      **({"StartAfter": after} if after and not token else {}))
            found += [item["Key"] for item in page.get("Contents", [])]
            if not page.get("IsTruncated"):
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def look(self) -> None:
        self._log_files()
        self._digests()

    def _log_files(self) -> None:
        for key in self._new("CloudTrail", self.last_key):
            assert key > self.last_key, f"{key} after {self.last_key}"
            self.last_key = key
            content = gzip.decompress(self.server.body(self.trail.bucket, key))
            self.hashes[key] = hashlib.sha256(content).hexdigest()
            for record in json.loads(content)["Records"]:
                assert record["eventID"] not in self.records, f"{self.trail.name}: {record['eventID']} twice, in {key}"
                self.records[record["eventID"]] = record
                if request := record.get("requestID"):
                    self.requests[request] = self.requests.get(request, 0) + 1

    def _digests(self) -> None:
        for key in self._new("CloudTrail-Digest", self.last_digest):
            self.last_digest = key
            answer = self.server.client("s3").get_object(Bucket=self.trail.bucket, Key=key)
            content = gzip.decompress(answer["Body"].read())
            signature = answer["Metadata"]["signature"]
            digest = json.loads(content)
            assert digest["digestS3Object"] == key and digest["digestS3Bucket"] == self.trail.bucket
            if digest["previousDigestS3Object"] is not None:
                assert self.digest is not None
                assert (digest["previousDigestS3Object"], digest["previousDigestHashValue"],
                        digest["previousDigestSignature"]) == self.digest, f"{key} does not link"
            text = "\n".join([digest["digestEndTime"], f"{self.trail.bucket}/{key}",
                              hashlib.sha256(content).hexdigest(), digest["previousDigestSignature"] or "null"])
            rsa.verify(text.encode(), bytes.fromhex(signature), self._key(digest["digestPublicKeyFingerprint"]))
            self.digest = (key, hashlib.sha256(content).hexdigest(), signature)
            for file in digest["logFiles"]:
                name = file["s3Object"]
                assert name not in self.proven, f"{name} is in two digests"
                if name not in self.hashes:
                    self.hashes[name] = hashlib.sha256(
                        gzip.decompress(self.server.body(self.trail.bucket, name))).hexdigest()
                assert file["hashValue"] == self.hashes[name], f"{name} is not what its digest says"
                self.proven.add(name)

    def _key(self, fingerprint: str):
        if fingerprint not in self.keys:
            for key in self.server.client("cloudtrail").list_public_keys(StartTime=0)["PublicKeyList"]:
                value = key["Value"]
                raw = base64.b64decode(value) if isinstance(value, str) else value
                self.keys[key["Fingerprint"]] = rsa.PublicKey.load_pkcs1(raw, "DER")
        return self.keys[fingerprint]
