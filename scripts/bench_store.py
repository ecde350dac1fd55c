#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the object store: part of `make bench`, reported in docs/performance.md, "The object store".

    bench_store.py [listing] [objects]

`listing` fills a catalog with CAIRN_BENCH_KEYS keys (a million) and lists them page by page over HTTP. `objects` puts and
gets objects of three sizes at three numbers of connections: on Cairn with and without encryption, on moto's S3 server where
it is installed (build/moto/bin or the PATH), and gets the same bytes from nginx where that is. All on one disk, in one run.

Requests are signed before the clock runs. Small objects are driven by wrk, large ones by a thread for each connection.
"""

import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials

from bench import BENCH, CAIRN, ROOT, Server, cpu_seconds

KEYS = int(os.environ.get("CAIRN_BENCH_KEYS", "1000000"))
SECONDS = int(os.environ.get("CAIRN_BENCH_SECONDS", "4"))
SIZES = [int(n) for n in os.environ.get("CAIRN_BENCH_SIZES", "4096 262144 67108864").split()]
CONNECTIONS = [int(n) for n in os.environ.get("CAIRN_BENCH_CONNECTIONS", "1 16 64").split()]
TARGETS = os.environ.get("CAIRN_BENCH_TARGETS", "cairn plain nginx moto").split()
LARGE = 8 << 20
REGION = "us-east-1"


class UnsignedPayload(botocore.auth.S3SigV4Auth):
    def payload(self, request):
        return "UNSIGNED-PAYLOAD"


class Access:
    """Where to send requests, and how they are signed; unsigned without keys."""

    def __init__(self, endpoint, key=None, secret=None):
        self.endpoint, self.key, self.secret = endpoint, key, secret
        self.host = urllib.parse.urlsplit(endpoint).netloc

    @staticmethod
    def of(folder):
        exports = subprocess.check_output([CAIRN, "env", "--data", folder], text=True)
        values = dict(line.removeprefix("export ").split("=", 1) for line in exports.splitlines())
        return Access(values["AWS_ENDPOINT_URL"], values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"])

    def client(self):
        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id=self.key,
                            aws_secret_access_key=self.secret, region_name=REGION)

    def headers(self, method, path, query=None):
        if self.key is None:
            return {}
        url = self.endpoint + path + ("?" + urllib.parse.urlencode(query) if query else "")
        request = botocore.awsrequest.AWSRequest(method=method, url=url)
        credentials = botocore.credentials.Credentials(self.key, self.secret)
        UnsignedPayload(credentials, "s3", REGION).add_auth(request)
        return dict(request.headers.items())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# -- listing ----------------------------------------------------------------------------------------------------------


def pages(access, connection, query, mark):
    """The times of all pages, in milliseconds; `mark` gives the next page's parameters, or None."""
    times, more = [], {}
    while more is not None:
        asked = dict(query, **more)
        headers = access.headers("GET", "/bench", asked)
        target = "/bench?" + urllib.parse.urlencode(asked)
        started = time.perf_counter()
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        times.append((time.perf_counter() - started) * 1000)
        if answer.status != 200:
            sys.exit(f"a page failed: {answer.status} {body[:500]}")
        more = mark(body.decode()) if "<IsTruncated>true" in body.decode() else None
        if len(times) == 1200:
            break
    return times


def tag(text, name):
    return re.search(f"<{name}>([^<]*)</{name}>", text).group(1)


def listing():
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        folder = pathlib.Path(name) / "data"
        server = Server([CAIRN, "serve", "--data", folder, "--listen", "127.0.0.1:0"])
        Access.of(folder).client().create_bucket(Bucket="bench")
        server.stop()
        started = time.monotonic()
        subprocess.check_call([BENCH, "fill", folder, "bench", str(KEYS)])
        size = sum(file.stat().st_size for file in folder.glob("catalog.sqlite*")) / 1e6
        print(f"catalog of {KEYS} keys under one prefix and as many in groups of 100: {size:.0f} MB, "
              f"filled in {time.monotonic() - started:.0f} s")
        server = Server([CAIRN, "serve", "--data", folder, "--listen", "127.0.0.1:0"])
        print(f"start-up with it, checked whole         {server.startup * 1000:8.0f} ms")
        access = Access.of(folder)
        connection = http.client.HTTPConnection(access.host)
        kinds = [
            ("ListObjectsV2, one prefix", {"list-type": "2", "prefix": "one/", "encoding-type": "url"},
             lambda text: {"continuation-token": tag(text, "NextContinuationToken")}),
            ("ListObjects, one prefix", {"prefix": "one/", "encoding-type": "url"},
             lambda text: {"marker": re.findall("<Key>([^<]*)</Key>", text)[-1]}),
            ("ListObjectsV2, delimiter", {"list-type": "2", "prefix": "many/", "delimiter": "/"},
             lambda text: {"continuation-token": tag(text, "NextContinuationToken")}),
            ("ListObjectVersions", {"versions": "", "prefix": "one/"},
             lambda text: {"key-marker": tag(text, "NextKeyMarker"),
                           "version-id-marker": tag(text, "NextVersionIdMarker")}),
            ("ListObjectVersions, delimiter", {"versions": "", "prefix": "many/", "delimiter": "/"},
             lambda text: {"key-marker": tag(text, "NextKeyMarker")}),
        ]
        print("pages of 1000                            pages   median      99 %      max")
        for title, query, mark in kinds:
            cpu = cpu_seconds(server.process.pid)
            times = sorted(pages(access, connection, query, mark))
            cpu = (cpu_seconds(server.process.pid) - cpu) * 1000 / len(times)
            print(f"{title:35s} {len(times):10d} {statistics.median(times):8.1f} {times[int(len(times) * 0.99)]:9.1f}"
                  f" {times[-1]:8.1f} ms   {cpu:.1f} ms CPU")
        connection.close()
        server.stop()
    print()


# -- objects ----------------------------------------------------------------------------------------------------------


def disk(folder):
    """Sequential writing with a flush, and reading what the page cache does not have."""
    path, block, count = folder / "disk", os.urandom(8 << 20), 64
    started = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
        for _ in range(count):
            file.write(block)
        os.fdatasync(file.fileno())
    wrote = count * len(block) / (time.perf_counter() - started) / 1e6
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        started = time.perf_counter()
        while file.read(8 << 20):
            pass
    read = count * len(block) / (time.perf_counter() - started) / 1e6
    path.unlink()
    print(f"the disk, sequential: writes {wrote:.0f} MB/s (flushed), reads {read:.0f} MB/s (not cached)\n")


def wrk(access, method, size, connections, scratch):
    """Requests a second: each request in turn names one of as many keys as there are connections."""
    lines = [f"local body = string.rep('x', {size if method == 'PUT' else 0})", "local all = {}"]
    for number in range(max(connections, 4)):
        path = f"/bench/{size}-{number % 64}"
        headers = dict(access.headers(method, path), Host=access.host)
        fields = "".join(f"[{json.dumps(k)}]={json.dumps(v)}," for k, v in headers.items())
        body = "body" if method == "PUT" else "nil"
        lines.append(f"all[#all+1] = wrk.format({json.dumps(method)}, {json.dumps(path)}, {{{fields}}}, {body})")
    lines += ["local turn = 0", "request = function() turn = turn % #all + 1 return all[turn] end"]
    script = scratch / "load.lua"
    script.write_text("\n".join(lines) + "\n")
    out = subprocess.check_output(
        ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "30s", "-s", script, access.endpoint], text=True)
    # A peer may fail a request now and then under load; more than one in a thousand is no measurement.
    failed = int(m[1]) if (m := re.search(r"Non-2xx or 3xx responses: (\d+)", out)) else 0
    if failed * 1000 > int(re.search(r"(\d+) requests in", out)[1]):
        sys.exit(f"the load met errors:\n{out}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def threads(access, method, size, connections):
    """Requests a second of large objects, by a thread for each connection."""
    body = memoryview(os.urandom(1 << 20) * (size >> 20)) if method == "PUT" else None
    end = time.perf_counter() + SECONDS
    counts, failures = [0] * connections, []

    def work(number):
        buffer = bytearray(1 << 20)
        path = f"/bench/{size}-{number % 4}"
        connection = http.client.HTTPConnection(access.host, blocksize=1 << 20)
        try:
            while counts[number] == 0 or time.perf_counter() < end:
                connection.request(method, path, body=body, headers=access.headers(method, path))
                answer = connection.getresponse()
                if answer.status // 100 != 2:
                    raise RuntimeError(f"{method} {path}: {answer.status} {answer.read()[:300]}")
                while answer.readinto(buffer):
                    pass
                counts[number] += 1
        except Exception as error:  # told by the main thread
            failures.append(error)
        finally:
            connection.close()

    started = time.perf_counter()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        sys.exit(f"the load met errors: {failures[0]}")
    return sum(counts) / (time.perf_counter() - started)


def drive(title, access, pid, scratch, rates, methods):
    for size in SIZES:
        for method in methods:
            for connections in CONNECTIONS:
                before = cpu_seconds(pid)
                started = time.perf_counter()
                if size >= LARGE:
                    rate = threads(access, method, size, connections)
                else:
                    rate = wrk(access, method, size, connections, scratch)
                cpu = (cpu_seconds(pid) - before) / (time.perf_counter() - started) / rate
                rates[title, method, size, connections] = (rate, cpu)


def objects():
    rates = {}
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        scratch = pathlib.Path(name)
        disk(scratch)
        for title, mode in (("cairn", "on"), ("plain", "plain")):
            if title not in TARGETS:
                continue
            folder = scratch / title
            server = Server([BENCH, "serve", folder, mode])
            access = Access.of(folder)
            access.client().create_bucket(Bucket="bench")
            drive(title, access, server.process.pid, scratch, rates, ("PUT", "GET"))
            server.stop()
            shutil.rmtree(folder)
        if "nginx" in TARGETS:
            nginx(scratch, rates)
        if "moto" in TARGETS:
            moto(scratch, rates)
    report(rates)


def nginx(scratch, rates):
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(binary):
        print("nginx is absent (Debian package nginx-light): no ratio to it")
        return
    root, port = scratch / "www", free_port()
    (root / "bench").mkdir(parents=True)
    for size in SIZES:
        for number in range(4 if size >= LARGE else 64):
            (root / "bench" / f"{size}-{number}").write_bytes(os.urandom(1 << 12) * (size >> 12))
    user = "user root;" if os.getuid() == 0 else ""
    (scratch / "nginx.conf").write_text(
        f"daemon off; worker_processes auto; pid {scratch}/nginx.pid; error_log stderr crit; {user}\n"
        f"events {{ worker_connections 1024; }}\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000; "
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n")
    process = subprocess.Popen([binary, "-p", scratch, "-c", scratch / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        wait(port)
        drive("nginx", Access(f"http://127.0.0.1:{port}"), process.pid, scratch, rates, ("GET",))
    finally:
        process.terminate()
        process.wait(10)


def moto(scratch, rates):
    own = ROOT / "build/moto/bin/moto_server"
    binary = own if own.exists() else shutil.which("moto_server")
    if binary is None:
        print("moto is absent (python3 -m venv build/moto; build/moto/bin/pip install 'moto[server]'): no ratio to it")
        return
    port = free_port()
    process = subprocess.Popen([binary, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, cwd=scratch)
    try:
        wait(port)
        access = Access(f"http://127.0.0.1:{port}", "AKIAEXAMPLE", "secret")
        access.client().create_bucket(Bucket="bench")
        drive("moto", access, process.pid, scratch, rates, ("PUT", "GET"))
    finally:
        process.terminate()
        process.wait(10)


def wait(port):
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("a server to compare with did not start")


def report(rates):
    def name(size):
        return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"

    def rate(title, *cell):
        found = rates.get((title, *cell))
        return found[0] if found else None

    def text(value, width=9):
        return f"{value:{width}.1f}" if value is not None and value < 100 else (
            f"{value:{width}.0f}" if value is not None else " " * (width - 1) + "-")

    def ratio(a, b):
        return f"{a / b:8.2f}" if a and b else "       -"

    print("objects a second      connections    cairn  CPU ms    plain    nginx     moto  /plain   /nginx    /moto     MB/s")
    for method in ("PUT", "GET"):
        for size in SIZES:
            for connections in CONNECTIONS:
                cell = (method, size, connections)
                own = rate("cairn", *cell)
                if own is None:
                    continue
                cpu = rates["cairn", *cell][1] * 1000
                print(f"{method} {name(size):>8s} {connections:17d} {text(own)} {cpu:7.2f} {text(rate('plain', *cell), 8)}"
                      f" {text(rate('nginx', *cell), 8)} {text(rate('moto', *cell), 8)}"
                      f"{ratio(own, rate('plain', *cell))} {ratio(own, rate('nginx', *cell))}"
                      f" {ratio(own, rate('moto', *cell))} {own * size / 1e6:8.1f}")
    print()


def main():
    wanted = sys.argv[1:] or ["listing", "objects"]
    if "objects" in wanted and not shutil.which("wrk"):
        sys.exit("make bench needs wrk, a Debian package: apt-get install wrk")
    if "listing" in wanted:
        listing()
    if "objects" in wanted:
        objects()


if __name__ == "__main__":
    main()
