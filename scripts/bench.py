#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what docs/performance.md reports: `make bench`.

All in one run, on one machine, with ratios: signed small calls with recording on and off, journal appends against the
disk's own sync time, start-up and memory. Wall-clock figures move with the machine's load; the ratios and the CPU time a
call costs move less. The load comes from wrk (Debian package), which shares the machine's cores with the server.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / ".build/release/cairn-bench"
CAIRN = ROOT / ".build/release/cairn"
SECONDS = float(os.environ.get("CAIRN_BENCH_SECONDS", "6"))
ROUNDS = int(os.environ.get("CAIRN_BENCH_ROUNDS", "3"))


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


class Server:
    def __init__(self, command):
        started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.endpoint = None
        for line in self.process.stdout:
            found = re.search(r"cairn is ready at (http://\S+)", line)
            if found:
                self.endpoint = found.group(1)
                break
        if self.endpoint is None:
            sys.exit("the server did not start")
        self.startup = time.monotonic() - started

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def bucket(folder):
    """The bucket that the changing calls are about."""
    exports = subprocess.check_output([CAIRN, "env", "--data", folder], text=True)
    values = dict(line.removeprefix("export ").split("=", 1) for line in exports.splitlines())
    boto3.client(
        "s3", endpoint_url=values["AWS_ENDPOINT_URL"], aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"], region_name=values["AWS_REGION"],
    ).create_bucket(Bucket="bench")


def wrk(folder, connections, scratch, kind):
    call = json.loads(subprocess.check_output([BENCH, "sign", folder, kind], text=True))
    script = scratch / "call.lua"
    lines = [f'wrk.method = "{call["method"]}"', f"wrk.body = {json.dumps(call['body'])}"]
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in call["headers"].items()]
    script.write_text("\n".join(lines) + "\n")
    out = subprocess.check_output(
        ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS:.0f}s", "-s", script,
         call["endpoint"] + call["path"]], text=True)
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"the load met errors:\n{out}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def calls():
    """Pairs of runs, recording on and off in turn, so that a drifting machine drifts for both."""
    figures = {}
    for kind, connections in (("read", 1), ("read", 64), ("change", 64), ("object", 64)):
        rounds = []
        for _ in range(ROUNDS):
            pair = {}
            for mode in ("off", "on"):
                with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
                    scratch = pathlib.Path(name)
                    server = Server([BENCH, "serve", scratch / "data", mode])
                    try:
                        bucket(scratch / "data")
                        wrk(scratch / "data", connections, scratch, kind)  # warm
                        before = cpu_seconds(server.process.pid)
                        rate = wrk(scratch / "data", connections, scratch, kind)
                        cpu = cpu_seconds(server.process.pid) - before
                        pair[mode] = (rate, cpu / (rate * SECONDS) * 1e6, resident_megabytes(server.process.pid))
                    finally:
                        server.stop()
            rounds.append(pair)
        figures[kind, connections] = {
            "off": statistics.median(r["off"][0] for r in rounds),
            "on": statistics.median(r["on"][0] for r in rounds),
            "ratio": statistics.median(r["on"][0] / r["off"][0] for r in rounds),
            "cpu_off": statistics.median(r["off"][1] for r in rounds),
            "cpu_on": statistics.median(r["on"][1] for r in rounds),
            "memory": statistics.median(r["on"][2] for r in rounds),
        }
    return figures


def startup():
    times, memory = [], []
    for _ in range(9):
        with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
            server = Server([CAIRN, "serve", "--data", f"{name}/data", "--listen", "127.0.0.1:0"])
            urllib.request.urlopen(server.endpoint + "/readyz").read()
            times.append(server.startup)
            time.sleep(1)
            memory.append(resident_megabytes(server.process.pid))
            server.stop()
    return statistics.median(times), statistics.median(memory)


def journal():
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        out = subprocess.check_output([BENCH, "journal", name, str(SECONDS)], text=True)
    return [json.loads(line) for line in out.splitlines()]


def decisions():
    out = subprocess.check_output([BENCH, "decide"], text=True)
    return {row["decision"]: row["nanoseconds"] for row in map(json.loads, out.splitlines())}


def main():
    if not shutil.which("wrk"):
        sys.exit("make bench needs wrk, a Debian package: apt-get install wrk")
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    print(f"{os.cpu_count()} cores, {model.group(1) if model else 'unknown processor'}; {SECONDS:.0f} s a run, "
          f"median of {ROUNDS} pairs\n")
    seconds, idle = startup()
    print(f"start-up on an empty folder, to ready   {seconds * 1000:8.0f} ms (median of 9)")
    print(f"resident memory, idle                   {idle:8.0f} MB\n")
    rows = journal()
    print(f"the disk: 4 KB and fdatasync            {rows[0]['syncMedianMicroseconds']:8d} us (median)")
    for row in rows[1:]:
        print(f"journal, {row['callers']:3d} callers, acknowledged/s      {row['acknowledgedPerSecond']:8d}"
              f"    {row['cpuMicrosecondsEach']:.1f} us CPU each, of which {row['tasksAloneMicrosecondsEach']:.1f} are the"
              " tasks' own")
    print()
    decided = decisions()
    titles = {
        "oneStatement": "one statement", "usual": "user, boundary, control and bucket policies",
        "tenPoliciesOf20": "10 policies of 20 statements", "tenPoliciesOf40": "10 policies of 40 statements",
        "tenPoliciesOf20NoneMatches": "10 policies of 20, none matches"}
    for name, title in titles.items():
        print(f"a decision, {title:43s} {decided[name] / 1000:8.2f} us CPU")
    print()
    names = {"read": "GetCallerIdentity", "change": "PutBucketPolicy", "object": "PutObject of 1 KiB"}
    print("signed calls a second                    recording off       on   on/off   CPU us a call off, on   memory")
    for (kind, connections), f in calls().items():
        print(f"{names[kind]:20s} {connections:3d} connections {f['off']:15.0f} {f['on']:8.0f} {f['ratio']:8.2f}"
              f"   {f['cpu_off']:10.1f} {f['cpu_on']:8.1f}   {f['memory']:8.0f} MB")


if __name__ == "__main__":
    main()
