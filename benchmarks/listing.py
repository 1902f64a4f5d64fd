"""`eicctl list-endpoints` beside a script that does the same with boto3, and the AWS CLI v2 where there is one.

`python -m benchmarks.listing`. In turns, before one local AWS; cold, as a shell starts them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.login import EICCTL, run, world
from benchmarks.world import aws_cli

ROUNDS = 15

SCRIPT = """
import boto3

client = boto3.client("ec2")
pages = client.get_paginator("describe_instance_connect_endpoints").paginate()
for page in pages:
    for row in page["InstanceConnectEndpoints"]:
        print(row["InstanceConnectEndpointId"], row["State"], row["VpcId"], row["SubnetId"])
"""


def taken(words: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Run a command; return its seconds, and its CPU-seconds."""
    started = time.perf_counter()
    process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{words}: exit code {process.returncode}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure the commands in turns."""
    with tempfile.TemporaryDirectory(prefix="bench-") as text, world(Path(text)) as env:
        script = Path(text) / "script.py"
        script.write_text(SCRIPT)
        commands = {
            "script with boto3": [sys.executable, str(script)],
            "eicctl list-endpoints": [EICCTL, "list-endpoints"],
        }
        if aws := aws_cli():
            commands["aws ec2 describe-instance-connect-endpoints"] = [
                aws,
                *["ec2", "describe-instance-connect-endpoints"],
            ]
        for words in commands.values():
            run(words, env)  # byte code, and eicctl's cache
        measures: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, words in commands.items():
                measures[name].append(taken(words, env))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in measures.items()
    }
    base, ours = medians["script with boto3"], medians["eicctl list-endpoints"]
    print("| command | median, ms | CPU, ms | ratio to the script | eicctl's ratio to it |")
    print("| --- | --- | --- | --- | --- |")
    for name, (seconds, cpu) in medians.items():
        ratios = f"{seconds / base[0]:.2f} | {ours[0] / seconds:.2f} (CPU {ours[1] / cpu:.2f})"
        print(f"| {name} | {1000 * seconds:.0f} | {1000 * cpu:.0f} | {ratios} |")


if __name__ == "__main__":
    main()
