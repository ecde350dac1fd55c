#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what docs/performance.md reports of event history, against DuckDB in the same run.

    build/venv/bin/python scripts/bench_history.py [COUNT]

COUNT is 1000000 unless given. DuckDB (from PyPI, installed when it is missing) loads the same records into a table of typed
columns with the JSON beside them, and answers the same questions on as many threads. Of more than PEERS_MAX records it takes
the first so many only, as do the log files: its figures then say how many; the ratios are left out. CAIRN_BENCH_PEERS=0 leaves
both out.
"""

import gzip
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = pathlib.Path(os.environ.get("CAIRN_HISTORY_BENCH", ROOT / ".build/release/history-bench"))
CAIRN = pathlib.Path(os.environ.get("CAIRN_BINARY", ROOT / ".build/release/cairn"))
COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
RECORDS_A_FILE = 5000
PEERS_MAX = 2_000_000
PEERS = min(COUNT, int(os.environ.get("CAIRN_BENCH_PEERS", PEERS_MAX)))

COLUMNS = """
    json_extract_string(j, '$.eventID') AS id, json_extract_string(j, '$.eventName') AS name,
    json_extract_string(j, '$.eventSource') AS source, json_extract_string(j, '$.awsRegion') AS region,
    CAST(json_extract_string(j, '$.eventTime') AS TIMESTAMP) AS time,
    json_extract_string(j, '$.userIdentity.arn') AS arn, json_extract_string(j, '$.userIdentity.accessKeyId') AS key,
    coalesce(json_extract_string(j, '$.userIdentity.userName'),
             regexp_extract(json_extract_string(j, '$.userIdentity.arn'), '[^/]*$')) AS user,
    json_extract_string(j, '$.sourceIPAddress') AS address, json_extract_string(j, '$.errorCode') AS error,
    json_extract_string(j, '$.resources[*].ARN') AS resources, j"""


def duck():
    try:
        import duckdb
    except ImportError:
        subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "duckdb"])
        import duckdb
    return duckdb


def cpu():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def timed(connection, question, rounds):
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        connection.execute(question).fetchall()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[1:])


def lines(command):
    return [json.loads(line) for line in subprocess.check_output(command, text=True).splitlines()]


def questions(sample):
    """DuckDB's way to ask what history-bench asks, by the same names."""
    newest = "SELECT j FROM events WHERE {} ORDER BY time DESC LIMIT 50"
    return {
        "newest 50 by event name": (newest.format("name = 'GetRole'"), 11),
        "newest 50 by rare access key": (newest.format(f"key = '{sample['key']}'"), 11),
        "newest 50 by user": (newest.format(f"user = '{sample['user']}'"), 11),
        "newest 50 by resource": (newest.format(
            f"list_contains(resources, 'arn:aws:s3:::{sample['resource']}')"), 11),
        "newest 50 by event id": (newest.format(f"id = '{sample['id']}'"), 11),
        "count by event name": ("SELECT name, count(*) FROM events GROUP BY name", 21),
        "count by hour": ("SELECT date_trunc('hour', time), count(*) FROM events GROUP BY 1", 21),
        "top ten principals with errors": (
            "SELECT arn, count(*) FROM events WHERE error IS NOT NULL GROUP BY arn ORDER BY 2 DESC LIMIT 10", 21),
        "count by name and region of one source": (
            "SELECT name, region, count(*) FROM events WHERE source = 's3.amazonaws.com' GROUP BY 1, 2", 21),
        "substring of a request parameter": (
            "SELECT name, count(*) FROM events WHERE json_extract_string(j, '$.requestParameters.key') "
            "LIKE '%part-1234%' GROUP BY name", 2),
    }


def log_files(document, folder):
    """The records as CloudTrail delivers them: gz files of some thousand."""
    folder.mkdir()
    with open(document, "rb") as source:
        part = []
        number = 0
        for line in source:
            part.append(line.rstrip(b"\n"))
            if len(part) == RECORDS_A_FILE:
                (folder / f"{number:06d}.json.gz").write_bytes(
                    gzip.compress(b'{"Records":[' + b",".join(part) + b"]}", 1))
                part = []
                number += 1
        if part:
            (folder / f"{number:06d}.json.gz").write_bytes(gzip.compress(b'{"Records":[' + b",".join(part) + b"]}", 1))


def ingest(scratch):
    """Ours, with what stays in memory after each million."""
    answers = lines([BENCH, "ingest", str(COUNT), scratch / "data"])
    ours = answers[-1]
    million = COUNT / 1e6
    print("ingest, a million                    CPU s   wall s   bytes an event")
    print(f"Cairn: durable, indexed, merged   {ours['cpu'] / million:8.2f}"
          f" {ours['wall'] / million:8.2f} {ours['bytesEach']:10.1f}")
    print("resident, MB, after each million: " + " ".join(str(item["residentMegabytes"]) for item in answers), flush=True)
    part = min(COUNT, 1_000_000)
    alone = lines([BENCH, "journal", str(part), scratch / "alone"])[-1]
    print(f"the journal alone                 {alone['cpu'] * 1e6 / part:8.2f} {alone['wall'] * 1e6 / part:8.2f}", flush=True)
    shutil.rmtree(scratch / "alone")


def load(connection, document, database):
    started, before = time.perf_counter(), cpu()
    connection.execute(
        f"CREATE TABLE events AS SELECT {COLUMNS} FROM read_csv('{document}', columns={{'j': 'VARCHAR'}}, "
        "delim='\\x01', quote='', escape='', header=false, max_line_size=2000000)")
    connection.execute("CHECKPOINT")
    wall, used = time.perf_counter() - started, cpu() - before
    part = "" if PEERS == COUNT else f" (of {PEERS})"
    print(f"DuckDB {duck().__version__}: load             {used * 1e6 / PEERS:8.2f} {wall * 1e6 / PEERS:8.2f}"
          f" {database.stat().st_size / PEERS:10.1f}{part}\n", flush=True)


def query(scratch, connection):
    answers = lines([BENCH, "query", str(COUNT), scratch / "data"])
    asked = questions(next(item for item in answers if item["name"] == "sample"))
    print("question                                   found   cold ms   warm ms    CPU ms   DuckDB ms   ratio")
    for item in answers:
        if item["name"] not in asked:
            continue
        line = (f"{item['name']:40s} {item['found']:7d} {item['firstMilliseconds']:9.2f} {item['warmMilliseconds']:9.3f}"
                f" {item['cpuMilliseconds']:9.3f}")
        if connection:
            question, rounds = asked[item["name"]]
            theirs = timed(connection, question, rounds if COUNT == PEERS else 2)
            ratio = f"{item['warmMilliseconds'] / theirs:7.3f}" if COUNT == PEERS else f"   (of {PEERS})"
            line += f" {theirs:11.2f} {ratio}"
        print(line, flush=True)
    resident = next(item for item in answers if item["name"] == "resident after all")
    print(f"\nresident after all questions: {resident['megabytes']} MB")


def main():
    with tempfile.TemporaryDirectory(dir=os.environ.get("CAIRN_BENCH_FOLDER", ROOT / "build")) as name:
        scratch = pathlib.Path(name)
        print(f"{COUNT} records; {os.cpu_count()} cores\n", flush=True)
        ingest(scratch)
        if PEERS == 0:
            query(scratch, None)
            return

        document = scratch / "records.ndjson"
        subprocess.check_call([BENCH, "generate", str(PEERS), document])
        database = scratch / "events.duckdb"
        connection = duck().connect(str(database))
        connection.execute(f"SET threads TO {os.cpu_count()}")
        load(connection, document, database)
        query(scratch, connection)
        connection.close()

        if CAIRN.exists():
            folder = scratch / "logs"
            log_files(document, folder)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            started = time.perf_counter()
            subprocess.check_output([CAIRN, "query", "--files", folder, "--by", "eventName", "--json"])
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"\nstraight over gz log files, count by name: {used * 1e6 / PEERS:.2f} CPU s,"
                  f" {(time.perf_counter() - started) * 1e6 / PEERS:.2f} s wall, a million")


if __name__ == "__main__":
    main()
