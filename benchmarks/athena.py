"""A million records by `--from` and by `--athena`, with the same rows: `python -m benchmarks.athena`.

The log files are in the S3 of a local AWS in this process, which also runs the query; only the command is measured.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import boto3

from benchmarks.audit import records
from eicctl.emulator.server import Emulator

FILTERS = {
    "all": ("--since", "2026-08-31"),
    "a day": ("--since", "2026-10-01", "--until", "2026-10-02"),
    "a user": ("--since", "2026-08-31", "--user", "*/user-100"),
}
ACCOUNT = "123456789012"


def main() -> None:
    """Measure each filter both ways, and check that the rows are the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=100, help="each N-th record matches")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Emulator() as emulator:
        for name, value in emulator.env.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value else {})
        env = {**os.environ, "EICCTL_HOME": folder, "EICCTL_AGENT": "off"}
        size = store(given.records, given.every)
        setup = ("--athena-setup", "s3://trail/", "--execute", "--output-location", "s3://results/")
        run(env, Path(folder) / "setup", *setup)
        print(f"{given.records:,} records, {size / 1e6:,.0f} MB of log files, every {given.every}th matches")
        print("| filter | rows | way | CPU, s | seconds |")
        print("| --- | --- | --- | --- | --- |")
        for name, words in FILTERS.items():
            ways = {"from": ("--from", "s3://trail/"), "athena": ("--athena", "--output-location", "s3://results/")}
            found = {}
            for way, options in ways.items():
                path = Path(folder) / way
                cpu, seconds = run(env, path, *options, *words, "--output", "csv")
                found[way] = path.read_bytes()
                rows = found[way].count(b"\n") - 1
                print(f"| {name} | {rows:,} | {way} | {cpu:.1f} | {seconds:.1f} |", flush=True)
            assert found["from"] == found["athena"], name
    print(f"\nLoad (1 min): {os.getloadavg()[0]:.1f}.")


def store(count: int, every: int) -> int:
    """Put the records into a trail's bucket, a file for each day; return the size of the files."""
    s3 = boto3.client("s3")
    for bucket in ("trail", "results"):
        s3.create_bucket(Bucket=bucket)
    days: dict[str, list[bytes]] = {}
    for record in records(count, every):
        days.setdefault(str(record["eventTime"])[:10], []).append(json.dumps(record).encode())
    size = 0
    for day, found in days.items():
        delivered = datetime.fromisoformat(day) + timedelta(days=1, minutes=10)
        folder = f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/{delivered:%Y/%m/%d}"
        body = gzip.compress(b'{"Records":[' + b",".join(found) + b"]}", 1)
        name = f"{ACCOUNT}_CloudTrail_us-east-1_{delivered:%Y%m%dT%H%M}Z_0123456789abcdef.json.gz"
        s3.put_object(Bucket="trail", Key=f"{folder}/{name}", Body=body)
        size += len(body)
    return size


def run(env: dict[str, str], output: Path, *words: str) -> tuple[float, float]:
    """Run `eicctl audit`; return its CPU seconds, and its seconds."""
    begin = time.perf_counter()
    with output.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-m", "eicctl", "audit", *words], env=env, stdout=stream)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begin


if __name__ == "__main__":
    main()
