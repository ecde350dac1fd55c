#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what docs/performance.md reports of event history, against DuckDB in the same run.

    build/venv/bin/python scripts/bench_history.py [COUNT]

COUNT is 1000000 unless given. DuckDB (from PyPI, installed when it is missing) loads the same records into a table of typed
columns with the JSON beside them, and answers the same questions on as many threads.
"""

import gzip
import json
import os
import pathlib
import resource
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


def main():
    duckdb = duck()
    with tempfile.TemporaryDirectory(dir=os.environ.get("CAIRN_BENCH_FOLDER", ROOT / "build")) as name:
        scratch = pathlib.Path(name)
        document = scratch / "records.ndjson"
        subprocess.check_call([BENCH, "generate", str(COUNT), document])
        print(f"{COUNT} records, {document.stat().st_size / COUNT:.0f} bytes each; {os.cpu_count()} cores\n")
        million = COUNT / 1e6

        ours = lines([BENCH, "ingest", str(COUNT), scratch / "data"])[0]
        print("ingest, a million                    CPU s   wall s   bytes an event")
        print(f"Cairn: durable, indexed, merged   {ours['cpu'] / million:8.2f}"
              f" {(ours['journalWall'] + ours['indexWall']) / million:8.2f} {ours['bytesEach']:10.1f}")
        print(f"  while the journal took them     {ours['journalCPU'] / million:8.2f} {ours['journalWall'] / million:8.2f}")

        database = scratch / "events.duckdb"
        connection = duckdb.connect(str(database))
        connection.execute(f"SET threads TO {os.cpu_count()}")
        started, before = time.perf_counter(), cpu()
        connection.execute(
            f"CREATE TABLE events AS SELECT {COLUMNS} FROM read_csv('{document}', columns={{'j': 'VARCHAR'}}, "
            "delim='\\x01', quote='', escape='', header=false, max_line_size=2000000)")
        connection.execute("CHECKPOINT")
        wall, used = time.perf_counter() - started, cpu() - before
        print(f"DuckDB {duckdb.__version__}: load             {used / million:8.2f} {wall / million:8.2f}"
              f" {database.stat().st_size / COUNT:10.1f}\n")

        answers = lines([BENCH, "query", str(COUNT), scratch / "data"])
        sample = next(item for item in answers if item["name"] == "sample")
        asked = questions(sample)
        print("question                                   found   cold ms   warm ms   DuckDB ms   ratio")
        for item in answers:
            if item["name"] not in asked:
                continue
            question, rounds = asked[item["name"]]
            theirs = timed(connection, question, rounds)
            print(f"{item['name']:40s} {item['found']:7d} {item['firstMilliseconds']:9.2f}"
                  f" {item['warmMilliseconds']:9.3f} {theirs:11.2f} {item['warmMilliseconds'] / theirs:7.3f}")
        print("\nnothing in any cache                             found        ms    CPU ms   MB read")
        for item in answers:
            if item["name"].startswith("cold: "):
                print(f"{item['name'][6:]:46s} {item['found']:7d} {item['coldMilliseconds']:9.2f}"
                      f" {item['cpuMilliseconds']:9.2f} {item['megabytesRead']:9.2f}")
        resident = next(item for item in answers if item["name"] == "resident after all")
        print(f"\nresident after all questions: {resident['megabytes']} MB")
        connection.close()

        if CAIRN.exists():
            folder = scratch / "logs"
            log_files(document, folder)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            started = time.perf_counter()
            subprocess.check_output([CAIRN, "query", "--files", folder, "--by", "eventName", "--json"])
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"\nstraight over gz log files, count by name: {used / million:.2f} CPU s,"
                  f" {time.perf_counter() - started:.2f} s wall, a million")
            # A tenth of them, as reading JSON takes DuckDB long; given for a million all the same.
            files = sorted(str(path) for path in folder.iterdir())
            some = files[:max(1, len(files) // 10)]
            share = len(some) / len(files) * million
            started, before = time.perf_counter(), cpu()
            reader = duckdb.connect()
            reader.execute(f"SET threads TO {os.cpu_count()}")
            reader.execute(
                "SELECT record.eventName, count(*) FROM (SELECT unnest(Records) AS record FROM "
                f"read_json({some}, maximum_object_size = {1 << 30})) GROUP BY 1").fetchall()
            print(f"DuckDB, read_json over {len(some)} of {len(files)} files: {(cpu() - before) / share:.2f} CPU s,"
                  f" {(time.perf_counter() - started) / share:.2f} s wall, a million")


if __name__ == "__main__":
    main()
