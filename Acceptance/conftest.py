# SPDX-License-Identifier: Apache-2.0
"""The harness of the acceptance tests: a real `cairn` process, driven by real AWS clients.

What a test uses:

- fixture `server`: one running server for the whole test module, in a fresh data folder, on a free port;
- fixture `make_server`: a factory for tests that need servers of their own, `make_server(digest_interval="2s")`;
- class `CairnServer`: the process, its keys, its clients, its life and death;
- `wait_until(predicate, timeout)`: waits for something that happens in its own time (delivery, digests).

The binary is `$CAIRN_BINARY`, or `.build/release/cairn`. The user's own AWS configuration is never read.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import gzip
import hashlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

# Before boto3 is imported: nothing of the user's own AWS set-up may reach a test.
_OWN = (
    "CAIRN_BINARY", "CAIRN_CRASH_KILLS", "CAIRN_CRASH_SEED", "CAIRN_REAL_RECORDS", "CAIRN_SKIP_ENGINES")
for _name in [name for name in os.environ if name.startswith(("AWS_", "CAIRN_")) and name not in _OWN]:
    del os.environ[_name]
os.environ.update(
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
    AWS_PAGER="",
)

import boto3  # noqa: E402
import botocore.auth  # noqa: E402
import botocore.awsrequest  # noqa: E402
import botocore.config  # noqa: E402
import botocore.credentials  # noqa: E402
import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(__file__).resolve().parent / "data"

#: Flags of every server unless a test says otherwise: deliveries and digests come soon.
DEFAULT_FLAGS = {"delivery-interval": "1s", "digest-interval": "5s", "region": "us-east-1"}

READY_TIMEOUT = 30.0
STOP_TIMEOUT = 30.0


def binary() -> str:
    """The program under test."""
    return os.environ.get("CAIRN_BINARY") or str(ROOT / ".build" / "release" / "cairn")


def aws_program() -> str:
    """The AWS CLI: beside the Python that runs the tests, else the first on the path."""
    beside = Path(sys.executable).parent / "aws"
    found = str(beside) if beside.exists() else shutil.which("aws")
    if not found:
        raise RuntimeError("the AWS CLI is not installed; run `make setup`")
    return found


def real_records() -> Path | None:
    """A folder of real CloudTrail log files: `$CAIRN_REAL_RECORDS`, or one beside the project's folder; else None."""
    folder = Path(os.environ.get("CAIRN_REAL_RECORDS") or ROOT.parent / "shared" / "data" / "cloudtrail-real")
    return folder if folder.is_dir() else None


def wait_until(predicate, timeout: float = 15.0, every: float = 0.1, what: str = ""):
    """Calls `predicate` until it returns something true, and returns that.

    Raises AssertionError with what it returned last (and `what`) after `timeout` seconds. An AssertionError raised by the
    predicate counts as "not yet".
    """
    end = time.monotonic() + timeout
    while True:
        problem = None
        try:
            last = predicate()
            if last:
                return last
        except AssertionError as error:
            last, problem = None, error
        if time.monotonic() >= end:
            name = what or getattr(predicate, "__name__", "the condition")
            raise AssertionError(f"{name} did not come true in {timeout} s; last: {problem or last!r}")
        time.sleep(every)


@contextlib.contextmanager
def days_away(days):
    """boto3 signs as if it were so many days from now."""
    real = botocore.auth.get_current_datetime

    def shifted(remove_tzinfo=True):
        return real(remove_tzinfo) + datetime.timedelta(days=days)

    botocore.auth.get_current_datetime = shifted
    try:
        yield
    finally:
        botocore.auth.get_current_datetime = real


def start_on_day(server, days):
    """The server goes on, so many days from now."""
    server.flags["clock-offset"] = f"{days}d" if days else None
    server.restart()


class HTTPAnswer:
    """An HTTP answer as it came over the wire."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-amzn-requestid") or self.headers.get("x-amz-request-id")

    @property
    def code(self) -> str | None:
        """The error code, whatever the protocol."""
        if self.body.lstrip().startswith(b"{"):
            document = self.json()
            code = document.get("__type") or document.get("code") or document.get("Code")
            return code.split("#")[-1] if code else self.headers.get("x-amzn-errortype", "").split(":")[0] or None
        found = re.search(r"<Code>([^<]*)</Code>", self.text)
        return found.group(1) if found else None

    def __repr__(self) -> str:
        return f"<HTTPAnswer {self.status} {self.headers} {self.body[:600]!r}>"

    @staticmethod
    def parse(raw: bytes) -> "HTTPAnswer":
        """Reads the first final answer in what came over a raw socket (100-continue is passed over)."""
        while True:
            head, _, rest = raw.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            if not lines or not lines[0].startswith("HTTP/1."):
                raise AssertionError(f"not an HTTP answer: {raw[:300]!r}")
            status = int(lines[0].split()[1])
            if status == 100:
                raw = rest
                continue
            headers = []
            for line in lines[1:]:
                name, _, value = line.partition(":")
                headers.append((name.strip(), value.strip()))
            answer = HTTPAnswer(status, headers, rest)
            length = answer.headers.get("content-length")
            if length is not None:
                answer.body = rest[: int(length)]
            return answer


class Trail:
    """A trail made by `CairnServer.make_trail`, and what it delivers."""

    def __init__(self, server: "CairnServer", name: str, bucket: str, arn: str, prefix: str, region: str):
        self.server, self.name, self.bucket, self.arn, self.prefix, self.region = (
            server, name, bucket, arn, prefix, region)

    def status(self) -> dict:
        return self.server.client("cloudtrail", region_name=self.region).get_trail_status(Name=self.arn)

    def log_keys(self) -> list[str]:
        """Keys of delivered log files, in the order of the listing."""
        return [key for key in self.server.keys(self.bucket, self.prefix) if "/CloudTrail/" in key]

    def digest_keys(self) -> list[str]:
        return [key for key in self.server.keys(self.bucket, self.prefix) if "/CloudTrail-Digest/" in key]

    def records(self) -> list[dict]:
        """Every record in every delivered log file, in the order of delivery."""
        return [record for key in self.log_keys() for record in self.server.log_file(self.bucket, key)]


class CairnServer:
    """One `cairn serve` process and the clients that talk to it."""

    living: set["CairnServer"] = set()

    def __init__(self, data: Path, flags: dict | None = None, environment: dict | None = None):
        self.data = Path(data)
        self.flags = dict(DEFAULT_FLAGS, **{k.replace("_", "-"): v for k, v in (flags or {}).items()})
        self.environment = dict(environment or {})
        self.process: subprocess.Popen | None = None
        self.endpoint: str | None = None
        self.host: str | None = None
        self.port = 0
        self.exports: dict[str, str] = {}
        self.log_path = self.data.parent / (self.data.name + ".log")
        self.home = self.data.parent / (self.data.name + ".home")
        self._account_id: str | None = None
        self._session: boto3.session.Session | None = None
        self._clients: dict = {}
        self._lock = threading.Lock()

    # -- keys and clients -------------------------------------------------------------------------------------------

    @property
    def access_key(self) -> str:
        return self.exports["AWS_ACCESS_KEY_ID"]

    @property
    def secret_key(self) -> str:
        return self.exports["AWS_SECRET_ACCESS_KEY"]

    @property
    def region(self) -> str:
        return self.exports["AWS_DEFAULT_REGION"]

    @property
    def account_id(self) -> str:
        if self._account_id is None:
            self._account_id = self.client("sts").get_caller_identity()["Account"]
        return self._account_id

    def session(self) -> boto3.session.Session:
        """A boto3 session with the server's keys and region (give `endpoint_url=server.endpoint` to its clients)."""
        if self._session is None:
            self._session = boto3.session.Session(
                aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key, region_name=self.region)
        return self._session

    def client(self, service: str, *, config: botocore.config.Config | None = None, addressing_style: str = "path",
               **kw):
        """A boto3 client: no retries, path style for S3 unless asked otherwise. Plain clients are kept and shared."""
        plain = config is None and not (set(kw) - {"region_name"})
        key = (service, kw.get("region_name"), addressing_style, self.endpoint)
        with self._lock:
            if plain and key in self._clients:
                return self._clients[key]
            settings = botocore.config.Config(
                retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60, max_pool_connections=64,
                s3={"addressing_style": addressing_style}, signature_version="s3v4" if service == "s3" else None)
            if config is not None:
                settings = settings.merge(config)
            kw.setdefault("endpoint_url", self.endpoint)
            client = self.session().client(service, config=settings, **kw)
            if plain:
                self._clients[key] = client
            return client

    def client_environment(self, **more: str) -> dict[str, str]:
        """The environment in which any AWS program talks to this server."""
        self.home.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment.update(
            HOME=str(self.home), AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull,
            AWS_EC2_METADATA_DISABLED="true", AWS_PAGER="", AWS_MAX_ATTEMPTS="1", **self.exports)
        environment["AWS_ENDPOINT_URL"] = self.endpoint or ""
        environment.update(more)
        return environment

    def aws(self, *args: str, check: bool = True, env: dict | None = None,
            timeout: float = 120) -> subprocess.CompletedProcess:
        """Runs the AWS CLI against this server; `env` adds to or replaces its environment."""
        done = subprocess.run(
            [aws_program(), *map(str, args)], env=self.client_environment(**(env or {})), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"aws {shlex.join(map(str, args))} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def aws_json(self, *args: str, **kw):
        """Runs the AWS CLI and reads what it prints as JSON (None when it prints nothing)."""
        text = self.aws(*args, "--output", "json", **kw).stdout.strip()
        return json.loads(text) if text else None

    def cairn(self, *args: str, check: bool = True, env: dict | None = None, timeout: float = 300,
              ) -> subprocess.CompletedProcess:
        """Runs another command of the program (`env`, `import`, ...) on this server's data folder."""
        command, *rest = map(str, args)
        done = subprocess.run(
            [binary(), command, "--data", str(self.data), *rest], env=self._process_environment(env),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"cairn {shlex.join(map(str, args))} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    # -- life and death ---------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self.process is not None, "the server is not running"
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _process_environment(self, more: dict | None = None) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CAIRN_"))}
        self.home.mkdir(exist_ok=True)
        environment["HOME"] = str(self.home)
        environment.update(self.environment)
        environment.update(more or {})
        return environment

    def command(self, *flags: str) -> list[str]:
        """The command line of `start`; `flags` come last, as they are."""
        given = {flag.split("=")[0] for flag in flags}
        words = [binary(), "serve", "--data", str(self.data)]
        if "--listen" not in given:
            words += ["--listen", f"127.0.0.1:{self.port}"]
        for name, value in self.flags.items():
            if f"--{name}" not in given and value is not None:
                words += [f"--{name}", str(value)]
        return words + [str(flag) for flag in flags]

    def launch(self, *flags: str) -> None:
        """Starts the process without waiting for it to be ready."""
        assert not self.is_running, "the server runs already"
        with open(self.log_path, "ab") as log:
            self._log_start = log.tell()
            self._launched = time.time_ns()
            self.process = subprocess.Popen(
                self.command(*flags), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=self._process_environment())
        CairnServer.living.add(self)

    def start(self, *flags: str) -> "CairnServer":
        """Starts the server and returns when it is ready; raises AssertionError with its own words when it is not.

        The first start takes a free port, later ones take the same port again.
        """
        self.launch(*flags)
        self._await_ready()
        if self.port and self.process is not None and not self.is_running and "in use" in self.log_text():
            self.port = 0  # somebody else took the port meanwhile
            self.launch(*flags)
            self._await_ready()
        if not self.is_running:
            raise AssertionError(f"the server did not start:\n{self.log_text()}")
        if not self.exports:
            self.exports = self.read_exports()
        return self

    def _await_ready(self) -> None:
        end = time.monotonic() + READY_TIMEOUT
        endpoint_file = self.data / "endpoint"
        while time.monotonic() < end:
            found = re.search(r"cairn is ready at (http://\S+)", self.log_text())
            if found:
                endpoint = found.group(1)
            elif endpoint_file.exists() and endpoint_file.stat().st_mtime_ns > self._launched:
                endpoint = endpoint_file.read_text().strip()
            else:
                endpoint = None
            if endpoint:
                self.endpoint = endpoint.rstrip("/")
                self.host, _, port = self.endpoint.split("//")[1].rpartition(":")
                self.port = int(port)
                try:
                    if self.http("GET", "/readyz").status == 200:
                        return
                except OSError:
                    pass
            if self.process.poll() is not None:
                CairnServer.living.discard(self)
                return
            time.sleep(0.01)
        self.kill()
        raise AssertionError(f"the server was not ready in {READY_TIMEOUT} s:\n{self.log_text()}")

    def read_exports(self) -> dict[str, str]:
        """What `cairn env` exports."""
        exports = {}
        for line in self.cairn("env").stdout.splitlines():
            words = shlex.split(line, comments=True)
            if len(words) == 2 and words[0] == "export":
                name, _, value = words[1].partition("=")
                exports[name] = value
        return exports

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Ends the server as an operator does (SIGTERM); it must exit with status 0."""
        assert self.process is not None, "the server is not running"
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            text = self.log_text()
            self.kill()
            raise AssertionError(f"the server did not end within {timeout} s of SIGTERM:\n{text}") from None
        CairnServer.living.discard(self)
        self.process = None
        assert status == 0, f"the server ended with status {status} after SIGTERM:\n{self.log_text()}"

    def kill(self) -> None:
        """Ends the server as a power cut does (SIGKILL)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        CairnServer.living.discard(self)

    def restart(self, *flags: str) -> "CairnServer":
        """Stops (if running) and starts again on the same data folder and port."""
        if self.is_running:
            self.stop()
        return self.start(*flags)

    def log_text(self) -> str:
        """What the process printed since its last start."""
        if not self.log_path.exists():
            return ""
        with open(self.log_path, "rb") as log:
            log.seek(getattr(self, "_log_start", 0))
            return log.read().decode("utf-8", "replace")

    def all_log_text(self) -> str:
        """What every process on this data folder printed."""
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    # -- the catalog --------------------------------------------------------------------------------------------------

    def catalog_keys(self, first: str) -> list[str]:
        """The keys of the documents whose key begins with this part, as text (the parts are separated by NUL)."""
        with sqlite3.connect(f"file:{self.data / 'catalog.sqlite'}?mode=ro", uri=True) as catalog:
            rows = catalog.execute("SELECT key FROM document").fetchall()
        return [text for (key,) in rows if (text := bytes(key).decode("utf-8", "replace")).startswith(first)]

    # -- event history ----------------------------------------------------------------------------------------------

    def lookup(self, region: str | None = None, start=None, end=None, category: str | None = None,
               **attribute: str) -> list[dict]:
        """Every event of LookupEvents as the API shows it, all pages, newest first: `lookup(EventName="CreateTrail")`."""
        request: dict = {}
        if attribute:
            request["LookupAttributes"] = [
                {"AttributeKey": key, "AttributeValue": value} for key, value in attribute.items()]
        if start is not None:
            request["StartTime"] = start
        if end is not None:
            request["EndTime"] = end
        if category is not None:
            request["EventCategory"] = category
        client = self.client("cloudtrail", **({"region_name": region} if region else {}))
        found, token = [], None
        while True:
            page = client.lookup_events(**request, **({"NextToken": token} if token else {}))
            found += page["Events"]
            token = page.get("NextToken")
            if not token:
                return found

    def events(self, *, region: str | None = None, start=None, end=None, where=None, at_least: int = 0,
               timeout: float = 10, **attribute: str) -> list[dict]:
        """The records of LookupEvents as objects, all pages, newest first.

        `where` keeps those for which it is true; with `at_least` it polls until so many are there.
        """

        def found():
            records = [json.loads(event["CloudTrailEvent"])
                       for event in self.lookup(region=region, start=start, end=end, **attribute)]
            return [record for record in records if where is None or where(record)]

        records = found()
        if len(records) < at_least:
            wait_until(lambda: len(found()) >= at_least, timeout, what=f"{at_least} events of {attribute}")
            records = found()
        return records

    def event_of(self, answer, region: str | None = None, **attribute: str) -> dict:
        """The one event of a call, by its request id; `answer`: the id, a boto3 response, ClientError or HTTPAnswer."""
        request_id = request_id_of(answer)
        records = self.events(
            region=region, at_least=1, where=lambda record: record.get("requestID") == request_id, **attribute)
        assert len(records) == 1, f"{len(records)} events have the request id {request_id}"
        return records[0]

    def data_event_of(self, answer) -> dict:
        """The one event of a call on data, which LookupEvents does not show, by its request id."""
        question = f"requestID = '{request_id_of(answer)}'"
        records = wait_until(lambda: [
            json.loads(line) for line in self.cairn("lookup", "--json", "--filter", question).stdout.splitlines()])
        assert len(records) == 1, records
        return records[0]

    # -- buckets, trails and what is delivered ------------------------------------------------------------------------

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """All keys of a bucket in the order of the listing."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def body(self, bucket: str, key: str) -> bytes:
        return self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()

    def log_file(self, bucket: str, key: str) -> list[dict]:
        """The records of one delivered log file."""
        return json.loads(gzip.decompress(self.body(bucket, key)))["Records"]

    def trail_policy(self, bucket: str, prefix: str = "") -> dict:
        """The bucket policy that AWS's own guide tells to set for a trail of this account."""
        path = f"{prefix}/" if prefix else ""
        service = {"Service": "cloudtrail.amazonaws.com"}
        return {
            "Version": "2012-10-17",
            "Statement": [
                {"Sid": "AWSCloudTrailAclCheck", "Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl",
                 "Resource": f"arn:aws:s3:::{bucket}"},
                {"Sid": "AWSCloudTrailWrite", "Effect": "Allow", "Principal": service, "Action": "s3:PutObject",
                 "Resource": f"arn:aws:s3:::{bucket}/{path}AWSLogs/{self.account_id}/*",
                 "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}},
            ],
        }

    def make_bucket(self, bucket: str, policy: bool = True, prefix: str = "", region: str | None = None) -> str:
        """Creates a bucket, with the policy for a trail unless told otherwise."""
        s3 = self.client("s3", **({"region_name": region} if region else {}))
        configuration = {} if (region or self.region) == "us-east-1" else {
            "CreateBucketConfiguration": {"LocationConstraint": region or self.region}}
        s3.create_bucket(Bucket=bucket, **configuration)
        if policy:
            s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(self.trail_policy(bucket, prefix)))
        return bucket

    def make_trail(self, name: str = "trail", bucket: str | None = None, *, prefix: str = "", validation: bool = True,
                   multi_region: bool = True, global_events: bool = True, data_events: bool = False,
                   start: bool = True, region: str | None = None) -> Trail:
        """Creates bucket, policy and trail, selects S3 object events too if asked, and starts logging."""
        if bucket is None:
            bucket = self.make_bucket(f"{name}-logs".lower().replace("_", "-"), prefix=prefix)
        cloudtrail = self.client("cloudtrail", **({"region_name": region} if region else {}))
        made = cloudtrail.create_trail(
            Name=name, S3BucketName=bucket, EnableLogFileValidation=validation, IsMultiRegionTrail=multi_region,
            IncludeGlobalServiceEvents=global_events, **({"S3KeyPrefix": prefix} if prefix else {}))
        if data_events:
            cloudtrail.put_event_selectors(
                TrailName=name,
                EventSelectors=[{
                    "ReadWriteType": "All", "IncludeManagementEvents": True,
                    "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}])
        if start:
            cloudtrail.start_logging(Name=name)
        return Trail(self, name, bucket, made["TrailARN"], prefix, region or self.region)

    # -- the bare wire ------------------------------------------------------------------------------------------------

    def http(self, method: str, path: str, headers: dict | None = None, body: bytes = b"",
             timeout: float = 30) -> HTTPAnswer:
        """One HTTP request as it stands, without a signature."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body or None, headers=headers or {})
            answer = connection.getresponse()
            return HTTPAnswer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def sign(self, method: str, path: str, *, service: str, headers: dict | None = None, body: bytes = b"",
             region: str | None = None, access_key: str | None = None, secret_key: str | None = None,
             token: str | None = None) -> dict[str, str]:
        """The headers of a request signed by botocore itself (signature V4, in the header)."""
        request = botocore.awsrequest.AWSRequest(
            method=method, url=f"{self.endpoint}{path}", data=body,
            headers=dict({"Host": f"{self.host}:{self.port}"}, **(headers or {})))
        if service == "s3" and "x-amz-content-sha256" not in {name.lower() for name in (headers or {})}:
            request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
        credentials = botocore.credentials.Credentials(
            access_key or self.access_key, secret_key or self.secret_key, token)
        signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
        signer(credentials, service, region or self.region).add_auth(request)
        return dict(request.headers.items())

    def signed(self, method: str, path: str, *, service: str, headers: dict | None = None, body: bytes = b"",
               timeout: float = 30, **kw) -> HTTPAnswer:
        """One signed HTTP request with any body and any headers."""
        signed = self.sign(method, path, service=service, headers=headers, body=body, **kw)
        return self.http(method, path, signed, body, timeout)

    def cloudtrail(self, operation: str, body: bytes | dict = b"{}", **kw) -> HTTPAnswer:
        """One signed awsJson call to CloudTrail with exactly this body."""
        raw = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {
            "X-Amz-Target": f"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.{operation}",
            "Content-Type": "application/x-amz-json-1.1", **kw.pop("headers", {})}
        return self.signed("POST", "/", service="cloudtrail", headers=headers, body=raw, **kw)

    def query(self, body: str, service: str = "sts", **kw) -> HTTPAnswer:
        """One signed Query call with exactly this form body."""
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", **kw.pop("headers", {})}
        return self.signed("POST", "/", service=service, headers=headers, body=body.encode(), **kw)

    def raw(self, data: bytes, *, shutdown: bool = False, timeout: float = 10, until_close: bool = False) -> bytes:
        """Sends bytes over a socket and returns what comes back.

        `shutdown`: closes the sending side after the bytes. Returns at the end of the first answer, at the end of the
        connection (`until_close`), or after `timeout` seconds of silence.
        """
        with socket.create_connection((self.host, self.port), timeout=timeout) as connection:
            try:
                connection.sendall(data)
                if shutdown:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the server may answer and close before it has read everything
            received = b""
            while True:
                try:
                    piece = connection.recv(65536)
                except (socket.timeout, ConnectionResetError):
                    return received
                if not piece:
                    return received
                received += piece
                if not until_close and _is_complete(received):
                    return received


def _is_complete(raw: bytes) -> bool:
    head, mark, body = raw.partition(b"\r\n\r\n")
    if not mark:
        return False
    if head.startswith(b"HTTP/1.1 100"):
        return _is_complete(body)
    length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
    if length:
        return len(body) >= int(length.group(1))
    return b"transfer-encoding" in head.lower() and body.endswith(b"0\r\n\r\n")


def request_id_of(answer) -> str:
    """The request id in a boto3 response, a ClientError or an HTTPAnswer; an id is returned as it is."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, HTTPAnswer):
        return answer.request_id
    document = answer if isinstance(answer, dict) else answer.response
    metadata = document["ResponseMetadata"]
    return metadata.get("RequestId") or metadata["HTTPHeaders"]["x-amz-request-id"]


def error_of(function, *args, **kw):
    """Calls and returns the ClientError that must come."""
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        function(*args, **kw)
    return caught.value


def code_of(error) -> str:
    return error.response["Error"]["Code"]


# -- fixtures -------------------------------------------------------------------------------------------------------------


def _require_binary() -> None:
    if not os.access(binary(), os.X_OK):
        pytest.fail(f"the program under test is not there: {binary()}; run `make build`, or set CAIRN_BINARY", pytrace=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the whole module; it must end cleanly at SIGTERM when the module is done."""
    _require_binary()
    server = CairnServer(tmp_path_factory.mktemp("cairn") / "data")
    server.start()
    yield server
    if server.is_running:
        server.stop()


@pytest.fixture
def make_server(tmp_path):
    """A factory of servers of one test: `make_server(delivery_interval="2s")`, not started with `started=False`.

    `data=` gives the data folder, `environment=` adds to the process's environment.
    """
    _require_binary()
    made: list[CairnServer] = []

    def make(*, data: Path | None = None, started: bool = True, environment: dict | None = None, **flags) -> CairnServer:
        folder = Path(data) if data else tmp_path / f"server-{len(made)}"
        server = CairnServer(folder, flags, environment)
        made.append(server)
        return server.start() if started else server

    yield make
    for server in made:
        server.kill()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows what the servers of that moment printed last."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in list(CairnServer.living):
            lines = server.log_text().splitlines()[-60:]
            report.sections.append((f"what the server on {server.endpoint} printed", "\n".join(lines)))


@atexit.register
def _kill_all() -> None:
    for server in list(CairnServer.living):
        server.kill()
