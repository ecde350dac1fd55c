#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the object store: part of `make bench`, reported in docs/performance.md, "The object store".

    bench_store.py [objects] [listing]

`objects` puts and gets objects of three sizes at three numbers of connections: on Cairn with and without encryption, on
moto's S3 server where it is installed (build/moto/bin, build/venv/bin or the PATH), and gets the same bytes from nginx where
that is. All on one disk and in one run: the servers stand side by side, and each cell of the table is measured on one after
the other, large reads in rounds, so that a machine that drifts drifts for all. `listing` fills a catalog with
CAIRN_BENCH_KEYS keys (a million) and lists them page by page over HTTP. Both print the tables of docs/performance.md.

Requests are signed before the clock runs. Small objects are driven by wrk, large ones by a thread for each connection, which
copies what it gets into memory of its own. What is read comes from the page cache, on all servers.
"""

import contextlib
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
# Pages of each kind of listing, at least.
PAGES = int(os.environ.get("CAIRN_BENCH_PAGES", "100"))
SECONDS = float(os.environ.get("CAIRN_BENCH_SECONDS", "1"))
ROUNDS = int(os.environ.get("CAIRN_BENCH_ROUNDS", "3"))
SIZES = [int(n) for n in os.environ.get("CAIRN_BENCH_SIZES", "4096 262144 67108864").split()]
CONNECTIONS = [int(n) for n in os.environ.get("CAIRN_BENCH_CONNECTIONS", "1 16 64").split()]
METHODS = os.environ.get("CAIRN_BENCH_METHODS", "PUT GET").split()
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
        print(f"A catalog of {KEYS:,} keys under one prefix and as many in groups of 100: {size:,.0f} MB, "
              f"filled in {time.monotonic() - started:.0f} s.")
        server = Server([CAIRN, "serve", "--data", folder, "--listen", "127.0.0.1:0"])
        print(f"Start-up with it, all documents checked: {server.startup:.1f} s, "
              f"{cpu_seconds(server.process.pid):.1f} s of processor time.\n")
        access = Access.of(folder)
        connection = http.client.HTTPConnection(access.host)
        kinds = [
            ("ListObjectsV2 under one prefix", {"list-type": "2", "prefix": "one/", "encoding-type": "url"},
             lambda text: {"continuation-token": tag(text, "NextContinuationToken")}),
            ("ListObjects (markers)", {"prefix": "one/", "encoding-type": "url"},
             lambda text: {"marker": re.findall("<Key>([^<]*)</Key>", text)[-1]}),
            ("ListObjectsV2 with a delimiter, 1,000 common prefixes of 100 keys",
             {"list-type": "2", "prefix": "many/", "delimiter": "/"},
             lambda text: {"continuation-token": tag(text, "NextContinuationToken")}),
            ("ListObjectVersions", {"versions": "", "prefix": "one/"},
             lambda text: {"key-marker": tag(text, "NextKeyMarker"),
                           "version-id-marker": tag(text, "NextVersionIdMarker")}),
            ("ListObjectVersions with a delimiter", {"versions": "", "prefix": "many/", "delimiter": "/"},
             lambda text: {"key-marker": tag(text, "NextKeyMarker")}),
        ]
        print("| a page of 1,000 | pages | median | 99 % | processor time |")
        print("| --- | --- | --- | --- | --- |")
        for title, query, mark in kinds:
            cpu = cpu_seconds(server.process.pid)
            times = pages(access, connection, query, mark)
            while len(times) < PAGES:
                times += pages(access, connection, query, mark)
            times.sort()
            cpu = (cpu_seconds(server.process.pid) - cpu) * 1000 / len(times)
            print(f"| {title} | {len(times):,} | {statistics.median(times):.1f} ms | {times[int(len(times) * 0.99)]:.1f} ms"
                  f" | {cpu:.1f} ms |")
        connection.close()
        server.stop()
    print()


# -- objects ----------------------------------------------------------------------------------------------------------


def disk(folder):
    """Sequential writing with a flush, and reading what the page cache does not have."""
    path, block, count = folder / "disk", os.urandom(8 << 20), 32
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
    print(f"The disk, sequential: writes {wrote:.0f} MB/s (flushed), reads {read:.0f} MB/s (not cached).\n")


def wrk(access, method, size, connections, scratch):
    """Requests in a second or so: each in turn names one of as many keys as there are connections."""
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
        ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(SECONDS))}s", "--timeout", "30s", "-s", script,
         access.endpoint], text=True)
    # More than one request in a thousand that fails is no measurement.
    failed = int(m[1]) if (m := re.search(r"Non-2xx or 3xx responses: (\d+)", out)) else 0
    count = int(re.search(r"(\d+) requests in", out)[1])
    if failed * 1000 > count:
        raise BadLoad(f"{failed} of {count} requests failed")
    return count, count / float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


class BadLoad(Exception):
    """A server did not do what was asked of it."""


class Line:
    """One connection that asks for, or sends, one large object again and again."""

    def __init__(self, access, method, path, body):
        headers = dict(access.headers(method, path), Host=access.host)
        if body is not None:
            headers["Content-Length"] = str(len(body))
        self.head = (f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
                     + "\r\n").encode()
        self.method, self.body, self.buffer = method, body, bytearray(1 << 20)
        host, port = access.host.rsplit(":", 1)
        # A server that does not answer for so long will not.
        self.socket = socket.create_connection((host, int(port)), timeout=30)

    def run(self, end):
        """Works until `end`, a read perhaps in the middle of an object, and gives the bytes of objects that went by."""
        done = 0
        while done == 0 or time.perf_counter() < end:
            self.socket.sendall(self.head)
            if self.body is not None:
                self.socket.sendall(self.body)
            got = b""
            while b"\r\n\r\n" not in got:
                more = self.socket.recv(4096)
                if not more:
                    raise RuntimeError("a server closed a connection")
                got += more
            head, rest = got.split(b"\r\n\r\n", 1)
            if head[9:10] != b"2":
                raise RuntimeError(f"{self.method}: {got[:400]}")
            left = int(re.search(rb"(?i)content-length: *(\d+)", head)[1]) - len(rest)
            done += len(self.body) if self.body is not None else len(rest)
            while left > 0:
                count = self.socket.recv_into(self.buffer, min(left, len(self.buffer)))
                if count == 0:
                    raise RuntimeError("a server closed a connection")
                left -= count
                if self.body is None:
                    done += count
                    if time.perf_counter() >= end:
                        return done
        return done


def threads(access, method, size, connections):
    """Large objects, as a fraction for those that were read in part, by a thread for each connection."""
    body = memoryview(os.urandom(1 << 20) * (size >> 20)) if method == "PUT" else None
    lines = [Line(access, method, f"/bench/{size}-{number % 4}", body) for number in range(connections)]
    bytes_done, failures = [], []
    started = time.perf_counter()

    def work(line):
        try:
            bytes_done.append(line.run(started + SECONDS))
        except Exception as error:  # told by the main thread
            failures.append(error)

    workers = [threading.Thread(target=work, args=(line,)) for line in lines]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - started
    for line in lines:
        line.socket.close()
    if failures:
        raise BadLoad(str(failures[0]))
    return sum(bytes_done) / size, took


def family_cpu(pid):
    """Processor time of a process and those it started."""
    pids = {pid}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                pids.add(int(stat.parent.name))
        except OSError:
            continue
    return sum(cpu_seconds(one) for one in pids)


def measure(target, method, size, connections, scratch):
    """Objects a second, and processor seconds of the server for each."""
    access, pid = target
    before = family_cpu(pid)
    drive = threads(access, method, size, connections) if size >= LARGE else wrk(
        access, method, size, connections, scratch)
    return drive[0] / drive[1], (family_cpu(pid) - before) / drive[0]


def objects():
    figures, memory, failed = {}, {}, set()
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name, contextlib.ExitStack() as stack:
        scratch = pathlib.Path(name)
        disk(scratch)
        targets = {}
        for title, mode in (("cairn", "on"), ("plain", "plain")):
            if title in TARGETS:
                server = Server([BENCH, "serve", scratch / title, mode])
                stack.callback(server.stop)
                access = Access.of(scratch / title)
                access.client().create_bucket(Bucket="bench")
                targets[title] = (access, server.process.pid)
        for title, start in (("nginx", nginx), ("moto", moto)):
            if title in TARGETS and (target := start(scratch, stack)):
                targets[title] = target
        for size in SIZES:
            for method in METHODS:
                for connections in CONNECTIONS:
                    # Writes of large objects last as long as they last.
                    rounds = ROUNDS if size >= LARGE and method == "GET" else 1
                    found = {}
                    for _ in range(rounds):
                        for title, target in targets.items():
                            if title in failed or (method == "PUT" and title == "nginx"):
                                continue
                            try:
                                found.setdefault(title, []).append(
                                    measure(target, method, size, connections, scratch))
                            except BadLoad as problem:
                                where = f"{title}, {method} of {size} bytes at {connections} connections: {problem}"
                                if title in ("cairn", "plain"):
                                    sys.exit(where)
                                print(f"Not measured, nor what follows on it: {where}.\n")
                                failed.add(title)
                    for title, values in found.items():
                        if not values:
                            continue
                        figures[title, method, size, connections] = tuple(
                            statistics.median(value[i] for value in values) for i in (0, 1))
        for title in ("cairn", "plain"):
            if title in targets:
                status = pathlib.Path(f"/proc/{targets[title][1]}/status").read_text()
                memory[title] = int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024
    report(figures)
    for title, megabytes in memory.items():
        print(f"Most resident memory of {title}: {megabytes:.0f} MB.")
    print()


def nginx(scratch, stack):
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(binary):
        print("nginx is absent (Debian package nginx-light): no ratio to it")
        return None
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
    return started(subprocess.Popen([binary, "-p", scratch, "-c", scratch / "nginx.conf"], stderr=subprocess.DEVNULL),
                   Access(f"http://127.0.0.1:{port}"), stack)


def moto(scratch, stack):
    places = [ROOT / "build/moto/bin/moto_server", ROOT / "build/venv/bin/moto_server"]
    binary = next((place for place in places if place.exists()), None) or shutil.which("moto_server")
    if binary is None:
        print("moto is absent (build/venv/bin/pip install 'moto[server]'): no ratio to it")
        return None
    port = free_port()
    access = Access(f"http://127.0.0.1:{port}", "AKIAEXAMPLE", "secret")
    target = started(subprocess.Popen(
        [binary, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=scratch), access, stack)
    access.client().create_bucket(Bucket="bench")
    return target


def started(process, access, stack):
    def stop():
        process.terminate()
        process.wait(10)

    stack.callback(stop)
    wait(int(access.host.rsplit(":", 1)[1]))
    return access, process.pid


def wait(port):
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("a server to compare with did not start")


def report(figures):
    def name(size):
        return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"

    def text(value, digits=3):
        if value is None:
            return "-"
        whole = len(str(int(value)))
        return f"{value:,.0f}" if whole >= digits else f"{value:.{digits - whole}f}"

    def row(*fields):
        print("| " + " | ".join(fields) + " |")

    row("objects a second", "conn.", "Cairn", "MB/s", "CPU each", "CPU a GiB", "not encrypted", "CPU a GiB", "nginx", "CPU a GiB",
        "moto", "/not encrypted", "/nginx", "/moto")
    row(*["---"] * 14)
    for method in METHODS:
        for size in SIZES:
            for connections in CONNECTIONS:
                found = {title: figures.get((title, method, size, connections)) for title in
                         ("cairn", "plain", "nginx", "moto")}
                if all(value is None for value in found.values()):
                    continue
                rate = {title: value and value[0] for title, value in found.items()}
                cpu = {title: value and value[1] * (1 << 30) / size for title, value in found.items()}
                own = rate["cairn"] or rate["plain"]
                large = size >= LARGE
                row(f"{method} {name(size)}", str(connections), text(rate["cairn"]), text(own and own * size / 1e6),
                    f"{text((found['cairn'] or found['plain'])[1] * 1e3)} ms" if own else "-",
                    *[f"{text(cpu[title])} s" if large and cpu[title] else "" for title in ("cairn",)],
                    text(rate["plain"]), f"{text(cpu['plain'])} s" if large and cpu["plain"] else "",
                    text(rate["nginx"]), f"{text(cpu['nginx'])} s" if large and cpu["nginx"] else "",
                    text(rate["moto"]),
                    *[f"{rate['cairn'] / rate[peer]:.2f}" if rate["cairn"] and rate[peer] else "-"
                      for peer in ("plain", "nginx", "moto")])
    print()


def main():
    wanted = sys.argv[1:] or ["objects", "listing"]
    if "objects" in wanted and not shutil.which("wrk"):
        sys.exit("make bench needs wrk, a Debian package: apt-get install wrk")
    if "listing" in wanted:
        listing()
    if "objects" in wanted:
        objects()


if __name__ == "__main__":
    main()
