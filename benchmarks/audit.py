"""How much memory and time `eicctl audit --from` takes for a million records: `python -m benchmarks.audit`."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2026, 9, 1, tzinfo=UTC)
PERIOD = timedelta(days=85)
PRINCIPALS, TARGETS = 400, 3_000


def main() -> None:
    """Measure both kinds of log, and each form of the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    count = parser.parse_args().records
    print("| wanted records | log, MB | result | CPU, s | seconds | MB a CPU second | to json | peak memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for every, forms in ((100, ("csv",)), (1, ("csv", "json", "text", "table", "report"))):
            path = Path(folder) / f"{every}.json.gz"
            size = write(path, count, every) / 1e6
            parsed = parse(path)
            for form in forms:
                cpu, seconds, peak = measure(path, form)
                print(
                    f"| {count // every:,} of {count:,} | {size:,.0f} | {form} | {cpu:.1f} | {seconds:.1f} "
                    f"| {size / cpu:.0f} | {cpu / parsed:.1f} | {peak / 1024:.0f} |",
                    flush=True,
                )
            path.unlink()
    print(f"\nLoad (1 min): {os.getloadavg()[0]:.1f}.")


def parse(path: Path) -> float:
    """Return the CPU seconds for decompressing a log file and parsing its records, with nothing else done.

    It is what any reader in Python does, so the ratio to it holds on a busy machine, too.
    """
    begin, decode, rest = time.process_time(), json.JSONDecoder().raw_decode, ""
    with gzip.open(path, "rt") as file:
        file.read(len('{"Records":['))
        while piece := file.read(1 << 18):
            text, at = (rest + piece).removeprefix(","), 0
            with contextlib.suppress(ValueError, IndexError):
                while text[at] != "]":
                    at = decode(text, at)[1]
                    at += text[at : at + 1] == ","
            rest = text[at:]
    return time.process_time() - begin


def write(path: Path, count: int, every: int) -> int:
    """Write a log file of which each `every`th record is a tunnel; return its size before compression."""
    size = 0
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"Records":[')
        for number, record in enumerate(records(count, every)):
            text = (b"," if number else b"") + json.dumps(record).encode()
            size += len(text)
            file.write(text)
        file.write(b"]}")
    return size


def records(count: int, every: int) -> Iterator[dict[str, object]]:
    """Records in no order of time, as in a folder of log files."""
    for number in range(count):
        spot = number * 7_919 % count
        time_ = START + PERIOD * (spot / count)
        who = f"user-{spot % PRINCIPALS}"
        wanted = number % every == 0
        target = spot % TARGETS
        yield {
            "eventVersion": "1.09",
            "userIdentity": {
                "type": "AssumedRole",
                "principalId": f"AROAEXAMPLE:{who}",
                "arn": f"arn:aws:sts::123456789012:assumed-role/developer/{who}",
                "accountId": "123456789012",
                "accessKeyId": f"ASIA{spot % PRINCIPALS:016}",
                "sessionContext": {
                    "sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::1:role/developer", "userName": "developer"},
                    "attributes": {"creationDate": "2026-09-01T00:00:00Z", "mfaAuthenticated": "true"},
                },
            },
            "eventTime": time_.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": "ec2-instance-connect.amazonaws.com" if wanted else "ec2.amazonaws.com",
            "eventName": "OpenTunnel" if wanted else "DescribeInstances",
            "awsRegion": "us-east-1",
            "sourceIPAddress": f"203.0.{spot % 113}.{spot % 250}",
            "userAgent": "eicctl/0.1.0 botocore/1.40 Python/3.11 Linux/6.1 exec-env/none",
            "requestParameters": {
                "instanceConnectEndpointId": "eice-0123456789abcdef0",
                "remotePort": "22",
                "privateIpAddress": f"10.0.{target // 250}.{target % 250}",
            },
            "responseElements": None,
            "requestID": f"00000000-0000-4000-8000-{number:012x}",
            "eventID": f"{number * 2_654_435_761 % 2**32:08x}-0000-4000-8000-{number:012x}",
            "readOnly": not wanted,
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": "123456789012",
            "eventCategory": "Management",
        }


def measure(path: Path, form: str) -> tuple[float, float, int]:
    """Run the command; return its CPU seconds, its seconds, and its largest resident set in KiB."""
    result = ["--report", str(path.with_suffix(".html"))] if form == "report" else ["--output", form]
    return run("audit", "--from", str(path), *result)


def run(*words: str) -> tuple[float, float, int]:
    """Run eicctl; return its CPU seconds, its seconds, and its largest resident set in KiB."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "eicctl", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begin, usage.ru_maxrss


if __name__ == "__main__":
    main()
