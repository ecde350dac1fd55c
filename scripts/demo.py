#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows what Cairn does, with the AWS CLI alone: record, look up, import, deliver, prove, and catch a forger.

Each step prints the command that it runs and what came of it, and checks that. The exit status is 0 only if every step
came out right. Everything happens in a temporary folder, which is removed at the end.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CAIRN = os.environ.get("CAIRN_BINARY") or str(ROOT / ".build" / "release" / "cairn")
AWS = str(Path(sys.executable).parent / "aws")
if not os.access(AWS, os.X_OK):
    AWS = shutil.which("aws") or "aws"
REAL = Path(os.environ.get("CAIRN_REAL_RECORDS") or ROOT.parent / "shared" / "data" / "cloudtrail-real")
SAMPLE = ROOT / "Acceptance" / "data" / "sample-records"

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
BUCKET, TRAIL = "demo-audit-logs", "demo"


def paint(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


class Wrong(Exception):
    """A step did not come out right."""


class Demo:
    def __init__(self, folder: Path):
        self.folder = folder
        self.data = folder / "data"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CAIRN_"))}
        self.environment.update(
            HOME=str(folder), AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_PAGER="",
            AWS_EC2_METADATA_DISABLED="true", AWS_MAX_ATTEMPTS="1")
        self.server: subprocess.Popen | None = None
        self.steps = 0
        self.begin = datetime.now(timezone.utc) - timedelta(seconds=2)

    # -- telling ----------------------------------------------------------------------------------------------------

    def step(self, title: str) -> None:
        self.steps += 1
        print(f"\n{paint('1', f'{self.steps}. {title}')}", flush=True)

    def show(self, text: str, limit: int = 24) -> None:
        lines = text.rstrip().splitlines()
        for line in lines[:limit]:
            print(f"    {line[:200]}")
        if len(lines) > limit:
            print(f"    ... {len(lines) - limit} more lines")

    def good(self, text: str) -> None:
        print(f"    {paint('32', 'ok:')} {text}", flush=True)

    def check(self, condition, text: str) -> None:
        if not condition:
            raise Wrong(text)
        self.good(text)

    # -- running ----------------------------------------------------------------------------------------------------

    def run(self, command: list[str], *, status: int | None = 0, quiet: bool = False, env: dict | None = None,
            shown_env: str = "") -> subprocess.CompletedProcess:
        shown = [Path(command[0]).name, *command[1:]]
        words = " ".join(shlex.quote(word).replace(str(self.folder), "$DEMO") for word in shown)
        print(f"  {paint('36', '$ ' + shown_env + words)}", flush=True)
        done = subprocess.run(
            command, env={**self.environment, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=240)
        right = done.returncode != 0 if status is None else done.returncode == status
        if not quiet or not right:
            self.show(done.stdout + done.stderr)
        if not right:
            raise Wrong(f"the command ended with status {done.returncode}")
        return done

    def aws(self, *words: str, status: int | None = 0, **kw) -> subprocess.CompletedProcess:
        return self.run([AWS, *words], status=status, **kw)

    def ask(self, *words: str, **kw):
        """Runs the AWS CLI and reads its JSON."""
        text = self.aws(*words, "--output", "json", **kw).stdout.strip()
        return json.loads(text) if text else None

    def refused(self, code: str, *words: str, **kw) -> None:
        """Runs the AWS CLI, which must be refused with this code."""
        done = self.aws(*words, status=None, **kw)
        self.check(code in done.stderr, f"refused with {code}")

    def wait(self, what: str, predicate, timeout: float = 60):
        print(f"    waiting for {what} ...", flush=True)
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = predicate()
            if found:
                return found
            time.sleep(1)
        raise Wrong(f"no {what} in {timeout:.0f} s")

    def copy_of(self, folder: str, show: bool = False) -> dict[str, Path]:
        """Copies a folder of the bucket (`CloudTrail`, `CloudTrail-Digest`); gives the copies by key, in key order."""
        prefix, copies = f"AWSLogs/{self.account}/{folder}/", self.folder / "copies"
        command = [AWS, "s3", "sync", f"s3://{BUCKET}/{prefix}", f"{copies}/{prefix}"]
        if show:
            self.run(command, quiet=True)
        else:
            subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, check=True,
                           timeout=60)
        found = sorted(path for path in (copies / prefix).rglob("*.gz"))
        return {str(path.relative_to(copies)): path for path in found}

    # -- the story --------------------------------------------------------------------------------------------------

    def tell(self) -> None:
        version = subprocess.run([AWS, "--version"], capture_output=True, text=True, check=True, env=self.environment)
        print(f"The AWS CLI is {(version.stdout or version.stderr).split(' ')[0]}, Cairn is {CAIRN}, "
              f"$DEMO is {self.folder}")
        self.start()
        self.create()
        self.use()
        self.look_up()
        self.bring_in()
        self.deliver()
        self.prove()
        self.forge()
        self.end()

    def start(self) -> None:
        self.step("Start a server in an empty folder; log files every 2 seconds, digests every 10, instead of 5 min and 1 h")
        command = [CAIRN, "serve", "--data", str(self.data), "--listen", "127.0.0.1:0", "--delivery-interval", "2s",
                   "--digest-interval", "10s"]
        print(f"  {paint('36', '$ cairn ' + ' '.join(command[1:]).replace(str(self.folder), '$DEMO') + ' &')}")
        log = self.folder / "server.log"
        with open(log, "wb") as stream:
            self.server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, env=self.environment)
        end = time.monotonic() + 30
        while "cairn is ready at" not in log.read_text():
            if self.server.poll() is not None or time.monotonic() > end:
                self.show(log.read_text())
                raise Wrong("the server is not ready")
            time.sleep(0.01)
        self.show(log.read_text())
        self.good("the server is ready")

        self.step("Let the AWS CLI use it: `cairn env` prints what a shell exports")
        done = self.run([CAIRN, "env", "--data", str(self.data)], quiet=True)
        exports = dict(word.split("=", 1) for line in done.stdout.splitlines()
                       for word in shlex.split(line, comments=True) if "=" in word)
        self.environment.update(exports)
        self.show(done.stdout.replace(exports["AWS_SECRET_ACCESS_KEY"], "*" * 20 + " (hidden in this demo)"))
        identity = self.ask("sts", "get-caller-identity")
        self.account = identity["Account"]
        self.check(re.fullmatch("[0-9]{12}", self.account), f"this is account {self.account}, by its root key")

    def create(self) -> None:
        self.step("A bucket for the log files, with the policy that AWS's guide tells to set")
        self.aws("s3api", "create-bucket", "--bucket", BUCKET)
        service = {"Service": "cloudtrail.amazonaws.com"}
        policy = {"Version": "2012-10-17", "Statement": [
            {"Sid": "AclCheck", "Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl",
             "Resource": f"arn:aws:s3:::{BUCKET}"},
            {"Sid": "Write", "Effect": "Allow", "Principal": service, "Action": "s3:PutObject",
             "Resource": f"arn:aws:s3:::{BUCKET}/AWSLogs/{self.account}/*",
             "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}}]}
        self.refused("InsufficientS3BucketPolicyException", "cloudtrail", "create-trail", "--name", TRAIL,
                     "--s3-bucket-name", BUCKET)
        (self.folder / "policy.json").write_text(json.dumps(policy, indent=1))
        self.aws("s3api", "put-bucket-policy", "--bucket", BUCKET, "--policy", f"file://{self.folder}/policy.json")

        self.step("A trail with log file validation, for all regions, object calls too")
        made = self.ask("cloudtrail", "create-trail", "--name", TRAIL, "--s3-bucket-name", BUCKET,
                        "--is-multi-region-trail", "--enable-log-file-validation")
        self.arn = made["TrailARN"]
        self.check(made["LogFileValidationEnabled"], "the trail has log file validation")
        self.ask("cloudtrail", "put-event-selectors", "--trail-name", TRAIL, "--event-selectors", json.dumps([{
            "ReadWriteType": "All", "IncludeManagementEvents": True,
            "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::"]}]}]))
        self.aws("cloudtrail", "start-logging", "--name", TRAIL)
        status = self.ask("cloudtrail", "get-trail-status", "--name", TRAIL)
        self.check(status["IsLogging"], "the trail is logging")

    def use(self) -> None:
        self.step("Calls of several kinds: some that work ...")
        (self.folder / "report.txt").write_text("quarterly figures, not for everybody\n")
        self.aws("s3api", "create-bucket", "--bucket", "demo-files")
        self.aws("s3", "cp", "--no-progress", str(self.folder / "report.txt"), "s3://demo-files/2024/report.txt")
        self.aws("s3", "ls", "s3://demo-files/2024/")
        self.aws("s3", "cp", "s3://demo-files/2024/report.txt", "-")
        self.aws("s3", "rm", "s3://demo-files/2024/report.txt")

        self.step("... and some that do not: wrong, denied, badly signed, by nobody")
        self.refused("NoSuchKey", "s3api", "get-object", "--bucket", "demo-files", "--key", "2024/report.txt",
                     str(self.folder / "nothing"))
        self.refused("TrailNotFoundException", "cloudtrail", "stop-logging", "--name", "no-such-trail")
        wrong = "wrongSecretwrongSecretwrongSecret0000000"
        self.refused("InvalidSignatureException", "cloudtrail", "delete-trail", "--name", TRAIL,
                     env={"AWS_SECRET_ACCESS_KEY": wrong}, shown_env=f"AWS_SECRET_ACCESS_KEY={wrong} ")
        self.refused("InvalidAccessKeyId", "s3api", "list-buckets", env={"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"},
                     shown_env="AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE ")
        self.refused("AccessDenied", "s3api", "list-objects-v2", "--bucket", BUCKET, "--no-sign-request")
        self.refused("InvalidAction", "iam", "generate-credential-report")

    def events(self, *words: str, region: str | None = None, **kw) -> list[dict]:
        more = ["--region", region] if region else []
        found = self.ask("cloudtrail", "lookup-events", *words, *more, quiet=True, **kw)["Events"]
        return [json.loads(event["CloudTrailEvent"]) for event in found]

    def print_events(self, records: list[dict], limit: int = 20) -> None:
        """A line for each; the same call many times in a row is one line with a count."""
        lines: list[list] = []
        for r in records:
            identity = r["userIdentity"]
            who = identity.get("userName") or identity.get("invokedBy") or identity.get("type")
            outcome = paint("31", r["errorCode"]) if r.get("errorCode") else "done"
            line = f"{who:<10}  {r['eventSource'].split('.')[0]:<10} {r['eventName']:<20} {outcome}"
            if lines and lines[-1][1] == line:
                lines[-1][2] += 1
            else:
                lines.append([r["eventTime"], line, 1])
        for moment, line, count in lines[:limit]:
            print(f"    {moment}  {line}{f' ({count} times)' if count > 1 else ''}")
        if len(lines) > limit:
            print(f"    ... {len(lines) - limit} more")

    def look_up(self) -> None:
        self.step("Every one of these calls is in event history, the refused ones too")
        records = self.events()
        self.print_events(records)
        names = {(r["eventName"], r.get("errorCode")) for r in records}
        for expected in [
                ("CreateTrail", None), ("CreateTrail", "InsufficientS3BucketPolicyException"), ("CreateBucket", None),
                ("StopLogging", "TrailNotFoundException"), ("DeleteTrail", "InvalidSignatureException"),
                ("ListBuckets", "InvalidAccessKeyId"), ("GenerateCredentialReport", "InvalidAction")]:
            self.check(expected in names, f"{expected[0]}: {expected[1] or 'done'}")
        self.step("Look-ups by attribute")
        records = self.events("--lookup-attributes", "AttributeKey=EventName,AttributeValue=CreateTrail")
        self.print_events(records)
        self.check(len(records) == 2, "two calls of CreateTrail: one refused, one done")
        records = self.events("--lookup-attributes", "AttributeKey=ResourceName,AttributeValue=" + BUCKET)
        self.print_events(records)
        self.check(records, "what happened to the bucket")

    def bring_in(self) -> None:
        folder = REAL if REAL.is_dir() else SAMPLE
        self.step(f"Import CloudTrail's own log files ({'real ones' if folder is REAL else 'the sample in this project'})")
        self.run([CAIRN, "import", "--data", str(self.data), str(folder)])
        again = self.run([CAIRN, "import", "--data", str(self.data), str(folder)])
        self.check(re.search(r"\b0\b", again.stdout + again.stderr), "the second time nothing was new")
        original = self.one_of(folder)
        records = self.events(
            "--lookup-attributes", f"AttributeKey=EventId,AttributeValue={original['eventID']}", "--start-time",
            "2010-01-01", region=original["awsRegion"])
        self.print_events(records)
        self.check(records == [original], "an imported record is found, and is what it was")

    @staticmethod
    def one_of(folder: Path) -> dict:
        """A telling record of the folder: a sign-in to the console, else the first."""
        first = None
        for path in sorted(p for p in folder.rglob("*") if p.name.endswith((".json", ".json.gz"))):
            raw = path.read_bytes()
            for record in json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)["Records"]:
                first = first or record
                if record["eventName"] == "ConsoleLogin":
                    return record
        return first

    def deliver(self) -> None:
        self.step("Log files arrive in the bucket, as CloudTrail writes them")

        def delivered():
            files = self.copy_of("CloudTrail")
            logs = {key: json.loads(gzip.decompress(path.read_bytes()))["Records"] for key, path in files.items()}
            seen = {(r["eventName"], r.get("errorCode")) for records in logs.values() for r in records}
            wanted = {("DeleteObject", None), ("GetObject", "NoSuchKey"), ("DeleteTrail", "InvalidSignatureException")}
            return logs if wanted <= seen else None

        self.logs = self.wait("log files with all of these calls", delivered)
        self.copy_of("CloudTrail", show=True)
        for key in self.logs:
            print(f"    s3://{BUCKET}/{key}")
        self.aws("s3api", "head-object", "--bucket", BUCKET, "--key", next(iter(self.logs)))
        records = [record for records in self.logs.values() for record in records]
        self.print_events(sorted(records, key=lambda r: r["eventTime"]), 60)
        print("    one of them, whole:")
        self.show(json.dumps(next(r for r in records if r["eventName"] == "DeleteObject"), indent=2), 60)
        ids = [record["eventID"] for record in records]
        self.check(len(ids) == len(set(ids)), f"{len(ids)} events in {len(self.logs)} log files, none twice")
        self.check(self.environment["AWS_SECRET_ACCESS_KEY"] not in json.dumps(records),
                   "the secret key is in none of them")

    def prove(self) -> None:
        self.step("A signed digest names every log file and its hash")
        newest = list(self.logs)[-1]

        def covered():
            for path in reversed(self.copy_of("CloudTrail-Digest").values()):
                digest = json.loads(gzip.decompress(path.read_bytes()))
                if newest in [file["s3Object"] for file in digest["logFiles"]]:
                    return digest
            return None

        self.show(json.dumps(self.wait("a digest of the newest log file", covered), indent=2), 40)
        self.aws("cloudtrail", "list-public-keys", "--start-time", self.begin.strftime("%Y-%m-%dT%H:%M:%SZ"))
        done = self.validate(0)
        for kind in ["log", "digest"]:
            valid, invalid = self.counts(done.stdout, kind)
            self.check(valid > 0 and invalid == 0, f"the AWS CLI finds every {kind} file valid")

    def validate(self, status: int) -> subprocess.CompletedProcess:
        return self.aws("cloudtrail", "validate-logs", "--trail-arn", self.arn, "--start-time",
                        self.begin.strftime("%Y-%m-%dT%H:%M:%SZ"), status=status)

    @staticmethod
    def counts(text: str, kind: str) -> tuple[int, int]:
        """How many of a kind are valid, and how many are not."""
        found = re.search(rf"(\d+)/(\d+) {kind} files valid", text)
        return (int(found.group(1)), int(found.group(2)) - int(found.group(1))) if found else (0, 0)

    def forge(self) -> None:
        self.step("Somebody who can write to the bucket changes one byte of one log file")
        key = next(key for key, records in self.logs.items() if any(r["eventName"] == "DeleteTrail" for r in records))
        plain = gzip.decompress((self.folder / "copies" / key).read_bytes())
        forged = plain.replace(b'"DeleteTrail"', b'"DeleteTrai1"', 1)
        if sum(a != b for a, b in zip(plain, forged)) != 1 or len(plain) != len(forged):
            raise Wrong("the demo did not change exactly one byte")
        path = self.folder / "forged.json.gz"
        path.write_bytes(gzip.compress(forged))
        print('    "eventName":"DeleteTrail" is now "eventName":"DeleteTrai1"')
        self.aws("s3api", "put-object", "--bucket", BUCKET, "--key", key, "--body", str(path), "--content-type",
                 "application/json", "--content-encoding", "gzip", quiet=True)
        done = self.validate(1)
        invalid = re.findall(r"s3://(\S+)\s+INVALID: (.*)", done.stdout + done.stderr)
        self.check(invalid == [(f"{BUCKET}/{key}", "hash value doesn't match")],
                   "the AWS CLI names exactly this file as invalid")
        self.check(self.counts(done.stdout, "log")[1] == 1, "one log file is invalid, and all others are valid")

    def end(self) -> None:
        self.step("Stop the server")
        print(f"  {paint('36', '$ kill -TERM ' + str(self.server.pid))}")
        self.server.send_signal(signal.SIGTERM)
        status = self.server.wait(30)
        self.server = None
        self.check(status == 0, "it finished what was under way and ended with status 0")


def main() -> int:
    if not os.access(CAIRN, os.X_OK):
        print(f"demo: {CAIRN} is not there; run `make build` first", file=sys.stderr)
        return 1
    begin = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="cairn-demo-"))
    demo = Demo(folder)
    try:
        demo.tell()
    except (Wrong, subprocess.SubprocessError, OSError, KeyError, ValueError, StopIteration) as problem:
        print(f"\n{paint('1;31', f'demo: step {demo.steps} went wrong: {problem!r}')}", file=sys.stderr)
        log = folder / "server.log"
        if log.exists():
            print("the server's last words:", file=sys.stderr)
            print("".join(log.read_text("utf-8", "replace").splitlines(keepends=True)[-20:]), file=sys.stderr)
        return 1
    finally:
        if demo.server is not None:
            demo.server.kill()
            demo.server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{paint('1;32', f'demo: all {demo.steps} steps came out right')}, in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
